//! Facts about what an answer carries: certificates, requests, lists, tokens, keys.
//!
//! A thing that is not what it should be gives `{"error": …}`, which no recorded expectation accepts by chance.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jiff::civil::DateTime;
use regex_lite::Regex;
use serde_json::{Map, Value, json};

use crate::tool::{Scratch, openssl, run};
use crate::values::capture;

/// The facts of this kind about a value.
pub fn extract(kind: &str, value: &Value, raw: &[u8]) -> Result<Value, String> {
    match kind {
        "x509" => x509(&pem(value)),
        "csr" => csr(&pem(value)),
        "crl" => crl(raw),
        "ocsp" => ocsp(raw),
        "sshcert" => ssh_certificate(&pem(value)),
        "jwt" => Ok(jwt(&pem(value)).unwrap_or_else(|| json!({"error": "not a JWT"}))),
        "key" => private_key(&pem(value)),
        "pubkey" => public_key(&pem(value)),
        "chain" => chain(&joined(value)),
        "pemlabels" => Ok(json!({"labels": labels(&joined(value))})),
        "b64len" => Ok(match value.as_str().and_then(decode) {
            Some(bytes) => json!({"bytes": bytes.len()}),
            None => json!({"error": "not base64"}),
        }),
        "vaultlen" => Ok(vault_length(value.as_str().unwrap_or_default())),
        "len" => Ok(json!({"length": length(value)})),
        _ => Err(format!("facts of kind '{kind}' are not supported by this runner")),
    }
}

/// The bytes of a base64 text; none when there is anything else in it.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(&STANDARD, config).decode(text).ok()
}

