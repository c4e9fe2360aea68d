//! What pw.x of Quantum ESPRESSO prints.

use super::{Energies, Output, Step, Text};
use crate::units::{BOHR_ANGSTROM, HARTREE_EV};
use crate::{Atoms, Cell, Error, Species};
use glam::{BVec3, DMat3, DVec3};
use std::collections::BTreeSet;
use std::path::Path;

const RYDBERG_EV: f64 = 0.5 * HARTREE_EV;

/// One electronic minimum, until the next one or the end shows that nothing more comes.
struct Begun {
    atoms: Atoms,
    free_ev: f64,
    minus_ts_ev: f64,
    forces: Option<Vec<DVec3>>,
    stress: Option<[f64; 6]>,
    converged: bool,
}

/// Reads all steps of scf, relax, vc-relax and md runs.
pub(super) fn parse(text: &str, path: &Path) -> Result<Output, Error> {
    let text = Text::new(text, path);
    let mut output = Output { settings: settings(&text)?, ..Output::default() };
    let mean = text.lines.iter().any(|l| l.contains("Fermi-Dirac smearing") || l.contains("gaussian smearing"));
    // Exact exchange is refined in an outer loop, whose inner minima have energies, too, the first without exact exchange.
    let is_hybrid = text.lines.iter().any(|l| l.contains("EXX-fraction") || l.contains("EXX: now go back to refine"));
    let (mut vectors, mut alat) = (DMat3::ZERO, 0.0);
    let (mut species, mut positions) = (Vec::new(), Vec::new());
    let mut begun: Option<Begun> = None;
    let finish = |begun: Option<Begun>, output: &mut Output| {
        let Some(b) = begun else { return };
        let energies = Energies::from_free(b.free_ev, b.minus_ts_ev, mean);
        let (atoms, forces, stress, converged) = (b.atoms, b.forces, b.stress, b.converged);
        output.steps.push(Step { atoms, energies, forces, stress, converged });
    };
    for (index, line) in text.lines.iter().enumerate() {
        if line.contains("lattice parameter (alat)") {
            finish(begun.take(), &mut output);
            alat = text.number_after(index, "=")? * BOHR_ANGSTROM;
        } else if line.contains("crystal axes: (cart. coord. in units of alat)") {
            let axis = |k: usize| Ok::<_, Error>(alat * text.vector(index + 1 + k, 3)?);
            vectors = DMat3::from_cols(axis(0)?, axis(1)?, axis(2)?);
        } else if line.contains("positions (alat units)") {
            (species, positions) = (Vec::new(), Vec::new());
            for (k, row) in text.lines.iter().enumerate().skip(index + 1) {
                let Some((left, right)) = row.split_once("= (") else { break };
                species.push(element(&text, k, left.split_whitespace().nth(1).unwrap_or(""))?);
                let words: Vec<&str> = right.split([' ', ')']).filter(|w| !w.is_empty()).collect();
                let numbers = words.iter().take(3).map(|w| text.number(k, w)).collect::<Result<Vec<f64>, _>>()?;
                if numbers.len() != 3 {
                    return Err(text.wrong(k, "three coordinates"));
                }
                positions.push(alat * DVec3::from_slice(&numbers));
            }
        } else if line.starts_with("CELL_PARAMETERS") {
            let unit =
                unit(line, alat).map_or_else(|| text.number_after(index, "alat=").map(|a| a * BOHR_ANGSTROM), Ok)?;
            let row = |k: usize| Ok::<_, Error>(unit * text.vector(index + 1 + k, 0)?);
            finish(begun.take(), &mut output);
            vectors = DMat3::from_cols(row(0)?, row(1)?, row(2)?);
        } else if line.starts_with("ATOMIC_POSITIONS") {
            finish(begun.take(), &mut output);
            for (k, position) in positions.iter_mut().enumerate() {
                let vector = text.vector(index + 1 + k, 1)?;
                *position = match unit(line, alat) {
                    _ if line.contains("crystal") => vectors * vector,
                    Some(unit) => unit * vector,
                    None => return Err(text.wrong(index, "positions in crystal, angstrom, bohr or alat")),
                };
            }
        } else if line.contains("convergence NOT achieved") {
            output.steps.push(Step {
                atoms: atoms(&text, vectors, &species, &positions)?,
                energies: Energies::default(),
                forces: None,
                stress: None,
                converged: false,
            });
            begun = None;
        } else if line.starts_with("!!") && line.contains("total energy") {
            let free_ev = RYDBERG_EV * text.number_after(index, "=")?;
            begun.iter_mut().for_each(|step| step.free_ev = free_ev);
        } else if line.starts_with("!") && line.contains("total energy") {
            // A second minimum of the same geometry takes the place of the first. Forces come after the last.
            if begun.as_ref().is_some_and(|step| step.forces.is_some() || step.stress.is_some()) {
                finish(begun.take(), &mut output);
            }
            let free_ev = RYDBERG_EV * text.number_after(index, "=")?;
            let atoms = atoms(&text, vectors, &species, &positions)?;
            let converged = !is_hybrid;
            begun = Some(Begun { atoms, free_ev, minus_ts_ev: 0.0, forces: None, stress: None, converged });
        } else if let Some(step) = &mut begun {
            if line.contains("EXX self-consistency reached") {
                step.converged = true;
            } else if line.contains("smearing contrib. (-TS)") {
                step.minus_ts_ev = RYDBERG_EV * text.number_after(index, "=")?;
            } else if line.contains("Forces acting on atoms") {
                step.forces = forces(&text, index, species.len())?;
                // The file ends within the table.
                if step.forces.is_none() {
                    output.incomplete += 1;
                    begun = None;
                }
            } else if line.contains("total   stress") {
                let rows = (1..4).map(|k| text.vector(index + k, 0)).collect::<Result<Vec<_>, _>>()?;
                let [x, y, z] = [rows[0], rows[1], rows[2]];
                // Ry/bohr^3, positive in compression.
                let unit = -RYDBERG_EV / BOHR_ANGSTROM.powi(3);
                step.stress = Some([x.x, y.y, z.z, y.z, x.z, x.y].map(|s| unit * s));
            }
        }
    }
    finish(begun.take(), &mut output);
    Ok(output)
}

