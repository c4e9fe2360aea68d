//! What a search leaves on disk: a table and the structures.

use super::elastic::{Elasticity, images_by_stress};
use super::labels::{LabelledPair, refuse_models};
use super::search::{BoxResult, FrenkelSearch, Outcome, Outcomes, PerfectSupercell, Structure, separation};
use super::settings::FrenkelSettings;
use crate::dataset::Origin;
use crate::io::{Frame, write_atomically, write_extxyz};
use crate::math::quantile;
use crate::{Atoms, Error};
use glam::{DMat3, DVec3};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// One structure in one box.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Kind and rank, e.g. `O-1`.
    pub id: String,
    /// Elements of the vacancies, or of the atom that moved farthest if no site is empty.
    pub kind: String,
    /// Atoms of the box.
    pub n_atoms: usize,
    /// The box is this many primitive cells along each primitive vector.
    pub supercell: usize,
    /// What became of it in this box.
    pub outcome: Outcome,
    /// Another structure that became the same in this box.
    pub same_as: Option<String>,
    /// Energy above the perfect box; like all other results, none where the relaxation failed.
    pub formation_energy_ev: Option<f64>,
    /// Elastic energy with the periodic images.
    pub image_energy_ev: Option<f64>,
    /// Formation energy minus elastic energy with the images.
    pub corrected_formation_energy_ev: Option<f64>,
    /// Formation energy from first principles in the same box, without elastic correction.
    pub first_principles_formation_energy_ev: Option<f64>,
    /// Elastic energy with the periodic images from the stresses of the labels of pair and perfect box; none where they have no
    /// stress.
    pub first_principles_image_energy_ev: Option<f64>,
    /// Formation energy from first principles minus that elastic energy or, without one, minus that of the model.
    pub first_principles_corrected_formation_energy_ev: Option<f64>,
    /// Largest force of that label: a formation energy is that of atoms without forces.
    pub first_principles_max_force_ev_per_angstrom: Option<f64>,
    /// An estimate of the corrected formation energy from first principles, in the smallest box: that of the model plus the median of what
    /// labels that end in this structure differ from the model by, each relaxed as in [`LabelledPair::label_relaxed_ev`], if that leads to
    /// this structure as well and no atom moves far.
    pub first_principles_estimate_ev: Option<f64>,
    /// On how many labels it rests.
    pub first_principles_estimate_labels: Option<usize>,
    /// From the vacancy to the nearest interstitial of its element.
    pub distance_angstrom: Option<f64>,
    /// The vacancy.
    pub vacancy_angstrom: Option<DVec3>,
    /// The interstitial.
    pub interstitial_angstrom: Option<DVec3>,
    /// Elements of all extra atoms, joined by `+`.
    pub interstitial_species: String,
    /// Elements whose starts led here, joined by `+`.
    pub from_species: String,
    /// Number of inequivalent starts that led here, in the smallest box.
    pub starts: usize,
    /// Elastic dipole, xx yy zz yz xz xy.
    pub dipole_ev: Option<[f64; 6]>,
    /// Largest force left.
    pub max_force_ev_per_angstrom: Option<f64>,
    /// The model.
    pub model_hash: String,
}

/// A perfect box as it is written into JSON.
#[derive(Clone, Debug, Serialize)]
struct PerfectEntry {
    supercell: usize,
    n_atoms: usize,
    energy_ev: f64,
    cell_angstrom: [DVec3; 3],
}

/// The table of a search.
#[derive(Clone, Debug, Serialize)]
pub struct FrenkelTable {
    /// The model.
    pub model_hash: String,
    /// The settings of the search.
    pub settings: FrenkelSettings,
    /// How the starts ended.
    pub outcomes: Outcomes,
    /// With these the elastic corrections were made.
    pub elastic_constants_gpa: [[f64; 6]; 6],
    perfect: Vec<PerfectEntry>,
    /// One entry per structure and box.
    pub entries: Vec<Entry>,
    /// All boxes by their `id` in files of structures.
    #[serde(skip)]
    boxes: BTreeMap<String, Atoms>,
}

