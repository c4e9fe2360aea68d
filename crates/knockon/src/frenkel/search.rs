//! The search: relax all starts in the smallest box, keep what is different, carry it over to larger boxes.

use super::elastic::{Elasticity, images_by_stress};
use super::jobs::{Job, Relaxation, Relaxer};
use super::labels::{LabelledPair, relaxed_in_lattice_of};
use super::lattice::CrystalLattice;
use super::occupation::{Occupation, occupation};
use super::settings::FrenkelSettings;
use super::starts::{Start, given_start, inequivalent_starts, site_at};
use crate::dynamics::{QuenchSettings, ensure_relaxed, relaxed_unit_cell};
use crate::elasticity::elastic_constants_gpa;
use crate::fingerprint::{Fingerprint, SAME_STRUCTURE};
use crate::io::{Frame, content_hash};
use crate::progress::Progress;
use crate::{Atoms, Error, Potential, Species};
use glam::{DMat3, DVec3};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Two relaxed boxes whose energies differ by more than this (eV) are not the same structure: at forces below
/// 2e-3 eV/angstrom and curvatures above 1 eV/angstrom^2 what is left to gain is below 1e-3 eV.
pub(super) const SAME_ENERGY_EV: f64 = 0.01;
/// A box lower in energy than the perfect crystal by more than this (eV) shows a hole of the potential, not a defect.
const BELOW_CRYSTAL_EV: f64 = -0.05;
/// So many relaxations that end in one structure are carried over to the larger boxes, where they may go different ways.
const MOST_WAYS: usize = 4;
/// Strain of the finite differences that give the elastic constants.
const ELASTIC_STRAIN: f64 = 2e-3;

/// What a relaxation ended in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A structure other than the perfect crystal.
    Defect,
    /// The perfect crystal, atoms possibly renumbered.
    Recombined,
    /// Forces did not get small enough.
    Unfinished,
    /// Lower in energy than the perfect crystal: the potential cannot be trusted there.
    BelowCrystal,
    /// There is no result, e.g. because energies stopped being finite numbers.
    Failed,
}

/// A structure in one box.
#[derive(Clone, Debug, PartialEq)]
pub struct BoxResult {
    /// The box is this many primitive cells along each primitive vector.
    pub supercell: usize,
    /// The relaxed box.
    pub atoms: Atoms,
    /// What became of it.
    pub outcome: Outcome,
    /// Energy above the perfect box in eV.
    pub formation_energy_ev: f64,
    /// Elastic energy with the periodic images in eV, to be subtracted ([`image_energy_ev`]).
    pub image_energy_ev: f64,
    /// Elastic dipole in eV.
    pub dipole_ev: DMat3,
    /// Largest force left.
    pub max_force_ev_per_angstrom: f64,
    /// Empty sites and extra atoms.
    pub occupation: Occupation,
    /// Another structure that relaxed to the same one in this box.
    pub same_as: Option<String>,
}

impl BoxResult {
    /// Where the defect is, and the vector from its vacancy to its interstitial: the middle of the two, or the site whose
    /// atom has moved farthest and its displacement. `perfect` is the perfect box of the same size.
    pub fn center_and_axis(&self, perfect: &Atoms) -> (DVec3, DVec3) {
        if let Some((vacancy, vector)) = separation(&self.occupation, &self.atoms, perfect) {
            return (vacancy + vector * 0.5, vector);
        }
        self.farthest_moved(perfect)
            .map_or((DVec3::ZERO, DVec3::ZERO), |atom| (perfect.positions[atom], self.displacement(perfect, atom)))
    }

    /// From the site of an atom to its nearest image, wherever its relaxation began.
    fn displacement(&self, perfect: &Atoms, atom: usize) -> DVec3 {
        perfect.cell.minimum_image(self.atoms.positions[atom] - perfect.positions[atom])
    }

    fn farthest_moved(&self, perfect: &Atoms) -> Option<usize> {
        let moved = |atom: &usize| self.displacement(perfect, *atom).length_squared();
        (0..perfect.len()).max_by(|a, b| moved(a).total_cmp(&moved(b)))
    }

    /// Formation energy in eV without the elastic energy with the images.
    pub fn corrected_ev(&self) -> f64 {
        self.formation_energy_ev - self.image_energy_ev
    }
}

