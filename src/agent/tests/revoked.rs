//! What was revoked while the server was away is dropped within ten seconds of its return: accounts, certificates, secrets
//! that were removed, the token itself. A server that does not tell takes nothing away.

use super::*;

const TEN_SECONDS: Duration = Duration::from_secs(10);

fn account(path: &str) -> String {
    format!("{{{{ with secret \"{path}\" }}}}{{{{ .Data.username }}}}{{{{ end }}}}")
}

impl World {
    /// One whose tokens and leases outlast every outage.
    async fn of_long_lives() -> World {
        let world = World::new().await;
        world.state().token_ttl = 100_000;
        world.state().lease_ttl = 50_000;
        world
    }

    fn revoke_all(&self) {
        self.state().certificates.values_mut().for_each(|revoked| *revoked = true);
        self.state().leases.clear();
    }
}

#[tokio::test]
async fn an_account_is_replaced_within_ten_seconds() {
    let world = World::of_long_lives().await;
    world.secret("app", json!({ "password": "one" }));
    let agent = world.agent(&(template("account", &account("database/creds/app"), "") + &template("out", PLAIN, "")));
    world.until("rendered", Duration::from_millis(100), || world.text("account").starts_with('u')).await;
    world.has("out", "one\n").await;
    let first = world.text("account");
    world.away(10).await;
    assert_eq!(world.text("account"), first);
    assert!(world.logged().contains("fetching failed"));
    world.revoke_all();
    let took = world.returns("another account", || world.text("account") != first).await;
    assert!(took <= TEN_SECONDS, "{took:?}");
    agent.kill().await;
}

/// Nothing else tells of the server's return than the renewal of a lease that is still good.
#[tokio::test]
async fn one_of_two_accounts_is_replaced_and_the_other_renewed() {
    let world = World::of_long_lives().await;
    world.state().lease_ttl = 600;
    let config =
        template("a", &account("database/creds/app"), "") + &template("b", &account("database/creds/app?b=1"), "");
    let agent = world.agent(&config);
    let there = || world.text("a").starts_with('u') && world.text("b").starts_with('u');
    world.until("rendered", Duration::from_millis(100), there).await;
    let (kept, lost) = (world.text("a"), world.text("b"));
    world.away(8).await;
    let lease = format!("database/creds/app/{}", lost.trim_end().trim_start_matches('u'));
    assert!(world.state().leases.remove(&lease));
    let took = world.returns("another account", || world.text("b") != lost).await;
    assert!(took <= TEN_SECONDS, "{took:?}");
    assert_eq!(world.text("a"), kept);
    agent.kill().await;
}

#[tokio::test]
async fn a_certificate_is_replaced_within_ten_seconds_in_files_and_at_envoy() {
    let world = World::of_long_lives().await;
    let at_envoy = certificates::CERT.replace("app.test", "envoy.test").replace('"', "\\\"");
    let sds =
        format!("sds {{ socket_path = \"DIR/sds.sock\"\n tls_certificate \"web\" {{ contents = \"{at_envoy}\" }} }}");
    let agent = world.agent(&(template("cert", certificates::CERT, "") + &sds));
    world.until("rendered", Duration::from_millis(100), || !world.text("cert").is_empty()).await;
    world.until("two", Duration::from_millis(100), || world.state().certificates.len() == 2).await;
    world.nothing_more().await;
    let (first, first_served) = (world.text("cert"), world.served("web").await);
    assert!(first_served.contains("BEGIN CERTIFICATE"), "{first_served}");
    // An outage alone is no reason for a new one.
    world.away(10).await;
    world
        .returns("a look at both", || {
            world.state().seen.iter().filter(|seen| seen.starts_with("GET pki/cert/")).count() >= 2
        })
        .await;
    world.nothing_more().await;
    assert_eq!((world.text("cert"), world.served("web").await), (first.clone(), first_served.clone()));
    world.away(10).await;
    assert_eq!((world.text("cert"), world.served("web").await), (first.clone(), first_served.clone()));
    world.revoke_all();
    let issued = || world.state().certificates.len();
    let took = world.returns("others", || issued() == 4 && world.text("cert") != first).await;
    assert!(took <= TEN_SECONDS, "{took:?}");
    world.settled().await;
    let served = world.served("web").await;
    assert!(served.contains("BEGIN CERTIFICATE") && served != first_served);
    world.nothing_more().await;
    assert_eq!(issued(), 4, "each once");
    agent.kill().await;
}

