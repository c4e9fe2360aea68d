//! Finished recoils as CascadesDB of the IAEA takes them: for each energy an archive of boxes and a record in its XML
//! (CDBML; <https://cascadesdb.org/cdbmeta/doc>).

use super::campaign::finished_boxes;
use super::output::{RunRecord, recoils_csv};
use super::{Flag, Plan, UnitCell};
use crate::io::{Frame, format_extxyz, read_text, write_atomically, write_atomically_with};
use crate::symmetry::crystal_symmetry;
use crate::{Error, Species};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Who made the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    /// Name of the author.
    pub author: String,
    /// University or institute.
    pub affiliation: String,
    /// DOI of the publication that describes the data; may be empty.
    pub doi: String,
}

/// One archive and its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The archive: one extended XYZ file per recoil, the quenched box last in each; `recoils.csv` with what else is known of
    /// each; `initial.xyz`, the perfect crystal; and `potential.model`.
    pub archive: PathBuf,
    /// Its metadata.
    pub record: PathBuf,
    /// Recoils in it.
    pub n_runs: usize,
    /// Those of them that have flags.
    pub n_flagged: usize,
    /// Finished recoils of this energy that were left out for their flags.
    pub n_left_out: usize,
    /// Finished recoils of this energy that were left out because their boxes were not kept.
    pub n_without_boxes: usize,
}

/// Writes an archive and a record for each recoil energy that has finished recoils with boxes, into `output`. Recoils with
/// a flag that is not among `accepted_flags` are left out; the record names the flags of the others.
///
/// Fails if there is no such recoil: a campaign keeps boxes where its settings have `[frames]`.
pub fn export_campaign(
    plan: &Plan,
    folder: &Path,
    output: &Path,
    attribution: &Attribution,
    accepted_flags: &[String],
) -> Result<Vec<Exported>, Error> {
    attribution.check()?;
    Flag::check_names(accepted_flags, "accepted flags")?;
    let mut finished = Vec::new();
    let mut without_boxes = Vec::new();
    for (record, boxes) in finished_boxes(plan, folder)? {
        match boxes {
            Some(boxes) => finished.push((record, boxes)),
            None => without_boxes.push(record.recoil.recoil_energy_ev),
        }
    }
    let accepted = |record: &RunRecord| record.recoil.flags.iter().all(|flag| accepted_flags.contains(flag));
    let (kept, left_out): (Vec<_>, Vec<_>) = finished.into_iter().partition(|(record, _)| accepted(record));
    if kept.is_empty() {
        return Err(nothing_to_export(folder, &left_out, without_boxes.len()));
    }
    let mut exported: Vec<Exported> = Vec::new();
    let mut energies: Vec<f64> = plan.settings.energies.iter().map(|e| e.energy_ev).collect();
    energies.sort_by(f64::total_cmp);
    energies.dedup();
    for energy_ev in energies {
        let of_energy = |(record, _): &&(RunRecord, PathBuf)| record.recoil.recoil_energy_ev == energy_ev;
        let (records, boxes): (Vec<_>, Vec<_>) = kept.iter().filter(of_energy).cloned().unzip();
        if records.is_empty() {
            continue;
        }
        let name = format!("{}-{energy_ev}eV", plan.settings.species);
        let [archive, record] = ["tar", "xml"].map(|ending| output.join(format!("{name}.{ending}")));
        let n_left_out = left_out.iter().filter(of_energy).count();
        let n_without_boxes = without_boxes.iter().filter(|energy| **energy == energy_ev).count();
        let set = Set { plan, energy_ev, records: &records, n_left_out, n_without_boxes };
        set.write_archive(&archive, &boxes, &folder.join("potential.model"))?;
        let text = set.cdbml(&format!("{name}.tar"), attribution)?;
        write_atomically(&record, text.as_bytes())?;
        let n_flagged = records.iter().filter(|r| !r.recoil.flags.is_empty()).count();
        exported.push(Exported { archive, record, n_runs: records.len(), n_flagged, n_left_out, n_without_boxes });
    }
    Ok(exported)
}

fn nothing_to_export(folder: &Path, left_out: &[(RunRecord, PathBuf)], n_without_boxes: usize) -> Error {
    let place = folder.display().to_string();
    let flags: BTreeSet<&str> = left_out.iter().flat_map(|(r, _)| &r.recoil.flags).map(String::as_str).collect();
    let flags = Vec::from_iter(flags).join(",");
    if left_out.is_empty() {
        let found = format!("expected finished recoils with boxes, found none ({n_without_boxes} finished without)");
        return Error::input(
            place,
            found,
            "Plan it with [frames] in the settings before it is run: boxes of what is done are not kept",
        );
    }
    let found = format!("expected recoils without flags, found only {} with flags", left_out.len());
    Error::input(place, found, format!("If you want these, accept their flags: {flags}"))
}

