//! The files that `[policy]` names.

use std::path::{Path, PathBuf};

use policy::{CedarFile, PolicyFault, SourceFault};
use toml::Spanned;

use super::{
    fault::{Faulty, Finding, Severity},
    file::{File, Policy},
};

/// The longest file, in bytes.
pub const LONGEST: u64 = 4 << 20;

/// All of them: those that are named, then the folder's by name.
pub fn read(policy: &Policy, folder: &Path) -> Result<Vec<CedarFile>, Finding> {
    let mut files = Vec::new();
    for named in &policy.files {
        files.push(file(&folder.join(named.get_ref())).map_err(|error| unreadable(named, &error))?);
    }
    if let Some(named) = &policy.folder {
        let paths = listed(&folder.join(named.get_ref()));
        for path in paths.map_err(|error| unreadable(named, &error))? {
            files.push(file(&path).map_err(|error| unreadable(named, &error))?);
        }
    }
    Ok(files)
}

/// The folders to watch for changes of them.
pub fn folders(policy: &Policy, folder: &Path) -> Vec<PathBuf> {
    let files = policy.files.iter().map(|named| super::folder_of(&folder.join(named.get_ref())));
    files.chain(policy.folder.iter().map(|named| folder.join(named.get_ref()))).collect()
}

fn listed(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "cedar") {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// One of them.
pub fn file(path: &Path) -> std::io::Result<CedarFile> {
    let told = |error: std::io::Error| {
        std::io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    };
    if std::fs::metadata(path).map_err(told)?.len() > LONGEST {
        return Err(told(std::io::Error::other("it is longer than 4 MiB")));
    }
    let text = std::fs::read_to_string(path).map_err(told)?;
    Ok(CedarFile { name: path.display().to_string(), text })
}

fn unreadable(named: &Spanned<PathBuf>, error: &std::io::Error) -> Finding {
    Finding::error(
        error.to_string(),
        named.span(),
        "name a file in Cedar, or a folder with *.cedar files, that this user may read",
    )
}

/// The policy that roles and files make; otherwise what is wrong with the first that does not.
pub fn check(
    file: &File,
    files: &[CedarFile],
    path: &Path,
    text: &str,
) -> Result<policy::Policy, Faulty> {
    let roles: Vec<policy::Role> =
        file.roles.iter().map(|(key, role)| role.get_ref().resolve(&key.0)).collect();
    let found = match policy::Policy::new(&roles, files) {
        Ok(policy) => return Ok(policy),
        Err(PolicyFault::Files(found)) => found,
        Err(fault) => {
            let span = file.policy.files.first().map_or(0..0, Spanned::span);
            let finding = Finding::error(fault.to_string(), span, "see docs/policy.md");
            return Err(Faulty { path: path.into(), text: text.into(), findings: vec![finding] });
        }
    };
    let first = found.first().map(|fault| fault.file.clone()).unwrap_or_default();
    let text = files.iter().find(|file| file.name == first).map(|file| file.text.clone());
    let findings = found.into_iter().filter(|fault| fault.file == first).map(finding).collect();
    Err(Faulty { path: first.into(), text: text.unwrap_or_default(), findings })
}

fn finding(fault: SourceFault) -> Finding {
    let mend = fault
        .mend
        .unwrap_or_else(|| "`bartizan policy schema` prints what policies can speak of".to_owned());
    Finding { severity: Severity::Error, title: fault.message, span: fault.span, mend: Some(mend) }
}
