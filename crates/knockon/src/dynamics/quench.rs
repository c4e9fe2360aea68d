//! Local minima: of the positions in a fixed cell, and of positions and cell together.

use super::Simulation;
use super::minimize::{Descent, Objective, minimize};
use crate::{Atoms, Cell, Error, Potential};
use glam::{DMat3, DVec3};
use serde::{Deserialize, Serialize};

/// When a search for a minimum ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuenchSettings {
    /// Largest force on an atom in eV/angstrom at the minimum.
    pub max_force_ev_per_angstrom: f64,
    /// Largest component of the stress in eV/angstrom^3, where the cell relaxes too.
    pub max_stress_ev_per_angstrom3: f64,
    /// The search gives up after this many evaluations.
    pub max_evaluations: usize,
}

impl Default for QuenchSettings {
    fn default() -> Self {
        Self { max_force_ev_per_angstrom: 1e-3, max_stress_ev_per_angstrom3: 1e-5, max_evaluations: 3000 }
    }
}

/// What a search for a minimum found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quenched {
    /// Potential energy in eV at the minimum.
    pub energy_ev: f64,
    /// Largest force on an atom that may move, in eV/angstrom, there.
    pub max_force_ev_per_angstrom: f64,
    /// Evaluations of the potential that it took.
    pub evaluations: u64,
    /// False if the search gave up before the force was small enough.
    pub converged: bool,
}

/// Moves the atoms of a simulation to the local minimum of the potential energy and sets them at rest.
pub fn quench(simulation: &mut Simulation<'_>, settings: &QuenchSettings) -> Result<Quenched, Error> {
    quench_others(simulation, settings, &[])
}

/// As [`quench`], but some atoms stay where they are; the force on them does not count for convergence.
pub fn quench_others(
    simulation: &mut Simulation<'_>,
    settings: &QuenchSettings,
    frozen: &[usize],
) -> Result<Quenched, Error> {
    search(simulation, settings, frozen, None, &mut |_, _| Ok(()))
}

/// As [`quench`]; `watch` sees each accepted step and may end the search with an error. Given a descent that it saw, and
/// the simulation as it was then, the search goes on from there to the same bits.
pub fn quench_on(
    simulation: &mut Simulation<'_>,
    settings: &QuenchSettings,
    descent: Option<Descent>,
    watch: &mut Watch<'_>,
) -> Result<Quenched, Error> {
    search(simulation, settings, &[], descent, watch)
}

fn search(
    simulation: &mut Simulation<'_>,
    settings: &QuenchSettings,
    frozen: &[usize],
    descent: Option<Descent>,
    watch: &mut Watch<'_>,
) -> Result<Quenched, Error> {
    let positions = simulation.atoms().positions.clone();
    let mut is_free = vec![true; positions.len()];
    frozen.iter().for_each(|atom| is_free[*atom] = false);
    let mut objective = Positions { simulation, max_force: settings.max_force_ev_per_angstrom, is_free, watch };
    let mut descent = match descent {
        Some(descent) => descent,
        None => Descent::new(&mut objective, positions)?,
    };
    let converged = minimize(&mut objective, &mut descent, settings.max_evaluations)?;
    let max_force_ev_per_angstrom = objective.max_force();
    simulation.set_velocities(vec![DVec3::ZERO; simulation.atoms().len()]);
    Ok(Quenched {
        energy_ev: simulation.potential_energy_ev(),
        max_force_ev_per_angstrom,
        evaluations: descent.evaluations() as u64,
        converged,
    })
}

/// Sees the simulation after each accepted step of a quench.
pub type Watch<'w> = dyn FnMut(&Simulation<'_>, &Descent) -> Result<(), Error> + 'w;

struct Positions<'s, 'p, 'w> {
    simulation: &'s mut Simulation<'p>,
    max_force: f64,
    is_free: Vec<bool>,
    watch: &'s mut Watch<'w>,
}

impl Positions<'_, '_, '_> {
    /// Largest force on an atom that may move.
    fn max_force(&self) -> f64 {
        let free = self.simulation.evaluation().forces.iter().zip(&self.is_free).filter(|(_, is_free)| **is_free);
        free.map(|(force, _)| force.length_squared()).fold(0.0, f64::max).sqrt()
    }
}

impl Objective for Positions<'_, '_, '_> {
    fn evaluate(&mut self, x: &[DVec3], gradient: &mut [DVec3]) -> Result<f64, Error> {
        self.simulation.set_positions(x)?;
        let forces = &self.simulation.evaluation().forces;
        for ((gradient, force), is_free) in gradient.iter_mut().zip(forces).zip(&self.is_free) {
            *gradient = if *is_free { -*force } else { DVec3::ZERO };
        }
        Ok(self.simulation.potential_energy_ev())
    }

    fn accepted(&mut self, descent: &Descent) -> Result<(), Error> {
        (self.watch)(self.simulation, descent)
    }

    fn converged(&self) -> bool {
        self.max_force() <= self.max_force
    }
}

