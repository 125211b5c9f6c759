//! What was decided about definitions, by the identity of their server.

use sqlx::{Row, Sqlite, Transaction, sqlite::SqliteRow};

use crate::column::{bytes, seconds, to_seconds};
use crate::{Store, StoreFault};

/// Definitions of one server that are kept. A server that lists new names at each asking does not fill the disk.
pub const PINS: usize = 20_000;

/// The key under which changes by another process are announced.
const GENERATION: &str = "pins";

/// A definition that a server shows now.
#[derive(Clone, Copy, Debug)]
pub struct Showing<'a> {
    /// `tool`, `prompt`, …
    pub kind: &'a str,
    /// Its name on its server.
    pub name: &'a str,
    /// Its digest.
    pub digest: [u8; 32],
    /// Its text.
    pub text: &'a str,
    /// Whether the gateway's policy approves it, and what was approved when it said so.
    pub by_policy: Option<Option<[u8; 32]>>,
}

/// What is kept of a definition. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The server: how it is reached.
    pub identity: String,
    /// `tool`, `prompt`, …
    pub kind: String,
    /// Its name on its server.
    pub name: String,
    /// What the server was called last.
    pub server: String,
    /// The digest that was shown last.
    pub seen: [u8; 32],
    /// The digest that may be used.
    pub approved: Option<[u8; 32]>,
    /// The digest that was refused.
    pub rejected: Option<[u8; 32]>,
    /// Whether the approval was taken back.
    pub revoked: bool,
    /// When it was first seen.
    pub first_seen: u64,
    /// When something else was shown than before.
    pub changed: u64,
}

/// The texts of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinTexts {
    /// What is shown.
    pub seen: String,
    /// What was approved last; kept when that is revoked.
    pub approved: Option<String>,
}

/// What can be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Decision {
    Approve,
    Reject,
    Revoke,
}

impl Decision {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Decision::Approve => "approve",
            Decision::Reject => "reject",
            Decision::Revoke => "revoke",
        }
    }
}

macro_rules! select_pins {
    ($which:literal) => {
        concat!(
            "select identity, kind, name, server, seen, approved, rejected, revoked, first_seen, changed from pins ",
            $which
        )
    };
}

impl Store {
    /// What is kept of one server.
    pub async fn pins(&self, identity: &str) -> Result<Vec<Pin>, StoreFault> {
        let select = select_pins!("where identity = $1 order by kind, name");
        let rows = sqlx::query(select).bind(identity).fetch_all(&self.pool).await?;
        rows.iter().map(pin).collect()
    }

    /// What other servers have shown under this server's name: kind and name of each definition, and whose it was.
    pub async fn pins_under(
        &self,
        server: &str,
        identity: &str,
    ) -> Result<Vec<(String, String, String)>, StoreFault> {
        let select = "select kind, name, identity from pins where server = $1 and identity <> $2";
        Ok(sqlx::query_as(select).bind(server).bind(identity).fetch_all(&self.pool).await?)
    }

    /// What is kept of all servers.
    pub async fn all_pins(&self) -> Result<Vec<Pin>, StoreFault> {
        let select = select_pins!("order by server, identity, kind, name");
        sqlx::query(select).fetch_all(&self.pool).await?.iter().map(pin).collect()
    }

