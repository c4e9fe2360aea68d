//! Where a search for Frenkel pairs starts: interstitial positions on a grid, each with the vacancies around it, without
//! those that symmetry makes equal.

use super::labels::in_lattice_of;
use super::lattice::CrystalLattice;
use super::settings::FrenkelSettings;
use super::sites::Sites;
use crate::dataset::{formula, rotations};
use crate::{Atoms, Error, Species};
use glam::DVec3;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Positions closer than this (angstrom) are the same.
const SAME_POSITION_ANGSTROM: f64 = 0.01;

/// One atom that is moved from its site to an interstitial position.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// The element.
    pub species: Species,
    /// Its site, in angstrom.
    pub vacancy: DVec3,
    /// Where it goes, in angstrom.
    pub interstitial: DVec3,
}

impl Start {
    /// A perfect box of the crystal with the atom moved.
    pub fn place(&self, perfect: &Atoms) -> Result<Atoms, Error> {
        let mut atoms = perfect.clone();
        let site = site_at(perfect, self.vacancy, self.species)?;
        atoms.positions[site] += self.interstitial - self.vacancy;
        Ok(atoms)
    }

    /// Names the interstitial position, in pm: starts from the same place are relatives, whatever model relaxes them.
    pub fn site(&self) -> String {
        let picometres = self.interstitial.to_array().map(|x| (100.0 * x).round() as i64);
        format!("{}pm", picometres.map(|x| x.to_string()).join("/"))
    }
}

/// Atoms nearer to a site than this, in angstrom, may be said to be on it.
const ON_SITE_ANGSTROM: f64 = 1.0;
/// A box in which fewer than this part of the atoms are on sites is of another crystal, or turned: of scheelite in its other setting
/// eight of ten are.
const ON_SITES: f64 = 0.85;
/// Atoms of the rarest element of which one, at least, is where it belongs.
const ANCHORS: usize = 3;

/// A box with a Frenkel pair that is known already, to be relaxed too: in the lattice of the perfect box, of which its own may be a
/// strained form, turned and moved onto its sites, with its atoms in the order of the sites that they are nearest to. The start is the
/// atom farthest from its site. None if it is no box of these atoms on these sites.
pub(super) fn given_start(perfect: &Atoms, given: &Atoms) -> Option<(Start, Atoms)> {
    if formula(perfect) != formula(given) {
        return None;
    }
    let given = on_sites_of(perfect, &in_lattice_of(perfect, given)?)?;
    let displacement =
        |site: usize, atom: usize| perfect.cell.minimum_image(given.positions[atom] - perfect.positions[site]);
    let mut near: Vec<(f64, usize, usize)> = Vec::new();
    for site in 0..perfect.len() {
        let same = (0..perfect.len()).filter(|atom| given.species[*atom] == perfect.species[site]);
        near.extend(same.map(|atom| (displacement(site, atom).length(), site, atom)));
    }
    near.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let (mut atom_of, mut is_taken) = (vec![None; perfect.len()], vec![false; perfect.len()]);
    for (_, site, atom) in near {
        if atom_of[site].is_none() && !is_taken[atom] {
            (atom_of[site], is_taken[atom]) = (Some(atom), true);
        }
    }
    let moves: Vec<DVec3> =
        atom_of.iter().enumerate().map(|(site, atom)| Some(displacement(site, (*atom)?))).collect::<Option<_>>()?;
    let farthest = (0..moves.len()).max_by(|a, b| moves[*a].length().total_cmp(&moves[*b].length()))?;
    let positions: Vec<DVec3> = perfect.positions.iter().zip(&moves).map(|(site, moved)| *site + *moved).collect();
    let (species, vacancy) = (perfect.species[farthest], perfect.positions[farthest]);
    let start = Start { species, vacancy, interstitial: positions[farthest] };
    Some((start, Atoms { positions, ..perfect.clone() }))
}

