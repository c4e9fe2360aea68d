//! Figure 1: the crystal as the recoiling atom sees it, and the stored energy by direction.

use super::axis::extent;
use super::mollweide::{IrreduciblePart, project, project_line};
use super::palette::{self, GRID, INK, MUTED, PAPER};
use super::plot::{NORMAL, SMALL};
use super::svg::{Anchor, Font, Stroke, Svg, number};
use super::voronoi::cells;
use glam::{DMat3, DVec3};

/// A neighbour of the recoiling atom.
pub(crate) struct Neighbor {
    pub(crate) symbol: String,
    /// From the recoiling atom, in angstrom.
    pub(crate) offset: DVec3,
}

/// What the figure shows.
pub(crate) struct RecoilMap<'a> {
    pub(crate) neighbors: &'a [Neighbor],
    /// Unit vectors of all sampled directions.
    pub(crate) directions: &'a [DVec3],
    /// Symmetry operations of the site, Cartesian.
    pub(crate) operations: &'a [DMat3],
    /// Sampled direction and mean stored energy in eV over its starts.
    pub(crate) stored_energy_ev: &'a [(DVec3, f64)],
    /// Recoil energy of the map in eV.
    pub(crate) recoil_energy_ev: f64,
    /// Names and unit vectors of the crystal axes.
    pub(crate) axes: &'a [(&'static str, DVec3)],
}

/// Colour of the outline of the irreducible part: the paper's yellow, darker so that it reads on white.
pub(super) const OUTLINE: Stroke = Stroke::solid("#e0a200", 2.4);
/// Disk radius in pixels of an atom at 1 angstrom.
const DISK_AT_1_ANGSTROM: f64 = 34.0;

/// One projection within the picture.
pub(super) struct Globe {
    pub(super) center: [f64; 2],
    pub(super) radius: f64,
}

impl Globe {
    fn at(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.center[0] + self.radius * x, self.center[1] - self.radius * y]
    }

    fn radii(&self) -> [f64; 2] {
        [2.0 * self.radius, self.radius]
    }
}

/// Draws the figure.
pub(crate) fn draw(map: &RecoilMap) -> String {
    let mut svg = Svg::new("recoil-map", 960.0, 352.0);
    let left = Globe { center: [236.0, 160.0], radius: 111.0 };
    let right = Globe { center: [724.0, 160.0], radius: 111.0 };
    let part = IrreduciblePart::of(map.operations);
    heading(&mut svg, &left, "a", "Crystal within 6 Å and sampled directions");
    crystal(&mut svg, &left, map, part.as_ref());
    heading(&mut svg, &right, "b", &format!("Mean stored energy after a {} eV recoil", number(map.recoil_energy_ev)));
    stored_energy(&mut svg, &right, map, part.as_ref());
    svg.finish("Crystal around the recoiling atom and stored energy by recoil direction")
}

pub(super) fn heading(svg: &mut Svg, globe: &Globe, letter: &str, text: &str) {
    let top = globe.center[1] - 138.0;
    let left = globe.center[0] - 2.0 * globe.radius;
    svg.text([left, top], letter, Font::new(15.0).bold());
    svg.text([left + 17.0, top], text, Font::new(14.0));
}

fn crystal(svg: &mut Svg, globe: &Globe, map: &RecoilMap, part: Option<&IrreduciblePart>) {
    svg.ellipse(globe.center, globe.radii(), PAPER, None);
    graticule(svg, globe, GRID);
    let mut neighbors: Vec<&Neighbor> = map.neighbors.iter().filter(|n| n.offset.length() > 0.1).collect();
    // the nearest last, on top
    neighbors.sort_by(|a, b| b.offset.length().total_cmp(&a.offset.length()));
    let species = species(map.neighbors);
    svg.clipped_to_ellipse(globe.center, globe.radii(), |svg| {
        for neighbor in neighbors {
            let distance = neighbor.offset.length();
            let color = color_of(&species, &neighbor.symbol);
            for place in with_copy_beyond_the_edge(project(neighbor.offset / distance)) {
                svg.disk(globe.at(place), DISK_AT_1_ANGSTROM / distance, color, Some(Stroke::solid(PAPER, 1.0)));
            }
        }
    });
    outline(svg, globe, part);
    for direction in map.directions {
        svg.disk(globe.at(project(*direction)), 2.3, INK, Some(Stroke::solid(PAPER, 0.7)));
    }
    frame(svg, globe, map.axes);
    crystal_legend(svg, globe, &species, part.is_some());
}

