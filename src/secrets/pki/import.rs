//! Bringing in CAs and keys made elsewhere: `config/ca`, `issuers/import`, `keys/import`, `intermediate/set-signed`.

use super::Pki;
use super::issuer::{self, Issuer, StoredKey};
use crate::base::json::Map;
use crate::base::{Error, Json, Result, Secret, ids};
use crate::crypto::pem::{self, Label};
use crate::crypto::x509::{Certificate, KeyUsage};
use crate::crypto::{self, PrivateKey, PublicKey};
use crate::engine::{Cx, Reply};
use crate::params;

/// How many certificates and keys one import may have.
const BLOCKS_MAX: usize = 64;

params! {
    /// Certificates and keys.
    pub struct Bundle {
        /// All of them, in PEM.
        pem_bundle: Option<Secret<String>>,
    }
    /// Certificates for keys that are here.
    pub struct SetSigned {
        /// All of them, in PEM.
        certificate: Option<String>,
    }
    /// A private key.
    pub struct ImportKey {
        /// The key, in PEM.
        pem_bundle: Option<Secret<String>>,
        /// Its name.
        key_name: Option<String>,
    }
}

pub async fn bundle(cx: Cx<Pki>, p: Bundle) -> Result<Reply> {
    let text = p.pem_bundle.unwrap_or_default();
    import(&cx, text, true).await
}

/// As `bundle`, but for certificates alone: for those who may not bring keys.
pub async fn certificates(cx: Cx<Pki>, p: Bundle) -> Result<Reply> {
    let text = p.pem_bundle.unwrap_or_default();
    import(&cx, text, false).await
}

pub async fn set_signed(cx: Cx<Pki>, p: SetSigned) -> Result<Reply> {
    import(&cx, Secret::new(p.certificate.unwrap_or_default()), false).await
}

struct Parsed {
    certificates: Vec<Certificate>,
    keys: Vec<PrivateKey>,
}

fn parse(text: &Secret<String>, keys_too: bool) -> Result<Parsed> {
    let blocks = pem::blocks(text.reveal().as_bytes())?;
    if blocks.len() > BLOCKS_MAX {
        return Err(Error::invalid(format!("at most {BLOCKS_MAX} certificates and keys at once")));
    }
    let mut parsed = Parsed { certificates: Vec::new(), keys: Vec::new() };
    for block in blocks {
        match block.label {
            Label::Certificate => {
                let certificate = Certificate::from_der(block.der.reveal())?;
                if !certificate.is_ca() {
                    return Err(Error::invalid("one of the certificates is not a CA's"));
                }
                check_issuer(&certificate)?;
                if !parsed.certificates.contains(&certificate) {
                    parsed.certificates.push(certificate);
                }
            }
            Label::Pkcs8 | Label::Pkcs1 | Label::Sec1 if !keys_too => {
                return Err(Error::invalid("private keys are not imported here"));
            }
            Label::Pkcs8 | Label::Pkcs1 | Label::Sec1 => parsed.keys.push(PrivateKey::from_der(block.der.reveal())?),
            Label::Request | Label::Crl | Label::PublicKey => {
                return Err(Error::invalid("only certificates and private keys can be imported"));
            }
        }
    }
    if parsed.certificates.is_empty() && parsed.keys.is_empty() {
        return Err(Error::invalid("there is no certificate and no private key in the PEM text"));
    }
    Ok(parsed)
}

/// What a CA's certificate must be to be worth keeping. A root that is signed in a way that nobody believes any more
/// is one still: who has it trusts it for other reasons.
fn check_issuer(certificate: &Certificate) -> Result<()> {
    let key = certificate.public_key()?;
    if certificate.key_usage()?.is_some_and(|usage| !usage.has(KeyUsage::CERT_SIGN)) {
        return Err(Error::invalid("one of the certificates may not sign others"));
    }
    if certificate.is_own_issuer() && matches!(certificate.verify_by_key(&key), Err(crypto::Error::Signature)) {
        return Err(Error::invalid("one of the certificates is not signed by itself, as it says"));
    }
    Ok(())
}

