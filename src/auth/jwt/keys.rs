//! The keys of the issuer: static, from its key set, or found by discovery; kept for minutes.
//!
//! A token that names an unknown key makes the engine look again, but never oftener than once in `JWKS_FLOOR_SECONDS`, whether the look
//! succeeds or not, and one look at a time: a flood of made-up names costs the issuer nothing, and waits for nobody while it is down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

use super::Jwt;
use super::config::{Config, authorities};
use crate::auth::jws::{Distrust, Unverified, VerifyKey, key_set};
use crate::base::json::Map;
use crate::base::{Error, Json, Result, limits};
use crate::engine::Cx;
use crate::outbound::{Address, Fetch, fetch};

/// The keys at hand.
#[derive(Default)]
pub struct Keys {
    at_hand: ArcSwapOption<Set>,
    /// Held by who looks; the others wait and find what was found.
    looking: Mutex<Option<Attempt>>,
    /// How many looks have failed: who waited for one that did has its answer.
    failures: AtomicU64,
}

/// The last look, however it ended.
struct Attempt {
    revision: String,
    begun: Duration,
}

/// What an issuer said.
pub struct Set {
    revision: String,
    read: Duration,
    keys: Vec<VerifyKey>,
    /// What discovery told; nothing where there was none.
    pub issuer: Issuer,
}

/// The metadata of an issuer, as far as it is needed.
#[derive(Clone, Debug, Default)]
pub struct Issuer {
    /// Its name, which its tokens must carry.
    pub name: String,
    /// Where people log in.
    pub authorization: String,
    /// Where a code becomes a token.
    pub token: String,
    /// Where more is told of a person; may be empty.
    pub userinfo: String,
    /// Whether it takes its client's secret in the form only.
    pub secret_in_form: bool,
}

/// The claims of a token that one of the issuer's keys signed.
///
/// # Errors
/// [`Error::Invalid`] when none did, [`Error::Unavailable`] when the issuer cannot be asked.
pub async fn verified(cx: &Cx<Jwt>, config: &Config, token: &str) -> Result<Map> {
    let token = Unverified::parse(token)?;
    let set = set(cx, config).await?;
    match token.verify(&set.keys, config.algorithms()) {
        Err(Distrust::UnknownKey) if config.jwt_validation_pubkeys.is_empty() => {
            let newer = newer(cx, config, set.read).await?;
            token.verify(&newer.keys, config.algorithms()).cloned()
        }
        answer => answer.cloned(),
    }
    .map_err(|why| Error::invalid(format!("error verifying token: {}", why.words())))
}

/// The keys, not older than they may be.
///
/// # Errors
/// As [`look`], where there are none that are still good.
pub async fn set(cx: &Cx<Jwt>, config: &Config) -> Result<Arc<Set>> {
    let keys = &cx.engine().keys;
    let Some(known) = good(cx, config) else {
        let failures = keys.failures.load(Ordering::Acquire);
        let mut last = keys.looking.lock().await;
        if let Some(found) = good(cx, config) {
            return Ok(found);
        }
        if keys.failures.load(Ordering::Acquire) != failures {
            return Err(unavailable());
        }
        return attempt(cx, config, &mut last).await;
    };
    if !config.jwt_validation_pubkeys.is_empty() || age(cx, &known) < limits::JWKS_FRESH_SECONDS {
        return Ok(known);
    }
    // Who finds another one looking, or that one looked in vain a moment ago, takes what there is.
    let Ok(mut last) = keys.looking.try_lock() else { return Ok(known) };
    if tried(cx, config, last.as_ref()) {
        return Ok(known);
    }
    Ok(attempt(cx, config, &mut last).await.unwrap_or(known))
}

/// The keys, read again since that moment unless it was too short a while ago.
async fn newer(cx: &Cx<Jwt>, config: &Config, than: Duration) -> Result<Arc<Set>> {
    let mut last = cx.engine().keys.looking.lock().await;
    let known = good(cx, config);
    if let Some(known) = known.as_ref().filter(|known| known.read > than) {
        return Ok(known.clone());
    }
    if let Some(tried) = last.as_ref().filter(|last| tried(cx, config, Some(last))) {
        // What was asked and not answered is not known: the key may be one of the issuer's.
        return known.filter(|known| known.read >= tried.begun).ok_or_else(unavailable);
    }
    attempt(cx, config, &mut last).await
}

