//! A panel: a frame with two axes into which data are drawn, and the legend above it.

use super::axis::Axis;
use super::palette::{GREEN, GRID, INK, MUTED, PURPLE, TEAL};
use super::svg::{Anchor, Font, Stroke, Svg, text_width};

/// Size of tick labels.
pub(crate) const SMALL: Font = Font::new(12.0).colored(MUTED);
/// Size of axis labels and legends.
pub(crate) const NORMAL: Font = Font::new(13.5);

/// A rectangle of the picture with an axis along its lower and its left edge.
pub(crate) struct Panel {
    /// Upper left corner in pixels.
    pub(crate) corner: [f64; 2],
    /// Width and height in pixels.
    pub(crate) size: [f64; 2],
    pub(crate) x: Axis,
    pub(crate) y: Axis,
}

/// A value with its lower and upper bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Panel {
    /// Pixel of a point in the units of the axes.
    pub(crate) fn at(&self, x: f64, y: f64) -> [f64; 2] {
        // far outside is as good as infinitely far, and keeps coordinates small
        let fraction = |axis: &Axis, v: f64| axis.fraction(v).clamp(-3.0, 4.0);
        [
            self.corner[0] + fraction(&self.x, x) * self.size[0],
            self.corner[1] + (1.0 - fraction(&self.y, y)) * self.size[1],
        ]
    }

    /// Lower edge in pixels.
    pub(crate) fn bottom(&self) -> f64 {
        self.corner[1] + self.size[1]
    }

    /// Right edge in pixels.
    pub(crate) fn right(&self) -> f64 {
        self.corner[0] + self.size[0]
    }

    /// Grid lines behind the data.
    pub(crate) fn grid(&self, svg: &mut Svg) {
        for tick in self.x.ticks.iter().filter(|t| !t.label.is_empty()) {
            let x = self.at(tick.value, f64::NAN)[0];
            svg.line([x, self.corner[1]], [x, self.bottom()], Stroke::solid(GRID, 1.0));
        }
        for tick in self.y.ticks.iter().filter(|t| !t.label.is_empty()) {
            let y = self.at(f64::NAN, tick.value)[1];
            svg.line([self.corner[0], y], [self.right(), y], Stroke::solid(GRID, 1.0));
        }
    }

    /// Both axes with ticks and labels.
    pub(crate) fn axes(&self, svg: &mut Svg) {
        self.x_axis(svg, true);
        self.y_axis(svg);
    }

    /// The lower axis; without numbers where a panel below shares it.
    pub(crate) fn x_axis(&self, svg: &mut Svg, numbers: bool) {
        let y = self.bottom();
        svg.line([self.corner[0], y], [self.right(), y], Stroke::solid(INK, 1.0));
        for tick in &self.x.ticks {
            let x = self.at(tick.value, f64::NAN)[0];
            let length = if tick.label.is_empty() { 3.0 } else { 5.0 };
            svg.line([x, y], [x, y + length], Stroke::solid(INK, 1.0));
            if numbers && !tick.label.is_empty() {
                svg.text([x, y + 19.0], &tick.label, SMALL.anchored(Anchor::Middle));
            }
        }
        if numbers {
            let middle = self.corner[0] + 0.5 * self.size[0];
            svg.text([middle, y + 40.0], &self.x.label, NORMAL.anchored(Anchor::Middle));
        }
    }

    /// The left axis.
    pub(crate) fn y_axis(&self, svg: &mut Svg) {
        let x = self.corner[0];
        svg.line([x, self.corner[1]], [x, self.bottom()], Stroke::solid(INK, 1.0));
        let mut widest: f64 = 0.0;
        for tick in &self.y.ticks {
            let y = self.at(f64::NAN, tick.value)[1];
            let length = if tick.label.is_empty() { 3.0 } else { 5.0 };
            svg.line([x - length, y], [x, y], Stroke::solid(INK, 1.0));
            svg.text([x - 8.0, y + 4.2], &tick.label, SMALL.anchored(Anchor::End));
            widest = widest.max(text_width(&tick.label, SMALL.size));
        }
        let middle = self.corner[1] + 0.5 * self.size[1];
        let font = NORMAL.anchored(Anchor::Middle).upright();
        svg.text([x - widest - 20.0, middle], &self.y.label, font);
    }

    /// What `draw` adds is cut off at the edges of the panel.
    pub(crate) fn inside(&self, svg: &mut Svg, draw: impl FnOnce(&mut Svg)) {
        svg.clipped(self.corner, self.size, draw);
    }

    /// Connected points (x, y) in the units of the axes.
    pub(crate) fn line(&self, svg: &mut Svg, points: &[[f64; 2]], stroke: Stroke) {
        let pixels: Vec<_> = points.iter().map(|p| self.pixel(*p)).collect();
        svg.polyline(&pixels, stroke);
    }

    /// The area between two curves over the same abscissae: (x, low, high).
    pub(crate) fn band(&self, svg: &mut Svg, points: &[[f64; 3]], fill: &str, opacity: f64) {
        let finite = || points.iter().filter(|p| p.iter().all(|v| v.is_finite()));
        let upper = finite().map(|[x, _, high]| self.at(*x, *high));
        let lower = finite().rev().map(|[x, low, _]| self.at(*x, *low));
        svg.polygon(&upper.chain(lower).collect::<Vec<_>>(), fill, opacity, None);
    }

    /// A step histogram with area: bin edges (one more than heights).
    pub(crate) fn histogram(&self, svg: &mut Svg, edges: &[f64], heights: &[f64], fill: &str, stroke: Stroke) {
        let mut outline = Vec::with_capacity(2 * heights.len() + 2);
        if let (Some(first), Some(last)) = (edges.first(), edges.last()) {
            outline.push(self.at(*first, 0.0));
            for (bin, height) in edges.windows(2).zip(heights) {
                outline.extend([self.at(bin[0], *height), self.at(bin[1], *height)]);
            }
            outline.push(self.at(*last, 0.0));
        }
        svg.polygon(&outline, fill, 0.25, None);
        svg.polyline(&outline, stroke);
    }

    /// A point with a vertical error bar.
    pub(crate) fn point(&self, svg: &mut Svg, x: f64, y: Estimate, radius: f64, color: &'static str) {
        let ([cx, low], [_, high]) = (self.at(x, y.low), self.at(x, y.high));
        if y.low.is_finite() && y.high.is_finite() {
            let stroke = Stroke::solid(color, 1.6);
            svg.line([cx, low], [cx, high], stroke);
            for end in [low, high] {
                svg.line([cx - 4.0, end], [cx + 4.0, end], stroke);
            }
        }
        svg.disk(self.at(x, y.value), radius, color, None);
    }

    fn pixel(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        if x.is_finite() && y.is_finite() { self.at(x, y) } else { [f64::NAN; 2] }
    }
}

