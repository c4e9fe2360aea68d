//! Campaigns: resumed, shared between workers, extended, exported, refused.

use super::*;
use crate::cascade::sites::tests::two_sites;
use crate::cascade::{
    Attribution, Border, CampaignSettings, Directions, Equilibrium, Exported, Flag, FrameSettings, KineticEnergies,
    MinDistance, RecoilEnergy, RecoilSettings, RunningSettings, Thermalization, export_campaign,
};
use crate::dynamics::TimeStep;
use crate::dynamics::testing::{argon_like, cubic_cell, element};
use crate::io::read_text;
use crate::progress::Silent;
use glam::DVec3;
use std::path::PathBuf;
use std::sync::Mutex;

fn settings() -> CampaignSettings {
    CampaignSettings {
        crystal: PathBuf::from("argon.xyz"),
        cells: [4, 4, 4],
        relax_cell: true,
        species: element("Ar"),
        site: None,
        directions: Directions::Count(2),
        seed: 5,
        energies: vec![RecoilEnergy { energy_ev: 2.0, starts: 2 }, RecoilEnergy { energy_ev: 40.0, starts: 1 }],
        thermalization: Thermalization {
            temperature_k: 60.0,
            time_fs: 400.0,
            sampling_time_fs: 100.0,
            time_step_fs: 4.0,
            friction_per_fs: 0.02,
        },
        recoil: RecoilSettings {
            time_step: TimeStep { max_displacement_angstrom: 0.05, max_fs: 4.0, max_energy_change_ev: None },
            ..crate::cascade::recoil::tests::settings(60.0)
        },
        model: None,
        extrapolation: None,
        frames: None,
        running: RunningSettings::default(),
    }
}

fn plan(folder: &Path, settings: &CampaignSettings) -> Result<Plan, Error> {
    let (potential, _) = argon_like([1, 1, 1]);
    Plan::new(&potential, "model", &cubic_cell(2.8), settings)?.write(folder)
}

fn worker(potential: &dyn Potential) -> Worker<'_> {
    Worker { potential, extrapolation: None, program: "knockon", commit: "", waits: false, progress: &Silent }
}

fn run_some(folder: &Path, threads: usize, numbers: &[usize]) -> RunOutcome {
    let (potential, _) = argon_like([1, 1, 1]);
    let plan = Plan::load(folder).expect("a plan");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
    let outcome = pool.install(|| run_campaign(&worker(&potential), &plan, numbers, folder));
    collect_campaign(&plan, folder, &folder.join("recoils.csv")).expect("a table");
    outcome.expect("runs")
}

fn outcome(resumed: usize, done: usize, failed: usize, elsewhere: usize) -> RunOutcome {
    RunOutcome { resumed, done, failed, elsewhere }
}

/// The table without wall times.
fn table(folder: &Path) -> Vec<String> {
    let text = read_text(&folder.join("recoils.csv")).expect("a table");
    let wall_time = text.split([',', '\n']).position(|name| name == "wall_time_s").expect("a column");
    let drop_wall_time = |line: &str| {
        let mut cells: Vec<&str> = line.split(',').collect();
        cells.remove(wall_time);
        cells.join(",")
    };
    text.lines().map(drop_wall_time).collect()
}

const ALL: [usize; 6] = [0, 1, 2, 3, 4, 5];

