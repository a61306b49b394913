//! How a revocation list comes in: what is asked of it, and the fetching of those that have an address.
//!
//! A fetch that fails, or brings what cannot be believed, changes nothing: the list at hand counts until it ends, and after that nobody with a
//! certificate of its issuer gets in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Cert;
use super::lists::{Header, List, folder, load};
use super::role::{self, Role};
use crate::barrier::Txn;
use crate::base::{Error, Name, Result, Ttl, ids, limits, time};
use crate::crypto::pem::{self, Label};
use crate::crypto::x509::{CRL_MAX, Crl};
use crate::engine::Cx;
use crate::outbound::{Address, Fetch, fetch};

/// Fetches a list.
///
/// # Errors
/// [`Error::Unavailable`] when it does not come whole within the bounds, [`Error::Invalid`] when it is none.
pub async fn fetched(cx: &Cx<Cert>, address: Address) -> Result<Crl> {
    // In PEM it is longer by a third.
    let answer = fetch(cx.outbound.as_ref(), Fetch::get(address).at_most(CRL_MAX / 2 * 3)).await?;
    if answer.status != 200 {
        return Err(Error::Unavailable(format!("the server of the list answered with status {}", answer.status)));
    }
    let der = if answer.body.first() == Some(&b'-') { pem::first(&answer.body, Label::Crl)? } else { answer.body };
    Crl::from_der(&der).map_err(|_| Error::invalid("what was fetched is no revocation list"))
}

/// What is asked of a list before it is taken: it is complete and of now, and a trusted CA of its issuer's name, if there is one, has signed it.
/// Where there is none, the issuer is shown at the login, and the signature is looked at there.
///
/// # Errors
/// [`Error::Invalid`]; those of storage.
pub fn check(cx: &Cx<Cert>, crl: &Crl) -> Result<()> {
    let now = cx.now();
    if crl.is_delta() {
        return Err(Error::invalid("the list adds to another one; a complete list is needed"));
    }
    if crl.next_update().is_some_and(|end| end < now) {
        return Err(Error::invalid("the list has ended"));
    }
    if crl.this_update() > time::after(now, Ttl::from_seconds(limits::REVOCATION_SKEW_SECONDS)) {
        return Err(Error::invalid("the list was made in the future"));
    }
    let mut known = false;
    for name in cx.list(&role::folder())? {
        let Some(role) = cx.get::<Role>(&role::folder().join(&name))? else { continue };
        for ca in role.trusted()?.iter().filter(|ca| ca.is_ca() && ca.subject() == crl.issuer()) {
            if crl.verify_by(ca).is_ok() {
                return Ok(());
            }
            known = true;
        }
    }
    if known { Err(Error::invalid("no trusted CA of its issuer's name has signed the list")) } else { Ok(()) }
}

/// Puts a list in the place of the old one.
///
/// # Errors
/// Those of storage.
pub fn put(cx: &Cx<Cert>, txn: &mut Txn, name: &Name, old: Option<Header>, list: List, url: String) -> Result<()> {
    let now = cx.now();
    let fetched = (!url.is_empty()).then_some(now);
    let header = Header {
        revision: ids::uuid(cx.rng()),
        issuer: hex::encode(list.crl.issuer().der()),
        due: fetched.map(|_| due(cx, &list)),
        fetched,
        url,
        failures: 0,
    };
    if let Some(old) = old {
        txn.delete(&old.data());
    }
    txn.create(&header.data(), &STANDARD.encode(list.crl.der()))?;
    txn.put(&folder().join(name.as_str()), &header)
}

/// When a list that came now is asked for again.
fn due(cx: &Cx<Cert>, list: &List) -> crate::base::Timestamp {
    let after = |seconds| time::after(cx.now(), Ttl::from_seconds(seconds));
    let last = after(limits::CRL_REFRESH_SECONDS);
    list.crl.next_update().map_or(last, |end| end.clamp(after(limits::CRL_RETRY_SECONDS), last))
}

/// Fetches the first list that is due. One at a time: a turn of the background should be short.
///
/// # Errors
/// Those of storage.
pub async fn tend(cx: Cx<Cert>) -> Result<Option<Txn>> {
    for name in cx.list(&folder())? {
        let mut txn = cx.txn();
        let key = folder().join(&name);
        let Some(mut header) = txn.get::<Header>(&key)? else { continue };
        if header.url.is_empty() || header.due.is_some_and(|due| due > cx.now()) {
            continue;
        }
        match again(&cx, &mut txn, &name, &header).await {
            Ok(()) => {}
            Err(error @ (Error::Sealed | Error::Internal(_))) => return Err(error),
            Err(error) => {
                tracing::warn!(mount = %cx.mount.path, list = %name, %error, "a revocation list could not be fetched");
                let pause = limits::CRL_RETRY_SECONDS << header.failures.min(8);
                header.failures = header.failures.saturating_add(1);
                header.due = Some(time::after(cx.now(), Ttl::from_seconds(pause.min(limits::CRL_REFRESH_SECONDS))));
                txn.put(&key, &header)?;
            }
        }
        return Ok(Some(txn));
    }
    Ok(None)
}

async fn again(cx: &Cx<Cert>, txn: &mut Txn, name: &str, header: &Header) -> Result<()> {
    let crl = fetched(cx, Address::parse(&header.url)?).await?;
    let held = load(cx, header)?;
    if crl.der() == held.crl.der() {
        let header = Header { fetched: Some(cx.now()), due: Some(due(cx, &held)), failures: 0, ..header.clone() };
        // One that has ended stays what it is, however often it is served.
        return txn.put(&folder().join(name), &header);
    }
    if crl.issuer() != held.crl.issuer() {
        return Err(Error::invalid("what was fetched is another issuer's list"));
    }
    if crl.this_update() < held.crl.this_update() {
        return Err(Error::invalid("what was fetched is older than the list at hand"));
    }
    check(cx, &crl)?;
    put(cx, txn, &Name::parse(name)?, Some(header.clone()), List::of(crl), header.url.clone())
}
