//! Unit cells under random strain, their atoms displaced a little; labelled with stress.

use super::{Candidate, Pool, Workshop};
use crate::Atoms;
use glam::{DMat3, DVec3};
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// Random symmetric strains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StrainPool {
    /// How many.
    pub cells: usize,
    /// Standard deviation of each component of the strain.
    pub strain: f64,
    /// Standard deviation of each component of the displacements, in angstrom.
    pub displacement_angstrom: f64,
    /// At most this many of the choices.
    #[serde(default)]
    pub at_most: Option<usize>,
}

pub(super) fn make(workshop: &Workshop<'_>, pool: &StrainPool) -> Vec<Candidate> {
    let candidate = |number: usize| {
        let mut random = Pcg64::new(u128::from(workshop.seed), 1000 + number as u128);
        let atoms = strained(workshop.unit_cell, pool, &mut random);
        let details = [("sampler", "knockon select: random strain".to_owned()), ("want_stress", "T".to_owned())];
        workshop.candidate(Pool::Strain, &number.to_string(), atoms, &details)
    };
    (1..=pool.cells).map(candidate).collect()
}

fn strained(unit_cell: &Atoms, pool: &StrainPool, random: &mut impl Rng) -> Atoms {
    let mut normal = |scale: f64| scale * random.sample::<f64, _>(StandardNormal);
    let [xx, yy, zz, yz, xz, xy]: [f64; 6] = std::array::from_fn(|_| normal(pool.strain));
    let deformation =
        DMat3::IDENTITY + DMat3::from_cols(DVec3::new(xx, xy, xz), DVec3::new(xy, yy, yz), DVec3::new(xz, yz, zz));
    let mut atoms = unit_cell.clone();
    atoms.cell.vectors = deformation * atoms.cell.vectors;
    for position in &mut atoms.positions {
        let moved = DVec3::from_array(std::array::from_fn(|_| normal(pool.displacement_angstrom)));
        *position = deformation * *position + moved;
    }
    atoms
}
