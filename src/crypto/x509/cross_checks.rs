//! What is written here is read by openssl, and the other way round.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::extension::{self as ext, KeyUsage, Policy, Subtree};
use super::testing::{at, openssl};
use super::*;
use crate::crypto::keys::{Curve, Hash, KeyKind};

const KINDS: [KeyKind; 5] = [
    KeyKind::Ec(Curve::P256),
    KeyKind::Ec(Curve::P384),
    KeyKind::Ec(Curve::P521),
    KeyKind::Rsa(2048),
    KeyKind::Ed25519,
];

struct Ca {
    key: PrivateKey,
    certificate: Certificate,
    algorithm: SignatureAlgorithm,
}

fn ca_extensions(key: &PublicKey, path_len: Option<u8>) -> Vec<Extension> {
    vec![
        ext::basic_constraints(true, path_len).unwrap(),
        ext::key_usage(KeyUsage::CERT_SIGN.with(KeyUsage::CRL_SIGN)).unwrap(),
        ext::subject_key_id(&key.key_id()).unwrap(),
    ]
}

impl Ca {
    fn root(kind: KeyKind, pss: bool) -> Self {
        let key = PrivateKey::generate(kind).unwrap();
        let name = Subject { organization: vec!["Example".into()], ..Subject::common("root") }.encode().unwrap();
        let algorithm = SignatureAlgorithm::for_key(kind, None, pss).unwrap();
        let spec = CertificateSpec {
            serial: vec![0xff; 19],
            issuer: name.clone(),
            subject: name,
            public_key: key.public().clone(),
            not_before: at("2020-01-01T00:00:00Z"),
            not_after: Timestamp::MAX,
            extensions: ca_extensions(key.public(), None),
        };
        let certificate = spec.sign(&key, algorithm).unwrap();
        Self { key, certificate, algorithm }
    }

    fn spec(
        &self,
        subject: DistinguishedName,
        public_key: &PublicKey,
        mut extensions: Vec<Extension>,
    ) -> CertificateSpec {
        extensions.push(ext::authority_key_id(&self.certificate.subject_key_id().unwrap().unwrap()).unwrap());
        CertificateSpec {
            serial: vec![1, 2, 3],
            issuer: self.certificate.subject().clone(),
            subject,
            public_key: public_key.clone(),
            not_before: at("2020-01-01T00:00:00Z"),
            not_after: at("2060-01-01T00:00:00Z"),
            extensions,
        }
    }

    fn issue(&self, subject: DistinguishedName, key: &PublicKey, extensions: Vec<Extension>) -> Certificate {
        let certificate = self.spec(subject, key, extensions).sign(&self.key, self.algorithm).unwrap();
        assert_eq!(Certificate::from_der(certificate.der()).unwrap(), certificate);
        certificate
    }

    fn crl(&self) -> CrlSpec {
        CrlSpec {
            issuer: self.certificate.subject().clone(),
            authority_key_id: self.certificate.subject_key_id().unwrap().unwrap(),
            number: 300,
            base: None,
            this_update: at("2021-01-01T00:00:00Z"),
            next_update: at("2070-01-01T00:00:00Z"),
            entries: Vec::new(),
            extensions: Vec::new(),
        }
    }
}

