//! From `response.json` to curves and to words for captions.

use crate::figures::defect_probability::Curve;
use serde::Deserialize;

/// `response/response.json`, as much of it as figures need.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Response {
    shape: String,
    parameters: Parameters,
    bootstrap: Vec<Parameters>,
    sources: Vec<Source>,
    campaign: Option<Identity>,
    settings: Settings,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Parameters {
    fermi: Fermi,
    /// Mean of the non-zero stored energies in eV, as a polynomial in the recoil energy.
    mean: [f64; 3],
    /// Their standard deviation in eV, likewise.
    width: [f64; 3],
    asymmetry: f64,
}

/// 1 / (1 + exp(-(E - midpoint) / width)).
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Fermi {
    midpoint_ev: f64,
    width_ev: f64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Source {
    part: String,
    origin: String,
    caption: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Identity {
    model_hash: String,
}

#[derive(Deserialize)]
#[serde(default)]
struct Settings {
    zero_threshold_ev: f64,
}

impl Default for Settings {
    fn default() -> Self {
        // far below the cheapest Frenkel pair (4.7 eV in the paper's Table I), far above numerical noise
        Self { zero_threshold_ev: 0.5 }
    }
}

impl Response {
    /// Stored energy in eV below which a recoil counts as one without a defect.
    pub(crate) fn threshold_ev(response: Option<&Self>) -> f64 {
        response.map_or(Settings::default().zero_threshold_ev, |r| r.settings.zero_threshold_ev)
    }

    /// Hash of the potential whose cascades it rests on.
    pub(crate) fn model_hash(&self) -> Option<String> {
        self.campaign.as_ref().map(|c| c.model_hash.clone())
    }

    /// Which part rests on what, in words.
    pub(crate) fn sources(&self) -> Vec<String> {
        self.sources.iter().map(|s| format!("{}: {}", s.part, s.caption)).collect()
    }

    /// Parts that do not come from cascades alone.
    pub(crate) fn borrowed_parts(&self) -> Vec<&str> {
        self.sources.iter().filter(|s| s.origin != "campaign").map(|s| s.part.as_str()).collect()
    }

    /// The fitted defect probability up to an energy in eV; its band holds the middle 68 % of the bootstrap sets.
    pub(crate) fn defect_probability(&self, end_ev: f64) -> Curve {
        let best = self.parameters.fermi;
        if best.width_ev <= 0.0 {
            return Curve::default();
        }
        let energies = (0..=200).map(|i| end_ev * f64::from(i) / 200.0);
        let line = energies.clone().map(|e| [e, best.at(e)]).collect();
        let band = match self.bootstrap.len() {
            0..5 => Vec::new(),
            _ => energies.map(|e| [e, self.quantile(e, 0.16), self.quantile(e, 0.84)]).collect(),
        };
        let borrowed = if self.borrowed_parts().contains(&"defect probability") { ", partly assumed" } else { "" };
        let label =
            format!("Fermi function, midpoint {:.0} eV, width {:.0} eV{borrowed}", best.midpoint_ev, best.width_ev);
        Curve { line, band, label }
    }

    fn quantile(&self, energy_ev: f64, share: f64) -> f64 {
        let mut values: Vec<f64> = self.bootstrap.iter().map(|p| p.fermi.at(energy_ev)).collect();
        values.sort_by(f64::total_cmp);
        values[((values.len() - 1) as f64 * share).round() as usize]
    }

    /// Density per eV of the non-zero stored energies at a recoil energy in eV; its area is the defect probability.
    pub(crate) fn stored_energy_density(&self, recoil_energy_ev: f64) -> Vec<[f64; 2]> {
        const STEPS: u32 = 600;
        let p = self.parameters;
        let (mean, width) = (polynomial(p.mean, recoil_energy_ev), polynomial(p.width, recoil_energy_ev));
        let parent = |x: f64| match self.shape.as_str() {
            "gaussian" => (-0.5 * ((x - mean) / width).powi(2)).exp(),
            "asymmetric-gaussian" => split_normal(x, mean, width, p.asymmetry),
            "gamma" => ((mean * mean / (width * width) - 1.0) * x.ln() - x * mean / (width * width)).exp(),
            _ => f64::NAN,
        };
        if !(mean > 0.0 && width > 0.0 && p.fermi.width_ev > 0.0) {
            return Vec::new();
        }
        // cut to [0, recoil energy] and normalised there, as the response stage does
        let step = recoil_energy_ev / f64::from(STEPS);
        let curve: Vec<[f64; 2]> = (0..STEPS).map(|i| (f64::from(i) + 0.5) * step).map(|x| [x, parent(x)]).collect();
        let area: f64 = curve.iter().map(|point| point[1] * step).sum();
        let factor = p.fermi.at(recoil_energy_ev) / area;
        if factor.is_finite() { curve.into_iter().map(|[x, y]| [x, y * factor]).collect() } else { Vec::new() }
    }
}

impl Fermi {
    fn at(self, energy_ev: f64) -> f64 {
        1.0 / (1.0 + (-(energy_ev - self.midpoint_ev) / self.width_ev).exp())
    }
}

fn polynomial([a, b, c]: [f64; 3], x: f64) -> f64 {
    a + x * (b + x * c)
}

/// Two half-Gaussians of widths s(1 - a) and s(1 + a) with one maximum, from their mean and standard deviation:
/// variance (1 - 2/pi) 4 s^2 a^2 + s^2 (1 - a^2), mean = mode + sqrt(2/pi) 2 s a. Not normalised.
fn split_normal(x: f64, mean: f64, deviation: f64, asymmetry: f64) -> f64 {
    let a = asymmetry.clamp(-0.95, 0.95);
    let ratio = std::f64::consts::FRAC_2_PI;
    let s = deviation / ((1.0 - ratio) * 4.0 * a * a + 1.0 - a * a).sqrt();
    let mode = mean - ratio.sqrt() * 2.0 * s * a;
    let side = if x < mode { s * (1.0 - a) } else { s * (1.0 + a) };
    (-0.5 * ((x - mode) / side).powi(2)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn response(shape: &str) -> Response {
        let parameters = |midpoint: f64| {
            json!({"fermi": {"midpoint_ev": midpoint, "width_ev": 5.0}, "mean": [0.0, 0.1, 0.0],
                   "width": [0.0, 0.03, 0.0], "asymmetry": 0.3})
        };
        let bootstrap: Vec<_> = (0..11).map(|i| parameters(30.0 + f64::from(i))).collect();
        let sources = json!([{"part": "width", "origin": "assumption", "caption": "30 % of the mean"}]);
        let value = json!({"shape": shape, "parameters": parameters(35.0), "bootstrap": bootstrap, "sources": sources});
        serde_json::from_value(value).expect("well-formed")
    }

    #[test]
    fn fermi_function_with_its_band() {
        let curve = response("gaussian").defect_probability(70.0);
        assert!((curve.line[100][1] - 0.5).abs() < 1e-12);
        assert!(curve.band[100][1] < 0.5 && curve.band[100][2] > 0.5);
        assert!(Response::default().defect_probability(70.0).line.is_empty());
    }

    #[test]
    fn densities_have_the_area_and_the_mean_that_they_are_made_of() {
        for shape in ["gaussian", "asymmetric-gaussian", "gamma"] {
            let curve = response(shape).stored_energy_density(100.0);
            let step = curve[1][0] - curve[0][0];
            let area: f64 = curve.iter().map(|p| p[1] * step).sum();
            let mean: f64 = curve.iter().map(|p| p[0] * p[1] * step).sum::<f64>() / area;
            assert!((area - 1.0 / (1.0 + (-13f64).exp())).abs() < 1e-9, "{shape} {area}");
            assert!((mean - 10.0).abs() < 0.02, "{shape} {mean}");
        }
        assert!(Response::default().stored_energy_density(100.0).is_empty());
        assert!(response("unknown").stored_energy_density(100.0).is_empty());
    }

    #[test]
    fn sources_become_sentences() {
        let response = response("gamma");
        assert_eq!(response.sources(), ["width: 30 % of the mean"]);
        assert_eq!(response.borrowed_parts(), ["width"]);
    }
}
