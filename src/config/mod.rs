//! The server's configuration file.
