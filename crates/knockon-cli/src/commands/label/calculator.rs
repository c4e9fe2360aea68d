//! A first-principles code as the potential of a relaxation or a search.
//!
//! Each evaluation is a label like any other, made by the same worker and kept in the same kind of record, and stands in the file
//! of labels before the next one begins. Work that is interrupted therefore goes on: what was computed is looked up, and the same
//! steps lead to the same place.

use super::candidates::Candidate;
use super::environment::EnvironmentArguments;
use super::records::Records;
use super::settings::{Settings, StressChoice};
use super::workers::{Job, NOT_USABLE, Server, record_death};
use crate::progress::say;
use anyhow::{Result, bail};
use glam::{DMat3, DVec3};
use knockon::io::labels::stamp_model;
use knockon::io::{Frame, Info};
use knockon::potential::{LinearPotential, Model};
use knockon::{Atoms, Cell, Error, Evaluation, NeighborList, Potential, Species};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// Where forces come from.
#[derive(clap::Args)]
pub(crate) struct ForcesArguments {
    /// Model file, made by `knockon fit` or `knockon import`.
    #[arg(long)]
    model: Option<PathBuf>,
    /// A first-principles code instead of a model, as for `knockon label`: gpaw, cp2k, vasp, espresso or ase:MODULE.CLASS.
    /// `frenkel` and `elastic` run as many processes of it as there are threads, `relax` one.
    #[arg(long, value_name = "NAME", conflicts_with = "model", requires = "calculator_config")]
    calculator: Option<String>,
    /// Settings of the calculator, as for `knockon label --config`.
    #[arg(long, value_name = "TOML", requires = "calculator")]
    calculator_config: Option<PathBuf>,
    #[command(flatten)]
    environment: EnvironmentArguments,
}

/// What gives forces.
pub(crate) enum Forces {
    /// A model.
    Model(Box<(Model, LinearPotential)>),
    /// A first-principles code.
    Calculator(Box<Calculator>),
}

impl ForcesArguments {
    /// The file of the model, if forces come from one.
    pub(crate) fn model_file(&self) -> Option<&Path> {
        self.model.as_deref()
    }

    /// Whether forces come from a model, which costs next to nothing.
    pub(crate) fn is_model(&self) -> bool {
        self.model.is_some()
    }

    /// Loads the model, or prepares the calculator; all its evaluations become labels in the file `evaluations`.
    pub(crate) fn open(&self, evaluations: &Path, species: &[Species], stress: bool) -> Result<Forces> {
        match (&self.model, &self.calculator, &self.calculator_config) {
            (Some(path), None, None) => {
                let model = Model::load(path)?;
                let potential = LinearPotential::new(&model)?;
                Ok(Forces::Model(Box::new((model, potential))))
            }
            (None, Some(name), Some(config)) => {
                let settings = Settings::load(config)?;
                let calculator = Calculator::new(name, settings, &self.environment, evaluations, species, stress)?;
                Ok(Forces::Calculator(Box::new(calculator)))
            }
            _ => bail!("expected --model, or --calculator with --calculator-config, found neither. Give one of them"),
        }
    }
}

impl Forces {
    /// What moves the atoms.
    pub(crate) fn potential(&self) -> &dyn Potential {
        match self {
            Self::Model(model) => &model.1,
            Self::Calculator(calculator) => calculator.as_ref(),
        }
    }

    /// The model, if it is one.
    pub(crate) fn model(&self) -> Option<&Model> {
        match self {
            Self::Model(model) => Some(&model.0),
            Self::Calculator(_) => None,
        }
    }

    /// What is relaxed from now on: labels of its steps have its keys, its id as `parent`, the mesh of k-points of its cell, and
    /// `step` in the order in which they come, from 0.
    pub(crate) fn follow(&self, start: &Frame) -> Result<()> {
        match self {
            Self::Model(_) => Ok(()),
            Self::Calculator(calculator) => calculator.follow(start),
        }
    }

    /// The label of lowest energy since the last call of [`Self::follow`]; none of a model.
    pub(crate) fn lowest(&self) -> Option<Frame> {
        match self {
            Self::Model(_) => None,
            Self::Calculator(calculator) => calculator.following().as_ref()?.lowest.clone(),
        }
    }

