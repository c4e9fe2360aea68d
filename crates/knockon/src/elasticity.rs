//! Elastic constants from the stress of strained crystals with relaxed atoms.

use crate::dynamics::{QuenchSettings, Quenched, Simulation, quench, quench_guided};
use crate::progress::Progress;
use crate::side_by_side::{side_by_side, threads_shared_by};
use crate::symmetry::{POSITION_TOLERANCE_ANGSTROM, crystal_symmetry};
use crate::units::EV_PER_ANGSTROM3_IN_GPA;
use crate::{Atoms, Cell, Error, Potential};
use glam::{DMat3, DVec3};
use nalgebra::Matrix6;
use rayon::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// Elastic constants in GPa, 6 x 6, Voigt order xx yy zz yz xz xy.
pub type Constants = [[f64; 6]; 6];

/// Strains that a symmetry operation maps onto each other agree within this part of them.
const SAME_STRAIN: f64 = 1e-6;
/// Row and column of the Voigt components xx yy zz yz xz xy.
const VOIGT: [[usize; 2]; 6] = [[0, 0], [1, 1], [2, 2], [1, 2], [0, 2], [0, 1]];

/// The 6 x 6 matrix of elastic constants in GPa, Voigt order xx yy zz yz xz xy, from central differences with strains
/// of +-`strain` and relaxed atoms. `crystal` is free of forces; where it is not free of stress, they are the slopes of the stress.
pub fn elastic_constants_gpa(potential: &dyn Potential, crystal: &Atoms, strain: f64) -> Result<Constants, Error> {
    let column = |component: usize| {
        let [plus, minus] = [strain, -strain].map(|e| relaxed_stress(potential, crystal, component, e));
        let (plus, minus) = (plus?, minus?);
        Ok(std::array::from_fn(|i| (plus[i] - minus[i]) / (2.0 * strain) * EV_PER_ANGSTROM3_IN_GPA))
    };
    let columns: Vec<[f64; 6]> = (0..6).into_par_iter().map(column).collect::<Result<_, Error>>()?;
    Ok(std::array::from_fn(|i| std::array::from_fn(|j| columns[j][i])))
}

fn relaxed_stress(
    potential: &dyn Potential,
    crystal: &Atoms,
    component: usize,
    strain: f64,
) -> Result<[f64; 6], Error> {
    let strained = strained(crystal, strain_matrix(component, strain));
    let settings =
        QuenchSettings { max_force_ev_per_angstrom: 1e-4, max_evaluations: 2000, ..QuenchSettings::default() };
    Ok(settle(STRAINED, potential, None, strained, &settings)?.1)
}

/// The crystal with its cell and its atoms strained alike.
fn strained(crystal: &Atoms, strain: DMat3) -> Atoms {
    let deformation = DMat3::IDENTITY + strain;
    let cell = Cell { vectors: deformation * crystal.cell.vectors, ..crystal.cell };
    let positions = crystal.positions.iter().map(|p| deformation * *p).collect();
    Atoms { cell, species: crystal.species.clone(), positions }
}

/// Symmetric matrix of one Voigt component; shear strains are engineering strains, twice the matrix element.
fn strain_matrix(component: usize, strain: f64) -> DMat3 {
    let unit: [f64; 6] = std::array::from_fn(|i| if i == component { 1.0 } else { 0.0 });
    tensor_from_voigt(unit) * if component < 3 { strain } else { 0.5 * strain }
}

/// The symmetric tensor of six Voigt components xx yy zz yz xz xy (stress, not engineering strain).
pub fn tensor_from_voigt(v: [f64; 6]) -> DMat3 {
    DMat3::from_cols(DVec3::new(v[0], v[5], v[4]), DVec3::new(v[5], v[1], v[3]), DVec3::new(v[4], v[3], v[2]))
}

fn voigt(m: DMat3) -> [f64; 6] {
    VOIGT.map(|[row, column]| m.col(column)[row])
}

/// How the elastic constants of a crystal are found where each evaluation is dear.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ElasticSettings {
    /// Strains of the central differences: +- this.
    pub strain: f64,
    /// How far the atoms of strained crystals relax.
    pub quench: QuenchSettings,
}

