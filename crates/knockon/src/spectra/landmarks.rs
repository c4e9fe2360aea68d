//! Numbers that a corrected spectrum is known by: where the capture peaks stand, by how much rates change.

use super::correction::CorrectedSpectrum;
use crate::math::band;
use serde::Serialize;
use std::collections::BTreeMap;

/// Names in eV of the calibration peaks, and between which energies in eV the maximum before stands.
const PEAKS: [(f64, f64, f64); 3] = [(81.0, 72.0, 92.0), (112.0, 104.0, 120.0), (160.0, 150.0, 170.0)];
/// The maximum after stands between this share of the maximum before, and a little above it: a scale fixed by one peak may
/// move the others up.
const LOWEST_SHARE: f64 = 0.85;
const ROOM_ABOVE_EV: f64 = 4.0;

/// Distance in eV over which a parabola is fitted on either side where a spectrum's curvature is asked for: less than the
/// resolution of the detectors in question, more than the statistical noise of a simulated spectrum.
const CURVATURE_REACH_EV: f64 = 4.0;
/// The edge of a shoulder is looked for up to this far above it.
const EDGE_REACH_EV: f64 = 15.0;

/// A feature of a spectrum near a known energy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "form")]
pub enum Feature {
    /// A local maximum.
    Maximum {
        /// Where it stands, eV.
        position_ev: f64,
    },
    /// A peak on so steep a slope that nothing is highest.
    Shoulder {
        /// Where the spectrum bends down most: the centre of a Gaussian on any straight slope, eV.
        position_ev: f64,
        /// Inflection above it, where the spectrum falls most steeply, eV.
        edge_ev: f64,
    },
}

impl Feature {
    /// Where it stands, eV.
    pub fn position_ev(self) -> f64 {
        match self {
            Self::Maximum { position_ev } | Self::Shoulder { position_ev, .. } => position_ev,
        }
    }

    /// Its form in a word; `none` where there is no feature.
    pub fn in_words(feature: Option<Self>) -> &'static str {
        match feature {
            Some(Self::Maximum { .. }) => "maximum",
            Some(Self::Shoulder { .. }) => "shoulder",
            None => "none",
        }
    }
}

/// A peak of the capture spectrum before and after.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Peak {
    /// Its usual name: 81, 112 or 160 eV.
    pub peak_ev: f64,
    /// Without stored energy; none where the spectrum has neither maximum nor shoulder.
    pub before: Option<Feature>,
    /// With.
    pub after: Option<Feature>,
    /// 16 % and 84 % quantiles in eV of the position with stored energy over the bootstrap sets that have one; none without.
    pub after_band_ev: Option<[f64; 2]>,
    /// Form with each bootstrap set, in how many sets.
    pub forms_of_sets: BTreeMap<&'static str, usize>,
}

impl Peak {
    /// after / before - 1.
    pub fn shift(&self) -> Option<f64> {
        Some(self.after?.position_ev() / self.before?.position_ev() - 1.0)
    }
}