#[test]
fn campaigns_resume_and_do_not_depend_on_threads() {
    let [one, two] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    for folder in [&one, &two] {
        plan(folder.path(), &settings()).expect("a plan");
    }
    assert_eq!(run_some(one.path(), 1, &ALL), outcome(0, 6, 0, 0));
    assert_eq!(run_some(two.path(), 2, &ALL[3..]), outcome(0, 3, 0, 0));
    assert_eq!(run_some(two.path(), 4, &ALL), outcome(3, 3, 0, 0));
    assert_eq!(table(one.path()), table(two.path()));

    // Losing one record costs one run and nothing else.
    let lost = two.path().join("runs/run-00003.json");
    let before = read_text(&lost).expect("a record");
    std::fs::remove_file(&lost).expect("removed");
    assert_eq!(run_some(two.path(), 2, &ALL), outcome(5, 1, 0, 0));
    let stored = |text: &str| serde_json::from_str::<RunRecord>(text).expect("a record").recoil;
    assert_eq!(stored(&before), stored(&read_text(&lost).expect("a record")));
    assert_eq!(table(one.path()), table(two.path()));

    // Another seed is another campaign.
    let error = plan(two.path(), &CampaignSettings { seed: 6, ..settings() }).expect_err("an error");
    assert!(error.to_string().contains("another model or other settings: seed was 5, now 6"), "{error}");

    let file: serde_json::Value =
        serde_json::from_str(&read_text(&one.path().join("campaign.json")).expect("a file")).expect("JSON");
    assert_eq!(file["site_symmetry"], "m-3m");
    assert_eq!(file["operations"].as_array().map(Vec::len), Some(48));
    assert_eq!(file["n_atoms"], 256);
    let kinetic: KineticEnergies = serde_json::from_value(file["kinetic_energies"].clone()).expect("counts");
    assert_eq!((kinetic.n_frames, kinetic.n_atoms), (2, 256));
    assert_eq!(kinetic.counts.iter().sum::<u64>() + kinetic.beyond, 2 * 256);

    // A campaign that is kept without its starts keeps what was counted.
    let plan = Plan::load(one.path()).expect("a plan");
    (0..2)
        .for_each(|n| std::fs::remove_file(Files { plan: &plan, folder: one.path() }.start_path(n)).expect("removed"));
    collect_campaign(&plan, one.path(), &one.path().join("recoils.csv")).expect("a table");
    let again: serde_json::Value =
        serde_json::from_str(&read_text(&one.path().join("campaign.json")).expect("a file")).expect("JSON");
    assert_eq!(again["kinetic_energies"], file["kinetic_energies"]);
}

#[test]
fn two_workers_share_a_campaign() {
    let folder = tempfile::tempdir().expect("a folder");
    plan(folder.path(), &settings()).expect("a plan");
    let outcomes: Vec<RunOutcome> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(|| run_some(folder.path(), 1, &ALL))).collect();
        workers.into_iter().map(|w| w.join().expect("no panic")).collect()
    });
    // A worker counts what it finds done after its first look as done, too.
    assert!(outcomes.iter().all(|o| o.failed == 0 && o.resumed + o.done + o.elsewhere == 6), "{outcomes:?}");
    let found = campaign_status(&Plan::load(folder.path()).expect("a plan"), folder.path()).expect("files");
    assert_eq!((found.n_runs, found.done, found.running, found.failed.len()), (6, 6, 0, 0));
    // Nobody looked at grades.
    assert_eq!(found.ungraded, 6);
    assert_eq!(found.time_left_s, Some(0.0));
    let left: Vec<_> = std::fs::read_dir(folder.path().join("runs")).expect("a folder").collect();
    assert_eq!(left.len(), 6, "{left:?}");
}

#[test]
fn a_longer_plan_keeps_what_is_done() {
    let [grown, fresh] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    plan(grown.path(), &settings()).expect("a plan");
    run_some(grown.path(), 2, &ALL);
    let mut longer = settings();
    longer.energies[0].starts = 3;
    longer.energies.insert(0, RecoilEnergy { energy_ev: 5.0, starts: 1 });
    let all: Vec<usize> = (0..10).collect();
    assert_eq!(plan(grown.path(), &longer).expect("a plan").runs.len(), 10);
    assert_eq!(run_some(grown.path(), 2, &all), outcome(6, 4, 0, 0));
    // The same recoils come out of a campaign that was planned so at once, under other numbers.
    plan(fresh.path(), &longer).expect("a plan");
    run_some(fresh.path(), 2, &all);
    let sorted = |folder: &Path| {
        let line = |line: &String| line.split_once(',').map(|(_, rest)| rest.to_owned());
        let mut lines: Vec<String> = table(folder).iter().filter_map(line).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(sorted(grown.path()), sorted(fresh.path()));

    let error = plan(grown.path(), &settings()).expect_err("an error").to_string();
    assert!(error.contains("no longer asked for"), "{error}");
}

/// Twice the directions: the runs stay, and the table has the weights of all directions.
#[test]
fn more_directions_keep_what_is_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let frames = Some(FrameSettings { times_fs: vec![0.0, 20.0] });
    let few = plan(folder.path(), &CampaignSettings { frames, ..settings() }).expect("a plan");
    run_some(folder.path(), 2, &ALL);
    let more =
        plan(folder.path(), &CampaignSettings { directions: Directions::Count(4), ..settings() }).expect("a plan");
    assert_eq!((more.runs.len(), &more.runs[..6]), (12, &few.runs[..]));
    // Until the new directions are done, the old ones have too little weight.
    let collected = || collect_campaign(&more, folder.path(), &folder.path().join("recoils.csv")).expect("a table");
    assert_eq!((collected().n_directions, collected().partly_covered), (4, vec![(2.0, 2), (40.0, 2)]));
    let all: Vec<usize> = (0..12).collect();
    assert_eq!(run_some(folder.path(), 2, &all), outcome(6, 6, 0, 0));
    assert!(collected().partly_covered.is_empty());
    let weights = table(folder.path()).iter().skip(1).map(|l| l.split(',').nth(7).map(str::to_owned)).collect();
    let weights: Vec<Option<String>> = weights;
    let planned = more.runs.iter().map(|r| Some(more.directions[r.direction].weight_sr.to_string()));
    assert_eq!(weights, planned.collect::<Vec<_>>());
    assert!(more.directions[0].weight_sr < few.directions[0].weight_sr);
    // Frames were asked for at first: two and the quenched box.
    let boxes = crate::io::read_extxyz(&folder.path().join("runs/run-00000.xyz")).expect("frames");
    assert_eq!(boxes.len(), 3);
    check_export(&more, folder.path());
    assert!(!folder.path().join("runs/run-00007.xyz").exists());
    let error = plan(folder.path(), &settings()).expect_err("an error").to_string();
    assert!(error.contains("directions"), "{error}");
}

