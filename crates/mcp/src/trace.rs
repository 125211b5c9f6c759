//! `traceparent` of W3C Trace Context, as it stands in `_meta` (SEP-414) and in HTTP headers.

/// A place in a trace: a whole `traceparent` of version 00.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent(Box<str>);

impl TraceParent {
    /// Reads one. One of a later version is read as far as this one goes.
    pub fn parse(text: &str) -> Option<TraceParent> {
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
        good.then(|| TraceParent(format!("00-{trace}-{span}-{flags}").into()))
    }

    /// The first span of a trace. Zero is no id, and one is put in its place.
    pub fn root(trace: u128, span: u64, sampled: bool) -> TraceParent {
        let (trace, span) = (trace.max(1), span.max(1));
        TraceParent(format!("00-{trace:032x}-{span:016x}-{:02x}", u8::from(sampled)).into())
    }

    /// Another span of the same trace.
    pub fn child(&self, span: u64) -> TraceParent {
        let (trace, flags, span) = (self.trace(), &self.0[53..], span.max(1));
        TraceParent(format!("00-{trace}-{span:016x}-{flags}").into())
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trace, 32 hexadecimal digits.
    pub fn trace(&self) -> &str {
        &self.0[3..35]
    }

    /// The span, 16 hexadecimal digits.
    pub fn span(&self) -> &str {
        &self.0[36..52]
    }

    /// Whether whoever began the trace keeps it.
    pub fn is_sampled(&self) -> bool {
        u8::from_str_radix(&self.0[53..], 16).is_ok_and(|flags| flags & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_specification_allows_is_read_and_nothing_else() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = TraceParent::parse(good).unwrap();
        assert_eq!(parent.as_str(), good);
        assert_eq!(parent.trace(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(parent.span(), "00f067aa0ba902b7");
        assert!(parent.is_sampled());
        assert!(!TraceParent::parse(&good.replace("-01", "-00")).unwrap().is_sampled());
        let later = format!("cc{}-what-the-future-will-be-like", &good[2..]);
        assert_eq!(TraceParent::parse(&later), Some(parent));
        for wrong in [
            "",
            "00",
            &good[..54],
            &format!("{good}-x"),
            &format!("ff{}", &good[2..]),
            &good.to_uppercase(),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceParent::parse(wrong), None, "{wrong}");
        }
    }
}