/// A box turned, mirrored and moved as a whole such that most of its atoms are on sites of the perfect box, in whose lattice it is.
fn on_sites_of(perfect: &Atoms, given: &Atoms) -> Option<Atoms> {
    let sites = Sites::new(perfect);
    let is_on_site = |position: DVec3, species: Species| {
        let nearest = sites.nearest(position, |site| perfect.species[site] == species);
        nearest.is_some_and(|(_, distance)| distance < ON_SITE_ANGSTROM)
    };
    let share = |positions: &[DVec3]| {
        let on_sites = positions.iter().zip(&given.species).filter(|(p, species)| is_on_site(**p, **species)).count();
        on_sites as f64 / positions.len() as f64
    };
    let count = |species: &Species| given.species.iter().filter(|s| *s == species).count();
    let rarest = given.species.iter().min_by_key(|species| count(species))?;
    let of_rarest = |atoms: &Atoms| (0..atoms.len()).filter(|k| atoms.species[*k] == *rarest).collect::<Vec<_>>();
    let (anchors, places) = (of_rarest(given), of_rarest(perfect));
    let as_it_is = std::iter::once(given.positions.clone());
    let turned = rotations(given, perfect, SAME_POSITION_ANGSTROM).into_iter().flat_map(|rotation| {
        let turned: Vec<DVec3> = given.positions.iter().map(|p| rotation * *p).collect();
        let onto = |anchor: usize, place: usize| {
            let shift = perfect.positions[place] - turned[anchor];
            turned.iter().map(|p| *p + shift).collect::<Vec<_>>()
        };
        let pairs = anchors.iter().take(ANCHORS).flat_map(|anchor| places.iter().map(|place| (*anchor, *place)));
        pairs.map(|(anchor, place)| onto(anchor, place)).collect::<Vec<_>>()
    });
    let found = as_it_is.chain(turned).find(|positions| share(positions) >= ON_SITES)?;
    Some(Atoms { cell: perfect.cell, positions: found, ..given.clone() })
}

/// The atom of a perfect box on the site at a position, given up to lattice vectors of the box.
pub(super) fn site_at(perfect: &Atoms, position: DVec3, species: Species) -> Result<usize, Error> {
    let distance = |site: &usize| perfect.cell.minimum_image(perfect.positions[*site] - position).length();
    let sites = (0..perfect.len()).filter(|site| perfect.species[*site] == species);
    let nearest = sites.min_by(|a, b| distance(a).total_cmp(&distance(b)));
    nearest.filter(|site| distance(site) < 0.3).ok_or_else(|| {
        let problem = format!("the relaxed perfect box has no {species} within 0.3 A of its ideal site at {position}");
        Error::computation(problem, "Check that the model keeps this crystal: relax the crystal with it first")
    })
}

/// All inequivalent starts, species by species.
pub fn inequivalent_starts(lattice: &CrystalLattice, settings: &FrenkelSettings) -> Result<Vec<Start>, Error> {
    let positions = inequivalent_positions(lattice, settings.grid_spacing_angstrom);
    let mut starts = Vec::new();
    for species in &settings.species {
        if !lattice.primitive.species.contains(species) {
            let found = format!("expected elements of the crystal, found {species}");
            return Err(Error::input("species", found, "Name elements that the crystal holds"));
        }
        for position in &positions {
            let vacancies = vacancies(lattice, *species, *position, settings);
            let start = |vacancy| Start { species: *species, vacancy, interstitial: *position };
            starts.extend(vacancies.into_iter().map(start));
        }
    }
    if starts.is_empty() {
        let found = format!("no grid point is {} A away from all atoms", settings.min_distance_angstrom);
        return Err(Error::input("min_distance_angstrom", found, "Lower it, or give a finer grid or a longer reach"));
    }
    Ok(starts)
}

/// Points of a regular grid in the crystal, one of each orbit of the space group.
pub fn inequivalent_positions(lattice: &CrystalLattice, spacing_angstrom: f64) -> Vec<DVec3> {
    let counts = grid_counts(lattice, spacing_angstrom);
    let mut kept: Vec<DVec3> = Vec::new();
    let mut images = Images::new(lattice);
    for i in 0..counts[0] {
        for j in 0..counts[1] {
            for k in 0..counts[2] {
                let fraction =
                    DVec3::new(i as f64 / counts[0] as f64, j as f64 / counts[1] as f64, k as f64 / counts[2] as f64);
                let point = lattice.symmetry.origin + lattice.symmetry.conventional_vectors * fraction;
                if !images.contain(point) {
                    images.add_all_of(point);
                    kept.push(point);
                }
            }
        }
    }
    kept
}

/// Points and all that symmetry makes equal to them, by small bins of the primitive cell, so that a point is looked up
/// without a walk through all others: a grid of 0.1 A has some hundred thousand.
struct Images<'a> {
    lattice: &'a CrystalLattice,
    /// Number of bins along each primitive vector: no thinner than [`SAME_POSITION_ANGSTROM`].
    counts: [i32; 3],
    points_by_bin: HashMap<[i32; 3], Vec<DVec3>>,
}

