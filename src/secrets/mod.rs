//! The secrets engines that can be mounted.
