//! Settings of calculations in the words that labels keep, the same for all codes.

use glam::DVec3;

/// Titles of pseudopotentials in words, each once: files with the same elements several times have theirs as often.
pub(super) fn list(titles: &[&str]) -> String {
    let mut named: Vec<&str> = Vec::new();
    for title in titles {
        if !named.contains(title) {
            named.push(title);
        }
    }
    named.join(", ")
}

/// A mesh of k-points in words: meshes with and without Gamma have different zeros of energy. The shift is in parts of the mesh.
pub(super) fn describe_mesh(divisions: &[&str], shift: &[f64]) -> String {
    let mesh = divisions.join(" ");
    if shift.iter().all(|s| (s - s.round()).abs() < 1e-6) {
        return mesh;
    }
    format!("{mesh} shifted by {}", shift.iter().map(f64::to_string).collect::<Vec<_>>().join(" "))
}

/// Points without a known mesh in words; none for Gamma alone, and where nothing is known. One point elsewhere has another zero of energy.
pub(super) fn describe_points(number: usize, first: Option<DVec3>) -> Option<String> {
    match (number, first) {
        (0, _) | (1, None) => None,
        (1, Some(point)) if point.length() < 1e-6 => None,
        (1, Some(point)) => Some(format!("1 irreducible point at {} {} {}", point.x, point.y, point.z)),
        (number, _) => Some(format!("{number} irreducible points")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meshes_with_and_without_gamma_are_told_apart() {
        assert_eq!(describe_mesh(&["2", "2", "1"], &[]), "2 2 1");
        assert_eq!(describe_mesh(&["2", "2", "1"], &[0.0, 1.0, 0.0]), "2 2 1");
        assert_eq!(describe_mesh(&["2", "2", "1"], &[0.5, 0.5, 0.0]), "2 2 1 shifted by 0.5 0.5 0");
    }

    #[test]
    fn a_single_point_is_gamma_or_says_where_it_is() {
        assert_eq!(describe_points(1, Some(DVec3::ZERO)), None);
        let quarter = describe_points(1, Some(DVec3::splat(0.25)));
        assert_eq!(quarter.as_deref(), Some("1 irreducible point at 0.25 0.25 0.25"));
        assert_eq!(describe_points(8, Some(DVec3::ZERO)).as_deref(), Some("8 irreducible points"));
    }
}
