//! The server that a story meets, and clients of it.

use std::fmt::Debug;

use serde_json::Value;
use vaultrs::client::{Client, Identity, VaultClient, VaultClientSettingsBuilder};
use vaultrs::error::ClientError;

pub const DENIED: u16 = 403;
pub const NONE: u16 = 404;
pub const WRONG: u16 = 400;

pub struct World {
    url: String,
    pub token: String,
    ca: Vec<String>,
}

impl World {
    pub fn of_environment() -> Self {
        let of = |name| std::env::var(name).unwrap_or_default();
        Self {
            url: of("WARIFU_URL"),
            token: of("WARIFU_ROOT"),
            ca: Some(of("WARIFU_CA")).filter(|f| !f.is_empty()).into_iter().collect(),
        }
    }

    /// A client with this token.
    pub fn by(&self, token: &str) -> VaultClient {
        self.with(token, None)
    }

    /// A client with this token and this certificate, its key behind it.
    pub fn with(&self, token: &str, identity: Option<&str>) -> VaultClient {
        let identity = identity.map(|pem| Identity::from_pem(pem.as_bytes()).unwrap());
        let settings = VaultClientSettingsBuilder::default()
            .address(&self.url)
            .token(token)
            .ca_certs(self.ca.clone())
            .identity(identity)
            .verify(true)
            .build()
            .unwrap();
        VaultClient::new(settings).unwrap()
    }

    pub fn root(&self) -> VaultClient {
        self.by(&self.token)
    }

    pub fn nobody(&self) -> VaultClient {
        self.by("")
    }

    /// A client whose token has these policies.
    pub async fn holder(&self, policies: &[&str]) -> VaultClient {
        let policies: Vec<String> = policies.iter().map(|p| (*p).to_owned()).collect();
        let mut made = vaultrs::api::token::requests::CreateTokenRequest::builder();
        let auth = vaultrs::token::new(&self.root(), Some(made.policies(policies))).await.unwrap();
        self.by(&auth.client_token)
    }
}

/// The status of a refusal, and its texts.
pub fn refused<T: Debug>(answer: Result<T, ClientError>, wanted: u16) -> String {
    match answer {
        Err(ClientError::APIError { code, errors }) => {
            assert_eq!(code, wanted, "{errors:?}");
            errors.join("\n")
        }
        other => panic!("{wanted} was wanted: {other:?}"),
    }
}

/// Asks until the answer is true.
pub async fn eventually<F: Future<Output = bool>>(mut what: impl FnMut() -> F) {
    for _ in 0..200 {
        if what().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("it did not happen in time");
}

/// The accessor of an auth mount.
pub async fn accessor(client: &impl Client, path: &str) -> String {
    vaultrs::sys::auth::list(client).await.unwrap().remove(&format!("{path}/")).unwrap().accessor
}

pub type Json = Value;
