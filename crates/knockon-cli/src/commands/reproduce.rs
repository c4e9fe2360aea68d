//! `knockon reproduce`: the stage commands in a row, each run only if what it depends on has changed.

use super::{campaign, fit, report, response, spectra};
use crate::{config, progress};
use anyhow::{Context, Result, bail};
use knockon::cascade::{CampaignSettings, Plan};
use knockon::fit::Settings as FitSettings;
use knockon::io::{content_hash, read_text, write_atomically};
use serde::Deserialize;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Arguments of `knockon reproduce`.
#[derive(clap::Args)]
#[command(after_help = "The chain is nothing but these commands in a row, on the settings that the chain file names:

  knockon fit fit.toml -o OUT/model
  knockon campaign campaign.toml --model OUT/model/NAME.model -o OUT/campaign
  knockon response response.toml --campaign OUT/campaign -o OUT/response
  knockon spectra spectra.toml --response OUT/response/response.json -o OUT/spectra
  knockon report OUT

A stage is run again only if its settings, its inputs or this program have changed. Stop it at any moment and start it
again: finished recoils are kept. To go further, copy the folder examples/cawo4/laptop to one beside it (paths in
it are relative), edit the copies and run `knockon reproduce COPY/chain.toml -o OTHER`. examples/cawo4/full holds
the paper's own numbers. Other crystals and species take the stages one by one: docs/new-crystal.md.")]
pub(crate) struct Arguments {
    /// Chain file: which settings file each stage uses, relative to the chain file.
    #[arg(value_name = "CHAIN", default_value = "examples/cawo4/laptop/chain.toml")]
    chain: PathBuf,
    /// Output folder.
    #[arg(short, long, value_name = "DIR", default_value = "knockon-out")]
    out: PathBuf,
    /// Seed of thermal motion and bootstrap, instead of those of the settings.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Go on to cascades even if the potential fails one of its checks; the report says so on top.
    #[arg(long)]
    accept_failing_potential: bool,
}

/// The settings file of each stage.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Chain {
    fit: PathBuf,
    campaign: PathBuf,
    response: PathBuf,
    spectra: PathBuf,
}

/// What `reproduce` reads of fit.json.
#[derive(Deserialize)]
struct FitOutcome {
    checks_passed: bool,
    failed_checks: Vec<String>,
}

const STAGES: [&str; 5] = ["fit", "campaign", "response", "spectra", "report"];

/// Names this build by all that it was made of (`build.rs`): its version would not tell changed physics.
const PROGRAM: &str = env!("KNOCKON_PROGRAM");

/// What the report reads, in the output folder, beside the spectra with other responses.
const REPORT_INPUTS: [&str; 18] = [
    "model/fit.json",
    "model/parity.csv",
    "model/calibration.csv",
    "model/pair_scans.csv",
    "model/checks.json",
    "campaign/campaign.json",
    "campaign/recoils.csv",
    "campaign/starts/thermalization.json",
    "response/response.json",
    "response/models.csv",
    "response/directions.csv",
    "response/stored_energy.csv",
    "spectra/spectra.json",
    "spectra/capture.csv",
    "spectra/dark-matter.csv",
    "spectra/cevns.csv",
    "spectra/comparison.csv",
    "spectra/sensitivity.csv",
];

/// The folder of the spectra with other responses, in the output folder.
const COMPARED: &str = "spectra/compared";

/// One run of the chain.
struct Run<'a> {
    out: &'a Path,
    seed: Option<u64>,
    /// See [`PROGRAM`].
    program: &'a str,
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let began = Instant::now();
    let chain = Chain::load(&arguments.chain)?;
    let out = &arguments.out;
    let run = Run { out, seed: arguments.seed, program: PROGRAM };

    let model = run.fit(&chain.fit)?;
    check_potential(&out.join("model/fit.json"), arguments.accept_failing_potential)?;
    run.campaign(&chain.campaign, &model)?;
    run.response(&chain.response)?;
    run.spectra(&chain.spectra)?;
    run.report()?;

    progress::say(&format!("done in {:.0} s", began.elapsed().as_secs_f64()));
    outln!("{}", out.join("report.html").display());
    Ok(())
}

