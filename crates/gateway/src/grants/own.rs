//! `/grants`: what one principal let Bartizan have, and taking it back. For a person in the browser in which they signed in
//! here, as a page; for whoever shows a token, as JSON.

use std::sync::Arc;

use askama::Template;
use audit::{Kind, Outcome, Record};
use http::{HeaderMap, Method, Response, StatusCode, header, request::Parts};
use hyper::body::Incoming;
use identity::Verified;
use mcp::{Json, JsonBuf};
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::form_urlencoded;

use super::{FORM, GivenBack, give_back};
use crate::{
    Gateway,
    catalogue::Listed,
    door::{
        exchange::Body,
        oauth::{
            answer::{self, STYLE},
            browser::{Browser, is_own_form},
            pages::Message,
        },
        streamable::refused,
    },
    refusal::Refusal,
    seal::Purpose,
};

/// How long a page may be looked at before its buttons do nothing any more, in seconds.
const LIFE: u64 = 3600;

/// Whether a person looks, and no program with a token.
pub(crate) fn is_browser(head: &Parts) -> bool {
    let kind = head.headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes());
    let form = kind.is_some_and(|kind| kind.starts_with(b"application/x-www-form-urlencoded"));
    let asks = head.method == Method::GET || (head.method == Method::POST && form);
    asks && !head.headers.contains_key(header::AUTHORIZATION)
}

/// The grants of this caller, as JSON.
pub(crate) async fn list(gateway: &Gateway, caller: &Verified) -> Response<Body> {
    match of(gateway, caller.principal().id()).await {
        Ok(grants) => {
            let rows: Vec<_> = grants.iter().map(row).collect();
            answer::json(StatusCode::OK, &json!(rows))
        }
        Err(refusal) => refused(None, &gateway.refuse(Some(caller), refusal).await),
    }
}

/// Takes back what this caller let Bartizan have: `{"server":"NAME"}`.
pub(crate) async fn revoke(
    gateway: &Gateway,
    caller: &Verified,
    message: &JsonBuf,
) -> Response<Body> {
    let Some(server) = message.json().get("server").and_then(Json::string) else {
        return answer::plain(StatusCode::BAD_REQUEST);
    };
    match take_back(gateway, caller.principal().id(), &server).await {
        Ok(told) if told.is_empty() => answer::plain(StatusCode::NOT_FOUND),
        Ok(told) => {
            let back = told.iter().all(|given| *given == GivenBack::Done);
            answer::json(StatusCode::OK, &json!({ "server": server, "given-back": back }))
        }
        Err(refusal) => refused(None, &gateway.refuse(Some(caller), refusal).await),
    }
}

fn row(grant: &store::Grant) -> serde_json::Value {
    json!({
        "server": grant.server, "principal": grant.principal, "issuer": grant.issuer,
        "scopes": grant.scopes, "updated": grant.updated,
    })
}

async fn of(gateway: &Gateway, principal: &str) -> Result<Vec<store::Grant>, Refusal> {
    let all = gateway.store.grants().await;
    let mut all = all.map_err(|fault| Refusal::StoreUnavailable(fault.to_string()))?;
    all.retain(|grant| grant.principal == principal);
    Ok(all)
}

/// Forgets what a principal let Bartizan have at a server, and tells its authorization server. For each grant, what that said.
async fn take_back(
    gateway: &Gateway,
    principal: &str,
    server: &str,
) -> Result<Vec<GivenBack>, Refusal> {
    let mut told = Vec::new();
    let served = gateway.served(server);
    let grants = served.as_ref().and_then(|served| served.grants());
    for kept in of(gateway, principal).await?.iter().filter(|grant| grant.server == server) {
        let slot = grants.map(|grants| grants.slots.of(&kept.owner));
        // Whoever renews it at this moment must not keep it afterwards.
        let alone = match &slot {
            Some(slot) => Some(slot.alone.lock().await),
            None => None,
        };
        told.push(match &served {
            Some(served) => give_back::to(&gateway.grants, kept, &served.entry).await,
            None => GivenBack::Failed("the server is not configured any more".to_owned()),
        });
        let removed = gateway.store.grant_remove(server, principal).await;
        removed.map_err(|fault| Refusal::StoreUnavailable(fault.to_string()))?;
        if let Some(slot) = &slot {
            slot.held.store(None);
        }
        drop(alone);
    }
    if told.is_empty() {
        return Ok(told);
    }
    let detail: Vec<String> = told.iter().map(ToString::to_string).collect();
    gateway
        .append(&Record {
            kind: Kind::Grant,
            principal,
            door: "http",
            server,
            method: "revoke",
            outcome: Some(Outcome::Ok),
            detail: &detail.join(", "),
            ..Record::default()
        })
        .await?;
    gateway.changed(Listed::Tools);
    gateway.changed(Listed::Prompts);
    Ok(told)
}

/// What one button does.
#[derive(Deserialize, Serialize)]
struct Question {
    principal: String,
    server: String,
}