/// Elastic constants of a crystal and what tells how good they are.
#[derive(Clone, Debug, PartialEq)]
pub struct ElasticConstants {
    /// In GPa, averaged over all elements that are equal by the crystal's symmetry or because the energy is a function of the
    /// strain (C12 = C21).
    pub gpa: Constants,
    /// The largest difference in GPa between an element as found and that average: how much noise of the stress, and atoms that are
    /// not quite relaxed, break the symmetry; in a crystal under stress also what that differs by along its axes. What is off and
    /// symmetric it does not see: of a cubic crystal, whose three strained crystals are symmetric themselves, it is zero.
    pub spread_gpa: f64,
    /// Number of strained crystals that were relaxed: symmetry makes the others.
    pub n_strained: usize,
    /// Number of the crystal's space group.
    pub space_group_number: i32,
    /// Stress in eV/angstrom^3 of the crystal without strain, Voigt order, positive in tension.
    pub stress_ev_per_angstrom3: [f64; 6],
}

/// Elastic constants with as few strained crystals as symmetry allows: 12 of a triclinic crystal, 6 of scheelite, 3 of a cubic one.
/// They have the lattice of `crystal`, whose atoms are relaxed first. Where `guide`, a cheap potential of about the same energies, is
/// given, it tells where the atoms of strained crystals go ([`quench_guided`]). The crystals are relaxed side by side and share the threads.
pub fn elastic_constants(
    potential: &dyn Potential,
    guide: Option<&dyn Potential>,
    crystal: &Atoms,
    settings: &ElasticSettings,
    progress: &dyn Progress,
) -> Result<ElasticConstants, Error> {
    let symmetry = crystal_symmetry(crystal, POSITION_TOLERANCE_ANGSTROM)?;
    let rotations: Vec<DMat3> = symmetry.operations.iter().map(|operation| operation.rotation).collect();
    let strains = Strains::new(settings.strain, &rotations);
    let n_crystals = strains.distinct.len() as u64 + 1;
    progress.update(0, n_crystals);
    let (relaxed, stress) = settle("the crystal", potential, guide, crystal.clone(), &settings.quench)?;
    let expected = guide.map(|guide| Expected::new(guide, &relaxed, settings.quench)).transpose()?;
    let n_done = AtomicU64::new(1);
    progress.update(1, n_crystals);
    let work = |strain: &DMat3| {
        if progress.is_stopped() {
            return Err(Error::Stopped);
        }
        let start = match &expected {
            Some(expected) => expected.strained(*strain)?,
            None => strained(&relaxed, *strain),
        };
        let (_, stress) = settle(STRAINED, potential, guide, start, &settings.quench)?;
        progress.update(1 + n_done.fetch_add(1, Ordering::Relaxed), n_crystals);
        Ok(tensor_from_voigt(stress))
    };
    let n_workers = rayon::current_num_threads().min(strains.distinct.len());
    let stresses = side_by_side(&strains.distinct, &threads_shared_by(n_workers), work)?;
    let found = strains.constants_gpa(&stresses, settings.strain);
    let gpa = symmetrized(&found, &rotations);
    let differences = gpa.as_flattened().iter().zip(found.as_flattened()).map(|(mean, found)| (mean - found).abs());
    Ok(ElasticConstants {
        gpa,
        spread_gpa: differences.fold(0.0, f64::max),
        n_strained: strains.distinct.len(),
        space_group_number: symmetry.space_group_number,
        stress_ev_per_angstrom3: stress,
    })
}

/// What errors call it.
const STRAINED: &str = "the strained crystal";

/// The crystal `name` with relaxed atoms and its stress in eV/angstrom^3.
fn settle(
    name: &str,
    potential: &dyn Potential,
    guide: Option<&dyn Potential>,
    atoms: Atoms,
    settings: &QuenchSettings,
) -> Result<(Atoms, [f64; 6]), Error> {
    let (end, quenched) = match guide {
        Some(guide) => {
            let (atoms, quenched) = quench_guided(potential, guide, &atoms, settings)?;
            // The last point of the search was evaluated already: a code that keeps its results looks it up.
            (Simulation::new(potential, atoms, 0.2)?, quenched)
        }
        None => {
            let mut simulation = Simulation::new(potential, atoms, 0.2)?;
            let quenched = quench(&mut simulation, settings)?;
            (simulation, quenched)
        }
    };
    ensure_relaxed(name, &quenched)?;
    let stress = end.evaluation().stress(end.atoms().cell.volume_angstrom3());
    if stress.iter().all(|s| s.is_finite()) {
        return Ok((end.atoms().clone(), stress));
    }
    let found = format!("expected the stress of {name}, found none");
    Err(Error::computation(found, "Take a calculator, or settings of it, that give stresses"))
}

