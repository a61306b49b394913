//! What all login methods owe alike: the fields of tokens, one answer and the same work for every failure, one person behind many logins,
//! an end that no renewal moves, networks that hold whatever a header says.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use warifu::base::Clock;
use warifu::config::Forwarded;
use warifu::mount::catalog::{self, Class};
use warifu::storage::Storage;
use warifu::storage::memory::Memory;

use crate::cert::Door;
use crate::cert::authority::Identity;
use crate::http::{Answer, Http};
use crate::issuer::Issuer;
use crate::server::{Plan, Server};
use crate::stores::Counting;

const METHODS: [&str; 5] = ["approle", "userpass", "jwt", "cert", "kubernetes"];

/// A server, and everybody who vouches for somebody.
struct World {
    server: Server,
    door: Door,
    issuer: Issuer,
    root: Identity,
    ann: Identity,
}

impl World {
    async fn over(plan: Plan) -> Self {
        let server = plan.ready().await;
        let root = Identity::root("Root");
        let ann = root.client("ann", 9);
        Self { door: Door::of(&server).await, issuer: Issuer::start().await, root, ann, server }
    }

    async fn new() -> Self {
        Self::over(Plan::memory()).await
    }

    async fn enable(&self, kind: &str, path: &str) {
        self.server.auth(path, kind).await;
        let config = match kind {
            "jwt" => json!({"jwt_validation_pubkeys": [self.issuer.pem()]}),
            "kubernetes" => json!({"kubernetes_host": self.issuer.url(), "disable_local_ca_jwt": true}),
            _ => return,
        };
        self.server.put(&format!("auth/{path}/config"), config).await.ok();
    }

    fn place(kind: &str, path: &str, name: &str) -> String {
        let folder = match kind {
            "userpass" => "users",
            "cert" => "certs",
            _ => "role",
        };
        format!("auth/{path}/{folder}/{name}")
    }

    /// Writes a role, or a user, with these fields beside what the method needs.
    async fn role(&self, kind: &str, path: &str, name: &str, fields: Value) -> Answer {
        let mut body = match kind {
            "userpass" => json!({"password": "right"}),
            "jwt" => json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": "vault"}),
            "cert" => json!({"certificate": self.root.pem()}),
            "kubernetes" => json!({"bound_service_account_names": "app", "bound_service_account_namespaces": "prod"}),
            _ => json!({}),
        };
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.server.put(&Self::place(kind, path, name), body).await
    }

    fn jwt(&self, audience: &str) -> String {
        let now = self.server.clock().now().as_second();
        self.issuer.token(&json!({"sub": "ann", "aud": audience, "iat": now, "exp": now + 9000}))
    }

    fn account(&self, vouched: bool) -> String {
        let now = self.server.clock().now().as_second();
        let jwt = self.issuer.token(&json!({
            "iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:prod:app", "exp": now + 9000, "n": vouched,
            "kubernetes.io": {"namespace": "prod", "serviceaccount": {"name": "app", "uid": "u"}},
        }));
        if vouched {
            let user = json!({"username": "system:serviceaccount:prod:app", "uid": "u"});
            self.issuer.vouch(&jwt, json!({"authenticated": true, "user": user}));
        }
        jwt
    }

    /// A login with the right proof, ready to be sent.
    async fn proof(&self, kind: &str, path: &str, name: &str) -> (Http, String, Value) {
        let anonymous = self.server.anonymous();
        let login = format!("auth/{path}/login");
        match kind {
            "approle" => {
                let role = Self::place(kind, path, name);
                let id = self.server.get(&format!("{role}/role-id")).await.ok().data()["role_id"].clone();
                let secret = self.server.put(&format!("{role}/secret-id"), json!({})).await.ok();
                (anonymous, login, json!({"role_id": id, "secret_id": secret.data()["secret_id"]}))
            }
            "userpass" => (anonymous, format!("{login}/{name}"), json!({"password": "right"})),
            "jwt" => (anonymous, login, json!({"role": name, "jwt": self.jwt("vault")})),
            "kubernetes" => (anonymous, login, json!({"role": name, "jwt": self.account(true)})),
            _ => (self.door.shows(&self.ann), login, json!({"name": name})),
        }
    }

