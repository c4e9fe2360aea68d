//! Molecular dynamics that stays crystalline and conserves energy.

use super::{Check, CheckSettings};
use crate::dynamics::{Bath, QuenchSettings, Simulation, ensure_relaxed, quench, thermal_velocities};
use crate::{Atoms, Error, Potential};
use glam::DVec3;
use rand_pcg::Pcg64;

/// Friction of the bath: fast enough to equilibrate a box in a few hundred femtoseconds.
const FRICTION_PER_FS: f64 = 0.01;
/// The runs differ from each other only by their temperature; a check has one seed.
const SEED: u64 = 20_240_630;

/// A run with a bath, then one without, from the relaxed crystal.
pub(super) fn check(
    potential: &dyn Potential,
    crystal: &Atoms,
    temperature_k: f64,
    settings: &CheckSettings,
) -> Vec<Check> {
    let names = ["NVT", "NVE"].map(|ensemble| format!("{ensemble} at {temperature_k} K"));
    match run(potential, crystal, temperature_k, settings) {
        Ok(found) => found.into_iter().zip(&names).map(|(run, name)| run.verdict(name, settings)).collect(),
        Err(error) => names.iter().flat_map(|name| Check::failed(name, &error)).collect(),
    }
}

/// Shakes a box out of its crystal and lets it fall into the nearest minimum: one below the crystal is a hole in the
/// potential into which cascades would fall, and their stored energies with them.
pub(super) fn check_disorder(potential: &dyn Potential, crystal: &Atoms, settings: &CheckSettings) -> Vec<Check> {
    let name = format!("energy of disorder at {} K", settings.disorder_temperature_k);
    match disorder_energy_ev(potential, crystal, settings) {
        Ok((energy_ev, farthest)) => {
            let detail = format!("quenched box of {} atoms, farthest {farthest:.1} A from its site", {
                crystal.len() * settings.repeat.iter().product::<usize>()
            });
            vec![Check::new(&name, energy_ev, "eV", "above the crystal".into(), energy_ev > -1e-3, detail)]
        }
        Err(error) => Check::failed(&name, &error),
    }
}

/// Energy of the quenched box less that of the crystal, and how far its atoms went.
fn disorder_energy_ev(
    potential: &dyn Potential,
    crystal: &Atoms,
    settings: &CheckSettings,
) -> Result<(f64, f64), Error> {
    let sites = crystal.supercell(settings.repeat);
    let mut simulation = Simulation::new(potential, sites.clone(), 0.5)?;
    let crystal_ev = simulation.potential_energy_ev();
    let temperature_k = settings.disorder_temperature_k;
    let velocities =
        thermal_velocities(simulation.masses_u(), 2.0 * temperature_k, &mut Pcg64::new(u128::from(SEED), 2));
    simulation.set_velocities(velocities);
    let mut bath = Bath::new(temperature_k, vec![FRICTION_PER_FS; sites.len()], SEED);
    // Hot atoms need shorter steps.
    let short = CheckSettings { time_step_fs: 0.5 * settings.time_step_fs, ..settings.clone() };
    follow(&mut simulation, &sites, Some(&mut bath), &short)?;
    let found = quench(&mut simulation, &QuenchSettings { max_force_ev_per_angstrom: 0.01, ..Default::default() })?;
    ensure_relaxed("the disordered box", found.converged, found.max_force_ev_per_angstrom)?;
    Ok((found.energy_ev - crystal_ev, largest_displacement(simulation.atoms(), &sites)))
}

struct Run {
    /// Largest distance of an atom from its site at any time, in angstrom.
    farthest_angstrom: f64,
    mean_temperature_k: f64,
    /// Change of the total energy per atom and ps; none with a bath.
    drift_ev_per_atom_ps: Option<f64>,
}

impl Run {
    fn verdict(&self, name: &str, settings: &CheckSettings) -> Check {
        let limit = settings.max_displacement_angstrom;
        let crystalline = self.farthest_angstrom < limit;
        let temperature = format!("mean temperature {:.0} K", self.mean_temperature_k);
        let (conserves, detail) = match self.drift_ev_per_atom_ps {
            Some(drift) => (
                drift.abs() < settings.max_drift_ev_per_atom_ps,
                format!("{temperature}, energy drift {:+.4} meV/atom/ps", 1000.0 * drift),
            ),
            None => (true, temperature),
        };
        let wanted = format!("no atom farther than {limit} A from its site");
        Check::new(name, self.farthest_angstrom, "angstrom", wanted, crystalline && conserves, detail)
    }
}

