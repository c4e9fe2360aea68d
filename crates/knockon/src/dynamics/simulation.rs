//! A box of atoms in motion, with its potential and its neighbour list.

use super::{Bath, Friction, TimeStep};
use crate::units::{BOLTZMANN_EV_PER_K, NATURAL_TIME_FS};
use crate::{Atoms, Cell, Error, Evaluation, NeighborList, Potential};
use glam::DVec3;
use serde::{Deserialize, Serialize};

/// Atoms, velocities and everything needed to move them. Energies and forces always belong to the present positions.
pub struct Simulation<'p> {
    potential: &'p dyn Potential,
    skin_angstrom: f64,
    atoms: Atoms,
    masses_u: Vec<f64>,
    velocities: Vec<DVec3>,
    time_fs: f64,
    neighbors: NeighborList,
    evaluation: Evaluation,
    /// Evaluations of the potential so far.
    pub evaluations: u64,
    /// Builds of the neighbour list so far.
    pub builds: u64,
}

/// All that a simulation needs to go on as if it had never stopped, to the last bit: neighbour lists and forces follow
/// from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SimulationState {
    positions: Vec<DVec3>,
    velocities: Vec<DVec3>,
    /// Where the atoms were when the neighbour list was built.
    list_positions: Vec<DVec3>,
    time_fs: f64,
    evaluations: u64,
    builds: u64,
}

impl<'p> Simulation<'p> {
    /// Atoms at rest. `skin_angstrom` is how much farther than the cutoff the neighbour list reaches: lists are rebuilt
    /// when an atom has moved half of it.
    pub fn new(potential: &'p dyn Potential, atoms: Atoms, skin_angstrom: f64) -> Result<Self, Error> {
        if let Some(unknown) = atoms.species.iter().find(|s| !potential.species().contains(s)) {
            let known: Vec<_> = potential.species().iter().map(|s| s.symbol()).collect();
            let found = format!("expected the species of the model ({}), found {unknown}", known.join(", "));
            return Err(Error::input("atoms", found, "Use a model that knows this element"));
        }
        let neighbors = potential.neighbor_list(&atoms, skin_angstrom);
        let mut simulation = Self {
            potential,
            skin_angstrom,
            masses_u: atoms.masses_u(),
            velocities: vec![DVec3::ZERO; atoms.len()],
            atoms,
            time_fs: 0.0,
            neighbors,
            evaluation: Evaluation::default(),
            evaluations: 0,
            builds: 1,
        };
        simulation.evaluate()?;
        Ok(simulation)
    }

    /// Everything that [`Self::resume`] needs besides potential, species, cell and skin.
    pub fn state(&self) -> SimulationState {
        SimulationState {
            positions: self.atoms.positions.clone(),
            velocities: self.velocities.clone(),
            list_positions: self.neighbors.reference_positions().to_vec(),
            time_fs: self.time_fs,
            evaluations: self.evaluations,
            builds: self.builds,
        }
    }

    /// The simulation whose state was kept. `atoms` gives species and cell. Fails if the state is one of other atoms.
    pub fn resume(
        potential: &'p dyn Potential,
        atoms: Atoms,
        skin_angstrom: f64,
        state: SimulationState,
    ) -> Result<Self, Error> {
        let lengths = [state.positions.len(), state.velocities.len(), state.list_positions.len()];
        if lengths != [atoms.len(); 3] {
            let found = format!("expected the state of {} atoms, found one of {}", atoms.len(), state.positions.len());
            return Err(Error::input("state of a simulation", found, "Begin anew"));
        }
        // The list first, as it was built; it still holds all pairs at the present positions.
        let mut simulation = Self::new(potential, Atoms { positions: state.list_positions, ..atoms }, skin_angstrom)?;
        simulation.set_positions(&state.positions)?;
        simulation.velocities = state.velocities;
        simulation.time_fs = state.time_fs;
        simulation.evaluations = state.evaluations;
        simulation.builds = state.builds;
        Ok(simulation)
    }

    /// Evaluates the potential at the present positions, after a new neighbour list where a pair might be missing.
    fn evaluate(&mut self) -> Result<(), Error> {
        if self.neighbors.is_outdated(&self.atoms.positions) {
            self.build_list();
        }
        self.evaluations += 1;
        self.potential.evaluate(&self.atoms, &self.neighbors, &mut self.evaluation)?;
        let energy_ev = self.potential_energy_ev();
        if energy_ev.is_finite() && self.evaluation.forces.iter().all(|f| f.is_finite()) {
            return Ok(());
        }
        let largest = self.evaluation.max_force_ev_per_angstrom();
        let problem = format!(
            "the potential energy became {energy_ev} eV, the largest force {largest} eV/A, at {:.3} fs",
            self.time_fs
        );
        Err(Error::computation(problem, "Take shorter time steps, less energy, or check the model's pair scans"))
    }

