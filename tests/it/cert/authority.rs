//! CAs of the stories' own: certificates with any serial number and subject, lists and OCSP answers with any content.

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use warifu::base::Timestamp;
use warifu::crypto::x509::{
    AltName, CertStatus, Certificate, CertificateSpec, Crl, CrlSpec, Extension, OcspRequest, OcspSpec, Oid, Reason,
    Revoked, Subject, extension,
};
use warifu::crypto::{Curve, Hash, KeyKind, PrivateKey, SignatureAlgorithm};

const ES256: SignatureAlgorithm = SignatureAlgorithm::Ecdsa(Hash::Sha256);

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A key and what is certified of it. `above` are the certificates that are shown beside it.
pub struct Identity {
    pub key: PrivateKey,
    pub certificate: Certificate,
    pub above: Vec<Certificate>,
}

/// What a certificate is to say.
#[derive(Clone)]
pub struct Wish {
    pub subject: Subject,
    pub serial: Vec<u8>,
    pub names: Vec<AltName>,
    /// None for a CA's.
    pub usages: Vec<Oid>,
    pub more: Vec<Extension>,
    pub until: &'static str,
}

impl Wish {
    pub fn client(name: &str, serial: u8) -> Self {
        Self {
            subject: Subject::common(name),
            serial: vec![serial],
            names: Vec::new(),
            usages: vec![extension::CLIENT_AUTH],
            more: Vec::new(),
            until: "2027-01-01T00:00:00Z",
        }
    }

    pub fn ca(name: &str, serial: u8) -> Self {
        Self { usages: Vec::new(), ..Self::client(name, serial) }
    }
}

impl Identity {
    /// A CA that signed itself.
    pub fn root(name: &str) -> Self {
        Self::made(&Wish::ca(name, 1), None)
    }

    /// What somebody signs; without them, the owner of the key.
    pub fn made(wish: &Wish, by: Option<&Self>) -> Self {
        let key = PrivateKey::generate(KeyKind::Ec(Curve::P256)).unwrap();
        let subject = wish.subject.encode().unwrap();
        let mut extensions = vec![
            extension::basic_constraints(wish.usages.is_empty(), None).unwrap(),
            extension::subject_key_id(&key.public().key_id()).unwrap(),
        ];
        if !wish.usages.is_empty() {
            extensions.push(extension::ext_key_usage(&wish.usages).unwrap());
        }
        if !wish.names.is_empty() {
            extensions.push(extension::alt_names(&wish.names, false).unwrap());
        }
        extensions.extend(wish.more.iter().cloned());
        let spec = CertificateSpec {
            serial: wish.serial.clone(),
            issuer: by.map_or_else(|| subject.clone(), |by| by.certificate.subject().clone()),
            subject,
            public_key: key.public().clone(),
            not_before: at("2025-06-01T00:00:00Z"),
            not_after: at(wish.until),
            extensions,
        };
        let certificate = spec.sign(by.map_or(&key, |by| &by.key), ES256).unwrap();
        Self { key, certificate, above: Vec::new() }
    }

    pub fn signs(&self, wish: &Wish) -> Self {
        Self::made(wish, Some(self))
    }

    pub fn client(&self, name: &str, serial: u8) -> Self {
        self.signs(&Wish::client(name, serial))
    }

    pub fn pem(&self) -> String {
        self.certificate.pem().unwrap()
    }

    /// For a handshake.
    pub fn shown(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let all = std::iter::once(&self.certificate).chain(&self.above);
        let chain = all.map(|one| CertificateDer::from(one.der().to_vec())).collect();
        let pem = self.key.pkcs8_pem().unwrap();
        let der = x509_parser::pem::parse_x509_pem(pem.reveal().as_bytes()).unwrap().1.contents;
        (chain, PrivateKeyDer::try_from(der).unwrap())
    }

    /// A list of these serial numbers, as this specification says the rest of it.
    pub fn list(&self, serials: &[u8], from: &str, to: &str) -> Crl {
        self.list_of(serials, from, to, None, Vec::new())
    }

    pub fn list_of(&self, serials: &[u8], from: &str, to: &str, base: Option<u64>, extensions: Vec<Extension>) -> Crl {
        let entry = |serial| Revoked { serial: vec![serial], at: at(from), reason: Reason::Unspecified };
        let spec = CrlSpec {
            issuer: self.certificate.subject().clone(),
            authority_key_id: self.key.public().key_id().to_vec(),
            number: 7,
            base,
            this_update: at(from),
            next_update: at(to),
            entries: serials.iter().flat_map(|serial| entry(*serial).der().unwrap()).collect(),
            extensions,
        };
        Crl::from_der(&spec.sign(&self.key, ES256).unwrap()).unwrap()
    }

    /// An answer to an OCSP request; `change` has the last word on what it says.
    pub fn answers(&self, request: &[u8], change: impl FnOnce(&mut OcspSpec)) -> Vec<u8> {
        let request = OcspRequest::from_der(request).unwrap();
        let mut spec = OcspSpec {
            statuses: request.ids.into_iter().map(|id| (id, CertStatus::Good)).collect(),
            this_update: at("2026-01-01T00:00:00Z"),
            next_update: Some(at("2026-01-02T00:00:00Z")),
            nonce: request.nonce,
            responder: None,
        };
        change(&mut spec);
        spec.sign(&self.key, ES256).unwrap()
    }
}
