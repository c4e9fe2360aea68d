//! Predicted deviations and extrapolation grades against the errors of held-out data.

use super::axis::{Axis, extent};
use super::fit::thinned;
use super::palette::{BLUE, INK, MUTED, ORANGE};
use super::plot::{Key, Panel, legend, nothing_to_draw};
use super::svg::{Font, Stroke, Svg};

/// One quantity: what was predicted of its error, and the error.
pub(crate) struct Calibration {
    /// E.g. "Forces".
    pub(crate) title: &'static str,
    /// Labels of the two axes.
    pub(crate) axes: [&'static str; 2],
    /// (predicted, error) of every held-out number.
    pub(crate) points: Vec<[f64; 2]>,
    /// Root mean squares of points of similar prediction.
    pub(crate) bins: Vec<[f64; 2]>,
    /// A grade from which on predictions extrapolate; none: the prediction is a deviation, equal to the error at best.
    pub(crate) threshold: Option<f64>,
}

const TITLE: &str = "Predicted deviations and extrapolation grades against held-out errors";

/// Draws the quantities side by side.
pub(crate) fn draw_calibration(quantities: &[Calibration]) -> String {
    const SIDE: f64 = 226.0;
    let mut svg = Svg::new("calibration", 960.0, 356.0);
    let quantities: Vec<&Calibration> = quantities.iter().filter(|q| !q.points.is_empty()).collect();
    if quantities.is_empty() {
        nothing_to_draw(&mut svg, [480.0, 178.0], "no fit yet");
        return svg.finish(TITLE);
    }
    for (index, quantity) in quantities.iter().enumerate() {
        let corner = [82.0 + 320.0 * index as f64, 68.0];
        // Errors far below what labels are good for would stretch the axes.
        let range = |k: usize| {
            let (low, high) = extent(quantity.bins.iter().map(|b| b[k])).unwrap_or((0.01, 1.0));
            let top = extent(quantity.points.iter().map(|p| p[k])).map_or(high, |(_, top)| top);
            (0.2 * low, 1.5 * top)
        };
        let ((x_low, x_high), (y_low, y_high)) = (range(0), range(1));
        let panel = Panel {
            corner,
            size: [SIDE, SIDE],
            x: Axis::logarithmic(quantity.axes[0], x_low, x_high),
            y: Axis::logarithmic(quantity.axes[1], y_low, y_high),
        };
        panel.grid(&mut svg);
        panel.inside(&mut svg, |svg| {
            match quantity.threshold {
                Some(grade) => panel.line(svg, &[[grade, y_low], [grade, y_high]], Stroke::solid(MUTED, 1.4)),
                None => {
                    let ends = [x_low.min(y_low), x_high.max(y_high)];
                    panel.line(svg, &ends.map(|e| [e, e]), Stroke::solid(MUTED, 1.4));
                }
            }
            let pixels: Vec<[f64; 2]> = thinned(&quantity.points).into_iter().map(|[x, y]| panel.at(x, y)).collect();
            svg.dots(&pixels, if pixels.len() > 500 { 2.2 } else { 4.0 }, BLUE, 0.45);
            for [x, y] in &quantity.bins {
                svg.disk(panel.at(*x, *y), 4.6, ORANGE, Some(Stroke::solid(INK, 1.0)));
            }
        });
        panel.axes(&mut svg);
        svg.text([corner[0], 58.0], quantity.title, Font::new(14.5).bold());
    }
    let entries = [
        (Key::Disk(BLUE), "one held-out number"),
        (Key::Disk(ORANGE), "root mean square of similar ones"),
        (Key::Line(Stroke::solid(MUTED, 1.4)), "as predicted; threshold of extrapolation"),
    ];
    legend(&mut svg, [82.0, 8.0], 860.0, &entries);
    svg.finish(TITLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_tiny_inputs_are_drawn() {
        assert!(draw_calibration(&[]).contains("no fit yet"));
        let (points, bins) = (vec![[0.0, 1.0], [f64::NAN, 2.0]], vec![[0.1, 1.0]]);
        let one = Calibration { title: "Forces", axes: ["x", "y"], points, bins, threshold: Some(2.0) };
        assert!(!draw_calibration(&[one]).contains("NaN"));
    }
}
