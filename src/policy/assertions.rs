//! Assertions about policies: files that say what somebody can and cannot do, and whether the policies hold them.
//!
//!     identity "shop" {
//!       policies = ["service"]
//!       alias "auth_approle_1" { metadata = { role_name = "shop" } }
//!     }
//!     test "a service reads what is its own" {
//!       identity = "shop"
//!       can    "read" { path = "secret/data/services/shop/db" }
//!       cannot "read" { paths = ["secret/data/services/billing/db", "secret/data/services/shop"] }
//!       capabilities  = { "sys/seal" = ["deny"] }
//!     }
//!
//! The decision is that of enforcement. An endpoint that is known to need `sudo` is asked for with it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::acl::Acl;
use super::decision::{Query, Reason};
use super::document::Policy;
use super::sudo::needs_sudo;
use super::template::{Fact, Facts, Field};
use crate::base::json::Map;
use crate::base::{Json, Operation, Path, Ttl};
use crate::hcl::{self, Attr, Block, Body, Kind, Result, Value};

/// The policies that assertions are about, by name.
pub type Policies = BTreeMap<String, Arc<Policy>>;

/// A file of assertions.
#[derive(Clone, Debug)]
pub struct Assertions {
    identities: BTreeMap<String, Identity>,
    tests: Vec<Test>,
}

/// What came of one assertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The line of the assertion.
    pub line: u32,
    /// The test that it belongs to.
    pub test: String,
    /// What it says, as a sentence without its subject.
    pub says: String,
    /// Why it does not hold, if it does not.
    pub failure: Option<String>,
}

/// Somebody as policies see them.
#[derive(Clone, Debug, Default)]
struct Identity {
    policies: Vec<String>,
    entity: Option<Described>,
    aliases: BTreeMap<String, Described>,
    groups: BTreeMap<String, Described>,
}

/// An entity, an alias or a group.
#[derive(Clone, Debug, Default)]
struct Described {
    id: Option<String>,
    name: Option<String>,
    metadata: BTreeMap<String, String>,
    custom_metadata: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
struct Test {
    name: String,
    identity: String,
    claims: Vec<Claim>,
}

#[derive(Clone, Debug)]
struct Claim {
    line: u32,
    path: Path,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// A request is allowed, or it is not.
    May { allowed: bool, word: String, operation: Operation, sudo: Option<bool>, parameters: Map, wrap: Option<Ttl> },
    /// The capabilities are exactly these, sorted.
    Has(Vec<String>),
}

impl Assertions {
    /// Reads a file, in HCL or JSON.
    ///
    /// # Errors
    /// `FILE:LINE:COL:` and what is wrong there.
    pub fn parse(file: &str, text: &str) -> Result<Self> {
        let body = hcl::parse(file, text)?;
        body.only(&["identity", "test"])?;
        let mut identities = BTreeMap::new();
        for block in body.labelled("identity")? {
            if identities.insert(block.label()?.to_owned(), Identity::parse(&block)?).is_some() {
                return Err(body.error(block.span(), "there is an identity of this name already"));
            }
        }
        let tests: Vec<Test> = body.labelled("test")?.iter().map(Test::parse).collect::<Result<_>>()?;
        for (test, block) in tests.iter().zip(body.labelled("test")?) {
            if !identities.contains_key(&test.identity) {
                return Err(block.error(block.span(), format!("no identity \"{}\" is in this file", test.identity)));
            }
        }
        Ok(Self { identities, tests })
    }

    /// The policies that its identities hold.
    pub fn policies(&self) -> impl Iterator<Item = &str> {
        self.identities.values().flat_map(|identity| identity.policies.iter().map(String::as_str))
    }

    /// What somebody is by these files: the sets of policies that identities hold.
    pub fn sets(&self) -> impl Iterator<Item = &[String]> {
        self.identities.values().map(|identity| identity.policies.as_slice())
    }

