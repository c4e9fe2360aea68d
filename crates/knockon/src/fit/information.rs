//! How tightly each combination of coefficients is held, and how much more new rows would tell.
//!
//! With rows and prior of unit noise the posterior covariance of z is (A^T A + s^2)^-1 = (R^T R)^-1. Labelling the rows G
//! makes it (R^T R + G^T G)^-1, an information gain of (ln det(R^T R + G^T G) - ln det(R^T R)) / 2 nats: the criterion of
//! D-optimal Bayesian design (Chaloner and Verdinelli, Statistical Science 10, 273 (1995), eq. 4). With W = G R^-1 it is
//! ln det(1 + W W^T) / 2, a determinant of the size of the new rows.

use super::factor::Factor;

/// What data and prior tell.
#[derive(Clone, Debug)]
pub struct Information {
    precision: Factor,
}

impl Information {
    /// Of all rows, those of the prior included; every unknown must be held by one.
    pub fn new(mut rows: Factor) -> Self {
        rows.compress();
        Self { precision: rows }
    }

    /// The information in nats that these rows would add.
    pub fn gain(&self, rows: &Factor) -> f64 {
        self.precision.gain(rows)
    }

    /// Counts these rows as known.
    pub fn learn(&mut self, rows: &Factor) {
        self.precision.absorb(rows);
        self.precision.compress();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;
    use rand_pcg::Pcg64;

    fn rows(rows: &[&[f64]]) -> Factor {
        let mut factor = Factor::new(rows[0].len());
        rows.iter().for_each(|row| factor.push(row.iter().copied(), 0.0));
        factor
    }

    /// Unknowns with deviations 1/2 and 1/3: measuring the first with deviation 1/4 gives ln((4 + 16) / 4) / 2.
    #[test]
    fn gains_have_closed_forms() {
        let mut information = Information::new(rows(&[&[2.0, 0.0], &[0.0, 3.0]]));
        let first = rows(&[&[4.0, 0.0]]);
        assert!((information.gain(&first) - 0.5 * 5.0_f64.ln()).abs() < 1e-14);
        information.learn(&first);
        assert!((information.gain(&first) - 0.5 * (36.0_f64 / 20.0).ln()).abs() < 1e-14);
        assert!((information.gain(&rows(&[&[0.0, 3.0]])) - 0.5 * 2.0_f64.ln()).abs() < 1e-14);
        assert_eq!(information.gain(&Factor::new(2)), 0.0);
    }

    /// Gains add up along any order, and never grow as more is known.
    #[test]
    fn gains_are_additive_and_submodular() {
        let mut random = Pcg64::new(3, 4);
        let mut block = |n: usize, unknowns: usize| {
            let mut factor = Factor::new(unknowns);
            (0..n).for_each(|_| {
                let row: Vec<f64> = (0..unknowns).map(|_| random.random_range(-1.0..1.0)).collect();
                factor.push(row.into_iter(), 0.0);
            });
            factor
        };
        let start = Information::new(block(40, 12));
        let (a, b) = (block(5, 12), block(30, 12));
        let mut both = a.clone();
        both.absorb(&b);
        let mut knows_a = start.clone();
        knows_a.learn(&a);
        let in_steps = start.gain(&a) + knows_a.gain(&b);
        assert!((start.gain(&both) / in_steps - 1.0).abs() < 1e-12);
        assert!(knows_a.gain(&b) < start.gain(&b) && knows_a.gain(&b) > 0.0);
    }
}
