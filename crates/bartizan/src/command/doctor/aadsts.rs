//! What Entra's error numbers mean for a gateway, and what mends them.

/// What to do about one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explained {
    /// AADSTS…
    pub code: u32,
    /// What is wrong.
    pub means: &'static str,
    /// Who changes what, and where.
    pub mend: &'static str,
}

const fn explained(code: u32, means: &'static str, mend: &'static str) -> Explained {
    Explained { code, means, mend }
}

/// In the order of their numbers.
pub const TABLE: &[Explained] = &[
    explained(
        50011,
        "the redirect URI is not registered with the application",
        "App registrations > Authentication > Web: add the redirect URI exactly as it is here",
    ),
    explained(
        50013,
        "the signature of the assertion is not accepted",
        "the token or the client assertion was signed by somebody else, or has been changed on its way",
    ),
    explained(
        50020,
        "the user belongs to another tenant",
        "invite the user as a guest, or name that tenant in `tenants`",
    ),
    explained(
        50034,
        "the user does not exist in this tenant",
        "check the tenant and the user's name",
    ),
    explained(
        50057,
        "the user's account is disabled",
        "enable it, or leave it out: this is what ends a session",
    ),
    explained(
        50058,
        "nobody is signed in in this browser",
        "sign in again; no silent sign-in is possible",
    ),
    explained(
        50076,
        "Conditional Access asks for multi-factor authentication",
        "sign in again and answer the second factor",
    ),
    explained(50078, "the second factor has expired", "sign in again and answer the second factor"),
    explained(
        50079,
        "the user has to set up a second factor first",
        "the user signs in once in a browser and enrols",
    ),
    explained(
        50105,
        "the user is not assigned to the application",
        "Enterprise applications > Users and groups: assign the user or a group, with a role",
    ),
    explained(
        50173,
        "the session was revoked: the password changed, or an administrator ended it",
        "sign in again",
    ),
    explained(
        50194,
        "the application knows one tenant and was asked for by /common",
        "write the tenant's id in `tenants`, or make the application multi-tenant",
    ),
    explained(
        50196,
        "the same request came too often in a loop",
        "wait a few minutes; if it goes on, report it",
    ),
    explained(
        53000,
        "Conditional Access asks for a compliant device",
        "the user signs in from a managed device",
    ),
    explained(
        53003,
        "a Conditional Access policy blocks this sign-in",
        "Conditional Access > Sign-in logs show which policy; exclude the application there, or meet it",
    ),
    explained(
        54005,
        "the authorization code was used before",
        "sign in again; nothing has to change",
    ),
    explained(
        65001,
        "nobody has consented to what the application asks for",
        "API permissions > Grant admin consent, or let users consent",
    ),
    explained(65004, "the user declined to consent", "sign in again and accept"),
    explained(70008, "the authorization code or refresh token has expired", "sign in again"),
    explained(
        70011,
        "a scope is not valid",
        "check `scopes` in [sign-in]: `openid profile offline_access` and those of one API",
    ),
    explained(
        70016,
        "the sign-in on the other device has not happened yet",
        "nothing: the client goes on asking",
    ),
    explained(70043, "sign-in frequency: Conditional Access wants a new sign-in", "sign in again"),
    explained(
        90002,
        "there is no such tenant in this cloud",
        "check the tenant's id, and `cloud` if it is not the public one",
    ),
    explained(
        90094,
        "an administrator has to consent",
        "API permissions > Grant admin consent, as an administrator",
    ),
    explained(
        500011,
        "there is no application of that name in the tenant",
        "check the application ID URI that the scope begins with, and that it has a service principal in this tenant",
    ),
    explained(
        500131,
        "the assertion was made for another application",
        "the token's `aud` must be this application",
    ),
    explained(
        500133,
        "the assertion is not valid now",
        "check this machine's clock; the token may have expired",
    ),
    explained(
        501481,
        "the PKCE verifier does not match",
        "sign in again; if it goes on, something answers in between",
    ),
    explained(
        650053,
        "the application asks for a scope that the API does not have",
        "write scopes with their API: `api://APPLICATION/NAME`; a bare name is taken for Graph's",
    ),
    explained(
        650057,
        "the API is not among those that the application was allowed",
        "API permissions > Add a permission",
    ),
    explained(
        700016,
        "the application is not known in this tenant",
        "check `client-id` and the tenant; the Application (client) ID is meant, not the Object ID",
    ),
    explained(700022, "scopes of two APIs were asked for at once", "keep the scopes of one API"),
    explained(
        700025,
        "the application is a public client, and showed a credential",
        "register the redirect URI under Web, not under Mobile and desktop applications",
    ),
    explained(
        700027,
        "the certificate that signed is not the application's",
        "Certificates & secrets > Certificates: upload the certificate that this gateway uses",
    ),
    explained(700082, "the refresh token has expired because nobody used it", "sign in again"),
    explained(
        700211,
        "no federated credential has this issuer",
        "Certificates & secrets > Federated credentials: the issuer must be the token's `iss`, to the letter",
    ),
    explained(
        700212,
        "no federated credential has this audience",
        "the token must be made for api://AzureADTokenExchange",
    ),
    explained(
        700213,
        "no federated credential has this subject",
        "Certificates & secrets > Federated credentials: the subject must be the token's `sub`; of a managed identity that is its object (principal) ID",
    ),
    explained(
        700229,
        "a token of Entra itself can't stand in for a secret, unless it is a managed identity's",
        "use the managed identity's token, or a certificate",
    ),
    explained(900144, "a parameter is missing", "report it: the gateway sends all that are needed"),
    explained(
        901002,
        "`resource` is not understood here",
        "report it: the gateway never sends `resource` to Entra",
    ),
    explained(
        1002012,
        "a program can ask only for all of its roles of an API",
        "the scope ends with /.default",
    ),
    explained(
        7000215,
        "the client secret is wrong",
        "Certificates & secrets: make a new secret and keep its Value (not its Secret ID)",
    ),
    explained(
        7000218,
        "the application must prove itself and showed nothing",
        "set a secret, a certificate or a federated credential",
    ),
    explained(
        7000222,
        "the client secret has expired",
        "Certificates & secrets: make a new one; a certificate or a federated credential does not expire unseen",
    ),
    explained(
        7002138,
        "the federated credential differs from the token in upper and lower case only",
        "write issuer and subject exactly as the token has them",
    ),
    explained(
        9001023,
        "programs can't sign in by /common or /consumers",
        "write the tenant's id in `tenants`",
    ),
    explained(
        9010010,
        "`resource` does not fit the scopes",
        "let clients sign in at this gateway, which keeps `resource` to itself; a client that goes to Entra directly sends it and fails",
    ),
];

/// The first number in an error's description that is known.
pub fn explain(description: &str) -> Option<&'static Explained> {
    let code = code(description)?;
    TABLE.iter().find(|explained| explained.code == code)
}

/// The number in `AADSTS50011: …`.
pub fn code(description: &str) -> Option<u32> {
    let (_, rest) = description.split_once("AADSTS")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_descriptions() {
        let found = explain(
            "invalid_client: AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 1",
        );
        assert_eq!(found.map(|explained| explained.code), Some(7_000_215));
        for text in ["", "AADSTS", "AADSTSx", "AADSTS99999999999999999999: x", "AADSTS1: x"] {
            assert_eq!(explain(text), None, "{text}");
        }
    }

    #[test]
    fn in_order_and_once_each() {
        assert!(TABLE.is_sorted_by(|a, b| a.code < b.code));
    }
}