fn save(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

fn accepted(folder: &Path, arguments: &[&str]) -> String {
    let (content, text) = openssl(folder, arguments);
    assert!(content, "{arguments:?}: {text}");
    text
}

#[test]
fn a_chain_with_everything_in_it_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    accepted(
        folder,
        &[
            "req",
            "-new",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "k",
            "-out",
            "csr",
            "-subj",
            "/OU=a/OU=b/CN=leaf.example.com",
            "-addext",
            "subjectAltName=DNS:leaf.example.com,IP:192.0.2.7,URI:spiffe://example/x,email:jo@example.com",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "tlsfeature=status_request",
            "-addext",
            "keyUsage=digitalSignature",
            "-addext",
            "extendedKeyUsage=clientAuth",
        ],
    );
    let request = Request::from_pem(&fs::read_to_string(folder.join("csr")).unwrap()).unwrap();
    assert!(request.wants_ca().unwrap());
    assert_eq!(request.key_usage().unwrap(), Some(KeyUsage::DIGITAL_SIGNATURE));
    assert_eq!(request.ext_key_usage().unwrap(), [ext::CLIENT_AUTH]);
    assert_eq!(request.subject().subject().organizational_unit, ["a", "b"]);

    let root = Ca::root(KeyKind::Ec(Curve::P384), false);
    let key = PrivateKey::generate(KeyKind::Ec(Curve::P256)).unwrap();
    let mut extensions = ca_extensions(key.public(), Some(0));
    extensions.push(
        ext::name_constraints(
            &[
                Subtree::Dns("example.com".into()),
                Subtree::Ip("192.0.2.0/24".parse().unwrap()),
                Subtree::Ip("2001:db8::/32".parse().unwrap()),
                Subtree::Email("example.com".into()),
                Subtree::Uri("example".into()),
            ],
            &[Subtree::Dns("secret.example.com".into())],
        )
        .unwrap(),
    );
    extensions
        .push(ext::crl_distribution_points(&["http://ca.example/crl".into(), "http://cb.example/crl".into()]).unwrap());
    extensions
        .push(ext::authority_info_access(&["http://ocsp.example".into()], &["http://ca.example/ca".into()]).unwrap());
    let certificate = root.issue(Subject::common("intermediate").encode().unwrap(), key.public(), extensions);
    assert_eq!(certificate.ca().unwrap().unwrap().0, Some(0));
    certificate.verify_by(&root.certificate).unwrap();
    let between = Ca { key, certificate, algorithm: SignatureAlgorithm::Ecdsa(Hash::Sha256) };

    let mut names = request.alt_names().unwrap();
    assert_eq!(names.len(), 4);
    names.push(AltName::Ip("2001:db8::7".parse().unwrap()));
    names.push(AltName::other_utf8("1.3.6.1.4.1.311.20.2.3", "jo@corp").unwrap());
    let leaf = between.issue(
        request.subject().clone(),
        request.public_key(),
        vec![
            ext::basic_constraints(false, None).unwrap(),
            ext::key_usage(KeyUsage::DIGITAL_SIGNATURE.with(KeyUsage::KEY_ENCIPHERMENT)).unwrap(),
            ext::ext_key_usage(&[ext::SERVER_AUTH, ext::CLIENT_AUTH]).unwrap(),
            ext::subject_key_id(&request.public_key().key_id()).unwrap(),
            ext::alt_names(&names, false).unwrap(),
            ext::freshest_crl(&["http://ca.example/delta".into()]).unwrap(),
            ext::policies(&[
                Policy { oid: "1.3.6.1.4.1.32473.1".into(), ..Policy::default() },
                Policy {
                    oid: "1.3.6.1.4.1.32473.2".into(),
                    cps: Some("http://ca.example/cps".into()),
                    notice: Some("für alle".into()),
                },
            ])
            .unwrap(),
        ],
    );
    save(folder, "root", &root.certificate.pem().unwrap());
    save(folder, "between", &between.certificate.pem().unwrap());
    save(folder, "leaf", &leaf.pem().unwrap());
    accepted(folder, &["verify", "-x509_strict", "-CAfile", "root", "-untrusted", "between", "leaf"]);

    let text = accepted(folder, &["x509", "-in", "leaf", "-noout", "-text", "-nameopt", "RFC2253"]);
    for expected in [
        "DNS:leaf.example.com, IP Address:192.0.2.7, URI:spiffe://example/x, email:jo@example.com, IP Address:2001:DB8:0:0:0:0:0:7",
        "jo@corp",
        "Subject: CN=leaf.example.com,OU=b,OU=a",
        "Serial Number: 66051 (0x10203)",
        "Not After : Jan  1 00:00:00 2060 GMT",
        "CA:FALSE",
        "Digital Signature, Key Encipherment",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "Policy: 1.3.6.1.4.1.32473.2",
        "CPS: http://ca.example/cps",
        "URI:http://ca.example/delta",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let text = accepted(folder, &["x509", "-in", "between", "-noout", "-text"]);
    for expected in [
        "CA:TRUE, pathlen:0",
        "IP:192.0.2.0/255.255.255.0",
        "DNS:secret.example.com",
        "OCSP - URI:http://ocsp.example",
        "CA Issuers - URI:http://ca.example/ca",
        "URI:http://cb.example/crl",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let text = accepted(folder, &["x509", "-in", "root", "-noout", "-enddate"]);
    assert!(text.contains("Dec 31 23:59:59 9999 GMT"), "{text}");

    // Read back, nothing is lost.
    assert_eq!(leaf.alt_names().unwrap(), names);
    assert_eq!(leaf.authority_key_id().unwrap(), between.certificate.subject_key_id().unwrap());
    assert!(!leaf.is_ca());
    leaf.verify_by(&between.certificate).unwrap();

    // A name outside the constraints is refused by openssl: they were written right.
    let outside = vec![ext::alt_names(&[AltName::Dns("a.secret.example.com".into())], false).unwrap()];
    let outside = between.issue(Subject::common("x").encode().unwrap(), request.public_key(), outside);
    save(folder, "outside", &outside.pem().unwrap());
    let (content, text) = openssl(folder, &["verify", "-CAfile", "root", "-untrusted", "between", "outside"]);
    assert!(!content && text.contains("excluded subtree violation"), "{text}");
}

#[test]
fn every_kind_of_key_signs_and_is_certified() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (kind, pss) in KINDS.into_iter().map(|kind| (kind, false)).chain([(KeyKind::Rsa(2048), true)]) {
        let root = Ca::root(kind, pss);
        assert_eq!(root.certificate.signature_algorithm().unwrap(), root.algorithm);
        let key = PrivateKey::generate(if kind == KINDS[3] { KINDS[0] } else { kind }).unwrap();
        let leaf = root.issue(
            Subject::default().encode().unwrap(),
            key.public(),
            vec![
                ext::key_usage(KeyUsage::DIGITAL_SIGNATURE.with(KeyUsage::KEY_AGREEMENT)).unwrap(),
                ext::alt_names(&[AltName::Dns("a.example".into())], true).unwrap(),
            ],
        );
        save(folder, "root", &root.certificate.pem().unwrap());
        save(folder, "leaf", &leaf.pem().unwrap());
        accepted(folder, &["verify", "-CAfile", "root", "leaf"]);
        let text = accepted(folder, &["x509", "-in", "leaf", "-noout", "-text"]);
        assert!(text.contains("Digital Signature, Key Agreement"), "{text}");
        assert!(!text.contains("Encipherment"), "{text}");
        assert!(text.contains("X509v3 Subject Alternative Name: critical"), "{text}");
        leaf.verify_by(&root.certificate).unwrap();
        assert!(root.certificate.verify_by(&leaf).is_err());
    }
}

#[test]
fn an_imported_ca_with_a_strange_name_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    accepted(
        folder,
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "key",
            "-out",
            "root",
            "-multivalue-rdn",
            "-subj",
            "/DC=com/DC=example/OU=x+OU=y/OU=z/CN=AD Röot",
            "-utf8",
            "-days",
            "3650",
            "-set_serial",
            "0",
            "-addext",
            "subjectKeyIdentifier=01:02:03",
        ],
    );
    let certificate = Certificate::from_pem(&fs::read_to_string(folder.join("root")).unwrap()).unwrap();
    let key = PrivateKey::from_pem(&fs::read(folder.join("key")).unwrap()).unwrap();
    let root = Ca { key, certificate, algorithm: SignatureAlgorithm::Ecdsa(Hash::Sha256) };
    root.certificate.verify_by(&root.certificate).unwrap();
    let leaf = root.issue(Subject::common("leaf").encode().unwrap(), root.key.public(), Vec::new());
    assert_eq!(leaf.issuer().der(), root.certificate.subject().der());
    assert_eq!(leaf.authority_key_id().unwrap().unwrap(), [1, 2, 3]);
    save(folder, "leaf", &leaf.pem().unwrap());
    // Partial: this openssl gives its own root an authorityKeyIdentifier that is not its subjectKeyIdentifier.
    accepted(folder, &["verify", "-partial_chain", "-CAfile", "root", "leaf"]);
}

