//! `knockon response`.

mod crystal;
mod matrix;
mod tables;

use super::outputs::refuse_overwriting;
use crate::figures::direction_maps::{self, DirectionMap};
use crate::figures::raster;
use crate::{config, progress};
use anyhow::{Context, Result, bail};
use clap::Parser;
use crystal::Crystal;
use glam::{DMat3, DVec3};
use knockon::Species;
use knockon::cascade::CampaignOverview;
use knockon::io::{content_hash, read_structure, read_text, write_atomically};
use knockon::response::{
    self, DirectionStatistics, EnergyLossSettings, RecoilTable, Response, ResponseMatrix, Settings, Tag,
};
use knockon::spectra::{AnyResponse, parse_energies};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What `--help` says below the options.
const HELP: &str = "\
Reads recoils.csv of a campaign, gives every energy's defect probability, mean and spread of the
stored energies (weighted by solid angle, with bootstrap intervals), and fits the continuous
response: a Fermi function for the defect probability, and a family of distributions whose mean and
width are curves in the recoil energy. What a campaign of W in CaWO4 does not fix is filled with the
numbers printed in the paper or with assumptions; response.json says which is which. Campaigns of
other recoils must fix every part: two energies at which some recoils leave defects and some do not,
one with less than half of the highest share of recoils with defects,
and two with enough stored energies. The crystal is that of --crystal or of the campaign.json beside
the table. Without --campaign: the response of the printed numbers alone.

Writes into the output folder: response.json; stored_energy.csv; models.csv, where all combinations
of shape and evolution stand with their scores and with what each would change; directions.csv; and
direction-maps.svg and .png, the sphere of recoil directions.

Several campaigns: tables of one potential are put together (more energies, more starts). The first
potential gives the best numbers, or all together do (pool_potentials); campaigns of others (members of
a committee) widen the bands.

Settings and their default values:
  name = \"campaign\"          what outputs call the response
  species = \"W\"               recoiling species
  shape = \"gaussian\"          distributions of the non-zero stored energies; or
                              \"asymmetric-gaussian\", \"gamma\", \"empirical\"
  evolution = \"line\"          curves of mean and width; or \"parabola\", \"gaussian\",
                              \"power-law\", \"monotone-spline\"
  defect_plateau = true       the defect probability may level off below 1, where Akaike's criterion
                              asks for it
  model_form_spread = true    the bootstrap draws shape and evolution too, among those that
                              held-out cascades do not tell from the best
  pool_potentials = false     the best numbers rest on the recoils of all potentials, a direction's
                              recoils counting alike, instead of those of the first
  zero_threshold_ev = 0.5     stored energies below it count as zero
  accepted_flags = []         flags that do not keep a run out of the statistics
  minimum_nonzero = 4         non-zero stored energies that an energy needs to be fitted
  replicates = 200, seed = 1  bootstrap

Examples:
  knockon response examples/cawo4/laptop/response.toml --campaign knockon-out/campaign
  knockon response S.toml --campaign A --campaign member-1 --campaign member-2
  knockon response S.toml --campaign A --direction 0,0,1 --direction-width-deg 20 -o along-c
  knockon response --matrix paper.npz --matrix-sets 50         # the printed numbers as a table
  knockon response --energy-losses WC_W_energy_loss.dat --species W --matrix wc-w.npz
  knockon response --from-matrix wc-w.npz --matrix wc-w.root   # from one format into another
  knockon response --from-matrix cawo4-w --matrix w.npz        # a response that ships, or a response.json, as a table";

