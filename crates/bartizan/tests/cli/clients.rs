//! `scan`, `connect`, `disconnect`: the files of AI clients, as their documentation shows them.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    sync::{Arc, Mutex},
};

use inspect::{Class, rules};
use serde_json::{Value, json};

use crate::home::{Home, repository};

/// The client, its fixture, where it keeps it on Linux, and how many keys stand in it.
pub const CLIENTS: [(&str, &str, &str, usize); 13] = [
    ("claude-code", "claude-code.json", ".claude.json", 2),
    ("claude-desktop", "claude-desktop.json", ".config/Claude/claude_desktop_config.json", 1),
    ("codex", "codex.toml", ".codex/config.toml", 1),
    ("continue", "continue.yaml", ".continue/config.yaml", 1),
    ("cursor", "cursor.json", ".cursor/mcp.json", 1),
    ("gemini", "gemini.json", ".gemini/settings.json", 1),
    ("jetbrains", "jetbrains.json", ".config/github-copilot/intellij/mcp.json", 1),
    ("jetbrains-ai", "jetbrains-ai.json", ".ai/mcp/mcp.json", 1),
    ("junie", "junie.json", ".junie/mcp/mcp.json", 1),
    ("lm-studio", "lm-studio.json", ".lmstudio/mcp.json", 1),
    ("vscode", "vscode.json", ".config/Code/User/mcp.json", 1),
    ("windsurf", "windsurf.json", ".codeium/windsurf/mcp_config.json", 1),
    ("zed", "zed.json", ".config/zed/settings.json", 1),
];

/// A value that only chance makes; the same for the same number.
pub fn random(seed: u64) -> String {
    const LETTERS: &[u8] = b"A7b2C9d4E1f6G3h8J5kLmNpQrStUvWxYz0";
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(LETTERS[usize::try_from(state % LETTERS.len() as u64).unwrap()])
    };
    // Each class of characters is in it, whatever chance says.
    format!("k2J8{}", (0..28).map(|_| letter()).collect::<String>())
}

/// A fixture with keys in it.
pub fn fixture(name: &str) -> (String, Vec<String>) {
    let path = repository("crates/bartizan/tests/clients").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let mut keys = Vec::new();
    let mut filled = String::new();
    for (at, part) in text.split("@RANDOM@").enumerate() {
        if at > 0 {
            keys.push(random(name.len() as u64 * 31 + at as u64));
            filled.push_str(keys.last().unwrap());
        }
        filled.push_str(part);
    }
    (filled, keys)
}

impl Home {
    /// Writes a file and the folders above it.
    pub fn put(&self, path: &str, text: &str) {
        std::fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        self.write(path, text);
    }

    /// Every file with its content.
    pub fn everything(&self) -> BTreeMap<String, Vec<u8>> {
        let mut all = BTreeMap::new();
        let mut folders = vec![self.path("")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => {
                        let bytes = std::fs::read(&path).unwrap_or_default();
                        all.insert(path.display().to_string(), bytes);
                    }
                }
            }
        }
        all
    }
}

#[test]
fn every_client_is_scanned_connected_and_brought_back() {
    for (client, name, path, count) in CLIENTS {
        let home = Home::new();
        let (text, keys) = fixture(name);
        home.put(path, &text);
        let scan = home.run(&["scan", "--no-ports", "--output", "json"]);
        assert_eq!(scan.code, 1, "{client}: {}", scan.err);
        let found = scan.json()["keys"].as_array().unwrap().clone();
        assert_eq!(found.len(), count, "{client}: {found:#?}");
        let lines: Vec<&str> = text.lines().collect();
        for key in &found {
            assert_eq!(key["client"], client);
            let line = lines[usize::try_from(key["line"].as_u64().unwrap()).unwrap() - 1];
            assert!(keys.iter().any(|key| line.contains(key)), "{client}: {key}");
        }

        let shown = home.run(&["connect", client, "--replace", "--dry-run"]).ok();
        assert_eq!(home.read(path), text);
        let connected =
            home.run(&["connect", client, "--replace", "--yes", "--output", "json"]).ok();
        let now = home.read(path);
        assert!(now.contains("bartizan") && now.contains("stdio"), "{now}");
        for said in [&scan.out, &shown.out, &connected.out, &connected.err, &now] {
            assert!(keys.iter().all(|key| !said.contains(key.as_str())), "{client}: {said}");
        }
        assert_eq!(home.run(&["scan", "--no-ports"]).ok().err, "");
        // The backup is sealed.
        for (file, bytes) in home.everything() {
            let text = String::from_utf8_lossy(&bytes);
            assert!(keys.iter().all(|key| !text.contains(key.as_str())), "{client}: {file}");
        }
        let again = home.run(&["connect", client]).ok();
        assert_eq!(again.out, "nothing to change: Bartizan is the only entry already\n");

        home.run(&["disconnect", client, "--yes"]).ok();
        assert_eq!(home.read(path), text, "{client}");
        assert_eq!(home.run(&["disconnect", client, "--yes"]).code, 2);
    }
}

