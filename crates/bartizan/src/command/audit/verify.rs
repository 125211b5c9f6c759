//! `audit verify`

use std::path::{Path, PathBuf};

use ::audit::{Checkpoint, Place, Tampered, Verified, VerifierKey, WitnessKey};
use serde_json::json;

use crate::{
    cli::{Global, Output},
    outcome::{Mistake, Told},
    print,
};

pub fn run(
    global: &Global,
    dir: Option<PathBuf>,
    named: Option<&str>,
    checkpoints: &[PathBuf],
    witnesses: &[WitnessKey],
) -> anyhow::Result<()> {
    let dir = super::journal(global, dir)?;
    let own = dir.join("audit.pub");
    let key = super::key(named.unwrap_or(&own.to_string_lossy()))?;
    let mut kept = Vec::new();
    for path in checkpoints {
        let note = std::fs::read_to_string(path).map_err(|error| {
            let mend = "--checkpoint takes a copy of the file `checkpoint`";
            Mistake::new(format!("{}: {error}", path.display()), mend)
        })?;
        let Some(checkpoint) = Checkpoint::open(&note, &key) else {
            let place = Place { file: path.clone(), line: 1 };
            return tampered(global, &Tampered::Checkpoint(place));
        };
        kept.push(checkpoint);
    }
    let mut signers = Vec::new();
    for witness in witnesses {
        let note = ::audit::cosigned(&dir)?.unwrap_or_default();
        let (Some(time), Some(checkpoint)) = (witness.signed(&note), Checkpoint::open(&note, &key))
        else {
            let place = Place { file: dir.join("checkpoint.cosigned"), line: 1 };
            return tampered(global, &Tampered::Checkpoint(place));
        };
        signers.push((witness.name(), checkpoint.size, time));
        kept.push(checkpoint);
    }
    let what = format!("verifying {}", dir.display());
    match print::patiently(&what, || ::audit::verify_with(&dir, &key, &kept)) {
        Ok(verified) => report(global, &dir, &key, named.is_none(), &verified, &signers),
        Err(fault) => tampered(global, &fault),
    }
}

fn report(
    global: &Global,
    dir: &Path,
    key: &VerifierKey,
    own: bool,
    verified: &Verified,
    signers: &[(&str, u64, u64)],
) -> anyhow::Result<()> {
    let Verified { size, root, records, checkpoints, pruned } = *verified;
    let root = super::root(root);
    if global.output == Output::Json {
        return print::json(&json!({
            "ok": true, "journal": dir, "key": key.to_string(), "records": records, "size": size, "root": root,
            "checkpoints": checkpoints,
            "witnesses": signers.iter().map(|(name, size, time)| json!({"name": name, "size": size, "time": time})).collect::<Vec<_>>(),
            "pruned": pruned.map(|pruned| json!({"last": pruned.last, "by": pruned.by})),
        }));
    }
    let unsigned = match records.saturating_sub(size) {
        0 => String::new(),
        unsigned => format!(" ({unsigned} of them not signed yet)"),
    };
    let removed = match pruned {
        None => String::new(),
        Some(pruned) => {
            format!("removed      up to {}, as record {} says\n", pruned.last, pruned.by)
        }
    };
    let witnessed =
        |(name, size, _): &(&str, u64, u64)| format!("witness      {name}, {size} records\n");
    let witnessed: String = signers.iter().map(witnessed).collect();
    let hint = if own {
        "\n             (the folder's own: a copy kept elsewhere says more, with --key)"
    } else {
        ""
    };
    print::line(&format!(
        "journal      {}\nkey          {key}{hint}\nrecords      {records}{unsigned}\n{removed}size         {size}\n\
         root         {root}\ncheckpoints  {checkpoints}\n{witnessed}OK",
        dir.display(),
    ))
}

fn tampered(global: &Global, fault: &Tampered) -> anyhow::Result<()> {
    if global.output == Output::Json {
        let (name, seq, place) = named(fault);
        let (file, line) = place.map(|place| (&place.file, place.line)).unzip();
        print::json(&json!({
            "ok": false, "fault": name, "seq": seq, "file": file, "line": line, "message": fault.to_string(),
        }))?;
        return Err(Told::failure().into());
    }
    let fault = anyhow::Error::new(fault.clone());
    Err(match fault.downcast_ref() {
        Some(Tampered::Unreadable(_) | Tampered::Unsigned(_)) => fault,
        _ => fault.context("NOT as it was signed"),
    })
}

/// Its name for programs, the record, and where it is.
fn named(fault: &Tampered) -> (&'static str, Option<u64>, Option<&Place>) {
    match fault {
        Tampered::Changed { seq, place, .. } => ("changed", Some(*seq), Some(place)),
        Tampered::Checkpoint(place) => ("checkpoint", None, Some(place)),
        Tampered::Deleted { seq, place } => ("deleted", Some(*seq), Some(place)),
        Tampered::Forked { place, .. } => ("forked", None, Some(place)),
        Tampered::Inserted { seq, place } => ("inserted", Some(*seq), Some(place)),
        Tampered::Reordered { seq, place } => ("reordered", Some(*seq), Some(place)),
        Tampered::Tile(_) => ("tile", None, None),
        Tampered::Truncated { seq, .. } => ("truncated", Some(*seq), None),
        Tampered::Unreadable(_) => ("unreadable", None, None),
        Tampered::Unsigned(_) => ("unsigned", None, None),
    }
}