/// What became of labels that were given to a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attached {
    /// Number of boxes that have a label now.
    pub found: usize,
    /// A line for each label of a box whose relaxation is not finished: its energy is an upper bound.
    pub unfinished: Vec<String>,
    /// A line for each label that has the `id` of a box but is not one of it.
    pub foreign: Vec<String>,
}

impl FrenkelTable {
    /// Tabulates a search.
    pub fn new(search: &FrenkelSearch, settings: &FrenkelSettings) -> Self {
        let perfect = |p: &PerfectSupercell| {
            let v = p.atoms.cell.vectors;
            PerfectEntry {
                supercell: p.supercell,
                n_atoms: p.atoms.len(),
                energy_ev: p.energy_ev,
                cell_angstrom: [v.x_axis, v.y_axis, v.z_axis],
            }
        };
        Self {
            model_hash: search.model_hash.clone(),
            settings: settings.clone(),
            outcomes: search.outcomes,
            elastic_constants_gpa: search.elastic_constants_gpa,
            perfect: search.perfect.iter().map(perfect).collect(),
            entries: entries(search),
            boxes: boxes(search),
        }
    }

    /// Puts formation energies from first principles beside those of the model: labels of boxes that this search has
    /// written, or of what relaxed from them, found by their `id`, minus the label of the perfect box. All must have been
    /// made with the same settings, and each id be there once.
    pub fn attach_labels(&mut self, labels: &[Frame]) -> Result<Attached, Error> {
        refuse_models(labels)?;
        let mut attached = Attached::default();
        let mut by_id: BTreeMap<&str, (&Frame, f64)> = BTreeMap::new();
        for frame in labels {
            let Some((id, energy)) = frame.info.get("id").zip(frame.energy_ev) else { continue };
            let Some(written) = self.boxes.get(id) else { continue };
            if let Some(found) = difference(&frame.atoms, written) {
                let expected = "expected the structure that this search has written or what relaxed from it";
                attached.foreign.push(format!("label {id} is left out: {expected}, found {found}"));
                continue;
            }
            if by_id.insert(id, (frame, energy)).is_some() {
                let problem = format!("expected one label of {id}, found two");
                return Err(Error::input(
                    "labels",
                    problem,
                    "Give the files one at a time, or remove one of the labels",
                ));
            }
        }
        let mut used = Vec::new();
        let elasticity = Elasticity::from_voigt_gpa(&self.elastic_constants_gpa);
        for entry in &mut self.entries {
            let Some((frame, energy)) = by_id.get(frame_id(&entry.id, entry.n_atoms, &self.model_hash).as_str()) else {
                continue;
            };
            let reference = frame_id(PERFECT, entry.n_atoms, &self.model_hash);
            let (perfect_frame, perfect) = by_id.get(reference.as_str()).ok_or_else(|| {
                let problem = format!("expected a label of the perfect box, id {reference}, found none that is of it");
                Error::input("labels", problem, "Label the perfect box of the structures file too")
            })?;
            used.extend([*frame, *perfect_frame]);
            entry.first_principles_formation_energy_ev = Some(energy - perfect);
            entry.first_principles_image_energy_ev = frame
                .stress
                .zip(perfect_frame.stress)
                .map(|(pair, perfect)| images_by_stress(&frame.atoms.cell, &elasticity, pair, perfect).image_energy_ev);
            entry.first_principles_corrected_formation_energy_ev = entry
                .first_principles_image_energy_ev
                .or(entry.image_energy_ev)
                .map(|images| energy - perfect - images);
            entry.first_principles_max_force_ev_per_angstrom = frame.max_force_ev_per_angstrom();
            attached.found += 1;
        }
        if let [first, second, ..] = &Origin::number(used).0[..] {
            let problem = format!("expected labels of the same settings, found {} and {}", first.name(), second.name());
            return Err(Error::input("labels", problem, "Give the labels of one functional and code at a time"));
        }
        attached.unfinished = by_id.values().filter_map(|(label, _)| unfinished(label)).collect();
        Ok(attached)
    }