impl Chain {
    fn load(path: &Path) -> Result<Self> {
        let chain: Self = config::load(path).context(
            "cannot read the chain file; run knockon in the folder of its repository, or name a chain file of your own",
        )?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let within = |file: PathBuf| folder.join(file);
        Ok(Self {
            fit: within(chain.fit),
            campaign: within(chain.campaign),
            response: within(chain.response),
            spectra: within(chain.spectra),
        })
    }
}

/// Stops before cascades are run with a potential that is known to be bad.
fn check_potential(path: &Path, accept: bool) -> Result<()> {
    let outcome: FitOutcome = serde_json::from_str(&read_text(path)?)
        .with_context(|| format!("{} is not a fit report; remove it and run again", path.display()))?;
    if outcome.checks_passed {
        return Ok(());
    }
    let failed = outcome.failed_checks.join(", ");
    if accept {
        progress::say(&format!("WARNING: the potential fails: {failed}. Cascades are run with it as asked."));
        return Ok(());
    }
    bail!(
        "the potential fails checks that cascades rely on: {failed}. Look at {} and add labels or change the fit; \
         --accept-failing-potential goes on all the same",
        path.with_file_name("checks.json").display()
    )
}

impl Run<'_> {
    /// Returns the path of the model.
    fn fit(&self, settings: &Path) -> Result<PathBuf> {
        let fit_settings: FitSettings = config::load(settings)?;
        let folder = settings.parent().unwrap_or(Path::new("."));
        let mut inputs = vec![settings.to_owned()];
        inputs.extend(fit_settings.data_files.iter().map(|file| folder.join(file)));
        let directory = self.out.join("model");
        let model = directory.join(format!("{}.model", fit_settings.name));
        let mut outputs = vec![model.clone(), model.with_extension("committee"), model.with_extension("grade")];
        let names = ["fit.json", "parity.csv", "calibration.csv", "pair_scans.csv", "checks.json"];
        outputs.extend(names.map(|name| directory.join(name)));
        self.stage("fit", &inputs, &outputs, || {
            fit::run(&fit::Arguments { settings: settings.to_owned(), out: directory.clone() })
        })?;
        Ok(model)
    }

    fn campaign(&self, settings: &Path, model: &Path) -> Result<()> {
        let campaign_settings: CampaignSettings = config::load(settings)?;
        let folder = settings.parent().unwrap_or(Path::new("."));
        let mut inputs = vec![settings.to_owned(), model.to_owned(), folder.join(&campaign_settings.crystal)];
        if let Some(extrapolation) = &campaign_settings.extrapolation {
            let beside = model.with_extension("grade");
            inputs.push(extrapolation.grade.as_ref().map_or(beside, |grade| folder.join(grade)));
        }
        let directory = self.out.join("campaign");
        let outputs = [directory.join("recoils.csv"), directory.join("campaign.json")];
        self.stage("campaign", &inputs, &outputs, || {
            let planned = campaign::Planned::new(settings, Some(model), self.seed)?;
            find_campaign(self.out, &planned.plan)?;
            planned.run(&directory)
        })
    }

    fn response(&self, settings: &Path) -> Result<()> {
        let campaign = self.out.join("campaign");
        let output = self.out.join("response");
        // campaign.json tells the crystal and the symmetry of the site.
        let inputs = [settings.to_owned(), campaign.join("recoils.csv"), campaign.join("campaign.json")];
        let names = ["response.json", "models.csv", "directions.csv", "stored_energy.csv"];
        let outputs = names.map(|name| output.join(name));
        self.stage("response", &inputs, &outputs, || {
            response::run(&response::Arguments::of_campaign(settings, &campaign, &output, self.seed))
        })
    }

    fn spectra(&self, settings: &Path) -> Result<()> {
        let response = self.out.join("response/response.json");
        let output = self.out.join("spectra");
        let names =
            ["capture.csv", "dark-matter.csv", "cevns.csv", "comparison.csv", "sensitivity.csv", "spectra.json"];
        let outputs: Vec<PathBuf> = names.iter().map(|name| output.join(name)).collect();
        self.stage("spectra", &[settings.to_owned(), response.clone()], &outputs, || {
            let settings = Some(settings.to_owned());
            let response = vec![response.display().to_string()];
            spectra::run(&spectra::Arguments { settings, response, output: output.clone() })
        })
    }

    fn report(&self) -> Result<()> {
        let mut inputs: Vec<PathBuf> = REPORT_INPUTS.iter().map(|name| self.out.join(name)).collect();
        inputs.extend(files_below(&self.out.join(COMPARED))?);
        let outputs = [self.out.join("report.html")];
        self.stage("report", &inputs, &outputs, || report::run(&report::Arguments { folder: self.out.to_owned() }))
    }

    /// Runs a stage unless its outputs are there and were made from the same inputs by the same program.
    fn stage(
        &self,
        name: &str,
        inputs: &[PathBuf],
        outputs: &[PathBuf],
        work: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let number = 1 + STAGES.iter().position(|stage| *stage == name).unwrap_or_default();
        let title = format!("[{number}/{}] {name}", STAGES.len());
        let stamp = self.stamp(inputs)?;
        let marker = self.out.join("stages").join(name);
        let made = marker.exists() && read_text(&marker)? == stamp;
        if made && outputs.iter().all(|file| file.exists()) {
            progress::say(&format!("{title}: up to date"));
            return Ok(());
        }
        progress::say(&title);
        let began = Instant::now();
        work().with_context(|| format!("the stage {name} did not finish"))?;
        write_atomically(&marker, stamp.as_bytes())?;
        progress::say(&format!("{title}: {:.0} s", began.elapsed().as_secs_f64()));
        Ok(())
    }

    /// Names the content of all inputs, the seed and the program.
    fn stamp(&self, inputs: &[PathBuf]) -> Result<String> {
        let mut text = format!("{} {:?}", self.program, self.seed);
        for path in inputs {
            text += &format!(" {}", hash_if_there(path)?);
        }
        Ok(content_hash(text.as_bytes()))
    }
}

