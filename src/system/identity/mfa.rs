//! `mfa`: methods of a second factor, the secrets of entities, and which logins need them.

use serde_json::json;

use super::{IdentityEngine, demand_entity};
use crate::base::json::Map;
use crate::base::{Error, Json, Name, Result, Secret, Ttl, ids, limits};
use crate::crypto::otp::OtpHash;
use crate::engine::{Cx, Reply, Routes};
use crate::identity::mfa::{Enforcement, Method, enforcement_key, enforcements_key, method_key, methods_key};
use crate::identity::{is_id, keys};
use crate::params;

/// Adds the endpoints.
pub fn routes(routes: Routes<IdentityEngine>) -> Routes<IdentityEngine> {
    routes
        .at("mfa/method/", "List the methods.", |at| at.list(list))
        .at("mfa/method/{method_id}", "Read a method.", |at| at.read(read))
        .at("mfa/method/totp/", "List the methods of codes by time.", |at| at.list(list))
        .at("mfa/method/totp", "Make a method of codes by time.", |at| at.update(write))
        .at("mfa/method/totp/{method_id}", "Read, change and delete a method.", |at| {
            at.read(read).update(write).delete(delete)
        })
        .at("mfa/method/totp/generate", "Make one's own secret.", |at| at.update(generate))
        .at("mfa/method/totp/admin-generate", "Make the secret of an entity.", |at| at.update(admin_generate))
        .at("mfa/method/totp/admin-destroy", "Take the secret of an entity away.", |at| at.update(admin_destroy))
        .at("mfa/login-enforcement/", "List which logins need a second factor.", |at| at.list(list_rules))
        .at("mfa/login-enforcement/{name}", "Say which logins need a second factor.", |at| {
            at.read(read_rule).update(write_rule).delete(delete_rule)
        })
}

params! {
    /// A method by its id.
    pub struct ById {
        /// The id.
        method_id: String,
    }
    /// A method; what is absent stays as it was.
    pub struct Write {
        /// The id.
        method_id: Option<String>,
        /// A name that people give it.
        method_name: Option<String>,
        /// Who the app says the code is for.
        issuer: Option<String>,
        /// How long a code lives.
        period: Option<Ttl>,
        /// Bytes of a new secret.
        key_size: Option<u64>,
        /// Accepted and shown; no picture is drawn.
        qr_size: Option<u64>,
        /// The digest: SHA1, SHA256 or SHA512.
        algorithm: Option<String>,
        /// Digits of a code: 6 or 8.
        digits: Option<u64>,
        /// How many periods a clock may be off: 0 or 1.
        skew: Option<u64>,
        /// Tries within one period.
        max_validation_attempts: Option<u64>,
        /// Accepted and shown: an entity with a token makes its own secret by 'generate'.
        enable_self_enrollment: Option<bool>,
        /// Accepted: secrets are always made here.
        generate: Option<bool>,
    }
    /// An entity at a method.
    pub struct Of {
        /// The method's id.
        method_id: Option<String>,
        /// The entity's id.
        entity_id: Option<String>,
    }
    /// A rule by its name.
    pub struct ByName {
        /// The name.
        name: Name,
    }
    /// A rule; what is absent stays as it was.
    pub struct WriteRule {
        /// The name.
        name: Name,
        /// Any one of these methods will do.
        mfa_method_ids: Option<Vec<String>>,
        /// Logins at mounts of these accessors.
        auth_method_accessors: Option<Vec<String>>,
        /// Logins at mounts of these types.
        auth_method_types: Option<Vec<String>>,
        /// Logins of members of these groups.
        identity_group_ids: Option<Vec<String>>,
        /// Logins of these entities.
        identity_entity_ids: Option<Vec<String>>,
    }
}

fn method(cx: &Cx<IdentityEngine>, id: &str) -> Result<Option<Method>> {
    if is_id(id) { cx.engine().handles.identities.view().get(&method_key(id)) } else { Ok(None) }
}

async fn list(cx: Cx<IdentityEngine>, _: ()) -> Result<Reply> {
    Ok(Reply::list(cx.engine().handles.identities.view().list(&methods_key())?))
}

async fn read(cx: Cx<IdentityEngine>, p: ById) -> Result<Reply> {
    let m = method(&cx, &p.method_id)?.ok_or_else(Error::not_found)?;
    Ok(Reply::json(json!({
        "id": m.id, "name": m.name, "type": "totp", "issuer": m.issuer, "period": m.period, "key_size": m.key_size,
        "qr_size": m.qr_size, "algorithm": m.algorithm, "digits": m.digits, "skew": m.skew,
        "max_validation_attempts": m.max_validation_attempts, "enable_self_enrollment": m.enable_self_enrollment,
        "namespace_id": "root", "namespace_path": "",
    })))
}

