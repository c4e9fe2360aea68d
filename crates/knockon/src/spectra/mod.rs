//! (module spectra)
