//! The secrets engines that can be mounted.

pub mod kv;
pub mod pki;
