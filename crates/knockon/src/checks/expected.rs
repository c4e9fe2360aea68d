//! What a crystal is compared with: values of the settings, and those of scheelite where the crystal is CaWO4.

use super::CheckSettings;
use crate::settings::{check, is_not_negative, is_positive};
use crate::{Atoms, Error};
use serde::{Deserialize, Serialize};

/// Lattice constants in angstrom; what is left out is compared with nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LatticeConstants {
    /// The first lattice vector; the mean of the first two where they are equally long in the crystal and `b` is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub a: Option<f64>,
    /// The second lattice vector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b: Option<f64>,
    /// The third lattice vector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub c: Option<f64>,
}

/// One of the 21 elastic constants, Voigt order xx yy zz yz xz xy: `c11`, `c12` and so on to `c66` in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ElasticComponent([usize; 2]);

impl ElasticComponent {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..6).flat_map(|row| (row..6).map(move |column| Self([row, column])))
    }

    /// Row and column in the 6 x 6 matrix, counted from zero.
    pub fn indices(self) -> [usize; 2] {
        self.0
    }

    /// Whether its sign may depend on the choice of axes: it ties a shear to another strain.
    pub fn sign_depends_on_axes(self) -> bool {
        let [row, column] = self.0;
        row != column && column > 2
    }
}

impl From<ElasticComponent> for String {
    fn from(component: ElasticComponent) -> String {
        let [row, column] = component.0;
        format!("c{}{}", row + 1, column + 1)
    }
}

impl TryFrom<String> for ElasticComponent {
    type Error = String;
    fn try_from(name: String) -> Result<Self, String> {
        Self::all().find(|component| String::from(*component) == name).ok_or_else(|| {
            format!("expected elastic constants from c11 to c66, the smaller number first, found \"{name}\"")
        })
    }
}

/// Lattice constants of scheelite: PBE, Soum-Sidikov et al. (2024).
const SCHEELITE_ANGSTROM: [f64; 2] = [5.334, 11.51];
/// Vector from W to O in scheelite: PBE coordinates O (0.7568, 0.1537, 0.0864) relative to W at (1, 0, 0).
const SCHEELITE_OXYGEN: [f64; 3] = [0.2432, 0.1537, 0.0864];
/// Elastic constants of scheelite: mean of three measurements (Weber's handbook; Farley, Saunders et al.; Gluyas et al. 1973), which
/// differ from each other by up to 8 GPa.
const SCHEELITE_GPA: [(ElasticComponent, f64); 7] = [
    (ElasticComponent([0, 0]), 143.6),
    (ElasticComponent([0, 1]), 59.9),
    (ElasticComponent([0, 2]), 42.3),
    (ElasticComponent([0, 5]), 17.8),
    (ElasticComponent([2, 2]), 127.5),
    (ElasticComponent([3, 3]), 33.6),
    (ElasticComponent([5, 5]), 41.5),
];
/// Highest frequency of scheelite at Gamma, the Raman line nu_1.
const SCHEELITE_HIGHEST_PER_CM: f64 = 911.0;

impl CheckSettings {
    /// These settings with scheelite's values for all that they leave open.
    pub(crate) fn or_scheelite(mut self) -> Self {
        let [a, c] = SCHEELITE_ANGSTROM;
        self.lattice_angstrom.a.get_or_insert(a);
        self.lattice_angstrom.c.get_or_insert(c);
        self.oxygen_fractional.get_or_insert(SCHEELITE_OXYGEN);
        for (component, value) in SCHEELITE_GPA {
            self.elastic_gpa.entry(component).or_insert(value);
        }
        self.highest_frequency_per_cm.get_or_insert(SCHEELITE_HIGHEST_PER_CM);
        self
    }

    /// What is expected of this crystal.
    pub(super) fn for_crystal(&self, crystal: &Atoms) -> Self {
        if !is_scheelite(crystal) {
            return self.clone();
        }
        let mut filled = self.clone().or_scheelite();
        filled.source.get_or_insert_with(|| "experiment".to_owned());
        filled
    }

    /// Where elastic constants and frequencies come from, to be put behind them.
    pub(super) fn source_in_brackets(&self) -> String {
        self.source.as_ref().map_or_else(String::new, |source| format!(" ({source})"))
    }

