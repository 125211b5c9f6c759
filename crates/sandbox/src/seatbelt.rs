//! macOS: the level `basic` as a Seatbelt profile for `/usr/bin/sandbox-exec`.
//!
//! The text is made and tested everywhere. That macOS holds a server to it was not tried: this was made on a machine
//! without macOS. What is not named is denied, so a mistake in here rather keeps a server from starting than from
//! being confined.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use crate::Profile;

/// The arguments of `sandbox-exec` for a server whose program was found. `scratch`: a folder of its own.
pub(crate) fn arguments(
    profile: &Profile,
    program: &Path,
    scratch: &Path,
) -> io::Result<Vec<OsString>> {
    let real = |paths: &[PathBuf]| paths.iter().map(std::fs::canonicalize).collect();
    let (read, write): (Vec<PathBuf>, Vec<PathBuf>) =
        match (real(&profile.read), real(&profile.write)) {
            (Ok(read), Ok(write)) => (read, write),
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
    let text = self::profile(&Paths {
        program: &program.canonicalize()?,
        read: &read,
        write: &write,
        scratch: &scratch.canonicalize()?,
    })?;
    let head = [OsString::from("-p"), text.into(), program.into()];
    Ok(head.into_iter().chain(profile.args.iter().map(OsString::from)).collect())
}

/// What a server may touch, resolved: without links and `..`.
pub(crate) struct Paths<'a> {
    /// The program's file.
    pub program: &'a Path,
    /// What it may read beside the system: its own files, and what its entry names.
    pub read: &'a [PathBuf],
    /// What it may read and change.
    pub write: &'a [PathBuf],
    /// Its folder for temporary files.
    pub scratch: &'a Path,
}

/// The system's programs, libraries and public data.
const SYSTEM: [&str; 12] = [
    "/Library/Apple",
    "/Library/Developer/CommandLineTools",
    "/Library/Frameworks",
    "/System",
    "/bin",
    "/opt/homebrew",
    "/private/var/db/dyld",
    "/private/var/db/timezone",
    "/sbin",
    "/usr/bin",
    "/usr/lib",
    "/usr/local",
];
/// Single files and devices beside them.
const SYSTEM_FILES: [&str; 6] = [
    "/dev/random",
    "/dev/urandom",
    "/dev/zero",
    "/private/etc/localtime",
    "/usr/share/icu",
    "/usr/share/zoneinfo",
];

/// The profile. A path that can't be written into it is a fault.
pub(crate) fn profile(paths: &Paths<'_>) -> io::Result<String> {
    let mut text = String::from(
        "(version 1)\n(deny default)\n\
         (allow process-fork)\n(allow signal (target same-sandbox))\n(allow sysctl-read)\n\
         (allow file-read-metadata)\n\
         (allow file-read-data (literal \"/\"))\n\
         (allow file-read* file-write-data (literal \"/dev/null\"))\n",
    );
    let system = SYSTEM.iter().map(Path::new);
    let all = system.chain(paths.read.iter().chain(paths.write).map(PathBuf::as_path));
    let all: Vec<&Path> = all.chain([paths.program, paths.scratch]).collect();
    rule(&mut text, "file-read* file-map-executable process-exec", &all)?;
    let files: Vec<&Path> = SYSTEM_FILES.iter().map(Path::new).collect();
    rule(&mut text, "file-read*", &files)?;
    let write = paths.write.iter().map(PathBuf::as_path).chain([paths.scratch]);
    rule(&mut text, "file-write*", &write.collect::<Vec<_>>())?;
    // What it writes can't make whoever runs it somebody else. The last rule that matches holds.
    text.push_str("(deny file-write-setugid)\n(deny network*)\n(deny mach-lookup)\n");
    Ok(text)
}

fn rule(text: &mut String, operations: &str, paths: &[&Path]) -> io::Result<()> {
    let _ = writeln!(text, "(allow {operations}");
    for path in paths {
        let _ = writeln!(text, "    (subpath {})", quoted(path)?);
    }
    text.push_str(")\n");
    Ok(())
}

