//! Recoils of tungsten after the capture of a thermal neutron.
//!
//! A nucleus that emits one gamma ray of energy E recoils with E^2 / (2 M c^2). The tabulated primary gamma rays are
//! taken as mono-energetic recoils: later gamma rays of the same cascade, emitted after the nucleus has stopped, would
//! add at most a few 0.1 eV to the lines that matter (0.06 eV to the one at 81.3 eV) and are left out.
//!
//! The tables hold 20 to 95 % of the primary intensity of an isotope. The rest, cascades through levels too many to
//! resolve, is represented by one smooth TEMPLATE, x^(1/2) (1 - x)^2 in x = E / E_max up to the single-gamma maximum
//! E_max = S_n^2 / (2 M c^2). It is a placeholder with the right integral and the right ends, not a calculation: x^(1/2)
//! is the phase space of a momentum made of several gamma rays near zero, and (1 - x)^2 lets it vanish smoothly where
//! only a single gamma ray would reach. Its mean, E_max / 3, is below the 0.43 E_max of 3.6 gamma rays (the mean
//! multiplicity) that share the energy at random, because the hardest primaries are listed as lines. The peaks at
//! 112.4 and 160.3 eV do not depend on it; the floor below them does.

use super::fold::{Grid, Line, RecoilSpectrum};
use crate::Error;
use crate::units::ATOMIC_MASS_EV;
use serde::{Deserialize, Serialize};

/// Primary gamma rays: energies from ENSDF/EGAF, intensities of EGAF-LANL (Reedy & Frankle, as collected in the PGAA
/// database of the IAEA) and of EGAF (Firestone et al., IAEA STI/PUB/1263, 2007).
const LINES: &str = include_str!("../../../../data/nuclear/tungsten_capture_lines.csv");
const LINES_NAME: &str = "data/nuclear/tungsten_capture_lines.csv";

/// Which evaluation gives the intensities of the primary gamma rays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evaluation {
    /// The set that reproduces the single-gamma intensities published by CRAB.
    #[default]
    EgafLanl,
    /// The IAEA evaluation of 2007: the line at 112 eV is 1.7 times weaker.
    Egaf,
}

/// Neutron capture on natural tungsten.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Capture {
    /// Source of the intensities.
    pub evaluation: Evaluation,
    /// Add the smooth template for the intensity that no line carries.
    pub template: bool,
    /// Gaussian resolution (standard deviation) applied to the visible energy, eV; 0 for none.
    pub resolution_ev: f64,
}

impl Default for Capture {
    /// The resolution of the paper's figure 4.
    fn default() -> Self {
        Self { evaluation: Evaluation::EgafLanl, template: true, resolution_ev: 5.0 }
    }
}

/// An isotope that captures.
struct Target {
    name: &'static str,
    abundance: f64,
    /// Thermal capture cross-section in barn (Thulliez et al., JINST 16 (2021) P07032).
    cross_section_barn: f64,
    /// Atomic mass of the recoiling nucleus, one neutron heavier, in u (AME2020).
    recoiling_mass_u: f64,
    /// Neutron separation energy of the recoiling nucleus in keV (AME2020).
    separation_kev: f64,
}

/// 180W (0.12 %, 0.2 % of the captures) has no tabulated primaries and is left out.
#[rustfmt::skip]
static TARGETS: [Target; 4] = [
    Target { name: "182W", abundance: 0.2650, cross_section_barn: 20.32, recoiling_mass_u: 182.950_224, separation_kev: 6190.8 },
    Target { name: "183W", abundance: 0.1431, cross_section_barn: 9.87, recoiling_mass_u: 183.950_933, separation_kev: 7411.6 },
    Target { name: "184W", abundance: 0.3064, cross_section_barn: 1.63, recoiling_mass_u: 184.953_421, separation_kev: 5753.7 },
    Target { name: "186W", abundance: 0.2843, cross_section_barn: 37.89, recoiling_mass_u: 186.957_159, separation_kev: 5466.6 },
];

impl Target {
    fn share_of_captures(&self) -> f64 {
        let total: f64 = TARGETS.iter().map(|t| t.abundance * t.cross_section_barn).sum();
        self.abundance * self.cross_section_barn / total
    }

    fn recoil_energy_ev(&self, gamma_kev: f64) -> f64 {
        (gamma_kev * 1e3).powi(2) / (2.0 * self.recoiling_mass_u * ATOMIC_MASS_EV)
    }

    /// Recoil energy of a single gamma ray that carries the whole separation energy: nothing recoils harder. The
    /// tabulated ground-state transition can lie a few 0.1 keV above the separation energy.
    fn maximum_recoil_ev(&self, primaries: &[Primary]) -> f64 {
        let strongest = primaries.iter().map(|p| p.recoil_energy_ev).fold(0.0, f64::max);
        self.recoil_energy_ev(self.separation_kev).max(strongest)
    }
}

/// A tabulated primary gamma ray as a recoil.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Primary {
    /// Target isotope, e.g. `182W`.
    pub target: String,
    /// Gamma energy in keV.
    pub gamma_kev: f64,
    /// Recoil energy in eV.
    pub recoil_energy_ev: f64,
    /// Gamma rays per capture in natural tungsten.
    pub per_capture: f64,
}

