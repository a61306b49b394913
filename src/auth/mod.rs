//! The auth methods that can be mounted.

pub mod approle;
pub mod userpass;
