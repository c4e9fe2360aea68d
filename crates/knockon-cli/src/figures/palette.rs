//! Colours. The first four are chrome: the report replaces them by CSS variables so that figures follow a light or
//! dark page. The others carry data and have a middle lightness, readable on both.

/// Text and frames.
pub(crate) const INK: &str = "#1d2530";
/// Secondary text and ticks.
pub(crate) const MUTED: &str = "#5f6b7a";
/// Grid lines and empty areas.
pub(crate) const GRID: &str = "#e4e7eb";
/// Background.
pub(crate) const PAPER: &str = "#ffffff";

pub(crate) const BLUE: &str = "#3674c2";
pub(crate) const RED: &str = "#cf4037";
pub(crate) const GREEN: &str = "#3f9a57";
pub(crate) const ORANGE: &str = "#dd861d";
pub(crate) const GRAY: &str = "#8a93a0";
pub(crate) const PURPLE: &str = "#8c61b8";
pub(crate) const TEAL: &str = "#2a9d9a";

/// Colours of several series, in the order in which they are given out.
pub(crate) const SERIES: [&str; 6] = [BLUE, ORANGE, GREEN, PURPLE, RED, TEAL];

/// Colour of an element: as in the paper for Ca, W and O; others cycle through the rest.
pub(crate) fn element(symbol: &str, index: usize) -> &'static str {
    match symbol {
        "Ca" => GREEN,
        "W" => BLUE,
        "O" => RED,
        _ => [ORANGE, PURPLE, TEAL, GRAY][index % 4],
    }
}

/// Stops of the colour scale, from little (light) to much (dark); lightness falls steadily, so that it also reads
/// in print without colour.
const STOPS: [[f64; 3]; 7] = [
    [255.0, 247.0, 217.0],
    [253.0, 211.0, 126.0],
    [245.0, 156.0, 76.0],
    [221.0, 94.0, 69.0],
    [167.0, 44.0, 86.0],
    [96.0, 27.0, 96.0],
    [37.0, 17.0, 65.0],
];

/// Colour of a value between 0 and 1.
pub(crate) fn scale_color(fraction: f64) -> String {
    let position = if fraction.is_finite() { fraction.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64 } else { 0.0 };
    let lower = (position as usize).min(STOPS.len() - 2);
    let part = position - lower as f64;
    let mix = |i: usize| (STOPS[lower][i] + part * (STOPS[lower + 1][i] - STOPS[lower][i])).round() as u8;
    format!("#{:02x}{:02x}{:02x}", mix(0), mix(1), mix(2))
}
