//! VASP 5 structure files (POSCAR, CONTCAR).

use super::{Column, Frame, lines::Lines};
use crate::{Atoms, Cell, Error, Species};
use glam::{DMat3, DVec3};
use std::fmt::Write;

const REMEDY: &str =
    "Write a VASP 5 POSCAR: comment, scale, three vectors, species, counts, Direct or Cartesian, positions";

/// Reads a structure. Flags of selective dynamics are kept in a column `move_mask`; velocities are not read.
pub fn parse_poscar(text: &str, name: &str) -> Result<Frame, Error> {
    let mut lines = Lines::new(text, name, REMEDY);
    let comment = lines.next("a comment")?.trim().to_owned();
    let scale = lines.numbers("a scale factor or three", 1..=3)?;
    let mut vectors = DMat3::ZERO;
    for column in 0..3 {
        *vectors.col_mut(column) = lines.vector("a lattice vector")?;
    }
    let scale = scale_factors(&scale, vectors, &lines)?;
    let vectors = DMat3::from_diagonal(scale) * vectors;
    let species = read_species(&mut lines)?;
    let mut mode = lines.next("Selective dynamics, Direct or Cartesian")?.trim();
    let selective = mode.starts_with(['S', 's']);
    if selective {
        mode = lines.next("Direct or Cartesian")?.trim();
    }
    let cartesian = match mode.chars().next() {
        Some('C' | 'c' | 'K' | 'k') => true,
        Some('D' | 'd') => false,
        _ => return Err(lines.wrong(&format!("expected Direct or Cartesian, found \"{mode}\""))),
    };
    let mut positions = Vec::new();
    let mut flags = Vec::new();
    for _ in &species {
        let words = lines.words("the position of an atom", 3)?;
        let position = lines.vector_of(&words)?;
        positions.push(if cartesian { scale * position } else { vectors * position });
        if selective {
            flags.extend(read_flags(&words, &lines)?);
        }
    }
    let cell = Cell { vectors, periodic: glam::BVec3::TRUE };
    let mut frame = Frame::new(Atoms::new(cell, species, positions, name)?);
    if !comment.is_empty() {
        frame.info.set("comment", comment);
    }
    if selective {
        frame.columns.push(Column { name: "move_mask".to_owned(), kind: 'L', width: 3, words: flags });
    }
    Ok(frame)
}

/// One positive factor, minus the volume in angstrom^3, or one factor for each Cartesian direction.
fn scale_factors(scale: &[f64], vectors: DMat3, lines: &Lines<'_>) -> Result<DVec3, Error> {
    let factors = match *scale {
        [x, y, z] => DVec3::new(x, y, z),
        [s] if s < 0.0 => DVec3::splat((-s / vectors.determinant().abs()).cbrt()),
        [s] => DVec3::splat(s),
        _ => return Err(lines.wrong("expected one scale factor or three, found two")),
    };
    if factors.is_finite() && factors.min_element() > 0.0 {
        return Ok(factors);
    }
    Err(lines.wrong(&format!("expected scale factors that give a cell with volume, found {scale:?}")))
}

/// The line of symbols and the line of counts.
fn read_species(lines: &mut Lines<'_>) -> Result<Vec<Species>, Error> {
    let words = lines.words("the species", 1)?;
    if words[0].parse::<u64>().is_ok() {
        return Err(
            lines.wrong("expected chemical symbols (VASP 5), found the counts of a VASP 4 file without symbols")
        );
    }
    let mut symbols = Vec::new();
    for word in words {
        // Names of pseudopotentials: W_pv, Ca_sv/7f83...
        let symbol = word.split(['_', '/']).next().unwrap_or(word);
        let species = Species::from_symbol(symbol);
        symbols
            .push(species.ok_or_else(|| lines.wrong(&format!("expected an element from H to Pu, found \"{word}\"")))?);
    }
    let counts = lines.words("the number of atoms of each species", symbols.len())?;
    // Comments may follow.
    let n_counts = counts.iter().take_while(|count| count.parse::<usize>().is_ok()).count();
    if n_counts > symbols.len() {
        return Err(
            lines.wrong(&format!("expected one number for each of {} species, found {n_counts}", symbols.len()))
        );
    }
    let mut species = Vec::new();
    for (symbol, count) in symbols.iter().zip(counts) {
        let count = count.parse::<usize>().ok().filter(|c| *c <= lines.remaining());
        let count = count.ok_or_else(|| lines.wrong("expected numbers of atoms that match the number of lines"))?;
        species.extend(std::iter::repeat_n(*symbol, count));
    }
    if species.is_empty() || species.len() > lines.remaining() {
        return Err(lines.wrong(&format!("expected {} positions, found {} lines", species.len(), lines.remaining())));
    }
    Ok(species)
}

