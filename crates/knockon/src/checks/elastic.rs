//! Elastic constants from the stress of strained crystals with relaxed atoms.

use super::{Check, CheckSettings, ElasticComponent};
use crate::dynamics::{QuenchSettings, Simulation, ensure_relaxed, quench};
use crate::units::EV_PER_ANGSTROM3_IN_GPA;
use crate::{Atoms, Cell, Error, Potential};
use glam::{DMat3, DVec3};
use nalgebra::Matrix6;
use rayon::prelude::*;

/// Elastic constants in GPa, Voigt order xx yy zz yz xz xy.
type Constants = [[f64; 6]; 6];

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

/// The 6 x 6 matrix of elastic constants in GPa, Voigt order xx yy zz yz xz xy, from central differences with strains
/// of +-`strain` and relaxed atoms. `crystal` is free of forces; where it is not free of stress, they are the slopes of the stress.
pub fn elastic_constants_gpa(potential: &dyn Potential, crystal: &Atoms, strain: f64) -> Result<[[f64; 6]; 6], Error> {
    let column = |component: usize| {
        let [plus, minus] = [strain, -strain].map(|e| relaxed_stress(potential, crystal, component, e));
        let (plus, minus) = (plus?, minus?);
        Ok(std::array::from_fn(|i| (plus[i] - minus[i]) / (2.0 * strain) * EV_PER_ANGSTROM3_IN_GPA))
    };
    let columns: Vec<[f64; 6]> = (0..6).into_par_iter().map(column).collect::<Result<_, Error>>()?;
    Ok(std::array::from_fn(|i| std::array::from_fn(|j| columns[j][i])))
}

fn relaxed_stress(
    potential: &dyn Potential,
    crystal: &Atoms,
    component: usize,
    strain: f64,
) -> Result<[f64; 6], Error> {
    let deformation = DMat3::IDENTITY + strain_matrix(component, strain);
    let cell = Cell { vectors: deformation * crystal.cell.vectors, ..crystal.cell };
    let positions: Vec<DVec3> = crystal.positions.iter().map(|p| deformation * *p).collect();
    let strained = Atoms { cell, species: crystal.species.clone(), positions };
    let mut simulation = Simulation::new(potential, strained, 0.2)?;
    let settings =
        QuenchSettings { max_force_ev_per_angstrom: 1e-4, max_evaluations: 2000, ..QuenchSettings::default() };
    let found = quench(&mut simulation, &settings)?;
    ensure_relaxed("the strained crystal", found.converged, found.max_force_ev_per_angstrom)?;
    Ok(simulation.evaluation().stress(cell.volume_angstrom3()))
}

/// Symmetric matrix of one Voigt component; shear strains are engineering strains, twice the matrix element.
fn strain_matrix(component: usize, strain: f64) -> DMat3 {
    let half = 0.5 * strain;
    let (diagonal, [yz, xz, xy]) = match component {
        0 => (DVec3::X * strain, [0.0; 3]),
        1 => (DVec3::Y * strain, [0.0; 3]),
        2 => (DVec3::Z * strain, [0.0; 3]),
        3 => (DVec3::ZERO, [half, 0.0, 0.0]),
        4 => (DVec3::ZERO, [0.0, half, 0.0]),
        _ => (DVec3::ZERO, [0.0, 0.0, half]),
    };
    DMat3::from_cols(DVec3::new(diagonal.x, xy, xz), DVec3::new(xy, diagonal.y, yz), DVec3::new(xz, yz, diagonal.z))
}

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
    use crate::dynamics::relax_cell;
    use crate::dynamics::testing::argon_like;

    /// Central forces and inversion symmetry at every atom: Cauchy's relation C12 = C44 in a crystal without stress;
    /// and the curvature of the energy gives the same bulk modulus as the stress.
    #[test]
    fn cubic_crystal_of_pairs_obeys_cauchy() {
        let (potential, atoms) = argon_like([1, 1, 1]);
        let quench =
            QuenchSettings { max_force_ev_per_angstrom: 1e-6, max_stress_ev_per_angstrom3: 1e-9, max_evaluations: 500 };
        let atoms = relax_cell(&potential, &atoms, &quench).unwrap().atoms;
        let c = elastic_constants_gpa(&potential, &atoms, 1e-4).unwrap();
        assert!((c[0][1] / c[3][3] - 1.0).abs() < 1e-3, "{} {}", c[0][1], c[3][3]);
        assert!((c[0][0] / c[2][2] - 1.0).abs() < 1e-6 && c[0][3].abs() < 1e-3 * c[0][0]);
        let energy = |scale: f64| {
            let cell = Cell { vectors: atoms.cell.vectors * scale, ..atoms.cell };
            let positions = atoms.positions.iter().map(|p| *p * scale).collect();
            let scaled = Atoms { cell, species: atoms.species.clone(), positions };
            Simulation::new(&potential, scaled, 0.1).unwrap().potential_energy_ev()
        };
        let h = 1e-3;
        let curvature = (energy(1.0 + h) - 2.0 * energy(1.0) + energy(1.0 - h)) / (h * h);
        let bulk = curvature / (9.0 * atoms.cell.volume_angstrom3()) * EV_PER_ANGSTROM3_IN_GPA;
        assert!((bulk / ((c[0][0] + 2.0 * c[0][1]) / 3.0) - 1.0).abs() < 2e-3, "{bulk}");
    }

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