    /// Estimates energies from first principles with labels of any lattice close to that of the search, once their structures are
    /// recognised ([`FrenkelSearch::recognize`]).
    pub fn estimate(&mut self, pairs: &[LabelledPair]) {
        let smallest = self.perfect[0].supercell;
        for entry in self.entries.iter_mut().filter(|e| e.supercell == smallest) {
            let here = pairs.iter().filter(|p| p.structure.as_ref() == Some(&entry.id));
            let near = |p: &&LabelledPair| p.label_relaxed_move_angstrom.is_some_and(|moved| moved < NEAR_ANGSTROM);
            let here = here.filter(|p| p.label_relaxes_alike == Some(true)).filter(near);
            let mut differences: Vec<f64> =
                here.filter_map(|p| Some(p.label_relaxed_ev? - p.model_relaxed_ev?)).collect();
            entry.first_principles_estimate_labels = (!differences.is_empty()).then_some(differences.len());
            entry.first_principles_estimate_ev =
                entry.corrected_formation_energy_ev.zip(median(&mut differences)).map(|(model, above)| model + above);
        }
    }

    /// Writes `frenkel.json` and `frenkel.csv`.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        let json = serde_json::to_string_pretty(self).expect("plain numbers and text");
        write_atomically(&folder.join("frenkel.json"), json.as_bytes())?;
        write_atomically(&folder.join("frenkel.csv"), self.csv().as_bytes())
    }

    fn csv(&self) -> String {
        let mut text = String::from(
            "id,kind,n_atoms,supercell,outcome,same_as,formation_energy_ev,image_energy_ev,\
             corrected_formation_energy_ev,first_principles_formation_energy_ev,first_principles_image_energy_ev,\
             first_principles_corrected_formation_energy_ev,first_principles_max_force_ev_per_angstrom,\
             first_principles_estimate_ev,first_principles_estimate_labels,distance_angstrom,\
             vacancy_x_angstrom,vacancy_y_angstrom,vacancy_z_angstrom,interstitial_x_angstrom,interstitial_y_angstrom,\
             interstitial_z_angstrom,interstitial_species,from_species,starts,dipole_xx_ev,dipole_yy_ev,dipole_zz_ev,\
             dipole_yz_ev,dipole_xz_ev,dipole_xy_ev,max_force_ev_per_angstrom,model_hash\n",
        );
        let number = |x: Option<f64>| x.map(|x| format!("{x:.6}")).unwrap_or_default();
        let vector = |v: Option<DVec3>| [v.map(|v| v.x), v.map(|v| v.y), v.map(|v| v.z)].map(number).join(",");
        for e in &self.entries {
            let outcome = serde_json::to_string(&e.outcome).expect("a word");
            let dipole = e.dipole_ev.map(|d| d.map(|x| format!("{x:.4}")).join(","));
            writeln!(
                text,
                "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}",
                e.id,
                e.kind,
                e.n_atoms,
                e.supercell,
                outcome.trim_matches('"'),
                e.same_as.as_deref().unwrap_or_default(),
                number(e.formation_energy_ev),
                number(e.image_energy_ev),
                number(e.corrected_formation_energy_ev),
                number(e.first_principles_formation_energy_ev),
                number(e.first_principles_image_energy_ev),
                number(e.first_principles_corrected_formation_energy_ev),
                number(e.first_principles_max_force_ev_per_angstrom),
                number(e.first_principles_estimate_ev),
                e.first_principles_estimate_labels.map(|n| n.to_string()).unwrap_or_default(),
                number(e.distance_angstrom),
                vector(e.vacancy_angstrom),
                vector(e.interstitial_angstrom),
                e.interstitial_species,
                e.from_species,
                e.starts,
                dipole.unwrap_or_else(|| ",".repeat(5)),
                e.max_force_ev_per_angstrom.map(|force| format!("{force:.3e}")).unwrap_or_default(),
                e.model_hash,
            )
            .expect("text grows");
        }
        text
    }
}

