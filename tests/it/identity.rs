//! Who is behind a token: entities, aliases, groups, and what follows from them at once.

use serde_json::{Value, json};

use crate::http::{Answer, Http};
use crate::server::{Server, at_once};

const READ_KV: &str = r#"path "kv/a" { capabilities = ["read"] }"#;

struct World {
    server: Server,
    accessor: String,
}

impl World {
    /// A server with a secret, users `anna` and `bert`, and a policy that reads the secret, given to nobody.
    async fn new() -> Self {
        let server = Server::new().await;
        server.kv("kv", 1).await;
        server.put("kv/a", json!({"k": "v"})).await.ok();
        server.policy("reads", READ_KV).await;
        server.auth("userpass", "userpass").await;
        for name in ["anna", "bert"] {
            server.put(&format!("auth/userpass/users/{name}"), json!({"password": "p"})).await.ok();
        }
        let accessor = server.get("sys/auth").await.ok().data()["userpass/"]["accessor"].as_str().unwrap().to_owned();
        Self { server, accessor }
    }

    async fn login(&self, name: &str) -> (String, String) {
        let login = login(&self.server, name).await.ok();
        let text = |field: &str| login.auth()[field].as_str().unwrap().to_owned();
        (text("client_token"), text("entity_id"))
    }

    async fn reads(&self, token: &str) -> bool {
        let answer = self.server.with(token).get("kv/a").await;
        assert!(matches!(answer.status, 200 | 403), "{answer:?}");
        answer.status == 200
    }

    async fn entity(&self, body: Value) -> String {
        made(&self.server.put("identity/entity", body).await.ok())
    }

    async fn group(&self, body: Value) -> String {
        made(&self.server.put("identity/group", body).await.ok())
    }

    async fn alias(&self, name: &str, entity: &str) -> String {
        let body = json!({"name": name, "canonical_id": entity, "mount_accessor": self.accessor});
        made(&self.server.put("identity/entity-alias", body).await.ok())
    }
}

async fn login(http: &Http, name: &str) -> Answer {
    http.anonymous().put(&format!("auth/userpass/login/{name}"), json!({"password": "p"})).await
}

