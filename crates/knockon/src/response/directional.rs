//! Responses by direction: statistics of each sampled direction, and recoils weighted by how close they are to one.

use super::table::Recoil;
use super::{EnergySamples, group};
use crate::Error;
use glam::{DMat3, DVec3};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A direction of recoil that something else fixes, such as a gamma ray seen on the opposite side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tag {
    direction: DVec3,
    width_deg: f64,
}

impl Tag {
    /// A direction (any length but 0; Cartesian, in the frame of the campaign) with an angular standard deviation in degrees.
    pub fn new(direction: DVec3, width_deg: f64) -> Result<Self, Error> {
        let Some(unit) = direction.try_normalize() else {
            let problem = format!("expected three numbers that are not all 0, found {direction}");
            return Err(Error::input("direction", problem, "Give a direction such as 0,0,1"));
        };
        if !(1.0..=180.0).contains(&width_deg) {
            let problem = format!("expected 1 to 180 degrees, found {width_deg}");
            return Err(Error::input("direction width", problem, "Take the angular resolution of the tag"));
        }
        Ok(Self { direction: unit, width_deg })
    }

    /// An error where the direction with the largest weight is so far away that it says nothing about this one.
    pub(super) fn refuse_if_far(self, largest_weight: f64) -> Result<(), Error> {
        if largest_weight >= 1e-12 {
            return Ok(());
        }
        let problem = format!("expected sampled directions near the tag, found none within {} degrees", self.width_deg);
        Err(Error::input("direction", problem, "Widen the tag, or sample more directions"))
    }

    /// Weight of a recoil along the unit vector `vector`: exp((cos t - 1) / width^2), the distribution of von Mises and
    /// Fisher, which is a Gaussian in small angles t; averaged over the images of the vector under `operations`. These are to be those of
    /// the crystal, not only of the site: a tag does not say which of its equivalent atoms recoiled, and what is along d for one
    /// tungsten atom of CaWO4 is along -d for its neighbour.
    pub fn weight(&self, vector: DVec3, operations: &[DMat3]) -> f64 {
        let width = self.width_deg.to_radians();
        let near = |v: DVec3| ((self.direction.dot(v) - 1.0) / (width * width)).exp();
        if operations.is_empty() {
            return near(vector);
        }
        operations.iter().map(|o| near(*o * vector)).sum::<f64>() / operations.len() as f64
    }
}

/// How a response near one direction was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TagIdentity {
    /// The direction, a unit vector.
    pub direction: [f64; 3],
    /// Angular standard deviation of the weights in degrees.
    pub width_deg: f64,
    /// Symmetry operations of the crystal by which directions were repeated.
    pub n_operations: usize,
    /// Sampled directions that count.
    pub n_directions: usize,
    /// Effective number of them, (sum w)^2 / sum w^2.
    pub effective_directions: f64,
    /// Mean angle in degrees between the tag and the nearest images of these directions, by weight: what was really averaged over.
    pub mean_angle_deg: f64,
}

impl TagIdentity {
    /// In words that fit below a figure.
    pub fn in_words(&self) -> String {
        let [x, y, z] = self.direction;
        format!(
            "along ({x:.3}, {y:.3}, {z:.3}) within {} degrees (standard deviation of the weights): {:.1} effective directions \
             of {}, on average {:.0} degrees away, {} operations of the crystal",
            self.width_deg, self.effective_directions, self.n_directions, self.mean_angle_deg, self.n_operations
        )
    }
}

/// Directions with less than this fraction of the largest weight are left out.
const SMALLEST: f64 = 1e-4;

/// Multiplies the weights of a species' recoils by their closeness to the tag and leaves out those far away.
pub(super) fn weigh(
    recoils: &mut Vec<Recoil>,
    species: &str,
    tag: Tag,
    operations: &[DMat3],
) -> Result<TagIdentity, Error> {
    recoils.retain(|r| r.species == species);
    let mut directions: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    for recoil in recoils.iter_mut() {
        let Some(vector) = recoil.vector else {
            let problem = "expected the columns direction_x, direction_y, direction_z, found none";
            return Err(Error::input("recoils", problem, "A response by direction needs them"));
        };
        let images = operations.iter().map(|o| tag.direction.dot(*o * vector));
        let cosine = images.fold(if operations.is_empty() { tag.direction.dot(vector) } else { -1.0 }, f64::max);
        recoil.weight_sr *= tag.weight(vector, operations);
        directions.insert(recoil.direction, (recoil.weight_sr, cosine.clamp(-1.0, 1.0).acos()));
    }
    let largest = directions.values().map(|d| d.0).fold(0.0, f64::max);
    directions.retain(|_, d| d.0 > SMALLEST * largest);
    recoils.retain(|r| directions.contains_key(&r.direction));
    tag.refuse_if_far(largest)?;
    let total: f64 = directions.values().map(|d| d.0).sum();
    Ok(TagIdentity {
        direction: tag.direction.to_array(),
        width_deg: tag.width_deg,
        n_operations: operations.len().max(1),
        n_directions: directions.len(),
        effective_directions: total * total / directions.values().map(|d| d.0 * d.0).sum::<f64>(),
        mean_angle_deg: (directions.values().map(|d| d.0 * d.1).sum::<f64>() / total).to_degrees(),
    })
}

