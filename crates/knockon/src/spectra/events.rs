//! Events one by one: stored energy, resolution and trigger drawn at random, in this order.

use super::detector::Detector;
use super::user::BinnedSpectrum;
use crate::Error;
use crate::response::{Responses, StoredEnergy};
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;

/// One simulated event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// Recoil energy in eV.
    pub recoil_ev: f64,
    /// Energy stored in defects, eV.
    pub stored_ev: f64,
    /// Energy after stored energy, calibration and resolution, eV.
    pub measured_ev: f64,
    /// Whether the trigger kept it.
    pub triggered: bool,
}

/// Simulates recoils of the species of the only response, one event each.
pub fn simulate(
    recoils_ev: &[f64],
    responses: &Responses,
    detector: &Detector,
    seed: u64,
) -> Result<Vec<Event>, Error> {
    detector.validate()?;
    let best = responses.best();
    let scale = detector.scale(responses, &best)?;
    let stored = responses.of(None)?.map(|index| best[index]);
    let mut random = Pcg64::seed_from_u64(seed);
    Ok(recoils_ev.iter().map(|e| event(*e, stored, scale, detector, &mut random)).collect())
}

/// Draws `number` events from a binned spectrum, each bin being flat.
pub fn simulate_binned(
    spectrum: &BinnedSpectrum,
    number: usize,
    responses: &Responses,
    detector: &Detector,
    seed: u64,
) -> Result<Vec<Event>, Error> {
    detector.validate()?;
    let mut below = vec![0.0];
    let mut total = 0.0;
    for count in spectrum.parts.iter().flat_map(|p| &p.counts) {
        total += count;
        below.push(total);
    }
    if total <= 0.0 {
        return Err(Error::input("spectrum", "expected counts above 0 somewhere, found none", "Give another spectrum"));
    }
    let n_bins = spectrum.edges_ev.len() - 1;
    let best = responses.best();
    let scale = detector.scale(responses, &best)?;
    let stored: Vec<Option<StoredEnergy>> = spectrum
        .parts
        .iter()
        .map(|part| Ok(responses.of(part.species.as_deref())?.map(|index| best[index])))
        .collect::<Result<_, Error>>()?;
    let mut random = Pcg64::seed_from_u64(seed);
    let draw = |_| {
        let target = total * random.random::<f64>();
        let cell = below.partition_point(|b| *b <= target).clamp(1, below.len() - 1) - 1;
        let (part, bin) = (cell / n_bins, cell % n_bins);
        let inside = ((target - below[cell]) / (below[cell + 1] - below[cell])).clamp(0.0, 1.0);
        let (low, high) = (spectrum.edges_ev[bin], spectrum.edges_ev[bin + 1]);
        event(low + inside * (high - low), stored[part], scale, detector, &mut random)
    };
    Ok((0..number).map(draw).collect())
}

fn event(
    recoil_ev: f64,
    stored: Option<StoredEnergy>,
    scale: f64,
    detector: &Detector,
    random: &mut impl Rng,
) -> Event {
    let stored_ev = stored.map_or(0.0, |s| s.sample(recoil_ev, random));
    let deposited = scale * (recoil_ev - stored_ev);
    let noise: f64 = random.sample(StandardNormal);
    let measured_ev = deposited + detector.resolution.at(deposited) * noise;
    let triggered = random.random::<f64>() < detector.keeps(deposited, measured_ev);
    Event { recoil_ev, stored_ev, measured_ev, triggered }
}
