//! What ships with the project fits together: data, model, settings, and the paths that the documents name.

#![allow(clippy::unwrap_used, missing_docs)]

use glam::DVec3;
use knockon::cascade::CampaignSettings;
use knockon::fit::{Settings, TrainingData};
use knockon::frenkel::FrenkelSettings;
use knockon::io::{read_extxyz, read_structure};
use knockon::neighbors::NeighborList;
use knockon::potential::{
    Columns, Committee, CommitteeFile, Evaluation, Extrapolation, GradeFile, LinearPotential, Model, Sharing,
};
use knockon::{Atoms, Potential, Species};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn settings<T: serde::de::DeserializeOwned>(path: &str) -> T {
    toml::from_str(&std::fs::read_to_string(root().join(path)).unwrap()).unwrap()
}

/// The default and the paper's form of the model, with their settings.
const MODELS: [(&str, &str); 2] =
    [("cawo4", "examples/cawo4/laptop/fit.toml"), ("cawo4-paper-form", "examples/cawo4/paper_form.toml")];

#[test]
fn the_models_were_fitted_to_the_data_with_the_settings_beside_them() {
    for (name, path) in MODELS {
        let model = Model::load(&root().join(format!("data/cawo4/{name}.model"))).unwrap();
        let fit: Settings = settings(path);
        let data = TrainingData::load(&fit, root().join(path).parent().unwrap()).unwrap();
        assert_eq!(model.provenance["data_hash"], data.hash);
        assert_eq!(model.provenance["settings_hash"], fit.hash());
        assert_eq!(model.provenance["checks"], "passed");
    }
}

/// Committee and grades belong to the model, and no training atom is graded as extrapolation.
#[test]
fn committee_and_grades_belong_to_the_model() {
    MODELS.iter().for_each(|(name, _)| check_committee_and_grades(name));
}

fn check_committee_and_grades(name: &str) {
    let path = |extension: &str| root().join(format!("data/cawo4/{name}.{extension}"));
    let model = Model::load(&path("model")).unwrap();
    let committee = Committee::new(&model, &CommitteeFile::load(&path("committee")).unwrap(), "committee").unwrap();
    let extrapolation = Extrapolation::new(&model, GradeFile::load(&path("grade")).unwrap(), "grade").unwrap();
    let uncertain = |id: &str| {
        let frames = read_extxyz(&root().join("data/cawo4/cawo4_pbe.xyz")).unwrap();
        let atoms = frames.into_iter().find(|f| f.info.get("id") == Some(id)).unwrap().atoms;
        let neighbors = NeighborList::build(&atoms, model.cutoff_angstrom());
        let found = committee.evaluate(&atoms, &neighbors, &mut Evaluation::default()).unwrap();
        let grade = extrapolation.grades(&atoms, &neighbors).unwrap().into_iter().fold(0.0, f64::max);
        (found.energy_std_ev / atoms.len() as f64, found.force_std_by_atom().into_iter().fold(0.0, f64::max), grade)
    };
    let (cold, hot) = (uncertain("md300-00"), uncertain("md3000-05"));
    assert!(cold.2 < hot.2 && hot.2 <= 1.0 + 1e-4, "{cold:?} {hot:?}");
    assert!(cold.0 < 0.01 && cold.1 < 0.3 && hot.1 > 2.0 * cold.1, "{cold:?} {hot:?}");
}

/// The committee's deviations, in single precision, are those of its members as models of their own.
#[test]
fn the_committee_is_the_spread_of_its_members() {
    MODELS.iter().for_each(|(name, _)| check_members(name));
}

