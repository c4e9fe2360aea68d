//! What CP2K prints (PRINT_LEVEL MEDIUM, FORCE_EVAL/PRINT/FORCES and STRESS_TENSOR on).
//!
//! The output tells the geometry only of its first step. Those of later ones come from `PROJECT-pos-1.xyz` in the same
//! folder, matched by their energies; steps without a match are counted as incomplete, and so are those of molecular dynamics in
//! a cell that changes (ensembles NP...), which stands in neither.

use super::{Energies, Output, Step, Text, beside};
use crate::units::{BOHR_ANGSTROM, EV_PER_ANGSTROM3_IN_GPA, HARTREE_EV};
use crate::{Atoms, Cell, Error, Species};
use glam::{BVec3, DMat3, DVec3};
use std::path::Path;

/// Energies in the two files agree within this, in hartree: they are printed with ten digits.
const SAME_ENERGY: f64 = 2e-9;

/// One evaluation, as far as it has been read.
struct Begun {
    hartree: f64,
    energies: Energies,
    forces: Option<Vec<DVec3>>,
    stress: Option<[f64; 6]>,
    converged: bool,
    vectors: DMat3,
}

/// Reads all evaluations.
pub(super) fn parse(text: &str, path: &Path) -> Result<Output, Error> {
    let text = Text::new(text, path);
    let (species, first) = coordinates(&text)?;
    let mut cell = None;
    let input_cell = input_cell(&text, path)?;
    let (mut entropy, mut converged) = (0.0, true);
    let mut evaluations: Vec<Begun> = Vec::new();
    let mut n_cut = 0;
    for (index, line) in text.lines.iter().enumerate() {
        let line = line.trim_start();
        if line.starts_with("CELL| Vector a [angstrom]") {
            cell = Some(cell_vectors(&text, index, input_cell)?);
        } else if line.starts_with("Electronic entropic energy:") {
            entropy = HARTREE_EV * text.number_after(index, "energy:")?;
        } else if line.contains("SCF run NOT converged") {
            converged = false;
        } else if line.contains("SCF run converged in") {
            converged = true;
        } else if line.starts_with("ENERGY| Total FORCE_EVAL") {
            let word = line.split_whitespace().last().unwrap_or("");
            let hartree = text.number(index, word)?;
            let vectors = cell.ok_or_else(|| text.wrong(index, "the cell before the first energy (CELL| ...)"))?;
            let energies = Energies::from_free(HARTREE_EV * hartree, entropy, true);
            evaluations.push(Begun { hartree, energies, forces: None, stress: None, converged, vectors });
            (entropy, converged) = (0.0, true);
        } else if let Some(step) = evaluations.last_mut() {
            if let Some((below, words)) = force_table(line) {
                let rows = (index + below)..(index + below + species.len());
                if rows.end >= text.lines.len() {
                    // The file ends within the table, or with it, where the last number may be cut.
                    evaluations.pop();
                    n_cut += 1;
                    continue;
                }
                let unit = HARTREE_EV / BOHR_ANGSTROM;
                step.forces = Some(rows.map(|k| Ok(unit * text.vector(k, words)?)).collect::<Result<_, Error>>()?);
            } else if let Some((below, words, unit_gpa)) =
                stress_table(line).filter(|(below, ..)| index + below + 3 < text.lines.len())
            {
                let row = |k: usize| text.vector(index + below + k, words);
                let [x, y, z] = [row(0)?, row(1)?, row(2)?];
                // Positive in compression.
                step.stress = Some([x.x, y.y, z.z, y.z, x.z, x.y].map(|s| -s * unit_gpa / EV_PER_ANGSTROM3_IN_GPA));
            }
        }
    }
    let mut output = Output { settings: settings(&text)?, incomplete: n_cut, ..Output::default() };
    // The positions of a lone step stand in the output.
    let told = evaluations.len() > 1 && !cell_moves(&text);
    let trajectory = if told { trajectory(&text, path, species.len())? } else { Vec::new() };
    for (number, b) in evaluations.into_iter().enumerate() {
        let same = |(hartree, _): &&(f64, Vec<DVec3>)| (hartree - b.hartree).abs() < SAME_ENERGY;
        let positions = if number == 0 { Some(&first) } else { trajectory.iter().find(same).map(|(_, p)| p) };
        let Some(positions) = positions else {
            output.incomplete += 1;
            continue;
        };
        let cell = Cell { vectors: b.vectors, periodic: BVec3::TRUE };
        let atoms = Atoms::new(cell, species.clone(), positions.clone(), &text.name)?;
        let Begun { energies, forces, stress, converged, .. } = b;
        output.steps.push(Step { atoms, energies, forces, stress, converged });
    }
    Ok(output)
}

/// Whether this is molecular dynamics at a given pressure.
fn cell_moves(text: &Text<'_>) -> bool {
    let ensembles = text.lines.iter().filter(|line| line.trim_start().to_ascii_lowercase().starts_with("md| ensemble"));
    ensembles.filter_map(|line| line.split_whitespace().last()).any(|name| name.starts_with("NP"))
}

