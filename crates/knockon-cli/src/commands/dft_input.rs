//! `knockon dft-input`: folders that are ready to run, for those who have VASP or CP2K elsewhere.

use super::candidate_file::{self, sorted_by_species};
use super::label::candidates::file_name;
use super::label::settings::Settings;
use super::relax::frozen_atoms;
use crate::progress::say;
use anyhow::{Context, Result, bail};
use glam::DVec3;
use knockon::io::{Column, Frame, format_poscar, read_structures, write_atomically};
use knockon::units::{BOHR_ANGSTROM, HARTREE_EV};
use knockon::{Atoms, Species};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Arguments of `knockon dft-input`.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  knockon dft-input candidates.xyz -o inputs --code vasp --config examples/cawo4/label.toml --hse06\n\n\
    Each configuration gets a folder with pbe and, if asked for, hse06, which starts from the orbitals of pbe and, with --relax,\n\
    from its relaxed atoms. Run pbe first; what VASP needs of it has to be copied, as INCAR says.\n\
    VASP's pseudopotentials cannot be shipped: POTCAR.txt names them and says how to join them. CP2K's come with CP2K.\n\
    knockon data import reads the results; from knockon-candidate.xyz, beside the inputs, it takes what a configuration is called.\n\
    Keep the two together."
)]
pub(crate) struct Arguments {
    /// Configurations: extended XYZ, or one as POSCAR or LAMMPS data.
    #[arg(value_name = "CANDIDATES")]
    candidates: PathBuf,
    /// The folder to write.
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// For which code.
    #[arg(long, value_enum)]
    code: Code,
    /// Settings of labels: cutoff (VASP) and k-points are taken from it.
    #[arg(long, value_name = "TOML")]
    config: PathBuf,
    /// Also the hybrid functional HSE06, on top of PBE.
    #[arg(long)]
    hse06: bool,
    /// Relax the atoms until no force is above 0.002 eV/A instead of computing the configuration as it is.
    #[arg(long)]
    relax: bool,
    /// Another pseudopotential of VASP than the recommended one, e.g. W=W_pv; may be repeated.
    #[arg(long, value_name = "ELEMENT=NAME")]
    potcar: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Code {
    Vasp,
    Cp2k,
}

/// Threshold of relaxations, that of the paper for its Frenkel pairs, in eV/angstrom.
pub(super) const RELAXED_EV_PER_ANGSTROM: f64 = 2e-3;
const STEPS: usize = 300;

/// One configuration, atoms sorted by species in the order of their first appearance.
struct Prepared {
    frame: Frame,
    species: Vec<Species>,
    mesh: [u32; 3],
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let settings = Settings::load(&arguments.config)?;
    if settings.xc != "PBE" {
        bail!(
            "{}: expected xc = \"PBE\", found \"{}\". These inputs are for PBE",
            arguments.config.display(),
            settings.xc
        );
    }
    let chosen = chosen_potentials(&arguments.potcar)?;
    let mut frames = read_structures(&arguments.candidates)?;
    let is_there = |element: &str| frames.iter().any(|f| f.atoms.species.iter().any(|s| s.symbol() == element));
    if let Some(text) = arguments.potcar.iter().find(|text| !text.split('=').next().is_some_and(is_there)) {
        bail!("--potcar: expected an element of the candidates, found \"{text}\". Leave it out");
    }
    let mut all = Vec::new();
    for (index, frame) in frames.iter_mut().enumerate() {
        let place = format!("{}, configuration {}", arguments.candidates.display(), index + 1);
        if !frame.atoms.cell.periodic.all() {
            bail!("{place}: expected a box that repeats in all directions, found open ones. Give it a periodic cell");
        }
        if frame.info.get("id").is_none() {
            frame.info.set("id", format!("configuration-{}", index + 1));
        }
        let id = frame.info.get("id").unwrap_or_default();
        let name = format!("{index:04}-{}", file_name(id));
        let candidate = candidate_file::text(frame, arguments.relax)?;
        let folder = arguments.output.join(name);
        let sorted = sorted(frame, &settings, &place)?;
        for (sub, hse06) in [("pbe", false), ("hse06", true)] {
            if hse06 && !arguments.hse06 {
                continue;
            }
            let files = match arguments.code {
                Code::Vasp => vasp(&sorted, &settings, arguments, hse06, (&chosen, &place))?,
                Code::Cp2k => cp2k(&sorted, arguments, hse06, &place)?,
            };
            let files = files.into_iter().chain([(candidate_file::NAME, candidate.clone())]);
            all.extend(files.map(|(file, text)| (folder.join(sub).join(file), text)));
        }
    }
    refuse_other_inputs(&arguments.output)?;
    for (path, text) in all {
        write_atomically(&path, text.as_bytes())?;
    }
    say(&format!("{}: inputs of {} configurations", arguments.output.display(), frames.len()));
    Ok(())
}

/// Inputs of two calls would be mixed, and outputs would stand beside inputs that are not theirs.
fn refuse_other_inputs(output: &Path) -> Result<()> {
    let Some(found) = std::fs::read_dir(output).ok().and_then(|mut entries| entries.next()?.ok()) else {
        return Ok(());
    };
    bail!(
        "{}: expected a new or empty folder, found {} in it. Give another one, or remove what is there",
        output.display(),
        found.file_name().to_string_lossy()
    )
}

fn sorted(frame: &Frame, settings: &Settings, place: &str) -> Result<Prepared> {
    let atoms = &frame.atoms;
    let pick = |k: usize| (atoms.species[k], atoms.positions[k]);
    let order = sorted_by_species(atoms);
    let (symbols, positions): (Vec<Species>, Vec<DVec3>) = order.iter().copied().map(pick).unzip();
    let mut species = symbols.clone();
    species.dedup();
    let mesh = super::label::candidates::mesh(frame, settings, place)?;
    let mut bare = Frame::new(Atoms::new(atoms.cell, symbols, positions, place)?);
    bare.info.set("id", frame.info.get("id").unwrap_or_default());
    if let Some(mask) = frame.column("move_mask").filter(|mask| [1, 3].contains(&mask.width)) {
        // One flag for an atom is that of all its axes.
        let flag = |atom: usize, axis: usize| mask.words[mask.width * atom + axis.min(mask.width - 1)].clone();
        let words = order.iter().flat_map(|atom| [0, 1, 2].map(|axis| flag(*atom, axis))).collect();
        bare.columns.push(Column { words, width: 3, ..mask.clone() });
    }
    Ok(Prepared { frame: bare, species, mesh })
}

/// The elements for which VASP's manual ("Available PAW potentials") recommends another set than the one named like
/// the element; lanthanides are left to the user.
const RECOMMENDED: &str = "Li_sv Na_pv K_sv Ca_sv Sc_sv Ti_sv V_sv Cr_pv Mn_pv Ga_d Ge_d Rb_sv Sr_sv Y_sv Zr_sv Nb_sv Mo_sv \
                           Tc_pv Ru_pv Rh_pv In_d Sn_d Cs_sv Ba_sv Hf_pv Ta_pv W_sv Tl_d Pb_d Bi_d Po_d";

fn chosen_potentials(given: &[String]) -> Result<BTreeMap<String, String>> {
    let recommended =
        RECOMMENDED.split_whitespace().filter_map(|n| Some((n.split('_').next()?.to_owned(), n.to_owned())));
    let mut chosen: BTreeMap<String, String> = recommended.collect();
    for text in given {
        let pair = text.split_once('=').filter(|(element, _)| Species::from_symbol(element).is_some());
        let (element, name) = pair.with_context(|| format!("--potcar: expected ELEMENT=NAME, found \"{text}\""))?;
        chosen.insert(element.to_owned(), name.to_owned());
    }
    Ok(chosen)
}

type Files = Vec<(&'static str, String)>;

fn vasp(
    b: &Prepared,
    settings: &Settings,
    arguments: &Arguments,
    hse06: bool,
    (chosen, place): (&BTreeMap<String, String>, &str),
) -> Result<Files> {
    anyhow::ensure!(
        b.frame.atoms.cell.vectors.determinant() > 0.0,
        "{place}: expected cell vectors that are right-handed, without which VASP stops, found left-handed ones. Exchange two of them"
    );
    let mut incar = format!(
        "SYSTEM = {}\nPREC   = Accurate\nENCUT  = {}\nGGA    = PE\nLASPH  = .TRUE.\nEDIFF  = 1E-6\nNELM   = 200\n\
         ISMEAR = 0\nSIGMA  = 0.05\nISYM   = 0\nISIF   = 2\nLREAL  = .FALSE.\nLCHARG = .FALSE.\n",
        b.frame.info.get("id").unwrap_or(""),
        settings.cutoff_ev,
    );
    match arguments.relax {
        true => {
            let _ = writeln!(incar, "IBRION = 2\nNSW    = {STEPS}\nEDIFFG = -{RELAXED_EV_PER_ANGSTROM}");
        }
        false => incar.push_str("IBRION = -1\nNSW    = 0\n"),
    }
    if hse06 {
        // HSE06: a quarter of exact exchange, screened with 0.2 per angstrom (Krukau et al., JCP 125, 224106, 2006).
        incar.push_str(
            "# copy ../pbe/WAVECAR (and ../pbe/CONTCAR to POSCAR, if relaxed) here first\n\
             ISTART = 1\nLHFCALC = .TRUE.\nAEXX    = 0.25\nHFSCREEN = 0.2\nPRECFOCK = Normal\nALGO   = Damped\nTIME   = 0.4\nLWAVE  = .FALSE.\n",
        );
    } else {
        let _ = writeln!(incar, "ALGO   = Normal\nLWAVE  = {}", if arguments.hse06 { ".TRUE." } else { ".FALSE." });
    }
    let mesh = b.mesh.map(|n| n.to_string()).join(" ");
    let names: Vec<String> =
        b.species.iter().map(|s| chosen.get(s.symbol()).cloned().unwrap_or_else(|| s.symbol().to_owned())).collect();
    let paths: Vec<String> = names.iter().map(|n| format!("$POTPAW_PBE/{n}/POTCAR")).collect();
    let note = format!(
        "The POTCAR of this folder is made of these PAW-PBE sets, in this order: {}\n    cat {} > POTCAR\n\
         Label all configurations with the same sets; check that ENCUT is at least the largest ENMAX among them.\n",
        names.join(" "),
        paths.join(" ")
    );
    Ok(vec![
        ("POSCAR", format_poscar(&b.frame)?),
        ("INCAR", incar),
        ("KPOINTS", format!("Gamma-centred mesh\n0\nGamma\n{mesh}\n0 0 0\n")),
        ("POTCAR.txt", note),
    ])
}

fn cp2k(b: &Prepared, arguments: &Arguments, hse06: bool, place: &str) -> Result<Files> {
    let gamma = b.mesh == [1, 1, 1];
    if hse06 && !gamma {
        bail!("{place}: expected Gamma only for HSE06 in CP2K, found a mesh of {:?}. Use a larger box", b.mesh);
    }
    let threshold = RELAXED_EV_PER_ANGSTROM / HARTREE_EV * BOHR_ANGSTROM;
    let frozen = if arguments.relax { frozen_atoms(&b.frame)? } else { Vec::new() };
    let frozen: Vec<String> = frozen.into_iter().map(|atom| (atom + 1).to_string()).collect();
    let fixed = match frozen.is_empty() {
        true => String::new(),
        false => format!(
            "  &CONSTRAINT\n    &FIXED_ATOMS\n      LIST {}\n    &END FIXED_ATOMS\n  &END CONSTRAINT\n",
            frozen.join(" ")
        ),
    };
    let motion = format!(
        "&MOTION\n  &GEO_OPT\n    MAX_ITER {STEPS}\n    MAX_FORCE {threshold:.4E}\n  &END GEO_OPT\n{fixed}&END MOTION\n"
    );
    let mut kinds = String::new();
    for s in &b.species {
        let _ = write!(
            kinds,
            "    &KIND {s}\n      ELEMENT {s}\n      BASIS_SET DZVP-MOLOPT-SR-GTH\n      POTENTIAL GTH-PBE\n    &END KIND\n"
        );
    }
    let vectors = b.frame.atoms.cell.vectors;
    let row = |v: glam::DVec3| format!("{:?} {:?} {:?}", v.x, v.y, v.z);
    let atoms = b.frame.atoms.species.iter().zip(&b.frame.atoms.positions);
    let coordinates: String = atoms.map(|(s, p)| format!("      {s} {}\n", row(*p))).collect();
    let text = format!(
        "# {id}\n&GLOBAL\n  PROJECT {project}\n  RUN_TYPE {run}\n  PRINT_LEVEL MEDIUM\n&END GLOBAL\n\
         {relaxed}&FORCE_EVAL\n  METHOD QS\n  STRESS_TENSOR ANALYTICAL\n  &PRINT\n    &FORCES ON\n    &END FORCES\n    &STRESS_TENSOR ON\n    &END STRESS_TENSOR\n  &END PRINT\n\
         \x20 &DFT\n    BASIS_SET_FILE_NAME BASIS_MOLOPT\n    POTENTIAL_FILE_NAME GTH_POTENTIALS\n{restart}\
         \x20   &MGRID\n      CUTOFF 600\n      REL_CUTOFF 60\n    &END MGRID\n    &QS\n      EPS_DEFAULT 1.0E-12\n    &END QS\n{scf}{kpoints}{xc}  &END DFT\n\
         \x20 &SUBSYS\n    &CELL\n      A {a}\n      B {bb}\n      C {c}\n    &END CELL\n    &COORD\n{coordinates}    &END COORD\n{kinds}  &END SUBSYS\n\
         &END FORCE_EVAL\n{motion}",
        id = b.frame.info.get("id").unwrap_or(""),
        project = if hse06 { "hse06" } else { "pbe" },
        run = if arguments.relax { "GEO_OPT" } else { "ENERGY_FORCE" },
        relaxed = if hse06 && arguments.relax { RELAXED_POSITIONS } else { "" },
        restart = if hse06 { "    WFN_RESTART_FILE_NAME ../pbe/pbe-RESTART.wfn\n" } else { "" },
        scf = scf(gamma, hse06),
        kpoints = if gamma {
            String::new()
        } else {
            // Monkhorst and Pack's points of an even number, shifted by half a step, so that Gamma is among them as in VASP's.
            let mesh = b.mesh.map(|n| n.to_string()).join(" ");
            let shift = b.mesh.map(|n| if n % 2 == 0 { 0.5 / f64::from(n) } else { 0.0 }.to_string()).join(" ");
            format!("    &KPOINTS\n      SCHEME MACDONALD {mesh} {shift}\n    &END KPOINTS\n")
        },
        xc = if hse06 { HSE06 } else { PBE },
        a = row(vectors.x_axis),
        bb = row(vectors.y_axis),
        c = row(vectors.z_axis),
        motion = if arguments.relax { motion } else { String::new() },
    );
    Ok(vec![(if hse06 { "hse06.inp" } else { "pbe.inp" }, text)])
}

/// The cell does not relax, so positions are all that the relaxation with PBE has changed.
const RELAXED_POSITIONS: &str = "# positions below are replaced by those that ../pbe has relaxed to: run it first
&EXT_RESTART
  RESTART_FILE_NAME ../pbe/pbe-1.restart
  RESTART_DEFAULT F
  RESTART_POS T
&END EXT_RESTART
";

/// Orbital transformation for insulators at Gamma; diagonalisation with Fermi-Dirac occupations (580 K are 0.05 eV) for
/// meshes.
fn scf(gamma: bool, hse06: bool) -> String {
    let guess = if hse06 { "RESTART" } else { "ATOMIC" };
    let method = if gamma {
        "      MAX_SCF 30\n      &OUTER_SCF\n        EPS_SCF 1.0E-6\n        MAX_SCF 10\n      &END OUTER_SCF\n      \
         &OT\n        PRECONDITIONER FULL_SINGLE_INVERSE\n        MINIMIZER DIIS\n      &END OT\n"
    } else {
        "      MAX_SCF 200\n      ADDED_MOS 20\n      &DIAGONALIZATION\n      &END DIAGONALIZATION\n      &SMEAR\n        \
         METHOD FERMI_DIRAC\n        ELECTRONIC_TEMPERATURE 580\n      &END SMEAR\n      &MIXING\n        \
         METHOD BROYDEN_MIXING\n        ALPHA 0.3\n      &END MIXING\n"
    };
    format!("    &SCF\n      SCF_GUESS {guess}\n      EPS_SCF 1.0E-6\n{method}    &END SCF\n")
}

const PBE: &str = "    &XC\n      &XC_FUNCTIONAL PBE\n      &END XC_FUNCTIONAL\n    &END XC\n";

/// HSE06 in CP2K's terms: PBE correlation, PBE exchange less a quarter of its short range (0.11 per bohr), which is
/// exact exchange (Krukau et al., JCP 125, 224106, 2006).
const HSE06: &str = "    &XC
      &XC_FUNCTIONAL
        &PBE
          SCALE_X 0.0
          SCALE_C 1.0
        &END PBE
        &XWPBE
          SCALE_X -0.25
          SCALE_X0 1.0
          OMEGA 0.11
        &END XWPBE
      &END XC_FUNCTIONAL
      &HF
        FRACTION 0.25
        &SCREENING
          EPS_SCHWARZ 1.0E-6
          SCREEN_ON_INITIAL_P TRUE
        &END SCREENING
        &INTERACTION_POTENTIAL
          POTENTIAL_TYPE SHORTRANGE
          OMEGA 0.11
        &END INTERACTION_POTENTIAL
        &MEMORY
          MAX_MEMORY 2000
        &END MEMORY
      &END HF
    &END XC
";
