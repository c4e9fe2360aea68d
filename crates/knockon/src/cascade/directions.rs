//! Recoil directions that cover the irreducible part of the sphere evenly, with their solid angles.

use crate::Error;
use glam::{DMat3, DVec2, DVec3};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// A recoil direction and the solid angle that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Direction {
    /// Unit vector, Cartesian.
    pub vector: DVec3,
    /// Solid angle in sr of its Voronoi cell on the sphere. The sum over all directions is 4 pi / group order.
    pub weight_sr: f64,
}

/// `count` directions in one asymmetric part of the sphere under a point group, near-uniform together with their images:
/// those `kept`, then further ones. Weights are the areas of the Voronoi cells of all of them.
///
/// Each further direction goes where the potential of unit charges on all earlier directions, on their images and on its
/// own images is lowest: greedy energy points, which tend to the uniform distribution (López García and Saff, J. Approx.
/// Theory 162, 2010). The first n of 2 n directions are therefore the n directions. Fails with fewer than are kept.
pub fn irreducible_directions(operations: &[DMat3], kept: &[DVec3], count: usize) -> Result<Vec<Direction>, Error> {
    if count == 0 || operations.is_empty() {
        let found = format!("expected at least 1 direction and 1 operation, found {count} and {}", operations.len());
        return Err(Error::input("directions", found, "Ask for a positive number of directions"));
    }
    if count < kept.len() {
        let found = format!("expected at least the {} directions that there are, found {count}", kept.len());
        return Err(Error::input("directions", found, "Ask for as many directions or more"));
    }
    let mut points = kept.to_vec();
    let mut candidates = Candidates::new(operations);
    if candidates.places.len() < count {
        let found = format!("expected at most {} directions for this site, found {count}", candidates.places.len());
        return Err(Error::input("directions", found, "Ask for fewer directions and more starts"));
    }
    points.iter().for_each(|point| candidates.charge(*point));
    while points.len() < count {
        let point = candidates.lowest();
        candidates.charge(point);
        points.push(point);
    }
    weighted(&points, operations)
}

/// The directions of `vectors` (of any length), after those `kept`, which must be among them. Weights are the areas of their
/// Voronoi cells. Fails if one is zero, the image of another, or if a kept one is not among them.
pub fn chosen_directions(operations: &[DMat3], kept: &[DVec3], vectors: &[DVec3]) -> Result<Vec<Direction>, Error> {
    let place = "directions";
    let is_image = |a: &DVec3, b: &DVec3| operations.iter().any(|g| (*g * *a).distance(*b) < SAME_DIRECTION);
    let mut points = kept.to_vec();
    for vector in vectors {
        let found = || format!("expected a direction, found {vector}");
        let unit =
            vector.try_normalize().ok_or_else(|| Error::input(place, found(), "Give vectors that are not zero"))?;
        if kept.iter().any(|point| point.distance(unit) < SAME_DIRECTION) {
            continue;
        }
        if let Some(other) = points.iter().find(|point| is_image(point, &unit)) {
            let found =
                format!("expected directions that differ by more than the site's symmetry, found {unit} and {other}");
            return Err(Error::input(place, found, "Leave one of them out"));
        }
        points.push(unit);
    }
    if points.len() != vectors.len() {
        let found = format!("expected all {} directions of the earlier plan among those given", kept.len());
        return Err(Error::input(place, found, "Add directions to those that there are"));
    }
    weighted(&points, operations)
}

/// Unit vectors closer than this are one direction.
const SAME_DIRECTION: f64 = 1e-6;

/// Points of the sphere with the areas of the Voronoi cells of them and their images.
fn weighted(points: &[DVec3], operations: &[DMat3]) -> Result<Vec<Direction>, Error> {
    let total = 4.0 * PI / operations.len() as f64;
    let alone = points.len() == 1;
    let weight = |i: usize| voronoi_area(i, points, operations) / stabilizer(points[i], operations) as f64;
    let areas: Vec<f64> = (0..points.len()).map(weight).collect();
    let sum: f64 = areas.iter().sum();
    if !alone && (sum / total - 1.0).abs() > 1e-6 {
        let found = format!(
            "{} directions and their images leave part of the sphere farther than 90 degrees from all of them",
            points.len()
        );
        let remedy =
            "Ask for more directions, or add some on the other side to a list (without symmetry it takes four or more)";
        return Err(Error::input("directions", found, remedy));
    }
    let weights = areas.iter().map(|area| if alone { total } else { area * total / sum });
    Ok(points.iter().zip(weights).map(|(vector, weight_sr)| Direction { vector: *vector, weight_sr }).collect())
}