/// The tabulated primaries, in the order of the file.
pub fn primaries(evaluation: Evaluation) -> Result<Vec<Primary>, Error> {
    let mut found = Vec::new();
    for (number, line) in LINES.lines().enumerate().filter(|(_, l)| !l.starts_with('#') && !l.starts_with("target")) {
        let fields: Vec<&str> = line.split(',').collect();
        let place = || format!("{LINES_NAME}, line {}", number + 1);
        let bad = |problem: &str| Error::input(place(), problem, "Restore the file as it was shipped");
        let number_at = |column: usize| -> Result<f64, Error> {
            let text = fields.get(column).copied().unwrap_or_default();
            // An empty intensity: the evaluation does not have this line.
            if text.is_empty() {
                Ok(0.0)
            } else {
                text.parse().map_err(|_| bad(&format!("expected a number, found \"{text}\"")))
            }
        };
        let target =
            TARGETS.iter().find(|t| t.name == fields[0]).ok_or_else(|| bad("expected an isotope of tungsten"))?;
        let intensity = number_at(if evaluation == Evaluation::EgafLanl { 2 } else { 3 })?;
        let gamma_kev = number_at(1)?;
        if intensity > 0.0 {
            let per_capture = intensity * target.share_of_captures();
            found.push(Primary {
                target: fields[0].to_owned(),
                gamma_kev,
                recoil_energy_ev: target.recoil_energy_ev(gamma_kev),
                per_capture,
            });
        }
    }
    Ok(found)
}

/// Integral of the template's shape from 0 to `x` = E / E_max, 1 at x = 1: (105/16) int t^(1/2) (1 - t)^2 dt.
fn template_cdf(x: f64) -> f64 {
    let x = x.clamp(0.0, 1.0);
    105.0 / 16.0 * x.powf(1.5) * (2.0 / 3.0 - 0.8 * x + 2.0 / 7.0 * x * x)
}

impl Capture {
    /// Checks the settings.
    pub fn validate(&self) -> Result<(), Error> {
        super::check_number(
            "capture.resolution_ev",
            self.resolution_ev,
            self.resolution_ev >= 0.0,
            "a number of 0 or more",
        )
    }

    /// The lines alone, per capture in natural tungsten.
    pub fn lines(&self, grid: Grid) -> Result<RecoilSpectrum, Error> {
        let lines = primaries(self.evaluation)?
            .iter()
            .map(|p| Line { energy_ev: p.recoil_energy_ev, content: p.per_capture })
            .collect();
        Ok(RecoilSpectrum { grid, bins: vec![0.0; grid.n_bins], lines })
    }

    /// The template alone, per capture in natural tungsten: what the lines leave of one recoil per capture.
    pub fn continuum(&self, grid: Grid) -> Result<RecoilSpectrum, Error> {
        let all = primaries(self.evaluation)?;
        let mut bins = vec![0.0; grid.n_bins];
        for target in &TARGETS {
            let listed: Vec<Primary> = all.iter().filter(|p| p.target == target.name).cloned().collect();
            let missing = (target.share_of_captures() - listed.iter().map(|p| p.per_capture).sum::<f64>()).max(0.0);
            let maximum = target.maximum_recoil_ev(&listed);
            for (i, bin) in bins.iter_mut().enumerate() {
                let (low, high) = grid.edges(i);
                *bin += missing * (template_cdf(high / maximum) - template_cdf(low / maximum));
            }
        }
        Ok(RecoilSpectrum { grid, bins, lines: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::{gauss_legendre, integrate};

    const GRID: Grid = Grid { width_ev: 0.25, n_bins: 800 };

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
            ("183W", 6408.5, 119.84),
        ] {
            let found = at(target, gamma).recoil_energy_ev;
            assert!((found - energy).abs() < 0.02, "{target} {gamma} keV: {found}");
        }
        for (target, gamma, expected) in [
            ("186W", 5262.27, 0.0442),
            ("182W", 6190.66, 0.0415),
            ("186W", 5321.29, 0.0314),
            ("183W", 7411.2, 0.004_56),
        ] {
            let found = at(target, gamma).per_capture;
            assert!((found / expected - 1.0).abs() < 0.005, "{target} {gamma} keV: {found}");
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
    fn one_recoil_per_capture_and_none_above_the_kinematic_maximum() {
        for evaluation in [Evaluation::EgafLanl, Evaluation::Egaf] {
            let capture = Capture { evaluation, ..Capture::default() };
            let (lines, template) = (capture.lines(GRID).unwrap(), capture.continuum(GRID).unwrap());
            assert!((lines.total() + template.total() - 1.0).abs() < 1e-12);
            assert!(template.bins.iter().all(|b| *b >= 0.0));
            assert!(template.bins[642..].iter().all(|b| *b == 0.0), "nothing above 160.5 eV");
        }
    }

    #[test]
    fn template_integral_is_its_own_density() {
        let rule = gauss_legendre(60);
        let density = |t: f64| 105.0 / 16.0 * t.sqrt() * (1.0 - t) * (1.0 - t);
        assert!((integrate(&rule, 0.2, 0.9, density) - (template_cdf(0.9) - template_cdf(0.2))).abs() < 1e-10);
        assert!((template_cdf(1.0) - 1.0).abs() < 1e-15);
        assert!((integrate(&rule, 0.0, 1.0, |t| t * density(t)) - 1.0 / 3.0).abs() < 1e-5);
    }
}
