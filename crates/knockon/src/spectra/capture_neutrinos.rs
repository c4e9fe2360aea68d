//! Antineutrinos of 239U and 239Np, the two beta decays after the capture of a neutron by 238U.

use crate::units::ELECTRON_MASS_EV;
use std::f64::consts::PI;
use std::sync::OnceLock;

const ELECTRON_MEV: f64 = 1e-6 * ELECTRON_MASS_EV;
const FINE_STRUCTURE: f64 = 7.297_352_564e-3;

/// A beta decay to one level of the daughter.
struct Branch {
    end_point_mev: f64,
    /// Per capture.
    share: f64,
    /// Protons of the daughter nucleus.
    protons: f64,
}

/// 239U (Q = 1.262 MeV) to the ground state and the levels of 239Np at 31 and 75 keV; 239Np (Q = 0.722 MeV) to the levels of
/// 239Pu at 8, 286, 330, 392 and 512 keV. End points from ENSDF; shares, rounded to 1 %, are those with which these branches
/// describe the summation spectra of Perisse et al., Phys. Rev. C 108 (2023) 055501 (arXiv:2304.14992) within 2 % of their
/// maxima; 2 % of the 239U decays go to many levels between 0.6 and 1 MeV, one end point here.
static BRANCHES: [Branch; 9] = [
    Branch { end_point_mev: 1.262, share: 0.18, protons: 93.0 },
    Branch { end_point_mev: 1.231, share: 0.09, protons: 93.0 },
    Branch { end_point_mev: 1.187, share: 0.71, protons: 93.0 },
    Branch { end_point_mev: 0.45, share: 0.02, protons: 93.0 },
    Branch { end_point_mev: 0.714, share: 0.02, protons: 94.0 },
    Branch { end_point_mev: 0.437, share: 0.45, protons: 94.0 },
    Branch { end_point_mev: 0.392, share: 0.07, protons: 94.0 },
    Branch { end_point_mev: 0.331, share: 0.44, protons: 94.0 },
    Branch { end_point_mev: 0.210, share: 0.02, protons: 94.0 },
];

/// ln |Gamma(x + i y)|^2 for x > 0: Stirling's series (DLMF 5.11.1) after eight steps of the recurrence.
fn ln_gamma_squared(x: f64, y: f64) -> f64 {
    let squared = |re: f64| re * re + y * y;
    let steps: f64 = (0..8).map(|k| squared(x + f64::from(k)).ln()).sum();
    let (re, r2) = (x + 8.0, squared(x + 8.0));
    let angle = y.atan2(re);
    // Real part of (z - 1/2) ln z - z + ln(2 pi) / 2 + 1 / (12 z) - 1 / (360 z^3).
    let stirling = (re - 0.5) * 0.5 * r2.ln() - y * angle - re + 0.5 * (2.0 * PI).ln() + re / (12.0 * r2)
        - (3.0 * angle).cos() / (360.0 * r2.powf(1.5));
    2.0 * stirling - steps
}

impl Branch {
    /// Antineutrinos per MeV, not normalised: allowed shape E^2 p_e E_e F with the relativistic Fermi function of a point
    /// charge, F = p^(2 (g - 1)) exp(pi eta) |Gamma(g + i eta)|^2 up to a constant, g = sqrt(1 - (alpha Z)^2),
    /// eta = alpha Z E_e / p_e. At Z = 93 the factor p^(2 (g - 1)) favours slow electrons, that is hard neutrinos: without it
    /// (Gamow's factor alone) recoils of 10 eV on W would be a fifth too rare.
    fn shape(&self, energy_mev: f64) -> f64 {
        if energy_mev <= 0.0 || energy_mev >= self.end_point_mev {
            return 0.0;
        }
        let electron = self.end_point_mev - energy_mev + ELECTRON_MEV;
        let momentum = (electron * electron - ELECTRON_MEV * ELECTRON_MEV).sqrt();
        let coupling = FINE_STRUCTURE * self.protons;
        let (g, eta) = ((1.0 - coupling * coupling).sqrt(), coupling * electron / momentum);
        // In logarithms, because slow electrons have a large eta.
        let fermi = momentum.powf(2.0 * (g - 1.0)) * (PI * eta + ln_gamma_squared(g, eta)).exp();
        energy_mev * energy_mev * momentum * electron * fermi
    }
}

/// Antineutrinos per MeV after the capture of a neutron by 238U, per capture (two in all).
pub fn capture_spectrum(energy_mev: f64) -> f64 {
    static NORMS: OnceLock<Vec<f64>> = OnceLock::new();
    let norms = NORMS.get_or_init(|| {
        let rule = crate::math::gauss_legendre(64);
        let norm = |b: &Branch| crate::math::integrate(&rule, 0.0, b.end_point_mev, |e| b.shape(e));
        BRANCHES.iter().map(norm).collect()
    });
    BRANCHES.iter().zip(norms).map(|(branch, norm)| branch.share * branch.shape(energy_mev) / norm).sum()
}

/// Energies in MeV where a branch ends.
pub(super) fn end_points_mev() -> impl Iterator<Item = f64> {
    BRANCHES.iter().map(|branch| branch.end_point_mev)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::{gauss_legendre, integrate};

    #[test]
    fn gamma_function_has_its_closed_forms() {
        for y in [0.1, 0.7, 2.0, 6.0] {
            assert!((ln_gamma_squared(1.0, y).exp() / (PI * y / (PI * y).sinh()) - 1.0).abs() < 1e-7, "{y}");
            assert!((ln_gamma_squared(0.5, y).exp() * (PI * y).cosh() / PI - 1.0).abs() < 1e-7, "{y}");
        }
        assert!((ln_gamma_squared(4.0, 0.0).exp() - 36.0).abs() < 1e-6);
    }

    /// Decays add up to two, and the spectrum of 239U is the summation spectrum of 2023 (values per MeV at its bin centres).
    #[test]
    fn shape_has_its_check_values() {
        let shares: f64 = BRANCHES.iter().map(|b| b.share).sum();
        assert!((shares - 2.0).abs() < 1e-12);
        for (energy, expected) in [(0.7875, 1.2434), (0.8875, 1.3421), (0.9875, 1.3831), (1.0875, 1.3594)] {
            assert!((capture_spectrum(energy) / expected - 1.0).abs() < 0.02, "{energy}: {}", capture_spectrum(energy));
        }
        assert_eq!(capture_spectrum(1.27), 0.0);
        let rule = gauss_legendre(40);
        let mut corners: Vec<f64> = std::iter::once(0.0).chain(end_points_mev()).collect();
        corners.sort_by(f64::total_cmp);
        let total: f64 = corners.windows(2).map(|c| integrate(&rule, c[0], c[1], capture_spectrum)).sum();
        assert!((total - 2.0).abs() < 1e-4, "{total}");
    }
}
