//! Scripts that do a campaign under Slurm or HyperQueue. All that they do is to call `knockon campaign run`, which may be
//! stopped, killed and called again as often as a scheduler likes.

use anyhow::{Context, Result, bail};
use knockon::cascade::{Plan, memory_bytes};
use knockon::io::write_atomically;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::progress::say;

/// Arguments of `knockon campaign script`.
#[derive(clap::Args)]
pub(super) struct ScriptArguments {
    /// Who shares out the work.
    scheduler: Scheduler,
    /// Folder of the campaign, which all machines see under the same path.
    folder: PathBuf,
    /// Threads of each task.
    #[arg(long, value_name = "N", default_value_t = 4)]
    cpus: usize,
    /// Largest number of tasks in the Slurm array, at most the cluster's MaxArraySize; with more recoils, tasks do several.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    max_tasks: usize,
    /// Largest number of tasks of the Slurm array that run at the same time; by default as many as the cluster has room for.
    #[arg(long, value_name = "N")]
    max_running: Option<usize>,
    /// Time limit of each Slurm job, at least ten minutes; one that needs longer queues again.
    #[arg(long, value_name = "HH:MM:SS", default_value = "24:00:00")]
    time: String,
}

/// A job is told to stop so long before its time is up.
const NOTICE_S: u64 = 120;
/// Jobs with less time than this (s) would be told to stop when they have hardly begun: Slurm looks at limits once in half a
/// minute, and what was not done is begun again by the next job.
const LEAST_TIME_S: u64 = 600;

#[derive(Clone, Copy, clap::ValueEnum)]
enum Scheduler {
    Slurm,
    Hyperqueue,
}

/// Writes the scripts into the folder of the campaign.
pub(super) fn write(arguments: &ScriptArguments) -> Result<()> {
    let plan = Plan::load(&arguments.folder)?;
    if arguments.cpus == 0 || arguments.max_tasks == 0 || arguments.max_running == Some(0) {
        bail!("expected at least one CPU and one task");
    }
    check_time(&arguments.time)?;
    let folder = std::fs::canonicalize(&arguments.folder).context("cannot find the folder of the campaign")?;
    let program = std::env::current_exe().context("cannot find this program")?;
    let run = format!("{} --threads {} campaign run {}", quoted(&program)?, arguments.cpus, quoted(&folder)?);
    let (name, files) = match arguments.scheduler {
        Scheduler::Slurm => ("slurm", slurm(arguments, &run, &folder.join("slurm"), &plan)?),
        Scheduler::Hyperqueue => ("hyperqueue", hyperqueue(arguments, &run, &folder.join("hyperqueue"), &plan)?),
    };
    for (file, text) in files {
        write_atomically(&folder.join(name).join(file), text.as_bytes())?;
    }
    say(&format!("submit with: bash {}", folder.join(name).join("submit.sh").display()));
    Ok(())
}

/// Fails if jobs with this time limit could not do anything.
fn check_time(text: &str) -> Result<()> {
    let Some(seconds) = seconds(text) else { bail!("expected a time limit such as 24:00:00, found {text}") };
    // Slurm takes zero for no limit.
    if (1..LEAST_TIME_S).contains(&seconds) {
        bail!(
            "expected a time limit of at least {} minutes, because jobs are told to stop {NOTICE_S} s before it, found {text} \
             ({seconds} s). Give hours, minutes and seconds, such as --time 24:00:00",
            LEAST_TIME_S / 60
        );
    }
    Ok(())
}