/// If forces stand below this line: how many lines below, and how many words before the numbers. The second form is that of
/// CP2K 2025 and later.
fn force_table(line: &str) -> Option<(usize, usize)> {
    if line.starts_with("ATOMIC FORCES in [a.u.]") {
        Some((3, 3))
    } else if line.starts_with("FORCES| Atomic forces [hartree/bohr]") {
        Some((2, 2))
    } else {
        None
    }
}

/// If a stress tensor stands below this line: how many lines below, how many words before the numbers, and its unit in GPa.
/// The first form is that of CP2K 7 and earlier; CP2K 2025 and later print bar unless asked for another unit.
fn stress_table(line: &str) -> Option<(usize, usize, f64)> {
    if line.starts_with("STRESS TENSOR [GPa]") {
        return Some((3, 1, 1.0));
    }
    match line.strip_prefix("STRESS| Analytical stress tensor [")?.split(']').next()? {
        "GPa" => Some((2, 2, 1.0)),
        "bar" => Some((2, 2, 1e-4)),
        _ => None,
    }
}

/// Species and first positions.
fn coordinates(text: &Text<'_>) -> Result<(Vec<Species>, Vec<DVec3>), Error> {
    let title = text.lines.iter().position(|l| l.to_ascii_uppercase().contains("ATOMIC COORDINATES IN ANGSTROM"));
    let title =
        title.ok_or_else(|| text.wrong(text.lines.len(), "ATOMIC COORDINATES IN ANGSTROM (PRINT_LEVEL MEDIUM)"))?;
    let (mut species, mut positions) = (Vec::new(), Vec::new());
    for index in title + 1..text.lines.len() {
        let words: Vec<&str> = text.line(index).split_whitespace().collect();
        match words.first() {
            Some(word) if word.parse::<usize>().is_ok() && words.len() >= 7 => {
                let element = Species::from_symbol(words[2]);
                species.push(element.ok_or_else(|| text.wrong(index, "an element in the third column"))?);
                positions.push(text.vector(index, 4)?);
            }
            _ if !species.is_empty() => break,
            _ => {}
        }
    }
    Ok((species, positions))
}

/// The vectors A, B and C of the input file, if it is beside the output and has them in angstrom.
fn input_cell(text: &Text<'_>, path: &Path) -> Result<Option<DMat3>, Error> {
    let name = text.lines.iter().find_map(|l| l.trim_start().strip_prefix("CP2K| Input file name"));
    // Where it was when the code ran may be anywhere, on another machine.
    let name = name.and_then(|name| Path::new(name.trim()).file_name()).and_then(|name| name.to_str());
    let content = name.map(|name| beside(path, name)).transpose()?.flatten();
    Ok(content.and_then(|content| written_cell(&content)))
}

/// The vectors A, B and C in an input file.
fn written_cell(input: &str) -> Option<DMat3> {
    let vector = |key: &str| {
        let numbers = input.lines().find_map(|l| l.trim_start().strip_prefix(key))?;
        let numbers: Option<Vec<f64>> = numbers.split_whitespace().map(|w| w.parse().ok()).collect();
        numbers.filter(|n| n.len() == 3).map(|n| DVec3::from_slice(&n))
    };
    Some(DMat3::from_cols(vector("A ")?, vector("B ")?, vector("C ")?))
}

/// CP2K prints components with three digits and lengths and angles with six. The cell of the input file is taken if it
/// agrees with the components; without it components are taken as printed if they
/// give the lengths and angles, otherwise the cell is that of the lengths and angles with a along x and b in the xy
/// plane if this agrees with the components.
fn cell_vectors(text: &Text<'_>, index: usize, input: Option<DMat3>) -> Result<DMat3, Error> {
    let rows = [0, 1, 2].map(|k| {
        let rest = text.line(index + k).split_once(']').map_or("", |(_, r)| r);
        let words: Vec<&str> = rest.trim_start_matches(':').split_whitespace().collect();
        let numbers = [0, 1, 2, 5].map(|w| words.get(w).and_then(|w| w.parse::<f64>().ok()).unwrap_or(f64::NAN));
        (DVec3::new(numbers[0], numbers[1], numbers[2]), numbers[3])
    });
    let printed = DMat3::from_cols(rows[0].0, rows[1].0, rows[2].0);
    if let Some(input) = input.filter(|m| m.abs_diff_eq(printed, 6e-4)) {
        return Ok(input);
    }
    let lengths = rows.map(|r| r.1);
    let angle = |k: usize| text.number_after(index + k, "[degree]");
    let angles = [angle(3)?, angle(4)?, angle(5)?];
    let [cos_a, cos_b, cos_c] = angles.map(|a| a.to_radians().cos());
    let sin_c = angles[2].to_radians().sin();
    let [a, b, c] = lengths;
    let cy = (cos_a - cos_b * cos_c) / sin_c;
    let canonical = DMat3::from_cols(
        DVec3::X * a,
        b * DVec3::new(cos_c, sin_c, 0.0),
        c * DVec3::new(cos_b, cy, (1.0 - cos_b * cos_b - cy * cy).max(0.0).sqrt()),
    );
    let metric = |m: DMat3| m.transpose() * m;
    if metric(printed).abs_diff_eq(metric(canonical), 1e-6 * a.max(b).max(c).powi(2)) {
        return Ok(printed);
    }
    // Half a digit of components, and of angles at the end of a long vector.
    let printing = 6e-4 + 0.5e-3f64.to_radians() * a.max(b).max(c);
    if printed.abs_diff_eq(canonical, printing) {
        return Ok(canonical);
    }
    Err(text.wrong(
        index,
        "the input file beside, a cell whose components have three digits, or one with a along x and b in the xy plane (CP2K prints no more)",
    ))
}

