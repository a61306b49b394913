//! Entities and aliases.
