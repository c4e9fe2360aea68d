//! `knockon data import` on outputs of real codes (`tests/outputs`), with ASE and dpdata as independent readers.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;

use common::python;
use knockon::io::{Frame, read_extxyz, write_extxyz};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

fn outputs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outputs")
}

/// The labels in one file, and what was said about it.
fn import(file: &Path, more: &[&str]) -> (Vec<Frame>, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("labels.xyz");
    let mut command = Command::new(env!("CARGO_BIN_EXE_knockon"));
    command.args(["data", "import"]).arg(file).arg("-o").arg(&output).args(more);
    let run = command.output().unwrap();
    let message = String::from_utf8_lossy(&run.stderr).into_owned();
    let frames = if run.status.success() { read_extxyz(&output).unwrap() } else { Vec::new() };
    (frames, message)
}

#[derive(Deserialize)]
struct Independent {
    ase: Vec<FromAse>,
    dpdata: Vec<FromDpdata>,
}

#[derive(Deserialize)]
struct FromAse {
    symbols: Vec<String>,
    cell: Vec<f64>,
    positions: Vec<f64>,
    energy: f64,
    free_energy: f64,
    forces: Vec<f64>,
    stress: Vec<f64>,
}

#[derive(Deserialize)]
struct FromDpdata {
    energy: f64,
    force_lengths: Vec<f64>,
    volume: f64,
    pressure: Option<f64>,
}

fn read_independently(file: &Path, ase: &str, dpdata: &str) -> Independent {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/read_outputs.py");
    let output = Command::new(python()).arg(script).arg(file).args([ase, dpdata]).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {message}", file.display());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(text.lines().last().unwrap()).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn close(ours: &[f64], theirs: &[f64], tolerance: f64, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst <= tolerance, "{what}: differ by {worst}\n{ours:?}\n{theirs:?}");
}

/// Relative difference of the constants that the programs use.
const CONSTANTS: f64 = 2e-6;

fn compare_with_ase(frame: &Frame, ase: &FromAse) {
    let flat = |v: &[glam::DVec3]| v.iter().flat_map(|x| x.to_array()).collect::<Vec<f64>>();
    assert!(frame.atoms.species.iter().map(|s| s.symbol()).eq(ase.symbols.iter().map(String::as_str)));
    close(&frame.atoms.cell.vectors.to_cols_array(), &ase.cell, 2e-5, "cell");
    close(&flat(&frame.atoms.positions), &ase.positions, 2e-5, "positions");
    close(&[frame.energy_ev.unwrap()], &[ase.energy], CONSTANTS * ase.energy.abs(), "energy");
    let free: f64 = frame.info.get("free_energy").unwrap().parse().unwrap();
    close(&[free], &[ase.free_energy], CONSTANTS * free.abs(), "free energy");
    close(&flat(frame.forces.as_ref().unwrap()), &ase.forces, 1e-5, "forces");
    close(&frame.stress.unwrap(), &ase.stress, 1e-6, "stress");
}

/// dpdata takes the free energy.
fn compare_with_dpdata(frame: &Frame, dpdata: &FromDpdata) {
    let free: f64 = frame.info.get("free_energy").unwrap().parse().unwrap();
    close(&[free], &[dpdata.energy], CONSTANTS * free.abs(), "energy");
    let lengths: Vec<f64> = frame.forces.as_ref().unwrap().iter().map(|f| f.length()).collect();
    close(&lengths, &dpdata.force_lengths, 1e-5 + CONSTANTS, "forces");
    close(&[frame.atoms.cell.volume_angstrom3()], &[dpdata.volume], 1e-3, "volume");
    if let (Some(stress), Some(pressure)) = (frame.stress, dpdata.pressure) {
        close(&[-(stress[0] + stress[1] + stress[2]) / 3.0], &[pressure], 1e-5, "pressure");
    }
}

