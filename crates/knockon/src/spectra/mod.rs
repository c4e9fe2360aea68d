//! Recoil spectra of dark matter, reactor neutrinos and neutron capture, and their correction for the energy stored in
//! defects: recoils by species ([`RecoilRate`]) -> [`correct`] with a [`crate::response::Response`] -> rates with bands.

pub mod calibration;
pub mod capture;
mod capture_neutrinos;
pub mod cevns;
mod correction;
mod curve;
pub mod dark_matter;
mod detected;
pub mod detector;
mod elements;
mod events;
mod eye;
pub mod fitting;
pub mod fold;
mod form_factor;
pub mod landmarks;
pub mod materials;
mod pointwise;
pub mod reactor;
mod sensitivity;
mod table;
pub mod user;

pub use crate::response::{AnyResponse, Responses};
pub use correction::{
    CorrectedSpectrum, Part, PartSpectrum, RecoilRate, Settings, capture as capture_recoils, cevns as cevns_recoils,
    correct, dark_matter as dark_matter_recoils,
};
pub use curve::Curve;
pub use detected::{
    DetectedSpectrum, complete_from_ev, complete_up_to_ev, detect, detect_into, extrapolated_from_ev,
    too_coarse_between_ev,
};
pub use events::{Event, simulate, simulate_binned};
pub use form_factor::helm_squared;
pub use pointwise::{CaptureRate, ElementRate, capture_rate, check_energies, parse_energies, rates_by_element};
pub use sensitivity::{Sensitivity, sensitivity};

use crate::Error;

/// Refuses `value` unless it is finite and `fine`.
fn check_number(setting: &str, value: f64, fine: bool, expected: &str) -> Result<(), Error> {
    if value.is_finite() && fine {
        return Ok(());
    }
    Err(Error::input(setting, format!("expected {expected}, found {value}"), "Correct the setting"))
}

/// `after` / `before`; NaN where less than 1e-9 of the highest value is expected before.
fn ratio(after: &[f64], before: &[f64]) -> Vec<f64> {
    let floor = 1e-9 * before.iter().copied().fold(0.0, f64::max);
    after.iter().zip(before).map(|(a, b)| if *b > floor { a / b } else { f64::NAN }).collect()
}

/// Edges of bins around ascending centres: halfway between neighbours, at the ends as far out as in, never below 0. A
/// single centre gets a bin of `alone_ev`.
pub fn edges_around(centres: &[f64], alone_ev: f64) -> Vec<f64> {
    let (Some(first), Some(last)) = (centres.first(), centres.last()) else { return Vec::new() };
    let gap = |i: usize| centres.get(i + 1).map_or(alone_ev, |next| next - centres[i]);
    let mut edges = vec![(first - 0.5 * gap(0)).max(0.0)];
    edges.extend(centres.windows(2).map(|pair| 0.5 * (pair[0] + pair[1])));
    edges.push(last + 0.5 * if centres.len() > 1 { gap(centres.len() - 2) } else { alone_ev });
    edges
}
