//! Commands, and the child that is supervised.

use super::*;

#[tokio::test]
async fn once_is_once() {
    let world = World::new().await;
    world.secret("app", json!({ "password": "one" }));
    let sink = r#"sink "file" { config { path = "DIR/none/token" } }"#;
    let rest = template("deep/er/out", PLAIN, "command = \"echo done > DIR/command\"")
        + "exit_after_auth = true pid_file = \"DIR/pid\"";
    let agent = world.agent_with("remove_secret_id_file_after_reading = false", sink, &rest);
    world.has("deep/er/out", "one\n").await;
    world.logs("the sink could not be written").await;
    assert_eq!(world.text("pid"), format!("{}\n", std::process::id()));
    assert!(!agent.task.is_finished(), "a sink has no token yet");
    std::fs::create_dir(world.path("none")).unwrap();
    world.until("the end", Duration::from_secs(1), || agent.task.is_finished()).await;
    assert_eq!(agent.end().await, Ok(0));
    assert_eq!(world.text("command"), "done\n");
    assert!(world.text("none/token").starts_with("hvs.") && !world.path("pid").exists());
}

#[tokio::test]
async fn who_has_rendered_all_and_hears_nothing_for_a_second_is_at_rest() {
    let world = World::new().await;
    world.secret("app", json!({ "password": "one" }));
    let late = r#"{{ with secret "kv/data/late" }}{{ .Data.data.x }}{{ end }}"#;
    let agent = world.agent(&(template("out", PLAIN, "") + &template("late", late, "")));
    let rests = || world.rests.load(Ordering::Relaxed);
    world.has("out", "one\n").await;
    world.nothing_more().await;
    assert_eq!(rests(), 0, "one is missing");
    world.secret("late", json!({ "x": "1" }));
    let step = Duration::from_millis(100);
    world.until("at rest", Duration::from_millis(500), || rests() == 1).await;
    world.settled().await;
    let asked = world.state().tried;
    while world.state().tried == asked {
        assert_eq!(rests(), 1, "nothing has happened");
        world.clock.advance(step);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    world.until("again after the next look", step, || rests() == 2).await;
    agent.kill().await;
}

#[tokio::test]
async fn a_template_may_wait_for_more_changes() {
    let world = World::new().await;
    world.secret("app", json!({ "password": "one" }));
    let agent = world.agent(&template("out", PLAIN, "wait { min = \"5s\" max = \"8s\" }"));
    world.has("out", "one\n").await;
    let change = async |text: &str| {
        world.secret("app", json!({ "password": text }));
        let before = world.state().count_of("GET kv/data/app");
        agent.signals.send(Signal::HUP).unwrap();
        world.until("a fetch", Duration::ZERO, || world.state().count_of("GET kv/data/app") > before).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    change("two").await;
    world.clock.advance(Duration::from_secs(4));
    change("three").await;
    assert_eq!(world.text("out"), "one\n");
    // The least wait has begun anew, the most has not.
    world.clock.advance(Duration::from_millis(4500));
    world.until("three", Duration::ZERO, || world.text("out") == "three\n").await;
    agent.kill().await;
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_killed() {
    let world = World::new().await;
    let config = template("a", "x", "exec { command = \"sleep 1000; echo late > DIR/late\" timeout = \"3s\" }")
        + &template("b", "y", "command = \"echo b > DIR/b-ran\"");
    let agent = world.agent(&config);
    world.logs("took too long").await;
    world.has("b-ran", "b\n").await;
    agent.kill().await;
}

#[tokio::test]
async fn the_child_starts_when_all_is_there_and_its_end_is_the_agents() {
    let world = World::new().await;
    world.secret("app", json!({ "password": "one" }));
    let config = r#"
        exec { command = ["/bin/sh", "-c", "trap 'echo hup >> DIR/signals' HUP; trap 'exit 7' TERM; echo \"$DB\" >> DIR/starts; while :; do sleep 0.05; done"] }
        env_template "DB" { contents = "{{ with secret \"kv/data/app\" }}{{ .Data.data.password }}{{ end }}" }
    "#
    .to_owned()
        + &template("late", r#"{{ with secret "kv/data/late" }}{{ .Data.data.x }}{{ end }}"#, "");
    let agent = world.agent(&config);
    world.logs("kv/data/late").await;
    world.nothing_more().await;
    assert!(!world.path("starts").exists(), "one template is missing");
    world.secret("late", json!({ "x": "1" }));
    world.until("a start", Duration::from_secs(1), || world.text("starts") == "one\n").await;
    agent.signals.send(Signal::HUP).unwrap();
    world.has("signals", "hup\n").await;
    // A change restarts it with the new value.
    world.secret("app", json!({ "password": "two" }));
    world.until("a restart", Duration::from_secs(2), || world.text("starts") == "one\ntwo\n").await;
    world.nothing_more().await;
    assert_eq!(world.text("starts"), "one\ntwo\n");
    agent.signals.send(Signal::TERM).unwrap();
    assert_eq!(agent.end().await, Ok(7));
}

/// As consul-template has it: a signal instead of a restart, and an environment of its own.
#[tokio::test]
async fn a_child_that_can_reload_is_told_and_not_restarted() {
    let world = World::new().await;
    world.secret("app", json!({ "password": "one" }));
    let exec = r#"exec {
        command = ["/bin/sh", "-c", "trap 'cat DIR/out >> DIR/seen' USR1; env >> DIR/env; echo start >> DIR/starts; cat DIR/out >> DIR/seen; while :; do sleep 0.05; done"]
        reload_signal = "SIGUSR1"
        splay = "20s"
        kill_timeout = "2s"
        env { pristine = true custom = ["OWN=1", "PATH=/usr/bin:/bin"] }
    }"#;
    let agent = world.agent(&(template("out", PLAIN, "") + exec));
    world.has("seen", "one\n").await;
    let seen = world.text("env");
    assert!(seen.contains("OWN=1\n") && !seen.contains("HOME=") && !seen.contains("CARGO"), "{seen}");
    world.secret("app", json!({ "password": "two" }));
    let step = Duration::from_secs(5);
    world.until("told", step, || world.text("seen") == "one\ntwo\n").await;
    assert_eq!((world.text("out"), world.text("starts")), ("two\n".to_owned(), "start\n".to_owned()));
    agent.signals.send(Signal::TERM).unwrap();
    assert_eq!(agent.end().await, Ok(143));
}

#[tokio::test]
async fn a_child_that_ends_by_itself_or_cannot_start_ends_the_agent() {
    let world = World::new().await;
    let run =
        |command: &str| world.agent(&format!("exec {{ command = [{command}] restart_on_secret_changes = \"never\" }}"));
    assert_eq!(run(r#""/bin/sh", "-c", "exit 3""#).end().await, Ok(3));
    assert_eq!(run(r#""/bin/sh", "-c", "kill -9 $$""#).end().await, Ok(137));
    let agent = run(r#""/nonexistent/program""#);
    world.until("the end", Duration::from_secs(5), || agent.task.is_finished()).await;
    assert_eq!(agent.end().await, Ok(127));
}
