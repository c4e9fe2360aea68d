//! From first-principles labels of a crystal to the energy spectrum that a cryogenic detector sees.
//!
//! Data flows one way: labelled configurations ([`io`]) are fitted ([`fit`]) into a [`potential`]; [`dynamics`]
//! moves atoms with it; [`cascade`] makes recoils and stored energies; [`response`] turns them into
//! p(E_stored | E_recoil); [`spectra`] folds recoil spectra with it.
//!
//! Units inside and at every boundary: angstrom, eV, unified atomic mass unit, kelvin; times in femtoseconds. Velocities alone are
//! in angstrom per natural time of these units, 10.18 fs, wherever they are handed over or stored: mass times velocity squared is an
//! energy in eV then ([`units::NATURAL_TIME_FS`], [`dynamics::Simulation::velocities`], [`cascade::Start::velocities`]).

pub mod atoms;
pub mod cascade;
pub mod checks;
pub mod dataset;
pub mod dynamics;
pub mod elasticity;
pub mod error;
pub mod fingerprint;
pub mod fit;
pub mod frenkel;
pub mod io;
pub mod math;
pub mod neighbors;
pub mod potential;
pub mod progress;
pub mod response;
pub mod selection;
pub mod settings;
mod side_by_side;
pub mod spectra;
pub mod symmetry;
pub mod units;

pub use atoms::{Atoms, Cell, Species};
pub use error::Error;
pub use neighbors::NeighborList;
pub use potential::{Evaluation, Potential};
