//! Energies by similarity: Gaussian kernels between an environment and reference environments of the training data.
//!
//! Bispectrum components multiply three densities at most. What depends on more of them is left to a function of all components of
//! an environment B, as in Gaussian approximation potentials (Bartok, Payne, Kondor, Csanyi, PRL 104, 136403 (2010)), in addition to all
//! other terms:
//!
//!   E = sum over references k of coefficient_k s_k,   s_k = exp(-|z - z_k|^2 / 2),   z = offset + projection B.
//!
//! The coordinates z are few; the fit chooses them such that the kernels have the width 1. Far from all references the energy vanishes.
//! Its derivative with respect to the components differs from atom to atom: it is added to the coefficients of the components, lane by
//! lane, and what follows is as for any coefficients (see [`super::bispectrum`]).

use super::bispectrum::{Bispectrum, Sink, Workspace};
use super::lanes::{Complex, ComplexLanes, LANES, Lanes, exp};
use super::model::{Model, expect};
use crate::Species;
use fearless_simd::{Level, Simd, SimdBase, SimdFloat, dispatch, f64x8};
use serde::{Deserialize, Serialize};

/// The part of one central species in the model file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Similarity {
    /// Added to the projected components, one number per coordinate.
    pub offset: Vec<f32>,
    /// For each coordinate one factor per component, by channel.
    pub projection: Vec<Vec<f32>>,
    /// Coordinates of each reference environment.
    pub references: Vec<Vec<f32>>,
    /// Energy in eV per unit of similarity to each reference.
    pub coefficients_ev: Vec<f64>,
}

impl Similarity {
    /// What does not fit, in words; with the number of components of the model.
    pub(super) fn check(&self, species: Species, n_components: usize) -> Result<(), String> {
        let n = self.offset.len();
        expect(self.projection.len() == n, || {
            let found = self.projection.len();
            format!(
                "expected for {species} {n} lists in similarity.projection, as many as numbers in offset, found {found}"
            )
        })?;
        for (name, lists, length) in
            [("projection", &self.projection, n_components), ("references", &self.references, n)]
        {
            let other = lists.iter().map(Vec::len).find(|found| *found != length);
            other.map_or(Ok(()), |found| {
                Err(format!(
                    "expected for {species} lists of {length} numbers in similarity.{name}, found one of {found}"
                ))
            })?;
        }
        let (expected, found) = (self.references.len(), self.coefficients_ev.len());
        expect(expected == found, || {
            format!("expected for {species} {expected} similarity.coefficients_ev, one per reference, found {found}")
        })?;
        let mut singles = self.offset.iter().chain(self.projection.iter().chain(&self.references).flatten());
        let finite = singles.all(|x| x.is_finite()) && self.coefficients_ev.iter().all(|x| x.is_finite());
        expect(finite, || format!("expected finite numbers in the similarity of {species}"))
    }

    /// Coordinates of an environment from its components.
    pub fn coordinates(&self, components: &[f64]) -> Vec<f64> {
        let dot = |row: &Vec<f32>| row.iter().zip(components).map(|(p, b)| f64::from(*p) * b).sum::<f64>();
        self.projection.iter().zip(&self.offset).map(|(row, offset)| f64::from(*offset) + dot(row)).collect()
    }

    /// Derivative of the energy with respect to each component, in eV per unit of the component; slow, for the fit. What dynamics use is
    /// [`SimilarityKernel::slopes`].
    pub fn slopes_ev(&self, components: &[f64]) -> Vec<f64> {
        let z = self.coordinates(components);
        let mut of_coordinates = vec![0.0; z.len()];
        for (reference, coefficient) in self.references.iter().zip(&self.coefficients_ev) {
            let to_reference = || reference.iter().zip(&z).map(|(r, z)| f64::from(*r) - z);
            let weight = coefficient * (-0.5 * to_reference().map(|d| d * d).sum::<f64>()).exp();
            of_coordinates.iter_mut().zip(to_reference()).for_each(|(slope, d)| *slope += weight * d);
        }
        let mut slopes = vec![0.0; components.len()];
        for (row, of_coordinate) in self.projection.iter().zip(&of_coordinates) {
            slopes.iter_mut().zip(row).for_each(|(slope, factor)| *slope += of_coordinate * f64::from(*factor));
        }
        slopes
    }
}

/// Rows of a matrix that are multiplied together: enough sums at once to hide how long one product takes.
const ROWS: usize = 8;

/// A matrix by blocks of [`ROWS`] rows, column by column; rows that fill up the last block are zero.
struct Matrix {
    n_rows: usize,
    n_columns: usize,
    blocks: Vec<[f64; ROWS]>,
}