/// Energies in hartree and positions of `PROJECT-pos-1.xyz`, if it is there.
fn trajectory(text: &Text<'_>, path: &Path, n_atoms: usize) -> Result<Vec<(f64, Vec<DVec3>)>, Error> {
    let project = text.lines.iter().find_map(|l| l.trim_start().strip_prefix("GLOBAL| Project name"));
    let name = format!("{}-pos-1.xyz", project.unwrap_or("").trim());
    let Some(content) = beside(path, &name)? else { return Ok(Vec::new()) };
    let file = Text::new(&content, Path::new(&name));
    let mut frames = Vec::new();
    let mut index = 0;
    // A last frame that is cut short, in its last number too, is left out.
    let n_whole = file.lines.len() - usize::from(!content.ends_with('\n'));
    while file.line(index).trim() == n_atoms.to_string() && index + 2 + n_atoms <= n_whole {
        let energy = file.number_after(index + 1, "E =")?;
        let rows = (index + 2)..(index + 2 + n_atoms);
        frames.push((energy, rows.map(|k| file.vector(k, 1)).collect::<Result<_, _>>()?));
        index += 2 + n_atoms;
    }
    Ok(frames)
}

fn settings(text: &Text<'_>) -> Result<Vec<(&'static str, String)>, Error> {
    let mut settings = Vec::new();
    let position = |key: &str| text.lines.iter().position(|l| l.contains(key));
    if let Some(index) = position("CP2K| version string:") {
        // "CP2K version 2023.1", or with "(Development Version)" behind it.
        let version = text.line(index).split_once("CP2K version").and_then(|(_, rest)| rest.split_whitespace().next());
        settings.push(("code", format!("CP2K {}", version.unwrap_or("?"))));
    }
    if let Some(index) = position("Density cutoff [a.u.]:") {
        let cutoff = HARTREE_EV * text.number_after(index, "[a.u.]:")?;
        settings.push(("ecut", format!("{:?}", (cutoff * 1e3).round() / 1e3)));
    }
    let named = |key: &str| -> Vec<String> {
        let rest = text.lines.iter().filter_map(|l| l.trim_start().strip_prefix(key));
        rest.filter_map(|r| r.split_whitespace().next()).map(|w| w.trim_end_matches(':').to_owned()).collect()
    };
    // Only names stand behind the key; the description of each follows in lower case.
    let functionals: Vec<String> = named("FUNCTIONAL|")
        .into_iter()
        .filter(|w| !w.contains(|c: char| c.is_lowercase() || c == '=' || c == '.'))
        .collect();
    if !functionals.is_empty() {
        let value = |key: &str| position(key).and_then(|k| text.line(k).split_whitespace().last());
        let mut name = functionals.join("+");
        if let Some(fraction) = value("HFX_INFO| FRACTION:") {
            let fraction = fraction.trim_end_matches('0');
            let potential = value("HFX_INFO| Interaction Potential:").unwrap_or("?");
            let omega =
                value("HFX_INFO| Omega:").map_or_else(String::new, |w| format!(" omega {}", w.trim_end_matches('0')));
            name += &format!("+{fraction} HF ({potential}{omega})");
        }
        if position("vdW POTENTIAL|").is_some() {
            name += "+vdW";
        }
        if position("DFT+U energy:").is_some() {
            name += "+U";
        }
        settings.push(("xc", name));
    }
    if let Some(index) = position("BRILLOUIN| K-Point grid") {
        let words: Vec<&str> = text.line(index).split_whitespace().collect();
        let mesh = words[words.len().saturating_sub(3)..].join(" ");
        if mesh != "1 1 1" {
            settings.push(("kpts", mesh));
        }
    }
    let potentials: Vec<String> = text
        .lines
        .iter()
        .filter(|l| l.contains("Potential information for"))
        .filter_map(|l| l.split_whitespace().last().map(str::to_owned))
        .collect();
    if !potentials.is_empty() {
        settings.push(("pseudopotentials", potentials.join(", ")));
    }
    Ok(settings)
}
