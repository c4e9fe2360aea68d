//! Where things happen in the box: far from the recoil, it meets its own images.

use super::wigner_seitz::median;
use super::{Border, Displacement, PerfectBox};
use crate::Atoms;
use crate::dynamics::{Bath, Simulation};
use crate::units::BOLTZMANN_EV_PER_K;
use glam::DVec3;

/// An atom counts as displaced when it ends farther than this from its site, in angstrom (more than thermal motion and
/// the strain around defects, less than half a bond).
const DISPLACED_ANGSTROM: f64 = 1.0;

/// The box as seen from the recoiling atom: far from it, the box meets its own images.
pub(super) struct Region<'a> {
    perfect: &'a PerfectBox,
    center: DVec3,
    /// Half the cutoff as a part of each box edge: damage there interacts with its image.
    margin: DVec3,
    /// Atoms whose sites are there.
    border_atoms: Vec<usize>,
}

impl<'a> Region<'a> {
    pub(super) fn new(perfect: &'a PerfectBox, cutoff_angstrom: f64) -> Self {
        let margin = 0.5 * cutoff_angstrom / perfect.atoms.cell.face_distances_angstrom();
        let center = perfect.atoms.positions[perfect.central_atom];
        let mut region = Self { perfect, center, margin, border_atoms: Vec::new() };
        let near = |atom: &usize| region.is_near_border(perfect.atoms.positions[*atom]);
        region.border_atoms = (0..perfect.atoms.len()).filter(near).collect();
        region
    }

    /// Kinetic temperature in K of the atoms near the faces of the box.
    pub(super) fn border_temperature_k(&self, simulation: &Simulation<'_>) -> f64 {
        let kinetic: f64 = self.border_atoms.iter().map(|atom| simulation.kinetic_energy_of_atom_ev(*atom)).sum();
        kinetic / (1.5 * BOLTZMANN_EV_PER_K * self.border_atoms.len().max(1) as f64)
    }

    pub(super) fn len(&self) -> usize {
        self.perfect.atoms.len()
    }

    /// Distance from the nearest of the faces that lie half a box away from the recoil, as parts of the box edges.
    fn depth(&self, position: DVec3) -> DVec3 {
        let off = self.perfect.atoms.cell.fractional(position - self.center).abs();
        let [px, py, pz]: [bool; 3] = self.perfect.atoms.cell.periodic.into();
        let wrap = |x: f64, periodic: bool| if periodic { 0.5 - (x - x.round()).abs() } else { 0.5 };
        // An atom that has crossed the face is not far from it either.
        DVec3::new(wrap(off.x, px), wrap(off.y, py), wrap(off.z, pz))
    }

    pub(super) fn is_near_border(&self, position: DVec3) -> bool {
        self.depth(position).cmplt(self.margin).any()
    }

    pub(super) fn border_bath(&self, border: Border, seed: u64) -> Bath {
        let margin = border.thickness_angstrom / self.perfect.atoms.cell.face_distances_angstrom();
        let friction = |p: &DVec3| if self.depth(*p).cmplt(margin).any() { border.friction_per_fs } else { 0.0 };
        Bath::new(border.temperature_k, self.perfect.atoms.positions.iter().map(friction).collect(), seed)
    }
}

/// Where the atoms ended, compared with the perfect box.
pub(super) struct Damage {
    /// The farthest first.
    pub(super) displaced: Vec<Displacement>,
    pub(super) max_displacement: f64,
    pub(super) radius: f64,
    pub(super) reaches_border: bool,
}

impl Damage {
    pub(super) fn new(perfect: &PerfectBox, region: &Region<'_>, quenched: &Atoms) -> Self {
        let raw: Vec<DVec3> = quenched.positions.iter().zip(&perfect.atoms.positions).map(|(q, p)| *q - *p).collect();
        // The whole box drifts; most atoms only did that, so the median is the drift.
        let drift = median(&raw);
        let mut damage = Self { displaced: Vec::new(), max_displacement: 0.0, radius: 0.0, reaches_border: false };
        for (atom, displacement) in raw.iter().enumerate() {
            let length = (*displacement - drift).length();
            damage.max_displacement = damage.max_displacement.max(length);
            if length > DISPLACED_ANGSTROM {
                let end = quenched.positions[atom] - drift;
                let species = perfect.atoms.species[atom];
                damage.displaced.push(Displacement { species, distance_angstrom: length });
                let distance = perfect.atoms.cell.minimum_image(end - region.center).length();
                damage.radius = damage.radius.max(distance);
                damage.reaches_border |= region.is_near_border(end);
            }
        }
        damage.displaced.sort_by(|a, b| b.distance_angstrom.total_cmp(&a.distance_angstrom));
        damage
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::QuenchSettings;
    use crate::dynamics::testing::{argon_like, element};

    #[test]
    fn depth_is_measured_from_the_recoil_through_the_faces() {
        let (potential, atoms) = argon_like([5; 3]);
        let perfect = PerfectBox::new(&potential, atoms, element("Ar"), QuenchSettings::default(), 0.5).expect("a box");
        let region = Region::new(&perfect, 4.0);
        let a = perfect.atoms.cell.vectors.x_axis;
        assert!(!region.is_near_border(region.center) && !region.is_near_border(region.center + a));
        assert!(region.is_near_border(region.center + a * 0.45) && region.is_near_border(region.center - a * 0.55));
        assert!(!region.is_near_border(region.center + a * 0.30));
    }
}
