//! The files that `[policy]` names.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use policy::{CedarFile, PolicyFault, SourceFault};
use toml::Spanned;

use super::{
    Loaded,
    fault::{Faulty, Finding, Severity},
    file::Policy,
    value::RoleKey,
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

/// The policy that all roles and files make; otherwise what is wrong with the first that does not.
pub fn policy(loaded: &Loaded) -> Result<policy::Policy, Faulty> {
    if let Some(faulty) = twice(loaded) {
        return Err(faulty);
    }
    let found = match policy::Policy::new(&loaded.roles(), &loaded.policies) {
        Ok(policy) => return Ok(policy),
        Err(PolicyFault::Files(found)) => found,
        Err(fault) => {
            let span = loaded.file.policy.files.first().map_or(0..0, Spanned::span);
            let finding = Finding::error(fault.to_string(), span, "see docs/policy.md");
            let path = loaded.path.clone().unwrap_or_default();
            return Err(Faulty { path, text: loaded.text.clone(), findings: vec![finding] });
        }
    };
    let first = found.first().map(|fault| fault.file.clone()).unwrap_or_default();
    let text = loaded.policies.iter().find(|file| file.name == first);
    let text = text.map(|file| file.text.clone()).unwrap_or_default();
    let findings = found.into_iter().filter(|fault| fault.file == first).map(finding).collect();
    Err(Faulty { path: first.into(), text, findings })
}

/// A role of the store that is defined elsewhere too: two halves of one would each look like the whole.
fn twice(loaded: &Loaded) -> Option<Faulty> {
    let mut known: BTreeMap<&RoleKey, String> = BTreeMap::new();
    for (file, text, roles) in loaded.role_texts() {
        for (key, role) in roles {
            if let Some(other) = known.insert(key, file.clone()) {
                let title = format!("role `{}` is defined in {other} too", key.0);
                let mend = "give one of them another name: a role is defined in one place";
                let finding = Finding::error(title, role.span(), mend);
                return Some(Faulty {
                    path: file.into(),
                    text: text.to_owned(),
                    findings: vec![finding],
                });
            }
        }
    }
    None
}

fn finding(fault: SourceFault) -> Finding {
    let mend = fault
        .mend
        .unwrap_or_else(|| "`bartizan policy schema` prints what policies can speak of".to_owned());
    Finding { severity: Severity::Error, title: fault.message, span: fault.span, mend: Some(mend) }
}
