//! Physical constants (CODATA 2022) and the unit system: angstrom, eV, unified atomic mass unit (u), kelvin.
//!
//! The natural time of this system is 1 angstrom * sqrt(u / eV) = 10.180505 fs; only [`crate::dynamics`] and
//! the vibrations of [`crate::checks`] use it.

/// Boltzmann constant in eV/K.
pub const BOLTZMANN_EV_PER_K: f64 = 8.617_333_262e-5;
/// Unified atomic mass unit in eV/c^2.
pub const ATOMIC_MASS_EV: f64 = 931.494_103_72e6;
/// Speed of light in angstrom per femtosecond.
pub const SPEED_OF_LIGHT_ANGSTROM_PER_FS: f64 = 2_997.924_58;
/// 1 angstrom * sqrt(u / eV) in femtoseconds: sqrt(931.494e6) / 2997.92458.
pub const NATURAL_TIME_FS: f64 = 10.180_505_71;
/// e^2 / (4 pi eps_0) in eV angstrom.
pub const COULOMB_EV_ANGSTROM: f64 = 14.399_645_48;
/// Hartree energy in eV.
pub const HARTREE_EV: f64 = 27.211_386_245_981;
/// Bohr radius in angstrom.
pub const BOHR_ANGSTROM: f64 = 0.529_177_210_544;
/// Mass of the electron in eV/c^2.
pub const ELECTRON_MASS_EV: f64 = 510_998.95;
/// 1 eV/angstrom^3 in GPa.
pub const EV_PER_ANGSTROM3_IN_GPA: f64 = 160.217_663_4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn natural_time_follows_from_mass_unit_and_light() {
        let fs = ATOMIC_MASS_EV.sqrt() / SPEED_OF_LIGHT_ANGSTROM_PER_FS;
        assert!((fs - NATURAL_TIME_FS).abs() < 1e-8, "{fs:.10}");
    }
}