impl Attribution {
    fn check(&self) -> Result<(), Error> {
        let named = |text: &str| !text.trim().is_empty() && !text.chars().any(char::is_control);
        let doi = &self.doi;
        let checks = [
            ("author", named(&self.author), "a name", &self.author),
            ("affiliation", named(&self.affiliation), "a university or an institute", &self.affiliation),
            ("doi", doi.is_empty() || (named(doi) && doi.starts_with("10.")), "a DOI such as 10.1234/abc", doi),
        ];
        match checks.iter().find(|(_, fine, ..)| !fine) {
            None => Ok(()),
            Some((name, _, expected, found)) => {
                let found = format!("expected {expected}, found {found:?}");
                Err(Error::input(*name, found, "CascadesDB asks for it"))
            }
        }
    }
}

/// The recoils of one archive.
struct Set<'a> {
    plan: &'a Plan,
    energy_ev: f64,
    records: &'a [RunRecord],
    n_left_out: usize,
    n_without_boxes: usize,
}

impl Set<'_> {
    /// The same bytes for the same files, written one after the other.
    fn write_archive(&self, archive: &Path, boxes: &[PathBuf], potential: &Path) -> Result<(), Error> {
        let perfect = format_extxyz(&[Frame::new(self.plan.ideal_box()?)])?;
        let made =
            [(INITIAL, perfect), (TABLE, recoils_csv(self.plan, self.records)), (POTENTIAL, read_text(potential)?)];
        write_atomically_with(archive, |file| {
            let failed = |e| Error::io("write", archive, e);
            let mut tar = tar::Builder::new(std::io::BufWriter::new(file));
            let mut append = |name: &str, content: &[u8]| {
                let mut header = tar::Header::new_ustar();
                header.set_size(content.len() as u64);
                header.set_mode(0o644);
                tar.append_data(&mut header, name, content).map_err(failed)
            };
            for (name, content) in &made {
                append(name, content.as_bytes())?;
            }
            for (record, path) in self.records.iter().zip(boxes) {
                let content = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
                append(&box_name(record), &content)?;
            }
            let mut file = tar.into_inner().map_err(failed)?;
            std::io::Write::flush(&mut file).map_err(failed)
        })
    }

    /// A record as CascadesDB's own documents have it, energies in keV and times in ps.
    fn cdbml(&self, archive: &str, attribution: &Attribution) -> Result<String, Error> {
        let Self { plan, energy_ev, .. } = self;
        let settings = &plan.settings;
        let recoil = &settings.recoil;
        let mut x = Xml::default();
        x.open("attribution");
        x.text("name", &attribution.author);
        x.text("affiliation", &attribution.affiliation);
        // What CascadesDB itself writes where there is none.
        x.text("doi", if attribution.doi.is_empty() { "[No DOI]" } else { &attribution.doi });
        x.close("attribution");
        material(&mut x, &plan.unit_cell)?;
        x.text("has_surface", "false");
        x.text("initially_perfect", "true");
        x.text("PKA_atomic_number", settings.species.atomic_number());
        x.open("PKA");
        x.quantity("energy", "keV", energy_ev / 1000.0);
        x.text("recoil", "true");
        x.close("PKA");
        x.text("electronic_stopping", recoil.electronic_stopping.is_some());
        if let Some(stopping) = recoil.electronic_stopping {
            let above_ev = stopping.above_ev;
            x.text("electronic_stopping_comment", format!("Lindhard and Scharff, atoms with more than {above_ev} eV"));
        }
        x.text("thermostat", recoil.border.is_some());
        if let Some(border) = recoil.border {
            let (k, angstrom) = (border.temperature_k, border.thickness_angstrom);
            let layer = format!("Langevin layer of {angstrom} angstrom at the faces of the box, {k} K");
            x.text("thermostat_comment", layer);
        }
        x.quantity("simulation_time", "ps", recoil.time_fs / 1000.0);
        x.quantity("initial_temperature", "K", settings.thermalization.temperature_k);
        self.simulation_box(&mut x)?;
        x.open("interatomic_potential");
        x.text("filename", POTENTIAL);
        x.text("comment", format!("linear machine-learning potential with hash {}; in the archive", plan.model_hash));
        x.close("interatomic_potential");
        x.open("code");
        x.text("name", "knockon");
        x.text("version", self.versions());
        x.close("code");
        x.open("initial_configuration");
        x.text("filename", INITIAL);
        x.text("comments", "The perfect crystal at zero temperature. Each recoil begins in a thermalised copy of it.");
        x.close("initial_configuration");
        x.open("data");
        x.text("archive_name", archive);
        x.open("columns");
        for (name, units) in [("Element Symbol", ""), ("x", "Å"), ("y", "Å"), ("z", "Å")] {
            x.open("column");
            x.text("name", name);
            if !units.is_empty() {
                x.text("units", units);
            }
            x.close("column");
        }
        x.close("columns");
        x.text("comments", self.comments()?);
        x.close("data");
        let body = x.text;
        Ok(format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<cdbml version=\"1.0\" xmlns=\"https://amdis.iaea.org/cdbml\">\n\
             <cdbrecord>\n{body}</cdbrecord>\n</cdbml>\n"
        ))
    }

    /// Edges of the box are lattice vectors of the unit cell.
    fn simulation_box(&self, x: &mut Xml) -> Result<(), Error> {
        let vectors = self.plan.ideal_box()?.cell.vectors;
        let axes = [("X", vectors.x_axis, "[100]"), ("Y", vectors.y_axis, "[010]"), ("Z", vectors.z_axis, "[001]")];
        x.open("simulation_box");
        for (name, vector, _) in axes {
            x.quantity(&format!("box_{name}_length"), "Å", vector.length());
        }
        x.open("box_orientation");
        for (name, _, indices) in axes {
            x.text(&format!("{name}_orientation"), indices);
        }
        x.close("box_orientation");
        x.close("simulation_box");
        Ok(())
    }

    /// Versions of the program that made the runs.
    fn versions(&self) -> String {
        let version = |r: &RunRecord| r.program.trim_start_matches("knockon").trim().to_owned();
        let versions: BTreeSet<String> = self.records.iter().map(version).filter(|v| !v.is_empty()).collect();
        if versions.is_empty() { "unknown".to_owned() } else { Vec::from_iter(versions).join(", ") }
    }

    fn comments(&self) -> Result<String, Error> {
        let site = self.plan.site()?;
        let mut text = format!(
            "{} recoils, one file each in extended XYZ; the last box of a file is quenched. {TABLE} has the direction, the stored \
             energy, the defects and the flags of each. Crystal: space group {} ({}); the recoiling atom is on a site of \
             symmetry {}.",
            self.records.len(),
            site.space_group,
            site.space_group_number,
            site.point_group
        );
        let flagged = self.records.iter().filter(|r| !r.recoil.flags.is_empty());
        let flagged: Vec<String> =
            flagged.map(|r| format!("{} ({})", box_name(r), r.recoil.flags.join(", "))).collect();
        match flagged.is_empty() {
            true => text.push_str(" None of them has a flag that casts doubt on it"),
            false => write!(text, " Flagged as doubtful: {}", flagged.join(", ")).expect("text grows"),
        }
        match self.n_left_out {
            0 => text.push('.'),
            n => write!(text, "; {n} others were left out for their flags.").expect("text grows"),
        }
        if self.n_without_boxes > 0 {
            write!(text, " {} others were not kept as boxes.", self.n_without_boxes).expect("text grows");
        }
        Ok(text)
    }
}

