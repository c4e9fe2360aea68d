//! Tall least-squares problems kept as a triangular factor; the only file that uses faer.
//!
//! Rows come in one after another and are folded into the factor R of a QR decomposition (Golub and Van Loan, Matrix
//! Computations, sec. 5.3 and 6.5), so memory does not grow with their number and the condition number is not squared
//! as in normal equations. The right-hand side is one more column: |A x - b| = |R (x, -1)| for every x.

use crate::Error;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::matmul::matmul;
use faer::linalg::qr::no_pivoting::factor::{qr_in_place, qr_in_place_scratch, recommended_block_size};
use faer::linalg::svd::{ComputeSvdVectors, svd, svd_scratch};
use faer::linalg::triangular_solve::solve_lower_triangular_in_place;
use faer::{Accum, Mat, MatRef, Par, Side, Spec};
use rand::RngExt;
use rand_distr::StandardNormal;

/// Dense matrix of `f64`, column-major.
pub(super) type Matrix = Mat<f64>;

/// The triangular factor of all rows seen so far. The result depends on the order of the rows only through rounding,
/// and not at all on the number of threads.
#[derive(Clone, Debug)]
pub struct Factor {
    n_unknowns: usize,
    n_rows_seen: usize,
    /// Rows in use of `rows`; when it is full, they are compressed to a triangle.
    used: usize,
    rows: Matrix,
}

impl Factor {
    /// No rows yet.
    pub fn new(n_unknowns: usize) -> Self {
        Self { n_unknowns, n_rows_seen: 0, used: 0, rows: Mat::new() }
    }

    /// Number of rows of the least-squares problem.
    pub fn n_rows(&self) -> usize {
        self.n_rows_seen
    }

    /// Number of unknowns.
    pub fn n_unknowns(&self) -> usize {
        self.n_unknowns
    }

    /// Adds one row: sum of `coefficients * x` should be `target`, both already divided by the expected deviation.
    pub fn push(&mut self, coefficients: impl Iterator<Item = f64>, target: f64) {
        self.reserve_row();
        for (column, value) in coefficients.chain([target]).enumerate() {
            self.rows[(self.used, column)] = value;
        }
        self.used += 1;
        self.n_rows_seen += 1;
    }

    /// Adds all rows that another factor stands for.
    pub fn absorb(&mut self, other: &Self) {
        for row in 0..other.used {
            self.reserve_row();
            for column in 0..=self.n_unknowns {
                self.rows[(self.used, column)] = other.rows[(row, column)];
            }
            self.used += 1;
        }
        self.n_rows_seen += other.n_rows_seen;
    }

    /// Replaces the rows by their triangle and gives back memory.
    pub fn compress(&mut self) {
        self.triangularise();
        self.rows.resize_with(self.used, self.n_unknowns + 1, |_, _| 0.0);
    }

    /// Sum of the squared deviations of all rows for the unknowns `x`.
    pub fn squared_residual(&self, x: &[f64]) -> f64 {
        let mut total = 0.0;
        for row in 0..self.used {
            let mut residual = -self.rows[(row, self.n_unknowns)];
            for (column, value) in x.iter().enumerate() {
                residual += self.rows[(row, column)] * value;
            }
            total += residual * residual;
        }
        total
    }

    /// The rows for z, where x = basis z, without right-hand side.
    pub(super) fn transformed(&self, basis: &Matrix) -> Self {
        let (matrix, _) = self.substituted(&vec![0.0; self.n_unknowns], basis);
        let mut result = Self::new(basis.ncols());
        for row in 0..matrix.nrows() {
            result.push((0..matrix.ncols()).map(|column| matrix[(row, column)]), 0.0);
        }
        result
    }

    /// One row for each unknown: it is zero, with the deviation 1 / `strength`.
    pub(crate) fn push_diagonal(&mut self, strength: f64) {
        let n = self.n_unknowns;
        for unknown in 0..n {
            self.push((0..n).map(|column| if column == unknown { strength } else { 0.0 }), 0.0);
        }
    }

