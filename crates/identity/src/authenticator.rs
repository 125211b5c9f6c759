//! From what a client showed to a verified caller.

use crate::cache::Cache;
use crate::jwt::Jwt;
use crate::{AuthFault, Bearer, TokenHash, TokenRecord, Verified};

/// What a request showed.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// The `Authorization` header's value.
    pub authorization: Option<&'a [u8]>,
    /// Whether the connection comes from this machine's loopback.
    pub peer_is_loopback: bool,
    /// Whom the connection's client certificate proved.
    pub certificate: Option<&'a Verified>,
}

/// How far authentication came without the store.
#[derive(Debug)]
pub enum Step<'a> {
    /// A provider's token has to be believed first; [`Authenticator::keep`] remembers it.
    Jwt(Unproven<'a>),
    /// The record with [`Lookup::hash`] is needed; [`Authenticator::finish`] goes on from there.
    Lookup(Lookup),
    /// Done.
    Verified(Verified),
}

/// A token that has to be looked up.
#[derive(Debug)]
pub struct Lookup {
    hash: TokenHash,
    generation: u64,
}

impl Lookup {
    /// What to look up.
    pub fn hash(&self) -> &TokenHash {
        &self.hash
    }
}

/// A token that only its issuer's keys can prove.
#[derive(Debug)]
pub struct Unproven<'a> {
    bearer: Bearer<'a>,
    hash: TokenHash,
    generation: u64,
}

impl<'a> Unproven<'a> {
    /// The token's text.
    pub fn text(&self) -> &'a str {
        self.bearer.text()
    }
}

/// Decides who is calling, and remembers verified tokens for a few seconds.
#[derive(Debug)]
pub struct Authenticator {
    loopback_open: bool,
    owner: Option<TokenHash>,
    // Both are made once: on the hot path they are clones of an `Arc`.
    as_loopback: Verified,
    as_owner: Verified,
    cache: Cache,
}

impl Authenticator {
    /// Seconds for which a verified token is believed without asking the store again: how
    /// long a revocation made by another process can take.
    pub const CACHE_SECONDS: u64 = 10;
    /// Verified tokens kept.
    pub const CACHE_ENTRIES: usize = 8192;

    /// `owner` is the hash of the owner's own token, if there is one. It is good on the loopback alone.
    pub fn new(loopback_open: bool, owner: Option<TokenHash>) -> Authenticator {
        Authenticator {
            loopback_open,
            owner,
            as_loopback: Verified::loopback(),
            as_owner: Verified::owner(),
            cache: Cache::new(Self::CACHE_ENTRIES),
        }
    }

