//! A request becomes an [`Inbound`]: the path made canonical, the body parsed, once and for all.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use hyper::http::request::Parts;

use super::listener::Connection;
use super::room::{self, Lent, Room};
use crate::base::json::Map;
use crate::base::{Error, Json, Operation, Path, Result, Rng, Secret, Ttl, form, ids};
use crate::engine::params::parse_bool;
use crate::engine::{ClientCert, RawRequest};
use crate::vault::Inbound;

/// Media types that are no JSON and are handed to the engine as they are.
const RAW_TYPES: [&str; 3] = ["application/ocsp-request", "application/jose+json", "application/pkcs10"];

/// What is known of a request below `/v1/` before its body is read.
pub struct Head {
    /// The verb.
    pub operation: Operation,
    /// The path below `/v1/`.
    pub path: Path,
    /// Where the client is.
    pub remote: SocketAddr,
    token: Option<Secret<String>>,
    wrap_ttl: Option<Ttl>,
    help: bool,
    query: Map,
    media_type: String,
}

/// Decodes all but the body.
///
/// # Errors
/// What the client did wrong.
pub fn head(parts: &Parts, connection: &Connection) -> Result<Head> {
    let headers = &parts.headers;
    if connection.rules.require_request_header && header(headers, "x-vault-request")? != Some("true") {
        return Err(Error::invalid("missing 'X-Vault-Request' header"));
    }
    let remote = connection.client_address(headers).map_err(|_| Error::invalid("the proxy's headers are refused"))?;
    let mut query = form::parse(parts.uri.query().unwrap_or_default())?;
    let operation = operation(&parts.method, &mut query)?;
    let help = operation == Operation::Read
        && query.get("help").and_then(Json::as_str).is_some_and(|text| parse_bool(text) == Some(true));
    let raw_path = parts.uri.path().strip_prefix("/v1/").unwrap_or_default();
    let mut path = match with_ocsp_request(raw_path).filter(|_| operation == Operation::Read) {
        Some(text) => Path::parse(&text)?,
        None => Path::decode(raw_path)?,
    };
    path = match operation {
        Operation::List => path.into_folder(),
        // One path for one thing: what is not a list has no slash at its end.
        _ => path.without_slash(),
    };
    let namespace = header(headers, "x-vault-namespace")?.unwrap_or_default().trim_matches('/');
    if !matches!(namespace, "" | "root") {
        return Err(Error::invalid("namespaces are not supported"));
    }
    let token = token(headers)?;
    let wrap_ttl = wrap_ttl(headers)?;
    let media_type = header(headers, CONTENT_TYPE.as_str())?.unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if operation == Operation::Patch && media_type != "application/merge-patch+json" {
        return Err(Error::MediaType("PATCH requires Content-Type of application/merge-patch+json".into()));
    }
    Ok(Head { operation, path, remote, token, wrap_ttl, help, query, media_type })
}

/// The path of an OCSP request by GET (RFC 6960, A.1), if its base64 is one that no path can hold: with two slashes in a
/// row, or with one at its end. Those become what base64 has for a slash elsewhere (RFC 4648, 5), so that policy and
/// router see a path as any other. What is no DER to its last byte is left alone.
fn with_ocsp_request(raw: &str) -> Option<String> {
    if !raw.contains("ocsp/") {
        return None;
    }
    let text = percent_encoding::percent_decode_str(raw).decode_utf8().ok()?;
    let mut places = text.match_indices("ocsp/").map(|(at, word)| at + word.len());
    let at = places.find(|at| is_der(&text[*at..]))?;
    let (mount, request) = text.split_at(at);
    if !request.contains("//") && !request.ends_with('/') {
        return None;
    }
    let mut request = request.replace("//", "/_");
    if request.ends_with('/') {
        request.pop();
        request.push('_');
    }
    Some(format!("{mount}{request}"))
}

