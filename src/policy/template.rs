//! Paths with `{{identity.…}}` in them, and the facts that fill them in.
//!
//! A value becomes part of a pattern, so it may hold nothing that has a meaning there: a rule whose value is missing or
//! holds such a mark is dropped, which grants nothing.

use std::borrow::Cow;

use crate::base::limits;

/// Characters that mean something in a path, a pattern, a list or a template.
const MARKS: &[char] = &['/', '+', '*', ',', '{', '}'];

/// What a policy may say about whom it is applied to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Fact {
    /// `identity.entity.FIELD`.
    Entity(Field),
    /// `identity.entity.aliases.ACCESSOR.FIELD`: of the mount with this accessor, and of no other.
    Alias {
        /// The accessor of the auth mount.
        accessor: Box<str>,
        /// What of it.
        field: Field,
    },
    /// `identity.groups.ids.ID.FIELD`: only if the entity is a member.
    GroupById {
        /// The group's id.
        id: Box<str>,
        /// What of it.
        field: Field,
    },
    /// `identity.groups.names.NAME.FIELD`: only if the entity is a member.
    GroupByName {
        /// The group's name.
        name: Box<str>,
        /// What of it.
        field: Field,
    },
}

/// A part of an entity, alias or group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// `id`.
    Id,
    /// `name`.
    Name,
    /// `metadata.KEY`.
    Metadata(Box<str>),
    /// `custom_metadata.KEY`, of an alias.
    CustomMetadata(Box<str>),
}

/// Who a token is, as far as policies ask.
pub trait Facts {
    /// The value, or `None` if there is none. What a value may hold is checked by the caller.
    fn fact(&self, fact: &Fact) -> Option<Cow<'_, str>>;
}

/// The facts of a token without an entity.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFacts;

impl Facts for NoFacts {
    fn fact(&self, _: &Fact) -> Option<Cow<'_, str>> {
        None
    }
}

/// The facts of an identity that has all of them and is nobody in particular: each stands for itself, as a segment that no
/// rule names.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnyFacts;

impl AnyFacts {
    /// A path that was filled in from these facts, with its holes again.
    pub fn unfilled(path: &str) -> String {
        path.replace(OPENS, "{{").replace(CLOSES, "}}")
    }
}

impl Facts for AnyFacts {
    fn fact(&self, fact: &Fact) -> Option<Cow<'_, str>> {
        let text: String = fact.text().chars().map(|c| if MARKS.contains(&c) { '·' } else { c }).collect();
        Some(format!("{OPENS}{text}{CLOSES}").into())
    }
}

/// Around the name of a fact that stands for itself: braces would be no fit value.
const OPENS: char = '‹';
const CLOSES: char = '›';

/// A path with holes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(Box<str>),
    Fact(Fact),
}

impl Template {
    /// Reads a path; `None` if it has no holes. Fails with a text on braces without their partner and on facts that
    /// nobody knows.
    pub(super) fn parse(path: &str) -> Result<Option<Self>, String> {
        let mut parts = Vec::new();
        let mut rest = path;
        while let Some((before, after)) = rest.split_once("{{") {
            let (inside, tail) = after.split_once("}}").ok_or("\"{{\" without its \"}}\"")?;
            if before.contains("}}") {
                return Err("\"}}\" without its \"{{\"".into());
            }
            let inside = inside.trim();
            let fact = Fact::parse(inside).ok_or_else(|| format!("unknown template {}", shown(inside)))?;
            parts.push(Part::Text(before.into()));
            parts.push(Part::Fact(fact));
            rest = tail;
        }
        if rest.contains("}}") {
            return Err("\"}}\" without its \"{{\"".into());
        }
        if parts.is_empty() {
            return Ok(None);
        }
        parts.push(Part::Text(rest.into()));
        Ok(Some(Self(parts)))
    }