/// Arguments of `knockon response`.
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Arguments {
    /// Settings (TOML), see below.
    #[arg(value_name = "SETTINGS")]
    pub(crate) settings: Option<PathBuf>,
    /// Folder that `knockon campaign` wrote, or its recoils.csv. May be given several times.
    #[arg(long, value_name = "FOLDER-or-FILE")]
    pub(crate) campaign: Vec<PathBuf>,
    /// Output folder [default: knockon-out/response; none with --matrix, which then writes the table only].
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) output: Option<PathBuf>,
    /// Recoils near this direction and its images only (Cartesian, in the frame of the campaign).
    #[arg(long, value_name = "X,Y,Z", allow_hyphen_values = true)]
    pub(crate) direction: Option<String>,
    /// Standard deviation in degrees of the angle from this direction.
    #[arg(long, value_name = "DEGREES", default_value_t = 20.0, requires = "direction")]
    pub(crate) direction_width_deg: f64,
    /// Unit cell of the campaign, where no campaign.json lies beside the table: for the symmetry of the site, and for whether the
    /// paper's numbers hold.
    #[arg(long, value_name = "FILE")]
    pub(crate) crystal: Option<PathBuf>,
    /// Write the response as a table, CSV, JSON, NPZ or ROOT by the ending; see docs/response-format.md.
    #[arg(long, value_name = "FILE")]
    pub(crate) matrix: Option<PathBuf>,
    /// Recoil energies of the table in eV: a list, or start:stop:step; stop itself only where whole steps reach it.
    #[arg(long, value_name = "LIST", default_value = "0:500:2", allow_hyphen_values = true, requires = "matrix")]
    pub(crate) matrix_energies: String,
    /// Width in eV of the table's intervals of stored energy.
    #[arg(long, value_name = "EV", default_value_t = 0.5, requires = "matrix")]
    pub(crate) matrix_step_ev: f64,
    /// Bootstrap sets that the table carries (bands, in a CSV).
    #[arg(long, value_name = "N", default_value_t = 0, requires = "matrix")]
    pub(crate) matrix_sets: usize,
    /// Convert this into --matrix; no response is made. A matrix keeps its grid and its sets; a response.json, or a response that
    /// ships (cawo4-w, paper), is put on the grid of the options above.
    #[arg(long, value_name = "NAME-or-FILE", requires = "matrix", conflicts_with_all = ["campaign", "energy_losses", "direction"])]
    pub(crate) from_matrix: Option<PathBuf>,
    /// Convert this published table of energy losses by direction and energy (elosssim) into --matrix.
    #[arg(long, value_name = "FILE", requires_all = ["matrix", "species"], conflicts_with = "campaign")]
    pub(crate) energy_losses: Option<PathBuf>,
    /// Recoiling species of a table that does not name it.
    #[arg(long, value_name = "SYMBOL")]
    pub(crate) species: Option<String>,
    /// Seed of the bootstrap, instead of that of the settings.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

impl Arguments {
    /// A campaign in a folder with settings, all else as on the command line by default.
    pub(crate) fn of_campaign(settings: &Path, campaign: &Path, output: &Path, seed: Option<u64>) -> Self {
        Self {
            settings: Some(settings.to_owned()),
            campaign: vec![campaign.to_owned()],
            output: Some(output.to_owned()),
            seed,
            ..CommandLine::parse_from(["response"]).arguments
        }
    }

    /// A response as a table on the grid that was asked for.
    fn on_grid(&self, response: &Response) -> Result<ResponseMatrix> {
        let energies = parse_energies(&self.matrix_energies)?;
        let matrix =
            ResponseMatrix::from_response_with_sets(response, &energies, self.matrix_step_ev, self.matrix_sets)?;
        let (difference, energy_ev) = matrix.largest_difference_from(response);
        if difference > COARSE {
            progress::say(&format!(
                "the matrix is coarse: at {energy_ev:.1} eV the probability to store more than some energy is up to {difference:.3} \
                 off the response's. Take a smaller --matrix-step-ev or closer --matrix-energies"
            ));
        }
        Ok(matrix)
    }
}

/// Matrices that are farther than this from their response, in probability, are said to be coarse.
const COARSE: f64 = 0.01;

