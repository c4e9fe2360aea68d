//! The hybrid linear potential, evaluated: neighbours are collected per group of central atoms, the many-body kernel
//! and the two-body tables give site energies and their derivatives, a second pass gathers the forces.

use super::bispectrum::{Bispectrum, Coefficients, Workspace};
use super::grouping::{Group, Grouping, LaneSlots, collect_neighbors};
use super::lanes::LANES;
use super::model::Model;
use super::pair_function::{INTERVALS, MEMBER_INTERVALS, PairTables};
use super::profile::{Step, Stopwatch, Totals};
use super::{Evaluation, Potential};
use crate::{Atoms, Error, NeighborList, Species};
use fearless_simd::Level;
use glam::{DMat3, DVec3};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Mutex;

/// A [`Model`] made ready for evaluation. Immutable; any number of threads may use it at once.
pub struct LinearPotential {
    species: Vec<Species>,
    cutoff_angstrom: f64,
    kernel: Bispectrum,
    /// The model's own coefficients, then those of models that differ from it in nothing else.
    sets: Vec<CoefficientSet>,
    scratch: Mutex<Vec<Scratch>>,
}

/// Everything that is linear in a model, by central species, and its two-body functions.
struct CoefficientSet {
    intercepts_ev: Vec<f64>,
    many_body: Vec<Coefficients>,
    pairs: Option<PairTables>,
}

impl CoefficientSet {
    fn new(model: &Model, kernel: &Bispectrum, intervals: usize) -> Self {
        Self {
            intercepts_ev: model.central.iter().map(|c| c.intercept_ev).collect(),
            many_body: model.central.iter().map(|c| kernel.arrange(&c.coefficients_ev)).collect(),
            pairs: model.pair.as_ref().map(|term| PairTables::new(term, &model.species(), intervals)),
        }
    }
}

/// Vector instructions of the kernel. Unless told otherwise a potential uses the first that the processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instructions {
    /// Vectors of eight numbers, fused products and sums.
    Avx512,
    /// Vectors of four numbers, fused products and sums.
    Avx2,
    /// What every processor of this kind has.
    Portable,
}

impl Instructions {
    /// All of them, the fastest first.
    pub const ALL: [Self; 3] = [Self::Avx512, Self::Avx2, Self::Portable];

    /// The ones that a potential uses unless told otherwise.
    pub fn best() -> Self {
        Self::ALL.into_iter().find(|i| i.level().is_some()).unwrap_or(Self::Portable)
    }

    fn level(self) -> Option<Level> {
        #[cfg(target_arch = "x86_64")]
        match self {
            Self::Avx512 => return Level::new().as_avx512().map(Level::Avx512),
            Self::Avx2 => return Level::new().as_avx2().map(Level::Avx2),
            Self::Portable => {}
        }
        (self == Self::Portable).then(Level::baseline)
    }
}

/// Memory of one thread.
struct Scratch {
    work: Workspace,
    slots: LaneSlots,
}

/// Where one group writes.
struct GroupOutput<'a> {
    group: &'a Group,
    sets: Vec<SetOutput<'a>>,
}

/// Results of one set of coefficients for one group, which owns the slots of its atoms' neighbours.
struct SetOutput<'a> {
    energies_ev: &'a mut [f64],
    gradients: &'a mut [DVec3],
    /// The group's part of the strain derivative.
    strain_ev: DMat3,
}

impl LinearPotential {
    /// Prepares a model. Fails if its parts do not fit together.
    pub fn new(model: &Model) -> Result<Self, Error> {
        model.validate("the model")?;
        let kernel = Bispectrum::new(model);
        Ok(Self {
            cutoff_angstrom: model.cutoff_angstrom(),
            species: model.species(),
            sets: vec![CoefficientSet::new(model, &kernel, INTERVALS)],
            kernel,
            scratch: Mutex::new(Vec::new()),
        })
    }

    /// Adds the coefficients of a model that differs from the first in nothing else; see [`Self::evaluate_sets`].
    pub(super) fn add_set(&mut self, model: &Model) {
        self.sets.push(CoefficientSet::new(model, &self.kernel, MEMBER_INTERVALS));
    }

    /// Number of sets of coefficients.
    pub(super) fn n_sets(&self) -> usize {
        self.sets.len()
    }

    /// The same with other vector instructions; none if this processor lacks them. Results differ in the last bits.
    pub fn with_instructions(mut self, instructions: Instructions) -> Option<Self> {
        self.kernel = self.kernel.at_level(instructions.level()?);
        Some(self)
    }

    pub(super) fn kernel(&self) -> &Bispectrum {
        &self.kernel
    }

