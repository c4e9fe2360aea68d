//! Frenkel pairs that have labels already: what the model says of them.

use super::search::SAME_ENERGY_EV;
use crate::dataset::{CellKinds, Origin, formula};
use crate::dynamics::{QuenchSettings, Simulation, expected_minimum, quench};
use crate::io::Frame;
use crate::io::labels::refuse_model;
use crate::{Atoms, Cell, Error, Potential};
use glam::DMat3;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// A labelled configuration of the class `frenkel` and the label of a perfect box of the same kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LabelledPair {
    /// Its `id`.
    pub id: String,
    /// Its `species`, as the file has it.
    pub species: String,
    /// Atoms of the box.
    pub n_atoms: usize,
    /// Label minus label of the perfect box.
    pub label_ev: f64,
    /// Largest force of the label: how far from relaxed it is.
    pub label_max_force_ev_per_angstrom: Option<f64>,
    /// The same after relaxing both as far as the forces of the labels lead on the surface of the model ([`expected_minimum`]): an
    /// estimate; none where that is too far.
    pub label_relaxed_ev: Option<f64>,
    /// How far the farthest atom of the pair would move, in angstrom.
    pub label_relaxed_move_angstrom: Option<f64>,
    /// True if the model relaxes from there to where it relaxes from the label, so that both are the same structure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_relaxes_alike: Option<bool>,
    /// The model at the same positions, minus the model at the positions of the perfect box.
    pub model_ev: Option<f64>,
    /// The model after relaxing both with it.
    pub model_relaxed_ev: Option<f64>,
    /// The structure of a search that this ends in ([`super::FrenkelSearch::recognize`]), by its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub structure: Option<String>,
    /// The box that the model relaxes it to.
    #[serde(skip)]
    pub relaxed: Option<Atoms>,
    /// Why one of them is missing: a hole of the model, or a relaxation that found no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// Compares the labels of the class `frenkel` with the model. Labels without a perfect box of the same lattice, kind of cell and
/// settings (class `perfect`) are left out; of several the lowest counts, since atoms of the others are not relaxed.
pub fn labelled_pairs(
    potential: &dyn Potential,
    labels: &[Frame],
    settings: &QuenchSettings,
) -> Result<Vec<LabelledPair>, Error> {
    refuse_models(labels)?;
    let kinds = CellKinds::number(labels);
    let mut references: BTreeMap<usize, ModelEnergies> = BTreeMap::new();
    let mut pairs = Vec::new();
    let energy = |frame: &Frame| frame.energy_ev.unwrap_or(f64::NAN);
    for (number, frame) in labels.iter().enumerate() {
        let of_class = |frame: &Frame, class: &str| frame.class() == Some(class) && frame.energy_ev.is_some();
        // Boxes of one kind may have been labelled at several lattice constants, and with atoms that are not relaxed.
        let perfect = (0..labels.len())
            .filter(|p| {
                let perfect = &labels[*p];
                kinds[*p] == kinds[number] && of_class(perfect, "perfect") && comparable(frame, perfect)
            })
            .min_by(|a, b| energy(&labels[*a]).total_cmp(&energy(&labels[*b])));
        let (true, Some(perfect)) = (of_class(frame, "frenkel"), perfect) else { continue };
        let reference = match references.entry(perfect) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(ModelEnergies::new(potential, &labels[perfect], settings)?),
        };
        let here = ModelEnergies::new(potential, frame, settings)?;
        let above = |(pair, perfect): (f64, f64)| pair - perfect;
        pairs.push(LabelledPair {
            id: frame.info.get("id").unwrap_or_default().to_owned(),
            species: frame.info.get("species").unwrap_or_default().to_owned(),
            n_atoms: frame.atoms.len(),
            label_ev: energy(frame) - energy(&labels[perfect]),
            label_max_force_ev_per_angstrom: frame.max_force_ev_per_angstrom(),
            label_relaxed_ev: here.label_ev.zip(reference.label_ev).map(above),
            label_relaxed_move_angstrom: here.label_move_angstrom,
            label_relaxes_alike: here.label_end_ev.zip(here.relaxed_ev).map(|(a, b)| (a - b).abs() < SAME_ENERGY_EV),
            model_ev: here.labelled_ev.zip(reference.labelled_ev).map(above),
            model_relaxed_ev: here.relaxed_ev.zip(reference.relaxed_ev).map(above),
            structure: None,
            relaxed: here.relaxed,
            failure: here.failure.or_else(|| Some(format!("the perfect box: {}", reference.failure.as_ref()?))),
        });
    }
    Ok(pairs)
}