#[test]
fn a_revoked_certificate_is_found_in_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for kind in KINDS {
        let root = Ca::root(kind, false);
        let key = PrivateKey::generate(KeyKind::Ed25519).unwrap();
        let points = vec![ext::crl_distribution_points(&["http://ca.example/crl".into()]).unwrap()];
        let leaf = root.issue(Subject::common("leaf").encode().unwrap(), key.public(), points);
        let empty = Crl::from_der(&root.crl().sign(&root.key, root.algorithm).unwrap()).unwrap();
        assert!(empty.is_empty() && empty.revoked(leaf.serial()).is_none());
        save(folder, "root", &root.certificate.pem().unwrap());
        save(folder, "leaf", &leaf.pem().unwrap());
        save(folder, "crl", &empty.pem().unwrap());
        accepted(folder, &["crl", "-in", "crl", "-CAfile", "root", "-noout"]);
        accepted(folder, &["verify", "-crl_check", "-CRLfile", "crl", "-CAfile", "root", "leaf"]);

        let revoked =
            |serial: &[u8], reason| Revoked { serial: serial.to_vec(), at: at("2021-06-01T12:00:00Z"), reason };
        let mut spec = root.crl();
        let both = [revoked(leaf.serial(), Reason::KeyCompromise), revoked(&[0x90, 1], Reason::Unspecified)];
        spec.entries = Revoked::all(&both).unwrap();
        spec.extensions = vec![ext::issuing_distribution_point(&["http://ca.example/crl".into()]).unwrap()];
        let list = Crl::from_der(&spec.sign(&root.key, root.algorithm).unwrap()).unwrap();
        assert_eq!(list.revoked(&[0, 1, 2, 3]), Some(at("2021-06-01T12:00:00Z")));
        assert_eq!(list.revoked(&[0x90, 1]), Some(at("2021-06-01T12:00:00Z")));
        assert_eq!(list.number().unwrap().unwrap(), [1, 44]);
        list.verify_by(&root.certificate).unwrap();
        assert!(Crl::from_pem(&list.pem().unwrap()).unwrap().verify_by(&leaf).is_err());
        save(folder, "crl", &list.pem().unwrap());
        let text = accepted(folder, &["crl", "-in", "crl", "-noout", "-text"]);
        assert!(
            text.contains("Key Compromise") && text.contains("X509v3 Issuing Distribution Point: critical"),
            "{text}"
        );
        let (content, text) = openssl(folder, &["verify", "-crl_check", "-CRLfile", "crl", "-CAfile", "root", "leaf"]);
        assert!(!content && text.contains("certificate revoked"), "{text}");

        spec.base = Some(300);
        spec.number = 301;
        spec.extensions.clear();
        let delta = Crl::from_der(&spec.sign(&root.key, root.algorithm).unwrap()).unwrap();
        assert!(delta.is_delta() && !list.is_delta());
        save(folder, "delta", &delta.pem().unwrap());
        let text = accepted(folder, &["crl", "-in", "delta", "-noout", "-text"]);
        assert!(text.contains("X509v3 Delta CRL Indicator: critical"), "{text}");
    }
}

