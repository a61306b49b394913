//! An entry as one line of JSON, in Vault's shape.
//!
//! It is written straight into a buffer: no tree in between, twice for each request of the server. What shows is an
//! allow-list by type: names, ids, paths, numbers and booleans as they are, every other string as its HMAC-SHA256
//! under the device's salt. `log_raw` turns all of that off, as in Vault. A line never holds a line break.

use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;

use super::config::{DeviceConfig, Plan};
use super::entry::{AuthFacts, Entry, RequestFacts, ResponseFacts, WrapFacts};
use crate::base::json::{self, Map};
use crate::base::{Json, Secret, Timestamp, header as headers};
use crate::crypto::HmacKey;

/// What stands before the hexadecimal digits of a hash.
const HASH_PREFIX: &str = "hmac-sha256:";
/// A usual line has half of it.
const LINE_BYTES: usize = 2048;

/// Whether an entry is of a request or of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Request,
    Response,
}

impl Stage {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
        }
    }
}

/// One device's way to write entries.
#[derive(Debug)]
pub(super) struct Format {
    key: HmacKey,
    /// No two formats share it.
    identity: Arc<()>,
    /// The hash of nothing, which is in most answers.
    empty: Hash,
    prefix: String,
    raw: bool,
    hmac_accessor: bool,
    elide_lists: bool,
}

impl Format {
    pub(super) fn new(config: &DeviceConfig, plan: &Plan) -> Self {
        let key = HmacKey::new(config.salt.reveal());
        Self {
            empty: quoted(&key, ""),
            key,
            identity: Arc::new(()),
            prefix: plan.prefix.clone(),
            raw: plan.log_raw,
            hmac_accessor: plan.hmac_accessor,
            elide_lists: plan.elide_list_responses,
        }
    }

    /// The entry, with the prefix before it and a line break after.
    pub(super) fn line(&self, stage: Stage, entry: &Entry<'_>) -> Vec<u8> {
        let mut to = Vec::with_capacity(LINE_BYTES);
        to.extend_from_slice(self.prefix.as_bytes());
        let mut line = Line { to, format: self, token: None, accessor: None };
        line.entry(stage, entry);
        line.to.push(b'\n');
        line.to
    }
}

/// The hash of a value, as it stands in the log.
pub(super) fn hash(key: &HmacKey, value: &[u8]) -> String {
    format!("{HASH_PREFIX}{}", hex::encode(key.sign(&[value])))
}

/// How a value of some data is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    /// As it is.
    Plain,
    /// Its strings hashed.
    Hashed,
    /// Its numbers and booleans too.
    Hidden,
}

/// A line that is being written.
struct Line<'a> {
    to: Vec<u8>,
    format: &'a Format,
    /// The last token that was hashed: the same one stands in `auth` and `request`.
    token: Hashed<'a>,
    /// The last accessor.
    accessor: Hashed<'a>,
}

/// The length of a hash with its quotes.
const HASH_BYTES: usize = HASH_PREFIX.len() + 64 + 2;

/// A hash with its quotes, as it stands in a line.
pub(super) type Hash = [u8; HASH_BYTES];

/// A value that was hashed.
type Hashed<'a> = Option<(&'a str, Hash)>;

/// The hash of a value, with its quotes.
fn quoted(key: &HmacKey, value: &str) -> Hash {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'"'; HASH_BYTES];
    let (head, digits) = text[1..HASH_BYTES - 1].split_at_mut(HASH_PREFIX.len());
    head.copy_from_slice(HASH_PREFIX.as_bytes());
    for (pair, byte) in digits.chunks_exact_mut(2).zip(key.sign(&[value.as_bytes()])) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}

