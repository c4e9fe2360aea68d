//! Antineutrinos of a reactor core: spectrum per fission, and the flux at a site.
//!
//! Above 2 MeV: Huber, Phys. Rev. C 84 (2011) 024617 (235U, 239Pu, 241Pu) and Mueller et al., Phys. Rev. C 83 (2011)
//! 054615 (238U), phi = exp(sum a_k E^k). Below 2 MeV, where these polynomials must not be extrapolated: the table of
//! Vogel & Engel, Phys. Rev. D 39 (1989) 3378, interpolated linearly. Neutrinos of 238U neutron capture
//! ([`capture_spectrum`]) are an option: on W they add to recoils below about 19 eV only. A user's table may replace both.

pub use super::capture_neutrinos::capture_spectrum;
use super::capture_neutrinos::end_points_mev;
use super::curve::Curve;
use crate::Error;
use serde::{Deserialize, Serialize};

/// Highest neutrino energy in MeV. The polynomials are fits up to 8 MeV; above, less than 0.2 % of the neutrinos.
pub const MAXIMUM_MEV: f64 = 10.0;
/// Where the table of Vogel & Engel ends and the polynomials begin, in MeV.
const JOIN_MEV: f64 = 2.0;
const JOULE_PER_MEV: f64 = 1.602_176_634e-13;

/// Energies of the table of Vogel & Engel, in MeV.
const TABLE_MEV: [f64; 11] = [7.813e-3, 1.563e-2, 3.12e-2, 6.25e-2, 0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0];

struct Fuel {
    /// Energy released per fission in MeV (Kopeikin et al., Phys. At. Nucl. 67 (2004) 1892).
    energy_mev: f64,
    /// Coefficients a_0 ... a_5 above 2 MeV.
    polynomial: [f64; 6],
    /// Antineutrinos per MeV and fission at [`TABLE_MEV`].
    table: [f64; 11],
}

#[rustfmt::skip]
static URANIUM_235: Fuel = Fuel {
    energy_mev: 201.92,
    polynomial: [4.367, -4.577, 2.100, -5.294e-1, 6.186e-2, -2.777e-3],
    table: [0.024, 0.092, 0.35, 0.61, 1.98, 2.16, 2.66, 2.66, 2.41, 1.69, 1.26],
};
#[rustfmt::skip]
static URANIUM_238: Fuel = Fuel {
    energy_mev: 205.52,
    polynomial: [4.833e-1, 1.927e-1, -1.283e-1, -6.762e-3, 2.233e-3, -1.536e-4],
    table: [0.089, 0.35, 1.32, 0.65, 2.02, 2.18, 2.91, 2.96, 2.75, 1.97, 1.50],
};
#[rustfmt::skip]
static PLUTONIUM_239: Fuel = Fuel {
    energy_mev: 209.99,
    polynomial: [4.757, -5.392, 2.563, -6.596e-1, 7.820e-2, -3.536e-3],
    table: [0.14, 0.56, 2.13, 0.64, 1.99, 2.08, 2.63, 2.58, 2.32, 1.48, 1.08],
};
#[rustfmt::skip]
static PLUTONIUM_241: Fuel = Fuel {
    energy_mev: 213.60,
    polynomial: [2.990, -2.882, 1.278, -3.343e-1, 3.905e-2, -1.754e-3],
    table: [0.20, 0.79, 3.00, 0.59, 1.85, 2.14, 2.82, 2.90, 2.63, 1.75, 1.32],
};

impl Fuel {
    /// Antineutrinos per MeV and fission.
    fn spectrum(&self, energy_mev: f64) -> f64 {
        if energy_mev > MAXIMUM_MEV {
            return 0.0;
        }
        if energy_mev >= JOIN_MEV {
            return self.polynomial.iter().rev().fold(0.0, |sum, a| sum * energy_mev + a).exp();
        }
        let above = TABLE_MEV.partition_point(|e| *e < energy_mev);
        if above == 0 {
            return self.table[0] * energy_mev / TABLE_MEV[0];
        }
        let t = (energy_mev - TABLE_MEV[above - 1]) / (TABLE_MEV[above] - TABLE_MEV[above - 1]);
        self.table[above - 1] + t * (self.table[above] - self.table[above - 1])
    }
}

