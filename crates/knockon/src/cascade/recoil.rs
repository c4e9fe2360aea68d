//! One recoil: kick, cascade, quench, and the ledger of what happened.

use super::wigner_seitz::median;
use super::{Defects, PerfectBox, Start};
use crate::dynamics::{Bath, QuenchSettings, Simulation, TimeStep, quench, speed};
use crate::{Atoms, Error, Potential};
use glam::DVec3;
use serde::{Deserialize, Serialize};

/// How a recoil is followed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoilSettings {
    /// Time in fs from the kick to the quench.
    pub time_fs: f64,
    /// Limits on the time step.
    #[serde(default)]
    pub time_step: TimeStep,
    /// When the quench ends.
    #[serde(default)]
    pub quench: QuenchSettings,
    /// How much farther than the cutoff neighbour lists reach, in angstrom.
    #[serde(default = "default_skin")]
    pub skin_angstrom: f64,
    /// A cooled layer at the faces of the box; without it energy is conserved (as in the paper).
    #[serde(default)]
    pub border: Option<Border>,
}

fn default_skin() -> f64 {
    0.5
}

/// A layer of atoms at the faces of the box, coupled to a Langevin bath, that takes up the heat a small box cannot.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Border {
    /// Thickness of the layer in angstrom on each side.
    pub thickness_angstrom: f64,
    /// Friction in 1/fs.
    pub friction_per_fs: f64,
    /// Temperature of the bath in K.
    pub temperature_k: f64,
}

/// What happened in one recoil.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recoil {
    /// Kinetic energy in eV of the recoiling atom after the kick.
    pub recoil_energy_ev: f64,
    /// Direction of the kick, a unit vector.
    pub direction: DVec3,
    /// Energy in eV that the kick added: the recoil energy less the thermal kinetic energy that it replaced.
    pub energy_given_ev: f64,
    /// Energy of the quenched box less that of the perfect box, in eV.
    pub stored_energy_ev: f64,
    /// Total energy at the end less that after the kick and what the border gave, in eV: the integration error.
    pub energy_drift_ev: f64,
    /// Energy in eV that the border's bath gave to the atoms (negative: it cooled them).
    pub border_energy_ev: f64,
    /// Shortest time step in fs.
    pub min_time_step_fs: f64,
    /// Time steps taken.
    pub steps: u64,
    /// Time in fs from the kick to the quench.
    pub simulated_time_fs: f64,
    /// Kinetic temperature in K before the quench.
    pub final_temperature_k: f64,
    /// Largest force on an atom after the quench, in eV/angstrom.
    pub max_force_ev_per_angstrom: f64,
    /// Evaluations that the quench took.
    pub quench_evaluations: u64,
    /// Shortest distance in angstrom between two atoms at any step of the cascade.
    pub min_distance_angstrom: f64,
    /// Atoms farther than 1 angstrom from where they were in the perfect box.
    pub displaced_atoms: usize,
    /// Largest displacement in angstrom from the perfect box.
    pub max_displacement_angstrom: f64,
    /// Largest distance in angstrom from the recoil's site to a displaced atom's end point.
    pub damage_radius_angstrom: f64,
    /// Point defects of the quenched box, from a Wigner-Seitz analysis; empty in records of earlier versions.
    #[serde(default)]
    pub defects: Defects,
    /// Largest extrapolation grade of an atom during the cascade, where someone looked (see [`super::GradeWatch`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_extrapolation_grade: Option<f64>,
    /// Reasons not to trust this run: `drift`, `small-box`, `close-pair`, `quench`, `hole`, `extrapolation`.
    pub flags: Vec<String>,
}

/// An atom counts as displaced when it ends farther than this from its site, in angstrom (more than thermal motion and
/// the strain around defects, less than half a bond).
const DISPLACED_ANGSTROM: f64 = 1.0;
/// An energy error beyond this part of the recoil energy is flagged; it matters only through the trajectory, since
/// stored energies are differences of quenched energies.
const DRIFT_PART: f64 = 0.01;
/// Atoms with more kinetic energy than this (eV) near the faces of the box could displace atoms of the next image:
/// the order of the smallest threshold displacement energies of oxides.
const HOT_ATOM_EV: f64 = 20.0;
/// Atoms of a quenched box closer than this (angstrom) sit in the screened-nuclear part of the potential, where
/// no first-principles data speak.
const CLOSE_PAIR_ANGSTROM: f64 = 1.0;

