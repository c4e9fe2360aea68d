//! One recoil: kick, cascade, quench, and the ledger of what happened.

use super::region::{Damage, Region};
use super::{Checkpoint, Defects, GradeWatch, PerfectBox, Start};
use crate::dynamics::{
    Bath, Descent, QuenchSettings, Quenched, Simulation, SimulationState, TimeStep, quench_on, speed,
};
use crate::potential::EXTRAPOLATION_THRESHOLD;
use crate::{Atoms, Error, Potential};
use glam::DVec3;
use serde::{Deserialize, Serialize};

/// How a recoil is followed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoilSettings {
    /// Time in fs from the kick to the quench.
    pub time_fs: f64,
    /// Limits on the time step.
    #[serde(default)]
    pub time_step: TimeStep,
    /// When the quench ends.
    #[serde(default)]
    pub quench: QuenchSettings,
    /// How much farther than the cutoff neighbour lists reach, in angstrom.
    #[serde(default = "default_skin")]
    pub skin_angstrom: f64,
    /// A cooled layer at the faces of the box; without it energy is conserved (as in the paper).
    #[serde(default)]
    pub border: Option<Border>,
    /// A recoil that takes more steps than this fails: many times what energies of some 100 eV need.
    #[serde(default = "default_max_steps")]
    pub max_steps: u64,
}

fn default_skin() -> f64 {
    0.5
}

fn default_max_steps() -> u64 {
    1_000_000
}

/// A layer of atoms at the faces of the box, coupled to a Langevin bath, that takes up the heat a small box cannot.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Border {
    /// Thickness of the layer in angstrom on each side.
    pub thickness_angstrom: f64,
    /// Friction in 1/fs.
    pub friction_per_fs: f64,
    /// Temperature of the bath in K.
    pub temperature_k: f64,
}

/// What happened in one recoil.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recoil {
    /// Kinetic energy in eV of the recoiling atom after the kick.
    pub recoil_energy_ev: f64,
    /// Direction of the kick, a unit vector.
    pub direction: DVec3,
    /// Energy in eV that the kick added: the recoil energy less the thermal kinetic energy that it replaced.
    pub energy_given_ev: f64,
    /// Energy of the quenched box less that of the perfect box, in eV.
    pub stored_energy_ev: f64,
    /// Total energy at the end less that after the kick and what the border gave, in eV: the integration error.
    pub energy_drift_ev: f64,
    /// Energy in eV that the border's bath gave to the atoms (negative: it cooled them).
    pub border_energy_ev: f64,
    /// Shortest time step in fs.
    pub min_time_step_fs: f64,
    /// Time steps taken.
    pub steps: u64,
    /// Time in fs from the kick to the quench.
    pub simulated_time_fs: f64,
    /// Kinetic temperature in K before the quench.
    pub final_temperature_k: f64,
    /// Largest force on an atom after the quench, in eV/angstrom.
    pub max_force_ev_per_angstrom: f64,
    /// Evaluations that the quench took.
    pub quench_evaluations: u64,
    /// Shortest distance in angstrom between two atoms at any step of the cascade.
    pub min_distance_angstrom: f64,
    /// Atoms farther than 1 angstrom from where they were in the perfect box.
    pub displaced_atoms: usize,
    /// Largest displacement in angstrom from the perfect box.
    pub max_displacement_angstrom: f64,
    /// Largest distance in angstrom from the recoil's site to a displaced atom's end point.
    pub damage_radius_angstrom: f64,
    /// Point defects of the quenched box, from a Wigner-Seitz analysis; empty in records of earlier versions.
    #[serde(default)]
    pub defects: Defects,
    /// Largest extrapolation grade of an atom during the cascade, where someone looked (see [`GradeWatch`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_extrapolation_grade: Option<f64>,
    /// Reasons not to trust this run: `drift`, `small-box`, `close-pair`, `quench`, `hole`, `extrapolation`.
    pub flags: Vec<String>,
}

/// An energy error beyond this part of the recoil energy is flagged; it matters only through the trajectory, since
/// stored energies are differences of quenched energies.
const DRIFT_PART: f64 = 0.01;
/// Atoms with more kinetic energy than this (eV) near the faces of the box could displace atoms of the next image:
/// the order of the smallest threshold displacement energies of oxides.
const HOT_ATOM_EV: f64 = 20.0;
/// Atoms of a quenched box closer than this (angstrom) sit in the screened-nuclear part of the potential, where
/// no first-principles data speak.
const CLOSE_PAIR_ANGSTROM: f64 = 1.0;

