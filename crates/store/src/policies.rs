//! Policies that a store's gateways share.

use sqlx::{Sqlite, Transaction};

use crate::column::{bytes, seconds, to_seconds};
use crate::{Store, StoreFault};

/// What a shared policy is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyForm {
    /// Cedar.
    Cedar,
    /// Roles in TOML.
    Roles,
}

impl PolicyForm {
    /// `cedar`, `roles`.
    pub fn as_str(self) -> &'static str {
        match self {
            PolicyForm::Cedar => "cedar",
            PolicyForm::Roles => "roles",
        }
    }

    fn of(name: &str) -> Result<PolicyForm, StoreFault> {
        let known = [PolicyForm::Cedar, PolicyForm::Roles].into_iter();
        let mut known = known.filter(|form| form.as_str() == name);
        known.next().ok_or(StoreFault::Malformed("policy's form"))
    }
}

/// A file with policies. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPolicy {
    /// Its name.
    pub name: String,
    /// What it is written in.
    pub form: PolicyForm,
    /// Its text.
    pub text: String,
    /// Who put it there.
    pub by: String,
    /// When.
    pub set: u64,
}

/// A change of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyChange {
    /// Its number.
    pub id: i64,
    /// The policy's name.
    pub name: String,
    /// `put` or `remove`.
    pub change: String,
    /// SHA-256 of the text.
    pub digest: [u8; 32],
    /// Who did it.
    pub by: String,
}

impl Store {
    /// All of them by name, and the generation that they are of.
    pub async fn policies(&self) -> Result<(i64, Vec<StoredPolicy>), StoreFault> {
        // Of one moment.
        let mut transaction = self.pool.begin().await?;
        let generation = generation(&mut transaction).await?;
        let select = "select name, form, text, by, set_at from policies order by name";
        let rows: Vec<(String, String, String, String, i64)> =
            sqlx::query_as(select).fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        let policy = |(name, form, text, by, set): (String, String, String, String, i64)| {
            Ok(StoredPolicy { name, form: PolicyForm::of(&form)?, text, by, set: seconds(set)? })
        };
        Ok((generation, rows.into_iter().map(policy).collect::<Result<_, StoreFault>>()?))
    }

