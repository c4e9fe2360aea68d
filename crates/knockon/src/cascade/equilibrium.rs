//! Is a thermalised box in equilibrium? Temperature of each element, steadiness over time, distribution of kinetic energies.

use super::{Start, Thermalization};
use crate::dynamics::Simulation;
use crate::math::gamma_p;
use crate::units::BOLTZMANN_EV_PER_K;
use crate::{Atoms, Species};
use serde::{Deserialize, Serialize};

/// A box at one time of its thermalisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Time in fs.
    pub time_fs: f64,
    /// Potential energy in eV.
    pub potential_energy_ev: f64,
    /// Kinetic temperature in K of each element, in order of atomic number.
    pub temperatures_k: Vec<f64>,
}

/// The kinetic temperature of one element: all have that of the bath in equilibrium.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpeciesTemperature {
    /// The element.
    pub species: Species,
    /// Mean over the readings, in K.
    pub mean_k: f64,
    /// Standard error of the mean in K, from the spread of [`BLOCKS`] blocks of time and the memory of the bath; none with
    /// fewer readings than blocks.
    pub standard_error_k: Option<f64>,
}

/// What a thermalisation gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Equilibrium {
    /// Temperature of the bath in K.
    pub bath_temperature_k: f64,
    /// Time in fs that the bath takes to change the energy: readings closer than that are of one state. Zero in files of earlier
    /// versions, whose standard errors are up to half of the true ones.
    #[serde(default)]
    pub memory_fs: f64,
    /// Equipartition: one entry for each element.
    pub temperatures: Vec<SpeciesTemperature>,
    /// Stationarity: mean temperature of all atoms in the second half of the readings less that in the first, over its
    /// standard error. Within 3 or so in equilibrium; none where the readings are too few for one.
    pub temperature_trend: Option<f64>,
    /// The same of the potential energy.
    pub potential_energy_trend: Option<f64>,
    /// Time in fs at which the earliest start was taken; none in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub youngest_start_fs: Option<f64>,
    /// Largest difference (Kolmogorov and Smirnov) between the distribution of the kinetic energies of the atoms of a start, that
    /// with the largest, and that of Maxwell and Boltzmann at the temperature of the bath.
    pub kinetic_energy_distance: f64,
    /// One box in a hundred that is in equilibrium has a larger one.
    pub allowed_distance: f64,
    /// What all this was computed from.
    pub readings: Vec<Reading>,
}

/// How many atoms of thermalised boxes have which kinetic energy, in units of k T of the bath.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KineticEnergies {
    /// Boxes.
    pub n_frames: usize,
    /// Atoms of each box.
    pub n_atoms: usize,
    /// Width of a bin in k T; the first begins at zero.
    pub bin_width_kt: f64,
    /// Atoms of all boxes in each bin.
    pub counts: Vec<u64>,
    /// Atoms of all boxes beyond the last bin.
    pub beyond: u64,
}

impl KineticEnergies {
    /// Counts the atoms of `starts`; none where there is no start or no motion. `atoms` gives the elements.
    pub fn of(atoms: &Atoms, starts: &[Start], temperature_k: f64) -> Option<Self> {
        const BIN_WIDTH_KT: f64 = 0.25;
        const BINS: usize = 40;
        if starts.is_empty() || temperature_k == 0.0 {
            return None;
        }
        let (mut counts, mut beyond) = (vec![0; BINS], 0);
        for energy_kt in starts.iter().flat_map(|start| reduced_kinetic_energies(atoms, start, temperature_k)) {
            *counts.get_mut((energy_kt / BIN_WIDTH_KT) as usize).unwrap_or(&mut beyond) += 1;
        }
        let (n_frames, n_atoms) = (starts.len(), atoms.len());
        Some(Self { n_frames, n_atoms, bin_width_kt: BIN_WIDTH_KT, counts, beyond })
    }

    /// Edges of the bins in k T, one more than there are bins.
    pub fn edges_kt(&self) -> Vec<f64> {
        (0..=self.counts.len()).map(|edge| edge as f64 * self.bin_width_kt).collect()
    }

