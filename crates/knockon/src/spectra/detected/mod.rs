//! A spectrum of recoil energies as a detector sees it: the stored energy is taken off, then come resolution and trigger,
//! in this order, by quadrature, which conserves counts. Internal bins are halved, and the measured energies cut finer near
//! the threshold, until that changes nothing that matters.

mod on_grid;
mod recoils;

use self::on_grid::OnGrid;
use self::recoils::Recoils;
use super::detector::{Detector, FAR_SIGMAS, Resolution};
use super::ratio;
use super::user::{BinnedSpectrum, Content, UserPart, UserSpectrum, are_whole};
use crate::Error;
use crate::math::band_by_bin;
use crate::response::{Responses, StoredEnergy};
use rayon::prelude::*;

/// Counts in bins of measured energy, seen without and with energy stored in defects. NaN: no value.
#[derive(Clone, Debug)]
pub struct DetectedSpectrum {
    /// Counts without stored energy.
    pub before: Vec<f64>,
    /// Counts with.
    pub after: Vec<f64>,
    /// Standard deviation of `after` from the errors of the input; a list of events has Poisson errors.
    pub after_error: Option<Vec<f64>>,
    /// 16 % and 84 % quantiles of `after` over the bootstrap sets; NaN without any.
    pub after_band: [Vec<f64>; 2],
    /// `after` / `before`.
    pub ratio: Vec<f64>,
    /// 16 % and 84 % quantiles of the ratio.
    pub ratio_band: [Vec<f64>; 2],
    /// Relative change of all counts, those outside the bins included and before the trigger: rounding only.
    pub conservation_error: f64,
    /// Largest relative change of a bin of `after` when the internal bins are halved (of bins with less than
    /// 1e-3 of the largest count: relative to that).
    pub convergence_error: f64,
    /// Share of all recoils that the trigger keeps and that `after` holds in its bins; NaN without recoils.
    pub kept_share: f64,
    /// Width of the internal bins in eV.
    pub internal_bin_ev: f64,
    /// Factor between deposited and measured energy with stored energy: 1 unless the capture peak calibrates.
    pub calibration_scale: f64,
}

/// Folds a binned spectrum into its own bins. Parts of species without a response are left uncorrected.
pub fn detect(
    spectrum: &BinnedSpectrum,
    responses: &Responses,
    detector: &Detector,
) -> Result<DetectedSpectrum, Error> {
    fold(&Recoils::binned(spectrum, responses)?, &spectrum.edges_ev, responses, detector)
}

/// Folds bins or events into bins between ascending `edges_ev` of measured energy. Events are recoils of the species of the only
/// response.
pub fn detect_into(
    spectrum: &UserSpectrum,
    edges_ev: &[f64],
    responses: &Responses,
    detector: &Detector,
) -> Result<DetectedSpectrum, Error> {
    let rising = edges_ev.windows(2).all(|e| e[1] > e[0]) && edges_ev.iter().all(|e| e.is_finite());
    if edges_ev.len() < 2 || !rising {
        let problem = format!("expected two or more ascending edges, found {edges_ev:?}");
        return Err(Error::input("edges", problem, "Write start:stop:step or a list, in ascending eV"));
    }
    if let Some(bin) = edges_ev.windows(2).find(|e| e[1] - e[0] < NARROWEST_BIN_EV) {
        let problem =
            format!("expected bins of at least {NARROWEST_BIN_EV} eV, found one from {} to {} eV", bin[0], bin[1]);
        return Err(Error::input("edges", problem, "Give wider bins (edges); energies are in eV"));
    }
    match spectrum {
        UserSpectrum::Binned(binned) => fold(&Recoils::binned(binned, responses)?, edges_ev, responses, detector),
        UserSpectrum::Events(events) => fold(&Recoils::events(events, responses)?, edges_ev, responses, detector),
    }
}

/// Narrower output bins need internal ones without number, and no detector tells them apart.
const NARROWEST_BIN_EV: f64 = 0.02;

/// A last bin with less than this share of the largest is empty: the spectrum has ended by itself.
const EMPTY: f64 = 1e-9;

/// Measured energy in eV above which a spectrum that ends before its recoils do gives too few counts: what is stored, and the
/// resolution, bring recoils down from above its last edge. None if its last bin is empty, so that nothing is missing.
pub fn complete_up_to_ev(
    spectrum: &BinnedSpectrum,
    responses: &Responses,
    detector: &Detector,
) -> Result<Option<f64>, Error> {
    let last = spectrum.edges_ev.len() - 2;
    let counts = |bin: usize| spectrum.parts.iter().map(|p| p.counts[bin]).sum::<f64>();
    let largest = (0..=last).map(counts).fold(0.0, f64::max);
    if counts(last) <= EMPTY * largest {
        return Ok(None);
    }
    let end = spectrum.edges_ev[last + 1];
    let best = responses.best();
    let mut highest = 0.0f64;
    for part in spectrum.parts.iter().filter(|part| part.counts[last] > 0.0) {
        let stored = responses.of(part.species.as_deref())?.map(|index| best[index]);
        highest = highest.max(stored.map_or(0.0, |stored| stored.rarely_exceeded_ev(end)));
    }
    let scale = detector.scale(responses, &best)?;
    Ok(Some(scale * (end - highest) - FAR_SIGMAS * detector.resolution.at(scale * end)))
}

