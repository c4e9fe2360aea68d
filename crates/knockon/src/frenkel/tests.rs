//! The whole search on a crystal that is cheap and whose answers can be found in another way.

use super::*;
use crate::dynamics::testing::{Fails, PairPotential, argon_like, cubic_cell};
use crate::dynamics::{QuenchSettings, Simulation, quench, relax_cell};
use crate::io::Frame;
use crate::progress::Silent;
use crate::{Atoms, Cell, Evaluation};
use glam::DVec3;
use std::path::Path;

/// Face-centred cubic argon; octahedral places only.
fn settings() -> FrenkelSettings {
    toml::from_str(
        "crystal = \"argon\"\nrelax_cell = true\nspecies = [\"Ar\"]\nsupercells = [4, 5]\ngrid_spacing_angstrom = 1.98\n\
         min_distance_angstrom = 1.8\nreach_angstrom = 5.3\nmax_force_ev_per_angstrom = 1e-3",
    )
    .expect("settings")
}

fn search(folder: &Path, threads: usize) -> FrenkelSearch {
    let (potential, _) = argon_like([1, 1, 1]);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
    pool.install(|| find_frenkel_pairs(&potential, "model", &cubic_cell(2.8), &settings(), &[], folder, &Silent))
        .expect("a search")
}

fn relaxed_energy(potential: &PairPotential, atoms: Atoms) -> (f64, Simulation<'_>) {
    let mut simulation = Simulation::new(potential, atoms, 0.5).expect("a simulation");
    let settings = QuenchSettings { max_force_ev_per_angstrom: 1e-3, ..QuenchSettings::default() };
    let found = quench(&mut simulation, &settings).expect("a minimum");
    (found.energy_ev, simulation)
}

