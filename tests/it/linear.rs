//! Whether what many clients saw of one secret can have happened one after the other: every history of concurrent writes,
//! patches, reads, deletions and destructions is searched for an order that explains each answer.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use warifu::storage::sqlite::Sqlite;

use crate::chance::Chance;
use crate::http::Http;
use crate::server::{Plan, Server, at_once};

/// What is asked.
#[derive(Clone, Debug)]
enum Op {
    /// Writes, with the version that is expected, if any.
    Put(u64, Option<u64>),
    /// Merges.
    Patch(u64),
    /// Reads the latest version, or this one.
    Get(Option<u64>),
    Delete,
    Undelete(u64),
    Destroy(u64),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// A version was made.
    Made(u64),
    /// A version was read: its number, and what is in it.
    Read(u64, Value),
    /// There is nothing to be read.
    Nothing,
    Refused,
    Done,
}

/// One request, with the moments of its beginning and its end.
#[derive(Clone, Debug)]
struct Event {
    from: usize,
    to: usize,
    op: Op,
    seen: Seen,
}

/// A secret as it should be: what each version holds, whether it is deleted, whether it is destroyed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Secret(Vec<(String, bool, bool)>);

impl Secret {
    /// The state after this, if the answer fits.
    fn after(&self, op: &Op, seen: &Seen) -> Option<Self> {
        let (mut next, latest) = (self.clone(), self.0.len() as u64);
        let live = |n: u64| {
            let version = n.checked_sub(1).and_then(|at| self.0.get(usize::try_from(at).ok()?));
            version.filter(|(_, deleted, destroyed)| !deleted && !destroyed)
        };
        let expected = match op {
            Op::Put(_, Some(cas)) if *cas != latest => Seen::Refused,
            Op::Put(n, _) => {
                next.0.push((json!({"put": n}).to_string(), false, false));
                Seen::Made(latest + 1)
            }
            Op::Patch(n) => match live(latest) {
                None => Seen::Nothing,
                Some((text, ..)) => {
                    let mut data: Value = serde_json::from_str(text).unwrap();
                    data["patch"] = json!(n);
                    next.0.push((data.to_string(), false, false));
                    Seen::Made(latest + 1)
                }
            },
            Op::Get(version) => match live(version.unwrap_or(latest)) {
                Some((text, ..)) => Seen::Read(version.unwrap_or(latest), serde_json::from_str(text).unwrap()),
                None => Seen::Nothing,
            },
            Op::Delete => {
                if let Some(last) = next.0.last_mut() {
                    last.1 = true;
                }
                Seen::Done
            }
            Op::Undelete(n) => {
                if let Some(version) = n.checked_sub(1).and_then(|at| next.0.get_mut(usize::try_from(at).ok()?)) {
                    version.1 = false;
                }
                Seen::Done
            }
            Op::Destroy(n) => {
                if let Some(version) = n.checked_sub(1).and_then(|at| next.0.get_mut(usize::try_from(at).ok()?)) {
                    version.2 = true;
                }
                Seen::Done
            }
        };
        (expected == *seen).then_some(next)
    }
}

/// Whether there is an order, in which nothing comes before what had ended when it began (Wing and Gong).
fn explained(events: &[Event]) -> bool {
    let mut dead = HashSet::new();
    let mut open = vec![(0_u64, Secret::default())];
    let all = (1_u64 << events.len()) - 1;
    while let Some((done, state)) = open.pop() {
        if done == all {
            return true;
        }
        if !dead.insert((done, state.clone())) {
            continue;
        }
        let left = || events.iter().enumerate().filter(|(n, _)| done & (1 << n) == 0);
        let first_end = left().map(|(_, event)| event.to).min().unwrap_or(0);
        for (n, event) in left().filter(|(_, event)| event.from < first_end) {
            if let Some(next) = state.after(&event.op, &event.seen) {
                open.push((done | 1 << n, next));
            }
        }
    }
    false
}

