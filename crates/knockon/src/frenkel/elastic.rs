//! What a point defect gains by seeing its own periodic images, in linear anisotropic elasticity.
//!
//! The defect is an elastic dipole P (Varvenne, Bruneval, Marinica, Clouet, Phys. Rev. B 88, 134102 (2013)), found from the
//! stress that it leaves in a box of fixed shape. Its images at the sites R of the superlattice give the energy
//! E_int / 2 = 1/2 sum over R of P_ij P_kl G_ik,jl(R), a sum that is fixed by the condition that the mean strain of the
//! box is zero. Written in reciprocal space, for dipoles that are smeared over a width s by the window w, it converges at
//! once:
//!
//!   E_int / 2 = -1/(2V) sum_{k != 0} f M f w(k^2 s^2) + <f M f> / (8 pi^2 s^3) sum_{j <= m} Gamma(j + 3/2) / j!
//!
//! with f_i = P_ij n_j, n = k/|k|, M the inverse of the Christoffel matrix C_ijkl n_j n_l, <> the mean over directions.
//! The second term takes out the energy of a smeared dipole alone. k = 0 is the homogeneous strain, which a box of fixed
//! shape does not have. The window is w(x) = exp(-x) sum_{j <= m} x^j / j!. A Gaussian (m = 0) would not do: the part of
//! the interaction that varies over directions like the spherical harmonics of order l > 2, r^-3 Y_l, is not harmonic, and
//! smearing changes it by powers of s/r. The Laplacian applied l/2 times makes it vanish, so that a window without the
//! first m powers of k^2 changes none of the orders up to 2m + 2 by more than exp(-r^2 / 4 s^2).

use crate::Cell;
use crate::elasticity::tensor_from_voigt;
use crate::math::gauss_legendre;
use crate::units::EV_PER_ANGSTROM3_IN_GPA;
use glam::{DMat3, DVec3};
use std::f64::consts::PI;

/// Voigt numbers of the tensor components xx yy zz yz xz xy.
const VOIGT: [[usize; 3]; 3] = [[0, 5, 4], [5, 1, 3], [4, 3, 2]];
/// Nodes in the polar angle of the mean over directions; twice as many in the azimuth.
const POLAR_NODES: usize = 64;
/// m: directions vary up to order 20.
const WINDOW_ORDER: usize = 9;
/// Width of the smeared dipole in units of the distance between images.
const SMEARING: f64 = 1.0 / 16.0;
/// The window is below 1e-14 for k s beyond this.
const LARGEST_WAVE: f64 = 7.5;

/// Elastic constants of a crystal without stress.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Elasticity {
    /// 6 x 6, symmetric, in eV/angstrom^3.
    voigt: [[f64; 6]; 6],
}

impl Elasticity {
    /// From the 6 x 6 matrix in GPa, Voigt order xx yy zz yz xz xy.
    pub fn from_voigt_gpa(c: &[[f64; 6]; 6]) -> Self {
        let voigt =
            std::array::from_fn(|i| std::array::from_fn(|j| 0.5 * (c[i][j] + c[j][i]) / EV_PER_ANGSTROM3_IN_GPA));
        Self { voigt }
    }

    fn component(&self, i: usize, j: usize, k: usize, l: usize) -> f64 {
        self.voigt[VOIGT[i][j]][VOIGT[k][l]]
    }

    /// Stress in eV/angstrom^3 of a homogeneous strain.
    pub fn stress(&self, strain: DMat3) -> DMat3 {
        let at = |i: usize, j: usize| {
            let pairs = (0..3).flat_map(|k| (0..3).map(move |l| (k, l)));
            pairs.map(|(k, l)| self.component(i, j, k, l) * strain.col(l)[k]).sum::<f64>()
        };
        tensor_from_voigt([at(0, 0), at(1, 1), at(2, 2), at(1, 2), at(0, 2), at(0, 1)])
    }

    /// C_ijkl n_j n_l.
    fn christoffel(&self, n: DVec3) -> DMat3 {
        let at = |i: usize, k: usize| {
            let pairs = (0..3).flat_map(|j| (0..3).map(move |l| (j, l)));
            pairs.map(|(j, l)| self.component(i, j, k, l) * n[j] * n[l]).sum::<f64>()
        };
        tensor_from_voigt([at(0, 0), at(1, 1), at(2, 2), at(1, 2), at(0, 2), at(0, 1)])
    }