#[test]
fn vasp_files_are_read_as_ase_and_dpdata_read_them() {
    for (name, ase, dpdata) in [("vasprun.xml", "vasp-xml", "vasp/xml"), ("OUTCAR", "vasp-out", "vasp/outcar")] {
        let file = outputs().join(name);
        let (frames, message) = import(&file, &[]);
        assert!(message.contains("2 labels, 1 unconverged left out"), "{message}");
        let theirs = read_independently(&file, ase, dpdata);
        assert_eq!(theirs.ase.len(), 3, "ASE does not look at convergence");
        assert_eq!(theirs.dpdata.len(), frames.len());
        frames.iter().zip(&theirs.ase).for_each(|(a, b)| compare_with_ase(a, b));
        frames.iter().zip(&theirs.dpdata).for_each(|(a, b)| compare_with_dpdata(a, b));
        let info = |key: &str| frames[0].info.get(key).unwrap_or("-");
        assert_eq!([info("code"), info("xc"), info("ecut")], ["VASP 6.3.0", "PBE", "550.0"]);
        assert_eq!(info("pseudopotentials"), "PAW_PBE W_sv 04Sep2015, PAW_PBE O 08Apr2002");
        assert_eq!(info("energy_kind"), "sigma->0");
        for (option, energy) in [("sigma-0", -25.05), ("free", -25.1), ("without-entropy", -25.0)] {
            let (frames, _) = import(&file, &["--energy", option]);
            close(&[frames[0].energy_ev.unwrap()], &[energy], 1e-12, option);
        }
    }
    let (frames, _) = import(&outputs().join("vasprun.xml"), &[]);
    assert_eq!(frames[0].info.get("kpts"), Some("2 2 1"));
    // A loop that was aborted ends early as one that has converged does, but its last change is large.
    let folder = tempfile::tempdir().unwrap();
    let aborted = folder.path().join("vasprun.xml");
    let text = std::fs::read_to_string(outputs().join("vasprun.xml")).unwrap();
    std::fs::write(&aborted, text.replacen("-25.09999950", "-24.97500000", 1)).unwrap();
    let (rest, message) = import(&aborted, &[]);
    assert!(rest.len() == frames.len() - 1 && message.contains("2 unconverged left out"), "{message}");
}

/// As VASP 6 writes OUTCAR with NWRITE = 0 and with a force field that it learns on the fly.
#[test]
fn outputs_of_vasp_with_predicted_steps_and_without_titles() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(outputs().join("OUTCAR")).unwrap();
    let (whole, _) = import(&outputs().join("OUTCAR"), &[]);
    let step = &text[text.rfind(" POSITION").unwrap()..];
    let predicted = |energy: &str| {
        let step = step.replacen("TOTAL-FORCE (eV/Angst)", "TOTAL-FORCE (eV/Angst) (ML)", 1);
        let step = step.replacen("  FREE ENERGIE", "  ML FREE ENERGIE", 1);
        let (before, rest) = step.split_once("TOTEN  =").unwrap();
        format!("{before}TOTEN  = {energy} {}", rest.split_once(" eV").unwrap().1)
    };
    // Of the same name: ids begin with it.
    let learning = folder.path().join("outputs").join("OUTCAR");
    std::fs::create_dir(learning.parent().unwrap()).unwrap();
    std::fs::write(&learning, format!("{text}{}{}", predicted("-25.3"), predicted("0.0"))).unwrap();
    let (frames, message) = import(&learning, &[]);
    assert_eq!(frames, whole);
    assert!(message.contains("1 unconverged left out, 1 of a learned force field left out"), "{message}");

    let titles: Vec<&str> = whole[0].info.get("pseudopotentials").unwrap().split(", ").collect();
    let listed: String = titles.iter().chain(&titles).map(|title| format!(" POTCAR:    {title}\n")).collect();
    let rest: String =
        text.lines().filter(|l| !l.contains("TITEL") && !l.contains("POTCAR:")).map(|l| format!("{l}\n")).collect();
    let (first, others) = rest.split_once('\n').unwrap();
    std::fs::write(&learning, format!("{first}\n{listed}{others}")).unwrap();
    assert_eq!(import(&learning, &[]).0, whole);
}

/// VASP 5.4 prints that EDIFF is reached after the last allowed iteration, whether it is or not.
#[test]
fn an_outcar_whose_electrons_ran_out_of_iterations_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(outputs().join("OUTCAR")).unwrap();
    let ran_out = folder.path().join("OUTCAR");
    // The first loop has five iterations, the second four.
    let text = text.replacen("NELM   =      6", "NELM   =      5", 1).replacen("-25.09999950", "-25.09900000", 1);
    std::fs::write(&ran_out, text).unwrap();
    let (frames, message) = import(&ran_out, &[]);
    assert!(frames.len() == 1 && message.contains("1 labels, 2 unconverged left out"), "{message}");
}

#[test]
fn compressed_files_are_named_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("vasprun.xml.gz");
    std::fs::write(&packed, [0x1f, 0x8b, 8, 0]).unwrap();
    let (none, message) = import(&packed, &[]);
    assert!(none.is_empty() && message.contains("Unpack it first"), "{message}");
}