/// The three peaks of a capture spectrum.
pub fn peaks(spectrum: &CorrectedSpectrum) -> [Peak; 3] {
    let energies = &spectrum.energies_ev;
    PEAKS.map(|(peak_ev, low, high)| {
        let before = feature(energies, &spectrum.before, low, high);
        let moved = |rates: &[f64]| {
            let before = before?.position_ev();
            feature(energies, rates, LOWEST_SHARE * before, before + ROOM_ABOVE_EV)
        };
        let of_sets: Vec<Option<Feature>> = spectrum.sets.iter().map(|rates| moved(rates)).collect();
        let mut positions: Vec<f64> = of_sets.iter().flatten().map(|f| f.position_ev()).collect();
        let mut forms_of_sets = BTreeMap::new();
        of_sets.iter().for_each(|f| *forms_of_sets.entry(Feature::in_words(*f)).or_default() += 1);
        Peak {
            peak_ev,
            before,
            after: moved(&spectrum.after),
            after_band_ev: (!positions.is_empty()).then(|| band(&mut positions)),
            forms_of_sets,
        }
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

/// The highest local maximum inside a window, or else the shoulder that bends most.
fn feature(energies: &[f64], rates: &[f64], low: f64, high: f64) -> Option<Feature> {
    let position = maximum(energies, rates, low, high).map(|position_ev| Feature::Maximum { position_ev });
    position.or_else(|| shoulder(energies, rates, low, high))
}

/// Where the second derivative has its deepest minimum inside a window, if it is below 0 there, and the inflection above: the
/// next minimum of the first derivative. Both derivatives are those of parabolas fitted to the points around (Savitzky and
/// Golay, Anal. Chem. 36 (1964) 1627).
fn shoulder(energies: &[f64], rates: &[f64], low: f64, high: f64) -> Option<Feature> {
    let step = energies.get(1)? - energies[0];
    let reach = ((CURVATURE_REACH_EV / step).round() as usize).max(2);
    let inside = |i: usize| i >= reach && i + reach < rates.len();
    let n = (2 * reach + 1) as f64;
    let mean_square = (1..=reach).map(|k| 2.0 * (k * k) as f64).sum::<f64>() / n;
    let moment = |i: usize, weight: &dyn Fn(f64) -> f64| -> f64 {
        (0..=2 * reach).map(|k| weight(k as f64 - reach as f64) * rates[i + k - reach]).sum()
    };
    // Up to positive factors.
    let slope = |i: usize| moment(i, &|k| k);
    let bend = |i: usize| moment(i, &|k| k * k - mean_square);
    let in_window = |i: &usize| energies[*i] > low && energies[*i] < high && inside(i - 1) && inside(i + 1);
    let bends = (1..energies.len()).filter(in_window).map(|i| (i, [bend(i - 1), bend(i), bend(i + 1)]));
    let deepest = bends
        .filter(|(_, [left, middle, right])| *middle < 0.0 && middle < left && middle <= right)
        .min_by(|a, b| a.1[1].total_cmp(&b.1[1]));
    let (at, bends) = deepest?;
    let last = at + (EDGE_REACH_EV / step) as usize;
    let slopes =
        (at + 1..last).filter(|i| inside(i - 1) && inside(i + 1)).map(|i| (i, [slope(i - 1), slope(i), slope(i + 1)]));
    let (edge, slopes) = slopes.into_iter().find(|(_, [left, middle, right])| middle <= left && middle < right)?;
    let refined = |i: usize, around: [f64; 3]| energies[i] + step * vertex(around);
    Some(Feature::Shoulder { position_ev: refined(at, bends), edge_ev: refined(edge, slopes) })
}

/// Extremum of the parabola through three values at -1, 0, 1.
fn vertex([left, middle, right]: [f64; 3]) -> f64 {
    0.5 * (left - right) / (left - 2.0 * middle + right)
}

/// Position of the highest local maximum inside a window, from a parabola through its three points.
fn maximum(energies: &[f64], rates: &[f64], low: f64, high: f64) -> Option<f64> {
    let inside = (1..energies.len().saturating_sub(1)).filter(|&i| energies[i] > low && energies[i] < high);
    let local = inside.filter(|&i| rates[i] >= rates[i - 1] && rates[i] > rates[i + 1]);
    let top = local.max_by(|&a, &b| rates[a].total_cmp(&rates[b]))?;
    Some(energies[top] + (energies[top + 1] - energies[top]) * vertex([rates[top - 1], rates[top], rates[top + 1]]))
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
            sets: Vec::new(),
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
        assert!((found[0].before.unwrap().position_ev() - 80.3).abs() < 0.01);
        assert!((found[0].shift().unwrap() + 0.1).abs() < 2e-4);
        assert!((non_linearity(&found).unwrap() - (0.1 - 11.0 / 160.0)).abs() < 3e-4);
        assert_eq!(ratio_range(&spectrum, 20.0, 130.0), Some([1.0, 1.0]));
        assert_eq!(ratio_range(&spectrum, 300.0, 400.0), None);
    }

    /// A Gaussian on a slope too steep for a maximum: it bends most at its centre and falls most one width above; sets where it is a
    /// maximum count as well.
    #[test]
    fn a_peak_on_a_slope_is_a_shoulder() {
        let on_slope = |centre: f64, slope: f64| {
            move |e: f64| 100.0 - slope * e + 10.0 * (-0.5 * ((e - centre) / 5.0).powi(2)).exp()
        };
        let mut spectrum = spectrum(on_slope(80.0, 0.2), on_slope(73.0, 3.0));
        let of_set = |centre, slope| (1..=200).map(|e| on_slope(centre, slope)(f64::from(e))).collect();
        spectrum.sets = vec![of_set(72.0, 3.0), of_set(73.0, 3.0), of_set(74.0, 0.2)];
        let peak = &peaks(&spectrum)[0];
        assert_eq!(Feature::in_words(peak.before), "maximum");
        let Some(Feature::Shoulder { position_ev, edge_ev }) = peak.after else { panic!("{peak:?}") };
        assert!((position_ev - 73.0).abs() < 0.05, "{peak:?}");
        // 5 eV, a little widened by the fitted parabolas.
        assert!((5.0..6.5).contains(&(edge_ev - 73.0)), "{peak:?}");
        assert_eq!(peak.forms_of_sets, BTreeMap::from([("maximum", 1), ("shoulder", 2)]));
        let [low, high] = peak.after_band_ev.unwrap();
        assert!(low > 72.0 && low < 73.0 && high > 73.0 && high < 74.0, "{peak:?}");
        assert!((peak.shift().unwrap() - (73.0 / 79.5 - 1.0)).abs() < 5e-3, "{peak:?}");
    }

    #[test]
    fn what_has_no_peak_has_none_and_integrals_start_at_the_threshold() {
        let flat = spectrum(|_| 1.0, |e| e);
        assert_eq!((peaks(&flat)[1].before, Feature::in_words(None)), (None, "none"));
        assert_eq!(non_linearity(&peaks(&flat)), None);
        // Steps 20.5 to 200.5 and half of that around 20.
        let expected: f64 = 0.5 * 20.0 + (21..=200).map(f64::from).sum::<f64>();
        assert!((integral_above(&flat, 20.0) - expected).abs() < 1e-9);
    }
}
