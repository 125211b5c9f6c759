//! A gateway where people sign in, a browser without a screen, and a client.

use std::{collections::HashMap, process::Stdio};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use e2e::{Gateway, Reply, Request, binary, eventually};
use http::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::provider::{Provider, form};

/// A gateway, and the provider that it trusts.
pub struct Place {
    pub gateway: Gateway,
    pub provider: Provider,
    /// The gateway's public URL, which stays when it restarts elsewhere.
    pub url: String,
}

impl Place {
    /// With these keys more in `[sign-in]`.
    pub async fn open(more: &str) -> Place {
        let provider = Provider::start().await;
        let gateway = Gateway::start_with("", &[]).await;
        let url = format!("http://{}", gateway.address);
        let (issuer, everything) = (&provider.issuer, binary("everything"));
        let configuration = format!(
            r#"
            public-url = "{url}"
            [identity]
            recheck = "5s"
            [identity.providers.corp]
            kind = "oidc"
            issuer = "{issuer}"
            allow-private = true
            [sign-in]
            provider = "corp"
            client-id = "bartizan"
            {more}
            [trust]
            on-first-use = "approve"
            [roles.people]
            members = ["user:corp/alice", "user:corp/bob"]
            allow = ["one/echo"]
            [servers.one]
            command = {everything:?}
            args = ["stdio", "--era", "stateless"]
            [servers.two]
            command = {everything:?}
            args = ["stdio", "--era", "stateless"]
            "#
        );
        std::fs::write(gateway.folder().join("bartizan.toml"), configuration).unwrap();
        let place = Place { gateway, provider, url };
        eventually("sign-in is offered", async || {
            place.get("/.well-known/oauth-authorization-server").await.status == 200
        })
        .await;
        place
    }

    pub async fn get(&self, path: &str) -> Reply {
        Request::new(Method::GET, &self.gateway.address, path).send().await
    }

