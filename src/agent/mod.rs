//! The sidecar: login, templates, supervision.

pub mod template;
