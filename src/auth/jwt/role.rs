//! `role/`: what a token must say, and what it gets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Jwt;
use crate::base::json::Map;
use crate::base::{Error, Json, Key, Name, Result, Ttl, header, limits};
use crate::engine::{Cx, OlderTokenParams, Page, Reply, Routes, TokenParams, TokenRules};
use crate::outbound::Address;
use crate::params;

/// Adds the endpoints.
pub fn routes(routes: Routes<Jwt>) -> Routes<Jwt> {
    routes.at("role/", "List the roles.", |at| at.list(list)).at(
        "role/{name!}",
        "Read, write and delete a role.",
        |at| at.read(read).upsert(exists, write).delete(delete),
    )
}

/// For whom a role is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoleType {
    /// People in browsers.
    #[default]
    Oidc,
    /// Whoever has a token already.
    Jwt,
}

/// A role, as stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Role {
    /// For whom.
    pub role_type: RoleType,
    /// The claim that says who it is.
    pub user_claim: String,
    /// Whether that is a JSON pointer.
    pub user_claim_json_pointer: bool,
    /// One of them must be the token's.
    pub bound_audiences: Vec<String>,
    /// The only subject; empty for any.
    pub bound_subject: String,
    /// Claims and the values of which one must be there.
    pub bound_claims: Map,
    /// Whether those are patterns.
    pub globs: bool,
    /// Claims that become metadata, and its names.
    pub claim_mappings: BTreeMap<String, String>,
    /// The claim with the names of groups; empty for none.
    pub groups_claim: String,
    /// Seconds; 0 for the default, negative for none.
    pub clock_skew_leeway: i64,
    /// As above.
    pub expiration_leeway: i64,
    /// As above.
    pub not_before_leeway: i64,
    /// Where a browser may be sent back to.
    pub allowed_redirect_uris: Vec<String>,
    /// What is asked for beside `openid`.
    pub oidc_scopes: Vec<String>,
    /// How long ago a person may have shown who it is; 0 for any time.
    pub max_age: Ttl,
    /// Accepted and shown: claims are in no log.
    pub verbose_oidc_logging: bool,
    /// What the tokens are like.
    pub rules: TokenRules,
}

/// Where a role lies.
pub fn key(name: &Name) -> Key {
    folder().join(name.as_str())
}

fn folder() -> Key {
    Key::new("role")
}

params! {
    /// A role.
    pub struct ByName {
        /// The role's name.
        name: Name,
    }
    /// A role; what is absent stays as it was.
    pub struct Write {
        /// The role's name.
        name: Name,
        /// For whom: 'oidc' (browsers) or 'jwt' (whoever has a token already).
        role_type: Option<String>,
        /// The claim that says who it is.
        user_claim: Option<String>,
        /// Whether 'user_claim' is a JSON pointer.
        user_claim_json_pointer: Option<bool>,
        /// One of them must be the token's.
        bound_audiences: Option<Vec<String>>,
        /// The only subject.
        bound_subject: Option<String>,
        /// Claims, and the value or list of values of which one must be there.
        bound_claims: Option<Json>,
        /// What the bound values are: 'string' or 'glob'.
        bound_claims_type: Option<String>,
        /// Claims that become metadata, and its names.
        claim_mappings: Option<BTreeMap<String, String>>,
        /// The claim with the names of groups.
        groups_claim: Option<String>,
        /// Seconds by which clocks may differ; 0 for 60, negative for none.
        clock_skew_leeway: Option<Seconds>,
        /// Seconds that a token without an end lives; 0 for 150, negative for none.
        expiration_leeway: Option<Seconds>,
        /// Seconds before its end from which a token without a start is good; 0 for 150, negative for none.
        not_before_leeway: Option<Seconds>,
        /// Where a browser may be sent back to.
        allowed_redirect_uris: Option<Vec<String>>,
        /// What is asked for beside 'openid'.
        oidc_scopes: Option<Vec<String>>,
        /// How long ago a person may have shown who it is.
        max_age: Option<Ttl>,
        /// Accepted and shown: claims are in no log.
        verbose_oidc_logging: Option<bool>,
        /// The older names of what the tokens are like.
        older: OlderTokenParams,
        /// What the tokens are like.
        token: TokenParams,
    }
}

