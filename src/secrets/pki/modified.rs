//! `If-Modified-Since` at what anybody fetches again and again: certificates of issuers, and lists.
//!
//! A moment is said only once its second is over: two states of one second would have the same date, and who saw the first
//! would never be given the second.

use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};

use super::Pki;
use crate::base::Timestamp;
use crate::engine::{Body, Cx, Reply};

/// The answer with the date of what it shows; 304 without a body for who has seen that already.
pub fn dated(cx: &Cx<Pki>, modified: Option<Timestamp>, mut reply: Reply) -> Reply {
    let Some(modified) = modified.filter(|at| at.as_second() < cx.now().as_second()) else { return reply };
    let Body::Raw { status, headers, bytes, .. } = &mut reply.body else { return reply };
    if *status != 200 {
        return reply;
    }
    headers.extend(http_date(modified).map(|date| ("last-modified", date)));
    let seen = cx.header("if-modified-since").and_then(moment);
    if seen.is_some_and(|seen| seen.as_second() >= modified.as_second()) {
        *status = 304;
        bytes.clear();
    }
    reply
}

fn http_date(moment: Timestamp) -> Option<String> {
    DateTimePrinter::new().timestamp_to_rfc9110_string(&moment).ok()
}

/// What is no date is as if it were not there (RFC 9110 section 13.1.3).
fn moment(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(text.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_as_it_is_read() {
        let at: Timestamp = "2026-01-01T00:00:07.5Z".parse().unwrap();
        let text = http_date(at).unwrap();
        assert_eq!(text, "Thu, 01 Jan 2026 00:00:07 GMT");
        assert_eq!(moment(&text).unwrap().as_second(), at.as_second());
        for none in ["", "yesterday", "2026-01-01", "Thu, 01 Jan 2026 25:00:07 GMT", "\u{e9}"] {
            assert_eq!(moment(none), None, "{none}");
        }
    }
}
