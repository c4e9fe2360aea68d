//! `knockon campaign`.

use super::outputs::refuse_overwriting;
use crate::config;
use crate::progress::{Bar, say};
use crate::signals;
use anyhow::{Context, Result, bail};
use knockon::cascade::{
    Attribution, CampaignSettings, CampaignStatus, CampaignSummary, Plan, RunOutcome, Worker, campaign_status,
    collect_campaign, export_campaign, forget_failures, make_starts, run_campaign,
};
use knockon::io::{read_structure, read_text, write_atomically};
use knockon::potential::{LinearPotential, Model};
use script::ScriptArguments;
use std::path::{Path, PathBuf};

mod script;

/// Arguments of `knockon campaign`.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Without a subcommand: plan, run and collect in a row."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    all: Option<PlanArguments>,
    #[command(subcommand)]
    step: Option<Step>,
}

#[derive(clap::Subcommand)]
enum Step {
    /// List the recoils of a campaign, or add to the list.
    Plan(PlanArguments),
    /// Do recoils of a plan that are not done and that no other process is at.
    Run(RunArguments),
    /// Scripts that do the plan under a scheduler; see docs/clusters.md.
    Script(ScriptArguments),
    /// How many recoils are done, running, failed and flagged.
    Status {
        /// Folder of the campaign.
        folder: PathBuf,
    },
    /// One table of all finished recoils.
    Collect {
        /// Folder of the campaign.
        folder: PathBuf,
        /// The table (default: recoils.csv in the folder of the campaign).
        #[arg(short, long, value_name = "TABLE.csv")]
        output: Option<PathBuf>,
    },
    /// Archives and metadata of finished recoils in the style of CascadesDB (IAEA), one of each per energy.
    Export {
        /// Folder of the campaign, planned with [frames] in its settings.
        folder: PathBuf,
        /// Folder for the archives and their records.
        #[arg(short, long, value_name = "DIR")]
        output: PathBuf,
        /// Author of the data.
        #[arg(long)]
        author: String,
        /// University or institute.
        #[arg(long)]
        affiliation: String,
        /// DOI of the publication that describes the data.
        #[arg(long, default_value = "")]
        doi: String,
        /// Flags that do not keep a recoil out, such as small-box,hot-border; the records name the flags of each.
        #[arg(long, value_name = "FLAG,FLAG", value_delimiter = ',')]
        accepted_flags: Vec<String>,
    },
}

#[derive(clap::Args)]
struct PlanArguments {
    /// TOML file with the settings of the campaign; see examples/cawo4/laptop/campaign.toml.
    config: PathBuf,
    /// Model file, made by `knockon fit` or `knockon import`, instead of the one that the settings name.
    #[arg(long)]
    model: Option<PathBuf>,
    /// Folder of the campaign. A plan that is there is extended: its recoils keep their numbers and results.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

#[derive(clap::Args)]
struct RunArguments {
    /// Folder of the campaign. Any number of processes and machines may work in it at the same time.
    folder: PathBuf,
    /// Only the recoil of this number in plan.csv.
    #[arg(long, value_name = "N", conflicts_with_all = ["runs", "shard"])]
    index: Option<usize>,
    /// Only the recoils from one number to another, such as 10-20.
    #[arg(long, value_name = "FROM-TO", value_parser = parse_runs, conflicts_with = "shard")]
    runs: Option<(usize, usize)>,
    /// Only every n-th recoil, such as 1/4, 2/4, 3/4 and 4/4.
    #[arg(long, value_name = "I/N", value_parser = parse_shard)]
    shard: Option<(usize, usize)>,
    /// Try again what failed. Recoils that took too long go on where they were, once max_hours is raised and the campaign planned
    /// again: hours of all processes add up.
    #[arg(long)]
    retry_failed: bool,
    /// Wait for recoils that other processes are at, and take them over if those die.
    #[arg(long)]
    wait: bool,
    /// Only make the thermalised starts that all recoils share.
    #[arg(long, conflicts_with_all = ["index", "runs", "shard", "retry_failed"])]
    starts_only: bool,
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match (&arguments.step, &arguments.all) {
        (Some(Step::Plan(a)), _) => {
            let planned = Planned::new(&a.config, a.model.as_deref(), None)?;
            warn_of_failing(&Model::load(&planned.model)?);
            let plan = planned.write(&a.output)?;
            say(&format!("{} recoils: {}", plan.runs.len(), a.output.join("plan.csv").display()));
            Ok(())
        }
        (Some(Step::Run(a)), _) => run_part(a),
        (Some(Step::Script(a)), _) => script::write(a),
        (Some(Step::Status { folder }), _) => status(folder),
        (Some(Step::Collect { folder, output }), _) => {
            collect(folder, &output.clone().unwrap_or_else(|| folder.join("recoils.csv")))
        }
        (Some(Step::Export { folder, output, author, affiliation, doi, accepted_flags }), _) => {
            let [author, affiliation, doi] = [author, affiliation, doi].map(Clone::clone);
            let attribution = Attribution { author, affiliation, doi };
            for e in export_campaign(&Plan::load(folder)?, folder, output, &attribution, accepted_flags)? {
                let (n, flagged, left_out, without) = (e.n_runs, e.n_flagged, e.n_left_out, e.n_without_boxes);
                let archive = e.archive.display();
                say(&format!(
                    "{n} recoils ({flagged} flagged; left out: {left_out} for their flags, {without} without boxes): {archive} and its .xml"
                ));
            }
            Ok(())
        }
        (None, Some(a)) => Planned::new(&a.config, a.model.as_deref(), None)?.run(&a.output),
        (None, None) => bail!("name a settings file, or one of plan, run, status, collect and export"),
    }
}

/// A campaign before it is written anywhere.
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    /// File of the potential.
    model: PathBuf,
    /// File of its grades, where they are looked at.
    grade: Option<PathBuf>,
}