impl<'a> Images<'a> {
    fn new(lattice: &'a CrystalLattice) -> Self {
        let distances = lattice.primitive.cell.face_distances_angstrom().to_array();
        let counts = distances.map(|distance| ((distance / SAME_POSITION_ANGSTROM) as i32).max(1));
        Self { lattice, counts, points_by_bin: HashMap::new() }
    }

    fn bin(&self, point: DVec3) -> [i32; 3] {
        let fraction = (self.lattice.primitive.cell.vectors.inverse() * point).to_array();
        std::array::from_fn(|axis| {
            let number = (fraction[axis].rem_euclid(1.0) * f64::from(self.counts[axis])) as i32;
            number.rem_euclid(self.counts[axis])
        })
    }

    fn add_all_of(&mut self, point: DVec3) {
        for operation in &self.lattice.symmetry.operations {
            let image = operation.apply(point);
            self.points_by_bin.entry(self.bin(image)).or_default().push(image);
        }
    }

    fn contain(&self, point: DVec3) -> bool {
        let bin = self.bin(point);
        let is_same = |other: &DVec3| self.lattice.reduce(point - *other).length() < SAME_POSITION_ANGSTROM;
        (0..27).any(|neighbor| {
            let steps = [neighbor % 3 - 1, neighbor / 3 % 3 - 1, neighbor / 9 - 1];
            let near = std::array::from_fn(|axis| (bin[axis] + steps[axis]).rem_euclid(self.counts[axis]));
            self.points_by_bin.get(&near).is_some_and(|points| points.iter().any(is_same))
        })
    }
}

/// Points along the conventional axes: the fewest with at most the given spacing for which every symmetry operation maps
/// the grid onto itself, so that equivalent points are found as such. If no grid of up to 12 more points along each axis
/// does, just the fewest.
fn grid_counts(lattice: &CrystalLattice, spacing: f64) -> [usize; 3] {
    let vectors = lattice.symmetry.conventional_vectors;
    let fewest: [usize; 3] =
        std::array::from_fn(|axis| ((vectors.col(axis).length() / spacing - 1e-9).ceil() as usize).max(1));
    let mut candidates = Vec::new();
    for a in 0..=12 {
        for b in 0..=12 {
            for c in 0..=12 {
                candidates.push([fewest[0] + a, fewest[1] + b, fewest[2] + c]);
            }
        }
    }
    candidates.sort_by_key(|n| (n.iter().product::<usize>(), *n));
    candidates.into_iter().find(|counts| grid_is_symmetric(lattice, *counts)).unwrap_or(fewest)
}

fn grid_is_symmetric(lattice: &CrystalLattice, counts: [usize; 3]) -> bool {
    let vectors = lattice.symmetry.conventional_vectors;
    let to_grid = |v: DVec3| vectors.inverse() * v * DVec3::from_array(counts.map(|n| n as f64));
    let on_grid = |v: DVec3| to_grid(v).to_array().iter().all(|x| (x - x.round()).abs() < 1e-3);
    let origin = lattice.symmetry.origin;
    let steps: [DVec3; 3] = std::array::from_fn(|axis| vectors.col(axis) / counts[axis] as f64);
    let centring = (0..3).all(|axis| on_grid(lattice.symmetry.primitive_vectors.col(axis)));
    centring
        && lattice.symmetry.operations.iter().all(|operation| {
            on_grid(operation.apply(origin) - origin) && steps.iter().all(|step| on_grid(operation.rotation * *step))
        })
}

/// Sites of a species whose atom may go to a position: within reach, and all other atoms keep their distance from there.
/// One of each orbit of the operations that leave the position where it is; nearest first.
fn vacancies(lattice: &CrystalLattice, species: Species, position: DVec3, settings: &FrenkelSettings) -> Vec<DVec3> {
    // The margin keeps positions at just this distance, for all of an orbit alike.
    let near = sites_within(lattice, position, settings.min_distance_angstrom - 1e-6);
    let sites: Vec<DVec3> = match near.as_slice() {
        [] => sites_within(lattice, position, settings.reach_angstrom),
        // An atom that hardly leaves its own site goes back there.
        [only] if only.1.distance(position) > settings.grid_spacing_angstrom => near,
        _ => Vec::new(),
    }
    .into_iter()
    .filter(|(kind, _)| *kind == species)
    .map(|(_, site)| site)
    .collect();

    let stays = |image: DVec3| lattice.reduce(image - position).length() < SAME_POSITION_ANGSTROM;
    let stabiliser: Vec<_> = lattice.symmetry.operations.iter().filter(|o| stays(o.apply(position))).collect();
    let mut kept: Vec<DVec3> = Vec::new();
    for site in sites {
        let is_image = |other: &DVec3| {
            stabiliser.iter().any(|o| {
                let image = position + o.rotation * (site - position);
                image.distance(*other) < SAME_POSITION_ANGSTROM
            })
        };
        if !kept.iter().any(is_image) {
            kept.push(site);
        }
    }
    kept
}

