//! The Python package, tested in Python.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "../../knockon-cli/tests/common/mod.rs"]
mod common;

use common::python;
use std::path::{Path, PathBuf};
use std::process::Command;

const CRATE: &str = env!("CARGO_MANIFEST_DIR");

/// Fails with what the program printed.
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let [printed, said] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{command:?}:\n{printed}\n{said}");
}

/// A folder from which Python imports the package: its Python files and the module that cargo has built for this test.
/// The wheel holds the same; compiling it would compile everything else a second time.
fn package() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-package");
    let package = folder.join("knockon");
    std::fs::create_dir_all(&package).unwrap();
    for file in std::fs::read_dir(Path::new(CRATE).join("python/knockon")).unwrap() {
        let file = file.unwrap().path();
        if file.is_file() {
            std::fs::copy(&file, package.join(file.file_name().unwrap())).unwrap();
        }
    }
    let built = std::env::current_exe().unwrap().with_file_name(format!(
        "{}_knockon{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    ));
    let name = if cfg!(windows) { "_knockon.pyd" } else { "_knockon.abi3.so" };
    std::fs::copy(built, package.join(name)).unwrap();
    folder
}

#[test]
fn python_tests_pass() {
    let tests = Path::new(CRATE).join("tests/python");
    // Neither caches nor byte code beside the sources.
    let mut command = Command::new(python());
    command.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", tests.to_str().unwrap()]);
    // One thread for the linear algebra of others: waiting threads slow down a busy machine.
    run(command.env("PYTHONPATH", package()).env("PYTHONDONTWRITEBYTECODE", "1").env("OMP_NUM_THREADS", "1"));
}

#[test]
#[ignore = "compiles the library once more, optimised: some minutes"]
fn pip_installs_the_package() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pip");
    run(Command::new("python3").args(["-m", "venv", "--clear", folder.to_str().unwrap()]));
    let python = folder.join("bin/python");
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", CRATE]));
    // As a user has it: in a folder that knows nothing of the repository, with nothing but NumPy beside it.
    let page = Path::new(CRATE).join("../../docs/experimenters.md").canonicalize().unwrap();
    run(Command::new(&python).current_dir(&folder).args(["-I", "-c", INSTALLED, page.to_str().unwrap()]));
}

/// The wheel has what it must have and is small, and the page for experimenters holds.
const INSTALLED: &str = "
import doctest, importlib.metadata, sys
files = {file.name: file for file in importlib.metadata.files('knockon')}
assert {'__init__.py', 'ase.py', 'py.typed', '_knockon.pyi', '_knockon.abi3.so'} <= set(files), files
assert files['_knockon.abi3.so'].locate().stat().st_size < 10_000_000
tested = doctest.testfile(sys.argv[1], module_relative=False)
assert tested.attempted > 5 and tested.failed == 0, tested
";
