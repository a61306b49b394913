//! A typed HTTP client of Vault's API.
