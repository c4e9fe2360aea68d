//! The potential: what the ASE calculator of the package (`python/knockon/ase.py`) evaluates.

use crate::arrays::{Column, column, to_vec};
use crate::released;
use glam::{BVec3, DMat3, DVec3};
use knockon::potential::{LinearPotential, Model, Potential as _};
use knockon::{Atoms, Cell, Evaluation, Species};
use numpy::{AllowTypeChange, IntoPyArray, PyArray2, PyArrayLike1, PyArrayLike2, ndarray};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::path::PathBuf;

/// A linear machine-learned potential.
#[pyclass(frozen, module = "knockon")]
pub(crate) struct Potential {
    model: Model,
    potential: LinearPotential,
}

/// Energy in eV, energies of the atoms in eV, forces in eV/A, stress in eV/A^3 of a box that repeats in all directions.
type Results<'py> = (f64, Column, Bound<'py, PyArray2<f64>>, Option<Column>);

#[pymethods]
impl Potential {
    /// Reads a model file, made by `knockon fit` or `knockon import`.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        released(py, || Self::new(Model::load(&path)?))
    }

    /// The potential from the text of a model file.
    #[staticmethod]
    fn from_text(py: Python<'_>, text: &str) -> PyResult<Self> {
        released(py, || Self::new(Model::from_text(text, "the model")?))
    }

    /// Pickling and copying go through the text of the model.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (String,))> {
        Ok((py.get_type::<Self>().getattr("from_text")?, (self.model.to_text(),)))
    }

    fn __repr__(&self) -> String {
        format!("<knockon.Potential \"{}\" for {}>", self.model.name, self.species().join(" "))
    }

    /// Name of the model.
    #[getter]
    fn name(&self) -> &str {
        &self.model.name
    }

    /// Hash of the model: how results name the potential they rest on.
    #[getter]
    fn content_hash(&self) -> String {
        self.model.hash()
    }

    /// Chemical symbols that the model knows.
    #[getter]
    fn species(&self) -> Vec<&'static str> {
        self.potential.species().iter().map(|s| s.symbol()).collect()
    }

    /// Pairs farther apart than this do not interact, in angstrom.
    #[getter]
    fn cutoff_angstrom(&self) -> f64 {
        self.potential.cutoff_angstrom()
    }

    /// Energy (eV), energies of the atoms (eV), forces (eV/A) and stress (eV/A^3; xx yy zz yz xz xy, positive in tension;
    /// None unless the box repeats in all directions). `positions` in angstrom are n x 3, the rows of `cell` are the
    /// lattice vectors in angstrom.
    fn evaluate<'py>(
        &self,
        py: Python<'py>,
        atomic_numbers: PyArrayLike1<'py, i64, AllowTypeChange>,
        positions: PyArrayLike2<'py, f64, AllowTypeChange>,
        cell: PyArrayLike2<'py, f64, AllowTypeChange>,
        periodic: [bool; 3],
    ) -> PyResult<Results<'py>> {
        let positions = rows(&positions, "positions")?;
        let [a, b, c] = rows(&cell, "cell")?[..] else {
            return Err(PyValueError::new_err("cell: expected three lattice vectors. Give an array of shape (3, 3)"));
        };
        let cell = Cell { vectors: DMat3::from_cols(a, b, c), periodic: BVec3::from_array(periodic) };
        let species = to_vec(&atomic_numbers).into_iter().map(species).collect::<PyResult<_>>()?;
        let evaluation = released(py, || {
            let atoms = Atoms::new(cell, species, positions, "atoms")?;
            let neighbors = self.potential.neighbor_list(&atoms, 0.0);
            let mut evaluation = Evaluation::default();
            self.potential.evaluate(&atoms, &neighbors, &mut evaluation)?;
            Ok(evaluation)
        })?;
        let stress = cell.periodic.all().then(|| evaluation.stress(cell.volume_angstrom3()).to_vec());
        let forces: Vec<f64> = evaluation.forces.iter().flat_map(|f| f.to_array()).collect();
        let forces = ndarray::Array2::from_shape_vec((evaluation.forces.len(), 3), forces);
        Ok((
            evaluation.energy_ev(),
            column(py, evaluation.energies_ev),
            forces.map_err(|e| PyValueError::new_err(e.to_string()))?.into_pyarray(py),
            stress.map(|s| column(py, s)),
        ))
    }
}

impl Potential {
    fn new(model: Model) -> Result<Self, knockon::Error> {
        Ok(Self { potential: LinearPotential::new(&model)?, model })
    }
}

fn species(number: i64) -> PyResult<Species> {
    u8::try_from(number).ok().and_then(Species::from_atomic_number).ok_or_else(|| {
        let problem = format!("atomic_numbers: expected 1 to 94, found {number}. Give the elements of the model");
        PyValueError::new_err(problem)
    })
}

fn rows(array: &PyArrayLike2<'_, f64, AllowTypeChange>, name: &str) -> PyResult<Vec<DVec3>> {
    let array = array.as_array();
    if array.ncols() != 3 {
        let problem = format!("{name}: expected three columns, found {}. Give an array of shape (n, 3)", array.ncols());
        return Err(PyValueError::new_err(problem));
    }
    Ok(array.rows().into_iter().map(|r| DVec3::new(r[0], r[1], r[2])).collect())
}
