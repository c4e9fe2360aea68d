//! How far an atom's environment lies outside the training data.
//!
//! The grade of an environment with descriptor d around a central species is its leverage,
//! g^2 = (d - m)^T (C + ridge)^-1 (d - m) / n, with mean m and covariance C of the n training environments in units
//! of their deviations. No training atom has more than 1; an environment with more lies farther out, along some direction,
//! than all training data together reach. Bispectrum components and the two-body kernels are graded apart and the
//! larger grade counts: what is new is mostly seen by one of the two. docs/uncertainty.md compares this with MaxVol
//! (Podryabinkin and Shapeev, Comput. Mater. Sci. 140, 171 (2017)), which tells errors less well here.

use super::committee::check_model;
use super::descriptors::Descriptors;
use super::file_kind::FileKind;
use super::lanes::{LANES, Lanes};
use super::model::Model;
use crate::io::{content_hash, read_text, write_atomically};
use crate::{Atoms, Error, NeighborList};
use fearless_simd::{Level, Simd, SimdBase, SimdFloat, dispatch, f64x8};
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The version of the grade file that this program writes, and the newest that it reads.
const FORMAT_VERSION: u32 = 1;
const KIND: FileKind = FileKind {
    name: "grade file",
    version: FORMAT_VERSION,
    remedy: "Give the .grade file that knockon fit wrote beside the model",
};
/// Variance, relative to that of a descriptor, which is added to all directions: below it lies what is the same in all
/// environments. Grades of 1e-3 to 3e-2 tell held-out errors equally well.
const RIDGE: f64 = 1e-2;
/// A two-body kernel summed over neighbours is 1 for one neighbour at its centre; a kernel that varies by less than this
/// over the data has not seen a neighbour there.
const LEAST_KERNEL_DEVIATION: f64 = 0.1;
/// Grades from here on count as extrapolation: the error of held-out forces jumps from 0.7 to 2 eV/angstrom there,
/// while thermal motion up to 1000 K stays below 0.8 (docs/uncertainty.md).
pub const EXTRAPOLATION_THRESHOLD: f64 = 2.0;

/// The file: for each central species what the training data look like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GradeFile {
    /// Version of the file format.
    pub format_version: u32,
    /// Hash of the model that was fitted to the same data.
    pub model_hash: String,
    /// Hash of the data of the fit.
    pub data_hash: String,
    /// One entry per central species, in the order of the model.
    pub central: Vec<CentralGrade>,
}

/// Training data around one central species.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CentralGrade {
    /// Number of training environments; without any, every environment has an infinite grade.
    pub n_environments: usize,
    /// Bispectrum components by channel.
    pub many_body: Whitening,
    /// Two-body kernels by neighbour species.
    pub pair: Whitening,
}

/// g = |factor (d - mean)|.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whitening {
    /// Mean descriptor.
    pub mean: Vec<f32>,
    /// Lower triangle of a square matrix, row by row.
    pub factor: Vec<f32>,
}

/// Rows of the triangle that are multiplied together: enough sums at once to hide how long one product takes.
const ROWS: usize = 4;

impl Whitening {
    /// The grades of eight descriptors, one in each lane.
    fn grades(&self, descriptors: &[Lanes]) -> Lanes {
        dispatch!(Level::new(), simd => self.grades_simd(simd, descriptors))
    }

    #[inline(always)]
    fn grades_simd<S: Simd>(&self, simd: S, descriptors: &[Lanes]) -> Lanes {
        let off = |(d, m): (&Lanes, &f32)| d.load(simd) - f64x8::splat(simd, f64::from(*m));
        let off: Vec<f64x8<S>> = descriptors.iter().zip(&self.mean).map(off).collect();
        let row = |row: usize| &self.factor[row * (row + 1) / 2..][..=row];
        let dot = |sum: f64x8<S>, factors: &[f32], off: &[f64x8<S>]| {
            let add = |sum, (f, x): (&f32, &f64x8<S>)| f64x8::splat(simd, f64::from(*f)).mul_add(*x, sum);
            factors.iter().zip(off).fold(sum, add)
        };
        let mut square = f64x8::splat(simd, 0.0);
        let n_blocks = off.len() / ROWS;
        for first in (0..n_blocks).map(|block| block * ROWS) {
            // What all rows of the block have, then the rest of each.
            let rows: [&[f32]; ROWS] = std::array::from_fn(|n| row(first + n));
            let mut sums = [f64x8::splat(simd, 0.0); ROWS];
            for (column, x) in off[..first].iter().enumerate() {
                for n in 0..ROWS {
                    sums[n] = f64x8::splat(simd, f64::from(rows[n][column])).mul_add(*x, sums[n]);
                }
            }
            for (sum, row) in sums.into_iter().zip(rows) {
                let sum = dot(sum, &row[first..], &off[first..]);
                square = sum.mul_add(sum, square);
            }
        }
        for last in n_blocks * ROWS..off.len() {
            let sum = dot(f64x8::splat(simd, 0.0), row(last), &off);
            square = sum.mul_add(sum, square);
        }
        let mut grades = Lanes::default();
        grades.store(square.sqrt());
        grades
    }

