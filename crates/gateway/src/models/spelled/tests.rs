use mcp::SseReader;
use serde_json::{Value, json};
use vault::leak::Known;

use super::*;

const SECRET: &str = "sk-kanarie/Ähre-42";

/// Looks for the secret in events: what goes out for each of them, and at the end.
struct Seen {
    spelled: Spelled,
    said: Vec<Vec<u8>>,
}

impl Seen {
    fn new() -> Seen {
        let known = Known::default();
        known.learn("canary", SECRET);
        Seen { spelled: Spelled::new(known.filter()), said: Vec::new() }
    }

    fn take(&mut self, data: &Value) {
        self.take_text(&data.to_string());
    }

    fn take_text(&mut self, data: &str) {
        let raw = format!("data: {data}\n\n");
        let event = read(raw.as_bytes()).remove(0);
        let mut out = Vec::new();
        self.spelled.event(raw.as_bytes(), &event, &mut out);
        self.said.push(out);
    }

    fn end(mut self) -> (Vec<Value>, BTreeSet<Arc<str>>) {
        let mut out = Vec::new();
        self.spelled.finish(&mut out);
        self.said.push(out);
        let said = read(&self.said.concat());
        let data = said.iter().filter_map(|event| serde_json::from_slice(&event.data).ok());
        (data.collect(), self.spelled.found().clone())
    }
}

fn read(stream: &[u8]) -> Vec<SseEvent> {
    let mut reader = SseReader::new(1 << 20);
    reader.push(bytes::Bytes::copy_from_slice(stream));
    std::iter::from_fn(|| reader.next_event().unwrap()).collect()
}

fn content(index: usize, text: &str) -> Value {
    json!({"id": "c-1", "object": "chat.completion.chunk", "choices": [
        {"index": index, "delta": {"content": text}, "finish_reason": null}], "usage": null})
}

fn arguments(tool: usize, text: &str) -> Value {
    json!({"id": "c-1", "choices": [{"index": 0, "delta": {"tool_calls": [
        {"index": tool, "function": {"arguments": text}}]}}]})
}

fn output(part: &str, text: &str) -> Value {
    json!({"type": format!("response.{part}.delta"), "item_id": "i", "output_index": 0, "content_index": 0, "delta": text})
}

fn block(index: usize, kind: &str, member: &str, text: &str) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": {"type": kind, member: text}})
}

/// Everything that strings at this place say together.
fn told(events: &[Value], at: &str) -> String {
    events.iter().filter_map(|event| event.pointer(at)?.as_str()).collect()
}

#[test]
fn a_value_is_found_however_it_is_spelled() {
    let chat = |text: &str| content(0, text);
    let legacy = |text: &str| json!({"choices": [{"index": 0, "text": text}]});
    let tool = |text: &str| arguments(0, text);
    let words = |text: &str| output("output_text", text);
    let call = |text: &str| output("function_call_arguments", text);
    let text = |text: &str| block(0, "text_delta", "text", text);
    let input = |text: &str| block(0, "input_json_delta", "partial_json", text);
    let thought = |text: &str| block(0, "thinking_delta", "thinking", text);
    type Event<'a> = &'a dyn Fn(&str) -> Value;
    let ways: [(Event<'_>, &str); 8] = [
        (&chat, "/choices/0/delta/content"),
        (&legacy, "/choices/0/text"),
        (&tool, "/choices/0/delta/tool_calls/0/function/arguments"),
        (&words, "/delta"),
        (&call, "/delta"),
        (&text, "/delta/text"),
        (&input, "/delta/partial_json"),
        (&thought, "/delta/thinking"),
    ];
    let base64 = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, SECRET);
    for (event, at) in ways {
        for value in [SECRET, &base64] {
            for size in [1, 2, 5, 100] {
                let whole: Vec<char> = format!("{{\"key\": \"{value}\"}} so").chars().collect();
                let mut seen = Seen::new();
                whole
                    .chunks(size)
                    .for_each(|letters| seen.take(&event(&String::from_iter(letters))));
                let (said, found) = seen.end();
                let said = told(&said, at);
                assert!(
                    said.starts_with("{\"key\": \"[secret]") && said.ends_with("\"} so"),
                    "{said}"
                );
                assert_eq!(found.len(), 1, "{at} {size}");
            }
        }
    }
}

