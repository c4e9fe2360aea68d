//! One recoil: books, flags, and the same bits after a stop.

use super::*;
use crate::cascade::{RunningSettings, Thermalization, thermalize};
use crate::dynamics::testing::{PairPotential, argon_like, element};
use crate::dynamics::thermal_velocities;
use crate::potential::{
    Central, CentralGrade, CutoffSwitch, Extrapolation, FORMAT_VERSION, GradeFile, ManyBody, Model, Whitening,
    component_triples,
};
use crate::progress::{Silent, StopEvery, until_done};
use rand_pcg::Pcg64;
use std::collections::BTreeMap;

const COLD: Thermalization = Thermalization {
    temperature_k: 40.0,
    time_fs: 200.0,
    sampling_time_fs: 0.0,
    time_step_fs: 4.0,
    friction_per_fs: 0.01,
};

fn prepared(cells: usize) -> (PairPotential, PerfectBox, Start) {
    let (potential, atoms) = argon_like([cells; 3]);
    let perfect = PerfectBox::new(&potential, atoms, element("Ar"), QuenchSettings::default(), 0.5).expect("a box");
    let start = thermalize(&potential, &perfect, &COLD, 1, 3, &mut Checkpoint::nowhere(&Silent))
        .expect("a start")
        .starts
        .remove(0);
    (potential, perfect, start)
}

pub(in crate::cascade) fn settings(time_fs: f64) -> RecoilSettings {
    let time_step = TimeStep { max_displacement_angstrom: 0.02, max_fs: 4.0, max_energy_change_ev: None };
    RecoilSettings {
        time_fs,
        time_step,
        quench: QuenchSettings::default(),
        skin_angstrom: 0.5,
        border: None,
        electronic_stopping: None,
        max_steps: 10_000,
        min_distance_angstrom: CLOSE_PAIR_ANGSTROM,
    }
}

fn task<'a>(
    (potential, perfect, start): &'a (PairPotential, PerfectBox, Start),
    energy_ev: f64,
    settings: &'a RecoilSettings,
) -> RecoilTask<'a> {
    let direction = DVec3::new(0.3, 0.2, 0.9);
    RecoilTask {
        potential,
        perfect,
        start,
        energy_ev,
        direction,
        settings,
        seed: 1,
        grades: None,
        frames_fs: &[0.0, 30.0, 250.0],
    }
}

fn kicked(energy_ev: f64, settings: &RecoilSettings, cells: usize) -> Recoil {
    let prepared = prepared(cells);
    let task = task(&prepared, energy_ev, settings);
    run_recoil(&task, &mut Checkpoint::nowhere(&Silent), &mut |_| ()).expect("a recoil").recoil
}

/// Steps half as long in angstrom and fs, for sharper books.
fn fine(time_fs: f64) -> RecoilSettings {
    let time_step = TimeStep { max_displacement_angstrom: 0.01, max_fs: 2.0, max_energy_change_ev: None };
    RecoilSettings { time_step, ..settings(time_fs) }
}

/// The drift is below the bound of the project (`DRIFT_EV`); prints it.
fn assert_books_close(recoil: &Recoil, what: &str) {
    println!("{what}: drift {:+.5} eV in {} steps", recoil.energy_drift_ev, recoil.steps);
    assert!(recoil.energy_drift_ev.abs() < DRIFT_EV, "{what}: {}", recoil.energy_drift_ev);
}

const BORDER: Border = Border { thickness_angstrom: 3.0, friction_per_fs: 0.01, temperature_k: 40.0 };

