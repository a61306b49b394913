//! Checks of the runner itself, before it judges a server: each matcher accepts and refuses.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::compare::{MATCHERS, compare, expression, matcher};
use crate::http::{Answer, read_answer};
use crate::scenario::{Scenario, Step};
use crate::scope::Scope;
use crate::step::{Outcome, judge};
use crate::tool::openssl;
use crate::values::{Vars, at, substitute};
use crate::verdict::{StepResult, Verdict, settle};
use crate::{facts, local};

/// Counts what held and collects what did not.
#[derive(Default)]
struct Checks {
    held: usize,
    broken: Vec<String>,
}

impl Checks {
    fn that(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if holds { self.held += 1 } else { self.broken.push(what()) }
    }

    fn same(&mut self, what: &str, got: &Value, wanted: &Value) {
        self.that(got == wanted, || format!("{what}: got {got}, not {wanted}"));
    }
}

/// The number of checks that held, or what did not.
pub fn run(scenarios: &[Scenario]) -> Result<usize, String> {
    let mut checks = Checks::default();
    matchers(&mut checks);
    values(&mut checks);
    outcomes(&mut checks);
    listing(&mut checks);
    answers(&mut checks);
    local_steps(&mut checks);
    certificates(&mut checks)?;
    data(&mut checks, scenarios);
    if checks.broken.is_empty() {
        return Ok(checks.held);
    }
    Err(format!("self-test: the runner is broken\n  {}", checks.broken.join("\n  ")))
}

