//! The token store: what a token may do and how long it lives, found by a keyed digest of its text.
//!
//!     token/id/<digest>                    the token
//!     token/accessor/<accessor>            its digest
//!     token/child/<parent>/<digest>        who dies with whom
//!     token/path/<path it came from>/<time>/<digest>
//!     token/expiry/<time>/<digest>         who is to be revoked when
//!     token/leaving/<digest>               who is gone, but has left something
//!
//! The text of a token is nowhere in storage. Batch tokens are not in storage at all: they carry their own facts.

mod batch;
mod entry;
pub mod roles;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

pub use entry::{Kind, Token, Use};

use crate::barrier::{Barrier, Txn, View};
use crate::base::key::Segment;
use crate::base::{Key, Result, Rng, Secret, Timestamp, ids, limits};
use crate::crypto::aead::AeadKey;
use crate::crypto::mac::HmacKey;

/// Letters behind `hvs.` in a service token.
const SERVICE_LETTERS: usize = 91;
/// Letters behind `hvs.` in a root token: generate-root announces this length.
pub const ROOT_LETTERS: usize = 24;
/// Letters of an accessor.
const ACCESSOR_LETTERS: usize = 24;

/// The store.
pub struct Tokens {
    view: View,
    digest_key: HmacKey,
    batch_key: AeadKey,
}

impl Tokens {
    /// Opens the store; reads nothing.
    ///
    /// # Errors
    /// [`crate::base::Error::Sealed`].
    pub fn open(barrier: &Arc<Barrier>) -> Result<Self> {
        let batch_key = AeadKey::from_bytes(&barrier.derive("batch token")?)?;
        let digest_key = HmacKey::new(barrier.derive("token digest")?.reveal());
        Ok(Self { view: barrier.view().sub("token"), digest_key, batch_key })
    }

    /// The store's part of the barrier.
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// The row of a token, from the top of the store.
    pub fn row(&self, digest: &str) -> Key {
        self.view.absolute(&id_key(digest))
    }

    /// The name under which a token is stored.
    pub fn digest(&self, text: &Secret<String>) -> String {
        BASE64.encode(self.digest_key.sign(&[text.reveal().as_bytes()]))
    }

    /// The text of a new service token.
    pub fn new_text(rng: &dyn Rng) -> Secret<String> {
        Secret::new(format!("hvs.{}", ids::letters(rng, SERVICE_LETTERS).reveal()))
    }

    /// The text of a new root token.
    pub fn new_root_text(rng: &dyn Rng) -> Secret<String> {
        Secret::new(format!("hvs.{}", ids::letters(rng, ROOT_LETTERS).reveal()))
    }

    /// A new accessor.
    pub fn new_accessor(rng: &dyn Rng) -> String {
        ids::letters(rng, ACCESSOR_LETTERS).reveal().clone()
    }

    /// Whether a text can be a token at all.
    pub fn plausible(text: &str) -> bool {
        !text.is_empty() && text.len() <= limits::TOKEN_BYTES && text.bytes().all(|b| b.is_ascii_graphic())
    }

    /// Whether it has the form of a batch token.
    pub fn is_batch(text: &str) -> bool {
        text.starts_with("hvb.") || text.starts_with("b.")
    }

    /// The token stored under this digest, expired or not.
    ///
    /// # Errors
    /// [`crate::base::Error::Sealed`] and those of storage.
    pub fn get(&self, digest: &str) -> Result<Option<Token>> {
        self.view.get(&id_key(digest))
    }

    /// The token of this accessor.
    ///
    /// # Errors
    /// As [`Tokens::get`].
    pub fn by_accessor(&self, accessor: &str) -> Result<Option<Token>> {
        if accessor.is_empty() || accessor.contains('/') {
            return Ok(None);
        }
        self.view.read(|r| match r.get::<String>(&accessor_key(accessor))? {
            Some(digest) => r.get(&id_key(&digest)),
            None => Ok(None),
        })
    }

    /// The facts that a batch token carries, if it is ours.
    pub fn open_batch(&self, text: &Secret<String>) -> Option<Token> {
        batch::open(&self.batch_key, text)
    }

