//! What is generated is fresh, and what is promised is there.

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

const HEAD: &str = "\
# The command line

<!-- Generated from the commands' own help: UPDATE_DOCS=1 cargo nextest run -p bartizan docs -->

| exit code | means |
| --- | --- |
| 0 | done |
| 1 | refused or failed: a tool reported an error, a server does not answer, the gateway can't start |
| 2 | the user's mistake: in the command line, in the configuration, a name that does not exist |

Results go to standard output, everything else to standard error. Every command that prints a table prints JSON with `--output json`.
Where a gateway runs on the state folder, commands are about the configuration that it uses, wherever they are started; `--config` names another.
`BARTIZAN_CONFIG`, `BARTIZAN_STATE_DIR`, `BARTIZAN_LOG` and `BARTIZAN_LOG_FORM` stand for `--config`, `--state-dir`, `--log` and `--log-form`; `NO_COLOR`
is respected.
";

#[test]
fn the_command_reference_is_fresh() {
    let home = Home::new();
    let mut page = String::from(HEAD);
    page.push_str(&described(&home, &[]));
    let commands = commands(&home, &[]);
    for known in ["audit show", "sandbox show", "policy get"] {
        assert!(commands.iter().any(|words| words.join(" ") == known), "{known}: {commands:?}");
    }
    for words in commands {
        page.push_str(&described(&home, &words));
    }
    fresh("docs/cli.md", &page);
}

fn help(home: &Home, words: &[String]) -> String {
    let args: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
    home.run(&args).ok().out
}

/// Every command that does something, as its words, found by walking through the help.
fn commands(home: &Home, words: &[String]) -> Vec<Vec<String>> {
    let help = help(home, words);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = listed
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help");
    let below: Vec<Vec<String>> =
        names.flat_map(|name| commands(home, &[words, &[name.to_owned()]].concat())).collect();
    if below.is_empty() { vec![words.to_vec()] } else { below }
}

fn described(home: &Home, words: &[String]) -> String {
    let name = std::iter::once("bartizan").chain(words.iter().map(String::as_str));
    let name = name.collect::<Vec<_>>().join(" ");
    let help = help(home, words);
    // What every command understands is shown once.
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let own = if words.is_empty() { lines } else { without_global(&lines) };
    format!("\n## `{name}`\n\n```text\n{}\n```\n", own.join("\n").trim_end())
}

/// Drops the options of every command, each with all that is said of it.
fn without_global<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let global =
        ["--config <", "--state-dir <", "--output <", "--log <", "--log-form <", "-h, --help"];
    let mut kept: Vec<&str> = Vec::new();
    let mut dropping = false;
    for line in lines {
        let option = line.trim_start();
        // What an option says stands further in than its name.
        if option.starts_with('-') && (1..=6).contains(&(line.len() - option.len())) {
            dropping = global.iter().any(|global| option.starts_with(global));
        } else if !line.is_empty() && !line.starts_with("  ") {
            if dropping {
                kept.push("");
            }
            dropping = false;
        }
        if !dropping {
            kept.push(line);
        }
    }
    if let Some(at) = kept.iter().position(|line| *line == "Options:")
        && kept.get(at + 1).is_none_or(|next| next.is_empty())
    {
        kept.remove(at);
    }
    kept.dedup_by(|line, before| line.is_empty() && before.is_empty());
    kept
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