/// VASP prints criteria of convergence with as many decimals as energies.
#[test]
fn a_criterion_below_the_last_decimal_can_be_met() {
    let folder = tempfile::tempdir().unwrap();
    let (file, tight) = (outputs().join("vasprun.xml"), folder.path().join("vasprun.xml"));
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once("name=\"EDIFF\">").unwrap();
    let settled = format!("{before}name=\"EDIFF\">0.00000000{}", &rest[rest.find('<').unwrap()..]);
    std::fs::write(&tight, settled.replacen("-25.09999950", "-25.10000000", 1)).unwrap();
    let (frames, message) = import(&tight, &[]);
    assert_eq!(frames.len(), 1, "{message}");
}

#[test]
fn files_that_break_off_give_what_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["vasprun.xml", "OUTCAR", "al.pwo"] {
        let text = std::fs::read_to_string(outputs().join(name)).unwrap();
        let cut = folder.path().join(name);
        let end = text
            .rfind(if name == "al.pwo" { "!    total energy" } else { "in kB" })
            .or(text.rfind("\"stress\""))
            .unwrap();
        std::fs::write(&cut, &text[..end]).unwrap();
        let (frames, message) = import(&cut, &[]);
        assert_eq!(frames.len(), 2, "{message}");
    }
    // Wherever the last step breaks off, within a number too.
    for (name, from) in [
        ("OUTCAR", "in kB"),
        ("OUTCAR", "free energy    TOTEN"),
        ("OUTCAR", "direct lattice vectors"),
        ("al.pwo", "total   stress"),
    ] {
        let text = std::fs::read_to_string(outputs().join(name)).unwrap();
        let begin = text.rfind(from).unwrap();
        for end in (begin..begin + 300).step_by(17) {
            std::fs::write(folder.path().join(name), &text[..end]).unwrap();
            let (frames, message) = import(&folder.path().join(name), &[]);
            assert!(frames.len() >= 2, "{name} {from} {}: {message}", end - begin);
        }
    }
}

/// A job that has barely begun does not keep the labels of the others waiting.
#[test]
fn files_that_cannot_be_read_are_named_and_the_others_imported() {
    let folder = tempfile::tempdir().unwrap();
    let (begun, output) = (folder.path().join("vasprun.xml"), folder.path().join("labels.xyz"));
    let text = std::fs::read_to_string(outputs().join("vasprun.xml")).unwrap();
    std::fs::write(&begun, &text[..text.find("<calculation>").unwrap() + 40]).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_knockon"));
    let run =
        command.args(["data", "import"]).arg(&begun).arg(outputs().join("OUTCAR")).arg("-o").arg(&output).output();
    let run = run.unwrap();
    let message = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(2), "{message}");
    assert!(
        message.contains("1 files could not be read") && message.contains("vasprun.xml: expected well-formed XML"),
        "{message}"
    );
    assert!(!read_extxyz(&output).unwrap().is_empty());
}

/// What is killed while it writes forces leaves the steps before, and what is added to the functional is named.
#[test]
fn outputs_that_break_off_in_a_table_and_additions_to_the_functional() {
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.pwo");
    let text = std::fs::read_to_string(outputs().join("al.pwo")).unwrap();
    let (whole, _) = import(&outputs().join("al.pwo"), &[]);
    let title = text.rfind("Forces acting on atoms").unwrap();
    let rows: Vec<usize> = text[title..].match_indices("force =").map(|(at, _)| title + at).collect();
    let last = rows[whole[0].atoms.len() - 1];
    for end in [last, last + 30, text[last..].find('\n').unwrap() + last] {
        std::fs::write(&cut, &text[..end]).unwrap();
        let (frames, message) = import(&cut, &[]);
        assert!(frames.len() == 2 && message.contains("1 incomplete left out"), "{end}: {message}");
    }
    let added =
        "     DFT-D3 Dispersion         =      -0.02000000 Ry\n     Hubbard energy            =       0.10000000 Ry\n";
    std::fs::write(&cut, text.replace("     smearing contrib.", &format!("{added}     smearing contrib."))).unwrap();
    let (frames, message) = import(&cut, &[]);
    assert_eq!(frames[0].info.get("xc"), Some("LDA+vdW (DFT-D3 Dispersion)+U"), "{message}");
    let cp2k = std::fs::read_to_string(outputs().join("h2o.cp2k.out")).unwrap();
    let forces = cp2k.find("ATOMIC FORCES in").unwrap();
    let row = cp2k[forces..].match_indices('\n').nth(4).unwrap().0 + forces;
    let cut = folder.path().join("cut.out");
    std::fs::write(&cut, &cp2k[..row]).unwrap();
    let (frames, message) = import(&cut, &[]);
    assert!(frames.is_empty() && message.contains("1 incomplete left out"), "{message}");
}

