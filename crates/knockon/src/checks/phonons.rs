//! Vibrations at Gamma from finite differences of forces.

use super::{Check, CheckSettings};
use crate::units::{NATURAL_TIME_FS, SPEED_OF_LIGHT_ANGSTROM_PER_FS};
use crate::{Atoms, Error, Evaluation, Potential};
use glam::DVec3;
use nalgebra::DMatrix;
use rayon::prelude::*;
use std::f64::consts::TAU;

/// Displacement of the central differences in angstrom.
const DISPLACEMENT_ANGSTROM: f64 = 0.005;
/// How well a translation must map atoms onto atoms, in angstrom.
const SAME_SITE_ANGSTROM: f64 = 0.05;

/// Second derivatives of the energy of a box in eV/angstrom^2; row 3 * atom + axis.
pub fn hessian(potential: &dyn Potential, atoms: &Atoms) -> Result<DMatrix<f64>, Error> {
    let n = 3 * atoms.len();
    let forces = |column: usize, sign: f64| {
        let mut moved = atoms.clone();
        moved.positions[column / 3][column % 3] += sign * DISPLACEMENT_ANGSTROM;
        let neighbors = potential.neighbor_list(&moved, 0.0);
        let mut evaluation = Evaluation::default();
        potential.evaluate(&moved, &neighbors, &mut evaluation)?;
        Ok(evaluation.forces)
    };
    let column = |column: usize| {
        let (plus, minus) = (forces(column, 1.0)?, forces(column, -1.0)?);
        Ok(plus.iter().zip(&minus).map(|(p, m)| (*m - *p) / (2.0 * DISPLACEMENT_ANGSTROM)).collect())
    };
    let columns: Vec<Vec<DVec3>> = (0..n).into_par_iter().map(column).collect::<Result<_, Error>>()?;
    let matrix = DMatrix::from_fn(n, n, |row, column| columns[column][row / 3][row % 3]);
    Ok(0.5 * (&matrix + matrix.transpose()))
}

/// Frequencies in 1/cm at the Gamma point of the primitive cell, ascending; imaginary ones as negative numbers.
///
/// `atoms` may be a centred conventional cell or a supercell: modes in which all copies of an atom move alike are selected.
pub fn gamma_frequencies_per_cm(hessian: &DMatrix<f64>, atoms: &Atoms) -> Vec<f64> {
    let copies = copies(atoms);
    let masses = atoms.masses_u();
    let n = 3 * copies.len();
    let dynamical = DMatrix::from_fn(n, n, |row, column| {
        let (a, b) = (&copies[row / 3], &copies[column / 3]);
        let sum: f64 = b.iter().map(|j| hessian[(3 * a[0] + row % 3, 3 * j + column % 3)]).sum();
        sum / (masses[a[0]] * masses[b[0]]).sqrt()
    });
    let eigenvalues = (0.5 * (&dynamical + dynamical.transpose())).symmetric_eigenvalues();
    let mut frequencies: Vec<f64> = eigenvalues.iter().map(|e| frequency_per_cm(*e)).collect();
    frequencies.sort_by(f64::total_cmp);
    frequencies
}

/// From an eigenvalue in eV/(angstrom^2 u) to a wave number.
fn frequency_per_cm(eigenvalue: f64) -> f64 {
    let speed_of_light_cm_per_fs = SPEED_OF_LIGHT_ANGSTROM_PER_FS * 1e-8;
    eigenvalue.signum() * eigenvalue.abs().sqrt() / (TAU * NATURAL_TIME_FS * speed_of_light_cm_per_fs)
}

