//! The hybrid linear potential, evaluated: neighbours are collected per group of central atoms, the many-body kernel
//! and the two-body tables give site energies and their derivatives, a second pass gathers the forces. Charges, which reach
//! farther, are summed by themselves.

use super::bispectrum::{Bispectrum, Coefficients, Workspace};
use super::electrostatic::{ElectrostaticKernel, Surroundings};
use super::grouping::{Group, Grouping, LaneSlots, Neighbor, collect_neighbors};
use super::lanes::{LANES, Lanes};
use super::members::{Gradient, MEMBERS, Members, MembersWorkspace};
use super::model::Model;
use super::pair_function::PairTables;
use super::profile::{Step, Stopwatch, Totals};
use super::similarity::{SimilarityKernel, SimilarityWork};
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
    /// Farther than this atoms feel each other's charges alone.
    bond_cutoff_angstrom: f64,
    kernel: Bispectrum,
    /// Intercept and many-body coefficients of each central species.
    intercepts_ev: Vec<f64>,
    many_body: Vec<Coefficients>,
    /// By central species, or none.
    similarity: Vec<SimilarityKernel>,
    pairs: Option<PairTables>,
    electrostatic: Option<ElectrostaticKernel>,
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
    members_work: MembersWorkspace,
    similarity_work: SimilarityWork,
    slots: LaneSlots,
}

/// Where one group writes; it owns the slots of its atoms' neighbours.
struct GroupOutput<'a> {
    group: &'a Group,
    energies_ev: &'a mut [f64],
    gradients: &'a mut [DVec3],
    /// The group's part of the strain derivative.
    strain_ev: DMat3,
    octets: Vec<OctetOutput<'a>>,
}

/// Deviations of eight members in one group.
struct OctetOutput<'a> {
    /// Of the energy of the group.
    energies_ev: [f64; MEMBERS],
    gradients: &'a mut [Gradient],
}

impl<'a> OctetOutput<'a> {
    fn new(gradients: Option<&'a mut [Gradient]>) -> Self {
        Self { energies_ev: [0.0; MEMBERS], gradients: gradients.expect("all groups together have all slots") }
    }
}

/// How the members' predictions for a box differ from the model's.
pub(super) struct Deviations {
    /// Energy of the box, by member; zeros for those that fill up the last eight.
    pub(super) energies_ev: Vec<f64>,
    /// Sum over members of the squares of the force components of each atom.
    pub(super) force_squares: Vec<DVec3>,
}

impl LinearPotential {
    /// Prepares a model. Fails if its parts do not fit together.
    pub fn new(model: &Model) -> Result<Self, Error> {
        model.validate("the model")?;
        let kernel = Bispectrum::new(model);
        Ok(Self {
            cutoff_angstrom: model.cutoff_angstrom(),
            bond_cutoff_angstrom: model.bond_cutoff_angstrom(),
            species: model.species(),
            intercepts_ev: model.central.iter().map(|c| c.intercept_ev).collect(),
            many_body: model.central.iter().map(|c| kernel.coefficients(c)).collect(),
            similarity: SimilarityKernel::of(model, kernel.level),
            pairs: model.pair.as_ref().map(|term| PairTables::new(term, &model.species())),
            electrostatic: model.electrostatic.as_ref().map(ElectrostaticKernel::new),
            kernel,
            scratch: Mutex::new(Vec::new()),
        })
    }

    /// The same with other vector instructions; none if this processor lacks them. Results differ in the last bits.
    pub fn with_instructions(mut self, instructions: Instructions) -> Option<Self> {
        let level = instructions.level()?;
        self.kernel = self.kernel.at_level(level);
        self.similarity = self.similarity.into_iter().map(|s| s.at_level(level)).collect();
        self.electrostatic = self.electrostatic.map(|e| e.at_level(level));
        Some(self)
    }

    pub(super) fn kernel(&self) -> &Bispectrum {
        &self.kernel
    }

