//! The whole fit on labels whose model is known, and on the labels that ship with the project.

use super::*;
use crate::Evaluation;
use crate::io::Frame;
use crate::potential::{
    Columns, CutoffSwitch, Electrostatic, ElectrostaticShape, InnerSwitch, LinearPotential, Sharing,
};
use crate::progress::Silent;
use crate::{NeighborList, Potential};
use rand::RngExt;
use rand_pcg::Pcg64;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/cawo4/laptop");

fn shipped_settings() -> Settings {
    let text = crate::io::read_text(&PathBuf::from(ROOT).join("fit.toml")).unwrap();
    let settings: Settings = toml::from_str(&text).unwrap();
    settings.validate("fit.toml").unwrap();
    settings
}

/// The data have a hash of their own: a copy of the settings in another folder makes the same model, name and all.
#[test]
fn the_hash_of_settings_is_of_what_they_say_and_not_of_where_the_data_lie() {
    let settings = shipped_settings();
    let elsewhere = Settings { data_files: vec!["elsewhere/labels.xyz".into()], ..settings.clone() };
    assert_eq!(elsewhere.hash(), settings.hash());
    let mut others = settings.clone();
    others.classes[0].stress_gpa = 0.123;
    assert_ne!(others.hash(), settings.hash());
}

#[test]
fn shipped_labels_fall_into_kinds_and_groups() {
    let data = TrainingData::load(&shipped_settings(), Path::new(ROOT)).unwrap();
    // The strained cells belong to the kind of the ideal one; the two boxes of 96 atoms differ in shape.
    assert_eq!(data.kinds.as_slice().len(), 3, "{:?}", data.kinds);
    let kind_of = |id: &str| data.configurations.iter().find(|c| c.id == id).unwrap().kind;
    assert_eq!(kind_of("strain-010"), data.reference_kind);
    assert_eq!(kind_of("eos-001"), data.reference_kind);
    assert_ne!(kind_of("md300-00"), kind_of("perfect-p222"));
    assert_eq!(kind_of("fpW-00"), kind_of("pairWO-1.35"));
    let group_of = |id: &str| data.configurations.iter().find(|c| c.id == id).unwrap().group;
    assert_eq!(group_of("md2000-01"), group_of("md2000-03"));
    assert_ne!(group_of("md2000-01"), group_of("md1000-02"));
    assert_eq!(group_of("perfect-000"), group_of("eos-002"));
    let ranges = data.group_ranges();
    assert_eq!(ranges.iter().map(ExactSizeIterator::len).sum::<usize>(), data.configurations.len());
    assert!(ranges.iter().enumerate().all(|(g, r)| data.configurations[r.clone()].iter().all(|c| c.group == g)));
}

/// A small model, boxes of 24 atoms with random displacements, and labels made by the model itself; every third box
/// is of another kind, whose energies are shifted.
fn made_labels(offset_ev_per_atom: f64) -> (Settings, TrainingData) {
    let settings = small_settings();
    let (data, _) = labels_made_with(&settings, offset_ev_per_atom);
    (settings, data)
}

fn small_settings() -> Settings {
    let mut settings = shipped_settings();
    settings.sharing = settings::SharingChoice::Best;
    settings.model.channel_weights.truncate(3);
    settings.model.reaches_angstrom = vec![4.8, 3.6];
    settings.model.many_body.two_j_max = 2;
    settings.model.pair.n_kernels = 8;
    settings.model.pair.sigma_angstrom = 0.5;
    settings.prior.offset_ev_per_atom = 0.1;
    // What is believed of isolated pairs and clusters is not true of this model.
    settings.prior.isolated_pair.deviation_ev = 1e9;
    settings.prior.isolated_cluster = None;
    settings.leave_out.clear();
    (settings.model.electrostatic, settings.prior.electrostatic) = (None, None);
    (settings.model.similarity, settings.prior.similarity) = (None, None);
    settings.cross_validation.folds = 4;
    settings.cross_validation.strengths = vec![1e-7, 1e-4, 1e-1];
    settings.classes.truncate(1);
    settings.classes[0].group_keys = vec!["box".into()];
    settings
}

