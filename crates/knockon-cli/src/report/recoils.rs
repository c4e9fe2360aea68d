//! From the campaign's files to the plain data of figures 1 and 2.

use super::run::{Campaign, Run};
use crate::figures::plot::Estimate;
use crate::figures::recoil_map::Neighbor;
use glam::{DMat3, DVec3};

/// One finished recoil.
#[derive(Clone, Debug)]
pub(crate) struct Recoil {
    pub(crate) energy_ev: f64,
    pub(crate) direction: String,
    pub(crate) unit_vector: DVec3,
    pub(crate) weight_sr: f64,
    pub(crate) stored_energy_ev: f64,
}

/// The recoils of one energy, without flagged ones.
pub(crate) struct Group {
    pub(crate) energy_ev: f64,
    pub(crate) recoils: Vec<Recoil>,
}

/// Recoils by energy, ascending; flagged ones are left out.
pub(crate) fn by_energy(run: &Run) -> Vec<Group> {
    let Some(table) = &run.recoils else { return Vec::new() };
    let [energy, x, y, z, weight, stored] =
        ["recoil_energy_ev", "direction_x", "direction_y", "direction_z", "weight_sr", "stored_energy_ev"]
            .map(|name| table.numbers(name));
    let (directions, flags) = (table.text("direction"), table.text("flags"));
    let mut groups: Vec<Group> = Vec::new();
    for i in (0..table.len()).filter(|i| flags[*i].is_empty()) {
        let unit_vector = DVec3::new(x[i], y[i], z[i]).normalize_or_zero();
        if !(energy[i].is_finite() && stored[i].is_finite()) {
            continue;
        }
        let weight_sr = if weight[i] > 0.0 { weight[i] } else { 1.0 };
        let recoil = Recoil {
            energy_ev: energy[i],
            direction: directions[i].to_owned(),
            unit_vector,
            weight_sr,
            stored_energy_ev: stored[i],
        };
        match groups.iter_mut().find(|g| g.energy_ev == recoil.energy_ev) {
            Some(group) => group.recoils.push(recoil),
            None => groups.push(Group { energy_ev: recoil.energy_ev, recoils: vec![recoil] }),
        }
    }
    groups.sort_by(|a, b| a.energy_ev.total_cmp(&b.energy_ev));
    groups
}

/// The group whose energy is closest to this one.
pub(crate) fn nearest(groups: &[Group], energy_ev: f64) -> Option<&Group> {
    let distance = |group: &&Group| (group.energy_ev - energy_ev).abs();
    groups.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)))
}

impl Group {
    /// Stored energy and weight of each recoil. A direction's solid angle is shared equally among its starts; the
    /// weights sum to 1.
    pub(crate) fn samples(&self) -> Vec<(f64, f64)> {
        let starts = |direction: &str| self.recoils.iter().filter(|r| r.direction == direction).count() as f64;
        let weights: Vec<f64> = self.recoils.iter().map(|r| r.weight_sr / starts(&r.direction)).collect();
        let total: f64 = weights.iter().sum();
        self.recoils.iter().zip(weights).map(|(r, w)| (r.stored_energy_ev, w / total)).collect()
    }

    /// Mean stored energy in eV over the starts of each direction.
    pub(crate) fn mean_by_direction(&self) -> Vec<(DVec3, f64)> {
        let mut means: Vec<(&str, DVec3, f64, f64)> = Vec::new();
        for recoil in self.recoils.iter().filter(|r| r.unit_vector != DVec3::ZERO) {
            match means.iter_mut().find(|m| m.0 == recoil.direction) {
                Some(mean) => {
                    mean.2 += recoil.stored_energy_ev;
                    mean.3 += 1.0;
                }
                None => means.push((&recoil.direction, recoil.unit_vector, recoil.stored_energy_ev, 1.0)),
            }
        }
        means.into_iter().map(|(_, direction, sum, n)| (direction, sum / n)).collect()
    }
}

/// Weighted mean of the stored energies above a threshold, without uncertainty.
pub(crate) fn mean_nonzero(samples: &[(f64, f64)], threshold_ev: f64) -> Option<Estimate> {
    let nonzero = || samples.iter().filter(|(energy, _)| *energy > threshold_ev);
    let weight: f64 = nonzero().map(|s| s.1).sum();
    let sum: f64 = nonzero().map(|s| s.0 * s.1).sum();
    (weight > 0.0).then(|| Estimate { value: sum / weight, low: f64::NAN, high: f64::NAN })
}

/// Sampled directions as unit vectors.
pub(crate) fn directions(campaign: &Campaign) -> Vec<DVec3> {
    campaign.directions.iter().filter_map(|d| DVec3::new(d.x, d.y, d.z).try_normalize()).collect()
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
    use super::*;

    fn recoil(direction: &str, weight_sr: f64, stored_energy_ev: f64) -> Recoil {
        Recoil { energy_ev: 112.0, direction: direction.into(), unit_vector: DVec3::Z, weight_sr, stored_energy_ev }
    }

    #[test]
    fn starts_share_the_solid_angle_of_their_direction() {
        let recoils = vec![recoil("0", 1.0, 2.0), recoil("0", 1.0, 4.0), recoil("1", 3.0, 8.0)];
        let group = Group { energy_ev: 112.0, recoils };
        assert_eq!(group.samples(), [(2.0, 0.125), (4.0, 0.125), (8.0, 0.75)]);
        assert_eq!(group.mean_by_direction().iter().map(|m| m.1).collect::<Vec<_>>(), [3.0, 8.0]);
        let mean = mean_nonzero(&group.samples(), 3.0).expect("two are above 3 eV").value;
        assert!((mean - (4.0 * 0.125 + 8.0 * 0.75) / 0.875).abs() < 1e-12);
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