    /// Asks the policies.
    ///
    /// # Errors
    /// The name of a policy that an identity holds and nobody has.
    pub fn run(&self, policies: &Policies) -> std::result::Result<Vec<Outcome>, String> {
        let mut compiled = BTreeMap::new();
        for (name, identity) in &self.identities {
            compiled.insert(name.as_str(), identity.compile(policies)?);
        }
        let claims = self.tests.iter().flat_map(|test| test.claims.iter().map(move |claim| (test, claim)));
        Ok(claims
            .filter_map(|(test, claim)| {
                let acl = compiled.get(test.identity.as_str())?;
                let (says, failure) = (claim.says(), claim.failure(acl));
                Some(Outcome { line: claim.line, test: test.name.clone(), says, failure })
            })
            .collect())
    }
}

impl Identity {
    fn parse(block: &Block<'_>) -> Result<Self> {
        block.only(&["policies", "no_default_policy", "entity", "alias", "group"])?;
        let mut policies = block.require("policies")?.as_strings()?;
        policies.iter_mut().for_each(|name| *name = name.trim().to_lowercase());
        if block.attr("no_default_policy")?.map_or(Ok(false), |attr| attr.as_bool())? {
            policies.retain(|name| name != "default");
        } else {
            policies.push("default".into());
        }
        policies.sort();
        policies.dedup();
        let labelled = |name: &str| -> Result<BTreeMap<String, Described>> {
            block
                .labelled(name)?
                .iter()
                .map(|inner| Ok((inner.label()?.to_owned(), Described::parse(inner)?)))
                .collect()
        };
        Ok(Self {
            policies,
            entity: block.block("entity")?.map(|inner| Described::parse(&inner)).transpose()?,
            aliases: labelled("alias")?,
            groups: labelled("group")?,
        })
    }

    fn compile(&self, policies: &Policies) -> std::result::Result<Acl, String> {
        let held: Vec<Arc<Policy>> = self
            .policies
            .iter()
            .map(|name| policies.get(name).cloned().ok_or_else(|| name.clone()))
            .collect::<std::result::Result<_, _>>()?;
        Ok(Acl::compile(&held, self))
    }
}

impl Facts for Identity {
    fn fact(&self, fact: &Fact) -> Option<Cow<'_, str>> {
        let (of, field) = match fact {
            Fact::Entity(field) => (self.entity.as_ref()?, field),
            Fact::Alias { accessor, field } => (self.aliases.get(&**accessor)?, field),
            Fact::GroupByName { name, field: Field::Name } => {
                return self.groups.contains_key(&**name).then(|| (**name).to_owned().into());
            }
            Fact::GroupByName { name, field } => (self.groups.get(&**name)?, field),
            Fact::GroupById { id, field } => {
                let (name, group) = self.groups.iter().find(|(_, group)| group.id.as_deref() == Some(&**id))?;
                if *field == Field::Name {
                    return Some(name.into());
                }
                (group, field)
            }
        };
        let value = match field {
            Field::Id => of.id.as_ref(),
            Field::Name => of.name.as_ref(),
            Field::Metadata(key) => of.metadata.get(&**key),
            Field::CustomMetadata(key) => of.custom_metadata.get(&**key),
        };
        value.map(Into::into)
    }
}

impl Described {
    fn parse(body: &Body) -> Result<Self> {
        body.only(&["id", "name", "metadata", "custom_metadata"])?;
        let text = |name: &str| body.attr(name)?.map(|attr| attr.as_string()).transpose();
        let pairs = |name: &str| -> Result<BTreeMap<String, String>> {
            let Some(attr) = body.attr(name)? else { return Ok(BTreeMap::new()) };
            attr.as_object()?.attrs()?.iter().map(|pair| Ok((pair.name().to_owned(), pair.as_string()?))).collect()
        };
        Ok(Self {
            id: text("id")?,
            name: text("name")?,
            metadata: pairs("metadata")?,
            custom_metadata: pairs("custom_metadata")?,
        })
    }
}

impl Test {
    fn parse(block: &Block<'_>) -> Result<Self> {
        block.only(&["identity", "can", "cannot", "capabilities"])?;
        let mut claims = Vec::new();
        for (name, allowed) in [("can", true), ("cannot", false)] {
            for inner in block.labelled(name)? {
                requests(&inner, allowed, &mut claims)?;
            }
        }
        if let Some(attr) = block.attr("capabilities")? {
            for pair in attr.as_object()?.attrs()? {
                let mut words = pair.as_strings()?;
                words.sort();
                claims.push(Claim { line: pair.span().line, path: path(&pair, pair.name())?, what: What::Has(words) });
            }
        }
        if claims.is_empty() {
            return Err(block.error(block.span(), "a test needs \"can\", \"cannot\" or \"capabilities\""));
        }
        claims.sort_by_key(|claim| claim.line);
        let identity = block.require("identity")?.as_str()?.to_owned();
        Ok(Self { name: block.label()?.to_owned(), identity, claims })
    }
}

