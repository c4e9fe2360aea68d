//! The Python that labels: its own environment in the user's cache, made once, or one that the user names.

use crate::progress::say;
use anyhow::{Context, Result, bail};
use knockon::io::content_hash;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The scripts, as they are written beside a job.
pub(crate) const SCRIPTS: [(&str, &str); 5] = [
    ("label.py", include_str!("../../../companion/label.py")),
    ("calculators.py", include_str!("../../../companion/calculators.py")),
    ("gpaw_at_gamma.py", include_str!("../../../companion/gpaw_at_gamma.py")),
    ("claims.py", include_str!("../../../companion/claims.py")),
    ("trajectory.py", include_str!("../../../companion/trajectory.py")),
];

const ASE: &str = "ase==3.29.0";
/// The versions that the shipped labels were made with.
const GPAW: [&str; 3] = ["gpaw==26.7.0", "gpaw-data==1.2.1", ASE];
/// GPAW's path on NVIDIA devices.
const CUPY: &str = "cupy-cuda12x";
/// What GPAW's extension is compiled against, by the names of Debian.
const DEBIAN: [&str; 5] = ["g++", "python3-dev", "libxc-dev", "libfftw3-dev", "libopenblas-dev"];
/// Includes and links all of it.
const PROBE: &str = "#include <Python.h>\n#include <xc.h>\n#include <fftw3.h>\nint dgemm_();\n\
                     int main() { xc_version(0, 0, 0); fftw_cleanup(); return dgemm_ == 0; }\n";
const SITECONFIG: &str = "mpi = False\nscalapack = False\nfftw = True\ncompiler = 'gcc'\n\
                          libraries = ['xc', 'fftw3', 'openblas']\n\
                          extra_compile_args = ['-O3', '-std=c99', '-fopenmp']\nextra_link_args = ['-fopenmp']\n";
/// On top of it for NVIDIA devices, as GPAW's manual ("GPU") has it.
const SITECONFIG_GPU: &str = "gpu = True\ngpu_target = 'cuda'\ngpu_compiler = 'nvcc'\ngpu_include_dirs = []\n\
                              gpu_compile_args = ['-O3', '-g']\nlibraries += ['cudart', 'cublas']\n";

/// Where Linux shows the first NVIDIA device.
const NVIDIA_DEVICE: &str = "/dev/nvidia0";

/// Succeeds where GPAW is built for NVIDIA devices, CuPy is there, and it sees a device.
const GPU_PROBE: &str = "import sys, gpaw.gpu; sys.exit(gpaw.gpu.cupy_is_fake)";

/// Which Python labels, and where GPAW runs.
#[derive(clap::Args)]
pub(crate) struct EnvironmentArguments {
    /// A Python that has ASE and the calculator, instead of one that is installed into the cache.
    #[arg(long, value_name = "PYTHON", requires = "calculator")]
    python: Option<PathBuf>,
    /// Run GPAW on an NVIDIA device through CuPy, and install what that needs (tested only with a stand-in for CuPy)
    /// [default: where the Python has it all and sees a device].
    #[arg(long, requires = "calculator", conflicts_with = "no_gpu")]
    gpu: bool,
    /// Run GPAW on the processor even where there is a device.
    #[arg(long, requires = "calculator")]
    no_gpu: bool,
    /// Added to the niceness of the processes of the calculator; 19 leaves the machine to everything else.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "calculator")]
    pub(crate) nice: u8,
}

/// What labels.
pub(crate) struct Environment {
    /// With ASE and the calculator.
    pub(crate) python: PathBuf,
    /// Whether GPAW runs on an NVIDIA device.
    pub(crate) gpu: bool,
}

impl EnvironmentArguments {
    /// As the user says; otherwise on a device where everything is there for it.
    pub(crate) fn open(&self, calculator: &str) -> Result<Environment> {
        if self.gpu && calculator != "gpaw" {
            bail!(
                "--gpu: expected --calculator gpaw, found {calculator}. Give the options of this code in its settings"
            );
        }
        if calculator == "gpaw" && !self.gpu && !self.no_gpu {
            let ready = match &self.python {
                Some(python) => Some(python.clone()),
                None => installed_before(&packages(calculator, true))?,
            };
            if let Some(python) = ready.filter(|python| sees_device(python)) {
                say("GPAW runs on an NVIDIA device (--no-gpu: on the processor)");
                return Ok(Environment { python, gpu: true });
            }
            if Path::new(NVIDIA_DEVICE).exists() {
                say(
                    "GPAW runs on the processor, though this machine has an NVIDIA device (--gpu: install what uses it)",
                );
            }
        }
        Ok(Environment { python: python(self.python.as_deref(), calculator, self.gpu)?, gpu: self.gpu })
    }
}

fn sees_device(python: &Path) -> bool {
    let probe = Command::new(python).args(["-B", "-c", GPU_PROBE]).stdin(Stdio::null()).output();
    probe.is_ok_and(|output| output.status.success())
}

fn packages(calculator: &str, gpu: bool) -> Vec<&'static str> {
    let mut packages = if calculator == "gpaw" { GPAW.to_vec() } else { vec![ASE] };
    if gpu {
        packages.push(CUPY);
    }
    packages
}

