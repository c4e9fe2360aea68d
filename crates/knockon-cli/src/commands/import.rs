//! `knockon import`.

use super::outputs::refuse_overwriting;
use crate::progress::say;
use anyhow::{Result, bail};
use knockon::potential::{LinearPotential, Model, import_milady, import_snap};
use std::path::{Path, PathBuf};

/// Arguments of `knockon import`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  knockon import Fe_LML.pot -o fe.model\n  \
    knockon import W.snapcoeff W.snapparam -o w.model\n  \
    knockon import a.snapcoeff a.snapparam b.snapcoeff b.snapparam -o sum.model\n\n\
    Several SNAP pairs of the same rcutfac, twojmax, rfac0 and inner switch add up, as in LAMMPS' hybrid/overlay; the repulsion of\n    \
    close nuclei (LAMMPS' pair_style zbl) is not in these files and does not come along. Quadratic potentials and SNAP with chemflag 1 are refused.")]
pub(crate) struct Arguments {
    /// One MILADY .pot file (bispectrum SO(4), linear), or LAMMPS .snapcoeff and .snapparam files, in pairs.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The model file to write.
    #[arg(short, long, value_name = "MODEL")]
    output: PathBuf,
    /// Name of the model (default: name of the first file).
    #[arg(long)]
    name: Option<String>,
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let stem = arguments.files[0].file_stem().map(|s| s.to_string_lossy().into_owned());
    let name = arguments.name.clone().or(stem).unwrap_or_default();
    let model = import(&arguments.files, &name)?;
    LinearPotential::new(&model)?;
    refuse_overwriting(&arguments.files, &arguments.output)?;
    model.save(&arguments.output)?;
    let species: Vec<&str> = model.species().iter().map(|s| s.symbol()).collect();
    say(&format!(
        "{}: {}, {} channel(s), cutoff {} A, model {}",
        arguments.output.display(),
        species.join(" "),
        model.n_channels(),
        model.cutoff_angstrom(),
        model.hash()
    ));
    Ok(())
}

fn import(files: &[PathBuf], name: &str) -> Result<Model> {
    let ending = |path: &PathBuf| path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let of =
        |wanted: &str| -> Vec<&Path> { files.iter().filter(|f| ending(f) == wanted).map(PathBuf::as_path).collect() };
    let (pot, coefficients, settings) = (of("pot"), of("snapcoeff"), of("snapparam"));
    if pot.len() + coefficients.len() + settings.len() != files.len() {
        bail!(
            "expected files that end in .pot, .snapcoeff or .snapparam, found others. Give a MILADY or a LAMMPS SNAP potential"
        );
    }
    match (pot.as_slice(), coefficients.len()) {
        ([file], 0) if settings.is_empty() => Ok(import_milady(file, name)?),
        ([], n) if n > 0 && settings.len() == n => {
            let pairs: Vec<(&Path, &Path)> = coefficients.into_iter().zip(settings).collect();
            Ok(import_snap(&pairs, name)?)
        }
        _ => bail!(
            "expected one .pot file or as many .snapcoeff as .snapparam files, found {} .pot, {} .snapcoeff and {} .snapparam. \
             Give the files of one potential",
            pot.len(),
            coefficients.len(),
            settings.len()
        ),
    }
}
