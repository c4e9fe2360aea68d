//! Gamma cascades from the capturing state to the ground state.
//!
//! Between known levels decays are the measured ones. Above, where levels are too many to know, mean widths rule: strength
//! functions times level density (no Porter-Thomas fluctuations), in bins of excitation energy, spin and parity. Tabulated
//! primary gamma rays open a cascade with their intensity; the missing intensity opens with statistical ones that lead above the
//! known levels.

use super::density::LevelDensity;
use super::nuclei::{Level, Primary, Target, levels};
use super::strength::Strength;
use crate::Error;
use rand::RngExt;
use rand_pcg::Pcg64;

/// Width of the bins of excitation energy, in MeV.
const BIN_MEV: f64 = 0.05;
/// Spins followed: 0 to 8, or 1/2 to 17/2. Capture makes 1/2 or 1; a cascade of four adds at most 4.
const SPINS: usize = 9;
/// A tabulated primary belongs to a known level this close to where it ends, in MeV.
const MATCH_MEV: f64 = 3e-3;
const HBAR_MEV_S: f64 = 6.582_119_569e-22;
/// Levels without a measured half-life decay as if by M1 radiation of 0.03 Weisskopf units (one is 0.021 eV at 1 MeV): 1 ps at
/// 1 MeV, as in the neighbours that were measured.
const USUAL_M1_WIDTH_MEV: f64 = 0.03 * 2.1e-8;
/// What follows later than this is seen as another event, in s: decays of isomers.
const EVENT_S: f64 = 1e-3;

/// One gamma ray or conversion electron.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Emission {
    /// Energy of the transition in eV.
    pub(super) energy_ev: f64,
    /// An electron instead of a gamma ray.
    pub(super) electron: bool,
    /// Time since the emission before, in s.
    pub(super) delay_s: f64,
}

/// Where the nucleus is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// At a known level.
    Known(usize),
    /// Among the unknown levels: number of the (bin, spin, parity), energy in MeV.
    Unknown(usize, f64),
}

/// How a cascade begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Opening {
    /// A tabulated gamma ray to the ground state: nothing follows.
    ToGround { gamma_mev: f64 },
    /// A tabulated gamma ray to this known level.
    ToLevel { gamma_mev: f64, level: usize },
    /// A tabulated gamma ray to some level of this bin.
    ToBin { gamma_mev: f64, bin: usize },
    /// A statistical gamma ray.
    Statistical,
}

/// Widths to everything below, running sums of Gamma rho in MeV per (1/MeV).
struct Ways {
    sums: Vec<f64>,
    to: Vec<Destination>,
}

#[derive(Clone, Copy)]
enum Destination {
    Known(u32),
    Unknown(u32),
}

impl Ways {
    fn new(widths: impl Iterator<Item = (Destination, f64)>) -> Self {
        let (mut sums, mut to, mut total) = (Vec::new(), Vec::new(), 0.0);
        for (destination, width) in widths.filter(|(_, width)| *width > 0.0) {
            total += width;
            sums.push(total);
            to.push(destination);
        }
        Self { sums, to }
    }

    fn total(&self) -> f64 {
        self.sums.last().copied().unwrap_or(0.0)
    }

    fn draw(&self, random: &mut Pcg64) -> Option<Destination> {
        let wanted = random.random::<f64>() * self.total();
        let index = self.sums.partition_point(|sum| *sum <= wanted).min(self.to.len().checked_sub(1)?);
        Some(self.to[index])
    }
}

/// A nucleus after capture, ready to decay.
pub(super) struct Nucleus {
    levels: Vec<Level>,
    density: LevelDensity,
    separation_mev: f64,
    first_bin_mev: f64,
    bin_mev: f64,
    odd: bool,
    /// Ways down from every (bin, spin, parity).
    ways: Vec<Ways>,
    /// Ways of known levels whose decays were not measured; empty for others.
    unmeasured: Vec<Ways>,
    /// Ways from the capturing state above the known levels.
    primary: Ways,
    /// Total radiative width of the capturing state, known levels included, in MeV.
    pub(super) radiative_width_mev: f64,
}