    /// The law of Maxwell and Boltzmann: the part of all atoms that each bin should have.
    pub fn expected_shares(&self) -> Vec<f64> {
        let below: Vec<f64> = self.edges_kt().iter().map(|edge| maxwell_boltzmann(*edge)).collect();
        below.windows(2).map(|edges| edges[1] - edges[0]).collect()
    }
}

/// The part of all atoms whose kinetic energy is below so many k T: twice the energy over k T has the chi-square
/// distribution with three degrees of freedom.
fn maxwell_boltzmann(energy_kt: f64) -> f64 {
    gamma_p(1.5, energy_kt)
}

/// Kinetic energy of each atom in k T.
fn reduced_kinetic_energies(atoms: &Atoms, start: &Start, temperature_k: f64) -> Vec<f64> {
    let reduced = |(v, m): (&glam::DVec3, f64)| 0.5 * m * v.length_squared() / (BOLTZMANN_EV_PER_K * temperature_k);
    start.velocities.iter().zip(atoms.masses_u()).map(reduced).collect()
}

/// Means over so many parts of the readings are taken as independent.
const BLOCKS: usize = 10;

/// After so many times that the bath takes to change the energy, 2 % are left of what was off at first.
const MEMORIES: f64 = 4.0;
/// In equilibrium temperatures are within this part of that of the bath, and as steady ...
const ALLOWED_PART: f64 = 0.05;
/// ... and so many standard errors: none of 120 simulated boxes of oscillators is beyond (1800 and 2592 atoms, read for 0.25 to
/// 6 ps).
const ALLOWED_ERRORS: f64 = 2.5;
/// Kinetic energies may be so many times farther from Maxwell and Boltzmann than one box in a hundred is: one in sixteen
/// thousand is.
const ALLOWED_DISTANCES: f64 = 1.4;

impl Reading {
    /// Reads a box.
    pub fn of(simulation: &Simulation<'_>) -> Self {
        let atoms = simulation.atoms();
        let temperature = |element: &Species| {
            let of = (0..atoms.len()).filter(|atom| atoms.species[*atom] == *element);
            let (sum, count) = of
                .fold((0.0, 0.0), |(sum, count), atom| (sum + simulation.kinetic_energy_of_atom_ev(atom), count + 1.0));
            sum / (1.5 * BOLTZMANN_EV_PER_K * count)
        };
        Self {
            time_fs: simulation.time_fs(),
            potential_energy_ev: simulation.potential_energy_ev(),
            temperatures_k: atoms.elements().iter().map(temperature).collect(),
        }
    }
}

impl Equilibrium {
    /// `readings` are at equal intervals; `starts` are the boxes whose age and kinetic energies are looked at.
    pub(super) fn new(atoms: &Atoms, settings: &Thermalization, readings: &[Reading], starts: &[Start]) -> Self {
        let elements = atoms.elements();
        // The friction acts on the kinetic energy, half of a harmonic crystal's, at twice its rate.
        let memory_fs = 1.0 / settings.friction_per_fs;
        let memory = memory_in_readings(readings, memory_fs);
        let series = |index: usize| readings.iter().map(|r| r.temperatures_k[index]).collect::<Vec<f64>>();
        let of = |(index, species): (usize, &Species)| {
            let (mean_k, standard_error_k) = mean_and_error(&series(index), memory);
            SpeciesTemperature { species: *species, mean_k, standard_error_k }
        };
        let potential: Vec<f64> = readings.iter().map(|r| r.potential_energy_ev).collect();
        let distance = |start: &Start| distance_from_maxwell_boltzmann(atoms, start, settings.temperature_k);
        Self {
            bath_temperature_k: settings.temperature_k,
            memory_fs,
            temperatures: elements.iter().enumerate().map(of).collect(),
            temperature_trend: trend(&temperatures_of_all_k(atoms, readings), memory),
            potential_energy_trend: trend(&potential, memory),
            youngest_start_fs: starts.iter().map(|start| start.time_fs).min_by(f64::total_cmp),
            kinetic_energy_distance: starts.iter().map(distance).fold(0.0, f64::max),
            // Quantile 0.99 of Kolmogorov's distribution.
            allowed_distance: 1.628 / (atoms.len() as f64).sqrt(),
            readings: readings.to_vec(),
        }
    }

