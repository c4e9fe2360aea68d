//! Local minima of a potential whose evaluations are dear, found along the surface of a cheap one.
//!
//! At the best point so far the cheap potential gets a linear term that gives it the forces of the dear one, and a quadratic
//! term that gives it the changes of these forces between the points known. Its minimum within reach is where the dear one
//! is evaluated next. This is model management with a first-order consistent correction in a trust region (N. M. Alexandrov et
//! al., J. Aircraft 38, 1093 (2001)) with a symmetric multi-secant estimate of the curvature (R. B. Schnabel, 1983).

use super::minimize::{add, dot};
use super::{QuenchSettings, Quenched, Simulation, quench};
use crate::{Atoms, Error, Evaluation, NeighborList, Potential, Species};
use glam::DVec3;

/// No atom moves much farther than this between two evaluations, in angstrom, until the guide has shown how good it is.
const FIRST_REACH: f64 = 0.3;
/// Nor farther than this ever: minima are farther apart.
const LARGEST_REACH: f64 = 0.6;
/// A guide whose reach is smaller is none.
const SMALLEST_REACH: f64 = 0.01;
/// Stiffness of the wall that holds atoms back beyond the reach, in eV/angstrom^2: a few bonds ...
const STIFFNESS: f64 = 100.0;
/// ... and for short reaches so much that the forces known take no atom farther beyond than this part of the reach.
const BEYOND: f64 = 0.25;
/// An energy of a first-principles code that is higher by less than this may be as low, in eV.
const NOISE: f64 = 1e-3;
/// Steps remembered.
const MEMORY: usize = 8;
/// The guide is cheap: it may take this many evaluations for each of the potential.
const GUIDE_EVALUATIONS: usize = 2000;

/// A point at which the dear potential is known.
#[derive(Clone)]
struct Point {
    positions: Vec<DVec3>,
    energy_ev: f64,
    max_force: f64,
    /// Forces of the dear potential less those of the guide.
    difference: Vec<DVec3>,
}

impl Point {
    fn new(dear: &Simulation<'_>, cheap: &Simulation<'_>) -> Self {
        Self {
            positions: dear.atoms().positions.clone(),
            energy_ev: dear.potential_energy_ev(),
            max_force: dear.evaluation().max_force(),
            difference: subtract(&dear.evaluation().forces, &cheap.evaluation().forces),
        }
    }
}

/// Moves the atoms to a local minimum of `potential` with few evaluations of it, about `settings.max_evaluations` at most, by means of
/// `guide`, which should have about the same minima; one that has not costs evaluations, and may lead to another minimum. Fails as
/// the two potentials do; a search that gave up says so in what it returns.
pub fn quench_guided(
    potential: &dyn Potential,
    guide: &dyn Potential,
    atoms: &Atoms,
    settings: &QuenchSettings,
) -> Result<(Atoms, Quenched), Error> {
    let mut dear = Simulation::new(potential, atoms.clone(), 0.5)?;
    let mut cheap = Simulation::new(guide, atoms.clone(), 0.5)?;
    let mut best = Point::new(&dear, &cheap);
    let (mut others, mut reach, mut evaluations) = (Vec::new(), FIRST_REACH, 1);
    while best.max_force > settings.max_force_ev_per_angstrom
        && evaluations < settings.max_evaluations
        && reach > SMALLEST_REACH
    {
        let surrogate = Surrogate::new(guide, &best, &others, reach);
        let (positions, expected) = surrogate.minimum(atoms, best.max_force)?;
        let longest = positions.iter().zip(&best.positions).map(|(a, b)| a.distance(*b)).fold(0.0, f64::max);
        dear.set_positions(&positions)?;
        cheap.set_positions(&positions)?;
        let trial = Point::new(&dear, &cheap);
        evaluations += 1;
        let change = trial.energy_ev - best.energy_ev;
        if change > 0.25 * expected + NOISE {
            reach = 0.5 * longest.min(reach);
        } else if change < 0.75 * expected {
            reach = (2.0 * longest).clamp(reach, LARGEST_REACH);
        }
        let better = change < 0.0 || (change < NOISE && trial.max_force < best.max_force);
        others.push(if better { std::mem::replace(&mut best, trial) } else { trial });
    }
    // Where the guide leads nowhere, the potential finds the rest of the way alone.
    dear.set_positions(&best.positions)?;
    let alone = QuenchSettings { max_evaluations: (settings.max_evaluations - evaluations).max(1), ..*settings };
    let quenched = quench(&mut dear, &alone)?;
    // The first evaluation of the quench was the last one here.
    let evaluations = evaluations as u64 + quenched.evaluations - 1;
    Ok((dear.atoms().clone(), Quenched { evaluations, ..quenched }))
}