    /// Says in a configuration that was relaxed what gave its energy, as labels do.
    pub(crate) fn stamp(&self, frame: &mut Frame) {
        match self {
            Self::Model(model) => stamp_model(frame, &model.0.hash()),
            Self::Calculator(calculator) => calculator.records.stamp(frame, calculator.mesh(&frame.atoms.cell)),
        }
    }

    /// Names the model, or the settings of the calculator.
    pub(crate) fn hash(&self) -> String {
        match self {
            Self::Model(model) => model.0.hash(),
            Self::Calculator(calculator) => calculator.records.settings_hash(),
        }
    }
}

/// An ASE calculator in processes of its own.
pub(crate) struct Calculator {
    job: Job,
    settings: Settings,
    records: Records,
    evaluations: PathBuf,
    species: Vec<Species>,
    stress: bool,
    idle: Mutex<Vec<Server>>,
    /// Ids of the labels that were in the file at the start: it need not be read again for what is looked up.
    known: HashSet<String>,
    /// Ids of the labels that were asked for since.
    asked: Mutex<HashSet<String>>,
    /// What is being relaxed, by whatever steps.
    parent: Mutex<Option<Parent>>,
}

/// A configuration that is being relaxed.
struct Parent {
    /// Its id and keys.
    info: Info,
    /// The mesh of its cell. Cells that are strained or relax keep it: another mesh is another zero of energy and stress.
    kpoints: [u32; 3],
    /// Geometries evaluated on the way so far.
    n_steps: usize,
    /// The label of lowest energy on the way so far.
    lowest: Option<Frame>,
}

impl Parent {
    /// Gives the next geometry on the way the keys of the parent, by which a fit keeps relatives together; its id stays its own.
    fn mark(&mut self, info: &mut Info) {
        self.info.iter().filter(|(key, _)| *key != "id").for_each(|(key, value)| info.set(key, value));
        info.set("parent", self.info.get("id").unwrap_or_default());
        info.set("step", self.n_steps);
        self.n_steps += 1;
    }

    fn meet(&mut self, label: &Frame) {
        let energy = |frame: &Frame| frame.energy_ev.unwrap_or(f64::INFINITY);
        if self.lowest.as_ref().is_none_or(|lowest| energy(label) < energy(lowest)) {
            self.lowest = Some(label.clone());
        }
    }
}

/// How long to wait for a process elsewhere that is at the same configuration.
const POLL: Duration = Duration::from_secs(1);

impl Calculator {
    fn new(
        name: &str,
        settings: Settings,
        environment: &EnvironmentArguments,
        evaluations: &Path,
        species: &[Species],
        stress: bool,
    ) -> Result<Self> {
        super::check_name(name)?;
        if stress && settings.stress == StressChoice::None {
            bail!(
                "stress: expected \"marked\" or \"all\" in the settings, found \"none\". Relaxing a cell, elastic constants and \
                 searches need the stress"
            );
        }
        let job = Job::new(environment.open(name)?, name, environment.nice, &settings)?;
        let records = Records::open(evaluations, name, &settings, job.describe()?)?;
        let known = records.labels()?.iter().filter_map(|label| Some(label.info.get("id")?.to_owned())).collect();
        job.give(&records, &[])?;
        Ok(Self {
            job,
            settings,
            records,
            evaluations: evaluations.to_owned(),
            species: species.to_vec(),
            stress,
            idle: Mutex::default(),
            known,
            asked: Mutex::default(),
            parent: Mutex::default(),
        })
    }

    fn follow(&self, start: &Frame) -> Result<()> {
        let mut start = start.clone();
        // Evaluations have the mesh of the settings, and a stress where the relaxation needs one.
        for key in ["kpts", "want_stress"] {
            start.info.remove(key);
        }
        let candidate = Candidate::new(start, &self.settings, "calculator")?;
        let (info, kpoints) = (candidate.frame.info, candidate.kpoints);
        *self.following() = Some(Parent { info, kpoints, n_steps: 0, lowest: None });
        Ok(())
    }

