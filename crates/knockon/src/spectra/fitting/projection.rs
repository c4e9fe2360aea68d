//! From parameters to expected counts in the bins of a measured spectrum, with derivatives.

use super::super::detector::Detector;
use super::super::eye::{Eye, Fineness};
use super::super::fold::{Grid, RecoilSpectrum, StorageKernel};
use super::likelihood::{Expectation, central_difference};
use super::made::{Eyes, Truths, nodes};
use super::model::{Component, Model};
use crate::Error;
use crate::response::{Responses, StoredEnergy};
use std::sync::Arc;

/// A model seen through one set of numbers of each response (or none) and a detector.
pub(super) struct Projection<'a> {
    model: &'a Model,
    responses: &'a Responses,
    /// In the order of the responses; empty where nothing is stored.
    stored: Vec<StoredEnergy<'a>>,
    kernels: Vec<StorageKernel<'a>>,
    detector: &'a Detector,
    edges: &'a [f64],
    grid: Grid,
    fineness: Fineness,
    /// Of each component, at the shape it had last: what arrives before the detector.
    deposited: Vec<Option<(Vec<f64>, RecoilSpectrum)>>,
    /// Energies of the lines of the component that has some: one at most, neutron capture.
    lines_ev: Vec<f64>,
    /// These two may be those of other projections as well.
    eyes: Arc<Eyes>,
    truths: Arc<Truths>,
    /// Whether the resolution is interpolated, not met exactly.
    interpolated: bool,
}