impl<'a> Line<'a> {
    fn entry(&mut self, stage: Stage, entry: &Entry<'a>) {
        self.to.push(b'{');
        self.moment("time", entry.time);
        self.text("type", stage.word());
        match (stage, entry.memo) {
            (Stage::Response, Some(memo)) if memo.copy(&self.format.identity, &mut self.to) => {}
            (_, memo) => {
                let from = self.to.len();
                self.question(entry);
                if let (Stage::Request, Some(memo)) = (stage, memo) {
                    memo.keep(&self.format.identity, &self.to[from..]);
                }
            }
        }
        if let (Stage::Response, Some(response)) = (stage, &entry.response) {
            self.open("response");
            self.response(response, entry);
            self.to.push(b'}');
        }
        self.text("error", entry.error);
        self.to.push(b'}');
    }

    /// Who asks for what: the same in both entries.
    fn question(&mut self, entry: &Entry<'a>) {
        self.recall(entry);
        if let Some(auth) = &entry.auth {
            self.open("auth");
            self.auth(auth, true);
            self.to.push(b'}');
        }
        self.open("request");
        self.request(&entry.request, entry);
        self.to.push(b'}');
    }

    /// Takes the hashes that the session knows already.
    fn recall(&mut self, entry: &Entry<'a>) {
        let (Some(hashes), Some(token), false) = (entry.hashes, entry.request.client_token, self.format.raw) else {
            return;
        };
        let (token, accessor) = (token.reveal().as_str(), entry.request.client_token_accessor);
        let key = &self.format.key;
        let known = hashes.of(&self.format.identity, || (quoted(key, token), quoted(key, accessor)));
        self.token = Some((token, known.0));
        self.accessor = Some((accessor, known.1));
    }

    fn auth(&mut self, auth: &AuthFacts<'a>, with_results: bool) {
        self.token("client_token", auth.client_token);
        self.accessor("accessor", auth.accessor);
        self.text("display_name", auth.display_name);
        self.texts("policies", auth.policies);
        self.texts("token_policies", auth.token_policies);
        self.texts("identity_policies", auth.identity_policies);
        self.flag("no_default_policy", auth.no_default_policy);
        if with_results {
            self.open("policy_results");
            self.key("allowed");
            self.to.extend_from_slice(if auth.allowed { b"true" } else { b"false" });
            if !auth.granting_policies.is_empty() {
                self.key("granting_policies");
                self.to.push(b'[');
                for name in auth.granting_policies {
                    self.comma(b'[');
                    self.to.push(b'{');
                    self.text("name", name);
                    self.text("namespace_id", "root");
                    self.text("type", "acl");
                    self.to.push(b'}');
                }
                self.to.push(b']');
            }
            self.to.push(b'}');
        }
        if let Some(metadata) = auth.metadata.filter(|map| !map.is_empty()) {
            self.open("metadata");
            for (name, value) in metadata {
                self.comma(b'{');
                write_string(name, &mut self.to);
                self.to.push(b':');
                write_string(value, &mut self.to);
            }
            self.to.push(b'}');
        }
        self.number("num_uses", auth.num_uses);
        self.number("remaining_uses", auth.remaining_uses);
        self.text("entity_id", auth.entity_id);
        self.flag("entity_created", auth.entity_created);
        self.text("token_type", auth.token_type);
        self.number("token_ttl", auth.token_ttl.seconds());
        if let Some(moment) = auth.token_issue_time {
            self.moment("token_issue_time", moment);
        }
    }