    fn following(&self) -> MutexGuard<'_, Option<Parent>> {
        self.parent.lock().expect("no evaluation panics")
    }

    /// The mesh of k-points of what is being relaxed, else of a cell alone.
    fn mesh(&self, cell: &Cell) -> [u32; 3] {
        self.following().as_ref().map_or_else(|| self.settings.kpoints(cell), |parent| parent.kpoints)
    }

    /// The label of these atoms, from its record or computed now.
    fn label(&self, atoms: &Atoms) -> Result<Frame> {
        let mut frame = Frame::new(atoms.clone());
        if self.stress {
            frame.info.set("want_stress", "T");
        }
        let kpoints = self.mesh(&atoms.cell);
        let candidate = Candidate::with_mesh(frame, kpoints, &self.settings);
        loop {
            if let Some(record) = self.records.result(&candidate)? {
                let label = self.records.label(&candidate, record)?;
                self.keep(candidate, &label)?;
                return Ok(label);
            }
            if let Some(failure) = self.records.failure(&candidate)? {
                let path = self.records.failure_path(&candidate);
                let remedy = format!("Where the reason is gone, remove {}: it is computed again then", path.display());
                return Err(Error::computation(failure.reason, remedy).into());
            }
            self.compute(&candidate)?;
        }
    }

    /// Puts the label of a geometry that is asked for the first time into the file at once: whatever stops this program later, it
    /// is there.
    fn keep(&self, mut candidate: Candidate, label: &Frame) -> Result<()> {
        let mut following = self.following();
        if let Some(parent) = following.as_mut() {
            parent.meet(label);
        }
        let mut asked = self.asked.lock().expect("no evaluation panics");
        if !asked.insert(candidate.id.clone()) {
            return Ok(());
        }
        if let Some(parent) = following.as_mut() {
            parent.mark(&mut candidate.frame.info);
        }
        if self.known.contains(&candidate.id) { Ok(()) } else { self.records.collect(std::slice::from_ref(&candidate)) }
    }

    /// Has a process compute it; returns at once if another one is at it. Where two processes die over a configuration it has
    /// failed, as others do: work that is started again is not to run into it for ever.
    fn compute(&self, candidate: &Candidate) -> Result<()> {
        for is_second in [false, true] {
            let idle = self.idle.lock().expect("no evaluation panics").pop();
            let mut server = idle.map_or_else(|| self.job.serve(), Ok)?;
            let Err(error) = server.ask(candidate) else {
                self.idle.lock().expect("no evaluation panics").push(server);
                break;
            };
            let (status, words) = server.end()?;
            if status.code() == Some(NOT_USABLE) {
                return Err(error);
            }
            say(&format!("{}: the calculator died ({status})", candidate.id));
            if is_second {
                record_death(&self.records, candidate, status, &words)?;
            }
        }
        if !self.records.result_path(candidate).exists() && !self.records.failure_path(candidate).exists() {
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Potential for Calculator {
    /// Calculators look for neighbours themselves.
    fn cutoff_angstrom(&self) -> f64 {
        1.0
    }

    fn species(&self) -> &[Species] {
        &self.species
    }

    /// The whole energy is given to the first atom: codes know no energies of atoms. Without a stress the strain derivative is
    /// not a number.
    fn evaluate(&self, atoms: &Atoms, _: &NeighborList, evaluation: &mut Evaluation) -> Result<(), Error> {
        let label = self.label(atoms).map_err(|error| match error.downcast::<Error>() {
            Ok(error) => error,
            Err(other) => Error::input("calculator", format!("{other:#}"), "See to it and start again: it goes on"),
        })?;
        evaluation.energies_ev.clear();
        evaluation.energies_ev.resize(atoms.len(), 0.0);
        if let Some(first) = evaluation.energies_ev.first_mut() {
            *first = label.energy_ev.unwrap_or(f64::NAN);
        }
        evaluation.forces = label.forces.unwrap_or_default();
        let [xx, yy, zz, yz, xz, xy] = label.stress.unwrap_or([f64::NAN; 6]);
        let stress = DMat3::from_cols(DVec3::new(xx, xy, xz), DVec3::new(xy, yy, yz), DVec3::new(xz, yz, zz));
        evaluation.strain_derivative_ev = stress * atoms.cell.volume_angstrom3();
        Ok(())
    }
}

impl Drop for Calculator {
    fn drop(&mut self) {
        let n_asked = self.asked.get_mut().map_or(0, |asked| asked.len());
        say(&format!("{}: the labels of {n_asked} evaluations", self.evaluations.display()));
    }
}
