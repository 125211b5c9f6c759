//! A stream is masked the same however it is cut, and what comes out holds nothing of what was looked for.

use std::sync::Arc;

use vault::leak::{Filter, Known, MASK, Stream};

/// The first byte chooses the length of the secret that follows it, and how the rest is cut.
pub fn target(data: &[u8]) {
    let Some((&seed, rest)) = data.split_first() else { return };
    let Some((secret, text)) = rest.split_at_checked(8 + usize::from(seed % 32)) else { return };
    let Ok(secret) = std::str::from_utf8(secret) else { return };
    let known = Known::default();
    known.learn("secret", secret);
    let filter = known.filter();
    let whole = read(&filter, text, |rest| rest);
    assert_eq!(whole, read(&filter, text, |_| 1));
    let mut state = u32::from(seed) | 1;
    let random = read(&filter, text, |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (state >> 16) as usize % (1 + usize::from(seed))
    });
    assert_eq!(whole, random);
    let masked = filter.mask(text);
    // Masks are no part of a secret that has none of their letters.
    if !secret.bytes().any(|byte| MASK.as_bytes().contains(&byte)) {
        for out in [&whole, &*masked.text] {
            assert!(!out.windows(secret.len()).any(|part| part == secret.as_bytes()));
        }
    }
    let mut planted = text.to_vec();
    planted.extend_from_slice(secret.as_bytes());
    planted.extend_from_slice(text);
    assert!(!filter.mask(&planted).found.is_empty());
}

fn read(filter: &Arc<Filter>, text: &[u8], mut cut: impl FnMut(usize) -> usize) -> Vec<u8> {
    let mut stream = Stream::new(filter.clone());
    let mut out = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(cut(rest.len()).min(rest.len()));
        rest = after;
        stream.push(piece, &mut out);
    }
    stream.finish(&mut out);
    out
}