    async fn login(&self, kind: &str, path: &str, name: &str) -> Answer {
        let (http, path, body) = self.proof(kind, path, name).await;
        http.put(&path, body).await
    }

    /// A login without the right proof, of somebody who is known or not.
    fn failing(&self, kind: &str, known: bool, role_id: &Value) -> (Http, String, Value) {
        let name = if known { "r" } else { "nobody" };
        let (anonymous, login) = (self.server.anonymous(), format!("auth/{kind}/login"));
        match kind {
            "approle" => {
                let id = if known { role_id.clone() } else { json!("00000000-0000-0000-0000-000000000000") };
                (anonymous, login, json!({"role_id": id, "secret_id": "00000000-0000-0000-0000-000000000001"}))
            }
            "userpass" => (anonymous, format!("{login}/{name}"), json!({"password": "wrong"})),
            "jwt" => (anonymous, login, json!({"role": name, "jwt": self.jwt("another")})),
            "kubernetes" => (anonymous, login, json!({"role": name, "jwt": self.account(false)})),
            _ => {
                let stranger = Identity::root("Other").client("ann", 9);
                (self.door.shows(&stranger), login, json!({"name": name}))
            }
        }
    }
}

fn token(answer: &Answer) -> String {
    answer.auth()["client_token"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

/// One check of what a field does.
type Check = (&'static str, Value);

#[tokio::test]
async fn every_field_of_tokens_is_honoured_by_every_method() {
    let world = World::new().await;
    let server = &world.server;
    for kind in METHODS {
        world.enable(kind, kind).await;
        if kind == "cert" {
            // The plain door, at which the tokens are renewed, sees no certificate.
            server.put("auth/cert/config", json!({"disable_binding": true})).await.ok();
        }
        let table: [Check; 9] = [
            ("token_ttl", json!("20m")),
            ("token_max_ttl", json!("30m")),
            ("token_explicit_max_ttl", json!("10m")),
            ("token_policies", json!(["one", "Two"])),
            ("token_no_default_policy", json!(true)),
            ("token_num_uses", json!(3)),
            ("token_period", json!("15m")),
            ("token_type", json!("batch")),
            ("token_bound_cidrs", json!(["127.0.0.0/8"])),
        ];
        for (number, (field, value)) in table.into_iter().enumerate() {
            let name = format!("r{number}");
            world.role(kind, kind, &name, json!({field: value})).await.ok();
            let shown = server.get(&World::place(kind, kind, &name)).await.ok().data()[field].clone();
            let answer = world.login(kind, kind, &name).await.ok();
            let (auth, token) = (answer.auth().clone(), token(&answer));
            let own = server.with(&token);
            let what = format!("{kind}: {field}");
            match field {
                "token_ttl" => {
                    assert_eq!((&shown, &auth["lease_duration"]), (&json!(1200), &json!(1200)), "{what}");
                    server.clock().advance(600);
                    let renewed = own.put("auth/token/renew-self", json!({})).await.ok();
                    assert_eq!(renewed.auth()["lease_duration"], 1200, "{what}");
                }
                "token_max_ttl" => {
                    assert_eq!((&shown, &auth["lease_duration"]), (&json!(1800), &json!(1800)), "{what}");
                    server.clock().advance(600);
                    let renewed = own.put("auth/token/renew-self", json!({"increment": "1h"})).await.ok();
                    assert_eq!(renewed.auth()["lease_duration"], 1200, "{what}");
                }
                "token_explicit_max_ttl" => {
                    assert_eq!((&shown, &auth["lease_duration"]), (&json!(600), &json!(600)), "{what}");
                    assert_eq!(server.lookup(&token).await["explicit_max_ttl"], 600, "{what}");
                    server.clock().advance(600);
                    assert!(!server.alive(&token).await, "{what}");
                }
                "token_policies" => {
                    assert_eq!(shown, json!(["one", "two"]), "{what}");
                    assert_eq!(auth["token_policies"], json!(["default", "one", "two"]), "{what}");
                }
                "token_no_default_policy" => {
                    assert_eq!(shown, true, "{what}");
                    assert!(auth["token_policies"].as_array().is_none_or(Vec::is_empty), "{what}: {auth}");
                    own.get("auth/token/lookup-self").await.is(403);
                }
                "token_num_uses" => {
                    assert_eq!((&shown, &auth["num_uses"]), (&json!(3), &json!(3)), "{what}");
                    for status in [200, 200, 200, 403] {
                        own.get("auth/token/lookup-self").await.is(status);
                    }
                }
                "token_period" => {
                    assert_eq!((&shown, &auth["lease_duration"]), (&json!(900), &json!(900)), "{what}");
                    assert_eq!(server.lookup(&token).await["period"], 900, "{what}");
                    for _ in 0..3 {
                        server.clock().advance(800);
                        let renewed = own.put("auth/token/renew-self", json!({})).await;
                        assert_eq!(renewed.ok().auth()["lease_duration"], 900, "{what}");
                    }
                }
                "token_type" => {
                    assert!(token.starts_with("hvb.") && auth["accessor"] == "", "{what}: {auth}");
                    assert_eq!((&auth["token_type"], &auth["renewable"]), (&json!("batch"), &json!(false)), "{what}");
                    own.get("auth/token/lookup-self").await.ok();
                }
                _ => {
                    assert_eq!(shown, json!(["127.0.0.0/8"]), "{what}");
                    assert_eq!(server.lookup(&token).await["bound_cidrs"], json!(["127.0.0.0/8"]), "{what}");
                    own.get("auth/token/lookup-self").await.ok();
                    world.role(kind, kind, &name, json!({field: "10.0.0.0/8"})).await.ok();
                    let elsewhere = world.login(kind, kind, &name).await;
                    // No login, or a token that is worth nothing here.
                    if elsewhere.succeeded() {
                        let token = elsewhere.auth()["client_token"].as_str().unwrap().to_owned();
                        server.with(&token).get("auth/token/lookup-self").await.is(403);
                    } else {
                        assert!(matches!(elsewhere.status, 400 | 403), "{what}: {elsewhere:?}");
                    }
                }
            }
        }
        // What contradicts itself is refused by each, and by name.
        for (fields, word) in [
            (json!({"token_type": "batch", "token_num_uses": 1}), "token_type"),
            (json!({"token_type": "batch", "token_period": "1h"}), "token_type"),
            (json!({"token_ttl": "2h", "token_max_ttl": "1h"}), "token_ttl"),
            (json!({"token_num_uses": -1}), "token_num_uses"),
            (json!({"token_policies": "root"}), "root"),
            (json!({"token_bound_cidrs": "canary"}), "token_bound_cidrs"),
            (json!({"token_ttl": "canary"}), "token_ttl"),
            (json!({"token_type": "canary"}), "token_type"),
        ] {
            let answer = world.role(kind, kind, "bad", fields).await.is(400);
            assert!(answer.errors().contains(word) && !answer.text.contains("canary"), "{kind}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn who_is_known_and_who_is_not_get_the_same_answer_for_the_same_work() {
    let counting = Counting::new(Arc::new(Memory::new()));
    let world = World::over(Plan::over(counting.clone())).await;
    let before = world.server.tokens().await;
    for kind in METHODS {
        world.enable(kind, kind).await;
        let tune = json!({"user_lockout_config": {"lockout_disable": true}});
        world.server.put(&format!("sys/auth/{kind}/tune"), tune).await.ok();
        world.role(kind, kind, "r", json!({})).await.ok();
        let mut role_id = Value::Null;
        if kind == "approle" {
            let place = World::place(kind, kind, "r");
            role_id = world.server.get(&format!("{place}/role-id")).await.ok().data()["role_id"].clone();
            world.server.put(&format!("{place}/secret-id"), json!({})).await.ok();
        }
        let mut seen = Vec::new();
        // Twice each: the first of all fills caches.
        for known in [true, false, true, false] {
            let (http, path, body) = world.failing(kind, known, &role_id);
            let (read, position) = (counting.read.load(Ordering::SeqCst), counting.position().unwrap());
            let answer = http.put(&path, body).await.is(400);
            let work = counting.read.load(Ordering::SeqCst) - read;
            assert_eq!(counting.position().unwrap(), position, "{kind}: a failure wrote something");
            seen.push((answer.shape(), answer.text.len(), work));
        }
        assert_eq!(seen[2], seen[3], "{kind}: known and unknown differ");
        assert_eq!(seen[0].0, seen[1].0, "{kind}");
    }
    assert_eq!(world.server.tokens().await, before, "a login that failed left a token");
}

#[test]
fn every_method_is_among_those_that_are_asked() {
    let mut known = METHODS.to_vec();
    // A second word for one that is there.
    known.push("oidc");
    known.sort_unstable();
    let mut built: Vec<&str> = catalog::kinds(Class::Auth).map(|kind| kind.word).collect();
    built.sort_unstable();
    assert_eq!(built, known, "say in this file how one logs in with it");
}

/// A second before, at, and a second after the longest life, by every way to renew; asked for far more than there is.
#[tokio::test]
async fn no_login_is_renewed_beyond_the_longest_life_of_its_role() {
    const FIRST: u64 = 300;
    const LONGEST: u64 = 600;
    for renewal in ["renew-self", "renew", "renew-accessor"] {
        for offset in [-1_i64, 0, 1] {
            let world = World::new().await;
            let mut tokens = Vec::new();
            for kind in METHODS {
                world.enable(kind, kind).await;
                world.role(kind, kind, "r", json!({"token_ttl": FIRST, "token_max_ttl": LONGEST})).await.ok();
                let auth = world.login(kind, kind, "r").await.ok().auth().clone();
                assert_eq!(auth["lease_duration"], FIRST, "{kind}");
                tokens.push((kind, auth["client_token"].clone(), auth["accessor"].clone()));
            }
            // Who renews for another has not the other's certificate.
            world.server.put("auth/cert/config", json!({"disable_binding": true})).await.ok();
            let renewed = async |token: &Value, accessor: &Value| {
                let body = json!({"increment": "9999h", "token": token, "accessor": accessor});
                let http = match renewal {
                    "renew-self" => world.server.with(token.as_str().unwrap()),
                    _ => world.server.http.clone(),
                };
                http.put(&format!("auth/token/{renewal}"), body).await
            };
            world.server.clock().advance(FIRST - 1);
            for (kind, token, accessor) in &tokens {
                let left = renewed(token, accessor).await.ok().auth()["lease_duration"].as_u64().unwrap();
                assert!(left <= LONGEST - (FIRST - 1), "{kind} by {renewal} has {left} left");
            }
            world.server.clock().advance((LONGEST - (FIRST - 1)).checked_add_signed(offset).unwrap());
            for (kind, token, accessor) in &tokens {
                let answer = renewed(token, accessor).await;
                let what = format!("{kind} by {renewal}, {offset} s from its end: {answer:?}");
                match offset < 0 {
                    true => assert!(answer.auth()["lease_duration"].as_u64().is_none_or(|left| left <= 1), "{what}"),
                    false => assert!(!answer.succeeded(), "{what}"),
                }
            }
            world.server.clock().advance(2);
            for (kind, token, _) in &tokens {
                assert!(!world.server.alive(token.as_str().unwrap()).await, "{kind} by {renewal}, {offset} s");
            }
        }
    }
}

#[tokio::test]
async fn two_mounts_of_one_method_know_nothing_of_each_other() {
    let world = World::new().await;
    for kind in METHODS {
        for (path, policy) in [("one", "p1"), ("two/deep", "p2")] {
            let path = format!("{kind}-{path}");
            world.enable(kind, &path).await;
            world.role(kind, &path, "r", json!({"token_policies": policy})).await.ok();
        }
        let (one, two) = (format!("{kind}-one"), format!("{kind}-two/deep"));
        let first = world.login(kind, &one, "r").await.ok();
        let second = world.login(kind, &two, "r").await.ok();
        assert_eq!(first.auth()["token_policies"], json!(["default", "p1"]), "{kind}");
        assert_eq!(second.auth()["token_policies"], json!(["default", "p2"]), "{kind}");
        // The same name at another mount is another login, and so another person.
        assert_ne!(first.auth()["entity_id"], second.auth()["entity_id"], "{kind}");
        if kind == "approle" {
            let (http, _, body) = world.proof(kind, &one, "r").await;
            http.put(&format!("auth/{two}/login"), body).await.is(400);
        }
        world.server.delete(&World::place(kind, &one, "r")).await.ok();
        world.login(kind, &two, "r").await.ok();
        world.server.delete(&format!("sys/auth/{one}")).await.ok();
        assert!(!world.server.alive(&token(&first)).await, "{kind}");
        assert!(world.server.alive(&token(&second)).await, "{kind}");
    }
}

#[tokio::test]
async fn a_person_is_made_at_the_first_login_and_is_the_same_at_every_other() {
    let world = World::new().await;
    for kind in METHODS {
        world.enable(kind, kind).await;
        world.role(kind, kind, "r", json!({"token_type": "batch"})).await.ok();
        let first = world.login(kind, kind, "r").await.ok();
        let entity = first.auth()["entity_id"].as_str().unwrap().to_owned();
        assert!(!entity.is_empty(), "{kind}");
        let known = world.server.get(&format!("identity/entity/id/{entity}")).await.ok();
        let aliases = known.data()["aliases"].as_array().unwrap().clone();
        assert_eq!((aliases.len(), &aliases[0]["mount_type"]), (1, &json!(kind)), "{kind}");
        let count = world.server.list("identity/entity/id").await.ok().data()["keys"].as_array().unwrap().len();
        for _ in 0..3 {
            assert_eq!(world.login(kind, kind, "r").await.ok().auth()["entity_id"], entity.as_str(), "{kind}");
        }
        // Another role, and for whom the role is the name another name, changes nothing for the others.
        if ["jwt", "cert", "kubernetes"].contains(&kind) {
            world.role(kind, kind, "other", json!({})).await.ok();
            assert_eq!(world.login(kind, kind, "other").await.ok().auth()["entity_id"], entity.as_str(), "{kind}");
        }
        let after = world.server.list("identity/entity/id").await.ok().data()["keys"].as_array().unwrap().len();
        assert_eq!(after, count, "{kind}");
        // Who was disabled comes in by no login.
        world.server.put(&format!("identity/entity/id/{entity}"), json!({"disabled": true})).await.ok();
        world.login(kind, kind, "r").await.is(403);
    }
}

#[tokio::test]
async fn a_batch_login_of_somebody_known_writes_nothing_by_any_method() {
    let world = World::new().await;
    for kind in METHODS {
        world.enable(kind, kind).await;
        world.role(kind, kind, "r", json!({"token_type": "batch"})).await.ok();
        let (http, path, body) = world.proof(kind, kind, "r").await;
        http.put(&path, body.clone()).await.ok();
        let position = world.server.plan.storage.position().unwrap();
        for _ in 0..5 {
            http.put(&path, body.clone()).await.ok();
        }
        assert_eq!(world.server.plan.storage.position().unwrap(), position, "{kind}");
    }
}

/// A server behind a proxy of this network.
fn behind(authorized: &str) -> Plan {
    let mut plan = Plan::memory();
    plan.rules.forwarded = Some(Forwarded {
        authorized: vec![authorized.parse().unwrap()],
        hop_skips: 0,
        reject_not_present: false,
        reject_not_authorized: false,
    });
    plan
}

#[tokio::test]
async fn networks_hold_for_logins_whatever_a_header_says() {
    const HEADERS: [&str; 5] = ["x-forwarded-for", "forwarded", "x-real-ip", "true-client-ip", "x-client-ip"];
    // Nobody is believed; somebody else is.
    for plan in [Plan::memory(), behind("10.9.9.9/32")] {
        let world = World::over(plan).await;
        for kind in METHODS {
            world.enable(kind, kind).await;
            world.role(kind, kind, "far", json!({"token_bound_cidrs": "10.0.0.0/8"})).await.ok();
            world.role(kind, kind, "near", json!({"token_bound_cidrs": "127.0.0.1/32"})).await.ok();
            for header in HEADERS {
                let (http, path, body) = world.proof(kind, kind, "far").await;
                let answer = http.put(&path, body).header(header, "10.0.0.1").await;
                if answer.succeeded() {
                    let call = world.server.with(&token(&answer)).get("auth/token/lookup-self");
                    call.header(header, "10.0.0.1").await.is(403);
                } else {
                    assert!(matches!(answer.status, 400 | 403), "{kind}: {answer:?}");
                }
                let (http, path, body) = world.proof(kind, kind, "near").await;
                http.put(&path, body).header(header, "10.0.0.1").await.ok();
            }
        }
    }
}

#[tokio::test]
async fn a_believed_proxy_names_the_client_once_and_in_any_spelling() {
    let world = World::over(behind("127.0.0.0/8")).await;
    world.enable("userpass", "userpass").await;
    world.role("userpass", "userpass", "r", json!({"token_bound_cidrs": "10.0.0.0/8,2001:db8::/32"})).await.ok();
    let login = async |lines: &[&str]| {
        let mut call = world.server.anonymous().put("auth/userpass/login/r", json!({"password": "right"}));
        for line in lines {
            call = call.header("x-forwarded-for", line);
        }
        call.await
    };
    // The client writes what it likes; the last entry is the proxy's.
    for lines in [
        &[][..],
        &["192.0.2.1"],
        &["10.0.0.1, 192.0.2.1"],
        &["10.0.0.1", "192.0.2.1"],
        &["10.0.0.1:443, 192.0.2.1:10"],
        &["::ffff:192.0.2.1"],
        &["2001:db9::1"],
    ] {
        login(lines).await.is(403);
    }
    for lines in [&["10.0.0"][..], &["canary"], &[""], &["10.0.0.1,"], &["10.0.0.1:x"], &["0x0a000001"], &["10.1"]] {
        let answer = login(lines).await.is(400);
        assert!(!answer.text.contains("canary"));
    }
    for lines in [
        &["10.0.0.1"][..],
        &["192.0.2.1, 10.0.0.1"],
        &["192.0.2.1", "10.0.0.1"],
        &["10.0.0.1:4711"],
        // An IPv4 address in IPv6 is the same address.
        &["::ffff:10.0.0.1"],
        &["[::ffff:a00:1]:4711"],
        &["2001:db8::1"],
        &["[2001:db8::1]"],
        &["[2001:DB8::1]:443"],
    ] {
        login(lines).await.ok();
    }
    // A token stays where its login was allowed.
    let bound = token(&login(&["10.0.0.1"]).await.ok());
    let look = async |from: &str| {
        world.server.with(&bound).get("auth/token/lookup-self").header("x-forwarded-for", from).await.status
    };
    assert_eq!([look("10.7.7.7").await, look("::ffff:10.7.7.7").await, look("192.0.2.1").await], [200, 200, 403]);
}

#[tokio::test]
async fn a_network_written_as_ipv4_in_ipv6_is_that_network() {
    let world = World::new().await;
    for kind in METHODS {
        world.enable(kind, kind).await;
        for (cidr, meant, here) in [
            ("::ffff:127.0.0.0/104", "127.0.0.0/8", true),
            ("::ffff:127.0.0.1", "127.0.0.1", true),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8", false),
        ] {
            world.role(kind, kind, "r", json!({"token_bound_cidrs": [cidr]})).await.ok();
            let shown = world.server.get(&World::place(kind, kind, "r")).await.ok().data()["token_bound_cidrs"].clone();
            assert_eq!(shown, json!([meant]), "{kind}");
            let answer = world.login(kind, kind, "r").await;
            let good = answer.succeeded() && world.server.alive(&token(&answer)).await;
            assert_eq!(good, here, "{kind}: {cidr}");
        }
        // Wider than the IPv4 addresses, it is no network of IPv4.
        world.role(kind, kind, "r", json!({"token_bound_cidrs": ["::/0"]})).await.ok();
        let answer = world.login(kind, kind, "r").await;
        assert!(!answer.succeeded() || !world.server.alive(&token(&answer)).await, "{kind}");
    }
}
