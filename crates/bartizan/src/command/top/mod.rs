//! `top`: what the running gateway does now, drawn again and again.

mod frame;

use std::{
    collections::VecDeque,
    io::{self, IsTerminal, Write},
    path::Path,
    time::{Duration, Instant},
};

use ::audit::{Filter, search};
use gateway::{Control, telemetry};
use serde_json::Value;

use self::frame::{Frame, Refused, Snapshot};
use super::{ended, processes::ask, wait};
use crate::{
    cli::{Global, Output},
    print, state,
};

/// Rates and quantiles are over this many rounds.
const WINDOW: usize = 10;
/// Refusals that are shown.
const REFUSALS: usize = 8;

/// Another screen, the cursor hidden; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

pub fn run(global: &Global, once: bool, every: Duration) -> anyhow::Result<()> {
    let every = every.max(Duration::from_millis(200));
    let live = !once && global.output == Output::Table && io::stdout().is_terminal();
    let mut seen = VecDeque::from([snapshot(global)?]);
    if !live {
        // A rate needs two looks.
        std::thread::sleep(every.min(Duration::from_secs(1)));
        seen.push_back(snapshot(global)?);
        let frame = frame(global, &seen)?;
        return match global.output {
            Output::Json => print::json(&frame),
            Output::Table => print::text(&frame.drawn(None)),
        };
    }
    let screen = Screen::enter()?;
    wait(async {
        let mut over = std::pin::pin!(ended());
        loop {
            tokio::select! {
                () = &mut over => return Ok(()),
                () = tokio::time::sleep(every) => {}
            }
            if seen.len() > WINDOW {
                seen.pop_front();
            }
            seen.push_back(snapshot(global)?);
            screen.draw(&frame(global, &seen)?)?;
        }
    })
}

fn snapshot(global: &Global) -> anyhow::Result<Snapshot> {
    match ask(global, Control::Metrics)? {
        Value::String(text) => Ok(Snapshot::of(&telemetry::parse(&text), Instant::now())),
        _ => anyhow::bail!(
            "the running gateway does not know this question: it is of another version"
        ),
    }
}

fn frame(global: &Global, seen: &VecDeque<Snapshot>) -> anyhow::Result<Frame> {
    let folder = state::folder(global.state_dir.clone())?;
    let refusals = refusals(&folder.join(state::JOURNAL)).unwrap_or_default();
    Ok(Frame::new(seen, refusals))
}

/// The newest refusals of the last quarter of an hour.
fn refusals(journal: &Path) -> anyhow::Result<Vec<Refused>> {
    let since = jiff::Timestamp::now().checked_sub(jiff::SignedDuration::from_mins(15))?;
    let filter = Filter { refused: true, since: Some(since), ..Filter::default() };
    let mut newest = VecDeque::new();
    for entry in search(journal, filter)? {
        if newest.len() == REFUSALS {
            newest.pop_front();
        }
        newest.push_back(Refused::of(&entry?));
    }
    Ok(newest.into())
}

/// The terminal, as it was when this is dropped.
struct Screen;

impl Screen {
    fn enter() -> io::Result<Screen> {
        let mut out = io::stdout().lock();
        out.write_all(ENTER.as_bytes())?;
        out.flush()?;
        Ok(Screen)
    }

    /// Line over line, so that nothing flickers.
    fn draw(&self, frame: &Frame) -> io::Result<()> {
        let size = terminal_size::terminal_size();
        let size = size.map(|(width, height)| (usize::from(width.0), usize::from(height.0)));
        let mut text = String::from("\x1b[H");
        let drawn = frame.drawn(size);
        let rows = size.map_or(usize::MAX, |(_, height)| height.saturating_sub(1));
        for line in drawn.lines().take(rows) {
            text.push_str(line);
            text.push_str("\x1b[K\r\n");
        }
        text.push_str("\x1b[J");
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush());
    }
}