/// Stopped again and again, in the cascade and in the quench, before and after new neighbour lists.
#[test]
fn a_recoil_that_is_stopped_ends_with_the_same_bits() {
    let settings = RecoilSettings {
        border: Some(BORDER),
        electronic_stopping: Some(ElectronicStopping { above_ev: 5.0 }),
        skin_angstrom: 0.4,
        ..settings(250.0)
    };
    let prepared = prepared(4);
    let task = task(&prepared, 60.0, &settings);
    let mut lists = 0;
    let mut whole = Checkpoint::nowhere(&Silent);
    let Followed { recoil, quenched: atoms, frames } =
        run_recoil(&task, &mut whole, &mut |s| lists = s.builds).expect("a recoil");
    assert!(lists > 3 && recoil.steps > 150 && recoil.quench_evaluations > 12, "{lists} {recoil:?}");
    assert!(recoil.border_energy_ev < -0.1 && recoil.electronic_energy_ev > 1.0, "{recoil:?}");
    assert_eq!(recoil.time_steps.iter().map(|bin| bin.steps).sum::<u64>(), recoil.steps);
    let times: Vec<f64> = frames.iter().map(|frame| frame.time_fs).collect();
    assert!(times.len() == 3 && times[0] == 0.0 && (30.0..34.0).contains(&times[1]), "{times:?}");
    for (threads, every) in [(1, 7), (2, 31)] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("recoil.checkpoint");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
        let stopper = StopEvery::new(every);
        let mut seen = 0;
        let (Followed { recoil: again, quenched: end, frames: kept }, stops) = until_done(|| {
            let mut checkpoint = Checkpoint::new(&path, "model", RunningSettings::default(), &stopper);
            pool.install(|| run_recoil(&task, &mut checkpoint, &mut |_| seen += 1))
        });
        // No step is done twice, and the quench is stopped as well.
        assert_eq!(seen, recoil.steps);
        assert!(stops as u64 > recoil.steps / every, "{stops}");
        let bits = |recoil: &Recoil| serde_json::to_string(recoil).expect("numbers");
        assert_eq!(bits(&again), bits(&recoil));
        let all_bits = |atoms: &Atoms| atoms.positions.iter().map(|p| p.to_array().map(f64::to_bits)).collect();
        let [found, expected]: [Vec<_>; 2] = [all_bits(&end), all_bits(&atoms)];
        assert_eq!(found, expected);
        assert_eq!(kept, frames);
    }
}

/// Fast atoms lose energy to electrons, and the books hold it.
#[test]
fn electronic_stopping_is_booked() {
    let free = kicked(60.0, &fine(200.0), 5);
    let stopping = Some(ElectronicStopping { above_ev: 1.0 });
    let slowed = kicked(60.0, &RecoilSettings { electronic_stopping: stopping, ..fine(200.0) }, 5);
    assert!(free.electronic_energy_ev == 0.0 && slowed.electronic_energy_ev > 1.0, "{slowed:?}");
    assert_books_close(&free, "60 eV");
    assert_books_close(&slowed, "60 eV with electronic stopping");
    assert!(slowed.temperature_rise_k < free.temperature_rise_k);
}

/// The books close with the square of the step, whatever else takes energy: electrons and bath are booked by what they do to the
/// velocities, exactly, so that the error is that of the steps between, which are of second order. Noise of a bath is drawn step by
/// step, so that there is another path for every length of the step: with a border, only the size of the drift is bounded.
#[test]
fn energy_drift_falls_with_the_square_of_the_displacement_per_step() {
    let prepared = prepared(4);
    let free = settings(40.0);
    let slowed = RecoilSettings { electronic_stopping: Some(ElectronicStopping { above_ev: 1.0 }), ..settings(40.0) };
    let cooled = RecoilSettings { border: Some(BORDER), ..settings(40.0) };
    for (name, settings, is_one_path) in
        [("alone", free, true), ("electronic stopping", slowed, true), ("border", cooled, false)]
    {
        let errors = [0.04, 0.02, 0.01].map(|step_angstrom| drift_ev(&prepared, &settings, step_angstrom));
        let slope = (errors[0] / errors[2]).log2() / 2.0;
        println!("{name}: drifts {errors:?} eV at 0.04, 0.02 and 0.01 angstrom per step, order {slope:.2}");
        assert!(errors[2] < DRIFT_EV, "{name}: {errors:?}");
        assert!(!is_one_path || (1.5..2.6).contains(&slope), "{name}: {slope} {errors:?}");
    }
}

fn drift_ev(
    prepared: &(PairPotential, PerfectBox, Start),
    settings: &RecoilSettings,
    max_displacement_angstrom: f64,
) -> f64 {
    let time_step = TimeStep { max_displacement_angstrom, max_fs: 1e9, max_energy_change_ev: None };
    let settings = RecoilSettings { time_step, ..settings.clone() };
    let task = RecoilTask { frames_fs: &[], ..task(prepared, 60.0, &settings) };
    let recoil = run_recoil(&task, &mut Checkpoint::nowhere(&Silent), &mut |_| ()).expect("a recoil").recoil;
    assert_eq!(recoil.electronic_energy_ev > 0.0, settings.electronic_stopping.is_some(), "{recoil:?}");
    assert_eq!(recoil.border_energy_ev != 0.0, settings.border.is_some(), "{recoil:?}");
    let drift_ev = recoil.energy_drift_ev.abs();
    assert_eq!(recoil.flags.contains(&"drift".to_owned()), drift_ev > DRIFT_EV, "{drift_ev}");
    drift_ev
}

