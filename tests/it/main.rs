//! Stories told over HTTP against a real server on a manual clock, sad paths first.
//!
//! One binary: a new story is a file here, never a new binary. `http` and `server` are what all of them stand on; `der` writes bad DER;
//! `stores` makes storage misbehave, `process` runs the real binary where a story needs one that can be killed.

mod der;
mod http;
mod issuer;
mod logs;
mod process;
mod server;
mod stores;
mod web;

mod acme;
mod activity;
mod advisories_d;
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
mod monitor;
mod mounts;
mod naming;
mod paths;
mod pki;
mod pki_consul;
mod pki_engine;
mod pki_imports;
mod pki_ocsp;
mod pki_requests;
mod policies;
mod policy_code;
mod scale;
mod seal;
mod simulate;
mod status;
mod store_files;
mod tokens;
mod two_nodes;
mod userpass;
mod watch;
mod wrapping;
