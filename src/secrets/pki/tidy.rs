//! Tidying: what ended long ago leaves the store, in bounded steps from the front of the index of ends.
//!
//!     tidy/run    the run at work, or the last one: what it is to do, what it did, when it began and ended
//!
//! `tidy` begins a run with its first step; the node with the task lock takes the others, one at a time, and begins runs
//! by itself where `config/auto-tidy` says so. A run is a row and nothing else, so that any node can go on with it.
//! What is revoked and has not ended is never touched: it is in a list.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::Pki;
use super::acme;
use super::issuer::{self, Issuer, IssuersConfig, What, issuer_key};
use super::store::{Ends, Stored, certificate_key, config_key, expiry_key, revoked_key};
use crate::barrier::Txn;
use crate::base::key::Segment;
use crate::base::time::nanoseconds;
use crate::base::{Error, Key, Result, Timestamp, Ttl, limits, time};
use crate::crypto::x509::Certificate;
use crate::engine::{Args, Cx, Field, Param, Params, Reply};
use crate::params;
use crate::storage::Version;

params! {
    /// What is tidied.
    pub struct TidyParams {
        /// Certificates that have ended.
        tidy_cert_store: Option<bool>,
        /// What is said of those that were revoked.
        tidy_revoked_certs: Option<bool>,
        /// Accepted: a revocation always knows its list here.
        tidy_revoked_cert_issuer_associations: Option<bool>,
        /// Issuers that have ended; never the default one.
        tidy_expired_issuers: Option<bool>,
        /// Accepted: there is no bundle of an older form.
        tidy_move_legacy_ca_bundle: Option<bool>,
        /// Accounts and orders of ACME that are of no use any more.
        tidy_acme: Option<bool>,
        /// Accepted: one data centre has no queue of revocations.
        tidy_revocation_queue: Option<bool>,
        /// Accepted: one data centre shares no revocations.
        tidy_cross_cluster_revoked_certs: Option<bool>,
        /// How long after their end.
        safety_buffer: Option<Ttl>,
        /// How long after an issuer's end.
        issuer_safety_buffer: Option<Ttl>,
        /// How long after the last order of an account.
        acme_account_safety_buffer: Option<Ttl>,
        /// Accepted: a step is small, and there is a pause between two.
        pause_duration: Option<String>,
        /// Accepted: a step has a size of its own.
        page_size: Option<i64>,
    }
    /// What is tidied without being asked.
    pub struct AutoTidyParams {
        /// Whether anything is.
        enabled: Option<bool>,
        /// How long between two runs.
        interval_duration: Option<Ttl>,
        /// Accepted and shown: nothing is counted as a whole.
        maintain_stored_certificate_counts: Option<bool>,
        /// Accepted and shown.
        publish_stored_certificate_count_metrics: Option<bool>,
        /// What is tidied.
        wanted: TidyParams,
    }
}

impl Param for TidyParams {
    fn fields(_: &'static str, _: &'static str) -> Vec<Field> {
        <Self as Params>::fields()
    }
    fn take(_: &'static str, args: &mut Args) -> Result<Self> {
        Self::parse(args)
    }
}

/// What a run is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wanted {
    pub tidy_cert_store: bool,
    pub tidy_revoked_certs: bool,
    pub tidy_revoked_cert_issuer_associations: bool,
    pub tidy_expired_issuers: bool,
    pub tidy_move_legacy_ca_bundle: bool,
    pub tidy_acme: bool,
    pub tidy_revocation_queue: bool,
    pub tidy_cross_cluster_revoked_certs: bool,
    pub safety_buffer: Ttl,
    pub issuer_safety_buffer: Ttl,
    pub acme_account_safety_buffer: Ttl,
    pub pause_duration: String,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            tidy_cert_store: false,
            tidy_revoked_certs: false,
            tidy_revoked_cert_issuer_associations: false,
            tidy_expired_issuers: false,
            tidy_move_legacy_ca_bundle: false,
            tidy_acme: false,
            tidy_revocation_queue: false,
            tidy_cross_cluster_revoked_certs: false,
            safety_buffer: Ttl::from_seconds(72 * 3600),
            issuer_safety_buffer: Ttl::from_seconds(365 * 86_400),
            acme_account_safety_buffer: Ttl::from_seconds(30 * 86_400),
            pause_duration: "0s".into(),
        }
    }
}

