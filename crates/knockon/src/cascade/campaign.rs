//! Many recoils: energies x directions x starts, side by side, each finished run kept on disk.

use super::output::{CampaignFile, RunRecord, UnitCell, write_recoils_csv};
use super::{Direction, PerfectBox, Recoil, RecoilSettings, Start, Thermalization};
use super::{irreducible_directions, run_recoil, thermalize};
use crate::dynamics::relax_cell;
use crate::io::{content_hash, read_text, write_atomically};
use crate::progress::Progress;
use crate::symmetry::{SiteSymmetry, site_symmetry};
use crate::{Atoms, Error, Potential, Species};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// Positions of the ideal crystal may be off by this much (angstrom) when its symmetry is looked for.
const SYMMETRY_TOLERANCE_ANGSTROM: f64 = 0.01;

/// A campaign of recoils of one species in one crystal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignSettings {
    /// File with the unit cell of the crystal; relative paths count from the settings file.
    pub crystal: PathBuf,
    /// The box is this many unit cells along each lattice vector.
    pub cells: [usize; 3],
    /// Whether the model first relaxes the unit cell, lattice constants included.
    pub relax_cell: bool,
    /// The recoiling element; the atom nearest to the middle of the box is kicked.
    pub species: Species,
    /// Number of directions in the irreducible part of the sphere.
    pub directions: usize,
    /// All random numbers of the campaign follow from it.
    pub seed: u64,
    /// Recoil energies and how many thermalised starts each is run from.
    pub energies: Vec<RecoilEnergy>,
    /// How starts are made.
    pub thermalization: Thermalization,
    /// How recoils are followed.
    pub recoil: RecoilSettings,
}

/// One recoil energy of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoilEnergy {
    /// Recoil energy in eV.
    pub energy_ev: f64,
    /// Every direction is run from this many starts.
    pub starts: usize,
}

/// What a campaign did.
#[derive(Clone, Debug)]
pub struct CampaignSummary {
    /// Number of recoils in the campaign.
    pub n_runs: usize,
    /// Recoils that an earlier call had finished.
    pub n_resumed: usize,
    /// Recoils with flags, to be kept out of statistics.
    pub n_flagged: usize,
    /// The table with one line per recoil.
    pub recoils_csv: PathBuf,
}

impl CampaignSettings {
    /// Checks what types cannot.
    pub fn validate(&self, place: &str) -> Result<(), Error> {
        let t = &self.thermalization;
        let r = &self.recoil;
        let checks = [
            (self.cells.iter().all(|n| *n > 0), "cells", "three positive numbers"),
            (self.directions > 0, "directions", "at least 1"),
            (!self.energies.is_empty(), "energies", "at least one [[energies]] with energy_ev and starts"),
            (
                self.energies.iter().all(|e| e.energy_ev > 0.0 && e.energy_ev.is_finite()),
                "energy_ev",
                "a positive energy",
            ),
            (self.energies.iter().all(|e| e.starts > 0), "starts", "at least 1"),
            (t.temperature_k >= 0.0 && t.temperature_k.is_finite(), "thermalization.temperature_k", "zero or more"),
            (
                t.time_step_fs > 0.0 && t.time_fs >= t.time_step_fs,
                "thermalization.time_fs",
                "at least one time_step_fs",
            ),
            ((0.0..=t.time_fs).contains(&t.sampling_time_fs), "thermalization.sampling_time_fs", "at most time_fs"),
            (t.friction_per_fs > 0.0, "thermalization.friction_per_fs", "a positive friction"),
            (r.time_fs > 0.0 && r.time_fs.is_finite(), "recoil.time_fs", "a positive time"),
            (r.skin_angstrom > 0.0, "recoil.skin_angstrom", "a positive length"),
            (
                r.time_step.max_displacement_angstrom > 0.0,
                "recoil.time_step.max_displacement_angstrom",
                "a positive length",
            ),
            (r.time_step.max_fs > 0.0, "recoil.time_step.max_fs", "a positive time"),
            (r.quench.max_force_ev_per_angstrom > 0.0, "recoil.quench.max_force_ev_per_angstrom", "a positive force"),
        ];
        match checks.iter().find(|(fine, ..)| !fine) {
            None => Ok(()),
            Some((_, name, expected)) => {
                Err(Error::input(format!("{place}: {name}"), format!("expected {expected}"), "Change this setting"))
            }
        }
    }

    fn max_starts(&self) -> usize {
        self.energies.iter().map(|e| e.starts).max().unwrap_or(1)
    }
}

