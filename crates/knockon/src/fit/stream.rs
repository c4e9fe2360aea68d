//! From configurations to triangular factors, one configuration after another.
//!
//! Every row is divided by the deviation that the settings expect of it. The rows of some configurations are computed
//! in parallel and folded in one by one in their order, so that the factors are the same bits for any number of
//! threads and memory holds a few configurations at a time.

use super::factor::Factor;
use super::settings::{ClassSettings, Settings};
use super::training_data::{Configuration, TrainingData};
use crate::potential::{Columns, DesignRows, Model, Sharing, design_rows};
use crate::progress::Progress;
use crate::units::EV_PER_ANGSTROM3_IN_GPA;
use crate::{Error, NeighborList, Species};
use rayon::prelude::*;

/// The unknowns of the least-squares problem: the coefficients of the model with one set per central species, then
/// one energy offset per atom for each kind of cell but the reference, then one per species for all settings of labels but
/// those of the reference.
#[derive(Clone, Debug)]
pub struct Unknowns {
    /// Layout of the coefficients.
    pub columns: Columns,
    n_kinds: usize,
    reference_kind: usize,
    species: Vec<Species>,
    n_origins: usize,
    reference_origin: usize,
}

impl Unknowns {
    /// For a model of this structure and a data set.
    pub fn new(model: &Model, data: &TrainingData) -> Self {
        let columns = Columns::new(model, Sharing::PerSpecies);
        Self {
            columns,
            n_kinds: data.kinds.as_slice().len(),
            reference_kind: data.reference_kind,
            species: model.species(),
            n_origins: data.origins.len(),
            reference_origin: data.reference_origin,
        }
    }

    /// Number of unknowns.
    pub fn len(&self) -> usize {
        self.columns.len() + self.n_kind_offsets() + (self.n_origins - 1) * self.species.len()
    }

    /// Number of offsets of kinds of cell; they follow the coefficients.
    pub fn n_kind_offsets(&self) -> usize {
        self.n_kinds - 1
    }

    /// True if there are no unknowns.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Unknown of the offset of a kind of cell; none for the reference.
    pub fn offset(&self, kind: usize) -> Option<usize> {
        let position = || if kind < self.reference_kind { kind } else { kind - 1 };
        (kind != self.reference_kind).then(|| self.columns.len() + position())
    }

    /// Unknown of the constant of a species in labels of other settings than those of the reference.
    pub fn species_offset(&self, origin: usize, species: usize) -> Option<usize> {
        let position = || if origin < self.reference_origin { origin } else { origin - 1 };
        let first = self.columns.len() + self.n_kind_offsets();
        (origin != self.reference_origin).then(|| first + position() * self.species.len() + species)
    }

    /// The offsets in the energy of a configuration: unknown and number of atoms to which it applies.
    pub fn offset_terms(&self, c: &Configuration) -> Vec<(usize, f64)> {
        let mut terms: Vec<(usize, f64)> = self.offset(c.kind).map(|k| (k, c.atoms.len() as f64)).into_iter().collect();
        for (index, species) in self.species.iter().enumerate() {
            if let Some(unknown) = self.species_offset(c.origin, index) {
                terms.push((unknown, c.atoms.species.iter().filter(|s| *s == species).count() as f64));
            }
        }
        terms
    }
}

/// The data as least-squares problems, one per group, and the size of each column.
pub struct Streamed {
    /// One factor per group of the data set.
    pub groups: Vec<Factor>,
    /// Root mean square over all force components of the data of what a unit coefficient contributes, in 1/angstrom.
    pub force_rms: Vec<f64>,
}

/// How many configurations are computed before they are folded in. Independent of the number of threads.
const BATCH: usize = 8;

