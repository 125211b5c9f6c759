//! Why there is no token, told by who can mend it. Entra's numbers say more than its OAuth errors do.

use std::fmt;

use serde::Deserialize;

use crate::oauth::{DOCUMENT_BYTES, is_code};

/// The longest claims challenge that is passed on, in bytes.
const CLAIMS: usize = 4096;

/// What a token endpoint said: its error, and Entra's number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// `error`, or `HTTP 503` where there is none.
    pub error: String,
    /// The number behind `AADSTS`.
    pub code: Option<u32>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)?;
        self.code.map_or(Ok(()), |code| write!(f, ", AADSTS{code}"))
    }
}

/// Why there is no token. No variant holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeFault {
    /// The caller is a program: nobody can be acted for.
    #[error("the caller is a program, and on-behalf-of is for people ({0})")]
    Application(Answer),
    /// The user or an administrator has not agreed yet.
    #[error("neither the user nor an administrator has consented ({0})")]
    Consent(Answer),
    /// The account may not, whatever it does: disabled, not assigned, blocked by Conditional Access.
    #[error("the account is refused ({0})")]
    Denied(Answer),
    /// The caller's own token, or the session behind it, is over or revoked.
    #[error("the caller's credential is not taken any more ({0})")]
    Expired(Answer),
    /// A person has to show more, such as a second factor.
    #[error("the user has to sign in with more than they did ({answer})")]
    Interaction {
        /// What was said.
        answer: Answer,
        /// What the next token must have: a claims challenge, as JSON.
        claims: Option<String>,
    },
    /// The configuration here or the registration there is wrong.
    #[error("it is not configured rightly ({0})")]
    Misconfigured(Answer),
    /// There is nobody to act for: the caller came without a token of an identity provider.
    #[error("the caller brought no token of an identity provider")]
    Nobody,
    /// It does not answer, or not so that it could be understood.
    #[error("the token endpoint does not answer: {0}")]
    Unavailable(String),
}

#[derive(Deserialize)]
struct Failure {
    error: String,
    #[serde(default)]
    error_codes: Vec<u32>,
    error_description: Option<String>,
    suberror: Option<String>,
    claims: Option<String>,
}

impl ExchangeFault {
    /// From what was answered instead of a token.
    pub fn read(status: u16, bytes: &[u8]) -> ExchangeFault {
        let failure = (bytes.len() <= DOCUMENT_BYTES).then(|| serde_json::from_slice(bytes).ok());
        let failure: Option<Failure> = failure.flatten();
        let Some(failure) = failure.filter(|failure| is_code(&failure.error)) else {
            return ExchangeFault::Unavailable(format!("HTTP {status}"));
        };
        let code = failure.error_codes.first().copied();
        let code = code.or_else(|| number(failure.error_description.as_deref()?));
        let answer = Answer { error: failure.error, code };
        let claims = failure.claims.filter(|claims| is_challenge(claims));
        if claims.is_some() {
            return ExchangeFault::Interaction { answer, claims };
        }
        if failure.suberror.as_deref() == Some("consent_required") {
            return ExchangeFault::Consent(answer);
        }
        if status >= 500 || status == 429 {
            return ExchangeFault::Unavailable(format!("HTTP {status}, {answer}"));
        }
        by_number(&answer).unwrap_or_else(|| by_error(answer))
    }

    /// Whether it may be otherwise in a moment, without anybody's doing.
    pub fn is_passing(&self) -> bool {
        matches!(self, ExchangeFault::Unavailable(_))
    }
}

/// The numbers that say more than the error beside them.
fn by_number(answer: &Answer) -> Option<ExchangeFault> {
    let answer = || answer.clone();
    Some(match answer().code? {
        7_000_114 => ExchangeFault::Application(answer()),
        65_001 | 65_004 | 90_094 => ExchangeFault::Consent(answer()),
        50_034 | 50_053 | 50_057 | 50_105 | 53_000..=53_004 => ExchangeFault::Denied(answer()),
        50_013 | 50_089 | 50_132 | 50_133 | 50_173 | 70_000 | 70_008 | 70_043 | 500_133
        | 700_082 | 700_084 => ExchangeFault::Expired(answer()),
        16_000 | 50_058 | 50_072 | 50_074 | 50_076 | 50_078 | 50_079 | 50_158 => {
            ExchangeFault::Interaction { answer: answer(), claims: None }
        }
        500_131 => ExchangeFault::Misconfigured(answer()),
        _ => return None,
    })
}

fn by_error(answer: Answer) -> ExchangeFault {
    match answer.error.as_str() {
        "access_denied" => ExchangeFault::Denied(answer),
        "consent_required" => ExchangeFault::Consent(answer),
        "interaction_required" | "login_required" => {
            ExchangeFault::Interaction { answer, claims: None }
        }
        "invalid_grant" => ExchangeFault::Expired(answer),
        "server_error" | "slow_down" | "temporarily_unavailable" => {
            ExchangeFault::Unavailable(answer.to_string())
        }
        _ => ExchangeFault::Misconfigured(answer),
    }
}

