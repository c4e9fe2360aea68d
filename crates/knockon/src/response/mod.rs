//! Response of the crystal: the probability p(E_stored | E_recoil) that a recoil leaves energy in defects.
//!
//! Zero with probability 1 - p_d(E), p_d a Fermi function ([`Fermi`]); else drawn from a distribution ([`ShapeModel`])
//! whose mean and width are curves in the recoil energy ([`Curve`]). What a campaign does not fix is filled with the
//! paper's printed numbers or with assumptions, and [`Response::sources`] says which is which.
//!
//! Tables of recoils (`table`) -> samples by energy (`samples`), perhaps near one direction (`directional`) -> parameters
//! and bootstrap sets (`build`), with a table of other forms (`selection`) -> [`StoredEnergy`], which folding asks.
//! [`AnyResponse`] is such a response or an imported [`ResponseMatrix`], by name or from a file; [`Responses`] are some for several elements.

mod any;
mod build;
mod directional;
mod elosssim;
mod evolution;
mod fermi;
mod file;
mod matrix;
mod npz;
mod observable;
mod published;
mod samples;
mod selection;
mod several;
mod shape;
mod shipped;
mod sources;
mod spline;
mod stored;
mod table;
#[cfg(test)]
mod tests;

pub use any::AnyResponse;
use build::Known;
pub use build::Settings;
pub use directional::{DirectionStatistics, Tag, TagIdentity, by_direction};
pub use elosssim::EnergyLossSettings;
pub use evolution::{Curve, Evolution, Polynomial};
pub use fermi::Fermi;
pub use file::FORMAT_VERSION;
pub use matrix::{MatrixSet, ResponseMatrix};
pub use observable::{LINE_RESOLUTION_EV, Observables};
pub use published::MEANS as PUBLISHED_MEANS;
pub use samples::{EnergySamples, Run, Statistics, bands, group};
pub use selection::ModelScore;
pub use several::Responses;
pub use shape::{Profile, Shape, ShapeModel};
pub use spline::MonotoneSpline;
pub use stored::StoredEnergy;
pub use table::{Recoil, RecoilTable, parse_recoils};

use crate::Error;
use crate::io::content_hash;
use crate::math::band;
use glam::DMat3;
use serde::{Deserialize, Serialize};

/// One set of numbers that fixes the response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Defect probability.
    pub fermi: Fermi,
    /// Family of distributions.
    pub shape: ShapeModel,
    /// Mean of the non-zero stored energies, eV, before the cut at 0 and at the recoil energy.
    pub mean: Curve,
    /// Their standard deviation, eV, before the cut.
    pub width: Curve,
    /// (sigma_right - sigma_left) / (sigma_right + sigma_left); used by the asymmetric Gaussian only.
    pub asymmetry: f64,
    /// The smoothed empirical distribution; of that shape only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
}

impl Parameters {
    /// The distribution of the non-zero stored energies at a recoil energy in eV.
    pub fn shape_at(&self, recoil_energy_ev: f64) -> Shape<'_> {
        let (mean, width) = (self.mean.at(recoil_energy_ev), self.width.at(recoil_energy_ev));
        match &self.profile {
            Some(profile) => Shape::empirical(profile, mean, width, recoil_energy_ev),
            None => Shape::new(self.shape, mean, width, self.asymmetry, recoil_energy_ev),
        }
    }

    fn is_sound(&self) -> bool {
        let fine = self.profile.as_ref().is_none_or(Profile::is_sound);
        self.fermi.width_ev > 0.0
            && (0.0..=1.0).contains(&self.fermi.plateau)
            && self.fermi.midpoint_ev.is_finite()
            && self.asymmetry.is_finite()
            && self.mean.is_sound()
            && self.width.is_sound()
            && fine
            && (self.profile.is_some() == (self.shape == ShapeModel::Empirical))
    }
}

/// What a part of a response rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Cascades of a campaign.
    Campaign,
    /// Numbers printed in the paper.
    Paper,
    /// Neither: an assumption.
    Assumption,
    /// The paper's numbers scaled to cascades.
    CampaignAndPaper,
    /// An assumption limited or scaled by cascades.
    CampaignAndAssumption,
}

impl Origin {
    /// A few words that follow the name of a part, e.g. "from the paper".
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Campaign => "from the cascades",
            Self::Paper => "from the paper",
            Self::Assumption => "assumed",
            Self::CampaignAndPaper => "from the paper, scaled to the cascades",
            Self::CampaignAndAssumption => "partly assumed",
        }
    }
}