/// Archives hold what their records say, and flagged recoils only if asked for.
fn check_export(plan: &Plan, folder: &Path) {
    write_atomically(&folder.join("potential.model"), b"a potential").expect("written");
    let attribution = Attribution { author: "A & B".to_owned(), affiliation: "C".to_owned(), doi: "10.1/2".to_owned() };
    let export = |name: &str, flags: &[String]| {
        export_campaign(plan, folder, &folder.join(name), &attribution, flags).expect("an export")
    };
    let every_flag = Flag::ALL.map(|flag| flag.name().to_owned());
    let all = export("all", &every_flag);
    let few = export("few", &[]);
    assert_eq!(all.iter().map(|e| e.n_runs).sum::<usize>(), 6);
    assert!(all.iter().any(|e| e.n_flagged > 0) && all.iter().all(|e| e.n_left_out == 0), "{all:?}");
    for one in &few {
        let same = all.iter().find(|e| e.record.file_name() == one.record.file_name()).expect("the same energy");
        assert_eq!((one.n_flagged, one.n_runs + one.n_left_out), (0, same.n_runs));
        assert_eq!(one.n_left_out, same.n_flagged);
    }
    all.iter().chain(&few).for_each(check_archive);

    // A run whose box is gone is counted with the six that kept none.
    let (kept, away) = (folder.join("runs/run-00000.xyz"), folder.join("away.xyz"));
    std::fs::rename(&kept, &away).expect("renamed");
    let incomplete = export("incomplete", &every_flag);
    assert_eq!(
        incomplete.iter().map(|e| (e.n_runs, e.n_without_boxes)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
        (5, 7)
    );
    std::fs::rename(&away, &kept).expect("renamed");

    let text = read_text(&all[0].record).expect("a record");
    let document = roxmltree::Document::parse(&text).expect("well-formed XML");
    let of = |name: &str| document.descendants().find(|n| n.has_tag_name(("https://amdis.iaea.org/cdbml", name)));
    let content = |name: &str| of(name).and_then(|n| n.text()).map(str::to_owned).expect("an element");
    let found = ["formula", "structure", "energy", "electronic_stopping", "affiliation", "X_orientation"].map(content);
    assert_eq!(found, ["Ar", "fcc", "0.002", "false", "C", "[100]"]);
    assert!(text.contains("A &amp; B") && content("archive_name") == "Ar-2eV.tar");
}

/// The boxes are those of the table, and the record names every flag that the table has.
fn check_archive(exported: &Exported) {
    let mut archive = tar::Archive::new(std::fs::File::open(&exported.archive).expect("an archive"));
    let mut files = BTreeMap::new();
    for entry in archive.entries().expect("entries") {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a name").display().to_string();
        let mut content = String::new();
        std::io::Read::read_to_string(&mut entry, &mut content).expect("text");
        files.insert(name, content);
    }
    assert_eq!(files.len(), exported.n_runs + 3, "{:?}", files.keys());
    assert_eq!(files["potential.model"], "a potential");
    let boxes = |name: &str| crate::io::parse_extxyz(&files[name], name, &Default::default()).expect("boxes");
    let perfect = &boxes("initial.xyz")[0];
    let record = read_text(&exported.record).expect("a record");
    let lines: Vec<Vec<&str>> = files["recoils.csv"].lines().map(|line| line.split(',').collect()).collect();
    let flags = lines[0].iter().position(|title| *title == "flags").expect("a column");
    assert_eq!(lines[1..].iter().filter(|line| !line[flags].is_empty()).count(), exported.n_flagged);
    for line in &lines[1..] {
        let name = format!("run-{:05}.xyz", line[0].parse::<usize>().expect("a number"));
        let frames = boxes(&name);
        assert!(frames.len() == 3 && frames.iter().all(|f| f.atoms.species == perfect.atoms.species));
        let named = format!("{name} ({})", line[flags].replace(';', ", "));
        assert_eq!(record.contains(&named), !line[flags].is_empty(), "{record}");
    }
}

#[test]
fn failures_are_recorded_and_stop_no_other_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut plan = plan(folder.path(), &settings()).expect("a plan");
    // No recoil has less than no energy.
    plan.runs[1].energy_ev = -1.0;
    let (potential, _) = argon_like([1, 1, 1]);
    let run = || run_campaign(&worker(&potential), &plan, &ALL, folder.path()).expect("runs");
    assert_eq!(run(), outcome(0, 5, 1, 0));
    assert_eq!(run(), outcome(5, 0, 1, 0));
    let found = campaign_status(&plan, folder.path()).expect("files");
    assert_eq!((found.done, found.failed.len(), found.failed[0].0), (5, 1, 1));
    assert!(!found.failed[0].1.is_empty());
    assert_eq!(forget_failures(&plan, &ALL, folder.path()).expect("files"), 1);
    assert_eq!(run(), outcome(5, 0, 1, 0));
}

