//! The response, and what a detector sees of recoils with it.

use crate::arrays::{AnyShape, Column, Numbers, column, shaped_like, table, to_vec};
use crate::detector::Keywords;
use crate::{exception, released};
use knockon::response::StoredEnergy;
use knockon::spectra::detector::Detector;
use knockon::spectra::user::{BinnedSpectrum, UserPart, check_recoils};
use knockon::spectra::{AnyResponse, Responses, complete_from_ev, complete_up_to_ev, detect, simulate};
use numpy::PyArrayDyn;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping};
use std::iter;
use std::path::PathBuf;

/// p(stored energy | recoil energy) of one recoiling species in one crystal.
#[pyclass(frozen, module = "knockon")]
pub(crate) struct Response {
    inner: AnyResponse,
}

#[pymethods]
impl Response {
    /// The shipped response of this name (letter case does not matter), or the response in this file: response.json of
    /// `knockon response`, or a matrix (docs/response-format.md).
    #[staticmethod]
    fn load(py: Python<'_>, name_or_file: PathBuf) -> PyResult<Self> {
        let name = name_or_file.to_string_lossy();
        Ok(Self { inner: released(py, || AnyResponse::load(&name))? })
    }

    /// The response from the text that `to_json` gives.
    #[staticmethod]
    fn from_json(text: &str) -> PyResult<Self> {
        Ok(Self { inner: AnyResponse::from_bytes(text.as_bytes(), "response").map_err(exception)? })
    }

    /// The response as text.
    fn to_json(&self) -> PyResult<String> {
        self.inner.to_json().map_err(exception)
    }

