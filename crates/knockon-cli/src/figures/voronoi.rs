//! The cells of directions on the sphere, each the part closer to its direction than to any other, as polygons in
//! the Mollweide ellipse.

use super::mollweide::project_beside;
use glam::{DMat3, DVec3};

/// Edges are divided into arcs of at most this angle in radians (2 degrees), straight lines on the map.
const ARC: f64 = 0.035;

/// For each direction, the polygons (in the ellipse of [`super::mollweide::project`]) closer to it or one of its
/// images under the operations than to any other. Each lies in one octant, so that none crosses the edge of the map.
pub(crate) fn cells(directions: &[DVec3], operations: &[DMat3]) -> Vec<Vec<Vec<[f64; 2]>>> {
    let images: Vec<(usize, DVec3)> = directions
        .iter()
        .enumerate()
        .flat_map(|(site, direction)| operations.iter().map(move |o| (site, *o * *direction)))
        .collect();
    let mut cells = vec![Vec::new(); directions.len()];
    for (site, image) in &images {
        // planes halfway to the other images; an operation that keeps the direction makes no plane
        let planes = images.iter().map(|(_, other)| *image - *other).filter(|n| n.length_squared() > 1e-12);
        for octant in 0..8 {
            let sign = |bit: i32| if octant & bit == 0 { 1.0 } else { -1.0 };
            let corners = vec![DVec3::X * sign(1), DVec3::Y * sign(2), DVec3::Z * sign(4)];
            let polygon = planes.clone().fold(corners, |polygon, normal| cut(&polygon, normal));
            if polygon.len() > 2 {
                let places = divided(&polygon).into_iter().map(|d| project_beside(d, sign(2)));
                cells[*site].push(places.collect());
            }
        }
    }
    cells
}

/// The part of a convex spherical polygon on the side of a plane through the centre to which its normal points.
fn cut(polygon: &[DVec3], normal: DVec3) -> Vec<DVec3> {
    let mut kept = Vec::with_capacity(polygon.len() + 1);
    for (i, a) in polygon.iter().enumerate() {
        let b = polygon[(i + 1) % polygon.len()];
        let (da, db) = (normal.dot(*a), normal.dot(b));
        if da >= 0.0 {
            kept.push(*a);
        }
        if (da > 0.0 && db < 0.0) || (da < 0.0 && db > 0.0) {
            kept.push((*a * db.abs() + b * da.abs()).normalize_or(*a));
        }
    }
    kept
}

/// The polygon with points added along its edges.
fn divided(polygon: &[DVec3]) -> Vec<DVec3> {
    let mut points = Vec::new();
    for (i, a) in polygon.iter().enumerate() {
        let b = polygon[(i + 1) % polygon.len()];
        let pieces = (a.angle_between(b) / ARC).ceil().max(1.0) as u32;
        points.extend((0..pieces).map(|k| a.lerp(b, f64::from(k) / f64::from(pieces)).normalize_or(*a)));
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(polygon: &[[f64; 2]]) -> f64 {
        let next = polygon.iter().cycle().skip(1);
        0.5 * polygon.iter().zip(next).map(|(a, b)| a[0] * b[1] - a[1] * b[0]).sum::<f64>().abs()
    }

    fn areas(directions: &[DVec3], operations: &[DMat3]) -> Vec<f64> {
        cells(directions, operations).iter().map(|c| c.iter().map(|p| area(p)).sum()).collect()
    }

    #[test]
    fn cells_tile_the_map_in_proportion_to_their_solid_angles() {
        // equal areas: six directions along the axes own a sixth of the ellipse (area 2 pi) each
        let axes = [DVec3::X, DVec3::NEG_X, DVec3::Y, DVec3::NEG_Y, DVec3::Z, DVec3::NEG_Z];
        let whole = 2.0 * std::f64::consts::PI;
        for cell in areas(&axes, &[DMat3::IDENTITY]) {
            assert!((cell / whole - 1.0 / 6.0).abs() < 1e-3, "{cell}");
        }
        let inversion = [DMat3::IDENTITY, -DMat3::IDENTITY];
        let two = areas(&[DVec3::new(0.1, 0.5, 0.8).normalize(), DVec3::new(0.9, -0.2, 0.1).normalize()], &inversion);
        assert!((two.iter().sum::<f64>() / whole - 1.0).abs() < 1e-3, "{two:?}");
        assert!((areas(&[DVec3::Z], &[DMat3::IDENTITY])[0] / whole - 1.0).abs() < 1e-3);
        assert!(cells(&[], &[DMat3::IDENTITY]).is_empty());
    }
}
