//! (module symmetry)