    /// Fails if a value makes no sense; `place` is what the error calls the settings.
    pub fn validate(&self, place: &str) -> Result<(), Error> {
        let LatticeConstants { a, b, c } = self.lattice_angstrom;
        let lengths_fine = [a, b, c].into_iter().flatten().all(is_positive);
        let are_positive = |cells: &[usize; 3]| cells.iter().all(|n| *n > 0);
        let checks = [
            (lengths_fine, "checks.lattice_angstrom", "positive lengths"),
            (self.elastic_gpa.values().all(|c| c.is_finite()), "checks.elastic_gpa", "finite numbers"),
            (
                self.highest_frequency_per_cm.is_none_or(is_positive),
                "checks.highest_frequency_per_cm",
                "a positive frequency",
            ),
            (is_not_negative(self.lattice_tolerance), "checks.lattice_tolerance", "zero or more"),
            (is_not_negative(self.oxygen_tolerance), "checks.oxygen_tolerance", "zero or more"),
            (is_not_negative(self.elastic_tolerance), "checks.elastic_tolerance", "zero or more"),
            (is_not_negative(self.elastic_tolerance_gpa), "checks.elastic_tolerance_gpa", "zero or more"),
            (is_not_negative(self.frequency_tolerance), "checks.frequency_tolerance", "zero or more"),
            (is_positive(self.elastic_strain), "checks.elastic_strain", "a positive strain"),
            (self.temperatures_k.iter().copied().all(is_positive), "checks.temperatures_k", "positive temperatures"),
            (are_positive(&self.repeat), "checks.repeat", "positive numbers of cells"),
            (are_positive(&self.recoil_repeat), "checks.recoil_repeat", "positive numbers of cells"),
            (is_positive(self.run_time_fs), "checks.run_time_fs", "a positive time"),
            (is_positive(self.time_step_fs), "checks.time_step_fs", "a positive time"),
            (is_positive(self.disorder_temperature_k), "checks.disorder_temperature_k", "a positive temperature"),
            (is_positive(self.recoil_energy_ev), "checks.recoil_energy_ev", "a positive energy"),
            (is_positive(self.max_displacement_angstrom), "checks.max_displacement_angstrom", "a positive length"),
            (is_positive(self.max_drift_ev_per_atom_ps), "checks.max_drift_ev_per_atom_ps", "a positive drift"),
        ];
        check(place, &checks)
    }
}

/// Calcium, tungsten and oxygen as 1 : 1 : 4, and nothing else.
fn is_scheelite(crystal: &Atoms) -> bool {
    let count = |symbol: &str| crystal.species.iter().filter(|s| s.symbol() == symbol).count();
    let [calcium, tungsten, oxygen] = [count("Ca"), count("W"), count("O")];
    calcium > 0 && tungsten == calcium && oxygen == 4 * calcium && crystal.len() == 6 * calcium
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::{argon_like, calcium_tungstate};

    const SILICON: &str = "lattice_angstrom = { a = 5.469 }\nelastic_gpa = { c11 = 165.7, c12 = 63.9, c44 = 79.6 }";

    #[test]
    fn values_of_scheelite_stand_in_for_scheelite_only() {
        let (_, argon) = argon_like([1, 1, 1]);
        let none = CheckSettings::default().for_crystal(&argon);
        assert_eq!((none.lattice_angstrom, none.elastic_gpa.len()), (LatticeConstants::default(), 0));
        assert!(none.highest_frequency_per_cm.is_none() && none.oxygen_fractional.is_none() && none.source.is_none());
        let scheelite = CheckSettings::default().for_crystal(&calcium_tungstate());
        assert_eq!(scheelite.lattice_angstrom, LatticeConstants { a: Some(5.334), b: None, c: Some(11.51) });
        assert_eq!((scheelite.elastic_gpa.len(), scheelite.source_in_brackets().as_str()), (7, " (experiment)"));
        // Each value of the settings goes before.
        let own: CheckSettings = toml::from_str(SILICON).unwrap();
        let own = own.for_crystal(&calcium_tungstate());
        assert_eq!(own.lattice_angstrom, LatticeConstants { a: Some(5.469), b: None, c: Some(11.51) });
        let values: Vec<f64> = own.elastic_gpa.values().copied().collect();
        assert_eq!(values, [165.7, 63.9, 42.3, 17.8, 127.5, 79.6, 41.5]);
    }

    #[test]
    fn elastic_constants_are_named_by_component() {
        let silicon: CheckSettings = toml::from_str(SILICON).unwrap();
        let names: Vec<String> = silicon.elastic_gpa.keys().map(|component| String::from(*component)).collect();
        assert_eq!(names, ["c11", "c12", "c44"]);
        assert_eq!(ElasticComponent::all().count(), 21);
        let of = |name: &str| ElasticComponent::try_from(name.to_owned());
        assert!(of("c16").unwrap().sign_depends_on_axes() && of("c45").unwrap().sign_depends_on_axes());
        assert!(!of("c13").unwrap().sign_depends_on_axes() && !of("c66").unwrap().sign_depends_on_axes());
        for wrong in ["c21", "c17", "C11", "c1"] {
            let refused = toml::from_str::<CheckSettings>(&format!("elastic_gpa = {{ {wrong} = 1.0 }}")).unwrap_err();
            assert!(refused.to_string().contains("from c11 to c66"), "{refused}");
        }
    }

    #[test]
    fn settings_that_mean_nothing_are_refused() {
        assert!(CheckSettings::default().validate("fit.toml").is_ok());
        for (text, place) in [
            ("lattice_angstrom = { a = -5.4 }", "checks.lattice_angstrom"),
            ("repeat = [2, 2, 0]", "checks.repeat"),
            ("highest_frequency_per_cm = 0.0", "checks.highest_frequency_per_cm"),
        ] {
            let settings: CheckSettings = toml::from_str(text).unwrap();
            let refused = settings.validate("fit.toml").unwrap_err().to_string();
            assert!(refused.contains("fit.toml") && refused.contains(place), "{refused}");
        }
    }
}
