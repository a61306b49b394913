//! The sidecar: login, templates, supervision.
