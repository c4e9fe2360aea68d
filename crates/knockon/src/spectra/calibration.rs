//! What fixes the energy scale of a detector, and the factor that follows from it.
//!
//! A scale set by electron recoils (X rays, a LED) reads the heat itself: no energy stays in defects there. A scale set by the
//! capture peak calls the place where the corrected peak stands 112.44 eV, as if nothing were stored at that energy. Both
//! are E_measured = a (E_recoil - E_stored) + noise; a = 1 for electron recoils, and for the capture peak a solves
//!
//! ```text
//! argmax_x  integral p(E_stored | E0) N(x; a (E0 - E_stored), sigma) dE_stored  =  E0,    E0 = 112.44 eV.
//! ```
//!
//! Resolution, threshold and bins are always those of the calibrated scale. What the crystal stores at other energies then
//! shows only as far as it is not proportional to what it stores at 112 eV.

use super::detector::Resolution;
use super::fold::{Grid, Line, RecoilSpectrum};
use crate::Error;
use crate::math::normal_density;
use crate::response::StoredEnergy;
use serde::{Deserialize, Serialize};

/// Recoil energy in eV of the single-gamma peak of 182W(n,gamma), the calibration peak.
pub const CAPTURE_PEAK_EV: f64 = 112.44;
/// What recoils there.
pub(super) const CAPTURE_SPECIES: &str = "W";

/// What the energy scale is fixed by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Calibration {
    /// Electron recoils: no energy is stored.
    #[default]
    ElectronRecoils,
    /// The capture peak, called 112.44 eV where it is seen.
    CapturePeak,
}

impl Calibration {
    /// The convention in words, for headers and reports.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::ElectronRecoils => {
                "energy scale fixed by electron recoils, which store nothing: E_measured = E_recoil - E_stored + noise"
            }
            Self::CapturePeak => {
                "energy scale fixed by the W capture peak, called 112.44 eV where it is seen: E_measured = a (E_recoil - \
                 E_stored) + noise, a such that the peak folded with response and resolution stands at 112.44 eV"
            }
        }
    }

    /// The factor a between deposited and measured energy, for the stored energies of `species` recoils. 1 for electron
    /// recoils. Refuses what cannot give the peak: another species, a range without 112.44 eV, no resolution.
    pub fn scale(self, stored: StoredEnergy, species: &str, resolution: Resolution) -> Result<f64, Error> {
        if self == Self::ElectronRecoils {
            return Ok(1.0);
        }
        let refuse = |problem: String, remedy: &str| Err(Error::input("calibration", problem, remedy));
        let other = "Calibrate with electron recoils, or give a response for W";
        if species != CAPTURE_SPECIES {
            return refuse(format!("expected a response for W, whose capture peak it is, found {species}"), other);
        }
        let [low, high] = stored.usable_range_ev();
        if !(low..=high).contains(&CAPTURE_PEAK_EV) {
            return refuse(format!("expected a response at {CAPTURE_PEAK_EV} eV, found {low} to {high} eV"), other);
        }
        if resolution.at(CAPTURE_PEAK_EV) <= 0.0 {
            let remedy = "Give the resolution, or calibrate with electron recoils";
            return refuse(
                "expected a resolution above 0, without which no peak has a maximum, found 0".into(),
                remedy,
            );
        }
        let peak = Peak::new(stored, resolution);
        let mut scale = 1.0;
        for _ in 0..60 {
            let factor = CAPTURE_PEAK_EV / peak.maximum_ev(scale);
            scale *= factor;
            if (factor - 1.0f64).abs() < 1e-11 {
                return Ok(scale);
            }
        }
        Err(Error::computation(
            "the capture peak has no steady maximum: damaged and intact recoils make two peaks of one height",
            "Give another resolution, or calibrate with electron recoils",
        ))
    }
}

/// Deposited energies of the capture line: (energy in eV, probability).
struct Peak {
    deposits: Vec<(f64, f64)>,
    resolution: Resolution,
}

impl Peak {
    fn new(stored: StoredEnergy, resolution: Resolution) -> Self {
        // Fine against the resolution; a bin stands for its middle.
        let width_ev = (0.05 * resolution.at(CAPTURE_PEAK_EV)).clamp(0.01, 0.1);
        let grid = Grid { width_ev, n_bins: (CAPTURE_PEAK_EV / width_ev) as usize + 1 };
        let line = Line { energy_ev: CAPTURE_PEAK_EV, content: 1.0 };
        let deposited = RecoilSpectrum::deposited_by(stored, grid, line);
        let bins = deposited.bins.iter().enumerate().map(|(bin, p)| ((bin as f64 + 0.5) * width_ev, *p));
        let lines = deposited.lines.iter().map(|l| (l.energy_ev, l.content));
        Self { deposits: bins.chain(lines).filter(|d| d.1 > 0.0).collect(), resolution }
    }

