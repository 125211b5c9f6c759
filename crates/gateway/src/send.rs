//! The only way out: a call leaves with the proof of every step before it, or not at all.

use std::time::Instant;

use http::HeaderValue;
use identity::Verified;
use inspect::Inspected;
use mcp::{Json, Patch, encode_header, quote};
use policy::Permit;
use upstream::{Events, Outgoing};

use crate::{
    call::{Call, Reply},
    hearing::Look,
    mrtr::State,
    refusal::Refusal,
    resolve::{ApprovedTarget, Target},
    stack::Place,
    telemetry::{TRACEPARENT, TRACESTATE, Trace},
};

/// The values that only the steps before can make; together they are what [`send`] asks for.
pub(crate) struct Cleared<'a> {
    caller: &'a Verified,
    _approved: ApprovedTarget,
    arguments: Inspected<'a>,
    _permit: Permit,
    _place: Option<Place>,
    state: State,
}

impl<'a> Cleared<'a> {
    pub(crate) fn new(
        caller: &'a Verified,
        approved: ApprovedTarget,
        arguments: Inspected<'a>,
        permit: Permit,
        place: Option<Place>,
        state: State,
    ) -> Cleared<'a> {
        Cleared { caller, _approved: approved, arguments, _permit: permit, _place: place, state }
    }
}

/// Sends a cleared call to its server, with the credential that was fetched for it.
pub(crate) async fn send(
    cleared: Cleared<'_>,
    fetched: vault::Fetched,
    call: &Call,
    target: &Target,
    trace: Option<&Trace>,
    events: &Events,
    look: Option<Look<'_>>,
) -> Result<Reply, Refusal> {
    let params = cleared.arguments.json();
    let meta = trace.map(|trace| trace.meta(params));
    let mut patch = own_names(params, target, &cleared.state);
    if let Some(meta) = &meta {
        patch = patch.set(mcp::meta::META, meta.as_str());
    }
    let patched = (!patch.is_empty()).then(|| patch.build());
    let served = &target.served;
    let outgoing = Outgoing {
        partition: &served.partition(cleared.caller),
        principal: cleared.caller.principal().partition(),
        method: &call.method_name,
        params: patched.as_ref().map_or(params, |patched| patched.json()),
        client: &call.client,
        param_headers: param_headers(call, target, trace),
        credential: upstream::Credential::default(),
        deadline: Instant::now() + served.entry.timeout,
    };
    let answer = served.deliver(cleared.caller, fetched, outgoing, events, look).await;
    let answer = answer.map_err(|refusal| match refusal {
        Refusal::Server { fault: upstream::LinkFault::Parked, .. } => Refusal::RequestState,
        refusal => refusal,
    })?;
    Ok(Reply::of(answer.outcome, answer.era))
}

/// The aggregate's names replaced by the server's own, the sealed state by the server's.
fn own_names<'a>(params: Json<'a>, target: &'a Target, state: &'a State) -> Patch<'a> {
    let mut patch = Patch::of(params);
    if let Some((member, value)) = &target.renamed {
        patch = patch.set(member, value.as_str());
    }
    match state {
        State::Absent => patch,
        State::Dropped => patch.remove("requestState"),
        State::Own => patch.remove("requestState").remove("inputResponses"),
        State::Server(state) => patch.set("requestState", quote(state)),
    }
}

fn param_headers(
    call: &Call,
    target: &Target,
    trace: Option<&Trace>,
) -> Vec<(http::HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    if let Some(sent) = trace.map(Trace::sent) {
        let state = sent.state.as_deref().map(|state| (TRACESTATE, state));
        for (name, text) in [(TRACEPARENT, sent.parent.as_str())].into_iter().chain(state) {
            headers.extend(HeaderValue::from_str(text).ok().map(|value| (name, value)));
        }
    }
    let Some(item) = target.item() else { return headers };
    let arguments = call.arguments();
    let header = |param: &mcp::HeaderParam| {
        let value = param.value(arguments)?;
        Some((param.header.clone(), HeaderValue::from_str(&encode_header(&value)).ok()?))
    };
    headers.extend(item.header_params.iter().filter_map(header));
    headers
}