/// All sites closer than `reach` to a position, nearest first.
fn sites_within(lattice: &CrystalLattice, position: DVec3, reach: f64) -> Vec<(Species, DVec3)> {
    let cell = &lattice.primitive.cell;
    let bounds = cell.face_distances_angstrom().to_array().map(|d| (reach / d).ceil() as i32 + 1);
    let mut sites = Vec::new();
    for (species, site) in lattice.primitive.species.iter().zip(&lattice.primitive.positions) {
        let nearest = position + lattice.reduce(*site - position);
        for a in -bounds[0]..=bounds[0] {
            for b in -bounds[1]..=bounds[1] {
                for c in -bounds[2]..=bounds[2] {
                    let image = nearest + cell.vectors * DVec3::new(f64::from(a), f64::from(b), f64::from(c));
                    if image.distance(position) < reach {
                        sites.push((*species, image));
                    }
                }
            }
        }
    }
    sites.sort_by(|a, b| a.1.distance(position).total_cmp(&b.1.distance(position)));
    sites
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::{calcium_tungstate, cubic_cell, element};

    fn settings(species: &[&str], spacing: f64, distance: f64, reach: f64) -> FrenkelSettings {
        let text = format!(
            "crystal = \"x\"\nrelax_cell = true\nspecies = {species:?}\nsupercells = [2]\ngrid_spacing_angstrom = \
             {spacing}\nmin_distance_angstrom = {distance}\nreach_angstrom = {reach}"
        );
        toml::from_str(&text).expect("settings")
    }

    #[test]
    fn a_start_is_named_by_its_interstitial() {
        let start = |interstitial| Start { species: element("O"), vacancy: DVec3::ONE, interstitial };
        assert_eq!(start(DVec3::new(1.234, -0.5, 11.0)).site(), "123/-50/1100pm");
        assert_eq!(start(DVec3::new(-1e-9, 0.0, 0.0)).site(), start(DVec3::ZERO).site());
    }

    #[test]
    fn a_face_centred_crystal_has_one_octahedral_and_one_tetrahedral_place() {
        let lattice = CrystalLattice::new(&cubic_cell(2.8)).expect("a crystal");
        let a = 2.8 * std::f64::consts::SQRT_2;
        // Spacing a / 2: corners are atoms, the rest are octahedral centres.
        assert_eq!(inequivalent_positions(&lattice, a / 2.0).len(), 2);
        // Spacing a / 4: also tetrahedral centres and the points a / 4 from atoms along edges and along face diagonals.
        assert_eq!(inequivalent_positions(&lattice, a / 4.0).len(), 5);
        // Tetrahedral centres have atoms at 0.433 a, octahedral ones at 0.5 a. Around the latter (m-3m), six nearest atoms
        // are one site, eight at 0.866 a another.
        let starts = inequivalent_starts(&lattice, &settings(&["Ar"], a / 4.0, 0.45 * a, 0.9 * a)).expect("starts");
        let distances: Vec<f64> = starts.iter().map(|s| s.vacancy.distance(s.interstitial) / a).collect();
        let octahedral = distances.iter().filter(|d| (**d - 0.5).abs() < 1e-9 || (**d - 0.75_f64.sqrt()).abs() < 1e-9);
        assert_eq!(octahedral.count(), 2, "{distances:?}");
    }

    /// Scheelite in its other setting, moved, renumbered and a little strained, with one oxygen atom 2.5 A off its site.
    #[test]
    fn a_known_pair_is_turned_onto_the_sites_of_the_search() {
        let perfect = calcium_tungstate().supercell([2, 2, 1]);
        let oxygen = perfect.species.iter().position(|s| *s == element("O")).expect("an oxygen atom");
        let mut given = perfect.clone();
        given.positions[oxygen] += DVec3::new(1.5, 0.0, 2.0);
        given.positions.iter_mut().for_each(|p| *p = DVec3::new(-p.x, p.y, p.z) + DVec3::new(0.7, 4.1, -0.3));
        given.positions.iter_mut().for_each(|p| *p *= 1.005);
        given.cell.vectors *= 1.005;
        given.positions.reverse();
        given.species.reverse();
        let (start, atoms) = given_start(&perfect, &given).expect("a box of this crystal");
        assert_eq!((start.species, atoms.species.clone()), (element("O"), perfect.species.clone()));
        assert!((start.vacancy.distance(start.interstitial) - 2.5).abs() < 0.02, "{start:?}");
        let moved = atoms.moves_from(&perfect, 1e-9).expect("the same atoms");
        assert_eq!(moved.iter().filter(|m| m.length() > 0.01).count(), 1);
        let other =
            Atoms { positions: given.positions.iter().map(|p| DVec3::new(p.x, p.y, 1.3 * p.z)).collect(), ..given };
        assert!(given_start(&perfect, &other).is_none(), "atoms of no scheelite");
    }

    /// Counted without symmetry: the orbits of what is kept are all points of the grid.
    #[test]
    fn orbits_of_the_kept_points_make_the_whole_grid() {
        let lattice = CrystalLattice::new(&calcium_tungstate()).expect("a crystal");
        let counts = grid_counts(&lattice, 0.7);
        assert!(grid_is_symmetric(&lattice, counts), "{counts:?}");
        let kept = inequivalent_positions(&lattice, 0.7);
        let mut orbit: Vec<DVec3> = Vec::new();
        for operation in &lattice.symmetry.operations {
            for point in &kept {
                let image = operation.apply(*point);
                if !orbit.iter().any(|o| lattice.reduce(*o - image).length() < 1e-3) {
                    orbit.push(image);
                }
            }
        }
        // The grid fills the conventional cell, two primitive cells.
        assert_eq!(2 * orbit.len(), counts.iter().product::<usize>());
        assert!(kept.len() * 5 < orbit.len(), "{} {}", kept.len(), orbit.len());
        for species in ["O", "Ca", "W"] {
            let settings = settings(&[species], 0.7, 1.8, 5.0);
            let starts = inequivalent_starts(&lattice, &settings).expect("starts");
            for start in &starts {
                assert_eq!(start.species, element(species));
                for (_, site) in sites_within(&lattice, start.interstitial, 1.8 - 1e-6) {
                    assert!(site.distance(start.vacancy) < 1e-9, "only the atom that left may be nearer");
                }
            }
        }
    }

    /// Counted without symmetry: each grid point that keeps its distance from all atoms but at most the one that leaves, with
    /// each site that may be the vacancy, is the image of just one start.
    #[test]
    fn each_position_with_each_vacancy_is_the_image_of_one_start() {
        let lattice = CrystalLattice::new(&calcium_tungstate()).expect("a crystal");
        let primitive = &lattice.primitive;
        let cells: Vec<DVec3> =
            (0..343).map(|n| DVec3::new((n % 7) as f64, (n / 7 % 7) as f64, (n / 49) as f64)).collect();
        let sites = |species: &Species| -> Vec<(bool, DVec3)> {
            let of_cell = |cell: &DVec3| {
                let shift = primitive.cell.vectors * (*cell - DVec3::splat(3.0));
                primitive.positions.iter().zip(&primitive.species).map(move |(site, s)| (s == species, *site + shift))
            };
            cells.iter().flat_map(of_cell).collect()
        };
        let kept = inequivalent_positions(&lattice, 0.7);
        for species in ["W", "O"] {
            let starts = inequivalent_starts(&lattice, &settings(&[species], 0.7, 1.8, 3.5)).expect("starts");
            let sites = sites(&element(species));
            let mut pairs = 0;
            for point in lattice.symmetry.operations.iter().flat_map(|o| kept.iter().map(|point| o.apply(*point))) {
                let point = lattice.reduce(point);
                let near = sites.iter().filter(|(_, site)| site.distance(point) < 1.8 - 1e-6).collect::<Vec<_>>();
                let leaves = |site: &DVec3| match near.as_slice() {
                    [] => site.distance(point) < 3.5,
                    [(_, only)] => only == site && site.distance(point) > 0.7,
                    _ => false,
                };
                for (_, vacancy) in sites.iter().filter(|(is_species, site)| *is_species && leaves(site)) {
                    let is_image = |start: &&Start| {
                        let way = start.vacancy - start.interstitial;
                        (way.length() - vacancy.distance(point)).abs() < 1e-6
                            && lattice.symmetry.operations.iter().any(|o| {
                                lattice.reduce(o.apply(start.interstitial) - point).length() < 1e-3
                                    && (o.rotation * way - (*vacancy - point)).length() < 1e-3
                            })
                    };
                    assert_eq!(starts.iter().filter(is_image).count(), 1, "{species} from {vacancy} to {point}");
                    pairs += 1;
                }
            }
            assert!(pairs > 5 * starts.len(), "{pairs} {}", starts.len());
        }
    }
}
