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
    let nobody = home.run(&["policy", "explain", "--as", "ci", "--tool", "github__get"]);
    assert!(nobody.code == 2 && nobody.err.contains("token:ci"), "{}", nobody.err);
    let stranger = ["policy", "explain", "--as", "token:zz", "--tool", "nosuch__x"];
    let said = home.run(&stranger).ok().err;
    assert!(said.contains("`zz`") && said.contains("`nosuch`"), "{said}");
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
fn conditions_are_held_against_what_tools_take() {
    let demo = env!("CARGO_BIN_EXE_bartizan");
    let config = |line: &str, more: &str| {
        format!(
            "[servers.demo]\ncommand = {demo:?}\nargs = [\"demo-server\"]\non-first-use = \"approve\"\n\
             [roles.dev]\nmembers = [\"token:ci\"]\nallow = [\"demo/greet\", \"demo/time\", \"demo/echo\",\n  {line}]\n{more}"
        )
    };
    let wrong = r#"{ match = "demo/add", arguments = { "/aa" = { max = 9 } } }"#;
    let home = Home::with(&config(wrong, "[policy]\nfiles = [\"a.cedar\"]\n"));
    home.write(
        "a.cedar",
        "// Never holds: a is a number.\nforbid(principal, action, resource == Tool::\"demo/add\")\n\
         when { context.arguments.text.hasTag(\"/a\") };\n",
    );
    let found = |home: &Home| {
        let ran = home.run(&["policy", "check", "--output", "json"]);
        let rows = ran.json().as_array().unwrap().clone();
        let rows = rows.into_iter().filter(|row| row["finding"] == "argument");
        let text = |row: &serde_json::Value, of: &str| row[of].as_str().unwrap().to_owned();
        rows.map(|row| (text(&row, "rule"), text(&row, "detail"), text(&row, "place")))
            .collect::<Vec<_>>()
    };
    assert_eq!(found(&home), [], "nothing is approved yet");

    home.run(&["call", "demo", "time"]).ok();
    let offline = found(&home);
    let [(role, missing, at), (policy, typed, place)] = offline.as_slice() else {
        panic!("{offline:?}")
    };
    assert_eq!(role, "role dev allow demo/add arguments /aa");
    assert_eq!(missing, "demo/add takes no argument /aa; did you mean /a?");
    assert!(at.ends_with("bartizan.toml:8:39"), "{at}");
    assert!(policy.ends_with("a.cedar:2"), "{policy}");
    assert_eq!(typed, "/a of demo/add is a number, and is looked at as a text");
    assert!(place.ends_with("a.cedar:3:38"), "{place}");

    let mut up = home.up();
    assert_eq!(found(&home), offline, "the running gateway offers the same");
    // What is put into the store is held against it too, before it is kept.
    let text = "permit(principal, action, resource == Tool::\"demo/add\")\n\
                when { context.arguments.given.contains(\"/aa\") };\n";
    home.write("put.cedar", text);
    let put = home.run(&["policy", "put", "sums", "put.cedar"]).ok().err;
    let missing = "warning: demo/add takes no argument /aa";
    assert!(put.contains(missing) && put.contains("put.cedar:2:41"), "{put}");
    assert!(put.contains("did you mean /a?") && !put.contains("a.cedar:3"), "{put}");
    home.write("put.cedar", &text.replace("/aa", "/a"));
    assert_eq!(home.run(&["policy", "put", "sums", "put.cedar"]).ok().err, "");
    home.run(&["policy", "remove", "sums"]).ok();
    // And so is a configuration that is taken up.
    let log = up.logged("a.cedar:3:38");
    assert!(log.contains("bartizan.toml:8:39"), "{log}");
    drop(up);
    let right = r#"{ match = "demo/add", arguments = { "/a" = { max = 9 } } }"#;
    home.write("bartizan.toml", &config(right, ""));
    assert_eq!(found(&home), []);
}

