//! A hash of the sources, for checkpoints to name: a commit does not say what a build with changes was made of, and there may be no
//! git. Checkpoints live as long as a recoil is under way, so that a hash will do that the next compiler may compute differently.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// What results follow from. The last two are not there where the library is built on its own.
const SOURCES: [&str; 4] = ["src", "Cargo.toml", "../../Cargo.toml", "../../Cargo.lock"];

/// Modules that stand below the cascades: they use these, and no state follows from them (a test in cascade/checkpoint.rs sees to
/// that).
const LEFT_OUT: [&str; 3] = ["src/response", "src/selection", "src/spectra"];

fn main() {
    let mut hasher = DefaultHasher::new();
    for path in SOURCES.map(Path::new).into_iter().filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
        for file in files(path) {
            (&file, fs::read(&file).expect("a source can be read")).hash(&mut hasher);
        }
    }
    println!("cargo::rustc-env=KNOCKON_SOURCES={:016x}", hasher.finish());
}

/// A file, or all below a folder in order.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).expect("a folder of sources can be read");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry can be read").path()).collect();
    paths.retain(|path| LEFT_OUT.iter().all(|left_out| path != Path::new(left_out)));
    paths.sort();
    paths.iter().flat_map(|path| files(path)).collect()
}
