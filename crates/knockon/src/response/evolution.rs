//! How a shape parameter grows with the recoil energy: a curve through the energies of a campaign, or a known curve scaled
//! to them when they are too few.

use super::spline::MonotoneSpline;
use crate::math::minimise;
use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

/// c0 + c1 E + c2 E^2, in eV.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Polynomial(pub [f64; 3]);

impl Polynomial {
    /// Value at a recoil energy in eV.
    pub fn at(&self, recoil_energy_ev: f64) -> f64 {
        let [a, b, c] = self.0;
        a + recoil_energy_ev * (b + recoil_energy_ev * c)
    }

    /// The straight line through two points.
    pub fn line_through(first: (f64, f64), second: (f64, f64)) -> Self {
        let slope = (second.1 - first.1) / (second.0 - first.0);
        Self([first.1 - slope * first.0, slope, 0.0])
    }
}

/// A family of curves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evolution {
    /// First-order polynomial.
    #[default]
    Line,
    /// Second-order polynomial.
    Parabola,
    /// The rising half of a Gaussian.
    Gaussian,
    /// A power of the recoil energy.
    PowerLaw,
    /// Monotone cubic through the energies of the campaign.
    MonotoneSpline,
}

impl Evolution {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Line, Self::Parabola, Self::Gaussian, Self::PowerLaw, Self::MonotoneSpline];

    /// Name in prose.
    pub fn name(self) -> &'static str {
        match self {
            Self::Line => "straight line",
            Self::Parabola => "parabola",
            Self::Gaussian => "Gaussian",
            Self::PowerLaw => "power law",
            Self::MonotoneSpline => "monotone spline",
        }
    }
}

/// A parameter in eV as a function of the recoil energy in eV.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Curve {
    /// A polynomial: `[c0, c1, c2]` in files.
    Polynomial(Polynomial),
    /// height exp(-(E - centre)^2 / (2 width^2)) below the centre, the height above it.
    #[serde(rename_all = "snake_case")]
    Gaussian {
        /// Largest value in eV.
        height_ev: f64,
        /// Recoil energy in eV from which the value stays.
        centre_ev: f64,
        /// Standard deviation in eV.
        width_ev: f64,
    },
    /// height (E / 100 eV)^exponent: as numbers of Frenkel pairs go with the energy of a cascade (arc-dpa of Nordlund et al.,
    /// Nat. Commun. 9 (2018) 1084, without the constant that the efficiency ends at).
    #[serde(rename_all = "snake_case")]
    PowerLaw {
        /// Value in eV at [`POWER_LAW_AT_EV`].
        height_ev: f64,
        /// Exponent, above 0.
        exponent: f64,
    },
    /// Through these points; straight on outside of them, towards 0 but not below it, and with the mean slope above.
    Spline(MonotoneSpline),
}

/// Recoil energy in eV at which a power law has its height.
const POWER_LAW_AT_EV: f64 = 100.0;

impl Curve {
    /// Value at a recoil energy in eV.
    pub fn at(&self, recoil_energy_ev: f64) -> f64 {
        match self {
            Self::Polynomial(polynomial) => polynomial.at(recoil_energy_ev),
            Self::Gaussian { height_ev, centre_ev, width_ev } => {
                height_ev * (-0.5 * ((recoil_energy_ev - centre_ev).min(0.0) / width_ev).powi(2)).exp()
            }
            Self::PowerLaw { height_ev, exponent } => {
                height_ev * (recoil_energy_ev.max(0.0) / POWER_LAW_AT_EV).powf(*exponent)
            }
            Self::Spline(spline) => {
                let last = spline.x.len() - 1;
                let (first, end) = ((spline.x[0], spline.y[0]), (spline.x[last], spline.y[last]));
                let mean_slope = (end.1 - first.1) / (end.0 - first.0);
                if recoil_energy_ev > end.0 {
                    end.1 + mean_slope * (recoil_energy_ev - end.0)
                } else if recoil_energy_ev < first.0 {
                    first.1 - mean_slope.min(first.1 / first.0) * (first.0 - recoil_energy_ev)
                } else {
                    spline.value_and_slope(recoil_energy_ev)[0]
                }
            }
        }
    }

    /// The curve times a number.
    pub fn scaled(&self, factor: f64) -> Self {
        match self {
            Self::Polynomial(Polynomial(c)) => Self::Polynomial(Polynomial(c.map(|c| factor * c))),
            Self::Gaussian { height_ev, centre_ev, width_ev } => {
                Self::Gaussian { height_ev: factor * height_ev, centre_ev: *centre_ev, width_ev: *width_ev }
            }
            Self::PowerLaw { height_ev, exponent } => {
                Self::PowerLaw { height_ev: factor * height_ev, exponent: *exponent }
            }
            Self::Spline(s) => {
                Self::Spline(MonotoneSpline { x: s.x.clone(), y: s.y.iter().map(|y| factor * y).collect() })
            }
        }
    }

