//! The command line tools `openssl` and `ssh-keygen`, which look inside certificates independently of our own code.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a tool printed on its standard output, and whether it ended well.
pub struct Output {
    pub ok: bool,
    pub bytes: Vec<u8>,
}

impl Output {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// Runs a tool with this standard input; an error only when it is not there.
pub fn run(program: &str, arguments: &[&str], input: &[u8]) -> Result<Output, String> {
    let mut child = Command::new(program)
        .args(arguments)
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("{program}: {e}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool which does not want its input has closed the pipe; its exit status says what came of it.
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output().map_err(|e| format!("{program}: {e}"))?;
    Ok(Output { ok: output.status.success(), bytes: output.stdout })
}

/// `openssl` with this standard input.
pub fn openssl(arguments: &[&str], input: &[u8]) -> Result<Output, String> {
    run("openssl", arguments, input)
}

/// A folder for files that the tools want to read, removed when dropped.
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    pub fn new() -> Result<Scratch, String> {
        tempfile::Builder::new().prefix("conformance-").tempdir().map(Scratch).map_err(|e| e.to_string())
    }

    /// Writes a file and gives back its path.
    pub fn file(&self, name: &str, content: &[u8]) -> Result<String, String> {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).map_err(|e| format!("{name}: {e}"))?;
        Ok(text(&path))
    }

    /// The path of a file that a tool will write.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// A path as an argument of a tool.
pub fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
