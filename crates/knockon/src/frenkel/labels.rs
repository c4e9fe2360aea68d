//! Frenkel pairs that have labels already: what the model says of them.

use crate::dataset::cell_kinds;
use crate::dynamics::{QuenchSettings, Simulation, quench};
use crate::fit::origin::Origin;
use crate::io::Frame;
use crate::io::labels::refuse_model;
use crate::{Error, Potential};
use serde::Serialize;

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
    pub model_ev: f64,
    /// The model after relaxing both with it.
    pub model_relaxed_ev: f64,
}

/// Compares the labels of the class `frenkel` with the model. Labels without a perfect box of the same kind of cell and the same
/// settings (class `perfect`) are left out.
pub fn labelled_pairs(
    potential: &dyn Potential,
    labels: &[Frame],
    settings: &QuenchSettings,
) -> Result<Vec<LabelledPair>, Error> {
    refuse_models(labels)?;
    let kinds = cell_kinds(labels);
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
                kinds[*p] == kinds[number] && of_class(&labels[*p], "perfect") && same_origin(frame, &labels[*p])
            })
            .min_by(|a, b| difference(&labels[*a]).total_cmp(&difference(&labels[*b])));
        let (true, Some(perfect)) = (of_class(frame, "frenkel"), perfect) else { continue };
        let [here, reference] = [frame, &labels[perfect]].map(|f| model_energies(potential, f, settings));
        let (here, reference) = (here?, reference?);
        let energy = |f: &Frame| f.energy_ev.unwrap_or(f64::NAN);
        pairs.push(LabelledPair {
            id: frame.info.get("id").unwrap_or_default().to_owned(),
            species: frame.info.get("species").unwrap_or_default().to_owned(),
            n_atoms: frame.atoms.len(),
            label_ev: energy(frame) - energy(&labels[perfect]),
            label_max_force_ev_per_angstrom: frame.max_force_ev_per_angstrom(),
            model_ev: here.0 - reference.0,
            model_relaxed_ev: here.1 - reference.1,
        });
    }
    Ok(pairs)
}

/// Energies of a model are no label to judge one by.
pub(super) fn refuse_models(labels: &[Frame]) -> Result<(), Error> {
    labels.iter().filter(|frame| frame.energy_ev.is_some()).try_for_each(|frame| refuse_model(frame, "labels"))
}

fn same_origin(a: &Frame, b: &Frame) -> bool {
    let mut origins = Vec::new();
    Origin::find(&mut origins, a) == Origin::find(&mut origins, b)
}

/// As labelled, and relaxed at fixed cell.
fn model_energies(potential: &dyn Potential, frame: &Frame, settings: &QuenchSettings) -> Result<(f64, f64), Error> {
    let mut simulation = Simulation::new(potential, frame.atoms.clone(), 0.5)?;
    let before = simulation.potential_energy_ev();
    Ok((before, quench(&mut simulation, settings)?.energy_ev))
}