/// Names the content of a file; of one that is not there the stage itself says whether it needs it.
fn hash_if_there(path: &Path) -> Result<String> {
    match std::fs::read(path) {
        Ok(content) => Ok(content_hash(&content)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok("absent".to_owned()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// All files of a folder and its folders in order; none where there is no such folder.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let unreadable = || format!("cannot read {}", folder.display());
    let entries = std::fs::read_dir(folder).with_context(unreadable)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<PathBuf>, _>>();
    let mut paths = paths.with_context(unreadable)?;
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

/// Puts a campaign that the plan goes on with into the folder `campaign` of `out`, if there is one. Recoils made with another
/// potential or other settings are renamed, not mixed and not lost, and taken back when they are asked for again.
fn find_campaign(out: &Path, plan: &Plan) -> Result<()> {
    let directory = out.join("campaign");
    let mut folders = set_aside(out)?;
    folders.push(directory.clone());
    // Of several with the same recoils the last, which is the one in place.
    let recoils = |folder: &PathBuf| n_recoils_to_go_on_with(folder, plan).map(|n_recoils| (n_recoils, folder.clone()));
    let found = folders.iter().filter_map(recoils).max_by_key(|(n_recoils, _)| *n_recoils).map(|(_, folder)| folder);
    if found.as_ref() == Some(&directory) {
        return Ok(());
    }
    // Tables that come back with a folder are not those that the stage made last.
    remove_marker(out)?;
    if directory.join("plan.json").exists() {
        let aside = free_name(out, &directory);
        rename(&directory, &aside)?;
        progress::say(&format!("recoils of an earlier potential or other settings now stand in {}", aside.display()));
    }
    if let Some(found) = found {
        rename(&found, &directory)?;
        progress::say(&format!("going on with the recoils that stood in {}", found.display()));
    }
    Ok(())
}

/// The stage is to be done, whatever its inputs.
fn remove_marker(out: &Path) -> Result<()> {
    let marker = out.join("stages/campaign");
    match std::fs::remove_file(&marker) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", marker.display()))
        }
        _ => Ok(()),
    }
}

/// Folders of campaigns that were set aside, by name.
fn set_aside(out: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(out).with_context(|| format!("cannot read {}", out.display()))?;
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {}", out.display()))?.path();
        let is_named = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("campaign-"));
        if is_named && path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// How many recoils the campaign in a folder plans, if `plan` can go on with all of them: the plan's own comparison decides.
fn n_recoils_to_go_on_with(folder: &Path, plan: &Plan) -> Option<usize> {
    let earlier = Plan::load(folder).ok()?;
    let extended = plan.clone().extending(&earlier, &folder.display().to_string());
    extended.is_ok().then_some(earlier.runs.len())
}

/// A name for a campaign that is set aside: that of its plan, with a number where that is taken.
fn free_name(out: &Path, directory: &Path) -> PathBuf {
    let key = Plan::load(directory).map_or("unreadable".to_owned(), |plan| plan.key);
    let numbered = |number: usize| match number {
        1 => out.join(format!("campaign-{key}")),
        _ => out.join(format!("campaign-{key}-{number}")),
    };
    let mut number = 1;
    while numbered(number).exists() {
        number += 1;
    }
    numbered(number)
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to)
        .with_context(|| format!("cannot rename {} to {}; move it away yourself", from.display(), to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use knockon::io::read_structure;
    use knockon::potential::{LinearPotential, Model};

    #[test]
    fn a_stage_is_up_to_date_for_the_same_build_and_inputs_only() {
        let temporary = tempfile::tempdir().unwrap();
        let out = temporary.path();
        let (input, output) = (out.join("input"), out.join("output"));
        std::fs::write(&input, [0xff]).unwrap();
        let runs_again = |program: &str, seed: Option<u64>| {
            let mut has_run = false;
            let work = || {
                has_run = true;
                Ok(std::fs::write(&output, "made")?)
            };
            let inputs = [input.clone(), out.join("absent")];
            Run { out, seed, program }.stage("fit", &inputs, std::slice::from_ref(&output), work).unwrap();
            has_run
        };
        assert!(runs_again("a build", None) && !runs_again("a build", None));
        // The same version, built from other sources.
        assert!(runs_again("another build", None) && !runs_again("another build", None));
        assert!(runs_again("another build", Some(1)));
        std::fs::write(&input, "changed").unwrap();
        assert!(runs_again("another build", Some(1)) && !runs_again("another build", Some(1)));
        std::fs::write(out.join("absent"), "").unwrap();
        assert!(runs_again("another build", Some(1)));
        std::fs::remove_file(&output).unwrap();
        assert!(runs_again("another build", Some(1)));
        assert!(PROGRAM.len() == 16 && PROGRAM.chars().all(|c| c.is_ascii_hexdigit()), "{PROGRAM}: no hash of sources");
    }

    /// A file that the report reads is an input of its stage.
    #[test]
    fn the_inputs_of_the_report_are_all_that_it_reads() {
        let reader = include_str!("../report/run.rs");
        let names = reader.split("at(\"").skip(1).filter_map(|rest| rest.split('"').next());
        let read: Vec<&str> = names.filter(|name| name.contains('/')).collect();
        assert!(read.len() > 10, "{read:?}");
        for name in read {
            assert!(REPORT_INPUTS.contains(&name), "{name}: add it to REPORT_INPUTS");
        }
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join(COMPARED);
        assert!(files_below(&folder).unwrap().is_empty());
        std::fs::create_dir_all(folder.join("other")).unwrap();
        for name in ["other/response.json", "other/cevns.csv"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        assert_eq!(files_below(&folder).unwrap(), ["other/cevns.csv", "other/response.json"].map(|f| folder.join(f)));
    }

    /// A campaign that needs no energy: its cell is as it is in the file.
    fn plan(changes: &[(&str, &str)]) -> Plan {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/cawo4");
        let mut text = String::from(
            "crystal = \"cawo4.xyz\"\ncells = [1, 1, 1]\nrelax_cell = false\nspecies = \"W\"\ndirections = 2\nseed = 3\n\
             energies = [{ energy_ev = 40.0, starts = 1 }]\n\
             thermalization = { temperature_k = 133.0, time_fs = 20.0, sampling_time_fs = 10.0, time_step_fs = 1.0, \
             friction_per_fs = 0.01 }\nrecoil = { time_fs = 10.0 }\n",
        );
        for (from, to) in changes {
            assert!(text.contains(from));
            text = text.replace(from, to);
        }
        let settings: CampaignSettings = toml::from_str(&text).unwrap();
        let model = Model::load(&data.join("cawo4.model")).unwrap();
        let crystal = read_structure(&data.join("cawo4.xyz")).unwrap().atoms;
        Plan::new(&LinearPotential::new(&model).unwrap(), &model.hash(), &crystal, &settings).unwrap()
    }

    /// Numbers of recoils by folder.
    fn folders(out: &Path) -> Vec<(String, usize)> {
        let mut all = set_aside(out).unwrap();
        all.push(out.join("campaign"));
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        all.iter().map(|path| (name(path), Plan::load(path).unwrap().runs.len())).collect()
    }

    /// As `knockon reproduce` with these settings does.
    fn reproduce(out: &Path, plan: &Plan) {
        find_campaign(out, plan).unwrap();
        plan.clone().write(&out.join("campaign")).unwrap();
    }

    #[test]
    fn campaigns_go_on_or_are_set_aside_and_taken_back() {
        let temporary = tempfile::tempdir().unwrap();
        let out = temporary.path();
        let first = plan(&[]);
        reproduce(out, &first);
        // What changes no result: more recoils, other limits, other checkpoints. The folder stays.
        for changes in [
            &[("starts = 1", "starts = 2")],
            &[("starts = 1", "starts = 2 }, { energy_ev = 60.0, starts = 1")],
            &[("starts = 1 }]", "starts = 2 }, { energy_ev = 60.0, starts = 1 }]\nrunning = { max_hours = 3.0 }")],
        ] {
            reproduce(out, &plan(changes));
        }
        assert_eq!(folders(out), [("campaign".to_owned(), 6)]);

        // The stage is up to date as long as its folder stays, and no longer.
        let marker = out.join("stages/campaign");
        std::fs::create_dir(marker.parent().unwrap()).unwrap();
        let is_marked_after = |plan: &Plan| {
            std::fs::write(&marker, "inputs").unwrap();
            reproduce(out, plan);
            marker.exists()
        };

        // Another campaign, and back, and again.
        let longer = plan(&[("starts = 1", "starts = 2 }, { energy_ev = 60.0, starts = 1")]);
        let other = plan(&[("seed = 3", "seed = 4")]);
        let aside = |plan: &Plan| format!("campaign-{}", plan.key);
        assert!(is_marked_after(&longer));
        for _ in 0..2 {
            assert!(!is_marked_after(&other));
            assert_eq!(folders(out), [(aside(&first), 6), ("campaign".to_owned(), 2)]);
            assert!(!is_marked_after(&longer));
            assert_eq!(folders(out), [(aside(&other), 2), ("campaign".to_owned(), 6)]);
        }

        // Fewer recoils of the same campaign: the others are kept for the day when they are asked for again.
        for _ in 0..2 {
            reproduce(out, &first);
            assert_eq!(Plan::load(&out.join("campaign")).unwrap().runs.len(), 2);
            reproduce(out, &longer);
            assert_eq!(Plan::load(&out.join("campaign")).unwrap().runs.len(), 6);
        }
        assert_eq!(set_aside(out).unwrap().len(), 2);
    }
}
