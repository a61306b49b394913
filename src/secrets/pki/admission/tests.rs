//! What a role admits and what it refuses, from parameters and from requests alike.

use super::*;
use crate::crypto::random::SystemRng;
use crate::crypto::x509::{Certificate, CertificateSpec, RequestSpec};
use crate::crypto::{PrivateKey, SignatureAlgorithm};
use crate::secrets::pki::authority::Authority;
use crate::secrets::pki::certify::{self, Manner};
use crate::secrets::pki::issuer::{Issuer, StoredKey, Urls};
use std::process::Command;

const LIMITS: Limits = Limits { default_ttl: Ttl::from_seconds(7200), max_ttl: Ttl::from_seconds(86_400) };

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-11-22T04:00:00.25Z")
}

fn facts() -> Facts {
    Facts {
        display_name: "bot".into(),
        now: now(),
        limits: LIMITS,
        issuer_end: (at("2036-01-01T00:00:00Z"), Beyond::Err),
        chance: 0,
    }
}

fn asked() -> Asked {
    Asked {
        common_name: None,
        alt_names: Vec::new(),
        ip_sans: Vec::new(),
        uri_sans: Vec::new(),
        other_sans: Vec::new(),
        serial_number: None,
        user_ids: Vec::new(),
        ttl: None,
        not_after: None,
        not_before: None,
        exclude_cn_from_sans: None,
    }
}

fn role() -> Role {
    Role { key_type: "ec".into(), key_bits: 256, require_cn: false, ..Role::default() }
}

fn any_role() -> Role {
    Role { allow_any_name: true, ..role() }
}

fn texts(items: &[&str]) -> Vec<String> {
    items.iter().map(|&item| item.to_owned()).collect()
}

fn csr_of(kind: KeyKind, subject: &Subject, names: &[AltName], more: Vec<Extension>) -> Request {
    let key = PrivateKey::generate(kind).unwrap();
    let mut extensions = more;
    if !names.is_empty() {
        extensions.push(extension::alt_names(names, false).unwrap());
    }
    let algorithm = SignatureAlgorithm::for_key(kind, None, false).unwrap();
    RequestSpec { subject: subject.encode().unwrap(), extensions }.sign(&key, algorithm).unwrap()
}

fn csr(subject: &Subject, names: &[AltName]) -> Request {
    csr_of(KeyKind::Ec(crate::crypto::Curve::P256), subject, names, Vec::new())
}

fn refusal(role: &Role, ask: Ask<'_>, asked: &Asked) -> String {
    admit(role, ask, asked, &facts()).map(|_| ()).unwrap_err().to_string()
}

/// CVE-2022-25243: a wildcard although subdomains are not allowed.
#[test]
fn a_wildcard_needs_the_names_below() {
    let role = Role { allow_bare_domains: true, allowed_domains: texts(&["d.test"]), ..role() };
    for name in ["*.d.test", "*.localhost", "*d.test", "*", "*.*.d.test", "a.*.d.test", "a*.d.test"] {
        let asked = Asked { common_name: Some(name.into()), ..asked() };
        refusal(&role, Ask::Parameters, &asked);
        let role = Role { allow_subdomains: true, allow_wildcard_certificates: false, ..role.clone() };
        refusal(&role, Ask::Parameters, &asked);
    }
}

