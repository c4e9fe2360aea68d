//! One recoil: kick, cascade, quench, and the ledger of what happened.

use super::close_pairs::{ClosestPairs, PairDistances};
use super::record::Recoil;
use super::region::{Damage, Region};
use super::{CLOSE_PAIR_ANGSTROM, Checkpoint, Defects, Disorder, Flag, GradeWatch, MinDistance, PerfectBox, Start};
use crate::dynamics::{
    Bath, Descent, ElectronicStopping, Friction, QuenchSettings, Quenched, Simulation, SimulationState, TimeStep,
    TimeStepHistogram, quench_on, speed,
};
use crate::potential::EXTRAPOLATION_THRESHOLD;
use crate::progress::Progress;
use crate::{Atoms, Error, Potential};
use glam::DVec3;
use serde::{Deserialize, Serialize};

/// How a recoil is followed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Energy that fast atoms lose to electrons; none by default, as in the paper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub electronic_stopping: Option<ElectronicStopping>,
    /// Recoils in which any two atoms come closer than this, in angstrom, are flagged `close-pair`; one number, or one for each
    /// of some pairs of elements. By default where the potential is screened nuclear repulsion alone, without first-principles
    /// data.
    #[serde(default = "default_min_distance", skip_serializing_if = "is_default_min_distance")]
    pub min_distance_angstrom: MinDistance,
    /// A recoil that takes more steps than this fails: many times what energies of some 100 eV need.
    #[serde(default = "default_max_steps")]
    pub max_steps: u64,
}

impl RecoilSettings {
    /// With the default limits on steps and evaluations, which decide whether a recoil ends, not how: what names campaigns and
    /// checkpoints is made of these, so that limits may be raised.
    pub(super) fn without_limits(&self) -> Self {
        let max_evaluations = QuenchSettings::default().max_evaluations;
        let quench = QuenchSettings { max_evaluations, ..self.quench };
        Self { max_steps: default_max_steps(), quench, ..self.clone() }
    }
}

fn default_min_distance() -> MinDistance {
    CLOSE_PAIR_ANGSTROM
}

/// Settings without it are those of earlier versions: campaigns keep their names.
fn is_default_min_distance(distance: &MinDistance) -> bool {
    *distance == CLOSE_PAIR_ANGSTROM
}

pub(super) fn default_skin() -> f64 {
    0.5
}

pub(super) fn default_max_steps() -> u64 {
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

/// Total energy, borders and electrons included, may drift by so many eV: half a percent of what a recoil of 100 eV stores ...
const DRIFT_EV: f64 = 0.05;
/// ... or by this part of the recoil energy, whichever is more (from 167 eV on): the drift grows with the number of fast atoms, which
/// grows with the energy, and so does, more slowly, what is stored.
const DRIFT_PART: f64 = 3e-4;
/// Atoms with more kinetic energy than this (eV) near the faces of the box could displace atoms of the next image:
/// the order of the smallest threshold displacement energies of oxides.
const HOT_ATOM_EV: f64 = 20.0;
/// The faces of the box may get this much hotter, in parts of the temperature before the recoil ...
const BORDER_HEATING_PART: f64 = 1.0;
/// ... or in K, whichever is more: an estimate. The box of the paper heats by 8 K on average.
const BORDER_HEATING_K: f64 = 100.0;
/// A box below the perfect one by more than this (eV), or above it by more than the recoil gave, has fallen into a hole
/// of the potential.
const HOLE_EV: f64 = 0.1;

/// Recoils of more (in eV) are refused: no box of atoms that can be followed holds such a cascade.
pub const MAX_RECOIL_ENERGY_EV: f64 = 1e5;

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
    /// Times in fs at which the atoms are kept. They may change while a recoil is under way; those that are over by then are not
    /// made up for.
    pub frames_fs: &'a [f64],
}

/// A recoil that is done.
#[derive(Clone, Debug)]
pub struct Followed {
    /// What happened.
    pub recoil: Recoil,
    /// The quenched box.
    pub quenched: Atoms,
    /// The atoms during the cascade, at the first step at or after each time that was asked for.
    pub frames: Vec<Snapshot>,
}

/// The atoms at one time of a cascade.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Time in fs since the kick.
    pub time_fs: f64,
    /// Positions in angstrom, not wrapped.
    pub positions: Vec<DVec3>,
}

