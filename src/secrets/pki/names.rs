//! Which names are well formed, and which of them a role allows.
//!
//! A name is refused unless a rule admits it; nothing here repairs a name, since what was checked must be what is signed.

use super::role::Role;
use crate::base::glob;

/// The longest host name, in bytes (RFC 1035).
const HOST_MAX: usize = 253;
/// The longest label of one, in bytes.
const LABEL_MAX: usize = 63;

/// Whether this is a host name: labels of letters, digits and inner hyphens. A trailing dot is not part of one.
pub fn is_host(name: &str) -> bool {
    let label = |label: &str| {
        let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        label.len() <= LABEL_MAX
            && edge(label.as_bytes().first())
            && edge(label.as_bytes().last())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.len() <= HOST_MAX && name.split('.').all(label)
}

/// Whether this may stand in a certificate as a DNS name: a host name that is no address, perhaps below `*.`.
pub fn is_dns(name: &str) -> bool {
    let base = name.strip_prefix("*.").unwrap_or(name);
    is_host(base) && base.parse::<std::net::Ipv4Addr>().is_err()
}

/// Whether this may stand in a certificate as a mail address.
pub fn is_email(name: &str) -> bool {
    let Some((user, host)) = name.split_once('@') else { return false };
    let local = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte);
    !user.is_empty() && user.len() <= 64 && user.bytes().all(local) && is_host(host)
}

/// Whether this may stand in a certificate as a URI: a scheme, and nothing that a URI must escape. A SPIFFE ID has to be
/// one: a path with dots or empty segments would match a pattern as text and mean something else.
pub fn is_uri(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    let mut letters = scheme.bytes();
    let scheme_fits = letters.next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    if !scheme_fits || rest.is_empty() || !rest.bytes().all(fits) || !escapes_fit(rest) {
        return false;
    }
    !scheme.eq_ignore_ascii_case("spiffe") || (scheme == "spiffe" && is_spiffe(rest))
}

fn escapes_fit(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%').all(|(at, _)| {
        bytes.get(at + 1).is_some_and(u8::is_ascii_hexdigit) && bytes.get(at + 2).is_some_and(u8::is_ascii_hexdigit)
    })
}

/// What follows `spiffe:` (the SPIFFE ID specification, 2.1 to 2.3).
fn is_spiffe(rest: &str) -> bool {
    let Some(id) = rest.strip_prefix("//") else { return false };
    let (domain, path) = id.split_once('/').map_or((id, None), |(domain, path)| (domain, Some(path)));
    let in_domain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    let in_path = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let segment = |s: &str| !s.is_empty() && s != "." && s != ".." && s.bytes().all(in_path);
    !domain.is_empty()
        && domain.len() <= 255
        && domain.bytes().all(in_domain)
        && path.is_none_or(|path| path.split('/').all(segment))
}

/// Whether the role allows this common name, host name, wildcard or mail address. `display_name` is the token's.
pub fn allows(role: &Role, display_name: &str, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let (email, domain) = match name.split_once('@') {
        None => (false, name.as_str()),
        Some((user, domain)) if !user.is_empty() && !domain.contains('@') => (true, domain),
        Some(_) => return false,
    };
    let (wildcard, base) = match domain.strip_prefix("*.") {
        Some(base) => (true, base),
        None => (false, domain),
    };
    // Only a whole leftmost label can be a wildcard (RFC 9525), and a mail address has none.
    if base.is_empty() || base.contains('*') || (wildcard && (email || !role.allow_wildcard_certificates)) {
        return false;
    }
    if role.enforce_hostnames && !is_host(base) {
        return false;
    }
    if role.allow_any_name {
        return true;
    }
    // A wildcard stands for what is below its base: it is allowed where all that is.
    let below = |parent: &str| within(base, parent) || (wildcard && base == parent);
    if role.allow_localhost {
        for local in ["localhost", "localdomain"] {
            if (!wildcard && base == local) || (role.allow_subdomains && below(local)) {
                return true;
            }
        }
    }
    let display_name = display_name.to_ascii_lowercase();
    if role.allow_token_displayname && !display_name.is_empty() {
        let parent = display_name.split_once('@').map_or(display_name.as_str(), |(_, domain)| domain);
        if name == display_name || (role.allow_subdomains && !parent.is_empty() && below(parent)) {
            return true;
        }
    }
    role.allowed_domains.iter().map(|allowed| allowed.to_ascii_lowercase()).any(|allowed| {
        let bare = role.allow_bare_domains && (name == allowed || (email && domain == allowed));
        let sub = role.allow_subdomains && below(&allowed);
        let fits = role.allow_glob_domains && allowed.contains('*') && glob::fits(&allowed, &name);
        !allowed.is_empty() && (bare || sub || fits)
    })
}

fn within(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_uris_and_addresses_that_are_none() {
        let long = format!("{}.test", "a".repeat(64));
        for name in ["", ".", "a.", ".a", "a..b", "-a", "a-", "a_b", "a b", "*.a", "ä.test", "a\0b", long.as_str()] {
            assert!(!is_host(name), "{name:?}");
        }
        assert!(is_host("a-b.1.test") && is_host("localhost"));
        assert!(!is_dns("10.0.0.1") && !is_dns("*.10.0.0.1") && !is_dns("*") && !is_dns("a.*.test"));
        assert!(is_dns("*.a.test"));
        for name in ["@a", "a@", "a@b@c", "a b@c", "a@-c", "a\n@c", "\"a\"@c"] {
            assert!(!is_email(name), "{name:?}");
        }
        assert!(is_email("a+b@c.test"));
        for uri in ["", "a", ":a", "1a:b", "a:", "a: b", "a:\u{e4}", "a:%2", "a:%zz", "a:<b>"] {
            assert!(!is_uri(uri), "{uri:?}");
        }
        for uri in [
            "spiffe://ok/../bad",
            "spiffe://ok//a",
            "spiffe://ok/a/",
            "spiffe://ok/./a",
            "spiffe://OK/a",
            "SPIFFE://ok/a",
            "spiffe://ok:80/a",
            "spiffe://u@ok/a",
            "spiffe://ok/a?b",
            "spiffe://ok/a#b",
            "spiffe://ok/%61",
            "spiffe:ok",
            "spiffe:///a",
        ] {
            assert!(!is_uri(uri), "{uri:?}");
        }
        assert!(is_uri("spiffe://a.test/ns/x/sa/y_1") && is_uri("spiffe://a.test") && is_uri("urn:uuid:1"));
    }
}
