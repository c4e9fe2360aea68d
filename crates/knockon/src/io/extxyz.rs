//! Extended XYZ: labelled configurations in ASE's dialect, read strictly and written with full precision.
//!
//! Energies in eV, forces in eV/angstrom, stress in eV/angstrom^3 (positive in tension), virial = -stress * volume in eV.

use super::info::{Info, parse_boolean, shorten, split_array};
use super::{read_text, write_atomically};
use crate::{Atoms, Cell, Error, Species};
use glam::{BVec3, DMat3, DVec3};
use std::fmt::Write;
use std::path::Path;

/// Names under which other programs store the energy that is meant. `free_energy` is not among them: with smeared
/// occupations it is another quantity, so it must be asked for ([`LabelKeys`]).
const ENERGY_KEYS: [&str; 6] = ["energy", "Energy", "REF_energy", "ref_energy", "dft_energy", "DFT_energy"];
/// Names of the column of forces.
const FORCES_KEYS: [&str; 8] =
    ["forces", "force", "Forces", "REF_forces", "ref_forces", "dft_forces", "dft_force", "DFT_forces"];
/// Names of the stress.
const STRESS_KEYS: [&str; 5] = ["stress", "REF_stress", "ref_stress", "dft_stress", "DFT_stress"];
/// Names of the virial in eV, which is -stress * volume.
const VIRIAL_KEYS: [&str; 6] = ["virial", "virials", "REF_virial", "ref_virial", "dft_virial", "DFT_virial"];

/// One configuration with whatever labels it has.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// The box of atoms. Without a lattice in the file the cell is [`NO_CELL`].
    pub atoms: Atoms,
    /// Energy of the box in eV.
    pub energy_ev: Option<f64>,
    /// Force on each atom in eV/angstrom.
    pub forces: Option<Vec<DVec3>>,
    /// Stress in eV/angstrom^3, Voigt order xx yy zz yz xz xy, positive in tension (ASE's sign).
    pub stress: Option<[f64; 6]>,
    /// All other pairs of the comment line, in order.
    pub info: Info,
    /// All other columns, in order.
    pub columns: Vec<Column>,
}

/// Cell of a configuration without lattice: the unit matrix, not periodic.
pub const NO_CELL: Cell = Cell { vectors: DMat3::IDENTITY, periodic: BVec3::FALSE };

/// Per-atom values that have no meaning here and are passed on as they were written.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Name in `Properties`.
    pub name: String,
    /// R (real), I (integer), S (word) or L (truth value).
    pub kind: char,
    /// Values per atom.
    pub width: usize,
    /// Atom after atom, `width` words each.
    pub words: Vec<String>,
}

impl Column {
    /// A column of one real number per atom.
    pub fn reals(name: &str, values: &[f64]) -> Self {
        let words = values.iter().map(|x| format!("{x:?}")).collect();
        Self { name: name.to_owned(), kind: 'R', width: 1, words }
    }

    /// A column of three real numbers per atom.
    pub fn vectors(name: &str, values: &[DVec3]) -> Self {
        let words = values.iter().flat_map(|v| v.to_array()).map(|x| format!("{x:?}")).collect();
        Self { name: name.to_owned(), kind: 'R', width: 3, words }
    }
}

/// Which key holds each label; `None`: the customary names, and an error if two of them disagree.
#[derive(Clone, Debug, Default)]
pub struct LabelKeys {
    /// Key of the energy in the comment line.
    pub energy: Option<String>,
    /// Name of the column of forces.
    pub forces: Option<String>,
    /// Key of the stress in the comment line (not of the virial).
    pub stress: Option<String>,
}

impl Frame {
    /// What kind of configuration it is: info key `cls`, or else `class`.
    pub fn class(&self) -> Option<&str> {
        self.info.get("cls").or_else(|| self.info.get("class"))
    }

    /// A configuration without labels.
    pub fn new(atoms: Atoms) -> Self {
        Self { atoms, energy_ev: None, forces: None, stress: None, info: Info::default(), columns: Vec::new() }
    }

