//! What pw.x of Quantum ESPRESSO prints.

use super::settings::{describe_points, list};
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
    let mut reader = Reader::new(&text)?;
    for index in 0..text.lines.len() {
        reader.read_line(index)?;
    }
    reader.finish_step();
    Ok(reader.output)
}

/// What has been read so far. Methods are given the index of the line that they are about.
struct Reader<'a> {
    text: &'a Text<'a>,
    /// Whether the energy without smearing is the mean of free energy and energy.
    mean_is_sigma_0: bool,
    /// Exact exchange is refined in an outer loop, whose inner minima have energies, too, the first without exact exchange.
    is_hybrid: bool,
    /// Unit of length of many tables.
    alat_angstrom: f64,
    vectors: DMat3,
    species: Vec<Species>,
    positions: Vec<DVec3>,
    begun: Option<Begun>,
    output: Output,
}

impl<'a> Reader<'a> {
    fn new(text: &'a Text<'a>) -> Result<Self, Error> {
        let has = |keys: [&str; 2]| text.lines.iter().any(|line| keys.iter().any(|key| line.contains(key)));
        Ok(Self {
            text,
            mean_is_sigma_0: has(["Fermi-Dirac smearing", "gaussian smearing"]),
            is_hybrid: has(["EXX-fraction", "EXX: now go back to refine"]),
            alat_angstrom: 0.0,
            vectors: DMat3::ZERO,
            species: Vec::new(),
            positions: Vec::new(),
            begun: None,
            output: Output { settings: settings(text)?, ..Output::default() },
        })
    }

    fn read_line(&mut self, index: usize) -> Result<(), Error> {
        let line = self.text.line(index);
        if line.contains("lattice parameter (alat)") {
            self.read_alat(index)
        } else if line.contains("crystal axes: (cart. coord. in units of alat)") {
            self.read_first_cell(index)
        } else if line.contains("positions (alat units)") {
            self.read_first_positions(index)
        } else if line.starts_with("CELL_PARAMETERS") {
            self.read_cell(index)
        } else if line.starts_with("ATOMIC_POSITIONS") {
            self.read_positions(index)
        } else if line.contains("convergence NOT achieved") {
            self.give_up_step()
        } else if line.starts_with("!!") && line.contains("total energy") {
            self.read_outer_energy(index)
        } else if line.starts_with('!') && line.contains("total energy") {
            self.read_energy(index)
        } else {
            self.read_detail(index)
        }
    }

    fn read_alat(&mut self, index: usize) -> Result<(), Error> {
        self.finish_step();
        self.alat_angstrom = self.text.number_after(index, "=")? * BOHR_ANGSTROM;
        Ok(())
    }

    fn read_first_cell(&mut self, title: usize) -> Result<(), Error> {
        let axis = |k: usize| Ok::<_, Error>(self.alat_angstrom * self.text.vector(title + 1 + k, 3)?);
        self.vectors = DMat3::from_cols(axis(0)?, axis(1)?, axis(2)?);
        Ok(())
    }

    fn read_first_positions(&mut self, title: usize) -> Result<(), Error> {
        let text = self.text;
        (self.species, self.positions) = (Vec::new(), Vec::new());
        for index in title + 1..text.lines.len() {
            let Some((left, right)) = text.line(index).split_once("= (") else { break };
            self.species.push(element(text, index, left.split_whitespace().nth(1).unwrap_or(""))?);
            let words: Vec<&str> = right.split([' ', ')']).filter(|w| !w.is_empty()).collect();
            let numbers = words.iter().take(3).map(|w| text.number(index, w)).collect::<Result<Vec<f64>, _>>()?;
            if numbers.len() != 3 {
                return Err(text.wrong(index, "three coordinates"));
            }
            self.positions.push(self.alat_angstrom * DVec3::from_slice(&numbers));
        }
        Ok(())
    }

    /// The cell of the next step.
    fn read_cell(&mut self, title: usize) -> Result<(), Error> {
        let text = self.text;
        let unit = match unit(text.line(title), self.alat_angstrom) {
            Some(unit) => unit,
            None => text.number_after(title, "alat=")? * BOHR_ANGSTROM,
        };
        let row = |k: usize| Ok::<_, Error>(unit * text.vector(title + 1 + k, 0)?);
        let vectors = DMat3::from_cols(row(0)?, row(1)?, row(2)?);
        self.finish_step();
        self.vectors = vectors;
        Ok(())
    }

