//! What conditions of roles are made of.

use policy::{Hint, Number, Scalar, Test};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ValueFault;

/// A network, as `10.0.0.0/8`; a single address is a network of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct NetText(pub ipnet::IpNet);

impl TryFrom<String> for NetText {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        let alone = || text.parse::<std::net::IpAddr>().ok().map(ipnet::IpNet::from);
        let net = text.parse::<ipnet::IpNet>().ok().or_else(alone);
        net.map(|net| NetText(net.trunc())).ok_or_else(|| {
            ValueFault::new(
                format!("`{text}` is not a network"),
                "write an address and its length, such as \"10.0.0.0/8\" or \"fd00::/8\"",
            )
        })
    }
}

impl From<NetText> for String {
    fn from(net: NetText) -> String {
        net.0.to_string()
    }
}

/// A time of the week: `mon-fri 09:00-17:00 +01:00`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct HoursText(pub policy::Hours);

impl TryFrom<String> for HoursText {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        text.parse().map(HoursText).map_err(|fault: policy::HoursFault| {
            let mend = "write days, hours and an offset, such as \"mon-fri 09:00-17:00 +01:00\"";
            ValueFault::new(fault.to_string(), mend)
        })
    }
}

impl From<HoursText> for String {
    fn from(hours: HoursText) -> String {
        hours.0.to_string()
    }
}

/// What a tool says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct HintText(pub Hint);

impl TryFrom<String> for HintText {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        let found = Hint::ALL.iter().find(|(name, _)| *name == text);
        found.map(|(_, hint)| HintText(*hint)).ok_or_else(|| {
            let known = Hint::ALL.map(|(name, _)| name);
            let mend = super::super::fault::suggest(&text, &known, "write one of");
            ValueFault::new(format!("`{text}` is nothing that a tool says of itself"), mend)
        })
    }
}

impl From<HintText> for String {
    fn from(hint: HintText) -> String {
        hint.0.as_str().to_owned()
    }
}

/// A place in the arguments: `/branch`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct PointerText(pub String);

impl TryFrom<String> for PointerText {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        match policy::ArgumentTest::new(&text, Test::Absent) {
            Some(_) => Ok(PointerText(text)),
            None => Err(ValueFault::new(
                format!("`{text}` is not a place in the arguments"),
                format!("write it as a JSON pointer: \"/{text}\""),
            )),
        }
    }
}

impl From<PointerText> for String {
    fn from(pointer: PointerText) -> String {
        pointer.0
    }
}

/// What must hold of an argument: a value, a list of values, or a table with `glob`, `min` and
/// `max`, or `absent`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "toml::Value", into = "toml::Value")]
#[schemars(with = "serde_json::Value")]
pub struct ArgumentText {
    written: toml::Value,
    test: Test,
}

