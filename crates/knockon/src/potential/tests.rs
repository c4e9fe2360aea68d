//! The fast potential against the slow one, against differences of its own energies, and against symmetry.

use super::reference;
use super::*;
use crate::dynamics::{Simulation, TimeStep};
use crate::{Atoms, Cell, NeighborList};
use glam::{DMat3, DQuat};
use rand::RngExt;
use rand::SeedableRng;
use rand_pcg::Pcg64;

fn random(seed: u64) -> Pcg64 {
    Pcg64::seed_from_u64(seed)
}

fn uniform(rng: &mut Pcg64, low: f64, high: f64) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

fn species(symbol: &str) -> Species {
    Species::from_symbol(symbol).unwrap()
}

/// The paper's model structure with random coefficients, all terms of comparable size. With an odd seed the second channel has
/// a shorter cutoff and there are charges; every third seed has the smoother switch, with charges also dipoles, every fifth similarities.
fn model(seed: u64) -> Model {
    let mut rng = random(seed);
    let cutoff_switch = if seed.is_multiple_of(3) { CutoffSwitch::Quintic } else { CutoffSwitch::Cosine };
    let symbols = ["Ca", "O", "W"];
    let weights = [[1.0, 0.7, 0.8], [1.0, 0.45, 0.3], [1.0, 1.52, 1.98]];
    let mut list = |n: usize, scale: f64| (0..n).map(|_| uniform(&mut rng, -scale, scale)).collect::<Vec<_>>();
    let central = symbols
        .iter()
        .zip(weights)
        .map(|(symbol, weights)| Central {
            species: species(symbol),
            radius: 0.5,
            channel_weights: weights.to_vec(),
            intercept_ev: -3.0,
            coefficients_ev: (0..3).map(|_| list(55, 1e-4)).collect(),
            similarity: seed.is_multiple_of(5).then(|| similarity(seed)),
        })
        .collect();
    let pairs = (0..3)
        .flat_map(|a| (a..3).map(move |b| [a, b]))
        .map(|[a, b]| PairCoefficients {
            species: [species(symbols[a]), species(symbols[b])],
            coefficients_ev: list(20, 1.0),
        })
        .collect();
    let electrostatic = (!seed.is_multiple_of(2)).then(|| {
        let inner_switch = InnerSwitch { start_angstrom: 0.9, end_angstrom: 1.4 };
        let shape = ElectrostaticShape {
            cutoff_angstrom: 6.1,
            damping_per_angstrom: 0.2,
            smoothing_per_angstrom: 0.9,
            inner_switch,
            cutoff_switch,
            dipole_charges_e: if seed.is_multiple_of(3) { vec![1.4, -1.2, 3.0] } else { Vec::new() },
        };
        let mut electrostatic = Electrostatic::empty(shape, &symbols.map(species));
        electrostatic.charges.iter_mut().for_each(|c| c.product = list(1, 1.0)[0]);
        electrostatic.responses.iter_mut().for_each(|r| r.coefficients_angstrom3 = list(6, 0.5));
        if let Some(dipoles) = &mut electrostatic.dipoles {
            dipoles.products.iter_mut().for_each(|p| p.product_angstrom6 = list(1, 0.3)[0]);
            dipoles.responses.iter_mut().for_each(|r| r.coefficients_angstrom9 = list(6, 0.1));
        }
        electrostatic
    });
    Model {
        format_version: FORMAT_VERSION,
        name: "random".into(),
        provenance: Default::default(),
        many_body: ManyBody {
            two_j_max: 8,
            cutoff_angstrom: 4.8,
            angle_fraction: 1.0 - 0.02 / std::f64::consts::PI,
            channel_cutoffs_angstrom: if seed.is_multiple_of(2) { Vec::new() } else { vec![4.8, 3.3, 4.8] },
            cutoff_switch,
            self_weight: 1.0,
            inner_switch: Some(InnerSwitch { start_angstrom: 1.3, end_angstrom: 1.7 }),
        },
        pair: Some(PairTerm {
            cutoff_angstrom: 4.8,
            taper_start_angstrom: 0.0,
            cutoff_switch,
            centers_angstrom: (0..20).map(|k| 0.2 + 4.6 * f64::from(k) / 19.0).collect(),
            sigma_angstrom: 0.25,
            inner_angstrom: 1.0,
            outer_angstrom: 1.3,
            zbl: Zbl::default(),
            pairs,
        }),
        electrostatic,
        central,
    }
}

/// Random coordinates, of the size that the random boxes' components make them, and references among them.
fn similarity(seed: u64) -> Similarity {
    let mut rng = random(seed + 1000);
    let mut list = |n: usize, scale: f64| (0..n).map(|_| uniform(&mut rng, -scale, scale) as f32).collect::<Vec<_>>();
    let n_references = 11;
    Similarity {
        offset: list(5, 0.5),
        projection: (0..5).map(|_| list(165, 3e-4)).collect(),
        references: (0..n_references).map(|_| list(5, 1.5)).collect(),
        coefficients_ev: list(n_references, 2.0).into_iter().map(f64::from).collect(),
    }
}

