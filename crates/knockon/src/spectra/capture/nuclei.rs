//! The tungsten isotopes that capture, what they become, and what is measured of it.

use super::Evaluation;
use super::strength::GiantDipole;
use crate::Error;
use crate::units::ATOMIC_MASS_EV;
use serde::Serialize;

/// Primary gamma rays: energies from ENSDF/EGAF, intensities of EGAF-LANL (Reedy & Frankle, as collected in the PGAA
/// database of the IAEA) and of EGAF (Firestone et al., IAEA STI/PUB/1263, 2007).
const LINES: &str = include_str!("../../../../../data/nuclear/tungsten_capture_lines.csv");
const LINES_NAME: &str = "data/nuclear/tungsten_capture_lines.csv";
/// Levels of the nuclei after capture: ENSDF by way of RIPL-4.
const LEVELS: &str = include_str!("../../../../../data/nuclear/tungsten_levels.csv");
const LEVELS_NAME: &str = "data/nuclear/tungsten_levels.csv";
const REMEDY: &str = "Restore the file as it was shipped";

/// An isotope that captures, and the nucleus that it becomes.
pub(super) struct Target {
    pub(super) name: &'static str,
    abundance: f64,
    /// Thermal capture cross-section in barn (Thulliez et al., JINST 16 (2021) P07032).
    cross_section_barn: f64,
    /// The recoiling nucleus, one neutron heavier.
    pub(super) nucleus: &'static str,
    pub(super) mass_number: u32,
    /// Its atomic mass in u (AME2020).
    recoiling_mass_u: f64,
    /// Its neutron separation energy in keV (AME2020).
    pub(super) separation_kev: f64,
    /// Twice the spin, and the parity, of the state that s-wave capture makes. On 183W spins 0 and 1 are possible: 1.
    pub(super) capture_state: (u32, i32),
    /// Spins of the s-wave resonances.
    pub(super) resonance_spins: &'static [f64],
    /// Mean spacing of the s-wave resonances in eV (RIPL-3).
    pub(super) resonance_spacing_ev: f64,
    /// Mean radiative width of the resonances and its error, in meV (RIPL-3).
    pub(super) measured_width_mev: (f64, f64),
    /// Energy up to which all levels are known, in MeV (RIPL-4).
    pub(super) complete_mev: f64,
    /// Giant dipole resonances for the SMLO model (RIPL-4; 184W measured, the others by systematics).
    pub(super) giant_dipoles: [GiantDipole; 2],
}

/// 180W (0.12 %, 0.2 % of the captures) has no tabulated primaries and is left out.
#[rustfmt::skip]
pub(super) static TARGETS: [Target; 4] = [
    Target { name: "182W", abundance: 0.2650, cross_section_barn: 20.32, nucleus: "183W", mass_number: 183, recoiling_mass_u: 182.950_224, separation_kev: 6190.8,
        capture_state: (1, 1), resonance_spins: &[0.5], resonance_spacing_ev: 60.0, measured_width_mev: (55.0, 5.0), complete_mev: 1.000,
        giant_dipoles: [(12.250, 4.005, 0.400), (14.881, 4.771, 0.800)] },
    Target { name: "183W", abundance: 0.1431, cross_section_barn: 9.87, nucleus: "184W", mass_number: 184, recoiling_mass_u: 183.950_933, separation_kev: 7411.6,
        capture_state: (2, -1), resonance_spins: &[0.0, 1.0], resonance_spacing_ev: 12.0, measured_width_mev: (77.0, 10.0), complete_mev: 1.637,
        giant_dipoles: [(12.270, 5.170, 1.144), (15.100, 3.150, 0.347)] },
    Target { name: "184W", abundance: 0.3064, cross_section_barn: 1.63, nucleus: "185W", mass_number: 185, recoiling_mass_u: 184.953_421, separation_kev: 5753.7,
        capture_state: (1, 1), resonance_spins: &[0.5], resonance_spacing_ev: 75.0, measured_width_mev: (57.0, 7.0), complete_mev: 1.181,
        giant_dipoles: [(12.276, 4.012, 0.400), (14.777, 4.741, 0.800)] },
    Target { name: "186W", abundance: 0.2843, cross_section_barn: 37.89, nucleus: "187W", mass_number: 187, recoiling_mass_u: 186.957_159, separation_kev: 5466.6,
        capture_state: (1, 1), resonance_spins: &[0.5], resonance_spacing_ev: 99.0, measured_width_mev: (51.0, 7.0), complete_mev: 1.138,
        giant_dipoles: [(12.359, 4.037, 0.400), (14.645, 4.703, 0.800)] },
];

