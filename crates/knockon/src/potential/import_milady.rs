//! MILADY `.pot` files: descriptor type 9 (bispectrum SO(4)), linear, with the three versions of the header, alone or
//! with a patch of two-body kernels ("k2b") that a bridge joins to ZBL.
//!
//! Six comment lines; elements with weights; descriptor type and counts; masses; details; cutoff; then the numbers of
//! the model. All facts about the format are in Goryaeva, Maillet, Marinica, Comput. Mater. Sci. 166, 200 (2019), the
//! public documentation of MILADY and the published files.

use super::{
    Central, CutoffSwitch, FORMAT_VERSION, InnerSwitch, ManyBody, Model, PairCoefficients, PairTerm, Zbl,
    component_triples, pair_index,
};
use crate::io::{Lines, content_hash, read_text};
use crate::{Error, Species};
use std::collections::BTreeMap;
use std::f64::consts::PI;
use std::path::Path;

const REMEDY: &str = "Give a linear MILADY potential of descriptor type 9 as MILADY wrote it, complete";

/// MILADY maps distances to polar angles up to pi - 0.02 at the cutoff.
const ANGLE_FRACTION: f64 = 1.0 - 0.02 / PI;

/// Reads a `.pot` file.
pub fn import_milady(path: &Path, name: &str) -> Result<Model, Error> {
    let mut model = parse_milady(&read_text(path)?, &path.display().to_string())?;
    model.name = name.to_owned();
    Ok(model)
}

/// Makes a model from the text of a `.pot` file; `place` stands for the file in errors.
///
/// Atoms without any neighbour have the energy of the self term here; MILADY gives them the intercept alone.
pub fn parse_milady(text: &str, place: &str) -> Result<Model, Error> {
    let mut lines = Lines::new(text, place, REMEDY);
    for _ in 0..6 {
        lines.next("six comment lines")?;
    }
    let header = Header::parse(&mut lines)?;
    let values = read_numbers(&mut lines, header.columns())?;
    let mut numbers = Numbers { values, next: 0, lines: &lines };
    if numbers.values.len() != header.n_numbers {
        let found = numbers.values.len();
        return Err(lines.wrong(&format!("expected {} numbers after the cutoff, found {found}", header.n_numbers)));
    }
    let intercept_ev = numbers.take()?;
    let n_components = component_triples(header.two_j_max).len();
    let mut coefficients_ev = Vec::new();
    for _ in 0..header.n_channels {
        coefficients_ev.push(numbers.take_many(n_components)?);
    }
    let patch = header.has_patch.then(|| Patch::parse(&mut numbers, header.elements.len())).transpose()?;
    numbers.expect_end()?;
    let central = header.elements.iter().map(|e| Central {
        species: e.species,
        radius: 0.5,
        channel_weights: e.weights[..header.n_channels].to_vec(),
        intercept_ev: intercept_ev + e.reference_energy_ev,
        coefficients_ev: coefficients_ev.clone(),
        similarity: None,
    });
    let inner_switch = patch.as_ref().and_then(Patch::inner_switch);
    let mut provenance = BTreeMap::from([
        ("imported_from".to_owned(), format!("MILADY, {place}, header of {}", header.version)),
        ("hash_pot".to_owned(), content_hash(text.as_bytes())),
        ("program".to_owned(), format!("knockon {}", env!("CARGO_PKG_VERSION"))),
    ]);
    if header.elements.iter().any(|e| e.reference_energy_ev != 0.0) {
        provenance.insert("reference_energies".to_owned(), "added to the intercepts".to_owned());
    }
    let pair = patch.map(|p| p.into_pair_term(&header, &lines)).transpose()?;
    if pair.as_ref().is_some_and(|p| !p.zbl.prefactors.is_empty()) {
        let note = "ZBL and bridge counted once per pair and joined to the whole two-body energy of a pair";
        provenance.insert("bridge".to_owned(), note.to_owned());
    }
    let many_body = ManyBody {
        two_j_max: header.two_j_max,
        cutoff_angstrom: header.cutoff_angstrom,
        angle_fraction: ANGLE_FRACTION,
        channel_cutoffs_angstrom: Vec::new(),
        cutoff_switch: CutoffSwitch::Cosine,
        self_weight: 1.0,
        inner_switch,
    };
    let model = Model {
        format_version: FORMAT_VERSION,
        name: "imported from MILADY".to_owned(),
        provenance,
        many_body,
        pair,
        electrostatic: None,
        central: central.collect(),
    }
    .in_oldest_format();
    model.validate(place)?;
    Ok(model)
}