#[test]
fn allowed_drift_is_that_of_the_project_up_to_160_ev() {
    assert_eq!([1.0, 160.0].map(allowed_drift_ev), [0.05; 2]);
    assert!((allowed_drift_ev(1000.0) - 0.3).abs() < 1e-12);
}

#[test]
fn endless_and_absurd_recoils_are_refused() {
    let prepared = prepared(3);
    let error = |energy_ev, settings: &RecoilSettings| {
        let task = task(&prepared, energy_ev, settings);
        run_recoil(&task, &mut Checkpoint::nowhere(&Silent), &mut |_| ()).expect_err("an error").to_string()
    };
    let few = RecoilSettings { max_steps: 20, ..settings(400.0) };
    assert!(error(100.0, &few).contains("20 steps brought"));
    for energy_ev in [-1.0, f64::MAX, f64::INFINITY, f64::NAN] {
        assert!(error(energy_ev, &settings(400.0)).contains("expected an energy"));
    }
}

/// One that was given up goes on where it was.
#[test]
fn more_steps_can_be_allowed_later() {
    let prepared = prepared(3);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("recoil.checkpoint");
    let running = RunningSettings { checkpoint_every_steps: Some(1), ..RunningSettings::default() };
    let mut seen = 0;
    let mut follow = |max_steps: u64| {
        let settings = RecoilSettings { max_steps, ..settings(40.0) };
        let mut checkpoint = Checkpoint::new(&path, "model", running, &Silent);
        run_recoil(&task(&prepared, 60.0, &settings), &mut checkpoint, &mut |_| seen += 1)
    };
    assert!(follow(20).is_err());
    let recoil = follow(10_000).expect("a recoil").recoil;
    assert_eq!(seen, recoil.steps);
}

/// Times of frames do not change the recoil: it goes on with others, and what is over is said to be missing.
#[test]
fn frames_can_be_asked_for_while_a_recoil_is_under_way() {
    let prepared = prepared(3);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("recoil.checkpoint");
    let running = RunningSettings { checkpoint_every_steps: Some(1), ..RunningSettings::default() };
    let few = RecoilSettings { max_steps: 20, ..settings(40.0) };
    let first = RecoilTask { frames_fs: &[0.0, 30.0], ..task(&prepared, 60.0, &few) };
    assert!(run_recoil(&first, &mut Checkpoint::new(&path, "model", running, &Silent), &mut |_| ()).is_err());
    let enough = settings(40.0);
    let second = RecoilTask { frames_fs: &[0.0, 1e-3, 35.0], ..task(&prepared, 60.0, &enough) };
    let mut seen = 0;
    let mut checkpoint = Checkpoint::new(&path, "model", running, &Silent);
    let Followed { recoil, frames, .. } = run_recoil(&second, &mut checkpoint, &mut |_| seen += 1).expect("a recoil");
    assert_eq!(seen, recoil.steps - 20);
    let times: Vec<f64> = frames.iter().map(|frame| frame.time_fs).collect();
    assert!(times.len() == 2 && times[0] == 0.0 && (35.0..39.1).contains(&times[1]), "{times:?}");
}

#[test]
fn frames_that_are_over_are_missed_unless_they_were_asked_for() {
    let prepared = prepared(3);
    let settings = settings(40.0);
    let task = RecoilTask { frames_fs: &[0.0, 10.0, 30.0], ..task(&prepared, 60.0, &settings) };
    let mut books = Cascade::begin(&task, DVec3::X).expect("a cascade").books;
    assert_eq!(books.ask_for_frames(&[10.0, 15.5, 20.0, 25.0], 20.0), ["15.5", "20"]);
    // They are named once.
    assert!(books.ask_for_frames(&[15.5, 25.0], 20.0).is_empty());
    assert_eq!(books.ask_for_frames(&[10.0], 30.0), ["10"]);
}

#[test]
fn weak_recoils_store_nothing() {
    let recoil = kicked(1.0, &settings(300.0), 5);
    assert!(recoil.stored_energy_ev.abs() < 1e-3, "{}", recoil.stored_energy_ev);
    assert_eq!((recoil.displaced_atoms, recoil.flags.len()), (0, 0));
    // Drift of the box: momentum / mass * time, far below a displacement.
    assert!(recoil.max_displacement_angstrom < 0.05, "{}", recoil.max_displacement_angstrom);
}