/// The guide with the corrections known at one point, within reach of it.
struct Surrogate<'p> {
    guide: &'p dyn Potential,
    center: &'p Point,
    reach: f64,
    stiffness: f64,
    curvature: Curvature,
}

impl<'p> Surrogate<'p> {
    fn new(guide: &'p dyn Potential, center: &'p Point, others: &[Point], reach: f64) -> Self {
        let stiffness = STIFFNESS.max(center.max_force / (BEYOND * reach));
        Self { guide, center, reach, stiffness, curvature: Curvature::new(center, others) }
    }

    /// Its minimum, and how much lower than at the center it is there in eV. One that is not quite reached is as good.
    fn minimum(&self, atoms: &Atoms, max_force: f64) -> Result<(Vec<DVec3>, f64), Error> {
        let start = Atoms { positions: self.center.positions.clone(), ..atoms.clone() };
        let mut simulation = Simulation::new(self, start, 0.5)?;
        let before = simulation.potential_energy_ev();
        let settings = QuenchSettings {
            max_force_ev_per_angstrom: 0.01 * max_force,
            max_evaluations: GUIDE_EVALUATIONS,
            ..QuenchSettings::default()
        };
        quench(&mut simulation, &settings)?;
        Ok((simulation.atoms().positions.clone(), simulation.potential_energy_ev() - before))
    }
}

impl Potential for Surrogate<'_> {
    fn cutoff_angstrom(&self) -> f64 {
        self.guide.cutoff_angstrom()
    }

    fn species(&self) -> &[Species] {
        self.guide.species()
    }

    /// The strain derivative stays that of the guide: cells do not change here.
    fn evaluate(&self, atoms: &Atoms, neighbors: &NeighborList, evaluation: &mut Evaluation) -> Result<(), Error> {
        self.guide.evaluate(atoms, neighbors, evaluation)?;
        let displacement = subtract(&atoms.positions, &self.center.positions);
        let curved = self.curvature.times(&displacement);
        for (i, d) in displacement.iter().enumerate() {
            let length = d.length();
            let beyond = (length - self.reach).max(0.0);
            // The second term outgrows any quadratic correction.
            let (squared, steeper) = (beyond * beyond, (beyond / self.reach).powi(2));
            evaluation.energies_ev[i] += d.dot(0.5 * curved[i] - self.center.difference[i])
                + 0.5 * self.stiffness * squared * (1.0 + 0.5 * steeper);
            evaluation.forces[i] += self.center.difference[i] - curved[i];
            if beyond > 0.0 {
                evaluation.forces[i] -= *d * (self.stiffness * beyond * (1.0 + steeper) / length);
            }
        }
        Ok(())
    }
}

/// The symmetric matrix of least norm that maps the steps between known points to the changes of the gradient there:
/// G Q^T + Q G^T - Q (Q^T G) Q^T for orthonormal steps Q and their changes G.
struct Curvature {
    steps: Vec<Vec<DVec3>>,
    changes: Vec<Vec<DVec3>>,
}

impl Curvature {
    fn new(center: &Point, others: &[Point]) -> Self {
        let mut curvature = Self { steps: Vec::new(), changes: Vec::new() };
        // The nearest points say most of the curvature here.
        let mut pairs: Vec<_> = others
            .iter()
            .map(|other| {
                // The difference of energies has the gradient of minus the difference of forces.
                (subtract(&other.positions, &center.positions), subtract(&center.difference, &other.difference))
            })
            .collect();
        pairs.sort_by(|a, b| dot(&a.0, &a.0).total_cmp(&dot(&b.0, &b.0)));
        for (mut step, mut change) in pairs.into_iter().take(MEMORY) {
            let length = dot(&step, &step).sqrt();
            for (q, g) in curvature.steps.iter().zip(&curvature.changes) {
                let along = dot(q, &step);
                add(&mut step, q, -along);
                add(&mut change, g, -along);
            }
            let rest = dot(&step, &step).sqrt();
            // A step along earlier ones says nothing new, only loudly.
            if rest > 0.1 * length {
                step.iter_mut().chain(&mut change).for_each(|v| *v /= rest);
                curvature.steps.push(step);
                curvature.changes.push(change);
            }
        }
        curvature
    }

    fn times(&self, d: &[DVec3]) -> Vec<DVec3> {
        let along: Vec<f64> = self.steps.iter().map(|q| dot(q, d)).collect();
        let mut product = vec![DVec3::ZERO; d.len()];
        for (i, (q, g)) in self.steps.iter().zip(&self.changes).enumerate() {
            let inside: f64 = along.iter().enumerate().map(|(j, t)| self.between(i, j) * t).sum();
            add(&mut product, g, along[i]);
            add(&mut product, q, dot(g, d) - inside);
        }
        product
    }

