//! What the stages left in the output folder. A stage that did not run is `None`; a file that cannot be read is an
//! error that names it.

use super::table::Table;
use anyhow::{Context, Result};
use knockon::cascade::{CampaignOverview, Equilibrium};
use knockon::fit::ErrorRow;
use knockon::fit::report::{PaperErrors, VariantRow};
use knockon::fit::validation::Score;
use knockon::response::{self, EnergySamples, Response, Settings};
use knockon::spectra::AnyResponse;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::Path;

/// Everything under the output folder.
#[derive(Default)]
pub(crate) struct Run {
    pub(crate) fit: Option<Fit>,
    pub(crate) parity: Option<Table>,
    pub(crate) calibration: Option<Table>,
    pub(crate) pair_scans: Option<Table>,
    pub(crate) checks: Option<Vec<Check>>,
    pub(crate) campaign: Option<CampaignOverview>,
    pub(crate) thermalization: Option<Equilibrium>,
    /// Recoils by energy, as the response stage groups them.
    pub(crate) samples: Option<Vec<EnergySamples>>,
    pub(crate) response: Option<Response>,
    pub(crate) stored_energy: Option<Table>,
    pub(crate) capture: Option<Table>,
    pub(crate) dark_matter: Option<Table>,
    pub(crate) cevns: Option<Table>,
    pub(crate) spectra: Option<Value>,
    /// The same spectra with other responses.
    pub(crate) compared: Vec<Compared>,
    pub(crate) comparison: Option<Table>,
    pub(crate) sensitivity: Option<Table>,
}

/// `spectra/compared/NAME`: another response and its spectra.
pub(crate) struct Compared {
    pub(crate) response: AnyResponse,
    pub(crate) capture: Option<Table>,
    pub(crate) dark_matter: Option<Table>,
    pub(crate) cevns: Option<Table>,
}

/// `model/fit.json`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Fit {
    pub(crate) name: String,
    pub(crate) data_file: String,
    pub(crate) data_hash: String,
    pub(crate) model_hash: String,
    pub(crate) variant: String,
    pub(crate) n_configurations: u64,
    pub(crate) n_columns: u64,
    pub(crate) prior_strength: Option<f64>,
    pub(crate) errors: Vec<ErrorRow>,
    pub(crate) variants: Vec<VariantRow>,
    pub(crate) cross_validation: Vec<Score>,
    /// Calibration of committee and extrapolation grade.
    pub(crate) uncertainty: Value,
    /// Of crystals that the paper is about.
    pub(crate) paper: Option<PaperErrors>,
}

/// One line of `model/checks.json`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) value: Value,
    pub(crate) unit: Option<String>,
    pub(crate) expected: Value,
    pub(crate) passed: bool,
    pub(crate) detail: Option<String>,
}