impl Nucleus {
    pub(super) fn new(target: &Target) -> Result<Self, Error> {
        let levels = levels(target.nucleus)?;
        let separation_mev = target.separation_kev * 1e-3;
        let density = LevelDensity::new(
            target.mass_number,
            (levels.len(), target.complete_mev),
            (separation_mev, target.resonance_spacing_ev, target.resonance_spins),
        );
        let strength = Strength::new(target.mass_number, target.giant_dipoles);
        let bins = ((separation_mev - target.complete_mev) / BIN_MEV).ceil();
        let mut nucleus = Self {
            levels,
            density,
            separation_mev,
            first_bin_mev: target.complete_mev,
            bin_mev: (separation_mev - target.complete_mev) / bins,
            odd: target.mass_number % 2 == 1,
            ways: Vec::new(),
            unmeasured: Vec::new(),
            primary: Ways::new(std::iter::empty()),
            radiative_width_mev: 0.0,
        };
        let bins = bins as usize;
        nucleus.ways = (0..bins * SPINS * 2)
            .map(|state| {
                let (bin, doubled_spin, parity) = nucleus.describe(state);
                let energy = nucleus.middle_mev(bin);
                let known = nucleus.widths_to_known(&strength, energy, (doubled_spin, parity));
                let unknown = nucleus.widths_to_unknown(&strength, energy, (doubled_spin, parity), bin);
                Ways::new(known.chain(unknown))
            })
            .collect();
        nucleus.unmeasured = (nucleus.levels.iter().enumerate())
            .map(|(number, level)| {
                let needed = number > 0 && level.decays.is_empty();
                let from = (level.doubled_spin, level.parity);
                Ways::new(nucleus.widths_to_known(&strength, level.energy_mev, from).filter(|_| needed))
            })
            .collect();
        let from = target.capture_state;
        nucleus.primary = Ways::new(nucleus.widths_to_unknown(&strength, separation_mev, from, bins));
        let known: f64 = nucleus.widths_to_known(&strength, separation_mev, from).map(|(_, width)| width).sum();
        let levels_per_mev = density.per_mev(separation_mev, 0.5 * f64::from(from.0));
        nucleus.radiative_width_mev = (known + nucleus.primary.total()) / levels_per_mev;
        Ok(nucleus)
    }

    fn middle_mev(&self, bin: usize) -> f64 {
        self.first_bin_mev + (bin as f64 + 0.5) * self.bin_mev
    }

    /// Bin, twice the spin, parity.
    fn describe(&self, state: usize) -> (usize, u32, i32) {
        let spin = 2 * (state / 2 % SPINS) as u32 + u32::from(self.odd);
        (state / 2 / SPINS, spin, if state.is_multiple_of(2) { 1 } else { -1 })
    }