/// Some process is always the first: what it removes is gone for the others between two looks.
#[test]
fn several_processes_may_remove_the_same_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(folder.path(), &settings()).expect("a plan");
    let (files, run) = (Files { plan: &plan, folder: folder.path() }, &plan.runs[0]);
    let whole = folder.path().join("runs/whole");
    write_atomically(&whole, br#"{"reason": "none"}"#).expect("written");
    let work = || {
        for _ in 0..300 {
            // Links appear complete or not at all, and at once; that of another thread is as good.
            let _ = std::fs::hard_link(&whole, files.failure_path(run));
            let _ = std::fs::hard_link(&whole, files.checkpoint_path(run));
            assert!(matches!(files.state(run).expect("readable"), State::Open | State::Failed(_)));
            forget_failures(&plan, &[0], folder.path()).expect("removed");
            files.tidy(run).expect("removed");
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
    assert!(!files.failure_path(run).exists() && !files.checkpoint_path(run).exists());
}

/// A run of a start that nobody makes would wait for ever.
#[test]
fn a_plan_with_starts_of_its_own_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut plan = plan(folder.path(), &settings()).expect("a plan");
    plan.runs[3].start = 2;
    let text = serde_json::to_string(&plan).expect("plain numbers");
    write_atomically(&folder.path().join("plan.json"), text.as_bytes()).expect("written");
    let error = Plan::load(folder.path()).expect_err("an error").to_string();
    assert!(error.contains("directions and starts of the plan"), "{error}");
}

/// What limits let fail is tried again with higher ones.
#[test]
fn limits_can_be_raised() {
    let folder = tempfile::tempdir().expect("a folder");
    let limited = |max_steps: u64| {
        let recoil = RecoilSettings { max_steps, ..settings().recoil };
        plan(folder.path(), &CampaignSettings { recoil, ..settings() }).expect("a plan")
    };
    let first = limited(5);
    assert_eq!(run_some(folder.path(), 2, &ALL), outcome(0, 0, 6, 0));
    let raised = limited(10_000);
    assert_eq!((&raised.key, raised.settings.recoil.max_steps), (&first.key, 10_000));
    assert_eq!(forget_failures(&raised, &ALL, folder.path()).expect("files"), 6);
    assert_eq!(run_some(folder.path(), 2, &ALL), outcome(0, 6, 0, 0));
    // Earlier versions had the limits in the key.
    let old = Plan { key: "with limits".to_owned(), ..first };
    assert_eq!(raised.extending(&old, "plan.json").expect("the same plan").key, old.key);
}

/// By the evidence that lies beside the starts; what is done, and what starts without evidence, stays as it is.
#[test]
fn recoils_from_a_start_that_is_not_in_equilibrium_are_flagged() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(folder.path(), &settings()).expect("a plan");
    let files = Files { plan: &plan, folder: folder.path() };
    run_some(folder.path(), 1, &[0]);
    let mut found = files.equilibrium(1).expect("readable").expect("readings");
    found.readings.clear();
    found.kinetic_energy_distance = 0.0;
    let mut is_flagged = |number: usize, mean_k: f64| {
        found.temperatures[0].mean_k = mean_k;
        found.temperatures[0].standard_error_k = Some(1.0);
        let text = serde_json::to_string(&found).expect("numbers");
        write_atomically(&files.equilibrium_path(1), text.as_bytes()).expect("written");
        run_some(folder.path(), 1, &[number]);
        record(&files, number).recoil.flags.contains(&"start".to_owned())
    };
    // 60 K with an error of 1 K: up to 65.5 K.
    assert!(!is_flagged(1, 65.0) && is_flagged(2, 66.0));
    std::fs::remove_file(files.equilibrium_path(1)).expect("removed");
    run_some(folder.path(), 1, &[3]);
    assert!(!record(&files, 3).recoil.flags.contains(&"start".to_owned()));
}