/// A path as a text of the profile's language.
fn quoted(path: &Path) -> io::Result<String> {
    let text = path.to_str().filter(|text| path.is_absolute() && !text.contains(char::is_control));
    let refused = || io::Error::other(format!("{} can't be named in a profile", path.display()));
    let escaped = text.ok_or_else(refused)?.replace('\\', "\\\\").replace('"', "\\\"");
    Ok(format!("\"{escaped}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(read: &str, write: &str) -> io::Result<String> {
        profile(&Paths {
            program: Path::new("/opt/node/bin/node"),
            read: &[read.into()],
            write: &[write.into()],
            scratch: Path::new("/private/tmp/bartizan-1"),
        })
    }

    #[test]
    fn the_profile_names_all_that_is_allowed() {
        let expected = "(version 1)
(deny default)
(allow process-fork)
(allow signal (target same-sandbox))
(allow sysctl-read)
(allow file-read-metadata)
(allow file-read-data (literal \"/\"))
(allow file-read* file-write-data (literal \"/dev/null\"))
(allow file-read* file-map-executable process-exec
    (subpath \"/Library/Apple\")
    (subpath \"/Library/Developer/CommandLineTools\")
    (subpath \"/Library/Frameworks\")
    (subpath \"/System\")
    (subpath \"/bin\")
    (subpath \"/opt/homebrew\")
    (subpath \"/private/var/db/dyld\")
    (subpath \"/private/var/db/timezone\")
    (subpath \"/sbin\")
    (subpath \"/usr/bin\")
    (subpath \"/usr/lib\")
    (subpath \"/usr/local\")
    (subpath \"/srv/docs\")
    (subpath \"/srv/out\")
    (subpath \"/opt/node/bin/node\")
    (subpath \"/private/tmp/bartizan-1\")
)
(allow file-read*
    (subpath \"/dev/random\")
    (subpath \"/dev/urandom\")
    (subpath \"/dev/zero\")
    (subpath \"/private/etc/localtime\")
    (subpath \"/usr/share/icu\")
    (subpath \"/usr/share/zoneinfo\")
)
(allow file-write*
    (subpath \"/srv/out\")
    (subpath \"/private/tmp/bartizan-1\")
)
(deny file-write-setugid)
(deny network*)
(deny mach-lookup)
";
        assert_eq!(made("/srv/docs", "/srv/out").unwrap(), expected);
    }

    #[test]
    fn the_launcher_gets_the_profile_and_then_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::os::unix::fs::symlink(&root, root.join("link")).unwrap();
        let mut server = Profile::new("s", "sh");
        server.args = vec!["-c".into(), "true".into()];
        server.read = vec![root.join("link")];
        let made = arguments(&server, Path::new("/bin/sh"), &root).unwrap();
        assert_eq!(made[0], "-p");
        assert_eq!(made[2..], ["/bin/sh", "-c", "true"]);
        let text = made[1].to_str().unwrap();
        assert!(text.contains(&format!("(subpath \"{}\")", root.display())), "{text}");
        assert!(!text.contains("link"), "links are resolved: {text}");
        server.write = vec![root.join("gone")];
        assert!(arguments(&server, Path::new("/bin/sh"), &root).is_err());
    }

    #[test]
    fn no_path_ends_its_text() {
        let text = made("/srv/a\") (allow default) (\"", "/srv/out").unwrap();
        assert!(text.contains(r#"(subpath "/srv/a\") (allow default) (\"")"#), "{text}");
        assert!(made("/srv/\\", "/srv/out").unwrap().contains(r#""/srv/\\""#));
        for bad in ["relative", "/srv/a\nb", "/srv/\0"] {
            assert!(made(bad, "/srv/out").is_err(), "{bad:?}");
        }
    }
}