    /// An element of Q^T G, which rounding and curved surfaces leave not quite symmetric.
    fn between(&self, i: usize, j: usize) -> f64 {
        0.5 * (dot(&self.steps[i], &self.changes[j]) + dot(&self.steps[j], &self.changes[i]))
    }
}

fn subtract(a: &[DVec3], b: &[DVec3]) -> Vec<DVec3> {
    a.iter().zip(b).map(|(a, b)| *a - *b).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PairPotential, cubic_cell};
    use super::*;
    use crate::dynamics::thermal_velocities;
    use rand_pcg::Pcg64;

    fn rattled() -> Atoms {
        let mut atoms = cubic_cell(2.8).supercell([3, 3, 3]);
        // A vacancy, so that the minimum is not the perfect lattice.
        atoms.species.pop();
        atoms.positions.pop();
        let displacements = thermal_velocities(&atoms.masses_u(), 300.0, &mut Pcg64::new(1, 1));
        let largest = displacements.iter().map(|d| d.length()).fold(0.0, f64::max);
        atoms.positions.iter_mut().zip(displacements).for_each(|(x, d)| *x += d * (0.25 / largest));
        atoms
    }

    #[test]
    fn a_guide_saves_most_evaluations_and_leads_to_the_same_minimum() {
        let potential = PairPotential::lennard_jones(0.6, 2.8, 4.6);
        let guide = PairPotential::lennard_jones(0.5, 2.83, 4.6);
        let settings = QuenchSettings { max_force_ev_per_angstrom: 1e-4, ..QuenchSettings::default() };
        let (guided, with) = quench_guided(&potential, &guide, &rattled(), &settings).expect("a minimum");
        let mut simulation = Simulation::new(&potential, rattled(), 0.5).expect("a simulation");
        let without = quench(&mut simulation, &settings).expect("a minimum");
        assert!(with.converged && with.max_force_ev_per_angstrom <= 1e-4);
        assert!((with.energy_ev - without.energy_ev).abs() < 1e-6, "{with:?} {without:?}");
        let apart = guided.positions.iter().zip(&simulation.atoms().positions).map(|(a, b)| a.distance(*b));
        assert!(apart.fold(0.0, f64::max) < 1e-3);
        assert!(2 * with.evaluations < without.evaluations, "{} and {}", with.evaluations, without.evaluations);
    }

    #[test]
    fn curvature_is_found_from_steps() {
        // A symmetric matrix on three atoms, seen through three steps of which one repeats another.
        let apply = |d: &[DVec3]| vec![d[0] * 2.0 - d[1], d[1] * 3.0 - d[0] + d[2], d[1] + d[2] * 0.5];
        let point = |positions: Vec<DVec3>| {
            let difference = apply(&positions).into_iter().map(|v| -v).collect();
            Point { positions, energy_ev: 0.0, max_force: 0.0, difference }
        };
        let steps = [vec![DVec3::X, DVec3::Y, DVec3::ZERO], vec![DVec3::ZERO, DVec3::Z, DVec3::ONE]];
        let others: Vec<Point> = steps.iter().chain(&steps[..1]).cloned().map(point).collect();
        let curvature = Curvature::new(&point(vec![DVec3::ZERO; 3]), &others);
        assert_eq!(curvature.steps.len(), 2);
        for step in &steps {
            let (found, expected) = (curvature.times(step), apply(step));
            assert!(found.iter().zip(&expected).all(|(a, b)| a.distance(*b) < 1e-12), "{found:?} {expected:?}");
        }
    }

    #[test]
    fn the_surrogate_has_the_forces_of_its_energy() {
        let guide = PairPotential::lennard_jones(0.4, 2.9, 4.6);
        let atoms = rattled();
        let n = atoms.len();
        let difference: Vec<DVec3> = (0..n).map(|i| DVec3::new(0.1, -0.2, 0.01 * i as f64)).collect();
        let center = Point { positions: atoms.positions.clone(), energy_ev: 0.0, max_force: 0.0, difference };
        let other = Point {
            positions: atoms.positions.iter().map(|x| *x + DVec3::X * 0.1).collect(),
            difference: vec![DVec3::Y; n],
            ..center.clone()
        };
        let surrogate = Surrogate::new(&guide, &center, &[other], 0.05);
        let at = |x: f64| {
            let mut moved = atoms.clone();
            moved.positions[7] += DVec3::new(0.1 + x, 0.02, -0.03);
            let simulation = Simulation::new(&surrogate, moved, 0.5).expect("a simulation");
            (simulation.potential_energy_ev(), simulation.evaluation().forces[7].x)
        };
        let slope = (at(1e-5).0 - at(-1e-5).0) / 2e-5;
        assert!((slope + at(0.0).1).abs() < 1e-6 * slope.abs().max(1.0), "{slope} {}", at(0.0).1);
    }
}
