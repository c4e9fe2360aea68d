//! Figure 3: defect probability against recoil energy, with its Fermi function.

use super::axis::Axis;
use super::palette::{INK, RED};
use super::plot::{Estimate, Key, Panel, SMALL, legend, nothing_to_draw, other};
use super::svg::{Stroke, Svg};

/// Share of the recoils of one energy that leave a defect.
pub(crate) struct DefectProbability {
    pub(crate) recoil_energy_ev: f64,
    pub(crate) probability: Estimate,
    pub(crate) n_runs: usize,
}

/// A curve with its uncertainty.
#[derive(Default)]
pub(crate) struct Curve {
    /// (recoil energy in eV, probability).
    pub(crate) line: Vec<[f64; 2]>,
    /// (recoil energy in eV, low, high); may be empty.
    pub(crate) band: Vec<[f64; 3]>,
    pub(crate) label: String,
}

/// Draws the figure: `compared` are curves of other responses.
pub(crate) fn draw(points: &[DefectProbability], fit: &Curve, compared: &[Curve]) -> String {
    let mut svg = Svg::new("defect-probability", 720.0, 430.0);
    let energies = points.iter().map(|p| p.recoil_energy_ev).filter(|e| e.is_finite());
    let end = energies.fold(130.0, f64::max) * 1.1;
    let mut entries = Vec::new();
    if !points.is_empty() {
        entries.push((Key::Disk(INK), "this run, with number of recoils"));
    }
    if !fit.line.is_empty() {
        entries.push((Key::Line(Stroke::solid(RED, 2.2)), fit.label.as_str()));
    }
    if !fit.band.is_empty() {
        entries.push((Key::Area(RED.into(), 0.2), "its 68 % band"));
    }
    entries.extend(compared.iter().enumerate().map(|(i, c)| (Key::Line(other(i)), c.label.as_str())));
    let top = 16.0 + legend(&mut svg, [70.0, 8.0], 640.0, &entries);
    let panel = Panel {
        corner: [70.0, top],
        size: [630.0, 372.0 - top],
        x: Axis::linear("Recoil energy (eV)", 0.0, end),
        y: Axis::linear("Defect probability", 0.0, 1.08),
    };
    panel.grid(&mut svg);
    panel.inside(&mut svg, |svg| {
        panel.band(svg, &fit.band, RED, 0.16);
        panel.line(svg, &fit.line, Stroke::solid(RED, 2.2));
        for (index, curve) in compared.iter().enumerate() {
            panel.line(svg, &curve.line, other(index));
        }
    });
    for point in points {
        panel.point(&mut svg, point.recoil_energy_ev, point.probability, 4.6, INK);
        if point.n_runs > 0 {
            let [x, y] = panel.at(point.recoil_energy_ev, point.probability.value);
            // right of the point and below it, where a rising curve leaves room
            let place = [x + 8.0, (y + 17.0).min(panel.bottom() - 6.0)];
            svg.text(place, &point.n_runs.to_string(), SMALL.halo());
        }
    }
    panel.axes(&mut svg);
    if points.is_empty() && fit.line.is_empty() {
        nothing_to_draw(&mut svg, [385.0, 215.0], "no recoils yet");
    }
    svg.finish("Defect probability against recoil energy")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_tiny_inputs_are_drawn() {
        assert!(draw(&[], &Curve::default(), &[]).contains("no recoils yet"));
        let probability = Estimate { value: 1.0, low: 0.6, high: 1.0 };
        let point = DefectProbability { recoil_energy_ev: 112.0, probability, n_runs: 8 };
        let svg = draw(&[point], &Curve::default(), &[Curve::default()]);
        assert!(svg.contains(">8<") && !svg.contains("NaN"));
    }
}
