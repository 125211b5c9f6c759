//! What people let Bartizan have, in their own hands: a page in their browser, and their own token. Nobody else's is in reach.

use e2e::{Era, Request, eventually, node, run, source};
use http::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::place::{Browser, Client, Place, next, text};

/// A gateway where people sign in, in front of a server where they sign in, too.
async fn two() -> (Place, Place) {
    let server = Place::open("").await;
    let front = Place::open(&format!(
        "[servers.b]\nurl = \"{}/mcp/one\"\nallow-private = true\noauth = {{}}\n\
         [roles.both]\nmembers = [\"user:corp/alice\", \"user:corp/bob\"]\nallow = [\"b/*\"]\n",
        server.url
    ))
    .await;
    (front, server)
}

async fn calls(front: &Place, token: &str) -> Value {
    let address = &front.gateway.address;
    let client = e2e::Client::connect_as(address, "/mcp", Era::Stateless, Some(token)).await;
    client.call("b__echo", json!({"text": "hello"})).await
}

/// The link that a call answers with.
async fn link(front: &Place, token: &str) -> String {
    let refused = calls(front, token).await;
    assert_eq!(refused["error"]["code"], -32042, "{refused}");
    let link = refused.pointer("/error/data/elicitations/0/url").and_then(Value::as_str);
    link.unwrap_or_else(|| panic!("{refused}")).to_owned()
}

/// The value of the page's hidden field.
fn question(page: &str) -> String {
    let (_, rest) =
        page.split_once("name=\"question\" value=\"").unwrap_or_else(|| panic!("{page}"));
    rest.split('"').next().unwrap().to_owned()
}

/// Signs in, and gives the access token.
async fn signed_in(front: &Place, browser: &mut Browser, client: &Client, user: &str) -> String {
    front.provider.change(|state| state.user = user.to_owned());
    let back = browser.sign_in(front, client).await;
    let (status, tokens) = client.redeem(front, &back["code"]).await;
    assert_eq!(status, 200, "{tokens}");
    text(&tokens, "access_token").to_owned()
}

/// Opens the link in the person's browser, and goes the whole way.
async fn connect(front: &Place, server: &Place, browser: &mut Browser, link: &str) {
    let page = browser.get(front, link.strip_prefix(&front.url).unwrap()).await.text().await;
    let path = link.strip_prefix(&front.url).unwrap();
    let page = browser.post(front, path, &[("question", &question(&page))]).await.text().await;
    let authorize = next(&page);
    let mut there = Browser::default();
    let page = there.get(server, authorize.strip_prefix(&server.url).unwrap()).await.text().await;
    let provider = there.allow(server, &page).await;
    let callback = there.at_provider(server, &provider).await;
    let back = there.get(server, &callback).await.header("location").to_owned();
    let reply = browser.get(front, back.strip_prefix(&front.url).unwrap()).await;
    assert_eq!(reply.status, 200);
}

/// With this token: what `/grants` says, and what becomes of an order.
async fn ask(front: &Place, token: &str, revoke: Option<&str>) -> (u16, Value) {
    let address = &front.gateway.address;
    let request = match revoke {
        None => Request::new(Method::GET, address, "/grants"),
        Some(server) => Request::post(address, "/grants", json!({"server": server}).to_string()),
    };
    let mut reply = request.header("authorization", &format!("Bearer {token}")).send().await;
    let said = reply.text().await;
    (reply.status.as_u16(), serde_json::from_str(&said).unwrap_or(Value::String(said)))
}

