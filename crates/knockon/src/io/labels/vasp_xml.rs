//! VASP's vasprun.xml.

use super::settings::{describe_mesh, describe_points, list};
use super::{Energies, Output, Step};
use crate::units::EV_PER_ANGSTROM3_IN_GPA;
use crate::{Atoms, Cell, Error, Species};
use glam::{BVec3, DMat3, DVec3};
use roxmltree::{Document, Node, ParsingOptions};
use std::path::Path;

const REMEDY: &str = "Give a vasprun.xml as VASP wrote it";

/// Reads all ionic steps. A file that breaks off is read up to its last complete step.
pub(super) fn parse(text: &str, path: &Path) -> Result<Output, Error> {
    let name = path.display().to_string();
    let broken = |e: roxmltree::Error| Error::input(&name, format!("expected well-formed XML, found: {e}"), REMEDY);
    let options = ParsingOptions { allow_dtd: false, nodes_limit: u32::MAX, entity_resolver: None };
    const END: &str = "</calculation>";
    let complete = text.trim_end().ends_with("</modeling>");
    let repaired = match text.rfind(END) {
        Some(end) if !complete => format!("{}</modeling>", &text[..end + END.len()]),
        _ => text.to_owned(),
    };
    let document = Document::parse_with_options(&repaired, options).map_err(broken)?;
    let incomplete = text.matches("<calculation>").count() - repaired.matches("<calculation>").count();
    Reader { name: &name }.output(document.root_element(), incomplete)
}

struct Reader<'a> {
    name: &'a str,
}

fn child<'a>(node: Node<'a, 'a>, tag: &str, name: Option<&str>) -> Option<Node<'a, 'a>> {
    node.children().find(|n| n.has_tag_name(tag) && name.is_none_or(|name| n.attribute("name") == Some(name)))
}

/// Text of a parameter anywhere below.
fn parameter<'a>(node: Node<'a, 'a>, name: &str) -> Option<&'a str> {
    node.descendants()
        .find(|n| n.attribute("name") == Some(name) && !n.has_tag_name("separator"))?
        .text()
        .map(str::trim)
}

