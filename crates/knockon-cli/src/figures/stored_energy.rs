//! Figure 2: distributions of the stored energy, one panel a recoil energy.

use super::axis::Axis;
use super::palette::{INK, MUTED, SERIES};
use super::plot::{Estimate, Key, Panel, legend, nothing_to_draw, other};
use super::svg::{Anchor, Font, Stroke, Svg, number};

/// The recoils of one energy.
pub(crate) struct Distribution {
    pub(crate) recoil_energy_ev: f64,
    /// Stored energy in eV (0 without a defect) and weight of each recoil; the weights sum to 1.
    pub(crate) samples: Vec<(f64, f64)>,
    /// Mean in eV of the stored energies that are not zero, and its uncertainty if known.
    pub(crate) mean_nonzero_ev: Option<Estimate>,
    /// Density per eV of the fitted shape, its area the defect probability; empty if there is none.
    pub(crate) model: Vec<[f64; 2]>,
    /// The same of other responses: name and density.
    pub(crate) compared: Vec<(String, Vec<[f64; 2]>)>,
}

impl Distribution {
    /// The samples with a defect.
    fn nonzero(&self) -> impl Iterator<Item = &(f64, f64)> {
        self.samples.iter().filter(|(energy, _)| *energy > 0.0)
    }

    /// Weighted share of recoils that leave a defect.
    pub(crate) fn defect_share(&self) -> f64 {
        self.nonzero().map(|(_, weight)| weight).sum()
    }

    /// Density per eV in bins of this width from zero.
    fn histogram(&self, width: f64, bins: usize) -> Vec<f64> {
        let mut heights = vec![0.0; bins];
        for (energy, weight) in self.nonzero() {
            if let Some(height) = heights.get_mut((energy / width) as usize) {
                *height += weight / width;
            }
        }
        heights
    }
}

const WIDTH: f64 = 880.0;
/// Height in pixels of one panel; a single one is higher.
const PANEL_HEIGHT: f64 = 92.0;
const SINGLE_HEIGHT: f64 = 210.0;
const GAP: f64 = 16.0;

/// Draws the figure.
pub(crate) fn draw(distributions: &[Distribution]) -> String {
    // Room for the second row of the legend.
    let top = if distributions.iter().any(|d| !d.compared.is_empty()) { 58.0 } else { 44.0 };
    let panel_height = if distributions.len() > 1 { PANEL_HEIGHT } else { SINGLE_HEIGHT };
    let height = top + (panel_height + GAP) * distributions.len().max(1) as f64 + 42.0;
    let mut svg = Svg::new("stored-energy", WIDTH, height);
    if distributions.iter().all(|d| d.samples.is_empty() && d.model.is_empty()) {
        nothing_to_draw(&mut svg, [WIDTH / 2.0, height / 2.0], "no recoils yet");
        return svg.finish(TITLE);
    }
    let samples = || distributions.iter().flat_map(|d| d.samples.iter().map(|(energy, _)| *energy));
    let modelled = || {
        let models = |d: &Distribution| d.compared.iter().filter_map(|c| visible_end(&c.1)).fold(0.0, f64::max);
        distributions.iter().flat_map(|d| visible_end(&d.model)).chain(distributions.iter().map(models))
    };
    let end = samples().chain(modelled()).fold(1.0, f64::max) * 1.04;
    let most = distributions.iter().map(|d| d.samples.len()).max().unwrap_or(0);
    let (bin, bins) = bins(end, most);
    let last = distributions.len() - 1;
    for (index, distribution) in distributions.iter().enumerate() {
        let heights = distribution.histogram(bin, bins);
        let compared = distribution.compared.iter().flat_map(|c| &c.1);
        let modelled = distribution.model.iter().chain(compared).map(|p| p[1]);
        let peak = heights.iter().copied().chain(modelled).filter(|h| h.is_finite()).fold(0.0, f64::max);
        let mut panel = Panel {
            corner: [78.0, top + index as f64 * (panel_height + GAP)],
            size: [WIDTH - 78.0 - 190.0, panel_height],
            x: Axis::linear("Energy stored in defects (eV)", 0.0, end),
            y: Axis::linear("", 0.0, if peak > 0.0 { 1.15 * peak } else { 1.0 })
                .with_ticks(if distributions.len() > 1 { 2 } else { 5 }),
        };
        if peak <= 0.0 {
            panel.y.ticks.clear();
        }
        draw_panel(&mut svg, &panel, distribution, SERIES[index % SERIES.len()], bin, &heights);
        panel.x_axis(&mut svg, index == last);
        panel.y_axis(&mut svg);
    }
    let middle = top - 8.0 + 0.5 * (panel_height + GAP) * distributions.len() as f64;
    let font = Font::new(13.5).anchored(Anchor::Middle).upright();
    svg.text([20.0, middle], "Probability density (1/eV)", font);
    let mut entries = vec![(Key::Area(MUTED.into(), 0.35), "recoils with a defect, weighted by solid angle")];
    if distributions.iter().any(|d| !d.model.is_empty()) {
        entries.push((Key::Line(Stroke::solid(INK, 1.8)), "fitted shape"));
    }
    let others: Vec<String> = distributions[0].compared.iter().map(|c| format!("response: {}", c.0)).collect();
    entries.extend(others.iter().enumerate().map(|(i, label)| (Key::Line(other(i)), label.as_str())));
    entries.push((Key::Line(Stroke::dashed(INK, 1.4)), "mean with a defect"));
    legend(&mut svg, [78.0, 8.0], WIDTH - 90.0, &entries);
    svg.finish(TITLE)
}

