//! Writes one SVG picture: shapes and text with `_{sub}` and `^{super}` markup.

use super::palette::{INK, PAPER};
use std::fmt::Write;

/// Font of every picture; the first is the one embedded for PNG, the others are what browsers have.
const FONTS: &str = "Noto Sans, DejaVu Sans, Helvetica Neue, Helvetica, Arial, sans-serif";

/// How a line is drawn.
#[derive(Clone, Copy)]
pub(crate) struct Stroke {
    pub(crate) color: &'static str,
    pub(crate) width: f64,
    /// Pattern of `stroke-dasharray`; empty for a solid line.
    pub(crate) dash: &'static str,
    pub(crate) opacity: f64,
}

impl Stroke {
    /// A solid line.
    pub(crate) const fn solid(color: &'static str, width: f64) -> Self {
        Self { color, width, dash: "", opacity: 1.0 }
    }

    /// A dashed line.
    pub(crate) const fn dashed(color: &'static str, width: f64) -> Self {
        Self { color, width, dash: "6 4", opacity: 1.0 }
    }

    /// The same line, translucent.
    pub(crate) const fn with_opacity(self, opacity: f64) -> Self {
        Self { opacity, ..self }
    }
}

/// Which end of a text lies at its position.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text is set.
#[derive(Clone, Copy)]
pub(crate) struct Font {
    pub(crate) size: f64,
    pub(crate) color: &'static str,
    pub(crate) anchor: Anchor,
    pub(crate) bold: bool,
    /// Rotated by -90 degrees about its position.
    pub(crate) upright: bool,
    /// A contour in the colour of the paper, so that the text stays readable on lines.
    pub(crate) halo: bool,
}

impl Font {
    /// Text of this size in the colour of ink.
    pub(crate) const fn new(size: f64) -> Self {
        Self { size, color: INK, anchor: Anchor::Start, bold: false, upright: false, halo: false }
    }

    /// The same font with another anchor.
    pub(crate) const fn anchored(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }

    /// The same font in another colour.
    pub(crate) const fn colored(self, color: &'static str) -> Self {
        Self { color, ..self }
    }

    /// The same font, bold.
    pub(crate) const fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    /// The same font, running upwards.
    pub(crate) const fn upright(self) -> Self {
        Self { upright: true, ..self }
    }

    /// The same font with a contour in the colour of the paper.
    pub(crate) const fn halo(self) -> Self {
        Self { halo: true, ..self }
    }
}

/// A picture under construction; y runs downwards, lengths in pixels.
pub(crate) struct Svg {
    name: &'static str,
    width: f64,
    height: f64,
    body: String,
    clips: usize,
}

impl Svg {
    /// An empty picture; `name` keeps the identifiers of several pictures on one page apart.
    pub(crate) fn new(name: &'static str, width: f64, height: f64) -> Self {
        Self { name, width, height, body: String::new(), clips: 0 }
    }

