//! `secret`

use crate::home::Home;

const CANARY: &str = "canary-5f1c93d2";

#[test]
fn a_secret_is_read_from_standard_input_and_never_printed() {
    let home = Home::new();
    let set = home
        .run_with_input(&["secret", "set", "github", "--expires", "90d", "--owner", "ops"], CANARY)
        .ok();
    assert!(set.out.contains("${secret:github}"), "{}", set.out);
    let list = home.run(&["secret", "list", "--output", "json"]).ok();
    let row = &list.json()[0];
    assert_eq!((row["name"].as_str(), row["version"].as_u64()), (Some("github"), Some(1)));
    assert_eq!(row["owner"], "ops");
    home.run_with_input(&["secret", "rotate", "github"], &format!("{CANARY}-2\n")).ok();
    let again = home.run_with_input(&["secret", "set", "github"], CANARY);
    assert_eq!(again.code, 2);
    assert!(again.err.contains("bartizan secret rotate github"), "{}", again.err);
    home.run(&["secret", "rotate-master"]).ok();
    let shown = [set.out, list.out, again.err, home.run(&["secret", "list"]).ok().out];
    assert!(shown.iter().all(|text| !text.contains("canary")), "{shown:?}");
    // Nor is it in any file.
    let state = home.path(".local/state/bartizan");
    for file in std::fs::read_dir(state).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(6).any(|window| window == b"canary"), "{}", path.display());
        }
    }
    home.run(&["secret", "remove", "github"]).ok();
    assert_eq!(home.run(&["secret", "remove", "github"]).code, 2);
}

#[test]
fn what_can_not_be_a_secret_is_a_mistake() {
    let home = Home::new();
    for (name, value) in [("a b", "x"), ("../x", "x"), ("empty", ""), ("line", "\n")] {
        assert_eq!(home.run_with_input(&["secret", "set", name], value).code, 2, "{name}");
    }
    let long = "x".repeat((64 << 10) + 1);
    assert_eq!(home.run_with_input(&["secret", "set", "long"], &long).code, 2);
    home.run_with_input(&["secret", "set", "long"], &long[1..]).ok();
    // A value has no place on the command line.
    assert_eq!(home.run(&["secret", "set", "a", "value"]).code, 2);
    let near = home.run_with_input(&["secret", "rotate", "lon"], "x");
    assert!(near.code == 2 && near.err.contains("did you mean `long`?"), "{}", near.err);
    assert_eq!(home.run_with_input(&["secret", "set", "a", "--expires", "soon"], "x").code, 2);
}

#[test]
fn uses_are_found_and_hold_a_secret_back_from_removal() {
    let home = Home::with(
        "[servers.a]\nurl = \"https://a.example.com/mcp\"\ncredential = { value = \"Bearer ${secret:known}\" }\n\
         [servers.b]\nurl = \"https://b.example.com/mcp\"\ncredential = { value = \"Bearer ${secret:knwon}\" }\n",
    );
    home.run_with_input(&["secret", "set", "known"], "x").ok();
    let check = home.run(&["check", "--output", "json"]).ok().json();
    let finding = &check["findings"][0];
    assert_eq!(finding["message"], "there is no secret `knwon`");
    assert_eq!(finding["line"], 6);
    assert!(finding["help"].as_str().unwrap().contains("did you mean ${secret:known}?"));
    let used = home.run(&["secret", "where-used", "known", "--output", "json"]).ok().json();
    assert_eq!(used[0]["key"], "servers.a.credential.value");
    assert_eq!((used[0]["line"].as_u64(), used.as_array().unwrap().len()), (Some(3), 1));
    let kept = home.run(&["secret", "remove", "known"]);
    assert!(
        kept.code == 2 && kept.err.contains("servers.a.credential.value, line 3"),
        "{}",
        kept.err
    );
    home.run(&["secret", "remove", "known", "--force"]).ok();
}

#[test]
fn what_expires_is_named_with_who_must_act() {
    let home = Home::with("[secrets.\"secret:token\"]\nowner = \"platform team\"\n");
    assert_eq!(home.run(&["secret", "expiry"]).code, 0);
    // A JSON Web Token from 2001, which says so itself.
    let token = "eyJhbGciOiJub25lIn0.eyJleHAiOjEwMDAwMDAwMDB9.c2ln";
    home.run_with_input(&["secret", "set", "token"], token).ok();
    home.run_with_input(&["secret", "set", "later", "--expires", "20d", "--owner", "ops"], "x")
        .ok();
    home.run_with_input(&["secret", "set", "never"], "x").ok();
    let expiry = home.run(&["secret", "expiry", "--output", "json"]);
    assert_eq!(expiry.code, 1, "{}", expiry.err);
    let rows = expiry.json();
    let told: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["secret"].as_str().unwrap(),
                row["state"].as_str().unwrap(),
                row["owner"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [("secret:token", "expired", "platform team"), ("secret:later", "later", "ops")]
    );
    home.run(&["secret", "remove", "token"]).ok();
    assert_eq!(home.run(&["secret", "expiry"]).code, 0);
    let ahead = home.run(&["secret", "expiry", "--within", "30d"]);
    assert!(ahead.code == 1 && ahead.out.contains("soon"), "{}", ahead.out);
}

#[cfg(unix)]
#[test]
fn a_key_file_that_others_can_read_stops_everything() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    home.run_with_input(&["secret", "set", "a"], "x").ok();
    let key = home.path(".local/state/bartizan/vault.key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = home.run(&["up", "--listen", "127.0.0.1:0"]);
    assert!(refused.code != 0 && refused.err.contains("chmod 600"), "{}", refused.err);
}