    /// The positions of the next step.
    fn read_positions(&mut self, title: usize) -> Result<(), Error> {
        self.finish_step();
        let (text, line) = (self.text, self.text.line(title));
        for (k, position) in self.positions.iter_mut().enumerate() {
            let vector = text.vector(title + 1 + k, 1)?;
            *position = match unit(line, self.alat_angstrom) {
                _ if line.contains("crystal") => self.vectors * vector,
                Some(unit) => unit * vector,
                None => return Err(text.wrong(title, "positions in crystal, angstrom, bohr or alat")),
            };
        }
        Ok(())
    }

    /// The energy of the outer loop of exact exchange.
    fn read_outer_energy(&mut self, index: usize) -> Result<(), Error> {
        let free_ev = RYDBERG_EV * self.text.number_after(index, "=")?;
        self.begun.iter_mut().for_each(|step| step.free_ev = free_ev);
        Ok(())
    }

    /// A second minimum of the same geometry takes the place of the first. Forces come after the last.
    fn read_energy(&mut self, index: usize) -> Result<(), Error> {
        if self.begun.as_ref().is_some_and(|step| step.forces.is_some() || step.stress.is_some()) {
            self.finish_step();
        }
        let free_ev = RYDBERG_EV * self.text.number_after(index, "=")?;
        let (atoms, converged) = (self.atoms()?, !self.is_hybrid);
        self.begun = Some(Begun { atoms, free_ev, minus_ts_ev: 0.0, forces: None, stress: None, converged });
        Ok(())
    }

    /// What else there is to know of a step whose energy has been read.
    fn read_detail(&mut self, index: usize) -> Result<(), Error> {
        let Some(step) = &mut self.begun else { return Ok(()) };
        let line = self.text.line(index);
        if line.contains("EXX self-consistency reached") {
            step.converged = true;
        } else if line.contains("smearing contrib. (-TS)") {
            step.minus_ts_ev = RYDBERG_EV * self.text.number_after(index, "=")?;
        } else if line.contains("Forces acting on atoms") {
            step.forces = forces(self.text, index, self.species.len())?;
            // The file ends within the table.
            if step.forces.is_none() {
                self.output.incomplete += 1;
                self.begun = None;
            }
        } else if line.contains("total   stress") && index + 4 < self.text.lines.len() {
            step.stress = Some(stress(self.text, index)?);
        }
        Ok(())
    }

    /// The electrons of this geometry did not converge.
    fn give_up_step(&mut self) -> Result<(), Error> {
        self.output.steps.push(Step {
            atoms: self.atoms()?,
            energies: Energies::default(),
            forces: None,
            stress: None,
            converged: false,
        });
        self.begun = None;
        Ok(())
    }

    /// Nothing more comes of the step that has begun.
    fn finish_step(&mut self) {
        let Some(Begun { atoms, free_ev, minus_ts_ev, forces, stress, converged }) = self.begun.take() else { return };
        let energies = Energies::from_free(free_ev, minus_ts_ev, self.mean_is_sigma_0);
        self.output.steps.push(Step { atoms, energies, forces, stress, converged });
    }

    fn atoms(&self) -> Result<Atoms, Error> {
        let cell = Cell { vectors: self.vectors, periodic: BVec3::TRUE };
        Atoms::new(cell, self.species.clone(), self.positions.clone(), &self.text.name)
    }
}

/// In eV/angstrom^3; printed are Ry/bohr^3, positive in compression.
fn stress(text: &Text<'_>, title: usize) -> Result<[f64; 6], Error> {
    let row = |k: usize| text.vector(title + k, 0);
    let [x, y, z] = [row(1)?, row(2)?, row(3)?];
    let unit = -RYDBERG_EV / BOHR_ANGSTROM.powi(3);
    Ok([x.x, y.y, z.z, y.z, x.z, x.y].map(|s| unit * s))
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
        // "k(    1) = (   0.2500000   0.2500000   0.2500000), wk = ..."
        let place = (index..text.lines.len().min(index + 4)).find(|k| text.line(*k).trim_start().starts_with("k("));
        let numbers = place.and_then(|k| text.line(k).split_once("= (")?.1.split(')').next());
        let numbers: Vec<f64> =
            numbers.into_iter().flat_map(str::split_whitespace).filter_map(|w| w.parse().ok()).collect();
        let first = (numbers.len() == 3).then(|| DVec3::from_slice(&numbers));
        if let Some(points) = describe_points(points as usize, first) {
            settings.push(("kpts", points));
        }
    }
    let files = text.lines.iter().enumerate().filter(|(_, l)| l.contains("PseudoPot. #"));
    let names: Vec<String> = files.map(|(k, _)| text.file_name(k + 1)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    settings.push(("pseudopotentials", list(&names)));
    Ok(settings)
}