    fn fits(&self, length: usize) -> bool {
        self.mean.len() == length && self.factor.len() == length * (length + 1) / 2
    }
}

/// Sums over training environments around one central species.
#[derive(Clone)]
struct Moments {
    count: usize,
    sum: Vec<f64>,
    /// Sum of products, row-major; only the lower triangle is used.
    products: Vec<f64>,
}

impl Moments {
    fn new(length: usize) -> Self {
        Self { count: 0, sum: vec![0.0; length], products: vec![0.0; length * length] }
    }

    fn add(&mut self, descriptor: &[f64]) {
        self.count += 1;
        for (row, a) in descriptor.iter().enumerate() {
            self.sum[row] += a;
            let products = &mut self.products[row * descriptor.len()..][..=row];
            products.iter_mut().zip(descriptor).for_each(|(p, b)| *p += a * b);
        }
    }

    /// The whitening of these environments; deviations below `least` are taken for it.
    fn whitening(&self, least: f64) -> Result<Whitening, Error> {
        let (length, n) = (self.sum.len(), self.count.max(1) as f64);
        let mean: Vec<f64> = self.sum.iter().map(|s| s / n).collect();
        let covariance = |i: usize, j: usize| {
            let (row, column) = (i.max(j), i.min(j));
            self.products[row * length + column] / n - mean[i] * mean[j]
        };
        // Rounding of sums over many environments: a descriptor that never varies has a tiny deviation, not none.
        let deviation = |i: usize| covariance(i, i).max((1e-6 * mean[i]).powi(2)).sqrt().max(least).max(1e-12);
        let deviations: Vec<f64> = (0..length).map(deviation).collect();
        let matrix = DMatrix::from_fn(length, length, |i, j| {
            n * (covariance(i, j) / (deviations[i] * deviations[j]) + if i == j { RIDGE } else { 0.0 })
        });
        let failed = || {
            let remedy = "Look for configurations with atoms on top of each other";
            Error::computation("the covariance of the descriptors is not positive", remedy)
        };
        let lower = matrix.cholesky().ok_or_else(failed)?.l();
        let inverse = lower.solve_lower_triangular(&DMatrix::identity(length, length)).ok_or_else(failed)?;
        let triangle = (0..length).flat_map(|i| (0..=i).map(move |j| (i, j)));
        let factor = triangle.map(|(i, j)| (inverse[(i, j)] / deviations[j]) as f32).collect();
        Ok(Whitening { mean: mean.iter().map(|m| *m as f32).collect(), factor })
    }
}

/// Collects training environments.
pub struct GradeBuilder<'a> {
    descriptors: &'a Descriptors,
    /// Many-body and pair moments by central species.
    moments: Vec<[Moments; 2]>,
}

impl<'a> GradeBuilder<'a> {
    /// No environments yet.
    pub fn new(descriptors: &'a Descriptors) -> Self {
        let [many_body, pair] = [descriptors.n_many_body(), descriptors.len() - descriptors.n_many_body()];
        let moments = vec![[Moments::new(many_body), Moments::new(pair)]; descriptors.species().len()];
        Self { descriptors, moments }
    }

    /// Adds all atoms of a box, whose descriptors are those of [`Descriptors::map`].
    pub fn add(&mut self, environments: &[(usize, Vec<f64>)]) {
        for (central, descriptor) in environments {
            let (many_body, pair) = descriptor.split_at(self.descriptors.n_many_body());
            self.moments[*central][0].add(many_body);
            self.moments[*central][1].add(pair);
        }
    }

    /// The grade of these environments.
    pub fn build(&self, model: &Model, data_hash: &str) -> Result<GradeFile, Error> {
        let central = |[many_body, pair]: &[Moments; 2]| {
            Ok(CentralGrade {
                n_environments: many_body.count,
                many_body: many_body.whitening(0.0)?,
                pair: pair.whitening(LEAST_KERNEL_DEVIATION)?,
            })
        };
        Ok(GradeFile {
            format_version: FORMAT_VERSION,
            model_hash: model.hash(),
            data_hash: data_hash.to_owned(),
            central: self.moments.iter().map(central).collect::<Result<_, Error>>()?,
        })
    }
}