#[test]
fn innocent_letters_come_out_as_they_are_and_in_time() {
    // It begins like the secret, again and again.
    let text = "ask-ks sk-kan sk-kanarie/Ähr sk-kanarie/Ähre-43, s";
    for size in [1, 3, 7] {
        let mut seen = Seen::new();
        let letters: Vec<char> = text.chars().collect();
        letters
            .chunks(size)
            .for_each(|letters| seen.take(&content(0, &String::from_iter(letters))));
        // What ends the choice has no text: the last letters stand before it.
        let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
        seen.take(&end);
        let last = read(seen.said.last().unwrap());
        assert_eq!(last.len(), 2, "{last:?}");
        assert_eq!(serde_json::from_slice::<Value>(&last[1].data).unwrap(), end);
        let (said, found) = seen.end();
        assert_eq!(told(&said, "/choices/0/delta/content"), text);
        assert!(found.is_empty());
    }
    // What can't be the beginning of a value passes at once, and byte for byte.
    let mut seen = Seen::new();
    let odd = r#"{ "choices":[{"index":0, "delta":{"content":"Hello!"}}],"x":1.0 }"#;
    seen.take_text(odd);
    assert_eq!(seen.said[0], format!("data: {odd}\n\n").as_bytes());
}

#[test]
fn what_is_let_go_says_nothing_but_its_text() {
    let mut seen = Seen::new();
    seen.take(&json!({"id": "c-1", "model": "m", "usage": {"total_tokens": 3}, "choices": [
        {"index": 1, "finish_reason": null, "logprobs": {"content": []}, "delta": {"role": "assistant", "tool_calls": [
            {"index": 2, "id": "call-1", "type": "function", "function": {"name": "f", "arguments": "sk"}}]}}]}));
    let (said, _) = seen.end();
    assert_eq!(told(&said[..1], "/choices/0/delta/tool_calls/0/function/arguments"), "");
    assert_eq!(said[0]["choices"][0]["delta"]["tool_calls"][0]["id"], "call-1");
    assert_eq!(
        said[1],
        json!({"id": "c-1", "model": "m", "choices": [{"index": 1, "finish_reason": null, "delta": {"tool_calls": [
            {"index": 2, "type": "function", "function": {"arguments": "sk"}}]}}]})
    );
    let mut seen = Seen::new();
    seen.take(&block(3, "text_delta", "text", "so s"));
    seen.take(&json!({"type": "ping"}));
    assert_eq!(read(&seen.said.concat()).len(), 2, "a ping ends nothing");
    seen.take(&json!({"type": "content_block_stop", "index": 2}));
    seen.take(&json!({"type": "content_block_stop", "index": 3}));
    let (said, _) = seen.end();
    let kinds: Vec<_> = said.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds[2..], ["content_block_stop", "content_block_delta", "content_block_stop"]);
    assert_eq!(said[3], block(3, "text_delta", "text", "s"));
}

#[test]
fn texts_that_grow_side_by_side_are_apart() {
    let mut seen = Seen::new();
    for letter in SECRET.chars().map(String::from) {
        seen.take(&content(0, &letter));
        seen.take(&content(1, &format!(".{letter}")));
        seen.take(&arguments(0, &letter));
        seen.take(&arguments(1, "x"));
        seen.take(&json!({"type": "ping"}));
    }
    let (said, found) = seen.end();
    let of = |index: i64, at: &str| {
        let of: Vec<Value> =
            said.iter().filter(|e| e["choices"][0]["index"] == index).cloned().collect();
        told(&of, at)
    };
    assert_eq!(of(0, "/choices/0/delta/content"), "[secret]");
    let dotted: String = SECRET.chars().flat_map(|letter| ['.', letter]).collect();
    assert_eq!(of(1, "/choices/0/delta/content"), dotted);
    let calls = of(0, "/choices/0/delta/tool_calls/0/function/arguments");
    assert_eq!(calls.replace('x', ""), "[secret]");
    assert_eq!(found.len(), 1);
}
