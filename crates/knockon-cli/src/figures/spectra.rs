//! Figures 4 and 5: recoil spectra before and after the energy stored in defects.

use super::axis::{Axis, extent};
use super::palette::{BLUE, GRAY, GRID, INK, MUTED, RED};
use super::plot::{Key, Panel, SMALL, legend, nothing_to_draw, other};
use super::svg::{Anchor, Font, Stroke, Svg};

/// One spectrum before and after.
pub(crate) struct Spectrum {
    /// What recoils, e.g. "2 GeV dark matter".
    pub(crate) title: String,
    /// The name of the response, empty where it is not known.
    pub(crate) response: String,
    pub(crate) energy_ev: Vec<f64>,
    pub(crate) before: Vec<f64>,
    pub(crate) after: Vec<f64>,
    /// After over before, with bounds that may be NaN.
    pub(crate) ratio: Vec<[f64; 3]>,
    /// Unit of the rate as text with markup, e.g. "1/(eV capture)".
    pub(crate) unit: String,
    /// Parts worth showing on their own, e.g. recoils of other elements: label and rate after.
    pub(crate) parts: Vec<(String, Vec<f64>)>,
    /// The same with other responses.
    pub(crate) compared: Vec<Compared>,
}

/// A spectrum with another response: its name, rate after, and after over before.
pub(crate) struct Compared {
    pub(crate) response: String,
    pub(crate) after: Vec<f64>,
    pub(crate) ratio: Vec<f64>,
}

impl Spectrum {
    /// What the line after the loss shows.
    fn after_label(&self) -> String {
        let response = if self.response.is_empty() { String::new() } else { format!(", response {}", self.response) };
        format!("less the energy stored in defects{response}")
    }

    fn points(&self, rates: &[f64]) -> Vec<[f64; 2]> {
        self.energy_ev.iter().zip(rates).map(|(e, r)| [*e, *r]).collect()
    }

    /// The largest energy at which either rate exceeds this share of its maximum above `from` eV.
    fn end_ev(&self, share: f64, from: f64) -> f64 {
        let rates = [&self.before, &self.after];
        let ends = rates.into_iter().flat_map(|rates| {
            let points = self.points(rates);
            let above = points.iter().filter(|p| p[0] >= from && p[1].is_finite());
            let peak = above.map(|p| p[1]).fold(0.0, f64::max);
            points.into_iter().rev().find(|p| peak > 0.0 && p[1] > share * peak).map(|p| p[0])
        });
        ends.fold(f64::NAN, f64::max)
    }
}

/// Energies in eV of the three calibration peaks of the paper.
const CALIBRATION_PEAKS_EV: [f64; 3] = [81.0, 112.0, 160.0];
/// The detection threshold of the paper's discussion, in eV.
const THRESHOLD_EV: f64 = 20.0;

