//! A measured spectrum with the model that was fitted to it, and the true spectrum that this model is.

use super::axis::{Axis, extent};
use super::palette::{BLUE, INK, MUTED, RED, SERIES};
use super::plot::{Estimate, Key, Panel, SMALL, legend};
use super::svg::{Anchor, Font, Stroke, Svg};
use knockon::spectra::fitting::{FittedCounts, SpectrumFit};

const WIDTH: f64 = 860.0;

/// Draws the figure; `response` names what the fit rests on.
pub(crate) fn draw(fit: &SpectrumFit, response: &str) -> String {
    let mut svg = Svg::new("fitted-spectrum", WIDTH, 650.0);
    let several = fit.measured.components.len() > 1;
    let mut entries = vec![
        (Key::Disk(INK), "measured, with Poisson errors"),
        (Key::Line(Stroke::solid(RED, 2.2)), "fitted, as the detector sees it"),
        (Key::Line(Stroke::dashed(BLUE, 2.0)), "fitted true spectrum"),
        (Key::Area(BLUE.into(), 0.25), "68 % of the response's sets"),
    ];
    if several {
        let parts = fit.measured.components.iter().enumerate();
        entries.extend(parts.map(|(i, (name, _))| (Key::Line(Stroke::solid(part_color(i), 1.3)), name.as_str())));
    }
    let is_partial = !fit.is_fitted.iter().all(|is_fitted| *is_fitted);
    if is_partial {
        entries.push((Key::Area(MUTED.into(), 0.2), "not fitted"));
    }
    let top = 18.0 + legend(&mut svg, [86.0, 8.0], WIDTH - 110.0, &entries);
    let edges = &fit.measured.edges_ev;
    let end = edges[edges.len() - 1];
    let x = Axis::linear("Energy (eV): measured, or of the recoil", 0.0, end);
    let observed = density(edges, &fit.observed);
    let shown = observed.iter().chain(&fit.measured.points()).map(|p| p[1]).filter(|r| *r > 0.0).collect::<Vec<_>>();
    let (low, high) = extent(shown).unwrap_or((0.1, 10.0));
    let counts = Panel {
        corner: [86.0, top],
        size: [WIDTH - 106.0, 420.0 - top],
        x: x.clone(),
        y: Axis::logarithmic("Counts per eV", (0.5 * low).max(1e-5 * high), 3.0 * high),
    };
    counts.grid(&mut svg);
    counts.inside(&mut svg, |svg| {
        shade(svg, &counts, fit);
        counts.band(svg, &fit.recoils.band(), BLUE, 0.22);
        counts.line(svg, &fit.recoils.points(), Stroke::dashed(BLUE, 2.0));
        if several {
            for (index, (_, part)) in fit.measured.components.iter().enumerate() {
                counts.line(svg, &density(edges, part), Stroke::solid(part_color(index), 1.3));
            }
        }
        counts.line(svg, &fit.measured.points(), Stroke::solid(RED, 2.2));
    });
    for ((point, n), pair) in observed.iter().zip(&fit.observed).zip(edges.windows(2)) {
        let width = pair[1] - pair[0];
        let estimate = |n: f64, error: f64| Estimate {
            value: n / width,
            low: ((n - error) / width).max(counts.y.min),
            high: (n + error) / width,
        };
        if *n > 0.0 {
            counts.point(&mut svg, point[0], estimate(*n, n.sqrt()), 3.2, INK);
        }
    }
    counts.x_axis(&mut svg, false);
    counts.y_axis(&mut svg);
    residuals(&mut svg, fit, x);
    let text = format!(
        "C = {:.1}, expected {:.1} ± {:.1} (p = {:.2}); {response}",
        fit.statistic, fit.expected_statistic, fit.statistic_deviation, fit.p_value
    );
    svg.text([counts.right() - 8.0, counts.corner[1] + 18.0], &text, SMALL.anchored(Anchor::End).halo());
    svg.finish("Measured spectrum, fitted model and true spectrum")
}

