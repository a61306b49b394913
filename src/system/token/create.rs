//! Making tokens: a child of the caller's, an orphan, or by a role.

use std::collections::BTreeMap;

use super::{TokenEngine, own};
use crate::base::{Error, Operation, Path, Result, Secret, Ttl, glob, limits};
use crate::engine::params::check_metadata;
use crate::engine::{Alias, Child, Cx, Login, Reply, Routes, TokenKind};
use crate::params;
use crate::policy::Query;
use crate::token::roles::Role;
use crate::token::{Kind, Token};

/// Adds the endpoints.
pub fn routes(routes: Routes<TokenEngine>) -> Routes<TokenEngine> {
    routes
        .at("create", "Make a token.", |at| at.update(create))
        .at("create-orphan", "Make a token without a parent.", |at| at.update(create_orphan).sudo())
        .at("create/{role_name}", "Make a token by a role.", |at| at.update(create_by_role))
}

params! {
    /// A token to be.
    pub struct Create {
        /// The token role.
        role_name: Option<String>,
        /// Its text; for root alone.
        id: Option<Secret<String>>,
        /// Its policies; the parent's where they are absent.
        policies: Option<Policies>,
        /// What it carries for people.
        meta: BTreeMap<String, String>,
        /// Without a parent; for root alone, or sudo.
        no_parent: Option<bool>,
        /// Without the policy `default`.
        no_default_policy: Option<bool>,
        /// Whether it can be renewed.
        renewable: Option<bool>,
        /// How long it lives at first.
        ttl: Option<Ttl>,
        /// The same, as older clients call it.
        lease: Option<Ttl>,
        /// `service` or `batch`.
        kind: Option<String> = "type",
        /// A hard end of its life.
        explicit_max_ttl: Option<Ttl>,
        /// The name that logs show.
        display_name: Option<String>,
        /// How often it may be used; 0 for no count.
        num_uses: Option<i64>,
        /// Makes it periodic; for root alone, or sudo.
        period: Option<Ttl>,
        /// The alias for which it is made; a role has to allow it.
        entity_alias: Option<String>,
    }
}

/// Policies as a list, or one name as text: what is text is not split here, as recorded.
#[derive(Debug)]
pub struct Policies(Vec<String>);

impl crate::engine::params::Scalar for Policies {
    const KIND: &'static str = "array";
    fn read(value: crate::base::Json) -> Result<Self, String> {
        match value {
            crate::base::Json::Array(_) => <Vec<String> as crate::engine::params::Scalar>::read(value).map(Self),
            other => Ok(Self(vec![<String as crate::engine::params::Scalar>::read(other)?])),
        }
    }
}

async fn create(cx: Cx<TokenEngine>, p: Create) -> Result<Reply> {
    // A role is named by the path: in the body it would slip past the policies of that path.
    make(&cx, Create { role_name: None, ..p }, None, false)
}

async fn create_orphan(cx: Cx<TokenEngine>, p: Create) -> Result<Reply> {
    make(&cx, Create { role_name: None, ..p }, None, true)
}

async fn create_by_role(cx: Cx<TokenEngine>, p: Create) -> Result<Reply> {
    let name = p.role_name.clone().unwrap_or_default();
    let role = cx.engine().handles.tokens.role(&name)?;
    let role = role.ok_or_else(|| Error::invalid("unknown role"))?;
    make(&cx, p, Some(role), false)
}

/// Whether the caller may do what only root and sudo may.
fn trusted(cx: &Cx<TokenEngine>) -> Result<bool> {
    if cx.caller.root {
        return Ok(true);
    }
    let text = cx.caller.text.clone().ok_or(Error::BadToken)?;
    let work = cx.engine().handles.work()?;
    let here = Path::parse(cx.path.as_str())?;
    work.may(&work.token_of(&text)?, &Query { sudo: true, ..Query::new(Operation::Update, &here) })
}

