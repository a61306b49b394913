//! The auth methods that can be mounted.

pub mod approle;
pub mod cert;
mod jws;
pub mod jwt;
pub mod kubernetes;
pub mod userpass;
