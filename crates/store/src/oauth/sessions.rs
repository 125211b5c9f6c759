//! Sessions: a person (or a program) signed in through one client, and every token that came of it.

use crate::column::{seconds, to_seconds};
use crate::{Store, StoreFault};

/// A session. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id, `sid` in its tokens.
    pub id: String,
    /// Who signed in.
    pub subject: String,
    /// Through which client.
    pub client: String,
    /// What it may do, as JSON.
    pub payload: String,
    /// The provider's refresh token, sealed; none when the provider gave none.
    pub provider: Option<String>,
    /// Counts the changes of what is known of who signed in.
    pub epoch: u64,
    /// When the person signed in.
    pub created: u64,
    /// When a token was last minted.
    pub used: u64,
    /// When the provider last confirmed it.
    pub checked: u64,
    /// When it ends at the latest.
    pub expires: u64,
    /// When it was ended before that, and why.
    pub ended: Option<(u64, String)>,
}

/// The columns.
type Row = (
    String,
    String,
    String,
    String,
    Option<String>,
    i64,
    i64,
    i64,
    i64,
    i64,
    Option<i64>,
    Option<String>,
);

fn session(row: Row) -> Result<Session, StoreFault> {
    let (
        id,
        subject,
        client,
        payload,
        provider,
        epoch,
        created,
        used,
        checked,
        expires,
        ended,
        reason,
    ) = row;
    let ended = ended.map(seconds).transpose()?;
    Ok(Session {
        id,
        subject,
        client,
        payload,
        provider,
        epoch: seconds(epoch)?,
        created: seconds(created)?,
        used: seconds(used)?,
        checked: seconds(checked)?,
        expires: seconds(expires)?,
        ended: ended.map(|ended| (ended, reason.unwrap_or_default())),
    })
}

