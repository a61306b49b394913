//! Listeners, headers, bytes in and out.
