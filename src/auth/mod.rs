//! The auth methods that can be mounted.

pub mod approle;
mod glob;
mod jws;
pub mod jwt;
pub mod userpass;
