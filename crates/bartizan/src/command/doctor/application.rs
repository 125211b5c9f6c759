//! This gateway as the provider knows it: the redirect URI, and how it proves itself. Both are found out by asking, and
//! nobody signs in for it.

use gateway::config::{ClientProof, SignIn};
use identity::Discovery;

use super::{
    aadsts,
    finding::Finding,
    web::{Web, query},
};

/// A well-formed PKCE challenge (the one of RFC 7636, appendix B): no code will ever be redeemed with it.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Asks for a sign-in that may show nothing (`prompt=none`). Whoever is sent back to the redirect URI learns that it is
/// registered: a provider shows an error page for any other.
pub async fn redirect(sign_in: &SignIn, about: &Discovery, web: &Web) -> Finding {
    let check = "sign-in: redirect URI";
    let Some(endpoint) = about.authorization_endpoint() else {
        let found = "the provider has no authorization endpoint: nobody can sign in there";
        return Finding::fault(check, found, "choose another `provider` in [sign-in]");
    };
    let (redirect, scope) = (redirect_uri(sign_in), sign_in.provider_scopes.to_string());
    let asked = query(&[
        ("response_type", "code"),
        ("response_mode", "query"),
        ("client_id", &sign_in.client_id),
        ("redirect_uri", &redirect),
        ("scope", &scope),
        ("prompt", "none"),
        ("state", "doctor"),
        ("nonce", "doctor"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    let joint = if endpoint.contains('?') { '&' } else { '?' };
    let reply = match web.get(&format!("{endpoint}{joint}{asked}")).await {
        Ok(reply) => reply,
        Err(unreached) => return Finding::unreached(check, &unreached),
    };
    let back = reply.location.as_deref().and_then(|to| to.strip_prefix(redirect.as_str()));
    match back {
        Some(answer) => returned(check, &redirect, answer),
        None if aadsts::code(&reply.complaint()).is_some() => Finding::refused(check, &reply),
        None if reply.status >= 400 => {
            let found = format!(
                "the provider does not send people back to {redirect}: {}",
                reply.complaint()
            );
            Finding::fault(
                check,
                found,
                format!("register exactly this redirect URI there: {redirect}"),
            )
        }
        None => Finding::unknown(
            check,
            format!("the provider shows a page instead of sending people back to {redirect}"),
            "sign in with a browser: the page says what it wants",
        ),
    }
}

/// The provider sent the browser back, with an error as it must: nobody is signed in.
fn returned(check: &str, redirect: &str, answer: &str) -> Finding {
    let pairs = answer.trim_start_matches(['?', '#', '&']).split('&');
    let pairs: Vec<(&str, String)> = pairs
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| {
            let spaced = value.replace('+', " ");
            (name, percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
        })
        .collect();
    let value =
        |wanted| pairs.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str());
    let silent = [
        "login_required",
        "interaction_required",
        "consent_required",
        "account_selection_required",
    ];
    match value("error") {
        Some(error) if !silent.contains(&error) => {
            let said = value("error_description").unwrap_or_default();
            Finding::complaint(
                check,
                &format!("{error}: {}", said.lines().next().unwrap_or_default()),
            )
        }
        _ => Finding::ok(check, format!("{redirect} is registered")),
    }
}

/// Where the provider sends people back to.
pub fn redirect_uri(sign_in: &SignIn) -> String {
    format!("{}/oauth/callback", sign_in.public_url)
}

/// Shows the gateway's proof with a code that does not exist: a provider that knows the client says that the code is
/// wrong, one that does not says that the client is.
pub async fn proof(sign_in: &SignIn, about: &Discovery, web: &Web) -> Finding {
    let check = "sign-in: client authentication";
    let Some(endpoint) = about.token_endpoint() else {
        return Finding::fault(
            check,
            "the provider has no token endpoint",
            "choose another `provider` in [sign-in]",
        );
    };
    let proof = match web.prove(&sign_in.client_id, &sign_in.proof, endpoint).await {
        Ok(proof) => proof,
        Err(fault) => {
            return Finding::fault(
                check,
                fault,
                "the gateway must be able to read it: [sign-in] in the configuration",
            );
        }
    };
    let redirect = redirect_uri(sign_in);
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", "doctor"),
        ("redirect_uri", redirect.as_str()),
        ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
    ];
    form.extend(proof.iter().map(|(name, value)| (*name, value.as_str())));
    let reply = match web.post(endpoint, &form).await {
        Ok(reply) => reply,
        Err(unreached) => return Finding::unreached(check, &unreached),
    };
    let kind = match sign_in.proof {
        ClientProof::None => "a public client, which proves nothing",
        ClientProof::Secret(_) => "the secret",
        ClientProof::Key(_) => "the private key",
        ClientProof::Certificate { .. } => "the certificate",
        ClientProof::Federated(_) => "the federated credential",
        ClientProof::ManagedIdentity(_) => "the managed identity",
    };
    match reply.json()["error"].as_str() {
        Some("invalid_grant" | "invalid_request") => {
            Finding::ok(check, format!("the provider takes {kind}"))
        }
        Some(_) => Finding::refused(check, &reply),
        None => Finding::unknown(
            check,
            format!("the token endpoint answered HTTP {}", reply.status),
            "sign in with a browser",
        ),
    }
}
