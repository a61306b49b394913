//! Every combination of what a role says about names, against a model written from Vault's documentation.
//!
//! The model shares nothing with `names` and `admission`: it walks letters where they split texts, and takes a role as
//! the list of flags that the documentation describes. Where we are stricter on purpose the model says so.

use super::super::*;
use super::{asked, csr, facts, texts};
use crate::secrets::pki::role::Role;

/// The flags of a role that are about host names, one bit each.
#[derive(Clone, Copy, Debug)]
struct Flags(u32);

const FLAGS: u32 = 10;

impl Flags {
    fn has(self, bit: u32) -> bool {
        self.0 >> bit & 1 == 1
    }
    fn any_name(self) -> bool {
        self.has(0)
    }
    fn bare(self) -> bool {
        self.has(1)
    }
    fn subdomains(self) -> bool {
        self.has(2)
    }
    fn globs(self) -> bool {
        self.has(3)
    }
    fn wildcards(self) -> bool {
        self.has(4)
    }
    fn localhost(self) -> bool {
        self.has(5)
    }
    fn display_name(self) -> bool {
        self.has(6)
    }
    fn hostnames(self) -> bool {
        self.has(7)
    }
    /// What a common name has to be: either of both, one of them, or anything.
    fn validations(self) -> &'static [&'static str] {
        [&["email", "hostname"][..], &["hostname"], &["email"], &["disabled"]][(self.0 >> 8 & 3) as usize]
    }

    fn role(self) -> Role {
        Role {
            allow_any_name: self.any_name(),
            allow_bare_domains: self.bare(),
            allow_subdomains: self.subdomains(),
            allow_glob_domains: self.globs(),
            allow_wildcard_certificates: self.wildcards(),
            allow_localhost: self.localhost(),
            allow_token_displayname: self.display_name(),
            enforce_hostnames: self.hostnames(),
            cn_validations: texts(self.validations()),
            allowed_domains: texts(DOMAINS),
            ..super::role()
        }
    }
}

const DOMAINS: &[&str] = &["d.test", "app-*.g.test", "*.lit.test", "ann@mail.test"];
/// That of the token, in these tests.
const DISPLAY_NAME: &str = "bot";

const NAMES: &[&str] = &[
    "d.test",
    "D.Test",
    "s.d.test",
    "a.b.d.test",
    "xd.test",
    "d.test.evil.test",
    "test",
    "e.test",
    "*.d.test",
    "*.s.d.test",
    "*.e.test",
    "*.test",
    "app-1.g.test",
    "app-.g.test",
    "APP-1.G.TEST",
    "app-1.x.g.test",
    "*.app-1.g.test",
    "web.g.test",
    "*.lit.test",
    "a.lit.test",
    "lit.test",
    "localhost",
    "a.localhost",
    "*.localhost",
    "localdomain",
    "a.localdomain",
    "localhost.evil.test",
    "bot",
    "x.bot",
    "*.bot",
    "xbot",
    "under_score.d.test",
    "a..d.test",
    "-a.d.test",
    "*",
    "*.",
    "*d.test",
    "a*.d.test",
    "*.*.d.test",
    "a.*.d.test",
    "me@d.test",
    "me@s.d.test",
    "me@e.test",
    "ann@mail.test",
    "ben@mail.test",
    "me@localhost",
    "me@*.d.test",
    "@d.test",
    "me@",
    "a@b@d.test",
    "me@app-1.g.test",
    "",
];

/// Letters, digits and inner hyphens between dots: what the documentation calls a valid host name.
fn host(name: &str) -> bool {
    let mut before = '.';
    let mut length = 0;
    for letter in name.chars().chain(['.']) {
        let fits = match letter {
            '.' => before != '.' && before != '-',
            '-' => before != '.',
            other => other.is_ascii_alphanumeric(),
        };
        length = if letter == '.' { 0 } else { length + 1 };
        if !fits || length > 63 {
            return false;
        }
        before = letter;
    }
    name.len() <= 253
}

