//! What can be mounted. To add an engine: its folder, and one line here.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::auth::{approle, cert, jwt, kubernetes, userpass};
use crate::barrier::{Txn, View};
use crate::base::{Error, Result};
use crate::engine::{AnyEngine, Engine, Mount, Mounted, class};
use crate::secrets::{kv, pki};

/// Secrets engine or auth method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Under `sys/mounts`.
    Secret,
    /// Under `sys/auth`.
    Auth,
}

/// A type that can be mounted.
pub struct Kind {
    /// Where it is enabled.
    pub class: Class,
    /// The word under which it is enabled.
    pub word: &'static str,
    open: fn(&Mount, &View) -> Result<Arc<dyn AnyEngine>>,
    enable: fn(&Mount, &mut Txn) -> Result<()>,
}

const fn secret<E: Engine<Class = class::Secrets>>() -> Kind {
    Kind { class: Class::Secret, word: E::TYPE, open: Mounted::<E>::open, enable: E::enable }
}

const fn auth<E: Engine<Class = class::Auth>>() -> Kind {
    Kind { class: Class::Auth, word: E::TYPE, open: Mounted::<E>::open, enable: E::enable }
}

/// All of them.
static KINDS: &[Kind] = &[
    Kind { class: Class::Secret, word: kv::TYPE, open: kv::open, enable: kv::enable },
    secret::<pki::Pki>(),
    auth::<approle::AppRole>(),
    auth::<cert::Cert>(),
    auth::<jwt::Jwt>(),
    auth::<kubernetes::Kubernetes>(),
    // The same engine under the word for browsers.
    Kind { word: "oidc", ..auth::<jwt::Jwt>() },
    auth::<userpass::Userpass>(),
];

/// All types of a class.
pub fn kinds(class: Class) -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(move |k| k.class == class)
}

/// The type of this word. `kv-v2` and the like are spellings of `kv` with an option.
///
/// # Errors
/// [`Error::Invalid`], as Vault words it, but for the word itself.
pub fn resolve(class: Class, word: &str, options: &mut BTreeMap<String, String>) -> Result<&'static Kind> {
    let word = match (class, word) {
        (Class::Secret, "kv-v1" | "generic") => {
            options.insert("version".into(), "1".into());
            "kv"
        }
        (Class::Secret, "kv-v2") => {
            options.insert("version".into(), "2".into());
            "kv"
        }
        (_, word) => word,
    };
    kinds(class).find(|k| k.word == word).ok_or_else(|| Error::invalid("plugin not found in the catalog"))
}

impl Kind {
    /// Checks a new mount and adds what its data needs at first.
    ///
    /// # Errors
    /// As [`Engine::enable`].
    pub fn enable(&self, mount: &Mount, txn: &mut Txn) -> Result<()> {
        (self.enable)(mount, txn)
    }

    /// Opens its engine.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open(&self, mount: &Mount, view: &View) -> Result<Arc<dyn AnyEngine>> {
        (self.open)(mount, view)
    }
}

/// Opens the engine of a mount by its type.
///
/// # Errors
/// [`Error::Internal`] for a type that this version does not have; as [`Engine::open`].
pub fn open(mount: &Mount, view: &View) -> Result<Arc<dyn AnyEngine>> {
    let class = if mount.is_auth() { Class::Auth } else { Class::Secret };
    let kind = kinds(class).find(|k| k.word == mount.kind);
    kind.ok_or_else(|| Error::internal(format!("no engine of type '{}'", mount.kind)))?.open(mount, view)
}