fn check_members(name: &str) {
    let path = |extension: &str| root().join(format!("data/cawo4/{name}.{extension}"));
    let model = Model::load(&path("model")).unwrap();
    let file = CommitteeFile::load(&path("committee")).unwrap();
    let committee = Committee::new(&model, &file, "committee").unwrap();
    let columns = Columns::new(&model, Sharing::PerSpecies);
    let coefficients = model.coefficients(&columns);
    let frames = read_extxyz(&root().join("data/cawo4/cawo4_pbe.xyz")).unwrap();
    let atoms = frames.into_iter().find(|f| f.info.get("id").is_some_and(|id| id == "md3000-05")).unwrap().atoms;
    let neighbors = NeighborList::build(&atoms, model.cutoff_angstrom());
    let mut expected = Evaluation::default();
    let found = committee.evaluate(&atoms, &neighbors, &mut expected).unwrap();
    let (mut energy, mut squares) = (0.0, vec![[0.0; 3]; atoms.len()]);
    for member in &file.members {
        let moved: Vec<f64> = coefficients.iter().zip(&member.deviations_ev).map(|(c, d)| c + f64::from(*d)).collect();
        let member = LinearPotential::new(&model.with_coefficients(&columns, &moved)).unwrap();
        let mut evaluation = Evaluation::default();
        member.evaluate(&atoms, &neighbors, &mut evaluation).unwrap();
        energy += (evaluation.energy_ev() - expected.energy_ev()).powi(2);
        for (squares, (a, b)) in squares.iter_mut().zip(evaluation.forces.iter().zip(&expected.forces)) {
            (0..3).for_each(|axis| squares[axis] += (a[axis] - b[axis]).powi(2));
        }
    }
    let root = |square: f64, scale: f64| scale * (square / file.members.len() as f64).sqrt();
    let energy = root(energy, file.energy_scale);
    assert!((found.energy_std_ev - energy).abs() < 1e-5 * energy, "{} {energy}", found.energy_std_ev);
    // Rounding is largest where the parts of a force cancel.
    let (mut all_differences, mut all) = (0.0, 0.0);
    for (found, squares) in found.force_std.iter().zip(squares) {
        let expected = squares.map(|s| root(s, file.force_scale));
        let difference: f64 = (0..3).map(|axis| (found[axis] - expected[axis]).powi(2)).sum();
        let length: f64 = expected.iter().map(|x| x * x).sum();
        assert!(difference.sqrt() < 5e-5 * length.sqrt(), "{found} {expected:?}");
        (all_differences, all) = (all_differences + difference, all + length);
    }
    assert!(all_differences.sqrt() < 1e-5 * all.sqrt(), "{}", (all_differences / all).sqrt());
}

#[test]
fn the_model_describes_the_thermal_labels() {
    let model = Model::load(&root().join("data/cawo4/cawo4.model")).unwrap();
    let potential = LinearPotential::new(&model).unwrap();
    let (mut squares, mut count) = (0.0, 0.0);
    for frame in read_extxyz(&root().join("data/cawo4/cawo4_pbe.xyz")).unwrap() {
        let is_thermal = frame.info.get("cls") == Some("thermal");
        let (true, Some(labels)) = (is_thermal, &frame.forces) else { continue };
        let neighbors = potential.neighbor_list(&frame.atoms, 0.0);
        let mut evaluation = Evaluation::default();
        potential.evaluate(&frame.atoms, &neighbors, &mut evaluation).unwrap();
        for (found, label) in evaluation.forces.iter().zip(labels) {
            squares += (*found - *label).length_squared();
            count += 3.0;
        }
    }
    assert!(count > 1000.0);
    let rmse = f64::sqrt(squares / count);
    assert!(rmse < 0.4, "{rmse} eV/A");
}

/// Atoms that come close to several others at once repel: the bispectrum grows as the cube of the number of neighbours, and rows of
/// the fit hold it.
#[test]
fn clumps_of_atoms_repel() {
    let model = Model::load(&root().join("data/cawo4/cawo4.model")).unwrap();
    let potential = LinearPotential::new(&model).unwrap();
    let axes = [DVec3::X, DVec3::NEG_X, DVec3::Y, DVec3::NEG_Y, DVec3::Z, DVec3::NEG_Z];
    let energy_ev = |center: Species, others: Species, distance: f64| {
        let mut atoms = Atoms::dimer([center, others], distance);
        atoms.species.resize(1 + axes.len(), others);
        atoms.positions = std::iter::once(DVec3::ZERO).chain(axes.map(|axis| axis * distance)).collect();
        let neighbors = NeighborList::build(&atoms, model.cutoff_angstrom());
        let mut evaluation = Evaluation::default();
        potential.evaluate(&atoms, &neighbors, &mut evaluation).unwrap();
        evaluation.energy_ev()
    };
    for center in model.species() {
        for others in model.species() {
            for distance in [1.0, 1.1, 1.2] {
                let energy = energy_ev(center, others, distance) - energy_ev(center, others, 30.0);
                assert!(energy > 20.0, "{others} around {center} at {distance} A: {energy} eV");
            }
        }
    }
}

#[test]
fn campaigns_of_both_sizes_are_valid() {
    for size in ["laptop", "full"] {
        let path = format!("examples/cawo4/{size}/campaign.toml");
        let campaign: CampaignSettings = settings(&path);
        campaign.validate(&path).unwrap();
        let crystal = read_structure(&root().join("examples/cawo4").join(size).join(&campaign.crystal)).unwrap().atoms;
        let n_atoms = crystal.len() * campaign.cells.iter().product::<usize>();
        let n_runs: usize = campaign.energies.iter().map(|e| e.starts * campaign.directions.len()).sum();
        match size {
            "full" => assert_eq!((n_atoms, n_runs), (49152, 1184)),
            _ => assert!(n_runs >= 8 && campaign.energies.iter().any(|e| e.energy_ev == 112.0)),
        }
        let response: knockon::response::Settings = settings(&format!("examples/cawo4/{size}/response.toml"));
        response.validate().unwrap();
    }
}

