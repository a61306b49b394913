//! warifu keeps secrets and issues short-lived ones, over Vault's HTTP API.
//!
//! The folders are layers, listed here from the bottom up; a layer uses those above it in this
//! list and none below (`ARCHITECTURE.md` says what each holds).

pub mod base;
pub mod telemetry;
pub mod crypto;
pub mod storage;
pub mod barrier;
pub mod seal;
pub mod hcl;
pub mod config;
pub mod policy;
pub mod audit;
pub mod engine;
pub mod identity;
pub mod token;
pub mod lease;
pub mod quota;
pub mod secrets;
pub mod auth;
pub mod mount;
pub mod system;
pub mod vault;
pub mod node;
pub mod api;
pub mod client;
pub mod agent;
pub mod cli;