/// A time limit in seconds, as Slurm reads it: minutes, minutes:seconds or hours:minutes:seconds, or after days and a hyphen
/// hours, hours:minutes or hours:minutes:seconds. None if it is none of these.
fn seconds(text: &str) -> Option<u64> {
    let numbers = |text: &str| {
        let all = text.split(':').map(|part| part.parse::<u32>().ok().map(u64::from));
        all.collect::<Option<Vec<u64>>>()
    };
    let (days, time) = match text.split_once('-') {
        Some((days, time)) => (Some(u64::from(days.parse::<u32>().ok()?)), numbers(time)?),
        None => (None, numbers(text)?),
    };
    let (hours, minutes, seconds) = match (days, time.as_slice()) {
        (Some(_), [hours]) => (*hours, 0, 0),
        (Some(_), [hours, minutes]) => (*hours, *minutes, 0),
        (None, [minutes]) => (0, *minutes, 0),
        (None, [minutes, seconds]) => (0, *minutes, *seconds),
        (_, [hours, minutes, seconds]) => (*hours, *minutes, *seconds),
        _ => return None,
    };
    Some(((24 * days.unwrap_or(0) + hours) * 60 + minutes) * 60 + seconds)
}

type Files = Vec<(&'static str, String)>;

/// A job that makes the starts, then an array of jobs that share the recoils.
fn slurm(arguments: &ScriptArguments, run: &str, folder: &Path, plan: &Plan) -> Result<Files> {
    let unfit = |c: char| c.is_whitespace() || matches!(c, '%' | '\\' | '"' | '\'');
    if folder.display().to_string().contains(unfit) {
        bail!(
            "{}: expected a path that Slurm takes in #SBATCH lines, without blanks, quotes, % or backslashes. Move the campaign to another folder",
            folder.display()
        );
    }
    let tasks = plan.runs.len().min(arguments.max_tasks);
    // As many recoils side by side as there are threads.
    let memory_mib = memory_mib(plan, arguments.cpus);
    let job = |name: &str, array: &str, command: &str, log: &str| {
        let ScriptArguments { cpus, time, .. } = arguments;
        let log = folder.join(log);
        format!(
            "#!/bin/bash\n\
             #SBATCH --job-name=knockon-{name}\n{array}\
             #SBATCH --cpus-per-task={cpus}\n\
             #SBATCH --mem={memory_mib}M\n\
             #SBATCH --time={time}\n\
             #SBATCH --requeue\n\
             #SBATCH --open-mode=append\n\
             #SBATCH --output={}\n\
             # So many seconds before the time is up.\n\
             #SBATCH --signal=B:USR1@{NOTICE_S}\n\
             {command} &\n\
             {FORWARD_SIGNALS}",
            log.display()
        )
    };
    let at_a_time = arguments.max_running.map_or(String::new(), |n| format!("%{n}"));
    let array = format!("#SBATCH --array=0-{}{at_a_time}\n", tasks - 1);
    let share = format!("{run} --wait --shard $((SLURM_ARRAY_TASK_ID + 1))/{tasks}");
    let submit = format!(
        "#!/bin/bash\n\
         # Arguments are handed to sbatch, such as --partition=NAME --account=NAME, for the job of the starts and for the\n\
         # array of the recoils alike. To be called again at any time: what is done is kept.\n\
         set -e\n\
         cd {}\n\
         tasks={tasks}\n\
         {CHECK_ARRAY}\
         starts=$(sbatch --parsable \"$@\" starts.sh)\n\
         sbatch --dependency=afterok:${{starts%%;*}} --kill-on-invalid-dep=yes \"$@\" recoils.sh\n",
        quoted(folder)?
    );
    Ok(vec![
        ("starts.sh", job("starts", "", &format!("{run} --starts-only"), "starts-%j.log")),
        ("recoils.sh", job("recoils", &array, &share, "recoils-%A_%a.log")),
        ("submit.sh", submit),
    ])
}

/// Slurm numbers the tasks of an array from 0 to less than this limit, and says no more than that an array is invalid.
const CHECK_ARRAY: &str = "limit=$(scontrol show config 2> /dev/null | sed -n 's/^MaxArraySize *= *//p')
if [ -n \"$limit\" ] && [ $tasks -gt \"$limit\" ]; then
    echo \"error: expected at most $limit tasks (MaxArraySize of this cluster), found $tasks in recoils.sh. Write the scripts again:\" \\
        \"knockon campaign script slurm with --max-tasks $limit\" >&2
    exit 2
fi
";

/// The job takes its place in the queue again if it was its own time limit that stopped it. Where a job is preempted or
/// requeued, Slurm sends SIGTERM and does that itself; where it is cancelled, it should be gone.
const FORWARD_SIGNALS: &str = "child=$!
trap 'kill -TERM $child' TERM
trap 'late=yes; kill -TERM $child' USR1
# A signal ends a wait before the program ends.
wait $child
while kill -0 $child 2> /dev/null; do wait $child; done
wait $child
code=$?
if [ $code = 75 ] && [ \"$late\" = yes ]; then
    scontrol requeue $SLURM_JOB_ID && sleep 60
fi
exit $code
";

/// One task for the starts, and one for each recoil after it.
fn hyperqueue(arguments: &ScriptArguments, run: &str, folder: &Path, plan: &Plan) -> Result<Files> {
    let task = format!(
        "#!/bin/bash\n\
         {run} \"$@\"\n\
         code=$?\n\
         # The worker is being taken away: HyperQueue gives the task to another one when it is gone.\n\
         [ $code = 75 ] && sleep 600\n\
         exit $code\n"
    );
    // One recoil at a time. MiB since HyperQueue 0.17; its workers find out by themselves what they have.
    let memory_mib = memory_mib(plan, 1);
    let script = folder.join("task.sh");
    let script = script.to_str().context("expected a folder whose name is text")?;
    let mut job = String::from("name = \"knockon\"\n");
    let mut push = |id: usize, options: &[&str], after: &str| {
        let command: Vec<&str> = ["bash", script].iter().chain(options).copied().collect();
        write!(
            job,
            "\n[[task]]\nid = {id}\n{after}command = {command:?}\ncrash_limit = 1000\n\n[[task.request]]\n\
             resources = {{ \"cpus\" = {}, \"mem\" = {memory_mib} }}\n",
            arguments.cpus
        )
    };
    push(0, &["--starts-only"], "")?;
    for run in 0..plan.runs.len() {
        push(1 + run, &["--wait", "--index", &run.to_string()], "deps = [0]\n")?;
    }
    let submit = format!(
        "#!/bin/bash\n# To be called again at any time: what is done is kept.\ncd {} && hq job submit-file job.toml\n",
        quoted(folder)?
    );
    Ok(vec![("task.sh", task), ("job.toml", job), ("submit.sh", submit)])
}

/// What a task needs that follows so many recoils side by side.
fn memory_mib(plan: &Plan, side_by_side: usize) -> u64 {
    memory_bytes(plan.n_atoms(), side_by_side).div_ceil(1 << 20)
}

/// A path as one word of a shell command.
fn quoted(path: &Path) -> Result<String> {
    let text = path.to_str().context("expected a path that is text")?;
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_limits_are_read_as_slurm_reads_them() {
        let cases = [
            ("30", 1800),
            ("30:15", 1815),
            ("24:00:00", 86_400),
            ("2-12", 216_000),
            ("1-2:30", 95_400),
            ("1-00:00:01", 86_401),
            ("0", 0),
        ];
        for (text, expected) in cases {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for text in ["", "1; rm", "1:2:3:4", "a-1", "-1", "1-", "1-1:2:3:4", "99999999999"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn jobs_need_time_before_they_are_told_to_stop() {
        assert!(["10", "24:00:00", "1-0", "0"].iter().all(|text| check_time(text).is_ok()));
        for text in ["9", "09:59", "00:02:00"] {
            let error = check_time(text).expect_err("too short").to_string();
            assert!(error.contains("at least 10 minutes") && error.contains(text), "{error}");
        }
        assert!(check_time("1; rm").expect_err("no time").to_string().contains("such as 24:00:00"));
    }
}
