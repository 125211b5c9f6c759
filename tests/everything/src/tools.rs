//! The tools that ask nothing, and the list of all tools.

use std::{
    sync::{PoisonError, atomic::Ordering},
    time::Duration,
};

use rmcp::{ErrorData, RoleServer, model::*, service::RequestContext};
use serde_json::{Value, json};

use crate::{
    ask::is_stateless,
    content::{self, AUDIO, PIXEL},
    input,
    server::Everything,
    shared::{Change, Shared},
    tasks,
};

/// Long enough to tell notifications of one call apart.
const PAUSE: Duration = Duration::from_millis(50);
const LARGEST_TEXT: u64 = 256 * 1024 * 1024;

pub fn text(text: impl Into<String>) -> ContentBlock {
    ContentBlock::text(text)
}

pub fn object(value: Value) -> JsonObject {
    if let Value::Object(map) = value { map } else { JsonObject::new() }
}

pub fn tool(name: &'static str, description: &'static str, properties: Value) -> Tool {
    let required: Vec<&String> =
        properties.as_object().into_iter().flat_map(|p| p.keys()).collect();
    let schema = json!({ "type": "object", "properties": properties, "required": required });
    Tool::new(name, description, object(schema))
}

pub fn all() -> Vec<Tool> {
    let none = || json!({});
    let mut tools = vec![
        tool("big", "Returns a text of so many bytes", json!({ "bytes": { "type": "integer" } })),
        tool("cancelled_count", "How many calls of slow ended early", none()),
        tool("echo", "Returns its argument", json!({ "text": { "type": "string" } })),
        Tool::new(
            "json_schema_2020_12_tool",
            "Tool with JSON Schema 2020-12 features",
            rich_schema(),
        ),
        tool(
            "slow",
            "Waits so many milliseconds, and reports when it begins",
            json!({ "ms": { "type": "integer" } }),
        ),
        tool("test_audio_content", "Returns audio", none()),
        tool(
            "test_custom_header",
            "Takes an argument that is mirrored in a header",
            json!({ "value": { "type": "string", "x-mcp-header": "Value" } }),
        ),
        tool("test_embedded_resource", "Returns an embedded resource", none()),
        tool("test_error_handling", "Always fails", none()),
        tool("test_image_content", "Returns an image", none()),
        tool("test_logging_tool", "Logs one line", none()),
        tool("test_missing_capability", "Needs a client that can sample", none()),
        tool("test_multiple_content_types", "Returns text, image and resource", none()),
        tool("test_reconnection", "Ends its stream before its result", none()),
        tool("test_simple_text", "Returns text", none()),
        tool("test_tool_with_logging", "Logs three lines", none()),
        tool("test_tool_with_progress", "Reports progress", none()),
        tool("test_trigger_prompt_change", "Announces changed prompts", none()),
        tool(
            "test_trigger_resource_update",
            "Announces a changed resource",
            json!({ "uri": { "type": "string" } }),
        ),
        tool("test_trigger_tool_change", "Announces changed tools", none()),
    ];
    tools.extend(input::tools());
    tools.extend(tasks::tools());
    tools
}

