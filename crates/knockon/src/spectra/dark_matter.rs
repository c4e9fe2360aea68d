//! Elastic spin-independent scattering of halo dark matter on nuclei.
//!
//! dR/dE = (rho / m) N sigma_n A^2 M / (2 mu_p^2) F^2(E) eta(v_min), v_min = sqrt(M E / 2) / mu, with the mean inverse
//! speed eta of a Maxwellian that is cut at the escape speed in the Galactic frame (Lewin & Smith, Astropart. Phys. 6
//! (1996) 87; closed form as in Savage, Freese & Gondolo, Phys. Rev. D 74 (2006) 043531).

use super::detector::check_resolution;
use super::form_factor::helm_squared;
use super::materials::{Element, Nuclei, Nucleus};
use crate::Error;
use libm::erf;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// Proton mass in eV/c^2 (CODATA 2022).
const PROTON_MASS_EV: f64 = 938.272_089_43e6;
/// Speed of light in km/s (exact).
const LIGHT_KM_PER_S: f64 = 299_792.458;
const SECONDS_PER_DAY: f64 = 86_400.0;
/// Component of the Earth's orbital velocity along the Sun's motion, in km/s: 29.8 km/s times the cosine of 60.7 degrees,
/// largest about 1 June, day 152 of the year (Freese, Lisanti & Savage, Rev. Mod. Phys. 85 (2013) 1561).
const ORBIT_KM_PER_S: f64 = 29.8 * 0.49;
const FASTEST_DAY: f64 = 152.0;
const DAYS_PER_YEAR: f64 = 365.25;

/// Dark matter particle and halo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DarkMatter {
    /// Mass in GeV/c^2.
    pub mass_gev: f64,
    /// Cross-section on a free nucleon in cm^2; rates are proportional to it.
    pub cross_section_cm2: f64,
    /// Local density in GeV/c^2 per cm^3.
    pub density_gev_per_cm3: f64,
    /// Most probable speed of the Maxwellian in km/s.
    pub v0_km_per_s: f64,
    /// Galactic escape speed in km/s.
    pub escape_km_per_s: f64,
    /// Speed of the Earth through the halo in km/s.
    pub earth_km_per_s: f64,
    /// Natural isotopes or one mean mass.
    pub nuclei: Nuclei,
    /// Gaussian resolution (standard deviation) applied to the visible energy, eV; 0 for none.
    pub resolution_ev: f64,
}

impl Default for DarkMatter {
    /// The paper's 2 GeV in the standard halo model (Donato, Fornengo & Scopel 1998: v0 = 220 km/s, Sun at 232 km/s),
    /// with the density 0.3 GeV/cm^3 and escape speed 544 km/s that direct searches use.
    fn default() -> Self {
        Self {
            mass_gev: 2.0,
            cross_section_cm2: 1e-36,
            density_gev_per_cm3: 0.3,
            v0_km_per_s: 220.0,
            escape_km_per_s: 544.0,
            earth_km_per_s: 232.0,
            nuclei: Nuclei::NaturalIsotopes,
            resolution_ev: 0.0,
        }
    }
}

impl DarkMatter {
    /// Checks that every parameter is a number that means something.
    pub fn validate(&self) -> Result<(), Error> {
        let positive = [
            ("mass_gev", self.mass_gev),
            ("cross_section_cm2", self.cross_section_cm2),
            ("density_gev_per_cm3", self.density_gev_per_cm3),
            ("v0_km_per_s", self.v0_km_per_s),
            ("escape_km_per_s", self.escape_km_per_s),
            ("earth_km_per_s", self.earth_km_per_s),
        ];
        for (name, value) in positive {
            super::check_number(&format!("dark_matter.{name}"), value, value > 0.0, "a number above 0")?;
        }
        check_resolution("dark_matter.resolution_ev", self.resolution_ev)?;
        let fine = self.escape_km_per_s > self.earth_km_per_s;
        super::check_number("dark_matter.escape_km_per_s", self.escape_km_per_s, fine, "more than earth_km_per_s")
    }

