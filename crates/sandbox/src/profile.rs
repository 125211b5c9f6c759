//! What is to run.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// A local server's command. `Debug` prints no values of the environment: they may be secrets.
#[derive(Clone)]
pub struct Profile {
    /// A name that is looked for on `PATH`, or a path.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables beyond the allow-list, or instead of what it would pass.
    pub env: Vec<(String, String)>,
    /// Where it runs; the gateway's own folder when `None`.
    pub cwd: Option<PathBuf>,
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Profile")
            .field("command", &self.command)
            .field("args", &self.args)
            .field("env", &names)
            .field("cwd", &self.cwd)
            .finish()
    }
}

/// Variables of the gateway's own environment that a server gets: what programs need to find themselves
/// and to speak the user's language, and nothing that holds a secret.
const PASSED: [&str; 7] = ["HOME", "LANG", "PATH", "TERM", "TMPDIR", "TZ", "USER"];
/// What Windows programs do not start without.
const PASSED_WINDOWS: [&str; 8] = [
    "APPDATA",
    "LOCALAPPDATA",
    "PATHEXT",
    "SYSTEMDRIVE",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "USERPROFILE",
];

fn is_passed(name: &str) -> bool {
    PASSED.contains(&name)
        || name.starts_with("LC_")
        || (cfg!(windows) && PASSED_WINDOWS.contains(&name.to_ascii_uppercase().as_str()))
}

impl Profile {
    /// The whole environment of the process.
    pub(crate) fn environment(&self) -> Vec<(OsString, OsString)> {
        let explicit = |name: &OsString| self.env.iter().any(|(ours, _)| name == ours.as_str());
        std::env::vars_os()
            .filter(|(name, _)| name.to_str().is_some_and(is_passed) && !explicit(name))
            .chain(self.env.iter().map(|(name, value)| (name.into(), value.into())))
            .collect()
    }
}