/// GHSA-g892-p242-8g86: the networks of a role count for requests as for parameters, and for verbatim signing.
#[test]
fn the_networks_of_a_role_count_everywhere() {
    let inside = [AltName::Ip("10.1.2.3".parse().unwrap())];
    let outside = [AltName::Ip("192.0.2.7".parse().unwrap())];
    let role = Role { allowed_ip_sans_cidr: vec!["10.0.0.0/8".parse().unwrap()], ..any_role() };
    let wide = verbatim_role(Some(role.clone()), None, Default::default()).unwrap();
    let (good, bad) = (csr(&Subject::default(), &inside), csr(&Subject::default(), &outside));
    admit(&role, Ask::Request(&good), &asked(), &facts()).unwrap();
    admit(&wide, Ask::Verbatim(&good), &asked(), &facts()).unwrap();
    assert!(refusal(&role, Ask::Request(&bad), &asked()).contains("192.0.2.7"));
    assert!(refusal(&wide, Ask::Verbatim(&bad), &asked()).contains("192.0.2.7"));
    refusal(&role, Ask::Parameters, &Asked { ip_sans: texts(&["192.0.2.7"]), ..asked() });
    admit(&role, Ask::Parameters, &Asked { ip_sans: texts(&["10.9.9.9"]), ..asked() }, &facts()).unwrap();
    let none = Role { allow_ip_sans: false, ..any_role() };
    refusal(&none, Ask::Request(&good), &asked());
    refusal(&none, Ask::Parameters, &Asked { ip_sans: texts(&["10.9.9.9"]), ..asked() });
    refusal(&any_role(), Ask::Parameters, &Asked { ip_sans: texts(&["10.9.9.9/8"]), ..asked() });
}

/// CVE-2026-105818, for roles: no name of a request gets in that the role does not allow, of whatever kind it is.
#[test]
fn nothing_of_a_request_gets_past_the_role() {
    let role = Role { allow_bare_domains: true, allowed_domains: texts(&["d.test"]), ..role() };
    let other = AltName::other_utf8("1.3.6.1.4.1.311.20.2.3", "root@d.test").unwrap();
    for name in [
        AltName::Dns("evil.test".into()),
        AltName::Dns("d.test.".into()),
        AltName::Dns("d.test\0.evil.test".into()),
        AltName::Email("a@evil.test".into()),
        AltName::Uri("spiffe://d.test/a".into()),
        other,
        AltName::Other(extension::oid("1.2.3").unwrap(), vec![4, 1, 0]),
    ] {
        let names = [AltName::Dns("d.test".into()), name.clone()];
        let request = csr(&Subject::common("d.test"), &names);
        assert!(admit(&role, Ask::Request(&request), &asked(), &facts()).is_err(), "{name:?}");
    }
    let serial = Subject { serial_number: "7".into(), ..Subject::common("d.test") };
    refusal(&role, Ask::Request(&csr(&serial, &[])), &asked());
    let user = Subject { user_ids: texts(&["root"]), ..Subject::common("d.test") };
    refusal(&role, Ask::Request(&csr(&user, &[])), &asked());
    // The rest of the subject is the role's, whatever the request says; so is what the certificate is for.
    let fancy = Subject { organization: texts(&["Evil"]), ..Subject::common("d.test") };
    let more =
        vec![extension::basic_constraints(true, None).unwrap(), extension::key_usage(KeyUsage::CERT_SIGN).unwrap()];
    let request = csr_of(KeyKind::Ec(crate::crypto::Curve::P256), &fancy, &[], more);
    let admitted = admit(&role, Ask::Request(&request), &asked(), &facts()).unwrap();
    assert!(admitted.subject().subject().organization.is_empty());
    let extensions = admitted.extensions(request.public_key().kind()).unwrap();
    assert!(extensions.iter().all(|one| one.oid != extension::id::BASIC_CONSTRAINTS));
    let usage = extension::key_usage(KeyUsage::DIGITAL_SIGNATURE.with(KeyUsage::KEY_AGREEMENT)).unwrap();
    assert!(extensions.contains(&usage));
    let verbatim = verbatim_role(None, None, Default::default()).unwrap();
    let admitted = admit(&verbatim, Ask::Verbatim(&request), &asked(), &facts()).unwrap();
    let extensions = admitted.extensions(request.public_key().kind()).unwrap();
    assert!(extensions.iter().all(|one| one.oid != extension::id::BASIC_CONSTRAINTS), "verbatim is not for CAs");
}

