//! Local minima of a potential whose evaluations are dear, found along the surface of a cheap one.
//!
//! At the best point so far the cheap potential gets a linear term that gives it the forces of the dear one. Its minimum within reach
//! is where the dear one is evaluated next. This is model management with a first-order consistent correction in a trust region
//! (N. M. Alexandrov et al., J. Aircraft 38, 1093 (2001)), with the curvature that the two have along the steps so far as well: a guide half as
//! stiff as the potential would lead from one side of the minimum to the other and back. `validation/guided` measures what it saves.

use super::minimize::{Descent, Objective, minimize};
use super::{QuenchSettings, Quenched, Simulation, quench};
use crate::{Atoms, Error, Evaluation, NeighborList, Potential, Species};
use glam::DVec3;

/// No atom moves much farther than this between two evaluations, in angstrom, until the guide has shown how good it is.
const FIRST_REACH: f64 = 0.15;
/// Nor farther than this ever: minima are farther apart.
const LARGEST_REACH: f64 = 0.3;
/// Where nothing but the guide tells what lies between, minima farther from the only point known than this, in angstrom, are not
/// believed. Labels of a tungsten pair 0.4 and 0.6 A away from its minimum lead to 0.1 eV less than nearer ones (docs/frenkel.md).
const LARGEST_EXPECTED_MOVE: f64 = 0.6;
/// A guide whose reach is smaller is none.
const SMALLEST_REACH: f64 = 0.002;
/// Stiffness of the wall that holds atoms back beyond the reach, in eV/angstrom^2: a few bonds ...
const STIFFNESS: f64 = 100.0;
/// ... and for short reaches so much that the forces known take no atom farther beyond than this part of the reach.
const BEYOND: f64 = 0.25;
/// An energy of a first-principles code that is higher by less than this may be as low, in eV.
const NOISE: f64 = 1e-3;
/// The guide is cheap: it may take this many evaluations for each of the potential.
const GUIDE_EVALUATIONS: usize = 2000;

/// A point at which the dear potential is known.
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
            max_force: dear.evaluation().max_force_ev_per_angstrom(),
            difference: subtract(&dear.evaluation().forces, &cheap.evaluation().forces),
        }
    }
}

/// How much stiffer the dear potential is than the guide, in eV/angstrom^2, along unit vectors.
#[derive(Default)]
struct Curvature(Vec<(Vec<DVec3>, f64)>);

impl Curvature {
    /// With what two points tell beyond that: their differences say how the curvatures differ along the step from one to the other.
    fn learn(&mut self, a: &Point, b: &Point) {
        let step = subtract(&b.positions, &a.positions);
        let square = dot(&step, &step);
        if square > 0.0 {
            let direction: Vec<DVec3> = step.iter().map(|s| *s / square.sqrt()).collect();
            let stiffness = -dot(&subtract(&b.difference, &a.difference), &step) / square;
            let known: f64 = self.0.iter().map(|(u, k)| k * dot(u, &direction).powi(2)).sum();
            self.0.push((direction, stiffness - known));
        }
    }
}