impl Target {
    pub(super) fn share_of_captures(&self) -> f64 {
        let total: f64 = TARGETS.iter().map(|t| t.abundance * t.cross_section_barn).sum();
        self.abundance * self.cross_section_barn / total
    }

    pub(super) fn recoiling_mass_ev(&self) -> f64 {
        self.recoiling_mass_u * ATOMIC_MASS_EV
    }

    fn recoil_energy_ev(&self, gamma_kev: f64) -> f64 {
        (gamma_kev * 1e3).powi(2) / (2.0 * self.recoiling_mass_ev())
    }
}

/// A tabulated primary gamma ray.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Primary {
    /// Target isotope, e.g. `182W`.
    pub target: String,
    /// Gamma energy in keV.
    pub gamma_kev: f64,
    /// Recoil energy from this gamma ray alone, in eV.
    pub recoil_energy_ev: f64,
    /// Gamma rays per capture in natural tungsten.
    pub per_capture: f64,
    /// Level that it leads to, in keV, where the table has it.
    pub final_level_kev: Option<f64>,
}

/// The tabulated primaries, in the order of the file.
pub fn primaries(evaluation: Evaluation) -> Result<Vec<Primary>, Error> {
    let mut found = Vec::new();
    for (place, fields) in rows(LINES, LINES_NAME, "target") {
        let target = TARGETS.iter().find(|t| t.name == fields[0]);
        let target = target.ok_or_else(|| Error::input(&place, "expected an isotope of tungsten", REMEDY))?;
        let intensity = number(&fields, if evaluation == Evaluation::EgafLanl { 2 } else { 3 }, &place)?;
        let gamma_kev = number(&fields, 1, &place)?.unwrap_or_default();
        // An empty intensity: the evaluation does not have this line.
        if let Some(intensity) = intensity.filter(|i| *i > 0.0) {
            found.push(Primary {
                target: fields[0].to_owned(),
                gamma_kev,
                recoil_energy_ev: target.recoil_energy_ev(gamma_kev),
                per_capture: intensity * target.share_of_captures(),
                final_level_kev: number(&fields, 4, &place)?,
            });
        }
    }
    Ok(found)
}

/// A known level.
#[derive(Clone, Debug)]
pub(super) struct Level {
    pub(super) energy_mev: f64,
    /// Twice the spin.
    pub(super) doubled_spin: u32,
    pub(super) parity: i32,
    /// Mean life in s where the half-life is known.
    pub(super) mean_life_s: Option<f64>,
    /// Measured decays; empty for the ground state and where nothing is known.
    pub(super) decays: Vec<Decay>,
}

/// One measured decay of a level.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decay {
    /// Number of the final level.
    pub(super) to: usize,
    /// Share of the decays, electrons included.
    pub(super) share: f64,
    /// Share of conversion electrons in this decay.
    pub(super) converted: f64,
}

/// The known levels of a nucleus in ascending order, the ground state first.
pub(super) fn levels(nucleus: &str) -> Result<Vec<Level>, Error> {
    let mut found: Vec<Level> = Vec::new();
    for (place, fields) in rows(LEVELS, LEVELS_NAME, "nucleus").filter(|(_, fields)| fields[0] == nucleus) {
        let bad = |problem: &str| Error::input(&place, problem, REMEDY);
        let needed = |column| number(&fields, column, &place)?.ok_or_else(|| bad("expected a number, found nothing"));
        let decay = |text: &str| -> Option<Decay> {
            let (to, rest) = text.split_once(':')?;
            let (share, coefficient) = rest.split_once(':')?;
            let (to, share, coefficient) = (to.parse().ok()?, share.parse().ok()?, coefficient.parse::<f64>().ok()?);
            (to < found.len()).then_some(Decay { to, share, converted: coefficient / (1.0 + coefficient) })
        };
        let decays = fields.get(5).copied().unwrap_or_default().split_whitespace();
        let level = Level {
            energy_mev: needed(1)? * 1e-3,
            doubled_spin: (2.0 * needed(2)?).round() as u32,
            parity: needed(3)? as i32,
            mean_life_s: number(&fields, 4, &place)?.map(|half_life| half_life / std::f64::consts::LN_2),
            decays: decays
                .map(|text| {
                    decay(text).ok_or_else(|| bad(&format!("expected level:share:electrons, found \"{text}\"")))
                })
                .collect::<Result<_, Error>>()?,
        };
        found.push(level);
    }
    Ok(found)
}

