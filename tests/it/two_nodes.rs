//! Two nodes over one store, each with caches of its own and a change feed that is delayed, cut or lost.
//!
//! The promise: what ends something holds on the same node for every request begun after its answer, and on the other
//! within a second; single use, check-and-set and counts are exact everywhere. An engine takes part by a row in [`ENDS`],
//! [`BEGINNINGS`] or [`COUNTS`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use warifu::crypto::{Curve, KeyKind, PrivateKey};
use warifu::storage::memory::Memory;

use crate::http::Http;
use crate::issuer::sign;
use crate::server::{Plan, Server, at_once};
use crate::stores::{FEEDS, Feed, Wire};

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Something that is allowed until it is ended.
struct End {
    name: &'static str,
    /// Makes it by root; what the other two need to know.
    make: fn(Http) -> Boxed<Value>,
    /// Whether it still works.
    works: fn(Http, Value) -> Boxed<bool>,
    /// Ends it by root.
    end: fn(Http, Value) -> Boxed<()>,
}

/// Something that can be had so many times and no more.
struct Count {
    name: &'static str,
    make: fn(Http) -> Boxed<Value>,
    /// Tries to take one: the status.
    take: fn(Http, Value, usize) -> Boxed<u16>,
    /// How many there are.
    limit: usize,
}

/// Two nodes: `one` hears everything, `two` by the wire.
struct Pair {
    one: Server,
    two: Server,
    wire: Arc<Wire>,
}

impl Pair {
    async fn new() -> Self {
        let one = Plan::over(Arc::new(Memory::new())).ready().await;
        let wire = Wire::new(one.plan.storage.clone());
        let two = one.again_over(wire.clone()).await;
        two.open().await;
        for kind in ["userpass", "approle", "jwt", "cert", "kubernetes"] {
            one.put(&format!("sys/auth/{kind}"), json!({"type": kind})).await.ok();
        }
        one.kv("kv", 2).await;
        one.put("kv/data/a", json!({"data": {"k": "v"}})).await.ok();
        let pair = Self { one, two, wire };
        pair.second().await;
        pair
    }

