//! The keys that sign tokens, sealed.

use crate::column::{seconds, to_seconds};
use crate::{Store, StoreFault};

/// A signing key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedKey {
    /// Its name.
    pub kid: String,
    /// The private key, sealed.
    pub sealed: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
}

impl Store {
    /// All keys, the newest first.
    pub async fn oauth_keys(&self) -> Result<Vec<SealedKey>, StoreFault> {
        let select = "select kid, sealed, created from oauth_keys order by created desc, kid";
        let rows: Vec<(String, String, i64)> = sqlx::query_as(select).fetch_all(&self.pool).await?;
        let key =
            |(kid, sealed, created)| Ok(SealedKey { kid, sealed, created: seconds(created)? });
        rows.into_iter().map(key).collect()
    }

    /// Keeps a new key, unless one was made after `since`; keys from before `old` go.
    pub async fn oauth_key_put(
        &self,
        key: &SealedKey,
        since: u64,
        old: u64,
    ) -> Result<(), StoreFault> {
        let mut transaction = self.begin().await?;
        let insert = "insert into oauth_keys (kid, sealed, created) select $1, $2, $3 \
            where not exists (select 1 from oauth_keys where created > $4)";
        sqlx::query(insert)
            .bind(&key.kid)
            .bind(&key.sealed)
            .bind(to_seconds(key.created))
            .bind(to_seconds(since))
            .execute(&mut *transaction)
            .await?;
        sqlx::query("delete from oauth_keys where created <= $1")
            .bind(to_seconds(old))
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_new_key_whoever_is_quicker() {
        let store = Store::memory().await.unwrap();
        let key = |kid: &str, created| SealedKey { kid: kid.into(), sealed: "x".into(), created };
        store.oauth_key_put(&key("a", 100), 50, 0).await.unwrap();
        store.oauth_key_put(&key("b", 100), 50, 0).await.unwrap();
        store.oauth_key_put(&key("c", 200), 150, 0).await.unwrap();
        let kids: Vec<_> =
            store.oauth_keys().await.unwrap().into_iter().map(|key| key.kid).collect();
        assert_eq!(kids, ["c", "a"]);
        store.oauth_key_put(&key("d", 300), 250, 100).await.unwrap();
        assert_eq!(store.oauth_keys().await.unwrap().len(), 2);
    }
}