    /// Whether the numbers mean something.
    pub(super) fn is_sound(&self) -> bool {
        match self {
            Self::Polynomial(Polynomial(c)) => c.iter().all(|c| c.is_finite()),
            Self::Gaussian { height_ev, centre_ev, width_ev } => {
                height_ev.is_finite() && centre_ev.is_finite() && width_ev.is_finite() && *width_ev > 0.0
            }
            Self::PowerLaw { height_ev, exponent } => height_ev.is_finite() && exponent.is_finite() && *exponent > 0.0,
            Self::Spline(spline) => spline.is_sound() && spline.x[0] > 0.0,
        }
    }
}

/// A parameter measured at one recoil energy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// Recoil energy in eV.
    pub recoil_energy_ev: f64,
    /// Value in eV.
    pub value: f64,
    /// Variance of the value in eV^2.
    pub variance: f64,
}

/// Where a curve came from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rule {
    /// No data: the known curve.
    Known,
    /// The known curve times this factor.
    Scaled(f64),
    /// A curve fitted to this many energies.
    Fitted {
        /// Family; another one than asked for where that did not fit.
        evolution: Evolution,
        /// Whether the constant of a polynomial was held at 0.
        through_origin: bool,
        /// Energies used.
        energies: usize,
        /// Numbers fitted.
        n_parameters: usize,
    },
}

impl Rule {
    /// Numbers fitted.
    pub(super) fn n_parameters(self) -> usize {
        match self {
            Self::Known => 0,
            Self::Scaled(_) => 1,
            Self::Fitted { n_parameters, .. } => n_parameters,
        }
    }

    /// What was fitted, in words.
    pub(super) fn in_words(self) -> String {
        match self {
            Self::Known => "known curve".to_owned(),
            Self::Scaled(_) => "known curve, scaled".to_owned(),
            Self::Fitted { evolution, through_origin, .. } => {
                format!("{}{}", evolution.name(), if through_origin { " through the origin" } else { "" })
            }
        }
    }
}

/// Energies closer than this ratio say nothing about a slope.
pub(super) const SMALLEST_LEVER: f64 = 1.2;
/// Curves are used up to here, beyond the highest recoil of a campaign: a fitted polynomial must not turn over before.
pub(super) const HIGHEST_USE_EV: f64 = 500.0;

/// Fits a curve by weighted least squares. A stored energy and its spread are positive and grow with the recoil energy, so a
/// polynomial that starts below 0 is repeated through the origin; one that turns over below [`HIGHEST_USE_EV`], or a
/// family with too few energies, gives way to a straight line; and when nothing is left, or the energies are too few or too
/// close, the `known` curve is scaled to the points.
pub(super) fn fit(points: &[Point], evolution: Evolution, known: &Curve) -> (Curve, Rule) {
    if points.is_empty() {
        return (known.clone(), Rule::Known);
    }
    let energy = |pick: fn(f64, f64) -> f64, start: f64| points.iter().map(|p| p.recoil_energy_ev).fold(start, pick);
    let lever = energy(f64::max, 0.0) / energy(f64::min, f64::INFINITY);
    if points.len() >= 2 && lever >= SMALLEST_LEVER {
        let asked = match evolution {
            Evolution::Line => None,
            Evolution::Parabola => polynomial(points, 2),
            Evolution::Gaussian => gaussian(points),
            Evolution::PowerLaw => power_law(points),
            Evolution::MonotoneSpline => monotone_spline(points),
        };
        if let Some(found) = asked.or_else(|| polynomial(points, 1)) {
            return found;
        }
    }
    let overlap: f64 = points.iter().map(|p| p.value * known.at(p.recoil_energy_ev) / p.variance).sum();
    let norm: f64 = points.iter().map(|p| known.at(p.recoil_energy_ev).powi(2) / p.variance).sum();
    (known.scaled(overlap / norm), Rule::Scaled(overlap / norm))
}

/// A polynomial that starts at 0 or above and does not turn over, if there is one.
fn polynomial(points: &[Point], order: usize) -> Option<(Curve, Rule)> {
    let evolution = if order == 1 { Evolution::Line } else { Evolution::Parabola };
    let fitted = |through_origin| {
        let n_parameters = order + 1 - usize::from(through_origin);
        let rule = Rule::Fitted { evolution, through_origin, energies: points.len(), n_parameters };
        (points.len() >= n_parameters).then(|| least_squares(points, order, through_origin))?.map(|p| (p, rule))
    };
    let free = fitted(false);
    let starts_below_zero = free.is_some_and(|(polynomial, _)| polynomial.0[0] < 0.0);
    let (chosen, rule) = if starts_below_zero { fitted(true) } else { free }?;
    grows_from_zero(&chosen).then_some((Curve::Polynomial(chosen), rule))
}