/// Labels in a file are replaced by nobody who does not say so.
#[test]
fn labels_are_not_overwritten_by_accident() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("labels.xyz");
    let import = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_knockon"));
        command.args(["data", "import"]).arg(outputs().join("al.pwo")).arg("-o").arg(&output).args(more);
        let run = command.output().unwrap();
        (run.status.success(), String::from_utf8_lossy(&run.stderr).into_owned())
    };
    assert!(import(&[]).0);
    let labels = std::fs::read(&output).unwrap();
    let (done, message) = import(&["--class", "other"]);
    assert!(!done && message.contains("would be lost") && message.contains("--overwrite"), "{message}");
    assert_eq!(std::fs::read(&output).unwrap(), labels);
    assert!(import(&["--class", "other", "--overwrite"]).0);
    assert_ne!(std::fs::read(&output).unwrap(), labels);
}

#[test]
fn quantum_espresso_is_read_as_ase_and_dpdata_read_it() {
    let file = outputs().join("al.pwo");
    let (frames, message) = import(&file, &["--class", "relaxed"]);
    assert!(message.contains("al.pwo: 3 labels\n"), "{message}");
    // ASE takes the free energy that pw.x prints for the energy.
    let theirs = read_independently(&file, "espresso-out", "-");
    assert_eq!(theirs.ase.len(), 3);
    let (free, _) = import(&file, &["--energy", "free"]);
    free.iter().zip(&theirs.ase).for_each(|(a, b)| compare_with_ase(a, b));
    compare_with_dpdata(&free[0], &first_step_by_dpdata(&std::fs::read_to_string(&file).unwrap(), &free[0]));
    // F = -8.38430692 Ry, E = F + TS = -8.38048699 Ry stand in the file.
    close(&[frames[0].energy_ev.unwrap()], &[-8.382396955 * 13.605693], 1e-6, "mean of F and E");
    let info = |key: &str| frames[0].info.get(key).unwrap_or("-");
    assert_eq!([info("cls"), info("code"), info("xc")], ["relaxed", "Quantum ESPRESSO 6.7MaX", "LDA"]);
    assert_eq!([info("pseudopotentials"), info("ecut")], ["Al.pz-vbc.UPF", "136.056931"]);
    let (none, message) = import(&outputs().join("al-unconverged.pwo"), &[]);
    assert!(none.is_empty() && message.contains("0 labels, 1 unconverged left out"), "{message}");
}

/// dpdata reads single steps of pw.x, and cell and elements from the input, which it expects beside the output.
fn first_step_by_dpdata(text: &str, step: &Frame) -> FromDpdata {
    let folder = tempfile::tempdir().unwrap();
    let second = text.match_indices("!    total energy").nth(1).unwrap().0;
    std::fs::write(folder.path().join("pw.out"), &text[..second]).unwrap();
    let row = |v: glam::DVec3| format!("{:?} {:?} {:?}\n", v.x, v.y, v.z);
    let atoms = &step.atoms;
    let cell: String = (0..3).map(|k| row(atoms.cell.vectors.col(k))).collect();
    let atoms: String = atoms.species.iter().zip(&atoms.positions).map(|(s, p)| format!("{s} {}", row(*p))).collect();
    let input = format!("ibrav = 0\nCELL_PARAMETERS angstrom\n{cell}\nATOMIC_POSITIONS angstrom\n{atoms}\n");
    std::fs::write(folder.path().join("pw.in"), input).unwrap();
    read_independently(&folder.path().join("pw.out"), "-", "qe/pw/scf").dpdata.remove(0)
}

/// The output of pw.x as it would be with a hybrid functional: of each geometry an inner loop without exact exchange, another one
/// with it, and the energy of the outer loop, which is that of the output as it is.
fn with_exact_exchange(text: &str) -> String {
    let (mut lines, mut outer) = (Vec::new(), String::new());
    for line in text.lines() {
        if line.starts_with('!') {
            outer = line.replace("!    ", "!!   ");
            lines.push("!    total energy              =      -7.00000000 Ry".to_owned());
            lines.push("     smearing contrib. (-TS)   =      -0.50000000 Ry".to_owned());
            lines.push("     EXX: now go back to refine exchange calculation".to_owned());
            lines.push("!    total energy              =      -8.30000000 Ry".to_owned());
            continue;
        }
        if line.contains("Forces acting on atoms") {
            lines.extend([outer.clone(), "     EXX self-consistency reached".to_owned()]);
        }
        lines.push(line.to_owned());
        if line.contains("Exchange-correlation=") {
            lines.push("     EXX-fraction              =        0.25".to_owned());
        }
    }
    lines.join("\n")
}

