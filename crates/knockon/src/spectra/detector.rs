//! What a detector does to the energy that reaches it: resolution first, then the trigger, on a scale that a calibration
//! fixes.

use super::calibration::{CAPTURE_SPECIES, Calibration};
use super::check_number;
use super::curve::{Columns, Curve};
use super::fold::smeared_ramp;
use crate::Error;
use crate::math::{gauss_legendre, integrate, normal_cdf};
use crate::response::{Responses, StoredEnergy};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// Standard deviations of the resolution from which hardly a count arrives.
pub(super) const FAR_SIGMAS: f64 = 3.0;
/// Sharper than any detector: what looks like keV, and would take internal bins without number.
pub(super) const LEAST_RESOLUTION_EV: f64 = 0.05;

/// Fails if a standard deviation in eV is neither 0 nor one that a detector may have; `name` is what errors call it.
pub(super) fn check_resolution(name: &str, resolution_ev: f64) -> Result<(), Error> {
    let fine = resolution_ev == 0.0 || resolution_ev >= LEAST_RESOLUTION_EV;
    check_number(name, resolution_ev, fine, &format!("0 or, in eV, at least {LEAST_RESOLUTION_EV}"))
}

/// For the mean efficiency of a table over a piece of measured energy, of which a fold has many.
static RULE: LazyLock<Vec<(f64, f64)>> = LazyLock::new(|| gauss_legendre(3));

/// What a table of efficiencies holds. Measured energies may be below 0.
const EFFICIENCIES: Columns = Columns {
    names: ["energy_ev", "efficiency"],
    may_be: |[energy_ev, efficiency]| energy_ev.is_finite() && (0.0..=1.0).contains(&efficiency),
    expected: "an energy and an efficiency from 0 to 1",
};

/// Standard deviation of the measured energy, a + b E.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Resolution {
    /// a in eV.
    pub constant_ev: f64,
    /// b.
    pub slope: f64,
}

impl Resolution {
    /// Standard deviation in eV at a deposited energy in eV.
    pub fn at(&self, energy_ev: f64) -> f64 {
        self.constant_ev + self.slope * energy_ev
    }
}

/// Probability that an event of a measured energy is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// Everything is kept.
    #[default]
    All,
    /// plateau (1 + erf((E - threshold) / (sqrt 2 width))) / 2; a step when the width is 0.
    ErrorFunction {
        /// Energy of half the plateau, eV.
        threshold_ev: f64,
        /// Width in eV; none: as soft as the resolution at the threshold.
        width_ev: Option<f64>,
        /// Efficiency far above.
        plateau: f64,
    },
    /// Efficiency against energy in eV: linear in between, 0 below and constant above.
    Table(Curve),
}

impl Trigger {
    /// Reads a table: two columns, energy in eV and efficiency; lines with `#` and one header line are skipped.
    pub fn parse_table(text: &str, name: &str) -> Result<Self, Error> {
        Curve::read(text, name, &EFFICIENCIES).map(Self::Table)
    }

    /// Where a table ends, in eV.
    pub fn last_energy_ev(&self) -> Option<f64> {
        if let Self::Table(table) = self { Some(table.rows().last()?[0]) } else { None }
    }

    /// Efficiency at a measured energy in eV, for a detector of this resolution.
    pub fn efficiency(&self, energy_ev: f64, resolution: Resolution) -> f64 {
        match self {
            Self::All => 1.0,
            Self::ErrorFunction { threshold_ev, width_ev, plateau } => {
                let width_ev = width_ev.unwrap_or_else(|| resolution.at(*threshold_ev));
                let above = energy_ev - threshold_ev;
                plateau * if width_ev > 0.0 { normal_cdf(above / width_ev) } else { f64::from(above >= 0.0) }
            }
            Self::Table(table) => match table.rows().last() {
                Some([end_ev, efficiency]) if energy_ev >= *end_ev => *efficiency,
                _ => table.at(energy_ev).unwrap_or(0.0),
            },
        }
    }

    /// Energies in eV between which the efficiency is smooth.
    pub(super) fn corners(&self) -> Vec<f64> {
        match self {
            Self::All => Vec::new(),
            Self::ErrorFunction { threshold_ev, .. } => vec![*threshold_ev],
            Self::Table(table) => table.rows().iter().map(|row| row[0]).collect(),
        }
    }

    /// Mean efficiency between two measured energies in eV.
    pub(super) fn mean(&self, low: f64, high: f64, resolution: Resolution) -> f64 {
        match self {
            Self::ErrorFunction { threshold_ev, width_ev, plateau } => {
                let width_ev = width_ev.unwrap_or_else(|| resolution.at(*threshold_ev));
                let ramp = |e: f64| smeared_ramp(e - threshold_ev, width_ev);
                plateau * ((ramp(high) - ramp(low)) / (high - low)).clamp(0.0, 1.0)
            }
            _ => integrate(&RULE, low, high, |e| self.efficiency(e, resolution)) / (high - low),
        }
    }
}

/// The energy that an efficiency is a function of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EfficiencyOf {
    /// The measured energy: the trigger looks at the energy as it is reconstructed.
    #[default]
    Measured,
    /// The energy that reaches the detector, before its resolution: what injected pulses tell.
    Deposited,
}

impl EfficiencyOf {
    fn is_measured(&self) -> bool {
        *self == Self::Measured
    }
}

/// A detector.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Detector {
    /// Applied to the energy that no defect keeps.
    pub resolution: Resolution,
    /// Applied to the measured energy, or to that which `efficiency_of` says.
    pub trigger: Trigger,
    /// What the trigger's efficiency is a function of, on the scale of measured energies.
    #[serde(skip_serializing_if = "EfficiencyOf::is_measured")]
    pub efficiency_of: EfficiencyOf,
    /// What fixes the scale of measured energies; resolution and trigger are in its eV.
    pub calibration: Calibration,
}

