//! The `LOCAL` steps: what the runner does itself between two requests.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ring::{digest, hmac};
use serde_json::{Value, json};

use crate::facts::{decode, joined, pem};
use crate::tool::{Scratch, openssl, text};

/// Runs the local step of this name; its answer is compared like the body of a request.
pub fn run(name: &str, arguments: &Value) -> Result<Value, String> {
    match name {
        "equal" => equal(arguments),
        "number" => number(arguments),
        "hash" => hash(arguments),
        "now" => now(arguments),
        "otp-xor" => otp_xor(arguments),
        "file" => file(arguments),
        "audit" => audit(arguments),
        "verify" => verify(arguments),
        "verify-sig" => verify_signature(arguments),
        "ocsp-request" => ocsp_request(arguments),
        "transit-wrap" => transit_wrap(arguments),
        "totp" => totp(arguments, Timestamp::now().as_second()),
        "totp-wait" => totp_wait(arguments),
        "pg" => crate::postgres::statement(arguments),
        _ => Err(format!("LOCAL {name} is not supported by this runner")),
    }
}

fn string<'a>(arguments: &'a Value, name: &str) -> Result<&'a str, String> {
    arguments.get(name).and_then(Value::as_str).ok_or_else(|| format!("argument '{name}' is not a text"))
}

fn string_or<'a>(arguments: &'a Value, name: &str, default: &'a str) -> &'a str {
    arguments.get(name).and_then(Value::as_str).unwrap_or(default)
}

fn integer(arguments: &Value, name: &str, default: i64) -> i64 {
    arguments.get(name).and_then(Value::as_i64).unwrap_or(default)
}

fn base64_bytes(arguments: &Value, name: &str) -> Result<Vec<u8>, String> {
    decode(string(arguments, name)?).ok_or_else(|| format!("argument '{name}' is not base64"))
}

