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
    /// Only those of this issuer: its id or name.
    #[arg(long, value_name = "REF")]
    issuer: Option<String>,
    /// The mount; all mounts of the type pki if none is named.
    mount: Option<String>,
}

impl Expiring {
    async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        if let Some(mount) = &self.mount {
            let mount = folder(mount);
            let reply = self.ask(cx, &mount).await?;
            if !cx.is_table() || cx.globals.field.is_some() {
                return cx.reply(&reply);
            }
            return self.show(cx, &[(mount, reply)]);
        }
        let mut all = Vec::new();
        for mount in mounts(cx).await? {
            let reply = self.ask(cx, &mount).await?;
            all.push((mount, reply));
        }
        if cx.is_table() {
            return self.show(cx, &all);
        }
        let map: serde_json::Map<String, Value> = all.into_iter().map(|(mount, reply)| (mount, reply.data)).collect();
        cx.value(&map.into())
    }

    async fn ask(&self, cx: &mut Cx<'_, '_>, mount: &str) -> Outcome<Reply> {
        let mut request = Request::read(&format!("{mount}certs/expiring")).query("within", &self.within);
        for (name, value) in [("role", &self.role), ("issuer_ref", &self.issuer)] {
            if let Some(value) = value {
                request = request.query(name, value);
            }
        }
        cx.send(request).await.doing(format!("Error reading what ends soon at {mount}"))
    }

    /// Each certificate, in the order of their ends, and how many there are of each role and issuer.
    fn show(&self, cx: &mut Cx<'_, '_>, all: &[(String, Reply)]) -> Outcome {
        let word = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
        let mut rows = Vec::new();
        let mut counts = vec![["mount", "kind", "name", "count"].map(str::to_owned).to_vec()];
        let mut total = 0;
        for (mount, reply) in all {
            for one in reply.field("certificates").and_then(Value::as_array).into_iter().flatten() {
                let mut row = vec![word(one, "not_after"), mount.clone()];
                row.extend(["role", "common_name", "serial_number"].map(|name| word(one, name)));
                rows.push(row);
            }
            total += reply.field("total").and_then(Value::as_u64).unwrap_or(0);
            for (kind, field) in [("role", "by_role"), ("issuer", "by_issuer")] {
                for (name, count) in reply.field(field).and_then(Value::as_object).into_iter().flatten() {
                    counts.push(vec![mount.clone(), kind.to_owned(), name.clone(), count.to_string()]);
                }
            }
        }
        if rows.is_empty() {
            return cx.say(&format!("No certificate ends within {}", self.within));
        }
        rows.sort();
        let shown = rows.len() as u64;
        rows.insert(0, ["not after", "mount", "role", "common name", "serial number"].map(str::to_owned).to_vec());
        cx.table(&rows)?;
        if total > shown {
            cx.say(&format!("\n{shown} of {total} certificates are shown"))?;
        }
        cx.say("")?;
        cx.table(&counts)
    }
}

/// An issuer as the server has it.
struct Issuer {
    /// Its path, such as `pki/issuer/1234`.
    path: String,
    /// Its name, if it has one.
    name: Option<String>,
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
        let name = reply.text("issuer_name").ok().filter(|name| !name.is_empty()).map(str::to_owned);
        let chain = reply.field("ca_chain").and_then(Value::as_array).cloned().unwrap_or_default();
        let chain = chain.iter().filter_map(|pem| Certificate::from_pem(pem.as_str()?).ok()).collect();
        Ok(Self { path, name, certificate, chain })
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
