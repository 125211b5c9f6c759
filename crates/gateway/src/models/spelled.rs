//! Secrets that a model spells: some letters in each event of its stream. Every text that grows from event to event is
//! put together as far as it may be the beginning of a secret; those letters wait, and go out with the text's next
//! ones or before its end. Whatever else an event says passes at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mcp::{Json, Kind, SseEvent, quote, sse_data};
use vault::leak::{Filter, Stream};

/// Where texts grow: OpenAI's completions, its chat (with what others add to it), its responses, Anthropic's messages.
/// Arrays on the way are walked through.
const TEXTS: [&[&str]; 12] = [
    &["choices", "text"],
    &["choices", "delta", "content"],
    &["choices", "delta", "refusal"],
    &["choices", "delta", "reasoning"],
    &["choices", "delta", "reasoning_content"],
    &["choices", "delta", "tool_calls", "function", "arguments"],
    &["choices", "delta", "tool_calls", "custom", "input"],
    &["choices", "delta", "function_call", "arguments"],
    // `response.output_text.delta`, `response.function_call_arguments.delta`, and others of that form.
    &["delta"],
    &["delta", "text"],
    &["delta", "partial_json"],
    &["delta", "thinking"],
];
/// Members that tell one text from another.
const NUMBERS: [&str; 4] = ["index", "output_index", "content_index", "summary_index"];
/// Texts that may wait at once. Beyond that, one is looked at event by event.
const WAITING: usize = 256;
const LIMITS: mcp::Limits = mcp::Limits { bytes: 1 << 20, depth: 64, values: 1 << 16 };

/// Looks for known values in the texts of one stream.
pub(super) struct Spelled {
    filter: Arc<Filter>,
    /// Texts of which some letters wait, by what tells them from others.
    waiting: BTreeMap<String, Waiting>,
    found: BTreeSet<Arc<str>>,
}

/// A text of which some letters wait.
struct Waiting {
    /// The choice or block that it belongs to, and ends with.
    owner: Option<i64>,
    text: Stream,
    /// An event that says nothing but this text: what stands before the text, and behind it.
    bearer: (String, String),
    /// The event's name.
    event: String,
}

/// What ends with an event.
enum Ends {
    All,
    Of(Vec<i64>),
}

impl Ends {
    fn of(event: Json<'_>) -> Ends {
        let [kind, index, output, choices] =
            event.pick(["type", "index", "output_index", "choices"]);
        let kind = kind.and_then(Json::string).unwrap_or_default();
        let number = |json: Option<Json<'_>>| json.and_then(Json::integer);
        match (&*kind, number(index), number(output)) {
            ("content_block_stop", Some(index), _) => Ends::Of(vec![index]),
            (kind, _, Some(output)) if kind.ends_with(".done") => Ends::Of(vec![output]),
            (
                "message_delta"
                | "message_stop"
                | "error"
                | "response.completed"
                | "response.failed"
                | "response.incomplete",
                ..,
            ) => Ends::All,
            _ => {
                let ends = |choice: &Json<'_>| {
                    choice.get("finish_reason").is_some_and(|reason| !reason.is_null())
                };
                let choices = choices.map(Json::items).into_iter().flatten().filter(ends);
                Ends::Of(choices.filter_map(|choice| number(choice.get("index"))).collect())
            }
        }
    }

    fn ends(&self, owner: Option<i64>) -> bool {
        match self {
            Ends::All => true,
            Ends::Of(owners) => owner.is_some_and(|owner| owners.contains(&owner)),
        }
    }
}

impl Spelled {
    pub fn new(filter: Arc<Filter>) -> Spelled {
        Spelled { filter, waiting: BTreeMap::new(), found: BTreeSet::new() }
    }

    /// The names of what was found up to now.
    pub fn found(&self) -> &BTreeSet<Arc<str>> {
        &self.found
    }

    /// The next event, which is `raw`: unchanged where none of its letters have to wait.
    pub fn event(&mut self, raw: &[u8], event: &SseEvent, out: &mut Vec<u8>) {
        if self.filter.is_empty() {
            return out.extend_from_slice(raw);
        }
        let Ok(json) = Json::read(&event.data, &LIMITS) else {
            if &*event.data == b"[DONE]" {
                self.finish(out);
            }
            return out.extend_from_slice(raw);
        };
        let ends = Ends::of(json);
        let mut texts = Vec::new();
        TEXTS.iter().for_each(|path| find(json, path, &mut Vec::new(), &mut texts));
        let changes: Vec<_> =
            texts.iter().filter_map(|text| self.grow(text, event, &ends)).collect();
        self.let_go(&ends, out);
        if changes.is_empty() {
            return out.extend_from_slice(raw);
        }
        let data = replaced(json.text(), changes);
        let name = Some(event.event.as_str()).filter(|name| !name.is_empty());
        out.extend_from_slice(sse_data(event.id.as_deref(), name, &data).as_bytes());
    }