impl Wanted {
    fn changed(mut self, p: TidyParams) -> Self {
        macro_rules! take {
            ($($field:ident)*) => { $( if let Some(value) = p.$field { self.$field = value; } )* };
        }
        take!(tidy_cert_store tidy_revoked_certs tidy_revoked_cert_issuer_associations tidy_expired_issuers);
        take!(tidy_move_legacy_ca_bundle tidy_acme tidy_revocation_queue tidy_cross_cluster_revoked_certs);
        take!(safety_buffer issuer_safety_buffer acme_account_safety_buffer pause_duration);
        self
    }

    const fn something(&self) -> bool {
        self.tidy_cert_store
            || self.tidy_revoked_certs
            || self.tidy_revoked_cert_issuer_associations
            || self.tidy_expired_issuers
            || self.tidy_move_legacy_ca_bundle
            || self.tidy_acme
            || self.tidy_revocation_queue
            || self.tidy_cross_cluster_revoked_certs
    }
}

/// `config/auto-tidy`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct AutoTidy {
    pub enabled: bool,
    pub interval_duration: Ttl,
    pub maintain_stored_certificate_counts: bool,
    pub publish_stored_certificate_count_metrics: bool,
    #[serde(flatten)]
    pub wanted: Wanted,
}

impl Default for AutoTidy {
    fn default() -> Self {
        Self {
            enabled: false,
            interval_duration: Ttl::from_seconds(12 * 3600),
            maintain_stored_certificate_counts: false,
            publish_stored_certificate_count_metrics: false,
            wanted: Wanted::default(),
        }
    }
}

/// A run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Run {
    state: State,
    automatic: bool,
    wanted: Wanted,
    started: Option<Timestamp>,
    finished: Option<Timestamp>,
    /// When the last run ended that nobody asked for.
    last_automatic: Option<Timestamp>,
    cert_store_deleted: u64,
    revoked_cert_deleted: u64,
    issuers_deleted: u64,
    acme: acme::Tidied,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    #[default]
    Inactive,
    Running,
    Finished,
    Cancelled,
}

fn run_key() -> Key {
    Key::new("tidy/run")
}

pub async fn read_auto(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    shown(&cx.get::<AutoTidy>(&config_key("auto-tidy"))?.unwrap_or_default())
}

pub async fn write_auto(cx: Cx<Pki>, p: AutoTidyParams) -> Result<Reply> {
    let mut txn = cx.txn();
    let key = config_key("auto-tidy");
    let mut config: AutoTidy = txn.get(&key)?.unwrap_or_default();
    macro_rules! take {
        ($($field:ident)*) => { $( if let Some(value) = p.$field { config.$field = value; } )* };
    }
    take!(enabled interval_duration maintain_stored_certificate_counts publish_stored_certificate_count_metrics);
    config.wanted = config.wanted.changed(p.wanted);
    if config.enabled && !config.wanted.something() {
        return Err(Error::invalid("auto-tidy is enabled, but none of the tidy_ fields is set"));
    }
    if config.enabled && config.interval_duration.is_zero() {
        return Err(Error::invalid("interval_duration must not be 0"));
    }
    txn.put(&key, &config)?;
    Ok(shown(&config)?.with(txn))
}

fn shown(config: &AutoTidy) -> Result<Reply> {
    Ok(Reply::json(serde_json::to_value(config).map_err(Error::internal)?))
}

/// Begins a run, and takes its first step.
pub async fn tidy(cx: Cx<Pki>, p: TidyParams) -> Result<Reply> {
    let wanted = Wanted::default().changed(p);
    let mut txn = cx.txn();
    let last: Run = txn.get(&run_key())?.unwrap_or_default();
    if last.state == State::Running {
        return Ok(Reply::empty(txn).status(202).warning("a tidy operation is already in progress"));
    }
    if !wanted.something() {
        let none = "No targets to tidy; specify at least one of the tidy_ fields, such as tidy_cert_store=true";
        return Ok(Reply::empty(txn).status(202).warning(none));
    }
    let run = begun(&cx, wanted, false, last.last_automatic);
    let run = step(&cx, &mut txn, run)?;
    txn.put(&run_key(), &run)?;
    let begun = "Tidy operation successfully started. tidy-status tells how it goes.";
    Ok(Reply::empty(txn).status(202).warning(begun))
}

