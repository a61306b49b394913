//! What only a node can do, as `sys/` asks for it.

use std::sync::{Arc, Weak};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

use super::{Active, Node, State, genesis};
use crate::base::json::Map;
use crate::base::{BoxFuture, Error, Json, Result, Secret, ids};
use crate::seal::{self, Ceremony, Offered, Shape};
use crate::system::{CeremonyStep, Control};
use crate::token::{ROOT_LETTERS, Tokens};

/// Length of a root token, and so of the one-time pad over it.
const OTP_LENGTH: usize = "hvs.".len() + ROOT_LETTERS;

/// The node, for the vault that it holds.
pub struct NodeControl {
    // Weak, since the node holds the vault, which holds this.
    node: Weak<Node>,
}

impl NodeControl {
    /// Of this node.
    pub const fn new(node: Weak<Node>) -> Self {
        Self { node }
    }

    fn node(&self) -> Result<Arc<Node>> {
        self.node.upgrade().ok_or(Error::Sealed)
    }

    async fn rekey_step(&self, step: CeremonyStep<'_>) -> Result<Map> {
        const KIND: &str = "rekey";
        let node = self.node()?;
        let active = &node.refreshed(node.active()?)?;
        let barrier = active.vault.barrier();
        let view = barrier.view();
        match step {
            CeremonyStep::Status => Ok(rekey_status(active, Ceremony::load(&view, KIND)?.as_ref())),
            CeremonyStep::Start { shares: (shares, threshold), .. } => {
                Shape::of(shares, threshold)?;
                let rng = node.rng.as_ref();
                let (ceremony, txn) = Ceremony::start(&view, KIND, rng, (shares, threshold), None)?;
                barrier.commit(txn).await?;
                Ok(rekey_status(active, Some(&ceremony)))
            }
            CeremonyStep::Cancel => {
                barrier.commit(Ceremony::cancel(&view, KIND)).await?;
                Ok(Map::new())
            }
            CeremonyStep::Offer { key, nonce } => {
                let share = seal::parse_share(key)?;
                match Ceremony::offer(barrier, KIND, &active.config, share, nonce).await? {
                    Offered::Waiting(_) => Ok(rekey_status(active, Ceremony::load(&view, KIND)?.as_ref())),
                    Offered::Complete(ceremony, end) => {
                        let (shares, batch) = ceremony.rekey(barrier, &end, &active.config, &active.root_key)?;
                        barrier.storage().commit(batch).await?;
                        // From here on nothing may fail: the new shares exist nowhere else. Whoever asks next looks again.
                        let _ = node.refreshed(active.clone());
                        let texts = |f: fn(&Secret<Vec<u8>>) -> Secret<String>| -> Json {
                            shares.iter().map(|s| f(s).reveal().clone()).collect::<Vec<String>>().into()
                        };
                        Ok(map([
                            ("nonce", nonce.into()),
                            ("complete", true.into()),
                            ("keys", texts(seal::text_hex)),
                            ("keys_base64", texts(seal::text_base64)),
                            ("pgp_fingerprints", Json::Null),
                            ("backup", false.into()),
                            ("verification_required", false.into()),
                        ]))
                    }
                }
            }
        }
    }

    async fn root_step(&self, step: CeremonyStep<'_>) -> Result<Map> {
        const KIND: &str = "root generation";
        let node = self.node()?;
        let active = &node.refreshed(node.active()?)?;
        let barrier = active.vault.barrier();
        let view = barrier.view();
        match step {
            CeremonyStep::Status => Ok(root_status(active, Ceremony::load(&view, KIND)?.as_ref(), "", OTP_LENGTH)),
            CeremonyStep::Start { otp, .. } => {
                let (pad, shown) = match otp {
                    Some(otp) if otp.reveal().len() != OTP_LENGTH => {
                        return Err(Error::invalid(format!("OTP string is wrong length; it needs {OTP_LENGTH} bytes")));
                    }
                    Some(otp) => (otp.clone(), String::new()),
                    None => {
                        let otp = ids::letters(node.rng.as_ref(), OTP_LENGTH);
                        let shown = otp.reveal().clone();
                        (otp, shown)
                    }
                };
                let (ceremony, txn) = Ceremony::start(&view, KIND, node.rng.as_ref(), (0, 0), Some(pad))?;
                barrier.commit(txn).await?;
                Ok(root_status(active, Some(&ceremony), &shown, OTP_LENGTH))
            }
            CeremonyStep::Cancel => {
                barrier.commit(Ceremony::cancel(&view, KIND)).await?;
                Ok(Map::new())
            }
            CeremonyStep::Offer { key, nonce } => {
                let share = seal::parse_share(key)?;
                match Ceremony::offer(barrier, KIND, &active.config, share, nonce).await? {
                    Offered::Waiting(_) => Ok(root_status(active, Ceremony::load(&view, KIND)?.as_ref(), "", 0)),
                    Offered::Complete(ceremony, mut end) => {
                        let rng = node.rng.as_ref();
                        let tokens = active.vault.tokens();
                        let text = Tokens::new_root_text(rng);
                        let token = genesis::root_token_of(tokens, &text, rng, node.clock.now());
                        end.merge(tokens.create(&token)?);
                        barrier.commit(end).await?;
                        let pad = ceremony.otp.clone().unwrap_or_default();
                        let mixed: Vec<u8> =
                            text.reveal().bytes().zip(pad.reveal().bytes()).map(|(a, b)| a ^ b).collect();
                        let encoded = BASE64.encode(mixed);
                        let mut status = root_status(active, Some(&ceremony), "", 0);
                        let required = usize::from(active.config.threshold);
                        status.insert("progress".into(), required.into());
                        status.insert("complete".into(), true.into());
                        status.insert("encoded_token".into(), encoded.as_str().into());
                        status.insert("encoded_root_token".into(), encoded.into());
                        Ok(status)
                    }
                }
            }
        }
    }
}