#[test]
fn a_hybrid_of_quantum_espresso_has_one_label_per_geometry() {
    let (plain, _) = import(&outputs().join("al.pwo"), &[]);
    let text = with_exact_exchange(&std::fs::read_to_string(outputs().join("al.pwo")).unwrap());
    assert_eq!((text.matches("\n!    total").count(), text.matches("\n!!   total").count()), (6, 3));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hybrid.pwo");
    let import_text = |text: &str| {
        std::fs::write(&file, text).unwrap();
        import(&file, &[])
    };
    let (hybrid, message) = import_text(&text);
    assert!(message.contains("hybrid.pwo: 3 labels\n"), "{message}");
    for (found, expected) in hybrid.iter().zip(&plain) {
        assert_eq!(
            (found.energy_ev, &found.forces, found.stress),
            (expected.energy_ev, &expected.forces, expected.stress)
        );
        assert_eq!((&found.atoms, found.info.get("free_energy")), (&expected.atoms, expected.info.get("free_energy")));
    }
    // The energy of an inner loop is none of the functional, also where nothing comes after it.
    let (none, message) = import_text(&text[..text.find("!!   total").unwrap()]);
    assert!(none.is_empty() && message.contains("0 labels, 1 unconverged left out"), "{message}");
    let gave_up =
        text.replace("EXX self-consistency reached", "EXX convergence NOT achieved after  99 iterations: stopping");
    let (none, message) = import_text(&gave_up);
    assert!(none.is_empty() && message.contains("0 labels, 3 unconverged left out"), "{message}");
}

/// Forces and stress of `h2o.cp2k.out` in the form of CP2K 2025.
const CP2K_2025: &str = "FORCES| Atomic forces [hartree/bohr]
 FORCES|   Atom     x               y               z               |f|
 FORCES|      1 -3.51331600E-02 -7.92632200E-02 -2.80961400E-02  9.11405400E-02
 FORCES|      2  7.62178000E-02 -1.70085600E-02  3.74146000E-03  7.81821100E-02
 FORCES|      3 -3.71971800E-02  9.62883700E-02  1.90378900E-02  1.04962800E-01
 FORCES| Sum     3.88746000E-03  1.65900000E-05 -5.31679000E-03
 FORCES| Total atomic force                                      6.58642000E-03

 STRESS| Analytical stress tensor [bar]
 STRESS|                        x                   y                   z
 STRESS|      x        1.25412759018E+05  -3.46840861077E+04   4.01668811080E+02
 STRESS|      y       -3.46840861077E+04   1.20185146880E+05   1.92772920420E+04
 STRESS|      z        4.01668811080E+02   1.92772920420E+04   2.29996659183E+04
 ";

