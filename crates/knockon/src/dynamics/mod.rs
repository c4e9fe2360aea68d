//! (module dynamics)
