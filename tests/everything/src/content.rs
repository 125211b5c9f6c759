//! Prompts, resources and completions.

use rmcp::{ErrorData, RoleServer, model::*, service::RequestContext};
use serde_json::json;

use crate::{ask::Asker, input::one_field, server::Everything, tools::text};

/// A red picture of one pixel, in PNG.
pub const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
/// A WAV file of no length.
pub const AUDIO: &str = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=";

pub fn mixed() -> Vec<ContentBlock> {
    let resource =
        ResourceContents::text(r#"{"test":"data","value":123}"#, "test://mixed-content-resource");
    vec![
        text("Multiple content types test:"),
        ContentBlock::image(PIXEL, "image/png"),
        ContentBlock::resource(resource.with_mime_type("application/json")),
    ]
}

pub fn prompts() -> Vec<Prompt> {
    let argument = |name: &str| PromptArgument::new(name).with_required(true);
    let prompt = |name: &str, what: &str, arguments: &[&str]| {
        let arguments = arguments.iter().map(|name| argument(name)).collect();
        Prompt::new(name, Some(what), Some(arguments))
    };
    vec![
        prompt("test_simple_prompt", "A prompt of one line", &[]),
        prompt("test_prompt_with_arguments", "A prompt with arguments", &["arg1", "arg2"]),
        prompt("test_prompt_with_embedded_resource", "A prompt with a resource", &["resourceUri"]),
        prompt("test_prompt_with_image", "A prompt with an image", &[]),
        prompt("test_input_required_result_prompt", "A prompt that asks the user", &[]),
    ]
}

pub async fn prompt(
    server: &Everything,
    request: GetPromptRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<GetPromptResponse, ErrorData> {
    let arguments = request.arguments.unwrap_or_default();
    let argument = |name: &str| arguments.get(name).and_then(|v| v.as_str()).unwrap_or_default();
    let messages = match request.name.as_str() {
        "test_simple_prompt" => vec![user(text("This is a simple prompt for testing."))],
        "test_prompt_with_arguments" => {
            let (arg1, arg2) = (argument("arg1"), argument("arg2"));
            vec![user(text(format!("Prompt with arguments: arg1='{arg1}', arg2='{arg2}'")))]
        }
        "test_prompt_with_embedded_resource" => {
            let contents = ResourceContents::text(
                "Embedded resource content for testing.",
                argument("resourceUri"),
            );
            vec![
                user(ContentBlock::resource(contents.with_mime_type("text/plain"))),
                user(text("Please process the embedded resource above.")),
            ]
        }
        "test_prompt_with_image" => vec![
            user(ContentBlock::image(PIXEL, "image/png")),
            user(text("Please analyze the image above.")),
        ],
        "test_input_required_result_prompt" => {
            let state = request.request_state.as_deref();
            let mut asker =
                Asker::new(&server.shared.codec, context, state, request.input_responses)?;
            let question = one_field("What context should the prompt use?", "context")?;
            match asker.ask_one("user_context", question).await {
                Ok(answer) => vec![user(text(format!("Use {}", answer["content"]["context"])))],
                Err(pause) => return pause.into_prompt(),
            }
        }
        unknown => {
            return Err(ErrorData::invalid_params(format!("Unknown prompt: {unknown}"), None));
        }
    };
    Ok(GetPromptResult::new(messages).into())
}

fn user(content: ContentBlock) -> PromptMessage {
    PromptMessage::new(Role::User, content)
}

pub fn resources() -> Vec<Resource> {
    vec![
        Resource::new("test://static-text", "Static text").with_mime_type("text/plain"),
        Resource::new("test://static-binary", "Static picture").with_mime_type("image/png"),
        Resource::new("test://watched-resource", "Watched text").with_mime_type("text/plain"),
    ]
}

pub fn templates() -> Vec<ResourceTemplate> {
    vec![
        ResourceTemplate::new("test://template/{id}/data", "Data by id")
            .with_mime_type("application/json"),
    ]
}

pub fn read(uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let contents = match uri {
        "test://static-text" => {
            ResourceContents::text("This is the content of the static text resource.", uri)
                .with_mime_type("text/plain")
        }
        "test://static-binary" => ResourceContents::blob(PIXEL, uri).with_mime_type("image/png"),
        "test://watched-resource" => {
            ResourceContents::text("Watched content", uri).with_mime_type("text/plain")
        }
        _ => {
            let id = uri.strip_prefix("test://template/").and_then(|u| u.strip_suffix("/data"));
            let Some(id) = id else {
                let data = json!({ "uri": uri });
                return Err(ErrorData::resource_not_found(
                    format!("No resource {uri}"),
                    Some(data),
                ));
            };
            let data =
                json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") });
            ResourceContents::text(data.to_string(), uri).with_mime_type("application/json")
        }
    };
    Ok(ReadResourceResult::new(vec![contents]))
}

/// Completes every argument from the same small list.
pub fn complete(_argument: &str, typed: &str) -> Vec<String> {
    let words = ["paris", "park", "party", "1", "2", "3"];
    words.iter().filter(|word| word.starts_with(typed)).map(ToString::to_string).collect()
}
