//! How long tokens and leases live: what role, mount and server allow together, to the second, through every door by which one
//! can be renewed.

use serde_json::{Value, json};
use warifu::base::{Clock, Json, Ttl, time};
use warifu::crypto::{Curve, KeyKind, PrivateKey};
use warifu::lease::{Lease, Leases};

use crate::http::{Answer, Http};
use crate::issuer::sign;
use crate::server::{MAX_TTL, Server};

/// More than anything allows.
const MUCH: &str = "100000h";

/// What is set where; 0 for nothing.
#[derive(Clone, Copy, Debug)]
struct Case {
    role_ttl: u64,
    role_max: u64,
    explicit: u64,
    period: u64,
    mount_ttl: u64,
    mount_max: u64,
}

impl Case {
    fn mount_max(&self) -> u64 {
        if self.mount_max > 0 { self.mount_max } else { MAX_TTL }
    }

    /// The end against all renewals; none of a periodic token without a hard end.
    fn bound(&self) -> Option<u64> {
        let soft = [self.role_max, self.mount_max()].into_iter().filter(|n| *n > 0).min();
        let hard = (self.explicit > 0).then_some(self.explicit);
        if self.period > 0 { hard } else { hard.into_iter().chain(soft).min() }
    }

    /// What is left after `asked` is asked for, `lived` seconds after the issue.
    fn left(&self, asked: u64, lived: u64) -> u64 {
        let asked = if self.period > 0 { self.period.min(self.mount_max()) } else { asked };
        self.bound().map_or(asked, |bound| asked.min(bound - lived))
    }

    fn first(&self) -> u64 {
        let asked = [self.role_ttl, self.mount_ttl, MAX_TTL].into_iter().find(|n| *n > 0).unwrap();
        self.left(asked, 0)
    }
}

fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (role_ttl, role_max) in [(0, 0), (100, 0), (1000, 0), (100, 500), (500, 500), (0, 500)] {
        for (explicit, period) in [(0, 0), (300, 0), (0, 50), (300, 50), (30, 50)] {
            for (mount_ttl, mount_max) in MOUNTS {
                all.push(Case { role_ttl, role_max, explicit, period, mount_ttl, mount_max });
            }
        }
    }
    all
}

const MOUNTS: [(u64, u64); 4] = [(0, 0), (200, 0), (150, 400), (40, 40)];
const KINDS: [&str; 4] = ["userpass", "approle", "jwt", "token"];

/// Mounts of each kind, tuned in each way, and what a login there needs.
struct World {
    server: Server,
    key: PrivateKey,
    secrets: Vec<(String, Value)>,
}

impl World {
    async fn new() -> Self {
        let server = Server::new().await;
        let key = PrivateKey::generate(KeyKind::Ec(Curve::P256)).unwrap();
        let mut secrets = Vec::new();
        for kind in KINDS.into_iter().filter(|kind| *kind != "token") {
            for (ttl, max) in MOUNTS {
                let at = format!("{kind}-{ttl}-{max}");
                let config = json!({"default_lease_ttl": format!("{ttl}s"), "max_lease_ttl": format!("{max}s")});
                server.put(&format!("sys/auth/{at}"), json!({"type": kind, "config": config})).await.ok();
                if kind == "approle" {
                    server.put(&format!("auth/{at}/role/r"), json!({})).await.ok();
                    let role = server.get(&format!("auth/{at}/role/r/role-id")).await.ok().data()["role_id"].clone();
                    let made = server.put(&format!("auth/{at}/role/r/secret-id"), json!({})).await.ok();
                    secrets.push((at, json!({"role_id": role, "secret_id": made.data()["secret_id"]})));
                } else if kind == "jwt" {
                    let keys = json!({"jwt_validation_pubkeys": [key.public().pem().unwrap()]});
                    server.put(&format!("auth/{at}/config"), keys).await.ok();
                }
            }
        }
        Self { server, key, secrets }
    }