#[test]
fn strong_recoils_leave_defects_and_the_ledger_closes() {
    let recoil = kicked(100.0, &fine(400.0), 7);
    // One Frenkel pair: vacancy and interstitial of a crystal bound by 0.6 eV per bond.
    assert!((2.0..6.0).contains(&recoil.stored_energy_ev), "{}", recoil.stored_energy_ev);
    let argon = recoil.defects.species[0];
    assert_eq!((argon.vacancies, argon.interstitials, argon.antisites), (1, 1, 0));
    assert!(recoil.displaced_atoms > 0 && recoil.max_displacement_angstrom > 1.0);
    assert_books_close(&recoil, "100 eV");
    // What is not stored is heat, half of it motion.
    assert!(!recoil.flags.contains(&"heat".to_owned()), "{recoil:?}");
    let n_atoms = argon_like([7; 3]).1.len();
    let ratio = recoil.temperature_rise_k.expect("measured") / recoil.heat_temperature_rise_k(n_atoms);
    assert!((0.8..1.2).contains(&ratio), "{ratio}");
    // Thermal energy of one atom at 40 K: 5 meV on average.
    assert!((0.0..0.05).contains(&(100.0 - recoil.energy_given_ev)));
    assert!((recoil.simulated_time_fs - 400.0).abs() < 1e-6);
    // 100 eV argon moves at 220 A/ps, hence 0.0455 fs for 0.01 A; it is never faster than at the start.
    assert!((0.0425..0.046).contains(&recoil.min_time_step_fs), "{}", recoil.min_time_step_fs);
    // Two equal masses share 100 eV: no pair can climb much beyond 50 eV, which is at 1.90 A.
    assert!((1.88..2.2).contains(&recoil.min_distance_angstrom), "{}", recoil.min_distance_angstrom);
}

/// What is asked of one recoil.
#[derive(Clone)]
struct Case {
    cells: usize,
    energy_ev: f64,
    settings: RecoilSettings,
    /// Taken off the energy of the perfect box.
    shift_ev: f64,
    /// The box begins with this temperature in its motion and none in its bonds.
    hot_k: Option<f64>,
    /// Environments in the training data, if grades are looked at.
    n_environments: Option<usize>,
}

impl Case {
    fn flags(&self) -> Vec<String> {
        let (potential, mut perfect, mut start) = prepared(self.cells);
        perfect.energy_ev -= self.shift_ev;
        if let Some(temperature_k) = self.hot_k {
            let mut random = Pcg64::new(3, 1);
            start.positions = perfect.atoms.positions.clone();
            start.velocities = thermal_velocities(&perfect.atoms.masses_u(), temperature_k, &mut random);
        }
        let extrapolation = self.n_environments.map(grades_with_data);
        let grades = extrapolation.as_ref().map(|extrapolation| GradeWatch { extrapolation, every_steps: 20 });
        let prepared = (potential, perfect, start);
        let task = RecoilTask { grades, frames_fs: &[], ..task(&prepared, self.energy_ev, &self.settings) };
        run_recoil(&task, &mut Checkpoint::nowhere(&Silent), &mut |_| ()).expect("a recoil").recoil.flags
    }
}

/// Grades of a potential with so many environments in its training data: infinite without any, zero with some.
fn grades_with_data(n_environments: usize) -> Extrapolation {
    let many_body = ManyBody {
        two_j_max: 2,
        cutoff_angstrom: 4.5,
        angle_fraction: 0.99,
        channel_cutoffs_angstrom: Vec::new(),
        cutoff_switch: CutoffSwitch::default(),
        self_weight: 1.0,
        inner_switch: None,
    };
    let n_components = component_triples(many_body.two_j_max).len();
    let argon = Central {
        species: element("Ar"),
        radius: 0.5,
        channel_weights: vec![1.0],
        intercept_ev: 0.0,
        coefficients_ev: vec![vec![0.0; n_components]],
        similarity: None,
    };
    let model = Model {
        format_version: FORMAT_VERSION,
        name: "argon".to_owned(),
        provenance: BTreeMap::new(),
        many_body,
        pair: None,
        electrostatic: None,
        central: vec![argon],
    };
    let nothing = |length: usize| Whitening { mean: vec![0.0; length], factor: vec![0.0; length * (length + 1) / 2] };
    let argon = CentralGrade { n_environments, many_body: nothing(n_components), pair: nothing(0) };
    let (model_hash, data_hash) = (model.hash(), "data".to_owned());
    let file = GradeFile { format_version: 1, model_hash, data_hash, central: vec![argon] };
    Extrapolation::new(&model, file, "test").expect("grades")
}

