//! The engines that are always there: `sys/`, `auth/token/`, `identity/`, `cubbyhole/`.
