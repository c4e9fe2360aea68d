//! `knockon data`.

use super::outputs::refuse_overwriting;
use crate::progress::say;
use anyhow::Result;
use knockon::dataset::{DataSet, Range, Summary, SummarySettings, summarise};
use knockon::io::{LabelKeys, csv_field, write_atomically};
use std::fmt::Write;
use std::path::PathBuf;

/// Pairs of duplicates that are listed.
const SHOWN_DUPLICATES: usize = 20;

/// Arguments of `knockon data`.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  knockon data data/cawo4/cawo4_pbe.xyz --csv configurations.csv\n  \
    knockon data import run1/vasprun.xml run2/OUTCAR -o labels.xyz"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    task: Option<Task>,
    /// Labelled configurations (extended XYZ: energy in eV, forces in eV/A, stress in eV/A^3).
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write the whole summary to this JSON file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write one row per configuration to this CSV file.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Info key that holds the class of a configuration.
    #[arg(long, value_name = "KEY", default_value = "cls")]
    class_key: String,
    /// Info keys that must agree for energies to be comparable.
    #[arg(long, value_name = "KEY,...", value_delimiter = ',', default_value = "xc,ecut,code")]
    settings_keys: Vec<String>,
    /// Configurations are duplicates if all atoms agree within this distance in angstrom.
    #[arg(long, value_name = "ANGSTROM", default_value_t = 0.001)]
    tolerance: f64,
    #[command(flatten)]
    labels: LabelArguments,
}

/// What else can be done with data.
#[derive(clap::Subcommand)]
enum Task {
    /// Collect labels from the output of first-principles codes.
    Import(super::import_labels::Arguments),
}

/// Where labels are, if not under their customary names.
#[derive(clap::Args)]
pub(crate) struct LabelArguments {
    /// Info key of the energy, e.g. free_energy (default: energy, REF_energy, dft_energy and the like).
    #[arg(long, value_name = "KEY")]
    energy_key: Option<String>,
    /// Column of the forces (default: forces, REF_forces, dft_forces and the like).
    #[arg(long, value_name = "COLUMN")]
    forces_key: Option<String>,
    /// Info key of the stress (default: stress or virial, also with REF_ and dft_).
    #[arg(long, value_name = "KEY")]
    stress_key: Option<String>,
}

impl LabelArguments {
    pub(crate) fn keys(&self) -> LabelKeys {
        LabelKeys { energy: self.energy_key.clone(), forces: self.forces_key.clone(), stress: self.stress_key.clone() }
    }
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if let Some(Task::Import(arguments)) = &arguments.task {
        return super::import_labels::run(arguments);
    }
    for output in arguments.json.iter().chain(&arguments.csv) {
        refuse_overwriting(&arguments.files, output)?;
    }
    let data = DataSet::load(&arguments.files, &arguments.labels.keys())?;
    let settings = SummarySettings {
        class_key: arguments.class_key.clone(),
        settings_keys: arguments.settings_keys.clone(),
        duplicate_tolerance_angstrom: arguments.tolerance,
        ..SummarySettings::default()
    };
    let summary = summarise(&data, &settings);
    if let Some(path) = &arguments.json {
        write_atomically(path, serde_json::to_string_pretty(&summary)?.as_bytes())?;
    }
    if let Some(path) = &arguments.csv {
        write_atomically(path, csv(&summary).as_bytes())?;
    }
    out!("{}", table(&summary));
    for warning in &summary.warnings {
        say(&format!("warning: {warning}"));
    }
    Ok(())
}

