//! Coherent elastic scattering of reactor antineutrinos on nuclei.
//!
//! dsigma/dT = G_F^2 M / (4 pi) Q_W^2 (1 - T/E - M T / (2 E^2)) F^2(q), Q_W = N - Z (1 - 4 sin^2 theta_W)
//! (Freedman, Phys. Rev. D 9 (1974) 1389; Lindner, Rodejohann & Xu, JHEP 03 (2017) 097).

use super::detector::check_resolution;
use super::form_factor::helm_squared;
use super::materials::{Element, Nuclei, Nucleus};
use super::reactor::Site;
use crate::Error;
use crate::math::{gauss_legendre, integrate};
use serde::{Deserialize, Serialize};

/// Fermi's constant in 1/GeV^2 (CODATA 2022).
const FERMI_PER_GEV2: f64 = 1.166_378_7e-5;
/// (hbar c)^2 in GeV^2 cm^2 (CODATA 2022).
const HBAR_C_SQUARED_GEV2_CM2: f64 = 0.389_379_372e-27;
const SECONDS_PER_DAY: f64 = 86_400.0;

/// Reactor neutrinos on a crystal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cevns {
    /// Reactor, distance, duty, fuel.
    pub site: Site,
    /// Weak mixing at zero momentum transfer (0.23857: PDG, MS-bar running to q = 0).
    pub sin2_theta_w: f64,
    /// Natural isotopes or one mean mass.
    pub nuclei: Nuclei,
    /// Gaussian resolution (standard deviation) applied to the visible energy, eV; 0 for none.
    pub resolution_ev: f64,
}

impl Default for Cevns {
    fn default() -> Self {
        Self { site: Site::default(), sin2_theta_w: 0.238_57, nuclei: Nuclei::NaturalIsotopes, resolution_ev: 0.0 }
    }
}

/// Differential cross-section in cm^2/eV at a neutrino energy and a recoil energy, both in eV; 0 above the largest
/// recoil energy 2 E^2 / (M + 2 E).
pub fn cross_section_cm2_per_ev(nucleus: &Nucleus, sin2_theta_w: f64, neutrino_ev: f64, recoil_ev: f64) -> f64 {
    let kinematics = 1.0 - recoil_ev / neutrino_ev - nucleus.mass_ev * recoil_ev / (2.0 * neutrino_ev * neutrino_ev);
    if kinematics <= 0.0 {
        return 0.0;
    }
    let neutrons = nucleus.nucleons - nucleus.protons;
    let weak_charge = neutrons - nucleus.protons * (1.0 - 4.0 * sin2_theta_w);
    let per_gev =
        FERMI_PER_GEV2.powi(2) * HBAR_C_SQUARED_GEV2_CM2 * nucleus.mass_ev * 1e-9 / (4.0 * std::f64::consts::PI);
    per_gev * 1e-9 * weak_charge.powi(2) * kinematics * helm_squared(nucleus.nucleons, nucleus.mass_ev, recoil_ev)
}

impl Cevns {
    /// Checks that every parameter is a number that means something.
    pub fn validate(&self) -> Result<(), Error> {
        self.site.validate()?;
        let fine = self.sin2_theta_w > 0.0 && self.sin2_theta_w < 1.0;
        super::check_number("cevns.sin2_theta_w", self.sin2_theta_w, fine, "a number between 0 and 1")?;
        check_resolution("cevns.resolution_ev", self.resolution_ev)
    }

    /// The rates, for any number of elements and energies.
    pub fn rates(&self) -> Rates<'_> {
        Rates { source: self, rule: gauss_legendre(8), pieces_mev: self.site.smooth_pieces_mev() }
    }
}

/// Rates of [`Cevns`], with what they share at all energies.
pub struct Rates<'a> {
    source: &'a Cevns,
    rule: Vec<(f64, f64)>,
    pieces_mev: Vec<f64>,
}