#[test]
fn a_role_may_let_the_request_not_speak() {
    let role = Role { use_csr_common_name: false, use_csr_sans: false, ..any_role() };
    let request = csr(&Subject::common("a.test"), &[AltName::Dns("b.test".into())]);
    let by_name = Asked { common_name: Some("c.test".into()), ..asked() };
    let admitted = admit(&role, Ask::Request(&request), &by_name, &facts()).unwrap();
    assert_eq!(admitted.names(), [AltName::Dns("c.test".into())]);
    assert_eq!(admitted.subject().common_name().unwrap(), "c.test");
    let role = Role { require_cn: true, ..role };
    assert!(refusal(&role, Ask::Request(&request), &asked()).contains("common_name field is required"));
}

#[test]
fn the_key_of_a_request_is_what_the_role_asks_for() {
    let p256 = csr(&Subject::common("a.test"), &[]);
    let kinds = [("ec", 256, true), ("ec", 384, false), ("rsa", 2048, false), ("ed25519", 0, false), ("any", 0, true)];
    for (key_type, key_bits, fits) in kinds {
        let role = Role { key_type: key_type.into(), key_bits, ..any_role() };
        assert_eq!(admit(&role, Ask::Request(&p256), &asked(), &facts()).is_ok(), fits, "{key_type} {key_bits}");
    }
    let role = Role { key_type: "any".into(), key_bits: 0, ..any_role() };
    refusal(&role, Ask::Parameters, &asked());
}

#[test]
fn names_that_are_none_and_names_that_are_not_allowed() {
    let role = Role {
        allowed_uri_sans: texts(&["spiffe://ok/*", "https://exact.test/"]),
        allowed_other_sans: texts(&["1.3.6.1.4.1.311.20.2.3;utf8:*@d.test"]),
        allowed_serial_numbers: texts(&["A*"]),
        allowed_user_ids: texts(&["u1", "v*"]),
        ..any_role()
    };
    let wrong = [
        Asked { uri_sans: texts(&["spiffe://bad/x"]), ..asked() },
        Asked { uri_sans: texts(&["spiffe://ok/../bad"]), ..asked() },
        Asked { uri_sans: texts(&["xspiffe://ok/a"]), ..asked() },
        Asked { uri_sans: texts(&["https://exact.test/a"]), ..asked() },
        Asked { other_sans: texts(&["junk"]), ..asked() },
        Asked { other_sans: texts(&["1.3.6.1.4.1.311.20.2.3;utf8:a@e.test"]), ..asked() },
        Asked { other_sans: texts(&["1.2.3;utf8:a@d.test"]), ..asked() },
        Asked { other_sans: texts(&["1.3.6.1.4.1.311.20.2.3;der:a@d.test"]), ..asked() },
        Asked { serial_number: Some("B1".into()), ..asked() },
        Asked { user_ids: texts(&["u1", "u2"]), ..asked() },
        Asked { alt_names: texts(&["under_score.test"]), ..asked() },
        Asked { alt_names: texts(&["10.0.0.1"]), ..asked() },
        Asked { alt_names: texts(&["a@b@c"]), ..asked() },
        Asked { common_name: Some("a\nb".into()), ..asked() },
        Asked { common_name: Some("not ok".into()), ..asked() },
        Asked { common_name: Some("x".repeat(2000)), ..asked() },
    ];
    for (place, asked) in wrong.iter().enumerate() {
        assert!(admit(&role, Ask::Parameters, asked, &facts()).is_err(), "case {place}");
    }
    let right = [
        Asked { uri_sans: texts(&["spiffe://ok/a"]), ..asked() },
        Asked { uri_sans: texts(&["https://exact.test/"]), ..asked() },
        Asked { other_sans: texts(&["1.3.6.1.4.1.311.20.2.3;UTF8:a@d.test"]), ..asked() },
        Asked { serial_number: Some("A1".into()), user_ids: texts(&["u1", "vv"]), ..asked() },
        Asked { common_name: Some("me@mail.test".into()), ..asked() },
    ];
    for (place, asked) in right.iter().enumerate() {
        admit(&role, Ask::Parameters, asked, &facts()).unwrap_or_else(|error| panic!("case {place}: {error}"));
    }
    // Without patterns there are none.
    for asked in &right[..4] {
        refusal(&any_role(), Ask::Parameters, asked);
    }
    let hosts = Role { cn_validations: texts(&["hostname"]), ..any_role() };
    refusal(&hosts, Ask::Parameters, &right[4]);
    let free = Role { enforce_hostnames: false, cn_validations: texts(&["disabled"]), ..any_role() };
    let people = Asked { common_name: Some("Any Name!".into()), ..asked() };
    assert!(admit(&free, Ask::Parameters, &people, &facts()).unwrap().names().is_empty());
}