/// Pairs of an expectation with what it accepts, and with what it refuses. `"<absent>"` stands for nothing at all.
fn pairs() -> Vec<(Value, Vec<Value>, Vec<Value>)> {
    let pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
    let pair = |expected, accepted: Value, refused: Value| {
        let list = |value: Value| value.as_array().cloned().unwrap_or_default();
        (expected, list(accepted), list(refused))
    };
    vec![
        pair(json!({"$any": "string"}), json!(["a"]), json!(["", 1, null, "<absent>", ["a"]])),
        pair(json!({"$any": "text"}), json!(["a", ""]), json!([1, null, "<absent>"])),
        pair(
            json!({"$any": "int"}),
            json!([0, -3, 18446744073709551615_u64]),
            json!([1.5, "1", true, null, "<absent>"]),
        ),
        pair(json!({"$any": "number"}), json!([0, 1.5]), json!(["1", false, null, "<absent>"])),
        pair(json!({"$any": "bool"}), json!([true, false]), json!([0, "true", null, "<absent>"])),
        pair(json!({"$any": "list"}), json!([[], [1]]), json!([{}, "a", null, "<absent>"])),
        pair(json!({"$any": "map"}), json!([{}, {"a": 1}]), json!([[], "a", null, "<absent>"])),
        pair(json!({"$any": "any"}), json!([0, "", [], {}, false]), json!([null, "<absent>"])),
        pair(json!({"$any": "stringlist"}), json!([[], ["a"]]), json!([["a", 1], {}, null, "<absent>"])),
        pair(json!({"$any": "nonsense"}), json!([]), json!(["a", null, "<absent>"])),
        pair(json!({"$re": "^a.c$"}), json!(["abc", "a\nc"]), json!(["abcd", "xabc", 1, null, "<absent>"])),
        pair(json!({"$re": "b"}), json!(["abc"]), json!(["ac", ""])),
        pair(json!({"$re": "("}), json!([]), json!(["(", "a"])),
        pair(
            json!({"$contains": "Is Sealed"}),
            json!(["Vault is sealed"]),
            json!(["Vault is open", 1, null, "<absent>"]),
        ),
        pair(
            json!({"$pem": "CERTIFICATE"}),
            json!([pem]),
            json!([pem.replace("END", "NED"), "CERTIFICATE", null, "<absent>"]),
        ),
        pair(json!({"$pem": "PRIVATE KEY"}), json!([]), json!([pem])),
        pair(
            json!({"$time": "rfc3339"}),
            json!(["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456789+02:00"]),
            json!(["2026-01-02", "2026-01-02 03:04:05Z", "2026-01-02T03:04:05", 1700000000, null, "<absent>"]),
        ),
        pair(
            json!({"$uuid": true}),
            json!(["123e4567-e89b-12d3-a456-426614174000"]),
            json!(["123e4567e89b12d3a456426614174000", "123e4567-e89b-12d3-a456-42661417400", "", null, "<absent>"]),
        ),
        pair(json!({"$int": [3, 5]}), json!([3, 4, 5, 4.5]), json!([2, 6, "4", true, null, "<absent>"])),
        pair(
            json!({"$set": [1, 2]}),
            json!([[1, 2], [2, 1]]),
            json!([[1], [1, 2, 3], [1, 1], {"1": 2}, null, "<absent>"]),
        ),
        pair(json!({"$set": []}), json!([[], null, "<absent>"]), json!([[1], "a"])),
        pair(json!({"$set": [{"$any": "string"}, "a"]}), json!([["a", "b"]]), json!([["b", "c"], ["a", 1]])),
        pair(
            json!({"$superset": ["a"]}),
            json!([["a"], ["b", "a"]]),
            json!([[], ["b"], "a", {"a": 1}, null, "<absent>"]),
        ),
        pair(json!({"$lacks": ["a"]}), json!([[], ["b"], {"b": "a"}, null, "<absent>"]), json!([["a"], {"a": 1}, "b"])),
        pair(
            json!({"$values": [1, 2]}),
            json!([{"x": 2, "y": 1}]),
            json!([{"x": 1}, {"x": 1, "y": 3}, [1, 2], null, "<absent>"]),
        ),
        pair(
            json!({"$at": {"1": "b"}}),
            json!([["a", "b"], [0, "b", 1]]),
            json!([["b"], ["b", "a"], {"1": "b"}, null, "<absent>"]),
        ),
        pair(json!({"$all": [{"$superset": ["a"]}, {"$lacks": ["b"]}]}), json!([["a"]]), json!([["a", "b"], []])),
        pair(json!({"$oneof": [1, "a"]}), json!([1, "a"]), json!([2, "1", null, "<absent>"])),
        pair(json!(null), json!([null, [], {}, "<absent>"]), json!(["", 0, false, [1], {"a": null}])),
        pair(json!({"a": 1}), json!([{"a": 1}, {"a": 1, "b": 2}]), json!([{"a": 2}, {"b": 1}, [1], null, "<absent>"])),
        pair(
            json!({"a": {"b": null}}),
            json!([{"a": {}}, {"a": {"b": null}}]),
            json!([{}, {"a": {"b": 1}}, {"a": []}]),
        ),
        pair(json!({}), json!([{}, {"a": 1}]), json!([null, [], "<absent>"])),
        pair(json!([1, 2]), json!([[1, 2]]), json!([[2, 1], [1], [1, 2, 3], null, "<absent>"])),
        pair(json!([]), json!([[]]), json!([[1], null, {}, "<absent>"])),
        pair(json!("a"), json!(["a"]), json!(["b", "A", ["a"], null, "<absent>"])),
        pair(json!(1), json!([1, 1.0]), json!([2, "1", true, null, "<absent>"])),
        pair(json!(0), json!([0]), json!([false, "", null, "<absent>"])),
        pair(json!(true), json!([true]), json!([false, 1, "true", null, "<absent>"])),
        pair(json!(9007199254740993_u64), json!([9007199254740993_u64]), json!([9007199254740992_u64])),
        pair(json!({"$unheard": 1}), json!([{"$unheard": 1}]), json!([{"$unheard": 2}, 1])),
        pair(json!({"$any": "text", "b": 1}), json!([{"$any": "text", "b": 1}]), json!(["a"])),
    ]
}

fn matchers(checks: &mut Checks) {
    let (mut accepting, mut refusing) = (BTreeSet::new(), BTreeSet::new());
    for (expected, accepted, refused) in pairs() {
        let name = matcher(&expected).map(|(name, _)| name.to_owned()).unwrap_or_default();
        for (value, wanted) in accepted.iter().map(|v| (v, true)).chain(refused.iter().map(|v| (v, false))) {
            let got = if *value == json!("<absent>") { None } else { Some(value) };
            let verdict = compare(&expected, got, "");
            if wanted {
                accepting.insert(name.clone())
            } else {
                refusing.insert(name.clone())
            };
            checks.that(verdict.is_ok() == wanted, || format!("{expected} against {value}: {verdict:?}"));
        }
    }
    for name in MATCHERS {
        checks.that(accepting.contains(name), || format!("{name} is never seen to accept"));
        checks.that(refusing.contains(name), || format!("{name} is never seen to refuse"));
    }
    let reason = compare(&json!({"a": [1, {"b": "x"}]}), Some(&json!({"a": [1, {"b": "y"}]})), "");
    let says_where = reason.as_ref().is_err_and(|text| text.starts_with("/a/1/b: "));
    checks.that(says_where, || format!("a reason does not begin with the place: {reason:?}"));
}

