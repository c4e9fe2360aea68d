//! From the campaign's files to the plain data of the map of directions.

use crate::figures::recoil_map::Neighbor;
use glam::DVec3;
use knockon::cascade::CampaignOverview;
use knockon::response::{EnergySamples, Run};

/// The samples whose recoil energy is closest to this one.
pub(crate) fn nearest(samples: &[EnergySamples], energy_ev: f64) -> Option<&EnergySamples> {
    let distance = |s: &&EnergySamples| (s.recoil_energy_ev - energy_ev).abs();
    samples.iter().filter(|s| !s.runs.is_empty()).min_by(|a, b| distance(a).total_cmp(&distance(b)))
}

/// Each direction with the mean stored energy in eV over its starts; directions without a usable run are left out.
pub(crate) fn mean_by_direction(campaign: &CampaignOverview, samples: &EnergySamples) -> Vec<(DVec3, f64)> {
    average_by_direction(campaign, samples, |run| run.stored_energy_ev)
}

/// The same for any number that a run has.
pub(crate) fn average_by_direction(
    campaign: &CampaignOverview,
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
pub(crate) fn directions(campaign: &CampaignOverview) -> Vec<DVec3> {
    campaign.directions.iter().map(|d| d.vector().normalize()).collect()
}

/// Names and directions of the lattice vectors.
pub(crate) fn axes(campaign: &CampaignOverview) -> Vec<(&'static str, DVec3)> {
    ["a", "b", "c"].into_iter().zip(lattice(campaign).map(DVec3::normalize)).collect()
}

/// Atoms of the perfect crystal within a radius in angstrom of the recoiling atom.
pub(crate) fn neighbors(campaign: &CampaignOverview, radius_angstrom: f64) -> Vec<Neighbor> {
    let cell = &campaign.unit_cell;
    let positions: Vec<DVec3> = cell.positions.iter().copied().map(DVec3::from_array).collect();
    let vectors = lattice(campaign);
    let volume = vectors[0].cross(vectors[1]).dot(vectors[2]).abs();
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
                for (position, species) in positions.iter().zip(&cell.species) {
                    let offset = *position + shift - center;
                    if (0.1..=radius_angstrom).contains(&offset.length()) {
                        neighbors.push(Neighbor { symbol: species.to_string(), offset });
                    }
                }
            }
        }
    }
    neighbors
}

fn lattice(campaign: &CampaignOverview) -> [DVec3; 3] {
    let v = campaign.unit_cell.vectors;
    [0, 3, 6].map(|i| DVec3::new(v[i], v[i + 1], v[i + 2]))
}

#[cfg(test)]
mod tests {
    use super::super::tests::campaign;
    use super::*;
    use knockon::Species;
    use knockon::cascade::SampledDirection;

    fn overview() -> CampaignOverview {
        CampaignOverview::parse(&campaign(), "campaign.json").expect("a campaign")
    }

    #[test]
    fn starts_are_averaged_and_directions_without_runs_left_out() {
        let direction = |x, z| SampledDirection { x, y: 0.0, z, weight_sr: 1.0 };
        let directions = vec![direction(0.0, 1.0), direction(0.6, 0.8), direction(1.0, 0.0)];
        let campaign = CampaignOverview { directions, ..overview() };
        let run = |direction, start, weight, stored_energy_ev| Run { direction, start, weight, stored_energy_ev };
        let runs = vec![run(0, 0, 0.125, 2.0), run(0, 1, 0.125, 4.0), run(2, 0, 0.75, 8.0)];
        let samples = EnergySamples { recoil_energy_ev: 112.0, n_flagged: 0, n_left_out: 0, runs };
        assert_eq!(mean_by_direction(&campaign, &samples), [(DVec3::Z, 3.0), (DVec3::X, 8.0)]);
        assert!(nearest(&[EnergySamples { runs: vec![], ..samples.clone() }], 112.0).is_none());
        assert!(nearest(&[samples], 20.0).is_some());
    }

    #[test]
    fn simple_cubic_has_six_neighbors_at_one_edge() {
        let mut campaign = overview();
        campaign.unit_cell.vectors = [2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0];
        campaign.unit_cell.species = Species::from_symbol("W").into_iter().collect();
        campaign.unit_cell.positions = vec![[0.3; 3]];
        campaign.central_atom_index = 17;
        assert_eq!(neighbors(&campaign, 2.1).len(), 6);
        assert_eq!(axes(&campaign), [("a", DVec3::X), ("b", DVec3::Y), ("c", DVec3::Z)]);
    }
}
