//! `report`: what happened in a period, for somebody who was not there, as one page that can be kept.

mod controls;
mod facts;
mod page;

use jiff::Timestamp;

use self::{controls::Matrix, facts::Facts, page::Integrity};
use super::{load, posture, wait};
use crate::{
    cli::{Global, Output, report::ReportArgs},
    outcome::Mistake,
    print, state,
};

pub fn run(global: &Global, args: &ReportArgs) -> anyhow::Result<()> {
    let matrix = Matrix::read()?;
    if args.controls {
        return match global.output {
            Output::Json => print::json(&matrix),
            Output::Table => print::text(&matrix.markdown()),
        };
    }
    let to = args.to.unwrap_or_else(Timestamp::now);
    if to <= args.from {
        let mend = "name the earlier time with --from and the later one with --to";
        return Err(Mistake::new("the period ends before it begins", mend).into());
    }
    let loaded = load(global)?;
    let folder = state::folder(global.state_dir.clone())?;
    let facts = print::patiently("reading the log", || {
        Facts::gather(&state::journals(&folder), args.from, to, &matrix)
    })?;
    let integrity =
        print::patiently("verifying the log", || Integrity::of_all(&state::journals(&folder)));
    let protections = wait(posture::all(global, &loaded))?;
    match global.output {
        Output::Json => print::json(&serde_json::json!({
            "from": args.from, "to": to, "facts": facts, "integrity": integrity,
            "protections": protections, "matrix": matrix,
        })),
        Output::Table => {
            let period = page::Period { from: args.from, to };
            let title = args.title.as_deref();
            let page =
                page::write(title, period, &loaded, &protections, &facts, &integrity, &matrix)?;
            print::text(&page)
        }
    }
}
