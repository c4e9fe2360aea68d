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

impl ResponseMatrix {
    /// Reads a table of energy losses; `name` is what errors call it. A loss that is not a number is left out.
    pub fn from_energy_losses(text: &str, name: &str, settings: &EnergyLossSettings) -> Result<Self, Error> {
        let remedy = "Give a table as docs/response-format.md describes (elosssim)";
        if !(settings.step_ev > 0.0 && settings.zero_threshold_ev > 0.0) {
            let problem = format!(
                "expected a step and a threshold above 0, found {} and {} eV",
                settings.step_ev, settings.zero_threshold_ev
            );
            return Err(Error::input("matrix", problem, "Take steps such as 0.5 eV"));
        }
        if !is_table(text) {
            return Err(Error::input(name, "expected a first line that begins with \"nan nan\", found none", remedy));
        }
        let mut lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#'));
        let numbers = |(number, line): (usize, &str)| -> Result<Vec<f64>, Error> {
            let cell = |word: &str| {
                let problem = || format!("expected numbers, found \"{word}\"");
                word.parse::<f64>().map_err(|_| Error::input(format!("{name}, line {}", number + 1), problem(), remedy))
            };
            line.split_whitespace().map(cell).collect()
        };
        let energies = lines.next().map(numbers).transpose()?.unwrap_or_default().split_off(2);
        let highest = energies.iter().copied().fold(0.0, f64::max);
        let mut directions: Vec<(f64, Vec<f64>)> = Vec::new();
        for line in lines {
            let row = numbers(line)?;
            if row.len() != energies.len() + 2 || !row[..2].iter().all(|a| a.is_finite()) {
                let problem = format!("expected two angles and {} losses, found {} numbers", energies.len(), row.len());
                return Err(Error::input(format!("{name}, line {}", line.0 + 1), problem, remedy));
            }
            // Noise, but no more, may take a loss above the recoil energy or below 0.
            if let Some(other) = row[2..].iter().find(|l| l.is_finite() && l.abs() > 2.0 * highest) {
                let problem =
                    format!("expected losses up to the recoil energies (highest {highest} eV), found {other}");
                let remedy = "Write nan where there is no loss";
                return Err(Error::input(format!("{name}, line {}", line.0 + 1), problem, remedy));
            }
            let ((sine, cosine), (y, x)) = (row[0].sin_cos(), row[1].sin_cos());
            let vector = DVec3::new(sine * x, sine * y, cosine);
            directions.push((settings.tag.map_or(1.0, |t| t.weight(vector, &[])), row[2..].to_vec()));
        }
        if directions.len() < 2 || energies.len() < 2 {
            let problem =
                format!("expected several directions and energies, found {} and {}", directions.len(), energies.len());
            return Err(Error::input(name, problem, remedy));
        }
        let weights = || directions.iter().map(|d| d.0);
        if let Some(tag) = settings.tag {
            tag.refuse_if_far(weights().fold(0.0, f64::max))?;
        }
        let effective = weights().sum::<f64>().powi(2) / weights().map(|w| w * w).sum::<f64>();
        let capped = |d: &(f64, Vec<f64>)| -> f64 {
            let losses = d.1.iter().zip(&energies).filter(|(loss, _)| loss.is_finite());
            losses.map(|(loss, energy)| loss.min(*energy)).fold(0.0, f64::max)
        };
        let largest = directions.iter().map(capped).fold(0.0, f64::max);
        if largest / settings.step_ev > MOST_STEPS {
            let step = settings.step_ev;
            let problem = format!(
                "expected at most {MOST_STEPS} steps up to the largest loss, found {largest} eV in steps of {step} eV"
            );
            return Err(Error::input("matrix", problem, "Take a step such as 0.5 eV"));
        }
        let n_bins = (largest / settings.step_ev).floor() as usize + 1;
        let table = |times: &dyn Fn(usize) -> f64| -> MatrixSet {
            let (mut zero_probability, mut probability) = (Vec::new(), Vec::new());
            for (column, energy) in energies.iter().enumerate() {
                let (mut zero, mut row) = (0.0, vec![0.0; n_bins]);
                for (index, (weight, losses)) in directions.iter().enumerate().filter(|(_, d)| d.1[column].is_finite())
                {
                    let (weight, loss) = (weight * times(index), losses[column].min(*energy));
                    if loss < settings.zero_threshold_ev {
                        zero += weight;
                    } else {
                        row[((loss / settings.step_ev) as usize).min(n_bins - 1)] += weight;
                    }
                }
                let total = zero + row.iter().sum::<f64>();
                // A column without a single number has no probabilities; `checked` then says so.
                zero_probability.push(zero / total);
                probability.push(row.iter().map(|p| p / total).collect());
            }
            MatrixSet { zero_probability, probability }
        };
        let best = table(&|_| 1.0);
        let bootstrap = (0..settings.sets as u64)
            .into_par_iter()
            .map(|set| {
                let mut random = Pcg64::seed_from_u64(settings.seed ^ (set + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let mut times = vec![0.0; directions.len()];
                for _ in 1..directions.len() {
                    times[random.random_range(0..directions.len())] += 1.0;
                }
                table(&|index| times[index])
            })
            .collect();
        let weighted = match settings.tag {
            Some(_) => format!("weighted by their distance from one, {effective:.1} of them effective"),
            None => "each with the same weight".to_owned(),
        };
        let matrix = Self {
            format: FORMAT.to_owned(),
            format_version: VERSION,
            name: name.to_owned(),
            species: settings.species.clone(),
            caption: format!(
                "table of energy losses in {} directions, {weighted}; losses below {} eV are none",
                directions.len(),
                settings.zero_threshold_ev
            ),
            stored_edges_ev: (0..=n_bins).map(|i| i as f64 * settings.step_ev).collect(),
            recoil_energies_ev: energies,
            zero_probability: best.zero_probability,
            probability: best.probability,
            bootstrap,
        };
        matrix.checked(name)
    }
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
        // Two directions are drawn of three: a set may lack every number of a column, which is refused, not hidden.
        assert!(sets(1).unwrap_err().to_string().contains("at 20 eV"));
        assert_eq!(sets(4).unwrap().bootstrap.len(), 3);
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
