//! What conversations have read.

use crate::column::{seconds, to_seconds};
use crate::{Store, StoreFault};

/// One conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Whose: the principal's partition.
    pub principal: String,
    /// Which of theirs; empty for what has no name of its own.
    pub conversation: String,
    /// A set of bits.
    pub labels: u8,
    /// The calls that brought them, as JSON.
    pub sources: String,
    /// When it last got a label, in seconds since 1970.
    pub at: u64,
}

type Row = (String, String, i64, String, i64);

fn flow((principal, conversation, labels, sources, at): Row) -> Result<Flow, StoreFault> {
    let labels = u8::try_from(labels).map_err(|_| StoreFault::Malformed("set of labels"))?;
    Ok(Flow { principal, conversation, labels, sources, at: seconds(at)? })
}

impl Store {
    /// All conversations, or those of one principal.
    pub async fn flows(&self, principal: Option<&str>) -> Result<Vec<Flow>, StoreFault> {
        let select = "select principal, conversation, labels, sources, at from flows \
             where $1 is null or principal = $1 order by principal, conversation";
        let rows: Vec<Row> = sqlx::query_as(select).bind(principal).fetch_all(&self.pool).await?;
        rows.into_iter().map(flow).collect()
    }

    /// Keeps what a conversation has read by now. Labels are only added: another gateway may have added some.
    pub async fn flow_keep(&self, flow: &Flow) -> Result<(), StoreFault> {
        let upsert = "insert into flows (principal, conversation, labels, sources, at) values ($1, $2, $3, $4, $5) \
             on conflict (principal, conversation) do update set labels = flows.labels | excluded.labels, \
             sources = excluded.sources, at = excluded.at";
        sqlx::query(upsert)
            .bind(&flow.principal)
            .bind(&flow.conversation)
            .bind(i64::from(flow.labels))
            .bind(&flow.sources)
            .bind(to_seconds(flow.at))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Forgets what got no label since then.
    pub async fn flows_expire(&self, before: u64) -> Result<(), StoreFault> {
        let delete = "delete from flows where at < $1";
        sqlx::query(delete).bind(to_seconds(before)).execute(&self.pool).await?;
        Ok(())
    }

    /// A person says that a conversation begins anew; one of a principal's, or all. Returns how many there were.
    pub async fn flow_reset(
        &self,
        principal: &str,
        conversation: Option<&str>,
        decider: &str,
        now: u64,
    ) -> Result<u64, StoreFault> {
        let mut transaction = self.begin().await?;
        let delete = "delete from flows where principal = $1 and ($2 is null or conversation = $2)";
        let gone = sqlx::query(delete)
            .bind(principal)
            .bind(conversation)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        let insert = "insert into decisions (identity, kind, name, server, digest, decision, decider, at, recorded) \
             values ($1, 'flow', $2, '', $3, 'reset', $4, $5, 0)";
        sqlx::query(insert)
            .bind(principal)
            .bind(conversation.unwrap_or("*"))
            .bind([0u8; 32].as_slice())
            .bind(decider)
            .bind(to_seconds(now))
            .execute(&mut *transaction)
            .await?;
        crate::pins::announce(&mut transaction).await?;
        transaction.commit().await?;
        Ok(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(conversation: &str, labels: u8, at: u64) -> Flow {
        let (principal, conversation) = ("p".to_owned(), conversation.to_owned());
        Flow { principal, conversation, labels, sources: "{}".into(), at }
    }

    #[tokio::test]
    async fn labels_are_added_until_a_person_resets() {
        let store = Store::memory().await.unwrap();
        store.flow_keep(&one("", 1, 5)).await.unwrap();
        store.flow_keep(&one("", 2, 6)).await.unwrap();
        store.flow_keep(&one("other", 2, 3)).await.unwrap();
        assert_eq!(store.flows(Some("p")).await.unwrap(), [one("", 3, 6), one("other", 2, 3)]);
        store.flows_expire(4).await.unwrap();
        assert_eq!(store.flows(None).await.unwrap().len(), 1);
        assert_eq!(store.flow_reset("p", Some("no such"), "ada", 7).await.unwrap(), 0);
        assert_eq!(store.flow_reset("p", None, "ada", 7).await.unwrap(), 1);
        assert_eq!(store.flows(Some("p")).await.unwrap(), []);
        assert_eq!(store.pins_generation().await.unwrap(), 2);
        assert_eq!(store.decisions_unrecorded().await.unwrap()[1].decision, "reset");
    }
}
