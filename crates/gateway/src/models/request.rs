//! What a client asks of a model: which deployment, and the bytes that go there.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts};
use hyper::body::Incoming;
use mcp::{Json, JsonBuf, Patch};

use super::{ModelFault, ModelKind, ModelRoute, ServedModel};
use crate::{door::http::collect, refusal::Refusal};

/// A body that takes longer than this to arrive is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest name of a deployment.
const NAME: usize = 256;
/// How deep a body may nest, and how many values it may hold: tools come with schemas, and messages in thousands.
const DEPTH: usize = 64;
const VALUES: usize = 1 << 20;

/// What a request's headers may say to a model. Who the client is, and on whose account, is not theirs to say.
const PASSED: [HeaderName; 4] = [
    header::ACCEPT,
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("anthropic-beta"),
    HeaderName::from_static("openai-beta"),
];

/// One request, read.
#[derive(Debug)]
pub(super) struct Asked {
    /// The path at the model, with its query.
    pub path: String,
    pub deployment: String,
    pub body: Bytes,
}

/// What a body may be.
pub(super) fn limits(model: &ServedModel) -> mcp::Limits {
    mcp::Limits { bytes: model.entry.body_bytes, depth: DEPTH, values: VALUES }
}

/// Reads it. Nothing is passed on whose deployment could be understood in two ways.
pub(super) async fn read(
    model: &ServedModel,
    route: &ModelRoute,
    head: &Parts,
    body: Incoming,
) -> Result<Asked, Refusal> {
    if head.method != Method::POST {
        return Err(Refusal::Model(ModelFault::Method));
    }
    let named = path(&model.entry.paths, &route.rest)?;
    let media = head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !media.is_some_and(|media| media.to_ascii_lowercase().starts_with(b"application/json")) {
        return Err(Refusal::MediaType);
    }
    let limits = limits(model);
    let read = tokio::time::timeout(PATIENCE, collect(body, limits.bytes));
    let bytes = read.await.map_err(|_| Refusal::BodyLost)??;
    let body = JsonBuf::read(bytes, &limits).map_err(Refusal::Json)?;
    let said = body.json().get("model").and_then(Json::string);
    let deployment = match (named, said) {
        (Some(path), Some(body)) if *path != *body => {
            let body = body.chars().take(NAME).collect();
            return Err(Refusal::Model(ModelFault::Ambiguous { path: path.to_owned(), body }));
        }
        (Some(path), _) => path.to_owned(),
        (None, Some(body)) if !body.is_empty() && body.len() <= NAME => body.into_owned(),
        (None, _) => return Err(Refusal::Model(ModelFault::Missing)),
    };
    if !model.offers(&deployment) {
        return Err(Refusal::Model(ModelFault::Unknown(deployment)));
    }
    let counted = counted(model.entry.kind, &route.rest, body.json());
    let body = counted.unwrap_or_else(|| body.bytes().clone());
    let query = query(model.entry.kind, head.uri.query().unwrap_or_default());
    Ok(Asked { path: format!("{}{query}", route.rest), deployment, body })
}

/// The headers that go to the model, but for the credential.
pub(super) fn headers(head: &Parts) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    for name in PASSED {
        if let Some(value) = head.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers
}

/// The deployment in a path that is passed on, where it stands there.
fn path<'a>(patterns: &[String], path: &'a str) -> Result<Option<&'a str>, Refusal> {
    let refused = || Refusal::Model(ModelFault::Path(path.chars().take(NAME).collect()));
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
    if !path.bytes().all(plain) || path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(refused());
    }
    let fits = |pattern: &String| {
        let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
        let mut deployment = None;
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return Some(deployment),
                (Some("{deployment}"), Some(segment)) if !segment.is_empty() => {
                    deployment = Some(segment);
                }
                (Some(wanted), Some(given)) if wanted == given => {}
                _ => return None,
            }
        }
    };
    patterns.iter().find_map(fits).ok_or_else(refused)
}

/// Of the query Azure's version alone.
fn query(kind: ModelKind, query: &str) -> String {
    let version = query.split('&').find_map(|pair| pair.strip_prefix("api-version="));
    let plain = |text: &&str| {
        text.len() <= 32
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
    };
    match version.filter(plain) {
        Some(version) if kind == ModelKind::AzureOpenAi => format!("?api-version={version}"),
        _ => String::new(),
    }
}

/// OpenAI's streams of completions say what they took only when they are asked to.
fn counted(kind: ModelKind, path: &str, body: Json<'_>) -> Option<Bytes> {
    let completes = kind != ModelKind::Anthropic && path.ends_with("/completions");
    if !completes || body.get("stream").and_then(Json::boolean) != Some(true) {
        return None;
    }
    let options = body.get("stream_options").unwrap_or(Json::EMPTY);
    if options.get("include_usage").and_then(Json::boolean) == Some(true) {
        return None;
    }
    let options = Patch::of(options).set("include_usage", "true").text();
    Some(Patch::of(body).set("stream_options", options).build().bytes().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json<'_> {
        Json::read(text.as_bytes(), &mcp::Limits::default()).unwrap()
    }

    #[test]
    fn paths_name_a_deployment_or_leave_it_to_the_body() {
        let own = |kind: ModelKind| kind.paths().iter().map(|path| (*path).to_owned()).collect();
        let azure: Vec<String> = own(ModelKind::AzureOpenAi);
        let found = path(&azure, "/openai/deployments/gpt-4o/chat/completions").unwrap();
        assert_eq!(found, Some("gpt-4o"));
        assert_eq!(path(&azure, "/openai/v1/responses").unwrap(), None);
        for stray in [
            "/openai/deployments//chat/completions",
            "/openai/deployments/../chat/completions",
            "/openai/deployments/a%2fb/chat/completions",
            "/openai/deployments/gpt-4o/chat/completions/",
            "/openai/deployments/gpt-4o/extensions/chat/completions",
            "/openai/files",
            "/",
        ] {
            assert!(path(&azure, stray).is_err(), "{stray}");
        }
    }

    #[test]
    fn only_the_version_is_left_of_a_query() {
        let azure = |text: &str| query(ModelKind::AzureOpenAi, text);
        assert_eq!(azure("api-version=2024-10-21&code=x"), "?api-version=2024-10-21");
        assert_eq!(azure("x=1"), "");
        assert_eq!(azure("api-version=a%26b"), "");
        assert_eq!(query(ModelKind::OpenAi, "api-version=1"), "");
    }

    #[test]
    fn streams_of_completions_are_asked_to_count() {
        let counted = |path: &str, text: &str| {
            counted(ModelKind::OpenAi, path, json(text))
                .map(|body| String::from_utf8(body.to_vec()).unwrap())
        };
        let chat = "/v1/chat/completions";
        assert_eq!(
            counted(chat, r#"{"model":"m","stream":true}"#).unwrap(),
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#
        );
        assert_eq!(
            counted(chat, r#"{"stream":true,"stream_options":{"include_usage":false,"a":1}}"#)
                .unwrap(),
            r#"{"stream":true,"stream_options":{"include_usage":true,"a":1}}"#
        );
        assert_eq!(
            counted(chat, r#"{"stream":true,"stream_options":{"include_usage":true}}"#),
            None
        );
        assert_eq!(counted(chat, r#"{"model":"m"}"#), None);
        assert_eq!(counted("/v1/responses", r#"{"stream":true}"#), None);
    }
}