    fn request(&mut self, request: &RequestFacts<'a>, entry: &Entry<'a>) {
        self.text("id", request.id);
        self.text("operation", request.operation);
        self.mount(request);
        self.token("client_token", request.client_token);
        self.accessor("client_token_accessor", request.client_token_accessor);
        self.open("namespace");
        self.text("id", "root");
        self.to.push(b'}');
        self.text("path", request.path);
        if !request.data.is_empty() {
            self.data(request.data, entry.non_hmac_request_keys, request.secret_fields, false);
        }
        if let Some(address) = request.remote_address {
            self.key("remote_address");
            self.address(address);
        }
        self.number("remote_port", u64::from(request.remote_port));
        if let Some(ttl) = request.wrap_ttl {
            self.number("wrap_ttl", ttl.seconds());
        }
        if !request.headers.is_empty() {
            self.open("headers");
            for header in request.headers {
                let plain = self.format.raw || !(header.hmac || headers::is_credential(&header.name));
                self.comma(b'{');
                write_string(&header.name, &mut self.to);
                self.to.extend_from_slice(b":[");
                for value in &header.values {
                    self.comma(b'[');
                    if plain {
                        write_string(value, &mut self.to);
                    } else {
                        self.hash(value);
                    }
                }
                self.to.push(b']');
            }
            self.to.push(b'}');
        }
    }

    fn response(&mut self, response: &ResponseFacts<'a>, entry: &Entry<'a>) {
        if let Some(auth) = &response.auth {
            self.open("auth");
            self.auth(auth, false);
            self.to.push(b'}');
        }
        self.mount(&entry.request);
        if !response.lease_id.is_empty() {
            self.open("secret");
            self.text("lease_id", response.lease_id);
            self.to.push(b'}');
        }
        if let Some(data) = response.data.filter(|data| !data.is_empty()) {
            let elide = self.format.elide_lists && entry.request.operation == "list";
            self.data(data, entry.non_hmac_response_keys, &[], elide);
        }
        if let Some(wrap) = &response.wrap_info {
            self.open("wrap_info");
            self.wrap(wrap);
            self.to.push(b'}');
        }
        self.text("redirect", response.redirect);
        self.texts("warnings", response.warnings);
    }

    fn mount(&mut self, request: &RequestFacts<'_>) {
        self.text("mount_point", request.mount_point);
        self.text("mount_type", request.mount_type);
        self.text("mount_accessor", request.mount_accessor);
        self.text("mount_class", request.mount_class);
    }

    fn wrap(&mut self, wrap: &WrapFacts<'a>) {
        self.token("token", Some(wrap.token));
        self.accessor("accessor", wrap.accessor);
        self.number("ttl", wrap.ttl.seconds());
        self.moment("creation_time", wrap.creation_time);
        self.text("creation_path", wrap.creation_path);
        self.accessor("wrapped_accessor", wrap.wrapped_accessor);
    }

    /// The tuning of the mount wins over `secret`: it names the key, and an operator with sudo wrote it.
    fn data(&mut self, data: &Map, plain: &[String], secret: &[&str], elide: bool) {
        self.open("data");
        for (name, value) in data {
            self.comma(b'{');
            write_string(name, &mut self.to);
            self.to.push(b':');
            match value {
                Json::Array(items) if elide && name == "keys" => self.digits(items.len() as u64),
                Json::Object(map) if elide && name == "key_info" => self.digits(map.len() as u64),
                _ if self.format.raw => value.write(&mut self.to),
                _ => {
                    let hidden = secret.contains(&name.as_str());
                    self.value(value, show(name, plain, hidden), plain, hidden);
                }
            }
        }
        self.to.push(b'}');
    }

