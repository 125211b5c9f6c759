//! The tools that ask their client something.

use rmcp::{ErrorData, RoleServer, model::*, service::RequestContext};
use serde_json::{Value, json};

use crate::{
    ask::{Asker, Pause},
    server::Everything,
    tools::{text, tool, unknown_tool},
};

pub fn owns(name: &str) -> bool {
    tools().iter().any(|tool| tool.name == name)
}

pub fn tools() -> Vec<Tool> {
    let none = || json!({});
    vec![
        tool("test_elicitation", "Asks the user", json!({ "message": { "type": "string" } })),
        tool("test_elicitation_sep1034_defaults", "Asks with defaults", none()),
        tool("test_elicitation_sep1330_enums", "Asks with every kind of choice", none()),
        tool("test_input_required_result_capabilities", "Asks all that the client can do", none()),
        tool("test_input_required_result_elicitation", "Asks for a name", none()),
        tool("test_input_required_result_list_roots", "Asks for the roots", none()),
        tool("test_input_required_result_multi_round", "Asks twice", none()),
        tool("test_input_required_result_multiple_inputs", "Asks three things at once", none()),
        tool("test_input_required_result_request_state", "Asks, keeping sealed state", none()),
        tool("test_input_required_result_sampling", "Asks the model", none()),
        tool("test_input_required_result_tampered_state", "Refuses a forged state", none()),
        tool("test_sampling", "Asks the model", json!({ "prompt": { "type": "string" } })),
        tool("test_streaming_elicitation", "Asks for a value", none()),
    ]
}

pub async fn call(
    server: &Everything,
    call: CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let state = call.request_state.as_deref();
    let asker = Asker::new(&server.shared.codec, context, state, call.input_responses)?;
    let arguments = Value::Object(call.arguments.unwrap_or_default());
    match run(&call.name, &arguments, asker, context).await {
        Ok(answer) => Ok(CallToolResult::success(vec![text(answer)]).into()),
        Err(pause) => pause.into_call(),
    }
}

async fn run(
    name: &str,
    arguments: &Value,
    mut asker: Asker<'_>,
    context: &RequestContext<RoleServer>,
) -> Result<String, Pause> {
    Ok(match name {
        "test_elicitation" => {
            let message = arguments["message"].as_str().unwrap_or("Who are you?");
            let answer = asker.ask_one("user", form(message, contact_schema())?).await?;
            format!("User response: {}", outcome(answer))
        }
        "test_elicitation_sep1034_defaults" => {
            let question = form("Please confirm the defaults", defaults_schema())?;
            let answer = asker.ask_one("defaults", question).await?;
            format!("Elicitation completed: {}", outcome(answer))
        }
        "test_elicitation_sep1330_enums" => {
            let answer = asker.ask_one("choices", form("Please choose", choices_schema())?).await?;
            format!("Elicitation completed: {}", outcome(answer))
        }
        "test_input_required_result_capabilities" => {
            let questions = questions_for(context.client_capabilities().unwrap_or_default())?;
            let asked = questions.len();
            asker.ask(questions).await?;
            format!("{asked} questions answered")
        }
        "test_input_required_result_elicitation" => {
            let answer = asker.ask_one("user_name", name_question()?).await?;
            format!("Hello, {}!", answer["content"]["name"].as_str().unwrap_or("stranger"))
        }
        "test_input_required_result_list_roots" => {
            let answer = asker.ask_one("client_roots", roots()?).await?;
            format!("Roots: {}", answer["roots"])
        }
        "test_input_required_result_multi_round" => {
            asker.ask_one("step1", one_field("Step 1: What is your name?", "name")?).await?;
            let question = one_field("Step 2: What is your favorite color?", "color")?;
            asker.ask_one("step2", question).await?;
            let name = &asker.answer("step1")["content"]["name"];
            format!("{name} likes {}", asker.answer("step2")["content"]["color"])
        }
        "test_input_required_result_multiple_inputs" => {
            let greeting = sample("Generate a greeting", 50)?;
            let questions = vec![
                ("user_name", name_question()?),
                ("greeting", greeting),
                ("client_roots", roots()?),
            ];
            asker.ask(questions).await?;
            "All three questions answered".into()
        }
        "test_input_required_result_request_state"
        | "test_input_required_result_tampered_state" => {
            asker.ask_one("confirm", confirm()?).await?;
            "Confirmed: state-ok".into()
        }
        "test_input_required_result_sampling" => {
            let question = sample("What is the capital of France?", 100)?;
            format!("LLM response: {}", said(asker.ask_one("capital_question", question).await?))
        }
        "test_sampling" => {
            let question = sample(arguments["prompt"].as_str().unwrap_or("Hello"), 100)?;
            format!("LLM response: {}", said(asker.ask_one("reply", question).await?))
        }
        "test_streaming_elicitation" => {
            let answer = asker.ask_one("value", one_field("Provide a value", "value")?).await?;
            format!("Value: {}", answer["content"]["value"])
        }
        unknown => return Err(unknown_tool(unknown).into()),
    })
}

