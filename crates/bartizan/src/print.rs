//! Tables for people, JSON for programs.

use std::{
    io::{self, IsTerminal, Write},
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::cli::Output;

/// One row type knows its columns; a list of rows prints in either form.
pub trait Row: Serialize {
    /// The columns' titles.
    const TITLES: &'static [&'static str];
    /// One cell for each column.
    fn cells(&self) -> Vec<String>;
}

/// Prints rows; `nothing` is said instead of an empty table.
pub fn rows<R: Row>(output: Output, rows: &[R], nothing: &str) -> anyhow::Result<()> {
    match output {
        Output::Json => json(&rows),
        Output::Table if rows.is_empty() => line(nothing),
        Output::Table => {
            let mut table = Table::new();
            table
                .load_style(presets::NOTHING)
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_header(R::TITLES);
            // Into a pipe or a file each row is one line, whatever its length.
            if let Some((width, _)) = terminal_size::terminal_size_of(io::stdout()) {
                table.set_width(width.0.max(60));
            }
            for row in rows {
                table.add_row(row.cells());
            }
            let lines: Vec<String> = table
                .lines()
                .map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned())
                .collect();
            line(&lines.join("\n"))
        }
    }
}

/// Prints one value as JSON.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// Prints a line. A reader that went away (`| head`) is not an error.
pub fn line(text: &str) -> anyhow::Result<()> {
    text_and(text, "\n")
}

/// Prints a text as it is.
pub fn text(text: &str) -> anyhow::Result<()> {
    text_and(text, "")
}

fn text_and(text: &str, end: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match write!(out, "{text}{end}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        outcome => Ok(outcome?),
    }
}

/// Text from a server or a record, safe for a terminal: control characters are shown, not obeyed.
pub fn tame(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c })
        .collect()
}

/// A sign of life on a terminal while something takes its time.
pub fn waiting(what: &str) -> indicatif::ProgressBar {
    if !io::stderr().is_terminal() {
        return indicatif::ProgressBar::hidden();
    }
    let bar = indicatif::ProgressBar::new_spinner().with_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// The same for work that usually needs none: it appears after a second.
pub fn patiently<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let (working, over) = mpsc::channel::<()>();
    std::thread::scope(move |scope| {
        // Goes when the work ends, even by a panic.
        let _working = working;
        scope.spawn(move || {
            if over.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                let bar = waiting(what);
                let _ = over.recv();
                bar.finish_and_clear();
            }
        });
        work()
    })
}