/// A structure that the search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Structure {
    /// Kind and rank, e.g. `O-1`: the lowest in energy among those with one oxygen vacancy.
    pub id: String,
    /// Elements of the vacancies, joined by `+`. Where every site still has its atom nearest to it, the element of the atom
    /// that has moved farthest.
    pub kind: String,
    /// Elements whose starts led here.
    pub from_species: Vec<Species>,
    /// Number of inequivalent starts that led here.
    pub starts: usize,
    /// The start among these that relaxed to the lowest energy.
    pub start: Start,
    /// Some of the relaxations in the smallest box that ended in it, the lowest first: what their files are called, and their ends,
    /// which may be images of each other and differ by what forces were left.
    pub ways: Vec<(String, BoxResult)>,
    /// The structure in each box where its relaxation did not fail, the box of the search first; one only, if it was not
    /// carried over.
    pub boxes: Vec<BoxResult>,
    /// The [`BoxResult::supercell`] of each box where its relaxation failed.
    pub failed_supercells: Vec<usize>,
}

impl Structure {
    /// The structure in this box, if there is a result.
    pub(super) fn in_supercell(&self, supercell: usize) -> Option<&BoxResult> {
        self.boxes.iter().find(|b| b.supercell == supercell)
    }
}

/// How many starts ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// Starts that ended in a structure other than the crystal.
    pub defect: usize,
    /// Starts that went back to the crystal.
    pub recombined: usize,
    /// Starts whose relaxation was given up.
    pub unfinished: usize,
    /// Starts that ended below the perfect crystal.
    pub below_crystal: usize,
    /// Starts without a result, e.g. because energies stopped being finite numbers.
    pub failed: usize,
}

/// All that a search found.
#[derive(Clone, Debug)]
pub struct FrenkelSearch {
    /// Structures by kind and energy.
    pub structures: Vec<Structure>,
    /// Perfect relaxed boxes.
    pub perfect: Vec<PerfectSupercell>,
    /// Elastic constants in GPa that the corrections were made with.
    pub elastic_constants_gpa: [[f64; 6]; 6],
    /// How the starts ended.
    pub outcomes: Outcomes,
    /// The model, by its hash.
    pub model_hash: String,
}

impl FrenkelSearch {
    /// Names the structure that the model relaxes each labelled pair to, where it is one of this search: in the lattice of the
    /// search, of which that of the label may be a strained form.
    pub fn recognize(
        &self,
        potential: &dyn Potential,
        settings: &QuenchSettings,
        pairs: &mut [LabelledPair],
    ) -> Result<(), Error> {
        let perfect = &self.perfect[0];
        let fingerprint = |atoms: &Atoms| Fingerprint::new(atoms, potential.species());
        let known: Vec<_> = self.structures.iter().map(|s| (s, fingerprint(&s.boxes[0].atoms))).collect();
        for pair in pairs {
            let relaxed = relaxed_in_lattice_of(&perfect.atoms, potential, pair, settings)?;
            let Some((energy_ev, atoms)) = relaxed else { continue };
            let (energy_ev, here) = (energy_ev - perfect.energy_ev, fingerprint(&atoms));
            let same = known.iter().find(|(structure, other)| {
                (structure.boxes[0].formation_energy_ev - energy_ev).abs() < SAME_ENERGY_EV
                    && other.distance(&here) < SAME_STRUCTURE
            });
            pair.structure = same.map(|(structure, _)| structure.id.clone());
        }
        Ok(())
    }
}

/// A relaxed box without defect.
#[derive(Clone, Debug)]
pub struct PerfectSupercell {
    /// The box is this many primitive cells along each primitive vector.
    pub supercell: usize,
    /// Relaxed positions.
    pub atoms: Atoms,
    /// Energy in eV.
    pub energy_ev: f64,
    stress: [f64; 6],
    fingerprint: Fingerprint,
}

