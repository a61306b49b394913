//! Certificate authorities: their health, who signed whom, new intermediates, certificates in words, what ends soon.

mod health;
mod intermediates;
mod issue;
mod show;
mod signed;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::context::{Cx, clean, folder};
use super::failure::{Doing, Failure, Outcome};
use crate::client::{Reply, Request};
use crate::crypto::x509::Certificate;

/// Work with certificate authorities.
#[derive(Args, Debug)]
pub struct Pki {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    HealthCheck(health::HealthCheck),
    VerifySign(signed::VerifySign),
    ListIntermediates(intermediates::ListIntermediates),
    Issue(issue::Issue),
    Reissue(issue::Reissue),
    Show(show::Show),
    Expiring(Expiring),
}

impl Pki {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        match self.command {
            Command::HealthCheck(command) => command.run(cx).await,
            Command::VerifySign(command) => command.run(cx).await,
            Command::ListIntermediates(command) => command.run(cx).await,
            Command::Issue(command) => command.run(cx).await,
            Command::Reissue(command) => command.run(cx).await,
            Command::Show(command) => command.run(cx).await,
            Command::Expiring(command) => command.run(cx).await,
        }
    }
}

/// Show which certificates of a mount end soon.
#[derive(Args, Debug)]
struct Expiring {
    /// How far to look ahead.
    #[arg(long, value_name = "DURATION", default_value = "14d")]
    within: String,
    /// Only those of this role.
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
    /// The mount.
    mount: String,
}

impl Expiring {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let mount = folder(&self.mount);
        let mut request = Request::read(&format!("{mount}certs/expiring")).query("within", &self.within);
        if let Some(role) = &self.role {
            request = request.query("role", role);
        }
        let reply = cx.send(request).await.doing(format!("Error reading what ends soon at {mount}"))?;
        if !cx.is_table() || cx.globals.field.is_some() {
            return cx.reply(&reply);
        }
        let empty = Vec::new();
        let all = reply.field("certificates").and_then(Value::as_array).unwrap_or(&empty);
        let word = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
        let mut rows = vec![["not after", "role", "common name", "serial number"].map(str::to_owned).to_vec()];
        for one in all {
            rows.push(["not_after", "role", "common_name", "serial_number"].map(|name| word(one, name)).to_vec());
        }
        if all.is_empty() {
            return cx.say(&format!("No certificate ends within {}", self.within));
        }
        cx.table(&rows)?;
        let total = reply.field("total").and_then(Value::as_u64).unwrap_or(0);
        if total > all.len() as u64 {
            cx.say(&format!("\n{} of {total} certificates are shown", all.len()))?;
        }
        Ok(())
    }
}

/// An issuer as the server has it.
struct Issuer {
    /// Its path, such as `pki/issuer/1234`.
    path: String,
    /// Its certificate.
    certificate: Certificate,
    /// Its chain, itself first.
    chain: Vec<Certificate>,
}

impl Issuer {
    /// Asks the server for one.
    async fn load(cx: &mut Cx<'_, '_>, path: &str) -> Outcome<Self> {
        let path = clean(path).to_owned();
        split(&path)?;
        let reply = cx.send(Request::read(&path)).await.doing(format!("Error reading the issuer {path}"))?;
        let certificate = certificate_of(&reply)?;
        let chain = reply.field("ca_chain").and_then(Value::as_array).cloned().unwrap_or_default();
        let chain = chain.iter().filter_map(|pem| Certificate::from_pem(pem.as_str()?).ok()).collect();
        Ok(Self { path, certificate, chain })
    }
}

/// A path such as `pki/issuer/REF`, as the mount and the reference.
fn split(path: &str) -> Outcome<(String, String)> {
    match clean(path).split_once("/issuer/") {
        Some((mount, reference)) if !mount.is_empty() && !reference.is_empty() && !reference.contains('/') => {
            Ok((folder(mount), reference.to_owned()))
        }
        _ => Err(Failure::local("An issuer is named by its path, such as pki/issuer/default")),
    }
}

fn certificate_of(reply: &Reply) -> Outcome<Certificate> {
    let pem = reply.text("certificate")?;
    Certificate::from_pem(pem).map_err(|error| Failure::local(format!("The server's certificate: {error}")))
}

/// The issuers of a mount; none where it has none, or is no CA.
async fn issuers(cx: &mut Cx<'_, '_>, mount: &str) -> Outcome<Vec<String>> {
    let reply = cx.ask(Request::list(&format!("{mount}issuers/"))).await;
    let reply = reply.doing(format!("Error listing the issuers of {mount}"))?;
    Ok(reply.map(|reply| reply.keys().iter().map(|id| format!("{mount}issuer/{id}")).collect()).unwrap_or_default())
}

/// The mounts of the type pki.
async fn mounts(cx: &mut Cx<'_, '_>) -> Outcome<Vec<String>> {
    let reply = cx.send(Request::read("sys/mounts")).await.doing("Error listing the mounts")?;
    let Value::Object(mounts) = &reply.data else { return Ok(Vec::new()) };
    Ok(mounts.iter().filter(|(_, mount)| mount["type"] == "pki").map(|(path, _)| path.clone()).collect())
}

/// Rows of a field and what holds of it, as a table or as an object.
fn facts(cx: &mut Cx<'_, '_>, rows: &[(&str, bool)]) -> Outcome {
    if !cx.is_table() {
        let map: serde_json::Map<String, Value> =
            rows.iter().map(|(name, holds)| ((*name).to_owned(), json!(holds))).collect();
        return cx.value(&map.into());
    }
    let mut table = vec![vec!["field".to_owned(), "value".to_owned()]];
    table.extend(rows.iter().map(|(name, holds)| vec![(*name).to_owned(), holds.to_string()]));
    cx.table(&table)
}