/// The nearest pairs recombine; a pair that stays costs about what a vacancy and an interstitial cost each alone.
/// Stopping and threads change nothing.
#[test]
fn pairs_of_argon_are_a_vacancy_and_an_interstitial() {
    let [one, two] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let found = search(one.path(), 1);
    let perfect = &found.perfect[0];
    assert_eq!((perfect.atoms.len(), found.perfect[1].atoms.len()), (64, 125));
    assert!(found.outcomes.recombined >= 1, "{:?}", found.outcomes);
    assert_eq!(found.outcomes.unfinished + found.outcomes.below_crystal + found.outcomes.failed, 0);
    let pair = found.structures.iter().find(|s| s.kind == "Ar").expect("a pair that stays");
    let large = &pair.boxes[1];
    assert_eq!(large.outcome, Outcome::Defect);
    assert_eq!((large.occupation.vacant_sites.len(), large.occupation.interstitials.len()), (1, 1));
    atoms_may_stand_in_any_image(&pair.boxes[0], &found);

    // Each way of a structure that is kept went to the larger box, and a defect there is what one of them came to.
    for structure in found.structures.iter().filter(|s| s.boxes.len() == 2) {
        assert_eq!(structure.ways[0].1, structure.boxes[0]);
        assert!((1..=structure.starts.min(4)).contains(&structure.ways.len()));
        let there = |(job, _): &(String, BoxResult)| one.path().join(format!("relaxations/{job}-in-125-atoms.json"));
        assert!(structure.ways.iter().all(|way| there(way).exists()), "{}", structure.id);
    }

    let (potential, _) = argon_like([1, 1, 1]);
    let crystal = &found.perfect[1].atoms;
    let mut vacancy = crystal.clone();
    vacancy.positions.remove(0);
    vacancy.species.remove(0);
    let mut interstitial = crystal.clone();
    interstitial.positions.push(crystal.positions[0] + DVec3::X * 1.98);
    interstitial.species.push(crystal.species[0]);
    let [vacancy, interstitial] = [vacancy, interstitial].map(|atoms| relaxed_energy(&potential, atoms).0);
    let apart = vacancy + interstitial - 2.0 * found.perfect[1].energy_ev;
    assert!((large.formation_energy_ev / apart - 1.0).abs() < 0.1, "{} {apart}", large.formation_energy_ev);

    let again = search(two.path(), 2);
    assert_eq!(again.structures, found.structures);
    std::fs::remove_file(two.path().join("relaxations/start-00001.json")).expect("a record");
    leave_a_failure_of_an_earlier_version(&two.path().join("relaxations/start-00000.json"));
    let again = search(two.path(), 2);
    assert_eq!((again.outcomes, again.structures), (found.outcomes, found.structures.clone()));
    what_failed_has_no_numbers(two.path());
    let (potential, _) = argon_like([1, 1, 1]);
    let other = find_frenkel_pairs(&potential, "other", &cubic_cell(2.8), &settings(), &[], two.path(), &Silent);
    assert!(other.expect_err("an error").to_string().contains("another model"));

    // Labels find their structures by id: with the model's own energies they are the model's formation energies.
    let settings = settings();
    found.write_structures(&settings, one.path()).expect("written");
    let mut table = FrenkelTable::new(&found, &settings);
    let mut frames = crate::io::read_extxyz(&one.path().join("structures-64.xyz")).expect("structures");
    assert!(frames.iter().all(|f| f.energy_ev.is_none()), "nothing that could be taken for a label");
    // A fit holds out together what began at one place.
    let sites: Vec<Option<&str>> = frames.iter().map(|f| f.info.get("site")).collect();
    let expected: Vec<String> = found.structures.iter().map(|s| s.start.site()).collect();
    assert!(sites[0].is_none() && sites[1..].iter().flatten().eq(&expected), "{sites:?} {expected:?}");
    let mut stresses = Vec::new();
    for frame in &mut frames {
        let simulation = Simulation::new(&potential, frame.atoms.clone(), 0.5).expect("a simulation");
        frame.energy_ev = Some(simulation.potential_energy_ev());
        stresses.push(simulation.evaluation().stress(frame.atoms.cell.volume_angstrom3()));
    }
    let all = Attached { found: found.structures.len(), ..Attached::default() };
    assert_eq!(table.attach_labels(&frames).expect("labels"), all);
    for entry in table.entries.iter().filter(|e| e.n_atoms == 64) {
        let label = entry.first_principles_formation_energy_ev.expect("a label");
        assert!((label - entry.formation_energy_ev.expect("a result")).abs() < 1e-8);
        let corrected = entry.first_principles_corrected_formation_energy_ev.expect("a label");
        assert!((corrected - entry.corrected_formation_energy_ev.expect("a result")).abs() < 1e-8);
        assert_eq!(entry.first_principles_image_energy_ev, None, "no label has a stress");
    }
    labels_with_stresses_have_corrections_of_their_own(&mut table, &frames, &stresses);
    labels_of_a_strained_lattice_are_recognised(&found, &mut table, &potential, &frames);
    assert!(table.attach_labels(&frames[1..]).is_err(), "the perfect box is needed");

    // An id alone is not enough: atoms may have relaxed, but another structure or cell is another search's.
    let mut attached_with = |change: &dyn Fn(&mut Atoms)| {
        let mut changed = frames.clone();
        change(&mut changed[1].atoms);
        table.attach_labels(&changed).expect("labels")
    };
    let image = frames[1].atoms.cell.vectors.x_axis;
    assert_eq!(attached_with(&|atoms: &mut Atoms| atoms.positions[0] += image + DVec3::X * 0.5), all);
    let far = attached_with(&|atoms: &mut Atoms| atoms.positions[0] += DVec3::X * 1.6);
    assert_eq!((far.found, far.foreign.len()), (all.found - 1, 1));
    assert!(far.foreign[0].contains("1.60 A away"), "{far:?}");
    let stretched = attached_with(&|atoms: &mut Atoms| atoms.cell.vectors *= 1.001);
    assert_eq!((stretched.found, stretched.foreign.len()), (all.found - 1, 1));

    // A label that is not relaxed is an upper bound, and that is said.
    let mut on_the_way = frames.clone();
    on_the_way[1].info.set("converged", "F");
    on_the_way[1].forces = Some(vec![DVec3::X * 0.25; on_the_way[1].atoms.len()]);
    let attached = table.attach_labels(&on_the_way).expect("labels");
    assert!(attached.found == all.found && attached.unfinished.len() == 1, "{attached:?}");
    assert!(attached.unfinished[0].contains("0.25 eV/A are left: its energy is an upper bound"), "{attached:?}");
    let id = on_the_way[1].info.get("id").expect("an id");
    let of_label = |e: &&Entry| e.n_atoms == 64 && id.starts_with(&format!("frenkel-{}-64-", e.id));
    let entry = table.entries.iter().find(of_label).expect("its entry");
    assert_eq!(entry.first_principles_max_force_ev_per_angstrom, Some(0.25));

    // The energies of a model are no judge of it.
    crate::io::labels::stamp_model(&mut frames[1], "0123456789abcdef");
    let refused = table.attach_labels(&frames).expect_err("an error").to_string();
    assert!(refused.contains("found those of a model (knockon 0123456789abcdef) in \"frenkel-"), "{refused}");
}

