//! Roles as configured.

use std::{ops::Range, str::FromStr};

use ipnet::IpNet;

use crate::{Member, Pattern, fault::PolicyFault, principal::ALL};

/// A role as configured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Role {
    /// Its name: 1 to 64 of `a-z0-9_-`; `all` is built in.
    pub name: String,
    /// Who has it without their credential saying so.
    pub members: Vec<Member>,
    /// Under which circumstances `allow` and `ask` hold. `deny` always does.
    pub when: When,
    /// What it allows.
    pub allow: Vec<Rule>,
    /// What it allows once a person has approved the very call, whatever else allows it.
    pub ask: Vec<Rule>,
    /// What it denies, whatever any role allows.
    pub deny: Vec<Rule>,
}

/// One line of `allow`, `ask` or `deny`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// On what.
    pub pattern: Pattern,
    /// Under which circumstances.
    pub when: When,
    /// With which arguments: all of these.
    pub arguments: Vec<ArgumentTest>,
    /// Only tools whose approved definition says all of these.
    pub annotated: Vec<Hint>,
    /// For people: why an approval is asked for.
    pub reason: Option<String>,
}

impl Rule {
    /// A pattern without conditions.
    pub fn plain(pattern: Pattern) -> Rule {
        Rule {
            pattern,
            when: When::default(),
            arguments: Vec::new(),
            annotated: Vec::new(),
            reason: None,
        }
    }
}

/// Circumstances. What is empty asks nothing; the rest must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// The caller's address is in one of these.
    pub networks: Vec<IpNet>,
    /// It is one of these hours.
    pub hours: Vec<Hours>,
    /// The user was authenticated in one of these ways (`acr`).
    pub acr: Vec<String>,
    /// By all of these methods (`amr`).
    pub amr: Vec<String>,
    /// No longer ago than this, in seconds.
    pub max_age: Option<u64>,
    /// The credential has all of these scopes.
    pub scopes: Vec<String>,
    /// The conversation has one of these labels.
    pub labels: Vec<String>,
    /// One of these detectors fired on the arguments.
    pub findings: Vec<String>,
}

/// What a tool's annotations must say. They are hints of the server itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// `readOnlyHint`
    ReadOnly,
    /// It is not said to be read-only.
    Writes,
    /// It writes, and `destructiveHint` is true or absent.
    Destructive,
    /// It only reads, or `destructiveHint` is false.
    NotDestructive,
    /// `idempotentHint`
    Idempotent,
    /// `openWorldHint` is true or absent.
    OpenWorld,
    /// `openWorldHint` is false.
    ClosedWorld,
}

impl Hint {
    /// All of them, with their names in the configuration.
    pub const ALL: [(&'static str, Hint); 7] = [
        ("read-only", Hint::ReadOnly),
        ("writes", Hint::Writes),
        ("destructive", Hint::Destructive),
        ("not-destructive", Hint::NotDestructive),
        ("idempotent", Hint::Idempotent),
        ("open-world", Hint::OpenWorld),
        ("closed-world", Hint::ClosedWorld),
    ];

    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        Hint::ALL.iter().find(|(_, own)| *own == self).map_or("", |(name, _)| name)
    }
}

/// A test of one argument.
#[derive(Clone, Debug, PartialEq)]
pub struct ArgumentTest {
    /// A JSON pointer into the arguments: `/branch`.
    pub pointer: String,
    /// What must hold there.
    pub test: Test,
}

/// What must hold of an argument.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// It is not given.
    Absent,
    /// A text in which `*` stands for any text. Where the pattern holds a slash, texts that could be
    /// taken for another path (`..`, `//`, `\`, `%2e`) do not satisfy it.
    Glob(String),
    /// It is one of these.
    OneOf(Vec<Scalar>),
    /// A number not below and not above. At most four places.
    Range(Option<Number>, Option<Number>),
}

/// A value that an argument is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// `true` or `false`.
    Flag(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
}

/// A number with at most four places, within ±922337203685476.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number(pub(crate) String);

impl FromStr for Number {
    type Err = ();

    fn from_str(text: &str) -> Result<Number, ()> {
        crate::arguments::decimal(text).map(Number).ok_or(())
    }
}

impl ArgumentTest {
    /// `None` when the pointer is none.
    pub fn new(pointer: &str, test: Test) -> Option<ArgumentTest> {
        crate::arguments::is_pointer(pointer)
            .then(|| ArgumentTest { pointer: pointer.to_owned(), test })
    }
}

