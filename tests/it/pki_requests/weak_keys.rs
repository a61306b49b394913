//! Keys that protect nothing, or that nobody here deals with.

use serde_json::{Value, json};
use warifu::crypto::{Curve, Hash, KeyKind, PrivateKey, SignatureAlgorithm};

use super::CN;
use super::ca;
use super::wish::relative;
use crate::der::{bits, context, null, oid, pem, seq, tlv, uint, utf8};

/// Keys that are too weak, too large, or of a kind that is not dealt with; what openssl makes of them is well formed.
#[tokio::test]
async fn keys_that_protect_nothing_are_refused() {
    let server = ca().await;
    let spki = |algorithm: &[Vec<u8>], key: &[u8]| seq(&[seq(algorithm), bits(key)]);
    let rsa = |modulus: &[u8], exponent: &[u8]| {
        spki(&[oid("1.2.840.113549.1.1.1"), null()], &seq(&[uint(modulus), uint(exponent)]))
    };
    let ec = |curve: &str, point: &[u8]| spki(&[oid("1.2.840.10045.2.1"), oid(curve)], point);
    let p256 = "1.2.840.10045.3.1.7";
    let key = PrivateKey::generate(KeyKind::Ec(Curve::P256)).unwrap();
    let point = key.public().bits().to_vec();
    let compressed = [&[2 | (point[64] & 1)], &point[1..33]].concat();
    let hybrid = [&[6 | (point[64] & 1)], &point[1..]].concat();
    let modulus = |length: usize| [vec![0xc1; length - 1], vec![0x0f]].concat();
    let table = [
        ("RSA of 512 bits", rsa(&modulus(64), &[1, 0, 1])),
        ("RSA of 1024 bits", rsa(&modulus(128), &[1, 0, 1])),
        ("RSA of 2047 bits", rsa(&[vec![0x71], modulus(255)].concat(), &[1, 0, 1])),
        ("RSA of 16384 bits", rsa(&modulus(2048), &[1, 0, 1])),
        ("RSA of 65536 bits", rsa(&modulus(8192), &[1, 0, 1])),
        ("RSA with the exponent 1", rsa(&modulus(256), &[1])),
        ("RSA with an even exponent", rsa(&modulus(256), &[2])),
        ("RSA with a giant exponent", rsa(&modulus(256), &[0xff; 200])),
        ("RSA with an even modulus", rsa(&[0xc0; 256], &[1, 0, 1])),
        ("RSA with the modulus 0", rsa(&[0], &[1, 0, 1])),
        ("P-192", ec("1.2.840.10045.3.1.1", &[4; 49])),
        ("P-224", ec("1.3.132.0.33", &[4; 57])),
        ("secp256k1", ec("1.3.132.0.10", &point)),
        ("brainpoolP256r1", ec("1.3.36.3.3.2.8.1.1.7", &point)),
        ("P-384 by its name alone", ec("1.3.132.0.34", &point)),
        ("a point beside the curve", ec(p256, &[&[4][..], &[7; 64]].concat())),
        ("the point at infinity", ec(p256, &[0])),
        ("a compressed point", ec(p256, &compressed)),
        ("a hybrid point", ec(p256, &hybrid)),
        ("a curve written out", spki(&[oid("1.2.840.10045.2.1"), seq(&[uint(&[1])])], &point)),
        ("no curve", spki(&[oid("1.2.840.10045.2.1")], &point)),
        ("an Ed25519 key that is short", spki(&[oid("1.3.101.112")], &[1; 31])),
        ("Ed448", spki(&[oid("1.3.101.113")], &[1; 57])),
        ("X25519", spki(&[oid("1.3.101.110")], &[1; 32])),
        ("DSA", spki(&[oid("1.2.840.10040.4.1")], &uint(&[1; 128]))),
        ("an unknown kind", spki(&[oid("1.2.3.4")], &[1; 32])),
        ("bits that end within a byte", seq(&[seq(&[oid("1.3.101.112")]), tlv(3, &[&[3][..], &[8; 32]].concat())])),
    ];
    for (what, spki) in table {
        let body = seq(&[uint(&[0]), seq(&[relative(CN, utf8("x.a.test"))]), spki, context(0, &[])]);
        let signature = key.sign(SignatureAlgorithm::Ecdsa(Hash::Sha256), &body).unwrap();
        let der = seq(&[body, seq(&[oid("1.2.840.10045.4.3.2")]), bits(&signature)]);
        for path in ["pki/sign/web", "pki/sign-verbatim", "pki/root/sign-intermediate"] {
            let asked = json!({"csr": pem("CERTIFICATE REQUEST", &der), "common_name": "x.a.test"});
            let answer = server.put(path, asked).await;
            assert_eq!(answer.status, 400, "{what} at {path}: {answer:?}");
        }
    }
    // Each of these is signed by the key that it names: what openssl makes that we refuse.
    for (what, arguments) in [
        ("RSA of 1024 bits", vec!["-newkey", "rsa:1024"]),
        ("P-224", vec!["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-224"]),
        ("secp256k1", vec!["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"]),
        (
            "a curve written out",
            vec!["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:explicit"],
        ),
        ("Ed448", vec!["-newkey", "ed448"]),
        ("a signature with MD5", vec!["-newkey", "rsa:2048", "-md5"]),
        ("a signature with SHA-1", vec!["-newkey", "rsa:2048", "-sha1"]),
    ] {
        let made = std::process::Command::new("openssl")
            .args(["req", "-new", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=x.a.test"])
            .args(arguments)
            .output()
            .unwrap();
        let csr = String::from_utf8(made.stdout).unwrap();
        assert!(csr.contains("BEGIN CERTIFICATE REQUEST"), "{what}: {}", String::from_utf8_lossy(&made.stderr));
        let answer = server.put("pki/sign/web", json!({"csr": csr})).await;
        assert_eq!(answer.status, 400, "{what}: {answer:?}");
        let names: Vec<&Value> = answer.json["errors"].as_array().into_iter().flatten().collect();
        assert!(!names.is_empty(), "{what} is told why");
    }
}
