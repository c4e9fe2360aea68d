//! Figures of the fit: predicted against reference values, and scans of species pairs.

use super::axis::{Axis, extent};
use super::palette::{BLUE, GRAY, MUTED, ORANGE};
use super::plot::{Key, Panel, legend, nothing_to_draw};
use super::svg::{Font, Stroke, Svg};

/// Reference and predicted values of one quantity.
#[derive(Default)]
pub(crate) struct Parity {
    /// E.g. "Energy".
    pub(crate) title: &'static str,
    /// E.g. "eV/atom", with markup.
    pub(crate) unit: &'static str,
    /// Whether the axes are logarithmic beyond 1 on both sides: for values over several powers of ten.
    pub(crate) logarithmic: bool,
    /// (reference, predicted) of configurations used in the fit.
    pub(crate) training: Vec<[f64; 2]>,
    /// (reference, predicted) of configurations kept out of it.
    pub(crate) held_out: Vec<[f64; 2]>,
}

/// Of more points than this of one kind, those with the largest errors and an even choice of the others are drawn.
pub(crate) const MOST_POINTS: usize = 2500;

/// The points to draw.
pub(crate) fn thinned(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let mut points = points.to_vec();
    let error = |p: &[f64; 2]| (p[1] - p[0]).abs();
    points.sort_by(|a, b| error(b).total_cmp(&error(a)));
    let rest = points.split_off(points.len().min(MOST_POINTS / 2));
    let step = rest.len().div_ceil(MOST_POINTS / 2).max(1);
    points.extend(rest.into_iter().step_by(step));
    points
}

/// Draws the parity plots.
pub(crate) fn draw_parity(quantities: &[Parity]) -> String {
    const SIDE: f64 = 226.0;
    let mut svg = Svg::new("parity", 960.0, 356.0);
    let quantities: Vec<&Parity> =
        quantities.iter().filter(|q| !(q.training.is_empty() && q.held_out.is_empty())).collect();
    if quantities.is_empty() {
        nothing_to_draw(&mut svg, [480.0, 178.0], "no fit yet");
        return svg.finish(PARITY_TITLE);
    }
    for (index, quantity) in quantities.iter().enumerate() {
        let left = 82.0 + 320.0 * index as f64;
        let values = quantity.training.iter().chain(&quantity.held_out).flatten().copied();
        let (low, high) = extent(values).unwrap_or((0.0, 1.0));
        let room = 0.04 * (high - low).max(1e-6);
        let axis = |label: String| match quantity.logarithmic {
            true => Axis::inverse_hyperbolic_sine(&label, 1.3 * low, 1.3 * high),
            false => Axis::linear(&label, low - room, high + room).with_ticks(4),
        };
        let panel = Panel {
            corner: [left, 68.0],
            size: [SIDE, SIDE],
            x: axis(format!("Reference ({})", quantity.unit)),
            y: axis(format!("Predicted ({})", quantity.unit)),
        };
        panel.grid(&mut svg);
        let pixels = |points: &[[f64; 2]]| -> Vec<[f64; 2]> {
            thinned(points).into_iter().map(|[x, y]| panel.at(x, y)).collect()
        };
        panel.inside(&mut svg, |svg| {
            let (from, to) = (panel.x.min, panel.x.max);
            panel.line(svg, &[[from, from], [to, to]], Stroke::solid(MUTED, 1.0));
            let diameter = if quantity.training.len() > 500 { 2.2 } else { 3.6 };
            svg.dots(&pixels(&quantity.held_out), diameter, ORANGE, 0.75);
            svg.dots(&pixels(&quantity.training), diameter, BLUE, 0.55);
        });
        panel.axes(&mut svg);
        svg.text([left, 58.0], quantity.title, Font::new(14.5).bold());
    }
    let entries = [(Key::Disk(BLUE), "training"), (Key::Disk(ORANGE), "held out")];
    legend(&mut svg, [82.0, 8.0], 400.0, &entries);
    svg.finish(PARITY_TITLE)
}

const PARITY_TITLE: &str = "Predicted against reference energies, forces and stresses";