    /// A token of this case; none where the kind has no such setting.
    async fn login(&self, kind: &str, case: &Case) -> Option<Answer> {
        let server = &self.server;
        let at = format!("{kind}-{}-{}", case.mount_ttl, case.mount_max);
        let rules = json!({
            "token_ttl": case.role_ttl, "token_max_ttl": case.role_max, "token_explicit_max_ttl": case.explicit,
            "token_period": case.period,
        });
        let with = |more: Value| {
            let mut body = rules.clone();
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body
        };
        let nobody = server.anonymous();
        Some(match kind {
            "userpass" => {
                server.put(&format!("auth/{at}/users/u"), with(json!({"password": "p"}))).await.ok();
                nobody.put(&format!("auth/{at}/login/u"), json!({"password": "p"})).await
            }
            "approle" => {
                server.put(&format!("auth/{at}/role/r"), rules).await.ok();
                let body = self.secrets.iter().find(|(own, _)| *own == at).unwrap().1.clone();
                nobody.put(&format!("auth/{at}/login"), body).await
            }
            "jwt" => {
                let role = with(json!({"role_type": "jwt", "user_claim": "sub", "bound_subject": "s"}));
                server.put(&format!("auth/{at}/role/r"), role).await.ok();
                let claims = json!({"sub": "s", "iat": 1, "exp": 9_000_000_000_u64});
                let token = sign(&json!({"alg": "ES256"}), &claims, &self.key);
                nobody.put(&format!("auth/{at}/login"), json!({"role": "r", "jwt": token})).await
            }
            // A role of the token store has no longest life but the hard one.
            _ if case.role_max > 0 => return None,
            _ => {
                let tuned = json!({"default_lease_ttl": case.mount_ttl, "max_lease_ttl": case.mount_max});
                server.put("sys/auth/token/tune", tuned).await.ok();
                let role = json!({"token_explicit_max_ttl": case.explicit, "token_period": case.period});
                server.put("auth/token/roles/r", role).await.ok();
                let mut body = json!({"policies": ["default"]});
                if case.role_ttl > 0 {
                    body["ttl"] = json!(case.role_ttl);
                }
                server.put("auth/token/create/r", body).await
            }
        })
    }

    /// Renews by the n-th of the doors that there are.
    async fn renew(&self, door: usize, auth: &Value) -> Answer {
        let (token, accessor) = (auth["client_token"].as_str().unwrap(), &auth["accessor"]);
        match door % 3 {
            0 => self.server.put("auth/token/renew-self", json!({"increment": MUCH})).by(token).await,
            1 => self.server.put("auth/token/renew", json!({"token": token, "increment": MUCH})).await,
            _ => self.server.put("auth/token/renew-accessor", json!({"accessor": accessor, "increment": MUCH})).await,
        }
    }
}

/// CVE-2020-12757, CVE-2021-32923.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_lives_as_long_as_role_mount_and_server_allow_together_to_the_second() {
    let world = World::new().await;
    let server = &world.server;
    let mut door = 0;
    for case in cases() {
        for kind in KINDS {
            let Some(login) = world.login(kind, &case).await else { continue };
            let auth = login.ok().auth().clone();
            let token = auth["client_token"].as_str().unwrap();
            let what = format!("{kind} with {case:?}");
            assert_eq!(auth["lease_duration"], case.first(), "{what}");
            assert_eq!(server.lookup(token).await["ttl"], case.first(), "{what}");
            // A second before each end it is renewed, by each door in turn, for more than anything allows.
            let (mut lived, mut left) = (0, case.first());
            for _ in 0..3 {
                if Some(lived + left) == case.bound() {
                    break;
                }
                server.clock().advance(left - 1);
                lived += left - 1;
                door += 1;
                let renewed = world.renew(door, &auth).await.ok();
                left = case.left(u64::MAX >> 1, lived);
                assert_eq!(renewed.auth()["lease_duration"], left, "{what}, renewed after {lived} s");
            }
            // And nothing brings it beyond: neither a renewal in its last second, nor one at its end.
            let last_of_all = Some(lived + left) == case.bound();
            server.clock().advance(left - 1);
            assert!(server.alive(token).await, "{what}: a second before its end");
            if last_of_all {
                let last = world.renew(door, &auth).await.ok();
                assert_eq!(last.auth()["lease_duration"], 1, "{what}");
            }
            server.clock().advance(1);
            for door in 0..3 {
                assert!(!world.renew(door, &auth).await.succeeded(), "{what}: renewed at its end");
            }
            assert!(!server.alive(token).await, "{what}: at its end");
        }
        server.put("sys/auth/token/tune", json!({"default_lease_ttl": 0, "max_lease_ttl": 0})).await.ok();
    }
    server.sweep().await;
    assert_eq!(server.tokens().await, 1);
}

/// Puts a lease into the store that can be renewed, of a mount that keeps it.
async fn lease(server: &Server, name: &str, ttl: u64, most: u64) -> String {
    let vault = server.vault();
    let leases = Leases::open(vault.barrier());
    let now = server.clock().now();
    let accessor = vault.mounts().table().at("kv/").unwrap().mount.accessor.clone();
    let lease = Lease {
        id: format!("kv/{name}/{:024}", 1),
        mount_accessor: accessor,
        issued: now,
        expires: time::after(now, Ttl::from_seconds(ttl)),
        expires_at_most: time::after(now, Ttl::from_seconds(most)),
        renewable: true,
        internal: Json::Null,
        ..Lease::default()
    };
    vault.commit(leases.create(&lease).unwrap()).await.unwrap();
    lease.id
}

/// The doors by which a lease is renewed.
async fn renew(http: &Http, door: usize, id: &str) -> Answer {
    match door {
        0 => http.put("sys/leases/renew", json!({"lease_id": id, "increment": MUCH})).await,
        1 => http.put(&format!("sys/leases/renew/{id}"), json!({"increment": MUCH})).await,
        2 => http.put("sys/renew", json!({"lease_id": id, "increment": MUCH})).await,
        _ => http.put(&format!("sys/renew/{id}"), json!({"increment": MUCH})).await,
    }
}

