//! `sys/audit-heads`: how far the chain of each audit device has come, signed, and kept in storage.

use serde::{Deserialize, Serialize};

use super::super::Sys;
use crate::audit::{Broker, Head, Heads};
use crate::barrier::{Txn, View};
use crate::base::secret::stored;
use crate::base::{Error, Key, Result, Secret, Timestamp, limits};
use crate::crypto::{KeyKind, PrivateKey};
use crate::engine::{Cx, Reply, Routes};

/// Adds the endpoint.
pub fn routes(routes: Routes<Sys>) -> Routes<Sys> {
    routes.at("audit-heads", "The signed heads of the audit logs' chains.", |at| at.read(export).sudo())
}

fn folder() -> Key {
    Key::new("core/audit-heads")
}

fn signer_key() -> Key {
    Key::new("core/audit-key")
}

#[derive(Serialize, Deserialize)]
struct Signer {
    #[serde(serialize_with = "stored")]
    pkcs8: Secret<Vec<u8>>,
}

/// The heads, as stored: one for each chain, the latest that was signed.
///
/// # Errors
/// When they cannot be read.
pub fn heads(view: &View) -> Result<Vec<Head>> {
    view.read(|reading| {
        let names = reading.list(&folder())?;
        let heads = names.iter().map(|name| reading.get::<Head>(&folder().join(name)));
        Ok(heads.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    })
}

/// Signs how far this node's chains have come; none when that is stored already. The key is made when there is none.
///
/// # Errors
/// When something cannot be read, or the key cannot sign.
pub fn checkpoint(view: &View, audit: &Broker, now: Timestamp) -> Result<Option<Txn>> {
    let mut news = Vec::new();
    let mut chains = 0;
    for head in audit.heads() {
        let known: Option<Head> = view.get(&folder().join(&head.chain))?;
        if known.as_ref().is_some_and(|known| (known.seq, &known.digest) == (head.seq, &head.digest)) {
            continue;
        }
        chains += usize::from(known.is_none());
        news.push(head);
    }
    if news.is_empty() {
        return Ok(None);
    }
    let mut txn = view.txn();
    let key = signer(&mut txn)?;
    for head in &mut news {
        head.sign(&key, now)?;
        txn.overwrite(&folder().join(&head.chain), head)?;
    }
    if chains > 0 {
        forget_the_oldest(view, &mut txn, chains)?;
    }
    Ok(Some(txn))
}

fn signer(txn: &mut Txn) -> Result<PrivateKey> {
    if let Some(signer) = txn.get::<Signer>(&signer_key())? {
        return Ok(PrivateKey::from_pkcs8(signer.pkcs8.reveal())?);
    }
    let key = PrivateKey::generate(KeyKind::Ed25519)?;
    txn.create(&signer_key(), &Signer { pkcs8: key.pkcs8()? })?;
    Ok(key)
}

fn forget_the_oldest(view: &View, txn: &mut Txn, more: usize) -> Result<()> {
    let mut all = heads(view)?;
    let over = (all.len() + more).saturating_sub(limits::AUDIT_HEADS);
    all.sort_by_key(|head| head.time);
    all.iter().take(over).for_each(|head| txn.delete(&folder().join(&head.chain)));
    Ok(())
}

async fn export(cx: Cx<Sys>, _: ()) -> Result<Reply> {
    let handles = &cx.engine().handles;
    let mut txn = handles.view.txn();
    let key = signer(&mut txn)?;
    match checkpoint(&handles.view, &handles.audit, cx.now())? {
        Some(more) => handles.work()?.commit(more).await?,
        None if !txn.is_empty() => handles.work()?.commit(txn).await?,
        None => {}
    }
    // As it is stored: a checkpoint may have made the key after this looked.
    let key = signer(&mut handles.view.txn()).unwrap_or(key);
    let heads = Heads { public_key: key.public().pem()?, heads: heads(&handles.view)? };
    Ok(Reply::json(serde_json::to_value(heads).map_err(Error::internal)?))
}