/// How many operations leave a direction where it is: images of one on an axis or a mirror plane fall together.
fn stabilizer(point: DVec3, operations: &[DMat3]) -> usize {
    operations.iter().filter(|g| (**g * point).distance(point) < SAME_DIRECTION).count().max(1)
}

/// Fibonacci's spiral: `count` nearly even points on the sphere.
fn spiral(count: usize) -> impl Iterator<Item = DVec3> {
    let golden_angle = PI * (3.0 - 5.0_f64.sqrt());
    (0..count).map(move |i| {
        let z = 1.0 - (2.0 * i as f64 + 1.0) / count as f64;
        let (radius, angle) = ((1.0 - z * z).sqrt(), golden_angle * i as f64);
        DVec3::new(radius * libm::cos(angle), radius * libm::sin(angle), z)
    })
}

/// The point (unit vector) that is farthest from its own images: the region closer to it than to any image is the
/// asymmetric part in which [`irreducible_directions`] lie.
pub fn generic_point(operations: &[DMat3]) -> DVec3 {
    let closest_image = |p: &DVec3| operations.iter().skip(1).map(|g| (*g * *p).dot(*p)).fold(-1.0, f64::max);
    let better = |best: (f64, DVec3), p: DVec3| {
        let closeness = closest_image(&p);
        if closeness < best.0 - 1e-9 { (closeness, p) } else { best }
    };
    spiral(2000).fold((f64::INFINITY, DVec3::Z), better).1
}

/// Directions are chosen among this many even points of the sphere, 1.4 degrees apart.
const CANDIDATES: usize = 20_000;

/// Places in the asymmetric part, with the potential of the charges so far.
struct Candidates<'a> {
    operations: &'a [DMat3],
    places: Vec<(DVec3, f64)>,
}

impl<'a> Candidates<'a> {
    fn new(operations: &'a [DMat3]) -> Self {
        let center = generic_point(operations);
        let inside = |p: &DVec3| operations.iter().skip(1).all(|g| p.dot(center) > (*g * *p).dot(center));
        // A charge and its image share the energy of their pair.
        let own = |p: DVec3| operations.iter().skip(1).map(|g| 0.5 / p.distance(*g * p)).sum();
        Self { operations, places: spiral(CANDIDATES).filter(inside).map(|p| (p, own(p))).collect() }
    }

    /// Puts charges on a point and all its images.
    fn charge(&mut self, point: DVec3) {
        for image in self.operations.iter().map(|g| *g * point) {
            self.places.iter_mut().for_each(|(place, potential)| *potential += 1.0 / place.distance(image));
        }
    }

    fn lowest(&self) -> DVec3 {
        let lower = |a: (DVec3, f64), b: &(DVec3, f64)| if b.1 < a.1 { *b } else { a };
        self.places.iter().fold((DVec3::Z, f64::INFINITY), lower).0
    }
}

/// Area of the region of the sphere closer to point `i` than to any other point or image.
///
/// In the projection from the centre onto the tangent plane at the point, great circles are straight lines, so that the
/// cell is a convex polygon: a large square cut by one half-plane per other point.
fn voronoi_area(i: usize, points: &[DVec3], operations: &[DMat3]) -> f64 {
    const FAR: f64 = 1e7;
    let point = points[i];
    let (e1, e2) = point.any_orthonormal_pair();
    let corners = [(FAR, FAR), (-FAR, FAR), (-FAR, -FAR), (FAR, -FAR)];
    let mut polygon: Vec<DVec2> = corners.iter().map(|(x, y)| DVec2::new(*x, *y)).collect();
    for other in points {
        for operation in operations {
            let away = point - *operation * *other;
            if away.length() > SAME_DIRECTION {
                // Closer to `point`: (point + x e1 + y e2) . away > 0.
                polygon = cut(&polygon, DVec2::new(e1.dot(away), e2.dot(away)), point.dot(away));
            }
        }
    }
    let vertex = |p: &DVec2| (point + e1 * p.x + e2 * p.y).normalize();
    let vertices: Vec<DVec3> = polygon.iter().map(vertex).collect();
    (0..vertices.len()).map(|k| triangle_area(point, vertices[k], vertices[(k + 1) % vertices.len()])).sum()
}

/// The part of a convex polygon where normal . p + offset > 0 (Sutherland and Hodgman 1974).
fn cut(polygon: &[DVec2], normal: DVec2, offset: f64) -> Vec<DVec2> {
    let height = |p: &DVec2| normal.dot(*p) + offset;
    let mut kept = Vec::with_capacity(polygon.len() + 1);
    for (k, start) in polygon.iter().enumerate() {
        let end = &polygon[(k + 1) % polygon.len()];
        let (a, b) = (height(start), height(end));
        if a >= 0.0 {
            kept.push(*start);
        }
        if (a < 0.0) != (b < 0.0) {
            kept.push(*start + (*end - *start) * (a / (a - b)));
        }
    }
    kept
}

