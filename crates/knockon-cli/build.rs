//! The commit that the program is built from, for results to name; nothing where there is no git.

use std::process::Command;

fn main() {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
    };
    if let Some(commit) = git(&["describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*"]) {
        println!("cargo::rustc-env=KNOCKON_COMMIT={commit}");
    }
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    for path in ["src", "../knockon/src", "../../Cargo.lock"] {
        println!("cargo::rerun-if-changed={path}");
    }
}
