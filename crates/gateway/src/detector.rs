//! A detector of somebody else, asked over HTTP what it thinks of a server's answer.
//!
//! It has a deadline, and what happens when it does not judge is named in the configuration, never an accident.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use inspect::{Class, Finding, Severity};
use mcp::{Json, Kind};
use serde_json::json;
use upstream::{Fetch, HttpClient};

use crate::{refusal::Refusal, resolve::Target, secrets::Secrets};

/// The section `[inspect.external]`, resolved.
#[derive(Clone, Debug)]
pub struct External {
    /// Where it is asked.
    pub url: Uri,
    /// How it is asked.
    pub shape: Shape,
    /// What it knows us by.
    pub key: Option<vault::Reference>,
    /// How long it may take for one result.
    pub deadline: Duration,
    /// The named loosening: what it does not judge is released.
    pub release_unjudged: bool,
    /// The named loosening: it may be at an address that is not public.
    pub allow_private: bool,
}

/// The request and the answer of a detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Azure AI Content Safety, `text:shieldPrompt`, each text a document.
    AzurePromptShields,
    /// `{"server", "name", "text"}` is answered by `{"attack": bool, "reason": text}`.
    Hook,
}

impl Shape {
    /// Bytes of one request's text: Azure takes 10,000 characters.
    fn most(self) -> usize {
        match self {
            Shape::AzurePromptShields => 10_000,
            Shape::Hook => 256 << 10,
        }
    }
}

/// Requests for one result: what is longer is not judged.
const MOST_REQUESTS: usize = 8;
const LONGEST_ANSWER: usize = 64 << 10;
/// Characters of a reason that are told on.
const REASON: usize = 200;

pub(crate) struct Detector {
    external: External,
    client: HttpClient,
    secrets: Arc<Secrets>,
}

impl Detector {
    pub fn new(external: External, client: HttpClient, secrets: Arc<Secrets>) -> Detector {
        Detector { external, client, secrets }
    }

    /// What it finds in a result.
    pub async fn judge(&self, target: &Target, body: Json<'_>) -> Result<Vec<Finding>, Refusal> {
        let judged = tokio::time::timeout(self.external.deadline, self.ask(target, body)).await;
        let fault = match judged {
            Ok(Ok(None)) => return Ok(Vec::new()),
            Ok(Ok(Some(reason))) => return Ok(vec![finding(body, &reason)]),
            Ok(Err(fault)) => fault,
            Err(_) => format!("no answer in {:?}", self.external.deadline),
        };
        tracing::warn!(url = %self.external.url, fault, "the external detector did not judge");
        if self.external.release_unjudged {
            return Ok(Vec::new());
        }
        let detail = format!("the external detector did not judge it: {fault}");
        Err(Refusal::ResultUnsafe { rule: "inspect.external", detail })
    }

    /// The reason, if any of its texts is an attack.
    async fn ask(&self, target: &Target, body: Json<'_>) -> Result<Option<String>, String> {
        let mut text = String::new();
        texts(body, &mut text);
        let pieces = pieces(&text, self.external.shape.most());
        if pieces.len() > MOST_REQUESTS {
            return Err(format!("{} bytes are more than it is asked about", text.len()));
        }
        for piece in pieces {
            if let Some(reason) = self.ask_about(target, piece).await? {
                return Ok(Some(reason));
            }
        }
        Ok(None)
    }