/// The labels, and the model that made them.
fn labels_made_with(settings: &Settings, offset_ev_per_atom: f64) -> (TrainingData, Model) {
    let crystal = TrainingData::load(&shipped_settings(), Path::new(ROOT)).unwrap();
    let crystal = crystal.configurations[crystal.reference].atoms.clone();

    let mut random = Pcg64::new(17, 3);
    let mut number = move || random.random_range(-1.0..1.0);
    let empty = settings.empty_model();
    let columns = Columns::new(&empty, Sharing::PerSpecies);
    // Low components are sums over some 50 neighbours: coefficients of 0.01 eV give forces of some eV/angstrom.
    let coefficients: Vec<f64> = (0..columns.len()).map(|_| 0.01 * number()).collect();
    let model = empty.with_coefficients(&columns, &coefficients);
    let truth = LinearPotential::new(&model).unwrap();
    let frame = |index: usize| {
        let mut atoms = crystal.clone();
        atoms.positions.iter_mut().for_each(|p| *p += 0.1 * glam::DVec3::new(number(), number(), number()));
        let neighbors = NeighborList::build(&atoms, truth.cutoff_angstrom());
        let mut evaluation = Evaluation::default();
        truth.evaluate(&atoms, &neighbors, &mut evaluation).unwrap();
        let volume = atoms.cell.volume_angstrom3();
        let (n_atoms, shifted) = (atoms.len() as f64, index % 3 == 2);
        let mut frame = Frame::new(atoms);
        frame.energy_ev = Some(evaluation.energy_ev() + if shifted { n_atoms * offset_ev_per_atom } else { 0.0 });
        frame.stress = Some(evaluation.stress(volume));
        frame.forces = Some(evaluation.forces);
        frame.info.set("id", if index == 0 { "perfect-000".to_owned() } else { format!("box-{index}") });
        frame.info.set("cls", "perfect");
        frame.info.set("box", index);
        frame.info.set("kind", if shifted { "shifted" } else { "plain" });
        (format!("configuration {index}"), frame)
    };
    let frames = (0..12).map(frame).collect();
    (TrainingData::from_frames(settings, frames, "test".into()).unwrap(), model)
}

/// Replaces the labels by those of a model.
fn label_with(truth: &Model, data: &mut TrainingData) {
    let potential = LinearPotential::new(truth).unwrap();
    for configuration in &mut data.configurations {
        let neighbors = NeighborList::build(&configuration.atoms, potential.cutoff_angstrom());
        let mut evaluation = Evaluation::default();
        potential.evaluate(&configuration.atoms, &neighbors, &mut evaluation).unwrap();
        configuration.energy_ev = Some(evaluation.energy_ev());
        configuration.stress = Some(evaluation.stress(configuration.atoms.cell.volume_angstrom3()));
        configuration.forces = Some(evaluation.forces);
    }
}

#[test]
fn channels_are_there_once_with_each_reach() {
    let mut settings = shipped_settings();
    settings.model.channel_weights.truncate(2);
    settings.model.reaches_angstrom = vec![4.8, 3.0];
    let model = settings.empty_model();
    assert_eq!(model.many_body.channel_cutoffs_angstrom, [4.8, 4.8, 3.0, 3.0]);
    assert_eq!(model.central[1].channel_weights, [1.0, 0.0, 1.0, 0.0]);
    settings.validate("fit.toml").unwrap();
    for reaches in [vec![4.8, 4.9], vec![0.0]] {
        settings.model.reaches_angstrom = reaches;
        let refused = settings.validate("fit.toml").unwrap_err().to_string();
        assert!(
            refused.contains("model.reaches_angstrom: expected cutoffs above 0 and up to the cutoff of 4.8"),
            "{refused}"
        );
    }
    settings.model.reaches_angstrom = vec![4.8];
    settings.model.many_body.channel_cutoffs_angstrom = vec![4.8, 4.8];
    assert!(settings.validate("fit.toml").is_err());
}

