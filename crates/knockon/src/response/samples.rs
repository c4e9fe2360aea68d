//! Stored energies by recoil energy: weighted by solid angle, resampled by direction and start.

use super::fermi::Trials;
use super::shape::ShapeModel;
use super::table::Recoil;
use super::{evolution, fermi, shape};
use crate::math::quantile;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::collections::{BTreeMap, BTreeSet};

/// The runs of one recoil energy with weights that sum to 1.
#[derive(Clone, Debug)]
pub struct EnergySamples {
    /// Recoil energy in eV.
    pub recoil_energy_ev: f64,
    /// Flagged runs that were left out.
    pub n_flagged: usize,
    /// The runs.
    pub runs: Vec<Run>,
}

/// One usable cascade of an energy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// Index of its direction.
    pub direction: u32,
    /// Index of its thermalised start.
    pub start: u32,
    /// Share of the solid angle; the sum over the runs is 1.
    pub weight: f64,
    /// Stored energy in eV; 0 when below the threshold.
    pub stored_energy_ev: f64,
}

/// Statistics of one recoil energy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// Weighted fraction of recoils that left defects.
    pub defect_probability: f64,
    /// Mean of the non-zero stored energies in eV; NaN when there are none.
    pub mean_nonzero_ev: f64,
    /// Standard deviation of the non-zero stored energies in eV (unbiased); NaN with fewer than two.
    pub std_nonzero_ev: f64,
    /// Effective number of runs, (sum w)^2 / sum w^2.
    pub effective_number: f64,
    /// Non-zero stored energies.
    pub n_nonzero: usize,
}

/// Groups the runs of `species` by energy. The weight of a direction is shared by its starts. Stored energies below
/// `zero_threshold_ev` count as none. Runs with a flag that is not among `accepted_flags` are left out.
pub fn group(
    recoils: &[Recoil],
    species: &str,
    zero_threshold_ev: f64,
    accepted_flags: &[String],
) -> Vec<EnergySamples> {
    let mut by_energy: BTreeMap<u64, Vec<&Recoil>> = BTreeMap::new();
    for recoil in recoils.iter().filter(|r| r.species == species) {
        // Positive floats sort like their bits.
        by_energy.entry(recoil.recoil_energy_ev.to_bits()).or_default().push(recoil);
    }
    let mut all = Vec::new();
    for (bits, runs) in by_energy {
        let accepted = |flag: &str| flag.is_empty() || accepted_flags.iter().any(|a| a == flag);
        let usable = |r: &&&Recoil| r.stored_energy_ev.is_finite() && r.flags.split(';').all(accepted);
        let good: Vec<&&Recoil> = runs.iter().filter(usable).collect();
        let mut starts: BTreeMap<u32, f64> = BTreeMap::new();
        for run in &good {
            *starts.entry(run.direction).or_default() += 1.0;
        }
        let weight = |r: &Recoil| r.weight_sr / starts[&r.direction];
        let total: f64 = good.iter().map(|r| weight(r)).sum();
        let stored = |r: &Recoil| {
            if r.stored_energy_ev < zero_threshold_ev { 0.0 } else { r.stored_energy_ev.min(r.recoil_energy_ev) }
        };
        all.push(EnergySamples {
            recoil_energy_ev: f64::from_bits(bits),
            n_flagged: runs.iter().filter(|r| !r.flags.is_empty()).count(),
            runs: good
                .iter()
                .map(|r| Run {
                    direction: r.direction,
                    start: r.start,
                    weight: weight(r) / total,
                    stored_energy_ev: stored(r),
                })
                .collect(),
        });
    }
    all
}

impl EnergySamples {
    /// Weighted statistics.
    pub fn statistics(&self) -> Statistics {
        let (values, weights) = self.nonzero();
        let all: f64 = self.runs.iter().map(|r| r.weight).sum();
        let squares: f64 = self.runs.iter().map(|r| r.weight * r.weight).sum();
        let total: f64 = weights.iter().sum();
        let mean = values.iter().zip(&weights).map(|(v, w)| v * w).sum::<f64>() / total;
        let variance = values.iter().zip(&weights).map(|(v, w)| w * (v - mean).powi(2)).sum::<f64>() / total;
        let effective = total * total / weights.iter().map(|w| w * w).sum::<f64>();
        let std = if values.len() < 2 { f64::NAN } else { (variance * effective / (effective - 1.0)).sqrt() };
        Statistics {
            // Exactly 1 when every recoil left defects: rounding must not make it look undecided.
            defect_probability: if values.len() == self.runs.len() { 1.0 } else { total / all },
            mean_nonzero_ev: mean,
            std_nonzero_ev: std,
            effective_number: all * all / squares,
            n_nonzero: values.len(),
        }
    }

