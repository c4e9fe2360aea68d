//! What a configuration is called and comes from, in a file beside its inputs for a code elsewhere, whose output keeps none of it.
//!
//! `knockon dft-input` writes the file and sorts the atoms by species; `knockon data import` finds it beside the output and gives
//! the labels keys and order of the candidate.

use super::dft_input::RELAXED_EV_PER_ANGSTROM;
use super::relax::on_the_way;
use anyhow::{Result, bail};
use glam::DVec3;
use knockon::io::labels::remove_label;
use knockon::io::{Frame, format_extxyz, read_structure};
use knockon::{Atoms, Species};
use std::path::{Path, PathBuf};

/// Name of the file.
pub(crate) const NAME: &str = "knockon-candidate.xyz";
/// Info key for what the inputs ask for; labels do not have it.
const TASK: &str = "dft_input";
const RELAXATION: &str = "relaxation";
const SINGLE_POINT: &str = "single_point";

/// Outputs have three digits of lengths or more.
const SAME_ANGSTROM: f64 = 1e-3;
/// Atoms that relax in place stay within this of where they were.
const RELAXED_WITHIN_ANGSTROM: f64 = 1.5;

/// The text of the file.
pub(crate) fn text(candidate: &Frame, relax: bool) -> Result<String> {
    let mut candidate = candidate.clone();
    remove_label(&mut candidate);
    candidate.info.set(TASK, if relax { RELAXATION } else { SINGLE_POINT });
    Ok(format_extxyz(&[candidate])?)
}

/// The atoms in the order of the inputs: species by species as they first appear.
pub(crate) fn sorted_by_species(atoms: &Atoms) -> Vec<usize> {
    let mut species: Vec<Species> = Vec::new();
    for s in &atoms.species {
        if !species.contains(s) {
            species.push(*s);
        }
    }
    species.iter().flat_map(|s| (0..atoms.len()).filter(|i| atoms.species[*i] == *s)).collect()
}

/// The candidate beside an output.
pub(crate) struct CandidateFile {
    path: PathBuf,
    candidate: Frame,
    /// Whether its atoms were to be relaxed.
    relaxation: bool,
    /// Atoms of the candidate in the order of the output.
    order: Vec<usize>,
}

impl CandidateFile {
    /// Reads it, if there is one beside this output.
    pub(crate) fn beside(output: &Path) -> Result<Option<Self>> {
        let path = output.with_file_name(NAME);
        if !path.exists() {
            return Ok(None);
        }
        let mut candidate = read_structure(&path)?;
        let relaxation = candidate.info.get(TASK) == Some(RELAXATION);
        // What the output says of k-points stands.
        for key in [TASK, "kpts"] {
            candidate.info.remove(key);
        }
        let order = sorted_by_species(&candidate.atoms);
        Ok(Some(Self { path, candidate, relaxation, order }))
    }

    /// The labels with the keys of the candidate and its order of atoms. The last one has its id; steps of a relaxation
    /// before it are `ID-step-N` with `parent` and `step`, as those of `knockon relax` are. Where the last one has larger forces
    /// than were asked for it is marked as one on the way, as `knockon relax` does it.
    pub(crate) fn carry_over(&self, labels: Vec<Frame>, output: &Path) -> Result<Vec<Frame>> {
        let n_labels = labels.len();
        let mut carried = Vec::with_capacity(n_labels);
        for (step, label) in labels.into_iter().enumerate() {
            let mut label = self.carried(label, output)?;
            if step + 1 < n_labels {
                let parent = self.candidate.info.get("id").unwrap_or("candidate");
                label.info.set("id", format!("{parent}-step-{step}"));
                label.info.set("parent", parent);
                label.info.set("step", step);
            } else if self.relaxation && is_on_the_way(&label) {
                let max_force = label.max_force_ev_per_angstrom();
                label = on_the_way(label, max_force);
            }
            carried.push(label);
        }
        Ok(carried)
    }

    fn carried(&self, label: Frame, output: &Path) -> Result<Frame> {
        let moves = match self.moves(&label.atoms) {
            Ok(moves) => moves,
            Err(found) => bail!(
                "{}: expected the configuration of {} beside it, found {found}. Put each output where its inputs were; without that \
                 file labels are imported as they are",
                output.display(),
                self.path.display()
            ),
        };
        let mut carried = self.candidate.clone();
        // Within the digits of the output nothing has moved, and the candidate has more of them.
        if farthest(&moves) > SAME_ANGSTROM {
            carried.atoms.positions.iter_mut().zip(&moves).for_each(|(position, moved)| *position += *moved);
        }
        label.info.iter().for_each(|(key, value)| carried.info.set(key, value));
        carried.energy_ev = label.energy_ev;
        carried.forces = label.forces.map(|forces| self.in_order_of_candidate(&forces));
        carried.stress = label.stress;
        Ok(carried)
    }

    /// How far each atom of the candidate is from where it was; what is wrong if the output is of something else.
    fn moves(&self, output: &Atoms) -> Result<Vec<DVec3>, String> {
        let candidate = &self.candidate.atoms;
        let as_put_out = Atoms {
            species: self.order.iter().map(|atom| candidate.species[*atom]).collect(),
            positions: self.order.iter().map(|atom| candidate.positions[*atom]).collect(),
            ..candidate.clone()
        };
        let moves = self.in_order_of_candidate(&output.moves_from(&as_put_out, SAME_ANGSTROM)?);
        let farthest = farthest(&moves);
        // Atoms that relax in place stay near where they were.
        let reach_angstrom = if self.relaxation { RELAXED_WITHIN_ANGSTROM } else { SAME_ANGSTROM };
        if farthest > reach_angstrom {
            return Err(format!("an atom {farthest:.3} A away, where it may be {reach_angstrom}"));
        }
        Ok(moves)
    }

    fn in_order_of_candidate(&self, values: &[DVec3]) -> Vec<DVec3> {
        let mut restored = vec![DVec3::ZERO; values.len()];
        for (value, atom) in values.iter().zip(&self.order) {
            restored[*atom] = *value;
        }
        restored
    }
}

/// Whether forces are left that a relaxation should have taken away; codes differ in what they compare with the threshold.
fn is_on_the_way(label: &Frame) -> bool {
    const TOLERANCE: f64 = 1.5;
    label.max_force_ev_per_angstrom().is_some_and(|force| force > TOLERANCE * RELAXED_EV_PER_ANGSTROM)
}

fn farthest(moves: &[DVec3]) -> f64 {
    moves.iter().map(|moved| moved.length()).fold(0.0, f64::max)
}