/// Share of the fissions by isotope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct FissionFractions {
    pub uranium_235: f64,
    pub uranium_238: f64,
    pub plutonium_239: f64,
    pub plutonium_241: f64,
}

impl Default for FissionFractions {
    /// Typical mid-cycle pressurised-water reactor.
    fn default() -> Self {
        Self { uranium_235: 0.556, uranium_238: 0.071, plutonium_239: 0.326, plutonium_241: 0.047 }
    }
}

impl FissionFractions {
    fn fuels(&self) -> [(f64, &'static Fuel); 4] {
        [
            (self.uranium_235, &URANIUM_235),
            (self.uranium_238, &URANIUM_238),
            (self.plutonium_239, &PLUTONIUM_239),
            (self.plutonium_241, &PLUTONIUM_241),
        ]
    }

    /// Antineutrinos per MeV and fission of the mixture.
    pub fn spectrum(&self, energy_mev: f64) -> f64 {
        self.fuels().iter().map(|(share, fuel)| share * fuel.spectrum(energy_mev)).sum()
    }

    /// Energy released per fission of the mixture, in MeV.
    pub fn energy_per_fission_mev(&self) -> f64 {
        self.fuels().iter().map(|(share, fuel)| share * fuel.energy_mev).sum()
    }
}

/// One reactor core seen from the detector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Core {
    /// Thermal power in GW.
    pub power_gw: f64,
    /// Distance in m.
    pub distance_m: f64,
}

/// Where the detector stands: cores, share of the time they run, fuel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Site {
    /// The cores.
    pub cores: Vec<Core>,
    /// Fraction of the time at full power.
    pub duty: f64,
    /// Fuel.
    pub fission_fractions: FissionFractions,
    /// Neutrons that 238U captures per fission, each followed by two antineutrinos: 0 leaves them out; a pressurised-
    /// water reactor has about 0.6.
    pub uranium_238_captures_per_fission: f64,
    /// Antineutrinos per MeV and fission of the whole core against their energy in MeV, in place of the published spectra; zero
    /// outside. The fission fractions then give the energy per fission only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spectrum_table: Option<Curve>,
}

/// Reactors make no antineutrinos above this, in MeV: a table that has some is in another unit.
const HIGHEST_TABLE_MEV: f64 = 20.0;
/// Antineutrinos per fission in a table, which may begin above 0: all are about 6, those above 1.8 MeV 1.5 to 2.
const TABLE_PER_FISSION: [f64; 2] = [0.1, 20.0];

/// Refuses a table in another unit, or of a flux where a spectrum per fission is expected.
fn check_table(table: &Curve) -> Result<(), Error> {
    let place = "cevns.site.spectrum_table";
    table.validate(place, TABLE_COLUMNS)?;
    let rows = table.rows();
    if let Some([energy, _]) = rows.iter().find(|row| row[0] > HIGHEST_TABLE_MEV && row[1] > 0.0) {
        let problem = format!("expected antineutrinos up to {HIGHEST_TABLE_MEV} MeV, found some at {energy}");
        return Err(Error::input(place, problem, "Energies are in MeV: convert them"));
    }
    let [least, most] = TABLE_PER_FISSION;
    let per_fission: f64 = rows.windows(2).map(|r| 0.5 * (r[0][1] + r[1][1]) * (r[1][0] - r[0][0])).sum();
    if (least..=most).contains(&per_fission) {
        return Ok(());
    }
    let problem = format!(
        "expected antineutrinos per MeV and fission, {least} to {most} per fission over the table (about 6 in all, 1.5 to 2 above \
         1.8 MeV), found {per_fission:.3e}"
    );
    let remedy = "Divide a flux by the fissions that are seen per cm^2 and s, a rate per keV multiply by 1000, so that the table \
                  holds antineutrinos per MeV and fission";
    Err(Error::input(place, problem, remedy))
}

/// What the columns of [`Site::spectrum_table`] are.
pub const TABLE_COLUMNS: [&str; 2] = ["neutrino_energy_mev", "neutrinos_per_mev_per_fission"];

