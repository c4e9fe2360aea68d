//! Files of MILADY's data bases: a POSCAR with energies in its first line, and forces and stress at its end.
//!
//! The format is that of MILADY's manual (ai-atoms/milady-docs, "Database files"). Its stress is positive in tension:
//! the manual's example, bcc Fe at a = 2.635 angstrom, 20 % below its equilibrium volume, has -0.42 eV/angstrom^3.

use super::{Energies, Output, Step, Text};
use crate::settings::is_positive;
use crate::{Atoms, Cell, Error, Species};
use glam::{BVec3, DMat3, DVec3};
use std::path::Path;

/// Reads the one configuration. Of the three energies the first is taken, the total energy, as that at zero smearing: the
/// manual does not say how occupations enter it. The others are relative to references of their maker.
pub(super) fn parse(text: &str, path: &Path) -> Result<Output, Error> {
    let plain: String = text.lines().map(|l| l.split('#').next().unwrap_or("").trim_end().to_owned() + "\n").collect();
    let text = Text::new(&plain, path);
    let words: Vec<&str> = text.line(0).split_whitespace().collect();
    let flags = words.first().copied().unwrap_or("");
    let n_elements = words.get(1).and_then(|w| w.parse::<usize>().ok()).filter(|n| (1..=20).contains(n));
    let (true, Some(n)) = (flags.len() == 3 && flags.chars().all(|c| c == '0' || c == '1'), n_elements) else {
        return Err(text.wrong(0, "MILADY's first line, e.g. \"111 2 Fe 26 C 12 E1 E2 E3\""));
    };
    let has = |k: usize| flags.as_bytes()[k] == b'1';
    let energies = text.numbers(0, 2 + 2 * n, 3)?;
    let scale = text.numbers(1, 0, 1)?[0];
    if !is_positive(scale) {
        return Err(text.wrong(1, "a positive scale"));
    }
    let row = |k: usize| Ok::<_, Error>(scale * text.vector(k, 0)?);
    let cell = Cell { vectors: DMat3::from_cols(row(2)?, row(3)?, row(4)?), periodic: BVec3::TRUE };
    let counts: Vec<&str> = text.line(5).split_whitespace().take(n).collect();
    let mut species = Vec::new();
    for k in 0..n {
        let element = words.get(2 + 2 * k).and_then(|w| Species::from_symbol(w));
        let element = element.ok_or_else(|| text.wrong(0, "elements"))?;
        let count = counts.get(k).and_then(|w| w.parse::<usize>().ok()).filter(|count| *count <= text.lines.len());
        let count = count.ok_or_else(|| text.wrong(5, &format!("{n} numbers of atoms")))?;
        species.extend(std::iter::repeat_n(element, count));
    }
    let direct = text.line(6).trim_start().starts_with(['D', 'd']);
    let place = |k: usize| text.vector(k, 0).map(|p| if direct { cell.vectors * p } else { scale * p });
    let positions = (7..7 + species.len()).map(place).collect::<Result<Vec<_>, _>>()?;
    let filled = |from: usize| (from..text.lines.len()).find(|k| !text.line(*k).trim().is_empty());
    let mut next = 7 + species.len();
    let forces = match filled(next).filter(|_| has(1)) {
        Some(start) => {
            next = start + species.len();
            Some((start..next).map(|k| text.vector(k, 0)).collect::<Result<Vec<DVec3>, _>>()?)
        }
        None => None,
    };
    let stress = match filled(next).filter(|_| has(2)) {
        Some(start) => text.numbers(start, 0, 6)?.try_into().ok(),
        None => None,
    };
    if (has(1) && forces.is_none()) || (has(2) && stress.is_none()) {
        return Ok(Output { incomplete: 1, ..Output::default() });
    }
    let energy = has(0).then_some(energies[0]);
    let energies = Energies { sigma_0_ev: energy, ..Energies::default() };
    let atoms = Atoms::new(cell, species, positions, &text.name)?;
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let class = stem.split('_').next().unwrap_or("").chars().take(2).collect::<String>();
    let settings = vec![("cls", class), ("milady", stem)];
    Ok(Output { steps: vec![Step { atoms, energies, forces, stress, converged: true }], settings, ..Output::default() })
}
