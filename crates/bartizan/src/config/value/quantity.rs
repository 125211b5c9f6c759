//! Sizes, lengths of time and counts.

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ValueFault;

/// A number of bytes, written with its unit: `"10MiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[0-9]+ ?(B|KB|MB|GB|KiB|MiB|GiB)$"))]
pub struct ByteSize(pub usize);

const SIZES: [(&str, usize); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

impl TryFrom<String> for ByteSize {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        let fault = || {
            ValueFault::new(
                format!("`{text}` is not a size"),
                "write a whole number and a unit: B, KB, MB, GB, KiB, MiB or GiB, such as \"10MiB\"",
            )
        };
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
        let unit = text[digits.len()..].trim();
        let (_, factor) = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(fault)?;
        let number: usize = digits.parse().map_err(|_| fault())?;
        match number.checked_mul(*factor) {
            Some(0) => Err(ValueFault::new(
                "a limit of zero lets nothing through",
                "give a size above zero, such as \"10MiB\"",
            )),
            Some(bytes) => Ok(ByteSize(bytes)),
            None => Err(fault()),
        }
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> String {
        SIZES.iter().find(|(_, factor)| size.0.is_multiple_of(*factor) && size.0 > 0).map_or_else(
            || format!("{}B", size.0),
            |(unit, factor)| format!("{}{unit}", size.0 / factor),
        )
    }
}

/// A length of time, written with its unit: `"60s"`, `"1h30m"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^([0-9]+(ms|s|m|h|d))+$"))]
pub struct Period(pub Duration);

const PERIODS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl std::str::FromStr for Period {
    type Err = ValueFault;

    fn from_str(text: &str) -> Result<Self, ValueFault> {
        let fault = || {
            ValueFault::new(
                format!("`{text}` is not a length of time"),
                "write whole numbers with the units d, h, m, s or ms, such as \"60s\" or \"1h30m\"",
            )
        };
        let mut rest = text;
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let number: u64 = rest[..digits].parse().map_err(|_| fault())?;
            rest = &rest[digits..];
            let letters =
                rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
            let (_, factor) =
                PERIODS.iter().find(|(name, _)| *name == &rest[..letters]).ok_or_else(fault)?;
            total = number
                .checked_mul(*factor)
                .and_then(|part| total.checked_add(part))
                .ok_or_else(fault)?;
            rest = &rest[letters..];
        }
        match total {
            0 => Err(fault()),
            _ => Ok(Period(Duration::from_millis(total))),
        }
    }
}

impl TryFrom<String> for Period {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        text.parse()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        for (unit, factor) in PERIODS {
            if rest >= factor {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

impl From<Period> for String {
    fn from(period: Period) -> String {
        period.to_string()
    }
}

/// A whole number with bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Bounded<const MIN: u32, const MAX: u32>(pub u32);

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Bounded<MIN, MAX> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        match u32::try_from(number) {
            Ok(number) if (MIN..=MAX).contains(&number) => Ok(Bounded(number)),
            _ => Err(serde::de::Error::custom(ValueFault::new(
                format!("`{number}` is out of range"),
                format!("give a number from {MIN} to {MAX}"),
            ))),
        }
    }
}

impl<const MIN: u32, const MAX: u32> JsonSchema for Bounded<MIN, MAX> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Bounded{MIN}To{MAX}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "integer", "minimum": MIN, "maximum": MAX})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(text: &str) -> Option<usize> {
        ByteSize::try_from(text.to_owned()).ok().map(|size| size.0)
    }

    #[test]
    fn sizes_need_a_unit_and_come_back_in_the_largest() {
        assert_eq!(size("10MiB"), Some(10 << 20));
        assert_eq!(size("32 KiB"), Some(32 << 10));
        assert_eq!(size("1MB"), Some(1_000_000));
        for bad in [
            "10",
            "MiB",
            "",
            "0B",
            "-1B",
            "1.5MiB",
            "10mib",
            "99999999999999999999B",
            "18014398509481984KiB",
            "ü",
        ] {
            assert_eq!(size(bad), None, "{bad}");
        }
        for text in ["10MiB", "32KiB", "1GiB", "1001B", "5MB"] {
            assert_eq!(String::from(ByteSize(size(text).unwrap())), text);
        }
    }

    #[test]
    fn periods_add_their_parts() {
        assert_eq!("1h30m".parse::<Period>().unwrap().0, Duration::from_secs(5400));
        assert_eq!("250ms".parse::<Period>().unwrap().0, Duration::from_millis(250));
        for bad in [
            "",
            "60",
            "s",
            "0s",
            "1w",
            "1 h",
            "-5s",
            "99999999999999999999d",
            "18446744073709551615d",
            "1µs",
        ] {
            assert!(bad.parse::<Period>().is_err(), "{bad}");
        }
        for text in ["60s", "30m", "36h", "90d", "1500ms"] {
            let period = text.parse::<Period>().unwrap();
            assert_eq!(period.to_string().parse::<Period>().unwrap(), period);
        }
        assert_eq!("60s".parse::<Period>().unwrap().to_string(), "1m");
    }
}