/// Starts that are added later count as those before.
#[test]
fn the_evidence_is_that_of_the_worst_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(folder.path(), &settings()).expect("a plan");
    let files = Files { plan: &plan, folder: folder.path() };
    run_some(folder.path(), 1, &[0]);
    let first = files.equilibrium(1).expect("readable").expect("readings");
    let worse = Equilibrium { youngest_start_fs: Some(1.0), kinetic_energy_distance: 0.9, ..first.clone() };
    for found in [&worse, &first] {
        files.keep_equilibrium(found).expect("written");
        let kept = files.equilibria().expect("readable");
        assert_eq!((kept.len(), &kept[0]), (1, &worse));
    }
}

fn record(files: &Files<'_>, number: usize) -> RunRecord {
    match files.state(&files.plan.runs[number]).expect("readable") {
        State::Done(record) => *record,
        _ => panic!("run {number} is not done"),
    }
}

/// Records say how they were made; those of earlier versions need not.
#[test]
fn records_name_their_settings() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(folder.path(), &settings()).expect("a plan");
    run_some(folder.path(), 1, &[4]);
    let files = Files { plan: &plan, folder: folder.path() };
    let protocol = record(&files, 4).protocol.expect("settings");
    assert_eq!((protocol.cells, protocol.thermalization), (plan.settings.cells, plan.settings.thermalization));
    assert_eq!((&protocol.recoil, protocol.seed), (&plan.settings.recoil, plan.settings.seed));
    assert_eq!(protocol.graded_every_steps, None);
    let path = files.record_path(&plan.runs[4]);
    let mut old: serde_json::Value = serde_json::from_str(&read_text(&path).expect("a record")).expect("JSON");
    old.as_object_mut().expect("a record").remove("protocol").expect("settings");
    write_atomically(&path, old.to_string().as_bytes()).expect("written");
    assert_eq!(record(&files, 4).protocol, None);
}

/// Campaigns that are on disk go on: their records are read, and settings of today have their keys.
#[test]
fn the_campaign_that_ships_can_be_read_and_extended() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/cawo4/campaign");
    let plan = Plan::load(&folder).expect("a plan");
    assert_eq!(plan.own_key(), plan.key);
    let found = campaign_status(&plan, &folder).expect("records");
    assert!(found.done > 0 && found.failed.is_empty(), "{found:?}");
    let files = Files { plan: &plan, folder: &folder };
    let evidence = files.equilibrium(1).expect("readable").expect("readings");
    assert_eq!(evidence.warning(&plan.ideal_box().expect("a box")), None);
}

