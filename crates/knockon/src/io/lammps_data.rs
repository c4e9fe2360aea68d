//! LAMMPS data files of atom style "atomic", right-angled and (restricted) triclinic boxes.

use super::write_atomically;
use super::{Frame, lines::Lines};
use crate::{Atoms, Cell, Error, Species};
use glam::{DMat3, DVec3};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

const REMEDY: &str =
    "Write the file with write_data and atom_style atomic, and name each type in Masses: \"1 183.84 # W\"";

/// Box bounds, tilts and counts of the header.
#[derive(Default)]
struct Header {
    n_atoms: usize,
    bounds: [Option<[f64; 2]>; 3],
    tilt: [f64; 3],
}

/// Reads a structure; the lower corner of the box becomes the origin. Atoms are ordered by their identifiers; image
/// flags and velocities are not read.
pub fn parse_lammps_data(text: &str, name: &str) -> Result<Frame, Error> {
    let mut lines = Lines::new(text, name, REMEDY);
    lines.next("a comment")?;
    let header = read_header(&mut lines)?;
    let mut types = BTreeMap::new();
    let mut rows = BTreeMap::new();
    let mut just_read_atoms = false;
    while let Some(line) = lines.next_filled() {
        let is_row = line.trim_start().starts_with(|c: char| c.is_ascii_digit());
        if is_row && just_read_atoms {
            return Err(lines.wrong(&format!("expected {} atoms, as the header says, found more", header.n_atoms)));
        }
        just_read_atoms = false;
        match line.split('#').next().unwrap_or_default().trim() {
            "Masses" => read_masses(&mut lines, &mut types)?,
            "Atoms" => {
                let style = line.split('#').nth(1).map_or("atomic", str::trim);
                if style != "atomic" {
                    return Err(lines.wrong(&format!("expected atom style atomic, found {style}")));
                }
                read_atoms(&mut lines, header.n_atoms, &mut rows)?;
                just_read_atoms = true;
            }
            _ => {} // other sections are passed over line by line
        }
    }
    let n_rows = rows.len();
    if n_rows != header.n_atoms || n_rows == 0 {
        return Err(lines.wrong(&format!("expected {} lines in the section Atoms, found {n_rows}", header.n_atoms)));
    }
    let (cell, origin) = header.cell(&lines)?;
    let mut species = Vec::new();
    for (kind, _) in rows.values() {
        let known = types.get(kind).copied();
        species.push(
            known.ok_or_else(|| lines.wrong(&format!("expected the mass of type {kind} in Masses, found none")))?,
        );
    }
    let positions = rows.values().map(|(_, position)| *position - origin).collect();
    Ok(Frame::new(Atoms::new(cell, species, positions, name)?))
}

fn read_header(lines: &mut Lines<'_>) -> Result<Header, Error> {
    let mut header = Header::default();
    while let Some(line) = lines.next_filled() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] | [_, "atom", "types"] => {}
            [count, "atoms"] => {
                let count =
                    count.parse().map_err(|_| lines.wrong(&format!("expected a number of atoms, found {count}")));
                header.n_atoms = count?;
            }
            [low, high, from, _] if from.ends_with("lo") => {
                let axis = ["xlo", "ylo", "zlo"].iter().position(|a| a == from);
                let axis = axis.ok_or_else(|| lines.wrong(&format!("expected xlo, ylo or zlo, found {from}")))?;
                let bounds = [lines.number(low)?, lines.number(high)?];
                if bounds[0] >= bounds[1] {
                    return Err(lines.wrong(&format!("expected a lower and a higher bound, found {low} and {high}")));
                }
                header.bounds[axis] = Some(bounds);
            }
            [xy, xz, yz, "xy", "xz", "yz"] => {
                header.tilt = [lines.number(xy)?, lines.number(xz)?, lines.number(yz)?];
            }
            [.., "avec" | "bvec" | "cvec"] => {
                return Err(lines.wrong("expected a box with xlo xhi, found general triclinic vectors"));
            }
            [first, ..] if first.starts_with(char::is_alphabetic) => {
                lines.back();
                return Ok(header);
            }
            _ => {} // counts of bonds and the like
        }
    }
    Err(lines.wrong("expected the sections Masses and Atoms, found the end of the file"))
}

