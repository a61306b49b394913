//! What a new store holds: the mounts that are always there, and the root token.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::barrier::{Barrier, Txn};
use crate::base::{MountPath, Result, Rng, Secret, Timestamp};
use crate::engine::MountConfig;
use crate::mount::{Stored, table_key};
use crate::system::mounts;
use crate::token::{Kind, Token, Tokens};

/// The mounts that are always there.
const MOUNTS: [(&str, &str, &str); 4] = [
    ("sys/", "system", "system endpoints used for control, policy and debugging"),
    ("identity/", "identity", "identity store"),
    ("cubbyhole/", "cubbyhole", "per-token private secret storage"),
    ("auth/token/", "token", "token based credentials"),
];

/// The rows of a new store, and its root token.
///
/// # Errors
/// When they cannot be written down.
pub fn first_rows(barrier: &Arc<Barrier>, now: Timestamp) -> Result<(Txn, Secret<String>)> {
    let view = barrier.view();
    let mut txn = view.txn();
    let mut stored = Stored::default();
    for (path, kind, description) in MOUNTS {
        let path = MountPath::parse(path)?;
        let rng = barrier.rng().as_ref();
        let config = MountConfig::default();
        let mount = mounts::new_mount(rng, path, kind, description.to_owned(), BTreeMap::new(), config);
        mounts::add(&mut txn, &mut stored, &mount)?;
    }
    txn.create(&table_key(), &stored)?;
    let tokens = Tokens::open(barrier)?;
    let (token, text) = root_token(&tokens, barrier.rng().as_ref(), now);
    txn.merge(tokens.create(&token)?);
    Ok((txn, text))
}

/// A root token that is to be.
pub fn root_token(tokens: &Tokens, rng: &dyn Rng, now: Timestamp) -> (Token, Secret<String>) {
    let text = Tokens::new_root_text(rng);
    (root_token_of(tokens, &text, rng, now), text)
}

/// A root token with this text.
pub fn root_token_of(tokens: &Tokens, text: &Secret<String>, rng: &dyn Rng, now: Timestamp) -> Token {
    Token {
        id: tokens.digest(text),
        accessor: Tokens::new_accessor(rng),
        kind: Kind::Service,
        policies: vec!["root".into()],
        path: "auth/token/root".into(),
        display_name: "root".into(),
        created: now,
        ..Token::default()
    }
}
