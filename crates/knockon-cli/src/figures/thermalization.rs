//! Is the thermalised box in equilibrium? Kinetic energies, temperature of each element, temperature against time.

use super::axis::{Axis, Tick, extent};
use super::palette::{BLUE, GRAY, INK, ORANGE, element};
use super::plot::{Estimate, Key, Panel, legend, nothing_to_draw};
use super::svg::{Font, Stroke, Svg};

/// Atoms of one bin of kinetic energy.
#[derive(Clone, Copy)]
pub(crate) struct KineticBin {
    /// Edges in k T of the bath.
    pub(crate) edges_kt: [f64; 2],
    /// Part of all atoms that were found in it, per k T.
    pub(crate) density: f64,
    /// The law's density averaged over the bin, less and plus one standard deviation for this number of atoms.
    pub(crate) scatter: [f64; 2],
}

/// What the figure shows.
pub(crate) struct Thermalization {
    pub(crate) bath_temperature_k: f64,
    /// Empty where the campaign has not been collected.
    pub(crate) kinetic_energies: Vec<KineticBin>,
    /// Symbol and temperature of each element in K, with its standard error.
    pub(crate) elements: Vec<(String, Estimate)>,
    /// (time in ps, temperature of all atoms in K), at equal intervals.
    pub(crate) temperatures: Vec<[f64; 2]>,
}

const TITLE: &str = "Kinetic energies, temperature of each element, and temperature against time";
/// Kinetic energies are drawn up to so many k T; hardly an atom has more.
const END_KT: f64 = 8.0;
/// Parts of the time whose means are drawn.
const PARTS: usize = 10;

/// Draws the figure.
pub(crate) fn draw(data: &Thermalization) -> String {
    let mut svg = Svg::new("thermalization", 880.0, 560.0);
    let bath = Stroke::dashed(INK, 1.4);
    let entries = [
        (Key::Area(BLUE.into(), 0.3), "atoms of all starts"),
        (Key::Line(Stroke::solid(ORANGE, 2.0)), "Maxwell and Boltzmann, with the scatter of as many atoms"),
        (Key::Line(bath), "bath"),
    ];
    legend(&mut svg, [78.0, 6.0], 790.0, &entries);
    kinetic_energies(&mut svg, &data.kinetic_energies);
    elements(&mut svg, data, bath);
    temperatures(&mut svg, data, bath);
    svg.finish(TITLE)
}

fn heading(svg: &mut Svg, panel: &Panel, text: &str) {
    svg.text([panel.corner[0], panel.corner[1] - 10.0], text, Font::new(14.5).bold());
}

fn kinetic_energies(svg: &mut Svg, bins: &[KineticBin]) {
    let top = bins.iter().flat_map(|b| [b.density, b.scatter[1]]).fold(0.0, f64::max);
    let panel = Panel {
        corner: [78.0, 66.0],
        size: [430.0, 230.0],
        x: Axis::linear("Kinetic energy of an atom (k_{B}T)", 0.0, END_KT),
        y: Axis::linear("Probability density", 0.0, if top > 0.0 { 1.08 * top } else { 0.5 }),
    };
    panel.grid(svg);
    let edges: Vec<f64> = bins.iter().map(|b| b.edges_kt[0]).chain(bins.last().map(|b| b.edges_kt[1])).collect();
    let densities: Vec<f64> = bins.iter().map(|b| b.density).collect();
    let law: Vec<[f64; 2]> =
        (0..=400).map(|i| END_KT * f64::from(i) / 400.0).map(|e| [e, maxwell_boltzmann(e)]).collect();
    let scatter: Vec<[f64; 3]> =
        bins.iter().flat_map(|b| b.edges_kt.map(|edge| [edge, b.scatter[0], b.scatter[1]])).collect();
    panel.inside(svg, |svg| {
        panel.histogram(svg, &edges, &densities, BLUE, Stroke::solid(BLUE, 1.3));
        panel.band(svg, &scatter, ORANGE, 0.3);
        panel.line(svg, &law, Stroke::solid(ORANGE, 2.0));
    });
    panel.axes(svg);
    heading(svg, &panel, "(a) Kinetic energies");
    if bins.is_empty() {
        nothing_to_draw(svg, [293.0, 180.0], "counted when the campaign is collected");
    }
}

