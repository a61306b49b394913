//! How new shares reach their holders: plain as Vault's, with labels, or each encrypted to its holder.

use super::{SealConfig, text_base64, text_hex};
use crate::base::json::Map;
use crate::base::{Error, Json, Result, Secret};
use crate::crypto::age::Recipient;
use crate::crypto::label::{Labelled, mark};

/// What whoever asks for shares wants of them.
#[derive(Clone, Default)]
pub struct Handout {
    labelled: bool,
    recipients: Vec<Recipient>,
}

impl Handout {
    /// Checks what was asked for. `field` is the recipients' name in errors.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no recipient, or unless there is one for each share.
    pub fn parse(labelled: bool, recipients: &[String], shares: u64, field: &str) -> Result<Self> {
        if !recipients.is_empty() && recipients.len() as u64 != shares {
            return Err(Error::invalid(format!("'{field}' needs one recipient for each share")));
        }
        let read = |(at, text): (usize, &String)| {
            Recipient::parse(text).map_err(|error| Error::invalid(format!("'{field}', number {}: {error}", at + 1)))
        };
        let recipients = recipients.iter().enumerate().map(read).collect::<Result<_>>()?;
        Ok(Self { labelled, recipients })
    }

    /// The shares, to be shown once: `keys` and `keys_base64` as Vault's, `keys_labelled` where labels were asked for. Where
    /// there are recipients only `keys_age` holds anything: each share, labelled, for one of them. `prefix` stands before
    /// all four names.
    ///
    /// # Errors
    /// Those of the encryption.
    pub fn give(&self, prefix: &str, shares: &[Secret<Vec<u8>>], config: &SealConfig) -> Result<Map> {
        let total = u8::try_from(shares.len()).map_err(Error::internal)?;
        let labelled: Vec<Secret<String>> = (1..=total)
            .zip(shares)
            .map(|(index, share)| {
                let (store, share) = (mark(&config.cluster_id), share.clone());
                Labelled { store, generation: config.generation, index, shares: total, share }.text()
            })
            .collect();
        let texts = |list: Vec<Secret<String>>| -> Json {
            list.iter().map(|text| text.reveal().clone()).collect::<Vec<String>>().into()
        };
        let (mut hex, mut base64) = (Vec::new(), Vec::new());
        let mut map = Map::new();
        if self.recipients.is_empty() {
            hex = shares.iter().map(text_hex).collect();
            base64 = shares.iter().map(text_base64).collect();
            if self.labelled {
                map.insert(format!("{prefix}keys_labelled"), texts(labelled));
            }
        } else {
            let pairs = self.recipients.iter().zip(&labelled);
            let sent = pairs.map(|(recipient, text)| recipient.encrypt(text)).collect::<Result<Vec<String>, _>>()?;
            map.insert(format!("{prefix}keys_age"), sent.into());
        }
        map.insert(format!("{prefix}keys"), texts(hex));
        map.insert(format!("{prefix}keys_base64"), texts(base64));
        Ok(map)
    }
}
