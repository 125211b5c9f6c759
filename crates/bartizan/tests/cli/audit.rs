//! `audit`: what was recorded is found, verified and proven.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::home::{Home, Ran, repository};

/// The gateway's journal, from the home folder.
pub const JOURNAL: &str = ".local/state/bartizan/audit";

/// A user whose gateway has answered calls, refused some, and ended.
pub fn used() -> Home {
    used_with("")
}

/// The same, with these sections more.
fn used_with(more: &str) -> Home {
    let server = env!("CARGO_BIN_EXE_bartizan");
    let home = Home::with(&format!(
        "{more}[servers.demo]\ncommand = {server:?}\nargs = [\"demo-server\"]\non-first-use = \"approve\"\n\
         [roles.reader]\nmembers = [\"token:ci\"]\nallow = [\"demo/echo\"]\n"
    ));
    let up = home.up();
    let token = home.run(&["token", "mint", "ci"]).ok().out;
    home.run(&["call", "demo", "echo", r#"{"text":"hi"}"#]).ok();
    home.run(&["call", "demo", "time"]).ok();
    assert_eq!(home.run(&["call", "demo", "add", "{}"]).code, 1);
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "demo__add", "arguments": {"a": 1, "b": 2},
        "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}},
    }});
    let headers =
        "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: demo__add\r\n";
    let answer = up.post_with("/mcp", Some(token.trim_end()), headers, &call.to_string());
    assert!(answer.contains("\"error\"") && !answer.contains("does not match"), "{answer}");
    assert!(up.post("/mcp", None, &call.to_string()).starts_with("HTTP/1.1 401"));
    up.signal("TERM");
    assert_eq!(up.end().1, 0);
    home
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Changes the copy's only journal file.
pub fn rewrite(copy: &Path, change: impl FnOnce(Vec<&str>) -> Vec<String>) {
    let mut files = fs::read_dir(copy).unwrap().map(|entry| entry.unwrap().path());
    let file = files.find(|path| path.extension().is_some_and(|end| end == "jsonl")).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(file, change(text.lines().collect()).join("\n") + "\n").unwrap();
}

fn records(home: &Home, args: &[&str]) -> Vec<Value> {
    let args = [&["audit"], args, &["--output", "json"]].concat();
    home.run(&args).ok().json().as_array().unwrap().clone()
}

#[test]
fn what_was_signed_verifies_and_a_changed_byte_is_named() {
    let home = used();
    let whole = home.run(&["audit", "verify"]).ok().out;
    assert!(whole.ends_with("\nOK\n") && whole.contains("\ncheckpoints  "), "{whole}");
    let verified = home.run(&["audit", "verify", "--output", "json"]).ok().json();
    assert_eq!((&verified["ok"], &verified["records"]), (&json!(true), &verified["size"]));
    let root = verified["root"].as_str().unwrap();
    assert!(home.read(&format!("{JOURNAL}/checkpoint")).contains(root), "{root}");

    let time = records(&home, &["search", "--tool", "demo__time"])[0].clone();
    let seq = time["seq"].as_u64().unwrap();
    copy(&home.path(JOURNAL), &home.path("copy"));
    let verify = |more: &[&str]| home.run(&[&["audit", "verify", "--dir", "copy"], more].concat());
    verify(&[]).ok();
    rewrite(&home.path("copy"), |lines| {
        lines.iter().map(|line| line.replace("\"name\":\"time\"", "\"name\":\"tame\"")).collect()
    });
    let found = verify(&[]);
    assert_eq!(found.code, 1, "{}", found.out);
    assert!(
        found.err.contains(&format!("record {seq} was changed: copy/journal-")),
        "{}",
        found.err
    );
    assert!(found.err.contains(&format!("line {seq}\n")), "{}", found.err);
    let found = verify(&["--output", "json"]);
    assert_eq!(found.code, 1);
    let found = found.json();
    assert_eq!(
        (&found["ok"], &found["fault"], &found["seq"], &found["line"]),
        (&json!(false), &json!("changed"), &json!(seq), &json!(seq))
    );
}