#[test]
fn cp2k_is_read_as_dpdata_reads_it() {
    let file = outputs().join("h2o.cp2k.out");
    let (frames, message) = import(&file, &[]);
    assert_eq!(frames.len(), 1, "{message}");
    let theirs = read_independently(&file, "-", "cp2k/output");
    compare_with_dpdata(&frames[0], &theirs.dpdata[0]);
    let info = |key: &str| frames[0].info.get(key).unwrap_or("-");
    assert_eq!([info("code"), info("xc"), info("ecut")], ["CP2K 2023.1", "PBE", "2721.139"]);
    assert_eq!(info("pseudopotentials"), "GTH-PBE, GTH-PBE");
    // A hybrid functional is another one than the PBE that it begins with.
    let folder = tempfile::tempdir().unwrap();
    let hybrid = folder.path().join("hybrid.out");
    let text = std::fs::read_to_string(&file).unwrap();
    let more = " FUNCTIONAL| XWPBE:\n  HFX_INFO| FRACTION:              0.2500000000\n  HFX_INFO| Interaction Potential:    SHORTRANGE\n  \
                HFX_INFO| Omega:        0.1100000000\n BRILLOUIN| K-Point grid          2    3    1\n";
    std::fs::write(&hybrid, text.replacen(" FUNCTIONAL| PBE:", &format!("{more} FUNCTIONAL| PBE:"), 1)).unwrap();
    let (frames, message) = import(&hybrid, &[]);
    assert_eq!(frames.len(), 1, "{message}");
    assert_eq!(frames[0].info.get("xc"), Some("XWPBE+PBE+0.25 HF (SHORTRANGE omega 0.11)"));
    assert_eq!(frames[0].info.get("kpts"), Some("2 3 1"));
    // CP2K 2025 and later print forces and stress in another form; without forces this is said.
    let [start, end] = ["ATOMIC FORCES in", "STRESS| 1/3 Trace"].map(|title| text.find(title).unwrap());
    let recent = folder.path().join("recent.out");
    std::fs::write(&recent, format!("{}{CP2K_2025}{}", &text[..start], &text[end..])).unwrap();
    let (as_2025, message) = import(&recent, &[]);
    assert!(message.contains("recent.out: 1 labels\n"), "{message}");
    let flat = |f: &Frame| f.forces.as_ref().unwrap().iter().flat_map(|x| x.to_array()).collect::<Vec<f64>>();
    close(&flat(&as_2025[0]), &flat(&frames[0]), 1e-9, "forces");
    close(&as_2025[0].stress.unwrap(), &frames[0].stress.unwrap(), 1e-12, "stress");
    // CP2K 7 and earlier have the stress in a form of their own.
    let stress = text.find("STRESS| Analytical").unwrap();
    let rows = text[stress..].lines().skip(2).take(3).map(|row| row.trim_start_matches(" STRESS|"));
    let rows: String = rows.map(|row| format!("{row}\n")).collect();
    let earlier = format!("STRESS TENSOR [GPa]\n\n            X               Y               Z\n{rows}\n ");
    std::fs::write(&recent, format!("{}{earlier}{}", &text[..stress], &text[end..])).unwrap();
    let (as_7, message) = import(&recent, &[]);
    assert_eq!((as_7[0].stress, &as_7[0].forces), (frames[0].stress, &frames[0].forces), "{message}");
    std::fs::write(&recent, format!("{}{}", &text[..start], &text[end..])).unwrap();
    let (_, message) = import(&recent, &[]);
    assert!(message.contains("recent.out: 1 labels, 1 without forces\n"), "{message}");
    // Later steps need the file of positions beside; it goes with the project's name.
    let (steps, message) = import(&outputs().join("h2o-steps.cp2k.out"), &[]);
    assert_eq!(steps.len(), 4, "{message}");
    assert_eq!(steps[0].forces, frames[0].forces);
    assert!(steps.windows(2).all(|w| w[1].energy_ev < w[0].energy_ev && w[1].atoms != w[0].atoms));
    assert!((steps[3].atoms.positions[1].x - 2.0154324177).abs() < 1e-9);
    let several = folder.path().join("h2o-steps.cp2k.out");
    std::fs::copy(outputs().join("h2o-steps.cp2k.out"), &several).unwrap();
    let (first, message) = import(&several, &[]);
    assert!(first.len() == 1 && message.contains("3 incomplete left out"), "{message}");
    // One that is there but cannot be read, here because it is a folder, is no missing one.
    std::fs::create_dir(folder.path().join("h2g-pos-1.xyz")).unwrap();
    let (none, message) = import(&several, &[]);
    assert!(none.is_empty() && message.contains("cannot read") && message.contains("h2g-pos-1.xyz"), "{message}");
    let (none, message) = import(&outputs().join("h2o-unconverged.cp2k.out"), &[]);
    assert!(none.is_empty() && message.contains("1 unconverged left out"), "{message}");
}

/// ASE's calculators of Quantum ESPRESSO and CP2K give the free energy for the energy.
#[test]
fn the_energy_of_a_trajectory_is_what_its_calculator_means_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let script = "import sys
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
atoms = Atoms('Al', cell=[4, 4, 4], pbc=True)
atoms.calc = SinglePointCalculator(atoms, energy=-1.5, free_energy=-1.5, forces=[[0, 0, 0]])
atoms.calc.name = sys.argv[2]
write(sys.argv[1], atoms)
";
    let trajectory = |calculator: &str| {
        let file = folder.path().join(format!("{calculator}.traj"));
        assert!(Command::new(python()).args(["-c", script]).arg(&file).arg(calculator).status().unwrap().success());
        file
    };
    let file = trajectory("espresso");
    let with_ase = ["--python", python().to_str().unwrap()];
    let (none, message) = import(&file, &with_ase);
    assert!(none.is_empty() && message.contains("expected the energy \"sigma->0\""), "{message}");
    let (frames, message) = import(&file, &[&with_ase[..], &["--energy", "free"]].concat());
    assert_eq!(frames.len(), 1, "{message}");
    assert_eq!((frames[0].energy_ev, frames[0].info.get("energy_kind")), (Some(-1.5), Some("free")));
    assert_eq!(frames[0].info.get("energy_sigma_0"), None);
    // Of VASP nobody knows whether it has converged.
    assert!(!message.contains("WARNING"), "{message}");
    let (frames, message) = import(&trajectory("vasp"), &with_ase);
    assert!(frames.len() == 1 && message.contains("WARNING") && message.contains("OUTCAR"), "{message}");
}

