//! One Frenkel pair in the crystal around it: the vacancy, the interstitial, and where atoms have gone.

use super::palette::{self, INK, MUTED, PAPER};
use super::plot::{NORMAL, SMALL};
use super::svg::{Anchor, Font, Stroke, Svg};
use glam::DVec3;

/// An atom of the relaxed box.
pub(crate) struct Atom {
    pub(crate) symbol: String,
    /// From the middle of the picture, in angstrom.
    pub(crate) offset: DVec3,
    /// Its site of the perfect crystal, if it has left it visibly.
    pub(crate) site: Option<DVec3>,
    /// Sits between the sites.
    pub(crate) interstitial: bool,
}

/// What the figure shows.
pub(crate) struct FrenkelPicture<'a> {
    pub(crate) title: &'a str,
    pub(crate) atoms: &'a [Atom],
    /// Element and place of each empty site.
    pub(crate) vacancies: &'a [(String, DVec3)],
    /// From the vacancy to the interstitial; the picture is turned so that it lies flat.
    pub(crate) axis: DVec3,
    /// Atoms of different elements closer than this are joined by a line, in angstrom.
    pub(crate) bond_angstrom: f64,
    /// Names and unit vectors of the crystal axes.
    pub(crate) crystal_axes: &'a [(&'static str, DVec3)],
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 500.0;
const PIXELS_PER_ANGSTROM: f64 = 50.0;
/// Half the width, height and depth of what is shown, in angstrom.
const HALF: DVec3 = DVec3::new(6.0, 3.8, 3.4);
const MIDDLE: [f64; 2] = [320.0, 238.0];

/// Right, up and towards the viewer.
struct View([DVec3; 3]);

impl View {
    /// `axis` to the right, the crystal's z as far up as that allows.
    fn along(axis: DVec3) -> Self {
        let right = axis.try_normalize().unwrap_or(DVec3::X);
        let upright = if right.z.abs() > 0.95 { DVec3::Y } else { DVec3::Z };
        let up = (upright - right * right.dot(upright)).normalize();
        Self([right, up, right.cross(up)])
    }

    fn see(&self, offset: DVec3) -> DVec3 {
        DVec3::new(self.0[0].dot(offset), self.0[1].dot(offset), self.0[2].dot(offset))
    }
}

fn pixel(seen: DVec3) -> [f64; 2] {
    [MIDDLE[0] + PIXELS_PER_ANGSTROM * seen.x, MIDDLE[1] - PIXELS_PER_ANGSTROM * seen.y]
}

/// From 0 at the back to 1 in front.
fn nearness(seen: DVec3) -> f64 {
    (0.5 + 0.5 * seen.z / HALF.z).clamp(0.0, 1.0)
}

/// Draws the figure.
pub(crate) fn draw(picture: &FrenkelPicture) -> String {
    let view = View::along(picture.axis);
    let mut svg = Svg::new("frenkel-pair", WIDTH, HEIGHT);
    svg.text([24.0, 26.0], picture.title, Font::new(14.0));
    let mut atoms: Vec<(&Atom, DVec3)> = picture
        .atoms
        .iter()
        .map(|atom| (atom, view.see(atom.offset)))
        .filter(|(_, seen)| (seen.abs() - HALF).max_element() < 0.0)
        .collect();
    atoms.sort_by(|a, b| a.1.z.total_cmp(&b.1.z));
    let species = species(picture);
    bonds(&mut svg, &atoms, picture.bond_angstrom);
    for (atom, seen) in &atoms {
        draw_atom(&mut svg, atom, *seen, &species);
    }
    for (atom, seen) in &atoms {
        if let Some(site) = atom.site.filter(|_| !atom.interstitial) {
            svg.line(pixel(view.see(site)), pixel(*seen), Stroke::solid(INK, 1.4));
            svg.disk(pixel(view.see(site)), 2.4, INK, None);
        }
    }
    for (symbol, place) in picture.vacancies {
        let at = pixel(view.see(*place));
        svg.disk(at, 0.9 * radius(symbol), "none", Some(Stroke { dash: "4 3", ..Stroke::solid(INK, 2.2) }));
        label(&mut svg, at, radius(symbol), &format!("V_{{{symbol}}}"));
    }
    for (atom, seen) in atoms.iter().filter(|(atom, _)| atom.interstitial) {
        // Once more on top of what hides it.
        let outline = Stroke { dash: "2 2", ..Stroke::solid(INK, 1.6) };
        svg.disk(pixel(*seen), disk_radius(atom, *seen), "none", Some(outline));
        label(&mut svg, pixel(*seen), radius(&atom.symbol), &format!("{}_{{i}}", atom.symbol));
    }
    furniture(&mut svg, &view, picture, &species);
    svg.finish(picture.title)
}

fn draw_atom(svg: &mut Svg, atom: &Atom, seen: DVec3, species: &[String]) {
    let index = species.iter().position(|s| *s == atom.symbol).unwrap_or(0);
    let near = nearness(seen);
    let color = toward_paper(palette::element(&atom.symbol, index), 0.62 * (1.0 - near));
    let outline = if atom.interstitial { Stroke::solid(INK, 3.0) } else { Stroke::solid(PAPER, 1.0) };
    svg.disk(pixel(seen), disk_radius(atom, seen), &color, Some(outline));
}