impl Header {
    fn cell(&self, lines: &Lines<'_>) -> Result<(Cell, DVec3), Error> {
        let [Some(x), Some(y), Some(z)] = self.bounds else {
            return Err(lines.wrong("expected the bounds xlo xhi, ylo yhi and zlo zhi in the header"));
        };
        let [xy, xz, yz] = self.tilt;
        let a = DVec3::new(x[1] - x[0], 0.0, 0.0);
        let b = DVec3::new(xy, y[1] - y[0], 0.0);
        let c = DVec3::new(xz, yz, z[1] - z[0]);
        Ok((Cell::periodic(a, b, c), DVec3::new(x[0], y[0], z[0])))
    }
}

fn read_masses(lines: &mut Lines<'_>, types: &mut BTreeMap<u64, Species>) -> Result<(), Error> {
    while let Some(line) = lines.next_filled() {
        let (numbers, comment) = line.split_once('#').unwrap_or((line, ""));
        let words: Vec<&str> = numbers.split_whitespace().collect();
        // Names of sections, such as "Pair Coeffs", begin with a letter.
        let [kind, mass] = *words.as_slice() else {
            lines.back();
            return Ok(());
        };
        if kind.starts_with(char::is_alphabetic) {
            lines.back();
            return Ok(());
        }
        let kind =
            kind.parse().map_err(|_| lines.wrong(&format!("expected the number of a type, found \"{kind}\"")))?;
        let mass = lines.number(mass)?;
        let named = comment.split_whitespace().next().and_then(Species::from_symbol);
        if let Some(named) = named.filter(|named| !may_be(*named, mass)) {
            let found = format!(
                "expected {} u, the standard atomic weight of {named}, which the comment names, found {mass} (isotopes are not supported)",
                named.mass_u()
            );
            return Err(lines.wrong(&found));
        }
        let species = named.or_else(|| from_mass(mass));
        let species = species.ok_or_else(|| {
            let found =
                format!("expected the mass of one element without doubt, or its symbol behind it, found {mass} u");
            lines.wrong(&found)
        })?;
        if types.insert(kind, species).is_some() {
            return Err(lines.wrong(&format!("expected each type once in Masses, found type {kind} twice")));
        }
    }
    Ok(())
}

/// Whether a mass is the standard atomic weight, or that rounded. Others would be lost: atoms move with standard weights.
fn may_be(species: Species, mass_u: f64) -> bool {
    (species.mass_u() - mass_u).abs() < 0.01 * species.mass_u()
}

/// The element whose weight is nearest and within 0.1 u, if all others are three times as far away (Ca and Ar differ by 0.13 u).
fn from_mass(mass_u: f64) -> Option<Species> {
    let mut elements: Vec<Species> = (1..=94).filter_map(Species::from_atomic_number).collect();
    let off = |s: &Species| (s.mass_u() - mass_u).abs();
    elements.sort_by(|a, b| off(a).total_cmp(&off(b)));
    let (nearest, next) = (elements[0], elements[1]);
    (off(&nearest) < 0.1 && off(&next) > 3.0 * off(&nearest)).then_some(nearest)
}

fn read_atoms(lines: &mut Lines<'_>, n_atoms: usize, rows: &mut BTreeMap<u64, (u64, DVec3)>) -> Result<(), Error> {
    for _ in 0..n_atoms {
        let Some(line) = lines.next_filled() else {
            return Err(lines.wrong(&format!("expected {n_atoms} atoms, found the end of the file")));
        };
        let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
        let images_are_integers = words.iter().skip(5).all(|w| w.parse::<i64>().is_ok());
        if !matches!(words.len(), 5 | 8) || !images_are_integers {
            return Err(lines.wrong(&format!("expected id type x y z (atom style atomic), found \"{line}\"")));
        }
        let [Ok(id), Ok(kind)] = [words[0].parse(), words[1].parse()] else {
            return Err(lines.wrong(&format!("expected an identifier and a type, found \"{} {}\"", words[0], words[1])));
        };
        if rows.insert(id, (kind, lines.vector_of(&words[2..])?)).is_some() {
            return Err(lines.wrong(&format!("expected each identifier once, found {id} twice")));
        }
    }
    Ok(())
}

