//! Metric registers and the log format.

pub mod log;

pub use log::{Format, Level, Log};
