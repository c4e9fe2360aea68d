//! Elastic constants: stable, smooth, and as expected.

use super::{Check, CheckSettings, ElasticComponent};
use crate::elasticity::{Constants, elastic_constants_gpa};
use crate::{Atoms, Cell, Error, Potential};
use glam::DVec3;
use nalgebra::Matrix6;

const STABILITY: &str = "elastic stability margin";
const SMOOTHNESS: &str = "change of stiffness with lattice";
/// How much wider and narrower the lattice is where elastic constants are compared with those of the relaxed one, and the strain
/// of these differences: small beside it.
const WIDER: f64 = 3e-3;
const SMALL_STRAIN: f64 = 5e-4;
/// A lattice 0.3 % wider is 1 % larger: a pressure of 1 GPa or less, which changes elastic constants by a few per cent.
const LARGEST_CHANGE: f64 = 0.2;
/// Edges whose lengths agree to this part of them, and angles this near to right ones, are those of a square.
const SQUARE: f64 = 1e-3;

/// `ideal` is the cell before the potential relaxed it: the symmetry of a crystal is not the potential's to choose.
pub(super) fn check(potential: &dyn Potential, crystal: &Atoms, ideal: &Cell, settings: &CheckSettings) -> Vec<Check> {
    let c = match elastic_constants_gpa(potential, crystal, settings.elastic_strain) {
        Ok(matrix) => matrix,
        Err(error) => return Check::failed("elastic constants", &error),
    };
    let square = is_square_prism(ideal);
    let c = if square { tetragonal(&c) } else { symmetric(&c) };
    let mut stability = if square { tetragonal_stability(&c) } else { stability(&c) };
    if settings.elastic_gpa.is_empty() {
        stability.detail += &format!("; no reference given, found {}", in_words(&c));
    }
    let compared = settings.elastic_gpa.iter().map(|(component, gpa)| compare(&c, *component, *gpa, settings));
    let smooth =
        smoothness(potential, crystal).map_or_else(|error| Check::failed(SMOOTHNESS, &error), |check| vec![check]);
    std::iter::once(stability).chain(smooth).chain(compared).collect()
}

/// Elastic constants must not jump where a shell of neighbours passes a cutoff: the largest relative change of a diagonal one
/// between the relaxed lattice and a slightly wider or narrower one.
fn smoothness(potential: &dyn Potential, crystal: &Atoms) -> Result<Check, Error> {
    let constants = |scale: f64| {
        let cell = Cell { vectors: crystal.cell.vectors * scale, ..crystal.cell };
        let positions = crystal.positions.iter().map(|p| *p * scale).collect();
        elastic_constants_gpa(potential, &Atoms { cell, species: crystal.species.clone(), positions }, SMALL_STRAIN)
    };
    let here = constants(1.0)?;
    let mut largest = (0.0, String::new());
    for (scale, what) in [(1.0 - WIDER, "narrower"), (1.0 + WIDER, "wider")] {
        let there = constants(scale)?;
        for i in 0..6 {
            let change = (there[i][i] / here[i][i] - 1.0).abs();
            if change > largest.0 || change.is_nan() {
                let (k, from, to) = (i + 1, here[i][i], there[i][i]);
                largest = (change, format!("C{k}{k} from {from:.1} to {to:.1} GPa, {:.1} % {what}", 100.0 * WIDER));
            }
        }
    }
    let (value, detail) = largest;
    Ok(Check::new(SMOOTHNESS, value, "", format!("below {LARGEST_CHANGE}"), value < LARGEST_CHANGE, detail))
}

fn compare(c: &Constants, component: ElasticComponent, expected: f64, settings: &CheckSettings) -> Check {
    let [row, column] = component.indices();
    let (mut name, mut found, mut expected) = (symbol(component), c[row][column], expected);
    if component.sign_depends_on_axes() {
        (name, found, expected) = (format!("|{name}|"), found.abs(), expected.abs());
    }
    let tolerance = settings.elastic_tolerance * expected.abs() + settings.elastic_tolerance_gpa;
    let wanted = format!("{expected} +- {tolerance:.0}{}", settings.source_in_brackets());
    let passed = (found - expected).abs() < tolerance;
    Check::new(&name, found, "GPa", wanted, passed, format!("{:+.1}", found - expected))
}

