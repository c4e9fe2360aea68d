//! `knockon data import`.

use super::candidate_file::CandidateFile;
use super::data::LabelArguments;
use super::label::environment;
use crate::progress::say;
use anyhow::{Context, Result, bail};
use glam::{BVec3, DMat3, DVec3};
use knockon::io::labels::{Energies, EnergyKind, Labels, Output, Step, choose_energy, labels_of, read_labels};
use knockon::io::{Frame, parse_extxyz, read_text, write_extxyz};
use knockon::{Atoms, Cell, Species};
use serde::Deserialize;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Arguments of `knockon data import`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  knockon data import run1/vasprun.xml run2/OUTCAR -o labels.xyz\n  \
    knockon data import pw.out cp2k.out run.traj -o labels.xyz --class thermal\n  knockon data import DB -o labels.xyz\n\n\
    Read are vasprun.xml and OUTCAR of VASP, the standard output of Quantum ESPRESSO's pw.x and of CP2K (with\n\
    PROJECT-pos-1.xyz beside it, if there are several steps), .poscar files of MILADY or folders of them, extended XYZ, and\n\
    .traj files of GPAW and ASE. The content of a file decides, not its name. Every label keeps all energies that the code\n\
    tells (energy_sigma_0, free_energy, energy_without_entropy); the one that --energy names becomes its energy. Stresses\n\
    become eV/A^3, positive in tension. Beside an output knockon-candidate.xyz, which knockon dft-input writes, gives its labels\n\
    id, class and all other keys, and the order of atoms. Steps that did not converge or are not complete are left out and\n\
    counted, labels without forces are counted.")]