/// Whether this is the base64 of a SEQUENCE that fills it.
fn is_der(text: &str) -> bool {
    let der = STANDARD.decode(text).unwrap_or_default();
    let length = match der[..] {
        [0x30, short, ..] if short < 0x80 => 2 + usize::from(short),
        [0x30, 0x81, length, ..] => 3 + usize::from(length),
        [0x30, 0x82, high, low, ..] => 4 + usize::from(u16::from_be_bytes([high, low])),
        _ => return false,
    };
    length == der.len()
}

/// A request whose body nobody will read, for the record.
pub fn bodiless(head: Head, rng: &dyn Rng) -> Inbound {
    Inbound {
        id: ids::uuid(rng).into(),
        operation: head.operation,
        path: head.path,
        token: head.token,
        body: Arc::default(),
        wrap_ttl: head.wrap_ttl,
        help: head.help,
        remote: Some(head.remote),
        client_cert: None,
        head: false,
        raw: Arc::new(RawRequest::default),
        headers: Vec::new(),
        memo: Arc::default(),
    }
}

/// Decodes the body of a request whose head is known.
///
/// # Errors
/// What the client did wrong.
pub fn whole(head: Head, parts: Parts, bytes: Vec<u8>, connection: &Connection, rng: &dyn Rng) -> Result<Inbound> {
    let raw_body = RAW_TYPES.contains(&head.media_type.as_str());
    let body = match head.operation {
        Operation::Update | Operation::Patch if !raw_body => parse(&bytes, &head.media_type)?,
        // As in Vault, a body with DELETE says nothing.
        _ => head.query,
    };
    let without_body = parts.method == Method::HEAD;
    let (method, given) = (parts.method.as_str().to_owned(), parts.headers);
    let kept = if raw_body { bytes } else { Vec::new() };
    let raw = move || RawRequest { method: method.clone(), headers: shown(&given), body: kept.clone() };
    let client_cert = connection
        .client_cert
        .as_ref()
        .map(|chain| ClientCert { chain: chain.iter().map(|c| c.as_ref().to_vec()).collect() });
    Ok(Inbound {
        id: ids::uuid(rng).into(),
        operation: head.operation,
        path: head.path,
        token: head.token,
        body: Arc::new(body),
        wrap_ttl: head.wrap_ttl,
        help: head.help,
        remote: Some(head.remote),
        client_cert,
        head: without_body,
        raw: Arc::new(raw),
        headers: Vec::new(),
        memo: Arc::default(),
    })
}

fn operation(method: &Method, query: &mut Map) -> Result<Operation> {
    let operation = match method.as_str() {
        "GET" => match query.remove("list") {
            None => Operation::Read,
            Some(Json::String(text)) if text.is_empty() => return Err(Error::Invalid(String::new())),
            Some(value) => match value.as_str().and_then(parse_bool) {
                Some(true) => Operation::List,
                Some(false) => Operation::Read,
                // Vault answers such a value without a text.
                None => return Err(Error::Invalid(String::new())),
            },
        },
        "LIST" => {
            query.remove("list");
            Operation::List
        }
        "HEAD" => Operation::Read,
        "POST" | "PUT" => Operation::Update,
        "PATCH" => Operation::Patch,
        "DELETE" => Operation::Delete,
        "OPTIONS" => return Err(Error::invalid("cross-origin requests are not enabled")),
        _ => return Err(Error::Method),
    };
    Ok(operation)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = value.to_str().map_err(|_| Error::invalid(format!("the header '{name}' is not printable")))?;
    Ok(Some(text.trim()))
}

fn token(headers: &HeaderMap) -> Result<Option<Secret<String>>> {
    if let Some(value) = headers.get("x-vault-token") {
        // What is no text is no token: the same answer as for any other bad one.
        let text = value.to_str().unwrap_or("\u{7f}").trim();
        return Ok((!text.is_empty()).then(|| Secret::from(text)));
    }
    let Some(text) = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()) else { return Ok(None) };
    let token = text.strip_prefix("Bearer ").map(str::trim).filter(|t| !t.is_empty());
    Ok(token.map(Secret::from))
}

