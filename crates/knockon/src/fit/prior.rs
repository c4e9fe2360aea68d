//! What is believed about the coefficients before any data, in physical terms.
//!
//! The unknowns are x = mean + basis z with z independent standard Gaussians. Sharing coefficients between central
//! species is part of the basis: the same z moves the coefficients of all species.
//!
//! Two-body functions are Gaussian processes: the coefficients c of the kernels at distances z_p have the covariance
//! s(z_p) s(z_q) exp(-(z_p - z_q)^2 / (2 l^2)), normalised so that the deviation of the function itself is s(r). Its
//! mean is the screened nuclear repulsion, faded out smoothly. Where there are no data the function therefore stays
//! repulsive and smooth. Bispectrum coefficients are independent, and so are charges, responses and dipoles; their deviations give
//! every component a share of the forces that falls with its angular momenta, because high ones describe rapid variation. Similarities are
//! a Gaussian process of the environments, with their own kernels as covariance.

use super::factor::{Factor, Matrix, PriorPath, inverse_square_root, square_root};
use super::settings::{PairPrior, Settings};
use super::stream::Unknowns;
use crate::checks::DataDistances;
use crate::potential::{Model, PairTerm, Sharing, Similarity, basis_function, component_triples, pair_index};
use crate::{Error, Species};
use std::ops::Range;

/// Deviation in eV per atom that leaves the intercepts to the data.
const FREE_EV_PER_ATOM: f64 = 100.0;

/// x = mean + basis z.
pub struct Prior {
    /// Most likely unknowns.
    pub mean: Vec<f64>,
    /// One column per z.
    pub(super) basis: Matrix,
}

impl Prior {
    /// The problem of some rows in the unknowns z, decomposed.
    pub fn decompose(&self, rows: &Factor) -> Result<PriorPath, Error> {
        PriorPath::new(rows, &self.mean, &self.basis)
    }

    /// The prior of one variant of a model without coefficients. `force_rms` is the size of each column over the data; `energy_ev_per_atom` the mean
    /// of the intercepts.
    pub fn new(
        settings: &Settings,
        model: &Model,
        unknowns: &Unknowns,
        sharing: Sharing,
        force_rms: &[f64],
        energy_ev_per_atom: f64,
        repulsion: &Repulsion,
    ) -> Result<Self, Error> {
        let mut builder = Builder { mean: vec![0.0; unknowns.len()], columns: Vec::new() };
        let n_species = model.central.len();
        let sets: Vec<Vec<usize>> = match sharing {
            Sharing::Shared => vec![(0..n_species).collect()],
            Sharing::PerSpecies => (0..n_species).map(|s| vec![s]).collect(),
        };
        for set in &sets {
            builder.intercepts(unknowns, set, energy_ev_per_atom);
            builder.many_body(settings, model, unknowns, set, force_rms);
        }
        let species = model.species();
        if let Some(term) = &model.pair {
            for a in 0..n_species {
                for b in a..n_species {
                    let columns = unknowns.columns.pair(pair_index(a, b, n_species));
                    let (mean, root) = pair_prior(term, [species[a], species[b]], &settings.prior.pair, repulsion)?;
                    builder.mean[columns.clone()].copy_from_slice(&mean);
                    builder.block(columns.start, &root);
                }
            }
        }
        if let Some(prior) = &settings.prior.similarity {
            for (species, central) in model.central.iter().enumerate() {
                let Some(similarity) = &central.similarity else { continue };
                let root = similarity_prior(similarity, prior.energy_ev_per_atom)?;
                builder.block(unknowns.columns.similarities(species).start, &root);
            }
        }
        if let Some(prior) = &settings.prior.electrostatic {
            let columns = unknowns.columns.charges().start..unknowns.columns.len();
            builder.forces(columns, prior.force_ev_per_angstrom, force_rms);
        }
        let kinds = (0..unknowns.n_kind_offsets()).map(|_| settings.prior.offset_ev_per_atom);
        let per_species = std::iter::repeat(settings.prior.offset_per_species_ev.unwrap_or(0.0));
        for (row, deviation) in (unknowns.columns.len()..unknowns.len()).zip(kinds.chain(per_species)) {
            builder.columns.push(vec![(row, deviation)]);
        }
        let mut basis = Matrix::zeros(unknowns.len(), builder.columns.len());
        for (column, entries) in builder.columns.iter().enumerate() {
            for (row, value) in entries {
                basis[(*row, column)] = *value;
            }
        }
        Ok(Self { mean: builder.mean, basis })
    }