fn symbol(component: ElasticComponent) -> String {
    String::from(component).to_uppercase()
}

/// The constants that are not zero, for crystals that are compared with nothing.
fn in_words(c: &Constants) -> String {
    let word = |component: ElasticComponent| {
        let [row, column] = component.indices();
        let value = c[row][column];
        (value.abs() >= 0.05).then(|| format!("{} {value:.1}", symbol(component)))
    };
    ElasticComponent::all().filter_map(word).collect::<Vec<_>>().join(", ") + " GPa"
}

/// Whether a cell has a square base and a third vector along z: tetragonal and cubic crystals as they are usually given.
fn is_square_prism(cell: &Cell) -> bool {
    let [a, b, c] = [cell.vectors.x_axis, cell.vectors.y_axis, cell.vectors.z_axis];
    let is_right = |u: DVec3, v: DVec3| u.dot(v).abs() < SQUARE * u.length() * v.length();
    let equal = (a.length() / b.length() - 1.0).abs() < SQUARE;
    equal && is_right(a, b) && [a, b].into_iter().all(|v| is_right(v, c) && is_right(v, DVec3::Z))
}

/// Averages over the elements that the symmetry 4/m makes equal, as all tetragonal and cubic crystals have it.
fn tetragonal(c: &Constants) -> Constants {
    let (c11, c44) = (0.5 * (c[0][0] + c[1][1]), 0.5 * (c[3][3] + c[4][4]));
    let c12 = 0.5 * (c[0][1] + c[1][0]);
    let c13 = 0.25 * (c[0][2] + c[2][0] + c[1][2] + c[2][1]);
    let c16 = 0.25 * (c[0][5] + c[5][0] - c[1][5] - c[5][1]);
    [
        [c11, c12, c13, 0.0, 0.0, c16],
        [c12, c11, c13, 0.0, 0.0, -c16],
        [c13, c13, c[2][2], 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, c44, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, c44, 0.0],
        [c16, -c16, 0.0, 0.0, 0.0, c[5][5]],
    ]
}

/// Averages over the elements that are equal in any crystal.
fn symmetric(c: &Constants) -> Constants {
    std::array::from_fn(|i| std::array::from_fn(|j| 0.5 * (c[i][j] + c[j][i])))
}

/// The conditions for a tetragonal crystal of class 4/m (Mouhat and Coudert, Phys. Rev. B 90, 224104 (2014)), which hold for
/// the higher classes too. The value is the smallest of the four differences, each in units of its first term.
fn tetragonal_stability(c: &Constants) -> Check {
    let [c11, c12, c13, c16, c33, c44, c66] = [c[0][0], c[0][1], c[0][2], c[0][5], c[2][2], c[3][3], c[5][5]];
    let conditions = [
        ("C11 > |C12|", 1.0 - c12.abs() / c11, c11),
        ("C33 (C11 + C12) > 2 C13^2", 1.0 - 2.0 * c13 * c13 / (c33 * (c11 + c12)), c33),
        ("C44 > 0", 1.0, c44),
        ("C66 (C11 - C12) > 2 C16^2", 1.0 - 2.0 * c16 * c16 / (c66 * (c11 - c12)), c66),
    ];
    let margin = |m: &(&str, f64, f64)| if m.2 > 0.0 { m.1 } else { -1.0 };
    let broken: Vec<&str> = conditions.iter().filter(|m| margin(m) <= 0.0).map(|m| m.0).collect();
    let smallest = conditions.iter().map(margin).fold(f64::INFINITY, f64::min);
    let detail =
        if broken.is_empty() { "all four conditions hold".into() } else { format!("broken: {}", broken.join(", ")) };
    Check::new(STABILITY, smallest, "", "above 0".into(), broken.is_empty(), detail)
}