/// Files in an archive. Programs that read archives of CascadesDB take names that begin with "init" for the initial box.
const INITIAL: &str = "initial.xyz";
const TABLE: &str = "recoils.csv";
const POTENTIAL: &str = "potential.model";

fn box_name(record: &RunRecord) -> String {
    format!("run-{:05}.xyz", record.run)
}

fn material(x: &mut Xml, cell: &UnitCell) -> Result<(), Error> {
    x.open("material");
    x.text("formula", formula(&cell.species));
    x.text("structure", structure(cell)?);
    x.open("lattice_parameters");
    let [a, b, c] = glam::DMat3::from_cols_array(&cell.vectors).to_cols_array_2d().map(glam::DVec3::from_array);
    for (name, vector) in [("a", a), ("b", b), ("c", c)] {
        x.quantity(name, "Å", vector.length());
    }
    for (name, one, other) in [("alpha", b, c), ("beta", a, c), ("gamma", a, b)] {
        x.quantity(name, "deg", one.angle_between(other).to_degrees());
    }
    x.close("lattice_parameters");
    x.close("material");
    Ok(())
}

/// Elements in the order of Hill (J. Am. Chem. Soc. 22, 478, 1900): carbon and hydrogen first where there is carbon, the
/// others by symbol. Numbers have no common divisor.
fn formula(species: &[Species]) -> String {
    let mut symbols: Vec<String> = species.iter().map(Species::to_string).collect();
    let carbon = symbols.iter().any(|symbol| symbol == "C");
    let later = |symbol: &String| !(carbon && (symbol == "C" || symbol == "H"));
    symbols.sort_by(|a, b| (later(a), a).cmp(&(later(b), b)));
    let counts = |symbol: &String| symbols.iter().filter(|s| *s == symbol).count();
    let unit = symbols.iter().map(counts).fold(0, greatest_common_divisor);
    let part = |symbol: &String| match counts(symbol) / unit {
        1 => symbol.clone(),
        n => format!("{symbol}{n}"),
    };
    let mut distinct = symbols.clone();
    distinct.dedup();
    distinct.iter().map(part).collect()
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// One of the structures that CascadesDB knows.
fn structure(cell: &UnitCell) -> Result<&'static str, Error> {
    if cell.species.iter().any(|s| *s != cell.species[0]) {
        return Ok("other");
    }
    let crystal = cell.atoms("plan")?;
    let symmetry = crystal_symmetry(&crystal, crate::symmetry::POSITION_TOLERANCE_ANGSTROM)?;
    let primitive_cells = crystal.cell.vectors.determinant() / symmetry.primitive_vectors.determinant();
    let atoms_per_primitive_cell = (cell.species.len() as f64 / primitive_cells.abs()).round() as usize;
    Ok(match (symmetry.space_group_number, atoms_per_primitive_cell) {
        (225, 1) => "fcc",
        (229, 1) => "bcc",
        (194, 2) => "hcp",
        (227, 2) => "dia",
        _ => "other",
    })
}