/// A box below the perfect one by more than this (eV), or above it by more than the recoil gave, has fallen into a hole
/// of the potential.
const HOLE_EV: f64 = 0.1;

/// More (in eV) is refused: no box of atoms that can be followed holds such a cascade.
pub(super) const MAX_ENERGY_EV: f64 = 1e5;

/// A recoil to follow.
#[derive(Clone, Copy)]
pub struct RecoilTask<'a> {
    /// What moves the atoms.
    pub potential: &'a dyn Potential,
    /// The box without recoil.
    pub perfect: &'a PerfectBox,
    /// The thermalised box.
    pub start: &'a Start,
    /// Recoil energy in eV.
    pub energy_ev: f64,
    /// Direction of the recoil, of any length.
    pub direction: DVec3,
    /// How it is followed.
    pub settings: &'a RecoilSettings,
    /// Seed of the border's bath.
    pub seed: u64,
    /// Who looks at extrapolation grades, if anybody.
    pub grades: Option<GradeWatch<'a>>,
}

/// Follows one recoil from a thermalised start to the quenched box, which is returned too.
///
/// The velocity of the recoiling atom is replaced, so that its kinetic energy is the recoil energy exactly. The momentum
/// is not balanced elsewhere (as in the paper): the box drifts slowly, which displacements are corrected for.
/// Where `checkpoint` holds this recoil, it goes on from there. `watch` sees the simulation after every step of the
/// cascade that is done now.
pub fn run_recoil(
    task: &RecoilTask<'_>,
    checkpoint: &mut Checkpoint<'_>,
    watch: &mut dyn FnMut(&Simulation<'_>),
) -> Result<(Recoil, Atoms), Error> {
    let direction = task.unit_direction()?;
    let grading = task.grades.map(|g| g.every_steps);
    let inputs = (task.start, task.energy_ev, task.direction, task.settings, task.seed, grading);
    let mut cascade = match checkpoint.resume(&inputs)? {
        Some(state) => Cascade::resume(task, state)?,
        None => Cascade::begin(task, direction)?,
    };
    while !cascade.is_over() {
        cascade.step()?;
        watch(&cascade.simulation);
        checkpoint.offer(|| cascade.state())?;
    }
    let quenched = cascade.quench(checkpoint)?;
    cascade.account(direction, quenched)
}

impl RecoilTask<'_> {
    fn unit_direction(&self) -> Result<DVec3, Error> {
        let energy_ev = self.energy_ev;
        if !(0.0..=MAX_ENERGY_EV).contains(&energy_ev) {
            let found = format!("expected an energy from 0 to {MAX_ENERGY_EV} eV, found {energy_ev} eV");
            return Err(Error::input("recoil", found, "Give the energy in eV"));
        }
        self.direction.try_normalize().ok_or_else(|| {
            let found = format!("expected a direction, found {}", self.direction);
            Error::input("recoil", found, "Give a direction that is not zero")
        })
    }
}

/// All that it takes to go on with a recoil, to the same bits.
#[derive(Serialize, Deserialize)]
struct RecoilState {
    simulation: SimulationState,
    bath: Option<Bath>,
    books: Books,
    /// Where the quench is, once it has begun.
    descent: Option<Descent>,
}

/// What has been recorded so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Books {
    /// Kinetic energy of the recoiling atom before the kick.
    thermal_ev: f64,
    /// Total energy after the kick.
    start_energy_ev: f64,
    min_time_step_fs: f64,
    steps: u64,
    min_distance_angstrom: f64,
    hot_at_border: bool,
    max_grade: Option<f64>,
    /// Set when the quench begins.
    end: Option<End>,
}

/// The cascade at its end.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct End {
    energy_drift_ev: f64,
    border_energy_ev: f64,
    time_fs: f64,
    temperature_k: f64,
}

/// A recoil under way.
struct Cascade<'a> {
    task: &'a RecoilTask<'a>,
    region: Region<'a>,
    simulation: Simulation<'a>,
    bath: Option<Bath>,
    books: Books,
    descent: Option<Descent>,
}