    /// Length of the largest force.
    pub fn max_force_ev_per_angstrom(&self) -> Option<f64> {
        Some(self.forces.as_ref()?.iter().map(|f| f.length()).fold(0.0, f64::max))
    }

    /// A per-atom column by name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }
}

/// Reads all configurations of a file.
pub fn read_extxyz(path: &Path) -> Result<Vec<Frame>, Error> {
    read_extxyz_with(path, &LabelKeys::default())
}

/// Reads all configurations of a file, with labels under keys of the caller's choice.
pub fn read_extxyz_with(path: &Path, keys: &LabelKeys) -> Result<Vec<Frame>, Error> {
    parse_extxyz(&read_text(path)?, &path.display().to_string(), keys)
}

/// Reads all configurations of a text; `name` stands for the file in errors.
pub fn parse_extxyz(text: &str, name: &str, keys: &LabelKeys) -> Result<Vec<Frame>, Error> {
    let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate().peekable();
    let mut frames = Vec::new();
    while let Some((number, line)) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        let place = format!("{name}, line {} (configuration {})", number + 1, frames.len() + 1);
        let n_atoms = atom_count(line, &place)?;
        let Some((number, comment)) = lines.next() else {
            return Err(truncated(&place, "the line with Lattice and Properties"));
        };
        let place = format!("{name}, line {} (configuration {})", number + 1, frames.len() + 1);
        let info = Info::parse(comment, &place)?;
        let mut header = Header::new(info, &place)?;
        for atom in 0..n_atoms {
            let Some((number, line)) = lines.next() else {
                return Err(truncated(&place, &format!("{n_atoms} atoms, found {atom}")));
            };
            let place =
                || format!("{name}, line {} (atom {} of configuration {})", number + 1, atom + 1, frames.len() + 1);
            header.push_atom(line, n_atoms - atom, &place)?;
        }
        frames.push(header.finish(keys, &place)?);
    }
    if frames.is_empty() {
        return Err(Error::input(name, "expected at least one configuration, found none", "Give an extended XYZ file"));
    }
    Ok(frames)
}

fn truncated(place: &str, expected: &str) -> Error {
    let problem = format!("expected {expected}, found the end of the file");
    Error::input(place, problem, "The file is truncated or the number of atoms is wrong: copy or write it again")
}

fn atom_count(line: &str, place: &str) -> Result<usize, Error> {
    line.trim().parse().ok().filter(|n| *n > 0).ok_or_else(|| {
        let problem = format!("expected a number of atoms (1 or more), found \"{}\"", shorten(line.trim()));
        Error::input(place, problem, "Each configuration starts with its number of atoms; check that of the one before")
    })
}

/// A configuration while its lines are read.
struct Header {
    cell: Cell,
    info: Info,
    columns: Vec<Column>,
}

impl Header {
    fn new(mut info: Info, place: &str) -> Result<Self, Error> {
        let cell = take_cell(&mut info, place)?;
        let key = info.key_ignoring_case("Properties");
        let properties = key.as_deref().and_then(|k| info.get(k)).unwrap_or("species:S:1:pos:R:3").to_owned();
        if let Some(key) = key {
            info.remove(&key);
        }
        Ok(Self { cell, info, columns: parse_properties(&properties, place)? })
    }

    fn push_atom(&mut self, line: &str, atoms_left: usize, place: &dyn Fn() -> String) -> Result<(), Error> {
        let expected: usize = self.columns.iter().map(|c| c.width).sum();
        let mut words = line.split_whitespace();
        let found = words.clone().count();
        if found != expected {
            let problem =
                format!("expected {expected} values as Properties says, found {found}: \"{}\"", shorten(line));
            let remedy = format!("Repair the line or the number of atoms ({atoms_left} more atoms were expected here)");
            return Err(Error::input(place(), problem, remedy));
        }
        for column in &mut self.columns {
            for word in words.by_ref().take(column.width) {
                check_word(word, column, place)?;
                column.words.push(word.to_owned());
            }
        }
        Ok(())
    }

