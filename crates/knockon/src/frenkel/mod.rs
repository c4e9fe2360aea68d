//! Frenkel pairs: an atom off its site, close to the vacancy that it left.
//!
//! The search is that of Soum-Sidikov et al. (2024) for any crystal: every atom is moved to every place of a grid within
//! reach ([`starts`](Start)), relaxed, compared with all others ([`crate::fingerprint`]), and ranked by its formation energy, the
//! energy above the perfect box. [`image_energy_ev`] is what a pair gains elastically by seeing its periodic images.

mod elastic;
mod jobs;
mod labels;
mod lattice;
mod occupation;
mod output;
mod search;
mod settings;
pub(crate) mod sites;
mod starts;

pub use elastic::{ElasticImages, Elasticity, dipole_tensor_ev, image_energy_ev, images_by_stress};
pub use labels::{LabelledPair, labelled_pairs};
pub use lattice::CrystalLattice;
pub use occupation::{Occupation, occupation};
pub use output::{Attached, Entry, FrenkelTable};
pub use search::{BoxResult, FrenkelSearch, Outcome, Outcomes, PerfectSupercell, Structure, find_frenkel_pairs};
pub use settings::FrenkelSettings;
pub use starts::{Start, inequivalent_positions, inequivalent_starts};

#[cfg(test)]
mod tests;