/// One recoil to do.
#[derive(Clone, Copy)]
struct Run {
    number: usize,
    energy_ev: f64,
    start: usize,
    direction: usize,
}

/// Everything that the runs of a campaign share.
struct Campaign<'a> {
    potential: &'a dyn Potential,
    model_hash: &'a str,
    settings: &'a CampaignSettings,
    perfect: PerfectBox,
    unit_cell: Atoms,
    site: SiteSymmetry,
    directions: Vec<Direction>,
    starts: Vec<Start>,
    /// Names everything that a run's result depends on besides energy, direction and start.
    key: String,
}

/// Runs the recoils of a campaign that are not yet in `folder`, as many at a time as rayon has threads, and writes
/// `recoils.csv` and `campaign.json` once all are done. `crystal` is the content of `settings.crystal`.
///
/// A call that is stopped loses only the recoils under way. Stored energies do not depend on the number of threads.
pub fn run_campaign(
    potential: &dyn Potential,
    model_hash: &str,
    crystal: &Atoms,
    settings: &CampaignSettings,
    folder: &Path,
    progress: &dyn Progress,
) -> Result<CampaignSummary, Error> {
    settings.validate("campaign")?;
    let campaign = Campaign::prepare(potential, model_hash, crystal, settings, folder, progress)?;
    let runs = campaign.runs();
    let mut records: Vec<Option<RunRecord>> = Vec::with_capacity(runs.len());
    for run in &runs {
        records.push(campaign.finished(run, folder)?);
    }
    let n_resumed = records.iter().flatten().count();
    if n_resumed > 0 {
        progress.message(&format!("{n_resumed} of {} recoils are already done", runs.len()));
    }
    let missing: Vec<Run> = runs.iter().zip(&records).filter(|(_, r)| r.is_none()).map(|(run, _)| *run).collect();
    for record in campaign.run_all(&missing, folder, progress)? {
        let number = record.run;
        records[number] = Some(record);
    }
    let records: Vec<RunRecord> = records.into_iter().flatten().collect();
    let recoils_csv = folder.join("recoils.csv");
    let weights_sr: Vec<f64> = campaign.directions.iter().map(|d| d.weight_sr).collect();
    let mut elements = campaign.unit_cell.species.clone();
    elements.sort_unstable();
    elements.dedup();
    write_recoils_csv(&recoils_csv, &records, &weights_sr, &elements)?;
    let n_flagged = records.iter().filter(|r| !r.recoil.flags.is_empty()).count();
    let file = CampaignFile {
        model_hash,
        settings,
        perfect: &campaign.perfect,
        unit_cell: UnitCell::new(&campaign.unit_cell),
        site: &campaign.site,
        directions: &campaign.directions,
        n_runs: records.len(),
        n_flagged,
    };
    file.write(&folder.join("campaign.json"))?;
    Ok(CampaignSummary { n_runs: records.len(), n_resumed, n_flagged, recoils_csv })
}

/// Thermalised starts on disk.
#[derive(Serialize, Deserialize)]
struct StartsFile {
    key: String,
    starts: Vec<Start>,
}

impl<'a> Campaign<'a> {
    fn prepare(
        potential: &'a dyn Potential,
        model_hash: &'a str,
        crystal: &Atoms,
        settings: &'a CampaignSettings,
        folder: &Path,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let quench = settings.recoil.quench;
        let unit_cell = if settings.relax_cell {
            // Two orders tighter than a quench: errors of the unit cell add up over the box.
            let tight = crate::dynamics::QuenchSettings {
                max_force_ev_per_angstrom: 0.01 * quench.max_force_ev_per_angstrom,
                max_stress_ev_per_angstrom3: 0.01 * quench.max_stress_ev_per_angstrom3,
                ..quench
            };
            relax_cell(potential, crystal, &tight)?.atoms
        } else {
            crystal.clone()
        };
        let ideal_box = unit_cell.supercell(settings.cells);
        let perfect = PerfectBox::new(potential, ideal_box, settings.species, quench, settings.recoil.skin_angstrom)?;
        // Atom k of the box is atom k mod n of the unit cell: the kicked atom's own site, since sites of one species
        // may be oriented differently.
        let own_site = perfect.central_atom % unit_cell.len();
        let site = site_symmetry(&unit_cell, own_site, SYMMETRY_TOLERANCE_ANGSTROM)?;
        let directions = irreducible_directions(&site.operations, settings.directions)?;
        let shared = (model_hash, settings.seed, settings.cells, &settings.thermalization, &settings.recoil);
        let numbers: Vec<_> = perfect.atoms.positions.iter().map(|p| p.to_array()).collect();
        let text = serde_json::to_string(&(shared, settings.max_starts(), numbers)).expect("plain numbers");
        let key = content_hash(text.as_bytes());
        let mut campaign =
            Self { potential, model_hash, settings, perfect, unit_cell, site, directions, starts: Vec::new(), key };
        campaign.starts = campaign.thermalized_starts(folder, progress)?;
        Ok(campaign)
    }

