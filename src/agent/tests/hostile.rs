//! Input that means ill: of a server, of whoever can write where we do, of a child. What went wrong elsewhere with sidecars, and
//! with the errors of templates, and the test that would have caught it here (`tests/it/advisories.rs` looks whether they are there):
//!
//! | what was found | tests |
//! | --- | --- |
//! | CVE-2026-8715, CVE-2026-54725: who wrote a template chose where credentials were sent | `hostile::no_template_names_another_server` |
//! | CVE-2026-5061, consul-template#2156: a link came in between a look and a use | `hostile::a_link_that_comes_between_two_renderings_is_not_followed`, `file::a_write_stays_below_its_folder` |
//! | CVE-2020-8567: a name climbed out of its folder | `hostile::a_name_from_a_secret_does_not_climb_out_of_its_folder` |
//! | CVE-2026-19017: a template read the credentials of who rendered it | `hostile::no_template_reads_the_agents_credentials` |
//! | openbao#3733, openbao#2851, vault#13406: a sink was of another owner, or wider, for a while | `file::whoever_looks_sees_a_whole_file_of_its_owner_or_one_that_is_closed_to_him`, `hostile::a_sink_is_never_open_wider_and_never_goes_through_a_link` |
//! | CVE-2025-13357: a default that was not safe | `defaults::every_default_is_in_the_table`, `defaults::nothing_is_open_unless_it_is_said` |
//! | CVE-2026-87993, CVE-2022-38149, GHSA-444v-8vxr-p36h: errors of templates showed secrets | `tests::no_function_that_fails_shows_what_it_was_given`, `tests::an_error_never_shows_a_value`, `outages::no_value_and_no_token_is_ever_logged` |
//! | CVE-2025-4166, CVE-2025-52893, CVE-2020-13223: what is malformed was repeated | `outages::one_failing_template_does_not_disturb_the_others`, `tests::mistakes_are_named_with_their_place` |

use super::*;

fn state_of(version: u64, created: &str, password: &str) -> String {
    let metadata = json!({ "version": version, "created_time": created });
    json!({ "data": { "data": { "password": password }, "metadata": metadata } }).to_string()
}

