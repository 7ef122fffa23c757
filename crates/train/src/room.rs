//! How much memory this process may have: what the machine has free, what a control group allows, and what the user says.

use std::path::{Path, PathBuf};

use crate::meter::{kilobytes, resident_bytes};

/// The variable that limits the memory of the process.
pub const LIMIT: &str = "LUTHIER_MEMORY_LIMIT";

/// The most bytes the process may have in memory, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes, those that it has already among them.
    pub bytes: u64,
    /// For messages: `the machine has 3.2 GB free`.
    pub why: String,
}

/// The narrowest of the limits; none where the system says nothing.
///
/// # Errors
/// When the variable holds no size.
pub fn room() -> Result<Option<Room>, String> {
    let resident = resident_bytes();
    let free = kilobytes("/proc/meminfo", "MemAvailable:") * 1024;
    let mut limits = Vec::new();
    if free > 0 {
        let bytes = resident + free;
        limits.push(Room { bytes, why: format!("the machine has room for {}", gigabytes(bytes)) });
    }
    limits.extend(group_free(Path::new("/sys/fs/cgroup"), Path::new("/proc/self/cgroup")).map(|free| {
        let bytes = resident + free;
        Room { bytes, why: format!("the memory limit of its control group leaves room for {}", gigabytes(bytes)) }
    }));
    if let Ok(text) = std::env::var(LIMIT) {
        let bytes = parse_size(&text)
            .ok_or_else(|| format!("{LIMIT} is \"{text}\"; it must be a size such as 8GB, 7.5GiB or 8000000000"))?;
        limits.push(Room { bytes, why: format!("{LIMIT} allows {}", gigabytes(bytes)) });
    }
    Ok(limits.into_iter().min_by_key(|limit| limit.bytes))
}

/// Bytes for people.
pub fn gigabytes(bytes: u64) -> String {
    match bytes as f64 {
        bytes if bytes >= 1e9 => format!("{:.2} GB", bytes / 1e9),
        bytes => format!("{:.0} MB", bytes / 1e6),
    }
}

/// `8GB`, `7.5 GiB`, `500M`, or bytes; at least 1.
fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "m" | "mb" => 1e6,
        "mib" => f64::from(1 << 20),
        "g" | "gb" => 1e9,
        "gib" => f64::from(1 << 30),
        _ => return None,
    };
    let bytes = number * unit;
    (1.0..1e18).contains(&bytes).then_some(bytes as u64)
}

/// What is left of the limits of the process's control group and those above it. Pages of files that the system can drop
/// count as free.
fn group_free(root: &Path, groups: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(groups).ok()?;
    text.lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_, kinds, path) = (fields.next()?, fields.next()?, fields.next()?);
            let path = path.trim_start_matches('/');
            // Version 2 has one tree and no kinds; version 1 a tree for memory.
            match kinds {
                "" => least_free(root, &root.join(path), ["memory.max", "memory.current", "inactive_file"]),
                kinds if kinds.split(',').any(|kind| kind == "memory") => {
                    let root = root.join("memory");
                    let files = ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"];
                    least_free(&root, &root.join(path), files)
                }
                _ => None,
            }
        })
        .min()
}

fn least_free(root: &Path, group: &Path, [limit, usage, droppable]: [&str; 3]) -> Option<u64> {
    let number = |path: PathBuf| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    group
        .ancestors()
        .take_while(|dir| dir.starts_with(root))
        .filter_map(|dir| {
            let limit = number(dir.join(limit))?;
            let used = number(dir.join(usage))?;
            let stat = std::fs::read_to_string(dir.join("memory.stat")).unwrap_or_default();
            let field = stat.lines().find_map(|line| line.strip_prefix(droppable)?.trim().parse::<u64>().ok());
            Some((limit + field.unwrap_or(0)).saturating_sub(used))
        })
        // Version 1 writes no limit as a number near the largest.
        .filter(|&free| free < 1 << 60)
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let sizes = ["8GB", "1.5 GiB", "500m", "4096", "0", "GB", "8 TBx", "-1G"].map(parse_size);
        let none = None;
        assert_eq!(sizes, [Some(8_000_000_000), Some(3 << 29), Some(500_000_000), Some(4096), none, none, none, none]);
    }

    #[test]
    fn the_tightest_control_group_above_the_process_decides() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("groups", "0::/outer/inner\n");
        write("outer/memory.max", "1000\n");
        write("outer/memory.current", "700\n");
        write("outer/memory.stat", "anon 500\ninactive_file 100\n");
        write("outer/inner/memory.max", "max\n");
        write("outer/inner/memory.current", "600\n");
        let free = || group_free(dir.path(), &dir.path().join("groups"));
        assert_eq!(free(), Some(400));
        write("memory/jobs/memory.limit_in_bytes", "900\n");
        write("memory/jobs/memory.usage_in_bytes", "650\n");
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        write("memory/memory.usage_in_bytes", "1000\n");
        write("groups", "4:cpu,memory:/jobs\n0::/\n");
        assert_eq!(free(), Some(250));
    }
}