#[tokio::test]
async fn a_lease_is_renewed_by_no_door_beyond_the_longest_life_that_it_was_given_or_its_mount_has() {
    let server = Server::new().await;
    server.kv("kv", 1).await;
    for door in 0..4 {
        for (n, tuned) in [0_u64, 300, 5000].into_iter().enumerate() {
            server.put("sys/mounts/kv/tune", json!({"max_lease_ttl": tuned})).await.ok();
            let most = if tuned == 0 { 1000 } else { tuned.min(1000) };
            for offset in [-1_i64, 0, 1] {
                let id = lease(&server, &format!("{door}-{n}-{}", offset + 1), 100, 1000).await;
                server.clock().advance(99);
                let renewed = renew(&server, door, &id).await.ok();
                assert_eq!(renewed.json["lease_duration"], most - 99, "door {door}, tuned to {tuned}");
                server.clock().advance((i64::try_from(most).unwrap() - 99 + offset).unsigned_abs());
                let last = renew(&server, door, &id).await;
                if offset < 0 {
                    assert_eq!(last.ok().json["lease_duration"], 1);
                } else {
                    assert!(last.is(400).errors().contains("lease"), "door {door}, tuned to {tuned}");
                }
                server.clock().advance(2);
                server.sweep().await;
                renew(&server, door, &id).await.refused(400, "lease not found");
            }
        }
    }
}

/// A mount whose certificates have leases.
async fn lessor(server: &Server) {
    server.put("sys/mounts/pki", json!({"type": "pki"})).await.ok();
    server.put("pki/root/generate/internal", json!({"common_name": "ca", "key_type": "ed25519"})).await.ok();
    let role = json!({"allow_any_name": true, "key_type": "ed25519", "generate_lease": true, "ttl": "1h"});
    server.put("pki/roles/r", role).await.ok();
    server.policy("issuer", r#"path "pki/issue/r" { capabilities = ["update"] }"#).await;
}

fn serial(issued: &Answer) -> String {
    issued.data()["serial_number"].as_str().unwrap().to_owned()
}

async fn revoked(server: &Server, serial: &str) -> bool {
    server.get(&format!("pki/cert/{serial}")).await.ok().data()["revocation_time"] != 0
}

/// CVE-2020-25816.
#[tokio::test]
async fn what_a_token_was_leased_ends_with_it_of_whatever_kind_it_is() {
    let server = Server::new().await;
    lessor(&server).await;
    let issue = |token: &str| server.put("pki/issue/r", json!({"common_name": "a.test"})).by(token);
    // A batch token has no row that could take its leases along: they are given no longer than it lives.
    let batch = json!({"type": "batch", "ttl": "60s", "policies": ["issuer"], "no_parent": true});
    let by_batch = issue(&server.token_of(batch).await).await.ok();
    assert_eq!(by_batch.json["lease_duration"], 60);
    let service = server.token_of(json!({"ttl": "60s", "policies": ["issuer"]})).await;
    let by_service = issue(&service).await.ok();
    let parent = server.token_of(json!({"ttl": "2h"})).await;
    let child = server.with(&parent).token_of(json!({"ttl": "2h", "policies": ["issuer"]})).await;
    let by_child = issue(&child).await.ok();
    server.clock().advance(59);
    server.sweep().await;
    for answer in [&by_batch, &by_service, &by_child] {
        assert!(!revoked(&server, &serial(answer)).await);
    }
    server.clock().advance(1);
    server.sweep().await;
    for (answer, ended) in [(&by_batch, true), (&by_service, true), (&by_child, false)] {
        assert_eq!(revoked(&server, &serial(answer)).await, ended);
        let found = server.put("sys/leases/lookup", json!({"lease_id": answer.json["lease_id"]})).await;
        assert_eq!(found.succeeded(), !ended, "{found:?}");
    }
    server.put("auth/token/revoke", json!({"token": parent})).await.ok();
    assert!(revoked(&server, &serial(&by_child)).await, "a lease of a child goes when its parent is revoked");
}

#[tokio::test]
async fn a_lease_that_ended_while_the_server_was_down_is_taken_back_at_its_start() {
    let server = Server::new().await;
    lessor(&server).await;
    let issued = server.put("pki/issue/r", json!({"common_name": "a.test"})).await.ok();
    let next = server.again().await;
    drop(server);
    next.clock().advance(3600);
    next.open().await;
    next.put("sys/leases/renew", json!({"lease_id": issued.json["lease_id"]})).await.is(400);
    let taken_back = || async {
        next.clock().advance(1);
        next.put("sys/leases/lookup", json!({"lease_id": issued.json["lease_id"]})).await.status == 400
    };
    next.eventually("the sweep runs", taken_back).await;
}
