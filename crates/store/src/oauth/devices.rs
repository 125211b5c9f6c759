//! Devices that wait until a person lets them in (RFC 8628).

use crate::column::to_seconds;
use crate::{Store, StoreFault};

/// A device's request, as the person who typed its code sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The hash of the device's own code.
    pub hash: Vec<u8>,
    /// What it asks for, as JSON.
    pub payload: String,
}

/// What a device hears when it asks whether it was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Poll {
    /// The person said no.
    Denied,
    /// The person said yes. The code is used now.
    Granted {
        /// The session.
        session: String,
        /// What was asked for, as JSON.
        payload: String,
    },
    /// Nobody has answered yet.
    Pending,
    /// Nobody has answered yet, and it asks too often.
    TooSoon,
    /// Not known, expired, or used.
    Unknown,
}

/// Payload, session, when it was denied, when it last asked, its pause.
type Waiting = (String, Option<String>, Option<i64>, i64, i64);

/// What is added to a device's pause each time it asks too soon (RFC 8628 §3.5).
const SLOWER: i64 = 5;

impl Store {
    /// Keeps a request; `false` when `limit` wait already.
    pub async fn oauth_device_put(
        &self,
        hash: &[u8; 32],
        user_code: &[u8; 32],
        payload: &str,
        pause: u64,
        expires: u64,
        limit: u32,
    ) -> Result<bool, StoreFault> {
        let insert = "insert into oauth_devices (hash, user_code, payload, polled, pause, expires) \
            select $1, $2, $3, 0, $4, $5 where (select count(*) from oauth_devices) < $6";
        let inserted = sqlx::query(insert)
            .bind(hash.as_slice())
            .bind(user_code.as_slice())
            .bind(payload)
            .bind(to_seconds(pause))
            .bind(to_seconds(expires))
            .bind(i64::from(limit))
            .execute(&self.pool)
            .await?;
        Ok(inserted.rows_affected() == 1)
    }

    /// The request with this user code, while nobody has answered it.
    pub async fn oauth_device(
        &self,
        user_code: &[u8; 32],
        now: u64,
    ) -> Result<Option<Device>, StoreFault> {
        let select = "select hash, payload from oauth_devices where user_code = $1 and expires > $2 \
            and session is null and denied is null";
        let row: Option<(Vec<u8>, String)> = sqlx::query_as(select)
            .bind(user_code.as_slice())
            .bind(to_seconds(now))
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|(hash, payload)| Device { hash, payload }))
    }

    /// Answers a request: with a session, or with no; `false` when it was answered or has expired.
    pub async fn oauth_device_answer(
        &self,
        hash: &[u8],
        session: Option<&str>,
        now: u64,
    ) -> Result<bool, StoreFault> {
        let update = "update oauth_devices set session = $1, denied = $2 where hash = $3 and expires > $4 \
            and session is null and denied is null";
        let updated = sqlx::query(update)
            .bind(session)
            .bind(session.is_none().then_some(to_seconds(now)))
            .bind(hash)
            .bind(to_seconds(now))
            .execute(&self.pool)
            .await?;
        Ok(updated.rows_affected() == 1)
    }

    /// A device asks. A granted or denied request is gone after it.
    pub async fn oauth_device_poll(&self, hash: &[u8; 32], now: u64) -> Result<Poll, StoreFault> {
        let now = to_seconds(now);
        let mut transaction = self.begin().await?;
        let select = "select payload, session, denied, polled, pause from oauth_devices where hash = $1 and expires > $2";
        let row: Option<Waiting> = sqlx::query_as(select)
            .bind(hash.as_slice())
            .bind(now)
            .fetch_optional(&mut *transaction)
            .await?;
        let poll = match row {
            None => Poll::Unknown,
            Some((_, _, Some(_), ..)) => Poll::Denied,
            Some((payload, Some(session), ..)) => Poll::Granted { session, payload },
            Some((.., polled, pause)) if now < polled.saturating_add(pause) => Poll::TooSoon,
            Some(_) => Poll::Pending,
        };
        let change = match poll {
            Poll::Unknown => return Ok(poll),
            Poll::Denied | Poll::Granted { .. } => {
                sqlx::query("delete from oauth_devices where hash = $1").bind(hash.as_slice())
            }
            Poll::Pending | Poll::TooSoon => {
                let slower = if poll == Poll::TooSoon { SLOWER } else { 0 };
                sqlx::query(
                    "update oauth_devices set polled = $2, pause = pause + $3 where hash = $1",
                )
                .bind(hash.as_slice())
                .bind(now)
                .bind(slower)
            }
        };
        change.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(poll)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_device_waits_slows_down_and_is_let_in_once() {
        let store = Store::memory().await.unwrap();
        assert!(store.oauth_device_put(&[1; 32], &[2; 32], "{}", 5, 100, 1).await.unwrap());
        assert!(!store.oauth_device_put(&[3; 32], &[4; 32], "{}", 5, 100, 1).await.unwrap());
        let poll = async |now| store.oauth_device_poll(&[1; 32], now).await.unwrap();
        assert_eq!(poll(10).await, Poll::Pending);
        assert_eq!(poll(14).await, Poll::TooSoon);
        assert_eq!(poll(20).await, Poll::TooSoon);
        assert_eq!(poll(35).await, Poll::Pending);
        let device = store.oauth_device(&[2; 32], 36).await.unwrap().unwrap();
        assert!(store.oauth_device_answer(&device.hash, Some("s"), 37).await.unwrap());
        assert!(!store.oauth_device_answer(&device.hash, None, 38).await.unwrap());
        assert_eq!(store.oauth_device(&[2; 32], 38).await.unwrap(), None);
        assert_eq!(poll(39).await, Poll::Granted { session: "s".into(), payload: "{}".into() });
        assert_eq!(poll(40).await, Poll::Unknown);
    }

    #[tokio::test]
    async fn no_is_heard_and_time_runs_out() {
        let store = Store::memory().await.unwrap();
        store.oauth_device_put(&[1; 32], &[2; 32], "{}", 5, 100, 9).await.unwrap();
        store.oauth_device_put(&[3; 32], &[4; 32], "{}", 5, 100, 9).await.unwrap();
        assert!(store.oauth_device_answer(&[1; 32], None, 10).await.unwrap());
        assert_eq!(store.oauth_device_poll(&[1; 32], 11).await.unwrap(), Poll::Denied);
        assert_eq!(store.oauth_device_poll(&[3; 32], 100).await.unwrap(), Poll::Unknown);
        assert!(!store.oauth_device_answer(&[3; 32], Some("s"), 100).await.unwrap());
    }
}