    fn build_list(&mut self) {
        self.neighbors = self.potential.neighbor_list(&self.atoms, self.skin_angstrom);
        self.builds += 1;
    }

    /// One step of velocity Verlet; with a bath, of BAOAB (Leimkuhler and Matthews 2013), which is velocity Verlet for
    /// atoms without friction.
    pub fn step(&mut self, step_fs: f64, bath: Option<&mut Bath>) -> Result<(), Error> {
        let step = step_fs / NATURAL_TIME_FS;
        self.kick(0.5 * step);
        match bath {
            None => self.drift(step),
            Some(bath) => {
                self.drift(0.5 * step);
                bath.act(&mut self.velocities, &self.masses_u, step_fs);
                self.drift(0.5 * step);
            }
        }
        self.evaluate()?;
        self.kick(0.5 * step);
        self.time_fs += step_fs;
        Ok(())
    }

    /// Slows fast atoms down for a time by electronic stopping; returns the energy in eV that it took.
    pub fn slow_down(&mut self, friction: &Friction, time_fs: f64) -> f64 {
        friction.act(&mut self.velocities, &self.masses_u, time_fs)
    }

    fn kick(&mut self, time: f64) {
        for ((velocity, force), mass) in self.velocities.iter_mut().zip(&self.evaluation.forces).zip(&self.masses_u) {
            *velocity += *force * (time / mass);
        }
    }

    fn drift(&mut self, time: f64) {
        for (position, velocity) in self.atoms.positions.iter_mut().zip(&self.velocities) {
            *position += *velocity * time;
        }
    }

    /// The step in fs that the limits allow now.
    pub fn time_step_fs(&self, limits: &TimeStep) -> f64 {
        limits.choose_fs(&self.velocities, &self.evaluation.forces, &self.masses_u)
    }

    /// Moves the atoms (not wrapped) and evaluates there.
    pub fn set_positions(&mut self, positions: &[DVec3]) -> Result<(), Error> {
        self.atoms.positions.copy_from_slice(positions);
        self.evaluate()
    }

    /// Changes cell and positions together and evaluates there, always with a new neighbour list.
    pub fn set_cell_and_positions(&mut self, cell: Cell, positions: &[DVec3]) -> Result<(), Error> {
        self.atoms.cell = cell;
        self.atoms.positions.copy_from_slice(positions);
        self.build_list();
        self.evaluate()
    }

    /// Sets all velocities, in angstrom per natural time ([`NATURAL_TIME_FS`]).
    pub fn set_velocities(&mut self, velocities: Vec<DVec3>) {
        debug_assert_eq!(velocities.len(), self.atoms.len());
        self.velocities = velocities;
    }

    /// The atoms where they are now.
    pub fn atoms(&self) -> &Atoms {
        &self.atoms
    }

    /// Velocities in angstrom per natural time ([`NATURAL_TIME_FS`]).
    pub fn velocities(&self) -> &[DVec3] {
        &self.velocities
    }

    /// Masses in u.
    pub fn masses_u(&self) -> &[f64] {
        &self.masses_u
    }

    /// The neighbour list. The rows of a potential with charges end with its bonds.
    pub fn neighbors(&self) -> &NeighborList {
        &self.neighbors
    }

    /// Energies, forces and strain derivative at the present positions.
    pub fn evaluation(&self) -> &Evaluation {
        &self.evaluation
    }

    /// Simulated time in fs.
    pub fn time_fs(&self) -> f64 {
        self.time_fs
    }

    /// Kinetic energy in eV of one atom.
    pub fn kinetic_energy_of_atom_ev(&self, atom: usize) -> f64 {
        0.5 * self.masses_u[atom] * self.velocities[atom].length_squared()
    }

    /// Kinetic energy in eV.
    pub fn kinetic_energy_ev(&self) -> f64 {
        (0..self.atoms.len()).map(|atom| self.kinetic_energy_of_atom_ev(atom)).sum()
    }