    fn finish(self, keys: &LabelKeys, place: &str) -> Result<Frame, Error> {
        let Self { cell, mut info, mut columns } = self;
        let species = take_species(&mut columns, place)?;
        let positions = take_positions(&mut columns, place)?;
        let atoms = Atoms::new(cell, species, positions, place)?;
        let energy_ev = take_energy(&mut info, keys.energy.as_deref(), place)?;
        let forces = take_forces(&mut columns, keys.forces.as_deref(), place)?;
        let stress = take_stress(&mut info, keys.stress.as_deref(), &atoms.cell, place)?;
        Ok(Frame { atoms, energy_ev, forces, stress, info, columns })
    }
}

fn parse_properties(text: &str, place: &str) -> Result<Vec<Column>, Error> {
    let wrong = |problem: String| Error::input(place, problem, "Write e.g. Properties=species:S:1:pos:R:3:forces:R:3");
    let parts: Vec<&str> = text.split(':').collect();
    let mut columns: Vec<Column> = Vec::new();
    for part in parts.chunks(3) {
        let [name, kind, width] = part else {
            return Err(wrong(format!("expected Properties as name:type:width groups, found \"{}\"", shorten(text))));
        };
        let kind = match *kind {
            "R" => 'R',
            "I" => 'I',
            "S" => 'S',
            "L" => 'L',
            other => {
                return Err(wrong(format!("expected the type R, I, S or L of column \"{name}\", found \"{other}\"")));
            }
        };
        let Some(width) = width.parse().ok().filter(|w| (1..=1000).contains(w)) else {
            return Err(wrong(format!("expected a width from 1 to 1000 of column \"{name}\", found \"{width}\"")));
        };
        if name.is_empty() || columns.iter().any(|c| c.name == *name) {
            return Err(wrong(format!(
                "expected each column to have a name of its own, found \"{name}\" twice or empty"
            )));
        }
        columns.push(Column { name: (*name).to_owned(), kind, width, words: Vec::new() });
    }
    Ok(columns)
}

fn check_word(word: &str, column: &Column, place: &dyn Fn() -> String) -> Result<(), Error> {
    let (fits, expected) = match column.kind {
        'R' => (word.parse().is_ok_and(f64::is_finite), "a finite number"),
        'I' => (word.parse::<i64>().is_ok(), "an integer"),
        'L' => (parse_boolean(word).is_some(), "T or F"),
        _ => (true, "a word"),
    };
    if fits {
        return Ok(());
    }
    let problem = format!("expected {expected} in column \"{}\", found \"{}\"", column.name, shorten(word));
    Err(Error::input(place(), problem, "Repair the value or remove this configuration"))
}

/// `count` finite numbers from a list of words.
fn numbers(text: &str, what: &str, place: &str) -> Result<Vec<f64>, Error> {
    split_array(text)
        .map(|word| {
            word.parse().ok().filter(|x: &f64| x.is_finite()).ok_or_else(|| {
                let problem = format!("expected finite numbers in {what}, found \"{}\"", shorten(word));
                Error::input(place, problem, "Repair the value or remove this configuration")
            })
        })
        .collect()
}

/// Takes `Lattice` and `pbc` out of the comment.
fn take_cell(info: &mut Info, place: &str) -> Result<Cell, Error> {
    let mut take = |name: &str| {
        let key = info.key_ignoring_case(name)?;
        let text = info.get(&key).map(str::to_owned);
        info.remove(&key);
        text
    };
    let (lattice, pbc) = (take("Lattice"), take("pbc"));
    let vectors = lattice.as_deref().map(|text| lattice_vectors(text, place)).transpose()?;
    let periodic = pbc.map(|text| periodic_directions(&text, place)).transpose()?;
    let periodic = periodic.unwrap_or(BVec3::splat(vectors.is_some()));
    let Some(vectors) = vectors else {
        if periodic.any() {
            let problem = "expected Lattice because pbc says that the box repeats, found none";
            return Err(Error::input(place, problem, "Give Lattice=\"ax ay az bx by bz cx cy cz\" or pbc=\"F F F\""));
        }
        return Ok(NO_CELL);
    };
    let has_volume = vectors.determinant().abs() > 1e-6;
    Ok(if has_volume || periodic.any() { Cell { vectors, periodic } } else { NO_CELL })
}

