//! Landlock: the same bounds on files once more, in another part of the kernel, and where there are
//! no namespaces the only ones.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath,
    PathFd, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};

use crate::fault::InLayer as _;
use crate::spec::{Access, Spec};
use crate::{Layer, LayerFault, Level, Network};

/// What is asked for; a kernel that knows less gives what it has, down to the first version.
const WANTED: ABI = ABI::V6;

/// What it must know where nothing else is between: before this version a file that can't be opened could still
/// be emptied.
const NEEDED_ALONE: ABI = ABI::V3;

/// Devices that a server may open.
const DEVICES: [&str; 5] = ["/dev/full", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero"];

/// Confines this process and all that it starts. `scratch`: where there is no private `/tmp`.
pub(super) fn restrict(spec: &Spec, scratch: Option<&Path>) -> Result<(), LayerFault> {
    let status = enforce(spec, scratch).layer(Layer::Landlock, "the rules")?;
    if status == RulesetStatus::NotEnforced {
        return Err("the kernel does not have it").layer(Layer::Landlock, "the rules");
    }
    Ok(())
}

fn enforce(spec: &Spec, scratch: Option<&Path>) -> Result<RulesetStatus, RulesetError> {
    let all = AccessFs::from_all(WANTED);
    let read = AccessFs::from_read(WANTED);
    let mut rules = Ruleset::default();
    if spec.level == Level::Basic {
        rules = rules
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(NEEDED_ALONE))?;
    }
    let mut rules = rules
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .scope(Scope::from_all(WANTED))?;
    if spec.network == Network::None {
        rules = rules.handle_access(AccessNet::from_all(WANTED))?;
    }
    let mut rules = rules.create()?;
    let mut allow = |path: &Path, access: BitFlags<AccessFs>| {
        // What is not there needs no rule.
        let Ok(opened) = PathFd::new(path) else { return Ok(()) };
        let access = if path.is_dir() { access } else { access & AccessFs::from_file(WANTED) };
        (&mut rules).add_rule(PathBeneath::new(opened, access)).map(|_| ())
    };
    for bind in &spec.binds {
        allow(&bind.path, if bind.access == Access::Write { all } else { read })?;
    }
    for device in DEVICES {
        allow(Path::new(device), AccessFs::ReadFile | AccessFs::WriteFile)?;
    }
    let plain = AccessFs::ReadFile | AccessFs::ReadDir;
    match spec.level {
        Level::Strong => {
            for folder in ["/tmp", "/dev/shm"] {
                allow(Path::new(folder), all)?;
            }
            // There is nothing in the jail but what it was given.
            allow(Path::new("/"), AccessFs::ReadDir.into())?;
            for folder in ["/etc", "/proc"] {
                allow(Path::new(folder), plain)?;
            }
            for (path, _) in &spec.files {
                allow(path, plain)?;
            }
        }
        Level::Basic | Level::Off => {
            for path in ["/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/proc/self"] {
                allow(Path::new(path), plain)?;
            }
        }
    }
    if let Some(folder) = scratch {
        allow(folder, all)?;
    }
    Ok(rules.restrict_self()?.ruleset)
}
