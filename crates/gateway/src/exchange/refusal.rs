//! What callers are told when there is no token for a server: who can mend it, and nothing that the token
//! endpoint said.

use identity::{AuthFault, Verified};
use mcp::{Code, RpcError};
use vault::exchange::ExchangeFault;

use crate::refusal::Refusal;

/// Why there is no exchanged credential for a server.
#[derive(Clone, Debug, thiserror::Error)]
#[error("credential for {to}: {fault}")]
pub struct ExchangeRefusal {
    /// The server, as people call it.
    pub to: String,
    /// Why.
    pub fault: ExchangeFault,
}

/// The label in the audit log and in metrics.
pub(super) fn label(fault: &ExchangeFault) -> &'static str {
    match fault {
        ExchangeFault::Application(_) => "exchange-application",
        ExchangeFault::Consent(_) => "exchange-consent",
        ExchangeFault::Denied(_) => "exchange-denied",
        ExchangeFault::Expired(_) => "exchange-expired",
        ExchangeFault::Interaction { .. } => "exchange-interaction",
        ExchangeFault::Misconfigured(_) => "exchange-misconfigured",
        ExchangeFault::Nobody => "exchange-nobody",
        ExchangeFault::Unavailable(_) => "exchange-unavailable",
    }
}

impl ExchangeRefusal {
    /// What a client can answer by signing in again, it is asked in the way that makes it do so.
    pub(super) fn towards(self, caller: &Verified) -> Refusal {
        let session = caller.principal().grant().is_some();
        match self.fault {
            ExchangeFault::Expired(_) if session => Refusal::Authentication(AuthFault::Revoked),
            ExchangeFault::Expired(_) => Refusal::Authentication(AuthFault::Expired),
            ExchangeFault::Interaction { claims: Some(claims), .. } if !session => {
                Refusal::claims_required(caller, claims)
            }
            fault => Refusal::Exchange(Box::new(ExchangeRefusal { fault, ..self })),
        }
    }

    /// The label in the audit log and in metrics.
    pub fn label(&self) -> &'static str {
        label(&self.fault)
    }

    /// Whether it is the caller's to mend.
    pub fn is_callers(&self) -> bool {
        !matches!(self.fault, ExchangeFault::Misconfigured(_) | ExchangeFault::Unavailable(_))
    }

    /// What the client is told.
    pub fn error(&self) -> RpcError {
        let to = &self.to;
        let (code, text) = match &self.fault {
            ExchangeFault::Application(_) => (
                Code::Refused,
                format!("{to} is reached on behalf of people: a program can't be acted for."),
            ),
            ExchangeFault::Consent(_) => (
                Code::Refused,
                format!(
                    "{to} needs a consent that was not given yet: an administrator can grant it to Bartizan's application."
                ),
            ),
            ExchangeFault::Denied(_) => {
                (Code::Refused, format!("The identity provider does not let you use {to}."))
            }
            ExchangeFault::Interaction { .. } => (
                Code::Refused,
                format!(
                    "{to} needs a stronger sign-in: sign out, and sign in again with a second factor."
                ),
            ),
            ExchangeFault::Nobody => (
                Code::Refused,
                format!(
                    "{to} is reached on behalf of people: sign in at the identity provider to use it."
                ),
            ),
            ExchangeFault::Expired(_)
            | ExchangeFault::Misconfigured(_)
            | ExchangeFault::Unavailable(_) => {
                (Code::Upstream, format!("The credential for {to} is not available."))
            }
        };
        RpcError::new(code, text)
    }
}
