//! From the campaign's files to the plain data of the map of directions.

use super::run::Campaign;
use crate::figures::recoil_map::Neighbor;
use glam::{DMat3, DVec3};
use knockon::response::{EnergySamples, Run};

/// The samples whose recoil energy is closest to this one.
pub(crate) fn nearest(samples: &[EnergySamples], energy_ev: f64) -> Option<&EnergySamples> {
    let distance = |s: &&EnergySamples| (s.recoil_energy_ev - energy_ev).abs();
    samples.iter().filter(|s| !s.runs.is_empty()).min_by(|a, b| distance(a).total_cmp(&distance(b)))
}

/// Each direction with the mean stored energy in eV over its starts; directions without a usable run are left out.
pub(crate) fn mean_by_direction(campaign: &Campaign, samples: &EnergySamples) -> Vec<(DVec3, f64)> {
    average_by_direction(campaign, samples, |run| run.stored_energy_ev)
}

/// The same for any number that a run has.
pub(crate) fn average_by_direction(
    campaign: &Campaign,
    samples: &EnergySamples,
    value: impl Fn(&Run) -> f64,
) -> Vec<(DVec3, f64)> {
    let mean = |index: usize| {
        let starts: Vec<f64> = samples.runs.iter().filter(|r| r.direction as usize == index).map(&value).collect();
        (!starts.is_empty()).then(|| starts.iter().sum::<f64>() / starts.len() as f64)
    };
    let indexed = directions(campaign).into_iter().enumerate();
    indexed.filter_map(|(index, direction)| Some((direction, mean(index)?))).collect()
}

/// Sampled directions as unit vectors.
pub(crate) fn directions(campaign: &Campaign) -> Vec<DVec3> {
    campaign.directions.iter().map(|d| DVec3::new(d.x, d.y, d.z).normalize_or(DVec3::Z)).collect()
}

/// Symmetry operations of the site (row-major in the file).
pub(crate) fn operations(campaign: &Campaign) -> Vec<DMat3> {
    let matrix = |rows: &Vec<f64>| Some(DMat3::from_cols_array(rows.as_slice().try_into().ok()?).transpose());
    campaign.operations.iter().filter_map(matrix).collect()
}

/// Names and directions of the lattice vectors.
pub(crate) fn axes(campaign: &Campaign) -> Vec<(&'static str, DVec3)> {
    let vectors = lattice(campaign);
    let named = |(name, vector): (&'static str, DVec3)| Some((name, vector.try_normalize()?));
    ["a", "b", "c"].into_iter().zip(vectors.into_iter().flatten()).filter_map(named).collect()
}

/// Atoms of the perfect crystal within a radius in angstrom of the recoiling atom.
pub(crate) fn neighbors(campaign: &Campaign, radius_angstrom: f64) -> Vec<Neighbor> {
    let cell = &campaign.unit_cell;
    let positions: Vec<DVec3> =
        cell.positions.iter().filter_map(|p| Some(DVec3::from_array(p.as_slice().try_into().ok()?))).collect();
    let Some(vectors) = lattice(campaign) else { return Vec::new() };
    let volume = vectors[0].cross(vectors[1]).dot(vectors[2]).abs();
    if positions.is_empty() || positions.len() != cell.species.len() || volume < 1e-3 {
        return Vec::new();
    }
    // a supercell repeats the atoms of its cell block by block
    let center = positions[campaign.central_atom_index % positions.len()];
    let images = |i: usize| {
        let height = volume / vectors[(i + 1) % 3].cross(vectors[(i + 2) % 3]).length();
        (radius_angstrom / height).ceil() as i32 + 1
    };
    let mut neighbors = Vec::new();
    for i in -images(0)..=images(0) {
        for j in -images(1)..=images(1) {
            for k in -images(2)..=images(2) {
                let shift = vectors[0] * f64::from(i) + vectors[1] * f64::from(j) + vectors[2] * f64::from(k);
                for (position, symbol) in positions.iter().zip(&cell.species) {
                    let offset = *position + shift - center;
                    if (0.1..=radius_angstrom).contains(&offset.length()) {
                        neighbors.push(Neighbor { symbol: symbol.clone(), offset });
                    }
                }
            }
        }
    }
    neighbors
}

fn lattice(campaign: &Campaign) -> Option<[DVec3; 3]> {
    let v: [f64; 9] = campaign.unit_cell.vectors.as_slice().try_into().ok()?;
    Some([0, 3, 6].map(|i| DVec3::new(v[i], v[i + 1], v[i + 2])))
}

#[cfg(test)]
mod tests {
    use super::super::run::Direction;
    use super::*;

    #[test]
    fn starts_are_averaged_and_directions_without_runs_left_out() {
        let direction = |x, z| Direction { x, y: 0.0, z };
        let campaign = Campaign {
            directions: vec![direction(0.0, 1.0), direction(1.0, 1.0), direction(1.0, 0.0)],
            ..Campaign::default()
        };
        let run = |direction, start, weight, stored_energy_ev| Run { direction, start, weight, stored_energy_ev };
        let runs = vec![run(0, 0, 0.125, 2.0), run(0, 1, 0.125, 4.0), run(2, 0, 0.75, 8.0)];
        let samples = EnergySamples { recoil_energy_ev: 112.0, n_flagged: 0, n_left_out: 0, runs };
        assert_eq!(mean_by_direction(&campaign, &samples), [(DVec3::Z, 3.0), (DVec3::X, 8.0)]);
        assert!(nearest(&[EnergySamples { runs: vec![], ..samples.clone() }], 112.0).is_none());
        assert!(nearest(&[samples], 20.0).is_some());
    }

    #[test]
    fn simple_cubic_has_six_neighbors_at_one_edge() {
        let mut campaign = Campaign::default();
        campaign.unit_cell.vectors = vec![2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0];
        campaign.unit_cell.species = vec!["W".into()];
        campaign.unit_cell.positions = vec![vec![0.3, 0.3, 0.3]];
        campaign.central_atom_index = 17;
        assert_eq!(neighbors(&campaign, 2.1).len(), 6);
        assert_eq!(neighbors(&Campaign::default(), 6.0).len(), 0);
    }
}