/// What the table gained, it gained at its end.
#[test]
fn the_table_says_what_the_record_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(folder.path(), &settings()).expect("a plan");
    run_some(folder.path(), 1, &[4]);
    let files = Files { plan: &plan, folder: folder.path() };
    let recoil = record(&files, 4).recoil;
    let cells = |names: [&str; 6]| {
        let text = read_text(&folder.path().join("recoils.csv")).expect("a table");
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!((rows.len(), rows[0].len(), rows[0].last()), (2, rows[1].len(), Some(&"closest_pair")));
        let place = |name: &str| rows[0].iter().position(|title| *title == name).expect("a column");
        names.map(|name| rows[1][place(name)].to_owned())
    };
    let names = [
        "energy_given_ev",
        "temperature_rise_k",
        "max_border_temperature_k",
        "largest_region_angstrom3",
        "damage_radius_angstrom",
        "closest_pair",
    ];
    let mut expected = [
        recoil.energy_given_ev.to_string(),
        recoil.temperature_rise_k.expect("measured").to_string(),
        recoil.max_border_temperature_k.expect("measured").to_string(),
        recoil.disorder.expect("looked for").largest_region_angstrom3.to_string(),
        recoil.damage_radius_angstrom.to_string(),
        "Ar-Ar".to_owned(),
    ];
    assert_eq!(cells(names), expected);
    assert_eq!(recoil.closest_pairs_angstrom["Ar-Ar"], recoil.min_distance_angstrom);

    // A record of an earlier version.
    let path = files.record_path(&plan.runs[4]);
    let mut old: serde_json::Value = serde_json::from_str(&read_text(&path).expect("a record")).expect("JSON");
    let fields = old["recoil"].as_object_mut().expect("a recoil");
    for field in ["temperature_rise_k", "max_border_temperature_k", "closest_pairs_angstrom", "disorder"] {
        assert!(fields.remove(field).is_some(), "{field}");
    }
    assert!(old.as_object_mut().expect("a record").remove("perfect_energy_ev").is_some());
    write_atomically(&path, old.to_string().as_bytes()).expect("written");
    collect_campaign(&plan, folder.path(), &folder.path().join("recoils.csv")).expect("a table");
    // What it lacks is empty, not zero.
    [1, 2, 3, 5].into_iter().for_each(|column| expected[column].clear());
    assert_eq!(cells(names), expected);
    let overview = read_text(&folder.path().join("campaign.json")).expect("a file");
    let overview = crate::cascade::CampaignOverview::parse(&overview, "campaign.json").expect("a campaign");
    assert_eq!(overview.perfect_energy_ev, None);
}

/// The site is then part of what names the campaign.
#[test]
fn a_site_is_chosen_where_there_are_several() {
    let (potential, _) = argon_like([1, 1, 1]);
    let crystal = two_sites();
    let planned = |site: Option<usize>| {
        let settings = CampaignSettings { site, relax_cell: false, ..settings() };
        Plan::new(&potential, "model", &crystal, &settings)
    };
    let error = planned(None).expect_err("two sites").to_string();
    assert!(error.contains("site 2: multiplicity 3") && error.contains("site = 1"), "{error}");
    let [corner, face] = [1, 2].map(|site| planned(Some(site)).expect("a plan"));
    assert_ne!(corner.key, face.key);
    let groups = [&corner, &face].map(|plan| plan.site().expect("a site").point_group);
    assert_eq!(groups, ["m-3m", "4/mmm"]);
    let atoms = [&corner, &face].map(|plan| plan.central_atom().expect("an atom") % crystal.len());
    assert!(atoms[0] == 0 && (1..4).contains(&atoms[1]), "{atoms:?}");

    // Earlier versions took whichever was nearest to the middle: their plans can still be run.
    let mut old = corner;
    old.settings.site = None;
    old.key = old.own_key();
    assert!(old.central_atom().is_ok() && old.site().is_ok());
}

/// Starts are added from the same trajectory, or from another one whose evidence stands beside that of the first.
#[test]
fn the_evidence_of_the_first_starts_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(folder.path(), &settings()).expect("a plan");
    let files = Files { plan: &plan, folder: folder.path() };
    run_some(folder.path(), 1, &[0]);
    // Start 1 is lost and made again for a run that needs it.
    let again = |number: usize| {
        std::fs::remove_file(files.start_path(1)).expect("removed");
        run_some(folder.path(), 1, &[number]);
        assert!(files.start_path(1).exists());
    };
    let first = read_text(&files.equilibrium_path(1)).expect("readings");
    again(2);
    assert_eq!(read_text(&files.equilibrium_path(1)).expect("readings"), first);
    assert!(!files.equilibrium_path(2).exists());

    // As if the first had been made on another kind of processor.
    let here = files.equilibrium(1).expect("readable").expect("readings");
    let mut elsewhere = here.clone();
    elsewhere.readings[0].potential_energy_ev += 1e-6;
    let text = serde_json::to_string(&elsewhere).expect("numbers");
    write_atomically(&files.equilibrium_path(1), text.as_bytes()).expect("written");
    again(3);
    assert_eq!(files.equilibria().expect("readable"), [elsewhere, here]);
}