#[test]
fn labels_of_a_model_give_back_the_model() {
    let (settings, data) = made_labels(0.03);
    let fit = run(&settings, &data, &Silent).unwrap();
    assert_eq!(fit.report.variant, "per_species");
    let held_out = fit.report.errors.iter().find(|e| e.split == Split::HeldOut && e.class == "all").unwrap();
    assert!(held_out.force_rmse_ev_per_angstrom.unwrap() < 1e-4, "{held_out:?}");
    assert!(held_out.energy_rmse_ev_per_atom.unwrap() < 1e-5 && held_out.stress_rmse_ev_per_angstrom3.unwrap() < 1e-6);
    let offset = fit.report.offsets.iter().find(|o| o.kind == "shifted").unwrap();
    assert!((offset.offset_ev_per_atom - 0.03).abs() < 1e-5, "{offset:?}");
    // One set of coefficients for three species cannot describe these labels.
    let shared = fit.report.variants.iter().find(|v| v.variant == "shared").unwrap();
    assert!(shared.score > 100.0 * fit.report.variants[1].score, "{:?}", fit.report.variants);

    // The paper's errors stand beside those of its crystal only.
    let mut report = fit.report;
    let says_paper = |report: &Report| {
        let text = summary(report);
        let json = serde_json::to_value(report).unwrap();
        (text.contains("paper     (its own 348)"), json["paper"]["energy_mae_ev"].as_f64())
    };
    assert_eq!(says_paper(&report), (true, Some(0.474)));
    let mut silicon = data;
    silicon.configurations.iter_mut().for_each(|c| c.atoms.species.fill(crate::Species::from_symbol("Si").unwrap()));
    report.paper = PaperErrors::of(&silicon);
    assert_eq!(says_paper(&report), (false, None));
}

/// Charges and responses of the labels are those of the model that made them, beyond its bonds as well.
#[test]
fn charges_are_found_in_labels_made_with_them() {
    charges_are_found(CutoffSwitch::Cosine, Vec::new());
}

/// With dipoles that act on each other too, whose own coefficients are not compared.
#[test]
fn charges_are_found_beside_dipoles() {
    charges_are_found(CutoffSwitch::Quintic, vec![1.0, -1.0, 3.0]);
}

fn charges_are_found(cutoff_switch: CutoffSwitch, dipole_charges_e: Vec<f64>) {
    let mut settings = small_settings();
    settings.model.electrostatic = Some(ElectrostaticShape {
        cutoff_angstrom: 7.5,
        damping_per_angstrom: 0.2,
        smoothing_per_angstrom: 0.9,
        inner_switch: InnerSwitch { start_angstrom: 0.7, end_angstrom: 1.2 },
        cutoff_switch,
        dipole_charges_e,
    });
    let alone = settings.validate("fit.toml").unwrap_err().to_string();
    assert!(alone.contains("expected model.electrostatic and prior.electrostatic, both or neither"), "{alone}");
    settings.prior.electrostatic = Some(settings::ElectrostaticPrior { force_ev_per_angstrom: 1.0 });
    settings.validate("fit.toml").unwrap();
    let (data, truth) = labels_made_with(&settings, 0.0);
    let fit = run(&settings, &data, &Silent).unwrap();
    let [found, expected] = [&fit.model, &truth].map(|m| m.electrostatic.clone().unwrap());
    for (found, expected) in found.charges.iter().zip(&expected.charges) {
        assert!((found.product - expected.product).abs() < 1e-5, "{found:?} {expected:?}");
    }
    // Responses are quadratic in small fields of these charges: the prior still counts.
    let numbers =
        |e: &Electrostatic| e.responses.iter().flat_map(|r| r.coefficients_angstrom3.clone()).collect::<Vec<_>>();
    for (found, expected) in numbers(&found).iter().zip(numbers(&expected)) {
        assert!((found - expected).abs() < 5e-4, "{found} {expected}");
    }
    // Without them the same labels cannot be described.
    (settings.model.electrostatic, settings.prior.electrostatic) = (None, None);
    let without = run(&settings, &data, &Silent).unwrap();
    let score = |fit: &Fit| fit.report.variants.iter().find(|v| v.variant == "per_species").unwrap().score;
    assert!(score(&without) > 10.0 * score(&fit), "{} {}", score(&without), score(&fit));
}