/// `AADSTS65001: …`
fn number(description: &str) -> Option<u32> {
    let (digits, _) = description.strip_prefix("AADSTS")?.split_once(':')?;
    digits.parse().ok()
}

/// A claims request is a JSON object (OpenID Connect Core 1.0 §5.5).
pub fn is_challenge(claims: &str) -> bool {
    let object = || serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(claims);
    claims.len() <= CLAIMS && object().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> ExchangeFault {
        ExchangeFault::read(status, body.as_bytes())
    }

    /// As Entra writes it.
    fn entra(error: &str, code: u32, more: &str) -> ExchangeFault {
        let body = format!(
            r#"{{"error":"{error}","error_description":"AADSTS{code}: x\r\nTrace ID: y","error_codes":[{code}]{more}}}"#
        );
        read(if error == "invalid_client" { 401 } else { 400 }, &body)
    }

    #[test]
    fn entras_numbers_say_who_can_mend_it() {
        let kind = |fault: ExchangeFault| match fault {
            ExchangeFault::Application(_) => "application",
            ExchangeFault::Consent(_) => "consent",
            ExchangeFault::Denied(_) => "denied",
            ExchangeFault::Expired(_) => "expired",
            ExchangeFault::Interaction { .. } => "interaction",
            ExchangeFault::Misconfigured(_) => "misconfigured",
            ExchangeFault::Nobody => "nobody",
            ExchangeFault::Unavailable(_) => "unavailable",
        };
        for (error, code, expected) in [
            ("invalid_grant", 65_001, "consent"),
            ("access_denied", 65_004, "consent"),
            ("invalid_grant", 50_013, "expired"),
            ("invalid_grant", 500_133, "expired"),
            ("invalid_grant", 50_173, "expired"),
            ("invalid_grant", 500_131, "misconfigured"),
            ("invalid_grant", 50_105, "denied"),
            ("access_denied", 53_003, "denied"),
            ("interaction_required", 50_076, "interaction"),
            ("invalid_grant", 50_079, "interaction"),
            ("invalid_grant", 7_000_114, "application"),
            ("invalid_client", 7_000_215, "misconfigured"),
            ("invalid_client", 7_000_222, "misconfigured"),
            ("invalid_client", 700_213, "misconfigured"),
            ("invalid_resource", 500_011, "misconfigured"),
            ("invalid_target", 9_010_010, "misconfigured"),
            ("unauthorized_client", 700_016, "misconfigured"),
        ] {
            assert_eq!(kind(entra(error, code, "")), expected, "{code}");
        }
    }

    #[test]
    fn what_more_must_be_shown_is_passed_on_whatever_it_is_called() {
        let claims =
            r#","suberror":"basic_action","claims":"{\"access_token\":{\"capolids\":{}}}""#;
        for error in ["interaction_required", "invalid_grant"] {
            match entra(error, 50_076, claims) {
                ExchangeFault::Interaction { claims: Some(claims), answer } => {
                    assert_eq!(claims, r#"{"access_token":{"capolids":{}}}"#);
                    assert_eq!(answer.to_string(), format!("{error}, AADSTS50076"));
                }
                other => panic!("{other}"),
            }
        }
        for not_one in [r#","claims":"[]""#, r#","claims":"no""#] {
            let fault = entra("interaction_required", 50_076, not_one);
            assert!(matches!(fault, ExchangeFault::Interaction { claims: None, .. }), "{fault}");
        }
        let consent = entra("invalid_grant", 65_999, r#","suberror":"consent_required""#);
        assert!(matches!(consent, ExchangeFault::Consent(_)));
    }

    #[test]
    fn servers_without_numbers_are_understood_by_their_errors() {
        let fault = |error: &str| read(400, &format!(r#"{{"error":"{error}"}}"#));
        assert!(matches!(fault("invalid_grant"), ExchangeFault::Expired(_)));
        assert!(matches!(fault("invalid_target"), ExchangeFault::Misconfigured(_)));
        assert!(matches!(fault("consent_required"), ExchangeFault::Consent(_)));
        assert!(fault("temporarily_unavailable").is_passing());
        let described =
            read(400, r#"{"error":"invalid_grant","error_description":"AADSTS65001: x"}"#);
        assert!(matches!(described, ExchangeFault::Consent(_)), "{described}");
    }

    #[test]
    fn what_is_no_error_is_a_server_that_does_not_answer() {
        for (status, body) in [
            (503, "<html>"),
            (500, r#"{"error":"server_error"}"#),
            (429, r#"{"error":"invalid_grant"}"#),
            (400, r#"{"error":"<script>"}"#),
            (302, ""),
            (400, r#"{"error":7}"#),
        ] {
            let fault = read(status, body);
            assert!(fault.is_passing() && !fault.to_string().contains('<'), "{fault}");
        }
    }
}
