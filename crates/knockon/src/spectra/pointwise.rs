//! Spectra at the energies that somebody asked for, before any effect of the crystal: rates of halo dark matter and reactor
//! neutrinos per element, and recoils after neutron capture, with a constant resolution if wanted.

use super::capture::Capture;
use super::detector::check_resolution;
use super::fold::{Grid, RecoilSpectrum, observe};
use super::materials::{Element, Material};
use crate::Error;
use crate::math::{gauss_legendre, normal_cdf, normal_density};
use rayon::prelude::*;

const REMEDY: &str = "Give ascending energies in eV: on the command line a list 10,100 or a range start:stop:step";

/// Energies from a list `10,100` or a range `start:stop:step` (eV, both ends included): finite, 0 or more, ascending.
pub fn parse_energies(text: &str) -> Result<Vec<f64>, Error> {
    let bad = |problem: String| Error::input("energies", problem, REMEDY);
    let number = |part: &str| {
        let value = part.trim().parse::<f64>().ok().filter(|v| v.is_finite() && *v >= 0.0);
        value.ok_or_else(|| bad(format!("expected energies of 0 or more, found \"{}\"", part.trim())))
    };
    let energies = if text.contains(':') {
        let parts = text.split(':').map(number).collect::<Result<Vec<f64>, Error>>()?;
        let &[start, stop, step] = parts.as_slice() else {
            return Err(bad(format!("expected three numbers in a range, found {}", parts.len())));
        };
        let steps = ((stop - start) / step + 1e-9).floor();
        if !(step > 0.0 && (0.0..=1e6).contains(&steps)) {
            return Err(bad(format!("expected stop >= start and at most 1000000 steps, found {text}")));
        }
        (0..=steps as usize).map(|i| start + i as f64 * step).collect()
    } else {
        text.split(',').map(number).collect::<Result<Vec<f64>, Error>>()?
    };
    check_energies(&energies)?;
    Ok(energies)
}

/// Refuses energies unless they are finite, 0 or more and ascending.
pub fn check_energies(energies_ev: &[f64]) -> Result<(), Error> {
    let bad = |problem| Err(Error::input("energies", problem, REMEDY));
    if let Some(energy) = energies_ev.iter().find(|e| !(e.is_finite() && **e >= 0.0)) {
        return bad(format!("expected energies of 0 or more, found {energy}"));
    }
    match energies_ev.windows(2).find(|pair| pair[1] <= pair[0]) {
        Some(pair) => bad(format!("expected ascending energies, found {} after {}", pair[1], pair[0])),
        None => Ok(()),
    }
}

/// A rate by element, in counts per kg of crystal, day and keV.
#[derive(Clone, Debug)]
pub struct ElementRate {
    /// Chemical symbol.
    pub symbol: &'static str,
    /// Rate at each energy.
    pub rate_per_kev_kg_day: Vec<f64>,
}

/// Rates of every element of a crystal at `energies_ev`; `rate` gives counts per keV, day and kg of the element at a
/// recoil energy in eV.
pub fn rates_by_element(
    material: &Material,
    energies_ev: &[f64],
    resolution_ev: f64,
    rate: impl Fn(&Element, f64) -> f64 + Sync,
) -> Result<Vec<ElementRate>, Error> {
    check_resolution("resolution_ev", resolution_ev)?;
    let of = |(element, share): (&'static Element, f64)| ElementRate {
        symbol: element.symbol,
        rate_per_kev_kg_day: smeared(energies_ev, resolution_ev, |e| share * rate(element, e)),
    };
    Ok(material.composition.iter().map(|(e, _)| *e).zip(material.mass_fractions()).map(of).collect())
}

/// `rate` at `energies`, convolved with a Gaussian of standard deviation `sigma` (0: none). Recoils start at 0.
fn smeared(energies: &[f64], sigma: f64, rate: impl Fn(f64) -> f64 + Sync) -> Vec<f64> {
    if sigma == 0.0 {
        return energies.par_iter().map(|e| rate(*e)).collect();
    }
    // Panels of half a standard deviation: the rule below integrates a Gaussian over them to 1e-12.
    const REACH: f64 = 9.0;
    let rule = gauss_legendre(6);
    let width = 0.5 * sigma;
    let highest = energies.last().copied().unwrap_or(0.0) + REACH * sigma;
    let close = |low: f64| {
        let next = energies.partition_point(|e| *e < low - REACH * sigma);
        energies.get(next).is_some_and(|e| *e <= low + width + REACH * sigma)
    };
    let panels: Vec<f64> =
        (0..(highest / width).ceil() as usize).map(|i| i as f64 * width).filter(|low| close(*low)).collect();
    let nodes: Vec<(f64, f64)> = panels
        .par_iter()
        .flat_map_iter(|low| rule.iter().map(move |(x, w)| (low + 0.5 * width * (1.0 + x), 0.5 * width * w)))
        .map(|(energy, weight)| (energy, weight * rate(energy)))
        .collect();
    let at = |energy: &f64| {
        let first = nodes.partition_point(|n| n.0 < energy - REACH * sigma);
        let near = nodes[first..].iter().take_while(|n| n.0 <= energy + REACH * sigma);
        near.map(|(e, content)| content * normal_density((energy - e) / sigma) / sigma).sum()
    };
    energies.par_iter().map(at).collect()
}

