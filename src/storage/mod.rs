//! Ordered keys to bytes, in five verbs.
