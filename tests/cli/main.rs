//! Transcripts of the command line against a real server: what was typed, what was said, and the exit code.
//!
//! Each file is a session of its own; `[..]` stands for what differs from run to run. `TRYCMD=overwrite cargo test --test cli` writes
//! what is said now into the files: look at every difference before it is committed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use trycmd::TestCases;

const WARIFU: &str = env!("CARGO_BIN_EXE_warifu");

/// A server, ended when it goes out of scope.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Starts it with these words, and waits until it listens.
    fn start(home: &Path, words: &[&str]) -> Self {
        let mut child = Command::new(WARIFU)
            .arg("server")
            .args(words)
            .env_clear()
            .env("HOME", home)
            .current_dir(home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut address = None;
        for line in lines.by_ref().map_while(Result::ok) {
            if let Some((_, rest)) = line.split_once("addr: \"") {
                address = rest.split('"').next().map(str::to_owned);
            }
            if line.contains("server started") {
                break;
            }
        }
        // Read to the end, so that the server never waits for whoever reads.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address: format!("http://{}", address.expect("the server did not start")) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the sessions of a folder.
fn sessions(folder: &str, home: &Path, address: &str, token: Option<&str>) {
    let cases = TestCases::new();
    cases.register_bin("warifu", Path::new(WARIFU));
    cases.env("VAULT_ADDR", address).env("HOME", home.to_str().unwrap());
    if let Some(token) = token {
        cases.env("VAULT_TOKEN", token);
    }
    cases.case(format!("tests/cli/{folder}/*.trycmd"));
    cases.run();
}

#[test]
fn with_a_server_that_is_open() {
    let home = tempfile::tempdir().unwrap();
    let words = ["-dev", "-dev-root-token-id=root", "-dev-no-store-token", "-dev-listen-address=127.0.0.1:0"];
    let server = Server::start(home.path(), &words);
    sessions("dev", home.path(), &server.address, Some("root"));
}

#[test]
fn with_a_server_that_is_new() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("server.hcl");
    let text = "storage \"inmem\" {}\nlistener \"tcp\" {\n  address = \"127.0.0.1:0\"\n  tls_disable = true\n}\n";
    std::fs::write(&config, text).unwrap();
    let server = Server::start(home.path(), &[&format!("-config={}", config.display())]);
    sessions("fresh", home.path(), &server.address, None);
}

#[test]
fn without_a_server() {
    let home = tempfile::tempdir().unwrap();
    // A port that nobody listens on: it was free, and nothing is started here.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    sessions("away", home.path(), &format!("http://127.0.0.1:{port}"), None);
}
