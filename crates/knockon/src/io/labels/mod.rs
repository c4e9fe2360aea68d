//! Labels from the output of first-principles codes: VASP, Quantum ESPRESSO, CP2K and the data bases of MILADY.
//!
//! Energies are kept apart by what they mean, stresses become ASE's (eV/angstrom^3, positive in tension), and steps whose
//! electrons did not converge never become labels.

mod cp2k;
mod espresso;
mod keys;
mod milady;
mod settings;
mod vasp_outcar;
mod vasp_xml;

pub use keys::{is_of_model, refuse_model, remove_label, stamp_model};

use super::Frame;
use crate::{Atoms, Error};
use glam::DVec3;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Which energy becomes the label. They differ by the entropy of smeared occupations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnergyKind {
    /// Extrapolated to zero smearing: what the shipped labels have.
    Sigma0,
    /// The free energy, of which the forces are the derivative.
    Free,
    /// Without the entropy of the occupations.
    WithoutEntropy,
}

impl EnergyKind {
    const ALL: [Self; 3] = [Self::Sigma0, Self::Free, Self::WithoutEntropy];

    /// As it is written into labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sigma0 => "sigma->0",
            Self::Free => "free",
            Self::WithoutEntropy => "without entropy",
        }
    }

    /// The info key under which labels keep it, whichever kind is theirs.
    fn key(self) -> &'static str {
        match self {
            Self::Sigma0 => "energy_sigma_0",
            Self::Free => "free_energy",
            Self::WithoutEntropy => "energy_without_entropy",
        }
    }
}

/// Energies of one step in eV, as far as the code tells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Energies {
    /// See [`EnergyKind::Sigma0`].
    pub sigma_0_ev: Option<f64>,
    /// See [`EnergyKind::Free`].
    pub free_ev: Option<f64>,
    /// See [`EnergyKind::WithoutEntropy`].
    pub without_entropy_ev: Option<f64>,
}

impl Energies {
    /// From the free energy F and the entropy term -TS of the occupations. For Fermi-Dirac and Gaussian smearing the
    /// energy without smearing is close to the mean of F and F + TS (Gillan, J. Phys. Condens. Matter 1, 689, 1989); for
    /// Methfessel-Paxton and cold smearing F itself is.
    fn from_free(free_ev: f64, minus_ts_ev: f64, mean_is_sigma_0: bool) -> Self {
        let without_entropy_ev = free_ev - minus_ts_ev;
        let sigma_0_ev = if mean_is_sigma_0 { free_ev.midpoint(without_entropy_ev) } else { free_ev };
        Self { sigma_0_ev: Some(sigma_0_ev), free_ev: Some(free_ev), without_entropy_ev: Some(without_entropy_ev) }
    }

    fn get(&self, kind: EnergyKind) -> Option<f64> {
        match kind {
            EnergyKind::Sigma0 => self.sigma_0_ev,
            EnergyKind::Free => self.free_ev,
            EnergyKind::WithoutEntropy => self.without_entropy_ev,
        }
    }
}

/// One geometry that a code has computed.
#[derive(Clone, Debug)]
pub struct Step {
    /// Cell, species, positions.
    pub atoms: Atoms,
    /// In eV.
    pub energies: Energies,
    /// In eV/angstrom.
    pub forces: Option<Vec<DVec3>>,
    /// In eV/angstrom^3, xx yy zz yz xz xy, positive in tension.
    pub stress: Option<[f64; 6]>,
    /// Whether the electrons converged.
    pub converged: bool,
}

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// In the order of the file.
    pub steps: Vec<Step>,
    /// What is known of the settings, as info keys and values: code, xc, ecut, kpts, pseudopotentials, cls.
    pub settings: Vec<(&'static str, String)>,
    /// Steps that were begun but not finished, or whose geometry is not told.
    pub incomplete: usize,
    /// Steps that a force field predicted which the code learns on the fly: no first-principles labels.
    pub predicted: usize,
}

/// Labels from one file.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// Converged and complete.
    pub frames: Vec<Frame>,
    /// Number of steps that were left out because their electrons did not converge.
    pub unconverged: usize,
    /// Number of steps that were left out because something is missing.
    pub incomplete: usize,
    /// Number of steps that were left out because a force field predicted them ([`Output::predicted`]).
    pub predicted: usize,
}

/// Files of this kind are understood.
type Parser = fn(&str, &Path) -> Result<Output, Error>;

/// Reads the labels in the output of a code; its content decides which code. None: not understood.
pub fn read_labels(path: &Path, kind: EnergyKind) -> Result<Option<Labels>, Error> {
    let text = read_lossily(path)?;
    let Some(parser) = parser(&text, path) else { return Ok(None) };
    let output = parser(&text, path)?;
    labels_of(output, kind, &path.display().to_string()).map(Some)
}

fn parser(text: &str, path: &Path) -> Option<Parser> {
    let mut end = text.len().min(20_000);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let head = &text[..end];
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("poscar")) {
        Some(milady::parse)
    } else if head.contains("<modeling>") {
        Some(vasp_xml::parse)
    } else if head.contains("Program PWSCF") {
        Some(espresso::parse)
    } else if head.contains("CP2K|") {
        Some(cp2k::parse)
    } else if head.trim_start().starts_with("vasp.") {
        Some(vasp_outcar::parse)
    } else {
        None
    }
}

