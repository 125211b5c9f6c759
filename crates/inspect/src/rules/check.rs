//! Checks that tell a credential from what only looks like one.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The last six characters are the CRC-32 of those behind the prefix, in base 62.
pub(crate) fn crc32(token: &[u8]) -> bool {
    let Some(from) = token.iter().position(|byte| *byte == b'_') else { return false };
    let Some((body, sum)) = token[from + 1..].split_last_chunk::<6>() else { return false };
    let mut crc = !0_u32;
    for byte in body {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    let mut left = !crc;
    let mut expected = [b'0'; 6];
    for place in expected.iter_mut().rev() {
        *place = BASE62[(left % 62) as usize];
        left /= 62;
    }
    &expected == sum
}

/// Enough different characters for its length, of more than one sort, and no word or sequence.
pub(crate) fn looks_random(matched: &[u8]) -> bool {
    let lower = matched.to_ascii_lowercase();
    if STAND_INS.iter().any(|word| lower.windows(word.len()).any(|part| part == *word)) {
        return false;
    }
    // Of `name = value` or an address, only one part is the secret.
    matched.split(|byte| b"=: \"'>@/".contains(byte)).any(|part| {
        let hexadecimal = part.iter().all(u8::is_ascii_hexdigit);
        let least = if hexadecimal { 3.0 } else { 3.3_f32.min((part.len() as f32).log2() - 0.7) };
        part.len() >= 8
            && (part.iter().any(u8::is_ascii_digit) && entropy(part) >= least
                || part.len() >= 20 && entropy(part) >= 3.4 && is_no_word(part))
    })
}

/// Without a digit: all of letters of one word, or large and small ones mixed.
fn is_no_word(part: &[u8]) -> bool {
    let marks = part.iter().filter(|byte| !byte.is_ascii_alphanumeric()).count();
    let large = part.iter().filter(|byte| byte.is_ascii_uppercase()).count();
    marks == 0 && large == part.len() || marks <= 2 && large >= 4 && large + 4 <= part.len() - marks
}

/// What documentation writes in place of a secret.
const STAND_INS: [&[u8]; 13] = [
    b"example",
    b"xxxx",
    b"placeholder",
    b"changeme",
    b"your",
    b"dummy",
    b"redacted",
    b"12345678",
    b"0000000",
    b"abcdefgh",
    b"sample",
    b"insert",
    b"****",
];

/// Bits per byte.
fn entropy(bytes: &[u8]) -> f32 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let all = bytes.len().max(1) as f32;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| *count as f32 / all)
        .map(|part| -part * part.log2())
        .sum()
}

/// A JOSE header in front.
pub(crate) fn jwt(matched: &[u8]) -> bool {
    let header = matched.split(|byte| *byte == b'.').next().unwrap_or_default();
    let decoded = BASE64_URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
    decoded.starts_with(b"{") && decoded.windows(5).any(|part| part == b"\"alg\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_with_a_wrong_digit_fails_its_checksum() {
        // Made for this test: thirty letters and their checksum.
        let body = b"abcdefghijklmnopqrstuvwxyzABCD";
        let token = |sum: &str| [b"ghp_".as_slice(), body, sum.as_bytes()].concat();
        let found = (0..62_u32)
            .flat_map(|a| (0..62_u32).map(move |b| (a, b)))
            .filter(|(a, b)| {
                let sum: String = ["0000", ""].concat()
                    + &String::from_utf8_lossy(&[BASE62[*a as usize], BASE62[*b as usize]]);
                crc32(&token(&sum))
            })
            .count();
        assert!(found <= 1);
        assert!(!crc32(b"ghp_short"));
    }

    #[test]
    fn words_and_stand_ins_are_not_random() {
        for no in [
            "AKIAIOSFODNN7EXAMPLE",
            "password=changeme123456",
            "aaaaaaaaaaaaaaaaaaaaaaaa",
            "key: your-api-key-here-1",
        ] {
            assert!(!looks_random(no.as_bytes()), "{no}");
        }
        for yes in ["AKIAJ5TQ2XWZ7M3PLK4R", "api_key = 9f8e1c7b2a6d5038e4c1f7a9b3d2650e"] {
            assert!(looks_random(yes.as_bytes()), "{yes}");
        }
    }
}
