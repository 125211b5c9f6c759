//! `report` as it is typed.

use clap::Args;
use jiff::Timestamp;

use super::when;

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The beginning of the period: a day as 2026-11-01 (UTC), a time with its zone, or so long ago, such as 30d
    #[arg(long, value_name = "WHEN", default_value = "30d", value_parser = when)]
    pub from: Timestamp,
    /// The end of the period, in the same forms [default: now]
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub to: Option<Timestamp>,
    /// Whose gateway it is, for the page's title
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// Print the control matrix alone, in Markdown
    #[arg(long, conflicts_with_all = ["from", "to", "title"])]
    pub controls: bool,
}