    /// The finished file. `title` is what a screen reader says.
    pub(crate) fn finish(self, title: &str) -> String {
        let (w, h) = (number(self.width), number(self.height));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" \
             role=\"img\" font-family=\"{FONTS}\" stroke-linejoin=\"round\">\n<title>{}</title>\n\
             <rect width=\"{w}\" height=\"{h}\" fill=\"{PAPER}\"/>\n{}</svg>\n",
            escape(title),
            self.body
        )
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.body.write_fmt(element);
        self.body.push('\n');
    }

    /// A straight line.
    pub(crate) fn line(&mut self, from: [f64; 2], to: [f64; 2], stroke: Stroke) {
        self.polyline(&[from, to], stroke);
    }

    /// Connected points; gaps where a coordinate is not finite.
    pub(crate) fn polyline(&mut self, points: &[[f64; 2]], stroke: Stroke) {
        self.path(&path_data(points, false), "none", 1.0, Some(stroke));
    }

    /// Several filled shapes as one: no seam shows where they touch.
    pub(crate) fn polygons(&mut self, polygons: &[Vec<[f64; 2]>], fill: &str, stroke: Option<&str>) {
        let d: String = polygons.iter().map(|points| path_data(points, true)).collect();
        let seam = stroke.map(|color| format!(" stroke=\"{color}\" stroke-width=\"0.7\"")).unwrap_or_default();
        if !d.is_empty() {
            self.push(format_args!("<path d=\"{d}\" fill=\"{fill}\"{seam}/>"));
        }
    }

    /// A filled shape.
    pub(crate) fn polygon(&mut self, points: &[[f64; 2]], fill: &str, opacity: f64, stroke: Option<Stroke>) {
        self.path(&path_data(points, true), fill, opacity, stroke);
    }

    /// A path from its `d` attribute.
    pub(crate) fn path(&mut self, d: &str, fill: &str, fill_opacity: f64, stroke: Option<Stroke>) {
        if d.is_empty() {
            return;
        }
        let opacity = attribute("fill-opacity", fill_opacity);
        let stroke = stroke.map(stroke_attributes).unwrap_or_default();
        self.push(format_args!("<path d=\"{d}\" fill=\"{fill}\"{opacity}{stroke}/>"));
    }

    /// A disk.
    pub(crate) fn disk(&mut self, center: [f64; 2], radius: f64, fill: &str, stroke: Option<Stroke>) {
        if !(center[0].is_finite() && center[1].is_finite() && radius > 0.0) {
            return;
        }
        let [x, y] = center.map(number);
        let stroke = stroke.map(stroke_attributes).unwrap_or_default();
        self.push(format_args!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{}\" fill=\"{fill}\"{stroke}/>", number(radius)));
    }

    /// Many small disks as one path: compact for thousands of points.
    pub(crate) fn dots(&mut self, centers: &[[f64; 2]], diameter: f64, color: &str, opacity: f64) {
        let mut d = String::new();
        for [x, y] in centers.iter().filter(|p| p[0].is_finite() && p[1].is_finite()) {
            let _ = write!(d, "M{} {}h.01", number(*x), number(*y));
        }
        if !d.is_empty() {
            let (width, opacity) = (number(diameter), attribute("stroke-opacity", opacity));
            self.push(format_args!(
                "<path d=\"{d}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"{width}\" stroke-linecap=\"round\"{opacity}/>"
            ));
        }
    }

    /// A rectangle from its upper left corner.
    pub(crate) fn rectangle(&mut self, corner: [f64; 2], size: [f64; 2], fill: &str, stroke: Option<Stroke>) {
        let ([x, y], [w, h]) = (corner.map(number), size.map(number));
        let stroke = stroke.map(stroke_attributes).unwrap_or_default();
        self.push(format_args!("<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" fill=\"{fill}\"{stroke}/>"));
    }

    /// An ellipse.
    pub(crate) fn ellipse(&mut self, center: [f64; 2], radii: [f64; 2], fill: &str, stroke: Option<Stroke>) {
        let ([x, y], [rx, ry]) = (center.map(number), radii.map(number));
        let stroke = stroke.map(stroke_attributes).unwrap_or_default();
        self.push(format_args!("<ellipse cx=\"{x}\" cy=\"{y}\" rx=\"{rx}\" ry=\"{ry}\" fill=\"{fill}\"{stroke}/>"));
    }

    /// Text on its baseline; `_{..}` and `^{..}` are set as indices.
    pub(crate) fn text(&mut self, position: [f64; 2], content: &str, font: Font) {
        let [x, y] = position.map(number);
        let anchor = match font.anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let bold = if font.bold { " font-weight=\"bold\"" } else { "" };
        let turn = if font.upright { format!(" transform=\"rotate(-90 {x} {y})\"") } else { String::new() };
        let halo = if font.halo {
            format!(" stroke=\"{PAPER}\" stroke-width=\"3\" stroke-opacity=\"0.85\" paint-order=\"stroke\"")
        } else {
            String::new()
        };
        let Font { size, color, .. } = font;
        let spans = spans(content, size);
        self.push(format_args!(
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" fill=\"{color}\"{anchor}{bold}{halo}{turn}>{spans}</text>"
        ));
    }

    /// What `draw` adds is cut off outside this rectangle.
    pub(crate) fn clipped(&mut self, corner: [f64; 2], size: [f64; 2], draw: impl FnOnce(&mut Self)) {
        let ([x, y], [w, h]) = (corner.map(number), size.map(number));
        self.clipped_by(&format!("<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"/>"), draw);
    }

    /// What `draw` adds is cut off outside this ellipse.
    pub(crate) fn clipped_to_ellipse(&mut self, center: [f64; 2], radii: [f64; 2], draw: impl FnOnce(&mut Self)) {
        let ([x, y], [rx, ry]) = (center.map(number), radii.map(number));
        self.clipped_by(&format!("<ellipse cx=\"{x}\" cy=\"{y}\" rx=\"{rx}\" ry=\"{ry}\"/>"), draw);
    }

    fn clipped_by(&mut self, shape: &str, draw: impl FnOnce(&mut Self)) {
        self.clips += 1;
        let id = format!("{}-clip-{}", self.name, self.clips);
        self.push(format_args!("<clipPath id=\"{id}\">{shape}</clipPath><g clip-path=\"url(#{id})\">"));
        draw(self);
        self.push(format_args!("</g>"));
    }
}

/// Text in XML: the five characters with a meaning are replaced, control characters dropped.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && !matches!(c, '\n' | '\t') => {}
            c => out.push(c),
        }
    }
    out
}