impl Rates<'_> {
    /// Counts per (keV kg day) and kg of this element, at a recoil energy in eV.
    pub fn per_kev_kg_day(&self, element: &Element, recoil_energy_ev: f64) -> f64 {
        element.nuclei(self.source.nuclei).iter().map(|nucleus| self.on(nucleus, recoil_energy_ev)).sum()
    }

    fn on(&self, nucleus: &Nucleus, recoil_ev: f64) -> f64 {
        let Cevns { site, sin2_theta_w, .. } = self.source;
        let lowest_ev = 0.5 * (recoil_ev + (recoil_ev * recoil_ev + 2.0 * nucleus.mass_ev * recoil_ev).sqrt());
        let lowest = lowest_ev * 1e-6;
        let integrand = |mev: f64| {
            site.spectrum_per_fission(mev) * cross_section_cm2_per_ev(nucleus, *sin2_theta_w, mev * 1e6, recoil_ev)
        };
        let per_fission: f64 = (self.pieces_mev.windows(2))
            .filter(|piece| piece[1] > lowest)
            .map(|piece| integrate(&self.rule, piece[0].max(lowest), piece[1], integrand))
            .sum();
        per_fission * site.fissions_per_cm2_s() * nucleus.per_kg * SECONDS_PER_DAY * 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::super::reactor::total_flux;
    use super::*;
    use crate::spectra::materials::Material;

    fn crystal_rate(cevns: &Cevns, energy: f64) -> f64 {
        let material = Material::from_formula("CaWO4").unwrap();
        let rates = cevns.rates();
        material
            .composition
            .iter()
            .zip(material.mass_fractions())
            .map(|((e, _), f)| f * rates.per_kev_kg_day(e, energy))
            .sum()
    }

    /// An independent implementation with the same spectrum, at a total flux of 1.7e12 /cm^2/s.
    #[test]
    fn rates_have_their_check_values() {
        let cevns = Cevns::default();
        let scale = 1.7e12 / total_flux(&cevns.site);
        for (energy, expected) in [(20.0, 722.0), (100.0, 127.5)] {
            let found = scale * crystal_rate(&cevns, energy);
            assert!((found / expected - 1.0).abs() < 0.01, "{energy} eV: {found}");
        }
        let rule = gauss_legendre(12);
        let counts = |corners: &[f64]| -> f64 {
            corners.windows(2).map(|c| 1e-3 * scale * integrate(&rule, c[0], c[1], |e| crystal_rate(&cevns, e))).sum()
        };
        assert!((counts(&[10.0, 20.0, 50.0, 100.0]) / 33.7 - 1.0).abs() < 0.01);
        assert!((counts(&[20.0, 50.0, 100.0, 200.0, 400.0, 1000.0]) / 34.7 - 1.0).abs() < 0.01);
    }

    #[test]
    fn tungsten_share_and_mixing_angle_have_their_check_values() {
        let cevns = Cevns::default();
        let tungsten = Element::from_symbol("W").unwrap();
        for (energy, expected) in [(10.0, 0.985), (100.0, 0.95), (160.0, 0.91), (200.0, 0.87), (300.0, 0.74)] {
            let share =
                183.84 / 287.914 * cevns.rates().per_kev_kg_day(tungsten, energy) / crystal_rate(&cevns, energy);
            assert!((share - expected).abs() < 0.012, "{energy}: {share}");
        }
        let at_z_mass = Cevns { sin2_theta_w: 0.231_22, ..Cevns::default() };
        let ratio = at_z_mass.rates().per_kev_kg_day(tungsten, 50.0) / cevns.rates().per_kev_kg_day(tungsten, 50.0);
        assert!((ratio - 0.960).abs() < 0.002, "{ratio}");
    }

    /// +2.3 % at 10 eV on W with the summation spectra of 2023 for 239U, 239Np and the fission products (+2.4 % in an earlier
    /// calculation), 0.6 captures per fission; nothing above about 19 eV.
    #[test]
    fn capture_neutrinos_add_below_19_ev() {
        let without = Cevns::default();
        let mut with = Cevns::default();
        with.site.uranium_238_captures_per_fission = 0.6;
        let tungsten = Element::from_symbol("W").unwrap();
        let more = |e| with.rates().per_kev_kg_day(tungsten, e) / without.rates().per_kev_kg_day(tungsten, e) - 1.0;
        assert!((more(10.0) - 0.023).abs() < 0.0015, "{}", more(10.0));
        assert!(more(19.0).abs() < 1e-12 && more(5.0) > more(10.0), "{}", more(19.0));
    }

    #[test]
    fn cross_section_ends_at_the_largest_recoil_energy() {
        let nucleus = Element::from_symbol("W").unwrap().nuclei(Nuclei::MeanMass)[0];
        let neutrino = 3.0e6;
        let largest = 2.0 * neutrino * neutrino / (nucleus.mass_ev + 2.0 * neutrino);
        assert!(cross_section_cm2_per_ev(&nucleus, 0.238_57, neutrino, largest * 1.0001) == 0.0);
        assert!(cross_section_cm2_per_ev(&nucleus, 0.238_57, neutrino, largest * 0.999) > 0.0);
    }
}