    /// ln det(1 + W W^T) / 2 with W = G R^-1, where R is this triangle (compress first) and G the other's rows.
    pub(super) fn gain(&self, other: &Self) -> f64 {
        let n = self.n_unknowns;
        if other.used == 0 {
            return 0.0;
        }
        let triangle = self.rows.get(..n, ..n);
        let mut w = other.rows.get(..other.used, ..n).transpose().to_owned();
        solve_lower_triangular_in_place(triangle.transpose(), w.as_mut(), Par::Seq);
        let mut matrix = w.transpose() * &w;
        (0..other.used).for_each(|k| matrix[(k, k)] += 1.0);
        // One plus a positive semidefinite matrix always has a Cholesky factor, unless a number is not finite.
        matrix.llt(Side::Lower).map_or(f64::NAN, |factor| (0..other.used).map(|k| factor.L()[(k, k)].ln()).sum())
    }

    /// Matrix and right-hand side of the problem for z, where x = mean + basis z.
    pub(super) fn substituted(&self, mean: &[f64], basis: &Matrix) -> (Matrix, Vec<f64>) {
        let matrix = self.rows.get(..self.used, ..self.n_unknowns) * basis;
        let target = |row: usize| {
            let of_mean: f64 = (0..self.n_unknowns).map(|c| self.rows[(row, c)] * mean[c]).sum();
            self.rows[(row, self.n_unknowns)] - of_mean
        };
        (matrix, (0..self.used).map(target).collect())
    }

    fn reserve_row(&mut self) {
        let columns = self.n_unknowns + 1;
        if self.used == self.rows.nrows() && self.used >= 3 * columns {
            self.triangularise();
        } else if self.used == self.rows.nrows() {
            let rows = (2 * self.used).clamp(64, 3 * columns.max(64));
            self.rows.resize_with(rows, columns, |_, _| 0.0);
        }
    }

    fn triangularise(&mut self) {
        let columns = self.n_unknowns + 1;
        let size = self.used.min(columns);
        if self.used > 1 {
            // Only the rows in use take part, so that what was there before cannot matter.
            let block = recommended_block_size::<f64>(self.used, columns);
            let mut householder = Mat::zeros(block, size);
            let scratch = qr_in_place_scratch::<f64>(self.used, columns, block, Par::Seq, Spec::default());
            let mut buffer = MemBuffer::new(scratch);
            qr_in_place(
                self.rows.get_mut(..self.used, ..),
                householder.as_mut(),
                Par::Seq,
                MemStack::new(&mut buffer),
                Spec::default(),
            );
        }
        for column in 0..columns {
            for row in (column + 1)..self.used {
                self.rows[(row, column)] = 0.0;
            }
        }
        self.used = size;
    }
}

/// A least-squares problem for z, decomposed so that every strength of the prior |z|^2 costs only a product.
pub struct PriorPath {
    left_times_target: Vec<f64>,
    singular_values: Vec<f64>,
    right: Matrix,
}

impl PriorPath {
    /// Decomposes the problem `factor` in the unknowns z.
    pub(super) fn new(factor: &Factor, mean: &[f64], basis: &Matrix) -> Result<Self, Error> {
        let (matrix, target) = factor.substituted(mean, basis);
        let (rows, columns) = (matrix.nrows(), matrix.ncols());
        let size = rows.min(columns);
        let (mut left, mut right) = (Mat::zeros(rows, size), Mat::zeros(columns, size));
        let mut singular = faer::diag::Diag::zeros(size);
        let thin = ComputeSvdVectors::Thin;
        let mut buffer = MemBuffer::new(svd_scratch::<f64>(rows, columns, thin, thin, Par::Seq, Spec::default()));
        svd(
            matrix.as_ref(),
            singular.as_mut(),
            Some(left.as_mut()),
            Some(right.as_mut()),
            Par::Seq,
            MemStack::new(&mut buffer),
            Spec::default(),
        )
        .map_err(|_| {
            Error::computation(
                "the singular value decomposition of the fit did not converge",
                "Look for labels that are not finite",
            )
        })?;
        let singular_values: Vec<f64> = (0..size).map(|i| singular.column_vector()[i]).collect();
        if singular_values.iter().any(|s| !s.is_finite()) {
            let remedy = "Look for configurations with atoms on top of each other and for labels that are not finite";
            return Err(Error::computation("the rows of the fit are not all finite", remedy));
        }
        let left_times_target = (0..size).map(|i| (0..rows).map(|row| left[(row, i)] * target[row]).sum()).collect();
        Ok(Self { left_times_target, singular_values, right })
    }