async fn import(cx: &Cx<Pki>, text: Secret<String>, keys_too: bool) -> Result<Reply> {
    // Reading an RSA key checks it, which takes a while.
    let kind = crate::crypto::KeyKind::Rsa(2048);
    let parsed = cx.engine().workers.run(kind, move || parse(&text, keys_too)).await?;
    let mut txn = cx.txn();
    let mut known_keys = Vec::new();
    for row in issuer::all_keys(cx.view())? {
        known_keys.push((PublicKey::from_pem(&row.public_key)?.spki().to_vec(), row.id));
    }
    let (mut imported_keys, mut existing_keys) = (Vec::new(), Vec::new());
    for key in &parsed.keys {
        let spki = key.public().spki().to_vec();
        if let Some((_, id)) = known_keys.iter().find(|(known, _)| *known == spki) {
            existing_keys.push(id.clone());
            continue;
        }
        let row = StoredKey::new(ids::uuid(cx.rng()), String::new(), key)?;
        issuer::add_key(&mut txn, &row)?;
        known_keys.push((spki, row.id.clone()));
        imported_keys.push(row.id);
    }

    let known = issuer::all(cx.view())?;
    let mut mapping = Map::new();
    let (mut imported, mut existing) = (Vec::new(), Vec::new());
    let (mut new, mut relinked): (Vec<Issuer>, Vec<Issuer>) = (Vec::new(), Vec::new());
    for certificate in &parsed.certificates {
        let der = certificate.pem()?;
        let key_id = known_keys.iter().find(|(spki, _)| spki == certificate.spki()).map(|(_, id)| id.clone());
        let key_id = key_id.unwrap_or_default();
        if let Some(there) = known.iter().find(|issuer| issuer.certificate == der) {
            existing.push(there.id.clone());
            mapping.insert(there.id.clone(), key_id.into());
            continue;
        }
        let mut issuer = Issuer::new(ids::uuid(cx.rng()), String::new(), None, certificate)?;
        mapping.insert(issuer.id.clone(), key_id.clone().into());
        issuer.key_id = key_id;
        imported.push(issuer.id.clone());
        new.push(issuer);
    }
    // An issuer whose key comes later, or comes back, finds it.
    for issuer in known {
        let spki = Certificate::from_pem(&issuer.certificate)?.spki().to_vec();
        if let Some((_, id)) = known_keys.iter().find(|(known, _)| *known == spki)
            && *id != issuer.key_id
        {
            relinked.push(Issuer { key_id: id.clone(), ..issuer });
        }
    }
    if !new.is_empty() || !relinked.is_empty() {
        issuer::add(&mut txn, cx.view(), cx.now(), new, relinked)?;
    }
    let list = |ids: Vec<String>| if ids.is_empty() { Json::Null } else { Json::from(ids) };
    Ok(Reply::data([
        ("imported_issuers".to_owned(), list(imported)),
        ("imported_keys".to_owned(), list(imported_keys)),
        ("existing_issuers".to_owned(), list(existing)),
        ("existing_keys".to_owned(), list(existing_keys)),
        ("mapping".to_owned(), mapping.into()),
    ])
    .with(txn))
}

pub async fn key(cx: Cx<Pki>, p: ImportKey) -> Result<Reply> {
    let text = p.pem_bundle.unwrap_or_default();
    let name = p.key_name.unwrap_or_default();
    let id = ids::uuid(cx.rng());
    let made = move || {
        let key = PrivateKey::from_pem(text.reveal().as_bytes())?;
        StoredKey::new(id, name, &key)
    };
    let row = cx.engine().workers.run(crate::crypto::KeyKind::Rsa(2048), made).await?;
    if let Some(there) = issuer::all_keys(cx.view())?.into_iter().find(|there| there.public_key == row.public_key) {
        return Ok(told(&there));
    }
    let mut txn = cx.txn();
    issuer::add_key(&mut txn, &row)?;
    Ok(told(&row).with(txn))
}

fn told(key: &StoredKey) -> Reply {
    Reply::data([
        ("key_id".to_owned(), Json::from(key.id.as_str())),
        ("key_name".to_owned(), key.name.as_str().into()),
        ("key_type".to_owned(), key.key_type.as_str().into()),
    ])
}
