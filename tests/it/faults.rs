//! Storage fails at the n-th operation, for every n: nothing panics, nothing is half done, what was acknowledged is there.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Value, json};
use warifu::base::{BoxFuture, Result};
use warifu::storage::faulty::{Fault, Faulty, Plan as Faults};
use warifu::storage::memory::Memory;
use warifu::storage::{Batch, Changes, Snapshot, Storage, TaskLock, UpdateFn, Version};

use crate::http::{Answer, Http};
use crate::server::{Plan, Server};
use crate::stores::{copy, rows};

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A store whose background work is done by nobody: each operation is the story's own.
struct Quiet(Arc<dyn Storage>);

impl Storage for Quiet {
    fn read(&self, f: &mut dyn FnMut(&dyn Snapshot) -> Result<()>) -> Result<()> {
        self.0.read(f)
    }
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Version>> {
        self.0.commit(batch)
    }
    fn update(&self, keys: Vec<String>, f: UpdateFn) -> BoxFuture<'_, Result<Version>> {
        self.0.update(keys, f)
    }
    fn changes(&self, from: Version) -> BoxFuture<'_, Result<Changes>> {
        self.0.changes(from)
    }
    fn changed(&self) -> BoxFuture<'_, ()> {
        self.0.changed()
    }
    fn position(&self) -> Result<Version> {
        self.0.position()
    }
    fn task_lock(&self) -> BoxFuture<'_, Result<Option<Box<dyn TaskLock>>>> {
        Box::pin(std::future::ready(Ok(None)))
    }
    fn shared(&self) -> bool {
        false
    }
    fn kind(&self) -> &'static str {
        self.0.kind()
    }
}

struct Store {
    memory: Arc<Memory>,
    faulty: Arc<Faulty>,
    quiet: Arc<dyn Storage>,
}

impl Store {
    fn over(memory: Arc<Memory>) -> Self {
        let faulty = Arc::new(Faulty::new(memory.clone()));
        Self { memory, quiet: Arc::new(Quiet(faulty.clone())), faulty }
    }
}

/// One thing that is done while storage fails.
struct Deed {
    name: &'static str,
    /// Makes what it needs.
    prepare: fn(Http) -> Boxed<Value>,
    /// Does it.
    act: fn(Http, Value) -> Boxed<Answer>,
    /// What root sees of it; the same before, or the same after, and nothing else.
    seen: fn(Http, Value) -> Boxed<Value>,
}

fn nothing(_: Http) -> Boxed<Value> {
    Box::pin(async { Value::Null })
}

async fn count_tokens(http: &Http) -> Value {
    let keys = http.list("auth/token/accessors").await.ok();
    json!(keys.data()["keys"].as_array().map_or(0, Vec::len))
}

fn tokens(http: Http, _: Value) -> Boxed<Value> {
    Box::pin(async move { count_tokens(&http).await })
}