/// Searches for Frenkel pairs. `crystal` is the content of `settings.crystal`. Boxes that are `given`, such as pairs known from
/// labels or other searches, are relaxed besides the starts of the grid. Finished relaxations are kept in `folder`: an interrupted
/// search goes on where it stopped.
pub fn find_frenkel_pairs(
    potential: &dyn Potential,
    model_hash: &str,
    crystal: &Atoms,
    settings: &FrenkelSettings,
    given: &[Frame],
    folder: &Path,
    progress: &dyn Progress,
) -> Result<FrenkelSearch, Error> {
    settings.validate("frenkel")?;
    let relaxer = Relaxer { potential, model_hash, settings, folder };
    let search = Search::prepare(relaxer, crystal)?;
    let grid = inequivalent_starts(&search.lattice, settings)?;
    let n_atoms = search.perfect[0].atoms.len();
    progress.message(&format!("{} inequivalent starts in {n_atoms} atoms", grid.len()));
    let jobs = grid.iter().enumerate().map(|(number, start)| search.start_job(number, start));
    let (mut starts, mut jobs) = (grid.clone(), jobs.collect::<Result<Vec<_>, _>>()?);
    for (start, job) in search.given_jobs(given, progress) {
        starts.push(start);
        jobs.push(job);
    }
    let relaxations = search.relaxer.relax_all(&jobs, progress)?;
    let results: Vec<Option<BoxResult>> = relaxations.into_iter().map(|r| r.map(|r| search.result(0, r))).collect();
    let starts: Vec<(Start, String)> = starts.into_iter().zip(jobs.into_iter().map(|job| job.name)).collect();
    let mut outcomes = Outcomes::default();
    for result in &results {
        *match result.as_ref().map_or(Outcome::Failed, |r| r.outcome) {
            Outcome::Defect => &mut outcomes.defect,
            Outcome::Recombined => &mut outcomes.recombined,
            Outcome::Unfinished => &mut outcomes.unfinished,
            Outcome::BelowCrystal => &mut outcomes.below_crystal,
            Outcome::Failed => &mut outcomes.failed,
        } += 1;
    }
    let mut structures = search.different_structures(&starts, results);
    progress.message(&format!("{} different structures", structures.len()));
    search.carry_over(&mut structures, progress)?;
    Ok(FrenkelSearch {
        structures,
        perfect: search.perfect,
        elastic_constants_gpa: search.elastic_constants_gpa,
        outcomes,
        model_hash: model_hash.to_owned(),
    })
}

struct Search<'a> {
    relaxer: Relaxer<'a>,
    lattice: CrystalLattice,
    perfect: Vec<PerfectSupercell>,
    elastic_constants_gpa: [[f64; 6]; 6],
    elasticity: Elasticity,
}

impl<'a> Search<'a> {
    fn prepare(relaxer: Relaxer<'a>, crystal: &Atoms) -> Result<Self, Error> {
        let settings = relaxer.settings;
        let tight = QuenchSettings {
            max_force_ev_per_angstrom: 1e-5,
            max_stress_ev_per_angstrom3: 1e-7,
            max_evaluations: settings.max_evaluations,
        };
        let unit_cell = match settings.relax_cell {
            false => crystal.clone(),
            true => relaxed_unit_cell(relaxer.potential, crystal, &tight)?,
        };
        let lattice = CrystalLattice::new(&unit_cell)?;
        let elastic_constants_gpa = match settings.elastic_constants_gpa {
            Some(given) => given,
            None => elastic_constants_gpa(relaxer.potential, &unit_cell, ELASTIC_STRAIN)?,
        };
        let mut perfect = Vec::new();
        for n in &settings.supercells {
            let ideal = lattice.supercell(*n);
            let relaxed = relaxer.relaxed(&ideal)?;
            ensure_relaxed("the perfect box", relaxed.converged, relaxed.max_force_ev_per_angstrom)?;
            let atoms = Atoms { positions: relaxed.positions, ..ideal };
            perfect.push(PerfectSupercell {
                supercell: *n,
                fingerprint: Fingerprint::new(&atoms, relaxer.potential.species()),
                atoms,
                energy_ev: relaxed.energy_ev,
                stress: relaxed.stress_ev_per_angstrom3,
            });
        }
        let elasticity = Elasticity::from_voigt_gpa(&elastic_constants_gpa);
        Ok(Self { relaxer, lattice, perfect, elastic_constants_gpa, elasticity })
    }

    fn start_job(&self, number: usize, start: &Start) -> Result<Job, Error> {
        Ok(Job { name: format!("start-{number:05}"), atoms: start.place(&self.perfect[0].atoms)? })
    }

    /// Boxes that are given, each once, by what is in them: others may be added, in any order.
    fn given_jobs(&self, given: &[Frame], progress: &dyn Progress) -> Vec<(Start, Job)> {
        let mut jobs: BTreeMap<String, (Start, Job)> = BTreeMap::new();
        let mut foreign = 0;
        for frame in given.iter().filter(|frame| frame.class().is_none_or(|class| class == "frenkel")) {
            let Some((start, atoms)) = given_start(&self.perfect[0].atoms, &frame.atoms) else {
                foreign += 1;
                continue;
            };
            let content: Vec<u8> =
                atoms.positions.iter().flat_map(|p| p.to_array()).flat_map(f64::to_le_bytes).collect();
            let name = format!("given-{}", content_hash(&content));
            jobs.entry(name.clone()).or_insert((start, Job { name, atoms }));
        }
        if !given.is_empty() {
            let n_atoms = self.perfect[0].atoms.len();
            progress.message(&format!(
                "{} boxes given to start from, {foreign} left out that are not these {n_atoms} atoms on the sites of this lattice",
                jobs.len()
            ));
        }
        jobs.into_values().collect()
    }

