//! The report, and the matrix behind it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    audit::{JOURNAL, rewrite, used},
    home::{Home, repository},
};

fn matrix() -> toml::Table {
    std::fs::read_to_string(repository("docs/controls.toml")).unwrap().parse().unwrap()
}

fn list<'a>(table: &'a toml::Table, name: &str) -> Vec<&'a toml::Table> {
    let list = table.get(name).and_then(toml::Value::as_array);
    list.into_iter().flatten().filter_map(toml::Value::as_table).collect()
}

fn texts<'a>(table: &'a toml::Table, name: &str) -> Vec<&'a str> {
    table[name].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// Whether a file has a test function of this name.
fn is_a_test(file: &str, function: &str) -> bool {
    let Ok(text) = std::fs::read_to_string(repository(file)) else { return false };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let head = format!("fn {function}(");
    lines.iter().enumerate().any(|(at, line)| {
        let attributes = &lines[at.saturating_sub(6)..at];
        let attributes: Vec<_> =
            attributes.iter().rev().take_while(|line| !line.ends_with('}')).collect();
        line.trim_start_matches("async ").starts_with(&head)
            && attributes
                .iter()
                .any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

#[test]
fn a_row_of_the_matrix_that_loses_its_test_fails() {
    assert!(is_a_test(
        "crates/bartizan/tests/cli/report.rs",
        "a_row_of_the_matrix_that_loses_its_test_fails"
    ));
    assert!(!is_a_test("crates/bartizan/tests/cli/report.rs", "is_a_test"), "no test");
    assert!(!is_a_test("crates/bartizan/tests/cli/report.rs", "gone"));
    let matrix = matrix();
    let mut missing = Vec::new();
    for control in list(&matrix, "control") {
        let tests = texts(control, "tests");
        assert!(!tests.is_empty(), "{} has no test", control["id"]);
        for test in tests {
            let (file, function) = test.split_once("::").unwrap();
            if !is_a_test(file, function) {
                missing.push(test);
            }
        }
    }
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

#[test]
fn the_matrix_says_only_what_is_there() {
    let matrix = matrix();
    let controls: BTreeSet<&str> =
        list(&matrix, "control").iter().map(|control| control["id"].as_str().unwrap()).collect();
    let mut used = BTreeSet::new();
    for framework in list(&matrix, "framework") {
        for row in list(framework, "row") {
            let (named, state) = (texts(row, "controls"), row["state"].as_str().unwrap());
            for control in &named {
                assert!(controls.contains(control), "{} names {control}", row["id"]);
                used.insert(*control);
            }
            match state {
                "met" => assert!(!named.is_empty(), "{} is met by nothing", row["id"]),
                "partly" => {
                    assert!(!named.is_empty(), "{} is met by nothing", row["id"]);
                    assert!(row.contains_key("note"), "{}: what is missing?", row["id"]);
                }
                _ => assert!(named.is_empty(), "{} is {state} with controls", row["id"]),
            }
        }
    }
    assert_eq!(used, controls, "controls that nobody asks for");
    let refusals = ["", "exchange/", "models/"]
        .map(|place| repository(&format!("crates/gateway/src/{place}refusal.rs")))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .concat();
    let kinds = std::fs::read_to_string(repository("crates/audit/src/record.rs")).unwrap();
    for control in list(&matrix, "control") {
        for selector in texts(control, "records").iter().flat_map(|text| text.split(" + ")) {
            let (by, value) = selector.split_once(' ').unwrap();
            let there = match by {
                "refusal" => refusals.contains(&format!("=> \"{value}\"")),
                "kind" | "outcome" => kinds.contains(&format!("=> \"{value}\"")),
                _ => kinds.contains(&format!("\"{value}\"")),
            };
            assert!(there, "{selector}");
        }
    }
}

#[test]
fn the_queries_for_log_analytics_name_what_records_have() {
    let queries = std::fs::read_to_string(repository("docs/dashboards/log-analytics.kql")).unwrap();
    let records = std::fs::read_to_string(repository("crates/audit/src/record.rs")).unwrap();
    let refusals = std::fs::read_to_string(repository("crates/gateway/src/refusal.rs")).unwrap();
    for (member, source) in [("kind", &records), ("outcome", &records), ("refusal", &refusals)] {
        for value in queries.split(&format!("{member} == \"")).skip(1) {
            let value = value.split('"').next().unwrap();
            assert!(source.contains(&format!("=> \"{value}\"")), "{member} {value}");
        }
    }
    for member in ["duration_us", "findings", "name", "principal", "rule", "server", "trace"] {
        assert!(queries.contains(member) && records.contains(&format!("\"{member}\"")), "{member}");
    }
}

#[test]
fn a_report_tells_what_happened() {
    let home = used();
    let report = home.run(&["report", "--from", "1h", "--output", "json"]).ok().json();
    let facts = &report["facts"];
    assert_eq!(facts["callers"]["token:ci"]["refused"], 1, "{facts}");
    assert_eq!(facts["tools"]["demo / echo"]["calls"], 1);
    assert_eq!(facts["refusals"]["authentication"][""], 1);
    assert!(facts["controls"]["policy"].as_u64().unwrap() > 0);
    assert!(facts["controls"]["identity"].as_u64().unwrap() > 0);
    assert_eq!(report["integrity"]["ok"], Value::Bool(true), "{}", report["integrity"]);

    let page = home.run(&["report", "--from", "1h", "--title", "Example Ltd"]).ok().out;
    let said = ["Example Ltd", "The log is what was signed.", "token:ci", "demo / echo", "CC6.1"];
    for text in said {
        assert!(page.contains(text), "{text}\n{page}");
    }
    let empty = home.run(&["report", "--from", "2020-01-01", "--to", "2020-02-01"]).ok().out;
    assert!(empty.contains("Nothing was asked of the gateway in this period."));
    assert_eq!(home.run(&["report", "--from", "1h", "--to", "2h"]).code, 2);
}

#[test]
fn whatever_callers_call_themselves_is_text_and_nothing_is_fetched() {
    let home = Home::with(
        "[identity]\nloopback = \"open\"\n[servers.notes]\ncommand = \"true\"\nargs = [\"a=<b>\"]\nenabled = false\n",
    );
    let up = home.up();
    let name = "<img src=x onerror=alert(1)>";
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": name, "arguments": {},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "<script>alert(1)</script>", "version": "1"},
        },
    }});
    let headers = format!(
        "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: {name}\r\n"
    );
    up.post_with("/mcp", None, &headers, &call.to_string());
    drop(up);
    let page = home.run(&["report", "--from", "1h", "--title", "A <b>Ltd</b>"]).ok().out;
    assert!(page.contains("A &#60;b&#62;Ltd") && page.contains("a=&#60;b&#62;"), "{page}");
    for text in ["<script", "<img", "<b>Ltd", "javascript:", " src=", "@import", "<link", "url("] {
        assert!(!page.contains(text), "{text}");
    }
    let mut links = page.split("href=\"").skip(1);
    assert!(links.all(|link| link.starts_with('#')), "a link leads away from the page");
}

#[test]
fn a_report_says_that_the_log_was_changed() {
    let home = used();
    let mend = |line: &str| line.replace("the gateway started", "the gateway slumbers");
    rewrite(&home.path(JOURNAL), |lines| lines.into_iter().map(mend).collect());
    let page = home.run(&["report", "--from", "1h"]).ok().out;
    assert!(page.contains("The log could not be verified."), "{page}");
    assert!(page.contains("was changed"), "{page}");
}
