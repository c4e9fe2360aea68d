//! Finished recoils as CascadesDB of the IAEA takes them: for each energy an archive of boxes and a record in its XML
//! (CDBML; <https://cascadesdb.org/cdbmeta/doc>).

use super::campaign::finished_boxes;
use super::{Plan, UnitCell};
use crate::Error;
use crate::io::write_atomically;
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
    /// The archive: one extended XYZ file per recoil, the quenched box last in each.
    pub archive: PathBuf,
    /// Its metadata.
    pub record: PathBuf,
    /// Recoils in it.
    pub n_runs: usize,
}

/// Writes an archive and a record for each recoil energy that has finished recoils without flags, into `output`.
///
/// Fails if no such recoil has boxes: a campaign keeps them where its settings have `[frames]`.
pub fn export_campaign(
    plan: &Plan,
    folder: &Path,
    output: &Path,
    attribution: &Attribution,
) -> Result<Vec<Exported>, Error> {
    let boxes = finished_boxes(plan, folder)?;
    if boxes.is_empty() {
        let found = "expected finished recoils without flags and with boxes, found none";
        return Err(Error::input(
            folder.display().to_string(),
            found,
            "Plan it with [frames] in the settings, and run it",
        ));
    }
    let mut exported = Vec::new();
    for energy in &plan.settings.energies {
        let files: Vec<&PathBuf> =
            boxes.iter().filter(|(run, _)| run.energy_ev == energy.energy_ev).map(|(_, path)| path).collect();
        if files.is_empty() {
            continue;
        }
        let name = format!("{}-{}eV", plan.settings.species, energy.energy_ev);
        let [archive, record] = ["tar", "xml"].map(|ending| output.join(format!("{name}.{ending}")));
        write_atomically(&archive, &tar_of(&files)?)?;
        let text = cdbml(plan, energy.energy_ev, files.len(), &format!("{name}.tar"), attribution)?;
        write_atomically(&record, text.as_bytes())?;
        exported.push(Exported { archive, record, n_runs: files.len() });
    }
    Ok(exported)
}

/// The same bytes for the same files.
fn tar_of(files: &[&PathBuf]) -> Result<Vec<u8>, Error> {
    let mut archive = tar::Builder::new(Vec::new());
    for path in files {
        let content = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        let name = path.file_name().expect("a file of a run");
        archive.append_data(&mut header, name, &content[..]).map_err(|e| Error::io("archive", path, e))?;
    }
    archive.into_inner().map_err(|e| Error::io("archive", files[0], e))
}

/// A record as CascadesDB's own documents have it, energies in keV and times in ps.
fn cdbml(
    plan: &Plan,
    energy_ev: f64,
    n_runs: usize,
    archive: &str,
    attribution: &Attribution,
) -> Result<String, Error> {
    let (settings, ideal) = (&plan.settings, plan.ideal_box()?);
    let (recoil, site) = (&settings.recoil, plan.site()?);
    let mut x = Xml::default();
    x.open("attribution");
    x.text("name", &attribution.author);
    x.text("affiliation", &attribution.affiliation);
    x.text("doi", &attribution.doi);
    x.close("attribution");
    material(&mut x, &plan.unit_cell, &format!("{} (space group {})", site.space_group, site.space_group_number));
    x.text("has_surface", "false");
    x.text("initially_perfect", "true");
    x.text("PKA_atomic_number", settings.species.atomic_number());
    x.open("PKA");
    x.quantity("energy", "keV", energy_ev / 1000.0);
    x.text("recoil", "true");
    x.close("PKA");
    x.text("electronic_stopping", recoil.electronic_stopping.is_some());
    if let Some(stopping) = recoil.electronic_stopping {
        x.text(
            "electronic_stopping_comment",
            format!("Lindhard and Scharff, atoms with more than {} eV", stopping.above_ev),
        );
    }
    x.text("thermostat", recoil.border.is_some());
    if let Some(border) = recoil.border {
        let (k, angstrom) = (border.temperature_k, border.thickness_angstrom);
        x.text("thermostat_comment", format!("Langevin layer of {angstrom} angstrom at the faces of the box, {k} K"));
    }
    x.quantity("simulation_time", "ps", recoil.time_fs / 1000.0);
    x.quantity("initial_temperature", "K", settings.thermalization.temperature_k);
    x.open("simulation_box");
    let vectors = ideal.cell.vectors;
    for (name, vector) in [("X", vectors.x_axis), ("Y", vectors.y_axis), ("Z", vectors.z_axis)] {
        x.quantity(&format!("box_{name}_length"), "Å", vector.length());
    }
    x.close("simulation_box");
    x.open("interatomic_potential");
    x.text("comment", format!("linear machine-learning potential with hash {}", plan.model_hash));
    x.close("interatomic_potential");
    x.open("code");
    x.text("name", "knockon");
    x.text("version", env!("CARGO_PKG_VERSION"));
    x.close("code");
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
    let comment =
        format!("{n_runs} recoils without flags, one file each in extended XYZ; the last box of a file is quenched");
    x.text("comments", comment);
    x.close("data");
    let body = x.text;
    Ok(format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<cdbml version=\"1.0\" xmlns=\"https://amdis.iaea.org/cdbml\">\n\
         <cdbrecord>\n{body}</cdbrecord>\n</cdbml>\n"
    ))
}

fn material(x: &mut Xml, cell: &UnitCell, structure: &str) {
    let mut elements = cell.species.clone();
    elements.sort_unstable();
    elements.dedup();
    let count = |element| cell.species.iter().filter(|s| **s == element).count();
    let fewest = elements.iter().map(|e| count(*e)).min().unwrap_or(1);
    // Formula units of the rarest element where the others are multiples of it.
    let unit = if elements.iter().all(|e| count(*e) % fewest == 0) { fewest } else { 1 };
    let part = |element: &crate::Species| match count(*element) / unit {
        1 => element.to_string(),
        n => format!("{element}{n}"),
    };
    x.open("material");
    x.text("formula", elements.iter().rev().map(part).collect::<String>());
    x.text("structure", structure);
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
