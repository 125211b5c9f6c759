//! `import` and `run`: keys go from the clients' files into the vault, and from there to who needs them.

use std::{
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
};

use serde_json::json;

use crate::{
    clients::{CLIENTS, fixture, random},
    home::Home,
};

#[test]
fn what_the_clients_have_is_taken_over_and_nothing_is_left_in_plain_sight() {
    let home = Home::new();
    home.write("bartizan.toml", "# mine\n\n[servers.filesystem]\ncommand = \"other\" # stays\n");
    let mut keys = Vec::new();
    for (_, name, path, _) in CLIENTS {
        let (text, found) = fixture(name);
        home.put(path, &text);
        keys.extend(found);
    }
    let before = home.everything();
    let shown = home.run(&["import", "--dry-run"]).ok();
    assert_eq!(home.everything_of_clients(), of_clients(&before));
    let done = home.run(&["import", "--yes", "--output", "json"]).ok();
    assert_eq!(home.everything_of_clients(), of_clients(&before));
    let rows = done.json()["servers"].as_array().unwrap().clone();
    let row = |server: &str| rows.iter().find(|row| row["server"] == server).unwrap().clone();

    let config = home.read("bartizan.toml");
    assert!(config.starts_with("# mine\n\n[servers.filesystem]\ncommand = \"other\" # stays\n"));
    for (server, name) in [
        ("filesystem", "filesystem-2"),
        ("brave-search", "brave-search"),
        ("Perplexity", "perplexity"),
        ("github", "github"),
        ("My MCP Server", "my-mcp-server"),
        ("context7", "context7"),
        ("tracker", "tracker"),
        ("remote-server", "remote-server"),
    ] {
        assert_eq!(row(server)["name"], name, "{}", row(server));
        assert!(config.contains(&format!("[servers.{name}]")), "{config}");
    }
    // What can't be kept apart from its key, or stands for what only the client knows.
    for server in ["db", "older", "local-server"] {
        assert!(row(server)["state"].as_str().unwrap().starts_with("stays: "), "{}", row(server));
    }
    for text in [&shown.out, &shown.err, &done.out, &done.err, &config] {
        assert!(keys.iter().all(|key| !text.contains(key.as_str())), "{text}");
    }
    for wanted in [
        "BRAVE_API_KEY = { secret = \"${secret:BRAVE_API_KEY}\", hosts = [\"api.search.brave.com\"], headers = [\"X-Subscription-Token\"] }",
        "[servers.brave-search.egress]\nhosts = [\"api.search.brave.com\"]",
        "PERPLEXITY_API_KEY = \"${secret:perplexity-key}\"",
        "url = \"https://tracker.example.com/sse\"",
        "value = \"Bearer ${secret:tracker-Authorization}\"",
        "LOCAL_TOKEN = \"${env:LOCAL_TOKEN}\"",
    ] {
        assert!(config.contains(wanted), "{wanted}\n{config}");
    }
    assert_eq!(done.json()["unset"], json!(["HUB_TOKEN", "perplexity-key"]));
    home.run(&["check"]).ok();
    let sealed = home.run(&["secret", "list", "--output", "json"]).ok();
    assert!(sealed.out.contains("BRAVE_API_KEY"), "{}", sealed.out);
    // Once more: everything is here already.
    let again = home.run(&["import", "--yes", "--output", "json"]).ok();
    assert_eq!(again.json()["written"], false, "{}", again.out);
    assert_eq!(home.read("bartizan.toml"), config);

    for client in ["claude-desktop", "lm-studio", "jetbrains", "junie", "gemini", "codex"] {
        home.run(&["connect", client, "--yes"]).ok();
    }
    let clients: Vec<String> = home.run(&["scan", "--no-ports", "--output", "json"]).json()["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["client"].as_str().unwrap().to_owned())
        .collect();
    assert!(!clients.iter().any(|client| ["lm-studio", "junie", "codex"].contains(&&**client)));
    for (path, bytes) in home.everything() {
        if !path.contains("/.claude.json") && path.contains("state") {
            let text = String::from_utf8_lossy(&bytes);
            assert!(keys.iter().all(|key| !text.contains(key.as_str())), "{path}");
        }
    }
}

type Files = std::collections::BTreeMap<String, Vec<u8>>;

fn of_clients(all: &Files) -> Files {
    let of = |path: &String| CLIENTS.iter().any(|client| path.ends_with(client.2));
    all.iter()
        .filter(|(path, _)| of(path))
        .map(|(path, bytes)| (path.clone(), bytes.clone()))
        .collect()
}

impl Home {
    fn everything_of_clients(&self) -> Files {
        of_clients(&self.everything())
    }
}

#[test]
fn one_key_in_two_clients_is_sealed_once_and_two_keys_apart() {
    let home = Home::new();
    let entry = |key: &str| json!({"command": "a", "args": ["x"], "env": {"A_TOKEN": key}});
    let servers = |key: &str| json!({"mcpServers": {"a": entry(key)}}).to_string();
    home.put(".cursor/mcp.json", &servers(&random(1)));
    home.put(".lmstudio/mcp.json", &servers(&random(1)));
    home.put(".gemini/settings.json", &servers(&random(2)));
    let done = home.run(&["import", "--yes", "--output", "json"]).ok();
    let names: Vec<String> = done.json()["servers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {}", row["client"].as_str().unwrap(), row["name"].as_str().unwrap()))
        .collect();
    assert_eq!(names, ["cursor a", "gemini a-2", "lm-studio a"]);
    let config = home.read(".config/bartizan/bartizan.toml");
    assert!(
        config.contains("${secret:A_TOKEN}") && config.contains("${secret:A_TOKEN-2}"),
        "{config}"
    );
}

#[test]
fn a_command_gets_secrets_for_its_lifetime_and_its_end_is_ours() {
    let home = Home::new();
    home.run_with_input(&["secret", "set", "github"], "hush-hush-hush").ok();
    home.write(
        "bartizan.toml",
        "[servers.a]\ncommand = \"a\"\nenv = { A = \"1 ${secret:github}\", B = \"2\" }\n",
    );
    let run = |args: &[&str]| home.run(&[&["run"], args].concat());
    let secret = ["--secret", "github=GH", "--", "sh", "-c", "echo $GH; exit 7"];
    let done = run(&secret);
    assert_eq!((done.out.as_str(), done.code), ("hush-hush-hush\n", 7));
    assert_eq!(
        run(&["--server", "a", "--", "sh", "-c", "echo $A-$B"]).ok().out,
        "1 hush-hush-hush-2\n"
    );
    for wrong in [
        &["--", "true"][..],
        &["--secret", "github", "--", "true"],
        &["--secret", "nobody=X", "--", "true"],
        &["--server", "b", "--", "true"],
        &["--secret", "github=GH", "--", "no-such-program"],
        &["--secret", "github=GH", "--", "/no/such/program"],
    ] {
        assert_eq!(run(wrong).code, 2, "{wrong:?}");
    }
    let records = home.run(&["audit", "search", "--output", "json"]).ok();
    assert!(records.out.contains("sh was given GH=${secret:github}"), "{}", records.out);
    assert!(!records.out.contains("hush-hush"));
    assert!(!records.out.contains("no-such-program"), "nobody was given anything");

    // Signals reach the command itself.
    let mut child = home
        .command(&["run", "--secret", "github=GH", "--", "sh", "-c", "echo on; exec sleep 60"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 3];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
    Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(15));
}
