//! A login becomes a token: its policies, its identity, its times, its rows.

use super::{Recorded, entry_of};
use crate::barrier::Txn;
use crate::base::{Error, Json, Result, Secret, Timestamp, Ttl, time};
use crate::engine::{Limits, Login, Mount, TokenKind};
use crate::identity::mfa::Waiting;
use crate::identity::{At, Standing};
use crate::token::{Kind, Token, Tokens, Use};
use crate::vault::Vault;
use crate::vault::response::AuthInfo;

/// Policies that only the vault itself gives.
pub const SETTLED_POLICIES: [&str; 2] = ["root", "response-wrapping"];

/// What a login comes to, before there is a token.
pub struct Plan {
    /// The token's facts, without its text, its digest and its accessor.
    pub token: Token,
    /// Who it is, if anybody.
    pub standing: Option<Standing>,
    /// The rows of its identity.
    pub rows: Vec<Txn>,
    /// Words for people.
    pub warnings: Vec<String>,
}

/// A token that is to be.
pub struct Made {
    /// Its facts; none where a second factor is asked for first.
    pub token: Option<Token>,
    /// What its owner sees.
    pub auth: AuthInfo,
    /// Its rows and those of its identity.
    pub rows: Vec<Txn>,
    /// Words for people.
    pub warnings: Vec<String>,
}

/// Makes the token of a login.
///
/// # Errors
/// [`Error::Invalid`] for what contradicts itself; [`Error::Internal`] for a login from a secrets engine.
pub fn make(vault: &Vault, recorded: &Recorded, login: Login) -> Result<Made> {
    let here = &recorded.target.entry.mount;
    let resumed = login.resumed.as_ref().filter(|_| here.kind == "system");
    let (mount, path) = match resumed {
        Some(resumed) => (entry_of(vault, &resumed.mount_accessor)?.mount.clone(), resumed.path.clone()),
        None => (here.clone(), recorded.inbound.path.as_str().to_owned()),
    };
    let Plan { mut token, standing, mut rows, warnings } = plan(vault, &mount, path.clone(), &login)?;
    // The plan's own moment: by any later one the token would have lived already.
    let now = token.created;
    let from_token_engine = mount.kind == "token";
    if !from_token_engine
        && resumed.is_none()
        && let Some((auth, waiting)) = wait(vault, &mount, &path, &login, standing.as_ref(), now)?
    {
        rows.push(waiting);
        return Ok(Made { token: None, auth, rows, warnings });
    }
    let text = match token.kind {
        Kind::Batch => {
            let text = vault.tokens.seal_batch(&token, vault.rng.as_ref())?;
            token.id = vault.tokens.digest(&text);
            text
        }
        Kind::Service => {
            if !from_token_engine {
                token.internal = serde_json::to_string(&Login { alias: None, ..login.clone() })
                    .map_err(Error::internal)
                    .and_then(|text| Json::parse(text.as_bytes()))?;
            }
            let chosen = login.child.filter(|_| from_token_engine).and_then(|c| c.text.clone());
            // One that is drawn is not looked for: its rows expect that there is none.
            let may_exist = chosen.is_some();
            let text = chosen.unwrap_or_else(|| Tokens::new_text(vault.rng.as_ref()));
            token.id = vault.tokens.digest(&text);
            token.accessor = Tokens::new_accessor(vault.rng.as_ref());
            if may_exist && vault.tokens.get(&token.id)?.is_some() {
                return Err(Error::invalid("cannot create a token with a duplicate ID"));
            }
            rows.push(vault.tokens.create(&token)?);
            text
        }
    };
    let auth = describe(&token, text, standing.as_ref().map(Standing::policies).unwrap_or_default(), now);
    Ok(Made { token: Some(token), auth, rows, warnings })
}

/// What a login at this mount comes to: its policies, its identity, its times. Nothing is made, and no row is committed here.
///
/// # Errors
/// As [`make`]; [`Error::Forbidden`] for an entity that is disabled.
pub fn plan(vault: &Vault, mount: &Mount, path: String, login: &Login) -> Result<Plan> {
    if !mount.is_auth() {
        return Err(Error::internal("a secrets engine answered with a login"));
    }
    let from_token_engine = mount.kind == "token";
    let child = if from_token_engine { login.child.as_ref() } else { None };
    if child.is_none() && login.policies.iter().any(|p| SETTLED_POLICIES.contains(&p.as_str())) {
        return Err(Error::invalid("auth methods cannot create root tokens"));
    }
    let now = vault.clock.now();
    let limits = mount.limits(vault.settings.limits);
    let mut warnings = Vec::new();
    let kind = kind(login, &mount.config.token_type)?;
    let ttl = if child.is_some_and(|c| c.endless) {
        Ttl::ZERO
    } else {
        effective_ttl(login, limits, Ttl::ZERO, &mut warnings)
    };
    let expires = (!ttl.is_zero()).then(|| time::after(now, ttl));
    let mut rows = Vec::new();
    let mut standing = None;
    if let Some(alias) = &login.alias {
        let at = At { accessor: &mount.accessor, kind: &mount.kind };
        let (found, changed) = vault.identities.of_login(at, alias, &login.groups, now, vault.rng.as_ref())?;
        if found.entity.disabled {
            return Err(Error::Forbidden("permission denied".into()));
        }
        rows.extend(changed);
        standing = Some(found);
    } else if let Some(child) = child {
        standing = vault.identities.standing(&child.entity_id)?;
    }
    let mut policies = login.policies.clone();
    if !login.no_default_policy && !policies.iter().any(|p| p == "root") {
        policies.push("default".into());
    }
    policies.sort_unstable();
    policies.dedup();
    let display_name = match child {
        Some(_) => login.display_name.clone(),
        None => {
            let place = mount.path.as_str().trim_start_matches("auth/").trim_end_matches('/').replace('/', "-");
            if login.display_name.is_empty() { place } else { format!("{place}-{}", login.display_name) }
        }
    };
    let token = Token {
        parent: child.map(|c| c.parent.clone()).unwrap_or_default(),
        kind,
        policies,
        path: child.map_or(path, |c| c.path.clone()),
        meta: login.metadata.clone(),
        display_name,
        uses: if login.num_uses == 0 { Use::Free } else { Use::Counted(login.num_uses) },
        created: now,
        creation_ttl: ttl,
        expires,
        explicit_max_ttl: login.explicit_max_ttl,
        max_ttl: login.max_ttl,
        period: login.period,
        renewable: login.renewable && kind == Kind::Service && expires.is_some(),
        entity_id: standing.as_ref().map(|s| s.entity.id.clone()).unwrap_or_default(),
        role: child.map(|c| c.role.clone()).unwrap_or_default(),
        bound_cidrs: login.bound_cidrs.clone(),
        mount_accessor: if from_token_engine { String::new() } else { mount.accessor.clone() },
        ..Token::default()
    };
    Ok(Plan { token, standing, rows, warnings })
}

