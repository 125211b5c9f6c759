//! What servers that are learned from reached.

use crate::column::to_seconds;
use crate::{Store, StoreFault};

/// One place that a server reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressSeen {
    /// The name or address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The HTTP method, or empty.
    pub method: String,
    /// The path, or empty.
    pub path: String,
}

/// Places that are kept for one server.
const LIMIT: i64 = 2000;

impl Store {
    /// Keeps a place; what is known already only gets a new time. Beyond 2000 for a server nothing is added.
    pub async fn egress_record(
        &self,
        server: &str,
        seen: &EgressSeen,
        now: u64,
    ) -> Result<(), StoreFault> {
        sqlx::query(
            "insert into egress_seen (server, host, port, method, path, first_seen, last_seen) \
             select $1, $2, $3, $4, $5, $6, $6 \
             where (select count(*) from egress_seen where server = $1) < $7 \
             on conflict (server, host, port, method, path) do update set last_seen = excluded.last_seen",
        )
        .bind(server)
        .bind(&seen.host)
        .bind(i64::from(seen.port))
        .bind(&seen.method)
        .bind(&seen.path)
        .bind(to_seconds(now))
        .bind(LIMIT)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// All places of a server, in the order of host, port, path and method.
    pub async fn egress_seen(&self, server: &str) -> Result<Vec<EgressSeen>, StoreFault> {
        let rows: Vec<(String, i64, String, String)> = sqlx::query_as(
            "select host, port, method, path from egress_seen where server = $1 \
             order by host, port, path, method",
        )
        .bind(server)
        .fetch_all(&self.pool)
        .await?;
        let seen = |(host, port, method, path)| EgressSeen {
            host,
            port: u16::try_from(port).unwrap_or(0),
            method,
            path,
        };
        Ok(rows.into_iter().map(seen).collect())
    }

    /// Forgets a server's places.
    pub async fn egress_forget(&self, server: &str) -> Result<(), StoreFault> {
        sqlx::query("delete from egress_seen where server = $1")
            .bind(server)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_are_kept_once() {
        let store = Store::memory().await.unwrap();
        let seen = |host: &str| EgressSeen {
            host: host.into(),
            port: 443,
            method: "GET".into(),
            path: "/v1".into(),
        };
        for (now, host) in [(1, "b"), (2, "a"), (3, "b")] {
            store.egress_record("s", &seen(host), now).await.unwrap();
        }
        store.egress_record("other", &seen("c"), 4).await.unwrap();
        assert_eq!(store.egress_seen("s").await.unwrap(), [seen("a"), seen("b")]);
        store.egress_forget("s").await.unwrap();
        assert!(store.egress_seen("s").await.unwrap().is_empty());
        assert_eq!(store.egress_seen("other").await.unwrap().len(), 1);
    }
}