/// Seconds that may be negative: a number, or text with a unit.
#[derive(Clone, Copy, Debug)]
pub struct Seconds(i64);

impl crate::engine::params::Scalar for Seconds {
    // A duration of Vault may not be negative: the word for what this reads is a number.
    const KIND: &'static str = "integer";
    fn read(value: Json) -> Result<Self, String> {
        let expected = || "expected a duration, which may be negative".to_owned();
        let text = String::read(value).map_err(|_| expected())?;
        let (sign, text) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.as_str()),
        };
        let seconds = Ttl::parse(text).map_err(|_| expected())?.seconds();
        Ok(Self(sign * i64::try_from(seconds).map_err(|_| expected())?))
    }
}

async fn list(cx: Cx<Jwt>, p: Page) -> Result<Reply> {
    Ok(Reply::list(p.of(cx.list(&folder())?)))
}

async fn read(cx: Cx<Jwt>, p: ByName) -> Result<Reply> {
    let role: Role = cx.get(&key(&p.name))?.ok_or_else(Error::not_found)?;
    let list = |items: Vec<String>| if items.is_empty() { Json::Null } else { items.into() };
    let object = |map: Map| if map.is_empty() { Json::Null } else { Json::Object(map) };
    let mappings: Map = role.claim_mappings.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
    let pairs: [(&str, Json); 16] = [
        ("allowed_redirect_uris", list(role.allowed_redirect_uris)),
        ("bound_audiences", list(role.bound_audiences)),
        ("bound_claims", object(role.bound_claims)),
        ("bound_claims_type", if role.globs { "glob" } else { "string" }.into()),
        ("bound_subject", role.bound_subject.into()),
        ("claim_mappings", object(mappings)),
        ("clock_skew_leeway", role.clock_skew_leeway.into()),
        ("expiration_leeway", role.expiration_leeway.into()),
        ("groups_claim", role.groups_claim.into()),
        ("max_age", role.max_age.seconds().into()),
        ("not_before_leeway", role.not_before_leeway.into()),
        ("oidc_scopes", list(role.oidc_scopes)),
        ("role_type", if role.role_type == RoleType::Jwt { "jwt" } else { "oidc" }.into()),
        ("user_claim", role.user_claim.into()),
        ("user_claim_json_pointer", role.user_claim_json_pointer.into()),
        ("verbose_oidc_logging", role.verbose_oidc_logging.into()),
    ];
    let mut data = Map::from(pairs.map(|(k, v)| (k.to_owned(), v)));
    role.rules.show(&mut data);
    Ok(Reply::data(data))
}

fn exists(cx: &Cx<Jwt>, p: &Write) -> Result<bool> {
    Ok(cx.get::<Role>(&key(&p.name))?.is_some())
}

async fn write(cx: Cx<Jwt>, p: Write) -> Result<Reply> {
    let key = key(&p.name);
    let mut txn = cx.txn();
    let old: Option<Role> = cx.writable(&mut txn, &key)?;
    let mut role = old.unwrap_or_default();
    apply(&mut role, p)?;
    check(&role)?;
    txn.put(&key, &role)?;
    Ok(Reply::empty(txn))
}