impl Reader<'_> {
    fn wrong(&self, expected: &str) -> Error {
        Error::input(self.name, format!("expected {expected}, found none that can be read"), REMEDY)
    }

    fn number(&self, word: Option<&str>, what: &str) -> Result<f64, Error> {
        word.and_then(|w| w.trim().parse().ok()).filter(|x: &f64| x.is_finite()).ok_or_else(|| self.wrong(what))
    }

    fn output(&self, root: Node<'_, '_>, incomplete: usize) -> Result<Output, Error> {
        let parameters = child(root, "parameters", None).ok_or_else(|| self.wrong("<parameters>"))?;
        let species = self.species(root)?;
        let nelm = self.number(parameter(parameters, "NELM"), "NELM")?;
        let ediff = self.number(parameter(parameters, "EDIFF"), "EDIFF")?;
        if parameter(parameters, "PSTRESS").and_then(|w| w.parse().ok()).is_some_and(|p: f64| p != 0.0) {
            let problem = "expected PSTRESS = 0, found a pressure: the energies are enthalpies";
            return Err(Error::input(self.name, problem, "Compute the configurations again without PSTRESS"));
        }
        let mut output = Output { incomplete, settings: settings(root, parameters), ..Output::default() };
        for calculation in root.children().filter(|n| n.has_tag_name("calculation")) {
            let is_complete = ["energy", "scstep"].iter().all(|tag| child(calculation, tag, None).is_some());
            if !is_complete {
                output.incomplete += 1;
                continue;
            }
            output.steps.push(self.step(calculation, &species, nelm, ediff)?);
        }
        Ok(output)
    }

    fn species(&self, root: Node<'_, '_>) -> Result<Vec<Species>, Error> {
        let atoms = child(root, "atominfo", None).and_then(|n| child(n, "array", Some("atoms")));
        let rows = atoms.and_then(|n| child(n, "set", None)).ok_or_else(|| self.wrong("<array name=\"atoms\">"))?;
        let symbol = |row: Node<'_, '_>| {
            let word = row.first_element_child()?.text()?.trim().to_owned();
            Species::from_symbol(&word)
        };
        let species =
            rows.children().filter(Node::is_element).map(|row| symbol(row).ok_or_else(|| self.wrong("elements")));
        species.collect()
    }

    fn step(&self, node: Node<'_, '_>, species: &[Species], nelm: f64, ediff: f64) -> Result<Step, Error> {
        let structure = child(node, "structure", None).ok_or_else(|| self.wrong("<structure>"))?;
        let basis = child(structure, "crystal", None).and_then(|n| child(n, "varray", Some("basis")));
        let basis = self.vectors(basis.ok_or_else(|| self.wrong("<varray name=\"basis\">"))?)?;
        let [a, b, c] = *basis.as_slice() else { return Err(self.wrong("three lattice vectors")) };
        let cell = Cell { vectors: DMat3::from_cols(a, b, c), periodic: BVec3::TRUE };
        let fractions = child(structure, "varray", Some("positions")).ok_or_else(|| self.wrong("positions"))?;
        let positions: Vec<DVec3> = self.vectors(fractions)?.into_iter().map(|f| cell.vectors * f).collect();
        let atoms = Atoms::new(cell, species.to_vec(), positions, self.name)?;
        let forces = child(node, "varray", Some("forces")).map(|n| self.vectors(n)).transpose()?;
        if forces.as_ref().is_some_and(|f| f.len() != atoms.len()) {
            return Err(self.wrong("one force per atom"));
        }
        let stress = child(node, "varray", Some("stress")).map(|n| self.vectors(n)).transpose()?;
        let stress = stress.map(|rows| match *rows.as_slice() {
            // kB = 0.1 GPa, positive in compression.
            [x, y, z] => Ok([x.x, y.y, z.z, y.z, x.z, x.y].map(|s| -0.1 * s / EV_PER_ANGSTROM3_IN_GPA)),
            _ => Err(self.wrong("three rows of stress")),
        });
        let (energies, converged) = self.energies(node, nelm, ediff)?;
        Ok(Step { atoms, energies, forces, stress: stress.transpose()?, converged })
    }

    /// The energies of the step are those of its last electronic iteration, shifted by what comes on top afterwards
    /// (dispersion): VASP writes something else under e_0_energy of the step itself in many versions.
    fn energies(&self, node: Node<'_, '_>, nelm: f64, ediff: f64) -> Result<(Energies, bool), Error> {
        let of = |node: Node<'_, '_>, name: &str| {
            let energy = child(node, "energy", None).and_then(|n| child(n, "i", Some(name)));
            self.number(energy.and_then(|n| n.text()), name)
        };
        let free = of(node, "e_fr_energy")?;
        let iterations: Vec<_> = node.children().filter(|n| n.has_tag_name("scstep")).collect();
        let last = iterations.last().copied().ok_or_else(|| self.wrong("<scstep>"))?;
        let last_free = of(last, "e_fr_energy")?;
        let energies = Energies {
            free_ev: Some(free),
            sigma_0_ev: Some(free + of(last, "e_0_energy")? - last_free),
            without_entropy_ev: Some(free + of(last, "e_wo_entrp")? - last_free),
        };
        let iterations_ev: Vec<f64> =
            iterations.iter().map(|node| of(*node, "e_fr_energy")).collect::<Result<_, _>>()?;
        Ok((energies, super::vasp_outcar::settled(&iterations_ev, nelm, ediff)))
    }

    fn vectors(&self, node: Node<'_, '_>) -> Result<Vec<DVec3>, Error> {
        let vector = |n: Node<'_, '_>| {
            let words: Option<Vec<f64>> = n.text()?.split_whitespace().map(|w| w.parse().ok()).collect();
            words.filter(|w| w.len() == 3 && w.iter().all(|x| x.is_finite())).map(|w| DVec3::from_slice(&w))
        };
        let rows = node.children().filter(|n| n.has_tag_name("v"));
        rows.map(|n| vector(n).ok_or_else(|| self.wrong("rows of three finite numbers"))).collect()
    }
}

