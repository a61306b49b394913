//! Finding things in a body: attributes, blocks with and without labels, and keys that nobody knows.
//!
//! `path "a" {…}`, `path { "a" {…} }`, `path = { "a" = {…} }` and JSON's `{"path": {"a": {…}}}` or
//! `{"path": [{"a": {…}}]}` are one thing; readers see no difference.

use super::ast::{Body, Item, Key, Kind, Span, Value};
use super::attr::Attr;
use super::{Error, Result};

/// Longest key for which a similar one is looked for.
const SUGGEST_LENGTH_MAX: usize = 64;

/// One `name "label" { … }`.
#[derive(Clone, Debug)]
pub struct Block<'a> {
    name: &'a str,
    labels: Vec<&'a Key>,
    span: Span,
    body: &'a Body,
}

/// A key that the reader of a body does not know.
#[derive(Clone, Debug)]
pub struct Unknown<'a> {
    /// The key.
    pub key: &'a Key,
    /// `FILE:LINE:COL: unknown key "x"`, and what may have been meant.
    pub error: Error,
}

impl Body {
    /// The value of `name`, or `None` when it is not set or null. A block of that name without labels counts as an
    /// object. Fails when it is there more than once or has labels.
    pub fn attr<'a>(&'a self, name: &str) -> Result<Option<Attr<'a>>> {
        let mut found: Option<&Item> = None;
        for item in self.items.iter().filter(|item| item.key.text == name) {
            if let Some(first) = found {
                let message = format!("\"{name}\" is already set at line {}", first.key.span.line);
                return Err(self.error(item.key.span, message));
            }
            if let Some(label) = item.labels.first() {
                return Err(self.error(label.span, format!("\"{name}\" takes no label")));
            }
            found = Some(item);
        }
        Ok(found.filter(|item| !matches!(item.value.kind, Kind::Null)).map(|item| Attr {
            file: &self.file,
            name: &item.key.text,
            value: &item.value,
        }))
    }

    /// The value of `name`, which must be set.
    pub fn require<'a>(&'a self, name: &str) -> Result<Attr<'a>> {
        self.attr(name)?.ok_or_else(|| self.error(self.span, format!("\"{name}\" is missing")))
    }

    /// Every item without labels as an attribute, in order: for maps whose keys are free. Fails on a repeated key.
    pub fn attrs(&self) -> Result<Vec<Attr<'_>>> {
        let mut seen = std::collections::HashSet::new();
        let mut attrs = Vec::with_capacity(self.items.len());
        for item in &self.items {
            if let Some(label) = item.labels.first() {
                return Err(self.error(label.span, format!("\"{}\" takes no label", item.key.text)));
            }
            if !seen.insert(item.key.text.as_str()) {
                return Err(self.error(item.key.span, format!("\"{}\" is set twice", item.key.text)));
            }
            attrs.push(Attr { file: &self.file, name: &item.key.text, value: &item.value });
        }
        Ok(attrs)
    }

    /// Every block called `name`, in order, with whatever labels are written on it. A list of objects is as many
    /// blocks. Fails on a value that is no object.
    pub fn blocks<'a>(&'a self, name: &str) -> Result<Vec<Block<'a>>> {
        let mut blocks = Vec::new();
        for item in self.items.iter().filter(|item| item.key.text == name) {
            let labels: Vec<&Key> = item.labels.iter().collect();
            self.objects(name, &item.value, |span, body| {
                blocks.push(Block { name: &item.key.text, labels: labels.clone(), span: place(item, span), body });
                Ok(())
            })?;
        }
        Ok(blocks)
    }

    /// The only block called `name`, if any. Fails on a second one.
    pub fn block<'a>(&'a self, name: &str) -> Result<Option<Block<'a>>> {
        let mut blocks = self.blocks(name)?;
        if let Some(second) = blocks.get(1) {
            return Err(self.error(second.span, format!("there is more than one \"{name}\"")));
        }
        Ok(blocks.pop())
    }

    /// Every block called `name` that takes one label, in order. The label may stand before the brace or be the key of
    /// an object within, if all that is within are objects. A block without a label is given as such: see
    /// [`Block::label`]. Fails on a value that is no object and on a second label.
    pub fn labelled<'a>(&'a self, name: &str) -> Result<Vec<Block<'a>>> {
        let mut blocks = Vec::new();
        for item in self.items.iter().filter(|item| item.key.text == name) {
            if let Some(second) = item.labels.get(1) {
                return Err(self.error(second.span, format!("\"{name}\" takes one label")));
            }
            self.objects(name, &item.value, |span, body| {
                if let Some(label) = item.labels.first() {
                    blocks.push(Block { name: &item.key.text, labels: vec![label], span: place(item, span), body });
                    return Ok(());
                }
                if body.items.iter().any(|inner| !is_section(&inner.value)) || (body.is_empty() && !item.assigned) {
                    blocks.push(Block { name: &item.key.text, labels: Vec::new(), span: place(item, span), body });
                    return Ok(());
                }
                for inner in &body.items {
                    if let Some(second) = inner.labels.first() {
                        return Err(self.error(second.span, format!("\"{name}\" takes one label")));
                    }
                    self.objects(name, &inner.value, |span, body| {
                        blocks.push(Block {
                            name: &item.key.text,
                            labels: vec![&inner.key],
                            span: place(inner, span),
                            body,
                        });
                        Ok(())
                    })?;
                }
                Ok(())
            })?;
        }
        Ok(blocks)
    }

    /// The keys that are not in `known`, in order, each with an error to show or to turn into a warning.
    pub fn unknown<'a>(&'a self, known: &[&str]) -> Vec<Unknown<'a>> {
        let strange = self.items.iter().filter(|item| !known.contains(&item.key.text.as_str()));
        strange
            .map(|item| {
                let key = &item.key;
                let message = match similar(&key.text, known) {
                    Some(meant) => format!("unknown key \"{}\", did you mean \"{meant}\"?", key.text),
                    None => format!("unknown key \"{}\"", key.text),
                };
                Unknown { key, error: self.error(key.span, message) }
            })
            .collect()
    }

    /// Fails on the first key that is not in `known`.
    pub fn only(&self, known: &[&str]) -> Result<()> {
        self.unknown(known).into_iter().next().map_or(Ok(()), |unknown| Err(unknown.error))
    }

    /// An error at a place in this document.
    pub fn error(&self, span: Span, message: impl Into<String>) -> Error {
        Error::new(&self.file, span, message)
    }

    /// Calls `each` for an object, or for each object of a list.
    fn objects<'a>(
        &self,
        name: &str,
        value: &'a Value,
        mut each: impl FnMut(Span, &'a Body) -> Result<()>,
    ) -> Result<()> {
        match &value.kind {
            Kind::Null => Ok(()),
            Kind::Object(body) => each(value.span, body),
            Kind::List(values) => values.iter().try_for_each(|value| match &value.kind {
                Kind::Object(body) => each(value.span, body),
                other => Err(self.error(value.span, format!("\"{name}\" must be a block, not {}", other.name()))),
            }),
            other => Err(self.error(value.span, format!("\"{name}\" must be a block, not {}", other.name()))),
        }
    }
}