/// A box below the perfect one by more than this (eV), or above it by more than the recoil gave, has fallen into a hole
/// of the potential.
const HOLE_EV: f64 = 0.1;

/// Follows one recoil from a thermalised start to the quenched box, which is returned too.
///
/// The velocity of the recoiling atom is replaced, so that its kinetic energy is the recoil energy exactly. The momentum
/// is not balanced elsewhere (as in the paper): the box drifts slowly, which displacements are corrected for.
/// `watch` sees the simulation after every step; `seed` matters only to the border's bath.
#[expect(clippy::too_many_arguments, reason = "a recoil is defined by all of them")]
pub fn run_recoil(
    potential: &dyn Potential,
    perfect: &PerfectBox,
    start: &Start,
    recoil_energy_ev: f64,
    direction: DVec3,
    settings: &RecoilSettings,
    seed: u64,
    watch: &mut dyn FnMut(&Simulation<'_>),
) -> Result<(Recoil, Atoms), Error> {
    let Some(direction) = direction.try_normalize().filter(|_| recoil_energy_ev >= 0.0) else {
        let found =
            format!("expected a positive energy and a direction, found {recoil_energy_ev} eV along {direction}");
        return Err(Error::input("recoil", found, "Give the energy in eV and a direction that is not zero"));
    };
    let atoms = Atoms { positions: start.positions.clone(), ..perfect.atoms.clone() };
    let mut simulation = Simulation::new(potential, atoms, settings.skin_angstrom)?;
    let thermal_ev = kick(&mut simulation, start, perfect.central_atom, recoil_energy_ev, direction);
    let start_energy = simulation.total_energy_ev();
    let region = Region::new(perfect, potential.cutoff_angstrom());
    let mut bath = settings.border.map(|border| region.border_bath(border, seed));

    let (mut min_time_step_fs, mut steps, mut hot_at_border) = (f64::INFINITY, 0, false);
    let mut min_distance_angstrom = simulation.shortest_distance_angstrom();
    while simulation.time_fs() < settings.time_fs {
        let step_fs = simulation.time_step_fs(&settings.time_step);
        min_time_step_fs = min_time_step_fs.min(step_fs);
        simulation.step(step_fs.min(settings.time_fs - simulation.time_fs()).max(1e-9), bath.as_mut())?;
        steps += 1;
        watch(&simulation);
        min_distance_angstrom = min_distance_angstrom.min(simulation.shortest_distance_angstrom());
        hot_at_border |= (0..region.len()).any(|atom| {
            simulation.kinetic_energy_of_atom_ev(atom) > HOT_ATOM_EV
                && region.is_near_border(simulation.atoms().positions[atom])
        });
    }
    let border_energy_ev = bath.as_ref().map_or(0.0, |b| b.energy_given_ev);
    let energy_drift_ev = simulation.total_energy_ev() - start_energy - border_energy_ev;
    let (simulated_time_fs, final_temperature_k) = (simulation.time_fs(), simulation.temperature_k());

    let quenched = quench(&mut simulation, &settings.quench)?;
    let stored_energy_ev = quenched.energy_ev - perfect.energy_ev;
    let damage = Damage::new(perfect, &region, simulation.atoms());
    let flags = [
        ("drift", energy_drift_ev.abs() > DRIFT_PART * recoil_energy_ev.max(10.0)),
        ("small-box", hot_at_border || damage.reaches_border),
        ("close-pair", simulation.shortest_distance_angstrom() < CLOSE_PAIR_ANGSTROM),
        ("quench", !quenched.converged),
        ("hole", !(-HOLE_EV..=recoil_energy_ev).contains(&stored_energy_ev)),
    ];
    let recoil = Recoil {
        recoil_energy_ev,
        direction,
        energy_given_ev: recoil_energy_ev - thermal_ev,
        stored_energy_ev,
        energy_drift_ev,
        border_energy_ev,
        min_time_step_fs: if steps == 0 { 0.0 } else { min_time_step_fs },
        steps,
        simulated_time_fs,
        final_temperature_k,
        max_force_ev_per_angstrom: quenched.max_force_ev_per_angstrom,
        quench_evaluations: quenched.evaluations,
        min_distance_angstrom,
        displaced_atoms: damage.displaced_atoms,
        max_displacement_angstrom: damage.max_displacement,
        damage_radius_angstrom: damage.radius,
        defects: Defects::find(&perfect.atoms, simulation.atoms())?,
        max_extrapolation_grade: None,
        flags: flags.iter().filter(|(_, raised)| *raised).map(|(name, _)| (*name).to_owned()).collect(),
    };
    Ok((recoil, simulation.atoms().clone()))
}

/// Gives the thermal velocities to all atoms and the recoil to one; returns the kinetic energy that it had before.
fn kick(simulation: &mut Simulation<'_>, start: &Start, atom: usize, energy_ev: f64, direction: DVec3) -> f64 {
    simulation.set_velocities(start.velocities.clone());
    let thermal_ev = simulation.kinetic_energy_of_atom_ev(atom);
    let mut velocities = start.velocities.clone();
    velocities[atom] = direction * speed(energy_ev, simulation.masses_u()[atom]);
    simulation.set_velocities(velocities);
    thermal_ev
}

/// The box as seen from the recoiling atom: far from it, the box meets its own images.
struct Region<'a> {
    perfect: &'a PerfectBox,
    center: DVec3,
    /// Half the cutoff as a part of each box edge: damage there interacts with its image.
    margin: DVec3,
}