impl Planned {
    /// The campaign of a settings file; `seed` replaces the one in the file.
    pub(crate) fn new(config: &Path, model: Option<&Path>, seed: Option<u64>) -> Result<Self> {
        let mut settings: CampaignSettings = config::load(config)?;
        settings.seed = seed.unwrap_or(settings.seed);
        settings.validate(&config.display().to_string())?;
        let folder = config.parent().unwrap_or(Path::new("."));
        let path = match (model, &settings.model) {
            (Some(path), _) => path.to_owned(),
            (None, Some(path)) => folder.join(path),
            (None, None) => bail!("no potential: name one with --model, or as `model` in {}", config.display()),
        };
        let model = Model::load(&path)?;
        let potential = LinearPotential::new(&model)?;
        let crystal = read_structure(&folder.join(&settings.crystal))?.atoms;
        let grade = settings.extrapolation.as_ref().map(|e| match &e.grade {
            Some(file) => folder.join(file),
            None => path.with_extension("grade"),
        });
        if let Some(grade) = &grade {
            super::evaluate::load_grades(&model, grade).with_context(|| {
            format!(
                "[extrapolation] in {} needs the grades that knockon fit writes beside the model: name their file there as \
                 `grade`, or take [extrapolation] out",
                config.display()
            )
        })?;
        }
        let plan = Plan::new(&potential, &model.hash(), &crystal, &settings)?;
        Ok(Self { plan, model: path, grade })
    }

    /// Writes the plan, and the potential beside it: the folder is then all that a worker needs.
    fn write(self, output: &Path) -> Result<Plan> {
        let plan = self.plan.write(output)?;
        plan.settings.warnings(plan.n_atoms()).iter().for_each(|text| say(text));
        write_atomically(&output.join("potential.model"), read_text(&self.model)?.as_bytes())?;
        if let Some(grade) = &self.grade {
            write_atomically(&output.join("potential.grade"), read_text(grade)?.as_bytes())?;
        }
        Ok(plan)
    }

    /// Writes, runs and collects the campaign. Fails after that if recoils failed.
    pub(crate) fn run(self, output: &Path) -> Result<()> {
        let plan = self.write(output)?;
        let all: Vec<usize> = (0..plan.runs.len()).collect();
        let outcome = work(&plan, &all, output, false)?;
        if outcome.elsewhere > 0 {
            bail!(
                "other processes are at {} of the recoils; run `knockon campaign run {}` when they are done",
                outcome.elsewhere,
                output.display()
            );
        }
        collect(output, &output.join("recoils.csv"))?;
        ensure_none_failed(&outcome)
    }
}

fn run_part(arguments: &RunArguments) -> Result<()> {
    let folder = &arguments.folder;
    let plan = Plan::load(folder)?;
    let wanted = |run: &usize| match (arguments.index, arguments.runs, arguments.shard) {
        (Some(index), ..) => *run == index,
        (_, Some((from, to)), _) => (from..=to).contains(run),
        (.., Some((shard, shards))) => run % shards == shard - 1,
        _ => true,
    };
    let numbers: Vec<usize> = (0..plan.runs.len()).filter(wanted).collect();
    if let (true, Some((shard, shards))) = (numbers.is_empty(), arguments.shard) {
        say(&format!("nothing to do for part {shard} of {shards}: there are {} recoils", plan.runs.len()));
        return Ok(());
    }
    if numbers.is_empty() {
        bail!("no such recoils; {} lists those from 0 to {}", folder.join("plan.csv").display(), plan.runs.len() - 1);
    }
    if arguments.retry_failed {
        forget_failures(&plan, &numbers, folder)?;
    }
    if arguments.starts_only {
        return with_worker(&plan, folder, false, |worker| make_starts(worker, &plan, folder));
    }
    let o = work(&plan, &numbers, folder, arguments.wait)?;
    say(&format!("{} done before, {} now, {} failed, {} left to others", o.resumed, o.done, o.failed, o.elsewhere));
    ensure_none_failed(&o)
}

