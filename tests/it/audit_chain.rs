//! What the audit log says can be checked without the server, and a device that fails is named and replaced by no silence.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use warifu::audit::verify::{Report, Verifier};
use warifu::audit::{DeviceConfig, Head};
use warifu::crypto::SystemRng;

use crate::process::Place;
use crate::server::{Plan, Server};

struct Logged {
    server: Server,
    folder: tempfile::TempDir,
}

impl Logged {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan { audit_folder: Some(folder.path().to_owned()), ..Plan::memory() };
        let this = Self { server: plan.ready().await, folder };
        let body = json!({"type": "file", "options": {"file_path": this.file("a.log")}});
        this.server.put("sys/audit/file", body).await.ok();
        this
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn ask(&self, times: usize) {
        for _ in 0..times {
            self.server.get("sys/mounts").await.ok();
        }
        self.server.vault().audit().flush().await;
    }

    async fn heads(&self) -> Value {
        let heads = self.server.get("sys/audit-heads").await.ok().data().clone();
        self.server.vault().audit().flush().await;
        heads
    }

    /// The same server after a restart, in its files.
    async fn restarted(self) -> Self {
        let server = self.server.crashed().await;
        Self { server, folder: self.folder }
    }
}

fn verify(heads: &Value, files: &[&Path]) -> Report {
    let heads: Vec<Head> = serde_json::from_value(heads["heads"].clone()).unwrap_or_default();
    let mut verifier = Verifier::new(heads);
    for file in files {
        let bytes = std::fs::read(file).unwrap();
        verifier.read(file.to_str().unwrap(), &mut &bytes[..]).unwrap();
    }
    verifier.finish()
}