/// An element of the header.
struct Element {
    species: Species,
    /// Weights in the channels; the first is 1 except in files of 2021.
    weights: [f64; 3],
    reference_energy_ev: f64,
}

/// Lines 7 to 11.
struct Header {
    version: &'static str,
    n_channels: usize,
    elements: Vec<Element>,
    two_j_max: usize,
    has_patch: bool,
    n_numbers: usize,
    cutoff_angstrom: f64,
}

impl Header {
    fn parse(lines: &mut Lines<'_>) -> Result<Self, Error> {
        let words = lines.words("channels, elements and weights", 3)?;
        let (version, n_channels, elements) = parse_elements(&words, lines)?;
        let [kind, n_numbers, n_details] = integers(lines, "descriptor type, number of parameters, number of details")?;
        if kind != 9 {
            return Err(lines.wrong(&format!("expected descriptor type 9 (bispectrum SO(4)), found {kind}")));
        }
        lines.numbers("the mass of each element", elements.len()..=elements.len())?;
        let details = lines.numbers("the details of the descriptor", 3..=16)?;
        if details.len() != n_details {
            return Err(lines.wrong(&format!("expected {n_details} details, found {}", details.len())));
        }
        if details[0] != 1.0 {
            return Err(lines.wrong(&format!("expected mld_order 1 (linear), found {}", details[0])));
        }
        let two_j_max = 2.0 * details[1];
        if two_j_max.fract() != 0.0 || !(1.0..=8.0).contains(&two_j_max) {
            return Err(lines.wrong(&format!("expected j_max from 0.5 to 4, found {}", details[1])));
        }
        if details[2] != 0.0 {
            return Err(lines.wrong("expected lbso4_diag 0 (all components), found the diagonal ones only"));
        }
        let has_patch = details.get(3).is_some_and(|p| *p != 0.0);
        let cutoffs = lines.numbers("the cutoff", 1..=1000)?;
        if cutoffs.iter().any(|c| *c != cutoffs[0]) {
            return Err(lines.wrong(&format!("expected one cutoff for all pairs of elements, found {cutoffs:?}")));
        }
        let cutoff_angstrom = cutoffs[0];
        Ok(Self { version, n_channels, elements, two_j_max: two_j_max as usize, has_patch, n_numbers, cutoff_angstrom })
    }

    /// Files of 2021 have one column of numbers per pair of elements.
    fn columns(&self) -> usize {
        if self.version == "2021" { self.elements.len() * (self.elements.len() + 1) / 2 } else { 1 }
    }
}

/// The version follows from the number of words: n (El w)*n, or channels n (El w2 w3)*n, or (El w2 w3 Eref)*n.
fn parse_elements(words: &[&str], lines: &Lines<'_>) -> Result<(&'static str, usize, Vec<Element>), Error> {
    let count = |i: usize| words.get(i).and_then(|w| w.parse::<usize>().ok()).filter(|n| (1..=100).contains(n));
    let (version, n_channels, rest, width) = match (count(0), count(1)) {
        (Some(n), None) if words.len() == 1 + 2 * n => ("2021", 1, &words[1..], 2),
        (Some(c), Some(n)) if words.len() == 2 + 3 * n => ("2023", c, &words[2..], 3),
        (Some(c), Some(n)) if words.len() == 2 + 4 * n => ("2026", c, &words[2..], 4),
        _ => {
            let found = format!("expected n (El w)*n or channels n (El w2 w3 [E])*n, found \"{}\"", words.join(" "));
            return Err(lines.wrong(&found));
        }
    };
    if n_channels > 3 {
        return Err(lines.wrong(&format!("expected 1 to 3 channels, found {n_channels}")));
    }
    let element = |group: &[&str]| {
        let species = Species::from_symbol(group[0]);
        let species =
            species.ok_or_else(|| lines.wrong(&format!("expected an element from H to Pu, found \"{}\"", group[0])))?;
        let numbers = group[1..].iter().map(|w| fortran_number(w, lines)).collect::<Result<Vec<f64>, Error>>()?;
        let weights = if version == "2021" { [numbers[0], 1.0, 1.0] } else { [1.0, numbers[0], numbers[1]] };
        Ok(Element { species, weights, reference_energy_ev: numbers.get(2).copied().unwrap_or(0.0) })
    };
    Ok((version, n_channels, rest.chunks(width).map(element).collect::<Result<_, Error>>()?))
}