fn lattice_vectors(text: &str, place: &str) -> Result<DMat3, Error> {
    let values = numbers(text, "Lattice", place)?;
    match *values.as_slice() {
        [a, b, c] => Ok(DMat3::from_diagonal(DVec3::new(a, b, c))),
        [ax, ay, az, bx, by, bz, cx, cy, cz] => {
            Ok(DMat3::from_cols(DVec3::new(ax, ay, az), DVec3::new(bx, by, bz), DVec3::new(cx, cy, cz)))
        }
        _ => {
            let problem =
                format!("expected 9 numbers (or the 3 of a right-angled box) in Lattice, found {}", values.len());
            Err(Error::input(place, problem, "Write Lattice=\"ax ay az bx by bz cx cy cz\" in angstrom"))
        }
    }
}

fn periodic_directions(text: &str, place: &str) -> Result<BVec3, Error> {
    let values: Option<Vec<bool>> = split_array(text).map(parse_boolean).collect();
    match values.as_deref() {
        Some([all]) => Ok(BVec3::splat(*all)),
        Some([a, b, c]) => Ok(BVec3::new(*a, *b, *c)),
        _ => Err(Error::input(
            place,
            format!("expected three truth values in pbc, found \"{}\"", shorten(text)),
            "Write pbc=\"T T T\" for a box that repeats in all directions",
        )),
    }
}

fn take_column(columns: &mut Vec<Column>, name: &str) -> Option<Column> {
    columns.iter().position(|c| c.name == name).map(|at| columns.remove(at))
}

/// Species from the column `species` (symbols) or `Z` (atomic numbers).
fn take_species(columns: &mut Vec<Column>, place: &str) -> Result<Vec<Species>, Error> {
    let symbols = take_column(columns, "species").or_else(|| take_column(columns, "element"));
    let from_symbols = symbols.map(|c| parse_species(&c, Species::from_symbol, place)).transpose()?;
    let from_number = |word: &str| word.parse().ok().and_then(Species::from_atomic_number);
    let from_numbers = take_column(columns, "Z").map(|c| parse_species(&c, from_number, place)).transpose()?;
    match (from_symbols, from_numbers) {
        (Some(a), Some(b)) if a != b => {
            let problem = "expected the columns species and Z to agree, found atoms where they differ";
            Err(Error::input(place, problem, "Remove the wrong column"))
        }
        (Some(species), _) | (None, Some(species)) => Ok(species),
        (None, None) => {
            let problem = "expected a column species:S:1 or Z:I:1 in Properties, found none";
            Err(Error::input(place, problem, "Write e.g. Properties=species:S:1:pos:R:3"))
        }
    }
}

fn parse_species(column: &Column, parse: impl Fn(&str) -> Option<Species>, place: &str) -> Result<Vec<Species>, Error> {
    let of_atom = |(atom, word): (usize, &String)| {
        parse(word).ok_or_else(|| {
            let problem =
                format!("expected an element from H to Pu, found \"{}\" for atom {}", shorten(word), atom + 1);
            Error::input(place, problem, "Use the element's symbol (or its atomic number in a column Z)")
        })
    };
    if column.width != 1 {
        let problem = format!("expected one value per atom in column \"{}\", found {}", column.name, column.width);
        return Err(Error::input(place, problem, "Write e.g. Properties=species:S:1:pos:R:3"));
    }
    column.words.iter().enumerate().map(of_atom).collect()
}

fn take_positions(columns: &mut Vec<Column>, place: &str) -> Result<Vec<DVec3>, Error> {
    match take_column(columns, "pos").or_else(|| take_column(columns, "positions")) {
        Some(column) => vectors_of(&column, place),
        None => {
            let problem = "expected a column pos:R:3 in Properties, found none";
            Err(Error::input(place, problem, "Write e.g. Properties=species:S:1:pos:R:3"))
        }
    }
}

