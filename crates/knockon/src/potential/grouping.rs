//! Central atoms of one species in groups of one lane each, and the collection of their neighbours.

use super::bispectrum::{Bispectrum, NeighborLanes, Workspace};
use super::lanes::LANES;
use crate::{Atoms, Error, NeighborList, Species};
use glam::DVec3;
use std::ops::Range;

/// Atoms closer than this are taken for a broken configuration.
const OVERLAP_ANGSTROM: f64 = 0.05;

/// The atoms of a box by species index, in groups that share the lanes of the kernel.
pub(super) struct Grouping {
    /// Species index of each atom.
    pub(super) species: Vec<u8>,
    /// Atoms ordered by species.
    pub(super) order: Vec<u32>,
    /// Groups of at most [`LANES`] consecutive entries of `order` of one species.
    pub(super) groups: Vec<Group>,
}

/// Up to [`LANES`] central atoms of one species.
pub(super) struct Group {
    /// Species index of the central atoms.
    pub(super) central: usize,
    /// Which entries of [`Grouping::order`].
    pub(super) atoms: Range<usize>,
}

impl Grouping {
    /// Fails for a species that is not in `known`.
    pub(super) fn new(atoms: &Atoms, known: &[Species]) -> Result<Self, Error> {
        let index = |s: &Species| {
            let position = known.iter().position(|k| k == s).map(|p| p as u8);
            position.ok_or_else(|| {
                let names: Vec<&str> = known.iter().map(|k| k.symbol()).collect();
                let problem = format!("expected atoms of the species {}, found {s}", names.join(", "));
                Error::input("the configuration", problem, "Use a model that knows this species")
            })
        };
        let species: Vec<u8> = atoms.species.iter().map(index).collect::<Result<_, _>>()?;
        let mut order: Vec<u32> = (0..atoms.len() as u32).collect();
        order.sort_by_key(|i| species[*i as usize]);
        let mut groups = Vec::new();
        let mut start = 0;
        while start < order.len() {
            let central = species[order[start] as usize];
            let same = order[start..].iter().take(LANES).take_while(|i| species[**i as usize] == central).count();
            groups.push(Group { central: usize::from(central), atoms: start..start + same });
            start += same;
        }
        Ok(Self { species, order, groups })
    }
}

/// One neighbour of a central atom, closer than the reach of the potential.
pub(super) struct Neighbor {
    /// Lane of the central atom.
    pub(super) lane: usize,
    /// Slot in the neighbour list.
    pub(super) slot: usize,
    /// Species index.
    pub(super) species: usize,
    /// Vector from the central atom to the neighbour in angstrom, and its length.
    pub(super) vector: DVec3,
    /// Length of `vector`.
    pub(super) distance: f64,
}

/// By kind of neighbour: which slot each lane of each collected neighbour came from; `usize::MAX`: none.
pub(super) type LaneSlots = Vec<Vec<[usize; LANES]>>;

/// Collects the neighbours of a group into `work.neighbors` and calls `visit` for every neighbour within
/// `reach_angstrom`, in the order of the list.
#[expect(clippy::too_many_arguments, reason = "the hot loop reads from all of these")]
pub(super) fn collect_neighbors(
    kernel: &Bispectrum,
    grouping: &Grouping,
    group: &Group,
    atoms: &Atoms,
    neighbors: &NeighborList,
    translations: &[DVec3],
    reach_angstrom: f64,
    work: &mut Workspace,
    slots: &mut LaneSlots,
    mut visit: impl FnMut(&Neighbor),
) -> Result<(), Error> {
    slots.resize(kernel.n_kinds(), Vec::new());
    for (list, slots) in work.neighbors.iter_mut().zip(slots.iter_mut()) {
        list.clear();
        slots.clear();
    }
    work.inner = false;
    let (central, inner_start) = (group.central, kernel.inner_start_angstrom());
    for (lane, atom) in grouping.order[group.atoms.clone()].iter().enumerate() {
        let atom = *atom as usize;
        let mut filled = [0_usize; MAX_KINDS];
        for slot in neighbors.row(atom) {
            let other = neighbors.index[slot] as usize;
            let translation = translations[neighbors.translation[slot] as usize];
            let vector = atoms.positions[other] + translation - atoms.positions[atom];
            let square = vector.length_squared();
            if square >= reach_angstrom * reach_angstrom {
                continue;
            }
            let distance = square.sqrt();
            if distance < OVERLAP_ANGSTROM {
                return Err(overlap(atom, other, distance));
            }
            let species = usize::from(grouping.species[other]);
            visit(&Neighbor { lane, slot, species, vector, distance });
            if distance <= inner_start {
                continue;
            }
            work.inner |= distance < kernel.inner_end_angstrom();
            for kind in kernel.kinds_of(species).take_while(|kind| distance < kernel.cutoff_angstrom(central, *kind)) {
                let (list, slots) = (&mut work.neighbors[kind], &mut slots[kind]);
                if filled[kind] == list.len() {
                    list.push(NeighborLanes::empty());
                    slots.push([usize::MAX; LANES]);
                }
                let entry = &mut list[filled[kind]];
                (entry.x.0[lane], entry.y.0[lane], entry.z.0[lane]) = vector.into();
                entry.mask.0[lane] = 1.0;
                slots[filled[kind]][lane] = slot;
                filled[kind] += 1;
            }
        }
    }
    Ok(())
}

/// More species than any model in use has.
pub(super) const MAX_SPECIES: usize = 16;
/// Species times different cutoffs.
pub(super) const MAX_KINDS: usize = 4 * MAX_SPECIES;

fn overlap(atom: usize, other: usize, distance: f64) -> Error {
    let problem = format!(
        "expected a configuration with atoms at least {OVERLAP_ANGSTROM} A apart, found atoms {} and {} at {distance:.4} A",
        atom + 1,
        other + 1
    );
    Error::computation(problem, "Remove one of the two, or repair the step that brought them together")
}
