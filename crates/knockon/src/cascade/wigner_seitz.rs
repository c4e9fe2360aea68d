//! Wigner-Seitz analysis: which sites of the perfect crystal are empty, shared, or held by another element.
//!
//! Each atom belongs to the nearest site of the perfect crystal (Nordlund et al., Phys. Rev. B 57, 7556 (1998)). The box is
//! first mapped onto that of the perfect crystal, and the drift of all atoms together is taken off.

use crate::{Atoms, Cell, Error, Species};
use glam::DVec3;
use serde::{Deserialize, Serialize};

/// Point defects of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpeciesDefects {
    /// The element.
    pub species: Species,
    /// Sites of this element that no atom belongs to.
    pub vacancies: usize,
    /// Atoms of this element on sites that belong to another atom. Of several atoms on one site, the site belongs to the
    /// nearest of its own element, or else to the nearest.
    pub interstitials: usize,
    /// Atoms of this element to which a site of another element belongs.
    pub antisites: usize,
}

impl SpeciesDefects {
    /// Vacancies that an interstitial of the same element pairs with, wherever it is.
    pub fn frenkel_pairs(&self) -> usize {
        self.vacancies.min(self.interstitials)
    }
}

/// Point defects of a box.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defects {
    /// One entry for each element of the crystal, in order of atomic number.
    pub species: Vec<SpeciesDefects>,
    /// Atoms that ended nearest to another site than their own, replacements included.
    pub left_site_atoms: usize,
}

impl Defects {
    /// Compares a box with the perfect crystal, whose atoms are the same in the same order. The box may be shifted (less
    /// than half its size) and homogeneously strained. Fails if the atoms are others.
    pub fn find(perfect: &Atoms, atoms: &Atoms) -> Result<Self, Error> {
        if perfect.species != atoms.species {
            let found = "expected the atoms of the perfect crystal in the same order, found others";
            return Err(Error::input(
                "Wigner-Seitz analysis",
                found,
                "Compare a box with the crystal that it was made of",
            ));
        }
        let mut occupants = vec![Vec::new(); perfect.len()];
        let sites = Sites::new(perfect);
        let mut left_site_atoms = 0;
        for (atom, position) in onto(perfect, atoms).into_iter().enumerate() {
            let (site, distance) = sites.nearest(position);
            occupants[site].push((distance, atom));
            left_site_atoms += usize::from(site != atom);
        }
        let kinds = perfect.elements();
        let none = |species| SpeciesDefects { species, vacancies: 0, interstitials: 0, antisites: 0 };
        let mut species: Vec<SpeciesDefects> = kinds.iter().copied().map(none).collect();
        let kind = |of: Species| kinds.binary_search(&of).expect("all elements are listed");
        for (site, occupants) in occupants.iter().enumerate() {
            let own = |atom: usize| atoms.species[atom] == perfect.species[site];
            let owner = occupants.iter().min_by(|a, b| own(b.1).cmp(&own(a.1)).then(a.0.total_cmp(&b.0)));
            let Some((_, owner)) = owner.copied() else {
                species[kind(perfect.species[site])].vacancies += 1;
                continue;
            };
            species[kind(atoms.species[owner])].antisites += usize::from(!own(owner));
            for (_, atom) in occupants.iter().filter(|(_, atom)| *atom != owner) {
                species[kind(atoms.species[*atom])].interstitials += 1;
            }
        }
        Ok(Self { species, left_site_atoms })
    }

    /// Sum over the elements of one of their counts.
    pub fn total(&self, count: impl Fn(&SpeciesDefects) -> usize) -> usize {
        self.species.iter().map(count).sum()
    }
}

/// Positions in the box of the perfect crystal, homogeneous strain and drift taken off. Most atoms only drifted, so the
/// median displacement is the drift: unlike the displacement of the centre of mass, it does not feel the few that went far.
fn onto(perfect: &Atoms, atoms: &Atoms) -> Vec<DVec3> {
    let map = perfect.cell.vectors * atoms.cell.vectors.inverse();
    let mapped: Vec<DVec3> = atoms.positions.iter().map(|p| map * *p).collect();
    let displacements: Vec<DVec3> =
        mapped.iter().zip(&perfect.positions).map(|(p, site)| perfect.cell.minimum_image(*p - *site)).collect();
    let drift = median(&displacements);
    mapped.into_iter().map(|p| p - drift).collect()
}