    pub async fn json(&self, path: &str) -> Value {
        let mut reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}");
        serde_json::from_str(&reply.text().await).unwrap()
    }

    /// A form at one of the endpoints for programs.
    pub async fn post(
        &self,
        path: &str,
        form: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> (u16, Value) {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = Request::post(&self.gateway.address, path, body)
            .header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut reply = request.send().await;
        let text = reply.text().await;
        (reply.status.as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub async fn token(&self, form: &[(&str, &str)]) -> (u16, Value) {
        self.post("/oauth/token", form, &[]).await
    }

    pub async fn register(&self, document: Value) -> (u16, Value) {
        let mut reply =
            Request::post(&self.gateway.address, "/oauth/register", document.to_string())
                .send()
                .await;
        (reply.status.as_u16(), serde_json::from_str(&reply.text().await).unwrap_or_default())
    }

    /// A client that has just registered itself.
    pub async fn client(&self) -> Client {
        let redirect = "http://127.0.0.1:4711/callback";
        let (status, answer) =
            self.register(json!({"client_name": "Test client", "redirect_uris": [redirect]})).await;
        assert_eq!(status, 201, "{answer}");
        Client {
            id: answer["client_id"].as_str().unwrap().to_owned(),
            redirect: redirect.to_owned(),
            verifier: "v".repeat(50),
            resource: format!("{}/mcp", self.url),
        }
    }

    /// What a door answers to this token.
    pub async fn knock(&self, door: &str, authorization: &str, headers: &[(&str, &str)]) -> u16 {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
        let mut request = Request::post(&self.gateway.address, door, body.to_string());
        request = request.header("authorization", authorization);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.send().await.status.as_u16()
    }

    pub async fn knocks(&self, token: &str) -> u16 {
        self.knock("/mcp", &format!("Bearer {token}"), &[]).await
    }

    /// Signs somebody in, from the first page to the tokens.
    pub async fn signed_in(&self, user: &str) -> (Client, Value) {
        self.provider.change(|state| state.user = user.to_owned());
        let (mut browser, client) = (Browser::default(), self.client().await);
        let back = browser.sign_in(self, &client).await;
        let (status, tokens) = client.redeem(self, &back["code"]).await;
        assert_eq!(status, 200, "{tokens}");
        (client, tokens)
    }
}

/// A client of the authorization server.
#[derive(Clone)]
pub struct Client {
    pub id: String,
    pub redirect: String,
    pub verifier: String,
    pub resource: String,
}

impl Client {
    pub fn challenge(&self) -> String {
        use sha2::Digest;
        B64.encode(sha2::Sha256::digest(self.verifier.as_bytes()))
    }

    pub fn authorize(&self, change: &[(&str, &str)]) -> String {
        let challenge = self.challenge();
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", &self.id),
            ("redirect_uri", &self.redirect),
            ("resource", &self.resource),
            ("state", "client-state"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        pairs.retain(|(name, _)| !change.iter().any(|(changed, _)| changed == name));
        pairs.extend(change.iter().filter(|(_, value)| !value.is_empty()));
        let query =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        format!("/oauth/authorize?{query}")
    }

    pub async fn redeem(&self, place: &Place, code: &str) -> (u16, Value) {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("client_id", &self.id),
            ("redirect_uri", &self.redirect),
            ("code_verifier", &self.verifier),
            ("resource", &self.resource),
        ];
        place.token(&form).await
    }

    pub async fn refresh(&self, place: &Place, token: &str) -> (u16, Value) {
        place
            .token(&[
                ("grant_type", "refresh_token"),
                ("refresh_token", token),
                ("client_id", &self.id),
            ])
            .await
    }
}

/// A person's browser, as far as the gateway sees it.
#[derive(Clone, Default)]
pub struct Browser {
    pub cookie: Option<String>,
}

impl Browser {
    pub async fn get(&mut self, place: &Place, path: &str) -> Reply {
        let mut request = Request::new(Method::GET, &place.gateway.address, path);
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        let reply = request.send().await;
        if let Some(set) = reply.headers.get("set-cookie") {
            self.cookie = Some(set.to_str().unwrap().split(';').next().unwrap().to_owned());
        }
        reply
    }

    pub async fn post(&self, place: &Place, path: &str, form: &[(&str, &str)]) -> Reply {
        self.post_from(
            place,
            path,
            form,
            &[("origin", &place.url), ("sec-fetch-site", "same-origin")],
        )
        .await
    }

    pub async fn post_from(
        &self,
        place: &Place,
        path: &str,
        form: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Reply {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = Request::post(&place.gateway.address, path, body)
            .header("content-type", "application/x-www-form-urlencoded");
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.send().await
    }

    /// Says yes on the consent page, and gives the URL at the provider.
    pub async fn allow(&self, place: &Place, page: &str) -> String {
        let mut reply = self
            .post(place, "/oauth/consent", &[("csrf_token", &question(page)), ("answer", "allow")])
            .await;
        let page = reply.text().await;
        assert_eq!(reply.status, 200, "{page}");
        next(&page)
    }

    /// Lets the provider sign the person in, and gives the path of our callback.
    pub async fn at_provider(&self, place: &Place, url: &str) -> String {
        let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let reply = Request::new(Method::GET, address, &format!("/{path}")).send().await;
        let location = reply.header("location").to_owned();
        location.strip_prefix(&place.url).unwrap_or_else(|| panic!("{location}")).to_owned()
    }

    /// The whole way; gives what the client hears.
    pub async fn sign_in(&mut self, place: &Place, client: &Client) -> HashMap<String, String> {
        let mut reply = self.get(place, &client.authorize(&[])).await;
        let url = if reply.status == 302 {
            reply.header("location").to_owned()
        } else {
            let page = reply.text().await;
            assert_eq!(reply.status, 200, "{page}");
            self.allow(place, &page).await
        };
        let callback = self.at_provider(place, &url).await;
        let mut reply = self.get(place, &callback).await;
        let location = reply.header("location").to_owned();
        let page = reply.text().await;
        let query =
            location.strip_prefix(&client.redirect).unwrap_or_else(|| panic!("{location} {page}"));
        let back = form(&query[1..]);
        assert_eq!(
            (back["state"].as_str(), back["iss"].as_str()),
            ("client-state", place.url.as_str())
        );
        back
    }
}

impl Browser {
    /// Signs in as `bartizan login … --no-browser` asks for it; gives what the last page says.
    pub async fn login(&mut self, place: &Place, mut command: Command) -> String {
        command.args(["login", &format!("{}/mcp", place.url), "--no-browser"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let path = loop {
            let line = lines.next_line().await.unwrap().expect("the page's address");
            if let Some(path) = line.trim().strip_prefix(&place.url) {
                break path.to_owned();
            }
        };
        let page = self.get(place, &path).await.text().await;
        let at_provider = self.allow(place, &page).await;
        let callback = self.at_provider(place, &at_provider).await;
        let reply = self.get(place, &callback).await;
        let (address, path) =
            reply.header("location").strip_prefix("http://").unwrap().split_once('/').unwrap();
        let told =
            Request::new(Method::GET, address, &format!("/{path}")).send().await.text().await;
        while lines.next_line().await.unwrap().is_some() {}
        assert!(child.wait().await.unwrap().success(), "{told}");
        told
    }
}

/// What the form of a page is bound to.
pub fn question(page: &str) -> String {
    let (_, rest) =
        page.split_once("name=\"csrf_token\" value=\"").unwrap_or_else(|| panic!("{page}"));
    rest.split('"').next().unwrap().to_owned()
}

/// Where a page sends the browser.
pub fn next(page: &str) -> String {
    let (_, rest) = page.split_once("content=\"0; url=").unwrap_or_else(|| panic!("{page}"));
    rest.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&")
}

/// What an access token says.
pub fn claims(token: &str) -> Value {
    serde_json::from_slice(&B64.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// The text of a member.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}