/// Draws figure 4: recoils of tungsten after neutron capture.
pub(crate) fn draw_capture(spectrum: Option<&Spectrum>, resolution_ev: f64) -> String {
    let mut svg = Svg::new("capture-spectrum", 800.0, 440.0);
    let Some(spectrum) = spectrum.filter(|s| !s.energy_ev.is_empty()) else {
        nothing_to_draw(&mut svg, [400.0, 220.0], "no capture spectrum yet");
        return svg.finish(CAPTURE_TITLE);
    };
    let end = spectrum.end_ev(0.01, 40.0);
    let end = if end.is_finite() { (end * 1.05).min(260.0) } else { 200.0 };
    let shown = |rates: &[f64]| {
        // the steep rise towards zero must not flatten the peaks
        let within = spectrum.points(rates).into_iter().filter(move |p| p[0] >= 30.0 && p[0] <= end);
        within.map(|p| p[1]).filter(|r| r.is_finite()).fold(0.0, f64::max)
    };
    let band: Vec<f64> = after_band(spectrum).into_iter().map(|[_, _, high]| high).collect();
    let top = [&spectrum.before, &spectrum.after, &band].map(|rates| shown(rates)).into_iter().fold(0.0, f64::max);
    let labels: Vec<String> = spectrum.parts.iter().map(|(label, _)| format!("of which {label}")).collect();
    let after = spectrum.after_label();
    let mut entries = vec![
        (Key::Line(Stroke::dashed(INK, 1.8)), "recoil energy"),
        (Key::Line(Stroke::solid(RED, 2.2)), after.as_str()),
        (Key::Area(RED.into(), 0.22), "its uncertainty"),
    ];
    let others: Vec<String> = spectrum.compared.iter().map(|c| format!("response: {}", c.response)).collect();
    entries.extend(others.iter().enumerate().map(|(i, label)| (Key::Line(other(i)), label.as_str())));
    entries.extend(labels.iter().map(|label| (Key::Line(Stroke::solid(GRAY, 1.4)), label.as_str())));
    let above = 16.0 + legend(&mut svg, [92.0, 8.0], 690.0, &entries);
    let panel = Panel {
        corner: [92.0, above],
        size: [688.0, 382.0 - above],
        x: Axis::linear(&format!("Visible energy (eV), resolution {resolution_ev} eV"), 0.0, end).with_ticks(8),
        y: Axis::linear(&format!("Rate ({})", spectrum.unit), 0.0, 1.12 * top),
    };
    panel.grid(&mut svg);
    for peak in CALIBRATION_PEAKS_EV.into_iter().filter(|p| *p < end) {
        let [x, _] = panel.at(peak, 0.0);
        svg.line([x, panel.corner[1]], [x, panel.bottom()], Stroke { dash: "2 4", ..Stroke::solid(MUTED, 1.0) });
        svg.text([x + 5.0, panel.corner[1] + 12.0], &format!("{peak} eV"), SMALL.halo());
    }
    panel.inside(&mut svg, |svg| {
        panel.band(svg, &after_band(spectrum), RED, 0.22);
        for (_, rate) in &spectrum.parts {
            panel.line(svg, &spectrum.points(rate), Stroke::solid(GRAY, 1.4));
        }
        panel.line(svg, &spectrum.points(&spectrum.before), Stroke::dashed(INK, 1.8));
        panel.line(svg, &spectrum.points(&spectrum.after), Stroke::solid(RED, 2.2));
        for (index, compared) in spectrum.compared.iter().enumerate() {
            panel.line(svg, &spectrum.points(&compared.after), other(index));
        }
    });
    magnify(&mut svg, &panel, spectrum);
    panel.axes(&mut svg);
    svg.finish(CAPTURE_TITLE)
}

/// Repeats the last calibration peak ten times as high where it would drown in the others.
fn magnify(svg: &mut Svg, panel: &Panel, spectrum: &Spectrum) {
    const FROM_EV: f64 = 133.0;
    const FACTOR: f64 = 10.0;
    let points = |rates: &[f64]| -> Vec<[f64; 2]> {
        let beyond = spectrum.points(rates).into_iter().filter(|p| p[0] >= FROM_EV);
        beyond.map(|[energy, rate]| [energy, FACTOR * rate]).collect()
    };
    let (before, after) = (points(&spectrum.before), points(&spectrum.after));
    let peak = before.iter().chain(&after).map(|p| p[1]).fold(0.0, f64::max);
    if !(peak > 0.0 && peak < 0.8 * panel.y.max) {
        return;
    }
    panel.inside(svg, |svg| {
        panel.line(svg, &before, Stroke::dashed(INK, 1.1).with_opacity(0.75));
        panel.line(svg, &after, Stroke::solid(RED, 1.2).with_opacity(0.75));
        for (index, compared) in spectrum.compared.iter().enumerate() {
            panel.line(svg, &points(&compared.after), Stroke { width: 1.2, ..other(index) });
        }
    });
    let [x, y] = panel.at(FROM_EV + 10.0, peak);
    svg.text([x, y - 8.0], "thin lines: rates × 10", SMALL.anchored(Anchor::Middle).halo());
}

const CAPTURE_TITLE: &str = "Recoil spectrum after neutron capture, before and after the energy stored in defects";