#[test]
fn requests_by_openssl_are_read_and_a_forged_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let curve = |name| vec!["-newkey".into(), "ec".into(), "-pkeyopt".into(), format!("ec_paramgen_curve:{name}")];
    for (key, hash) in [
        (curve("P-256"), "-sha256"),
        (curve("P-256"), "-sha512"),
        (curve("P-384"), "-sha384"),
        (curve("P-521"), "-sha256"),
        (curve("P-521"), "-sha512"),
        (vec!["-newkey".into(), "rsa:2048".into()], "-sha256"),
        (
            vec![
                "-newkey".into(),
                "rsa:3072".into(),
                "-sigopt".into(),
                "rsa_padding_mode:pss".into(),
                "-sigopt".into(),
                "rsa_pss_saltlen:digest".into(),
            ],
            "-sha384",
        ),
        (vec!["-newkey".into(), "ed25519".into()], "-sha256"),
    ] {
        let mut arguments = vec!["req", "-new", "-nodes", "-keyout", "key", "-out", "csr", "-subj", "/CN=x", hash];
        arguments.extend(key.iter().map(String::as_str));
        accepted(folder, &arguments);
        let request = Request::from_pem(&fs::read_to_string(folder.join("csr")).unwrap()).unwrap();
        assert!(request.extensions().is_empty());
        let mut forged = request.der().to_vec();
        let place = forged.windows(4).position(|window| window == [0x0c, 1, b'x', 0x30]).unwrap() + 2;
        forged[place] = b'y';
        assert!(matches!(Request::from_der(&forged), Err(Error::Signature)), "{arguments:?}");
    }
}

