//! warifu keeps secrets and issues short-lived ones, over Vault's HTTP API.
//!
//! The folders are layers, listed here from the bottom up; a layer uses those above it in this
//! list and none below (`ARCHITECTURE.md` says what each holds).

pub mod agent;
pub mod api;
pub mod audit;
pub mod auth;
pub mod barrier;
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
pub mod policy;
pub mod quota;
pub mod seal;
pub mod secrets;
pub mod storage;
pub mod system;
pub mod telemetry;
pub mod token;
pub mod vault;
