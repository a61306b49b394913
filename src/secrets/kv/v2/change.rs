//! A parameter that tells `null` from absence: some fields are reset by it.

use crate::base::Result;
use crate::engine::params::Scalar;
use crate::engine::{Args, Field, Param};

/// What a request says of a value.
#[derive(Clone, Default)]
pub enum Change<T> {
    /// Nothing.
    #[default]
    Keep,
    /// `null`.
    Reset,
    /// A value.
    Set(T),
}

impl<T> std::fmt::Debug for Change<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Keep => "Keep",
            Self::Reset => "Reset",
            Self::Set(_) => "Set(..)",
        })
    }
}

impl<T: Scalar> Param for Change<T> {
    fn fields(name: &'static str, doc: &'static str) -> Vec<Field> {
        vec![Field { name, doc, kind: T::KIND, secret: T::SECRET, required: false }]
    }

    fn take(name: &'static str, args: &mut Args) -> Result<Self> {
        let sent = args.sent(name);
        Ok(match <Option<T> as Param>::take(name, args)? {
            Some(value) => Self::Set(value),
            None if sent => Self::Reset,
            None => Self::Keep,
        })
    }
}