fn begun(cx: &Cx<Pki>, wanted: Wanted, automatic: bool, last_automatic: Option<Timestamp>) -> Run {
    Run { state: State::Running, automatic, wanted, started: Some(cx.now()), last_automatic, ..Run::default() }
}

pub async fn status(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    status_of(&cx.get::<Run>(&run_key())?.unwrap_or_default())
}

pub async fn cancel(cx: Cx<Pki>, (): ()) -> Result<Reply> {
    let mut txn = cx.txn();
    let mut run: Run = txn.get(&run_key())?.unwrap_or_default();
    if run.state != State::Running {
        return Err(Error::invalid("tidy operation cannot be cancelled as none is currently running"));
    }
    run.state = State::Cancelled;
    run.finished = Some(cx.now());
    txn.put(&run_key(), &run)?;
    Ok(status_of(&run)?.with(txn))
}

fn status_of(run: &Run) -> Result<Reply> {
    let moment = |at: Option<Timestamp>| at.map_or(serde_json::Value::Null, |at| at.to_string().into());
    let mut data = serde_json::to_value(&run.wanted).map_err(Error::internal)?;
    let more = serde_json::json!({
        "state": run.state,
        "error": null,
        "message": if run.automatic { "begun by config/auto-tidy" } else { "" },
        "time_started": moment(run.started),
        "time_finished": moment(run.finished),
        "last_auto_tidy_finished": moment(run.last_automatic),
        "cert_store_deleted_count": run.cert_store_deleted,
        "revoked_cert_deleted_count": run.revoked_cert_deleted,
        "expired_issuers_deleted_count": run.issuers_deleted,
        "acme_account_deleted_count": run.acme.accounts,
        "acme_orders_deleted_count": run.acme.orders,
    });
    if let (Some(data), serde_json::Value::Object(more)) = (data.as_object_mut(), more) {
        data.extend(more);
    }
    Ok(Reply::json(data))
}

/// One step of the run at work, or of one that is due; nothing where there is neither.
///
/// # Errors
/// Those of storage.
pub fn tend(cx: &Cx<Pki>) -> Result<Option<Txn>> {
    let mut txn = cx.txn();
    let run: Run = txn.get(&run_key())?.unwrap_or_default();
    let run = if run.state == State::Running {
        run
    } else {
        let config: AutoTidy = match cx.get(&config_key("auto-tidy"))? {
            Some(config) => config,
            None => return Ok(None),
        };
        let next = run.last_automatic.map(|last| time::after(last, config.interval_duration));
        if !config.enabled || next.is_some_and(|next| cx.now() < next) {
            return Ok(None);
        }
        begun(cx, config.wanted, true, run.last_automatic)
    };
    let run = step(cx, &mut txn, run)?;
    txn.put(&run_key(), &run)?;
    Ok(Some(txn))
}

/// Takes out a bounded part of what the run is to take out; it is finished when there is no more.
fn step(cx: &Cx<Pki>, txn: &mut Txn, mut run: Run) -> Result<Run> {
    let mut room = limits::BATCH_KEYS;
    if run.wanted.tidy_cert_store || run.wanted.tidy_revoked_certs {
        certificates(cx, txn, &mut run, &mut room)?;
    }
    if room > 0 && run.wanted.tidy_acme {
        let buffer = run.wanted.acme_account_safety_buffer;
        acme::tidy(cx, txn, buffer, &mut run.acme, &mut room)?;
    }
    if room > 0 && run.wanted.tidy_expired_issuers {
        expired_issuers(cx, txn, &mut run)?;
    }
    if room > 0 {
        run.state = State::Finished;
        run.finished = Some(cx.now());
        if run.automatic {
            run.last_automatic = Some(cx.now());
        }
    }
    Ok(run)
}

