//! `bartizan audit` as it is typed.

use std::path::PathBuf;

use audit::{Filter, Kind, Outcome, WitnessKey};
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;

use super::when;

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Print the last records, and with --follow those that come
    #[command(after_help = "\
Examples:
  bartizan audit tail
  bartizan audit tail --follow --refused")]
    Tail {
        /// How many of the newest records are printed
        #[arg(long, short = 'n', default_value_t = 20, value_name = "COUNT")]
        lines: usize,
        /// Go on with the gateway's new records until Ctrl-C
        #[arg(long, short)]
        follow: bool,
        #[command(flatten)]
        only: Only,
    },
    /// Find records by who, what, when and how it ended
    #[command(after_help = "\
Examples:
  bartizan audit search --refused --since 2h
  bartizan audit search --who token:ci --tool 'github__*'
  bartizan audit search --server files --since 2026-11-01T00:00:00Z --output json

Oldest first, from the running gateway's journal and from those of commands that had a gateway of \
their own; their records are shown as own/N:SEQ.")]
    Search(SearchArgs),
    /// Show all that is recorded of one call, or one record
    #[command(after_help = "\
Examples:
  bartizan audit show 42
  bartizan audit show 1f2e3d4c-17 --output json")]
    Show {
        /// A record's number, as `search` shows it, or a call's id
        what: String,
        /// The journal's folder [default: audit in the state folder]
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Count records: who, what, how it ended
    #[command(after_help = "\
Examples:
  bartizan audit stats --since 7d
  bartizan audit stats --refused --since 24h --top 5")]
    Stats {
        #[command(flatten)]
        filters: Filters,
        /// How many values of each column are shown, the most frequent first
        #[arg(long, default_value_t = 10, value_name = "COUNT")]
        top: usize,
    },
    /// Write records in the form of another system, to a file or to standard output
    #[command(after_help = "\
Examples:
  bartizan audit export --since 30d > month.jsonl
  bartizan audit export --format csv --refused --since 7d --to refused.csv
  bartizan audit export --format ocsf --who user:42 --until 2026-11-01T00:00:00Z

For what is to go elsewhere all the time there are [export.NAME] sections: docs/export.md.")]
    Export {
        /// The records' form
        #[arg(long, value_enum, default_value_t = Form::Native)]
        format: Form,
        #[command(flatten)]
        filters: Filters,
        /// The file to write, which must not be there yet [default: standard output]
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        /// The journal's folder [default: audit in the state folder]
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Destroy the key of somebody whose records are sealed: who they were can't be read any more
    #[command(after_help = "\
Example: bartizan audit forget user:corp/alice

With [audit] personal = \"sealed\". The records stay, and the log still verifies; what named the person in \
them is gone for good, in exports too. A running gateway notices within a minute and records it. Backups \
of the state folder made before still have the key.")]
    Forget {
        /// The person, as `search` shows them
        who: String,
        /// The journal's folder [default: audit in the state folder]
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Verify that all records are those that were signed
    #[command(after_help = "\
Examples:
  bartizan audit verify
  bartizan audit verify --dir /mnt/copy --key audit.pub --checkpoint yesterday

Names the first record that was changed, deleted, inserted or moved, with file and line; the exit \
code is 1 then. It may run beside a gateway. Whoever can write to the folder can replace all of it \
and its key too: with --key and --checkpoint, kept on another machine, that shows as well.")]
    Verify {
        /// The journal's folder [default: audit in the state folder]
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// The public key, or a file with it [default: audit.pub in the journal's folder]
        #[arg(long, value_name = "FILE|VKEY")]
        key: Option<String>,
        /// A copy of the file `checkpoint` that was kept elsewhere; may be given more than once
        #[arg(long = "checkpoint", value_name = "FILE")]
        checkpoints: Vec<PathBuf>,
        /// The public key of a witness, whose signature must be there; may be given more than once
        #[arg(long = "witness", value_name = "VKEY")]
        witnesses: Vec<WitnessKey>,
    },
    /// Print what a call said, as it was sealed for an auditor
    #[command(after_help = "\
Examples:
  bartizan audit open 42 --identity auditor.key
  bartizan audit open 42 --sealed | age --decrypt --identity auditor.key

Only calls that [audit.payloads] covers have it, from when somebody is named in its `recipients`. The intent \
of a call has its arguments (of a model's: the request's body), the outcome its result. The sealed bytes are held against the digest in the record first; the exit code is 1 when they are others, \
and when they are no longer there.")]
    Open {
        /// The record's number, as `tail` and `search` show it
        seq: u64,
        /// The auditor's private key, as age-keygen writes it; `-` reads it from standard input
        #[arg(long, value_name = "FILE", required_unless_present = "sealed")]
        identity: Option<PathBuf>,
        /// Print the bytes as they are sealed, a file that `age` opens
        #[arg(long, conflicts_with = "identity")]
        sealed: bool,
        /// The journal's folder [default: audit in the state folder]
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Print a receipt: a record, with the proof that it is in the signed log
    #[command(after_help = "\
Examples:
  bartizan audit prove 42 > receipt
  bartizan audit check receipt
  python3 tools/verify/check_receipt.py receipt \"$(cat audit.pub)\"

Whoever has the receipt and the public key needs nothing else, not even Bartizan: the script is \
one file of plain Python.")]
    Prove {
        /// The record's number, as `tail` and `search` show it
        seq: String,
        /// The journal's folder [default: audit in the state folder]
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Check a receipt with the public key, and print its record
    #[command(after_help = "\
Examples:
  bartizan audit check receipt --key audit.pub
  bartizan audit prove 42 | bartizan audit check -

tools/verify/check_receipt.py does the same without Bartizan. The exit code is 1 when the receipt \
proves nothing.")]
    Check {
        /// The receipt; `-` reads it from standard input
        file: PathBuf,
        /// The public key, or a file with it [default: audit.pub of the journal in the state folder]
        #[arg(long, value_name = "FILE|VKEY")]
        key: Option<String>,
    },
}

/// The form of records that are written for another system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// As they stand in the journal
    Native,
    /// The Open Cybersecurity Schema Framework
    Ocsf,
    /// ArcSight's Common Event Format
    Cef,
    /// A table for a spreadsheet
    Csv,
}

/// Which outcomes are shown.
#[derive(Clone, Copy, Debug, Args)]
pub struct Only {
    /// Only what Bartizan refused
    #[arg(long)]
    pub refused: bool,
    /// Only what Bartizan refused or what ended in an error
    #[arg(long, conflicts_with = "refused")]
    pub failed: bool,
}

/// What records are asked for by.
#[derive(Debug, Args)]
pub struct Filters {
    /// Only records of callers or clients in whose names this text is
    #[arg(long, value_name = "TEXT")]
    pub who: Option<String>,
    /// Only records about this tool, prompt or resource, as `server__tool` or the name alone; `*` and `?` are wildcards
    #[arg(long, value_name = "GLOB")]
    pub tool: Option<String>,
    /// Only records about this server; what was refused before it was called is found by --tool 'NAME__*'
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,
    /// Only the records of the call with this id
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Only records of this kind, such as approval, egress or grant
    #[arg(long, value_parser = kind)]
    pub kind: Option<Kind>,
    /// Only records of calls that ended so, such as ok, tool_error or unknown
    #[arg(long, value_parser = outcome)]
    pub outcome: Option<Outcome>,
    #[command(flatten)]
    pub only: Only,
    /// Only records from then on: so long ago, such as 2h or 7d, a day as 2026-11-23 (UTC), or a time as 2026-11-23T17:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub since: Option<Timestamp>,
    /// Only records before then, in the same forms
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub until: Option<Timestamp>,
}

impl Filters {
    /// As the journal is asked.
    pub fn filter(self) -> Filter {
        let Filters { who, tool, server, id, kind, outcome, only, since, until } = self;
        let Only { refused, failed } = only;
        let events = kind != Some(Kind::Checkpoint);
        Filter { who, tool, server, id, kind, outcome, refused, failed, events, since, until }
    }
}

#[derive(Debug, Args)]
pub struct SearchArgs {
    #[command(flatten)]
    pub filters: Filters,
    /// How many records are shown at most, the newest
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    pub limit: usize,
}

fn kind(text: &str) -> Result<Kind, String> {
    let all = Kind::ALL.map(Kind::as_str).join(", ");
    Kind::named(text).ok_or_else(|| format!("there is no such kind; write one of {all}"))
}

fn outcome(text: &str) -> Result<Outcome, String> {
    let all = Outcome::ALL.map(Outcome::as_str).join(", ");
    Outcome::named(text).ok_or_else(|| format!("nothing ends so; write one of {all}"))
}
