//! Response of the crystal: the probability p(E_stored | E_recoil) that a recoil leaves energy in defects.
//!
//! Zero with probability 1 - p_d(E), p_d a Fermi function ([`Fermi`]); else drawn from a distribution ([`ShapeModel`])
//! whose mean and width are polynomials in the recoil energy ([`Polynomial`]). What a campaign does not fix is filled
//! with the paper's printed numbers or with assumptions, and [`Response::sources`] says which is which.

mod build;
mod evolution;
mod fermi;
mod matrix;
mod published;
mod samples;
mod shape;
mod stored;
#[cfg(test)]
mod tests;

pub use build::Settings;
pub use evolution::Polynomial;
pub use fermi::Fermi;
pub use matrix::ResponseMatrix;
pub use published::MEANS as PUBLISHED_MEANS;
pub use samples::{EnergySamples, Recoil, Statistics, bands, group, parse_recoils};
pub use shape::{Shape, ShapeModel};
pub use stored::StoredEnergy;

use crate::Error;
use crate::io::content_hash;
use crate::math::quantile;
use serde::{Deserialize, Serialize};

/// Version of `response.json` that this program writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;

/// One set of numbers that fixes the response.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Defect probability.
    pub fermi: Fermi,
    /// Mean of the non-zero stored energies, eV, before the cut at 0 and at the recoil energy.
    pub mean: Polynomial,
    /// Their standard deviation, eV, before the cut.
    pub width: Polynomial,
    /// (sigma_right - sigma_left) / (sigma_right + sigma_left); used by the asymmetric Gaussian only.
    pub asymmetry: f64,
}

impl Parameters {
    /// The distribution of the non-zero stored energies at a recoil energy in eV.
    pub fn shape_at(&self, model: ShapeModel, recoil_energy_ev: f64) -> Shape {
        let (mean, width) = (self.mean.at(recoil_energy_ev), self.width.at(recoil_energy_ev));
        Shape::new(model, mean, width, self.asymmetry, recoil_energy_ev)
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
    /// Hash of the potential.
    pub model_hash: String,
    /// Hash of the table of recoils.
    pub recoils_hash: String,
    /// Cascades used.
    pub n_cascades: usize,
    /// Flagged cascades.
    pub n_flagged: usize,
    /// Recoil energies in eV.
    pub energies_ev: Vec<f64>,
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
        Self::build("paper", &[], Settings::default(), None)
    }

    /// The same with another shape or bootstrap. The paper's numbers are for tungsten.
    pub fn from_paper_with(settings: Settings) -> Result<Self, Error> {
        settings.validate()?;
        if settings.species != "W" {
            let problem = format!("expected W, the species of the paper's numbers, found {}", settings.species);
            return Err(Error::input("species", problem, "Give a campaign with recoils of this species"));
        }
        Ok(Self::build("paper", &[], settings, None))
    }

    /// The response that the recoils of a campaign give, completed by the paper's numbers where they do not suffice.
    pub fn from_recoils(recoils: &[Recoil], recoils_hash: &str, settings: Settings) -> Result<Self, Error> {
        settings.validate()?;
        let of_species: Vec<&Recoil> = recoils.iter().filter(|r| r.species == settings.species).collect();
        let Some(first) = of_species.first() else {
            let problem = format!("expected recoils of {}, found none among {} runs", settings.species, recoils.len());
            return Err(Error::input("campaign", problem, "Set species to one that the campaign has"));
        };
        if let Some(other) = of_species.iter().find(|r| r.model_hash != first.model_hash) {
            let problem =
                format!("expected recoils of one potential, found {} and {}", first.model_hash, other.model_hash);
            return Err(Error::input("campaign", problem, "Run the campaign again in a new folder"));
        }
        let all = group(recoils, &settings.species, settings.zero_threshold_ev, &settings.accepted_flags);
        let samples: Vec<EnergySamples> = all.iter().filter(|s| !s.runs.is_empty()).cloned().collect();
        if samples.is_empty() {
            let problem = format!("expected runs without flags, found {} runs that are all flagged", of_species.len());
            return Err(Error::input(
                "campaign",
                problem,
                "Look at the flags in recoils.csv; those named in accepted_flags do not exclude a run",
            ));
        }
        let identity = CampaignIdentity {
            model_hash: first.model_hash.clone(),
            recoils_hash: recoils_hash.to_owned(),
            n_cascades: samples.iter().map(|s| s.runs.len()).sum(),
            n_flagged: all.iter().map(|s| s.n_flagged).sum(),
            energies_ev: samples.iter().map(|s| s.recoil_energy_ev).collect(),
        };
        Ok(Self::build("campaign", &samples, settings, Some(identity)))
    }

