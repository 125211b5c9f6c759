//! A `traceparent` that is read is written as it is read again, and a child stays in its trace.

use mcp::TraceParent;

/// A `traceparent`.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(parent) = TraceParent::parse(text) else { return };
    assert_eq!(TraceParent::parse(parent.as_str()).as_ref(), Some(&parent));
    assert_eq!(parent.as_str()[2..], text[2..55]);
    let child = parent.child(7);
    assert_eq!((child.trace(), child.is_sampled()), (parent.trace(), parent.is_sampled()));
    assert_eq!(TraceParent::parse(child.as_str()), Some(child));
}