/// Each flag that a recoil can raise, for one cause alone; `drift` and `start` have tests of their own.
#[test]
fn flags_are_raised_by_what_they_name() {
    let quiet =
        Case { cells: 5, energy_ev: 1.0, settings: settings(300.0), shift_ev: 0.0, hot_k: None, n_environments: None };
    assert_eq!(quiet.flags(), [""; 0]);
    let close = |distance| RecoilSettings { min_distance_angstrom: distance, ..settings(300.0) };
    let pair = |name: &str| MinDistance::Pairs(BTreeMap::from([(name.to_owned(), 2.75)]));
    let gives_up = QuenchSettings { max_evaluations: 2, ..QuenchSettings::default() };
    let violent = Case { cells: 3, energy_ev: 100.0, settings: settings(200.0), ..quiet.clone() };
    let cases = [
        (Flag::Heat, Case { cells: 4, hot_k: Some(600.0), ..quiet.clone() }, true),
        (Flag::SmallBox, violent.clone(), true),
        (Flag::HotBorder, violent, true),
        (Flag::ClosePair, Case { settings: close(MinDistance::All(2.75)), ..quiet.clone() }, true),
        (Flag::ClosePair, Case { settings: close(pair("Ar-Ar")), ..quiet.clone() }, true),
        (Flag::ClosePair, Case { settings: close(pair("O-W")), ..quiet.clone() }, false),
        (
            Flag::Quench,
            Case { settings: RecoilSettings { quench: gives_up, ..settings(300.0) }, ..quiet.clone() },
            true,
        ),
        // Below the perfect box, and above it by more than was given.
        (Flag::Hole, Case { shift_ev: -0.2, ..quiet.clone() }, true),
        (Flag::Hole, Case { shift_ev: 1.2, ..quiet.clone() }, true),
        (Flag::Hole, Case { shift_ev: 0.5, ..quiet.clone() }, false),
        (Flag::Extrapolation, Case { n_environments: Some(1), ..quiet.clone() }, false),
        (Flag::Extrapolation, Case { n_environments: Some(0), ..quiet }, true),
    ];
    for (flag, case, is_raised) in cases {
        let flags = case.flags();
        assert_eq!(flags.iter().any(|name| name == flag.name()), is_raised, "{flag:?}: {flags:?}");
    }
}

#[test]
fn records_say_which_pair_came_closest() {
    let recoil = kicked(20.0, &settings(60.0), 4);
    assert_eq!(recoil.closest_pair(), Some("Ar-Ar"));
    assert_eq!(recoil.closest_pairs_angstrom["Ar-Ar"], recoil.min_distance_angstrom);
    let mut mixed = recoil;
    mixed.closest_pairs_angstrom.insert("O-W".to_owned(), 1.1);
    mixed.closest_pairs_angstrom.insert("O-O".to_owned(), 1.4);
    assert_eq!(mixed.closest_pair(), Some("O-W"));
    let text = serde_json::to_string(&mixed).expect("numbers");
    assert_eq!(serde_json::from_str::<Recoil>(&text).expect("a record"), mixed);
    assert!(text.contains(r#""O-O":1.4,"O-W":1.1}"#), "{text}");
}

#[test]
fn small_boxes_are_flagged() {
    let recoil = kicked(100.0, &settings(200.0), 3);
    assert!(recoil.flags.contains(&"small-box".to_owned()), "{:?}", recoil.flags);
}

#[test]
fn cooled_border_takes_heat_and_books_it() {
    let free = kicked(40.0, &fine(600.0), 5);
    let cooled = kicked(40.0, &RecoilSettings { border: Some(BORDER), ..fine(600.0) }, 5);
    assert!(cooled.border_energy_ev < -2.0, "{}", cooled.border_energy_ev);
    assert!(cooled.final_temperature_k < free.final_temperature_k);
    assert_books_close(&free, "40 eV");
    assert_books_close(&cooled, "40 eV with a cooled border");
}