#[test]
fn weak_requests_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for arguments in [
        vec!["-newkey", "rsa:1024", "-sha256"],
        vec!["-newkey", "rsa:2048", "-sha1"],
        vec!["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1", "-sha256"],
    ] {
        let all =
            [vec!["req", "-new", "-nodes", "-keyout", "key", "-out", "csr", "-subj", "/CN=x"], arguments].concat();
        accepted(folder, &all);
        assert!(Request::from_pem(&fs::read_to_string(folder.join("csr")).unwrap()).is_err(), "{all:?}");
    }
}

#[test]
fn our_requests_are_read_by_openssl() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for kind in KINDS {
        for extensions in [Vec::new(), vec![ext::basic_constraints(true, None).unwrap()]] {
            let key = PrivateKey::generate(kind).unwrap();
            let spec = RequestSpec { subject: Subject::common("between").encode().unwrap(), extensions };
            let request = spec.sign(&key, SignatureAlgorithm::for_key(kind, None, false).unwrap()).unwrap();
            assert_eq!(request.public_key(), key.public());
            assert_eq!(request.extensions(), spec.extensions);
            save(folder, "csr", &request.pem().unwrap());
            let text = accepted(folder, &["req", "-in", "csr", "-noout", "-verify", "-text"]);
            assert_eq!(text.contains("CA:TRUE"), request.wants_ca().unwrap(), "{text}");
        }
    }
}

#[test]
fn who_is_no_issuer_is_not_taken_for_one() {
    let root = Ca::root(KeyKind::Ed25519, false);
    let other = Ca::root(KeyKind::Ed25519, false);
    let key = PrivateKey::generate(KeyKind::Ed25519).unwrap();
    let name = Subject::common("leaf").encode().unwrap();
    let leaf = root.issue(name.clone(), key.public(), Vec::new());
    // The same name, another key.
    assert!(matches!(leaf.verify_by(&other.certificate), Err(Error::Signature)));
    // A leaf that signs.
    let below = Ca { key, certificate: leaf, algorithm: SignatureAlgorithm::Ed25519 };
    let mut spec = root.spec(name.clone(), below.key.public(), Vec::new());
    spec.issuer = name.clone();
    let below =
        spec.sign(&below.key, below.algorithm).map(|certificate| certificate.verify_by(&below.certificate)).unwrap();
    assert_eq!(below.unwrap_err().to_string(), "certificate: its issuer is not a CA");
    // A CA whose key may not sign certificates.
    let key = PrivateKey::generate(KeyKind::Ed25519).unwrap();
    let lists = vec![ext::basic_constraints(true, None).unwrap(), ext::key_usage(KeyUsage::CRL_SIGN).unwrap()];
    let lists = root.issue(name, key.public(), lists);
    assert!(!lists.key_usage().unwrap().unwrap().has(KeyUsage::CERT_SIGN));
}

