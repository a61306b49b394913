//! The HCL1 reader, with spans.
