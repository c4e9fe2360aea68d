//! What the result depends on: one choice varied at a time, its effect on the peaks and on the rates above threshold.

use super::calibration::Calibration;
use super::capture::{Evaluation, Limit, SlowingDown};
use super::correction::{self, CorrectedSpectrum, RecoilRate, Settings};
use super::landmarks::{Feature, integral_above, peaks};
use super::reactor::FissionFractions;
use crate::Error;
use crate::math::quantile;
use crate::response::{AnyResponse, ShapeModel, StoredEnergy};
use rayon::prelude::*;

/// Results of one choice.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    /// What was varied: `response`, `halo`, ...
    pub group: &'static str,
    /// How.
    pub varied: String,
    /// Positions with stored energy of the 81, 112 and 160 eV peaks, eV; NaN without.
    pub peaks_ev: [f64; 3],
    /// What stands there, see [`Feature::in_words`]; `mixed` where bootstrap sets do not agree.
    pub forms: [&'static str; 3],
    /// Rates above the threshold with stored energy: capture per capture, dark matter and neutrinos per kg and day.
    pub rates_above_threshold: [f64; 3],
}

/// Bootstrap sets of the response that its own spread is taken from.
const SETS: usize = 40;

struct Case {
    group: &'static str,
    varied: String,
    settings: Settings,
    response: AnyResponse,
}

/// The settings with `response` first, then every variation. `others` are further responses to compare with; rates count
/// visible energies above `threshold_ev`.
pub fn sensitivity(
    settings: &Settings,
    response: &AnyResponse,
    others: &[AnyResponse],
    threshold_ev: f64,
) -> Result<Vec<Sensitivity>, Error> {
    let base = [correction::capture(settings)?, correction::dark_matter(settings)?, correction::cevns(settings)?];
    // Sources that a case does not touch are those of the base.
    let rates = |case: &Settings| -> Result<[RecoilRate; 3], Error> {
        let [mut capture, mut dark_matter, mut cevns] = base.clone();
        if case.capture != settings.capture {
            capture = correction::capture(case)?;
        }
        if case.dark_matter != settings.dark_matter {
            dark_matter = correction::dark_matter(case)?;
        }
        if case.cevns != settings.cevns {
            cevns = correction::cevns(case)?;
        }
        Ok([capture, dark_matter, cevns])
    };
    let of = |case: &Case| -> Result<Sensitivity, Error> {
        let stored = (case.response.best(), case.response.species());
        let found = outcome(&rates(&case.settings)?, &case.settings, stored, threshold_ev)?;
        Ok(Sensitivity { group: case.group, varied: case.varied.clone(), ..found })
    };
    let mut rows: Vec<Sensitivity> = cases(settings, response, others).par_iter().map(of).collect::<Result<_, _>>()?;
    let sets: Vec<Sensitivity> = response
        .replicas()
        .par_iter()
        .take(SETS)
        .map(|set| outcome(&base, settings, (*set, response.species()), threshold_ev))
        .collect::<Result<_, _>>()?;
    for (quantile, name) in [(0.84, "84 %"), (0.16, "16 %")].into_iter().filter(|_| !sets.is_empty()) {
        let varied = format!("{name} quantile over {} bootstrap sets", sets.len());
        rows.insert(1, Sensitivity { group: "response", varied, ..quantiles(&sets, quantile) });
    }
    Ok(rows)
}

fn cases(settings: &Settings, response: &AnyResponse, others: &[AnyResponse]) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |group, varied: &str, change: &dyn Fn(&mut Settings, &mut AnyResponse)| {
        let (mut settings, mut response) = (settings.clone(), response.without_sets());
        change(&mut settings, &mut response);
        cases.push(Case { group, varied: varied.to_owned(), settings, response });
    };
    add("none", &format!("as set, response {}", response.name()), &|_, _| {});
    for other in others.iter().filter(|o| o.species() == response.species()) {
        add("response", &format!("response {}", other.name()), &|_, r| *r = other.without_sets());
    }
    // A table has no shape to vary.
    if let AnyResponse::Curves(own) = response {
        for shape in [ShapeModel::Gaussian, ShapeModel::Gamma].into_iter().filter(|s| *s != own.parameters.shape) {
            add("response", &format!("shape {}", shape.name()), &|_, r| {
                if let AnyResponse::Curves(curves) = r {
                    (curves.parameters.shape, curves.parameters.profile) = (shape, None);
                }
            });
        }
    }
    add("halo", "v0 238 km/s, Earth 252.1 km/s", &|s, _| {
        (s.dark_matter.v0_km_per_s, s.dark_matter.earth_km_per_s) = (238.0, 252.13);
    });
    add("halo", "escape speed 650 km/s", &|s, _| s.dark_matter.escape_km_per_s = 650.0);
    add("reactor", "fissions of 235U only", &|s, _| {
        s.cevns.site.fission_fractions =
            FissionFractions { uranium_235: 1.0, uranium_238: 0.0, plutonium_239: 0.0, plutonium_241: 0.0 };
    });
    add("reactor", "0.6 captures of 238U per fission", &|s, _| s.cevns.site.uranium_238_captures_per_fission = 0.6);
    add("reactor", "sin2 theta_W 0.23122 (at M_Z)", &|s, _| s.cevns.sin2_theta_w = 0.23122);
    for evaluation in [Evaluation::EgafLanl, Evaluation::Egaf].into_iter().filter(|e| *e != settings.capture.evaluation)
    {
        let name = if evaluation == Evaluation::Egaf { "EGAF" } else { "EGAF-LANL" };
        add("capture evaluation", name, &|s, _| s.capture.evaluation = evaluation);
    }
    for (limit, name) in [(Limit::Prompt, "before the nucleus slows down"), (Limit::Stopped, "from a nucleus at rest")]
    {
        let varied = format!("all gamma rays {name}");
        add("capture slowing-down", &varied, &|s, _| s.capture.slowing_down = SlowingDown::Limit(limit));
    }
    for sigma in [3.0, 5.0, 7.0] {
        add("resolution", &format!("{sigma} eV for all spectra"), &|s, _| {
            for resolution in
                [&mut s.capture.resolution_ev, &mut s.dark_matter.resolution_ev, &mut s.cevns.resolution_ev]
            {
                *resolution = sigma;
            }
        });
    }
    for (calibration, name) in
        [(Calibration::ElectronRecoils, "electron recoils"), (Calibration::CapturePeak, "the capture peak")]
    {
        let possible = calibration == Calibration::ElectronRecoils || response.species() == "W";
        if calibration != settings.calibration && possible {
            add("calibration", &format!("energy scale fixed by {name}"), &|s, _| s.calibration = calibration);
        }
    }
    cases
}

