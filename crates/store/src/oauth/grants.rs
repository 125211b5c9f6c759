//! What is shown once: authorization codes, refresh tokens, upstream states, assertions.

use crate::column::to_seconds;
use crate::{Store, StoreFault};

/// What came of showing a code or a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was good, and is used now.
    Fresh {
        /// Its session.
        session: String,
        /// What it is bound to, as JSON; empty for a refresh token.
        payload: String,
    },
    /// It was used before: whoever shows it, or whoever used it, has stolen it.
    Again {
        /// Its session.
        session: String,
    },
    /// Not known, or expired.
    Unknown,
}

impl Store {
    /// Keeps a code of a session.
    pub async fn oauth_code_put(
        &self,
        hash: &[u8; 32],
        session: &str,
        payload: &str,
        expires: u64,
    ) -> Result<(), StoreFault> {
        sqlx::query(
            "insert into oauth_codes (hash, session, payload, expires) values ($1, $2, $3, $4)",
        )
        .bind(hash.as_slice())
        .bind(session)
        .bind(payload)
        .bind(to_seconds(expires))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Uses a code. It is used even when what is bound to it turns out not to fit.
    pub async fn oauth_code_take(&self, hash: &[u8; 32], now: u64) -> Result<Taken, StoreFault> {
        let update = "update oauth_codes set used = $1 where hash = $2 and used is null and expires > $1 \
            returning session, payload";
        let select = "select session from oauth_codes where hash = $1 and used is not null";
        self.take(update, select, hash, now).await
    }

    /// Keeps a refresh token of a session.
    pub async fn oauth_refresh_put(
        &self,
        hash: &[u8; 32],
        session: &str,
        expires: u64,
    ) -> Result<(), StoreFault> {
        sqlx::query("insert into oauth_refresh (hash, session, expires) values ($1, $2, $3)")
            .bind(hash.as_slice())
            .bind(session)
            .bind(to_seconds(expires))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Uses a refresh token.
    pub async fn oauth_refresh_take(&self, hash: &[u8; 32], now: u64) -> Result<Taken, StoreFault> {
        let update = "update oauth_refresh set used = $1 where hash = $2 and used is null and expires > $1 \
            returning session, ''";
        let select = "select session from oauth_refresh where hash = $1 and used is not null";
        self.take(update, select, hash, now).await
    }

    /// Whose refresh token it is, used or not, without using it.
    pub async fn oauth_refresh_session(
        &self,
        hash: &[u8; 32],
    ) -> Result<Option<String>, StoreFault> {
        let select = "select session from oauth_refresh where hash = $1";
        Ok(sqlx::query_scalar(select).bind(hash.as_slice()).fetch_optional(&self.pool).await?)
    }

    async fn take(
        &self,
        update: &'static str,
        select: &'static str,
        hash: &[u8; 32],
        now: u64,
    ) -> Result<Taken, StoreFault> {
        let fresh: Option<(String, String)> = sqlx::query_as(update)
            .bind(to_seconds(now))
            .bind(hash.as_slice())
            .fetch_optional(&self.pool)
            .await?;
        if let Some((session, payload)) = fresh {
            return Ok(Taken::Fresh { session, payload });
        }
        let used: Option<String> =
            sqlx::query_scalar(select).bind(hash.as_slice()).fetch_optional(&self.pool).await?;
        Ok(used.map_or(Taken::Unknown, |session| Taken::Again { session }))
    }

    /// Notes that an assertion or a state was used; `false` when it was before.
    pub async fn oauth_first_seen(
        &self,
        hash: &[u8; 32],
        expires: u64,
    ) -> Result<bool, StoreFault> {
        let insert =
            "insert into oauth_seen (hash, expires) values ($1, $2) on conflict (hash) do nothing";
        let inserted = sqlx::query(insert)
            .bind(hash.as_slice())
            .bind(to_seconds(expires))
            .execute(&self.pool)
            .await?;
        Ok(inserted.rows_affected() == 1)
    }
}
