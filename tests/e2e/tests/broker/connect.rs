//! A server with a sign-in of its own, behind the gateway: the person is asked in the way of the client's era, and what was
//! granted is given back when it is revoked. The server is another gateway, with its own sign-in.

use e2e::{Client, Era, Gateway, Reply, Request, run};
use http::Method;
use serde_json::{Value, json};

use crate::place::{Browser, Place, next};

/// A person's browser at the gateway in front.
struct Visitor<'a> {
    gateway: &'a Gateway,
    cookie: String,
}

impl Visitor<'_> {
    async fn get(&mut self, path: &str) -> Reply {
        let request = Request::new(Method::GET, &self.gateway.address, path);
        let reply = request.header("cookie", &self.cookie).send().await;
        if let Some(set) = reply.headers.get("set-cookie") {
            self.cookie = set.to_str().unwrap().split(';').next().unwrap().to_owned();
        }
        reply
    }

    async fn post(&self, path: &str, name: &str, value: &str) -> String {
        let form =
            url::form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
        let request = Request::post(&self.gateway.address, path, form)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("origin", &format!("http://{}", self.gateway.address))
            .header("sec-fetch-site", "same-origin")
            .header("cookie", &self.cookie);
        request.send().await.text().await
    }

    /// Opens a link, agrees, signs in at the server, and comes back.
    async fn connect(&mut self, link: &str, server: &Place) {
        let origin = format!("http://{}", self.gateway.address);
        let path = link.strip_prefix(&origin).unwrap_or_else(|| panic!("{link}"));
        let page = self.get(path).await.text().await;
        let (_, question) =
            page.split_once("name=\"question\" value=\"").unwrap_or_else(|| panic!("{page}"));
        let page = self.post(path, "question", question.split('"').next().unwrap()).await;
        let authorize = next(&page);
        let mut browser = Browser::default();
        let path = authorize.strip_prefix(&server.url).unwrap_or_else(|| panic!("{authorize}"));
        let page = browser.get(server, path).await.text().await;
        let provider = browser.allow(server, &page).await;
        let callback = browser.at_provider(server, &provider).await;
        let back = browser.get(server, &callback).await.header("location").to_owned();
        let path = back.strip_prefix(&origin).unwrap_or_else(|| panic!("{back}"));
        assert_eq!(self.get(path).await.status, 200);
    }
}

/// A call of a client that can show a link.
async fn call(client: &Client, more: Value) -> Value {
    let mut params = json!({
        "name": "echo", "arguments": {"text": "hello"},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}},
        },
    });
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut reply = client.prepare_raw("1", "tools/call", &params.to_string()).send().await;
    reply.next().await.unwrap()
}

#[tokio::test]
async fn whoever_has_to_connect_is_asked_and_what_is_revoked_is_given_back() {
    let server = Place::open("").await;
    let gateway = Gateway::start(&format!(
        "[servers.b]\nurl = \"{}/mcp/one\"\nallow-private = true\noauth = {{}}\n",
        server.url
    ))
    .await;
    let client = Client::plain(&gateway.address, "/mcp/b", Era::Stateless).await;
    // A client that can't show a link gets it in an error.
    let refused = client.call("echo", json!({"text": "hello"})).await;
    assert_eq!(refused["error"]["code"], -32042, "{refused}");

    let asked = call(&client, json!({})).await;
    let result = &asked["result"];
    assert_eq!(result["resultType"], "input_required", "{asked}");
    let question = &result["inputRequests"]["connect"];
    assert_eq!(
        (&question["method"], &question["params"]["mode"]),
        (&json!("elicitation/create"), &json!("url"))
    );
    let link = question["params"]["url"].as_str().unwrap();
    let answered = json!({
        "requestState": result["requestState"], "inputResponses": {"connect": {"action": "accept"}},
    });
    // The client comes back at once; the call waits for the person.
    let mut visitor = Visitor { gateway: &gateway, cookie: String::new() };
    let (reply, ()) = tokio::join!(call(&client, answered), visitor.connect(link, &server));
    assert_eq!(reply["result"]["content"][0]["text"], "hello", "{reply}");
    assert_eq!(client.call_text("echo", json!({"text": "again"})).await, "again");

    let told = run(gateway.command().args(["grants", "revoke", "b", "loopback"])).await;
    assert!(told.contains("its tokens are good no longer"), "{told}");
    let sessions =
        run(server.gateway.command().args(["sessions", "list", "--output", "json"])).await;
    assert_eq!(
        serde_json::from_str::<Value>(&sessions).unwrap(),
        json!([]),
        "the session ended there"
    );
    e2e::eventually("the caller is asked anew", async || {
        call(&client, json!({})).await["result"]["resultType"] == "input_required"
    })
    .await;
}