/// A root and its key, and a leaf by it, as openssl sees them.
struct Bench {
    folder: tempfile::TempDir,
    authority: Authority,
}

fn bench(kind: KeyKind) -> Bench {
    let key = PrivateKey::generate(kind).unwrap();
    let subject = Subject::common("Test Root").encode().unwrap();
    let id = key.public().key_id();
    let usage = KeyUsage::CERT_SIGN.with(KeyUsage::CRL_SIGN);
    let spec = CertificateSpec {
        serial: vec![1],
        issuer: subject.clone(),
        subject,
        public_key: key.public().clone(),
        not_before: at("2026-01-01T00:00:00Z"),
        not_after: at("2036-01-01T00:00:00Z"),
        extensions: vec![
            extension::key_usage(usage).unwrap(),
            extension::basic_constraints(true, None).unwrap(),
            extension::subject_key_id(&id).unwrap(),
        ],
    };
    let certificate = spec.sign(&key, SignatureAlgorithm::for_key(kind, None, false).unwrap()).unwrap();
    let made = key;
    let key = StoredKey::new("k".into(), String::new(), &made).unwrap();
    let issuer = Issuer::new("i".into(), String::new(), Some(&key), &certificate).unwrap();
    let urls = Urls { crl_distribution_points: texts(&["http://c.test/crl"]), ..Urls::default() };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), certificate.pem().unwrap()).unwrap();
    Bench { folder, authority: Authority::new(issuer, made, &urls).unwrap() }
}

impl Bench {
    fn leaf(&self, role: &Role, ask: Ask<'_>, asked: &Asked) -> (Certificate, String) {
        let admitted = admit(role, ask, asked, &facts()).unwrap();
        let manner = Manner { bits: role.signature_bits, pss: role.use_pss };
        let certified = certify::leaf(&admitted, &self.authority, manner, &SystemRng::new()).unwrap();
        let path = self.folder.path();
        std::fs::write(path.join("leaf.pem"), certified.certificate.pem().unwrap()).unwrap();
        if let Some(key) = &certified.key {
            std::fs::write(path.join("key.pem"), certify::key_pem(key, false).unwrap().reveal()).unwrap();
            let of_key = self.openssl(&["pkey", "-in", "key.pem", "-pubout"]);
            assert_eq!(of_key, self.openssl(&["x509", "-in", "leaf.pem", "-noout", "-pubkey"]));
        }
        // 2026-11-22T04:00:10Z, whatever the time is when the test runs.
        let verified =
            self.openssl(&["verify", "-x509_strict", "-attime", "1795320010", "-CAfile", "ca.pem", "leaf.pem"]);
        assert!(verified.contains("leaf.pem: OK"), "{verified}");
        (certified.certificate, self.openssl(&["x509", "-in", "leaf.pem", "-noout", "-text"]))
    }

    fn openssl(&self, arguments: &[&str]) -> String {
        let output = Command::new("openssl").args(arguments).current_dir(self.folder.path()).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }
}

