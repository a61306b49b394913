//! Asking the responders of a certificate's issuer whether it is revoked.
//!
//! What cannot be told (nobody answers, nobody who may, about another certificate, too old) is not good: it admits nobody, unless the role
//! says `ocsp_fail_open`. An answer that a certificate is revoked counts in any case.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::Cert;
use super::config;
use crate::base::{Error, Result, Ttl, limits, time};
use crate::crypto::sha256;
use crate::crypto::x509::{CertStatus, Certificate, OCSP_ANSWER_MAX, OcspAnswer, OcspQuestion};
use crate::engine::Cx;
use crate::outbound::{Address, Fetch, fetch};

/// How a role wants it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// Whether anybody is asked.
    pub enabled: bool,
    /// PEM: responders, and CAs of responders, that count beside the issuer.
    pub ca_certificates: String,
    /// Whom to ask instead of those that the certificate names.
    pub servers: Vec<String>,
    /// Admit where nothing can be told.
    pub fail_open: bool,
    /// Ask all, and admit only if all say good.
    pub query_all: bool,
    /// How old an answer may be; 0 for as it says itself.
    pub max_age: Ttl,
    /// How often one is asked again who does not answer.
    pub retries: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            enabled: false,
            ca_certificates: String::new(),
            servers: Vec::new(),
            fail_open: false,
            query_all: false,
            max_age: Ttl::ZERO,
            retries: 4,
        }
    }
}

impl Rules {
    /// Whether they can be followed.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn check(&self) -> Result<()> {
        let wrong = |field: &str, what: String| Error::invalid(format!("field '{field}': {what}"));
        let trusted =
            self.trusted().map_err(|_| wrong("ocsp_ca_certificates", "expected certificates in PEM".into()))?;
        if trusted.is_empty() && !self.ca_certificates.trim().is_empty() {
            return Err(wrong("ocsp_ca_certificates", "expected certificates in PEM".into()));
        }
        if trusted.len() > limits::TRUSTED_CERTIFICATES {
            let most = format!("at most {} certificates", limits::TRUSTED_CERTIFICATES);
            return Err(wrong("ocsp_ca_certificates", most));
        }
        if self.servers.len() > limits::OCSP_SERVERS {
            return Err(wrong("ocsp_servers_override", format!("at most {} addresses", limits::OCSP_SERVERS)));
        }
        for server in &self.servers {
            Address::parse(server).map_err(|error| wrong("ocsp_servers_override", error.to_string()))?;
        }
        if self.retries > limits::OCSP_RETRIES {
            return Err(wrong("ocsp_max_retries", format!("at most {}", limits::OCSP_RETRIES)));
        }
        Ok(())
    }

    fn trusted(&self) -> Result<Vec<Certificate>> {
        Ok(Certificate::all_from_pem(&self.ca_certificates)?)
    }
}

/// What is known after asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Good,
    Revoked,
    /// Nothing that counts.
    Nothing,
}

/// Good answers of a moment ago: what was asked, and until when it need not be asked again, by the monotonic clock.
#[derive(Default)]
pub struct Kept(Mutex<HashMap<[u8; 32], Duration>>);

/// Whether the responders admit a certificate of this issuer.
///
/// # Errors
/// [`Error::Unavailable`] when it cannot be told and the role wants to know.
pub async fn admits(
    cx: &Cx<Cert>,
    rules: &Rules,
    certificate: &Certificate,
    issuer: Option<&Certificate>,
) -> Result<bool> {
    let unknown = || match rules.fail_open {
        true => Ok(true),
        false => Err(Error::Unavailable(
            "whether the certificate is revoked cannot be told: no OCSP answer that counts".into(),
        )),
    };
    let Some(issuer) = issuer else { return unknown() };
    let servers = match rules.servers.is_empty() {
        true => certificate.ocsp_servers().unwrap_or_default(),
        false => rules.servers.clone(),
    };
    let what = digest(rules, &servers, certificate, issuer);
    if kept(cx, &what) {
        return Ok(true);
    }
    let asking = ask_all(cx, rules, &servers, certificate, issuer);
    let said = match timeout(Duration::from_secs(limits::OCSP_SECONDS), asking).await {
        Ok(said) => said?,
        Err(_) => Said::Nothing,
    };
    match said {
        Said::Good => {
            keep(cx, what)?;
            Ok(true)
        }
        Said::Revoked => Ok(false),
        Said::Nothing => {
            tracing::warn!(mount = %cx.mount.path, "no OCSP responder gave an answer that counts");
            unknown()
        }
    }
}

