//! `add`, `remove`, `list`, `call`: without a running gateway.

use crate::home::Home;

const CONFIG: &str = "# my gateway\nlisten = \"127.0.0.1:9999\" # not the usual one\n\n# the first\n[servers.first]\ncommand = \"sh\"\n\n[limits]\ndepth = 32\n";

#[test]
fn adding_and_removing_leave_the_rest_as_it_is() {
    let home = Home::with(CONFIG);
    home.run(&[
        "add",
        "files",
        "--no-connect",
        "--env",
        "MODE=${env:PATH}",
        "--",
        "sh",
        "-c",
        "exit 0",
    ])
    .ok();
    let added = home.read("bartizan.toml");
    assert!(added.contains("[servers.files]\ncommand = \"sh\"\nargs = [\"-c\", \"exit 0\"]\nenv = { MODE = \"${env:PATH}\" }\n"), "{added}");
    home.run(&["check"]).ok();
    home.run(&["remove", "files"]).ok();
    assert_eq!(home.read("bartizan.toml"), CONFIG);
}

/// What is not there is not replaced by the folder above it, which may be a whole home.
#[test]
#[cfg(target_os = "linux")]
fn a_path_that_is_missing_grants_nothing() {
    let home = Home::with(CONFIG);
    let missing = home.path("new.db");
    let missing = missing.to_str().unwrap();
    for args in [&["--db-path", missing][..], &[&format!("--db={missing}")]] {
        let ran = home.run(&[&["add", "db", "--no-connect", "--", "cat"], args].concat());
        assert_eq!(ran.code, 2, "{}", ran.err);
        assert!(ran.err.contains(&format!("`{missing}` is not there")), "{}", ran.err);
        assert_eq!(home.read("bartizan.toml"), CONFIG);
    }
    // Nor is that folder proposed.
    home.write(
        "bartizan.toml",
        &format!("[servers.db]\ncommand = \"cat\"\nargs = [{missing:?}]\n"),
    );
    let checked = home.run(&["check"]).ok();
    let folder = home.path("");
    let granted = format!("read = [\"{}\"]", folder.to_str().unwrap().trim_end_matches('/'));
    assert!(!checked.err.contains(&granted), "{}", checked.err);
    home.write("new.db", "");
    home.run(&["remove", "db"]).ok();
    home.run(&["add", "db", "--no-connect", "--", "cat", "--db-path", missing]).ok();
    assert!(home.read("bartizan.toml").contains(&format!("read = [{missing:?}]")));
}

#[test]
fn a_server_that_would_hang_without_a_network_is_told_of_at_once() {
    let home = Home::with("[servers.files]\ncommand = \"npx\"\nargs = [\"-y\", \"thing\"]\n");
    for args in [&["call", "files", "x"][..], &["trust", "approve", "files"]] {
        let ran = home.run(args);
        assert_eq!(ran.code, 2, "{}", ran.err);
        assert!(ran.err.contains("bartizan lock files"), "{}", ran.err);
    }
    let list = home.run(&["list", "--output", "json"]).ok().json();
    assert_eq!(list[0]["state"], "not locked: bartizan lock files");
}

#[test]
fn adding_a_remote_server() {
    let home = Home::with(CONFIG);
    let ran = home
        .run(&[
            "add",
            "hub",
            "https://mcp.example.com/mcp",
            "--header",
            "Authorization=Bearer ${env:NOT_SET_HERE}",
            "--no-connect",
        ])
        .ok();
    assert!(ran.err.contains("environment variable NOT_SET_HERE is not set"), "{}", ran.err);
    let added = home.read("bartizan.toml");
    assert!(added.contains("[servers.hub]\nurl = \"https://mcp.example.com/mcp\"\n\n[servers.hub.credential]\nheader = \"Authorization\"\nvalue = \"Bearer ${env:NOT_SET_HERE}\"\n"), "{added}");
    home.run(&["add", "near", "http://127.0.0.1:3000/mcp", "--no-connect"]).ok();
    assert!(
        home.read("bartizan.toml").contains(
            "[servers.near]\nurl = \"http://127.0.0.1:3000/mcp\"\nallow-private = true\n"
        )
    );
    home.run(&["remove", "hub"]).ok();
    assert!(!home.read("bartizan.toml").contains("hub"));
}