    /// The same trajectory with the starts of `other` as well: the youngest of all, and the one farthest from Maxwell and Boltzmann.
    pub(super) fn with_starts_of(&self, other: &Self) -> Self {
        let youngest = self.youngest_start_fs.into_iter().chain(other.youngest_start_fs).min_by(f64::total_cmp);
        let distance = self.kinetic_energy_distance.max(other.kinetic_energy_distance);
        Self { youngest_start_fs: youngest, kinetic_energy_distance: distance, ..other.clone() }
    }

    /// What to tell the user where the box, `atoms`, was not in equilibrium: recoils from it are flagged `start`. Nothing is
    /// told from readings too few for a standard error.
    pub fn warning(&self, atoms: &Atoms) -> Option<String> {
        let faults =
            [self.too_short(), self.unequal_temperatures(), self.changes(atoms), self.other_distribution()].concat();
        (!faults.is_empty() && self.bath_temperature_k > 0.0).then(|| {
            let faults = faults.join("; ");
            format!(
                "WARNING: the thermalised box is not in equilibrium, and recoils from it are flagged `start`: {faults}. \
                 Thermalise longer, or take a larger box"
            )
        })
    }

    fn too_short(&self) -> Vec<String> {
        let expected_fs = MEMORIES * self.memory_fs;
        // In files of earlier versions the end of the run: the last reading may lie some steps before it.
        let found_fs = self.youngest_start_fs.or(self.readings.last().map(|r| r.time_fs));
        let fault = |found_fs: f64| {
            format!(
                "expected starts after {expected_fs:.0} fs, {MEMORIES} times one over the bath's friction, found one after {found_fs:.0} fs"
            )
        };
        found_fs.filter(|found_fs| *found_fs < 0.99 * expected_fs).map(fault).into_iter().collect()
    }

    fn unequal_temperatures(&self) -> Vec<String> {
        let is_off = |t: &&SpeciesTemperature| self.is_beyond(t.mean_k - self.bath_temperature_k, t.standard_error_k);
        let fault = |t: &SpeciesTemperature| {
            format!("expected {} K for {}, found {:.1} K", self.bath_temperature_k, t.species, t.mean_k)
        };
        self.temperatures.iter().filter(is_off).map(fault).collect()
    }

    /// The potential energy counts as the temperature at which a harmonic crystal has it.
    fn changes(&self, atoms: &Atoms) -> Vec<String> {
        let ev_per_k = 1.5 * BOLTZMANN_EV_PER_K * atoms.len() as f64;
        let potential: Vec<f64> = self.readings.iter().map(|r| r.potential_energy_ev / ev_per_k).collect();
        let series = [("temperature", temperatures_of_all_k(atoms, &self.readings)), ("potential energy", potential)];
        let memory = memory_in_readings(&self.readings, self.memory_fs);
        let fault = |(name, values): &(&str, Vec<f64>)| {
            let (change_k, error_k) = change(values, memory);
            let text =
                || format!("expected a steady {name}, found one that changed by the equivalent of {change_k:+.1} K");
            self.is_beyond(change_k, error_k).then(text)
        };
        series.iter().filter_map(fault).collect()
    }

    fn other_distribution(&self) -> Vec<String> {
        let (found, allowed) = (self.kinetic_energy_distance, ALLOWED_DISTANCES * self.allowed_distance);
        let fault =
            || format!("expected kinetic energies within {allowed:.3} of Maxwell and Boltzmann, found {found:.3}");
        (found > allowed).then(fault).into_iter().collect()
    }

    /// Whether a difference of temperatures is more than a box in equilibrium has.
    fn is_beyond(&self, difference_k: f64, standard_error_k: Option<f64>) -> bool {
        standard_error_k.is_some_and(|error_k| {
            difference_k.abs() > ALLOWED_PART * self.bath_temperature_k + ALLOWED_ERRORS * error_k
        })
    }
}

