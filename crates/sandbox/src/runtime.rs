//! What a program needs of the machine to run: found by looking at it, so that an entry in the
//! configuration need not name libraries and interpreters.
//!
//! The operating system's own folders are always there. Beyond them: the program's file, the
//! interpreters that its first line names, the prefix that an interpreter was installed under, a
//! Python environment, a Node package with its `node_modules`. Never a home folder as a whole.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use crate::resolve::resolve;
use crate::spec::{Access, Bind};

/// The operating system's programs, libraries and public data. What is a link on this machine, such
/// as `/lib`, is one in the jail.
const SYSTEM: [&str; 20] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/pki/ca-trust/extracted",
    "/etc/pki/tls/certs",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
];

/// Programs whose first argument that is a file is what they run.
const INTERPRETERS: [&str; 12] =
    ["bash", "bun", "deno", "java", "node", "nodejs", "perl", "php", "python", "ruby", "sh", "tsx"];

/// Files that stand in the folder of a project.
const PROJECT_FILES: [&str; 4] = ["deno.json", "package.json", "pyproject.toml", "setup.py"];

/// Links followed for one program or path.
const LINKS: usize = 40;
/// Interpreters of interpreters.
const DEPTH: usize = 6;

/// What a jail is made of, without what the entry names.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    pub binds: Vec<Bind>,
    /// Where a symbolic link stands, and what it says.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// Folders with programs, beyond the system's, for `PATH`.
    pub programs: BTreeSet<PathBuf>,
}

impl Needs {
    /// What a resolved program with these arguments needs. `cwd`: where relative arguments begin.
    pub fn of(program: &Path, args: &[String], cwd: Option<&Path>, path: Option<&OsStr>) -> Needs {
        let mut needs = Needs::default();
        needs.system();
        needs.program(program, path, 0);
        if is_interpreter(program) {
            let absolute = |arg: &String| cwd.map_or(PathBuf::from(arg), |folder| folder.join(arg));
            let script = args.iter().filter(|arg| !arg.starts_with('-')).map(absolute);
            if let Some(script) = script.filter(|path| path.is_absolute()).find(|p| p.is_file()) {
                needs.script(&script);
            }
        }
        needs
    }

    fn system(&mut self) {
        for path in SYSTEM.map(Path::new) {
            match fs::read_link(path) {
                Ok(target) => self.link(path, &target),
                Err(_) if path.exists() => self.bind(path, Access::System),
                Err(_) => {}
            }
        }
    }

    /// A program's file and what it is run by.
    fn program(&mut self, written: &Path, path: Option<&OsStr>, depth: usize) {
        let Ok((hops, file)) = follow(written) else { return };
        for hop in hops.iter().map(|(hop, _)| hop.as_path()).chain([file.as_path()]) {
            self.installation(hop);
        }
        self.links_of(hops);
        self.bind(&file, Access::Runtime);
        if let Some(package) = outermost_modules(&file) {
            self.bind(&package, Access::Runtime);
        }
        if depth < DEPTH {
            let line = first_line(&file);
            for interpreter in line.and_then(|line| interpreters(&line, path)).into_iter().flatten()
            {
                self.program(&interpreter, path, depth + 1);
            }
        }
    }

    /// What was installed together with a program.
    fn installation(&mut self, program: &Path) {
        let Some(folder) = program.parent() else { return };
        let Some(prefix) = folder.parent() else { return };
        if is_system(program) || is_too_wide(prefix) {
            return;
        }
        if folder.ends_with("shims") && prefix.join("versions").is_dir() {
            // A shim of a version manager such as pyenv or asdf is a script that looks for the real one.
            self.bind(prefix, Access::Runtime);
        } else if let Ok(config) = fs::read_to_string(prefix.join("pyvenv.cfg")) {
            self.bind(prefix, Access::Runtime);
            let home =
                config.lines().find_map(|line| line.strip_prefix("home")?.trim().strip_prefix('='));
            if let Some(home) = home.map(|home| Path::new(home.trim())).filter(|p| p.is_absolute())
            {
                self.installation(&home.join("python"));
            }
        } else if folder.ends_with("bin") && prefix.join("lib").is_dir() {
            for part in ["bin", "lib", "lib64", "libexec"].map(|part| prefix.join(part)) {
                if let (true, Ok(part)) = (part.is_dir(), part.canonicalize()) {
                    self.bind(&part, Access::Runtime);
                }
            }
        } else {
            return;
        }
        self.programs.insert(folder.to_owned());
    }

    /// A script that an interpreter was given: its package, its project, or it alone.
    fn script(&mut self, written: &Path) {
        let Ok((hops, file)) = follow(written) else { return };
        self.links_of(hops);
        let project = || file.ancestors().skip(1).take(6).find(|folder| is_project(folder));
        let whole = outermost_modules(&file).or_else(|| project().map(Path::to_owned));
        self.bind(&whole.unwrap_or(file), Access::Runtime);
    }