    /// The path with its holes filled in, or `None` if a value is missing or unfit.
    pub(super) fn fill(&self, facts: &dyn Facts) -> Option<String> {
        let mut path = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => path.push_str(text),
                Part::Fact(fact) => path.push_str(facts.fact(fact).filter(|value| is_fit(value))?.as_ref()),
            }
        }
        Some(path)
    }
}

/// A text with its holes filled in, or `None` if a value is missing or unfit. What has no holes stays as it is.
///
/// # Errors
/// Words about a hole that is none.
pub fn filled(text: &str, facts: &dyn Facts) -> Result<Option<String>, String> {
    Ok(match Template::parse(text)? {
        Some(template) => template.fill(facts),
        None => Some(text.to_owned()),
    })
}

/// A piece of the document in an error: short, on one line, in quotes.
pub(super) fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(200).collect::<String>())
}

fn is_fit(value: &str) -> bool {
    !matches!(value, "" | "." | "..")
        && value.len() <= limits::SEGMENT_BYTES
        && !value.contains(MARKS)
        && !value.chars().any(char::is_control)
}

impl Fact {
    /// As it stands between the braces.
    fn text(&self) -> String {
        match self {
            Self::Entity(field) => format!("identity.entity.{}", field.text()),
            Self::Alias { accessor, field } => format!("identity.entity.aliases.{accessor}.{}", field.text()),
            Self::GroupById { id, field } => format!("identity.groups.ids.{id}.{}", field.text()),
            Self::GroupByName { name, field } => format!("identity.groups.names.{name}.{}", field.text()),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("identity.")?;
        if let Some(alias) = text.strip_prefix("entity.aliases.") {
            // An accessor has no dot.
            let (accessor, field) = alias.split_once('.')?;
            let field = Field::parse(field)?;
            return (!accessor.is_empty()).then(|| Self::Alias { accessor: accessor.into(), field });
        }
        if let Some(field) = text.strip_prefix("entity.") {
            let field = Field::parse(field).filter(|field| !matches!(field, Field::CustomMetadata(_)))?;
            return Some(Self::Entity(field));
        }
        if let Some(group) = text.strip_prefix("groups.ids.") {
            let (id, field) = group_field(group)?;
            return Some(Self::GroupById { id, field });
        }
        let (name, field) = group_field(text.strip_prefix("groups.names.")?)?;
        Some(Self::GroupByName { name, field })
    }
}

/// A group's name may have dots: its field is what follows the first `.metadata.`, or the last dot.
fn group_field(text: &str) -> Option<(Box<str>, Field)> {
    let (group, field) = match text.find(".metadata.") {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => text.rsplit_once('.')?,
    };
    let field = Field::parse(field).filter(|field| !matches!(field, Field::CustomMetadata(_)))?;
    (!group.is_empty()).then(|| (group.into(), field))
}

impl Field {
    fn text(&self) -> String {
        match self {
            Self::Id => "id".into(),
            Self::Name => "name".into(),
            Self::Metadata(key) => format!("metadata.{key}"),
            Self::CustomMetadata(key) => format!("custom_metadata.{key}"),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let key = |key: &str| (!key.is_empty()).then(|| key.into());
        match text {
            "id" => Some(Self::Id),
            "name" => Some(Self::Name),
            _ => match text.strip_prefix("metadata.") {
                Some(rest) => key(rest).map(Self::Metadata),
                None => key(text.strip_prefix("custom_metadata.")?).map(Self::CustomMetadata),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Always(&'static str);

    impl Facts for Always {
        fn fact(&self, _: &Fact) -> Option<Cow<'_, str>> {
            Some(self.0.into())
        }
    }

    fn fill(path: &str, value: &'static str) -> Option<String> {
        fill_with(path, &Always(value))
    }

    fn fill_with(path: &str, facts: &dyn Facts) -> Option<String> {
        Template::parse(path).unwrap().unwrap().fill(facts)
    }

    #[test]
    fn a_value_with_a_mark_drops_the_rule() {
        for value in [
            "", ".", "..", "a/b", "/", "+", "a+b", "*", "a*", "a,b", "{", "}", "{{x}}", "a\nb", "a\0", "a\u{7f}",
            "a\u{85}",
        ] {
            assert_eq!(fill("s/{{identity.entity.name}}/x", value), None, "{value:?}");
        }
        assert_eq!(Template::parse("s/{{identity.entity.name}}").unwrap().unwrap().fill(&NoFacts), None);
        let long: &'static str = "x".repeat(limits::SEGMENT_BYTES + 1).leak();
        assert_eq!(fill("s/{{identity.entity.name}}", long), None);
    }

    #[test]
    fn honest_values_fill_the_path() {
        for value in ["a", "a..b", "a b", "é", "user@example.org", "a-b_c.d:e", "..."] {
            assert_eq!(fill("s/{{ identity.entity.name }}/*", value).unwrap(), format!("s/{value}/*"));
        }
        assert_eq!(fill("{{identity.entity.id}}{{identity.entity.id}}", "x").unwrap(), "xx");
    }

    #[test]
    fn unknown_and_unbalanced_templates_are_refused() {
        for (path, error) in [
            ("a/{{identity.entity.id", "\"{{\" without its \"}}\""),
            ("a/}}", "\"}}\" without its \"{{\""),
            ("}}{{identity.entity.id}}", "\"}}\" without its \"{{\""),
            ("{{identity.entity.id}}}}", "\"}}\" without its \"{{\""),
            ("{{}}", "unknown template \"\""),
            ("{{identity.entity.colour}}", "unknown template \"identity.entity.colour\""),
            ("{{identity.entity.metadata.}}", "unknown template \"identity.entity.metadata.\""),
            ("{{identity.entity.custom_metadata.x}}", "unknown template \"identity.entity.custom_metadata.x\""),
            ("{{identity.entity.aliases.x}}", "unknown template \"identity.entity.aliases.x\""),
            ("{{identity.groups.names.x}}", "unknown template \"identity.groups.names.x\""),
            ("{{time.now}}", "unknown template \"time.now\""),
        ] {
            assert_eq!(Template::parse(path).unwrap_err(), error, "{path}");
        }
        assert_eq!(Template::parse("a/{b}/+"), Ok(None));
    }

    #[test]
    fn every_fact_is_known() {
        let meta = |key: &str| Field::Metadata(key.into());
        for (text, fact) in [
            ("identity.entity.id", Fact::Entity(Field::Id)),
            ("identity.entity.name", Fact::Entity(Field::Name)),
            ("identity.entity.metadata.a.b", Fact::Entity(meta("a.b"))),
            ("identity.entity.aliases.acc_1.id", Fact::Alias { accessor: "acc_1".into(), field: Field::Id }),
            ("identity.entity.aliases.acc_1.name", Fact::Alias { accessor: "acc_1".into(), field: Field::Name }),
            ("identity.entity.aliases.acc_1.metadata.k", Fact::Alias { accessor: "acc_1".into(), field: meta("k") }),
            (
                "identity.entity.aliases.acc_1.custom_metadata.k",
                Fact::Alias { accessor: "acc_1".into(), field: Field::CustomMetadata("k".into()) },
            ),
            ("identity.groups.ids.1-2.name", Fact::GroupById { id: "1-2".into(), field: Field::Name }),
            ("identity.groups.ids.1-2.metadata.k", Fact::GroupById { id: "1-2".into(), field: meta("k") }),
            ("identity.groups.names.a.b.id", Fact::GroupByName { name: "a.b".into(), field: Field::Id }),
            ("identity.groups.names.g.metadata.k", Fact::GroupByName { name: "g".into(), field: meta("k") }),
        ] {
            assert_eq!(fact.text(), text);
            let filled = fill_with(&format!("a/{{{{{text}}}}}/b"), &AnyFacts).unwrap();
            assert_eq!(AnyFacts::unfilled(&filled), format!("a/{{{{{text}}}}}/b"));
            assert_eq!(Fact::parse(text), Some(fact), "{text}");
        }
    }
}
