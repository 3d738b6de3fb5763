//! History into candidates, filters as data.