#[test]
fn deleting_moving_and_inserting_show() {
    let home = used();
    let found = |change: fn(&mut Vec<String>)| {
        let _ = fs::remove_dir_all(home.path("copy"));
        copy(&home.path(JOURNAL), &home.path("copy"));
        rewrite(&home.path("copy"), |lines| {
            let mut lines = lines.into_iter().map(str::to_owned).collect();
            change(&mut lines);
            lines
        });
        let ran = home.run(&["audit", "verify", "--dir", "copy", "--output", "json"]);
        assert_eq!(ran.code, 1, "{}", ran.out);
        ran.json()["fault"].as_str().unwrap().to_owned()
    };
    assert_eq!(found(|lines| drop(lines.remove(3))), "deleted");
    assert_eq!(found(|lines| lines.swap(3, 4)), "reordered");
    assert_eq!(found(|lines| lines.insert(3, lines[2].clone())), "inserted");
    assert_eq!(found(|lines| lines.truncate(3)), "truncated");
}

#[test]
fn a_checkpoint_kept_elsewhere_finds_what_the_folder_alone_can_not_tell() {
    let home = used();
    copy(&home.path(JOURNAL), &home.path("old"));
    let up = home.up();
    home.run(&["call", "demo", "time"]).ok();
    up.signal("TERM");
    up.end();
    let kept = format!("{JOURNAL}/checkpoint");
    home.run(&["audit", "verify", "--checkpoint", &kept]).ok();
    // All of the folder as it once was: in itself it is whole.
    home.run(&["audit", "verify", "--dir", "old"]).ok();
    let rolled_back = home.run(&["audit", "verify", "--dir", "old", "--checkpoint", &kept]);
    assert_eq!(rolled_back.code, 1, "{}", rolled_back.out);
    assert!(rolled_back.err.contains("truncated"), "{}", rolled_back.err);
    // Another log, whole too, with a key of its own.
    home.run(&["call", "demo", "time"]).ok();
    let other = ".local/state/bartizan/own/1/audit";
    home.run(&["audit", "verify", "--dir", other]).ok();
    let key = home.read(&format!("{JOURNAL}/audit.pub"));
    for more in [["--checkpoint", &kept], ["--key", key.trim()]] {
        let replaced = home.run(&[&["audit", "verify", "--dir", other][..], &more].concat());
        assert_eq!(replaced.code, 1, "{}", replaced.out);
        assert!(replaced.err.contains("the key did not sign"), "{}", replaced.err);
    }
}

#[test]
fn a_receipt_is_checked_here_and_without_bartizan() {
    let home = used();
    let record = records(&home, &["search", "--tool", "echo"])[0].clone();
    let seq = record["seq"].to_string();
    let receipt = home.run(&["audit", "prove", &seq]).ok().out;
    home.write("receipt", &receipt);
    let key = format!("{JOURNAL}/audit.pub");
    let checked = home.run(&["audit", "check", "receipt", "--key", &key]).ok().out;
    assert!(
        checked.starts_with(&format!("proven: record {seq} of bartizan.dev/audit/")),
        "{checked}"
    );
    let checked =
        home.run_with_input(&["audit", "check", "-", "--output", "json"], &receipt).ok().json();
    assert_eq!((&checked["record"]["id"], &checked["ok"]), (&record["id"], &json!(true)));

    let independent = |receipt: &str| {
        let script = repository("tools/verify/check_receipt.py");
        let key = home.read(&key);
        Command::new("python3").arg(script).arg(home.path(receipt)).arg(key).output().unwrap()
    };
    let proven = independent("receipt");
    assert!(proven.status.success(), "{}", String::from_utf8_lossy(&proven.stderr));
    let proven: Value = serde_json::from_slice(&proven.stdout).unwrap();
    assert_eq!((&proven["seq"], &proven["id"]), (&record["seq"], &record["id"]));

    let index = record["seq"].as_u64().unwrap() - 1;
    home.write("forged", &receipt.replace(&format!("index {index}"), &format!("index {seq}")));
    let forged = home.run(&["audit", "check", "forged"]);
    assert_eq!(forged.code, 1, "{}", forged.out);
    assert!(forged.err.contains("NOT proven"), "{}", forged.err);
    assert!(!independent("forged").status.success());
    let missing: Ran = home.run(&["audit", "prove", "9999"]);
    assert_eq!(missing.code, 2, "{}", missing.err);
}

