//! Mollweide projection of directions (equal areas), and the irreducible part of the sphere.

use glam::{DMat3, DVec3};
use std::f64::consts::PI;

/// Place of a unit vector in an ellipse of half-axes 2 x 1 (x to the right, y up), longitude 0 (the x axis) in the
/// middle and growing to the right, z at the top. Snyder, Map Projections (USGS 1395, 1987), eq. 31-1 to 31-3.
pub(crate) fn project(direction: DVec3) -> [f64; 2] {
    project_beside(direction, direction.y)
}

/// The same for a direction on the edge of the map: on the right where `side` is positive, else on the left.
pub(crate) fn project_beside(direction: DVec3, side: f64) -> [f64; 2] {
    let sine = direction.z.clamp(-1.0, 1.0);
    let theta = auxiliary_angle(sine);
    let longitude = direction.y.abs().atan2(direction.x).copysign(side);
    [2.0 * longitude / PI * theta.cos(), theta.sin()]
}

/// Solves 2 theta + sin(2 theta) = pi sin(latitude) by bisection (Newton's method fails at the poles).
fn auxiliary_angle(sine_of_latitude: f64) -> f64 {
    let (mut low, mut high) = (-0.5 * PI, 0.5 * PI);
    for _ in 0..50 {
        let middle = 0.5 * (low + high);
        if 2.0 * middle + (2.0 * middle).sin() < PI * sine_of_latitude { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The part of the sphere that the symmetry operations of the site repeat over all of it: the directions closer to
/// a seed than to any of its images (Dirichlet domain). Its edges are arcs of great circles.
pub(crate) struct IrreduciblePart {
    /// Normals of the planes that bound it, pointing inwards.
    normals: Vec<DVec3>,
}

impl IrreduciblePart {
    /// The part that campaigns sample under these operations; `None` if no operation moves a direction.
    pub(crate) fn of(operations: &[DMat3]) -> Option<Self> {
        let seed = knockon::cascade::generic_point(operations);
        let differences = operations.iter().map(|o| seed - *o * seed).filter(|d| d.length() > 1e-6);
        let normals: Vec<DVec3> = differences.map(DVec3::normalize).collect();
        (!normals.is_empty()).then_some(Self { normals })
    }

    /// True on the inside and on the edge.
    pub(crate) fn contains(&self, direction: DVec3) -> bool {
        self.normals.iter().all(|n| n.dot(direction) >= -1e-6)
    }

    /// The edges as connected directions about one degree apart.
    pub(crate) fn edges(&self) -> Vec<Vec<DVec3>> {
        let mut edges = Vec::new();
        for normal in &self.normals {
            let (u, v) = normal.any_orthonormal_pair();
            let circle = (0..=720).map(|i| {
                let angle = f64::from(i) * PI / 360.0;
                u * angle.cos() + v * angle.sin()
            });
            let mut arc = Vec::new();
            for direction in circle {
                if self.contains(direction) {
                    arc.push(direction);
                } else if !arc.is_empty() {
                    edges.push(std::mem::take(&mut arc));
                }
            }
            edges.push(arc);
        }
        edges.retain(|arc| arc.len() > 1);
        edges
    }
}

/// Connected directions as connected places in the ellipse, cut where the line leaves on one side and comes back on
/// the other.
pub(crate) fn project_line(line: &[DVec3]) -> Vec<Vec<[f64; 2]>> {
    let mut parts = vec![Vec::<[f64; 2]>::new()];
    for direction in line {
        let place = project(*direction);
        let previous = parts.last().and_then(|part| part.last().copied());
        if previous.is_some_and(|p| (p[0] - place[0]).abs() > 0.7) {
            parts.push(Vec::new());
        }
        parts.last_mut().expect("there is always one part").push(place);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The four operations of -4 about z.
    fn bar_four() -> Vec<DMat3> {
        let turn = DMat3::from_cols(DVec3::new(0.0, -1.0, 0.0), DVec3::new(1.0, 0.0, 0.0), DVec3::new(0.0, 0.0, -1.0));
        vec![DMat3::IDENTITY, turn, turn * turn, turn * turn * turn]
    }

    /// Directions spread evenly over the sphere (golden spiral).
    fn spiral(n: usize) -> impl Iterator<Item = DVec3> {
        let golden_angle = PI * (3.0 - 5f64.sqrt());
        (0..n).map(move |i| {
            let z = 1.0 - (2.0 * i as f64 + 1.0) / n as f64;
            let (radius, angle) = ((1.0 - z * z).sqrt(), golden_angle * i as f64);
            DVec3::new(radius * angle.cos(), radius * angle.sin(), z)
        })
    }

    /// The direction at a place in the ellipse.
    fn unproject([x, y]: [f64; 2]) -> DVec3 {
        let theta = y.asin();
        let longitude = 0.5 * PI * x / theta.cos();
        let sine = ((2.0 * theta + (2.0 * theta).sin()) / PI).clamp(-1.0, 1.0);
        let cosine = (1.0 - sine * sine).sqrt();
        DVec3::new(cosine * longitude.cos(), cosine * longitude.sin(), sine)
    }

    #[test]
    fn projection_inverts_and_keeps_areas() {
        for direction in spiral(500) {
            let back = unproject(project(direction));
            assert!((back - direction).length() < 1e-6, "{direction} {back}");
        }
        // equal areas: half of the sphere lies at |z| < 1/2, and so does half of the ellipse's area pi * 2
        let y = project(DVec3::new(0.75f64.sqrt(), 0.0, 0.5))[1];
        let strip = 4.0 * (y * (1.0 - y * y).sqrt() + y.asin());
        assert!((strip - PI).abs() < 1e-6, "{strip}");
    }

    #[test]
    fn irreducible_part_of_bar_four_is_a_quarter_with_all_directions_of_a_campaign() {
        let part = IrreduciblePart::of(&bar_four()).expect("three operations move directions");
        let directions = knockon::cascade::irreducible_directions(&bar_four(), &[], 32).expect("directions");
        assert!(directions.iter().all(|d| part.contains(d.vector)));
        let inside = spiral(4000).filter(|d| part.contains(*d)).count();
        assert!((990..1010).contains(&inside), "{inside}");
        assert!(!part.edges().is_empty());
        for direction in spiral(300) {
            let images = bar_four().iter().filter(|o| part.contains(**o * direction)).count();
            assert!(images >= 1, "no image of {direction} is inside");
        }
    }

    #[test]
    fn no_symmetry_has_no_outline() {
        assert!(IrreduciblePart::of(&[DMat3::IDENTITY]).is_none());
        assert!(IrreduciblePart::of(&[]).is_none());
    }
}