/// Energies of a model are no label to judge one by.
pub(super) fn refuse_models(labels: &[Frame]) -> Result<(), Error> {
    labels.iter().filter(|frame| frame.energy_ev.is_some()).try_for_each(|frame| refuse_model(frame, "labels"))
}

/// True for the same atoms in the same lattice, and labels made with the same settings.
fn comparable(a: &Frame, b: &Frame) -> bool {
    formula(&a.atoms) == formula(&b.atoms) && same_lattice(&a.atoms.cell, &b.atoms.cell) && Origin::agree(a, b)
}

/// Lattice vectors may differ by so much, in angstrom: 4e-4 of those of 96 atoms, some meV of the box.
const SAME_LATTICE_ANGSTROM: f64 = 0.005;

/// True if both cells have the same periodic images, by whatever vectors they are given.
fn same_lattice(a: &Cell, b: &Cell) -> bool {
    whole_numbers(a, b, SAME_LATTICE_ANGSTROM).is_some()
}

/// How many of the vectors of `a` make those of `b`, if both have the same periodic images within a tolerance.
fn whole_numbers(a: &Cell, b: &Cell, tolerance_angstrom: f64) -> Option<DMat3> {
    let within = |a: &Cell, b: &Cell| {
        let whole = DMat3::from_cols_array(&(a.vectors.inverse() * b.vectors).to_cols_array().map(f64::round));
        let rest = a.vectors * whole - b.vectors;
        rest.to_cols_array().iter().all(|x| x.abs() < tolerance_angstrom).then_some(whole)
    };
    within(a, b).filter(|_| within(b, a).is_some())
}

/// Lattices that differ by less, in angstrom, are strained forms of one: some per cent of a box of 96 atoms.
const STRAINED_LATTICE_ANGSTROM: f64 = 0.3;

/// A box in the lattice of another one, if its own is a strained form of that: everything in it is strained alike.
pub(super) fn in_lattice_of(reference: &Atoms, atoms: &Atoms) -> Option<Atoms> {
    let whole = whole_numbers(&reference.cell, &atoms.cell, STRAINED_LATTICE_ANGSTROM)?;
    let deformation = reference.cell.vectors * whole * atoms.cell.vectors.inverse();
    let positions = atoms.positions.iter().map(|p| deformation * *p).collect();
    Some(Atoms { cell: reference.cell, positions, ..atoms.clone() })
}

/// What a model says of one box.
#[derive(Default)]
struct ModelEnergies {
    /// Energy of the label after the relaxation that its forces and the model let expect, and how far atoms move.
    label_ev: Option<f64>,
    label_move_angstrom: Option<f64>,
    /// What the model relaxes that to.
    label_end_ev: Option<f64>,
    /// As labelled.
    labelled_ev: Option<f64>,
    /// Relaxed at fixed cell.
    relaxed_ev: Option<f64>,
    relaxed: Option<Atoms>,
    failure: Option<String>,
}

impl ModelEnergies {
    /// A box in a hole of the potential is what labels are compared for: it ends nothing.
    fn new(potential: &dyn Potential, frame: &Frame, settings: &QuenchSettings) -> Result<Self, Error> {
        let mut energies = Self::default();
        match energies.find(potential, frame, settings) {
            Err(error @ Error::Computation { .. }) => energies.failure = Some(error.to_string()),
            other => other?,
        }
        Ok(energies)
    }

