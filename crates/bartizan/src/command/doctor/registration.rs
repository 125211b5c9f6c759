//! How the application is registered with Entra: Graph's `application`, which `az ad app show` prints too.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::finding::Finding;

/// What the configuration needs of the application.
#[derive(Debug, Default)]
pub struct Needed<'a> {
    pub redirect_uri: Option<&'a str>,
    /// App roles that the configuration gives something to.
    pub roles: Vec<String>,
    /// Whether it looks at groups.
    pub groups: bool,
}

/// A credential that ends so soon is spoken of.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Looks at everything that a sign-in rests on.
pub fn examine(application: &Value, needed: &Needed<'_>, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(needed.redirect_uri.map(|uri| redirect(application, uri)));
    findings.push(version(application));
    findings.push(optional(application));
    findings.push(roles(application, &needed.roles));
    if needed.groups {
        findings.push(groups(application));
    }
    findings.extend(credentials(application, now));
    findings
}

fn texts<'a>(list: &'a Value, member: &'a str) -> impl Iterator<Item = &'a str> {
    list.as_array().into_iter().flatten().filter_map(move |item| item[member].as_str())
}

fn redirect(application: &Value, uri: &str) -> Finding {
    let check = "registration: redirect URI";
    let of = |platform: &str| {
        let uris = application[platform]["redirectUris"].as_array();
        uris.is_some_and(|uris| uris.iter().any(|known| known == uri))
    };
    if of("web") {
        return Finding::ok(check, uri);
    }
    let wrong = ["spa", "publicClient"].into_iter().find(|platform| of(platform));
    let found = match wrong {
        Some(platform) => {
            format!("{uri} is registered under `{platform}`, where no credential is taken")
        }
        None => format!("{uri} is not registered"),
    };
    Finding::fault(
        check,
        found,
        format!("App registrations > Authentication > Add a platform > Web: {uri}"),
    )
}

fn version(application: &Value) -> Finding {
    let check = "registration: token version";
    match application["api"]["requestedAccessTokenVersion"].as_i64() {
        Some(2) => Finding::ok(check, "requestedAccessTokenVersion is 2"),
        _ => Finding::warning(
            check,
            "the application gets tokens of version 1, whose audience may be the api:// URI and whose names of people can be reassigned",
            "App registrations > Manifest: api.requestedAccessTokenVersion = 2",
        ),
    }
}

fn optional(application: &Value) -> Finding {
    let check = "registration: optional claims";
    let held: Vec<&str> = texts(&application["optionalClaims"]["accessToken"], "name").collect();
    let missing: Vec<&str> =
        ["idtyp", "xms_cc"].into_iter().filter(|name| !held.contains(name)).collect();
    if missing.is_empty() {
        return Finding::ok(check, "access tokens carry idtyp and xms_cc");
    }
    Finding::warning(
        check,
        format!(
            "access tokens lack {}: idtyp tells programs from people, xms_cc which clients can answer a claims challenge",
            missing.join(" and ")
        ),
        "App registrations > Token configuration > Add optional claim > Access",
    )
}

fn roles(application: &Value, needed: &[String]) -> Finding {
    let check = "registration: app roles";
    let mend = "App registrations > App roles; then assign them under Enterprise applications > Users and groups";
    let roles = application["appRoles"].as_array().map(Vec::as_slice).unwrap_or_default();
    let enabled = roles.iter().filter(|role| role["isEnabled"] != false);
    let known: Vec<&str> = enabled.filter_map(|role| role["value"].as_str()).collect();
    let missing: Vec<&str> =
        needed.iter().map(String::as_str).filter(|role| !known.contains(role)).collect();
    match (missing.as_slice(), known.as_slice()) {
        ([], []) => Finding::warning(
            check,
            "the application has none: programs without a user are never let in",
            mend,
        ),
        ([], known) => Finding::ok(check, known.join(", ")),
        (missing, _) => Finding::fault(
            check,
            format!(
                "the configuration names roles that the application does not have: {}",
                missing.join(", ")
            ),
            mend,
        ),
    }
}

fn groups(application: &Value) -> Finding {
    let check = "registration: groups";
    let claims = application["groupMembershipClaims"].as_str().unwrap_or("None");
    if claims == "None" {
        return Finding::fault(
            check,
            "the configuration looks at groups, and tokens carry none",
            "App registrations > Token configuration > Add groups claim",
        );
    }
    Finding::ok(check, format!("groupMembershipClaims is {claims}"))
}

fn credentials(application: &Value, now: Timestamp) -> Vec<Finding> {
    let kinds = [("passwordCredentials", "client secret"), ("keyCredentials", "certificate")];
    let look = |(member, kind): (&str, &str)| {
        let check = format!("registration: {kind}");
        let ends = texts(&application[member], "endDateTime")
            .filter_map(|end| end.parse::<Timestamp>().ok());
        // The one that lasts longest is what counts.
        let end = ends.max()?;
        let left = end.duration_since(now);
        let day = end.strftime("%Y-%m-%d").to_string();
        let mend = "Certificates & secrets: make a new one before that, and put it here; a federated credential does not end";
        Some(if left.is_negative() {
            Finding::fault(&check, format!("ended on {day}"), mend)
        } else if left < SOON {
            Finding::warning(&check, format!("ends on {day}"), mend)
        } else {
            Finding::ok(&check, format!("until {day}"))
        })
    };
    kinds.into_iter().filter_map(look).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::command::doctor::finding::State;

    const REDIRECT: &str = "https://mcp.example.com/oauth/callback";

    fn states(application: &Value) -> Vec<(String, State)> {
        let needed = Needed {
            redirect_uri: Some(REDIRECT),
            roles: vec!["Tools.Admin".into()],
            groups: true,
        };
        let now = "2026-11-26T00:00:00Z".parse().unwrap();
        let found = examine(application, &needed, now);
        found.into_iter().map(|finding| (finding.check, finding.state)).collect()
    }

    #[test]
    fn what_the_documentation_registers_is_right() {
        let text = include_str!("../../../../../docs/entra/application.json");
        let application: Value = serde_json::from_str(text).unwrap();
        for (check, state) in states(&application) {
            assert_eq!(state, State::Ok, "{check}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let found = states(&json!({
            "web": {"redirectUris": ["https://mcp.example.com/"]},
            "appRoles": [{"value": "Tools.Admin", "isEnabled": false}],
            "passwordCredentials": [{"endDateTime": "2026-11-01T00:00:00Z"}],
            "keyCredentials": [{"endDateTime": "2026-11-01T00:00:00Z"}, {"endDateTime": "2026-12-01T00:00:00Z"}],
        }));
        let expected = [
            ("redirect URI", State::Fault),
            ("token version", State::Warning),
            ("optional claims", State::Warning),
            ("app roles", State::Fault),
            ("groups", State::Fault),
            ("client secret", State::Fault),
            ("certificate", State::Warning),
        ];
        let expected = expected.map(|(check, state)| (format!("registration: {check}"), state));
        assert_eq!(found, expected);
    }

    #[test]
    fn nothing_to_read_is_no_panic() {
        for application in [
            json!(null),
            json!([]),
            json!({"appRoles": 7, "api": "x", "web": {"redirectUris": {}}}),
        ] {
            assert!(!states(&application).is_empty());
        }
    }
}
