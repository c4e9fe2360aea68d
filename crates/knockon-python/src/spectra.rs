//! The three recoil spectra, before any effect of the crystal. Defaults are those of the library.

use crate::arrays::{Column, Numbers, column, table, to_vec};
use crate::{exception, released};
use knockon::spectra::capture::{Capture, Evaluation, SlowingDown};
use knockon::spectra::cevns::Cevns;
use knockon::spectra::dark_matter::DarkMatter;
use knockon::spectra::materials::{Element, Material};
use knockon::spectra::reactor::{Core, FissionFractions, Site};
use knockon::spectra::{ElementRate, capture_rate, check_energies, edges_around, rates_by_element};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::{Value, json};

/// A rate of recoils at some energies.
#[pyclass(frozen, module = "knockon")]
pub(crate) struct RecoilSpectrum {
    energies_ev: Vec<f64>,
    edges_ev: Vec<f64>,
    unit: &'static str,
    /// Counts per eV of one `unit` and of an exposure of 1.
    counts_per_ev: f64,
    by_element: Vec<(String, Vec<f64>)>,
    parameters: Value,
}

#[pymethods]
impl RecoilSpectrum {
    /// Recoil energies in eV.
    #[getter]
    fn energies_ev(&self, py: Python<'_>) -> Column {
        column(py, self.energies_ev.clone())
    }

    /// Edges of bins around them in eV, halfway to the neighbours.
    #[getter]
    fn edges_ev(&self, py: Python<'_>) -> Column {
        column(py, self.edges_ev.clone())
    }

    /// Unit of the rates: `per_kev_kg_day` (of crystal), or `per_ev_per_capture` (in natural tungsten).
    #[getter]
    fn unit(&self) -> &'static str {
        self.unit
    }

    /// Rate at each energy, in `unit`.
    #[getter]
    fn rate(&self, py: Python<'_>) -> Column {
        let at = |row: usize| self.by_element.iter().map(|(_, rate)| rate[row]).sum();
        column(py, (0..self.energies_ev.len()).map(at).collect())
    }

    /// The same for each recoiling element.
    #[getter]
    fn rate_by_element<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.elements(py, |_, rate| rate)
    }

    /// Every parameter, those left at their defaults included.
    #[getter]
    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("json")?.call_method1("loads", (self.parameters.to_string(),))
    }

    /// Counts of each element in the bins between `edges_ev` for an exposure in kg days (captures in tungsten for the
    /// spectrum of neutron capture): what `Response.fold` takes. The rate at its energy holds for all of a bin.
    fn counts<'py>(&self, py: Python<'py>, exposure: f64) -> PyResult<Bound<'py, PyDict>> {
        if !(exposure.is_finite() && exposure > 0.0) {
            let problem = format!("exposure: expected a number above 0, found {exposure}. Correct the exposure");
            return Err(PyValueError::new_err(problem));
        }
        self.elements(py, |row, rate| {
            rate * exposure * self.counts_per_ev * (self.edges_ev[row + 1] - self.edges_ev[row])
        })
    }

    /// All arrays by name: what `pandas.DataFrame` takes.
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let total = format!("rate_{}", self.unit);
        let columns = table(py, &[("energy_ev", &self.energies_ev(py)), (&total, &self.rate(py))])?;
        for (symbol, rate) in &self.by_element {
            let name = format!("{}_{total}", symbol.to_lowercase());
            columns.set_item(name, column(py, rate.clone()))?;
        }
        Ok(columns)
    }
}

impl RecoilSpectrum {
    fn elements<'py>(&self, py: Python<'py>, of: impl Fn(usize, f64) -> f64) -> PyResult<Bound<'py, PyDict>> {
        let elements = PyDict::new(py);
        for (symbol, rate) in &self.by_element {
            let values = rate.iter().enumerate().map(|(row, rate)| of(row, *rate)).collect();
            elements.set_item(symbol, column(py, values))?;
        }
        Ok(elements)
    }

    fn per_kev_kg_day(energies_ev: Vec<f64>, rates: Vec<ElementRate>, parameters: Value) -> Self {
        let by_element = rates.into_iter().map(|e| (e.symbol.to_owned(), e.rate_per_kev_kg_day)).collect();
        let edges_ev = edges_around(&energies_ev, ALONE_EV);
        Self { energies_ev, edges_ev, unit: "per_kev_kg_day", counts_per_ev: 1e-3, by_element, parameters }
    }
}