impl Detector {
    /// Checks that every number means something.
    pub fn validate(&self) -> Result<(), Error> {
        let Resolution { constant_ev, slope } = self.resolution;
        check_resolution("resolution_ev", constant_ev)?;
        check_number("resolution_slope", slope, (0.0..=1.0).contains(&slope), "a number from 0 to 1")?;
        if let Trigger::Table(table) = &self.trigger {
            table.check("efficiency", &EFFICIENCIES, 1)?;
        }
        if let Trigger::ErrorFunction { threshold_ev, width_ev, plateau } = self.trigger {
            check_number("threshold_ev", threshold_ev, threshold_ev >= 0.0, "a number of 0 or more")?;
            let width_ev = width_ev.unwrap_or(0.0);
            check_number("threshold_width_ev", width_ev, width_ev >= 0.0, "a number of 0 or more")?;
            check_number("plateau", plateau, plateau > 0.0 && plateau <= 1.0, "a number above 0 and at most 1")?;
        }
        Ok(())
    }

    /// What acts on measured energies.
    pub(super) fn trigger_on_measured(&self) -> &Trigger {
        if self.efficiency_of.is_measured() { &self.trigger } else { &Trigger::All }
    }

    /// Probability that an event is kept.
    pub(super) fn keeps(&self, deposited_ev: f64, measured_ev: f64) -> f64 {
        let energy_ev = if self.efficiency_of.is_measured() { measured_ev } else { deposited_ev };
        self.trigger.efficiency(energy_ev, self.resolution)
    }

    /// Mean share that a trigger on deposited energies keeps between two of them; 1 of one on measured energies.
    pub(super) fn kept_of_deposited(&self, low_ev: f64, high_ev: f64) -> f64 {
        match self.efficiency_of {
            EfficiencyOf::Measured => 1.0,
            EfficiencyOf::Deposited if low_ev == high_ev => self.trigger.efficiency(low_ev, self.resolution),
            EfficiencyOf::Deposited => self.trigger.mean(low_ev, high_ev, self.resolution),
        }
    }

    /// Factor between deposited and measured energy that the calibration gives with these stored energies, one set of numbers for each
    /// response.
    pub(super) fn scale(&self, responses: &Responses, stored: &[StoredEnergy]) -> Result<f64, Error> {
        // Without a response for the element whose peak it is, a calibration with that peak refuses the first.
        let index = responses.position(CAPTURE_SPECIES).unwrap_or(0);
        self.calibration.scale(stored[index], responses.element(index), self.resolution)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn efficiencies_and_their_means() {
        let sharp = Resolution::default();
        let resolved = Resolution { constant_ev: 3.0, slope: 0.1 };
        let error_function = |width_ev, plateau| Trigger::ErrorFunction { threshold_ev: 20.0, width_ev, plateau };
        let soft = error_function(Some(5.0), 0.9);
        let efficiency = |energy_ev| soft.efficiency(energy_ev, sharp);
        assert!((efficiency(20.0) - 0.45).abs() < 1e-15 && (efficiency(60.0) - 0.9).abs() < 1e-12);
        let rule = gauss_legendre(20);
        let mean = integrate(&rule, 15.0, 22.0, efficiency) / 7.0;
        assert!((soft.mean(15.0, 22.0, sharp) - mean).abs() < 1e-12);
        // Without a width of its own it has that of the resolution at the threshold, 5 eV here.
        let by_resolution = error_function(None, 0.9);
        assert_eq!(by_resolution.efficiency(17.0, resolved), efficiency(17.0));
        assert_eq!(by_resolution.mean(15.0, 22.0, resolved), soft.mean(15.0, 22.0, sharp));
        for step in [error_function(Some(0.0), 1.0), error_function(None, 1.0)] {
            let at = |energy_ev| step.efficiency(energy_ev, sharp);
            assert_eq!((at(19.9), at(20.0), step.mean(19.0, 21.0, sharp)), (0.0, 1.0, 0.5));
        }
        let table = Trigger::parse_table("# mine\nenergy_ev,efficiency\n10,0\n30 0.8\n", "t").unwrap();
        assert!((table.efficiency(20.0, sharp) - 0.4).abs() < 1e-15);
        assert_eq!((table.efficiency(5.0, sharp), table.efficiency(99.0, sharp)), (0.0, 0.8));
        let early = Trigger::parse_table("\u{feff}12;0.3\n30;1\n", "t").unwrap();
        assert_eq!((early.efficiency(11.9, sharp), early.efficiency(12.0, sharp)), (0.0, 0.3));
        // Quoted, the first row is one as well.
        let quoted = Trigger::parse_table("\"10\",\"0.5\"\n\"30\",\"1\"\n", "t").unwrap();
        assert_eq!(quoted.efficiency(10.0, sharp), 0.5);
        assert!(Trigger::parse_table("-5,0\n30,1\n", "t").is_ok());
        let message = Trigger::parse_table("energy_kev,efficiency\n0.01,0\n0.03,1\n", "t").unwrap_err().to_string();
        assert!(message.contains("expected energies in eV, found the column \"energy_kev\""), "{message}");
        for bad in ["", "10,0\n5,1\n", "10,1.5\n", "10,0\nx,1\n", "10,O\n30,1\n40,1\n", "30,1\n"] {
            assert!(Trigger::parse_table(bad, "t").is_err(), "{bad}");
        }
    }
}
