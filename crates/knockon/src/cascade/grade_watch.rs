//! The extrapolation grade during a recoil: did the cascade go where the potential has no data?

use super::Recoil;
use crate::Error;
use crate::dynamics::Simulation;
use crate::potential::{EXTRAPOLATION_THRESHOLD, Extrapolation};

/// Looks at all atoms every so many steps of the cascade and keeps the largest grade.
pub struct GradeWatch<'a> {
    extrapolation: &'a Extrapolation,
    every_steps: u64,
    steps: u64,
    largest: Result<f64, Error>,
}

impl<'a> GradeWatch<'a> {
    /// Looks at the first step and then at every `every_steps`th.
    pub fn new(extrapolation: &'a Extrapolation, every_steps: u64) -> Self {
        Self { extrapolation, every_steps: every_steps.max(1), steps: 0, largest: Ok(0.0) }
    }

    /// To be called after every step.
    pub fn see(&mut self, simulation: &Simulation<'_>) {
        if self.steps.is_multiple_of(self.every_steps)
            && let Ok(largest) = self.largest
        {
            let grades = self.extrapolation.grades(simulation.atoms(), simulation.neighbors());
            self.largest = grades.map(|g| g.into_iter().fold(largest, f64::max));
        }
        self.steps += 1;
    }

    /// Writes the largest grade into the ledger of the recoil, with a flag `extrapolation` from the threshold on. Fails if
    /// a grade could not be found.
    pub fn record(self, recoil: &mut Recoil) -> Result<(), Error> {
        let largest = self.largest?;
        recoil.max_extrapolation_grade = Some(largest);
        if largest >= EXTRAPOLATION_THRESHOLD {
            recoil.flags.push("extrapolation".to_owned());
        }
        Ok(())
    }
}
