//! Which names the role of these stories allows, written from its settings alone: below a.test, in 10.0.0.0/8, of the
//! trust domain a.test.

use crate::der::{context, implicit};

/// A name as a request has it: its place among the general names, and its bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    pub kind: u8,
    pub value: Vec<u8>,
}

pub const EMAIL: u8 = 1;
pub const DNS: u8 = 2;
pub const URI: u8 = 6;
pub const IP: u8 = 7;

impl Name {
    pub fn text(kind: u8, text: &str) -> Self {
        Self { kind, value: text.as_bytes().to_vec() }
    }

    pub fn der(&self) -> Vec<u8> {
        match self.kind {
            0 | 3 | 4 | 5 => context(self.kind, &self.value),
            _ => implicit(self.kind, &self.value),
        }
    }

    /// Whether the role of this story allows it: below a.test, in 10.0.0.0/8, of the trust domain a.test.
    pub fn allowed(&self) -> bool {
        let text = std::str::from_utf8(&self.value);
        match (self.kind, text) {
            (DNS, Ok(name)) => below(name),
            (EMAIL, Ok(address)) => match address.split_once('@') {
                Some((user, domain)) => {
                    !user.is_empty() && user.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+') && inside(domain)
                }
                None => false,
            },
            (URI, Ok(uri)) => match uri.strip_prefix("spiffe://a.test/") {
                Some(path) => path.split('/').all(|segment| {
                    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
                    !segment.is_empty() && !segment.bytes().all(|b| b == b'.') && segment.bytes().all(fits)
                }),
                None => false,
            },
            (IP, _) => self.value.len() == 4 && self.value[0] == 10,
            _ => false,
        }
    }
}

fn host(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            let bytes = label.as_bytes();
            (1..=63).contains(&bytes.len())
                && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
                && bytes[0] != b'-'
                && bytes[bytes.len() - 1] != b'-'
        })
}

/// A host below a.test.
fn inside(name: &str) -> bool {
    host(name) && name.to_lowercase().ends_with(".a.test")
}

/// As [`inside`], or a wildcard for those right below a.test or below that.
pub fn below(name: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(base) => host(base) && (base.eq_ignore_ascii_case("a.test") || inside(base)),
        None => inside(name),
    }
}

/// What has to become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Signed,
    Refused,
    /// It may be refused; what is signed is checked all the same.
    Either,
}
