//! The question that a request puts, and the answer: a proof or a reason.

use crate::base::json::Map;
use crate::base::{Capabilities, Operation, Path, Ttl};

/// What a request wants.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The verb.
    pub operation: Operation,
    /// Whether an update would make something that does not exist yet; only upserts know.
    pub creates: bool,
    /// Whether the endpoint needs the `sudo` capability.
    pub sudo: bool,
    /// The canonical path.
    pub path: &'a Path,
    /// The body and query; what the path captured is not in it.
    pub parameters: Option<&'a Map>,
    /// For how long the answer shall be wrapped; 0 is not at all.
    pub wrap: Option<Ttl>,
}

impl<'a> Query<'a> {
    /// A request without parameters and wrapping, to an endpoint that does not need `sudo`.
    pub const fn new(operation: Operation, path: &'a Path) -> Self {
        Self { operation, creates: false, sudo: false, path, parameters: None, wrap: None }
    }

    /// The capability that the verb needs.
    pub(super) const fn needs(&self) -> Capabilities {
        match self.operation {
            Operation::Read => Capabilities::READ,
            Operation::Update if self.creates => Capabilities::CREATE,
            Operation::Update => Capabilities::UPDATE,
            Operation::Patch => Capabilities::PATCH,
            Operation::Delete => Capabilities::DELETE,
            Operation::List => Capabilities::LIST,
        }
    }
}

/// The answer.
#[derive(Debug)]
#[must_use]
pub enum Decision {
    /// It may.
    Allow(Grant),
    /// It may not.
    Deny(Denial),
}

impl Decision {
    /// Whether it is a grant.
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }
}

/// Proof that policies allow one request. It cannot be made elsewhere, nor copied: it is used up by running the request.
#[derive(Debug)]
pub struct Grant {
    creates: bool,
    root: bool,
    wrapping: Wrapping,
}

impl Grant {
    pub(super) const fn new(query: &Query<'_>, root: bool, wrapping: Wrapping) -> Self {
        Self { creates: query.creates && matches!(query.operation, Operation::Update), root, wrapping }
    }

    /// The grant for an endpoint that is declared public in its route table, and for no other.
    pub const fn public(creates: bool) -> Self {
        Self { creates, root: false, wrapping: Wrapping::NONE }
    }

    /// Whether it was granted as `create`: what is written must not exist yet.
    pub const fn creates(&self) -> bool {
        self.creates
    }

    /// Whether the policy `root` gave it.
    pub const fn is_root(&self) -> bool {
        self.root
    }

    /// Within what bounds the answer must be wrapped; those of the request are checked already.
    pub const fn wrapping(&self) -> Wrapping {
        self.wrapping
    }
}

/// Bounds on the time for which an answer is wrapped; 0 is no bound. A bound makes wrapping mandatory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wrapping {
    /// At least so long.
    pub min: Ttl,
    /// At most so long.
    pub max: Ttl,
}

impl Wrapping {
    /// No bounds.
    pub const NONE: Self = Self { min: Ttl::ZERO, max: Ttl::ZERO };

    /// Whether an answer must be wrapped.
    pub const fn is_mandatory(self) -> bool {
        !self.min.is_zero() || !self.max.is_zero()
    }

    /// Whether a request for this wrapping keeps the bounds.
    pub(super) fn admit(self, wrap: Option<Ttl>) -> Result<(), Reason> {
        if !self.is_mandatory() {
            return Ok(());
        }
        if !self.max.is_zero() && self.max < self.min {
            return Err(Reason::WrapImpossible);
        }
        let wrap = wrap.filter(|ttl| !ttl.is_zero()).ok_or(Reason::WrapMissing)?;
        if wrap < self.min {
            return Err(Reason::WrapShort);
        }
        if !self.max.is_zero() && wrap > self.max {
            return Err(Reason::WrapLong);
        }
        Ok(())
    }
}

/// Why not. For the log, the audit and `explain`: the client learns nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    pub(super) reason: Reason,
    /// The rule that decided, by its number in the `Acl`.
    pub(super) rule: Option<u32>,
}

impl Denial {
    /// The reason.
    pub const fn reason(&self) -> Reason {
        self.reason
    }
}

/// The reasons of a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No rule covers the path.
    NoRule,
    /// The rule says `deny`.
    Denied,
    /// The rule lacks this capability.
    Lacks(Capabilities),
    /// The endpoint needs `sudo`, which the rule lacks.
    Sudo,
    /// The answer must be wrapped.
    WrapMissing,
    /// It must be wrapped for longer.
    WrapShort,
    /// It must be wrapped for less long.
    WrapLong,
    /// Two rules put together ask for more than the most: nothing passes.
    WrapImpossible,
    /// A required parameter is missing.
    ParameterMissing,
    /// A parameter, or its value, is denied.
    ParameterDenied,
    /// A parameter is not among the allowed.
    ParameterUnnamed,
    /// A parameter's value is not among the allowed.
    ParameterValue,
}

impl Reason {
    /// The reason in words.
    pub fn sentence(self) -> String {
        let text = match self {
            Self::NoRule => "no rule of the token's policies covers the path",
            Self::Denied => "the rule denies the path",
            Self::Lacks(capability) => {
                return format!("the rule lacks the capability \"{}\"", capability.words().next().unwrap_or_default());
            }
            Self::Sudo => "the endpoint needs the capability \"sudo\", which the rule lacks",
            Self::WrapMissing => "the rule asks that the answer be wrapped",
            Self::WrapShort => "the rule asks that the answer be wrapped for longer",
            Self::WrapLong => "the rule asks that the answer be wrapped for less long",
            Self::WrapImpossible => "two rules of the same path ask for more wrapping than the most: nothing passes",
            Self::ParameterMissing => "a required parameter is missing",
            Self::ParameterDenied => "a parameter, or its value, is denied",
            Self::ParameterUnnamed => "a parameter is not among the allowed",
            Self::ParameterValue => "a parameter's value is not among the allowed",
        };
        text.into()
    }
}
