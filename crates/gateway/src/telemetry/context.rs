//! Where a request stands in a trace, by its `_meta` or by its HTTP headers.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

use http::{HeaderMap, HeaderName};
use mcp::{Json, TraceParent};

/// As a header; in `_meta` it has the same name (SEP-414).
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The same for what vendors add.
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The longest `tracestate` that is passed on.
const STATE: usize = 512;

/// Where a request stands in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    pub parent: TraceParent,
    /// `tracestate`, where it came in a header: in `_meta` it passes by itself.
    pub state: Option<Box<str>>,
}

impl Context {
    /// Of a member of `_meta`.
    pub fn of_meta(parent: Option<Json<'_>>) -> Option<Context> {
        let parent = TraceParent::parse(&parent?.string()?)?;
        Some(Context { parent, state: None })
    }

    /// Of the headers of an HTTP request.
    pub fn of_headers(headers: &HeaderMap) -> Option<Context> {
        let parent = TraceParent::parse(headers.get(&TRACEPARENT)?.to_str().ok()?)?;
        let states = headers.get_all(&TRACESTATE).iter().map(|value| value.to_str().ok());
        let states = states.collect::<Option<Vec<&str>>>().unwrap_or_default().join(",");
        let state = (!states.is_empty() && states.len() <= STATE).then(|| states.into());
        Some(Context { parent, state })
    }
}

/// Makes ids that nobody can foresee and that do not repeat.
pub(crate) struct Ids {
    key: RandomState,
    count: AtomicU64,
}

impl Ids {
    pub fn new() -> Ids {
        Ids { key: RandomState::new(), count: AtomicU64::new(1) }
    }

    fn next(&self) -> u64 {
        self.key.hash_one(self.count.fetch_add(1, Ordering::Relaxed))
    }

    /// A span below another.
    pub fn child(&self, of: &Context) -> Context {
        Context { parent: of.parent.child(self.next()), state: of.state.clone() }
    }

    /// The first span of a trace, for a share of those who ask.
    pub fn root(&self, kept: f64) -> Option<Context> {
        let low = self.next();
        #[expect(clippy::cast_precision_loss, reason = "a share needs no more")]
        let sampled = kept >= 1.0 || (low as f64) < kept * (u64::MAX as f64);
        let trace = (u128::from(self.next()) << 64) | u128::from(low);
        let parent = sampled.then(|| TraceParent::root(trace, self.next(), true))?;
        Some(Context { parent, state: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn children_stay_in_their_trace_and_roots_are_kept_by_share() {
        let ids = Ids::new();
        let parent = Context { parent: TraceParent::parse(PARENT).unwrap(), state: None };
        let child = ids.child(&parent).parent;
        assert_eq!((child.trace(), child.is_sampled()), (parent.parent.trace(), true));
        assert_ne!(child.span(), parent.parent.span());
        let kept = (0..1000).filter(|_| ids.root(0.25).is_some()).count();
        assert!((150..350).contains(&kept), "{kept}");
        assert!(ids.root(1.0).unwrap().parent.is_sampled() && ids.root(0.0).is_none());
    }

    #[test]
    fn headers_bring_what_vendors_add() {
        let mut headers = HeaderMap::new();
        assert_eq!(Context::of_headers(&headers), None);
        headers.insert(TRACEPARENT, PARENT.parse().unwrap());
        headers.append(TRACESTATE, "a=1".parse().unwrap());
        headers.append(TRACESTATE, "b=2".parse().unwrap());
        let context = Context::of_headers(&headers).unwrap();
        assert_eq!(context.state.as_deref(), Some("a=1,b=2"));
        headers.insert(TRACESTATE, "x".repeat(STATE + 1).parse().unwrap());
        assert_eq!(Context::of_headers(&headers).unwrap().state, None);
    }
}