    fn with_scratch<T>(&self, use_it: impl FnOnce(&mut Scratch) -> T) -> T {
        let take = || self.scratch.lock().expect("no thread panics while it holds the lock").pop();
        let mut scratch = take().unwrap_or_else(|| Scratch {
            work: self.kernel.workspace(),
            members_work: MembersWorkspace::default(),
            similarity_work: SimilarityWork::default(),
            slots: Vec::new(),
        });
        let result = use_it(&mut scratch);
        self.scratch.lock().expect("no thread panics while it holds the lock").push(scratch);
        result
    }

    /// Energies of the group's atoms and derivatives with respect to their neighbour vectors.
    #[expect(clippy::too_many_arguments, reason = "the hot loop reads from all of these")]
    fn evaluate_group(
        &self,
        members: &Members,
        grouping: &Grouping,
        atoms: &Atoms,
        neighbors: &NeighborList,
        translations: &[DVec3],
        output: &mut GroupOutput<'_>,
        totals: Option<&Totals>,
    ) -> Result<(), Error> {
        let mut stopwatch = Stopwatch::start(totals);
        let (group, reach) = (output.group, self.bond_cutoff_angstrom);
        let central = group.central;
        let first_slots = FirstSlots::new(grouping, group, neighbors);
        output.energies_ev.fill(self.intercepts_ev[central]);
        output.gradients.fill(DVec3::ZERO);
        output.octets.iter_mut().for_each(|octet| octet.gradients.fill(Gradient::default()));
        self.with_scratch(|Scratch { work, members_work, similarity_work, slots }| {
            let pair = |n: &Neighbor| {
                let Some(pairs) = self.pairs.as_ref().filter(|p| n.distance < p.cutoff_angstrom()) else { return };
                // Both atoms of a pair see it: half of its energy each.
                let (energy, slope) = pairs.evaluate(central, n.species, n.distance);
                let gradient = n.vector * (0.5 * slope / n.distance);
                let local = first_slots.local(n.lane, n.slot);
                output.energies_ev[n.lane] += 0.5 * energy;
                output.gradients[local] = gradient;
                output.strain_ev += outer(n.vector, gradient);
                for (octet, output) in members.octets.iter().zip(&mut output.octets) {
                    let (energies, slopes) = octet.pair(self.kernel.level, [central, n.species], n.distance);
                    output.energies_ev.iter_mut().zip(energies).for_each(|(sum, e)| *sum += 0.5 * e);
                    let direction = n.vector * (0.5 / n.distance);
                    output.gradients[local] = direction.to_array().map(|c| slopes.map(|slope| (slope * c) as f32));
                }
            };
            collect_neighbors(&self.kernel, grouping, group, atoms, neighbors, translations, reach, work, slots, pair)?;
            stopwatch.lap(Step::Collect);
            self.kernel.densities(central, work);
            stopwatch.lap(Step::Densities);
            let coefficients = &self.many_body[central];
            let mut correction = Lanes::default();
            match (self.similarity.get(central), members.octets.is_empty()) {
                (None, true) => self.kernel.adjoints(coefficients, work),
                (None, false) => self.kernel.adjoints_with(members, Some(coefficients), central, work, members_work),
                (Some(similarity), _) => {
                    correction = similarity.coefficients(&self.kernel, work, similarity_work);
                    stopwatch.lap(Step::Similarity);
                    self.kernel.adjoints_of_lanes(&similarity_work.slopes, work);
                    if !members.octets.is_empty() {
                        members.similarity(similarity, central, similarity_work, members_work);
                        self.kernel.adjoints_with(members, None, central, work, members_work);
                    }
                }
            }
            stopwatch.lap(Step::Adjoints);
            self.kernel.gradients(coefficients, work);
            stopwatch.lap(Step::Gradients);
            for (energy, (many_body, more)) in
                output.energies_ev.iter_mut().zip(work.energies.0.iter().zip(correction.0))
            {
                *energy += many_body + more;
            }
            for_each_lane(work, slots, |lane, slot, vector, gradient| {
                output.gradients[first_slots.local(lane, slot)] += gradient;
                output.strain_ev += outer(vector, gradient);
            });
            stopwatch.lap(Step::Scatter);
            for (index, (octet, output)) in members.octets.iter().zip(&mut output.octets).enumerate() {
                let similarities = &similarity_work.similarities;
                let energies = octet.energies_ev(central, group.atoms.len(), members_work, similarities);
                output.energies_ev.iter_mut().zip(energies).for_each(|(sum, e)| *sum += e);
                self.kernel.gradients_of_members(index, work, slots, members_work, |lane, slot, gradient| {
                    let sum = output.gradients[first_slots.local(lane, slot)].as_flattened_mut();
                    sum.iter_mut().zip(gradient.as_flattened()).for_each(|(sum, g)| *sum += g);
                });
            }
            Ok(())
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

    fn neighbor_list(&self, atoms: &Atoms, skin_angstrom: f64) -> NeighborList {
        let bonds = NeighborList::with_skin(atoms, self.bond_cutoff_angstrom, skin_angstrom);
        if self.electrostatic.is_some() { bonds.with_pairs(atoms, self.cutoff_angstrom) } else { bonds }
    }

    fn evaluate(&self, atoms: &Atoms, neighbors: &NeighborList, evaluation: &mut Evaluation) -> Result<(), Error> {
        self.evaluate_with(&Members::default(), atoms, neighbors, evaluation, None).map(|_| ())
    }
}

impl LinearPotential {
    /// [`Potential::evaluate`], and the deviations of members; with `totals` it notes how long each step takes.
    pub(super) fn evaluate_with(
        &self,
        members: &Members,
        atoms: &Atoms,
        neighbors: &NeighborList,
        evaluation: &mut Evaluation,
        totals: Option<&Totals>,
    ) -> Result<Deviations, Error> {
        let mut stopwatch = Stopwatch::start(totals);
        let grouping = Grouping::new(atoms, &self.species)?;
        let translations = neighbors.cartesian_translations(&atoms.cell);
        // Site energies and slot gradients in the order of the groups; both are gathered below.
        let mut site_energies = vec![0.0; atoms.len()];
        let n_slots = neighbors.index.len();
        evaluation.energies_ev.resize(atoms.len(), 0.0);
        evaluation.forces.resize(atoms.len(), DVec3::ZERO);
        evaluation.pair_gradients.resize(n_slots, DVec3::ZERO);
        evaluation.member_gradients.resize(members.octets.len(), Vec::new());
        evaluation.member_gradients.iter_mut().for_each(|g| g.resize(n_slots, Gradient::default()));
        let (mut energies, mut gradients) = (&mut site_energies[..], &mut evaluation.pair_gradients[..]);
        let mut of_octets: Vec<&mut [Gradient]> = evaluation.member_gradients.iter_mut().map(|g| &mut g[..]).collect();
        let output = |group| {
            let Group { atoms, .. }: &Group = group;
            let slots = grouping.order[atoms.clone()].iter().map(|i| neighbors.row(*i as usize).len()).sum();
            GroupOutput {
                group,
                energies_ev: energies.split_off_mut(..atoms.len()).expect("all groups together have all atoms"),
                gradients: gradients.split_off_mut(..slots).expect("all groups together have all slots"),
                strain_ev: DMat3::ZERO,
                octets: of_octets.iter_mut().map(|rest| OctetOutput::new(rest.split_off_mut(..slots))).collect(),
            }
        };
        let mut outputs: Vec<GroupOutput> = grouping.groups.iter().map(output).collect();
        stopwatch.lap(Step::Prepare);
        outputs.par_iter_mut().try_for_each(|output| {
            self.evaluate_group(members, &grouping, atoms, neighbors, &translations, output, totals)
        })?;
        let mut stopwatch = Stopwatch::start(totals);
        let mut strain = outputs.iter().fold(DMat3::ZERO, |sum, output| sum + output.strain_ev);
        let mut energies_ev = vec![0.0; members.octets.len() * MEMBERS];
        for output in &outputs {
            let of_group = output.octets.iter().flat_map(|o| o.energies_ev);
            energies_ev.iter_mut().zip(of_group).for_each(|(sum, e)| *sum += e);
        }
        let shifts = slot_shifts(&grouping, neighbors);
        for (atom, energy) in grouping.order.iter().zip(&site_energies) {
            evaluation.energies_ev[*atom as usize] = *energy;
        }
        gather(neighbors, &shifts, evaluation);
        stopwatch.lap(Step::Gather);
        let mut of_charges = Vec::new();
        if let Some(electrostatic) = &self.electrostatic {
            let around = Surroundings::new(atoms, &grouping.species, neighbors);
            let fields = electrostatic.fields(&around);
            let sums = electrostatic.sums(&around, &fields);
            evaluation.energies_ev.iter_mut().zip(sums.energies_ev).for_each(|(sum, e)| *sum += e);
            evaluation.forces.iter_mut().zip(sums.forces).for_each(|(sum, f)| *sum += f);
            strain += sums.strain_ev;
            let octets = members.octets.iter().zip(energies_ev.chunks_exact_mut(MEMBERS));
            of_charges =
                octets.map(|(o, energies)| o.electrostatic(electrostatic, &around, &fields, energies)).collect();
        }
        stopwatch.lap(Step::Charges);
        evaluation.strain_derivative_ev = (strain + strain.transpose()) * 0.5;
        evaluation.check_finite()?;
        let force_squares = force_squares(neighbors, &shifts, &evaluation.member_gradients, &of_charges);
        Ok(Deviations { energies_ev, force_squares })
    }
}

/// How far the slots of each atom's neighbours are shifted in the order of the groups.
fn slot_shifts(grouping: &Grouping, neighbors: &NeighborList) -> Vec<isize> {
    let mut shifts = vec![0_isize; grouping.order.len()];
    let mut next = 0;
    for atom in &grouping.order {
        let row = neighbors.row(*atom as usize);
        shifts[*atom as usize] = next as isize - row.start as isize;
        next += row.len();
    }
    shifts
}

/// Where the derivatives of an atom's own site, and those of its neighbours' sites with respect to it, stand.
fn slots_of<'a>(
    neighbors: &'a NeighborList,
    shifts: &'a [isize],
    atom: usize,
) -> impl Iterator<Item = (usize, usize)> + 'a {
    let shifted = |atom: usize, slot: usize| (slot as isize + shifts[atom]) as usize;
    neighbors.row(atom).map(move |slot| {
        let other = neighbors.index[slot] as usize;
        (shifted(atom, slot), shifted(other, neighbors.reverse[slot] as usize))
    })
}

/// Sums the force on each atom: its own site's derivatives minus those of its neighbours' sites with respect to it.
fn gather(neighbors: &NeighborList, shifts: &[isize], evaluation: &mut Evaluation) {
    let gradients = &evaluation.pair_gradients;
    evaluation.forces.par_iter_mut().enumerate().for_each(|(atom, force)| {
        *force = slots_of(neighbors, shifts, atom)
            .fold(DVec3::ZERO, |sum, (own, other)| sum + gradients[own] - gradients[other]);
    });
}

/// Sums the members' forces on each atom in the same way, with those of charges, if there are any; gives the sums of their
/// squares.
fn force_squares(
    neighbors: &NeighborList,
    shifts: &[isize],
    octets: &[Vec<Gradient>],
    of_charges: &[Vec<Gradient>],
) -> Vec<DVec3> {
    let of_atom = |atom: usize| {
        let mut squares = DVec3::ZERO;
        for (octet, gradients) in octets.iter().enumerate() {
            let mut force = of_charges.get(octet).map_or(Gradient::default(), |forces| forces[atom]);
            for (own, other) in slots_of(neighbors, shifts, atom) {
                let (own, other) = (gradients[own].as_flattened(), gradients[other].as_flattened());
                let sums = force.as_flattened_mut().iter_mut();
                sums.zip(own.iter().zip(other)).for_each(|(sum, (own, other))| *sum += own - other);
            }
            squares += DVec3::from_array(force.map(|of_axis| of_axis.iter().map(|f| f64::from(*f).powi(2)).sum()));
        }
        squares
    };
    (0..shifts.len()).into_par_iter().map(of_atom).collect()
}
