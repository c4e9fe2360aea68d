//! (module cascade)
