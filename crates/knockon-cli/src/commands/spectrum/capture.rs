//! `knockon spectrum capture`.

use super::super::outputs::refuse_overwriting;
use super::super::table::{Column, Table};
use super::{Common, RECOILS};
use anyhow::Result;
use clap::ValueEnum;
use knockon::Error;
use knockon::io::read_text;
use knockon::spectra::capture::{self, CURVE_COLUMNS, Capture, Evaluation, Limit, SlowingDown};
use knockon::spectra::materials::Material;
use knockon::spectra::{Curve, capture_rate, parse_energies};
use serde_json::json;
use std::path::Path;

/// Evaluations of the intensities.
#[derive(Clone, Copy, ValueEnum)]
enum KnownEvaluation {
    /// Agrees with the intensities published by CRAB.
    EgafLanl,
    /// IAEA 2007; the line at 112 eV is 1.7 times weaker.
    Egaf,
}

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// W, or a crystal with tungsten: rates are per capture in its tungsten.
    #[arg(long, default_value = "W")]
    target: String,
    /// Source of the intensities of the primary gamma rays.
    #[arg(long, value_enum, default_value = "egaf-lanl")]
    evaluation: KnownEvaluation,
    /// Leave out captures whose first gamma ray is not tabulated.
    #[arg(long)]
    lines_only: bool,
    /// How the nucleus slows down between gamma rays: prompt (momenta add), stopped (energies add), a time constant of its
    /// momentum in fs, or a file with rows time_fs,momentum_share.
    #[arg(long, value_name = "HOW", default_value = "60")]
    slowing_down: String,
    /// Drop captures with a conversion electron: it leaves tens of keV in the crystal.
    #[arg(long)]
    no_conversion_electrons: bool,
    /// Edges in mm of a box of CaWO4: count only captures whose gamma rays all leave it without interacting, and without
    /// conversion electrons. A cube of 0.75 g has 5,5,5.
    #[arg(long, value_name = "X,Y,Z", value_delimiter = ',', num_args = 1)]
    crystal_mm: Option<Vec<f64>>,
    /// Number of captures to simulate.
    #[arg(long, value_name = "N", default_value_t = Capture::default().captures)]
    captures: u64,
    /// Seed of the simulation.
    #[arg(long, value_name = "N", default_value_t = Capture::default().seed)]
    seed: u64,
    #[command(flatten)]
    common: Common,
}

/// Prints or writes the spectrum.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let common = &arguments.common;
    let material = Material::from_formula(&arguments.target)?;
    if !material.composition.iter().any(|(e, _)| e.symbol == "W") {
        let problem = format!("expected a target with tungsten, found \"{}\"", arguments.target);
        return Err(Error::input("target", problem, "Give --target W, CaWO4 or PbWO4: only tungsten has tables").into());
    }
    let source = Capture {
        evaluation: match arguments.evaluation {
            KnownEvaluation::EgafLanl => Evaluation::EgafLanl,
            KnownEvaluation::Egaf => Evaluation::Egaf,
        },
        statistical: !arguments.lines_only,
        slowing_down: slowing_down(&arguments.slowing_down)?,
        drop_conversion_electrons: arguments.no_conversion_electrons,
        crystal_mm: arguments.crystal_mm.as_deref().map(edges).transpose()?,
        captures: arguments.captures,
        seed: arguments.seed,
        resolution_ev: common.resolution_ev,
    };
    if let (SlowingDown::Curve(_), Some(output)) = (&source.slowing_down, &common.output) {
        refuse_overwriting(&[&arguments.slowing_down], output)?;
    }
    let energies = parse_energies(&common.energies)?;
    let rate = capture_rate(&source, &energies)?;
    let mut columns = vec![
        Column::new("energy_ev", energies),
        Column::new("rate_per_ev_per_capture", rate.rate_per_ev_per_capture.clone()),
        Column::new("rate_per_ev_per_capture_error", rate.error_per_ev_per_capture.clone()),
        Column::new("w_rate_per_ev_per_capture", rate.rate_per_ev_per_capture),
        Column::new("w_rate_per_ev_per_capture_error", rate.error_per_ev_per_capture),
        Column::new("w_tabulated_per_ev_per_capture", rate.tabulated_per_ev_per_capture),
    ];
    if source.statistical {
        columns.push(Column::new("w_statistical_per_ev_per_capture", rate.statistical_per_ev_per_capture));
    }
    let notes = vec![
        RECOILS.to_owned(),
        "each rate is the mean over an interval that ends halfway to the neighbouring energies".to_owned(),
        "error: statistical error of the simulated captures; single gamma rays have none".to_owned(),
        "tabulated, statistical: captures whose first gamma ray is tabulated, or drawn from level density and strength \
         functions"
            .to_owned(),
    ];
    let parameters = json!({
        "target": material.formula, "capture": source,
        "primary_lines": capture::primaries(source.evaluation)?.len(),
        "recoils_per_capture": rate.recoils_per_capture, "radiative_widths": capture::radiative_widths()?,
    });
    let title = "neutron capture on natural tungsten: recoils per eV and capture".to_owned();
    Table { title, notes, parameters, columns }.write(common.format, common.output.as_deref())
}

fn slowing_down(text: &str) -> Result<SlowingDown> {
    Ok(match text {
        "prompt" => SlowingDown::Limit(Limit::Prompt),
        "stopped" => SlowingDown::Limit(Limit::Stopped),
        _ => match text.parse() {
            Ok(time_fs) => SlowingDown::TimeFs(time_fs),
            Err(_) if Path::new(text).exists() => {
                SlowingDown::Curve(Curve::parse(&read_text(Path::new(text))?, text, CURVE_COLUMNS)?)
            }
            Err(_) => {
                let problem = format!("expected prompt, stopped, a time in fs or a file, found \"{text}\"");
                return Err(Error::input("slowing_down", problem, "Give e.g. --slowing-down 60").into());
            }
        },
    })
}

fn edges(edges_mm: &[f64]) -> Result<[f64; 3]> {
    let problem = || format!("expected three edges, found {}", edges_mm.len());
    edges_mm.try_into().map_err(|_| Error::input("crystal_mm", problem(), "Give e.g. --crystal-mm 5,5,5").into())
}