impl<'a> Block<'a> {
    /// The block's name.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Its labels.
    pub fn labels(&self) -> &[&'a Key] {
        &self.labels
    }

    /// Its first label; fails when there is none.
    pub fn label(&self) -> Result<&'a str> {
        match self.labels.first() {
            Some(label) => Ok(&label.text),
            None => Err(self
                .body
                .error(self.span, format!("\"{}\" needs a label, as in {} \"x\" {{ }}", self.name, self.name))),
        }
    }

    /// Where it begins: its first key, or in a list its brace.
    pub fn span(&self) -> Span {
        self.span
    }

    /// What is in it.
    pub fn body(&self) -> &'a Body {
        self.body
    }
}

impl std::ops::Deref for Block<'_> {
    type Target = Body;

    fn deref(&self) -> &Body {
        self.body
    }
}

/// A block is where its key is; an element of a list is where its brace is.
fn place(item: &Item, span: Span) -> Span {
    if matches!(item.value.kind, Kind::List(_)) { span } else { item.key.span }
}

/// An object, or a list of nothing but objects.
fn is_section(value: &Value) -> bool {
    match &value.kind {
        Kind::Object(_) => true,
        Kind::List(values) => !values.is_empty() && values.iter().all(|value| matches!(value.kind, Kind::Object(_))),
        _ => false,
    }
}

/// The known key nearest to `key`, if it is near: at most a third of its letters differ.
fn similar<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    if key.len() > SUGGEST_LENGTH_MAX {
        return None;
    }
    let key = key.to_lowercase().replace('-', "_");
    let near = known.iter().map(|known| (distance(&key, known), *known)).min_by_key(|(distance, _)| *distance)?;
    (near.0 <= near.1.chars().count().div_ceil(3).min(3)).then_some(near.1)
}

/// How many letters must be added, taken away or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}