    /// Nothing follows: whatever waits goes out.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.let_go(&Ends::All, out);
    }

    /// Takes what an event adds to a text; where something else is to be said, that.
    fn grow<'j>(
        &mut self,
        text: &Text<'j>,
        event: &SseEvent,
        ends: &Ends,
    ) -> Option<(Json<'j>, String)> {
        let said = text.json.string()?;
        let (name, owner) = (text.name(), text.owner());
        let mut stream = match self.waiting.remove(&name) {
            Some(waiting) => waiting.text,
            None => Stream::new(self.filter.clone()),
        };
        let mut clean = Vec::with_capacity(said.len());
        stream.push(said.as_bytes(), &mut clean);
        if ends.ends(owner) || self.waiting.len() >= WAITING {
            stream.finish(&mut clean);
        }
        self.found.extend(stream.found().iter().cloned());
        if stream.holds() {
            let (bearer, event) = (text.bearer(), event.event.clone());
            self.waiting.insert(name, Waiting { owner, text: stream, bearer, event });
        }
        let changed = clean != said.as_bytes();
        changed.then(|| (text.json, quote(&String::from_utf8_lossy(&clean))))
    }

    /// Says what waits of texts that end, each in an event of its own.
    fn let_go(&mut self, ends: &Ends, out: &mut Vec<u8>) {
        let ended = self.waiting.extract_if(.., |_, waiting| ends.ends(waiting.owner));
        for (_, mut waiting) in ended {
            let mut rest = Vec::new();
            waiting.text.finish(&mut rest);
            self.found.extend(waiting.text.found().iter().cloned());
            let (before, after) = &waiting.bearer;
            let data = format!("{before}{}{after}", quote(&String::from_utf8_lossy(&rest)));
            let name = Some(waiting.event.as_str()).filter(|name| !name.is_empty());
            out.extend_from_slice(sse_data(None, name, &data).as_bytes());
        }
    }
}

/// A text in an event, and the way to it: objects, and the members of them.
struct Text<'j> {
    way: Vec<(Json<'j>, &'static str)>,
    json: Json<'j>,
}

fn find<'j>(
    value: Json<'j>,
    path: &[&'static str],
    way: &mut Vec<(Json<'j>, &'static str)>,
    found: &mut Vec<Text<'j>>,
) {
    let Some((name, rest)) = path.split_first() else {
        if value.kind() == Kind::String {
            found.push(Text { way: way.clone(), json: value });
        }
        return;
    };
    if value.kind() == Kind::Array {
        return value.items().for_each(|item| find(item, path, way, found));
    }
    if let Some(member) = value.get(name) {
        way.push((value, name));
        find(member, rest, way, found);
        way.pop();
    }
}

impl Text<'_> {
    /// What tells it from the other texts of the stream.
    fn name(&self) -> String {
        let mut name = String::new();
        for (depth, (object, member)) in self.way.iter().enumerate() {
            let kind = object.get("type").filter(|_| depth == 0);
            let numbers = object.pick(NUMBERS);
            for told in numbers.into_iter().chain([kind]) {
                name.push_str(told.map_or("", Json::text));
                name.push('/');
            }
            name.push_str(member);
        }
        name
    }

    /// The first number on the way: of a choice, a block, a part of the output.
    fn owner(&self) -> Option<i64> {
        let numbers =
            self.way.iter().flat_map(|(object, _)| object.pick(["output_index", "index"]));
        numbers.flatten().find_map(Json::integer)
    }

    /// The event without what it says besides, before and behind this text.
    fn bearer(&self) -> (String, String) {
        let (mut before, mut after) = (String::new(), String::new());
        for (depth, (object, name)) in self.way.iter().enumerate().rev() {
            let list = object.get(name).is_some_and(|value| value.kind() == Kind::Array);
            let mut start = String::from("{");
            for (member, value) in object.members().filter(|(member, _)| member != name) {
                let kept = match (depth, value.kind()) {
                    (_, Kind::Object) => continue,
                    // Clients expect the list, and what it lists was said.
                    (0, Kind::Array) => "[]",
                    (0, _) | (_, Kind::Null) => value.text(),
                    _ if matches!(&*member, "index" | "type") => value.text(),
                    _ => continue,
                };
                start += &format!("{}:{kept},", quote(&member));
            }
            start += &format!("{}:{}", quote(name), if list { "[" } else { "" });
            before.insert_str(0, &start);
            after.push_str(if list { "]}" } else { "}" });
        }
        (before, after)
    }
}

/// A JSON text with other values in the place of some of its own, which are slices of it.
fn replaced(text: &str, mut changes: Vec<(Json<'_>, String)>) -> String {
    let start = |json: &Json<'_>| json.text().as_ptr() as usize - text.as_ptr() as usize;
    changes.sort_by_key(|(json, _)| start(json));
    let (mut out, mut done) = (String::with_capacity(text.len()), 0);
    for (json, other) in &changes {
        out.push_str(&text[done..start(json)]);
        out.push_str(other);
        done = start(json) + json.text().len();
    }
    out.push_str(&text[done..]);
    out
}

#[cfg(test)]
mod tests;
