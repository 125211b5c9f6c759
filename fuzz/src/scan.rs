//! A text gives the same findings however it is cut, and each finding is a part of the text.

use std::sync::LazyLock;

use inspect::{Finding, Scanner, Surface};

static SCANNER: LazyLock<Option<Scanner>> = LazyLock::new(|| Scanner::new(Vec::new()).ok());

/// The first byte says the surface, the second how the text is cut; the rest is the text.
pub fn target(data: &[u8]) {
    let (Some(scanner), [surface, cut, text @ ..]) = (SCANNER.as_ref(), data) else { return };
    let text = String::from_utf8_lossy(text);
    let surface = Surface::ALL[usize::from(*surface) % Surface::ALL.len()];
    let whole = in_pieces(scanner, surface, &text, text.len().max(1));
    assert_eq!(in_pieces(scanner, surface, &text, usize::from(*cut) + 1), whole);
    let (found, all) = scanner.scan_while(surface, &text, || true);
    assert!(all);
    assert_eq!(found, whole);
    for finding in &whole {
        assert!(text.get(finding.at.clone()).is_some(), "{finding:?} is no part of {text:?}");
    }
}

fn in_pieces(scanner: &Scanner, surface: Surface, text: &str, size: usize) -> Vec<Finding> {
    let mut stream = scanner.stream(surface);
    let (mut found, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let (piece, next) = rest.split_at(rest.ceil_char_boundary(size.min(rest.len())));
        found.extend(stream.push(piece));
        rest = next;
    }
    found.extend(stream.finish());
    found
}
