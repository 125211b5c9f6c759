//! `server.json`: what the MCP registry says of a server, and which of its packages can run here.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::Full;
use sandbox::package::Digest;
use serde_json::Value;
use upstream::{Fetch, HttpClient};

use crate::cli::RegistryArgs;

/// The longest document.
const DOCUMENT: usize = 1 << 20;
const DEADLINE: Duration = Duration::from_secs(300);
/// Files lie elsewhere than a release's page says.
const REDIRECTS: usize = 5;

/// A package that a document names.
#[derive(Debug, PartialEq, Eq)]
pub struct Named {
    pub from: From,
    /// The version that the document is of.
    pub version: String,
    /// Of the package's file, where the document says it.
    pub sha256: Option<Digest>,
    /// Arguments that the document fixes.
    pub args: Vec<String>,
}

/// Where it comes from, and what it is called there.
#[derive(Debug, PartialEq, Eq)]
pub enum From {
    Bundle(String),
    Npm(String),
    Pypi(String),
}

/// Reads a document, from a file or an `https` URL.
pub async fn read(place: &str, args: &RegistryArgs) -> anyhow::Result<Named> {
    let text = bytes(place, DOCUMENT, args).await?;
    let document: Value =
        serde_json::from_slice(&text).with_context(|| format!("{place} is not a server.json"))?;
    choose(&document).with_context(|| place.to_owned())
}

/// What stands in a file or behind a URL, up to a bound.
pub async fn bytes(place: &str, limit: usize, args: &RegistryArgs) -> anyhow::Result<Bytes> {
    if !place.contains("://") {
        let length = std::fs::metadata(Path::new(place)).with_context(|| place.to_owned())?.len();
        if length > limit as u64 {
            bail!("{place} is longer than {limit} bytes");
        }
        return Ok(std::fs::read(place)?.into());
    }
    let client = HttpClient::new()?;
    let rules = Fetch { bytes: limit, deadline: DEADLINE, allow_private: args.allow_private };
    let mut url: Uri = place.parse().with_context(|| format!("`{place}`"))?;
    for _ in 0..REDIRECTS {
        // Without TLS only where the network is one's own.
        if url.scheme_str() != Some("https") && !args.allow_private {
            bail!("{url} is not an https URL");
        }
        let request = Request::get(&url).header(header::ACCEPT, "*/*").body(Full::default())?;
        let response = client.fetch(request, rules).await.with_context(|| url.to_string())?;
        match response.headers().get(header::LOCATION) {
            Some(location) if response.status().is_redirection() => {
                let location = location.to_str().context("a redirect to nowhere")?;
                url = location.parse().with_context(|| format!("a redirect to `{location}`"))?;
            }
            _ if response.status().is_success() => return Ok(response.into_body()),
            _ => bail!("{url} answered {}", response.status()),
        }
    }
    bail!("{place} redirects more than {REDIRECTS} times")
}

/// The first package that can run here.
fn choose(document: &Value) -> anyhow::Result<Named> {
    // A registry's answer has the document as a member.
    let server = if document["server"].is_object() { &document["server"] } else { document };
    let packages = server["packages"].as_array().context("it names no packages")?;
    let mut reasons = Vec::new();
    for package in packages {
        match named(package, server) {
            Ok(named) => return Ok(named),
            Err(reason) => reasons.push(format!("{reason:#}")),
        }
    }
    bail!("none of its packages can run here: {}", reasons.join("; "))
}