#[test]
fn frenkel_searches_are_valid_and_their_candidates_fit_the_labels() {
    for name in ["frenkel.toml", "frenkel_candidates.toml"] {
        let path = format!("examples/cawo4/{name}");
        let search: FrenkelSettings = settings(&path);
        search.validate(&path).unwrap();
        assert!(root().join("examples/cawo4").join(&search.crystal).exists());
    }
    // Energies of candidates can only be compared with labels of the same lattice of boxes.
    let labels = read_extxyz(&root().join("data/cawo4/cawo4_pbe.xyz")).unwrap();
    let box_of_labels = labels.iter().find(|f| f.info.get("id") == Some("perfect-p222")).unwrap().atoms.cell;
    let candidates = read_extxyz(&root().join("data/cawo4/candidates/frenkel.xyz")).unwrap();
    let mut ids: Vec<&str> = candidates.iter().map(|f| f.info.get("id").unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), candidates.len());
    for frame in &candidates {
        let change = box_of_labels.vectors.inverse() * frame.atoms.cell.vectors;
        assert!((change.determinant().abs() - 1.0).abs() < 1e-9 && frame.energy_ev.is_none());
        for axis in 0..3 {
            let whole = change.col(axis).to_array().iter().all(|x| (x - x.round()).abs() < 1e-9);
            assert!(whole, "a box vector that is not of the lattice of boxes: {change}");
        }
    }
    for species in ["W", "Ca", "O"] {
        assert!(candidates.iter().any(|f| f.info.get("species") == Some(species)), "{species}");
    }
}

/// The example of another crystal: one element, compared with values of its own.
#[test]
fn the_settings_for_silicon_are_valid() {
    let path = |name: &str| format!("examples/silicon/{name}");
    let fit: Settings = settings(&path("fit.toml"));
    fit.validate("fit.toml").unwrap();
    assert_eq!((fit.checks.elastic_gpa.len(), fit.checks.lattice_angstrom.a), (3, Some(5.469)));
    let campaign: CampaignSettings = settings(&path("campaign.toml"));
    campaign.validate("campaign.toml").unwrap();
    let search: FrenkelSettings = settings(&path("frenkel.toml"));
    search.validate("frenkel.toml").unwrap();
    let select: knockon::selection::SelectionSettings = settings(&path("select.toml"));
    select.validate("select.toml").unwrap();
    let response: knockon::response::Settings = settings(&path("response.toml"));
    response.validate().unwrap();
    for crystal in [&campaign.crystal, &search.crystal, &select.crystal] {
        assert_eq!(read_structure(&root().join("examples/silicon").join(crystal)).unwrap().atoms.len(), 8);
    }
    assert!(root().join("examples/silicon").join(&select.fit).exists());
    // A pool without a class would be refused when its labels come back.
    for pool in knockon::selection::Pool::ALL {
        assert!(fit.classes.iter().any(|class| class.name == pool.class()), "{}", pool.class());
    }
}

/// All documents of a folder and the folders in it.
fn documents(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let of = |path: PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match path.is_dir() {
            true if name.starts_with('.') || ["target", "knockon-out", "crates"].contains(&name.as_str()) => Vec::new(),
            true => documents(&path),
            false => {
                if name.ends_with(".md") {
                    vec![path]
                } else {
                    Vec::new()
                }
            }
        }
    };
    entries.flat_map(of).collect()
}

/// Paths in backticks of the documents exist, and what their links point at.
#[test]
fn documents_name_only_what_is_there() {
    let documents = documents(&root());
    assert!(documents.len() > 20);
    for document in documents {
        let text = std::fs::read_to_string(&document).unwrap();
        let name = document.display();
        let folders = ["crates/", "data/", "examples/", "docs/", "validation/", "benches/"];
        let named = text.split('`').skip(1).step_by(2).filter(|word| folders.iter().any(|f| word.starts_with(f)));
        // `examples/cawo4/mine` is the reader's own.
        for path in named.filter(|word| !word.contains([' ', '*', '\n']) && !word.contains("/mine/")) {
            assert!(root().join(path).exists(), "{name} names {path}");
        }
        let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        for link in links.filter(|link| !link.starts_with("http")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { document.clone() } else { document.parent().unwrap().join(path) };
            assert!(target.exists(), "{name} links {link}");
            let there = || std::fs::read_to_string(&target).unwrap().lines().any(|line| anchor_of(line) == anchor);
            assert!(anchor.is_empty() || there(), "{name} links {link}");
        }
    }
}

/// What a heading is called in links.
fn anchor_of(line: &str) -> String {
    let Some(heading) = line.strip_prefix('#') else { return String::new() };
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// Tables of the documentation that follow from data say what the data say.
#[test]
fn tables_of_the_documents_are_those_of_the_data() {
    let mut command = std::process::Command::new("python3");
    command.arg(root().join("docs/numbers.py")).args([env!("CARGO_BIN_EXE_knockon"), "--check"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
