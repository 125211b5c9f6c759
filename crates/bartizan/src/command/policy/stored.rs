//! Policies and roles that the store holds.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use gateway::{SharedRoles, Stored};
use policy::{CedarFile, Role};
use serde::Serialize;
use store::{PolicyForm, Store, StoredPolicy};

use super::{
    super::{now, token::time, wait},
    arguments,
};
use crate::{
    cli::Global,
    config::{
        self, Faulty, LoadFault, Loaded, Shared,
        fault::{self, nearest},
        policies,
    },
    outcome::Mistake,
    print, state,
};

/// As changes are recorded that the owner of the state folder makes.
const OWNER: &str = "owner";

/// The configuration that serves here, with what the store holds.
pub fn load(global: &Global) -> anyhow::Result<Loaded> {
    with(super::super::load(global)?, global)
}

/// A configuration with what the store holds.
pub fn with(loaded: Loaded, global: &Global) -> anyhow::Result<Loaded> {
    let path = path(global)?;
    wait(beside(loaded, &path))
}

/// The same of a store, if it is there.
pub async fn beside(mut loaded: Loaded, store: &Path) -> anyhow::Result<Loaded> {
    if store.exists() {
        let store = Store::open(store).await?;
        let stored = Stored::read(&store).await?;
        store.close().await;
        add(&mut loaded, stored)?;
    }
    Ok(loaded)
}

fn add(loaded: &mut Loaded, stored: Stored) -> Result<(), LoadFault> {
    loaded.policies.extend(stored.cedar);
    for SharedRoles { name, text } in stored.roles {
        loaded.shared.push(Shared::read(&format!("store:{name}"), text).map_err(faulty)?);
    }
    Ok(())
}

fn faulty(faulty: Faulty) -> LoadFault {
    LoadFault::Faulty(Box::new(faulty))
}

fn path(global: &Global) -> anyhow::Result<PathBuf> {
    Ok(state::folder(global.state_dir.clone())?.join(state::STORE))
}

async fn open(global: &Global) -> anyhow::Result<Store> {
    state::make(&state::folder(global.state_dir.clone())?)?;
    Ok(Store::open(&path(global)?).await?)
}

pub fn put(global: &Global, name: &str, file: &Path, roles: bool) -> anyhow::Result<()> {
    Role::check_name(name).map_err(|_| {
        let what = format!("`{name}` can't be the name of a policy");
        Mistake::new(what, "choose 1 to 64 of a-z, 0-9, _ and -")
    })?;
    let form = match roles || file.extension().is_some_and(|ending| ending == "toml") {
        true => PolicyForm::Roles,
        false => PolicyForm::Cedar,
    };
    let new = read(file)?;
    let mut loaded = super::super::load(global)?;
    let folder = state::folder(global.state_dir.clone())?;
    wait(async {
        let store = open(global).await?;
        let mut stored = Stored::read(&store).await?;
        let generation = stored.generation;
        stored.cedar.retain(|file| file.name.strip_prefix("store:") != Some(name));
        stored.roles.retain(|roles| roles.name != name);
        add(&mut loaded, stored)?;
        match form {
            PolicyForm::Cedar => loaded.policies.push(new.clone()),
            PolicyForm::Roles => loaded.shared.push(shared(&new, &loaded)?),
        }
        let policy = policies::policy(&loaded).map_err(faulty)?;
        arguments::warn(&folder, &loaded, &policy, |file| file == new.name).await;
        let digest = digest(&new.text);
        let name = name.to_owned();
        let policy = StoredPolicy { name, form, text: new.text, by: OWNER.into(), set: now() };
        let kept = store.policy_put(&policy, &digest, generation).await?;
        store.close().await;
        done(kept, "kept; gateways of this store apply it within a second")
    })
}

/// Roles that are to be shared, with what is probably not meant told.
fn shared(new: &CedarFile, loaded: &Loaded) -> Result<Shared, LoadFault> {
    let shared = Shared::read(&new.name, new.text.clone()).map_err(faulty)?;
    let mut warnings = Vec::new();
    // Without a file the demo server serves, and no section names it.
    if loaded.path.is_some() {
        config::check_roles(&shared.roles, &loaded.file, &mut warnings);
    }
    if !warnings.is_empty() {
        let told = fault::render(Path::new(&new.name), &new.text, &warnings, fault::coloured());
        eprintln!("{told}\n");
    }
    Ok(shared)
}

pub fn remove(global: &Global, name: &str) -> anyhow::Result<()> {
    wait(async {
        let store = open(global).await?;
        let (generation, policies) = store.policies().await?;
        let policy = found(&policies, name)?;
        let digest = digest(&policy.text);
        let removed = store.policy_remove(name, &digest, generation, OWNER, now()).await?;
        store.close().await;
        done(removed, "removed; gateways of this store go on without it within a second")
    })
}

pub fn get(global: &Global, name: &str) -> anyhow::Result<()> {
    wait(async {
        let store = open(global).await?;
        let (_, policies) = store.policies().await?;
        store.close().await;
        print::text(&found(&policies, name)?.text)
    })
}

#[derive(Serialize)]
struct Row {
    name: String,
    form: &'static str,
    set: String,
    by: String,
    sha256: String,
}

impl print::Row for Row {
    const TITLES: &'static [&'static str] = &["NAME", "FORM", "SET", "BY", "SHA-256"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.form.to_owned(),
            self.set.clone(),
            self.by.clone(),
            self.sha256.clone(),
        ]
    }
}

pub fn list(global: &Global) -> anyhow::Result<()> {
    wait(async {
        let store = open(global).await?;
        let (_, policies) = store.policies().await?;
        store.close().await;
        let row = |policy: StoredPolicy| Row {
            form: policy.form.as_str(),
            set: time(policy.set),
            sha256: digest(&policy.text).iter().map(|byte| format!("{byte:02x}")).collect(),
            name: policy.name,
            by: policy.by,
        };
        let rows: Vec<Row> = policies.into_iter().map(row).collect();
        print::rows(global.output, &rows, "the store holds no policies")
    })
}

fn digest(text: &str) -> [u8; 32] {
    audit::Payload::of(text.as_bytes()).sha256
}

fn done(kept: bool, told: &str) -> anyhow::Result<()> {
    if kept {
        return print::line(told);
    }
    Err(Mistake::new("somebody else changed the store's policies meanwhile", "do it again").into())
}

fn found<'a>(policies: &'a [StoredPolicy], name: &str) -> Result<&'a StoredPolicy, Mistake> {
    let known = policies.iter().find(|policy| policy.name == name);
    known.ok_or_else(|| {
        let mend = match nearest(name, policies.iter().map(|policy| policy.name.as_str())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`bartizan policy list` shows all".to_owned(),
        };
        Mistake::new(format!("the store holds no policy `{name}`"), mend)
    })
}

/// A file, or standard input.
fn read(file: &Path) -> anyhow::Result<CedarFile> {
    let mistake = |error: std::io::Error| {
        let mend = "name a file of at most 4 MiB, in Cedar or with roles in TOML, or `-` for standard input";
        Mistake::new(error.to_string(), mend)
    };
    if file != Path::new("-") {
        return Ok(policies::file(file).map_err(mistake)?);
    }
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(policies::LONGEST + 1)
        .read_to_string(&mut text)
        .map_err(mistake)?;
    if text.len() as u64 > policies::LONGEST {
        return Err(mistake(std::io::Error::other("it is longer than 4 MiB")).into());
    }
    Ok(CedarFile { name: "-".to_owned(), text })
}