async fn write(cx: Cx<IdentityEngine>, p: Write) -> Result<Reply> {
    let mut txn = cx.engine().handles.identities.view().txn();
    let mut m = match p.method_id.as_deref().filter(|id| !id.is_empty()) {
        Some(id) if is_id(id) => txn.get::<Method>(&method_key(id))?.ok_or_else(no_method)?,
        Some(_) => return Err(no_method()),
        None => Method {
            id: ids::uuid(cx.rng()),
            period: 30,
            key_size: 20,
            qr_size: 200,
            algorithm: "SHA1".into(),
            digits: 6,
            skew: 1,
            max_validation_attempts: 5,
            ..Method::default()
        },
    };
    if let Some(v) = p.method_name.filter(|v| !v.is_empty()) {
        m.name = Name::parse(&v)?.as_str().to_owned();
    }
    if let Some(v) = p.issuer {
        if v.contains(|c: char| c.is_control() || c == ':') || v.len() > limits::NAME_BYTES {
            return Err(Error::invalid("'issuer' has a colon or a control character, or is too long"));
        }
        m.issuer = v;
    }
    if m.issuer.is_empty() {
        return Err(Error::invalid("'issuer' must be set"));
    }
    if let Some(v) = p.period {
        m.period = v.seconds();
    }
    let within = |value: u64, from: u64, to: u64, field: &str| {
        let fits = (from..=to).contains(&value);
        if fits { Ok(value) } else { Err(Error::invalid(format!("'{field}' must be from {from} to {to}"))) }
    };
    m.period = within(m.period, 1, 86_400, "period")?;
    m.key_size = within(p.key_size.unwrap_or(m.key_size), 10, 128, "key_size")?;
    m.qr_size = within(p.qr_size.unwrap_or(m.qr_size), 0, 4096, "qr_size")?;
    m.skew = within(p.skew.unwrap_or(m.skew), 0, 1, "skew")?;
    m.max_validation_attempts =
        within(p.max_validation_attempts.unwrap_or(m.max_validation_attempts), 1, 1000, "max_validation_attempts")?;
    if let Some(v) = p.digits {
        m.digits = match v {
            6 => 6,
            8 => 8,
            _ => return Err(Error::invalid("'digits' must be 6 or 8")),
        };
    }
    if let Some(v) = p.algorithm {
        m.algorithm = OtpHash::parse(&v)?.name().to_owned();
    }
    if let Some(v) = p.enable_self_enrollment {
        m.enable_self_enrollment = v;
    }
    txn.overwrite(&method_key(&m.id), &m)?;
    Ok(Reply::data(Map::from([("method_id".to_owned(), m.id.into())])).with(txn))
}

fn no_method() -> Error {
    Error::invalid("no method of this id")
}

async fn delete(cx: Cx<IdentityEngine>, p: ById) -> Result<Reply> {
    let identities = &cx.engine().handles.identities;
    if identities.enforcements()?.iter().any(|rule| rule.mfa_method_ids.contains(&p.method_id)) {
        return Err(Error::invalid("the method is needed by a login enforcement"));
    }
    let mut txn = identities.view().txn();
    if is_id(&p.method_id) {
        txn.delete(&method_key(&p.method_id));
    }
    Ok(Reply::empty(txn))
}

async fn generate(cx: Cx<IdentityEngine>, p: Of) -> Result<Reply> {
    let entity = demand_entity(&cx)?;
    enroll(&cx, &p.method_id.unwrap_or_default(), &entity)
}

async fn admin_generate(cx: Cx<IdentityEngine>, p: Of) -> Result<Reply> {
    enroll(&cx, &p.method_id.unwrap_or_default(), &p.entity_id.unwrap_or_default())
}

fn enroll(cx: &Cx<IdentityEngine>, id: &str, entity: &str) -> Result<Reply> {
    let identities = &cx.engine().handles.identities;
    let m = method(cx, id)?.ok_or_else(no_method)?;
    let entity = identities.entity(entity)?.ok_or_else(|| Error::invalid("invalid entity ID"))?;
    let mut secret = Secret::new(vec![0; usize::try_from(m.key_size).unwrap_or(20)]);
    cx.rng().fill(secret.reveal_mut());
    let text = base32(secret.reveal());
    let Some(mut txn) = identities.enroll(&m.id, &entity.id, secret)? else {
        return Ok(Reply::data(Map::new()).warning("the entity has a secret of this method already"));
    };
    txn.expect_present(&keys::entity(&entity.id));
    let label =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let url = format!(
        "otpauth://totp/{}:{}?algorithm={}&digits={}&issuer={}&period={}&secret={}",
        label(&m.issuer),
        label(&entity.name),
        m.algorithm,
        m.digits,
        label(&m.issuer),
        m.period,
        text.reveal()
    );
    // No picture: what draws one is a program of the client's.
    let data = Map::from([("url".to_owned(), Json::from(url)), ("barcode".to_owned(), Json::from(""))]);
    Ok(Reply::data(data).with(txn))
}

