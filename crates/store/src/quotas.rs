//! What of quotas is used.

use crate::{Store, StoreFault};

/// A part of a quota, taken in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaPart {
    /// The number of the period that it is of: never an earlier one than was seen before, so that a
    /// clock that goes back opens no period anew.
    pub period: u64,
    /// How many; zero when nothing is left.
    pub granted: u64,
}

impl Store {
    /// Takes up to `want` of the quota `limit` in advance.
    pub async fn quota_take(
        &self,
        name: &str,
        key: &str,
        period: u64,
        want: u64,
        limit: u64,
    ) -> Result<QuotaPart, StoreFault> {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let mut transaction = self.begin().await?;
        let found: Option<(i64, i64)> =
            sqlx::query_as("select period, used from quotas where name = $1 and key = $2")
                .bind(name)
                .bind(key)
                .fetch_optional(&mut *transaction)
                .await?;
        let (period, used) = match found {
            Some((seen, used)) if seen >= number(period) => {
                (u64::try_from(seen).unwrap_or(period), u64::try_from(used).unwrap_or(limit))
            }
            _ => (period, 0),
        };
        let granted = want.min(limit.saturating_sub(used));
        let upsert = "insert into quotas (name, key, period, used) values ($1, $2, $3, $4)
            on conflict (name, key) do update set period = excluded.period, used = excluded.used";
        sqlx::query(upsert)
            .bind(name)
            .bind(key)
            .bind(number(period))
            .bind(number(used.saturating_add(granted)))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(QuotaPart { period, granted })
    }
}

#[cfg(test)]
mod tests {
    use super::QuotaPart;
    use crate::Store;

    #[tokio::test]
    async fn a_quota_is_used_up_and_a_clock_that_goes_back_gives_nothing() {
        let store = Store::memory().await.unwrap();
        let take = async |period, want| {
            let part = store.quota_take("q", "token:a", period, want, 10).await.unwrap();
            (part.period, part.granted)
        };
        assert_eq!(take(7, 6).await, (7, 6));
        assert_eq!(take(7, 6).await, (7, 4));
        assert_eq!(take(7, 6).await, (7, 0));
        assert_eq!(take(6, 6).await, (7, 0), "the clock went back");
        assert_eq!(take(8, 3).await, (8, 3));
        let other = store.quota_take("q", "token:b", 7, 1, 10).await.unwrap();
        assert_eq!(other, QuotaPart { period: 7, granted: 1 });
    }
}
