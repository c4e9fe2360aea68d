//! What can be chosen about a fit, as it stands in `fit.toml`.

use crate::checks::CheckSettings;
use crate::io::content_hash;
use crate::potential::{
    Central, CutoffSwitch, Electrostatic, ElectrostaticShape, FORMAT_VERSION, ManyBody, Model, PairCoefficients,
    PairTerm, Sharing, Zbl, component_triples,
};
use crate::settings::{check, is_not_negative, is_positive};
use crate::{Error, Species};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Everything in `fit.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name of the model; it is written to `<name>.model`.
    pub name: String,
    /// Extended XYZ files with labels; relative paths start from the folder of the settings file.
    pub data_files: Vec<PathBuf>,
    /// `id` of the configuration that is the ideal crystal in its conventional cell: the checks start from it, and
    /// its kind of cell defines the zero of energy.
    pub reference: String,
    /// `id`s of configurations that are left out.
    #[serde(default)]
    pub leave_out: Vec<String>,
    /// Which sets of coefficients to fit.
    pub sharing: SharingChoice,
    /// Structure of the model.
    pub model: ModelSettings,
    /// What is believed about the coefficients before any data.
    pub prior: PriorSettings,
    /// How the strength of the prior is chosen and errors are estimated.
    pub cross_validation: CrossValidationSettings,
    /// Weights and grouping, one entry for each class of configurations in the data.
    #[serde(rename = "class")]
    pub classes: Vec<ClassSettings>,
    /// What the checks of the fitted potential do, and what they compare with.
    #[serde(default)]
    pub checks: CheckSettings,
}

/// Whether central species share their coefficients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SharingChoice {
    /// Both variants are fitted; the one with the smaller error on held-out data is kept.
    Best,
    /// One set for all central species, as in the paper.
    Shared,
    /// One set for each central species.
    PerSpecies,
}

impl SharingChoice {
    /// The variants to fit.
    pub fn variants(self) -> Vec<Sharing> {
        match self {
            Self::Best => vec![Sharing::Shared, Sharing::PerSpecies],
            Self::Shared => vec![Sharing::Shared],
            Self::PerSpecies => vec![Sharing::PerSpecies],
        }
    }
}

/// Structure of the model.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    /// Elements, in the order of the model file.
    pub species: Vec<Species>,
    /// For each density channel the weight of a neighbour of each species.
    pub channel_weights: Vec<Vec<f64>>,
    /// Cutoffs in angstrom: all channels of `channel_weights` once with each of them. None: once, with that of the bispectrum.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reaches_angstrom: Vec<f64>,
    /// The bispectrum.
    pub many_body: ManyBody,
    /// The two-body functions.
    pub pair: PairSettings,
    /// Charges and polarisation; none: a model of bonds alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub electrostatic: Option<ElectrostaticShape>,
    /// Similarities to environments of the data; none: components count linearly alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity: Option<SimilaritySettings>,
}

/// Gaussian kernels between an environment and references among those of the data; see [`crate::potential::Similarity`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimilaritySettings {
    /// Number of references for each species, in the order of the species; all environments where there are no more.
    pub references: Vec<usize>,
    /// Principal components of the environments' bispectra that environments are compared by.
    pub coordinates: usize,
    /// Width of the kernels as a multiple of the total standard deviation of the coordinates around each species.
    pub width: f64,
    /// How many fits are made, one after the other: in the first all components count by their deviations, in each that follows by how
    /// much energies of the fit before depend on them ([`super::relevance`]). The last one is the model.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub passes: usize,
}

fn once() -> usize {
    1
}

fn is_once(passes: &usize) -> bool {
    *passes == 1
}

/// Structure of the two-body functions; see [`PairTerm`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairSettings {
    /// The functions vanish from here on.
    pub cutoff_angstrom: f64,
    /// The taper to zero starts here.
    pub taper_start_angstrom: f64,
    /// The shape of the taper.
    #[serde(default, skip_serializing_if = "CutoffSwitch::is_cosine")]
    pub cutoff_switch: CutoffSwitch,
    /// Centre of the first kernel.
    pub first_center_angstrom: f64,
    /// Centre of the last kernel.
    pub last_center_angstrom: f64,
    /// Number of kernels, at equal distances.
    pub n_kernels: usize,
    /// Standard deviation of the kernels.
    pub sigma_angstrom: f64,
    /// Pure ZBL up to here.
    pub inner_angstrom: f64,
    /// Pure kernels from here on.
    pub outer_angstrom: f64,
    /// Screened nuclear repulsion; the universal potential unless given.
    #[serde(default)]
    pub zbl: Zbl,
}

/// Prior of the coefficients: independent Gaussian processes and Gaussians with means and deviations in eV.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorSettings {
    /// Deviation of the offsets between kinds of cell, in eV per atom.
    pub offset_ev_per_atom: f64,
    /// Deviation of a constant per species between labels of different settings, in eV: where the data mix
    /// functionals, cutoffs or codes. Without it such data are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_per_species_ev: Option<f64>,
    /// The two-body functions.
    pub pair: PairPrior,
    /// The bispectrum coefficients.
    pub many_body: ManyBodyPrior,
    /// Two atoms alone.
    pub isolated_pair: IsolatedPairPrior,
    /// Several atoms alone; none: nothing is believed of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolated_cluster: Option<IsolatedClusterPrior>,
    /// Charges, polarisation and dipoles, where the model has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub electrostatic: Option<ElectrostaticPrior>,
    /// Similarities, where the model has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity: Option<SimilarityPrior>,
}

/// A Gaussian process with the kernels of the similarities as covariance.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimilarityPrior {
    /// Deviation of the energy of an atom near the references, in eV.
    pub energy_ev_per_atom: f64,
}

/// An atom with three or six others around it in vacuum, at distances below those in the data, has the energy of the pairs, each of
/// which follows the mean of the two-body prior: the bispectrum alone lets clumps of atoms fall into wells.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IsolatedClusterPrior {
    /// Deviation as a fraction of the expected energy.
    pub relative: f64,
    /// Distance between the points where this is asked for.
    pub step_angstrom: f64,
}

/// Independent coefficients, like those of the bispectrum.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElectrostaticPrior {
    /// Root-mean-square force over the data that each product of charges or polarisabilities of a pair of species, and each response
    /// of a species to a pair of fields, may contribute, in eV/angstrom.
    pub force_ev_per_angstrom: f64,
}

/// The energy of two atoms in vacuum, relative to separated atoms, follows the mean of the two-body prior up to a
/// little beyond the shortest distance in the data. In gaps between data, up to the closest distance in the crystal,
/// its slope follows that mean.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IsolatedPairPrior {
    /// Deviation in eV (of slopes: in eV/angstrom) ...
    pub deviation_ev: f64,
    /// ... and as a fraction of the expected energy, added in quadrature.
    pub relative: f64,
    /// Distance between the points where this is asked for.
    pub step_angstrom: f64,
}

/// A smooth function around a faded-out screened repulsion.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairPrior {
    /// The mean is ZBL times a smooth step that falls from 1 at `outer_angstrom` to 0 at this distance beyond the
    /// shortest distance of the pair in the data.
    pub repulsion_fade_angstrom: f64,
    /// Deviation as a fraction of the mean, where there is one.
    pub relative: f64,
    /// Deviation at zero distance, in eV, added in quadrature ...
    pub amplitude_ev: f64,
    /// ... which falls by a factor e over this distance.
    pub decay_angstrom: f64,
    /// Values of the function are correlated over this distance.
    pub smoothness_angstrom: f64,
}

/// Independent coefficients whose contribution to forces has a given size.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManyBodyPrior {
    /// Root-mean-square force over the data that the component (0, 0, 0) may contribute, in eV/angstrom.
    pub force_ev_per_angstrom: f64,
    /// It falls as exp(-decay * (j1 + j2 + j)) for the others.
    pub decay: f64,
}

/// Cross-validation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrossValidationSettings {
    /// Number of folds; groups of related configurations are never split.
    pub folds: usize,
    /// Strengths of the prior to try: 1 takes the deviations above as they are, 2 halves them.
    pub strengths: Vec<f64>,
    /// The strongest prior is taken whose score is at most this fraction above the smallest.
    #[serde(default)]
    pub tolerance: f64,
}

/// Weights and grouping of one class of configurations.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassSettings {
    /// The class, as in the info key `cls`.
    pub name: String,
    /// Configurations with the same word here and the same `group_keys` are related. Default: the name of the class.
    #[serde(default)]
    pub group: Option<String>,
    /// Info keys whose values tell groups apart.
    #[serde(default)]
    pub group_keys: Vec<String>,
    /// Expected deviation of the energy in eV per atom.
    pub energy_ev_per_atom: f64,
    /// Expected deviation of a force component in eV/angstrom ...
    pub force_ev_per_angstrom: f64,
    /// ... and as a fraction of the length of the force, added in quadrature.
    #[serde(default)]
    pub force_fraction: f64,
    /// Expected deviation of a stress component in GPa.
    #[serde(default = "one")]
    pub stress_gpa: f64,
}

fn one() -> f64 {
    1.0
}

impl Settings {
    /// Checks what types cannot; `place` names the file.
    pub fn validate(&self, place: &str) -> Result<(), Error> {
        check(
            place,
            &[
                (!self.data_files.is_empty(), "data_files", "at least one file"),
                (!self.name.is_empty() && !self.name.contains(['/', '\\']), "name", "a file name without folders"),
                (
                    self.model.electrostatic.is_some() == self.prior.electrostatic.is_some(),
                    if self.model.electrostatic.is_some() { "model.electrostatic" } else { "prior.electrostatic" },
                    "model.electrostatic and prior.electrostatic, both or neither",
                ),
                (
                    self.model.similarity.is_some() == self.prior.similarity.is_some(),
                    if self.model.similarity.is_some() { "model.similarity" } else { "prior.similarity" },
                    "model.similarity and prior.similarity, both or neither",
                ),
            ],
        )?;
        self.model.validate(place)?;
        self.prior.validate(place)?;
        self.cross_validation.validate(place)?;
        for (index, class) in self.classes.iter().enumerate() {
            class.validate(place, index + 1)?;
            let is_new = self.classes[..index].iter().all(|before| before.name != class.name);
            check(place, &[(is_new, &format!("class.{}.name", index + 1), "every class once")])?;
        }
        self.checks.validate(place)?;
        self.empty_model().validate(place)
    }

    /// A hash of all settings that have an influence on the model: not of where the data lie, which have a hash of their own.
    /// Values that the checks leave open stand in it as those of scheelite, as they did when models were first fitted.
    pub fn hash(&self) -> String {
        let filled = Self { checks: self.checks.clone().or_scheelite(), data_files: Vec::new(), ..self.clone() };
        content_hash(toml::to_string(&filled).expect("settings hold only what TOML can hold").as_bytes())
    }

    /// The model with all coefficients zero, and without similarities: their references come from the data
    /// ([`super::references::with_references`]).
    pub fn empty_model(&self) -> Model {
        let settings = &self.model;
        let mut many_body = settings.many_body.clone();
        let weights = &settings.channel_weights;
        let of_reaches = settings.reaches_angstrom.iter().flat_map(|reach| weights.iter().map(|_| *reach));
        many_body.channel_cutoffs_angstrom.extend(of_reaches);
        let n_components = component_triples(many_body.two_j_max).len();
        let n_channels = weights.len() * settings.reaches_angstrom.len().max(1);
        let central = settings.species.iter().enumerate().map(|(i, species)| Central {
            species: *species,
            radius: 0.5,
            channel_weights: weights.iter().map(|w| w[i]).cycle().take(n_channels).collect(),
            intercept_ev: 0.0,
            coefficients_ev: vec![vec![0.0; n_components]; n_channels],
            similarity: None,
        });
        let electrostatic = settings.electrostatic.clone().map(|shape| Electrostatic::empty(shape, &settings.species));
        Model {
            format_version: FORMAT_VERSION,
            name: self.name.clone(),
            provenance: BTreeMap::new(),
            many_body,
            pair: Some(settings.pair.empty_term(&settings.species)),
            electrostatic,
            central: central.collect(),
        }
        .in_oldest_format()
    }
}

impl ModelSettings {
    fn validate(&self, place: &str) -> Result<(), Error> {
        let (n_species, pair, many_body) = (self.species.len(), &self.pair, &self.many_body);
        let one_per_species = self.channel_weights.iter().all(|weights| weights.len() == n_species);
        let within = self.reaches_angstrom.iter().all(|reach| *reach > 0.0 && *reach <= many_body.cutoff_angstrom);
        let once = self.reaches_angstrom.is_empty() || many_body.channel_cutoffs_angstrom.is_empty();
        let ordered = pair.first_center_angstrom < pair.last_center_angstrom;
        let is_one_number_each = |numbers: &[usize]| numbers.len() == n_species && numbers.iter().all(|n| *n > 0);
        let one_number_each = self.similarity.as_ref().is_none_or(|s| is_one_number_each(&s.references));
        let numbers = format!("{n_species} numbers above 0, one per species");
        let lists = format!("lists of {n_species} weights, one per species");
        let up_to = format!("cutoffs above 0 and up to the cutoff of {}", many_body.cutoff_angstrom);
        let checks = [
            (!self.channel_weights.is_empty(), "model.channel_weights", "at least one list"),
            (one_per_species, "model.channel_weights", lists.as_str()),
            (within, "model.reaches_angstrom", up_to.as_str()),
            (once, "model.reaches_angstrom", "none where there are many_body.channel_cutoffs_angstrom"),
            (pair.n_kernels >= 2, "model.pair.n_kernels", "at least 2"),
            (one_number_each, "model.similarity.references", numbers.as_str()),
            (self.similarity.as_ref().is_none_or(|s| s.coordinates > 0), "model.similarity.coordinates", "at least 1"),
            (
                self.similarity.as_ref().is_none_or(|s| is_positive(s.width)),
                "model.similarity.width",
                "a positive number",
            ),
            (self.similarity.as_ref().is_none_or(|s| s.passes > 0), "model.similarity.passes", "at least 1"),
            (ordered, "model.pair.last_center_angstrom", "a centre beyond the first"),
        ];
        check(place, &checks)
    }
}

impl PriorSettings {
    fn validate(&self, place: &str) -> Result<(), Error> {
        let (pair, isolated) = (&self.pair, &self.isolated_pair);
        let cluster = |of: fn(&IsolatedClusterPrior) -> f64| self.isolated_cluster.as_ref().map(of);
        let of_charges = self.electrostatic.as_ref().map(|e| e.force_ev_per_angstrom);
        let of_similarities = self.similarity.as_ref().map(|s| s.energy_ev_per_atom);
        let if_there = |number: Option<f64>| number.is_none_or(is_positive);
        let not_negative = "zero or more";
        let positive = "a positive number";
        let checks = [
            (is_positive(self.offset_ev_per_atom), "prior.offset_ev_per_atom", positive),
            (if_there(self.offset_per_species_ev), "prior.offset_per_species_ev", positive),
            (is_positive(pair.repulsion_fade_angstrom), "prior.pair.repulsion_fade_angstrom", positive),
            (is_not_negative(pair.relative), "prior.pair.relative", not_negative),
            (is_positive(pair.amplitude_ev), "prior.pair.amplitude_ev", positive),
            (is_positive(pair.decay_angstrom), "prior.pair.decay_angstrom", positive),
            (is_positive(pair.smoothness_angstrom), "prior.pair.smoothness_angstrom", positive),
            (is_positive(self.many_body.force_ev_per_angstrom), "prior.many_body.force_ev_per_angstrom", positive),
            (is_not_negative(self.many_body.decay), "prior.many_body.decay", not_negative),
            (is_positive(isolated.deviation_ev), "prior.isolated_pair.deviation_ev", positive),
            (is_not_negative(isolated.relative), "prior.isolated_pair.relative", not_negative),
            (is_positive(isolated.step_angstrom), "prior.isolated_pair.step_angstrom", positive),
            (if_there(cluster(|c| c.relative)), "prior.isolated_cluster.relative", positive),
            (if_there(cluster(|c| c.step_angstrom)), "prior.isolated_cluster.step_angstrom", positive),
            (if_there(of_charges), "prior.electrostatic.force_ev_per_angstrom", positive),
            (if_there(of_similarities), "prior.similarity.energy_ev_per_atom", positive),
        ];
        check(place, &checks)
    }
}

impl CrossValidationSettings {
    fn validate(&self, place: &str) -> Result<(), Error> {
        let strengths = !self.strengths.is_empty() && self.strengths.iter().copied().all(is_positive);
        let checks = [
            (self.folds >= 2, "cross_validation.folds", "at least 2"),
            (strengths, "cross_validation.strengths", "one positive number or more"),
            (is_not_negative(self.tolerance), "cross_validation.tolerance", "zero or more"),
        ];
        check(place, &checks)
    }
}

impl ClassSettings {
    /// Of the class with this number, from 1 on.
    fn validate(&self, place: &str, number: usize) -> Result<(), Error> {
        let checks = [
            (is_positive(self.energy_ev_per_atom), "energy_ev_per_atom", "a positive energy"),
            (is_positive(self.force_ev_per_angstrom), "force_ev_per_angstrom", "a positive force"),
            (is_positive(self.stress_gpa), "stress_gpa", "a positive stress"),
            (is_not_negative(self.force_fraction), "force_fraction", "zero or more"),
        ];
        checks
            .into_iter()
            .try_for_each(|(fine, key, expected)| check(place, &[(fine, &format!("class.{number}.{key}"), expected)]))
    }
}

impl PairSettings {
    fn empty_term(&self, species: &[Species]) -> PairTerm {
        let step = (self.last_center_angstrom - self.first_center_angstrom) / (self.n_kernels.max(2) - 1) as f64;
        let centers_angstrom = (0..self.n_kernels).map(|k| self.first_center_angstrom + step * k as f64).collect();
        let pairs = (0..species.len()).flat_map(|a| (a..species.len()).map(move |b| [a, b]));
        PairTerm {
            cutoff_angstrom: self.cutoff_angstrom,
            taper_start_angstrom: self.taper_start_angstrom,
            cutoff_switch: self.cutoff_switch,
            centers_angstrom,
            sigma_angstrom: self.sigma_angstrom,
            inner_angstrom: self.inner_angstrom,
            outer_angstrom: self.outer_angstrom,
            zbl: self.zbl.clone(),
            pairs: pairs
                .map(|pair| PairCoefficients {
                    species: pair.map(|s| species[s]),
                    coefficients_ev: vec![0.0; self.n_kernels],
                })
                .collect(),
        }
    }
}