fn crystal_legend(svg: &mut Svg, globe: &Globe, species: &[String], outlined: bool) {
    let y = 312.0;
    let width = 54.0 * species.len() as f64 + 76.0 + if outlined { 146.0 } else { 0.0 };
    let mut x = globe.center[0] - 0.5 * width + 7.0;
    for symbol in species {
        svg.disk([x, y - 4.5], 7.0, color_of(species, symbol), None);
        svg.text([x + 13.0, y], symbol, NORMAL);
        x += 54.0;
    }
    svg.disk([x, y - 4.5], 2.6, INK, None);
    svg.text([x + 10.0, y], "directions", NORMAL);
    if outlined {
        svg.line([x + 96.0, y - 4.5], [x + 118.0, y - 4.5], OUTLINE);
        svg.text([x + 125.0, y], "irreducible part", NORMAL);
    }
}

/// A place, and its copy on the other side where a disk would be cut by the edge of the map.
fn with_copy_beyond_the_edge([x, y]: [f64; 2]) -> [[f64; 2]; 2] {
    let width = 4.0 * (1.0 - y * y).max(0.0).sqrt();
    [[x, y], [x - width.copysign(x), y]]
}

fn stored_energy(svg: &mut Svg, globe: &Globe, map: &RecoilMap, part: Option<&IrreduciblePart>) {
    svg.ellipse(globe.center, globe.radii(), GRID, None);
    if map.stored_energy_ev.is_empty() {
        super::plot::nothing_to_draw(svg, [globe.center[0], globe.center[1] + 5.0], "no recoils yet");
        frame(svg, globe, map.axes);
        return;
    }
    let (low, high) = color_range(map.stored_energy_ev);
    value_map(svg, globe, map.stored_energy_ev, map.operations, [low, high]);
    outline(svg, globe, part);
    sampled(svg, globe, map.stored_energy_ev);
    frame(svg, globe, map.axes);
    color_bar(svg, [globe.center[0] - 150.0, 298.0], [low, high], "eV");
}

/// The cell of each direction, and those of its images, in the colour of its value on a scale between two ends.
pub(super) fn value_map(
    svg: &mut Svg,
    globe: &Globe,
    values: &[(DVec3, f64)],
    operations: &[DMat3],
    [low, high]: [f64; 2],
) {
    let identity = [DMat3::IDENTITY];
    let operations = if operations.is_empty() { &identity } else { operations };
    let color = |value: f64| palette::scale_color((value - low) / (high - low));
    let directions: Vec<DVec3> = values.iter().map(|(direction, _)| *direction).collect();
    svg.clipped_to_ellipse(globe.center, globe.radii(), |svg| {
        for (polygons, (_, value)) in cells(&directions, operations).iter().zip(values) {
            let pixels: Vec<Vec<_>> =
                polygons.iter().map(|p| p.iter().map(|place| globe.at(*place)).collect()).collect();
            // a thin line of the same colour, so that no seam shows between cells
            svg.polygons(&pixels, &color(*value), Some(&color(*value)));
        }
    });
    graticule(svg, globe, "#ffffff55");
}

/// A dot at each sampled direction.
pub(super) fn sampled(svg: &mut Svg, globe: &Globe, values: &[(DVec3, f64)]) {
    for (direction, _) in values {
        svg.disk(globe.at(project(*direction)), 1.9, "#10151c", Some(Stroke::solid("#ffffff", 0.6)));
    }
}

/// From the smallest to the largest value; from zero if they differ little or one is close to it.
pub(super) fn color_range(values: &[(DVec3, f64)]) -> (f64, f64) {
    let (low, high) = extent(values.iter().map(|(_, v)| *v)).unwrap_or((0.0, 1.0));
    let high = if high > 0.0 { high } else { 1.0 };
    (if low < 0.2 * high || low > 0.9 * high { 0.0 } else { low }, high)
}

