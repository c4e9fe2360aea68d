//! Published tables of energy loss by direction and recoil energy (elosssim, Sassi et al., Phys. Rev. D 106 (2022) 063012) as
//! responses: a commented header; `nan nan` and the recoil energies in eV; then, for each direction, polar and
//! azimuthal angle in radians and the energy losses in eV.

use super::directional::Tag;
use super::matrix::{FORMAT, MOST_STEPS, MatrixSet, ResponseMatrix, VERSION};
use crate::Error;
use glam::DVec3;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use rayon::prelude::*;

/// How a table becomes a matrix.
#[derive(Clone, Debug)]
pub struct EnergyLossSettings {
    /// Recoiling species: the file does not name it.
    pub species: String,
    /// Losses below this are none, in eV.
    pub zero_threshold_ev: f64,
    /// Width of the intervals of stored energy in eV.
    pub step_ev: f64,
    /// Count directions near this one; else all the same.
    pub tag: Option<Tag>,
    /// Bootstrap sets: directions drawn with replacement.
    pub sets: usize,
    /// Seed of the bootstrap.
    pub seed: u64,
}

/// Whether a text is such a table.
pub(super) fn is_table(text: &str) -> bool {
    let first = text.lines().find(|l| !l.trim().is_empty() && !l.starts_with('#'));
    let mut words = first.unwrap_or("").split_whitespace();
    let is_nan = |word: Option<&str>| word.is_some_and(|w| w.eq_ignore_ascii_case("nan"));
    is_nan(words.next()) && is_nan(words.next())
}

const REMEDY: &str = "Give a table as docs/response-format.md describes (elosssim)";

impl ResponseMatrix {
    /// Reads a table of energy losses; `name` is what errors call it. A loss that is not a number is left out.
    pub fn from_energy_losses(text: &str, name: &str, settings: &EnergyLossSettings) -> Result<Self, Error> {
        settings.check()?;
        let losses = Losses::parse(text, name)?;
        let weights = losses.weights(settings.tag)?;
        let bins = Bins::new(&losses, settings)?;
        let best = bins.probabilities(&losses, &weights);
        let matrix = Self {
            format: FORMAT.to_owned(),
            format_version: VERSION,
            name: name.to_owned(),
            species: settings.species.clone(),
            caption: caption(&weights, settings),
            stored_edges_ev: (0..=bins.count).map(|i| i as f64 * bins.step_ev).collect(),
            zero_probability: best.zero_probability,
            probability: best.probability,
            bootstrap: bootstrap(&losses, &weights, &bins, settings),
            recoil_energies_ev: losses.energies_ev,
        };
        matrix.checked(name)
    }
}

impl EnergyLossSettings {
    fn check(&self) -> Result<(), Error> {
        if self.step_ev > 0.0 && self.zero_threshold_ev > 0.0 {
            return Ok(());
        }
        let (step, threshold) = (self.step_ev, self.zero_threshold_ev);
        let problem = format!("expected a step and a threshold above 0, found {step} and {threshold} eV");
        Err(Error::input("matrix", problem, "Take steps such as 0.5 eV"))
    }
}

/// What a table says.
struct Losses {
    energies_ev: Vec<f64>,
    directions: Vec<Direction>,
}

/// A unit vector and the loss in eV at each energy, NaN where there is none.
struct Direction {
    vector: DVec3,
    losses_ev: Vec<f64>,
}

impl Losses {
    fn parse(text: &str, name: &str) -> Result<Self, Error> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if !is_table(text) {
            return Err(Error::input(name, "expected a first line that begins with \"nan nan\", found none", REMEDY));
        }
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        let mut lines = lines.map(|(index, line)| (format!("{name}, line {}", index + 1), line));
        let energies_ev = match lines.next() {
            Some((place, line)) => numbers(line, &place)?.split_off(2),
            None => Vec::new(),
        };
        let directions = lines.map(|(place, line)| Direction::new(numbers(line, &place)?, &energies_ev, &place));
        let directions = directions.collect::<Result<Vec<_>, Error>>()?;
        if directions.len() < 2 || energies_ev.len() < 2 {
            let (n_directions, n_energies) = (directions.len(), energies_ev.len());
            let problem = format!("expected several directions and energies, found {n_directions} and {n_energies}");
            return Err(Error::input(name, problem, REMEDY));
        }
        Ok(Self { energies_ev, directions })
    }

    /// How much each direction counts.
    fn weights(&self, tag: Option<Tag>) -> Result<Vec<f64>, Error> {
        let Some(tag) = tag else { return Ok(vec![1.0; self.directions.len()]) };
        let weights: Vec<f64> = self.directions.iter().map(|d| tag.weight(d.vector, &[])).collect();
        tag.refuse_if_far(weights.iter().copied().fold(0.0, f64::max))?;
        Ok(weights)
    }

    /// The largest loss in eV that can be stored.
    fn largest_ev(&self) -> f64 {
        let pairs = self.directions.iter().flat_map(|d| d.losses_ev.iter().zip(&self.energies_ev));
        pairs.filter(|(loss, _)| loss.is_finite()).map(|(loss, energy)| loss.min(*energy)).fold(0.0, f64::max)
    }
}