    fn widths_to_known<'a>(
        &'a self,
        strength: &'a Strength,
        energy_mev: f64,
        (doubled_spin, parity): (u32, i32),
    ) -> impl Iterator<Item = (Destination, f64)> + 'a {
        let below = self.levels.iter().enumerate().take_while(move |(_, level)| level.energy_mev < energy_mev);
        below.map(move |(number, level)| {
            let spins = (doubled_spin, level.doubled_spin);
            let gamma = energy_mev - level.energy_mev;
            let width = strength.reduced_width(gamma, level.energy_mev, spins, parity != level.parity);
            (Destination::Known(number as u32), width)
        })
    }

    /// Widths to all (bin, spin, parity) below `end`, a number of bins.
    fn widths_to_unknown<'a>(
        &'a self,
        strength: &'a Strength,
        energy_mev: f64,
        (doubled_spin, parity): (u32, i32),
        end: usize,
    ) -> impl Iterator<Item = (Destination, f64)> + 'a {
        // Quadrupole radiation changes the spin by two at most.
        let lowest = (doubled_spin / 2).saturating_sub(2) as usize;
        let highest = (doubled_spin as usize / 2 + 2).min(SPINS - 1);
        let states = (0..end).flat_map(move |bin| (2 * lowest..2 * highest + 2).map(move |s| bin * SPINS * 2 + s));
        states.map(move |state| {
            let (bin, to_spin, to_parity) = self.describe(state);
            let final_mev = self.middle_mev(bin);
            let levels = self.density.per_mev(final_mev, 0.5 * f64::from(to_spin)) * self.bin_mev;
            let gamma = energy_mev - final_mev;
            let width = strength.reduced_width(gamma, final_mev, (doubled_spin, to_spin), parity != to_parity);
            (Destination::Unknown(state as u32), levels * width)
        })
    }

    /// What a tabulated primary gamma ray opens.
    pub(super) fn opening(&self, primary: &Primary) -> Opening {
        let gamma_mev = primary.gamma_kev * 1e-3;
        let end = primary.final_level_kev.map_or(self.separation_mev - gamma_mev, |kev| kev * 1e-3);
        let distance = |level: usize| (self.levels[level].energy_mev - end).abs();
        let nearest = (0..self.levels.len()).min_by(|a, b| distance(*a).total_cmp(&distance(*b))).unwrap_or(0);
        if end < self.first_bin_mev || distance(nearest) < MATCH_MEV {
            return match nearest {
                0 => Opening::ToGround { gamma_mev },
                level => Opening::ToLevel { gamma_mev, level },
            };
        }
        let bins = self.ways.len() / (2 * SPINS);
        Opening::ToBin { gamma_mev, bin: (((end - self.first_bin_mev) / self.bin_mev) as usize).min(bins - 1) }
    }

    /// Draws a whole cascade into `emissions`.
    pub(super) fn cascade(&self, opening: Opening, random: &mut Pcg64, emissions: &mut Vec<Emission>) {
        emissions.clear();
        let (gamma_mev, mut state) = match opening {
            Opening::ToGround { gamma_mev } => (gamma_mev, State::Known(0)),
            Opening::ToLevel { gamma_mev, level } => (gamma_mev, State::Known(level)),
            Opening::ToBin { gamma_mev, bin } => (gamma_mev, self.level_in(bin, gamma_mev, random)),
            Opening::Statistical => {
                let state = self.arrive(self.primary.draw(random), self.separation_mev, random);
                (self.separation_mev - self.energy_mev(state), state)
            }
        };
        emissions.push(Emission { energy_ev: gamma_mev * 1e6, electron: false, delay_s: 0.0 });
        while state != State::Known(0) {
            let (next, converted, mean_life_s) = self.decay(state, random);
            let delay_s = -mean_life_s * (1.0 - random.random::<f64>()).ln();
            if delay_s > EVENT_S {
                return;
            }
            let electron = random.random::<f64>() < converted;
            let energy_ev = (self.energy_mev(state) - self.energy_mev(next)) * 1e6;
            emissions.push(Emission { energy_ev, electron, delay_s });
            state = next;
        }
    }

    fn energy_mev(&self, state: State) -> f64 {
        match state {
            State::Known(level) => self.levels[level].energy_mev,
            State::Unknown(_, energy_mev) => energy_mev,
        }
    }

    /// A level of a bin that the capturing state can reach, where a gamma ray of this energy ends.
    fn level_in(&self, bin: usize, gamma_mev: f64, random: &mut Pcg64) -> State {
        let inside = |to: &&Destination| matches!(to, Destination::Unknown(s) if *s as usize / (2 * SPINS) == bin);
        let first = self.primary.to.iter().position(|to| inside(&to)).unwrap_or(0);
        let count = self.primary.to[first..].iter().take_while(inside).count().max(1);
        let before = if first > 0 { self.primary.sums[first - 1] } else { 0.0 };
        let wanted = before + random.random::<f64>() * (self.primary.sums[first + count - 1] - before);
        let index = self.primary.sums.partition_point(|sum| *sum <= wanted).clamp(first, first + count - 1);
        match self.primary.to[index] {
            Destination::Known(level) => State::Known(level as usize),
            Destination::Unknown(state) => State::Unknown(state as usize, self.separation_mev - gamma_mev),
        }
    }

    /// The state at a destination; somewhere in its bin, below the energy that the nucleus comes from.
    fn arrive(&self, to: Option<Destination>, from_mev: f64, random: &mut Pcg64) -> State {
        match to {
            Some(Destination::Known(level)) => State::Known(level as usize),
            Some(Destination::Unknown(state)) => {
                let off = (random.random::<f64>() - 0.5) * self.bin_mev;
                let energy = self.middle_mev(self.describe(state as usize).0) + off;
                State::Unknown(state as usize, energy.min(from_mev))
            }
            // No radiation of order one or two leads anywhere: to the next level below, however slowly.
            None => State::Known(self.levels.partition_point(|level| level.energy_mev < from_mev).saturating_sub(1)),
        }
    }

    /// The next state, the share of electrons, the mean life in s.
    fn decay(&self, state: State, random: &mut Pcg64) -> (State, f64, f64) {
        let usual = |energy_mev: f64, share: f64| share * HBAR_MEV_S / (USUAL_M1_WIDTH_MEV * energy_mev.powi(3));
        match state {
            State::Unknown(number, energy_mev) => {
                let ways = &self.ways[number];
                let (_, doubled_spin, _) = self.describe(number);
                let levels_per_mev = self.density.per_mev(energy_mev, 0.5 * f64::from(doubled_spin));
                let next = self.arrive(ways.draw(random), energy_mev, random);
                (next, 0.0, HBAR_MEV_S * levels_per_mev / ways.total().max(f64::MIN_POSITIVE))
            }
            State::Known(number) => {
                let level = &self.levels[number];
                let strongest = level.decays.iter().max_by(|a, b| a.share.total_cmp(&b.share));
                let Some(strongest) = strongest else {
                    let next = self.arrive(self.unmeasured[number].draw(random), level.energy_mev, random);
                    return (next, 0.0, usual(level.energy_mev - self.energy_mev(next), 1.0));
                };
                let mut left = random.random::<f64>() * level.decays.iter().map(|d| d.share).sum::<f64>();
                let drawn = level.decays.iter().find(|decay| {
                    left -= decay.share;
                    left < 0.0
                });
                let drawn = drawn.unwrap_or(strongest);
                let hardest = level.energy_mev - self.levels[strongest.to].energy_mev;
                let mean_life_s =
                    level.mean_life_s.unwrap_or_else(|| usual(hardest, strongest.share * (1.0 - strongest.converted)));
                (State::Known(drawn.to), drawn.converted, mean_life_s)
            }
        }
    }
}