fn integers<const N: usize>(lines: &mut Lines<'_>, expected: &str) -> Result<[usize; N], Error> {
    let words = lines.words(expected, N)?;
    let mut values = [0; N];
    for (value, word) in values.iter_mut().zip(&words) {
        *value =
            word.parse().map_err(|_| lines.wrong(&format!("expected {expected}, found \"{}\"", words.join(" "))))?;
    }
    Ok(values)
}

/// A number as Fortran may write it: 1.5D+00.
fn fortran_number(word: &str, lines: &Lines<'_>) -> Result<f64, Error> {
    lines.number(&word.replace(['D', 'd'], "e"))
}

/// The rest of the file: one number a line, or `columns` equal ones.
fn read_numbers(lines: &mut Lines<'_>, columns: usize) -> Result<Vec<f64>, Error> {
    let mut values = Vec::new();
    while let Some(line) = lines.next_filled() {
        let row = line.split_whitespace().map(|w| fortran_number(w, lines)).collect::<Result<Vec<f64>, Error>>()?;
        if row.len() != columns || row.iter().any(|x| *x != row[0]) {
            let problem = format!(
                "expected {columns} equal numbers in the line, found \"{line}\": coefficients per pair of elements are not part of this model"
            );
            return Err(lines.wrong(if columns == 1 { "expected one number a line, found several" } else { &problem }));
        }
        values.push(row[0]);
    }
    Ok(values)
}

/// A cursor over the numbers of the model.
struct Numbers<'a, 'b> {
    values: Vec<f64>,
    next: usize,
    lines: &'b Lines<'a>,
}

impl Numbers<'_, '_> {
    fn take(&mut self) -> Result<f64, Error> {
        let value = self.values.get(self.next).copied();
        self.next += 1;
        value.ok_or_else(|| {
            self.lines.wrong(&format!("expected more numbers after number {}, found the end", self.next - 1))
        })
    }

    fn take_many(&mut self, count: usize) -> Result<Vec<f64>, Error> {
        (0..count).map(|_| self.take()).collect()
    }

    /// Integers are written as reals in these files.
    fn take_count(&mut self, what: &str, most: usize) -> Result<usize, Error> {
        let value = self.take()?;
        if value.fract() == 0.0 && (0.0..=most as f64).contains(&value) {
            return Ok(value as usize);
        }
        let problem = format!("expected {what} from 0 to {most} as number {}, found {value}", self.next);
        Err(self.lines.wrong(&problem))
    }

    fn expect_end(&self) -> Result<(), Error> {
        if self.next == self.values.len() {
            return Ok(());
        }
        let problem = format!("expected {} numbers after the cutoff, found {}", self.next, self.values.len());
        Err(self.lines.wrong(&problem))
    }
}

/// The two-body part of a file.
struct Patch {
    /// Weight, species indices and grid index of each kernel.
    kernels: Vec<(f64, [usize; 2], usize)>,
    grid: Vec<f64>,
    sigma: f64,
    delta: f64,
    zbl: Option<[f64; 2]>,
    /// r_cut_2b, its width, r_cut_in, its width.
    cutoffs: [f64; 4],
    cutoff_type: usize,
    cutoff_width: f64,
}

/// More numbers of one kind than any file has.
const MOST: usize = 1_000_000;

impl Patch {
    fn parse(numbers: &mut Numbers<'_, '_>, n_elements: usize) -> Result<Self, Error> {
        // The additive kind starts with the fixed eight numbers 1.0, zbl_type 2, ...; the other with flag and dimension.
        if numbers.values.len() - numbers.next == 8 {
            let problem =
                "expected a patch of zbl_type 1 (bridge), found another: additive ZBL is not part of this model";
            return Err(numbers.lines.wrong(problem));
        }
        let has_zbl = numbers.take_count("the ZBL flag", 1)? == 1;
        numbers.take()?; // dim_xdesc_patch repeats what follows
        let n_kernels = numbers.take_count("the number of two-body kernels", MOST)?;
        let weights = numbers.take_many(n_kernels)?;
        numbers.take()?; // sparse_build
        let n_grid = numbers.take_count("the number of grid points", MOST)?;
        let grid = numbers.take_many(n_grid)?;
        let mut kernels = Vec::new();
        for weight in weights {
            let types = [numbers.take_count("an element", n_elements)?, numbers.take_count("an element", n_elements)?];
            let point = numbers.take_count("a grid point", n_grid)?;
            numbers.take()?; // rr, always 0
            if types.contains(&0) || point == 0 {
                return Err(numbers.lines.wrong("expected elements and grid points numbered from 1, found 0"));
            }
            kernels.push((weight, types.map(|t| t - 1), point - 1));
        }
        let (sigma, delta) = (numbers.take()?, numbers.take()?);
        let zbl = if has_zbl {
            let radii = [numbers.take()?, numbers.take()?];
            numbers.take()?; // kind of bridge; only its coefficients depend on it, and they are made anew
            let [powers, pairs] = [
                numbers.take_count("a dimension of the bridge", 100)?,
                numbers.take_count("a dimension of the bridge", MOST)?,
            ];
            numbers.take_many(powers * pairs)?;
            Some(radii)
        } else {
            None
        };
        let cutoffs = [numbers.take()?, numbers.take()?, numbers.take()?, numbers.take()?];
        let cutoff_type = numbers.take_count("the type of the cutoff function", 9)?;
        Ok(Self { kernels, grid, sigma, delta, zbl, cutoffs, cutoff_type, cutoff_width: numbers.take()? })
    }

