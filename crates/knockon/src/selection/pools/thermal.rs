//! Frames of thermal runs, of the perfect crystal and of boxes with a Frenkel pair.

use super::{Candidate, Pool, Workshop};
use crate::dynamics::{Bath, Simulation, thermal_velocities};
use crate::progress::Progress;
use crate::{Atoms, Error};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Langevin runs at constant volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThermalPool {
    /// Temperatures in K.
    pub temperatures_k: Vec<f64>,
    /// Time in fs between frames, and before the first.
    pub interval_fs: f64,
    /// Frames of each run.
    pub frames: usize,
    /// File with Frenkel pairs (extended XYZ): one more run at each temperature for each of them.
    #[serde(default)]
    pub with_defects: Option<PathBuf>,
    /// At most this many of the choices.
    #[serde(default)]
    pub at_most: Option<usize>,
}

const FRICTION_PER_FS: f64 = 0.02;
const LONGEST_STEP_FS: f64 = 1.0;

pub(super) fn make(
    workshop: &Workshop<'_>,
    pool: &ThermalPool,
    progress: &dyn Progress,
) -> Result<Vec<Candidate>, Error> {
    let boxes = std::iter::once(workshop.crystal).chain(workshop.defects).enumerate();
    let runs: Vec<(usize, &Atoms, f64)> =
        boxes.flat_map(|(index, atoms)| pool.temperatures_k.iter().map(move |t| (index, atoms, *t))).collect();
    workshop.in_parallel(&runs, progress, |seed, (index, atoms, temperature_k)| {
        let name = if *index == 0 { format!("{temperature_k}K") } else { format!("pair{index}-{temperature_k}K") };
        let frames = frames(workshop, pool, atoms, *temperature_k, seed)?;
        let candidate = |(k, frame): (usize, Atoms)| {
            let details = [
                ("sampler", "knockon select: thermal run".to_owned()),
                ("temperature", temperature_k.to_string()),
                ("frame", format!("{}fs", (k + 1) as f64 * pool.interval_fs)),
            ];
            workshop.candidate(Pool::Thermal, &format!("{name}-{}", k + 1), frame, &details)
        };
        Ok(frames.into_iter().enumerate().map(candidate).collect())
    })
}

fn frames(
    workshop: &Workshop<'_>,
    pool: &ThermalPool,
    atoms: &Atoms,
    temperature_k: f64,
    seed: u64,
) -> Result<Vec<Atoms>, Error> {
    let mut simulation = Simulation::new(workshop.potential, atoms.clone(), 0.3)?;
    let mut random = Pcg64::new(u128::from(seed), 6);
    let velocities = thermal_velocities(simulation.masses_u(), temperature_k, &mut random);
    simulation.set_velocities(velocities);
    let mut bath = Bath::new(temperature_k, vec![FRICTION_PER_FS; atoms.len()], seed);
    // Equal steps that end just where the frame is said to be.
    let n_steps = (pool.interval_fs / LONGEST_STEP_FS).ceil();
    let step_fs = pool.interval_fs / n_steps;
    let mut taken = Vec::new();
    for _ in 0..pool.frames {
        for _ in 0..n_steps as usize {
            simulation.step(step_fs, Some(&mut bath))?;
        }
        taken.push(simulation.atoms().clone());
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::argon_like;
    use crate::progress::Silent;
    use glam::DVec3;

    /// Where atoms are after 2.5 fs is about half way between where they are after 2 and 3 fs.
    #[test]
    fn frames_are_at_the_time_that_they_name() {
        let (potential, crystal) = argon_like([2, 2, 2]);
        let workshop = Workshop::of(&potential, &crystal);
        let way = |interval_fs: f64| {
            let pool =
                ThermalPool { temperatures_k: vec![300.0], interval_fs, frames: 1, with_defects: None, at_most: None };
            let frames = frames(&workshop, &pool, &crystal, 300.0, 7).expect("a frame");
            let moved = frames[0].positions.iter().zip(&crystal.positions).map(|(a, b)| a.distance(*b));
            moved.sum::<f64>()
        };
        let [two, between, three] = [2.0, 2.5, 3.0].map(way);
        assert!(two < 0.95 * between && between < 0.95 * three, "{two} {between} {three}");
    }

    /// Each box with a Frenkel pair has a run of its own at each temperature, which begins at that box.
    #[test]
    fn boxes_with_defects_run_beside_the_crystal() {
        let (potential, crystal) = argon_like([3, 3, 3]);
        // Half a cell along x from a site is the middle of an octahedron.
        let half = 0.5 * crystal.cell.vectors.x_axis.x / 3.0;
        let [one, two] = [40, 70].map(|atom: usize| {
            let mut pair = crystal.clone();
            pair.positions[atom] = crystal.positions[0] + DVec3::X * half;
            pair
        });
        let defects = [one, two];
        let workshop = Workshop { defects: &defects, ..Workshop::of(&potential, &crystal) };
        let pool = ThermalPool {
            temperatures_k: vec![20.0, 40.0],
            interval_fs: 1.0,
            frames: 2,
            with_defects: None,
            at_most: None,
        };
        let candidates = make(&workshop, &pool, &Silent).expect("candidates");
        assert_eq!(candidates.len(), 3 * 2 * 2);
        for (name, begun) in [("", &crystal), ("pair1-", &defects[0]), ("pair2-", &defects[1])] {
            for (temperature, frame) in [(20, 1), (20, 2), (40, 1), (40, 2)] {
                let id = format!("thermal-{name}{temperature}K-{frame}-aaaaaaaa-1");
                let found = candidates.iter().find(|c| c.id == id).expect("a candidate of this name");
                let moved = found.atoms.positions.iter().zip(&begun.positions).map(|(a, b)| a.distance(*b));
                let farthest = moved.fold(0.0, f64::max);
                assert!(farthest > 1e-4 && farthest < 0.3, "{id}: {farthest}");
                assert_eq!(
                    (found.pool, found.details.get("temperature")),
                    (Pool::Thermal, Some(&*temperature.to_string()))
                );
            }
        }
    }
}
