//! Stored energies of a campaign: read from `recoils.csv`, weighted by solid angle, resampled by direction.

use super::fermi::Trials;
use super::shape::ShapeModel;
use super::{evolution, fermi, shape};
use crate::Error;
use crate::math::quantile;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::collections::{BTreeMap, BTreeSet};

/// One cascade.
#[derive(Clone, Debug, PartialEq)]
pub struct Recoil {
    /// Species of the recoiling atom.
    pub species: String,
    /// Recoil energy in eV.
    pub recoil_energy_ev: f64,
    /// Index of the direction.
    pub direction: u32,
    /// Solid angle that the direction stands for, in sr.
    pub weight_sr: f64,
    /// Energy stored in defects, in eV.
    pub stored_energy_ev: f64,
    /// Words that say why the run is doubtful; empty when it is not.
    pub flags: String,
    /// Hash of the potential.
    pub model_hash: String,
}

/// Reads `recoils.csv` by column name; other columns and lines that start with `#` are skipped. `name` is what errors
/// call the file.
pub fn parse_recoils(text: &str, name: &str) -> Result<Vec<Recoil>, Error> {
    let mut lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#'));
    let remedy = "Give the recoils.csv that `knockon campaign` wrote";
    let (_, header) =
        lines.next().ok_or_else(|| Error::input(name, "expected a header line, found an empty file", remedy))?;
    let header: Vec<&str> = header.split(',').map(str::trim).collect();
    let column = |wanted: &str| {
        let problem =
            || Error::input(format!("{name}, header"), format!("expected a column \"{wanted}\", found none"), remedy);
        header.iter().position(|h| *h == wanted).ok_or_else(problem)
    };
    let wanted = ["species", "recoil_energy_ev", "direction", "weight_sr", "stored_energy_ev", "flags", "model_hash"];
    let mut columns = [0; 7];
    for (index, name) in columns.iter_mut().zip(wanted) {
        *index = column(name)?;
    }
    let [species, energy, direction, weight, stored, flags, model] = columns;
    let mut recoils = Vec::new();
    for (number, line) in lines {
        let place = || format!("{name}, line {}", number + 1);
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        if fields.len() != header.len() {
            let problem = format!("expected {} fields, found {}", header.len(), fields.len());
            return Err(Error::input(
                place(),
                problem,
                "The file may be truncated: run the campaign again, it continues",
            ));
        }
        let number_in = |index: usize| -> Result<f64, Error> {
            let parsed = fields[index].parse::<f64>().ok().filter(|v| v.is_finite());
            let problem = || format!("expected a number in column \"{}\", found \"{}\"", header[index], fields[index]);
            parsed.ok_or_else(|| Error::input(place(), problem(), remedy))
        };
        let recoil = Recoil {
            species: fields[species].to_owned(),
            recoil_energy_ev: number_in(energy)?,
            direction: number_in(direction)? as u32,
            weight_sr: number_in(weight)?,
            // A run that failed has no stored energy; its flag says so.
            stored_energy_ev: if fields[flags].is_empty() {
                number_in(stored)?
            } else {
                number_in(stored).unwrap_or(f64::NAN)
            },
            flags: fields[flags].to_owned(),
            model_hash: fields[model].to_owned(),
        };
        if recoil.recoil_energy_ev <= 0.0 || recoil.weight_sr <= 0.0 {
            let problem = format!(
                "expected an energy and a weight above 0, found {} and {}",
                recoil.recoil_energy_ev, recoil.weight_sr
            );
            return Err(Error::input(place(), problem, remedy));
        }
        recoils.push(recoil);
    }
    Ok(recoils)
}

/// The runs of one recoil energy with weights that sum to 1.
#[derive(Clone, Debug)]
pub struct EnergySamples {
    /// Recoil energy in eV.
    pub recoil_energy_ev: f64,
    /// Flagged runs that were left out.
    pub n_flagged: usize,
    /// Direction, weight, stored energy in eV (0 when below the threshold).
    pub runs: Vec<(u32, f64, f64)>,
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
            runs: good.iter().map(|r| (r.direction, weight(r) / total, stored(r))).collect(),
        });
    }
    all
}

impl EnergySamples {
    /// Weighted statistics.
    pub fn statistics(&self) -> Statistics {
        let (values, weights) = self.nonzero();
        let all: f64 = self.runs.iter().map(|r| r.1).sum();
        let squares: f64 = self.runs.iter().map(|r| r.1 * r.1).sum();
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
        self.runs.iter().filter(|r| r.2 > 0.0).map(|r| (r.2, r.1)).unzip()
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

/// A campaign drawn again: directions with replacement, the same draw for all energies, since one direction keeps its
/// surroundings at every energy. With a single direction, single runs are drawn instead. Deterministic in
/// (`seed`, `replicate`).
pub(super) fn resample(samples: &[EnergySamples], seed: u64, replicate: u64) -> Vec<EnergySamples> {
    let mut random = Pcg64::seed_from_u64(seed ^ (replicate + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let directions: Vec<u32> =
        samples.iter().flat_map(|s| s.runs.iter().map(|r| r.0)).collect::<BTreeSet<_>>().into_iter().collect();
    let mut times: BTreeMap<u32, f64> = BTreeMap::new();
    for _ in 0..directions.len() {
        *times.entry(directions[random.random_range(0..directions.len())]).or_default() += 1.0;
    }
    let mut again = |s: &EnergySamples| -> EnergySamples {
        let mut runs: Vec<(u32, f64, f64)> = if directions.len() > 1 {
            s.runs.iter().filter_map(|r| times.get(&r.0).map(|n| (r.0, r.1 * n, r.2))).collect()
        } else {
            s.runs.iter().map(|_| s.runs[random.random_range(0..s.runs.len())]).collect()
        };
        let total: f64 = runs.iter().map(|r| r.1).sum();
        runs.iter_mut().for_each(|r| r.1 /= total);
        EnergySamples { runs, ..*s }
    };
    samples.iter().map(&mut again).filter(|s| !s.runs.is_empty()).collect()
}

/// 16 % and 84 % quantiles over bootstrap replicates of one recoil energy: (probability, mean, standard deviation).
/// Where all runs agree the bootstrap of the probability is blind, and Wilson's interval (J. Am. Stat. Assoc. 22
/// (1927) 209) with the effective number of runs stands in.
pub fn bands(samples: &[EnergySamples], index: usize, replicates: u64, seed: u64) -> [[f64; 2]; 3] {
    let energy = samples[index].recoil_energy_ev;
    let mut columns: [Vec<f64>; 3] = [Vec::new(), Vec::new(), Vec::new()];
    for replicate in 0..replicates {
        let drawn = resample(samples, seed, replicate);
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
