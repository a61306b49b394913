//! Every parser of what comes from outside, each as a function of bytes that may do anything but panic or break its promise.
//!
//! `fuzz_targets/any.rs` gives them to libFuzzer; `tests/it/fuzz.rs` gives them the corpus and changed copies of it, in
//! every run of the tests.

use warifu::agent::template;
use warifu::base::{Json, MountPath, Name, Path, Secret, Ttl};
use warifu::crypto::keys::{Jwk, PrivateKey, PublicKey};
use warifu::crypto::label::Labelled;
use warifu::crypto::x509::{Certificate, Crl, OcspRequest, Request};

/// A parser: it may refuse, and must not panic.
pub type Parser = fn(&[u8]);

/// Their names (which are the folders of the corpus) and themselves.
pub const ALL: &[(&str, Parser)] = &[
    ("json", json),
    ("path", path),
    ("hcl", hcl),
    ("policy", policy),
    ("duration", duration),
    ("share", share),
    ("certificate", certificate),
    ("request", request),
    ("crl", crl),
    ("ocsp", ocsp),
    ("key", key),
    ("jwk", jwk),
    ("template", template),
];

fn text(input: &[u8]) -> Option<&str> {
    std::str::from_utf8(input).ok()
}

/// What was read, and is written and read again, is the same.
fn json(input: &[u8]) {
    if let Ok(value) = Json::parse(input) {
        let again = Json::parse(value.text().as_bytes()).expect("what was written is JSON");
        assert!(value == again, "it changed by being written");
    }
}

/// A path has one form: read again it does not change, and it has none of the segments that are refused.
fn path(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Ok(path) = Path::parse(text) {
        let form = path.as_str();
        assert_eq!(Path::parse(form).expect("a path is a path").as_str(), form);
        let inner = form.strip_suffix('/').unwrap_or(form);
        // The empty path is the top of the API.
        assert!(
            inner.is_empty() || !inner.split('/').any(|segment| matches!(segment, "" | "." | "..")),
            "a segment that must not be"
        );
        assert!(!form.chars().any(char::is_control));
    }
    let _ = (MountPath::parse(text), Name::parse(text));
}

fn hcl(input: &[u8]) {
    let _ = warifu::hcl::parse("fuzz.hcl", input);
}

fn policy(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let _ = warifu::policy::Policy::parse("fuzz", text);
}

fn duration(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let _ = (Ttl::parse(text), warifu::hcl::parse_duration(text));
}

fn share(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Ok(labelled) = Labelled::parse(&Secret::from(text)) {
        assert_eq!(labelled.text().reveal(), &text.trim().to_lowercase());
    }
    let _ = warifu::seal::parse_share(&Secret::from(text));
}

fn certificate(input: &[u8]) {
    let _ = Certificate::from_der(input);
    if let Some(text) = text(input) {
        let _ = Certificate::from_pem(text);
    }
}

fn request(input: &[u8]) {
    let _ = Request::from_der(input);
    if let Some(text) = text(input) {
        let _ = Request::from_pem(text);
    }
}

fn crl(input: &[u8]) {
    let _ = Crl::from_der(input);
    if let Some(text) = text(input) {
        let _ = Crl::from_pem(text);
    }
}

/// What is asked about is somebody's number, and there is not too much of it.
fn ocsp(input: &[u8]) {
    if let Ok(request) = OcspRequest::from_der(input) {
        assert!((1..=32).contains(&request.ids.len()), "{} ids", request.ids.len());
        assert!(request.nonce.is_none_or(|nonce| nonce.len() <= 132), "a nonce that is too long");
    }
}

/// A key has one form: read again it has the same thumbprint.
fn jwk(input: &[u8]) {
    let Ok(json) = Json::parse(input) else { return };
    if let Ok(key) = Jwk::from_json(&json) {
        let again = Jwk::from_json(&key.json().expect("a key is JSON")).expect("and a key again");
        assert_eq!(key.thumbprint().expect("of a key"), again.thumbprint().expect("of a key"));
    }
}

fn key(input: &[u8]) {
    let _ = (PrivateKey::from_pem(input), PrivateKey::from_der(input));
    if let Some(text) = text(input) {
        let _ = PublicKey::from_pem(text);
    }
}

fn template(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let _ = template::Template::parse("fuzz", text, &template::Options::default(), &template::Functions::agent());
}