impl<'a> Region<'a> {
    fn new(perfect: &'a PerfectBox, cutoff_angstrom: f64) -> Self {
        let margin = 0.5 * cutoff_angstrom / perfect.atoms.cell.face_distances_angstrom();
        Self { perfect, center: perfect.atoms.positions[perfect.central_atom], margin }
    }

    fn len(&self) -> usize {
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

    fn is_near_border(&self, position: DVec3) -> bool {
        self.depth(position).cmplt(self.margin).any()
    }

    fn border_bath(&self, border: Border, seed: u64) -> Bath {
        let margin = border.thickness_angstrom / self.perfect.atoms.cell.face_distances_angstrom();
        let friction = |p: &DVec3| if self.depth(*p).cmplt(margin).any() { border.friction_per_fs } else { 0.0 };
        Bath::new(border.temperature_k, self.perfect.atoms.positions.iter().map(friction).collect(), seed)
    }
}

/// Where the atoms ended, compared with the perfect box.
struct Damage {
    displaced_atoms: usize,
    max_displacement: f64,
    radius: f64,
    reaches_border: bool,
}

impl Damage {
    fn new(perfect: &PerfectBox, region: &Region<'_>, quenched: &Atoms) -> Self {
        let raw: Vec<DVec3> = quenched.positions.iter().zip(&perfect.atoms.positions).map(|(q, p)| *q - *p).collect();
        // The whole box drifts; most atoms only did that, so the median is the drift.
        let drift = median(&raw);
        let mut damage = Self { displaced_atoms: 0, max_displacement: 0.0, radius: 0.0, reaches_border: false };
        for (atom, displacement) in raw.iter().enumerate() {
            let length = (*displacement - drift).length();
            damage.max_displacement = damage.max_displacement.max(length);
            if length > DISPLACED_ANGSTROM {
                let end = quenched.positions[atom] - drift;
                damage.displaced_atoms += 1;
                let distance = perfect.atoms.cell.minimum_image(end - region.center).length();
                damage.radius = damage.radius.max(distance);
                damage.reaches_border |= region.is_near_border(end);
            }
        }
        damage
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cascade::{Thermalization, thermalize};
    use crate::dynamics::testing::{PairPotential, argon_like, element};
    use crate::progress::Silent;

    const COLD: Thermalization = Thermalization {
        temperature_k: 40.0,
        time_fs: 200.0,
        sampling_time_fs: 0.0,
        time_step_fs: 4.0,
        friction_per_fs: 0.01,
    };

    fn prepared(cells: usize) -> (PairPotential, PerfectBox, Start) {
        let (potential, atoms) = argon_like([cells; 3]);
        let perfect = PerfectBox::new(&potential, atoms, element("Ar"), QuenchSettings::default(), 0.5).expect("a box");
        let start = thermalize(&potential, &perfect, &COLD, 1, 3, &Silent).expect("a start").remove(0);
        (potential, perfect, start)
    }

    fn settings(time_fs: f64) -> RecoilSettings {
        let time_step = TimeStep { max_displacement_angstrom: 0.02, max_fs: 4.0 };
        RecoilSettings { time_fs, time_step, quench: QuenchSettings::default(), skin_angstrom: 0.5, border: None }
    }

    fn kicked(energy: f64, settings: &RecoilSettings, cells: usize) -> Recoil {
        let (potential, perfect, start) = prepared(cells);
        let direction = DVec3::new(0.3, 0.2, 0.9);
        run_recoil(&potential, &perfect, &start, energy, direction, settings, 1, &mut |_| ()).expect("a recoil").0
    }

    #[test]
    fn weak_recoils_store_nothing() {
        let recoil = kicked(1.0, &settings(300.0), 5);
        assert!(recoil.stored_energy_ev.abs() < 1e-3, "{}", recoil.stored_energy_ev);
        assert_eq!((recoil.displaced_atoms, recoil.flags.len()), (0, 0));
        // Drift of the box: momentum / mass * time, far below a displacement.
        assert!(recoil.max_displacement_angstrom < 0.05, "{}", recoil.max_displacement_angstrom);
    }

    #[test]
    fn strong_recoils_leave_defects_and_the_ledger_closes() {
        let recoil = kicked(100.0, &settings(400.0), 7);
        // One Frenkel pair: vacancy and interstitial of a crystal bound by 0.6 eV per bond.
        assert!((2.0..6.0).contains(&recoil.stored_energy_ev), "{}", recoil.stored_energy_ev);
        let argon = recoil.defects.species[0];
        assert_eq!((argon.vacancies, argon.interstitials, argon.antisites), (1, 1, 0));
        assert!(recoil.displaced_atoms > 0 && recoil.max_displacement_angstrom > 1.0);
        assert!(recoil.energy_drift_ev.abs() < 0.2, "{}", recoil.energy_drift_ev);
        // Thermal energy of one atom at 40 K: 5 meV on average.
        assert!((0.0..0.05).contains(&(100.0 - recoil.energy_given_ev)));
        assert!((recoil.simulated_time_fs - 400.0).abs() < 1e-6);
        // 100 eV argon moves at 220 A/ps, hence 0.091 fs for 0.02 A; it is never faster than at the start.
        assert!((0.085..0.092).contains(&recoil.min_time_step_fs), "{}", recoil.min_time_step_fs);
        // Two equal masses share 100 eV: no pair can climb much beyond 50 eV, which is at 1.90 A.
        assert!((1.88..2.2).contains(&recoil.min_distance_angstrom), "{}", recoil.min_distance_angstrom);
    }

    #[test]
    fn small_boxes_are_flagged() {
        let recoil = kicked(100.0, &settings(200.0), 3);
        assert!(recoil.flags.contains(&"small-box".to_owned()), "{:?}", recoil.flags);
    }

    #[test]
    fn cooled_border_takes_heat_and_books_it() {
        let border = Border { thickness_angstrom: 3.0, friction_per_fs: 0.01, temperature_k: 40.0 };
        let free = kicked(40.0, &settings(600.0), 5);
        let cooled = kicked(40.0, &RecoilSettings { border: Some(border), ..settings(600.0) }, 5);
        assert!(cooled.border_energy_ev < -2.0, "{}", cooled.border_energy_ev);
        assert!(cooled.final_temperature_k < free.final_temperature_k);
        assert!(cooled.energy_drift_ev.abs() < 0.3, "{}", cooled.energy_drift_ev);
    }

    #[test]
    fn depth_is_measured_from_the_recoil_through_the_faces() {
        let (_, perfect, _) = prepared(5);
        let region = Region::new(&perfect, 4.0);
        let a = perfect.atoms.cell.vectors.x_axis;
        assert!(!region.is_near_border(region.center) && !region.is_near_border(region.center + a));
        assert!(region.is_near_border(region.center + a * 0.45) && region.is_near_border(region.center - a * 0.55));
        assert!(!region.is_near_border(region.center + a * 0.30));
    }
}