#[test]
fn options_of_an_ide_are_looked_through_and_left_alone() {
    let home = Home::new();
    let path = ".config/JetBrains/IntelliJIdea2025.1/options/llm.mcpServers.xml";
    let key = format!("ghp_{}", &"16C7e42F292c6912E7710c838347Ae178B4a"[..36]);
    let text = format!(
        "<application>\n  <component name=\"McpApplicationServerCommands\">\n    <commands>\n      <McpServerCommand>\n        \
         <option name=\"name\" value=\"github\" />\n        <option name=\"programPath\" value=\"npx\" />\n        \
         <envs><env name=\"GITHUB_PERSONAL_ACCESS_TOKEN\" value=\"{key}\" /></envs>\n      </McpServerCommand>\n    \
         </commands>\n  </component>\n</application>\n"
    );
    home.put(path, &text);
    let scan = home.run(&["scan", "--no-ports", "--output", "json"]);
    assert_eq!(scan.code, 1, "{}", scan.err);
    let found = scan.json()["keys"].as_array().unwrap().clone();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((&found[0]["client"], &found[0]["line"]), (&json!("jetbrains-ai"), &json!(7)));
    assert!(!scan.out.contains(&key));
    home.run(&["import", "--yes"]).ok();
    assert_eq!(home.read(path), text);
}

#[test]
fn what_is_not_about_servers_stays() {
    for (_, name, path, _) in CLIENTS {
        for (ending, mark) in [("\n", ""), ("\r\n", "\u{feff}")] {
            let home = Home::new();
            let text = format!("{mark}{}", fixture(name).0.replace('\n', ending));
            home.put(path, &text);
            let client = CLIENTS.iter().find(|one| one.1 == name).unwrap().0;
            home.run(&["connect", client, "--replace", "--yes"]).ok();
            let now = home.read(path);
            assert!(now.starts_with(mark), "{name}");
            assert_eq!(now.matches('\n').count(), now.matches(ending).count(), "{name}");
            for kept in kept(name) {
                assert!(now.contains(&kept.replace('\n', ending)), "{name}: {kept}\n{now}");
            }
            home.run(&["disconnect", "--all", "--yes"]).ok();
            assert_eq!(home.read(path), text, "{name}");
        }
    }
}

/// What has to be in the file afterwards, byte for byte.
fn kept(name: &str) -> &'static [&'static str] {
    match name {
        "claude-code.json" => &[
            "{\n  \"numStartups\": 12,\n  \"mcpServers\": {\n    \"bartizan\": {\n      \"command\": \"",
            "\n  },\n  \"projects\": {\n    \"/srv/app\": {\n      \"allowedTools\": [],\n      \"mcpServers\": {},\n      \"hasTrustDialogAccepted\": true\n    }\n  },\n  \"autoUpdates\": false\n}\n",
        ],
        "claude-desktop.json" => &[
            "{\n  \"globalShortcut\": \"\",\n",
            "  },\n  \"preferences\": { \"menuBarEnabled\": true }\n}\n",
        ],
        "codex.toml" => &[
            "model = \"gpt-5\" # the usual one\n\n# Servers of mine.\n[mcp_servers.bartizan]\ncommand = \"",
            "args = [\"stdio\"]\n\n# What it may do.\n[sandbox_workspace_write]\nnetwork_access = false\n",
        ],
        "continue.yaml" => &[
            "  - name: GPT-4o # the usual one\n    provider: openai\n    model: gpt-4o\n\nmcpServers:\n  - name: bartizan\n    command: \"",
            "    args:\n      - \"stdio\"\n\n# What it knows.\ndocs:\n  - name: Our docs\n",
        ],
        "vscode.json" => &[
            "\t// What the editor asks for.\n\t\"inputs\": [\n",
            "\t\"servers\": {\n\t\t\"bartizan\": {\n\t\t\t\"type\": \"stdio\",\n\t\t\t\"command\": \"",
            "\t\t\t\"args\": [\"stdio\"]\n\t\t}\n\t}, // of the team\n}\n",
        ],
        "zed.json" => &[
            "// Zed settings\n{\n  \"theme\": \"One Dark\", /* dark */\n",
            "\n  },\n  \"vim_mode\": true\n}\n",
        ],
        _ => &[],
    }
}

