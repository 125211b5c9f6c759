//! What policy says, asked from the terminal.

use crate::home::Home;

const CONFIG: &str = r#"
[roles.dev]
members = ["token:ci", "group:g1"]
allow = ["github/*", "github/get_*", { match = "files/*", annotated = ["read-only"] }]
ask = [{ match = "github/merge", arguments = { "/branch" = "main" }, reason = "the main branch" }]
deny = ["github/delete_*", "mail/*"]

[roles.mailer]
members = ["token:mailer"]
allow = ["mail/send"]

[servers.github]
url = "https://github.example.com/mcp"
[servers.files]
url = "https://files.example.com/mcp"
[servers.mail]
url = "https://mail.example.com/mcp"
[servers.secret]
url = "https://secret.example.com/mcp"

[policy]
folder = "policies"
"#;

const CEDAR: &str = r#"@id("office")
forbid(principal, action, resource in Server::"files")
unless { context has network && context.network.isInRange(ip("10.0.0.0/8")) };
"#;

fn home() -> Home {
    let home = Home::with(CONFIG);
    std::fs::create_dir(home.path("policies")).unwrap();
    home.write("policies/a.cedar", CEDAR);
    home
}

#[test]
fn roles_are_shown_in_cedar_which_is_valid_itself() {
    let home = home();
    let shown = home.run(&["policy", "show"]).ok().out;
    for part in
        ["@id(\"role dev deny github/delete_*\")", "@ask(\"the main branch\")", "@id(\"office\")"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    home.write("policies/a.cedar", &shown);
    home.run(&["check"]).ok();
    assert!(home.run(&["policy", "schema"]).ok().out.contains("action \"tools/call\""));
}

#[test]
fn a_mistake_in_cedar_is_shown_at_its_place() {
    let home = home();
    home.write(
        "policies/a.cedar",
        "permit(principal, action, resource)\nwhen { resource.nam == \"x\" };\n",
    );
    let ran = home.run(&["check"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("a.cedar:2:8") && ran.err.contains("help"), "{}", ran.err);
}

#[test]
fn a_decision_is_explained() {
    let home = home();
    let explain = |more: &[&str]| {
        let args = ["policy", "explain", "--output", "json", "--as", "token:ci"];
        home.run(&[&args, more].concat()).ok().json()
    };
    let denied = explain(&["--tool", "github__delete_repo"]);
    assert_eq!(denied["decision"], "deny");
    assert_eq!(denied["rule"], "role dev deny github/delete_*");
    assert!(denied["would_change_it"][0].as_str().unwrap().contains("must not hold"));
    let asked = explain(&["--tool", "github/merge", "--arguments", r#"{"branch":"main"}"#]);
    assert_eq!(asked["decision"], "ask");
    let elsewhere = explain(&["--tool", "files__read", "--annotated", "read-only"]);
    assert_eq!(elsewhere["rule"], "policy office");
    let office =
        explain(&["--tool", "files__read", "--annotated", "read-only", "--from", "10.1.1.1"]);
    assert_eq!(office["decision"], "permit");
    let table =
        home.run(&["policy", "explain", "--as", "user:x/y", "--tool", "github__get"]).ok().out;
    assert!(table.contains("deny: default deny") && table.contains("group:g1"), "{table}");
}

#[test]
fn who_can_and_what_can_not_be_meant() {
    let home = home();
    let who = home.run(&["policy", "who-can", "mail__send", "--output", "json"]).ok().json();
    let who: Vec<_> =
        who.as_array().unwrap().iter().map(|row| row["who"].as_str().unwrap()).collect();
    assert_eq!(who, ["owner", "role mailer", "token:mailer"]);
    let checked = home.run(&["policy", "check", "--output", "json"]);
    assert_eq!(checked.code, 1);
    let findings: Vec<(String, String)> = checked
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["finding"].as_str().unwrap().into(), row["rule"].as_str().unwrap().into()))
        .collect();
    let has = |finding: &str, rule: &str| findings.contains(&(finding.into(), rule.into()));
    assert!(has("unreachable", "role dev allow github/get_*"), "{findings:?}");
    assert!(has("nobody", "server secret"), "{findings:?}");
}

#[test]
fn cases_are_decided_as_they_say() {
    let home = home();
    let cases = r#"
[[case]]
name = "merging into main needs a person"
as = "token:ci"
tool = "github__merge"
arguments = { branch = "main" }
expect = "ask"
rule = "role dev ask github/merge arguments /branch"

[[case]]
as = "user:t/o"
groups = ["g1"]
tool = "github__get_issue"
expect = "permit"
"#;
    home.write("cases.toml", cases);
    home.run(&["policy", "test", "cases.toml"]).ok();
    home.write("cases.toml", &cases.replace("\"permit\"", "\"deny\""));
    let wrong = home.run(&["policy", "test", "cases.toml"]);
    assert_eq!(wrong.code, 1);
    assert!(wrong.out.contains("WRONG"), "{}", wrong.out);
    home.write("cases.toml", "[[case]]\nas = \"x\"\nexpct = \"deny\"\n");
    let mistaken = home.run(&["policy", "test", "cases.toml"]);
    assert_eq!(mistaken.code, 2);
    assert!(mistaken.err.contains("cases.toml:3"), "{}", mistaken.err);
}

#[test]
fn yesterdays_calls_are_decided_by_tomorrows_policy() {
    let home = Home::new();
    home.run(&["call", "demo", "echo", r#"{"text":"hi"}"#]).ok();
    home.run(&["call", "demo", "time"]).ok();
    home.write("new.toml", "[roles.all_but]\nmembers = [\"owner\"]\ndeny = [\"demo/time\"]\n");
    let replayed = home.run(&["policy", "replay", "--policy", "new.toml", "--output", "json"]).ok();
    let changes = replayed.json();
    assert_eq!(changes.as_array().unwrap().len(), 1, "{changes}");
    assert_eq!(changes[0]["what"], "demo/time");
    assert_eq!((&changes[0]["then"], &changes[0]["now"]), (&"permit".into(), &"deny".into()));
    assert!(replayed.err.contains("1 of 2 requests"), "{}", replayed.err);
}