#[derive(Template)]
#[template(path = "grants.html")]
struct Page {
    people: Vec<Person>,
}

struct Person {
    principal: String,
    grants: Vec<Shown>,
}

struct Shown {
    server: String,
    issuer: String,
    scopes: Vec<String>,
    question: String,
}

impl Page {
    fn style(&self) -> &'static str {
        STYLE
    }
}

/// The page for the person whose browser this is.
pub(crate) async fn page(gateway: &Arc<Gateway>, head: &Parts, body: Incoming) -> Response<Body> {
    let Some(public_url) = gateway.grants.public_url.get() else {
        return answer::plain(StatusCode::NOT_FOUND);
    };
    let secure = public_url.starts_with("https://");
    let visit = Visit { gateway, browser: Browser::known(&head.headers, secure) };
    let answered = if head.method == Method::POST {
        visit.answer(&head.headers, public_url, body).await
    } else {
        visit.show().await
    };
    answered.unwrap_or_else(|text| {
        let message = Message { title: "Nothing was changed", text, ..Message::default() };
        answer::page(StatusCode::FORBIDDEN, &message)
    })
}

/// Somebody's visit.
struct Visit<'a> {
    gateway: &'a Arc<Gateway>,
    browser: Option<Browser>,
}

/// What a person is told whose browser is not known.
const STRANGER: &str = "This page knows you by the browser in which you signed in to Bartizan, and nobody has \
                        signed in in this one. Sign in with one of your clients first, and open it again.";
const STALE: &str = "This page is too old, or the form did not come from it. Open it again.";
const TROUBLE: &str = "Bartizan can't look it up at the moment. Try again.";

impl Visit<'_> {
    async fn people(&self) -> Result<(&Browser, Vec<String>), &'static str> {
        let browser = self.browser.as_ref().ok_or(STRANGER)?;
        let found = self.gateway.store.oauth_browser_subjects(&browser.hash()).await;
        match found {
            Ok(found) if found.is_empty() => Err(STRANGER),
            Ok(found) => Ok((browser, found)),
            Err(_) => Err(TROUBLE),
        }
    }

    async fn show(&self) -> Result<Response<Body>, &'static str> {
        let (browser, people) = self.people().await?;
        let mut page = Page { people: Vec::new() };
        for principal in people {
            let found = of(self.gateway, &principal).await.map_err(|_| TROUBLE)?;
            let shown = |grant: store::Grant| self.shown(browser, grant).ok_or(TROUBLE);
            let grants = found.into_iter().map(shown).collect::<Result<_, _>>()?;
            page.people.push(Person { principal, grants });
        }
        Ok(answer::page(StatusCode::OK, &page))
    }

    fn shown(&self, browser: &Browser, grant: store::Grant) -> Option<Shown> {
        let question = Question { principal: grant.principal, server: grant.server.clone() };
        let question = serde_json::to_vec(&question).ok()?;
        let (sealer, until) = (&self.gateway.grants.sealer, crate::now() + LIFE);
        let question = sealer.seal(Purpose::Revoke, &browser.owner(), until, &question).ok()?;
        let scopes = grant.scopes.split_whitespace().map(str::to_owned).collect();
        Some(Shown { server: grant.server, issuer: grant.issuer, scopes, question })
    }

    /// A button was pressed.
    async fn answer(
        &self,
        headers: &HeaderMap,
        public_url: &str,
        body: Incoming,
    ) -> Result<Response<Body>, &'static str> {
        let (browser, people) = self.people().await?;
        if !is_own_form(headers, public_url) {
            return Err(STALE);
        }
        let body = crate::door::http::collect(body, FORM).await.map_err(|_| STALE)?;
        let shown = form_urlencoded::parse(&body).find(|(name, _)| name == "question");
        let (_, shown) = shown.ok_or(STALE)?;
        let sealer = &self.gateway.grants.sealer;
        let opened = sealer.open(Purpose::Revoke, &browser.owner(), crate::now(), &shown);
        let question: Option<Question> =
            opened.ok().and_then(|plain| serde_json::from_slice(&plain).ok());
        // Whoever signed out meanwhile asks for nothing.
        let question = question.filter(|asked| people.contains(&asked.principal)).ok_or(STALE)?;
        let told = take_back(self.gateway, &question.principal, &question.server).await;
        let told = told.map_err(|_| TROUBLE)?;
        let title = format!("{} is disconnected", question.server);
        let given = !told.is_empty() && told.iter().all(|given| *given == GivenBack::Done);
        let text = match given {
            true => {
                "What you let Bartizan have is forgotten here, and its tokens are good no longer."
            }
            false => {
                "What you let Bartizan have is forgotten here. Its server could not be told: remove Bartizan among the applications of your account there, too."
            }
        };
        let message = Message { title: &title, text, ..Message::default() };
        Ok(answer::page(StatusCode::OK, &message))
    }
}
