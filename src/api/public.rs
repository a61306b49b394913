//! The routes that work while sealed, and those that the configuration opens to callers without a token. None is audited.

use std::sync::Arc;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};

use super::encode;
use super::listener::{Body, Connection};
use crate::base::json::Map;
use crate::base::{Error, Json, Operation, Result, Secret, form};
use crate::engine::params::{Scalar, parse_bool};
use crate::engine::{Args, Param};
use crate::node::{HealthQuery, Node};
use crate::seal::{self, Handout, Shape};
use crate::system::{CeremonyKind, CeremonyStep, ceremony};

/// Bodies here are a few shares long.
const BODY_BYTES: usize = 64 << 10;

/// Whether a request is for one of these routes.
pub fn answers(node: &Node, method: &Method, path: &str, request: &Request<Incoming>, connection: &Connection) -> bool {
    match path {
        "sys/health" | "sys/seal-status" | "sys/init" | "sys/unseal" | "sys/leader" => true,
        "sys/seal" | "sys/step-down" => !matches!(*method, Method::POST | Method::PUT),
        "sys/metrics" => {
            *method == Method::GET && (connection.rules.unauthenticated_metrics_access || node.metrics_are_public())
        }
        _ => match ceremony_of(path) {
            Some((kind, _)) => open(node, connection, kind != CeremonyKind::Root) && !has_token(request),
            None => false,
        },
    }
}

fn ceremony_of(path: &str) -> Option<(CeremonyKind, &str)> {
    path.strip_prefix("sys/").and_then(ceremony::kind_of)
}

fn open(node: &Node, connection: &Connection, rekey: bool) -> bool {
    let own = if rekey {
        connection.rules.disable_unauthed_rekey_endpoints
    } else {
        connection.rules.disable_unauthed_generate_root_endpoints
    };
    own.map_or_else(|| node.ceremony_is_open(rekey), |disabled| !disabled)
}

fn has_token(request: &Request<Incoming>) -> bool {
    request.headers().contains_key("x-vault-token") || request.headers().contains_key("authorization")
}

/// Answers it.
pub async fn answer(node: &Arc<Node>, request: Request<Incoming>, connection: &Connection) -> Response<Body> {
    match respond(node, request, connection).await {
        Ok(response) => response,
        Err(error) => encode::error(&error),
    }
}

async fn respond(node: &Arc<Node>, request: Request<Incoming>, connection: &Connection) -> Result<Response<Body>> {
    let (parts, incoming) = request.into_parts();
    let path = parts.uri.path().strip_prefix("/v1/").unwrap_or_default();
    let writes = matches!(parts.method, Method::POST | Method::PUT);
    let reads = parts.method == Method::GET;
    match path {
        "sys/health" if reads || parts.method == Method::HEAD => {
            let health = node.health(health_query(parts.uri.query().unwrap_or_default())?);
            Ok(encode::object(health.status, &health.body))
        }
        "sys/metrics" if reads => {
            let query = form::parse(parts.uri.query().unwrap_or_default())?;
            let format = query.get("format").and_then(Json::as_str).unwrap_or_default();
            let (media_type, bytes) = node.metrics(format)?;
            Ok(encode::plain(200, media_type, bytes))
        }
        "sys/seal-status" if reads => Ok(encode::object(200, &node.seal_status())),
        "sys/leader" if reads => Ok(encode::object(200, &leader())),
        "sys/init" if reads => {
            Ok(encode::object(200, &Map::from([("initialized".to_owned(), Json::Bool(node.initialized()))])))
        }
        "sys/init" if writes => init(node, body(incoming, connection).await?).await,
        "sys/unseal" if writes => unseal(node, body(incoming, connection).await?).await,
        _ => match ceremony_of(path) {
            Some((kind, rest)) => {
                let operation = match parts.method {
                    Method::GET => Operation::Read,
                    Method::DELETE => Operation::Delete,
                    Method::POST | Method::PUT => Operation::Update,
                    _ => return Err(Error::UnsupportedOperation),
                };
                let control = node.control()?;
                let mut args = Args::new(Vec::new(), body(incoming, connection).await?);
                let step = ceremony::step_of(kind, rest, operation, &mut args)?;
                let ends = matches!(step, CeremonyStep::Cancel(_));
                let map = control.ceremony(kind, step).await?;
                Ok(if ends { encode::nothing() } else { encode::object(200, &map) })
            }
            None => Err(Error::Method),
        },
    }
}

