//! Entries as they stand in the file, and what of them is hashed.

use std::collections::BTreeMap;

use super::super::config::Rules;
use super::super::config::tests::config;
use super::super::headers::Header;
use super::super::memo::{Hashes, Memo};
use super::*;
use crate::base::Ttl;

fn format(options: &[(&str, &str)]) -> Format {
    let mut all = vec![("file_path", "discard")];
    all.extend(options);
    let config = config("file", &all);
    Format::new(&config, &config.plan(&Rules::default()).unwrap())
}

fn map(text: &str) -> Map {
    match Json::parse(text.as_bytes()).unwrap() {
        Json::Object(map) => map,
        _ => unreachable!("the tests give objects"),
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn header(name: &str, values: &[&str], hmac: bool) -> Header {
    Header { name: name.to_owned(), values: texts(values), hmac }
}

/// An entry with every field filled, a canary in each that is secret.
fn with_full_entry<T>(f: impl FnOnce(&Entry<'_>) -> T) -> T {
    let moment = |text: &str| text.parse::<Timestamp>().unwrap();
    let (token, wrapping, issued) = ("canary-token".into(), "canary-wrapping".into(), "canary-issued".into());
    let request = map(r#"{"password":"canary-1","open":"shown","list":["canary-2",3,[{"deep":"canary-3"}]],
        "n":5,"yes":true,"nothing":null,"pin":424242,"empty":"",
        "nested":{"open":["shown too",{"x":"canary-4"}],"closed":{"key \" \n":"canary-5"}}}"#);
    let response =
        map(r#"{"keys":["canary-6","canary-7"],"key_info":{"a":{"b":"canary-8"}},"size":2.50,"open":"shown"}"#);
    let headers = [
        header("x-open", &["shown", "twice"], false),
        header("x-closed", &["canary-9"], true),
        header("authorization", &["canary-10"], false),
    ];
    let policies = texts(&["default", "ops\"\n"]);
    let metadata = BTreeMap::from([("username".to_owned(), "alice".to_owned())]);
    let open = texts(&["open"]);
    let auth = AuthFacts {
        client_token: Some(&token),
        accessor: "canary-accessor",
        display_name: "userpass-alice",
        policies: &policies,
        token_policies: &policies[..1],
        identity_policies: &policies[1..],
        metadata: Some(&metadata),
        entity_id: "entity",
        entity_created: true,
        token_type: "service",
        token_ttl: Ttl::from_seconds(3600),
        token_issue_time: Some(moment("2026-01-02T03:04:05Z")),
        num_uses: 3,
        remaining_uses: 2,
        no_default_policy: true,
        allowed: true,
        granting_policies: &policies[..1],
    };
    f(&Entry {
        time: moment("2026-01-02T03:04:05.006007Z"),
        request: RequestFacts {
            id: "id-1",
            operation: "list",
            mount_point: "secret/",
            mount_type: "kv",
            mount_accessor: "kv_1",
            mount_class: "secret",
            path: "secret/a",
            data: &request,
            client_token: Some(&token),
            client_token_accessor: "canary-accessor",
            remote_address: Some("::ffff:127.0.0.1".parse().unwrap()),
            remote_port: 4711,
            wrap_ttl: Some(Ttl::from_seconds(60)),
            headers: &headers,
            secret_fields: &["pin"],
        },
        auth: Some(auth),
        response: Some(ResponseFacts {
            data: Some(&response),
            auth: Some(AuthFacts { client_token: Some(&issued), accessor: "canary-issued-accessor", ..auth }),
            lease_id: "secret/a/lease",
            wrap_info: Some(WrapFacts {
                token: &wrapping,
                accessor: "canary-wrapping-accessor",
                ttl: Ttl::from_seconds(60),
                creation_time: moment("2026-01-02T03:04:05.5Z"),
                creation_path: "secret/a",
                wrapped_accessor: "canary-wrapped",
            }),
            redirect: "https://example.invalid/",
            warnings: &policies,
        }),
        error: "permission denied",
        non_hmac_request_keys: &open,
        non_hmac_response_keys: &open,
        memo: None,
        hashes: None,
    })
}

fn line(options: &[(&str, &str)], stage: Stage) -> String {
    with_full_entry(|entry| String::from_utf8(format(options).line(stage, entry)).unwrap())
}

/// Set `UPDATE=1` to write the files anew.
fn golden(name: &str, actual: &str) {
    let path = format!("{}/tests/golden/audit/{name}.json", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    assert_eq!(actual, std::fs::read_to_string(&path).unwrap(), "{name}");
}

#[test]
fn no_secret_of_any_field_shows() {
    for stage in [Stage::Request, Stage::Response] {
        for options in [&[][..], &[("elide_list_responses", "true")], &[("prefix", "audit: ")]] {
            let line = line(options, stage);
            assert!(!line.contains("canary"), "{line}");
            assert!(!line.contains("424242"), "{line}");
            assert_eq!(line.find('\n'), Some(line.len() - 1));
        }
        let shown = line(&[("hmac_accessor", "false")], stage).replace("canary-accessor", "");
        let accessors = ["canary-issued-accessor", "canary-wrapping-accessor", "canary-wrapped"];
        let rest = accessors.iter().fold(shown, |text, accessor| text.replace(accessor, ""));
        assert!(!rest.contains("canary"), "{rest}");
    }
}

#[test]
fn lines_are_vaults() {
    golden("request", &line(&[], Stage::Request));
    golden("response", &line(&[], Stage::Response));
    golden("response-elided", &line(&[("elide_list_responses", "1"), ("prefix", "a: ")], Stage::Response));
    golden("response-raw", &line(&[("log_raw", "true")], Stage::Response));
    let bare = format(&[]).line(Stage::Response, &Entry::default());
    golden("bare", &String::from_utf8(bare).unwrap());
}

#[test]
fn every_line_is_json_and_hashes_can_be_found_again() {
    for options in [&[][..], &[("log_raw", "true")], &[("hmac_accessor", "f")]] {
        Json::parse(line(options, Stage::Response).trim_end().as_bytes()).unwrap();
    }
    let line = Json::parse(line(&[], Stage::Response).trim_end().as_bytes()).unwrap();
    let at = |keys: &[&str]| keys.iter().try_fold(&line, |json, key| json.at(key)).cloned().unwrap();
    let format = format(&[]);
    let hashed = |value: &str| Json::String(hash(&format.key, value.as_bytes()));
    assert_eq!(at(&["auth", "client_token"]), hashed("canary-token"));
    assert_eq!(at(&["request", "client_token"]), hashed("canary-token"));
    assert_eq!(at(&["request", "client_token_accessor"]), hashed("canary-accessor"));
    assert_eq!(at(&["request", "data", "password"]), hashed("canary-1"));
    assert_eq!(at(&["request", "data", "pin"]), hashed("424242"));
    assert_eq!(at(&["request", "data", "empty"]), hashed(""));
    assert_eq!(at(&["request", "data", "n"]), Json::from(5));
    assert_eq!(at(&["request", "data", "open"]), Json::from("shown"));
    assert_eq!(at(&["response", "auth", "client_token"]), hashed("canary-issued"));
    assert_eq!(at(&["response", "auth", "accessor"]), hashed("canary-issued-accessor"));
    assert_eq!(at(&["response", "wrap_info", "token"]), hashed("canary-wrapping"));
    assert_eq!(at(&["response", "wrap_info", "wrapped_accessor"]), hashed("canary-wrapped"));
}

#[test]
fn a_memo_changes_no_byte_and_stays_with_its_format() {
    with_full_entry(|entry| {
        let (one, two) = (format(&[]), format(&[("log_raw", "true")]));
        let memo = Memo::default();
        let with_memo = Entry { memo: Some(&memo), ..*entry };
        for stage in [Stage::Request, Stage::Response] {
            assert_eq!(one.line(stage, &with_memo), one.line(stage, entry));
        }
        // Only the first of them has met this request.
        assert_eq!(two.line(Stage::Response, &with_memo), two.line(Stage::Response, entry));
        assert!(!one.line(Stage::Response, &with_memo).windows(6).any(|bytes| bytes == b"canary"));
        let other = Entry { error: "another", response: None, ..with_memo };
        let line = String::from_utf8(one.line(Stage::Response, &other)).unwrap();
        assert!(line.contains("another") && Json::parse(line.as_bytes()).is_ok());
    });
}

#[test]
fn what_a_session_knows_changes_no_byte_and_stays_with_its_format() {
    with_full_entry(|entry| {
        let formats = [&[][..], &[("log_raw", "true")], &[("hmac_accessor", "false")], &[("prefix", "a")], &[], &[]];
        let hashes = Hashes::default();
        let known = Entry { hashes: Some(&hashes), ..*entry };
        // More devices than are kept, and each of them more than once.
        for _ in 0..3 {
            for format in formats.iter().map(|options| format(options)) {
                for stage in [Stage::Request, Stage::Response, Stage::Request] {
                    assert_eq!(format.line(stage, &known), format.line(stage, entry));
                }
            }
        }
    });
}

#[test]
fn headers_that_authenticate_are_hashed_whatever_is_asked() {
    let headers = ["authorization", "x-vault-token"].map(|name| header(name, &["canary"], false));
    let request = RequestFacts { headers: &headers, ..RequestFacts::default() };
    let bytes = format(&[]).line(Stage::Request, &Entry { request, ..Entry::default() });
    assert!(!String::from_utf8(bytes).unwrap().contains("canary"));
}

proptest::proptest! {
    #[test]
    fn any_text_stays_on_its_line(text: String, key: String) {
        let data = Map::from([(key, Json::String(text.clone()))]);
        let request = RequestFacts { path: &text, data: &data, ..RequestFacts::default() };
        let entry = Entry { request, error: &text, ..Entry::default() };
        for options in [&[][..], &[("log_raw", "true")]] {
            let bytes = format(options).line(Stage::Request, &entry);
            proptest::prop_assert_eq!(bytes.iter().position(|b| *b == b'\n'), Some(bytes.len() - 1));
            let json = Json::parse(&bytes).unwrap();
            proptest::prop_assert_eq!(json.at("request").unwrap().at("path").and_then(Json::as_str).unwrap_or(""), &text);
        }
    }
}
