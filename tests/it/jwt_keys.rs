//! The algorithms of signed tokens: each by keys of its own kind, where the list has it, and under no other name.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use warifu::base::Clock;
use warifu::crypto::{Curve, Hash, KeyKind, PrivateKey, SignatureAlgorithm};

use crate::http::Answer;
use crate::server::Server;

/// An algorithm's word, how it signs, and with which of the keys.
type Way = (&'static str, SignatureAlgorithm, usize);

const KINDS: [KeyKind; 5] = [
    KeyKind::Rsa(2048),
    KeyKind::Ec(Curve::P256),
    KeyKind::Ec(Curve::P384),
    KeyKind::Ec(Curve::P521),
    KeyKind::Ed25519,
];

const WAYS: [Way; 10] = [
    ("RS256", SignatureAlgorithm::RsaPkcs1(Hash::Sha256), 0),
    ("RS384", SignatureAlgorithm::RsaPkcs1(Hash::Sha384), 0),
    ("RS512", SignatureAlgorithm::RsaPkcs1(Hash::Sha512), 0),
    ("PS256", SignatureAlgorithm::RsaPss(Hash::Sha256), 0),
    ("PS384", SignatureAlgorithm::RsaPss(Hash::Sha384), 0),
    ("PS512", SignatureAlgorithm::RsaPss(Hash::Sha512), 0),
    ("ES256", SignatureAlgorithm::Ecdsa(Hash::Sha256), 1),
    ("ES384", SignatureAlgorithm::Ecdsa(Hash::Sha384), 2),
    ("ES512", SignatureAlgorithm::Ecdsa(Hash::Sha512), 3),
    ("EdDSA", SignatureAlgorithm::Ed25519, 4),
];

struct World {
    server: Server,
    keys: Vec<PrivateKey>,
}

impl World {
    async fn new() -> Self {
        let server = Server::new().await;
        server.auth("jwt", "jwt").await;
        let keys = KINDS.map(|kind| PrivateKey::generate(kind).unwrap()).into();
        Self { server, keys }
    }

    /// Believes all keys, and these algorithms.
    async fn believes(&self, algorithms: &[&str]) {
        let keys: Vec<String> = self.keys.iter().map(|key| key.public().pem().unwrap()).collect();
        let config = json!({"jwt_validation_pubkeys": keys, "jwt_supported_algs": algorithms});
        self.server.put("auth/jwt/config", config).await.ok();
        let role = json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": "vault", "token_type": "batch"});
        self.server.put("auth/jwt/role/r", role).await.ok();
    }

    /// A token that is signed in this way, and says that it is in another.
    fn token(&self, (_, algorithm, key): Way, says: &str) -> String {
        let now = self.server.clock().now().as_second();
        let parts = [json!({"alg": says}), json!({"sub": "s", "aud": "vault", "iat": now, "exp": now + 60})];
        let signed = parts.map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = self.keys[key].sign(algorithm, signed.as_bytes()).unwrap();
        let signature = match KINDS[key] {
            KeyKind::Ec(Curve::P256) => side_by_side(&signature, 32),
            KeyKind::Ec(Curve::P384) => side_by_side(&signature, 48),
            KeyKind::Ec(Curve::P521) => side_by_side(&signature, 66),
            _ => signature,
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    async fn login(&self, jwt: &str) -> Answer {
        self.server.anonymous().put("auth/jwt/login", json!({"role": "r", "jwt": jwt})).await
    }
}

/// The two numbers of a DER signature, each so long (RFC 7518, section 3.4).
fn side_by_side(der: &[u8], length: usize) -> Vec<u8> {
    let mut rest = if der[1] < 0x80 { &der[2..] } else { &der[3..] };
    let mut both = Vec::new();
    for _ in 0..2 {
        let (number, after) = rest[2..].split_at(usize::from(rest[1]));
        let number = &number[number.len().saturating_sub(length)..];
        both.extend(vec![0; length - number.len()]);
        both.extend(number);
        rest = after;
    }
    both
}

#[tokio::test]
async fn each_algorithm_is_believed_where_the_list_has_it_and_under_no_other_name() {
    let world = World::new().await;
    for way in WAYS {
        let word = way.0;
        let others: Vec<&str> = WAYS.iter().map(|other| other.0).filter(|other| *other != word).collect();
        world.believes(&others).await;
        world.login(&world.token(way, word)).await.refused(400, "an algorithm that is not allowed");
        // All keys and all algorithms are believed, and still a signature is one of its own kind alone.
        world.believes(&[]).await;
        for other in &others {
            world.login(&world.token(way, other)).await.refused(400, "no known key verified");
        }
        for other in ["none", "HS256", "HS512", "ES256K", "", &word.to_lowercase(), &format!("{word} ")] {
            if other != word {
                world.login(&world.token(way, other)).await.refused(400, "an algorithm that is not allowed");
            }
        }
        world.login(&world.token(way, word)).await.ok();
        world.believes(&[word]).await;
        world.login(&world.token(way, word)).await.ok();
    }
    let unknown =
        json!({"jwt_validation_pubkeys": [world.keys[1].public().pem().unwrap()], "jwt_supported_algs": ["HS256"]});
    world.server.put("auth/jwt/config", unknown).await.refused(400, "jwt_supported_algs");
    let shown: Value = world.server.get("auth/jwt/config").await.ok().data()["jwt_supported_algs"].clone();
    assert_eq!(shown, json!(["EdDSA"]), "what was refused changed nothing");
}