impl Run {
    /// What became of flagged recoils: words for a caption.
    pub(crate) fn fate_of_flagged(&self) -> &'static str {
        match self.response.as_ref().is_some_and(|r| !r.settings.accepted_flags.is_empty()) {
            true => "flagged; flags that the settings accept do not exclude a run",
            false => "flagged and left out",
        }
    }

    /// Reads what is there.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let at = |name: &str| folder.join(name);
        let response = response(&at("response/response.json"))?;
        Ok(Self {
            fit: json(&at("model/fit.json"))?,
            parity: table(&at("model/parity.csv"))?,
            calibration: table(&at("model/calibration.csv"))?,
            pair_scans: table(&at("model/pair_scans.csv"))?,
            checks: json(&at("model/checks.json"))?,
            campaign: CampaignOverview::read_if_there(&at("campaign/campaign.json"))?,
            thermalization: json(&at("campaign/starts/thermalization.json"))?,
            samples: samples(&at("campaign/recoils.csv"), response.as_ref())?,
            response,
            stored_energy: table(&at("response/stored_energy.csv"))?,
            capture: table(&at("spectra/capture.csv"))?,
            dark_matter: table(&at("spectra/dark-matter.csv"))?,
            cevns: table(&at("spectra/cevns.csv"))?,
            spectra: json(&at("spectra/spectra.json"))?,
            compared: compared(&at("spectra"))?,
            comparison: table(&at("spectra/comparison.csv"))?,
            sensitivity: table(&at("spectra/sensitivity.csv"))?,
        })
    }

    /// Cascades used.
    pub(crate) fn n_cascades(&self) -> usize {
        self.samples.iter().flatten().map(|s| s.runs.len()).sum()
    }

    /// Cascades used by energy, e.g. "8 at 112 eV".
    pub(crate) fn cascade_counts(&self) -> String {
        let counts = self.samples.iter().flatten().map(|s| format!("{} at {} eV", s.runs.len(), s.recoil_energy_ev));
        let counts: Vec<String> = counts.collect();
        if counts.is_empty() { "none".into() } else { counts.join(", ") }
    }

    /// Checks that the potential did not pass.
    pub(crate) fn failed_checks(&self) -> Vec<&Check> {
        self.checks.iter().flatten().filter(|check| !check.passed).collect()
    }

    /// Stages without results, with the command that makes them.
    pub(crate) fn missing_stages(&self) -> Vec<(&'static str, &'static str)> {
        // Of the three spectra that knockon spectra makes, one is that of captures in tungsten.
        let is_of_tungsten = self.response.as_ref().is_none_or(|response| response.species == "W");
        let stages = [
            (self.fit.is_none(), "Fit of the potential", "knockon fit"),
            (self.checks.is_none(), "Checks of the potential", "knockon fit"),
            (self.campaign.is_none() || self.samples.is_none(), "Recoil cascades", "knockon campaign"),
            (self.response.is_none() || self.stored_energy.is_none(), "Response of the crystal", "knockon response"),
            (is_of_tungsten && self.capture.is_none(), "Neutron-capture spectrum", "knockon spectra"),
            (
                is_of_tungsten && self.dark_matter.is_none() && self.cevns.is_none(),
                "Dark-matter and neutrino spectra",
                "knockon spectra",
            ),
        ];
        stages.into_iter().filter(|s| s.0).map(|(_, stage, command)| (stage, command)).collect()
    }

    /// The model hashes that the stages name; more than one means that they do not belong together.
    pub(crate) fn model_hashes(&self) -> Vec<(&'static str, String)> {
        let hashes = [
            ("fit", self.fit.as_ref().map(|f| f.model_hash.clone())),
            ("cascades", self.campaign.as_ref().map(|c| c.model_hash.clone())),
            ("response", self.response.as_ref().and_then(|r| Some(r.campaign.as_ref()?.model_hash.clone()))),
            ("spectra", self.spectra.as_ref().and_then(spectra_model)),
        ];
        hashes.into_iter().filter_map(|(stage, hash)| Some((stage, hash.filter(|h| !h.is_empty())?))).collect()
    }
}

/// The responses that `spectra.json` says the spectra were compared with.
fn compared(folder: &Path) -> Result<Vec<Compared>> {
    let spectra: Option<Value> = json(&folder.join("spectra.json"))?;
    let names = spectra.as_ref().and_then(|s| s.get("compared_responses")).and_then(Value::as_array);
    let mut found = Vec::new();
    for name in names.into_iter().flatten().filter_map(Value::as_str) {
        let at = |file: &str| folder.join("compared").join(name).join(file);
        let path = at("response.json");
        if !path.exists() {
            continue;
        }
        let response = AnyResponse::from_bytes(&std::fs::read(&path)?, &path.display().to_string())?;
        let [capture, dark_matter, cevns] =
            ["capture.csv", "dark-matter.csv", "cevns.csv"].map(|file| table(&at(file)));
        found.push(Compared { response, capture: capture?, dark_matter: dark_matter?, cevns: cevns? });
    }
    Ok(found)
}

/// `spectra.json` names the potential within the campaign of its response.
fn spectra_model(spectra: &Value) -> Option<String> {
    let of_campaign = || spectra.pointer("/response/campaign/model_hash");
    spectra.get("model_hash").or_else(of_campaign)?.as_str().map(str::to_owned)
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = knockon::io::read_text(path)?;
    let value = serde_json::from_str(&text);
    let context = || format!("cannot use {}: run the stage that wrote it again", path.display());
    value.map(Some).with_context(context)
}

fn response(path: &Path) -> Result<Option<Response>> {
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(Response::from_json(&knockon::io::read_text(path)?, &path.display().to_string())?))
}

/// Recoils as the response stage would group them: with its settings, or before it ran with default ones.
fn samples(path: &Path, response: Option<&Response>) -> Result<Option<Vec<EnergySamples>>> {
    if !path.exists() {
        return Ok(None);
    }
    let recoils = response::parse_recoils(&knockon::io::read_text(path)?, &path.display().to_string())?;
    let species = recoils.first().map(|r| r.species.clone()).unwrap_or_default();
    let settings = response.map_or(Settings { species, ..Settings::default() }, |r| r.settings.clone());
    let Settings { species, zero_threshold_ev, accepted_flags, .. } = settings;
    Ok(Some(response::group(&recoils, &species, zero_threshold_ev, &accepted_flags)))
}

fn table(path: &Path) -> Result<Option<Table>> {
    if path.exists() { Table::read(path).map(Some) } else { Ok(None) }
}