/// A crystal without forces and without stress.
#[derive(Clone, Debug)]
pub struct RelaxedCell {
    /// The relaxed crystal.
    pub atoms: Atoms,
    /// The search.
    pub quenched: Quenched,
    /// Stress in eV/angstrom^3 that is left, Voigt order xx yy zz yz xz xy, positive in tension.
    pub stress_ev_per_angstrom3: [f64; 6],
}

/// Relaxes positions and cell of a fully periodic crystal together. The cell only stretches and shears: it does not
/// rotate.
pub fn relax_cell(potential: &dyn Potential, atoms: &Atoms, settings: &QuenchSettings) -> Result<RelaxedCell, Error> {
    if !atoms.cell.periodic.all() {
        let found =
            format!("expected a cell that is periodic in all directions, found {}", atoms.cell.periodic_in_words());
        return Err(Error::input("cell relaxation", found, "Relax the positions only, or give a periodic crystal"));
    }
    // Stretching the cell by u / sqrt(N) costs about as much energy as moving one atom by u.
    let scale = (atoms.len() as f64).sqrt();
    let mut objective = CellAndPositions {
        simulation: Simulation::new(potential, atoms.clone(), 0.1)?,
        start: atoms.cell,
        scale,
        settings: *settings,
    };
    let mut x = atoms.positions.clone();
    x.extend([DVec3::X, DVec3::Y, DVec3::Z].map(|axis| axis * scale));
    let mut descent = Descent::new(&mut objective, x)?;
    let converged = minimize(&mut objective, &mut descent, settings.max_evaluations)?;
    let simulation = objective.simulation;
    let volume = simulation.atoms().cell.volume_angstrom3();
    Ok(RelaxedCell {
        quenched: Quenched {
            energy_ev: simulation.potential_energy_ev(),
            max_force_ev_per_angstrom: simulation.evaluation().max_force_ev_per_angstrom(),
            evaluations: simulation.evaluations,
            converged,
        },
        stress_ev_per_angstrom3: simulation.evaluation().stress(volume),
        atoms: simulation.atoms().clone(),
    })
}

/// A unit cell relaxed as [`relax_cell`] does it. Fails where that did not get as far as asked for: errors of the cell add up over
/// the boxes that are made of it.
pub fn relaxed_unit_cell(
    potential: &dyn Potential,
    unit_cell: &Atoms,
    settings: &QuenchSettings,
) -> Result<Atoms, Error> {
    let RelaxedCell { atoms, quenched, .. } = relax_cell(potential, unit_cell, settings)?;
    if !quenched.converged {
        let keep = "keep the cell as it is (relax_cell = false, --keep-cell)";
        return Err(not_relaxed("the unit cell", quenched.max_force_ev_per_angstrom, &format!("{MORE}, or {keep}")));
    }
    Ok(atoms)
}

/// Fails if the search for the minimum that `name` is to be in gave up: what is built of it, or is a difference from its
/// energy, would be off.
pub fn ensure_relaxed(name: &str, converged: bool, max_force_ev_per_angstrom: f64) -> Result<(), Error> {
    if converged {
        return Ok(());
    }
    Err(not_relaxed(name, max_force_ev_per_angstrom, MORE))
}

/// What helps any search for a minimum that gave up.
const MORE: &str = "Allow more max_evaluations, or start closer to the minimum";

fn not_relaxed(name: &str, max_force_ev_per_angstrom: f64, remedy: &str) -> Error {
    let problem =
        format!("{name} did not relax as far as asked for (largest force left: {max_force_ev_per_angstrom:.1e} eV/A)");
    Error::computation(problem, remedy)
}

/// The variables are the positions before deformation and, as three more vectors, the columns of the deformation F
/// times `scale`: r = F u, cell = F cell_0 (Tadmor et al., Phys. Rev. B 59, 235 (1999)).
struct CellAndPositions<'p> {
    simulation: Simulation<'p>,
    start: Cell,
    scale: f64,
    settings: QuenchSettings,
}