impl Matrix {
    fn new(n_rows: usize, n_columns: usize, element: impl Fn(usize, usize) -> f32) -> Self {
        let number = |row: usize, column: usize| if row < n_rows { f64::from(element(row, column)) } else { 0.0 };
        let column = |first: usize, column: usize| std::array::from_fn(|n| number(first + n, column));
        let blocks = (0..n_rows).step_by(ROWS).flat_map(|first| (0..n_columns).map(move |c| (first, c)));
        Self { n_rows, n_columns, blocks: blocks.map(|(first, c)| column(first, c)).collect() }
    }

    fn element(&self, row: usize, column: usize) -> f64 {
        self.blocks[row / ROWS * self.n_columns + column][row % ROWS]
    }

    /// Eight vectors, one per lane, times this matrix, in `product`.
    #[inline(always)]
    fn times<S: Simd>(&self, simd: S, vectors: &[Lanes], product: &mut Vec<Lanes>) {
        product.clear();
        product.resize(self.n_rows, Lanes::default());
        for (block, product) in self.blocks.chunks_exact(self.n_columns.max(1)).zip(product.chunks_mut(ROWS)) {
            let mut sums = [f64x8::splat(simd, 0.0); ROWS];
            for (column, x) in block.iter().zip(vectors) {
                let x = x.load(simd);
                for n in 0..ROWS {
                    sums[n] = x.mul_add(f64x8::splat(simd, column[n]), sums[n]);
                }
            }
            product.iter_mut().zip(sums).for_each(|(slot, sum)| slot.store(sum));
        }
    }

    /// Eight vectors times the transposed matrix: as fast as [`Self::times`], so that no second copy is needed.
    #[inline(always)]
    fn transposed_times<S: Simd>(&self, simd: S, vectors: &[Lanes], product: &mut Vec<Lanes>) {
        product.clear();
        product.resize(self.n_columns, Lanes::default());
        for (block, vectors) in self.blocks.chunks_exact(self.n_columns.max(1)).zip(vectors.chunks(ROWS)) {
            let mut factors = [f64x8::splat(simd, 0.0); ROWS];
            factors.iter_mut().zip(vectors).for_each(|(factor, vector)| *factor = vector.load(simd));
            for (column, slot) in block.iter().zip(product.iter_mut()) {
                let mut sum = slot.load(simd);
                for n in 0..ROWS {
                    sum = factors[n].mul_add(f64x8::splat(simd, column[n]), sum);
                }
                slot.store(sum);
            }
        }
    }
}

/// The similarity of one central species, arranged for eight atoms at a time.
pub(super) struct SimilarityKernel {
    level: Level,
    offset: Vec<f64>,
    /// Components to coordinates.
    projection: Matrix,
    /// Coordinates of the references, a row for each.
    references: Matrix,
    /// Half of the square of the length of each.
    half_squares: Vec<f64>,
    coefficients_ev: Vec<f64>,
    /// Coefficients of the components themselves, by channel.
    linear_ev: Vec<f64>,
}

/// Results for one group, and scratch memory.
#[derive(Default)]
pub(super) struct SimilarityWork {
    /// Bispectrum components of the group, by channel.
    components: Vec<Lanes>,
    coordinates: Vec<Lanes>,
    /// Similarity to each reference.
    pub(super) similarities: Vec<Lanes>,
    weights: Vec<Lanes>,
    gradient: Vec<Lanes>,
    /// Derivative of the energy with respect to each component.
    pub(super) slopes: Vec<Lanes>,
}

impl SimilarityKernel {
    /// By central species; none where the model has no similarity.
    pub(super) fn of(model: &Model, level: Level) -> Vec<Self> {
        if model.central.iter().all(|c| c.similarity.is_none()) {
            return Vec::new();
        }
        let of = |central: &super::Central| {
            let linear_ev = central.coefficients_ev.concat();
            Self::new(&central.similarity.clone().unwrap_or_default(), linear_ev, level)
        };
        model.central.iter().map(of).collect()
    }

    fn new(similarity: &Similarity, linear_ev: Vec<f64>, level: Level) -> Self {
        let Similarity { offset, projection, references, coefficients_ev } = similarity;
        let (n, n_references, n_components) = (offset.len(), references.len(), linear_ev.len());
        let half_square = |r: &Vec<f32>| 0.5 * r.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
        Self {
            level,
            offset: offset.iter().map(|x| f64::from(*x)).collect(),
            projection: Matrix::new(n, n_components, |p, b| projection[p][b]),
            references: Matrix::new(n_references, n, |k, p| references[k][p]),
            half_squares: references.iter().map(half_square).collect(),
            coefficients_ev: coefficients_ev.clone(),
            linear_ev,
        }
    }