/// Greys bins that are not fitted.
fn shade(svg: &mut Svg, panel: &Panel, fit: &SpectrumFit) {
    let bins = fit.measured.edges_ev.windows(2).zip(&fit.is_fitted);
    for (edges, _) in bins.filter(|(_, is_fitted)| !**is_fitted) {
        let over = [edges[0], edges[1]].map(|energy| [energy, panel.y.min, panel.y.max]);
        panel.band(svg, &over, MUTED, 0.2);
    }
}

fn residuals(svg: &mut Svg, fit: &SpectrumFit, x: Axis) {
    let pairs = fit.observed.iter().zip(&fit.measured.counts);
    let pulls: Vec<f64> = pairs.map(|(n, m)| (n - m) / m.max(1e-9).sqrt()).collect();
    let fitted = pulls.iter().zip(&fit.is_fitted).filter(|(_, is_fitted)| **is_fitted);
    let reach = fitted.fold(3.0f64, |reach, (pull, _)| reach.max(pull.abs())).min(10.0) * 1.1;
    let y = Axis::linear("Residual (σ)", -reach, reach).with_ticks(4);
    let panel = Panel { corner: [86.0, 440.0], size: [WIDTH - 106.0, 150.0], x, y };
    panel.grid(svg);
    panel.inside(svg, |svg| {
        shade(svg, &panel, fit);
        panel.line(svg, &[[panel.x.min, 0.0], [panel.x.max, 0.0]], Stroke::solid(MUTED, 1.2));
        for (pair, pull) in fit.measured.edges_ev.windows(2).zip(&pulls) {
            svg.disk(panel.at(0.5 * (pair[0] + pair[1]), *pull), 3.2, INK, None);
        }
    });
    panel.axes(svg);
    let [x, y] = [panel.corner[0] + 8.0, panel.corner[1] + 16.0];
    svg.text([x, y], "(measured − fitted) / √fitted", Font::new(12.0).colored(MUTED).halo());
}

fn part_color(index: usize) -> &'static str {
    // Blue and red are the sums.
    [SERIES[2], SERIES[1], SERIES[3], SERIES[5]][index % 4]
}

/// Points (middle of the bin, counts per eV).
fn density(edges: &[f64], counts: &[f64]) -> Vec<[f64; 2]> {
    edges.windows(2).zip(counts).map(|(e, c)| [0.5 * (e[0] + e[1]), c / (e[1] - e[0])]).collect()
}

/// Curves of fitted counts.
trait Curves {
    fn points(&self) -> Vec<[f64; 2]>;
    fn band(&self) -> Vec<[f64; 3]>;
}

impl Curves for FittedCounts {
    fn points(&self) -> Vec<[f64; 2]> {
        density(&self.edges_ev, &self.counts)
    }

    fn band(&self) -> Vec<[f64; 3]> {
        let [low, high] = self.response_band.each_ref().map(|counts| density(&self.edges_ev, counts));
        low.iter().zip(&high).map(|(l, h)| [l[0], l[1], h[1]]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_and_missing_bands_are_drawn() {
        let counts = |n: usize| FittedCounts {
            edges_ev: (0..=n).map(|i| 10.0 * i as f64).collect(),
            counts: vec![0.0; n],
            deviation: vec![0.0; n],
            response_band: [vec![f64::NAN; n], vec![f64::NAN; n]],
            components: vec![("a".into(), vec![0.0; n]), ("b".into(), vec![0.0; n])],
        };
        let fit = SpectrumFit {
            parameters: Vec::new(),
            correlation: Vec::new(),
            observed: vec![0.0, 3.0, 0.0],
            is_fitted: vec![true, true, false],
            measured: counts(3),
            recoils: counts(5),
            statistic: 1.0,
            expected_statistic: 1.0,
            statistic_deviation: 1.0,
            p_value: 0.5,
            n_drawn_sets: 0,
            statistic_without_stored_energy: 2.0,
            convergence_error: 0.0,
            calibration_scale: 1.0,
            n_response_sets: 0,
        };
        let svg = draw(&fit, "response a < b");
        assert!(!svg.contains("NaN") && !svg.contains("inf") && !svg.contains("a < b"));
    }
}
