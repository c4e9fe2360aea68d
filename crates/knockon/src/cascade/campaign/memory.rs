//! How much memory recoils take, and how much this process may still take.

use std::fs::read_to_string;
use std::path::Path;

/// What a recoil takes, per atom: 184 MiB were measured for 49152 atoms (docs/performance.md), and its checkpoint is made in
/// memory.
const BYTES_PER_ATOM: u64 = 6000;
/// What the program takes without any recoil: 75 MiB were measured with the potential that ships and its grades, in small boxes.
const BYTES_OF_PROGRAM: u64 = 512 << 20;

/// What one recoil takes in a box of so many atoms.
pub(super) fn bytes_of_recoil(n_atoms: usize) -> u64 {
    BYTES_PER_ATOM.saturating_mul(n_atoms as u64)
}

/// Memory in bytes, with room to spare, for a process that follows so many recoils side by side in boxes of `n_atoms` atoms.
pub fn memory_bytes(n_atoms: usize, side_by_side: usize) -> u64 {
    BYTES_OF_PROGRAM.saturating_add(bytes_of_recoil(n_atoms).saturating_mul(side_by_side as u64))
}

/// The least that machine, control group and Slurm job leave; None where none of them says.
pub(super) fn available_bytes() -> Option<u64> {
    let read = |path: &str| read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| of_machine(&text));
    let groups = read("/proc/self/cgroup").and_then(|text| of_groups(&text, Path::new("/sys/fs/cgroup")));
    let job = std::env::var("SLURM_MEM_PER_NODE").ok().and_then(|text| of_job(&text));
    [machine, groups, job].into_iter().flatten().min()
}

/// Free memory of the machine (proc_meminfo(5)).
fn of_machine(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| 1024 * kib)
}

/// What the limits of the process's control group and of all above it leave (version 2, cgroups(7)). `text` names the group
/// below `mount`.
fn of_groups(text: &str, mount: &Path) -> Option<u64> {
    let own = mount.join(text.lines().find_map(|line| line.strip_prefix("0::/"))?);
    own.ancestors().take_while(|group| group.starts_with(mount)).filter_map(of_group).min()
}

/// None without a limit, which is then no number.
fn of_group(group: &Path) -> Option<u64> {
    let number = |name: &str| read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
    let (limit, used) = (number("memory.max")?, number("memory.current")?);
    // Pages of files that nobody looks at are the first to go, so that they are as good as free.
    let details = read_to_string(group.join("memory.stat")).unwrap_or_default();
    let idle = details.lines().find_map(|line| line.strip_prefix("inactive_file ")?.trim().parse().ok());
    Some(limit.saturating_sub(used.saturating_sub(idle.unwrap_or(0))))
}

/// What Slurm gives the job on this machine, in MiB; 0 is all that the machine has.
fn of_job(text: &str) -> Option<u64> {
    text.trim().parse::<u64>().ok().filter(|mib| *mib > 0).map(|mib| mib << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Measured: 184 MiB (docs/performance.md).
    #[test]
    fn the_box_of_the_paper_has_room() {
        assert_eq!(memory_bytes(0, 4), 512 << 20);
        let each = memory_bytes(49152, 2) - memory_bytes(49152, 1);
        let mib = |n: u64| n << 20;
        assert!((mib(184)..mib(400)).contains(&each), "{each}");
    }

    #[test]
    fn the_tightest_limit_counts_and_what_is_missing_is_none() {
        assert_eq!(of_machine("MemTotal:  100 kB\nMemAvailable:    30 kB\n"), Some(30 * 1024));
        assert_eq!(of_machine("MemTotal:  100 kB\n"), None);
        assert_eq!((of_job("4096\n"), of_job("0"), of_job("")), (Some(4 << 30), None, None));

        let mount = tempfile::tempdir().expect("a folder");
        let write = |file: &str, text: &str| {
            let path = mount.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text).expect("written");
        };
        let left = || of_groups("1:name=systemd:/old\n0::/job/step\n", mount.path());
        assert_eq!(left(), None);
        write("job/step/memory.max", "max\n");
        write("job/step/memory.current", "700\n");
        assert_eq!(left(), None);
        write("job/memory.max", "1000\n");
        write("job/memory.current", "800\n");
        assert_eq!(left(), Some(200));
        write("job/memory.stat", "anon 500\nfile 300\ninactive_file 250\n");
        assert_eq!(left(), Some(450));
        write("job/step/memory.max", "600\n");
        assert_eq!(left(), Some(0));
        // In a container that sees itself as the root.
        write("memory.max", "90\n");
        write("memory.current", "20\n");
        assert_eq!(of_groups("0::/\n", mount.path()), Some(70));
    }
}
