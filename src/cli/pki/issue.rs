//! A new intermediate in one command: its key and request in one mount, its certificate from an issuer of another.

use clap::Args;
use serde_json::{Map, Value, json};

use super::super::context::{Cx, folder};
use super::super::failure::{Doing, Failure, Outcome};
use super::super::pairs;
use super::{Issuer, split};
use crate::client::Request;
use crate::crypto::x509::AltName;

/// Make an intermediate, signed by an issuer.
#[derive(Args, Debug)]
pub struct Issue {
    /// Where its key is kept: internal, exported or existing.
    #[arg(long = "type", value_name = "KIND", default_value = "internal")]
    kind: String,
    /// The name that it gets.
    #[arg(long = "issuer_name", value_name = "NAME")]
    issuer_name: Option<String>,
    /// The issuer that signs, such as root/issuer/default.
    parent: String,
    /// The mount that gets the intermediate.
    mount: String,
    /// Its names, lifetime and key, as key=value.
    data: Vec<String>,
}

/// Make an intermediate like one that is there.
#[derive(Args, Debug)]
pub struct Reissue {
    /// Where its key is kept: existing (the same key), internal or exported.
    #[arg(long = "type", value_name = "KIND", default_value = "existing")]
    kind: String,
    /// The name that it gets.
    #[arg(long = "issuer_name", value_name = "NAME")]
    issuer_name: Option<String>,
    /// The issuer that signs.
    parent: String,
    /// The issuer that it is to be like.
    like: String,
    /// The mount that gets it.
    mount: String,
    /// What is to be different, as key=value.
    data: Vec<String>,
}

impl Issue {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let data = pairs::object(&self.data, cx.world.stdin)?;
        make(cx, &self.parent, &folder(&self.mount), &self.kind, self.issuer_name, data).await
    }
}

impl Reissue {
    pub async fn run(self, cx: &mut Cx<'_, '_>) -> Outcome {
        let like = Issuer::load(cx, &self.like).await?;
        let mut data = template(&like);
        if self.kind == "existing" {
            let reply = cx.send(Request::read(&like.path)).await.doing("Error reading the issuer's key")?;
            let key = reply.text("key_id")?;
            if key.is_empty() {
                return Err(Failure::local("The issuer's key is not there: give -type=internal for a new one"));
            }
            data.insert("key_ref".into(), key.into());
        }
        data.extend(pairs::object(&self.data, cx.world.stdin)?);
        make(cx, &self.parent, &folder(&self.mount), &self.kind, self.issuer_name, data).await
    }
}

/// What a certificate says that a new one can be asked to say.
fn template(like: &Issuer) -> Map<String, Value> {
    let certificate = &like.certificate;
    let subject = certificate.subject().subject();
    let mut data = Map::new();
    let lists = [
        ("organization", subject.organization),
        ("ou", subject.organizational_unit),
        ("country", subject.country),
        ("locality", subject.locality),
        ("province", subject.province),
        ("street_address", subject.street_address),
        ("postal_code", subject.postal_code),
    ];
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        data.insert(name.into(), list.into());
    }
    data.insert("common_name".into(), subject.common_name.into());
    let names = certificate.alt_names().unwrap_or_default();
    let mut add = |field: &str, texts: Vec<String>| {
        if !texts.is_empty() {
            data.insert(field.into(), texts.into());
        }
    };
    let of = |pick: fn(&AltName) -> Option<String>| names.iter().filter_map(pick).collect::<Vec<_>>();
    add(
        "alt_names",
        of(|name| match name {
            AltName::Dns(text) | AltName::Email(text) => Some(text.clone()),
            _ => None,
        }),
    );
    add("ip_sans", of(|name| if let AltName::Ip(address) = name { Some(address.to_string()) } else { None }));
    add("uri_sans", of(|name| if let AltName::Uri(uri) = name { Some(uri.clone()) } else { None }));
    let life = certificate.not_after().as_second() - certificate.not_before().as_second();
    data.insert("ttl".into(), format!("{life}s").into());
    if let Ok(Some(length)) = certificate.ca()
        && let Some(length) = length.0
    {
        data.insert("max_path_length".into(), length.into());
    }
    data
}

async fn make(
    cx: &mut Cx<'_, '_>,
    parent: &str,
    mount: &str,
    kind: &str,
    name: Option<String>,
    data: Map<String, Value>,
) -> Outcome {
    let (parent_mount, reference) = split(parent)?;
    let request = Request::write(&format!("{mount}intermediate/generate/{kind}")).json(&data)?;
    let made = cx.send(request).await.doing(format!("Error making a request at {mount}"))?;
    let mut sign = data.clone();
    for own in ["key_type", "key_bits", "key_name", "key_ref"] {
        sign.remove(own);
    }
    sign.insert("csr".into(), made.text("csr")?.into());
    sign.insert("format".into(), "pem_bundle".into());
    let path = format!("{parent_mount}issuer/{reference}/sign-intermediate");
    let signed = cx.send(Request::write(&path).json(&sign)?).await.doing(format!("Error signing at {path}"))?;
    cx.warnings(&signed)?;
    // With the chain, so that the mount can tell whole chains afterwards.
    let mut bundle = vec![signed.text("certificate")?.trim().to_owned()];
    let chain = signed.field("ca_chain").and_then(Value::as_array).cloned().unwrap_or_default();
    bundle.extend(chain.iter().filter_map(|pem| pem.as_str().map(|pem| pem.trim().to_owned())));
    let import = json!({"pem_bundle": bundle.join("\n")});
    let request = Request::write(&format!("{mount}issuers/import/cert")).json(&import)?;
    let imported = cx.send(request).await.doing(format!("Error importing the certificate at {mount}"))?;
    let key = made.text("key_id")?;
    let with_key = imported.field("mapping").and_then(Value::as_object);
    let id = with_key.and_then(|map| map.iter().find(|(_, of)| of.as_str() == Some(key)).map(|(id, _)| id.clone()));
    let id = id.ok_or_else(|| Failure::Remote("The server took the certificate and names no new issuer".into()))?;
    let path = format!("{mount}issuer/{id}");
    if let Some(name) = name {
        let request = Request::patch(&path).json(&json!({"issuer_name": name}))?;
        cx.send(request).await.doing(format!("Error naming the issuer {path}"))?;
    }
    let reply = cx.send(Request::read(&path)).await.doing(format!("Error reading the issuer {path}"))?;
    cx.reply(&reply)
}
