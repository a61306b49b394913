//! Every field of every endpoint is given what it is not: the answer is a refusal without the value, never a fault.

use serde_json::{Value, json};
use warifu::base::Operation;
use warifu::engine::Field;

use crate::http::Http;
use crate::logs;
use crate::paths::{mount_all, sample};
use crate::server::{Plan, at_once};

const CANARY: &str = "canary-field-5e2a";

/// Values that are wrong for a field, and whether it must refuse them.
fn wrong(field: &Field) -> Vec<(Value, bool)> {
    let object = json!({"k": CANARY});
    let list = json!([CANARY]);
    let nested = json!([{"k": CANARY}]);
    match field.kind {
        "string" => vec![(object, true), (list, true), (nested, true), (json!(1e300), false), (json!("\u{0}"), false)],
        "boolean" => vec![(object, true), (list, true), (json!(CANARY), true), (json!(7), false)],
        "integer" => vec![
            (object, true),
            (list, true),
            (json!(CANARY), true),
            (json!(1.5), true),
            (json!("99999999999999999999999"), true),
            (json!(i64::MIN), false),
            (json!(i64::MAX), false),
            (json!(-1), false),
        ],
        // Numbers that are right would limit the test itself.
        "number" => vec![(object, true), (list, true), (json!(CANARY), true), (json!("NaN"), true), (json!(-1), true)],
        "duration" => vec![
            (object, true),
            (list, true),
            (json!(CANARY), true),
            (json!("-1s"), true),
            (json!(-1), true),
            (json!(i64::MAX), true),
            (json!(true), true),
        ],
        "array" => {
            vec![(object, true), (nested, true), (json!([[CANARY]]), true), (json!([null]), false), (json!(5), false)]
        }
        _ => vec![(json!(CANARY), false), (list, false), (json!(5), false), (json!({"k": {"k": [CANARY]}}), false)],
    }
}

struct Case {
    method: &'static str,
    path: String,
    body: Value,
    query: Option<String>,
    must_refuse: bool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_types_in_every_field_of_every_endpoint_are_refused_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let server = Plan { audit_folder: Some(folder.path().to_owned()), ..Plan::memory() }.ready().await;
    mount_all(&server).await;
    let file = folder.path().join("a.log");
    server.put("sys/audit/file", json!({"type": "file", "options": {"file_path": file}})).await.ok();
    let mut cases = Vec::new();
    for entry in server.vault().mounts().table().iter() {
        for endpoint in entry.engine.table().endpoints() {
            let path = sample(entry.mount.path.as_str(), endpoint.pattern);
            let captured = |name: &str| {
                let marks =
                    [format!("{{{name}}}"), format!("{{{name}!}}"), format!("{{{name}~}}"), format!("{{{name}..}}")];
                marks.iter().any(|mark| endpoint.pattern.contains(mark.as_str()))
            };
            for (verb, method) in [
                (Operation::Update, "PUT"),
                (Operation::Patch, "PATCH"),
                (Operation::Read, "GET"),
                (Operation::List, "LIST"),
            ] {
                let Some(handling) = endpoint.handling(verb) else { continue };
                for field in handling.fields.iter().filter(|f| !captured(f.name)) {
                    if matches!(verb, Operation::Update | Operation::Patch) {
                        for (value, must_refuse) in wrong(field) {
                            // A merge patch says `null` and nested objects in its own way.
                            let must_refuse = must_refuse && verb == Operation::Update;
                            let body = json!({field.name: value});
                            cases.push(Case { method, path: path.clone(), body, query: None, must_refuse });
                        }
                    } else {
                        for text in [CANARY, "-1", "1e999", "%00", ""] {
                            let query = Some(format!("{}={text}&{}={text}", field.name, field.name));
                            cases.push(Case {
                                method,
                                path: path.clone(),
                                body: Value::Null,
                                query,
                                must_refuse: false,
                            });
                        }
                    }
                }
            }
        }
    }
    assert!(cases.len() > 300, "the walk found {} cases only", cases.len());
    let lanes = 8;
    let mut work: Vec<Vec<Case>> = (0..lanes).map(|_| Vec::new()).collect();
    for (n, case) in cases.into_iter().enumerate() {
        work[n % lanes].push(case);
    }
    let faults: Vec<String> =
        at_once(work.into_iter().map(|cases| walk(server.http.clone(), cases))).await.into_iter().flatten().collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults[..faults.len().min(40)].join("\n"));
    server.get("sys/mounts").await.ok();
    server.vault().audit().flush().await;
    let audit = std::fs::read_to_string(file).unwrap();
    assert!(!audit.contains(CANARY), "the audit log shows it");
    let log = logs::text();
    let at = log.find(CANARY).map(|at| log[at.saturating_sub(300)..(at + 30).min(log.len())].to_owned());
    assert_eq!(at, None, "the log shows it");
}

async fn walk(http: Http, cases: Vec<Case>) -> Vec<String> {
    let mut faults = Vec::new();
    for case in cases {
        let path = match &case.query {
            Some(query) => format!("{}?{query}", case.path),
            None => case.path.clone(),
        };
        let mut call = http.call(case.method, &path);
        if case.query.is_none() {
            call = call.json(&case.body).header("content-type", "application/merge-patch+json");
        }
        let answer = call.await;
        let what = format!("{} {path} {} answered {}: {}", case.method, case.body, answer.status, answer.text.trim());
        if answer.status == 0 || answer.status >= 500 {
            faults.push(format!("fault: {what}"));
        } else if case.must_refuse && answer.status < 400 {
            faults.push(format!("taken: {what}"));
        } else if answer.status >= 400 && answer.text.contains(CANARY) {
            faults.push(format!("echo: {what}"));
        }
    }
    faults
}
