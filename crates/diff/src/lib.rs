//! Git patches: parse, split, apply.
