//! What a response rests on, in words.

use super::build::{Fitted, Pool, Settings};
use super::evolution::Rule;
use super::fermi::{self, Fermi};
use super::samples::{EnergySamples, StartVariance, all_trials};
use super::{Origin, Source, published};

/// What each part rests on, in words for a figure caption.
pub(super) fn sources(fitted: &Fitted, samples: &[EnergySamples], settings: &Settings) -> Vec<Source> {
    let used: Vec<&EnergySamples> =
        samples.iter().filter(|s| s.shape_points(settings.shape, settings.minimum_nonzero).is_some()).collect();
    let energies = used.iter().map(|s| format!("{}", s.recoil_energy_ev)).collect::<Vec<_>>().join(", ");
    let n_used = used.iter().map(|s| s.nonzero().0.len()).sum();
    vec![
        source_of_probability(fitted.parameters.fermi, samples),
        source_of_mean(fitted.mean_rule, n_used, &energies),
        source_of_width(fitted, &energies),
    ]
}

fn source(part: &str, origin: Origin, caption: String) -> Source {
    Source { part: part.to_owned(), origin, caption }
}

fn source_of_probability(fermi: Fermi, samples: &[EnergySamples]) -> Source {
    let trials = all_trials(samples);
    let n_runs: usize = samples.iter().map(|s| s.runs.len()).sum();
    let function = format!("Fermi function ({})", fermi.in_words());
    let (origin, caption) = if fermi::is_determined_by(&trials) {
        let (n_energies, deviance) = (trials.len(), fermi.deviance(&trials));
        let fitted =
            format!("{function}, fitted to {n_runs} cascades at {n_energies} energies, deviance {deviance:.1}");
        (Origin::Campaign, fitted)
    } else if trials.is_empty() {
        (Origin::Assumption, format!("{function}: assumed, the paper prints no numbers"))
    } else {
        let caption = format!(
            "{function}: assumed, the paper prints no numbers; the {n_runs} cascades of this campaign, at {} {}, only limit it",
            trials.len(),
            if trials.len() == 1 { "energy" } else { "energies" }
        );
        (Origin::CampaignAndAssumption, caption)
    };
    source("defect probability", origin, caption)
}

fn source_of_mean(rule: Rule, n_used: usize, energies: &str) -> Source {
    let published = published::MEANS.map(|(energy, mean, _)| format!("{mean:.1} eV at {energy} eV")).join(" and ");
    let line = format!("straight line through the paper's {published}");
    let (origin, caption) = match rule {
        Rule::Known => (Origin::Paper, line),
        Rule::Scaled(factor) => {
            let scaled = format!("{line}, times {factor:.2} to meet {n_used} cascades with defects at {energies} eV");
            (Origin::CampaignAndPaper, scaled)
        }
        Rule::Fitted { .. } => {
            let kind = rule.in_words();
            (Origin::Campaign, format!("{kind} fitted to {n_used} cascades with defects at {energies} eV"))
        }
    };
    source("mean stored energy", origin, caption)
}

fn source_of_width(fitted: &Fitted, energies: &str) -> Source {
    let percent = 100.0 * fitted.parameters.width.at(100.0) / fitted.parameters.mean.at(100.0);
    let (origin, caption) = match fitted.width_rule {
        Rule::Known => {
            (Origin::Assumption, format!("{percent:.0} % of the mean: assumed, the paper prints no numbers"))
        }
        Rule::Scaled(_) => {
            let caption = format!(
                "{percent:.0} % of the mean, as in the cascades at {energies} eV; the same at other energies is assumed"
            );
            (Origin::CampaignAndAssumption, caption)
        }
        Rule::Fitted { .. } => (Origin::Campaign, format!("fitted to the cascades at {energies} eV")),
    };
    source("width of the distributions", origin, caption)
}

/// What the bootstrap sets contain, in words.
pub(super) fn uncertainty(pool: &Pool, settings: &Settings) -> String {
    let Some(samples) = pool.potentials.first().filter(|s| !s.is_empty()) else {
        return format!(
            "{} draws from the assumed spread and the sampling errors of the printed means",
            settings.replicates
        );
    };
    let count = |of: fn(&super::Run) -> u32| {
        samples.iter().flat_map(|s| s.runs.iter().map(of)).collect::<std::collections::BTreeSet<_>>().len()
    };
    let (directions, starts) = (count(|r| r.direction), count(|r| r.start));
    let drawn = if directions > 1 {
        let common = StartVariance::of(samples);
        let of_starts = match starts {
            1 => "one start".to_owned(),
            _ => format!(
                "{starts} starts with {:.2} of the variance of their averages (stored energies) and {:.2} (defects or none)",
                common.of_energies, common.of_classes
            ),
        };
        format!("{directions} directions drawn as clusters, {of_starts}")
    } else {
        "single cascades of one direction drawn".to_owned()
    };
    let forms = match pool.forms.len() {
        1 => "one shape and evolution".to_owned(),
        n => format!("{n} combinations of shape and evolution that held-out cascades do not tell apart"),
    };
    let potentials = match pool.potentials.len() {
        1 => "one potential".to_owned(),
        n if settings.pool_potentials => {
            format!(
                "{n} potentials, each set of one (directions and starts are those of the first), the best numbers of all"
            )
        }
        n => format!("{n} potentials"),
    };
    format!("{} bootstrap sets: {drawn}; {forms}; {potentials}", settings.replicates)
}