/// A command line with nothing on it has the defaults.
#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    arguments: Arguments,
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if let Some(matrix) = &arguments.matrix {
        let tables = arguments.campaign.iter().map(|path| table_path(path));
        let files = [&arguments.settings, &arguments.from_matrix, &arguments.energy_losses, &arguments.crystal];
        let inputs: Vec<PathBuf> = files.into_iter().flatten().cloned().chain(tables).collect();
        refuse_overwriting(&inputs, matrix)?;
    }
    let mut settings: Settings = arguments.settings.as_deref().map(config::load).transpose()?.unwrap_or_default();
    settings.seed = arguments.seed.unwrap_or(settings.seed);
    config::checked(settings.validate(), arguments.settings.as_deref())?;
    let tag = arguments.direction.as_deref().map(|d| parse_tag(d, arguments.direction_width_deg)).transpose()?;
    if let Some(table) = converted(arguments, &settings, tag)? {
        return write_matrix(&table, arguments);
    }
    let crystal = Crystal::find(arguments, &settings)?;
    let tables = read_tables(arguments)?;
    let doubts = [doubt_crystal(&tables, &settings.species), doubt_sites(&tables, &settings.species)];
    doubts.iter().flatten().for_each(|doubt| progress::say(doubt));
    let toward: Option<(Tag, &[DMat3])> = match (tag, &crystal) {
        (None, _) => None,
        (Some(_), _) if tables.is_empty() => {
            bail!("--direction: expected --campaign with it, found none. The paper prints no directions")
        }
        (Some(tag), Some(crystal)) => Some((tag, crystal.operations.as_slice())),
        (Some(_), None) => bail!(
            "--direction: expected campaign.json beside the table for the symmetry of the crystal, found none. \
             Give the unit cell with --crystal"
        ),
    };
    let response = match tables.is_empty() {
        true => Response::from_paper_with(settings)?,
        false => Response::from_tables(&tables, settings, toward)?,
    };
    if arguments.matrix.is_some() {
        write_matrix(&arguments.on_grid(&response)?, arguments)?;
    }
    progress::say(&response.caption());
    left_out(&response, &tables)?.iter().for_each(|told| progress::say(told));
    let default = || arguments.matrix.is_none().then(|| PathBuf::from("knockon-out/response"));
    match arguments.output.clone().or_else(default) {
        Some(output) => write_response(&response, &tables, toward, crystal.as_ref(), &output),
        None => Ok(()),
    }
}

/// Writes the response and the tables and maps that show what it rests on.
fn write_response(
    response: &Response,
    tables: &[RecoilTable],
    toward: Option<(Tag, &[DMat3])>,
    crystal: Option<&Crystal>,
    output: &Path,
) -> Result<()> {
    let Settings { species, zero_threshold_ev, accepted_flags, .. } = &response.settings;
    // Tables show what the response rests on; maps show the whole sphere.
    let (used, all) = match tables.is_empty() {
        true => (Vec::new(), Vec::new()),
        false => (
            Response::reference_recoils(tables, &response.settings, toward)?,
            Response::reference_recoils(tables, &response.settings, None)?,
        ),
    };
    let of_paper = tables.iter().all(|t| t.is_of_paper(species));
    let by_direction =
        |recoils: &[response::Recoil]| response::by_direction(recoils, species, *zero_threshold_ev, accepted_flags);
    let write = |name: &str, text: String| write_atomically(&output.join(name), text.as_bytes());
    write("stored_energy.csv", tables::stored_energy(response, &used, of_paper)?)?;
    write("models.csv", tables::models(response)?)?;
    write("directions.csv", tables::directions(response, &by_direction(&used))?)?;
    let statistics = by_direction(&all);
    if let Some(crystal) = crystal.filter(|_| !statistics.is_empty()) {
        let svg = direction_maps::draw(&direction_maps_of(&statistics), &crystal.site_operations, &crystal.axes);
        write_atomically(&output.join("direction-maps.png"), &raster::png(&svg)?)?;
        write("direction-maps.svg", svg)?;
    }
    write("response.json", response.to_json()?)?;
    progress::say(&format!("wrote {}", output.join("response.json").display()));
    Ok(())
}

