//! How errors of the potential fall with the number of labels.

use super::axis::{Axis, extent};
use super::palette::{BLUE, INK, MUTED, ORANGE};
use super::plot::{Key, Panel, legend, nothing_to_draw};
use super::svg::{Font, Stroke, Svg};

/// Errors of one quantity.
pub(crate) struct Curve {
    /// With unit.
    pub(crate) label: &'static str,
    /// (labels, held-out error) of fits to parts of the data.
    pub(crate) parts: Vec<[f64; 2]>,
    /// (labels, held-out error) of every potential of the record, the last one last.
    pub(crate) potentials: Vec<[f64; 2]>,
    /// error = factor * labels^exponent through the parts.
    pub(crate) law: Option<(f64, f64)>,
    /// The paper's error on its own training data, if they are of this crystal.
    pub(crate) paper: Option<f64>,
}

/// How many labels beyond those at hand the power law is drawn.
const AHEAD: f64 = 100.0;
const TITLE: &str = "Held-out errors against the number of labels";

/// Draws the quantities side by side.
pub(crate) fn draw(curves: &[Curve]) -> String {
    let mut svg = Svg::new("learning-curve", 960.0, 400.0);
    if curves.iter().all(|c| c.parts.is_empty() && c.potentials.is_empty()) {
        nothing_to_draw(&mut svg, [480.0, 200.0], "no potential in the record");
        return svg.finish(TITLE);
    }
    for (index, curve) in curves.iter().enumerate() {
        let points = || curve.parts.iter().chain(&curve.potentials);
        let (first, last) = extent(points().map(|p| p[0])).unwrap_or((1.0, 10.0));
        let end = last + AHEAD;
        let law = |n: f64| curve.law.map(|(factor, exponent)| [n, factor * n.powf(exponent)]);
        let errors = points().map(|p| p[1]).chain(curve.paper).chain(law(end).map(|p| p[1]));
        let (low, high) = extent(errors).unwrap_or((0.1, 1.0));
        let panel = Panel {
            corner: [80.0 + 480.0 * index as f64, 84.0],
            size: [380.0, 256.0],
            x: Axis::logarithmic("Labelled configurations in the fit", 0.9 * first, 1.1 * end),
            y: Axis::logarithmic(curve.label, 0.8 * low, 1.25 * high),
        };
        panel.grid(&mut svg);
        panel.inside(&mut svg, |svg| {
            if let Some(paper) = curve.paper {
                panel.line(svg, &[[0.5 * first, paper], [2.0 * end, paper]], Stroke::solid(MUTED, 1.6));
            }
            let line: Vec<[f64; 2]> = [first, end].into_iter().filter_map(law).collect();
            panel.line(svg, &line, Stroke::solid(BLUE, 1.6));
            for [x, y] in &curve.parts {
                svg.disk(panel.at(*x, *y), 4.2, BLUE, None);
            }
            for [x, y] in &curve.potentials {
                svg.disk(panel.at(*x, *y), 5.2, ORANGE, Some(Stroke::solid(INK, 1.0)));
            }
        });
        panel.axes(&mut svg);
        let exponent = curve.law.map_or(String::new(), |(_, e)| {
            format!("error falls as N^{{{}}}, N labels", format!("{e:.2}").replace('-', "−"))
        });
        svg.text([panel.corner[0], 76.0], &exponent, Font::new(13.0));
    }
    let mut entries = vec![
        (Key::Disk(BLUE), "fits to random parts of the present data"),
        (Key::Line(Stroke::solid(BLUE, 1.6)), "power law, to 100 more labels"),
        (Key::Disk(ORANGE), "potentials of the record, each with its own data"),
    ];
    if curves.iter().any(|c| c.paper.is_some()) {
        entries.push((Key::Line(Stroke::solid(MUTED, 1.6)), "paper, on its own training data"));
    }
    legend(&mut svg, [80.0, 10.0], 860.0, &entries);
    svg.finish(TITLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_tiny_records_are_drawn() {
        assert!(draw(&[]).contains("no potential"));
        for paper in [Some(0.131), None] {
            let curve = Curve { label: "x", parts: vec![], potentials: vec![[38.0, 0.2]], law: None, paper };
            let svg = draw(&[curve]);
            assert!(svg.contains("paper") == paper.is_some() && !svg.contains("NaN"));
        }
    }
}
