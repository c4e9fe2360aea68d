//! `knockon frenkel`.

use super::data::push_aligned;
use super::label::calculator::ForcesArguments;
use crate::config;
use crate::figures::frenkel::{Atom, FrenkelPicture, draw};
use crate::figures::raster;
use crate::progress::{Bar, say};
use anyhow::Result;
use glam::DVec3;
use knockon::dynamics::QuenchSettings;
use knockon::frenkel::{
    Entry, FrenkelSearch, FrenkelSettings, FrenkelTable, LabelledPair, Outcome, Structure, find_frenkel_pairs,
    labelled_pairs,
};
use knockon::io::{Frame, read_extxyz, read_structure, write_atomically};
use knockon::{Atoms, Potential, Species};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Arguments of `knockon frenkel`.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  knockon frenkel examples/cawo4/frenkel.toml --model data/cawo4/cawo4.model -o OUT/frenkel\n\n\
    OUTPUT holds frenkel.csv and frenkel.json (one entry per structure and box), structures-N.xyz (all structures in\n\
    boxes of N atoms), candidates.xyz (the lowest of each element, to be labelled), figures, and relaxations/ (one\n\
    file per start). With a calculator instead of a model, every evaluation becomes a label in evaluations.xyz.\n\n\
    First with the model, then with a calculator:\n  knockon relax OUT/frenkel/candidates.xyz --calculator gpaw --calculator-config examples/cawo4/label.toml \\\n\
    \x20     --guide data/cawo4/cawo4.model --max-force 0.03 -o relaxed.xyz\n  the search again with --labels relaxed.xyz"
)]
pub(crate) struct Arguments {
    /// TOML file with the settings of the search; see examples/cawo4/frenkel.toml.
    config: PathBuf,
    #[command(flatten)]
    forces: ForcesArguments,
    /// Folder for the results. Relaxations already there are kept: an interrupted search goes on where it stopped.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Boxes of pairs that are known already (extended XYZ), labels or structures of another search, which are relaxed besides the
    /// starts of the grid: a grid misses some, and other potentials find others. Frames of the box of the search count, in its lattice or
    /// one strained by a few per cent, without a class or of the class frenkel. May be given more than once.
    #[arg(long, value_name = "FILE")]
    starts: Vec<PathBuf>,
    /// First-principles labels (extended XYZ): of structures that this search has written or what relaxed from them in
    /// the same cell, put beside the model's energies; and, with a model, of any Frenkel pairs (cls=frenkel, with a
    /// cls=perfect of the same cell), compared in labelled.json, which also estimates the energy that relaxing each with
    /// the code would end at. May be given more than once.
    #[arg(long, value_name = "FILE")]
    labels: Vec<PathBuf>,
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let settings: FrenkelSettings = config::load(&arguments.config)?;
    settings.validate(&arguments.config.display().to_string())?;
    let folder = arguments.config.parent().unwrap_or(Path::new("."));
    let crystal = read_structure(&folder.join(&settings.crystal))?.atoms;
    let species: BTreeSet<Species> = crystal.species.iter().copied().collect();
    let species: Vec<Species> = species.into_iter().collect();
    let forces = arguments.forces.open(&arguments.output.join("evaluations.xyz"), &species, true)?;
    if let Some(model) = forces.model() {
        super::campaign::warn_of_failing(model);
    }
    let potential = forces.potential();
    let given = read_all(&arguments.starts)?;
    let labels = read_all(&arguments.labels)?;
    let bar = Bar::new("relaxations");
    let search = find_frenkel_pairs(potential, &forces.hash(), &crystal, &settings, &given, &arguments.output, &bar)?;
    drop(bar);
    let mut table = FrenkelTable::new(&search, &settings);
    search.write_structures(&settings, &arguments.output)?;
    draw_structures(&search, &crystal, &arguments.output.join("figures"))?;