/// A text, or the first of a list of texts.
pub fn pem(value: &Value) -> String {
    let first = value.as_array().map_or(Some(value), |list| list.first());
    first.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A text, or a list of texts one after the other.
pub fn joined(value: &Value) -> String {
    match value {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}

const NAMES: [&str; 2] = ["-nameopt", "RFC2253,-esc_msb"];

fn x509(certificate: &str) -> Result<Value, String> {
    let arguments =
        ["x509", "-noout", "-text", NAMES[0], NAMES[1], "-subject", "-issuer", "-startdate", "-enddate", "-serial"];
    let output = openssl(&arguments, certificate.as_bytes())?;
    if !output.ok {
        return Ok(json!({"error": "not a certificate"}));
    }
    let text = output.text();
    let mut facts = extensions(&text);
    facts.insert("subject".to_owned(), json!(needed(r"(?m)^subject=(.*)$", &text)?));
    facts.insert("issuer".to_owned(), json!(needed(r"(?m)^issuer=(.*)$", &text)?));
    facts.insert("serial".to_owned(), json!(colon_hex(&needed(r"(?m)^serial=(.*)$", &text)?)));
    let seconds = between(&needed(r"(?m)^notBefore=(.*)$", &text)?, &needed(r"(?m)^notAfter=(.*)$", &text)?)?;
    facts.insert("validity_seconds".to_owned(), json!(seconds));
    facts.insert("signature_algorithm".to_owned(), json!(needed(r"Signature Algorithm: (\S+)", &text)?));
    let algorithm = capture(r"Public Key Algorithm: (\S+)", &text).unwrap_or_default();
    facts.insert("key_algorithm".to_owned(), json!(algorithm));
    facts.insert("key_bits".to_owned(), json!(bits(r"Public-Key: \((\d+) bit", &text)));
    Ok(Value::Object(facts))
}

fn csr(request: &str) -> Result<Value, String> {
    let output = openssl(&["req", "-noout", "-text", NAMES[0], NAMES[1], "-subject"], request.as_bytes())?;
    if !output.ok {
        return Ok(json!({"error": "not a certificate request"}));
    }
    let text = output.text();
    let mut facts = extensions(&text);
    facts.remove("has_ski");
    facts.remove("has_aki");
    facts.insert("subject".to_owned(), json!(needed(r"(?m)^subject=(.*)$", &text)?));
    facts.insert("signature_algorithm".to_owned(), json!(needed(r"Signature Algorithm: (\S+)", &text)?));
    facts.insert("key_bits".to_owned(), json!(bits(r"Public-Key: \((\d+) bit", &text)));
    Ok(Value::Object(facts))
}

fn crl(list: &[u8]) -> Result<Value, String> {
    let is_pem = list.windows(10).any(|part| part == b"-----BEGIN");
    let form = if is_pem { "PEM" } else { "DER" };
    let output = openssl(&["crl", "-noout", "-text", NAMES[0], NAMES[1], "-inform", form], list)?;
    if !output.ok {
        return Ok(json!({"error": "not a CRL"}));
    }
    let text = output.text();
    let serials = Regex::new(r"Serial Number: ([0-9A-Fa-f]+)").map_err(|e| e.to_string())?;
    let mut revoked: Vec<String> = serials.captures_iter(&text).map(|found| colon_hex(&found[1])).collect();
    revoked.sort();
    let mut facts = json!({
        "issuer": needed(r"(?m)Issuer: (.*)$", &text)?,
        "signature_algorithm": needed(r"Signature Algorithm: (\S+)", &text)?,
        "revoked": revoked,
        "has_crl_number": text.contains("X509v3 CRL Number"),
        "delta": text.contains("Delta CRL Indicator"),
    });
    let next = needed(r"(?m)Next Update: (.*)$", &text)?;
    if !next.contains("NONE") {
        facts["validity_seconds"] = json!(between(&needed(r"(?m)Last Update: (.*)$", &text)?, &next)?);
    }
    Ok(facts)
}

fn ocsp(response: &[u8]) -> Result<Value, String> {
    let scratch = Scratch::new()?;
    let file = scratch.file("response.der", response)?;
    let text = openssl(&["ocsp", "-respin", &file, "-resp_text", "-noverify"], b"")?.text();
    let status = capture(r"OCSP Response Status: (\w+)", &text).unwrap_or_else(|| "unparseable".to_owned());
    let mut facts = json!({"response_status": status, "has_revocation_time": text.contains("Revocation Time")});
    if let Some(status) = capture(r"Cert Status: (\w+)", &text) {
        facts["cert_status"] = json!(status);
    }
    if let Some(serial) = capture(r"Serial Number: ([0-9A-Fa-f]+)", &text) {
        facts["serial"] = json!(colon_hex(&serial));
    }
    Ok(facts)
}

fn ssh_certificate(certificate: &str) -> Result<Value, String> {
    let scratch = Scratch::new()?;
    let file = scratch.file("cert.pub", format!("{}\n", certificate.trim()).as_bytes())?;
    let output = run("ssh-keygen", &["-L", "-f", &file], b"")?;
    if !output.ok {
        return Ok(json!({"error": "not an SSH certificate"}));
    }
    let text = output.text();
    let mut facts = json!({
        "type": needed(r"(?m)Type: (.*)$", &text)?,
        "key_id": needed(r#"Key ID: "(.*)""#, &text)?,
        "principals": ssh_block("Principals", &text),
        "critical_options": ssh_block("Critical Options", &text),
        "extensions": ssh_block("Extensions", &text),
    });
    match (capture(r"Valid: from (\S+) to", &text), capture(r"Valid: from \S+ to (\S+)", &text)) {
        (Some(from), Some(to)) => {
            let moment = |text: &str| text.parse::<DateTime>().map_err(|e| e.to_string());
            facts["validity_seconds"] = json!(moment(&from)?.duration_until(moment(&to)?).as_secs());
        }
        _ => facts["valid"] = json!(needed(r"(?m)Valid: (.*)$", &text)?),
    }
    if let Some(kind) = capture(r"Signing CA: (\S+) .*\(using \S+\)", &text) {
        facts["ca_type"] = json!(kind);
        facts["sig_type"] = json!(needed(r"Signing CA: \S+ .*\(using (\S+)\)", &text)?);
    }
    Ok(facts)
}

/// The indented lines below a heading of `ssh-keygen -L`.
fn ssh_block(heading: &str, text: &str) -> Vec<String> {
    let heading = format!("{heading}:");
    let below = text.lines().skip_while(|line| !line.trim_start().starts_with(&heading)).skip(1);
    let is_item = |line: &&str| line.len() - line.trim_start().len() >= 16 && !line.trim().is_empty();
    let mut items: Vec<String> = below.take_while(is_item).map(|line| line.trim().to_owned()).collect();
    items.sort();
    items
}

fn jwt(token: &str) -> Option<Value> {
    let parts: Vec<&str> = token.split('.').collect();
    let [head, claims, _signature] = parts.as_slice() else { return None };
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let engine = GeneralPurpose::new(&URL_SAFE, config);
    let parse = |part: &str| serde_json::from_slice::<Value>(&engine.decode(part).ok()?).ok();
    let (head, claims) = (parse(head)?, parse(claims)?);
    let number = |name: &str| claims.get(name).and_then(Value::as_i64);
    let lifetime = number("exp").zip(number("iat")).map(|(exp, iat)| exp - iat);
    let has_kid = head.get("kid").is_some();
    Some(json!({"alg": head.get("alg"), "has_kid": has_kid, "claims": claims, "lifetime_seconds": lifetime}))
}

fn private_key(key: &str) -> Result<Value, String> {
    let output = openssl(&["pkey", "-noout", "-text"], key.as_bytes())?;
    if !output.ok {
        return Ok(json!({"error": "not a private key"}));
    }
    let text = output.text();
    let first = text.lines().next().unwrap_or_default();
    let kind = if first.contains("RSA") || text.contains("publicExponent") {
        "RSA"
    } else if first.contains("ED25519") {
        "ED25519"
    } else {
        "EC"
    };
    let label = needed(r"-----BEGIN ([A-Z0-9 ]+)-----", key)?;
    Ok(json!({"kind": kind, "bits": bits(r"\((\d+) bit", &text), "label": label}))
}

fn public_key(key: &str) -> Result<Value, String> {
    let output = openssl(&["pkey", "-pubin", "-noout", "-text"], key.as_bytes())?;
    if !output.ok {
        return Ok(json!({"error": "not a public key"}));
    }
    let text = output.text();
    let first = text.lines().next().and_then(|line| line.split(" (").next()).unwrap_or_default();
    Ok(json!({"first_line": first, "bits": bits(r"\((\d+) bit", &text)}))
}

fn chain(bundle: &str) -> Result<Value, String> {
    let pattern = r"(?s)-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----";
    let regex = Regex::new(pattern).map_err(|e| e.to_string())?;
    let mut subjects = Vec::new();
    for found in regex.find_iter(bundle) {
        subjects.push(x509(found.as_str())?.get("subject").cloned().unwrap_or_default());
    }
    Ok(json!({"count": subjects.len(), "subjects": subjects}))
}

fn labels(text: &str) -> Vec<String> {
    let regex = Regex::new(r"-----BEGIN ([A-Z0-9 ]+)-----");
    regex.map_or_else(|_| Vec::new(), |r| r.captures_iter(text).map(|found| found[1].to_owned()).collect())
}

/// The payload of a `vault:vN:BASE64` text.
fn vault_length(text: &str) -> Value {
    let Some(prefix) = capture(r"^(vault:v\d+:).+$", text) else {
        return json!({"error": "no vault prefix"});
    };
    match decode(&text[prefix.len()..]) {
        Some(bytes) => json!({"prefix": prefix, "bytes": bytes.len()}),
        None => json!({"prefix": prefix, "error": "not base64"}),
    }
}

fn length(value: &Value) -> i64 {
    let length = match value {
        Value::String(text) => text.chars().count(),
        Value::Array(list) => list.len(),
        Value::Object(map) => map.len(),
        _ => return -1,
    };
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// What the `X509v3` blocks of an `openssl … -text` say.
fn extensions(text: &str) -> Map<String, Value> {
    let mut facts = Map::new();
    let mut has = |name: &str, value: Value| facts.insert(name.to_owned(), value);
    let block = |name: &str| extension(name, text);
    let sorted = |lines: &[String]| {
        let mut items: Vec<String> =
            lines.join(", ").split(", ").map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect();
        items.sort();
        json!(items)
    };
    if let Some((_, lines)) = block("Subject Alternative Name") {
        has("sans", sorted(&lines));
    }
    if let Some((critical, lines)) = block("Key Usage") {
        has("key_usage", sorted(&lines));
        has("key_usage_critical", json!(critical));
    }
    if let Some((_, lines)) = block("Extended Key Usage") {
        has("ext_key_usage", sorted(&lines));
    }
    if let Some((_, lines)) = block("Basic Constraints") {
        has("basic_constraints", json!(lines.join(", ")));
    }
    if let Some((_, mut lines)) = block("Name Constraints") {
        lines.sort();
        has("name_constraints", json!(lines));
    }
    if let Some((_, mut lines)) = block("Certificate Policies") {
        lines.retain(|line| line.starts_with("Policy:"));
        lines.sort();
        has("policies", json!(lines));
    }
    if let Some((_, mut lines)) = block("CRL Distribution Points") {
        lines.retain(|line| line.starts_with("URI:"));
        has("crl_urls", json!(lines));
    }
    if let Some((_, mut lines)) = block("Authority Information Access") {
        lines.retain(|line| line.contains("URI:"));
        has("aia", json!(lines));
    }
    has("has_ski", json!(block("Subject Key Identifier").is_some()));
    has("has_aki", json!(block("Authority Key Identifier").is_some()));
    facts
}

/// Whether an extension is critical, and the lines below its heading; the last one of that name.
fn extension(name: &str, text: &str) -> Option<(bool, Vec<String>)> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = text.lines().collect();
    let (at, critical) = lines.iter().enumerate().rev().find_map(|(index, line)| {
        let title = line.trim_start();
        let title = title.strip_prefix("X509v3 ").unwrap_or(title).trim_end();
        let rest = title.strip_prefix(name)?.strip_prefix(':')?.trim();
        (indent(line) > 0 && (rest.is_empty() || rest == "critical")).then_some((index, rest == "critical"))
    })?;
    let below = lines[at + 1..].iter().take_while(|line| indent(line) > indent(lines[at]));
    let content = below.map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
    Some((critical, content))
}

fn needed(pattern: &str, text: &str) -> Result<String, String> {
    let found = capture(pattern, text).ok_or_else(|| format!("the tool's output lacks /{pattern}/"))?;
    Ok(found.trim().to_owned())
}

fn bits(pattern: &str, text: &str) -> u64 {
    capture(pattern, text).and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

/// Seconds between two times as `openssl` prints them.
fn between(from: &str, to: &str) -> Result<i64, String> {
    let moment = |text: &str| {
        let words: Vec<&str> = text.split_whitespace().filter(|word| *word != "GMT").collect();
        DateTime::strptime("%b %d %H:%M:%S %Y", words.join(" ")).map_err(|e| format!("time '{text}': {e}"))
    };
    Ok(moment(from)?.duration_until(moment(to)?).as_secs())
}

/// A serial number as bytes in hexadecimal, with colons.
fn colon_hex(text: &str) -> String {
    let mut digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    digits.make_ascii_lowercase();
    if digits.len() % 2 == 1 {
        digits.insert(0, '0');
    }
    let pairs: Vec<&str> = (0..digits.len()).step_by(2).map(|i| &digits[i..i + 2]).collect();
    pairs.join(":")
}