/// The slow slopes, which the fit learns from, are derivatives of the energy as it is defined.
#[test]
fn slopes_of_similarities_are_derivatives_of_their_energy() {
    let similarity = similarity(3);
    let mut rng = random(5);
    let components: Vec<f64> = (0..165).map(|_| uniform(&mut rng, 0.0, 1000.0)).collect();
    let energy_ev = |components: &[f64]| -> f64 {
        let z = similarity.coordinates(components);
        let square = |r: &Vec<f32>| r.iter().zip(&z).map(|(r, z)| (f64::from(*r) - z).powi(2)).sum::<f64>();
        let terms = similarity.references.iter().zip(&similarity.coefficients_ev);
        terms.map(|(r, coefficient)| coefficient * (-0.5 * square(r)).exp()).sum()
    };
    let slopes = similarity.slopes_ev(&components);
    let size = slopes.iter().map(|s| s.abs()).fold(0.0, f64::max);
    assert!(size > 1e-5, "{size}");
    for (index, slope) in slopes.iter().enumerate() {
        let moved = |by: f64| {
            let mut moved = components.clone();
            moved[index] += by;
            energy_ev(&moved)
        };
        let difference = (moved(1.0) - moved(-1.0)) / 2.0;
        assert!((slope - difference).abs() < 1e-5 * size, "{index}: {slope} {difference}");
    }
}

/// Atoms at random in a triclinic cell, none closer than `closest`.
fn random_box(seed: u64, n: usize, edge: f64, closest: f64) -> Atoms {
    let mut rng = random(seed);
    let a = DVec3::new(edge, 0.0, 0.0);
    let b = DVec3::new(0.21 * edge, 0.95 * edge, 0.0);
    let c = DVec3::new(-0.13 * edge, 0.17 * edge, 1.08 * edge);
    let cell = Cell::periodic(a, b, c);
    let mut positions: Vec<DVec3> = Vec::new();
    while positions.len() < n {
        let p = cell.vectors * DVec3::from_array([0; 3].map(|_: i32| uniform(&mut rng, 0.0, 1.0)));
        if positions.iter().all(|q| cell.minimum_image(p - *q).length() > closest) {
            positions.push(p);
        }
    }
    let symbols = (0..n).map(|_| species(["Ca", "O", "O", "W"][rng.random_range(0..4)])).collect();
    Atoms::new(cell, symbols, positions, "test").unwrap()
}

fn evaluate(potential: &LinearPotential, atoms: &Atoms) -> Evaluation {
    let neighbors = potential.neighbor_list(atoms, 0.4);
    let mut evaluation = Evaluation::default();
    potential.evaluate(atoms, &neighbors, &mut evaluation).unwrap();
    evaluation
}

/// The potential with each set of vector instructions that this processor has.
fn on_every_path(model: &Model) -> impl Iterator<Item = LinearPotential> {
    let on = |i| LinearPotential::new(model).unwrap().with_instructions(i);
    let paths: Vec<_> = Instructions::ALL.into_iter().filter_map(on).collect();
    assert!(!paths.is_empty(), "every processor has the portable path");
    paths.into_iter()
}

/// Fourth-order central difference.
fn difference(h: f64, mut energy: impl FnMut(f64) -> f64) -> f64 {
    (8.0 * (energy(h) - energy(-h)) - (energy(2.0 * h) - energy(-2.0 * h))) / (12.0 * h)
}

/// Check values of descriptors.md 1.2: cutoff 4.8, j_max 4, cosine cutoff.
#[test]
fn components_have_the_published_values() {
    let mut model = model(1);
    model.many_body.inner_switch = None;
    model.central[1].channel_weights[0] = 0.45;
    model.central[2].channel_weights[0] = 1.52;
    let dimer = [(0, DVec3::new(1.0, 2.0, 2.0) * (2.0 / 3.0))];
    let three = [(0, DVec3::new(1.9, 0.1, -0.2)), (1, DVec3::new(-0.6, 1.7, 0.3)), (2, DVec3::new(0.2, -0.9, 2.1))];
    let b = reference::components(&model, 0, 0, &dimer);
    for (value, expected) in b.iter().zip([4.32604219, 5.64454825, 4.65669712, 5.35787606, 4.17539442, 1.54775080]) {
        assert!((value - expected).abs() < 1e-8, "{value} {expected}");
    }
    assert!((b[54] - 8.823881641153).abs() < 1e-11);
    assert!((b.iter().sum::<f64>() - 488.30308478195).abs() < 1e-9);
    let b = reference::components(&model, 0, 0, &three);
    for (value, expected) in b.iter().zip([21.41402645, 15.60279800, 4.67810266, 5.73776673, 2.43674635, -0.15204504]) {
        assert!((value - expected).abs() < 1e-8, "{value} {expected}");
    }
    assert!((b.iter().sum::<f64>() - 836.105118166).abs() < 1e-8, "{}", b.iter().sum::<f64>());
    let lonely = reference::components(&model, 0, 0, &[]);
    assert!(lonely.iter().zip([1.0, 2.0, 3.0, 3.0, 4.0, 3.0, 5.0, 4.0]).all(|(b, l)| (b - l).abs() < 1e-12));
}

