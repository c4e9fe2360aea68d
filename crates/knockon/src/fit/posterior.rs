//! The posterior of a fit, and what the label of a new configuration would add to it.

use super::factor::Factor;
use super::information::Information;
use super::prepared::{Prepared, variant_name};
use super::prior::Prior;
use super::settings::Settings;
use super::stream::{self, Unknowns};
use super::training_data::{Configuration, TrainingData};
use crate::potential::{Model, Sharing, design_rows};
use crate::progress::Progress;
use crate::{Atoms, Error, NeighborList};
use glam::DVec3;

/// The posterior of a fit.
pub struct Posterior {
    empty: Model,
    unknowns: Unknowns,
    prior: Prior,
    class_names: Vec<String>,
    settings: Settings,
    /// What data and prior tell of the coefficients.
    pub information: Information,
}

impl Posterior {
    /// Of the fit that made `model` from these data with these settings.
    pub fn new(
        settings: &Settings,
        data: &TrainingData,
        model: &Model,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let (sharing, strength) = fitted_as(settings, data, model)?;
        let prepared = Prepared::of(model.clone(), settings, data, progress)?;
        let prior = prepared.prior(sharing)?;
        let mut precision = prepared.whole().transformed(&prior.basis);
        precision.push_diagonal(strength);
        Ok(Self {
            empty: prepared.empty,
            unknowns: prepared.unknowns,
            class_names: prepared.class_names,
            settings: settings.clone(),
            prior,
            information: Information::new(precision),
        })
    }

    /// The number of a class; an error if the fit has none of this name.
    pub fn class(&self, name: &str) -> Result<usize, Error> {
        self.class_names.iter().position(|class| class == name).ok_or_else(|| {
            let found = format!("expected a class of the fit ({}), found \"{name}\"", self.class_names.join(", "));
            Error::input("class", found, "Add a [[class]] of this name to the settings of the fit")
        })
    }

    /// What labels of the forces of a configuration would say. `forces` (eV/angstrom) are those expected, which set how
    /// exact the label is believed to be; the energy is one number among hundreds and is left out.
    pub fn rows(&self, atoms: &Atoms, class: &str, forces: &[DVec3]) -> Result<Factor, Error> {
        let class = self.class(class)?;
        let neighbors = NeighborList::build(atoms, self.empty.cutoff_angstrom());
        let design = design_rows(&self.empty, &self.unknowns.columns, atoms, &neighbors)?;
        let configuration = Configuration {
            id: String::new(),
            class,
            group: 0,
            kind: 0,
            origin: 0,
            atoms: atoms.clone(),
            energy_ev: None,
            forces: Some(forces.to_vec()),
            stress: None,
        };
        let mut factor = Factor::new(self.unknowns.len());
        stream::fold_in(&mut factor, &self.settings.classes[class], &self.unknowns, &configuration, &design);
        Ok(factor.transformed(&self.prior.basis))
    }
}

/// Variant and strength of the prior with which these settings and data made the model; an error if they did not.
pub(super) fn fitted_as(settings: &Settings, data: &TrainingData, model: &Model) -> Result<(Sharing, f64), Error> {
    let entry = |key: &str| model.provenance.get(key).map_or("nothing", String::as_str);
    for (key, expected) in [("data_hash", data.hash.clone()), ("settings_hash", settings.hash())] {
        if entry(key) != expected {
            let found = format!("expected a model with {key} {expected}, found {}", entry(key));
            return Err(Error::input(
                "model",
                found,
                "Give the settings of the fit that made this model (--settings), or the model that these settings make",
            ));
        }
    }
    let sharing = [Sharing::Shared, Sharing::PerSpecies].into_iter().find(|s| variant_name(*s) == entry("variant"));
    let strength: Option<f64> = entry("prior_strength").parse().ok().filter(|s| *s > 0.0);
    sharing.zip(strength).ok_or_else(|| {
        let found = format!("variant {} and prior_strength {}", entry("variant"), entry("prior_strength"));
        Error::input("model", found, "Fit it again with this version")
    })
}
