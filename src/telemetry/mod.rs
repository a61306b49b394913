//! Metric registers and the log format.

pub mod host;
pub mod log;
pub mod metrics;

pub use log::{Format, Level, Log};
pub use metrics::{Meter, Metrics};
