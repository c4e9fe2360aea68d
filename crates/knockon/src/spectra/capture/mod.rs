//! Recoils of tungsten after the capture of a thermal neutron.
//!
//! A nucleus that emits one gamma ray of energy E recoils with E^2 / (2 M c^2). Tabulated primary gamma rays to the ground state
//! are therefore lines. All other captures are simulated, gamma ray by gamma ray ([`cascade`]): the known levels decay as
//! measured, what the tables of primaries leave of one capture is a statistical cascade. Momenta add in the order of emission
//! while the nucleus slows down ([`SlowingDown`]). Directions are isotropic and independent.
//!
//! Captures are numbered and each has random numbers of its own, so that a seed gives the same spectrum for any number of
//! threads. The openings of cascades are not drawn but taken in proportion, so that lines have their intensity without
//! fluctuation.

mod cascade;
mod density;
mod escape;
mod nuclei;
mod recoil;
mod strength;

use super::detector::check_resolution;
use super::fold::{Grid, Line, RecoilSpectrum};
use crate::Error;
use cascade::{Nucleus, Opening};
use nuclei::TARGETS;
pub use nuclei::{Primary, primaries};
use rand_pcg::Pcg64;
use rayon::prelude::*;
pub use recoil::{CURVE_COLUMNS, Limit, SlowingDown};
use recoil::{direction, recoil_energy_ev};
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

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
    /// Follow captures whose first gamma ray is not tabulated; without them the spectrum counts less than one per capture.
    pub statistical: bool,
    /// Slowing down of the nucleus between gamma rays.
    pub slowing_down: SlowingDown,
    /// Drop captures with a conversion electron: it leaves tens of keV in the crystal.
    pub drop_conversion_electrons: bool,
    /// Edges in mm of a box of CaWO4. With it, captures count only if all gamma rays leave the box without interacting and no
    /// electron is emitted.
    pub crystal_mm: Option<[f64; 3]>,
    /// Number of captures to simulate.
    pub captures: u64,
    /// Seed of the simulation.
    pub seed: u64,
    /// Gaussian resolution (standard deviation) applied to the visible energy, eV; 0 for none.
    pub resolution_ev: f64,
}

/// Mean time in which tungsten of 80 eV loses its momentum in CaWO4, the time integral of its share, rounded: from cascades in several
/// directions with an earlier potential of this project (data/nuclear/tungsten_slowing_down.csv).
const USUAL_SLOWING_DOWN_FS: f64 = 60.0;

impl Default for Capture {
    /// The resolution of the paper's figure 4; the slowing down of our own cascades ([`USUAL_SLOWING_DOWN_FS`]).
    fn default() -> Self {
        Self {
            evaluation: Evaluation::EgafLanl,
            statistical: true,
            slowing_down: SlowingDown::TimeFs(USUAL_SLOWING_DOWN_FS),
            drop_conversion_electrons: false,
            crystal_mm: None,
            captures: 400_000,
            seed: 1,
            resolution_ev: 5.0,
        }
    }
}

/// Recoils per capture in natural tungsten.
#[derive(Clone, Debug)]
pub struct CaptureRecoils {
    /// After tabulated primary gamma rays: single gamma rays as lines, the rest simulated.
    pub tabulated: RecoilSpectrum,
    /// After statistical primary gamma rays.
    pub statistical: RecoilSpectrum,
    /// Content of one simulated capture: a bin with n of them has the statistical error `each` sqrt(n).
    pub each: f64,
}

/// Mean total radiative width of the capturing state, a check of the statistical model that nothing was tuned for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RadiativeWidth {
    /// Target isotope.
    pub target: &'static str,
    /// Calculated from level density and strength functions, in meV.
    pub calculated_mev: f64,
    /// Measured mean over s-wave resonances (RIPL-3), in meV.
    pub measured_mev: f64,
    /// Error of the measurement, in meV.
    pub error_mev: f64,
}