fn apply(role: &mut Role, p: Write) -> Result<()> {
    fn set<T>(place: &mut T, given: Option<T>) {
        if let Some(value) = given {
            *place = value;
        }
    }
    role.role_type = match p.role_type.as_deref() {
        None => role.role_type,
        Some("jwt") => RoleType::Jwt,
        Some("oidc" | "") => RoleType::Oidc,
        Some(_) => return Err(Error::invalid("invalid 'role_type': only 'jwt' and 'oidc' are possible")),
    };
    role.globs = match p.bound_claims_type.as_deref() {
        None => role.globs,
        Some("string" | "") => false,
        Some("glob") => true,
        Some(_) => return Err(Error::invalid("invalid 'bound_claims_type': only 'string' and 'glob' are possible")),
    };
    match p.bound_claims {
        None => {}
        Some(Json::Object(map)) => role.bound_claims = map,
        Some(_) => return Err(Error::invalid("field 'bound_claims': expected an object")),
    }
    set(&mut role.user_claim, p.user_claim);
    set(&mut role.user_claim_json_pointer, p.user_claim_json_pointer);
    set(&mut role.bound_audiences, p.bound_audiences);
    set(&mut role.bound_subject, p.bound_subject);
    set(&mut role.claim_mappings, p.claim_mappings);
    set(&mut role.groups_claim, p.groups_claim);
    set(&mut role.clock_skew_leeway, p.clock_skew_leeway.map(|s| s.0));
    set(&mut role.expiration_leeway, p.expiration_leeway.map(|s| s.0));
    set(&mut role.not_before_leeway, p.not_before_leeway.map(|s| s.0));
    set(&mut role.allowed_redirect_uris, p.allowed_redirect_uris);
    set(&mut role.oidc_scopes, p.oidc_scopes);
    set(&mut role.max_age, p.max_age);
    set(&mut role.verbose_oidc_logging, p.verbose_oidc_logging);
    role.rules.apply_older(p.older)?;
    role.rules.apply(p.token)
}

fn check(role: &Role) -> Result<()> {
    if role.user_claim.is_empty() {
        return Err(Error::invalid("a user claim must be defined on the role"));
    }
    if !role.allowed_redirect_uris.iter().all(|text| header::is_address(text)) {
        return Err(Error::invalid("'allowed_redirect_uris': an address has no spaces and no control characters"));
    }
    match role.role_type {
        RoleType::Oidc if role.allowed_redirect_uris.is_empty() => {
            return Err(Error::invalid("'allowed_redirect_uris' must be set if 'role_type' is 'oidc' or unspecified"));
        }
        // A role that asks for nothing would admit whoever has any token of the issuer.
        RoleType::Jwt
            if role.bound_audiences.is_empty()
                && role.bound_subject.is_empty()
                && role.bound_claims.is_empty()
                && role.rules.token_bound_cidrs.is_empty() =>
        {
            return Err(Error::invalid(
                "must have at least one bound constraint when creating/updating a role: bound_audiences, bound_subject, bound_claims or token_bound_cidrs",
            ));
        }
        _ => {}
    }
    let sizes = [
        ("bound_audiences", role.bound_audiences.len()),
        ("bound_claims", role.bound_claims.len()),
        ("allowed_redirect_uris", role.allowed_redirect_uris.len()),
        ("oidc_scopes", role.oidc_scopes.len()),
    ];
    if let Some((field, _)) = sizes.into_iter().find(|(_, size)| *size > limits::ROLE_CONDITIONS) {
        return Err(Error::invalid(format!("field '{field}': at most {}", limits::ROLE_CONDITIONS)));
    }
    for uri in &role.allowed_redirect_uris {
        Address::parse(uri).map_err(|e| Error::invalid(format!("field 'allowed_redirect_uris': {e}")))?;
    }
    crate::engine::params::check_metadata("claim_mappings", &role.claim_mappings)?;
    let mut names: Vec<&String> = role.claim_mappings.values().collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Error::invalid("field 'claim_mappings': two claims become the same metadata"));
    }
    if names.iter().any(|name| *name == "role") {
        return Err(Error::invalid("field 'claim_mappings': the metadata 'role' is the role's own"));
    }
    Ok(())
}

async fn delete(cx: Cx<Jwt>, p: ByName) -> Result<Reply> {
    let mut txn = cx.txn();
    txn.delete(&key(&p.name));
    Ok(Reply::empty(txn))
}