/// Keeps what it is told, and the last numbers.
#[derive(Default)]
struct Listener {
    said: Mutex<Vec<String>>,
    last: Mutex<(u64, u64)>,
}

impl Progress for Listener {
    fn update(&self, done: u64, total: u64) {
        *self.last.lock().expect("no panic") = (done, total);
    }
    fn message(&self, text: &str) {
        self.said.lock().expect("no panic").push(text.to_owned());
    }
}

impl Listener {
    /// How often it was told something with these words.
    fn count(&self, words: &str) -> usize {
        self.said.lock().expect("no panic").iter().filter(|text| text.contains(words)).count()
    }
}

#[test]
fn the_thermalisation_of_another_process_is_seen_and_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(folder.path(), &settings()).expect("a plan");
    let stem = Files { plan: &plan, folder: folder.path() }.starts_stem();
    std::fs::create_dir_all(stem.parent().expect("a folder")).expect("a folder");
    let claim = Claim::take(&stem).expect("a folder to write to").expect("nobody else");
    let path = stem.with_extension("checkpoint");
    let mut checkpoint = Checkpoint::new(&path, "another program's", plan.settings.running, &Silent);
    checkpoint.write(0.25, 0_u8).expect("written");
    let status = || campaign_status(&plan, folder.path()).expect("files");
    let found = status();
    assert_eq!((found.n_starts, found.starts_done, found.is_thermalizing), (2, 0, true));
    assert_eq!(found.thermalization.map(|underway| underway.part_done), Some(0.25));

    let (potential, _) = argon_like([1, 1, 1]);
    let listener = Listener::default();
    let waiting = || listener.count("waiting for the starts");
    std::thread::scope(|scope| {
        let listening = Worker { progress: &listener, ..worker(&potential) };
        let (plan, folder) = (&plan, folder.path());
        let running = scope.spawn(move || run_campaign(&listening, plan, &[0], folder));
        while waiting() == 0 && !running.is_finished() {
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(claim);
        assert_eq!(running.join().expect("no panic").expect("runs"), outcome(0, 1, 0, 0));
    });
    assert_eq!(waiting(), 1);
    let found = status();
    assert_eq!((found.starts_done, found.is_thermalizing, found.thermalization), (2, false, None));
}

/// A recoil that another process is at counts as nothing to do.
#[test]
fn progress_is_that_of_the_recoils_that_are_done_here() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(folder.path(), &settings()).expect("a plan");
    run_some(folder.path(), 1, &[5]);
    let stem = Files { plan: &plan, folder: folder.path() }.stem(&plan.runs[1]);
    let _claim = Claim::take(&stem).expect("a folder to write to").expect("nobody else");
    let (potential, _) = argon_like([1, 1, 1]);
    let listener = Listener::default();
    let listening = Worker { progress: &listener, ..worker(&potential) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("threads start");
    let found = pool.install(|| run_campaign(&listening, &plan, &[0, 1, 2], folder.path())).expect("runs");
    assert_eq!(found, outcome(0, 2, 0, 1));
    // Two of 60 fs.
    assert_eq!(*listener.last.lock().expect("no panic"), (120, 120));
}

/// Its process goes on with what is under way, perhaps for hours: the reason is said at once.
#[test]
fn a_recoil_that_cannot_be_kept_is_named_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(folder.path(), &CampaignSettings { frames: Some(FrameSettings::default()), ..settings() });
    let plan = plan.expect("a plan");
    let obstacle = Files { plan: &plan, folder: folder.path() }.frames_path(&plan.runs[0]);
    std::fs::create_dir_all(&obstacle).expect("a folder in the way");
    let (potential, _) = argon_like([1, 1, 1]);
    let listener = Listener::default();
    let listening = Worker { progress: &listener, ..worker(&potential) };
    let run = || run_campaign(&listening, &plan, &[0], folder.path());
    assert!(matches!(run(), Err(Error::Io { .. })));
    assert_eq!(listener.count("recoil 0 cannot be kept: cannot write"), 1);
    std::fs::remove_dir(&obstacle).expect("removed");
    assert_eq!(run().expect("runs"), outcome(0, 1, 0, 0));
}