    fn density(&self, measured_ev: f64, scale: f64) -> f64 {
        let each = self.deposits.iter().map(|(energy, p)| {
            let sigma = self.resolution.at(scale * energy);
            if sigma > 0.0 { p * normal_density((measured_ev - scale * energy) / sigma) / sigma } else { 0.0 }
        });
        each.sum()
    }

    /// Place of the highest maximum of the measured peak, eV: a coarse search, then a golden section.
    fn maximum_ev(&self, scale: f64) -> f64 {
        let (low, high) = (0.4 * scale * CAPTURE_PEAK_EV, 1.1 * scale * CAPTURE_PEAK_EV);
        let step = (0.2 * self.resolution.at(CAPTURE_PEAK_EV)).min(1.0);
        let places = (0..=((high - low) / step) as usize).map(|i| low + i as f64 * step);
        let top = places.map(|x| (x, self.density(x, scale))).fold((low, 0.0), |a, b| if b.1 > a.1 { b } else { a }).0;
        let golden = 0.5 * (5f64.sqrt() - 1.0);
        let (mut a, mut b) = (top - step, top + step);
        // Near a maximum a density says nothing about places closer than about 1e-8 of the width.
        while b - a > 1e-6 {
            let (left, right) = (b - golden * (b - a), a + golden * (b - a));
            if self.density(left, scale) > self.density(right, scale) { b = right } else { a = left }
        }
        // Parabola through three points a fifth of a standard deviation apart: smooth in the scale.
        let (x, h) = (0.5 * (a + b), 0.02 * self.resolution.at(CAPTURE_PEAK_EV));
        let [l, m, r] = [x - h, x, x + h].map(|x| self.density(x, scale));
        x + 0.5 * h * (l - r) / (l - 2.0 * m + r)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::Response;

    const RESOLUTION: Resolution = Resolution { constant_ev: 5.0, slope: 0.0 };

    #[test]
    fn the_corrected_peak_is_called_by_its_recoil_energy() {
        let response = Response::from_paper();
        let stored = StoredEnergy::Curves(&response, &response.parameters);
        let scale = Calibration::CapturePeak.scale(stored, "W", RESOLUTION).unwrap();
        // About 9 eV are stored at 112 eV.
        assert!((CAPTURE_PEAK_EV - CAPTURE_PEAK_EV / scale - 9.0).abs() < 0.8, "{scale}");
        assert!((Peak::new(stored, RESOLUTION).maximum_ev(scale) - CAPTURE_PEAK_EV).abs() < 1e-6);
        assert_eq!(Calibration::ElectronRecoils.scale(stored, "Ca", Resolution::default()).unwrap(), 1.0);
    }

    /// Independent: sampled peak, its maximum from a parabola through a histogram's logarithm near the top.
    #[test]
    fn sampled_recoils_peak_there() {
        use rand::{RngExt, SeedableRng};
        let response = Response::from_paper();
        let stored = StoredEnergy::Curves(&response, &response.parameters);
        let scale = Calibration::CapturePeak.scale(stored, "W", RESOLUTION).unwrap();
        let mut random = rand_pcg::Pcg64::seed_from_u64(3);
        let (mut sums, mut moments) = ([0.0; 3], [0.0; 2]);
        for _ in 0..300_000 {
            let noise: f64 = random.sample(rand_distr::StandardNormal);
            let x = scale * (CAPTURE_PEAK_EV - stored.sample(CAPTURE_PEAK_EV, &mut random)) + 5.0 * noise;
            let offset = x - CAPTURE_PEAK_EV;
            // Counts left of, around and right of the top: symmetric if the maximum is where it should be.
            if offset.abs() < 3.0 {
                sums[((offset + 3.0) / 2.0) as usize] += 1.0;
                moments[0] += 1.0;
                moments[1] += offset;
            }
        }
        // The mean of a peak exp(-x^2 / 2 s^2), s about 5.8, cut at +-3 eV, moves by 0.25 of a shift of its maximum: statistics
        // 0.005 eV, skewness of the stored energies 0.02 eV.
        let mean: f64 = moments[1] / moments[0];
        assert!(mean.abs() < 0.05 && sums[1] > sums[0] && sums[1] > sums[2], "{mean} {sums:?}");
    }

    #[test]
    fn what_gives_no_peak_is_refused() {
        let response = Response::from_paper();
        let stored = StoredEnergy::Curves(&response, &response.parameters);
        let calibration = Calibration::CapturePeak;
        for (species, resolution) in [("Ca", RESOLUTION), ("W", Resolution::default())] {
            let message = calibration.scale(stored, species, resolution).unwrap_err().to_string();
            assert!(message.contains("electron recoils"), "{message}");
        }
    }
}