    fn with_scratch<T>(&self, use_it: impl FnOnce(&mut Scratch) -> T) -> T {
        let take = || self.scratch.lock().expect("no thread panics while it holds the lock").pop();
        let mut scratch = take().unwrap_or_else(|| Scratch { work: self.kernel.workspace(), slots: Vec::new() });
        let result = use_it(&mut scratch);
        self.scratch.lock().expect("no thread panics while it holds the lock").push(scratch);
        result
    }

    /// Energies of the group's atoms and derivatives with respect to their neighbour vectors for some sets of
    /// coefficients.
    fn evaluate_group(
        &self,
        sets: &[CoefficientSet],
        grouping: &Grouping,
        atoms: &Atoms,
        neighbors: &NeighborList,
        translations: &[DVec3],
        output: &mut GroupOutput<'_>,
        totals: Option<&Totals>,
    ) -> Result<(), Error> {
        let mut stopwatch = Stopwatch::start(totals);
        let central = output.group.central;
        let first_slots = FirstSlots::new(grouping, output.group, neighbors);
        self.with_scratch(|Scratch { work, slots }| {
            for (set, output) in sets.iter().zip(&mut output.sets) {
                output.energies_ev.fill(set.intercepts_ev[central]);
                output.gradients.fill(DVec3::ZERO);
            }
            let outputs = &mut output.sets;
            let pair = |n: &super::grouping::Neighbor| {
                for (set, output) in sets.iter().zip(outputs.iter_mut()) {
                    let Some(pairs) = set.pairs.as_ref().filter(|p| n.distance < p.cutoff_angstrom()) else { continue };
                    // Both atoms of a pair see it: half of its energy each.
                    let (energy, slope) = pairs.evaluate(central, n.species, n.distance);
                    let gradient = n.vector * (0.5 * slope / n.distance);
                    output.energies_ev[n.lane] += 0.5 * energy;
                    output.gradients[first_slots.local(n.lane, n.slot)] = gradient;
                    output.strain_ev += outer(n.vector, gradient);
                }
            };
            let (group, reach) = (output.group, self.cutoff_angstrom);
            collect_neighbors(&self.kernel, grouping, group, atoms, neighbors, translations, reach, work, slots, pair)?;
            stopwatch.lap(Step::Collect);
            self.kernel.densities(central, work);
            stopwatch.lap(Step::Densities);
            let mut together = [&sets[0].many_body[central]; MAX_SETS];
            sets.iter().zip(&mut together).for_each(|(set, slot)| *slot = &set.many_body[central]);
            let together = &together[..sets.len()];
            self.kernel.adjoints(together, work);
            stopwatch.lap(Step::Adjoints);
            for (index, (coefficients, output)) in together.iter().zip(&mut output.sets).enumerate() {
                self.kernel.gradients(coefficients, index, work);
                stopwatch.lap(Step::Gradients);
                for (energy, many_body) in output.energies_ev.iter_mut().zip(work.energies.0) {
                    *energy += many_body;
                }
                for_each_lane(work, slots, |lane, slot, vector, gradient| {
                    output.gradients[first_slots.local(lane, slot)] += gradient;
                    output.strain_ev += outer(vector, gradient);
                });
                stopwatch.lap(Step::Scatter);
            }
            Ok(())
        })
    }
}

/// Sets of coefficients that are evaluated together: sums over products are shared, adjoints stay in the cache.
pub(super) const MAX_SETS: usize = 20;

/// Position of a lane's neighbour slots within the memory of its group.
struct FirstSlots([isize; LANES]);

impl FirstSlots {
    fn new(grouping: &Grouping, group: &Group, neighbors: &NeighborList) -> Self {
        let mut shifts = [0; LANES];
        let mut next = 0;
        for (shift, atom) in shifts.iter_mut().zip(&grouping.order[group.atoms.clone()]) {
            let row = neighbors.row(*atom as usize);
            *shift = next as isize - row.start as isize;
            next += row.len();
        }
        Self(shifts)
    }

    fn local(&self, lane: usize, slot: usize) -> usize {
        (slot as isize + self.0[lane]) as usize
    }
}

/// Calls `visit(lane, slot, neighbour vector, gradient)` for every neighbour of the last kernel call.
pub(super) fn for_each_lane(work: &Workspace, slots: &LaneSlots, mut visit: impl FnMut(usize, usize, DVec3, DVec3)) {
    for ((neighbors, gradients), slots) in work.neighbors.iter().zip(&work.gradients).zip(slots) {
        for ((neighbor, gradient), slots) in neighbors.iter().zip(gradients).zip(slots) {
            for (lane, slot) in slots.iter().enumerate().filter(|(_, slot)| **slot != usize::MAX) {
                let vector = DVec3::new(neighbor.x.0[lane], neighbor.y.0[lane], neighbor.z.0[lane]);
                let gradient = DVec3::new(gradient[0].0[lane], gradient[1].0[lane], gradient[2].0[lane]);
                visit(lane, *slot, vector, gradient);
            }
        }
    }
}

