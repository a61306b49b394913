//! What a client hears of its rate limit, in the headers that Vault uses.

use hyper::Response;
use hyper::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use super::encode;
use super::listener::Body;
use crate::quota::{Standing, Verdict};
use crate::vault::Refusal;

/// The answer to a request that is one too many. When to come again is always told; the rest where the configuration says so.
pub fn refused(verdict: &Verdict, tell: bool, refusal: &Refusal) -> Response<Body> {
    let mut answer = encode::error(&refusal.0);
    if let Some(standing) = &verdict.standing {
        answer.headers_mut().insert(RETRY_AFTER, number(standing.reset.as_secs().max(1)));
        if tell {
            mark(standing, answer.headers_mut());
        }
    }
    answer
}

/// Tells a client how it stands.
pub fn mark(standing: &Standing, headers: &mut HeaderMap) {
    for (name, value) in [
        ("x-ratelimit-limit", standing.limit),
        ("x-ratelimit-remaining", standing.remaining),
        ("x-ratelimit-reset", standing.reset.as_secs()),
    ] {
        headers.insert(HeaderName::from_static(name), number(value));
    }
}

fn number(value: u64) -> HeaderValue {
    HeaderValue::from(value)
}
