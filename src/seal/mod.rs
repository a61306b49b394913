//! The unseal ceremony and what changes its keys.
