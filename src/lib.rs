//! warifu keeps secrets and issues short-lived ones, over Vault's HTTP API.
//!
//! The folders are layers, listed here from the bottom up; a layer uses those above it in this
//! list and none below (`ARCHITECTURE.md` says what each holds).

pub mod activity;
pub mod agent;
pub mod api;
pub mod audit;
pub mod auth;
pub mod barrier;
/// The version of Vault whose API this is: clients compare it.
pub const API_VERSION: &str = "1.18.0";
/// What `sys/seal-status` says of the build: the first moment of the API's version, since builds are reproducible.
pub const BUILD_DATE: &str = "2024-10-08T00:00:00Z";

pub mod base;
pub mod cli;
pub mod client;
pub mod config;
pub mod crypto;
pub mod engine;
pub mod hcl;
pub mod identity;
pub mod lease;
pub mod mount;
pub mod node;
pub mod outbound;
pub mod policy;
pub mod quota;
pub mod seal;
pub mod secrets;
pub mod storage;
pub mod system;
pub mod telemetry;
pub mod token;
pub mod vault;
