//! The keyword arguments that describe a detector.

use crate::arrays::{Numbers, to_vec};
use knockon::spectra::Curve;
use knockon::spectra::detector::{Detector, Resolution, Trigger};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde_json::json;

/// Resolution, trigger and energy scale as Python gives them.
pub(crate) struct Keywords<'py> {
    pub(crate) resolution_ev: f64,
    pub(crate) resolution_slope: f64,
    pub(crate) threshold_ev: Option<f64>,
    pub(crate) threshold_width_ev: Option<f64>,
    pub(crate) plateau: Option<f64>,
    pub(crate) efficiency: Option<(Numbers<'py>, Numbers<'py>)>,
    pub(crate) efficiency_of: &'py str,
    pub(crate) calibration: &'py str,
}

impl Keywords<'_> {
    /// The detector; what does not go together is refused.
    pub(crate) fn detector(&self) -> PyResult<Detector> {
        let resolution = Resolution { constant_ev: self.resolution_ev, slope: self.resolution_slope };
        let (width_ev, plateau) = (self.threshold_width_ev, self.plateau);
        let trigger = match (&self.efficiency, self.threshold_ev) {
            (Some(_), Some(_)) => return Err(refuse("threshold_ev or efficiency", "both", "Leave one of them out")),
            (_, None) if width_ev.is_some() || plateau.is_some() => {
                return Err(refuse("threshold_ev beside threshold_width_ev and plateau", "none", "Give threshold_ev"));
            }
            (Some((energies, efficiencies)), None) => {
                let (energies, efficiencies) = (to_vec(energies), to_vec(efficiencies));
                if energies.len() != efficiencies.len() {
                    let found = format!("{} energies and {} efficiencies", energies.len(), efficiencies.len());
                    return Err(refuse("one efficiency for each energy", &found, "Give arrays of equal length"));
                }
                Trigger::Table(Curve::new(energies.into_iter().zip(efficiencies).map(<[f64; 2]>::from).collect()))
            }
            (None, Some(threshold_ev)) => {
                Trigger::ErrorFunction { threshold_ev, width_ev, plateau: plateau.unwrap_or(1.0) }
            }
            (None, None) => Trigger::All,
        };
        let calibration = serde_json::from_value(json!(self.calibration)).map_err(|_| {
            let problem = format!("expected \"electron-recoils\" or \"capture-peak\", found \"{}\"", self.calibration);
            PyValueError::new_err(format!("calibration: {problem}. Name what fixes the energy scale"))
        })?;
        let efficiency_of = serde_json::from_value(json!(self.efficiency_of)).map_err(|_| {
            let problem = format!("expected \"measured\" or \"deposited\", found \"{}\"", self.efficiency_of);
            PyValueError::new_err(format!(
                "efficiency_of: {problem}. Name the energy that efficiencies are a function of"
            ))
        })?;
        Ok(Detector { resolution, trigger, efficiency_of, calibration })
    }
}

fn refuse(expected: &str, found: &str, remedy: &str) -> PyErr {
    PyValueError::new_err(format!("trigger: expected {expected}, found {found}. {remedy}"))
}