    /// Number of free parameters.
    pub fn n_parameters(&self) -> usize {
        self.basis.ncols()
    }
}

/// Collects columns of the basis as lists of (unknown, value).
struct Builder {
    mean: Vec<f64>,
    columns: Vec<Vec<(usize, f64)>>,
}

impl Builder {
    fn intercepts(&mut self, unknowns: &Unknowns, set: &[usize], energy_ev_per_atom: f64) {
        let rows = set.iter().map(|s| unknowns.columns.intercept(*s));
        rows.clone().for_each(|row| self.mean[row] = energy_ev_per_atom);
        self.columns.push(rows.map(|row| (row, FREE_EV_PER_ATOM)).collect());
    }

    fn many_body(&mut self, settings: &Settings, model: &Model, unknowns: &Unknowns, set: &[usize], force_rms: &[f64]) {
        let prior = &settings.prior.many_body;
        let triples = component_triples(model.many_body.two_j_max);
        for channel in 0..model.n_channels() {
            for (component, triple) in triples.iter().enumerate() {
                let rows: Vec<usize> =
                    set.iter().map(|s| unknowns.columns.many_body(*s, channel).start + component).collect();
                let size = rows.iter().map(|row| force_rms[*row].powi(2)).sum::<f64>().sqrt();
                // The triple holds doubled angular momenta.
                let j_sum = 0.5 * triple.iter().map(|l| *l as f64).sum::<f64>();
                let force = prior.force_ev_per_angstrom * (-prior.decay * j_sum).exp();
                let deviation = if size > 0.0 { force / size } else { 0.0 };
                self.columns.push(rows.into_iter().map(|row| (row, deviation)).collect());
            }
        }
    }

    /// Independent unknowns, each of which may contribute forces of this size.
    fn forces(&mut self, rows: Range<usize>, force_ev_per_angstrom: f64, force_rms: &[f64]) {
        for row in rows {
            let deviation = if force_rms[row] > 0.0 { force_ev_per_angstrom / force_rms[row] } else { 0.0 };
            self.columns.push(vec![(row, deviation)]);
        }
    }

    fn block(&mut self, first_row: usize, root: &Matrix) {
        for column in 0..root.ncols() {
            self.columns.push((0..root.nrows()).map(|row| (first_row + row, root[(row, column)])).collect());
        }
    }
}

/// The repulsion that is expected of each pair in the absence of data.
pub struct Repulsion {
    fade_angstrom: f64,
    pairs: Vec<SilentRanges>,
}

/// Where the data say nothing about a pair that repels.
struct SilentRanges {
    pair: [Species; 2],
    /// The shortest distance in the data, or where the kernels begin, whichever is longer.
    data_begin_angstrom: f64,
    /// Gaps between data, up to the closest distance in the crystal.
    gaps_angstrom: Vec<Range<f64>>,
}

impl Repulsion {
    /// `data` says which distances the data hold, `crystal` which ones the undisturbed crystal does.
    pub fn new(settings: &Settings, data: &DataDistances, crystal: &DataDistances) -> Self {
        let (species, pair) = (&settings.model.species, &settings.model.pair);
        let pairs = (0..species.len()).flat_map(|a| (a..species.len()).map(move |b| [species[a], species[b]]));
        let silent = |p: [Species; 2]| {
            let data_begin_angstrom = data.shortest_angstrom(p).unwrap_or(0.0).max(pair.outer_angstrom);
            let bond_angstrom = crystal.shortest_angstrom(p).unwrap_or(0.0);
            SilentRanges {
                pair: p,
                data_begin_angstrom,
                gaps_angstrom: data.gaps(p, data_begin_angstrom..bond_angstrom),
            }
        };
        Self { fade_angstrom: settings.prior.pair.repulsion_fade_angstrom, pairs: pairs.map(silent).collect() }
    }

