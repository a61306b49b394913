//! A change is pushed where the server can, and polled where it cannot.

use super::*;

const WATCH: &str = "PUT sys/internal/watch";

#[tokio::test]
async fn a_change_comes_without_a_poll() {
    let world = World::new().await;
    world.state().push = true;
    world.secret("app", json!({ "password": "one" }));
    world.secret("other", json!({ "password": "other" }));
    let bare = r#"{{ with secret "kv/app" }}{{ .Data.data.password }}{{ end }}"#;
    let config = [
        template("out", PLAIN, ""),
        template("bare", bare, ""),
        template("other", r#"{{ with secret "kv/data/other" }}{{ .Data.data.password }}{{ end }}"#, ""),
    ];
    let agent = world.agent(&config.concat());
    world.has("bare", "one\n").await;
    world.logs("the server tells of changes").await;
    // All of it in a second of the clock, where a poll is minutes away.
    for n in 0..5 {
        let (text, start) = (format!("value {n}"), world.clock.monotonic());
        world.nothing_more().await;
        let others = world.state().count_of("GET kv/data/other");
        world.secret("app", json!({ "password": text }));
        let told = || world.text("out") == format!("{text}\n") && world.text("bare") == world.text("out");
        world.until("the change", Duration::from_millis(1), told).await;
        assert!(world.clock.monotonic() - start < Duration::from_secs(20));
        assert_eq!(world.state().count_of("GET kv/data/other"), others, "what did not change is not read");
    }
    // An hour without a change is some seventy questions, none of them in haste.
    let before = world.state().count_of(WATCH);
    for _ in 0..360 {
        world.clock.advance(Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    let asked = world.state().count_of(WATCH) - before;
    assert!((10..=75).contains(&asked), "{asked}");
    agent.kill().await;
}

#[tokio::test]
async fn a_change_that_comes_while_the_old_is_being_read_is_not_lost() {
    let world = World::new().await;
    world.state().push = true;
    world.secret("app", json!({ "password": "one" }));
    let agent = world.agent(&template("out", PLAIN, ""));
    world.logs("the server tells of changes").await;
    world.nothing_more().await;
    world.state().delay = Duration::from_millis(30);
    for n in 0..20 {
        world.secret("app", json!({ "password": n.to_string() }));
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    world.until("the last", Duration::from_millis(1), || world.text("out") == "19\n").await;
    agent.kill().await;
}

#[tokio::test]
async fn a_server_without_it_is_asked_once_an_hour_and_polled() {
    let world = World::new().await;
    world.secret("app", json!({ "password": "one" }));
    let agent = world.agent(&template("out", PLAIN, ""));
    world.has("out", "one\n").await;
    world.until("it is asked", Duration::from_millis(100), || world.state().count_of(WATCH) == 1).await;
    world.secret("app", json!({ "password": "two" }));
    world.until("polled", Duration::from_secs(5), || world.text("out") == "two\n").await;
    assert_eq!(world.state().count_of(WATCH), 1);
    world.state().push = true;
    world.until("it has learned", Duration::from_secs(30), || world.logged().contains("tells of changes")).await;
    agent.kill().await;
}

#[tokio::test]
async fn a_server_that_talks_rubbish_instead_of_waiting_is_not_asked_in_haste() {
    let world = World::new().await;
    world.secret("app", json!({ "password": "one" }));
    let agent = world.agent(&template("out", PLAIN, ""));
    world.has("out", "one\n").await;
    for (status, text) in [
        (204, ""),
        (200, ""),
        (200, "<html>"),
        (200, r#"{"data":{"changed":[1]}}"#),
        (200, r#"{"data":{"changed":{"kv/data/app":7,"kv/data/stranger":"v"}}}"#),
        (200, r#"{"data":{"unwatched":[1,{}]}}"#),
        (500, ""),
        (503, r#"{"errors":["Vault is sealed"]}"#),
    ] {
        world.state().overrides.insert("sys/internal/watch".to_owned(), (status, text.to_owned()));
        agent.signals.send(Signal::HUP).unwrap();
        let before = world.state().count_of(WATCH);
        let reads = world.state().count_of("GET kv/data/app");
        for _ in 0..60 {
            world.clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
        let asked = world.state().count_of(WATCH) - before;
        assert!(asked <= 10, "{status} {text}: asked {asked} times in a minute");
        assert!(world.state().count_of("GET kv/data/app") - reads <= 2, "{status} {text}");
    }
    assert_eq!(world.text("out"), "one\n");
    agent.kill().await;
}