/// Kinetic temperature in K of all atoms in each reading.
fn temperatures_of_all_k(atoms: &Atoms, readings: &[Reading]) -> Vec<f64> {
    let share = |element: &Species| atoms.species.iter().filter(|s| *s == element).count() as f64 / atoms.len() as f64;
    let shares: Vec<f64> = atoms.elements().iter().map(share).collect();
    let all = |r: &Reading| r.temperatures_k.iter().zip(&shares).map(|(t, share)| t * share).sum::<f64>();
    readings.iter().map(all).collect()
}

/// The memory of the bath in intervals between readings.
fn memory_in_readings(readings: &[Reading], memory_fs: f64) -> f64 {
    let interval_fs = readings.windows(2).next().map_or(f64::INFINITY, |pair| pair[1].time_fs - pair[0].time_fs);
    memory_fs / interval_fs
}

/// Mean and its standard error from the spread of blocks, which remember each other; no error of fewer values than blocks.
fn mean_and_error(values: &[f64], memory: f64) -> (f64, Option<f64>) {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let all = mean(values);
    if values.len() < BLOCKS {
        return (all, None);
    }
    let edge = |block: usize| block * values.len() / BLOCKS;
    let squares: f64 = (0..BLOCKS).map(|b| (mean(&values[edge(b)..edge(b + 1)]) - all).powi(2)).sum();
    let of_independent_blocks = (squares / (BLOCKS * (BLOCKS - 1)) as f64).sqrt();
    (all, Some(of_independent_blocks * memory_factor(values.len() as f64, memory)))
}

/// How much larger the standard error of a mean is than blocks say that were independent, for a quantity that forgets its past
/// exponentially: the spread of the blocks around their common mean is that of block means less that of the mean.
fn memory_factor(length: f64, memory: f64) -> f64 {
    if memory == 0.0 {
        return 1.0;
    }
    // Variance of a mean over `length` in units of that of single values.
    let variance = |length: f64| {
        let memories = length / memory;
        2.0 / memories * (1.0 + (-memories).exp_m1() / memories)
    };
    let (of_mean, of_blocks) = (variance(length), variance(length / BLOCKS as f64));
    (of_mean * (BLOCKS - 1) as f64 / (of_blocks - of_mean)).sqrt()
}

/// Mean of the second half less that of the first, and its standard error, if there is one.
fn change(values: &[f64], memory: f64) -> (f64, Option<f64>) {
    let (first, second) = values.split_at(values.len() / 2);
    let [(a, of_a), (b, of_b)] = [first, second].map(|half| mean_and_error(half, memory));
    (b - a, of_a.zip(of_b).map(|(of_a, of_b)| of_a.hypot(of_b)))
}

/// The change over its standard error, if there is one.
fn trend(values: &[f64], memory: f64) -> Option<f64> {
    let (change, error) = change(values, memory);
    error.filter(|error| *error > 0.0).map(|error| change / error)
}

