//! `knockon correct`.

use super::table::{Column, Format, Table};
use crate::progress;
use anyhow::Result;
use clap::ValueEnum;
use knockon::Error;
use knockon::io::{content_hash, read_text};
use knockon::spectra::detector::{Detector, Resolution, Trigger};
use knockon::spectra::user::{BinnedSpectrum, Content, UserSpectrum, parse_spectrum};
use knockon::spectra::{AnyResponse, DetectedSpectrum, Event, detect, simulate, simulate_binned};
use serde_json::{Value, json};
use std::path::PathBuf;

/// What `--help` says below the options.
const HELP: &str = "\
SPECTRUM is a spectrum of recoil energies in eV:
  - a binned table with a header: energy_low_ev,energy_high_ev or energy_ev (centres), then a value
    (counts, or a rate per energy under any other name), then optionally VALUE_error;
  - columns w_VALUE, ca_VALUE ... beside VALUE: parts by element, as `knockon spectrum` writes them.
    Only the response's element is corrected, the others are seen by the detector as they are;
  - without a header: centre, rate per energy, optionally error;
  - a single column: a list of events, each of which is simulated.
The stored energy is taken off, then come resolution and trigger, in this order. The trigger acts on
the measured energy; give --threshold-width-ev 0 where the resolution already is the trigger's noise.

RESPONSE is a name (cawo4-w: the project's own cascades; paper: the numbers printed in the paper)
or a file: response.json of `knockon response`, or a matrix (docs/response-format.md).

The output has each bin without (uncorrected) and with (corrected) stored energy, their ratio, and
16-84 % bands over the response's bootstrap sets.

Examples:
  knockon spectrum cevns --energies 1:300:1 -o cevns.csv
  knockon correct cevns.csv --response paper --resolution-ev 5 --threshold-ev 20 -o corrected.csv
  knockon correct events.txt --response paper --resolution-ev 5 --seed 1 -o events-corrected.csv";

/// What the values of a spectrum are.
#[derive(Clone, Copy, ValueEnum)]
enum KnownContent {
    /// Counts in each bin.
    Counts,
    /// A rate per energy.
    Density,
}

/// Arguments of `knockon correct`.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// The spectrum or the events, see below.
    spectrum: PathBuf,
    /// Name or file of the response, see below.
    #[arg(long, value_name = "NAME-or-FILE")]
    response: String,
    /// Standard deviation of the measured energy in eV.
    #[arg(long, value_name = "EV", default_value_t = 0.0)]
    resolution_ev: f64,
    /// What this standard deviation grows by, per eV of deposited energy.
    #[arg(long, value_name = "NUMBER", default_value_t = 0.0)]
    resolution_slope: f64,
    /// Measured energy at which the trigger keeps half of the events, in eV.
    #[arg(long, value_name = "EV")]
    threshold_ev: Option<f64>,
    /// Width of the trigger's error function in eV, 0 for a step [default: the resolution at the threshold].
    #[arg(long, value_name = "EV", requires = "threshold_ev")]
    threshold_width_ev: Option<f64>,
    /// Efficiency far above the threshold.
    #[arg(long, value_name = "NUMBER", requires = "threshold_ev", default_value_t = 1.0)]
    plateau: f64,
    /// Table of efficiencies instead of a threshold: lines energy_ev,efficiency.
    #[arg(long, value_name = "FILE", conflicts_with = "threshold_ev")]
    efficiency: Option<PathBuf>,
    /// Column of the table to correct.
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// What the column holds, where its name does not tell.
    #[arg(long, value_enum)]
    content: Option<KnownContent>,
    /// Draw this many events from a binned spectrum instead of folding it.
    #[arg(long, value_name = "N")]
    events: Option<usize>,
    /// Seed of simulated events.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Format of the table.
    #[arg(long, value_enum, default_value = "csv")]
    format: Format,
    /// File to write.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let response = AnyResponse::load(&arguments.response)?;
    let detector = arguments.detector()?;
    let text = read_text(&arguments.spectrum)?;
    let content = arguments.content.map(|c| match c {
        KnownContent::Counts => Content::Counts,
        KnownContent::Density => Content::Density,
    });
    let name = arguments.spectrum.display().to_string();
    let range = response.best().usable_range_ev();
    let spectrum = parse_spectrum(&text, &name, arguments.column.as_deref(), content, range)?;
    let mut parameters = json!({ "spectrum": name, "spectrum_hash": content_hash(text.as_bytes()), "detector": detector,
        "response": describe(&response)? });
    let table = match (&spectrum, arguments.events) {
        (UserSpectrum::Binned(binned), None) => {
            let found = detect(binned, &response, &detector)?;
            parameters["conservation_error"] = json!(found.conservation_error);
            parameters["convergence_error"] = json!(found.convergence_error);
            parameters["internal_bin_ev"] = json!(found.internal_bin_ev);
            folded(binned, found, &response, parameters)
        }
        (UserSpectrum::Binned(binned), Some(number)) => {
            if !(1..=100_000_000).contains(&number) {
                let problem = format!("expected 1 to 100000000 events, found {number}");
                return Err(Error::input("events", problem, "Give another number").into());
            }
            parameters["seed"] = json!(arguments.seed);
            let total: f64 = binned.parts.iter().flat_map(|p| &p.counts).sum();
            parameters["counts_per_event"] = json!(total / number as f64);
            simulated(&simulate_binned(binned, number, &response, &detector, arguments.seed)?, parameters)
        }
        (UserSpectrum::Events(_), Some(_)) => {
            let problem = "expected a binned spectrum to draw events from, found a list of events";
            return Err(Error::input(name, problem, "Leave out --events: each listed event is simulated").into());
        }
        (UserSpectrum::Events(recoils), None) => {
            parameters["seed"] = json!(arguments.seed);
            simulated(&simulate(recoils, &response, &detector, arguments.seed)?, parameters)
        }
    };
    table.write(arguments.format, Some(&arguments.output))?;
    progress::say(&format!("wrote {}", arguments.output.display()));
    Ok(())
}