/// A coordinate with two decimals at most, without trailing zeros.
pub(crate) fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Rough width of a text in pixels by kind of letter, for the widest of the fonts that browsers fall back to
/// (DejaVu Sans; Noto Sans is a tenth narrower).
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    let advance = |c: char| match c {
        '_' | '^' | '{' | '}' => 0.0,
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '·' | ' ' => 0.27,
        'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '-' | '/' => 0.36,
        'm' | 'w' | 'M' | 'W' | '—' => 0.88,
        c if c.is_uppercase() => 0.65,
        _ => 0.57,
    };
    1.1 * size * text.chars().map(advance).sum::<f64>()
}

fn attribute(name: &str, value: f64) -> String {
    if value == 1.0 { String::new() } else { format!(" {name}=\"{}\"", number(value)) }
}

fn stroke_attributes(stroke: Stroke) -> String {
    let dash = if stroke.dash.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{}\"", stroke.dash) };
    let opacity = attribute("stroke-opacity", stroke.opacity);
    format!(" stroke=\"{}\" stroke-width=\"{}\"{dash}{opacity}", stroke.color, number(stroke.width))
}

/// The `d` attribute of connected points; a point that is not finite interrupts an open line and is left out of a
/// closed one.
fn path_data(points: &[[f64; 2]], close: bool) -> String {
    let mut d = String::new();
    let mut drawing = false;
    for point in points {
        if !(point[0].is_finite() && point[1].is_finite()) {
            drawing = drawing && close;
            continue;
        }
        let _ = write!(d, "{}{} {}", if drawing { 'L' } else { 'M' }, number(point[0]), number(point[1]));
        drawing = true;
    }
    if close && !d.is_empty() {
        d.push('Z');
    }
    d
}

/// Content of a text element: indices become smaller spans moved off the baseline, and the next span moves back.
fn spans(content: &str, size: f64) -> String {
    let mut out = String::new();
    let mut back = 0.0;
    let mut rest = content;
    while !rest.is_empty() {
        let (shift, index, tail) = match (rest.find("_{"), rest.find("^{")) {
            (Some(0), _) => index_span(rest, 0.28),
            (_, Some(0)) => index_span(rest, -0.38),
            (sub, sup) => {
                let end = sub.unwrap_or(rest.len()).min(sup.unwrap_or(rest.len()));
                (0.0, &rest[..end], &rest[end..])
            }
        };
        let (small, dy) = if shift == 0.0 { (size, -back) } else { (size * 0.72, shift * size - back) };
        let escaped = escape(index);
        if shift == 0.0 && dy == 0.0 {
            out.push_str(&escaped);
        } else {
            let _ = write!(out, "<tspan dy=\"{}\" font-size=\"{}\">{escaped}</tspan>", number(dy), number(small));
        }
        back = shift * size;
        rest = tail;
    }
    out
}

/// The text inside the braces that `rest` opens with, and what follows them.
fn index_span(rest: &str, shift: f64) -> (f64, &str, &str) {
    let inside = &rest[2..];
    match inside.find('}') {
        Some(end) => (shift, &inside[..end], &inside[end + 1..]),
        None => (shift, inside, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_indices_return_to_the_baseline() {
        assert_eq!(escape("a<b & \"c\"\u{7}"), "a&lt;b &amp; &quot;c&quot;");
        let text = spans("E_{r<1} (eV^{-1})", 10.0);
        assert!(text.contains("r&lt;1"), "{text}");
        let shifts: f64 = text.split("dy=\"").skip(1).filter_map(|t| t.split('"').next()?.parse::<f64>().ok()).sum();
        assert!(shifts.abs() < 0.02, "{text}");
    }

    #[test]
    fn paths_skip_what_is_not_finite() {
        let points = [[0.0, 0.0], [1.0, f64::NAN], [2.0, 1.0], [3.0, 1.5]];
        assert_eq!(path_data(&points, false), "M0 0M2 1L3 1.5");
        assert_eq!(path_data(&[[f64::NAN; 2]], true), "");
    }
}