fn graticule(svg: &mut Svg, globe: &Globe, color: &'static str) {
    let direction = |latitude: f64, longitude: f64| {
        let (lat, lon) = (latitude.to_radians(), longitude.to_radians());
        DVec3::new(lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin())
    };
    let stroke = Stroke::solid(color, 1.0);
    for longitude in (-150..=150).step_by(30) {
        let line: Vec<_> = (-90..=90).step_by(3).map(|l| direction(f64::from(l), f64::from(longitude))).collect();
        draw_line(svg, globe, &line, stroke);
    }
    for latitude in [-60.0, -30.0, 0.0, 30.0, 60.0] {
        let line = [-179.9, 179.9].map(|longitude| globe.at(project(direction(latitude, longitude))));
        svg.polyline(&line, stroke);
    }
}

pub(super) fn outline(svg: &mut Svg, globe: &Globe, part: Option<&IrreduciblePart>) {
    for edge in part.iter().flat_map(|part| part.edges()) {
        draw_line(svg, globe, &edge, OUTLINE);
    }
}

fn draw_line(svg: &mut Svg, globe: &Globe, line: &[DVec3], stroke: Stroke) {
    for piece in project_line(line) {
        let pixels: Vec<_> = piece.into_iter().map(|place| globe.at(place)).collect();
        if pixels.len() > 1 {
            svg.polyline(&pixels, stroke);
        }
    }
}

/// The ellipse and where the crystal axes point.
pub(super) fn frame(svg: &mut Svg, globe: &Globe, axes: &[(&'static str, DVec3)]) {
    svg.ellipse(globe.center, globe.radii(), "none", Some(Stroke::solid(INK, 1.2)));
    for (name, direction) in axes {
        let [x, y] = globe.at(project(*direction));
        let near_pole = direction.z.abs() > 0.95;
        let place = match near_pole {
            true if direction.z > 0.0 => [x, y - 7.0],
            true => [x, y + 17.0],
            false => [x + 11.0, y + 17.0],
        };
        svg.text(
            place,
            name,
            Font::new(13.0).colored(if near_pole { MUTED } else { INK }).bold().anchored(Anchor::Middle).halo(),
        );
    }
}

pub(super) fn color_bar(svg: &mut Svg, [x, y]: [f64; 2], [low, high]: [f64; 2], unit: &str) {
    const WIDTH: f64 = 300.0;
    const STEPS: usize = 100;
    for i in 0..STEPS {
        let fraction = i as f64 / STEPS as f64;
        let width = if i + 1 == STEPS { WIDTH / STEPS as f64 } else { WIDTH / STEPS as f64 + 0.6 };
        svg.rectangle([x + fraction * WIDTH, y], [width, 12.0], &palette::scale_color(fraction), None);
    }
    svg.rectangle([x, y], [WIDTH, 12.0], "none", Some(Stroke::solid(MUTED, 0.8)));
    let axis = super::axis::Axis::linear("", low, high);
    for tick in &axis.ticks {
        let place = x + axis.fraction(tick.value) * WIDTH;
        svg.line([place, y + 12.0], [place, y + 16.0], Stroke::solid(MUTED, 1.0));
        svg.text([place, y + 29.0], &tick.label, SMALL.anchored(Anchor::Middle));
    }
    svg.text([x + WIDTH + 10.0, y + 11.0], unit, SMALL);
}

fn species(neighbors: &[Neighbor]) -> Vec<String> {
    let mut symbols: Vec<String> = neighbors.iter().map(|n| n.symbol.clone()).collect();
    symbols.sort();
    symbols.dedup();
    symbols
}

fn color_of(species: &[String], symbol: &str) -> &'static str {
    palette::element(symbol, species.iter().position(|s| s == symbol).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map<'a>(neighbors: &'a [Neighbor], directions: &'a [DVec3], values: &'a [(DVec3, f64)]) -> RecoilMap<'a> {
        RecoilMap {
            neighbors,
            directions,
            operations: &[],
            stored_energy_ev: values,
            recoil_energy_ev: 112.0,
            axes: &[],
        }
    }

    #[test]
    fn empty_and_tiny_inputs_are_drawn() {
        let nothing = draw(&map(&[], &[], &[]));
        assert!(nothing.contains("no recoils yet"));
        let neighbors = [Neighbor { symbol: "O".into(), offset: DVec3::new(-1.8, 0.0, 0.0) }];
        let one = draw(&map(&neighbors, &[DVec3::Z], &[(DVec3::Z, 0.0)]));
        assert!(!one.contains("NaN") && one.contains("112 eV"));
    }
}
