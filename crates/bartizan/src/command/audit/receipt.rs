//! `audit prove` and `audit check`

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use ::audit::{ProveFault, Proven};
use anyhow::Context;
use serde_json::{Value, json};

use crate::{
    cli::{Global, Output},
    outcome::{Mistake, Told},
    print::{self, tame},
    state,
};

/// The longest receipt that is read: the longest record, in base64, and its proof.
const LIMIT: u64 = 32 << 20;

pub fn prove(global: &Global, seq: &str, dir: Option<PathBuf>) -> anyhow::Result<()> {
    let (dir, seq) = super::placed(global, seq, dir)?;
    let seq: u64 = seq.parse().map_err(|_| {
        let mend = "`bartizan audit search` shows the records with their numbers";
        Mistake::new(format!("`{seq}` is not the number of a record"), mend)
    })?;
    let what = format!("proving record {seq}");
    match print::patiently(&what, || ::audit::prove(&dir, seq)) {
        Ok(receipt) => print::text(&receipt),
        Err(fault @ (ProveFault::Missing(_) | ProveFault::Pruned(_))) => {
            let mend = "`bartizan audit search` shows the records with their numbers";
            Err(Mistake::new(format!("{fault} in {}", dir.display()), mend).into())
        }
        Err(fault @ ProveFault::Pending { .. }) => {
            anyhow::bail!("{fault}; a running gateway signs what is new within 10 seconds")
        }
        Err(fault) => Err(fault.into()),
    }
}

pub fn check(global: &Global, file: &Path, key: Option<&str>) -> anyhow::Result<()> {
    let key = match key {
        Some(named) => super::key(named)?,
        None => {
            let own =
                state::folder(global.state_dir.clone())?.join(state::JOURNAL).join("audit.pub");
            super::key(&own.to_string_lossy())?
        }
    };
    let receipt = read(file)?;
    let json = global.output == Output::Json;
    let proven = match ::audit::check(&receipt, &key) {
        Ok(proven) => proven,
        Err(fault) if json => {
            print::json(&json!({"ok": false, "message": fault.to_string()}))?;
            return Err(Told::failure().into());
        }
        Err(fault) => return Err(fault).context("NOT proven"),
    };
    let Proven { record, seq, checkpoint } = proven;
    if json {
        let record: Value = serde_json::from_str(&record).unwrap_or(Value::String(record));
        return print::json(&json!({
            "ok": true, "seq": seq, "record": record, "log": key.name(), "size": checkpoint.size,
            "root": super::root(checkpoint.root),
        }));
    }
    print::line(&format!(
        "proven: record {seq} of {}, signed when it had {} records\n{}",
        key.name(),
        checkpoint.size,
        tame(&record)
    ))
}

fn read(file: &Path) -> Result<String, Mistake> {
    let mut text = String::new();
    let read = match file.to_str() {
        Some("-") => io::stdin().lock().take(LIMIT).read_to_string(&mut text),
        _ => File::open(file).and_then(|file| file.take(LIMIT).read_to_string(&mut text)),
    };
    read.map_err(|error| {
        let mend = "name a receipt, as `bartizan audit prove` prints it";
        Mistake::new(format!("{}: {error}", file.display()), mend)
    })?;
    Ok(text)
}