async fn init(node: &Arc<Node>, body: Map) -> Result<Response<Body>> {
    let mut args = Args::new(Vec::new(), body);
    for name in ["pgp_keys", "root_token_pgp_key", "recovery_pgp_keys"] {
        if args.take(name).is_some_and(|v| v != Json::Array(Vec::new()) && v.as_str() != Some("")) {
            return Err(Error::invalid(format!("'{name}' is not supported: 'age_recipients' is")));
        }
    }
    let mut counts = [0; 4];
    let names = ["secret_shares", "secret_threshold", "recovery_shares", "recovery_threshold"];
    for (count, name) in counts.iter_mut().zip(names) {
        *count = <Option<u64> as Param>::take(name, &mut args)?.unwrap_or(0);
    }
    let labelled = <Option<bool> as Param>::take("labelled_shares", &mut args)?.unwrap_or(false);
    let recipients = <Vec<String> as Param>::take("age_recipients", &mut args)?;
    // Nobody stops half-way: a client that goes away would leave shares that no one has seen.
    if node.initialized() {
        return Err(Error::invalid("Vault is already initialized"));
    }
    let [shares, threshold, recovery_shares, recovery_threshold] = counts;
    let (own, kind, other, shape) = if node.begins_by_itself() {
        ("static", "secret_shares,secret_threshold", shares + threshold, (recovery_shares, recovery_threshold))
    } else {
        ("shamir", "recovery_shares,recovery_threshold", recovery_shares + recovery_threshold, (shares, threshold))
    };
    if other > 0 {
        return Err(Error::invalid(format!("parameters {kind} not applicable to seal type {own}")));
    }
    let handout = Handout::parse(labelled, &recipients, shape.0, "age_recipients")?;
    let shape = Shape::of(shape.0, shape.1)?;
    let (mut answer, root_token) = node.initialize(shape, &handout).await?;
    for name in ["keys", "keys_base64"] {
        answer.entry(name.to_owned()).or_insert_with(|| Json::Array(Vec::new()));
    }
    answer.insert("root_token".to_owned(), root_token.reveal().as_str().into());
    Ok(encode::object(200, &answer))
}

async fn unseal(node: &Arc<Node>, body: Map) -> Result<Response<Body>> {
    // Names count without regard to case here: old clients write `Key`.
    let body: Map = body.into_iter().map(|(k, v)| (k.to_lowercase(), v)).collect();
    let mut args = Args::new(Vec::new(), body);
    let reset = args.take("reset").map(bool::read).transpose().map_err(|_| Error::invalid("'reset' is no boolean"))?;
    if reset == Some(true) {
        node.reset_unseal().await?;
    } else {
        let key = <Option<Secret<String>> as Param>::take("key", &mut args)?.unwrap_or_default();
        if !node.initialized() {
            return Err(Error::invalid("Vault is not initialized"));
        }
        let migrate = <Option<bool> as Param>::take("migrate", &mut args)?.unwrap_or(false);
        let share = seal::parse_share(&key)?;
        // The end of it is not left to a client that may go away.
        let node = node.clone();
        let done = tokio::spawn(async move { node.unseal(share, migrate).await }).await;
        done.map_err(|_| Error::internal("unsealing panicked"))??;
    }
    Ok(encode::object(200, &node.seal_status()))
}

/// High availability of Vault's kind is off: every unsealed node serves.
fn leader() -> Map {
    Map::from(
        [
            ("ha_enabled", Json::Bool(false)),
            ("is_self", false.into()),
            ("active_time", "0001-01-01T00:00:00Z".into()),
            ("leader_address", "".into()),
            ("leader_cluster_address", "".into()),
            ("performance_standby", false.into()),
            ("performance_standby_last_remote_wal", 0u64.into()),
        ]
        .map(|(k, v)| (k.to_owned(), v)),
    )
}

fn health_query(text: &str) -> Result<HealthQuery> {
    let query = form::parse(text)?;
    let code = |name: &str| -> Result<Option<u16>> {
        match query.get(name).and_then(Json::as_str) {
            None => Ok(None),
            Some(text) => match text.parse::<u16>() {
                Ok(code) if (100..600).contains(&code) => Ok(Some(code)),
                // Vault answers such a value without a text.
                _ => Err(Error::Invalid(String::new())),
            },
        }
    };
    for name in ["standbyok", "perfstandbyok"] {
        if let Some(text) = query.get(name).and_then(Json::as_str)
            && parse_bool(text).is_none()
        {
            return Err(Error::Invalid(String::new()));
        }
    }
    Ok(HealthQuery { active: code("activecode")?, sealed: code("sealedcode")?, uninitialized: code("uninitcode")? })
}

async fn body(incoming: Incoming, connection: &Connection) -> Result<Map> {
    let whole = Limited::new(incoming, BODY_BYTES).collect();
    let bytes = match tokio::time::timeout(connection.rules.read_timeout, whole).await {
        Ok(Ok(collected)) => Secret::new(collected.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => return Err(Error::TooLarge),
        Ok(Err(_)) => return Err(Error::invalid("the body could not be read")),
        Err(_) => return Err(Error::invalid("the body took too long")),
    };
    if bytes.reveal().iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match Json::parse(bytes.reveal())? {
        Json::Object(map) => Ok(map),
        _ => Err(Error::invalid("failed to decode JSON input: expected an object")),
    }
}
