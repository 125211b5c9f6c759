//! What the authorization server keeps: clients, consents, grants, sessions, keys.

mod clients;
mod devices;
mod grants;
mod keys;
mod sessions;

pub use clients::{Consent, DynamicClient};
pub use devices::{Device, Poll};
pub use grants::Taken;
pub use keys::SealedKey;
pub use sessions::Session;

use crate::column::to_seconds;
use crate::{Store, StoreFault};

impl Store {
    /// Takes away what has expired. Sessions and their used codes stay for a day, so that a code or a refresh token that is
    /// shown again is known for what it is.
    pub async fn oauth_prune(&self, now: u64) -> Result<(), StoreFault> {
        const DAY: u64 = 24 * 60 * 60;
        for (delete, before) in [
            ("delete from oauth_devices where expires <= $1", now),
            ("delete from oauth_seen where expires <= $1", now),
            ("delete from oauth_refresh where expires <= $1", now.saturating_sub(DAY)),
            (
                "delete from oauth_sessions where expires <= $1 or ended <= $1",
                now.saturating_sub(DAY),
            ),
        ] {
            sqlx::query(delete).bind(to_seconds(before)).execute(&self.pool).await?;
        }
        Ok(())
    }
}