impl Default for Site {
    /// The very near site of NUCLEUS at Chooz: two cores of 4.25 GW at 72 and 102 m (Angloher et al., Eur. Phys. J. C
    /// 79 (2019) 1018).
    fn default() -> Self {
        let core = |distance_m| Core { power_gw: 4.25, distance_m };
        Self {
            cores: vec![core(72.0), core(102.0)],
            duty: 1.0,
            fission_fractions: FissionFractions::default(),
            uranium_238_captures_per_fission: 0.0,
            spectrum_table: None,
        }
    }
}

impl Site {
    /// Checks that every number means something and that the fission fractions sum to 1.
    pub fn validate(&self) -> Result<(), Error> {
        use super::check_number as check;
        if self.cores.is_empty() {
            let problem = "expected at least one reactor core, found none";
            return Err(Error::input(
                "cevns.site.cores",
                problem,
                "Write cores = [{ power_gw = 4.25, distance_m = 72.0 }]",
            ));
        }
        for core in &self.cores {
            check("cevns.site.cores.power_gw", core.power_gw, core.power_gw > 0.0, "a number above 0")?;
            check("cevns.site.cores.distance_m", core.distance_m, core.distance_m > 0.0, "a number above 0")?;
        }
        check("cevns.site.duty", self.duty, self.duty > 0.0 && self.duty <= 1.0, "a number above 0 and at most 1")?;
        let shares = self.fission_fractions.fuels().map(|f| f.0);
        let total: f64 = shares.iter().sum();
        let fine = shares.iter().all(|s| *s >= 0.0) && (total - 1.0).abs() < 1e-3;
        check("cevns.site.fission_fractions", total, fine, "shares of 0 or more that add up to 1")?;
        if let Some(table) = &self.spectrum_table {
            check_table(table)?;
        }
        let captures = self.uranium_238_captures_per_fission;
        let fine = (0.0..=2.0).contains(&captures);
        check("cevns.site.uranium_238_captures_per_fission", captures, fine, "a number from 0 to 2")
    }

    /// Fissions seen per cm^2 and s: sum over cores of fission rate / (4 pi distance^2).
    pub fn fissions_per_cm2_s(&self) -> f64 {
        let joule = self.fission_fractions.energy_per_fission_mev() * JOULE_PER_MEV;
        let of = |c: &Core| c.power_gw * 1e9 / joule / (4.0 * std::f64::consts::PI * (c.distance_m * 100.0).powi(2));
        self.duty * self.cores.iter().map(of).sum::<f64>()
    }

    /// Antineutrinos per MeV and fission, those after neutron capture on 238U included.
    pub fn spectrum_per_fission(&self, energy_mev: f64) -> f64 {
        let captures = self.uranium_238_captures_per_fission;
        let after_capture = if captures > 0.0 { captures * capture_spectrum(energy_mev) } else { 0.0 };
        let of_fission = match &self.spectrum_table {
            Some(table) => table.at(energy_mev).unwrap_or(0.0),
            None => self.fission_fractions.spectrum(energy_mev),
        };
        of_fission + after_capture
    }

    /// Energies in MeV between which the spectrum is smooth: integrate piece by piece.
    pub fn smooth_pieces_mev(&self) -> Vec<f64> {
        let mut corners: Vec<f64> = std::iter::once(0.0).chain(end_points_mev()).collect();
        match &self.spectrum_table {
            Some(table) => corners.extend(table.rows().iter().map(|row| row[0])),
            None => {
                corners.extend_from_slice(&TABLE_MEV);
                corners.extend((5..=20).map(|i| 0.5 * f64::from(i)));
            }
        }
        corners.sort_by(f64::total_cmp);
        corners.dedup();
        corners
    }

    /// Antineutrinos per MeV, cm^2 and s.
    pub fn flux(&self, energy_mev: f64) -> f64 {
        self.fissions_per_cm2_s() * self.spectrum_per_fission(energy_mev)
    }
}

