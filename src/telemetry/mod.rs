//! Metric registers and the log format.