    /// The z that minimises |A z - b|^2 + strength^2 |z|^2.
    pub fn solve(&self, strength: f64) -> Vec<f64> {
        let mut z = vec![0.0; self.right.nrows()];
        for (i, (s, b)) in self.singular_values.iter().zip(&self.left_times_target).enumerate() {
            let denominator = s * s + strength * strength;
            let weight = if denominator > 0.0 { s * b / denominator } else { 0.0 };
            for (row, value) in z.iter_mut().enumerate() {
                *value += self.right[(row, i)] * weight;
            }
        }
        z
    }

    /// A random deviation of z from the solution: a draw of its posterior, whose covariance is the inverse of
    /// A^T A + strength^2 when the rows and the prior have unit noise.
    pub fn draw(&self, strength: f64, random: &mut impl rand::Rng) -> Vec<f64> {
        let (n, size) = (self.right.nrows(), self.singular_values.len());
        let noise: Vec<f64> = (0..n).map(|_| random.sample(StandardNormal)).collect();
        // Directions of the singular vectors are narrowed by the data; what is left of the noise only by the prior.
        let mut z: Vec<f64> = noise.iter().map(|e| e / strength).collect();
        for (i, s) in (0..size).zip(&self.singular_values) {
            let along: f64 = (0..n).map(|row| self.right[(row, i)] * noise[row]).sum();
            let change = along * (1.0 / s.hypot(strength) - 1.0 / strength);
            z.iter_mut().enumerate().for_each(|(row, value)| *value += self.right[(row, i)] * change);
        }
        z
    }

    /// Number of directions of z that the data alone determine, to rounding.
    pub fn rank(&self) -> usize {
        let largest = self.singular_values.first().copied().unwrap_or(0.0);
        let smallest = largest * f64::EPSILON * self.right.nrows() as f64;
        self.singular_values.iter().filter(|s| **s > smallest).count()
    }

    /// Ratio of the largest to the smallest singular value of the data together with the prior.
    pub fn condition_number(&self, strength: f64) -> f64 {
        let largest = self.singular_values.first().copied().unwrap_or(0.0);
        let all = self.singular_values.len() == self.right.nrows();
        let smallest = if all { self.singular_values.last().copied().unwrap_or(0.0) } else { 0.0 };
        largest.hypot(strength) / smallest.hypot(strength)
    }
}

/// mean + basis z.
pub(super) fn expand(mean: &[f64], basis: &Matrix, z: &[f64]) -> Vec<f64> {
    let value = |row: usize| mean[row] + (0..z.len()).map(|c| basis[(row, c)] * z[c]).sum::<f64>();
    (0..mean.len()).map(value).collect()
}

/// A square root L of a positive semidefinite matrix K, K = L L^T, from its eigenvectors.
pub(super) fn square_root(matrix: MatRef<'_, f64>) -> Result<Matrix, Error> {
    let (vectors, values) = eigen(matrix)?;
    let n = matrix.nrows();
    Ok(Mat::from_fn(n, n, |row, column| vectors[(row, column)] * values[column].max(0.0).sqrt()))
}

/// A square root L of the inverse of a positive semidefinite matrix K, a column for each of its eigenvalues above `least`.
pub(super) fn inverse_square_root(matrix: MatRef<'_, f64>, least: f64) -> Result<Matrix, Error> {
    let (vectors, values) = eigen(matrix)?;
    let kept: Vec<usize> = (0..values.len()).filter(|column| values[*column] > least).collect();
    Ok(Mat::from_fn(matrix.nrows(), kept.len(), |row, k| vectors[(row, kept[k])] / values[kept[k]].sqrt()))
}

/// Eigenvectors of a symmetric matrix, as columns, and eigenvalues in ascending order; on one thread, since sums of several come in
/// parts.
pub(super) fn eigen(matrix: MatRef<'_, f64>) -> Result<(Matrix, Vec<f64>), Error> {
    let n = matrix.nrows();
    let (mut vectors, mut values) = (Mat::zeros(n, n), faer::diag::Diag::zeros(n));
    if n == 0 {
        return Ok((vectors, Vec::new()));
    }
    let scratch = self_adjoint_evd_scratch::<f64>(n, ComputeEigenvectors::Yes, Par::Seq, Spec::default());
    let mut buffer = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut buffer);
    self_adjoint_evd(matrix, values.as_mut(), Some(vectors.as_mut()), Par::Seq, stack, Spec::default()).map_err(
        |_| {
            Error::computation(
                "the eigenvalues of a covariance did not converge",
                "Look for settings of the prior and for boxes that are not finite numbers",
            )
        },
    )?;
    Ok((vectors, values.column_vector().iter().copied().collect()))
}

