//! One condition of admission at a time, with what would be signed without it.

use super::*;
use crate::secrets::pki::acme::{Identifier, Proved};
use crate::secrets::pki::names;

#[test]
fn an_rsa_key_is_as_long_as_the_role_asks_for() {
    let request = |bits| csr_of(KeyKind::Rsa(bits), &Subject::common("a.test"), &[], Vec::new());
    let (short, long) = (request(2048), request(3072));
    for (key_bits, request, fits) in
        [(2048, &short, true), (3072, &short, false), (3072, &long, true), (4096, &long, false)]
    {
        let role = Role { key_type: "rsa".into(), key_bits, ..any_role() };
        assert_eq!(admit(&role, Ask::Request(request), &asked(), &facts()).is_ok(), fits, "{key_bits}");
    }
}

#[test]
fn a_request_for_a_ca_and_names_that_nobody_can_prove_are_refused_by_acme() {
    let proved = Proved::of([Identifier::Dns("a.test".into())]);
    let role = Role { key_type: "any".into(), ..any_role() };
    let curve = KeyKind::Ec(crate::crypto::Curve::P256);
    let request = |names: &[AltName], more| csr_of(curve, &Subject::default(), names, more);
    let name = || AltName::Dns("a.test".into());
    let good = request(&[name()], vec![extension::basic_constraints(false, None).unwrap()]);
    admit(&role, Ask::Proved(&good, &proved), &asked(), &facts()).unwrap();
    let ca = request(&[name()], vec![extension::basic_constraints(true, None).unwrap()]);
    assert!(refusal(&role, Ask::Proved(&ca, &proved), &asked()).contains("CA"));
    for other in [AltName::Email("x@a.test".into()), AltName::Uri("spiffe://a.test/x".into())] {
        let request = request(&[name(), other], Vec::new());
        assert!(refusal(&role, Ask::Proved(&request, &proved), &asked()).contains("cannot be proved"));
    }
}

#[test]
fn a_spiffe_id_stands_alone_and_its_key_signs() {
    let role = Role { allowed_uri_sans: texts(&["*"]), ..any_role() };
    let uris = |uris: &[&str]| Asked { uri_sans: texts(uris), ..asked() };
    admit(&role, Ask::Parameters, &uris(&["spiffe://a.test/x"]), &facts()).unwrap();
    admit(&role, Ask::Parameters, &uris(&["urn:x", "urn:y"]), &facts()).unwrap();
    for two in [["spiffe://a.test/x", "spiffe://a.test/y"], ["urn:x", "spiffe://a.test/x"]] {
        refusal(&role, Ask::Parameters, &uris(&two));
    }
    let role = Role { key_usage: texts(&["KeyAgreement"]), ..role };
    refusal(&role, Ask::Parameters, &uris(&["spiffe://a.test/x"]));
    admit(&role, Ask::Parameters, &uris(&["urn:x"]), &facts()).unwrap();
}

#[test]
fn no_part_of_a_subject_has_control_characters() {
    let all = || texts(&["*"]);
    let free = Role {
        enforce_hostnames: false,
        cn_validations: texts(&["disabled"]),
        allowed_serial_numbers: all(),
        allowed_user_ids: all(),
        ..any_role()
    };
    for mark in ["\n", "\0", "\u{1b}", "\u{85}"] {
        let text = format!("a{mark}b");
        refusal(&free, Ask::Parameters, &Asked { common_name: Some(text.clone()), ..asked() });
        refusal(&free, Ask::Parameters, &Asked { serial_number: Some(text.clone()), ..asked() });
        refusal(&free, Ask::Parameters, &Asked { user_ids: vec!["u".into(), text.clone()], ..asked() });
        let by_request = csr(&Subject { user_ids: vec![text], ..Subject::common("a") }, &[]);
        refusal(&free, Ask::Request(&by_request), &asked());
    }
}

