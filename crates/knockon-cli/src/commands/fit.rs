//! `knockon fit`.

use crate::{config, progress};
use anyhow::Result;
use knockon::checks::{self, Check};
use knockon::fit::{self, Settings, TrainingData};
use knockon::io::write_atomically;
use knockon::potential::LinearPotential;
use std::path::{Path, PathBuf};

/// What `--help` says below the options.
const HELP: &str = "\
Settings; examples/silicon/fit.toml is an annotated example for a crystal of one element,
examples/cawo4/laptop/fit.toml for one of three. docs/new-crystal.md goes through all steps.
  name, data_files      name of the model; labels (extended XYZ), relative to the settings
  reference             id of the ideal crystal in its conventional cell
  leave_out = []        ids of labels that are not used
  sharing               coefficients of central elements: \"shared\", \"per_species\" or \"best\"
  [model]
  species               the elements
  channel_weights       lists with one weight per element: [[1.0]] for one element
  reaches_angstrom      cutoffs; all channels once with each of them
  [model.many_body]     two_j_max, cutoff_angstrom, angle_fraction, self_weight, inner_switch
  [model.pair]          kernels of the two-body functions, and where ZBL takes over
  cutoff_switch = \"quintic\"   in these two and the next: ends without curvature, so that elastic
                        constants do not jump; the default \"cosine\" is that of SNAP and MILADY
  [model.electrostatic] may be left out: charges, and atoms polarised by their fields, for ionic
                        crystals: cutoff_angstrom, damping_per_angstrom, smoothing_per_angstrom,
                        inner_switch, as in examples/cawo4/laptop/fit.toml; with \"quintic\" also
                        dipole_charges_e: charges of the elements, in their order, [2, -2, 6] for
                        Ca, O, W, whose fields induce dipoles that act on each other
  [model.similarity]    may be left out: kernels between environments and some of the data's:
                        references (a number per element), coordinates, width, and passes = 2 or
                        more: fits one after the other, each compares environments by what energies
                        of the one before depend on
  [prior]               what is believed before any data: offset_ev_per_atom, and for labels of
                        several settings offset_per_species_ev
  [prior.pair], [prior.isolated_pair], [prior.many_body]; [prior.electrostatic] and
  [prior.similarity] (energy_ev_per_atom) where the model has them
  [prior.isolated_cluster]  may be left out: clumps of atoms are as repulsive as their pairs
  [cross_validation]    folds, strengths, tolerance
  [[class]]             one for each value of the key cls in the data: name, group, group_keys,
                        energy_ev_per_atom, force_ev_per_angstrom, force_fraction, stress_gpa
  [checks]              may be left out; all keys in it, too
  lattice_angstrom = { a = 5.469, c = 5.469 }     of the relaxed crystal: any of a, b, c
  elastic_gpa = { c11 = 165.7, c44 = 79.6 }       any of c11 to c66, axes of the reference crystal
  highest_frequency_per_cm                        at Gamma
  source                                          where these two come from, for the report
  lattice_tolerance = 0.01, elastic_tolerance = 0.3, elastic_tolerance_gpa = 8,
  frequency_tolerance = 0.1                       relative, but for the one in GPa
  repeat = [2, 2, 1], recoil_repeat = [3, 3, 2]   boxes of molecular dynamics and of recoils, in
                                                  conventional cells
  temperatures_k = [133, 300, 1000], disorder_temperature_k = 6000,
  recoils_per_species = 4, recoil_energy_ev = 160, max_displacement_angstrom = 1

Values to compare with that are not given are those of scheelite where the crystal is CaWO4, else
nothing is compared and the report says \"no reference given\". Stability (elastic constants, modes at
Gamma, repulsion, molecular dynamics, disorder, recoils) is checked in any crystal.

A potential that fails is written all the same. `knockon campaign` and `knockon recoil` warn of it;
`knockon reproduce` stops before its cascades unless told --accept-failing-potential.

Example:
  knockon fit examples/silicon/fit.toml -o OUT/model";

/// Arguments of `knockon fit`.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Settings of the fit (TOML), see below; data files in it are relative to its folder.
    pub(crate) settings: PathBuf,
    /// Folder for NAME.model, NAME.committee, NAME.grade, fit.json, parity.csv, calibration.csv, pair_scans.csv and
    /// checks.json.
    #[arg(short, long, value_name = "DIR", default_value = "knockon-out/model")]
    pub(crate) out: PathBuf,
}

/// Runs the verb. A potential that fails its checks is written and reported as failing; that is no error.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let settings: Settings = config::load(&arguments.settings)?;
    settings.validate(&arguments.settings.display().to_string())?;
    let folder = arguments.settings.parent().unwrap_or(Path::new("."));
    let data = TrainingData::load(&settings, folder)?;

    let bar = progress::Bar::new("Descriptors of the data");
    let mut fit = fit::run(&settings, &data, &bar)?;
    drop(bar);

    let bar = progress::Bar::new("Checks of the potential");
    let potential = LinearPotential::new(&fit.model)?;
    let crystal = &data.configurations[data.reference].atoms;
    let scans = checks::pair_scans(&potential, crystal, &fit.distances, &settings.checks)?;
    let found = checks::check(&potential, crystal, &scans, &settings.checks, &bar);
    drop(bar);
    fit.record_checks(&found);

    let write = |name: &str, text: &str| write_atomically(&arguments.out.join(name), text.as_bytes());
    let model_path = arguments.out.join(format!("{}.model", settings.name));
    fit.model.save(&model_path)?;
    fit.committee.save(&model_path.with_extension("committee"))?;
    fit.grade.save(&model_path.with_extension("grade"))?;
    write("fit.json", &json(&fit.report)?)?;
    write("parity.csv", &fit.parity_csv())?;
    write("calibration.csv", &fit.calibration_csv())?;
    write("pair_scans.csv", &checks::scans_csv(&scans, &fit.hashes()))?;
    write("checks.json", &json(&found)?)?;
    if !progress::is_quiet() {
        print(&fit.report, &found, &model_path);
    }
    Ok(())
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

fn print(report: &fit::Report, found: &[Check], model_path: &Path) {
    outln!("{}\n{}\n", fit::summary(report), checks::summary(found));
    if report.checks_passed {
        outln!("The potential has passed all {} checks: {}", found.len(), model_path.display());
    } else {
        let failed = &report.failed_checks;
        outln!("The potential FAILS {} of {} checks: {}.", failed.len(), found.len(), failed.join(", "));
        outln!(
            "It was written all the same: {}. `knockon campaign` warns of it; `knockon reproduce` stops before its cascades \
             unless told --accept-failing-potential",
            model_path.display()
        );
    }
}
