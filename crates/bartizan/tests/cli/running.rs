//! A running gateway, and the commands that find it.

use serde_json::{Value, json};

use crate::home::Home;

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;

#[test]
fn from_nothing_to_a_call() {
    let home = Home::new();
    let up = home.up();
    assert!(up.post("/mcp", None, INITIALIZE).starts_with("HTTP/1.1 401"));
    let token = home.run(&["token", "mint", "laptop"]).ok().out;
    let answer = up.post("/mcp", Some(token.trim_end()), INITIALIZE);
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("\"protocolVersion\":\"2025-11-25\""),
        "{answer}"
    );
    assert_eq!(home.run(&["call", "demo", "echo", r#"{"text":"hi"}"#]).ok().out, "hi\n");
    let tail = home.run(&["audit", "tail", "--output", "json"]).ok().json();
    assert!(
        tail.as_array()
            .unwrap()
            .iter()
            .any(|record| record["name"] == "echo" && record["door"] == "local"),
        "{tail}"
    );
    up.signal("TERM");
    let (said, code) = up.end();
    assert_eq!(code, 0);
    for promised in [
        "\"mcpServers\"",
        "/mcp",
        "token mint NAME",
        "run.token",
        "state folder",
        "demo",
        "Not protected",
    ] {
        assert!(said.contains(promised), "{promised}: {said}");
    }
    assert_eq!(home.run(&["call", "demo", "echo", r#"{"text":"alone"}"#]).ok().out, "alone\n");
}

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;

#[cfg(unix)]
#[test]
fn the_token_of_the_run_is_the_owners_and_ends_with_the_run() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let file = home.path(".local/state/bartizan/run.token");
    let up = home.up();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let first = std::fs::read_to_string(&file).unwrap();
    assert!(up.post("/mcp", None, PING).starts_with("HTTP/1.1 401"));
    let answer = up.post("/mcp", Some(&first), PING);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // As if it came from elsewhere, through a proxy that nobody trusts.
    let elsewhere = up.post_with("/mcp", Some(&first), "X-Forwarded-For: 203.0.113.9\r\n", PING);
    assert!(elsewhere.starts_with("HTTP/1.1 401"), "{elsewhere}");
    up.signal("TERM");
    assert_eq!(up.end().1, 0);
    assert!(!file.exists(), "it ends with the run");

    let mut up = home.up();
    assert!(
        up.post("/mcp", Some(&first), PING).starts_with("HTTP/1.1 401"),
        "the next has another"
    );
    let second = std::fs::read_to_string(&file).unwrap();
    // A changed configuration changes nothing about it.
    home.write("bartizan.toml", "[identity]\nrecheck = \"6s\"\n");
    up.logged("is in use");
    assert!(up.post("/mcp", Some(&second), PING).starts_with("HTTP/1.1 200"));
}

/// Needs another user to be: only root can act as one.
#[cfg(target_os = "linux")]
#[test]
fn an_open_loopback_is_open_to_programs_of_the_same_user() {
    use std::os::unix::{fs::MetadataExt, process::CommandExt};
    let home = Home::with("[identity]\nloopback = \"open\"\n");
    let up = home.up();
    assert!(up.post("/mcp", None, PING).starts_with("HTTP/1.1 200"));
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    let (host, port) = up.address.split_once(':').unwrap();
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nContent-Length: {}\r\n\r\n{PING}",
        PING.len()
    );
    let script = format!("exec 3<>/dev/tcp/{host}/{port}; printf %s \"$REQUEST\" >&3; cat <&3");
    let mut nobody = std::process::Command::new("bash");
    nobody.args(["-c", &script]).env("REQUEST", request).uid(65534).gid(65534).current_dir("/");
    let answer = nobody.output().unwrap();
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}

#[test]
fn one_state_folder_has_one_gateway() {
    let home = Home::new();
    let _up = home.up();
    let second = home.run(&["up", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.code, 2);
    assert!(second.err.contains("already"), "{}", second.err);
}

#[test]
fn a_change_is_applied_and_a_broken_one_is_not() {
    let home = Home::with("[servers.one]\ncommand = \"sh\"\nenabled = false\n");
    let mut up = home.up();
    home.run(&["add", "two", "--no-connect", "--", env!("CARGO_BIN_EXE_bartizan"), "demo-server"])
        .ok();
    up.logged("the changed configuration is in use");
    let held = home.run(&["call", "two", "echo", r#"{"text":"now"}"#]);
    assert_eq!(held.code, 1);
    assert!(held.err.contains("bartizan trust approve two 'echo'"), "{}", held.err);
    home.run(&["trust", "approve", "two", "--yes"]).ok();
    assert_eq!(home.run(&["call", "two", "echo", r#"{"text":"now"}"#]).ok().out, "now\n");
    let good = home.read("bartizan.toml");
    home.write("bartizan.toml", &format!("lissten = 1\n{good}"));
    let log = up.logged("the old one goes on");
    assert!(log.contains("bartizan.toml:1:1") && log.contains("did you mean `listen`?"), "{log}");
    assert_eq!(
        home.run(&["call", "--config", "/dev/null", "two", "echo", r#"{"text":"still"}"#]).ok().out,
        "still\n"
    );
    home.write("bartizan.toml", &format!("separator = \".\"\n{good}"));
    up.logged("the changed configuration is in use");
    up.signal("HUP");
    up.logged("the changed configuration is in use");
    // Another file does not take the place of the one that it was started with.
    std::fs::create_dir_all(home.path(".config/bartizan")).unwrap();
    home.write(".config/bartizan/bartizan.toml", "");
    std::fs::remove_file(home.path("bartizan.toml")).unwrap();
    up.logged("the configuration file is gone");
    assert_eq!(
        home.run(&["call", "--config", "/dev/null", "two", "echo", r#"{"text":"on"}"#]).ok().out,
        "on\n"
    );
    home.write("bartizan.toml", &good);
    up.logged("the changed configuration is in use");
}

#[test]
fn the_first_file_that_appears_is_the_one_that_stays() {
    let home = Home::new();
    let mut up = home.up();
    std::fs::create_dir_all(home.path(".config/bartizan")).unwrap();
    home.write(".config/bartizan/bartizan.toml", "[roles.a]\nallow = [\"x/y\"]\n");
    up.logged("the changed configuration is in use");
    home.write("bartizan.toml", "");
    up.signal("HUP");
    up.logged("the changed configuration is in use");
    let mint = home.run(&["token", "mint", "t"]).ok();
    assert!(mint.err.contains("may call nothing yet"), "{}", mint.err);
}

/// The reason of a refusal is the owner's to know; an agent at another door is told the kind alone.
#[test]
fn the_owner_is_told_why_a_server_did_not_start() {
    let home = Home::with(
        "[servers.dead]\ncommand = \"sh\"\nargs = [\"-c\", \"echo its own complaint >&2; exit 3\"]\n\
         [servers.hub]\nurl = \"https://hub.example/mcp\"\ncredential = { value = \"Bearer ${env:NOT_SET_HERE}\" }\n",
    );
    let _up = home.up();
    let ran = home.run(&["call", "dead", "x"]);
    assert_eq!(ran.code, 1);
    for part in ["could not be started", "its own complaint", "bartizan logs dead"] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
    let ps = home.run(&["ps", "--output", "json"]).ok().json();
    assert!(ps[0]["last_fault"].is_string(), "{ps}");
    let hub = home.run(&["call", "hub", "x"]);
    assert!(
        hub.err.contains("server \"hub\" is not available. (") && hub.err.contains("NOT_SET_HERE"),
        "{}",
        hub.err
    );
    let lines = format!(
        "{INITIALIZE}\n{}\n{}\n",
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "x", "arguments": {}}})
    );
    let agent = home.run_with_input(&["stdio", "--server", "hub"], &lines).out;
    assert!(agent.contains("is not available.") && !agent.contains("NOT_SET_HERE"), "{agent}");
}

/// A disk that takes no more, by a limit on the length of files.
#[test]
#[cfg(target_os = "linux")]
fn a_log_that_can_not_be_written_is_told_everywhere() {
    let home = Home::new();
    let mut up = home.up_as("trap '' XFSZ; exec \"$0\" \"$@\"");
    let echo = || home.run(&["call", "demo", "echo", r#"{"text":"hi"}"#]);
    echo().ok();
    let journal = home.path(".local/state/bartizan/audit");
    let longest = std::fs::read_dir(journal).unwrap().flatten();
    let longest = longest.filter_map(|file| Some(file.metadata().ok()?.len())).max().unwrap();
    up.limit_files(longest + 100);
    let refused = echo();
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("restart the gateway"), "{}", refused.err);
    let log = up.logged("the audit log can't be written");
    assert!(log.contains("ERROR") && log.contains("restart the gateway"), "{log}");
    let rows = home.run(&["posture", "--output", "json"]).ok().json();
    let audit = rows.as_array().unwrap().iter().find(|row| row["name"] == "audit").unwrap();
    assert_eq!(audit["state"], "off", "{audit}");
}

#[test]
#[cfg(unix)]
fn keys_that_others_may_read_are_refused_and_open_files_are_told() {
    use std::os::unix::fs::PermissionsExt;
    let home =
        Home::with("[servers.a]\nurl = \"https://a.example/\"\ncredential = { value = \"abc\" }\n");
    let mode = |path: &str, mode: u32| {
        std::fs::set_permissions(home.path(path), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    drop(home.up());
    for key in ["seal.key", "audit/audit.key"] {
        let key = format!(".local/state/bartizan/{key}");
        mode(&key, 0o644);
        let refused = home.run(&["up", "--listen", "127.0.0.1:0"]);
        assert_eq!(refused.code, 1, "{}", refused.err);
        assert!(refused.err.contains("chmod 600"), "{}", refused.err);
        mode(&key, 0o600);
    }
    mode(".local/state/bartizan", 0o777);
    mode("bartizan.toml", 0o666);
    let mut up = home.up();
    let log = up.logged("chmod 700");
    assert!(log.contains("can change this file") && log.contains("chmod 600"), "{log}");
    mode("bartizan.toml", 0o644);
    assert!(home.run(&["check"]).ok().err.contains("can read the credential"));
    mode("bartizan.toml", 0o600);
    assert!(!home.run(&["check"]).ok().err.contains("chmod"));
}

#[test]
fn stdio_is_the_same_with_and_without_a_running_gateway() {
    let home = Home::new();
    let lines = format!(
        "{INITIALIZE}\n{}\n{}\n",
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"})
    );
    let names = |args: &[&str]| {
        let ran = home.run_with_input(args, &lines).ok();
        let replies = ran.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let list = replies
            .into_iter()
            .find(|reply| reply["id"] == 2)
            .unwrap_or_else(|| panic!("{}\n{}", ran.out, ran.err));
        list["result"]["tools"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tool| tool["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let all = ["demo__add", "demo__echo", "demo__greet", "demo__time"];
    assert_eq!(names(&["stdio"]), all);
    let up = home.up();
    assert_eq!(names(&["stdio"]), all);
    assert_eq!(names(&["stdio", "--server", "demo"]), ["add", "echo", "greet", "time"]);
    drop(up);
}

#[test]
fn stdio_does_not_trust_the_folder_it_is_started_in() {
    let home = Home::with("[servers.evil]\ncommand = \"sh\"\nargs = [\"-c\", \"touch owned\"]\n");
    let lines = format!(
        "{INITIALIZE}\n{}\n{}\n",
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"})
    );
    let ran = home.run_with_input(&["stdio"], &lines).ok();
    assert!(ran.out.contains("demo__echo"), "{}", ran.out);
    assert!(!home.path("owned").exists());
}

#[test]
fn processes_are_listed_heard_and_restarted() {
    let script = "echo complaint $TOKEN >&2; exec \"$0\" demo-server";
    let home = Home::with(&format!(
        "[servers.one]\ncommand = \"sh\"\nargs = [\"-c\", {script:?}, {bartizan:?}]\n\
         env = {{ TOKEN = \"${{env:SECRET_OF_ONE}}\" }}\nsandbox = {{ read = [{bartizan:?}] }}\n\
         on-first-use = \"approve\"\n",
        bartizan = env!("CARGO_BIN_EXE_bartizan"),
    ));
    let none = home.run(&["ps"]);
    assert_eq!(none.code, 2);
    assert!(none.err.contains("no gateway is running"), "{}", none.err);

    let _up = home.up_with(&[("SECRET_OF_ONE", "hunter2-hunter2")]);
    let ps = || home.run(&["ps", "--output", "json"]).ok().json();
    assert_eq!(ps()[0]["state"], "not started");
    let echo = || home.run(&["call", "one", "echo", r#"{"text":"hi"}"#]).ok();
    echo();
    let first = ps();
    assert_eq!(first[0]["state"], "running", "{first}");
    assert_eq!(first[0]["level"], "strong");
    assert_eq!(first[0]["for"], "owner");
    let said = home.run(&["logs", "one"]).ok().out;
    assert!(said.contains("complaint [secret]") && !said.contains("hunter2"), "{said}");
    assert!(home.run(&["restart", "one"]).ok().out.contains("ended 1 process"));
    assert_eq!(ps()[0]["state"], "not started");
    echo();
    assert_ne!(ps()[0]["pid"], first[0]["pid"]);
    let unknown = home.run(&["restart", "onne"]);
    assert!(unknown.code == 2 && unknown.err.contains("did you mean `one`"), "{}", unknown.err);

    let spawned = home.run(&["audit", "tail", "-n", "50", "--output", "json"]).ok().json();
    let spawned = spawned.as_array().unwrap().iter().filter(|record| record["kind"] == "spawn");
    let details: Vec<_> = spawned.map(|record| record["detail"].as_str().unwrap()).collect();
    assert!(
        details.iter().any(|text| text.starts_with("strong: sh -c echo complaint")),
        "{details:?}"
    );
    assert!(details.contains(&"its processes were ended by the owner"), "{details:?}");
}