impl<'a> Projection<'a> {
    pub(super) fn new(
        model: &'a Model,
        responses: &'a Responses,
        stored: &[StoredEnergy<'a>],
        detector: &'a Detector,
        edges: &'a [f64],
        (grid, fineness): (Grid, Fineness),
    ) -> Self {
        let kernels = stored.iter().map(|s| StorageKernel::new(*s, grid)).collect();
        let deposited = vec![None; model.components.len()];
        Self {
            model,
            responses,
            stored: stored.to_vec(),
            kernels,
            detector,
            edges,
            grid,
            fineness,
            deposited,
            lines_ev: Vec::new(),
            eyes: Arc::default(),
            truths: Arc::default(),
            interpolated: false,
        }
    }

    /// For fits: what others have made, and a resolution that is interpolated if it is one of many.
    pub(super) fn sharing(self, eyes: Arc<Eyes>, truths: Arc<Truths>, interpolated: bool) -> Self {
        Self { eyes, truths, interpolated, ..self }
    }

    /// Expected counts of each component, scales included.
    pub(super) fn components(&mut self, values: &[f64]) -> Result<Vec<Vec<f64>>, Error> {
        let model = self.model;
        let each = model.components.iter().enumerate().map(|(index, component)| {
            let unit = self.unit(index, component, values)?;
            Ok(unit.iter().map(|c| c * values[component.first]).collect())
        });
        each.collect()
    }

    /// Expected counts, and derivatives by the parameters of the indices `free`.
    pub(super) fn expect(&mut self, values: &[f64], free: &[usize]) -> Result<Expectation, Error> {
        let model = self.model;
        let mut counts = vec![0.0; self.edges.len() - 1];
        let mut derivatives = vec![Vec::new(); free.len()];
        for (index, component) in model.components.iter().enumerate() {
            let unit = self.unit(index, component, values)?;
            counts.iter_mut().zip(&unit).for_each(|(c, u)| *c += values[component.first] * u);
            for (row, parameter) in free.iter().enumerate() {
                if *parameter == component.first {
                    derivatives[row].clone_from(&unit);
                } else if (component.first + 1..=component.first + component.n_shape).contains(parameter) {
                    derivatives[row] = self.difference(values, *parameter, |projection, at| {
                        let unit = projection.unit(index, component, at)?;
                        Ok(unit.iter().map(|u| u * at[component.first]).collect())
                    })?;
                }
            }
            // Differences moved the shape; the next call is likely to ask for it here again.
        }
        let resolution = values.len() - 1;
        if let Some(row) = free.iter().position(|p| *p == resolution) {
            derivatives[row] = self.difference(values, resolution, |projection, at| {
                let all = projection.components(at)?;
                let sum = |bin: usize| all.iter().map(|c| c[bin]).sum();
                Ok((0..projection.edges.len() - 1).map(sum).collect())
            })?;
        }
        Ok(Expectation { counts, derivatives })
    }

    /// Factor of the calibration at these values.
    pub(super) fn scale(&self, values: &[f64]) -> Result<f64, Error> {
        if self.stored.is_empty() { Ok(1.0) } else { self.seen_with(values).scale(self.responses, &self.stored) }
    }

    fn difference(
        &mut self,
        values: &[f64],
        parameter: usize,
        mut counts: impl FnMut(&mut Self, &[f64]) -> Result<Vec<f64>, Error>,
    ) -> Result<Vec<f64>, Error> {
        let bounds = self.model.parameters[parameter].bounds();
        central_difference(values, parameter, bounds, |at| counts(self, at))
    }

    /// The detector with the resolution of these values.
    fn seen_with(&self, values: &[f64]) -> Detector {
        let mut detector = self.detector.clone();
        detector.resolution.constant_ev = values[values.len() - 1];
        detector
    }

    /// Counts of a component of scale 1.
    fn unit(&mut self, index: usize, component: &Component, values: &[f64]) -> Result<Vec<f64>, Error> {
        let shape = &values[component.first + 1..=component.first + component.n_shape];
        let made = self.deposited[index].as_ref().is_some_and(|(of, _)| of == shape);
        if !made {
            let deposited = self.deposit(index, component, shape)?;
            if !deposited.lines.is_empty() {
                self.lines_ev = deposited.lines.iter().map(|line| line.energy_ev).collect();
            }
            self.deposited[index] = Some((shape.to_vec(), deposited));
        }
        let Some((_, deposited)) = &self.deposited[index] else { return Ok(Vec::new()) };
        let resolution_ev = values[values.len() - 1];
        if !self.interpolated {
            return Ok(self.eye(values, resolution_ev)?.see(deposited));
        }
        let mut seen = vec![0.0; self.edges.len() - 1];
        for (node_ev, weight) in nodes(resolution_ev) {
            let at_node = self.eye(values, node_ev)?.see(deposited);
            seen.iter_mut().zip(at_node).for_each(|(s, p)| *s += weight * p);
        }
        Ok(seen)
    }

    /// What a detector of this resolution does to internal bins and lines.
    fn eye(&self, values: &[f64], resolution_ev: f64) -> Result<Arc<Eye>, Error> {
        self.eyes.get((resolution_ev.to_bits(), self.lines_ev.len()), || {
            let values = [&values[..values.len() - 1], &[resolution_ev]].concat();
            let (scale, detector) = (self.scale(&values)?, self.seen_with(&values));
            Ok(Eye::new(self.grid, &self.lines_ev, scale, self.edges, &detector, self.fineness))
        })
    }

    fn deposit(&self, index: usize, component: &Component, shape: &[f64]) -> Result<RecoilSpectrum, Error> {
        let truth = self.truths.of(index, shape, || self.model.truth(component, shape, self.grid, self.responses))?;
        let deposited = truth.iter().map(|part| match part.response.and_then(|index| self.kernels.get(index)) {
            Some(kernel) => kernel.apply(&part.recoils),
            None => part.recoils.clone(),
        });
        Ok(RecoilSpectrum::sum(self.grid, deposited))
    }
}

/// Counts in bins, those of lines included that are not above them.
pub(super) fn in_bins(spectrum: RecoilSpectrum) -> Vec<f64> {
    let mut bins = spectrum.bins;
    for line in &spectrum.lines {
        if let Some(bin) = bins.get_mut((line.energy_ev / spectrum.grid.width_ev) as usize) {
            *bin += line.content;
        }
    }
    bins
}
