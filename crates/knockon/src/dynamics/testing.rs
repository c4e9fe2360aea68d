//! Potentials and boxes for tests: simple enough to know the answers.

use crate::{Atoms, Cell, Error, Evaluation, NeighborList, Potential, Species};
use glam::{BVec3, DMat3, DVec3};

/// Distance in angstrom to energy in eV and its derivative.
type PairFunction = Box<dyn Fn(f64) -> (f64, f64) + Sync + Send>;

/// Any function of the distance, the same for all species.
pub(crate) struct PairPotential {
    cutoff: f64,
    species: Vec<Species>,
    function: PairFunction,
}

impl PairPotential {
    fn new(cutoff: f64, function: impl Fn(f64) -> (f64, f64) + Sync + Send + 'static) -> Self {
        let species = ["W", "Ca", "O", "Ar"].map(element).to_vec();
        Self { cutoff, species, function: Box::new(function) }
    }

    /// k (r - r0)^2 / 2.
    pub(crate) fn spring(stiffness: f64, rest: f64) -> Self {
        Self::new(2.0 * rest, move |r| (0.5 * stiffness * (r - rest).powi(2), stiffness * (r - rest)))
    }

    /// Purely repulsive, smooth to the third order at the cutoff.
    pub(crate) fn repulsion(cutoff: f64) -> Self {
        Self::new(cutoff, move |r| {
            let x = (1.0 - r / cutoff).max(0.0);
            (400.0 * x.powi(4), -1600.0 / cutoff * x.powi(3))
        })
    }

    /// Lennard-Jones with its minimum of -depth at `nearest`, brought to zero at the cutoff by (1 - r^2/c^2)^3.
    pub(crate) fn lennard_jones(depth: f64, nearest: f64, cutoff: f64) -> Self {
        Self::new(cutoff, move |r| {
            let sixth = (nearest / r).powi(6);
            let (value, slope) = (depth * (sixth * sixth - 2.0 * sixth), -12.0 * depth * (sixth * sixth - sixth) / r);
            let x = (1.0 - (r / cutoff).powi(2)).max(0.0);
            let (fade, fade_slope) = (x.powi(3), -6.0 * r / cutoff.powi(2) * x * x);
            (value * fade, slope * fade + value * fade_slope)
        })
    }
}

/// Has no result where the function says so, as a code that does not converge.
pub(crate) struct Fails<F>(pub(crate) PairPotential, pub(crate) F);

impl<F: Fn(&Atoms, &Evaluation) -> bool + Sync> Potential for Fails<F> {
    fn cutoff_angstrom(&self) -> f64 {
        self.0.cutoff_angstrom()
    }

    fn species(&self) -> &[Species] {
        self.0.species()
    }

    fn evaluate(&self, atoms: &Atoms, neighbors: &NeighborList, evaluation: &mut Evaluation) -> Result<(), Error> {
        self.0.evaluate(atoms, neighbors, evaluation)?;
        let fails = (self.1)(atoms, evaluation);
        if fails { Err(Error::computation("not converged", "Try another start")) } else { Ok(()) }
    }
}

impl Potential for PairPotential {
    fn cutoff_angstrom(&self) -> f64 {
        self.cutoff
    }

    fn species(&self) -> &[Species] {
        &self.species
    }

    fn evaluate(&self, atoms: &Atoms, neighbors: &NeighborList, out: &mut Evaluation) -> Result<(), Error> {
        let shifts = neighbors.cartesian_translations(&atoms.cell);
        out.energies_ev = vec![0.0; atoms.len()];
        out.forces = vec![DVec3::ZERO; atoms.len()];
        out.strain_derivative_ev = DMat3::ZERO;
        for i in 0..atoms.len() {
            for k in neighbors.row(i) {
                let shift = shifts[neighbors.translation[k] as usize];
                let vector = atoms.positions[neighbors.index[k] as usize] - atoms.positions[i] + shift;
                let r = vector.length();
                if r < self.cutoff {
                    let (energy, slope) = (self.function)(r);
                    let direction = vector / r;
                    out.energies_ev[i] += 0.5 * energy;
                    out.forces[i] += slope * direction;
                    let columns = vector.to_array().map(|x| direction * (0.5 * slope * x));
                    out.strain_derivative_ev += DMat3::from_cols(columns[0], columns[1], columns[2]);
                }
            }
        }
        Ok(())
    }
}

pub(crate) fn element(symbol: &str) -> Species {
    Species::from_symbol(symbol).expect("a known element")
}

/// Two atoms on the x axis in an open box.
pub(crate) fn molecule(first: &str, second: &str, distance: f64) -> Atoms {
    let cell = Cell { vectors: DMat3::IDENTITY, periodic: BVec3::FALSE };
    let positions = vec![DVec3::ZERO, DVec3::X * distance];
    Atoms::new(cell, vec![element(first), element(second)], positions, "test").expect("valid atoms")
}

/// Conventional cell of a face-centred cubic crystal of argon atoms with 2.8 A between neighbours.
pub(crate) fn cubic_cell(nearest: f64) -> Atoms {
    let a = nearest * std::f64::consts::SQRT_2;
    let cell = Cell::periodic(DVec3::X * a, DVec3::Y * a, DVec3::Z * a);
    let corners = [[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]];
    let positions = corners.map(|f| DVec3::from_array(f) * a).to_vec();
    Atoms::new(cell, vec![element("Ar"); 4], positions, "test").expect("valid atoms")
}

/// A stiff Lennard-Jones crystal (depth 0.6 eV) near its equilibrium volume.
pub(crate) fn argon_like(cells: [usize; 3]) -> (PairPotential, Atoms) {
    (PairPotential::lennard_jones(0.6, 2.8, 4.6), cubic_cell(2.8).supercell(cells))
}

/// The conventional cell of CaWO4: space group 88, origin choice 1 (International Tables A), PBE lattice constants and
/// oxygen coordinates of the reference notes.
pub(crate) fn calcium_tungstate() -> Atoms {
    let (a, c) = (5.334534, 11.50991_f64);
    let [x, y, z] = [0.756815, 0.153713, 0.08643];
    let half = 0.5;
    let tungsten = [[0.0, 0.0, 0.0], [0.0, 0.5, 0.25]];
    let calcium = [[0.0, 0.0, 0.5], [0.0, 0.5, 0.75]];
    let oxygen = [
        [x, y, z],
        [half - x, half - y, z + half],
        [-y, x + half, z + 0.25],
        [y + half, -x, z + 0.75],
        [-x, half - y, 0.25 - z],
        [x + half, y, 0.75 - z],
        [y, -x, -z],
        [half - y, x + half, half - z],
    ];
    let cell = Cell::periodic(DVec3::X * a, DVec3::Y * a, DVec3::Z * c);
    let (mut species, mut positions) = (Vec::new(), Vec::new());
    let sites = [("W", &tungsten[..]), ("Ca", &calcium[..]), ("O", &oxygen[..])];
    for (symbol, orbit) in sites {
        for site in orbit {
            for shift in [0.0, 0.5] {
                species.push(element(symbol));
                positions.push(cell.vectors * DVec3::from_array(site.map(|f: f64| (f + shift).rem_euclid(1.0))));
            }
        }
    }
    Atoms::new(cell, species, positions, "test").expect("valid atoms")
}