fn ensure_none_failed(outcome: &RunOutcome) -> Result<()> {
    if outcome.failed > 0 {
        bail!(
            "{} recoils failed: `knockon campaign status` says why, `run --retry-failed` tries them again",
            outcome.failed
        );
    }
    Ok(())
}

fn work(plan: &Plan, numbers: &[usize], folder: &Path, waits: bool) -> Result<RunOutcome> {
    with_worker(plan, folder, waits, |worker| run_campaign(worker, plan, numbers, folder))
}

/// Loads the potential of a plan and does something with it that signals may stop.
fn with_worker<T>(
    plan: &Plan,
    folder: &Path,
    waits: bool,
    act: impl FnOnce(&Worker<'_>) -> Result<T, knockon::Error>,
) -> Result<T> {
    let path = folder.join("potential.model");
    if !path.exists() {
        bail!(
            "{}: expected the potential of the plan, {}, found no such file. `knockon campaign plan SETTINGS -o {}` with the \
             settings of the plan puts it back and keeps what is done",
            path.display(),
            plan.model_hash,
            folder.display()
        );
    }
    let model = Model::load(&path)?;
    if model.hash() != plan.model_hash {
        bail!("{} is not the potential of the plan; plan the campaign in another folder", path.display());
    }
    let potential = LinearPotential::new(&model)?;
    warn_of_failing(&model);
    let grades = plan.settings.extrapolation.as_ref().map(|_| folder.join("potential.grade"));
    let extrapolation = grades.map(|path| super::evaluate::load_grades(&model, &path)).transpose()?;
    let _listening = signals::listen()?;
    let progress = Bar::new("simulated time (fs)");
    let (program, commit) = (crate::PROGRAM, crate::COMMIT);
    let extrapolation = extrapolation.as_ref();
    Ok(act(&Worker { potential: &potential, extrapolation, program, commit, waits, progress: &progress })?)
}

fn status(folder: &Path) -> Result<()> {
    let s = campaign_status(&Plan::load(folder)?, folder)?;
    let open = s.n_runs - s.done - s.failed.len() - s.running;
    let left = s.time_left_s.map_or("unknown before the first is done or has a checkpoint".to_owned(), |t| {
        format!("{:.0} min with {} at a time", t / 60.0, s.running.max(1))
    });
    outln!(
        "recoils    {}\nstarts     {}\ndone       {} ({} flagged)\nrunning    {}\nfailed     {}\nopen       {open} ({} begun)\n\
         time left  {left}",
        s.n_runs,
        about_starts(&s),
        s.done,
        s.flagged,
        s.running,
        s.failed.len(),
        s.interrupted
    );
    about_ungraded(s.ungraded).iter().for_each(|text| outln!("{text}"));
    for (run, underway) in &s.underway {
        let (percent, hours) = (100.0 * underway.part_done, underway.wall_time_s / 3600.0);
        outln!("recoil {run}: {percent:.0} % of its time simulated in {hours:.1} h (last checkpoint)");
    }
    s.failed.iter().for_each(|(run, reason)| outln!("recoil {run} failed: {reason}"));
    Ok(())
}

/// The thermalised starts, which come before all recoils.
fn about_starts(s: &CampaignStatus) -> String {
    let made = format!("{} of {}", s.starts_done, s.n_starts);
    if s.starts_done == s.n_starts {
        return made;
    }
    let state = match (s.is_thermalizing, s.thermalization) {
        (true, _) => ", being made",
        (false, Some(_)) => ", nobody is at them",
        (false, None) => "",
    };
    let far = s.thermalization.map_or(String::new(), |underway| {
        let (percent, hours) = (100.0 * underway.part_done, underway.wall_time_s / 3600.0);
        format!(": {percent:.0} % of the thermalisation simulated in {hours:.1} h (last checkpoint)")
    });
    format!("{made}{state}{far}")
}

/// Files of a campaign that no table may take the place of.
const OF_CAMPAIGN: [&str; 5] = ["plan.json", "plan.csv", "campaign.json", "potential.model", "potential.grade"];

fn collect(folder: &Path, table: &Path) -> Result<()> {
    refuse_overwriting(&OF_CAMPAIGN.map(|name| folder.join(name)), table)?;
    let summary = collect_campaign(&Plan::load(folder)?, folder, table)
        .with_context(|| format!("cannot collect the recoils of {}", folder.display()))?;
    say(&format!(
        "{} of {} recoils ({} flagged; {} failed and left out): {}",
        summary.n_done,
        summary.n_runs,
        summary.n_flagged,
        summary.n_failed,
        table.display()
    ));
    about_ungraded(summary.n_ungraded).iter().for_each(|text| say(text));
    about_directions(&summary).iter().for_each(|text| say(text));
    Ok(())
}

/// Weights in the table are those of all directions of the plan, done or not.
fn about_directions(summary: &CampaignSummary) -> Option<String> {
    let n_directions = summary.n_directions;
    let at = |(energy_ev, n_covered): &(f64, usize)| format!("{n_covered} at {energy_ev} eV");
    let covered: Vec<String> = summary.partly_covered.iter().map(at).collect();
    (!covered.is_empty()).then(|| {
        format!(
            "of the {n_directions} directions of the plan only these numbers have recoils: {}. Weights are those of all, so \
             that means over directions change until `knockon campaign run` has done the others",
            covered.join(", ")
        )
    })
}

/// Recoils that nobody graded are not clean for lack of a flag.
fn about_ungraded(n_recoils: usize) -> Option<String> {
    (n_recoils > 0).then(|| {
        format!(
            "extrapolation grades of {n_recoils} recoils were not looked at: no flag says whether these left the training \
             data. With [extrapolation] in the settings, recoils of a campaign in another folder are graded"
        )
    })
}

/// Cascades are never run silently with a potential that failed its checks.
pub(crate) fn warn_of_failing(model: &Model) {
    if let Some(failed) = knockon::checks::failed(model) {
        say(&format!("WARNING: the potential {} fails: {failed}", model.name));
    }
    if model.pair.is_none() {
        say(&format!(
            "WARNING: the potential {} has no screened nuclear repulsion (ZBL): atoms that collide may fall into each other",
            model.name
        ));
    }
}

fn pair(text: &str, separator: char) -> Option<(usize, usize)> {
    let (a, b) = text.split_once(separator)?;
    Some((a.trim().parse().ok()?, b.trim().parse().ok()?))
}

fn parse_runs(text: &str) -> Result<(usize, usize), String> {
    let found = pair(text, '-').filter(|(from, to)| from <= to);
    found.ok_or_else(|| format!("expected two numbers such as 10-20, found {text}"))
}

fn parse_shard(text: &str) -> Result<(usize, usize), String> {
    let found = pair(text, '/').filter(|(shard, shards)| (1..=*shards).contains(shard));
    found.ok_or_else(|| format!("expected a part such as 1/4, from 1/4 to 4/4, found {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use knockon::cascade::Underway;

    #[test]
    fn parts_are_read_or_refused() {
        assert_eq!((parse_runs("10-20"), parse_shard("4/4")), (Ok((10, 20)), Ok((4, 4))));
        assert!(parse_runs("20-10").is_err() && parse_runs("3").is_err());
        assert!(parse_shard("0/4").is_err() && parse_shard("5/4").is_err() && parse_shard("1/0").is_err());
    }

    #[test]
    fn the_thermalisation_is_part_of_the_status() {
        let mut status = CampaignStatus { n_starts: 10, ..CampaignStatus::default() };
        assert_eq!(about_starts(&status), "0 of 10");
        status.is_thermalizing = true;
        assert_eq!(about_starts(&status), "0 of 10, being made");
        status.thermalization = Some(Underway { wall_time_s: 720.0, part_done: 0.35 });
        let expected = "0 of 10, being made: 35 % of the thermalisation simulated in 0.2 h (last checkpoint)";
        assert_eq!(about_starts(&status), expected);
        status.is_thermalizing = false;
        assert!(about_starts(&status).starts_with("0 of 10, nobody is at them: 35 %"));
        status.starts_done = 10;
        assert_eq!(about_starts(&status), "10 of 10");
    }

    #[test]
    fn directions_without_recoils_are_named() {
        let mut summary = CampaignSummary {
            n_runs: 24,
            n_done: 12,
            n_flagged: 0,
            n_ungraded: 0,
            n_failed: 0,
            n_directions: 8,
            partly_covered: vec![],
        };
        assert_eq!(about_directions(&summary), None);
        summary.partly_covered = vec![(20.0, 4), (112.5, 7)];
        let text = about_directions(&summary).unwrap_or_default();
        assert!(text.starts_with("of the 8 directions") && text.contains("4 at 20 eV, 7 at 112.5 eV"), "{text}");
    }
}