/// A matrix that comes from another file or from a response that is there already, if that was asked for.
fn converted(arguments: &Arguments, settings: &Settings, tag: Option<Tag>) -> Result<Option<ResponseMatrix>> {
    if let Some(file) = &arguments.from_matrix {
        let matrix = match matrix::read(file, arguments.species.as_deref())? {
            AnyResponse::Matrix(matrix) => *matrix,
            AnyResponse::Curves(response) => arguments.on_grid(&response)?,
        };
        return Ok(Some(matrix));
    }
    let (Some(file), Some(species)) = (&arguments.energy_losses, &arguments.species) else { return Ok(None) };
    let losses = EnergyLossSettings {
        species: species.clone(),
        zero_threshold_ev: settings.zero_threshold_ev,
        step_ev: arguments.matrix_step_ev,
        tag,
        sets: arguments.matrix_sets,
        seed: settings.seed,
    };
    Ok(Some(ResponseMatrix::from_energy_losses(&read_text(file)?, &file.display().to_string(), &losses)?))
}

fn write_matrix(table: &ResponseMatrix, arguments: &Arguments) -> Result<()> {
    let Some(file) = &arguments.matrix else { return Ok(()) };
    matrix::write(table, file)?;
    progress::say(&format!("wrote {}", file.display()));
    Ok(())
}

fn parse_tag(text: &str, width_deg: f64) -> Result<Tag> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|c| c.trim().parse().ok()).collect();
    let Some(&[x, y, z]) = numbers.as_deref() else {
        bail!("--direction: expected three numbers such as 0,0,1, found \"{text}\". Separate them by commas");
    };
    Ok(Tag::new(DVec3::new(x, y, z), width_deg)?)
}

/// The table at a path: `recoils.csv` in a folder, or the file itself.
fn table_path(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("recoils.csv") } else { path.to_owned() }
}

/// A table of unknown crystal, where the paper's numbers may fill gaps.
fn doubt_crystal(tables: &[RecoilTable], species: &str) -> Option<String> {
    let unknown = tables.iter().find(|table| table.crystal.is_none() && table.is_of_paper(species))?;
    Some(format!(
        "{}: no campaign.json beside it says which crystal this is. It is taken for CaWO4, and what its recoils do not fix for that of the \
         paper: give --crystal",
        unknown.name
    ))
}

/// Recoils that did not count for their flags. Near one direction, most are left out anyway.
fn left_out(response: &Response, tables: &[RecoilTable]) -> Result<Option<String>> {
    let Some(campaign) = response.campaign.as_ref().filter(|_| response.tag.is_none()) else { return Ok(None) };
    let all = Response::reference_recoils(tables, &response.settings, None)?;
    let n_all = all.iter().filter(|recoil| recoil.species == response.species).count();
    let n_left_out = n_all.saturating_sub(campaign.n_cascades);
    Ok((n_left_out > 0)
        .then(|| format!("{n_left_out} of {n_all} recoils were left out for flags that are not among accepted_flags")))
}

/// Tables of some of the sites only that an element has.
fn doubt_sites(tables: &[RecoilTable], species: &str) -> Option<String> {
    let n_sites = tables.iter().find_map(|table| table.site)?.n_sites;
    let found: BTreeSet<usize> = tables.iter().filter_map(|table| Some(table.site?.number)).collect();
    (found.len() < n_sites).then(|| {
        let numbers = found.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        format!(
            "only site {numbers} of the {n_sites} of {species} that no symmetry maps onto each other: for a response of all, do a campaign \
             of each (`site` in its settings) and give them all, each with a --campaign of its own"
        )
    })
}