fn unavailable() -> Error {
    Error::Unavailable("the issuer's keys could not be had".into())
}

/// The keys at hand, if they are this configuration's and not too old to be believed.
fn good(cx: &Cx<Jwt>, config: &Config) -> Option<Arc<Set>> {
    let known = cx.engine().keys.at_hand.load_full().filter(|set| set.revision == config.revision)?;
    (!config.jwt_validation_pubkeys.is_empty() || age(cx, &known) < limits::JWKS_STALE_SECONDS).then_some(known)
}

fn age(cx: &Cx<Jwt>, set: &Set) -> u64 {
    cx.clock.monotonic().saturating_sub(set.read).as_secs()
}

/// Whether the issuer was asked a moment ago, with whatever success.
fn tried(cx: &Cx<Jwt>, config: &Config, last: Option<&Attempt>) -> bool {
    let floor = Duration::from_secs(limits::JWKS_FLOOR_SECONDS);
    let soon = |begun: Duration| cx.clock.monotonic().saturating_sub(begun) < floor;
    last.is_some_and(|last| last.revision == config.revision && soon(last.begun))
}

/// A look that is on record, and whose result is kept.
async fn attempt(cx: &Cx<Jwt>, config: &Config, last: &mut Option<Attempt>) -> Result<Arc<Set>> {
    let keys = &cx.engine().keys;
    *last = Some(Attempt { revision: config.revision.clone(), begun: cx.clock.monotonic() });
    let found = look(cx, config).await.map(Arc::new);
    match &found {
        Ok(set) => keys.at_hand.store(Some(set.clone())),
        Err(_) => {
            keys.failures.fetch_add(1, Ordering::Release);
        }
    }
    found
}

/// Asks the issuer.
///
/// # Errors
/// [`Error::Unavailable`] when it does not answer, [`Error::Invalid`] when its answer is not what it should be.
pub async fn look(cx: &Cx<Jwt>, config: &Config) -> Result<Set> {
    let read = cx.clock.monotonic();
    let set = |keys, issuer| Set { revision: config.revision.clone(), read, keys, issuer };
    if !config.jwt_validation_pubkeys.is_empty() {
        let keys = config.jwt_validation_pubkeys.iter().map(|pem| VerifyKey::from_pem(pem)).collect::<Result<_>>()?;
        return Ok(set(keys, Issuer::default()));
    }
    if !config.jwks_url.is_empty() {
        let body = get(cx, &config.jwks_url, "jwks_ca_pem", &config.jwks_ca_pem).await?;
        return Ok(set(key_set(&body)?, Issuer::default()));
    }
    let (field, pem) = ("oidc_discovery_ca_pem", &config.oidc_discovery_ca_pem);
    let name = config.oidc_discovery_url.trim_end_matches('/');
    let body = get(cx, &format!("{name}/.well-known/openid-configuration"), field, pem).await?;
    let told = Json::parse(&body)?;
    let word = |key: &str| told.at(key).and_then(Json::as_str).unwrap_or_default().to_owned();
    // Who answers at that address must be who it is said to be (OpenID Connect Discovery, section 4.3).
    if word("issuer").trim_end_matches('/') != name {
        return Err(Error::invalid("the issuer's metadata names another issuer"));
    }
    let keys = key_set(&get(cx, &word("jwks_uri"), field, pem).await?)?;
    let ways = |key: &str| match told.at(key) {
        Some(Json::Array(items)) => items.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let methods: Vec<String> = ways("token_endpoint_auth_methods_supported");
    let issuer = Issuer {
        name: word("issuer"),
        authorization: word("authorization_endpoint"),
        token: word("token_endpoint"),
        userinfo: word("userinfo_endpoint"),
        secret_in_form: !methods.is_empty() && !methods.iter().any(|m| m == "client_secret_basic"),
    };
    Ok(set(keys, issuer))
}

async fn get(cx: &Cx<Jwt>, url: &str, field: &str, pem: &str) -> Result<Vec<u8>> {
    let request = Fetch::get(Address::parse(url)?).trusting(authorities(field, pem)?);
    let answer = fetch(cx.outbound.as_ref(), request).await?;
    if answer.status != 200 {
        return Err(Error::Unavailable(format!("the issuer answered with status {}", answer.status)));
    }
    Ok(answer.body)
}
