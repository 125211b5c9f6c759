//! When a secret dies.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// What a value says of its own end: `exp` of what has a JSON Web Token's shape, signed or not by whomever.
pub fn of_value(text: &str) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Claims {
        exp: Option<f64>,
    }
    let mut parts = text.trim().split('.');
    let (header, claims) = (parts.next()?, parts.next()?);
    if !header.starts_with("eyJ") || parts.count() != 1 {
        return None;
    }
    let claims = zeroize::Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?);
    let exp = serde_json::from_slice::<Claims>(&claims).ok()?.exp?;
    (exp.is_finite() && exp > 0.0 && exp < 1e12).then_some(exp as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_when_it_dies() {
        let token = |claims: &str| {
            format!("eyJhbGciOiJub25lIn0.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims))
        };
        assert_eq!(of_value(&token(r#"{"exp":1800000000}"#)), Some(1_800_000_000));
        assert_eq!(of_value(&token(r#"{"exp":1800000000.7}"#)), Some(1_800_000_000));
        for silent in [
            token("{}"),
            token(r#"{"exp":null}"#),
            token(r#"{"exp":-1}"#),
            token(r#"{"exp":1e300}"#),
            token("no json"),
            "ghp_abc".to_owned(),
            "a.b.c".to_owned(),
            "eyJ.eyJ".to_owned(),
            String::new(),
        ] {
            assert_eq!(of_value(&silent), None, "{silent}");
        }
    }
}
