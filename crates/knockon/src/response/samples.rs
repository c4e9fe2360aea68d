//! Stored energies by recoil energy: weighted by solid angle, resampled by direction and start.

use super::fermi::Trials;
use super::shape::ShapeModel;
use super::table::Recoil;
use super::{evolution, fermi, shape};
use crate::math::band;
use rand::{RngExt, SeedableRng};
use rand_distr::{ChiSquared, Gamma};
use rand_pcg::Pcg64;
use std::collections::{BTreeMap, BTreeSet};

/// The runs of one recoil energy with weights that sum to 1.
#[derive(Clone, Debug)]
pub struct EnergySamples {
    /// Recoil energy in eV.
    pub recoil_energy_ev: f64,
    /// Runs with flags, those with accepted ones among them.
    pub n_flagged: usize,
    /// Runs left out: flagged otherwise, or without a stored energy.
    pub n_left_out: usize,
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
            n_left_out: runs.len() - good.len(),
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
            // The sum of no weights is -0.
            defect_probability: if values.len() == self.runs.len() { 1.0 } else { total / all + 0.0 },
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

    /// Shape parameters when at least `minimum` stored energies are not zero. Their variances are known once those of all energies
    /// are.
    pub(super) fn shape_points(&self, model: ShapeModel, minimum: usize) -> Option<ShapePoints> {
        let (values, weights) = self.nonzero();
        if values.len() < minimum.max(2) {
            return None;
        }
        let fit = shape::fit(model, &values, &weights, self.recoil_energy_ev)?;
        let total: f64 = weights.iter().sum();
        let effective = total * total / weights.iter().map(|w| w * w).sum::<f64>();
        let point = |value| evolution::Point { recoil_energy_ev: self.recoil_energy_ev, value, variance: f64::NAN };
        Some(ShapePoints {
            mean: point(fit.mean_ev),
            width: point(fit.standard_deviation_ev),
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

/// What recoils of one start have in common, beyond chance, in the stored energies and in whether anything is stored: for each
/// the variance of start averages that it stands for, as a share of what is seen (0: starts do not matter).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct StartVariance {
    /// In the non-zero stored energies.
    pub of_energies: f64,
    /// In the classes zero and non-zero.
    pub of_classes: f64,
    /// Degrees of freedom of both: one less than there are starts.
    pub freedom: f64,
}

impl StartVariance {
    /// From a two-way analysis of variance of the campaign itself.
    pub(super) fn of(samples: &[EnergySamples]) -> Self {
        let starts: BTreeSet<u32> = samples.iter().flat_map(|s| s.runs.iter().map(|r| r.start)).collect();
        let stored = |run: &Run| Some(run.stored_energy_ev).filter(|stored| *stored > 0.0);
        let class = |run: &Run| Some(f64::from(u8::from(run.stored_energy_ev > 0.0)));
        Self {
            of_energies: share_of_starts(samples, stored),
            of_classes: share_of_starts(samples, class),
            freedom: starts.len().saturating_sub(1) as f64,
        }
    }
}

/// (MS_starts - MS_rest) / (MS_starts + MS_rest), or 0: mean squares of a two-way analysis of variance of `value`, directions taken
/// out, every recoil energy in units of its own spread. MS_starts holds what is common to a start and, as MS_rest does, what
/// differs between runs; the sum below is there because weights of starts times weights of directions spread the latter once
/// more.
fn share_of_starts(samples: &[EnergySamples], value: impl Fn(&Run) -> Option<f64>) -> f64 {
    let mut by_start: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    let (mut squares, mut freedom) = (0.0, 0.0);
    let mean = |values: &[(u32, f64)]| values.iter().map(|v| v.1).sum::<f64>() / values.len() as f64;
    for sample in samples {
        let mut by_direction: BTreeMap<u32, Vec<(u32, f64)>> = BTreeMap::new();
        for (run, value) in sample.runs.iter().filter_map(|run| Some((run, value(run)?))) {
            by_direction.entry(run.direction).or_default().push((run.start, value));
        }
        let all: Vec<(u32, f64)> = by_direction.values().flatten().copied().collect();
        let middle = mean(&all);
        let variance = all.iter().map(|v| (v.1 - middle).powi(2)).sum::<f64>() / all.len() as f64;
        if all.is_empty() || variance < 1e-12 {
            continue;
        }
        for runs in by_direction.values().filter(|runs| runs.len() > 1) {
            let middle = mean(runs);
            freedom += runs.len() as f64 - 1.0;
            for (start, value) in runs {
                let deviation = (value - middle) / variance.sqrt();
                squares += deviation * deviation;
                let start = by_start.entry(*start).or_default();
                *start = (start.0 + deviation, start.1 + 1.0);
            }
        }
    }
    let of_starts: f64 = by_start.values().map(|(sum, n)| sum * sum / n).sum();
    let starts = by_start.len() as f64 - 1.0;
    if starts < 1.0 || freedom - starts < 1.0 || of_starts <= 0.0 {
        return 0.0;
    }
    let (of_starts, rest) = (of_starts / starts, (squares - of_starts) / (freedom - starts));
    ((of_starts - rest) / (of_starts + rest)).max(0.0)
}

/// Weights of `n` clusters with the mean 1, drawn such that a weighted mean spreads with `factor` times the variance of the mean of
/// n independent values: Dirichlet weights, all positive (Bayesian bootstrap: Rubin, Ann. Stat. 9 (1981) 130, whose
/// concentration 1 has a factor (n - 1) / (n + 1)).
pub(super) fn weights(n: usize, factor: f64, random: &mut Pcg64) -> Vec<f64> {
    let number = n as f64;
    let concentration = ((number - 1.0) / factor.max(1e-9) - 1.0) / number;
    // Far fewer than n clusters carry all the weight then: no more spread is left to draw.
    let draws: Vec<f64> = match Gamma::new(concentration.max(LEAST_CONCENTRATION), 1.0) {
        Ok(gamma) if n > 1 => (0..n).map(|_| random.sample(gamma)).collect(),
        _ => vec![1.0; n],
    };
    let total: f64 = draws.iter().sum();
    draws.iter().map(|draw| number * draw / total).collect()
}

/// A variance known from `freedom` degrees of freedom, drawn relative to its estimate: freedom / chi squared. Together with a
/// normal draw of a deviation it makes Student's t distribution, in place of a normal one that is too narrow for few
/// clusters.
fn variance_factor(freedom: f64, random: &mut Pcg64) -> f64 {
    match ChiSquared::new(freedom) {
        Ok(chi_squared) => freedom / random.sample(chi_squared).max(f64::MIN_POSITIVE),
        Err(_) => 1.0,
    }
}

/// Of the weights w of directions, their sum 1: the effective number 1 / sum w^2, and by how much the variance of a weighted mean
/// that is estimated from squared deviations, sum w^2 (x - mean)^2, must be raised beyond n / (n - 1), which [`weights`] has. The
/// expectation of that sum is s^2 sum w^2 (1 - 2 w + sum w^2), where the variance is s^2 sum w^2. (1 for equal weights.)
fn evenness(samples: &[EnergySamples]) -> (f64, f64) {
    let mut of_directions: BTreeMap<u32, f64> = BTreeMap::new();
    for run in samples.iter().flat_map(|s| &s.runs) {
        *of_directions.entry(run.direction).or_default() += run.weight;
    }
    let total: f64 = of_directions.values().sum();
    let power = |exponent: i32| of_directions.values().map(|w| (w / total).powi(exponent)).sum::<f64>();
    let (squares, number) = (power(2), of_directions.len() as f64);
    let seen = 1.0 - 2.0 * power(3) / squares + squares;
    (1.0 / squares, if seen > 0.0 { (1.0 - 1.0 / number) / seen } else { 1.0 })
}

const LEAST_CONCENTRATION: f64 = 0.05;
/// Runs with less than this share of the mean weight are left out: they carry nothing, and counts of runs should say so.
const NEGLIGIBLE: f64 = 1e-3;

/// A campaign drawn again: its runs with new weights.
pub(super) struct Resampled {
    /// For the distributions of non-zero stored energies.
    pub energies: Vec<EnergySamples>,
    /// For the probability of defects.
    pub classes: Vec<EnergySamples>,
}

/// A campaign drawn again. Directions get [`weights`], the same for all energies, since one direction keeps its surroundings at
/// every energy. All directions share their starts, so these get weights as well, for all directions together, as far as
/// [`StartVariance`] says: what differs between runs alone is in the draw of directions already. Both variances are themselves
/// drawn from what their degrees of freedom leave open ([`variance_factor`]; for the sum of mean squares this is a generalised
/// confidence interval: Hannig, Iyer and Patterson, J. Am. Stat. Assoc. 101 (2006) 254). With a single direction, single runs
/// get weights instead. Deterministic in (`seed`, `replicate`).
pub(super) fn resample(samples: &[EnergySamples], common: StartVariance, seed: u64, replicate: u64) -> Resampled {
    let mut random = Pcg64::seed_from_u64(seed ^ (replicate + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let distinct = |of: fn(&Run) -> u32| -> Vec<u32> {
        samples.iter().flat_map(|s| s.runs.iter().map(of)).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let (directions, starts) = (distinct(|r| r.direction), distinct(|r| r.start));
    let mut drawn = |clusters: &[u32], share: f64, freedom: f64| -> BTreeMap<u32, f64> {
        let factor = share * variance_factor(freedom, &mut random);
        clusters.iter().copied().zip(weights(clusters.len(), factor, &mut random)).collect()
    };
    let (effective_number, unevenness) = evenness(samples);
    let of_directions = drawn(&directions, unevenness, (effective_number - 1.0).max(1.0));
    let [for_energies, for_classes] =
        [common.of_energies, common.of_classes].map(|share| drawn(&starts, share, common.freedom));
    let of_runs: Vec<Vec<f64>> = samples
        .iter()
        .map(|s| {
            let n = s.runs.len();
            if directions.len() > 1 {
                vec![1.0; n]
            } else {
                weights(n, variance_factor(n as f64 - 1.0, &mut random), &mut random)
            }
        })
        .collect();
    let with = |of_starts: &BTreeMap<u32, f64>| -> Vec<EnergySamples> {
        let again = |(s, of_runs): (&EnergySamples, &Vec<f64>)| {
            let weight = |(run, own): (&Run, &f64)| {
                let clusters = of_directions[&run.direction] * of_starts[&run.start];
                Run { weight: run.weight * own * clusters, ..*run }
            };
            let mut runs: Vec<Run> = s.runs.iter().zip(of_runs).map(weight).collect();
            let total: f64 = runs.iter().map(|r| r.weight).sum();
            let least = NEGLIGIBLE * total / runs.len() as f64;
            runs.retain(|r| r.weight > least);
            let total: f64 = runs.iter().map(|r| r.weight).sum();
            runs.iter_mut().for_each(|r| r.weight /= total);
            EnergySamples { runs, ..*s }
        };
        samples.iter().zip(&of_runs).map(again).filter(|s| !s.runs.is_empty()).collect()
    };
    Resampled { energies: with(&for_energies), classes: with(&for_classes) }
}

/// 16 % and 84 % quantiles over bootstrap replicates of one recoil energy: (probability, mean, standard deviation).
/// Where all runs agree the bootstrap of the probability is blind, and Wilson's interval (J. Am. Stat. Assoc. 22
/// (1927) 209) with the effective number of runs stands in.
pub fn bands(samples: &[EnergySamples], index: usize, replicates: u64, seed: u64) -> [[f64; 2]; 3] {
    let energy = samples[index].recoil_energy_ev;
    let common = StartVariance::of(samples);
    let mut columns: [Vec<f64>; 3] = [Vec::new(), Vec::new(), Vec::new()];
    for replicate in 0..replicates {
        let drawn = resample(samples, common, seed, replicate);
        let of =
            |all: &[EnergySamples]| all.iter().find(|s| s.recoil_energy_ev == energy).map(EnergySamples::statistics);
        columns[0].extend(of(&drawn.classes).map(|s| s.defect_probability));
        if let Some(s) = of(&drawn.energies) {
            columns[1].push(s.mean_nonzero_ev);
            columns[2].push(s.std_nonzero_ev);
        }
    }
    let mut bands = columns.map(|mut column| {
        column.retain(|v| v.is_finite());
        band(&mut column)
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
