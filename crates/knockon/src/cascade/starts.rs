//! What recoils start from: the perfect box and thermalised copies of it.

use super::Checkpoint;
use super::equilibrium::{Equilibrium, Reading};
use crate::dynamics::{
    Bath, QuenchSettings, Simulation, SimulationState, ensure_relaxed, quench, quench_on, thermal_velocities,
};
use crate::{Atoms, Error, Potential, Species};
use glam::DVec3;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The box without defects, at its local minimum, and the atom that will recoil.
#[derive(Clone, Debug)]
pub struct PerfectBox {
    /// Quenched positions.
    pub atoms: Atoms,
    /// Energy in eV of the quenched box: stored energies count from here.
    pub energy_ev: f64,
    /// The atom that recoils.
    pub central_atom: usize,
    /// The box without recoil must come back to this energy after such a quench.
    quench: QuenchSettings,
    skin_angstrom: f64,
}

/// The atom of a species nearest to the middle of the box.
pub fn central_atom(atoms: &Atoms, species: Species) -> Result<usize, Error> {
    nearest_to_middle(atoms, |atom| atoms.species[atom] == species).ok_or_else(|| no_such_atom(species))
}

/// What to say where the crystal has no atom of the recoiling element.
pub(super) fn no_such_atom(species: Species) -> Error {
    let found = format!("expected an atom of {species}, found none in the crystal");
    Error::input("species", found, "Name an element of the crystal")
}

/// Of the atoms that may recoil, the one nearest to the middle of the box.
pub(super) fn nearest_to_middle(atoms: &Atoms, may_recoil: impl Fn(usize) -> bool) -> Option<usize> {
    let middle = atoms.cell.vectors * DVec3::splat(0.5);
    let off = |atom: &usize| (atoms.positions[*atom] - middle).length_squared();
    // Symmetric boxes have several equally near atoms: rounding must not choose between them.
    let nearer = |best: Option<usize>, atom: usize| match best {
        Some(best) if off(&atom) > off(&best) - 1e-6 => Some(best),
        _ => Some(atom),
    };
    (0..atoms.len()).filter(|atom| may_recoil(*atom)).fold(None, nearer)
}

impl PerfectBox {
    /// Quenches the ideal crystal in its fixed cell.
    pub fn new(
        potential: &dyn Potential,
        atoms: Atoms,
        species: Species,
        quench_settings: QuenchSettings,
        skin_angstrom: f64,
    ) -> Result<Self, Error> {
        let central_atom = central_atom(&atoms, species)?;
        let mut simulation = Simulation::new(potential, atoms, skin_angstrom)?;
        let found = quench(&mut simulation, &quench_settings)?;
        ensure_relaxed("the perfect box", found.converged, found.max_force_ev_per_angstrom)?;
        let atoms = simulation.atoms().clone();
        Ok(Self { atoms, energy_ev: found.energy_ev, central_atom, quench: quench_settings, skin_angstrom })
    }
}

/// How the box is brought to temperature.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thermalization {
    /// Temperature in K. Classical atoms at 3/8 of the Debye temperature move about as far as quantum atoms at zero
    /// temperature (133 K for CaWO4, Soum-Sidikov et al. 2024).
    pub temperature_k: f64,
    /// Length of the whole run in fs.
    pub time_fs: f64,
    /// Starts are drawn at equal intervals from this last part of the run, in fs.
    pub sampling_time_fs: f64,
    /// Time step in fs.
    pub time_step_fs: f64,
    /// Friction of the Langevin thermostat in 1/fs.
    pub friction_per_fs: f64,
}

/// A thermalised box.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// Time in fs of the thermalisation at which it was taken.
    pub time_fs: f64,
    /// Positions in angstrom, not wrapped.
    pub positions: Vec<DVec3>,
    /// Velocities in angstrom per natural time (10.18 fs, [`crate::units::NATURAL_TIME_FS`]).
    pub velocities: Vec<DVec3>,
}

