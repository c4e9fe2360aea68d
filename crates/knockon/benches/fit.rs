//! Time and memory of a fit without its cross-validation and checks: `cargo bench --bench fit -- SETTINGS.toml`.
//! Prints JSON; `benches/fit.py` uses it.

#![allow(clippy::unwrap_used, missing_docs)]

use cpu_time::ProcessTime;
use knockon::Error;
use knockon::checks::DataDistances;
use knockon::fit::factor::Factor;
use knockon::fit::isolated::isolated_atoms;
use knockon::fit::prior::{Prior, Repulsion};
use knockon::fit::references::with_references;
use knockon::fit::stream::{Unknowns, stream};
use knockon::fit::{Settings, TrainingData};
use knockon::potential::Sharing;
use knockon::progress::Silent;
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Error> {
    let Some(path) = std::env::args().find(|a| a.ends_with(".toml")) else {
        println!(
            "nothing to measure: expected the settings of a fit, as in `cargo bench --bench fit -- SETTINGS.toml`"
        );
        return Ok(());
    };
    let settings: Settings = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let mut laps = serde_json::Map::new();
    let mut clock = (Instant::now(), ProcessTime::now());
    let mut lap = |name: &str, laps: &mut serde_json::Map<String, serde_json::Value>| {
        laps.insert(format!("{name}_seconds"), clock.0.elapsed().as_secs_f64().into());
        laps.insert(format!("{name}_cpu_seconds"), clock.1.elapsed().as_secs_f64().into());
        clock = (Instant::now(), ProcessTime::now());
    };

    let data = TrainingData::load(&settings, Path::new(&path).parent().unwrap())?;
    lap("read", &mut laps);
    let empty = with_references(settings.empty_model(), &settings, &data)?;
    let unknowns = Unknowns::new(&empty, &data);
    let streamed = stream(&settings, &empty, &data, &unknowns, &Silent)?;
    lap("rows_and_factors", &mut laps);
    let boxes = data.configurations.iter().map(|c| &c.atoms);
    let distances = DataDistances::new(&settings.model.species, boxes, empty.bond_cutoff_angstrom());
    let reference = std::iter::once(&data.configurations[data.reference].atoms);
    let crystal = DataDistances::new(&settings.model.species, reference, empty.bond_cutoff_angstrom());
    let repulsion = Repulsion::new(&settings, &distances, &crystal);
    let mut whole: Factor = isolated_atoms(&settings, &empty, &unknowns, &repulsion)?;
    let prior = Prior::new(&settings, &empty, &unknowns, Sharing::PerSpecies, &streamed.force_rms, -8.0, &repulsion)?;
    streamed.groups.iter().for_each(|group| whole.absorb(group));
    whole.compress();
    let solutions = prior.decompose(&whole)?;
    let solution = solutions.solve(1.0);
    lap("solution", &mut laps);

    laps.insert("configurations".into(), data.configurations.len().into());
    laps.insert("rows".into(), whole.n_rows().into());
    laps.insert("columns".into(), unknowns.len().into());
    laps.insert("parameters".into(), solution.len().into());
    laps.insert("rank".into(), solutions.rank().into());
    laps.insert("peak_memory_mib".into(), peak_memory_mib().into());
    println!("{}", serde_json::Value::Object(laps));
    Ok(())
}

/// Most memory that this process has held, where the system tells it.
fn peak_memory_mib() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
}
