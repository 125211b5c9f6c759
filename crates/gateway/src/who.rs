//! Who calls, as records say it.

use audit::Record;
use identity::Verified;

/// A record of which only the caller is known; `amr` is how they were authenticated.
pub(crate) fn record<'a>(caller: &'a Verified, amr: &'a str) -> Record<'a> {
    let principal = caller.principal();
    // Entra's tenants are in the principal.
    let tenant = principal.tenant().filter(|tenant| !principal.id().contains(tenant));
    Record {
        principal: principal.id(),
        tenant: tenant.unwrap_or_default(),
        provider: principal.provider().unwrap_or_default(),
        agent: principal.client().unwrap_or_default(),
        acr: principal.acr().unwrap_or_default(),
        amr,
        ..Record::default()
    }
}

/// A caller, for a record.
pub(crate) struct Who<'a> {
    caller: &'a Verified,
    /// How they were authenticated.
    amr: String,
}

impl<'a> Who<'a> {
    pub fn new(caller: &'a Verified) -> Who<'a> {
        Who { caller, amr: caller.principal().amr().join(" ") }
    }

    /// A record of which nothing else is known.
    pub fn record(&self) -> Record<'_> {
        record(self.caller, &self.amr)
    }
}