/// Similarities of the labels are those of the model that made them.
#[test]
fn similarities_are_found_in_labels_made_with_them() {
    let mut settings = small_settings();
    settings.sharing = settings::SharingChoice::PerSpecies;
    let similarity = settings::SimilaritySettings { references: vec![5; 3], coordinates: 4, width: 1.0, passes: 1 };
    settings.model.similarity = Some(similarity);
    let alone = settings.validate("fit.toml").unwrap_err().to_string();
    assert!(alone.contains("expected model.similarity and prior.similarity, both or neither"), "{alone}");
    settings.prior.similarity = Some(settings::SimilarityPrior { energy_ev_per_atom: 1.0 });
    settings.validate("fit.toml").unwrap();
    // References depend on the boxes, not on their labels, which are made anew once they are known.
    let (mut data, linear) = labels_made_with(&settings, 0.0);
    let mut truth = references::with_references(linear, &settings, &data).unwrap();
    for (species, central) in truth.central.iter_mut().enumerate() {
        let similarity = central.similarity.as_mut().unwrap();
        assert_eq!((similarity.references.len(), similarity.offset.len()), (5, 4));
        similarity.coefficients_ev = (0..5).map(|k| 0.2 * f64::from(k - species as i32)).collect();
    }
    label_with(&truth, &mut data);
    let fit = run(&settings, &data, &Silent).unwrap();
    for (found, expected) in fit.model.central.iter().zip(&truth.central) {
        let [found, expected] = [found, expected].map(|c| c.similarity.as_ref().unwrap());
        assert_eq!(found.references, expected.references);
        for (found, expected) in found.coefficients_ev.iter().zip(&expected.coefficients_ev) {
            assert!((found - expected).abs() < 1e-3, "{found} {expected}");
        }
    }
    // Without them the same labels cannot be described.
    (settings.model.similarity, settings.prior.similarity) = (None, None);
    let without = run(&settings, &data, &Silent).unwrap();
    let score = |fit: &Fit| fit.report.variants[0].score;
    assert!(score(&without) > 10.0 * score(&fit), "{} {}", score(&without), score(&fit));
}

/// Energies that depend on few of the components are learned better once it is known on which.
#[test]
fn a_second_pass_compares_environments_by_what_energies_depend_on() {
    let mut settings = small_settings();
    settings.sharing = settings::SharingChoice::PerSpecies;
    settings.cross_validation.strengths = vec![1e-2, 1e-1, 1.0];
    settings.prior.similarity = Some(settings::SimilarityPrior { energy_ev_per_atom: 1.0 });
    let similarity = |coordinates, passes| {
        Some(settings::SimilaritySettings { references: vec![40; 3], coordinates, width: 0.7, passes })
    };
    settings.model.similarity = similarity(2, 1);
    let (mut data, linear) = labels_made_with(&settings, 0.0);
    let mut truth = references::with_references(linear, &settings, &data).unwrap();
    for similarity in truth.central.iter_mut().filter_map(|c| c.similarity.as_mut()) {
        similarity.coefficients_ev.iter_mut().enumerate().for_each(|(k, c)| *c = 0.3 * f64::from(k as i32 % 7 - 3));
    }
    label_with(&truth, &mut data);
    let score = |passes| {
        let mut settings = settings.clone();
        settings.model.similarity = similarity(30, passes);
        let fit = run(&settings, &data, &Silent).unwrap();
        let provenance = &fit.model.provenance["settings_hash"];
        assert_eq!(*provenance, settings.hash());
        fit.report.variants[0].score
    };
    let (once, twice) = (score(1), score(2));
    assert!(twice < 0.9 * once, "{once} {twice}");
}

/// Names of configurations and classes are their makers'.
#[test]
fn rows_of_tables_keep_their_fields_whatever_names_hold() {
    let (_, mut data) = made_labels(0.0);
    data.configurations.truncate(1);
    data.configurations[0].id = "md, 300 K, \"cold\"".to_owned();
    let classes = ["ideal, relaxed".to_owned()];
    let start = "\"md, 300 K, \"\"cold\"\"\",\"ideal, relaxed\",";
    let predictions = [Prediction { energy_ev: 0.0, evaluation: Evaluation::default() }];
    let parity = parity_lines(&data, &classes, &predictions, Split::Training);
    assert!(parity.lines().count() == 7 && parity.lines().all(|line| line.starts_with(start)), "{parity}");
    let points = [calibration::Point { configuration: 0, fold: 0, predicted: 0.1, error: 0.2 }];
    let table = calibration::csv(&data, &classes, [("energy", &points), ("force", &[]), ("grade", &[])]);
    assert_eq!(table.lines().nth(1), Some(format!("{start}energy,0.100000,0.200000").as_str()));
}