fn make(cx: &Cx<TokenEngine>, p: Create, role: Option<Role>, orphan: bool) -> Result<Reply> {
    let (parent, _) = own(cx)?;
    if parent.kind == Kind::Batch {
        return Err(Error::invalid("batch tokens cannot create more tokens"));
    }
    if parent.uses != crate::token::Use::Free {
        return Err(Error::invalid("restricted use token cannot generate child tokens"));
    }
    let trusted = trusted(cx)?;
    check_metadata("meta", &p.meta)?;
    let mut login = role.as_ref().map(|r| r.rules.login()).unwrap_or_default();
    login.renewable = role.as_ref().is_none_or(|r| r.renewable) && p.renewable.unwrap_or(true);
    login.metadata = p.meta;
    login.display_name = display_name(p.display_name.as_deref());
    let uses = p.num_uses.unwrap_or(0);
    let uses = u64::try_from(uses).map_err(|_| Error::invalid("number of uses cannot be negative"))?;
    login.num_uses = match (uses, login.num_uses) {
        (0, limit) => limit,
        (uses, 0) => uses,
        (uses, limit) => uses.min(limit),
    };
    login.kind = kind(role.as_ref(), p.kind.as_deref())?;
    login.ttl = p.ttl.or(p.lease).unwrap_or_default();
    let asked_max = p.explicit_max_ttl.unwrap_or_default();
    login.explicit_max_ttl = login.explicit_max_ttl.capped(asked_max);
    if let Some(period) = p.period.filter(|period| !period.is_zero()) {
        if !trusted {
            return Err(Error::invalid("root or sudo privileges required to create periodic token"));
        }
        login.period = if login.period.is_zero() { period } else { login.period.min(period) };
    }
    let orphan = orphan || role.as_ref().is_some_and(|r| r.orphan) || {
        let asked = p.no_parent.unwrap_or(false);
        if asked && !trusted {
            return Err(Error::invalid("root or sudo privileges required to create orphan token"));
        }
        asked
    };
    let no_default = p.no_default_policy.unwrap_or(false) || login.no_default_policy;
    let asked = p.policies.map(|p| p.0).unwrap_or_default();
    login.policies = policies(&parent, asked, role.as_ref(), trusted, no_default)?;
    login.no_default_policy = no_default || !wants_default(&login, role.as_ref());
    if login.policies.iter().any(|p| p == "response-wrapping") {
        return Err(Error::invalid("cannot assign policy \"response-wrapping\""));
    }
    let root = login.policies.iter().any(|p| p == "root");
    if root {
        // What may do everything gains nothing by more.
        login.policies = vec!["root".into()];
    }
    if role.is_some() && !login.renewable {
        // The role's hard end is the end that such a token has anyway.
        login.ttl = login.ttl.or(cx.limits.default_ttl).capped(login.explicit_max_ttl);
        login.explicit_max_ttl = Ttl::ZERO;
    }
    if root && !parent.is_root() {
        return Err(Error::invalid("root tokens may not be created without parent token being root"));
    }
    if root && login.kind == TokenKind::Batch {
        return Err(Error::invalid("batch tokens cannot be root tokens"));
    }
    if root && parent.expires.is_some() && login.ttl.is_zero() {
        return Err(Error::invalid("expiring root tokens cannot create non-expiring root tokens"));
    }
    let endless = root && login.ttl.is_zero() && login.period.is_zero() && login.explicit_max_ttl.is_zero();
    let text = match p.id.filter(|id| !id.reveal().is_empty()) {
        None => None,
        Some(_) if !cx.caller.root => return Err(Error::invalid("root required to specify token id")),
        Some(_) if login.kind == TokenKind::Batch => {
            return Err(Error::invalid("batch tokens cannot have a chosen id"));
        }
        Some(id) => Some(checked_id(id)?),
    };
    let path = match &role {
        Some(role) if !role.path_suffix.is_empty() => format!("{}/{}", cx.path, role.path_suffix),
        _ => cx.path.as_str().to_owned(),
    };
    let entity_id = if orphan { String::new() } else { parent.entity_id.clone() };
    if let Some(alias) = p.entity_alias.filter(|alias| !alias.is_empty()) {
        login.alias = Some(entity_alias(alias, role.as_ref())?);
    }
    login.child = Some(Child {
        parent: if orphan { String::new() } else { parent.id },
        text,
        role: role.map(|r| r.name).unwrap_or_default(),
        path,
        entity_id,
        endless,
    });
    Ok(Reply::login(cx, login))
}

/// The login that a token is made for: one that the role allows, by its name or by a glob.
fn entity_alias(alias: String, role: Option<&Role>) -> Result<Alias> {
    let role = role.ok_or_else(|| Error::invalid("'entity_alias' is only allowed in combination with token role"))?;
    let name = alias.to_lowercase();
    if name.trim() != name || name.len() > limits::NAME_BYTES || name.contains(char::is_control) {
        return Err(Error::invalid("invalid 'entity_alias' value"));
    }
    let allowed = role.allowed_entity_aliases.iter().any(|a| a.to_lowercase() == name || ends_in_star(a, &name));
    if !allowed {
        return Err(Error::invalid("invalid 'entity_alias' value"));
    }
    Ok(Alias { name, metadata: BTreeMap::new() })
}