/// `*` stands for any text, tried at each place.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.first() {
        None => text.is_empty(),
        Some(b'*') => (0..=text.len()).any(|at| fits(&pattern[1..], &text[at..])),
        Some(letter) => text.first() == Some(letter) && fits(&pattern[1..], &text[1..]),
    }
}

/// Whether the documentation allows this name, in a role of these flags.
fn allowed(flags: Flags, name: &str) -> bool {
    let name = name.to_lowercase();
    let at = name.matches('@').count();
    if at > 1 || name.starts_with('@') {
        return false;
    }
    let (mail, domain) = match name.find('@') {
        Some(at) => (true, &name[at + 1..]),
        None => (false, name.as_str()),
    };
    let wild = domain.starts_with("*.");
    let base = if wild { &domain[2..] } else { domain };
    // Stricter than Vault: a wildcard is the whole label on the left and nothing else, in a host name alone.
    if base.is_empty() || base.contains('*') || (wild && mail) {
        return false;
    }
    if wild && !flags.wildcards() {
        return false;
    }
    if flags.hostnames() && !host(base) {
        return false;
    }
    // The parent itself is not below it; the wildcard right above it stands for what is.
    let below = |parent: &str| {
        let tail = format!(".{parent}");
        (base.ends_with(&tail) && base.len() > tail.len()) || (wild && base == parent)
    };
    let mut verdict = flags.any_name();
    for local in ["localhost", "localdomain"] {
        verdict |= flags.localhost() && (domain == local || (flags.subdomains() && below(local)));
    }
    verdict |= flags.display_name() && (name == DISPLAY_NAME || (flags.subdomains() && below(DISPLAY_NAME)));
    for listed in DOMAINS {
        verdict |= flags.bare() && (name == *listed || (mail && domain == *listed));
        verdict |= flags.subdomains() && below(listed);
        verdict |= flags.globs() && listed.contains('*') && fits(listed.as_bytes(), name.as_bytes());
    }
    verdict
}

/// Whether it can be an alternative name at all.
fn formed(name: &str) -> bool {
    match name.split_once('@') {
        Some((user, domain)) => {
            !user.is_empty()
                && user.chars().all(|letter| letter.is_ascii_alphanumeric() || "+.-_".contains(letter))
                && host(domain)
        }
        None => host(name.strip_prefix("*.").unwrap_or(name)),
    }
}

#[test]
fn names_by_flags() {
    let requests: Vec<(Request, Request)> = NAMES
        .iter()
        .map(|name| {
            let kind = if name.contains('@') { AltName::Email } else { AltName::Dns };
            // An empty name cannot even be written.
            let names = if name.is_empty() { Vec::new() } else { vec![kind((*name).to_owned())] };
            (csr(&Subject::common(*name), &[]), csr(&Subject::default(), &names))
        })
        .collect();
    let mut verdicts = [0_u32; 2];
    for flags in (0..1 << FLAGS).map(Flags) {
        let role = flags.role();
        for (name, (by_name, by_san)) in NAMES.iter().zip(&requests) {
            let kind = if name.contains('@') { "email" } else { "hostname" };
            let disabled = flags.validations() == ["disabled"];
            let named = name.is_empty() || disabled || (flags.validations().contains(&kind) && allowed(flags, name));
            // A common name that can be an alternative name becomes one, and has to be allowed as such.
            let expected = named && (name.is_empty() || !formed(name) || allowed(flags, name));
            let params = Asked { common_name: Some((*name).into()), ..asked() };
            let verdict = |ask, params: &Asked| admit(&role, ask, params, &facts()).is_ok();
            let said = || format!("{name:?} with {flags:?}, {:?}", flags.validations());
            assert_eq!(verdict(Ask::Parameters, &params), expected, "common name {}", said());
            assert_eq!(verdict(Ask::Request(by_name), &asked()), expected, "common name of a request {}", said());
            verdicts[usize::from(expected)] += 1;
            let expected = formed(name) && allowed(flags, name);
            let params = Asked { alt_names: texts(&[name]), ..asked() };
            assert_eq!(verdict(Ask::Parameters, &params), expected, "alternative name {}", said());
            let expected = name.is_empty() || expected;
            assert_eq!(verdict(Ask::Request(by_san), &asked()), expected, "alternative name of a request {}", said());
            // Apart from the alternative names, the common name is held against its own rules alone.
            let alone = Asked { common_name: Some((*name).into()), exclude_cn_from_sans: Some(true), ..asked() };
            assert_eq!(verdict(Ask::Parameters, &alone), named, "common name by itself {}", said());
        }
    }
    assert!(verdicts[0] > 10_000 && verdicts[1] > 10_000, "{verdicts:?}");
}

