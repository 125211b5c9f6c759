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