    fn inner_switch(&self) -> Option<InnerSwitch> {
        let [_, _, start, width] = self.cutoffs;
        (start > 0.0).then_some(InnerSwitch { start_angstrom: start, end_angstrom: start + width })
    }

    /// Where the cosine taper of a cutoff starts: type 2 falls all the way from 0, type 3 within the width.
    fn taper_start(&self, cutoff: f64, width: f64, lines: &Lines<'_>) -> Result<f64, Error> {
        match self.cutoff_type {
            2 => Ok(0.0),
            3 => Ok((cutoff - width).max(0.0)),
            other => Err(lines.wrong(&format!(
                "expected a cutoff function of type 2 or 3 (cosine) for two-body kernels, found {other}"
            ))),
        }
    }

    fn into_pair_term(self, header: &Header, lines: &Lines<'_>) -> Result<PairTerm, Error> {
        let [cutoff_angstrom, width, inner_cutoff, _] = self.cutoffs;
        let n = header.elements.len();
        let grid_taper_start = self.taper_start(header.cutoff_angstrom, self.cutoff_width, lines)?;
        let mut pairs = Vec::new();
        for a in 0..n {
            for b in a..n {
                let species = [header.elements[a].species, header.elements[b].species];
                pairs.push(PairCoefficients { species, coefficients_ev: vec![0.0; self.grid.len()] });
            }
        }
        for (weight, [a, b], point) in &self.kernels {
            // Each atom of a bond sees the other, and a pair of equal species matches its kernel twice.
            let multiplicity = if a == b { 4.0 } else { 2.0 };
            let at_center = cosine(grid_taper_start, header.cutoff_angstrom, self.grid[*point]);
            let coefficient = multiplicity * weight * self.delta * self.delta * at_center;
            pairs[pair_index(*a, *b, n)].coefficients_ev[*point] += coefficient;
        }
        let taper_start_angstrom = self.taper_start(cutoff_angstrom, width, lines)?;
        // Without ZBL the kernels go on to the distance at which atoms count as overlapping.
        let (zbl, inner_angstrom, outer_angstrom) = match self.zbl {
            Some([inner, _]) => (milady_zbl(), inner, inner_cutoff),
            None => (Zbl { prefactors: vec![], exponents: vec![], ..milady_zbl() }, 0.02, 0.05),
        };
        Ok(PairTerm {
            cutoff_angstrom,
            taper_start_angstrom,
            cutoff_switch: CutoffSwitch::Cosine,
            centers_angstrom: self.grid,
            sigma_angstrom: self.sigma,
            inner_angstrom,
            outer_angstrom,
            zbl,
            pairs,
        })
    }
}

/// 1 up to `start`, then half a cosine down to 0 at `cutoff`.
fn cosine(start: f64, cutoff: f64, r: f64) -> f64 {
    if r <= start {
        1.0
    } else if r >= cutoff {
        0.0
    } else {
        0.5 * (1.0 + (PI * (r - start) / (cutoff - start)).cos())
    }
}

/// MILADY's screening function: three exponentials, softer at 1 angstrom than the universal one.
fn milady_zbl() -> Zbl {
    Zbl {
        length_angstrom: 0.46848,
        charge_power: 0.23,
        prefactors: vec![0.32825, 0.09219, 0.58110],
        exponents: vec![2.54931, 0.29182, 0.59231],
    }
}

#[cfg(test)]
#[path = "import_milady_tests.rs"]
mod tests;