#[test]
fn fast_energies_agree_with_the_reference() {
    // Tables of charges are less fine than those of two-body functions.
    for (model, tolerance) in [(model(2), 1e-11), (model(3), 1e-8), (model(10), 1e-11)] {
        for potential in on_every_path(&model) {
            // 1 to 3 atoms in boxes smaller than the cutoff, odd numbers around the lane width, close pairs in the buffer, atoms
            // with about 200 neighbours.
            for (seed, n, edge, closest) in [
                (1, 1, 4.1, 1.0),
                (2, 3, 3.9, 1.05),
                (3, 7, 6.0, 1.1),
                (4, 9, 6.0, 1.35),
                (5, 30, 8.5, 1.2),
                (17, 60, 5.2, 0.95),
            ] {
                let atoms = random_box(seed, n, edge, closest);
                let fast = evaluate(&potential, &atoms);
                for (atom, expected) in reference::energies_ev(&model, &atoms).iter().enumerate() {
                    let found = fast.energies_ev[atom];
                    assert!(
                        (found - expected).abs() < tolerance * expected.abs().max(1.0),
                        "{n} atoms, atom {atom}: {found} {expected}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_many_body_part_agrees_with_the_reference_to_rounding() {
    let mut model = model(3);
    (model.pair, model.electrostatic) = (None, None);
    for potential in on_every_path(&model) {
        let atoms = random_box(6, 17, 7.0, 1.3);
        let fast = evaluate(&potential, &atoms);
        for (found, expected) in fast.energies_ev.iter().zip(reference::energies_ev(&model, &atoms)) {
            assert!((found - expected).abs() < 1e-12 * expected.abs(), "{found} {expected}");
        }
    }
}

#[test]
fn an_isolated_atom_has_the_energy_of_its_own_density() {
    let model = model(4);
    for potential in on_every_path(&model) {
        let mut atoms = random_box(7, 1, 30.0, 1.0);
        atoms.species[0] = species("W");
        let fast = evaluate(&potential, &atoms);
        assert!((fast.energies_ev[0] - reference::energies_ev(&model, &atoms)[0]).abs() < 1e-12);
        assert_eq!(fast.forces[0], DVec3::ZERO);
    }
}

#[test]
fn forces_agree_with_differences_of_energies() {
    for potential in [5, 9].into_iter().flat_map(|seed| on_every_path(&model(seed)).collect::<Vec<_>>()) {
        // In the second box atoms feel images of their own.
        for atoms in [random_box(8, 21, 7.5, 1.05), random_box(8, 4, 4.3, 1.05)] {
            let forces = evaluate(&potential, &atoms).forces;
            let largest = forces.iter().map(|f| f.length()).fold(0.0, f64::max);
            for (atom, force) in forces.iter().enumerate() {
                for axis in 0..3 {
                    let mut moved = atoms.clone();
                    let slope = difference(2e-4, |h| {
                        moved.positions[atom][axis] = atoms.positions[atom][axis] + h;
                        evaluate(&potential, &moved).energy_ev()
                    });
                    let error = (slope + force[axis]).abs() / largest;
                    assert!(error < 1e-8, "atom {atom} axis {axis}: {} {}", -slope, force[axis]);
                }
            }
        }
    }
}

/// Two atoms at the joints of ZBL, buffer, kernels and inner switch, and at the cutoff.
#[test]
fn forces_of_a_dimer_agree_with_differences_at_every_joint() {
    for potential in [6, 7, 9].into_iter().flat_map(|seed| on_every_path(&model(seed)).collect::<Vec<_>>()) {
        for pair in [["W", "O"], ["O", "O"], ["Ca", "W"]] {
            for distance in
                [0.5, 0.999, 1.0, 1.001, 1.15, 1.3, 1.301, 1.5, 1.7, 2.0, 4.79, 4.7999, 4.81, 5.5, 6.09, 6.2]
            {
                let direction = DVec3::new(0.36, 0.48, 0.8);
                let cell = Cell::periodic(DVec3::X * 20.0, DVec3::Y * 20.0, DVec3::Z * 20.0);
                let dimer = |r: f64| Atoms {
                    cell,
                    species: pair.map(species).to_vec(),
                    positions: vec![DVec3::ZERO, direction * r],
                };
                let force = evaluate(&potential, &dimer(distance)).forces[1].dot(direction);
                // Where the inner switch starts and ends the second derivative jumps: the difference is off by h times a quarter of it.
                let h = 1e-6;
                let [low, high] = [-h, h].map(|h| evaluate(&potential, &dimer(distance + h)).energy_ev());
                let slope = (high - low) / (2.0 * h);
                assert!((slope + force).abs() < 5e-7 * (1.0 + force.abs()), "{pair:?} {distance}: {} {force}", -slope);
            }
        }
    }
}

/// The force of a bond goes to zero with zero slope at the cutoff where the switch ends without curvature, and not where it is a cosine.
#[test]
fn bonds_end_as_smoothly_as_the_switch() {
    for (seed, smooth) in [(12, true), (14, false)] {
        let potential = LinearPotential::new(&model(seed)).unwrap();
        let force = |r: f64| {
            let cell = Cell::periodic(DVec3::X * 20.0, DVec3::Y * 20.0, DVec3::Z * 20.0);
            let positions = vec![DVec3::ZERO, DVec3::Z * r];
            evaluate(&potential, &Atoms { cell, species: ["W", "O"].map(species).to_vec(), positions }).forces[1].z
        };
        let slope = (force(4.8 - 1e-4) / 1e-4).abs();
        assert_eq!(slope < 1e-2, smooth, "seed {seed}: {slope} eV/A^2");
    }
}

/// Files say the oldest version that can hold what is in them.
#[test]
fn models_without_new_parts_are_readable_by_older_programs() {
    let version = |model: Model| model.in_oldest_format().format_version;
    assert_eq!([9, 10, 12, 7, 14].map(|seed| version(model(seed))), [5, 4, 3, 2, 1]);
    assert!(!model(14).to_text().contains("cutoff_switch") && model(12).to_text().contains("cutoff_switch"));
}

#[test]
fn neighbours_along_an_axis_have_correct_forces() {
    // b = 0 for a neighbour along z: no division by |b| may enter.
    for potential in on_every_path(&model(7)) {
        let cell = Cell::periodic(DVec3::X * 20.0, DVec3::Y * 20.0, DVec3::Z * 20.0);
        let positions = vec![DVec3::ZERO, DVec3::Z * 2.0, DVec3::X * 2.1, DVec3::Y * -1.9];
        let atoms = Atoms { cell, species: ["W", "O", "O", "Ca"].map(species).to_vec(), positions };
        let forces = evaluate(&potential, &atoms).forces;
        for (atom, force) in forces.iter().enumerate() {
            for axis in 0..3 {
                let mut moved = atoms.clone();
                let slope = difference(1e-3, |h| {
                    moved.positions[atom][axis] = atoms.positions[atom][axis] + h;
                    evaluate(&potential, &moved).energy_ev()
                });
                assert!((slope + force[axis]).abs() < 1e-7, "{atom} {axis}");
            }
        }
    }
}

fn strained(atoms: &Atoms, strain: DMat3) -> Atoms {
    let map = DMat3::IDENTITY + strain;
    let mut strained = atoms.clone();
    strained.cell.vectors = map * atoms.cell.vectors;
    strained.positions.iter_mut().for_each(|p| *p = map * *p);
    strained
}

#[test]
fn stress_agrees_with_differences_of_energies() {
    for potential in [8, 9].into_iter().flat_map(|seed| on_every_path(&model(seed)).collect::<Vec<_>>()) {
        // In the second box atoms feel images of their own.
        for atoms in [random_box(9, 15, 6.5, 1.1), random_box(9, 4, 4.2, 1.1)] {
            let derivative = evaluate(&potential, &atoms).strain_derivative_ev;
            let scale = derivative.to_cols_array().iter().fold(0.0_f64, |m, x| m.max(x.abs()));
            for (i, j) in (0..3).flat_map(|i| (0..3).map(move |j| (i, j))) {
                let slope = difference(1e-4, |h| {
                    let mut strain = DMat3::ZERO;
                    strain.col_mut(j)[i] += 0.5 * h;
                    strain.col_mut(i)[j] += 0.5 * h;
                    evaluate(&potential, &strained(&atoms, strain)).energy_ev()
                });
                let expected = derivative.col(j)[i];
                assert!((slope - expected).abs() < 1e-7 * scale, "{i} {j}: {slope} {expected}");
            }
        }
    }
}

#[test]
fn energy_does_not_depend_on_the_description_of_the_box() {
    for potential in on_every_path(&model(9)) {
        let atoms = random_box(10, 18, 7.0, 1.1);
        let original = evaluate(&potential, &atoms);
        let (energy, strain) = (original.energy_ev(), original.strain_derivative_ev);
        let same = |changed: &Atoms, copies: f64, what: &str| {
            let changed = evaluate(&potential, changed);
            let found = changed.energy_ev();
            assert!((found - copies * energy).abs() < 1e-11 * copies * energy.abs(), "{what}: {found} {energy}");
            if what != "rotation" {
                let difference = changed.strain_derivative_ev - strain * copies;
                assert!(difference.abs_diff_eq(DMat3::ZERO, 1e-9 * original.max_force_ev_per_angstrom()), "{what}");
            }
        };
        let mut translated = atoms.clone();
        translated.positions.iter_mut().for_each(|p| *p += DVec3::new(0.3, -7.1, 2.2));
        same(&translated, 1.0, "translation");
        let mut wrapped = atoms.clone();
        wrapped.positions[3] += atoms.cell.vectors.x_axis - 2.0 * atoms.cell.vectors.z_axis;
        same(&wrapped, 1.0, "wrapping");
        let rotation = DMat3::from_quat(DQuat::from_xyzw(0.1, 0.7, -0.3, 0.6).normalize());
        let mut rotated = atoms.clone();
        rotated.cell.vectors = rotation * atoms.cell.vectors;
        rotated.positions.iter_mut().for_each(|p| *p = rotation * *p);
        same(&rotated, 1.0, "rotation");
        let turned = evaluate(&potential, &rotated);
        for (a, b) in turned.forces.iter().zip(&original.forces) {
            assert!(
                (*a - rotation * *b).length() < 1e-9 * original.max_force_ev_per_angstrom(),
                "forces turn with the box"
            );
        }
        let mut permuted = atoms.clone();
        permuted.positions.reverse();
        permuted.species.reverse();
        same(&permuted, 1.0, "permutation");
        same(&atoms.supercell([2, 1, 1]), 2.0, "doubling");
    }
}

#[test]
fn all_vector_instructions_give_the_same_forces() {
    let atoms = random_box(18, 35, 7.5, 1.05);
    let all: Vec<Evaluation> = on_every_path(&model(35)).map(|potential| evaluate(&potential, &atoms)).collect();
    for other in &all {
        for (a, b) in all[0].forces.iter().zip(&other.forces) {
            assert!((*a - *b).length() < 1e-12 * all[0].max_force_ev_per_angstrom(), "{a} {b}");
        }
        let strain = other.strain_derivative_ev - all[0].strain_derivative_ev;
        assert!(
            strain.to_cols_array().iter().all(|x| x.abs() < 1e-11 * all[0].max_force_ev_per_angstrom()),
            "{strain}"
        );
    }
}

#[test]
fn forces_sum_to_zero_and_threads_do_not_change_a_bit() {
    // With charges, and enough atoms for several blocks of them.
    let large = random_box(11, 100, 13.0, 1.3).supercell([3, 2, 2]);
    for (seed, atoms) in [(10, &random_box(11, 100, 13.0, 1.3)), (11, &large), (9, &large)] {
        let potential = LinearPotential::new(&model(seed)).unwrap();
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| evaluate(&potential, atoms))
        };
        let (one, two) = (on(1), on(2));
        assert!(one.forces.iter().copied().sum::<DVec3>().length() < 1e-10 * one.max_force_ev_per_angstrom());
        assert_eq!(one.energies_ev, two.energies_ev);
        assert_eq!(one.forces, two.forces);
        assert_eq!(one.strain_derivative_ev, two.strain_derivative_ev);
    }
}

/// Blocks of atoms give the same as one: each copy of a box feels what the box feels.
#[test]
fn copies_of_a_box_have_its_forces() {
    let potential = LinearPotential::new(&model(11)).unwrap();
    let atoms = random_box(11, 100, 13.0, 1.3);
    let (once, copies) = (evaluate(&potential, &atoms), evaluate(&potential, &atoms.supercell([3, 2, 2])));
    let largest = once.max_force_ev_per_angstrom();
    for ((force, energy), original) in copies.forces.iter().zip(&copies.energies_ev).zip((0..100).cycle()) {
        assert!((*force - once.forces[original]).length() < 1e-10 * largest);
        assert!((energy - once.energies_ev[original]).abs() < 1e-10 * (1.0 + energy.abs()));
    }
    let strain = copies.strain_derivative_ev - once.strain_derivative_ev * 12.0;
    assert!(strain.abs_diff_eq(DMat3::ZERO, 1e-8 * largest), "{strain}");
}

/// Rows up to the whole cutoff do as well as rows up to that of bonds with pairs, in boxes that are open along some axes too.
#[test]
fn any_list_that_reaches_far_enough_gives_the_same() {
    let potentials = [9, 13].map(|seed| LinearPotential::new(&model(seed)).unwrap());
    let periodic = [[true; 3], [false, true, false], [false; 3]];
    for (potential, periodic) in potentials.iter().flat_map(|p| periodic.map(|axes| (p, axes))) {
        let mut atoms = random_box(19, 30, 8.5, 1.2);
        atoms.cell.periodic = periodic.into();
        let with_pairs = evaluate(potential, &atoms);
        let rows = NeighborList::build(&atoms, potential.cutoff_angstrom());
        let mut of_rows = Evaluation::default();
        potential.evaluate(&atoms, &rows, &mut of_rows).unwrap();
        for (a, b) in with_pairs.forces.iter().zip(&of_rows.forces) {
            assert!((*a - *b).length() < 1e-11 * of_rows.max_force_ev_per_angstrom(), "{periodic:?}: {a} {b}");
        }
    }
}

/// Lists with a skin serve until they are outdated: dynamics sees the forces of fresh lists.
#[test]
fn lists_with_a_skin_serve_charges_too() {
    let potential = LinearPotential::new(&model(13)).unwrap();
    let mut simulation = Simulation::new(&potential, random_box(20, 40, 9.5, 1.6), 0.4).unwrap();
    let mut velocities = vec![DVec3::ZERO; 40];
    velocities[7] = DVec3::new(0.3, -0.2, 0.4);
    simulation.set_velocities(velocities);
    for _ in 0..60 {
        simulation.step(simulation.time_step_fs(&TimeStep::default()), None).unwrap();
        let fresh = evaluate(&potential, simulation.atoms());
        for (a, b) in fresh.forces.iter().zip(&simulation.evaluation().forces) {
            assert!((*a - *b).length() < 1e-10 * fresh.max_force_ev_per_angstrom(), "{a} {b}");
        }
    }
    assert!(simulation.builds > 1, "the list was never outdated");
}

#[test]
fn design_rows_times_coefficients_give_the_evaluation() {
    // In the second box atoms feel images of their own.
    let boxes = [random_box(12, 11, 6.0, 1.1), random_box(12, 3, 4.0, 1.1)];
    let models = [11, 15].into_iter().flat_map(|seed| [(seed, Sharing::PerSpecies), (seed, Sharing::Shared)]);
    for ((seed, sharing), atoms) in models.flat_map(|model| boxes.iter().map(move |atoms| (model, atoms))) {
        let model = model(seed);
        let neighbors = NeighborList::build(atoms, model.cutoff_angstrom());
        let columns = Columns::new(&model, sharing);
        let mut rng = random(13);
        let coefficients: Vec<f64> = (0..columns.len()).map(|_| uniform(&mut rng, -1e-3, 1e-3)).collect();
        let potential = LinearPotential::new(&model.with_coefficients(&columns, &coefficients)).unwrap();
        let direct = evaluate(&potential, atoms);
        let rows = design_rows(&model, &columns, atoms, &neighbors).unwrap();
        let dot = |row: &[f64]| row.iter().zip(&coefficients).map(|(a, b)| a * b).sum::<f64>();
        let energy = dot(&rows.energy) + rows.fixed.energy_ev();
        assert!((energy - direct.energy_ev()).abs() < 1e-10 * energy.abs());
        for (row, values) in rows.forces.chunks(columns.len()).enumerate() {
            let force = dot(values) + rows.fixed.forces[row / 3][row % 3];
            assert!(
                (force - direct.forces[row / 3][row % 3]).abs() < 1e-9 * (1.0 + direct.max_force_ev_per_angstrom()),
                "row {row}"
            );
        }
        let strain: Vec<f64> = rows.strain.chunks(columns.len()).map(dot).collect();
        let fixed = rows.fixed.stress(1.0);
        for (k, expected) in direct.stress(1.0).iter().enumerate() {
            assert!((strain[k] + fixed[k] - expected).abs() < 1e-9 * (1.0 + expected.abs()), "strain {k}");
        }
    }
}

#[test]
fn model_file_round_trips_exactly() {
    for model in [model(14), model(15)] {
        let again = Model::from_text(&model.to_text(), "test").unwrap();
        assert_eq!(model, again);
        assert_eq!(model.hash(), again.hash());
    }
    let newer = model(14).to_text().replace("format_version = 5", "format_version = 99");
    let message = Model::from_text(&newer, "some.model").unwrap_err().to_string();
    assert!(
        message.contains("some.model") && message.contains("version 99") && message.contains("newer knockon"),
        "{message}"
    );
}

/// Each part of a model names what is wrong with it.
#[test]
fn models_whose_parts_do_not_fit_are_refused() {
    let refused = |change: &dyn Fn(&mut Model)| {
        let mut model = model(15);
        change(&mut model);
        model.validate("some.model").err().map(|e| e.to_string()).unwrap_or_default()
    };
    let pair = |change: fn(&mut PairTerm)| refused(&|m| m.pair.iter_mut().for_each(change));
    let electrostatic = |change: fn(&mut Electrostatic)| refused(&|m| m.electrostatic.iter_mut().for_each(change));
    assert_eq!(refused(&|_| ()), "");
    for (found, expected) in [
        (refused(&|m| m.central.clear()), "[[central]] species, found 0"),
        (refused(&|m| m.many_body.two_j_max = 9), "two_j_max from 1 to 8, found 9"),
        (refused(&|m| m.many_body.cutoff_angstrom = f64::INFINITY), "a positive many_body.cutoff_angstrom, found inf"),
        (refused(&|m| m.many_body.angle_fraction = 1.0), "many_body.angle_fraction between 0 and 1, found 1"),
        (refused(&|m| m.many_body.self_weight = f64::NAN), "a finite self_weight, found NaN"),
        (refused(&|m| m.central[1].radius = 40.0), "cutoffs of up to 50 A, found one of 384"),
        (refused(&|m| m.many_body.inner_switch.iter_mut().for_each(|s| s.end_angstrom = 1.0)), "found 1.3 and 1"),
        (refused(&|m| m.many_body.channel_cutoffs_angstrom.truncate(2)), "or none, found 2"),
        (refused(&|m| m.many_body.channel_cutoffs_angstrom[1] = 5.0), "above 0 and up to 4.8, found 5"),
        (refused(&|m| m.central[2].species = species("O")), "each species once, found O twice"),
        (refused(&|m| m.central[2].radius = 0.0), "a positive radius of W"),
        (refused(&|m| m.central[1].channel_weights.truncate(2)), "3 channel weights and lists of coefficients for O"),
        (refused(&|m| m.central[1].coefficients_ev[2].truncate(9)), "55 coefficients per channel for O"),
        (refused(&|m| m.central[0].intercept_ev = f64::NAN), "finite numbers for Ca"),
        (pair(|p| p.pairs.truncate(5)), "6 pairs of species, found 5"),
        (pair(|p| p.inner_angstrom = 1.3), "0 < inner < outer < cutoff, found 1.3, 1.3, 4.8"),
        (pair(|p| p.taper_start_angstrom = 4.8), "0 <= pair.taper_start_angstrom < cutoff, found 4.8"),
        (pair(|p| p.sigma_angstrom = 0.0), "a positive sigma_angstrom, found 0"),
        (pair(|p| p.centers_angstrom[3] = f64::NAN), "finite pair.centers_angstrom"),
        (pair(|p| p.pairs.swap(0, 5)), "pair Ca-Ca, found W-W"),
        (pair(|p| p.pairs[4].coefficients_ev.truncate(7)), "20 coefficients for pair O-W"),
        (pair(|p| p.pairs[4].coefficients_ev[7] = f64::NAN), "finite pair coefficients"),
        (
            electrostatic(|e| e.shape.cutoff_angstrom = 1.4),
            "electrostatic.cutoff_angstrom beyond its inner switch, found 1.4",
        ),
        (electrostatic(|e| e.shape.damping_per_angstrom = -0.1), "damping_per_angstrom zero or positive, found -0.1"),
        (electrostatic(|e| e.shape.smoothing_per_angstrom = 0.0), "smoothing_per_angstrom positive, found 0"),
        (electrostatic(|e| e.charges.truncate(1)), "O-W, W-W, found Ca-Ca"),
        (electrostatic(|e| e.responses.swap(0, 1)), "responses of Ca, O, W, found O, Ca, W"),
        (
            electrostatic(|e| e.responses[2].coefficients_angstrom3.truncate(5)),
            "6 electrostatic responses of W, found 5",
        ),
        (electrostatic(|e| e.charges[2].product = f64::NAN), "finite electrostatic charges and responses"),
        (
            electrostatic(|e| e.shape.dipole_charges_e.truncate(2)),
            "dipole_charges_e as 3 numbers, one for each species",
        ),
        (electrostatic(|e| e.shape.dipole_charges_e.fill(0.0)), "not all zero, or none, found [0.0, 0.0, 0.0]"),
        (
            electrostatic(|e| e.shape.cutoff_switch = CutoffSwitch::Cosine),
            "cutoff_switch = \"quintic\" with dipole_charges_e",
        ),
        (electrostatic(|e| e.dipoles = None), "products and responses of the pairs and species"),
        (electrostatic(|e| e.shape.dipole_charges_e.clear()), "none without electrostatic.dipole_charges_e"),
        (
            electrostatic(|e| e.dipoles.as_mut().unwrap().products[1].product_angstrom6 = f64::NAN),
            "finite electrostatic dipoles",
        ),
    ] {
        assert!(found.starts_with("some.model: expected") && found.contains(expected), "{expected}: {found}");
    }
}

#[test]
fn bad_configurations_are_refused() {
    let potential = LinearPotential::new(&model(15)).unwrap();
    let mut atoms = random_box(16, 4, 6.0, 1.1);
    atoms.positions[2] = atoms.positions[1] + DVec3::splat(1e-3);
    let neighbors = NeighborList::build(&atoms, 5.0);
    let error = potential.evaluate(&atoms, &neighbors, &mut Evaluation::default()).unwrap_err().to_string();
    assert!(error.contains("atoms 2 and 3"), "{error}");
    atoms.species[0] = species("Xe");
    let error = potential.evaluate(&atoms, &neighbors, &mut Evaluation::default()).unwrap_err().to_string();
    assert!(error.contains("Xe"), "{error}");
}

#[test]
fn descriptors_are_the_components_of_the_reference() {
    let model = model(3);
    let descriptors = Descriptors::new(&model).unwrap();
    for (seed, n) in [(1, 1), (2, 19), (3, 27)] {
        let atoms = random_box(seed, n, 7.0, 1.2);
        let neighbors = NeighborList::build(&atoms, descriptors.cutoff_angstrom());
        let found = descriptors.map(&atoms, &neighbors, |_, d| d.to_vec()).unwrap();
        for (atom, found) in found.iter().enumerate() {
            let central = model.species().iter().position(|s| *s == atoms.species[atom]).unwrap();
            let environment = reference::environment(&model, &atoms, atom);
            for channel in 0..3 {
                let expected = reference::components(&model, central, channel, &environment);
                let scale = expected.iter().fold(1.0_f64, |m, e| m.max(e.abs()));
                for (a, b) in found[55 * channel..].iter().zip(&expected) {
                    assert!((a - b).abs() < 1e-12 * scale, "atom {atom}: {a} {b}");
                }
            }
            let Some(term) = &model.pair else { continue };
            let sums = found[descriptors.n_many_body()..].chunks(term.centers_angstrom.len());
            for (index, sums) in sums.enumerate() {
                let of_species = environment.iter().filter(|(species, _)| *species == index);
                for (center, sum) in term.centers_angstrom.iter().zip(sums) {
                    let value = |(_, d): &(usize, DVec3)| basis_function(term, *center, d.length())[0];
                    let expected: f64 = of_species.clone().map(value).sum();
                    assert!((sum - expected).abs() < 1e-12 * (1.0 + expected), "atom {atom}: {sum} {expected}");
                }
            }
        }
    }
}

/// Deviations of all members at once, in single precision, are those of each member as a model of its own.
#[test]
fn a_committee_is_the_spread_of_its_members() {
    [3, 15].into_iter().for_each(|seed| check_committee(&model(seed)));
}

fn check_committee(model: &Model) {
    let columns = Columns::new(model, Sharing::PerSpecies);
    let coefficients = model.coefficients(&columns);
    let deviations: Vec<Vec<f64>> = (0..11)
        .map(|m| {
            let noise =
                |(k, c): (usize, &f64)| f64::from((0.01 * (1.0 + c.abs()) * ((k * 7 + m * 5) as f64).sin()) as f32);
            coefficients.iter().enumerate().map(noise).collect()
        })
        .collect();
    let file = CommitteeFile::new(model, "data", "settings", &deviations);
    let member = |d: &Vec<f64>| {
        let moved: Vec<f64> = coefficients.iter().zip(d).map(|(c, d)| c + d).collect();
        LinearPotential::new(&model.with_coefficients(&columns, &moved)).unwrap()
    };
    let members: Vec<LinearPotential> = deviations.iter().map(member).collect();
    let alone = LinearPotential::new(model).unwrap();
    // Lanes without atoms, species without neighbours, several groups, periodic images.
    for (seed, n, length) in [(1, 1, 7.0), (2, 2, 30.0), (3, 19, 7.0), (4, 53, 9.0)] {
        let atoms = random_box(seed, n, length, 1.2);
        let expected = evaluate(&alone, &atoms);
        let others: Vec<Evaluation> = members.iter().map(|m| evaluate(m, &atoms)).collect();
        let root_mean = |squares: f64| (squares / 11.0).sqrt();
        let energy = root_mean(others.iter().map(|o| (o.energy_ev() - expected.energy_ev()).powi(2)).sum());
        let force = |atom: usize, axis: usize| {
            root_mean(others.iter().map(|o| (o.forces[atom][axis] - expected.forces[atom][axis]).powi(2)).sum())
        };
        let neighbors = NeighborList::build(&atoms, model.cutoff_angstrom() + 0.4);
        for instructions in Instructions::ALL {
            let committee = Committee::new(model, &file, "test").unwrap().with_instructions(instructions);
            let Some(committee) = committee else { continue };
            let mut evaluation = Evaluation::default();
            let found = committee.evaluate(&atoms, &neighbors, &mut evaluation).unwrap();
            assert!((found.energy_std_ev - energy).abs() < 1e-6 * energy, "{} {energy}", found.energy_std_ev);
            for atom in 0..n {
                for axis in 0..3 {
                    let (found, expected) = (found.force_std[atom][axis], force(atom, axis));
                    let close = (found - expected).abs() <= 1e-5 * (expected + 1e-3);
                    assert!(close, "{instructions:?}, {n} atoms: {found} {expected}");
                }
            }
            let again = rayon::ThreadPoolBuilder::new()
                .num_threads(3)
                .build()
                .unwrap()
                .install(|| committee.evaluate(&atoms, &neighbors, &mut evaluation).unwrap());
            assert_eq!(again, found);
        }
    }
}

#[test]
fn a_committee_of_the_model_itself_is_certain() {
    let model = model(3);
    let columns = Columns::new(&model, Sharing::PerSpecies);
    assert_eq!(model.with_coefficients(&columns, &model.coefficients(&columns)), model);
    let mut file = CommitteeFile::new(&model, "data", "settings", &vec![vec![0.0; columns.len()]; 3]);
    let atoms = random_box(5, 20, 7.0, 1.5);
    let neighbors = NeighborList::build(&atoms, model.cutoff_angstrom());
    let mut evaluation = Evaluation::default();
    let committee = Committee::new(&model, &file, "test").unwrap();
    let found = committee.evaluate(&atoms, &neighbors, &mut evaluation).unwrap();
    assert_eq!(found.energy_std_ev, 0.0);
    assert!(found.force_std.iter().all(|s| *s == DVec3::ZERO));
    assert_eq!(evaluation.forces, evaluate(&LinearPotential::new(&model).unwrap(), &atoms).forces);
    // One member whose intercepts are all 0.25 eV higher, and a scale.
    file.members.truncate(1);
    file.energy_scale = 2.0;
    file.members[0].deviations_ev[columns.intercepts()].fill(0.25);
    let found = Committee::new(&model, &file, "test").unwrap().evaluate(&atoms, &neighbors, &mut evaluation).unwrap();
    assert!((found.energy_std_ev - 2.0 * 0.25 * 20.0).abs() < 1e-6, "{}", found.energy_std_ev);
    assert!(found.force_std_by_atom().iter().all(|s| *s == 0.0));
    let mut other = model.clone();
    other.central[0].intercept_ev += 1e-9;
    let refused = Committee::new(&other, &file, "test").err().unwrap().to_string();
    assert!(refused.contains(&model.hash()), "{refused}");
}

#[test]
fn committee_and_grade_files_round_trip_exactly() {
    let model = model(4);
    let mut rng = random(8);
    let n = Columns::new(&model, Sharing::PerSpecies).len();
    let mut member = |scale: f64| (0..n).map(|_| scale * uniform(&mut rng, -1.0, 1.0)).collect::<Vec<_>>();
    let file = CommitteeFile::new(&model, "data", "settings", &[member(1e-7), member(3.0)]);
    assert_eq!(CommitteeFile::from_text(&file.to_text(), "test").unwrap(), file);
    assert!(CommitteeFile::from_text("format_version = 1", "test").unwrap_err().to_string().contains("missing field"));

    let descriptors = Descriptors::new(&model).unwrap();
    let mut builder = GradeBuilder::new(&descriptors);
    let boxes = [1, 2, 3].map(|seed| random_box(seed, 30, 9.0, 1.6));
    let environments = |atoms: &Atoms| {
        let neighbors = NeighborList::build(atoms, descriptors.cutoff_angstrom());
        descriptors.map(atoms, &neighbors, |central, d| (central, d.to_vec())).unwrap()
    };
    boxes.iter().for_each(|atoms| builder.add(&environments(atoms)));
    let file = builder.build(&model, "data").unwrap();
    assert_eq!(GradeFile::from_text(&file.to_text(), "test").unwrap(), file);

    // No training atom has a grade above 1; a denser box has.
    let extrapolation = Extrapolation::new(&model, file, "test").unwrap();
    let largest = |atoms: &Atoms| {
        let neighbors = NeighborList::build(atoms, descriptors.cutoff_angstrom() + 0.3);
        extrapolation.grades(atoms, &neighbors).unwrap().into_iter().fold(0.0, f64::max)
    };
    let of_training = boxes.iter().map(largest).fold(0.0, f64::max);
    assert!((0.5..1.0 + 1e-4).contains(&of_training), "{of_training}");
    assert!(largest(&random_box(4, 40, 7.0, 1.2)) > EXTRAPOLATION_THRESHOLD);
}