#[test]
fn labels_of_other_settings_are_refused_or_shifted() {
    let (mut settings, data) = made_labels(0.0);
    let shift = [0.3, -0.2, 0.05]; // eV per atom of each species
    let frame = |(index, c): (usize, &Configuration)| {
        let mut frame = Frame::new(c.atoms.clone());
        let other = index % 2 == 1 && c.id != "perfect-000";
        let of = |s: &crate::Species| shift[settings.model.species.iter().position(|t| t == s).unwrap()];
        let added: f64 = if other { c.atoms.species.iter().map(of).sum() } else { 0.0 };
        (frame.energy_ev, frame.forces, frame.stress) = (c.energy_ev.map(|e| e + added), c.forces.clone(), c.stress);
        for (key, value) in [("id", c.id.as_str()), ("cls", "perfect"), ("box", &c.id), ("kind", "plain")] {
            frame.info.set(key, value);
        }
        frame.info.set("xc", if other { "PBEsol" } else { "PBE" });
        (c.id.clone(), frame)
    };
    let frames: Vec<_> = data.configurations.iter().enumerate().map(frame).collect();
    let refused = TrainingData::from_frames(&settings, frames.clone(), "test".into()).unwrap_err().to_string();
    assert!(refused.contains("xc PBE,") && refused.contains("xc PBEsol,"), "{refused}");
    settings.prior.offset_per_species_ev = Some(0.5);
    // Constants between settings do not make labels of what a model computed; what is left out may be anything.
    let mut computed = frames.clone();
    crate::io::labels::stamp_model(&mut computed[1].1, "0123456789abcdef");
    let refused = TrainingData::from_frames(&settings, computed.clone(), "test".into()).unwrap_err().to_string();
    assert!(refused.contains("found those of a model (knockon 0123456789abcdef)"), "{refused}");
    let without = Settings { leave_out: vec![computed[1].1.info.get("id").unwrap().to_owned()], ..settings.clone() };
    assert!(TrainingData::from_frames(&without, computed, "test".into()).is_ok());
    let mixed = TrainingData::from_frames(&settings, frames, "test".into()).unwrap();
    let fit = run(&settings, &mixed, &Silent).unwrap();
    let held_out = fit.report.errors.iter().find(|e| e.split == Split::HeldOut && e.class == "all").unwrap();
    assert!(held_out.energy_rmse_ev_per_atom.unwrap() < 1e-5, "{held_out:?}");
    // All boxes are CaWO4: only the sum over a formula unit is determined.
    let count = |s: crate::Species| if s.symbol() == "O" { 4.0 } else { 1.0 };
    let found: f64 = fit.report.species_offsets.iter().map(|row| count(row.species) * row.offset_ev).sum();
    let expected: f64 = settings.model.species.iter().zip(shift).map(|(s, x)| count(*s) * x).sum();
    assert!((found - expected).abs() < 1e-4, "{found} {expected}");
}

#[test]
fn the_model_says_where_it_comes_from_and_whether_it_failed() {
    let (settings, data) = made_labels(0.0);
    let mut fit = run(&settings, &data, &Silent).unwrap();
    assert_eq!(fit.model.provenance["data_hash"], "test");
    assert!(crate::checks::failed(&fit.model).is_none());
    fit.record_checks(&crate::checks::check(
        &LinearPotential::new(&fit.model).unwrap(),
        &data.configurations[data.reference].atoms,
        &[],
        &crate::checks::CheckSettings { temperatures_k: vec![], recoils_per_species: 0, ..Default::default() },
        &Silent,
    ));
    let failed = crate::checks::failed(&fit.model).unwrap();
    assert!(!fit.report.checks_passed && failed.contains("change of stiffness with lattice"), "{failed}");
    assert_eq!(fit.report.model_hash, fit.model.hash());
    let again = Model::from_text(&fit.model.to_text(), "model").unwrap();
    assert_eq!(again, fit.model);
}

#[test]
fn data_that_cannot_be_used_are_refused_with_a_remedy() {
    let mut settings = shipped_settings();
    let data = TrainingData::load(&settings, Path::new(ROOT)).unwrap();
    settings.leave_out.clear();
    let mut frame = Frame::new(data.configurations[data.reference].atoms.clone());
    frame.info.set("id", "x");
    frame.info.set("cls", "perfect");
    let refused = |frame: &Frame| {
        TrainingData::from_frames(&settings, vec![("file".into(), frame.clone())], String::new())
            .unwrap_err()
            .to_string()
    };
    assert!(refused(&frame).contains("found neither"));
    frame.energy_ev = Some(-1.0);
    assert!(refused(&frame).contains("perfect-000"));
    frame.info.set("cls", "unheard");
    assert!(refused(&frame).contains("[[class]] \"unheard\" (for 1 configurations)"));
    let mut other = frame.clone();
    other.info.set("id", "y");
    other.info.set("cls", "unseen");
    let both = [("file".into(), frame), ("file".into(), other)];
    let error = TrainingData::from_frames(&settings, both.into(), String::new()).unwrap_err().to_string();
    assert!(error.contains("\"unheard\"") && error.contains("\"unseen\""), "{error}");
}

