//! What the Python package `knockon` calls: response, spectra and potential of the library, with NumPy arrays in and out.
//!
//! Nothing is computed here. Arrays come in as whatever NumPy makes an array of 64-bit floats from, the interpreter is
//! released while the library works, and its errors become Python exceptions with the same text.

mod arrays;
mod detector;
mod potential;
mod response;
mod spectra;

use pyo3::exceptions::{PyFileNotFoundError, PyOSError, PyPermissionError, PyValueError};
use pyo3::prelude::*;
use std::io::ErrorKind;

/// The library's error as a Python exception: OSError for what the system refused, ValueError for everything else.
fn exception(error: knockon::Error) -> PyErr {
    let text = error.to_string();
    match error {
        knockon::Error::Io { reason, .. } => match reason.kind() {
            ErrorKind::NotFound => PyFileNotFoundError::new_err(text),
            ErrorKind::PermissionDenied => PyPermissionError::new_err(text),
            _ => PyOSError::new_err(text),
        },
        _ => PyValueError::new_err(text),
    }
}

/// Calls the library with the interpreter released.
fn released<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T, knockon::Error> + Send) -> PyResult<T> {
    py.detach(work).map_err(exception)
}

/// The compiled half of the package; `python/knockon/__init__.py` is what users import.
#[pymodule]
mod _knockon {
    #[pymodule_export]
    use super::potential::Potential;
    #[pymodule_export]
    use super::response::{DetectedSpectrum, Events, Response};
    #[pymodule_export]
    use super::spectra::{RecoilSpectrum, capture, cevns, dark_matter};

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