fn outcome(
    rates: &[RecoilRate; 3],
    settings: &Settings,
    (stored, species): (StoredEnergy, &str),
    threshold_ev: f64,
) -> Result<Sensitivity, Error> {
    let found = correction::correct_once(rates, stored, species, settings)?;
    // Rates per keV times eV.
    let rate = |spectrum: &CorrectedSpectrum| {
        let unit = if spectrum.unit.starts_with("per_kev") { 1e-3 } else { 1.0 };
        unit * integral_above(spectrum, threshold_ev)
    };
    let mut rates_above_threshold = [f64::NAN; 3];
    rates_above_threshold.iter_mut().zip(&found).for_each(|(r, spectrum)| *r = rate(spectrum));
    let features = peaks(&found[0]).map(|p| p.after);
    Ok(Sensitivity {
        group: "",
        varied: String::new(),
        peaks_ev: features.map(|f| f.map_or(f64::NAN, Feature::position_ev)),
        forms: features.map(Feature::in_words),
        rates_above_threshold,
    })
}

fn quantiles(sets: &[Sensitivity], q: f64) -> Sensitivity {
    // Of the sets that have the feature, as the landmarks.
    let of = |value: &dyn Fn(&Sensitivity) -> f64| {
        quantile(&mut sets.iter().map(value).filter(|number| !number.is_nan()).collect::<Vec<_>>(), q)
    };
    let form = |i: usize| {
        let first = sets.first().map_or("none", |s| s.forms[i]);
        if sets.iter().all(|s| s.forms[i] == first) { first } else { "mixed" }
    };
    Sensitivity {
        group: "",
        varied: String::new(),
        peaks_ev: [0, 1, 2].map(|i| of(&|s| s.peaks_ev[i])),
        forms: [0, 1, 2].map(form),
        rates_above_threshold: [0, 1, 2].map(|i| of(&|s| s.rates_above_threshold[i])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::Response;

    /// Known signs and what must not change at all.
    #[test]
    fn each_choice_acts_where_it_must_and_nowhere_else() {
        let settings = Settings { bin_ev: 0.5, stop_ev: 200.0, highest_recoil_ev: 400.0, ..Settings::default() };
        let mut response = Response::from_paper();
        response.bootstrap.truncate(4);
        let [response, other] = [response, Response::from_paper()].map(|r| AnyResponse::Curves(Box::new(r)));
        let rows = sensitivity(&settings, &response, &[other], 20.0).unwrap();
        let row = |varied: &str| rows.iter().find(|r| r.varied.contains(varied)).unwrap_or_else(|| panic!("{varied}"));
        let base = &rows[0];
        assert_eq!(base.group, "none");
        let halo = row("238 km/s");
        assert!(halo.rates_above_threshold[1] > base.rates_above_threshold[1]);
        assert_eq!((halo.peaks_ev, halo.rates_above_threshold[2]), (base.peaks_ev, base.rates_above_threshold[2]));
        // The weak charge: -4.0 % at the larger mixing angle's rate for tungsten.
        let change = row("0.23122").rates_above_threshold[2] / base.rates_above_threshold[2] - 1.0;
        assert!((change.abs() - 0.04).abs() < 0.01, "{change}");
        assert!((row("EGAF").rates_above_threshold[0] - base.rates_above_threshold[0]).abs() > 1e-4);
        assert!((row("the capture peak").peaks_ev[1] - 112.44).abs() < 0.6, "{:?}", row("the capture peak"));
        let same = row("response paper");
        assert!(same.peaks_ev.iter().zip(base.peaks_ev).all(|(a, b)| (a - b).abs() < 1e-9));
        let (low, high) = (row("16 %"), row("84 %"));
        assert!((0..3).all(|i| low.peaks_ev[i] <= high.peaks_ev[i]), "{low:?} {high:?}");
        assert!(rows.iter().all(|r| r.peaks_ev.iter().zip(r.forms).all(|(e, form)| e.is_finite() && form != "none")));
    }
}