    /// Non-zero stored energies in eV and their weights.
    pub fn nonzero(&self) -> (Vec<f64>, Vec<f64>) {
        self.runs.iter().filter(|r| r.stored_energy_ev > 0.0).map(|r| (r.stored_energy_ev, r.weight)).unzip()
    }

    /// What the defect probability is fitted to.
    pub(super) fn trials(&self) -> Option<Trials> {
        let statistics = self.statistics();
        let trials = Trials {
            recoil_energy_ev: self.recoil_energy_ev,
            fraction: statistics.defect_probability,
            effective_number: statistics.effective_number,
        };
        (!self.runs.is_empty()).then_some(trials)
    }

    /// Shape parameters with their variances, when at least `minimum` stored energies are not zero.
    pub(super) fn shape_points(&self, model: ShapeModel, minimum: usize) -> Option<ShapePoints> {
        let (values, weights) = self.nonzero();
        if values.len() < minimum.max(2) {
            return None;
        }
        let fit = shape::fit(model, &values, &weights, self.recoil_energy_ev)?;
        let total: f64 = weights.iter().sum();
        let effective = total * total / weights.iter().map(|w| w * w).sum::<f64>();
        let variance = fit.standard_deviation_ev.powi(2) / effective;
        let point = |value, variance| evolution::Point { recoil_energy_ev: self.recoil_energy_ev, value, variance };
        Some(ShapePoints {
            mean: point(fit.mean_ev, variance),
            // Variance of a standard deviation, for a Gaussian: sigma^2 / (2 n).
            width: point(fit.standard_deviation_ev, 0.5 * variance),
            asymmetry: fit.asymmetry,
            effective_number: effective,
        })
    }
}

/// Fitted shape of one recoil energy.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShapePoints {
    /// Parent mean.
    pub mean: evolution::Point,
    /// Parent standard deviation.
    pub width: evolution::Point,
    /// Asymmetry.
    pub asymmetry: f64,
    /// Effective number of non-zero stored energies.
    pub effective_number: f64,
}

/// How much of the spread among start averages is not explained by the spread within them, from 0 (starts do not matter) to 1: the
/// square root of 1 - MS_rest / MS_starts, mean squares of a two-way analysis of variance of the stored energies, directions
/// taken out. 0 with a single start.
pub(super) fn start_share(samples: &[EnergySamples]) -> f64 {
    let mut by_start: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    let (mut squares, mut freedom) = (0.0, 0.0);
    for sample in samples {
        let n = sample.runs.len() as f64;
        let mean = sample.runs.iter().map(|r| r.stored_energy_ev).sum::<f64>() / n;
        let variance = sample.runs.iter().map(|r| (r.stored_energy_ev - mean).powi(2)).sum::<f64>() / n;
        if variance < 1e-12 {
            continue;
        }
        let mut by_direction: BTreeMap<u32, Vec<&Run>> = BTreeMap::new();
        for run in &sample.runs {
            by_direction.entry(run.direction).or_default().push(run);
        }
        for runs in by_direction.values().filter(|runs| runs.len() > 1) {
            let mean = runs.iter().map(|r| r.stored_energy_ev).sum::<f64>() / runs.len() as f64;
            freedom += runs.len() as f64 - 1.0;
            for run in runs {
                let deviation = (run.stored_energy_ev - mean) / variance.sqrt();
                squares += deviation * deviation;
                let start = by_start.entry(run.start).or_default();
                *start = (start.0 + deviation, start.1 + 1.0);
            }
        }
    }
    let of_starts: f64 = by_start.values().map(|(sum, n)| sum * sum / n).sum();
    let starts = by_start.len() as f64 - 1.0;
    if starts < 1.0 || freedom - starts < 1.0 || of_starts <= 0.0 {
        return 0.0;
    }
    let ratio = ((squares - of_starts) / (freedom - starts)) / (of_starts / starts);
    (1.0 - ratio).max(0.0).sqrt()
}

