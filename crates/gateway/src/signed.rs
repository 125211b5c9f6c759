//! What ETDI wants of a call beside leave: that it is signed, and that the caller's token is bound to the tool.
//! Asked for where a server's entry says so.

use http::HeaderMap;
use identity::{Principal, Verified};
use mcp::{Json, Method, quote};
use trust::etdi::{self, Invocation};

use crate::{Gateway, call::Call, refusal::Refusal, resolve::Target};

/// A signature over a call, as it came.
#[derive(Clone, Debug)]
pub struct CallSignature {
    signature: String,
    timestamp: String,
    key: String,
}

impl CallSignature {
    /// From a request's headers; one of each.
    pub(crate) fn in_headers(headers: &HeaderMap) -> Option<Box<CallSignature>> {
        let one = |name: &str| {
            let mut values = headers.get_all(name).iter();
            let value = values.next()?.to_str().ok()?.to_owned();
            values.next().is_none().then_some(value)
        };
        let signature = one("x-etdi-tool-signature")?;
        let (timestamp, key) = (one("x-etdi-timestamp")?, one("x-etdi-key-id")?);
        Some(Box::new(CallSignature { signature, timestamp, key }))
    }

    fn in_params(params: Json<'_>) -> Option<CallSignature> {
        let [signature, timestamp, key] =
            params.pick(["etdi_signature", "etdi_timestamp", "etdi_key_id"]);
        let text = |member: Option<Json<'_>>| Some(member?.string()?.into_owned());
        Some(CallSignature {
            signature: text(signature)?,
            timestamp: text(timestamp)?,
            key: text(key)?,
        })
    }
}

impl Gateway {
    /// Holds a call of a tool against what its server's entry asks for.
    pub(crate) async fn require_signed(
        &self,
        caller: &Verified,
        call: &Call,
        target: &Target,
    ) -> Result<(), Refusal> {
        let proofs = &target.served.entry.proofs;
        if call.method != Method::ToolsCall || (!proofs.bound_tokens && proofs.calls.is_none()) {
            return Ok(());
        }
        // What has no definition was refused before.
        let Some(item) = target.item() else { return Ok(()) };
        let definition = item.raw.json();
        if proofs.bound_tokens {
            let claims = crate::made(claims(caller.principal()));
            etdi::bound_to(claims.json(), definition)
                .map_err(|fault| Refusal::TokenUnbound(fault.to_string()))?;
        }
        match &proofs.calls {
            Some(signer) => Box::pin(self.verify_call(call, definition, signer)).await,
            None => Ok(()),
        }
    }

    async fn verify_call(
        &self,
        call: &Call,
        definition: Json<'_>,
        signer: &str,
    ) -> Result<(), Refusal> {
        let unsigned = |why: &str| Refusal::CallUnsigned(why.to_owned());
        let carried = match &call.signature {
            Some(carried) => Some((**carried).clone()),
            None => CallSignature::in_params(call.params.json()),
        };
        let carried = carried.ok_or_else(|| unsigned("it has no signature"))?;
        let at = carried.timestamp.parse::<jiff::Timestamp>().ok();
        let at = at.and_then(|at| u64::try_from(at.as_second()).ok());
        let tool = etdi::tool_id(definition).unwrap_or_default();
        let invocation = Invocation {
            tool: &tool,
            parameters: call.arguments(),
            timestamp: &carried.timestamp,
            at: at.ok_or_else(|| unsigned("its time can't be read"))?,
            key: &carried.key,
            signature: &carried.signature,
        };
        let (current, now) = (self.current(), crate::now());
        let keys = current.config.trust.keys.of(signer);
        let verified =
            invocation.verify(&keys, now).map_err(|fault| unsigned(&fault.to_string()))?;
        // In the store, so that another gateway, or this one after a restart, knows it too.
        let first = self.store.signed_call(&verified.payload, verified.until, now).await;
        match first.map_err(|fault| Refusal::StoreUnavailable(fault.to_string()))? {
            true => Ok(()),
            false => Err(unsigned("the signature was used before")),
        }
    }
}

/// What the caller's token says that ETDI reads.
fn claims(principal: &Principal) -> String {
    let text = |name: &str, value: Option<&str>| {
        value.map(|value| format!("{}:{},", quote(name), quote(value))).unwrap_or_default()
    };
    let scopes: Vec<String> = principal.scopes().iter().map(|scope| quote(scope)).collect();
    format!(
        "{{{}{}{}\"scope\":[{}]}}",
        text("tool_id", principal.tool()),
        text("sub", principal.subject()),
        text("tool_version", principal.tool_version()),
        scopes.join(",")
    )
}