    fn find(&mut self, potential: &dyn Potential, frame: &Frame, settings: &QuenchSettings) -> Result<(), Error> {
        let mut simulation = Simulation::new(potential, frame.atoms.clone(), 0.5)?;
        self.labelled_ev = Some(simulation.potential_energy_ev());
        if let (Some(energy_ev), Some(forces)) = (frame.energy_ev, &frame.forces) {
            let minimum = expected_minimum(potential, &frame.atoms, forces, settings)?;
            self.label_ev = minimum.as_ref().map(|m| energy_ev + m.change_ev);
            self.label_move_angstrom = minimum.as_ref().map(|m| m.longest_angstrom);
            if let Some(minimum) = minimum {
                let atoms = Atoms { positions: minimum.positions, ..frame.atoms.clone() };
                self.label_end_ev =
                    unless_in_a_hole(relaxed(potential, &atoms, settings))?.map(|(energy_ev, _)| energy_ev);
            }
        }
        let found = quench(&mut simulation, settings)?;
        if !found.converged {
            let (force, evaluations) = (found.max_force_ev_per_angstrom, found.evaluations);
            let problem = format!("did not relax: {force:.1e} eV/A are left after {evaluations} evaluations");
            return Err(Error::computation(problem, "Allow more evaluations, or a larger force"));
        }
        self.relaxed_ev = Some(found.energy_ev);
        self.relaxed = Some(simulation.atoms().clone());
        Ok(())
    }
}

/// Energy and positions of a box after relaxing it; none if that came to no end.
fn relaxed(potential: &dyn Potential, atoms: &Atoms, settings: &QuenchSettings) -> Result<Option<(f64, Atoms)>, Error> {
    let mut simulation = Simulation::new(potential, atoms.clone(), 0.5)?;
    let found = quench(&mut simulation, settings)?;
    Ok(found.converged.then(|| (found.energy_ev, simulation.atoms().clone())))
}

/// Nothing where the potential has no result: that says something of this box alone.
fn unless_in_a_hole<T>(result: Result<Option<T>, Error>) -> Result<Option<T>, Error> {
    match result {
        Err(Error::Computation { .. }) => Ok(None),
        other => other,
    }
}

