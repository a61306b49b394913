//! Listeners, headers, bytes in and out.

pub mod listener;