/// One part of a response and what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Which part, e.g. `mean stored energy`.
    pub part: String,
    /// The kind of source.
    pub origin: Origin,
    /// In words that fit below a figure.
    pub caption: String,
}

/// The campaign behind a response.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignIdentity {
    /// Hash of the potential; of the first one where there are several.
    pub model_hash: String,
    /// Hash of the table of recoils, or of the hashes of several tables.
    pub recoils_hash: String,
    /// Cascades used.
    pub n_cascades: usize,
    /// Cascades with flags, those that were used all the same among them.
    pub n_flagged: usize,
    /// Recoil energies in eV.
    pub energies_ev: Vec<f64>,
    /// Formula of the crystal, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crystal: Option<String>,
    /// Hashes of further potentials whose campaigns widen the bootstrap sets and, pooled, count for the best parameters too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_potentials: Vec<String>,
}

/// p(E_stored | E_recoil) of one species.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// Version of this format.
    pub format_version: u32,
    /// Name that outputs quote.
    pub name: String,
    /// Recoiling species that it holds for.
    pub species: String,
    /// Family of distributions.
    pub shape: ShapeModel,
    /// Best parameters.
    pub parameters: Parameters,
    /// Parameter sets that span the uncertainty.
    pub bootstrap: Vec<Parameters>,
    /// What these sets contain, in words.
    #[serde(default)]
    pub uncertainty: String,
    /// Shapes and evolutions with their scores and what each changes; empty without a campaign.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelScore>,
    /// The direction near which recoils were taken, if they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<TagIdentity>,
    /// Lowest and highest recoil energy with data (the paper's when there is no campaign), eV; beyond it extrapolates.
    pub energy_range_ev: [f64; 2],
    /// What each part rests on.
    pub sources: Vec<Source>,
    /// The campaign, if there is one.
    pub campaign: Option<CampaignIdentity>,
    /// How it was made.
    pub settings: Settings,
}

impl Response {
    /// The response that follows from the numbers printed in the paper, with labelled assumptions for the rest. Its
    /// bands show the assumed spread; the paper publishes none.
    pub fn from_paper() -> Self {
        Self::of_paper(Settings::default())
    }

    /// The same with another shape or bootstrap. The paper's numbers are for tungsten.
    pub fn from_paper_with(settings: Settings) -> Result<Self, Error> {
        settings.validate()?;
        if settings.species != published::SPECIES {
            let problem = format!("expected W, the species of the paper's numbers, found {}", settings.species);
            return Err(Error::input("species", problem, "Give a campaign with recoils of this species"));
        }
        if settings.shape == ShapeModel::Empirical {
            let problem = "expected another shape, found empirical: the paper prints no stored energies to smooth";
            return Err(Error::input("shape", problem, "Give a campaign, or another shape"));
        }
        Ok(Self::of_paper(settings))
    }

    fn of_paper(settings: Settings) -> Self {
        let settings = Settings { name: "paper".to_owned(), ..settings };
        let pool =
            build::Pool { reference: &[], potentials: &[Vec::new()], forms: &[settings.form()], known: &Known::Paper };
        let fitted = build::fit(&[], settings.form(), settings.minimum_nonzero, &published::parameters(settings.shape));
        Self::build(&fitted, &pool, settings)
    }

