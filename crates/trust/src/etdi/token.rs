//! What a token has to claim to be good for one tool in one version. Its signature, issuer, audience and
//! time were verified before.

use mcp::Json;

/// Why verified claims do not fit a tool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what it is")]
pub enum TokenFault {
    #[error("the definition has no {0}")]
    Definition(&'static str),
    #[error("the token lacks the scope {0}")]
    Scope(String),
    #[error("the token is for another tool")]
    Tool,
    #[error("the token is for another version of the tool")]
    Version,
}

/// Whether claims are bound to this definition: its id (`tool_id`, else `sub`), its version, and a scope for
/// each permission that it requires. More scopes than that do no harm here; what the caller may do is
/// decided elsewhere.
pub fn bound_to(claims: Json<'_>, definition: Json<'_>) -> Result<(), TokenFault> {
    let definition = super::members(definition).unwrap_or(definition);
    let of = |name: &'static str| {
        definition.get(name).and_then(Json::string).ok_or(TokenFault::Definition(name))
    };
    let (id, version) = (of("id")?, of("version")?);
    let claim = |name: &str| claims.get(name).and_then(Json::string);
    if claim("tool_id").or_else(|| claim("sub")) != Some(id) {
        return Err(TokenFault::Tool);
    }
    if claim("tool_version") != Some(version) {
        return Err(TokenFault::Version);
    }
    let scopes = scopes(claims);
    let permissions = definition.get("permissions").into_iter().flat_map(Json::items);
    for permission in permissions {
        let required = permission.get("required").and_then(Json::boolean) != Some(false);
        let scope = permission.get("scope").and_then(Json::string).unwrap_or_default();
        if required && !scopes.iter().any(|held| *held == scope) {
            return Err(TokenFault::Scope(scope.into_owned()));
        }
    }
    Ok(())
}

/// `scp`, `scope` or `scopes`: a list, or a text with spaces. All three count.
fn scopes(claims: Json<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for claim in ["scp", "scope", "scopes"].into_iter().filter_map(|name| claims.get(name)) {
        match claim.string() {
            Some(text) => found.extend(text.split(' ').map(str::to_owned)),
            None => {
                let items = claim.items().filter_map(Json::string);
                found.extend(items.map(|scope| scope.into_owned()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use mcp::Limits;

    use super::*;

    #[test]
    fn a_token_is_for_one_tool_in_one_version_with_its_scopes() {
        let read = |text: &'static str| Json::read(text.as_bytes(), &Limits::default()).unwrap();
        let tool = read(
            r#"{"id":"scan","version":"1.2.0","permissions":[{"scope":"doc:scan","required":true},{"scope":"net:out","required":false}]}"#,
        );
        for (claims, fault) in [
            (r#"{"tool_id":"scan","tool_version":"1.2.0","scp":"doc:scan"}"#, None),
            (
                r#"{"sub":"scan","tool_version":"1.2.0","scope":["net:out","doc:scan","more"]}"#,
                None,
            ),
            (
                r#"{"tool_id":"other","sub":"scan","tool_version":"1.2.0","scp":"doc:scan"}"#,
                Some(TokenFault::Tool),
            ),
            (r#"{"tool_version":"1.2.0","scp":"doc:scan"}"#, Some(TokenFault::Tool)),
            (
                r#"{"tool_id":"scan","tool_version":"1.1.0","scp":"doc:scan"}"#,
                Some(TokenFault::Version),
            ),
            (r#"{"tool_id":"scan","scp":"doc:scan"}"#, Some(TokenFault::Version)),
            (
                r#"{"tool_id":"scan","tool_version":"1.2.0","scp":"doc:scanner"}"#,
                Some(TokenFault::Scope("doc:scan".into())),
            ),
            (
                r#"{"tool_id":"scan","tool_version":"1.2.0"}"#,
                Some(TokenFault::Scope("doc:scan".into())),
            ),
        ] {
            assert_eq!(bound_to(read(claims), tool).err(), fault, "{claims}");
        }
    }
}
