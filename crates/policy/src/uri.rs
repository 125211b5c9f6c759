//! Resource URIs that can be read in more than one way.

/// Whether a server may take this URI for another one than its letters say: it holds `.` or
/// `..` segments, a backslash, or percent-encoded characters that need no encoding (RFC 3986
/// §6.2.2). `file:///home/../etc/passwd` begins with `file:///home/` and is not there.
pub(crate) fn is_ambiguous(uri: &str) -> bool {
    climbs(uri.split(['?', '#']).next().unwrap_or(uri))
}

/// The same of an argument, which may be a path: there `?` and `#` are letters like others, and an
/// empty segment or a NUL may end or restart it.
pub(crate) fn is_ambiguous_path(text: &str) -> bool {
    text.contains('\0') || text.contains("//") || climbs(text)
}

fn climbs(path: &str) -> bool {
    path.contains('\\')
        || path.split('/').any(|segment| matches!(segment, "." | ".."))
        || encodes_unreserved(path)
}

fn encodes_unreserved(path: &str) -> bool {
    path.as_bytes().windows(3).any(|window| {
        let [b'%', high, low] = window else { return false };
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let (Some(high), Some(low)) = (digit(high), digit(low)) else { return false };
        let decoded = u8::try_from(high * 16 + low).unwrap_or(0);
        // An encoded slash or backslash is as bad: it may become a separator.
        decoded.is_ascii_alphanumeric()
            || matches!(decoded, b'-' | b'.' | b'_' | b'~' | b'/' | b'\\')
    })
}

#[cfg(test)]
mod tests {
    use super::is_ambiguous;

    #[test]
    fn plain_and_ambiguous_uris() {
        for uri in [
            "file:///home/a.txt",
            "file:///a/..b/.c",
            "https://x/y?q=../z",
            "file:///{path}",
            "a%20b",
            "urn:x",
            "c%C3%A4",
        ] {
            assert!(!is_ambiguous(uri), "{uri}");
        }
        for uri in [
            "file:///home/../etc/passwd",
            "file:///a/./b",
            "file:///a/%2e%2E/b",
            "file:///a\\..\\b",
            "file:///%65tc",
            "file:///a/..",
            "x%2Fy",
        ] {
            assert!(is_ambiguous(uri), "{uri}");
        }
    }
}
