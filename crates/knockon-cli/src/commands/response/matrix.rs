//! Response matrices in all their formats. ROOT is written and read by a Python of its own with uproot.

use crate::commands::label::environment;
use anyhow::{Context, Result, bail};
use knockon::Error;
use knockon::io::write_atomically;
use knockon::response::{AnyResponse, Response, ResponseMatrix};
use std::path::Path;
use std::process::Command;

const SCRIPT: &str = include_str!("../../../companion/response_root.py");
const PACKAGES: [&str; 2] = ["uproot==5.7.7", "numpy"];

fn extension(file: &Path) -> &str {
    file.extension().and_then(|e| e.to_str()).unwrap_or("")
}

/// Writes a matrix: CSV, JSON, NPZ or ROOT by the ending of the name.
pub(super) fn write(matrix: &ResponseMatrix, file: &Path) -> Result<()> {
    match extension(file) {
        "json" => write_atomically(file, matrix.to_json()?.as_bytes())?,
        "npz" => write_atomically(file, &matrix.to_npz()?)?,
        "csv" => write_atomically(file, matrix.to_csv().as_bytes())?,
        "root" => write_atomically(file, &converted("to-root", &matrix.to_npz()?, "npz", "root", None)?)?,
        other => bail!(
            "--matrix {}: expected a name that ends in .csv, .json, .npz or .root, found \"{other}\". Choose one of them",
            file.display()
        ),
    }
    Ok(())
}

/// Reads a matrix of any of the formats, a response.json, or a response that ships, by its name. A ROOT file of another program may lack
/// its species, which is then `species`.
pub(super) fn read(file: &Path, species: Option<&str>) -> Result<AnyResponse> {
    let name = file.display().to_string();
    // A file goes first here: one without an ending may be called as a response that ships.
    if !file.exists() {
        if Response::is_shipped(&name) {
            return Ok(AnyResponse::load(&name)?);
        }
        let problem = format!("expected a file or {}, found \"{name}\", which is neither", Response::NAMES.join(", "));
        let remedy = "Give a matrix, a response.json of `knockon response`, or one of these names";
        return Err(Error::input("--from-matrix", problem, remedy).into());
    }
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {name}. Check that it is a file"))?;
    let is_root = bytes.starts_with(b"root");
    let bytes = if is_root { converted("to-npz", &bytes, "root", "npz", species)? } else { bytes };
    Ok(AnyResponse::from_bytes(&bytes, &name)?)
}

/// What the script makes of some bytes.
fn converted(task: &str, bytes: &[u8], from: &str, to: &str, species: Option<&str>) -> Result<Vec<u8>> {
    let python = environment::installed(&PACKAGES, |_, _, _| Ok(()))?;
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let at = |name: &str| folder.path().join(name);
    let (script, source, target) = (at("response_root.py"), at(&format!("in.{from}")), at(&format!("out.{to}")));
    std::fs::write(&script, SCRIPT).context("cannot write into a temporary folder")?;
    std::fs::write(&source, bytes).context("cannot write into a temporary folder")?;
    let mut command = Command::new(&python);
    let output = command.arg("-B").arg(&script).arg(task).arg(&source).arg(&target).args(species).output();
    let output = output.with_context(|| format!("cannot start {}", python.display()))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        bail!(
            "cannot convert between ROOT and NPZ: {}. See docs/response-format.md for what the file must hold",
            message.trim().lines().last().unwrap_or("no message")
        );
    }
    std::fs::read(&target).context("cannot read what the script wrote")
}