    fn of(&self, pair: [Species; 2]) -> Option<&SilentRanges> {
        self.pairs.iter().find(|p| p.pair == pair || p.pair == [pair[1], pair[0]])
    }

    /// The shortest distance of a pair in the data, or where the kernels begin, whichever is longer.
    pub fn data_begin_angstrom(&self, pair: [Species; 2]) -> f64 {
        self.of(pair).map_or(0.0, |p| p.data_begin_angstrom)
    }

    /// Gaps between the data of a pair, up to its closest distance in the crystal.
    pub fn gaps_angstrom(&self, pair: [Species; 2]) -> &[Range<f64>] {
        self.of(pair).map_or(&[], |p| &p.gaps_angstrom)
    }

    /// Energy in eV: ZBL up to `outer_angstrom`, from there on multiplied by a step with zero slope and curvature at
    /// both ends.
    pub fn energy_ev(&self, term: &PairTerm, pair: [Species; 2], r: f64) -> f64 {
        let end = self.data_begin_angstrom(pair) + self.fade_angstrom;
        let t = ((r - term.outer_angstrom) / (end - term.outer_angstrom)).clamp(0.0, 1.0);
        let step = 1.0 - t * t * t * (10.0 - t * (15.0 - 6.0 * t));
        step * term.zbl.evaluate(pair[0], pair[1], r)[0]
    }
}

/// A square root of the covariance of the coefficients of similarities: that of a Gaussian process with the kernels K as covariance,
/// which the references carry (deterministic training conditional), deviation^2 K^-1. Kernels as wide as the data are much alike: sums of
/// them that are small at all references are left out, so that there may be fewer parameters than references.
fn similarity_prior(similarity: &Similarity, deviation_ev: f64) -> Result<Matrix, Error> {
    let references = &similarity.references;
    let square = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
    let kernels = Matrix::from_fn(references.len(), references.len(), |a, b| {
        (-0.5 * square(&references[a], &references[b])).exp()
    });
    let root = inverse_square_root(kernels.as_ref(), LEAST_SHARE * references.len() as f64)?;
    Ok(Matrix::from_fn(root.nrows(), root.ncols(), |row, column| deviation_ev * root[(row, column)]))
}

/// A function of similarities whose mean square at the references is less than this share of the expected one (root mean square: a
/// thousandth) is left out.
const LEAST_SHARE: f64 = 1e-6;

/// Mean of the coefficients of one pair and a square root of their covariance.
fn pair_prior(
    term: &PairTerm,
    species: [Species; 2],
    prior: &PairPrior,
    repulsion: &Repulsion,
) -> Result<(Vec<f64>, Matrix), Error> {
    let repulsion = |r: f64| repulsion.energy_ev(term, species, r.max(term.outer_angstrom));
    let deviation =
        |r: f64| (prior.relative * repulsion(r)).hypot(prior.amplitude_ev * (-r / prior.decay_angstrom).exp());
    let mean = project(term, repulsion)?;
    let centers = &term.centers_angstrom;
    let correlation = |a: f64, b: f64| (-0.5 * ((a - b) / prior.smoothness_angstrom).powi(2)).exp();
    let norm = function_variance(term, correlation);
    let n = centers.len();
    let covariance = Matrix::from_fn(n, n, |p, q| {
        let (a, b) = (centers[p], centers[q]);
        deviation(a) * deviation(b) * correlation(a, b) / norm
    });
    Ok((mean, square_root(covariance.as_ref())?))
}

/// Coefficients whose function follows `target` from `outer_angstrom` to the cutoff.
fn project(term: &PairTerm, target: impl Fn(f64) -> f64) -> Result<Vec<f64>, Error> {
    let n = term.centers_angstrom.len();
    let mut factor = Factor::new(n);
    let steps = 400;
    for k in 0..steps {
        let r = term.outer_angstrom + (term.cutoff_angstrom - term.outer_angstrom) * f64::from(k) / f64::from(steps);
        // Deviations matter relative to the repulsion where it is strong, and absolutely where it has died out.
        let weight = 1.0 / (0.02 + 0.01 * target(r).abs());
        factor.push(term.centers_angstrom.iter().map(|z| weight * basis_function(term, *z, r)[0]), weight * target(r));
    }
    let path = PriorPath::new(&factor, &vec![0.0; n], &Matrix::identity(n, n))?;
    Ok(path.solve(1e-3))
}