fn numbers(line: &str, place: &str) -> Result<Vec<f64>, Error> {
    let number = |word: &str| {
        let problem = || Error::input(place, format!("expected numbers, found \"{word}\""), REMEDY);
        word.parse::<f64>().map_err(|_| problem())
    };
    line.split_whitespace().map(number).collect()
}

impl Direction {
    /// From the numbers of a line: polar and azimuthal angle, then losses at `energies_ev`.
    fn new(mut row: Vec<f64>, energies_ev: &[f64], place: &str) -> Result<Self, Error> {
        if row.len() != energies_ev.len() + 2 || !row[..2].iter().all(|angle| angle.is_finite()) {
            let problem = format!("expected two angles and {} losses, found {} numbers", energies_ev.len(), row.len());
            return Err(Error::input(place, problem, REMEDY));
        }
        let losses_ev = row.split_off(2);
        let highest = energies_ev.iter().copied().fold(0.0, f64::max);
        // Noise, but no more, may take a loss above the recoil energy or below 0.
        if let Some(other) = losses_ev.iter().find(|loss| loss.is_finite() && loss.abs() > 2.0 * highest) {
            let problem = format!("expected losses up to the recoil energies (highest {highest} eV), found {other}");
            return Err(Error::input(place, problem, "Write nan where there is no loss"));
        }
        let ((sine, cosine), (y, x)) = (row[0].sin_cos(), row[1].sin_cos());
        Ok(Self { vector: DVec3::new(sine * x, sine * y, cosine), losses_ev })
    }
}

/// Intervals of stored energy.
struct Bins {
    count: usize,
    step_ev: f64,
    /// Losses below this are none.
    threshold_ev: f64,
}

impl Bins {
    /// Up to the largest loss.
    fn new(losses: &Losses, settings: &EnergyLossSettings) -> Result<Self, Error> {
        let (largest, step_ev) = (losses.largest_ev(), settings.step_ev);
        if largest / step_ev > MOST_STEPS {
            let problem = format!(
                "expected at most {MOST_STEPS} steps up to the largest loss, found {largest} eV in steps of {step_ev} eV"
            );
            return Err(Error::input("matrix", problem, "Take a step such as 0.5 eV"));
        }
        let count = (largest / step_ev).floor() as usize + 1;
        Ok(Self { count, step_ev, threshold_ev: settings.zero_threshold_ev })
    }

    fn probabilities(&self, losses: &Losses, weights: &[f64]) -> MatrixSet {
        let (mut zero_probability, mut probability) = (Vec::new(), Vec::new());
        for (column, energy) in losses.energies_ev.iter().enumerate() {
            let (mut zero, mut row) = (0.0, vec![0.0; self.count]);
            for (direction, weight) in losses.directions.iter().zip(weights) {
                let loss = direction.losses_ev[column];
                if !loss.is_finite() {
                    continue;
                }
                let loss = loss.min(*energy);
                if loss < self.threshold_ev {
                    zero += weight;
                } else {
                    row[((loss / self.step_ev) as usize).min(self.count - 1)] += weight;
                }
            }
            let total = zero + row.iter().sum::<f64>();
            // A column without a single number has no probabilities; `checked` then says so.
            zero_probability.push(zero / total);
            probability.push(row.iter().map(|p| p / total).collect());
        }
        MatrixSet { zero_probability, probability }
    }
}

/// With two directions of many at one energy a draw misses both one time in seven.
const MOST_DRAWS: usize = 100;

