//! Policies that the store holds.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use gateway::Stored;
use policy::{CedarFile, Misread, Role};
use serde::Serialize;
use store::{Store, StoredPolicy};

use super::{
    super::{now, token::time, wait},
    arguments,
};
use crate::{
    cli::Global,
    config::{LoadFault, Loaded, fault::nearest, policies},
    outcome::Mistake,
    print, state,
};

/// As changes are recorded that the owner of the state folder makes.
const OWNER: &str = "owner";

/// The configuration that serves here, with the store's policies.
pub fn load(global: &Global) -> anyhow::Result<Loaded> {
    with(super::super::load(global)?, global)
}

/// A configuration with the store's policies.
pub fn with(mut loaded: Loaded, global: &Global) -> anyhow::Result<Loaded> {
    let path = path(global)?;
    if path.exists() {
        let stored = wait(async {
            let store = Store::open(&path).await?;
            let stored = Stored::read(&store).await?;
            store.close().await;
            Ok(stored)
        })?;
        loaded.policies.extend(stored.files);
    }
    Ok(loaded)
}

fn path(global: &Global) -> anyhow::Result<PathBuf> {
    Ok(state::folder(global.state_dir.clone())?.join(state::STORE))
}

async fn open(global: &Global) -> anyhow::Result<Store> {
    state::make(&state::folder(global.state_dir.clone())?)?;
    Ok(Store::open(&path(global)?).await?)
}

pub fn put(global: &Global, name: &str, file: &Path) -> anyhow::Result<()> {
    Role::check_name(name).map_err(|_| {
        let what = format!("`{name}` can't be the name of a policy");
        Mistake::new(what, "choose 1 to 64 of a-z, 0-9, _ and -")
    })?;
    let new = read(file)?;
    let mut loaded = super::super::load(global)?;
    let folder = state::folder(global.state_dir.clone())?;
    wait(async {
        let store = open(global).await?;
        let stored = Stored::read(&store).await?;
        let own = format!("store:{name}");
        let others = stored.files.into_iter().filter(|file| file.name != own);
        loaded.policies.extend(others.chain([new.clone()]));
        let path = loaded.path.clone().unwrap_or_default();
        let policy = policies::check(&loaded.file, &loaded.policies, &path, &loaded.text)
            .map_err(|faulty| LoadFault::Faulty(Box::new(faulty)))?;
        let is_new = |found: &Misread| found.place.as_ref().is_some_and(|at| at.0 == new.name);
        arguments::warn(&folder, &loaded, &policy, is_new).await;
        let digest = digest(&new.text);
        let policy =
            StoredPolicy { name: name.to_owned(), cedar: new.text, by: OWNER.into(), set: now() };
        let kept = store.policy_put(&policy, &digest, stored.generation).await?;
        store.close().await;
        done(kept, "kept; gateways of this store apply it within a second")
    })
}

pub fn remove(global: &Global, name: &str) -> anyhow::Result<()> {
    wait(async {
        let store = open(global).await?;
        let (generation, policies) = store.policies().await?;
        let policy = found(&policies, name)?;
        let digest = digest(&policy.cedar);
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
        print::text(&found(&policies, name)?.cedar)
    })
}

#[derive(Serialize)]
struct Row {
    name: String,
    set: String,
    by: String,
    sha256: String,
}

impl print::Row for Row {
    const TITLES: &'static [&'static str] = &["NAME", "SET", "BY", "SHA-256"];

    fn cells(&self) -> Vec<String> {
        vec![self.name.clone(), self.set.clone(), self.by.clone(), self.sha256.clone()]
    }
}

pub fn list(global: &Global) -> anyhow::Result<()> {
    wait(async {
        let store = open(global).await?;
        let (_, policies) = store.policies().await?;
        store.close().await;
        let row = |policy: StoredPolicy| Row {
            set: time(policy.set),
            sha256: digest(&policy.cedar).iter().map(|byte| format!("{byte:02x}")).collect(),
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
        let mend = "name a file in Cedar of at most 4 MiB, or `-` for standard input";
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