/// Width of the bin around a single energy in eV.
const ALONE_EV: f64 = 1.0;

/// Rates of every element of the target at checked energies.
fn scattering(
    py: Python<'_>,
    target: &str,
    energies: &Numbers<'_>,
    resolution_ev: f64,
    rate: impl Fn(&Element, f64) -> f64 + Sync + Send,
) -> PyResult<(Vec<f64>, Vec<ElementRate>)> {
    let energies_ev = to_vec(energies);
    let rates = released(py, || {
        check_energies(&energies_ev)?;
        rates_by_element(&Material::from_formula(target)?, &energies_ev, resolution_ev, rate)
    })?;
    Ok((energies_ev, rates))
}

/// Recoils from halo dark matter, spin-independent, per keV, kg of crystal and day, at recoil energies in eV.
#[pyfunction]
#[pyo3(signature = (energies_ev, *, target="CaWO4", mass_gev=DarkMatter::default().mass_gev,
    cross_section_cm2=DarkMatter::default().cross_section_cm2, rho_gev_cm3=DarkMatter::default().density_gev_per_cm3,
    v0_km_s=DarkMatter::default().v0_km_per_s, vesc_km_s=DarkMatter::default().escape_km_per_s,
    v_earth_km_s=DarkMatter::default().earth_km_per_s, day_of_year=None, resolution_ev=0.0))]
#[allow(clippy::too_many_arguments)]
pub(crate) fn dark_matter(
    py: Python<'_>,
    energies_ev: Numbers<'_>,
    target: &str,
    mass_gev: f64,
    cross_section_cm2: f64,
    rho_gev_cm3: f64,
    v0_km_s: f64,
    vesc_km_s: f64,
    v_earth_km_s: f64,
    day_of_year: Option<f64>,
    resolution_ev: f64,
) -> PyResult<RecoilSpectrum> {
    let mean = DarkMatter {
        mass_gev,
        cross_section_cm2,
        density_gev_per_cm3: rho_gev_cm3,
        v0_km_per_s: v0_km_s,
        escape_km_per_s: vesc_km_s,
        earth_km_per_s: v_earth_km_s,
        resolution_ev,
        ..DarkMatter::default()
    };
    mean.validate().map_err(exception)?;
    let halo = match day_of_year {
        Some(day) => mean.on_day_of_year(day).map_err(exception)?,
        None => mean,
    };
    let (energies, rates) =
        scattering(py, target, &energies_ev, resolution_ev, |e, energy| halo.rate_per_kev_kg_day(e, energy))?;
    let parameters = json!({ "target": target, "day_of_year": day_of_year, "dark_matter": halo });
    Ok(RecoilSpectrum::per_kev_kg_day(energies, rates, parameters))
}

/// Recoils from reactor antineutrinos (CEvNS) per keV, kg of crystal and day, at recoil energies in eV. Without `cores`
/// ((thermal power in GW, distance in m), ...) those of the very near site of NUCLEUS at Chooz.
#[pyfunction]
#[pyo3(signature = (energies_ev, *, target="CaWO4", cores=None, duty=Site::default().duty, fission_fractions=None,
    u238_captures=Site::default().uranium_238_captures_per_fission, sin2_theta_w=Cevns::default().sin2_theta_w,
    resolution_ev=0.0))]