#[test]
fn a_serial_number_comes_from_where_the_role_says() {
    let role = |source: &str| Role {
        serial_number_source: source.into(),
        allowed_serial_numbers: texts(&["*"]),
        ..any_role()
    };
    let request = csr(&Subject { serial_number: "7".into(), ..Subject::common("a.test") }, &[]);
    let signed = |source: &str, said: Option<&str>| {
        let asked = Asked { serial_number: said.map(str::to_owned), ..asked() };
        admit(&role(source), Ask::Request(&request), &asked, &facts()).unwrap().subject().subject().serial_number
    };
    assert_eq!(signed("json-csr", None), "7");
    assert_eq!(signed("json-csr", Some("8")), "8");
    assert_eq!(signed("json", None), "");
    assert_eq!(signed("json", Some("8")), "8");
}

#[test]
fn a_roles_own_end_is_kept_to_the_second() {
    let end = "2026-11-22T10:00:00Z";
    let role = Role { not_after: end.into(), ttl_jitter: Ttl::from_seconds(3000), ..any_role() };
    for chance in [0, 1, 1234, u64::MAX] {
        let facts = Facts { chance, ..facts() };
        let admitted = admit(&role, Ask::Parameters, &asked(), &facts).unwrap();
        assert_eq!(admitted.lifetime().not_after, at(end));
        let said = Asked { not_after: Some("2026-11-22T09:00:00Z".into()), ..asked() };
        let spread = Role { not_after: String::new(), ..role.clone() };
        let admitted = admit(&spread, Ask::Parameters, &said, &facts).unwrap();
        assert_eq!(admitted.lifetime().not_after, at("2026-11-22T09:00:00Z"));
    }
}

#[test]
fn verbatim_signing_keeps_to_the_times_of_its_role() {
    let request = csr(&Subject::common("a.test"), &[]);
    let long = Asked { ttl: Some(Ttl::from_seconds(7000)), ..asked() };
    let signed = |role: Option<Role>, asked: &Asked| {
        let wide = verbatim_role(role, None, Default::default()).unwrap();
        let life = admit(&wide, Ask::Verbatim(&request), asked, &facts()).unwrap().lifetime();
        life.not_after.as_second() - now().as_second()
    };
    assert_eq!(signed(None, &long), 7000);
    assert_eq!(signed(Some(Role { max_ttl: Ttl::from_seconds(100), ..role() }), &long), 100);
    assert_eq!(signed(Some(Role { ttl: Ttl::from_seconds(60), ..role() }), &asked()), 60);
    let fixed = Role { not_after: "2026-11-22T05:00:00Z".into(), ..role() };
    assert_eq!(signed(Some(fixed), &asked()), 3600);
}

#[test]
fn an_empty_domain_is_none() {
    let role = Role {
        allowed_domains: texts(&[""]),
        allow_bare_domains: true,
        allow_subdomains: true,
        allow_glob_domains: true,
        enforce_hostnames: false,
        allow_localhost: false,
        ..role()
    };
    for name in ["x.", "a.test", "*.x.", "a@x.", "a.", "."] {
        assert!(!names::allows(&role, "", name), "{name}");
    }
}

#[test]
fn an_end_between_the_beginning_and_now_is_none() {
    // The beginning lies thirty seconds back; nothing may end in them.
    for bound in ["permit", "ttl-limited"] {
        let role = Role { not_after_bound: bound.into(), ..any_role() };
        for end in ["2026-11-22T03:59:45Z", "2026-11-22T03:59:59Z", "2026-11-22T04:00:00Z", "2026-11-22T03:00:00Z"] {
            refusal(&role, Ask::Parameters, &Asked { not_after: Some(end.into()), ..asked() });
        }
        let soon = Asked { not_after: Some("2026-11-22T04:00:01Z".into()), ..asked() };
        admit(&role, Ask::Parameters, &soon, &facts()).unwrap();
    }
}
