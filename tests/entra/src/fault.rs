//! Entra's errors: a body of one form, in which the number says what is wrong.

use serde_json::{Value, json};

use crate::{State, request::Answer};

/// An error of the sign-in endpoints.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub code: u32,
    pub error: &'static str,
    pub text: String,
    pub suberror: Option<&'static str>,
    /// What Conditional Access wants to see in the next token.
    pub claims: Option<String>,
}

/// Code, OAuth error, sentence.
const TABLE: &[(u32, &str, &str)] = &[
    (16000, "interaction_required", "Interaction required"),
    (
        50011,
        "invalid_request",
        "The redirect URI specified in the request does not match the redirect URIs configured for the application.",
    ),
    (50013, "invalid_grant", "Assertion failed signature validation."),
    (50034, "invalid_grant", "The user account does not exist in the directory."),
    (50057, "invalid_grant", "The user account is disabled."),
    (50058, "login_required", "A silent sign-in request was sent but no user is signed in."),
    (
        50076,
        "interaction_required",
        "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access the resource.",
    ),
    (
        50105,
        "invalid_grant",
        "Your administrator has configured the application to block users unless they are specifically granted access to the application. The signed in user is blocked because they are not a direct member of a group with access, nor had access directly assigned by an administrator.",
    ),
    (50126, "invalid_grant", "Error validating credentials due to invalid username or password."),
    (
        50173,
        "invalid_grant",
        "The provided grant has expired due to it being revoked, a fresh auth token is needed.",
    ),
    (50194, "invalid_request", "Application is not configured as a multi-tenant application."),
    (
        50196,
        "invalid_grant",
        "The server terminated an operation because it encountered a client request loop.",
    ),
    (
        54005,
        "invalid_grant",
        "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.",
    ),
    (
        65001,
        "invalid_grant",
        "The user or administrator has not consented to use the application. Send an interactive authorization request for this user and resource.",
    ),
    (65004, "access_denied", "User declined to consent to access the app."),
    (70000, "invalid_grant", "Provided grant is invalid or malformed."),
    (70002, "invalid_client", "Error validating credentials."),
    (70003, "unsupported_grant_type", "The app requested an unsupported grant type."),
    (
        70008,
        "invalid_grant",
        "The provided authorization code or refresh token has expired due to inactivity.",
    ),
    (
        70011,
        "invalid_scope",
        "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid.",
    ),
    (
        70016,
        "authorization_pending",
        "OAuth 2.0 device flow error. Authorization is pending. Continue polling.",
    ),
    (
        70018,
        "bad_verification_code",
        "Invalid verification code due to user typing in wrong user code for device code flow.",
    ),
    (
        70020,
        "expired_token",
        "The provided value for the input parameter 'device_code' is not valid. This device code has expired.",
    ),
    (
        70043,
        "invalid_grant",
        "The refresh token has expired or is invalid due to sign-in frequency checks by conditional access.",
    ),
    (
        90002,
        "invalid_request",
        "Tenant not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.",
    ),
    (90014, "invalid_request", "The required field is missing from the credential."),
    (500011, "invalid_resource", "The resource principal was not found in the tenant."),
    (
        500131,
        "invalid_grant",
        "Assertion audience does not match the client app presenting the assertion.",
    ),
    (500133, "invalid_grant", "Assertion is not within its valid time range."),
    (
        501481,
        "invalid_grant",
        "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
    ),
    (
        650053,
        "invalid_client",
        "The application asked for a scope that doesn't exist on the resource.",
    ),
    (700016, "unauthorized_client", "Application was not found in the directory."),
    (
        700022,
        "invalid_request",
        "The provided value for the input parameter 'scope' is not valid because it contains more than one resource.",
    ),
    (
        700025,
        "invalid_client",
        "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.",
    ),
    (
        700027,
        "invalid_client",
        "The certificate with identifier used to sign the client assertion is not registered on application, or the signature is wrong.",
    ),
    (700082, "invalid_grant", "The refresh token has expired due to inactivity."),
    (
        700211,
        "invalid_client",
        "No matching federated identity record found for presented assertion issuer.",
    ),
    (
        700212,
        "invalid_client",
        "No matching federated identity record found for presented assertion audience.",
    ),
    (
        700213,
        "invalid_client",
        "No matching federated identity record found for presented assertion subject.",
    ),
    (
        700229,
        "invalid_client",
        "Entra ID tokens issued by Entra ID may not be used for federated identity credential flows.",
    ),
    (900144, "invalid_request", "The request body must contain the following parameter:"),
    (
        1002012,
        "invalid_scope",
        "The provided value for scope is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).",
    ),
    (
        7000114,
        "invalid_grant",
        "Application is not allowed to make application on-behalf-of calls.",
    ),
    (
        7000215,
        "invalid_client",
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app.",
    ),
    (
        7000218,
        "invalid_client",
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    ),
    (7000222, "invalid_client", "The provided client secret keys are expired."),
    (
        7002138,
        "invalid_client",
        "No matching federated identity record found: the presented assertion differs from the record in case only.",
    ),
    (
        9001023,
        "invalid_request",
        "The grant type is not supported over the /common or /consumers endpoints. Please use the /organizations or tenant-specific endpoint.",
    ),
    (
        9010010,
        "invalid_target",
        "The resource parameter provided in the request doesn't match with the requested scopes.",
    ),
];

impl Fault {
    /// The error of this number.
    pub fn new(code: u32) -> Fault {
        let found = TABLE.iter().find(|(number, ..)| *number == code);
        let (_, error, text) = found.unwrap_or_else(|| panic!("AADSTS{code} is not in the table"));
        Fault { code, error, text: (*text).to_owned(), suberror: None, claims: None }
    }

    /// The same, with what it is about.
    pub fn about(code: u32, what: &str) -> Fault {
        let mut fault = Fault::new(code);
        fault.text = format!("{} '{what}'", fault.text);
        fault
    }

    pub fn suberror(mut self, suberror: &'static str) -> Fault {
        self.suberror = Some(suberror);
        self
    }

    pub fn claims(mut self, claims: &Value) -> Fault {
        self.claims = Some(claims.to_string());
        self
    }

    /// `error_description`, with its trailer.
    pub fn description(&self, state: &State) -> String {
        let (trace, correlation) = (uuid(), uuid());
        format!(
            "AADSTS{}: {}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {}",
            self.code,
            self.text,
            timestamp(state.now())
        )
    }

    pub fn answer(&self, state: &State) -> Answer {
        let status = if self.error == "invalid_client" { 401 } else { 400 };
        let mut body = json!({
            "error": self.error,
            "error_description": self.description(state),
            "error_codes": [self.code],
            "timestamp": timestamp(state.now()),
            "trace_id": uuid(),
            "correlation_id": uuid(),
            "error_uri": format!("{}/error?code={}", state.origin, self.code),
        });
        if let Some(suberror) = self.suberror {
            body["suberror"] = suberror.into();
        }
        if let Some(claims) = &self.claims {
            body["claims"] = claims.as_str().into();
        }
        Answer::json(status, &body)
    }
}

/// Entra's form of a time: `2026-11-23 12:00:00Z`.
fn timestamp(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds).unwrap();
    time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// A random UUID.
pub(crate) fn uuid() -> String {
    let mut bytes: [u8; 16] = random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// An opaque string that nobody guesses.
pub(crate) fn opaque(prefix: &str) -> String {
    use base64::Engine;
    let bytes: [u8; 32] = random();
    format!("{prefix}{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}
