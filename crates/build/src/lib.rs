//! Candidate into environment.
