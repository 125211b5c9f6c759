//! Trace context as W3C writes it, from a request's `_meta` or from its HTTP headers.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

use http::{HeaderMap, HeaderName};
use mcp::Json;

/// As a header, and as a key of `_meta` (SEP-414).
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The same for what vendors add.
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The longest `tracestate` that is passed on.
const STATE: usize = 512;

/// Where a request stands in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    /// A whole `traceparent` of version 00.
    parent: Box<str>,
    /// `tracestate`, where it came in a header: in `_meta` it passes by itself.
    pub state: Option<Box<str>>,
}

impl Context {
    /// Reads a `traceparent`. One of a later version is read as far as this one goes.
    pub fn parse(text: &str) -> Option<Context> {
        let fields: Vec<&str> = text.splitn(5, '-').collect();
        let [version, trace, span, flags, rest @ ..] = fields.as_slice() else { return None };
        let hex = |field: &str, length: usize| {
            field.len() == length && field.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let zero = |field: &str| field.bytes().all(|byte| byte == b'0');
        let good = hex(version, 2)
            && *version != "ff"
            && (rest.is_empty() || *version != "00")
            && hex(trace, 32)
            && hex(span, 16)
            && hex(flags, 2)
            && !zero(trace)
            && !zero(span);
        good.then(|| Context { parent: format!("00-{trace}-{span}-{flags}").into(), state: None })
    }

    /// Of a member of `_meta`.
    pub fn of_meta(parent: Option<Json<'_>>) -> Option<Context> {
        Context::parse(&parent?.string()?)
    }

    /// Of the headers of an HTTP request.
    pub fn of_headers(headers: &HeaderMap) -> Option<Context> {
        let mut context = Context::parse(headers.get(&TRACEPARENT)?.to_str().ok()?)?;
        let states = headers.get_all(&TRACESTATE).iter().map(|value| value.to_str().ok());
        let states = states.collect::<Option<Vec<&str>>>().unwrap_or_default().join(",");
        if !states.is_empty() && states.len() <= STATE {
            context.state = Some(states.into());
        }
        Some(context)
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        &self.parent
    }

    /// The trace.
    pub fn trace(&self) -> &str {
        &self.parent[3..35]
    }

    /// The span.
    pub fn span(&self) -> &str {
        &self.parent[36..52]
    }

    /// Whether whoever began the trace keeps it.
    pub fn is_sampled(&self) -> bool {
        u8::from_str_radix(&self.parent[53..], 16).is_ok_and(|flags| flags & 1 == 1)
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
        // Zero is no id.
        self.key.hash_one(self.count.fetch_add(1, Ordering::Relaxed)).max(1)
    }

    /// A span below another.
    pub fn child(&self, of: &Context) -> Context {
        let flags = &of.parent[53..];
        let parent = format!("00-{}-{:016x}-{flags}", of.trace(), self.next());
        Context { parent: parent.into(), state: of.state.clone() }
    }

    /// The first span of a trace; `kept` says which share of them is kept.
    pub fn root(&self, kept: f64) -> Context {
        let (high, low) = (self.next(), self.next());
        #[expect(clippy::cast_precision_loss, reason = "a share needs no more")]
        let sampled = (low as f64) < kept * (u64::MAX as f64) || kept >= 1.0;
        let flags = u8::from(sampled);
        let parent = format!("00-{high:016x}{low:016x}-{:016x}-{flags:02x}", self.next());
        Context { parent: parent.into(), state: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn contexts_are_read_as_the_specification_says() {
        let context = Context::parse(GOOD).unwrap();
        assert_eq!(context.trace(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.span(), "00f067aa0ba902b7");
        assert!(context.is_sampled());
        assert!(!Context::parse(&GOOD.replace("-01", "-00")).unwrap().is_sampled());
        let later = format!("cc{}-what-the-future-will-be-like", &GOOD[2..]);
        assert_eq!(Context::parse(&later).unwrap().text(), GOOD);
        for wrong in [
            "",
            "00",
            &GOOD[..54],
            &format!("{GOOD}-x"),
            &format!("ff{}", &GOOD[2..]),
            &GOOD.to_uppercase(),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
        ] {
            assert_eq!(Context::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn children_stay_in_their_trace_and_roots_are_kept_by_share() {
        let (ids, parent) = (Ids::new(), Context::parse(GOOD).unwrap());
        let child = ids.child(&parent);
        assert_eq!((child.trace(), child.is_sampled()), (parent.trace(), true));
        assert_ne!(child.span(), parent.span());
        assert_eq!(Context::parse(child.text()).as_ref(), Some(&child));
        let kept = (0..1000).filter(|_| ids.root(0.25).is_sampled()).count();
        assert!((150..350).contains(&kept), "{kept}");
        assert!(ids.root(1.0).is_sampled() && !ids.root(0.0).is_sampled());
    }

    #[test]
    fn headers_bring_what_vendors_add() {
        let mut headers = HeaderMap::new();
        assert_eq!(Context::of_headers(&headers), None);
        headers.insert(TRACEPARENT, GOOD.parse().unwrap());
        headers.append(TRACESTATE, "a=1".parse().unwrap());
        headers.append(TRACESTATE, "b=2".parse().unwrap());
        let context = Context::of_headers(&headers).unwrap();
        assert_eq!(context.state.as_deref(), Some("a=1,b=2"));
        headers.insert(TRACESTATE, "x".repeat(STATE + 1).parse().unwrap());
        assert_eq!(Context::of_headers(&headers).unwrap().state, None);
    }
}
