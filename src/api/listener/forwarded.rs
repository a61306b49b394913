//! Whose address counts when a proxy stands between: `X-Forwarded-For`, from proxies that are believed.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;

use crate::config::Forwarded;

/// Most entries that are looked at.
const ENTRIES_MAX: usize = 256;

/// Why a request is not taken: 400 for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForwardedError {
    /// A believed proxy names no client.
    #[error("missing x-forwarded-for header and configured to reject when not present")]
    Missing,
    /// Somebody who is not believed names one.
    #[error("client address not authorized for x-forwarded-for and configured to reject connection")]
    NotAuthorized,
    /// There are fewer entries than proxies to skip.
    #[error("x-forwarded-for has fewer entries than the hops to skip")]
    TooShort,
    /// What counts is not an address.
    #[error("x-forwarded-for holds something that is not an address")]
    Malformed,
}

/// The client's address: what the header says if `rules` believe `remote`, else `remote`. The port stays the connection's.
pub(super) fn client(
    rules: Option<&Forwarded>,
    remote: SocketAddr,
    headers: &HeaderMap,
) -> Result<SocketAddr, ForwardedError> {
    let Some(rules) = rules else { return Ok(remote) };
    let mut lines = headers.get_all("x-forwarded-for").iter().peekable();
    if lines.peek().is_none() {
        return if rules.reject_not_present { Err(ForwardedError::Missing) } else { Ok(remote) };
    }
    let peer = remote.ip().to_canonical();
    if !rules.authorized.iter().any(|network| network.contains(&peer)) {
        return if rules.reject_not_authorized { Err(ForwardedError::NotAuthorized) } else { Ok(remote) };
    }
    let mut entries = Vec::new();
    for line in lines {
        let line = line.to_str().map_err(|_| ForwardedError::Malformed)?;
        entries.extend(line.split(',').map(str::trim));
        if entries.len() > ENTRIES_MAX {
            return Err(ForwardedError::Malformed);
        }
    }
    let index = entries.len().checked_sub(rules.hop_skips + 1).ok_or(ForwardedError::TooShort)?;
    Ok(SocketAddr::new(address(entries[index])?, remote.port()))
}

/// An address, with or without a port.
fn address(text: &str) -> Result<IpAddr, ForwardedError> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical());
    }
    if let Some(bare) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return bare.parse().map_err(|_| ForwardedError::Malformed);
    }
    text.parse::<SocketAddr>().map(|address| address.ip().to_canonical()).map_err(|_| ForwardedError::Malformed)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn seen(rules: &Forwarded, remote: &str, lines: &[&str]) -> Result<String, ForwardedError> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", HeaderValue::from_str(line).unwrap());
        }
        client(Some(rules), remote.parse().unwrap(), &headers).map(|address| address.to_string())
    }

    fn rules() -> Forwarded {
        Forwarded {
            authorized: vec!["10.0.0.0/8".parse().unwrap()],
            hop_skips: 0,
            reject_not_present: true,
            reject_not_authorized: true,
        }
    }

    #[test]
    fn who_is_not_believed_is_refused_or_counted_as_himself() {
        assert_eq!(seen(&rules(), "1.2.3.4:5", &["9.9.9.9"]), Err(ForwardedError::NotAuthorized));
        let lenient = Forwarded { reject_not_authorized: false, reject_not_present: false, ..rules() };
        assert_eq!(seen(&lenient, "1.2.3.4:5", &["9.9.9.9"]), Ok("1.2.3.4:5".into()));
        assert_eq!(seen(&lenient, "10.0.0.1:5", &[]), Ok("10.0.0.1:5".into()));
    }

    #[test]
    fn what_a_believed_proxy_says_must_make_sense() {
        assert_eq!(seen(&rules(), "10.0.0.1:5", &[]), Err(ForwardedError::Missing));
        assert_eq!(seen(&rules(), "10.0.0.1:5", &["unknown"]), Err(ForwardedError::Malformed));
        assert_eq!(seen(&rules(), "10.0.0.1:5", &["9.9.9.9,"]), Err(ForwardedError::Malformed));
        let skipping = Forwarded { hop_skips: 2, ..rules() };
        assert_eq!(seen(&skipping, "10.0.0.1:5", &["9.9.9.9, 8.8.8.8"]), Err(ForwardedError::TooShort));
        let many = vec!["1.1.1.1"; ENTRIES_MAX + 1].join(",");
        assert_eq!(seen(&rules(), "10.0.0.1:5", &[&many]), Err(ForwardedError::Malformed));
    }

    #[test]
    fn the_last_entry_counts_that_is_no_proxy_of_ours() {
        assert_eq!(seen(&rules(), "10.0.0.1:5", &["1.1.1.1, 2.2.2.2", "3.3.3.3"]), Ok("3.3.3.3:5".into()));
        assert_eq!(seen(&rules(), "[::ffff:10.0.0.1]:5", &["[2001:db8::1]:99"]), Ok("[2001:db8::1]:5".into()));
        let skipping = Forwarded { hop_skips: 1, ..rules() };
        assert_eq!(seen(&skipping, "10.0.0.1:5", &["1.1.1.1, 2.2.2.2", "3.3.3.3"]), Ok("2.2.2.2:5".into()));
    }
}
