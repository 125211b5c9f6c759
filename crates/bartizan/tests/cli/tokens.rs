//! `token`

use crate::home::Home;

#[test]
fn a_token_is_shown_alone_once_and_listed_without_its_text() {
    let home = Home::new();
    let minted = home.run(&["token", "mint", "laptop", "--expires", "30d"]).ok();
    assert!(minted.out.starts_with("bzt_") && minted.out.lines().count() == 1, "{}", minted.out);
    assert!(minted.err.contains("role `all`"), "{}", minted.err);
    let list = home.run(&["token", "list", "--output", "json"]).ok();
    assert!(!list.out.contains("bzt_"));
    let list = list.json();
    assert_eq!(
        (list[0]["name"].as_str(), list[0]["state"].as_str()),
        (Some("laptop"), Some("valid"))
    );
    assert!(list[0]["expires"].is_string());
    assert_eq!(home.run(&["token", "mint", "laptop"]).code, 2);
    home.run(&["token", "revoke", "laptop"]).ok();
    assert_eq!(home.run(&["token", "list", "--output", "json"]).ok().json()[0]["state"], "revoked");
    let again = home.run(&["token", "revoke", "laptop"]);
    assert_eq!(again.code, 2, "{}", again.err);
}

/// The configuration that counts is the running gateway's, wherever its owner stands.
#[test]
fn a_token_from_another_folder_is_no_wider_than_the_gateways_roles() {
    let home =
        Home::with("[roles.readers]\nallow = [\"demo/echo\"]\n[servers.demo]\ncommand = \"sh\"\n");
    let _up = home.up();
    std::fs::create_dir(home.path("other")).unwrap();
    let elsewhere = |args: &[&str]| {
        let done = home.command(args).current_dir(home.path("other")).output().unwrap();
        (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap())
    };
    let (_, said) = elsewhere(&["token", "mint", "q"]);
    assert!(said.contains("may call nothing yet"), "{said}");
    let list = home.run(&["token", "list", "--output", "json"]).ok().json();
    assert_eq!(list[0]["roles"], serde_json::json!([]), "{list}");
    let (rows, _) = elsewhere(&["posture", "--output", "json"]);
    let rows: serde_json::Value = serde_json::from_str(&rows).unwrap();
    let policy = rows.as_array().unwrap().iter().find(|row| row["name"] == "policy").unwrap();
    assert_eq!(policy["state"], "on", "{policy}");
    // A file that happens to stand there is not the gateway's, and that is said.
    home.write("other/bartizan.toml", "");
    let (_, said) = elsewhere(&["token", "mint", "r"]);
    assert!(said.contains("may call nothing yet") && said.contains("note: "), "{said}");
    let (_, said) = elsewhere(&["--config", "bartizan.toml", "token", "mint", "s"]);
    assert!(said.contains("the running gateway uses"), "{said}");
    let list = home.run(&["token", "list", "--output", "json"]).ok().json();
    assert_eq!(list.as_array().unwrap().len(), 2, "{list}");
}

#[test]
fn a_token_from_before_the_roles_is_shown_for_what_it_is() {
    let home = Home::new();
    let minted = home.run(&["token", "mint", "early"]).ok();
    assert!(minted.err.contains("mint it anew"), "{}", minted.err);
    home.write(
        "bartizan.toml",
        "[roles.a]\nallow = [\"demo/echo\"]\n[servers.demo]\ncommand = \"sh\"\n",
    );
    let who = home.run(&["policy", "who-can", "demo__add", "--output", "json"]).ok().json();
    let who: Vec<_> = who.as_array().unwrap().iter().map(|row| row["who"].clone()).collect();
    assert_eq!(who, ["owner", "token:early"]);
    let found = home.run(&["policy", "check", "--output", "json"]).json();
    assert!(found.as_array().unwrap().iter().any(|one| one["rule"] == "token early"), "{found}");
    let policy = || {
        let rows = home.run(&["posture", "--output", "json"]).ok().json();
        rows.as_array().unwrap().iter().find(|row| row["name"] == "policy").unwrap().clone()
    };
    assert_eq!(policy()["state"], "partial");
    assert!(policy()["means"].as_str().unwrap().contains("early"));
    home.run(&["token", "revoke", "early"]).ok();
    assert_eq!(policy()["state"], "on");
}

#[test]
fn roles_have_to_exist() {
    let home = Home::with(
        "[roles.readers]\nmembers = [\"token:ci\"]\nallow = [\"demo/echo\"]\n[servers.demo]\ncommand = \"sh\"\n",
    );
    let wrong = home.run(&["token", "mint", "a", "--role", "reader"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("did you mean `readers`?"), "{}", wrong.err);
    assert!(home.run(&["token", "mint", "a"]).ok().err.contains("may call nothing yet"));
    assert!(home.run(&["token", "mint", "ci"]).ok().err.contains("Its roles: readers."));
    home.run(&["token", "mint", "b", "--role", "readers", "--role", "all"]).ok();
    let list = home.run(&["token", "list", "--output", "json"]).ok().json();
    assert_eq!(list[1]["roles"], serde_json::json!(["readers", "all"]));
    assert_eq!(home.run(&["token", "mint", "No Name"]).code, 2);
}
