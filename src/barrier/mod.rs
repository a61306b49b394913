//! The encryption around everything that storage holds.
