//! What a `scope` parameter asks for: of one resource at most.

use crate::{
    State,
    directory::{App, GRAPH},
    fault::Fault,
};

/// Scopes, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    /// The application whose scopes they are; Graph where nothing but OpenID's scopes is asked for.
    pub resource: String,
    /// How the request named the resource.
    pub spelled: String,
    /// The scopes of the resource, without its name. Empty for `.default`.
    pub names: Vec<String>,
    pub default: bool,
    pub openid: bool,
    pub offline: bool,
}

impl Scope {
    pub fn read(state: &State, text: &str) -> Result<Scope, Fault> {
        let mut scope = Scope::default();
        for item in text.split_whitespace() {
            match item {
                "openid" => scope.openid = true,
                "profile" | "email" => {}
                "offline_access" => scope.offline = true,
                _ => scope.add(state, item)?,
            }
        }
        if scope.resource.is_empty() {
            scope.resource = GRAPH.to_owned();
            "https://graph.microsoft.com".clone_into(&mut scope.spelled);
        }
        Ok(scope)
    }

    fn add(&mut self, state: &State, item: &str) -> Result<(), Fault> {
        let (spelled, name) =
            item.rsplit_once('/').unwrap_or(("https://graph.microsoft.com", item));
        let app = resource(state, spelled).ok_or_else(|| Fault::about(500011, spelled))?;
        if !self.resource.is_empty() && self.resource != app.id {
            return Err(Fault::new(700022));
        }
        self.resource.clone_from(&app.id);
        spelled.clone_into(&mut self.spelled);
        if name == ".default" {
            self.default = true;
        } else if app.scopes.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            self.names.push(name.to_owned());
        } else {
            // A bare name is Graph's, and Graph does not have it.
            return Err(Fault::about(650053, name));
        }
        Ok(())
    }

    /// What the token says: all scopes of the resource for `.default`.
    pub fn granted(&self, app: &App) -> Vec<String> {
        if self.default { app.scopes.clone() } else { self.names.clone() }
    }

    /// What the response says.
    pub fn spelled(&self, app: &App) -> String {
        let granted = self.granted(app).into_iter().map(|name| format!("{}/{name}", self.spelled));
        let openid = if self.openid { "openid profile email" } else { "" };
        let all: Vec<String> = openid.split_whitespace().map(String::from).chain(granted).collect();
        all.join(" ")
    }
}

/// The application by what a scope or a `resource` calls it.
pub(crate) fn resource<'a>(state: &'a State, spelled: &str) -> Option<&'a App> {
    let spelled = spelled.strip_suffix('/').unwrap_or(spelled);
    // Where Graph is here, is how whoever was told so calls it.
    let spelled = if spelled == state.origin { "https://graph.microsoft.com" } else { spelled };
    state.directory.apps.iter().find(|app| app.uri == spelled || app.id == spelled)
}

/// RFC 8707's parameter must name the scopes' own resource: an MCP server's URL never does.
pub(crate) fn check_resource(
    state: &State,
    named: Option<&str>,
    scope: &Scope,
) -> Result<(), Fault> {
    match named {
        Some(named) if resource(state, named).is_none_or(|app| app.id != scope.resource) => {
            Err(Fault::new(9010010))
        }
        _ => Ok(()),
    }
}
