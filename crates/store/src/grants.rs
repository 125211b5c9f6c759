//! Grants at servers, sealed by whoever keeps them here.

use crate::column::{seconds, to_seconds};
use crate::{Store, StoreFault};

/// A grant. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// At which server.
    pub server: String,
    /// Whose it is: the partition of a principal.
    pub owner: String,
    /// The same for people: the principal's id.
    pub principal: String,
    /// Who issued it.
    pub issuer: String,
    /// What it is good for.
    pub scopes: String,
    /// The tokens; only the gateway's key opens it.
    pub sealed: String,
    /// When it was got or renewed.
    pub updated: u64,
}

type Row = (String, String, String, String, String, String, i64);

impl Store {
    /// Keeps it, in the place of an older one.
    pub async fn grant_keep(&self, grant: &Grant) -> Result<(), StoreFault> {
        sqlx::query(
            "insert into grants (server, owner, principal, issuer, scopes, sealed, updated) \
             values ($1, $2, $3, $4, $5, $6, $7) on conflict (server, owner) do update set \
             principal = excluded.principal, issuer = excluded.issuer, scopes = excluded.scopes, \
             sealed = excluded.sealed, updated = excluded.updated",
        )
        .bind(&grant.server)
        .bind(&grant.owner)
        .bind(&grant.principal)
        .bind(&grant.issuer)
        .bind(&grant.scopes)
        .bind(&grant.sealed)
        .bind(to_seconds(grant.updated))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The sealed tokens of one owner at one server.
    pub async fn grant(&self, server: &str, owner: &str) -> Result<Option<String>, StoreFault> {
        let select = "select sealed from grants where server = $1 and owner = $2";
        let sealed =
            sqlx::query_scalar(select).bind(server).bind(owner).fetch_optional(&self.pool).await?;
        Ok(sealed)
    }

    /// All of them, by server and principal.
    pub async fn grants(&self) -> Result<Vec<Grant>, StoreFault> {
        let select = "select server, owner, principal, issuer, scopes, sealed, updated from grants \
                      order by server, principal, owner";
        let rows: Vec<Row> = sqlx::query_as(select).fetch_all(&self.pool).await?;
        let grant = |(server, owner, principal, issuer, scopes, sealed, updated): Row| {
            let updated = seconds(updated)?;
            Ok(Grant { server, owner, principal, issuer, scopes, sealed, updated })
        };
        rows.into_iter().map(grant).collect()
    }

    /// Forgets those of a principal at a server; how many there were.
    pub async fn grant_remove(&self, server: &str, principal: &str) -> Result<u64, StoreFault> {
        let delete = "delete from grants where server = $1 and principal = $2";
        let done = sqlx::query(delete).bind(server).bind(principal).execute(&self.pool).await?;
        Ok(done.rows_affected())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(server: &str, owner: &str, sealed: &str) -> Grant {
        Grant {
            server: server.into(),
            owner: owner.into(),
            principal: format!("user:{owner}"),
            issuer: "https://as.example".into(),
            scopes: "a b".into(),
            sealed: sealed.into(),
            updated: 7,
        }
    }

    #[tokio::test]
    async fn one_for_each_owner_and_server() {
        let store = Store::memory().await.unwrap();
        for one in
            [grant("a", "x", "1"), grant("a", "y", "2"), grant("b", "x", "3"), grant("a", "x", "4")]
        {
            store.grant_keep(&one).await.unwrap();
        }
        let sealed = |server: &'static str, owner: &'static str| {
            let store = store.clone();
            async move { store.grant(server, owner).await.unwrap() }
        };
        assert_eq!(sealed("a", "x").await.as_deref(), Some("4"));
        assert_eq!(sealed("b", "x").await.as_deref(), Some("3"));
        assert_eq!(sealed("b", "y").await, None);
        assert_eq!(store.grants().await.unwrap().len(), 3);
        assert_eq!(store.grant_remove("a", "user:x").await.unwrap(), 1);
        assert_eq!(store.grant_remove("a", "user:x").await.unwrap(), 0);
        assert_eq!(sealed("a", "x").await, None);
        assert_eq!(sealed("a", "y").await.as_deref(), Some("2"));
    }
}
