//! Servers that are away, refuse or talk rubbish, and how often anything is asked.

use super::*;

#[tokio::test]
async fn a_server_that_is_away_touches_no_good_file() {
    let world = World::new().await;
    world.write("out", "good");
    world.state().away = true;
    let agent = world.agent(&template("out", PLAIN, ""));
    world.logs("login failed").await;
    world.nothing_more().await;
    assert_eq!(world.text("out"), "good");
    world.secret("app", json!({ "password": "one" }));
    world.state().away = false;
    world.has("out", "one\n").await;
    // Away again, for a day: the file stays.
    world.state().away = true;
    world.until("a failed fetch", Duration::from_secs(30), || world.logged().contains("fetching failed")).await;
    for _ in 0..20 {
        world.clock.advance(Duration::from_secs(4000));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(world.text("out"), "one\n");
    world.secret("app", json!({ "password": "two" }));
    world.state().away = false;
    world.until("it heals", Duration::from_secs(30), || world.text("out") == "two\n").await;
    agent.kill().await;
}

#[tokio::test]
async fn one_failing_template_does_not_disturb_the_others() {
    let world = World::new().await;
    world.secret("app", json!({ "password": "fine" }));
    for name in ["denied", "garbage", "absent", "wrong", "broken"] {
        world.write(name, "kept");
    }
    world.write("blocker", "a file where a folder should be");
    world
        .state()
        .overrides
        .insert("kv/data/denied".to_owned(), (403, json!({ "errors": ["permission denied"] }).to_string()));
    world.state().overrides.insert("kv/data/garbage".to_owned(), (200, "<html>canary</html>".to_owned()));
    let config = [
        template("denied", r#"{{ (secret "kv/data/denied").Data.data.x }}"#, ""),
        template("garbage", r#"{{ (secret "kv/data/garbage").Data.data.x }}"#, ""),
        template("absent", r#"{{ (secret "kv/data/absent").Data.data.x }}"#, ""),
        template("wrong", r#"{{ (secret "kv/data/app").Data.data.password.x }}"#, ""),
        template("broken", "{{ nosuch }}", ""),
        template("blocker/out", PLAIN, ""),
        "template { destination = \"DIR/nosource\" source = \"DIR/nosource.ctmpl\" }\n".to_owned(),
        template("fine", PLAIN, ""),
    ]
    .concat();
    let agent = world.agent(&config);
    world.has("fine", "fine\n").await;
    for part in [
        "permission denied",
        "not a JSON object",
        "kv/data/absent",
        "field x in type string",
        "nosuch",
        "blocker/out",
        "nosource.ctmpl",
    ] {
        world.logs(part).await;
    }
    for name in ["denied", "garbage", "absent", "wrong", "broken"] {
        assert_eq!(world.text(name), "kept", "{name}");
    }
    // Each heals by itself, without a restart.
    world.secret("absent", json!({ "x": "there" }));
    world.state().overrides.clear();
    world.secret("denied", json!({ "x": "allowed" }));
    std::fs::remove_file(world.path("blocker")).unwrap();
    world.write("nosource.ctmpl", "now");
    let step = Duration::from_secs(5);
    world.until("absent", step, || world.text("absent") == "there\n").await;
    world.until("denied", step, || world.text("denied") == "allowed\n").await;
    world.until("blocker", step, || world.text("blocker/out") == "fine\n").await;
    world.until("nosource", step, || world.text("nosource") == "now").await;
    assert!(!world.logged().contains("canary"));
    agent.kill().await;
}

#[tokio::test]
async fn no_value_and_no_token_is_ever_logged() {
    let world = World::new().await;
    world.secret("app", json!({ "password": "canary-value" }));
    let config = [
        template("a", r#"{{ (secret "kv/data/app").Data.data.password.x }}"#, ""),
        template("b", r#"{{ (secret "kv/data/app").Data.data.password | parseInt }}"#, ""),
        template("c", r#"{{ secret (printf "kv/data/%s" (secret "kv/data/app").Data.data.password) }}"#, ""),
        template("d", r#"{{ secret "pki/none" (printf "x=%s" (secret "kv/data/app").Data.data.password) }}"#, ""),
        template("e", PLAIN, ""),
    ]
    .concat();
    world
        .state()
        .overrides
        .insert("pki/none".to_owned(), (400, json!({ "errors": ["canary-value is not allowed"] }).to_string()));
    let sink = r#"sink "file" { config { path = "DIR/token" } }"#;
    let agent = world.agent_with("remove_secret_id_file_after_reading = false", sink, &config);
    world.has("e", "canary-value\n").await;
    for part in [":1:", "parseInt", "(computed path)", "answered 400"] {
        world.logs(part).await;
    }
    world.nothing_more().await;
    let token = world.text("token");
    assert!(token.starts_with("hvs.token"));
    for secret in ["canary-value", &token, "secret-id\n", "\"secret-id\""] {
        assert!(!world.logged().contains(secret), "{}", world.logged());
    }
    agent.kill().await;
}

#[tokio::test]
async fn retries_that_are_used_up_end_the_agent_only_when_it_should() {
    let world = World::new().await;
    world.write("out", "good");
    let config = template("out", PLAIN, "") + "template_config { exit_on_retry_failure = true }";
    let agent = world.agent(&config);
    let step = Duration::from_secs(5);
    world.until("the end", step, || agent.task.is_finished()).await;
    assert!(agent.end().await.unwrap_err().contains("kv/data/app"));
    assert_eq!(world.text("out"), "good");
}

#[tokio::test]
async fn equal_dependencies_are_fetched_once_and_read_again_in_time() {
    let world = World::new().await;
    world.secret("app", json!({ "password": "one", "user": "u" }));
    let config = [
        template("a", PLAIN, "command = \"echo a >> DIR/commands\""),
        template(
            "b",
            r#"{{ with secret "/kv/data/app" }}{{ .Data.data.user }}{{ end }} {{ env "REGION" }}"#,
            "command = \"echo b >> DIR/commands\"",
        ),
        template(
            "c",
            r#"{{ with secret "kv/app" }}{{ .Data.data.password }}{{ end }}"#,
            "command = \"echo a >> DIR/commands\"",
        ),
        template("d", r#"{{ range secrets "kv" }}{{ . }}{{ end }}"#, ""),
    ]
    .concat();
    let agent = world.agent(&config);
    world.has("a", "one\n").await;
    world.has("b", "u eu\n").await;
    world.has("c", "one\n").await;
    world.has("d", "app\n").await;
    world.until("the commands", Duration::from_millis(200), || world.text("commands").lines().count() == 2).await;
    // `a` and `c` have the same command: it ran once.
    world.nothing_more().await;
    let mut commands: Vec<String> = world.text("commands").lines().map(str::to_owned).collect();
    commands.sort();
    assert_eq!(commands, ["a", "b"]);
    assert_eq!(world.state().count_of("GET kv/data/app"), 2, "once for kv/data/app, once for kv/app");
    assert_eq!(std::fs::metadata(world.path("a")).unwrap().mode() & 0o7777, 0o600);
    // Read again, without a change: nothing is written, nothing is run.
    let inode = |name: &str| std::fs::metadata(world.path(name)).unwrap().ino();
    let before = inode("a");
    world.until("read again", Duration::from_secs(5), || world.state().count_of("GET kv/data/app") >= 6).await;
    world.nothing_more().await;
    assert_eq!((inode("a"), world.text("commands").lines().count()), (before, 2));
    // A change of one field: only who uses it, and the command once for both files.
    world.secret("app", json!({ "password": "two", "user": "u" }));
    agent.signals.send(Signal::HUP).unwrap();
    let step = Duration::from_millis(1);
    world.until("two", step, || world.text("a") == "two\n" && world.text("c") == "two\n").await;
    world.until("the command", step, || world.text("commands").lines().count() == 3).await;
    world.nothing_more().await;
    assert_eq!(world.text("commands").lines().count(), 3);
    assert!(world.text("commands").ends_with("a\n"));
    assert_ne!(inode("a"), before);
    agent.kill().await;
}

#[tokio::test]
async fn leases_are_renewed_and_replaced() {
    let world = World::new().await;
    let agent =
        world.agent(&template("out", r#"{{ with secret "database/creds/app" }}{{ .Data.username }}{{ end }}"#, ""));
    world.until("rendered", Duration::ZERO, || world.text("out").starts_with('u')).await;
    let first = world.text("out");
    let step = Duration::from_secs(5);
    world.until("renewed", step, || world.state().count_of("PUT sys/leases/renew") >= 2).await;
    assert_eq!((world.text("out"), world.state().count_of("GET database/creds/app")), (first.clone(), 1));
    // Revoked behind the agent's back: the next renewal fails, and new ones are fetched.
    world.state().leases.clear();
    world.until("replaced", step, || world.text("out") != first).await;
    assert_eq!(world.state().count_of("GET database/creds/app"), 2);
    agent.kill().await;
}
