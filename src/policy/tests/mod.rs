//! Tests of policies as a whole.

mod documents;
mod million;
mod reference;
mod semantics;
mod speed;

use std::sync::Arc;

use super::*;
use crate::base::{Capabilities, Json, Operation, Path, Ttl};

fn policy(name: &str, text: &str) -> Arc<Policy> {
    Arc::new(Policy::parse(name, text).unwrap_or_else(|error| panic!("{text}: {error}")))
}

fn acl(text: &str) -> Acl {
    acl_of(&[text])
}

fn acl_of(texts: &[&str]) -> Acl {
    let policies: Vec<_> = texts.iter().enumerate().map(|(i, text)| policy(&format!("p{i}"), text)).collect();
    Acl::compile(&policies, &NoFacts)
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

/// The reason of a denial, or `None` for a grant.
fn reason(acl: &Acl, query: &Query<'_>) -> Option<Reason> {
    let explained = acl.explain(query).reason;
    match acl.check(query) {
        Decision::Allow(_) => assert_eq!(explained, None),
        Decision::Deny(denial) => assert_eq!(explained, Some(denial.reason())),
    }
    explained
}

fn may(acl: &Acl, operation: Operation, at: &str) -> bool {
    reason(acl, &Query::new(operation, &path(at))).is_none()
}

fn with(acl: &Acl, operation: Operation, body: &str) -> Option<Reason> {
    let (path, json) = (path("x"), Json::parse(body.as_bytes()).unwrap());
    reason(acl, &Query { parameters: json.as_object(), ..Query::new(operation, &path) })
}

fn wrapped(acl: &Acl, seconds: Option<u64>) -> Option<Reason> {
    let path = path("x");
    reason(acl, &Query { wrap: seconds.map(Ttl::from_seconds), ..Query::new(Operation::Read, &path) })
}

/// Every path of up to `longest` of these segments, with and without a slash at its end.
pub(super) fn paths(segments: &[&str], longest: usize) -> Vec<String> {
    let mut paths: Vec<String> = segments.iter().map(|segment| (*segment).to_owned()).collect();
    let mut last = 0..paths.len();
    for _ in 1..longest {
        let longer = |path: &String| segments.iter().map(|next| format!("{path}/{next}")).collect::<Vec<_>>();
        let more: Vec<String> = paths[last.clone()].iter().flat_map(longer).collect();
        last = paths.len()..paths.len() + more.len();
        paths.extend(more);
    }
    let folders: Vec<String> = paths.iter().map(|path| format!("{path}/")).collect();
    paths.extend(folders);
    paths
}
