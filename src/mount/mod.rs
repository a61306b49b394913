//! Which engine answers at which path.
