//! The stages of a request, one file each, in the order of the table in `ARCHITECTURE.md`.

mod admit;
mod authenticate;
mod decide;
mod help;
mod login;
mod record;
mod release;
mod route;
mod run;
mod settle;
mod simulate;
mod spend;
mod wrap;

pub(super) use authenticate::Identified;
pub(super) use decide::{Decided, query};
pub(super) use login::{describe, effective_ttl};
pub(super) use record::Recorded;
pub(super) use route::{Routed, Target};
pub(super) use run::{Answered, entry_of, own_frame};
pub(super) use settle::Settled;
pub(super) use spend::Spent;