/// The text of a data file. Types are numbered in the order in which species first appear. A cell that is not in
/// LAMMPS' restricted form (a along x, b in the xy plane) is rotated into it, and the atoms with it.
pub fn format_lammps_data(atoms: &Atoms) -> Result<String, Error> {
    let wrong = |problem: &str| Error::input("writing a LAMMPS data file", problem, "Write extended XYZ instead");
    if !atoms.cell.periodic.all() {
        return Err(wrong("expected a box that repeats in all directions, found open ones"));
    }
    if atoms.cell.vectors.determinant() <= 0.0 {
        return Err(wrong("expected right-handed lattice vectors, found left-handed ones"));
    }
    let restricted = restricted_form(atoms.cell.vectors);
    let rotated = restricted != atoms.cell.vectors;
    let mut types: Vec<Species> = Vec::new();
    for species in &atoms.species {
        if !types.contains(species) {
            types.push(*species);
        }
    }
    let [a, b, c] = [restricted.x_axis, restricted.y_axis, restricted.z_axis];
    let mut text = format!("written by knockon\n\n{} atoms\n{} atom types\n\n", atoms.len(), types.len());
    let _ = writeln!(text, "0.0 {:?} xlo xhi\n0.0 {:?} ylo yhi\n0.0 {:?} zlo zhi", a.x, b.y, c.z);
    let _ = writeln!(text, "{:?} {:?} {:?} xy xz yz\n\nMasses\n", b.x, c.x, c.y);
    for (index, species) in types.iter().enumerate() {
        let _ = writeln!(text, "{} {:?} # {species}", index + 1, species.mass_u());
    }
    text.push_str("\nAtoms # atomic\n\n");
    for (atom, (species, position)) in atoms.species.iter().zip(&atoms.positions).enumerate() {
        let p = if rotated { restricted * atoms.cell.fractional(*position) } else { *position };
        let kind = types.iter().position(|t| t == species).map_or(0, |t| t + 1);
        let _ = writeln!(text, "{} {kind} {:?} {:?} {:?}", atom + 1, p.x, p.y, p.z);
    }
    Ok(text)
}

/// Writes a data file, see [`format_lammps_data`].
pub fn write_lammps_data(path: &Path, atoms: &Atoms) -> Result<(), Error> {
    write_atomically(path, format_lammps_data(atoms)?.as_bytes())
}