    fn result(&self, index: usize, relaxation: Relaxation) -> BoxResult {
        let perfect = &self.perfect[index];
        let atoms = Atoms { positions: relaxation.positions, ..perfect.atoms.clone() };
        let formation_energy_ev = relaxation.energy_ev - perfect.energy_ev;
        let fingerprint = Fingerprint::new(&atoms, self.relaxer.potential.species());
        let outcome = if formation_energy_ev < BELOW_CRYSTAL_EV {
            Outcome::BelowCrystal
        } else if !relaxation.converged {
            Outcome::Unfinished
        } else if fingerprint.distance(&perfect.fingerprint) < SAME_STRUCTURE {
            Outcome::Recombined
        } else {
            Outcome::Defect
        };
        let stress = relaxation.stress_ev_per_angstrom3;
        let images = images_by_stress(&atoms.cell, &self.elasticity, stress, perfect.stress);
        BoxResult {
            supercell: perfect.supercell,
            outcome,
            formation_energy_ev,
            image_energy_ev: images.image_energy_ev,
            dipole_ev: images.dipole_ev,
            max_force_ev_per_angstrom: relaxation.max_force_ev_per_angstrom,
            occupation: occupation(&atoms, &perfect.atoms),
            same_as: None,
            atoms,
        }
    }

    /// The different defects among the results, by kind and energy.
    fn different_structures(&self, starts: &[(Start, String)], results: Vec<Option<BoxResult>>) -> Vec<Structure> {
        let numbered = results.into_iter().enumerate().filter_map(|(number, result)| Some((number, result?)));
        let mut found: Vec<(usize, BoxResult)> = numbered.filter(|(_, r)| r.outcome == Outcome::Defect).collect();
        found.sort_by(|a, b| a.1.formation_energy_ev.total_cmp(&b.1.formation_energy_ev).then(a.0.cmp(&b.0)));
        let mut structures: Vec<(Structure, Fingerprint)> = Vec::new();
        for (number, result) in found {
            let fingerprint = Fingerprint::new(&result.atoms, self.relaxer.potential.species());
            let same = structures.iter_mut().rev().find(|(structure, other)| {
                (structure.boxes[0].formation_energy_ev - result.formation_energy_ev).abs() < SAME_ENERGY_EV
                    && other.distance(&fingerprint) < SAME_STRUCTURE
            });
            let (start, job) = &starts[number];
            if let Some((structure, _)) = same {
                structure.starts += 1;
                if structure.ways.len() < MOST_WAYS {
                    structure.ways.push((job.clone(), result));
                }
                if !structure.from_species.contains(&start.species) {
                    structure.from_species.push(start.species);
                }
                continue;
            }
            let kind = kind(&result, &self.perfect[0].atoms);
            let rank = structures.iter().filter(|(s, _)| s.kind == kind).count() + 1;
            let structure = Structure {
                id: format!("{kind}-{rank}"),
                kind,
                from_species: vec![start.species],
                starts: 1,
                start: *start,
                ways: vec![(job.clone(), result.clone())],
                boxes: vec![result],
                failed_supercells: Vec::new(),
            };
            structures.push((structure, fingerprint));
        }
        let mut structures: Vec<Structure> = structures.into_iter().map(|(structure, _)| structure).collect();
        // Stable: energies stay in order within a kind.
        structures.sort_by(|a, b| (a.kind.len(), &a.kind).cmp(&(b.kind.len(), &b.kind)));
        structures
    }

