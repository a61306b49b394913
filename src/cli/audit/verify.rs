//! `audit verify` and `audit heads`: whether log files are what the server wrote, found out without it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::super::{
    context::{Cx, Format},
    failure::{Doing, Failure, Outcome},
};
use crate::audit::verify::{Remark, Report, Verifier, first_link};
use crate::audit::{Head, Heads};
use crate::client::Request;
use crate::crypto::PublicKey;

/// Largest file of heads, in bytes: a few hundred take a tenth of it.
const HEADS_BYTES: u64 = 4 << 20;
/// Read at once.
const BUFFER_BYTES: usize = 1 << 20;

/// Check log files: every entry in its place, none changed, none missing.
#[derive(Args, Debug)]
pub struct Verify {
    /// A file of heads, as "audit heads" prints them; may be repeated.
    #[arg(long, value_name = "FILE")]
    head: Vec<PathBuf>,
    /// A file with the public key that must have signed the heads.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The log files of one device, or - for standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Print the signed heads of the server's audit logs, to be kept elsewhere.
#[derive(Args, Debug)]
pub struct PrintHeads {}

impl PrintHeads {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let reply = cx.send(Request::read("sys/audit-heads")).await.doing("Error reading the heads")?;
        let text = serde_json::to_string_pretty(&reply.data).map_err(|error| Failure::local(error.to_string()))?;
        Ok(writeln!(cx.world.stdout, "{text}")?)
    }
}

impl Verify {
    pub fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let heads = self.heads()?;
        let given = heads.len();
        let mut verifier = Verifier::new(heads);
        let mut left: Vec<(PathBuf, Option<(String, u64)>)> = Vec::new();
        for file in self.files {
            let first = if file.as_os_str() == "-" {
                None
            } else {
                first_link(&mut open(&file)?).map_err(|error| unreadable(&file, &error))?
            };
            left.push((file, first));
        }
        while !left.is_empty() {
            // Rotated files are often named in the other order: whichever goes on from what was read is next.
            let fits = |(_, first): &(PathBuf, Option<(String, u64)>)| {
                first.as_ref().is_some_and(|(chain, seq)| verifier.expects(chain, *seq))
            };
            let (file, _) = left.remove(left.iter().position(fits).unwrap_or(0));
            let name = file.display().to_string();
            let read = if file.as_os_str() == "-" {
                verifier.read(&name, &mut BufReader::with_capacity(BUFFER_BYTES, &mut *cx.world.stdin))
            } else {
                verifier.read(&name, &mut open(&file)?)
            };
            read.map_err(|error| unreadable(&file, &error))?;
        }
        let report = verifier.finish();
        if cx.format() == Format::Table {
            write!(cx.world.stdout, "{}", told(&report, given))?;
        } else {
            cx.value(&as_value(&report))?;
        }
        if report.is_intact() { Ok(()) } else { Err(Failure::Exit(2)) }
    }

    /// The heads of all files, each signed by the key that was given, or else by the one that came with it.
    fn heads(&self) -> Outcome<Vec<Head>> {
        let key = self.key.as_ref().map(|path| public_key(path, &text_of(path)?)).transpose()?;
        let mut all = Vec::new();
        for path in &self.head {
            let text = text_of(path)?;
            let wrong = || Failure::local(format!("{} holds no heads as \"audit heads\" prints them", path.display()));
            let mut value: Value = serde_json::from_str(&text).map_err(|_| wrong())?;
            if let Some(data) = value.get_mut("data") {
                value = data.take();
            }
            let found: Heads = serde_json::from_value(value).map_err(|_| wrong())?;
            let own = public_key(path, &found.public_key)?;
            if key.as_ref().is_some_and(|key| *key != own) {
                return Err(Failure::local(format!("{}: its heads were signed by another key", path.display())));
            }
            if let Some(head) = found.heads.iter().find(|head| !head.is_signed_by(&own)) {
                let chain = &head.chain;
                return Err(Failure::local(format!(
                    "{}: the signature of chain {chain:?} does not fit",
                    path.display()
                )));
            }
            all.extend(found.heads);
        }
        Ok(all)
    }
}

fn public_key(path: &Path, pem: &str) -> Outcome<PublicKey> {
    PublicKey::from_pem(pem).map_err(|error| Failure::local(format!("{}: {error}", path.display())))
}

fn text_of(path: &Path) -> Outcome<String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    file.take(HEADS_BYTES).read_to_string(&mut text).map_err(|error| unreadable(path, &error))?;
    Ok(text)
}

fn open(path: &Path) -> Outcome<BufReader<File>> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    Ok(BufReader::with_capacity(BUFFER_BYTES, file))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::local(format!("Error reading {}: {error}", path.display()))
}

fn told(report: &Report, heads: usize) -> String {
    let mut text = String::new();
    // Writing into a String does not fail.
    for finding in &report.findings {
        let _ = writeln!(text, "TAMPERED  {}", at(finding));
    }
    let more = report.found.saturating_sub(report.findings.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "TAMPERED  {more} more findings");
    }
    for note in &report.notes {
        let _ = writeln!(text, "note      {}", at(note));
    }
    for chain in &report.chains {
        let _ = write!(text, "chain     {}: entries {} to {}", chain.id, chain.first, chain.last);
        let _ = match chain.vouched {
            Some(seq) if seq == chain.last => writeln!(text, ", a head knows the last"),
            Some(seq) => writeln!(
                text,
                ", a head knows entry {seq}; entries {} to {} came after it: whether they are all is unknown",
                seq + 1,
                chain.last
            ),
            None => writeln!(text, ", no head knows any: whether the end is cut off or all was made anew is unknown"),
        };
    }
    let verdict = if report.is_intact() { "intact" } else { "NOT as it was written" };
    let _ = writeln!(
        text,
        "{verdict}: {} entries, {} chains, {heads} heads, {} findings",
        report.entries,
        report.chains.len(),
        report.found
    );
    text
}

fn at(remark: &Remark) -> String {
    match (remark.file.as_str(), remark.line) {
        ("", _) => remark.text.clone(),
        (file, 0) => format!("{file}: {}", remark.text),
        (file, line) => format!("{file}:{line}: {}", remark.text),
    }
}

fn as_value(report: &Report) -> Value {
    let remark = |r: &Remark| json!({"file": r.file, "line": r.line, "text": r.text});
    let chains =
        report.chains.iter().map(|c| json!({"id": c.id, "first": c.first, "last": c.last, "known_to_head": c.vouched}));
    json!({
        "intact": report.is_intact(),
        "entries": report.entries,
        "unchained": report.unchained,
        "found": report.found,
        "findings": report.findings.iter().map(remark).collect::<Vec<_>>(),
        "notes": report.notes.iter().map(remark).collect::<Vec<_>>(),
        "chains": chains.collect::<Vec<_>>(),
    })
}