    /// The part that needs no store. A credential that is shown must be good: a bad token is
    /// refused even where none would be needed, since whoever shows one means to be somebody.
    pub fn begin<'a>(&self, credentials: Credentials<'a>, now: u64) -> Result<Step<'a>, AuthFault> {
        let Some(header) = credentials.authorization else {
            if let Some(proved) = credentials.certificate {
                return Ok(Step::Verified(proved.clone()));
            }
            return if self.loopback_open && credentials.peer_is_loopback {
                Ok(Step::Verified(self.as_loopback.clone()))
            } else {
                Err(AuthFault::Missing)
            };
        };
        let bearer = Bearer::parse(header)?;
        let ours = bearer.is_ours();
        if !ours && !Jwt::resembles(bearer.text()) {
            return Err(AuthFault::Unknown);
        }
        let hash = bearer.hash();
        if self.owner == Some(hash) {
            let here = credentials.peer_is_loopback;
            return match here {
                true => Ok(Step::Verified(self.as_owner.clone())),
                false => Err(AuthFault::Unknown),
            };
        }
        let generation = self.cache.generation();
        match self.cache.find(&hash, now) {
            Some(verified) => Ok(Step::Verified(verified)),
            None if ours => Ok(Step::Lookup(Lookup { hash, generation })),
            None => Ok(Step::Jwt(Unproven { bearer, hash, generation })),
        }
    }

    /// Remembers who a provider's token proved, up to `until` and never beyond its own end.
    pub fn keep(&self, token: Unproven<'_>, verified: &Verified, until: u64) {
        let until = verified.principal().expires().unwrap_or(until).min(until);
        self.cache.keep(token.hash, verified.clone(), until, token.generation);
    }

    /// Goes on with what the store had under [`Lookup::hash`].
    pub fn finish(
        &self,
        lookup: Lookup,
        record: Option<&TokenRecord>,
        now: u64,
    ) -> Result<Verified, AuthFault> {
        let record = record.ok_or(AuthFault::Unknown)?;
        let verified = record.verify(&lookup.hash, now)?;
        let until = record.expires.unwrap_or(u64::MAX).min(now.saturating_add(Self::CACHE_SECONDS));
        self.cache.keep(lookup.hash, verified.clone(), until, lookup.generation);
        Ok(verified)
    }

    /// Forgets all verified tokens, also those whose look-up is under way: to be called when
    /// a token was revoked.
    pub fn forget(&self) {
        self.cache.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PrincipalKind, mint};

    fn shown(authorization: Option<&[u8]>, peer_is_loopback: bool) -> Credentials<'_> {
        Credentials { authorization, peer_is_loopback, certificate: None }
    }

    fn record(hash: TokenHash, expires: Option<u64>) -> TokenRecord {
        TokenRecord { name: "ci".into(), roles: vec![], hash, created: 0, expires, revoked: None }
    }

    fn lookup(authenticator: &Authenticator, header: &[u8], now: u64) -> Lookup {
        match authenticator.begin(shown(Some(header), true), now).unwrap() {
            Step::Lookup(lookup) => lookup,
            other => panic!("{other:?} without a look-up"),
        }
    }

    fn verified(
        authenticator: &Authenticator,
        credentials: Credentials<'_>,
        now: u64,
    ) -> Option<Verified> {
        match authenticator.begin(credentials, now) {
            Ok(Step::Verified(verified)) => Some(verified),
            _ => None,
        }
    }

    #[test]
    fn loopback_is_open_only_by_name_only_from_there_and_only_without_a_token() {
        let open = Authenticator::new(true, None);
        let closed = Authenticator::new(false, None);
        let caller = verified(&open, shown(None, true), 0).unwrap();
        assert_eq!(caller.principal().kind(), PrincipalKind::Loopback);
        assert_eq!(open.begin(shown(None, false), 0).unwrap_err(), AuthFault::Missing);
        assert_eq!(closed.begin(shown(None, true), 0).unwrap_err(), AuthFault::Missing);
        assert_eq!(
            open.begin(shown(Some(b"Bearer nonsense"), true), 0).unwrap_err(),
            AuthFault::Unknown
        );
        assert_eq!(open.begin(shown(Some(b"Basic dTpw"), true), 0).unwrap_err(), AuthFault::Scheme);
    }

    #[test]
    fn the_owner_needs_no_store() {
        let (text, hash) = mint([3; 32]);
        let authenticator = Authenticator::new(false, Some(hash));
        let header = format!("Bearer {text}");
        let caller = verified(&authenticator, shown(Some(header.as_bytes()), true), 0).unwrap();
        // From elsewhere it is as good as none.
        let elsewhere = authenticator.begin(shown(Some(header.as_bytes()), false), 0);
        assert_eq!(elsewhere.unwrap_err(), AuthFault::Unknown);
        assert_eq!(
            (caller.principal().kind(), caller.principal().id()),
            (PrincipalKind::Owner, "owner")
        );
        assert_eq!(caller, Verified::process_owner());
    }

    #[test]
    fn a_verified_token_is_believed_for_ten_seconds_and_never_past_its_end() {
        let (text, hash) = mint([4; 32]);
        let header = format!("Bearer {text}");
        let authenticator = Authenticator::new(false, None);
        let show = shown(Some(header.as_bytes()), false);

        let first = lookup(&authenticator, header.as_bytes(), 100);
        assert_eq!(*first.hash(), hash);
        authenticator.finish(first, Some(&record(hash, None)), 100).unwrap();
        assert!(verified(&authenticator, show, 109).is_some());
        assert!(verified(&authenticator, show, 110).is_none());

        let second = lookup(&authenticator, header.as_bytes(), 200);
        authenticator.finish(second, Some(&record(hash, Some(203))), 200).unwrap();
        assert!(verified(&authenticator, show, 202).is_some());
        assert!(verified(&authenticator, show, 203).is_none());
    }

    #[test]
    fn an_unknown_or_wrong_record_proves_nothing() {
        let (text, hash) = mint([5; 32]);
        let (_, other) = mint([6; 32]);
        let header = format!("Bearer {text}");
        let authenticator = Authenticator::new(false, None);
        let none = authenticator.finish(lookup(&authenticator, header.as_bytes(), 0), None, 0);
        assert_eq!(none.unwrap_err(), AuthFault::Unknown);
        let wrong = authenticator.finish(
            lookup(&authenticator, header.as_bytes(), 0),
            Some(&record(other, None)),
            0,
        );
        assert_eq!(wrong.unwrap_err(), AuthFault::Unknown);
        let late = authenticator.finish(
            lookup(&authenticator, header.as_bytes(), 9),
            Some(&record(hash, Some(9))),
            9,
        );
        assert_eq!(late.unwrap_err(), AuthFault::Expired);
        assert!(verified(&authenticator, shown(Some(header.as_bytes()), false), 0).is_none());
    }

    #[test]
    fn a_providers_token_is_proved_once_and_remembered_no_longer_than_it_lasts() {
        let authenticator = Authenticator::new(false, None);
        let show = shown(Some(b"Bearer eyJ.eyJ.x"), false);
        let caller = Verified::certificate("x.example.org", 500).unwrap();
        let keep = |until| match authenticator.begin(show, 100).unwrap() {
            Step::Jwt(token) => {
                assert_eq!(token.text(), "eyJ.eyJ.x");
                authenticator.keep(token, &caller, until);
            }
            other => panic!("{other:?} without a proof"),
        };
        keep(200);
        assert_eq!(verified(&authenticator, show, 199), Some(caller.clone()));
        assert!(verified(&authenticator, show, 200).is_none(), "the interval is over");
        authenticator.forget();
        keep(9000);
        assert!(verified(&authenticator, show, 499).is_some());
        assert!(verified(&authenticator, show, 500).is_none(), "the token is over");
        authenticator.forget();
        assert!(verified(&authenticator, show, 101).is_none(), "forgotten");
        for other in ["eyJ.eyJ", "eyJ.eyJ.x.y", "abc.def.ghi", "opaque"] {
            let header = format!("Bearer {other}");
            let fault = authenticator.begin(shown(Some(header.as_bytes()), false), 100);
            assert_eq!(fault.unwrap_err(), AuthFault::Unknown, "{other}");
        }
    }

    #[test]
    fn forgetting_also_reaches_look_ups_under_way() {
        let (text, hash) = mint([8; 32]);
        let header = format!("Bearer {text}");
        let authenticator = Authenticator::new(false, None);
        let under_way = lookup(&authenticator, header.as_bytes(), 0);
        authenticator.forget();
        authenticator.finish(under_way, Some(&record(hash, None)), 0).unwrap();
        assert!(verified(&authenticator, shown(Some(header.as_bytes()), false), 1).is_none());

        let again = lookup(&authenticator, header.as_bytes(), 1);
        authenticator.finish(again, Some(&record(hash, None)), 1).unwrap();
        assert!(verified(&authenticator, shown(Some(header.as_bytes()), false), 2).is_some());
        authenticator.forget();
        assert!(verified(&authenticator, shown(Some(header.as_bytes()), false), 2).is_none());
    }
}
