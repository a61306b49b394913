//! The routes that work while sealed, and those that the configuration opens to callers without a token. None is audited.

use std::sync::Arc;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};

use super::listener::{Body, Connection};
use super::{encode, form};
use crate::base::json::Map;
use crate::base::{Error, Json, Result, Secret};
use crate::engine::params::{Scalar, parse_bool};
use crate::engine::{Args, Param};
use crate::node::{HealthQuery, Node};
use crate::seal::{self, Shape};
use crate::system::CeremonyStep;

/// Bodies here are a few shares long.
const BODY_BYTES: usize = 64 << 10;

/// Whether a request is for one of these routes.
pub fn answers(node: &Node, method: &Method, path: &str, request: &Request<Incoming>, connection: &Connection) -> bool {
    match path {
        "sys/health" | "sys/seal-status" | "sys/init" | "sys/unseal" | "sys/leader" => true,
        "sys/rekey/init" | "sys/rekey/update" => open(node, connection, true) && !has_token(request),
        "sys/generate-root" | "sys/generate-root/attempt" | "sys/generate-root/update" => {
            open(node, connection, false) && !has_token(request)
        }
        "sys/seal" | "sys/step-down" => !matches!(*method, Method::POST | Method::PUT),
        // HEAD is for health alone.
        _ => method == Method::HEAD,
    }
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
        "sys/seal-status" if reads => Ok(encode::object(200, &node.seal_status())),
        "sys/leader" if reads => Ok(encode::object(200, &leader())),
        "sys/init" if reads => {
            Ok(encode::object(200, &Map::from([("initialized".to_owned(), Json::Bool(node.initialized()))])))
        }
        "sys/init" if writes => init(node, body(incoming, connection).await?).await,
        "sys/unseal" if writes => unseal(node, body(incoming, connection).await?).await,
        "sys/rekey/init"
        | "sys/rekey/update"
        | "sys/generate-root"
        | "sys/generate-root/attempt"
        | "sys/generate-root/update" => {
            let control = node.control()?;
            let args = Args::new(Vec::new(), body(incoming, connection).await?);
            ceremony(control.as_ref(), path, &parts.method, args).await
        }
        _ => Err(Error::Method),
    }
}

async fn ceremony(
    control: &dyn crate::system::Control,
    path: &str,
    method: &Method,
    mut args: Args,
) -> Result<Response<Body>> {
    let rekey = path.starts_with("sys/rekey");
    let (key, nonce, otp);
    let step = match *method {
        Method::GET if !path.ends_with("/update") => CeremonyStep::Status,
        Method::DELETE if !path.ends_with("/update") => CeremonyStep::Cancel,
        Method::POST | Method::PUT if path.ends_with("/update") => {
            key = <Option<Secret<String>> as Param>::take("key", &mut args)?.unwrap_or_default();
            nonce = <Option<String> as Param>::take("nonce", &mut args)?.unwrap_or_default();
            CeremonyStep::Offer { key: &key, nonce: &nonce }
        }
        Method::POST | Method::PUT => {
            let unsupported = ["pgp_keys", "pgp_key", "backup", "require_verification"];
            let asks = |value: Json| {
                !matches!(value, Json::Bool(false)) && value.as_str() != Some("") && value != Json::Array(Vec::new())
            };
            for name in unsupported {
                if args.take(name).is_some_and(asks) {
                    return Err(Error::invalid(format!("'{name}' is not supported")));
                }
            }
            let count = |v: Option<u64>| v.unwrap_or(0);
            let shares = (
                count(<Option<u64> as Param>::take("secret_shares", &mut args)?),
                count(<Option<u64> as Param>::take("secret_threshold", &mut args)?),
            );
            otp = <Option<Secret<String>> as Param>::take("otp", &mut args)?;
            CeremonyStep::Start { shares, otp: otp.as_ref().filter(|o| !o.reveal().is_empty()) }
        }
        _ => return Err(Error::UnsupportedOperation),
    };
    let ends = matches!(step, CeremonyStep::Cancel);
    let map = if rekey { control.rekey(step).await? } else { control.generate_root(step).await? };
    Ok(if ends { encode::nothing() } else { encode::object(200, &map) })
}

async fn init(node: &Arc<Node>, body: Map) -> Result<Response<Body>> {
    let mut args = Args::new(Vec::new(), body);
    for name in ["pgp_keys", "root_token_pgp_key", "recovery_pgp_keys"] {
        if args.take(name).is_some_and(|v| v != Json::Array(Vec::new()) && v.as_str() != Some("")) {
            return Err(Error::invalid(format!("'{name}' is not supported")));
        }
    }
    let shares = <Option<u64> as Param>::take("secret_shares", &mut args)?.unwrap_or(0);
    let threshold = <Option<u64> as Param>::take("secret_threshold", &mut args)?.unwrap_or(0);
    // Nobody stops half-way: a client that goes away would leave shares that no one has seen.
    if node.initialized() {
        return Err(Error::invalid("Vault is already initialized"));
    }
    let shape = Shape::of(shares, threshold)?;
    let (shares, root_token) = node.initialize(shape).await?;
    let texts = |f: fn(&Secret<Vec<u8>>) -> Secret<String>| -> Json {
        shares.iter().map(|s| f(s).reveal().clone()).collect::<Vec<String>>().into()
    };
    Ok(encode::object(
        200,
        &Map::from([
            ("keys".to_owned(), texts(seal::text_hex)),
            ("keys_base64".to_owned(), texts(seal::text_base64)),
            ("root_token".to_owned(), root_token.reveal().as_str().into()),
        ]),
    ))
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
        let share = seal::parse_share(&key)?;
        // The end of it is not left to a client that may go away.
        let node = node.clone();
        let done = tokio::spawn(async move { node.unseal(share).await }).await;
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
                _ => Err(Error::invalid(format!("bad value for '{name}'"))),
            },
        }
    };
    for name in ["standbyok", "perfstandbyok"] {
        if let Some(text) = query.get(name).and_then(Json::as_str)
            && parse_bool(text).is_none()
        {
            return Err(Error::invalid(format!("bad value for '{name}'")));
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
