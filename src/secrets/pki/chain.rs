//! The chain of an issuer: its certificate and those above it, as far as this mount knows them.

use super::issuer::{ISSUERS_MAX, Issuer};
use crate::base::{Error, Result};
use crate::crypto::x509::Certificate;

/// The longest chain that is built.
const CHAIN_MAX: usize = 16;

/// Those issuers whose chain is not what is stored, with the right one; and all those of the ids in `fresh`.
///
/// # Errors
/// [`Error::Invalid`] for a chain set by hand that names an issuer which is not there.
pub fn renewed(issuers: &[Issuer], fresh: &[String]) -> Result<Vec<Issuer>> {
    debug_assert!(issuers.len() <= ISSUERS_MAX);
    let mut parsed = Vec::with_capacity(issuers.len());
    for issuer in issuers {
        parsed.push(Certificate::from_pem(&issuer.certificate)?);
    }
    let mut changed = Vec::new();
    for (place, issuer) in issuers.iter().enumerate() {
        let chain = match issuer.manual_chain.is_empty() {
            true => by_signature(place, &parsed, issuers),
            false => by_hand(issuer, issuers)?,
        };
        if chain != issuer.chain || fresh.contains(&issuer.id) {
            changed.push(Issuer { chain, ..issuer.clone() });
        }
    }
    Ok(changed)
}

fn by_hand(issuer: &Issuer, issuers: &[Issuer]) -> Result<Vec<String>> {
    let pem = |id: &String| {
        let found = issuers.iter().find(|other| other.id == *id);
        let found = found.ok_or_else(|| Error::invalid("manual_chain: one is no issuer of this mount"))?;
        Ok(found.certificate.clone())
    };
    issuer.manual_chain.iter().map(pem).collect()
}

/// Upwards until a certificate that signed itself, or whose issuer is not known.
fn by_signature(place: usize, parsed: &[Certificate], issuers: &[Issuer]) -> Vec<String> {
    let mut chain = vec![place];
    while chain.len() < CHAIN_MAX {
        let last = &parsed[chain[chain.len() - 1]];
        if last.issuer() == last.subject() && last.verify_by(last).is_ok() {
            break;
        }
        let above = |at: &usize| !chain.contains(at) && last.verify_by(&parsed[*at]).is_ok();
        match (0..parsed.len()).find(above) {
            Some(at) => chain.push(at),
            None => break,
        }
    }
    chain.into_iter().map(|at| issuers[at].certificate.clone()).collect()
}