#[allow(clippy::too_many_arguments)]
pub(crate) fn cevns(
    py: Python<'_>,
    energies_ev: Numbers<'_>,
    target: &str,
    cores: Option<Vec<(f64, f64)>>,
    duty: f64,
    fission_fractions: Option<[f64; 4]>,
    u238_captures: f64,
    sin2_theta_w: f64,
    resolution_ev: f64,
) -> PyResult<RecoilSpectrum> {
    let mut site = Site { duty, uranium_238_captures_per_fission: u238_captures, ..Site::default() };
    if let Some(cores) = cores {
        site.cores = cores.into_iter().map(|(power_gw, distance_m)| Core { power_gw, distance_m }).collect();
    }
    if let Some([uranium_235, uranium_238, plutonium_239, plutonium_241]) = fission_fractions {
        site.fission_fractions = FissionFractions { uranium_235, uranium_238, plutonium_239, plutonium_241 };
    }
    let source = Cevns { site, sin2_theta_w, resolution_ev, ..Cevns::default() };
    source.validate().map_err(exception)?;
    let of_element = source.rates();
    let (energies, rates) =
        scattering(py, target, &energies_ev, resolution_ev, |e, energy| of_element.per_kev_kg_day(e, energy))?;
    Ok(RecoilSpectrum::per_kev_kg_day(energies, rates, json!({ "target": target, "cevns": source })))
}

/// Recoils of tungsten after the capture of a thermal neutron, per eV and capture in natural tungsten, each the mean over
/// an interval that ends halfway to the neighbouring energies (eV). `evaluation` is `egaf-lanl` or `egaf`; `slowing_down` is
/// `prompt`, `stopped`, or the time in fs in which the nucleus loses its momentum.
#[pyfunction]
#[pyo3(signature = (
    energies_ev, *, evaluation="egaf-lanl", lines_only=false, slowing_down=None, conversion_electrons=true,
    crystal_mm=None, captures=Capture::default().captures, seed=Capture::default().seed, resolution_ev=0.0,
))]
#[expect(clippy::too_many_arguments, reason = "the keywords of the Python function")]
pub(crate) fn capture(
    py: Python<'_>,
    energies_ev: Numbers<'_>,
    evaluation: &str,
    lines_only: bool,
    slowing_down: Option<SlowingDownArgument>,
    conversion_electrons: bool,
    crystal_mm: Option<[f64; 3]>,
    captures: u64,
    seed: u64,
    resolution_ev: f64,
) -> PyResult<RecoilSpectrum> {
    let evaluation: Evaluation = serde_json::from_value(json!(evaluation)).map_err(|e| {
        PyValueError::new_err(format!("evaluation: {e}. Give one of the evaluations that the message names"))
    })?;
    let source = Capture {
        evaluation,
        statistical: !lines_only,
        slowing_down: match slowing_down {
            Some(given) => given.try_into()?,
            None => Capture::default().slowing_down,
        },
        drop_conversion_electrons: !conversion_electrons,
        crystal_mm,
        captures,
        seed,
        resolution_ev,
    };
    let energies_ev = to_vec(&energies_ev);
    let rate = released(py, || {
        check_energies(&energies_ev)?;
        capture_rate(&source, &energies_ev)
    })?;
    Ok(RecoilSpectrum {
        edges_ev: edges_around(&energies_ev, ALONE_EV),
        energies_ev,
        unit: "per_ev_per_capture",
        counts_per_ev: 1.0,
        by_element: vec![("W".to_owned(), rate.rate_per_ev_per_capture)],
        parameters: json!({ "capture": source }),
    })
}

/// How `slowing_down` is given: a name or a time in fs.
#[derive(FromPyObject)]
pub(crate) enum SlowingDownArgument {
    TimeFs(f64),
    Limit(String),
}

impl TryFrom<SlowingDownArgument> for SlowingDown {
    type Error = PyErr;

    fn try_from(given: SlowingDownArgument) -> PyResult<Self> {
        match given {
            SlowingDownArgument::TimeFs(time) => Ok(Self::TimeFs(time)),
            SlowingDownArgument::Limit(name) => serde_json::from_value(json!(name)).map(Self::Limit).map_err(|_| {
                let found = format!("slowing_down: expected \"prompt\", \"stopped\" or a time in fs, found \"{name}\"");
                PyValueError::new_err(found)
            }),
        }
    }
}