/// The atoms in lists of copies by the translations that map all atoms onto atoms: centring, or those of a supercell.
fn copies(atoms: &Atoms) -> Vec<Vec<usize>> {
    let image = |atom: usize, shift: DVec3| {
        (0..atoms.len()).find(|other| {
            let difference = atoms.positions[*other] - atoms.positions[atom] - shift;
            atoms.species[*other] == atoms.species[atom]
                && atoms.cell.minimum_image(difference).length() < SAME_SITE_ANGSTROM
        })
    };
    // A translation maps an atom of the rarest element onto another one.
    let alike = |atom: usize| (0..atoms.len()).filter(move |other| atoms.species[*other] == atoms.species[atom]);
    let Some(first) = (0..atoms.len()).min_by_key(|atom| alike(*atom).count()) else { return Vec::new() };
    let shifts =
        alike(first).filter(|other| *other != first).map(|other| atoms.positions[other] - atoms.positions[first]);
    let all_map = |shift: &DVec3| (0..atoms.len()).all(|atom| image(atom, *shift).is_some());
    let translations: Vec<DVec3> = shifts.filter(all_map).collect();
    let mut lists: Vec<Vec<usize>> = Vec::new();
    for atom in 0..atoms.len() {
        if !lists.iter().any(|list| list.contains(&atom)) {
            let images = translations.iter().filter_map(|shift| image(atom, *shift));
            lists.push(std::iter::once(atom).chain(images).collect());
        }
    }
    lists
}

pub(super) fn check(potential: &dyn Potential, crystal: &Atoms, settings: &CheckSettings) -> Vec<Check> {
    let frequencies = match hessian(potential, crystal) {
        Ok(hessian) => gamma_frequencies_per_cm(&hessian, crystal),
        Err(error) => return Check::failed("phonons at Gamma", &error),
    };
    // The three translations are the modes nearest to zero.
    let mut by_size = frequencies.clone();
    by_size.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let (acoustic, optical) = by_size.split_at(3.min(by_size.len()));
    let acoustic = acoustic.iter().fold(0.0_f64, |m, f| m.max(f.abs()));
    let lowest = optical.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = optical.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut list = frequencies.iter().map(|f| format!("{f:.0}")).collect::<Vec<_>>().join(" ");
    if settings.highest_frequency_per_cm.is_none() {
        list += "; no reference given for the highest";
    }
    let wanted = "below 5".to_owned();
    let translations = "three translations".to_owned();
    let mut checks =
        vec![Check::new("acoustic modes at Gamma", acoustic, "1/cm", wanted, acoustic < 5.0, translations)];
    // A primitive cell of one atom has no others.
    if optical.is_empty() {
        return checks;
    }
    let wanted = "real, above 20".to_owned();
    checks.push(Check::new("lowest optical mode at Gamma", lowest, "1/cm", wanted, lowest > 20.0, list));
    if let Some(expected) = settings.highest_frequency_per_cm {
        let (percent, source) = (100.0 * settings.frequency_tolerance, settings.source_in_brackets());
        let wanted = format!("{expected} within {percent} %{source}");
        let near = (highest / expected - 1.0).abs() < settings.frequency_tolerance;
        checks.push(Check::new("highest mode at Gamma", highest, "1/cm", wanted, near, String::new()));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::{PairPotential, argon_like, molecule};

    #[test]
    fn molecule_vibrates_at_its_frequency() {
        let potential = PairPotential::spring(20.0, 2.0);
        let atoms = molecule("W", "O", 2.0);
        let [m, n] = [atoms.species[0].mass_u(), atoms.species[1].mass_u()];
        let frequencies = gamma_frequencies_per_cm(&hessian(&potential, &atoms).unwrap(), &atoms);
        // 1 / (2 pi c) sqrt(k / mu); sqrt(eV / (A^2 u)) = 98.2269 rad/ps = 521.47 1/cm.
        let expected = 521.47 * (20.0 * (m + n) / (m * n)).sqrt();
        assert!((frequencies[5] / expected - 1.0).abs() < 1e-4, "{} {expected}", frequencies[5]);
        // Rotation by d / r stretches the bond by d^2 / (2 r): apparent stiffness k d^2 / (2 r^2), 1.07 1/cm.
        assert!(frequencies[..5].iter().all(|f| f.abs() < 1.1), "{frequencies:?}");
    }

    /// The face-centred cubic cell has four atoms and supercells more, its primitive cell one: three translations are all that is left.
    #[test]
    fn centring_reduces_the_cell_to_the_primitive_one() {
        for cells in [[1, 1, 1], [2, 1, 1], [2, 2, 1]] {
            let (potential, atoms) = argon_like(cells);
            let matrix = hessian(&potential, &atoms).unwrap();
            let frequencies = gamma_frequencies_per_cm(&matrix, &atoms);
            assert_eq!(frequencies.len(), 3);
            assert!(frequencies.iter().all(|f| f.abs() < 0.5), "{cells:?}: {frequencies:?}");
        }
    }
}
