//! Control groups: limits for a server's processes all together. Version 2 where a part of the tree is
//! ours to use (systemd's `Delegate=yes`), version 1 as root; elsewhere none, and limits are
//! those of each process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::fault::InLayer as _;
use crate::{Layer, LayerFault, Limits};

const ROOT: &str = "/sys/fs/cgroup";
const PREFIX: &str = "bartizan-";

/// Which limits a group holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Holds {
    pub memory: bool,
}

/// A server's own group: one folder in version 2, one for each controller in version 1.
#[derive(Debug, Default)]
pub(super) struct Group {
    folders: Vec<PathBuf>,
    holds: Holds,
}

impl Group {
    /// Makes it where that is possible.
    pub fn make(name: &str, limits: &Limits) -> Group {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let name = format!("{PREFIX}{}-{name}", std::process::id());
        Group::within(Path::new(ROOT), &own, &name, limits)
    }

    fn within(root: &Path, own: &str, name: &str, limits: &Limits) -> Group {
        version_2(root, own, name, limits).unwrap_or_else(|| version_1(root, own, name, limits))
    }

    pub fn holds(&self) -> Holds {
        self.holds
    }

    /// This process and what it starts belong to it from now on.
    pub fn join(&self) -> Result<(), LayerFault> {
        self.folders.iter().try_for_each(|folder| {
            fs::write(folder.join("cgroup.procs"), "0")
                .layer(Layer::Limits, "joining a control group")
        })
    }

    /// Takes it away once it is empty.
    pub fn remove(&self) {
        for folder in &self.folders {
            // A process that is just gone may still be counted.
            let _ = fs::remove_dir(folder);
        }
    }
}

fn version_2(root: &Path, own: &str, name: &str, limits: &Limits) -> Option<Group> {
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    if !root.join("cgroup.controllers").exists() {
        return None;
    }
    // Groups with processes have no groups below them: ours stand beside the gateway's own.
    let parent = root.join(Path::new(own).parent().unwrap_or(Path::new("")));
    let mut group = Group::default();
    let made = || -> io::Result<PathBuf> {
        sweep(&parent);
        fs::write(parent.join("cgroup.subtree_control"), "+memory +pids +cpu")?;
        let folder = parent.join(name);
        fs::create_dir(&folder)?;
        Ok(folder)
    };
    let folder = made().ok()?;
    group.folders.push(folder.clone());
    let write = |file: &str, text: String| fs::write(folder.join(file), text);
    let limited = write("memory.max", limits.memory.to_string())
        .and_then(|()| write("pids.max", limits.processes.to_string()));
    if limited.is_err() {
        group.remove();
        return None;
    }
    // Not every kernel has these.
    let _ = write("memory.swap.max", "0".to_owned());
    let _ = write("memory.oom.group", "1".to_owned());
    if let Some(percent) = limits.cpu {
        let _ = write("cpu.max", format!("{} 100000", u64::from(percent) * 1000));
    }
    group.holds.memory = true;
    Some(group)
}

fn version_1(root: &Path, own: &str, name: &str, limits: &Limits) -> Group {
    let quota = limits.cpu.map(|percent| (u64::from(percent) * 1000).to_string());
    let wanted = [
        ("memory", "memory.limit_in_bytes", Some(limits.memory.to_string())),
        ("pids", "pids.max", Some(limits.processes.to_string())),
        ("cpu", "cpu.cfs_quota_us", quota),
    ];
    let mut group = Group::default();
    for (controller, file, limit) in wanted {
        let Some(limit) = limit else { continue };
        let Some(parent) = hierarchy(root, own, controller) else { continue };
        sweep(&parent);
        let folder = parent.join(name);
        if fs::create_dir(&folder).is_err() {
            continue;
        }
        if fs::write(folder.join(file), &limit).is_err() {
            let _ = fs::remove_dir(&folder);
            continue;
        }
        if controller == "memory" {
            // Memory and swap together, where swap is counted.
            let _ = fs::write(folder.join("memory.memsw.limit_in_bytes"), &limit);
            group.holds.memory = true;
        }
        group.folders.push(folder);
    }
    group
}

/// The gateway's own place in the tree of one controller: limits that it is under go on to hold.
fn hierarchy(root: &Path, own: &str, controller: &str) -> Option<PathBuf> {
    let line = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let controllers = parts.next()?;
        controllers.split(',').any(|of| of == controller).then(|| parts.next())?
    })?;
    let mount = root.join(controller);
    let place = mount.join(line.trim_start_matches('/'));
    // In a container the path may be the machine's, of which only the mount's root is visible.
    [place, mount].into_iter().find(|folder| folder.join("cgroup.procs").exists())
}

/// Takes away groups whose keeper was killed.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let keeper = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let keeper = keeper.and_then(|rest| rest.split('-').next()?.parse().ok());
        let gone = |pid| kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH);
        if keeper.is_some_and(gone) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        root
    }

    fn read(root: &tempfile::TempDir, file: &str) -> String {
        fs::read_to_string(root.path().join(file)).unwrap()
    }

    #[test]
    fn version_2_stands_beside_the_gateways_own_group() {
        let root = tree(&["cgroup.controllers", "svc/gateway/cgroup.procs"]);
        let limits = Limits { cpu: Some(50), ..Limits::default() };
        let group = Group::within(root.path(), "0::/svc/gateway\n", "bartizan-1-x", &limits);
        assert_eq!(group.folders, [root.path().join("svc/bartizan-1-x")]);
        assert!(group.holds.memory);
        assert_eq!(read(&root, "svc/cgroup.subtree_control"), "+memory +pids +cpu");
        assert_eq!(read(&root, "svc/bartizan-1-x/memory.max"), "1073741824");
        assert_eq!(read(&root, "svc/bartizan-1-x/pids.max"), "128");
        assert_eq!(read(&root, "svc/bartizan-1-x/cpu.max"), "50000 100000");
    }

    #[test]
    fn version_1_has_a_folder_for_each_controller_that_is_there() {
        let root = tree(&["memory/in/a/container/cgroup.procs", "pids/cgroup.procs"]);
        let own = "8:pids:/elsewhere\n4:memory:/in/a/container\n1:cpu:/\n0::/\n";
        let group = Group::within(root.path(), own, "bartizan-1-x", &Limits::default());
        let folders = ["memory/in/a/container/bartizan-1-x", "pids/bartizan-1-x"];
        assert_eq!(group.folders, folders.map(|folder| root.path().join(folder)));
        assert_eq!(read(&root, "pids/bartizan-1-x/pids.max"), "128");
    }

    #[test]
    fn without_any_there_is_none() {
        let root = tempfile::tempdir().unwrap();
        let group = Group::within(root.path(), "0::/\n", "bartizan-1-x", &Limits::default());
        assert!(group.folders.is_empty() && !group.holds.memory);
    }

    #[test]
    fn groups_of_dead_keepers_are_swept() {
        let root = tree(&[]);
        // No process has this number: it is beyond the kernel's bound.
        let dead = root.path().join("bartizan-4194305-x");
        let alive = root.path().join(format!("bartizan-{}-x", std::process::id()));
        for folder in [&dead, &alive] {
            fs::create_dir(folder).unwrap();
        }
        sweep(root.path());
        assert!(!dead.exists() && alive.exists());
    }
}
