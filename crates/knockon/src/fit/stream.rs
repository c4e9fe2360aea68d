//! From configurations to triangular factors, one configuration after another.
//!
//! Every row is divided by the deviation that the settings expect of it. The rows of some configurations are computed
//! in parallel and folded in one by one in their order, so that the factors are the same bits for any number of
//! threads and memory holds a few configurations at a time.

use super::factor::Factor;
use super::prior::Repulsion;
use super::settings::{ClassSettings, Settings};
use super::training_data::{Configuration, TrainingData};
use crate::potential::{Columns, DesignRows, Model, Sharing, design_rows};
use crate::progress::Progress;
use crate::units::EV_PER_ANGSTROM3_IN_GPA;
use crate::{Atoms, Error, NeighborList, Species};
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

/// Streams the whole data set.
pub fn stream(
    settings: &Settings,
    data: &TrainingData,
    unknowns: &Unknowns,
    progress: &dyn Progress,
) -> Result<Streamed, Error> {
    let model = settings.empty_model();
    let n_columns = unknowns.columns.len();
    let (mut squares, mut n_force_rows) = (vec![0.0; n_columns], 0_usize);
    let mut groups = Vec::new();
    let mut done = 0;
    for range in data.group_ranges() {
        let mut factor = Factor::new(unknowns.len());
        for batch in data.configurations[range].chunks(BATCH) {
            let rows: Vec<_> = batch.par_iter().map(|c| rows_of(&model, unknowns, c)).collect::<Result<_, _>>()?;
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

/// How far the expected repulsion of isolated pairs overlaps with the data, as a fraction of the range without data:
/// enough to fix the slope where data begin, and nothing for pairs whose data reach down to the ZBL bridge.
const OVERLAP: f64 = 0.2;

/// What is believed of two atoms alone, as rows: the energy of the pair relative to separated atoms follows the
/// expected repulsion up to a little beyond the shortest distance in the data, and in gaps between data its slope does.
///
/// Atoms in vacuum are far from any data, so that the bispectrum there is pure extrapolation; without these rows it
/// makes wells of several eV between atoms that the data never show close to each other.
pub fn isolated_pairs(settings: &Settings, unknowns: &Unknowns, repulsion: &Repulsion) -> Result<Factor, Error> {
    let model = settings.empty_model();
    let (species, prior) = (model.species(), &settings.prior.isolated_pair);
    let mut factor = Factor::new(unknowns.len());
    let Some(term) = &model.pair else { return Ok(factor) };
    let mut push = |here: &DesignRows, there: &DesignRows, expected: f64, deviation: f64| {
        let difference = here.energy.iter().zip(&there.energy).map(|(x, y)| (x - y) / deviation);
        let offsets = std::iter::repeat_n(0.0, unknowns.len() - unknowns.columns.len());
        let fixed = here.fixed.energy_ev() - there.fixed.energy_ev();
        factor.push(difference.chain(offsets), (expected - fixed) / deviation);
    };
    for a in 0..species.len() {
        for b in a..species.len() {
            let pair = [species[a], species[b]];
            let rows = |r: f64| {
                let dimer = Atoms::dimer(pair, r);
                design_rows(&model, &unknowns.columns, &dimer, &NeighborList::build(&dimer, model.cutoff_angstrom()))
            };
            let expected = |r: f64| repulsion.energy_ev(term, pair, r);
            let separated = rows(model.cutoff_angstrom() + 1.0)?;
            let range = (1.0 + OVERLAP) * (repulsion.data_begin_angstrom(pair) - term.outer_angstrom);
            for r in points(term.outer_angstrom, range, prior.step_angstrom) {
                let deviation = prior.deviation_ev.hypot(prior.relative * expected(r));
                push(&rows(r)?, &separated, expected(r), deviation);
            }
            for gap in repulsion.gaps_angstrom(pair) {
                let step = prior.step_angstrom;
                for r in points(gap.start - 0.5 * step, gap.end - gap.start, step) {
                    let drop = expected(r) - expected(r + step);
                    push(&rows(r)?, &rows(r + step)?, drop, (prior.deviation_ev * step).hypot(prior.relative * drop));
                }
            }
        }
    }
    factor.compress();
    Ok(factor)
}

/// `start`, `start + step`, ... below `start + range`.
fn points(start: f64, range: f64, step: f64) -> impl Iterator<Item = f64> {
    let count = (range / step).ceil().max(0.0) as usize;
    (0..count).map(move |k| start + step * k as f64)
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
