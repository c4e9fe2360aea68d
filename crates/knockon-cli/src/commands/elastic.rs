//! `knockon elastic`.

use super::data::push_aligned;
use super::label::calculator::{Forces, ForcesArguments};
use super::outputs::refuse_overwriting;
use super::relax::{evaluations_file, is_positive, open_guide};
use crate::progress::{Bar, say};
use anyhow::Result;
use knockon::dynamics::QuenchSettings;
use knockon::elasticity::{ElasticConstants, ElasticSettings, bulk_modulus_gpa, elastic_constants, is_stable};
use knockon::io::{Frame, read_structure, write_atomically};
use knockon::units::EV_PER_ANGSTROM3_IN_GPA;
use knockon::{Potential, Species};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Arguments of `knockon elastic`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  knockon elastic data/cawo4/cawo4.xyz --model data/cawo4/cawo4.model -o elastic.json\n  \
    knockon elastic data/cawo4/cawo4.xyz --calculator gpaw --calculator-config examples/cawo4/label.toml \\\n      \
    --guide data/cawo4/cawo4.model -o elastic.json\n\n\
    Constants are those in the lattice of CRYSTAL; for a model's own lattice relax it first (knockon relax --cell). The spread\n\
    says how far elements that symmetry makes equal were found off their average: noise of the stress and atoms that are not\n\
    quite relaxed. It does not see what is symmetric itself, and nothing in cubic crystals: compare with another --strain.\n\
    The matrix that is printed at the end goes into the settings of knockon frenkel, whose corrections then rest on it.\n\n\
    With a calculator, every evaluation is kept beside OUTPUT and becomes a label of the class strain (of elastic.json in\n\
    elastic.evaluations.xyz); the same command started again looks up what was computed and goes on."
)]
pub(crate) struct Arguments {
    /// A cell of the crystal: extended XYZ, POSCAR or LAMMPS data. Atoms are relaxed, its lattice stays as it is.
    crystal: PathBuf,
    #[command(flatten)]
    forces: ForcesArguments,
    /// A model of about the same energies, which shows the way to the calculator.
    #[arg(long, value_name = "MODEL", requires = "calculator")]
    guide: Option<PathBuf>,
    /// JSON file for the constants.
    #[arg(short, long)]
    output: PathBuf,
    /// Strains of the central differences [default: 0.002, with a calculator 0.01].
    #[arg(long)]
    strain: Option<f64>,
    /// Largest force left on an atom, in eV/A [default: 1e-4, with strains below 0.002 as much less, with a calculator 0.02].
    #[arg(long, value_name = "EV_PER_ANGSTROM")]
    max_force: Option<f64>,
    /// Give up on a strained crystal after this many evaluations [default: 5000, with a calculator 60].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_evaluations: Option<u32>,
}

impl Arguments {
    /// A model is exact; the stress of a code is noisy, and evaluations cost minutes.
    fn settings(&self) -> Result<ElasticSettings> {
        let (strain, max_force, max_evaluations): (f64, f64, u32) =
            if self.forces.is_model() { (0.002, 1e-4, 5000) } else { (0.01, 0.02, 60) };
        let strain = self.strain.unwrap_or(strain);
        // Smaller strains make smaller forces, which have to be relaxed all the same.
        let max_force = if self.forces.is_model() { max_force.min(RELAXED * strain) } else { max_force };
        let max_force = self.max_force.unwrap_or(max_force);
        is_positive("--max-force", "eV/A", max_force)?;
        anyhow::ensure!(
            strain > 0.0 && strain <= LARGEST_STRAIN,
            "--strain: expected a number above 0 and up to {LARGEST_STRAIN}, found {strain}. Change it: beyond, crystals are not linear"
        );
        let quench = QuenchSettings {
            max_force_ev_per_angstrom: max_force,
            max_evaluations: self.max_evaluations.unwrap_or(max_evaluations) as usize,
            ..QuenchSettings::default()
        };
        Ok(ElasticSettings { strain, quench })
    }
}

