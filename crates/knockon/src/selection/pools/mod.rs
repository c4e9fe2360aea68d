//! Pools of configurations, each made with the potential in boxes small enough to label.

mod cascade;
mod close_pair;
mod frenkel;
mod strain;
mod thermal;

pub use cascade::CascadePool;
pub use close_pair::ClosePairPool;
pub use frenkel::FrenkelPool;
pub use strain::StrainPool;
pub use thermal::ThermalPool;

use super::Candidate;
use super::settings::PoolSettings;
use crate::io::Info;
use crate::progress::Progress;
use crate::{Atoms, Error, Potential};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where a candidate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pool {
    /// A frame of a recoil cascade.
    Cascade,
    /// A frame of a recoil cascade under way: far from any minimum, and weighted as such in a fit.
    HotCascade,
    /// A frame of a thermal run.
    Thermal,
    /// A Frenkel pair, relaxed or on the way.
    Frenkel,
    /// Two atoms brought close.
    ClosePair,
    /// A strained cell.
    Strain,
}

impl Pool {
    /// All pools.
    pub const ALL: [Self; 6] =
        [Self::Cascade, Self::HotCascade, Self::Thermal, Self::Frenkel, Self::ClosePair, Self::Strain];

    /// The class of the fit that its labels belong to.
    pub fn class(self) -> &'static str {
        match self {
            Self::Cascade => "cascade",
            Self::HotCascade => "hot_cascade",
            Self::Thermal => "thermal",
            Self::Frenkel => "frenkel",
            Self::ClosePair => "short_pair",
            Self::Strain => "strain",
        }
    }
}

/// What all pools start from.
pub struct Workshop<'a> {
    /// The potential.
    pub potential: &'a dyn Potential,
    /// First letters of its hash, for the names of candidates.
    pub model_tag: &'a str,
    /// The unit cell.
    pub unit_cell: &'a Atoms,
    /// The box, not relaxed.
    pub crystal: &'a Atoms,
    /// Frenkel pairs for thermal runs with a defect, if any.
    pub defects: &'a [Atoms],
    /// Seed of all random numbers.
    pub seed: u64,
}

#[cfg(test)]
impl<'a> Workshop<'a> {
    /// Of a crystal that is its own unit cell.
    fn of(potential: &'a dyn Potential, crystal: &'a Atoms) -> Self {
        Self { potential, model_tag: "aaaaaaaa", unit_cell: crystal, crystal, defects: &[], seed: 1 }
    }
}

/// Makes all pools; what could not be made is told to `progress` and left out.
pub fn make(
    workshop: &Workshop<'_>,
    settings: &PoolSettings,
    progress: &dyn Progress,
) -> Result<Vec<Candidate>, Error> {
    let mut candidates = Vec::new();
    if let Some(pool) = &settings.cascade {
        candidates.extend(cascade::make(workshop, pool, progress)?);
    }
    if let Some(pool) = &settings.thermal {
        candidates.extend(thermal::make(workshop, pool, progress)?);
    }
    if let Some(pool) = &settings.frenkel {
        candidates.extend(frenkel::make(workshop, pool, progress)?);
    }
    if let Some(pool) = &settings.close_pair {
        candidates.extend(close_pair::make(workshop, pool, progress)?);
    }
    if let Some(pool) = &settings.strain {
        candidates.extend(strain::make(workshop, pool));
    }
    Ok(candidates)
}

impl Workshop<'_> {
    /// Does all jobs of a pool, each with a seed of its own; the candidates are in the order of the jobs. A job that falls into
    /// a hole of the potential is told to `progress` and left out.
    fn in_parallel<Job: Sync>(
        &self,
        jobs: &[Job],
        progress: &dyn Progress,
        make: impl Fn(u64, &Job) -> Result<Vec<Candidate>, Error> + Sync,
    ) -> Result<Vec<Candidate>, Error> {
        let done = AtomicU64::new(0);
        let one = |(index, job): (usize, &Job)| {
            let found = make(self.seed.wrapping_mul(1_000_003).wrapping_add(index as u64), job);
            progress.update(1 + done.fetch_add(1, Ordering::Relaxed), jobs.len() as u64);
            match found {
                Err(error @ Error::Computation { .. }) => {
                    progress.message(&format!("a candidate is left out: {error}"));
                    Ok(Vec::new())
                }
                other => other,
            }
        };
        let found: Vec<Vec<Candidate>> = jobs.par_iter().enumerate().map(one).collect::<Result<_, _>>()?;
        Ok(found.into_iter().flatten().collect())
    }

    /// A candidate named `pool-name-model-seed`.
    fn candidate(&self, pool: Pool, name: &str, atoms: Atoms, details: &[(&str, String)]) -> Candidate {
        let mut info = Info::default();
        details.iter().for_each(|(key, value)| info.set(key, value));
        let class = pool.class();
        Candidate { id: format!("{class}-{name}-{}-{}", self.model_tag, self.seed), pool, atoms, details: info }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::{PairPotential, cubic_cell};
    use crate::progress::Silent;
    use std::collections::BTreeSet;

    const POOLS: &str = "
[cascade]
species = [\"Ar\"]
energies_ev = [5.0]
recoils = 2
temperature_k = 40.0
frame_times_fs = [10.0]
quenched = false

[frenkel]
species = [\"Ar\"]
starts = 1
supercell = 4
grid_spacing_angstrom = 1.98
min_distance_angstrom = 1.8
reach_angstrom = 5.3
frames_after_evaluations = []

[close_pair]
distances_angstrom = [2.4]
max_force_ev_per_angstrom = 0.1
";

    /// Ids, and the values of the keys by which a fit keeps relatives together.
    fn made(depth_ev: f64, model_tag: &str, seed: u64) -> (BTreeSet<String>, Vec<String>) {
        let potential = PairPotential::lennard_jones(depth_ev, 2.8, 4.6);
        let unit_cell = cubic_cell(2.8);
        let crystal = unit_cell.supercell([3, 3, 3]);
        let workshop =
            Workshop { potential: &potential, model_tag, unit_cell: &unit_cell, crystal: &crystal, defects: &[], seed };
        let settings: PoolSettings = toml::from_str(POOLS).expect("settings");
        let candidates = make(&workshop, &settings, &Silent).expect("candidates");
        let group = |c: &Candidate| ["recoil", "site", "pair"].iter().find_map(|k| c.details.get(k).map(str::to_owned));
        let groups = candidates.iter().map(|c| group(c).expect("a key")).collect();
        (candidates.into_iter().map(|c| c.id).collect(), groups)
    }

    #[test]
    fn relatives_of_different_rounds_are_known_as_such() {
        let (ids, groups) = made(0.6, "aaaaaaaa", 1);
        assert!(ids.len() == 4 && groups.len() == 4 && groups[0] != groups[1], "{ids:?} {groups:?}");
        // Another model makes other configurations of the same recoils, places and pairs.
        let (other_ids, other_groups) = made(0.5, "bbbbbbbb", 1);
        assert!(ids.is_disjoint(&other_ids) && groups == other_groups, "{other_ids:?} {other_groups:?}");
        // Another seed has other recoils, from the same places.
        let (_, later) = made(0.5, "bbbbbbbb", 2);
        assert!(later[..2].iter().all(|recoil| !groups.contains(recoil)) && later[2..] == groups[2..], "{later:?}");
    }
}
