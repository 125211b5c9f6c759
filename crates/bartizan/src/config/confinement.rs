//! What a confined server will not find: paths that are not there, and paths among its arguments that
//! its entry does not name.

use std::path::{Path, PathBuf};

use super::{
    egress::EnvValue,
    fault::Finding,
    file::{File, Level, Server},
};

/// Findings about what a server may touch. `folder`: where it runs.
pub fn check(server: &Server, command: &str, base: &Path, findings: &mut Vec<Finding>) {
    for path in server.sandbox.read.iter().chain(&server.sandbox.write) {
        let written = path.get_ref();
        if written.starts_with("~") {
            findings.push(Finding::error(
                "`~` does not stand for a home folder here",
                path.span(),
                "write the whole path",
            ));
        } else if !base.join(written).exists() {
            findings.push(Finding::warning(
                format!("`{}` is not there, so the server can't be started", written.display()),
                path.span(),
                "make it, or name what exists",
            ));
        }
    }
    check_calls(server, findings);
    if server.sandbox.level == Level::Off {
        return;
    }
    let args = server.args.iter().map(|arg| (arg.get_ref().as_str(), arg.span()));
    let env = server.env.values().filter_map(|value| match value.get_ref() {
        EnvValue::Plain(template) => Some((template.text(), value.span())),
        EnvValue::Secret(_) => None,
    });
    let unseen = Unseen::by(server, command, base);
    if let Some(cwd) = &server.cwd {
        let folder = base.join(cwd.get_ref());
        if folder.is_dir() && unseen.hides(&folder) {
            findings.push(Finding::warning(
                "the server starts in an empty folder, since its entry does not name this one",
                cwd.span(),
                format!("add sandbox = {{ read = [\"{}\"] }}", folder.display()),
            ));
        }
    }
    for (text, span) in args.chain(env) {
        let Some(named) = unseen.named_in(text) else { continue };
        let path = named.path().display();
        let add = format!(
            "add sandbox = {{ read = [\"{path}\"] }}, or write = [\"{path}\"] if it may change it"
        );
        findings.push(match named {
            Named::There(_) => Finding::warning(
                format!("the server does not see `{path}`, which its entry does not name"),
                span,
                add,
            ),
            Named::Missing(_) => Finding::warning(
                format!("`{path}` is not there, and the server would not see it"),
                span,
                format!("make it, and {add}"),
            ),
        });
    }
}

/// Paths that would let a server into the gateway's own state: such a server is not started.
pub fn opens_state(file: &File, base: &Path, state: &Path) -> Vec<Finding> {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let state = whole(state);
    let local = file.servers.values().map(|server| server.get_ref());
    let paths = local
        .filter(|server| server.command.is_some() && server.sandbox.level != Level::Off)
        .flat_map(|server| server.sandbox.read.iter().chain(&server.sandbox.write));
    let opens = paths.filter(|path| {
        let path = whole(&base.join(path.get_ref()));
        state.starts_with(&path) || path.starts_with(&state)
    });
    let finding = |path: &toml::Spanned<PathBuf>| {
        let title = format!(
            "`{}` holds the gateway's state folder, so the server is not started",
            path.get_ref().display()
        );
        Finding::warning(
            title,
            path.span(),
            "name the files and folders that the server needs, one by one",
        )
    };
    opens.map(finding).collect()
}

/// A path that a server does not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    /// It exists.
    There(&'a Path),
    /// It does not, though its folder does. The folder is not what was named: it may hold far more.
    Missing(&'a Path),
}

impl<'a> Named<'a> {
    /// The path itself.
    pub fn path(self) -> &'a Path {
        match self {
            Named::There(path) | Named::Missing(path) => path,
        }
    }
}

fn check_calls(server: &Server, findings: &mut Vec<Finding>) {
    let sandbox = &server.sandbox;
    let Some(first) = sandbox.calls.first() else { return };
    if sandbox.level == Level::Off {
        findings.push(Finding::error(
            "a server that is not confined can't have a list of system calls",
            first.span(),
            "take out calls, or level = \"off\"",
        ));
    }
    if sandbox.learn {
        findings.push(Finding::warning(
            "the list of system calls does not hold while it is learned",
            first.span(),
            "`bartizan sandbox suggest NAME` completes it; then take out learn = true",
        ));
    }
    #[cfg(target_os = "linux")]
    for call in &sandbox.calls {
        if sandbox::calls::number(call.get_ref()).is_none() {
            findings.push(Finding::warning(
                format!("this machine has no system call `{}`", call.get_ref()),
                call.span(),
                "correct its name, or leave it for machines that have it",
            ));
        }
    }
}

/// What of this machine a server does not see.
#[cfg(target_os = "linux")]
pub struct Unseen(sandbox::Visible);

#[cfg(target_os = "linux")]
impl Unseen {
    /// With what its entry names. `base`: where relative paths begin.
    pub fn by(server: &Server, command: &str, base: &Path) -> Unseen {
        let paths = |paths: &[toml::Spanned<PathBuf>]| {
            paths.iter().map(|path| base.join(path.get_ref())).collect()
        };
        Unseen(sandbox::Visible::to(&sandbox::Profile {
            args: server.args.iter().map(|arg| arg.get_ref().clone()).collect(),
            cwd: server.cwd.as_ref().map(|cwd| base.join(cwd.get_ref())),
            read: paths(&server.sandbox.read),
            write: paths(&server.sandbox.write),
            ..sandbox::Profile::new("", command)
        }))
    }

    /// Whether it does not see a path.
    pub fn hides(&self, path: &Path) -> bool {
        !self.0.contains(path)
    }

    /// Whether a path is on the way to something that it sees.
    pub fn leads_through(&self, path: &Path) -> bool {
        self.0.is_below(path)
    }

    /// A path on this machine that a text names and the server does not see: the text itself, or what stands
    /// behind `=`.
    pub fn named_in<'a>(&self, text: &'a str) -> Option<Named<'a>> {
        let text = text.split_once('=').map_or(text, |(_, value)| value);
        let path = Path::new(text);
        if !path.is_absolute() || path.components().count() < 2 {
            return None;
        }
        if path.exists() {
            return self.hides(path).then_some(Named::There(path));
        }
        // Not every text that begins with a slash is a path; one in a folder that is there probably is.
        let folder = path.parent().filter(|folder| folder.components().count() > 1)?;
        (folder.is_dir() && self.hides(folder)).then_some(Named::Missing(path))
    }
}

/// Where servers are not confined there is nothing that they don't see.
#[cfg(not(target_os = "linux"))]
pub struct Unseen;

#[cfg(not(target_os = "linux"))]
impl Unseen {
    pub fn by(_: &Server, _: &str, _: &Path) -> Unseen {
        Unseen
    }

    pub fn hides(&self, _: &Path) -> bool {
        false
    }

    pub fn leads_through(&self, _: &Path) -> bool {
        false
    }

    pub fn named_in<'a>(&self, _: &'a str) -> Option<Named<'a>> {
        None
    }
}