/// Follows one recoil from a thermalised start to the quenched box.
///
/// The velocity of the recoiling atom is replaced, so that its kinetic energy is the recoil energy exactly. The momentum
/// is not balanced elsewhere (as in the paper): the box drifts slowly, which displacements are corrected for.
/// Where `checkpoint` holds this recoil, it goes on from there. `watch` sees the simulation after every step of the
/// cascade that is done now.
pub fn run_recoil(
    task: &RecoilTask<'_>,
    checkpoint: &mut Checkpoint<'_>,
    watch: &mut dyn FnMut(&Simulation<'_>),
) -> Result<Followed, Error> {
    task.settings.validate("recoil")?;
    let direction = task.unit_direction()?;
    let grading = task.grades.map(|g| g.every_steps);
    let settings = task.settings.without_limits();
    let inputs = (task.start, task.energy_ev, task.direction, settings, task.seed, grading);
    let mut cascade = match checkpoint.resume(&inputs)? {
        Some(state) => Cascade::resume(task, state, checkpoint.progress())?,
        None => Cascade::begin(task, direction)?,
    };
    while !cascade.is_over() {
        cascade.step()?;
        watch(&cascade.simulation);
        checkpoint.offer(cascade.part_done(), || cascade.state())?;
    }
    let quenched = cascade.quench(checkpoint)?;
    cascade.grade(1)?;
    cascade.account(direction, quenched)
}

impl RecoilTask<'_> {
    fn friction(&self) -> Option<Friction> {
        self.settings.electronic_stopping.map(|stopping| Friction::new(stopping, &self.perfect.atoms))
    }

    fn unit_direction(&self) -> Result<DVec3, Error> {
        let energy_ev = self.energy_ev;
        if !(0.0..=MAX_RECOIL_ENERGY_EV).contains(&energy_ev) {
            let found = format!("expected an energy from 0 to {MAX_RECOIL_ENERGY_EV} eV, found {energy_ev} eV");
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
    /// Kinetic temperature before the kick.
    start_temperature_k: f64,
    electronic_energy_ev: f64,
    min_time_step_fs: f64,
    time_steps: TimeStepHistogram,
    steps: u64,
    closest_pairs_angstrom: ClosestPairs,
    hot_at_border: bool,
    max_border_temperature_k: f64,
    max_grade: Option<f64>,
    /// Times at which frames were asked for so far.
    frames_fs: Vec<f64>,
    frames: Vec<Snapshot>,
    /// Set when the quench begins.
    end: Option<End>,
}

impl Books {
    /// Notes at which times frames are asked for from now on. Returns those that are over and were not asked for before, as words.
    fn ask_for_frames(&mut self, frames_fs: &[f64], time_fs: f64) -> Vec<String> {
        let is_missed = |time: &&f64| is_reached(**time, time_fs) && !self.frames_fs.contains(time);
        let missed = frames_fs.iter().filter(is_missed).map(f64::to_string).collect();
        self.frames_fs = frames_fs.to_vec();
        missed
    }
}

/// The last of the steps may end a rounding error before its time.
fn is_reached(time_fs: f64, now_fs: f64) -> bool {
    time_fs <= now_fs + 1e-6
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
    distances: PairDistances,
    simulation: Simulation<'a>,
    bath: Option<Bath>,
    friction: Option<Friction>,
    books: Books,
    descent: Option<Descent>,
}

impl<'a> Cascade<'a> {
    fn begin(task: &'a RecoilTask<'a>, direction: DVec3) -> Result<Self, Error> {
        let perfect = task.perfect;
        let atoms = Atoms { positions: task.start.positions.clone(), ..perfect.atoms.clone() };
        let mut simulation = Simulation::new(task.potential, atoms, task.settings.skin_angstrom)?;
        simulation.set_velocities(task.start.velocities.clone());
        let start_temperature_k = simulation.temperature_k();
        let thermal_ev = kick(&mut simulation, perfect.central_atom, task.energy_ev, direction);
        let region = Region::new(perfect, simulation.neighbors().cutoff_angstrom, task.settings.border);
        let distances = PairDistances::new(&perfect.atoms);
        let mut closest_pairs_angstrom = ClosestPairs::new();
        distances.see(&simulation, &mut closest_pairs_angstrom);
        let books = Books {
            thermal_ev,
            start_energy_ev: simulation.total_energy_ev(),
            start_temperature_k,
            electronic_energy_ev: 0.0,
            time_steps: TimeStepHistogram::default(),
            max_border_temperature_k: region.border_temperature_k(&simulation),
            frames_fs: task.frames_fs.to_vec(),
            frames: Vec::new(),
            min_time_step_fs: f64::INFINITY,
            steps: 0,
            closest_pairs_angstrom,
            hot_at_border: false,
            max_grade: task.grades.map(|_| 0.0),
            end: None,
        };
        let bath = task.settings.border.map(|border| region.border_bath(border, task.seed)).transpose()?;
        let friction = task.friction();
        let mut cascade = Self { task, region, distances, simulation, bath, friction, books, descent: None };
        cascade.keep_frames(f64::NEG_INFINITY);
        Ok(cascade)
    }

    fn resume(task: &'a RecoilTask<'a>, state: RecoilState, progress: &dyn Progress) -> Result<Self, Error> {
        let RecoilState { simulation, bath, mut books, descent } = state;
        let (atoms, skin) = (task.perfect.atoms.clone(), task.settings.skin_angstrom);
        let simulation = Simulation::resume(task.potential, atoms, skin, simulation)?;
        let region = Region::new(task.perfect, simulation.neighbors().cutoff_angstrom, task.settings.border);
        let distances = PairDistances::new(&task.perfect.atoms);
        let missed = books.ask_for_frames(task.frames_fs, simulation.time_fs());
        if !missed.is_empty() {
            progress.message(&format!("frames at {} fs are missing: they were asked for later", missed.join(", ")));
        }
        Ok(Self { task, region, distances, simulation, bath, friction: task.friction(), books, descent })
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

    fn part_done(&self) -> f64 {
        (self.simulation.time_fs() / self.task.settings.time_fs).clamp(0.0, 1.0)
    }

    fn step(&mut self) -> Result<(), Error> {
        let settings = self.task.settings;
        let (books, simulation) = (&mut self.books, &mut self.simulation);
        if books.steps >= settings.max_steps {
            let (steps, time_fs) = (books.steps, simulation.time_fs());
            let problem = format!("{steps} steps brought the recoil to {time_fs:.3} of {} fs", settings.time_fs);
            let remedy = "Raise max_steps ([recoil] of the settings, or --max-steps) and try again, or follow a recoil of less energy";
            return Err(Error::computation(problem, remedy));
        }
        let step_fs = simulation.time_step_fs(&settings.time_step);
        books.min_time_step_fs = books.min_time_step_fs.min(step_fs);
        let (before_fs, step_fs) =
            (simulation.time_fs(), step_fs.min(settings.time_fs - simulation.time_fs()).max(1e-9));
        // Half of the friction before and half after the step: exact to the second order, as the step is.
        let slow_down = |s: &mut Simulation<'_>| {
            self.friction.as_ref().map_or(0.0, |friction| s.slow_down(friction, 0.5 * step_fs))
        };
        books.electronic_energy_ev += slow_down(simulation);
        simulation.step(step_fs, self.bath.as_mut())?;
        books.electronic_energy_ev += slow_down(simulation);
        books.time_steps.count(step_fs);
        books.steps += 1;
        self.distances.see(simulation, &mut books.closest_pairs_angstrom);
        books.hot_at_border |= (0..self.region.len()).any(|atom| {
            simulation.kinetic_energy_of_atom_ev(atom) > HOT_ATOM_EV
                && self.region.is_near_border(simulation.atoms().positions[atom])
        });
        books.max_border_temperature_k =
            books.max_border_temperature_k.max(self.region.border_temperature_k(simulation));
        self.grade(self.books.steps)?;
        self.keep_frames(before_fs);
        Ok(())
    }

    /// Looks at the grades if it is time to after this step (from 1).
    fn grade(&mut self, step: u64) -> Result<(), Error> {
        if let (Some(grades), Some(largest)) = (self.task.grades, &mut self.books.max_grade) {
            *largest = grades.see(step, &self.simulation, *largest)?;
        }
        Ok(())
    }

    /// Keeps the atoms if a time for it has come since the last step.
    fn keep_frames(&mut self, before_fs: f64) {
        let time_fs = self.simulation.time_fs();
        if self.task.frames_fs.iter().any(|time| is_reached(*time, time_fs) && !is_reached(*time, before_fs)) {
            let positions = self.simulation.atoms().positions.clone();
            self.books.frames.push(Snapshot { time_fs, positions });
        }
    }

    fn end(&self) -> End {
        let border_energy_ev = self.bath.as_ref().map_or(0.0, |b| b.energy_given_ev);
        let given_ev = border_energy_ev - self.books.electronic_energy_ev;
        End {
            energy_drift_ev: self.simulation.total_energy_ev() - self.books.start_energy_ev - given_ev,
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
        let mut watch = |s: &Simulation<'_>, descent: &Descent| checkpoint.offer(1.0, || state(s, descent));
        quench_on(&mut self.simulation, &self.task.settings.quench, self.descent.take(), &mut watch)
    }

    /// The quenched box compared with the perfect one.
    fn account(self, direction: DVec3, quenched: Quenched) -> Result<Followed, Error> {
        let Self { task, region, distances, simulation, mut books, .. } = self;
        let (perfect, energy_ev) = (task.perfect, task.energy_ev);
        let end = books.end.expect("the quench began");
        let stored_energy_ev = quenched.energy_ev - perfect.energy_ev;
        let damage = Damage::new(perfect, &region, simulation.atoms());
        let allowed_heating_k = BORDER_HEATING_K.max(BORDER_HEATING_PART * books.start_temperature_k);
        let temperature_rise_k = end.temperature_k - books.start_temperature_k;
        let border_heating_k = books.max_border_temperature_k - books.start_temperature_k;
        distances.see(&simulation, &mut books.closest_pairs_angstrom);
        let closest = books.closest_pairs_angstrom;
        let close_angstrom = &task.settings.min_distance_angstrom;
        let close_pair = closest.iter().any(|(pair, distance)| *distance < close_angstrom.of_angstrom(pair));
        let mut recoil = Recoil {
            recoil_energy_ev: energy_ev,
            direction,
            energy_given_ev: energy_ev - books.thermal_ev,
            stored_energy_ev,
            energy_drift_ev: end.energy_drift_ev,
            border_energy_ev: end.border_energy_ev,
            electronic_energy_ev: books.electronic_energy_ev,
            time_steps: books.time_steps.bins(),
            min_time_step_fs: if books.steps == 0 { 0.0 } else { books.min_time_step_fs },
            steps: books.steps,
            simulated_time_fs: end.time_fs,
            final_temperature_k: end.temperature_k,
            temperature_rise_k: Some(temperature_rise_k),
            max_border_temperature_k: Some(books.max_border_temperature_k),
            max_force_ev_per_angstrom: quenched.max_force_ev_per_angstrom,
            quench_evaluations: quenched.evaluations,
            // If no two atoms ever were closer than the cutoff, it is at least this.
            min_distance_angstrom: closest.values().copied().fold(simulation.neighbors().cutoff_angstrom, f64::min),
            closest_pairs_angstrom: closest,
            displaced_atoms: damage.displaced.len(),
            max_displacement_angstrom: damage.max_displacement,
            damage_radius_angstrom: damage.radius,
            defects: Defects::find(&perfect.atoms, simulation.atoms())?,
            disorder: Some(Disorder::find(&perfect.atoms, simulation.atoms())),
            displacements: damage.displaced,
            max_extrapolation_grade: books.max_grade,
            flags: Vec::new(),
        };
        let flags = [
            (Flag::Drift, end.energy_drift_ev.abs() > allowed_drift_ev(energy_ev)),
            (Flag::Heat, !recoil.heat_is_found(temperature_rise_k, simulation.atoms().len())),
            (Flag::SmallBox, books.hot_at_border || damage.reaches_border),
            (Flag::HotBorder, border_heating_k > allowed_heating_k),
            (Flag::ClosePair, close_pair),
            (Flag::Quench, !quenched.converged),
            (Flag::Hole, !(-HOLE_EV..=energy_ev + HOLE_EV).contains(&stored_energy_ev)),
            (Flag::Extrapolation, books.max_grade.is_some_and(|grade| grade >= EXTRAPOLATION_THRESHOLD)),
        ];
        let raised = flags.iter().filter(|(_, is_raised)| *is_raised);
        recoil.flags = raised.map(|(flag, _)| flag.name().to_owned()).collect();
        Ok(Followed { recoil, quenched: simulation.atoms().clone(), frames: books.frames })
    }
}

fn allowed_drift_ev(recoil_energy_ev: f64) -> f64 {
    DRIFT_EV.max(DRIFT_PART * recoil_energy_ev)
}

/// Gives the recoil to one atom; returns the kinetic energy that it had before.
fn kick(simulation: &mut Simulation<'_>, atom: usize, energy_ev: f64, direction: DVec3) -> f64 {
    let thermal_ev = simulation.kinetic_energy_of_atom_ev(atom);
    let mut velocities = simulation.velocities().to_vec();
    velocities[atom] = direction * speed(energy_ev, simulation.masses_u()[atom]);
    simulation.set_velocities(velocities);
    thermal_ev
}

#[cfg(test)]
#[path = "recoil_tests.rs"]
pub(super) mod tests;
