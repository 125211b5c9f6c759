//! Signed calls that were taken.

use crate::column::to_seconds;
use crate::{Store, StoreFault};

impl Store {
    /// Takes a signed call, by the hash of what was signed; `false` when it was taken before. It is known `until`
    /// then, in seconds since 1970. As many are kept as the owners of pinned keys sign in that time.
    pub async fn signed_call(
        &self,
        payload: &[u8; 32],
        until: u64,
        now: u64,
    ) -> Result<bool, StoreFault> {
        let mut transaction = self.begin().await?;
        let expire = "delete from signed_calls where until < $1";
        sqlx::query(expire).bind(to_seconds(now)).execute(&mut *transaction).await?;
        let insert =
            "insert into signed_calls (payload, until) values ($1, $2) on conflict do nothing";
        let taken = sqlx::query(insert)
            .bind(payload.as_slice())
            .bind(to_seconds(until))
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        transaction.commit().await?;
        Ok(taken == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signed_call_is_taken_once_also_by_another_gateway_and_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bartizan.db");
        let (one, other) = (Store::open(&path).await.unwrap(), Store::open(&path).await.unwrap());
        assert!(one.signed_call(&[1; 32], 310, 10).await.unwrap());
        assert!(!other.signed_call(&[1; 32], 310, 11).await.unwrap());
        assert!(other.signed_call(&[2; 32], 310, 11).await.unwrap());
        one.close().await;
        let again = Store::open(&path).await.unwrap();
        assert!(!again.signed_call(&[1; 32], 310, 310).await.unwrap(), "its last second");
        assert!(
            again.signed_call(&[1; 32], 611, 311).await.unwrap(),
            "by now it is too old by itself"
        );
    }
}
