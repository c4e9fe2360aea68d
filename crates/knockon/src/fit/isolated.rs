//! What is believed of a few atoms in vacuum, as rows of the fit.
//!
//! Atoms in vacuum are far from any data, so that the bispectrum there is pure extrapolation; without these rows it
//! makes wells of several eV between atoms that the data never show close to each other, and wells of hundreds of eV where
//! several of them come close at once, because its energy grows as the cube of their number. This is about bonds: charges,
//! which are fixed by what they do far away, stand in none of these rows, and neither do induced dipoles, whose energies grow as fast
//! where they act on each other: the inner switch, the smoothing of their fields and the prior bound these, and the checks of
//! disorder and of recoils (`checks`) see what is left.

use super::factor::Factor;
use super::prior::Repulsion;
use super::settings::Settings;
use super::stream::Unknowns;
use crate::potential::{Columns, DesignRows, Model, PairTerm, Sharing, design_rows};
use crate::{Atoms, Error, NeighborList, Species};
use glam::DVec3;

/// How far the expected repulsion overlaps with the data, as a fraction of the range without data:
/// enough to fix the slope where data begin, and nothing for pairs whose data reach down to the ZBL bridge.
const OVERLAP: f64 = 0.2;

/// All rows.
pub fn isolated_atoms(
    settings: &Settings,
    empty: &Model,
    unknowns: &Unknowns,
    repulsion: &Repulsion,
) -> Result<Factor, Error> {
    let model = Model { electrostatic: None, ..empty.clone() };
    let mut factor = Factor::new(unknowns.len());
    if let Some(term) = &model.pair {
        let columns = Columns::new(&model, Sharing::PerSpecies);
        let vacuum = Vacuum { settings, model: &model, term, columns, repulsion };
        let species = model.species();
        for a in 0..species.len() {
            for b in a..species.len() {
                vacuum.add_pair([species[a], species[b]], &mut factor)?;
            }
        }
        for a in &species {
            for b in &species {
                vacuum.add_clusters([*a, *b], &mut factor)?;
            }
        }
    }
    factor.compress();
    Ok(factor)
}

struct Vacuum<'a> {
    settings: &'a Settings,
    model: &'a Model,
    term: &'a PairTerm,
    /// Of the bonds; they come first among the unknowns.
    columns: Columns,
    repulsion: &'a Repulsion,
}

impl Vacuum<'_> {
    fn rows(&self, atoms: &Atoms) -> Result<DesignRows, Error> {
        design_rows(self.model, &self.columns, atoms, &NeighborList::build(atoms, self.model.cutoff_angstrom()))
    }

    /// One row: the energy of `here` less that of `there` is as expected.
    fn push(&self, factor: &mut Factor, [here, there]: [&DesignRows; 2], expected: f64, deviation: f64) {
        let difference = here.energy.iter().zip(&there.energy).map(|(x, y)| (x - y) / deviation);
        let others = std::iter::repeat_n(0.0, factor.n_unknowns() - self.columns.len());
        let fixed = here.fixed.energy_ev() - there.fixed.energy_ev();
        factor.push(difference.chain(others), (expected - fixed) / deviation);
    }

    /// From where the kernels begin to a little beyond the shortest distance in the data.
    fn distances(&self, pair: [Species; 2], step_angstrom: f64) -> impl Iterator<Item = f64> {
        let start = self.term.outer_angstrom;
        points(start, (1.0 + OVERLAP) * (self.repulsion.data_begin_angstrom(pair) - start), step_angstrom)
    }

    /// The energy of two atoms relative to separated ones follows the expected repulsion, and in gaps between data its slope does.
    fn add_pair(&self, pair: [Species; 2], factor: &mut Factor) -> Result<(), Error> {
        let prior = &self.settings.prior.isolated_pair;
        let expected = |r: f64| self.repulsion.energy_ev(self.term, pair, r);
        let rows = |r: f64| self.rows(&Atoms::dimer(pair, r));
        let separated = rows(self.model.cutoff_angstrom() + 1.0)?;
        for r in self.distances(pair, prior.step_angstrom) {
            let deviation = prior.deviation_ev.hypot(prior.relative * expected(r));
            self.push(factor, [&rows(r)?, &separated], expected(r), deviation);
        }
        for gap in self.repulsion.gaps_angstrom(pair) {
            let step = prior.step_angstrom;
            for r in points(gap.start - 0.5 * step, gap.end - gap.start, step) {
                let drop = expected(r) - expected(r + step);
                let deviation = (prior.deviation_ev * step).hypot(prior.relative * drop);
                self.push(factor, [&rows(r)?, &rows(r + step)?], drop, deviation);
            }
        }
        Ok(())
    }

    /// The energy of several atoms close to each other is that of their pairs.
    fn add_clusters(&self, [center, others]: [Species; 2], factor: &mut Factor) -> Result<(), Error> {
        let Some(prior) = &self.settings.prior.isolated_cluster else { return Ok(()) };
        for shape in [&TETRAHEDRON[..], &OCTAHEDRON[..]] {
            for r in self.distances([center, others], prior.step_angstrom) {
                let atoms = cluster(center, others, shape, r);
                let expected = self.repulsion_ev(&atoms);
                let separated = cluster(center, others, shape, 2.0 * self.model.cutoff_angstrom());
                let deviation = prior.relative * expected;
                if deviation > 0.0 {
                    self.push(factor, [&self.rows(&atoms)?, &self.rows(&separated)?], expected, deviation);
                }
            }
        }
        Ok(())
    }

    /// Sum of the expected repulsions of all pairs.
    fn repulsion_ev(&self, atoms: &Atoms) -> f64 {
        let pairs = (0..atoms.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
        let energy = |(i, j): (usize, usize)| {
            let pair = [atoms.species[i], atoms.species[j]];
            self.repulsion.energy_ev(self.term, pair, atoms.positions[i].distance(atoms.positions[j]))
        };
        pairs.map(energy).sum()
    }
}

/// Neighbours of the central atom, at distance 1: three, as far from each other as from it, ...
const TETRAHEDRON: [DVec3; 3] = [
    DVec3::new(std::f64::consts::FRAC_1_SQRT_2, std::f64::consts::FRAC_1_SQRT_2, 0.0),
    DVec3::new(std::f64::consts::FRAC_1_SQRT_2, 0.0, std::f64::consts::FRAC_1_SQRT_2),
    DVec3::new(0.0, std::f64::consts::FRAC_1_SQRT_2, std::f64::consts::FRAC_1_SQRT_2),
];
/// ... and six around it.
const OCTAHEDRON: [DVec3; 6] = [DVec3::X, DVec3::NEG_X, DVec3::Y, DVec3::NEG_Y, DVec3::Z, DVec3::NEG_Z];

fn cluster(center: Species, others: Species, shape: &[DVec3], distance_angstrom: f64) -> Atoms {
    let mut atoms = Atoms::dimer([center, others], distance_angstrom);
    atoms.species = std::iter::once(center).chain(shape.iter().map(|_| others)).collect();
    atoms.positions = std::iter::once(DVec3::ZERO).chain(shape.iter().map(|d| *d * distance_angstrom)).collect();
    atoms
}

/// `start`, `start + step`, ... below `start + range`.
fn points(start: f64, range: f64, step: f64) -> impl Iterator<Item = f64> {
    let count = (range / step).ceil().max(0.0) as usize;
    (0..count).map(move |k| start + step * k as f64)
}