const DEEDS: &[Deed] = &[
    Deed {
        name: "kv 1 write",
        prepare: nothing,
        act: |http, _| Box::pin(async move { http.put("one/new", json!({"k": "v"})).await }),
        seen: |http, _| Box::pin(async move { http.get("one/new").await.data().clone() }),
    },
    Deed {
        name: "kv 2 write",
        prepare: |http| {
            Box::pin(async move {
                http.put("two/data/a", json!({"data": {"k": 1}})).await.ok();
                Value::Null
            })
        },
        act: |http, _| {
            Box::pin(async move { http.put("two/data/a", json!({"data": {"k": 2}, "options": {"cas": 1}})).await })
        },
        seen: |http, _| {
            Box::pin(async move {
                let answer = http.get("two/data/a").await.ok();
                json!([answer.data()["data"], answer.data()["metadata"]["version"]])
            })
        },
    },
    Deed {
        name: "kv 2 destroy of all",
        prepare: |http| {
            Box::pin(async move {
                for _ in 0..3 {
                    http.put("two/data/d", json!({"data": {"k": 1}})).await.ok();
                }
                Value::Null
            })
        },
        act: |http, _| Box::pin(async move { http.delete("two/metadata/d").await }),
        seen: |http, _| {
            Box::pin(async move {
                json!([http.get("two/metadata/d").await.status, http.get("two/data/d?version=1").await.status])
            })
        },
    },
    Deed {
        name: "token create",
        prepare: nothing,
        act: |http, _| Box::pin(async move { http.put("auth/token/create", json!({"id": "made-in-a-storm"})).await }),
        seen: |http, _| {
            Box::pin(async move { json!([http.alive("made-in-a-storm").await, count_tokens(&http).await]) })
        },
    },
    Deed {
        name: "token revoke with children",
        prepare: |http| {
            Box::pin(async move {
                let parent = http.token_of(json!({})).await;
                let child = http.with(&parent).token_of(json!({})).await;
                let grandchild = http.with(&child).token_of(json!({})).await;
                http.with(&child).put("cubbyhole/a", json!({"k": "v"})).await.ok();
                json!([parent, child, grandchild])
            })
        },
        act: |http, made| Box::pin(async move { http.put("auth/token/revoke", json!({"token": made[0]})).await }),
        seen: |http, made| {
            Box::pin(async move {
                let mut alive = Vec::new();
                for token in made.as_array().unwrap() {
                    alive.push(http.alive(token.as_str().unwrap()).await);
                }
                json!([alive, count_tokens(&http).await])
            })
        },
    },
    Deed {
        name: "token renew",
        prepare: |http| {
            Box::pin(async move { json!(http.token_of(json!({"ttl": "60s", "policies": ["default"]})).await) })
        },
        act: |http, made| {
            Box::pin(async move { http.put("auth/token/renew", json!({"token": made, "increment": "2h"})).await })
        },
        seen: |http, made| {
            Box::pin(
                async move { http.put("auth/token/lookup", json!({"token": made})).await.ok().data()["ttl"].clone() },
            )
        },
    },
    Deed {
        name: "policy write",
        prepare: nothing,
        act: |http, _| {
            Box::pin(async move {
                http.put("sys/policies/acl/p", json!({"policy": "path \"a\" { capabilities = [\"read\"] }"})).await
            })
        },
        seen: |http, _| Box::pin(async move { json!(http.get("sys/policies/acl/p").await.status) }),
    },
    Deed {
        name: "mount",
        prepare: nothing,
        act: |http, _| Box::pin(async move { http.put("sys/mounts/new", json!({"type": "kv"})).await }),
        seen: |http, _| {
            Box::pin(async move {
                let listed = http.get("sys/mounts").await.ok().data()["new/"].is_object();
                json!([listed, http.put("new/a", json!({"k": "v"})).await.status])
            })
        },
    },
    Deed {
        name: "unmount",
        prepare: |http| {
            Box::pin(async move {
                http.put("sys/mounts/old", json!({"type": "kv"})).await.ok();
                for n in 0..3 {
                    http.put(&format!("old/{n}"), json!({"k": "v"})).await.ok();
                }
                Value::Null
            })
        },
        act: |http, _| Box::pin(async move { http.delete("sys/mounts/old").await }),
        seen: |http, _| {
            Box::pin(async move {
                let listed = http.get("sys/mounts").await.ok().data()["old/"].is_object();
                json!([listed, http.get("old/0").await.status, http.get("old/2").await.status])
            })
        },
    },
    Deed {
        name: "move of a mount",
        prepare: |http| {
            Box::pin(async move {
                http.put("sys/mounts/old", json!({"type": "kv"})).await.ok();
                http.put("old/a", json!({"k": "v"})).await.ok();
                Value::Null
            })
        },
        act: |http, _| Box::pin(async move { http.put("sys/remount", json!({"from": "old", "to": "new"})).await }),
        seen: |http, _| {
            Box::pin(async move { json!([http.get("old/a").await.status, http.get("new/a").await.status]) })
        },
    },
    Deed {
        name: "login",
        prepare: |http| {
            Box::pin(async move {
                http.put("sys/auth/userpass", json!({"type": "userpass"})).await.ok();
                http.put("auth/userpass/users/u", json!({"password": "p"})).await.ok();
                Value::Null
            })
        },
        act: |http, _| {
            Box::pin(async move { http.anonymous().put("auth/userpass/login/u", json!({"password": "p"})).await })
        },
        seen: tokens,
    },
    Deed {
        name: "approle login with a counted secret id",
        prepare: |http| {
            Box::pin(async move {
                http.put("sys/auth/approle", json!({"type": "approle"})).await.ok();
                http.put("auth/approle/role/r", json!({"secret_id_num_uses": 5})).await.ok();
                let id = http.get("auth/approle/role/r/role-id").await.ok().data()["role_id"].clone();
                let secret = http.put("auth/approle/role/r/secret-id", json!({})).await.ok();
                json!({"role_id": id, "secret_id": secret.data()["secret_id"]})
            })
        },
        act: |http, made| Box::pin(async move { http.anonymous().put("auth/approle/login", made).await }),
        seen: |http, made| {
            Box::pin(async move {
                let body = json!({"secret_id": made["secret_id"]});
                let left = http.put("auth/approle/role/r/secret-id/lookup", body).await.ok();
                json!([left.data()["secret_id_num_uses"], count_tokens(&http).await])
            })
        },
    },
    Deed {
        name: "wrap",
        prepare: nothing,
        act: |http, _| Box::pin(async move { http.put("sys/wrapping/wrap", json!({"k": "v"})).wrapped("60s").await }),
        seen: tokens,
    },
    Deed {
        name: "unwrap",
        prepare: |http| {
            Box::pin(async move {
                let call = http.put("sys/wrapping/wrap", json!({"k": "v"})).wrapped("60s");
                json!(call.await.ok().wrapping_token())
            })
        },
        act: |http, made| Box::pin(async move { http.put("sys/wrapping/unwrap", json!({"token": made})).await }),
        seen: |http, made| {
            Box::pin(async move {
                json!([http.put("sys/wrapping/lookup", json!({"token": made})).await.status, count_tokens(&http).await])
            })
        },
    },
    Deed {
        name: "rotate",
        prepare: nothing,
        act: |http, _| Box::pin(async move { http.put("sys/rotate", json!({})).await }),
        seen: |http, _| {
            Box::pin(async move {
                json!([http.get("sys/key-status").await.ok().data()["term"], http.get("one/kept").await.ok().data()])
            })
        },
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_each_deed_is_done_or_not() {
    let base = Store::over(Arc::new(Memory::new()));
    let first = Plan::over(base.quiet.clone()).ready().await;
    first.kv("one", 1).await;
    first.kv("two", 2).await;
    first.put("one/kept", json!({"k": "v"})).await.ok();
    for deed in DEEDS {
        let prepared = Store::over(copy(base.memory.as_ref()).await);
        let server = first.again_over(prepared.quiet.clone()).await;
        server.open().await;
        let made = (deed.prepare)(server.http.clone()).await;
        let before = (deed.seen)(server.http.clone(), made.clone()).await;
        // Without a fault: how many operations there are, and what is seen afterwards.
        let sound = Store::over(copy(prepared.memory.as_ref()).await);
        let server = first.again_over(sound.quiet.clone()).await;
        server.open().await;
        sound.faulty.plan(Faults::Sound);
        (deed.act)(server.http.clone(), made.clone()).await.ok();
        let operations = sound.faulty.operations();
        let after = (deed.seen)(server.http.clone(), made.clone()).await;
        assert_ne!(before, after, "{} leaves no trace", deed.name);
        assert!(operations > 0);
        for n in 1..=operations {
            for fault in [Fault::Before, Fault::After] {
                // That it stays away is tried where nothing happens: it is the rest of the deed that counts.
                let mut plans = vec![Faults::At(n, fault)];
                if fault == Fault::Before {
                    plans.push(Faults::From(n, fault));
                }
                for plan in plans {
                    let what = format!("{} with {plan:?} of {operations}", deed.name);
                    let store = Store::over(copy(prepared.memory.as_ref()).await);
                    let server = first.again_over(store.quiet.clone()).await;
                    server.open().await;
                    store.faulty.plan(plan);
                    let answer = (deed.act)(server.http.clone(), made.clone()).await;
                    store.faulty.plan(Faults::Sound);
                    assert!(answer.status > 0, "{what}: {answer:?}");
                    // A fault of the store is never the client's: except where it hides what cannot be looked at.
                    assert!(answer.succeeded() || answer.status >= 500, "{what}: {answer:?}");
                    // The same node, once the store is well again, then what a restart finds.
                    let same = (deed.seen)(server.http.clone(), made.clone()).await;
                    let next = server.again().await;
                    next.open().await;
                    next.sweep().await;
                    let found = (deed.seen)(next.http.clone(), made.clone()).await;
                    assert!(found == before || found == after, "{what}: half done, {found}, not {before} or {after}");
                    if answer.succeeded() {
                        assert_eq!(found, after, "{what}: acknowledged and not there");
                    }
                    server.sweep().await;
                    let swept = (deed.seen)(server.http.clone(), made.clone()).await;
                    assert_eq!(swept, found, "{what}: the node that saw the fault says otherwise (at first {same})");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_store_is_made_or_not_and_its_shares_are_never_lost() {
    let sound = Store::over(Arc::new(Memory::new()));
    let mut server = Plan::over(sound.quiet.clone()).start().await;
    sound.faulty.plan(Faults::Sound);
    server.init(1, 1).await;
    let operations = sound.faulty.operations();
    for n in 1..=operations {
        for fault in [Fault::Before, Fault::After] {
            let store = Store::over(Arc::new(Memory::new()));
            let server = Plan::over(store.quiet.clone()).start().await;
            store.faulty.plan(Faults::At(n, fault));
            let answer = server.put("sys/init", json!({"secret_shares": 1, "secret_threshold": 1})).await;
            store.faulty.plan(Faults::Sound);
            let next = server.again().await;
            let initialized = next.get("sys/init").await.ok().json["initialized"] == true;
            if answer.status == 200 {
                assert!(initialized, "operation {n} {fault:?}");
                let share = &answer.json["keys_base64"][0];
                for server in [&next, &server] {
                    let status = server.put("sys/unseal", json!({"key": share})).await.ok();
                    assert_eq!(status.json["sealed"], false, "operation {n} {fault:?}");
                }
                next.with(answer.json["root_token"].as_str().unwrap()).get("sys/mounts").await.ok();
            } else {
                assert!(answer.status >= 500, "{answer:?}");
                // A commit of which nobody knows whether it happened is the one way to lose shares.
                let unknown = answer.errors().contains("could not be confirmed") && fault == Fault::After;
                assert!(
                    !initialized || unknown,
                    "operation {n} {fault:?}: made, but nobody has its shares: {answer:?}"
                );
                if !initialized {
                    assert!(rows(store.memory.as_ref()).is_empty());
                    server.put("sys/init", json!({"secret_shares": 1, "secret_threshold": 1})).await.ok();
                }
            }
        }
    }
}

#[tokio::test]
async fn a_store_opens_once_it_can_be_read_again() {
    let base = Store::over(Arc::new(Memory::new()));
    let first: Server = Plan::over(base.quiet.clone()).ready().await;
    let next = first.again().await;
    base.faulty.plan(Faults::Sound);
    next.open().await;
    let operations = base.faulty.operations();
    for n in 1..=operations {
        for plan in [Faults::At(n, Fault::Before), Faults::From(n, Fault::Before)] {
            let server = first.again().await;
            base.faulty.plan(plan);
            let answer = server.put("sys/unseal", json!({"key": first.shares[0]})).await;
            base.faulty.plan(Faults::Sound);
            assert!(answer.status >= 500 || answer.json["sealed"] == false, "{plan:?}: {answer:?}");
            server.open().await;
            server.get("sys/mounts").await.ok();
        }
    }
}