/// The configurations that may become labels, with the energy of the kind that is asked for.
pub fn labels_of(output: Output, kind: EnergyKind, place: &str) -> Result<Labels, Error> {
    let mut labels = Labels { incomplete: output.incomplete, predicted: output.predicted, ..Labels::default() };
    for step in output.steps {
        if !step.converged {
            labels.unconverged += 1;
            continue;
        }
        let energy = step.energies.get(kind);
        if energy.is_none() && step.energies != Energies::default() {
            let problem = format!("expected the energy \"{}\", found {:?}", kind.name(), step.energies);
            let remedy = "Choose an energy that is there; the output of the code itself tells more than ASE's files";
            return Err(Error::input(place, problem, remedy));
        }
        if energy.is_none() && step.forces.is_none() {
            labels.incomplete += 1;
            continue;
        }
        let mut frame = Frame::new(step.atoms);
        output.settings.iter().for_each(|(key, value)| frame.info.set(key, value));
        frame.info.set("energy_kind", kind.name());
        for known in EnergyKind::ALL {
            if let Some(value) = step.energies.get(known) {
                frame.info.set(known.key(), format!("{value:?}"));
            }
        }
        (frame.energy_ev, frame.forces, frame.stress) = (energy, step.forces, step.stress);
        labels.frames.push(frame);
    }
    Ok(labels)
}

/// Makes the energy of this kind the one of a label that keeps several; the one that it had stays under a key. Labels without
/// any energy stay as they are.
pub fn choose_energy(frame: &mut Frame, kind: EnergyKind, place: &str) -> Result<(), Error> {
    let had = EnergyKind::ALL.into_iter().find(|k| frame.info.get("energy_kind") == Some(k.name()));
    if had == Some(kind) && frame.energy_ev.is_some() {
        return Ok(());
    }
    let Some(wanted) = frame.info.number(kind.key()) else {
        if frame.energy_ev.is_none() {
            return Ok(());
        }
        let problem = format!("expected {} or energy_kind=\"{}\", found neither", kind.key(), kind.name());
        return Err(Error::input(place, problem, "Choose no energy to take the one of the file, or add what is known"));
    };
    if let Some(energy) = frame.energy_ev {
        frame.info.set(had.map_or("other_energy", EnergyKind::key), format!("{energy:?}"));
    }
    frame.info.set("energy_kind", kind.name());
    frame.energy_ev = Some(wanted);
    Ok(())
}

/// The lines of an output, with what is needed to find numbers in them.
struct Text<'a> {
    lines: Vec<&'a str>,
    name: String,
}

impl<'a> Text<'a> {
    fn new(text: &'a str, path: &Path) -> Self {
        Self { lines: text.lines().collect(), name: path.display().to_string() }
    }

    /// The line, or an empty one behind the end.
    fn line(&self, index: usize) -> &'a str {
        self.lines.get(index).copied().unwrap_or("")
    }

    /// The first number behind `key` in a line.
    fn number_after(&self, index: usize, key: &str) -> Result<f64, Error> {
        let rest = self.line(index).split_once(key).map_or("", |(_, rest)| rest);
        let word = rest.trim_start_matches([' ', '=', ':']).split([' ', ';', ')', ',']).next().unwrap_or("");
        self.number(index, word)
    }

    /// `count` numbers of a line, the first `skip` words left out.
    fn numbers(&self, index: usize, skip: usize, count: usize) -> Result<Vec<f64>, Error> {
        let line = self.line(index);
        let mut words = line.split_whitespace().skip(skip).take(count).map(|w| self.number(index, w));
        let numbers = words.by_ref().collect::<Result<Vec<f64>, Error>>()?;
        if numbers.len() < count { Err(self.wrong(index, &format!("{count} numbers"))) } else { Ok(numbers) }
    }

    fn vector(&self, index: usize, skip: usize) -> Result<DVec3, Error> {
        Ok(DVec3::from_slice(&self.numbers(index, skip, 3)?))
    }

    fn number(&self, index: usize, word: &str) -> Result<f64, Error> {
        let number = word.replace(['D', 'd'], "e").parse().ok().filter(|x: &f64| x.is_finite());
        number.ok_or_else(|| self.wrong(index, "a finite number"))
    }

    fn wrong(&self, index: usize, expected: &str) -> Error {
        let place = format!("{}, line {}", self.name, index + 1);
        let found: String = self.line(index).chars().take(80).collect();
        Error::input(
            place,
            format!("expected {expected}, found \"{found}\""),
            "Give an output as the code wrote it; cut away what is broken",
        )
    }

    /// Last word of the path in a line.
    fn file_name(&self, index: usize) -> String {
        let path = PathBuf::from(self.line(index).trim());
        path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned())
    }
}

/// Names of users and comments in files of codes are not always UTF-8.
fn read_lossily(path: &Path) -> Result<String, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::io("read", path, source))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A file of the same folder; None if there is no such file.
fn beside(path: &Path, name: &str) -> Result<Option<String>, Error> {
    match read_lossily(&path.parent().unwrap_or(Path::new("")).join(name)) {
        Err(Error::Io { reason, .. }) if reason.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_is_not_there_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let output = folder.path().join("cp2k.out");
        assert_eq!(beside(&output, "h2o-pos-1.xyz").expect("no such file"), None);
        std::fs::write(folder.path().join("h2o.inp"), b"! Universit\xe4t\nA 1 0 0\n").expect("written");
        assert!(beside(&output, "h2o.inp").expect("a file").is_some_and(|text| text.contains("A 1 0 0")));
        // As one that may not be read: who runs tests may read everything.
        std::fs::create_dir(folder.path().join("h2o-pos-1.xyz")).expect("a folder");
        let message = beside(&output, "h2o-pos-1.xyz").expect_err("a folder").to_string();
        assert!(message.contains("cannot read") && message.contains("h2o-pos-1.xyz"), "{message}");
    }
}
