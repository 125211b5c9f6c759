//! Single values by key.

use crate::{Store, StoreFault};

impl Store {
    /// The value of `key`.
    pub async fn meta(&self, key: &str) -> Result<Option<String>, StoreFault> {
        let select = "select value from meta where key = $1";
        Ok(sqlx::query_scalar(select).bind(key).fetch_optional(&self.pool).await?)
    }

    /// Sets the value of `key`.
    pub async fn meta_set(&self, key: &str, value: &str) -> Result<(), StoreFault> {
        let upsert = "insert into meta (key, value) values ($1, $2) on conflict (key) do update set value = excluded.value";
        sqlx::query(upsert).bind(key).bind(value).execute(&self.pool).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::Store;

    #[tokio::test]
    async fn the_last_value_stays() {
        let store = Store::memory().await.unwrap();
        assert_eq!(store.meta("a").await.unwrap(), None);
        store.meta_set("a", "1").await.unwrap();
        store.meta_set("a", "2").await.unwrap();
        store.meta_set("b", "").await.unwrap();
        assert_eq!(store.meta("a").await.unwrap().as_deref(), Some("2"));
        assert_eq!(store.meta("b").await.unwrap().as_deref(), Some(""));
    }
}
