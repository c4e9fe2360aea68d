//! The report of a run: reads what the stages wrote, draws the figures, writes one HTML page.

mod crystal;
mod differences;
mod landmarks;
mod page;
mod pictures;
mod run;
mod table;
mod tables;

pub(crate) use crystal::axes;

use crate::figures::raster;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// Files of the stages, with what each is good for.
const STAGE_FILES: [(&str, &str); 21] = [
    ("model/fit.json", "errors, variants and provenance of the fit"),
    ("model/parity.csv", "reference and predicted values"),
    ("model/calibration.csv", "predicted deviations, extrapolation grades and errors of held-out data"),
    ("model/pair_scans.csv", "energy of each species pair against distance"),
    ("model/checks.json", "what a cascade needs of the potential"),
    ("campaign/campaign.json", "settings, directions and symmetry of the recoils"),
    ("campaign/recoils.csv", "one line for each recoil"),
    (
        "campaign/starts/thermalization.json",
        "temperatures and energies of the thermalised box, and whether it was in equilibrium",
    ),
    ("campaign/runs", "one file for each recoil, complete"),
    ("response/response.json", "p(stored energy | recoil energy)"),
    ("response/models.csv", "shapes and evolutions with scores and consequences"),
    ("response/directions.csv", "defect probability and stored energy by direction"),
    ("response/stored_energy.csv", "defect probability and mean stored energy"),
    ("spectra/capture.csv", "recoils after neutron capture"),
    ("spectra/dark-matter.csv", "recoils from dark matter"),
    ("spectra/cevns.csv", "recoils from reactor neutrinos"),
    ("spectra/compared", "the same spectra with other responses"),
    ("spectra/comparison.csv", "peaks and changes of rates with each response, beside the paper's"),
    ("spectra/sensitivity.csv", "what changes when one choice is varied at a time"),
    ("spectra/spectra.json", "parameters of the spectra"),
    ("report.html", "this report"),
];

/// Folders of the stages.
const STAGE_FOLDERS: [&str; 4] = ["model", "campaign", "response", "spectra"];

/// Refuses a folder in which no stage has left anything: the page would be empty. [`write`] says where there is no folder.
pub(crate) fn check_stages(folder: &Path) -> Result<()> {
    let holds_files = |stage: &str| std::fs::read_dir(folder.join(stage)).is_ok_and(|mut files| files.next().is_some());
    if !folder.is_dir() || STAGE_FOLDERS.into_iter().any(holds_files) {
        return Ok(());
    }
    bail!(
        "{}: expected the output folder of a run, with files in {}, found none of them. Give the folder that `knockon reproduce` wrote \
         to, or write there with knockon fit -o OUT/model, campaign -o OUT/campaign, response -o OUT/response or spectra -o OUT/spectra",
        folder.display(),
        STAGE_FOLDERS.join("/, ") + "/"
    )
}

/// Draws all figures of the run in `folder` and writes `report.html`; returns what was written.
pub(crate) fn write(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        bail!(
            "{}: expected the output folder of a run, found no such folder. \
             Give the folder that the stages wrote to, for example knockon-out",
            folder.display()
        );
    }
    let run = run::Run::read(folder)?;
    let pictures = pictures::all(&run);
    let mut written = Vec::new();
    for picture in &pictures {
        let file = |extension: &str| folder.join("figures").join(format!("{}.{extension}", picture.name));
        knockon::io::write_atomically(&file("svg"), picture.svg.as_bytes())?;
        knockon::io::write_atomically(&file("png"), &raster::png(&picture.svg)?)?;
        written.extend([file("svg"), file("png")]);
    }
    let page = page::page(&run, &pictures, &files(folder, &pictures));
    let path = folder.join("report.html");
    knockon::io::write_atomically(&path, page.as_bytes())?;
    written.push(path);
    Ok(written)
}

/// What lies in the folder, by name.
fn files(folder: &Path, pictures: &[pictures::Picture]) -> Vec<(String, String)> {
    let present = |name: &str| name == "report.html" || folder.join(name).exists();
    let mut files: Vec<(String, String)> = models(folder)
        .into_iter()
        .map(|name| (format!("model/{name}"), "the potential, readable text".to_owned()))
        .collect();
    let stages = STAGE_FILES.iter().filter(|(name, _)| present(name));
    files.extend(stages.map(|(name, purpose)| ((*name).to_owned(), (*purpose).to_owned())));
    files.extend(pictures.iter().map(|p| (format!("figures/{}.svg, .png", p.name), p.title.to_owned())));
    files
}

/// Names of the model files.
fn models(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("model")).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
    names.retain(|name| name.ends_with(".model"));
    names.sort();
    names
}

#[cfg(test)]
mod tests;