fn values(checks: &mut Checks) {
    let vars = Vars::from([
        ("n".to_owned(), json!(3)),
        ("name".to_owned(), json!("it")),
        ("list".to_owned(), json!(["a", 1])),
        ("flag".to_owned(), json!(true)),
    ]);
    for (text, wanted) in [
        (json!("${n}"), json!(3)),
        (json!("x${n}y${name}"), json!("x3yit")),
        (json!(["${list}", "${flag}!"]), json!([["a", 1], "true!"])),
        (json!({"${name}": "${name}"}), json!({"it": "it"})),
        (json!("${list}:"), json!("[\"a\",1]:")),
        (json!("a$b${ {} ${not a name} $${n}"), json!("a$b${ {} ${not a name} $3")),
        (json!("unclosed ${n"), json!("unclosed ${n")),
    ] {
        let got = substitute(&text, &vars).unwrap_or_default();
        checks.same("substitution", &got, &wanted);
    }
    checks.that(substitute(&json!("${unknown}"), &vars).is_err(), || "an unknown variable is let through".to_owned());
    let document = json!({"a": [{"b/c": 1}, {"d~e": 2}], "": 0});
    for (pointer, wanted) in [
        ("/a/0/b~1c", Some(json!(1))),
        ("/a/1/d~0e", Some(json!(2))),
        ("/a/2", None),
        ("/a/x", None),
        ("/a/0/b~1c/z", None),
        ("", Some(document.clone())),
        ("/", Some(document.clone())),
    ] {
        checks.that(at(&document, pointer) == wanted.as_ref(), || format!("the pointer '{pointer}'"));
    }
}

fn step(expect: &Value) -> Step {
    let whole = json!({"id": "01", "do": "GET /v1/x", "expect": expect});
    serde_json::from_value(whole).unwrap_or_else(|e| unreachable!("a step written in this file: {e}"))
}

