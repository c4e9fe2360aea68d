//! Defect probability and stored energy on the sphere of recoil directions, one row for each recoil energy.

use super::mollweide::IrreduciblePart;
use super::recoil_map::{Globe, color_bar, color_range, frame, heading, outline, sampled, value_map};
use super::svg::{Svg, number};
use glam::{DMat3, DVec3};

/// What was measured at one recoil energy.
pub(crate) struct DirectionMap {
    /// Recoil energy in eV.
    pub(crate) recoil_energy_ev: f64,
    /// Sampled direction and fraction of its starts that left defects.
    pub(crate) defect_probability: Vec<(DVec3, f64)>,
    /// Sampled direction and mean stored energy in eV over its starts, no defects counted as 0.
    pub(crate) stored_energy_ev: Vec<(DVec3, f64)>,
}

/// Height in pixels of a row.
const ROW: f64 = 344.0;

/// Draws the rows; `operations` repeat the sampled directions over the sphere, `axes` are names and unit vectors.
pub(crate) fn draw(maps: &[DirectionMap], operations: &[DMat3], axes: &[(&'static str, DVec3)]) -> String {
    let mut svg = Svg::new("direction-maps", 960.0, ROW * maps.len() as f64);
    let part = IrreduciblePart::of(operations);
    for (row, map) in maps.iter().enumerate() {
        let middle = ROW * row as f64 + 156.0;
        let left = Globe { center: [236.0, middle], radius: 111.0 };
        let right = Globe { center: [724.0, middle], radius: 111.0 };
        let energy = number(map.recoil_energy_ev);
        let letter = |k: usize| char::from(b'a' + ((2 * row + k) % 26) as u8).to_string();
        // With one recoil for each direction this is no probability yet.
        let is_yes_or_no = map.defect_probability.iter().all(|(_, fraction)| *fraction == 0.0 || *fraction == 1.0);
        let probability = if is_yes_or_no { "Defects left (1) or not (0)" } else { "Probability of defects" };
        let halves = [
            (&left, letter(0), format!("{probability}, {energy} eV"), &map.defect_probability, "", [0.0, 1.0]),
            (
                &right,
                letter(1),
                format!("Mean stored energy, {energy} eV"),
                &map.stored_energy_ev,
                "eV",
                color_range(&map.stored_energy_ev).into(),
            ),
        ];
        for (globe, letter, title, values, unit, range) in halves {
            heading(&mut svg, globe, &letter, &title);
            value_map(&mut svg, globe, values, operations, range);
            outline(&mut svg, globe, part.as_ref());
            sampled(&mut svg, globe, values);
            frame(&mut svg, globe, axes);
            color_bar(&mut svg, [globe.center[0] - 150.0, middle + 138.0], range, unit);
        }
    }
    svg.finish("Defect probability and stored energy by recoil direction")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_energy_has_its_row() {
        let map = |recoil_energy_ev| DirectionMap {
            recoil_energy_ev,
            defect_probability: vec![(DVec3::Z, 1.0), (DVec3::X, 0.5)],
            stored_energy_ev: vec![(DVec3::Z, 8.0), (DVec3::X, 3.0)],
        };
        let svg = draw(&[map(40.0), map(112.0)], &[], &[("c", DVec3::Z)]);
        assert!(svg.contains("40 eV") && svg.contains("112 eV") && !svg.contains("NaN"));
        assert!(svg.contains("Probability of defects"));
        let one_recoil = DirectionMap { defect_probability: vec![(DVec3::Z, 1.0), (DVec3::X, 0.0)], ..map(60.0) };
        assert!(draw(&[one_recoil], &[], &[]).contains("Defects left (1) or not (0), 60 eV"));
    }
}
