//! A hash of the sources, for checkpoints to name: a commit does not say what a build with changes was made of, and there may be no
//! git. Checkpoints live as long as a recoil is under way, so that a hash will do that the next compiler may compute differently.

mod source_hash;

/// What results follow from. The last two are not there where the library is built on its own.
const SOURCES: [&str; 4] = ["src", "Cargo.toml", "../../Cargo.toml", "../../Cargo.lock"];

/// Modules that stand below the cascades: they use these, and no state follows from them (a test in cascade/checkpoint.rs sees to
/// that).
const LEFT_OUT: [&str; 3] = ["src/response", "src/selection", "src/spectra"];

fn main() {
    println!("cargo::rustc-env=KNOCKON_SOURCES={:016x}", source_hash::hash_of(&SOURCES, &LEFT_OUT));
}
