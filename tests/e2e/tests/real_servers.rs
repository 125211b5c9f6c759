//! Servers that people really run, behind the gateway: all together and each alone, for clients of
//! both eras.

use std::path::Path;

use e2e::{Client, Era, Gateway, Upstream, environment, node, node_module, run, source};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

/// What the servers work on: a folder with a file, which is a git repository.
async fn workspace() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("note.txt"), "written before the test").unwrap();
    let git = async |arguments: &[&str]| {
        run(Command::new("git").args(arguments).current_dir(folder.path())).await;
    };
    git(&["init", "-q", "-b", "main"]).await;
    git(&["add", "."]).await;
    git(&[
        "-c",
        "user.name=e2e",
        "-c",
        "user.email=e2e@example.com",
        "commit",
        "-q",
        "-m",
        "first",
    ])
    .await;
    folder
}

fn npm(package: &str) -> String {
    node_module(&format!("@modelcontextprotocol/{package}/dist/index.js")).display().to_string()
}

/// A profile that ships with Bartizan, its package replaced by the one that is installed here and its
/// path by the test's.
fn profile(name: &str, path: &str, folder: &Path) -> String {
    let text = std::fs::read_to_string(source(&format!("../../profiles/{name}.toml"))).unwrap();
    let package = format!("@modelcontextprotocol/server-{name}");
    let (node, script) = (node(), npm(&format!("server-{name}")));
    let text = match text.contains("\"npx\"") {
        true => text
            .replace("\"npx\"", &format!("{node:?}"))
            .replace(&format!("\"-y\", \"{package}\""), &format!("{script:?}")),
        false => {
            let program = format!("mcp-server-{name}");
            let (place, before) = match name {
                "sqlite" => ("sqlite", "\"--with\", \"mcp<2\", "),
                _ => ("py", ""),
            };
            text.replace("\"uvx\"", &format!("{:?}", environment(place, &program)))
                .replace(before, "")
                .replace(&format!("\"{program}\", "), "")
                .replace(&format!("\"{program}\""), "")
        }
    };
    assert!(!text.contains("npx") && !text.contains("uvx"), "{text}");
    if path.is_empty() { text } else { text.replace(path, &folder.display().to_string()) }
}

async fn gateway(folder: &Path) -> Gateway {
    let profiles = [
        ("everything", ""),
        ("filesystem", "/srv/docs"),
        ("memory", "/srv/memory"),
        ("git", "/srv/repository"),
        ("time", ""),
    ];
    let all = profiles.map(|(name, path)| profile(name, path, folder));
    Gateway::start(&all.concat()).await
}

/// One call of each server, by whatever the tools are called here.
async fn use_all(folder: &Path, call: impl AsyncFn(&str, &str, serde_json::Value) -> String) {
    let said = call("everything", "echo", json!({ "message": "hello" })).await;
    assert!(said.contains("hello"), "{said}");
    let sum = call("everything", "get-sum", json!({ "a": 2, "b": 40 })).await;
    assert!(sum.contains("42"), "{sum}");

    let note = folder.join("note.txt");
    let read = call("files", "read_text_file", json!({ "path": note })).await;
    assert_eq!(read, "written before the test");
    let outside = call("files", "read_text_file", json!({ "path": "/etc/hostname" })).await;
    assert!(outside.contains("denied"), "{outside}");

    let ada = json!({ "name": "Ada", "entityType": "person", "observations": ["wrote a program"] });
    call("memory", "create_entities", json!({ "entities": [ada] })).await;
    let graph = call("memory", "read_graph", json!({})).await;
    assert!(graph.contains("wrote a program"), "{graph}");

    let log = call("git", "git_log", json!({ "repo_path": folder, "max_count": 1 })).await;
    assert!(log.contains("first"), "{log}");

    let clock = call("time", "get_current_time", json!({ "timezone": "UTC" })).await;
    assert!(clock.contains("UTC"), "{clock}");
}

async fn together(era: Era) {
    let folder = workspace().await;
    let gateway = gateway(folder.path()).await;
    let client = Client::plain(&gateway.address, "/mcp", era).await;
    let tools = client.tools().await;
    for tool in [
        "everything__echo",
        "files__read_text_file",
        "memory__read_graph",
        "git__git_log",
        "time__get_current_time",
    ] {
        assert!(
            tools.iter().any(|name| name == tool),
            "{tool} is not in {tools:?}\n{}",
            gateway.log()
        );
    }
    assert_eq!(tools, client.tools().await, "the order of tools is not stable");
    use_all(folder.path(), async |server: &str, tool: &str, arguments| {
        client.call_text(&format!("{server}__{tool}"), arguments).await
    })
    .await;
    read_a_resource(&client, "everything+demo:").await;
}