    if !labels.is_empty() {
        let attached = table.attach_labels(&labels)?;
        attached.foreign.iter().chain(&attached.unfinished).for_each(|line| say(line));
        say(&format!("{} structures have labels", attached.found));
    }
    // A first-principles code would take days to relax every labelled pair; nobody has asked for that.
    let compared = (!labels.is_empty() && forces.model().is_some())
        .then(|| compare_labelled(potential, &labels, &settings, &search, &arguments.output))
        .transpose()?;
    compared.iter().for_each(|pairs| table.estimate(pairs));
    table.write(&arguments.output)?;
    out!("{}", text(&table));
    compared.iter().for_each(|pairs| out!("{}", labelled_text(pairs)));
    let o = table.outcomes;
    say(&format!(
        "starts: {} defects, {} recombined, {} unfinished, {} below the perfect crystal, {} failed; {}",
        o.defect,
        o.recombined,
        o.unfinished,
        o.below_crystal,
        o.failed,
        arguments.output.join("frenkel.csv").display()
    ));
    Ok(())
}

fn read_all(files: &[PathBuf]) -> Result<Vec<Frame>> {
    let mut frames = Vec::new();
    for file in files {
        frames.extend(read_extxyz(file)?);
    }
    Ok(frames)
}

/// What the model says of pairs that have labels, and which structure of the search it relaxes each to, as a file.
fn compare_labelled(
    potential: &dyn Potential,
    labels: &[Frame],
    settings: &FrenkelSettings,
    search: &FrenkelSearch,
    folder: &Path,
) -> Result<Vec<LabelledPair>> {
    let quench = QuenchSettings {
        max_force_ev_per_angstrom: settings.max_force_ev_per_angstrom,
        max_evaluations: settings.max_evaluations,
        ..QuenchSettings::default()
    };
    let mut pairs = labelled_pairs(potential, labels, &quench)?;
    search.recognize(potential, &quench, &mut pairs)?;
    let text = serde_json::to_string_pretty(&pairs)?;
    write_atomically(&folder.join("labelled.json"), text.as_bytes())?;
    for (id, failure) in pairs.iter().filter_map(|p| Some((&p.id, p.failure.as_ref()?))) {
        say(&format!("labelled pair {id}: {failure}"));
    }
    Ok(pairs)
}

/// A picture of every structure in the box of the search.
fn draw_structures(search: &FrenkelSearch, crystal: &Atoms, folder: &Path) -> Result<()> {
    let perfect = &search.perfect[0].atoms;
    let v = crystal.cell.vectors;
    let axes = [("a", v.x_axis), ("b", v.y_axis), ("c", v.z_axis)].map(|(name, v)| (name, v.normalize_or_zero()));
    let bond_angstrom = 1.25 * shortest_between_elements(perfect);
    for structure in &search.structures {
        let title = title(structure);
        let (atoms, vacancies, axis) = surroundings(structure, perfect);
        let picture = FrenkelPicture {
            title: &title,
            atoms: &atoms,
            vacancies: &vacancies,
            axis,
            bond_angstrom,
            crystal_axes: &axes,
        };
        let svg = draw(&picture);
        write_atomically(&folder.join(format!("{}.svg", structure.id)), svg.as_bytes())?;
        write_atomically(&folder.join(format!("{}.png", structure.id)), &raster::png(&svg)?)?;
    }
    Ok(())
}

fn title(structure: &Structure) -> String {
    let result = &structure.boxes[0];
    let energy = format!("{}: formation energy {:.2} eV", structure.id, result.formation_energy_ev);
    format!("{energy} in {} atoms, {:.2} eV with elastic correction", result.atoms.len(), result.corrected_ev())
}

