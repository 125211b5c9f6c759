//! Requests that wait for a person's approval.

use crate::{
    Store, StoreFault,
    column::{bytes, seconds, to_seconds},
};

/// One such request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// What it is known by.
    pub id: String,
    /// Of the exact request.
    pub digest: [u8; 32],
    /// Who asked.
    pub principal: String,
    /// What the approver sees: a JSON object.
    pub request: String,
    /// `pending`, `approved`, `denied`, `used`.
    pub state: String,
    /// Who approved or denied so far, separated by line feeds.
    pub deciders: String,
    /// Seconds since 1970.
    pub created: u64,
    /// From then on it is worth nothing.
    pub expires: u64,
}

type Row = (String, Vec<u8>, String, String, String, String, i64, i64);

const COLUMNS: &str = "id, digest, principal, request, state, deciders, created, expires";

impl Store {
    /// Keeps a new request.
    pub async fn approval_insert(&self, approval: &Approval) -> Result<(), StoreFault> {
        let insert = "insert into approvals (id, digest, principal, request, state, deciders, created, expires)
            values ($1, $2, $3, $4, $5, $6, $7, $8)";
        sqlx::query(insert)
            .bind(&approval.id)
            .bind(&approval.digest[..])
            .bind(&approval.principal)
            .bind(&approval.request)
            .bind(&approval.state)
            .bind(&approval.deciders)
            .bind(to_seconds(approval.created))
            .bind(to_seconds(approval.expires))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Changes what came of a request, if it is in the state that was seen; `false` when somebody
    /// was quicker.
    pub async fn approval_update(
        &self,
        id: &str,
        seen: (&str, &str),
        state: &str,
        deciders: &str,
    ) -> Result<bool, StoreFault> {
        let update = "update approvals set state = $2, deciders = $3
            where id = $1 and state = $4 and deciders = $5";
        let done = sqlx::query(update)
            .bind(id)
            .bind(state)
            .bind(deciders)
            .bind(seen.0)
            .bind(seen.1)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// One request.
    pub async fn approval(&self, id: &str) -> Result<Option<Approval>, StoreFault> {
        let select = format!("select {COLUMNS} from approvals where id = $1");
        let row: Option<Row> =
            sqlx::query_as(sqlx::AssertSqlSafe(select)).bind(id).fetch_optional(&self.pool).await?;
        row.map(read).transpose()
    }

    /// The newest request with this digest that still is worth something.
    pub async fn approval_of(
        &self,
        digest: &[u8; 32],
        now: u64,
    ) -> Result<Option<Approval>, StoreFault> {
        let select = format!(
            "select {COLUMNS} from approvals where digest = $1 and expires > $2 and state <> 'used'
             order by created desc, id limit 1"
        );
        let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(select))
            .bind(&digest[..])
            .bind(to_seconds(now))
            .fetch_optional(&self.pool)
            .await?;
        row.map(read).transpose()
    }

    /// The newest requests, at most so many.
    pub async fn approvals(&self, most: u32) -> Result<Vec<Approval>, StoreFault> {
        let select = format!("select {COLUMNS} from approvals order by created desc, id limit $1");
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(select))
            .bind(i64::from(most))
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(read).collect()
    }

    /// How many wait, in all and of one principal.
    pub async fn approvals_waiting(
        &self,
        principal: &str,
        now: u64,
    ) -> Result<(u64, u64), StoreFault> {
        let select = "select count(*), coalesce(sum(case when principal = $1 then 1 else 0 end), 0)
            from approvals where state = 'pending' and expires > $2";
        let (all, own): (i64, i64) = sqlx::query_as(select)
            .bind(principal)
            .bind(to_seconds(now))
            .fetch_one(&self.pool)
            .await?;
        Ok((u64::try_from(all).unwrap_or(0), u64::try_from(own).unwrap_or(0)))
    }

    /// Forgets requests that expired before then.
    pub async fn approvals_forget(&self, before: u64) -> Result<(), StoreFault> {
        sqlx::query("delete from approvals where expires < $1")
            .bind(to_seconds(before))
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

fn read(row: Row) -> Result<Approval, StoreFault> {
    let (id, digest, principal, request, state, deciders, created, expires) = row;
    let digest = bytes(digest)?;
    let (created, expires) = (seconds(created)?, seconds(expires)?);
    Ok(Approval { id, digest, principal, request, state, deciders, created, expires })
}

#[cfg(test)]
mod tests {
    use super::Approval;
    use crate::Store;

    #[tokio::test]
    async fn a_request_is_decided_once() {
        let store = Store::memory().await.unwrap();
        let approval = Approval {
            id: "a1".into(),
            digest: [7; 32],
            principal: "token:a".into(),
            request: "{}".into(),
            state: "pending".into(),
            deciders: String::new(),
            created: 10,
            expires: 20,
        };
        store.approval_insert(&approval).await.unwrap();
        assert_eq!(store.approval_of(&[7; 32], 19).await.unwrap(), Some(approval.clone()));
        assert_eq!(store.approval_of(&[7; 32], 20).await.unwrap(), None);
        assert_eq!(store.approval_of(&[8; 32], 19).await.unwrap(), None);
        assert_eq!(store.approvals_waiting("token:a", 19).await.unwrap(), (1, 1));
        assert_eq!(store.approvals_waiting("token:b", 19).await.unwrap(), (1, 0));
        let approve =
            async |by| store.approval_update("a1", ("pending", ""), "approved", by).await.unwrap();
        assert!(approve("owner").await);
        assert!(!approve("token:b").await, "somebody was quicker");
        let use_it = async || {
            store.approval_update("a1", ("approved", "owner"), "used", "owner").await.unwrap()
        };
        assert!(use_it().await && !use_it().await);
        assert_eq!(store.approval("a1").await.unwrap().map(|a| a.state).as_deref(), Some("used"));
        assert_eq!(store.approvals_waiting("token:a", 19).await.unwrap(), (0, 0));
        store.approvals_forget(21).await.unwrap();
        assert_eq!(store.approvals(10).await.unwrap(), []);
    }
}
