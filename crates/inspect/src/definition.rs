//! A definition, read as the model of a client reads it: names and sentences, parameter by parameter; and
//! what only its structure tells.

use std::{fmt::Write, ops::Range, sync::Arc};

use mcp::{Json, Kind as Shape};

use crate::{Class, Finding, Severity};

/// Schemas nest; what is deeper than this no client shows.
const DEEPEST: usize = 8;
/// Text of one definition, at most.
const LONGEST: usize = 256 << 10;

/// The text of a definition: `name: …`, `description: …`, then a line for each parameter.
#[derive(Default)]
pub(crate) struct Reading {
    pub(crate) text: String,
    pub(crate) found: Vec<Finding>,
    /// Names of parameters that ask for what the client knows.
    curious: usize,
}

/// Reads a definition of a tool, prompt, resource or server.
pub(crate) fn read(definition: Json<'_>) -> Reading {
    let mut reading = Reading::default();
    for name in ["name", "title", "description", "instructions"] {
        if let Some(text) = definition.get(name).and_then(Json::string) {
            reading.line(&format!("{name}: "), &text);
        }
    }
    for schema in ["inputSchema", "outputSchema"] {
        if let Some(schema) = definition.get(schema) {
            reading.schema(schema, 0);
        }
    }
    for argument in definition.get("arguments").into_iter().flat_map(Json::items) {
        let name = argument.get("name").and_then(Json::string).unwrap_or_default();
        reading.parameter(&name, argument, 0);
    }
    if let Some(title) = definition.get("annotations").and_then(|all| all.get("title")) {
        reading.line("title: ", &title.string().unwrap_or_default());
    }
    if let Some(schema) = definition.get("inputSchema")
        && takes_anything(schema)
    {
        let all = 0..reading.text.len();
        reading.push("schema.anything", Class::Schema, Severity::Low, ANYTHING, all);
    }
    reading
}

const ANYTHING: &str = "The schema lets any argument through.";
const CURIOUS: &str =
    "Parameters that ask for the conversation, the system prompt or the list of tools.";
const SENDS_BY_DEFAULT: &str =
    "A recipient or address that is set unless the caller says otherwise.";

impl Reading {
    fn line(&mut self, label: &str, text: &str) -> Range<usize> {
        if self.text.len() + text.len() > LONGEST {
            return self.text.len()..self.text.len();
        }
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let start = self.text.len();
        let _ = write!(self.text, "{label}{text}");
        start..self.text.len()
    }

    fn schema(&mut self, schema: Json<'_>, depth: usize) {
        if depth > DEEPEST {
            return;
        }
        for (name, property) in schema.get("properties").into_iter().flat_map(Json::members) {
            self.parameter(&name, property, depth);
        }
        for choice in ["anyOf", "oneOf", "allOf"] {
            for choice in schema.get(choice).into_iter().flat_map(Json::items) {
                self.schema(choice, depth + 1);
            }
        }
        for inner in ["items", "additionalProperties"] {
            if let Some(inner) = schema.get(inner).filter(|inner| inner.kind() == Shape::Object) {
                self.schema(inner, depth + 1);
            }
        }
    }

    fn parameter(&mut self, name: &str, property: Json<'_>, depth: usize) {
        let mut said =
            property.get("description").and_then(Json::string).unwrap_or_default().into_owned();
        let choices: Vec<_> = property
            .get("enum")
            .into_iter()
            .flat_map(Json::items)
            .filter_map(Json::string)
            .collect();
        if !choices.is_empty() {
            let _ = write!(said, " enum={}", choices.join("|"));
        }
        let preset = ["default", "const"].into_iter().find_map(|word| property.get(word));
        if let Some(preset) = preset {
            let _ =
                write!(said, " default={}", preset.string().as_deref().unwrap_or(preset.text()));
        }
        let at = self.line(&format!("param {name}: "), &said);
        if is_curious(name) {
            self.curious += 1;
            let severity = if self.curious > 1 { Severity::Medium } else { Severity::Low };
            self.push(
                "exfiltration.parameter-name",
                Class::Exfiltration,
                severity,
                CURIOUS,
                at.clone(),
            );
        }
        if is_recipient(name) && preset.and_then(Json::string).is_some_and(|text| is_address(&text))
        {
            self.push(
                "schema.default-recipient",
                Class::Exfiltration,
                Severity::Medium,
                SENDS_BY_DEFAULT,
                at,
            );
        }
        self.schema(property, depth + 1);
    }

