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
    /// Time limit of each Slurm job; one that needs longer queues again.
    #[arg(long, value_name = "HH:MM:SS", default_value = "24:00:00")]
    time: String,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Scheduler {
    Slurm,
    Hyperqueue,
}

/// Writes the scripts into the folder of the campaign.
pub(super) fn write(arguments: &ScriptArguments) -> Result<()> {
    let plan = Plan::load(&arguments.folder)?;
    if arguments.cpus == 0 || arguments.max_tasks == 0 {
        bail!("expected at least one CPU and one task");
    }
    if !arguments.time.chars().all(|c| c.is_ascii_digit() || ":-".contains(c)) {
        bail!("expected a time limit such as 24:00:00, found {}", arguments.time);
    }
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

type Files = Vec<(&'static str, String)>;

/// A job that makes the starts, then an array of jobs that share the recoils.
fn slurm(arguments: &ScriptArguments, run: &str, folder: &Path, plan: &Plan) -> Result<Files> {
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
             # Two minutes before the time is up.\n\
             #SBATCH --signal=B:USR1@120\n\
             {command} &\n\
             {FORWARD_SIGNALS}",
            log.display()
        )
    };
    let array = format!("#SBATCH --array=0-{}\n", tasks - 1);
    let share = format!("{run} --wait --shard $((SLURM_ARRAY_TASK_ID + 1))/{tasks}");
    let submit = format!(
        "#!/bin/bash\n\
         # Arguments are handed to sbatch, such as --partition=NAME --account=NAME. To be called again at any time: what is\n\
         # done is kept.\n\
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