fn wrap_ttl(headers: &HeaderMap) -> Result<Option<Ttl>> {
    let Some(text) = header(headers, "x-vault-wrap-ttl")?.filter(|t| !t.is_empty()) else { return Ok(None) };
    let ttl = Ttl::parse(text).map_err(|_| Error::invalid("the header 'X-Vault-Wrap-TTL' is no duration"))?;
    if header(headers, "x-vault-wrap-format")?.is_some_and(|f| f.eq_ignore_ascii_case("jwt")) {
        return Err(Error::invalid("wrapping as a JWT is not supported"));
    }
    Ok(Some(ttl))
}

/// Reads the body within its limits of size and time, and within the room that there is for all of them.
///
/// # Errors
/// What the client did wrong.
pub async fn body(
    headers: &HeaderMap,
    incoming: Incoming,
    connection: &Connection,
    room: &Room,
    lent: &mut Lent,
) -> Result<Vec<u8>> {
    // Most reads bring none: they need no timer.
    if hyper::body::Body::is_end_stream(&incoming) {
        return Ok(Vec::new());
    }
    let announced = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let whole = async {
        let bytes = collect(incoming, announced.unwrap_or(0), connection.rules.max_request_size, room, lent).await?;
        room.lend(lent, room::cost(&bytes)).await?;
        Ok(bytes)
    };
    match tokio::time::timeout(connection.rules.read_timeout, whole).await {
        Ok(body) => body,
        Err(_) => Err(Error::invalid("the body took too long")),
    }
}

/// What is too long is read on for a while and dropped: a client that is still writing would not see the answer.
async fn collect(
    mut incoming: Incoming,
    announced: usize,
    limit: usize,
    room: &Room,
    lent: &mut Lent,
) -> Result<Vec<u8>> {
    if announced <= limit {
        // All at once: of many that had each a part, none would come to its end.
        room.lend(lent, announced).await?;
    }
    let mut bytes = Vec::with_capacity(announced.min(limit).min(FIRST_PIECE));
    let mut length = 0usize;
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|_| Error::invalid("the body could not be read"))?;
        let Some(data) = frame.data_ref() else { continue };
        length = length.saturating_add(data.len());
        if length > limit.max(announced).saturating_add(limit) || announced > DRAINED {
            return Err(Error::TooLarge);
        }
        if length <= limit && announced <= limit {
            room.lend(lent, length).await?;
            bytes.extend_from_slice(data);
        } else {
            bytes = Vec::new();
        }
    }
    if length > limit || announced > limit { Err(Error::TooLarge) } else { Ok(bytes) }
}

/// Room for a body before its first byte is there: what it announces is only a promise.
const FIRST_PIECE: usize = 64 << 10;
/// A body of more than this is not read to its end to be polite.
const DRAINED: usize = 128 << 20;

/// Reads a body: JSON whatever the media type says, unless it says form and does not look like JSON.
fn parse(bytes: &[u8], media_type: &str) -> Result<Map> {
    let first = bytes.iter().find(|b| !b.is_ascii_whitespace());
    let Some(first) = first else { return Ok(Map::new()) };
    if media_type == "application/x-www-form-urlencoded" && !matches!(first, b'{' | b'[') {
        let text = std::str::from_utf8(bytes).map_err(|_| Error::invalid("the form is not UTF-8"))?;
        return form::parse(text.trim());
    }
    match Json::parse(bytes)? {
        Json::Object(map) => Ok(map),
        _ => Err(Error::invalid("failed to decode JSON input: expected an object")),
    }
}

/// Headers that may be shown at all: none that carries a token, none that a proxy would add for a client certificate.
fn shown(headers: &HeaderMap) -> Vec<(String, String)> {
    let visible = headers.iter().filter(|(name, _)| !crate::base::header::is_hidden(name.as_str()));
    visible.filter_map(|(n, v)| Some((n.as_str().to_owned(), v.to_str().ok()?.to_owned()))).take(64).collect()
}
