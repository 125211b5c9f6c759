//! `report` as it is typed.

use clap::Args;
use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::when;

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// From then on: a day as 2026-11-01 (UTC), a time with its zone, or so long ago, such as 30d
    #[arg(long, value_name = "WHEN", default_value = "30d", value_parser = day_or_time)]
    pub from: Timestamp,
    /// Before then, in the same forms [default: now]
    #[arg(long, value_name = "WHEN", value_parser = day_or_time)]
    pub to: Option<Timestamp>,
    /// Whose gateway it is, for the title
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// Print the control matrix alone, in Markdown
    #[arg(long, conflicts_with_all = ["from", "to", "title"])]
    pub controls: bool,
}

fn day_or_time(text: &str) -> Result<Timestamp, String> {
    match text.parse::<Date>() {
        Ok(day) if text.len() == 10 => day
            .to_zoned(TimeZone::UTC)
            .map(|day| day.timestamp())
            .map_err(|fault| fault.to_string()),
        _ => when(text),
    }
}