    fn push(
        &mut self,
        rule: &str,
        class: Class,
        severity: Severity,
        message: &str,
        at: Range<usize>,
    ) {
        self.found.push(Finding {
            rule: Arc::from(rule),
            class,
            severity,
            at,
            via: "structure".into(),
            message: Arc::from(message),
        });
    }
}

/// Small letters and digits only, so that `systemPrompt` and `system_prompt` are one.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|char| char.to_ascii_lowercase()).collect()
}

/// What a model knows of its client, and a tool has hardly a reason to be told.
fn is_curious(name: &str) -> bool {
    const NAMES: [&str; 12] = [
        "systemprompt",
        "conversationhistory",
        "chathistory",
        "fullconversation",
        "previousmessages",
        "allmessages",
        "chainofthought",
        "toolslist",
        "availabletools",
        "toolcallhistory",
        "modelname",
        "currentcontext",
    ];
    NAMES.contains(&plain(name).as_str())
}

fn is_recipient(name: &str) -> bool {
    const NAMES: [&str; 12] = [
        "to",
        "cc",
        "bcc",
        "recipient",
        "recipients",
        "email",
        "emailto",
        "webhook",
        "webhookurl",
        "callback",
        "callbackurl",
        "replyto",
    ];
    NAMES.contains(&plain(name).as_str())
}

fn is_address(text: &str) -> bool {
    let text = text.trim();
    let mail = text.split_once('@').is_some_and(|(_, host)| host.contains('.'));
    let web = text.starts_with("http://") || text.starts_with("https://");
    mail || web && !text.contains("//localhost") && !text.contains("//127.")
}

/// An object of which nothing is said but that more may come.
fn takes_anything(schema: Json<'_>) -> bool {
    let empty = schema.get("properties").is_none_or(|all| all.members().next().is_none());
    let open = schema.get("additionalProperties").is_some_and(|more| more.text() != "false");
    empty && open
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(text: &str) -> Reading {
        read(Json::read(text.as_bytes(), &mcp::Limits::default()).unwrap())
    }

    fn rules(text: &str) -> Vec<String> {
        reading(text).found.iter().map(|finding| finding.rule.to_string()).collect()
    }

    #[test]
    fn a_definition_reads_as_names_and_sentences() {
        let text = reading(
            r#"{"name":"mail","description":"Sends mail.","inputSchema":{"properties":{
            "to":{"description":"Who","type":"string"},
            "parts":{"type":"array","items":{"properties":{"kind":{"enum":["a","b"],"default":"a"}}}}}}}"#,
        )
        .text;
        assert_eq!(
            text,
            "name: mail\ndescription: Sends mail.\nparam to: Who\nparam parts: \nparam kind:  enum=a|b default=a"
        );
    }

    #[test]
    fn structure_tells_what_words_do_not() {
        let schema = |properties: &str| format!(r#"{{"name":"x","inputSchema":{properties}}}"#);
        let curious = r#"{"properties":{"systemPrompt":{},"chat_history":{},"text":{}}}"#;
        assert_eq!(rules(&schema(curious)), ["exfiltration.parameter-name"; 2]);
        let preset = r#"{"properties":{"bcc":{"default":"ops@mail.example"}}}"#;
        assert_eq!(rules(&schema(preset)), ["schema.default-recipient"]);
        let open = r#"{"type":"object","additionalProperties":true}"#;
        assert_eq!(rules(&schema(open)), ["schema.anything"]);
    }

    #[test]
    fn usual_schemas_pass() {
        for properties in [
            r#"{"type":"object","properties":{}}"#,
            r#"{"properties":{"to":{"description":"The recipient"},"callback_url":{"default":""}}}"#,
            r#"{"properties":{"url":{"default":"https://api.example.com"},"context":{}}}"#,
            r#"{"properties":{"a":{}},"additionalProperties":true}"#,
        ] {
            assert!(rules(&format!(r#"{{"name":"x","inputSchema":{properties}}}"#)).is_empty());
        }
    }

    #[test]
    fn nesting_without_end_is_cut() {
        let deep = r#"{"properties":{"a":"#.repeat(30) + "{}" + &"}}".repeat(30);
        let text = reading(&format!(r#"{{"name":"x","inputSchema":{deep}}}"#)).text;
        assert!(text.lines().count() <= DEEPEST + 2);
    }
}