/// Moves the atoms to a local minimum of `potential` with few evaluations of it, about `settings.max_evaluations` at most, by means of
/// `guide`, which should have about the same minima; one that has not costs evaluations, and may lead to another minimum. Of computations
/// that fail only those at the start are errors: anywhere else no result is taken as a high energy, and a search that gave up says so in
/// what it returns.
pub fn quench_guided(
    potential: &dyn Potential,
    guide: &dyn Potential,
    atoms: &Atoms,
    settings: &QuenchSettings,
) -> Result<(Atoms, Quenched), Error> {
    let mut cheap = Simulation::new(guide, atoms.clone(), 0.5)?;
    let mut dear = Simulation::new(potential, atoms.clone(), 0.5)?;
    let mut best = Point::new(&dear, &cheap);
    let (mut reach, mut evaluations, mut curvature) = (FIRST_REACH, 1, Curvature::default());
    while best.max_force > settings.max_force_ev_per_angstrom
        && evaluations < settings.max_evaluations
        && reach > SMALLEST_REACH
    {
        let surrogate = Surrogate::new(guide, &best, &curvature, reach);
        let near = QuenchSettings {
            max_force_ev_per_angstrom: 0.01 * best.max_force,
            max_evaluations: GUIDE_EVALUATIONS,
            ..QuenchSettings::default()
        };
        // One that is not quite reached is as good.
        let Some((positions, expected, _)) = unless_failed(surrogate.minimum(atoms, &near))? else { break };
        let longest = longest(&positions, &best.positions);
        let trial = evaluate(&mut dear, &mut cheap, &positions)?;
        evaluations += 1;
        let Some(trial) = trial else {
            reach = 0.5 * longest.min(reach);
            continue;
        };
        let change = trial.energy_ev - best.energy_ev;
        curvature.learn(&best, &trial);
        // Of two energies that may be equal the point with the smaller forces counts, else two points could take turns.
        let is_lower = change < -NOISE || (change < NOISE && trial.max_force < best.max_force);
        if !is_lower || change > 0.25 * expected + NOISE {
            reach = 0.5 * longest.min(reach);
        } else if change < 0.75 * expected {
            reach = (2.0 * longest).clamp(reach, LARGEST_REACH);
        }
        if is_lower {
            best = trial;
        }
    }
    // Where the guide leads nowhere, the potential finds the rest of the way alone.
    dear.set_positions(&best.positions)?;
    let left = settings.max_evaluations.saturating_sub(evaluations).max(1);
    let quenched = descend(&mut dear, &QuenchSettings { max_evaluations: left, ..*settings })?;
    // The first evaluation of the quench was the last one here.
    let evaluations = evaluations as u64 + quenched.evaluations - 1;
    Ok((dear.atoms().clone(), Quenched { evaluations, ..quenched }))
}

/// The minimum of a potential that is known at one point alone, as a guide expects it.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedMinimum {
    /// Energy there less that at the point, in eV.
    pub change_ev: f64,
    /// How far the atom that moves farthest is from where it was, in angstrom.
    pub longest_angstrom: f64,
    /// Where it is.
    pub positions: Vec<DVec3>,
}

/// Where the forces of a potential in eV/angstrom, known at `atoms` alone, lead along the surface of `guide`: one step of
/// [`quench_guided`] to its end. None if that is farther than a minimum should be, or if the guide finds no end.
pub fn expected_minimum(
    guide: &dyn Potential,
    atoms: &Atoms,
    forces: &[DVec3],
    settings: &QuenchSettings,
) -> Result<Option<ExpectedMinimum>, Error> {
    let cheap = Simulation::new(guide, atoms.clone(), 0.5)?;
    let mut difference = subtract(forces, &cheap.evaluation().forces);
    // A code's forces need not add up to zero, and there would be no minimum if they did not.
    let mean = difference.iter().sum::<DVec3>() / difference.len().max(1) as f64;
    difference.iter_mut().for_each(|d| *d -= mean);
    let max_force = forces.iter().map(|f| f.length()).fold(0.0, f64::max);
    let center = Point { positions: atoms.positions.clone(), energy_ev: 0.0, max_force, difference };
    let unknown = Curvature::default();
    let surrogate = Surrogate::new(guide, &center, &unknown, LARGEST_EXPECTED_MOVE);
    let Some((positions, change_ev, converged)) = unless_failed(surrogate.minimum(atoms, settings))? else {
        return Ok(None);
    };
    let minimum = ExpectedMinimum { change_ev, longest_angstrom: longest(&positions, &center.positions), positions };
    Ok(Some(minimum).filter(|m| converged && m.longest_angstrom < LARGEST_EXPECTED_MOVE))
}

