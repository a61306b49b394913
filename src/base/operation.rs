//! What a request wants to do, and what a policy lets it.

use std::fmt;

/// The verb of a request, as policies and engines see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// `GET`.
    Read,
    /// `POST` or `PUT` on what may or may not exist.
    Update,
    /// `PATCH`.
    Patch,
    /// `DELETE`.
    Delete,
    /// `LIST`, or `GET` with `?list=true`.
    List,
}

impl Operation {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 5] = [Self::Read, Self::Update, Self::Patch, Self::Delete, Self::List];

    /// The word that audit entries use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::List => "list",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A set of the rights that a policy can give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u8);

impl Capabilities {
    /// None.
    pub const NONE: Self = Self(0);
    /// `create`.
    pub const CREATE: Self = Self(1);
    /// `read`.
    pub const READ: Self = Self(2);
    /// `update`.
    pub const UPDATE: Self = Self(4);
    /// `delete`.
    pub const DELETE: Self = Self(8);
    /// `list`.
    pub const LIST: Self = Self(16);
    /// `patch`.
    pub const PATCH: Self = Self(32);
    /// `sudo`.
    pub const SUDO: Self = Self(64);
    /// `deny`, which wins over all others.
    pub const DENY: Self = Self(128);

    const WORDS: [(Self, &'static str); 8] = [
        (Self::CREATE, "create"),
        (Self::DELETE, "delete"),
        (Self::DENY, "deny"),
        (Self::LIST, "list"),
        (Self::PATCH, "patch"),
        (Self::READ, "read"),
        (Self::SUDO, "sudo"),
        (Self::UPDATE, "update"),
    ];

    /// The capability of this word, as policies spell it.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, w)| *w == word).map(|(c, _)| *c)
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// This set, and nothing of the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other` are in it.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether it is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The words, sorted.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Self::WORDS.into_iter().filter(move |(c, _)| self.has(*c)).map(|(_, w)| w)
    }
}
