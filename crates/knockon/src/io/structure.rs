//! One structure from a file of any format that is understood.

use super::{Frame, LabelKeys, parse_extxyz, parse_lammps_data, parse_poscar, read_text};
use crate::{Error, Species};
use std::path::Path;

/// Reads one structure: extended XYZ with one configuration, POSCAR or LAMMPS data. The name of the file decides
/// (`*.xyz`, `*.extxyz`, `POSCAR*`, `CONTCAR*`, `*.poscar`, `*.vasp`, `*.data`, `*.lmp`), otherwise its content.
pub fn read_structure(path: &Path) -> Result<Frame, Error> {
    let mut frames = read_structures(path)?;
    if frames.len() != 1 {
        let problem = format!("expected one configuration, found {}", frames.len());
        let name = path.display().to_string();
        return Err(Error::input(name, problem, "Put the one that is meant into a file of its own"));
    }
    let frame = frames.remove(0);
    check_masses(&frame, path)?;
    Ok(frame)
}

/// Part of its weight by which a mass may differ from the standard atomic weight. Isotopes differ by more but for those of heavy
/// elements.
const SAME_MASS: f64 = 0.01;

/// Atoms move with standard atomic weights: other masses in a file must not be lost in silence.
fn check_masses(frame: &Frame, path: &Path) -> Result<(), Error> {
    let Some(column) = frame.column("masses").or(frame.column("mass")) else { return Ok(()) };
    let is_other = |(species, word): &(&Species, &String)| {
        word.parse::<f64>().is_ok_and(|mass_u| (mass_u / species.mass_u() - 1.0).abs() > SAME_MASS)
    };
    frame.atoms.species.iter().zip(&column.words).find(is_other).map_or(Ok(()), |(species, word)| {
        let found = format!("expected the standard atomic weight of {species}, {} u, found {word}", species.mass_u());
        let remedy = "Take the column of masses out: isotopes and other masses are not supported";
        Err(Error::input(path.display().to_string(), found, remedy))
    })
}

/// As [`read_structure`], but extended XYZ may hold any number of configurations.
pub fn read_structures(path: &Path) -> Result<Vec<Frame>, Error> {
    parse_structures(&read_text(path)?, path, &LabelKeys::default())
}

/// As [`read_structures`], of a file that was read already; labels have these names in extended XYZ.
pub fn parse_structures(text: &str, path: &Path, keys: &LabelKeys) -> Result<Vec<Frame>, Error> {
    let name = path.display().to_string();
    match format_from_name(path).or_else(|| format_from_content(text)) {
        Some(Format::Xyz) => parse_extxyz(text, &name, keys),
        Some(Format::Poscar) => Ok(vec![parse_poscar(text, &name)?]),
        Some(Format::LammpsData) => Ok(vec![parse_lammps_data(text, &name)?]),
        None => {
            let problem = "expected extended XYZ, a VASP POSCAR or a LAMMPS data file, found none of these";
            Err(Error::input(name, problem, "Name the file *.xyz, POSCAR or *.data, or convert it to extended XYZ"))
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Format {
    Xyz,
    Poscar,
    LammpsData,
}

fn format_from_name(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|e| name.ends_with(e));
    if ends(&[".xyz", ".extxyz"]) {
        Some(Format::Xyz)
    } else if ends(&[".vasp", ".poscar"]) || name.starts_with("poscar") || name.starts_with("contcar") {
        Some(Format::Poscar)
    } else if ends(&[".data", ".lmp"]) {
        Some(Format::LammpsData)
    } else {
        None
    }
}

fn format_from_content(text: &str) -> Option<Format> {
    let lines: Vec<&str> = text.lines().take(30).collect();
    let numbers = |line: &&str| line.split_whitespace().take(3).filter(|w| w.parse::<f64>().is_ok()).count();
    if lines.iter().any(|l| l.contains("xlo") && l.contains("xhi")) {
        Some(Format::LammpsData)
    } else if lines.len() > 7 && numbers(&lines[1]) > 0 && lines[2..5].iter().all(|l| numbers(l) == 3) {
        Some(Format::Poscar)
    } else if lines.first()?.trim().parse::<u64>().is_ok() {
        Some(Format::Xyz)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_masses_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let read = |mass: &str| {
            let path = folder.path().join("a.xyz");
            let header = "Lattice=\"9 0 0 0 9 0 0 0 9\" Properties=species:S:1:pos:R:3:masses:R:1";
            std::fs::write(&path, format!("1\n{header}\nW 0 0 0 {mass}\n")).expect("a file");
            read_structure(&path)
        };
        assert!(read("183.84").is_ok() && read("184").is_ok());
        let error = read("186.95").expect_err("an isotope").to_string();
        assert!(error.contains("standard atomic weight of W, 183.84 u, found 186.95"), "{error}");
    }

    #[test]
    fn content_tells_the_format() {
        let poscar = "2\n1.0\n1 0 0\n0 1 0\n0 0 1\nW\n1\nDirect\n0 0 0\n";
        assert_eq!(format_from_content(poscar), Some(Format::Poscar));
        assert_eq!(format_from_content("1\n\nW 0 0 0\n"), Some(Format::Xyz));
        assert_eq!(format_from_content("c\n\n1 atoms\n0 1 xlo xhi\n"), Some(Format::LammpsData));
        assert_eq!(format_from_content("hello"), None);
    }
}
