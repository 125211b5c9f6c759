//! The jail's root: an empty file system in memory, read-only in the end, with what the server needs
//! bound into it.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{AccessFlags, chdir, pivot_root};

use super::etc;
use super::identity::User;
use super::idmap::Maps;
use super::mount::{self, Tree};
use crate::fault::InLayer as _;
use crate::spec::{Access, Spec};
use crate::{Layer, LayerFault, Network};

/// Where the new root is put together; whatever was there stays visible to nobody else.
const BASE: &str = "/tmp";
const DEVICES: [&str; 5] = ["full", "null", "random", "urandom", "zero"];
const DEVICE_LINKS: [(&str, &str); 4] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
];

/// Leaves the machine's file system for one made of the specification.
pub(super) fn build(
    spec: &Spec,
    contents: &[u8],
    user: &User,
    maps: &Maps,
) -> Result<(), LayerFault> {
    let none = None::<&Path>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .layer(Layer::MountNamespace, "no mount reaches the machine's")?;
    let trees = copies(spec, maps)?;
    let devices = devices()?;
    tmpfs(Path::new(BASE), "mode=755,size=64m,nr_inodes=16k")?;
    mount_proc()?;
    chdir(BASE).layer(Layer::Root, "entering it")?;
    pivot_root(".", ".").layer(Layer::Root, "pivot_root")?;
    umount2(".", MntFlags::MNT_DETACH).layer(Layer::Root, "leaving the machine's")?;
    chdir("/").layer(Layer::Root, "entering it")?;

    private_folders(spec, user)?;
    for (path, tree) in &devices {
        place(path, tree).layer(Layer::Root, &path.display().to_string())?;
    }
    for (path, tree) in &trees {
        place(path, tree).layer(Layer::Root, &path.display().to_string())?;
    }
    furnish(spec, contents, user).layer(Layer::Root, "its own files")?;
    mount::restrict_mount(Path::new("/"), mount::READ_ONLY)
        .layer(Layer::Root, "making it read-only")
}

/// What is to be bound, opened while the machine's file system is still there.
fn copies<'a>(spec: &'a Spec, maps: &Maps) -> Result<Vec<(&'a Path, Tree)>, LayerFault> {
    let copy = |path: &'a Path, access: Access| {
        let tree = Tree::copy(path)?;
        if let Some(map) =
            tree.owner().ok().and_then(|owner| maps.of(owner)).filter(|_| access != Access::System)
        {
            // Not every file system can do it; then everybody's rights are the server's.
            let _ = tree.map_owner(map);
        }
        tree.restrict(if access == Access::Write { mount::PLAIN } else { mount::READ_ONLY })?;
        Ok::<_, nix::Error>((path, tree))
    };
    let all = spec.binds.iter().map(|bind| {
        copy(&bind.path, bind.access)
            .layer(Layer::Root, &format!("binding {}", bind.path.display()))
    });
    all.collect()
}

fn devices() -> Result<Vec<(PathBuf, Tree)>, LayerFault> {
    let device = |name: &&str| {
        let path = Path::new("/dev").join(name);
        let tree = Tree::copy(&path).layer(Layer::Root, name)?;
        tree.restrict(mount::DEVICE).layer(Layer::Root, name)?;
        Ok((path, tree))
    };
    DEVICES.iter().map(device).collect()
}

fn tmpfs(path: &Path, options: &str) -> Result<(), LayerFault> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some(options))
        .layer(Layer::Root, &format!("a file system in memory for {}", path.display()))
}

/// Only the processes of the new namespace, and nothing of the kernel's own. While the machine's
/// `/proc` is still there, without which the kernel refuses this to ordinary users.
fn mount_proc() -> Result<(), LayerFault> {
    let path = Path::new(BASE).join("proc");
    fs::create_dir(&path).layer(Layer::Root, "/proc")?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), &path, Some("proc"), flags, Some("subset=pid")).layer(Layer::Root, "/proc")
}

/// `/tmp`, which is also its home, and `/dev/shm`.
fn private_folders(spec: &Spec, user: &User) -> Result<(), LayerFault> {
    let owner = format!("uid={},gid={}", user.inner(), user.gid());
    for (path, share) in [("/tmp", 1), ("/dev/shm", 4)] {
        fs::create_dir_all(path).layer(Layer::Root, path)?;
        let size = spec.limits.disk / share;
        tmpfs(Path::new(path), &format!("mode=700,{owner},size={size},nr_inodes=64k"))?;
    }
    Ok(())
}

/// Attaches a tree at its own path, making what is missing on the way.
fn place(path: &Path, tree: &Tree) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        make_folders(folder)?;
    }
    if tree.is_folder()? {
        make_folders(path)?;
    } else if !path.exists() {
        fs::File::create(path)?;
    }
    Ok(tree.attach(path)?)
}

/// Folders on the way may be entered by the server, below `/tmp` too.
fn make_folders(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_folders(parent)?;
    }
    fs::create_dir(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// Links, the synthetic `/etc`, the profile's files, the folder that it starts in.
fn furnish(spec: &Spec, contents: &[u8], user: &User) -> io::Result<()> {
    for (path, target) in DEVICE_LINKS {
        symlink(target, path)?;
    }
    for (path, target) in &spec.links {
        if path.symlink_metadata().is_err() {
            if let Some(folder) = path.parent() {
                make_folders(folder)?;
            }
            symlink(target, path)?;
        }
    }
    let gated = spec.network != Network::None;
    for (path, text) in etc::files(user, gated) {
        write(Path::new(path), text.as_bytes())?;
    }
    let mut rest = contents;
    for (path, length) in &spec.files {
        let (own, more) = rest.split_at_checked(*length).ok_or(io::ErrorKind::InvalidData)?;
        write(path, own)?;
        rest = more;
    }
    if let Some(folder) = &spec.cwd {
        make_folders(folder)?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        make_folders(folder)?;
    }
    fs::write(path, bytes)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o444))
}

/// Whether the server's user has what its entry names: what a mount could not map, only the owner can give.
pub(super) fn verify_named(spec: &Spec, user: &User) -> Result<(), LayerFault> {
    for bind in &spec.binds {
        let wanted = match bind.access {
            Access::Read => AccessFlags::R_OK,
            Access::Write => AccessFlags::R_OK | AccessFlags::W_OK,
            Access::Runtime | Access::System => continue,
        };
        let doing = || format!("{} for user id {}", bind.path.display(), user.inner());
        nix::unistd::access(&bind.path, wanted).layer(Layer::Identity, &doing())?;
    }
    Ok(())
}