/// Probability density of Maxwell and Boltzmann for a kinetic energy in k T.
fn maxwell_boltzmann(energy_kt: f64) -> f64 {
    2.0 * (energy_kt / std::f64::consts::PI).sqrt() * (-energy_kt).exp()
}

fn elements(svg: &mut Svg, data: &Thermalization, bath: Stroke) {
    let values = data.elements.iter().flat_map(|(_, t)| [t.low, t.high]).chain([data.bath_temperature_k]);
    let (low, high) = extent(values).unwrap_or((0.0, 1.0));
    let margin = 0.3 * (high - low).max(0.002 * data.bath_temperature_k);
    let mut panel = Panel {
        corner: [606.0, 66.0],
        size: [250.0, 230.0],
        x: Axis::linear("Element", 0.0, data.elements.len().max(1) as f64),
        y: Axis::linear("Mean temperature (K)", low - margin, high + margin),
    };
    let place = |index: usize| index as f64 + 0.5;
    let ticks = data.elements.iter().enumerate();
    panel.x.ticks = ticks.map(|(index, (symbol, _))| Tick { value: place(index), label: symbol.clone() }).collect();
    panel.grid(svg);
    panel.inside(svg, |svg| {
        panel.line(svg, &[panel.x.min, panel.x.max].map(|x| [x, data.bath_temperature_k]), bath);
        for (index, (symbol, temperature)) in data.elements.iter().enumerate() {
            panel.point(svg, place(index), *temperature, 4.6, element(symbol, index));
        }
    });
    panel.axes(svg);
    heading(svg, &panel, "(b) Equipartition");
}

fn temperatures(svg: &mut Svg, data: &Thermalization, bath: Stroke) {
    let readings = &data.temperatures;
    let (from, to) = extent(readings.iter().map(|r| r[0])).unwrap_or((0.0, 1.0));
    let (low, high) = extent(readings.iter().map(|r| r[1]).chain([data.bath_temperature_k])).unwrap_or((0.0, 1.0));
    let panel = Panel {
        corner: [78.0, 384.0],
        size: [778.0, 120.0],
        x: Axis::linear("Time (ps)", from, to),
        y: Axis::linear("Temperature (K)", low, high).with_ticks(4),
    };
    panel.grid(svg);
    panel.inside(svg, |svg| {
        panel.line(svg, readings, Stroke::solid(GRAY, 1.0));
        panel.line(svg, &[from, to].map(|x| [x, data.bath_temperature_k]), bath);
        for part in parts(readings) {
            panel.line(svg, &part, Stroke::solid(BLUE, 3.0));
        }
    });
    panel.axes(svg);
    heading(svg, &panel, "(c) Stationarity: all atoms, and means over tenths of the time");
}

/// First and last time of each part, both with its mean; none of fewer readings than parts.
fn parts(readings: &[[f64; 2]]) -> Vec<[[f64; 2]; 2]> {
    let edge = |part: usize| part * readings.len() / PARTS;
    let parts = (0..PARTS).map(|part| &readings[edge(part)..edge(part + 1)]);
    let mean = |part: &[[f64; 2]]| {
        let mean = part.iter().map(|r| r[1]).sum::<f64>() / part.len() as f64;
        Some([[part.first()?[0], mean], [part.last()?[0], mean]])
    };
    parts.filter_map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_their_means() {
        let readings: Vec<[f64; 2]> = (0..40).map(|i| [f64::from(i), f64::from(i / 4)]).collect();
        let found = parts(&readings);
        assert_eq!(found.len(), 10);
        assert_eq!(found[3], [[12.0, 3.0], [15.0, 3.0]]);
    }

    #[test]
    fn empty_and_tiny_inputs_are_drawn() {
        let empty = Thermalization {
            bath_temperature_k: 133.0,
            kinetic_energies: vec![],
            elements: vec![],
            temperatures: vec![],
        };
        assert!(draw(&empty).contains("when the campaign is collected"));
        let t = Estimate { value: 130.0, low: 130.0, high: 130.0 };
        let bin = KineticBin { edges_kt: [0.0, 0.25], density: 0.4, scatter: [0.3, 0.5] };
        let tiny = Thermalization {
            kinetic_energies: vec![bin],
            elements: vec![("W".into(), t)],
            temperatures: vec![[1.0, 133.0]],
            ..empty
        };
        let svg = draw(&tiny);
        assert!(svg.contains(">W<") && !svg.contains("NaN"), "{svg}");
    }
}