    pub(super) fn at_level(self, level: Level) -> Self {
        Self { level, ..self }
    }

    /// Similarities of a group to all references, after [`Bispectrum::densities`].
    pub(super) fn similarities(&self, kernel: &Bispectrum, work: &mut Workspace, similarity: &mut SimilarityWork) {
        kernel.components(work, &mut similarity.components);
        dispatch!(self.level, simd => self.similarities_simd(simd, similarity));
    }

    #[inline(always)]
    fn similarities_simd<S: Simd>(&self, simd: S, work: &mut SimilarityWork) {
        self.projection.times(simd, &work.components, &mut work.coordinates);
        let mut half_square = f64x8::splat(simd, 0.0);
        for (coordinate, offset) in work.coordinates.iter_mut().zip(&self.offset) {
            let z = coordinate.load(simd) + *offset;
            half_square = (z * 0.5).mul_add(z, half_square);
            coordinate.store(z);
        }
        self.references.times(simd, &work.coordinates, &mut work.similarities);
        for (similarity, other) in work.similarities.iter_mut().zip(&self.half_squares) {
            similarity.store(exp(simd, similarity.load(simd) - half_square - *other));
        }
    }

    /// Slopes, with some coefficients of the similarities, after [`Self::similarities`].
    pub(super) fn slopes(&self, coefficients_ev: &[f64], work: &mut SimilarityWork) {
        dispatch!(self.level, simd => self.slopes_simd(simd, coefficients_ev, work));
    }

    #[inline(always)]
    fn slopes_simd<S: Simd>(&self, simd: S, coefficients_ev: &[f64], work: &mut SimilarityWork) {
        let mut sum = f64x8::splat(simd, 0.0);
        work.weights.clear();
        for (similarity, coefficient) in work.similarities.iter().zip(coefficients_ev) {
            let weight = similarity.load(simd) * *coefficient;
            sum += weight;
            let mut lanes = Lanes::default();
            lanes.store(weight);
            work.weights.push(lanes);
        }
        // d s_k / dz = (z_k - z) s_k.
        self.references.transposed_times(simd, &work.weights, &mut work.gradient);
        for (gradient, z) in work.gradient.iter_mut().zip(&work.coordinates) {
            gradient.store((-sum).mul_add(z.load(simd), gradient.load(simd)));
        }
        self.projection.transposed_times(simd, &work.gradient, &mut work.slopes);
    }

    /// Coefficients of the components of a group in `similarity.slopes`, those of similarities with them, after
    /// [`Bispectrum::densities`], and what is to be added to the energy that [`Bispectrum::gradients`] makes of them: that is the sum of
    /// all coefficients times components.
    pub(super) fn coefficients(
        &self,
        kernel: &Bispectrum,
        work: &mut Workspace,
        similarity: &mut SimilarityWork,
    ) -> Lanes {
        self.similarities(kernel, work, similarity);
        self.slopes(&self.coefficients_ev, similarity);
        dispatch!(self.level, simd => self.add_linear_simd(simd, similarity))
    }

    /// Adds the coefficients of the components to the slopes, which count for the correction as they are.
    #[inline(always)]
    fn add_linear_simd<S: Simd>(&self, simd: S, work: &mut SimilarityWork) -> Lanes {
        let mut energy = f64x8::splat(simd, 0.0);
        for weight in &work.weights {
            energy += weight.load(simd);
        }
        for ((slope, component), linear) in work.slopes.iter_mut().zip(&work.components).zip(&self.linear_ev) {
            let value = slope.load(simd);
            energy = (-value).mul_add(component.load(simd), energy);
            slope.store(value + *linear);
        }
        let mut correction = Lanes::default();
        correction.store(energy);
        correction
    }
}

/// Gradients of single similarities with respect to the neighbours of a group, for the rows of a fit.
pub(super) struct SimilarityGradients<'a> {
    kernel: &'a SimilarityKernel,
    work: SimilarityWork,
    /// Number of neighbours of each kind.
    n_neighbors: Vec<usize>,
    /// Gradients of each coordinate in the order of those of a workspace, in one piece.
    of_coordinates: Vec<Vec<Lanes>>,
    /// The next component whose gradient is added.
    component: usize,
    scratch: Vec<Lanes>,
}