    /// Pickling and copying go through the text.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (String,))> {
        Ok((py.get_type::<Self>().getattr("from_json")?, (self.to_json()?,)))
    }

    fn __repr__(&self) -> String {
        let [low, high] = self.inner.data_range_ev();
        format!("<knockon.Response \"{}\" for {}, data from {low} to {high} eV>", self.name(), self.species())
    }

    /// Name that outputs quote.
    #[getter]
    fn name(&self) -> &str {
        self.inner.name()
    }

    /// Chemical symbol of the recoiling species that it holds for.
    #[getter]
    fn species(&self) -> &str {
        self.inner.species()
    }

    /// Formula of the crystal that it holds for; None where that is not known.
    #[getter]
    fn crystal(&self) -> Option<&str> {
        self.inner.crystal()
    }

    /// What each of its parts rests on.
    #[getter]
    fn caption(&self) -> String {
        self.inner.caption()
    }

    /// Hash of the content.
    #[getter]
    fn content_hash(&self) -> PyResult<String> {
        self.inner.content_hash().map_err(exception)
    }

    /// Lowest and highest recoil energy with data, in eV; beyond, curves extrapolate.
    #[getter]
    fn data_range_ev(&self) -> (f64, f64) {
        self.inner.data_range_ev().into()
    }

    /// Lowest and highest recoil energy that may be asked for, in eV.
    #[getter]
    fn usable_range_ev(&self) -> (f64, f64) {
        self.inner.best().usable_range_ev().into()
    }

    /// Probability that recoils of these energies (eV) leave defects, in the shape of the argument.
    fn defect_probability<'py>(
        &self,
        py: Python<'py>,
        energies_ev: AnyShape<'py>,
    ) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        self.map(py, &energies_ev, |stored, energy| stored.defect_probability(energy))
    }

    /// Mean stored energy in eV of recoils of these energies (eV), those without defects included, in the shape of the
    /// argument. Divide by `defect_probability` for the mean of those with defects.
    fn mean_stored_energy_ev<'py>(
        &self,
        py: Python<'py>,
        energies_ev: AnyShape<'py>,
    ) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        self.map(py, &energies_ev, |stored, energy| stored.mean_ev(energy))
    }

    /// Stored energies in eV drawn for recoils of these energies (eV), one each, in the shape of the argument. The same
    /// seed gives the same numbers.
    fn sample<'py>(
        &self,
        py: Python<'py>,
        energies_ev: AnyShape<'py>,
        seed: u64,
    ) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        let energies = self.recoils(&energies_ev)?;
        let events = released(py, || simulate(&energies, &self.alone(), &Detector::default(), seed))?;
        shaped_like(py, events.iter().map(|e| e.stored_ev).collect(), &energies_ev)
    }

    /// Simulates one event for each recoil energy (eV): the stored energy is taken off, then come resolution and trigger. What
    /// fixes the energy scale is `calibration`: `electron-recoils`, which store nothing, or `capture-peak`, the W peak called 112.44
    /// eV where the detector sees it.
    #[pyo3(signature = (energies_ev, seed, *, resolution_ev=0.0, resolution_slope=0.0, threshold_ev=None,
        threshold_width_ev=None, plateau=None, efficiency=None, efficiency_of="measured", calibration="electron-recoils"))]
    #[allow(clippy::too_many_arguments)]
    fn simulate<'py>(
        &self,
        py: Python<'py>,
        energies_ev: AnyShape<'py>,
        seed: u64,
        resolution_ev: f64,
        resolution_slope: f64,
        threshold_ev: Option<f64>,
        threshold_width_ev: Option<f64>,
        plateau: Option<f64>,
        efficiency: Option<(Numbers<'py>, Numbers<'py>)>,
        efficiency_of: &str,
        calibration: &str,
    ) -> PyResult<Events> {
        let detector = Keywords {
            resolution_ev,
            resolution_slope,
            threshold_ev,
            threshold_width_ev,
            plateau,
            efficiency,
            efficiency_of,
            calibration,
        }
        .detector()?;
        let energies = self.recoils(&energies_ev)?;
        let events = released(py, || simulate(&energies, &self.alone(), &detector, seed))?;
        let of = |part: fn(&knockon::spectra::Event) -> f64| column(py, events.iter().map(part).collect());
        let triggered: Vec<bool> = events.iter().map(|e| e.triggered).collect();
        Ok(Events {
            recoil_energy_ev: of(|e| e.recoil_ev),
            stored_energy_ev: of(|e| e.stored_ev),
            measured_energy_ev: of(|e| e.measured_ev),
            triggered: numpy::IntoPyArray::into_pyarray(triggered, py).unbind(),
        })
    }

    /// Folds counts of recoils in the bins between `edges_ev` (eV): the stored energy is taken off, then come resolution
    /// and trigger. `counts` is an array, all of it recoils of the response's species, or a dictionary with one array for
    /// each recoiling element; elements without a response are seen by the detector as they are. `also` has responses for
    /// further elements. `calibration` is that of `simulate`.
    #[pyo3(signature = (edges_ev, counts, *, errors=None, also=Vec::new(), resolution_ev=0.0, resolution_slope=0.0, threshold_ev=None,
        threshold_width_ev=None, plateau=None, efficiency=None, efficiency_of="measured", calibration="electron-recoils"))]
    #[allow(clippy::too_many_arguments)]
    fn fold<'py>(
        &self,
        py: Python<'py>,
        edges_ev: Numbers<'py>,
        counts: &Bound<'py, PyAny>,
        errors: Option<&Bound<'py, PyAny>>,
        also: Vec<PyRef<'py, Self>>,
        resolution_ev: f64,
        resolution_slope: f64,
        threshold_ev: Option<f64>,
        threshold_width_ev: Option<f64>,
        plateau: Option<f64>,
        efficiency: Option<(Numbers<'py>, Numbers<'py>)>,
        efficiency_of: &str,
        calibration: &str,
    ) -> PyResult<DetectedSpectrum> {
        let detector = Keywords {
            resolution_ev,
            resolution_slope,
            threshold_ev,
            threshold_width_ev,
            plateau,
            efficiency,
            efficiency_of,
            calibration,
        }
        .detector()?;
        let (edges, parts) = (to_vec(&edges_ev), parts(counts, errors)?);
        let all = iter::once(&self.inner).chain(also.iter().map(|other| &other.inner)).cloned().collect();
        let responses = Responses::new(all).map_err(exception)?;
        let other = |p: &UserPart| p.species.clone().filter(|element| !responses.has(element));
        let uncorrected_elements: Vec<String> = parts.iter().filter_map(other).collect();
        if uncorrected_elements.len() == parts.len() {
            let (elements, found) = (responses.elements(), uncorrected_elements.join(", "));
            let problem = format!("counts: expected recoils of {elements}, as the response is for, found {found}");
            return Err(PyValueError::new_err(problem));
        }
        let binned = BinnedSpectrum::from_counts(edges, parts, responses.usable_range_ev()).map_err(exception)?;
        let found = released(py, || detect(&binned, &responses, &detector))?;
        let from = complete_from_ev(&binned, &responses, &detector).map_err(exception)?;
        let up_to = complete_up_to_ev(&binned, &responses, &detector).map_err(exception)?;
        let n_bins = binned.edges_ev.len() - 1;
        let ([low, high], [ratio_low, ratio_high]) = (found.after_band, found.ratio_band);
        Ok(DetectedSpectrum {
            energy_low_ev: column(py, binned.edges_ev[..n_bins].to_vec()),
            energy_high_ev: column(py, binned.edges_ev[1..].to_vec()),
            uncorrected: column(py, found.before),
            corrected: column(py, found.after),
            corrected_error: found.after_error.map(|error| column(py, error)),
            corrected_low: column(py, low),
            corrected_high: column(py, high),
            ratio: column(py, found.ratio),
            ratio_low: column(py, ratio_low),
            ratio_high: column(py, ratio_high),
            uncorrected_elements,
            complete_from_ev: from,
            complete_up_to_ev: up_to,
            conservation_error: found.conservation_error,
            convergence_error: found.convergence_error,
            calibration_scale: found.calibration_scale,
        })
    }
}

impl Response {
    fn alone(&self) -> Responses {
        self.inner.clone().into()
    }

    /// The energies, if the response holds for all of them.
    fn recoils(&self, energies_ev: &AnyShape<'_>) -> PyResult<Vec<f64>> {
        let energies = to_vec(energies_ev);
        check_recoils("energies_ev", &energies, self.inner.best().usable_range_ev()).map_err(exception)?;
        Ok(energies)
    }