/// Points that were listed, and not generated.
fn listed_points(kpoints: Node<'_, '_>) -> Option<String> {
    let rows: Vec<_> = child(kpoints, "varray", Some("kpointlist"))?.children().filter(Node::is_element).collect();
    let numbers: Vec<f64> = rows.first()?.text()?.split_whitespace().filter_map(|w| w.parse().ok()).collect();
    let first = (numbers.len() == 3).then(|| DVec3::from_slice(&numbers));
    describe_points(rows.len(), first)
}

/// Divisions and shift. A mesh of Monkhorst and Pack with even divisions has no Gamma.
fn mesh(kpoints: Node<'_, '_>) -> Option<String> {
    let divisions: Vec<&str> = parameter(kpoints, "divisions")?.split_whitespace().collect();
    let own: Vec<f64> = parameter(kpoints, "usershift")
        .map_or_else(Vec::new, |shift| shift.split_whitespace().filter_map(|w| w.parse().ok()).collect());
    let is_even = |division: &&str| division.parse::<u64>().is_ok_and(|n| n % 2 == 0);
    let scheme = kpoints.children().find(|n| n.has_tag_name("generation")).and_then(|n| n.attribute("param"));
    let half = |division| if scheme == Some("Monkhorst-Pack") && is_even(division) { 0.5 } else { 0.0 };
    let shift = divisions.iter().enumerate().map(|(k, division)| half(division) + own.get(k).copied().unwrap_or(0.0));
    Some(describe_mesh(&divisions, &shift.collect::<Vec<f64>>()))
}

/// Charge of the box in e, if it is not neutral: what the atoms of each type (number, element, mass, valence, ...) bring less the electrons
/// that there are.
fn charge(types: &[Node<'_, '_>], n_electrons: Option<&str>) -> Option<f64> {
    let brought = |row: &Node<'_, '_>| -> Option<f64> {
        let cells: Vec<&str> = row.children().filter(Node::is_element).map(|c| c.text().unwrap_or("").trim()).collect();
        Some(cells.first()?.parse::<f64>().ok()? * cells.get(3)?.parse::<f64>().ok()?)
    };
    let neutral: f64 = types.iter().map(brought).sum::<Option<f64>>()?;
    let charge = neutral - n_electrons?.trim().parse::<f64>().ok()?;
    (charge.abs() > 1e-3).then(|| (charge * 1e4).round() / 1e4)
}

fn settings(root: Node<'_, '_>, parameters: Node<'_, '_>) -> Vec<(&'static str, String)> {
    let mut settings = Vec::new();
    let version = child(root, "generator", None).and_then(|n| child(n, "i", Some("version"))).and_then(|n| n.text());
    settings.push(("code", format!("VASP {}", version.unwrap_or("?").trim())));
    if let Some(cutoff) = parameter(parameters, "ENMAX").and_then(|w| w.parse::<f64>().ok()) {
        settings.push(("ecut", format!("{cutoff:?}")));
    }
    // Not all of what INCAR sets is among the parameters.
    let incar = child(root, "incar", None);
    let find = |key: &str| parameter(parameters, key).or_else(|| parameter(incar?, key));
    let types = child(root, "atominfo", None).and_then(|n| child(n, "array", Some("atomtypes")));
    let rows = types.and_then(|n| child(n, "set", None));
    let rows: Vec<Node> = rows.into_iter().flat_map(|n| n.children().filter(Node::is_element)).collect();
    let titles: Vec<&str> = rows.iter().filter_map(|row| row.last_element_child()?.text()).map(str::trim).collect();
    if let Some(charge) = charge(&rows, find("NELECT")) {
        settings.push(("charge", format!("{charge}")));
    }
    if let Some(xc) = super::vasp_outcar::functional(find, &titles) {
        settings.push(("xc", xc));
    }
    let kpoints = child(root, "kpoints", None);
    if let Some(points) = kpoints.and_then(|k| mesh(k).or_else(|| listed_points(k))).filter(|m| m != "1 1 1") {
        settings.push(("kpts", points));
    }
    if !titles.is_empty() {
        settings.push(("pseudopotentials", list(&titles)));
    }
    settings
}