pub async fn call(
    server: &Everything,
    call: CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    if input::owns(&call.name) {
        return input::call(server, call, context).await;
    }
    if tasks::owns(&call.name) {
        return tasks::call(server, call, context).await;
    }
    let arguments = Value::Object(call.arguments.unwrap_or_default());
    let blocks = match &*call.name {
        "big" => vec![text(
            "x".repeat(arguments["bytes"].as_u64().unwrap_or(0).min(LARGEST_TEXT) as usize),
        )],
        "cancelled_count" => {
            vec![text(server.shared.cancelled.load(Ordering::Relaxed).to_string())]
        }
        "echo" => vec![text(string(&arguments, "text")?)],
        "json_schema_2020_12_tool" => vec![text("Valid")],
        "slow" => {
            slow(&server.shared, context, arguments["ms"].as_u64().unwrap_or(0)).await?;
            vec![text("Done")]
        }
        "test_audio_content" => vec![ContentBlock::audio(AUDIO, "audio/wav")],
        "test_custom_header" => vec![text(string(&arguments, "value")?)],
        "test_embedded_resource" => vec![ContentBlock::resource(
            ResourceContents::text(
                "This is an embedded resource content.",
                "test://embedded-resource",
            )
            .with_mime_type("text/plain"),
        )],
        "test_error_handling" => {
            let why = "This tool intentionally returns an error for testing";
            return Ok(CallToolResult::error(vec![text(why)]).into());
        }
        "test_image_content" => vec![ContentBlock::image(PIXEL, "image/png")],
        "test_logging_tool" => {
            log(server, context, arguments["line"].as_str().unwrap_or("A line of log")).await;
            vec![text("Logged")]
        }
        "test_missing_capability" => {
            if context.client_capabilities().is_none_or(|c| c.sampling.is_none()) {
                let needed = ClientCapabilities::builder().enable_sampling().build();
                return Err(ErrorData::missing_required_client_capability(needed));
            }
            vec![text("The client can sample")]
        }
        "test_multiple_content_types" => content::mixed(),
        "test_reconnection" => {
            tokio::time::sleep(6 * PAUSE).await;
            vec![text("Reconnection test completed")]
        }
        "test_simple_text" => vec![text("This is a simple text response for testing.")],
        "test_tool_with_logging" => {
            for line in
                ["Tool execution started", "Tool processing data", "Tool execution completed"]
            {
                log(server, context, line).await;
                tokio::time::sleep(PAUSE).await;
            }
            vec![text("Logged three lines")]
        }
        "test_tool_with_progress" => {
            progress(context).await;
            vec![text("Made progress")]
        }
        "test_trigger_prompt_change" => announced(&server.shared, Change::Prompts).await,
        "test_trigger_resource_update" => {
            announced(&server.shared, Change::Resource(string(&arguments, "uri")?)).await
        }
        "test_trigger_tool_change" => announced(&server.shared, Change::Tools).await,
        unknown => return Err(unknown_tool(unknown)),
    };
    Ok(CallToolResult::success(blocks).into())
}

pub fn unknown_tool(name: &str) -> ErrorData {
    ErrorData::invalid_params(format!("Unknown tool: {name}"), None)
}

fn string<'a>(arguments: &'a Value, name: &str) -> Result<&'a str, ErrorData> {
    let wrong = || ErrorData::invalid_params(format!("{name} must be a string"), None);
    arguments[name].as_str().ok_or_else(wrong)
}

async fn announced(shared: &Shared, change: Change<'_>) -> Vec<ContentBlock> {
    shared.announce(change).await;
    vec![text("Announced")]
}

/// Counts a call that ends before its time, whether it is told to or simply dropped.
struct CountUnlessDone<'a>(&'a Shared, bool);

impl Drop for CountUnlessDone<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.cancelled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn slow(
    shared: &Shared,
    context: &RequestContext<RoleServer>,
    ms: u64,
) -> Result<(), ErrorData> {
    let mut count = CountUnlessDone(shared, false);
    report(context, 0.0).await;
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(ms)) => count.1 = true,
        () = context.ct.cancelled() => return Err(ErrorData::internal_error("cancelled", None)),
    }
    Ok(())
}

async fn progress(context: &RequestContext<RoleServer>) {
    for done in [0.0, 50.0, 100.0] {
        report(context, done).await;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn report(context: &RequestContext<RoleServer>, done: f64) {
    if let Some(token) = context.meta.get_progress_token() {
        let report = ProgressNotificationParam::new(token, done).with_total(100.0);
        let _ = context.peer.notify_progress(report).await;
    }
}

/// Logs at level info, if the client wants that: by the request's own level in the stateless era,
/// by the session's after a handshake.
async fn log(server: &Everything, context: &RequestContext<RoleServer>, line: &str) {
    let wanted = if is_stateless(context) {
        context.meta.log_level()
    } else {
        Some(*server.level.lock().unwrap_or_else(PoisonError::into_inner))
    };
    if matches!(wanted, Some(LoggingLevel::Debug | LoggingLevel::Info)) {
        let line = LoggingMessageNotificationParam::new(LoggingLevel::Info, json!(line));
        let _ = context.peer.notify_logging_message(line.with_logger("everything")).await;
    }
}

/// Every keyword that a gateway is tempted to drop from a schema.
fn rich_schema() -> JsonObject {
    object(json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": { "street": { "type": "string" }, "city": { "type": "string" } },
            },
        },
        "properties": {
            "name": { "type": "string" },
            "address": { "$ref": "#/$defs/address" },
            "contactMethod": { "type": "string", "enum": ["phone", "email"] },
            "phone": { "type": "string" },
            "email": { "type": "string" },
        },
        "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
        "if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] },
        "then": { "required": ["phone"] },
        "else": { "required": ["email"] },
        "additionalProperties": false,
    }))
}