    /// The response that the recoils of campaigns give. Where recoils of W do not suffice, the paper's numbers complete it; such
    /// recoils of another species are refused. Tables of one potential are put together; the potential of the first table gives
    /// the best parameters, or all together do ([`Settings::pool_potentials`]), and the others widen the bootstrap sets. With a tag and
    /// the point operations of the crystal (Cartesian), recoils count by how close they or their images are to its direction
    /// ([`Tag::weight`]).
    pub fn from_tables(
        tables: &[RecoilTable],
        settings: Settings,
        tag: Option<(Tag, &[DMat3])>,
    ) -> Result<Self, Error> {
        settings.validate()?;
        let groups = table::by_potential(tables, &settings.species)?;
        let samples_of = |group: &[&RecoilTable]| samples_of(group, &settings, tag);
        let of_each: Vec<Samples> = groups.iter().map(|(_, group)| samples_of(group)).collect::<Result<_, _>>()?;
        let reference = table::reference(&groups, settings.pool_potentials);
        let Samples { samples, n_flagged, tag: identity } = samples_of(&reference)?;
        let potentials: Vec<Vec<EnergySamples>> = of_each.into_iter().map(|of| of.samples).collect();
        let hash = match &reference[..] {
            [table] => table.hash.clone(),
            several => content_hash(several.iter().map(|t| t.hash.as_str()).collect::<Vec<_>>().join(" ").as_bytes()),
        };
        let campaign = CampaignIdentity {
            model_hash: groups[0].0.to_owned(),
            recoils_hash: hash,
            n_cascades: samples.iter().map(|s| s.runs.len()).sum(),
            n_flagged,
            energies_ev: samples.iter().map(|s| s.recoil_energy_ev).collect(),
            crystal: reference.iter().find_map(|table| table.crystal.as_deref()).map(formula),
            other_potentials: groups[1..].iter().map(|(hash, _)| (*hash).to_owned()).collect(),
        };
        let known = published::parameters(settings.shape);
        let fitted = build::fit(&samples, settings.form(), settings.minimum_nonzero, &known);
        let known = match tables.iter().find(|t| !t.is_of_paper(&settings.species)) {
            None => Known::Paper,
            Some(other) => {
                let recoils = match settings.species.as_str() {
                    published::SPECIES => "W in another crystal than CaWO4",
                    species => species,
                };
                build::check_alone(&fitted, &samples, &settings, recoils, &other.name)?;
                Known::Own(Box::new(fitted.parameters.clone()))
            }
        };
        if fitted.parameters.shape != settings.shape {
            let problem = format!(
                "expected at least {} different non-zero stored energies at one recoil energy to smooth, found fewer",
                settings.minimum_nonzero
            );
            return Err(Error::input("shape", problem, "Choose another shape than empirical"));
        }
        let models = selection::scores(&samples, &settings, &known);
        let forms =
            if settings.model_form_spread { selection::accepted(&models, &settings) } else { vec![settings.form()] };
        let pool = build::Pool { reference: &samples, potentials: &potentials, forms: &forms, known: &known };
        let response = Self::build(&fitted, &pool, settings);
        Ok(Self { campaign: Some(campaign), models, tag: identity, ..response })
    }

    /// The recoils that the best parameters of [`Self::from_tables`] rest on: all that the tables of the first one's potential have, or
    /// those of all potentials; with a tag those near it, weighted by closeness.
    pub fn reference_recoils(
        tables: &[RecoilTable],
        settings: &Settings,
        tag: Option<(Tag, &[DMat3])>,
    ) -> Result<Vec<Recoil>, Error> {
        let groups = table::by_potential(tables, &settings.species)?;
        Ok(weighted(&table::reference(&groups, settings.pool_potentials), &settings.species, tag)?.0)
    }

    fn build(fitted: &build::Fitted, pool: &build::Pool, settings: Settings) -> Self {
        let samples = pool.reference;
        let published_range = [published::MEANS[0].0, published::MEANS[1].0];
        let energy_range_ev = match (samples.first(), samples.last()) {
            (Some(low), Some(high)) => [low.recoil_energy_ev, high.recoil_energy_ev],
            _ => published_range,
        };
        Self {
            format_version: FORMAT_VERSION,
            name: settings.name.clone(),
            species: settings.species.clone(),
            shape: settings.shape,
            parameters: fitted.parameters.clone(),
            bootstrap: build::bootstrap(pool, &settings),
            uncertainty: sources::uncertainty(pool, &settings),
            models: Vec::new(),
            tag: None,
            energy_range_ev,
            sources: sources::sources(fitted, samples, &settings),
            campaign: None,
            settings,
        }
    }

    /// Probability that a recoil of this energy (eV) leaves no defects.
    pub fn p_zero(&self, recoil_energy_ev: f64) -> f64 {
        1.0 - self.parameters.fermi.probability(recoil_energy_ev)
    }

    /// Density per eV of stored energies above zero; its integral is 1 - [`Self::p_zero`].
    pub fn density(&self, stored_energy_ev: f64, recoil_energy_ev: f64) -> f64 {
        let shape = self.parameters.shape_at(recoil_energy_ev);
        self.parameters.fermi.probability(recoil_energy_ev) * shape.density(stored_energy_ev)
    }