/// What is misspelt or cannot be held out would otherwise change a fit without a word.
#[test]
fn settings_that_do_not_fit_the_data_are_refused() {
    let (mut settings, _) = made_labels(0.0);
    let frames = |settings: &Settings| {
        let (data, _) = labels_made_with(settings, 0.0);
        let frame = |c: &Configuration| {
            let mut frame = Frame::new(c.atoms.clone());
            frame.info.set("id", &c.id);
            frame.info.set("cls", &settings.classes[c.class].name);
            frame.energy_ev = c.energy_ev;
            (c.id.clone(), frame)
        };
        data.configurations.iter().map(frame).collect::<Vec<_>>()
    };
    let all = frames(&settings);
    let refused = |settings: &Settings, frames: &[(String, Frame)]| {
        TrainingData::from_frames(settings, frames.to_vec(), String::new()).unwrap_err().to_string()
    };
    settings.leave_out = vec!["misspelt".to_owned()];
    assert!(refused(&settings, &all).contains("id \"misspelt\" (setting `leave_out`), found none"));
    settings.leave_out.clear();
    let mut more = settings.clone();
    more.model.species.push(crate::Species::from_symbol("Mo").unwrap());
    let found = refused(&more, &all);
    assert!(found.contains("every element of the model, found none with Mo"), "{found}");
    let reference: Vec<_> = all.iter().filter(|(id, _)| *id == settings.reference).cloned().collect();
    assert!(refused(&settings, &reference).contains("at least two groups to hold out by turns, found 1"));
    let twice = settings.classes[0].clone();
    settings.classes.push(twice);
    let error = settings.validate("fit.toml").unwrap_err().to_string();
    assert!(error.contains(".name: expected every class once"), "{error}");
}

/// Labels made by a known model: deviations tell the errors of held-out boxes, and grow with the grade away from the data.
#[test]
fn committee_and_grades_belong_to_the_fit() {
    let (settings, data) = made_labels(0.0);
    let mut fit = run(&settings, &data, &Silent).unwrap();
    fit.record_checks(&[]);
    let committee = crate::potential::Committee::new(&fit.model, &fit.committee, "test").unwrap();
    let extrapolation = crate::potential::Extrapolation::new(&fit.model, fit.grade.clone(), "test").unwrap();
    let uncertainty = &fit.report.uncertainty;
    assert_eq!(
        (fit.committee.energy_scale, fit.committee.force_scale),
        (uncertainty.energy.scale, uncertainty.force.scale)
    );
    assert_eq!(fit.committee.members.len(), calibration::N_MEMBERS);
    // Boxes and forces that the committee is sure of are predicted better.
    assert!(uncertainty.force.rank_correlation > 0.2, "{uncertainty:?}");
    let bins = &uncertainty.force.bins;
    assert!(bins[bins.len() - 1].error_rms > bins[0].error_rms, "{bins:?}");
    let spread = |atoms: &crate::Atoms| {
        let neighbors = NeighborList::build(atoms, committee.model().cutoff_angstrom());
        let found = committee.evaluate(atoms, &neighbors, &mut Evaluation::default()).unwrap();
        let grade = extrapolation.grades(atoms, &neighbors).unwrap().into_iter().fold(0.0, f64::max);
        (found.force_std_by_atom().iter().sum::<f64>() / atoms.len() as f64, grade)
    };
    // Farther from the data, both grow.
    let crystal = &data.configurations[data.reference].atoms;
    let mut squeezed = crystal.clone();
    squeezed.cell.vectors *= 0.8;
    squeezed.positions.iter_mut().for_each(|p| *p *= 0.8);
    let ((near, near_grade), (far, far_grade)) = (spread(crystal), spread(&squeezed));
    assert!(near > 0.0 && far > 2.0 * near, "{near} {far}");
    assert!(near_grade <= 1.0 + 1e-4 && far_grade > 3.0, "{near_grade} {far_grade}");
}
