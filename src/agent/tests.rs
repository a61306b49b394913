//! The agent against a server that keeps the contract.