impl Objective for CellAndPositions<'_> {
    fn evaluate(&mut self, x: &[DVec3], gradient: &mut [DVec3]) -> Result<f64, Error> {
        let (atoms, columns) = x.split_at(x.len() - 3);
        let deformation = DMat3::from_cols(columns[0], columns[1], columns[2]) * (1.0 / self.scale);
        if deformation.determinant() < 0.2 {
            let problem = "the cell collapsed during its relaxation";
            return Err(Error::computation(problem, "Start closer to the minimum or check the model's pair scans"));
        }
        let cell = Cell { vectors: deformation * self.start.vectors, ..self.start };
        let positions: Vec<DVec3> = atoms.iter().map(|u| deformation * *u).collect();
        self.simulation.set_cell_and_positions(cell, &positions)?;

        let evaluation = self.simulation.evaluation();
        let transposed = deformation.transpose();
        for (gradient, force) in gradient.iter_mut().zip(&evaluation.forces) {
            *gradient = -(transposed * *force);
        }
        // dE/dF = (dE/d strain) F^-T; its symmetric part, so that the cell does not rotate.
        let slope = evaluation.strain_derivative_ev * transposed.inverse();
        let symmetric = (slope + slope.transpose()) * (0.5 / self.scale);
        let n = gradient.len();
        gradient[n - 3..].copy_from_slice(&[symmetric.x_axis, symmetric.y_axis, symmetric.z_axis]);
        Ok(self.simulation.potential_energy_ev())
    }

    fn converged(&self) -> bool {
        let evaluation = self.simulation.evaluation();
        let stress = evaluation.stress(self.simulation.atoms().cell.volume_angstrom3());
        evaluation.max_force_ev_per_angstrom() <= self.settings.max_force_ev_per_angstrom
            && stress.iter().all(|s| s.abs() <= self.settings.max_stress_ev_per_angstrom3)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{argon_like, cubic_cell};
    use super::*;
    use crate::dynamics::thermal_velocities;
    use rand_pcg::Pcg64;

    #[test]
    fn quench_of_a_hot_crystal_finds_the_crystal() {
        let (potential, atoms) = argon_like([3, 3, 3]);
        let mut simulation = Simulation::new(&potential, atoms, 0.5).expect("a simulation");
        let perfect = simulation.potential_energy_ev();
        simulation.set_velocities(thermal_velocities(simulation.masses_u(), 600.0, &mut Pcg64::new(1, 1)));
        for _ in 0..300 {
            simulation.step(2.0, None).expect("a step");
        }
        assert!(simulation.potential_energy_ev() > perfect + 2.0);
        let found = quench(&mut simulation, &QuenchSettings::default()).expect("a minimum");
        assert!(found.converged && found.max_force_ev_per_angstrom <= 1e-3);
        assert!((found.energy_ev - perfect).abs() < 1e-4, "{}", found.energy_ev - perfect);
        assert!(found.evaluations < 60, "{}", found.evaluations);
    }

    #[test]
    fn cell_relaxation_finds_the_lattice_constant() {
        let (potential, _) = argon_like([1, 1, 1]);
        let energy = |nearest: f64| {
            Simulation::new(&potential, cubic_cell(nearest), 0.1).expect("a simulation").potential_energy_ev()
        };
        // Independent: golden-section search over the one free length of the cubic crystal.
        let (mut low, mut high) = (2.6_f64, 2.9_f64);
        for _ in 0..60 {
            let (a, b) = (high - 0.618_034 * (high - low), low + 0.618_034 * (high - low));
            if energy(a) < energy(b) { high = b } else { low = a }
        }
        let expected = low * std::f64::consts::SQRT_2;

        let mut start = cubic_cell(2.9);
        let shear =
            DMat3::from_cols(DVec3::new(1.01, 0.02, 0.0), DVec3::new(0.02, 0.98, 0.01), DVec3::new(0.0, 0.01, 1.02));
        start.cell.vectors = shear * start.cell.vectors;
        start.positions.iter_mut().for_each(|p| *p = shear * *p);
        start.positions[1] += DVec3::new(0.05, -0.03, 0.02);
        let settings =
            QuenchSettings { max_stress_ev_per_angstrom3: 1e-7, max_force_ev_per_angstrom: 1e-5, ..Default::default() };
        let relaxed = relax_cell(&potential, &start, &settings).expect("a relaxed cell");
        assert!(relaxed.quenched.converged);
        for (axis, other) in [(0, 1), (1, 2), (2, 0)] {
            let (a, b) = (relaxed.atoms.cell.vectors.col(axis), relaxed.atoms.cell.vectors.col(other));
            assert!((a.length() - expected).abs() < 1e-5, "{} {expected}", a.length());
            assert!(a.dot(b).abs() < 1e-4);
        }
    }

    /// A crystal must not be built of a cell on the way.
    #[test]
    fn a_unit_cell_that_did_not_relax_is_refused() {
        let (potential, _) = argon_like([1, 1, 1]);
        let relaxed = |max_evaluations: usize| {
            let settings = QuenchSettings { max_evaluations, ..QuenchSettings::default() };
            relaxed_unit_cell(&potential, &cubic_cell(2.9), &settings)
        };
        let message = relaxed(2).expect_err("too few evaluations").to_string();
        assert!(message.contains("the unit cell did not relax as far as asked for"), "{message}");
        let whole = relax_cell(&potential, &cubic_cell(2.9), &QuenchSettings::default()).expect("a relaxed cell");
        assert_eq!(relaxed(3000).expect("a relaxed cell"), whole.atoms);
    }
}
