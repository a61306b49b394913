//! The lease store.
