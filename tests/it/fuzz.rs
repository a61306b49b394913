//! The parsers of `fuzz/`, given their corpus and changed copies of it: the same ones in every run.

use std::path::Path;

use warifu::crypto::keys::{Jwk, PrivateKey, jws_kind};

use crate::chance::Chance;
use crate::der::{context, null, octets, oid, seq, uint};

#[path = "../../fuzz/parsers.rs"]
mod parsers;

/// Changed copies of each seed.
const COPIES: usize = 400;
/// What a copy may be given: the marks that parsers stumble over.
const MARKS: [&[u8]; 16] = [
    b"\0",
    b"\xff",
    b"{",
    b"}",
    b"[",
    b"\"",
    b"\\",
    b"/",
    b"..",
    b"%2f",
    b"{{",
    b"}}",
    b"\n",
    b"-",
    b"9999999999999999999",
    b"\xf0\x9f\x94\x91",
];

fn changed(seed: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut copy = seed.to_vec();
    for _ in 0..=chance.below(4) {
        let at = chance.below(copy.len() + 1);
        match chance.below(5) {
            0 if at < copy.len() => copy[at] ^= 1 << chance.below(8),
            1 => copy.truncate(at),
            2 => drop(copy.splice(at..at, MARKS[chance.below(MARKS.len())].iter().copied())),
            3 => {
                let to = (at + chance.below(16)).min(copy.len());
                copy.drain(at..to);
            }
            _ => {
                let piece = copy[at..(at + chance.below(64)).min(copy.len())].to_vec();
                copy.splice(at..at, piece);
            }
        }
    }
    copy
}

/// Seeds of what is no text: made here, so that no key lies in the repository.
fn made(name: &str) -> Vec<Vec<u8>> {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["a.example".into(), "10.0.0.1".into()]).unwrap();
    if name == "crl" {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::CrlSign];
    }
    match name {
        "certificate" => {
            let cert = params.self_signed(&key).unwrap();
            vec![cert.der().to_vec(), cert.pem().into_bytes()]
        }
        "request" => {
            let request = params.serialize_request(&key).unwrap();
            vec![request.der().to_vec(), request.pem().unwrap().into_bytes()]
        }
        "crl" => {
            let now = time::OffsetDateTime::from_unix_timestamp(1_767_225_600).unwrap();
            let revoked = rcgen::RevokedCertParams {
                serial_number: 5_u64.into(),
                revocation_time: now,
                reason_code: Some(rcgen::RevocationReason::KeyCompromise),
                invalidity_date: None,
            };
            let list = rcgen::CertificateRevocationListParams {
                this_update: now,
                next_update: now + time::Duration::days(1),
                crl_number: 1_u64.into(),
                issuing_distribution_point: None,
                revoked_certs: vec![revoked],
                key_identifier_method: rcgen::KeyIdMethod::Sha256,
            };
            let issuer = rcgen::Issuer::new(params, key);
            let list = list.signed_by(&issuer).unwrap();
            vec![list.der().to_vec(), list.pem().unwrap().into_bytes()]
        }
        "ocsp" => {
            let id = seq(&[seq(&[oid("1.3.14.3.2.26"), null()]), octets(&[1; 20]), octets(&[2; 20]), uint(&[3; 20])]);
            let nonce = seq(&[oid("1.3.6.1.5.5.7.48.1.2"), octets(&octets(&[7; 32]))]);
            vec![seq(&[seq(&[seq(&[seq(&[id])]), context(2, &seq(&[nonce]))])])]
        }
        "jwk" => ["ES256", "EdDSA", "RS256"]
            .map(|algorithm| {
                let key = PrivateKey::generate(jws_kind(algorithm).unwrap()).unwrap();
                Jwk::of(key.public().clone()).json().unwrap().text().into_bytes()
            })
            .to_vec(),
        "key" => vec![key.serialize_der(), key.serialize_pem().into_bytes(), key.public_key_pem().into_bytes()],
        _ => Vec::new(),
    }
}

#[test]
fn no_parser_panics_or_breaks_its_promise_on_changed_input() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (number, (name, parser)) in parsers::ALL.iter().enumerate() {
        let mut seeds = made(name);
        if let Ok(files) = std::fs::read_dir(corpus.join(name)) {
            let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
            files.sort();
            seeds.extend(files.iter().map(|file| std::fs::read(file).unwrap()));
        }
        assert!(!seeds.is_empty(), "{name} has no seed");
        let mut chance = Chance(0x9e37_79b9_7f4a_7c15 ^ number as u64);
        for seed in seeds {
            parser(&seed);
            for _ in 0..COPIES {
                let copy = changed(&seed, &mut chance);
                let done = std::panic::catch_unwind(|| parser(&copy));
                assert!(done.is_ok(), "{name} fails on {:?}", String::from_utf8_lossy(&copy));
            }
        }
    }
}