fn ensure_relaxed(name: &str, quenched: &Quenched) -> Result<(), Error> {
    if quenched.converged {
        return Ok(());
    }
    let Quenched { evaluations, max_force_ev_per_angstrom: force, .. } = quenched;
    let found = format!("{name} did not relax: {force:.1e} eV/A are left after {evaluations} evaluations");
    let remedy = "Allow more evaluations, or a larger force; where there is a guide, take another one, or none";
    Err(Error::computation(found, remedy))
}

/// What a guide expects of strained crystals: atoms move away from where the strain takes them as they do in the guide.
struct Expected<'p> {
    guide: &'p dyn Potential,
    crystal: &'p Atoms,
    relaxed_by_guide: Atoms,
    quench: QuenchSettings,
}

impl<'p> Expected<'p> {
    fn new(guide: &'p dyn Potential, crystal: &'p Atoms, quench: QuenchSettings) -> Result<Self, Error> {
        // The guide is cheap.
        let quench = QuenchSettings {
            max_force_ev_per_angstrom: 0.01 * quench.max_force_ev_per_angstrom,
            max_evaluations: 2000,
            ..quench
        };
        let relaxed_by_guide = settle("the crystal, by the guide,", guide, None, crystal.clone(), &quench)?.0;
        Ok(Self { guide, crystal, relaxed_by_guide, quench })
    }

    fn strained(&self, strain: DMat3) -> Result<Atoms, Error> {
        let affine = strained(&self.relaxed_by_guide, strain);
        let relaxed = settle("the strained crystal, by the guide,", self.guide, None, affine.clone(), &self.quench)?.0;
        let mut atoms = strained(self.crystal, strain);
        for (position, (end, start)) in atoms.positions.iter_mut().zip(relaxed.positions.iter().zip(&affine.positions))
        {
            *position += *end - *start;
        }
        Ok(atoms)
    }
}

/// The twelve strains of the central differences, and those of them that no symmetry operation maps onto each other.
struct Strains {
    distinct: Vec<DMat3>,
    /// For each component those of both signs: number of a distinct one, and the rotation that makes this one of it.
    of_component: [[(usize, DMat3); 2]; 6],
}

impl Strains {
    fn new(strain: f64, rotations: &[DMat3]) -> Self {
        let mut distinct: Vec<DMat3> = Vec::new();
        let of_component = std::array::from_fn(|component| {
            [strain, -strain].map(|value| {
                let wanted = strain_matrix(component, value);
                let is_made = |start: &DMat3, r: &DMat3| {
                    (*r * *start * r.transpose()).abs_diff_eq(wanted, SAME_STRAIN * strain.abs())
                };
                let known = distinct.iter().enumerate().find_map(|(number, start)| {
                    Some((number, *rotations.iter().find(|rotation| is_made(start, rotation))?))
                });
                known.unwrap_or_else(|| {
                    distinct.push(wanted);
                    (distinct.len() - 1, DMat3::IDENTITY)
                })
            })
        });
        Self { distinct, of_component }
    }

    /// From the stresses in eV/angstrom^3 of the distinct strains.
    fn constants_gpa(&self, stresses: &[DMat3], strain: f64) -> Constants {
        let columns = self.of_component.map(|signs| {
            let [plus, minus] =
                signs.map(|(number, rotation)| voigt(rotation * stresses[number] * rotation.transpose()));
            std::array::from_fn::<f64, 6, _>(|i| (plus[i] - minus[i]) / (2.0 * strain) * EV_PER_ANGSTROM3_IN_GPA)
        });
        std::array::from_fn(|i| std::array::from_fn(|j| columns[j][i]))
    }
}