/// Whether a name begins as a text with `*` at its end says.
fn ends_in_star(allowed: &str, name: &str) -> bool {
    allowed.strip_suffix('*').is_some_and(|start| name.starts_with(&start.to_lowercase()))
}

fn kind(role: Option<&Role>, asked: Option<&str>) -> Result<TokenKind> {
    let asked = match asked {
        None | Some("") => None,
        Some("service") => Some(TokenKind::Service),
        Some("batch") => Some(TokenKind::Batch),
        Some(_) => return Err(Error::invalid("invalid 'token_type' value")),
    };
    Ok(match (role.map(|r| r.rules.token_type), asked) {
        (Some(TokenKind::Batch), _) => TokenKind::Batch,
        (Some(TokenKind::Service), _) => TokenKind::Service,
        (Some(TokenKind::DefaultBatch), None) => TokenKind::Batch,
        (_, asked) => asked.unwrap_or(TokenKind::Service),
    })
}

/// A text that can be a token: long enough not to be guessed, and nothing that a path or a header would stumble over.
fn checked_id(id: Secret<String>) -> Result<Secret<String>> {
    let text = id.reveal();
    let fits = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if !fits || text.len() > limits::NAME_BYTES {
        return Err(Error::invalid("a token's id has letters, digits, '-' and '_' only"));
    }
    Ok(id)
}

fn display_name(asked: Option<&str>) -> String {
    let mut name = String::from("token");
    if let Some(asked) = asked.filter(|n| !n.is_empty()) {
        name.push('-');
        let short = asked.chars().take(limits::METADATA_BYTES);
        name.extend(short.map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }));
    }
    while name.ends_with('-') {
        name.pop();
    }
    name
}

/// The policies of the new token, without `default` unless it was asked for.
fn policies(
    parent: &Token,
    asked: Vec<String>,
    role: Option<&Role>,
    trusted: bool,
    no_default: bool,
) -> Result<Vec<String>> {
    let mut asked: Vec<String> = asked.iter().map(|p| p.trim().to_lowercase()).filter(|p| !p.is_empty()).collect();
    asked.sort_unstable();
    asked.dedup();
    if asked.len() > limits::TOKEN_POLICIES {
        return Err(Error::invalid(format!("at most {} policies", limits::TOKEN_POLICIES)));
    }
    let Some(role) = role else {
        if asked.is_empty() {
            let mut inherited = parent.policies.clone();
            inherited.retain(|p| !(no_default && p == "default"));
            return Ok(inherited);
        }
        let mut beyond = asked.iter().filter(|p| *p != "default" && !parent.policies.contains(p));
        if !trusted && beyond.next().is_some() {
            return Err(Error::invalid("child policies must be subset of parent"));
        }
        return Ok(asked);
    };
    let allowed = !role.allowed_policies.is_empty() || !role.allowed_policies_glob.is_empty();
    if asked.is_empty() {
        asked = if allowed { role.allowed_policies.clone() } else { parent.policies.clone() };
        asked.retain(|p| !(no_default && p == "default"));
    }
    for name in &asked {
        if globbed(&role.disallowed_policies, &role.disallowed_policies_glob, name) {
            return Err(Error::invalid("token policies contain one that the role disallows"));
        }
        if allowed {
            if name != "default" && !globbed(&role.allowed_policies, &role.allowed_policies_glob, name) {
                return Err(Error::invalid("token policies must be subset of the role's allowed policies"));
            }
        } else if role.disallowed_policies.is_empty()
            && role.disallowed_policies_glob.is_empty()
            && !trusted
            && name != "default"
            && !parent.policies.contains(name)
        {
            return Err(Error::invalid("child policies must be subset of parent"));
        }
    }
    if asked.iter().any(|p| p == "root") && !parent.is_root() {
        return Err(Error::invalid("the policy 'root' cannot be given here"));
    }
    Ok(asked)
}

fn globbed(names: &[String], globs: &[String], name: &str) -> bool {
    names.iter().any(|n| n == name) || glob::fits_any(globs, name)
}

/// Whether `default` comes with it unasked.
fn wants_default(login: &Login, role: Option<&Role>) -> bool {
    let barred = role.is_some_and(|r| globbed(&r.disallowed_policies, &r.disallowed_policies_glob, "default"));
    !barred && !login.policies.iter().any(|p| p == "root")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_for_logs_have_no_marks() {
        assert_eq!(display_name(Some("my tool")), "token-my-tool");
        assert_eq!(display_name(Some("--")), "token");
        assert_eq!(display_name(None), "token");
    }
}