/// Streams the whole data set, for a model of which only the structure counts.
pub fn stream(
    settings: &Settings,
    model: &Model,
    data: &TrainingData,
    unknowns: &Unknowns,
    progress: &dyn Progress,
) -> Result<Streamed, Error> {
    let n_columns = unknowns.columns.len();
    let (mut squares, mut n_force_rows) = (vec![0.0; n_columns], 0_usize);
    let mut groups = Vec::new();
    let mut done = 0;
    for range in data.group_ranges() {
        let mut factor = Factor::new(unknowns.len());
        for batch in data.configurations[range].chunks(BATCH) {
            let rows: Vec<_> = batch.par_iter().map(|c| rows_of(model, unknowns, c)).collect::<Result<_, _>>()?;
            for (configuration, design) in batch.iter().zip(rows) {
                for row in design.forces.chunks_exact(n_columns) {
                    squares.iter_mut().zip(row).for_each(|(sum, x)| *sum += x * x);
                }
                n_force_rows += 3 * configuration.atoms.len();
                fold_in(&mut factor, &settings.classes[configuration.class], unknowns, configuration, &design);
                done += 1;
                progress.update(done as u64, data.configurations.len() as u64);
            }
        }
        factor.compress();
        groups.push(factor);
    }
    let force_rms = squares.iter().map(|s| (s / n_force_rows.max(1) as f64).sqrt()).collect();
    Ok(Streamed { groups, force_rms })
}

fn rows_of(model: &Model, unknowns: &Unknowns, configuration: &Configuration) -> Result<DesignRows, Error> {
    let neighbors = NeighborList::build(&configuration.atoms, model.cutoff_angstrom());
    let rows = design_rows(model, &unknowns.columns, &configuration.atoms, &neighbors)?;
    let finite = |values: &[f64]| values.iter().all(|x| x.is_finite());
    if finite(&rows.energy) && finite(&rows.forces) && finite(&rows.strain) {
        return Ok(rows);
    }
    let problem = format!("the descriptors of \"{}\" are not all finite", configuration.id);
    Err(Error::computation(problem, "Look for atoms on top of each other, or name it in leave_out"))
}

/// Adds the rows of one configuration, whitened.
pub(super) fn fold_in(
    factor: &mut Factor,
    class: &ClassSettings,
    unknowns: &Unknowns,
    c: &Configuration,
    design: &DesignRows,
) {
    let (n_atoms, n_columns) = (c.atoms.len(), unknowns.columns.len());
    let n_offsets = unknowns.len() - n_columns;
    if let Some(energy) = c.energy_ev {
        let deviation = class.energy_ev_per_atom * n_atoms as f64;
        let mut offsets = vec![0.0; n_offsets];
        unknowns.offset_terms(c).into_iter().for_each(|(k, count)| offsets[k - n_columns] = count);
        let row = design.energy.iter().copied().chain(offsets).map(|x| x / deviation);
        factor.push(row, (energy - design.fixed.energy_ev()) / deviation);
    }
    let zeros = || std::iter::repeat_n(0.0, n_offsets);
    if let Some(forces) = &c.forces {
        for (atom, force) in forces.iter().enumerate() {
            let deviation = class.force_ev_per_angstrom.hypot(class.force_fraction * force.length());
            let target = *force - design.fixed.forces[atom];
            for axis in 0..3 {
                let start = (3 * atom + axis) * n_columns;
                let row = design.forces[start..start + n_columns].iter().copied().chain(zeros());
                factor.push(row.map(|x| x / deviation), target[axis] / deviation);
            }
        }
    }
    if let Some(stress) = c.stress {
        let volume = c.atoms.cell.volume_angstrom3();
        let deviation = class.stress_gpa / EV_PER_ANGSTROM3_IN_GPA * volume;
        let fixed = design.fixed.stress(volume);
        for component in 0..6 {
            let start = component * n_columns;
            let row = design.strain[start..start + n_columns].iter().copied().chain(zeros());
            let target = (stress[component] - fixed[component]) * volume;
            factor.push(row.map(|x| x / deviation), target / deviation);
        }
    }
}