#[tokio::test]
async fn a_person_sees_and_ends_their_own_and_nobody_elses() {
    let (front, server) = two().await;
    let client = front.client().await;
    let (mut alices, mut bobs) = (Browser::default(), Browser::default());
    let alice = signed_in(&front, &mut alices, &client, "alice").await;
    let link_of_alice = link(&front, &alice).await;
    connect(&front, &server, &mut alices, &link_of_alice).await;
    let bob = signed_in(&front, &mut bobs, &client, "bob").await;
    let link_of_bob = link(&front, &bob).await;
    connect(&front, &server, &mut bobs, &link_of_bob).await;
    for token in [&alice, &bob] {
        assert!(calls(&front, token).await["result"].is_object());
    }

    // By token: each their own.
    let (status, own) = ask(&front, &alice, None).await;
    assert_eq!((status, own.as_array().unwrap().len()), (200, 1), "{own}");
    assert_eq!((text(&own[0], "server"), text(&own[0], "principal")), ("b", "user:corp/alice"));
    assert_eq!(ask(&front, &alice, Some("one")).await.0, 404);
    assert_eq!(ask(&front, "no-token", None).await.0, 401);

    // In the browser: a button's form counts from this page, in this browser, and for its own person.
    let page = alices.get(&front, "/grants").await.text().await;
    assert!(page.contains("user:corp/alice") && !page.contains("user:corp/bob"), "{page}");
    let form = question(&page);
    let form = [("question", form.as_str())];
    let evil = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
    // Another origin does not even get to the page.
    let status = alices.post_from(&front, "/grants", &form, &evil).await.status;
    assert!(status.is_client_error(), "{status}");
    let silent = alices.post_from(&front, "/grants", &form, &[]).await;
    assert_eq!(silent.status, 403, "a form from nowhere");
    assert_eq!(bobs.post(&front, "/grants", &form).await.status, 403, "another's button");
    assert_eq!(Browser::default().post(&front, "/grants", &form).await.status, 403);
    assert_eq!(Browser::default().get(&front, "/grants").await.status, 403, "a stranger");
    assert_eq!(ask(&front, &alice, None).await.1.as_array().unwrap().len(), 1, "all is there");

    let mut reply = alices.post(&front, "/grants", &form).await;
    let page = reply.text().await;
    assert!(reply.status == 200 && page.contains("good no longer"), "{page}");
    link(&front, &alice).await;
    assert!(calls(&front, &bob).await["result"].is_object(), "the other one goes on");
    assert_eq!(ask(&front, &alice, None).await.1, json!([]));
    let (status, told) = ask(&front, &bob, Some("b")).await;
    assert_eq!((status, &told["given-back"]), (200, &json!(true)), "{told}");
    eventually("both sessions ended at the server", async || {
        let list = server.gateway.command().args(["sessions", "list", "--output", "json"]).output();
        serde_json::from_slice::<Value>(&list.await.unwrap().stdout).unwrap() == json!([])
    })
    .await;
    let log = run(front.gateway.command().args(["audit", "search", "--output", "json"])).await;
    let records: Vec<Value> = serde_json::from_str(&log).unwrap();
    let revoked = records.iter().filter(|record| record["method"] == "revoke").count();
    assert_eq!(revoked, 2);
}

/// `bartizan grants … --remote` on a person's own machine: its exit code, and all that it said.
async fn grants(front: &Place, arguments: &[&str]) -> (i32, String) {
    let mut command = front.gateway.command();
    let done = command.arg("grants").args(arguments).arg("--remote").output().await.unwrap();
    (done.status.code().unwrap(), String::from_utf8([done.stdout, done.stderr].concat()).unwrap())
}

#[tokio::test]
async fn from_a_terminal() {
    let (front, server) = two().await;
    let (code, said) = grants(&front, &["list"]).await;
    assert!(code == 2 && said.contains("bartizan login URL"), "{said}");
    let mut browser = Browser::default();
    front.provider.change(|state| state.user = "alice".to_owned());
    browser.login(&front, front.gateway.command()).await;
    let (code, said) = grants(&front, &["list"]).await;
    assert!(code == 0 && said.contains("you have connected nothing there"), "{said}");

    let client = front.client().await;
    let token = signed_in(&front, &mut browser, &client, "alice").await;
    let link_of_alice = link(&front, &token).await;
    connect(&front, &server, &mut browser, &link_of_alice).await;
    let (code, said) = grants(&front, &["list", "--output", "json"]).await;
    let rows: Value = serde_json::from_str(&said).unwrap_or_else(|fault| panic!("{fault}: {said}"));
    assert_eq!((code, rows.as_array().unwrap().len()), (0, 1), "{rows}");
    assert_eq!((text(&rows[0], "server"), text(&rows[0], "principal")), ("b", "user:corp/alice"));

    let (code, said) = grants(&front, &["revoke", "one"]).await;
    assert!(code == 2 && said.contains("you have no grant at `one`"), "{said}");
    let (code, said) = grants(&front, &["revoke", "b"]).await;
    assert!(code == 0 && said.contains("its tokens are good no longer"), "{said}");
    assert_eq!(grants(&front, &["revoke", "b"]).await.0, 2, "it is gone");
    // The next call asks her again.
    link(&front, &token).await;
}

#[tokio::test]
async fn with_a_real_browser() {
    let (front, server) = two().await;
    let client = front.client().await;
    let alice = signed_in(&front, &mut Browser::default(), &client, "alice").await;
    let link = link(&front, &alice).await;
    server.provider.change(|state| state.user = "alice".to_owned());
    let mut command = Command::new(node());
    command
        .arg(source("clients/grants.mjs"))
        .arg(format!("{}{}", front.url, front.client().await.authorize(&[])))
        .arg(&link)
        .arg(format!("{}/grants", front.url));
    let said = run(&mut command).await;
    let said: Value = serde_json::from_str(&said).unwrap_or_else(|fault| panic!("{fault}: {said}"));
    assert!(text(&said, "before").contains("Disconnect b"), "{said}");
    assert!(text(&said, "done").contains("its tokens are good no longer"), "{said}");
    assert!(text(&said, "after").contains("nothing is kept for you"), "{said}");
    assert!(!text(&said, "after").contains("Disconnect"), "{said}");
}