/// In a larger box an atom and its image in the small one are different pairs: the nearest to its site is meant, wherever a start put it.
fn atoms_may_stand_in_any_image(pair: &BoxResult, found: &FrenkelSearch) {
    let [small, large] = [0, 1].map(|index| &found.perfect[index].atoms);
    let expected = search::embedded(pair, small, large).expect("positions");
    let mut elsewhere = pair.clone();
    for (atom, position) in elsewhere.atoms.positions.iter_mut().enumerate() {
        *position += small.cell.vectors.col(atom % 3) * [-1.0, 1.0][atom % 2];
    }
    let found = search::embedded(&elsewhere, small, large).expect("positions");
    assert!(found.iter().zip(&expected).all(|(a, b)| a.distance(*b) < 1e-9));
}

/// With the model's own stresses the corrections are the model's, with others they are not.
fn labels_with_stresses_have_corrections_of_their_own(
    table: &mut FrenkelTable,
    frames: &[Frame],
    stresses: &[[f64; 6]],
) {
    let mut image_energies = |scale: f64| -> Vec<(f64, f64)> {
        let mut frames = frames.to_vec();
        for (frame, stress) in frames.iter_mut().zip(stresses) {
            frame.stress = Some(stress.map(|s| scale * s));
        }
        table.attach_labels(&frames).expect("labels");
        let entries = table.entries.iter().filter(|e| e.n_atoms == 64);
        entries
            .map(|e| (e.first_principles_image_energy_ev.expect("a stress"), e.image_energy_ev.expect("a result")))
            .collect()
    };
    assert!(image_energies(1.0).iter().all(|(label, model)| (label - model).abs() < 1e-8 && *model > 1e-3));
    assert!(image_energies(2.0).iter().all(|(label, model)| (label / (4.0 * model) - 1.0).abs() < 1e-6));
    let entry = table.entries.iter().find(|e| e.n_atoms == 64).expect("an entry");
    let [formation, images, corrected] = [
        entry.first_principles_formation_energy_ev,
        entry.first_principles_image_energy_ev,
        entry.first_principles_corrected_formation_energy_ev,
    ]
    .map(|value| value.expect("a label"));
    assert!((formation - images - corrected).abs() < 1e-12);
}

/// Labels 0.3 eV above the model, in a wider lattice and on the way to their minima: each estimate is 0.3 eV above the model.
fn labels_of_a_strained_lattice_are_recognised(
    found: &FrenkelSearch,
    table: &mut FrenkelTable,
    potential: &PairPotential,
    frames: &[Frame],
) {
    let mut labels = frames.to_vec();
    for (number, label) in labels.iter_mut().enumerate() {
        label.atoms.cell.vectors *= 1.003;
        label.atoms.positions.iter_mut().for_each(|p| *p *= 1.003);
        label.atoms.positions[7] += DVec3::X * if number > 0 { 0.05 } else { 0.0 };
        let simulation = Simulation::new(potential, label.atoms.clone(), 0.5).expect("a simulation");
        label.energy_ev = Some(simulation.potential_energy_ev() + if number > 0 { 0.3 } else { 0.0 });
        label.forces = Some(simulation.evaluation().forces.clone());
    }
    let quench = QuenchSettings { max_force_ev_per_angstrom: 1e-3, ..QuenchSettings::default() };
    let mut pairs = labelled_pairs(potential, &labels, &quench).expect("pairs");
    found.recognize(potential, &quench, &mut pairs).expect("structures");
    let expected: Vec<&str> = found.structures.iter().map(|s| s.id.as_str()).collect();
    assert!(pairs.iter().map(|p| p.structure.as_deref().unwrap_or_default()).eq(expected), "{pairs:?}");
    table.estimate(&pairs);
    for entry in &table.entries {
        let above = entry.first_principles_estimate_ev.zip(entry.corrected_formation_energy_ev).map(|(a, b)| a - b);
        assert_eq!(entry.first_principles_estimate_labels, (entry.n_atoms == 64).then_some(1));
        assert!(above.map_or(entry.n_atoms == 125, |above| (above - 0.3).abs() < 0.01), "{entry:?}");
    }
}

