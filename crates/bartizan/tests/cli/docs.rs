//! What is generated is fresh, and what is promised is there.

use std::fmt::Write;

use crate::home::{Home, repository};

/// Compares a committed file with what it should be; `UPDATE_DOCS=1` writes it.
fn fresh(path: &str, text: &str) {
    let file = repository(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == text,
        "{path} is stale: run UPDATE_DOCS=1 cargo nextest run -p bartizan docs"
    );
}

#[test]
fn the_configuration_reference_is_fresh() {
    fresh("docs/configuration.md", &Home::new().run(&["config", "reference"]).ok().out);
}

#[test]
fn the_control_matrix_is_fresh() {
    fresh("docs/controls.md", &Home::new().run(&["report", "--controls"]).ok().out);
}

const COMMANDS: &[&[&str]] = &[
    &["up"],
    &["add"],
    &["import"],
    &["connect"],
    &["disconnect"],
    &["scan"],
    &["run"],
    &["remove"],
    &["list"],
    &["check"],
    &["call"],
    &["stdio"],
    &["demo-server"],
    &["token", "mint"],
    &["token", "list"],
    &["token", "revoke"],
    &["login"],
    &["logout"],
    &["whoami"],
    &["sessions", "list"],
    &["sessions", "revoke"],
    &["clients", "list"],
    &["clients", "remove"],
    &["grants", "list"],
    &["grants", "revoke"],
    &["secret", "set"],
    &["secret", "rotate"],
    &["secret", "list"],
    &["secret", "remove"],
    &["secret", "where-used"],
    &["secret", "expiry"],
    &["secret", "rotate-master"],
    &["doctor"],
    &["trust", "status"],
    &["trust", "diff"],
    &["trust", "approve"],
    &["trust", "reject"],
    &["trust", "revoke"],
    &["trust", "lock"],
    &["trust", "verify"],
    &["trust", "adopt"],
    &["trust", "sign"],
    &["trust", "keys"],
    &["trust", "suggest-labels"],
    &["flow", "show"],
    &["flow", "reset"],
    &["posture"],
    &["ps"],
    &["logs"],
    &["restart"],
    &["metrics"],
    &["top"],
    &["lock"],
    &["outdated"],
    &["sandbox", "suggest"],
    &["config", "example"],
    &["config", "reference"],
    &["config", "schema"],
    &["policy", "check"],
    &["policy", "explain"],
    &["policy", "replay"],
    &["policy", "schema"],
    &["policy", "show"],
    &["policy", "test"],
    &["policy", "who-can"],
    &["approvals", "list"],
    &["approvals", "show"],
    &["approvals", "approve"],
    &["approvals", "deny"],
    &["approvals", "watch"],
    &["report"],
    &["audit", "tail"],
    &["audit", "search"],
    &["audit", "verify"],
    &["audit", "prove"],
    &["audit", "check"],
    &["inspect", "text"],
    &["inspect", "file"],
    &["inspect", "score"],
    &["inspect", "test"],
    &["inspect", "rules"],
    &["completions"],
    &["version"],
    &[],
];

const HEAD: &str = "\
# The command line

<!-- Generated from the commands' own help: UPDATE_DOCS=1 cargo nextest run -p bartizan docs -->

| exit code | means |
| --- | --- |
| 0 | done |
| 1 | refused or failed: a tool reported an error, a server does not answer, the gateway can't start |
| 2 | the user's mistake: in the command line, in the configuration, a name that does not exist |

Results go to standard output, everything else to standard error. Every command that prints a table prints JSON with `--output json`.
`BARTIZAN_CONFIG`, `BARTIZAN_STATE_DIR`, `BARTIZAN_LOG` and `BARTIZAN_LOG_FORM` stand for `--config`, `--state-dir`, `--log` and `--log-form`; `NO_COLOR`
is respected.
";

