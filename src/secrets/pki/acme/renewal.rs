//! Renewal information (RFC 9773): when to renew a certificate, spread so that those of one deploy do not all come
//! back at once, and at once where a certificate was revoked.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jiff::SignedDuration;

use super::desk::{self, Answer, Place};
use super::identifier::Identifier;
use super::order::{Issued, issued_key};
use super::problem::{Fault, Kind, Problem, problem};
use crate::base::{Json, Result, Timestamp};
use crate::crypto::sha256;
use crate::crypto::x509::{self, Certificate};
use crate::engine::{Cx, Reply};
use crate::secrets::pki::Pki;
use crate::secrets::pki::store::{Stored, certificate_key};

/// How long a client may wait until it asks again, in seconds.
const ASK_AGAIN: &str = "21600";

/// A certificate by the name that RFC 9773 has for it: its issuer's key id, and its serial number.
fn named(cx: &Cx<Pki>, id: &str) -> Result<(String, Stored, Certificate), Fault> {
    let unknown = || Fault::from(Problem::new(Kind::Malformed, "there is no such certificate").status(404));
    let (key_id, serial) = id.split_once('.').ok_or_else(unknown)?;
    let (key_id, serial) = (BASE64.decode(key_id), BASE64.decode(serial));
    let (Ok(key_id), Ok(serial)) = (key_id, serial) else { return Err(unknown()) };
    if serial.is_empty() || serial.len() > 21 {
        return Err(unknown());
    }
    let serial = x509::serial_text(&serial);
    let stored: Stored = cx.get(&certificate_key(&serial))?.ok_or_else(unknown)?;
    let certificate = Certificate::from_pem(&stored.certificate)?;
    if certificate.authority_key_id()?.as_deref() != Some(&key_id[..]) {
        return Err(unknown());
    }
    Ok((serial, stored, certificate))
}

pub async fn info(cx: Cx<Pki>, place: Place) -> Result<Reply> {
    desk::open_to_all(cx, place, |desk| {
        let id = desk.place.id.clone().unwrap_or_default();
        let (serial, stored, certificate) = named(&desk.cx, &id)?;
        let (start, end) = match stored.revoked {
            Some(at) => (at, at),
            None => window(certificate.not_before(), certificate.not_after(), &serial),
        };
        let window = Json::object([("start", Json::from(start.to_string())), ("end", end.to_string().into())]);
        Ok(Answer::json(200, &Json::object([("suggestedWindow", window)])).header("retry-after", ASK_AGAIN))
    })
}

/// About two thirds into a certificate's life: its serial number says where exactly.
fn window(begin: Timestamp, end: Timestamp, serial: &str) -> (Timestamp, Timestamp) {
    let life = end.as_second().saturating_sub(begin.as_second()).max(0);
    let digest = sha256(serial.as_bytes());
    let place = i64::from(u16::from_be_bytes([digest[0], digest[1]]));
    // From 60 % on, spread over 10 %; the window itself is 5 % long.
    let start = life * 6 / 10 + life / 10 * place / i64::from(u16::MAX);
    let at = |seconds: i64| begin.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(end);
    (at(start), at(start + (life / 20).max(1)))
}

/// The serial number of a certificate that an order says it takes the place of.
///
/// # Errors
/// The problems `malformed`, `unauthorized` and `alreadyReplaced`.
pub fn replaced(cx: &Cx<Pki>, id: &str, account: &str, wanted: &[Identifier]) -> Result<String, Fault> {
    let (serial, ..) = named(cx, id)?;
    let issued: Option<Issued> = cx.get(&issued_key(&serial))?;
    let Some(issued) = issued.filter(|issued| issued.account == account) else {
        return problem(Kind::Unauthorized, "the certificate to be replaced is another account's");
    };
    if !wanted.iter().any(|one| issued.identifiers.contains(one)) {
        return problem(Kind::Malformed, "the certificate to be replaced has none of the order's identifiers");
    }
    if issued.replaced_by.is_some() {
        return problem(Kind::AlreadyReplaced, "the certificate was replaced already");
    }
    Ok(serial)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_spread_and_lie_within_the_life() {
        let begin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for days in [1, 90] {
            let end = begin.checked_add(SignedDuration::from_hours(24 * days)).unwrap();
            let windows: Vec<_> = (0..200).map(|serial| window(begin, end, &format!("{serial:x}"))).collect();
            assert!(windows.iter().all(|(from, to)| from < to && *from > begin && *to < end));
            let starts: std::collections::BTreeSet<_> = windows.iter().map(|(from, _)| *from).collect();
            assert!(starts.len() > 150, "{}", starts.len());
        }
    }
}
