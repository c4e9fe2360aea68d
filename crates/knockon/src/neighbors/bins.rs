//! A grid that finds the atoms around an atom in a time that does not depend on the size of the box.

use crate::{Atoms, Cell};
use glam::{DMat3, DVec3, IVec3};

/// An atom where the search meets it.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) index: u32,
    pub(super) position: DVec3,
    place: Place,
}

/// Where an atom is in the grid.
#[derive(Clone, Copy)]
struct Place {
    bin: IVec3,
    /// The lattice cell that the position lies in.
    home: IVec3,
    /// The position, brought into the box.
    wrapped: DVec3,
}

/// How much farther than the reach the first look at an atom goes: more than positions are rounded by.
const MARGIN_ANGSTROM: f64 = 1e-6;

/// Atoms sorted into a grid of parallelepipeds.
pub(super) struct Bins {
    vectors: DMat3,
    reach: f64,
    counts: [i32; 3],
    periodic: [bool; 3],
    /// How many bins away a neighbour can be.
    stencil: [i32; 3],
    /// Of each atom.
    places: Vec<Place>,
    /// Start of each bin in `entries`; one more entry than bins.
    starts: Vec<usize>,
    entries: Vec<Entry>,
}

impl Bins {
    /// For neighbours closer than `reach`, in bins at least as thick as `thickness` where the box allows it.
    pub(super) fn new(atoms: &Atoms, thickness: f64, reach: f64) -> Self {
        let periodic: [bool; 3] = atoms.cell.periodic.into();
        // Without any periodic direction the lattice vectors may be missing; the axes do as well.
        let vectors = if atoms.cell.periodic.any() { atoms.cell.vectors } else { DMat3::IDENTITY };
        let faces = Cell { vectors, periodic: atoms.cell.periodic }.face_distances_angstrom().to_array();
        let inverse = vectors.inverse();
        let fractional: Vec<[f64; 3]> = atoms.positions.iter().map(|p| (inverse * *p).to_array()).collect();

        let (mut origin, mut span) = ([0.0; 3], [1.0; 3]);
        for d in (0..3).filter(|d| !periodic[*d]) {
            let low = fractional.iter().map(|f| f[d]).fold(f64::INFINITY, f64::min);
            let high = fractional.iter().map(|f| f[d]).fold(f64::NEG_INFINITY, f64::max);
            (origin[d], span[d]) = (low, (high - low).max(1e-9));
        }
        let width: [f64; 3] = std::array::from_fn(|d| span[d] * faces[d]);
        let counts = bin_counts(width, thickness, atoms.len());
        // The margin covers the rounding of fractional coordinates at the faces of bins.
        let stencil = std::array::from_fn(|d| {
            let bins = (reach / width[d] * f64::from(counts[d]) + 1e-9).ceil() as i32;
            if periodic[d] { bins } else { bins.min(counts[d] - 1) }
        });

        let place = |(f, position): (&[f64; 3], &DVec3)| {
            let home: [i32; 3] = std::array::from_fn(|d| if periodic[d] { f[d].floor() as i32 } else { 0 });
            let bin: [i32; 3] = std::array::from_fn(|d| {
                let along = (f[d] - f64::from(home[d]) - origin[d]) / span[d];
                ((along * f64::from(counts[d])) as i32).clamp(0, counts[d] - 1)
            });
            let home = IVec3::from_array(home);
            Place { bin: IVec3::from_array(bin), home, wrapped: *position - vectors * home.as_dvec3() }
        };
        let places: Vec<Place> = fractional.iter().zip(&atoms.positions).map(place).collect();
        let (starts, entries) = sorted(&places, &atoms.positions, counts);
        Self { vectors, reach, counts, periodic, stencil, places, starts, entries }
    }

    /// Calls `visit` with every atom within reach of `atom` or hardly farther, and the translation that brings it there.
    pub(super) fn for_each_candidate(&self, atom: usize, mut visit: impl FnMut(&Entry, IVec3)) {
        let Place { bin, home, wrapped: center } = self.places[atom];
        let limit = (self.reach + MARGIN_ANGSTROM).powi(2);
        let axis = |d: usize| {
            let (b, n, periodic) = (bin[d], self.counts[d], self.periodic[d]);
            (-self.stencil[d]..=self.stencil[d]).map(move |o| b + o).filter(move |b| periodic || (0..n).contains(b))
        };
        for x in axis(0) {
            for y in axis(1) {
                for z in axis(2) {
                    let raw = [x, y, z];
                    let wrapped = std::array::from_fn(|d| raw[d].rem_euclid(self.counts[d]));
                    let image = IVec3::from_array(std::array::from_fn(|d| raw[d].div_euclid(self.counts[d])));
                    let number = bin_number(wrapped, self.counts);
                    let shift = self.vectors * image.as_dvec3() - center;
                    for entry in &self.entries[self.starts[number]..self.starts[number + 1]] {
                        if (entry.place.wrapped + shift).length_squared() < limit {
                            visit(entry, image + home - entry.place.home);
                        }
                    }
                }
            }
        }
    }
}

/// The atoms ordered by bin, and where each bin starts.
fn sorted(places: &[Place], positions: &[DVec3], counts: [i32; 3]) -> (Vec<usize>, Vec<Entry>) {
    let bin = |place: &Place| bin_number(place.bin.to_array(), counts);
    let n_bins = counts.iter().map(|n| *n as usize).product::<usize>();
    let mut starts = vec![0; n_bins + 1];
    for place in places {
        starts[bin(place) + 1] += 1;
    }
    for bin in 0..n_bins {
        starts[bin + 1] += starts[bin];
    }
    let mut order: Vec<u32> = (0..places.len() as u32).collect();
    order.sort_by_key(|atom| bin(&places[*atom as usize]));
    let entry = |atom: u32| Entry { index: atom, position: positions[atom as usize], place: places[atom as usize] };
    (starts, order.into_iter().map(entry).collect())
}

/// Bins along each direction: no thinner than `thickness`, and not many more than atoms (a few atoms far apart in an
/// open box must not ask for more memory than there is).
fn bin_counts(width: [f64; 3], thickness: f64, n_atoms: usize) -> [i32; 3] {
    let mut counts = width.map(|w| (w / thickness).clamp(1.0, 1e6));
    let allowed = (4 * n_atoms + 64) as f64;
    while counts.iter().map(|n| n.floor()).product::<f64>() > allowed {
        let largest = counts.iter().copied().fold(0.0, f64::max);
        for n in counts.iter_mut().filter(|n| **n == largest) {
            *n = (*n / 2.0).max(1.0);
        }
    }
    counts.map(|n| n.floor() as i32)
}

fn bin_number(bin: [i32; 3], counts: [i32; 3]) -> usize {
    ((bin[0] * counts[1] + bin[1]) * counts[2] + bin[2]) as usize
}