fn vectors_of(column: &Column, place: &str) -> Result<Vec<DVec3>, Error> {
    let wrong = || {
        let problem = format!("expected column \"{}\" to be R:3, found {}:{}", column.name, column.kind, column.width);
        Error::input(place, problem, "Write e.g. Properties=species:S:1:pos:R:3:forces:R:3")
    };
    if column.width != 3 {
        return Err(wrong());
    }
    let vector = |words: &[String]| {
        let mut values = [0.0; 3];
        for (value, word) in values.iter_mut().zip(words) {
            *value = word.parse().ok().filter(|x: &f64| x.is_finite()).ok_or_else(wrong)?;
        }
        Ok(DVec3::from_array(values))
    };
    column.words.chunks(3).map(vector).collect()
}

/// Takes the one label of several customary names; values that differ are refused, names not chosen are set aside
/// under `other_NAME` so that they cannot be mistaken for labels later.
fn choose<T: PartialEq>(
    candidates: Vec<(String, T)>,
    chosen: Option<&str>,
    what: &str,
    option: &str,
    place: &str,
) -> Result<(Option<T>, Vec<String>), Error> {
    if let Some(name) = chosen {
        let mut set_aside: Vec<String> = candidates.iter().map(|(key, _)| key.clone()).collect();
        set_aside.retain(|key| key != name);
        let value = candidates.into_iter().find(|(key, _)| key == name).map(|(_, value)| value);
        return Ok((value, set_aside));
    }
    if let Some([first, second]) = candidates.windows(2).map(|w| [&w[0], &w[1]]).find(|[a, b]| a.1 != b.1) {
        let problem = format!("expected one {what}, found \"{}\" and \"{}\" with different values", first.0, second.0);
        return Err(Error::input(place, problem, format!("Name the one that is meant ({option})")));
    }
    Ok((candidates.into_iter().next().map(|(_, value)| value), Vec::new()))
}

fn take_energy(info: &mut Info, chosen: Option<&str>, place: &str) -> Result<Option<f64>, Error> {
    let mut candidates = Vec::new();
    for key in ENERGY_KEYS.into_iter().chain(chosen.filter(|k| !ENERGY_KEYS.contains(k))) {
        let Some(text) = info.get(key) else { continue };
        let [energy] = *numbers(text, key, place)?.as_slice() else {
            let problem = format!("expected one number for \"{key}\", found \"{}\"", shorten(text));
            return Err(Error::input(place, problem, "Repair the value or rename the key"));
        };
        candidates.push((key.to_owned(), energy));
    }
    let found: Vec<String> = candidates.iter().map(|(key, _)| key.clone()).collect();
    let (energy, set_aside) = choose(candidates, chosen, "energy", "energy key", place)?;
    for key in found {
        if set_aside.contains(&key) {
            info.rename(&key, &format!("other_{key}"));
        } else {
            info.remove(&key);
        }
    }
    Ok(energy)
}

fn take_forces(columns: &mut Vec<Column>, chosen: Option<&str>, place: &str) -> Result<Option<Vec<DVec3>>, Error> {
    let is_candidate = |name: &str| FORCES_KEYS.contains(&name) || chosen == Some(name);
    let named: Vec<&Column> = columns.iter().filter(|c| is_candidate(&c.name)).collect();
    let candidates =
        named.into_iter().map(|c| Ok((c.name.clone(), vectors_of(c, place)?))).collect::<Result<_, Error>>()?;
    let (forces, set_aside) = choose(candidates, chosen, "column of forces", "forces key", place)?;
    columns.retain(|c| !is_candidate(&c.name) || set_aside.contains(&c.name));
    for name in set_aside {
        let mut aside = format!("other_{name}");
        while columns.iter().any(|c| c.name == aside) {
            aside.insert_str(0, "other_");
        }
        columns.iter_mut().filter(|c| c.name == name).for_each(|c| c.name.clone_from(&aside));
    }
    Ok(forces)
}

