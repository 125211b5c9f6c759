//! `audit export`

use std::{
    fs::OpenOptions,
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use ::audit::{Followed, Format, VerifierKey};

use crate::{
    cli::{
        Global,
        audit::{Filters, Form},
    },
    outcome::Mistake,
    print,
};

/// The columns of a table.
const COLUMNS: [&str; 16] = [
    "seq",
    "time",
    "kind",
    "id",
    "principal",
    "client",
    "server",
    "method",
    "name",
    "outcome",
    "refusal",
    "rule",
    "duration_us",
    "trace",
    "address",
    "detail",
];

pub fn run(
    global: &Global,
    form: Form,
    filters: Filters,
    to: Option<PathBuf>,
    dir: Option<PathBuf>,
) -> anyhow::Result<()> {
    let dir = super::journal(global, dir)?;
    let key: VerifierKey = super::key(&dir.join("audit.pub").to_string_lossy())?;
    let mut filter = filters.filter();
    // All of them is all of them: then no number is missing.
    filter.events = form == Form::Csv;
    let mut out: Box<dyn Write> = match &to {
        None => Box::new(io::stdout().lock()),
        Some(path) => {
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let file = options.open(path).map_err(|error| {
                Mistake::new(
                    format!("{}: {error}", path.display()),
                    "name a file that is not there yet",
                )
            })?;
            Box::new(file)
        }
    };
    let records = ::audit::search(&dir, filter)?.records();
    let write = || write(&mut out, form, key.name(), records);
    let written = if to.is_some() { print::patiently("exporting", write) } else { write() };
    match written {
        Err(error) if is_broken_pipe(&error) => std::process::exit(0),
        Err(error) => return Err(error),
        Ok(count) if to.is_some() => eprintln!("{count} records"),
        Ok(_) => {}
    }
    Ok(())
}

fn write(
    out: &mut dyn Write,
    form: Form,
    origin: &str,
    records: impl Iterator<Item = Result<Followed, ::audit::AuditFault>>,
) -> anyhow::Result<u64> {
    let mut out = BufWriter::with_capacity(1 << 18, out);
    let format = match form {
        Form::Native => Some(Format::Native),
        Form::Ocsf => Some(Format::Ocsf),
        Form::Cef => Some(Format::Cef),
        Form::Csv => None,
    };
    if format.is_none() {
        out.write_all(format!("{}\r\n", COLUMNS.join(",")).as_bytes())?;
    }
    let mut count = 0;
    for record in records {
        let record = record?;
        let line = match format {
            Some(format) => format!("{}\n", format.render(origin, &record)?),
            None => row(&record)?,
        };
        out.write_all(line.as_bytes())?;
        count += 1;
    }
    out.flush()?;
    Ok(count)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// A row of RFC 4180.
fn row(record: &Followed) -> anyhow::Result<String> {
    let members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&record.line)?;
    let cell = |name: &&str| match members.get(*name) {
        None => String::new(),
        Some(serde_json::Value::String(text)) => quoted(text),
        Some(other) => quoted(&other.to_string()),
    };
    Ok(format!("{}\r\n", COLUMNS.iter().map(cell).collect::<Vec<_>>().join(",")))
}

/// Spreadsheets take what begins like a formula for one: such text gets an apostrophe before it.
fn quoted(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_are_no_formulas() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("a,\"b\"\n"), "\"a,\"\"b\"\"\n\"");
        assert_eq!(quoted("=cmd|' /C calc'!A0"), "'=cmd|' /C calc'!A0");
    }
}