/// What the owner of a token sees of it.
pub fn describe(token: &Token, text: Secret<String>, identity_policies: Vec<String>, now: Timestamp) -> AuthInfo {
    let mut policies = [token.policies.clone(), identity_policies.clone()].concat();
    policies.sort_unstable();
    policies.dedup();
    AuthInfo {
        client_token: text,
        accessor: token.accessor.clone(),
        policies,
        token_policies: token.policies.clone(),
        identity_policies,
        metadata: token.meta.clone(),
        lease_duration: token.ttl(now),
        renewable: token.renewable,
        entity_id: token.entity_id.clone(),
        token_type: token.kind.word().to_owned(),
        orphan: token.parent.is_empty(),
        num_uses: match token.uses {
            Use::Counted(left) => left,
            Use::Free => 0,
        },
        display_name: token.display_name.clone(),
        mfa_requirement: Json::Null,
    }
}

/// A login that waits for a second factor, if a rule says so.
fn wait(
    vault: &Vault,
    mount: &Mount,
    path: &str,
    login: &Login,
    standing: Option<&Standing>,
    now: Timestamp,
) -> Result<Option<(AuthInfo, Txn)>> {
    let nobody = Standing::default();
    let needs = vault.identities.needs(&mount.accessor, &mount.kind, standing.unwrap_or(&nobody))?;
    if needs.is_empty() {
        return Ok(None);
    }
    // Who has no entity has no secret to prove anything with.
    let standing = standing.ok_or_else(|| Error::Forbidden("permission denied".into()))?;
    let constraints = needs.iter().map(|(name, methods)| {
        let any = methods.iter().map(|method| {
            Json::object([
                ("type", Json::from("totp")),
                ("id", method.id.as_str().into()),
                ("uses_passcode", true.into()),
                ("name", method.name.as_str().into()),
            ])
        });
        (name.clone(), Json::object([("any", Json::Array(any.collect()))]))
    });
    let constraints = Json::object(constraints.collect::<Vec<_>>());
    let waiting = Waiting {
        login: login.clone(),
        mount_accessor: mount.accessor.clone(),
        path: path.to_owned(),
        entity_id: standing.entity.id.clone(),
        needs,
        expires: None,
    };
    let (id, rows) = vault.identities.wait(waiting, now, vault.rng.as_ref())?;
    let mut auth = describe(&Token::default(), Secret::default(), Vec::new(), now);
    auth.orphan = false;
    auth.token_type = String::new();
    auth.mfa_requirement = Json::object([("mfa_request_id", Json::from(id)), ("mfa_constraints", constraints)]);
    Ok(Some((auth, rows)))
}

fn kind(login: &Login, tuned: &str) -> Result<Kind> {
    let kind = match (login.kind, tuned) {
        // A mount that is tuned to one kind gives no other.
        (_, "service") => Kind::Service,
        (_, "batch") => Kind::Batch,
        (TokenKind::Batch | TokenKind::DefaultBatch, _) | (TokenKind::Default, "default-batch") => Kind::Batch,
        _ => Kind::Service,
    };
    if kind == Kind::Batch {
        if login.num_uses != 0 {
            return Err(Error::invalid("batch tokens cannot have a use count"));
        }
        if !login.period.is_zero() {
            return Err(Error::invalid("batch tokens cannot be periodic"));
        }
    }
    Ok(kind)
}

/// How long a token lives from now: what is asked for, within its method's, its mount's and its own hard end. `spent` is
/// how long it has lived already.
pub fn effective_ttl(login: &Login, limits: Limits, spent: Ttl, warnings: &mut Vec<String>) -> Ttl {
    let left = |max: Ttl| Ttl::from_seconds(max.seconds().saturating_sub(spent.seconds()));
    let (mut ttl, asked) = if login.period.is_zero() {
        let asked = login.ttl.or(limits.default_ttl);
        let max = login.max_ttl.capped(limits.max_ttl);
        let room = left(max);
        (asked.min(room), asked)
    } else {
        // A periodic token is not bound by the mount's maximum as a whole, only each period is.
        (login.period.min(limits.max_ttl), login.period)
    };
    if !login.explicit_max_ttl.is_zero() {
        ttl = ttl.min(left(login.explicit_max_ttl));
    }
    if ttl < asked {
        warnings.push(format!(
            "TTL of \"{asked}\" exceeded the effective max_ttl of \"{ttl}\"; TTL value is capped accordingly"
        ));
    }
    ttl
}