/// How the curve of another response is drawn, to compare with.
pub(crate) fn other(index: usize) -> Stroke {
    Stroke { dash: "2 3", ..Stroke::solid([TEAL, PURPLE, GREEN][index % 3], 1.9) }
}

/// The sign of a legend entry.
pub(crate) enum Key {
    Line(Stroke),
    Disk(&'static str),
    Area(String, f64),
}

/// Legend entries in rows from left to right, starting at `corner`; returns the height used.
pub(crate) fn legend(svg: &mut Svg, corner: [f64; 2], width: f64, entries: &[(Key, &str)]) -> f64 {
    const ROW: f64 = 21.0;
    let [mut x, mut y] = [corner[0], corner[1] + 14.0];
    for (key, label) in entries {
        let length = 34.0 + text_width(label, 12.5) + 22.0;
        if x > corner[0] && x + length - 22.0 > corner[0] + width {
            x = corner[0];
            y += ROW;
        }
        let middle = y - 4.5;
        match key {
            Key::Line(stroke) => svg.line([x, middle], [x + 26.0, middle], *stroke),
            Key::Disk(color) => svg.disk([x + 13.0, middle], 5.0, color, None),
            Key::Area(color, opacity) => svg.polygon(
                &[[x, y - 11.0], [x + 26.0, y - 11.0], [x + 26.0, y + 1.0], [x, y + 1.0]],
                color,
                *opacity,
                None,
            ),
        }
        svg.text([x + 33.0, y], label, Font::new(12.5));
        x += length;
    }
    y + 8.0 - corner[1]
}

/// A centred sentence in place of data that are missing.
pub(crate) fn nothing_to_draw(svg: &mut Svg, center: [f64; 2], text: &str) {
    svg.text(center, text, Font::new(13.5).colored(MUTED).anchored(Anchor::Middle));
}