/// Recoil energy in eV up to which all responses rest on cascades, and measured energy from which on spectra hold recoils beyond, whose
/// stored energy is extrapolated.
pub fn extrapolated_from_ev(responses: &Responses, detector: &Detector) -> Result<[f64; 2], Error> {
    let highest = responses.iter().map(|response| response.data_range_ev()[1]).fold(f64::INFINITY, f64::min);
    let best = responses.best();
    let stored = best.iter().map(|stored| stored.mean_ev(highest)).fold(0.0, f64::max);
    Ok([highest, detector.scale(responses, &best)? * (highest - stored)])
}

/// Measured energy in eV below which a spectrum that begins above its lowest recoils gives too few counts: the resolution brings
/// recoils up from below its first edge. None if it begins within 1 eV, or its first bin is empty.
pub fn complete_from_ev(
    spectrum: &BinnedSpectrum,
    responses: &Responses,
    detector: &Detector,
) -> Result<Option<f64>, Error> {
    let counts = |bin: usize| spectrum.parts.iter().map(|p| p.counts[bin]).sum::<f64>();
    let largest = (0..spectrum.edges_ev.len() - 1).map(counts).fold(0.0, f64::max);
    let start = spectrum.edges_ev[0];
    if start <= 1.0 || counts(0) <= EMPTY * largest {
        return Ok(None);
    }
    let measured = detector.scale(responses, &responses.best())? * start;
    Ok(Some(measured + FAR_SIGMAS * detector.resolution.at(measured)))
}

/// Neighbouring bins whose densities differ by more than this factor are too coarse to be taken as flat inside,
const STEEP: f64 = 1.5;
/// unless both hold less than this share of the largest bin,
const NEGLIGIBLE: f64 = 1e-3;
/// or they differ by no more than this many standard deviations.
const FLUCTUATION_SIGMAS: f64 = 3.0;

/// The first energies in eV, low and high, between which bins are too coarse: they are taken as flat inside, but differ much from
/// their neighbours and are wider than the resolution's standard deviation, which would hide this. None where all are fine enough.
pub fn too_coarse_between_ev(spectrum: &BinnedSpectrum, resolution: Resolution) -> Option<[f64; 2]> {
    let edges = &spectrum.edges_ev;
    let n_bins = edges.len() - 1;
    let counts: Vec<f64> = (0..n_bins).map(|bin| spectrum.parts.iter().map(|p| p.counts[bin]).sum()).collect();
    let largest = counts.iter().copied().fold(0.0, f64::max);
    let is_poisson = spectrum.content == Content::Counts && are_whole(&counts);
    let variance = |bin: usize| -> f64 {
        let of = |part: &UserPart| match &part.errors {
            Some(errors) => errors[bin].powi(2),
            None if is_poisson => part.counts[bin],
            None => 0.0,
        };
        spectrum.parts.iter().map(of).sum()
    };
    let width = |bin: usize| edges[bin + 1] - edges[bin];
    let is_wide = |bin: usize| width(bin) > resolution.at(0.5 * (edges[bin] + edges[bin + 1]));
    let is_coarse = |first: &usize| {
        let pair = [*first, *first + 1];
        let [before, after] = pair.map(|bin| counts[bin] / width(bin));
        let deviation = pair.map(|bin| variance(bin) / width(bin).powi(2)).iter().sum::<f64>().sqrt();
        pair.iter().any(|bin| is_wide(*bin))
            && pair.iter().any(|bin| counts[*bin] > NEGLIGIBLE * largest)
            && before.max(after) > STEEP * before.min(after)
            && (after - before).abs() > FLUCTUATION_SIGMAS * deviation
    };
    let first = (0..n_bins - 1).find(is_coarse)?;
    let last = (first..n_bins - 1).take_while(is_coarse).last().unwrap_or(first);
    Some([edges[first], edges[last + 2]])
}

fn fold(
    recoils: &Recoils,
    edges: &[f64],
    responses: &Responses,
    detector: &Detector,
) -> Result<DetectedSpectrum, Error> {
    detector.validate()?;
    let best = responses.best();
    let best_scale = detector.scale(responses, &best)?;
    let (fold, convergence_error) = OnGrid::converged(recoils, edges, detector, &best, best_scale)?;
    let kernels = fold.kernels(&best);
    let eye = fold.eye(best_scale);
    let after = eye.see(&fold.deposited(&kernels));
    let before = fold.eye(1.0).see(&fold.deposited(&[]));
    let replica = |stored: &Vec<StoredEnergy>| -> Result<Vec<f64>, Error> {
        let scale = detector.scale(responses, stored)?;
        let deposited = fold.deposited(&fold.kernels(stored));
        Ok(if scale == best_scale { eye.see(&deposited) } else { fold.eye(scale).see(&deposited) })
    };
    let replicas: Vec<Vec<f64>> = responses.replicas().par_iter().map(replica).collect::<Result<_, _>>()?;
    let ratios: Vec<Vec<f64>> = replicas.iter().map(|after| ratio(after, &before)).collect();
    Ok(DetectedSpectrum {
        after_error: fold.errors(&kernels, &eye),
        after_band: band_by_bin(&replicas, after.len()),
        ratio: ratio(&after, &before),
        ratio_band: band_by_bin(&ratios, after.len()),
        conservation_error: fold.conservation_error(&kernels, &eye),
        convergence_error,
        kept_share: after.iter().sum::<f64>() / recoils.total(),
        internal_bin_ev: fold.grid.width_ev,
        calibration_scale: best_scale,
        before,
        after,
    })
}

#[cfg(test)]
mod tests;
