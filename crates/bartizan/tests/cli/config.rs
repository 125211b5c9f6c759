//! What is said of a configuration that is not right.

use crate::home::Home;

/// The report on standard error; every one of these is the user's mistake.
fn refused(config: &str) -> String {
    let ran = Home::with(config).run(&["check"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
    ran.err
}

#[test]
fn an_unknown_key_comes_with_the_one_that_was_meant() {
    insta::assert_snapshot!("unknown_key", refused("lissten = \"127.0.0.1:8420\"\n"));
    insta::assert_snapshot!(
        "unknown_key_in_a_server",
        refused("[servers.files]\ncommand = \"sh\"\nenviroment = {}\n")
    );
    insta::assert_snapshot!("unknown_key_like_nothing", refused("[identity]\ncolour = \"red\"\n"));
}

#[test]
fn a_wrong_type_comes_with_the_right_form() {
    insta::assert_snapshot!(
        "wrong_type",
        refused("[servers.files]\ncommand = \"sh\"\ntimeout = 60\n")
    );
    insta::assert_snapshot!(
        "wrong_type_list",
        refused("[servers.files]\ncommand = \"sh\"\nargs = \"-c\"\n")
    );
    insta::assert_snapshot!("wrong_type_boolean", refused("[audit]\nstrict = \"yes\"\n"));
}

#[test]
fn a_value_that_means_nothing_comes_with_one_that_does() {
    insta::assert_snapshot!("size", refused("[limits]\nbody = \"10 megs\"\n"));
    insta::assert_snapshot!("period", refused("[limits]\nsession-idle = \"30\"\n"));
    insta::assert_snapshot!("out_of_range", refused("[limits]\ndepth = 4000\n"));
    insta::assert_snapshot!("listen", refused("listen = \"localhost:9000\"\n"));
    insta::assert_snapshot!("separator", refused("separator = \"-\"\n"));
    insta::assert_snapshot!("origin", refused("origins = [\"*\"]\n"));
    insta::assert_snapshot!(
        "value",
        refused("[servers.a]\ncommand = \"sh\"\nera = \"statless\"\n")
    );
}

#[test]
fn servers_that_can_not_be() {
    insta::assert_snapshot!("server_name", refused("[servers.My_Files]\ncommand = \"sh\"\n"));
    insta::assert_snapshot!("url", refused("[servers.github]\nurl = \"mcp.example.com/mcp\"\n"));
    insta::assert_snapshot!(
        "url_with_password",
        refused("[servers.github]\nurl = \"https://me:secret@mcp.example.com/mcp\"\n")
    );
    insta::assert_snapshot!(
        "url_and_command",
        refused("[servers.both]\nurl = \"https://mcp.example.com/mcp\"\ncommand = \"sh\"\n")
    );
    insta::assert_snapshot!("neither_url_nor_command", refused("[servers.none]\nshared = true\n"));
    insta::assert_snapshot!(
        "reference",
        refused(
            "[servers.a]\nurl = \"https://a.example/mcp\"\ncredential = { value = \"Bearer ${TOKEN}\" }\n"
        )
    );
    insta::assert_snapshot!(
        "header",
        refused(
            "[servers.a]\nurl = \"https://a.example/mcp\"\ncredential = { header = \"Host\", value = \"x\" }\n"
        )
    );
}

#[test]
fn roles_that_can_not_be() {
    insta::assert_snapshot!("role_name", refused("[roles.all]\nallow = [\"*\"]\n"));
    insta::assert_snapshot!("member", refused("[roles.dev]\nmembers = [\"ci\"]\n"));
    insta::assert_snapshot!("pattern", refused("[roles.dev]\nallow = [\"github\"]\n"));
}

#[test]
fn a_text_that_is_not_toml() {
    insta::assert_snapshot!("not_toml", refused("listen = \"127.0.0.1:8420\nhosts = []\n"));
}

#[test]
fn several_errors_are_told_at_once() {
    let err = refused("[servers.a]\nshared = true\n[servers.b]\nshared = true\n");
    assert!(
        err.contains("server `a` has neither") && err.contains("server `b` has neither"),
        "{err}"
    );
}

#[test]
fn every_mistake_of_the_form_is_told_in_the_order_of_the_file() {
    let text = "lissten = 1\nhosts = \"a\"\n[limits]\ndepht = 3\n[servers.a]\ncommand = \"sh\"\nheader = { A = \"b\" }\n[servers.a.sandbox]\nlevl = \"off\"\n";
    let report = Home::with(text).run(&["check", "--output", "json"]).json();
    let lines: Vec<_> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["line"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, [1, 2, 4, 7, 9], "{report}");
    assert!(report["findings"][3]["help"].as_str().unwrap().contains("[servers.NAME.credential]"));
    // What is missing because it was faulty is no mistake of its own.
    let text = "[servers.a]\nurl = \"https://a.example/\"\n[servers.a.credential]\nvalue = 1\n";
    let report = Home::with(text).run(&["check", "--output", "json"]).json();
    assert_eq!(report["findings"].as_array().unwrap().len(), 1, "{report}");
}

#[test]
fn a_bracket_in_a_pattern_is_refused() {
    let shown = refused("[roles.a]\nallow = [\"files/[ab\"]\n");
    assert!(shown.contains("has a bracket"), "{shown}");
    Home::with("[roles.a]\nallow = [\"resource:files/http://[::1]/*\"]\n").run(&["check"]).ok();
}

#[test]
fn warnings_name_the_mend_and_are_no_error() {
    let home = Home::with(concat!(
        "listen = \"0.0.0.0:8420\"\n",
        "[roles.dev]\nmembers = [\"token:ci\"]\nallow = [\"githb/*\"]\n",
        "[servers.github]\nurl = \"http://10.0.0.7/mcp\"\ncredential = { value = \"Bearer abc\" }\n",
        "[servers.files]\ncommand = \"no-such-program\"\nenv = { API_TOKEN = \"abc\", LANG = \"de\", OTHER = \"${env:NOT_SET_HERE}\" }\n",
    ));
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(home.path("bartizan.toml"), private).unwrap();
    let ran = home.run(&["check"]).ok();
    assert_eq!(ran.out, "bartizan.toml: ok, 2 servers, 9 warnings\n", "{}", ran.err);
    insta::assert_snapshot!("warnings", ran.err);
}

#[test]
fn a_literal_secret_is_never_repeated_outside_the_file() {
    let key = format!("ghp_{}", "a1".repeat(18));
    let home = Home::with(&format!("[servers.a]\ncommand = \"sh\"\nargs = [\"--key={key}\"]\n"));
    let report = home.run(&["check", "--output", "json"]).ok();
    assert!(
        report.out.contains("looks like a GitHub token") && !report.out.contains(&key),
        "{}",
        report.out
    );
}

#[test]
fn findings_as_json_have_line_and_column() {
    let ran = Home::with("# first\n  lissten = 1\n").run(&["check", "--output", "json"]);
    let report = ran.json();
    assert_eq!(ran.code, 2);
    assert_eq!(report["ok"], false);
    let finding = &report["findings"][0];
    assert_eq!((finding["line"].as_u64(), finding["column"].as_u64()), (Some(2), Some(3)));
    assert_eq!(finding["help"], "did you mean `listen`?");
}

#[test]
fn which_file_is_read() {
    let home = Home::new();
    let ran = home.run(&["check"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("there is no configuration"), "{}", ran.err);
    let ran = home.run(&["check", "--config", "missing.toml"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("missing.toml"), "{}", ran.err);
    std::fs::create_dir_all(home.path(".config/bartizan")).unwrap();
    home.write(".config/bartizan/bartizan.toml", "");
    assert!(home.run(&["check"]).ok().out.contains(".config/bartizan/bartizan.toml: ok"));
    home.write("bartizan.toml", "");
    assert!(home.run(&["check"]).ok().out.starts_with("bartizan.toml: ok"));
    home.write("other.toml", "");
    assert!(home.run(&["--config", "other.toml", "check"]).ok().out.starts_with("other.toml: ok"));
}

#[test]
fn a_provider_that_cannot_work_is_refused_at_its_place() {
    let entra = "[identity.providers.entra]\nkind = \"entra\"\n";
    let oidc = "[identity.providers.corp]\nkind = \"oidc\"\n";
    for (text, said) in [
        (entra.to_owned(), "the provider `entra` has no `tenants`"),
        (format!("{entra}tenants = [\"common\"]\n"), "tokens of all tenants are never accepted"),
        (
            format!("{entra}issuer = \"https://x\"\n"),
            "`issuer` means nothing to a provider of kind `entra`",
        ),
        (format!("{entra}groups = \"graph\"\n"), "with which to ask Graph"),
        (oidc.to_owned(), "the provider `corp` has no `issuer`"),
        (format!("{oidc}issuer = \"id.example.com\"\n"), "is not a URL of the web"),
        (
            format!("{oidc}issuer = \"http://id.example.com\"\n"),
            "could give out the keys of `corp`",
        ),
        (
            format!("{oidc}issuer = \"https://x\"\nalgorithms = [\"HS256\"]\n"),
            "`HS256` is not an algorithm",
        ),
        (format!("{oidc}issuer = \"https://x\"\nrefresh = \"2d\"\n"), "a day at most"),
        (
            format!(
                "{oidc}issuer = \"https://x\"\ntenants = [\"11111111-2222-3333-4444-555555555555\"]\n"
            ),
            "`tenants` means nothing",
        ),
        (
            "[identity.providers.m]\nkind = \"spiffe\"\ntrust-domain = \"spiffe://a.b/c\"\n"
                .to_owned(),
            "write \"a.b\"",
        ),
        ("[identity.providers.m]\nkind = \"saml\"\n".to_owned(), "unknown value `saml`"),
        ("[identity.providers.Corp]\nkind = \"oidc\"\n".to_owned(), "can't be a provider's name"),
        (
            "[identity.providers.tls]\nkind = \"oidc\"\nissuer = \"https://x\"\n".to_owned(),
            "give this provider another name",
        ),
        ("public-url = \"https://mcp.example.com/mcp\"\n".to_owned(), "has a path"),
    ] {
        let shown = refused(&text);
        assert!(shown.contains(said), "{text}\n{shown}");
    }
}