/// The same lengths and angles with a along x and b in the xy plane (LAMMPS manual, "Howto triclinic").
fn restricted_form(vectors: DMat3) -> DMat3 {
    let [a, b, c] = [vectors.x_axis, vectors.y_axis, vectors.z_axis];
    if a.y == 0.0 && a.z == 0.0 && b.z == 0.0 && a.x > 0.0 && b.y > 0.0 {
        return vectors;
    }
    let along = a.normalize();
    let bx = b.dot(along);
    let by = along.cross(b).length();
    let cx = c.dot(along);
    let cy = (b.dot(c) - bx * cx) / by;
    let cz = vectors.determinant() / (a.length() * by);
    DMat3::from_cols(DVec3::new(a.length(), 0.0, 0.0), DVec3::new(bx, by, 0.0), DVec3::new(cx, cy, cz))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "made by hand\n\n2 atoms\n2 atom types\n\n-1.0 4.0 xlo xhi\n0 5 ylo yhi\n0 6 zlo zhi\n\
                        0.5 0.25 -0.5 xy xz yz\n\nMasses\n\n1 183.84\n2 16.0 # O\n\nAtoms # atomic\n\n\
                        2 2 1 1 1 0 0 0\n1 1 -1 0 0 0 0 0\n\nVelocities\n\n1 0 0 0\n2 0 0 0\n";

    #[test]
    fn a_triclinic_box_is_read_and_written() -> Result<(), Error> {
        let frame = parse_lammps_data(TEXT, "box.data")?;
        assert_eq!(frame.atoms.cell.vectors.z_axis, DVec3::new(0.25, -0.5, 6.0));
        assert_eq!(frame.atoms.species[0].symbol(), "W");
        assert_eq!(frame.atoms.positions[1], DVec3::new(2.0, 1.0, 1.0));
        assert_eq!(parse_lammps_data(&format_lammps_data(&frame.atoms)?, "again")?, frame);
        Ok(())
    }

    #[test]
    fn sections_of_coefficients_are_passed_over() -> Result<(), Error> {
        let text = TEXT.replace("Atoms # atomic", "Pair Coeffs # lj/cut\n\n1 0.1 3.0\n2 0.2 2.0\n\nAtoms # atomic");
        assert_eq!(parse_lammps_data(&text, "box.data")?, parse_lammps_data(TEXT, "box.data")?);
        Ok(())
    }

    #[test]
    fn rotation_to_the_restricted_form_keeps_distances() -> Result<(), Error> {
        let frame = parse_lammps_data(TEXT, "box.data")?;
        let rotation = DMat3::from_axis_angle(DVec3::new(1.0, 2.0, 3.0).normalize(), 0.7);
        let mut turned = frame.atoms.clone();
        turned.cell.vectors = rotation * turned.cell.vectors;
        turned.positions.iter_mut().for_each(|p| *p = rotation * *p);
        let back = parse_lammps_data(&format_lammps_data(&turned)?, "again")?.atoms;
        let difference = back.cell.vectors - frame.atoms.cell.vectors;
        assert!(difference.to_cols_array().iter().all(|x| x.abs() < 1e-12), "{difference}");
        assert!(back.positions[1].distance(frame.atoms.positions[1]) < 1e-12);
        Ok(())
    }

    #[test]
    fn malformed_files_are_refused() {
        let cases = [
            (TEXT.replace("# atomic", "# charge"), "found charge"),
            (TEXT.replace("\n\nVelocities", "\n3 1 2 2 2\n\nVelocities"), "expected 2 atoms"),
            (TEXT.replace("-1.0 4.0 xlo", "5 0 xlo"), "a lower and a higher bound"),
            (TEXT.replace("1 183.84", "1 40.0"), "without doubt"),
            (TEXT.replace("2 16.0 # O", "2 40.078 # O"), "expected 15.999 u"),
            (TEXT.replace("0 6 zlo zhi", "0 0 zlo zhi"), "a lower and a higher bound"),
            (TEXT.replace("183.84", "200.0"), "mass of one element"),
            (TEXT.replace("1 1 -1 0 0 0 0 0", "2 1 -1 0 0 0 0 0"), "2 twice"),
            (TEXT.replace("2 atoms", "3 atoms"), "expected"),
            (TEXT.replace("-1.0 4.0 xlo xhi\n", ""), "bounds"),
            (TEXT.replace("1 1 -1 0 0 0 0 0", "1 1 -1 inf 0 0 0 0"), "finite"),
        ];
        for (text, expected) in cases {
            let message = parse_lammps_data(&text, "d").err().map(|e| e.to_string()).unwrap_or_default();
            assert!(message.contains(expected), "{text}\n{message}");
        }
    }

    proptest! {
        #[test]
        fn no_damage_makes_the_reader_panic(at in 0..TEXT.len(), byte in any::<u8>(), cut in any::<bool>()) {
            let mut damaged = TEXT.as_bytes().to_vec();
            if cut { damaged.truncate(at) } else { damaged[at] = byte }
            let _ = parse_lammps_data(&String::from_utf8_lossy(&damaged), "d");
        }
    }
}