/// Of extended XYZ another energy is taken if the file has it, and never a wrong one.
#[test]
fn extended_xyz_with_several_energies() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/cawo4");
    let folder = tempfile::tempdir().unwrap();
    let both = folder.path().join("both.xyz");
    let has_both = |frame: &Frame| frame.info.get("energy_kind").is_some() && frame.info.get("free_energy").is_some();
    let as_written: Vec<Frame> =
        read_extxyz(&data.join("labels.xyz")).unwrap().into_iter().filter(has_both).take(4).collect();
    assert_eq!(as_written.len(), 4);
    write_extxyz(&both, &as_written).unwrap();
    assert_eq!(import(&both, &["--energy", "sigma-0"]).0, as_written);
    let (free, message) = import(&both, &["--energy", "free"]);
    assert_eq!(free.len(), as_written.len(), "{message}");
    for (free, written) in free.iter().zip(&as_written) {
        assert_eq!(free.energy_ev, written.info.number("free_energy"));
        assert_eq!(free.info.get("energy_kind"), Some("free"));
        assert_eq!(free.info.number("energy_sigma_0"), written.energy_ev);
    }
    let (none, message) = import(&data.join("cawo4_pbe.xyz"), &["--energy", "free"]);
    assert!(none.is_empty() && message.contains("expected free_energy or energy_kind=\"free\""), "{message}");
}