pub(crate) struct Arguments {
    /// Outputs of codes, or folders of .poscar files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The extended XYZ file to write.
    #[arg(short, long, value_name = "OUTPUT")]
    output: PathBuf,
    /// Replace OUTPUT if it exists: the labels in it are lost.
    #[arg(long)]
    overwrite: bool,
    /// Which energy is meant [default: sigma-0; of extended XYZ the one that the file has].
    #[arg(long, value_enum)]
    energy: Option<Energy>,
    /// Class of the labels (info key cls) where the file tells none.
    #[arg(long, value_name = "NAME")]
    class: Option<String>,
    /// A Python that has ASE, for .traj files, instead of one that is installed into the cache.
    #[arg(long, value_name = "PYTHON")]
    python: Option<PathBuf>,
    #[command(flatten)]
    labels: LabelArguments,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Energy {
    /// Extrapolated to zero smearing.
    #[value(name = "sigma-0")]
    Sigma0,
    /// Free energy, of which forces are the derivative.
    Free,
    /// Without the entropy of the occupations.
    WithoutEntropy,
}

impl From<Energy> for EnergyKind {
    fn from(energy: Energy) -> Self {
        match energy {
            Energy::Sigma0 => Self::Sigma0,
            Energy::Free => Self::Free,
            Energy::WithoutEntropy => Self::WithoutEntropy,
        }
    }
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    refuse_to_replace(arguments)?;
    let mut frames = Vec::new();
    let mut names = HashSet::new();
    let mut failures = Vec::new();
    for path in all_files(&arguments.files)? {
        let labels = match read(&path, arguments) {
            Ok(labels) => labels,
            // Of a job that has barely begun, say: the others are not to wait for it.
            Err(error) => {
                say(&format!("{}: left out", path.display()));
                failures.push(format!("{error:#}"));
                continue;
            }
        };
        let remarks = [
            (labels.unconverged, "unconverged left out"),
            (labels.incomplete, "incomplete left out"),
            (labels.predicted, "of a learned force field left out"),
            (labels.frames.iter().filter(|f| f.forces.is_none()).count(), "without forces"),
        ];
        let mut remarks: String = remarks.iter().filter(|r| r.0 > 0).map(|(n, what)| format!(", {n} {what}")).collect();
        if labels.frames.is_empty() && remarks.is_empty() {
            remarks = ": no step with an energy or forces (a calculation of bands, or one that has just begun?)".into();
        }
        say(&format!("{}: {} labels{remarks}", path.display(), labels.frames.len()));
        for (index, mut frame) in labels.frames.into_iter().enumerate() {
            let wanted = frame.info.get("id").map_or_else(|| format!("{}-{index}", stem(&path)), str::to_owned);
            let mut id = wanted.clone();
            for number in 2.. {
                if names.insert(id.clone()) {
                    break;
                }
                id = format!("{wanted}-{number}");
            }
            frame.info.set("id", id);
            if let Some(class) = arguments.class.as_ref().filter(|_| frame.info.get("cls").is_none()) {
                frame.info.set("cls", class);
            }
            frames.push(frame);
        }
    }
    let failed = failures.join("\n");
    if frames.is_empty() {
        bail!(
            "expected at least one converged configuration with labels, found none. Look at the messages above\n{failed}"
        );
    }
    write_extxyz(&arguments.output, &frames)?;
    say(&format!("{}: {} labels", arguments.output.display(), frames.len()));
    if !failures.is_empty() {
        bail!(
            "{} files could not be read; {} has the labels of the others:\n{failed}",
            failures.len(),
            arguments.output.display()
        );
    }
    Ok(())
}

/// Labels are too dear to be replaced by accident.
fn refuse_to_replace(arguments: &Arguments) -> Result<()> {
    let output = &arguments.output;
    if !arguments.overwrite && std::fs::metadata(output).is_ok_and(|file| file.len() > 0) {
        bail!(
            "{}: expected no such file yet, found one, whose labels would be lost. Choose another -o (knockon fit takes several \
             data_files), or say --overwrite",
            output.display()
        );
    }
    Ok(())
}

/// Folders become the output of the run in them, else their .poscar files, by name.
fn all_files(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in given {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unreadable = || format!("cannot read {}", path.display());
        let entries = std::fs::read_dir(path).with_context(unreadable)?;
        let found = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<PathBuf>, _>>();
        let mut found = found.with_context(unreadable)?;
        if let Some(output) = RUN_OUTPUTS.iter().map(|name| path.join(name)).find(|output| found.contains(output)) {
            files.push(output);
            continue;
        }
        found.retain(|file| ending(file) == "poscar");
        found.sort();
        if found.is_empty() {
            bail!(
                "{}: expected {} or .poscar files in this folder, found none. Name the files to read, for example {}/*/vasprun.xml",
                path.display(),
                RUN_OUTPUTS.join(", "),
                path.display()
            );
        }
        files.extend(found);
    }
    Ok(files)
}

/// What a folder of VASP holds, the better one first.
const RUN_OUTPUTS: [&str; 2] = ["vasprun.xml", "OUTCAR"];

fn ending(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

/// Folder and name of a file, for ids: many codes write files of always the same name.
fn stem(path: &Path) -> String {
    let text = |name: Option<&std::ffi::OsStr>| name.map(|n| n.to_string_lossy().into_owned());
    // What stands behind other dots belongs to the name: OUTCAR.first, OUTCAR.second.
    let is_usual =
        ["xml", "traj", "db", "out", "pwo", "log", "xyz", "extxyz", "poscar"].contains(&ending(path).as_str());
    let name = text(if is_usual { path.file_stem() } else { path.file_name() }).unwrap_or_default();
    match text(path.parent().and_then(Path::file_name)) {
        Some(folder) => format!("{folder}-{name}"),
        None => name,
    }
}

/// The labels in a file, with the keys of the candidate beside it.
fn read(path: &Path, arguments: &Arguments) -> Result<Labels> {
    let mut labels = read_as_written(path, arguments)?;
    if !is_extxyz(path)
        && let Some(candidate) = CandidateFile::beside(path)?
    {
        labels.frames = candidate.carry_over(labels.frames, path)?;
    }
    Ok(labels)
}

fn is_extxyz(path: &Path) -> bool {
    ["xyz", "extxyz"].contains(&ending(path).as_str())
}

fn read_as_written(path: &Path, arguments: &Arguments) -> Result<Labels> {
    let kind = arguments.energy.map_or(EnergyKind::Sigma0, EnergyKind::from);
    let place = path.display().to_string();
    if is_extxyz(path) {
        let mut frames = parse_extxyz(&read_text(path)?, &place, &arguments.labels.keys())?;
        if arguments.energy.is_some() {
            for (index, frame) in frames.iter_mut().enumerate() {
                choose_energy(frame, kind, &format!("{place}, configuration {}", index + 1))?;
            }
        }
        let total = frames.len();
        let labelled: Vec<Frame> = frames.into_iter().filter(|f| f.energy_ev.is_some() || f.forces.is_some()).collect();
        return Ok(Labels { incomplete: total - labelled.len(), frames: labelled, ..Labels::default() });
    }
    if ["traj", "db"].contains(&ending(path).as_str()) {
        return Ok(labels_of(read_with_ase(path, arguments.python.as_deref())?, kind, &place)?);
    }
    if ["gz", "xz", "bz2", "zip", "zst", "lzma"].contains(&ending(path).as_str()) {
        bail!("{place}: expected the output of a code, found a compressed file. Unpack it first");
    }
    read_labels(path, kind)?.with_context(|| {
        format!(
            "{place}: expected output of VASP, Quantum ESPRESSO, CP2K, MILADY or GPAW, or extended XYZ, found something else. \
             Convert it to extended XYZ, for example with ASE"
        )
    })
}

/// What `companion/trajectory.py` prints.
#[derive(Deserialize)]
struct AseFrame {
    symbols: Vec<String>,
    cell: [f64; 9],
    pbc: [bool; 3],
    positions: Vec<[f64; 3]>,
    energy: Option<f64>,
    free_energy: Option<f64>,
    forces: Option<Vec<[f64; 3]>>,
    stress: Option<[f64; 6]>,
    calculator: Option<String>,
}

/// Calculators write results when they have converged; the one for VASP also when it has not, which is said.
fn read_with_ase(path: &Path, python: Option<&Path>) -> Result<Output> {
    let python = environment::python(python, "ase", false)?;
    let script = environment::SCRIPTS.iter().find(|(name, _)| *name == "trajectory.py").map_or("", |(_, text)| *text);
    let output = std::process::Command::new(&python).args(["-B", "-c", script]).arg(path).output();
    let output = output.with_context(|| format!("cannot start {}", python.display()))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        bail!("{}: ASE cannot read it: {}", path.display(), message.lines().last().unwrap_or_default());
    }
    let frames: Vec<AseFrame> = serde_json::from_slice(&output.stdout).context("unexpected answer of ASE")?;
    if frames.iter().any(|frame| frame.calculator.as_deref().is_some_and(is_vasp)) {
        say(&format!(
            "{}: WARNING: ASE keeps results of VASP that have not converged, too, and does not say which. Import vasprun.xml or \
             OUTCAR instead",
            path.display()
        ));
    }
    let mut result = Output::default();
    if let Some(name) = frames.iter().find_map(|f| f.calculator.clone()).filter(|n| n != "unknown") {
        result.settings.push(("code", name));
    }
    for frame in frames {
        match step(frame, &path.display().to_string())? {
            Some(step) => result.steps.push(step),
            None => result.incomplete += 1,
        }
    }
    Ok(result)
}

fn is_vasp(calculator: &str) -> bool {
    calculator.to_ascii_lowercase().starts_with("vasp")
}

/// Calculators of ASE whose energy is the free energy (`companion/calculators.py` knows them, too).
const FREE_ENERGY_ONLY: [&str; 2] = ["cp2k", "espresso"];

/// None without an energy.
fn step(frame: AseFrame, place: &str) -> Result<Option<Step>> {
    let Some(energy) = frame.energy else { return Ok(None) };
    let species = frame.symbols.iter().map(|symbol| element(symbol, place)).collect::<Result<Vec<Species>>>()?;
    let cell = Cell { vectors: DMat3::from_cols_array(&frame.cell), periodic: BVec3::from(frame.pbc) };
    let vectors = |rows: Vec<[f64; 3]>| rows.into_iter().map(DVec3::from_array).collect::<Vec<_>>();
    let atoms = Atoms::new(cell, species, vectors(frame.positions), place)?;
    let calculator = frame.calculator.unwrap_or_default().to_ascii_lowercase();
    let energies = if FREE_ENERGY_ONLY.contains(&calculator.as_str()) {
        Energies { free_ev: Some(energy), ..Energies::default() }
    } else {
        // ASE's energy is extrapolated to zero smearing, E0 = (F + E) / 2.
        Energies {
            sigma_0_ev: Some(energy),
            free_ev: frame.free_energy,
            without_entropy_ev: frame.free_energy.map(|free| 2.0 * energy - free),
        }
    };
    Ok(Some(Step { atoms, energies, forces: frame.forces.map(vectors), stress: frame.stress, converged: true }))
}

fn element(symbol: &str, place: &str) -> Result<Species> {
    Species::from_symbol(symbol).with_context(|| {
        format!(
            "{place}: expected elements from H to Pu, found \"{symbol}\". Leave out configurations with other atoms, such as \
             ghosts, with ASE"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_element_is_no_incomplete_step() {
        let frame = |symbol: &str, energy: Option<f64>| AseFrame {
            symbols: vec![symbol.to_owned()],
            cell: [4.0, 0.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0, 4.0],
            pbc: [true; 3],
            positions: vec![[0.0; 3]],
            energy,
            free_energy: None,
            forces: None,
            stress: None,
            calculator: None,
        };
        let message = step(frame("X", Some(-1.0)), "run.traj").unwrap_err().to_string();
        assert!(message.contains("run.traj: expected elements") && message.contains("found \"X\""), "{message}");
        assert!(step(frame("Al", Some(-1.0)), "run.traj").unwrap().is_some());
        assert!(step(frame("Al", None), "run.traj").unwrap().is_none());
    }
}
