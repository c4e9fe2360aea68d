//! Where things happen in the box: far from the recoil, it meets its own images.

use super::{Border, Displacement, PerfectBox};
use crate::dynamics::{Bath, Simulation};
use crate::frenkel::sites::median;
use crate::units::BOLTZMANN_EV_PER_K;
use crate::{Atoms, Cell, Error};
use glam::DVec3;

/// An atom counts as displaced when it ends farther than this from its site, in angstrom (more than thermal motion and
/// the strain around defects, less than half a bond).
const DISPLACED_ANGSTROM: f64 = 1.0;

/// The box as seen from the recoiling atom: far from it, the box meets its own images.
pub(super) struct Region<'a> {
    perfect: &'a PerfectBox,
    center: DVec3,
    /// Half the cutoff of bonds, or the cooled layer if that is thicker, as a part of each box edge: damage there interacts with its image
    /// or is cooled.
    margin: DVec3,
    /// Atoms whose sites are there.
    border_atoms: Vec<usize>,
}

impl<'a> Region<'a> {
    pub(super) fn new(perfect: &'a PerfectBox, bond_cutoff_angstrom: f64, border: Option<Border>) -> Self {
        let layer_angstrom = border.map_or(0.0, |border| border.thickness_angstrom);
        let margin = layer_angstrom.max(0.5 * bond_cutoff_angstrom) / perfect.atoms.cell.face_distances_angstrom();
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

    /// Whether something moved through a face of the box, into the next image of the recoil.
    fn is_crossed(&self, from: DVec3, to: DVec3) -> bool {
        let cell = &self.perfect.atoms.cell;
        let image = |position: DVec3| cell.fractional(position - self.center).round();
        let [px, py, pz]: [bool; 3] = cell.periodic.into();
        let moved = image(from).cmpne(image(to));
        (moved.x && px) || (moved.y && py) || (moved.z && pz)
    }

    /// The bath of the layer at the faces. Fails as [`Border::check_box`] does.
    pub(super) fn border_bath(&self, border: Border, seed: u64) -> Result<Bath, Error> {
        border.check_box(&self.perfect.atoms.cell)?;
        let margin = border.thickness_angstrom / self.perfect.atoms.cell.face_distances_angstrom();
        let friction = |p: &DVec3| if self.depth(*p).cmplt(margin).any() { border.friction_per_fs } else { 0.0 };
        Ok(Bath::new(border.temperature_k, self.perfect.atoms.positions.iter().map(friction).collect(), seed))
    }
}

impl Border {
    /// Fails if the layer leaves less than half of the box free along an edge: it would cool the cascade itself.
    pub fn check_box(&self, cell: &Cell) -> Result<(), Error> {
        let edges = cell.face_distances_angstrom();
        let margin = self.thickness_angstrom / edges;
        let [px, py, pz]: [bool; 3] = cell.periodic.into();
        if (px && margin.x > 0.25) || (py && margin.y > 0.25) || (pz && margin.z > 0.25) {
            let found = format!(
                "expected a layer of at most a quarter of the box, found {} A in one of {:.1} x {:.1} x {:.1} A",
                self.thickness_angstrom, edges.x, edges.y, edges.z
            );
            return Err(Error::input("recoil.border.thickness_angstrom", found, "Take a thinner layer or more cells"));
        }
        Ok(())
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
                let site = perfect.atoms.positions[atom];
                // From the image of the recoil that is nearest to the site: the atom may have left its half of the box.
                let distance = (perfect.atoms.cell.minimum_image(site - region.center) + end - site).length();
                damage.radius = damage.radius.max(distance);
                let is_near = region.is_near_border(site) || region.is_near_border(end);
                damage.reaches_border |= is_near || region.is_crossed(site, end);
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
        let region = Region::new(&perfect, 4.0, None);
        let a = perfect.atoms.cell.vectors.x_axis;
        assert!(!region.is_near_border(region.center) && !region.is_near_border(region.center + a));
        assert!(region.is_near_border(region.center + a * 0.45) && region.is_near_border(region.center - a * 0.55));
        assert!(!region.is_near_border(region.center + a * 0.30));
        assert!(region.is_crossed(region.center + a * 0.3, region.center + a * 0.7));
        assert!(!region.is_crossed(region.center + a * 0.7, region.center + a * 0.8));
        // In a cooled layer that is thicker than half a cutoff; a thin one changes nothing.
        for (part, is_near) in [(0.22, true), (0.01, false)] {
            let thickness_angstrom = part * perfect.atoms.cell.face_distances_angstrom().x;
            let border = Border { thickness_angstrom, friction_per_fs: 0.01, temperature_k: 40.0 };
            let region = Region::new(&perfect, 4.0, Some(border));
            let found = [0.25, 0.30, 0.45].map(|along| region.is_near_border(region.center + a * along));
            assert_eq!(found, [false, is_near, true]);
        }
    }