    /// Probability of a stored energy up to `stored_energy_ev`, the zero class included.
    pub fn cdf(&self, stored_energy_ev: f64, recoil_energy_ev: f64) -> f64 {
        if stored_energy_ev < 0.0 {
            return 0.0;
        }
        let shape = self.parameters.shape_at(recoil_energy_ev);
        let damaged = self.parameters.fermi.probability(recoil_energy_ev);
        1.0 - damaged + damaged * shape.cdf(stored_energy_ev)
    }

    /// 16 % and 84 % quantiles over the bootstrap sets of the probability that a recoil of this energy (eV) leaves
    /// defects; NaN without bootstrap sets.
    pub fn defect_probability_band(&self, recoil_energy_ev: f64) -> [f64; 2] {
        let mut values: Vec<f64> = self.bootstrap.iter().map(|p| p.fermi.probability(recoil_energy_ev)).collect();
        band(&mut values)
    }

    /// What the parts rest on, in a few words each; [`Self::caption`] says it in full.
    pub fn summary(&self) -> String {
        let parts: Vec<String> = self.sources.iter().map(|s| format!("{} {}", s.part, s.origin.in_words())).collect();
        parts.join("; ")
    }

    /// The sources as one caption.
    pub fn caption(&self) -> String {
        let mut parts: Vec<String> = self.sources.iter().map(|s| format!("{}: {}", s.part, s.caption)).collect();
        if let Some(tag) = &self.tag {
            parts.push(format!("directions: {}", tag.in_words()));
        }
        let mut caption = capitalized(&format!("{}.", parts.join("; ")));
        if !self.uncertainty.is_empty() {
            caption += &format!(" Bands: {}.", self.uncertainty);
        }
        caption
    }
}

/// The usable recoils of several tables.
struct Samples {
    /// By energy, those that have some.
    samples: Vec<EnergySamples>,
    /// Recoils of all energies that have flags.
    n_flagged: usize,
    tag: Option<TagIdentity>,
}

/// An error if there are none.
fn samples_of(tables: &[&RecoilTable], settings: &Settings, tag: Option<(Tag, &[DMat3])>) -> Result<Samples, Error> {
    let (recoils, identity) = weighted(tables, &settings.species, tag)?;
    let mut samples = samples::group(&recoils, &settings.species, settings.zero_threshold_ev, &settings.accepted_flags);
    if samples.iter().all(|s| s.runs.is_empty()) {
        let names: Vec<&str> = tables.iter().map(|t| t.name.as_str()).collect();
        let n_runs = recoils.iter().filter(|r| r.species == settings.species).count();
        let problem = format!("expected runs without flags, found {n_runs} runs that are all flagged");
        let remedy = "Look at the flags in recoils.csv; those named in accepted_flags do not exclude a run";
        return Err(Error::input(names.join(", "), problem, remedy));
    }
    let n_flagged = samples.iter().map(|s| s.n_flagged).sum();
    samples.retain(|s| !s.runs.is_empty());
    Ok(Samples { samples, n_flagged, tag: identity })
}

/// The recoils of several tables, with a tag weighted by closeness to it.
fn weighted(
    tables: &[&RecoilTable],
    species: &str,
    tag: Option<(Tag, &[DMat3])>,
) -> Result<(Vec<Recoil>, Option<TagIdentity>), Error> {
    let mut recoils = table::merged(tables)?;
    let identity = match tag {
        Some((tag, operations)) => Some(directional::weigh(&mut recoils, species, tag, operations)?),
        None => None,
    };
    Ok((recoils, identity))
}

/// The formula of a cell: elements in the order of their first atoms, but that of the paper's crystal as everybody writes it.
fn formula(symbols: &[String]) -> String {
    if published::is_crystal(symbols) {
        return published::FORMULA.to_owned();
    }
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for symbol in symbols {
        match counts.iter_mut().find(|(known, _)| known == symbol) {
            Some((_, count)) => *count += 1,
            None => counts.push((symbol, 1)),
        }
    }
    let divides = |n: &usize| counts.iter().all(|(_, count)| count % n == 0);
    let units = (1..=symbols.len()).rev().find(divides).unwrap_or(1);
    let part = |(symbol, count): &(&str, usize)| match count / units {
        1 => (*symbol).to_owned(),
        n => format!("{symbol}{n}"),
    };
    counts.iter().map(part).collect()
}

/// The same text with a large first letter.
fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    first + characters.as_str()
}