/// Draws figure 5: one column a spectrum, its ratio below.
pub(crate) fn draw_continuous(spectra: &[Spectrum]) -> String {
    let mut svg = Svg::new("continuous-spectra", 960.0, 520.0);
    let spectra: Vec<&Spectrum> = spectra.iter().filter(|s| !s.energy_ev.is_empty()).collect();
    if spectra.is_empty() {
        nothing_to_draw(&mut svg, [480.0, 260.0], "no dark-matter or neutrino spectrum yet");
        return svg.finish(CONTINUOUS_TITLE);
    }
    let after = spectra[0].after_label();
    let mut entries = vec![
        (Key::Line(Stroke::dashed(INK, 1.8)), "recoil energy"),
        (Key::Line(Stroke::solid(GRAY, 2.4)), after.as_str()),
        (Key::Area(GRAY.into(), 0.3), "its uncertainty"),
        (Key::Area(GRID.into(), 1.0), "below 20 eV"),
    ];
    let others: Vec<String> = spectra[0].compared.iter().map(|c| format!("response: {}", c.response)).collect();
    entries.extend(others.iter().enumerate().map(|(i, label)| (Key::Line(other(i)), label.as_str())));
    let top = 37.0 + legend(&mut svg, [86.0, 6.0], 860.0, &entries);
    let column = 960.0 / spectra.len() as f64;
    for (index, spectrum) in spectra.iter().enumerate() {
        let color = if index == 0 { BLUE } else { RED };
        draw_column(&mut svg, spectrum, [index as f64 * column, top], column, color);
    }
    svg.finish(CONTINUOUS_TITLE)
}

const CONTINUOUS_TITLE: &str = "Dark-matter and neutrino recoil spectra before and after the energy stored in defects";

/// Draws one spectrum with its ratio; `left` is the edge of its column, `top` that of its upper panel.
fn draw_column(svg: &mut Svg, spectrum: &Spectrum, [left, top]: [f64; 2], width: f64, color: &'static str) {
    let end = spectrum.end_ev(1e-4, 2.0);
    let end = if end.is_finite() { end.clamp(60.0, 300.0) } else { 200.0 };
    let (corner, plot_width) = (left + 86.0, width - 86.0 - 18.0);
    let (low, high) = rate_range(spectrum, end);
    let x = Axis::linear("Visible energy (eV)", 0.0, end);
    let rates = Panel {
        corner: [corner, top],
        size: [plot_width, 320.0 - top],
        x: x.clone(),
        y: Axis::logarithmic(&format!("Rate ({})", spectrum.unit), low, high),
    };
    let (ratio_low, ratio_high) = ratio_range(spectrum, end);
    let ratio = Panel {
        corner: [corner, 340.0],
        size: [plot_width, 126.0],
        x,
        y: Axis::linear("After / before", ratio_low, ratio_high).with_ticks(4),
    };
    for panel in [&rates, &ratio] {
        let [threshold, _] = panel.at(THRESHOLD_EV, f64::NAN);
        svg.rectangle(panel.corner, [threshold - panel.corner[0], panel.size[1]], GRID, None);
        panel.grid(svg);
    }
    rates.inside(svg, |svg| {
        rates.band(svg, &after_band(spectrum), color, 0.22);
        for (index, (label, rate)) in spectrum.parts.iter().enumerate() {
            let stroke = Stroke::solid(super::palette::element(label, index), 1.3).with_opacity(0.8);
            rates.line(svg, &spectrum.points(rate), stroke);
        }
        rates.line(svg, &spectrum.points(&spectrum.before), Stroke::dashed(INK, 1.8));
        rates.line(svg, &spectrum.points(&spectrum.after), Stroke::solid(color, 2.2));
        for (index, compared) in spectrum.compared.iter().enumerate() {
            rates.line(svg, &spectrum.points(&compared.after), other(index));
        }
    });
    ratio.inside(svg, |svg| {
        let triples = || spectrum.energy_ev.iter().zip(&spectrum.ratio);
        let band: Vec<[f64; 3]> = triples().map(|(e, [_, low, high])| [*e, *low, *high]).collect();
        ratio.band(svg, &band, color, 0.22);
        ratio.line(svg, &[[0.0, 1.0], [end, 1.0]], Stroke::solid(MUTED, 1.0));
        let line: Vec<[f64; 2]> = triples().map(|(e, r)| [*e, r[0]]).collect();
        ratio.line(svg, &line, Stroke::solid(color, 2.2));
        for (index, compared) in spectrum.compared.iter().enumerate() {
            ratio.line(svg, &spectrum.points(&compared.ratio), other(index));
        }
    });
    rates.x_axis(svg, false);
    rates.y_axis(svg);
    ratio.axes(svg);
    svg.text([corner, top - 10.0], &spectrum.title, Font::new(14.5).bold().colored(color));
    let visible = |rate: &[f64]| rate.iter().any(|r| *r > low);
    for (index, (label, _)) in spectrum.parts.iter().enumerate().filter(|(_, (_, rate))| visible(rate)) {
        let place = [rates.right() - 6.0, rates.corner[1] + 17.0 + 17.0 * index as f64];
        let font = SMALL.colored(super::palette::element(label, index)).anchored(Anchor::End).halo();
        svg.text(place, &format!("recoils of {label}, not corrected"), font);
    }
}

