//! What another policy would have said to what was asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use audit::Filter;
use jiff::Timestamp;
use policy::Recalled;
use serde::Serialize;

use super::{
    of,
    recorded::{Known, Request},
    stored,
};
use crate::{cli::Global, command::wait, config, print, state};

/// What becomes of requests that are alike.
#[derive(Serialize)]
struct Change {
    times: usize,
    /// The first such record.
    seq: u64,
    who: String,
    what: String,
    then: &'static str,
    /// `permit`, `ask`, `deny`, or `unknown` where it hangs on what the log does not hold.
    now: &'static str,
    /// What decides now; of what is unknown, all that might.
    rule: String,
    /// What would have to be known.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    missing: BTreeSet<&'static str>,
}

impl print::Row for Change {
    const TITLES: &'static [&'static str] =
        &["TIMES", "RECORD", "WHO", "WHAT", "THEN", "NOW", "RULE", "NOT IN THE LOG"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.times.to_string(),
            self.seq.to_string(),
            print::tame(&self.who),
            print::tame(&self.what),
            self.then.to_owned(),
            self.now.to_owned(),
            self.rule.clone(),
            self.missing.iter().copied().collect::<Vec<_>>().join(", "),
        ]
    }
}

/// `new`: a configuration whose roles and policies are asked.
pub fn run(
    global: &Global,
    from: Option<Timestamp>,
    new: &Path,
    journal: Option<PathBuf>,
) -> anyhow::Result<()> {
    let loaded = stored::with(config::read(new)?, global)?;
    let policy = of(&loaded)?;
    let folder = state::folder(global.state_dir.clone())?;
    let known = wait(Known::of(&folder))?;
    let journals = journal.map_or_else(|| state::journals(&folder), |journal| vec![journal]);
    let mut changes: BTreeMap<(String, String, &str, &str, String), Change> = BTreeMap::new();
    let (mut asked, mut changed, mut unknown) = (0_usize, 0_usize, 0_usize);
    for journal in journals {
        let filter = Filter { since: from, ..Filter::default() };
        for entry in audit::search(&journal, filter)? {
            let entry = entry?;
            let Some(request) = Request::of(&entry, &known) else { continue };
            asked += 1;
            let Some(change) = change(&request, request.recall(&policy)) else { continue };
            match change.now {
                "unknown" => unknown += 1,
                _ => changed += 1,
            }
            let key = (
                change.who.clone(),
                change.what.clone(),
                change.then,
                change.now,
                change.rule.clone(),
            );
            changes.entry(key).or_insert(change).times += 1;
        }
    }
    let rows: Vec<Change> = changes.into_values().collect();
    print::rows(global.output, &rows, "nothing would change")?;
    eprintln!("{changed} of {asked} requests would be decided otherwise");
    if unknown > 0 {
        eprintln!("{unknown} can't be decided: they hang on what the log does not hold");
    }
    Ok(())
}

/// What changes; counted by whoever keeps it.
fn change(request: &Request, recalled: Recalled) -> Option<Change> {
    let (now, rule, missing) = match (&recalled.decision, recalled.possible) {
        (Some(decision), _) if decision.as_str() == request.then => return None,
        (Some(decision), _) => (decision.as_str(), decision.rule().to_owned(), BTreeSet::default()),
        // Whether it asks is open, that it lets the call pass is not.
        (None, Some(true)) if request.then != "deny" => return None,
        (None, _) => {
            let rules: Vec<&str> = recalled.hangs.iter().map(|one| one.rule.as_str()).collect();
            let missing = recalled.hangs.iter().flat_map(|one| one.on.iter().copied());
            ("unknown", rules.join("; "), missing.collect())
        }
    };
    Some(Change {
        times: 0,
        seq: request.seq,
        who: request.caller.id.clone(),
        what: format!("{}/{}", request.server, request.name),
        then: request.then,
        now,
        rule,
        missing,
    })
}
