//! Metric registers, the log and who follows it.

pub mod follow;
pub mod host;
pub mod log;
pub mod metrics;

pub use follow::Followers;
pub use log::{Format, Level, Log};
pub use metrics::{Meter, Metrics};