/// The real command: its exit code and what it printed.
fn warifu(server: &Server, words: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warifu"));
    command.args(words).env_clear().env("VAULT_ADDR", format!("http://{}", server.http.address()));
    let ran = command.env("VAULT_TOKEN", server.token()).output().unwrap();
    let text = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    (ran.status.code().unwrap(), text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_restart_and_a_removed_file_leave_one_log_that_verifies() {
    let mut logged = Logged::new().await;
    logged.ask(5).await;
    std::fs::rename(logged.file("a.log"), logged.file("a.log.2")).unwrap();
    logged.server.node.reopen_audit();
    logged.ask(5).await;
    // Moved without a word: the device finds out by itself.
    std::fs::rename(logged.file("a.log"), logged.file("a.log.1")).unwrap();
    logged.ask(5).await;
    logged = logged.restarted().await;
    logged.ask(5).await;
    let heads = logged.heads().await;
    let (older, old, new) = (logged.file("a.log.2"), logged.file("a.log.1"), logged.file("a.log"));
    let report = verify(&heads, &[&older, &old, &new]);
    assert!(report.is_intact() && report.notes.is_empty(), "{report:?}");
    assert_eq!(report.chains.len(), 2);
    assert!(report.chains[1].vouched.is_some(), "{report:?}");
    // The command finds the order by itself.
    let (code, text) = warifu(&logged.server, &["audit", "heads"]);
    assert_eq!(code, 0, "{text}");
    let kept = logged.file("heads.json");
    std::fs::write(&kept, &text).unwrap();
    logged.server.vault().audit().flush().await;
    let files = [new.to_str().unwrap(), old.to_str().unwrap(), older.to_str().unwrap()];
    let head = format!("-head={}", kept.display());
    let (code, text) = warifu(&logged.server, &[&["audit", "verify", &head], &files[..]].concat());
    assert!(code == 0 && text.contains("intact"), "{text}");
    // A file that is not there any more is missed, with and without a head.
    let (code, text) = warifu(&logged.server, &["audit", "verify", &head, files[0], files[2]]);
    assert!(code == 2 && text.contains("missing"), "{text}");
    // A removed file: what is written from then on has its place in the chain.
    std::fs::remove_file(&new).unwrap();
    logged.ask(3).await;
    let report = verify(&json!({}), &[&older, &old, &new]);
    assert!(!report.is_intact() && report.findings[0].text.contains("missing"), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_edit_of_a_line_is_found_where_it_is_and_a_cut_end_by_a_head() {
    let logged = Logged::new().await;
    logged.ask(6).await;
    let heads = logged.heads().await;
    let file = logged.file("a.log");
    assert!(verify(&heads, &[&file]).is_intact());
    let text = std::fs::read_to_string(&file).unwrap();
    let copy = logged.file("copy.log");
    let check = |lines: &[&str], heads: &Value| {
        std::fs::write(&copy, lines.join("\n") + "\n").unwrap();
        verify(heads, &[&copy])
    };
    let lines: Vec<&str> = text.lines().collect();
    let mut edited = lines.clone();
    let other = lines[3].replace("\"allowed\":true", "\"allowed\":false");
    assert_ne!(other, lines[3]);
    edited[3] = &other;
    let report = check(&edited, &json!({}));
    assert!(report.found == 1 && report.findings[0].line == 4, "{report:?}");
    let cut = &lines[..lines.len() - 4];
    assert!(check(cut, &json!({})).is_intact(), "nobody can tell without a head");
    let report = check(cut, &heads);
    assert!(report.found == 1 && report.findings[0].text.contains("missing at the end"), "{report:?}");
    // A head with another digest or another key's signature is not taken for one.
    let mut forged = heads.clone();
    forged["heads"][0]["seq"] = json!(1);
    std::fs::write(logged.file("forged.json"), forged.to_string()).unwrap();
    let head = format!("-head={}", logged.file("forged.json").display());
    let (code, text) = warifu(&logged.server, &["audit", "verify", &head, file.to_str().unwrap()]);
    assert!(code == 1 && text.contains("signature"), "{text}");
}

#[tokio::test]
async fn heads_outlive_a_crash_and_name_no_secret() {
    let logged = Logged::new().await;
    logged.ask(3).await;
    let before = logged.heads().await;
    assert!(before["public_key"].as_str().unwrap().contains("BEGIN PUBLIC KEY"));
    let logged = logged.restarted().await;
    std::fs::remove_file(logged.file("a.log")).unwrap();
    logged.ask(2).await;
    let after = logged.heads().await;
    assert_eq!(after["public_key"], before["public_key"]);
    let chain = &before["heads"][0]["chain"];
    let chains: Vec<&Value> = after["heads"].as_array().unwrap().iter().map(|head| &head["chain"]).collect();
    assert!(chains.len() == 2 && chains.contains(&chain), "{after}");
    let report = verify(&before, &[&logged.file("a.log")]);
    assert!(report.is_intact(), "{report:?}");
    // Without a token with sudo nobody learns which devices there are.
    let nobody = logged.server.token_of(json!({"policies": ["default"]})).await;
    logged.server.get("sys/audit-heads").by(&nobody).await.is(403);
}

#[tokio::test]
async fn a_torn_line_of_a_crash_is_told_from_tampering() {
    let logged = Logged::new().await;
    logged.ask(3).await;
    let file = logged.file("a.log");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}{{\"time\":\"2026-01-01T0")).unwrap();
    let report = verify(&json!({}), &[&file]);
    assert!(report.is_intact() && report.notes[0].text.contains("crash"), "{report:?}");
    let logged = logged.restarted().await;
    logged.ask(3).await;
    let report = verify(&json!({}), &[&file]);
    assert!(report.is_intact() && report.notes.len() == 1 && report.chains.len() == 2, "{report:?}");
    // The same piece anywhere else is one too many.
    let text = std::fs::read_to_string(&file).unwrap();
    let middle = text.find('\n').unwrap() + 1;
    std::fs::write(&file, format!("{}{{\"time\":\"20\n{}", &text[..middle], &text[middle..])).unwrap();
    assert_eq!(verify(&json!({}), &[&file]).findings[0].line, 2);
}

fn device(path: &str, file: &Path) -> DeviceConfig {
    let options = BTreeMap::from([("file_path".to_owned(), file.to_str().unwrap().to_owned())]);
    DeviceConfig::new("file", path, options, &SystemRng::new())
}

/// What a scraper would see, without a request that the audit log would have to hold.
fn metrics(server: &Server) -> String {
    String::from_utf8(server.node.metrics("prometheus").unwrap().1).unwrap()
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_degrades_alone_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (pipe, good) = (folder.path().join("pipe"), folder.path().join("good.log"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let server = Plan { audit_anywhere: true, ..Plan::memory() }.ready().await;
    let audit = server.vault().audit().clone();
    audit.reload(vec![device("hole", &pipe), device("good", &good)]);
    // More than a pipe holds.
    for _ in 0..100 {
        server.get("sys/mounts").await.ok();
    }
    audit.watch();
    audit.watch();
    let health = audit.health();
    assert!(health[0].fault.as_ref().is_some_and(|fault| fault.contains("time")) && health[0].queued > 0, "{health:?}");
    assert!(health[1].fault.is_none() && health[1].written == 200 && health[1].lost == 0, "{health:?}");
    assert!(crate::logs::text().contains("hole/"));
    let shown = metrics(&server);
    assert_eq!(crate::metrics::value(&shown, "vault_audit_device_healthy{device=\"hole/\"}"), 0.0);
    assert_eq!(crate::metrics::value(&shown, "vault_audit_device_healthy{device=\"good/\"}"), 1.0);
    assert!(crate::metrics::value(&shown, "vault_audit_device_queued{device=\"hole/\"}") > 0.0);
    assert_eq!(verify(&json!({}), &[&good]).entries, 200);
    // Alone it fails every request, by name.
    audit.reload(vec![device("hole", &pipe)]);
    let mut refused = 0;
    for _ in 0..100 {
        let answer = server.get("sys/mounts").await;
        if answer.status == 503 {
            assert!(answer.errors().contains("\"hole/\""), "{answer:?}");
            refused += 1;
        }
    }
    let shown = metrics(&server);
    let of_stage = |stage: &str| crate::metrics::value(&shown, &format!("vault_audit_log_{stage}_failure"));
    assert!(refused > 0 && of_stage("request") + of_stage("response") > 0.0, "{refused}");
    server.get("sys/health").await.is(200);
    audit.reload(Vec::new());
    server.get("sys/mounts").await.ok();
    // Whoever reads after all lets the threads go.
    let mut reader = Command::new("cat").arg(&pipe).stdout(std::process::Stdio::null()).spawn().unwrap();
    reader.kill().unwrap();
    reader.wait().unwrap();
}

#[tokio::test]
async fn what_ends_by_itself_is_on_record_and_not_done_without() {
    let logged = Logged::new().await;
    let server = &logged.server;
    let body = json!({"ttl": "60s", "policies": ["default"]});
    let answer = server.put("auth/token/create", body.clone()).await.ok();
    let accessor = answer.auth()["accessor"].as_str().unwrap().to_owned();
    let hash = server.put("sys/audit-hash/file", json!({"input": accessor})).await.ok().data()["hash"].clone();
    let before = server.tokens().await;
    server.clock().advance(120);
    server.sweep().await;
    assert_eq!(server.tokens().await, before - 1);
    server.vault().audit().flush().await;
    let text = std::fs::read_to_string(logged.file("a.log")).unwrap();
    let entries: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let own = entries.iter().filter(|e| e["auth"]["display_name"] == "system").collect::<Vec<_>>();
    // The server's own round may come at the same time as the one that is asked for: as many beginnings as ends.
    let of_kind = |kind: &str| own.iter().filter(|e| e["type"] == kind).count();
    assert!(of_kind("request") > 0 && of_kind("request") == of_kind("response"), "{own:?}");
    for entry in own {
        assert_eq!(entry["request"]["operation"], "revoke");
        assert_eq!(entry["request"]["client_token_accessor"], hash);
        assert_eq!(entry["request"]["mount_point"], "auth/token/");
    }
    // A log that cannot be written: the token has ended for everybody, and is taken away once that can be recorded.
    let token = server.token_of(body).await;
    std::fs::remove_file(logged.file("a.log")).unwrap();
    std::fs::create_dir(logged.file("a.log")).unwrap();
    server.clock().advance(120);
    assert!(server.vault().sweep_once().await.is_err());
    std::fs::remove_dir(logged.file("a.log")).unwrap();
    assert_eq!(server.tokens().await, before);
    server.get("auth/token/lookup-self").by(&token).await.is(403);
    server.sweep().await;
    assert_eq!(server.tokens().await, before - 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_binary_writes_to_standard_output_as_its_configuration_says() {
    let place = Place::new();
    let config = place.folder.path().join("server.hcl");
    let text = std::fs::read_to_string(&config).unwrap();
    let more = "audit \"file\" \"out\" {\n  options {\n    file_path = \"stdout\"\n    prefix = \"AUDIT \"\n  }\n}\n\
                audit \"file\" { disk { options = { file_path = \"DIR/disk.log\" } } }\n";
    let more = more.replace("DIR", place.folder.path().to_str().unwrap());
    std::fs::write(&config, text.clone() + &more).unwrap();
    let mut process = place.start().await;
    process.init().await;
    let devices = process.http.get("sys/audit").await.ok();
    assert!(devices.data()["out/"].is_object() && devices.data()["disk/"].is_object(), "{devices:?}");
    assert_eq!(process.end_softly().await, Some(0));
    let lines: Vec<String> =
        process.out.lock().unwrap().iter().filter(|line| line.starts_with("AUDIT ")).cloned().collect();
    assert!(lines.iter().any(|line| line.contains("sys/audit")), "{lines:?}");
    let copy = place.folder.path().join("out.log");
    std::fs::write(&copy, lines.join("\n") + "\n").unwrap();
    assert!(verify(&json!({}), &[&copy]).is_intact());
    assert!(verify(&json!({}), &[&place.folder.path().join("disk.log")]).is_intact());
    // What cannot be is said before anything is started.
    std::fs::write(&config, text + "audit \"file\" \"x\" { options { file_path = \"relative\" } }\n").unwrap();
    let words = place.refuses().await;
    assert!(words.contains("\"x/\"") && words.contains("'file_path'"), "{words}");
}