/// The average over a crystal's rotations (orthogonal matrices, all of its point group) and of C_ij with C_ji.
pub fn symmetrized(constants: &Constants, rotations: &[DMat3]) -> Constants {
    let c = Matrix6::from_fn(|i, j| constants[i][j]);
    let turned = |rotation: &DMat3| {
        // How a rotation acts on the Voigt components of a stress (Bond's matrix).
        let unit = |j: usize| tensor_from_voigt(std::array::from_fn(|i| if i == j { 1.0 } else { 0.0 }));
        let columns: [[f64; 6]; 6] = std::array::from_fn(|j| voigt(*rotation * unit(j) * rotation.transpose()));
        let bond = Matrix6::from_fn(|i, j| columns[j][i]);
        bond * c * bond.transpose()
    };
    let sum: Matrix6<f64> = rotations.iter().map(turned).sum();
    let mean = sum / rotations.len().max(1) as f64;
    std::array::from_fn(|i| std::array::from_fn(|j| 0.5 * (mean[(i, j)] + mean[(j, i)])))
}

/// Reuss's bulk modulus in GPa: how much pressure it takes to compress a crystal, by relative volume. None of a matrix that cannot be
/// inverted.
pub fn bulk_modulus_gpa(constants: &Constants) -> Option<f64> {
    let compliance = Matrix6::from_fn(|i, j| constants[i][j]).try_inverse()?;
    Some(1.0 / compliance.fixed_view::<3, 3>(0, 0).sum())
}

