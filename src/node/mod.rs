//! The life of one server: uninitialized, sealed, active.
