//! Stories told over HTTP against a real server on a manual clock, sad paths first.
//!
//! One binary: a new story is a file here, never a new binary. `http` and `server` are what all of them stand on;
//! `stores` makes storage misbehave, `process` runs the real binary where a story needs one that can be killed.

mod http;
mod issuer;
mod logs;
mod process;
mod server;
mod stores;
mod web;

mod approle;
mod audit;
mod audit_chain;
mod cert;
mod connections;
mod cubbyhole;
mod explain;
mod faults;
mod fields;
mod fuzz;
mod identity;
mod input;
mod jwt;
mod kill;
mod kubernetes;
mod kv;
mod lease_ends;
mod limits;
mod metrics;
mod mounts;
mod naming;
mod paths;
mod pki;
mod pki_acme;
mod pki_engine;
mod policies;
mod scale;
mod seal;
mod status;
mod store_files;
mod tokens;
mod two_nodes;
mod userpass;
mod wrapping;