/// The corrected rate at the bounds of the ratio.
fn after_band(spectrum: &Spectrum) -> Vec<[f64; 3]> {
    let rows = spectrum.energy_ev.iter().zip(&spectrum.before).zip(&spectrum.ratio);
    rows.map(|((energy, before), [_, low, high])| [*energy, before * low, before * high]).collect()
}

/// From the rate at the right end (at most five decades below the largest) to the largest above 2 eV.
fn rate_range(spectrum: &Spectrum, end: f64) -> (f64, f64) {
    let both = [&spectrum.before, &spectrum.after];
    let shown = both.into_iter().flat_map(|r| spectrum.points(r)).filter(|p| p[0] >= 2.0 && p[0] <= end && p[1] > 0.0);
    match extent(shown.map(|p| p[1])) {
        Some((low, high)) => ((0.7 * low).max(high * 1e-5), 2.0 * high),
        None => (1e-3, 1.0),
    }
}

/// Range of all ratios above 5 eV with some room, never beyond 0 to 1.6.
fn ratio_range(spectrum: &Spectrum, end: f64) -> (f64, f64) {
    let own = spectrum.energy_ev.iter().zip(&spectrum.ratio).flat_map(|(e, ratios)| ratios.map(|r| [*e, r]));
    let compared = spectrum.compared.iter().flat_map(|compared| spectrum.points(&compared.ratio));
    let shown = own.chain(compared).filter(|[e, r]| (5.0..=0.9 * end).contains(e) && *r > 0.0);
    let (low, high) = extent(shown.map(|[_, r]| r)).unwrap_or((0.9, 1.1));
    let room = 0.15 * (high - low).max(0.05);
    ((low - room).clamp(0.0, 0.95), (high + room).clamp(1.05, 1.6))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spectrum(n: usize) -> Spectrum {
        let energy_ev: Vec<f64> = (0..n).map(|i| i as f64).collect();
        let before: Vec<f64> = energy_ev.iter().map(|e| (-e / 20.0).exp()).collect();
        let ratio = vec![[0.95, f64::NAN, f64::NAN]; n];
        Spectrum {
            title: "a < b".into(),
            response: "e < f".into(),
            after: before.clone(),
            energy_ev,
            before,
            ratio,
            unit: "1/eV".into(),
            parts: Vec::new(),
            compared: vec![Compared { response: "c < d".into(), after: vec![0.5; n], ratio: vec![f64::NAN; n] }],
        }
    }

    #[test]
    fn empty_and_tiny_inputs_are_drawn() {
        assert!(draw_capture(None, 5.0).contains("no capture spectrum yet"));
        assert!(draw_continuous(&[]).contains("yet"));
        for n in [0, 1, 2, 300] {
            for svg in [draw_capture(Some(&spectrum(n)), 5.0), draw_continuous(&[spectrum(n), spectrum(n)])] {
                assert!(
                    !svg.contains("NaN")
                        && !svg.contains("inf")
                        && !svg.contains("a < b")
                        && !svg.contains("c < d")
                        && !svg.contains("e < f"),
                    "{n}"
                );
            }
        }
    }

    #[test]
    fn zero_rates_are_drawn() {
        let mut zero = spectrum(50);
        zero.before.fill(0.0);
        zero.after.fill(0.0);
        assert!(!draw_continuous(&[zero]).contains("NaN"));
    }
}
