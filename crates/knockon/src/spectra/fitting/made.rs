//! What takes longer to make than all else in an iteration, kept for all fits of one problem: resolution and trigger at the
//! resolutions that fits come to, and recoils that no parameter changes (simulated captures).

use super::super::eye::Eye;
use super::model::TruePart;
use crate::Error;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Ratio of neighbouring resolutions that a free one is interpolated between: 2 %. A cubic in the logarithm is then off by 1e-7
/// of a Gaussian's height; the check of convergence does without interpolation.
const LOG_STEP: f64 = 0.02;

/// Eyes by resolution (the bits of a number in eV) and number of lines; of the same internal bins, edges and calibration.
pub(super) type Eyes = Made<(u64, usize), Eye>;
/// Recoils of components without parameters of shape, by index; on the same internal bins.
pub(super) type Truths = Made<usize, Vec<TruePart>>;

/// Things made when first asked for.
pub(super) struct Made<Key, Thing> {
    things: Mutex<BTreeMap<Key, Arc<Thing>>>,
}

impl<Key, Thing> Default for Made<Key, Thing> {
    fn default() -> Self {
        Self { things: Mutex::default() }
    }
}

impl<Key: Ord, Thing> Made<Key, Thing> {
    /// The thing of this key, made by `make` if it does not exist.
    pub(super) fn get(&self, key: Key, make: impl FnOnce() -> Result<Thing, Error>) -> Result<Arc<Thing>, Error> {
        let found = self.things.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(thing) = found {
            return Ok(thing);
        }
        // Without the lock: making one runs in parallel, and a thread that waits may take up work that needs it.
        let thing = Arc::new(make()?);
        Ok(self.things.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert(thing).clone())
    }
}

impl Truths {
    /// Recoils of the component of this index with these parameters of its shape; kept if there are none.
    pub(super) fn of(
        &self,
        index: usize,
        shape: &[f64],
        make: impl FnOnce() -> Result<Vec<TruePart>, Error>,
    ) -> Result<Arc<Vec<TruePart>>, Error> {
        if shape.is_empty() { self.get(index, make) } else { Ok(Arc::new(make()?)) }
    }
}

/// Resolutions around one, and the weights of Lagrange's cubic through them.
pub(super) fn nodes(resolution_ev: f64) -> [(f64, f64); 4] {
    let place = resolution_ev.ln() / LOG_STEP;
    let (below, t) = (place.floor(), place - place.floor());
    let at = |offset: f64| ((below + offset) * LOG_STEP).exp();
    [
        (at(-1.0), -t * (t - 1.0) * (t - 2.0) / 6.0),
        (at(0.0), (t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0),
        (at(1.0), -(t + 1.0) * t * (t - 2.0) / 2.0),
        (at(2.0), (t + 1.0) * t * (t - 1.0) / 6.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::normal_cdf;

    #[test]
    fn a_resolution_between_two_is_interpolated() {
        for resolution in [0.07, 1.0, 5.37, 6.0] {
            for x in [-3.0, 0.5, 4.0] {
                let exact = normal_cdf(x / resolution);
                let found: f64 = nodes(resolution).iter().map(|(r, weight)| weight * normal_cdf(x / r)).sum();
                assert!((found - exact).abs() < 2e-7, "{resolution} {x}: {found} {exact}");
            }
        }
    }
}
