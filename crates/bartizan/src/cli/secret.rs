//! `bartizan secret` as it is typed.

use clap::{Args, Subcommand};

use super::typed;
use crate::config::value::{Period, ValueFault};

#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Keep a secret, sealed
    #[command(after_help = "\
Examples:
  bartizan secret set github                                 asks, and shows nothing of the answer
  pass show github | bartizan secret set github              reads standard input
  bartizan secret set github --expires 90d --owner ops@example.com

Then write ${secret:github} in the configuration where the value belongs. The first secret makes the \
master key, which is in the state folder unless [vault] says otherwise: keep a copy of it elsewhere. \
A value is never an argument, since every user of the machine can read those. When it is a JSON Web \
Token, its own end is known.")]
    Set(KeepArgs),
    /// Put a new value in a secret's place; a running gateway uses it within a second
    #[command(after_help = "\
Example:
  bartizan secret rotate github --expires 90d")]
    Rotate(KeepArgs),
    /// List the secrets, without their values
    List,
    /// Remove a secret
    #[command(after_help = "\
A secret that the configuration uses is kept unless --force is given: without it, calls that need it \
are refused.")]
    Remove {
        /// The secret's name, as `secret list` shows it
        name: String,
        /// Remove it although the configuration uses it
        #[arg(long)]
        force: bool,
    },
    /// Show where the configuration uses which secrets
    #[command(after_help = "\
Examples:
  bartizan secret where-used
  bartizan secret where-used github")]
    WhereUsed {
        /// Only this sealed secret [default: all secrets]
        name: Option<String>,
    },
    /// Show which secrets expire, when, and who must act
    #[command(after_help = "\
Examples:
  bartizan secret expiry
  bartizan secret expiry --within 30d || mail -s 'secrets expire' ops@example.com

Exit code 1 when something has expired or will within that time (by default `warn-before` of [vault]). \
Looks at sealed secrets, and at values in the environment and in files that say their own end.")]
    Expiry {
        /// How far ahead is looked, such as 30d [default: `warn-before` of [vault]]
        #[arg(long, value_name = "PERIOD", value_parser = typed::<Period>)]
        within: Option<Period>,
    },
    /// Make a new master key, and new keys for all secrets; the values stay
    #[command(after_help = "\
Everything is sealed anew at once or not at all, as [vault] says now: this is also how a changed \
`master` takes effect. A running gateway goes on meanwhile.")]
    RotateMaster,
}

#[derive(Debug, Args)]
pub struct KeepArgs {
    /// The secret's name: letters, digits, `-`, `_` and `.`
    pub name: String,
    /// When it expires: a period from now, such as 90d, or a date, such as 2027-03-31
    #[arg(long, value_name = "WHEN", value_parser = typed::<Expires>)]
    pub expires: Option<Expires>,
    /// Who must act before it expires, as warnings and `secret expiry` then say
    #[arg(long, value_name = "WHO")]
    pub owner: Option<String>,
}

/// When something expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expires {
    In(std::time::Duration),
    At(jiff::Timestamp),
}

impl std::str::FromStr for Expires {
    type Err = ValueFault;

    fn from_str(text: &str) -> Result<Self, ValueFault> {
        if let Ok(period) = text.parse::<Period>() {
            return Ok(Expires::In(period.0));
        }
        let utc = jiff::tz::TimeZone::UTC;
        let date = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(utc).ok();
        let time = text.parse().ok().or_else(|| date().map(|zoned| zoned.timestamp()));
        let mend = "write a period such as 90d, or a date such as 2027-03-31";
        time.map(Expires::At).ok_or_else(|| ValueFault::new(format!("`{text}` is no time"), mend))
    }
}

impl Expires {
    /// In seconds since 1970.
    pub fn seconds(self, now: u64) -> u64 {
        match self {
            Expires::In(period) => now.saturating_add(period.as_secs()),
            Expires::At(time) => u64::try_from(time.as_second()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_and_dates_are_read() {
        let seconds = |text: &str| text.parse::<Expires>().map(|when| when.seconds(1000)).ok();
        assert_eq!(seconds("90d"), Some(1000 + 90 * 86_400));
        assert_eq!(seconds("1970-01-02"), Some(86_400));
        assert_eq!(seconds("1970-01-02T00:00:01Z"), Some(86_401));
        assert_eq!(seconds("soon"), None);
        assert_eq!(seconds("2026-13-01"), None);
    }
}
