//! What environments are compared by, and with: coordinates and references of similarities, from the environments of the data.
//!
//! Around each species: bispectrum components in units of their deviations, those of high angular momenta weighted less, as their
//! coefficients are in the prior; of these the first principal components; among the environments those that lie farthest from each
//! other. Labels are not looked at, so that references of held-out configurations tell nothing of their energies and forces. In passes that
//! follow (`passes` of the settings) components are multiplied by what energies of the fit before depend on ([`super::relevance`]).

use super::factor::{Matrix, eigen, gram, product};
use super::relevance::relevance;
use super::settings::{Settings, SimilaritySettings};
use super::training_data::TrainingData;
use crate::potential::{Descriptors, Model, Similarity, component_triples};
use crate::{Error, NeighborList};
use rayon::prelude::*;

/// The model with the references that the settings ask for, in place of those that it has; their coefficients are zero.
pub fn with_references(model: Model, settings: &Settings, data: &TrainingData) -> Result<Model, Error> {
    let Some(similarity) = &settings.model.similarity else { return Ok(model) };
    let weights = component_weights(&model, settings.prior.many_body.decay);
    let environments = environments(&model, data)?;
    let mut model = model;
    for ((central, environments), n_references) in
        model.central.iter_mut().zip(environments).zip(&similarity.references)
    {
        let before = central.similarity.as_ref();
        let of_species = of_species(similarity, &weights, &environments, *n_references, before)?;
        central.similarity = Some(of_species.ok_or_else(|| {
            let (species, n) = (central.species, environments.len());
            let found = format!("expected environments of {species} that differ, found {n} that are all the same");
            let remedy =
                "Add labels with displaced atoms of this species, or leave out model.similarity and prior.similarity";
            Error::input("model.similarity", found, remedy)
        })?);
    }
    Ok(model.in_oldest_format())
}

/// For each component of all channels how much it counts, beside its deviation.
fn component_weights(model: &Model, decay: f64) -> Vec<f64> {
    // The triple holds doubled angular momenta.
    let weight = |triple: &[usize; 3]| (-decay * 0.5 * triple.iter().sum::<usize>() as f64).exp();
    let of_channel: Vec<f64> = component_triples(model.many_body.two_j_max).iter().map(weight).collect();
    of_channel.repeat(model.n_channels())
}

/// Components of the environments of all atoms, by species.
fn environments(model: &Model, data: &TrainingData) -> Result<Vec<Vec<Vec<f64>>>, Error> {
    let descriptors = Descriptors::new(model)?;
    let n = descriptors.n_many_body();
    let of_box = |c: &super::Configuration| {
        let neighbors = NeighborList::build(&c.atoms, descriptors.cutoff_angstrom());
        descriptors.map(&c.atoms, &neighbors, |central, descriptor| (central, descriptor[..n].to_vec()))
    };
    let boxes: Vec<Vec<(usize, Vec<f64>)>> = data.configurations.par_iter().map(of_box).collect::<Result<_, _>>()?;
    let mut by_species = vec![Vec::new(); model.central.len()];
    for (central, components) in boxes.into_iter().flatten() {
        by_species[central].push(components);
    }
    Ok(by_species)
}

/// Around one species, after a fit with those `before`; none if all environments are the same.
fn of_species(
    settings: &SimilaritySettings,
    weights: &[f64],
    environments: &[Vec<f64>],
    n_references: usize,
    before: Option<&Similarity>,
) -> Result<Option<Similarity>, Error> {
    let (n, number) = (weights.len(), environments.len() as f64);
    let mean: Vec<f64> = (0..n).map(|i| environments.iter().map(|e| e[i]).sum::<f64>() / number).collect();
    let variance = |i: usize| environments.iter().map(|e| (e[i] - mean[i]).powi(2)).sum::<f64>() / number;
    // What never varies, but for rounding, tells nothing.
    let scale = |i: usize| match variance(i).sqrt() {
        deviation if deviation > 1e-9 * mean[i].abs() => weights[i] / deviation,
        _ => 0.0,
    };
    let scales: Vec<f64> = (0..n).map(scale).collect();
    let scaled = Matrix::from_fn(environments.len(), n, |e, i| (environments[e][i] - mean[i]) * scales[i]);
    let metric =
        before.map_or_else(|| Ok(Matrix::identity(n, n)), |before| relevance(before, environments, &scales))?;
    let (vectors, values) = eigen(gram(&product(&scaled, &metric)).as_ref())?;
    let vectors = product(&metric, &vectors);
    // Eigenvalues ascend.
    let axes: Vec<usize> = (0..n).rev().take(settings.coordinates).collect();
    let total: f64 = axes.iter().map(|axis| values[*axis].max(0.0) / number).sum();
    let width = settings.width * total.sqrt();
    if environments.is_empty() || width == 0.0 {
        return Ok(None);
    }
    let row = |axis: &usize| (0..n).map(|i| (vectors[(i, *axis)] * scales[i] / width) as f32).collect::<Vec<f32>>();
    let projection: Vec<Vec<f32>> = axes.iter().map(row).collect();
    let mut similarity = Similarity { offset: vec![0.0; axes.len()], projection, ..Similarity::default() };
    similarity.offset = similarity.coordinates(&mean).iter().map(|x| -*x as f32).collect();
    let coordinates: Vec<Vec<f64>> = environments.par_iter().map(|e| similarity.coordinates(e)).collect();
    let single = |index: usize| coordinates[index].iter().map(|x| *x as f32).collect();
    similarity.references = farthest(&coordinates, n_references).into_iter().map(single).collect();
    similarity.coefficients_ev = vec![0.0; similarity.references.len()];
    Ok(Some(similarity))
}

/// The point that is closest to the origin, then each time the point farthest from all that were taken; as many as there are different
/// ones at most.
fn farthest(points: &[Vec<f64>], number: usize) -> Vec<usize> {
    let square = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let length = |point: &Vec<f64>| point.iter().map(|x| x * x).sum::<f64>();
    let mut next = (0..points.len()).min_by(|a, b| length(&points[*a]).total_cmp(&length(&points[*b])));
    let mut distances = vec![f64::INFINITY; points.len()];
    let mut taken = Vec::new();
    while let Some(index) = next.filter(|_| taken.len() < number) {
        taken.push(index);
        distances
            .par_iter_mut()
            .zip(points)
            .for_each(|(distance, p)| *distance = distance.min(square(p, &points[index])));
        next = (0..points.len())
            .max_by(|a, b| distances[*a].total_cmp(&distances[*b]).then(b.cmp(a)))
            .filter(|far| distances[*far] > SAME);
    }
    taken
}

/// Squared distances below this, in units of the width of the kernels, are those of environments that symmetry maps onto each other.
const SAME: f64 = 1e-10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_lie_far_from_each_other() {
        let points: Vec<Vec<f64>> = [0.1, 5.0, 0.2, -3.0, 4.9, 5.0].iter().map(|x| vec![*x, 0.0]).collect();
        assert_eq!(farthest(&points, 3), [0, 1, 3]);
        // The same point twice is one.
        assert_eq!(farthest(&points, 9), [0, 1, 3, 2, 4]);
    }
}
