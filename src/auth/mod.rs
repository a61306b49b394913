//! The auth methods that can be mounted.