/// The nuclei after capture in the order of [`TARGETS`], built once.
fn nuclei() -> Result<&'static [Nucleus], Error> {
    static NUCLEI: OnceLock<Vec<Nucleus>> = OnceLock::new();
    if let Some(built) = NUCLEI.get() {
        return Ok(built);
    }
    let built: Vec<Nucleus> = TARGETS.iter().map(Nucleus::new).collect::<Result<_, Error>>()?;
    Ok(NUCLEI.get_or_init(|| built))
}

/// Radiative widths of all targets.
pub fn radiative_widths() -> Result<Vec<RadiativeWidth>, Error> {
    let width = |(target, nucleus): (&nuclei::Target, &Nucleus)| RadiativeWidth {
        target: target.name,
        // Unit: the nucleus has MeV, the table meV.
        calculated_mev: nucleus.radiative_width_mev * 1e9,
        measured_mev: target.measured_width_mev.0,
        error_mev: target.measured_width_mev.1,
    };
    Ok(TARGETS.iter().zip(nuclei()?).map(width).collect())
}

/// Captures that begin alike.
struct Group {
    /// Number of the target.
    target: usize,
    opening: Opening,
    per_capture: f64,
}

/// Captures per chunk of the simulation.
const CHUNK: u64 = 4096;
/// Random numbers of the escape of lines; those of capture n are stream n.
const ESCAPE_STREAM: u128 = u128::MAX;

impl Capture {
    /// Checks the settings.
    pub fn validate(&self) -> Result<(), Error> {
        use super::check_number as check;
        check_resolution("capture.resolution_ev", self.resolution_ev)?;
        let captures = self.captures as f64;
        check("capture.captures", captures, (1e3..=1e9).contains(&captures), "a number from 1000 to 1000000000")?;
        for edge in self.crystal_mm.iter().flatten() {
            check("capture.crystal_mm", *edge, *edge > 0.0, "edges above 0")?;
        }
        self.slowing_down.validate()
    }

    /// All ways to begin, weights adding up to 1 with the statistical ones.
    fn groups(&self, nuclei: &[Nucleus]) -> Result<Vec<Group>, Error> {
        let primaries = primaries(self.evaluation)?;
        let mut groups = Vec::new();
        for (target, (isotope, nucleus)) in TARGETS.iter().zip(nuclei).enumerate() {
            let own = primaries.iter().filter(|p| p.target == isotope.name);
            let first = groups.len();
            groups.extend(own.map(|primary| Group {
                target,
                opening: nucleus.opening(primary),
                per_capture: primary.per_capture,
            }));
            let tabulated: f64 = groups[first..].iter().map(|g| g.per_capture).sum();
            let missing = (isotope.share_of_captures() - tabulated).max(0.0);
            if self.statistical {
                groups.push(Group { target, opening: Opening::Statistical, per_capture: missing });
            }
        }
        Ok(groups)
    }

