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

/// `count` directions in one asymmetric part of the sphere under a point group, near-uniform together with their images.
///
/// The directions and all their images repel each other like charges on the sphere until they are spread out; weights
/// are the areas of their Voronoi cells. The result is a function of the group and `count` alone.
pub fn irreducible_directions(operations: &[DMat3], count: usize) -> Result<Vec<Direction>, Error> {
    if count == 0 || operations.is_empty() {
        let found = format!("expected at least 1 direction and 1 operation, found {count} and {}", operations.len());
        return Err(Error::input("directions", found, "Ask for a positive number of directions"));
    }
    let center = generic_point(operations);
    let fold = |v: DVec3| {
        let closest = operations.iter().map(|g| *g * v).max_by(|a, b| a.dot(center).total_cmp(&b.dot(center)));
        closest.unwrap_or(v)
    };
    let mut points = seeds(operations, center, count);
    repel(&mut points, operations);
    let mut points: Vec<DVec3> = points.into_iter().map(fold).collect();
    points.sort_by(|a, b| b.z.total_cmp(&a.z).then(a.x.total_cmp(&b.x)));

    let total = 4.0 * PI / operations.len() as f64;
    let areas: Vec<f64> = (0..count).map(|i| voronoi_area(i, &points, operations)).collect();
    let sum: f64 = areas.iter().sum();
    if count > 1 && (sum / total - 1.0).abs() > 1e-6 {
        let found = format!("{count} directions and their images leave part of the sphere beyond every horizon");
        return Err(Error::input("directions", found, "Ask for more directions"));
    }
    let weights = areas.iter().map(|area| if count > 1 { area * total / sum } else { total });
    Ok(points.iter().zip(weights).map(|(vector, weight_sr)| Direction { vector: *vector, weight_sr }).collect())
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

/// `count` points of a spiral that lie in the asymmetric part around `center`.
fn seeds(operations: &[DMat3], center: DVec3, count: usize) -> Vec<DVec3> {
    let inside = |p: &DVec3| operations.iter().skip(1).all(|g| p.dot(center) > (*g * *p).dot(center));
    let mut total = count * operations.len();
    loop {
        let points: Vec<DVec3> = spiral(total).filter(inside).collect();
        if points.len() >= count {
            return points.into_iter().take(count).collect();
        }
        total += 1;
    }
}

/// Moves points along the repulsion by all other points and all images until nothing moves much.
fn repel(points: &mut [DVec3], operations: &[DMat3]) {
    // Typical distance between neighbouring points; steps start as a tenth of it.
    let spacing = (4.0 * PI / (points.len() * operations.len()) as f64).sqrt();
    for round in 0..300 {
        let step = 0.1 * spacing * (1.0 - f64::from(round) / 300.0);
        let pushes: Vec<DVec3> = points.iter().map(|p| push(*p, points, operations)).collect();
        let strongest = pushes.iter().map(|f| f.length()).fold(1e-300, f64::max);
        for (point, push) in points.iter_mut().zip(&pushes) {
            *point = (*point + *push * (step / strongest)).normalize();
        }
    }
}

/// Coulomb force on `point` along the sphere, by all points and their images.
fn push(point: DVec3, points: &[DVec3], operations: &[DMat3]) -> DVec3 {
    let mut force = DVec3::ZERO;
    for other in points {
        for operation in operations {
            let difference = point - *operation * *other;
            let distance = difference.length();
            if distance > 1e-9 {
                force += difference / distance.powi(3);
            }
        }
    }
    force - point * force.dot(point)
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
            if away.length() > 1e-9 {
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
    use crate::dynamics::testing::calcium_tungstate;
    use crate::symmetry::site_symmetry;

    fn tungsten_site() -> Vec<DMat3> {
        site_symmetry(&calcium_tungstate(), 0, 1e-3).expect("a crystal").operations
    }

    fn rotations_about_z(order: u32) -> Vec<DMat3> {
        (0..order).map(|k| DMat3::from_rotation_z(2.0 * PI * f64::from(k) / f64::from(order))).collect()
    }

    #[test]
    fn weights_cover_the_irreducible_part() {
        let cubic = calcium_tungstate();
        assert_eq!(cubic.len(), 24);
        for (operations, count) in [
            (tungsten_site(), 8),
            (tungsten_site(), 32),
            (rotations_about_z(1), 12),
            (rotations_about_z(6), 5),
            (tungsten_site(), 1),
        ] {
            let directions = irreducible_directions(&operations, count).expect("directions");
            assert_eq!(directions.len(), count);
            let sum: f64 = directions.iter().map(|d| d.weight_sr).sum();
            assert!((sum - 4.0 * PI / operations.len() as f64).abs() < 1e-12);
            assert!(directions.iter().all(|d| (d.vector.length() - 1.0).abs() < 1e-12 && d.weight_sr > 0.0));
        }
    }

    /// Independent of the polygons: each of many even points goes to its nearest direction.
    #[test]
    fn weights_are_the_areas_of_voronoi_cells() {
        let operations = tungsten_site();
        let directions = irreducible_directions(&operations, 8).expect("directions");
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
        let directions = irreducible_directions(&operations, 32).expect("directions");
        let mean = PI / 32.0;
        let spread = directions.iter().map(|d| (d.weight_sr / mean - 1.0).abs()).fold(0.0, f64::max);
        assert!(spread < 0.2, "{spread}");
        for (i, a) in directions.iter().enumerate() {
            for (j, b) in directions.iter().enumerate() {
                for g in &operations {
                    let apart = (*g * b.vector).angle_between(a.vector);
                    assert!(apart > 0.2 || (i == j && apart < 1e-6), "{i} {j} {apart}");
                }
            }
        }
    }

    #[test]
    fn octahedron_of_directions_has_equal_cells() {
        // Six points repelling each other on the bare sphere form an octahedron: cells of 4 pi / 6.
        let directions = irreducible_directions(&[DMat3::IDENTITY], 6).expect("directions");
        for direction in &directions {
            assert!((direction.weight_sr - 4.0 * PI / 6.0).abs() < 0.03, "{}", direction.weight_sr);
        }
    }

    #[test]
    fn too_few_directions_are_refused() {
        assert!(irreducible_directions(&[DMat3::IDENTITY], 2).is_err());
        assert!(irreducible_directions(&[DMat3::IDENTITY], 0).is_err());
    }
}