impl ArgumentText {
    pub fn test(&self) -> &Test {
        &self.test
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Table {
    glob: Option<String>,
    min: Option<toml::Value>,
    max: Option<toml::Value>,
    absent: Option<bool>,
}

const FORMS: &str = "write a value, a list of values, { glob = \"docs/*\" }, { min = 1, max = 9 } or { absent = true }";

impl TryFrom<toml::Value> for ArgumentText {
    type Error = ValueFault;

    fn try_from(written: toml::Value) -> Result<Self, ValueFault> {
        let test = match &written {
            toml::Value::Array(values) if !values.is_empty() => {
                Test::OneOf(values.iter().map(scalar).collect::<Result<_, _>>()?)
            }
            toml::Value::Table(table) => of_table(table.clone())?,
            value => Test::OneOf(vec![scalar(value)?]),
        };
        Ok(ArgumentText { written, test })
    }
}

fn of_table(table: toml::Table) -> Result<Test, ValueFault> {
    let fault = |what: String| ValueFault::new(what, FORMS);
    let table: Table = table
        .try_into()
        .map_err(|error: toml::de::Error| fault(format!("not a condition: {}", error.message())))?;
    let bound = |value: Option<toml::Value>| value.as_ref().map(number).transpose();
    match (table.glob, bound(table.min)?, bound(table.max)?, table.absent) {
        (Some(glob), None, None, None) => Ok(Test::Glob(glob)),
        (None, None, None, Some(true)) => Ok(Test::Absent),
        (None, min, max, None) if min.is_some() || max.is_some() => Ok(Test::Range(min, max)),
        _ => Err(fault("a condition says one thing".to_owned())),
    }
}

fn scalar(value: &toml::Value) -> Result<Scalar, ValueFault> {
    match value {
        toml::Value::String(text) => Ok(Scalar::Text(text.clone())),
        toml::Value::Boolean(flag) => Ok(Scalar::Flag(*flag)),
        value => number(value).map(Scalar::Number),
    }
}

fn number(value: &toml::Value) -> Result<Number, ValueFault> {
    let text = match value {
        toml::Value::Integer(integer) => integer.to_string(),
        toml::Value::Float(float) => float.to_string(),
        other => return Err(ValueFault::new(format!("{other} is not comparable"), FORMS)),
    };
    text.parse().map_err(|()| {
        let mend = "write a number with at most four places, below 922337203685477";
        ValueFault::new(format!("{text} can't be compared exactly"), mend)
    })
}

impl From<ArgumentText> for toml::Value {
    fn from(argument: ArgumentText) -> toml::Value {
        argument.written
    }
}

/// So many in so long: `100/1m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[0-9]+/([0-9]+(ms|s|m|h|d))+$"), with = "String")]
pub struct PerPeriod {
    pub count: u32,
    pub period: super::Period,
}

impl TryFrom<String> for PerPeriod {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        let fault = || {
            let mend = "write a count and a length of time, such as \"100/1m\" or \"1000/1d\"";
            ValueFault::new(format!("`{text}` is not so many in so long"), mend)
        };
        let (count, period) = text.split_once('/').ok_or_else(fault)?;
        let count: u32 = count.trim().parse().map_err(|_| fault())?;
        let period: super::Period = period.trim().parse().map_err(|_| fault())?;
        match count {
            0 => Err(ValueFault::new(
                "a limit of zero lets nothing through",
                "take what it is on out of every role instead",
            )),
            count => Ok(PerPeriod { count, period }),
        }
    }
}

impl From<PerPeriod> for String {
    fn from(per: PerPeriod) -> String {
        format!("{}/{}", per.count, String::from(per.period))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argument(text: &str) -> Result<Test, ValueFault> {
        let table: toml::Table = format!("x = {text}").parse().unwrap();
        ArgumentText::try_from(table["x"].clone()).map(|argument| argument.test)
    }

    #[test]
    fn conditions_on_arguments_in_every_form() {
        assert_eq!(argument("\"a\""), Ok(Test::OneOf(vec![Scalar::Text("a".into())])));
        assert_eq!(
            argument("[true, 1.5]").map(|test| format!("{test:?}")).unwrap(),
            r#"OneOf([Flag(true), Number(Number("1.5"))])"#
        );
        assert_eq!(argument("{ glob = \"a*\" }"), Ok(Test::Glob("a*".into())));
        assert_eq!(argument("{ absent = true }"), Ok(Test::Absent));
        assert!(matches!(argument("{ min = 1 }"), Ok(Test::Range(Some(_), None))));
        for text in [
            "[]",
            "{}",
            "{ glob = \"a\", min = 1 }",
            "{ absent = false }",
            "1.00001",
            "{ mni = 1 }",
            "[[1]]",
        ] {
            assert!(argument(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_single_address_is_a_network_and_host_bits_are_dropped() {
        let net = |text: &str| NetText::try_from(text.to_owned()).map(String::from).ok();
        assert_eq!(net("10.1.2.3").as_deref(), Some("10.1.2.3/32"));
        assert_eq!(net("10.1.2.3/8").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(net("fe80::1%eth0"), None);
    }
}
