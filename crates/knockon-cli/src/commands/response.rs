//! `knockon response`.

use crate::{config, progress};
use anyhow::Result;
use knockon::io::{content_hash, read_text, write_atomically};
use knockon::response::{self, PUBLISHED_MEANS, Recoil, Response, ResponseMatrix, Settings};
use knockon::spectra::parse_energies;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What `--help` says below the options.
const HELP: &str = "\
Reads recoils.csv of a campaign, gives every energy's defect probability, mean and spread of the
stored energies (weighted by solid angle, with bootstrap intervals), and fits the continuous
response: a Fermi function for the defect probability, and a family of distributions with mean and
width as polynomials in the recoil energy. What the campaign does not fix is filled with the
numbers printed in the paper or with assumptions; response.json says which is which.
Without --campaign: the response of the printed numbers alone.

Writes response.json and stored_energy.csv into the output folder.

Settings and their default values:
  species = \"W\"               recoiling species
  shape = \"gaussian\"          distributions of the non-zero stored energies; or
                              \"asymmetric-gaussian\", \"gamma\"
  order = 1                   or 2: order of the polynomials
  zero_threshold_ev = 0.5     stored energies below it count as zero
  accepted_flags = []         flags that do not keep a run out of the statistics
  minimum_nonzero = 4         non-zero stored energies that an energy needs to be fitted
  replicates = 200, seed = 1  bootstrap

Example:
  knockon response examples/cawo4/laptop/response.toml --campaign knockon-out/campaign
  knockon response --matrix paper.csv                # the printed numbers as a table";

/// Arguments of `knockon response`.
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Arguments {
    /// Settings (TOML), see below.
    #[arg(value_name = "SETTINGS")]
    pub(crate) settings: Option<PathBuf>,
    /// Folder that `knockon campaign` wrote.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) campaign: Option<PathBuf>,
    /// Output folder.
    #[arg(short, long, value_name = "FOLDER", default_value = "knockon-out/response")]
    pub(crate) output: PathBuf,
    /// Also write the response as a table, CSV or JSON by the ending; docs/response-format.md says what is in it.
    #[arg(long, value_name = "FILE")]
    pub(crate) matrix: Option<PathBuf>,
    /// Recoil energies of the table in eV: a list, or start:stop:step with both ends.
    #[arg(long, value_name = "LIST", default_value = "0:500:2")]
    pub(crate) matrix_energies: String,
    /// Width in eV of the table's intervals of stored energy.
    #[arg(long, value_name = "EV", default_value_t = 0.5)]
    pub(crate) matrix_step_ev: f64,
    /// Seed of the bootstrap, instead of that of the settings.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut settings: Settings = arguments.settings.as_deref().map(config::load).transpose()?.unwrap_or_default();
    settings.seed = arguments.seed.unwrap_or(settings.seed);
    settings.validate()?;
    let (response, recoils) = match &arguments.campaign {
        Some(folder) => from_campaign(folder, settings)?,
        None => (Response::from_paper_with(settings)?, Vec::new()),
    };
    write_atomically(&arguments.output.join("stored_energy.csv"), table(&response, &recoils)?.as_bytes())?;
    write_atomically(&arguments.output.join("response.json"), response.to_json()?.as_bytes())?;
    if let Some(file) = &arguments.matrix {
        let energies = parse_energies(&arguments.matrix_energies)?;
        let matrix = ResponseMatrix::from_response(&response, &energies, arguments.matrix_step_ev)?;
        let json = file.extension().is_some_and(|e| e == "json");
        let text = if json { matrix.to_json()? } else { matrix.to_csv() };
        write_atomically(file, text.as_bytes())?;
        progress::say(&format!("wrote {}", file.display()));
    }
    progress::say(&response.caption());
    progress::say(&format!("wrote {}", arguments.output.join("response.json").display()));
    Ok(())
}

fn from_campaign(folder: &Path, settings: Settings) -> Result<(Response, Vec<Recoil>)> {
    let path = folder.join("recoils.csv");
    let text = read_text(&path)?;
    let recoils = response::parse_recoils(&text, &path.display().to_string())?;
    Ok((Response::from_recoils(&recoils, &content_hash(text.as_bytes()), settings)?, recoils))
}

/// `stored_energy.csv`: one row per campaign energy, then the means printed in the paper. Unknown numbers are empty.
fn table(response: &Response, recoils: &[Recoil]) -> Result<String> {
    let settings = &response.settings;
    let samples = response::group(recoils, &settings.species, settings.zero_threshold_ev, &settings.accepted_flags);
    let mut text = format!("# response: {} ({})\n", response.name, response.content_hash()?);
    if let Some(campaign) = &response.campaign {
        writeln!(text, "# model_hash: {}\n# recoils_hash: {}", campaign.model_hash, campaign.recoils_hash)?;
        writeln!(text, "# cascades: {} used, {} flagged", campaign.n_cascades, campaign.n_flagged)?;
    }
    writeln!(text, "# low, high: 16 % and 84 % quantiles of a bootstrap over directions")?;
    writeln!(text, "# stored energies below {} eV count as zero", settings.zero_threshold_ev)?;
    text += "recoil_energy_ev,n_runs,n_flagged,defect_probability,defect_probability_low,defect_probability_high,\
             mean_nonzero_stored_energy_ev,mean_nonzero_stored_energy_ev_low,mean_nonzero_stored_energy_ev_high,\
             std_nonzero_stored_energy_ev,std_nonzero_stored_energy_ev_low,std_nonzero_stored_energy_ev_high,source\n";
    for (index, sample) in samples.iter().enumerate() {
        write!(text, "{},{},{}", sample.recoil_energy_ev, sample.runs.len(), sample.n_flagged)?;
        if sample.runs.is_empty() {
            text += ",,,,,,,,,,campaign\n";
            continue;
        }
        let statistics = sample.statistics();
        let [probability, mean, std] = response::bands(&samples, index, settings.replicates, settings.seed);
        let columns = [
            (statistics.defect_probability, probability),
            (statistics.mean_nonzero_ev, mean),
            (statistics.std_nonzero_ev, std),
        ];
        for (value, [low, high]) in columns {
            write!(text, ",{},{},{}", cell(value), cell(low), cell(high))?;
        }
        text += ",campaign\n";
    }
    for (energy, mean, n_runs) in PUBLISHED_MEANS {
        writeln!(text, "{energy},{n_runs},,,,,{mean},,,,,,paper")?;
    }
    Ok(text)
}

/// A number for a CSV cell; empty when it is not known.
fn cell(value: f64) -> String {
    if value.is_finite() { format!("{value:.6}") } else { String::new() }
}
