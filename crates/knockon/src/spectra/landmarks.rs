//! Numbers that a corrected spectrum is known by: where the capture peaks stand, by how much rates change.

use super::correction::CorrectedSpectrum;
use serde::Serialize;

/// Names in eV of the calibration peaks, and between which energies in eV the maximum before stands.
const PEAKS: [(f64, f64, f64); 3] = [(81.0, 72.0, 92.0), (112.0, 104.0, 120.0), (160.0, 150.0, 170.0)];
/// The maximum after stands between this share of the maximum before, and a little above it: a scale fixed by one peak may
/// move the others up.
const LOWEST_SHARE: f64 = 0.85;
const ROOM_ABOVE_EV: f64 = 4.0;

/// A peak of the capture spectrum before and after.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Peak {
    /// Its usual name: 81, 112 or 160 eV.
    pub peak_ev: f64,
    /// Maximum without stored energy, eV; none where nothing has a local maximum.
    pub maximum_before_ev: Option<f64>,
    /// Maximum with, eV.
    pub maximum_after_ev: Option<f64>,
}

impl Peak {
    /// after / before - 1.
    pub fn shift(&self) -> Option<f64> {
        Some(self.maximum_after_ev? / self.maximum_before_ev? - 1.0)
    }
}

/// The three peaks of a capture spectrum.
pub fn peaks(spectrum: &CorrectedSpectrum) -> [Peak; 3] {
    PEAKS.map(|(peak_ev, low, high)| {
        let before = maximum(&spectrum.energies_ev, &spectrum.before, low, high);
        let after = before.and_then(|before| {
            maximum(&spectrum.energies_ev, &spectrum.after, LOWEST_SHARE * before, before + ROOM_ABOVE_EV)
        });
        Peak { peak_ev, maximum_before_ev: before, maximum_after_ev: after }
    })
}

/// By how much the detector is not linear between the first and the last peak: the relative shift of the 160 eV peak minus
/// that of the 81 eV peak. Positive: the higher peak loses a smaller share.
pub fn non_linearity(peaks: &[Peak; 3]) -> Option<f64> {
    Some(peaks[2].shift()? - peaks[0].shift()?)
}

/// Lowest and highest `after` / `before` between two visible energies in eV; none where no ratio has a meaning.
pub fn ratio_range(spectrum: &CorrectedSpectrum, low_ev: f64, high_ev: f64) -> Option<[f64; 2]> {
    let inside = spectrum.energies_ev.iter().zip(&spectrum.ratio).filter(|(e, _)| (low_ev..=high_ev).contains(*e));
    inside.map(|(_, r)| *r).filter(|r| r.is_finite()).fold(None, |range, r| match range {
        None => Some([r, r]),
        Some([low, high]) => Some([f64::min(low, r), f64::max(high, r)]),
    })
}

/// Integral of `after` above a visible energy, in rate times eV.
pub fn integral_above(spectrum: &CorrectedSpectrum, threshold_ev: f64) -> f64 {
    let step = spectrum.energies_ev.windows(2).next().map_or(1.0, |pair| pair[1] - pair[0]);
    // A rate is the mean over one step around its energy; the first interval may begin below the threshold.
    let share = |energy: f64| ((energy + 0.5 * step - threshold_ev) / step).clamp(0.0, 1.0);
    spectrum.energies_ev.iter().zip(&spectrum.after).map(|(e, rate)| share(*e) * rate * step).sum()
}

/// Position of the highest local maximum inside a window, from a parabola through its three points.
fn maximum(energies: &[f64], rates: &[f64], low: f64, high: f64) -> Option<f64> {
    let inside = (1..energies.len().saturating_sub(1)).filter(|&i| energies[i] > low && energies[i] < high);
    let local = inside.filter(|&i| rates[i] >= rates[i - 1] && rates[i] > rates[i + 1]);
    let top = local.max_by(|&a, &b| rates[a].total_cmp(&rates[b]))?;
    let (left, middle, right) = (rates[top - 1], rates[top], rates[top + 1]);
    Some(energies[top] + 0.5 * (energies[top + 1] - energies[top]) * (left - right) / (left - 2.0 * middle + right))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spectrum(before: impl Fn(f64) -> f64, after: impl Fn(f64) -> f64) -> CorrectedSpectrum {
        let energies_ev: Vec<f64> = (1..=200).map(f64::from).collect();
        let [before, after] =
            [&before as &dyn Fn(f64) -> f64, &after].map(|f| energies_ev.iter().map(|e| f(*e)).collect());
        CorrectedSpectrum {
            unit: "per_ev",
            ratio: vec![1.0; 200],
            ratio_low: Vec::new(),
            ratio_high: Vec::new(),
            parts: Vec::new(),
            conservation_error: 0.0,
            calibration_scale: 1.0,
            energies_ev,
            before,
            after,
        }
    }

    #[test]
    fn peaks_and_their_non_linearity_are_found() {
        let at = |places: [f64; 3]| move |e: f64| places.iter().map(|p| (-0.02 * (e - p) * (e - p)).exp()).sum::<f64>();
        let spectrum = spectrum(at([80.3, 112.0, 160.0]), at([72.27, 102.0, 149.0]));
        let found = peaks(&spectrum);
        assert!((found[0].maximum_before_ev.unwrap() - 80.3).abs() < 0.01);
        assert!((found[0].shift().unwrap() + 0.1).abs() < 2e-4);
        assert!((non_linearity(&found).unwrap() - (0.1 - 11.0 / 160.0)).abs() < 3e-4);
        assert_eq!(ratio_range(&spectrum, 20.0, 130.0), Some([1.0, 1.0]));
        assert_eq!(ratio_range(&spectrum, 300.0, 400.0), None);
    }

    #[test]
    fn what_has_no_peak_has_none_and_integrals_start_at_the_threshold() {
        let flat = spectrum(|_| 1.0, |e| e);
        assert_eq!(peaks(&flat)[1].maximum_before_ev, None);
        assert_eq!(non_linearity(&peaks(&flat)), None);
        // Steps 20.5 to 200.5 and half of that around 20.
        let expected: f64 = 0.5 * 20.0 + (21..=200).map(f64::from).sum::<f64>();
        assert!((integral_above(&flat, 20.0) - expected).abs() < 1e-9);
    }
}