/// Sets in which directions are drawn with replacement, one fewer than there are.
fn bootstrap(losses: &Losses, weights: &[f64], bins: &Bins, settings: &EnergyLossSettings) -> Vec<MatrixSet> {
    let count = weights.len();
    let set = |number: u64| {
        let mut random = Pcg64::seed_from_u64(settings.seed ^ (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut drawn = || {
            let mut times = vec![0.0; count];
            for _ in 1..count {
                times[random.random_range(0..count)] += 1.0;
            }
            let weights: Vec<f64> = weights.iter().zip(&times).map(|(weight, times)| weight * times).collect();
            bins.probabilities(losses, &weights)
        };
        // Where an energy has losses of a few directions only, a draw may hold none of them: it is repeated.
        let mut set = drawn();
        for _ in 0..MOST_DRAWS {
            if set.zero_probability.iter().all(|p| p.is_finite()) {
                break;
            }
            set = drawn();
        }
        set
    };
    (0..settings.sets as u64).into_par_iter().map(set).collect()
}

fn caption(weights: &[f64], settings: &EnergyLossSettings) -> String {
    let effective = weights.iter().sum::<f64>().powi(2) / weights.iter().map(|w| w * w).sum::<f64>();
    let weighted = match settings.tag {
        Some(_) => format!("weighted by their distance from one, {effective:.1} of them effective"),
        None => "each with the same weight".to_owned(),
    };
    format!(
        "table of energy losses in {} directions, {weighted}; losses below {} eV are none",
        weights.len(),
        settings.zero_threshold_ev
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str =
        "# [2.9, 5.0, 2.8]\nnan nan 1e1 2.0e1 3e1\n0.1 0.0 0 0 6.2\n1.5 1.0 0 3.4 8.0\n3.0 2.0 0 nan 0\n";

    fn settings() -> EnergyLossSettings {
        let species = "W".to_owned();
        EnergyLossSettings { species, zero_threshold_ev: 0.5, step_ev: 1.0, tag: None, sets: 0, seed: 1 }
    }

    #[test]
    fn losses_become_probabilities() {
        let matrix = ResponseMatrix::from_energy_losses(TABLE, "t", &settings()).unwrap();
        assert_eq!(matrix.recoil_energies_ev, [10.0, 20.0, 30.0]);
        let thirds = [1.0, 0.5, 1.0 / 3.0];
        assert!(matrix.zero_probability.iter().zip(thirds).all(|(a, b)| (a - b).abs() < 1e-12));
        assert!((matrix.probability[1][3] - 0.5).abs() < 1e-12 && (matrix.probability[2][6] - 1.0 / 3.0).abs() < 1e-12);
        let tag = Some(Tag::new(DVec3::Z, 10.0).unwrap());
        let tagged = ResponseMatrix::from_energy_losses(TABLE, "t", &EnergyLossSettings { tag, ..settings() }).unwrap();
        assert!(tagged.zero_probability[2] < 1e-6 && tagged.zero_probability[1] > 1.0 - 1e-6);
        let far = Some(Tag::new(-DVec3::Z, 1.0).unwrap());
        let refused = ResponseMatrix::from_energy_losses(TABLE, "t", &EnergyLossSettings { tag: far, ..settings() });
        assert!(refused.unwrap_err().to_string().contains("none within 1 degrees"));
        let sets =
            |seed| ResponseMatrix::from_energy_losses(TABLE, "t", &EnergyLossSettings { sets: 3, seed, ..settings() });
        // Two directions are drawn of three: a draw may lack every number of a column.
        for seed in [1, 4] {
            assert_eq!(sets(seed).unwrap().bootstrap.len(), 3);
        }
        assert_eq!(ResponseMatrix::from_energy_losses(&format!("\u{feff}{TABLE}"), "t", &settings()).unwrap(), matrix);
    }

    /// The recoil energy is all that can be stored; fill values are no losses, and the table stays as small as it should.
    #[test]
    fn losses_end_at_the_recoil_energy() {
        let above = TABLE.replace("3.4", "25");
        let matrix = ResponseMatrix::from_energy_losses(&above, "t", &settings()).unwrap();
        assert_eq!((matrix.stored_edges_ev.len(), matrix.probability[1][20]), (22, 0.5));
        for fill in ["1e30", "1e15", "-999"] {
            let error = ResponseMatrix::from_energy_losses(&TABLE.replace("3.4", fill), "t", &settings()).unwrap_err();
            assert!(error.to_string().contains("line 4") && error.to_string().contains("nan"), "{error}");
        }
        let fine = EnergyLossSettings { step_ev: 1e-9, ..settings() };
        assert!(ResponseMatrix::from_energy_losses(TABLE, "t", &fine).unwrap_err().to_string().contains("steps"));
    }

    #[test]
    fn other_files_are_refused() {
        for (bad, expected) in [
            ("1 2 3\n", "nan nan"),
            ("nan nan 1 2\n0 0 1\n", "line 2"),
            ("nan nan 1 2\n0 0 1 x\n", "\"x\""),
            ("nan nan 1 2\n0 0 1 1\n", "several directions"),
        ] {
            let error = ResponseMatrix::from_energy_losses(bad, "file.dat", &settings()).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("file.dat"), "{error}");
        }
        let error = ResponseMatrix::parse(TABLE, "file.dat").unwrap_err().to_string();
        assert!(error.contains("--energy-losses"), "{error}");
    }
}