#[test]
fn specifications_that_make_no_sense_are_refused() {
    let root = Ca::root(KeyKind::Ed25519, false);
    let name = Subject::common("leaf").encode().unwrap();
    let spec = root.spec(name, root.key.public(), Vec::new());
    let refuse = |change: &dyn Fn(&mut CertificateSpec)| {
        let mut changed = spec.clone();
        change(&mut changed);
        changed.sign(&root.key, root.algorithm).unwrap_err().to_string()
    };
    refuse(&|spec| spec.serial = vec![0; 4]);
    refuse(&|spec| spec.serial = vec![1; 21]);
    refuse(&|spec| spec.serial = vec![0xff; 20]);
    refuse(&|spec| spec.not_after = at("2019-01-01T00:00:00Z"));
    refuse(&|spec| spec.not_before = at("1969-01-01T00:00:00Z"));
    refuse(&|spec| spec.extensions.extend(spec.extensions.clone()));
    assert!(spec.sign(&root.key, SignatureAlgorithm::RsaPkcs1(Hash::Sha256)).is_err());
    let mut crl = root.crl();
    crl.next_update = at("2000-01-01T00:00:00Z");
    assert!(crl.sign(&root.key, root.algorithm).is_err());
}

#[test]
fn dates_count_to_the_second() {
    let root = Ca::root(KeyKind::Ed25519, false);
    let leaf = root.issue(Subject::common("x").encode().unwrap(), root.key.public(), Vec::new());
    assert!(!leaf.is_valid_at(at("2019-12-31T23:59:59Z")));
    assert!(leaf.is_valid_at(at("2020-01-01T00:00:00Z")));
    assert!(leaf.is_valid_at(at("2060-01-01T00:00:00.9Z")));
    assert!(!leaf.is_valid_at(at("2060-01-01T00:00:01Z")));
}

proptest! {
    /// One changed byte: never a panic, and never the same list or certificate with a right signature.
    #[test]
    fn a_changed_byte_is_noticed(place: usize, byte: u8) {
        let pkcs8 = hex::decode("302e020100300506032b657004220420d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842").unwrap();
        let key = PrivateKey::from_der(&pkcs8).unwrap();
        let name = Subject::common("x").encode().unwrap();
        let spec = CertificateSpec {
            serial: vec![7],
            issuer: name.clone(),
            subject: name.clone(),
            public_key: key.public().clone(),
            not_before: at("2020-01-01T00:00:00Z"),
            not_after: at("2030-01-01T00:00:00Z"),
            extensions: vec![
                ext::basic_constraints(true, Some(1)).unwrap(),
                ext::alt_names(&[AltName::Dns("a".into()), AltName::Ip("::1".parse().unwrap())], false).unwrap(),
                ext::key_usage(KeyUsage::CERT_SIGN).unwrap(),
            ],
        };
        let certificate = spec.sign(&key, SignatureAlgorithm::Ed25519).unwrap();
        prop_assert!(Certificate::from_der(certificate.der()).unwrap() == certificate);
        let crl = CrlSpec {
            issuer: name.clone(), authority_key_id: vec![1], number: 1, base: None,
            this_update: at("2020-01-01T00:00:00Z"), next_update: at("2030-01-01T00:00:00Z"),
            entries: Revoked { serial: vec![1], at: at("2020-01-01T00:00:00Z"), reason: Reason::Superseded }.der().unwrap(),
            extensions: Vec::new(),
        }.sign(&key, SignatureAlgorithm::Ed25519).unwrap();
        let request = RequestSpec { subject: name, extensions: spec.extensions.clone() }.sign(&key, SignatureAlgorithm::Ed25519).unwrap();

        let change = |der: &[u8]| {
            let mut changed = der.to_vec();
            let place = place % changed.len();
            let same = changed[place] == byte;
            changed[place] = byte;
            (changed, same)
        };
        let (der, same) = change(certificate.der());
        if let Ok(read) = Certificate::from_der(&der) {
            let _ = (read.alt_names(), read.key_usage(), read.ca(), read.ext_key_usage(), read.authority_key_id(), read.subject_key_id());
            prop_assert_eq!(read.verify_by_key(key.public()).is_ok(), same);
        }
        let (der, same) = change(&crl);
        if let Ok(read) = Crl::from_der(&der) {
            let _ = (read.number(), read.is_delta());
            prop_assert_eq!(read.verify_by_key(key.public()).is_ok(), same);
        }
        let (der, same) = change(request.der());
        if let Ok(read) = Request::from_der(&der) {
            let _ = (read.alt_names(), read.key_usage(), read.wants_ca());
            prop_assert!(same);
        }
    }
}
