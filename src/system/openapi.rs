//! The API's description, made from the route tables: OpenAPI 3, and the help of a path as a person reads it.
//!
//! Nothing is said here that a route does not say itself: path, operation, parameters and words all come from its row.

use std::fmt::Write as _;

use crate::base::json::Map;
use crate::base::{Json, Operation};
use crate::engine::{Endpoint, Field, Handling, Mount, Table};

/// Adds a mount's endpoints to the `paths` of a document.
pub fn add(paths: &mut Map, mount: &Mount, table: &Table) {
    for endpoint in table.endpoints() {
        let path = format!("/{}{}", mount.path, plain(endpoint.pattern));
        let operations = operations(mount, endpoint);
        match paths.get_mut(&path) {
            // The same path once more, for another operation.
            Some(Json::Object(present)) => present.extend(operations),
            _ => {
                paths.insert(path, Json::Object(operations));
            }
        }
    }
}

/// The document around the paths.
pub fn document(paths: Map) -> Map {
    let info = Json::object([
        ("title", Json::from("warifu: Vault's HTTP API")),
        ("description", "HTTP API that gives you full access to the server. All routes are below `/v1/`.".into()),
        ("version", crate::API_VERSION.into()),
        ("license", Json::object([("name", Json::from("Apache-2.0"))])),
    ]);
    let server = Json::object([("url", Json::from("/v1"))]);
    [
        ("openapi", Json::from("3.0.2")),
        ("info", info),
        ("servers", Json::Array(vec![server])),
        ("paths", Json::Object(paths)),
        ("components", Json::object([("schemas", Json::Object(Map::new()))])),
    ]
    .map(|(k, v)| (k.to_owned(), v))
    .into()
}

/// A pattern as the document writes it: names without the marks of the router.
fn plain(pattern: &str) -> String {
    ["..}", "!}", "~}"].iter().fold(pattern.to_owned(), |text, mark| text.replace(mark, "}"))
}

/// The names that a pattern captures.
fn captured(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        Some(name.trim_end_matches("..").trim_end_matches(['!', '~']))
    })
}

fn operations(mount: &Mount, endpoint: &Endpoint) -> Map {
    let mut item = Map::from([("description".to_owned(), Json::from(endpoint.doc))]);
    let names: Vec<&str> = captured(endpoint.pattern).collect();
    let all_fields = || Operation::ALL.into_iter().filter_map(|op| endpoint.handling(op)).flat_map(|h| h.fields.iter());
    let parameters: Vec<Json> = names
        .iter()
        .map(|name| {
            let doc = all_fields().find(|field| field.name == *name).map_or("", |field| field.doc);
            Json::object([
                ("name", Json::from(*name)),
                ("in", "path".into()),
                ("description", doc.into()),
                ("required", true.into()),
                ("schema", Json::object([("type", Json::from("string"))])),
            ])
        })
        .collect();
    if !parameters.is_empty() {
        item.insert("parameters".into(), Json::Array(parameters));
    }
    for (mark, holds) in [("x-vault-unauthenticated", endpoint.public), ("x-vault-sudo", endpoint.sudo)] {
        if holds {
            item.insert(mark.into(), true.into());
        }
    }
    for operation in Operation::ALL {
        let Some(handling) = endpoint.handling(operation) else { continue };
        let verb = match operation {
            Operation::Read | Operation::List => "get",
            Operation::Update => "post",
            Operation::Patch => "patch",
            Operation::Delete => "delete",
        };
        if handling.upserts() {
            item.insert("x-vault-createSupported".into(), true.into());
        }
        let described = describe(mount, endpoint, operation, handling, &names);
        // One GET answers both: its query says which.
        match (item.get_mut(verb), operation) {
            (Some(Json::Object(read)), Operation::List) => {
                if let Some(Json::Array(parameters)) = read.get_mut("parameters") {
                    parameters.push(list_parameter(false));
                } else {
                    read.insert("parameters".into(), Json::Array(vec![list_parameter(false)]));
                }
            }
            _ => {
                item.insert(verb.into(), described);
            }
        }
    }
    item
}

fn list_parameter(required: bool) -> Json {
    let only = Json::object([("type", Json::from("string")), ("enum", Json::Array(vec!["true".into()]))]);
    Json::object([
        ("name", Json::from("list")),
        ("in", "query".into()),
        ("description", "Must be set to `true` to list.".into()),
        ("required", required.into()),
        ("schema", only),
    ])
}

