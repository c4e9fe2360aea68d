//! Wigner-Seitz analysis: which sites of the perfect crystal are empty, shared, or held by another element.
//!
//! Each atom belongs to the nearest site of the perfect crystal (Nordlund et al., Phys. Rev. B 57, 7556 (1998)). The box is
//! first mapped onto that of the perfect crystal, and the drift of all atoms together is taken off.

use crate::frenkel::sites::{Sites, onto};
use crate::{Atoms, Error, Species};
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
            // There is a site for each atom, so one is nearest.
            let Some((site, distance)) = sites.nearest(position, |_| true) else { continue };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::calcium_tungstate;
    use crate::frenkel::occupation;
    use glam::{DMat3, DVec3};

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

    /// The two counts differ where an atom is nearest to a site of another element, and only there.
    #[test]
    fn pairs_and_cascades_count_the_same_vacancies() {
        let (perfect, mut atoms) = (crystal(), crystal());
        let moved = atom(&atoms, "O", 40);
        atoms.positions[moved] = atoms.positions[atom(&atoms, "O", 90)] + DVec3::new(0.4, 0.3, -0.2);
        atoms.positions.iter_mut().for_each(|p| *p += DVec3::new(1.3, -0.7, 2.9));
        let (found, pairs) = (Defects::find(&perfect, &atoms).expect("the same atoms"), occupation(&atoms, &perfect));
        assert_eq!(counts(&found, "O"), (pairs.vacant_sites.len(), pairs.interstitials.len(), 0));
        assert_eq!(pairs.vacant_sites, [moved]);
    }

    #[test]
    fn other_atoms_are_refused() {
        let mut atoms = crystal();
        atoms.species.swap(0, 40);
        assert!(Defects::find(&crystal(), &atoms).is_err());
    }
}
