//! `secret expiry`: what dies soon, for people and for cron.

use std::time::Duration;

use gateway::secrets::expiry::of_value;
use serde::Serialize;
use vault::Source;

use super::super::{
    now,
    posture::{self, Protection},
    token::time,
};
use crate::{
    cli::Global,
    config::{Loaded, uses},
    outcome::Told,
    print,
};

/// One secret whose end is known.
#[derive(Serialize)]
pub struct Row {
    secret: String,
    expires: String,
    state: State,
    owner: String,
    used_in: Vec<String>,
    #[serde(skip)]
    seconds: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Expired,
    Soon,
    Later,
}

impl print::Row for Row {
    const TITLES: &'static [&'static str] = &["SECRET", "EXPIRES", "STATE", "OWNER", "USED IN"];

    fn cells(&self) -> Vec<String> {
        let state = match self.state {
            State::Expired => "expired",
            State::Soon => "soon",
            State::Later => "later",
        };
        let owner = if self.owner.is_empty() { "nobody named" } else { &self.owner };
        vec![
            self.secret.clone(),
            self.expires.clone(),
            state.to_owned(),
            print::tame(owner),
            self.used_in.join(", "),
        ]
    }
}

/// Exit code 1 when something has expired or will within that time.
pub async fn run(
    global: &Global,
    store: &store::Store,
    loaded: &Loaded,
    within: Duration,
) -> anyhow::Result<()> {
    let rows = rows(store, loaded, within).await?;
    print::rows(global.output, &rows, "no secret is known to expire")?;
    match rows.iter().any(|row| row.state != State::Later) {
        true => Err(Told::failure().into()),
        false => Ok(()),
    }
}

/// What `posture` says of what ends soon; nothing when nothing does.
pub async fn protection(
    store: &store::Store,
    loaded: &Loaded,
    within: Duration,
) -> anyhow::Result<Option<Protection>> {
    let rows = rows(store, loaded, within).await?;
    let due: Vec<&Row> = rows.iter().filter(|row| row.state != State::Later).collect();
    if due.is_empty() {
        return Ok(None);
    }
    let expired = due.iter().any(|row| row.state == State::Expired);
    let told = due.iter().map(|row| {
        let owner = if row.owner.is_empty() { String::new() } else { format!(" ({})", row.owner) };
        format!("{} at {}{owner}", row.secret, row.expires)
    });
    Ok(Some(posture::protection(
        "secrets: expiry",
        if expired { posture::State::Off } else { posture::State::Partial },
        format!("expired or soon to: {}", told.collect::<Vec<_>>().join(", ")),
        "`bartizan secret rotate NAME`",
    )))
}

async fn rows(store: &store::Store, loaded: &Loaded, within: Duration) -> anyhow::Result<Vec<Row>> {
    let (now, used) = (now(), uses::find(&loaded.text));
    let row = |source: &Source, seconds: u64, owner: String| {
        let said = loaded.file.secrets.iter().find(|(key, _)| key.0 == *source);
        let owner = said.and_then(|(_, said)| said.get_ref().owner.clone()).unwrap_or(owner);
        let places = used.iter().filter(|one| one.source == *source);
        Row {
            secret: source.to_string(),
            expires: time(seconds),
            state: match seconds.checked_sub(now) {
                None | Some(0) => State::Expired,
                Some(left) if left <= within.as_secs() => State::Soon,
                Some(_) => State::Later,
            },
            owner,
            used_in: places.map(|place| place.key.clone()).collect(),
            seconds,
        }
    };
    let mut rows = Vec::new();
    for secret in store.secrets().await? {
        if let (Some(expires), Ok(name)) = (secret.expires, vault::SecretName::new(&secret.name)) {
            rows.push(row(&Source::Secret(name), expires, secret.owner));
        }
    }
    let mut local: Vec<&Source> = used.iter().map(|one| &one.source).collect();
    local.sort();
    local.dedup();
    for source in local {
        let value = source.read().and_then(Result::ok);
        if let Some(expires) = value.and_then(|value| of_value(value.expose())) {
            rows.push(row(source, expires, String::new()));
        }
    }
    rows.sort_by_key(|row| row.seconds);
    Ok(rows)
}