    /// A little more than a second passes.
    async fn second(&self) {
        self.one.clock().advance_by(Duration::from_millis(1001));
        // So that those who poll have had their chance; what is promised does not need it.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap().to_owned()
}

async fn reader(http: &Http, name: &str) -> String {
    http.policy(name, r#"path "kv/data/*" { capabilities = ["read"] }"#).await;
    http.token_of(json!({"policies": [name]})).await
}

fn reads(http: Http, made: Value) -> Boxed<bool> {
    Box::pin(async move {
        let answer = http.with(&text(&made, "token")).get("kv/data/a").await;
        assert!(matches!(answer.status, 200 | 403), "{answer:?}");
        answer.status == 200
    })
}

fn logs_in(http: Http, made: Value) -> Boxed<bool> {
    Box::pin(async move {
        let answer = http.anonymous().put(&text(&made, "path"), made["body"].clone()).await;
        assert!(matches!(answer.status, 200 | 400 | 403), "{answer:?}");
        answer.status == 200
    })
}

/// Somebody who logs in, with an entity that is written so, perhaps in a group that may read.
async fn known(http: &Http, name: &str, entity: Value, grouped: bool) -> Value {
    http.policy("p-known", r#"path "kv/data/*" { capabilities = ["read"] }"#).await;
    http.put(&format!("auth/userpass/users/{name}"), json!({"password": "p"})).await.ok();
    let login = http.anonymous().put(&format!("auth/userpass/login/{name}"), json!({"password": "p"})).await.ok();
    let id = login.auth()["entity_id"].clone();
    let place = format!("identity/entity/id/{}", id.as_str().unwrap());
    http.put(&place, entity).await.ok();
    let mut made = json!({"token": login.auth()["client_token"], "entity": place});
    if grouped {
        let body = json!({"name": name, "policies": ["p-known"], "member_entity_ids": [id]});
        let group = http.put("identity/group", body).await.ok();
        made["group"] = json!(format!("identity/group/id/{}", group.data()["id"].as_str().unwrap()));
    }
    made
}

async fn approle(http: &Http, more: Value) -> Value {
    let mut role = json!({"token_policies": ["p-approle"]});
    role.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    http.put("auth/approle/role/r", role).await.ok();
    let role_id = http.get("auth/approle/role/r/role-id").await.ok().data()["role_id"].clone();
    let secret = http.put("auth/approle/role/r/secret-id", json!({})).await.ok();
    let secret_id = secret.data()["secret_id"].clone();
    json!({
        "path": "auth/approle/login",
        "body": {"role_id": role_id, "secret_id": secret_id},
        "accessor": secret.data()["secret_id_accessor"],
    })
}

/// A login with a token whose issuer's key is configured.
async fn jwt(http: &Http) -> Value {
    let key = PrivateKey::generate(KeyKind::Ec(Curve::P256)).unwrap();
    let config = json!({"jwt_validation_pubkeys": [key.public().pem().unwrap()]});
    http.put("auth/jwt/config", config).await.ok();
    let role = json!({"role_type": "jwt", "user_claim": "sub", "bound_subject": "s"});
    http.put("auth/jwt/role/r", role).await.ok();
    let token = sign(&json!({"alg": "ES256"}), &json!({"sub": "s", "iat": 1, "exp": 4_000_000_000_u64}), &key);
    json!({"path": "auth/jwt/login", "body": {"role": "r", "jwt": token}})
}

const ENDS: &[End] = &[
    End {
        name: "revoke",
        make: |http| Box::pin(async move { json!({"token": reader(&http, "p-revoke").await}) }),
        works: reads,
        end: |http, made| {
            Box::pin(async move { drop(http.put("auth/token/revoke", json!({"token": made["token"]})).await.ok()) })
        },
    },
    End {
        name: "revoke the parent",
        make: |http| {
            Box::pin(async move {
                let text = r#"path "kv/data/*" { capabilities = ["read"] } path "auth/token/create" { capabilities = ["update"] }"#;
                http.policy("p-parent", text).await;
                let parent = http.token_of(json!({"policies": ["p-parent"]})).await;
                json!({"token": http.with(&parent).token_of(json!({})).await, "parent": parent})
            })
        },
        works: reads,
        end: |http, made| {
            Box::pin(async move { drop(http.put("auth/token/revoke", json!({"token": made["parent"]})).await.ok()) })
        },
    },
    End {
        name: "batch token of a revoked parent",
        make: |http| {
            Box::pin(async move {
                let text = r#"path "kv/data/*" { capabilities = ["read"] } path "auth/token/create" { capabilities = ["update"] }"#;
                http.policy("p-batch", text).await;
                let parent = http.token_of(json!({"policies": ["p-batch"]})).await;
                json!({"token": http.with(&parent).token_of(json!({"type": "batch"})).await, "parent": parent})
            })
        },
        works: reads,
        end: |http, made| {
            Box::pin(async move { drop(http.put("auth/token/revoke", json!({"token": made["parent"]})).await.ok()) })
        },
    },
    End {
        name: "policy change",
        make: |http| Box::pin(async move { json!({"token": reader(&http, "p-change").await}) }),
        works: reads,
        end: |http, _| {
            Box::pin(async move { http.policy("p-change", r#"path "kv/data/*" { capabilities = ["deny"] }"#).await })
        },
    },
    End {
        name: "policy removal",
        make: |http| Box::pin(async move { json!({"token": reader(&http, "p-removal").await}) }),
        works: reads,
        end: |http, _| Box::pin(async move { drop(http.delete("sys/policies/acl/p-removal").await.ok()) }),
    },
    End {
        name: "unmount",
        make: |http| {
            Box::pin(async move {
                http.put("sys/mounts/gone", json!({"type": "kv"})).await.ok();
                http.put("gone/a", json!({"k": "v"})).await.ok();
                Value::Null
            })
        },
        works: |http, _| Box::pin(async move { http.get("gone/a").await.status == 200 }),
        end: |http, _| Box::pin(async move { drop(http.delete("sys/mounts/gone").await.ok()) }),
    },
    End {
        name: "move of a mount",
        make: |http| {
            Box::pin(async move {
                http.put("sys/mounts/moving", json!({"type": "kv"})).await.ok();
                http.put("moving/a", json!({"k": "v"})).await.ok();
                Value::Null
            })
        },
        works: |http, _| Box::pin(async move { http.get("moving/a").await.status == 200 }),
        end: |http, _| {
            Box::pin(async move { drop(http.put("sys/remount", json!({"from": "moving", "to": "moved"})).await.ok()) })
        },
    },
    End {
        name: "auth method disabled",
        make: |http| {
            Box::pin(async move {
                http.policy("p-method", r#"path "kv/data/*" { capabilities = ["read"] }"#).await;
                http.put("sys/auth/leaving", json!({"type": "userpass"})).await.ok();
                http.put("auth/leaving/users/u", json!({"password": "p", "token_policies": "p-method"})).await.ok();
                let login = http.anonymous().put("auth/leaving/login/u", json!({"password": "p"})).await.ok();
                json!({"token": login.auth()["client_token"]})
            })
        },
        works: reads,
        end: |http, _| Box::pin(async move { drop(http.delete("sys/auth/leaving").await.ok()) }),
    },
    End {
        name: "a policy of an entity",
        make: |http| Box::pin(async move { known(&http, "e-policy", json!({"policies": ["p-known"]}), false).await }),
        works: reads,
        end: |http, made| {
            Box::pin(async move { drop(http.put(&text(&made, "entity"), json!({"policies": []})).await.ok()) })
        },
    },
    End {
        name: "an entity is disabled",
        make: |http| Box::pin(async move { known(&http, "e-off", json!({"policies": ["p-known"]}), false).await }),
        works: reads,
        end: |http, made| {
            Box::pin(async move { drop(http.put(&text(&made, "entity"), json!({"disabled": true})).await.ok()) })
        },
    },
    End {
        name: "a member leaves a group",
        make: |http| Box::pin(async move { known(&http, "e-member", json!({}), true).await }),
        works: reads,
        end: |http, made| {
            Box::pin(async move { drop(http.put(&text(&made, "group"), json!({"member_entity_ids": []})).await.ok()) })
        },
    },
    End {
        name: "a group is deleted",
        make: |http| Box::pin(async move { known(&http, "e-group", json!({}), true).await }),
        works: reads,
        end: |http, made| Box::pin(async move { drop(http.delete(&text(&made, "group")).await.ok()) }),
    },
    End {
        name: "userpass: another password",
        make: |http| {
            Box::pin(async move {
                http.put("auth/userpass/users/u", json!({"password": "p"})).await.ok();
                json!({"path": "auth/userpass/login/u", "body": {"password": "p"}})
            })
        },
        works: logs_in,
        end: |http, _| {
            Box::pin(async move {
                drop(http.put("auth/userpass/users/u/password", json!({"password": "other"})).await.ok())
            })
        },
    },
    End {
        name: "approle: the secret id destroyed",
        make: |http| Box::pin(async move { approle(&http, json!({})).await }),
        works: logs_in,
        end: |http, made| {
            Box::pin(async move {
                let body = json!({"secret_id_accessor": made["accessor"]});
                drop(http.put("auth/approle/role/r/secret-id-accessor/destroy", body).await.ok());
            })
        },
    },
    End {
        name: "approle: the role removed",
        make: |http| Box::pin(async move { approle(&http, json!({})).await }),
        works: logs_in,
        end: |http, _| Box::pin(async move { drop(http.delete("auth/approle/role/r").await.ok()) }),
    },
    End {
        name: "jwt: the role removed",
        make: |http| Box::pin(async move { jwt(&http).await }),
        works: logs_in,
        end: |http, _| Box::pin(async move { drop(http.delete("auth/jwt/role/r").await.ok()) }),
    },
    End {
        name: "jwt: the role asks for another subject",
        make: |http| Box::pin(async move { jwt(&http).await }),
        works: logs_in,
        end: |http, _| {
            Box::pin(async move { drop(http.put("auth/jwt/role/r", json!({"bound_subject": "t"})).await.ok()) })
        },
    },
    End {
        name: "jwt: the issuer has another key",
        make: |http| Box::pin(async move { jwt(&http).await }),
        works: logs_in,
        end: |http, _| Box::pin(async move { drop(jwt(&http).await) }),
    },
];

/// Ends that are settings of the server, not of anybody's rights.
const SETTINGS: &[End] = &[
    End {
        name: "a second factor is asked for",
        make: |http| {
            Box::pin(async move {
                http.put("auth/userpass/users/m", json!({"password": "p"})).await.ok();
                let login = http.anonymous().put("auth/userpass/login/m", json!({"password": "p"})).await.ok();
                let entity = login.auth()["entity_id"].clone();
                let method =
                    http.put("identity/mfa/method/totp", json!({"issuer": "t"})).await.ok().data()["method_id"].clone();
                let secret = json!({"method_id": method, "entity_id": entity});
                http.put("identity/mfa/method/totp/admin-generate", secret).await.ok();
                json!({"method": method})
            })
        },
        works: |http, _| {
            Box::pin(async move {
                let login = http.anonymous().put("auth/userpass/login/m", json!({"password": "p"})).await.ok();
                login.auth()["client_token"] != ""
            })
        },
        end: |http, made| {
            Box::pin(async move {
                let accessor = http.get("sys/auth").await.ok().data()["userpass/"]["accessor"].clone();
                let rule = json!({"mfa_method_ids": [made["method"]], "auth_method_accessors": [accessor]});
                http.put("identity/mfa/login-enforcement/all", rule).await.ok();
            })
        },
    },
    End {
        name: "a role of the token store is removed",
        make: |http| {
            Box::pin(async move {
                http.put("auth/token/roles/r", json!({"orphan": true})).await.ok();
                Value::Null
            })
        },
        works: |http, _| Box::pin(async move { http.put("auth/token/create/r", json!({})).await.status == 200 }),
        end: |http, _| Box::pin(async move { drop(http.delete("auth/token/roles/r").await.ok()) }),
    },
    End {
        name: "an origin is heard no more",
        make: |http| {
            Box::pin(async move {
                http.put("sys/config/cors", json!({"allowed_origins": ["https://a.test"]})).await.ok();
                Value::Null
            })
        },
        works: |http, _| {
            Box::pin(async move {
                let answer = http.get("kv/data/a").header("origin", "https://a.test").await;
                answer.header("access-control-allow-origin") == "https://a.test"
            })
        },
        end: |http, _| Box::pin(async move { drop(http.delete("sys/config/cors").await.ok()) }),
    },
    End {
        name: "a limit is set",
        make: |http| {
            Box::pin(async move {
                http.put("sys/mounts/limited", json!({"type": "kv"})).await.ok();
                http.put("limited/a", json!({"k": "v"})).await.ok();
                Value::Null
            })
        },
        // The first of an interval passes on every node.
        works: |http, _| {
            Box::pin(async move {
                let codes = [http.get("limited/a").await.status, http.get("limited/a").await.status];
                assert!(codes.iter().all(|code| matches!(code, 200 | 429)), "{codes:?}");
                codes[1] == 200
            })
        },
        end: |http, _| {
            Box::pin(async move {
                let rule = json!({"path": "limited/", "rate": 1, "interval": "1h"});
                http.put("sys/quotas/rate-limit/l", rule).await.ok();
            })
        },
    },
    End {
        name: "a lease is revoked",
        make: |http| {
            Box::pin(async move {
                http.put("sys/mounts/leasing", json!({"type": "pki"})).await.ok();
                let ca = json!({"common_name": "ca", "key_type": "ed25519"});
                http.put("leasing/root/generate/internal", ca).await.ok();
                let role = json!({"allow_any_name": true, "key_type": "ed25519", "generate_lease": true, "ttl": "9h"});
                http.put("leasing/roles/r", role).await.ok();
                let issued = http.put("leasing/issue/r", json!({"common_name": "a.test"})).await.ok();
                json!({"lease": issued.json["lease_id"], "serial": issued.data()["serial_number"]})
            })
        },
        works: |http, made| {
            Box::pin(async move {
                let found = http.put("sys/leases/lookup", json!({"lease_id": made["lease"]})).await;
                let serial = http.get(&format!("leasing/cert/{}", text(&made, "serial"))).await.ok();
                assert_eq!(found.succeeded(), serial.data()["revocation_time"] == 0, "{found:?} {serial:?}");
                found.succeeded()
            })
        },
        end: |http, made| {
            Box::pin(async move { drop(http.put("sys/leases/revoke", json!({"lease_id": made["lease"]})).await.ok()) })
        },
    },
];

/// What does not work until it is there: a cache must not remember that it was not.
const BEGINNINGS: &[End] = &[
    End {
        name: "a policy that was missing",
        make: |http| Box::pin(async move { json!({"token": http.token_of(json!({"policies": ["p-late"]})).await}) }),
        works: reads,
        end: |http, _| {
            Box::pin(async move { http.policy("p-late", r#"path "kv/data/*" { capabilities = ["read"] }"#).await })
        },
    },
    End {
        name: "a mount that was missing",
        make: |_| Box::pin(async move { Value::Null }),
        works: |http, _| Box::pin(async move { http.put("fresh/a", json!({"k": "v"})).await.status == 204 }),
        end: |http, _| Box::pin(async move { drop(http.put("sys/mounts/fresh", json!({"type": "kv"})).await.ok()) }),
    },
];

const COUNTS: &[Count] = &[
    Count {
        name: "num_uses",
        make: |http| {
            Box::pin(async move {
                http.policy("p-uses", r#"path "kv/data/*" { capabilities = ["read"] }"#).await;
                json!({"token": http.token_of(json!({"num_uses": 20, "policies": ["p-uses"]})).await})
            })
        },
        take: |http, made, _| Box::pin(async move { http.with(&text(&made, "token")).get("kv/data/a").await.status }),
        limit: 20,
    },
    Count {
        name: "unwrap",
        make: |http| {
            Box::pin(async move {
                let call = http.put("sys/wrapping/wrap", json!({"k": "v"})).wrapped("60s");
                json!({"token": call.await.ok().wrapping_token()})
            })
        },
        take: |http, made, _| {
            Box::pin(async move { http.put("sys/wrapping/unwrap", json!({"token": made["token"]})).await.status })
        },
        limit: 1,
    },
    Count {
        name: "check-and-set",
        make: |_| Box::pin(async move { Value::Null }),
        take: |http, _, n| {
            Box::pin(
                async move { http.put("kv/data/cas", json!({"data": {"n": n}, "options": {"cas": 0}})).await.status },
            )
        },
        limit: 1,
    },
    Count {
        name: "create",
        make: |http| {
            Box::pin(async move {
                http.policy("p-create", r#"path "kv/data/*" { capabilities = ["create"] }"#).await;
                json!({"token": http.token_of(json!({"policies": ["p-create"]})).await})
            })
        },
        take: |http, made, n| {
            Box::pin(async move {
                http.with(&text(&made, "token")).put("kv/data/made-once", json!({"data": {"n": n}})).await.status
            })
        },
        limit: 1,
    },
    Count {
        name: "a mount at one path",
        make: |_| Box::pin(async move { Value::Null }),
        take: |http, _, _| {
            Box::pin(async move {
                let status = http.put("sys/mounts/contested", json!({"type": "kv"})).await.status;
                if status == 204 { 200 } else { status }
            })
        },
        limit: 1,
    },
    Count {
        name: "approle: uses of a secret id",
        make: |http| Box::pin(async move { approle(&http, json!({"secret_id_num_uses": 10})).await }),
        take: |http, made, _| {
            Box::pin(async move { http.anonymous().put(&text(&made, "path"), made["body"].clone()).await.status })
        },
        limit: 10,
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_ended_on_one_node_is_over_on_the_other_within_a_second() {
    for end in ENDS.iter().chain(SETTINGS) {
        for feed in FEEDS {
            let pair = Pair::new().await;
            let what = format!("{} with a feed that is {feed:?}", end.name);
            let made = (end.make)(pair.one.http.clone()).await;
            pair.second().await;
            assert!((end.works)(pair.one.http.clone(), made.clone()).await, "{what}");
            assert!((end.works)(pair.two.http.clone(), made.clone()).await, "{what}");
            pair.wire.feed(feed);
            // What is asked of the feed from here on is answered in its way.
            pair.second().await;
            assert!((end.works)(pair.two.http.clone(), made.clone()).await, "{what}");
            (end.end)(pair.one.http.clone(), made.clone()).await;
            assert!(!(end.works)(pair.one.http.clone(), made.clone()).await, "{what}: the same node");
            pair.second().await;
            assert!(!(end.works)(pair.two.http.clone(), made.clone()).await, "{what}: the other node");
            // An old answer of the feed, given now, brings nothing back.
            pair.wire.let_go();
            tokio::time::sleep(Duration::from_millis(5)).await;
            assert!(!(end.works)(pair.two.http.clone(), made.clone()).await, "{what}: after the feed spoke");
            assert!(!(end.works)(pair.one.http.clone(), made.clone()).await, "{what}");
            pair.two.get("kv/data/a").await.ok();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_begins_on_one_node_has_begun_on_the_other_within_a_second() {
    for begin in BEGINNINGS {
        for feed in FEEDS {
            let pair = Pair::new().await;
            let what = format!("{} with a feed that is {feed:?}", begin.name);
            let made = (begin.make)(pair.one.http.clone()).await;
            pair.second().await;
            assert!(!(begin.works)(pair.two.http.clone(), made.clone()).await, "{what}");
            pair.wire.feed(feed);
            pair.second().await;
            assert!(!(begin.works)(pair.two.http.clone(), made.clone()).await, "{what}");
            (begin.end)(pair.one.http.clone(), made.clone()).await;
            assert!((begin.works)(pair.one.http.clone(), made.clone()).await, "{what}: the same node");
            pair.second().await;
            assert!((begin.works)(pair.two.http.clone(), made.clone()).await, "{what}: the other node");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_are_exact_on_two_nodes_whatever_the_feed_says() {
    for count in COUNTS {
        for feed in [Feed::Sound, Feed::Cut, Feed::Lost] {
            let pair = Pair::new().await;
            let what = format!("{} with a feed that is {feed:?}", count.name);
            pair.wire.feed(feed);
            let made = (count.make)(pair.one.http.clone()).await;
            pair.second().await;
            let takes = (0..3 * count.limit + 10).map(|n| {
                let http = if n % 2 == 0 { pair.one.http.clone() } else { pair.two.http.clone() };
                (count.take)(http, made.clone(), n)
            });
            let codes = at_once(takes).await;
            assert_eq!(codes.iter().filter(|c| **c == 200).count(), count.limit, "{what}: {codes:?}");
            assert!(codes.iter().all(|c| matches!(c, 200 | 400 | 403)), "{what}: {codes:?}");
            for http in [&pair.one.http, &pair.two.http] {
                assert_ne!((count.take)(http.clone(), made.clone(), 1000).await, 200, "{what}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn within_one_node_nothing_comes_back_that_was_ended() {
    let pair = Pair::new().await;
    for _ in 0..40 {
        let token = reader(&pair.one, "p-race").await;
        let load = (0..8).map(|_| {
            let http = pair.one.with(&token);
            async move { http.get("kv/data/a").await.status }
        });
        let load = tokio::spawn(at_once(load));
        pair.one.put("auth/token/revoke", json!({"token": token})).await.ok();
        assert!(!pair.one.alive(&token).await);
        load.await.unwrap();
        assert_eq!(pair.one.with(&token).get("kv/data/a").await.status, 403);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_on_one_node_is_no_trouble_to_the_other() {
    for feed in FEEDS {
        let pair = Pair::new().await;
        pair.wire.feed(feed);
        for n in 0..3 {
            pair.one.put("sys/rotate", json!({})).await.ok();
            let path = format!("kv/data/r{n}");
            pair.one.put(&path, json!({"data": {"k": n}})).await.ok();
            // At once: what is written under a new key can be read wherever it is asked for.
            let there = pair.two.get(&path).await;
            assert_eq!(there.status, 200, "{feed:?}: {there:?}");
            pair.two.put(&path, json!({"data": {"k": n + 100}})).await.ok();
            assert_eq!(pair.one.get(&path).await.ok().data()["data"]["k"], n + 100);
            pair.second().await;
            let other = pair.two.put("sys/rotate", json!({})).await;
            assert_eq!(other.status, 204, "{feed:?}: {other:?}");
            pair.two.put(&path, json!({"data": {"k": n + 200}})).await.ok();
            assert_eq!(pair.one.get(&path).await.ok().data()["data"]["k"], n + 200, "{feed:?}");
            pair.second().await;
        }
        let third = pair.one.again().await;
        third.open().await;
        assert_eq!(third.get("kv/data/r0").await.ok().data()["data"]["k"], 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rekey_on_one_node_counts_on_the_other() {
    for feed in FEEDS {
        let mut pair = Pair::new().await;
        pair.wire.feed(feed);
        let start = pair.one.put("sys/rekey/init", json!({"secret_shares": 3, "secret_threshold": 2})).await.ok();
        let nonce = start.json["nonce"].clone();
        let old = pair.one.shares[0].clone();
        let end = pair.one.put("sys/rekey/update", json!({"key": old, "nonce": nonce})).await.ok();
        let shares: Vec<String> = serde_json::from_value(end.json["keys_base64"].clone()).unwrap();
        pair.second().await;
        // A ceremony on the other node wants the new shares, and as many of them as now needed.
        let start = pair.two.put("sys/generate-root/attempt", json!({})).await.ok();
        let nonce = start.json["nonce"].clone();
        pair.two.put("sys/generate-root/update", json!({"key": shares[0], "nonce": nonce})).await.ok();
        let end = pair.two.put("sys/generate-root/update", json!({"key": shares[1], "nonce": nonce})).await;
        assert!(end.status == 200 && end.json["complete"] == true, "{feed:?}: {end:?}");
        // Sealed, it opens with the new ones and not with the old one.
        pair.two.put("sys/seal", json!({})).await.ok();
        assert_ne!(pair.two.put("sys/unseal", json!({"key": old})).await.json["sealed"], false, "{feed:?}");
        pair.two.put("sys/unseal", json!({"reset": true})).await.ok();
        pair.two.shares = shares;
        pair.two.open().await;
        assert_eq!(pair.two.get("sys/seal-status").await.ok().json["t"], 2);
        pair.two.get("kv/data/a").await.ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_made_by_one_node_is_opened_by_the_other() {
    let mut one = Plan::over(Arc::new(Memory::new())).start().await;
    let two = one.again().await;
    two.get("sys/health").await.is(501);
    one.init(1, 1).await;
    two.get("sys/health").await.is(503);
    two.put("sys/init", json!({"secret_shares": 1, "secret_threshold": 1})).await.is(400);
    two.put("sys/unseal", json!({"key": one.shares[0]})).await.ok();
    two.with(one.token()).get("sys/mounts").await.ok();
    one.get("sys/health").await.is(503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_at_a_time_takes_back_and_another_takes_over() {
    let pair = Pair::new().await;
    for _ in 0..5 {
        pair.one.token_of(json!({"ttl": "60s"})).await;
    }
    let before = pair.one.tokens().await;
    pair.one.put("sys/step-down", json!({})).await.ok();
    pair.one.put("sys/seal", json!({})).await.ok();
    pair.one.clock().advance(61);
    // The clock goes on, so that whoever waits for the lock looks again.
    for _ in 0..200 {
        if pair.two.tokens().await == before - 5 {
            return;
        }
        pair.one.clock().advance(1);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody took the tokens back");
}