/// Who stands for a question: two certificates, and all that decides who may answer it.
fn digest(rules: &Rules, servers: &[String], certificate: &Certificate, issuer: &Certificate) -> [u8; 32] {
    let mut text = Vec::new();
    for part in [sha256(certificate.der()), sha256(issuer.der()), sha256(rules.ca_certificates.as_bytes())] {
        text.extend(part);
    }
    text.extend(format!("{}\n{}\n{}", rules.query_all, rules.max_age.seconds(), servers.join("\n")).as_bytes());
    sha256(&text)
}

fn kept(cx: &Cx<Cert>, what: &[u8; 32]) -> bool {
    let kept = cx.engine().good.0.lock().unwrap_or_else(PoisonError::into_inner);
    kept.get(what).is_some_and(|until| cx.clock.monotonic() < *until)
}

fn keep(cx: &Cx<Cert>, what: [u8; 32]) -> Result<()> {
    let most = usize::try_from(config::of(cx)?.ocsp_cache_size).unwrap_or_default();
    let now = cx.clock.monotonic();
    let mut kept = cx.engine().good.0.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= most {
        kept.retain(|_, until| now < *until);
    }
    // A full one keeps those that it has: they make room within the minute.
    if kept.len() < most {
        kept.insert(what, now + Duration::from_secs(limits::OCSP_KEPT_SECONDS));
    }
    Ok(())
}

async fn ask_all(
    cx: &Cx<Cert>,
    rules: &Rules,
    servers: &[String],
    certificate: &Certificate,
    issuer: &Certificate,
) -> Result<Said> {
    let trusted = rules.trusted()?;
    let mut all = Vec::new();
    for server in servers.iter().take(limits::OCSP_SERVERS) {
        let mut said = Said::Nothing;
        for _ in 0..=rules.retries {
            let mut nonce = [0; 32];
            cx.rng().fill(&mut nonce);
            let question = OcspQuestion::new(certificate, issuer, &nonce)?;
            if let Ok(answer) = ask(cx, server, &question, &trusted).await {
                said = judged(cx, rules, answer);
                break;
            }
        }
        match said {
            Said::Revoked => return Ok(Said::Revoked),
            Said::Good if !rules.query_all => return Ok(Said::Good),
            other => all.push(other),
        }
    }
    // All were asked: without `query_all` because none of them said anything that counts.
    let good = all.contains(&Said::Good) && (rules.fail_open || !all.contains(&Said::Nothing));
    Ok(if good { Said::Good } else { Said::Nothing })
}

async fn ask(cx: &Cx<Cert>, server: &str, question: &OcspQuestion, trusted: &[Certificate]) -> Result<OcspAnswer> {
    let request = Fetch::post(Address::parse(server)?, "application/ocsp-request", question.der()?)
        .at_most(OCSP_ANSWER_MAX)
        .within(Duration::from_secs(limits::OCSP_STEP_SECONDS));
    let answer = fetch(cx.outbound.as_ref(), request).await?;
    if answer.status != 200 {
        return Err(Error::Unavailable(format!("the responder answered with status {}", answer.status)));
    }
    Ok(question.believed(&answer.body, trusted, cx.now())?)
}

/// What an answer says that may be believed, if it is of now.
fn judged(cx: &Cx<Cert>, rules: &Rules, answer: OcspAnswer) -> Said {
    let now = cx.now();
    let skew = Ttl::from_seconds(limits::REVOCATION_SKEW_SECONDS);
    let young = |seconds: Ttl| time::after(answer.this_update, seconds) >= now;
    let of_now = answer.this_update <= time::after(now, skew)
        && match answer.next_update {
            Some(next) => next >= now,
            None => answer.fresh || !rules.max_age.is_zero() || young(Ttl::from_seconds(limits::OCSP_UNDATED_SECONDS)),
        }
        && (rules.max_age.is_zero() || young(rules.max_age));
    match answer.status {
        // Who was revoked is so also by an old answer; only certificates on hold come back, with another answer.
        CertStatus::Revoked(..) => Said::Revoked,
        CertStatus::Good if of_now => Said::Good,
        CertStatus::Good | CertStatus::Unknown => Said::Nothing,
    }
}