/// As on a machine that was suspended: somebody else is at the recoil when it comes back.
#[test]
fn a_recoil_that_was_taken_over_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(folder.path(), &settings()).expect("a plan");
    let (potential, _) = argon_like([1, 1, 1]);
    // Nobody looks for a successor as long as there is no claim.
    write_atomically(&folder.path().join("runs/run-00000.claim1"), b"a successor").expect("written");
    let error = run_campaign(&worker(&potential), &plan, &[0], folder.path()).expect_err("an error").to_string();
    assert!(error.contains("run-00000 was taken over"), "{error}");
    let files = Files { plan: &plan, folder: folder.path() };
    assert!(matches!(files.state(&plan.runs[0]), Ok(State::Open)));
}

#[test]
fn impossible_settings_are_refused() {
    type Spoil = fn(&mut CampaignSettings);
    let border = Border { thickness_angstrom: 2.0, friction_per_fs: 0.01, temperature_k: 10.0 };
    let spoils: [(&str, Spoil); 15] = [
        ("energy_ev", |s| s.energies[0].energy_ev = -1.0),
        ("energies that differ", |s| s.energies.push(s.energies[0])),
        ("directions", |s| s.directions = Directions::Vectors(Vec::new())),
        ("expected a direction", |s| s.directions = Directions::Vectors(vec![DVec3::ZERO])),
        ("max_hours", |s| s.running.max_hours = f64::INFINITY),
        ("time_fs", |s| s.thermalization.time_fs = f64::INFINITY),
        // 100 fs of 4 fs each are 25 steps.
        ("expected at least 128 fs for 26 starts", |s| s.energies[0].starts = 26),
        ("the unit cell did not relax", |s| s.recoil.quench.max_evaluations = 1),
        ("max_displacement_angstrom", |s| s.recoil.time_step.max_displacement_angstrom = f64::NAN),
        ("border.friction_per_fs", |s| {
            s.recoil.border = s.recoil.border.map(|b| Border { friction_per_fs: -0.01, ..b })
        }),
        ("border.temperature_k", |s| s.recoil.border = s.recoil.border.map(|b| Border { temperature_k: -1.0, ..b })),
        ("at most 50000000 atoms", |s| s.cells = [4_000_000; 3]),
        ("found site 2", |s| s.site = Some(2)),
        ("min_distance_angstrom", |s| s.recoil.min_distance_angstrom = MinDistance::All(-1.0)),
        ("found O-W", |s| {
            s.recoil.min_distance_angstrom = MinDistance::Pairs(BTreeMap::from([("O-W".to_owned(), 1.2)]))
        }),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    for (expected, spoil) in spoils {
        let mut bad = settings();
        bad.recoil.border = Some(border);
        spoil(&mut bad);
        let error = plan(folder.path(), &bad).expect_err("an error").to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

/// As where the processor has other vector instructions.
#[test]
fn a_cell_relaxed_to_other_last_bits_is_the_same_crystal() {
    let folder = tempfile::tempdir().expect("a folder");
    let (potential, _) = argon_like([1, 1, 1]);
    let kept = CampaignSettings { relax_cell: false, ..settings() };
    let planned = |edge: f64| Plan::new(&potential, "model", &cubic_cell(edge), &kept)?.write(folder.path());
    let first = planned(2.8).expect("a plan");
    let second = planned(2.8 + 1e-9).expect("the same plan");
    assert_eq!((&second.key, &second.unit_cell), (&first.key, &first.unit_cell));
    let error = planned(2.81).expect_err("an error").to_string();
    assert!(error.contains("another model or other settings"), "{error}");
}

#[test]
fn directions_can_be_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let axes = vec![DVec3::new(2.0, 0.0, 0.0), DVec3::new(1.0, 1.0, 0.0), DVec3::ONE];
    let named = plan(folder.path(), &CampaignSettings { directions: Directions::Vectors(axes), ..settings() });
    let named = named.expect("a plan");
    assert_eq!(named.directions[0].vector, DVec3::X);
    assert!((named.directions.iter().map(|d| d.weight_sr).sum::<f64>() - std::f64::consts::PI / 12.0).abs() < 1e-12);
    assert_eq!(Plan::load(folder.path()).expect("a plan").settings.directions, named.settings.directions);
}