/// Hours of a week: `mon-fri 09:00-17:30`, `22:00-06:00 +01:00`; UTC unless an offset says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours {
    text: String,
    /// In minutes from Monday 00:00 UTC; ends are not included.
    pub(crate) spans: Vec<Range<i64>>,
}

/// Why a text is no hours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time of the week")]
pub struct HoursFault(pub String);

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY: i64 = 24 * 60;

impl FromStr for Hours {
    type Err = HoursFault;

    fn from_str(text: &str) -> Result<Hours, HoursFault> {
        let fault = || HoursFault(text.to_owned());
        let (mut days, mut clock, mut offset) = (0..=6, None, 0);
        for word in text.split_whitespace() {
            if let Some(minutes) = word.strip_prefix(['+', '-']).and_then(minutes) {
                offset = if word.starts_with('-') { -minutes } else { minutes };
            } else if let Some((from, to)) = word.split_once('-').and_then(clocks) {
                clock = Some(from..to).filter(|_| clock.is_none());
            } else {
                let (from, to) = word.split_once('-').unwrap_or((word, word));
                days = day(from).ok_or_else(fault)?..=day(to).ok_or_else(fault)?;
            }
        }
        let clock = clock.ok_or_else(fault)?;
        let length = (clock.end - clock.start - 1).rem_euclid(DAY) + 1;
        // Friday to Monday goes over the week's end.
        let count = (days.end() - days.start()).rem_euclid(7);
        let mut spans = Vec::new();
        for day in 0..=count {
            let start = ((days.start() + day) * DAY + clock.start - offset).rem_euclid(7 * DAY);
            let end = start + length;
            spans.push(start..end.min(7 * DAY));
            if end > 7 * DAY {
                spans.push(0..end - 7 * DAY);
            }
        }
        Ok(Hours { text: text.to_owned(), spans })
    }
}

impl std::fmt::Display for Hours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

fn day(text: &str) -> Option<i64> {
    DAYS.iter().position(|day| *day == text).and_then(|at| i64::try_from(at).ok())
}

fn clocks((from, to): (&str, &str)) -> Option<(i64, i64)> {
    Some((minutes(from)?, minutes(to)?))
}

fn minutes(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
    let all = i64::from(hours) * 60 + i64::from(minutes);
    (minutes < 60 && all <= DAY).then_some(all)
}

impl Role {
    /// Whether a role may be called so.
    pub fn check_name(name: &str) -> Result<(), PolicyFault> {
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        match name {
            ALL => Err(PolicyFault::Reserved),
            _ if name.is_empty() || name.len() > 64 => Err(PolicyFault::Name(name.to_owned())),
            _ if !name.bytes().all(plain) => Err(PolicyFault::Name(name.to_owned())),
            _ => Ok(()),
        }
    }
}

/// Whether roles can be told apart, and what they say of annotations is about tools.
pub(crate) fn check_names(roles: &[Role]) -> Result<(), PolicyFault> {
    for (at, role) in roles.iter().enumerate() {
        let name = &role.name;
        Role::check_name(name)?;
        let rules = [&role.allow, &role.ask, &role.deny].into_iter().flatten();
        for rule in rules.filter(|rule| !rule.annotated.is_empty()) {
            if !matches!(rule.pattern.parts().0, None | Some(crate::Kind::Tool)) {
                return Err(PolicyFault::Annotated(name.clone(), rule.pattern.to_string()));
            }
        }
        if roles.iter().take(at).any(|other| other.name == *name) {
            return Err(PolicyFault::Duplicate(name.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_of_a_week() {
        let spans = |text: &str| {
            let hours = text.parse::<Hours>().ok()?;
            Some(hours.spans.iter().map(|span| (span.start, span.end)).collect::<Vec<_>>())
        };
        assert_eq!(spans("tue 09:00-17:30"), Some(vec![(1980, 2490)]));
        assert_eq!(spans("mon-tue 09:00-10:00 +01:00"), Some(vec![(480, 540), (1920, 1980)]));
        assert_eq!(spans("sun 22:00-06:00"), Some(vec![(9960, 10080), (0, 360)]));
        assert_eq!(spans("mon 00:30-01:00 +01:00"), Some(vec![(10050, 10080)]));
        assert_eq!(spans("sat-mon 00:00-24:00").map(|spans| spans.len()), Some(3));
        assert_eq!(spans("00:00-24:00").map(|spans| spans.len()), Some(7));
        for text in ["", "mon", "mun 09:00-10:00", "9:00-10:00", "09:60-10:00", "09:00-25:00"] {
            assert_eq!(spans(text), None, "{text}");
        }
    }
}
