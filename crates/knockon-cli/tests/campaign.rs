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
    knockon(&["campaign", "plan", config.to_str().unwrap(), "-o", &out]).success();
    let plan = std::fs::read_to_string(Path::new(&out).join("plan.csv")).unwrap();
    assert_eq!(plan.lines().count(), 1 + 6);
    let output = knockon(&["campaign", "status", &out]).success().get_output().stdout.clone();
    assert!(String::from_utf8(output).unwrap().contains("open       6"));

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

/// Shells and HyperQueue can read them, and an array has no more tasks than asked for.
fn scripts_are_sound(campaign: &str) {
    knockon(&["campaign", "script", "slurm", campaign, "--max-tasks", "4"]).success();
    knockon(&["campaign", "script", "hyperqueue", campaign, "--cpus", "2"]).success();
    knockon(&["campaign", "script", "slurm", campaign, "--max-tasks", "0"]).failure().code(2);
    knockon(&["campaign", "script", "slurm", campaign, "--time", "1; rm"]).failure().code(2);
    let folder = Path::new(campaign);
    for script in
        ["slurm/starts.sh", "slurm/recoils.sh", "slurm/submit.sh", "hyperqueue/task.sh", "hyperqueue/submit.sh"]
    {
        Command::new("bash").arg("-n").arg(folder.join(script)).assert().success();
    }
    let array = std::fs::read_to_string(folder.join("slurm/recoils.sh")).unwrap();
    assert!(array.contains("#SBATCH --array=0-3\n") && array.contains("--shard $((SLURM_ARRAY_TASK_ID + 1))/4"));
    let job: toml::Value =
        toml::from_str(&std::fs::read_to_string(folder.join("hyperqueue/job.toml")).unwrap()).unwrap();
    let tasks = job["task"].as_array().unwrap();
    assert_eq!(tasks.len(), 1 + 6);
    assert!(tasks[1..].iter().all(|task| task["deps"][0].as_integer() == Some(0)));
    assert_eq!(tasks[6]["request"][0]["resources"]["cpus"].as_integer(), Some(2));
}
