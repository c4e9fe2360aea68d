//! A hash of sources, for the build scripts of the library and of the program.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// The hash of all files at and below these paths but for what is left out; a change in them has the build script run again.
pub(crate) fn hash_of(paths: &[&str], left_out: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in paths.iter().map(Path::new).filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
        for file in files(path, left_out) {
            (&file, fs::read(&file).expect("a source can be read")).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// A file, or all below a folder in order.
fn files(path: &Path, left_out: &[&str]) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).expect("a folder of sources can be read");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry can be read").path()).collect();
    paths.retain(|path| left_out.iter().all(|left_out| path != Path::new(left_out)));
    paths.sort();
    paths.iter().flat_map(|path| files(path, left_out)).collect()
}
