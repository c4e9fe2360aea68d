//! Sites of a perfect crystal, and which of them is nearest to an atom of another box of it (Wigner and Seitz): what the two
//! counts of defects share, that of pairs ([`occupation`](super::occupation)) and that of cascades
//! ([`Defects`](crate::cascade::Defects)).

use crate::{Atoms, Cell};
use glam::DVec3;

/// Positions in the box of the perfect crystal, homogeneous strain and drift taken off. Atom k of the box began on site k. Most
/// atoms only drifted, so the median displacement is the drift: unlike the displacement of the centre of mass, it does not feel
/// the few that went far.
pub(crate) fn onto(perfect: &Atoms, atoms: &Atoms) -> Vec<DVec3> {
    let map = perfect.cell.vectors * atoms.cell.vectors.inverse();
    let mapped: Vec<DVec3> = atoms.positions.iter().map(|p| map * *p).collect();
    let displacements: Vec<DVec3> =
        mapped.iter().zip(&perfect.positions).map(|(p, site)| perfect.cell.minimum_image(*p - *site)).collect();
    let drift = median(&displacements);
    mapped.into_iter().map(|p| p - drift).collect()
}

/// The median along each axis, of an even number the upper one.
pub(crate) fn median(vectors: &[DVec3]) -> DVec3 {
    let along = |axis: usize| {
        let mut values: Vec<f64> = vectors.iter().map(|v| v[axis]).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    };
    DVec3::new(along(0), along(1), along(2))
}

/// Bins are at least this thick, in angstrom: no point of a crystal is much farther from all its sites.
const BIN_ANGSTROM: f64 = 3.0;

/// Sites of the crystal in bins.
pub(crate) struct Sites<'a> {
    cell: Cell,
    positions: &'a [DVec3],
    counts: [usize; 3],
    bins: Vec<Vec<usize>>,
}

impl<'a> Sites<'a> {
    pub(crate) fn new(crystal: &'a Atoms) -> Self {
        let faces = crystal.cell.face_distances_angstrom().to_array();
        let counts = faces.map(|d| ((d / BIN_ANGSTROM) as usize).max(1));
        let mut sites = Self {
            cell: crystal.cell,
            positions: &crystal.positions,
            counts,
            bins: vec![Vec::new(); counts.iter().product()],
        };
        for (site, position) in crystal.positions.iter().enumerate() {
            let bin = sites.index(sites.bin(*position));
            sites.bins[bin].push(site);
        }
        sites
    }

    fn bin(&self, position: DVec3) -> [usize; 3] {
        let fractional = self.cell.fractional(position).to_array();
        let periodic: [bool; 3] = self.cell.periodic.into();
        std::array::from_fn(|axis| {
            let x = if periodic[axis] { fractional[axis].rem_euclid(1.0) } else { fractional[axis].max(0.0) };
            ((x * self.counts[axis] as f64) as usize).min(self.counts[axis] - 1)
        })
    }

    fn index(&self, bin: [usize; 3]) -> usize {
        (bin[0] * self.counts[1] + bin[1]) * self.counts[2] + bin[2]
    }

    /// The nearest of the sites that count and its distance in angstrom; of equally near ones the first. None if none counts.
    pub(crate) fn nearest(&self, position: DVec3, counts: impl Fn(usize) -> bool) -> Option<(usize, f64)> {
        let near = self.sites_around(position).into_iter().filter(|site| counts(*site));
        let best = self.nearest_of(position, near);
        // Beyond the thickness of a bin, a site in a bin that was not looked at may be nearer.
        best.filter(|(_, distance)| *distance < BIN_ANGSTROM)
            .or_else(|| self.nearest_of(position, (0..self.positions.len()).filter(|site| counts(*site))))
    }

    /// Sites in the bin of a position and in those beside it.
    fn sites_around(&self, position: DVec3) -> Vec<usize> {
        let bin = self.bin(position);
        let around = |axis: usize| {
            let n = self.counts[axis];
            [n - 1, 0, 1].map(|step| (bin[axis] + step) % n)
        };
        let mut found = Vec::new();
        for i in around(0) {
            for j in around(1) {
                for k in around(2) {
                    found.extend_from_slice(&self.bins[self.index([i, j, k])]);
                }
            }
        }
        found
    }

    fn nearest_of(&self, position: DVec3, sites: impl Iterator<Item = usize>) -> Option<(usize, f64)> {
        let distance = |site: usize| (site, self.cell.minimum_image(position - self.positions[site]).length());
        sites.map(distance).min_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::{calcium_tungstate, element};

    /// The bins give what a search among all sites gives, of all elements and of one whose sites are far apart.
    #[test]
    fn bins_find_the_nearest_site() {
        let perfect = calcium_tungstate().supercell([3, 3, 2]);
        let sites = Sites::new(&perfect);
        for (i, p) in perfect.positions.iter().enumerate() {
            let p = *p + DVec3::new(0.9, -1.1, 0.7) * ((i % 17) as f64 / 4.0);
            assert_eq!(sites.nearest(p, |_| true), sites.nearest_of(p, 0..perfect.len()));
            let is_tungsten = |site: usize| perfect.species[site] == element("W");
            let all = (0..perfect.len()).filter(|site| is_tungsten(*site));
            assert_eq!(sites.nearest(p, is_tungsten), sites.nearest_of(p, all));
        }
        assert_eq!(sites.nearest(DVec3::ZERO, |_| false), None);
    }

    /// An average of the two middle ones would be a drift that no atom made.
    #[test]
    fn the_drift_is_one_that_an_atom_made() {
        let vectors = [DVec3::new(0.0, 4.0, 1.0), DVec3::new(2.0, 3.0, 1.0)];
        assert_eq!(median(&vectors), DVec3::new(2.0, 4.0, 1.0));
        assert_eq!(median(&[]), DVec3::ZERO);
    }
}
