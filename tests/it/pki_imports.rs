//! What is brought in from elsewhere: certificates of CAs, revocation lists and private keys, each a case with the answer
//! that it must get. The cases are made here, in the manner of x509-limbo and Wycheproof: one good thing, one thing wrong.

use serde_json::json;
use warifu::crypto::{Curve, KeyKind, PrivateKey, SignatureAlgorithm};

use crate::der::{bits, boolean, context, implicit, null, octets, oid, pem, seq, set, tlv, uint, utf8};
use crate::server::Server;

const ED25519: &str = "1.3.101.112";
const BASIC_CONSTRAINTS: &str = "2.5.29.19";
const KEY_USAGE: &str = "2.5.29.15";

/// What has to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Taken,
    Refused,
}
use Wanted::{Refused, Taken};

async fn mounted() -> Server {
    let server = Server::new().await;
    server.put("sys/mounts/pki", json!({"type": "pki", "config": {"max_lease_ttl": "87600h"}})).await.ok();
    server
}

fn name(text: &str) -> Vec<u8> {
    seq(&[set(&[seq(&[oid("2.5.4.3"), utf8(text)])])])
}

fn algorithm() -> Vec<u8> {
    seq(&[oid(ED25519)])
}

fn extension(id: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let flag = if critical { boolean(true) } else { Vec::new() };
    seq(&[oid(id), flag, octets(value)])
}

fn utc(text: &str) -> Vec<u8> {
    tlv(0x17, text.as_bytes())
}

fn general(text: &str) -> Vec<u8> {
    tlv(0x18, text.as_bytes())
}

fn signed(key: &PrivateKey, body: Vec<u8>, algorithm: Vec<u8>) -> Vec<u8> {
    let signature = key.sign(SignatureAlgorithm::Ed25519, &body).unwrap();
    seq(&[body, algorithm, bits(&signature)])
}

/// The parts of a root's certificate, one of which a case changes.
#[derive(Clone)]
struct Root {
    version: Vec<u8>,
    serial: Vec<u8>,
    inner: Vec<u8>,
    outer: Vec<u8>,
    issuer: Vec<u8>,
    life: Vec<u8>,
    subject: Vec<u8>,
    spki: Vec<u8>,
    ids: Vec<u8>,
    extensions: Vec<Vec<u8>>,
}

impl Root {
    fn of(key: &PrivateKey) -> Self {
        Self {
            version: context(0, &uint(&[2])),
            serial: uint(&[7; 16]),
            inner: algorithm(),
            outer: algorithm(),
            issuer: name("Elsewhere"),
            life: seq(&[utc("250101000000Z"), utc("400101000000Z")]),
            subject: name("Elsewhere"),
            spki: key.public().spki().to_vec(),
            ids: Vec::new(),
            extensions: vec![
                extension(BASIC_CONSTRAINTS, true, &seq(&[boolean(true)])),
                extension(KEY_USAGE, true, &tlv(3, &[1, 0x06])),
            ],
        }
    }

    fn with(mut self, edit: impl FnOnce(&mut Self)) -> Self {
        edit(&mut self);
        self
    }

    fn sign(self, key: &PrivateKey) -> Vec<u8> {
        let extensions = if self.extensions.is_empty() { Vec::new() } else { context(3, &seq(&self.extensions)) };
        let body = [
            self.version,
            self.serial,
            self.inner,
            self.issuer,
            self.life,
            self.subject,
            self.spki,
            self.ids,
            extensions,
        ];
        signed(key, seq(&body), self.outer)
    }
}