/// Total flux in 1/(cm^2 s).
pub fn total_flux(site: &Site) -> f64 {
    let rule = crate::math::gauss_legendre(8);
    site.smooth_pieces_mev().windows(2).map(|p| crate::math::integrate(&rule, p[0], p[1], |e| site.flux(e))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An independent implementation: 5.60 antineutrinos per fission and 1.66e12 /cm^2/s at the very near site.
    #[test]
    fn flux_at_the_very_near_site() {
        let site = Site::default();
        let flux = total_flux(&site);
        let per_fission = flux / site.fissions_per_cm2_s();
        assert!((per_fission / 5.60 - 1.0).abs() < 0.005, "{per_fission}");
        assert!((flux / 1.66e12 - 1.0).abs() < 0.005, "{flux:e}");
    }

    #[test]
    fn table_and_polynomials_meet_within_the_accuracy_of_the_table() {
        for (_, fuel) in FissionFractions::default().fuels() {
            let jump = fuel.spectrum(JOIN_MEV) / fuel.spectrum(JOIN_MEV - 1e-9);
            assert!((jump - 1.0).abs() < 0.12, "{jump}");
        }
        assert_eq!(URANIUM_235.spectrum(1.0), 2.41);
        assert_eq!(URANIUM_235.spectrum(11.0), 0.0);
    }

    /// 0.6 captures per fission: 1.2 more antineutrinos, 2.13e12 /cm^2/s together with a summation spectrum that alone
    /// has 1.78e12, i.e. 0.36e12 more.
    #[test]
    fn captures_add_two_antineutrinos_each() {
        let without = Site::default();
        let with = Site { uranium_238_captures_per_fission: 0.6, ..Site::default() };
        let more = total_flux(&with) - total_flux(&without);
        assert!((more / without.fissions_per_cm2_s() / 1.2 - 1.0).abs() < 2e-3, "{more:e}");
        assert!((more / 0.355e12 - 1.0).abs() < 0.02, "{more:e}");
    }

    /// The built-in spectrum, tabulated finely, gives its own flux; half of it half; captures add as before.
    #[test]
    fn a_table_replaces_the_spectrum() {
        let site = Site::default();
        let rows = |scale: f64| -> String {
            // The polynomials jump at the end of the table: two rows there.
            let energies = (0..10_000).map(|i| 0.001 * (f64::from(i) + 0.5));
            energies.map(|e| format!("{e} {}\n", scale * site.spectrum_per_fission(e))).collect()
        };
        let with = |scale: f64, captures: f64| {
            let table = Curve::parse(&rows(scale), "table", TABLE_COLUMNS).unwrap();
            let site =
                Site { spectrum_table: Some(table), uranium_238_captures_per_fission: captures, ..Site::default() };
            total_flux(&site)
        };
        assert!((with(1.0, 0.0) / total_flux(&site) - 1.0).abs() < 1e-4);
        assert!((with(0.5, 0.0) / total_flux(&site) - 0.5).abs() < 1e-4);
        let captures = Site { uranium_238_captures_per_fission: 0.6, ..Site::default() };
        let more = |a: f64, b: f64| (a - b) / site.fissions_per_cm2_s();
        let expected = more(total_flux(&captures), total_flux(&site));
        assert!((more(with(1.0, 0.6), with(1.0, 0.0)) / expected - 1.0).abs() < 1e-3);
    }

    #[test]
    fn tables_in_another_unit_are_refused() {
        let checked = |text: &str| {
            let table = Curve::parse(text, "mine.csv", TABLE_COLUMNS)?;
            Site { spectrum_table: Some(table), ..Site::default() }.validate()
        };
        for (text, expected) in [
            ("neutrino_energy_kev,neutrinos_per_mev_per_fission\n1800,1.4\n8000,0.001\n", "neutrino_energy_kev"),
            ("1800,1.4\n8000,0.001\n", "Energies are in MeV"),
            // A flux per cm^2, s and MeV; a spectrum per keV.
            ("1.8,4e11\n4,1e11\n8,3e8\n", "per MeV and fission"),
            ("1.8,0.0014\n4,0.0003\n8,0.000001\n", "per MeV and fission"),
        ] {
            let message = checked(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{text:?}: {message}");
        }
        // Above 1.8 MeV alone, and with an end that says nothing comes above.
        checked("neutrino_energy_mev,neutrinos_per_mev_per_fission\n1.8,1.4\n4,0.3\n8,0.001\n25,0\n30,0\n").unwrap();
    }

    #[test]
    fn impossible_sites_are_refused() {
        let mut site = Site::default();
        site.fission_fractions.uranium_235 = 0.9;
        assert!(site.validate().is_err());
        assert!(Site { cores: vec![], ..Site::default() }.validate().is_err());
        assert!(Site { duty: 1.1, ..Site::default() }.validate().is_err());
    }
}