fn named(package: &Value, server: &Value) -> anyhow::Result<Named> {
    let text = |name: &str| package[name].as_str().filter(|text| !text.is_empty());
    let kind = text("registryType").context("a package without a registryType")?;
    let transport = package["transport"]["type"].as_str().unwrap_or("stdio");
    if transport != "stdio" {
        bail!("the {kind} package speaks {transport}, not stdio");
    }
    let identifier = text("identifier").context("a package without an identifier")?.to_owned();
    let version = text("version").or(server["version"].as_str()).unwrap_or_default().to_owned();
    let exact = !version.is_empty() && !version.contains(['^', '~', '*', '>', '<', ' ', '|']);
    let digest = |text: &str| format!("sha256:{}", text.to_ascii_lowercase()).parse();
    let sha256 = text("fileSha256").map(digest).transpose();
    let sha256 = sha256.map_err(|()| anyhow::anyhow!("its fileSha256 is none"))?;
    let from = match kind {
        "npm" | "pypi" if !exact => bail!("the {kind} package has no exact version"),
        "npm" => From::Npm(identifier),
        "pypi" => From::Pypi(identifier),
        "mcpb" if sha256.is_none() => bail!("the mcpb package has no fileSha256"),
        "mcpb" => From::Bundle(identifier),
        "oci" => bail!("an image is started by command = \"docker\", by its digest"),
        other => bail!("{other} packages can't be locked"),
    };
    Ok(Named { from, version, sha256, args: fixed(&package["packageArguments"])? })
}

/// Arguments with a value. One without is the entry's to give, behind these.
fn fixed(arguments: &Value) -> anyhow::Result<Vec<String>> {
    let mut fixed = Vec::new();
    for argument in arguments.as_array().into_iter().flatten() {
        let value = argument["value"].as_str();
        if value.is_some_and(|value| value.contains('{')) {
            bail!("its argument `{}` has variables", value.unwrap_or_default());
        }
        match (argument["type"].as_str(), argument["name"].as_str(), value) {
            (Some("named"), Some(name), Some(value)) => {
                fixed.extend([name.to_owned(), value.to_owned()]);
            }
            (Some("positional"), _, Some(value)) => fixed.push(value.to_owned()),
            _ => {}
        }
    }
    Ok(fixed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn package(kind: &str, more: Value) -> Value {
        let mut package = json!({
            "registryType": kind, "identifier": "x", "version": "1.2.3", "transport": {"type": "stdio"},
        });
        package.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        package
    }

    fn chosen(packages: &[Value]) -> Result<Named, String> {
        let document = json!({"name": "a/b", "version": "1.2.3", "packages": packages});
        let answer = json!({"server": document.clone(), "_meta": {}});
        let (plain, wrapped) = (choose(&document), choose(&answer));
        assert_eq!(plain.as_ref().ok(), wrapped.as_ref().ok());
        plain.map_err(|fault| format!("{fault:#}"))
    }

    #[test]
    fn the_first_that_can_run_here() {
        let sha = "AB".repeat(32);
        let arguments = json!([
            {"type": "positional", "value": "mcp"}, {"type": "named", "name": "--mode", "value": "x"},
            {"type": "positional", "valueHint": "folder"},
        ]);
        let named = chosen(&[
            package("oci", json!({})),
            package("npm", json!({"version": "^1"})),
            package("pypi", json!({"transport": {"type": "sse"}})),
            package("mcpb", json!({"fileSha256": sha, "packageArguments": arguments})),
            package("npm", json!({})),
        ]);
        let named = named.unwrap();
        assert_eq!(named.from, From::Bundle("x".into()));
        assert_eq!(named.sha256.unwrap().hex(), "ab".repeat(32));
        assert_eq!(named.args, ["mcp", "--mode", "x"]);
        assert_eq!(chosen(&[package("npm", json!({}))]).unwrap().from, From::Npm("x".into()));
    }

    #[test]
    fn what_can_not_be_known_is_refused_with_the_reason() {
        for (package, reason) in [
            (package("mcpb", json!({})), "no fileSha256"),
            (package("mcpb", json!({"fileSha256": "12"})), "fileSha256 is none"),
            (package("pypi", json!({"version": ">=1"})), "no exact version"),
            (package("nuget", json!({})), "can't be locked"),
            (package("oci", json!({})), "docker"),
            (
                package(
                    "npm",
                    json!({"packageArguments": [{"type": "positional", "value": "{x}"}]}),
                ),
                "variables",
            ),
        ] {
            let fault = chosen(&[package]).unwrap_err();
            assert!(fault.contains(reason), "{fault}");
        }
        assert!(chosen(&[]).is_err() && choose(&json!({"remotes": []})).is_err());
    }
}
