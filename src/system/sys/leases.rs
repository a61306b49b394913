//! `sys/leases/*`, and the older `sys/renew` and `sys/revoke`, through the same handlers.

use super::Sys;
use crate::barrier::Cursor;
use crate::base::{Error, Json, Path, Result, Ttl, time};
use crate::engine::{Cx, Reply, Routes};
use crate::lease::Stuck;
use crate::params;
use crate::policy::Query;
use crate::system::Revocation;

/// Adds the endpoints.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    let mut routes = routes
        .at("leases/lookup", "Read a lease.", |at| at.update(lookup))
        .at("leases/lookup/{prefix..}", "List the leases below a path.", |at| at.list(list).sudo())
        .at("leases/revoke-prefix/{prefix..}", "Revoke all below a path.", |at| at.update(revoke_prefix).sudo())
        .at("leases/revoke-force/{prefix..}", "Forget all below a path.", |at| at.update(revoke_force).sudo())
        .at("leases", "The leases that could not be revoked.", |at| at.read(stuck).sudo())
        .at("leases/count", "How many leases there are.", |at| at.read(count))
        .at("leases/tidy", "Try once more to revoke what could not be revoked.", |at| at.update(tidy).sudo())
        .at("revoke-prefix/{prefix..}", "Revoke all below a path.", |at| at.update(revoke_prefix).sudo())
        .at("revoke-force/{prefix..}", "Forget all below a path.", |at| at.update(revoke_force).sudo());
    for pattern in ["leases/renew", "leases/renew/{url_lease_id..}", "renew", "renew/{url_lease_id..}"] {
        routes = routes.at(pattern, "Renew a lease.", |at| at.update(renew));
    }
    for pattern in ["leases/revoke", "leases/revoke/{url_lease_id..}", "revoke", "revoke/{url_lease_id..}"] {
        routes = routes.at(pattern, "Revoke a lease.", |at| at.update(revoke));
    }
    routes
}

params! {
    /// A lease.
    pub struct ById {
        /// Its id.
        lease_id: Option<String>,
        /// Its id, as part of the path.
        url_lease_id: Option<String>,
        /// What is asked for, from now.
        increment: Option<Ttl>,
        /// Accepted: revoking is done when it is answered.
        sync: Option<bool>,
    }
    /// A path.
    pub struct Below {
        /// The path.
        prefix: String,
        /// Accepted: revoking is done when it is answered.
        sync: Option<bool>,
    }
}

impl ById {
    fn id(self) -> Result<String> {
        let id = self.lease_id.filter(|id| !id.is_empty()).or(self.url_lease_id).unwrap_or_default();
        if id.is_empty() {
            return Err(Error::invalid("lease_id must be specified"));
        }
        Ok(id)
    }
}

async fn lookup(cx: Cx<Sys>, p: ById) -> Result<Reply> {
    let lease = cx.engine().handles.leases.get(&p.id()?)?;
    let lease = lease.ok_or_else(|| Error::invalid("invalid lease"))?;
    let now = cx.now();
    Ok(Reply::data([
        ("id".to_owned(), Json::from(lease.id.as_str())),
        ("issue_time".to_owned(), lease.issued.to_string().into()),
        ("expire_time".to_owned(), lease.expires.to_string().into()),
        ("last_renewal".to_owned(), lease.renewed.map(|t| t.to_string()).into()),
        ("renewable".to_owned(), lease.renewable.into()),
        ("ttl".to_owned(), time::until(now, lease.expires).seconds().into()),
    ]))
}

async fn list(cx: Cx<Sys>, p: Below) -> Result<Reply> {
    let handles = &cx.engine().handles;
    let mut names = handles.leases.list(&p.prefix)?;
    names.extend(handles.tokens.list_path(&p.prefix)?);
    names.sort_unstable();
    names.dedup();
    Ok(Reply::list(names))
}

async fn renew(cx: Cx<Sys>, p: ById) -> Result<Reply> {
    let increment = p.increment.unwrap_or_default();
    let id = p.id()?;
    let handles = &cx.engine().handles;
    own_or_allowed(&cx, &id)?;
    let renewed = handles.work()?.renew_lease(&id, increment).await?;
    let json = Json::object([
        ("lease_id", Json::from(id)),
        ("renewable", renewed.renewable.into()),
        ("lease_duration", renewed.ttl.seconds().into()),
    ]);
    Ok(Reply::whole(json))
}

async fn revoke(cx: Cx<Sys>, p: ById) -> Result<Reply> {
    let id = p.id()?;
    own_or_allowed(&cx, &id)?;
    cx.engine().handles.work()?.revoke(Revocation::Lease(&id)).await?;
    Ok(Reply::nothing())
}