/// Labels of which no atom is farther from its minimum lead there within 0.05 eV or so (docs/frenkel.md).
const NEAR_ANGSTROM: f64 = 0.4;
/// What the perfect box is called in files of structures.
const PERFECT: &str = "perfect";
/// Cells of a label and of its box agree within this.
const SAME_CELL_ANGSTROM: f64 = 1e-3;
/// Atoms that relax in place stay within this. In another structure, or where the pair recombined, some atom is farther away.
const RELAXED_WITHIN_ANGSTROM: f64 = 1.5;

/// The `id` of a structure in files: it names kind and rank, the box and the model. Another search with the same model may
/// give it to another structure, so a label must fit its box, too ([`difference`]).
fn frame_id(id: &str, n_atoms: usize, model_hash: &str) -> String {
    let model = model_hash.get(..8).unwrap_or(model_hash);
    format!("frenkel-{id}-{n_atoms}-{model}")
}

fn boxes(search: &FrenkelSearch) -> BTreeMap<String, Atoms> {
    let perfect = search.perfect.iter().map(|p| (PERFECT, &p.atoms));
    let defects = search.structures.iter().flat_map(|s| s.boxes.iter().map(move |b| (s.id.as_str(), &b.atoms)));
    let named = perfect.chain(defects);
    named.map(|(id, atoms)| (frame_id(id, atoms.len(), &search.model_hash), atoms.clone())).collect()
}

/// What is wrong with a label of a box, or of what relaxed from it in the same cell.
fn difference(label: &Atoms, written: &Atoms) -> Option<String> {
    let farthest = match label.moves_from(written, SAME_CELL_ANGSTROM) {
        Ok(moves) => moves.iter().map(|m| m.length()).fold(0.0, f64::max),
        Err(found) => return Some(found),
    };
    (farthest > RELAXED_WITHIN_ANGSTROM).then(|| format!("an atom {farthest:.2} A away"))
}

/// What to say of a label whose relaxation stopped on the way, as `knockon relax` marks it.
fn unfinished(label: &Frame) -> Option<String> {
    let on_the_way = label.info.boolean("converged") == Some(false);
    let force =
        label.max_force_ev_per_angstrom().map_or_else(|| "forces".to_owned(), |force| format!("{force:.2} eV/A"));
    let id = label.info.get("id").unwrap_or_default();
    on_the_way.then(|| format!("label {id} is not relaxed, {force} are left: its energy is an upper bound"))
}

fn median(numbers: &mut [f64]) -> Option<f64> {
    (!numbers.is_empty()).then(|| quantile(numbers, 0.5))
}

fn entries(search: &FrenkelSearch) -> Vec<Entry> {
    let mut entries = Vec::new();
    for structure in &search.structures {
        for perfect in &search.perfect {
            let result = structure.in_supercell(perfect.supercell);
            if result.is_some() || structure.failed_supercells.contains(&perfect.supercell) {
                entries.push(entry(structure, perfect, result, &search.model_hash));
            }
        }
    }
    entries
}

