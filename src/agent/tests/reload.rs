//! SIGHUP reads the whole configuration again.

use super::*;

impl World {
    /// A configuration that lies in a file, and an agent by it.
    fn agent_by_file(&self, rest: &str) -> Agent {
        let text = self.config("remove_secret_id_file_after_reading = false", "", rest);
        self.write("agent.hcl", &text);
        self.agent_of(&text)
    }

    fn rewrite(&self, agent: &Agent, rest: &str) {
        let text = self.config("remove_secret_id_file_after_reading = false", "", rest);
        self.write("agent.hcl", &text);
        agent.signals.send(Signal::HUP).unwrap();
    }

    fn inode(&self, name: &str) -> u64 {
        std::fs::metadata(self.path(name)).unwrap().ino()
    }
}

fn reading(field: &str) -> String {
    format!(r#"{{{{ with secret "kv/data/app" }}}}{{{{ .Data.data.{field} }}}}{{{{ end }}}}"#)
}

fn noting(name: &str) -> String {
    format!("command = \"echo {name} >> DIR/commands\"")
}

#[tokio::test]
async fn templates_come_go_and_change_and_the_others_are_not_touched() {
    let world = World::new().await;
    world.secret("app", json!({ "a": "A", "b": "B", "c": "C" }));
    let (stays, goes) = (template("stays", &reading("a"), &noting("stays")), template("goes", &reading("b"), ""));
    let changes = |field| template("changes", &reading(field), &noting("changes"));
    let certificate = template("tls", certificates::CERT, "");
    let agent = world.agent_by_file(&[&stays, &goes, &changes("a"), &certificate].map(String::as_str).concat());
    world.until("the commands", Duration::from_millis(200), || world.text("commands").lines().count() == 2).await;
    world.until("the certificate", Duration::from_millis(200), || !world.text("tls").is_empty()).await;
    let (before, issued) = (world.inode("stays"), world.text("tls"));
    // Another order, a new one in front, so that all stand at other lines than before.
    let new = template("new", &reading("c"), "");
    world.rewrite(&agent, &[&new, &changes("c"), &certificate, &stays].map(String::as_str).concat());
    world.has("new", "C\n").await;
    world.has("changes", "C\n").await;
    world.until("its command", Duration::from_millis(200), || world.text("commands").lines().count() == 3).await;
    world.secret("app", json!({ "a": "A", "b": "new B", "c": "C" }));
    agent.signals.send(Signal::HUP).unwrap();
    world.nothing_more().await;
    assert_eq!(world.text("commands").lines().last(), Some("changes"));
    assert_eq!((world.inode("stays"), world.text("tls")), (before, issued));
    assert_eq!(world.state().count_of("PUT pki/issue/app"), 1);
    assert_eq!(world.text("goes"), "B\n", "what is gone stays as it was last");
    agent.kill().await;
}

#[tokio::test]
async fn a_broken_configuration_changes_nothing_and_is_said() {
    let world = World::new().await;
    world.secret("app", json!({ "a": "A", "b": "B" }));
    let good = template("out", &reading("a"), "");
    let agent = world.agent_by_file(&good);
    world.has("out", "A\n").await;
    for (broken, words) in [
        ("template {".to_owned(), "agent.hcl"),
        (format!("{}nosuch = 1", template("out", &reading("b"), "")), "nosuch"),
        (template("out", &reading("b"), "perms = \"rubbish\""), "perms"),
        // One that is right beside one that is wrong is not taken either.
        (template("out", &reading("b"), "") + &template("other", "{{ end }}", ""), "unexpected"),
    ] {
        world.rewrite(&agent, &broken);
        world
            .until(words, Duration::from_millis(200), || {
                world.logged().lines().any(|line| line.contains("the old one stays in force") && line.contains(words))
            })
            .await;
        world.nothing_more().await;
        assert_eq!(world.text("out"), "A\n");
        assert!(!world.path("other").exists());
    }
    std::fs::remove_file(world.path("agent.hcl")).unwrap();
    agent.signals.send(Signal::HUP).unwrap();
    world.nothing_more().await;
    // It still works by the old one, and takes the next that is right.
    world.secret("app", json!({ "a": "new A", "b": "B" }));
    agent.signals.send(Signal::HUP).unwrap();
    world.has("out", "new A\n").await;
    world.rewrite(&agent, &template("out", &reading("b"), ""));
    world.has("out", "B\n").await;
    agent.kill().await;
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_what_does_not_is_taken() {
    let world = World::new().await;
    world.secret("app", json!({ "a": "A" }));
    let out = template("out", &reading("a"), "");
    let agent = world.agent_by_file(&out);
    world.has("out", "A\n").await;
    world.rewrite(
        &agent,
        &format!("{out}pid_file = \"DIR/pid\"\ntemplate_config {{ static_secret_render_interval = \"10s\" }}"),
    );
    world.logs("takes effect after a restart").await;
    let named: Vec<String> =
        world.logged().lines().filter(|line| line.contains("after a restart")).map(str::to_owned).collect();
    assert!(named.len() == 1 && named[0].contains("pid_file"), "{named:?}");
    world.nothing_more().await;
    let before = world.state().count_of("GET kv/data/app");
    world
        .until("read every ten seconds", Duration::from_secs(1), || {
            world.state().count_of("GET kv/data/app") > before + 3
        })
        .await;
    agent.kill().await;
}

#[tokio::test]
async fn a_variable_that_is_gone_restarts_the_child_and_a_hangup_reaches_it() {
    let world = World::new().await;
    world.secret("app", json!({ "a": "A", "b": "B" }));
    let variable =
        |name: &str, field| format!("env_template \"{name}\" {{ contents = <<EOT\n{}\nEOT\n}}\n", reading(field));
    let exec = r#"exec { command = ["/bin/sh", "-c", "trap 'echo hup >> DIR/hups' HUP; trap 'exit 0' TERM; echo start $ONE $TWO >> DIR/starts; while :; do sleep 0.05; done"] }"#;
    let both = format!("{exec}\n{}{}", variable("ONE", "a"), variable("TWO", "b"));
    let agent = world.agent_by_file(&both);
    world.until("started", Duration::from_millis(200), || world.text("starts").lines().count() == 1).await;
    world.rewrite(&agent, &format!("{exec}\n{}", variable("TWO", "b")));
    world.until("restarted", Duration::from_millis(200), || world.text("starts").lines().count() == 2).await;
    let starts = world.text("starts");
    assert!(!starts.lines().nth(1).unwrap().contains('A'), "{starts}");
    agent.kill().await;
}