fn made(answer: &Answer) -> String {
    answer.data()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_id_that_is_nobodys_finds_nothing_and_harms_nothing() {
    let world = World::new().await;
    let (token, entity) = world.login("anna").await;
    let group = world.group(json!({"name": "g", "member_entity_ids": [entity], "policies": ["reads"]})).await;
    let alias = world.server.get(&format!("identity/entity/id/{entity}")).await.ok().data()["aliases"][0]["id"].clone();
    let alias = alias.as_str().unwrap();
    // Ids of another kind, of nothing, and of what cannot be an id.
    for (place, foreign) in [
        ("entity/id", [group.as_str(), alias, "nonsense", "id%20id", "00000000-0000-4000-8000-000000000000"]),
        ("group/id", [entity.as_str(), alias, "nonsense", "id%20id", "00000000-0000-4000-8000-000000000000"]),
        ("entity-alias/id", [entity.as_str(), &group, "nonsense", "id%20id", "00000000-0000-4000-8000-000000000000"]),
        ("group-alias/id", [entity.as_str(), &group, alias, "nonsense", "id%20id"]),
    ] {
        for id in foreign {
            let path = format!("identity/{place}/{id}");
            world.server.get(&path).await.is(404);
            let body = json!({"name": "other", "policies": ["reads"], "mount_accessor": world.accessor});
            world.server.put(&path, body).await.is(400);
            world.server.delete(&path).await.is(204);
        }
    }
    for (path, body) in [
        ("identity/entity/merge", json!({"from_entity_ids": [group], "to_entity_id": entity})),
        ("identity/entity/merge", json!({"from_entity_ids": [entity], "to_entity_id": group})),
        ("identity/entity/merge", json!({"from_entity_ids": [entity], "to_entity_id": entity})),
        ("identity/entity/merge", json!({"from_entity_ids": ["a/b"], "to_entity_id": entity})),
        ("identity/group/name/h", json!({"member_entity_ids": [group]})),
        ("identity/group/name/h", json!({"member_group_ids": [entity]})),
        ("identity/entity/batch-delete", json!({"entity_ids": ["../x"]})),
        ("identity/entity/batch-delete", json!({})),
    ] {
        world.server.put(path, body.clone()).await.is(400);
    }
    assert!(world.reads(&token).await);
}

#[tokio::test]
async fn who_moves_a_login_needs_the_right_to_change_both_its_entities() {
    let world = World::new().await;
    let (one, two) = (world.entity(json!({"name": "one"})).await, world.entity(json!({"name": "two"})).await);
    let alias = world.alias("anna", &one).await;
    let right = |id: &str| format!("path \"identity/entity/id/{id}\" {{ capabilities = [\"update\"] }}\n");
    let base = "path \"identity/entity-alias\" { capabilities = [\"update\"] }
        path \"identity/entity-alias/id/*\" { capabilities = [\"update\"] }\n";
    for (n, (rights, status)) in
        [(String::new(), 403), (right(&one), 403), (right(&two), 403), (format!("{}{}", right(&one), right(&two)), 200)]
            .into_iter()
            .enumerate()
    {
        let policy = format!("mover{n}");
        world.server.policy(&policy, &format!("{base}{rights}")).await;
        let http = world.server.with(&world.server.token_of(json!({"policies": [policy]})).await);
        let body = json!({"name": "anna", "canonical_id": two, "mount_accessor": world.accessor});
        http.put(&format!("identity/entity-alias/id/{alias}"), body.clone()).await.is(status);
        if status == 403 {
            http.put("identity/entity-alias", body).await.is(403);
        }
    }
    assert_eq!(world.login("anna").await.1, two);
}

#[tokio::test]
async fn what_is_deleted_in_a_batch_is_asked_for_one_by_one() {
    let world = World::new().await;
    let (one, two) = (world.entity(json!({"name": "one"})).await, world.entity(json!({"name": "two"})).await);
    let text = format!(
        "path \"identity/entity/batch-delete\" {{ capabilities = [\"update\"] }}
         path \"identity/entity/id/{one}\" {{ capabilities = [\"delete\"] }}"
    );
    world.server.policy("tidy", &text).await;
    let http = world.server.with(&world.server.token_of(json!({"policies": ["tidy"]})).await);
    http.put("identity/entity/batch-delete", json!({"entity_ids": [one, two]})).await.is(403);
    world.server.get(&format!("identity/entity/id/{one}")).await.ok();
    http.put("identity/entity/batch-delete", json!({"entity_ids": [one]})).await.is(204);
    world.server.get(&format!("identity/entity/id/{one}")).await.is(404);
    world.server.get(&format!("identity/entity/id/{two}")).await.ok();
}

#[tokio::test]
async fn one_name_is_one_entity_however_it_is_written() {
    let world = World::new().await;
    let id = world.entity(json!({"name": "Straße 1"})).await;
    for name in ["straße 1", "STRAßE 1"] {
        world.server.put("identity/entity", json!({"name": name, "metadata": {"seen": name}})).await.is(204);
        let found = world.server.put("identity/lookup/entity", json!({"name": name})).await.ok();
        assert_eq!(found.data()["id"], json!(id));
    }
    for name in [" Straße 1", "Straße 1 ", "a\nb", "\u{a0}x"] {
        world.server.put("identity/entity", json!({"name": name})).await.is(400);
        world.server.put("identity/group", json!({"name": name})).await.is(400);
    }
    let other = world.entity(json!({"name": "other"})).await;
    world.server.put(&format!("identity/entity/id/{other}"), json!({"name": "STRAßE 1"})).await.is(400);
    let answers = at_once((0..8).map(|n| {
        let http = world.server.with(world.server.token());
        async move { http.put("identity/entity", json!({"name": if n % 2 == 0 { "Race" } else { "rACE" }})).await }
    }))
    .await;
    assert!(answers.iter().all(Answer::succeeded), "{answers:?}");
    let names = world.server.list("identity/entity/name").await.ok().data()["keys"].as_array().unwrap().len();
    assert_eq!(names, 3, "two who make one name at once make one entity");
}

#[tokio::test]
async fn a_merged_entity_is_the_other_one_from_then_on() {
    let world = World::new().await;
    let (token, from) = world.login("anna").await;
    let into = world.entity(json!({"name": "into", "policies": ["reads"]})).await;
    let third = world.entity(json!({"name": "third"})).await;
    assert!(!world.reads(&token).await);
    let merge = json!({"from_entity_ids": [from], "to_entity_id": into});
    world.server.put("identity/entity/merge", merge.clone()).await.is(204);
    world.server.put("identity/entity/merge", merge).await.is(400);
    assert!(world.reads(&token).await);
    assert_eq!(world.server.lookup(&token).await["entity_id"], json!(into));
    assert_eq!(world.login("anna").await.1, into);
    // What happens to the one that took it in happens to its tokens, also after a second merge.
    world.server.put(&format!("identity/entity/id/{into}"), json!({"policies": []})).await.is(204);
    assert!(!world.reads(&token).await);
    world.server.put("identity/entity/merge", json!({"from_entity_ids": [into], "to_entity_id": third})).await.is(204);
    world.server.put(&format!("identity/entity/id/{third}"), json!({"policies": ["reads"]})).await.is(204);
    assert!(world.reads(&token).await);
    world.server.put(&format!("identity/entity/id/{third}"), json!({"disabled": true})).await.is(204);
    assert!(!world.server.alive(&token).await);
}

#[tokio::test]
async fn aliases_of_one_mount_exclude_each_other_in_a_merge() {
    let world = World::new().await;
    let ((_, one), (_, two)) = (world.login("anna").await, world.login("bert").await);
    let body = json!({"from_entity_ids": [one], "to_entity_id": two});
    world.server.put("identity/entity/merge", body).await.is(400);
    let alias = world.server.get(&format!("identity/entity/id/{one}")).await.ok().data()["aliases"][0]["id"].clone();
    let body = json!({"from_entity_ids": [one], "to_entity_id": two, "conflicting_alias_ids_to_keep": [alias]});
    world.server.put("identity/entity/merge", body).await.is(204);
    assert_eq!(world.login("anna").await.1, two);
    assert_ne!(world.login("bert").await.1, two, "the alias that did not stay makes an entity of its own");
}

#[tokio::test]
async fn groups_reach_tokens_that_are_there_already() {
    let world = World::new().await;
    let (token, entity) = world.login("anna").await;
    let inner = world.group(json!({"name": "inner", "member_entity_ids": [entity]})).await;
    let outer = world.group(json!({"name": "outer", "member_group_ids": [inner]})).await;
    assert!(!world.reads(&token).await);
    world.server.put(&format!("identity/group/id/{outer}"), json!({"policies": ["reads"]})).await.is(204);
    assert!(world.reads(&token).await);
    // No circle, however long.
    let top = world.group(json!({"name": "top", "member_group_ids": [outer]})).await;
    world.server.put(&format!("identity/group/id/{inner}"), json!({"member_group_ids": [top]})).await.is(400);
    world.server.put(&format!("identity/group/id/{inner}"), json!({"member_group_ids": [inner]})).await.is(400);
    world.server.put(&format!("identity/group/id/{inner}"), json!({"member_entity_ids": []})).await.is(204);
    assert!(!world.reads(&token).await);
    world.server.put(&format!("identity/group/id/{inner}"), json!({"member_entity_ids": [entity]})).await.is(204);
    assert!(world.reads(&token).await);
    world.server.delete(&format!("identity/group/id/{outer}")).await.is(204);
    assert!(!world.reads(&token).await);
}

#[tokio::test]
async fn nobody_is_called_so_that_a_template_grants_more() {
    let world = World::new().await;
    let text = r#"path "kv/{{identity.entity.metadata.team}}" { capabilities = ["read"] }
        path "kv/{{identity.groups.names.g.metadata.team}}/x" { capabilities = ["read"] }"#;
    world.server.policy("team", text).await;
    world.server.put("auth/userpass/users/anna", json!({"token_policies": "team"})).await.ok();
    world.server.put("kv/b/x", json!({"k": "v"})).await.ok();
    let (token, entity) = world.login("anna").await;
    for team in ["*", "+", "a/..", "../a", "a,b", "{a}", ".", "..", "", "a*"] {
        world.server.put(&format!("identity/entity/id/{entity}"), json!({"metadata": {"team": team}})).await.is(204);
        assert!(!world.reads(&token).await, "{team:?}");
    }
    world.server.put(&format!("identity/entity/id/{entity}"), json!({"metadata": {"team": "a"}})).await.is(204);
    assert!(world.reads(&token).await);
    // Of a group only its members' policies may speak.
    let group = world.group(json!({"name": "g", "metadata": {"team": "b"}})).await;
    world.server.with(&token).get("kv/b/x").await.is(403);
    world.server.put(&format!("identity/group/id/{group}"), json!({"member_entity_ids": [entity]})).await.is(204);
    world.server.with(&token).get("kv/b/x").await.ok();
}

/// Every variable of Vault's documentation, each as the only way to a path.
#[tokio::test]
async fn a_template_can_name_all_that_is_known_of_who_asks() {
    let world = World::new().await;
    let server = &world.server;
    let (ann, _) = world.login("anna").await;
    let entity = server.lookup(&ann).await["entity_id"].as_str().unwrap().to_owned();
    let body = json!({"name": "ann-entity", "metadata": {"team": "blue"}, "policies": ["templated"]});
    server.put(&format!("identity/entity/id/{entity}"), body).await.ok();
    let shown = server.get(&format!("identity/entity/id/{entity}")).await.ok().data().clone();
    let alias = shown["aliases"][0].clone();
    let (alias_id, accessor) = (alias["id"].as_str().unwrap(), alias["mount_accessor"].as_str().unwrap());
    let body = json!({"custom_metadata": {"desk": "seven"}});
    server.put(&format!("identity/entity-alias/id/{alias_id}"), body).await.ok();
    let group =
        world.group(json!({"name": "crew", "member_entity_ids": [entity], "metadata": {"region": "north"}})).await;
    let other = world.group(json!({"name": "others", "metadata": {"region": "south"}})).await;
    let variables = [
        ("identity.entity.id".to_owned(), entity.clone()),
        ("identity.entity.name".to_owned(), "ann-entity".to_owned()),
        ("identity.entity.metadata.team".to_owned(), "blue".to_owned()),
        (format!("identity.entity.aliases.{accessor}.id"), alias_id.to_owned()),
        (format!("identity.entity.aliases.{accessor}.name"), "anna".to_owned()),
        (format!("identity.entity.aliases.{accessor}.custom_metadata.desk"), "seven".to_owned()),
        (format!("identity.groups.ids.{group}.name"), "crew".to_owned()),
        (format!("identity.groups.ids.{group}.metadata.region"), "north".to_owned()),
        ("identity.groups.names.crew.id".to_owned(), group.clone()),
        ("identity.groups.names.crew.metadata.region".to_owned(), "north".to_owned()),
    ];
    server.kv("tmpl", 1).await;
    let rule =
        |n: usize, variable: &str| format!("path \"tmpl/{n}-{{{{{variable}}}}}\" {{ capabilities = [\"read\"] }}\n");
    let nothing = [
        "identity.entity.metadata.absent".to_owned(),
        "identity.entity.aliases.auth_none_1.name".to_owned(),
        format!("identity.groups.ids.{other}.name"),
        "identity.groups.names.others.metadata.region".to_owned(),
    ];
    let text: String = variables.iter().map(|(v, _)| v).chain(&nothing).enumerate().map(|(n, v)| rule(n, v)).collect();
    server.policy("templated", &text).await;
    for (n, (variable, value)) in variables.iter().enumerate() {
        server.put(&format!("tmpl/{n}-{value}"), json!({"k": "v"})).await.ok();
        let answer = server.with(&ann).get(&format!("tmpl/{n}-{value}")).await;
        assert_eq!(answer.status, 200, "{variable}: {answer:?}");
        server.with(&ann).get(&format!("tmpl/{n}-another")).await.is(403);
    }
    // What is not known of her, or is of a group she is not in, opens no path: not even one without the value.
    for (n, variable) in nothing.iter().enumerate().map(|(n, v)| (n + variables.len(), v)) {
        for value in ["", "others", "south", "anna"] {
            let answer = server.with(&ann).get(&format!("tmpl/{n}-{value}")).await;
            assert_eq!(answer.status, 403, "{variable}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn an_alias_goes_by_its_older_names_too() {
    let world = World::new().await;
    let server = &world.server;
    let entity = world.entity(json!({"name": "eve"})).await;
    for name in ["alias", "persona"] {
        let body = json!({"name": format!("eve-{name}"), "canonical_id": entity, "mount_accessor": world.accessor});
        server.put(&format!("identity/{name}"), body).by("hvs.nobody").await.is(403);
        let body = json!({"name": format!("eve-{name}"), "entity_id": entity, "mount_accessor": world.accessor});
        let id = made(&server.put(&format!("identity/{name}"), body).await.ok());
        for other in ["alias", "persona", "entity-alias"] {
            let shown = server.get(&format!("identity/{other}/id/{id}")).await.ok();
            assert_eq!(shown.data()["canonical_id"], entity);
        }
        assert!(
            server.list(&format!("identity/{name}/id")).await.ok().data()["keys"]
                .as_array()
                .unwrap()
                .contains(&json!(id))
        );
        server.delete(&format!("identity/{name}/id/{id}")).await.is(204);
        server.get(&format!("identity/entity-alias/id/{id}")).await.is(404);
    }
}

#[tokio::test]
async fn a_token_is_made_for_an_alias_that_its_role_allows_and_for_no_other() {
    let world = World::new().await;
    let body = json!({"allowed_entity_aliases": ["web-*", "Batch"], "allowed_policies": ["default"]});
    world.server.put("auth/token/roles/r", body).await.ok();
    for alias in ["web-1", "BATCH"] {
        let made = world.server.put("auth/token/create/r", json!({"entity_alias": alias})).await.ok();
        let entity = made.auth()["entity_id"].as_str().unwrap().to_owned();
        let again = world.server.put("auth/token/create/r", json!({"entity_alias": alias.to_lowercase()})).await.ok();
        assert!(!entity.is_empty() && again.auth()["entity_id"] == json!(entity));
    }
    for alias in ["other", "xweb-1", "batch2", " batch", "web-1\n"] {
        world.server.put("auth/token/create/r", json!({"entity_alias": alias})).await.is(400);
    }
    world.server.put("auth/token/create", json!({"entity_alias": "batch"})).await.is(400);
}

/// The code of an `otpauth` address at a moment of the server's clock.
fn code(url: &str, now: i64) -> String {
    let text = url.split("secret=").nth(1).unwrap();
    let (mut held, mut bits, mut secret) = (0u32, 0, Vec::new());
    for letter in text.bytes() {
        let value = if letter >= b'A' { letter - b'A' } else { letter - b'2' + 26 };
        held = (held << 5) | u32::from(value);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            secret.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    warifu::crypto::otp::hotp(warifu::crypto::otp::OtpHash::Sha1, &secret, now as u64 / 30, 6)
}

struct Second {
    method: String,
    url: String,
}

/// Makes the logins of userpass need a code, and gives the entity a secret.
async fn second_factor(world: &World, entity: &str) -> Second {
    let made = world.server.put("identity/mfa/method/totp", json!({"issuer": "t"})).await.ok();
    let method = made.data()["method_id"].as_str().unwrap().to_owned();
    let body = json!({"method_id": method, "entity_id": entity});
    let made = world.server.put("identity/mfa/method/totp/admin-generate", body).await.ok();
    let url = made.data()["url"].as_str().unwrap().to_owned();
    let rule = json!({"mfa_method_ids": [method], "auth_method_accessors": [world.accessor]});
    world.server.put("identity/mfa/login-enforcement/all", rule).await.ok();
    Second { method, url }
}

async fn waits(http: &Http, name: &str) -> String {
    let answer = login(http, name).await.ok();
    assert_eq!(answer.auth()["client_token"], json!(""));
    answer.auth()["mfa_requirement"]["mfa_request_id"].as_str().unwrap().to_owned()
}

async fn brings(http: &Http, id: &str, method: &str, code: &str) -> Answer {
    http.anonymous().put("sys/mfa/validate", json!({"mfa_request_id": id, "mfa_payload": {method: [code]}})).await
}

fn seconds(server: &Server) -> i64 {
    use warifu::base::Clock;
    server.clock().now().as_second()
}

#[tokio::test]
async fn a_code_is_good_once_in_whatever_form_it_is_written() {
    let world = World::new().await;
    let (_, entity) = world.login("anna").await;
    let second = second_factor(&world, &entity).await;
    let before = world.server.tokens().await;
    let code = code(&second.url, seconds(&world.server));
    let id = waits(&world.server, "anna").await;
    brings(&world.server, &id, &second.method, "000000").await.is(403);
    brings(&world.server, &id, "nonsense", &code).await.is(403);
    brings(&world.server, "nonsense", &second.method, &code).await.is(400);
    assert_eq!(world.server.tokens().await, before, "who is refused gets no token, not even a hidden one");
    let login = brings(&world.server, &id, &second.method, &code).await.ok();
    assert_eq!(login.auth()["entity_id"], json!(entity));
    assert!(world.server.alive(login.auth()["client_token"].as_str().unwrap()).await);
    brings(&world.server, &id, &second.method, &code).await.is(400);
    let spaced = format!("{} {}", &code[..3], &code[3..]);
    let wide: String = code.chars().map(|c| char::from_u32(c as u32 - 0x30 + 0xff10).unwrap()).collect();
    for same in [code.clone(), format!(" {code}"), spaced, wide] {
        let id = waits(&world.server, "anna").await;
        brings(&world.server, &id, &second.method, &same).await.is(403);
        world.server.clock().advance(0);
    }
}

#[tokio::test]
async fn codes_cannot_be_guessed_one_after_the_other() {
    let world = World::new().await;
    let (_, entity) = world.login("anna").await;
    let second = second_factor(&world, &entity).await;
    for _ in 0..5 {
        let id = waits(&world.server, "anna").await;
        brings(&world.server, &id, &second.method, "000000").await.is(403);
    }
    // Neither another login nor the right code helps before the period is over.
    let id = waits(&world.server, "anna").await;
    brings(&world.server, &id, &second.method, &code(&second.url, seconds(&world.server))).await.is(403);
    world.server.clock().advance(31);
    brings(&world.server, &id, &second.method, &code(&second.url, seconds(&world.server))).await.ok();
    // A login does not wait for ever.
    let id = waits(&world.server, "anna").await;
    world.server.clock().advance(301);
    brings(&world.server, &id, &second.method, &code(&second.url, seconds(&world.server))).await.is(400);
}

#[tokio::test]
async fn a_restart_forgets_no_rule_and_two_nodes_take_a_code_once() {
    let world = World::new().await;
    let (_, entity) = world.login("anna").await;
    let second = second_factor(&world, &entity).await;
    let other = world.server.again().await;
    other.open().await;
    let ids = [waits(&world.server, "anna").await, waits(&other, "anna").await];
    let code = code(&second.url, seconds(&world.server));
    let answers = at_once([(world.server.anonymous(), &ids[0]), (other.anonymous(), &ids[1])].map(|(http, id)| {
        let (id, method, code) = (id.clone(), second.method.clone(), code.clone());
        async move { brings(&http, &id, &method, &code).await.status }
    }))
    .await;
    let mut answers = answers;
    answers.sort_unstable();
    assert_eq!(answers, [200, 403]);
    // Who has no secret does not get by.
    let id = waits(&other, "bert").await;
    brings(&other, &id, &second.method, "123456").await.is(403);
}

#[tokio::test]
async fn a_rule_counts_from_its_answer_on_on_every_node_and_until_it_is_gone() {
    let world = World::new().await;
    let other = world.server.again().await;
    other.open().await;
    // Both have looked before there is any.
    for http in [&*world.server, &*other] {
        assert!(login(http, "anna").await.ok().auth()["client_token"] != "");
    }
    let (_, entity) = world.login("anna").await;
    second_factor(&world, &entity).await;
    for _ in 0..2 {
        for http in [&*world.server, &*other] {
            waits(http, "anna").await;
        }
    }
    let rule = world.server.list("identity/mfa/login-enforcement").await.ok().data()["keys"][0].clone();
    let rule = format!("identity/mfa/login-enforcement/{}", rule.as_str().unwrap());
    // One that is for others now, one that is back, one that is gone: each counts for the next login, at either node.
    let with = async |http: &Http, fields: Value| http.put(&rule, fields).await.ok();
    let accessors = world.server.get(&rule).await.ok().data()["auth_method_accessors"].clone();
    with(&other, json!({"auth_method_accessors": [], "auth_method_types": ["kubernetes"]})).await;
    assert!(login(&world.server, "anna").await.ok().auth()["client_token"] != "");
    with(&world.server, json!({"auth_method_accessors": accessors})).await;
    waits(&other, "anna").await;
    other.delete(&rule).await.ok();
    assert!(login(&world.server, "anna").await.ok().auth()["client_token"] != "");
}

#[tokio::test]
async fn an_identity_token_is_good_until_its_keys_are_gone() {
    let world = World::new().await;
    world.server.policy("prove", r#"path "identity/oidc/token/*" { capabilities = ["read"] }"#).await;
    world.server.put("auth/userpass/users/anna", json!({"token_policies": "prove"})).await.ok();
    let (token, entity) = world.login("anna").await;
    let key = json!({"algorithm": "ES256", "rotation_period": "1h", "verification_ttl": "1h"});
    world.server.put("identity/oidc/key/k", key).await.is(204);
    for bad in [
        json!({}),
        json!({"key": "none"}),
        json!({"key": "k", "template": "{\"sub\": \"root\"}"}),
        json!({"key": "k", "template": "[]"}),
        json!({"key": "k", "ttl": "2h"}),
    ] {
        world.server.put("identity/oidc/role/r", bad).await.is(400);
    }
    let role = json!({"key": "k", "ttl": "30m", "template": r#"{"who": {{identity.entity.name}}}"#});
    world.server.put("identity/oidc/role/r", role).await.is(204);
    let client = world.server.get("identity/oidc/role/r").await.ok().data()["client_id"].clone();
    world.server.with(&token).get("identity/oidc/token/r").await.is(400);
    world.server.put("identity/oidc/key/k", json!({"allowed_client_ids": [client]})).await.is(204);
    // Who is nobody proves nothing.
    world.server.get("identity/oidc/token/r").await.is(400);
    let signed = world.server.with(&token).get("identity/oidc/token/r").await.ok().data()["token"].clone();
    let active = |body: Value| {
        let http = world.server.with(world.server.token());
        async move { http.put("identity/oidc/introspect", body).await.is(200).json["active"].clone() }
    };
    assert_eq!(active(json!({"token": signed})).await, json!(true));
    assert_eq!(active(json!({"token": signed, "client_id": "other"})).await, json!(false));
    let text = signed.as_str().unwrap();
    for forged in [format!("{text}A"), text.replacen('.', ".A", 1), "a.b.c".into(), String::from("x")] {
        assert_eq!(active(json!({"token": forged})).await, json!(false));
    }
    let keys =
        || async { world.server.anonymous().get("identity/oidc/.well-known/keys").await.ok().json["keys"].clone() };
    let first = keys().await;
    world.server.put("identity/oidc/key/k/rotate", json!({})).await.is(204);
    assert_eq!(keys().await.as_array().unwrap().len(), 3, "the key that signs no more is still public");
    assert_eq!(active(json!({"token": signed})).await, json!(true));
    assert_eq!(keys().await[0]["kid"], first[1]["kid"], "the next key was public before it signed");
    world.server.put(&format!("identity/entity/id/{entity}"), json!({"disabled": true})).await.is(204);
    assert_eq!(active(json!({"token": signed})).await, json!(false));
    world.server.put(&format!("identity/entity/id/{entity}"), json!({"disabled": false})).await.is(204);
    world.server.clock().advance(1801);
    assert_eq!(active(json!({"token": signed})).await, json!(false));
    world.server.delete("identity/oidc/key/k").await.is(400);
    // The background lets the next key sign when the time has come.
    let there = keys().await;
    let (before, next) = (there[0]["kid"].clone(), there[1]["kid"].clone());
    world.server.clock().advance(1800);
    let sweeps = (0..8).map(|_| world.server.vault()).map(|vault| async move { vault.sweep_once().await });
    for swept in at_once(sweeps.collect::<Vec<_>>()).await {
        swept.unwrap();
    }
    let after = keys().await[0]["kid"].clone();
    assert_ne!(after, before);
    assert_eq!(after, next, "rotated once, whoever was at it");
}

#[tokio::test]
async fn an_application_gets_the_tokens_of_whom_it_may_log_in_once() {
    let world = World::new().await;
    world
        .server
        .policy("app", r#"path "identity/oidc/provider/p/authorize" { capabilities = ["read", "update"] }"#)
        .await;
    for name in ["anna", "bert"] {
        world.server.put(&format!("auth/userpass/users/{name}"), json!({"token_policies": "app"})).await.ok();
    }
    let ((anna, entity), (bert, _)) = (world.login("anna").await, world.login("bert").await);
    world.server.put("identity/oidc/scope/s", json!({"template": r#"{"n": {{identity.entity.id}}}"#})).await.is(204);
    world.server.put("identity/oidc/assignment/a", json!({"entity_ids": [entity]})).await.is(204);
    world.server.put("identity/oidc/key/k", json!({"algorithm": "EdDSA", "allowed_client_ids": ["*"]})).await.is(204);
    let body = json!({"redirect_uris": ["http://app/cb"], "assignments": ["a"], "key": "k"});
    world.server.put("identity/oidc/client/c", body).await.is(204);
    let client = world.server.get("identity/oidc/client/c").await.ok();
    let (id, secret) = (client.data()["client_id"].clone(), client.data()["client_secret"].clone());
    let provider = json!({"allowed_client_ids": [id], "scopes_supported": ["s"]});
    world.server.put("identity/oidc/provider/p", provider).await.is(204);
    let ask = |uri: &str| json!({"client_id": id, "redirect_uri": uri, "response_type": "code", "scope": "openid s", "state": "x", "nonce": "n"});
    let place = "identity/oidc/provider/p";
    world.server.with(&bert).put(&format!("{place}/authorize"), ask("http://app/cb")).await.is(400);
    world.server.with(&anna).put(&format!("{place}/authorize"), ask("http://app/cb/evil")).await.is(400);
    let code = world.server.with(&anna).put(&format!("{place}/authorize"), ask("http://app/cb")).await.is(200);
    let exchange = |secret: &Value| {
        json!({"code": code.json["code"], "grant_type": "authorization_code", "redirect_uri": "http://app/cb",
            "client_id": id, "client_secret": secret})
    };
    let http = world.server.anonymous();
    http.put(&format!("{place}/token"), exchange(&json!("wrong"))).await.is(401);
    let tokens = http.put(&format!("{place}/token"), exchange(&secret)).await.is(200);
    http.put(&format!("{place}/token"), exchange(&secret)).await.is(400);
    let access = tokens.json["access_token"].as_str().unwrap().to_owned();
    let told = world.server.with(&access).get(&format!("{place}/userinfo")).await.is(200);
    assert_eq!((&told.json["sub"], &told.json["n"]), (&json!(entity), &json!(entity)));
    assert!(!world.server.alive(&access).await, "it opens nothing else");
    http.get(&format!("{place}/userinfo")).await.is(401);
    world.server.put(&format!("identity/entity/id/{entity}"), json!({"disabled": true})).await.is(204);
    world.server.with(&access).get(&format!("{place}/userinfo")).await.is(401);
}

#[tokio::test]
async fn a_group_of_an_auth_method_has_whom_the_method_names_and_nobody_else() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
    let world = World::new().await;
    let key = warifu::crypto::PrivateKey::generate(warifu::crypto::keys::jws_kind("ES256").unwrap()).unwrap();
    world.server.auth("jwt", "jwt").await;
    let accessor = world.server.get("sys/auth").await.ok().data()["jwt/"]["accessor"].clone();
    let config = json!({"jwt_validation_pubkeys": [key.public().pem().unwrap()]});
    world.server.put("auth/jwt/config", config).await.ok();
    let role = json!({"role_type": "jwt", "bound_audiences": ["a"], "user_claim": "sub", "groups_claim": "groups"});
    world.server.put("auth/jwt/role/r", role).await.ok();
    let login = |groups: Value| {
        let now = seconds(&world.server);
        let claims = json!({"aud": "a", "sub": "carl", "iat": now, "exp": now + 300, "groups": groups});
        let signed = format!("{}.{}", BASE64.encode(r#"{"alg":"ES256"}"#), BASE64.encode(claims.to_string()));
        let signature = BASE64.encode(key.sign_jws("ES256", signed.as_bytes()).unwrap());
        let http = world.server.anonymous();
        async move {
            let body = json!({"role": "r", "jwt": format!("{signed}.{signature}")});
            let login = http.put("auth/jwt/login", body).await.ok();
            login.auth()["client_token"].as_str().unwrap().to_owned()
        }
    };
    let before = login(json!(["staff"])).await;
    let group = world.group(json!({"name": "ext", "type": "external", "policies": ["reads"]})).await;
    let body = json!({"name": "Staff", "canonical_id": group, "mount_accessor": accessor});
    let alias = made(&world.server.put("identity/group-alias", body.clone()).await.ok());
    assert!(!world.reads(&before).await, "nobody is a member by what was said before the alias was there");
    world.server.put(&format!("identity/group/id/{group}"), json!({"member_entity_ids": ["x"]})).await.is(400);
    let token = login(json!(["staff", "other"])).await;
    assert!(world.reads(&token).await && world.reads(&before).await);
    let members =
        world.server.get(&format!("identity/group/id/{group}")).await.ok().data()["member_entity_ids"].clone();
    assert_eq!(members.as_array().unwrap().len(), 1);
    // The next login says otherwise: no token of the person's is a member's any more.
    let late = login(json!(["other"])).await;
    assert!(!world.reads(&token).await && !world.reads(&late).await);
    // Neither does a membership outlive the alias by which it was found, nor go along to another name.
    let token = login(json!(["staff"])).await;
    assert!(world.reads(&token).await);
    world.server.put(&format!("identity/group-alias/id/{alias}"), json!({"name": "bosses"})).await.ok();
    assert!(!world.reads(&token).await);
    let token = login(json!(["bosses"])).await;
    assert!(world.reads(&token).await);
    world.server.delete(&format!("identity/group-alias/id/{alias}")).await.is(204);
    assert!(!world.reads(&token).await);
    let again = json!({"name": "bosses", "canonical_id": group, "mount_accessor": accessor});
    world.server.put("identity/group-alias", again).await.ok();
    assert!(!world.reads(&token).await, "an alias made anew is another");
    // A group of one mount is nobody's at another: userpass names no groups and takes none away.
    world.login("anna").await;
}
