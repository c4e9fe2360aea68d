//! The extrapolation grade during a recoil: did the cascade go where the potential has no data?

use crate::Error;
use crate::dynamics::Simulation;
use crate::potential::Extrapolation;

/// Looks at all atoms every so many steps of a cascade.
#[derive(Clone, Copy)]
pub struct GradeWatch<'a> {
    /// What grades atoms.
    pub extrapolation: &'a Extrapolation,
    /// Atoms are graded after the first step and then after every so many.
    pub every_steps: u64,
}

impl GradeWatch<'_> {
    /// The largest grade after `step` (from 1), where `largest` was the largest before. Fails if an atom has no grade.
    pub(super) fn see(&self, step: u64, simulation: &Simulation<'_>, largest: f64) -> Result<f64, Error> {
        if !(step - 1).is_multiple_of(self.every_steps.max(1)) {
            return Ok(largest);
        }
        let grades = self.extrapolation.grades(simulation.atoms(), simulation.neighbors())?;
        // An element without data has no finite grade, and JSON no infinity.
        Ok(grades.into_iter().fold(largest, f64::max).min(f64::MAX))
    }
}
