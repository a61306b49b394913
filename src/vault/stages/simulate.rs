//! A login that is only asked about: what it would give, found by the code that gives it.
//!
//! The plan of the login is made and looked at; its rows are dropped, and there is no token that could be.

use super::Recorded;
use super::login::{Plan, plan};
use crate::base::json::Map;
use crate::base::{Error, Json, Result};
use crate::engine::{Login, Simulated, show_network};
use crate::identity::Standing;
use crate::policy::{Acl, NoFacts};
use crate::token::Use;
use crate::vault::Vault;
use crate::vault::explain::{RULES_SHOWN, origin, rule};

/// What is told of it.
///
/// # Errors
/// Those of storage.
pub fn told(vault: &Vault, recorded: &Recorded, asked: Simulated) -> Result<Map> {
    let Simulated { about: mut data, mut reasons, login } = asked;
    if let Some(login) = login {
        let mount = &recorded.target.entry.mount;
        let locked = match &login.alias {
            None => false,
            Some(alias) => {
                let rule = vault.settings.facts.lockout(&mount.kind, mount.config.user_lockout.as_ref());
                vault.lockouts.locked(&mount.accessor, &alias.name, &rule, vault.clock.now())?
            }
        };
        if locked {
            reasons.push("too many logins failed: it is locked out for a while".into());
        }
        match plan(vault, mount, recorded.inbound.path.as_str().to_owned(), &login) {
            Ok(plan) if !locked => gives(vault, recorded, &login, plan, &mut data)?,
            Ok(_) => {}
            Err(Error::Forbidden(_)) => reasons.push("its entity is disabled".into()),
            Err(Error::Invalid(words)) => reasons.push(words),
            Err(error) => return Err(error),
        }
    }
    data.insert("admitted".into(), reasons.is_empty().into());
    data.insert("reasons".into(), reasons.into());
    Ok(data)
}

fn gives(vault: &Vault, recorded: &Recorded, login: &Login, plan: Plan, data: &mut Map) -> Result<()> {
    let Plan { token, standing, warnings, .. } = plan;
    let mount = &recorded.target.entry.mount;
    let identity_policies = standing.as_ref().map(Standing::policies).unwrap_or_default();
    let mut names = [token.policies.clone(), identity_policies.clone()].concat();
    names.sort_unstable();
    names.dedup();
    let needs = vault.identities.needs(&mount.accessor, &mount.kind, &standing.clone().unwrap_or_default())?;
    let metadata: Map = token.meta.iter().map(|(k, v)| (k.clone(), Json::from(v.as_str()))).collect();
    let networks: Vec<String> = token.bound_cidrs.iter().map(show_network).collect();
    let limits = mount.limits(vault.settings.limits);
    let uses = match token.uses {
        Use::Counted(left) => left,
        Use::Free => 0,
    };
    data.insert("missing_policies".into(), vault.missing(&names)?.into());
    let mut policies = Vec::new();
    for name in &names {
        policies.extend(vault.policies.get(name, vault.read_through())?);
    }
    let acl = match &standing {
        Some(standing) => Acl::compile(&policies, standing),
        None => Acl::compile(&policies, &NoFacts),
    };
    let filled: Vec<Json> = acl.filled().take(RULES_SHOWN).map(|view| rule(&view)).collect();
    let unfilled: Vec<Json> = acl.unfilled().take(RULES_SHOWN).map(|place| origin(&place)).collect();
    data.insert("templated_rules".into(), filled.into());
    data.insert("unfilled_templates".into(), unfilled.into());
    data.insert("entity".into(), entity(vault, standing.as_ref())?);
    data.insert("identity_groups".into(), standing.as_ref().map(groups).unwrap_or_default().into());
    for (name, value) in [
        ("token_policies", Json::from(token.policies)),
        ("identity_policies", identity_policies.into()),
        ("policies", names.into()),
        ("second_factor", (!needs.is_empty()).into()),
        ("token_type", token.kind.word().into()),
        ("token_ttl", token.creation_ttl.seconds().into()),
        ("token_max_ttl", login.max_ttl.capped(limits.max_ttl).seconds().into()),
        ("token_explicit_max_ttl", token.explicit_max_ttl.seconds().into()),
        ("token_period", token.period.seconds().into()),
        ("token_num_uses", uses.into()),
        ("token_bound_cidrs", networks.into()),
        ("renewable", token.renewable.into()),
        ("display_name", token.display_name.as_str().into()),
        ("metadata", Json::Object(metadata)),
        ("warnings", warnings.into()),
    ] {
        data.insert(name.into(), value);
    }
    Ok(())
}

/// Who it is: one that is known, or one that the login would make.
fn entity(vault: &Vault, standing: Option<&Standing>) -> Result<Json> {
    let Some(standing) = standing else { return Ok(Json::Null) };
    let entity = &standing.entity;
    if vault.identities.standing(&entity.id)?.is_none() {
        return Ok(Json::object([("is_new", Json::from(true))]));
    }
    Ok(Json::object([
        ("is_new", Json::from(false)),
        ("id", entity.id.as_str().into()),
        ("name", entity.name.as_str().into()),
        ("policies", entity.policies.clone().into()),
    ]))
}

fn groups(standing: &Standing) -> Vec<Json> {
    let shown = |group: &crate::identity::Group| {
        Json::object([
            ("id", Json::from(group.id.as_str())),
            ("name", group.name.as_str().into()),
            ("external", group.external.into()),
            ("policies", group.policies.clone().into()),
        ])
    };
    standing.groups().take(RULES_SHOWN).map(shown).collect()
}
