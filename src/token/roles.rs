//! Token roles: what tokens made by `auth/token/create/:role` may and must be.

use serde::{Deserialize, Serialize};

use super::Tokens;
use crate::base::{Key, Result, Ttl};
use crate::engine::TokenRules;

/// A role, as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Policies that may be asked for; empty for those of the parent.
    pub allowed_policies: Vec<String>,
    /// The same as globs.
    pub allowed_policies_glob: Vec<String>,
    /// Policies that are never given.
    pub disallowed_policies: Vec<String>,
    /// The same as globs.
    pub disallowed_policies_glob: Vec<String>,
    /// Tokens without a parent.
    pub orphan: bool,
    /// Tokens that can be renewed.
    pub renewable: bool,
    /// Put behind the path that tokens say they come from.
    pub path_suffix: String,
    /// Aliases under which a token can be made for an entity.
    pub allowed_entity_aliases: Vec<String>,
    /// The older names of some token rules, shown as they were written.
    pub period: Ttl,
    /// As [`Role::period`].
    pub explicit_max_ttl: Ttl,
    /// What all roles share.
    #[serde(flatten)]
    pub rules: TokenRules,
}

impl Default for Role {
    fn default() -> Self {
        Self {
            name: String::new(),
            allowed_policies: Vec::new(),
            allowed_policies_glob: Vec::new(),
            disallowed_policies: Vec::new(),
            disallowed_policies_glob: Vec::new(),
            orphan: false,
            renewable: true,
            path_suffix: String::new(),
            allowed_entity_aliases: Vec::new(),
            period: Ttl::ZERO,
            explicit_max_ttl: Ttl::ZERO,
            rules: TokenRules::default(),
        }
    }
}

/// Where a role lies below the token store's view.
pub fn key(name: &str) -> Key {
    Key::new("role").join(name)
}

impl Tokens {
    /// A role by its name.
    ///
    /// # Errors
    /// As [`Tokens::get`].
    pub fn role(&self, name: &str) -> Result<Option<Role>> {
        self.view.get(&key(name))
    }
}