impl Store {
    /// Keeps a new session.
    pub async fn oauth_session_insert(&self, session: &Session) -> Result<(), StoreFault> {
        let insert = "insert into oauth_sessions (id, subject, client, payload, provider, epoch, created, used, checked, expires) \
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        sqlx::query(insert)
            .bind(&session.id)
            .bind(&session.subject)
            .bind(&session.client)
            .bind(&session.payload)
            .bind(&session.provider)
            .bind(to_seconds(session.epoch))
            .bind(to_seconds(session.created))
            .bind(to_seconds(session.used))
            .bind(to_seconds(session.checked))
            .bind(to_seconds(session.expires))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The session with this id, ended or not.
    pub async fn oauth_session(&self, id: &str) -> Result<Option<Session>, StoreFault> {
        let select = "select id, subject, client, payload, provider, epoch, created, used, checked, expires, ended, reason from oauth_sessions where id = $1";
        let row: Option<Row> = sqlx::query_as(select).bind(id).fetch_optional(&self.pool).await?;
        row.map(session).transpose()
    }

    /// All sessions that are not over at `now`, the newest first.
    pub async fn oauth_sessions(&self, now: u64) -> Result<Vec<Session>, StoreFault> {
        let select = "select id, subject, client, payload, provider, epoch, created, used, checked, expires, ended, reason from oauth_sessions where ended is null and expires > $1 order by created desc, id";
        let rows: Vec<Row> =
            sqlx::query_as(select).bind(to_seconds(now)).fetch_all(&self.pool).await?;
        rows.into_iter().map(session).collect()
    }

    /// Sessions that were in use since `used` and that the provider has not confirmed since `checked`.
    pub async fn oauth_sessions_due(
        &self,
        used: u64,
        checked: u64,
        now: u64,
        limit: u32,
    ) -> Result<Vec<Session>, StoreFault> {
        let select = "select id, subject, client, payload, provider, epoch, created, used, checked, expires, ended, reason from oauth_sessions where ended is null and expires > $1 and used >= $2 \
            and checked <= $3 and provider is not null order by checked limit $4";
        let rows: Vec<Row> = sqlx::query_as(select)
            .bind(to_seconds(now))
            .bind(to_seconds(used))
            .bind(to_seconds(checked))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(session).collect()
    }

    /// Notes that a token was minted, and until when the session lives now.
    pub async fn oauth_session_used(
        &self,
        id: &str,
        now: u64,
        expires: u64,
    ) -> Result<(), StoreFault> {
        sqlx::query("update oauth_sessions set used = $1, expires = $2 where id = $3")
            .bind(to_seconds(now))
            .bind(to_seconds(expires))
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Keeps what the provider said when it confirmed the session, unless it ended meanwhile.
    pub async fn oauth_session_checked(&self, session: &Session) -> Result<(), StoreFault> {
        let update = "update oauth_sessions set payload = $1, provider = $2, epoch = $3, checked = $4 \
            where id = $5 and ended is null";
        sqlx::query(update)
            .bind(&session.payload)
            .bind(&session.provider)
            .bind(to_seconds(session.epoch))
            .bind(to_seconds(session.checked))
            .bind(&session.id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Ends a session and forgets the provider's token; `false` when it was not there or had ended.
    pub async fn oauth_session_end(
        &self,
        id: &str,
        reason: &str,
        now: u64,
    ) -> Result<bool, StoreFault> {
        let update = "update oauth_sessions set ended = $1, reason = $2, provider = null where id = $3 and ended is null";
        let updated = sqlx::query(update)
            .bind(to_seconds(now))
            .bind(reason)
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(updated.rows_affected() == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Taken;

    fn live(id: &str) -> Session {
        Session {
            id: id.into(),
            subject: "entra|t|alice".into(),
            client: "c".into(),
            payload: "{}".into(),
            provider: Some("sealed".into()),
            epoch: 0,
            created: 10,
            used: 10,
            checked: 10,
            expires: 1000,
            ended: None,
        }
    }

    #[tokio::test]
    async fn a_code_and_a_refresh_token_are_used_once() {
        let store = Store::memory().await.unwrap();
        store.oauth_session_insert(&live("s")).await.unwrap();
        store.oauth_code_put(&[1; 32], "s", "{}", 70).await.unwrap();
        store.oauth_refresh_put(&[2; 32], "s", 70).await.unwrap();
        let fresh = Taken::Fresh { session: "s".into(), payload: "{}".into() };
        let again = Taken::Again { session: "s".into() };
        assert_eq!(store.oauth_code_take(&[1; 32], 69).await.unwrap(), fresh);
        assert_eq!(store.oauth_code_take(&[1; 32], 69).await.unwrap(), again);
        assert_eq!(store.oauth_code_take(&[9; 32], 69).await.unwrap(), Taken::Unknown);
        assert!(matches!(
            store.oauth_refresh_take(&[2; 32], 69).await.unwrap(),
            Taken::Fresh { .. }
        ));
        assert_eq!(store.oauth_refresh_take(&[2; 32], 69).await.unwrap(), again);
        store.oauth_refresh_put(&[3; 32], "s", 70).await.unwrap();
        assert_eq!(store.oauth_refresh_take(&[3; 32], 70).await.unwrap(), Taken::Unknown);
    }

    #[tokio::test]
    async fn an_assertion_is_seen_once() {
        let store = Store::memory().await.unwrap();
        assert!(store.oauth_first_seen(&[7; 32], 10).await.unwrap());
        assert!(!store.oauth_first_seen(&[7; 32], 10).await.unwrap());
    }

    #[tokio::test]
    async fn a_session_ends_once_and_is_then_never_due() {
        let store = Store::memory().await.unwrap();
        store.oauth_session_insert(&live("s")).await.unwrap();
        let due = async |used, checked| {
            store.oauth_sessions_due(used, checked, 20, 9).await.unwrap().len()
        };
        assert_eq!(due(10, 10).await, 1);
        assert_eq!(due(11, 10).await, 0);
        assert_eq!(due(10, 9).await, 0);
        assert!(store.oauth_session_end("s", "signed out", 30).await.unwrap());
        assert!(!store.oauth_session_end("s", "signed out", 31).await.unwrap());
        assert_eq!(due(10, 10).await, 0);
        let ended = store.oauth_session("s").await.unwrap().unwrap();
        assert_eq!((ended.ended, ended.provider), (Some((30, "signed out".into())), None));
        store.oauth_session_checked(&Session { epoch: 5, ..live("s") }).await.unwrap();
        assert_eq!(store.oauth_session("s").await.unwrap().unwrap().epoch, 0);
        store.oauth_prune(30 + 86_400).await.unwrap();
        assert_eq!(store.oauth_session("s").await.unwrap(), None);
    }
}