/// XML under way.
#[derive(Default)]
struct Xml {
    text: String,
}

impl Xml {
    fn open(&mut self, name: &str) {
        writeln!(self.text, "<{name}>").expect("text grows");
    }

    fn close(&mut self, name: &str) {
        writeln!(self.text, "</{name}>").expect("text grows");
    }

    fn text(&mut self, name: &str, content: impl std::fmt::Display) {
        let content = content.to_string().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        writeln!(self.text, "<{name}>{content}</{name}>").expect("text grows");
    }

    fn quantity(&mut self, name: &str, units: &str, value: f64) {
        writeln!(self.text, "<{name} units=\"{units}\">{value}</{name}>").expect("text grows");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Species;

    fn species(symbols: &[&str]) -> Vec<Species> {
        symbols.iter().map(|s| Species::from_symbol(s).expect("an element")).collect()
    }

    #[test]
    fn formulas_are_in_the_order_of_hill() {
        assert_eq!(formula(&species(&["W", "W", "Ca", "Ca", "O", "O", "O", "O", "O", "O", "O", "O"])), "CaO4W");
        assert_eq!(formula(&species(&["Al", "Al", "O", "O", "O"])), "Al2O3");
        assert_eq!(formula(&species(&["O", "H", "C", "H", "H", "H"])), "CH4O");
        assert_eq!(formula(&species(&["Si"; 8])), "Si");
    }

    #[test]
    fn structures_are_told_by_space_group_and_primitive_cell() {
        let cell = |edges: [f64; 3], angle_deg: f64, symbols: &[&str], fractions: &[[f64; 3]]| {
            let (sin, cos) = angle_deg.to_radians().sin_cos();
            let vectors = [edges[0], 0.0, 0.0, edges[1] * cos, edges[1] * sin, 0.0, 0.0, 0.0, edges[2]];
            let matrix = glam::DMat3::from_cols_array(&vectors);
            let positions = fractions.iter().map(|f| (matrix * glam::DVec3::from_array(*f)).to_array()).collect();
            structure(&UnitCell { vectors, species: species(symbols), positions }).expect("a crystal")
        };
        let body = [[0.0; 3], [0.5; 3]];
        let faces = [[0.0; 3], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]];
        assert_eq!(cell([3.165; 3], 90.0, &["W"; 2], &body), "bcc");
        assert_eq!(cell([4.05; 3], 90.0, &["Al"; 4], &faces), "fcc");
        let diamond: Vec<[f64; 3]> = faces.iter().copied().chain(faces.map(|f| f.map(|x| x + 0.25))).collect();
        assert_eq!(cell([5.43; 3], 90.0, &["Si"; 8], &diamond), "dia");
        let close_packed = [[1.0 / 3.0, 2.0 / 3.0, 0.25], [2.0 / 3.0, 1.0 / 3.0, 0.75]];
        assert_eq!(cell([2.95, 2.95, 4.68], 120.0, &["Ti"; 2], &close_packed), "hcp");
        assert_eq!(cell([3.0; 3], 90.0, &["Po"], &[[0.0; 3]]), "other");
        assert_eq!(cell([4.1; 3], 90.0, &["Cs", "Cl"], &body), "other");
    }

    #[test]
    fn attributions_are_checked() {
        let fine = Attribution { author: "A".into(), affiliation: "B".into(), doi: String::new() };
        assert!(fine.check().is_ok());
        assert!(Attribution { author: " ".into(), ..fine.clone() }.check().is_err());
        assert!(Attribution { affiliation: "B\u{1}".into(), ..fine.clone() }.check().is_err());
        let error = Attribution { doi: "https://doi.org/10.1/2".into(), ..fine }.check().expect_err("a link");
        assert!(error.to_string().contains("such as 10.1234/abc"), "{error}");
    }
}
