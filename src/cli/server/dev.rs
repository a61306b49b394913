//! A server to try things on: initialised, unsealed, with a KV mount, and nothing kept.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::api::listener::ensure_self_signed;
use crate::base::json::Map;
use crate::base::{Json, Operation, Path as ApiPath, Rng, Secret, Timestamp, ids};
use crate::cli::token_file::TokenFile;
use crate::config::{Config, Tls};
use crate::node::Node;
use crate::seal::{self, Handout, Shape};
use crate::vault::Inbound;

/// What the flags say.
pub struct Dev {
    /// The root token that is wanted.
    pub root_token: Option<String>,
    /// Whether it is kept in the token file.
    pub store_token: bool,
}

/// Gives a -dev server a certificate of its own, and writes what clients trust to `vault-ca.pem`.
///
/// # Errors
/// When a file cannot be written.
pub fn tls(config: &mut Config, folder: Option<&Path>, now: Timestamp, rng: &dyn Rng) -> anyhow::Result<()> {
    let folder = folder.map_or_else(std::env::temp_dir, Path::to_owned);
    std::fs::create_dir_all(&folder)?;
    let made = ensure_self_signed(&folder, &[], now, rng)?;
    std::fs::copy(&made.cert, folder.join("vault-ca.pem"))?;
    if let Some(listener) = config.listeners.first_mut() {
        listener.tls = Tls::Files { cert: made.cert, key: made.key };
    }
    Ok(())
}

impl Dev {
    /// Initialises and unseals the node, mounts `secret/`, and tells how to use it.
    ///
    /// # Errors
    /// When one of these fails.
    pub async fn prepare(&self, node: &Arc<Node>, rng: &dyn Rng, address: SocketAddr, tls: bool) -> anyhow::Result<()> {
        if node.initialized() {
            return Ok(());
        }
        let (made, root) = node.initialize(Shape { shares: 1, threshold: 1 }, &Handout::default()).await?;
        let only = |field: &str| match made.get(field) {
            Some(Json::Array(keys)) => keys.first().and_then(Json::as_str).map(Secret::from),
            _ => None,
        };
        let share = only("keys_base64").or_else(|| only("recovery_keys_base64")).unwrap_or_default();
        // With a seal that opens by itself it is open already, and this changes nothing.
        node.unseal(seal::parse_share(&share)?, false).await?;
        let root = match &self.root_token {
            Some(text) => {
                let text = Secret::from(text.as_str());
                node.replace_root_token(&root, &text).await?;
                text
            }
            None => root,
        };
        let body = Map::from([
            ("type".to_owned(), Json::from("kv")),
            ("options".to_owned(), Json::object([("version", "2")].map(|(k, v)| (k, Json::from(v))))),
        ]);
        let inbound = Inbound {
            id: ids::uuid(rng).into(),
            operation: Operation::Update,
            path: ApiPath::parse("sys/mounts/secret")?,
            token: Some(root.clone()),
            body: Arc::new(body),
            wrap_ttl: None,
            help: false,
            remote: None,
            client_cert: None,
            head: false,
            raw: Arc::new(crate::engine::RawRequest::default),
            headers: Vec::new(),
            memo: Arc::default(),
        };
        node.handle(inbound).await.map_err(|refusal| refusal.0)?;
        let scheme = if tls { "https" } else { "http" };
        let mut out = std::io::stdout();
        let _ = writeln!(
            out,
            "WARNING! dev mode is enabled! In this mode the server runs entirely in memory and starts unsealed with a \
             single unseal key.\n\nSet this in your shell:\n\n    $ export VAULT_ADDR='{scheme}://{address}'\n\nUnseal \
             Key: {}\nRoot Token: {}\n",
            share.reveal(),
            root.reveal()
        );
        if self.store_token
            && let Some(home) = std::env::var_os("HOME")
            && let Err(failure) = TokenFile::within(Path::new(&home)).store(&root, rng.below(u64::MAX))
        {
            tracing::warn!(?failure, "the root token could not be kept in the token file");
        }
        Ok(())
    }
}
