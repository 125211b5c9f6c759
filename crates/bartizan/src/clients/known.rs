//! What well-known local servers reach, and hosts that an entry itself names: what an adopted server needs of the egress gate.

use std::collections::BTreeSet;

use super::server::Piece;

/// A server whose needs its own documentation states.
pub struct Known {
    /// Its package, without a version.
    package: &'static str,
    /// The hosts of the service that it is for.
    pub hosts: &'static [&'static str],
    /// The variable with its key, and where in requests the key goes; `None`: elsewhere, such as into bodies.
    pub key: Option<(&'static str, Slot)>,
}

/// Where a key stands in requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    Header(&'static str),
    Query(&'static str),
}

const fn known(
    package: &'static str,
    hosts: &'static [&'static str],
    key: Option<(&'static str, Slot)>,
) -> Known {
    Known { package, hosts, key }
}

const AUTHORIZATION: Slot = Slot::Header("Authorization");

/// The reference servers, and those that the services themselves publish.
const ALL: [Known; 15] = [
    known(
        "@brave/brave-search-mcp-server",
        &["api.search.brave.com"],
        Some(("BRAVE_API_KEY", Slot::Header("X-Subscription-Token"))),
    ),
    known(
        "@modelcontextprotocol/server-brave-search",
        &["api.search.brave.com"],
        Some(("BRAVE_API_KEY", Slot::Header("X-Subscription-Token"))),
    ),
    known(
        "@modelcontextprotocol/server-github",
        &["api.github.com"],
        Some(("GITHUB_PERSONAL_ACCESS_TOKEN", AUTHORIZATION)),
    ),
    known(
        "@modelcontextprotocol/server-gitlab",
        &["gitlab.com"],
        Some(("GITLAB_PERSONAL_ACCESS_TOKEN", AUTHORIZATION)),
    ),
    known(
        "@modelcontextprotocol/server-google-maps",
        &["maps.googleapis.com"],
        Some(("GOOGLE_MAPS_API_KEY", Slot::Query("key"))),
    ),
    known(
        "@modelcontextprotocol/server-slack",
        &["slack.com"],
        Some(("SLACK_BOT_TOKEN", AUTHORIZATION)),
    ),
    known(
        "@notionhq/notion-mcp-server",
        &["api.notion.com"],
        Some(("NOTION_TOKEN", AUTHORIZATION)),
    ),
    known("@sentry/mcp-server", &["sentry.io"], None),
    known("@stripe/mcp", &["api.stripe.com", "mcp.stripe.com"], None),
    known("@supabase/mcp-server-supabase", &["api.supabase.com"], None),
    known("@upstash/context7-mcp", &["context7.com"], None),
    known("exa-mcp-server", &["api.exa.ai"], None),
    known("firecrawl-mcp", &["api.firecrawl.dev"], None),
    known("perplexity-mcp", &["api.perplexity.ai"], None),
    known("tavily-mcp", &["api.tavily.com"], None),
];

impl Known {
    /// The server that a command starts, if it is one of them.
    pub fn of(args: &[Piece]) -> Option<&'static Known> {
        let package = |text: &str| {
            let at = text.get(1..).and_then(|rest| rest.find('@')).map(|at| at + 1);
            at.map_or(text.to_owned(), |at| text[..at].to_owned())
        };
        args.iter().find_map(|arg| {
            let named = package(&arg.text);
            ALL.iter().find(|known| known.package == named)
        })
    }
}

/// A host and what is spoken there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host {
    /// With its port, where that is not 443.
    pub name: String,
    /// It is HTTP: the gate looks into it.
    pub http: bool,
}

/// The hosts that stand in an entry as addresses, such as `https://x.example/api` or `postgres://user:key@db:5432/x`. Those of this machine
/// are left out: inside of its sandbox a server has a loopback of its own.
pub fn named<'t>(texts: impl Iterator<Item = &'t str>) -> BTreeSet<Host> {
    let host = |text: &str| {
        let url =
            url::Url::parse(text).ok().filter(|url| text.contains("://") && url.has_host())?;
        let name = url.host_str()?.to_ascii_lowercase();
        let http = matches!(url.scheme(), "http" | "https");
        let port = url.port().or_else(|| port_of(url.scheme()))?;
        if crate::config::is_this_machine(&name) || !plausible(&name) {
            return None;
        }
        let name = if port == 443 { name } else { format!("{name}:{port}") };
        Some(Host { name, http })
    };
    texts.filter_map(host).collect()
}

/// Letters that a name or an address of version 4 has: what else stands there is a variable, or for a person to look at.
fn plausible(name: &str) -> bool {
    name.contains('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

fn port_of(scheme: &str) -> Option<u16> {
    Some(match scheme {
        "https" => 443,
        "http" => 80,
        "postgres" | "postgresql" => 5432,
        "mysql" | "mariadb" => 3306,
        "mongodb" => 27017,
        "redis" => 6379,
        "rediss" => 6380,
        "amqp" => 5672,
        "amqps" => 5671,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_known_whatever_their_version() {
        let of = |text: &str| {
            let args = ["-y", text].map(|text| Piece { text: text.into(), at: 0..0 });
            Known::of(&args).map(|known| known.hosts[0])
        };
        for text in
            ["@modelcontextprotocol/server-github", "@modelcontextprotocol/server-github@2025.4.8"]
        {
            assert_eq!(of(text), Some("api.github.com"));
        }
        assert_eq!(of("tavily-mcp@latest"), Some("api.tavily.com"));
        for other in ["", "@", "server-github", "@evil/server-github", "tavily-mcp-x"] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn hosts_that_an_entry_names() {
        let texts = [
            "https://Jira.example.com/rest",
            "https://jira.example.com:8443",
            "postgresql://me:pw@db.example.com/x",
            "redis://10.0.0.7",
            "http://localhost:3000",
            "http://127.0.0.1",
            "https://${HOST}/x",
            "https://host/x",
            "file:///etc",
            "C:\\x",
            "-y",
            "mailto:a@b.example",
            "ftp://x.example",
        ];
        let found: Vec<(String, bool)> =
            named(texts.into_iter()).into_iter().map(|host| (host.name, host.http)).collect();
        let expected = [
            ("10.0.0.7:6379", false),
            ("db.example.com:5432", false),
            ("jira.example.com", true),
            ("jira.example.com:8443", true),
        ];
        assert_eq!(found, expected.map(|(name, http)| (name.to_owned(), http)));
    }
}