/// The requests of one `can` or `cannot`: each of its operations to each of its paths.
fn requests(block: &Block<'_>, allowed: bool, claims: &mut Vec<Claim>) -> Result<()> {
    block.only(&["path", "paths", "parameters", "wrap_ttl", "sudo"])?;
    let mut paths = Vec::new();
    if let Some(attr) = block.attr("path")? {
        paths.push(path(&attr, attr.as_str()?)?);
    }
    if let Some(attr) = block.attr("paths")? {
        for item in attr.as_list()? {
            paths.push(path(&item, item.as_str()?)?);
        }
    }
    if paths.is_empty() {
        return Err(block.error(block.span(), "\"path\" or \"paths\" is missing"));
    }
    let sudo = block.attr("sudo")?.map(|attr| attr.as_bool()).transpose()?;
    let parameters = match block.attr("parameters")? {
        Some(attr) => object(attr.as_object()?),
        None => Map::new(),
    };
    let wrap = block.attr("wrap_ttl")?.map(|attr| attr.as_duration()).transpose()?;
    for word in block.label()?.split(',').map(str::trim) {
        let operation = match word {
            "create" => Some(Operation::Update),
            _ => Operation::ALL.into_iter().find(|operation| operation.word() == word),
        };
        let unknown =
            || block.error(block.span(), format!("\"{word}\" is none of create, read, update, patch, delete, list"));
        let operation = operation.ok_or_else(unknown)?;
        for path in &paths {
            let path = if operation == Operation::List { path.clone().into_folder() } else { path.clone() };
            let wrap = wrap.map(|time| Ttl::from_seconds(time.as_secs()));
            let (word, parameters) = (word.to_owned(), parameters.clone());
            let what = What::May { allowed, word, operation, sudo, parameters, wrap };
            claims.push(Claim { line: block.span().line, path, what });
        }
    }
    Ok(())
}

fn path(attr: &Attr<'_>, text: &str) -> Result<Path> {
    Path::parse(text.trim_start_matches('/')).map_err(|error| attr.error(error))
}

fn object(body: &Body) -> Map {
    body.items().iter().map(|item| (item.key().text().to_owned(), json(item.value()))).collect()
}

fn json(value: &Value) -> Json {
    match value.kind() {
        Kind::Null => Json::Null,
        Kind::Bool(value) => Json::Bool(*value),
        Kind::Int(number) => Json::Number(number.to_string().into()),
        Kind::Float(number) => Json::Number(format!("{number:?}").into()),
        Kind::Str(text) => Json::String(text.clone()),
        Kind::List(items) => Json::Array(items.iter().map(json).collect()),
        Kind::Object(body) => Json::Object(object(body)),
    }
}

impl Claim {
    fn says(&self) -> String {
        match &self.what {
            What::May { allowed, word, .. } => {
                format!("{} {word} \"{}\"", if *allowed { "can" } else { "cannot" }, self.path)
            }
            What::Has(words) => format!("has {} on \"{}\"", words.join(", "), self.path),
        }
    }

