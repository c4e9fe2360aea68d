//! (module response)