/// A Gaussian whose centre lies at or above the highest energy.
fn gaussian(points: &[Point]) -> Option<(Curve, Rule)> {
    if points.len() < 3 {
        return None;
    }
    let end = points.iter().map(|p| p.recoil_energy_ev).fold(0.0, f64::max);
    let top = points.iter().map(|p| p.value).fold(0.0, f64::max);
    if top <= 0.0 {
        return None;
    }
    let curve = |p: &[f64]| Curve::Gaussian { height_ev: p[0].exp(), centre_ev: p[1], width_ev: p[2].exp() };
    let best = minimise(&[(1.2 * top).ln(), 1.5 * end, end.ln()], &[0.2, 0.4 * end, 0.3], 1e-10, |p| {
        // Much wider or farther than the data reach, height and centre cannot be told apart.
        let far = !(end..=4.0 * end).contains(&p[1]) || p[2].exp() > 4.0 * end;
        if far { f64::INFINITY } else { misfit(points, &curve(p)) }
    });
    let rule =
        Rule::Fitted { evolution: Evolution::Gaussian, through_origin: false, energies: points.len(), n_parameters: 3 };
    Some((curve(&best), rule))
}

/// A power law with an exponent between those of a constant and a parabola.
fn power_law(points: &[Point]) -> Option<(Curve, Rule)> {
    const LEAST_EXPONENT: f64 = 1e-3;
    let top = points.iter().map(|p| p.value).fold(0.0, f64::max);
    if top <= 0.0 {
        return None;
    }
    let curve = |p: &[f64]| Curve::PowerLaw { height_ev: p[0].exp(), exponent: p[1] };
    let best = minimise(&[top.ln(), 0.5], &[0.2, 0.2], 1e-10, |p| {
        if !(LEAST_EXPONENT..=2.0).contains(&p[1]) { f64::INFINITY } else { misfit(points, &curve(p)) }
    });
    let rule =
        Rule::Fitted { evolution: Evolution::PowerLaw, through_origin: false, energies: points.len(), n_parameters: 2 };
    // At the bound the points fall.
    (best[1] > 2.0 * LEAST_EXPONENT).then(|| (curve(&best), rule))
}

/// Weighted sum of squared deviations.
fn misfit(points: &[Point], curve: &Curve) -> f64 {
    points.iter().map(|q| (q.value - curve.at(q.recoil_energy_ev)).powi(2) / q.variance).sum()
}

/// A monotone spline through the points, of which those that fall are pooled first: their weighted mean stands at each of
/// their energies (isotonic regression by pooling adjacent violators).
fn monotone_spline(points: &[Point]) -> Option<(Curve, Rule)> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.recoil_energy_ev.total_cmp(&b.recoil_energy_ev));
    // Weighted sum, weight, number of points.
    let mut blocks: Vec<(f64, f64, usize)> = Vec::new();
    for point in &sorted {
        blocks.push((point.value / point.variance, 1.0 / point.variance, 1));
        while let [.., a, b] = blocks[..]
            && a.0 / a.1 >= b.0 / b.1
        {
            blocks.truncate(blocks.len() - 2);
            blocks.push((a.0 + b.0, a.1 + b.1, a.2 + b.2));
        }
    }
    if blocks.len() < 2 {
        return None;
    }
    let y: Vec<f64> = blocks.iter().flat_map(|b| std::iter::repeat_n(b.0 / b.1, b.2)).collect();
    let x: Vec<f64> = sorted.iter().map(|p| p.recoil_energy_ev).collect();
    let rule = Rule::Fitted {
        evolution: Evolution::MonotoneSpline,
        through_origin: false,
        energies: points.len(),
        n_parameters: blocks.len(),
    };
    (y[0] > 0.0).then_some((Curve::Spline(MonotoneSpline { x, y }), rule))
}

fn least_squares(points: &[Point], order: usize, through_origin: bool) -> Option<Polynomial> {
    let first = usize::from(through_origin);
    let scale = points.iter().map(|p| p.recoil_energy_ev).fold(0.0, f64::max);
    let weight = |p: &Point| 1.0 / p.variance.sqrt();
    let rows = DMatrix::from_fn(points.len(), order + 1 - first, |i, k| {
        weight(&points[i]) * (points[i].recoil_energy_ev / scale).powi((k + first) as i32)
    });
    let values = DVector::from_fn(points.len(), |i, _| weight(&points[i]) * points[i].value);
    let solution = rows.svd(true, true).solve(&values, 1e-12).ok()?;
    let mut coefficients = [0.0; 3];
    for (k, value) in solution.iter().enumerate() {
        coefficients[k + first] = value / scale.powi((k + first) as i32);
    }
    coefficients.iter().all(|c| c.is_finite()).then_some(Polynomial(coefficients))
}