fn run(
    potential: &dyn Potential,
    crystal: &Atoms,
    temperature_k: f64,
    settings: &CheckSettings,
) -> Result<[Run; 2], Error> {
    let sites = crystal.supercell(settings.repeat);
    let n_atoms = sites.len();
    let mut simulation = Simulation::new(potential, sites.clone(), 0.5)?;
    // Half of the initial kinetic energy goes into the displacements: equipartition.
    let velocities =
        thermal_velocities(simulation.masses_u(), 2.0 * temperature_k, &mut Pcg64::new(u128::from(SEED), 1));
    simulation.set_velocities(velocities);
    let mut bath = Bath::new(temperature_k, vec![FRICTION_PER_FS; n_atoms], SEED);
    let with_bath = follow(&mut simulation, &sites, Some(&mut bath), settings)?;
    let start = simulation.total_energy_ev();
    let mut without = follow(&mut simulation, &sites, None, settings)?;
    let change = simulation.total_energy_ev() - start;
    without.drift_ev_per_atom_ps = Some(change / n_atoms as f64 / (1e-3 * settings.run_time_fs));
    Ok([with_bath, without])
}

fn follow(
    simulation: &mut Simulation<'_>,
    sites: &Atoms,
    mut bath: Option<&mut Bath>,
    settings: &CheckSettings,
) -> Result<Run, Error> {
    let steps = (settings.run_time_fs / settings.time_step_fs).ceil() as usize;
    let (mut farthest, mut temperature) = (0.0_f64, 0.0);
    for step in 0..steps {
        simulation.step(settings.time_step_fs, bath.as_deref_mut())?;
        temperature += simulation.temperature_k();
        if step % 10 == 9 || step + 1 == steps {
            farthest = farthest.max(largest_displacement(simulation.atoms(), sites));
        }
    }
    Ok(Run { farthest_angstrom: farthest, mean_temperature_k: temperature / steps as f64, drift_ev_per_atom_ps: None })
}

/// Largest displacement relative to the mean one, which a bath lets wander.
fn largest_displacement(atoms: &Atoms, sites: &Atoms) -> f64 {
    let displacement = |(a, b): (&DVec3, &DVec3)| *a - *b;
    let mean = atoms.positions.iter().zip(&sites.positions).map(displacement).sum::<DVec3>() / atoms.len() as f64;
    atoms.positions.iter().zip(&sites.positions).map(|p| (displacement(p) - mean).length()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::{PairPotential, argon_like};

    fn settings() -> CheckSettings {
        CheckSettings { repeat: [2, 2, 2], run_time_fs: 400.0, time_step_fs: 2.0, ..CheckSettings::default() }
    }

    #[test]
    fn disorder_costs_energy_and_a_hole_is_found() {
        let (potential, atoms) = argon_like([1, 1, 1]);
        let hot = CheckSettings { disorder_temperature_k: 3000.0, ..settings() };
        let found = check_disorder(&potential, &atoms, &hot);
        assert!(found[0].passed && found[0].value > 0.0, "{found:?}");
        // A crystal stretched far beyond its minimum: anything else lies below it.
        let mut stretched = atoms.clone();
        stretched.cell.vectors *= 1.25;
        stretched.positions.iter_mut().for_each(|p| *p *= 1.25);
        assert!(!check_disorder(&potential, &stretched, &hot)[0].passed);
    }

    #[test]
    fn stiff_crystal_passes() {
        let (potential, atoms) = argon_like([1, 1, 1]);
        let checks = check(&potential, &atoms, 100.0, &settings());
        assert_eq!(checks.len(), 2);
        assert!(checks.iter().all(|c| c.passed), "{checks:?}");
    }

    #[test]
    fn crystal_that_only_repels_fails() {
        let (_, atoms) = argon_like([1, 1, 1]);
        let mut hot = settings();
        hot.run_time_fs = 1500.0;
        let checks = check(&PairPotential::repulsion(2.0), &atoms, 1000.0, &hot);
        assert!(checks.iter().all(|c| !c.passed), "{checks:?}");
    }
}