pub fn one_field(message: &str, field: &str) -> Result<InputRequest, ErrorData> {
    form(
        message,
        json!({ "type": "object", "properties": { field: { "type": "string" } }, "required": [field] }),
    )
}

pub fn form(message: &str, schema: Value) -> Result<InputRequest, ErrorData> {
    let params = json!({ "mode": "form", "message": message, "requestedSchema": schema });
    question(json!({ "method": "elicitation/create", "params": params }))
}

fn name_question() -> Result<InputRequest, ErrorData> {
    one_field("What is your name?", "name")
}

fn confirm() -> Result<InputRequest, ErrorData> {
    let schema = json!({ "type": "object", "properties": { "ok": { "type": "boolean" } }, "required": ["ok"] });
    form("Please confirm", schema)
}

fn roots() -> Result<InputRequest, ErrorData> {
    question(json!({ "method": "roots/list", "params": {} }))
}

fn sample(prompt: &str, max_tokens: u32) -> Result<InputRequest, ErrorData> {
    let message = json!({ "role": "user", "content": { "type": "text", "text": prompt } });
    let params = json!({ "messages": [message], "maxTokens": max_tokens });
    question(json!({ "method": "sampling/createMessage", "params": params }))
}

fn question(value: Value) -> Result<InputRequest, ErrorData> {
    serde_json::from_value(value).map_err(|e| ErrorData::internal_error(e.to_string(), None))
}

fn questions_for(
    client: ClientCapabilities,
) -> Result<Vec<(&'static str, InputRequest)>, ErrorData> {
    let mut questions = Vec::new();
    if client.elicitation.is_some() {
        questions.push(("user_name", name_question()?));
    }
    if client.sampling.is_some() {
        questions.push(("greeting", sample("Generate a greeting", 50)?));
    }
    if client.roots.is_some() {
        questions.push(("client_roots", roots()?));
    }
    Ok(questions)
}

fn outcome(answer: &Value) -> String {
    let action = answer["action"].as_str().unwrap_or("none");
    format!("action={action}, content={}", answer["content"])
}

/// The text of a sampled message, whose content is one block or, since 2025-11-25, several.
fn said(answer: &Value) -> &str {
    let content = &answer["content"];
    let block = if content.is_array() { &content[0] } else { content };
    block["text"].as_str().unwrap_or_default()
}

fn contact_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "username": { "type": "string", "description": "User's response" },
            "email": { "type": "string", "description": "User's email address" },
        },
        "required": ["username", "email"],
    })
}

fn defaults_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "default": "John Doe" },
            "age": { "type": "integer", "default": 30 },
            "score": { "type": "number", "default": 95.5 },
            "status": {
                "type": "string",
                "enum": ["active", "inactive", "pending"],
                "default": "active",
            },
            "verified": { "type": "boolean", "default": true },
        },
    })
}

fn choices_schema() -> Value {
    let titled = |noun: &str| {
        json!([
            { "const": "value1", "title": format!("First {noun}") },
            { "const": "value2", "title": format!("Second {noun}") },
            { "const": "value3", "title": format!("Third {noun}") },
        ])
    };
    let plain = json!(["option1", "option2", "option3"]);
    json!({
        "type": "object",
        "properties": {
            "untitledSingle": { "type": "string", "enum": plain },
            "titledSingle": { "type": "string", "oneOf": titled("Option") },
            "legacyEnum": {
                "type": "string",
                "enum": ["opt1", "opt2", "opt3"],
                "enumNames": ["Option One", "Option Two", "Option Three"],
            },
            "untitledMulti": { "type": "array", "items": { "type": "string", "enum": plain } },
            "titledMulti": { "type": "array", "items": { "anyOf": titled("Choice") } },
        },
    })
}