fn read_flags(words: &[&str], lines: &Lines<'_>) -> Result<Vec<String>, Error> {
    let flags: Vec<&str> = words.iter().skip(3).take(3).copied().collect();
    let known = |w: &&str| matches!(w.trim_matches('.').chars().next(), Some('T' | 't' | 'F' | 'f'));
    if flags.len() != 3 || !flags.iter().all(known) {
        return Err(lines.wrong("expected three flags T or F behind the position (Selective dynamics)"));
    }
    Ok(flags.iter().map(|w| if w.trim_matches('.').starts_with(['T', 't']) { "T" } else { "F" }.to_owned()).collect())
}

/// The text of a POSCAR with Cartesian positions at full precision. Atoms keep their order: equal neighbours in the
/// list form one block, so a species may appear in several blocks.
pub fn format_poscar(frame: &Frame) -> Result<String, Error> {
    let atoms = &frame.atoms;
    if !atoms.cell.periodic.all() {
        let problem = "expected a box that repeats in all directions, found open ones";
        return Err(Error::input("writing a POSCAR", problem, "Write extended XYZ instead"));
    }
    let mut blocks: Vec<(Species, usize)> = Vec::new();
    for species in &atoms.species {
        match blocks.last_mut().filter(|(last, _)| last == species) {
            Some((_, count)) => *count += 1,
            None => blocks.push((*species, 1)),
        }
    }
    let join = |words: Vec<String>| words.join(" ");
    let row = |v: DVec3| format!("{:?} {:?} {:?}", v.x, v.y, v.z);
    let comment = frame.info.get("comment").or(frame.info.get("id")).unwrap_or("written by knockon");
    let mut text = format!("{}\n1.0\n", comment.replace(['\n', '\r'], " "));
    for column in 0..3 {
        let _ = writeln!(text, "{}", row(atoms.cell.vectors.col(column)));
    }
    let _ = writeln!(text, "{}", join(blocks.iter().map(|b| b.0.to_string()).collect()));
    let _ = writeln!(text, "{}", join(blocks.iter().map(|b| b.1.to_string()).collect()));
    let mask = frame.column("move_mask").filter(|c| c.width == 3 && c.words.len() == 3 * atoms.len());
    text.push_str(if mask.is_some() { "Selective dynamics\nCartesian\n" } else { "Cartesian\n" });
    for (atom, position) in atoms.positions.iter().enumerate() {
        let flags = mask.map_or(String::new(), |m| format!(" {}", m.words[3 * atom..3 * atom + 3].join(" ")));
        let _ = writeln!(text, "{}{flags}", row(*position));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "scheelite\n2.0\n1 0 0\n0 2 0\n0 0.5 3\nW_sv O\n1 2\nSelective dynamics\nDirect\n\
                        0 0 0 T T T\n0.5 0.5 0.5 F F T\n0.25 0 0.5 T F F\n";

    #[test]
    fn fractional_positions_are_scaled_and_flags_kept() -> Result<(), Error> {
        let frame = parse_poscar(TEXT, "POSCAR")?;
        assert_eq!(frame.atoms.cell.vectors.z_axis, DVec3::new(0.0, 1.0, 6.0));
        assert_eq!(frame.atoms.positions[1], DVec3::new(1.0, 2.5, 3.0));
        assert_eq!(frame.column("move_mask").map(|c| c.words.join("")), Some("TTTFFTTFF".to_owned()));
        assert_eq!(parse_poscar(&format_poscar(&frame)?, "POSCAR")?, frame);
        Ok(())
    }

    #[test]
    fn a_negative_scale_is_a_volume() -> Result<(), Error> {
        let frame = parse_poscar(&TEXT.replace("2.0\n1", "-48\n1"), "POSCAR")?;
        assert!((frame.atoms.cell.volume_angstrom3() - 48.0).abs() < 1e-12);
        Ok(())
    }

    #[test]
    fn malformed_files_are_refused_with_their_line() {
        let cases = [
            (TEXT.replace("W_sv O\n", ""), "VASP 4"),
            (TEXT.replace("Direct", "Fractional"), "line 9"),
            (TEXT.replace("1 2\n", "1 3\n"), "expected"),
            (TEXT.replace("1 2\n", "1 1 1\n"), "one number for each of 2 species, found 3"),
            (TEXT.replace("1 2\n", "1 99999999999\n"), "expected numbers of atoms"),
            (TEXT.replace("0.25 0 0.5 T F F", "0.25 nan 0.5 T F F"), "line 12"),
            (TEXT.replace("0 0.5 3", "0 2 0"), "volume"),
            (TEXT.chars().take(20).collect(), "found the end of the file"),
        ];
        for (text, expected) in cases {
            let message = parse_poscar(&text, "POSCAR").err().map(|e| e.to_string()).unwrap_or_default();
            assert!(message.contains(expected), "{text}\n{message}");
        }
    }

    proptest! {
        #[test]
        fn no_damage_makes_the_reader_panic(at in 0..TEXT.len(), byte in any::<u8>(), cut in any::<bool>()) {
            let mut damaged = TEXT.as_bytes().to_vec();
            if cut { damaged.truncate(at) } else { damaged[at] = byte }
            let _ = parse_poscar(&String::from_utf8_lossy(&damaged), "POSCAR");
        }
    }
}
