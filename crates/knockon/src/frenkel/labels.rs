//! Frenkel pairs that have labels already: what the model says of them.

use crate::dataset::{CellKinds, formula};
use crate::dynamics::{QuenchSettings, Simulation, quench};
use crate::fit::origin::Origin;
use crate::io::Frame;
use crate::io::labels::refuse_model;
use crate::{Error, Potential};
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// A labelled configuration of the class `frenkel` and the label of a perfect box of the same kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
    /// The model at the same positions, minus the model at the positions of the perfect box.
    pub model_ev: Option<f64>,
    /// The model after relaxing both with it.
    pub model_relaxed_ev: Option<f64>,
    /// Why one of them is missing: a hole of the model, or a relaxation that found no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// Compares the labels of the class `frenkel` with the model. Labels without a perfect box of the same kind of cell and the same
/// settings (class `perfect`) are left out.
pub fn labelled_pairs(
    potential: &dyn Potential,
    labels: &[Frame],
    settings: &QuenchSettings,
) -> Result<Vec<LabelledPair>, Error> {
    refuse_models(labels)?;
    let kinds = CellKinds::number(labels);
    let mut references: BTreeMap<usize, ModelEnergies> = BTreeMap::new();
    let mut pairs = Vec::new();
    for (number, frame) in labels.iter().enumerate() {
        let of_class = |frame: &Frame, class: &str| frame.info.get("cls") == Some(class) && frame.energy_ev.is_some();
        let difference = |other: &Frame| {
            let strain = other.atoms.cell.vectors - frame.atoms.cell.vectors;
            strain.to_cols_array().iter().map(|x| x * x).sum::<f64>()
        };
        // Boxes of one kind may have been labelled at several lattice constants.
        let perfect = (0..labels.len())
            .filter(|p| {
                kinds[*p] == kinds[number] && of_class(&labels[*p], "perfect") && comparable(frame, &labels[*p])
            })
            .min_by(|a, b| difference(&labels[*a]).total_cmp(&difference(&labels[*b])));
        let (true, Some(perfect)) = (of_class(frame, "frenkel"), perfect) else { continue };
        let reference = match references.entry(perfect) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(ModelEnergies::new(potential, &labels[perfect], settings)?),
        };
        let here = ModelEnergies::new(potential, frame, settings)?;
        let above = |(pair, perfect): (f64, f64)| pair - perfect;
        let energy = |f: &Frame| f.energy_ev.unwrap_or(f64::NAN);
        pairs.push(LabelledPair {
            id: frame.info.get("id").unwrap_or_default().to_owned(),
            species: frame.info.get("species").unwrap_or_default().to_owned(),
            n_atoms: frame.atoms.len(),
            label_ev: energy(frame) - energy(&labels[perfect]),
            label_max_force_ev_per_angstrom: frame.max_force_ev_per_angstrom(),
            model_ev: here.labelled_ev.zip(reference.labelled_ev).map(above),
            model_relaxed_ev: here.relaxed_ev.zip(reference.relaxed_ev).map(above),
            failure: here.failure.or_else(|| Some(format!("the perfect box: {}", reference.failure.as_ref()?))),
        });
    }
    Ok(pairs)
}

/// Energies of a model are no label to judge one by.
pub(super) fn refuse_models(labels: &[Frame]) -> Result<(), Error> {
    labels.iter().filter(|frame| frame.energy_ev.is_some()).try_for_each(|frame| refuse_model(frame, "labels"))
}

/// True for the same atoms, and labels made with the same settings.
fn comparable(a: &Frame, b: &Frame) -> bool {
    let mut origins = Vec::new();
    formula(&a.atoms) == formula(&b.atoms) && Origin::find(&mut origins, a) == Origin::find(&mut origins, b)
}

/// What a model says of one box.
#[derive(Default)]
struct ModelEnergies {
    /// As labelled.
    labelled_ev: Option<f64>,
    /// Relaxed at fixed cell.
    relaxed_ev: Option<f64>,
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
        let found = quench(&mut simulation, settings)?;
        if !found.converged {
            let (force, evaluations) = (found.max_force_ev_per_angstrom, found.evaluations);
            let problem = format!("did not relax: {force:.1e} eV/A are left after {evaluations} evaluations");
            return Err(Error::computation(problem, "Allow more evaluations, or a larger force"));
        }
        self.relaxed_ev = Some(found.energy_ev);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::{PairPotential, argon_like};
    use crate::{Atoms, Evaluation, NeighborList, Species};
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