    fn thermalized_starts(&self, folder: &Path, progress: &dyn Progress) -> Result<Vec<Start>, Error> {
        let path = folder.join("starts.json");
        if path.exists()
            && let Ok(file) = serde_json::from_str::<StartsFile>(&read_text(&path)?)
            && file.key == self.key
        {
            return Ok(file.starts);
        }
        let settings = &self.settings.thermalization;
        progress.message(&format!("thermalising {} atoms at {} K", self.perfect.atoms.len(), settings.temperature_k));
        let count = self.settings.max_starts();
        let starts = thermalize(self.potential, &self.perfect, settings, count, self.settings.seed, progress)?;
        let file = StartsFile { key: self.key.clone(), starts };
        write_atomically(&path, serde_json::to_string(&file).expect("plain numbers").as_bytes())?;
        Ok(file.starts)
    }

    /// All directions of one start before the next start: an unfinished campaign already covers the sphere.
    fn runs(&self) -> Vec<Run> {
        let mut runs = Vec::new();
        for energy in &self.settings.energies {
            for start in 0..energy.starts {
                for direction in 0..self.directions.len() {
                    runs.push(Run { number: runs.len(), energy_ev: energy.energy_ev, start, direction });
                }
            }
        }
        runs
    }

    fn path(folder: &Path, run: &Run) -> PathBuf {
        folder.join("runs").join(format!("run-{:05}.json", run.number))
    }

    /// The record of a run that is done. Its file is the mark: files appear complete or not at all.
    fn finished(&self, run: &Run, folder: &Path) -> Result<Option<RunRecord>, Error> {
        let path = Self::path(folder, run);
        if !path.exists() {
            return Ok(None);
        }
        let place = path.display().to_string();
        let record: RunRecord = serde_json::from_str(&read_text(&path)?).map_err(|e| {
            Error::input(&place, format!("expected the record of a recoil, found: {e}"), "Remove this file")
        })?;
        let same = record.key == self.key
            && record.recoil.recoil_energy_ev == run.energy_ev
            && (record.direction, record.start) == (run.direction, run.start)
            && record.recoil.direction == self.directions[run.direction].vector.normalize();
        if !same {
            let found = "expected a recoil of this campaign, found one made with another model or other settings";
            return Err(Error::input(place, found, "Write this campaign to another folder, or remove the old one"));
        }
        Ok(Some(record))
    }

    /// One thread per run: recoils need no help from each other, and small boxes are slow to share.
    fn run_all(&self, runs: &[Run], folder: &Path, progress: &dyn Progress) -> Result<Vec<RunRecord>, Error> {
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let done_fs = AtomicU64::new(0);
        let results = Mutex::new(Vec::new());
        let work = || {
            while !stop.load(Ordering::Relaxed) {
                let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                let total_fs = (runs.len() as f64 * self.settings.recoil.time_fs) as u64;
                let mut reported = 0;
                let result = self.run_one(run, folder, &mut |time_fs| {
                    let whole_fs = time_fs as u64;
                    if whole_fs > reported {
                        let done = done_fs.fetch_add(whole_fs - reported, Ordering::Relaxed) + whole_fs - reported;
                        reported = whole_fs;
                        progress.update(done.min(total_fs), total_fs);
                    }
                });
                if let Ok(record) = &result {
                    progress.message(&record.summary());
                }
                stop.fetch_or(result.is_err(), Ordering::Relaxed);
                results.lock().expect("no run panics").push((run.number, result));
            }
        };
        let n_workers = rayon::current_num_threads().min(runs.len());
        let pools: Result<Vec<_>, _> =
            (0..n_workers).map(|_| rayon::ThreadPoolBuilder::new().num_threads(1).build()).collect();
        let pools =
            pools.map_err(|e| Error::computation(format!("cannot start a thread: {e}"), "Use fewer threads"))?;
        std::thread::scope(|scope| {
            for pool in &pools {
                scope.spawn(|| pool.install(work));
            }
        });
        let mut results = results.into_inner().expect("no run panics");
        results.sort_by_key(|(number, _)| *number);
        results.into_iter().map(|(_, result)| result).collect()
    }

