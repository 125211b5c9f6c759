//! What is recorded of what calls say: nothing, unless the configuration names arguments to be recorded in
//! clear, or an auditor for whom arguments and results are sealed.

use audit::{Body, Recipient, Retention};
use policy::{Kind, Pattern};

use crate::{call::Call, leak, refusal::Refusal, resolve::Target};

/// What is sealed, and for whom. Without a recipient it is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payloads {
    /// Who can open it.
    pub recipients: Vec<Recipient>,
    /// Of which calls.
    pub of: Vec<Pattern>,
    /// But not of these.
    pub except: Vec<Pattern>,
    /// Whether arguments are kept.
    pub arguments: bool,
    /// Whether results are kept.
    pub results: bool,
    /// Of what is longer, in bytes, nothing is kept.
    pub limit: usize,
    /// How long, and how much in all.
    pub keep: Retention,
}

/// Arguments that are recorded in clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    /// Of which calls.
    pub of: Pattern,
    /// Their names.
    pub names: Vec<Box<str>>,
}

/// What is kept of one body.
pub(crate) enum Kept {
    Nothing,
    Sealed(Vec<u8>),
    TooLarge,
}

impl Kept {
    pub fn as_body(&self) -> Body<'_> {
        match self {
            Kept::Nothing => Body::Nothing,
            Kept::Sealed(sealed) => Body::Sealed(sealed),
            Kept::TooLarge => Body::TooLarge,
        }
    }
}

impl Payloads {
    /// Whether something is kept of calls of this.
    pub(crate) fn cover(&self, server: &str, kind: Kind, name: &str) -> bool {
        let covers = |patterns: &[Pattern]| {
            patterns.iter().any(|pattern| pattern.matches(server, kind, name))
        };
        !self.recipients.is_empty() && covers(&self.of) && !covers(&self.except)
    }

    /// Seals a body of a call, if those of this call are kept.
    pub(crate) fn keep(&self, target: &Target, body: &[u8]) -> Result<Kept, Refusal> {
        if !self.cover(target.served.name().as_str(), target.kind, &target.name) {
            return Ok(Kept::Nothing);
        }
        self.seal(body)
    }

    /// Seals a body, unless it is longer than what is kept. A call whose body should be kept and can't be is
    /// refused, like one that can't be recorded.
    pub(crate) fn seal(&self, body: &[u8]) -> Result<Kept, Refusal> {
        if body.len() > self.limit {
            return Ok(Kept::TooLarge);
        }
        let sealed = audit::seal(&self.recipients, body).map(Kept::Sealed);
        sealed.map_err(|fault| Refusal::AuditUnavailable(fault.to_string()))
    }
}

fn covers(pattern: &Pattern, target: &Target) -> bool {
    pattern.matches(target.served.name().as_str(), target.kind, &target.name)
}

/// Those arguments of a call that are recorded in clear, in the order of the configuration. Secrets that are
/// known here are masked in them.
pub(crate) fn fields_of(
    fields: &[Fields],
    call: &Call,
    target: &Target,
) -> Vec<(Box<str>, String)> {
    let mut found: Vec<(Box<str>, String)> = Vec::new();
    for name in fields.iter().filter(|fields| covers(&fields.of, target)).flat_map(|f| &f.names) {
        if let Some(value) = call.arguments().get(name)
            && !found.iter().any(|(held, _)| held == name)
        {
            let text = value.string().unwrap_or(value.text().into());
            found.push((name.clone(), leak::clean(text.into_owned())));
        }
    }
    found
}
