//! Sealed secrets, and the key that they are sealed under, which is sealed too: nothing here opens without the master key.

use sqlx::{Sqlite, Transaction};

use crate::column::{seconds, to_seconds};
use crate::{Store, StoreFault};

/// The root key, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootKey {
    /// What it is called.
    pub id: String,
    /// What opens it.
    pub master: String,
    /// Itself.
    pub wrapped: Vec<u8>,
}

/// One sealed secret. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSecret {
    /// What it is called.
    pub name: String,
    /// Counts its values, from 1.
    pub version: u64,
    /// When this value was set.
    pub set: u64,
    /// When it dies.
    pub expires: Option<u64>,
    /// Who must act before that; empty for nobody.
    pub owner: String,
    /// Its own key, sealed.
    pub key: Vec<u8>,
    /// The value, sealed.
    pub value: Vec<u8>,
}

/// Something that was done to a secret, or to all (then the name is empty).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretChange {
    /// Counts the changes.
    pub id: i64,
    /// Which secret.
    pub name: String,
    /// Which value of it.
    pub version: u64,
    /// `set`, `rotate`, `remove` or `rotate-master`.
    pub change: String,
    /// Who did it.
    pub by: String,
}

type Row = (String, i64, i64, Option<i64>, String, Vec<u8>, Vec<u8>);

fn sealed(
    (name, version, set, expires, owner, key, value): Row,
) -> Result<SealedSecret, StoreFault> {
    let version = u64::try_from(version).map_err(|_| StoreFault::Malformed("version"))?;
    let expires = expires.map(seconds).transpose()?;
    Ok(SealedSecret { name, version, set: seconds(set)?, expires, owner, key, value })
}

impl Store {
    /// The root key, sealed; `None` before the first secret.
    pub async fn root_key(&self) -> Result<Option<RootKey>, StoreFault> {
        root_key(&mut *self.pool.acquire().await?).await
    }

    /// Keeps the first root key. `false`: there is one already.
    pub async fn root_key_keep(&self, root: &RootKey) -> Result<bool, StoreFault> {
        let insert = "insert into root_key (one, id, master, wrapped) values (1, $1, $2, $3) \
             on conflict (one) do nothing";
        let query = sqlx::query(insert).bind(&root.id).bind(&root.master).bind(&root.wrapped);
        Ok(query.execute(&self.pool).await?.rows_affected() == 1)
    }

    /// All secrets, by name.
    pub async fn secrets(&self) -> Result<Vec<SealedSecret>, StoreFault> {
        let select =
            "select name, version, set_at, expires, owner, key, value from secrets order by name";
        let rows: Vec<Row> = sqlx::query_as(select).fetch_all(&self.pool).await?;
        rows.into_iter().map(sealed).collect()
    }

    /// One of them.
    pub async fn secret(&self, name: &str) -> Result<Option<SealedSecret>, StoreFault> {
        let select =
            "select name, version, set_at, expires, owner, key, value from secrets where name = $1";
        let row: Option<Row> = sqlx::query_as(select).bind(name).fetch_optional(&self.pool).await?;
        row.map(sealed).transpose()
    }

