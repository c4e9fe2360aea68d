//! One structure from a file of any format that is understood.

use super::{Frame, LabelKeys, parse_extxyz, parse_lammps_data, parse_poscar, read_text};
use crate::Error;
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
    Ok(frames.remove(0))
}

/// As [`read_structure`], but extended XYZ may hold any number of configurations.
pub fn read_structures(path: &Path) -> Result<Vec<Frame>, Error> {
    let text = read_text(path)?;
    let name = path.display().to_string();
    match format_from_name(path).or_else(|| format_from_content(&text)) {
        Some(Format::Xyz) => parse_extxyz(&text, &name, &LabelKeys::default()),
        Some(Format::Poscar) => Ok(vec![parse_poscar(&text, &name)?]),
        Some(Format::LammpsData) => Ok(vec![parse_lammps_data(&text, &name)?]),
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
    fn content_tells_the_format() {
        let poscar = "2\n1.0\n1 0 0\n0 1 0\n0 0 1\nW\n1\nDirect\n0 0 0\n";
        assert_eq!(format_from_content(poscar), Some(Format::Poscar));
        assert_eq!(format_from_content("1\n\nW 0 0 0\n"), Some(Format::Xyz));
        assert_eq!(format_from_content("c\n\n1 atoms\n0 1 xlo xhi\n"), Some(Format::LammpsData));
        assert_eq!(format_from_content("hello"), None);
    }
}