/// Solid angle of a triangle of unit vectors (Van Oosterom and Strackee 1983).
fn triangle_area(a: DVec3, b: DVec3, c: DVec3) -> f64 {
    2.0 * libm::atan2(a.dot(b.cross(c)), 1.0 + a.dot(b) + b.dot(c) + c.dot(a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::{calcium_tungstate, cubic_cell, element};
    use crate::symmetry::site_symmetry;
    use crate::{Atoms, Cell};

    fn tungsten_site() -> Vec<DMat3> {
        site_symmetry(&calcium_tungstate(), 0, 1e-3).expect("a crystal").operations
    }

    /// Operations of the first atom of a crystal.
    fn site(vectors: [[f64; 3]; 3], fractional: &[[f64; 3]], symbols: &[&str]) -> Vec<DMat3> {
        let [a, b, c] = vectors.map(DVec3::from_array);
        let cell = Cell::periodic(a, b, c);
        let positions = fractional.iter().map(|f| cell.vectors * DVec3::from_array(*f)).collect();
        let atoms = Atoms::new(cell, symbols.iter().map(|s| element(s)).collect(), positions, "test");
        site_symmetry(&atoms.expect("valid atoms"), 0, 1e-3).expect("a crystal").operations
    }

    fn cubic_tetragonal_hexagonal_triclinic() -> [Vec<DMat3>; 4] {
        let hexagonal = [[2.95, 0.0, 0.0], [-1.475, 1.475 * 3.0_f64.sqrt(), 0.0], [0.0, 0.0, 4.68]];
        let close_packed = [[1.0 / 3.0, 2.0 / 3.0, 0.25], [2.0 / 3.0, 1.0 / 3.0, 0.75]];
        let skewed = [[4.0, 0.3, 0.1], [0.5, 5.0, 0.7], [-0.4, 0.2, 6.0]];
        let general = [[0.0; 3], [0.2, 0.3, 0.4], [0.7, 0.1, 0.6]];
        let sites = [
            site_symmetry(&cubic_cell(2.8), 0, 1e-3).expect("a crystal").operations,
            tungsten_site(),
            site(hexagonal, &close_packed, &["Ti"; 2]),
            site(skewed, &general, &["Ca", "O", "O"]),
        ];
        assert_eq!(sites.each_ref().map(Vec::len), [48, 4, 12, 1]);
        sites
    }

    #[test]
    fn directions_are_nested_even_and_their_weights_cover_the_irreducible_part() {
        for operations in cubic_tetragonal_hexagonal_triclinic() {
            let total = 4.0 * PI / operations.len() as f64;
            let most = irreducible_directions(&operations, &[], 64).expect("directions");
            for count in [1, 5, 8, 16, 24, 32, 64] {
                let directions = irreducible_directions(&operations, &[], count).expect("directions");
                assert!(directions.iter().zip(&most).all(|(a, b)| a.vector == b.vector));
                let sum: f64 = directions.iter().map(|d| d.weight_sr).sum();
                assert!((sum - total).abs() < 1e-12, "{sum} {total}");
                assert!(directions.iter().all(|d| (d.vector.length() - 1.0).abs() < 1e-12));
                let parts = || directions.iter().map(|d| d.weight_sr * count as f64 / total);
                let (least, largest) = (parts().fold(9.0, f64::min), parts().fold(0.0, f64::max));
                assert!(least > 0.5 && largest < 1.6, "{count} of order {}: {least} {largest}", operations.len());
                // How many directions of equal weights are worth as much.
                let worth = count as f64 / parts().map(|w| w * w).sum::<f64>();
                assert!(worth > 0.92, "{count} of order {}: {worth}", operations.len());
            }
        }
    }

    #[test]
    fn other_directions_are_kept_and_added_to() {
        let operations = tungsten_site();
        let kept = [DVec3::new(1.0, 2.0, 2.0) / 3.0, DVec3::new(2.0, -1.0, 2.0) / 3.0];
        let directions = irreducible_directions(&operations, &kept, 32).expect("directions");
        assert!(directions[0].vector == kept[0] && directions[1].vector == kept[1]);
        assert!(directions.iter().all(|d| (0.4..1.8).contains(&(d.weight_sr * 32.0 / PI))));
        assert!(irreducible_directions(&operations, &kept, 1).is_err());
        let error = irreducible_directions(&operations, &[], 100_000).expect_err("an error").to_string();
        assert!(error.contains("expected at most"), "{error}");
    }

    /// The faces of a cuboctahedron's dual: [100] stands for 6 of its cells, [111] for 8, [110] for 12.
    #[test]
    fn chosen_directions_on_symmetry_axes_have_the_areas_of_their_cells() {
        let operations = site_symmetry(&cubic_cell(2.8), 0, 1e-3).expect("a crystal").operations;
        let axes = [DVec3::X, DVec3::new(1.0, 1.0, 0.0), DVec3::new(2.0, 2.0, 2.0)];
        let directions = chosen_directions(&operations, &[], &axes).expect("directions");
        let sum: f64 = directions.iter().map(|d| d.weight_sr).sum();
        assert!((sum - 4.0 * PI / 48.0).abs() < 1e-12, "{sum}");
        // Sampled: what part of the sphere is nearest to each star.
        let closeness = |v: DVec3, p: DVec3| operations.iter().map(|g| (*g * v).dot(p)).fold(-1.0, f64::max);
        let mut counted = [0.0; 3];
        for point in spiral(100_000) {
            let nearest = (0..3).max_by(|a, b| {
                closeness(directions[*a].vector, point).total_cmp(&closeness(directions[*b].vector, point))
            });
            counted[nearest.expect("three")] += 4.0 * PI / 48.0 / 100_000.0;
        }
        for (direction, counted) in directions.iter().zip(counted) {
            assert!((direction.weight_sr / counted - 1.0).abs() < 0.01, "{} {counted}", direction.weight_sr);
        }
        // More are added; images of one another, nothing and lost directions are refused.
        let more = [DVec3::Z, axes[1], axes[2], DVec3::new(0.5, 0.0, 0.0), DVec3::new(1.0, 2.0, 3.0)];
        let kept: Vec<DVec3> = directions.iter().map(|d| d.vector).collect();
        let refused =
            |vectors: &[DVec3]| chosen_directions(&operations, &kept, vectors).expect_err("an error").to_string();
        assert!(refused(&more).contains("symmetry"));
        let grown = chosen_directions(&operations, &kept, &more[1..]).expect("directions");
        assert!(grown.len() == 4 && grown[0].vector == kept[0]);
        assert!(refused(&more[2..]).contains("earlier plan"));
        assert!(refused(&[DVec3::ZERO]).contains("expected a direction"));
    }

    /// Independent of the polygons: each of many even points goes to its nearest direction.
    #[test]
    fn weights_are_the_areas_of_voronoi_cells() {
        let operations = tungsten_site();
        let directions = irreducible_directions(&operations, &[], 8).expect("directions");
        let mut counted = vec![0.0; 8];
        let samples = 400_000;
        for point in spiral(samples) {
            let closeness = |d: &Direction| operations.iter().map(|g| (*g * d.vector).dot(point)).fold(-1.0, f64::max);
            let nearest = (0..8).max_by(|a, b| closeness(&directions[*a]).total_cmp(&closeness(&directions[*b])));
            counted[nearest.expect("eight directions")] += 4.0 * PI / samples as f64 / operations.len() as f64;
        }
        for (direction, area) in directions.iter().zip(counted) {
            assert!((direction.weight_sr / area - 1.0).abs() < 5e-3, "{} {area}", direction.weight_sr);
        }
    }

    #[test]
    fn directions_are_even_and_distinct_under_the_group() {
        let operations = tungsten_site();
        let directions = irreducible_directions(&operations, &[], 32).expect("directions");
        let mean = PI / 32.0;
        let spread = directions.iter().map(|d| (d.weight_sr / mean - 1.0).abs()).fold(0.0, f64::max);
        assert!(spread < 0.4, "{spread}");
        for (i, a) in directions.iter().enumerate() {
            for (j, b) in directions.iter().enumerate() {
                for g in &operations {
                    let apart = (*g * b.vector).angle_between(a.vector);
                    assert!(apart > 0.15 || (i == j && apart < 1e-6), "{i} {j} {apart}");
                }
            }
        }
    }

    /// The second charge goes opposite to the first, the third onto the equator, and so on.
    #[test]
    fn six_directions_on_the_bare_sphere_are_an_octahedron() {
        let directions = irreducible_directions(&[DMat3::IDENTITY], &[], 6).expect("directions");
        for direction in &directions {
            assert!((direction.weight_sr - 4.0 * PI / 6.0).abs() < 0.1, "{}", direction.weight_sr);
        }
    }

    #[test]
    fn too_few_directions_are_refused() {
        assert!(irreducible_directions(&[DMat3::IDENTITY], &[], 2).is_err());
        assert!(irreducible_directions(&[DMat3::IDENTITY], &[], 0).is_err());
    }
}
