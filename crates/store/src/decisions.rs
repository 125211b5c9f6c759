//! Who decided what about definitions and conversations, and what was signed.

use sqlx::{Row, sqlite::SqliteRow};

use crate::column::{bytes, seconds};
use crate::pins::announce;
use crate::{Store, StoreFault};

/// A decision that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Its number.
    pub id: i64,
    /// The server's identity.
    pub identity: String,
    /// `tool`, `prompt`, …
    pub kind: String,
    /// The definition's name.
    pub name: String,
    /// What the server was called.
    pub server: String,
    /// What was decided about.
    pub digest: [u8; 32],
    /// `approve`, `reject`, `revoke`.
    pub decision: String,
    /// Who decided.
    pub decider: String,
    /// When, in seconds since 1970.
    pub at: u64,
}

macro_rules! select_decisions {
    ($which:literal) => {
        concat!(
            "select id, identity, kind, name, server, digest, decision, decider, at from decisions ",
            $which
        )
    };
}

impl Store {
    /// Decisions that are not in the audit log yet, oldest first; at most a thousand.
    pub async fn decisions_unrecorded(&self) -> Result<Vec<Decided>, StoreFault> {
        let select = select_decisions!("where recorded = 0 order by id limit 1000");
        sqlx::query(select).fetch_all(&self.pool).await?.iter().map(decided).collect()
    }

    /// They are there now, up to and with this one.
    pub async fn decisions_recorded(&self, id: i64) -> Result<(), StoreFault> {
        let update = "update decisions set recorded = 1 where recorded = 0 and id <= $1";
        sqlx::query(update).bind(id).execute(&self.pool).await?;
        Ok(())
    }

    /// Keeps a signature over a digest.
    pub async fn signature_keep(
        &self,
        kind: &str,
        digest: &[u8; 32],
        jws: &str,
    ) -> Result<(), StoreFault> {
        let insert =
            "insert into signatures (kind, digest, jws) values ($1, $2, $3) on conflict do nothing";
        let mut transaction = self.begin().await?;
        let query = sqlx::query(insert).bind(kind).bind(digest.as_slice()).bind(jws);
        query.execute(&mut *transaction).await?;
        announce(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// The signatures over a digest, at most sixteen.
    pub async fn signatures(
        &self,
        kind: &str,
        digest: &[u8; 32],
    ) -> Result<Vec<String>, StoreFault> {
        let select =
            "select jws from signatures where kind = $1 and digest = $2 order by jws limit 16";
        let query = sqlx::query_scalar(select).bind(kind).bind(digest.as_slice());
        Ok(query.fetch_all(&self.pool).await?)
    }

    /// All decisions about one definition, oldest first.
    pub async fn decisions(
        &self,
        identity: &str,
        kind: &str,
        name: &str,
    ) -> Result<Vec<Decided>, StoreFault> {
        let select =
            select_decisions!("where identity = $1 and kind = $2 and name = $3 order by id");
        let query = sqlx::query(select).bind(identity).bind(kind).bind(name);
        query.fetch_all(&self.pool).await?.iter().map(decided).collect()
    }
}

fn decided(row: &SqliteRow) -> Result<Decided, StoreFault> {
    Ok(Decided {
        id: row.try_get(0)?,
        identity: row.try_get(1)?,
        kind: row.try_get(2)?,
        name: row.try_get(3)?,
        server: row.try_get(4)?,
        digest: bytes(row.try_get(5)?)?,
        decision: row.try_get(6)?,
        decider: row.try_get(7)?,
        at: seconds(row.try_get(8)?)?,
    })
}