    /// The spectrum per capture in natural tungsten, before resolution. Recoils above the grid are not in its bins.
    pub fn recoils(&self, grid: Grid) -> Result<CaptureRecoils, Error> {
        self.validate()?;
        let nuclei = nuclei()?;
        let (mut to_ground, mut others) = (Vec::new(), Vec::new());
        for group in self.groups(nuclei)? {
            match group.opening {
                Opening::ToGround { gamma_mev } => to_ground.push((group, gamma_mev)),
                _ => others.push(group),
            }
        }
        let each = others.iter().map(|g| g.per_capture).sum::<f64>() / self.captures as f64;
        // Capture n begins in the group that holds the middle of its share of all intensity.
        let mut sum = 0.0;
        let ends: Vec<u64> = (others.iter())
            .map(|group| {
                sum += group.per_capture;
                ((sum / each + 0.5) as u64).min(self.captures)
            })
            .collect();
        let chunks = (0..self.captures.div_ceil(CHUNK)).into_par_iter();
        // Whole numbers: the order in which threads add them does not matter.
        let empty = || [vec![0u32; grid.n_bins], vec![0u32; grid.n_bins]];
        let simulated = chunks
            .fold(empty, |mut counts, chunk| {
                let captures = chunk * CHUNK..((chunk + 1) * CHUNK).min(self.captures);
                let mut event = Event::default();
                for number in captures {
                    let group = &others[ends.partition_point(|end| *end <= number).min(others.len() - 1)];
                    let mut random = Pcg64::new(u128::from(self.seed), u128::from(number));
                    if let Some(energy_ev) = self.simulate(group, nuclei, &mut random, &mut event) {
                        let counts = &mut counts[usize::from(group.opening == Opening::Statistical)];
                        if let Some(count) = counts.get_mut((energy_ev / grid.width_ev) as usize) {
                            *count += 1;
                        }
                    }
                }
                counts
            })
            .reduce(empty, |mut a, b| {
                a.iter_mut().zip(&b).for_each(|(a, b)| a.iter_mut().zip(b).for_each(|(a, b)| *a += b));
                a
            });
        let bins = |counts: &[u32]| counts.iter().map(|n| f64::from(*n) * each).collect();
        let lines = to_ground.iter().map(|(group, gamma_mev)| self.line(group, *gamma_mev)).collect();
        Ok(CaptureRecoils {
            tabulated: RecoilSpectrum { grid, bins: bins(&simulated[0]), lines },
            statistical: RecoilSpectrum { grid, bins: bins(&simulated[1]), lines: Vec::new() },
            each,
        })
    }

    /// Recoil energy of one capture in eV; none where it is dropped.
    fn simulate(&self, group: &Group, nuclei: &[Nucleus], random: &mut Pcg64, event: &mut Event) -> Option<f64> {
        nuclei[group.target].cascade(group.opening, random, &mut event.emissions);
        event.directions.clear();
        event.directions.extend(event.emissions.iter().map(|_| direction(random)));
        let electrons = event.emissions.iter().any(|e| e.electron);
        if electrons && (self.drop_conversion_electrons || self.crystal_mm.is_some()) {
            return None;
        }
        if let Some(edges) = self.crystal_mm {
            let place = escape::place_mm(edges, random);
            let gammas = event.emissions.iter().zip(&event.directions);
            let all: f64 = gammas
                .map(|(e, direction)| escape::escape_probability(edges, place, *direction, e.energy_ev))
                .product();
            if rand::RngExt::random::<f64>(random) >= all {
                return None;
            }
        }
        let mass_ev = TARGETS[group.target].recoiling_mass_ev();
        Some(recoil_energy_ev(&event.emissions, &event.directions, mass_ev, &self.slowing_down))
    }

    /// A gamma ray to the ground state: exact but for its escape, a mean over places and directions.
    fn line(&self, group: &Group, gamma_mev: f64) -> Line {
        let gamma_ev = gamma_mev * 1e6;
        let energy_ev = gamma_ev * gamma_ev / (2.0 * TARGETS[group.target].recoiling_mass_ev());
        const DRAWS: u32 = 20_000;
        let escape = self.crystal_mm.map_or(1.0, |edges| {
            let mut random = Pcg64::new(u128::from(self.seed), ESCAPE_STREAM);
            let mut one = |_| {
                let place = escape::place_mm(edges, &mut random);
                escape::escape_probability(edges, place, direction(&mut random), gamma_ev)
            };
            (0..DRAWS).map(&mut one).sum::<f64>() / f64::from(DRAWS)
        });
        Line { energy_ev, content: group.per_capture * escape }
    }
}

/// Reused between captures.
#[derive(Default)]
struct Event {
    emissions: Vec<cascade::Emission>,
    directions: Vec<glam::DVec3>,
}

#[cfg(test)]
mod tests;
