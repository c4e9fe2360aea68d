//! One recoil: books, flags, and the same bits after a stop.

use super::*;
use crate::cascade::{RunningSettings, Thermalization, thermalize};
use crate::dynamics::testing::{PairPotential, argon_like, element};
use crate::progress::{Silent, StopEvery, until_done};

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
    let free = kicked(60.0, &settings(200.0), 5);
    let stopping = Some(ElectronicStopping { above_ev: 1.0 });
    let slowed = kicked(60.0, &RecoilSettings { electronic_stopping: stopping, ..settings(200.0) }, 5);
    assert!(free.electronic_energy_ev == 0.0 && slowed.electronic_energy_ev > 1.0, "{slowed:?}");
    assert!(slowed.energy_drift_ev.abs() < 0.2, "{}", slowed.energy_drift_ev);
    assert!(slowed.temperature_rise_k < free.temperature_rise_k);
}

/// The books close with the square of the step.
#[test]
fn energy_drift_falls_with_the_square_of_the_displacement_per_step() {
    let prepared = prepared(4);
    let drift = |max_displacement_angstrom: f64| {
        let time_step = TimeStep { max_displacement_angstrom, max_fs: 1e9, max_energy_change_ev: None };
        let settings = RecoilSettings { time_step, ..settings(40.0) };
        let mut task = task(&prepared, 60.0, &settings);
        task.frames_fs = &[];
        let recoil = run_recoil(&task, &mut Checkpoint::nowhere(&Silent), &mut |_| ()).expect("a recoil").recoil;
        let drift_ev = recoil.energy_drift_ev.abs();
        assert_eq!(recoil.flags.contains(&"drift".to_owned()), drift_ev > 0.05, "{drift_ev}");
        drift_ev
    };
    let errors = [0.04, 0.02, 0.01].map(drift);
    let slope = (errors[0] / errors[2]).log2() / 2.0;
    assert!((1.5..2.6).contains(&slope), "{slope} {errors:?}");
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
    let recoil = kicked(100.0, &settings(400.0), 7);
    // One Frenkel pair: vacancy and interstitial of a crystal bound by 0.6 eV per bond.
    assert!((2.0..6.0).contains(&recoil.stored_energy_ev), "{}", recoil.stored_energy_ev);
    let argon = recoil.defects.species[0];
    assert_eq!((argon.vacancies, argon.interstitials, argon.antisites), (1, 1, 0));
    assert!(recoil.displaced_atoms > 0 && recoil.max_displacement_angstrom > 1.0);
    assert!(recoil.energy_drift_ev.abs() < 0.2, "{}", recoil.energy_drift_ev);
    // What is not stored is heat, half of it motion.
    assert!(!recoil.flags.contains(&"heat".to_owned()), "{recoil:?}");
    let n_atoms = argon_like([7; 3]).1.len();
    let ratio = recoil.temperature_rise_k / recoil.heat_temperature_rise_k(n_atoms);
    assert!((0.8..1.2).contains(&ratio), "{ratio}");
    // Thermal energy of one atom at 40 K: 5 meV on average.
    assert!((0.0..0.05).contains(&(100.0 - recoil.energy_given_ev)));
    assert!((recoil.simulated_time_fs - 400.0).abs() < 1e-6);
    // 100 eV argon moves at 220 A/ps, hence 0.091 fs for 0.02 A; it is never faster than at the start.
    assert!((0.085..0.092).contains(&recoil.min_time_step_fs), "{}", recoil.min_time_step_fs);
    // Two equal masses share 100 eV: no pair can climb much beyond 50 eV, which is at 1.90 A.
    assert!((1.88..2.2).contains(&recoil.min_distance_angstrom), "{}", recoil.min_distance_angstrom);
}

#[test]
fn small_boxes_are_flagged() {
    let recoil = kicked(100.0, &settings(200.0), 3);
    assert!(recoil.flags.contains(&"small-box".to_owned()), "{:?}", recoil.flags);
}

#[test]
fn cooled_border_takes_heat_and_books_it() {
    let free = kicked(40.0, &settings(600.0), 5);
    let cooled = kicked(40.0, &RecoilSettings { border: Some(BORDER), ..settings(600.0) }, 5);
    assert!(cooled.border_energy_ev < -2.0, "{}", cooled.border_energy_ev);
    assert!(cooled.final_temperature_k < free.final_temperature_k);
    assert!(cooled.energy_drift_ev.abs() < 0.3, "{}", cooled.energy_drift_ev);
}