/// The matrix a b^T.
pub(super) fn outer(a: DVec3, b: DVec3) -> DMat3 {
    DMat3::from_cols(a * b.x, a * b.y, a * b.z)
}

impl Potential for LinearPotential {
    fn cutoff_angstrom(&self) -> f64 {
        self.cutoff_angstrom
    }

    fn species(&self) -> &[Species] {
        &self.species
    }

    fn evaluate(&self, atoms: &Atoms, neighbors: &NeighborList, evaluation: &mut Evaluation) -> Result<(), Error> {
        self.evaluate_sets(0..1, atoms, neighbors, std::slice::from_mut(evaluation), None)
    }
}

impl LinearPotential {
    /// [`Potential::evaluate`] for some sets of coefficients at once, at most [`MAX_SETS`], with an evaluation for each;
    /// with `totals` it notes how long each step takes.
    pub(super) fn evaluate_sets(
        &self,
        sets: Range<usize>,
        atoms: &Atoms,
        neighbors: &NeighborList,
        evaluations: &mut [Evaluation],
        totals: Option<&Totals>,
    ) -> Result<(), Error> {
        let mut stopwatch = Stopwatch::start(totals);
        let sets = &self.sets[sets];
        assert!(sets.len() == evaluations.len() && sets.len() <= MAX_SETS, "one evaluation per set, few sets");
        let grouping = Grouping::new(atoms, &self.species)?;
        let translations = neighbors.cartesian_translations(&atoms.cell);
        // Site energies and slot gradients in the order of the groups; both are gathered below.
        let mut site_energies = vec![vec![0.0; atoms.len()]; sets.len()];
        let new = |group| GroupOutput { group, sets: Vec::with_capacity(sets.len()) };
        let mut outputs: Vec<GroupOutput> = grouping.groups.iter().map(new).collect();
        for (evaluation, energies) in evaluations.iter_mut().zip(&mut site_energies) {
            let mut energies = &mut energies[..];
            evaluation.energies_ev.resize(atoms.len(), 0.0);
            evaluation.forces.resize(atoms.len(), DVec3::ZERO);
            evaluation.pair_gradients.resize(neighbors.index.len(), DVec3::ZERO);
            let mut gradients = &mut evaluation.pair_gradients[..];
            for output in &mut outputs {
                let members = &grouping.order[output.group.atoms.clone()];
                let slots = members.iter().map(|i| neighbors.row(*i as usize).len()).sum();
                let (energies_ev, rest) = energies.split_at_mut(members.len());
                let (own_gradients, other) = gradients.split_at_mut(slots);
                (energies, gradients) = (rest, other);
                output.sets.push(SetOutput { energies_ev, gradients: own_gradients, strain_ev: DMat3::ZERO });
            }
        }
        stopwatch.lap(Step::Prepare);
        outputs.par_iter_mut().try_for_each(|output| {
            self.evaluate_group(sets, &grouping, atoms, neighbors, &translations, output, totals)
        })?;
        let strain = |set: usize| outputs.iter().fold(DMat3::ZERO, |sum, output| sum + output.sets[set].strain_ev);
        let strains: Vec<DMat3> = (0..sets.len()).map(strain).collect();
        let mut stopwatch = Stopwatch::start(totals);
        for ((evaluation, energies), strain) in evaluations.iter_mut().zip(&site_energies).zip(strains) {
            evaluation.strain_derivative_ev = (strain + strain.transpose()) * 0.5;
            gather(&grouping, neighbors, energies, evaluation);
            evaluation.check_finite()?;
        }
        stopwatch.lap(Step::Gather);
        Ok(())
    }
}

/// Brings energies back to the order of the atoms and sums the force on each atom: its own site's derivatives minus
/// those of its neighbours' sites with respect to it.
fn gather(grouping: &Grouping, neighbors: &NeighborList, site_energies: &[f64], evaluation: &mut Evaluation) {
    let mut shift = vec![0_isize; grouping.order.len()];
    let mut next = 0;
    for (atom, energy) in grouping.order.iter().zip(site_energies) {
        let row = neighbors.row(*atom as usize);
        shift[*atom as usize] = next as isize - row.start as isize;
        next += row.len();
        evaluation.energies_ev[*atom as usize] = *energy;
    }
    let gradient = |atom: usize, slot: usize| evaluation.pair_gradients[(slot as isize + shift[atom]) as usize];
    evaluation.forces.par_iter_mut().enumerate().for_each(|(atom, force)| {
        *force = neighbors.row(atom).fold(DVec3::ZERO, |sum, slot| {
            let other = neighbors.index[slot] as usize;
            sum + gradient(atom, slot) - gradient(other, neighbors.reverse[slot] as usize)
        });
    });
}