impl GradeFile {
    /// The grade of one environment.
    pub fn grade(&self, central: usize, descriptor: &[f64]) -> f64 {
        let lanes: Vec<Lanes> = descriptor.iter().map(|d| Lanes([*d; LANES])).collect();
        self.grades(central, &lanes)[0]
    }

    /// The grades of eight environments of one central species, whose descriptors have one lane each.
    fn grades(&self, central: usize, descriptors: &[Lanes]) -> [f64; LANES] {
        let central = &self.central[central];
        if central.n_environments == 0 {
            return [f64::INFINITY; LANES];
        }
        let (many_body, pair) = descriptors.split_at(central.many_body.mean.len());
        let (many_body, pair) = (central.many_body.grades(many_body), central.pair.grades(pair));
        std::array::from_fn(|lane| many_body.0[lane].max(pair.0[lane]))
    }

    /// The text of the file; reading it gives back the same numbers exactly.
    pub fn to_text(&self) -> String {
        toml::to_string(self).expect("a grade holds only what TOML can hold")
    }

    /// Names the file by its content.
    pub fn hash(&self) -> String {
        content_hash(self.to_text().as_bytes())
    }

    /// Reads the text of a grade file; `place` names it in errors.
    pub fn from_text(text: &str, place: &str) -> Result<Self, Error> {
        KIND.read(text, place, |file: &Self| file.format_version)
    }

    /// Reads a grade file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::from_text(&read_text(path)?, &path.display().to_string())
    }

    /// Writes the file atomically.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        write_atomically(path, self.to_text().as_bytes())
    }
}

/// Grades made ready for evaluation.
pub struct Extrapolation {
    descriptors: Descriptors,
    file: GradeFile,
}

impl Extrapolation {
    /// Prepares grades. Fails if they belong to another model.
    pub fn new(model: &Model, file: GradeFile, place: &str) -> Result<Self, Error> {
        check_model(model, &file.model_hash, place)?;
        let descriptors = Descriptors::new(model)?;
        let [many_body, pair] = [descriptors.n_many_body(), descriptors.len() - descriptors.n_many_body()];
        let fits = |c: &CentralGrade| c.many_body.fits(many_body) && c.pair.fits(pair);
        if file.central.len() != descriptors.species().len() || !file.central.iter().all(fits) {
            let found = "expected numbers for the species and descriptors of this model, found others";
            return Err(Error::input(place, found, "Fit again to write new grades"));
        }
        Ok(Self { descriptors, file })
    }

    /// The grade of each atom. `neighbors` holds at least all pairs closer than the cutoff of the descriptors, that of bonds.
    pub fn grades(&self, atoms: &Atoms, neighbors: &NeighborList) -> Result<Vec<f64>, Error> {
        self.descriptors.map_lanes(atoms, neighbors, |central, n_atoms, descriptors| {
            self.file.grades(central, descriptors)[..n_atoms].to_vec()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;
    use rand_pcg::Pcg64;

    /// Blocks of rows and lanes give what the definition gives, for lengths that are no multiples of a block, too.
    #[test]
    fn grades_are_lengths_of_whitened_descriptors() {
        let mut random = Pcg64::new(7, 11);
        let mut number = move || random.random_range(-1.0..1.0);
        for length in [0, 1, 3, 4, 7, 12, 29] {
            let mean: Vec<f32> = (0..length).map(|_| number() as f32).collect();
            let factor: Vec<f32> = (0..length * (length + 1) / 2).map(|_| number() as f32).collect();
            let descriptors: Vec<Lanes> = (0..length).map(|_| Lanes(std::array::from_fn(|_| number()))).collect();
            let lower = DMatrix::from_fn(length, length, |i, j| match j <= i {
                true => f64::from(factor[i * (i + 1) / 2 + j]),
                false => 0.0,
            });
            let grades = Whitening { mean: mean.clone(), factor }.grades(&descriptors);
            for lane in 0..LANES {
                let off = DMatrix::from_fn(length, 1, |i, _| descriptors[i].0[lane] - f64::from(mean[i]));
                let expected = (&lower * off).norm();
                assert!((grades.0[lane] - expected).abs() < 1e-13 * (1.0 + expected), "length {length}, lane {lane}");
            }
        }
    }
}