#[test]
fn a_client_without_a_file_gets_one_and_loses_it_again() {
    for (client, _, path, _) in CLIENTS {
        let home = Home::new();
        home.run(&["connect", client, "--yes"]).ok();
        let text = home.read(path);
        assert!(text.contains("stdio") && text.ends_with('\n'), "{client}: {text}");
        let mode = std::fs::metadata(home.path(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        home.run(&["disconnect", client, "--yes"]).ok();
        assert!(!home.path(path).exists(), "{client}");
    }
}

#[test]
fn files_with_other_settings_get_the_entry_beside_them() {
    for (path, before, client) in [
        (".gemini/settings.json", "{\"theme\": \"x\"}", "gemini"),
        (".gemini/settings.json", "{}\n", "gemini"),
        (".config/zed/settings.json", "{\n  \"a\": 1 // why\n}\n", "zed"),
        (".config/zed/settings.json", "{\n  \"a\": 1, // why\n  // more\n}\n", "zed"),
        (".config/zed/settings.json", "{\n  \"a\": [1,], /* , */\n}", "zed"),
        (".config/zed/settings.json", "// only this\n", "zed"),
        (".codex/config.toml", "model = \"x\"\n\n[tui]\ntheme = \"y\"\n", "codex"),
        (".continue/config.yaml", "name: x\nmcpServers: []\n", "continue"),
        (".continue/config.yaml", "name: x\nmcpServers:\nversion: 1\n", "continue"),
        (".continue/config.yaml", "name: x", "continue"),
    ] {
        let home = Home::new();
        home.put(path, before);
        home.run(&["connect", client, "--yes"]).ok();
        let now = home.read(path);
        for word in before.split_whitespace().filter(|word| word.len() > 3 && !word.contains("{}"))
        {
            let word = word.trim_end_matches(['}', ',', ']', '[']);
            assert!(now.contains(word), "{word}: {now}");
        }
        assert_eq!(home.run(&["connect", client]).ok().err, "", "{now}");
        home.run(&["disconnect", client, "--yes"]).ok();
        assert_eq!(home.read(path), before);
    }
}

#[test]
fn permissions_and_links_stay() {
    let home = Home::new();
    let (text, _) = fixture("cursor.json");
    home.put("dotfiles/mcp.json", &text);
    std::fs::set_permissions(home.path("dotfiles/mcp.json"), PermissionsExt::from_mode(0o640))
        .unwrap();
    std::fs::create_dir(home.path(".cursor")).unwrap();
    symlink(home.path("dotfiles/mcp.json"), home.path(".cursor/mcp.json")).unwrap();
    for args in
        [&["connect", "cursor", "--replace", "--yes"][..], &["disconnect", "cursor", "--yes"]]
    {
        home.run(args).ok();
        assert!(home.path(".cursor/mcp.json").is_symlink());
        let mode = std::fs::metadata(home.path("dotfiles/mcp.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    }
    assert_eq!(home.read("dotfiles/mcp.json"), text);
}

#[test]
fn odd_files_are_said_and_left_alone() {
    let home = Home::new();
    let put = |path: &str, bytes: &[u8]| {
        std::fs::create_dir_all(home.path(path).parent().unwrap()).unwrap();
        std::fs::write(home.path(path), bytes).unwrap();
    };
    put(".cursor/mcp.json", b"{\"mcpServers\": \xff}");
    put(".gemini/settings.json", b"{\"mcpServers\": {}");
    put(".lmstudio/mcp.json", &vec![b' '; (16 << 20) + 1]);
    put(".codex/config.toml", b"[mcp_servers\n");
    put(".continue/config.yaml", b"mcpServers: [");
    std::fs::create_dir_all(home.path(".junie/mcp")).unwrap();
    symlink("/nowhere/mcp.json", home.path(".junie/mcp/mcp.json")).unwrap();
    std::fs::create_dir_all(home.path(".config/zed/settings.json")).unwrap();
    let pipe = home.path(".codeium/windsurf/mcp_config.json");
    std::fs::create_dir_all(pipe.parent().unwrap()).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let before = home.everything_but(&pipe);

    let scan = home.run(&["scan", "--no-ports"]);
    assert_eq!(scan.code, 1, "what was not looked at is not clean");
    for client in ["cursor", "gemini", "lm-studio", "codex", "continue", "junie", "zed", "windsurf"]
    {
        let ran = home.run(&["connect", client, "--yes"]);
        assert_eq!(ran.code, 2, "{client}: {}", ran.err);
        let said = ran.err.lines().next().unwrap().strip_prefix("error: ").unwrap().to_owned();
        assert!(scan.err.contains(&said), "{client}: {said}\n{}", scan.err);
    }
    assert_eq!(home.everything_but(&pipe), before);
}

impl Home {
    fn everything_but(&self, pipe: &Path) -> Vec<String> {
        assert!(pipe.exists());
        let files = [".cursor/mcp.json", ".gemini/settings.json", ".codex/config.toml"];
        files
            .iter()
            .map(|path| {
                String::from_utf8_lossy(&std::fs::read(self.path(path)).unwrap()).into_owned()
            })
            .collect()
    }
}

#[test]
fn nothing_is_changed_without_a_yes_or_against_later_changes() {
    let home = Home::new();
    let (text, _) = fixture("cursor.json");
    home.put(".cursor/mcp.json", &text);
    let lost = home.run(&["connect", "cursor", "--yes"]);
    assert_eq!(lost.code, 2);
    assert!(lost.err.contains("local-server, remote-server"), "{}", lost.err);
    assert_eq!(home.run(&["connect", "cursor", "--replace"]).code, 2);
    assert_eq!(home.run(&["connect"]).code, 2);
    assert_eq!(home.read(".cursor/mcp.json"), text);

    // What the configuration has may be taken out.
    home.write("bartizan.toml", "[servers.local-server]\ncommand = \"python\"\n[servers.remote-server]\nurl = \"https://api.example.com/mcp\"\n");
    home.run(&["connect", "cursor", "--yes"]).ok();
    let connected = home.read(".cursor/mcp.json");
    assert!(connected.contains("--config") && connected.contains("bartizan.toml"), "{connected}");
    // What came since stays, where that is possible.
    let more = |text: &str| text.replacen('{', "{\n  \"other\": 1,", 1);
    home.write(".cursor/mcp.json", &more(&connected));
    home.run(&["disconnect", "cursor", "--yes"]).ok();
    assert_eq!(home.read(".cursor/mcp.json"), more(&text));
    home.write(".cursor/mcp.json", &text);
    home.run(&["connect", "cursor", "--yes"]).ok();
    let connected = home.read(".cursor/mcp.json");
    let server = "\"mcpServers\": {\n    \"x\": {\"command\": \"x\"},";
    let edited = connected.replace("\"mcpServers\": {", server);
    assert_ne!(edited, connected);
    home.write(".cursor/mcp.json", &edited);
    let refused = home.run(&["disconnect", "cursor", "--yes"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("was changed since"), "{}", refused.err);
    assert_eq!(home.read(".cursor/mcp.json"), edited);
    home.run(&["disconnect", "cursor", "--yes", "--force"]).ok();
    assert_eq!(home.read(".cursor/mcp.json"), text);
}

#[test]
fn a_file_by_its_path_and_workspaces() {
    let home = Home::new();
    let (text, keys) = fixture("vscode.json");
    home.put("work/.vscode/mcp.json", &text);
    let folder = format!("file://{}", home.path("work").display());
    home.put(
        ".config/Code/User/workspaceStorage/1a/workspace.json",
        &json!({"folder": folder}).to_string(),
    );
    let found = home.run(&["scan", "--no-ports", "--output", "json"]).json();
    assert_eq!(found["keys"][0]["scope"], "workspace");
    assert_eq!(home.run(&["scan", "work"]).code, 1);
    assert_eq!(home.run(&["scan", "nowhere"]).code, 2);
    home.run(&["connect", "--file", "work/.vscode/mcp.json", "--replace", "--yes"]).ok();
    assert!(!home.read("work/.vscode/mcp.json").contains(&keys[0]));
    home.run(&["scan", "work"]).ok();
    home.run(&["disconnect", "--file", "work/.vscode/mcp.json", "--yes"]).ok();
    assert_eq!(home.read("work/.vscode/mcp.json"), text);
}

#[test]
fn keys_of_every_kind_are_found_and_nothing_is_touched() {
    let home = Home::new();
    // Each form that the detectors know, under a name that says nothing.
    let known = rules::bundled().unwrap();
    let known = known.iter().filter(|rule| rule.class == Class::Secret);
    let mut env = serde_json::Map::new();
    for (at, rule) in known.enumerate() {
        env.insert(format!("SETTING_{at}"), json!(rule.matches[0]));
    }
    let forms = env.len();
    assert!(forms >= 30, "{forms}");
    home.put(
        ".cursor/mcp.json",
        &json!({"mcpServers": {"a": {"command": "a", "env": env}}}).to_string(),
    );
    // And what only its place or its randomness tells.
    let args: Vec<Value> = [
        "--token",
        "hunter2-hunter2",
        "--password=correct-horse",
        "-e",
        "MY_SECRET=correct-horse",
        "-H",
        "X-Api-Key: abcdefgh12345678",
        &random(1),
        "mysql://root:toor1@db/x",
        "Server=db;Pwd=Passw0rd!;",
    ]
    .iter()
    .map(|arg| json!(arg))
    .collect();
    let url = format!("https://x.example/mcp/{}/sse", random(2));
    let query = "https://x.example/mcp?key=abcdefgh12345678";
    let cookie = json!({"Cookie": "session=abcdefgh", "X-Functions-Key": "abcdefgh12345678"});
    let servers = json!({
        "args": {"command": "a", "args": args},
        "path": {"url": url, "headers": cookie},
        "query": {"url": query},
        "password": {"command": "a", "env": {"DB_PASSWORD": "hunter2"}},
    });
    let places = 7 + 1 + 2 + 1 + 1;
    home.put(".gemini/settings.json", &json!({"mcpServers": servers}).to_string());
    // A comment is read by whoever reads the file.
    let form = format!("ghp_{}", &random(3).repeat(2)[..36]);
    home.put(".config/zed/settings.json", &format!("{{\n  // was {form}\n}}\n"));

    let before = home.everything();
    let scan = home.run(&["scan", "--no-ports", "--output", "json"]);
    let found = scan.json()["keys"].as_array().unwrap().clone();
    for at in 0..forms {
        let part = format!("env SETTING_{at}");
        let of: Vec<_> = found.iter().filter(|key| key["part"] == *part).collect();
        assert!(!of.is_empty(), "{part}: {}", env_of(&before, at));
    }
    let of = |name: &str| found.iter().filter(|key| key["server"] == name).count();
    assert_eq!(of("args") + of("path") + of("query") + of("password"), places, "{found:#?}");
    let comment: Vec<_> = found.iter().filter(|key| key["server"].is_null()).collect();
    assert_eq!(comment.len(), 1, "{comment:#?}");
    assert_eq!((&comment[0]["line"], &comment[0]["client"]), (&json!(2), &json!("zed")));
    let sarif = home.run(&["scan", "--no-ports", "--sarif"]).json();
    assert_eq!(sarif["runs"][0]["results"].as_array().unwrap().len(), found.len());
    for secret in ["hunter2", "correct-horse", "abcdefgh12345678", &form, &random(1), &random(2)] {
        assert!(!scan.out.contains(secret) && !sarif.to_string().contains(secret), "{secret}");
    }
    assert_eq!(home.everything(), before);
}

fn env_of(files: &BTreeMap<String, Vec<u8>>, at: usize) -> String {
    let cursor = files.iter().find(|(path, _)| path.ends_with(".cursor/mcp.json")).unwrap();
    let value: Value = serde_json::from_slice(cursor.1).unwrap();
    value["mcpServers"]["a"]["env"][format!("SETTING_{at}")].to_string()
}

#[test]
fn a_clean_home_has_nothing_to_report() {
    let home = Home::new();
    for (_, name, path, _) in CLIENTS {
        let path_of = repository("crates/bartizan/tests/clients").join(name);
        let text = std::fs::read_to_string(path_of).unwrap().replace("@RANDOM@", "${env:KEY}");
        home.put(path, &text);
    }
    let scan = home.run(&["scan", "--no-ports"]).ok();
    assert_eq!(scan.out, "no keys in the configuration of any client\n");
    assert_eq!(scan.err, "");
    assert_eq!(
        home.run(&["scan", "--no-ports", "--output", "json"]).ok().json()["keys"],
        json!([])
    );
}

#[test]
fn what_was_not_looked_at_is_not_called_clean() {
    let home = Home::new();
    let key = format!("ghp_{}", &"16C7e42F292c6912E7710c838347Ae178B4a"[..36]);
    home.put(
        ".cursor/mcp.json",
        &format!(r#"{{"mcpServers":{{"a":{{"command":"a","env":{{"K":"{key}"}}}}}}}}"#),
    );
    // A client's own folder, named.
    assert_eq!(home.run(&["scan", ".cursor"]).code, 1);
    std::fs::create_dir(home.path("empty")).unwrap();
    let none = home.run(&["scan", "empty"]).ok().out;
    assert!(none.contains("no client's file was found"), "{none}");
    home.put(".cursor/mcp.json", "{ not json");
    let scan = home.run(&["scan", "--no-ports"]);
    assert!(scan.code == 1 && scan.out.contains("could not be looked at"), "{}", scan.out);
}

/// Answers each request by its method with what `answer` says, and remembers the requests.
fn listener(answer: fn(&str) -> Option<String>) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let kept = requests.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            reader.read_exact(&mut body).unwrap();
            let request = format!("{head}{}", String::from_utf8_lossy(&body));
            let answer = answer(&request);
            kept.lock().unwrap().push(request);
            match answer {
                Some(answer) => write!(stream, "{answer}").unwrap(),
                // Held open, without a word.
                None => std::mem::forget(stream),
            }
        }
    });
    (port, requests)
}

#[test]
fn servers_that_listen_are_found_and_only_asked_what_they_are() {
    let (rogue, asked) = listener(|request| {
        let body = r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"rogue","version":"6.6.6"}}}"#;
        Some(match request.contains("initialize") {
            true => format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nMcp-Session-Id: S1\r\n\r\nevent: message\r\ndata: {body}\r\n\r\n"
            ),
            false => "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_owned(),
        })
    });
    let (guarded, _) = listener(|_| {
        let url = "https://x.example/.well-known/oauth-protected-resource";
        Some(format!(
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer resource_metadata=\"{url}\"\r\nContent-Length: 0\r\n\r\n"
        ))
    });
    let (page, _) =
        listener(|_| Some("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned()));
    let (silent, _) = listener(|_| None);
    let home = Home::new();
    let up = home.up();
    let own: u16 = up.address.rsplit(':').next().unwrap().parse().unwrap();
    let scan = home.run(&["scan", "--output", "json"]);
    assert_eq!(scan.code, 1);
    let found = scan.json()["listeners"].as_array().unwrap().clone();
    let at =
        |port: u16| found.iter().find(|one| one["address"] == format!("127.0.0.1:{port}")).cloned();
    let one = at(rogue).unwrap();
    assert_eq!((&one["name"], &one["version"]), (&json!("rogue"), &json!("6.6.6")));
    assert_eq!((&one["open"], &one["exposed"]), (&json!(true), &json!(false)));
    assert!(one["program"].as_str().unwrap().ends_with(&format!("({})", std::process::id())));
    assert_eq!(at(guarded).unwrap()["open"], false);
    for port in [page, silent, own] {
        assert_eq!(at(port), None);
    }
    let asked = asked.lock().unwrap().clone();
    let lines: Vec<&str> = asked.iter().map(|request| request.lines().next().unwrap()).collect();
    assert_eq!(lines, ["POST /mcp HTTP/1.1", "DELETE /mcp HTTP/1.1"]);
    assert!(asked[1].contains("Mcp-Session-Id: S1\r\n"), "{}", asked[1]);
    // Behind Bartizan it is none.
    home.write(
        "bartizan.toml",
        &format!("[servers.a]\nurl = \"http://127.0.0.1:{rogue}/mcp\"\nallow-private = true\n"),
    );
    let scan = home.run(&["scan", "--output", "json"]);
    let found = scan.json()["listeners"].as_array().unwrap().clone();
    assert!(found.iter().all(|one| one["address"] != format!("127.0.0.1:{rogue}")), "{found:?}");
}