#[test]
fn what_a_policy_can_say_of_a_tools_arguments() {
    let home = Home::new();
    let unknown = home.run(&["policy", "arguments", "demo__add"]);
    assert!(unknown.code == 2 && unknown.err.contains("bartizan trust"), "{}", unknown.err);
    home.run(&["call", "demo", "time"]).ok();
    let misspelt = home.run(&["policy", "arguments", "demo/ad"]);
    assert!(misspelt.code == 2 && misspelt.err.contains("demo/add?"), "{}", misspelt.err);

    let shown = home.run(&["policy", "arguments", "demo__add", "--output", "json"]).ok().json();
    let rows = shown.as_array().unwrap();
    let told: Vec<_> = rows.iter().map(|row| (&row["argument"], &row["types"])).collect();
    let number = serde_json::json!(["a number"]);
    assert_eq!(told, [(&"/a".into(), &number), (&"/b".into(), &number)]);
    // Each condition can stand in a policy as it is.
    let conditions = rows.iter().map(|row| row["conditions"][0].as_str().unwrap());
    let policy = |condition| {
        format!(
            "permit(principal, action, resource == Tool::\"demo/add\") when {{ {condition} }};\n"
        )
    };
    let text: String = conditions.map(policy).collect();
    assert_eq!(home.run_with_input(&["policy", "put", "sums", "-"], &text).ok().err, "");
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

#[test]
fn what_the_log_does_not_hold_is_not_guessed() {
    let home = Home::new();
    home.run(&["call", "demo", "echo", r#"{"text":"hi"}"#]).ok();
    home.run(&["call", "demo", "time"]).ok();
    // Not there, which is nobody's decision.
    assert_eq!(home.run(&["call", "demo", "nosuch"]).code, 1);
    let replay = |policy: &str| {
        home.write("new.toml", policy);
        let ran = home.run(&["policy", "replay", "--policy", "new.toml", "--output", "json"]).ok();
        (ran.json().as_array().unwrap().clone(), ran.err)
    };
    let deny = |line: &str| format!("[roles.r]\nmembers = [\"owner\"]\ndeny = [{line}]\n");

    let (rows, told) = replay(&deny(r#"{ match = "demo/*", arguments = { "/text" = "hi" } }"#));
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((&row["what"], &row["now"]), (&"demo/echo".into(), &"unknown".into()), "{row}");
    assert_eq!(row["rule"], "role r deny demo/* arguments /text");
    assert_eq!(row["missing"], serde_json::json!(["arguments"]));
    assert!(told.contains("0 of 2 requests") && told.contains("1 can't be decided"), "{told}");

    // What the approved definition says of itself is known, and so is the machine.
    let (rows, told) = replay(&deny(r#"{ match = "demo/*", annotated = ["writes"] }"#));
    assert_eq!(rows.len(), 0, "{rows:?} {told}");
    let (rows, _) = replay(&deny(r#"{ match = "demo/echo", annotated = ["read-only"] }"#));
    assert_eq!((rows.len(), &rows[0]["now"]), (1, &"deny".into()), "{rows:?}");
    // Calls that would now wait for a person.
    let (rows, _) = replay("[roles.r]\nmembers = [\"owner\"]\nask = [\"demo/time\"]\n");
    assert_eq!((rows.len(), &rows[0]["now"]), (1, &"ask".into()), "{rows:?}");
}

#[test]
fn roles_of_the_store_count_wherever_roles_do() {
    let home = Home::with("[servers.demo]\ncommand = \"sh\"\n");
    let team = "[roles.team]\nmembers = [\"token:ada\"]\nallow = [\"demo/echo\"]\n";
    home.write("team.toml", &team.replace("token:ada", "ada"));
    let refused = home.run(&["policy", "put", "team", "team.toml"]);
    assert!(refused.code == 2 && refused.err.contains("team.toml:2"), "{}", refused.err);
    let whole =
        home.run_with_input(&["policy", "put", "team", "-", "--roles"], "separator = \".\"\n");
    assert!(whole.code == 2 && whole.err.contains("`separator`"), "{}", whole.err);
    let put = ["policy", "put", "team", "-", "--roles"];
    let odd = home.run_with_input(&put, &team.replace("demo/echo", "dmeo/echo")).ok().err;
    assert!(odd.contains("no server is called `dmeo`"), "{odd}");
    home.run_with_input(&put, team).ok();

    let list = home.run(&["policy", "list", "--output", "json"]).ok().json();
    assert_eq!((&list[0]["name"], &list[0]["form"]), (&"team".into(), &"roles".into()), "{list}");
    assert_eq!(home.run(&["policy", "get", "team"]).ok().out, team);
    assert!(home.run(&["policy", "show"]).ok().out.contains("role team allow demo/echo"));
    let who = home.run(&["policy", "who-can", "demo__echo"]).ok().out;
    assert!(who.contains("token:ada") && who.contains("role team"), "{who}");
    // A token minted now is not one that may do everything.
    let minted = home.run(&["token", "mint", "ada"]).ok().err;
    assert!(minted.contains("Its roles: team"), "{minted}");
    home.run(&["token", "mint", "eve", "--role", "team"]).ok();
    let posture = home.run(&["posture", "--output", "json"]).ok().json();
    let policy = posture.as_array().unwrap().iter().find(|row| row["name"] == "policy").unwrap();
    assert_eq!(policy["state"], "on", "{policy}");
    // A role is defined in one place.
    let own = home.read("bartizan.toml");
    home.write("bartizan.toml", &format!("{own}{team}"));
    for command in [&["check"][..], &["policy", "show"], &["policy", "check"]] {
        let clash = home.run(command);
        assert!(clash.code == 2 && clash.err.contains("store:team:1"), "{}", clash.err);
        assert!(clash.err.contains("is defined in bartizan.toml too"), "{}", clash.err);
    }
    let refused = home.run(&["up", "--listen", "127.0.0.1:0"]);
    assert!(
        refused.code != 0 && refused.err.contains("bartizan policy get team"),
        "{}",
        refused.err
    );
    home.write("bartizan.toml", &own);
    // What has the same name takes its place, in whatever form.
    let cedar = "forbid(principal, action, resource == Tool::\"demo/echo\");\n";
    home.run_with_input(&["policy", "put", "team", "-"], cedar).ok();
    let list = home.run(&["policy", "list", "--output", "json"]).ok().json();
    assert_eq!((list.as_array().unwrap().len(), &list[0]["form"]), (1, &"cedar".into()), "{list}");
    home.run(&["policy", "remove", "team"]).ok();
}

#[test]
fn policies_of_the_store_are_validated_shared_and_recorded() {
    let home = Home::new();
    let up = home.up();
    let call = || home.run(&["call", "demo", "echo", r#"{"text":"hi"}"#]);
    call().ok();

    home.write(
        "wrong.cedar",
        "permit(principal, action, resource)\nwhen { resource.nam == \"x\" };\n",
    );
    let refused = home.run(&["policy", "put", "no-echo", "wrong.cedar"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("wrong.cedar:2:8"), "{}", refused.err);
    assert_eq!(home.run(&["policy", "put", "No Echo", "wrong.cedar"]).code, 2);
    assert!(home.run(&["policy", "list"]).ok().out.contains("no policies"));

    let deny = "@id(\"quiet\") forbid(principal, action, resource == Tool::\"demo/echo\");\n";
    let put = ["policy", "put", "no-echo", "-"];
    home.run_with_input(&put, deny).ok();
    assert_eq!(home.run(&["policy", "get", "no-echo"]).ok().out, deny);
    assert!(home.run(&["policy", "show"]).ok().out.contains("quiet"));
    let explain = ["policy", "explain", "--as", "owner", "--tool", "demo__echo"];
    assert!(home.run(&explain).ok().out.contains("deny: policy quiet"));
    let until = |done: &dyn Fn() -> bool| {
        let began = std::time::Instant::now();
        while !done() {
            assert!(began.elapsed().as_secs() < 20, "it is not applied");
        }
    };
    until(&|| call().code != 0);
    drop(up);
    // Another gateway of the same store, which ends with its command.
    let denied = call();
    assert_eq!(denied.code, 1, "{}", denied.err);

    let up = home.up();
    home.run(&["policy", "remove", "no-echo"]).ok();
    until(&|| call().code == 0);
    assert_eq!(home.run(&["policy", "remove", "no-echo"]).code, 2);
    drop(up);

    let records =
        home.run(&["audit", "search", "--kind", "config", "--output", "json"]).ok().json();
    let records = records.as_array().unwrap();
    let told: Vec<_> = records
        .iter()
        .filter(|record| record["method"] == "policy")
        .map(|record| (record["name"].clone(), record["principal"].clone()))
        .collect();
    assert_eq!(told, [("no-echo".into(), "owner".into()), ("no-echo".into(), "owner".into())]);
    assert!(records.iter().any(|record| record["detail"].as_str().unwrap().starts_with("put ")));
}