/// Any strain of any crystal must cost energy: the matrix is positive definite.
fn stability(c: &Constants) -> Check {
    let finite = c.as_flattened().iter().all(|x| x.is_finite());
    let eigenvalues = finite.then(|| Matrix6::from_fn(|i, j| c[i][j]).symmetric_eigenvalues());
    let lowest = eigenvalues.map_or(f64::NAN, |e| e.iter().copied().fold(f64::INFINITY, f64::min));
    let detail = "smallest eigenvalue of the elastic constants".to_owned();
    Check::new(STABILITY, lowest, "GPa", "above 0".into(), lowest > 0.0, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::argon_like;
    use crate::dynamics::{QuenchSettings, relax_cell};

    /// Values of class 4/m.
    fn scheelite() -> Constants {
        let mut c = [[0.0; 6]; 6];
        for (component, value) in CheckSettings::default().or_scheelite().elastic_gpa {
            let [row, column] = component.indices();
            (c[row][column], c[column][row]) = (value, value);
        }
        (c[1][1], c[1][2], c[2][1], c[4][4]) = (c[0][0], c[0][2], c[0][2], c[3][3]);
        (c[1][5], c[5][1]) = (-c[0][5], -c[0][5]);
        c
    }

    #[test]
    fn stability_names_what_is_broken() {
        let mut c = scheelite();
        let averaged = tetragonal(&c);
        assert!(averaged.as_flattened().iter().zip(c.as_flattened()).all(|(a, b)| (a - b).abs() < 1e-9));
        assert!(tetragonal_stability(&c).passed && stability(&c).passed);
        c[3][3] = -1.0;
        let check = tetragonal_stability(&c);
        assert!(!check.passed && check.detail.contains("C44 > 0"), "{}", check.detail);
        assert!((stability(&c).value + 1.0).abs() < 1e-9 && !stability(&c).passed);
        c[3][3] = 30.0;
        (c[0][5], c[5][0], c[1][5], c[5][1]) = (60.0, 60.0, -60.0, -60.0);
        assert!(!tetragonal_stability(&c).passed && !stability(&c).passed);
        c[0][1] = f64::NAN;
        assert!(!stability(&c).passed);
    }

    #[test]
    fn only_cells_with_a_square_base_are_taken_for_tetragonal() {
        let [x, y, z] = [DVec3::X * 5.0, DVec3::Y * 5.0, DVec3::Z * 7.0];
        assert!(is_square_prism(&Cell::periodic(x, y, z)));
        for cell in [
            Cell::periodic(x, y * 1.01, z),
            Cell::periodic(z, x, y),
            Cell::periodic(x, y, z + 0.1 * x),
            Cell::periodic(x, DVec3::new(-2.5, 2.5 * f64::sqrt(3.0), 0.0), z),
        ] {
            assert!(!is_square_prism(&cell), "{cell:?}");
        }
    }

    #[test]
    fn what_is_named_is_compared_and_nothing_else() {
        let (potential, atoms) = argon_like([1, 1, 1]);
        let atoms = relax_cell(&potential, &atoms, &QuenchSettings::default()).unwrap().atoms;
        let mut settings = CheckSettings::default();
        let alone = check(&potential, &atoms, &atoms.cell, &settings);
        assert!(alone.len() == 2 && alone.iter().all(|c| c.passed), "{alone:?}");
        assert!(alone[0].detail.contains("no reference given, found C11 "), "{alone:?}");
        let c = elastic_constants_gpa(&potential, &atoms, settings.elastic_strain).unwrap();
        settings.elastic_gpa = toml::from_str(&format!("c44 = {:.3}\nc11 = {:.3}", c[3][3], 2.0 * c[0][0])).unwrap();
        settings.source = Some("made up".into());
        let found = check(&potential, &atoms, &atoms.cell, &settings);
        let verdicts: Vec<(&str, bool)> = found.iter().map(|c| (c.name.as_str(), c.passed)).collect();
        assert_eq!(verdicts, [(STABILITY, true), (SMOOTHNESS, true), ("C11", false), ("C44", true)]);
        assert!(found[2].expected.ends_with("(made up)") && !found[0].detail.contains("reference"), "{found:?}");
    }
}