/// Which of the two sides a request and its parameters are taken from.
#[test]
fn who_speaks_for_the_names() {
    let from_csr = csr(&Subject::common("csr.test"), &[AltName::Dns("csr-san.test".into())]);
    let nameless = csr(&Subject::default(), &[AltName::Dns("csr-san.test".into())]);
    let plain = csr(&Subject::common("csr.test"), &[]);
    let requests = [("full", &from_csr), ("without a common name", &nameless), ("without alternative names", &plain)];
    for bits in 0_u32..64 {
        let bit = |at: u32| bits >> at & 1 == 1;
        let role = Role { require_cn: bit(0), use_csr_common_name: bit(1), use_csr_sans: bit(2), ..super::any_role() };
        let params = Asked {
            common_name: bit(3).then(|| "param.test".into()),
            alt_names: if bit(4) { texts(&["param-san.test"]) } else { Vec::new() },
            exclude_cn_from_sans: Some(bit(5)),
            ..asked()
        };
        for (what, request) in requests {
            let in_csr = if what == "without a common name" { "" } else { "csr.test" };
            let given = if bit(3) { "param.test" } else { "" };
            let name = if bit(1) && !in_csr.is_empty() { in_csr } else { given };
            let mut sans: Vec<&str> = Vec::new();
            if !name.is_empty() && !bit(5) {
                sans.push(name);
            }
            match bit(2) {
                true if what != "without alternative names" => sans.push("csr-san.test"),
                false if bit(4) => sans.push("param-san.test"),
                _ => {}
            }
            let got = admit(&role, Ask::Request(request), &params, &facts());
            let said = format!("{what} with {bits:06b}");
            if role.require_cn && name.is_empty() {
                assert!(got.is_err(), "{said}");
                continue;
            }
            let got = got.unwrap_or_else(|error| panic!("{said}: {error}"));
            let wanted: Vec<AltName> = sans.into_iter().map(|san| AltName::Dns(san.into())).collect();
            assert_eq!(got.names(), wanted, "{said}");
            assert_eq!(got.subject().common_name().unwrap_or_default(), name, "{said}");
        }
    }
}