impl<'a> SimilarityGradients<'a> {
    /// After [`Bispectrum::densities`].
    pub(super) fn new(kernel: &'a SimilarityKernel, bispectrum: &Bispectrum, work: &mut Workspace) -> Self {
        let mut similarity = SimilarityWork::default();
        kernel.similarities(bispectrum, work, &mut similarity);
        let n_neighbors: Vec<usize> = work.neighbors.iter().map(Vec::len).collect();
        let zero = vec![Lanes::default(); 3 * n_neighbors.iter().sum::<usize>()];
        let of_coordinates = vec![zero.clone(); kernel.offset.len()];
        Self { kernel, work: similarity, n_neighbors, of_coordinates, component: 0, scratch: zero }
    }

    /// Takes the gradients of the components, which are in `work`, one after another.
    pub(super) fn add_component(&mut self, work: &Workspace) {
        let gradients = work.gradients.iter().flatten().flatten();
        self.scratch.iter_mut().zip(gradients).for_each(|(slot, gradient)| *slot = *gradient);
        for (coordinate, sums) in self.of_coordinates.iter_mut().enumerate() {
            let factor = Lanes([self.kernel.projection.element(coordinate, self.component); LANES]);
            dispatch!(self.kernel.level, simd => add_scaled(simd, sums, &self.scratch, &factor));
        }
        self.component += 1;
    }

    /// The similarity of the first `n_atoms` to a reference, summed, and its gradient, in `work`.
    pub(super) fn gradients_of(&mut self, reference: usize, n_atoms: usize, work: &mut Workspace) -> f64 {
        self.scratch.fill(Lanes::default());
        let similarity = &self.work.similarities[reference];
        for (coordinate, gradients) in self.of_coordinates.iter().enumerate() {
            let other = self.kernel.references.element(reference, coordinate);
            let z = &self.work.coordinates[coordinate];
            let factor = Lanes(std::array::from_fn(|lane| (other - z.0[lane]) * similarity.0[lane]));
            dispatch!(self.kernel.level, simd => add_scaled(simd, &mut self.scratch, gradients, &factor));
        }
        let (all, _) = self.scratch.as_chunks::<3>();
        let mut rest = all;
        for (gradients, n) in work.gradients.iter_mut().zip(&self.n_neighbors) {
            let (of_kind, others) = rest.split_at(*n);
            gradients.copy_from_slice(of_kind);
            rest = others;
        }
        similarity.0[..n_atoms].iter().sum()
    }
}

/// Adds numbers times a factor for each lane.
#[inline(always)]
fn add_scaled<S: Simd>(simd: S, sums: &mut [Lanes], numbers: &[Lanes], factor: &Lanes) {
    let factor = factor.load(simd);
    for (sum, number) in sums.iter_mut().zip(numbers) {
        sum.store(number.load(simd).mul_add(factor, sum.load(simd)));
    }
}

impl Bispectrum {
    /// [`Bispectrum::adjoints`] with coefficients that differ from atom to atom, by channel and component.
    pub(super) fn adjoints_of_lanes(&self, coefficients: &[Lanes], work: &mut Workspace) {
        dispatch!(self.level, simd => self.adjoints_of_lanes_simd(simd, coefficients, work));
    }

    #[inline(always)]
    fn adjoints_of_lanes_simd<S: Simd>(&self, simd: S, coefficients: &[Lanes], work: &mut Workspace) {
        let of_channels = coefficients.chunks_exact(self.n_components());
        for ((u, adjoint), coefficients) in work.channels.iter().zip(&mut work.adjoints).zip(of_channels) {
            adjoint.fill(ComplexLanes::default());
            self.expand(simd, u, &mut work.full);
            self.couple(simd, &work.full, &mut AdjointOfLanes { kernel: self, coefficients, adjoint });
        }
    }
}

/// The adjoint of one channel whose coefficients differ from lane to lane.
struct AdjointOfLanes<'a> {
    kernel: &'a Bispectrum,
    coefficients: &'a [Lanes],
    adjoint: &'a mut [ComplexLanes],
}

impl<S: Simd> Sink<S> for AdjointOfLanes<'_> {
    #[inline(always)]
    fn needs(&self, _: u16) -> bool {
        true
    }

    #[inline(always)]
    fn take<const N: usize>(&mut self, simd: S, block: u16, targets: &[u16; N], sums: [Complex<S>; N]) {
        let block = &self.kernel.coupling.blocks[usize::from(block)];
        for n in 0..N {
            let adjoint = &mut self.adjoint[usize::from(targets[n])];
            let coefficient = self.coefficients[block[n].component].load(simd) * block[n].factor;
            adjoint.store(adjoint.load(simd).add_scaled(sums[n], coefficient));
        }
    }
}
