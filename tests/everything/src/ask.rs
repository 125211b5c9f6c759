//! Asking the client something in the middle of a call, in the way of the call's era.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use rmcp::{
    ErrorData, RoleServer,
    model::{
        CallToolResponse, CallToolResult, CustomRequest, ErrorCode, GetPromptResponse,
        InputRequest, InputRequests, InputRequiredResult, InputResponses, ProtocolVersion,
        RequestStateCodec, ServerRequest,
    },
    service::{RequestContext, ServiceError},
};
use serde_json::{Value, json};

use crate::tools::text;

/// In a handshake request nothing names a question. This member of its `_meta` does, so that a
/// bridge to the stateless era can use the same key in `inputRequests` as a stateless server.
const KEY_HINT: &str = "dev.bartizan/inputKey";

/// The answers given so far to the questions of one call.
///
/// A stateless call starts again from the top with every round. The answers of its earlier rounds
/// come back in the sealed `requestState`, so a tool reads as if it simply waited for each answer.
pub struct Asker<'a> {
    answers: BTreeMap<String, Value>,
    codec: &'a RequestStateCodec,
    context: &'a RequestContext<RoleServer>,
}

/// Why a tool stops before its end.
pub enum Pause {
    Error(ErrorData),
    Input(InputRequiredResult),
    /// The client declined, or has no such capability: the model should read that.
    Refused(String),
}

impl From<ErrorData> for Pause {
    fn from(error: ErrorData) -> Self {
        Self::Error(error)
    }
}

impl Pause {
    pub fn into_call(self) -> Result<CallToolResponse, ErrorData> {
        match self {
            Self::Error(error) => Err(error),
            Self::Input(result) => Ok(result.into()),
            Self::Refused(why) => Ok(CallToolResult::error(vec![text(why)]).into()),
        }
    }

    pub fn into_prompt(self) -> Result<GetPromptResponse, ErrorData> {
        match self {
            Self::Error(error) => Err(error),
            Self::Input(result) => Ok(result.into()),
            Self::Refused(why) => Err(ErrorData::invalid_request(why, None)),
        }
    }
}

/// Whether this request came in the stateless era.
pub fn is_stateless(context: &RequestContext<RoleServer>) -> bool {
    context.protocol_version().is_some_and(|v| v >= ProtocolVersion::V_2026_07_28)
}

impl<'a> Asker<'a> {
    pub fn new(
        codec: &'a RequestStateCodec,
        context: &'a RequestContext<RoleServer>,
        state: Option<&str>,
        responses: Option<InputResponses>,
    ) -> Result<Self, ErrorData> {
        let mut answers: BTreeMap<String, Value> = match state {
            Some(sealed) => codec.open_json(sealed).map_err(|_| {
                ErrorData::invalid_params("requestState failed its integrity check", None)
            })?,
            None => BTreeMap::new(),
        };
        // Only an object can be the result of a request; anything else counts as not answered.
        answers.extend(responses.unwrap_or_default().into_iter().filter(|(_, v)| v.is_object()));
        Ok(Self { answers, codec, context })
    }

    /// Returns when every one of the questions has its answer.
    pub async fn ask(&mut self, questions: Vec<(&str, InputRequest)>) -> Result<(), Pause> {
        let open: InputRequests = questions
            .into_iter()
            .filter(|(key, _)| !self.answers.contains_key(*key))
            .map(|(key, question)| (key.to_owned(), question))
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        if is_stateless(self.context) {
            let sealed = self.codec.seal_json(&self.answers).map_err(internal)?;
            return Err(Pause::Input(InputRequiredResult::new(Some(open), Some(sealed))));
        }
        let asked = open.into_iter().map(|(key, question)| self.request(key, question));
        let answers = try_join_all(asked).await?;
        self.answers.extend(answers);
        Ok(())
    }

    pub async fn ask_one(&mut self, key: &str, question: InputRequest) -> Result<&Value, Pause> {
        self.ask(vec![(key, question)]).await?;
        Ok(self.answer(key))
    }

    /// The answer to a question that was asked, or null.
    pub fn answer(&self, key: &str) -> &Value {
        self.answers.get(key).unwrap_or(&Value::Null)
    }

    async fn request(&self, key: String, question: InputRequest) -> Result<(String, Value), Pause> {
        let question = serde_json::to_value(question).map_err(internal)?;
        let method = question["method"].as_str().unwrap_or_default().to_owned();
        let mut params = question.get("params").cloned().unwrap_or_else(|| json!({}));
        params["_meta"][KEY_HINT] = json!(key);
        let request = ServerRequest::CustomRequest(CustomRequest::new(method, Some(params)));
        tokio::select! {
            () = self.context.ct.cancelled() => Err(Pause::Refused("cancelled".into())),
            answer = self.context.peer.send_request(request) => match answer {
                Ok(answer) => Ok((key, serde_json::to_value(answer).map_err(internal)?)),
                Err(ServiceError::McpError(error)) => Err(Pause::Refused(error.message.into())),
                Err(error) => Err(Pause::Refused(error.to_string())),
            },
        }
    }
}

fn internal(error: impl std::fmt::Display) -> Pause {
    Pause::Error(ErrorData::new(ErrorCode::INTERNAL_ERROR, error.to_string(), None))
}
