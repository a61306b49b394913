//! Entries, devices and the broker of the audit log.
