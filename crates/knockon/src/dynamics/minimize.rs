//! Limited-memory BFGS for functions whose evaluation is dear.

use crate::Error;
use glam::DVec3;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// A function of many vectors (atoms in angstrom, possibly cell vectors scaled to behave like atoms).
pub(super) trait Objective {
    /// Value in eV at `x`; writes the gradient.
    fn evaluate(&mut self, x: &[DVec3], gradient: &mut [DVec3]) -> Result<f64, Error>;
    /// True if the last evaluated point is as good as asked for.
    fn converged(&self) -> bool;
    /// Sees each accepted step; an error ends the descent.
    fn accepted(&mut self, _descent: &Descent) -> Result<(), Error> {
        Ok(())
    }
}

/// A descent under way: all that it needs to go on as if it had never stopped, the objective's own state aside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Descent {
    x: Vec<DVec3>,
    value: f64,
    gradient: Vec<DVec3>,
    history: History,
    evaluations: usize,
}

impl Descent {
    /// A descent that begins at `x`.
    pub(super) fn new(objective: &mut dyn Objective, x: Vec<DVec3>) -> Result<Self, Error> {
        let mut gradient = vec![DVec3::ZERO; x.len()];
        let value = objective.evaluate(&x, &mut gradient)?;
        Ok(Self { x, value, gradient, history: History::default(), evaluations: 1 })
    }

    /// Evaluations so far.
    pub(super) fn evaluations(&self) -> usize {
        self.evaluations
    }
}

/// Steps remembered; more brings little for crystals.
const MEMORY: usize = 12;
/// No vector moves farther than this in one step (angstrom): small against the distance between two minima, so that
/// the search stays in the basin where it starts.
const MAX_STEP: f64 = 0.1;
/// First guess of the curvature in eV/angstrom^2, a typical bond.
const CURVATURE: f64 = 30.0;

/// Walks downhill until converged. Every accepted step lowers the value (up to rounding). Returns false if
/// `max_evaluations` were not enough or rounding stops the descent; the descent is at the best point in any case.
pub(super) fn minimize(
    objective: &mut dyn Objective,
    descent: &mut Descent,
    max_evaluations: usize,
) -> Result<bool, Error> {
    let mut trial_gradient = descent.gradient.clone();
    while !objective.converged() {
        let mut direction = descent.history.direction(&descent.gradient);
        let mut slope = dot(&direction, &descent.gradient);
        if slope >= 0.0 {
            descent.history = History::default();
            direction = descent.history.direction(&descent.gradient);
            slope = dot(&direction, &descent.gradient);
        }
        let longest = direction.iter().map(|d| d.length_squared()).fold(0.0, f64::max).sqrt();
        let mut length = (MAX_STEP / longest).min(1.0);
        // Sums over many atoms carry rounding errors of some 1e-16 of the total.
        let rounding = 1e-13 * descent.value.abs();
        loop {
            if descent.evaluations >= max_evaluations {
                return give_up(objective, descent);
            }
            let trial: Vec<DVec3> = descent.x.iter().zip(&direction).map(|(x, d)| *x + *d * length).collect();
            let trial_value = objective.evaluate(&trial, &mut trial_gradient)?;
            descent.evaluations += 1;
            if trial_value <= descent.value + 1e-4 * length * slope + rounding {
                descent.history.remember(&descent.x, &trial, &descent.gradient, &trial_gradient);
                descent.x = trial;
                descent.value = trial_value;
                std::mem::swap(&mut descent.gradient, &mut trial_gradient);
                objective.accepted(descent)?;
                break;
            }
            // Minimum of the parabola through value, slope and trial value, kept within sensible bounds.
            let parabola = -0.5 * slope * length * length / (trial_value - descent.value - slope * length);
            length = parabola.clamp(0.1 * length, 0.5 * length);
            if length * longest < 1e-9 {
                if descent.history.is_empty() {
                    return give_up(objective, descent);
                }
                descent.history = History::default();
                break;
            }
        }
    }
    Ok(true)
}

