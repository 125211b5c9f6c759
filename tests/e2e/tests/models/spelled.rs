//! Streams of a model that spells what it was called with: one letter in each event, first in words, then in the
//! arguments of a tool.

use serde_json::{Value, json};

use crate::provider;

/// One event for each letter.
fn letters(text: String, event: impl Fn(&str) -> Value) -> Vec<Value> {
    text.chars().map(|letter| event(letter.encode_utf8(&mut [0; 4]))).collect()
}

fn words(secret: &str) -> String {
    format!("the key is {secret}, of course")
}

fn arguments(secret: &str) -> String {
    json!({"key": secret}).to_string()
}

/// OpenAI's chat completions.
pub fn completion(secret: &str) -> Vec<String> {
    let chunk = |delta: Value| json!([{"index": 0, "delta": delta, "finish_reason": null}]);
    let call = |call: Value| chunk(json!({"tool_calls": [call]}));
    let mut all = letters(words(secret), |letter| chunk(json!({"content": letter})));
    all.push(call(json!({"index": 0, "id": "call-1", "type": "function", "function": {"name": "f", "arguments": ""}})));
    all.extend(letters(arguments(secret), |letter| {
        call(json!({"index": 0, "function": {"arguments": letter}}))
    }));
    all.push(json!([{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]));
    let mut parts: Vec<_> =
        all.into_iter().map(|choices| provider::chunk(choices, Value::Null)).collect();
    let usage = json!({"prompt_tokens": 12, "completion_tokens": 8, "total_tokens": 20});
    parts.push(provider::chunk(json!([]), usage));
    parts.push("data: [DONE]\n\n".to_owned());
    parts
}

/// OpenAI's responses. What says a text once more in full is short here, so that the letters alone say it.
pub fn response(secret: &str) -> Vec<String> {
    let mut begun = provider::response();
    begun["status"] = json!("in_progress");
    begun["output"] = json!([]);
    let part = json!({"type": "output_text", "text": "", "annotations": []});
    let message = json!({"type": "message", "id": "m-1", "role": "assistant", "status": "completed", "content": []});
    let call = json!({"type": "function_call", "id": "f-1", "call_id": "c-1", "name": "f", "arguments": "", "status": "completed"});
    let mut done = provider::response();
    done["output"] = json!([message, call]);
    let mut all = vec![
        json!({"type": "response.created", "response": begun}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": message}),
        json!({"type": "response.content_part.added", "item_id": "m-1", "output_index": 0, "content_index": 0, "part": part}),
    ];
    all.extend(letters(words(secret), |letter| {
        json!({"type": "response.output_text.delta", "item_id": "m-1", "output_index": 0, "content_index": 0,
               "delta": letter, "logprobs": []})
    }));
    all.extend([
        json!({"type": "response.output_text.done", "item_id": "m-1", "output_index": 0, "content_index": 0, "text": "", "logprobs": []}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": message}),
        json!({"type": "response.output_item.added", "output_index": 1, "item": call}),
    ]);
    all.extend(letters(arguments(secret), |letter| {
        json!({"type": "response.function_call_arguments.delta", "item_id": "f-1", "output_index": 1, "delta": letter})
    }));
    all.extend([
        json!({"type": "response.output_item.done", "output_index": 1, "item": call}),
        json!({"type": "response.completed", "response": done}),
    ]);
    for (number, event) in all.iter_mut().enumerate() {
        event["sequence_number"] = json!(number);
    }
    all.iter().map(provider::event).collect()
}

/// Anthropic's messages.
pub fn message(secret: &str) -> Vec<String> {
    let mut begun = provider::message();
    begun["content"] = json!([]);
    begun["stop_reason"] = Value::Null;
    begun["usage"]["output_tokens"] = json!(1);
    let delta = |index: usize, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let mut all = vec![
        json!({"type": "message_start", "message": begun}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    ];
    all.extend(letters(words(secret), |letter| {
        delta(0, json!({"type": "text_delta", "text": letter}))
    }));
    all.extend([
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "content_block_start", "index": 1,
               "content_block": {"type": "tool_use", "id": "t-1", "name": "f", "input": {}}}),
    ]);
    all.extend(letters(arguments(secret), |letter| {
        delta(1, json!({"type": "input_json_delta", "partial_json": letter}))
    }));
    all.extend([
        json!({"type": "content_block_stop", "index": 1}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null}, "usage": {"output_tokens": 8}}),
        json!({"type": "message_stop"}),
    ]);
    all.iter().map(provider::event).collect()
}
