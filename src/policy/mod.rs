//! Policy documents, their compiled form, and the decision.
//!
//! A [`Policy`] is text, parsed once into rules that remember their lines. [`Acl::compile`] puts the policies of one
//! token together; [`Acl::check`] answers a [`Query`] with a [`Grant`], which is the only proof of permission there
//! is, or a [`Denial`]. Compilation is pure, an `Acl` never changes, and a check takes no lock.

mod acl;
pub mod assertions;
mod builtin;
mod compare;
mod decision;
mod document;
mod explain;
mod limits;
mod lint;
mod password;
mod pattern;
mod relation;
mod remedy;
mod space;
mod sudo;
mod template;

pub use acl::{Acl, Outline};
pub use builtin::{DEFAULT, RESPONSE_WRAPPING};
pub use compare::{Change, Difference, Scope, compare};
pub use decision::{Decision, Denial, Grant, Query, Reason, Wrapping};
pub use document::{Policy, Rule};
pub use explain::{Explanation, Origin, RuleView};
pub use limits::Limits;
pub use lint::{Finding, Versioned, lint};
pub use password::PasswordPolicy;
pub use remedy::Remedy;
pub use space::TooMany;
pub use sudo::{SUDO, needs_sudo};
pub use template::{AnyFacts, Fact, Facts, Field, NoFacts, filled};

/// The name of the policy that may do everything. It has no text and cannot be written.
pub const ROOT: &str = "root";

#[cfg(test)]
mod tests;
