//! The relaxed crystal: lattice constants and, in CaWO4, the place of oxygen.

use super::{Check, CheckSettings};
use crate::dynamics::{QuenchSettings, relax_cell};
use crate::{Atoms, Potential, Species};

/// Relaxes cell and positions; returns the crystal as it was if that fails.
pub(super) fn check(potential: &dyn Potential, crystal: &Atoms, settings: &CheckSettings) -> (Atoms, Vec<Check>) {
    let quench =
        QuenchSettings { max_force_ev_per_angstrom: 1e-4, max_stress_ev_per_angstrom3: 1e-6, max_evaluations: 1500 };
    let relaxed = match relax_cell(potential, crystal, &quench) {
        Ok(relaxed) => relaxed,
        Err(error) => return (crystal.clone(), Check::failed("relaxed crystal", &error)),
    };
    let v = relaxed.atoms.cell.vectors;
    let (a, b, c) = (v.x_axis.length(), v.y_axis.length(), v.z_axis.length());
    let detail = format!(
        "largest force left {:.1e} eV/A after {} evaluations{}",
        relaxed.quenched.max_force_ev_per_angstrom,
        relaxed.quenched.evaluations,
        if relaxed.quenched.converged { "" } else { ", not converged" }
    );
    let length = |name: &str, found: f64, expected: Option<f64>, detail: String| {
        let (name, converged) = (format!("lattice constant {name}"), relaxed.quenched.converged);
        let Some(expected) = expected else {
            return Check::new(&name, found, "angstrom", "a minimum (no reference given)".into(), converged, detail);
        };
        let tolerance = settings.lattice_tolerance;
        let wanted = format!("{expected} within {} %", 100.0 * tolerance);
        let passed = converged && (found / expected - 1.0).abs() < tolerance;
        let deviation = format!("{:+.2} %; {detail}", 100.0 * (found / expected - 1.0));
        Check::new(&name, found, "angstrom", wanted, passed, deviation)
    };
    let expected = settings.lattice_angstrom;
    let difference = format!("a - b = {:.1e} A", a - b);
    let mut checks = if expected.b.is_some() || !has_equal_edges(crystal) {
        vec![length("a", a, expected.a, difference.clone()), length("b", b, expected.b, difference)]
    } else {
        vec![length("a", 0.5 * (a + b), expected.a, difference)]
    };
    checks.push(length("c", c, expected.c, detail));
    checks.extend(oxygen(&relaxed.atoms, settings));
    (relaxed.atoms, checks)
}

/// Whether the first two lattice vectors are equally long, as in most crystals that are not orthorhombic or lower.
fn has_equal_edges(crystal: &Atoms) -> bool {
    let v = crystal.cell.vectors;
    (v.x_axis.length() / v.y_axis.length() - 1.0).abs() < 1e-3
}

/// The vectors from each O to its nearest W, in units of the lattice vectors, made comparable by the symmetry of the
/// site: absolute values, the horizontal ones sorted.
fn oxygen(atoms: &Atoms, settings: &CheckSettings) -> Option<Check> {
    let expected = settings.oxygen_fractional?;
    let [oxygen, tungsten] = ["O", "W"].map(Species::from_symbol);
    let of = |species| (0..atoms.len()).filter(move |i| Some(atoms.species[*i]) == species);
    let mut worst = 0.0_f64;
    let mut mean = [0.0; 3];
    let mut n = 0.0;
    for o in of(oxygen) {
        let bonds = of(tungsten).map(|w| atoms.cell.minimum_image(atoms.positions[o] - atoms.positions[w]));
        let bond = bonds.min_by(|a, b| a.length_squared().total_cmp(&b.length_squared()))?;
        let f = atoms.cell.fractional(bond).abs();
        let sorted = [f.x.max(f.y), f.x.min(f.y), f.z];
        for k in 0..3 {
            worst = worst.max((sorted[k] - expected[k]).abs());
            mean[k] += sorted[k];
        }
        n += 1.0;
    }
    let detail = format!("W to O: {:.4} {:.4} {:.4}", mean[0] / n, mean[1] / n, mean[2] / n);
    let [x, y, z] = expected;
    let wanted = format!("below {} from ({x}, {y}, {z})", settings.oxygen_tolerance);
    let name = "deviation of oxygen coordinates";
    (n > 0.0).then(|| Check::new(name, worst, "", wanted, worst < settings.oxygen_tolerance, detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::argon_like;

    /// Edges of the cell are compared one by one where they differ, and only with what is given.
    #[test]
    fn lattice_constants_are_compared_where_they_are_given() {
        let (potential, atoms) = argon_like([1, 1, 1]);
        let mut settings = CheckSettings::default();
        let verdicts = |crystal: &Atoms, settings: &CheckSettings| {
            let (_, checks) = check(&potential, crystal, settings);
            checks.into_iter().map(|c| (c.name, c.passed, c.expected.contains("no reference"))).collect::<Vec<_>>()
        };
        let name = |edge: &str| format!("lattice constant {edge}");
        assert_eq!(verdicts(&atoms, &settings), [(name("a"), true, true), (name("c"), true, true)]);
        let relaxed = check(&potential, &atoms, &settings).0;
        settings.lattice_angstrom.a = Some(2.0 * relaxed.cell.vectors.x_axis.length());
        assert_eq!(verdicts(&atoms, &settings), [(name("a"), false, false), (name("c"), true, true)]);
        let long = atoms.supercell([2, 1, 1]);
        let found = verdicts(&long, &settings);
        assert_eq!(found, [(name("a"), true, false), (name("b"), true, true), (name("c"), true, true)]);
    }
}