/// Rows below the header of a shipped table, with their place.
fn rows(
    text: &'static str,
    name: &'static str,
    header: &'static str,
) -> impl Iterator<Item = (String, Vec<&'static str>)> {
    let lines = text.lines().enumerate().filter(move |(_, l)| !l.starts_with('#') && !l.starts_with(header));
    lines.map(move |(index, line)| (format!("{name}, line {}", index + 1), line.split(',').collect()))
}

/// The number in a column; none where it is empty.
fn number(fields: &[&str], column: usize, place: &str) -> Result<Option<f64>, Error> {
    let text = fields.get(column).copied().unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    let problem = || format!("expected a number, found \"{text}\"");
    text.parse().map(Some).map_err(|_| Error::input(place, problem(), REMEDY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_where_they_must_be() {
        let lines = primaries(Evaluation::EgafLanl).unwrap();
        let at = |target: &str, gamma: f64| {
            lines.iter().find(|l| l.target == target && (l.gamma_kev - gamma).abs() < 0.5).unwrap()
        };
        for (target, gamma, energy) in [
            ("182W", 6190.66, 112.44),
            ("183W", 7411.2, 160.27),
            ("186W", 5467.02, 85.82),
            ("184W", 5754.1, 96.11),
            ("186W", 5321.29, 81.30),
            ("186W", 5262.27, 79.50),
            ("182W", 5164.5, 78.26),
            ("182W", 6144.23, 110.76),
            ("186W", 4685.08, 63.02),
            ("186W", 4627.18, 61.47),
            ("183W", 6408.5, 119.84),
            ("183W", 7300.0, 155.5),
        ] {
            let found = at(target, gamma).recoil_energy_ev;
            assert!((found - energy).abs() < 0.02, "{target} {gamma} keV: {found}");
        }
        for (target, gamma, expected) in [
            ("186W", 5262.27, 0.0442),
            ("182W", 6190.66, 0.0415),
            ("186W", 5321.29, 0.0314),
            ("182W", 5164.5, 0.0156),
            ("182W", 6144.23, 0.0151),
            ("183W", 7411.2, 0.004_56),
            ("186W", 5467.02, 0.001_57),
            ("184W", 5754.1, 0.000_41),
        ] {
            let found = at(target, gamma).per_capture;
            assert!((found / expected - 1.0).abs() < 0.012, "{target} {gamma} keV: {found}");
        }
        assert!(lines.iter().all(|l| l.recoil_energy_ev < 160.4));
    }

    #[test]
    fn evaluations_differ_in_the_line_at_112_ev() {
        let height =
            |evaluation| primaries(evaluation).unwrap().iter().find(|l| l.gamma_kev == 6190.66).unwrap().per_capture;
        assert!((height(Evaluation::EgafLanl) / height(Evaluation::Egaf) - 1.70).abs() < 0.01);
    }

    #[test]
    fn capture_weights_have_their_check_values() {
        for (target, weight) in TARGETS.iter().zip([0.298, 0.078, 0.028, 0.596]) {
            assert!((target.share_of_captures() - weight).abs() < 0.001, "{}", target.name);
        }
        let natural: f64 = TARGETS.iter().map(|t| t.abundance * t.cross_section_barn).sum();
        assert!((natural - 18.07).abs() < 0.01);
    }

    #[test]
    fn level_schemes_are_whole() {
        for (target, count) in TARGETS.iter().zip([43, 34, 55, 66]) {
            let levels = levels(target.nucleus).unwrap();
            assert_eq!(levels.len(), count, "{}", target.nucleus);
            assert!(levels.windows(2).all(|pair| pair[0].energy_mev < pair[1].energy_mev));
            assert!((levels[count - 1].energy_mev - target.complete_mev).abs() < 1.5e-3, "{}", target.nucleus);
            for level in levels.iter().filter(|l| !l.decays.is_empty()) {
                let shares: f64 = level.decays.iter().map(|d| d.share).sum();
                assert!((shares - 1.0).abs() < 2e-3, "{} {}: {shares}", target.nucleus, level.energy_mev);
                assert!(level.parity.abs() == 1 && level.doubled_spin % 2 == target.mass_number % 2);
            }
        }
        // 183W, 46.5 keV: 3/2-, half-life 185 ps, 8.4 electrons per gamma ray.
        let first = &levels("183W").unwrap()[1];
        assert_eq!((first.doubled_spin, first.parity, first.decays[0].to), (3, -1, 0));
        assert!((first.mean_life_s.unwrap() * std::f64::consts::LN_2 - 1.85e-10).abs() < 1e-15);
        assert!((first.decays[0].converted - 8.4 / 9.4).abs() < 1e-12);
    }
}