    /// Potential energy in eV.
    pub fn potential_energy_ev(&self) -> f64 {
        self.evaluation.energy_ev()
    }

    /// Potential plus kinetic energy in eV.
    pub fn total_energy_ev(&self) -> f64 {
        self.potential_energy_ev() + self.kinetic_energy_ev()
    }

    /// Kinetic temperature in K, counting all 3 N degrees of freedom.
    pub fn temperature_k(&self) -> f64 {
        self.kinetic_energy_ev() / (1.5 * self.atoms.len() as f64 * BOLTZMANN_EV_PER_K)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PairPotential, argon_like, molecule};
    use super::super::{Bath, Simulation, TimeStep, thermal_velocities};
    use crate::dynamics::thermostat::speed;
    use crate::units::{BOLTZMANN_EV_PER_K, NATURAL_TIME_FS};
    use crate::{NeighborList, Potential};
    use glam::DVec3;
    use rand_pcg::Pcg64;

    #[test]
    fn harmonic_molecule_follows_the_closed_form() {
        let (stiffness, rest) = (20.0, 2.0);
        let potential = PairPotential::spring(stiffness, rest);
        let atoms = molecule("W", "O", rest + 0.1);
        let [m, n] = [atoms.species[0].mass_u(), atoms.species[1].mass_u()];
        let mut simulation = Simulation::new(&potential, atoms, 0.5).expect("a simulation");
        let frequency = (stiffness * (m + n) / (m * n)).sqrt() / NATURAL_TIME_FS;
        let start = simulation.total_energy_ev();
        for _ in 0..2000 {
            simulation.step(0.02, None).expect("a step");
        }
        let length = (simulation.atoms().positions[1] - simulation.atoms().positions[0]).length();
        let expected = rest + 0.1 * (frequency * simulation.time_fs()).cos();
        assert!((length - expected).abs() < 2e-6, "{length} {expected}");
        assert!((simulation.total_energy_ev() - start).abs() < 1e-6);
    }

    #[test]
    fn head_on_collision_transfers_the_kinematic_maximum() {
        // 4 m M / (m + M)^2 for elastic scattering, by a short-ranged repulsion.
        let potential = PairPotential::repulsion(3.0);
        let atoms = molecule("W", "O", 4.0);
        let [heavy, light] = [atoms.species[0].mass_u(), atoms.species[1].mass_u()];
        let mut simulation = Simulation::new(&potential, atoms, 0.4).expect("a simulation");
        let velocity = speed(112.0, heavy);
        simulation.set_velocities(vec![DVec3::X * velocity, DVec3::ZERO]);
        let limits = TimeStep { max_displacement_angstrom: 0.002, ..TimeStep::default() };
        while simulation.time_fs() < 120.0 {
            simulation.step(simulation.time_step_fs(&limits), None).expect("a step");
        }
        let transferred = simulation.kinetic_energy_of_atom_ev(1) / 112.0;
        assert!((transferred - 4.0 * heavy * light / (heavy + light).powi(2)).abs() < 1e-5, "{transferred}");
        assert!((transferred - 0.295).abs() < 5e-4);
        let momentum = simulation.velocities()[0] * heavy + simulation.velocities()[1] * light;
        assert!((momentum - DVec3::X * velocity * heavy).length() < 1e-9);
    }

    #[test]
    fn energy_error_falls_with_the_square_of_the_step() {
        let (potential, atoms) = argon_like([3, 3, 3]);
        let masses = atoms.masses_u();
        let velocities = thermal_velocities(&masses, 600.0, &mut Pcg64::new(3, 1));
        let error = |step_fs: f64| {
            let mut simulation = Simulation::new(&potential, atoms.clone(), 0.6).expect("a simulation");
            simulation.set_velocities(velocities.clone());
            let start = simulation.total_energy_ev();
            let mut worst: f64 = 0.0;
            for _ in 0..(200.0 / step_fs) as usize {
                simulation.step(step_fs, None).expect("a step");
                worst = worst.max((simulation.total_energy_ev() - start).abs());
            }
            worst
        };
        let (coarse, fine) = (error(4.0), error(2.0));
        assert!((3.5..4.6).contains(&(coarse / fine)), "{coarse} {fine}");
    }

