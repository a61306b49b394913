//! How a token is come by, kept and replaced.

use super::*;

#[tokio::test]
async fn a_wrapped_secret_id_opens_once_and_only_if_made_where_it_should_be() {
    let world = World::new().await;
    world.secret("app", json!({ "password": "in" }));
    world.write("out", "good");
    let made_at = "auth/approle/role/app/secret-id";
    let wrap = |token: &str, path: &str| {
        let inside = (json!({ "secret_id": "secret-id" }), path.to_owned());
        world.state().wrapped.insert(token.to_owned(), inside);
    };
    let method = format!("secret_id_response_wrapping_path = \"{made_at}\"");
    // Stolen: somebody has used it before.
    world.write("secret", "hvs.used");
    let agent = world.agent_with(&method, "", &template("out", PLAIN, ""));
    world.logs("used already, intercepted or expired").await;
    assert_eq!(world.text("out"), "good");
    assert!(!world.path("secret").exists(), "it is removed when read");
    // Swapped: wrapped by somebody else, somewhere else. It is not even unwrapped.
    wrap("hvs.foreign", "sys/wrapping/wrap");
    world.write("secret", "hvs.foreign");
    world.logs("made at another path").await;
    assert!(world.state().wrapped.contains_key("hvs.foreign"));
    // The right one. The server is away when it is read, which does not lose it.
    wrap("hvs.right", made_at);
    world.state().away = true;
    world.write("secret", "hvs.right");
    world.until("it is read", Duration::from_secs(1), || !world.path("secret").exists()).await;
    world.nothing_more().await;
    world.state().away = false;
    world.until("in", Duration::from_secs(1), || world.text("out") == "in\n").await;
    assert!(!world.state().wrapped.contains_key("hvs.right"));
    agent.kill().await;
    // The same one again, in another agent.
    let again = World { folder: tempfile::tempdir().unwrap(), ..world };
    again.write("role", "role-id");
    again.write("secret", "hvs.right");
    again.log.0.lock().unwrap().clear();
    let agent = again.agent_with(&method, "", &template("out", PLAIN, ""));
    again.logs("used already, intercepted or expired").await;
    assert!(!again.logged().contains("hvs.right"));
    agent.kill().await;
}

#[tokio::test]
async fn the_token_is_renewed_and_replaced_in_time() {
    let world = World::new().await;
    world.state().token_ttl = 600;
    world.state().renewal_ttl = 600;
    let sink = r#"sink "file" { config { path = "DIR/token" } } sink "file" { wrap_ttl = "5m" config { path = "DIR/wrapped" mode = 0600 } }"#;
    let agent = world.agent_with("remove_secret_id_file_after_reading = true", sink, "");
    world.until("the sink", Duration::ZERO, || world.path("wrapped").exists()).await;
    let mode = |name: &str| std::fs::metadata(world.path(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("token"), mode("wrapped")), (0o640, 0o600));
    let wrapped: serde_json::Value = serde_json::from_str(&world.text("wrapped")).unwrap();
    assert!(wrapped["token"].as_str().unwrap().starts_with("hvs.wrapping"));
    assert_eq!(wrapped["ttl"], 300);
    let first = world.text("token");
    let step = Duration::from_secs(5);
    world.until("renewed", step, || world.state().count_of("PUT auth/token/renew-self") >= 2).await;
    assert_eq!((world.text("token"), world.state().count_of("PUT auth/approle/login")), (first.clone(), 1));
    // Near its longest life, renewals give little: a new login, with the secret id that was removed.
    world.state().renewal_ttl = 60;
    world.until("a new token", step, || world.text("token") != first).await;
    assert!(!world.path("secret").exists());
    // Revoked: noticed by the refusal of a fetch or the next renewal.
    world.state().tokens.clear();
    let second = world.text("token");
    world.until("another", step, || world.text("token") != second).await;
    agent.kill().await;
}

#[tokio::test]
async fn a_revoked_token_is_noticed_by_the_next_fetch() {
    let world = World::new().await;
    world.secret("app", json!({ "password": "one" }));
    let agent =
        world.agent(&(template("out", PLAIN, "") + "template_config { static_secret_render_interval = \"10s\" }"));
    world.has("out", "one\n").await;
    world.state().tokens.clear();
    world.secret("app", json!({ "password": "two" }));
    // Long before the token's own time of renewal.
    world.until("two", Duration::from_millis(500), || world.text("out") == "two\n").await;
    assert_eq!(world.state().count_of("PUT auth/token/renew-self"), 0);
    agent.kill().await;
}

#[tokio::test]
async fn a_token_from_a_file_serves() {
    let world = World::new().await;
    world.secret("app", json!({ "password": "one" }));
    world.state().tokens.insert("hvs.given".to_owned());
    world.write("given", "hvs.given\n");
    let text = format!(
        r#"vault {{ address = "{}" }} auto_auth {{ method "token_file" {{ config {{ token_file_path = "DIR/given" }} }} }} {}"#,
        world.fake.address,
        template("out", PLAIN, "")
    );
    let agent = world.agent_of(&text);
    world.has("out", "one\n").await;
    agent.signals.send(Signal::TERM).unwrap();
    assert_eq!(agent.end().await, Ok(0));
}

#[tokio::test]
async fn the_same_token_from_a_file_is_no_new_token() {
    let world = World::new().await;
    world.state().token_ttl = 100;
    world.state().token_renewable = false;
    world.state().tokens.insert("hvs.given".to_owned());
    world.write("given", "hvs.given\n");
    let text = format!(
        r#"vault {{ address = "{}" }} auto_auth {{ method "token_file" {{ config {{ token_file_path = "DIR/given" }} }} }} {}"#,
        world.fake.address,
        template("out", r#"{{ with secret "database/creds/app" }}{{ .Data.username }}{{ end }}"#, "")
    );
    let agent = world.agent_of(&text);
    let step = Duration::from_secs(1);
    world.until("looked at", step, || world.state().count_of("GET auth/token/lookup-self") >= 4).await;
    assert_eq!(world.state().count_of("GET database/creds/app"), 1);
    world.state().tokens.insert("hvs.other".to_owned());
    world.write("given", "hvs.other\n");
    world.until("the other", step, || world.state().count_of("GET database/creds/app") == 2).await;
    agent.kill().await;
}