    /// f M f for waves along the unit vector `n`: twice the energy density that a dipole density of unit amplitude gains.
    fn response(&self, dipole: DMat3, n: DVec3) -> f64 {
        let f = dipole * n;
        f.dot(self.christoffel(n).inverse() * f)
    }

    fn mean_response(&self, dipole: DMat3) -> f64 {
        let n_azimuth = 2 * POLAR_NODES;
        let ring = |z: f64| {
            let radius = (1.0 - z * z).sqrt();
            let angle = |i: usize| 2.0 * PI * i as f64 / n_azimuth as f64;
            let at = |i| DVec3::new(radius * libm::cos(angle(i)), radius * libm::sin(angle(i)), z);
            (0..n_azimuth).map(|i| self.response(dipole, at(i))).sum::<f64>() / n_azimuth as f64
        };
        gauss_legendre(POLAR_NODES).into_iter().map(|(z, weight)| 0.5 * weight * ring(z)).sum()
    }
}

/// The elastic dipole in eV of a defect in a box: P = V (C strain - stress). `strain` is that of the box against the
/// perfect crystal, zero for a box of fixed shape; `stress` in eV/angstrom^3 is what the defect leaves, that of the
/// perfect box subtracted, positive in tension.
pub fn dipole_tensor_ev(volume_angstrom3: f64, elasticity: &Elasticity, strain: DMat3, stress: DMat3) -> DMat3 {
    (elasticity.stress(strain) - stress) * volume_angstrom3
}

/// A defect in a box of fixed shape, elastically.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ElasticImages {
    /// The elastic dipole in eV ([`dipole_tensor_ev`]).
    pub dipole_ev: DMat3,
    /// The elastic energy with the periodic images in eV ([`image_energy_ev`]).
    pub image_energy_ev: f64,
}

/// From the stresses (eV/angstrom^3, Voigt order xx yy zz yz xz xy, positive in tension) of a box of fixed shape with the defect and
/// without.
pub fn images_by_stress(cell: &Cell, elasticity: &Elasticity, defective: [f64; 6], perfect: [f64; 6]) -> ElasticImages {
    let left = std::array::from_fn(|i| defective[i] - perfect[i]);
    let dipole_ev = dipole_tensor_ev(cell.volume_angstrom3(), elasticity, DMat3::ZERO, tensor_from_voigt(left));
    ElasticImages { dipole_ev, image_energy_ev: image_energy_ev(cell, elasticity, dipole_ev) }
}

/// E_int / 2 in eV: the elastic energy of a defect with its own images at zero mean strain. The energy of the defect
/// alone is that in a box of fixed shape minus this.
pub fn image_energy_ev(cell: &Cell, elasticity: &Elasticity, dipole: DMat3) -> f64 {
    let volume = cell.volume_angstrom3();
    let spacing = cell.face_distances_angstrom().min_element();
    let width = SMEARING * spacing;
    let reciprocal = cell.vectors.inverse().transpose() * (2.0 * PI);
    let k_max = LARGEST_WAVE / width;
    let bound = |vector: DVec3| (k_max * vector.length() / (2.0 * PI)).ceil() as i32;
    let [na, nb, nc] = [cell.vectors.x_axis, cell.vectors.y_axis, cell.vectors.z_axis].map(bound);
    let mut sum = 0.0;
    for a in -na..=na {
        for b in -nb..=nb {
            for c in -nc..=nc {
                let k = reciprocal * DVec3::new(f64::from(a), f64::from(b), f64::from(c));
                let length = k.length();
                if (a, b, c) != (0, 0, 0) && length < k_max {
                    sum += elasticity.response(dipole, k / length) * window((length * width).powi(2));
                }
            }
        }
    }
    let moments: f64 = (0..=WINDOW_ORDER).map(|j| libm::tgamma(j as f64 + 1.5) / libm::tgamma(j as f64 + 1.0)).sum();
    let alone = elasticity.mean_response(dipole) * moments / (8.0 * PI * PI * width.powi(3));
    alone - sum / (2.0 * volume)
}