fn grows_from_zero(polynomial: &Polynomial) -> bool {
    let [a, b, c] = polynomial.0;
    a >= 0.0 && b >= 0.0 && b + 2.0 * c * HIGHEST_USE_EV >= 0.0 && polynomial.at(HIGHEST_USE_EV) > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Curve = Curve::Polynomial(Polynomial([4.0, 0.05, 0.0]));

    fn points(values: &[(f64, f64)]) -> Vec<Point> {
        values.iter().map(|&(recoil_energy_ev, value)| Point { recoil_energy_ev, value, variance: 0.1 }).collect()
    }

    #[test]
    fn enough_points_are_fitted() {
        let (line, rule) = fit(&points(&[(40.0, 6.0), (80.0, 8.0), (160.0, 12.0)]), Evolution::Line, &KNOWN);
        assert!((line.at(100.0) - 9.0).abs() < 1e-9);
        let evolution = Evolution::Line;
        assert_eq!(rule, Rule::Fitted { evolution, through_origin: false, energies: 3, n_parameters: 2 });
        let parabola = |e: f64| 1.0 + 0.1 * e - 5e-5 * e * e;
        let on_parabola = points(&[20.0, 60.0, 100.0, 160.0].map(|e| (e, parabola(e))));
        let (curve, _) = fit(&on_parabola, Evolution::Parabola, &KNOWN);
        assert!((curve.at(300.0) - parabola(300.0)).abs() < 1e-8);
    }

    /// Every family gives back a curve of its own kind, and files keep it.
    #[test]
    fn each_family_finds_its_own_curve() {
        let gaussian = Curve::Gaussian { height_ev: 14.0, centre_ev: 220.0, width_ev: 150.0 };
        let spline = MonotoneSpline { x: vec![40.0, 80.0, 160.0], y: vec![3.0, 9.0, 10.0] };
        let power = Curve::PowerLaw { height_ev: 10.0, exponent: 0.4 };
        for (evolution, truth) in [
            (Evolution::Gaussian, gaussian),
            (Evolution::PowerLaw, power),
            (Evolution::MonotoneSpline, Curve::Spline(spline)),
        ] {
            let data = points(&[40.0, 80.0, 112.0, 160.0].map(|e| (e, truth.at(e))));
            let (found, rule) = fit(&data, evolution, &KNOWN);
            assert!(matches!(rule, Rule::Fitted { evolution: e, .. } if e == evolution));
            for energy in [40.0, 80.0, 112.0, 160.0] {
                assert!((found.at(energy) - truth.at(energy)).abs() < 2e-3, "{evolution:?} {energy}");
            }
            let values: Vec<f64> = (0..=50).map(|i| found.at(10.0 * f64::from(i))).collect();
            assert!(values.windows(2).all(|w| w[1] >= w[0]) && values[0] >= 0.0, "{evolution:?} {values:?}");
            let text = serde_json::to_string(&found).unwrap();
            assert_eq!(serde_json::from_str::<Curve>(&text).unwrap(), found);
            assert!((found.scaled(2.0).at(300.0) - 2.0 * found.at(300.0)).abs() < 1e-12);
        }
    }

    #[test]
    fn falling_points_are_pooled_by_the_spline() {
        let (curve, rule) =
            fit(&points(&[(40.0, 4.0), (80.0, 9.0), (112.0, 7.0), (160.0, 12.0)]), Evolution::MonotoneSpline, &KNOWN);
        assert_eq!((curve.at(80.0), curve.at(112.0), rule.n_parameters()), (8.0, 8.0, 3));
    }

    #[test]
    fn a_fit_that_starts_below_zero_goes_through_the_origin() {
        let (line, rule) = fit(&points(&[(50.0, 2.0), (100.0, 8.0)]), Evolution::Line, &KNOWN);
        assert_eq!(line.at(0.0), 0.0);
        assert!(matches!(rule, Rule::Fitted { through_origin: true, .. }));
    }

    #[test]
    fn too_little_data_scale_the_known_curve() {
        for evolution in Evolution::ALL {
            let (curve, rule) = fit(&points(&[(100.0, 18.0)]), evolution, &KNOWN);
            assert_eq!((curve, rule), (KNOWN.scaled(2.0), Rule::Scaled(2.0)));
            let close = points(&[(100.0, 9.0), (110.0, 12.0)]);
            assert!(matches!(fit(&close, evolution, &KNOWN).1, Rule::Scaled(_)));
            let falling = points(&[(50.0, 12.0), (100.0, 5.0)]);
            assert!(matches!(fit(&falling, evolution, &KNOWN).1, Rule::Scaled(_)));
            assert_eq!(fit(&[], evolution, &KNOWN), (KNOWN, Rule::Known));
        }
    }
}