    /// Puts one in place of what has its name. `false` where something changed since `generation`: it was
    /// validated beside other policies than there are.
    pub async fn policy_put(
        &self,
        policy: &StoredPolicy,
        digest: &[u8; 32],
        generation: i64,
    ) -> Result<bool, StoreFault> {
        let mut transaction = self.begin().await?;
        if self::generation(&mut transaction).await? != generation {
            return Ok(false);
        }
        let upsert = "insert into policies (name, form, text, by, set_at) values ($1, $2, $3, $4, $5) \
             on conflict (name) do update set form = excluded.form, text = excluded.text, \
             by = excluded.by, set_at = excluded.set_at";
        sqlx::query(upsert)
            .bind(&policy.name)
            .bind(policy.form.as_str())
            .bind(&policy.text)
            .bind(&policy.by)
            .bind(to_seconds(policy.set))
            .execute(&mut *transaction)
            .await?;
        note(&mut transaction, &policy.name, "put", digest, &policy.by, policy.set).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Removes one; `false` where something changed since `generation`.
    pub async fn policy_remove(
        &self,
        name: &str,
        digest: &[u8; 32],
        generation: i64,
        by: &str,
        now: u64,
    ) -> Result<bool, StoreFault> {
        let mut transaction = self.begin().await?;
        if self::generation(&mut transaction).await? != generation {
            return Ok(false);
        }
        let delete = "delete from policies where name = $1";
        sqlx::query(delete).bind(name).execute(&mut *transaction).await?;
        note(&mut transaction, name, "remove", digest, by, now).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Changes whenever a policy does.
    pub async fn policies_generation(&self) -> Result<i64, StoreFault> {
        generation(&mut *self.pool.acquire().await?).await
    }

    /// Changes that are not in the audit log yet, oldest first; at most a thousand.
    pub async fn policy_changes_unrecorded(&self) -> Result<Vec<PolicyChange>, StoreFault> {
        let select = "select id, name, change, digest, by from policy_changes where recorded = 0 \
             order by id limit 1000";
        let rows: Vec<(i64, String, String, Vec<u8>, String)> =
            sqlx::query_as(select).fetch_all(&self.pool).await?;
        let change = |(id, name, change, digest, by): (i64, String, String, Vec<u8>, String)| {
            Ok(PolicyChange { id, name, change, digest: bytes(digest)?, by })
        };
        rows.into_iter().map(change).collect()
    }

    /// They are there now, up to and with this one.
    pub async fn policy_changes_recorded(&self, id: i64) -> Result<(), StoreFault> {
        let update = "update policy_changes set recorded = 1 where recorded = 0 and id <= $1";
        sqlx::query(update).bind(id).execute(&self.pool).await?;
        Ok(())
    }
}

async fn generation(connection: &mut sqlx::SqliteConnection) -> Result<i64, StoreFault> {
    let select = "select coalesce(max(id), 0) from policy_changes";
    Ok(sqlx::query_scalar(select).fetch_one(connection).await?)
}

async fn note(
    transaction: &mut Transaction<'static, Sqlite>,
    name: &str,
    change: &str,
    digest: &[u8; 32],
    by: &str,
    now: u64,
) -> Result<(), StoreFault> {
    let insert = "insert into policy_changes (name, change, digest, by, at, recorded) \
         values ($1, $2, $3, $4, $5, 0)";
    sqlx::query(insert)
        .bind(name)
        .bind(change)
        .bind(digest.as_slice())
        .bind(by)
        .bind(to_seconds(now))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str, text: &str) -> StoredPolicy {
        let form = if text == "3" { PolicyForm::Roles } else { PolicyForm::Cedar };
        StoredPolicy { name: name.into(), form, text: text.into(), by: "owner".into(), set: 10 }
    }

    #[tokio::test]
    async fn what_was_validated_beside_others_is_not_kept() {
        let store = Store::memory().await.unwrap();
        assert_eq!(store.policies().await.unwrap(), (0, vec![]));
        assert!(store.policy_put(&policy("b", "1"), &[1; 32], 0).await.unwrap());
        assert!(!store.policy_put(&policy("a", "2"), &[2; 32], 0).await.unwrap());
        assert!(store.policy_put(&policy("a", "2"), &[2; 32], 1).await.unwrap());
        assert!(store.policy_put(&policy("b", "3"), &[3; 32], 2).await.unwrap());
        assert_eq!(store.policies().await.unwrap(), (3, vec![policy("a", "2"), policy("b", "3")]));
        assert!(!store.policy_remove("a", &[2; 32], 2, "ada", 11).await.unwrap());
        assert!(store.policy_remove("a", &[2; 32], 3, "ada", 11).await.unwrap());
        assert_eq!(store.policies().await.unwrap(), (4, vec![policy("b", "3")]));
        assert_eq!(store.policies_generation().await.unwrap(), 4);
    }

    #[tokio::test]
    async fn changes_are_told_once() {
        let store = Store::memory().await.unwrap();
        store.policy_put(&policy("a", "1"), &[1; 32], 0).await.unwrap();
        store.policy_remove("a", &[1; 32], 1, "ada", 11).await.unwrap();
        let changes = store.policy_changes_unrecorded().await.unwrap();
        let told: Vec<_> = changes.iter().map(|of| (of.change.as_str(), of.by.as_str())).collect();
        assert_eq!(told, [("put", "owner"), ("remove", "ada")]);
        store.policy_changes_recorded(changes[0].id).await.unwrap();
        assert_eq!(store.policy_changes_unrecorded().await.unwrap(), changes[1..]);
    }
}