/// Recoils after neutron capture at some energies.
#[derive(Clone, Debug)]
pub struct CaptureRate {
    /// All captures.
    pub rate_per_ev_per_capture: Vec<f64>,
    /// Statistical error of the simulated part, one standard deviation.
    pub error_per_ev_per_capture: Vec<f64>,
    /// Captures whose first gamma ray is tabulated.
    pub tabulated_per_ev_per_capture: Vec<f64>,
    /// Captures whose first gamma ray is statistical; zero where they are switched off.
    pub statistical_per_ev_per_capture: Vec<f64>,
    /// Recoils at all energies, per capture: 1 but for those that are dropped.
    pub recoils_per_capture: f64,
}

/// Recoils per eV and capture in natural tungsten, each the mean over an interval that ends halfway to the neighbouring
/// energies: lines have no height, so a single energy needs a resolution.
pub fn capture_rate(capture: &Capture, energies_ev: &[f64]) -> Result<CaptureRate, Error> {
    capture.validate()?;
    if energies_ev.len() < 2 && capture.resolution_ev == 0.0 {
        return Err(Error::input(
            "energies",
            "expected two or more energies, found one: lines without width have no rate at an energy",
            "Give a range start:stop:step, or a resolution (resolution_ev)",
        ));
    }
    // Above the kinematic maximum of 160.4 eV there is nothing.
    let grid = Grid { width_ev: 0.05, n_bins: 3400 };
    let recoils = capture.recoils(grid)?;
    let intervals = intervals(energies_ev);
    let see = |spectrum: &RecoilSpectrum| -> Vec<f64> {
        let seen = |&(low, high): &(f64, f64)| {
            observe(spectrum, capture.resolution_ev, &[low, high])[0].max(0.0) / (high - low)
        };
        intervals.par_iter().map(seen).collect()
    };
    let (tabulated, statistical) = (see(&recoils.tabulated), see(&recoils.statistical));
    let simulated = |bin: usize| recoils.tabulated.bins[bin] + recoils.statistical.bins[bin];
    let error = |&(low, high): &(f64, f64)| -> f64 {
        let variance: f64 = (0..grid.n_bins)
            .map(|bin| {
                let share = share_inside([low, high], grid.edges(bin), capture.resolution_ev);
                recoils.each * simulated(bin) * share.powi(2)
            })
            .sum();
        variance.sqrt() / (high - low)
    };
    Ok(CaptureRate {
        rate_per_ev_per_capture: tabulated.iter().zip(&statistical).map(|(t, s)| t + s).collect(),
        error_per_ev_per_capture: intervals.par_iter().map(error).collect(),
        tabulated_per_ev_per_capture: tabulated,
        statistical_per_ev_per_capture: statistical,
        recoils_per_capture: recoils.tabulated.total() + recoils.statistical.total(),
    })
}

/// Share of the recoils of a bin that is seen between `low` and `high`. Bins are far narrower than any resolution: points in their
/// middles then.
fn share_inside([low, high]: [f64; 2], bin: (f64, f64), sigma: f64) -> f64 {
    if sigma > 0.0 {
        let middle = 0.5 * (bin.0 + bin.1);
        normal_cdf((high - middle) / sigma) - normal_cdf((low - middle) / sigma)
    } else {
        (high.min(bin.1) - low.max(bin.0)).max(0.0) / (bin.1 - bin.0)
    }
}

/// Intervals around ascending energies, halfway to the neighbours; at the ends as wide as the gap there. One energy alone
/// gets 0.01 eV.
fn intervals(energies: &[f64]) -> Vec<(f64, f64)> {
    let edges = super::edges_around(energies, 0.01);
    edges.windows(2).map(|e| (e[0], e[1])).collect()
}

