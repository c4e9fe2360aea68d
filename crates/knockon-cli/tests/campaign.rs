//! A small campaign from plan to table.

#![allow(clippy::unwrap_used, missing_docs)]

use assert_cmd::Command;
use std::path::Path;

fn knockon(arguments: &[&str]) -> assert_cmd::assert::Assert {
    Command::new(env!("CARGO_BIN_EXE_knockon")).args(arguments).assert()
}

#[test]
fn the_tiny_campaign_is_planned_run_in_parts_and_collected() {
    let folder = tempfile::tempdir().unwrap();
    let [out, table] = ["campaign", "table.csv"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/cawo4/tiny-campaign.toml");
    let said =
        knockon(&["campaign", "plan", config.to_str().unwrap(), "-o", &out]).success().get_output().stderr.clone();
    let said = String::from_utf8(said).unwrap();
    assert!(
        said.contains("60 eV heats this box of 216 atoms by 1074 K") && said.contains("465 atoms or more"),
        "{said}"
    );
    assert!(!said.contains("steps of"), "{said}");
    let plan = std::fs::read_to_string(Path::new(&out).join("plan.csv")).unwrap();
    assert_eq!(plan.lines().count(), 1 + 6);
    let output = knockon(&["campaign", "status", &out]).success().get_output().stdout.clone();
    let status = String::from_utf8(output).unwrap();
    assert!(status.contains("open       6") && status.contains("starts     0 of "), "{status}");

    // As in a clone of a repository that keeps no copy of the potential beside the records.
    std::fs::remove_file(Path::new(&out).join("potential.model")).unwrap();
    let said = knockon(&["campaign", "run", &out]).failure().code(2).get_output().stderr.clone();
    assert!(String::from_utf8(said).unwrap().contains("puts it back"));
    knockon(&["campaign", "plan", config.to_str().unwrap(), "-o", &out]).success();

    scripts_are_sound(&out);
    knockon(&["campaign", "run", &out, "--index", "1"]).success();
    knockon(&["campaign", "run", &out, "--shard", "1/2"]).success();
    knockon(&["campaign", "run", &out, "--runs", "6-9"]).failure();
    knockon(&["campaign", "run", &out]).success();
    let output = knockon(&["campaign", "status", &out]).success().get_output().stdout.clone();
    let status = String::from_utf8(output).unwrap();
    // Grades of all were looked at.
    assert!(status.contains("done       6") && !status.contains("grades"), "{status}");

    // Boxes were not asked for.
    let attribution = ["--author", "A", "--affiliation", "B", "--accepted-flags", "small-box,hot-border"];
    knockon(&[&["campaign", "export", &out, "-o", &table], &attribution[..]].concat()).failure().code(2);
    knockon(&["campaign", "collect", &out, "-o", &table]).success();
    let text = std::fs::read_to_string(&table).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert!(rows.len() == 7 && rows.iter().all(|row| row.len() == rows[0].len()));
    let column = |name: &str| rows[0].iter().position(|title| *title == name).unwrap();
    for row in &rows[1..] {
        assert!(row[column("max_grade")].parse::<f64>().unwrap() > 0.0);
        let sum = |kind: &str| -> u32 {
            ["O", "Ca", "W"].iter().map(|s| row[column(&format!("{kind}_{s}"))].parse::<u32>().unwrap()).sum()
        };
        assert_eq!(sum("vacancies"), sum("interstitials"));
    }
}

#[test]
fn a_plan_warns_of_long_steps() {
    let folder = tempfile::tempdir().unwrap();
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(project.join("examples/cawo4/tiny-campaign.toml")).unwrap();
    let text = text.replace("../..", project.to_str().unwrap()).replace("max_fs = 1.0", "max_fs = 4.0");
    let config = folder.path().join("campaign.toml");
    std::fs::write(&config, text.replace("time_step_fs = 1.0", "time_step_fs = 5.0")).unwrap();
    let out = folder.path().join("campaign");
    let said = knockon(&["campaign", "plan", config.to_str().unwrap(), "-o", out.to_str().unwrap()]);
    let said = String::from_utf8(said.success().get_output().stderr.clone()).unwrap();
    let expected = ["steps of 4 fs and 0.02 A: expected at most 2 fs", "thermalization.time_step_fs is 5"];
    assert!(expected.iter().all(|part| said.contains(part)), "{said}");
}

/// Shells and HyperQueue can read them, and an array has no more tasks than asked for.
fn scripts_are_sound(campaign: &str) {
    knockon(&["campaign", "script", "slurm", campaign, "--max-tasks", "4"]).success();
    knockon(&["campaign", "script", "hyperqueue", campaign, "--cpus", "2"]).success();
    knockon(&["campaign", "script", "slurm", campaign, "--max-tasks", "0"]).failure().code(2);
    knockon(&["campaign", "script", "slurm", campaign, "--max-running", "0"]).failure().code(2);
    knockon(&["campaign", "script", "slurm", campaign, "--time", "1; rm"]).failure().code(2);
    knockon(&["campaign", "script", "slurm", campaign, "--time", "00:03:00"]).failure().code(2);
    let folder = Path::new(campaign);
    for script in
        ["slurm/starts.sh", "slurm/recoils.sh", "slurm/submit.sh", "hyperqueue/task.sh", "hyperqueue/submit.sh"]
    {
        Command::new("bash").arg("-n").arg(folder.join(script)).assert().success();
    }
    arrays_fit_the_cluster(&folder.join("slurm/submit.sh"));
    // Four threads, each with a recoil of 216 atoms.
    for script in ["slurm/starts.sh", "slurm/recoils.sh"] {
        assert!(std::fs::read_to_string(folder.join(script)).unwrap().contains("#SBATCH --mem=517M\n"));
    }
    let array = std::fs::read_to_string(folder.join("slurm/recoils.sh")).unwrap();
    assert!(array.contains("#SBATCH --array=0-3\n") && array.contains("--shard $((SLURM_ARRAY_TASK_ID + 1))/4"));
    // No more than two of them at a time.
    knockon(&["campaign", "script", "slurm", campaign, "--max-tasks", "4", "--max-running", "2"]).success();
    let limited = std::fs::read_to_string(folder.join("slurm/recoils.sh")).unwrap();
    assert_eq!(limited, array.replace("--array=0-3\n", "--array=0-3%2\n"));
    let job: toml::Value =
        toml::from_str(&std::fs::read_to_string(folder.join("hyperqueue/job.toml")).unwrap()).unwrap();
    let tasks = job["task"].as_array().unwrap();
    assert_eq!(tasks.len(), 1 + 6);
    assert!(tasks[1..].iter().all(|task| task["deps"][0].as_integer() == Some(0)));
    // Each has one recoil at a time, and the starts one box.
    for task in tasks {
        let resources = &task["request"][0]["resources"];
        assert_eq!(["cpus", "mem"].map(|name| resources[name].as_integer()), [Some(2), Some(514)]);
    }
}

/// Four tasks are handed over where there is no `scontrol`, and where it allows four; else nothing is.
fn arrays_fit_the_cluster(submit: &Path) {
    let submitted = |scontrol: &str| {
        // Programs of the cluster as functions of the shell.
        let cluster = "sbatch() { echo \"$@\"; }; export -f sbatch; bash \"$0\" --partition=low";
        Command::new("bash").arg("-c").arg(format!("{scontrol}{cluster}")).arg(submit).output().unwrap()
    };
    let limit = |tasks: u32| {
        format!(
            "scontrol() {{ echo 'MaxArraySize            = {tasks}'; echo 'MaxArrayOther = 1'; }}; export -f scontrol; "
        )
    };
    for scontrol in [String::new(), limit(4)] {
        let output = submitted(&scontrol);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && said.ends_with("--partition=low recoils.sh\n"), "{said}");
    }
    let output = submitted(&limit(3));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{said}");
    assert!(said.contains("found 4") && said.contains("--max-tasks 3"), "{said}");
}

