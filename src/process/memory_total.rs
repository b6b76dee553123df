//! The memory that this process may have: what its cgroup says, else what the machine has.
//!
//! A percentage of the machine's memory is worth nothing in a container that may have a hundredth of it. A
//! cgroup may lie within others, of which the tightest counts.

use std::fs;
use std::path::Path;

/// A limit at or above this is none: cgroup v1 writes "no limit" as almost 2^63.
const NO_LIMIT_BYTES: u64 = 1 << 60;

/// Bytes that the process may have, with the file system at `root`; `None` where nobody says.
pub(super) fn total_bytes(root: &Path) -> Option<u64> {
    let machine = machine_bytes(root);
    let limit = cgroup_bytes(root).filter(|bytes| *bytes > 0 && *bytes < NO_LIMIT_BYTES);
    match (machine, limit) {
        (Some(machine), Some(limit)) => Some(machine.min(limit)),
        (machine, limit) => limit.or(machine),
    }
}

/// Bytes of this process that are in memory, by `/proc/self/statm` under `root`.
pub(super) fn resident_bytes(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/self/statm")).ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    // Linux reports pages of 4 KiB on every machine that burngate is built for, but those with large pages
    // say so in the auxiliary vector, which safe code cannot read: smaps_rollup is in kB, and slower.
    if cfg!(target_arch = "x86_64") {
        return Some(pages * 4096);
    }
    let status = fs::read_to_string(root.join("proc/self/status")).ok()?;
    kilobytes(&status, "VmRSS:")
}

fn machine_bytes(root: &Path) -> Option<u64> {
    kilobytes(&fs::read_to_string(root.join("proc/meminfo")).ok()?, "MemTotal:")
}

/// The figure behind `name` in a file of lines such as `MemTotal:  1024 kB`.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// The tightest limit of the cgroups around this process.
fn cgroup_bytes(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mut tightest = None::<u64>;
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            list if list.split(',').any(|one| one == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mount = root.join(mount);
        let own = mount.join(path.trim_start_matches('/'));
        for folder in own.ancestors().take_while(|folder| folder.starts_with(&mount)) {
            let limit = fs::read_to_string(folder.join(file))
                .ok()
                .and_then(|text| text.trim().parse::<u64>().ok());
            tightest = limit.into_iter().chain(tightest).min();
        }
    }
    tightest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemTotal:       8192 kB\nMemFree:  1 kB\n");

    #[test]
    fn the_machine_counts_where_there_is_no_cgroup() {
        assert_eq!(total_bytes(root(&[MACHINE]).path()), Some(8 << 20));
        assert_eq!(total_bytes(root(&[]).path()), None);
    }

    #[test]
    fn the_tightest_cgroup_counts() {
        let unified = root(&[
            MACHINE,
            ("proc/self/cgroup", "0::/pod/container\n"),
            ("sys/fs/cgroup/pod/container/memory.max", "max\n"),
            ("sys/fs/cgroup/pod/memory.max", "4194304\n"),
            ("sys/fs/cgroup/memory.max", "5242880\n"),
        ]);
        assert_eq!(total_bytes(unified.path()), Some(4 << 20));
        let older = root(&[
            MACHINE,
            ("proc/self/cgroup", "5:cpu:/x\n3:memory,hugetlb:/x\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "2097152\n"),
        ]);
        assert_eq!(total_bytes(older.path()), Some(2 << 20));
    }

    #[test]
    fn a_limit_above_the_machine_is_none() {
        let endless = root(&[
            MACHINE,
            ("proc/self/cgroup", "3:memory:/\n"),
            (
                "sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
        ]);
        assert_eq!(total_bytes(endless.path()), Some(8 << 20));
    }

    #[test]
    fn this_process_is_somewhere_in_memory() {
        let root = Path::new("/");
        if root.join("proc/self/statm").exists() {
            let (resident, total) = (resident_bytes(root).unwrap(), total_bytes(root).unwrap());
            assert!(resident > 1 << 20 && resident < total, "{resident} of {total}");
        }
    }
}