fn encode(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Whether all the values are equal, and whether all are different.
fn equal(arguments: &Value) -> Result<Value, String> {
    let values = arguments.get("values").and_then(Value::as_array).ok_or("argument 'values' is not a list")?;
    let mut different: Vec<String> = values.iter().map(Value::to_string).collect();
    different.sort();
    different.dedup();
    Ok(json!({"equal": different.len() == 1, "distinct": different.len() == values.len()}))
}

fn number(arguments: &Value) -> Result<Value, String> {
    let get = |name: &str| {
        let value = arguments.get(name)?;
        value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
    };
    let (low, high) = get("lo").zip(get("hi")).ok_or("arguments 'lo' and 'hi' are not numbers")?;
    Ok(json!({"between": get("value").is_some_and(|value| low <= value && value <= high)}))
}

fn hash(arguments: &Value) -> Result<Value, String> {
    let input = string(arguments, "text")?.as_bytes();
    let name = string_or(arguments, "algorithm", "sha256");
    let bytes = match arguments.get("key").and_then(Value::as_str) {
        Some(key) => {
            let key = hmac::Key::new(hmac_algorithm(name)?, key.as_bytes());
            hmac::sign(&key, input).as_ref().to_vec()
        }
        None => digest::digest(hmac_algorithm(name)?.digest_algorithm(), input).as_ref().to_vec(),
    };
    Ok(json!({"hex": hex::encode(bytes)}))
}

fn hmac_algorithm(name: &str) -> Result<hmac::Algorithm, String> {
    match name.to_ascii_lowercase().as_str() {
        "sha1" => Ok(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        "sha256" => Ok(hmac::HMAC_SHA256),
        "sha384" => Ok(hmac::HMAC_SHA384),
        "sha512" => Ok(hmac::HMAC_SHA512),
        _ => Err(format!("hash '{name}' is not supported by this runner")),
    }
}

fn now(arguments: &Value) -> Result<Value, String> {
    let seconds = Timestamp::now().as_second() + integer(arguments, "offset", 0);
    let moment = Timestamp::from_second(seconds).map_err(|e| e.to_string())?;
    Ok(json!({"rfc3339": moment.to_string(), "unix": seconds}))
}

/// Decodes an encoded root token with its one-time password.
fn otp_xor(arguments: &Value) -> Result<Value, String> {
    let encoded = string(arguments, "encoded")?.trim_end_matches('=');
    let padded = format!("{encoded}{}", "=".repeat((4 - encoded.len() % 4) % 4));
    let bytes = decode(&padded).ok_or("argument 'encoded' is not base64")?;
    let otp = string(arguments, "otp")?.as_bytes();
    let token: Vec<u8> = bytes.iter().zip(otp).map(|(a, b)| a ^ b).collect();
    Ok(json!({"token": String::from_utf8_lossy(&token)}))
}

fn file(arguments: &Value) -> Result<Value, String> {
    use std::os::unix::fs::PermissionsExt;
    Ok(match std::fs::metadata(string(arguments, "file")?) {
        Ok(meta) => {
            let mode = format!("0o{:o}", meta.permissions().mode() & 0o777);
            json!({"exists": true, "nonempty": meta.len() > 0, "mode": mode})
        }
        Err(_) => json!({"exists": false}),
    })
}

/// The audit lines (JSON) about one request path, waited for up to two seconds.
fn audit(arguments: &Value) -> Result<Value, String> {
    let (path, wanted) = (string(arguments, "path")?, integer(arguments, "min", 1));
    let (prefix, kind) = (string_or(arguments, "prefix", ""), string_or(arguments, "type", ""));
    let last = usize::try_from(integer(arguments, "last", 20)).map_err(|e| e.to_string())?;
    let started = Instant::now();
    loop {
        let log = std::fs::read_to_string(string(arguments, "file")?).unwrap_or_default();
        let entries: Vec<Value> = log
            .lines()
            .filter_map(|line| serde_json::from_str(line.strip_prefix(prefix).unwrap_or(line)).ok())
            .filter(|entry: &Value| entry["request"]["path"] == path && (kind.is_empty() || entry["type"] == kind))
            .collect();
        let enough = i64::try_from(entries.len()).is_ok_and(|count| count >= wanted);
        if enough || started.elapsed() > Duration::from_secs(2) {
            let tail = &entries[entries.len().saturating_sub(last)..];
            return Ok(json!({"count": entries.len(), "entries": tail}));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Whether a certificate chains up to an authority, perhaps through others.
fn verify(arguments: &Value) -> Result<Value, String> {
    let scratch = Scratch::new()?;
    let part = |name: &str| arguments.get(name).unwrap_or(&Value::Null);
    let ca = scratch.file("ca.pem", pem(part("ca")).as_bytes())?;
    let cert = scratch.file("cert.pem", pem(part("cert")).as_bytes())?;
    let chain = scratch.file("chain.pem", joined(part("chain")).as_bytes())?;
    let mut command = vec!["verify", "-partial_chain", "-CAfile", &ca];
    if !joined(part("chain")).is_empty() {
        command.extend(["-untrusted", &chain]);
    }
    command.push(&cert);
    Ok(json!({"verified": openssl(&command, b"")?.ok}))
}

/// Whether the last part of a `vault:vN:…` text is a signature by this public key.
fn verify_signature(arguments: &Value) -> Result<Value, String> {
    let scratch = Scratch::new()?;
    let signature = string(arguments, "signature")?.rsplit(':').next().unwrap_or_default();
    let signature = decode(signature).ok_or("argument 'signature' is not base64")?;
    let key = scratch.file("key.pem", string(arguments, "public_key")?.as_bytes())?;
    let signature = scratch.file("signature", &signature)?;
    let input = scratch.file("input", &base64_bytes(arguments, "input")?)?;
    let digest = format!("-{}", string_or(arguments, "hash", "sha256"));
    let mut command = vec!["dgst", &digest, "-verify", &key, "-signature", &signature];
    for option in arguments.get("sigopt").and_then(Value::as_array).into_iter().flatten() {
        command.extend(["-sigopt", option.as_str().unwrap_or_default()]);
    }
    command.push(&input);
    Ok(json!({"verified": openssl(&command, b"")?.ok}))
}

/// An OCSP request, in base64 and as one segment of a path.
fn ocsp_request(arguments: &Value) -> Result<Value, String> {
    let scratch = Scratch::new()?;
    let issuer = scratch.file("issuer.pem", string(arguments, "issuer")?.as_bytes())?;
    let request = scratch.path("request.der");
    let out = text(&request);
    let mut command = vec!["ocsp", "-no_nonce", "-issuer", &issuer, "-reqout", &out];
    let (serial, cert);
    if arguments.get("serial").is_some() {
        serial = format!("0x{}", string(arguments, "serial")?.replace(':', ""));
        command.extend(["-serial", &serial]);
    } else {
        cert = scratch.file("cert.pem", string(arguments, "cert")?.as_bytes())?;
        command.extend(["-cert", &cert]);
    }
    openssl(&command, b"")?;
    let encoded = encode(&std::fs::read(&request).map_err(|e| format!("no OCSP request was made: {e}"))?);
    Ok(json!({"base64": encoded, "url": utf8_percent_encode(&encoded, NON_ALPHANUMERIC).to_string()}))
}

/// Key material wrapped the way the import of transit wants it: an ephemeral key under RSA-OAEP, the material under that key.
fn transit_wrap(arguments: &Value) -> Result<Value, String> {
    let scratch = Scratch::new()?;
    let key = scratch.file("wrapping.pem", string(arguments, "wrapping_key")?.as_bytes())?;
    let ephemeral: Vec<u8> = (0..32).collect();
    let hash = string_or(arguments, "hash", "sha256");
    let (oaep, mgf1) = (format!("rsa_oaep_md:{hash}"), format!("rsa_mgf1_md:{hash}"));
    let wrap = [
        "pkeyutl",
        "-encrypt",
        "-pubin",
        "-inkey",
        &key,
        "-pkeyopt",
        "rsa_padding_mode:oaep",
        "-pkeyopt",
        &oaep,
        "-pkeyopt",
        &mgf1,
    ];
    let wrapped = openssl(&wrap, &ephemeral)?;
    let seal = ["enc", "-id-aes256-wrap-pad", "-K", &hex::encode(&ephemeral), "-iv", "A65959A6", "-e"];
    let sealed = openssl(&seal, &base64_bytes(arguments, "key")?)?;
    if !wrapped.ok || !sealed.ok {
        return Ok(json!({"error": "no wrapping"}));
    }
    Ok(json!({"ciphertext": encode(&[wrapped.bytes, sealed.bytes].concat())}))
}

/// The code of a one-time password (RFC 6238) at a moment, in seconds since 1970.
pub fn totp(arguments: &Value, now: i64) -> Result<Value, String> {
    let secret = base32(string(arguments, "secret")?).ok_or("argument 'secret' is not base32")?;
    let algorithm = hmac_algorithm(string_or(arguments, "algorithm", "SHA1"))?;
    let counter = (now + integer(arguments, "offset", 0)).div_euclid(integer(arguments, "period", 30).max(1));
    let tag = hmac::sign(&hmac::Key::new(algorithm, &secret), &counter.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag[tag.len() - 1] & 15);
    let word: [u8; 4] = tag[offset..offset + 4].try_into().map_err(|_| "the digest is too short")?;
    let digits = usize::try_from(integer(arguments, "digits", 6).clamp(1, 9)).map_err(|e| e.to_string())?;
    let number =
        (u32::from_be_bytes(word) & 0x7fff_ffff) % 10_u32.pow(u32::try_from(digits).map_err(|e| e.to_string())?);
    Ok(json!({"code": format!("{number:0digits$}")}))
}

/// Waits until the running window of one-time passwords has some seconds left.
fn totp_wait(arguments: &Value) -> Result<Value, String> {
    let period = integer(arguments, "period", 30).max(1) * 1000;
    let left = period - Timestamp::now().as_millisecond().rem_euclid(period);
    if left < integer(arguments, "left", 5) * 1000 {
        std::thread::sleep(Duration::from_millis(left.unsigned_abs() + 200));
    }
    Ok(json!({"ok": true}))
}

fn base32(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter.to_ascii_uppercase() {
            upper @ b'A'..=b'Z' => upper - b'A',
            digit @ b'2'..=b'7' => digit - b'2' + 26,
            _ => return None,
        };
        bits = bits << 5 | u32::from(value);
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    Some(bytes)
}