/// Thermalised copies of a box, and how they were seen to be in equilibrium.
#[derive(Clone, Debug)]
pub struct Thermalized {
    /// As many as were asked for.
    pub starts: Vec<Start>,
    /// What was read in the last part of the run.
    pub equilibrium: Equilibrium,
}

/// Thermalises the perfect box and draws `count` starts from the last part of the run: the first at its end, then each in
/// the middle of the widest gap, so that more starts add to fewer (at equal intervals where `count` is a power of two).
///
/// Fails if that part has fewer steps than starts.
/// Each start is quenched once: it must return to the perfect box, else the crystal is not stable at this temperature.
/// Where `checkpoint` holds this thermalisation, it goes on from there.
pub fn thermalize(
    potential: &dyn Potential,
    perfect: &PerfectBox,
    settings: &Thermalization,
    count: usize,
    seed: u64,
    checkpoint: &mut Checkpoint<'_>,
) -> Result<Thermalized, Error> {
    let n_steps = n_steps(settings);
    let places = sampling_steps(settings, count)?;
    let (atoms, skin) = (perfect.atoms.clone(), perfect.skin_angstrom);
    let (mut simulation, mut run) = match checkpoint.resume::<Sampling>(&(settings, count, seed))? {
        Some(run) => (Simulation::resume(potential, atoms, skin, run.simulation.clone())?, run),
        None => Sampling::begin(Simulation::new(potential, atoms, skin)?, settings, seed),
    };
    let progress = checkpoint.progress();
    let (read_from, read_every) = reading_steps(settings, n_steps);
    while run.step < n_steps {
        simulation.step(settings.time_step_fs, Some(&mut run.bath))?;
        run.step += 1;
        if let Some(number) = places.iter().position(|step| *step == run.step) {
            run.starts.insert(number, take_start(&simulation));
        }
        if run.step > read_from && (n_steps - run.step).is_multiple_of(read_every) {
            run.readings.push(Reading::of(&simulation));
        }
        progress.update(run.step as u64, n_steps as u64);
        checkpoint.offer(run.step as f64 / n_steps as f64, || run.at(&simulation))?;
    }
    run.simulation = simulation.state();
    while let Some(start) = run.starts.get(&run.checked) {
        simulation.set_positions(&start.positions)?;
        let found = quench_on(&mut simulation, &perfect.quench, None, &mut |_, _| checkpoint.offer(1.0, || &run))?;
        ensure_relaxed("a thermalised box", found.converged, found.max_force_ev_per_angstrom)?;
        let off = found.energy_ev - perfect.energy_ev;
        let allowed = allowed_difference_ev(perfect);
        if off.abs() > allowed {
            let problem = format!(
                "the box thermalised at {} K is quenched {off:+.3} eV away from the perfect crystal (at {:.0} fs), more than {allowed:.3} eV",
                settings.temperature_k, start.time_fs
            );
            let remedy = "Lower thermalization.time_step_fs or the temperature if they are high; else the model does not keep this \
                          crystal stable: refit it with more data";
            return Err(Error::computation(problem, remedy));
        }
        run.checked += 1;
    }
    checkpoint.write(1.0, &run)?;
    let starts: Vec<Start> = run.starts.into_values().collect();
    let equilibrium = Equilibrium::new(&perfect.atoms, settings, &run.readings, &starts);
    Ok(Thermalized { starts, equilibrium })
}

/// How far two quenches of the perfect crystal may end from each other: 0.01 eV, and what the force that is left hides, which grows
/// with its square (0.02 to 0.04 A^2/eV per atom were seen in CaWO4, 96 and 768 atoms).
fn allowed_difference_ev(perfect: &PerfectBox) -> f64 {
    const HIDDEN_ANGSTROM2_PER_EV: f64 = 0.1;
    let force = perfect.quench.max_force_ev_per_angstrom;
    0.01 + HIDDEN_ANGSTROM2_PER_EV * perfect.atoms.len() as f64 * force * force
}