fn certificates(cx: &Cx<Pki>, txn: &mut Txn, run: &mut Run, room: &mut usize) -> Result<()> {
    let wanted = run.wanted.clone();
    let Some(before) = earlier(cx.now(), wanted.safety_buffer) else { return Ok(()) };
    let before = nanoseconds(before).max(0).unsigned_abs();
    let acme = cx.get::<acme::Config>(&config_key("acme"))?.is_some();
    for (folder, looked_at) in
        [(expiry_key(), true), (kept_key(true), wanted.tidy_revoked_certs), (kept_key(false), wanted.tidy_cert_store)]
    {
        if !looked_at || *room == 0 {
            continue;
        }
        let oldest: Vec<(Key, Version, Option<Ends>)> =
            cx.view().read(|reading| reading.versions_after(&folder, &Key::default(), *room))?;
        for (key, version, ends) in oldest {
            let mut segments = key.segments();
            let when = segments.next().and_then(Segment::number);
            let (Some(when), Some(Segment::Name(serial))) = (when, segments.next()) else { continue };
            if when >= before {
                break;
            }
            *room -= 1;
            let place = folder.clone().append(&key);
            let revoked = ends.map_or(folder == kept_key(true), |ends| ends.revoked);
            // Whoever revokes it meanwhile writes this row: then the step is taken again.
            txn.expect_version(&place, version);
            txn.delete(&place);
            if !(if revoked { wanted.tidy_revoked_certs } else { wanted.tidy_cert_store }) {
                // Out of the way of those behind it, until its kind is to be tidied too.
                txn.overwrite(&kept_key(revoked).append(&key), &())?;
                continue;
            }
            // What is not revoked is in no list: of most certificates nothing but this row is read.
            if revoked && let Some(stored) = cx.get::<Stored>(&certificate_key(serial))? {
                txn.delete(&revoked_key(&stored.list).join(serial));
            }
            run.cert_store_deleted += 1;
            run.revoked_cert_deleted += u64::from(revoked);
            if acme {
                acme::forget_certificate(txn, serial);
            }
            txn.delete(&certificate_key(serial));
        }
    }
    Ok(())
}

/// Has what was written of an ended certificate say that it is revoked, wherever tidying put it.
///
/// # Errors
/// Those of storage.
pub fn mark_revoked(txn: &mut Txn, serial: &str, stored: &Stored) -> Result<()> {
    let (place, ends) = stored.ends(serial);
    if txn.get::<Ends>(&place)?.is_some() {
        return txn.put(&place, &ends);
    }
    let below = Key::default().at(stored.not_after).join(serial);
    let kept = kept_key(false).append(&below);
    if txn.get::<()>(&kept)?.is_some() {
        txn.delete(&kept);
        txn.overwrite(&kept_key(true).append(&below), &())?;
    }
    Ok(())
}

/// Issuers that ended longer ago than the buffer, except the default one. There are few of them in all.
fn expired_issuers(cx: &Cx<Pki>, txn: &mut Txn, run: &mut Run) -> Result<()> {
    let Some(before) = earlier(cx.now(), run.wanted.issuer_safety_buffer) else { return Ok(()) };
    let config: IssuersConfig = cx.get(&config_key("issuers"))?.unwrap_or_default();
    let (gone, mut rest): (Vec<Issuer>, Vec<Issuer>) = issuer::all(cx.view())?.into_iter().partition(|one| {
        let ended = Certificate::from_pem(&one.certificate).is_ok_and(|certificate| certificate.not_after() < before);
        ended && one.id != config.default
    });
    if gone.is_empty() {
        return Ok(());
    }
    // The set's guard: chains are made of the others' certificates.
    txn.get::<IssuersConfig>(&config_key("issuers"))?;
    txn.put(&config_key("issuers"), &IssuersConfig { modified: Some(cx.now()), ..config })?;
    for one in &gone {
        issuer::drop_name(txn, What::Issuer, &one.name);
        txn.delete(&issuer_key(&one.id));
        run.issuers_deleted += 1;
    }
    for one in &mut rest {
        one.manual_chain.retain(|id| !gone.iter().any(|gone| gone.id == *id));
    }
    for one in super::chain::renewed(&rest, &[])? {
        txn.get::<Issuer>(&issuer_key(&one.id))?;
        txn.put(&issuer_key(&one.id), &one)?;
    }
    Ok(())
}

/// So long before a moment.
pub fn earlier(moment: Timestamp, span: Ttl) -> Option<Timestamp> {
    moment.checked_sub(SignedDuration::from_secs(i64::try_from(span.seconds()).unwrap_or(i64::MAX))).ok()
}

/// Those that ended long ago and are kept, revoked ones apart.
fn kept_key(revoked: bool) -> Key {
    Key::new("expired").join(if revoked { "revoked" } else { "good" })
}