async fn each_alone(era: Era) {
    let folder = workspace().await;
    let gateway = gateway(folder.path()).await;
    use_all(folder.path(), async |server: &str, tool: &str, arguments| {
        let path = format!("/mcp/{server}");
        Client::plain(&gateway.address, &path, era).await.call_text(tool, arguments).await
    })
    .await;
    let client = Client::plain(&gateway.address, "/mcp/everything", era).await;
    assert!(client.tools().await.contains(&"echo".to_owned()));
    read_a_resource(&client, "demo:").await;
}

async fn read_a_resource(client: &Client, scheme: &str) {
    let list = client.request("resources/list", json!({})).await;
    let uri = list["result"]["resources"][0]["uri"].as_str().unwrap_or_else(|| panic!("{list}"));
    assert!(uri.starts_with(scheme), "{uri}");
    let read = client.request("resources/read", json!({ "uri": uri })).await;
    let contents = &read["result"]["contents"][0];
    assert_eq!(contents["uri"], uri, "{read}");
    assert!(contents["text"].as_str().is_some_and(|text| !text.is_empty()), "{read}");
}

#[tokio::test]
async fn together_for_handshake_clients() {
    together(Era::Handshake).await;
}

#[tokio::test]
async fn together_for_stateless_clients() {
    together(Era::Stateless).await;
}

#[tokio::test]
async fn each_alone_for_handshake_clients() {
    each_alone(Era::Handshake).await;
}

#[tokio::test]
async fn each_alone_for_stateless_clients() {
    each_alone(Era::Stateless).await;
}

/// The same server over HTTP, in the transport of today and in that of 2024.
#[tokio::test]
async fn over_http_and_over_sse() {
    for (mode, path) in [("streamableHttp", "/mcp"), ("sse", "/sse")] {
        let upstream = Upstream::npm_everything(mode, path).await;
        let url = &upstream.url;
        let gateway = Gateway::start(&format!(
            "[servers.everything]\nurl = \"{url}\"\nallow-private = true\n"
        ))
        .await;
        for era in Era::ALL {
            let client = Client::plain(&gateway.address, "/mcp/everything", era).await;
            assert!(client.tools().await.contains(&"echo".to_owned()), "{mode}, {era:?}");
            let said = client.call_text("echo", json!({ "message": "hello" })).await;
            assert!(said.contains("hello"), "{mode}, {era:?}: {said}");
            read_a_resource(&client, "demo:").await;
        }
    }
}

#[tokio::test]
async fn a_database_in_its_folder_and_the_web_as_far_as_its_profile_goes() {
    let folder = workspace().await;
    let web = Upstream::script("servers/recorder.py", folder.path()).await;
    let port = web.url.rsplit(':').next().unwrap();
    let here = format!("host = \"127.0.0.2\", ports = [{port}], allow-private = true");
    let fetch = profile("fetch", "", folder.path()).replace("host = \"docs.example.com\"", &here);
    let sqlite = profile("sqlite", "/srv/data", folder.path());
    let open = "[trust]\non-first-use = \"approve\"\n[identity]\nloopback = \"open\"\n";
    let ca = folder.path().join("ca.pem").display().to_string();
    let text = format!("{open}{fetch}{sqlite}");
    let gateway = Gateway::start_with(&text, &[("SSL_CERT_FILE", ca.as_str())]).await;
    for era in Era::ALL {
        let client = Client::plain(&gateway.address, "/mcp", era).await;
        let query = async |tool: &str, query: String| {
            client.call_text(&format!("sqlite__{tool}"), json!({ "query": query })).await
        };
        let table = format!("notes_{era:?}");
        query("create_table", format!("CREATE TABLE {table} (text TEXT)")).await;
        query("write_query", format!("INSERT INTO {table} VALUES ('kept')")).await;
        let read = query("read_query", format!("SELECT text FROM {table}")).await;
        assert!(read.contains("kept"), "{read}\n{}", gateway.log());

        let fetched = async |url: String| {
            client.call_text("fetch__fetch", json!({ "url": url, "raw": true })).await
        };
        let page = fetched(format!("{}/page", web.url)).await;
        assert!(page.contains("you showed"), "{page}\n{}", gateway.log());
        let outside = fetched("https://example.com/".to_owned()).await;
        assert!(!outside.contains("Example Domain"), "{outside}");
    }
    assert!(folder.path().join("notes.db").is_file());
}
