//! `trust sign` and `trust keys`.

use std::path::Path;

use serde::Serialize;
use store::Pin;
use trust::{Digest, Kind, Signer, State};

use super::{Desk, decide, now, state_of};
use crate::{cli::Output, outcome::Mistake, print};

/// Signs what is approved.
pub async fn run(
    desk: &Desk<'_>,
    server: &str,
    names: &[String],
    key: &Path,
    kid: &str,
) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(key).map_err(|fault| {
        Mistake::new(format!("{}: {fault}", key.display()), "name a file that this user may read")
    })?;
    let signer = Signer::from_pem(kid, &text).map_err(|_| {
        let what = format!("{} holds no private key that can sign here", key.display());
        Mistake::new(what, "make one: openssl genpkey -algorithm ed25519 -out acme.key")
    })?;
    let pins = desk.pins(desk.server(server)?).await?;
    let chosen: Vec<&Pin> = match names {
        [] => pins.iter().filter(|pin| state_of(pin) == State::Approved).collect(),
        names => decide::named(server, &pins, names)?,
    };
    if let Some(pin) = chosen.iter().find(|pin| state_of(pin) != State::Approved) {
        let what = format!("{} of {server} is not approved", pin.name);
        return Err(
            Mistake::new(what, format!("begin with: bartizan trust approve {server}")).into()
        );
    }
    let mut signed = Vec::new();
    for pin in chosen {
        let kind: Kind = pin.kind.parse()?;
        let digest = Digest::from_bytes(pin.seen);
        let jws = signer.sign(kind, &digest, &aws_lc_rs::rand::SystemRandom::new())?;
        desk.store.signature_keep(&pin.kind, &pin.seen, &jws).await?;
        let (kind, name) = (pin.kind.clone(), pin.name.clone());
        signed.push(Signature { kind, name, digest: digest.to_string(), signature: jws });
    }
    match desk.global.output {
        Output::Json => print::json(&signed),
        Output::Table => print::line(&format!("signed {} definitions of {server}", signed.len())),
    }
}

#[derive(Serialize)]
struct Signature {
    kind: String,
    name: String,
    digest: String,
    /// For `_meta["dev.bartizan/signature"]`.
    signature: String,
}

/// Shows the pinned keys.
pub fn keys(desk: &Desk<'_>) -> anyhow::Result<()> {
    let time = |seconds: u64| {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
    };
    let key = |key: &trust::Key| Line {
        provider: key.provider.clone(),
        kid: key.kid.clone(),
        counts: key.in_use(now()),
        from: key.not_before.map(time),
        to: key.not_after.map(time),
        revoked: key.revoked,
    };
    let lines: Vec<Line> = desk.config.trust.keys.iter().map(key).collect();
    print::rows(
        desk.global.output,
        &lines,
        "no keys: [trust.keys.ID] in the configuration pins one",
    )
}

#[derive(Serialize)]
struct Line {
    provider: String,
    kid: String,
    counts: bool,
    from: Option<String>,
    to: Option<String>,
    revoked: bool,
}

impl print::Row for Line {
    const TITLES: &'static [&'static str] = &["PROVIDER", "KEY", "COUNTS", "FROM", "TO"];

    fn cells(&self) -> Vec<String> {
        let counts = match (self.counts, self.revoked) {
            (true, _) => "yes",
            (false, true) => "no, revoked",
            (false, false) => "not now",
        };
        let end = |end: &Option<String>| end.clone().unwrap_or_else(|| "-".to_owned());
        vec![self.provider.clone(), self.kid.clone(), counts.into(), end(&self.from), end(&self.to)]
    }
}
