//! Days when the server is away: nobody notices, and its return is no stampede.

use super::*;

#[tokio::test]
async fn an_hour_without_the_server_changes_nothing_for_fifty_agents_and_they_return_one_by_one() {
    let world = World::new().await;
    world.state().push = true;
    world.state().token_ttl = 900;
    world.state().renewal_ttl = 900;
    world.secret("app", json!({ "password": "one" }));
    let agents: Vec<Agent> = (0..50)
        .map(|n| {
            let command = format!("command = \"echo {n} >> DIR/commands\"");
            let mut config = template(&format!("out{n}"), PLAIN, &command);
            config += &template(&format!("tls{n}"), certificates::CERT, "");
            if n % 10 == 0 {
                config += r#"exec { command = ["/bin/sh", "-c", "echo start >> DIR/starts; exec sleep 1000"] }"#;
            }
            world.agent(&config)
        })
        .collect();
    let rendered =
        || (0..50).all(|n| !world.text(&format!("out{n}")).is_empty() && !world.text(&format!("tls{n}")).is_empty());
    world.until("all is rendered", Duration::from_millis(100), rendered).await;
    world.until("all commands", Duration::from_millis(100), || world.text("commands").lines().count() == 50).await;
    world.until("all children", Duration::from_millis(100), || world.text("starts").lines().count() == 5).await;
    let state = || -> Vec<u64> {
        let names = (0..50).flat_map(|n| [format!("out{n}"), format!("tls{n}")]);
        names.map(|name| std::fs::metadata(world.path(&name)).unwrap().ino()).collect()
    };
    let before = state();
    world.state().away = true;
    for _ in 0..720 {
        world.clock.advance(Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(agents.iter().all(|agent| !agent.task.is_finished()), "no agent ends");
    assert_eq!(state(), before);
    assert_eq!((world.text("commands").lines().count(), world.text("starts").lines().count()), (50, 5));
    world.settled().await;
    world.state().logins.clear();
    world.state().away = false;
    world.until("all are back", Duration::from_millis(200), || world.state().logins.len() >= 50).await;
    let logins = world.state().logins.clone();
    let most = logins.iter().map(|at| logins.iter().filter(|other| *other == at).count()).max().unwrap();
    assert!(most <= 5, "{most} of 50 in one second: {logins:?}");
    world.nothing_more().await;
    assert_eq!(state(), before, "and nothing was to be done");
    assert_eq!((world.text("commands").lines().count(), world.text("starts").lines().count()), (50, 5));
    for agent in agents {
        agent.kill().await;
    }
}

#[tokio::test]
async fn a_host_that_restarts_meanwhile_begins_with_what_was_last_good_as_long_as_it_is_young_enough() {
    let world = World::new().await;
    world.secret("app", json!({ "password": "one" }));
    let exec = r#"exec { command = ["/bin/sh", "-c", "echo start >> DIR/starts; exec sleep 1000"] }"#;
    let cache = "cache { path = \"DIR/cache\" max_stale = \"1h\" }";
    let config = template("out", PLAIN, "") + cache + "\n" + exec;
    let agent = world.agent(&config);
    world.has("out", "one\n").await;
    world.until("remembered", Duration::from_millis(100), || world.path("cache").exists()).await;
    let born = world.clock.monotonic();
    agent.kill().await;
    world.state().away = true;
    assert!(!String::from_utf8_lossy(&std::fs::read(world.path("cache")).unwrap()).contains("one"));
    // A restart loses what lay in memory: the files and the child.
    let restart = |after: Duration| {
        std::fs::remove_file(world.path("out")).ok();
        std::fs::remove_file(world.path("starts")).ok();
        world.clock.advance((born + after).saturating_sub(world.clock.monotonic()));
        world.agent(&config)
    };
    let agent = restart(Duration::from_secs(1800));
    world.until("rendered from the cache", Duration::ZERO, || world.text("out") == "one\n").await;
    world.until("started", Duration::ZERO, || !world.text("starts").is_empty()).await;
    agent.kill().await;
    // A while before the hour it is still good, and after it no more.
    let agent = restart(Duration::from_secs(3590));
    world.until("rendered at the border", Duration::ZERO, || world.text("out") == "one\n").await;
    agent.kill().await;
    let agent = restart(Duration::from_secs(3605));
    world.nothing_more().await;
    assert!(!world.path("out").exists() && !world.path("starts").exists());
    world.state().away = false;
    world.until("the server is back", Duration::from_secs(5), || world.text("out") == "one\n").await;
    agent.kill().await;
}

#[tokio::test]
async fn envoy_is_served_through_the_outage_and_after_a_restart_in_it() {
    let world = World::new().await;
    world.secret("app", json!({ "password": "one" }));
    let config = format!(
        r#"cache {{ path = "DIR/cache" max_stale = "2h" }}
        sds {{
          socket_path = "DIR/sds.sock"
          tls_certificate "web" {{ contents = "{}" }}
          validation_context "ca" {{ contents = "{}" }}
          generic "word" {{ contents = "{}" }}
        }}"#,
        certificates::CERT.replace('"', "\\\""),
        certificates::CERT.replace('"', "\\\"").replace("{{ .Cert }}{{ .CA }}{{ .Key }}", "{{ .CA }}"),
        PLAIN.replace('"', "\\\""),
    );
    let served = async || [world.served("web").await, world.served("ca").await, world.served("word").await];
    let agent = world.agent(&config);
    world.until("remembered", Duration::from_millis(100), || world.path("cache").exists()).await;
    world.nothing_more().await;
    let before = served().await;
    assert!(before[0].contains("PRIVATE KEY") && before[1].contains("BEGIN CERTIFICATE") && !before[1].contains("KEY"));
    assert!(before[2].contains("one") && world.served("stranger").await.is_empty());
    world.away(60).await;
    // The number of an answer may be another; what it holds is not.
    assert_eq!(served().await, before);
    agent.kill().await;
    let agent = world.agent(&config);
    world.logs("secrets are served to Envoy").await;
    world.nothing_more().await;
    let after = served().await;
    for (before, after) in before.iter().zip(&after) {
        let pem = |text: &str| text.find("-----BEGIN").map(|at| text[at..].to_owned());
        assert_eq!(pem(before), pem(after));
    }
    assert!(after[2].contains("one"));
    agent.kill().await;
}
