//! The auth methods that can be mounted.

pub mod userpass;
