//! Recoils in a small box: the surest way to find a hole of the potential is to let cascades fall into it.

use super::{Check, CheckSettings};
use crate::dynamics::{QuenchSettings, Simulation, TimeStep, ensure_relaxed, quench, speed};
use crate::{Atoms, Error, Potential, Species};
use glam::DVec3;
use rand_distr::{Distribution, UnitSphere};
use rand_pcg::Pcg64;

/// The kicks are the same for every potential.
const SEED: u64 = 20_240_630;
/// Rounding and the end of the quench move energies by less than this, in eV.
const TOLERANCE_EV: f64 = 1e-3;
/// A few times what a sound potential needs; atoms that fall into a hole become so fast that steps get ever shorter.
const MAX_STEPS: usize = 5_000;

/// Every species recoils in a few directions from the crystal at rest. The quenched box must lie above the crystal, and
/// cannot lie above it by more than the recoil gave.
pub(super) fn check(potential: &dyn Potential, crystal: &Atoms, settings: &CheckSettings) -> Vec<Check> {
    if settings.recoils_per_species == 0 {
        return Vec::new();
    }
    let species = crystal.elements();
    let name = |species| format!("stored energy of {species} recoils");
    let verdict = |species| match stored_energies_ev(potential, crystal, species, settings) {
        Ok(stored) => vec![judge(&name(species), &stored, settings)],
        Err(error) => Check::failed(&name(species), &error),
    };
    species.into_iter().flat_map(verdict).collect()
}

fn judge(name: &str, stored_ev: &[f64], settings: &CheckSettings) -> Check {
    let energy_ev = settings.recoil_energy_ev;
    let lowest = stored_ev.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = stored_ev.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let detail = format!("{} recoils of {energy_ev} eV, up to {highest:.1} eV", stored_ev.len());
    let passed = lowest > -TOLERANCE_EV && highest < energy_ev;
    Check::new(name, lowest, "eV", "at least zero, and less than the recoil".into(), passed, detail)
}

/// Energies in eV of the quenched boxes less that of the crystal.
fn stored_energies_ev(
    potential: &dyn Potential,
    crystal: &Atoms,
    species: Species,
    settings: &CheckSettings,
) -> Result<Vec<f64>, Error> {
    let sites = crystal.supercell(settings.recoil_repeat);
    let of_species = |atom: &usize| sites.species[*atom] == species;
    let atom = (0..sites.len()).find(of_species).expect("the species is one of the crystal's");
    let mut random = Pcg64::new(u128::from(SEED), 3);
    let mut stored = Vec::with_capacity(settings.recoils_per_species);
    for _ in 0..settings.recoils_per_species {
        let direction = DVec3::from_array(UnitSphere.sample(&mut random));
        stored.push(stored_energy_ev(potential, &sites, atom, direction, settings)?);
    }
    Ok(stored)
}

fn stored_energy_ev(
    potential: &dyn Potential,
    sites: &Atoms,
    atom: usize,
    direction: DVec3,
    settings: &CheckSettings,
) -> Result<f64, Error> {
    let mut simulation = Simulation::new(potential, sites.clone(), 0.5)?;
    let crystal_ev = simulation.potential_energy_ev();
    let mut velocities = vec![DVec3::ZERO; sites.len()];
    velocities[atom] = direction * speed(settings.recoil_energy_ev, simulation.masses_u()[atom]);
    simulation.set_velocities(velocities);
    let limits = TimeStep { max_fs: settings.time_step_fs, ..TimeStep::default() };
    let mut steps_left = MAX_STEPS;
    while simulation.time_fs() < settings.run_time_fs {
        if steps_left == 0 {
            let found = format!("a recoil of {} eV takes more than {MAX_STEPS} steps", settings.recoil_energy_ev);
            return Err(Error::computation(found, "Look for a hole of the potential"));
        }
        steps_left -= 1;
        let step_fs = simulation.time_step_fs(&limits);
        simulation.step(step_fs, None)?;
    }
    let found = quench(&mut simulation, &QuenchSettings { max_force_ev_per_angstrom: 0.01, ..Default::default() })?;
    ensure_relaxed("the box of a recoil", found.converged, found.max_force_ev_per_angstrom)?;
    Ok(found.energy_ev - crystal_ev)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::argon_like;

    #[test]
    fn recoils_store_energy_and_a_crystal_above_its_minimum_is_found() {
        let (potential, mut atoms) = argon_like([1, 1, 1]);
        let settings = CheckSettings {
            recoil_repeat: [3, 3, 3],
            recoils_per_species: 2,
            recoil_energy_ev: 40.0,
            time_step_fs: 2.0,
            ..CheckSettings::default()
        };
        let found = check(&potential, &atoms, &settings);
        assert!(found.len() == 1 && found[0].passed && found[0].value > 0.0, "{found:?}");
        // A crystal stretched far beyond its minimum: anything else lies below it.
        atoms.cell.vectors *= 1.25;
        atoms.positions.iter_mut().for_each(|p| *p *= 1.25);
        assert!(!check(&potential, &atoms, &settings)[0].passed);
    }
}