/// Nothing where a computation failed, as one of electrons that does not converge.
fn unless_failed<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::Computation { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Both potentials there, if both have a result.
fn evaluate(
    dear: &mut Simulation<'_>,
    cheap: &mut Simulation<'_>,
    positions: &[DVec3],
) -> Result<Option<Point>, Error> {
    if unless_failed(cheap.set_positions(positions))?.is_none() {
        return Ok(None);
    }
    Ok(unless_failed(dear.set_positions(positions))?.map(|()| Point::new(dear, cheap)))
}

/// As [`quench`], but a step to where there is no result was only too long.
fn descend(dear: &mut Simulation<'_>, settings: &QuenchSettings) -> Result<Quenched, Error> {
    let start = dear.atoms().positions.clone();
    let mut objective = Alone { dear, max_force: settings.max_force_ev_per_angstrom, failed: false };
    let mut descent = Descent::new(&mut objective, start)?;
    let converged = minimize(&mut objective, &mut descent, settings.max_evaluations)?;
    Ok(Quenched {
        energy_ev: dear.potential_energy_ev(),
        max_force_ev_per_angstrom: dear.evaluation().max_force_ev_per_angstrom(),
        evaluations: descent.evaluations() as u64,
        converged,
    })
}

/// The dear potential without a guide.
struct Alone<'s, 'p> {
    dear: &'s mut Simulation<'p>,
    max_force: f64,
    /// Whether the last point has no result.
    failed: bool,
}

impl Objective for Alone<'_, '_> {
    fn evaluate(&mut self, x: &[DVec3], gradient: &mut [DVec3]) -> Result<f64, Error> {
        self.failed = unless_failed(self.dear.set_positions(x))?.is_none();
        if self.failed {
            return Ok(f64::INFINITY);
        }
        for (gradient, force) in gradient.iter_mut().zip(&self.dear.evaluation().forces) {
            *gradient = -*force;
        }
        Ok(self.dear.potential_energy_ev())
    }

    fn converged(&self) -> bool {
        !self.failed && self.dear.evaluation().max_force_ev_per_angstrom() <= self.max_force
    }
}

/// The guide with the corrections known at one point, within reach of it.
struct Surrogate<'p> {
    guide: &'p dyn Potential,
    center: &'p Point,
    curvature: &'p Curvature,
    reach: f64,
    stiffness: f64,
}

impl<'p> Surrogate<'p> {
    fn new(guide: &'p dyn Potential, center: &'p Point, curvature: &'p Curvature, reach: f64) -> Self {
        let stiffness = STIFFNESS.max(center.max_force / (BEYOND * reach));
        Self { guide, center, curvature, reach, stiffness }
    }

    /// Its minimum, its energy there less that at the center in eV, and whether it was reached.
    fn minimum(&self, atoms: &Atoms, settings: &QuenchSettings) -> Result<(Vec<DVec3>, f64, bool), Error> {
        let start = Atoms { positions: self.center.positions.clone(), ..atoms.clone() };
        let mut simulation = Simulation::new(self, start, 0.5)?;
        let before = simulation.potential_energy_ev();
        let found = quench(&mut simulation, settings)?;
        Ok((simulation.atoms().positions.clone(), found.energy_ev - before, found.converged))
    }
}

impl Potential for Surrogate<'_> {
    fn cutoff_angstrom(&self) -> f64 {
        self.guide.cutoff_angstrom()
    }

    fn species(&self) -> &[Species] {
        self.guide.species()
    }

    fn neighbor_list(&self, atoms: &Atoms, skin_angstrom: f64) -> NeighborList {
        self.guide.neighbor_list(atoms, skin_angstrom)
    }

    /// The strain derivative stays that of the guide: cells do not change here.
    fn evaluate(&self, atoms: &Atoms, neighbors: &NeighborList, evaluation: &mut Evaluation) -> Result<(), Error> {
        self.guide.evaluate(atoms, neighbors, evaluation)?;
        let displacement = subtract(&atoms.positions, &self.center.positions);
        for (i, d) in displacement.iter().enumerate() {
            let length = d.length();
            let beyond = (length - self.reach).max(0.0);
            evaluation.energies_ev[i] += 0.5 * self.stiffness * beyond * beyond - d.dot(self.center.difference[i]);
            evaluation.forces[i] += self.center.difference[i];
            if beyond > 0.0 {
                evaluation.forces[i] -= *d * (self.stiffness * beyond / length);
            }
        }
        for (direction, stiffness) in &self.curvature.0 {
            let along = dot(&displacement, direction);
            evaluation.energies_ev[0] += 0.5 * stiffness * along * along;
            evaluation.forces.iter_mut().zip(direction).for_each(|(force, u)| *force -= *u * (stiffness * along));
        }
        Ok(())
    }
}