    fn failure(&self, acl: &Acl) -> Option<String> {
        let (allowed, query) = match &self.what {
            What::Has(words) => {
                let given = acl.capabilities(self.path.as_str());
                return (given != *words).then(|| format!("it has {}", given.join(", ")));
            }
            What::May { allowed, word, operation, sudo, parameters, wrap } => {
                let sudo = sudo.unwrap_or_else(|| needs_sudo(&self.path));
                let parameters = Some(parameters);
                let (creates, wrap) = (word == "create", *wrap);
                (*allowed, Query { creates, sudo, parameters, wrap, ..Query::new(*operation, &self.path) })
            }
        };
        if acl.check(&query).is_allowed() == allowed {
            return None;
        }
        let told = acl.explain(&query);
        let by = told.rule.map(|rule| {
            let places: Vec<String> =
                rule.origins.iter().map(|origin| format!("{}, line {}", origin.policy, origin.line)).collect();
            format!(": \"{}\" of policy {}", rule.path, places.join(" and "))
        });
        // A rule that was meant for this path may be missing since its template has no value.
        let meant = |path: &str| path.split("{{").next().is_some_and(|start| self.path.as_str().starts_with(start));
        let dropped = told.dropped.iter().find(|origin| told.reason == Some(Reason::NoRule) && meant(origin.path));
        let dropped = dropped.map(|origin| {
            format!(
                "; the template \"{}\" of policy {}, line {}, cannot be filled in",
                origin.path, origin.policy, origin.line
            )
        });
        let reason = told.reason.map_or_else(|| "it is allowed".to_owned(), |reason| reason.sentence());
        let parameter = told.parameter.map(|name| format!(" (\"{name}\")")).unwrap_or_default();
        Some(format!("{reason}{parameter}{}{}", by.unwrap_or_default(), dropped.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = r#"
path "secret/data/{{identity.entity.aliases.acc.metadata.role}}/*" { capabilities = ["read"] }
path "secret/data/{{identity.groups.names.ops.id}}/*" { capabilities = ["read"] }
path "auth/role/+" { capabilities = ["create", "update"] allowed_parameters = { ttl = ["1h"] } max_wrapping_ttl = "5m" }
path "sys/seal" { capabilities = ["update"] }
"#;
    const WHO: &str = r#"
identity "shop" {
  policies = ["Service"]
  alias "acc" { metadata = { role = "shop" } }
  group "ops" { id = "g-1" }
}
identity "nobody" { policies = ["service"] no_default_policy = true }
"#;

    fn run(tests: &str) -> Vec<Outcome> {
        let policies = [("service", SERVICE), ("default", crate::policy::DEFAULT)];
        let policies =
            policies.map(|(name, text)| (name.to_owned(), Arc::new(Policy::parse(name, text).unwrap()))).into();
        Assertions::parse("f", &format!("{WHO}{tests}")).unwrap().run(&policies).unwrap()
    }

    #[test]
    fn what_holds_passes_and_what_does_not_says_why() {
        let outcomes = run(r#"
test "x" {
  identity = "shop"
  can    "read" { paths = ["secret/data/shop/a", "secret/data/g-1/a", "auth/token/lookup-self"] }
  cannot "read" { path = "secret/data/billing/a" }
  can    "create, update" { path = "auth/role/x" parameters = { ttl = "1h" } wrap_ttl = "1m" }
  cannot "update" { path = "auth/role/x" parameters = { ttl = "1h" } }
  cannot "update" { path = "auth/role/x" parameters = { ttl = "2h" } wrap_ttl = 60 }
  cannot "update" { path = "sys/seal" }
  can    "update" { path = "sys/seal" sudo = false }
  capabilities = { "sys/seal" = ["update"] "auth/role/x" = ["update", "create"] other = ["deny"] }
}"#);
        assert_eq!(outcomes.len(), 13);
        assert_eq!(
            outcomes.iter().filter_map(|outcome| outcome.failure.as_ref()).collect::<Vec<_>>(),
            Vec::<&String>::new()
        );
        let outcomes = run(r#"
test "y" {
  identity = "nobody"
  can "read" { path = "secret/data/shop/a" }
  can "update" { path = "sys/seal" }
  cannot "update" { path = "auth/role/x" wrap_ttl = 60 }
  can "update" { path = "auth/role/x" wrap_ttl = 60 parameters = { other = [1, true, {}] } }
  can "list" { path = "secret" }
  capabilities = { "sys/seal" = ["deny"] }
}"#);
        let failures: Vec<String> = outcomes.into_iter().map(|outcome| outcome.failure.unwrap()).collect();
        let rest = "; the template \"secret/data/{{identity.entity.aliases.acc.metadata.role}}/*\" of policy service, line 2, cannot be filled in";
        assert_eq!(
            failures,
            [
                format!("no rule of the token's policies covers the path{rest}"),
                "the endpoint needs the capability \"sudo\", which the rule lacks: \"sys/seal\" of policy service, line 5".into(),
                "it is allowed: \"auth/role/+\" of policy service, line 4".to_owned(),
                "a parameter is not among the allowed (\"other\"): \"auth/role/+\" of policy service, line 4".into(),
                "no rule of the token's policies covers the path".to_owned(),
                "it has update".into(),
            ]
        );
    }

    #[test]
    fn a_file_that_says_nothing_or_nonsense_is_refused() {
        for (text, error) in [
            ("test \"x\" { identity = \"who\" can \"read\" { path = \"a\" } }", "no identity \"who\""),
            ("identity \"a\" {}", "\"policies\" is missing"),
            ("identity \"a\" { policies = [] } identity \"a\" { policies = [] }", "already"),
            ("identity \"a\" { policies = [] } test \"x\" { identity = \"a\" }", "needs \"can\""),
            (
                "identity \"a\" { policies = [] } test \"x\" { identity = \"a\" can \"fly\" { path = \"a\" } }",
                "\"fly\"",
            ),
            (
                "identity \"a\" { policies = [] } test \"x\" { identity = \"a\" can \"read\" {} }",
                "\"paths\" is missing",
            ),
            (
                "identity \"a\" { policies = [] } test \"x\" { identity = \"a\" can \"read\" { path = \"a//b\" } }",
                "empty segment",
            ),
            ("identity \"a\" { policys = [] }", "did you mean"),
        ] {
            let error_text = Assertions::parse("f.hcl", text).unwrap_err().to_string();
            assert!(error_text.starts_with("f.hcl:1:") && error_text.contains(error), "{error_text}");
        }
        let nobody = Assertions::parse("f", WHO).unwrap().run(&Policies::new());
        assert_eq!(nobody.unwrap_err(), "service");
    }
}
