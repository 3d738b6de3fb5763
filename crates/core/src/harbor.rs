//! Harbor task directories.
