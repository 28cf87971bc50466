//! Preflight: see `check`.