async fn ask(http: &Http, key: &str, op: &Op) -> Seen {
    let data = format!("kv/data/{key}");
    let versions = |n: &u64| json!({"versions": [n]});
    let answer = match op {
        Op::Put(n, cas) => {
            let options = cas.map_or(json!({}), |cas| json!({"cas": cas}));
            http.put(&data, json!({"data": {"put": n}, "options": options})).await
        }
        Op::Patch(n) => http.patch(&data, json!({"data": {"patch": n}})).await,
        Op::Get(None) => http.get(&data).await,
        Op::Get(Some(version)) => http.get(&format!("{data}?version={version}")).await,
        Op::Delete => http.delete(&data).await,
        Op::Undelete(n) => http.put(&format!("kv/undelete/{key}"), versions(n)).await,
        Op::Destroy(n) => http.put(&format!("kv/destroy/{key}"), versions(n)).await,
    };
    let version = answer.data()["version"].as_u64();
    match (op, answer.status) {
        (Op::Put(..) | Op::Patch(_), 200) => Seen::Made(version.unwrap()),
        (Op::Get(_), 200) => {
            Seen::Read(answer.data()["metadata"]["version"].as_u64().unwrap(), answer.data()["data"].clone())
        }
        (Op::Put(_, Some(_)), 400) => Seen::Refused,
        (Op::Get(_) | Op::Patch(_), 404) => Seen::Nothing,
        (Op::Delete | Op::Undelete(_) | Op::Destroy(_), 200 | 204) => Seen::Done,
        _ => panic!("{op:?} answered {answer:?}"),
    }
}

/// Some clients and one key, each a few requests: what they saw.
async fn history(http: &Http, key: String, seed: u64) -> Vec<Event> {
    const CLIENTS: u64 = 6;
    let moment = Arc::new(AtomicUsize::new(0));
    let clients = (0..CLIENTS).map(|client| {
        let (http, key, moment) = (http.clone(), key.clone(), moment.clone());
        let mut chance = Chance(seed * CLIENTS + client + 1);
        async move {
            let mut events = Vec::new();
            let mut known = 0;
            for turn in 0..4 {
                let n = client * 10 + turn;
                let version = 1 + chance.below(4) as u64;
                let op = match chance.below(12) {
                    0 | 1 => Op::Put(n, None),
                    2..=4 => Op::Put(n, Some(known)),
                    5 => Op::Patch(n),
                    6 | 7 => Op::Get(None),
                    8 => Op::Get(Some(version)),
                    9 => Op::Delete,
                    10 => Op::Undelete(version),
                    _ => Op::Destroy(version),
                };
                let from = moment.fetch_add(1, Ordering::SeqCst);
                let seen = ask(&http, &key, &op).await;
                let to = moment.fetch_add(1, Ordering::SeqCst);
                if let Seen::Made(version) | Seen::Read(version, _) = &seen {
                    known = *version;
                }
                events.push(Event { from, to, op, seen });
            }
            events
        }
    });
    at_once(clients).await.into_iter().flatten().collect()
}

async fn searched(server: &Server, histories: u64) {
    server.kv("kv", 2).await;
    server.put("kv/config", json!({"max_versions": 50})).await.ok();
    for seed in 0..histories {
        let events = history(server, format!("h{seed}"), seed).await;
        assert!(explained(&events), "no order explains the history of the seed {seed}: {events:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_see_of_one_secret_at_once_can_have_happened_one_after_the_other() {
    searched(&Server::new().await, 150).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_a_disk_change_that() {
    let folder = tempfile::tempdir().unwrap();
    let server = Plan::over(Arc::new(Sqlite::open(&folder.path().join("a.db")).unwrap())).ready().await;
    searched(&server, 60).await;
}

/// The search finds what is wrong: two who both won, a write that was lost, a read of what was not there yet.
#[test]
fn histories_that_no_order_explains_are_told() {
    let event = |from, to, op, seen| Event { from, to, op, seen };
    let put = |from, to, n, cas, version| event(from, to, Op::Put(n, cas), Seen::Made(version));
    let get = |from, to, version, n: u64| event(from, to, Op::Get(None), Seen::Read(version, json!({"put": n})));
    assert!(explained(&[put(0, 3, 1, Some(0), 1), event(1, 2, Op::Put(2, Some(0)), Seen::Refused), get(4, 5, 1, 1)]));
    assert!(explained(&[put(0, 5, 1, None, 1), get(1, 2, 1, 1)]), "a write that is under way may be seen");
    for wrong in [
        vec![put(0, 2, 1, Some(0), 1), put(1, 3, 2, Some(0), 1)],
        vec![put(0, 1, 1, None, 1), put(2, 3, 2, None, 2), get(4, 5, 1, 1)],
        vec![get(0, 1, 1, 1), put(2, 3, 1, None, 1)],
        vec![put(0, 1, 1, None, 1), event(2, 3, Op::Delete, Seen::Done), get(4, 5, 1, 1)],
        vec![put(0, 1, 1, None, 1), event(2, 3, Op::Get(None), Seen::Nothing)],
        vec![
            put(0, 1, 1, None, 1),
            event(2, 3, Op::Destroy(1), Seen::Done),
            event(4, 5, Op::Undelete(1), Seen::Done),
            get(6, 7, 1, 1),
        ],
    ] {
        assert!(!explained(&wrong), "{wrong:?}");
    }
}