fn table(summary: &Summary) -> String {
    let mut text = format!(
        "{} configurations, {} atoms, data {}\n\n",
        summary.n_configurations, summary.n_atoms, summary.data_hash
    );
    for (title, groups) in [("class", &summary.classes), ("kind of cell", &summary.cells)] {
        let mut rows = vec![
            [
                title,
                "number",
                "atoms",
                "energy",
                "largest force",
                "rms force",
                "volume",
                "with stress",
                "shortest distance",
            ]
            .map(str::to_owned),
            ["", "", "", "eV/atom", "eV/A", "eV/A", "A^3/atom", "", "A"].map(str::to_owned),
        ];
        rows.extend(groups.iter().map(|g| {
            [
                g.name.clone(),
                g.n_configurations.to_string(),
                range(Some(g.atoms), 0),
                range(g.energy_ev_per_atom, 4),
                range(g.max_force_ev_per_angstrom, 3),
                number(g.force_rms_ev_per_angstrom, 3),
                range(g.volume_angstrom3_per_atom, 2),
                g.n_with_stress.to_string(),
                number(g.shortest_distance_angstrom, 3),
            ]
        }));
        push_aligned(&mut text, &rows);
    }
    let mut rows = vec![["pair", "shortest distance", "in"].map(str::to_owned), ["", "A", ""].map(str::to_owned)];
    rows.extend(
        summary.shortest_distances.iter().map(|d| {
            [d.pair.clone(), number(d.distance_angstrom, 4), d.configuration.clone().unwrap_or("-".to_owned())]
        }),
    );
    push_aligned(&mut text, &rows);
    for group in &summary.settings {
        let settings: Vec<String> = group.settings.iter().map(|(k, v)| format!("{k} {v}")).collect();
        let _ = writeln!(text, "settings: {} ({} configurations)", settings.join(", "), group.n_configurations);
    }
    let missing = [&summary.without_energy, &summary.without_forces, &summary.without_stress].map(Vec::len);
    let _ =
        writeln!(text, "without energy {}, without forces {}, without stress {}", missing[0], missing[1], missing[2]);
    let _ = writeln!(text, "duplicates: {}", summary.duplicates.len());
    for pair in summary.duplicates.iter().take(SHOWN_DUPLICATES) {
        let energy = number(pair.energy_difference_ev, 6);
        let what = pair.description();
        let _ = writeln!(text, "  {} = {}: {what} (energy differs by {energy} eV)", pair.first, pair.second);
    }
    if let Some(more) = summary.duplicates.len().checked_sub(SHOWN_DUPLICATES).filter(|more| *more > 0) {
        let _ = writeln!(text, "  and {more} more (--json lists all)");
    }
    text
}

/// Columns of equal width; the first column to the left, the others to the right.
pub(crate) fn push_aligned(text: &mut String, rows: &[impl AsRef<[String]>]) {
    let width = |column: usize| rows.iter().map(|row| row.as_ref()[column].chars().count()).max().unwrap_or(0);
    let n_columns = rows.first().map_or(0, |row| row.as_ref().len());
    let widths: Vec<usize> = (0..n_columns).map(width).collect();
    for row in rows.iter().map(AsRef::as_ref) {
        let mut line = format!("{:<w$}", row[0], w = widths[0]);
        for (cell, w) in row.iter().zip(&widths).skip(1) {
            let _ = write!(line, "  {cell:>w$}");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push('\n');
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".to_owned(), |x| format!("{x:.digits$}"))
}

fn range(value: Option<Range>, digits: usize) -> String {
    match value {
        None => "-".to_owned(),
        Some(Range { low, high }) if low == high => format!("{low:.digits$}"),
        Some(Range { low, high }) => format!("{low:.digits$} .. {high:.digits$}"),
    }
}

fn csv(summary: &Summary) -> String {
    let mut text = format!(
        "# data {}\nconfiguration,class,cell,n_atoms,formula,volume_angstrom3_per_atom,energy_ev_per_atom,\
         max_force_ev_per_angstrom,force_rms_ev_per_angstrom,pressure_ev_per_angstrom3,shortest_distance_angstrom\n",
        summary.data_hash
    );
    let field = |value: Option<f64>| value.map_or(String::new(), |x| x.to_string());
    for c in &summary.configurations {
        let numbers = [
            c.volume_angstrom3_per_atom,
            c.energy_ev_per_atom,
            c.max_force_ev_per_angstrom,
            c.force_rms_ev_per_angstrom,
            c.pressure_ev_per_angstrom3,
            c.shortest_distance_angstrom,
        ];
        let [name, class] = [&c.name, &c.class].map(|s| csv_field(s));
        let _ =
            writeln!(text, "{name},{class},{},{},{},{}", c.cell, c.n_atoms, c.formula, numbers.map(field).join(","));
    }
    text
}
