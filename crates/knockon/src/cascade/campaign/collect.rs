//! What a campaign has given: its table.

use super::files::{Files, State};
use crate::Error;
use crate::cascade::output::{CampaignFile, RunRecord, recoils_csv};
use crate::cascade::{KineticEnergies, Plan, Start};
use crate::io::{read_text_if_there, write_atomically};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What a campaign has given.
#[derive(Clone, Debug)]
pub struct CampaignSummary {
    /// Recoils in the plan.
    pub n_runs: usize,
    /// Recoils in the table.
    pub n_done: usize,
    /// Recoils with flags, to be kept out of statistics.
    pub n_flagged: usize,
    /// Recoils without a look at extrapolation grades: no flag says whether they left the training data.
    pub n_ungraded: usize,
    /// Recoils that failed, which are not in the table.
    pub n_failed: usize,
    /// Directions of the plan, by all of which the recoils in the table are weighted.
    pub n_directions: usize,
    /// Energies in eV at which some of these directions have recoils and others none yet, with the number of those that have.
    pub partly_covered: Vec<(f64, usize)>,
}

/// Writes one line for each finished recoil into `table` and the campaign as a whole into `folder/campaign.json`, with the
/// kinetic energies of the atoms in all starts that are there. Where starts were removed since, those that an earlier collection
/// counted stay.
pub fn collect_campaign(plan: &Plan, folder: &Path, table: &Path) -> Result<CampaignSummary, Error> {
    let files = Files { plan, folder };
    let (mut records, mut n_failed) = (Vec::new(), 0);
    for run in &plan.runs {
        match files.state(run)? {
            State::Done(record) => records.push(*record),
            State::Failed(_) => n_failed += 1,
            State::Open => {}
        }
    }
    write_atomically(table, recoils_csv(plan, &records).as_bytes())?;
    let n_flagged = records.iter().filter(|r| !r.recoil.flags.is_empty()).count();
    let n_ungraded = records.iter().filter(|r| r.recoil.max_extrapolation_grade.is_none()).count();
    let ideal_box = plan.ideal_box()?;
    let starts = (0..plan.settings.max_starts()).filter_map(|number| files.start(number).transpose());
    let starts = starts.collect::<Result<Vec<Start>, Error>>()?;
    let path = folder.join("campaign.json");
    let counted = KineticEnergies::of(&ideal_box, &starts, plan.settings.thermalization.temperature_k);
    let before = kinetic_energies_before(plan, &path)?;
    let frames = |found: &Option<KineticEnergies>| found.as_ref().map_or(0, |k| k.n_frames);
    let file = CampaignFile {
        plan,
        site: plan.site()?,
        kinetic_energies: if frames(&before) > frames(&counted) { before } else { counted },
        ideal_box,
        perfect_energy_ev: records.iter().find_map(|r| r.perfect_energy_ev),
        n_runs: records.len(),
        n_flagged,
    };
    file.write(&path)?;
    Ok(CampaignSummary {
        n_runs: plan.runs.len(),
        n_done: records.len(),
        n_flagged,
        n_ungraded,
        n_failed,
        n_directions: plan.directions.len(),
        partly_covered: partly_covered(plan, &records),
    })
}

/// What `campaign.json` of an earlier collection of this campaign has.
fn kinetic_energies_before(plan: &Plan, path: &Path) -> Result<Option<KineticEnergies>, Error> {
    #[derive(Deserialize)]
    struct Before {
        model_hash: String,
        n_atoms: usize,
        temperature_k: f64,
        kinetic_energies: Option<KineticEnergies>,
    }
    let text = read_text_if_there(path)?;
    // A file that cannot be read is written anew.
    let before = text.and_then(|text| serde_json::from_str::<Before>(&text).ok());
    let expected = (&plan.model_hash, plan.ideal_box()?.len(), plan.settings.thermalization.temperature_k);
    let of_this = before.filter(|found| (&found.model_hash, found.n_atoms, found.temperature_k) == expected);
    Ok(of_this.and_then(|found| found.kinetic_energies))
}

/// Energies at which some but not all directions of the plan have a record, with their number.
fn partly_covered(plan: &Plan, records: &[RunRecord]) -> Vec<(f64, usize)> {
    let covered = |energy_ev: f64| {
        let of_energy = records.iter().filter(|record| record.recoil.recoil_energy_ev == energy_ev);
        of_energy.map(|record| record.direction).collect::<BTreeSet<usize>>().len()
    };
    let energies = plan.settings.energies.iter().map(|energy| (energy.energy_ev, covered(energy.energy_ev)));
    energies.filter(|(_, n_covered)| (1..plan.directions.len()).contains(n_covered)).collect()
}

/// Finished runs, with the files of their boxes if these were kept.
pub(in crate::cascade) fn finished_boxes(
    plan: &Plan,
    folder: &Path,
) -> Result<Vec<(RunRecord, Option<PathBuf>)>, Error> {
    let files = Files { plan, folder };
    let mut found = Vec::new();
    for run in &plan.runs {
        if let State::Done(record) = files.state(run)? {
            found.push((*record, Some(files.frames_path(run)).filter(|path| path.exists())));
        }
    }
    Ok(found)
}