    /// The text of a batch token with these facts.
    ///
    /// # Errors
    /// [`crate::base::Error::Invalid`] if they are too many for a header.
    pub fn seal_batch(&self, token: &Token, rng: &dyn Rng) -> Result<Secret<String>> {
        batch::seal(&self.batch_key, token, rng)
    }

    /// Adds the rows of a new service token. Its parent, if any, must still exist at the commit.
    ///
    /// # Errors
    /// When a row cannot be written down.
    pub fn create(&self, token: &Token) -> Result<Txn> {
        let mut txn = self.view.txn();
        txn.create(&id_key(&token.id), token)?;
        txn.create(&accessor_key(&token.accessor), &token.id)?;
        txn.overwrite(&came_key(token), &())?;
        if !token.parent.is_empty() {
            txn.expect_present(&id_key(&token.parent));
            txn.overwrite(&child_key(&token.parent).join(&token.id), &())?;
        }
        if let Some(expires) = token.expires {
            txn.overwrite(&expiry_key(expires, &token.id), &())?;
        }
        Ok(txn)
    }

    /// Removes all rows of a token.
    pub fn remove(&self, token: &Token) -> Txn {
        let mut txn = self.view.txn();
        txn.delete(&id_key(&token.id));
        txn.delete(&accessor_key(&token.accessor));
        txn.delete(&came_key(token));
        if !token.parent.is_empty() {
            txn.delete(&child_key(&token.parent).join(&token.id));
        }
        if let Some(expires) = token.expires {
            txn.delete(&expiry_key(expires, &token.id));
        }
        txn
    }

    /// Changes a token that exists: its expiry row moves with it.
    ///
    /// # Errors
    /// [`crate::base::Error::BadToken`] if it is gone; what `change` answers.
    pub fn change(&self, digest: &str, change: impl FnOnce(&mut Token) -> Result<()>) -> Result<(Txn, Token)> {
        let mut txn = self.view.txn();
        let mut token: Token = txn.get(&id_key(digest))?.ok_or(crate::base::Error::BadToken)?;
        let before = token.expires;
        change(&mut token)?;
        if token.expires != before {
            if let Some(expires) = before {
                txn.delete(&expiry_key(expires, digest));
            }
            if let Some(expires) = token.expires {
                txn.overwrite(&expiry_key(expires, digest), &())?;
            }
        }
        txn.put(&id_key(digest), &token)?;
        Ok((txn, token))
    }

    /// Digests of tokens whose time has come, the oldest first, at most `limit`.
    ///
    /// # Errors
    /// As [`Tokens::get`].
    pub fn expired(&self, now: Timestamp, limit: usize) -> Result<Vec<(Timestamp, String)>> {
        let keys = self.view.read(|r| r.first_keys(&Key::new("expiry"), limit))?;
        let due = keys.into_iter().filter_map(|key| {
            let mut segments = key.segments();
            let nanos = segments.next()?.number()?;
            let digest = match segments.next()? {
                Segment::Name(name) => name.to_owned(),
                Segment::Ordered(_) => return None,
            };
            Some((Timestamp::from_nanosecond(i128::from(nanos)).ok()?, digest))
        });
        Ok(due.take_while(|(expires, _)| *expires <= now).collect())
    }

    /// Drops an expiry row whose token is gone.
    pub fn forget_expiry(&self, expires: Timestamp, digest: &str) -> Txn {
        let mut txn = self.view.txn();
        txn.delete(&expiry_key(expires, digest));
        txn
    }

    /// Digests of a token's children.
    ///
    /// # Errors
    /// As [`Tokens::get`].
    pub fn children(&self, digest: &str) -> Result<Vec<String>> {
        self.view.list(&child_key(digest))
    }

    /// Drops the row by which a child is found, where the child itself is gone.
    pub fn forget_child(&self, parent: &str, child: &str) -> Txn {
        let mut txn = self.view.txn();
        txn.delete(&child_key(parent).join(child));
        txn
    }

    /// Tokens that came from a path or from below it: their digests, each with its row under the path.
    ///
    /// # Errors
    /// As [`Tokens::get`].
    pub fn below_path(&self, path: &str, limit: usize) -> Result<Vec<(Key, String)>> {
        let folder = path_key(path);
        let keys = self.view.read(|r| r.first_keys(&folder, limit))?;
        Ok(keys.iter().map(|key| (folder.clone().append(key), last_name(key))).collect())
    }