    fn run_one(&self, run: &Run, folder: &Path, watch: &mut dyn FnMut(f64)) -> Result<RunRecord, Error> {
        let began = Instant::now();
        let direction = self.directions[run.direction];
        // Border baths of different runs draw different noise.
        let seed = self.settings.seed.wrapping_add(1 + run.number as u64);
        let start = &self.starts[run.start];
        let (energy, vector, settings) = (run.energy_ev, direction.vector, &self.settings.recoil);
        let (recoil, _): (Recoil, Atoms) =
            run_recoil(self.potential, &self.perfect, start, energy, vector, settings, seed, &mut |s| {
                watch(s.time_fs())
            })?;
        let record = RunRecord {
            run: run.number,
            key: self.key.clone(),
            species: self.settings.species,
            direction: run.direction,
            weight_sr: direction.weight_sr,
            start: run.start,
            recoil,
            wall_time_s: began.elapsed().as_secs_f64(),
            model_hash: self.model_hash.to_owned(),
            program: format!("knockon {}", env!("CARGO_PKG_VERSION")),
        };
        record.write(&Self::path(folder, run))?;
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::{argon_like, cubic_cell, element};
    use crate::dynamics::{QuenchSettings, TimeStep};
    use crate::progress::Silent;

    fn settings() -> CampaignSettings {
        CampaignSettings {
            crystal: PathBuf::from("argon.xyz"),
            cells: [4, 4, 4],
            relax_cell: true,
            species: element("Ar"),
            directions: 2,
            seed: 5,
            energies: vec![RecoilEnergy { energy_ev: 2.0, starts: 2 }, RecoilEnergy { energy_ev: 40.0, starts: 1 }],
            thermalization: Thermalization {
                temperature_k: 60.0,
                time_fs: 200.0,
                sampling_time_fs: 100.0,
                time_step_fs: 4.0,
                friction_per_fs: 0.01,
            },
            recoil: RecoilSettings {
                time_fs: 60.0,
                time_step: TimeStep { max_displacement_angstrom: 0.05, max_fs: 4.0 },
                quench: QuenchSettings::default(),
                skin_angstrom: 0.5,
                border: None,
            },
        }
    }

    fn run(folder: &Path, threads: usize, settings: &CampaignSettings) -> Result<CampaignSummary, Error> {
        let (potential, _) = argon_like([1, 1, 1]);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
        pool.install(|| run_campaign(&potential, "model", &cubic_cell(2.8), settings, folder, &Silent))
    }

    /// The table without wall times.
    fn table(folder: &Path) -> Vec<String> {
        let text = read_text(&folder.join("recoils.csv")).expect("a table");
        let drop_wall_time = |line: &str| {
            let cells: Vec<&str> = line.split(',').collect();
            let n = cells.len();
            [&cells[..n - 3], &cells[n - 2..]].concat().join(",")
        };
        text.lines().map(drop_wall_time).collect()
    }

    #[test]
    fn campaigns_resume_and_do_not_depend_on_threads() {
        let [one, two] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let first = run(one.path(), 1, &settings()).expect("a campaign");
        assert_eq!((first.n_runs, first.n_resumed), (6, 0));
        run(two.path(), 2, &settings()).expect("a campaign");
        assert_eq!(table(one.path()), table(two.path()));

        // Losing one record costs one run and nothing else.
        let lost = two.path().join("runs/run-00003.json");
        let before = read_text(&lost).expect("a record");
        std::fs::remove_file(&lost).expect("removed");
        let again = run(two.path(), 2, &settings()).expect("a campaign");
        assert_eq!(again.n_resumed, 5);
        let stored = |text: &str| serde_json::from_str::<RunRecord>(text).expect("a record").recoil;
        assert_eq!(stored(&before), stored(&read_text(&lost).expect("a record")));
        assert_eq!(table(one.path()), table(two.path()));

        // Another seed is another campaign.
        let error = run(two.path(), 2, &CampaignSettings { seed: 6, ..settings() }).err().expect("an error");
        assert!(error.to_string().contains("another model or other settings"), "{error}");

        let file: serde_json::Value =
            serde_json::from_str(&read_text(&one.path().join("campaign.json")).expect("a file")).expect("JSON");
        assert_eq!(file["site_symmetry"], "m-3m");
        assert_eq!(file["operations"].as_array().map(Vec::len), Some(48));
        assert_eq!(file["n_atoms"], 256);
    }

    #[test]
    fn impossible_settings_are_refused() {
        let mut bad = settings();
        bad.energies[0].energy_ev = -1.0;
        let folder = tempfile::tempdir().expect("a folder");
        let error = run(folder.path(), 1, &bad).err().expect("an error").to_string();
        assert!(error.contains("energy_ev"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }
}
