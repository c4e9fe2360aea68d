//! NumPy arrays in and out.

use numpy::{AllowTypeChange, Element, IntoPyArray, PyArray1, PyArrayLike, PyArrayLikeDyn, PyArrayMethods, ndarray};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Anything that NumPy makes a one-dimensional array of 64-bit floats from: lists, columns of pandas, arrays of uproot.
pub(crate) type Numbers<'py> = PyArrayLike<'py, f64, ndarray::Ix1, AllowTypeChange>;
/// The same in any shape.
pub(crate) type AnyShape<'py> = PyArrayLikeDyn<'py, f64, AllowTypeChange>;
/// An array that belongs to a result.
pub(crate) type Column = Py<PyArray1<f64>>;

/// The numbers in the order of NumPy's indices.
pub(crate) fn to_vec<T: Element + Copy, D: ndarray::Dimension>(
    array: &PyArrayLike<'_, T, D, AllowTypeChange>,
) -> Vec<T> {
    array.as_array().iter().copied().collect()
}

/// A new array.
pub(crate) fn column(py: Python<'_>, values: Vec<f64>) -> Column {
    values.into_pyarray(py).unbind()
}

/// A new array in the shape of `like`.
pub(crate) fn shaped_like<'py>(
    py: Python<'py>,
    values: Vec<f64>,
    like: &AnyShape<'py>,
) -> PyResult<Bound<'py, numpy::PyArrayDyn<f64>>> {
    values.into_pyarray(py).reshape(like.as_array().raw_dim())
}

/// A dictionary of columns: what `pandas.DataFrame` takes.
pub(crate) fn table<'py>(py: Python<'py>, columns: &[(&str, &Column)]) -> PyResult<Bound<'py, PyDict>> {
    let table = PyDict::new(py);
    columns.iter().try_for_each(|(name, values)| table.set_item(name, values))?;
    Ok(table)
}