/// Unit of length in angstrom as the title of a card names it.
fn unit(line: &str, alat: f64) -> Option<f64> {
    let line = line.to_ascii_lowercase();
    if line.contains("angstrom") {
        Some(1.0)
    } else if line.contains("bohr") {
        Some(BOHR_ANGSTROM)
    } else if line.contains("alat=") {
        None
    } else if line.contains("alat") {
        Some(alat)
    } else {
        None
    }
}

/// The total forces: the first table behind the title; none where the file ends with it, since its last number may be cut.
fn forces(text: &Text<'_>, title: usize, n_atoms: usize) -> Result<Option<Vec<DVec3>>, Error> {
    let rows =
        (title + 1..text.lines.len().saturating_sub(1)).filter(|k| text.line(*k).contains("force =")).take(n_atoms);
    let force = |k: usize| {
        let words = text.line(k).split_once("force =").map_or("", |(_, rest)| rest).split_whitespace();
        let numbers = words.take(3).map(|w| text.number(k, w)).collect::<Result<Vec<f64>, _>>()?;
        if numbers.len() != 3 {
            return Err(text.wrong(k, "three components of a force"));
        }
        Ok(RYDBERG_EV / BOHR_ANGSTROM * DVec3::from_slice(&numbers))
    };
    let forces = rows.map(force).collect::<Result<Vec<_>, Error>>()?;
    Ok((forces.len() == n_atoms).then_some(forces))
}

fn atoms(text: &Text<'_>, vectors: DMat3, species: &[Species], positions: &[DVec3]) -> Result<Atoms, Error> {
    Atoms::new(Cell { vectors, periodic: BVec3::TRUE }, species.to_vec(), positions.to_vec(), &text.name)
}

/// Element of a label such as Fe1 or O_s.
fn element(text: &Text<'_>, index: usize, label: &str) -> Result<Species, Error> {
    let letters: String = label.chars().take_while(char::is_ascii_alphabetic).collect();
    let candidates = [letters.as_str(), letters.get(..2).unwrap_or(""), letters.get(..1).unwrap_or("")];
    let found = candidates.into_iter().find_map(Species::from_symbol);
    found.ok_or_else(|| text.wrong(index, "an element"))
}

/// What the total energy has beside the functional: lines such as `DFT-D3 Dispersion = ... Ry`, `Hubbard energy = ... Ry`.
fn additions(text: &Text<'_>) -> String {
    let of_energy = |line: &&&str| line.trim_end().ends_with("Ry");
    let terms: BTreeSet<&str> =
        text.lines.iter().filter(of_energy).filter_map(|l| Some(l.split_once('=')?.0.trim())).collect();
    let dispersion = terms.iter().filter(|term| term.contains("Dispersion")).map(|term| format!("+vdW ({term})"));
    let hubbard = terms.iter().filter(|term| term.starts_with("Hubbard energy")).map(|_| "+U".to_owned());
    dispersion.chain(hubbard).collect()
}

fn settings(text: &Text<'_>) -> Result<Vec<(&'static str, String)>, Error> {
    let mut settings = Vec::new();
    let position = |key: &str| text.lines.iter().position(|l| l.contains(key));
    if let Some(index) = position("Program PWSCF") {
        let version = text.line(index).split("v.").nth(1).and_then(|r| r.split_whitespace().next()).unwrap_or("?");
        settings.push(("code", format!("Quantum ESPRESSO {version}")));
    }
    if let Some(index) = position("kinetic-energy cutoff") {
        let cutoff = RYDBERG_EV * text.number_after(index, "=")?;
        settings.push(("ecut", format!("{:?}", (cutoff * 1e6).round() / 1e6)));
    }
    if let Some(index) = position("Exchange-correlation") {
        let name = text.line(index).split_once('=').map_or("", |(_, r)| r);
        let name = name.split('(').next().unwrap_or("").split_whitespace().collect::<Vec<_>>().join(" ");
        let known = match name.as_str() {
            "SLA PW PBX PBC" | "SLA PW PBE PBE" => "PBE",
            "SLA PW PSX PSC" => "PBEsol",
            "SLA PZ NOGX NOGC" => "LDA",
            other => other,
        };
        settings.push(("xc", format!("{known}{}", additions(text))));
    }
    if let Some(index) = position("number of k points=") {
        let points = text.number_after(index, "points=")?;
        if points > 1.0 {
            settings.push(("kpts", format!("{points} irreducible points")));
        }
    }
    let files = text.lines.iter().enumerate().filter(|(_, l)| l.contains("PseudoPot. #"));
    let names: Vec<String> = files.map(|(k, _)| text.file_name(k + 1)).collect();
    settings.push(("pseudopotentials", names.join(", ")));
    Ok(settings)
}