/// Energy of one species pair against distance.
#[derive(Default)]
pub(crate) struct PairScan {
    /// E.g. "W-O".
    pub(crate) pair: String,
    /// (distance in angstrom, energy in eV relative to the largest distance).
    pub(crate) vacuum: Vec<[f64; 2]>,
    /// (distance in angstrom, energy in eV relative to the lowest).
    pub(crate) crystal: Vec<[f64; 2]>,
    /// Distances in angstrom at which no configuration of the data set has such a pair: (from, to).
    pub(crate) without_data: Vec<(f64, f64)>,
}

/// Draws the pair scans, three a row.
pub(crate) fn draw_pair_scans(scans: &[PairScan]) -> String {
    const ROW: f64 = 266.0;
    let rows = scans.len().div_ceil(3).max(1);
    let height = 44.0 + ROW * rows as f64;
    let mut svg = Svg::new("pair-scans", 960.0, height);
    if scans.is_empty() {
        nothing_to_draw(&mut svg, [480.0, height / 2.0], "no fit yet");
        return svg.finish(SCAN_TITLE);
    }
    for (index, scan) in scans.iter().enumerate() {
        let corner = [82.0 + 316.0 * (index % 3) as f64, 68.0 + ROW * (index / 3) as f64];
        draw_scan(&mut svg, scan, corner);
    }
    let entries = [
        (Key::Line(Stroke::solid(BLUE, 2.0)), "alone in vacuum"),
        (Key::Line(Stroke::solid(ORANGE, 2.0)), "in the crystal"),
        (Key::Area(GRAY.into(), 0.22), "no data at this distance"),
    ];
    legend(&mut svg, [82.0, 8.0], 860.0, &entries);
    svg.finish(SCAN_TITLE)
}

const SCAN_TITLE: &str = "Energy of each pair of elements against distance";

fn draw_scan(svg: &mut Svg, scan: &PairScan, corner: [f64; 2]) {
    let points = || scan.vacuum.iter().chain(&scan.crystal);
    let (start, end) = extent(points().map(|p| p[0])).unwrap_or((0.3, 4.8));
    let (low, high) = extent(points().map(|p| p[1])).unwrap_or((0.0, 1.0));
    let panel = Panel {
        corner,
        size: [232.0, 176.0],
        x: Axis::linear("Distance (Å)", start.min(0.3), end).with_ticks(5),
        y: Axis::inverse_hyperbolic_sine("Energy (eV)", (1.6 * low).min(-1.0), 1.6 * high.max(1.0)),
    };
    for (from, to) in &scan.without_data {
        let [x0, x1] = [panel.at(*from, 0.0)[0], panel.at(*to, 0.0)[0]];
        svg.polygon(&[[x0, corner[1]], [x1, corner[1]], [x1, panel.bottom()], [x0, panel.bottom()]], GRAY, 0.22, None);
    }
    panel.grid(svg);
    panel.inside(svg, |svg| {
        panel.line(svg, &[[panel.x.min, 0.0], [panel.x.max, 0.0]], Stroke::solid(MUTED, 1.0));
        panel.line(svg, &scan.vacuum, Stroke::solid(BLUE, 2.0));
        panel.line(svg, &scan.crystal, Stroke::solid(ORANGE, 2.0));
    });
    panel.axes(svg);
    svg.text([corner[0], corner[1] - 9.0], &scan.pair.replace('-', "–"), Font::new(14.5).bold());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_the_largest_errors() {
        let mut points: Vec<[f64; 2]> = (0..9000).map(|i| [f64::from(i), f64::from(i)]).collect();
        points[4321][1] += 50.0;
        let kept = thinned(&points);
        assert!(kept.len() <= MOST_POINTS && kept.contains(&points[4321]));
        assert_eq!(thinned(&points[..7]).len(), 7);
    }

    #[test]
    fn empty_and_tiny_inputs_are_drawn() {
        assert!(draw_parity(&[]).contains("no fit yet") && draw_pair_scans(&[]).contains("no fit yet"));
        let (training, held_out) = (vec![[1.0, 1.0]], vec![[f64::NAN, 2.0]]);
        let one = Parity { title: "Energy", unit: "eV", logarithmic: true, training, held_out };
        assert!(!draw_parity(&[one]).contains("NaN"));
        let scan = PairScan { pair: "W-O".into(), without_data: vec![(0.3, 1.4)], ..PairScan::default() };
        assert!(!draw_pair_scans(&[scan]).contains("NaN"));
    }
}