fn window(x: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for j in 1..=WINDOW_ORDER {
        term *= x / j as f64;
        sum += term;
    }
    sum * libm::exp(-x)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cubic_gpa(c11: f64, c12: f64, c44: f64) -> Elasticity {
        let at = |i: usize, j: usize| match (i == j, i.max(j) < 3) {
            (true, true) => c11,
            (false, true) => c12,
            (true, false) => c44,
            (false, false) => 0.0,
        };
        let c = std::array::from_fn(|i| std::array::from_fn(|j| at(i, j)));
        Elasticity::from_voigt_gpa(&c)
    }

    fn cube(a: f64) -> Cell {
        Cell::periodic(DVec3::X * a, DVec3::Y * a, DVec3::Z * a)
    }

    /// Energy in eV of straining a box that holds a dipole: V/2 C strain strain - P strain.
    fn strain_energy_ev(volume_angstrom3: f64, elasticity: &Elasticity, strain: DMat3, dipole: DMat3) -> f64 {
        let slope = elasticity.stress(strain) * (0.5 * volume_angstrom3) - dipole;
        (0..3).map(|axis| slope.col(axis).dot(strain.col(axis))).sum()
    }

    /// The samples of CALANIE 2.0 (Ma and Dudarev, Phys. Rev. Materials 3, 013605 (2019)), which sums the anisotropic
    /// Green function over a sphere of ten cells in real space: compiled and run for this project. What is left of the
    /// differences is that sphere. The first sample is a strained box.
    #[test]
    fn image_energies_agree_with_calanie() {
        let elasticity = cubic_gpa(569.72875, 211.52302, 157.16028);
        let (diagonal, off) = (12.651151423, 0.0430175);
        let strained = Cell { vectors: tensor_from_voigt([diagonal, diagonal, diagonal, off, off, off]), ..cube(1.0) };
        let straight = cube(12.596491979243561);
        let cases = [
            (strained, [53.740432, 53.740432, 53.740432, 13.390740, 13.390740, 13.390740], 0.2069876065),
            (straight, [53.846828, 53.846828, 53.846828, 13.229305, 13.229305, 13.229305], 0.2094343477),
            (straight, [38.783029, 38.770461, 83.986994, 0.0, 0.661548, 0.0], 0.4478501495),
        ];
        for (cell, voigt, expected) in cases {
            let found = image_energy_ev(&cell, &elasticity, tensor_from_voigt(voigt));
            assert!((found - expected).abs() < 2e-5, "{found} {expected}");
        }
    }

    #[test]
    fn strained_boxes_agree_with_calanie() {
        let elasticity = cubic_gpa(569.72875, 211.52302, 157.16028);
        let a = 12.596491979243561_f64;
        let (diagonal, off) = (12.651151423 / a - 1.0, 0.0430175 / a);
        let strain = tensor_from_voigt([diagonal, diagonal, diagonal, off, off, off]);
        let volume = a.powi(3);
        let stress = tensor_from_voigt([-4.5e-4, -4.5e-4, -4.5e-4, -7.5e-5, -7.5e-5, -7.5e-5]) * (1.0 / volume);
        let dipole = dipole_tensor_ev(volume, &elasticity, strain, stress);
        assert!((dipole.x_axis.x - 53.740432).abs() < 2e-3 && (dipole.x_axis.y - 13.390740).abs() < 2e-3);
        assert!((strain_energy_ev(volume, &elasticity, strain, dipole) + 0.4869765311).abs() < 1e-4);
    }

    /// Nothing depends on which vectors span the superlattice; the width of the smearing follows them.
    #[test]
    fn image_energy_belongs_to_the_lattice_not_to_its_basis() {
        let elasticity = cubic_gpa(140.0, 60.0, 35.0);
        let dipole = tensor_from_voigt([10.0, -3.0, 7.0, 2.0, -1.0, 4.0]);
        let [a, b, c] = [DVec3::X * 9.0, DVec3::Y * 9.0, DVec3::Z * 11.0];
        let straight = image_energy_ev(&Cell::periodic(a, b, c), &elasticity, dipole);
        let skewed = image_energy_ev(&Cell::periodic(a + b, b, c - a), &elasticity, dipole);
        assert!((straight - skewed).abs() < 1e-9 * straight.abs(), "{straight} {skewed}");
        // Energies of dipoles fall off with the third power of the distance.
        let double = image_energy_ev(&Cell::periodic(a * 2.0, b * 2.0, c * 2.0), &elasticity, dipole);
        assert!((8.0 * double - straight).abs() < 1e-9 * straight.abs());
    }
}
