//! Templates of claims: a JSON object with `{{…}}` in it, each of which becomes a JSON value.
//!
//! A value is written as JSON, quotes and escapes included: nothing that somebody is called can add a claim.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::base::json::Map;
use crate::base::{Error, Json, Result, Timestamp, Ttl, limits, time};
use crate::identity::Standing;

/// Claims that only the server gives.
const RESERVED: &[&str] =
    &["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "nonce", "auth_time", "at_hash", "c_hash", "namespace"];

/// A template as it is stored: itself, or what its base64 says.
///
/// # Errors
/// [`Error::Invalid`] if it makes no JSON object, names what is unknown, or gives a claim that only the server gives.
pub fn checked(text: &str, now: Timestamp) -> Result<String> {
    let text = match STANDARD.decode(text.trim()) {
        Ok(bytes) if !text.trim().is_empty() => {
            String::from_utf8(bytes).map_err(|_| Error::invalid("the template is not UTF-8"))?
        }
        _ => text.to_owned(),
    };
    if text.len() > limits::OIDC_TEMPLATE_BYTES {
        return Err(Error::invalid(format!("a template has at most {} bytes", limits::OIDC_TEMPLATE_BYTES)));
    }
    fill(&text, &Standing::default(), now)?;
    Ok(text)
}

/// The claims that a template gives for somebody.
///
/// # Errors
/// As [`checked`].
pub fn fill(text: &str, who: &Standing, now: Timestamp) -> Result<Map> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, tail) =
            after.split_once("}}").ok_or_else(|| Error::invalid("a template has '{{' without '}}'"))?;
        filled.push_str(before);
        let value = value(inside.trim(), who, now)
            .ok_or_else(|| Error::invalid("a template names something that is not known"))?;
        filled.push_str(&value.text());
        rest = tail;
    }
    filled.push_str(rest);
    match Json::parse(filled.as_bytes()) {
        Ok(Json::Object(map)) => match map.keys().find(|name| RESERVED.contains(&name.as_str())) {
            Some(name) => Err(Error::invalid(format!("the claim '{name}' is given by the server alone"))),
            None => Ok(map),
        },
        _ => Err(Error::invalid("a template must make a JSON object")),
    }
}

fn value(name: &str, who: &Standing, now: Timestamp) -> Option<Json> {
    let texts = |map: &std::collections::BTreeMap<String, String>| -> Json {
        map.iter().map(|(k, v)| (k.clone(), Json::from(v.as_str()))).collect::<Map>().into()
    };
    let text = |value: Option<&String>| Json::from(value.map_or("", String::as_str));
    if let Some(rest) = name.strip_prefix("time.now") {
        let seconds = |text: &str| Ttl::parse(text).ok().and_then(|ttl| i64::try_from(ttl.seconds()).ok());
        let now = now.as_second();
        return match (rest, rest.strip_prefix(".plus."), rest.strip_prefix(".minus.")) {
            ("", _, _) => Some(now.into()),
            (_, Some(span), _) => Some(now.saturating_add(seconds(span)?).into()),
            (_, _, Some(span)) => Some(now.saturating_sub(seconds(span)?).into()),
            _ => None,
        };
    }
    let entity = &who.entity;
    let name = name.strip_prefix("identity.entity.")?;
    match name {
        "id" => return Some(entity.id.as_str().into()),
        "name" => return Some(entity.name.as_str().into()),
        "metadata" => return Some(texts(&entity.metadata)),
        "groups.ids" => return Some(who.groups().map(|g| g.id.clone()).collect::<Vec<_>>().into()),
        "groups.names" => return Some(who.groups().map(|g| g.name.clone()).collect::<Vec<_>>().into()),
        _ => {}
    }
    if let Some(key) = name.strip_prefix("metadata.") {
        return Some(text(entity.metadata.get(key)));
    }
    let (accessor, field) = name.strip_prefix("aliases.")?.split_once('.')?;
    let alias = entity.aliases.iter().find(|a| a.mount_accessor == accessor);
    let empty = std::collections::BTreeMap::new();
    Some(match field {
        "id" => text(alias.map(|a| &a.id)),
        "name" => text(alias.map(|a| &a.name)),
        "metadata" => texts(alias.map_or(&empty, |a| &a.metadata)),
        "custom_metadata" => texts(alias.map_or(&empty, |a| &a.custom_metadata)),
        _ => match (field.strip_prefix("metadata."), field.strip_prefix("custom_metadata.")) {
            (Some(key), _) => text(alias.and_then(|a| a.metadata.get(key))),
            (_, Some(key)) => text(alias.and_then(|a| a.custom_metadata.get(key))),
            _ => return None,
        },
    })
}

/// A moment as a claim.
pub fn moment(now: Timestamp, ttl: Ttl) -> Json {
    time::after(now, ttl).as_second().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Entity;

    #[test]
    fn nobody_is_called_so_that_it_adds_a_claim() {
        let name = r#"x", "admin": true, "y": ""#.to_owned();
        let who = Standing { entity: Entity { name: name.clone(), ..Entity::default() }, ..Standing::default() };
        let claims = fill(r#"{"n": {{identity.entity.name}}}"#, &who, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(claims.len(), 1);
        assert_eq!(claims["n"], Json::from(name));
    }

    #[test]
    fn what_makes_no_claims_is_refused() {
        for text in [
            "{",
            "[]",
            "{\"a\": {{identity.entity.name}",
            "{\"a\": {{identity.entity.colour}}}",
            "{\"sub\": \"root\"}",
            "{\"iss\": \"x\"}",
            "{\"a\": {{time.now.plus.x}}}",
        ] {
            assert_eq!(checked(text, Timestamp::UNIX_EPOCH).unwrap_err().status(), 400, "{text}");
        }
        let text =
            r#"{"g": {{identity.entity.groups.names}}, "t": {{time.now.plus.1h}}, "m": {{identity.entity.metadata}}}"#;
        assert_eq!(checked(text, Timestamp::UNIX_EPOCH).unwrap(), text);
        assert_eq!(checked(&STANDARD.encode(text), Timestamp::UNIX_EPOCH).unwrap(), text);
        let claims = fill(text, &Standing::default(), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(Json::Object(claims).text(), r#"{"g":[],"m":{},"t":3600}"#);
    }
}
