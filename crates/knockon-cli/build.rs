//! The commit that the program is built from, for results to name (nothing where there is no git), and a hash of all its sources, for
//! `knockon reproduce` to tell one build from another.

use std::process::Command;

#[path = "../knockon/source_hash.rs"]
mod source_hash;

/// What the program is made of: its own sources, those of the library, and the data that stand in it (but for those of `knockon
/// bench`, which no stage uses).
const SOURCES: [&str; 9] = [
    "src",
    "companion",
    "Cargo.toml",
    "../knockon/src",
    "../knockon/Cargo.toml",
    "../../Cargo.toml",
    "../../Cargo.lock",
    "../../data/nuclear",
    "../../data/cawo4/cawo4-w/response.json",
];

fn main() {
    println!("cargo::rustc-env=KNOCKON_PROGRAM={:016x}", source_hash::hash_of(&SOURCES, &[]));
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
    };
    if let Some(commit) = git(&["describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*"]) {
        println!("cargo::rustc-env=KNOCKON_COMMIT={commit}");
        println!("cargo::rustc-env=KNOCKON_BUILD={} ({commit})", env!("CARGO_PKG_VERSION"));
    }
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
}