#[test]
fn search_finds_by_caller_tool_server_outcome_and_time() {
    let home = used();
    let names = |args: &[&str]| {
        let found = records(&home, &[&["search"], args].concat());
        let outcomes =
            found.iter().filter(|record| record["kind"] != "intent" && record["kind"] != "trust");
        outcomes
            .map(|record| record["name"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    let denied = records(&home, &["search", "--refused", "--tool", "demo__add"]);
    assert_eq!(denied.len(), 1, "{denied:?}");
    assert_eq!(
        (&denied[0]["kind"], &denied[0]["principal"]),
        (&json!("refusal"), &json!("token:ci"))
    );
    assert_eq!(names(&["--tool", "demo__*", "--who", "owner"]), ["echo", "time", "add"]);
    assert_eq!(names(&["--tool", "t?me", "--since", "1h"]), ["time"]);
    assert_eq!(names(&["--server", "demo", "--tool", "a*"]), ["add"]);
    assert_eq!(names(&["--tool", "demo__*", "--who", "CI"]), ["demo__add"]);
    assert!(names(&["--until", "1h"]).is_empty());
    assert!(names(&["--since", "2999-01-01T00:00:00Z"]).is_empty());
    let refused = records(&home, &["search", "--refused"]);
    assert_eq!(refused, records(&home, &["tail", "--refused"]));
    assert!(!refused.is_empty() && refused.iter().all(|record| record["outcome"] != "tool_error"));
    let failed = records(&home, &["search", "--failed"]);
    assert!(failed.iter().any(|record| record["outcome"] == "tool_error"));
    assert!(refused.iter().all(|record| failed.contains(record)));

    let newest = home.run(&["audit", "search", "--server", "demo", "--limit", "1"]).ok();
    assert_eq!(newest.out.lines().count(), 2, "{}", newest.out);
    assert!(newest.out.starts_with("SEQ") && newest.err.contains("--limit"), "{}", newest.err);
    assert_eq!(home.run(&["audit", "search", "--since", "yesterday"]).code, 2);
    assert_eq!(home.run(&["audit", "tail", "--refused", "--failed"]).code, 2);
}

#[test]
fn what_is_not_there_is_told_with_the_mend() {
    let home = Home::new();
    let nothing = home.run(&["audit", "verify"]);
    assert_eq!(nothing.code, 2);
    assert!(nothing.err.contains("there is no journal"), "{}", nothing.err);
    home.run(&["call", "demo", "time"]).ok();
    let other = home.run(&["audit", "prove", "1"]);
    assert_eq!(other.code, 2);
    assert!(other.err.contains("own/1/audit"), "{}", other.err);
    home.run(&["audit", "verify", "--dir", ".local/state/bartizan/own/1/audit"]).ok();
    assert_eq!(home.run(&["audit", "check", "nowhere", "--key", "nowhere"]).code, 2);
}

#[test]
fn a_call_is_shown_counted_and_written_out() {
    let home = used();
    let call = records(&home, &["search", "--tool", "demo__time", "--kind", "outcome"])[0].clone();
    let shown = records(&home, &["show", &call["seq"].to_string()]);
    let kinds: Vec<&Value> = shown.iter().map(|record| &record["kind"]).collect();
    assert_eq!(kinds, ["intent", "outcome"]);
    assert_eq!(records(&home, &["show", call["id"].as_str().unwrap()]), shown);
    let sheet = home.run(&["audit", "show", &call["seq"].to_string()]).ok().out;
    assert!(sheet.contains("\nname              time\n"), "{sheet}");
    assert_eq!(home.run(&["audit", "show", "nothing"]).code, 2);

    let stats = home.run(&["audit", "stats", "--output", "json"]).ok().json();
    let refused = records(&home, &["search", "--refused"]).len();
    let counts = &stats["values"];
    assert_eq!(counts["outcome"]["refused"], json!(refused), "{stats}");
    assert_eq!(counts["kind"]["auth"], json!(1), "{stats}");
    let table = home.run(&["audit", "stats", "--refused", "--top", "1"]).ok().out;
    assert!(table.contains("refused for") && !table.contains("echo"), "{table}");

    let whole = home.run(&["audit", "export"]).ok().out;
    let numbers =
        whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].clone());
    let count = numbers.clone().count();
    assert!(numbers.eq((1..=count).map(|number| json!(number))));
    let csv = home
        .run(&["audit", "export", "--format", "csv", "--kind", "outcome", "--who", "owner"])
        .ok()
        .out;
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert!(lines[0].starts_with("seq,time,kind,") && lines.len() == 5, "{csv}");
    home.run(&["audit", "export", "--format", "cef", "--to", "out.cef", "--refused"]).ok();
    assert!(home.read("out.cef").starts_with("CEF:0|Bartizan|"));
    assert_eq!(home.run(&["audit", "export", "--to", "out.cef"]).code, 2);
    let wrong = home.run(&["audit", "search", "--kind", "outcom"]);
    assert!(wrong.code == 2 && wrong.err.contains("refusal"), "{}", wrong.err);
}

#[test]
fn who_is_forgotten_can_not_be_read_any_more() {
    let home = used_with("[audit]\npersonal = \"sealed\"\n");
    let journal = fs::read_dir(home.path(JOURNAL)).unwrap().map(|entry| entry.unwrap().path());
    let journal = journal.filter(|path| path.extension().is_some_and(|end| end == "jsonl"));
    let text: String = journal.map(|path| fs::read_to_string(path).unwrap()).collect();
    assert!(!text.contains("token:ci") && text.contains("\"principal\":\"subject:"), "{text}");
    let before = records(&home, &["search", "--who", "token:ci"]);
    assert!(!before.is_empty() && before[0]["principal"].as_str().unwrap().starts_with("token:ci"));
    let forgotten = home.run(&["audit", "forget", "token:ci", "--output", "json"]).ok().json();
    assert_eq!(records(&home, &["search", "--who", "token:ci"]), Vec::<Value>::new());
    let word = forgotten["forgotten"].as_str().unwrap();
    assert_eq!(records(&home, &["search", "--who", word]).len(), before.len());
    home.run(&["audit", "verify"]).ok();
    assert_eq!(home.run(&["audit", "forget", "token:ci"]).code, 2);
}

#[test]
fn exports_that_can_not_be_are_refused_with_their_mend() {
    for (text, told) in [
        ("[export.siem]\nto = \"splunk\"\n", "add url = \"https://…\""),
        ("[export.Siem]\nto = \"splunk\"\n", "can't be an export's name"),
        (
            "[export.a]\nto = \"file\"\npath = \"a\"\nurl = \"https://a.example\"\n",
            "`url` means nothing to an export to `file`",
        ),
        ("[export.a]\nto = \"syslog\"\nurl = \"https://a.example\"\n", "write \"tls://HOST:PORT\""),
        ("[export.a]\nto = \"syslog\"\nurl = \"tls://a.example\"\n", "it has no port"),
        ("[export.a]\nto = \"azure\"\nurl = \"https://a.example\"\n", "dcr-"),
        ("[export.a]\nto = \"otlp\"\nurl = \"https://u:p@a.example\"\n", "more than scheme"),
    ] {
        let ran = Home::with(text).run(&["check"]);
        assert_eq!(ran.code, 2, "{text}");
        assert!(ran.err.contains(told), "{text}: {}", ran.err);
    }
    let fine = Home::with("[export.a]\nto = \"otlp\"\nurl = \"http://10.0.0.1:4318\"\n")
        .run(&["check"])
        .ok();
    assert!(
        fine.err.contains("allow-private") || fine.out.contains("allow-private"),
        "{}",
        fine.err
    );
}

#[test]
fn a_record_is_taken_by_the_name_that_search_shows() {
    let home = Home::new();
    home.run(&["call", "demo", "echo", r#"{"text":"hi"}"#]).ok();
    let today = ["audit", "search", "--since", "2026-01-01", "--tool", "demo__echo"];
    let found = home.run(&today).ok().out;
    let line = found.lines().find(|line| line.starts_with("own/1:")).expect(&found);
    let name = line.split_whitespace().next().unwrap();
    assert!(home.run(&["audit", "show", name]).ok().out.contains("echo"));
    home.run(&["audit", "prove", name]).ok();
    assert_eq!(home.run(&["audit", "show", "own/9:1"]).code, 2);
    // No gateway has run here, and the log of the command is verified all the same.
    let report = home.run(&["report", "--from", "1h", "--output", "json"]).ok().json();
    assert_eq!(report["integrity"]["ok"], true, "{}", report["integrity"]);
}
