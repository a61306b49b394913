//! The agent against a server that keeps the contract, sad stories first.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tracing_subscriber::fmt::MakeWriter;

use super::fake::{Fake, State};
use super::supervise::Signals;
use super::{Config, Surroundings, work};
use crate::base::Timestamp;
use crate::base::time::ManualClock;
use crate::crypto::random::testing::Seeded;

/// A folder, a clock, a server; agents come and go.
struct World {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    fake: Fake,
    log: Log,
    _guard: tracing::subscriber::DefaultGuard,
}

struct Agent {
    task: JoinHandle<Result<u8, String>>,
    signals: UnboundedSender<Signal>,
}

impl Agent {
    /// The end of a process that nobody asked for.
    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    async fn end(self) -> Result<u8, String> {
        tokio::time::timeout(Duration::from_secs(20), self.task).await.expect("the agent ends").unwrap()
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;
    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

impl World {
    async fn new() -> World {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(log.clone())
            .with_ansi(false)
            .with_max_level(tracing::Level::TRACE)
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        let clock = Arc::new(ManualClock::at(Timestamp::from_second(1_800_000_000).unwrap()));
        let fake = Fake::start(clock.clone()).await;
        let world = World { folder: tempfile::tempdir().unwrap(), clock, fake, log, _guard: guard };
        world.write("role", "role-id\n");
        world.write("secret", "secret-id\n");
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn logged(&self) -> String {
        String::from_utf8_lossy(&self.log.0.lock().unwrap()).into_owned()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.fake.state()
    }

    fn secret(&self, path: &str, data: serde_json::Value) {
        self.state().kv.insert(path.to_owned(), data);
    }

    /// Starts an agent with a login that works and what else is given; `DIR` stands for the folder.
    fn agent(&self, rest: &str) -> Agent {
        self.agent_with("remove_secret_id_file_after_reading = false", "", rest)
    }

    fn agent_with(&self, method: &str, sinks: &str, rest: &str) -> Agent {
        let text = format!(
            r#"vault {{ address = "{}" }}
               auto_auth {{
                 method "approle" {{
                   config {{ role_id_file_path = "DIR/role"
                     secret_id_file_path = "DIR/secret"
                     {method} }} }}
                 {sinks} }}
               {rest}"#,
            self.fake.address
        );
        self.agent_of(&text)
    }

    fn agent_of(&self, text: &str) -> Agent {
        let text = text.replace("DIR", &self.folder.path().display().to_string());
        let config = Config::parse("agent.hcl", text.as_bytes()).unwrap();
        let environment: super::Environment = Arc::new(|name| (name == "REGION").then(|| "eu".into()));
        let surroundings = Surroundings { clock: self.clock.clone(), rng: Arc::new(Seeded::new(1)), environment };
        let (signals, given) = unbounded_channel();
        let task = tokio::spawn(async move {
            let mut signals = Signals::new().unwrap();
            signals.given = Some(given);
            work(config, surroundings, &mut signals).await
        });
        Agent { task, signals }
    }

    /// Waits until something is true, while the clock goes on by a step each time.
    async fn until(&self, what: &str, step: Duration, mut is: impl FnMut() -> bool) {
        for _ in 0..2000 {
            if is() {
                return;
            }
            self.clock.advance(step);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let log = self.logged();
        let log: Vec<&str> = log.lines().filter(|line| line.contains("warifu::agent")).collect();
        panic!("never: {what}\n{}", log.join("\n"));
    }

    async fn has(&self, name: &str, text: &str) {
        self.until(&format!("{name} has {text}"), Duration::from_millis(200), || self.text(name) == text).await;
    }

    async fn logs(&self, text: &str) {
        self.until(&format!("the log has {text}"), Duration::from_millis(200), || self.logged().contains(text)).await;
    }

    /// Gives an agent the time to do what it should not do.
    async fn nothing_more(&self) {
        for _ in 0..20 {
            self.clock.advance(Duration::from_millis(500));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn template(name: &str, contents: &str, rest: &str) -> String {
    format!("template {{ destination = \"DIR/{name}\"\n contents = <<EOT\n{contents}\nEOT\n{rest} }}\n")
}

const PLAIN: &str = r#"{{ with secret "kv/data/app" }}{{ .Data.data.password }}{{ end }}"#;

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

const CERT: &str =
    r#"{{ with pkiCert "pki/issue/app" "common_name=app.test" }}{{ .Cert }}{{ .CA }}{{ .Key }}{{ end }}"#;

#[tokio::test]
async fn a_good_certificate_survives_restart_and_hangup() {
    let world = World::new().await;
    let issued = || world.state().count_of("PUT pki/issue/app");
    world.secret("app", json!({ "password": "one" }));
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----";
    let config = [
        template("junk", junk, ""),
        template("cert", CERT, "command = \"echo x >> DIR/commands\""),
        template("out", PLAIN, ""),
    ]
    .concat();
    let agent = world.agent(&config);
    world.until("rendered", Duration::from_millis(200), || world.text("commands").lines().count() == 1).await;
    let first = world.text("cert");
    assert_eq!((first.matches("BEGIN CERTIFICATE").count(), first.matches("PRIVATE KEY").count()), (2, 2));
    world.secret("app", json!({ "password": "two" }));
    agent.signals.send(Signal::HUP).unwrap();
    world.has("out", "two\n").await;
    agent.kill().await;
    // The server is away: nothing is needed of it.
    world.state().away = true;
    let agent = world.agent(&config);
    world.logs("is still good").await;
    world.nothing_more().await;
    world.state().away = false;
    agent.kill().await;
    assert_eq!((issued(), world.text("cert")), (1, first.clone()));
    // The template was edited: still the same certificate.
    let edited = template("cert", &format!("# edited\n{CERT}"), "");
    let agent = world.agent(&edited);
    world.has("cert", &format!("# edited\n{first}")).await;
    agent.kill().await;
    assert_eq!(issued(), 1);
    // Other names: another certificate.
    let renamed = template("cert", &CERT.replace("app.test", "other.test"), "");
    let agent = world.agent(&renamed);
    world
        .until("another", Duration::from_millis(200), || issued() == 2 && !world.text("cert").contains("# edited"))
        .await;
    agent.kill().await;
}

#[tokio::test]
async fn a_certificate_is_issued_again_ahead_of_its_end() {
    let world = World::new().await;
    world.state().certificate_seconds = 1000;
    let issued = || world.state().count_of("PUT pki/issue/app");
    let agent = world.agent(&template("cert", CERT, ""));
    world.until("rendered", Duration::from_millis(1), || !world.text("cert").is_empty()).await;
    let first = world.text("cert");
    for _ in 0..120 {
        world.clock.advance(Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!((issued(), world.text("cert")), (1, first.clone()), "not before two thirds");
    world.until("again", Duration::from_secs(5), || world.text("cert") != first).await;
    assert_eq!(issued(), 2);
    agent.kill().await;
    // The server is away when the next is due: the old one stays.
    let second = world.text("cert");
    world.state().away = true;
    world.clock.advance(Duration::from_secs(930));
    let agent = world.agent(&template("cert", CERT, ""));
    world.logs("is still good").await;
    world.nothing_more().await;
    assert_eq!(world.text("cert"), second);
    world.state().away = false;
    world.until("again", Duration::from_secs(1), || world.text("cert") != second).await;
    agent.kill().await;
}

#[tokio::test]
async fn a_certificate_in_two_files_and_one_of_secret_survive_too() {
    let world = World::new().await;
    let with =
        |body: &str| format!("{{{{ with pkiCert \"pki/issue/app\" \"common_name=app.test\" }}}}{body}{{{{ end }}}}");
    let secret = r#"{{ with secret "pki/issue/app" "common_name=s.test" "ttl=24h" }}{{ .Data.certificate }}
{{ .Data.issuing_ca }}
{{ .Data.private_key }}{{ end }}"#;
    let config = [
        template("crt", &with("{{ .Data.Cert }}"), ""),
        template("key", &with("{{ .Key }}"), "perms = \"0400\""),
        template("json", r#"{{ with secret "pki/issue/app" "common_name=j.test" }}{{ .Data | toJSON }}{{ end }}"#, ""),
        template("pem", secret, ""),
    ]
    .concat();
    let agent = world.agent(&config);
    for name in ["crt", "key", "json", "pem"] {
        world.until(name, Duration::from_millis(1), || !world.text(name).is_empty()).await;
    }
    let issued = world.state().count_of("PUT pki/issue/app");
    assert_eq!(issued, 3);
    agent.kill().await;
    let before: Vec<String> = ["crt", "key", "pem"].map(|name| world.text(name)).into();
    let agent = world.agent(&config);
    world.nothing_more().await;
    agent.kill().await;
    assert_eq!(["crt", "key", "pem"].map(|name| world.text(name)).to_vec(), before);
    // What is rendered as JSON holds more than can be found again: that one is issued anew.
    assert_eq!(world.state().count_of("PUT pki/issue/app"), 4);
}

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