/// Whether every small strain costs energy: constants without positive definite matrix are those of no crystal.
pub fn is_stable(constants: &Constants) -> bool {
    Matrix6::from_fn(|i, j| 0.5 * (constants[i][j] + constants[j][i])).cholesky().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Evaluation;
    use crate::dynamics::relax_cell;
    use crate::dynamics::testing::{Fails, PairPotential, argon_like, cubic_cell};
    use crate::progress::Silent;

    /// Central forces and inversion symmetry at every atom: Cauchy's relation C12 = C44 in a crystal without stress;
    /// and the curvature of the energy gives the same bulk modulus as the stress.
    #[test]
    fn cubic_crystal_of_pairs_obeys_cauchy() {
        let (potential, atoms) = argon_like([1, 1, 1]);
        let quench =
            QuenchSettings { max_force_ev_per_angstrom: 1e-6, max_stress_ev_per_angstrom3: 1e-9, max_evaluations: 500 };
        let atoms = relax_cell(&potential, &atoms, &quench).unwrap().atoms;
        let c = elastic_constants_gpa(&potential, &atoms, 1e-4).unwrap();
        assert!((c[0][1] / c[3][3] - 1.0).abs() < 1e-3, "{} {}", c[0][1], c[3][3]);
        assert!((c[0][0] / c[2][2] - 1.0).abs() < 1e-6 && c[0][3].abs() < 1e-3 * c[0][0]);
        let energy = |scale: f64| {
            let cell = Cell { vectors: atoms.cell.vectors * scale, ..atoms.cell };
            let positions = atoms.positions.iter().map(|p| *p * scale).collect();
            let scaled = Atoms { cell, species: atoms.species.clone(), positions };
            Simulation::new(&potential, scaled, 0.1).unwrap().potential_energy_ev()
        };
        let h = 1e-3;
        let curvature = (energy(1.0 + h) - 2.0 * energy(1.0) + energy(1.0 - h)) / (h * h);
        let bulk = curvature / (9.0 * atoms.cell.volume_angstrom3()) * EV_PER_ANGSTROM3_IN_GPA;
        assert!((bulk / ((c[0][0] + 2.0 * c[0][1]) / 3.0) - 1.0).abs() < 2e-3, "{bulk}");
        assert!((bulk_modulus_gpa(&c).unwrap() / bulk - 1.0).abs() < 2e-3 && is_stable(&c));
        let soft = std::array::from_fn(|i| std::array::from_fn(|j| if i == j && i == 5 { -1.0 } else { c[i][j] }));
        assert!(!is_stable(&soft));
    }

    /// A crystal with vacancies, whose atoms have where to relax to, as it is and stretched so that less and less symmetry is left.
    fn crystals() -> [(Atoms, usize); 3] {
        let mut atoms = cubic_cell(2.8).supercell([2, 2, 2]);
        atoms.species.pop();
        atoms.positions.pop();
        let skew = DMat3::from_cols(
            DVec3::new(0.004, 0.002, -0.003),
            DVec3::new(0.002, 0.0, 0.001),
            DVec3::new(-0.003, 0.001, -0.006),
        );
        let along_z = DMat3::from_diagonal(DVec3::Z * 0.01);
        [(atoms.clone(), 3), (strained(&atoms, along_z), 6), (strained(&atoms, skew), 12)]
    }

    fn settings(max_force: f64) -> ElasticSettings {
        let quench = QuenchSettings { max_force_ev_per_angstrom: max_force, ..QuenchSettings::default() };
        ElasticSettings { strain: 1e-3, quench }
    }

    /// What symmetry makes of few strained crystals is what all of them say, but that slopes of the stress of a stretched crystal are
    /// not quite symmetric.
    #[test]
    fn symmetry_saves_strained_crystals_and_changes_nothing() {
        let potential = PairPotential::lennard_jones(0.6, 2.8, 4.6);
        for (crystal, n_strained) in crystals() {
            let found = elastic_constants(&potential, None, &crystal, &settings(1e-4), &Silent).unwrap();
            assert_eq!(found.n_strained, n_strained, "space group {}", found.space_group_number);
            let relaxed = settle(STRAINED, &potential, None, crystal, &settings(1e-4).quench).unwrap().0;
            let all = elastic_constants_gpa(&potential, &relaxed, 1e-3).unwrap();
            let pairs = found.gpa.as_flattened().iter().zip(all.as_flattened());
            let off = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(off < 5e-3 * all[0][0] && found.spread_gpa < 5e-3 * all[0][0], "{n_strained}: {off}, {found:?}");
        }
    }

    /// Twice as much stiffness in one element as in those equal to it is spread over all of them.
    #[test]
    fn constants_are_averaged_over_what_is_equal() {
        let (potential, atoms) = argon_like([1, 1, 1]);
        let rotations: Vec<DMat3> =
            crystal_symmetry(&atoms, 1e-3).unwrap().operations.iter().map(|o| o.rotation).collect();
        let mut c = elastic_constants_gpa(&potential, &atoms, 1e-3).unwrap();
        let before = symmetrized(&c, &rotations);
        c[3][3] += 3.0;
        c[0][1] += 6.0;
        c[4][0] += 5.0;
        let after = symmetrized(&c, &rotations);
        let change: Constants = std::array::from_fn(|i| std::array::from_fn(|j| after[i][j] - before[i][j]));
        let expected = |i: usize, j: usize| match (i < 3, j < 3) {
            (true, true) if i != j => 1.0,
            (false, false) if i == j => 1.0,
            _ => 0.0,
        };
        assert!((0..36).all(|k| (change[k / 6][k % 6] - expected(k / 6, k % 6)).abs() < 1e-9), "{change:?}");
    }

    /// A guide with softer and longer bonds leads to the same constants, with fewer evaluations.
    #[test]
    fn guided_constants_are_those_of_the_potential() {
        let asked = AtomicU64::new(0);
        // It never fails, and counts.
        let count = |_: &Atoms, _: &Evaluation| asked.fetch_add(1, Ordering::Relaxed) == u64::MAX;
        let potential = Fails(PairPotential::lennard_jones(0.6, 2.8, 4.6), count);
        let guide = PairPotential::lennard_jones(0.5, 2.82, 4.6);
        let (crystal, _) = crystals()[1].clone();
        let alone = elastic_constants(&potential, None, &crystal, &settings(1e-4), &Silent).unwrap();
        let n_alone = asked.swap(0, Ordering::Relaxed);
        let guided = elastic_constants(&potential, Some(&guide), &crystal, &settings(1e-4), &Silent).unwrap();
        let n_guided = asked.load(Ordering::Relaxed);
        assert!(n_guided < n_alone, "{n_guided} {n_alone}");
        let pairs = alone.gpa.as_flattened().iter().zip(guided.gpa.as_flattened());
        let off = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(off < 2e-3 * alone.gpa[0][0], "{off}");
    }
}