fn disk_radius(atom: &Atom, seen: DVec3) -> f64 {
    radius(&atom.symbol) * (0.8 + 0.3 * nearness(seen))
}

/// Lines between atoms of different elements that are bonded, behind all atoms.
fn bonds(svg: &mut Svg, atoms: &[(&Atom, DVec3)], bond_angstrom: f64) {
    for (index, (a, place_a)) in atoms.iter().enumerate() {
        for (b, place_b) in &atoms[index + 1..] {
            if a.symbol != b.symbol && place_a.distance(*place_b) < bond_angstrom {
                let near = 0.5 * (nearness(*place_a) + nearness(*place_b));
                let stroke = Stroke::solid(MUTED, 4.0).with_opacity(0.25 + 0.55 * near);
                svg.line(pixel(*place_a), pixel(*place_b), stroke);
            }
        }
    }
}

fn label(svg: &mut Svg, [x, y]: [f64; 2], radius: f64, text: &str) {
    svg.text([x, y - radius - 6.0], text, Font::new(15.0).bold().anchored(Anchor::Middle).halo());
}

/// Disk radius in pixels by period of the element: heavier ones are larger.
fn radius(symbol: &str) -> f64 {
    match knockon::Species::from_symbol(symbol).map_or(0, |s| s.atomic_number()) {
        0..=10 => 10.0,
        11..=36 => 14.0,
        _ => 16.0,
    }
}

/// Crystal axes, scale bar and legend.
fn furniture(svg: &mut Svg, view: &View, picture: &FrenkelPicture, species: &[String]) {
    let y = HEIGHT - 28.0;
    let mut x = 30.0;
    for (index, symbol) in species.iter().enumerate() {
        svg.disk([x, y - 4.5], 7.0, palette::element(symbol, index), None);
        svg.text([x + 12.0, y], symbol, NORMAL);
        x += 50.0;
    }
    // Only what is in the picture: an atom may have moved far without leaving its site empty.
    if !picture.vacancies.is_empty() {
        svg.disk([x, y - 4.5], 7.0, "none", Some(Stroke { dash: "4 3", ..Stroke::solid(INK, 1.8) }));
        svg.text([x + 13.0, y], "vacancy", NORMAL);
        x += 92.0;
    }
    if picture.atoms.iter().any(|atom| atom.interstitial) {
        svg.disk([x, y - 4.5], 7.0, PAPER, Some(Stroke::solid(INK, 2.6)));
        svg.text([x + 13.0, y], "interstitial", NORMAL);
        x += 98.0;
    }
    svg.line([x, y - 4.5], [x + 22.0, y - 4.5], Stroke::solid(INK, 1.4));
    svg.disk([x, y - 4.5], 2.4, INK, None);
    svg.text([x + 29.0, y], "moved from its site", NORMAL);
    let bar = 2.0 * PIXELS_PER_ANGSTROM;
    let right = WIDTH - 30.0;
    svg.line([right - bar, y - 2.0], [right, y - 2.0], Stroke::solid(INK, 2.0));
    svg.text([right - 0.5 * bar, y - 8.0], "2 Å", SMALL.anchored(Anchor::Middle));
    let origin = [WIDTH - 62.0, 52.0];
    for (name, direction) in picture.crystal_axes {
        let seen = view.see(*direction);
        let tip = [origin[0] + 28.0 * seen.x, origin[1] - 28.0 * seen.y];
        svg.line(origin, tip, Stroke::solid(MUTED, 1.8));
        let place = [origin[0] + 40.0 * seen.x, origin[1] - 40.0 * seen.y + 4.0];
        if seen.truncate().length() > 0.25 {
            svg.text(place, name, SMALL.anchored(Anchor::Middle));
        }
    }
}

fn species(picture: &FrenkelPicture) -> Vec<String> {
    let mut symbols: Vec<String> = picture.atoms.iter().map(|a| a.symbol.clone()).collect();
    symbols.sort();
    symbols.dedup();
    symbols
}

/// Mixes a colour with white.
fn toward_paper(color: &str, part: f64) -> String {
    let channel = |at: usize| color.get(at..at + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or(128);
    let mix = |at: usize| {
        let value = f64::from(channel(at));
        (value + part * (255.0 - value)).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", mix(1), mix(3), mix(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_without_a_pair_are_drawn() {
        let atom = Atom { symbol: "O".into(), offset: DVec3::ZERO, site: Some(DVec3::X), interstitial: false };
        let mut picture = FrenkelPicture {
            title: "W-1 <a & b>",
            atoms: &[],
            vacancies: &[],
            axis: DVec3::ZERO,
            bond_angstrom: 2.2,
            crystal_axes: &[("c", DVec3::Z)],
        };
        let bare = draw(&picture);
        assert!(!bare.contains("NaN") && !bare.contains("vacancy") && !bare.contains("interstitial"));
        let atoms = [atom];
        let vacancies = [("W".to_owned(), DVec3::Y)];
        (picture.atoms, picture.vacancies, picture.axis) = (&atoms, &vacancies, DVec3::Z);
        let svg = draw(&picture);
        assert!(!svg.contains("NaN") && svg.contains("&lt;a &amp; b&gt;") && svg.contains("vacancy"));
    }

    #[test]
    fn colours_fade_to_white() {
        assert_eq!(toward_paper("#204060", 0.0), "#204060");
        assert_eq!(toward_paper("#204060", 1.0), "#ffffff");
    }
}
