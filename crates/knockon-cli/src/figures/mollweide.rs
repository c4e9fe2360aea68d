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
    /// Chooses among many seeds, simple crystal directions first, the one whose domain holds most of `directions`: the
    /// campaign's own choice of irreducible part, if it is a Dirichlet domain at all. `None` if no operation moves a
    /// direction.
    pub(crate) fn around(directions: &[DVec3], operations: &[DMat3]) -> Option<Self> {
        let center: DVec3 = directions.iter().sum();
        let simple = (0..125).map(|i| DVec3::new(f64::from(i / 25), f64::from(i / 5 % 5), f64::from(i % 5)) - 2.0);
        let seeds = simple.chain([center]).chain(directions.iter().copied()).chain(spiral(200));
        let mut best: Option<(usize, Self)> = None;
        for seed in seeds.filter_map(DVec3::try_normalize) {
            let Some(part) = Self::of_seed(seed, operations) else { continue };
            let inside = directions.iter().filter(|d| part.contains(**d)).count();
            if best.as_ref().is_none_or(|(most, _)| inside > *most) {
                best = Some((inside, part));
            }
        }
        best.map(|(_, part)| part).filter(|part| !part.normals.is_empty())
    }

    /// The domain of one seed; `None` if an operation leaves the seed (nearly) where it is although it moves others.
    fn of_seed(seed: DVec3, operations: &[DMat3]) -> Option<Self> {
        let mut normals = Vec::new();
        for operation in operations.iter().filter(|o| !o.abs_diff_eq(DMat3::IDENTITY, 1e-6)) {
            let normal = seed - *operation * seed;
            normals.push(normal.try_normalize().filter(|_| normal.length() > 0.2)?);
        }
        Some(Self { normals })
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

/// Directions spread evenly over the sphere (golden spiral).
fn spiral(n: usize) -> impl Iterator<Item = DVec3> {
    let golden_angle = PI * (3.0 - 5f64.sqrt());
    (0..n).map(move |i| {
        let z = 1.0 - (2.0 * i as f64 + 1.0) / n as f64;
        let (radius, angle) = ((1.0 - z * z).sqrt(), golden_angle * i as f64);
        DVec3::new(radius * angle.cos(), radius * angle.sin(), z)
    })
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
    fn irreducible_part_of_bar_four_is_a_quarter() {
        let directions: Vec<DVec3> = spiral(4000).filter(|d| d.x > 0.0 && d.y > 0.0).collect();
        let part = IrreduciblePart::around(&directions, &bar_four()).expect("the group has four operations");
        assert!(directions.iter().filter(|d| !part.contains(**d)).count() < 10);
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
        assert!(IrreduciblePart::around(&[DVec3::X], &[DMat3::IDENTITY]).is_none());
        assert!(IrreduciblePart::around(&[], &[]).is_none());
    }
}