    /// The same halo on a day of the year (1 = 1 January), `earth_km_per_s` being the mean over a year.
    pub fn on_day(&self, day: f64) -> Self {
        let phase = 2.0 * PI * (day - FASTEST_DAY) / DAYS_PER_YEAR;
        Self { earth_km_per_s: self.earth_km_per_s + ORBIT_KM_PER_S * phase.cos(), ..self.clone() }
    }

    /// The same, checked: a day that a year has, and a halo that means something on it.
    pub fn on_day_of_year(&self, day: f64) -> Result<Self, Error> {
        super::check_number("day_of_year", day, (1.0..367.0).contains(&day), "a day from 1 to 366 (152 is 1 June)")?;
        let halo = self.on_day(day);
        halo.validate().map(|()| halo)
    }

    /// Half of what the rate of [`Self::rate_per_kev_kg_day`] differs by between 1 June and half a year later: positive
    /// where the summer has more.
    pub fn annual_amplitude_per_kev_kg_day(&self, element: &Element, recoil_energy_ev: f64) -> f64 {
        let on = |day| self.on_day(day).rate_per_kev_kg_day(element, recoil_energy_ev);
        0.5 * (on(FASTEST_DAY) - on(FASTEST_DAY + 0.5 * DAYS_PER_YEAR))
    }

    /// Mean inverse speed <1/v> over particles faster than `minimum_km_per_s`, in s/km.
    pub fn mean_inverse_speed(&self, minimum_km_per_s: f64) -> f64 {
        let z = self.escape_km_per_s / self.v0_km_per_s;
        let x = minimum_km_per_s / self.v0_km_per_s;
        let y = self.earth_km_per_s / self.v0_km_per_s;
        let edge = (-z * z).exp() / PI.sqrt();
        let norm = erf(z) - 2.0 * z * edge;
        let numerator = if x <= z - y {
            erf(x + y) - erf(x - y) - 4.0 * y * edge
        } else if x <= z + y {
            erf(z) - erf(x - y) - 2.0 * (y + z - x) * edge
        } else {
            0.0
        };
        numerator / (2.0 * norm * y * self.v0_km_per_s)
    }

    /// Rate in counts per (keV kg day) and kg of this element, at a recoil energy in eV.
    pub fn rate_per_kev_kg_day(&self, element: &Element, recoil_energy_ev: f64) -> f64 {
        element.nuclei(self.nuclei).iter().map(|nucleus| self.rate_on(nucleus, recoil_energy_ev)).sum()
    }

    fn reduced_mass_ev(&self, mass_ev: f64) -> f64 {
        let particle = self.mass_gev * 1e9;
        particle * mass_ev / (particle + mass_ev)
    }