    #[test]
    fn langevin_bath_reaches_its_temperature_and_books_its_energy() {
        let (potential, atoms) = argon_like([3, 3, 3]);
        let n_atoms = atoms.len();
        let mut simulation = Simulation::new(&potential, atoms, 0.6).expect("a simulation");
        let start = simulation.total_energy_ev();
        let mut bath = Bath::new(300.0, vec![0.02; n_atoms], 11);
        let (mut kinetic, mut potential_sum, mut samples) = (0.0, 0.0, 0.0);
        for step in 0..6000 {
            simulation.step(3.0, Some(&mut bath)).expect("a step");
            if step >= 1000 {
                kinetic += simulation.kinetic_energy_ev();
                potential_sum += simulation.potential_energy_ev() - start;
                samples += 1.0;
            }
        }
        let thermal = 1.5 * n_atoms as f64 * BOLTZMANN_EV_PER_K * 300.0;
        assert!((kinetic / samples / thermal - 1.0).abs() < 0.03, "{}", kinetic / samples / thermal);
        // Equipartition: nearly harmonic, so potential and kinetic energy agree up to anharmonicity.
        assert!((potential_sum / samples / thermal - 1.0).abs() < 0.08, "{}", potential_sum / samples / thermal);
        let drift = simulation.total_energy_ev() - start - bath.energy_given_ev;
        assert!(drift.abs() < 0.02 * thermal, "{drift}");
    }

    #[test]
    fn neighbour_lists_with_a_skin_never_miss_a_pair() {
        let (potential, atoms) = argon_like([3, 3, 3]);
        let masses = atoms.masses_u();
        let mut simulation = Simulation::new(&potential, atoms, 0.5).expect("a simulation");
        let mut velocities = thermal_velocities(&masses, 300.0, &mut Pcg64::new(5, 1));
        velocities[40] = DVec3::new(1.0, 2.0, 0.5).normalize() * speed(60.0, masses[40]);
        simulation.set_velocities(velocities);
        for step in 0..400 {
            simulation.step(simulation.time_step_fs(&TimeStep::default()), None).expect("a step");
            if step % 20 == 0 {
                let fresh = NeighborList::build(simulation.atoms(), potential.cutoff_angstrom());
                let mut evaluation = crate::Evaluation::default();
                potential.evaluate(simulation.atoms(), &fresh, &mut evaluation).expect("energies");
                let worst = evaluation.forces.iter().zip(&simulation.evaluation().forces);
                assert!(worst.map(|(a, b)| (*a - *b).length()).fold(0.0, f64::max) < 1e-10);
            }
        }
        assert!(simulation.builds > 3 && simulation.builds < simulation.evaluations / 5);
    }

    /// In a cascade, with and without a bath at some of the atoms, whose random forces the choice of the step does not know.
    #[test]
    fn no_atom_moves_farther_in_a_step_than_is_allowed() {
        let limits = TimeStep { max_displacement_angstrom: 0.01, max_fs: 4.0, max_energy_change_ev: None };
        let farthest_of_all_steps = |mut bath: Option<Bath>| {
            let (potential, atoms) = argon_like([3, 3, 3]);
            let masses = atoms.masses_u();
            let mut simulation = Simulation::new(&potential, atoms, 0.5).expect("a simulation");
            let mut velocities = thermal_velocities(&masses, 133.0, &mut Pcg64::new(5, 1));
            velocities[40] = DVec3::new(1.0, 2.0, 0.5).normalize() * speed(100.0, masses[40]);
            simulation.set_velocities(velocities);
            let mut farthest: f64 = 0.0;
            for _ in 0..600 {
                let before = simulation.atoms().positions.clone();
                simulation.step(simulation.time_step_fs(&limits), bath.as_mut()).expect("a step");
                let moves = simulation.atoms().positions.iter().zip(&before).map(|(now, before)| now.distance(*before));
                farthest = moves.fold(farthest, f64::max);
            }
            farthest
        };
        let free = farthest_of_all_steps(None);
        assert!((0.0099..0.01 + 1e-12).contains(&free), "{free}");
        let every_other = (0..108).map(|atom| f64::from(atom % 2) * 0.01).collect();
        let cooled = farthest_of_all_steps(Some(Bath::new(133.0, every_other, 7)));
        assert!((0.0099..0.0101).contains(&cooled), "{cooled}");
    }

    #[test]
    fn unknown_species_are_refused() {
        let (potential, mut atoms) = argon_like([2, 2, 2]);
        atoms.species[0] = crate::Species::from_symbol("U").expect("uranium");
        let error = Simulation::new(&potential, atoms, 0.5).err().expect("an error").to_string();
        assert!(error.contains("found U"), "{error}");
    }
}