/// The box is read in the part of the run from which starts are drawn, at least in its second half, up to 1000 times:
/// after which step, and at every how many.
fn reading_steps(settings: &Thermalization, n_steps: usize) -> (usize, usize) {
    let window = ((settings.sampling_time_fs / settings.time_step_fs) as usize).max(n_steps / 2).clamp(1, n_steps);
    (n_steps - window, window.div_ceil(1000))
}

/// A thermalisation under way: all that it takes to go on, to the same bits.
#[derive(Clone, Serialize, Deserialize)]
struct Sampling {
    simulation: SimulationState,
    bath: Bath,
    step: usize,
    /// Starts by number.
    starts: BTreeMap<usize, Start>,
    /// How many of them have been quenched.
    checked: usize,
    readings: Vec<Reading>,
}

impl Sampling {
    fn begin<'p>(mut simulation: Simulation<'p>, settings: &Thermalization, seed: u64) -> (Simulation<'p>, Self) {
        // A harmonic crystal at rest in its minimum shares the kinetic energy with the potential: begin with twice as much.
        let mut random = Pcg64::new(u128::from(seed), 2);
        let velocities = thermal_velocities(simulation.masses_u(), 2.0 * settings.temperature_k, &mut random);
        simulation.set_velocities(velocities);
        let friction = vec![settings.friction_per_fs; simulation.atoms().len()];
        let bath = Bath::new(settings.temperature_k, friction, seed);
        let run = Self {
            simulation: simulation.state(),
            bath,
            step: 0,
            starts: BTreeMap::new(),
            checked: 0,
            readings: Vec::new(),
        };
        (simulation, run)
    }

    fn at(&self, simulation: &Simulation<'_>) -> Self {
        Self { simulation: simulation.state(), ..self.clone() }
    }
}

/// Time steps of the whole run.
fn n_steps(settings: &Thermalization) -> usize {
    (settings.time_fs / settings.time_step_fs).ceil().max(1.0) as usize
}

/// How many steps at the end of the run `count` starts are drawn from. Fails if these are too few; `setting` names the
/// sampling time in errors.
pub(super) fn sampling_window(settings: &Thermalization, count: usize, setting: &str) -> Result<usize, Error> {
    let window = ((settings.sampling_time_fs / settings.time_step_fs) as usize).min(n_steps(settings) - 1);
    if count > 1 && window < count.next_power_of_two() {
        let needed = count.next_power_of_two() as f64 * settings.time_step_fs;
        let found = format!("expected at least {needed} fs for {count} starts, found {}", settings.sampling_time_fs);
        return Err(Error::input(setting, found, "Sample longer, or from fewer starts"));
    }
    Ok(window)
}

impl Thermalization {
    /// What to say of so many starts where some are closer together than the time in which the bath changes the energy: they are
    /// alike, and statistics take them for independent.
    pub fn closeness_warning(&self, count: usize) -> Option<String> {
        let mut steps = sampling_steps(self, count).ok()?;
        steps.sort_unstable();
        let closest = steps.windows(2).map(|pair| pair[1] - pair[0]).min()?;
        let (closest_fs, memory_fs) = (closest as f64 * self.time_step_fs, 1.0 / self.friction_per_fs);
        (closest_fs < memory_fs).then(|| {
            format!(
                "WARNING: some of the {count} starts are only {closest_fs:.0} fs apart and therefore alike, but count as \
                 independent: expected {memory_fs:.0} fs at least, one over the bath's friction. Give a longer sampling_time_fs"
            )
        })
    }
}