fn map<const N: usize>(pairs: [(&str, Json); N]) -> Map {
    pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
}

fn rekey_status(active: &Active, ceremony: Option<&Ceremony>) -> Map {
    map([
        ("nonce", ceremony.map_or("", |c| c.nonce.as_str()).into()),
        ("started", ceremony.is_some().into()),
        ("t", ceremony.map_or(0, |c| c.threshold).into()),
        ("n", ceremony.map_or(0, |c| c.shares).into()),
        ("progress", ceremony.map_or(0, Ceremony::progress).into()),
        ("required", active.config.threshold.into()),
        ("pgp_fingerprints", Json::Null),
        ("backup", false.into()),
        ("verification_required", false.into()),
    ])
}

fn root_status(active: &Active, ceremony: Option<&Ceremony>, otp: &str, otp_length: usize) -> Map {
    map([
        ("nonce", ceremony.map_or("", |c| c.nonce.as_str()).into()),
        ("started", ceremony.is_some().into()),
        ("progress", ceremony.map_or(0, Ceremony::progress).into()),
        ("required", active.config.threshold.into()),
        ("complete", false.into()),
        ("encoded_token", "".into()),
        ("encoded_root_token", "".into()),
        ("pgp_fingerprint", "".into()),
        ("otp", otp.into()),
        ("otp_length", otp_length.into()),
    ])
}

impl Node {
    /// Takes in the shape of the seal as it is stored: a rekey, of this node or another, may have changed it.
    fn refreshed(&self, active: Arc<Active>) -> Result<Arc<Active>> {
        let config = seal::config(self.storage.as_ref())?.ok_or(Error::Uninitialized)?;
        if config == active.config {
            return Ok(active);
        }
        let next = Arc::new(Active {
            vault: active.vault.clone(),
            config,
            root_key: active.root_key.clone(),
            since: active.since,
        });
        // Unless it was sealed meanwhile.
        self.state.rcu(|state| match state.as_ref() {
            State::Active(present) if Arc::ptr_eq(present, &active) => Arc::new(State::Active(next.clone())),
            _ => state.clone(),
        });
        Ok(next)
    }
}

impl Control for NodeControl {
    fn seal(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let node = self.node()?;
            // The request that asked is in flight itself: the keys go once it is answered, or after the bound.
            let sealing = node.clone();
            tokio::spawn(async move { sealing.seal().await });
            while node.vault().is_ok() {
                node.clock.sleep(std::time::Duration::from_millis(1)).await;
            }
            Ok(())
        })
    }

    fn step_down(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.node()?.vault()?.release_task_lock();
            Ok(())
        })
    }

    fn rotate(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let node = self.node()?;
            let active = node.active()?;
            active.vault.barrier().rotate(&active.root_key, node.clock.now()).await
        })
    }

    fn keyring_changed(&self) -> Result<()> {
        let active = self.node()?.active()?;
        active.vault.barrier().reread(&active.root_key)
    }

    fn key_status(&self) -> Result<Map> {
        let active = self.node()?.active()?;
        // As it is stored: another node may have rotated, or this one without knowing whether it did.
        active.vault.barrier().reread(&active.root_key)?;
        let info = active.vault.barrier().keys()?.active_info();
        Ok(map([
            ("term", info.term.into()),
            ("install_time", info.installed.to_string().into()),
            ("encryptions", 0u64.into()),
        ]))
    }

    fn rekey<'a>(&'a self, step: CeremonyStep<'a>) -> BoxFuture<'a, Result<Map>> {
        Box::pin(self.rekey_step(step))
    }

    fn generate_root<'a>(&'a self, step: CeremonyStep<'a>) -> BoxFuture<'a, Result<Map>> {
        Box::pin(self.root_step(step))
    }

    fn seal_status(&self) -> Map {
        self.node().map(|node| node.seal_status()).unwrap_or_default()
    }
}