impl<'a> Cascade<'a> {
    fn begin(task: &'a RecoilTask<'a>, direction: DVec3) -> Result<Self, Error> {
        let perfect = task.perfect;
        let atoms = Atoms { positions: task.start.positions.clone(), ..perfect.atoms.clone() };
        let mut simulation = Simulation::new(task.potential, atoms, task.settings.skin_angstrom)?;
        let thermal_ev = kick(&mut simulation, task.start, perfect.central_atom, task.energy_ev, direction);
        let region = Region::new(perfect, task.potential.cutoff_angstrom());
        let books = Books {
            thermal_ev,
            start_energy_ev: simulation.total_energy_ev(),
            min_time_step_fs: f64::INFINITY,
            steps: 0,
            min_distance_angstrom: simulation.shortest_distance_angstrom(),
            hot_at_border: false,
            max_grade: task.grades.map(|_| 0.0),
            end: None,
        };
        let bath = task.settings.border.map(|border| region.border_bath(border, task.seed));
        Ok(Self { task, region, simulation, bath, books, descent: None })
    }

    fn resume(task: &'a RecoilTask<'a>, state: RecoilState) -> Result<Self, Error> {
        let RecoilState { simulation, bath, books, descent } = state;
        let (atoms, skin) = (task.perfect.atoms.clone(), task.settings.skin_angstrom);
        let simulation = Simulation::resume(task.potential, atoms, skin, simulation)?;
        let region = Region::new(task.perfect, task.potential.cutoff_angstrom());
        Ok(Self { task, region, simulation, bath, books, descent })
    }

    fn state(&self) -> RecoilState {
        RecoilState {
            simulation: self.simulation.state(),
            bath: self.bath.clone(),
            books: self.books.clone(),
            descent: self.descent.clone(),
        }
    }

    fn is_over(&self) -> bool {
        self.books.end.is_some() || self.simulation.time_fs() >= self.task.settings.time_fs
    }

    fn step(&mut self) -> Result<(), Error> {
        let settings = self.task.settings;
        let (books, simulation) = (&mut self.books, &mut self.simulation);
        if books.steps == settings.max_steps {
            let (steps, time_fs) = (books.steps, simulation.time_fs());
            let problem = format!("{steps} steps brought the recoil to {time_fs:.3} of {} fs", settings.time_fs);
            return Err(Error::computation(problem, "Raise max_steps in [recoil], or follow a recoil of less energy"));
        }
        let step_fs = simulation.time_step_fs(&settings.time_step);
        books.min_time_step_fs = books.min_time_step_fs.min(step_fs);
        simulation.step(step_fs.min(settings.time_fs - simulation.time_fs()).max(1e-9), self.bath.as_mut())?;
        books.steps += 1;
        books.min_distance_angstrom = books.min_distance_angstrom.min(simulation.shortest_distance_angstrom());
        books.hot_at_border |= (0..self.region.len()).any(|atom| {
            simulation.kinetic_energy_of_atom_ev(atom) > HOT_ATOM_EV
                && self.region.is_near_border(simulation.atoms().positions[atom])
        });
        if let (Some(grades), Some(largest)) = (self.task.grades, &mut books.max_grade) {
            *largest = grades.see(books.steps, simulation, *largest)?;
        }
        Ok(())
    }

    fn end(&self) -> End {
        let border_energy_ev = self.bath.as_ref().map_or(0.0, |b| b.energy_given_ev);
        End {
            energy_drift_ev: self.simulation.total_energy_ev() - self.books.start_energy_ev - border_energy_ev,
            border_energy_ev,
            time_fs: self.simulation.time_fs(),
            temperature_k: self.simulation.temperature_k(),
        }
    }