    fn rate_on(&self, nucleus: &Nucleus, energy_ev: f64) -> f64 {
        let mass = nucleus.mass_ev;
        let slowest = (0.5 * mass * energy_ev).sqrt() / self.reduced_mass_ev(mass) * LIGHT_KM_PER_S;
        let inverse_speed_s_per_cm = self.mean_inverse_speed(slowest) * 1e-5;
        let light_cm_per_s = LIGHT_KM_PER_S * 1e5;
        let per_cm3 = self.density_gev_per_cm3 / self.mass_gev;
        let cross_section = self.cross_section_cm2 * nucleus.nucleons.powi(2);
        let per_ev = mass / (2.0 * self.reduced_mass_ev(PROTON_MASS_EV).powi(2)) * light_cm_per_s.powi(2);
        let form = helm_squared(nucleus.nucleons, mass, energy_ev);
        per_cm3 * nucleus.per_kg * cross_section * per_ev * form * inverse_speed_s_per_cm * SECONDS_PER_DAY * 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::{gauss_legendre, integrate};
    use crate::spectra::materials::Material;

    #[test]
    fn mean_inverse_speed_has_its_check_values() {
        let halo = DarkMatter::default();
        assert!((halo.mean_inverse_speed(200.0) / 2.499_85e-3 - 1.0).abs() < 3e-6);
        assert!((halo.mean_inverse_speed(500.0) / 1.764_52e-4 - 1.0).abs() < 3e-6);
        assert_eq!(halo.mean_inverse_speed(776.1), 0.0);
    }

    /// Integral over the Galactic-frame distribution, direction by direction, without the closed form.
    #[test]
    fn mean_inverse_speed_agrees_with_quadrature_and_the_halo_is_normalised() {
        let halo = DarkMatter::default();
        let (v0, cut, earth) = (halo.v0_km_per_s, halo.escape_km_per_s, halo.earth_km_per_s);
        let rule = gauss_legendre(32);
        let pieces = |low: f64, high: f64, f: &dyn Fn(f64) -> f64| -> f64 {
            let step = (high - low) / 40.0;
            (0..40).map(|i| integrate(&rule, low + step * f64::from(i), low + step * f64::from(i + 1), f)).sum()
        };
        let shell = |u: f64| 4.0 * PI * u * u * (-(u / v0).powi(2)).exp();
        let norm = pieces(0.0, cut, &shell);
        // Speed distribution at Earth: for Galactic speed u, the Earth-frame speed squared is uniform in
        // [(u - vE)^2, (u + vE)^2], so that the mean of theta(v - vmin) / v is an elementary integral.
        for minimum in [0.0, 150.0, 330.0, 600.0] {
            let inverse = |u: f64| {
                let (low, high) = ((u - earth).abs().max(minimum), u + earth);
                if high <= low { 0.0 } else { (high - low) / (2.0 * u * earth) * shell(u) }
            };
            let mut corners = vec![0.0, earth, (minimum - earth).abs(), minimum + earth, cut];
            corners.retain(|c| *c <= cut);
            corners.sort_by(f64::total_cmp);
            let total: f64 = corners.windows(2).map(|c| pieces(c[0], c[1], &inverse)).sum();
            assert!((halo.mean_inverse_speed(minimum) / (total / norm) - 1.0).abs() < 1e-10, "{minimum}");
        }
        // -d eta / d v_min = f(v) / v, so the integral of eta over v_min is the norm of f(v): 1.
        let whole: f64 = [0.0, cut - earth, cut + earth]
            .windows(2)
            .map(|c| pieces(c[0], c[1], &|v| halo.mean_inverse_speed(v)))
            .sum();
        assert!((whole - 1.0).abs() < 1e-10, "{whole}");
    }

    /// Table of an independent implementation: 2 GeV, 1e-36 cm^2, halo as the default.
    #[test]
    fn rates_have_their_check_values() {
        let material = Material::from_formula("CaWO4").unwrap();
        let table =
            [(10.0, [4.614e5, 8.353e6, 7.516e4], 5.414e6, 0.985), (100.0, [3.002e5, 9.861e5, 6.214e4], 6.853e5, 0.919)];
        for nuclei in [Nuclei::MeanMass, Nuclei::NaturalIsotopes] {
            let dark_matter = DarkMatter { nuclei, ..DarkMatter::default() };
            for (energy, per_element, sum, share) in table {
                let mut total = 0.0;
                let mut tungsten = 0.0;
                for (((element, _), fraction), expected) in
                    material.composition.iter().zip(material.mass_fractions()).zip(per_element)
                {
                    let rate = dark_matter.rate_per_kev_kg_day(element, energy);
                    // The table counts natural isotopes; a mean calcium nucleus scatters 0.3 % less than its isotopes.
                    let tolerance = if nuclei == Nuclei::NaturalIsotopes { 1e-3 } else { 4e-3 };
                    assert!(
                        (rate / expected - 1.0).abs() < tolerance,
                        "{} {energy} {nuclei:?}: {rate}",
                        element.symbol
                    );
                    total += fraction * rate;
                    if element.symbol == "W" {
                        tungsten = fraction * rate;
                    }
                }
                assert!((total / sum - 1.0).abs() < 2e-3, "{energy}: {total}");
                assert!((tungsten / total - share).abs() < 1e-3, "{energy}: {}", tungsten / total);
            }
        }
    }

    #[test]
    fn end_points_and_tungsten_share_have_their_check_values() {
        let dark_matter = DarkMatter { nuclei: Nuclei::MeanMass, ..DarkMatter::default() };
        // Recoils end at 2 (mu v / c)^2 / M of the fastest particles.
        for (symbol, expected) in [("W", 305.8), ("Ca", 1293.0), ("O", 2796.0)] {
            let rate = |energy_ev| dark_matter.rate_per_kev_kg_day(Element::from_symbol(symbol).unwrap(), energy_ev);
            assert!(rate(0.9996 * expected) > 0.0 && rate(1.0004 * expected) == 0.0, "{symbol}");
        }
        let material = Material::from_formula("CaWO4").unwrap();
        for (energy, expected) in [(10.0, 0.985), (100.0, 0.92), (160.0, 0.73), (200.0, 0.48), (300.0, 0.001)] {
            let rates: Vec<f64> = material
                .composition
                .iter()
                .zip(material.mass_fractions())
                .map(|((e, _), f)| f * dark_matter.rate_per_kev_kg_day(e, energy))
                .collect();
            let share = rates[1] / rates.iter().sum::<f64>();
            assert!((share - expected).abs() < 0.006, "{energy}: {share}");
        }
    }

    /// Halo sensitivity of the reference: v0 = 238 km/s gives 0.98 to 2.1 times the default between 20 and 200 eV.
    #[test]
    fn a_faster_halo_hardens_the_spectrum() {
        let tungsten = Element::from_symbol("W").unwrap();
        let slow = DarkMatter { nuclei: Nuclei::MeanMass, ..DarkMatter::default() };
        let fast = DarkMatter { v0_km_per_s: 238.0, earth_km_per_s: 252.13, ..slow.clone() };
        for (energy, expected) in [(20.0, 0.98), (50.0, 1.10), (100.0, 1.34), (150.0, 1.67), (200.0, 2.1)] {
            let ratio = fast.rate_per_kev_kg_day(tungsten, energy) / slow.rate_per_kev_kg_day(tungsten, energy);
            assert!((ratio / expected - 1.0).abs() < 0.012, "{energy}: {ratio}");
        }
    }

    /// The sign changes once: fewer slow, more fast particles in summer. The mean of the extremes is close to the rate at
    /// the mean speed, the amplitude close to the derivative with respect to the speed.
    #[test]
    fn the_year_modulates_the_rate() {
        let tungsten = Element::from_symbol("W").unwrap();
        let halo = DarkMatter { nuclei: Nuclei::MeanMass, ..DarkMatter::default() };
        assert!(halo.annual_amplitude_per_kev_kg_day(tungsten, 1.0) < 0.0);
        for energy in [50.0, 100.0, 200.0] {
            let at =
                |earth_km_per_s| DarkMatter { earth_km_per_s, ..halo.clone() }.rate_per_kev_kg_day(tungsten, energy);
            let slope = (at(233.0) - at(231.0)) / 2.0;
            let amplitude = halo.annual_amplitude_per_kev_kg_day(tungsten, energy);
            assert!((amplitude / (slope * 14.602) - 1.0).abs() < 0.01, "{energy}: {amplitude}");
        }
        assert!((halo.on_day(152.0).earth_km_per_s - 246.602).abs() < 1e-9);
        assert!((halo.on_day(152.0 + 365.25 / 4.0).earth_km_per_s - 232.0).abs() < 1e-9);
    }

    #[test]
    fn settings_without_meaning_are_refused() {
        for bad in [
            DarkMatter { mass_gev: 0.0, ..DarkMatter::default() },
            DarkMatter { v0_km_per_s: f64::NAN, ..DarkMatter::default() },
            DarkMatter { escape_km_per_s: 100.0, ..DarkMatter::default() },
        ] {
            assert!(bad.validate().is_err());
        }
    }
}