const LARGEST_STRAIN: f64 = 0.05;
/// Forces left, in eV/A, over strain: as small as with the defaults of a model,
const RELAXED: f64 = 0.05;
/// and where constants of CaWO4 begin to be seen on the way to those of atoms that do not relax.
const UNRELAXED: f64 = 0.2;

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let inputs = [Some(arguments.crystal.as_path()), arguments.forces.model_file(), arguments.guide.as_deref()];
    refuse_overwriting(&inputs.into_iter().flatten().collect::<Vec<_>>(), &arguments.output)?;
    let settings = arguments.settings()?;
    let crystal = read_structure(&arguments.crystal)?;
    let species: BTreeSet<Species> = crystal.atoms.species.iter().copied().collect();
    let species: Vec<Species> = species.into_iter().collect();
    let guide = arguments.guide.as_deref().map(|path| open_guide(path, &species)).transpose()?;
    let forces = arguments.forces.open(&evaluations_file(&arguments.output), &species, true)?;
    forces.follow(&parent(&crystal))?;
    let leader = guide.as_ref().map(|(_, potential)| potential as &dyn Potential);
    let bar = Bar::new("strained crystals");
    let found = elastic_constants(forces.potential(), leader, &crystal.atoms, &settings, &bar)?;
    drop(bar);
    let document = document(&crystal, &forces, guide.as_ref().map(|(hash, _)| hash.as_str()), &settings, &found);
    write_atomically(&arguments.output, (serde_json::to_string_pretty(&document)? + "\n").as_bytes())?;
    out!("{}", text(&found));
    doubts(&settings, &found).iter().for_each(|doubt| say(doubt));
    say(&format!("{}", arguments.output.display()));
    Ok(())
}

/// What speaks against the constants.
fn doubts(settings: &ElasticSettings, found: &ElasticConstants) -> Vec<String> {
    let (force, strain) = (settings.quench.max_force_ev_per_angstrom, settings.strain);
    let is_relaxed = force <= UNRELAXED * strain;
    let relaxed = (!is_relaxed).then(|| {
        format!(
            "forces of {force:e} eV/A were left at strains of {strain:e}: some of what strain does to the atoms may be among them, which \
             makes the crystal look stiffer. Compare with a smaller --max-force or a larger --strain"
        )
    });
    let stable =
        (!is_stable(&found.gpa)).then(|| "the matrix is not positive definite: this crystal is not stable".to_owned());
    relaxed.into_iter().chain(stable).collect()
}

/// What labels of strained crystals have their keys from.
fn parent(crystal: &Frame) -> Frame {
    let mut parent = Frame::new(crystal.atoms.clone());
    parent.info.set("id", crystal.info.get("id").unwrap_or("crystal"));
    parent.info.set("cls", "strain");
    parent
}

fn document(
    crystal: &Frame,
    forces: &Forces,
    guide: Option<&str>,
    settings: &ElasticSettings,
    found: &ElasticConstants,
) -> Value {
    let mut source = Frame::new(crystal.atoms.clone());
    forces.stamp(&mut source);
    let source: serde_json::Map<String, Value> =
        source.info.iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    let v = crystal.atoms.cell.vectors;
    json!({
        "elastic_constants_gpa": found.gpa,
        "order": ["xx", "yy", "zz", "yz", "xz", "xy"],
        "spread_gpa": found.spread_gpa,
        "bulk_modulus_gpa": bulk_modulus_gpa(&found.gpa),
        "stress_gpa": found.stress_ev_per_angstrom3.map(|s| s * EV_PER_ANGSTROM3_IN_GPA),
        "cell_angstrom": [v.x_axis.to_array(), v.y_axis.to_array(), v.z_axis.to_array()],
        "n_atoms": crystal.atoms.len(),
        "space_group_number": found.space_group_number,
        "strain": settings.strain,
        "max_force_ev_per_angstrom": settings.quench.max_force_ev_per_angstrom,
        "n_strained": found.n_strained,
        "forces": source,
        "guide": guide,
        "program": crate::PROGRAM,
        "commit": crate::COMMIT,
    })
}

fn text(found: &ElasticConstants) -> String {
    const ORDER: [&str; 6] = ["xx", "yy", "zz", "yz", "xz", "xy"];
    // Zero has no sign.
    let number = |x: f64, unit: f64| (x / unit).round() * unit + 0.0;
    let mut rows = vec![std::iter::once("GPa").chain(ORDER).map(str::to_owned).collect::<Vec<_>>()];
    for (name, row) in ORDER.iter().zip(&found.gpa) {
        rows.push(
            std::iter::once((*name).to_owned()).chain(row.iter().map(|x| format!("{:.1}", number(*x, 0.1)))).collect(),
        );
    }
    let mut text = String::new();
    push_aligned(&mut text, &rows);
    let bulk = bulk_modulus_gpa(&found.gpa).map(|k| format!("{k:.1} GPa")).unwrap_or_default();
    let pressure = -found.stress_ev_per_angstrom3[..3].iter().sum::<f64>() / 3.0 * EV_PER_ANGSTROM3_IN_GPA;
    let matrix =
        found.gpa.map(|row| format!("[{}]", row.map(|x| format!("{:.2}", number(x, 0.01))).join(", "))).join(", ");
    text += &format!(
        "spread {:.1} GPa; bulk modulus {bulk}; pressure of the crystal as given {pressure:+.2} GPa; space group {}, {} strained \
         crystals\nelastic_constants_gpa = [{matrix}]\n",
        found.spread_gpa, found.space_group_number, found.n_strained
    );
    text
}