    /// Relaxes the lowest structures of each kind in the larger boxes. Of several ways there that which moves atoms least counts: what
    /// is a minimum for one of them is one.
    fn carry_over(&self, structures: &mut [Structure], progress: &dyn Progress) -> Result<(), Error> {
        let keep = self.relaxer.settings.keep;
        let rank = |number: &usize| structures[..*number].iter().filter(|s| s.kind == structures[*number].kind).count();
        let kept: Vec<usize> = (0..structures.len()).filter(|number| rank(number) < keep).collect();
        for index in 1..self.perfect.len() {
            let large = &self.perfect[index].atoms;
            let job = |(name, result): &(String, BoxResult)| {
                let atoms = Atoms { positions: embedded(result, &self.perfect[0].atoms, large)?, ..large.clone() };
                Ok(Job { name: format!("{name}-in-{}-atoms", atoms.len()), atoms })
            };
            let jobs: Vec<Job> =
                kept.iter().flat_map(|number| &structures[*number].ways).map(job).collect::<Result<_, Error>>()?;
            progress.message(&format!(
                "{} structures in {} atoms, {} relaxations",
                kept.len(),
                large.len(),
                jobs.len()
            ));
            let relaxations = self.relaxer.relax_all(&jobs, progress)?;
            let mut ends = jobs.iter().zip(relaxations);
            for number in &kept {
                let structure = &mut structures[*number];
                let of_structure = ends.by_ref().take(structure.ways.len());
                let found = of_structure.filter_map(|(job, relaxation)| {
                    let relaxation = relaxation?;
                    Some((largest_move(&job.atoms.positions, &relaxation.positions), relaxation))
                });
                let unfinished = |r: &Relaxation| !r.converged;
                match found.min_by(|a, b| unfinished(&a.1).cmp(&unfinished(&b.1)).then(a.0.total_cmp(&b.0))) {
                    Some((_, relaxation)) => structure.boxes.push(self.result(index, relaxation)),
                    None => structure.failed_supercells.push(self.perfect[index].supercell),
                }
            }
            self.mark_equal(structures, index);
        }
        Ok(())
    }

    /// Structures that were different in the smallest box may become one in a larger one.
    fn mark_equal(&self, structures: &mut [Structure], index: usize) {
        let supercell = self.perfect[index].supercell;
        let mut known: Vec<(String, f64, Fingerprint)> = Vec::new();
        for structure in structures.iter_mut() {
            let Some(result) = structure.boxes.iter_mut().find(|b| b.supercell == supercell) else { continue };
            if result.outcome != Outcome::Defect {
                continue;
            }
            let fingerprint = Fingerprint::new(&result.atoms, self.relaxer.potential.species());
            let energy = result.formation_energy_ev;
            let same = known.iter().find(|(_, other_energy, other)| {
                (other_energy - energy).abs() < SAME_ENERGY_EV && other.distance(&fingerprint) < SAME_STRUCTURE
            });
            match same {
                Some((id, ..)) => result.same_as = Some(id.clone()),
                None => known.push((structure.id.clone(), energy, fingerprint)),
            }
        }
    }
}

/// How far the atom moved that moved farthest, in angstrom.
fn largest_move(before: &[DVec3], after: &[DVec3]) -> f64 {
    before.iter().zip(after).map(|(a, b)| a.distance(*b)).fold(0.0, f64::max)
}

/// Positions in a larger box: around the defect, each atom is as far from its site as in the small one.
pub(super) fn embedded(result: &BoxResult, small: &Atoms, large: &Atoms) -> Result<Vec<DVec3>, Error> {
    let (center, _) = result.center_and_axis(small);
    let mut positions = large.positions.clone();
    for (atom, (site, species)) in small.positions.iter().zip(&small.species).enumerate() {
        let image = center + small.cell.minimum_image(*site - center);
        let place = site_at(large, image, *species)?;
        positions[place] = large.positions[place] + result.displacement(small, atom);
    }
    Ok(positions)
}

/// Elements of the empty sites, or of the atom that has moved farthest.
fn kind(result: &BoxResult, perfect: &Atoms) -> String {
    let mut symbols: Vec<&str> = result.occupation.vacant_sites.iter().map(|s| perfect.species[*s].symbol()).collect();
    symbols.sort_unstable();
    if symbols.is_empty() {
        symbols.extend(result.farthest_moved(perfect).map(|atom| perfect.species[atom].symbol()));
    }
    symbols.join("+")
}

/// The vacancy and interstitial of the same element that are closest to each other: position of the vacancy and the vector
/// from there to the interstitial.
pub(super) fn separation(occupation: &Occupation, atoms: &Atoms, perfect: &Atoms) -> Option<(DVec3, DVec3)> {
    let pairs = occupation.vacant_sites.iter().flat_map(|v| occupation.interstitials.iter().map(move |i| (*v, *i)));
    pairs
        .filter(|(vacancy, interstitial)| perfect.species[*vacancy] == atoms.species[*interstitial])
        .map(|(vacancy, interstitial)| {
            let site = perfect.positions[vacancy];
            (site, atoms.cell.minimum_image(atoms.positions[interstitial] - site))
        })
        .min_by(|a, b| a.1.length_squared().total_cmp(&b.1.length_squared()))
}
