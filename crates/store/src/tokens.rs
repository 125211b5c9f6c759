//! Tokens, by the hashes of their texts.

use crate::column::{bytes, seconds, to_seconds};
use crate::{Store, StoreFault};

/// A token. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Unique among the tokens that are not revoked.
    pub name: String,
    /// What its holder is.
    pub roles: Vec<String>,
    /// SHA-256 of its text.
    pub hash: [u8; 32],
    /// When it was minted.
    pub created: u64,
    /// The first second at which it is no longer valid.
    pub expires: Option<u64>,
    /// When it was revoked.
    pub revoked: Option<u64>,
}

type Row = (Vec<u8>, String, String, i64, Option<i64>, Option<i64>);

impl Token {
    fn from_row((hash, name, roles, created, expires, revoked): Row) -> Result<Token, StoreFault> {
        Ok(Token {
            name,
            roles: roles.lines().map(str::to_owned).collect(),
            hash: bytes(hash)?,
            created: seconds(created)?,
            expires: expires.map(seconds).transpose()?,
            revoked: revoked.map(seconds).transpose()?,
        })
    }
}

impl Store {
    /// Keeps a new token. One name serves again after the token that had it was revoked.
    pub async fn token_insert(&self, token: &Token) -> Result<(), StoreFault> {
        if let Some(role) =
            token.roles.iter().find(|role| role.is_empty() || role.contains(['\n', '\r']))
        {
            return Err(StoreFault::Role(role.clone()));
        }
        let insert = "insert into tokens (hash, name, roles, created, expires, revoked) values ($1, $2, $3, $4, $5, $6)";
        let inserted = sqlx::query(insert)
            .bind(token.hash.as_slice())
            .bind(&token.name)
            .bind(token.roles.join("\n"))
            .bind(to_seconds(token.created))
            .bind(token.expires.map(to_seconds))
            .bind(token.revoked.map(to_seconds))
            .execute(&self.pool)
            .await;
        match inserted {
            Ok(_) => Ok(()),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                Err(StoreFault::Exists(token.name.clone()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The token with this hash, revoked or not.
    pub async fn token_find(&self, hash: &[u8; 32]) -> Result<Option<Token>, StoreFault> {
        let select =
            "select hash, name, roles, created, expires, revoked from tokens where hash = $1";
        let row: Option<Row> =
            sqlx::query_as(select).bind(hash.as_slice()).fetch_optional(&self.pool).await?;
        row.map(Token::from_row).transpose()
    }

    /// All tokens by name, revoked ones too.
    pub async fn tokens(&self) -> Result<Vec<Token>, StoreFault> {
        let select = "select hash, name, roles, created, expires, revoked from tokens order by name, created, hash";
        let rows: Vec<Row> = sqlx::query_as(select).fetch_all(&self.pool).await?;
        rows.into_iter().map(Token::from_row).collect()
    }

    /// Revokes the live token of that name; `false` when there is none.
    pub async fn token_revoke(&self, name: &str, now: u64) -> Result<bool, StoreFault> {
        let update = "update tokens set revoked = $1 where name = $2 and revoked is null";
        let updated =
            sqlx::query(update).bind(to_seconds(now)).bind(name).execute(&self.pool).await?;
        Ok(updated.rows_affected() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str, byte: u8) -> Token {
        let roles = vec!["dev".into(), "ops".into()];
        Token {
            name: name.into(),
            roles,
            hash: [byte; 32],
            created: 5,
            expires: Some(u64::from(u32::MAX)),
            revoked: None,
        }
    }

    #[tokio::test]
    async fn a_token_is_found_by_its_hash_alone() {
        let store = Store::memory().await.unwrap();
        let bare = Token { roles: vec![], expires: None, ..token("bare", 2) };
        store.token_insert(&token("ci", 1)).await.unwrap();
        store.token_insert(&bare).await.unwrap();
        assert_eq!(store.token_find(&[1; 32]).await.unwrap(), Some(token("ci", 1)));
        assert_eq!(store.token_find(&[3; 32]).await.unwrap(), None);
        assert_eq!(store.tokens().await.unwrap(), [bare, token("ci", 1)]);
    }

    #[tokio::test]
    async fn one_live_token_a_name() {
        let store = Store::memory().await.unwrap();
        store.token_insert(&token("ci", 1)).await.unwrap();
        assert!(
            matches!(store.token_insert(&token("ci", 2)).await, Err(StoreFault::Exists(name)) if name == "ci")
        );
        assert!(store.token_revoke("ci", 9).await.unwrap());
        assert!(!store.token_revoke("ci", 10).await.unwrap());
        assert_eq!(store.token_find(&[1; 32]).await.unwrap().unwrap().revoked, Some(9));
        store.token_insert(&token("ci", 2)).await.unwrap();
        assert_eq!(store.tokens().await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn roles_that_could_not_be_read_back_are_refused() {
        let store = Store::memory().await.unwrap();
        for role in ["", "a\nall"] {
            let token = Token { roles: vec![role.into()], ..token("ci", 1) };
            assert!(
                matches!(store.token_insert(&token).await, Err(StoreFault::Role(_))),
                "{role:?}"
            );
        }
    }
}