/// The median along each axis.
pub(super) fn median(vectors: &[DVec3]) -> DVec3 {
    let along = |axis: usize| {
        let mut values: Vec<f64> = vectors.iter().map(|v| v[axis]).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    };
    DVec3::new(along(0), along(1), along(2))
}

/// Bins are at least this thick, in angstrom: no point of a crystal is much farther from all its sites.
const BIN_ANGSTROM: f64 = 3.0;

/// Sites of the crystal in bins.
struct Sites<'a> {
    cell: Cell,
    positions: &'a [DVec3],
    counts: [usize; 3],
    bins: Vec<Vec<usize>>,
}

impl<'a> Sites<'a> {
    fn new(crystal: &'a Atoms) -> Self {
        let faces = crystal.cell.face_distances_angstrom().to_array();
        let counts = faces.map(|d| ((d / BIN_ANGSTROM) as usize).max(1));
        let mut sites = Self {
            cell: crystal.cell,
            positions: &crystal.positions,
            counts,
            bins: vec![Vec::new(); counts.iter().product()],
        };
        for (site, position) in crystal.positions.iter().enumerate() {
            let bin = sites.index(sites.bin(*position));
            sites.bins[bin].push(site);
        }
        sites
    }

    fn bin(&self, position: DVec3) -> [usize; 3] {
        let fractional = self.cell.fractional(position).to_array();
        let periodic: [bool; 3] = self.cell.periodic.into();
        std::array::from_fn(|axis| {
            let x = if periodic[axis] { fractional[axis].rem_euclid(1.0) } else { fractional[axis].max(0.0) };
            ((x * self.counts[axis] as f64) as usize).min(self.counts[axis] - 1)
        })
    }

    fn index(&self, bin: [usize; 3]) -> usize {
        (bin[0] * self.counts[1] + bin[1]) * self.counts[2] + bin[2]
    }

    /// The nearest site and its distance in angstrom; of equally near sites the first.
    fn nearest(&self, position: DVec3) -> (usize, f64) {
        let bin = self.bin(position);
        let around = |axis: usize| {
            let n = self.counts[axis];
            [n - 1, 0, 1].map(|step| (bin[axis] + step) % n)
        };
        let mut candidates = Vec::new();
        for i in around(0) {
            for j in around(1) {
                for k in around(2) {
                    candidates.extend_from_slice(&self.bins[self.index([i, j, k])]);
                }
            }
        }
        let best = self.nearest_of(position, candidates.into_iter());
        // Beyond the thickness of a bin, a site in a bin that was not looked at may be nearer.
        if best.1 < BIN_ANGSTROM { best } else { self.nearest_of(position, 0..self.positions.len()) }
    }

