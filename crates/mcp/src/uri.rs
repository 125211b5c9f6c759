//! Resource URIs in the aggregate: `server+scheme:rest`, but `ui://server/rest` and `skill://server/rest`,
//! since hosts know those schemes by name. Both are reversible, and work for URI templates too.

use crate::ServerName;
use crate::name::is_server_name;

/// Schemes that hosts look for: they stay in front, and the server becomes the authority.
const KEPT: [&str; 2] = ["ui://", "skill://"];

impl ServerName {
    /// The aggregate's form of one of this server's URIs (or URI templates).
    pub fn wrap_uri(&self, uri: &str) -> String {
        for scheme in KEPT {
            if let Some(rest) = uri.strip_prefix(scheme) {
                return [scheme, self.as_str(), "/", rest].concat();
            }
        }
        [self.as_str(), "+", uri].concat()
    }

    /// Splits an aggregate URI into (server name, the server's own URI). The name is well formed, but not
    /// checked to exist.
    pub fn unwrap_uri(uri: &str) -> Option<(&str, String)> {
        for scheme in KEPT {
            if let Some(rest) = uri.strip_prefix(scheme) {
                let (server, rest) = rest.split_once('/')?;
                return is_server_name(server).then(|| (server, [scheme, rest].concat()));
            }
        }
        // A server name holds no `+`, so the first one is ours.
        let (server, own) = uri.split_once('+')?;
        // Never the result of wrapping: those schemes have a form of their own.
        let other_form = KEPT.iter().any(|scheme| own.starts_with(scheme));
        (is_server_name(server) && !other_form).then(|| (server, own.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_and_unwraps() {
        let server = ServerName::new("git-hub").unwrap();
        for (own, wrapped) in [
            ("file:///a+b", "git-hub+file:///a+b"),
            ("git+ssh://x/y", "git-hub+git+ssh://x/y"),
            ("ui://panel/main.html", "ui://git-hub/panel/main.html"),
            ("skill://{name}/SKILL.md", "skill://git-hub/{name}/SKILL.md"),
            ("UI://panel", "git-hub+UI://panel"),
            ("{scheme}://x{?q}", "git-hub+{scheme}://x{?q}"),
            ("relative", "git-hub+relative"),
        ] {
            assert_eq!(server.wrap_uri(own), wrapped);
            assert_eq!(ServerName::unwrap_uri(wrapped), Some(("git-hub", own.to_owned())));
        }
    }

    #[test]
    fn one_uri_has_one_form() {
        for uri in [
            "https://host/a+b",
            "ui://git-hub",
            "git+ui://panel",
            "Git+file:x",
            "+file:x",
            "file:x",
            "",
        ] {
            assert_eq!(ServerName::unwrap_uri(uri), None, "{uri}");
        }
    }
}