/// Fails where there is no volume.
fn needs_lattice(cell: &Cell, key: &str, what: &str, place: &str) -> Result<(), Error> {
    if *cell != NO_CELL {
        return Ok(());
    }
    let problem = format!("expected Lattice because \"{key}\" needs the volume, found none");
    Err(Error::input(place, problem, format!("Give the lattice or remove the {what}")))
}

fn take_stress(info: &mut Info, chosen: Option<&str>, cell: &Cell, place: &str) -> Result<Option<[f64; 6]>, Error> {
    let mut candidates = Vec::new();
    for key in STRESS_KEYS.into_iter().chain(chosen.filter(|k| !STRESS_KEYS.contains(k))) {
        if let Some(text) = info.get(key) {
            needs_lattice(cell, key, "stress", place)?;
            candidates.push((key.to_owned(), voigt(&numbers(text, key, place)?, key, place)?));
        }
    }
    let mut from_virial = Vec::new();
    for key in VIRIAL_KEYS {
        let Some(text) = info.get(key) else { continue };
        needs_lattice(cell, key, "virial", place)?;
        let virial = voigt(&numbers(text, key, place)?, key, place)?;
        from_virial.push((key.to_owned(), virial.map(|v| -v / cell.volume_angstrom3())));
    }
    let found: Vec<String> = candidates.iter().chain(&from_virial).map(|(key, _)| key.clone()).collect();
    let (stress, mut set_aside) = choose(candidates, chosen, "stress", "stress key", place)?;
    let (virial, _) = choose(from_virial, None, "virial", "stress key", place)?;
    if chosen.is_some() {
        set_aside.extend(found.iter().filter(|k| VIRIAL_KEYS.contains(&k.as_str())).cloned());
    } else if let (Some(a), Some(b)) = (&stress, &virial) {
        same_stress(a, b, place)?;
    }
    for key in found {
        if set_aside.contains(&key) {
            info.rename(&key, &format!("other_{key}"));
        } else {
            info.remove(&key);
        }
    }
    Ok(if chosen.is_some() { stress } else { stress.or(virial) })
}

/// The stress and the virial of a file must say the same, up to the digits that other programs write.
fn same_stress(stress: &[f64; 6], from_virial: &[f64; 6], place: &str) -> Result<(), Error> {
    let scale = stress.iter().fold(0.0_f64, |m, s| m.max(s.abs()));
    if stress.iter().zip(from_virial).all(|(a, b)| (a - b).abs() <= 1e-5 * scale + 1e-7) {
        return Ok(());
    }
    let problem =
        format!("expected virial = -stress * volume, found stress {stress:?} and -virial/volume {from_virial:?}");
    Err(Error::input(place, problem, "Remove the wrong one, or name the stress that is meant (stress key)"))
}

/// Voigt components xx yy zz yz xz xy from six numbers in that order or from the nine of a symmetric matrix.
fn voigt(values: &[f64], key: &str, place: &str) -> Result<[f64; 6], Error> {
    match *values {
        [xx, yy, zz, yz, xz, xy] => Ok([xx, yy, zz, yz, xz, xy]),
        [xx, xy, xz, yx, yy, yz, zx, zy, zz] => {
            let scale = values.iter().fold(0.0_f64, |m, s| m.max(s.abs()));
            if [(xy, yx), (xz, zx), (yz, zy)].iter().any(|(a, b)| (a - b).abs() > 1e-5 * scale + 1e-7) {
                let problem = format!("expected a symmetric matrix in \"{key}\", found {values:?}");
                return Err(Error::input(
                    place,
                    problem,
                    "Check the order of the components; symmetrise them if they are noise",
                ));
            }
            Ok([xx, yy, zz, yz.midpoint(zy), xz.midpoint(zx), xy.midpoint(yx)])
        }
        _ => {
            let problem = format!("expected 9 or 6 (xx yy zz yz xz xy) numbers in \"{key}\", found {}", values.len());
            Err(Error::input(place, problem, "Repair the value or rename the key"))
        }
    }
}