fn distance_from_maxwell_boltzmann(atoms: &Atoms, start: &Start, temperature_k: f64) -> f64 {
    if temperature_k == 0.0 {
        return 0.0;
    }
    let mut energies = reduced_kinetic_energies(atoms, start, temperature_k);
    energies.sort_by(f64::total_cmp);
    let n = energies.len() as f64;
    let off = |(rank, energy): (usize, &f64)| {
        let expected = maxwell_boltzmann(*energy);
        (expected - rank as f64 / n).abs().max((expected - (rank + 1) as f64 / n).abs())
    };
    energies.iter().enumerate().map(off).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cascade::{Checkpoint, PerfectBox, thermalize};
    use crate::dynamics::testing::{argon_like, calcium_tungstate, element};
    use crate::dynamics::{QuenchSettings, thermal_velocities};
    use crate::progress::Silent;
    use rand_distr::{Distribution, StandardNormal};
    use rand_pcg::Pcg64;

    fn settings(temperature_k: f64) -> Thermalization {
        Thermalization {
            temperature_k,
            time_fs: 8000.0,
            sampling_time_fs: 6000.0,
            time_step_fs: 4.0,
            friction_per_fs: 0.01,
        }
    }

    #[test]
    fn a_long_thermalisation_is_seen_to_be_in_equilibrium() {
        let (potential, atoms) = argon_like([4; 3]);
        let quench = QuenchSettings::default();
        let perfect = PerfectBox::new(&potential, atoms, element("Ar"), quench, 0.5).expect("a box");
        let done = thermalize(&potential, &perfect, &settings(150.0), 1, 3, &mut Checkpoint::nowhere(&Silent));
        let found = done.expect("a start").equilibrium;
        let argon = found.temperatures[0];
        let error_k = argon.standard_error_k.expect("enough readings");
        assert!((argon.mean_k - 150.0).abs() < 4.0 * error_k.max(0.5), "{argon:?}");
        let is_small = |trend: Option<f64>| trend.expect("enough readings").abs() < 4.0;
        assert!(is_small(found.temperature_trend) && is_small(found.potential_energy_trend));
        assert!(found.kinetic_energy_distance < found.allowed_distance, "{}", found.kinetic_energy_distance);
        assert!((500..=1000).contains(&found.readings.len()), "{}", found.readings.len());
        assert_eq!(found.warning(&perfect.atoms), None);
    }

    #[test]
    fn standard_errors_know_what_the_bath_remembers() {
        // A quantity of unit variance that forgets its past in 20 readings, 400 times: the mean of 200 readings, as of 10
        // memories, has the variance 0.18.
        let mut random = Pcg64::new(5, 1);
        let (memory, n) = (20.0_f64, 200);
        let keep = (-1.0 / memory).exp();
        let mut means_and_errors = Vec::new();
        for _ in 0..400 {
            let mut value: f64 = StandardNormal.sample(&mut random);
            let mut next = || {
                let noise: f64 = StandardNormal.sample(&mut random);
                value = keep * value + (1.0 - keep * keep).sqrt() * noise;
                value
            };
            let values: Vec<f64> = (0..n).map(|_| next()).collect();
            let (mean, error) = mean_and_error(&values, memory);
            means_and_errors.push((mean, error.expect("enough readings")));
        }
        let mean_of = |of: fn(&(f64, f64)) -> f64| means_and_errors.iter().map(of).sum::<f64>() / 400.0;
        let (true_variance, said) = (mean_of(|(mean, _)| mean * mean), mean_of(|(_, error)| error * error));
        assert!((true_variance - 0.18).abs() < 0.04 && (said - 0.18).abs() < 0.03, "{true_variance} {said}");
        // Without memory, blocks are independent.
        assert!((memory_factor(1000.0, 0.01) - 1.0).abs() < 1e-3 && memory_factor(1000.0, 0.0) == 1.0);
    }

    #[test]
    fn other_distributions_and_unsteady_readings_are_seen() {
        let atoms = calcium_tungstate().supercell([6, 6, 3]);
        let start = |temperature_k: f64| Start {
            time_fs: 2000.0,
            positions: atoms.positions.clone(),
            velocities: thermal_velocities(&atoms.masses_u(), temperature_k, &mut Pcg64::new(2, 1)),
        };
        let reading = |step: usize| Reading {
            time_fs: 10.0 * step as f64,
            potential_energy_ev: 0.1 * step as f64 + (step % 3) as f64,
            temperatures_k: vec![133.0 + (step % 5) as f64, 133.0, 100.0],
        };
        let readings: Vec<Reading> = (0..200).map(reading).collect();
        let found = |temperature_k: f64| Equilibrium::new(&atoms, &settings(133.0), &readings, &[start(temperature_k)]);
        let right = found(133.0);
        assert!(right.kinetic_energy_distance < right.allowed_distance, "{right:?}");
        assert!(found(170.0).kinetic_energy_distance > right.allowed_distance);
        // All atoms with the same energy.
        let mut same = start(133.0);
        for (v, m) in same.velocities.iter_mut().zip(atoms.masses_u()) {
            *v = v.normalize() * (3.0 * BOLTZMANN_EV_PER_K * 133.0 / m).sqrt();
        }
        let narrow = Equilibrium::new(&atoms, &settings(133.0), &readings, &[same]);
        assert!((narrow.kinetic_energy_distance - gamma_p(1.5, 1.5)).abs() < 1e-3);
        let [potential, thermal] = [right.potential_energy_trend, right.temperature_trend];
        assert!(potential.expect("a trend") > 4.0 && thermal.expect("a trend").abs() < 1.0, "{right:?}");
        assert!((right.temperatures[2].mean_k - 100.0).abs() < 1e-9);
        // Too few readings tell nothing, and are not taken for steady ones.
        let early = Start { time_fs: 80.0, ..start(133.0) };
        let few = Equilibrium::new(&atoms, &settings(133.0), &readings[..9], &[start(133.0), early]);
        let errors: Vec<Option<f64>> = few.temperatures.iter().map(|t| t.standard_error_k).collect();
        assert_eq!((errors, few.temperature_trend, few.potential_energy_trend), (vec![None; 3], None, None));
        // What is told, and what flags recoils: W too cold, a drift of the potential energy by 30 K, atoms of one speed.
        let short = few.warning(&atoms).expect("a warning");
        assert!(
            short.contains(
                "expected starts after 400 fs, 4 times one over the bath's friction, found one after 80 fs. "
            ),
            "{short}"
        );
        let told = narrow.warning(&atoms).expect("a warning");
        for part in ["133 K for W, found 100.0 K", "steady potential energy", "by the equivalent of +29.", "found 0.60"]
        {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(!told.contains("for O") && !told.contains("steady temperature"), "{told}");
        let still = Equilibrium { bath_temperature_k: 0.0, ..narrow.clone() };
        assert_eq!(still.warning(&atoms), None);
        let text = serde_json::to_string(&few).expect("plain numbers");
        assert_eq!(serde_json::from_str::<Equilibrium>(&text).expect("the same"), few);
    }

    #[test]
    fn kinetic_energies_are_counted_as_maxwell_and_boltzmann_have_them() {
        let atoms = calcium_tungstate().supercell([6, 6, 3]);
        let start = |temperature_k: f64, seed: u128| Start {
            time_fs: 0.0,
            positions: atoms.positions.clone(),
            velocities: thermal_velocities(&atoms.masses_u(), temperature_k, &mut Pcg64::new(seed, 1)),
        };
        let starts: Vec<Start> = (0..4).map(|seed| start(133.0, seed)).collect();
        // Pearson's sum over bins where at least 5 atoms are expected, in units of what it should be on average.
        let pearson = |starts: &[Start]| {
            let found = KineticEnergies::of(&atoms, starts, 133.0).expect("moving atoms");
            let all = (found.n_frames * found.n_atoms) as f64;
            assert_eq!(found.counts.iter().sum::<u64>() + found.beyond, (4 * atoms.len()) as u64);
            let bins = found.counts.iter().zip(found.expected_shares()).map(|(n, share)| (*n as f64, all * share));
            let sums = bins.filter(|(_, expected)| *expected >= 5.0);
            let (sum, n) = sums.fold((0.0, 0.0), |(sum, n), (found, e)| (sum + (found - e).powi(2) / e, n + 1.0));
            sum / n
        };
        assert!((0.4..1.7).contains(&pearson(&starts)), "{}", pearson(&starts));
        let hot: Vec<Start> = (0..4).map(|seed| start(150.0, seed)).collect();
        assert!(pearson(&hot) > 2.0, "{}", pearson(&hot));
        // Closed form: below x k T are erf(sqrt x) - 2 sqrt(x / pi) exp(-x).
        let found = KineticEnergies::of(&atoms, &starts, 133.0).expect("moving atoms");
        let end = found.edges_kt()[40];
        let below = libm::erf(end.sqrt()) - 2.0 * (end / std::f64::consts::PI).sqrt() * (-end).exp();
        assert!((found.expected_shares().iter().sum::<f64>() - below).abs() < 1e-12 && end == 10.0);
        assert!(
            KineticEnergies::of(&atoms, &[], 133.0).is_none() && KineticEnergies::of(&atoms, &starts, 0.0).is_none()
        );
    }
}