/// Without a result the relaxation failed.
fn entry(structure: &Structure, perfect: &PerfectSupercell, result: Option<&BoxResult>, model_hash: &str) -> Entry {
    let pair = result.and_then(|r| separation(&r.occupation, &r.atoms, &perfect.atoms));
    let dipole = |d: DMat3| [d.x_axis.x, d.y_axis.y, d.z_axis.z, d.y_axis.z, d.x_axis.z, d.x_axis.y];
    let extra = |r: &BoxResult| {
        let symbols = r.occupation.interstitials.iter().map(|i| r.atoms.species[*i].symbol());
        symbols.collect::<Vec<_>>().join("+")
    };
    Entry {
        id: structure.id.clone(),
        kind: structure.kind.clone(),
        n_atoms: perfect.atoms.len(),
        supercell: perfect.supercell,
        outcome: result.map_or(Outcome::Failed, |r| r.outcome),
        same_as: result.and_then(|r| r.same_as.clone()),
        formation_energy_ev: result.map(|r| r.formation_energy_ev),
        image_energy_ev: result.map(|r| r.image_energy_ev),
        corrected_formation_energy_ev: result.map(BoxResult::corrected_ev),
        first_principles_formation_energy_ev: None,
        first_principles_image_energy_ev: None,
        first_principles_corrected_formation_energy_ev: None,
        first_principles_max_force_ev_per_angstrom: None,
        first_principles_estimate_ev: None,
        first_principles_estimate_labels: None,
        distance_angstrom: pair.map(|(_, vector)| vector.length()),
        vacancy_angstrom: pair.map(|(vacancy, _)| vacancy),
        interstitial_angstrom: pair.map(|(vacancy, vector)| vacancy + vector),
        interstitial_species: result.map(extra).unwrap_or_default(),
        from_species: structure.from_species.iter().map(|s| s.symbol()).collect::<Vec<_>>().join("+"),
        starts: structure.starts,
        dipole_ev: result.map(|r| dipole(r.dipole_ev)),
        max_force_ev_per_angstrom: result.map(|r| r.max_force_ev_per_angstrom),
        model_hash: model_hash.to_owned(),
    }
}

impl FrenkelSearch {
    /// Writes the structures: `structures-N.xyz` for each box of N atoms, the perfect one first, and `candidates.xyz`, the
    /// lowest of each searched element in the smallest box. They hold no labels; the model's results have keys of their
    /// own.
    pub fn write_structures(&self, settings: &FrenkelSettings, folder: &Path) -> Result<(), Error> {
        for (index, perfect) in self.perfect.iter().enumerate() {
            let mut frames = vec![self.frame(&perfect.atoms, PERFECT, "perfect")];
            frames.extend(self.structures.iter().filter_map(|s| self.structure_frame(s, index)));
            write_extxyz(&folder.join(format!("structures-{}.xyz", perfect.atoms.len())), &frames)?;
        }
        let mut candidates = vec![self.frame(&self.perfect[0].atoms, PERFECT, "perfect")];
        for species in &settings.species {
            let of_kind = self.structures.iter().filter(|s| s.kind == species.symbol());
            candidates.extend(of_kind.take(settings.candidates).filter_map(|s| self.structure_frame(s, 0)));
        }
        write_extxyz(&folder.join("candidates.xyz"), &candidates)
    }

    fn frame(&self, atoms: &Atoms, id: &str, class: &str) -> Frame {
        let mut frame = Frame::new(wrapped(atoms));
        frame.info.set("id", frame_id(id, atoms.len(), &self.model_hash));
        frame.info.set("cls", class);
        frame.info.set("sampler", "knockon frenkel");
        frame.info.set("model", &self.model_hash);
        frame
    }

    fn structure_frame(&self, structure: &Structure, index: usize) -> Option<Frame> {
        let result = structure.in_supercell(self.perfect[index].supercell)?;
        let mut frame = self.frame(&result.atoms, &structure.id, "frenkel");
        frame.info.set("species", &structure.kind);
        frame.info.set("site", structure.start.site());
        frame.info.set("model_formation_energy_ev", format!("{:.4}", result.formation_energy_ev));
        if let Some((_, vector)) = separation(&result.occupation, &result.atoms, &self.perfect[index].atoms) {
            frame.info.set("distance_angstrom", format!("{:.3}", vector.length()));
        }
        Some(frame)
    }
}

/// The same atoms inside the cell.
fn wrapped(atoms: &Atoms) -> Atoms {
    Atoms { positions: atoms.positions.iter().map(|p| atoms.cell.wrapped(*p)).collect(), ..atoms.clone() }
}