    async fn ask_about(&self, target: &Target, text: &str) -> Result<Option<String>, String> {
        let External { url, shape, key, deadline, allow_private, .. } = &self.external;
        let asked = match shape {
            Shape::AzurePromptShields => json!({"userPrompt": "", "documents": [text]}),
            Shape::Hook => {
                json!({"server": target.served.name().as_str(), "name": target.name, "text": text})
            }
        };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = key {
            let given = self.secrets.resolve(key).await.map_err(|fault| fault.to_string())?;
            let key = &given.secret;
            let (name, value) = match shape {
                Shape::AzurePromptShields => {
                    ("ocp-apim-subscription-key", HeaderValue::from_str(key.expose()))
                }
                Shape::Hook => {
                    let bearer = zeroize::Zeroizing::new(format!("Bearer {}", key.expose()));
                    ("authorization", HeaderValue::from_str(&bearer))
                }
            };
            let mut value = value.map_err(|_| "its key is not fit for a header".to_owned())?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        let body = Full::new(Bytes::from(asked.to_string()));
        let request = request.body(body).map_err(|fault| fault.to_string())?;
        let rules =
            Fetch { bytes: LONGEST_ANSWER, deadline: *deadline, allow_private: *allow_private };
        let answer = self.client.fetch(request, rules).await.map_err(|fault| fault.to_string())?;
        if !answer.status().is_success() {
            return Err(format!("it answered {}", answer.status()));
        }
        verdict(*shape, answer.body()).ok_or_else(|| "its answer is not of its shape".to_owned())
    }
}

/// The reason if it is an attack; `None` outside when the answer does not say.
fn verdict(shape: Shape, body: &[u8]) -> Option<Option<String>> {
    let answer = Json::read(body, &mcp::Limits::default()).ok()?;
    match shape {
        Shape::AzurePromptShields => {
            let documents =
                answer.get("documentsAnalysis").filter(|all| all.kind() == Kind::Array)?;
            let mut attack = false;
            let mut judged = 0;
            for document in documents.items() {
                attack |= document.get("attackDetected")?.boolean()?;
                judged += 1;
            }
            (judged > 0).then(|| attack.then(|| "attackDetected".to_owned()))
        }
        Shape::Hook => {
            let attack = answer.get("attack")?.boolean()?;
            let reason = answer.get("reason").and_then(Json::string).unwrap_or_default();
            Some(attack.then(|| reason.chars().take(REASON).collect()))
        }
    }
}

fn finding(body: Json<'_>, reason: &str) -> Finding {
    let colon = if reason.is_empty() { "" } else { ": " };
    Finding {
        rule: Arc::from("external.detector"),
        class: Class::Injection,
        severity: Severity::High,
        at: 0..body.text().len(),
        via: "external".into(),
        message: Arc::from(format!(
            "The external detector says that it is an attack{colon}{reason}."
        )),
    }
}

/// All strings of a result, a line each.
fn texts(value: Json<'_>, out: &mut String) {
    match value.kind() {
        Kind::Object => value.members().for_each(|(_, member)| texts(member, out)),
        Kind::Array => value.items().for_each(|item| texts(item, out)),
        Kind::String => {
            out.push_str(&value.string().unwrap_or_default());
            out.push('\n');
        }
        _ => {}
    }
}

fn pieces(text: &str, most: usize) -> Vec<&str> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let (piece, next) = rest.split_at(rest.floor_char_boundary(most.min(rest.len())));
        pieces.push(piece);
        rest = next;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_that_says_so_is_a_verdict() {
        let azure = |body: &str| verdict(Shape::AzurePromptShields, body.as_bytes());
        let attack = r#"{"userPromptAnalysis":{"attackDetected":false},"documentsAnalysis":[{"attackDetected":true}]}"#;
        assert_eq!(azure(attack), Some(Some("attackDetected".to_owned())));
        assert_eq!(azure(&attack.replace("true", "false")), Some(None));
        for malformed in
            ["", "[]", "{}", r#"{"documentsAnalysis":[]}"#, r#"{"documentsAnalysis":[{}]}"#]
        {
            assert_eq!(azure(malformed), None, "{malformed}");
        }
        let hook = |body: &str| verdict(Shape::Hook, body.as_bytes());
        assert_eq!(hook(r#"{"attack":true,"reason":"orders"}"#), Some(Some("orders".to_owned())));
        assert_eq!(hook(r#"{"attack":false}"#), Some(None));
        assert_eq!(hook(r#"{"attack":"no"}"#), None);
    }

    #[test]
    fn all_of_a_text_is_asked_about() {
        let text = "grün ".repeat(5000);
        let pieces = pieces(&text, Shape::AzurePromptShields.most());
        assert_eq!(pieces.concat(), text);
        assert!(pieces.iter().all(|piece| piece.len() <= 10_000));
    }
}
