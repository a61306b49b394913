//! The token store.
