//! The hybrid linear potential, evaluated: neighbours are collected per group of central atoms, the many-body kernel
//! and the two-body tables give site energies and their derivatives, a second pass gathers the forces.

use super::bispectrum::{Bispectrum, Coefficients, Workspace};
use super::grouping::{Group, Grouping, LaneSlots, collect_neighbors};
use super::lanes::LANES;
use super::model::Model;
use super::pair_function::PairTables;
use super::profile::{Step, Stopwatch, Totals};
use super::{Evaluation, Potential};
use crate::{Atoms, Error, NeighborList, Species};
use fearless_simd::Level;
use glam::{DMat3, DVec3};
use rayon::prelude::*;
use std::sync::Mutex;

/// A [`Model`] made ready for evaluation. Immutable; any number of threads may use it at once.
pub struct LinearPotential {
    species: Vec<Species>,
    cutoff_angstrom: f64,
    intercepts_ev: Vec<f64>,
    kernel: Bispectrum,
    coefficients: Vec<Coefficients>,
    pairs: Option<PairTables>,
    scratch: Mutex<Vec<Scratch>>,
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

/// Where one group writes: it owns the slots of its atoms' neighbours.
struct GroupOutput<'a> {
    group: &'a Group,
    energies_ev: &'a mut [f64],
    gradients: &'a mut [DVec3],
}

impl LinearPotential {
    /// Prepares a model. Fails if its parts do not fit together.
    pub fn new(model: &Model) -> Result<Self, Error> {
        model.validate("the model")?;
        let species = model.species();
        let kernel = Bispectrum::new(model);
        let coefficients = model.central.iter().map(|c| kernel.arrange(&c.coefficients_ev)).collect();
        Ok(Self {
            cutoff_angstrom: model.cutoff_angstrom(),
            intercepts_ev: model.central.iter().map(|c| c.intercept_ev).collect(),
            pairs: model.pair.as_ref().map(|term| PairTables::new(term, &species)),
            species,
            kernel,
            coefficients,
            scratch: Mutex::new(Vec::new()),
        })
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

    /// Energies of the group's atoms, derivatives with respect to their neighbour vectors (in `output`), and the
    /// group's part of the strain derivative.
    fn evaluate_group(
        &self,
        grouping: &Grouping,
        atoms: &Atoms,
        neighbors: &NeighborList,
        translations: &[DVec3],
        output: &mut GroupOutput<'_>,
        totals: Option<&Totals>,
    ) -> Result<DMat3, Error> {
        let mut stopwatch = Stopwatch::start(totals);
        let group = output.group;
        let first_slots = FirstSlots::new(grouping, group, neighbors);
        self.with_scratch(|Scratch { work, slots }| {
            let mut strain = DMat3::ZERO;
            let (energies, gradients) = (&mut *output.energies_ev, &mut *output.gradients);
            energies.fill(self.intercepts_ev[group.central]);
            gradients.fill(DVec3::ZERO);
            let pair = |n: &super::grouping::Neighbor| {
                let Some(pairs) = self.pairs.as_ref().filter(|p| n.distance < p.cutoff_angstrom()) else { return };
                // Both atoms of a pair see it: half of its energy each.
                let (energy, slope) = pairs.evaluate(group.central, n.species, n.distance);
                let gradient = n.vector * (0.5 * slope / n.distance);
                energies[n.lane] += 0.5 * energy;
                gradients[first_slots.local(n.lane, n.slot)] = gradient;
                strain += outer(n.vector, gradient);
            };
            let reach = self.cutoff_angstrom;
            collect_neighbors(&self.kernel, grouping, group, atoms, neighbors, translations, reach, work, slots, pair)?;
            stopwatch.lap(Step::Collect);
            self.kernel.densities(group.central, work);
            stopwatch.lap(Step::Densities);
            self.kernel.adjoints(&self.coefficients[group.central], work);
            stopwatch.lap(Step::Adjoints);
            self.kernel.gradients(&self.coefficients[group.central], work);
            stopwatch.lap(Step::Gradients);
            for (energy, many_body) in energies.iter_mut().zip(work.energies.0) {
                *energy += many_body;
            }
            for_each_lane(work, slots, |lane, slot, vector, gradient| {
                gradients[first_slots.local(lane, slot)] += gradient;
                strain += outer(vector, gradient);
            });
            stopwatch.lap(Step::Scatter);
            Ok(strain)
        })
    }
}

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
        self.evaluate_timed(atoms, neighbors, evaluation, None)
    }
}

impl LinearPotential {
    /// [`Potential::evaluate`]; with `totals` it notes how long each step takes.
    pub(super) fn evaluate_timed(
        &self,
        atoms: &Atoms,
        neighbors: &NeighborList,
        evaluation: &mut Evaluation,
        totals: Option<&Totals>,
    ) -> Result<(), Error> {
        let mut stopwatch = Stopwatch::start(totals);
        let grouping = Grouping::new(atoms, &self.species)?;
        let translations = neighbors.cartesian_translations(&atoms.cell);
        let n_slots = neighbors.index.len();
        evaluation.energies_ev.resize(atoms.len(), 0.0);
        evaluation.forces.resize(atoms.len(), DVec3::ZERO);
        evaluation.pair_gradients.resize(n_slots, DVec3::ZERO);
        // Site energies and slot gradients in the order of the groups; both are gathered below.
        let mut site_energies = vec![0.0; atoms.len()];
        let mut outputs = Vec::with_capacity(grouping.groups.len());
        let (mut energies, mut gradients) = (&mut site_energies[..], &mut evaluation.pair_gradients[..]);
        for group in &grouping.groups {
            let slots = grouping.order[group.atoms.clone()].iter().map(|i| neighbors.row(*i as usize).len()).sum();
            let (own_energies, rest) = energies.split_at_mut(group.atoms.len());
            let (own_gradients, other) = gradients.split_at_mut(slots);
            (energies, gradients) = (rest, other);
            outputs.push(GroupOutput { group, energies_ev: own_energies, gradients: own_gradients });
        }
        stopwatch.lap(Step::Prepare);
        let strains: Result<Vec<DMat3>, Error> = outputs
            .par_iter_mut()
            .map(|output| self.evaluate_group(&grouping, atoms, neighbors, &translations, output, totals))
            .collect();
        let strain: DMat3 = strains?.into_iter().fold(DMat3::ZERO, |sum, s| sum + s);
        evaluation.strain_derivative_ev = (strain + strain.transpose()) * 0.5;
        let mut stopwatch = Stopwatch::start(totals);
        gather(&grouping, neighbors, &site_energies, evaluation);
        stopwatch.lap(Step::Gather);
        evaluation.check_finite()
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