#[test]
fn the_command_reference_is_fresh() {
    let home = Home::new();
    let mut page = String::from(HEAD);
    for words in
        COMMANDS.iter().rev().take(1).chain(COMMANDS.iter().filter(|words| !words.is_empty()))
    {
        let args: Vec<&str> = words.iter().copied().chain(["--help"]).collect();
        let help = home.run(&args).ok().out;
        let name =
            std::iter::once("bartizan").chain(words.iter().copied()).collect::<Vec<_>>().join(" ");
        // What every command understands is shown once.
        let own: Vec<&str> = help.lines().map(str::trim_end).collect();
        let own = if words.is_empty() { own } else { without_global(&own) };
        write!(page, "\n## `{name}`\n\n```text\n{}\n```\n", own.join("\n").trim_end()).unwrap();
    }
    fresh("docs/cli.md", &page);
}

/// Drops the options of every command, each with its lines.
fn without_global<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let global =
        ["--config <", "--state-dir <", "--output <", "--log <", "--log-form <", "-h, --help"];
    let mut dropping = false;
    let kept = lines.iter().filter(|line| {
        let option = line.trim_start();
        if option.starts_with('-') && line.starts_with("  ") {
            dropping = global.iter().any(|global| option.starts_with(global));
        } else if !line.starts_with("      ") {
            dropping = false;
        }
        !dropping
    });
    let mut kept: Vec<&str> = kept.copied().collect();
    if let Some(at) = kept.iter().position(|line| *line == "Options:")
        && kept.get(at + 1).is_none_or(|next| next.is_empty())
    {
        kept.drain(at..(at + 2).min(kept.len()));
    }
    kept
}

#[test]
fn every_command_is_in_the_reference() {
    let help = Home::new().run(&["--help"]).ok().out;
    let listed = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty());
    for name in listed.filter_map(|line| line.split_whitespace().next()) {
        assert!(
            COMMANDS.iter().any(|words| words.first() == Some(&name)),
            "{name} is not in the reference"
        );
    }
}

#[test]
fn the_example_is_valid_when_it_is_switched_on() {
    let home = Home::new();
    let example = home.run(&["config", "example"]).ok().out;
    home.write("bartizan.toml", &example);
    assert!(home.run(&["check"]).ok().out.starts_with("bartizan.toml: ok, 0 servers"));
    for name in
        ["cert.pem", "key.pem", "clients.pem", "provider-ca.pem", "siem-ca.pem", "mail-ca.pem"]
    {
        home.write(name, "");
    }
    std::fs::create_dir(home.path("policies")).unwrap();
    std::fs::create_dir(home.path("rules")).unwrap();
    home.write("rules/ours.toml", "");
    home.write("policies/finance.cedar", "permit(principal in Role::\"ci\", action, resource);");
    let on = example.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => setting,
        _ => line,
    });
    let on = on.collect::<Vec<_>>().join("\n").replace("/etc/bartizan/", "");
    home.write("bartizan.toml", &on);
    assert!(home.run(&["check"]).ok().out.starts_with("bartizan.toml: ok, 5 servers"));
}

#[test]
fn the_schema_is_one() {
    let schema = Home::new().run(&["config", "schema"]).ok().json();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["additionalProperties"], false);
    assert!(schema["properties"]["servers"]["description"].is_string());
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        assert!(
            Home::new().run(&["completions", shell]).ok().out.contains("demo-server"),
            "{shell}"
        );
    }
}

#[test]
fn mistakes_in_the_command_line_exit_with_2() {
    let home = Home::new();
    for args in [
        &["frobnicate"][..],
        &[],
        &["call"],
        &["add", "UPPER", "https://x/mcp"],
        &["add", "x"],
        &["up", "--listen", "here"],
        &["--log", "loud=very", "version"],
    ] {
        assert_eq!(home.run(args).code, 2, "{args:?}");
    }
    assert_eq!(
        home.run(&["version"]).ok().out,
        concat!("bartizan ", env!("CARGO_PKG_VERSION"), "\n")
    );
}