    /// Something that the entry names, at the path where it is written.
    pub fn named(&mut self, written: &Path, access: Access) -> io::Result<()> {
        let (hops, real) = follow(written)?;
        real.symlink_metadata()?;
        self.links_of(hops);
        self.bind(&real, access);
        Ok(())
    }

    fn links_of(&mut self, hops: Vec<(PathBuf, PathBuf)>) {
        for (hop, target) in hops {
            self.link(&hop, &target);
        }
    }

    fn link(&mut self, at: &Path, target: &Path) {
        if !self.links.iter().any(|(known, _)| known == at) {
            self.links.push((at.to_owned(), target.to_owned()));
        }
    }

    fn bind(&mut self, path: &Path, access: Access) {
        if access != Access::System && is_system(path) && access != Access::Write {
            return;
        }
        self.binds.push(Bind { path: path.to_owned(), access });
    }

    /// The binds in the order in which they have to be made, without those that change nothing.
    pub fn ordered(mut self) -> (Vec<Bind>, Vec<(PathBuf, PathBuf)>) {
        // Of two for one path the entry's own word holds, and there the weaker one.
        let rank = |access: Access| match access {
            Access::Write => 0,
            Access::Read => 1,
            Access::Runtime => 2,
            Access::System => 3,
        };
        self.binds.sort_by_key(|bind| (bind.path.components().count(), rank(bind.access)));
        let mut kept: Vec<Bind> = Vec::new();
        for bind in self.binds {
            let writes = |bind: &Bind| bind.access == Access::Write;
            let above = kept.iter().rfind(|above| bind.path.starts_with(&above.path));
            let same = above.is_some_and(|above| above.path == bind.path);
            if same || above.is_some_and(|above| writes(above) == writes(&bind)) {
                continue;
            }
            kept.push(bind);
        }
        (kept, self.links)
    }
}

/// Whether a path lies in the operating system's own folders.
fn is_system(path: &Path) -> bool {
    SYSTEM.iter().any(|system| path.starts_with(system))
}

/// Whether a folder is no program's own: the root, somebody's home, or what lies above one.
fn is_too_wide(folder: &Path) -> bool {
    let home = std::env::home_dir().is_some_and(|home| home.starts_with(folder));
    home || folder.components().count() < 3
        && ["/", "/home", "/root", "/tmp", "/var"].iter().any(|wide| folder == Path::new(wide))
}

fn is_project(folder: &Path) -> bool {
    !is_too_wide(folder) && PROJECT_FILES.iter().any(|file| folder.join(file).is_file())
}

fn is_interpreter(program: &Path) -> bool {
    let name = program.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    INTERPRETERS.contains(&name)
}

/// The `node_modules` that a file belongs to, with all that its package depends on.
fn outermost_modules(file: &Path) -> Option<PathBuf> {
    file.ancestors().filter(|folder| folder.ends_with("node_modules")).last().map(Path::to_owned)
}

/// The first line of a script.
fn first_line(file: &Path) -> Option<String> {
    let mut start = [0; 512];
    let count = fs::File::open(file).ok()?.read(&mut start).ok()?;
    let line = start[..count].strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    Some(String::from_utf8_lossy(line).trim().to_owned())
}

/// The programs that a script's first line names: the interpreter, and with `env` the one that this looks for.
fn interpreters(line: &str, path: Option<&OsStr>) -> Option<Vec<PathBuf>> {
    let mut words = line.split_whitespace();
    let first = Path::new(words.next()?);
    let mut programs = vec![first.to_owned()];
    if first.ends_with("env") {
        let name = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
        programs.extend(resolve(name, path, None));
    }
    Some(programs)
}

/// Symbolic links on the way to a path, and the path without any.
type Followed = (Vec<(PathBuf, PathBuf)>, PathBuf);

/// Resolves a path as the kernel would, keeping each link that it meets.
pub(crate) fn follow(written: &Path) -> io::Result<Followed> {
    let absolute = std::path::absolute(written)?;
    let mut hops = Vec::new();
    let mut real = PathBuf::from("/");
    let mut rest: Vec<PathBuf> = pieces(&absolute);
    while let Some(piece) = rest.pop() {
        if piece.as_os_str() == ".." {
            real.pop();
            continue;
        }
        let next = real.join(&piece);
        match fs::read_link(&next) {
            Ok(target) => {
                if hops.len() >= LINKS {
                    return Err(io::Error::other("too many symbolic links"));
                }
                if target.is_absolute() {
                    real = PathBuf::from("/");
                }
                rest.extend(pieces(&target));
                hops.push((next, target));
            }
            Err(_) => real = next,
        }
    }
    Ok((hops, real))
}

/// A path's parts, the last one first.
fn pieces(path: &Path) -> Vec<PathBuf> {
    let part = |component: Component<'_>| match component {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        _ => None,
    };
    path.components().rev().filter_map(part).collect()
}