/// The largest distance between points of the same number.
fn longest(a: &[DVec3], b: &[DVec3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.distance(*b)).fold(0.0, f64::max)
}

fn dot(a: &[DVec3], b: &[DVec3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.dot(*b)).sum()
}

fn subtract(a: &[DVec3], b: &[DVec3]) -> Vec<DVec3> {
    a.iter().zip(b).map(|(a, b)| *a - *b).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Fails, PairPotential, cubic_cell};
    use super::*;
    use crate::dynamics::thermal_velocities;
    use rand_pcg::Pcg64;
    use std::sync::atomic::{AtomicUsize, Ordering};

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
        // The same but for a translation, which costs nothing.
        let apart = subtract(&guided.positions, &simulation.atoms().positions);
        let mean = apart.iter().sum::<DVec3>() / apart.len() as f64;
        assert!(apart.iter().all(|d| d.distance(mean) < 1e-3), "{mean}");
        assert!(2 * with.evaluations < without.evaluations, "{} and {}", with.evaluations, without.evaluations);
    }

    /// Along the step from one known point to another the surrogate has the force of the dear potential at both ends, whatever it knew before.
    #[test]
    fn two_points_give_the_curvature_between_them() {
        let potential = PairPotential::lennard_jones(0.6, 2.8, 4.6);
        let guide = PairPotential::lennard_jones(0.3, 2.83, 4.6);
        let [mut dear, mut cheap] =
            [&potential, &guide].map(|p| Simulation::new(p, rattled(), 0.5).expect("a simulation"));
        let mut point = |x: f64| {
            let mut positions = rattled().positions;
            positions.iter_mut().zip(0..).for_each(|(p, i)| *p += DVec3::new(x, -x * x, 0.0) * [1.0, -0.5][i % 2]);
            let point = evaluate(&mut dear, &mut cheap, &positions).expect("no error").expect("a result");
            (point, dear.evaluation().forces.clone())
        };
        let [(first, _), (second, forces), (third, _)] = [0.0, 0.05, 0.08].map(&mut point);
        let mut curvature = Curvature::default();
        curvature.learn(&second, &third);
        curvature.learn(&first, &second);
        let there = Atoms { positions: second.positions.clone(), ..rattled() };
        let step = subtract(&second.positions, &first.positions);
        let found = |curvature| {
            let surrogate = Surrogate::new(&guide, &first, curvature, LARGEST_REACH);
            let simulation = Simulation::new(&surrogate, there.clone(), 0.5).expect("a simulation");
            dot(&simulation.evaluation().forces, &step) / dot(&forces, &step)
        };
        assert!((found(&curvature) - 1.0).abs() < 1e-9, "{}", found(&curvature));
        let without = found(&Curvature::default());
        assert!((without - 1.0).abs() > 0.05, "{without}");
    }

    /// A guide with much too long bonds leads to where there is no result; the potential goes on from the best point.
    #[test]
    fn a_guide_that_leads_to_failures_is_left() {
        let potential = PairPotential::lennard_jones(0.6, 2.8, 4.6);
        let start = Simulation::new(&potential, rattled(), 0.5).expect("a simulation").potential_energy_ev();
        // As a code does far from equilibrium.
        let potential = Fails(potential, |_: &Atoms, found: &Evaluation| found.energy_ev() >= start + 1e-6);
        let guide = PairPotential::lennard_jones(3.0, 3.3, 4.6);
        let (_, quenched) =
            quench_guided(&potential, &guide, &rattled(), &QuenchSettings::default()).expect("a minimum");
        assert!(quenched.converged, "{quenched:?}");
        let few = QuenchSettings { max_evaluations: 0, ..QuenchSettings::default() };
        let (_, quenched) = quench_guided(&potential, &guide, &rattled(), &few).expect("a start");
        assert!(!quenched.converged && quenched.evaluations < 4, "{quenched:?}");
    }

    /// The guide has forces at the start only, and the potential fails at the first step without it and at every fourth evaluation
    /// from there.
    #[test]
    fn steps_to_failures_are_shortened() {
        let numbered = AtomicUsize::new(0);
        let every_fourth = |_: &Atoms, _: &Evaluation| numbered.fetch_add(1, Ordering::Relaxed) % 4 == 3;
        let potential = Fails(PairPotential::lennard_jones(0.6, 2.8, 4.6), every_fourth);
        let asked = AtomicUsize::new(0);
        let after_the_first = |_: &Atoms, _: &Evaluation| asked.fetch_add(1, Ordering::Relaxed) > 0;
        let guide = Fails(PairPotential::lennard_jones(0.5, 2.83, 4.6), after_the_first);
        let (_, quenched) =
            quench_guided(&potential, &guide, &rattled(), &QuenchSettings::default()).expect("a minimum");
        assert!(quenched.converged && quenched.max_force_ev_per_angstrom <= 1e-3, "{quenched:?}");
        assert!(quenched.evaluations > 4, "{quenched:?}");
    }

    /// Wherever it goes there is no result: what it returns is the start.
    #[test]
    fn the_best_point_survives_failures() {
        let start = rattled().positions;
        let potential = PairPotential::lennard_jones(0.6, 2.8, 4.6);
        let before = Simulation::new(&potential, rattled(), 0.5).expect("a simulation").potential_energy_ev();
        let potential = Fails(potential, |atoms: &Atoms, _: &Evaluation| atoms.positions != start);
        let guide = PairPotential::lennard_jones(0.5, 2.83, 4.6);
        let (atoms, quenched) =
            quench_guided(&potential, &guide, &rattled(), &QuenchSettings::default()).expect("a start");
        assert!(!quenched.converged && quenched.evaluations < 40, "{quenched:?}");
        assert!(atoms.positions == start && (quenched.energy_ev - before).abs() < 1e-9, "{quenched:?}");
    }

    /// From one evaluation 0.1 A and more away from the minimum: within a fifth of what is to be won, with a guide whose bonds are
    /// softer and longer. A net force changes nothing, and forces that lead far away tell nothing.
    #[test]
    fn one_point_tells_where_the_minimum_is() {
        let potential = PairPotential::lennard_jones(0.6, 2.8, 4.6);
        let guide = PairPotential::lennard_jones(0.5, 2.83, 4.6);
        let settings = QuenchSettings { max_force_ev_per_angstrom: 1e-4, ..QuenchSettings::default() };
        let mut simulation = Simulation::new(&potential, rattled(), 0.5).expect("a simulation");
        let (before, forces) = (simulation.potential_energy_ev(), simulation.evaluation().forces.clone());
        let change = quench(&mut simulation, &settings).expect("a minimum").energy_ev - before;
        let expect = |forces: &[DVec3]| expected_minimum(&guide, &rattled(), forces, &settings).expect("no error");
        let found = expect(&forces).expect("a minimum");
        assert!((found.change_ev / change - 1.0).abs() < 0.2, "{found:?} {change}");
        let pushed: Vec<DVec3> = forces.iter().map(|f| *f + DVec3::X).collect();
        let again = expect(&pushed).expect("a minimum");
        assert!((again.change_ev - found.change_ev).abs() < 1e-6, "{again:?} {found:?}");
        let torn: Vec<DVec3> = forces.iter().zip(0..).map(|(f, i)| *f + DVec3::X * [4.0, -4.0][i % 2]).collect();
        assert_eq!(expect(&torn), None);
    }

    #[test]
    fn the_surrogate_has_the_forces_of_its_energy() {
        let guide = PairPotential::lennard_jones(0.4, 2.9, 4.6);
        let atoms = rattled();
        let n = atoms.len();
        let difference: Vec<DVec3> = (0..n).map(|i| DVec3::new(0.1, -0.2, 0.01 * i as f64)).collect();
        let center = Point { positions: atoms.positions.clone(), energy_ev: 0.0, max_force: 0.0, difference };
        let direction = vec![DVec3::splat((3.0 * n as f64).sqrt().recip()); n];
        let curvature = Curvature(vec![(direction, 3.0)]);
        let surrogate = Surrogate::new(&guide, &center, &curvature, 0.05);
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