    fn build(name: &str, samples: &[EnergySamples], settings: Settings, campaign: Option<CampaignIdentity>) -> Self {
        let fitted = build::fit(samples, &settings, &published::parameters());
        let published_range = [published::MEANS[0].0, published::MEANS[1].0];
        let energy_range_ev = match (samples.first(), samples.last()) {
            (Some(low), Some(high)) => [low.recoil_energy_ev, high.recoil_energy_ev],
            _ => published_range,
        };
        Self {
            format_version: FORMAT_VERSION,
            name: name.to_owned(),
            species: settings.species.clone(),
            shape: settings.shape,
            parameters: fitted.parameters,
            bootstrap: build::bootstrap(samples, &settings),
            energy_range_ev,
            sources: build::sources(&fitted, samples, &settings),
            campaign,
            settings,
        }
    }

    /// Probability that a recoil of this energy (eV) leaves no defects.
    pub fn p_zero(&self, recoil_energy_ev: f64) -> f64 {
        1.0 - self.parameters.fermi.probability(recoil_energy_ev)
    }

    /// Density per eV of stored energies above zero; its integral is 1 - [`Self::p_zero`].
    pub fn density(&self, stored_energy_ev: f64, recoil_energy_ev: f64) -> f64 {
        let shape = self.parameters.shape_at(self.shape, recoil_energy_ev);
        self.parameters.fermi.probability(recoil_energy_ev) * shape.density(stored_energy_ev)
    }

    /// Probability of a stored energy up to `stored_energy_ev`, the zero class included.
    pub fn cdf(&self, stored_energy_ev: f64, recoil_energy_ev: f64) -> f64 {
        if stored_energy_ev < 0.0 {
            return 0.0;
        }
        let shape = self.parameters.shape_at(self.shape, recoil_energy_ev);
        let damaged = self.parameters.fermi.probability(recoil_energy_ev);
        1.0 - damaged + damaged * shape.cdf(stored_energy_ev)
    }

    /// 16 % and 84 % quantiles over the bootstrap sets of the probability that a recoil of this energy (eV) leaves
    /// defects; NaN without bootstrap sets.
    pub fn defect_probability_band(&self, recoil_energy_ev: f64) -> [f64; 2] {
        let mut values: Vec<f64> = self.bootstrap.iter().map(|p| p.fermi.probability(recoil_energy_ev)).collect();
        [quantile(&mut values, 0.16), quantile(&mut values, 0.84)]
    }

    /// What the parts rest on, in a few words each; [`Self::caption`] says it in full.
    pub fn summary(&self) -> String {
        let parts: Vec<String> = self.sources.iter().map(|s| format!("{} {}", s.part, s.origin.in_words())).collect();
        parts.join("; ")
    }

    /// The sources as one caption.
    pub fn caption(&self) -> String {
        let parts: Vec<String> = self.sources.iter().map(|s| format!("{}: {}", s.part, s.caption)).collect();
        let mut caption = format!("{}.", parts.join("; "));
        caption[..1].make_ascii_uppercase();
        caption
    }

    /// `response.json`.
    pub fn to_json(&self) -> Result<String, Error> {
        let failed =
            |e: serde_json::Error| Error::computation(format!("cannot write the response: {e}"), "Report this");
        Ok(serde_json::to_string_pretty(self).map_err(failed)? + "\n")
    }

    /// Reads `response.json`; `name` is what errors call it.
    pub fn from_json(text: &str, name: &str) -> Result<Self, Error> {
        let remedy = "Give the response.json that `knockon response` wrote";
        let bad = |e: serde_json::Error| {
            Error::input(format!("{name}, line {}", e.line()), format!("expected a response, found: {e}"), remedy)
        };
        let value: serde_json::Value = serde_json::from_str(text).map_err(bad)?;
        match value.get("format_version").and_then(serde_json::Value::as_u64) {
            Some(version) if version > u64::from(FORMAT_VERSION) => {
                let problem = format!("expected format version {FORMAT_VERSION} or older, found {version}");
                return Err(Error::input(name, problem, "Use a newer knockon"));
            }
            Some(_) => {}
            None => return Err(Error::input(name, "expected a format_version, found none", remedy)),
        }
        let response: Self = serde_json::from_str(text).map_err(bad)?;
        response.settings.validate()?;
        let sound = |p: &Parameters| {
            let curves = [p.mean.0, p.width.0].concat();
            p.fermi.width_ev > 0.0
                && p.fermi.midpoint_ev.is_finite()
                && p.asymmetry.is_finite()
                && curves.iter().all(|c| c.is_finite())
        };
        if !std::iter::once(&response.parameters).chain(&response.bootstrap).all(sound) {
            return Err(Error::input(name, "expected finite parameters and positive widths, found others", remedy));
        }
        Ok(response)
    }

    /// Hash of the content: how spectra name the response they rest on.
    pub fn content_hash(&self) -> Result<String, Error> {
        Ok(content_hash(self.to_json()?.as_bytes()))
    }
}