/// A product with the same bits for any number of threads.
pub(super) fn product(left: &Matrix, right: &Matrix) -> Matrix {
    let mut product = Mat::zeros(left.nrows(), right.ncols());
    matmul(product.as_mut(), Accum::Replace, left.as_ref(), right.as_ref(), 1.0, Par::Seq);
    product
}

/// The matrix times itself, transposed: sums over its rows.
pub(super) fn gram(matrix: &Matrix) -> Matrix {
    let mut product = Mat::zeros(matrix.ncols(), matrix.ncols());
    matmul(product.as_mut(), Accum::Replace, matrix.transpose(), matrix.as_ref(), 1.0, Par::Seq);
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Large enough that faer would share the work out.
    #[test]
    fn eigenvectors_do_not_depend_on_the_number_of_threads() {
        let n = 400;
        let mut random = Pcg64::new(5, 3);
        let rows = Mat::from_fn(500, n, |_, _| random.random_range(-1.0..1.0));
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| eigen(gram(&rows).as_ref()).unwrap())
        };
        let (one, three) = (on(1), on(3));
        assert_eq!(one.1, three.1);
        assert!((0..n).all(|c| (0..n).all(|r| one.0[(r, c)] == three.0[(r, c)])));
        let (vectors, values) = one;
        let product = &gram(&rows) * vectors.col(n - 1);
        assert!((0..n).all(|r| (product[r] - values[n - 1] * vectors[(r, n - 1)]).abs() < 1e-9 * values[n - 1]));
    }

    use rand::RngExt;
    use rand_pcg::Pcg64;

    /// A random problem of `rows` rows whose solution is known up to the noise.
    fn problem(rows: usize, unknowns: usize, noise: f64) -> (Vec<Vec<f64>>, Vec<f64>, Vec<f64>) {
        let mut random = Pcg64::new(7, 11);
        let mut number = move || random.random_range(-1.0..1.0);
        let solution: Vec<f64> = (0..unknowns).map(|_| number()).collect();
        let matrix: Vec<Vec<f64>> = (0..rows).map(|_| (0..unknowns).map(|_| number()).collect()).collect();
        let target = matrix.iter().map(|row| dot(row, &solution) + noise * number()).collect();
        (matrix, target, solution)
    }

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(x, y)| x * y).sum()
    }

    fn factor_of(matrix: &[Vec<f64>], target: &[f64]) -> Factor {
        let mut factor = Factor::new(matrix[0].len());
        for (row, b) in matrix.iter().zip(target) {
            factor.push(row.iter().copied(), *b);
        }
        factor
    }

    fn identity(n: usize) -> Matrix {
        Mat::identity(n, n)
    }

    #[test]
    fn many_rows_give_back_the_solution() {
        let (matrix, target, solution) = problem(700, 12, 0.0);
        let path = PriorPath::new(&factor_of(&matrix, &target), &[0.0; 12], &identity(12)).unwrap();
        let z = path.solve(0.0);
        assert!(z.iter().zip(&solution).all(|(a, b)| (a - b).abs() < 1e-12), "{z:?} {solution:?}");
        assert_eq!(path.rank(), 12);
    }

    #[test]
    fn residual_of_the_factor_is_that_of_the_rows() {
        let (matrix, target, _) = problem(400, 9, 0.3);
        let mut factor = factor_of(&matrix, &target);
        let x = [0.1, -0.4, 0.3, 0.9, -1.1, 0.0, 0.2, 0.5, -0.7];
        let expected: f64 = matrix.iter().zip(&target).map(|(row, b)| (dot(row, &x) - b).powi(2)).sum();
        assert!((factor.squared_residual(&x) / expected - 1.0).abs() < 1e-12);
        factor.compress();
        assert!((factor.squared_residual(&x) / expected - 1.0).abs() < 1e-12);
        assert_eq!(factor.n_rows(), 400);
        assert_eq!(factor.used, 10);
    }

    #[test]
    fn parts_absorbed_equal_the_whole() {
        let (matrix, target, _) = problem(300, 8, 0.2);
        let whole = PriorPath::new(&factor_of(&matrix, &target), &[0.0; 8], &identity(8)).unwrap();
        let mut sum = Factor::new(8);
        for (rows, b) in matrix.chunks(70).zip(target.chunks(70)) {
            let mut part = factor_of(rows, b);
            part.compress();
            sum.absorb(&part);
        }
        let parts = PriorPath::new(&sum, &[0.0; 8], &identity(8)).unwrap();
        for strength in [0.0, 0.5, 20.0] {
            let (a, b) = (whole.solve(strength), parts.solve(strength));
            assert!(a.iter().zip(&b).all(|(x, y)| (x - y).abs() < 1e-12));
        }
    }

    /// The prior as extra rows, folded in like data, gives the same solution as the path.
    #[test]
    fn strength_equals_rows_of_the_prior() {
        let (matrix, target, _) = problem(40, 6, 0.2);
        let mean = [0.3, 0.0, -0.2, 0.0, 1.0, 0.0];
        let strength = 2.5;
        let path = PriorPath::new(&factor_of(&matrix, &target), &mean, &identity(6)).unwrap();
        let x = expand(&mean, &identity(6), &path.solve(strength));
        let mut with_rows = factor_of(&matrix, &target);
        for (i, m) in mean.iter().enumerate() {
            with_rows.push((0..6).map(|j| if i == j { strength } else { 0.0 }), strength * m);
        }
        let direct = PriorPath::new(&with_rows, &[0.0; 6], &identity(6)).unwrap().solve(0.0);
        assert!(x.iter().zip(&direct).all(|(a, b)| (a - b).abs() < 1e-12), "{x:?} {direct:?}");
    }

    /// A direction without data keeps the mean of the prior, and the rank says that the data do not fix it.
    #[test]
    fn what_has_no_data_stays_at_the_prior() {
        let (mut matrix, _, solution) = problem(50, 5, 0.0);
        matrix.iter_mut().for_each(|row| row[3] = 0.0);
        let target: Vec<f64> = matrix.iter().map(|row| dot(row, &solution)).collect();
        let mean = [0.0, 0.0, 0.0, 4.0, 0.0];
        let path = PriorPath::new(&factor_of(&matrix, &target), &mean, &identity(5)).unwrap();
        let x = expand(&mean, &identity(5), &path.solve(1e-6));
        assert_eq!(path.rank(), 4);
        assert!((x[3] - 4.0).abs() < 1e-9 && (x[0] - solution[0]).abs() < 1e-6);
    }

    /// Draws have the closed-form covariance (A^T A + s^2)^-1, also where the data say nothing.
    #[test]
    fn draws_have_the_covariance_of_the_posterior() {
        // Rows (3, 0, 0) and (4, 2, 0): A^T A = [[25, 8, 0], [8, 4, 0], [0, 0, 0]].
        let factor = factor_of(&[vec![3.0, 0.0, 0.0], vec![4.0, 2.0, 0.0]], &[1.0, 1.0]);
        let path = PriorPath::new(&factor, &[0.0; 3], &identity(3)).unwrap();
        let (strength, n_draws) = (0.5_f64, 40_000);
        let (p, q, r) = (25.25, 8.0, 4.25);
        let determinant = p * r - q * q;
        let expected = [[r, -q, 0.0], [-q, p, 0.0], [0.0, 0.0, determinant / strength.powi(2)]];
        let mut random = Pcg64::new(5, 9);
        let mut sums = [[0.0; 3]; 3];
        for _ in 0..n_draws {
            let z = path.draw(strength, &mut random);
            (0..9).for_each(|k| sums[k / 3][k % 3] += z[k / 3] * z[k % 3]);
        }
        for k in 0..9 {
            let (found, exact) = (sums[k / 3][k % 3] / f64::from(n_draws), expected[k / 3][k % 3] / determinant);
            let scale = (expected[k / 3][k / 3] * expected[k % 3][k % 3]).sqrt() / determinant;
            assert!((found - exact).abs() < 0.03 * scale, "{k}: {found} {exact}");
        }
    }

    #[test]
    fn square_root_squares_to_the_matrix() {
        let k = Mat::from_fn(6, 6, |i, j| (-0.1 * (i as f64 - j as f64).powi(2)).exp());
        let root = square_root(k.as_ref()).unwrap();
        let again = &root * root.transpose();
        assert!((0..6).all(|i| (0..6).all(|j| (again[(i, j)] - k[(i, j)]).abs() < 1e-12)));
    }
}