fn outcomes(checks: &mut Checks) {
    let answer = |status: u16, kind: &str, body: &str| Outcome {
        answer: Answer {
            status,
            headers: BTreeMap::from([("content-type".to_owned(), kind.to_owned())]),
            body: body.as_bytes().to_vec(),
        },
        json: serde_json::from_str(body).ok(),
        vars: Vars::from([("v".to_owned(), json!("secret"))]),
        ..Outcome::default()
    };
    let errors = json!({"status": 400, "status_also": [404], "body": {"errors": [{"$contains": "bad"}]}});
    let header = json!({"status": 200, "headers": {"Content-Type": {"$re": "^application/json"}, "X-Not": null}});
    let rows = [
        (json!({"status": 204, "empty": true}), answer(204, "", ""), true),
        (json!({"status": 204, "empty": true}), answer(204, "", "{}"), false),
        (json!({"status": 204}), answer(200, "", ""), false),
        (json!({"status": 200, "nonempty": true}), answer(200, "", "x"), true),
        (json!({"status": 200, "nonempty": true}), answer(200, "", ""), false),
        (errors.clone(), answer(400, "", r#"{"errors":["Bad luck"]}"#), true),
        (errors.clone(), answer(404, "", r#"{"errors":["bad"]}"#), true),
        (errors.clone(), answer(403, "", r#"{"errors":["bad"]}"#), false),
        (errors.clone(), answer(400, "", r#"{"errors":["good"]}"#), false),
        (errors.clone(), answer(400, "", r#"{"errors":["bad","bad"]}"#), false),
        (errors, answer(400, "", "bad"), false),
        (header.clone(), answer(200, "application/json; charset=utf-8", "{}"), true),
        (header, answer(200, "text/plain", "{}"), false),
        (json!({"status": 200, "text": "the ${v}"}), answer(200, "", "the secret"), true),
        (json!({"status": 200, "text": "the ${v}"}), answer(200, "", "the other"), false),
        (json!({"status": 200, "text": "the ${w}"}), answer(200, "", "the "), false),
        (json!({"status": 200, "facts": {"#raw|len": {"length": 2}}}), answer(200, "", "{}"), false),
    ];
    for (index, (expect, outcome, wanted)) in rows.into_iter().enumerate() {
        let verdict = judge(&step(&expect), &outcome);
        checks.that(verdict.is_ok() == wanted, || format!("outcome {index}, {expect}: {verdict:?}"));
    }
    let failed = Outcome::failed(&step(&json!({"status": 0})), "cut".to_owned());
    checks.that(judge(&step(&json!({"status": 0})), &failed).is_err(), || "an error passes".to_owned());
}

fn listing(checks: &mut Checks) {
    let steps: Vec<Value> =
        ["01", "02"].iter().map(|id| json!({"id": id, "do": "GET /v1/x", "expect": {"status": 200}})).collect();
    let scenario = json!({"name": "n", "area": "a", "about": "", "steps": steps});
    let Ok(scenario) = serde_json::from_value::<Scenario>(scenario) else {
        return checks.that(false, || "the scenario of the self-test".to_owned());
    };
    let scenarios = [scenario];
    for bad in
        ["[area.b]\nreason='r'", "[entry]\n'a/m'='r'", "[entry]\n'a/n#03'='r'", "[entry]\n'a/n'=''", "[other]", "="]
    {
        checks.that(Scope::parse(bad, &scenarios).is_err(), || format!("the list accepts {bad:?}"));
    }
    // The list, which of the two steps pass, and whether the run then passes and fails.
    for (list, passing, is_passed, is_failed) in [
        ("", [true, true], true, false),
        ("", [true, false], false, true),
        ("[entry]\n'a/n#02'='r'", [true, false], true, false),
        ("[entry]\n'a/n#02'='r'", [true, true], false, true),
        ("[entry]\n'a/n#02'='r'", [false, false], false, true),
        ("[entry]\n'a/n'='r'", [true, false], false, false),
        ("[entry]\n'a/n'='r'", [true, true], false, true),
    ] {
        let Ok(scope) = Scope::parse(list, &scenarios) else {
            checks.that(false, || format!("the list refuses {list:?}"));
            continue;
        };
        let results = scenarios[0].steps.iter().zip(passing).map(|(step, passes)| {
            let judged = if passes { Ok(()) } else { Err("no".to_owned()) };
            StepResult::new(step, &Outcome::default(), judged)
        });
        let verdict = settle(&scenarios[0], results.collect(), &scope);
        let holds =
            matches!(&verdict, Verdict::Ran(ran) if ran.is_passed() == is_passed && ran.is_failed() == is_failed);
        checks.that(holds, || format!("the list {list:?} with {passing:?}"));
    }
}

fn answers(checks: &mut Checks) {
    type Wanted = Option<(u16, &'static str, bool)>;
    let rows: [(&str, &str, Wanted); 9] = [
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", Some((200, "ab", true))),
        ("GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", Some((204, "", true))),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", Some((200, "", true))),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nT: 1\r\n\r\n",
            Some((200, "abcd", true)),
        ),
        ("GET", "HTTP/1.1 400 Bad\r\nConnection: close\r\n\r\nto the end", Some((400, "to the end", false))),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", None),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Le", None),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", None),
        ("GET", "SSH-2.0-x\r\n\r\n", None),
    ];
    for (method, bytes, wanted) in rows {
        let got = read_answer(&mut bytes.as_bytes(), method);
        let got = got.ok().map(|(answer, reusable)| (answer.status, answer.body, reusable));
        let wanted = wanted.map(|(status, body, reusable)| (status, body.as_bytes().to_vec(), reusable));
        checks.that(got == wanted, || format!("the answer {bytes:?} reads as {got:?}"));
    }
}

fn local_steps(checks: &mut Checks) {
    // The test vectors of RFC 6238 (TOTP), appendix B, and of RFC 4231 (HMAC), case 2.
    let secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    let totp = |now| local::totp(&json!({"secret": secret, "digits": 8}), now).unwrap_or_default();
    checks.same("totp at 59", &totp(59), &json!({"code": "94287082"}));
    checks.same("totp at 1111111109", &totp(1_111_111_109), &json!({"code": "07081804"}));
    let mac = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    for (name, arguments, wanted) in [
        ("hash", json!({"key": "Jefe", "text": "what do ya want for nothing?"}), json!({"hex": mac})),
        ("equal", json!({"values": ["a", "a"]}), json!({"equal": true, "distinct": false})),
        ("equal", json!({"values": ["a", "b"]}), json!({"equal": false, "distinct": true})),
        ("equal", json!({"values": ["a", "a", "b"]}), json!({"equal": false, "distinct": false})),
        ("number", json!({"value": "5", "lo": 4, "hi": 6}), json!({"between": true})),
        ("number", json!({"value": true, "lo": 0, "hi": 6}), json!({"between": false})),
        ("otp-xor", json!({"encoded": "AwMD", "otp": "abc"}), json!({"token": "ba`"})),
        ("file", json!({"file": "/nonexistent"}), json!({"exists": false})),
    ] {
        let got = local::run(name, &arguments).unwrap_or_default();
        checks.same(name, &got, &wanted);
    }
    checks.that(local::run("nonsense", &json!({})).is_err(), || "an unknown local step passes".to_owned());
}

fn certificates(checks: &mut Checks) -> Result<(), String> {
    let key = openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], b"")?.text();
    let scratch = crate::tool::Scratch::new()?;
    let file = scratch.file("key.pem", key.as_bytes())?;
    let make = [
        "req",
        "-x509",
        "-key",
        &file,
        "-days",
        "2",
        "-subj",
        "/CN=example.test",
        "-addext",
        "subjectAltName=DNS:b.test,DNS:a.test",
        "-addext",
        "keyUsage=critical,digitalSignature",
    ];
    let cert = openssl(&make, b"")?.text();
    let facts = facts::extract("x509", &json!([cert]), b"")?;
    let wanted = json!({
        "subject": "CN=example.test", "issuer": "CN=example.test", "sans": ["DNS:a.test", "DNS:b.test"],
        "key_usage": ["Digital Signature"], "key_usage_critical": true, "validity_seconds": 172_800, "key_bits": 256,
        "key_algorithm": "id-ecPublicKey", "basic_constraints": "CA:TRUE", "has_ski": true,
    });
    let verdict = compare(&wanted, Some(&facts), "");
    checks.that(verdict.is_ok(), || format!("the facts of a certificate: {verdict:?}"));
    let label = json!({"kind": "EC", "bits": 256, "label": "PRIVATE KEY"});
    checks.same("the facts of a key", &facts::extract("key", &json!(key), b"")?, &label);
    for kind in ["x509", "csr", "crl", "sshcert", "jwt", "key", "pubkey", "b64len", "vaultlen"] {
        let facts = facts::extract(kind, &json!("!"), b"!")?;
        checks.that(facts.get("error").is_some(), || format!("facts of kind {kind} about rubbish: {facts}"));
    }
    checks.same("b64len", &facts::extract("b64len", &json!("AAEC"), b"")?, &json!({"bytes": 3}));
    let vault = facts::extract("vaultlen", &json!("vault:v2:AAEC"), b"")?;
    checks.same("vaultlen", &vault, &json!({"prefix": "vault:v2:", "bytes": 3}));
    let verified = local::run("verify", &json!({"ca": cert, "cert": cert}))?;
    checks.same("verify", &verified, &json!({"verified": true}));
    checks.that(facts::extract("nonsense", &json!(""), b"").is_err(), || "facts of an unknown kind".to_owned());
    Ok(())
}

/// The recordings ask nothing that this runner does not know.
fn data(checks: &mut Checks, scenarios: &[Scenario]) {
    checks.that(!scenarios.is_empty(), || "there are no scenarios".to_owned());
    for scenario in scenarios {
        let mut ids = BTreeSet::new();
        for step in &scenario.steps {
            let name = format!("{}#{}", scenario.id(), step.id);
            checks.that(ids.insert(&step.id), || format!("{name}: twice the same id"));
            let expect = &step.expect;
            for value in
                expect.body.iter().chain(&expect.text).chain(expect.headers.values()).chain(expect.facts.values())
            {
                walk(checks, &name, value);
            }
        }
    }
}

fn walk(checks: &mut Checks, name: &str, value: &Value) {
    match value {
        Value::Object(map) => {
            if let Some(("$re", pattern)) = matcher(value) {
                let is_fine = pattern.as_str().is_some_and(|pattern| expression(pattern).is_ok());
                checks.that(is_fine, || format!("{name}: the expression {pattern}"));
            }
            for (key, item) in map {
                let is_known = !key.starts_with('$') || key.starts_with("${") || MATCHERS.contains(&key.as_str());
                checks.that(is_known, || format!("{name}: the matcher {key}"));
                walk(checks, name, item);
            }
        }
        Value::Array(list) => list.iter().for_each(|item| walk(checks, name, item)),
        _ => {}
    }
}
