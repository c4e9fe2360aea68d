//! Recoil spectra of dark matter, reactor neutrinos and neutron capture, and their correction for the energy stored in
//! defects: recoils by species ([`RecoilRate`]) -> [`correct`] with a [`crate::response::Response`] -> rates with bands.

pub mod capture;
pub mod cevns;
mod correction;
pub mod dark_matter;
pub mod fold;
mod form_factor;
pub mod materials;
pub mod reactor;

pub use correction::{
    CorrectedSpectrum, Part, PartSpectrum, RecoilRate, Settings, capture as capture_recoils, cevns as cevns_recoils,
    correct, dark_matter as dark_matter_recoils,
};
pub use form_factor::helm_squared;

use crate::Error;

/// Refuses `value` unless it is finite and `fine`.
fn check_number(setting: &str, value: f64, fine: bool, expected: &str) -> Result<(), Error> {
    if value.is_finite() && fine {
        return Ok(());
    }
    Err(Error::input(setting, format!("expected {expected}, found {value}"), "Correct the setting"))
}
