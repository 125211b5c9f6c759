//! What servers that are learned from called and asked for.

use crate::column::to_seconds;
use crate::{Store, StoreFault};

/// One thing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Want {
    /// A system call, by its name.
    Call(String),
    /// A path that it asked for.
    Read(String),
    /// A path that it wanted to change.
    Write(String),
}

/// Things that are kept for one server.
const LIMIT: i64 = 8000;

impl Want {
    fn column(&self) -> (&'static str, &str) {
        match self {
            Want::Call(name) => ("call", name),
            Want::Read(path) => ("read", path),
            Want::Write(path) => ("write", path),
        }
    }
}

impl Store {
    /// Keeps things; what is known already only gets a new time. Beyond 8000 for a server nothing is added.
    pub async fn wants_record(
        &self,
        server: &str,
        wants: &[Want],
        now: u64,
    ) -> Result<(), StoreFault> {
        let mut transaction = self.begin().await?;
        for want in wants {
            let (kind, value) = want.column();
            sqlx::query(
                "insert into wants_seen (server, kind, value, first_seen, last_seen) \
                 select $1, $2, $3, $4, $4 \
                 where (select count(*) from wants_seen where server = $1) < $5 \
                 on conflict (server, kind, value) do update set last_seen = excluded.last_seen",
            )
            .bind(server)
            .bind(kind)
            .bind(value)
            .bind(to_seconds(now))
            .bind(LIMIT)
            .execute(&mut *transaction)
            .await?;
        }
        Ok(transaction.commit().await?)
    }

    /// All of a server, in order.
    pub async fn wants_seen(&self, server: &str) -> Result<Vec<Want>, StoreFault> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "select kind, value from wants_seen where server = $1 order by kind, value",
        )
        .bind(server)
        .fetch_all(&self.pool)
        .await?;
        let want = |(kind, value): (String, String)| match kind.as_str() {
            "call" => Some(Want::Call(value)),
            "read" => Some(Want::Read(value)),
            "write" => Some(Want::Write(value)),
            _ => None,
        };
        Ok(rows.into_iter().filter_map(want).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn things_are_kept_once() {
        let store = Store::memory().await.unwrap();
        let call = Want::Call("openat".into());
        let (read, write) = (Want::Read("/srv".into()), Want::Write("/srv".into()));
        for now in [1, 2] {
            let wants = [write.clone(), call.clone(), read.clone()];
            store.wants_record("s", &wants, now).await.unwrap();
        }
        store.wants_record("other", &[Want::Call("read".into())], 3).await.unwrap();
        assert_eq!(store.wants_seen("s").await.unwrap(), [call, read, write]);
    }
}