    /// As deep as the tree, whose reader bounds it. The innermost key decides, as in Vault.
    fn value(&mut self, value: &Json, how: Show, plain: &[String], hidden: bool) {
        match value {
            Json::Null => self.to.extend_from_slice(b"null"),
            Json::Bool(_) | Json::Number(_) if how != Show::Hidden => value.write(&mut self.to),
            Json::Bool(b) => self.hash(if *b { "true" } else { "false" }),
            Json::Number(text) => self.hash(text),
            Json::String(text) if how == Show::Plain => write_string(text, &mut self.to),
            Json::String(text) => self.hash(text),
            Json::Array(items) => {
                self.to.push(b'[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        self.to.push(b',');
                    }
                    self.value(item, how, plain, hidden);
                }
                self.to.push(b']');
            }
            Json::Object(map) => {
                self.to.push(b'{');
                for (name, value) in map {
                    self.comma(b'{');
                    write_string(name, &mut self.to);
                    self.to.push(b':');
                    self.value(value, show(name, plain, hidden), plain, hidden);
                }
                self.to.push(b'}');
            }
        }
    }

    fn token(&mut self, key: &str, token: Option<&'a Secret<String>>) {
        let Some(token) = token.map(|token| token.reveal().as_str()).filter(|token| !token.is_empty()) else { return };
        self.key(key);
        if self.format.raw {
            write_string(token, &mut self.to);
        } else {
            self.token = self.hash_again(token, self.token);
        }
    }

    fn accessor(&mut self, key: &str, accessor: &'a str) {
        if accessor.is_empty() {
            return;
        }
        self.key(key);
        if self.format.raw || !self.format.hmac_accessor {
            write_string(accessor, &mut self.to);
        } else {
            self.accessor = self.hash_again(accessor, self.accessor);
        }
    }

    /// The hash of the last value once more, if it is the same.
    fn hash_again(&mut self, value: &'a str, last: Hashed<'a>) -> Hashed<'a> {
        let hash = match last {
            Some((last, hash)) if last == value => hash,
            _ => quoted(&self.format.key, value),
        };
        self.to.extend_from_slice(&hash);
        Some((value, hash))
    }

    fn hash(&mut self, value: &str) {
        if value.is_empty() {
            self.to.extend_from_slice(&self.format.empty);
        } else {
            self.to.extend_from_slice(&quoted(&self.format.key, value));
        }
    }

    fn key(&mut self, key: &str) {
        self.comma(b'{');
        self.to.push(b'"');
        self.to.extend_from_slice(key.as_bytes());
        self.to.extend_from_slice(b"\":");
    }

    /// A comma, unless the bracket has just been opened. No value ends with an opening bracket.
    fn comma(&mut self, open: u8) {
        if self.to.last() != Some(&open) {
            self.to.push(b',');
        }
    }

    fn open(&mut self, key: &str) {
        self.key(key);
        self.to.push(b'{');
    }

    fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.key(key);
            write_string(text, &mut self.to);
        }
    }

    fn texts(&mut self, key: &str, texts: &[String]) {
        if texts.is_empty() {
            return;
        }
        self.key(key);
        self.to.push(b'[');
        for text in texts {
            self.comma(b'[');
            write_string(text, &mut self.to);
        }
        self.to.push(b']');
    }

    fn flag(&mut self, key: &str, flag: bool) {
        if flag {
            self.key(key);
            self.to.extend_from_slice(b"true");
        }
    }

    fn number(&mut self, key: &str, number: u64) {
        if number > 0 {
            self.key(key);
            self.digits(number);
        }
    }

    fn digits(&mut self, number: u64) {
        self.to.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    /// RFC 3339 with as many digits as there are: no character in it needs an escape.
    fn moment(&mut self, key: &str, moment: Timestamp) {
        self.key(key);
        // Writing into a Vec does not fail.
        let _ = write!(self.to, "\"{moment}\"");
    }

    fn address(&mut self, address: IpAddr) {
        // As above; the digits, dots and colons of an address need no escape.
        let _ = write!(self.to, "\"{}\"", address.to_canonical());
    }
}

/// Most strings need no escape, which is found out for many bytes at once.
fn write_string(text: &str, to: &mut Vec<u8>) {
    if text.bytes().fold(true, |plain, b| plain & (b >= 0x20) & (b != b'"') & (b != b'\\')) {
        to.push(b'"');
        to.extend_from_slice(text.as_bytes());
        to.push(b'"');
    } else {
        json::write_string(text, to);
    }
}

fn show(name: &str, plain: &[String], hidden: bool) -> Show {
    if plain.iter().any(|key| key == name) {
        Show::Plain
    } else if hidden {
        Show::Hidden
    } else {
        Show::Hashed
    }
}

#[cfg(test)]
mod tests;