/// Steps after which starts are taken: the end of the run less the van der Corput sequence in base 2 times the window.
fn sampling_steps(settings: &Thermalization, count: usize) -> Result<Vec<usize>, Error> {
    let n_steps = n_steps(settings);
    let window = sampling_window(settings, count, "thermalization.sampling_time_fs")?;
    // The bits of the number mirrored at the binary point: 0, 1/2, 1/4, 3/4, 1/8, ...
    let part = |k: usize| (k as u32).reverse_bits() as f64 / 2.0_f64.powi(32);
    Ok((0..count).map(|k| n_steps - (window as f64 * part(k)) as usize).collect())
}

fn take_start(simulation: &Simulation<'_>) -> Start {
    let mut velocities = simulation.velocities().to_vec();
    crate::dynamics::remove_drift(&mut velocities, simulation.masses_u());
    Start { time_fs: simulation.time_fs(), positions: simulation.atoms().positions.clone(), velocities }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cascade::RunningSettings;
    use crate::dynamics::testing::{argon_like, element};
    use crate::progress::{Silent, StopEvery, until_done};

    #[test]
    fn starts_within_the_memory_of_the_bath_are_named() {
        let settings = Thermalization {
            sampling_time_fs: 1000.0,
            time_step_fs: 1.0,
            friction_per_fs: 0.01,
            ..Thermalization::for_one_start(133.0, 2000.0)
        };
        // Ten are at sixteenths of the time.
        assert!([1, 2, 8].iter().all(|count| settings.closeness_warning(*count).is_none()));
        let warning = settings.closeness_warning(10).expect("some are alike");
        assert!(warning.contains("10 starts are only 62 fs apart") && warning.contains("100 fs at least"), "{warning}");
    }

    /// Stopped in the run and while starts are checked.
    #[test]
    fn a_thermalisation_that_is_stopped_ends_with_the_same_bits() {
        let (potential, atoms) = argon_like([4, 4, 4]);
        let quench = QuenchSettings::default();
        let perfect = PerfectBox::new(&potential, atoms, element("Ar"), quench, 0.3).expect("a box");
        let settings = Thermalization {
            temperature_k: 200.0,
            time_fs: 400.0,
            sampling_time_fs: 200.0,
            time_step_fs: 4.0,
            friction_per_fs: 0.01,
        };
        let bits = |start: &Start| {
            let all = start.positions.iter().chain(&start.velocities);
            all.map(|v| v.to_array().map(f64::to_bits)).collect::<Vec<_>>()
        };
        let run = |checkpoint: &mut Checkpoint<'_>| thermalize(&potential, &perfect, &settings, 3, 9, checkpoint);
        let whole = run(&mut Checkpoint::nowhere(&Silent)).expect("starts");
        for (threads, every) in [(1, 23), (2, 41)] {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("starts.checkpoint");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
            let stopper = StopEvery::new(every);
            let (starts, stops) = until_done(|| {
                let mut checkpoint = Checkpoint::new(&path, "model", RunningSettings::default(), &stopper);
                pool.install(|| run(&mut checkpoint))
            });
            assert!(stops as u64 > 100 / every, "{stops}");
            let all = |t: &Thermalized| t.starts.iter().map(bits).collect::<Vec<_>>();
            assert_eq!(all(&starts), all(&whole));
            assert_eq!(starts.equilibrium, whole.equilibrium);
        }
    }

    #[test]
    fn more_starts_add_to_fewer() {
        let settings = Thermalization {
            temperature_k: 100.0,
            time_fs: 100.0,
            sampling_time_fs: 32.0,
            time_step_fs: 1.0,
            friction_per_fs: 0.01,
        };
        let steps = |count| sampling_steps(&settings, count).expect("room for them");
        assert_eq!(steps(5), [100, 84, 92, 76, 96]);
        let all = steps(32);
        for count in 1..32 {
            assert_eq!(steps(count), all[..count]);
        }
        let mut sorted = all;
        sorted.sort_unstable();
        assert_eq!(sorted, (69..=100).collect::<Vec<_>>());
        assert!(sampling_steps(&settings, 33).is_err());
    }
}