/// The Python to use: the user's, or the one for this calculator in the cache, installed if it is not there.
pub(crate) fn python(given: Option<&Path>, calculator: &str, gpu: bool) -> Result<PathBuf> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    installed(&packages(calculator, gpu), |folder, python, install| {
        if calculator == "gpaw" {
            prepare_libraries(python)?;
            let siteconfig = folder.join("siteconfig.py");
            let text = if gpu { [SITECONFIG, SITECONFIG_GPU].concat() } else { SITECONFIG.to_owned() };
            knockon::io::write_atomically(&siteconfig, text.as_bytes())?;
            install.env("GPAW_CONFIG", siteconfig);
        }
        Ok(())
    })
}

/// A Python in the cache that has these packages, installed if it is not there; `prepare` may set the installation up.
pub(crate) fn installed(
    packages: &[&str],
    prepare: impl FnOnce(&Path, &Path, &mut Command) -> Result<()>,
) -> Result<PathBuf> {
    let (wanted, folder) = (packages.join(" "), environment_folder(packages)?);
    let (python, complete) = (folder.join("bin/python"), folder.join("complete"));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let lock = std::fs::File::create(folder.join("lock")).context("cannot lock the Python environment")?;
    lock.lock().context("cannot lock the Python environment")?; // until the end of this function
    if complete.exists() {
        return Ok(python);
    }
    say(&format!("installing {wanted} into {} (once, some minutes)", folder.display()));
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))
        .context("Python 3.10 or newer with venv is needed (Debian: apt-get install python3-venv)")?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet"]).args(packages);
    prepare(&folder, &python, &mut install)?;
    run(&mut install).context("pip could not install; it needs the network once. Or name a Python with --python")?;
    knockon::io::write_atomically(&complete, wanted.as_bytes())?;
    Ok(python)
}

/// The Python in the cache that has these packages, if it is there.
fn installed_before(packages: &[&str]) -> Result<Option<PathBuf>> {
    let folder = environment_folder(packages)?;
    Ok(folder.join("complete").exists().then(|| folder.join("bin/python")))
}

fn environment_folder(packages: &[&str]) -> Result<PathBuf> {
    Ok(cache_folder()?.join(format!("python-{}", content_hash(packages.join(" ").as_bytes()))))
}

fn cache_folder() -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    cache.map(|c| c.join("knockon")).context("expected HOME or XDG_CACHE_HOME to be set, found neither. Set one")
}

/// Compiler and libraries for GPAW: installed where that is allowed, otherwise an error that says how.
fn prepare_libraries(python: &Path) -> Result<()> {
    if libraries_work(python)? {
        return Ok(());
    }
    let apt = |arguments: &[&str]| {
        Command::new("apt-get").args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).status()
    };
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.trim_ascii() == b"0");
    if is_root && apt(&["--version"]).is_ok_and(|s| s.success()) {
        say(&format!("installing {} with apt-get", DEBIAN.join(" ")));
        let _ = apt(&["update", "-qq"]);
        let _ = apt(&[&["install", "-y", "-qq", "--no-install-recommends"], DEBIAN.as_slice()].concat());
        if libraries_work(python)? {
            return Ok(());
        }
    }
    bail!(
        "expected a C compiler, Python's headers, libxc, FFTW and OpenBLAS for GPAW, found that a program with them does \
         not compile. Install them (Debian, Ubuntu: sudo apt-get install {}), or name a Python that has GPAW with --python",
        DEBIAN.join(" ")
    )
}

fn libraries_work(python: &Path) -> Result<bool> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let source = folder.path().join("probe.c");
    std::fs::write(&source, PROBE).context("cannot write into a temporary folder")?;
    let include = Command::new(python)
        .args(["-c", "import sysconfig; print(sysconfig.get_paths()['include'])"])
        .output()
        .context("cannot start Python")?;
    let include = String::from_utf8_lossy(&include.stdout).trim().to_owned();
    let program = folder.path().join("probe");
    let mut compile = Command::new("gcc");
    compile.arg(format!("-I{include}")).arg(&source).arg("-o").arg(&program);
    compile.args(["-lxc", "-lfftw3", "-lopenblas"]).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(compile.status().is_ok_and(|status| status.success()))
}

/// Runs a program; what it wrote on standard error is part of the error.
fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = message.lines().collect();
        bail!("{name} failed ({}):\n{}", output.status, lines[lines.len().saturating_sub(25)..].join("\n"));
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// `true` and `false` stand for Pythons whose GPAW finds a device and does not.
    #[test]
    fn a_device_is_used_where_it_is_found_unless_the_user_says_otherwise() -> Result<()> {
        let gpu = |python: &str, gpu: bool, no_gpu: bool, calculator: &str| {
            let arguments = EnvironmentArguments { python: Some(python.into()), gpu, no_gpu, nice: 0 };
            arguments.open(calculator).map(|environment| environment.gpu)
        };
        assert!(gpu("true", false, false, "gpaw")? && gpu("false", true, false, "gpaw")?);
        assert!(!gpu("false", false, false, "gpaw")? && !gpu("true", false, true, "gpaw")?);
        assert!(!gpu("true", false, false, "vasp")? && !gpu("no such program", false, false, "gpaw")?);
        assert!(gpu("true", true, false, "vasp").is_err());
        Ok(())
    }
}