    /// The texts of one definition.
    pub async fn pin_texts(
        &self,
        identity: &str,
        kind: &str,
        name: &str,
    ) -> Result<Option<PinTexts>, StoreFault> {
        let select = "select seen_text, approved_text from pins where identity = $1 and kind = $2 and name = $3";
        let row: Option<(String, Option<String>)> = sqlx::query_as(select)
            .bind(identity)
            .bind(kind)
            .bind(name)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|(seen, approved)| PinTexts { seen, approved }))
    }

    /// Keeps what a server shows now. An approval by policy holds only where nothing was decided
    /// meanwhile. Returns how many were not kept, since the server has shown too many already.
    pub async fn pins_show(
        &self,
        identity: &str,
        server: &str,
        showing: &[Showing<'_>],
        now: u64,
    ) -> Result<usize, StoreFault> {
        let mut transaction = self.begin().await?;
        let count: i64 = sqlx::query_scalar("select count(*) from pins where identity = $1")
            .bind(identity)
            .fetch_one(&mut *transaction)
            .await?;
        let mut room = PINS.saturating_sub(usize::try_from(count).unwrap_or(PINS));
        let mut left_out = 0;
        for shown in showing {
            let update = "update pins set server = $4, seen = $5, seen_text = $6, \
                 changed = case when seen = $5 then changed else $7 end \
                 where identity = $1 and kind = $2 and name = $3";
            let bound = |query| bind_shown(query, identity, server, shown, now);
            let updated = bound(sqlx::query(update)).execute(&mut *transaction).await?;
            if updated.rows_affected() == 0 {
                if room == 0 {
                    left_out += 1;
                    continue;
                }
                room -= 1;
                let insert = "insert into pins (identity, kind, name, server, seen, seen_text, revoked, first_seen, changed) \
                     values ($1, $2, $3, $4, $5, $6, 0, $7, $7)";
                bound(sqlx::query(insert)).execute(&mut *transaction).await?;
            }
            if let Some(before) = shown.by_policy {
                approve_by_policy(&mut transaction, identity, server, shown, before, now).await?;
            }
        }
        transaction.commit().await?;
        Ok(left_out)
    }

    /// Decides about a definition as it was shown: `false` when something else is shown by now.
    pub async fn pin_decide(
        &self,
        pin: &Pin,
        decision: Decision,
        decider: &str,
        now: u64,
    ) -> Result<bool, StoreFault> {
        let update = match decision {
            Decision::Approve => {
                "update pins set approved = seen, approved_text = seen_text, rejected = null, revoked = 0 \
                 where identity = $1 and kind = $2 and name = $3 and seen = $4"
            }
            Decision::Reject => {
                "update pins set approved = case when approved = seen then null else approved end, \
                 rejected = seen, revoked = 0 \
                 where identity = $1 and kind = $2 and name = $3 and seen = $4"
            }
            Decision::Revoke => {
                "update pins set approved = null, rejected = null, revoked = 1 \
                 where identity = $1 and kind = $2 and name = $3 and seen = $4"
            }
        };
        let mut transaction = self.begin().await?;
        let updated = sqlx::query(update)
            .bind(&pin.identity)
            .bind(&pin.kind)
            .bind(&pin.name)
            .bind(pin.seen.as_slice())
            .execute(&mut *transaction)
            .await?;
        if updated.rows_affected() == 0 {
            return Ok(false);
        }
        let shown = Showing {
            kind: &pin.kind,
            name: &pin.name,
            digest: pin.seen,
            text: "",
            by_policy: None,
        };
        let what = (decision, decider);
        note(&mut transaction, &pin.identity, &pin.server, &shown, what, now).await?;
        announce(&mut transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Changes whenever somebody decides.
    pub async fn pins_generation(&self) -> Result<u64, StoreFault> {
        let generation = self.meta(GENERATION).await?;
        Ok(generation.and_then(|text| text.parse().ok()).unwrap_or_default())
    }
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, sqlx::sqlite::SqliteArguments>;

fn bind_shown<'q>(
    query: Query<'q>,
    identity: &'q str,
    server: &'q str,
    shown: &'q Showing<'_>,
    now: u64,
) -> Query<'q> {
    query
        .bind(identity)
        .bind(shown.kind)
        .bind(shown.name)
        .bind(server)
        .bind(shown.digest.as_slice())
        .bind(shown.text)
        .bind(to_seconds(now))
}

async fn approve_by_policy(
    transaction: &mut Transaction<'static, Sqlite>,
    identity: &str,
    server: &str,
    shown: &Showing<'_>,
    before: Option<[u8; 32]>,
    now: u64,
) -> Result<(), StoreFault> {
    let update = "update pins set approved = seen, approved_text = seen_text \
         where identity = $1 and kind = $2 and name = $3 and seen = $4 and approved is $5 \
         and rejected is null and revoked = 0";
    let updated = sqlx::query(update)
        .bind(identity)
        .bind(shown.kind)
        .bind(shown.name)
        .bind(shown.digest.as_slice())
        .bind(before.map(Vec::from))
        .execute(&mut **transaction)
        .await?;
    if updated.rows_affected() > 0 {
        let what = (Decision::Approve, "policy");
        note(transaction, identity, server, shown, what, now).await?;
    }
    Ok(())
}

async fn note(
    transaction: &mut Transaction<'static, Sqlite>,
    identity: &str,
    server: &str,
    shown: &Showing<'_>,
    (decision, decider): (Decision, &str),
    now: u64,
) -> Result<(), StoreFault> {
    let insert = "insert into decisions (identity, kind, name, server, digest, decision, decider, at, recorded) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, 0)";
    sqlx::query(insert)
        .bind(identity)
        .bind(shown.kind)
        .bind(shown.name)
        .bind(server)
        .bind(shown.digest.as_slice())
        .bind(decision.as_str())
        .bind(decider)
        .bind(to_seconds(now))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

pub(crate) async fn announce(
    transaction: &mut Transaction<'static, Sqlite>,
) -> Result<(), StoreFault> {
    let upsert = "insert into meta (key, value) values ($1, '1') on conflict (key) \
         do update set value = cast(cast(meta.value as bigint) + 1 as text)";
    sqlx::query(upsert).bind(GENERATION).execute(&mut **transaction).await?;
    Ok(())
}

fn pin(row: &SqliteRow) -> Result<Pin, StoreFault> {
    let digest = |column: Option<Vec<u8>>| column.map(bytes).transpose();
    Ok(Pin {
        identity: row.try_get(0)?,
        kind: row.try_get(1)?,
        name: row.try_get(2)?,
        server: row.try_get(3)?,
        seen: bytes(row.try_get(4)?)?,
        approved: digest(row.try_get(5)?)?,
        rejected: digest(row.try_get(6)?)?,
        revoked: row.try_get::<i64, _>(7)? != 0,
        first_seen: seconds(row.try_get(8)?)?,
        changed: seconds(row.try_get(9)?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, byte: u8) -> Showing<'_> {
        Showing { kind: "tool", name, digest: [byte; 32], text: "{}", by_policy: None }
    }

    async fn only(store: &Store) -> Pin {
        store.pins("i").await.unwrap().remove(0)
    }

    #[tokio::test]
    async fn what_is_decided_holds_for_what_was_looked_at() {
        let store = Store::memory().await.unwrap();
        store.pins_show("i", "s", &[tool("a", 1)], 10).await.unwrap();
        let looked_at = only(&store).await;
        store
            .pins_show("i", "renamed", &[Showing { text: "{2}", ..tool("a", 2) }], 11)
            .await
            .unwrap();
        assert!(!store.pin_decide(&looked_at, Decision::Approve, "ada", 12).await.unwrap());
        let looked_at = only(&store).await;
        assert_eq!((looked_at.server.as_str(), looked_at.changed), ("renamed", 11));
        assert_eq!(store.pins_generation().await.unwrap(), 0);
        assert!(store.pin_decide(&looked_at, Decision::Approve, "ada", 12).await.unwrap());
        assert_eq!(store.pins_generation().await.unwrap(), 1);
        assert_eq!(only(&store).await.approved, Some([2; 32]));
        store.pins_show("i", "s", &[tool("a", 3)], 13).await.unwrap();
        let texts = store.pin_texts("i", "tool", "a").await.unwrap().unwrap();
        assert_eq!(texts, PinTexts { seen: "{}".into(), approved: Some("{2}".into()) });
        assert!(store.pin_decide(&only(&store).await, Decision::Reject, "ada", 14).await.unwrap());
        let rejected = only(&store).await;
        assert_eq!((rejected.rejected, rejected.approved), (Some([3; 32]), Some([2; 32])));
        assert!(store.pin_decide(&rejected, Decision::Revoke, "ada", 15).await.unwrap());
        let revoked = only(&store).await;
        assert_eq!((revoked.revoked, revoked.approved, revoked.rejected), (true, None, None));
        let said: Vec<_> = store.decisions_unrecorded().await.unwrap();
        let words: Vec<_> = said.iter().map(|decided| decided.decision.as_str()).collect();
        assert_eq!(words, ["approve", "reject", "revoke"]);
        store.decisions_recorded(said[1].id).await.unwrap();
        assert_eq!(store.decisions_unrecorded().await.unwrap().len(), 1);
        assert_eq!(store.decisions("i", "tool", "a").await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn policy_never_overrules_a_person() {
        let store = Store::memory().await.unwrap();
        let passing = |byte, before| Showing { by_policy: Some(before), ..tool("a", byte) };
        store.pins_show("i", "s", &[passing(1, None)], 1).await.unwrap();
        assert_eq!(only(&store).await.approved, Some([1; 32]));
        // Said when [1] was approved, written after a person had revoked it.
        store.pin_decide(&only(&store).await, Decision::Revoke, "ada", 2).await.unwrap();
        store.pins_show("i", "s", &[passing(2, Some([1; 32]))], 3).await.unwrap();
        let pin = only(&store).await;
        assert_eq!((pin.approved, pin.revoked, pin.seen), (None, true, [2; 32]));
    }

    #[tokio::test]
    async fn a_server_can_not_fill_the_store() {
        let store = Store::memory().await.unwrap();
        let names: Vec<_> = (0..PINS + 5).map(|n| n.to_string()).collect();
        let list: Vec<_> = names.iter().map(|name| tool(name, 1)).collect();
        assert_eq!(store.pins_show("i", "s", &list, 1).await.unwrap(), 5);
        assert_eq!(store.pins_show("other", "s", &list[..1], 1).await.unwrap(), 0);
        assert_eq!(store.pins_show("i", "s", &list[..3], 2).await.unwrap(), 0);
    }
}