const TITLE: &str = "Distributions of the energy stored in defects, by recoil energy";

/// Bin width in eV (a round number) and number of bins: about 12 for few recoils, about 40 for many.
fn bins(end: f64, most: usize) -> (f64, usize) {
    let wanted = if most < 40 {
        14.0
    } else if most < 150 {
        24.0
    } else {
        36.0
    };
    let width = [0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0, 20.0].into_iter().find(|w| end / w <= wanted);
    let width = width.unwrap_or(end / wanted);
    (width, (end / width).ceil() as usize)
}

/// Up to where a modelled density is worth showing.
fn visible_end(model: &[[f64; 2]]) -> Option<f64> {
    let peak = model.iter().map(|p| p[1]).filter(|v| v.is_finite()).fold(0.0, f64::max);
    model.iter().rev().find(|p| p[1] > 0.02 * peak).map(|p| p[0])
}

fn draw_panel(
    svg: &mut Svg,
    panel: &Panel,
    distribution: &Distribution,
    color: &'static str,
    bin: f64,
    heights: &[f64],
) {
    panel.grid(svg);
    let edges: Vec<f64> = (0..=heights.len()).map(|i| i as f64 * bin).collect();
    panel.inside(svg, |svg| {
        if heights.iter().any(|h| *h > 0.0) {
            panel.histogram(svg, &edges, heights, color, Stroke::solid(color, 1.5));
        }
        panel.line(svg, &distribution.model, Stroke::solid(INK, 1.8));
        for (index, (_, density)) in distribution.compared.iter().enumerate() {
            panel.line(svg, density, other(index));
        }
        if distribution.samples.len() <= 80 {
            for (energy, _) in distribution.nonzero() {
                let [x, y] = panel.at(*energy, 0.0);
                svg.line([x, y - 9.0], [x, y], Stroke::solid(color, 1.6));
            }
        }
        if let Some(mean) = distribution.mean_nonzero_ev {
            let [x, _] = panel.at(mean.value, 0.0);
            svg.line([x, panel.corner[1]], [x, panel.bottom()], Stroke::dashed(INK, 1.4));
        }
    });
    let (x, mut y) = (panel.right() + 16.0, panel.corner[1] + 18.0);
    let energy = format!("{} eV recoils", number(distribution.recoil_energy_ev));
    svg.text([x, y], &energy, Font::new(14.5).bold().colored(color));
    let mut line = |text: String| {
        y += 19.0;
        svg.text([x, y], &text, Font::new(12.5));
    };
    match distribution.samples.len() {
        0 => line("no recoils in this run".to_owned()),
        n => {
            line(format!("{n} recoil{}", if n == 1 { "" } else { "s" }));
            // Weights sum to 1 up to rounding: no "-0 %".
            let without = (1.0 - distribution.defect_share()).max(0.0);
            line(format!("{:.0} % without a defect", 100.0 * without));
        }
    }
    if let Some(mean) = distribution.mean_nonzero_ev {
        line(match mean.low.is_finite() && mean.high.is_finite() {
            true => format!("mean {:.1} eV ({:.1}–{:.1})", mean.value, mean.low, mean.high),
            false => format!("mean {:.1} eV", mean.value),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(samples: &[(f64, f64)]) -> Distribution {
        Distribution {
            recoil_energy_ev: 112.0,
            samples: samples.to_vec(),
            mean_nonzero_ev: None,
            model: Vec::new(),
            compared: vec![("a".into(), vec![[1.0, 0.1], [2.0, 0.0]])],
        }
    }

    #[test]
    fn area_of_the_histogram_is_the_share_of_defects() {
        let d = distribution(&[(0.0, 0.25), (4.0, 0.25), (9.5, 0.5)]);
        let (width, n) = bins(12.0, 3);
        let area: f64 = d.histogram(width, n).iter().map(|h| h * width).sum();
        assert!((area - 0.75).abs() < 1e-12 && (d.defect_share() - 0.75).abs() < 1e-12);
    }

    #[test]
    fn empty_and_tiny_inputs_are_drawn() {
        assert!(draw(&[]).contains("no recoils yet"));
        for samples in [&[][..], &[(0.0, 1.0)], &[(7.0, 1.0)], &[(f64::NAN, 1.0)]] {
            let svg = draw(&[distribution(samples), distribution(&[(3.0, 1.0)])]);
            assert!(svg.starts_with("<svg") && !svg.contains("NaN"), "{samples:?}");
        }
    }
}