/// Starts of the grid that all recombine, and pairs of another search: in a wider lattice, renumbered, wrapped, twice, and with a
/// box of another size among them.
#[test]
fn pairs_that_are_given_are_found_again() {
    let [one, two] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let known = search(one.path(), 1);
    let near = FrenkelSettings { reach_angstrom: 2.5, ..settings() };
    let (potential, _) = argon_like([1, 1, 1]);
    let search = |given: &[Frame]| {
        find_frenkel_pairs(&potential, "model", &cubic_cell(2.8), &near, given, two.path(), &Silent).expect("a search")
    };
    assert!(search(&[]).structures.is_empty());
    let mut given = Vec::new();
    for structure in &known.structures {
        let mut atoms = structure.boxes[0].atoms.clone();
        atoms.cell.vectors *= 1.004;
        atoms.positions.iter_mut().for_each(|p| *p *= 1.004);
        atoms.positions.reverse();
        let image = atoms.cell.vectors.y_axis;
        atoms.positions.iter_mut().step_by(3).for_each(|p| *p += image);
        given.extend([Frame::new(atoms.clone()), Frame::new(atoms)]);
    }
    given.push(Frame::new(known.perfect[1].atoms.clone()));
    let found = search(&given);
    let numbers = |search: &FrenkelSearch| -> Vec<(String, i64)> {
        let energies = |s: &Structure| s.boxes.iter().map(|b| (1e3 * b.formation_energy_ev).round() as i64).sum();
        search.structures.iter().map(|s| (s.id.clone(), energies(s))).collect()
    };
    assert_eq!(numbers(&found), numbers(&known));
    assert!(
        found.structures.iter().all(|s| s.starts == 1 && s.ways[0].0.starts_with("given-")),
        "{:?}",
        found.structures
    );
    given.reverse();
    assert_eq!(search(&given).structures, found.structures);
    // Several starts of one structure: some of them are carried over, one of which counts.
    for k in 1..6 {
        let mut again = given.last().expect("a pair").clone();
        again.atoms.positions[0].x += 0.01 * f64::from(k);
        given.push(again);
    }
    let several = search(&given);
    let most = several.structures.iter().max_by_key(|s| s.starts).expect("structures");
    assert_eq!((most.starts, most.ways.len(), most.boxes.len()), (6, 4, 2));
    assert_eq!(numbers(&several), numbers(&known));
}

/// What was given up is relaxed again when more evaluations are allowed; what is done stays.
#[test]
fn a_search_goes_on_with_more_evaluations() {
    let [one, two] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let search = |max_evaluations: usize, folder: &Path| {
        let settings = FrenkelSettings { relax_cell: false, supercells: vec![4], max_evaluations, ..settings() };
        let (potential, _) = argon_like([1, 1, 1]);
        find_frenkel_pairs(&potential, "model", &cubic_cell(2.8), &settings, &[], folder, &Silent).expect("a search")
    };
    let few = search(3, one.path());
    assert!(few.outcomes.unfinished > 0 && few.outcomes.failed == 0, "{:?}", few.outcomes);
    let (more, at_once) = (search(2000, one.path()), search(2000, two.path()));
    assert_eq!(more.outcomes.unfinished, 0, "{:?}", more.outcomes);
    assert_eq!((more.outcomes, &more.structures), (at_once.outcomes, &at_once.structures));
    assert_eq!(search(3, one.path()).outcomes, more.outcomes);
}

/// Makes the record of a finished relaxation one of a failed relaxation, as earlier versions wrote them.
fn leave_a_failure_of_an_earlier_version(record: &Path) {
    let text = std::fs::read_to_string(record).expect("a record");
    let mut value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert!(value.get("failure").is_none(), "{text}");
    value["failure"] = serde_json::json!("a hole");
    value["energy_ev"] = serde_json::json!(0.0);
    std::fs::write(record, value.to_string()).expect("written");
}

