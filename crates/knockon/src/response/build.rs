//! From samples to a response: which part the campaign fixes, which part the paper's numbers stand in for.

use super::evolution::{self, Rule};
use super::fermi::{self, FermiPrior};
use super::samples::{EnergySamples, ShapePoints, all_trials, resample};
use super::shape::ShapeModel;
use super::{Origin, Parameters, Source, published};
use crate::Error;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How a response is made from a campaign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Recoiling species.
    pub species: String,
    /// Family of the stored-energy distributions.
    pub shape: ShapeModel,
    /// Order (1 or 2) of the polynomials in the recoil energy.
    pub order: usize,
    /// Stored energies below this are zero, in eV. Relaxation noise is below 0.01 eV and the smallest energy of a
    /// Frenkel pair in the paper's table I is 3.2 eV, so that anything in between gives the same classes.
    pub zero_threshold_ev: f64,
    /// Flags of recoils (see recoils.csv) that do not keep a run out of the statistics; any other flag does.
    pub accepted_flags: Vec<String>,
    /// Non-zero stored energies that one recoil energy needs for its distribution to be fitted.
    pub minimum_nonzero: usize,
    /// Bootstrap replicates.
    pub replicates: u64,
    /// Seed of the bootstrap.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            species: "W".to_owned(),
            shape: ShapeModel::Gaussian,
            order: 1,
            zero_threshold_ev: 0.5,
            accepted_flags: Vec::new(),
            minimum_nonzero: 4,
            replicates: 200,
            seed: 1,
        }
    }
}

impl Settings {
    /// Checks that every setting means something.
    pub fn validate(&self) -> Result<(), Error> {
        let check = |name: &str, fine: bool, problem: String| {
            if fine { Ok(()) } else { Err(Error::input(name, problem, "Correct the setting")) }
        };
        check("species", !self.species.is_empty(), "expected a chemical symbol, found nothing".to_owned())?;
        check("order", (1..=2).contains(&self.order), format!("expected 1 or 2, found {}", self.order))?;
        let threshold = self.zero_threshold_ev;
        let fine = threshold > 0.0 && threshold.is_finite();
        check("zero_threshold_ev", fine, format!("expected a number above 0, found {threshold}"))?;
        check(
            "minimum_nonzero",
            self.minimum_nonzero >= 2,
            format!("expected 2 or more, found {}", self.minimum_nonzero),
        )?;
        let fine = (20..=100_000).contains(&self.replicates);
        check("replicates", fine, format!("expected 20 to 100000, found {}", self.replicates))
    }
}

/// Fitted parameters with the rules that gave them.
pub(super) struct Fitted {
    pub(super) parameters: Parameters,
    mean_rule: Rule,
    width_rule: Rule,
}

/// Fits the parameters; `known` (published numbers and assumptions) fills what the samples do not fix.
pub(super) fn fit(samples: &[EnergySamples], settings: &Settings, known: &Parameters) -> Fitted {
    let shapes: Vec<ShapePoints> =
        samples.iter().filter_map(|s| s.shape_points(settings.shape, settings.minimum_nonzero)).collect();
    let means: Vec<_> = shapes.iter().map(|s| s.mean).collect();
    let widths: Vec<_> = shapes.iter().map(|s| s.width).collect();
    let (mean, mean_rule) = evolution::fit(&means, settings.order, &known.mean);
    // Without data on the evolution of the width: the known ratio of width to mean, on the mean just found.
    let known_width = mean.scaled(known.width.at(100.0) / known.mean.at(100.0));
    let (width, width_rule) = evolution::fit(&widths, settings.order, &known_width);
    let weight: f64 = shapes.iter().map(|s| s.effective_number).sum();
    let tilt: f64 = shapes.iter().map(|s| s.effective_number * s.asymmetry).sum();
    let asymmetry = if shapes.is_empty() { known.asymmetry } else { tilt / weight };
    let prior = FermiPrior { centre: known.fermi, ..published::DEFECT_PROBABILITY };
    let fermi = fermi::fit(&all_trials(samples), &prior);
    Fitted { parameters: Parameters { fermi, mean, width, asymmetry }, mean_rule, width_rule }
}

