//! A request in the making: names good and bad, and one or two things that an honest request has not.

use std::collections::BTreeSet;

use warifu::crypto::{Curve, Hash, KeyKind, PrivateKey, SignatureAlgorithm};

use super::model::{DNS, EMAIL, IP, Name, URI, Verdict, below};
use super::{ALT_NAMES, CHALLENGE_PASSWORD, CN, EXTENSION_REQUEST, MUST_STAPLE};
use crate::chance::Chance;
use crate::der::{bits, boolean, context, implicit, null, octets, oid, seq, set, tlv, uint, utf8};

const ORGANIZATION: &str = "2.5.4.10";

/// A request in the making, and what is known of it.
pub struct Wish {
    pub version: u8,
    pub subject: Vec<Vec<u8>>,
    pub common_name: Option<String>,
    pub names: Vec<Name>,
    pub extensions: Vec<Vec<u8>>,
    pub attributes: Vec<Vec<u8>>,
    pub spoiled: bool,
    pub odd: bool,
    pub bad_signature: bool,
}

pub fn relative(kind: &str, value: Vec<u8>) -> Vec<u8> {
    set(&[seq(&[oid(kind), value])])
}

pub fn extension(id: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let mut parts = vec![oid(id)];
    if critical {
        parts.push(boolean(true));
    }
    parts.push(octets(value));
    seq(&parts)
}

pub fn pick<'a, T>(chance: &mut Chance, list: &'a [T]) -> &'a T {
    &list[chance.below(list.len())]
}

fn name(chance: &mut Chance) -> Name {
    const HOSTS: &[&str] = &[
        "www.a.test",
        "x.y.a.test",
        "WWW.a.test",
        "*.a.test",
        "*.x.a.test",
        "a-1.a.test",
        "a.test",
        "*.b.test",
        "b.test",
        "a.test.evil.test",
        "xa.test",
        "*",
        "*.*.a.test",
        "w*.a.test",
        "a.*.a.test",
        "-x.a.test",
        "x-.a.test",
        "x..a.test",
        ".a.test",
        "x.a.test.",
        "x_y.a.test",
        "x.a.test\0.evil.test",
        "x a.a.test",
        "localhost",
        "10.1.2.3",
        "",
        "x@y.a.test",
        "x.a.test\n",
        "\u{fc}.a.test",
        "xn--bcher-kva.a.test",
    ];
    const MAILS: &[&str] = &[
        "ann@x.a.test",
        "a+b@x.a.test",
        "ann@b.test",
        "ann@a.test",
        "@x.a.test",
        "ann@",
        "ann",
        "a@b@x.a.test",
        "a b@x.a.test",
    ];
    const URIS: &[&str] = &[
        "spiffe://a.test/ns/x",
        "spiffe://a.test/x.y/z_1",
        "spiffe://b.test/x",
        "spiffe://a.test/../x",
        "spiffe://a.test//x",
        "spiffe://a.test/",
        "spiffe://A.test/x",
        "spiffe://a.test/x?y",
        "https://a.test/x",
        "spiffe://a.test/%2e",
        "urn:x",
        "",
    ];
    match chance.below(16) {
        0..=8 => Name::text(DNS, pick::<&str>(chance, HOSTS)),
        9 => Name::text(EMAIL, pick::<&str>(chance, MAILS)),
        10 | 11 => Name::text(URI, pick::<&str>(chance, URIS)),
        12 | 13 => {
            let length = *pick(chance, &[4, 4, 4, 4, 16, 0, 3, 5, 8, 32]);
            let mut value = vec![10; length];
            if chance.below(3) == 0 && length > 0 {
                value[0] = 192;
            }
            Name { kind: IP, value }
        }
        14 => Name { kind: 0, value: [oid("1.3.6.1.4.1.311.20.2.3"), context(0, &utf8("root@a.test"))].concat() },
        _ => {
            let (kind, value) =
                pick(chance, &[(4, seq(&[])), (8, vec![42, 3]), (3, seq(&[])), (5, seq(&[])), (9, vec![1])]).clone();
            Name { kind, value }
        }
    }
}