#[test]
fn openssl_accepts_what_is_signed_for_each_kind_of_key() {
    let curves = crate::crypto::Curve::ALL.map(KeyKind::Ec);
    let kinds = [curves[0], curves[1], curves[2], KeyKind::Ed25519, KeyKind::Rsa(2048)];
    for root in kinds {
        let bench = bench(root);
        for leaf in kinds {
            let role = Role {
                key_type: leaf.name().into(),
                key_bits: leaf.bits(),
                allowed_uri_sans: texts(&["spiffe://*"]),
                basic_constraints_valid_for_non_ca: true,
                policy_identifiers: texts(&["1.3.6.1.4.1.44947.1.1.1"]),
                organization: texts(&["O1", "O2"]),
                signature_bits: 512,
                ..any_role()
            };
            let asked = Asked {
                common_name: Some("a.test".into()),
                alt_names: texts(&["*.b.test", "me@c.test"]),
                ip_sans: texts(&["192.0.2.1", "2001:db8::1"]),
                uri_sans: texts(&["spiffe://a.test/ns/x"]),
                ..asked()
            };
            let (certificate, text) = bench.leaf(&role, Ask::Parameters, &asked);
            for wanted in [
                "DNS:a.test, DNS:*.b.test, email:me@c.test, IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1, \
                 URI:spiffe://a.test/ns/x",
                "CA:FALSE",
                "URI:http://c.test/crl",
                "Policy: 1.3.6.1.4.1.44947.1.1.1",
                "TLS Web Server Authentication, TLS Web Client Authentication",
            ] {
                assert!(text.contains(wanted), "{wanted} not in {text}");
            }
            let rsa = matches!(leaf, KeyKind::Rsa(_));
            assert_eq!(text.contains("Key Encipherment"), rsa, "{text}");
            assert_eq!(text.contains("Key Agreement"), matches!(leaf, KeyKind::Ec(_)), "{text}");
            assert_eq!(certificate.not_after().as_second() - certificate.not_before().as_second(), 7230);
            assert_eq!(certificate.not_before(), at("2026-11-22T03:59:30Z"));
            assert_eq!(certificate.serial().len().clamp(16, 20), certificate.serial().len());
        }
    }
}

#[test]
fn an_empty_subject_makes_its_names_critical_and_verbatim_keeps_the_subject() {
    let bench = bench(KeyKind::Ec(crate::crypto::Curve::P384));
    let asked_name = Asked { alt_names: texts(&["only.test"]), ..asked() };
    let (_, text) = bench.leaf(&any_role(), Ask::Parameters, &asked_name);
    assert!(text.contains("Subject Alternative Name: critical"), "{text}");
    let subject = Subject { organization: texts(&["Org"]), ..Subject::common("Somebody Else") };
    let request = csr(&subject, &[AltName::Dns("v.test".into())]);
    let wide = verbatim_role(None, Some(texts(&["DigitalSignature"])), Default::default()).unwrap();
    let (certificate, text) = bench.leaf(&wide, Ask::Verbatim(&request), &asked());
    assert_eq!(certificate.subject(), request.subject());
    assert!(text.contains("DNS:v.test\n") && !text.contains("Extended Key Usage"), "{text}");
}

mod proved {
    use super::*;
    use crate::secrets::pki::acme::{Identifier, Proved};
    use crate::secrets::pki::names;
    use proptest::prelude::*;

    fn identifier(text: &str) -> Identifier {
        match text.parse() {
            Ok(address) => Identifier::Ip(address),
            Err(_) => Identifier::Dns(text.to_owned()),
        }
    }

    fn name() -> impl Strategy<Value = AltName> {
        const HOSTS: &[&str] =
            &["a.test", "b.test", "*.a.test", "A.test", "x.a.test", "evil.test", "localhost", "a..test", ""];
        prop_oneof![
            6 => proptest::sample::select(HOSTS).prop_map(|name| AltName::Dns(name.into())),
            1 => "[ -~]{0,12}".prop_map(AltName::Dns),
            1 => any::<[u8; 4]>().prop_map(|octets| AltName::Ip(std::net::IpAddr::from(octets))),
            1 => Just(AltName::Email("x@a.test".into())),
            1 => Just(AltName::Uri("spiffe://a.test/x".into())),
            1 => Just(AltName::other_utf8("1.3.6.1.4.1.311.20.2.3", "x@a.test").unwrap()),
        ]
    }