#[test]
fn the_record_of_a_recoil_says_how_it_was_made_and_from_no_equilibrium() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/cawo4");
    let [model, crystal] = ["cawo4.model", "cawo4.xyz"].map(|name| data.join(name).to_str().unwrap().to_owned());
    let files = ["recoil", "--model", &model, "--crystal", &crystal, "-o", out, "--cells", "3x3x1"];
    // 20 fs after they were set in motion, tungsten atoms still have most of it.
    let kick = ["--energy-ev", "20", "--direction", "0,0,1", "--time-fs", "10", "--thermalization-fs", "20"];
    let said = knockon(&[&files[..], &kick].concat()).success().get_output().stderr.clone();
    assert!(String::from_utf8(said).unwrap().contains("not in equilibrium"));
    let record = std::fs::read_to_string(folder.path().join("recoil.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert!(record["recoil"]["flags"].as_array().unwrap().contains(&"start".into()), "{record}");
    assert_eq!(record["program"], concat!("knockon ", env!("CARGO_PKG_VERSION")));
    assert_eq!(record["model_hash"], knockon::potential::Model::load(Path::new(&model)).unwrap().hash());
    let protocol: knockon::cascade::Protocol = serde_json::from_value(record["protocol"].clone()).unwrap();
    assert_eq!((protocol.cells, protocol.seed, protocol.graded_every_steps), ([3, 3, 1], 1, None));
    assert_eq!((protocol.thermalization.time_fs, protocol.recoil.time_fs), (20.0, 10.0));
    // The same again is the same; another would take its place.
    let text = || std::fs::read_to_string(folder.path().join("recoil.json")).unwrap();
    let before = text();
    knockon(&[&files[..], &kick].concat()).success();
    for other in [["--energy-ev", "21"], ["--direction", "0,0,-1"], ["--time-fs", "11"], ["--species", "Ca"]] {
        let mut changed = kick.to_vec();
        match changed.iter().position(|argument| *argument == other[0]) {
            Some(index) => changed[index + 1] = other[1],
            None => changed.extend(other),
        }
        let refused = knockon(&[&files[..], &changed].concat()).code(2).get_output().stderr.clone();
        let message = String::from_utf8(refused).unwrap();
        assert!(message.contains("found one of W of 20.0 eV along [0.0000, 0.0000, 1.0000]"), "{message}");
    }
    assert_eq!(text(), before);
    assert!(record["commit"].is_string());
}
