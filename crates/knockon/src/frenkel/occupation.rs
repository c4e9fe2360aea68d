//! Which sites of the crystal are empty and which atoms sit between the sites (Wigner and Seitz, per sublattice).

use super::sites::{Sites, onto};
use crate::Atoms;
use serde::{Deserialize, Serialize};

/// Empty sites and extra atoms of one box.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Occupation {
    /// Sites of the perfect box that no atom of their species is nearest to.
    pub vacant_sites: Vec<usize>,
    /// Atoms whose nearest site of their species has a nearer atom.
    pub interstitials: Vec<usize>,
}

/// Compares a box with the perfect box, in which atom k sits on site k. The boxes may be shifted against each other, and one
/// may be a homogeneously strained copy.
pub fn occupation(atoms: &Atoms, perfect: &Atoms) -> Occupation {
    let sites = Sites::new(perfect);
    let mut occupants: Vec<Vec<(f64, usize)>> = vec![Vec::new(); perfect.len()];
    for (atom, position) in onto(perfect, atoms).into_iter().enumerate() {
        let is_own_species = |site: usize| perfect.species[site] == atoms.species[atom];
        if let Some((site, distance)) = sites.nearest(position, is_own_species) {
            occupants[site].push((distance, atom));
        }
    }
    let vacant_sites = (0..perfect.len()).filter(|site| occupants[*site].is_empty()).collect();
    let mut interstitials = Vec::new();
    for crowd in &mut occupants {
        crowd.sort_by(|a, b| a.0.total_cmp(&b.0));
        interstitials.extend(crowd.iter().skip(1).map(|(_, atom)| *atom));
    }
    interstitials.sort_unstable();
    Occupation { vacant_sites, interstitials }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::calcium_tungstate;
    use glam::DVec3;

    #[test]
    fn a_moved_atom_leaves_a_vacancy_and_a_renumbered_crystal_does_not() {
        let perfect = calcium_tungstate().supercell([2, 2, 1]);
        let oxygens: Vec<usize> = (0..perfect.len()).filter(|i| perfect.species[*i].symbol() == "O").collect();
        let mut atoms = perfect.clone();
        atoms.positions.iter_mut().for_each(|p| *p += DVec3::new(0.3, -0.2, 0.1));
        atoms.positions.swap(oxygens[0], oxygens[5]);
        assert_eq!(occupation(&atoms, &perfect), Occupation::default());
        // From its site to near another one: the first is empty, the second has two.
        let step = perfect.cell.minimum_image(atoms.positions[oxygens[9]] - atoms.positions[oxygens[3]]);
        atoms.positions[oxygens[3]] += step * 0.8;
        let found = occupation(&atoms, &perfect);
        assert_eq!((found.vacant_sites, found.interstitials), (vec![oxygens[3]], vec![oxygens[3]]));
    }

    /// As a box is whose cell was relaxed too.
    #[test]
    fn a_strained_box_is_no_defect() {
        let perfect = calcium_tungstate().supercell([3, 3, 2]);
        let mut atoms = perfect.clone();
        atoms.cell.vectors *= 1.2;
        atoms.positions.iter_mut().for_each(|p| *p *= 1.2);
        assert_eq!(occupation(&atoms, &perfect), Occupation::default());
    }
}
