//! Energies and forces of atoms. [`Potential`] is the one seam between models and everything that uses them.

mod bispectrum;
mod committee;
mod components;
mod coupling;
mod cutoff_switch;
mod descriptors;
mod design;
pub mod electrostatic;
mod extrapolation;
mod file_kind;
mod grouping;
mod import_milady;
mod import_snap;
mod lanes;
mod layout;
mod linear;
mod members;
mod model;
mod moments;
mod pair_function;
mod profile;
#[cfg(test)]
mod reference;
mod similarity;
mod square_table;
#[cfg(test)]
mod tests;
mod zbl;

pub use committee::{Committee, CommitteeFile, Member, Uncertainty};
pub use coupling::{clebsch_gordan, component_triples};
pub use cutoff_switch::CutoffSwitch;
pub use descriptors::Descriptors;
pub use design::{Columns, DesignRows, Sharing, design_rows};
pub use electrostatic::{Electrostatic, ElectrostaticShape};
pub use extrapolation::{CentralGrade, EXTRAPOLATION_THRESHOLD, Extrapolation, GradeBuilder, GradeFile, Whitening};
pub use import_milady::{import_milady, parse_milady};
pub use import_snap::{import_snap, parse_snap};
pub use linear::{Instructions, LinearPotential};
pub use model::{Central, FORMAT_VERSION, InnerSwitch, ManyBody, Model, PairCoefficients, PairTerm, pair_index};
pub use pair_function::{Jet, basis_function, fixed_function, pair_function};
pub use profile::{Kernels, Operations, StepProfile, instruction_set, peak_flops_per_second, rattled};
pub use similarity::Similarity;
pub use zbl::Zbl;

use crate::{Atoms, Error, NeighborList, Species};
use glam::{DMat3, DVec3};

/// Energy and its derivatives for one box.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// Energy of each atom in eV; pair energies are shared equally.
    pub energies_ev: Vec<f64>,
    /// Force on each atom in eV/angstrom.
    pub forces: Vec<DVec3>,
    /// Derivative of the energy with respect to a homogeneous strain in eV, symmetric; divided by the volume it is
    /// the stress with ASE's sign (positive in tension).
    pub strain_derivative_ev: DMat3,
    /// Kept from one evaluation to the next so that nothing is allocated in a run.
    pub(crate) pair_gradients: Vec<DVec3>,
    /// The same for the members of a committee, eight at a time.
    pub(crate) member_gradients: Vec<Vec<members::Gradient>>,
}

impl Evaluation {
    /// Total energy in eV, summed in the order of the atoms.
    pub fn energy_ev(&self) -> f64 {
        self.energies_ev.iter().sum()
    }

    /// Stress in eV/angstrom^3, Voigt order xx yy zz yz xz xy, positive in tension (ASE's convention).
    pub fn stress(&self, volume_angstrom3: f64) -> [f64; 6] {
        let s = self.strain_derivative_ev;
        let [xx, yy, zz] = [s.x_axis.x, s.y_axis.y, s.z_axis.z];
        let [yz, xz, xy] = [s.y_axis.z, s.x_axis.z, s.x_axis.y];
        [xx, yy, zz, yz, xz, xy].map(|v| v / volume_angstrom3)
    }

    /// Fails if an energy or a force is not a finite number.
    pub(crate) fn check_finite(&self) -> Result<(), Error> {
        let bad = self.energies_ev.iter().zip(&self.forces).position(|(e, f)| !(e.is_finite() && f.is_finite()));
        bad.map_or(Ok(()), |atom| {
            let problem = format!("the energy or force of atom {} is not a finite number", atom + 1);
            Err(Error::computation(
                problem,
                "Look at the distances around this atom and at the coefficients of the model",
            ))
        })
    }

    /// Largest length of a force.
    pub fn max_force_ev_per_angstrom(&self) -> f64 {
        self.forces.iter().map(|f| f.length_squared()).fold(0.0, f64::max).sqrt()
    }
}

/// A model of the energy of a box of atoms.
pub trait Potential: Sync {
    /// Pairs farther apart than this do not interact, in angstrom.
    fn cutoff_angstrom(&self) -> f64;

    /// The elements that the model knows.
    fn species(&self) -> &[Species];

    /// The neighbour list with which evaluations are fastest. It serves until an atom has moved half of `skin_angstrom`.
    fn neighbor_list(&self, atoms: &Atoms, skin_angstrom: f64) -> NeighborList {
        NeighborList::with_skin(atoms, self.cutoff_angstrom(), skin_angstrom)
    }

    /// Energy, forces and strain derivative. `neighbors` holds at least all pairs closer than the cutoff.
    ///
    /// The result does not depend on the number of threads. Fails for species the model does not know and for
    /// results that are not finite.
    fn evaluate(&self, atoms: &Atoms, neighbors: &NeighborList, evaluation: &mut Evaluation) -> Result<(), Error>;
}
