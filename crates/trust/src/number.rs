//! Which JSON numbers are exactly doubles for everyone.

/// The largest integer up to which every integer is a double (RFC 8259 §6).
const LARGEST_INTEGER: u64 = 1 << 53;

/// Whether the token stands for one double, without rounding that another text could share:
/// an integer up to 2^53, or at most 15 digits scaled by at most 10^22 either way, where
/// both factors are exact and so the nearest double is the same for every parser.
pub(crate) fn is_exact(token: &str) -> bool {
    let token = token.strip_prefix('-').unwrap_or(token);
    let (mantissa, exponent) = token.split_once(['e', 'E']).unwrap_or((token, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.len() == token.len() {
        return whole.parse().is_ok_and(|integer: u64| integer <= LARGEST_INTEGER);
    }
    let digits = whole.bytes().chain(fraction.bytes()).skip_while(|digit| *digit == b'0').count();
    let Ok(exponent) = exponent.parse::<i64>() else { return false };
    let Ok(places) = i64::try_from(fraction.len()) else { return false };
    let scale = exponent.saturating_sub(places);
    digits <= 15 && (-22..=22).contains(&scale)
}

#[cfg(test)]
mod tests {
    use super::is_exact;

    #[test]
    fn exact_and_inexact_numbers() {
        for token in [
            "0",
            "-0",
            "42",
            "9007199254740992",
            "-9007199254740992",
            "0.1",
            "1.10",
            "1e22",
            "-2.5E+3",
            "0.000001",
        ] {
            assert!(is_exact(token), "{token}");
        }
        for token in [
            "9007199254740993",
            "99999999999999999999",
            "1e23",
            "1e-400",
            "1.0000000000000001",
            "1e99999999999999999999",
        ] {
            assert!(!is_exact(token), "{token}");
        }
    }
}