impl Wish {
    pub fn new(chance: &mut Chance) -> Self {
        let mut wish = Self {
            version: 0,
            subject: Vec::new(),
            common_name: None,
            names: Vec::new(),
            extensions: Vec::new(),
            attributes: Vec::new(),
            spoiled: false,
            odd: false,
            bad_signature: false,
        };
        if chance.below(3) > 0 {
            let names =
                ["www.a.test", "*.a.test", "b.test", "x@y.a.test", "Ann Other", "a.test", "x.a.test", "www.a.test\0b"];
            let text = (*pick(chance, &names)).to_owned();
            // Printable strings have no asterisk and no at.
            let tag = if text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.') {
                *pick(chance, &[12, 19])
            } else {
                12
            };
            wish.subject.push(relative(CN, tlv(tag, text.as_bytes())));
            wish.common_name = Some(text);
        }
        // Mostly few and good ones, so that there is something to sign.
        for _ in 0..chance.below(4) {
            let mut one = name(chance);
            for _ in 0..3 {
                if !one.allowed() && chance.below(4) > 0 {
                    one = name(chance);
                }
            }
            wish.names.push(one);
        }
        for _ in 0..chance.below(3) {
            wish.twist(chance);
        }
        wish
    }

    /// One thing that an honest request has not.
    fn twist(&mut self, chance: &mut Chance) {
        let id = ["2.5.29.19", "2.5.29.15", "2.5.29.37", MUST_STAPLE, "2.5.29.30", "2.5.29.35", "2.5.29.31", "1.2.3.4"];
        match chance.below(22) {
            // What a role takes from no request: it is signed without it.
            0 => self.subject.push(relative(ORGANIZATION, utf8("Evil"))),
            1 => self.extend("2.5.29.19", true, &seq(&[boolean(true)])),
            2 => self.extend("2.5.29.19", true, &seq(&[boolean(true), uint(&[3])])),
            3 => self.extend("2.5.29.15", true, &tlv(3, &[1, 0x06])),
            4 => self.extend("2.5.29.37", false, &seq(&[oid("2.5.29.37.0"), oid("1.3.6.1.5.5.7.3.9")])),
            5 => self.extend(MUST_STAPLE, false, &seq(&[uint(&[5])])),
            6 => self.extend("2.5.29.30", true, &seq(&[context(0, &seq(&[implicit(2, b"")]))])),
            7 => self.extend("1.3.6.1.5.5.7.48.1.5", false, &null()),
            8 => self.extend("2.5.29.54", true, &uint(&[0])),
            9 => self.extend("1.2.3.4", true, &[0xff; 12]),
            10 => self.extend("2.5.29.35", false, &seq(&[implicit(0, &[7; 20])])),
            11 => self.extend("2.5.29.14", false, &octets(&[9; 20])),
            12 => self.extend("1.3.6.1.4.1.11129.2.4.3", true, &null()),
            13 => self.attributes.push(seq(&[oid(CHALLENGE_PASSWORD), set(&[utf8("canary-password")])])),
            // Malformed values of what is not taken: nobody has to read them.
            14 => {
                let id = *pick(chance, &id);
                self.extend(id, true, &[0x30, 0x05, 1]);
                self.odd = true;
            }
            // What makes it no request.
            15 => self.bad_signature = true,
            16 => self.version = 1,
            17 => {
                self.extend("1.2.3.5", false, &null());
                self.extend("1.2.3.5", false, &null());
                self.spoiled = true;
            }
            18 => {
                let more = seq(&[extension(ALT_NAMES, false, &seq(&[implicit(2, b"evil.test")]))]);
                self.attributes.push(seq(&[oid(EXTENSION_REQUEST), set(&[more])]));
                self.odd = true;
            }
            19 => {
                let more = seq(&[extension(ALT_NAMES, false, &seq(&[implicit(2, b"x.a.test")]))]);
                self.attributes.push(seq(&[oid(EXTENSION_REQUEST), set(&[more.clone(), more])]));
                self.spoiled = true;
            }
            20 => {
                self.subject.push(relative(CN, utf8("evil.test")));
                self.odd = true;
            }
            _ => {
                self.subject.push(set(&[seq(&[oid(CN), utf8("y.a.test")]), seq(&[oid("2.5.4.5"), utf8("1")])]));
                self.odd = true;
            }
        }
    }

    /// The same extension twice is none.
    fn extend(&mut self, id: &str, critical: bool, value: &[u8]) {
        let wanted = oid(id);
        let there = self.extensions.iter().any(|one| one.windows(wanted.len()).any(|part| part == wanted));
        self.spoiled |= there;
        self.extensions.push(extension(id, critical, value));
    }

    pub fn verdict(&self) -> Verdict {
        let named = match self.common_name.as_deref() {
            None => true,
            Some(name) if name.contains('@') => Name::text(EMAIL, name).allowed(),
            Some(name) => below(name),
        };
        let fits = named && self.names.iter().all(Name::allowed);
        let ids = self.names.iter().filter(|name| name.kind == URI).collect::<BTreeSet<_>>().len();
        if self.spoiled || self.bad_signature || self.version != 0 || !fits || ids > 1 {
            return Verdict::Refused;
        }
        if self.odd { Verdict::Either } else { Verdict::Signed }
    }

    pub fn sign(&self, key: &Signer) -> Vec<u8> {
        let mut attributes = self.attributes.clone();
        let mut extensions = self.extensions.clone();
        if !self.names.is_empty() {
            let names: Vec<Vec<u8>> = self.names.iter().map(Name::der).collect();
            extensions.push(extension(ALT_NAMES, false, &seq(&names)));
        }
        if !extensions.is_empty() {
            attributes.push(seq(&[oid(EXTENSION_REQUEST), set(&[seq(&extensions)])]));
        }
        let body = seq(&[
            uint(&[self.version]),
            seq(&self.subject),
            key.key.public().spki().to_vec(),
            context(0, &attributes.concat()),
        ]);
        let mut signature = key.key.sign(key.algorithm, &body).unwrap();
        if self.bad_signature {
            signature = key.key.sign(key.algorithm, b"something else").unwrap();
        }
        seq(&[body, key.identifier.clone(), bits(&signature)])
    }
}

pub struct Signer {
    key: PrivateKey,
    algorithm: SignatureAlgorithm,
    identifier: Vec<u8>,
}

pub fn signers() -> Vec<Signer> {
    let of = |kind, algorithm, id: &str, parameters: Vec<u8>| Signer {
        key: PrivateKey::generate(kind).unwrap(),
        algorithm,
        identifier: seq(&[oid(id), parameters]),
    };
    vec![
        of(KeyKind::Ec(Curve::P256), SignatureAlgorithm::Ecdsa(Hash::Sha256), "1.2.840.10045.4.3.2", vec![]),
        of(KeyKind::Ec(Curve::P384), SignatureAlgorithm::Ecdsa(Hash::Sha384), "1.2.840.10045.4.3.3", vec![]),
        of(KeyKind::Ed25519, SignatureAlgorithm::Ed25519, "1.3.101.112", vec![]),
        of(KeyKind::Rsa(2048), SignatureAlgorithm::RsaPkcs1(Hash::Sha256), "1.2.840.113549.1.1.11", null()),
    ]
}
