//! Which files a server was seen to ask for: of what it did not get, the least that covers it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::config::confinement::Unseen;

/// What a server asked for, and what of this machine it does not see.
pub(super) struct Asked<'a> {
    /// Paths, and whether they were to be changed.
    pub paths: BTreeMap<PathBuf, bool>,
    /// Paths that its arguments and variables name: those are meant as a whole.
    pub meant: BTreeSet<PathBuf>,
    pub unseen: &'a Unseen,
    /// What its entry lets it read and write, so far: seen, too.
    pub read: Vec<PathBuf>,
    pub write: Vec<PathBuf>,
    pub home: Option<PathBuf>,
}

/// What its entry is to name beside what it names already.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Files {
    pub read: BTreeSet<PathBuf>,
    pub write: BTreeSet<PathBuf>,
    /// What it asked for and nobody should give it without thinking, and why.
    pub withheld: BTreeMap<PathBuf, &'static str>,
}

/// Where the machine keeps its own: programs look there for much that they do without.
const SYSTEM: [&str; 8] = ["/boot", "/dev", "/etc", "/proc", "/run", "/sys", "/usr", "/var/run"];
/// Names of what holds secrets, wherever it lies.
const SECRET: [&str; 22] = [
    ".aws",
    ".azure",
    ".bash_history",
    ".cargo",
    ".config",
    ".docker",
    ".env",
    ".git-credentials",
    ".gnupg",
    ".kube",
    ".local",
    ".mozilla",
    ".netrc",
    ".npmrc",
    ".password-store",
    ".pgpass",
    ".pypirc",
    ".ssh",
    ".vault-token",
    ".zsh_history",
    "id_ed25519",
    "id_rsa",
];
/// So many of one folder are the folder.
const MANY: usize = 4;

const HOLDS_SECRETS: &str = "such files hold secrets";
const TOO_WIDE: &str = "it is too wide: name what of it the server needs";