/// Inputs of VASP for one candidate, and the output of a relaxation of the atoms O, O, W in their folder.
fn with_inputs(candidate: &Frame, more: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    write_extxyz(&folder.path().join("candidates.xyz"), std::slice::from_ref(candidate)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_knockon"));
    command.current_dir(folder.path()).args(["dft-input", "candidates.xyz", "-o", "inputs", "--code", "vasp"]);
    command.arg("--config").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/cawo4/label.toml"));
    let run = command.args(more).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let output = folder.path().join("inputs/0000-pair_1/pbe/vasprun.xml");
    let text = std::fs::read_to_string(outputs().join("vasprun.xml")).unwrap();
    let [oxygen, tungsten] = ["<rc><c>O </c><c>   2</c></rc>", "<rc><c>W </c><c>   1</c></rc>"];
    let rows = |order: [&str; 3]| order.map(|row| format!("    {row}\n")).concat();
    let swapped = text.replace(&rows([tungsten, oxygen, oxygen]), &rows([oxygen, oxygen, tungsten]));
    assert_ne!(swapped, text);
    std::fs::write(&output, swapped).unwrap();
    (folder, output)
}

/// A code elsewhere sorts the atoms and knows no names; the file beside its inputs gives the labels both back.
#[test]
fn labels_made_elsewhere_have_the_keys_and_the_order_of_their_candidates() {
    let (plain, _) = import(&outputs().join("vasprun.xml"), &[]);
    let mut candidate = Frame::new(plain[0].atoms.clone());
    candidate.atoms.species.swap(0, 1); // O, W, O: VASP gets O, O, W
    candidate.atoms.positions.swap(1, 2);
    candidate.atoms.positions[2] += candidate.atoms.cell.vectors.x_axis;
    for (key, value) in [("id", "pair 1"), ("cls", "frenkel"), ("species", "W"), ("kpts", "1 1 1"), ("xc", "model")] {
        candidate.info.set(key, value);
    }
    let (_folder, output) = with_inputs(&candidate, &["--relax"]);
    let (frames, message) = import(&output, &["--class", "thermal"]);
    assert_eq!(frames.len(), 2, "{message}");
    let info = |k: usize, key: &str| frames[k].info.get(key).unwrap_or("-").to_owned();
    assert_eq!([info(0, "id"), info(0, "parent"), info(0, "step")], ["pair 1-step-0", "pair 1", "0"]);
    assert_eq!([info(1, "id"), info(1, "parent")], ["pair 1", "-"]);
    // It broke off with forces that a relaxation would not leave.
    assert_eq!([info(0, "converged"), info(1, "converged")], ["-", "F"]);
    assert!(frames[1].info.number("max_force").unwrap() > 2e-3);
    for k in 0..2 {
        assert_eq!([info(k, "cls"), info(k, "species"), info(k, "dft_input")], ["frenkel", "W", "-"]);
        assert_eq!([info(k, "xc"), info(k, "kpts"), info(k, "energy_kind")], ["PBE", "2 2 1", "sigma->0"]);
        let [forces, expected] = [&frames[k], &plain[k]].map(|frame| frame.forces.clone().unwrap());
        assert_eq!(forces, [expected[0], expected[2], expected[1]]);
        assert_eq!((frames[k].energy_ev, frames[k].stress), (plain[k].energy_ev, plain[k].stress));
    }
    assert_eq!(frames[0].atoms, candidate.atoms, "nothing has moved yet");
    let moved = frames[1].atoms.positions[1] - candidate.atoms.positions[1];
    assert!((moved - (plain[1].atoms.positions[2] - plain[0].atoms.positions[2])).length() < 1e-6, "{moved}");

    // What is not the candidate does not get its name.
    let (_folder, output) = with_inputs(&candidate, &[]);
    let (none, message) = import(&output, &[]);
    assert!(none.is_empty() && message.contains("A away, where it may be 0.001"), "{message}");
    let mut other = candidate.clone();
    other.atoms.cell.vectors *= 1.001;
    let (_folder, output) = with_inputs(&other, &["--relax"]);
    assert!(import(&output, &[]).1.contains("found another cell"));
    candidate.atoms.species.swap(0, 1); // W, O, O
    let (_folder, output) = with_inputs(&candidate, &["--relax"]);
    let (none, message) = import(&output, &[]);
    assert!(none.is_empty() && message.contains("found other atoms, or in another order"), "{message}");
    std::fs::remove_file(output.with_file_name("knockon-candidate.xyz")).unwrap();
    assert_eq!(import(&output, &[]).0.len(), 2);
}

#[test]
fn gpaw_trajectories_and_milady_folders_are_read() {
    let (frames, message) = import(&outputs().join("al.traj"), &["--python", python().to_str().unwrap()]);
    assert_eq!(frames.len(), 2, "{message}");
    // What GPAW printed: extrapolated and free energy.
    close(&[frames[1].energy_ev.unwrap()], &[-6.061061521933727], 1e-12, "energy");
    let free: f64 = frames[1].info.get("free_energy").unwrap().parse().unwrap();
    close(&[free], &[-6.128242708516143], 1e-12, "free energy");
    assert!(frames[1].stress.is_some() && frames[1].info.get("code") == Some("gpaw"));
    let (frames, message) = import(&outputs().join("milady"), &[]);
    assert_eq!(frames.len(), 2, "{message}");
    let names: Vec<&str> = frames.iter().map(|f| f.info.get("cls").unwrap()).collect();
    assert_eq!(names, ["01", "05"]);
    assert_eq!(frames[0].energy_ev, Some(-15.72555));
    assert_eq!(frames[0].stress.unwrap()[0], -0.42315918);
    assert_eq!(frames[1].atoms.species[1].symbol(), "O");
    assert_eq!(frames[1].forces.as_ref().unwrap()[1].z, 0.3);
    assert!(frames[1].stress.is_none());
}

#[test]
fn extended_xyz_and_strange_files() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/cawo4/cawo4_pbe.xyz");
    let (frames, _) = import(&shipped, &[]);
    assert_eq!(frames, read_extxyz(&shipped).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let strange = folder.path().join("strange.txt");
    std::fs::write(&strange, "hello").unwrap();
    assert!(import(&strange, &[]).1.contains("found something else"));
    // No damage makes a reader panic: exit code 2 or labels, never 101.
    for name in ["vasprun.xml", "OUTCAR", "al.pwo", "h2o.cp2k.out", "milady/01_110_000001.poscar"] {
        let text = std::fs::read_to_string(outputs().join(name)).unwrap();
        for k in 1..8 {
            let lines: Vec<&str> = text.lines().collect();
            let mut damaged: Vec<&str> = lines[..lines.len() * k / 8].to_vec();
            damaged.remove(damaged.len() / 2);
            let path = folder.path().join(Path::new(name).file_name().unwrap());
            std::fs::write(&path, damaged.join("\n")).unwrap();
            let message = import(&path, &[]).1;
            assert!(!message.contains("panicked"), "{name} {k}: {message}");
        }
    }
}

/// A folder stands for the output in it, and a box of two electrons too few says so: 26 are those of W and two O.
#[test]
fn a_folder_is_its_run_and_a_charge_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let neutral = std::fs::read_to_string(outputs().join("vasprun.xml")).unwrap();
    let cutoff = "<i name=\"ENMAX\">    550.00000000</i>";
    for (n_electrons, charge) in [("26.0", None), ("24.0", Some("2"))] {
        let text = neutral.replace(cutoff, &format!("{cutoff}\n   <i name=\"NELECT\">  {n_electrons}</i>"));
        assert_ne!(text, neutral);
        std::fs::write(folder.path().join("vasprun.xml"), text).unwrap();
        let (frames, message) = import(folder.path(), &[]);
        assert!(!frames.is_empty() && frames.iter().all(|f| f.info.get("charge") == charge), "{message}");
    }
    std::fs::remove_file(folder.path().join("vasprun.xml")).unwrap();
    assert!(import(folder.path(), &[]).1.contains("/*/vasprun.xml"));
}
