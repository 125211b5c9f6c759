//! Under which circumstances.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use cedar_policy::{Context as CedarContext, Entity, RestrictedExpression as Value};
use mcp::Json;

use crate::{
    PrincipalView,
    arguments::{decimal, pointed},
    names::Names,
    principal::uid,
    uri::is_ambiguous_path,
};

/// Under which circumstances something is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// Seconds since 1970.
    pub time: u64,
    /// Where the caller is; `None` on local channels.
    pub network: Option<IpAddr>,
    /// What the client's program calls itself. It may lie.
    pub client: &'a str,
    /// The arguments, where the request has some.
    pub arguments: Option<Json<'a>>,
    /// Labels of the conversation, such as `private` and `untrusted`.
    pub labels: &'a [&'a str],
    /// Ids of the detectors that fired on the arguments.
    pub findings: &'a [&'a str],
}

impl<'a> Context<'a> {
    /// What is known while a list is made.
    pub(crate) fn without_call(self) -> Context<'a> {
        Context { arguments: None, labels: &[], findings: &[], ..self }
    }

    /// As Cedar sees it, with the entities that hold the arguments.
    pub(crate) fn build(
        &self,
        view: &PrincipalView<'_>,
        pointers: &[String],
        names: &Names,
    ) -> Result<(CedarContext, [Entity; 3]), String> {
        let (arguments, held) = arguments(self.arguments, pointers, names)?;
        let seconds = i64::try_from(self.time).map_err(|_| "the clock is beyond all bounds")?;
        let mut members = vec![
            ("time".to_owned(), Value::new_datetime(datetime(seconds))),
            ("minuteOfWeek".to_owned(), Value::new_long(minute_of_week(seconds))),
            ("client".to_owned(), text(self.client)),
            ("acr".to_owned(), text(view.acr)),
            ("amr".to_owned(), set(view.amr.iter().map(String::as_str))),
            ("arguments".to_owned(), arguments),
            ("labels".to_owned(), set(self.labels.iter().copied())),
            ("findings".to_owned(), set(self.findings.iter().copied())),
        ];
        if let Some(network) = self.network {
            // A v4 address that came in a v6 one is the v4 address.
            members.push(("network".into(), Value::new_ip(network.to_canonical().to_string())));
        }
        if let Some(then) = view.authenticated_at {
            // A credential from the future is not fresh: somebody's clock is wrong.
            let age = self.time.checked_sub(then).unwrap_or(u64::MAX);
            let age = i64::try_from(age).unwrap_or(i64::MAX);
            members.push(("authAge".into(), Value::new_long(age)));
        }
        let context = CedarContext::from_pairs(members).map_err(|fault| fault.to_string())?;
        Ok((context, held))
    }
}

fn arguments(
    given: Option<Json<'_>>,
    pointers: &[String],
    names: &Names,
) -> Result<(Value, [Entity; 3]), String> {
    let given = given.unwrap_or(Json::EMPTY);
    let (mut texts, mut numbers, mut flags) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let (mut present, mut ambiguous) = (BTreeSet::new(), BTreeSet::new());
    for pointer in pointers {
        let Some(value) = pointed(given, pointer) else { continue };
        present.insert(pointer.as_str());
        match value.kind() {
            mcp::Kind::String => {
                let value = value.string().unwrap_or_default();
                if is_ambiguous_path(&value) {
                    ambiguous.insert(pointer.as_str());
                }
                texts.insert(pointer.clone(), Value::new_string(value.into_owned()));
            }
            mcp::Kind::Number => {
                if let Some(number) = decimal(value.text()) {
                    numbers.insert(pointer.clone(), Value::new_decimal(number));
                }
            }
            _ => {
                if let Some(flag) = value.boolean() {
                    flags.insert(pointer.clone(), Value::new_bool(flag));
                }
            }
        }
    }
    let entity = |name, tags: BTreeMap<String, Value>| {
        Entity::new_with_tags(uid(name, "arguments"), [], [], tags)
            .map_err(|fault| fault.to_string())
    };
    let member = |name: &str, uid| (name.to_owned(), Value::new_entity_uid(uid));
    let record = Value::new_record([
        member("text", uid(&names.texts, "arguments")),
        member("numbers", uid(&names.numbers, "arguments")),
        member("flags", uid(&names.flags, "arguments")),
        ("given".to_owned(), set(present.into_iter())),
        ("ambiguous".to_owned(), set(ambiguous.into_iter())),
    ]);
    let record = record.map_err(|fault| fault.to_string())?;
    let held = [
        entity(&names.texts, texts)?,
        entity(&names.numbers, numbers)?,
        entity(&names.flags, flags)?,
    ];
    Ok((record, held))
}

pub(crate) fn text(text: &str) -> Value {
    Value::new_string(text.to_owned())
}

pub(crate) fn set<'a>(texts: impl Iterator<Item = &'a str>) -> Value {
    Value::new_set(texts.map(text))
}

/// Monday 00:00 UTC is 0; the first day of 1970 was a Thursday.
fn minute_of_week(seconds: i64) -> i64 {
    (seconds.div_euclid(60) + 3 * 24 * 60).rem_euclid(7 * 24 * 60)
}

fn datetime(seconds: i64) -> String {
    // The last moment that both libraries know.
    let last = 253_402_207_200;
    let time = jiff::Timestamp::from_second(seconds.clamp(0, last)).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_begin_on_monday() {
        assert_eq!(minute_of_week(0), 3 * 1440);
        // 2026-11-23T00:01:00Z, a Monday.
        assert_eq!(minute_of_week(1_795_392_060), 1);
        assert_eq!(minute_of_week(1_795_392_060 - 120), 10_079);
        assert_eq!(datetime(1_795_392_060), "2026-11-23T00:01:00Z");
        assert_eq!(datetime(i64::MAX), "9999-12-30T22:00:00Z");
    }
}
