//! What a token endpoint, or a machine's identity endpoint, gave.

use super::ExchangeFault;
use crate::{
    Fetched, Secret, VaultFault,
    oauth::{TokenError, read_tokens},
};

/// How long a token is used whose end nobody named, in seconds.
const UNSAID: u64 = 300;
/// How long before its end another one is got, in seconds; of short lives it is a fifth.
const EARLY: u64 = 300;

/// A token, and how long it is good.
#[derive(Clone, Debug)]
pub struct Exchanged {
    /// The token.
    pub access: Secret,
    /// A new refresh token, where one came with it.
    pub refresh: Option<Secret>,
    /// When it ends, in seconds since 1970.
    pub expires: u64,
    renew: u64,
}

impl Exchanged {
    /// Reads an answer.
    pub fn read(status: u16, bytes: &[u8], now: u64) -> Result<Exchanged, ExchangeFault> {
        if status != 200 {
            return Err(ExchangeFault::read(status, bytes));
        }
        let tokens = read_tokens(status, bytes, now).map_err(|fault| match fault {
            TokenError::Fault(fault) => ExchangeFault::Unavailable(fault.to_string()),
            other => ExchangeFault::Unavailable(other.to_string()),
        })?;
        let expires = tokens.expires.unwrap_or_else(|| now.saturating_add(UNSAID));
        let life = expires.saturating_sub(now);
        Ok(Exchanged {
            access: tokens.access,
            refresh: tokens.refresh,
            renew: expires.saturating_sub(EARLY.min(life / 5)),
            expires,
        })
    }

    /// The same, good no longer than until then.
    pub fn until(mut self, end: Option<u64>) -> Exchanged {
        if let Some(end) = end {
            self.expires = self.expires.min(end);
            self.renew = self.renew.min(end);
        }
        self
    }

    /// Whether a call that begins now may use it.
    pub fn is_good(&self, now: u64) -> bool {
        now < self.expires
    }

    /// Whether it is time for another one.
    pub fn is_due(&self, now: u64) -> bool {
        now >= self.renew
    }

    /// As it goes out (RFC 6750 §2.1).
    pub fn fetched(&self) -> Result<Fetched, VaultFault> {
        Fetched::bearer(&self.access)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Exchanged, ExchangeFault> {
        Exchanged::read(200, body.as_bytes(), 1000)
    }

    #[test]
    fn the_end_is_a_number_or_a_text_and_the_next_one_is_got_before_it() {
        let long = read(r#"{"access_token":"t","token_type":"Bearer","expires_in":3600}"#).unwrap();
        assert_eq!((long.expires, long.renew), (4600, 4300));
        // The instance metadata service writes texts.
        let text = read(
            r#"{"access_token":"t","token_type":"Bearer","refresh_token":"","expires_in":"3599","expires_on":"4599"}"#,
        );
        assert_eq!(text.unwrap().expires, 4599);
        // App Service names the end alone.
        let end = read(r#"{"access_token":"t","token_type":"Bearer","expires_on":"1700"}"#);
        assert_eq!(end.unwrap().expires, 1700);
        let short = read(r#"{"access_token":"t","token_type":"Bearer","expires_in":10}"#).unwrap();
        assert!(!short.is_due(1007) && short.is_due(1008));
        assert!(short.is_good(1009) && !short.is_good(1010));
        let unsaid = read(r#"{"access_token":"t","token_type":"Bearer"}"#).unwrap();
        assert_eq!(unsaid.expires, 1300);
    }

    #[test]
    fn it_ends_with_whoever_it_is_for() {
        let token =
            read(r#"{"access_token":"t","token_type":"Bearer","expires_in":3600}"#).unwrap();
        let bound = token.clone().until(Some(1200));
        assert!(bound.is_good(1199) && !bound.is_good(1200) && bound.is_due(1200));
        assert_eq!(token.clone().until(None).expires, token.expires);
        assert_eq!(token.clone().until(Some(9999)).expires, token.expires);
    }

    #[test]
    fn what_is_no_token_answer_is_no_token() {
        for body in
            ["", "[]", r#"{"access_token":"t"}"#, r#"{"access_token":"","token_type":"bearer"}"#]
        {
            let fault = read(body).unwrap_err();
            assert!(matches!(fault, ExchangeFault::Unavailable(_)), "{body}: {fault}");
        }
    }
}
