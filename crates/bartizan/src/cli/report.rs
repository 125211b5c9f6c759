//! `report` as it is typed.

use clap::Args;
use jiff::Timestamp;

use super::when;

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// From then on: a day as 2026-11-01 (UTC), a time with its zone, or so long ago, such as 30d
    #[arg(long, value_name = "WHEN", default_value = "30d", value_parser = when)]
    pub from: Timestamp,
    /// Before then, in the same forms [default: now]
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub to: Option<Timestamp>,
    /// Whose gateway it is, for the title
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// Print the control matrix alone, in Markdown
    #[arg(long, conflicts_with_all = ["from", "to", "title"])]
    pub controls: bool,
}