/// The id of a lease alone is no right to it: who asks must own it, or may ask for any.
fn own_or_allowed(cx: &Cx<Sys>, id: &str) -> Result<()> {
    let Some(lease) = cx.engine().handles.leases.get(id)? else { return Ok(()) };
    if cx.caller.root || lease.token_id == cx.caller.token_id {
        return Ok(());
    }
    let text = cx.caller.text.clone().ok_or(Error::BadToken)?;
    let work = cx.engine().handles.work()?;
    // Who may revoke all below a path may also do so one by one.
    let any = Path::parse(&format!("sys/leases/revoke-prefix/{id}"))?;
    let asked = Query { sudo: true, ..Query::new(crate::base::Operation::Update, &any) };
    if work.may(&work.token_of(&text)?, &asked)? {
        return Ok(());
    }
    Err(Error::Denied)
}

async fn revoke_prefix(cx: Cx<Sys>, p: Below) -> Result<Reply> {
    let prefix = whole(&p.prefix)?;
    cx.engine().handles.work()?.revoke(Revocation::Below(&prefix)).await?;
    Ok(Reply::nothing())
}

async fn revoke_force(cx: Cx<Sys>, p: Below) -> Result<Reply> {
    let prefix = whole(&p.prefix)?;
    cx.engine().handles.work()?.revoke(Revocation::Force(&prefix)).await?;
    Ok(Reply::nothing())
}

fn whole(prefix: &str) -> Result<String> {
    let path = prefix.trim_end_matches('/');
    if path.is_empty() {
        return Err(Error::invalid("missing prefix"));
    }
    Ok(path.to_owned())
}

params! {
    /// Which leases are asked for.
    pub struct Which {
        /// `irrevocable`; for a count also nothing, for all.
        kind: Option<String> = "type",
        /// Accepted: there are no namespaces.
        include_child_namespaces: Option<bool>,
        /// At most so many.
        limit: Option<u64>,
        /// More than what one page holds.
        force: Option<bool>,
    }
}

/// Stuck leases that one answer shows.
const SHOWN: usize = 10_000;

/// The path under which people know a mount.
fn place(cx: &Cx<Sys>, accessor: &str) -> String {
    let table = cx.engine().handles.mounts.table();
    table.accessor(accessor).map_or_else(|| accessor.to_owned(), |e| e.mount.path.to_string())
}

async fn stuck(cx: Cx<Sys>, p: Which) -> Result<Reply> {
    if p.kind.as_deref() != Some("irrevocable") {
        return Err(Error::invalid("'type' must be 'irrevocable'"));
    }
    let limit = p.limit.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(SHOWN).min(SHOWN);
    let found = cx.engine().handles.leases.stuck(limit + 1)?;
    let more = found.len() > limit;
    let shown: Vec<Json> = found
        .iter()
        .take(limit)
        .map(|s| {
            Json::object([
                ("lease_id", Json::from(s.id.as_str())),
                ("mount_path", place(&cx, &s.mount_accessor).into()),
                ("error", s.error.as_str().into()),
            ])
        })
        .collect();
    let reply =
        Reply::data([("lease_count".to_owned(), Json::from(shown.len())), ("leases".to_owned(), Json::Array(shown))]);
    Ok(if more { reply.warning(format!("there are more than the {limit} that are shown")) } else { reply })
}

async fn count(cx: Cx<Sys>, p: Which) -> Result<Reply> {
    let (view, [all, _, stuck]) = cx.engine().handles.leases.folders();
    let (view, mut total, mut counts) = (view.clone(), 0u64, std::collections::BTreeMap::<String, u64>::new());
    let mut cursor = Some(Cursor::default());
    let accessors = |accessor: String| place(&cx, &accessor);
    match p.kind.as_deref().unwrap_or_default() {
        "irrevocable" => {
            while let Some(from) = cursor.take() {
                let (page, next) = view.walk_step::<Stuck>(&stuck, &from)?;
                for (_, s) in page {
                    total += 1;
                    *counts.entry(accessors(s.mount_accessor)).or_default() += 1;
                }
                cursor = next;
            }
        }
        "" => {
            while let Some(from) = cursor.take() {
                let (page, next) = view.count_step(&all, &from)?;
                total += page as u64;
                cursor = next;
                tokio::task::yield_now().await;
            }
        }
        _ => return Err(Error::invalid("'type' must be 'irrevocable', or nothing for all")),
    }
    let counts: crate::base::json::Map = counts.into_iter().map(|(k, n)| (k, n.into())).collect();
    Ok(Reply::data([("lease_count".to_owned(), Json::from(total)), ("counts".to_owned(), counts.into())]))
}

async fn tidy(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    let handles = &cx.engine().handles;
    let work = handles.work()?;
    // One page at a time: what stays stuck must not be tried in a circle.
    for s in handles.leases.stuck(crate::base::limits::BATCH_KEYS)? {
        work.revoke(Revocation::Lease(&s.id)).await?;
    }
    Ok(Reply::nothing().status(202).warning("Leases that could not be revoked were tried once more."))
}