    /// As a chain of replacements does that begins near a face.
    #[test]
    fn an_atom_that_went_through_a_face_reached_the_border() {
        let (potential, atoms) = argon_like([5; 3]);
        let perfect = PerfectBox::new(&potential, atoms, element("Ar"), QuenchSettings::default(), 0.5).expect("a box");
        let region = Region::new(&perfect, 4.0, None);
        let a = perfect.atoms.cell.vectors.x_axis;
        let fraction = |p: &DVec3| {
            let fractional = perfect.atoms.cell.fractional(*p - region.center);
            fractional - fractional.round()
        };
        let is_inside = |f: DVec3| (0.29..0.31).contains(&f.x.abs()) && f.y.abs().max(f.z.abs()) < 0.15;
        let inside = perfect.atoms.positions.iter().position(|p| is_inside(fraction(p)));
        let atom = inside.expect("a site that is not near a face");
        let outward = a * 0.4 * fraction(&perfect.atoms.positions[atom]).x.signum();
        for (way, reaches) in [(outward, true), (-outward * 0.5, false)] {
            let mut quenched = perfect.atoms.clone();
            quenched.positions[atom] += way;
            let damage = Damage::new(&perfect, &region, &quenched);
            assert_eq!((damage.displaced.len(), damage.reaches_border), (1, reaches));
            let along = (0.3 * a + outward.length() * a.normalize()).length();
            assert!(!reaches || damage.radius >= along - 0.1, "{} {along}", damage.radius);
        }
    }

    /// A vacancy there meets its image as an interstitial does.
    #[test]
    fn an_atom_that_left_the_border_counts_as_damage_there() {
        let (potential, atoms) = argon_like([5; 3]);
        let perfect = PerfectBox::new(&potential, atoms, element("Ar"), QuenchSettings::default(), 0.5).expect("a box");
        let region = Region::new(&perfect, 4.0, None);
        let atom = region.border_atoms[0];
        let mut quenched = perfect.atoms.clone();
        quenched.positions[atom] = region.center + perfect.atoms.cell.vectors * DVec3::new(0.1, 0.05, 0.02);
        let damage = Damage::new(&perfect, &region, &quenched);
        assert!(damage.displaced.len() == 1 && damage.reaches_border);
    }

    #[test]
    fn a_border_as_thick_as_the_box_is_refused() {
        let (potential, atoms) = argon_like([5; 3]);
        let perfect = PerfectBox::new(&potential, atoms, element("Ar"), QuenchSettings::default(), 0.5).expect("a box");
        let region = Region::new(&perfect, 4.0, None);
        let edge = perfect.atoms.cell.face_distances_angstrom().x;
        let bath = |part: f64| {
            let border = Border { thickness_angstrom: part * edge, friction_per_fs: 0.01, temperature_k: 40.0 };
            region.border_bath(border, 1)
        };
        assert!(bath(0.2).is_ok());
        assert!(bath(0.3).expect_err("an error").to_string().contains("at most a quarter of the box"));
    }
}