/// Energy and positions of a labelled pair after relaxing it in the lattice of a perfect box; none if it is no box of that crystal, falls into a
/// hole of the potential or comes to no end.
pub(super) fn relaxed_in_lattice_of(
    perfect: &Atoms,
    potential: &dyn Potential,
    pair: &LabelledPair,
    settings: &QuenchSettings,
) -> Result<Option<(f64, Atoms)>, Error> {
    let same_atoms = pair.relaxed.as_ref().filter(|atoms| formula(atoms) == formula(perfect));
    let strained = same_atoms.and_then(|atoms| in_lattice_of(perfect, atoms));
    strained.map_or(Ok(None), |atoms| unless_in_a_hole(relaxed(potential, &atoms, settings)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::{PairPotential, argon_like};
    use crate::{Evaluation, NeighborList, Species};
    use glam::DVec3;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Fails where two atoms are close, and counts how often it is asked for the perfect box.
    struct Holed {
        potential: PairPotential,
        perfect: Atoms,
        asked: AtomicUsize,
    }

    impl Potential for Holed {
        fn cutoff_angstrom(&self) -> f64 {
            self.potential.cutoff_angstrom()
        }

        fn species(&self) -> &[Species] {
            self.potential.species()
        }

        fn evaluate(&self, atoms: &Atoms, neighbors: &NeighborList, evaluation: &mut Evaluation) -> Result<(), Error> {
            self.asked.fetch_add(usize::from(*atoms == self.perfect), Ordering::Relaxed);
            if neighbors.shortest_distance_angstrom(atoms) < 1.2 {
                return Err(Error::computation("a hole", "Take another model"));
            }
            self.potential.evaluate(atoms, neighbors, evaluation)
        }
    }

    fn label(atoms: &Atoms, class: &str, moved: DVec3) -> Frame {
        let mut frame = Frame::new(atoms.clone());
        frame.atoms.positions[0] += moved;
        frame.info.set("cls", class);
        frame.energy_ev = Some(if class == "perfect" { -10.0 } else { -7.0 });
        frame
    }

    /// The perfect box has the lattice of the pair, whatever its vectors, and relaxed atoms; without one there is no energy.
    #[test]
    fn pairs_are_compared_with_the_lowest_box_of_their_lattice() {
        let (potential, perfect) = argon_like([2, 2, 2]);
        let mut other_vectors = perfect.clone();
        let [a, b, c] = [perfect.cell.vectors.x_axis, perfect.cell.vectors.y_axis, perfect.cell.vectors.z_axis];
        other_vectors.cell.vectors = DMat3::from_cols(b, c, a);
        let mut larger = perfect.clone();
        larger.cell.vectors *= 1.002;
        larger.positions.iter_mut().for_each(|p| *p *= 1.002);
        let with_energy = |atoms: &Atoms, energy_ev: f64| {
            let mut frame = label(atoms, "perfect", DVec3::ZERO);
            frame.energy_ev = Some(energy_ev);
            frame
        };
        let pair = label(&perfect, "frenkel", DVec3::X * 0.3);
        let boxes = [with_energy(&perfect, -9.5), with_energy(&other_vectors, -10.0), with_energy(&larger, -11.0)];
        let pairs = |boxes: &[Frame]| {
            let labels = [std::slice::from_ref(&pair), boxes].concat();
            labelled_pairs(&potential, &labels, &QuenchSettings::default()).expect("pairs")
        };
        assert_eq!(pairs(&boxes)[0].label_ev, 3.0);
        assert!(pairs(&boxes[2..]).is_empty());
    }

    /// Labels of another potential: their forces lead to where that one relaxes, not the model.
    #[test]
    fn forces_of_labels_lead_to_their_minimum() {
        let (code, mut perfect) = argon_like([2, 2, 2]);
        // With a vacancy, so that the minimum is not the perfect lattice: at the start atoms are on sites.
        perfect.species.pop();
        perfect.positions.pop();
        let of_code = |class: &str, moved: DVec3| {
            let mut frame = label(&perfect, class, moved);
            let simulation = Simulation::new(&code, frame.atoms.clone(), 0.5).expect("a simulation");
            frame.energy_ev = Some(simulation.potential_energy_ev());
            frame.forces = Some(simulation.evaluation().forces.clone());
            frame
        };
        let model = PairPotential::lennard_jones(0.5, 2.83, 4.6);
        let mut labels = vec![of_code("frenkel", DVec3::new(0.2, 0.1, 0.0)), of_code("perfect", DVec3::ZERO)];
        let compare = |labels: &[Frame]| {
            labelled_pairs(&model, labels, &QuenchSettings::default()).expect("pairs").pop().expect("a pair")
        };
        let pair = compare(&labels);
        let moved = pair.label_relaxed_move_angstrom.expect("a minimum");
        assert!(pair.label_ev > 0.15 && (0.2..0.3).contains(&moved), "{pair:?}");
        // Both fall into the same minimum, so that nothing is left of the difference, but for what the guide is off.
        assert!(pair.label_relaxed_ev.is_some_and(|e| e.abs() < 0.1 * pair.label_ev), "{pair:?}");
        labels[0].forces = None;
        let pair = compare(&labels);
        assert_eq!((pair.label_relaxed_ev, pair.label_relaxed_move_angstrom), (None, None));
    }

    #[test]
    fn a_pair_in_a_hole_is_told_with_the_others() {
        let (potential, perfect) = argon_like([2, 2, 2]);
        let towards = (perfect.positions[1] - perfect.positions[0]).normalize();
        let labels = [
            label(&perfect, "frenkel", DVec3::X * 0.3),
            label(&perfect, "perfect", DVec3::ZERO),
            label(&perfect, "frenkel", towards * 1.8),
        ];
        let potential = Holed { potential, perfect, asked: AtomicUsize::new(0) };
        let compare = |settings: &QuenchSettings| labelled_pairs(&potential, &labels, settings).expect("pairs");
        let pairs = compare(&QuenchSettings::default());
        // To begin with, and as the first point of the only descent.
        assert_eq!(potential.asked.load(Ordering::Relaxed), 2, "the perfect box is relaxed once");
        assert!(pairs.len() == 2 && pairs.iter().all(|p| p.label_ev == 3.0), "{pairs:?}");
        assert!(pairs[0].model_ev.is_some_and(|e| e > 0.05) && pairs[0].failure.is_none(), "{pairs:?}");
        assert!(pairs[0].model_relaxed_ev.is_some_and(|e| e.abs() < 1e-3), "{pairs:?}");
        assert_eq!((pairs[1].model_ev, pairs[1].model_relaxed_ev), (None, None));
        assert!(pairs[1].failure.as_ref().is_some_and(|f| f.contains("a hole")), "{pairs:?}");

        // What did not relax has no relaxed energy.
        let pairs = compare(&QuenchSettings { max_evaluations: 1, ..QuenchSettings::default() });
        assert!(pairs[0].model_ev.is_some() && pairs[0].model_relaxed_ev.is_none(), "{pairs:?}");
        assert!(pairs[0].failure.as_ref().is_some_and(|f| f.contains("did not relax")), "{pairs:?}");
    }
}
