//! Which sites of the crystal are empty and which atoms sit between the sites (Wigner and Seitz, per sublattice).

use crate::Atoms;
use glam::DVec3;
use serde::{Deserialize, Serialize};

/// Empty sites and extra atoms of one box.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Occupation {
    /// Sites of the perfect box that no atom of their species is nearest to.
    pub vacant_sites: Vec<usize>,
    /// Atoms whose nearest site of their species has a nearer atom.
    pub interstitials: Vec<usize>,
}

/// Compares a box with the perfect box of the same cell, in which atom k sits on site k. The boxes may be shifted against
/// each other.
pub fn occupation(atoms: &Atoms, perfect: &Atoms) -> Occupation {
    let shift = common_shift(atoms, perfect);
    let mut occupants: Vec<Vec<(f64, usize)>> = vec![Vec::new(); perfect.len()];
    for (atom, position) in atoms.positions.iter().enumerate() {
        let sites = (0..perfect.len()).filter(|site| perfect.species[*site] == atoms.species[atom]);
        let distance = |site: usize| perfect.cell.minimum_image(*position - shift - perfect.positions[site]).length();
        let nearest = sites.map(|site| (distance(site), site)).min_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((distance, site)) = nearest {
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

/// The median displacement: what the boxes are shifted by, whatever a few atoms do.
fn common_shift(atoms: &Atoms, perfect: &Atoms) -> DVec3 {
    let moved: Vec<DVec3> =
        atoms.positions.iter().zip(&perfect.positions).map(|(a, b)| atoms.cell.minimum_image(*a - *b)).collect();
    let median = |axis: usize| {
        let mut along: Vec<f64> = moved.iter().map(|d| d[axis]).collect();
        crate::math::quantile(&mut along, 0.5)
    };
    DVec3::new(median(0), median(1), median(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::calcium_tungstate;

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
}
