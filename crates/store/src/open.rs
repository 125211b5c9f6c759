//! Opening the database.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool, Transaction};

use crate::StoreFault;

/// The steps from an empty database to today's; step n brings version n. Never changed once
/// released, only added to.
const STEPS: &[&str] = &[
    include_str!("schema.sql"),
    include_str!("schema_egress.sql"),
    include_str!("schema_oauth.sql"),
    include_str!("schema_limits.sql"),
    include_str!("schema_grants.sql"),
    include_str!("schema_pins.sql"),
    include_str!("schema_flows.sql"),
    include_str!("schema_secrets.sql"),
    include_str!("schema_policies.sql"),
    include_str!("schema_signed.sql"),
    include_str!("schema_wants.sql"),
    include_str!("schema_roles.sql"),
];

/// The open store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) pool: SqlitePool,
}

impl Store {
    /// Opens or makes the database file, readable by its owner alone. Its folder must exist.
    pub async fn open(path: &Path) -> Result<Store, StoreFault> {
        private(path).map_err(|source| StoreFault::File { path: path.into(), source })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5));
        // Two: a list is recorded without keeping a token's look-up waiting.
        Store::connect(options, SqlitePoolOptions::new().max_connections(2)).await
    }

    /// A store that ends with the process.
    pub async fn memory() -> Result<Store, StoreFault> {
        // Every connection would have a database of its own, which ends with the connection.
        let pool =
            SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        Store::connect(SqliteConnectOptions::new().in_memory(true), pool).await
    }

    /// Writes what is open and closes the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    async fn connect(
        options: SqliteConnectOptions,
        pool: SqlitePoolOptions,
    ) -> Result<Store, StoreFault> {
        // 256 KiB of pages for each connection.
        let options = options.pragma("cache_size", "-256").foreign_keys(true);
        let store = Store {
            pool: pool.acquire_timeout(Duration::from_secs(5)).connect_with(options).await?,
        };
        store.migrate().await?;
        Ok(store)
    }

    /// A transaction that may write: it waits for other writers now, not half way.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreFault> {
        Ok(self.pool.begin_with("begin immediate").await?)
    }

    async fn migrate(&self) -> Result<(), StoreFault> {
        if version(&mut *self.pool.acquire().await?).await? == STEPS.len() {
            return Ok(());
        }
        // Asked again inside, since another process may be doing the same.
        let mut transaction = self.begin().await?;
        let found = version(&mut transaction).await?;
        for (at, step) in STEPS.iter().enumerate().skip(found) {
            sqlx::raw_sql(*step).execute(&mut *transaction).await?;
            let version = i64::try_from(at + 1).unwrap_or(i64::MAX);
            sqlx::query("update schema_version set version = $1")
                .bind(version)
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }
}

/// How many steps the database has seen.
async fn version(connection: &mut sqlx::SqliteConnection) -> Result<usize, StoreFault> {
    let tables: i64 =
        sqlx::query_scalar("select count(*) from sqlite_master where name = 'schema_version'")
            .fetch_one(&mut *connection)
            .await?;
    if tables == 0 {
        return Ok(0);
    }
    let found: i64 =
        sqlx::query_scalar("select version from schema_version").fetch_one(connection).await?;
    match usize::try_from(found) {
        Ok(version) if version <= STEPS.len() => Ok(version),
        _ => Err(StoreFault::Newer { found, known: STEPS.len() }),
    }
}

/// Makes the file if need be, and takes it away from everyone else. SQLite gives its side
/// files the same mode.
fn private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    drop(file);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_kept_is_there_after_opening_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bartizan.db");
        let store = Store::open(&path).await.unwrap();
        store.meta_set("a", "1").await.unwrap();
        store.close().await;
        let store = Store::open(&path).await.unwrap();
        assert_eq!(store.meta("a").await.unwrap().as_deref(), Some("1"));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn its_files_are_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bartizan.db");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let store = Store::open(&path).await.unwrap();
        store.meta_set("a", "1").await.unwrap();
        let modes: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().permissions().mode() & 0o777)
            .collect();
        assert!(modes.len() >= 2 && modes.iter().all(|mode| *mode == 0o600), "{modes:?}");
    }

    #[tokio::test]
    async fn two_that_open_at_once_both_succeed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bartizan.db");
        let (one, other) = tokio::join!(Store::open(&path), Store::open(&path));
        one.unwrap().meta_set("a", "1").await.unwrap();
        assert_eq!(other.unwrap().meta("a").await.unwrap().as_deref(), Some("1"));
    }

    #[tokio::test]
    async fn a_store_from_the_future_and_a_file_that_is_none_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bartizan.db");
        let store = Store::open(&path).await.unwrap();
        sqlx::query("update schema_version set version = 99").execute(&store.pool).await.unwrap();
        store.close().await;
        assert!(
            matches!(Store::open(&path).await, Err(StoreFault::Newer { found: 99, known }) if known == STEPS.len())
        );

        let other = dir.path().join("other");
        std::fs::write(&other, "not a database, but long enough to be looked at as one".repeat(10))
            .unwrap();
        assert!(matches!(Store::open(&other).await, Err(StoreFault::Sql(_))));
        assert!(matches!(
            Store::open(&dir.path().join("no/such/folder")).await,
            Err(StoreFault::File { .. })
        ));
    }
}