    /// The names below a path from which tokens came, and the digests of those that came from itself.
    ///
    /// # Errors
    /// As [`Tokens::get`].
    pub fn list_path(&self, path: &str) -> Result<Vec<String>> {
        let folder = path_key(path);
        self.view.read(|r| {
            let mut names = r.list(&folder)?;
            names.retain(|name| matches!(Segment::of(name), Segment::Name(_)));
            let mut after = Key::default();
            // Moments come before names.
            loop {
                let keys = r.keys_after(&folder, &after, limits::BATCH_KEYS)?;
                let here = keys.iter().take_while(|key| matches!(key.segments().next(), Some(Segment::Ordered(_))));
                let found = names.len();
                names.extend(here.map(last_name));
                match keys.last() {
                    Some(last) if names.len() - found == keys.len() => after = last.clone(),
                    _ => return Ok(names),
                }
            }
        })
    }

    /// Drops the row by which a token is found under a path, where the token itself is gone.
    pub fn forget_path(&self, row: &Key) -> Txn {
        let mut txn = self.view.txn();
        txn.delete(row);
        txn
    }

    /// Marks a token whose children, leases and cubbyhole are still to be removed.
    ///
    /// # Errors
    /// When the mark cannot be written down.
    pub fn mark_leaving(&self, digest: &str) -> Result<Txn> {
        let mut txn = self.view.txn();
        txn.overwrite(&leaving_key(digest), &())?;
        Ok(txn)
    }

    /// Removes the mark.
    pub fn unmark_leaving(&self, digest: &str) -> Txn {
        let mut txn = self.view.txn();
        txn.delete(&leaving_key(digest));
        txn
    }

    /// Digests of marked tokens.
    ///
    /// # Errors
    /// As [`Tokens::get`].
    pub fn leaving(&self) -> Result<Vec<String>> {
        self.view.list(&Key::new("leaving"))
    }

    /// Makes a commit fail unless the token still exists: what hangs on a token is not made after its end.
    pub fn expect_alive(&self, digest: &str) -> Txn {
        let mut txn = self.view.txn();
        txn.expect_present(&id_key(digest));
        txn
    }

    /// All accessors, sorted.
    ///
    /// # Errors
    /// As [`Tokens::get`].
    pub fn accessors(&self) -> Result<Vec<String>> {
        self.view.list(&Key::new("accessor"))
    }

    /// Takes one use of a counted token, exactly: a transaction whose commit fails with
    /// [`crate::base::Error::BadToken`] when none is left.
    pub fn spend(&self, digest: &str) -> Txn {
        let mut txn = self.view.txn();
        txn.update(&[id_key(digest)], |rows| {
            let mut token: Token = rows.get(0)?.ok_or(crate::base::Error::BadToken)?;
            if token.uses == Use::Counted(0) {
                return Err(crate::base::Error::BadToken);
            }
            if let Use::Counted(left) = &mut token.uses {
                *left -= 1;
            }
            rows.put(0, &token)
        });
        txn
    }
}

/// The digest in a key below the store, if the key is that of a token itself: what a session cache must forget.
pub fn digest_of(key: &Key) -> Option<&str> {
    key.below(&Key::new("token/id"))
}

/// The folder of all tokens, below the store's view.
pub fn ids() -> Key {
    Key::new("id")
}

fn id_key(digest: &str) -> Key {
    Key::new("id").join(digest)
}

fn accessor_key(accessor: &str) -> Key {
    Key::new("accessor").join(accessor)
}

fn child_key(parent: &str) -> Key {
    Key::new("child").join(parent)
}

fn path_key(path: &str) -> Key {
    Key::new("path").join(path)
}

/// In the order of time, so that the rows of many new tokens share their pages.
fn came_key(token: &Token) -> Key {
    path_key(&token.path).at(token.created).join(&token.id)
}

fn last_name(key: &Key) -> String {
    key.as_str().rsplit('/').next().unwrap_or_default().to_owned()
}

fn leaving_key(digest: &str) -> Key {
    Key::new("leaving").join(digest)
}

fn expiry_key(expires: Timestamp, digest: &str) -> Key {
    Key::new("expiry").at(expires).join(digest)
}