#[test]
fn what_can_not_be_added_changes_nothing() {
    let home = Home::with(CONFIG);
    for (args, why) in [
        (&["add", "first", "https://x.example/mcp"][..], "there is a server `first`"),
        (&["add", "files", "npx"], "a command comes after `--`"),
        (&["add", "My_Files", "--", "sh"], "call it `my-files`"),
        (
            &["add", "hub", "https://x.example/mcp", "--header", "Authorization"],
            "not a name and a value",
        ),
        (&["add", "hub", "https://x.example/mcp", "--header", "Host=x"], "host"),
    ] {
        let ran = home.run(args);
        assert_eq!(ran.code, 2, "{args:?}");
        assert!(ran.err.contains(why), "{args:?}: {}", ran.err);
    }
    assert_eq!(home.read("bartizan.toml"), CONFIG);
    let broken = Home::with("nonsense = 1\n");
    assert_eq!(broken.run(&["add", "files", "--", "sh"]).code, 2);
    assert_eq!(broken.read("bartizan.toml"), "nonsense = 1\n");
}

#[test]
fn credentials_that_would_go_astray_are_refused() {
    let remote = "[servers.hub]\nurl = \"https://mcp.example.com/mcp\"\n";
    let exchange = |kind: &str| {
        format!(
            "{remote}shared = true\n[servers.hub.exchange]\nkind = \"{kind}\"\ntenant = \"contoso.example\"\n\
             client-id = \"bartizan\"\nclient-secret = \"${{env:PATH}}\"\nscopes = [\"api://hub/.default\"]\n"
        )
    };
    let client = "client-id = \"bartizan\"\nclient-secret = \"${env:PATH}\"\n";
    let issuer = "issuer = \"https://login.example.com\"\n";
    let for_all = format!("[servers.hub.oauth]\ngrant = \"client\"\n{client}");
    for (config, why) in [
        (format!("{remote}shared = true\noauth = {{}}\n"), "each caller's own"),
        (exchange("entra-on-behalf-of"), "each caller's own"),
        (exchange("token-exchange"), "each caller's own"),
        (format!("{remote}{for_all}"), "add issuer"),
        (format!("{remote}[servers.hub.oauth]\n{client}"), "add issuer"),
    ] {
        let ran = Home::with(&config).run(&["check"]);
        assert_eq!(ran.code, 2, "{config}");
        assert!(ran.err.contains(why), "{config}: {}", ran.err);
    }
    for config in [
        format!("{remote}oauth = {{}}\n"),
        format!("{remote}shared = true\n{for_all}{issuer}"),
        exchange("client-credentials"),
    ] {
        Home::with(&config).run(&["check"]).ok();
    }
}

#[test]
fn the_first_server_makes_the_users_file_and_shows_what_it_offers() {
    let home = Home::new();
    let ran = home.run(&["add", "mine", "--", env!("CARGO_BIN_EXE_bartizan"), "demo-server"]).ok();
    assert!(ran.out.contains("echo") && ran.out.contains("Returns the given text."), "{}", ran.out);
    assert!(home.read(".config/bartizan/bartizan.toml").starts_with("[servers.mine]\n"));
    let again = home
        .run(&[
            "add",
            "more",
            "--output",
            "json",
            "--",
            env!("CARGO_BIN_EXE_bartizan"),
            "demo-server",
        ])
        .ok();
    assert_eq!(again.json()["offer"]["tools"][0]["name"], "add");
}

