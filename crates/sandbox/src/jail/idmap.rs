//! Mounts on which the owner of a path appears as the server's user.
//!
//! Where the gateway is root, each server has a user id of its own, to which nothing belongs. What the
//! entry names is bound so that its owner's files are the server's, there and nowhere else. File systems that
//! can't do this are bound as they are, and the server has what everybody has.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;

use super::identity::User;
use super::process::{self, Fork};
use crate::fault::InLayer as _;
use crate::spec::{Access, Spec};
use crate::{Layer, LayerFault};

/// A user namespace for each owner, to be given to the mounts.
#[derive(Default)]
pub(super) struct Maps(HashMap<(u32, u32), OwnedFd>);

impl Maps {
    /// For every path of the specification that is not the system's. Must be made before the
    /// process namespace: `/proc` still speaks of us by our own ids.
    pub fn make(spec: &Spec, user: &User) -> Result<Maps, LayerFault> {
        let mut maps = Maps::default();
        if user.is_own() {
            return Ok(maps);
        }
        for bind in spec.binds.iter().filter(|bind| bind.access != Access::System) {
            // A path that is gone fails where it is bound.
            let Ok(meta) = fs::symlink_metadata(&bind.path) else { continue };
            let owner = (meta.uid(), meta.gid());
            if let Entry::Vacant(free) = maps.0.entry(owner) {
                free.insert(namespace(owner, user)?);
            }
        }
        Ok(maps)
    }

    /// The map for what belongs to this owner.
    pub fn of(&self, owner: (u32, u32)) -> Option<BorrowedFd<'_>> {
        self.0.get(&owner).map(AsFd::as_fd)
    }
}

/// A user namespace with one user and one group, held by its descriptor alone.
fn namespace(owner: (u32, u32), user: &User) -> Result<OwnedFd, LayerFault> {
    let layer = Layer::UserNamespace;
    let (ready, tell) = nix::unistd::pipe2(OFlag::O_CLOEXEC).layer(layer, "a pipe")?;
    let child = match process::fork()? {
        Fork::Child => {
            if process::die_with_parent().is_ok()
                && process::unshare(CloneFlags::CLONE_NEWUSER, layer).is_ok()
            {
                let _ = nix::unistd::write(&tell, b"1");
            }
            drop(tell);
            loop {
                nix::unistd::pause();
            }
        }
        Fork::Parent(child) => child,
    };
    drop(tell);
    let made = || {
        let mut byte = [0];
        if nix::unistd::read(&ready, &mut byte)? != 1 {
            return Err(std::io::Error::other("it could not be made"));
        }
        fs::write(format!("/proc/{child}/uid_map"), format!("{} {} 1", owner.0, user.uid()))?;
        fs::write(format!("/proc/{child}/gid_map"), format!("{} {} 1", owner.1, user.gid()))?;
        Ok(OwnedFd::from(File::open(format!("/proc/{child}/ns/user"))?))
    };
    let made = made().layer(layer, "mapping an owner");
    let _ = kill(child, Signal::SIGKILL);
    let _ = waitpid(child, None);
    made
}
