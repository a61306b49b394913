//! The forms in which certificates and keys are given out: PEM, DER in base64, or all in one PEM text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::certify::{Certified, key_pem};
use super::issuer::Issuer;
use crate::base::json::Map;
use crate::base::{Error, Json, Result};
use crate::crypto::pem::{self, Label};
use crate::crypto::x509::{Certificate, Request};
use crate::crypto::{KeyKind, PrivateKey};
use crate::engine::{Args, Field, Param, Params};
use crate::params;

params! {
    /// How the answer is written.
    pub struct FormatParams {
        /// pem, der, or pem_bundle.
        format: Option<String>,
        /// der, or pkcs8.
        private_key_format: Option<String>,
        /// Whether a root is left out of the chain.
        remove_roots_from_chain: Option<bool>,
    }
}

impl Param for FormatParams {
    fn fields(_: &'static str, _: &'static str) -> Vec<Field> {
        <Self as Params>::fields()
    }
    fn take(_: &'static str, args: &mut Args) -> Result<Self> {
        Self::parse(args)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Pem,
    Der,
    Bundle,
}

/// How to write, checked.
#[derive(Clone, Copy)]
pub struct Format {
    form: Form,
    pkcs8: bool,
    without_roots: bool,
}

impl FormatParams {
    /// The format.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a word that is none.
    pub fn checked(&self) -> Result<Format> {
        let form = match self.format.as_deref().unwrap_or_default() {
            "pem" | "" => Form::Pem,
            "der" => Form::Der,
            "pem_bundle" => Form::Bundle,
            _ => {
                return Err(Error::invalid(
                    "the \"format\" path parameter must be \"pem\", \"der\", or \"pem_bundle\"",
                ));
            }
        };
        let pkcs8 = match self.private_key_format.as_deref().unwrap_or_default() {
            "der" | "pem" | "" => false,
            "pkcs8" => true,
            _ => return Err(Error::invalid("private_key_format must be der or pkcs8")),
        };
        Ok(Format { form, pkcs8, without_roots: self.remove_roots_from_chain.unwrap_or(false) })
    }
}

impl Format {
    /// The fields for a certificate, its issuer, and its key if it was made here.
    ///
    /// # Errors
    /// As for [`Certificate::pem`].
    pub fn certified(self, certified: &Certified, issuer: &Issuer) -> Result<Map> {
        let mut data = Map::new();
        let certificate = &certified.certificate;
        let chain = issuer.chain.iter().filter(|pem| !self.without_roots || !is_root(pem));
        // As it is stored is as it is shown: nothing is parsed and written again for every certificate that is issued.
        let chain: Vec<String> = chain.map(|pem| trimmed(pem.clone())).collect();
        data.insert("issuing_ca".into(), self.stored(&trimmed(issuer.certificate.clone()))?);
        let shown = chain.iter().map(|pem| self.stored(pem)).collect::<Result<Vec<_>>>()?;
        data.insert("ca_chain".into(), Json::Array(shown));
        data.insert("serial_number".into(), certificate.serial_text().into());
        data.insert("expiration".into(), certificate.not_after().as_second().into());
        let key = certified.key.as_ref().map(|key| self.add_key(key, &mut data)).transpose()?;
        let text = match self.form {
            Form::Pem | Form::Der => self.one(certificate)?,
            Form::Bundle => {
                let own = trimmed(certificate.pem()?);
                let above = chain.into_iter().filter(|pem| *pem != own);
                let bundle: Vec<String> = key.into_iter().chain([own.clone()]).chain(above).collect();
                bundle.join("\n").into()
            }
        };
        data.insert("certificate".into(), text);
        Ok(data)
    }

    /// The fields for a request, and its key if it may leave.
    ///
    /// # Errors
    /// As for [`Request::pem`].
    pub fn requested(self, request: &Request, key: Option<&PrivateKey>) -> Result<Map> {
        let mut data = Map::new();
        let mut bundle = Vec::new();
        if let Some(key) = key {
            bundle.push(self.add_key(key, &mut data)?);
        }
        bundle.push(trimmed(request.pem()?));
        let text = match self.form {
            Form::Bundle => bundle.join("\n"),
            Form::Pem => trimmed(request.pem()?),
            Form::Der => STANDARD.encode(request.der()),
        };
        data.insert("csr".into(), text.into());
        Ok(data)
    }

    /// Adds a private key to an answer; its PEM comes back for a bundle.
    ///
    /// # Errors
    /// As for [`PrivateKey::pkcs8`].
    pub fn add_key(self, key: &PrivateKey, data: &mut Map) -> Result<String> {
        // Here a made key leaves for the one who asked for it.
        let pem = trimmed(key_pem(key, self.pkcs8)?.reveal().clone());
        let text = match self.form {
            Form::Pem | Form::Bundle => pem.clone(),
            Form::Der if self.pkcs8 => STANDARD.encode(key.pkcs8()?.reveal()),
            Form::Der => STANDARD.encode(key.traditional()?.1.reveal()),
        };
        data.insert("private_key".into(), text.into());
        data.insert("private_key_type".into(), key_word(key.kind()).into());
        Ok(pem)
    }

    /// A certificate that is kept as PEM.
    fn stored(self, pem: &str) -> Result<Json> {
        Ok(match self.form {
            Form::Der => STANDARD.encode(der_of(pem)?).into(),
            Form::Pem | Form::Bundle => pem.into(),
        })
    }

    fn one(self, certificate: &Certificate) -> Result<Json> {
        Ok(match self.form {
            Form::Der => STANDARD.encode(certificate.der()).into(),
            Form::Pem | Form::Bundle => trimmed(certificate.pem()?).into(),
        })
    }
}

/// The API's word for a kind of key.
pub const fn key_word(kind: KeyKind) -> &'static str {
    kind.name()
}

/// Whether a certificate in PEM names itself as its issuer. What cannot be read is none.
fn is_root(pem: &str) -> bool {
    Certificate::from_pem(pem).is_ok_and(|one| one.subject() == one.issuer())
}

/// Without the newline at the end.
pub fn trimmed(mut text: String) -> String {
    text.truncate(text.trim_end().len());
    text
}

/// The DER of the first certificate in a PEM text.
///
/// # Errors
/// [`Error::Internal`] if what is stored is none.
pub fn der_of(pem: &str) -> Result<Vec<u8>> {
    pem::first(pem.as_bytes(), Label::Certificate).map_err(|_| Error::internal("a stored certificate is none"))
}
