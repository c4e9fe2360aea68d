//! Independent jobs at the same time, each on threads of its own.

use crate::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Does all jobs and returns their results in the order of the jobs. `n_threads` has one entry for each worker: the rayon threads
/// it gets. A worker takes one job after the other. After a job that fails no others are begun; the error is that of the first
/// one that failed.
pub(crate) fn side_by_side<J: Sync, T: Send>(
    jobs: &[J],
    n_threads: &[usize],
    work: impl Fn(&J) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let results = Mutex::new(Vec::new());
    let worker = || {
        while !stop.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(index) else { break };
            let result = work(job);
            stop.fetch_or(result.is_err(), Ordering::Relaxed);
            results.lock().expect("no worker panics with it").push(result.map(|value| (index, value)));
        }
    };
    let pool = |n_threads: &usize| rayon::ThreadPoolBuilder::new().num_threads(*n_threads).build();
    let pools: Vec<rayon::ThreadPool> = n_threads
        .iter()
        .map(pool)
        .collect::<Result<_, _>>()
        .map_err(|e| Error::computation(format!("cannot start a thread: {e}"), "Use fewer threads"))?;
    std::thread::scope(|scope| {
        for pool in &pools {
            scope.spawn(|| pool.install(worker));
        }
    });
    let results = results.into_inner().expect("no worker panics with it");
    let mut done: Vec<(usize, T)> = results.into_iter().collect::<Result<_, _>>()?;
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, value)| value).collect())
}

/// The threads of this process shared out among so many workers; the first get what is left over.
pub(crate) fn threads_shared_by(n_workers: usize) -> Vec<usize> {
    let n_threads = rayon::current_num_threads();
    (0..n_workers).map(|worker| n_threads / n_workers + usize::from(worker < n_threads % n_workers)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_jobs_and_workers_have_their_threads() {
        let jobs: Vec<usize> = (0..20).collect();
        let work = |job: &usize| Ok((*job, rayon::current_num_threads()));
        let found = side_by_side(&jobs, &[1, 2], work).expect("no job fails");
        assert!(found.iter().map(|(job, _)| job).eq(&jobs));
        assert!(found.iter().all(|(_, n_threads)| [1, 2].contains(n_threads)), "{found:?}");
        assert!(side_by_side(&[], &[], work).expect("nothing to do").is_empty());
    }

    #[test]
    fn after_a_job_that_fails_no_others_are_begun() {
        let begun = AtomicUsize::new(0);
        let work = |job: &usize| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *job < 3 { Ok(()) } else { Err(Error::computation(format!("job {job} failed"), "Try another")) }
        };
        let jobs: Vec<usize> = (0..9).collect();
        let error = side_by_side(&jobs, &[1], work).expect_err("one fails").to_string();
        assert!(error.contains("job 3 failed") && begun.load(Ordering::Relaxed) == 4, "{error}");
    }

    #[test]
    fn threads_are_shared_out_without_rest() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(7).build().expect("threads");
        assert_eq!(pool.install(|| threads_shared_by(3)), [3, 2, 2]);
        assert_eq!(pool.install(|| threads_shared_by(7)), [1; 7]);
        assert!(pool.install(|| threads_shared_by(0)).is_empty());
    }
}