    /// Keeps a value that was sealed under the root key `root`, as the one after `version - 1`. `false`: somebody
    /// else was quicker, with this secret or with the root key.
    pub async fn secret_keep(
        &self,
        secret: &SealedSecret,
        root: &str,
        change: &str,
        by: &str,
    ) -> Result<bool, StoreFault> {
        let mut transaction = self.begin().await?;
        let before: Option<i64> = sqlx::query_scalar("select version from secrets where name = $1")
            .bind(&secret.name)
            .fetch_optional(&mut *transaction)
            .await?;
        let current = root_key(&mut transaction).await?.is_some_and(|current| current.id == root);
        if !current || before.unwrap_or(0) != to_seconds(secret.version) - 1 {
            return Ok(false);
        }
        put(&mut transaction, secret).await?;
        note(&mut transaction, (&secret.name, secret.version), change, by, secret.set).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Takes a secret away. `false`: there was none.
    pub async fn secret_remove(&self, name: &str, by: &str, now: u64) -> Result<bool, StoreFault> {
        let mut transaction = self.begin().await?;
        let delete = "delete from secrets where name = $1 returning version";
        let gone: Option<i64> =
            sqlx::query_scalar(delete).bind(name).fetch_optional(&mut *transaction).await?;
        let Some(version) = gone else { return Ok(false) };
        note(&mut transaction, (name, version.unsigned_abs()), "remove", by, now).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Puts another root key, and everything sealed under it, in the place of what is there, at once or not at all.
    /// `false`: what is there is not what `secrets` and `before` were made from.
    pub async fn secrets_reseal(
        &self,
        before: &str,
        root: &RootKey,
        secrets: &[SealedSecret],
        by: &str,
        now: u64,
    ) -> Result<bool, StoreFault> {
        let mut transaction = self.begin().await?;
        let select = "select name, version from secrets order by name";
        let found: Vec<(String, i64)> = sqlx::query_as(select).fetch_all(&mut *transaction).await?;
        let expected =
            secrets.iter().map(|secret| (secret.name.as_str(), to_seconds(secret.version)));
        let same = found.iter().map(|(name, version)| (name.as_str(), *version)).eq(expected);
        let current = root_key(&mut transaction).await?.is_some_and(|current| current.id == before);
        if !same || !current {
            return Ok(false);
        }
        for secret in secrets {
            put(&mut transaction, secret).await?;
        }
        sqlx::query("update root_key set id = $1, master = $2, wrapped = $3")
            .bind(&root.id)
            .bind(&root.master)
            .bind(&root.wrapped)
            .execute(&mut *transaction)
            .await?;
        note(&mut transaction, ("", 0), "rotate-master", by, now).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Changes whenever a secret does.
    pub async fn secrets_generation(&self) -> Result<i64, StoreFault> {
        let select = "select coalesce(max(id), 0) from secret_changes";
        Ok(sqlx::query_scalar(select).fetch_one(&self.pool).await?)
    }

    /// Changes that are not in the audit log yet, oldest first; at most a thousand.
    pub async fn secret_changes_unrecorded(&self) -> Result<Vec<SecretChange>, StoreFault> {
        let select = "select id, name, version, change, by from secret_changes where recorded = 0 \
             order by id limit 1000";
        let rows: Vec<(i64, String, i64, String, String)> =
            sqlx::query_as(select).fetch_all(&self.pool).await?;
        let change = |(id, name, version, change, by): (i64, String, i64, String, String)| {
            SecretChange { id, name, version: version.unsigned_abs(), change, by }
        };
        Ok(rows.into_iter().map(change).collect())
    }

    /// They are there now, up to and with this one.
    pub async fn secret_changes_recorded(&self, id: i64) -> Result<(), StoreFault> {
        let update = "update secret_changes set recorded = 1 where recorded = 0 and id <= $1";
        sqlx::query(update).bind(id).execute(&self.pool).await?;
        Ok(())
    }
}

async fn root_key(connection: &mut sqlx::SqliteConnection) -> Result<Option<RootKey>, StoreFault> {
    let select = "select id, master, wrapped from root_key";
    let row: Option<(String, String, Vec<u8>)> =
        sqlx::query_as(select).fetch_optional(connection).await?;
    Ok(row.map(|(id, master, wrapped)| RootKey { id, master, wrapped }))
}

async fn put(
    transaction: &mut Transaction<'static, Sqlite>,
    secret: &SealedSecret,
) -> Result<(), StoreFault> {
    let upsert = "insert into secrets (name, version, set_at, expires, owner, key, value) \
         values ($1, $2, $3, $4, $5, $6, $7) on conflict (name) do update set \
         version = excluded.version, set_at = excluded.set_at, expires = excluded.expires, \
         owner = excluded.owner, key = excluded.key, value = excluded.value";
    sqlx::query(upsert)
        .bind(&secret.name)
        .bind(to_seconds(secret.version))
        .bind(to_seconds(secret.set))
        .bind(secret.expires.map(to_seconds))
        .bind(&secret.owner)
        .bind(&secret.key)
        .bind(&secret.value)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn note(
    transaction: &mut Transaction<'static, Sqlite>,
    (name, version): (&str, u64),
    change: &str,
    by: &str,
    now: u64,
) -> Result<(), StoreFault> {
    let insert = "insert into secret_changes (name, version, change, by, at, recorded) \
         values ($1, $2, $3, $4, $5, 0)";
    sqlx::query(insert)
        .bind(name)
        .bind(to_seconds(version))
        .bind(change)
        .bind(by)
        .bind(to_seconds(now))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(name: &str, version: u64) -> SealedSecret {
        SealedSecret {
            name: name.into(),
            version,
            set: 10,
            expires: Some(20),
            owner: "alice".into(),
            key: vec![1],
            value: vec![u8::try_from(version).unwrap()],
        }
    }

    fn root(id: &str) -> RootKey {
        RootKey { id: id.into(), master: "file".into(), wrapped: vec![9] }
    }

    #[tokio::test]
    async fn values_follow_each_other_and_changes_are_told() {
        let store = Store::memory().await.unwrap();
        assert!(!store.secret_keep(&secret("a", 1), "r1", "set", "owner").await.unwrap());
        assert!(store.root_key_keep(&root("r1")).await.unwrap());
        assert!(!store.root_key_keep(&root("r2")).await.unwrap());
        assert_eq!(store.root_key().await.unwrap(), Some(root("r1")));
        assert_eq!(store.secrets_generation().await.unwrap(), 0);

        assert!(store.secret_keep(&secret("a", 1), "r1", "set", "owner").await.unwrap());
        assert!(!store.secret_keep(&secret("a", 1), "r1", "set", "owner").await.unwrap());
        assert!(!store.secret_keep(&secret("a", 3), "r1", "rotate", "owner").await.unwrap());
        assert!(!store.secret_keep(&secret("a", 2), "r2", "rotate", "owner").await.unwrap());
        assert!(store.secret_keep(&secret("a", 2), "r1", "rotate", "owner").await.unwrap());
        assert_eq!(store.secret("a").await.unwrap(), Some(secret("a", 2)));
        assert_eq!(store.secret("b").await.unwrap(), None);

        assert!(store.secret_remove("a", "owner", 11).await.unwrap());
        assert!(!store.secret_remove("a", "owner", 11).await.unwrap());
        assert_eq!(store.secrets_generation().await.unwrap(), 3);
        let changes = store.secret_changes_unrecorded().await.unwrap();
        let told: Vec<_> =
            changes.iter().map(|change| (change.change.as_str(), change.version)).collect();
        assert_eq!(told, [("set", 1), ("rotate", 2), ("remove", 2)]);
        store.secret_changes_recorded(changes[1].id).await.unwrap();
        assert_eq!(store.secret_changes_unrecorded().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn everything_is_resealed_or_nothing() {
        let store = Store::memory().await.unwrap();
        store.root_key_keep(&root("r1")).await.unwrap();
        for name in ["a", "b"] {
            store.secret_keep(&secret(name, 1), "r1", "set", "owner").await.unwrap();
        }
        let other = |name: &str| SealedSecret { key: vec![7], ..secret(name, 1) };
        let both = [other("a"), other("b")];
        let reseal = async |before, secrets: &[SealedSecret]| {
            store.secrets_reseal(before, &root("r2"), secrets, "owner", 12).await.unwrap()
        };
        assert!(!reseal("r0", &both).await);
        assert!(!reseal("r1", &both[..1]).await);
        assert!(!reseal("r1", &[other("a"), SealedSecret { version: 2, ..other("b") }]).await);
        assert_eq!(store.root_key().await.unwrap(), Some(root("r1")));
        assert_eq!(store.secret("a").await.unwrap(), Some(secret("a", 1)));
        assert!(reseal("r1", &both).await);
        assert_eq!(store.root_key().await.unwrap(), Some(root("r2")));
        assert_eq!(store.secrets().await.unwrap(), both);
    }
}