impl Asked<'_> {
    /// The proposal.
    pub fn proposal(&self) -> Files {
        let mut files = Files::default();
        let mut found: BTreeMap<PathBuf, bool> = BTreeMap::new();
        for (path, write) in &self.paths {
            let Some(path) = self.lacking(path, *write) else { continue };
            match self.withheld(&path) {
                Some(why) => drop(files.withheld.insert(path, why)),
                None => *found.entry(self.meant_by(path)).or_default() |= write,
            }
        }
        self.drop_the_way_there(&mut found, &mut files);
        for (path, write) in self.gathered(found) {
            if write {
                files.write.insert(path)
            } else {
                files.read.insert(path)
            };
        }
        files
    }

    /// What exists on this machine and is not given, of a path: itself, or the folder that it was to be made in.
    fn lacking(&self, path: &Path, write: bool) -> Option<PathBuf> {
        if SYSTEM.iter().any(|system| path.starts_with(system)) {
            return None;
        }
        let path = if path.exists() { path } else { path.parent().filter(|_| write)? };
        if !path.exists() || path.parent().is_none() {
            return None;
        }
        let given = |all: &[PathBuf]| all.iter().any(|given| path.starts_with(given));
        let has = if write {
            // Its own program it may not change, and programs try.
            given(&self.write) || !self.unseen.hides(path) && !given(&self.read)
        } else {
            !self.unseen.hides(path)
        };
        (!has).then(|| path.to_owned())
    }

    fn withheld(&self, path: &Path) -> Option<&'static str> {
        let secret = path.iter().any(|part| {
            part.to_str().is_some_and(|part| SECRET.contains(&part) || part.starts_with(".env."))
        });
        let meant = self.meant.iter().any(|meant| path.starts_with(meant));
        (secret && !meant).then_some(HOLDS_SECRETS)
    }

    /// The argument that a path lies below, or itself.
    fn meant_by(&self, path: PathBuf) -> PathBuf {
        self.meant.iter().find(|meant| path.starts_with(meant)).cloned().unwrap_or(path)
    }

    /// Who goes to a file looks at each folder on the way: that is not what is wanted.
    fn drop_the_way_there(&self, found: &mut BTreeMap<PathBuf, bool>, files: &mut Files) {
        let all: Vec<PathBuf> = found.keys().cloned().collect();
        found.retain(|path, write| {
            let below = |other: &PathBuf| other != path && other.starts_with(path);
            let on_the_way = !*write
                && (all.iter().chain(&self.meant).any(below) || self.unseen.leads_through(path));
            let wide = self.is_too_wide(path);
            // What lies on the way to the server's own program is there for that.
            if wide && !on_the_way && path.components().count() > 2 {
                files.withheld.insert(path.clone(), TOO_WIDE);
            }
            !on_the_way && !wide
        });
    }

    fn is_too_wide(&self, path: &Path) -> bool {
        let home = self.home.as_ref().is_some_and(|home| home.starts_with(path));
        home || path.components().count() < 3
    }

    /// Many files of one folder become the folder.
    fn gathered(&self, found: BTreeMap<PathBuf, bool>) -> BTreeMap<PathBuf, bool> {
        let mut count: BTreeMap<&Path, usize> = BTreeMap::new();
        for path in found.keys().filter(|path| !self.meant.contains(*path)) {
            *count.entry(path.parent().unwrap_or(path)).or_default() += 1;
        }
        let many = |folder: &&Path| {
            count.get(*folder).is_some_and(|count| *count >= MANY) && !self.is_too_wide(folder)
        };
        let mut gathered: BTreeMap<PathBuf, bool> = BTreeMap::new();
        for (path, write) in &found {
            let folder = path.parent().filter(many).unwrap_or(path);
            *gathered.entry(folder.to_owned()).or_default() |= write;
        }
        let all = gathered.clone();
        gathered.retain(|path, write| {
            let covered = |(other, writes): (&PathBuf, &bool)| {
                other != path && path.starts_with(other) && (*writes || !*write)
            };
            !all.iter().any(covered)
        });
        gathered
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::config::file::Server;

    fn proposal(asked: &[(PathBuf, bool)], meant: &[&Path], home: &Path) -> Files {
        let server = Server::default();
        let unseen = Unseen::by(&server, "true", Path::new("/"));
        Asked {
            paths: asked.iter().cloned().collect(),
            meant: meant.iter().map(|path| path.to_path_buf()).collect(),
            unseen: &unseen,
            read: vec![],
            write: vec![],
            home: Some(home.to_owned()),
        }
        .proposal()
    }

    #[test]
    fn the_least_that_covers_what_was_asked_for() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for folder in ["home/.ssh", "docs/deep", "many", "out"] {
            std::fs::create_dir_all(path(folder)).unwrap();
        }
        let files = ["home/.ssh/id_rsa", "docs/deep/a", "docs/b", "one", "many/.env"];
        let many = ["many/1", "many/2", "many/3", "many/4"];
        for file in files.into_iter().chain(many) {
            std::fs::write(path(file), "").unwrap();
        }
        let mut asked: Vec<(PathBuf, bool)> =
            many.into_iter().chain(files).map(|name| (path(name), false)).collect();
        // The way there, what is not there, and what is the machine's.
        asked.extend([(root.path().into(), false), (path("gone"), false), (path("docs"), false)]);
        asked.extend([("/etc/hostname".into(), false), ("/usr/bin/env".into(), false)]);
        asked.extend([(path("out/new"), true), (path("home"), false)]);
        let found = proposal(&asked, &[&path("docs")], &path("home"));
        let paths = |names: &[&str]| names.iter().map(|name| path(name)).collect::<BTreeSet<_>>();
        assert_eq!(found.read, paths(&["docs", "many", "one"]));
        assert_eq!(found.write, paths(&["out"]));
        let withheld: BTreeSet<PathBuf> = found.withheld.into_keys().collect();
        assert_eq!(withheld, paths(&["home", "home/.ssh/id_rsa", "many/.env"]));
    }

    #[test]
    fn what_it_may_change_it_need_not_be_given_again() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let asked = [(inner.clone(), false), (inner.join("new"), true)];
        let found = proposal(&asked, &[], Path::new("/nobody"));
        assert_eq!(found.write, BTreeSet::from([inner]));
        assert_eq!((found.read.len(), found.withheld.len()), (0, 0));
    }
}