fn describe(mount: &Mount, endpoint: &Endpoint, operation: Operation, handling: &Handling, names: &[&str]) -> Json {
    let own = || handling.fields.iter().filter(|field| !names.contains(&field.name));
    let slug = |text: &str| {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
        words.collect::<Vec<_>>().join("-")
    };
    // A folder and what is in it differ by a slash alone.
    let folder = if endpoint.pattern.ends_with('/') { "-folder" } else { "" };
    let id = format!("{}-{}-{}{folder}", slug(mount.path.as_str()), operation.word(), slug(endpoint.pattern));
    let tag = match (mount.kind.as_str(), mount.is_auth()) {
        ("system", _) => "system",
        ("identity", _) => "identity",
        (_, true) => "auth",
        _ => "secrets",
    };
    let mut described = Map::from([
        ("summary".to_owned(), Json::from(handling.doc)),
        ("operationId".to_owned(), id.into()),
        ("tags".to_owned(), Json::Array(vec![tag.into()])),
        ("responses".to_owned(), responses(operation)),
    ]);
    match operation {
        Operation::Update | Operation::Patch => {
            if own().next().is_some() || endpoint.open {
                let media =
                    if operation == Operation::Patch { "application/merge-patch+json" } else { "application/json" };
                let content = Json::object([(media, Json::object([("schema", object_schema(own(), endpoint.open))]))]);
                let required = own().any(|field| field.required);
                described.insert(
                    "requestBody".into(),
                    Json::object([("required", Json::Bool(required)), ("content", content)]),
                );
            }
        }
        Operation::Read | Operation::List | Operation::Delete => {
            let mut parameters: Vec<Json> = own()
                .map(|field| {
                    Json::object([
                        ("name", Json::from(field.name)),
                        ("in", "query".into()),
                        ("description", field.doc.into()),
                        ("required", field.required.into()),
                        ("schema", schema(field)),
                    ])
                })
                .collect();
            if operation == Operation::List {
                parameters.push(list_parameter(true));
            }
            if !parameters.is_empty() {
                described.insert("parameters".into(), Json::Array(parameters));
            }
        }
    }
    Json::Object(described)
}

fn responses(operation: Operation) -> Json {
    let one = |words: &str| Json::object([("description", Json::from(words))]);
    match operation {
        Operation::Delete => Json::object([("204", one("empty body"))]),
        Operation::Read | Operation::List => Json::object([("200", one("OK"))]),
        Operation::Update | Operation::Patch => Json::object([("200", one("OK")), ("204", one("empty body"))]),
    }
}

fn object_schema<'a>(fields: impl Iterator<Item = &'a Field>, open: bool) -> Json {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in fields {
        properties.insert(field.name.to_owned(), schema(field));
        if field.required {
            required.push(Json::from(field.name));
        }
    }
    let mut schema =
        Map::from([("type".to_owned(), Json::from("object")), ("properties".to_owned(), Json::Object(properties))]);
    if !required.is_empty() {
        schema.insert("required".into(), Json::Array(required));
    }
    if open {
        schema.insert("additionalProperties".into(), true.into());
    }
    Json::Object(schema)
}

fn schema(field: &Field) -> Json {
    let mut schema = Map::from([("description".to_owned(), Json::from(field.doc))]);
    let mut say = |key: &str, value: Json| {
        schema.insert(key.to_owned(), value);
    };
    match field.kind {
        "duration" => {
            say("type", "integer".into());
            say("format", "seconds".into());
        }
        "array" => {
            say("type", "array".into());
            say("items", Json::object([("type", Json::from("string"))]));
        }
        kind @ ("boolean" | "integer" | "number" | "object") => say("type", kind.into()),
        _ => say("type", "string".into()),
    }
    if field.secret {
        say("format", "password".into());
        say("x-vault-displayAttrs", Json::object([("sensitive", Json::Bool(true))]));
    }
    Json::Object(schema)
}

/// The help of one endpoint, for people.
pub fn help(path: &str, endpoint: &Endpoint) -> String {
    let mut text = format!("Request:        {path}\nMatching Route: {}\n\n{}\n", endpoint.pattern, endpoint.doc);
    let mut fields: Vec<&Field> =
        Operation::ALL.into_iter().filter_map(|op| endpoint.handling(op)).flat_map(|h| h.fields.iter()).collect();
    fields.sort_by_key(|field| field.name);
    fields.dedup_by_key(|field| field.name);
    if !fields.is_empty() {
        text.push_str("\n## PARAMETERS\n");
    }
    for field in fields {
        // Writing into a string does not fail.
        let _ = write!(text, "\n    {} ({})\n\n        {}\n", field.name, field.kind, field.doc);
    }
    let words: Vec<&str> =
        Operation::ALL.into_iter().filter(|op| endpoint.handling(*op).is_some()).map(Operation::word).collect();
    let _ = write!(text, "\n## OPERATIONS\n\n    {}\n", words.join(", "));
    text
}

/// The help of a whole engine.
pub fn overview(table: &Table) -> String {
    let mut text =
        format!("## DESCRIPTION\n\n{}\n\n## PATHS\n\nThe following paths are supported by this backend.\n", table.doc);
    let mut rows: Vec<(&str, &str)> = table.endpoints().iter().map(|e| (e.pattern, e.doc)).collect();
    rows.sort_unstable();
    for (pattern, doc) in rows {
        let _ = write!(text, "\n    {}\n        {doc}\n", plain(pattern));
    }
    text
}