/// How often each of `values` is drawn when one less than there are is drawn with replacement, scaled to a mean of 1. One
/// less makes the variance unbiased for few clusters (Rao and Wu, J. Am. Stat. Assoc. 83 (1988) 231).
fn drawn(values: &[u32], random: &mut Pcg64) -> BTreeMap<u32, f64> {
    let draws = values.len().saturating_sub(1).max(1);
    let mut times: BTreeMap<u32, f64> = BTreeMap::new();
    if values.is_empty() {
        return times;
    }
    for _ in 0..draws {
        *times.entry(values[random.random_range(0..values.len())]).or_default() += values.len() as f64 / draws as f64;
    }
    times
}

/// A campaign drawn again. Directions are drawn with replacement, the same draw for all energies, since one direction keeps
/// its surroundings at every energy. All directions share their starts, so these are drawn as well, for all directions
/// together; their weights are 1 + `share` (times drawn - 1) with the [`start_share`], since what differs between runs alone is in
/// the draw of directions already. With a single direction, single runs are drawn instead. Deterministic in
/// (`seed`, `replicate`).
pub(super) fn resample(samples: &[EnergySamples], share: f64, seed: u64, replicate: u64) -> Vec<EnergySamples> {
    let mut random = Pcg64::seed_from_u64(seed ^ (replicate + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let distinct = |of: fn(&Run) -> u32| -> Vec<u32> {
        samples.iter().flat_map(|s| s.runs.iter().map(of)).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let (directions, starts) = (distinct(|r| r.direction), distinct(|r| r.start));
    let times = drawn(&directions, &mut random);
    let of_starts = if share > 0.0 { drawn(&starts, &mut random) } else { BTreeMap::new() };
    let weight = |run: &Run| {
        let of_start = 1.0 + share * (of_starts.get(&run.start).copied().unwrap_or(0.0) - 1.0);
        run.weight * times.get(&run.direction).copied().unwrap_or(0.0) * of_start
    };
    let mut again = |s: &EnergySamples| -> EnergySamples {
        let mut runs: Vec<Run> = if directions.len() > 1 {
            s.runs.iter().map(|r| Run { weight: weight(r), ..*r }).filter(|r| r.weight > 0.0).collect()
        } else {
            s.runs.iter().map(|_| s.runs[random.random_range(0..s.runs.len())]).collect()
        };
        let total: f64 = runs.iter().map(|r| r.weight).sum();
        runs.iter_mut().for_each(|r| r.weight /= total);
        EnergySamples { runs, ..*s }
    };
    samples.iter().map(&mut again).filter(|s| !s.runs.is_empty()).collect()
}

/// 16 % and 84 % quantiles over bootstrap replicates of one recoil energy: (probability, mean, standard deviation).
/// Where all runs agree the bootstrap of the probability is blind, and Wilson's interval (J. Am. Stat. Assoc. 22
/// (1927) 209) with the effective number of runs stands in.
pub fn bands(samples: &[EnergySamples], index: usize, replicates: u64, seed: u64) -> [[f64; 2]; 3] {
    let energy = samples[index].recoil_energy_ev;
    let share = start_share(samples);
    let mut columns: [Vec<f64>; 3] = [Vec::new(), Vec::new(), Vec::new()];
    for replicate in 0..replicates {
        let drawn = resample(samples, share, seed, replicate);
        if let Some(s) = drawn.iter().find(|s| s.recoil_energy_ev == energy).map(EnergySamples::statistics) {
            for (column, value) in columns.iter_mut().zip([s.defect_probability, s.mean_nonzero_ev, s.std_nonzero_ev]) {
                column.push(value);
            }
        }
    }
    let mut bands = columns.map(|mut column| {
        column.retain(|v| v.is_finite());
        [quantile(&mut column, 0.16), quantile(&mut column, 0.84)]
    });
    let own = samples[index].statistics();
    if own.defect_probability == 0.0 || own.defect_probability == 1.0 {
        bands[0] = wilson(own.defect_probability, own.effective_number);
    }
    bands
}

/// Wilson's 68 % interval.
fn wilson(fraction: f64, number: f64) -> [f64; 2] {
    let shrink = 1.0 / (1.0 + 1.0 / number);
    let centre = (fraction + 0.5 / number) * shrink;
    let half = (fraction * (1.0 - fraction) / number + 0.25 / (number * number)).sqrt() * shrink;
    [(centre - half).max(0.0), (centre + half).min(1.0)]
}

/// The trials of every energy, for [`fermi::fit`].
pub(super) fn all_trials(samples: &[EnergySamples]) -> Vec<fermi::Trials> {
    samples.iter().filter_map(EnergySamples::trials).collect()
}
