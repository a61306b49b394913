//! Who holds which policies: the sets in use, and whether an administrator is among them.
//!
//! A set is in use if a live token has it, with what its entity and groups add, or if an entity has it without any token. An
//! administrator is who may write any policy: directly, or by applying many. Root tokens are none: they are made for a
//! purpose and ended. Batch tokens are not stored and so not seen, nor is who could log in and has not.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::apply::text_of;
use crate::barrier::Cursor;
use crate::base::json::Map;
use crate::base::{Error, Json, Key, Operation, Path, Result, limits};
use crate::engine::{Cx, Reply, Routes};
use crate::identity::{Entity, Standing};
use crate::policy::{Acl, Facts, NoFacts, Policy, Query, ROOT};
use crate::system::Sys;
use crate::token::{self, Token};

/// Adds the endpoints.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    routes.at("policies/sets", "The sets of policies that tokens and entities hold.", |at| at.read(sets).sudo())
}

async fn sets(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    let mut found: BTreeMap<Vec<String>, (u64, u64)> = BTreeMap::new();
    let mut complete = true;
    let mut add = |held: &Held| {
        if found.len() >= limits::POLICY_SETS && !found.contains_key(&held.policies) {
            complete = false;
            return Ok(true);
        }
        let (tokens, entities) = found.entry(held.policies.clone()).or_default();
        *if held.by_token { tokens } else { entities } += 1;
        Ok(true)
    };
    each(&cx, &mut add).await?;
    let sets = found.into_iter().map(|(policies, (tokens, entities))| {
        Json::object([("policies", Json::from(policies)), ("tokens", tokens.into()), ("entities", entities.into())])
    });
    Ok(Reply::data([("sets".to_owned(), Json::Array(sets.collect())), ("complete".to_owned(), complete.into())]))
}

/// Somebody and their policies, sorted, each once.
struct Held {
    policies: Vec<String>,
    standing: Option<Standing>,
    by_token: bool,
}

/// Policies by their texts, parsed when they are asked for.
struct Policies<'a> {
    texts: &'a BTreeMap<String, String>,
    parsed: BTreeMap<String, Option<Arc<Policy>>>,
    /// What was found of sets that say the same of everybody.
    known: BTreeMap<Vec<String>, bool>,
}

/// Fails if there is an administrator by the policies before, and none by those after.
pub(super) async fn check_administrators(
    cx: &Cx<Sys>,
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> Result<()> {
    if !changes_administrators(before, after) {
        return Ok(());
    }
    let (mut before, mut after) = (Policies::of(before), Policies::of(after));
    let caller = &cx.caller;
    let standing = cx.engine().handles.identities.standing(&caller.entity_id)?;
    let asking = Held { policies: caller.policies.clone(), standing, by_token: true };
    if !caller.root && after.administers(&asking)? {
        return Ok(());
    }
    let (mut any_before, mut any_after) = (false, false);
    let mut look = |held: &Held| {
        any_after = after.administers(held)?;
        any_before = any_before || before.administers(held)?;
        Ok(!any_after)
    };
    each(cx, &mut look).await?;
    if any_before && !any_after {
        return Err(Error::invalid(
            "refused: no token and no entity would be left whose policies allow to write any policy \
             (update of sys/policies/acl/*, or of sys/policies/apply/* with sudo); root tokens do not count",
        ));
    }
    Ok(())
}

/// Calls `f` for each holder, tokens first, until it says that this is enough.
async fn each(cx: &Cx<Sys>, f: &mut (dyn FnMut(&Held) -> Result<bool> + Send)) -> Result<()> {
    let handles = &cx.engine().handles;
    let now = cx.now();
    let mut cursor = Some(Cursor::default());
    while let Some(from) = cursor.take() {
        let (page, next) = handles.tokens.view().walk_step::<Token>(&token::ids(), &from)?;
        for (_, token) in page.into_iter().filter(|(_, token)| !token.expired(now)) {
            if let Some(held) = held(cx, token.policies, &token.entity_id, true)?
                && !f(&held)?
            {
                return Ok(());
            }
        }
        cursor = next;
        tokio::task::yield_now().await;
    }
    let mut cursor = Some(Cursor::default());
    while let Some(from) = cursor.take() {
        let (page, next) = handles.identities.view().walk_step::<Entity>(&Key::new("entity/id"), &from)?;
        for (_, entity) in page {
            if let Some(held) = held(cx, Vec::new(), &entity.id, false)?
                && !held.policies.is_empty()
                && !f(&held)?
            {
                return Ok(());
            }
        }
        cursor = next;
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// What somebody holds; none for whose entity is gone or disabled.
fn held(cx: &Cx<Sys>, mut policies: Vec<String>, entity_id: &str, by_token: bool) -> Result<Option<Held>> {
    let standing = cx.engine().handles.identities.standing(entity_id)?;
    if !entity_id.is_empty() && standing.as_ref().is_none_or(|standing| standing.entity.disabled) {
        return Ok(None);
    }
    policies.extend(standing.iter().flat_map(Standing::policies));
    policies.sort_unstable();
    policies.dedup();
    Ok(Some(Held { policies, standing, by_token }))
}

impl<'a> Policies<'a> {
    fn of(texts: &'a BTreeMap<String, String>) -> Self {
        Self { texts, parsed: BTreeMap::new(), known: BTreeMap::new() }
    }

    fn administers(&mut self, held: &Held) -> Result<bool> {
        if held.policies.iter().any(|name| name == ROOT) {
            return Ok(false);
        }
        if let Some(known) = self.known.get(&held.policies) {
            return Ok(*known);
        }
        let mut policies = Vec::new();
        for name in &held.policies {
            let parsed = self.parsed.entry(name.clone()).or_insert_with(|| {
                text_of(self.texts, name).and_then(|text| Policy::parse(name, text).ok()).map(Arc::new)
            });
            policies.extend(parsed.clone());
        }
        let facts: &dyn Facts = match &held.standing {
            Some(standing) => standing,
            None => &NoFacts,
        };
        let administers = may_write_any(&Acl::compile(&policies, facts))?;
        if !policies.iter().any(|policy| policy.is_templated()) {
            self.known.insert(held.policies.clone(), administers);
        }
        Ok(administers)
    }
}

/// Whether anybody can be an administrator by the one and not by the other: not where no policy that differs says anything
/// of writing policies. Then nobody has to be looked at, however many there are.
fn changes_administrators(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> bool {
    let concerns = |texts: &BTreeMap<String, String>, name: &str| {
        let policy = text_of(texts, name).and_then(|text| Policy::parse(name, text).ok());
        policy.is_some_and(|policy| ADMINISTRATION.iter().any(|(path, _)| policy.concerns(path)))
    };
    let differ = before.keys().chain(after.keys()).filter(|name| before.get(*name) != after.get(*name));
    differ.into_iter().any(|name| concerns(before, name) || concerns(after, name))
}

/// Where an administrator may write, and whether that needs sudo: a policy that no rule names.
const ADMINISTRATION: [(&str, bool); 2] = [("sys/policies/acl/‹any›", false), ("sys/policies/apply/‹any›", true)];

/// Whether a policy of any name can be written: of one that no rule names.
fn may_write_any(acl: &Acl) -> Result<bool> {
    let body = Map::from([("policy".to_owned(), Json::from("path \"a\" {}"))]);
    for (path, sudo) in ADMINISTRATION {
        let path = Path::parse(path)?;
        let query = Query { sudo, parameters: Some(&body), ..Query::new(Operation::Update, &path) };
        if acl.check(&query).is_allowed() {
            return Ok(true);
        }
    }
    Ok(false)
}