/// One sampled direction at one recoil energy, averaged over its starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DirectionStatistics {
    /// Recoil energy in eV.
    pub recoil_energy_ev: f64,
    /// Index of the direction.
    pub direction: u32,
    /// The direction as a unit vector.
    pub vector: DVec3,
    /// Share of the solid angle among the usable directions of this energy.
    pub weight: f64,
    /// Usable runs.
    pub n_starts: usize,
    /// Fraction of them that left defects.
    pub defect_probability: f64,
    /// Mean stored energy in eV, those without defects counted as 0.
    pub mean_stored_ev: f64,
    /// Mean of the non-zero stored energies in eV; NaN without any.
    pub mean_nonzero_ev: f64,
}

/// Statistics of every direction that has a vector, by energy and direction.
pub fn by_direction(
    recoils: &[Recoil],
    species: &str,
    zero_threshold_ev: f64,
    accepted_flags: &[String],
) -> Vec<DirectionStatistics> {
    let vectors: BTreeMap<u32, DVec3> =
        recoils.iter().filter(|r| r.species == species).filter_map(|r| Some((r.direction, r.vector?))).collect();
    let of_energy = |sample: &EnergySamples| -> Vec<DirectionStatistics> {
        let mut runs: BTreeMap<u32, Vec<(f64, f64)>> = BTreeMap::new();
        for run in &sample.runs {
            runs.entry(run.direction).or_default().push((run.weight, run.stored_energy_ev));
        }
        let one = |(direction, runs): (&u32, &Vec<(f64, f64)>)| {
            let n = runs.len() as f64;
            let damaged = runs.iter().filter(|r| r.1 > 0.0).count() as f64;
            let sum: f64 = runs.iter().map(|r| r.1).sum();
            Some(DirectionStatistics {
                recoil_energy_ev: sample.recoil_energy_ev,
                direction: *direction,
                vector: *vectors.get(direction)?,
                weight: runs.iter().map(|r| r.0).sum(),
                n_starts: runs.len(),
                defect_probability: damaged / n,
                mean_stored_ev: sum / n,
                mean_nonzero_ev: sum / damaged,
            })
        };
        runs.iter().filter_map(one).collect()
    };
    group(recoils, species, zero_threshold_ev, accepted_flags).iter().flat_map(of_energy).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// -4 about z.
    fn bar_four() -> Vec<DMat3> {
        let turn = DMat3::from_cols(DVec3::new(0.0, -1.0, 0.0), DVec3::new(1.0, 0.0, 0.0), DVec3::new(0.0, 0.0, -1.0));
        vec![DMat3::IDENTITY, turn, turn * turn, turn * turn * turn]
    }

    #[test]
    fn images_of_a_tag_see_the_same_and_a_wide_tag_sees_all() {
        let operations = bar_four();
        let (u, v) = (DVec3::new(0.3, -0.5, 0.7).normalize(), DVec3::new(-0.2, 0.9, 0.1).normalize());
        let weights: Vec<f64> =
            operations.iter().map(|o| Tag::new(*o * u, 25.0).unwrap().weight(v, &operations)).collect();
        assert!(weights.iter().all(|w| (w - weights[0]).abs() < 1e-12 && *w > 0.0), "{weights:?}");
        let wide = Tag::new(u, 180.0).unwrap();
        assert!(wide.weight(v, &operations) > 0.8 && wide.weight(u, &operations) < 1.0);
    }

    /// Half of the tungsten atoms of CaWO4 are the other half's mirror images: a tag sees no difference between d and -d.
    #[test]
    fn equivalent_atoms_of_other_orientation_are_seen_too() {
        let scheelite = crate::dynamics::testing::calcium_tungstate();
        let operations = crate::symmetry::point_operations(&scheelite, 0.01).unwrap();
        assert_eq!(operations.len(), 8, "4/m");
        let (u, v) = (DVec3::new(0.3, -0.5, 0.7).normalize(), DVec3::new(-0.2, 0.9, 0.4).normalize());
        let [along, against] = [u, -u].map(|d| Tag::new(d, 15.0).unwrap());
        assert!((along.weight(v, &operations) - against.weight(v, &operations)).abs() < 1e-12);
        assert!((along.weight(v, &bar_four()) - against.weight(v, &bar_four())).abs() > 1e-6);
    }

    #[test]
    fn weights_fall_like_a_gaussian_of_the_angle() {
        let tag = Tag::new(DVec3::Z * 3.0, 10.0).unwrap();
        let at = |degrees: f64| {
            let (sine, cosine) = degrees.to_radians().sin_cos();
            tag.weight(DVec3::new(sine, 0.0, cosine), &[])
        };
        assert!((at(0.0) - 1.0).abs() < 1e-15 && (at(10.0) - (-0.5f64).exp()).abs() < 2e-3);
    }

    #[test]
    fn senseless_tags_are_refused() {
        assert!(Tag::new(DVec3::ZERO, 10.0).is_err() && Tag::new(DVec3::X, 0.0).is_err());
        assert!(Tag::new(DVec3::new(f64::NAN, 0.0, 1.0), 10.0).is_err());
    }
}
