//! Digests of definitions, as first or last recorded.

use std::collections::HashMap;

use sqlx::SqliteConnection;

use crate::column::{bytes, seconds, to_seconds};
use crate::{Store, StoreFault};

/// A definition that a server shows now.
#[derive(Clone, Copy, Debug)]
pub struct SeenDefinition<'a> {
    /// `tool`, `prompt`, `resource_template`.
    pub kind: &'a str,
    /// Its name on its server.
    pub name: &'a str,
    /// Its digest.
    pub digest: [u8; 32],
}

/// How it relates to what was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Another digest was recorded; now this one is.
    Changed {
        /// What was recorded.
        previous: [u8; 32],
    },
    /// Not seen before; now recorded.
    New,
    /// As recorded.
    Same,
}

/// A recorded definition. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// `tool`, `prompt`, `resource_template`.
    pub kind: String,
    /// Its name on its server.
    pub name: String,
    /// Its digest.
    pub digest: [u8; 32],
    /// When it was first seen.
    pub first_seen: u64,
    /// When its digest last changed.
    pub changed: u64,
}

impl Store {
    /// Records a server's list in one transaction; the answer has the list's order.
    pub async fn definitions_record(
        &self,
        server: &str,
        list: &[SeenDefinition<'_>],
        now: u64,
    ) -> Result<Vec<Seen>, StoreFault> {
        // Most lists are as they were: then nothing is written, and no lock taken.
        let seen = compare(&mut *self.pool.acquire().await?, server, list).await?;
        if seen.iter().all(|seen| *seen == Seen::Same) {
            return Ok(seen);
        }
        let mut transaction = self.begin().await?;
        let seen = compare(&mut transaction, server, list).await?;
        for (definition, _) in list.iter().zip(&seen).filter(|(_, seen)| **seen != Seen::Same) {
            sqlx::query(
                "insert into definitions (server, kind, name, digest, first_seen, changed) \
                 values ($1, $2, $3, $4, $5, $5) on conflict (server, kind, name) \
                 do update set digest = excluded.digest, changed = excluded.changed",
            )
            .bind(server)
            .bind(definition.kind)
            .bind(definition.name)
            .bind(definition.digest.as_slice())
            .bind(to_seconds(now))
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(seen)
    }

    /// All recorded definitions of a server.
    pub async fn definitions(&self, server: &str) -> Result<Vec<Definition>, StoreFault> {
        let select = "select kind, name, digest, first_seen, changed from definitions where server = $1 order by kind, name";
        let rows: Vec<(String, String, Vec<u8>, i64, i64)> =
            sqlx::query_as(select).bind(server).fetch_all(&self.pool).await?;
        let definition = |(kind, name, digest, first_seen, changed)| {
            Ok(Definition {
                kind,
                name,
                digest: bytes(digest)?,
                first_seen: seconds(first_seen)?,
                changed: seconds(changed)?,
            })
        };
        rows.into_iter().map(definition).collect()
    }
}

/// What the list is against what is recorded. A name that is there twice is compared with
/// its first occurrence the second time.
async fn compare(
    connection: &mut SqliteConnection,
    server: &str,
    list: &[SeenDefinition<'_>],
) -> Result<Vec<Seen>, StoreFault> {
    let rows: Vec<(String, String, Vec<u8>)> =
        sqlx::query_as("select kind, name, digest from definitions where server = $1")
            .bind(server)
            .fetch_all(connection)
            .await?;
    let mut recorded: HashMap<(&str, &str), [u8; 32]> = HashMap::with_capacity(rows.len());
    for (kind, name, digest) in &rows {
        recorded.insert((kind, name), bytes(digest.clone())?);
    }
    let seen = list.iter().map(|definition| {
        match recorded.insert((definition.kind, definition.name), definition.digest) {
            None => Seen::New,
            Some(previous) if previous == definition.digest => Seen::Same,
            Some(previous) => Seen::Changed { previous },
        }
    });
    Ok(seen.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, byte: u8) -> SeenDefinition<'_> {
        SeenDefinition { kind: "tool", name, digest: [byte; 32] }
    }

    #[tokio::test]
    async fn new_same_and_changed() {
        let store = Store::memory().await.unwrap();
        let list = [tool("a", 1), tool("b", 2), SeenDefinition { kind: "prompt", ..tool("a", 3) }];
        assert_eq!(store.definitions_record("s", &list, 10).await.unwrap(), [Seen::New; 3]);
        assert_eq!(store.definitions_record("s", &list, 11).await.unwrap(), [Seen::Same; 3]);
        assert_eq!(store.definitions_record("other", &list[..1], 12).await.unwrap(), [Seen::New]);
        let changed = [tool("b", 9), tool("c", 4)];
        let expected = [Seen::Changed { previous: [2; 32] }, Seen::New];
        assert_eq!(store.definitions_record("s", &changed, 13).await.unwrap(), expected);

        let all = store.definitions("s").await.unwrap();
        let rows: Vec<_> = all
            .iter()
            .map(|d| (d.kind.as_str(), d.name.as_str(), d.digest[0], d.first_seen, d.changed))
            .collect();
        assert_eq!(
            rows,
            [
                ("prompt", "a", 3, 10, 10),
                ("tool", "a", 1, 10, 10),
                ("tool", "b", 9, 10, 13),
                ("tool", "c", 4, 13, 13)
            ]
        );
    }

    #[tokio::test]
    async fn a_name_twice_in_a_list_is_a_change_against_itself() {
        let store = Store::memory().await.unwrap();
        let seen = store.definitions_record("s", &[tool("a", 1), tool("a", 2)], 1).await.unwrap();
        assert_eq!(seen, [Seen::New, Seen::Changed { previous: [1; 32] }]);
        assert_eq!(store.definitions("s").await.unwrap()[0].digest, [2; 32]);
    }
}
