//! Descriptors of single atoms: what the model knows of an environment before any coefficient.

use super::bispectrum::{Bispectrum, Workspace};
use super::grouping::{Group, Grouping, LaneSlots, collect_neighbors};
use super::lanes::Lanes;
use super::model::{Model, PairTerm};
use super::pair_function::add_basis_values;
use crate::{Atoms, Error, NeighborList, Species};
use glam::DVec3;
use rayon::prelude::*;

/// Makes descriptors: bispectrum components by channel, then two-body kernels summed over the neighbours of each species. Charges
/// have none: what they do far away is smooth.
pub struct Descriptors {
    species: Vec<Species>,
    cutoff_angstrom: f64,
    kernel: Bispectrum,
    n_channels: usize,
    pair: Option<PairTerm>,
}

impl Descriptors {
    /// Of a model; its coefficients do not matter. Fails if its parts do not fit together.
    pub fn new(model: &Model) -> Result<Self, Error> {
        model.validate("the model")?;
        Ok(Self {
            species: model.species(),
            cutoff_angstrom: model.bond_cutoff_angstrom(),
            kernel: Bispectrum::new(model),
            n_channels: model.n_channels(),
            pair: model.pair.clone(),
        })
    }

    /// Neighbours farther away do not matter, in angstrom.
    pub fn cutoff_angstrom(&self) -> f64 {
        self.cutoff_angstrom
    }

    /// The elements of the model.
    pub fn species(&self) -> &[Species] {
        &self.species
    }

    /// Numbers per atom.
    pub fn len(&self) -> usize {
        self.n_many_body() + self.species.len() * self.n_kernels()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many of them are bispectrum components; they come first.
    pub fn n_many_body(&self) -> usize {
        self.n_channels * self.kernel.n_components()
    }

    fn n_kernels(&self) -> usize {
        self.pair.as_ref().map_or(0, |p| p.centers_angstrom.len())
    }

    /// What `of` makes of the species index and descriptor of each atom, in the order of the atoms. `neighbors` holds at
    /// least all pairs closer than the cutoff.
    pub fn map<T: Clone + Default + Send>(
        &self,
        atoms: &Atoms,
        neighbors: &NeighborList,
        of: impl Fn(usize, &[f64]) -> T + Sync,
    ) -> Result<Vec<T>, Error> {
        self.map_lanes(atoms, neighbors, |central, n_atoms, lanes| {
            let descriptor = |lane: usize| lanes.iter().map(|values| values.0[lane]).collect::<Vec<f64>>();
            (0..n_atoms).map(|lane| of(central, &descriptor(lane))).collect()
        })
    }

    /// The same for up to eight atoms at a time: `of` gets the index of their species, their number and their descriptors, each
    /// number of them with one lane per atom, and gives one value per atom.
    pub(super) fn map_lanes<T: Clone + Default + Send>(
        &self,
        atoms: &Atoms,
        neighbors: &NeighborList,
        of: impl Fn(usize, usize, &[Lanes]) -> Vec<T> + Sync,
    ) -> Result<Vec<T>, Error> {
        let grouping = Grouping::new(atoms, &self.species)?;
        // The same for all groups.
        let translations = neighbors.cartesian_translations(&atoms.cell);
        let parts: Result<Vec<Vec<T>>, Error> = grouping
            .groups
            .par_iter()
            .map_init(
                || Scratch { work: self.kernel.workspace(), slots: LaneSlots::new(), descriptors: Vec::new() },
                |scratch, group| {
                    self.of_group(&grouping, group, atoms, neighbors, &translations, scratch)?;
                    Ok(of(group.central, group.atoms.len(), &scratch.descriptors))
                },
            )
            .collect();
        let mut result = vec![T::default(); atoms.len()];
        for (atom, value) in grouping.order.iter().zip(parts?.into_iter().flatten()) {
            result[*atom as usize] = value;
        }
        Ok(result)
    }

    /// Descriptors of the atoms of one group.
    fn of_group(
        &self,
        grouping: &Grouping,
        group: &Group,
        atoms: &Atoms,
        neighbors: &NeighborList,
        translations: &[DVec3],
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        let Scratch { work, slots, descriptors } = scratch;
        let n_kernels = self.n_kernels();
        let mut kernel_sums = vec![Lanes::default(); self.species.len() * n_kernels];
        let kernels = |n: &super::grouping::Neighbor| {
            let Some(term) = self.pair.as_ref().filter(|p| n.distance < p.cutoff_angstrom) else { return };
            let sums = &mut kernel_sums[n.species * n_kernels..][..n_kernels];
            add_basis_values(term, n.distance, sums.iter_mut().map(|lanes| &mut lanes.0[n.lane]));
        };
        let reach = self.cutoff_angstrom;
        collect_neighbors(&self.kernel, grouping, group, atoms, neighbors, translations, reach, work, slots, kernels)?;
        self.kernel.densities(group.central, work);
        self.kernel.components(work, descriptors);
        descriptors.append(&mut kernel_sums);
        Ok(())
    }
}

/// Memory of one thread.
struct Scratch {
    work: Workspace,
    slots: LaneSlots,
    /// Of the atoms of a group, one lane for each.
    descriptors: Vec<Lanes>,
}