    fn quench(&mut self, checkpoint: &mut Checkpoint<'_>) -> Result<Quenched, Error> {
        self.books.end = self.books.end.or_else(|| Some(self.end()));
        let (bath, books) = (&self.bath, &self.books);
        let state = |simulation: &Simulation<'_>, descent: &Descent| RecoilState {
            simulation: simulation.state(),
            bath: bath.clone(),
            books: books.clone(),
            descent: Some(descent.clone()),
        };
        let mut watch = |s: &Simulation<'_>, descent: &Descent| checkpoint.offer(|| state(s, descent));
        quench_on(&mut self.simulation, &self.task.settings.quench, self.descent.take(), &mut watch)
    }

    /// The quenched box compared with the perfect one.
    fn account(self, direction: DVec3, quenched: Quenched) -> Result<(Recoil, Atoms), Error> {
        let Self { task, region, simulation, books, .. } = self;
        let (perfect, energy_ev) = (task.perfect, task.energy_ev);
        let end = books.end.expect("the quench began");
        let stored_energy_ev = quenched.energy_ev - perfect.energy_ev;
        let damage = Damage::new(perfect, &region, simulation.atoms());
        let flags = [
            ("drift", end.energy_drift_ev.abs() > DRIFT_PART * energy_ev.max(10.0)),
            ("small-box", books.hot_at_border || damage.reaches_border),
            ("close-pair", simulation.shortest_distance_angstrom() < CLOSE_PAIR_ANGSTROM),
            ("quench", !quenched.converged),
            ("hole", !(-HOLE_EV..=energy_ev).contains(&stored_energy_ev)),
            ("extrapolation", books.max_grade.is_some_and(|grade| grade >= EXTRAPOLATION_THRESHOLD)),
        ];
        let recoil = Recoil {
            recoil_energy_ev: energy_ev,
            direction,
            energy_given_ev: energy_ev - books.thermal_ev,
            stored_energy_ev,
            energy_drift_ev: end.energy_drift_ev,
            border_energy_ev: end.border_energy_ev,
            min_time_step_fs: if books.steps == 0 { 0.0 } else { books.min_time_step_fs },
            steps: books.steps,
            simulated_time_fs: end.time_fs,
            final_temperature_k: end.temperature_k,
            max_force_ev_per_angstrom: quenched.max_force_ev_per_angstrom,
            quench_evaluations: quenched.evaluations,
            min_distance_angstrom: books.min_distance_angstrom,
            displaced_atoms: damage.displaced_atoms,
            max_displacement_angstrom: damage.max_displacement,
            damage_radius_angstrom: damage.radius,
            defects: Defects::find(&perfect.atoms, simulation.atoms())?,
            max_extrapolation_grade: books.max_grade,
            flags: flags.iter().filter(|(_, raised)| *raised).map(|(name, _)| (*name).to_owned()).collect(),
        };
        Ok((recoil, simulation.atoms().clone()))
    }
}

/// Gives the thermal velocities to all atoms and the recoil to one; returns the kinetic energy that it had before.
fn kick(simulation: &mut Simulation<'_>, start: &Start, atom: usize, energy_ev: f64, direction: DVec3) -> f64 {
    simulation.set_velocities(start.velocities.clone());
    let thermal_ev = simulation.kinetic_energy_of_atom_ev(atom);
    let mut velocities = start.velocities.clone();
    velocities[atom] = direction * speed(energy_ev, simulation.masses_u()[atom]);
    simulation.set_velocities(velocities);
    thermal_ev
}

#[cfg(test)]
mod tests {
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
            .remove(0);
        (potential, perfect, start)
    }

    fn settings(time_fs: f64) -> RecoilSettings {
        let time_step = TimeStep { max_displacement_angstrom: 0.02, max_fs: 4.0 };
        RecoilSettings {
            time_fs,
            time_step,
            quench: QuenchSettings::default(),
            skin_angstrom: 0.5,
            border: None,
            max_steps: 10_000,
        }
    }

    fn task<'a>(
        (potential, perfect, start): &'a (PairPotential, PerfectBox, Start),
        energy_ev: f64,
        settings: &'a RecoilSettings,
    ) -> RecoilTask<'a> {
        let direction = DVec3::new(0.3, 0.2, 0.9);
        RecoilTask { potential, perfect, start, energy_ev, direction, settings, seed: 1, grades: None }
    }

    fn kicked(energy_ev: f64, settings: &RecoilSettings, cells: usize) -> Recoil {
        let prepared = prepared(cells);
        let task = task(&prepared, energy_ev, settings);
        run_recoil(&task, &mut Checkpoint::nowhere(&Silent), &mut |_| ()).expect("a recoil").0
    }

    const BORDER: Border = Border { thickness_angstrom: 3.0, friction_per_fs: 0.01, temperature_k: 40.0 };

    /// Stopped again and again, in the cascade and in the quench, before and after new neighbour lists.
    #[test]
    fn a_recoil_that_is_stopped_ends_with_the_same_bits() {
        let settings = RecoilSettings { border: Some(BORDER), skin_angstrom: 0.4, ..settings(250.0) };
        let prepared = prepared(4);
        let task = task(&prepared, 60.0, &settings);
        let mut lists = 0;
        let mut whole = Checkpoint::nowhere(&Silent);
        let (recoil, atoms) = run_recoil(&task, &mut whole, &mut |s| lists = s.builds).expect("a recoil");
        assert!(lists > 3 && recoil.steps > 150 && recoil.quench_evaluations > 12, "{lists} {recoil:?}");
        assert!(recoil.border_energy_ev < -0.1, "{recoil:?}");
        for (threads, every) in [(1, 7), (2, 31)] {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("recoil.checkpoint");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
            let stopper = StopEvery::new(every);
            let mut seen = 0;
            let ((again, end), stops) = until_done(|| {
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
        }
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
}
