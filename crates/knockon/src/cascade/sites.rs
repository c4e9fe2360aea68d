//! Sites of an element that no symmetry of the crystal maps onto each other: recoils from them differ.

use super::starts::{nearest_to_middle, no_such_atom};
use crate::symmetry::{POSITION_TOLERANCE_ANGSTROM, crystal_symmetry};
use crate::{Atoms, Cell, Error, Species};

/// An operation takes an atom onto its like within this distance (angstrom): well above the tolerance of the symmetry, well
/// below the distance of two atoms.
const SAME_POSITION_ANGSTROM: f64 = 0.1;

/// More sites than this are not listed: a crystal that is not ideal has as many as atoms.
const MAX_LISTED: usize = 12;

/// One of the inequivalent sites of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoilSite {
    /// From 1.
    pub number: usize,
    /// Atoms in the cell that the crystal is given in.
    pub multiplicity: usize,
    /// How many sites the element has.
    pub n_sites: usize,
}

/// The sites of one element in a crystal, equivalent ones as one. They are numbered from 1 in the order in which their first
/// atoms stand in the crystal.
pub struct InequivalentSites<'a> {
    crystal: &'a Atoms,
    species: Species,
    /// Atoms of the crystal by site.
    atoms: Vec<Vec<usize>>,
}

impl<'a> InequivalentSites<'a> {
    /// Looks for the sites of an element. Fails if the crystal does not have it, or if its symmetry cannot be found.
    pub fn find(crystal: &'a Atoms, species: Species) -> Result<Self, Error> {
        let symmetry = crystal_symmetry(crystal, POSITION_TOLERANCE_ANGSTROM)?;
        let primitive = Cell { vectors: symmetry.primitive_vectors, periodic: crystal.cell.periodic };
        let is_image = |from: usize, to: usize| {
            symmetry.operations.iter().any(|operation| {
                let off = operation.apply(crystal.positions[from]) - crystal.positions[to];
                primitive.minimum_image(off).length() < SAME_POSITION_ANGSTROM
            })
        };
        let mut atoms: Vec<Vec<usize>> = Vec::new();
        for atom in (0..crystal.len()).filter(|atom| crystal.species[*atom] == species) {
            match atoms.iter_mut().find(|site| is_image(site[0], atom)) {
                Some(site) => site.push(atom),
                None => atoms.push(vec![atom]),
            }
        }
        if atoms.is_empty() { Err(no_such_atom(species)) } else { Ok(Self { crystal, species, atoms }) }
    }

    /// The site of an atom of the crystal; none if it is of another element.
    pub fn of_atom(&self, atom: usize) -> Option<RecoilSite> {
        let index = self.atoms.iter().position(|atoms| atoms.contains(&atom))?;
        Some(RecoilSite { number: index + 1, multiplicity: self.atoms[index].len(), n_sites: self.count() })
    }

    /// How many sites there are, at least one.
    pub fn count(&self) -> usize {
        self.atoms.len()
    }

    /// The atom of a site that is nearest to the middle of a box of so many unit cells. Fails without the number of the site if
    /// there are several.
    pub fn central_atom(&self, cells: [usize; 3], site: Option<usize>) -> Result<usize, Error> {
        let atoms = self.chosen(site)?;
        let nearest = nearest_to_middle(&self.crystal.supercell(cells), |atom| {
            // Atom k of the box is atom k mod n of the unit cell.
            atoms.contains(&(atom % self.crystal.len()))
        });
        nearest.ok_or_else(|| no_such_atom(self.species))
    }

    /// The atoms of the site that is asked for. Fails if there is none of this number, or several and none is asked for.
    pub(super) fn chosen(&self, site: Option<usize>) -> Result<&[usize], Error> {
        let number = site.or((self.count() == 1).then_some(1));
        let chosen = number.and_then(|number| self.atoms.get(number.checked_sub(1)?));
        chosen.map(Vec::as_slice).ok_or_else(|| {
            let (species, count) = (self.species, self.count());
            let asked = site.map_or("none".to_owned(), |site| format!("site {site}"));
            let list = self.list();
            let found = format!("expected one of the {count} inequivalent sites of {species} ({list}), found {asked}");
            Error::input(
                "site",
                found,
                "Give the number of the one that recoils (`site = 1` in the settings, --site 1)",
            )
        })
    }

    /// Number, multiplicity (atoms in the cell that the crystal is given in) and fractional coordinates of each, as words.
    pub fn list(&self) -> String {
        let describe = |(index, atoms): (usize, &Vec<usize>)| {
            let f = self.crystal.cell.fractional(self.crystal.positions[atoms[0]]);
            format!(
                "site {}: multiplicity {}, first atom at ({:.4} {:.4} {:.4})",
                index + 1,
                atoms.len(),
                f.x,
                f.y,
                f.z
            )
        };
        let mut listed: Vec<String> = self.atoms.iter().enumerate().take(MAX_LISTED).map(describe).collect();
        if self.count() > MAX_LISTED {
            listed.push(format!("{} more", self.count() - MAX_LISTED));
        }
        listed.join("; ")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cascade::central_atom;
    use crate::dynamics::testing::{calcium_tungstate, cubic_cell, element};

    /// Argon on the corners and faces of a cube, which a tungsten atom in its middle tells apart.
    pub(in crate::cascade) fn two_sites() -> Atoms {
        let mut crystal = cubic_cell(2.8);
        crystal.species.push(element("W"));
        crystal.positions.push(crystal.cell.vectors * glam::DVec3::splat(0.5));
        crystal
    }

    #[test]
    fn equivalent_atoms_are_one_site() {
        let scheelite = calcium_tungstate();
        for (crystal, symbol) in [(&scheelite, "W"), (&scheelite, "Ca"), (&scheelite, "O"), (&cubic_cell(2.8), "Ar")] {
            let sites = InequivalentSites::find(crystal, element(symbol)).expect("a crystal");
            assert_eq!(sites.count(), 1, "{symbol}");
            // With one site, it is the atom that is kicked without any choice.
            let cells = [3, 2, 2];
            let expected = central_atom(&crystal.supercell(cells), element(symbol)).expect("an atom");
            for site in [None, Some(1)] {
                assert_eq!(sites.central_atom(cells, site).expect("an atom"), expected);
            }
        }
        let error = InequivalentSites::find(&scheelite, element("Ar")).err().expect("no such atom").to_string();
        assert!(error.contains("expected an atom of Ar"), "{error}");
    }

    #[test]
    fn of_several_sites_one_must_be_chosen() {
        let crystal = two_sites();
        let sites = InequivalentSites::find(&crystal, element("Ar")).expect("a crystal");
        assert_eq!((sites.count(), sites.chosen(Some(1)).expect("one atom").len()), (2, 1));
        for site in [None, Some(0), Some(3)] {
            let error = sites.central_atom([2; 3], site).expect_err("no choice").to_string();
            let expected = [
                "2 inequivalent sites of Ar",
                "site 1: multiplicity 1",
                "site 2: multiplicity 3",
                "(0.0000 0.5000 0.5000)",
            ];
            assert!(expected.iter().all(|words| error.contains(words)), "{error}");
        }
        for site in [1, 2] {
            let atom = sites.central_atom([2; 3], Some(site)).expect("an atom") % crystal.len();
            assert_eq!(atom == 0, site == 1);
            assert_eq!(crystal.species[atom].symbol(), "Ar");
        }
    }
}
