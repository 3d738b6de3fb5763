//! Environment, patch and tests into a verdict; the gate.