    fn nearest_of(&self, position: DVec3, sites: impl Iterator<Item = usize>) -> (usize, f64) {
        let distance = |site: usize| (site, self.cell.minimum_image(position - self.positions[site]).length());
        let nearer = |a: (usize, f64), b: (usize, f64)| if (b.1, b.0) < (a.1, a.0) { b } else { a };
        sites.map(distance).fold((usize::MAX, f64::INFINITY), nearer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::calcium_tungstate;
    use glam::DMat3;

    /// 3x3x2 conventional cells of CaWO4.
    fn crystal() -> Atoms {
        calcium_tungstate().supercell([3, 3, 2])
    }

    /// (vacancies, interstitials, antisites) of an element.
    fn counts(defects: &Defects, symbol: &str) -> (usize, usize, usize) {
        let of = |s: &&SpeciesDefects| s.species.symbol() == symbol;
        let s = defects.species.iter().find(of).expect("an element of the crystal");
        (s.vacancies, s.interstitials, s.antisites)
    }

    fn atom(atoms: &Atoms, symbol: &str, number: usize) -> usize {
        let all = (0..atoms.len()).filter(|i| atoms.species[*i].symbol() == symbol);
        all.into_iter().nth(number).expect("an atom")
    }

    /// One tungsten Frenkel pair, one calcium-tungsten antisite pair, one ring of two oxygen atoms.
    fn damaged() -> Atoms {
        let mut atoms = crystal();
        let (tungsten, host) = (atom(&atoms, "W", 3), atom(&atoms, "Ca", 20));
        atoms.positions[tungsten] = atoms.positions[host] + DVec3::new(0.5, 0.4, 0.3);
        for [a, b] in [[atom(&atoms, "Ca", 5), atom(&atoms, "W", 30)], [atom(&atoms, "O", 7), atom(&atoms, "O", 90)]] {
            atoms.positions.swap(a, b);
        }
        atoms
    }

    fn check_damage(found: &Defects) {
        assert_eq!(counts(found, "W"), (1, 1, 1));
        assert_eq!(counts(found, "Ca"), (0, 0, 1));
        assert_eq!(counts(found, "O"), (0, 0, 0));
        assert_eq!(found.left_site_atoms, 5);
        assert_eq!(found.total(SpeciesDefects::frenkel_pairs), 1);
    }

    #[test]
    fn a_perfect_crystal_has_no_defects() {
        let found = Defects::find(&crystal(), &crystal()).expect("the same atoms");
        let symbols: Vec<&str> = found.species.iter().map(|s| s.species.symbol()).collect();
        assert_eq!(symbols, ["O", "Ca", "W"]);
        assert_eq!(found.total(|s| s.vacancies + s.interstitials + s.antisites) + found.left_site_atoms, 0);
    }

    #[test]
    fn constructed_defects_are_found() {
        check_damage(&Defects::find(&crystal(), &damaged()).expect("the same atoms"));
    }

    #[test]
    fn drift_strain_noise_and_wrapping_change_nothing() {
        let mut atoms = damaged();
        let strain =
            DMat3::from_cols(DVec3::new(1.02, 0.01, 0.0), DVec3::new(0.0, 0.99, 0.0), DVec3::new(0.0, 0.02, 1.015));
        atoms.cell.vectors = strain * atoms.cell.vectors;
        for (i, p) in atoms.positions.iter_mut().enumerate() {
            let noise = DVec3::new((i * 7 % 11) as f64, (i * 5 % 13) as f64, (i * 3 % 7) as f64) * 0.01;
            *p = strain * *p + DVec3::new(2.3, -1.7, 0.9) + noise;
            if i % 3 == 0 {
                *p += atoms.cell.vectors.y_axis - atoms.cell.vectors.z_axis;
            }
        }
        check_damage(&Defects::find(&crystal(), &atoms).expect("the same atoms"));
    }

    /// An element that moves on: the atoms of a replacement chain leave their sites, only its ends are defects.
    #[test]
    fn replacement_chains_are_not_defects() {
        let mut atoms = crystal();
        let row: Vec<usize> = [0, 12, 24].map(|number| atom(&atoms, "O", number)).to_vec();
        let ends = [atoms.positions[row[1]], atoms.positions[row[2]], atoms.positions[row[2]] + DVec3::X * 0.3];
        for (oxygen, end) in row.iter().zip(ends) {
            atoms.positions[*oxygen] = end;
        }
        let found = Defects::find(&crystal(), &atoms).expect("the same atoms");
        assert_eq!(counts(&found, "O"), (1, 1, 0));
        assert_eq!(found.left_site_atoms, 2);
    }

    /// The bins give what a search among all sites gives.
    #[test]
    fn bins_find_the_nearest_site() {
        let (perfect, atoms) = (crystal(), damaged());
        let sites = Sites::new(&perfect);
        for (i, p) in atoms.positions.iter().enumerate() {
            let p = *p + DVec3::new(0.9, -1.1, 0.7) * ((i % 17) as f64 / 4.0);
            assert_eq!(sites.nearest(p), sites.nearest_of(p, 0..perfect.len()));
        }
    }

    #[test]
    fn other_atoms_are_refused() {
        let mut atoms = crystal();
        atoms.species.swap(0, 40);
        assert!(Defects::find(&crystal(), &atoms).is_err());
    }
}