/// Addresses, URIs and other names: each by its own list, whatever else is allowed, and the same from both sides.
#[test]
fn other_kinds_of_names_by_lists() {
    const UPN: &str = "1.3.6.1.4.1.311.20.2.3";
    let networks: [&[&str]; 4] = [&[], &["10.0.0.0/8"], &["2001:db8::/32"], &["192.0.2.7/32", "10.1.0.0/16"]];
    let uris: [&[&str]; 5] =
        [&[], &["*"], &["spiffe://a.test/*"], &["spiffe://a.test/x"], &["https://*.test/*", "urn:*"]];
    let others: [&[&str]; 5] = [
        &[],
        &["*"],
        &["1.3.6.1.4.1.311.20.2.3;utf8:*@a.test"],
        &["1.2.3;utf8:*"],
        &["1.3.6.1.4.1.311.20.2.3;UTF-8:ann@a.test"],
    ];
    let addresses: [(&str, u128, bool); 5] = [
        ("10.1.2.3", 0x0a01_0203, true),
        ("10.2.0.1", 0x0a02_0001, true),
        ("192.0.2.7", 0xc000_0207, true),
        ("2001:db8::7", 0x2001_0db8 << 96 | 7, false),
        ("::1", 1, false),
    ];
    // A network as the documentation has it: so many bits from the left.
    let within = |net: &str, value: u128, four: bool| {
        let (start, bits) = net.split_once('/').unwrap();
        let bits: u32 = bits.parse().unwrap();
        let (width, start) = match start.parse::<IpAddr>().unwrap() {
            IpAddr::V4(start) => (32, u128::from(u32::from(start))),
            IpAddr::V6(start) => (128, u128::from(start)),
        };
        four == (width == 32) && (0..bits).all(|bit| start >> (width - 1 - bit) & 1 == value >> (width - 1 - bit) & 1)
    };
    let uri_texts = [
        "spiffe://a.test/x",
        "spiffe://a.test/y/z",
        "spiffe://b.test/x",
        "https://w.test/p",
        "urn:x",
        "https://w.evil/p",
    ];
    let other_texts = [(UPN, "ann@a.test"), (UPN, "ann@b.test"), ("1.2.3", "x"), ("1.2.3.4", "x")];
    let mut wished: Vec<(AltName, Asked)> = Vec::new();
    for (text, _, _) in addresses {
        wished.push((AltName::Ip(text.parse().unwrap()), Asked { ip_sans: texts(&[text]), ..asked() }));
    }
    for uri in uri_texts {
        wished.push((AltName::Uri(uri.into()), Asked { uri_sans: texts(&[uri]), ..asked() }));
    }
    for (oid, text) in other_texts {
        let san = format!("{oid};utf8:{text}");
        wished.push((AltName::other_utf8(oid, text).unwrap(), Asked { other_sans: vec![san], ..asked() }));
    }
    let requests: Vec<Request> =
        wished.iter().map(|(name, _)| csr(&Subject::default(), std::slice::from_ref(name))).collect();
    for combination in 0..2 * 4 * 5 * 5 * 2 {
        let (allow_ip, rest) = (combination % 2 == 1, combination / 2);
        let (nets, rest) = (networks[rest % 4], rest / 4);
        let (uri, rest) = (uris[rest % 5], rest / 5);
        let (other, any) = (others[rest % 5], rest / 5 == 1);
        let role = Role {
            allow_any_name: any,
            allow_ip_sans: allow_ip,
            allowed_ip_sans_cidr: nets.iter().map(|net| net.parse().unwrap()).collect(),
            allowed_uri_sans: texts(uri),
            allowed_other_sans: texts(other),
            ..super::role()
        };
        let expected = addresses
            .iter()
            .map(|(_, value, four)| allow_ip && (nets.is_empty() || nets.iter().any(|net| within(net, *value, *four))));
        let by_uri = uri_texts.iter().map(|text| uri.iter().any(|pattern| fits(pattern.as_bytes(), text.as_bytes())));
        let by_other = other_texts.iter().map(|(oid, text)| {
            other.iter().any(|allowed| {
                *allowed == "*"
                    || allowed.split_once(';').is_some_and(|(of, rest)| {
                        of == *oid && fits(rest.split_once(':').unwrap().1.as_bytes(), text.as_bytes())
                    })
            })
        });
        let all: Vec<bool> = expected.chain(by_uri).chain(by_other).collect();
        assert_eq!(all.len(), wished.len());
        for (((name, params), request), expected) in wished.iter().zip(&requests).zip(all) {
            let verdict = |ask, params: &Asked| admit(&role, ask, params, &facts()).is_ok();
            let said =
                || format!("{name:?}: networks {nets:?} ({allow_ip}), URIs {uri:?}, others {other:?}, any {any}");
            assert_eq!(verdict(Ask::Parameters, params), expected, "{}", said());
            assert_eq!(verdict(Ask::Request(request), &asked()), expected, "in a request: {}", said());
            // Taken verbatim, a name is still held against the role's networks, and against nothing else of it.
            let wide = verbatim_role(Some(role.clone()), None, Default::default()).unwrap();
            let held = match name {
                AltName::Ip(address) => {
                    nets.is_empty() || role.allowed_ip_sans_cidr.iter().any(|net| net.contains(address))
                }
                _ => true,
            };
            let verdict = admit(&wide, Ask::Verbatim(request), &asked(), &facts()).is_ok();
            assert_eq!(verdict, held, "verbatim: {}", said());
        }
    }
}
