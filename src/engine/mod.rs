//! The contract between the vault and its engines.
