//! Elastic constants from the stress of strained crystals with relaxed atoms.

use super::{Check, CheckSettings, ElasticConstants};
use crate::dynamics::{QuenchSettings, Simulation, quench};
use crate::units::EV_PER_ANGSTROM3_IN_GPA;
use crate::{Atoms, Cell, Error, Potential};
use glam::{DMat3, DVec3};
use rayon::prelude::*;

/// The 6 x 6 matrix of elastic constants in GPa, Voigt order xx yy zz yz xz xy, from central differences with strains
/// of +-`strain` and relaxed atoms. `crystal` is free of stress and forces.
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
        QuenchSettings { max_force_ev_per_angstrom: 1e-4, max_evaluations: 400, ..QuenchSettings::default() };
    quench(&mut simulation, &settings)?;
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

/// Averages over the elements that the symmetry 4/m makes equal.
fn tetragonal(c: &[[f64; 6]; 6]) -> ElasticConstants {
    ElasticConstants {
        c11: 0.5 * (c[0][0] + c[1][1]),
        c12: 0.5 * (c[0][1] + c[1][0]),
        c13: 0.25 * (c[0][2] + c[2][0] + c[1][2] + c[2][1]),
        c16: 0.25 * (c[0][5] + c[5][0] - c[1][5] - c[5][1]),
        c33: c[2][2],
        c44: 0.5 * (c[3][3] + c[4][4]),
        c66: c[5][5],
    }
}

pub(super) fn check(potential: &dyn Potential, crystal: &Atoms, settings: &CheckSettings) -> Vec<Check> {
    let c = match elastic_constants_gpa(potential, crystal, settings.elastic_strain) {
        Ok(matrix) => tetragonal(&matrix),
        Err(error) => return Check::failed("elastic constants", &error),
    };
    let e = settings.elastic_gpa;
    let mut checks = vec![stability(&c)];
    let pairs = [
        ("C11", c.c11, e.c11),
        ("C12", c.c12, e.c12),
        ("C13", c.c13, e.c13),
        ("|C16|", c.c16.abs(), e.c16.abs()),
        ("C33", c.c33, e.c33),
        ("C44", c.c44, e.c44),
        ("C66", c.c66, e.c66),
    ];
    for (name, found, expected) in pairs {
        let tolerance = settings.elastic_tolerance * expected + settings.elastic_tolerance_gpa;
        let wanted = format!("{expected} +- {tolerance:.0} (experiment)");
        let passed = (found - expected).abs() < tolerance;
        checks.push(Check::new(name, found, "GPa", wanted, passed, format!("{:+.1}", found - expected)));
    }
    checks
}

/// The conditions for a tetragonal crystal of class 4/m (Mouhat and Coudert, Phys. Rev. B 90, 224104 (2014)). The
/// value is the smallest of the four differences, each in units of its first term.
fn stability(c: &ElasticConstants) -> Check {
    let conditions = [
        ("C11 > |C12|", 1.0 - c.c12.abs() / c.c11, c.c11),
        ("C33 (C11 + C12) > 2 C13^2", 1.0 - 2.0 * c.c13 * c.c13 / (c.c33 * (c.c11 + c.c12)), c.c33),
        ("C44 > 0", 1.0, c.c44),
        ("C66 (C11 - C12) > 2 C16^2", 1.0 - 2.0 * c.c16 * c.c16 / (c.c66 * (c.c11 - c.c12)), c.c66),
    ];
    let margin = |m: &(&str, f64, f64)| if m.2 > 0.0 { m.1 } else { -1.0 };
    let broken: Vec<&str> = conditions.iter().filter(|m| margin(m) <= 0.0).map(|m| m.0).collect();
    let smallest = conditions.iter().map(margin).fold(f64::INFINITY, f64::min);
    let detail =
        if broken.is_empty() { "all four conditions hold".into() } else { format!("broken: {}", broken.join(", ")) };
    Check::new("elastic stability margin", smallest, "", "above 0".into(), broken.is_empty(), detail)
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

    #[test]
    fn stability_names_what_is_broken() {
        let mut c = CheckSettings::default().elastic_gpa;
        assert!(stability(&c).passed);
        c.c44 = -1.0;
        let check = stability(&c);
        assert!(!check.passed && check.detail.contains("C44 > 0"), "{}", check.detail);
        c.c44 = 30.0;
        c.c16 = 60.0;
        assert!(!stability(&c).passed);
    }
}