async fn admin_destroy(cx: Cx<IdentityEngine>, p: Of) -> Result<Reply> {
    let m = method(&cx, &p.method_id.unwrap_or_default())?.ok_or_else(no_method)?;
    let entity = p.entity_id.filter(|id| is_id(id)).ok_or_else(|| Error::invalid("invalid entity ID"))?;
    Ok(Reply::empty(cx.engine().handles.identities.disenroll(&m.id, &entity)))
}

/// RFC 4648 without padding, as apps read it.
fn base32(bytes: &[u8]) -> Secret<String> {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut held, mut bits) = (0u32, 0);
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(LETTERS[(held >> bits) as usize & 31]));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(char::from(LETTERS[(held << (5 - bits)) as usize & 31]));
    }
    Secret::new(text)
}

async fn list_rules(cx: Cx<IdentityEngine>, _: ()) -> Result<Reply> {
    Ok(Reply::list(cx.engine().handles.identities.view().list(&enforcements_key())?))
}

async fn read_rule(cx: Cx<IdentityEngine>, p: ByName) -> Result<Reply> {
    let view = cx.engine().handles.identities.view();
    let rule: Enforcement = view.get(&enforcement_key(p.name.as_str()))?.ok_or_else(Error::not_found)?;
    Ok(Reply::json(json!({
        "id": rule.id, "name": rule.name, "mfa_method_ids": rule.mfa_method_ids,
        "auth_method_accessors": rule.auth_method_accessors, "auth_method_types": rule.auth_method_types,
        "identity_group_ids": rule.identity_group_ids, "identity_entity_ids": rule.identity_entity_ids,
        "namespace_id": "root", "namespace_path": "",
    })))
}

async fn write_rule(cx: Cx<IdentityEngine>, p: WriteRule) -> Result<Reply> {
    let handles = &cx.engine().handles;
    let mut txn = handles.identities.view().txn();
    let key = enforcement_key(p.name.as_str());
    let known: Option<Enforcement> = txn.get(&key)?;
    if known.is_none() && handles.identities.enforcements()?.len() >= limits::MFA_ENFORCEMENTS {
        return Err(Error::invalid(format!("at most {} login enforcements", limits::MFA_ENFORCEMENTS)));
    }
    let mut rule = known.unwrap_or_else(|| Enforcement { id: ids::uuid(cx.rng()), ..Enforcement::default() });
    p.name.as_str().clone_into(&mut rule.name);
    for (given, kept) in [
        (p.mfa_method_ids, &mut rule.mfa_method_ids),
        (p.auth_method_accessors, &mut rule.auth_method_accessors),
        (p.auth_method_types, &mut rule.auth_method_types),
        (p.identity_group_ids, &mut rule.identity_group_ids),
        (p.identity_entity_ids, &mut rule.identity_entity_ids),
    ] {
        if let Some(names) = given {
            if names.len() > limits::MFA_NAMES {
                return Err(Error::invalid(format!("at most {} names in a list", limits::MFA_NAMES)));
            }
            *kept = names;
        }
    }
    if rule.mfa_method_ids.is_empty() {
        return Err(Error::invalid("missing 'mfa_method_ids'"));
    }
    for id in &rule.mfa_method_ids {
        // The method must still be there when the rule is.
        if !is_id(id) || txn.get::<Method>(&method_key(id))?.is_none() {
            return Err(Error::invalid("'mfa_method_ids' names a method that does not exist"));
        }
    }
    let lists =
        [&rule.auth_method_accessors, &rule.auth_method_types, &rule.identity_group_ids, &rule.identity_entity_ids];
    if lists.iter().all(|list| list.is_empty()) {
        return Err(Error::invalid(
            "one of 'auth_method_accessors', 'auth_method_types', 'identity_group_ids', 'identity_entity_ids' is needed",
        ));
    }
    handles.identities.put_rule(&mut txn, &rule)?;
    Ok(Reply::empty(txn))
}

async fn delete_rule(cx: Cx<IdentityEngine>, p: ByName) -> Result<Reply> {
    let identities = &cx.engine().handles.identities;
    let mut txn = identities.view().txn();
    identities.delete_rule(&mut txn, p.name.as_str())?;
    Ok(Reply::empty(txn))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_written_as_apps_read_them() {
        for (bytes, text) in [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foobar", "MZXW6YTBOI")] {
            assert_eq!(base32(bytes.as_bytes()).reveal(), text);
        }
    }
}