/// `folder` has the records of a search in which nothing failed.
fn what_failed_has_no_numbers(folder: &Path) {
    for record in std::fs::read_dir(folder.join("relaxations")).expect("records").flatten() {
        if record.file_name().to_string_lossy().contains("-in-125-atoms") {
            std::fs::remove_file(record.path()).expect("a record");
        }
    }
    let (potential, _) = argon_like([1, 1, 1]);
    // In large boxes with a defect: the perfect box has no forces.
    let fails = |atoms: &Atoms, found: &Evaluation| atoms.len() == 125 && found.max_force_ev_per_angstrom() > 1e-3;
    let potential = Fails(potential, fails);
    let found = find_frenkel_pairs(&potential, "model", &cubic_cell(2.8), &settings(), &[], folder, &Silent);
    let found = found.expect("a search");
    let pair = found.structures.iter().find(|s| s.kind == "Ar").expect("a pair");
    assert!(pair.boxes.len() == 1 && pair.failed_supercells == [5], "{pair:?}");

    let table = FrenkelTable::new(&found, &settings());
    let failed = table.entries.iter().find(|e| e.id == pair.id && e.n_atoms == 125).expect("an entry");
    assert_eq!((failed.outcome, failed.formation_energy_ev, failed.dipole_ev), (Outcome::Failed, None, None));
    table.write(folder).expect("written");
    let csv = std::fs::read_to_string(folder.join("frenkel.csv")).expect("a table");
    let mut cells = csv.lines().map(|row| row.split(',').collect::<Vec<_>>());
    let header = cells.next().expect("a header");
    let row = cells.find(|row| row[0] == pair.id && row[2] == "125").expect("a row");
    assert_eq!(row.len(), header.len(), "{row:?}");
    let filled = header.iter().zip(&row).filter(|(_, cell)| !cell.is_empty());
    let filled: Vec<&str> = filled.map(|(name, _)| *name).collect();
    let known = ["id", "kind", "n_atoms", "supercell", "outcome", "from_species", "starts", "model_hash"];
    assert_eq!(filled, known);
    let json = std::fs::read_to_string(folder.join("frenkel.json")).expect("a table");
    assert!(json.contains("\"formation_energy_ev\": null"), "{json}");

    found.write_structures(&settings(), folder).expect("written");
    let frames = crate::io::read_extxyz(&folder.join("structures-125.xyz")).expect("structures");
    assert_eq!(frames.len(), 1, "only the perfect box");
}

/// The formation energy of an interstitial without the elastic energy of its images hardly depends on the box.
#[test]
fn elastic_correction_makes_boxes_of_different_size_agree() {
    let (potential, _) = argon_like([1, 1, 1]);
    let tight =
        QuenchSettings { max_force_ev_per_angstrom: 1e-6, max_stress_ev_per_angstrom3: 1e-8, max_evaluations: 500 };
    let unit_cell = relax_cell(&potential, &cubic_cell(2.8), &tight).expect("a crystal").atoms;
    let constants = crate::elasticity::elastic_constants_gpa(&potential, &unit_cell, 1e-3).expect("elastic constants");
    let elasticity = Elasticity::from_voigt_gpa(&constants);
    let a = unit_cell.cell.vectors.x_axis.x;
    let [small, middle, large] = [3, 4, 6].map(|n| {
        let crystal = unit_cell.supercell([n; 3]);
        let (perfect, _) = relaxed_energy(&potential, crystal.clone());
        // A dumbbell along x, as in all face-centred cubic crystals of pairs.
        let mut atoms = crystal;
        let place = atoms.positions[0];
        atoms.positions[0] = place + DVec3::X * 0.28 * a;
        atoms.positions.push(place - DVec3::X * 0.28 * a);
        atoms.species.push(atoms.species[0]);
        let cell: Cell = atoms.cell;
        let n_sites = (atoms.len() - 1) as f64;
        let (energy, simulation) = relaxed_energy(&potential, atoms);
        let stress = simulation.evaluation().stress(cell.volume_angstrom3());
        let formation = energy - perfect * (n_sites + 1.0) / n_sites;
        let images = images_by_stress(&cell, &elasticity, stress, [0.0; 6]);
        (formation, formation - images.image_energy_ev)
    });
    // 8.477, 8.007 and 7.808 eV become 7.787, 7.734 and 7.729 eV.
    assert!((small.0 - large.0).abs() > 0.5, "something to correct");
    assert!((small.1 - large.1).abs() < 0.15 * (small.0 - large.0).abs());
    assert!((middle.1 - large.1).abs() < 0.05 * (middle.0 - large.0).abs());
}