/// Goes back to the best point.
fn give_up(objective: &mut dyn Objective, descent: &mut Descent) -> Result<bool, Error> {
    descent.value = objective.evaluate(&descent.x, &mut descent.gradient)?;
    descent.evaluations += 1;
    Ok(objective.converged())
}

/// The last steps s and changes of the gradient y.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct History {
    pairs: VecDeque<(Vec<DVec3>, Vec<DVec3>, f64)>,
}

impl History {
    fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    fn remember(&mut self, x: &[DVec3], next_x: &[DVec3], g: &[DVec3], next_g: &[DVec3]) {
        let subtract = |a: &[DVec3], b: &[DVec3]| a.iter().zip(b).map(|(a, b)| *a - *b).collect::<Vec<_>>();
        let (s, y) = (subtract(next_x, x), subtract(next_g, g));
        let curvature = dot(&s, &y);
        if curvature > 1e-8 * (dot(&s, &s) * dot(&y, &y)).sqrt() {
            if self.pairs.len() == MEMORY {
                self.pairs.pop_front();
            }
            self.pairs.push_back((s, y, curvature));
        }
    }

    /// -H g by the two-loop recursion (Nocedal and Wright, Numerical Optimization, algorithm 7.4).
    fn direction(&self, gradient: &[DVec3]) -> Vec<DVec3> {
        let mut q: Vec<DVec3> = gradient.iter().map(|g| -*g).collect();
        let mut weights = Vec::with_capacity(self.pairs.len());
        for (s, y, curvature) in self.pairs.iter().rev() {
            let weight = dot(s, &q) / curvature;
            add(&mut q, y, -weight);
            weights.push(weight);
        }
        let scale = self.pairs.back().map_or(1.0 / CURVATURE, |(_, y, curvature)| curvature / dot(y, y));
        q.iter_mut().for_each(|q| *q *= scale);
        for ((s, y, curvature), weight) in self.pairs.iter().zip(weights.iter().rev()) {
            let correction = weight - dot(y, &q) / curvature;
            add(&mut q, s, correction);
        }
        q
    }
}

fn dot(a: &[DVec3], b: &[DVec3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.dot(*b)).sum()
}

fn add(a: &mut [DVec3], b: &[DVec3], factor: f64) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += *b * factor);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rosenbrock's valley: minimum 0 at (1, 1), notoriously curved.
    struct Rosenbrock {
        slope: f64,
    }

    impl Objective for Rosenbrock {
        fn evaluate(&mut self, p: &[DVec3], gradient: &mut [DVec3]) -> Result<f64, Error> {
            let (x, y) = (p[0].x, p[0].y);
            gradient[0] = DVec3::new(2.0 * (x - 1.0) - 400.0 * x * (y - x * x), 200.0 * (y - x * x), 0.0);
            self.slope = gradient[0].length();
            Ok((x - 1.0).powi(2) + 100.0 * (y - x * x).powi(2))
        }
        fn converged(&self) -> bool {
            self.slope < 1e-8
        }
    }

    #[test]
    fn finds_the_end_of_a_curved_valley() {
        let mut rosenbrock = Rosenbrock { slope: 0.0 };
        let mut descent = Descent::new(&mut rosenbrock, vec![DVec3::new(-1.2, 1.0, 0.0)]).expect("a value");
        assert!(minimize(&mut rosenbrock, &mut descent, 300).expect("no error"));
        assert!((descent.x[0] - DVec3::new(1.0, 1.0, 0.0)).length() < 1e-8);
    }

    #[test]
    fn gives_up_when_told_and_keeps_the_best_point() {
        let mut rosenbrock = Rosenbrock { slope: 0.0 };
        let mut descent = Descent::new(&mut rosenbrock, vec![DVec3::new(-1.2, 1.0, 0.0)]).expect("a value");
        let before = descent.value;
        assert!(!minimize(&mut rosenbrock, &mut descent, 10).expect("no error"));
        assert!(descent.value < before);
    }
}