    fn extras() -> impl Strategy<Value = Vec<Extension>> {
        let some = || {
            vec![
                extension::basic_constraints(true, None).unwrap(),
                extension::key_usage(KeyUsage::CERT_SIGN.with(KeyUsage::CRL_SIGN)).unwrap(),
                extension::raw(extension::oid("1.3.6.1.5.5.7.1.24").unwrap(), false, vec![0x30, 3, 2, 1, 5]).unwrap(),
                extension::raw(extension::id::EXT_KEY_USAGE, true, vec![0x30, 0]).unwrap(),
                extension::raw(extension::id::NAME_CONSTRAINTS, true, vec![0x30, 3, 0xff, 1, 2]).unwrap(),
            ]
        };
        proptest::sample::subsequence(some(), 0..=2)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Whatever a request asks for, what is admitted has only names that were proved, or that the role allows; and
        /// neither a CA's marks nor extensions that the request brought.
        #[test]
        fn nothing_is_admitted_beyond_the_proof_or_the_role(
            names in proptest::collection::vec(name(), 0..4),
            common_name in proptest::sample::select(&["", "a.test", "evil.test", "x@a.test", "a.test\u{1}", "*.a.test"][..]),
            proved in proptest::collection::btree_set(
                proptest::sample::select(&["a.test", "b.test", "*.a.test", "x.a.test", "10.0.0.1"][..]), 1..3),
            more in extras(),
            any_name: bool,
            subdomains: bool,
        ) {
            let subject = Subject { common_name: common_name.into(), organization: vec!["Evil".into()], ..Subject::default() };
            let key = PrivateKey::generate(KeyKind::Ed25519).unwrap();
            let mut extensions = more;
            if let Ok(san) = extension::alt_names(&names, false)
                && !names.is_empty()
            {
                extensions.push(san);
            }
            let Ok(encoded) = subject.encode() else { return Ok(()) };
            let signed = RequestSpec { subject: encoded, extensions }.sign(&key, SignatureAlgorithm::Ed25519);
            let Ok(request) = signed else { return Ok(()) };
            let role = Role {
                key_type: "any".into(),
                allowed_domains: vec!["a.test".into()],
                allow_bare_domains: true,
                allow_subdomains: subdomains,
                allow_any_name: any_name,
                allow_localhost: false,
                require_cn: false,
                ..Role::default()
            };
            let wanted: std::collections::BTreeSet<Identifier> = proved.iter().map(|text| identifier(text)).collect();
            let proof = Proved::of(wanted.clone());
            if let Ok(admitted) = admit(&role, Ask::Proved(&request, &proof), &asked(), &facts()) {
                let names: std::collections::BTreeSet<Identifier> =
                    admitted.names().iter().map(|name| Identifier::of(name).unwrap()).collect();
                prop_assert_eq!(&names, &wanted);
                let shown = admitted.subject().subject();
                prop_assert!(shown.organization.is_empty());
                prop_assert!(shown.common_name.is_empty() || wanted.contains(&identifier(&shown.common_name)));
                for extension in admitted.extensions(KeyKind::Ed25519).unwrap() {
                    prop_assert!([extension::id::KEY_USAGE, extension::id::EXT_KEY_USAGE].contains(&extension.oid));
                }
            }
            if let Ok(admitted) = admit(&role, Ask::Request(&request), &asked(), &facts()) {
                for name in admitted.names() {
                    let allowed = match name {
                        AltName::Dns(name) | AltName::Email(name) => names::allows(&role, "bot", name),
                        AltName::Ip(_) => true,
                        _ => false,
                    };
                    prop_assert!(allowed, "{name:?}");
                }
                for extension in admitted.extensions(KeyKind::Ed25519).unwrap() {
                    prop_assert!([extension::id::KEY_USAGE, extension::id::EXT_KEY_USAGE].contains(&extension.oid));
                }
            }
        }
    }
}

mod conditions;
mod truth_table;
