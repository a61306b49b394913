//! What a primitive can answer instead of a result.

use crate::base;

/// The result of everything in this layer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. No text carries a byte of a key, a plaintext or an input.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ciphertext, its associated data or the key is not the one it was sealed with.
    #[error("the ciphertext does not open with this key")]
    Open,
    /// A signature does not belong to its message and public key.
    #[error("the signature does not match")]
    Signature,
    /// Something given from outside is malformed; the text names it.
    #[error("{0}")]
    Invalid(String),
    /// Well formed, but of a kind that is not dealt with; the text names it.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// A primitive refused what it should never refuse.
    #[error("{0} failed")]
    Primitive(&'static str),
}

impl Error {
    /// Malformed input; the text names the field or place, never the value.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }

    /// A kind of input that is not dealt with.
    pub fn unsupported(text: impl Into<String>) -> Self {
        Self::Unsupported(text.into())
    }
}

impl From<Error> for base::Error {
    fn from(cause: Error) -> Self {
        match cause {
            Error::Invalid(_) | Error::Unsupported(_) | Error::Signature => base::Error::Invalid(cause.to_string()),
            // Who opens what a client sent (transit) says so itself, with a better text.
            Error::Open | Error::Primitive(_) => base::Error::internal(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_input_is_the_clients_fault_and_a_failed_open_is_ours() {
        assert_eq!(base::Error::from(Error::invalid("csr: not PEM")).status(), 400);
        assert_eq!(base::Error::from(Error::Signature).status(), 400);
        assert_eq!(base::Error::from(Error::Open).status(), 500);
        assert_eq!(base::Error::from(Error::Primitive("rsa key generation")).status(), 500);
    }
}
