//! The vocabulary every other layer speaks: secrets, paths, names, JSON, time, chance, errors, limits.
