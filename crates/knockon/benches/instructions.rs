//! Instructions that each kernel takes per central atom, counted by valgrind: numbers that depend on the compiler but not
//! on the clock or on what else the machine does. Run with `cargo bench --bench instructions`.
//!
//! Valgrind has no AVX-512, so this counts the AVX2 path. A kernel is run once and eleven times in a fresh process; a
//! tenth of the difference is one run, and all that happens before and after drops out.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use knockon::io::parse_extxyz;
use knockon::potential::{Kernels, Model, instruction_set, rattled};
use std::process::Command;

const KERNELS: [&str; 3] = ["densities", "adjoints", "gradients"];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().position(|a| a == "run") {
        Some(at) => run(&arguments[at + 1], arguments[at + 2].parse().unwrap()),
        None => count_all(),
    }
}

/// What is counted.
fn run(name: &str, times: usize) {
    let model =
        Model::from_text(include_str!("../../../data/cawo4/cawo4-paper-form.model"), "the shipped model").unwrap();
    let crystal = parse_extxyz(include_str!("../../../data/cawo4/cawo4.xyz"), "the crystal", &Default::default());
    let atoms = rattled(&crystal.unwrap()[0].atoms.supercell([2, 2, 1]), 0.05, 1);
    let mut kernels = Kernels::new(&model, &atoms).unwrap();
    for _ in 0..times {
        match name {
            "densities" => kernels.densities(),
            "adjoints" => kernels.adjoints(),
            _ => kernels.gradients(),
        }
    }
    println!("{}", instruction_set());
}

fn count_all() {
    println!("{:<12}  {:>24}  instruction set", "kernel", "instructions per atom");
    for name in KERNELS {
        let (once, _) = count(name, 1);
        let (many, instruction_set) = count(name, 11);
        let each = (many - once) as f64 / 10.0 / Kernels::LANES as f64;
        println!("{name:<12}  {each:>24.0}  {instruction_set}");
    }
}

/// Instructions of a whole process, as callgrind sums them up, and what the process printed.
fn count(name: &str, times: usize) -> (u64, String) {
    let program = std::env::current_exe().unwrap();
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["run", name, &times.to_string()])
        .output()
        .expect("valgrind starts; on Debian, `apt install valgrind`");
    let summary = String::from_utf8_lossy(&output.stderr).into_owned();
    let collected = summary.lines().find_map(|line| line.split_once("Collected :"));
    let (_, number) = collected.unwrap_or_else(|| panic!("valgrind counted nothing:\n{summary}"));
    (number.trim().parse().unwrap(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
