//! The tools of the tasks extension: what they do takes a while, so they may hand back a task.

use std::time::Duration;

use rmcp::{
    ErrorData, RoleServer,
    model::*,
    service::RequestContext,
    task_manager::{TaskContext, TaskExit, TaskOptions},
};
use serde_json::{Value, json};

use crate::{
    ask::Asker,
    input::{form, one_field},
    server::Everything,
    tools::{text, tool},
};

/// Tools that have no other way than a task.
const TASK_ONLY: [&str; 4] =
    ["confirm_delete", "failing_job", "multi_input", "test_tool_with_task"];

pub fn owns(name: &str) -> bool {
    tools().iter().any(|tool| tool.name == name)
}

pub fn tools() -> Vec<Tool> {
    let none = || json!({});
    vec![
        tool("confirm_delete", "Asks in a task", json!({ "filename": { "type": "string" } })),
        tool("failing_job", "A task that ends in a tool error", none()),
        tool("greet", "Greets, never as a task", json!({ "name": { "type": "string" } })),
        tool("multi_input", "Asks two things in a task", none()),
        tool("protocol_error_job", "A task that ends in a protocol error", none()),
        tool("slow_compute", "Takes so many seconds", json!({ "seconds": { "type": "number" } })),
        tool("test_tool_with_task", "Asks, then goes on as a task", none()),
    ]
}

pub async fn call(
    server: &Everything,
    call: CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let as_task = context.client_capabilities().is_some_and(|c| c.supports_tasks());
    let name = call.name.to_string();
    if !as_task && TASK_ONLY.contains(&&*name) {
        let needed = ClientCapabilities::builder().enable_tasks().build();
        return Err(ErrorData::missing_required_client_capability(needed));
    }
    let mut arguments = Value::Object(call.arguments.unwrap_or_default());
    if name == "test_tool_with_task" {
        let state = call.request_state.as_deref();
        let mut asker = Asker::new(&server.shared.codec, context, state, call.input_responses)?;
        match asker.ask_one("user_name", one_field("What is your name?", "name")?).await {
            Ok(answer) => arguments = answer["content"].clone(),
            Err(pause) => return pause.into_call(),
        }
    }
    if !as_task || name == "greet" {
        return Ok(work(&name, &arguments).await?.into());
    }
    let task = server.shared.tasks.spawn(TaskOptions::default(), move |task| {
        Box::pin(async move {
            tokio::select! {
                () = task.cancelled() => Err(TaskExit::Cancelled),
                result = work_in_task(&name, &arguments, &task) => result,
            }
        })
    });
    Ok(CreateTaskResult::new(task).into())
}

async fn work_in_task(
    name: &str,
    arguments: &Value,
    task: &TaskContext,
) -> Result<CallToolResult, TaskExit> {
    let said = match name {
        "confirm_delete" => {
            let schema = json!({
                "type": "object",
                "properties": { "confirm": { "type": "boolean" } },
                "required": ["confirm"],
            });
            let file = arguments["filename"].as_str().unwrap_or("it");
            let question = form(&format!("Delete {file}?"), schema).map_err(TaskExit::Error)?;
            let answer = task.request_input("confirm", question).await?;
            format!("confirmed: {}", answer["content"]["confirm"])
        }
        "multi_input" => {
            let question = |which| one_field(which, "value").map_err(TaskExit::Error);
            let (a, b) = (question("Value A?")?, question("Value B?")?);
            let (a, b) = tokio::join!(task.request_input("a", a), task.request_input("b", b));
            format!("a: {}, b: {}", a?["content"]["value"], b?["content"]["value"])
        }
        _ => return work(name, arguments).await.map_err(TaskExit::Error),
    };
    Ok(CallToolResult::success(vec![text(said)]))
}

async fn work(name: &str, arguments: &Value) -> Result<CallToolResult, ErrorData> {
    let said = match name {
        "greet" | "test_tool_with_task" => {
            format!("Hello, {}!", arguments["name"].as_str().unwrap_or("stranger"))
        }
        "slow_compute" => {
            let seconds = arguments["seconds"].as_f64().unwrap_or(1.0).clamp(0.0, 600.0);
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            format!("Computed for {seconds} s")
        }
        "failing_job" => {
            tokio::time::sleep(Duration::from_secs(1)).await;
            return Ok(CallToolResult::error(vec![text("The job failed")]));
        }
        _ => {
            tokio::time::sleep(Duration::from_millis(200)).await;
            return Err(ErrorData::internal_error("The job broke the protocol", None));
        }
    };
    Ok(CallToolResult::success(vec![text(said)]))
}
