//! Frames of recoil cascades: what the potential will be asked for, and where it is asked farthest from its data.

use super::{Candidate, Pool, Workshop};
use crate::cascade::{Checkpoint, PerfectBox, RecoilSettings, RecoilTask, Thermalization, run_recoil};
use crate::dynamics::QuenchSettings;
use crate::progress::{Progress, Silent};
use crate::{Atoms, Error, Species};
use glam::DVec3;
use rand::RngExt;
use rand_distr::UnitSphere;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Recoils of each species and energy into random directions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CascadePool {
    /// Elements that recoil.
    pub species: Vec<Species>,
    /// Recoil energies in eV.
    pub energies_ev: Vec<f64>,
    /// Recoils of each species and energy.
    pub recoils: usize,
    /// Temperature before the recoil, in K.
    pub temperature_k: f64,
    /// Times after the kick at which frames are taken, in fs.
    pub frame_times_fs: Vec<f64>,
    /// Also take the box that is quenched after the last frame.
    pub quenched: bool,
    /// At most this many of the choices, of quenched boxes and of frames under way each.
    #[serde(default)]
    pub at_most: Option<usize>,
}

const SKIN_ANGSTROM: f64 = 0.3;
/// Boxes small enough to label are warm by then.
const THERMALIZATION_FS: f64 = 200.0;
/// Name of the last frame.
const QUENCHED: &str = "quenched";
/// Far more than these short recoils take; a hole of the potential would take them all.
const MAX_STEPS: u64 = 50_000;

pub(super) fn make(
    workshop: &Workshop<'_>,
    pool: &CascadePool,
    progress: &dyn Progress,
) -> Result<Vec<Candidate>, Error> {
    let mut recoils = Vec::new();
    for species in &pool.species {
        let (crystal, quench) = (workshop.crystal.clone(), QuenchSettings::default());
        let perfect = Arc::new(PerfectBox::new(workshop.potential, crystal, *species, quench, SKIN_ANGSTROM)?);
        for energy_ev in &pool.energies_ev {
            recoils.extend((1..=pool.recoils).map(|k| (*species, perfect.clone(), *energy_ev, k)));
        }
    }
    workshop.in_parallel(&recoils, progress, |seed, (species, perfect, energy_ev, k)| {
        let name = format!("{species}{energy_ev}-{k}");
        let candidate = |(time, atoms): (String, Atoms)| {
            // Direction and random forces follow from the seed: another model's recoil of the same seed is a relative.
            let details = [
                ("sampler", "knockon select: recoil".to_owned()),
                ("species", species.to_string()),
                ("recoil_energy_ev", energy_ev.to_string()),
                ("recoil", format!("{species}{energy_ev}-{seed}")),
                ("frame", time.clone()),
            ];
            let pool = if time == QUENCHED { Pool::Cascade } else { Pool::HotCascade };
            workshop.candidate(pool, &format!("{name}-{time}"), atoms, &details)
        };
        let frames = frames(workshop, pool, perfect, *energy_ev, seed, &|error| {
            progress.message(&format!("recoil {name} is followed no further: {error}"));
        })?;
        Ok(frames.into_iter().map(candidate).collect())
    })
}

/// Frames of one recoil with their names. If it falls into a hole of the potential, those before are the most telling of all.
fn frames(
    workshop: &Workshop<'_>,
    pool: &CascadePool,
    perfect: &PerfectBox,
    energy_ev: f64,
    seed: u64,
    report: &dyn Fn(&Error),
) -> Result<Vec<(String, Atoms)>, Error> {
    let thermal = Thermalization::for_one_start(pool.temperature_k, THERMALIZATION_FS);
    let start = perfect.one_start(workshop.potential, &thermal, seed)?;
    let direction = DVec3::from_array(Pcg64::new(u128::from(seed), 5).sample(UnitSphere));
    let settings = RecoilSettings {
        // Without the quenched frame the quench is only there because every recoil ends with one.
        quench: QuenchSettings { max_evaluations: if pool.quenched { 3000 } else { 1 }, ..QuenchSettings::default() },
        skin_angstrom: SKIN_ANGSTROM,
        max_steps: MAX_STEPS,
        ..RecoilSettings::lasting(pool.frame_times_fs.iter().copied().fold(1.0, f64::max))
    };
    let mut times = pool.frame_times_fs.clone();
    times.sort_by(f64::total_cmp);
    let task = RecoilTask {
        potential: workshop.potential,
        perfect,
        start: &start,
        energy_ev,
        direction,
        settings: &settings,
        seed,
        grades: None,
        frames_fs: &[],
    };
    let (mut taken, mut next) = (Vec::new(), 0);
    let followed = run_recoil(&task, &mut Checkpoint::nowhere(&Silent), &mut |simulation| {
        while next < times.len() && simulation.time_fs() >= times[next] - 1e-6 {
            taken.push((format!("{}fs", times[next]), simulation.atoms().clone()));
            next += 1;
        }
    });
    match followed {
        Ok(followed) if pool.quenched => taken.push((QUENCHED.to_owned(), followed.quenched)),
        Ok(_) => {}
        Err(error @ Error::Computation { .. }) => report(&error),
        Err(other) => return Err(other),
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::Simulation;
    use crate::dynamics::testing::{argon_like, element};

    /// The quenched box comes last and is of another class than frames under way, which it does not change.
    #[test]
    fn the_quenched_box_comes_after_the_frames() {
        let (potential, crystal) = argon_like([3, 3, 3]);
        let workshop = Workshop::of(&potential, &crystal);
        let made = |quenched: bool| {
            let pool = CascadePool {
                species: vec![element("Ar")],
                energies_ev: vec![5.0],
                recoils: 1,
                temperature_k: 20.0,
                frame_times_fs: vec![20.0, 5.0],
                quenched,
                at_most: None,
            };
            make(&workshop, &pool, &Silent).expect("candidates")
        };
        let (with, without) = (made(true), made(false));
        let ids: Vec<&str> = with.iter().map(|c| c.id.as_str()).collect();
        let expected = [
            "hot_cascade-Ar5-1-5fs-aaaaaaaa-1",
            "hot_cascade-Ar5-1-20fs-aaaaaaaa-1",
            "cascade-Ar5-1-quenched-aaaaaaaa-1",
        ];
        assert_eq!(ids, expected);
        assert_eq!(
            with.iter().map(|c| c.pool).collect::<Vec<_>>(),
            [Pool::HotCascade, Pool::HotCascade, Pool::Cascade]
        );
        assert!(without.len() == 2 && without.iter().zip(&with).all(|(a, b)| a.id == b.id && a.atoms == b.atoms));
        let largest_force = |candidate: &Candidate| {
            let simulation = Simulation::new(&potential, candidate.atoms.clone(), 0.3).expect("energies");
            simulation.evaluation().max_force_ev_per_angstrom()
        };
        assert!(largest_force(&with[1]) > 0.1 && largest_force(&with[2]) <= 1e-3 + 1e-6);
        let recoils: Vec<_> = with.iter().map(|c| c.details.get("recoil")).collect();
        assert!(recoils.iter().all(|recoil| recoil.is_some() && *recoil == recoils[0]), "{recoils:?}");
    }
}