/// The tables of all campaigns, with the crystal that was given or is in the campaign.json beside each.
fn read_tables(arguments: &Arguments) -> Result<Vec<RecoilTable>> {
    let given = arguments.crystal.as_deref().map(read_structure).transpose()?;
    let symbols = |species: &[Species]| species.iter().map(|s| s.symbol().to_owned()).collect::<Vec<_>>();
    let given = given.map(|crystal| symbols(&crystal.atoms.species));
    let read = |path: &PathBuf| -> Result<RecoilTable> {
        let file = table_path(path);
        if path.join("plan.json").exists() && !file.exists() {
            let folder = path.display();
            let found = "expected the table of the campaign, recoils.csv, found none";
            let remedy = format!("Make it: knockon campaign collect {folder} -o {folder}/recoils.csv");
            return Err(knockon::Error::input(folder.to_string(), found, remedy).into());
        }
        let (text, name) = (read_text(&file)?, file.display().to_string());
        let recoils = response::parse_recoils(&text, &name)?;
        if path.is_dir() {
            refuse_old_table(path, recoils.len())?;
        }
        // With a crystal that was given, campaign.json may be one of an earlier version.
        let campaign = match &given {
            Some(_) => campaign_beside(&file).ok().flatten(),
            None => campaign_beside(&file)?,
        };
        let of_campaign = || campaign.as_ref().map(|campaign| symbols(&campaign.unit_cell.species));
        let crystal = given.clone().or_else(of_campaign);
        let site = campaign.as_ref().and_then(|campaign| campaign.site().ok());
        Ok(RecoilTable { hash: content_hash(text.as_bytes()), crystal, site, recoils, name })
    };
    arguments.campaign.iter().map(read).collect()
}

/// Refuses the table of a campaign that has gone on since.
fn refuse_old_table(campaign: &Path, n_recoils: usize) -> Result<()> {
    let Ok(records) = std::fs::read_dir(campaign.join("runs")) else { return Ok(()) };
    let is_record = |name: &str| name.starts_with("run-") && name.ends_with(".json") && !name.ends_with(".failed.json");
    let names = records.flatten().map(|entry| entry.file_name());
    let n_done = names.filter(|name| is_record(&name.to_string_lossy())).count();
    if n_done <= n_recoils {
        return Ok(());
    }
    let folder = campaign.display();
    let problem = format!("expected a table of all {n_done} recoils that are done, found {n_recoils} in recoils.csv");
    let remedy = format!("Make it again: knockon campaign collect {folder}");
    Err(knockon::Error::input(folder.to_string(), problem, remedy).into())
}

/// The campaign.json beside a table, if there is one.
fn campaign_beside(table: &Path) -> Result<Option<CampaignOverview>> {
    CampaignOverview::read_if_there(&table.with_file_name("campaign.json"))
        .context("with --crystal no campaign.json is needed")
}

/// One row of maps for each recoil energy.
fn direction_maps_of(statistics: &[DirectionStatistics]) -> Vec<DirectionMap> {
    let rows = statistics.chunk_by(|a, b| a.recoil_energy_ev == b.recoil_energy_ev);
    rows.map(|row| DirectionMap {
        recoil_energy_ev: row[0].recoil_energy_ev,
        defect_probability: row.iter().map(|d| (d.vector, d.defect_probability)).collect(),
        stored_energy_ev: row.iter().map(|d| (d.vector, d.mean_stored_ev)).collect(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `reproduce` runs is what the command runs.
    #[test]
    fn what_is_not_given_is_as_on_the_command_line() {
        let [settings, campaign, output] = ["s.toml", "c", "o"].map(Path::new);
        let made = Arguments::of_campaign(settings, campaign, output, Some(3));
        assert_eq!((made.settings.as_deref(), &made.campaign[..]), (Some(settings), &[campaign.to_owned()][..]));
        assert_eq!((made.output.as_deref(), made.seed), (Some(output), Some(3)));
        let typed = ["response", "s.toml", "--campaign", "c", "-o", "o"];
        let typed = CommandLine::try_parse_from(typed).expect("a command line").arguments;
        assert_eq!((made.direction_width_deg, made.matrix_step_ev), (typed.direction_width_deg, typed.matrix_step_ev));
        assert_eq!((made.matrix_energies, made.matrix_sets), (typed.matrix_energies, typed.matrix_sets));
    }
}