/// Atoms and vacancies around the middle of the defect, and the vector from vacancy to interstitial.
fn surroundings(structure: &Structure, perfect: &Atoms) -> (Vec<Atom>, Vec<(String, DVec3)>, DVec3) {
    let result = &structure.boxes[0];
    let (center, axis) = result.center_and_axis(perfect);
    let near = |position: DVec3| perfect.cell.minimum_image(position - center);
    let atom = |index: usize| {
        let offset = near(result.atoms.positions[index]);
        let displacement = result.atoms.positions[index] - perfect.positions[index];
        Atom {
            symbol: result.atoms.species[index].symbol().to_owned(),
            offset,
            site: (displacement.length() > VISIBLE_ANGSTROM).then(|| offset - displacement),
            interstitial: result.occupation.interstitials.contains(&index),
        }
    };
    let vacancy = |site: &usize| (perfect.species[*site].symbol().to_owned(), near(perfect.positions[*site]));
    let vacancies = result.occupation.vacant_sites.iter().map(vacancy).collect();
    ((0..result.atoms.len()).map(atom).collect(), vacancies, axis)
}

/// Displacements longer than this are drawn.
const VISIBLE_ANGSTROM: f64 = 0.35;

fn shortest_between_elements(atoms: &Atoms) -> f64 {
    let mut shortest = f64::INFINITY;
    for i in 0..atoms.len() {
        for j in (0..i).filter(|j| atoms.species[*j] != atoms.species[i]) {
            shortest = shortest.min(atoms.cell.minimum_image(atoms.positions[i] - atoms.positions[j]).length());
        }
    }
    if shortest.is_finite() { shortest } else { 0.0 }
}

/// One line per structure, one column per box.
fn text(table: &FrenkelTable) -> String {
    let mut sizes: Vec<usize> = table.entries.iter().map(|e| e.n_atoms).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let mut header = vec!["formation energy (eV)".to_owned(), "starts".into(), "distance (A)".into()];
    for size in &sizes {
        header.extend([format!("{size} atoms"), "corrected".to_owned()]);
    }
    let mut rows = vec![header];
    for first in table.entries.iter().filter(|e| e.n_atoms == sizes[0]) {
        let distance = first.distance_angstrom.map(|d| format!("{d:.2}")).unwrap_or_default();
        let mut row = vec![first.id.clone(), first.starts.to_string(), distance];
        for size in &sizes {
            let entry = table.entries.iter().find(|e| e.id == first.id && e.n_atoms == *size);
            row.extend(entry.map_or([String::new(), String::new()], cells));
        }
        rows.push(row);
    }
    let mut text = String::new();
    push_aligned(&mut text, &rows);
    text
}

fn cells(entry: &Entry) -> [String; 2] {
    let remark = match (entry.outcome, &entry.same_as) {
        (Outcome::Defect, None) => cell(entry.corrected_formation_energy_ev),
        (Outcome::Defect, Some(id)) => format!("= {id}"),
        (Outcome::Recombined, _) => "recombined".to_owned(),
        (Outcome::Unfinished, _) => "unfinished".to_owned(),
        (Outcome::BelowCrystal, _) => "below crystal".to_owned(),
        (Outcome::Failed, _) => "failed".to_owned(),
    };
    [cell(entry.formation_energy_ev), remark]
}

/// Empty where there is no energy.
fn cell(energy_ev: Option<f64>) -> String {
    energy_ev.map(|energy| format!("{energy:.3}")).unwrap_or_default()
}

fn labelled_text(pairs: &[LabelledPair]) -> String {
    let header = [
        "labelled pair (eV)",
        "label",
        "its force (eV/A)",
        "relaxed (estimate)",
        "model",
        "model, relaxed",
        "structure",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for p in pairs {
        let force = p.label_max_force_ev_per_angstrom.map(|f| format!("{f:.2}")).unwrap_or_default();
        let energies = [Some(p.label_ev), p.label_relaxed_ev, p.model_ev, p.model_relaxed_ev];
        let [label, label_relaxed, model, model_relaxed] = energies.map(cell);
        let structure = p.structure.clone().unwrap_or_default();
        rows.push(vec![p.id.clone(), label, force, label_relaxed, model, model_relaxed, structure]);
    }
    let mut text = String::new();
    push_aligned(&mut text, &rows);
    text
}