/// Variance of a function with unit deviations in the middle of the kernels, where the taper is left out.
fn function_variance(term: &PairTerm, correlation: impl Fn(f64, f64) -> f64) -> f64 {
    let centers = &term.centers_angstrom;
    let middle = 0.5 * (centers[0] + centers[centers.len() - 1]);
    let kernel = |z: f64| (-0.5 * ((middle - z) / term.sigma_angstrom).powi(2)).exp();
    let mut sum = 0.0;
    for a in centers {
        for b in centers {
            sum += kernel(*a) * kernel(*b) * correlation(*a, *b);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::potential::{CutoffSwitch, Zbl, pair_function};

    fn term() -> PairTerm {
        PairTerm {
            cutoff_angstrom: 4.8,
            taper_start_angstrom: 3.8,
            cutoff_switch: CutoffSwitch::default(),
            centers_angstrom: (0..30).map(|k| 1.1 + 3.7 * f64::from(k) / 29.0).collect(),
            sigma_angstrom: 0.2,
            inner_angstrom: 1.0,
            outer_angstrom: 1.3,
            zbl: Zbl::default(),
            pairs: vec![],
        }
    }

    fn prior() -> PairPrior {
        PairPrior {
            repulsion_fade_angstrom: 1.0,
            relative: 0.3,
            amplitude_ev: 5.0,
            decay_angstrom: 1.0,
            smoothness_angstrom: 0.3,
        }
    }

    fn repulsion(pair: [Species; 2]) -> Repulsion {
        let silent = SilentRanges { pair, data_begin_angstrom: 1.3, gaps_angstrom: vec![] };
        Repulsion { fade_angstrom: 1.0, pairs: vec![silent] }
    }

    /// Without any data the pair is repulsive from 0.3 angstrom to the end of the repulsion and nearly zero beyond.
    #[test]
    fn mean_is_a_smooth_repulsion() {
        let term = term();
        for symbols in [["W", "W"], ["O", "O"], ["Ca", "W"]] {
            let species = symbols.map(|s| Species::from_symbol(s).unwrap());
            let (mean, _) = pair_prior(&term, species, &prior(), &repulsion(species)).unwrap();
            let mut last = f64::INFINITY;
            for k in 0..195 {
                let r = 0.3 + 0.01 * f64::from(k);
                let [value, ..] = pair_function(&term, species, &mean, r);
                assert!(value < last + 0.02, "{symbols:?}: {value} eV at {r} A after {last} eV");
                last = value;
            }
            for k in 0..240 {
                let [value, ..] = pair_function(&term, species, &mean, 2.4 + 0.01 * f64::from(k));
                assert!(value.abs() < 0.3, "{symbols:?}: {value}");
            }
        }
    }

    /// The deviation of the function is what the settings ask for, and neighbouring values are correlated.
    #[test]
    fn deviation_of_the_function_is_as_asked() {
        let term = term();
        let species = ["Ca", "Ca"].map(|s| Species::from_symbol(s).unwrap());
        let (_, root) = pair_prior(&term, species, &prior(), &repulsion(species)).unwrap();
        let sensitivity = |r: f64| -> Vec<f64> {
            (0..root.ncols())
                .map(|c| (0..30).map(|p| root[(p, c)] * basis_function(&term, term.centers_angstrom[p], r)[0]).sum())
                .collect()
        };
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        for r in [2.6, 3.0, 3.5] {
            let at = sensitivity(r);
            let expected = 5.0 * (-r).exp();
            let found = product(&at, &at).sqrt();
            assert!((found / expected - 1.0).abs() < 0.1, "{found} {expected} at {r}");
            let near = sensitivity(r + 0.05);
            let correlation = product(&at, &near) / (found * product(&near, &near).sqrt());
            assert!(correlation > 0.98, "{correlation}");
        }
    }
}