    fn map<'py>(
        &self,
        py: Python<'py>,
        energies_ev: &AnyShape<'py>,
        of: fn(&StoredEnergy<'_>, f64) -> f64,
    ) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        let energies = self.recoils(energies_ev)?;
        let values = py.detach(|| energies.iter().map(|energy| of(&self.inner.best(), *energy)).collect());
        shaped_like(py, values, energies_ev)
    }
}

/// An array, or a dictionary of arrays by element.
fn parts(counts: &Bound<'_, PyAny>, errors: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<UserPart>> {
    let numbers = |values: &Bound<'_, PyAny>| -> PyResult<Vec<f64>> { Ok(to_vec(&values.extract::<Numbers<'_>>()?)) };
    let Ok(by_element) = counts.cast::<PyMapping>() else {
        let errors = errors.map(numbers).transpose()?;
        return Ok(vec![UserPart { species: None, counts: numbers(counts)?, errors }]);
    };
    let expected = || PyTypeError::new_err("errors: expected a dictionary with the elements of counts");
    let errors = errors.map(|e| e.cast::<PyMapping>().map_err(|_| expected())).transpose()?;
    if errors.is_some_and(|e| e.len().ok() != by_element.len().ok()) {
        return Err(expected());
    }
    let part = |entry: PyResult<Bound<'_, PyAny>>| {
        let (element, counts): (String, Bound<'_, PyAny>) = entry?.extract()?;
        let own = errors.map(|e| e.get_item(&element).map_err(|_| expected())).transpose()?;
        let errors = own.map(|values| numbers(&values)).transpose()?;
        Ok(UserPart { species: Some(element), counts: numbers(&counts)?, errors })
    };
    by_element.items()?.try_iter()?.map(part).collect()
}

/// Simulated events, one entry each.
#[pyclass(frozen, get_all, module = "knockon")]
pub(crate) struct Events {
    /// Recoil energies in eV.
    recoil_energy_ev: Column,
    /// Energies stored in defects, eV.
    stored_energy_ev: Column,
    /// Energies after stored energy and resolution, eV.
    measured_energy_ev: Column,
    /// Whether the trigger kept the event.
    triggered: Py<numpy::PyArray1<bool>>,
}

#[pymethods]
impl Events {
    /// All arrays by name: what `pandas.DataFrame` takes.
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let columns = table(
            py,
            &[
                ("recoil_energy_ev", &self.recoil_energy_ev),
                ("stored_energy_ev", &self.stored_energy_ev),
                ("measured_energy_ev", &self.measured_energy_ev),
            ],
        )?;
        columns.set_item("triggered", &self.triggered)?;
        Ok(columns)
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.recoil_energy_ev.bind(py).len()
    }
}

/// Counts in the bins of the input, as a detector sees them without and with energy stored in defects.
#[pyclass(frozen, get_all, module = "knockon")]
pub(crate) struct DetectedSpectrum {
    /// Lower edges of the bins in eV.
    energy_low_ev: Column,
    /// Upper edges in eV.
    energy_high_ev: Column,
    /// Counts with resolution and trigger only.
    uncorrected: Column,
    /// Counts with stored energy taken off first.
    corrected: Column,
    /// Standard deviation of `corrected` from the errors of the input; None without.
    corrected_error: Option<Column>,
    /// 16 % quantile of `corrected` over the response's bootstrap sets; NaN without such sets.
    corrected_low: Column,
    /// 84 % quantile.
    corrected_high: Column,
    /// `corrected` / `uncorrected`; NaN where nothing is expected.
    ratio: Column,
    /// 16 % quantile of the ratio.
    ratio_low: Column,
    /// 84 % quantile of the ratio.
    ratio_high: Column,
    /// Elements of the input that the response does not hold for, which were left as they are.
    uncorrected_elements: Vec<String>,
    /// Measured energy in eV below which bins lack recoils from below the first edge; None where nothing is missing.
    complete_from_ev: Option<f64>,
    /// Measured energy in eV above which bins lack recoils from above the last edge; None where nothing is missing.
    complete_up_to_ev: Option<f64>,
    /// Relative change of all counts by the fold, before the trigger: rounding only.
    conservation_error: f64,
    /// Largest change of `corrected` when the internal bins are halved, relative to the largest count.
    convergence_error: f64,
    /// Factor between deposited and measured energy: 1 unless the capture peak calibrates.
    calibration_scale: f64,
}

#[pymethods]
impl DetectedSpectrum {
    /// All arrays by name: what `pandas.DataFrame` takes.
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let columns = table(
            py,
            &[
                ("energy_low_ev", &self.energy_low_ev),
                ("energy_high_ev", &self.energy_high_ev),
                ("uncorrected", &self.uncorrected),
                ("corrected", &self.corrected),
                ("corrected_low", &self.corrected_low),
                ("corrected_high", &self.corrected_high),
                ("ratio", &self.ratio),
                ("ratio_low", &self.ratio_low),
                ("ratio_high", &self.ratio_high),
            ],
        )?;
        self.corrected_error.as_ref().map_or(Ok(()), |error| columns.set_item("corrected_error", error))?;
        Ok(columns)
    }
}