/// Writes configurations; all numbers read back to the same bits.
pub fn write_extxyz(path: &Path, frames: &[Frame]) -> Result<(), Error> {
    write_atomically(path, format_extxyz(frames)?.as_bytes())
}

/// The text of an extended XYZ file.
pub fn format_extxyz(frames: &[Frame]) -> Result<String, Error> {
    let mut text = String::new();
    for (index, frame) in frames.iter().enumerate() {
        check_frame(frame, &format!("configuration {}", index + 1))?;
        push_frame(&mut text, frame);
    }
    Ok(text)
}

fn check_frame(frame: &Frame, place: &str) -> Result<(), Error> {
    let n = frame.atoms.len();
    let mut lengths = vec![("forces", frame.forces.as_ref().map_or(n, Vec::len), n)];
    lengths.extend(frame.columns.iter().map(|c| (c.name.as_str(), c.words.len(), n * c.width)));
    if let Some((name, found, expected)) = lengths.into_iter().find(|(_, found, expected)| found != expected) {
        let problem = format!("expected {expected} values in column \"{name}\", found {found}");
        return Err(Error::input(place, problem, "Give one row per atom"));
    }
    if n == 0 {
        return Err(Error::input(place, "expected at least one atom, found none", "Leave empty configurations out"));
    }
    let finite = frame.energy_ev.is_none_or(f64::is_finite)
        && frame.forces.iter().flatten().all(|f| f.is_finite())
        && frame.stress.iter().flatten().all(|s| s.is_finite())
        && frame.atoms.positions.iter().all(|p| p.is_finite())
        && frame.columns.iter().filter(|c| c.kind == 'R').flat_map(|c| &c.words).all(|word| is_finite(word));
    if finite {
        return Ok(());
    }
    let problem = "expected finite numbers to write, found NaN or infinity";
    Err(Error::input(place, problem, "Look at the computation that made this configuration"))
}

fn is_finite(word: &str) -> bool {
    word.parse::<f64>().is_ok_and(f64::is_finite)
}

fn push_frame(text: &mut String, frame: &Frame) {
    let join = |values: &[f64]| values.iter().map(|x| format!("{x:?}")).collect::<Vec<_>>().join(" ");
    let mut pairs = Vec::new();
    if frame.atoms.cell != NO_CELL {
        pairs.push(format!("Lattice=\"{}\"", join(&frame.atoms.cell.vectors.to_cols_array())));
    }
    let mut properties = "species:S:1:pos:R:3".to_owned();
    if frame.forces.is_some() {
        properties.push_str(":forces:R:3");
    }
    for column in &frame.columns {
        let _ = write!(properties, ":{}:{}:{}", column.name, column.kind, column.width);
    }
    let quote = if properties.contains(char::is_whitespace) { "\"" } else { "" };
    pairs.push(format!("Properties={quote}{properties}{quote}"));
    pairs.extend(frame.info.written());
    pairs.extend(frame.energy_ev.map(|energy| format!("energy={energy:?}")));
    if let Some([xx, yy, zz, yz, xz, xy]) = frame.stress {
        pairs.push(format!("stress=\"{}\"", join(&[xx, xy, xz, xy, yy, yz, xz, yz, zz])));
    }
    let [a, b, c] = <[bool; 3]>::from(frame.atoms.cell.periodic).map(|p| if p { "T" } else { "F" });
    pairs.push(format!("pbc=\"{a} {b} {c}\""));
    let _ = writeln!(text, "{}\n{}", frame.atoms.len(), pairs.join(" "));
    for (atom, (species, position)) in frame.atoms.species.iter().zip(&frame.atoms.positions).enumerate() {
        let _ = write!(text, "{species} {}", join(&position.to_array()));
        if let Some(forces) = &frame.forces {
            let _ = write!(text, " {}", join(&forces[atom].to_array()));
        }
        for column in &frame.columns {
            let _ = write!(text, " {}", column.words[atom * column.width..(atom + 1) * column.width].join(" "));
        }
        text.push('\n');
    }
}

#[cfg(test)]
#[path = "extxyz_tests.rs"]
mod tests;