impl Arguments {
    fn detector(&self) -> Result<Detector> {
        let resolution = Resolution { constant_ev: self.resolution_ev, slope: self.resolution_slope };
        let trigger = match (&self.efficiency, self.threshold_ev) {
            (Some(path), _) => Trigger::parse_table(&read_text(path)?, &path.display().to_string())?,
            (None, Some(threshold_ev)) => resolution.trigger_at(threshold_ev, self.threshold_width_ev, self.plateau),
            (None, None) => Trigger::All,
        };
        let detector = Detector { resolution, trigger };
        detector.validate()?;
        Ok(detector)
    }
}

fn describe(response: &AnyResponse) -> Result<Value> {
    Ok(json!({ "name": response.name(), "species": response.species(), "hash": response.content_hash()?,
        "data_between_ev": response.data_range_ev(), "bootstrap_sets": response.n_bootstrap_sets(),
        "caption": response.caption() }))
}

fn folded(binned: &BinnedSpectrum, found: DetectedSpectrum, response: &AnyResponse, parameters: Value) -> Table {
    let edges = &binned.edges_ev;
    let in_unit = |counts: Vec<f64>| -> Vec<f64> {
        match binned.content {
            Content::Counts => counts,
            Content::Density => counts.iter().zip(edges.windows(2)).map(|(c, e)| c / (e[1] - e[0])).collect(),
        }
    };
    let name = |kind: &str| format!("{kind}_{}", binned.column);
    let mut columns = vec![
        Column::new("energy_low_ev", edges[..edges.len() - 1].to_vec()),
        Column::new("energy_high_ev", edges[1..].to_vec()),
        Column::new("energy_ev", edges.windows(2).map(|e| 0.5 * (e[0] + e[1])).collect()),
        Column { name: name("uncorrected"), values: in_unit(found.before) },
        Column { name: name("corrected"), values: in_unit(found.after) },
    ];
    if let Some(error) = found.after_error {
        columns.push(Column { name: name("corrected") + "_error", values: in_unit(error) });
    }
    let ([low, high], [ratio_low, ratio_high]) = (found.after_band, found.ratio_band);
    columns.push(Column { name: name("corrected") + "_low", values: in_unit(low) });
    columns.push(Column { name: name("corrected") + "_high", values: in_unit(high) });
    columns.push(Column::new("ratio", found.ratio));
    columns.push(Column::new("ratio_low", ratio_low));
    columns.push(Column::new("ratio_high", ratio_high));
    let mut notes = vec![
        "measured energy; uncorrected: resolution and trigger only; corrected: energy stored in defects taken off first"
            .to_owned(),
        match response {
            AnyResponse::Matrix(m) if m.bootstrap.is_empty() => "low, high: nan, this matrix has no bootstrap sets".to_owned(),
            _ => "low, high: 16 % and 84 % quantiles over the response's bootstrap sets".to_owned(),
        },
    ];
    let species = response.species();
    for part in &binned.parts {
        notes.push(match part.species.as_deref() {
            None => format!("all recoils were taken as those of {species}, the response's species"),
            Some(own) if own == species => format!("{own}: corrected"),
            Some(other) => format!("{other}: no response for this species, left uncorrected"),
        });
    }
    let title = "recoil spectrum as a detector sees it, without and with energy stored in defects".to_owned();
    Table { title, notes, parameters, columns }
}

fn simulated(events: &[Event], parameters: Value) -> Table {
    let column = |name: &str, of: fn(&Event) -> f64| Column::new(name, events.iter().map(of).collect());
    let columns = vec![
        column("recoil_energy_ev", |e| e.recoil_ev),
        column("stored_energy_ev", |e| e.stored_ev),
        column("measured_energy_ev", |e| e.measured_ev),
        column("triggered", |e| f64::from(e.triggered)),
    ];
    let notes = vec!["one line an event; triggered: 1 if the trigger kept it".to_owned()];
    Table { title: "simulated events".to_owned(), notes, parameters, columns }
}