#[cfg(test)]
mod tests {
    use super::super::dark_matter::DarkMatter;
    use super::*;

    #[test]
    fn energies_are_lists_or_ranges() {
        assert_eq!(parse_energies("10, 100").unwrap(), [10.0, 100.0]);
        assert_eq!(parse_energies("0:0.3:0.1").unwrap().len(), 4);
        assert_eq!(parse_energies("5:5:1").unwrap(), [5.0]);
        for bad in ["", "10,", "100,10", "1:2", "1:2:0", "2:1:1", "-1", "nan", "1:2:3:4", "0:1e9:1e-9"] {
            let message = parse_energies(bad).unwrap_err().to_string();
            assert!(message.contains("start:stop:step"), "{bad}: {message}");
        }
    }

    /// An exponential smeared by a Gaussian is a shifted exponential far from its end.
    #[test]
    fn smearing_is_a_convolution() {
        let found = smeared(&[60.0, 100.0], 5.0, |e| (-e / 40.0).exp());
        for (value, energy) in found.iter().zip([60.0, 100.0]) {
            let expected = (-energy / 40.0f64 + 25.0 / 3200.0).exp();
            assert!((value / expected - 1.0).abs() < 1e-10, "{value} {expected}");
        }
        let half = smeared(&[0.0], 2.0, |_| 1.0)[0];
        assert!((half - 0.5).abs() < 1e-10, "{half}");
    }

    #[test]
    fn check_values_of_the_crystal() {
        let material = Material::from_formula("CaWO4").unwrap();
        let halo = DarkMatter::default();
        let rates =
            rates_by_element(&material, &[10.0, 100.0], 0.0, |e, energy| halo.rate_per_kev_kg_day(e, energy)).unwrap();
        for (row, expected) in [5.414e6, 6.853e5].into_iter().enumerate() {
            let total: f64 = rates.iter().map(|r| r.rate_per_kev_kg_day[row]).sum();
            assert!((total / expected - 1.0).abs() < 1e-3, "{total}");
        }
        assert!(rates_by_element(&material, &[1.0], -1.0, |_, _| 0.0).is_err());
    }

    #[test]
    fn capture_peaks_and_end_point() {
        let capture = Capture { resolution_ev: 0.0, captures: 50_000, ..Capture::default() };
        let energies = parse_energies("0:200:0.02").unwrap();
        let rate = capture_rate(&capture, &energies).unwrap().rate_per_ev_per_capture;
        let peak = |low: f64, high: f64| {
            let inside = energies.iter().zip(&rate).filter(|(e, _)| **e > low && **e < high);
            *inside.max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0
        };
        assert!((peak(112.0, 120.0) - 112.44).abs() < 0.05, "{}", peak(112.0, 120.0));
        assert!((peak(158.0, 170.0) - 160.27).abs() < 0.05);
        assert!(energies.iter().zip(&rate).all(|(e, r)| *e < 160.4 || *r == 0.0));
        let total: f64 = rate.iter().sum::<f64>() * 0.02;
        assert!((total - 1.0).abs() < 1e-4, "{total}");
        assert!(capture_rate(&capture, &[112.0]).is_err());
        let smeared = capture_rate(&Capture { resolution_ev: 5.0, ..capture }, &[112.3]).unwrap();
        assert!(smeared.tabulated_per_ev_per_capture[0] > 0.0415 * 0.9 / (5.0 * 2.5066), "{smeared:?}");
    }

    /// The reported error is the spread of spectra with different seeds, with and without a resolution.
    #[test]
    fn capture_errors_are_the_spread_of_seeds() {
        for (resolution_ev, energies) in [(0.0, [20.0, 30.0]), (5.0, [25.0, 26.0])] {
            let with = |seed| Capture { resolution_ev, captures: 2000, seed, ..Capture::default() };
            let rates: Vec<CaptureRate> = (0..100).map(|seed| capture_rate(&with(seed), &energies).unwrap()).collect();
            let values: Vec<f64> = rates.iter().map(|r| r.rate_per_ev_per_capture[0]).collect();
            let mean = values.iter().sum::<f64>() / 100.0;
            let spread = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 99.0).sqrt();
            let reported = rates.iter().map(|r| r.error_per_ev_per_capture[0]).sum::<f64>() / 100.0;
            // Openings taken in proportion make the spread a little smaller than that of independent captures.
            assert!((0.7..1.15).contains(&(spread / reported)), "{resolution_ev}: {spread} {reported}");
        }
    }
}