/// One set of parameters per bootstrap replicate, samples and known numbers both varied.
pub(super) fn bootstrap(samples: &[EnergySamples], settings: &Settings) -> Vec<Parameters> {
    (0..settings.replicates)
        .into_par_iter()
        .map(|replicate| {
            let known = published::draw(settings.seed, replicate);
            fit(&resample(samples, settings.seed, replicate), settings, &known).parameters
        })
        .collect()
}

/// What each part rests on, in words for a figure caption.
pub(super) fn sources(fitted: &Fitted, samples: &[EnergySamples], settings: &Settings) -> Vec<Source> {
    let source = |part: &str, origin, caption: String| Source { part: part.to_owned(), origin, caption };
    let trials = all_trials(samples);
    let n_runs: usize = samples.iter().map(|s| s.runs.len()).sum();
    let used: Vec<&EnergySamples> =
        samples.iter().filter(|s| s.shape_points(settings.shape, settings.minimum_nonzero).is_some()).collect();
    let energies = used.iter().map(|s| format!("{}", s.recoil_energy_ev)).collect::<Vec<_>>().join(", ");
    let n_used: usize = used.iter().map(|s| s.nonzero().0.len()).sum();

    let fermi = fitted.parameters.fermi;
    let function =
        format!("Fermi function with midpoint {:.0} eV and width {:.0} eV", fermi.midpoint_ev, fermi.width_ev);
    let probability = if fermi::is_determined_by(&trials) {
        source(
            "defect probability",
            Origin::Campaign,
            format!("{function}, fitted to {n_runs} cascades at {} energies", trials.len()),
        )
    } else if trials.is_empty() {
        source("defect probability", Origin::Assumption, format!("{function}: assumed, the paper prints no numbers"))
    } else {
        let caption = format!(
            "{function}: assumed, the paper prints no numbers; the {n_runs} cascades of this campaign, at {} {}, only limit it",
            trials.len(),
            if trials.len() == 1 { "energy" } else { "energies" }
        );
        source("defect probability", Origin::CampaignAndAssumption, caption)
    };

    let published = published::MEANS.map(|(energy, mean, _)| format!("{mean:.1} eV at {energy} eV")).join(" and ");
    let line = format!("straight line through the paper's {published}");
    let mean = match fitted.mean_rule {
        Rule::Known => source("mean stored energy", Origin::Paper, line),
        Rule::Scaled(factor) => {
            let caption = format!("{line}, times {factor:.2} to meet {n_used} cascades with defects at {energies} eV");
            source("mean stored energy", Origin::CampaignAndPaper, caption)
        }
        Rule::Fitted { order, through_origin, .. } => {
            let kind = if order == 1 { "straight line" } else { "parabola" };
            let origin = if through_origin { " through the origin" } else { "" };
            let caption = format!("{kind}{origin} fitted to {n_used} cascades with defects at {energies} eV");
            source("mean stored energy", Origin::Campaign, caption)
        }
    };

    let ratio = fitted.parameters.width.at(100.0) / fitted.parameters.mean.at(100.0);
    let width = match fitted.width_rule {
        Rule::Known => {
            let caption = format!("{:.0} % of the mean: assumed, the paper prints no numbers", 100.0 * ratio);
            source("width of the distributions", Origin::Assumption, caption)
        }
        Rule::Scaled(_) => {
            let caption = format!(
                "{:.0} % of the mean, as in the cascades at {energies} eV; the same at other energies is assumed",
                100.0 * ratio
            );
            source("width of the distributions", Origin::CampaignAndAssumption, caption)
        }
        Rule::Fitted { .. } => {
            source("width of the distributions", Origin::Campaign, format!("fitted to the cascades at {energies} eV"))
        }
    };
    vec![probability, mean, width]
}