#[tokio::test]
async fn a_server_with_an_older_state_than_was_seen_changes_nothing_until_somebody_says_so() {
    let world = World::new().await;
    let serve = |version, created: &str, password: &str| {
        let answer = (200, state_of(version, created, password));
        world.state().overrides.insert("kv/data/app".to_owned(), answer);
    };
    serve(7, "2027-01-15T08:00:00Z", "seven");
    let agent = world.agent(&template("out", PLAIN, ""));
    world.has("out", "seven\n").await;
    serve(5, "2027-01-10T08:00:00Z", "five");
    agent.signals.send(Signal::HUP).unwrap();
    world.logs("older state than was seen before").await;
    assert_eq!(world.text("out"), "seven\n");
    // Removed and made again, its numbers begin anew and its time does not: that is no older state.
    serve(1, "2027-01-16T08:00:00Z", "made again");
    world.has("out", "made again\n").await;
    agent.kill().await;
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_and_holds_nothing_else() {
    let world = World::new().await;
    world.secret("app", json!({ "password": "one" }));
    let agent = world.agent(&(template("out", PLAIN, "") + &template("plain", "no secret", "")));
    world.has("out", "one\n").await;
    world.state().delay = Duration::from_secs(3600);
    agent.signals.send(Signal::HUP).unwrap();
    world.nothing_more().await;
    assert_eq!((world.text("out").as_str(), world.text("plain").as_str()), ("one\n", "no secret\n"));
    agent.signals.send(Signal::TERM).unwrap();
    assert_eq!(agent.end().await, Ok(0));
}

/// CVE-2026-8715, CVE-2026-54725: who writes a template does not choose where credentials are sent.
#[tokio::test]
async fn no_template_names_another_server() {
    for key in ["address", "vault", "ca_cert", "namespace", "token"] {
        let text = format!("template {{ destination = \"/x\" contents = \"\" {key} = \"https://elsewhere\" }}");
        assert!(Config::parse("agent.hcl", text.as_bytes()).unwrap_err().to_string().contains(key), "{key}");
    }
    let world = World::new().await;
    let stranger = super::super::fake::Fake::start(world.clock.clone()).await;
    let there = stranger.address.trim_start_matches("http://");
    let paths =
        [format!("http://{there}/kv/data/app"), format!("//{there}/kv"), format!("@{there}/kv"), "../../kv".to_owned()];
    let config: String = (0..)
        .zip(&paths)
        .map(|(n, path)| {
            template(&format!("out{n}"), &format!("{{{{ with secret \"{path}\" }}}}{{{{ .Data.x }}}}{{{{ end }}}}"), "")
        })
        .collect();
    let agent = world.agent(&config);
    world
        .until("all are asked here", Duration::from_millis(200), || {
            world.logged().matches("fetching failed").count() >= 4
        })
        .await;
    assert!(stranger.state().seen.is_empty());
    agent.kill().await;
}

/// CVE-2026-19017 (of a neighbour): who writes a template reads no credential of the agent, whatever path leads to it; below a
/// folder, nothing outside of it.
#[tokio::test]
async fn no_template_reads_the_agents_credentials() {
    let world = World::new().await;
    std::fs::create_dir(world.path("box")).unwrap();
    world.write("box/word", "of somebody else");
    std::os::unix::fs::symlink(world.path("secret"), world.path("box/link")).unwrap();
    std::fs::hard_link(world.path("secret"), world.path("box/hard")).unwrap();
    let reads = |path: &str| format!("{{{{ file \"{path}\" }}}}");
    let boxed = "sandbox_path = \"DIR/box\"";
    let config = [
        template("a", &reads("DIR/secret"), ""),
        template("b", &reads("DIR/role"), boxed),
        template("c", &reads("DIR/box/../secret"), boxed),
        template("d", &reads("DIR/box/link"), boxed),
        template("e", &reads("/proc/self/environ"), ""),
        template("f", &reads("DIR/token"), ""),
        template("g", &reads("DIR/box/hard"), boxed),
        template("h", &reads("DIR/box/link"), ""),
        template("i", &reads("/proc/self/maps"), ""),
        template("j", &reads("DIR/cache.key"), ""),
        template("others", &reads("DIR/box/word"), ""),
        "cache { path = \"DIR/cache\" }\n".to_owned(),
        template("fine", "fine", ""),
    ];
    let sink = r#"sink "file" { config { path = "DIR/token" } }"#;
    let agent = world.agent_with("remove_secret_id_file_after_reading = false", sink, &config.concat());
    world.has("fine", "fine\n").await;
    world.until("a token", Duration::from_millis(100), || world.path("token").exists()).await;
    let failed = || world.logged().matches("the template failed").count();
    world.until("each is said", Duration::from_millis(200), || failed() >= 9).await;
    world.has("others", "of somebody else\n").await;
    // The sink may have been written after the first look.
    agent.signals.send(Signal::HUP).unwrap();
    world.nothing_more().await;
    for name in ["a", "b", "c", "d", "e", "g", "h", "i", "j"] {
        assert!(!world.path(name).exists(), "{name}");
    }
    assert!(world.path("token").exists() && !world.text("f").contains("hvs."));
    assert!(!world.logged().contains("secret-id\n") && !world.logged().contains(&world.text("token")));
    agent.kill().await;
}

/// CVE-2026-5061: the folder that was looked at is another one when it is used.
#[tokio::test]
async fn a_link_that_comes_between_two_renderings_is_not_followed() {
    let world = World::new().await;
    for folder in ["box/sub", "outside"] {
        std::fs::create_dir_all(world.path(folder)).unwrap();
    }
    world.write("box/sub/word", "inside");
    world.write("outside/word", "canary");
    let read = template("out", "{{ file \"DIR/box/sub/word\" }}", "sandbox_path = \"DIR/box\"");
    let write = template(
        "other",
        "{{ writeToFile \"DIR/box/sub/made\" \"\" \"\" \"0600\" \"text\" }}",
        "sandbox_path = \"DIR/box\"",
    );
    let agent = world.agent(&(read + &write));
    world.has("out", "inside\n").await;
    world.has("box/sub/made", "text").await;
    std::fs::remove_dir_all(world.path("box/sub")).unwrap();
    std::os::unix::fs::symlink(world.path("outside"), world.path("box/sub")).unwrap();
    agent.signals.send(Signal::HUP).unwrap();
    world.logs("writeToFile failed").await;
    world.nothing_more().await;
    assert_eq!(world.text("out"), "inside\n", "the last good stays");
    assert!(!world.path("outside/made").exists() && !world.logged().contains("canary"));
    agent.kill().await;
}

/// CVE-2020-8567: a name that comes from a secret climbs out of the folder.
#[tokio::test]
async fn a_name_from_a_secret_does_not_climb_out_of_its_folder() {
    let world = World::new().await;
    std::fs::create_dir_all(world.path("box")).unwrap();
    for (n, name) in ["../climbed", "a/../../climbed", "/climbed", "..", "a\u{0}b"].iter().enumerate() {
        world.secret(&format!("n{n}"), json!({ "name": name }));
        let text = format!(
            "{{{{ with secret \"kv/data/n{n}\" }}}}{{{{ writeToFile (print \"DIR/box/\" .Data.data.name) \"\" \"\" \"0600\" \"x\" }}}}{{{{ end }}}}"
        );
        let agent = world.agent(&template(&format!("out{n}"), &text, "sandbox_path = \"DIR/box\""));
        let failed = || world.logged().matches("failed").count() > n || world.path("box/climbed").exists();
        world.until("an end", Duration::from_millis(200), failed).await;
        agent.kill().await;
        assert!(!world.path("climbed").exists() && !std::path::Path::new("/climbed").exists(), "{name}");
    }
}

/// openbao#3733, #2851: the sink is what it shall be from its first moment on, whatever lay there.
#[tokio::test]
async fn a_sink_is_never_open_wider_and_never_goes_through_a_link() {
    let world = World::new().await;
    world.write("elsewhere", "untouched");
    std::os::unix::fs::symlink(world.path("elsewhere"), world.path("token")).unwrap();
    let sink = r#"sink "file" { config { path = "DIR/token" mode = 0600 } }"#;
    let agent = world.agent_with("remove_secret_id_file_after_reading = false", sink, &template("out", "x", ""));
    world.until("filled", Duration::from_millis(100), || world.text("token").starts_with("hvs.")).await;
    let there = std::fs::symlink_metadata(world.path("token")).unwrap();
    assert!(there.is_file() && there.mode() & 0o7777 == 0o600);
    assert_eq!(world.text("elsewhere"), "untouched");
    agent.kill().await;
}

#[tokio::test]
async fn a_child_that_ignores_signals_and_forks_is_killed_with_all_that_it_started() {
    let world = World::new().await;
    world.secret("app", json!({ "password": "one" }));
    let exec = r#"exec { command = ["/bin/sh", "-c", "trap '' TERM; echo $$ >> DIR/pids; (trap '' TERM; sleep 1000) & echo $! >> DIR/pids; while :; do sleep 0.05; done"] }"#;
    let variable = format!("env_template \"DB\" {{ contents = <<EOT\n{PLAIN}\nEOT\n}}\n");
    let agent = world.agent(&format!("{exec}\n{variable}"));
    let step = Duration::from_millis(200);
    world.until("started", step, || world.text("pids").lines().count() == 2).await;
    world.secret("app", json!({ "password": "two" }));
    world.until("killed and started anew", Duration::from_secs(1), || world.text("pids").lines().count() == 4).await;
    world.logs("the child does not stop and is killed").await;
    // A zombie has no command line any more.
    let runs = |pid: &str| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty());
    let pids = world.text("pids");
    let old: Vec<&str> = pids.lines().take(2).collect();
    world.until("all are gone", Duration::ZERO, || !old.iter().any(|pid| runs(pid))).await;
    agent.signals.send(Signal::TERM).unwrap();
    world.until("the end", Duration::from_secs(1), || agent.task.is_finished()).await;
    world.until("the last are gone", Duration::ZERO, || !pids.lines().any(&runs)).await;
}

#[tokio::test]
async fn a_destination_of_another_or_on_another_file_system_is_replaced_and_one_that_is_a_folder_is_said() {
    let world = World::new().await;
    world.secret("app", json!({ "password": "one" }));
    world.write("others", "theirs");
    // Only root can give a file away; elsewhere it is our own.
    let _ = std::os::unix::fs::chown(world.path("others"), Some(65534), Some(65534));
    std::fs::create_dir(world.path("folder")).unwrap();
    let shared = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap());
    let far = shared.path().join("far");
    let mut config = template("others", PLAIN, "") + &template("folder", PLAIN, "");
    config += &template("far", PLAIN, "").replace("DIR/far", &far.display().to_string());
    let agent = world.agent(&config);
    world.has("others", "one\n").await;
    world
        .until("far", Duration::from_millis(100), || std::fs::read_to_string(&far).is_ok_and(|text| text == "one\n"))
        .await;
    world.logs("the file could not be written").await;
    let there = std::fs::metadata(world.path("others")).unwrap();
    assert_eq!((there.uid(), there.mode() & 0o7777), (rustix::process::getuid().as_raw(), 0o600));
    assert!(world.path("folder").is_dir());
    agent.kill().await;
}