#[tokio::test]
async fn a_certificate_that_is_revoked_while_the_server_is_there_is_noticed_in_a_few_minutes() {
    let world = World::of_long_lives().await;
    let agent = world.agent(&template("cert", certificates::CERT, ""));
    world.until("rendered", Duration::from_millis(100), || !world.text("cert").is_empty()).await;
    let first = world.text("cert");
    world.revoke_all();
    let revoked = world.clock.monotonic();
    world.until("another", Duration::from_secs(2), || world.text("cert") != first).await;
    assert!(world.clock.monotonic() - revoked <= Duration::from_secs(320));
    agent.kill().await;
}

#[tokio::test]
async fn a_server_that_does_not_tell_leaves_the_certificate_until_its_end_and_that_is_said_once() {
    for (status, text) in [
        (403, r#"{"errors":["permission denied"]}"#),
        (404, r#"{"errors":[]}"#),
        (400, r#"{"errors":["canary"]}"#),
        (200, "<html>"),
        (200, r#"{"data":{"revocation_time":"soon"}}"#),
        (500, ""),
    ] {
        let world = World::of_long_lives().await;
        world.secret("app", json!({ "password": "one" }));
        let agent = world.agent(&(template("cert", certificates::CERT, "") + &template("out", PLAIN, "")));
        world.until("rendered", Duration::from_millis(100), || !world.text("cert").is_empty()).await;
        world.has("out", "one\n").await;
        let (first, serial) = (world.text("cert"), world.state().certificates.keys().next().unwrap().clone());
        world.state().overrides.insert(format!("pki/cert/{serial}"), (status, text.to_owned()));
        for _ in 0..3 {
            world.away(10).await;
            world.returns("a look", || world.state().count_of(&format!("GET pki/cert/{serial}")) > 0).await;
            world.nothing_more().await;
            agent.signals.send(Signal::HUP).unwrap();
        }
        assert_eq!((world.text("cert"), world.state().certificates.len()), (first.clone(), 1), "{status} {text}");
        let said = world.logged().matches("it is kept until its end").count();
        assert_eq!(said, usize::from((400..500).contains(&status)), "{status} {text}");
        // The rest goes on, and at two thirds of its life a new one comes.
        world.secret("app", json!({ "password": "two" }));
        world.until("two", Duration::from_secs(20), || world.text("out") == "two\n").await;
        world.until("another", Duration::from_secs(200), || world.text("cert") != first).await;
        agent.kill().await;
    }
}

#[tokio::test]
async fn a_certificate_of_before_a_restart_is_asked_for_once_the_server_is_back() {
    let world = World::of_long_lives().await;
    let cache = "cache { path = \"DIR/cache\" max_stale = \"2h\" }";
    let config = template("cert", certificates::CERT, "") + cache;
    let agent = world.agent(&config);
    world.until("rendered", Duration::from_millis(100), || !world.text("cert").is_empty()).await;
    world.until("remembered", Duration::from_millis(100), || world.path("cache").exists()).await;
    let first = world.text("cert");
    agent.kill().await;
    for lost in [false, true] {
        // With the file it is found there, without it in the cache.
        if lost {
            std::fs::remove_file(world.path("cert")).unwrap();
        }
        world.state().away = true;
        let agent = world.agent(&config);
        world.until("it begins with the old one", Duration::from_secs(1), || world.text("cert") == first).await;
        world.away(10).await;
        let took =
            world.returns("a look", || world.state().seen.iter().any(|seen| seen.starts_with("GET pki/cert"))).await;
        assert!(took <= TEN_SECONDS, "{took:?}");
        world.nothing_more().await;
        assert_eq!(world.text("cert"), first);
        agent.kill().await;
    }
    world.state().away = true;
    let agent = world.agent(&config);
    world.revoke_all();
    let took = world.returns("another", || world.text("cert") != first && !world.text("cert").is_empty()).await;
    assert!(took <= TEN_SECONDS, "{took:?}");
    agent.kill().await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_had_anew_stays_and_is_not_remembered() {
    let world = World::of_long_lives().await;
    let config = template("cert", certificates::CERT, "") + "cache { path = \"DIR/cache\" max_stale = \"2h\" }";
    let agent = world.agent(&config);
    world.until("rendered", Duration::from_millis(100), || !world.text("cert").is_empty()).await;
    world.until("remembered", Duration::from_millis(100), || world.path("cache").exists()).await;
    let first = world.text("cert");
    let refused = (400, json!({ "errors": ["the role is gone"] }).to_string());
    world.state().overrides.insert("pki/issue/app".to_owned(), refused);
    world.revoke_all();
    world.until("it is said", Duration::from_secs(5), || world.logged().contains("the certificate was revoked")).await;
    world.nothing_more().await;
    assert_eq!(world.text("cert"), first, "nothing better has come");
    agent.kill().await;
    std::fs::remove_file(world.path("cert")).unwrap();
    world.state().away = true;
    let agent = world.agent(&config);
    world.nothing_more().await;
    assert!(!world.path("cert").exists());
    agent.kill().await;
}

#[tokio::test]
async fn a_removed_secret_is_not_remembered_and_what_was_rendered_stays() {
    let world = World::of_long_lives().await;
    world.secret("app", json!({ "password": "one" }));
    world.secret("other", json!({ "password": "other" }));
    let other = template("other", &PLAIN.replace("app", "other"), "");
    let config = template("out", PLAIN, "") + &other + "cache { path = \"DIR/cache\" max_stale = \"2h\" }";
    let agent = world.agent(&config);
    world.has("out", "one\n").await;
    world.has("other", "other\n").await;
    world.away(10).await;
    world.state().kv.remove("app");
    let took = world.returns("it is said", || world.logged().contains("the secret was removed")).await;
    assert!(took <= TEN_SECONDS, "{took:?}");
    world.nothing_more().await;
    assert_eq!(world.text("out"), "one\n");
    assert_eq!(world.logged().matches("the secret was removed").count(), 1);
    agent.kill().await;
    // Who begins without the server has the other one alone.
    for name in ["out", "other"] {
        std::fs::remove_file(world.path(name)).unwrap();
    }
    world.state().away = true;
    let agent = world.agent(&config);
    world.has("other", "other\n").await;
    world.nothing_more().await;
    assert!(!world.path("out").exists());
    // Put back, it is there again.
    world.secret("app", json!({ "password": "two" }));
    world.state().away = false;
    world.until("it is back", Duration::from_secs(1), || world.text("out") == "two\n").await;
    agent.kill().await;
}

/// Certificates are read by anybody: a token that is dead would show only at its renewal.
#[tokio::test]
async fn a_token_is_replaced_within_ten_seconds() {
    let world = World::of_long_lives().await;
    let sink = r#"sink "file" { config { path = "DIR/token" } }"#;
    let config = template("cert", certificates::CERT, "");
    let agent = world.agent_with("remove_secret_id_file_after_reading = false", sink, &config);
    world.until("rendered", Duration::from_millis(100), || !world.text("cert").is_empty()).await;
    let (token, cert) = (world.text("token"), world.text("cert"));
    world.away(10).await;
    world.state().tokens.clear();
    let took = world.returns("another token", || world.text("token") != token).await;
    assert!(took <= TEN_SECONDS, "{took:?}");
    assert_eq!((world.state().logins.len(), world.text("cert")), (2, cert));
    agent.kill().await;
}