#[test]
fn what_add_showed_is_usable_once_it_is_confirmed() {
    let home = Home::new();
    let server = env!("CARGO_BIN_EXE_bartizan");
    let added = home.run(&["add", "mine", "--", server, "demo-server"]).ok();
    assert!(added.err.contains("bartizan trust approve mine"), "{}", added.err);
    let held = home.run(&["call", "mine", "echo", r#"{"text":"hi"}"#]);
    assert_eq!((held.code, held.out.as_str()), (1, ""), "{}", held.err);
    assert!(held.err.contains("bartizan trust approve mine 'echo'"), "{}", held.err);
    let waits = home.run(&["trust", "status", "--check", "--output", "json"]);
    assert_eq!(waits.code, 1);
    assert_eq!(waits.json()[0]["state"], "new");
    assert_eq!(home.run(&["trust", "approve", "mine"]).code, 2, "nobody is there to confirm");
    home.run(&["trust", "approve", "mine", "--yes"]).ok();
    assert_eq!(home.run(&["call", "mine", "echo", r#"{"text":"hi"}"#]).ok().out, "hi\n");
    home.run(&["trust", "status", "--check"]).ok();
    // Under another name it is the same server; nothing has to be approved again.
    home.run(&["remove", "mine"]).ok();
    home.run(&["add", "yours", "--no-connect", "--", server, "demo-server"]).ok();
    assert_eq!(home.run(&["call", "yours", "echo", r#"{"text":"hi"}"#]).ok().out, "hi\n");
    home.run(&["trust", "revoke", "yours", "echo"]).ok();
    assert_eq!(home.run(&["call", "yours", "echo", r#"{"text":"hi"}"#]).code, 1);
    assert_eq!(home.run(&["call", "yours", "add", r#"{"a":1,"b":2}"#]).ok().out, "3\n");
    let misspelt = home.run(&["trust", "revoke", "yours", "ehco"]);
    assert!(misspelt.code == 2 && misspelt.err.contains("`echo`"), "{}", misspelt.err);
    // With --yes there is nothing left to do.
    let command = format!("exec {server} demo-server");
    let other = home.run(&["add", "third", "--yes", "--read", server, "--", "sh", "-c", &command]);
    assert!(other.ok().err.contains("approved"));
    assert_eq!(home.run(&["call", "third", "echo", r#"{"text":"hi"}"#]).ok().out, "hi\n");
    let said = home.run(&["audit", "search", "--output", "json"]).ok().json();
    let kinds = |decision: &str| {
        let said = said.as_array().unwrap().iter();
        said.filter(|r| r["kind"] == "trust" && r["detail"].as_str().unwrap().starts_with(decision))
            .count()
    };
    assert!(kinds("approve") > 4 && kinds("revoke") == 1, "{said}");
}

#[test]
fn a_server_that_does_not_answer_stays_and_is_told() {
    let home = Home::new();
    let ran = home.run(&["add", "dead", "--", "sh", "-c", "exit 3"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("it does not answer") && ran.err.contains("bartizan remove dead"),
        "{}",
        ran.err
    );
    let list = home.run(&["list", "--output", "json"]).ok().json();
    assert_eq!(list[0]["name"], "dead");
    assert_eq!(list[0]["tools"], serde_json::Value::Null);
    assert_ne!(list[0]["state"], "ok");
}

#[test]
fn lists() {
    let home = Home::new();
    let demo = home.run(&["list", "--output", "json"]).ok().json();
    assert_eq!(
        (demo[0]["name"].as_str(), demo[0]["tools"].as_u64(), demo[0]["state"].as_str()),
        (Some("demo"), Some(4), Some("ok"))
    );
    let home = Home::with(
        "[servers.a]\ncommand = \"sh\"\nenabled = false\n[servers.b]\nurl = \"https://b.example/mcp\"\n",
    );
    let list = home.run(&["list", "--offline", "--output", "json"]).ok().json();
    assert_eq!(
        (list[0]["state"].as_str(), list[1]["state"].as_str()),
        (Some("disabled"), Some("not asked"))
    );
    assert_eq!(list[1]["where"], "https://b.example/mcp");
    let none = Home::with("").run(&["list"]).ok();
    assert!(none.out.starts_with("no servers"), "{}", none.out);
}

#[test]
fn removing_what_is_not_there() {
    let home = Home::with(CONFIG);
    let ran = home.run(&["remove", "frist"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("did you mean `first`?"), "{}", ran.err);
    assert_eq!(Home::new().run(&["remove", "x"]).code, 2);
}

#[test]
fn calling_a_tool() {
    let home = Home::new();
    assert_eq!(home.run(&["call", "demo", "echo", r#"{"text":"höi"}"#]).ok().out, "höi\n");
    assert_eq!(
        home.run_with_input(&["call", "demo", "add", "-"], r#"{"a":1,"b":2}"#).ok().out,
        "3\n"
    );
    let raw =
        home.run(&["call", "demo", "echo", r#"{"text":"x"}"#, "--output", "json"]).ok().json();
    assert_eq!(raw["content"][0]["text"], "x");
    let asked = home.run(&["call", "demo", "greet"]).ok();
    assert_eq!(asked.out, "Hello, whoever you are!\n");
    assert!(asked.err.contains("declined"), "{}", asked.err);
}

#[test]
fn calls_that_fail() {
    let home = Home::new();
    let tool_error = home.run(&["call", "demo", "add", "{}"]);
    assert_eq!((tool_error.code, tool_error.out.as_str()), (1, "a and b must be numbers\n"));
    let no_tool = home.run(&["call", "demo", "fly"]);
    assert_eq!((no_tool.code, no_tool.out.as_str()), (1, ""), "{}", no_tool.err);
    let misspelt = home.run(&["call", "demo", "ehco"]);
    assert_eq!(misspelt.code, 2);
    assert!(misspelt.err.contains("did you mean `echo`?"), "{}", misspelt.err);
    let no_server = home.run(&["call", "dmeo", "echo"]);
    assert_eq!(no_server.code, 2);
    assert!(no_server.err.contains("did you mean `demo`?"), "{}", no_server.err);
    for arguments in ["{", "[]", "{\"a\":1,\"a\":2}"] {
        assert_eq!(home.run(&["call", "demo", "add", arguments]).code, 2, "{arguments}");
    }
    let tail = |flag| home.run(&["audit", "tail", flag, "--output", "json"]).ok().json();
    let failed = tail("--failed");
    let failed = failed.as_array().unwrap();
    assert!(failed.iter().any(|record| record["outcome"] == "tool_error"), "{failed:?}");
    let refused = tail("--refused");
    let refused = refused.as_array().unwrap();
    assert!(refused.iter().all(|record| record["outcome"] != "tool_error"), "{refused:?}");
    assert!(refused.iter().all(|record| failed.contains(record)), "{refused:?}");
}

#[test]
fn posture_is_honest_about_what_was_loosened() {
    let state = |config: &str, name: &str| {
        let rows = Home::with(config).run(&["posture", "--output", "json"]).ok().json();
        let row = rows.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone();
        row["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state("", "identity"), "on");
    assert_eq!(state("[identity]\nloopback = \"open\"\n", "identity"), "off");
    assert_eq!(state("", "policy"), "off");
    assert_eq!(state("[roles.a]\nallow = [\"*\"]\n", "policy"), "partial");
    assert_eq!(state("[roles.a]\nallow = [\"x/y\"]\n", "policy"), "on");
    assert_eq!(state("", "private addresses"), "on");
    assert_eq!(
        state(
            "[servers.a]\nurl = \"https://a.example/\"\nallow-private = true\n",
            "private addresses"
        ),
        "partial"
    );
    assert_eq!(
        state(
            "[servers.a]\nurl = \"https://a.example/\"\ncredential = { value = \"abc\" }\n",
            "credentials"
        ),
        "off"
    );
    assert_eq!(state("", "audit"), "partial");
    let level =
        |level: &str| format!("[servers.a]\ncommand = \"sh\"\nsandbox.level = \"{level}\"\n");
    assert_eq!(state(&level("strong"), "sandbox: levels"), "on");
    assert_eq!(state(&level("basic"), "sandbox: levels"), "partial");
    assert_eq!(state(&level("off"), "sandbox: levels"), "off");
}

/// Each layer is tried on this machine, and each must hold for the tests to mean anything.
#[test]
#[cfg(target_os = "linux")]
fn posture_tries_what_the_sandbox_forbids() {
    let rows = Home::with("").run(&["posture", "--output", "json"]).ok().json();
    let tried: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["name"].as_str().unwrap().starts_with("sandbox: "))
        .collect();
    assert_eq!(tried.len(), 12, "{tried:#?}");
    assert!(tried.iter().all(|row| row["state"] == "on"), "{tried:#?}");
}
