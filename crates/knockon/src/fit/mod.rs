//! (module fit)
