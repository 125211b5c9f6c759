//! Clients that registered themselves, and what people let clients do.

use crate::column::{seconds, to_seconds};
use crate::{Store, StoreFault};

/// A client that registered itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicClient {
    /// Its id.
    pub id: String,
    /// What it is, as JSON.
    pub document: String,
    /// When it registered.
    pub created: u64,
    /// When a person last signed in through it.
    pub used: u64,
}

/// What a person let a client do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// The hash of the browser's cookie.
    pub browser: [u8; 32],
    /// The client.
    pub client: String,
    /// Where the answer went.
    pub redirect: String,
    /// What the tokens were for.
    pub resource: String,
    /// What they allowed, with spaces between.
    pub scopes: String,
    /// Who signed in.
    pub subject: String,
}

type Row = (String, String, i64, i64);

fn client((id, document, created, used): Row) -> Result<DynamicClient, StoreFault> {
    Ok(DynamicClient { id, document, created: seconds(created)?, used: seconds(used)? })
}

impl Store {
    /// Keeps a new client, unless there are `limit` already; clients unused since `unused` make room first.
    pub async fn oauth_client_insert(
        &self,
        id: &str,
        document: &str,
        now: u64,
        unused: u64,
        limit: u32,
    ) -> Result<bool, StoreFault> {
        let mut transaction = self.begin().await?;
        sqlx::query("delete from oauth_clients where used <= $1")
            .bind(to_seconds(unused))
            .execute(&mut *transaction)
            .await?;
        let held: i64 = sqlx::query_scalar("select count(*) from oauth_clients")
            .fetch_one(&mut *transaction)
            .await?;
        if held >= i64::from(limit) {
            return Ok(false);
        }
        sqlx::query(
            "insert into oauth_clients (id, document, created, used) values ($1, $2, $3, $3)",
        )
        .bind(id)
        .bind(document)
        .bind(to_seconds(now))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// The client with this id.
    pub async fn oauth_client(&self, id: &str) -> Result<Option<DynamicClient>, StoreFault> {
        let select = "select id, document, created, used from oauth_clients where id = $1";
        let row: Option<Row> = sqlx::query_as(select).bind(id).fetch_optional(&self.pool).await?;
        row.map(client).transpose()
    }

    /// All of them, the oldest first.
    pub async fn oauth_clients(&self) -> Result<Vec<DynamicClient>, StoreFault> {
        let select = "select id, document, created, used from oauth_clients order by created, id";
        let rows: Vec<Row> = sqlx::query_as(select).fetch_all(&self.pool).await?;
        rows.into_iter().map(client).collect()
    }

    /// Notes that a person signed in through it.
    pub async fn oauth_client_used(&self, id: &str, now: u64) -> Result<(), StoreFault> {
        sqlx::query("update oauth_clients set used = $1 where id = $2")
            .bind(to_seconds(now))
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Takes a client away, with every consent to it; `false` when nothing was known of it.
    pub async fn oauth_client_remove(&self, id: &str) -> Result<bool, StoreFault> {
        let mut transaction = self.begin().await?;
        let consents = sqlx::query("delete from oauth_consents where client = $1")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        let clients = sqlx::query("delete from oauth_clients where id = $1")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(consents.rows_affected() + clients.rows_affected() > 0)
    }

    /// Keeps a consent in place of an earlier one.
    pub async fn oauth_consent_set(&self, consent: &Consent, now: u64) -> Result<(), StoreFault> {
        let upsert = "insert into oauth_consents (browser, client, redirect, resource, scopes, subject, granted) \
            values ($1, $2, $3, $4, $5, $6, $7) on conflict (browser, client, redirect, resource) \
            do update set scopes = excluded.scopes, subject = excluded.subject, granted = excluded.granted";
        sqlx::query(upsert)
            .bind(consent.browser.as_slice())
            .bind(&consent.client)
            .bind(&consent.redirect)
            .bind(&consent.resource)
            .bind(&consent.scopes)
            .bind(&consent.subject)
            .bind(to_seconds(now))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Whose consent this browser holds for exactly this, and to which scopes. Consents from before `since` are forgotten.
    pub async fn oauth_consent(
        &self,
        browser: &[u8; 32],
        client: &str,
        redirect: &str,
        resource: &str,
        since: u64,
    ) -> Result<Option<(String, String)>, StoreFault> {
        let select = "select subject, scopes from oauth_consents where browser = $1 and client = $2 \
            and redirect = $3 and resource = $4 and granted > $5";
        let found = sqlx::query_as(select)
            .bind(browser.as_slice())
            .bind(client)
            .bind(redirect)
            .bind(resource)
            .bind(to_seconds(since))
            .fetch_optional(&self.pool)
            .await?;
        Ok(found)
    }

    /// Whether somebody signed in as this subject in this browser.
    pub async fn oauth_browser_is(
        &self,
        browser: &[u8; 32],
        subject: &str,
    ) -> Result<bool, StoreFault> {
        let select = "select count(*) from oauth_consents where browser = $1 and subject = $2";
        let found: i64 = sqlx::query_scalar(select)
            .bind(browser.as_slice())
            .bind(subject)
            .fetch_one(&self.pool)
            .await?;
        Ok(found > 0)
    }

    /// As whom people signed in in this browser.
    pub async fn oauth_browser_subjects(
        &self,
        browser: &[u8; 32],
    ) -> Result<Vec<String>, StoreFault> {
        let select = "select distinct subject from oauth_consents where browser = $1 \
                      order by subject limit 16";
        let found =
            sqlx::query_scalar(select).bind(browser.as_slice()).fetch_all(&self.pool).await?;
        Ok(found)
    }

    /// Forgets what was consented to in this browser for this client.
    pub async fn oauth_consent_forget(
        &self,
        browser: &[u8; 32],
        client: &str,
    ) -> Result<(), StoreFault> {
        sqlx::query("delete from oauth_consents where browser = $1 and client = $2")
            .bind(browser.as_slice())
            .bind(client)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn clients_are_bounded_and_the_unused_make_room() {
        let store = Store::memory().await.unwrap();
        assert!(store.oauth_client_insert("a", "{}", 10, 0, 2).await.unwrap());
        assert!(store.oauth_client_insert("b", "{}", 20, 0, 2).await.unwrap());
        assert!(!store.oauth_client_insert("c", "{}", 30, 0, 2).await.unwrap());
        store.oauth_client_used("a", 40).await.unwrap();
        assert!(store.oauth_client_insert("c", "{}", 50, 20, 2).await.unwrap());
        let ids: Vec<_> =
            store.oauth_clients().await.unwrap().into_iter().map(|client| client.id).collect();
        assert_eq!(ids, ["a", "c"]);
        assert!(store.oauth_client_remove("a").await.unwrap());
        assert!(!store.oauth_client_remove("a").await.unwrap());
    }

    #[tokio::test]
    async fn a_consent_is_for_exactly_what_was_shown() {
        let store = Store::memory().await.unwrap();
        let consent = Consent {
            browser: [1; 32],
            client: "c".into(),
            redirect: "https://a/cb".into(),
            resource: "https://gw/mcp".into(),
            scopes: "mcp".into(),
            subject: "alice".into(),
        };
        store.oauth_consent_set(&consent, 10).await.unwrap();
        let find = async |browser: u8, client: &str, redirect: &str, since| {
            store
                .oauth_consent(&[browser; 32], client, redirect, "https://gw/mcp", since)
                .await
                .unwrap()
        };
        assert_eq!(find(1, "c", "https://a/cb", 9).await, Some(("alice".into(), "mcp".into())));
        assert_eq!(find(1, "c", "https://a/cb", 10).await, None);
        assert_eq!(find(2, "c", "https://a/cb", 0).await, None);
        assert_eq!(find(1, "d", "https://a/cb", 0).await, None);
        assert_eq!(find(1, "c", "https://a/cb2", 0).await, None);
        store.oauth_consent_forget(&[1; 32], "c").await.unwrap();
        assert_eq!(find(1, "c", "https://a/cb", 0).await, None);
    }
}