#[tokio::test]
async fn certificates_of_cas() {
    let key = PrivateKey::generate(KeyKind::Ed25519).unwrap();
    let root = || Root::of(&key);
    let made = |edit: &dyn Fn(&mut Root)| root().with(edit).sign(&key);
    let good = root().sign(&key);
    let life = |from: Vec<u8>, to: Vec<u8>| made(&|r| r.life = seq(&[from.clone(), to.clone()]));
    let basic =
        |critical: bool, value: Vec<u8>| made(&|r| r.extensions[0] = extension(BASIC_CONSTRAINTS, critical, &value));
    let more = |id: &str, critical: bool, value: &[u8]| made(&|r| r.extensions.push(extension(id, critical, value)));
    let begin = || utc("250101000000Z");
    let mut cases: Vec<(&str, Wanted, Vec<u8>)> = vec![
        ("good", Taken, good.clone()),
        ("good, with another's name for its issuer", Taken, made(&|r| r.issuer = name("Above"))),
        ("constraints that are not critical", Taken, basic(false, seq(&[boolean(true)]))),
        ("a length of its path", Taken, basic(true, seq(&[boolean(true), uint(&[3])]))),
        ("an end that is no end", Taken, life(begin(), general("99991231235959Z"))),
        ("a serial number of 20 bytes", Taken, made(&|r| r.serial = uint(&[0x7f; 20]))),
        ("an extension that nobody knows", Taken, more("1.2.3.4", false, &null())),
        ("no end of constraints: the end of the path at once", Taken, basic(true, seq(&[boolean(true), uint(&[0])]))),
        // Its form.
        ("nothing", Refused, Vec::new()),
        ("a byte after the end", Refused, [&good[..], &[0]].concat()),
        ("a byte short", Refused, good[..good.len() - 1].to_vec()),
        ("a length without an end", Refused, [&[0x30, 0x80], &good[3..], &[0, 0]].concat()),
        ("a longer form of its length", Refused, [&[0x30, 0x83, 0, 0], &good[2..]].concat()),
        ("its body alone", Refused, {
            let length = good.len();
            good[3..length - 80].to_vec()
        }),
        ("a name as a text", Refused, made(&|r| r.subject = utf8("x"))),
        ("a name with an empty set", Refused, made(&|r| r.subject = seq(&[set(&[])]))),
        ("no key", Refused, made(&|r| r.spki = seq(&[]))),
        ("a key of another kind", Refused, made(&|r| r.spki = seq(&[seq(&[oid("1.3.101.113")]), bits(&[1; 57])]))),
        (
            "a weak key",
            Refused,
            made(&|r| {
                let modulus = [vec![0xc1; 127], vec![0x0f]].concat();
                let key = seq(&[uint(&modulus), uint(&[1, 0, 1])]);
                r.spki = seq(&[seq(&[oid("1.2.840.113549.1.1.1"), null()]), bits(&key)]);
            }),
        ),
        // What it says.
        ("no version, and extensions", Refused, made(&|r| r.version = Vec::new())),
        ("version 2, and extensions", Refused, made(&|r| r.version = context(0, &uint(&[1])))),
        ("version 4", Refused, made(&|r| r.version = context(0, &uint(&[3])))),
        (
            "version 1 without extensions",
            Refused,
            made(&|r| {
                r.version = Vec::new();
                r.extensions.clear();
            }),
        ),
        ("a negative serial number", Refused, made(&|r| r.serial = tlv(2, &[0x80, 1]))),
        ("the serial number 0, as old roots have it", Taken, made(&|r| r.serial = uint(&[0]))),
        ("a serial number of 21 bytes", Refused, made(&|r| r.serial = uint(&[0x7f; 21]))),
        ("a serial number with a zero before it", Refused, made(&|r| r.serial = tlv(2, &[0, 1]))),
        ("two algorithms", Refused, made(&|r| r.inner = seq(&[oid("1.2.840.10045.4.3.2")]))),
        ("an algorithm with parameters inside alone", Refused, made(&|r| r.inner = seq(&[oid(ED25519), null()]))),
        ("a time without seconds", Refused, life(utc("2501010000Z"), utc("400101000000Z"))),
        ("a time elsewhere", Refused, life(utc("250101000000+0100"), utc("400101000000Z"))),
        ("a fraction of a second", Refused, life(begin(), general("20600101000000.5Z"))),
        ("the 30th of February", Refused, life(begin(), utc("400230000000Z"))),
        ("a text for a time", Refused, life(begin(), utf8("400101000000Z"))),
        ("one time", Refused, made(&|r| r.life = seq(&[begin()]))),
        ("no CA", Refused, basic(true, seq(&[]))),
        ("no CA, in so many words", Refused, basic(true, seq(&[boolean(false)]))),
        ("a length without a CA", Refused, basic(true, seq(&[uint(&[1])]))),
        ("a truth that is neither", Refused, basic(true, seq(&[tlv(1, &[1])]))),
        ("a negative length", Refused, basic(true, seq(&[boolean(true), tlv(2, &[0xff])]))),
        ("constraints with something behind", Refused, basic(true, [seq(&[boolean(true)]), vec![0]].concat())),
        ("no constraints", Refused, made(&|r| drop(r.extensions.remove(0)))),
        ("an extension twice", Refused, made(&|r| r.extensions.push(r.extensions[0].clone()))),
        ("a list of extensions that is empty", Refused, {
            let body = [root().version, root().serial, algorithm(), name("x"), root().life, name("x"), root().spki];
            signed(&key, seq(&[body.concat(), context(3, &seq(&[]))]), algorithm())
        }),
        ("an extension without a value", Refused, made(&|r| r.extensions.push(seq(&[oid("1.2.3.4")])))),
        ("a usage without the signing of certificates", Refused, {
            made(&|r| r.extensions[1] = extension(KEY_USAGE, true, &tlv(3, &[7, 0x80])))
        }),
        ("a usage that is none", Refused, made(&|r| r.extensions[1] = extension(KEY_USAGE, true, &null()))),
        (
            "more extensions than anybody has",
            Refused,
            made(&|r| {
                r.extensions.extend((0..80).map(|at| extension(&format!("1.2.3.{at}"), false, &null())));
            }),
        ),
        ("an id of its issuer of the second version", Taken, made(&|r| r.ids = implicit(1, &[0, 7]))),
    ];
    // What signs itself is signed by itself.
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    cases.push(("a signature of another", Refused, forged));

    let mut wrong = Vec::new();
    for (what, wanted, der) in cases {
        let server = mounted().await;
        let answer = server.put("pki/issuers/import/cert", json!({"pem_bundle": pem("CERTIFICATE", &der)})).await;
        assert!(matches!(answer.status, 200 | 400), "{what}: {answer:?}");
        if (answer.status == 200) != (wanted == Taken) {
            wrong.push(format!("{what}: {wanted:?} was wanted: {answer:?}"));
        }
        let there = server.list("pki/issuers").await.status == 200;
        assert_eq!(there, answer.status == 200, "{what}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Lists of an issuer whose key is known here, to be put together: each is believed only if it is one, and the issuer's.
#[tokio::test]
async fn revocation_lists() {
    let server = mounted().await;
    let key = PrivateKey::generate(KeyKind::Ed25519).unwrap();
    let stranger = PrivateKey::generate(KeyKind::Ed25519).unwrap();
    let bundle = pem("CERTIFICATE", &Root::of(&key).sign(&key)) + key.pkcs8_pem().unwrap().reveal();
    server.put("pki/config/ca", json!({"pem_bundle": bundle})).await.ok();

    let entry = |serial: &[u8], at: Vec<u8>| seq(&[uint(serial), at]);
    let day = || utc("260101000000Z");
    let number = || context(0, &seq(&[extension("2.5.29.20", false, &uint(&[1]))]));
    let list = |parts: &[Vec<u8>]| seq(parts);
    let head = || vec![uint(&[1]), algorithm(), name("Elsewhere"), day(), utc("260201000000Z")];
    let whole = |more: &[Vec<u8>]| signed(&key, list(&[&head()[..], more].concat()), algorithm());
    let with = |at: usize, part: Vec<u8>| {
        let mut parts = head();
        parts[at] = part;
        parts.push(number());
        signed(&key, list(&parts), algorithm())
    };
    let good = whole(&[seq(&[entry(&[5], day())]), number()]);
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    let cases = [
        ("good", Taken, good.clone()),
        ("with nobody in it", Taken, whole(&[number()])),
        ("one number twice", Taken, whole(&[seq(&[entry(&[5], day()), entry(&[5], utc("260102000000Z"))]), number()])),
        ("with a reason", Taken, {
            let reason = seq(&[extension("2.5.29.21", false, &tlv(10, &[1]))]);
            whole(&[seq(&[seq(&[uint(&[5]), day(), reason])]), number()])
        }),
        ("nothing", Refused, Vec::new()),
        ("a byte after the end", Refused, [&good[..], &[0]].concat()),
        ("a byte short", Refused, good[..good.len() - 1].to_vec()),
        ("another's signature", Refused, forged),
        (
            "a stranger's, in this name",
            Refused,
            signed(&stranger, list(&[&head()[..], &[number()]].concat()), algorithm()),
        ),
        ("in another name", Refused, with(2, name("Somebody"))),
        ("of version 1", Refused, signed(&key, list(&head()[1..]), algorithm())),
        ("of version 3", Refused, with(0, uint(&[2]))),
        ("two algorithms", Refused, with(1, seq(&[oid("1.2.840.10045.4.3.2")]))),
        ("a time that is none", Refused, with(3, utc("261301000000Z"))),
        ("a text for a time", Refused, with(3, utf8("260101000000Z"))),
        ("an entry without a time", Refused, whole(&[seq(&[seq(&[uint(&[5])])]), number()])),
        ("an entry that is a number", Refused, whole(&[seq(&[uint(&[5])]), number()])),
        ("a number of 30 bytes", Refused, whole(&[seq(&[entry(&[0x7f; 30], day())]), number()])),
        ("a certificate", Refused, Root::of(&key).sign(&key)),
    ];
    let mut wrong = Vec::new();
    for (what, wanted, der) in cases {
        let body = json!({"crls": [pem("X509 CRL", &der)], "crl_number": 9});
        let answer = server.put("pki/issuer/default/resign-crls", body).await;
        assert!(matches!(answer.status, 200 | 400), "{what}: {answer:?}");
        if (answer.status == 200) != (wanted == Taken) {
            wrong.push(format!("{what}: {wanted:?} was wanted: {answer:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (what, crls) in
        [("none", json!([])), ("no PEM", json!(["x"])), ("another block", json!([pem("CERTIFICATE", &good)]))]
    {
        let answer = server.put("pki/issuer/default/resign-crls", json!({"crls": crls, "crl_number": 9})).await;
        assert_eq!(answer.status, 400, "{what}: {answer:?}");
    }
}

#[tokio::test]
async fn private_keys() {
    let ec = PrivateKey::generate(KeyKind::Ec(Curve::P256)).unwrap();
    let other = PrivateKey::generate(KeyKind::Ec(Curve::P256)).unwrap();
    let ed = PrivateKey::generate(KeyKind::Ed25519).unwrap();
    let rsa = PrivateKey::generate(KeyKind::Rsa(2048)).unwrap();
    let id_ec = || seq(&[oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")]);
    let point = |key: &PrivateKey| context(1, &bits(key.public().bits()));
    let sec1 = |scalar: &[u8], more: &[u8]| seq(&[uint(&[1]), octets(scalar), more.to_vec()]);
    let pkcs8 = |algorithm: Vec<u8>, key: &[u8]| seq(&[uint(&[0]), algorithm, octets(key)]);
    let text = |key: &PrivateKey| key.pkcs8_pem().unwrap().reveal().clone();
    let traditional = |key: &PrivateKey| key.traditional_pem().unwrap().reveal().clone();
    // The scalar of a key of ours: 32 bytes after the head of its SEC 1 form.
    let form = ec.traditional().unwrap().1.reveal().clone();
    let at = form.windows(2).position(|pair| pair == [4, 32]).unwrap() + 2;
    let scalar = form[at..at + 32].to_vec();
    let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
    let good = pkcs8(id_ec(), &sec1(&scalar, &point(&ec)));
    let pkcs1 = rsa.traditional().unwrap().1.reveal().clone();
    let id_rsa = || seq(&[oid("1.2.840.113549.1.1.1"), null()]);
    let mut spoiled = pkcs1.clone();
    let middle = spoiled.len() / 2;
    spoiled[middle] ^= 1;
    let seed = |length: usize| pkcs8(algorithm(), &octets(&vec![7; length]));
    let key = |der: &[u8]| pem("PRIVATE KEY", der);

    let cases: Vec<(&str, Wanted, String)> = vec![
        ("EC, PKCS#8", Taken, text(&ec)),
        ("EC, SEC 1", Taken, traditional(&ec)),
        ("RSA, PKCS#8", Taken, text(&rsa)),
        ("RSA, PKCS#1", Taken, traditional(&rsa)),
        ("Ed25519", Taken, text(&ed)),
        ("EC, put together here", Taken, key(&good)),
        ("EC without its point", Taken, key(&pkcs8(id_ec(), &sec1(&scalar, &[])))),
        ("Ed25519 as RFC 8410 has it", Taken, key(&seed(32))),
        ("lines that end as elsewhere", Taken, text(&ec).replace('\n', "\r\n")),
        ("words before and after", Taken, format!("a key:\n{}that was it\n", text(&ec))),
        (
            "the parameters before it",
            Taken,
            format!("{}{}", pem("EC PARAMETERS", &oid("1.2.840.10045.3.1.7")), traditional(&ec)),
        ),
        // Its form.
        ("nothing", Refused, String::new()),
        ("words", Refused, "a key".into()),
        ("an empty block", Refused, key(&[])),
        ("a block without an end", Refused, text(&ec).replace("-----END PRIVATE KEY-----", "")),
        ("what is no base64", Refused, text(&ec).replacen("MI", "!!", 1)),
        ("a public key", Refused, pem("PUBLIC KEY", ec.public().spki())),
        ("a public key under a private one's words", Refused, key(ec.public().spki())),
        ("an encrypted one", Refused, pem("ENCRYPTED PRIVATE KEY", &good)),
        ("an encrypted one of the old form", Refused, {
            traditional(&ec).replacen("KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n", 1)
        }),
        ("a byte after the end", Refused, key(&[&good[..], &[0]].concat())),
        ("a byte short", Refused, key(&good[..good.len() - 1])),
        ("a version that nobody has", Refused, key(&seq(&[uint(&[7]), id_ec(), octets(&sec1(&scalar, &[]))]))),
        ("far too long", Refused, key(&[0x30; 100_000])),
        // What it holds.
        ("the scalar 0", Refused, key(&pkcs8(id_ec(), &sec1(&[0; 32], &[])))),
        ("the scalar of the order", Refused, key(&pkcs8(id_ec(), &sec1(&order, &[])))),
        ("a scalar above it", Refused, key(&pkcs8(id_ec(), &sec1(&[0xff; 32], &[])))),
        ("a scalar of fewer bytes, as some write a small one", Taken, key(&pkcs8(id_ec(), &sec1(&scalar[1..], &[])))),
        ("a scalar with one zero more", Taken, key(&pkcs8(id_ec(), &sec1(&[&[0], &scalar[..]].concat(), &[])))),
        ("another's point", Refused, key(&pkcs8(id_ec(), &sec1(&scalar, &point(&other))))),
        (
            "a point beside the curve",
            Refused,
            key(&pkcs8(id_ec(), &sec1(&scalar, &context(1, &bits(&[&[4][..], &[7; 64]].concat()))))),
        ),
        (
            "another curve's name",
            Refused,
            key(&pkcs8(seq(&[oid("1.2.840.10045.2.1"), oid("1.3.132.0.34")]), &sec1(&scalar, &point(&ec)))),
        ),
        (
            "a curve of coins",
            Refused,
            key(&pkcs8(seq(&[oid("1.2.840.10045.2.1"), oid("1.3.132.0.10")]), &sec1(&scalar, &[]))),
        ),
        ("no curve", Refused, key(&pkcs8(seq(&[oid("1.2.840.10045.2.1")]), &sec1(&scalar, &[])))),
        ("an RSA key with a byte changed", Refused, key(&pkcs8(id_rsa(), &spoiled))),
        ("the same in the old form", Refused, pem("RSA PRIVATE KEY", &spoiled)),
        ("an RSA key that is an EC key", Refused, key(&pkcs8(id_rsa(), &sec1(&scalar, &[])))),
        ("an EC key that is an RSA key", Refused, key(&pkcs8(id_ec(), &pkcs1))),
        ("an EC key under an RSA key's words", Refused, pem("RSA PRIVATE KEY", &form)),
        ("Ed25519 that is short", Refused, key(&seed(31))),
        ("Ed25519 that is long", Refused, key(&seed(33))),
        ("Ed448", Refused, key(&pkcs8(seq(&[oid("1.3.101.113")]), &octets(&[7; 57])))),
        ("X25519", Refused, key(&pkcs8(seq(&[oid("1.3.101.110")]), &octets(&[7; 32])))),
        ("an unknown kind", Refused, key(&pkcs8(seq(&[oid("1.2.3.4")]), &octets(&[7; 32])))),
        ("RSA of 1024 bits", Refused, String::from_utf8(openssl(&["genrsa", "1024"])).unwrap()),
        (
            "RSA of 1024 bits, the old form",
            Refused,
            String::from_utf8(openssl(&["genrsa", "-traditional", "1024"])).unwrap(),
        ),
        ("DSA", Refused, pem("DSA PRIVATE KEY", &seq(&[uint(&[0])]))),
    ];
    let server = mounted().await;
    let mut wrong = Vec::new();
    for (what, wanted, text) in cases {
        let answer = server.put("pki/keys/import", json!({"pem_bundle": text})).await;
        assert!(matches!(answer.status, 200 | 400), "{what}: {answer:?}");
        if (answer.status == 200) != (wanted == Taken) {
            wrong.push(format!("{what}: {wanted:?} was wanted: {answer:?}"));
        }
        // Nothing of a key is said again.
        let inside: Vec<&str> = text.lines().filter(|line| line.len() > 20 && !line.starts_with('-')).collect();
        assert!(inside.iter().all(|line| !answer.text.contains(line)), "{what}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The same key in two forms is one.
    let keys = server.list("pki/keys").await.ok().data()["keys"].as_array().map(Vec::len);
    assert_eq!(keys, Some(5), "two of EC, one of RSA, two of Ed25519");
}

fn openssl(arguments: &[&str]) -> Vec<u8> {
    let made = std::process::Command::new("openssl").args(arguments).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    made.stdout
}
