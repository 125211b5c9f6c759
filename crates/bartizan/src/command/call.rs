//! `call`: a tool, from the terminal.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use gateway::call::Scope;
use mcp::{Code, Json, Kind, Limits, quote};

use super::{known_server, load, wait};
use crate::{
    cli::{Global, Output},
    client::{Client, ClientFault, DECLINED, Listener},
    config::fault::nearest,
    gate::{Gate, REMOTE},
    lock,
    outcome::{Mistake, Told},
    print::{self, tame},
    state,
};

pub fn run(
    global: &Global,
    remote: Option<Option<String>>,
    server: &str,
    tool: &str,
    arguments: &str,
) -> anyhow::Result<()> {
    let from_input = arguments == "-";
    let text = if from_input {
        io::read_to_string(io::stdin().lock().take(Limits::default().bytes as u64))?
    } else {
        arguments.to_owned()
    };
    let arguments = object(&text)?;
    wait(async {
        let folder = state::folder(global.state_dir.clone())?;
        let running = if remote.is_none() { Gate::running(&folder).await } else { None };
        let gate = match (&remote, running) {
            (Some(url), _) => Gate::remote(url.as_deref(), &folder).await?,
            (None, Some(gate)) => {
                // The gateway may have been started with a file that can't be read any more.
                if let Ok(loaded) = load(global) {
                    lock::must_be_locked(&loaded, server)?;
                }
                gate
            }
            (None, None) => {
                let loaded = load(global)?;
                known_server(&loaded, server)?;
                lock::must_be_locked(&loaded, server)?;
                Gate::own(&loaded, &folder).await?
            }
        };
        // The gateway elsewhere offers all its servers together.
        let (door, tool) = match &remote {
            Some(_) => (REMOTE, format!("{server}__{tool}")),
            None => (server, tool.to_owned()),
        };
        let tool = tool.as_str();
        let name = mcp::ServerName::new(door).map_err(|fault| {
            Mistake::new(fault.to_string(), "`bartizan list` shows the servers")
        })?;
        let mut person = Person {
            present: !from_input && io::stdin().is_terminal() && io::stderr().is_terminal(),
            server,
        };
        let mut client = gate.client(Scope::One(name)).await?;
        let called = client.call_tool(tool, arguments, &mut person).await;
        let done = match called {
            Ok(result) => show(global.output, result.json()),
            Err(ClientFault::Refused { code, message }) => {
                if global.output == Output::Json {
                    print::json(&serde_json::json!({"error": {"code": code, "message": message}}))?;
                }
                if remote.is_some() {
                    Err(anyhow::anyhow!("{} (code {code})", tame(&message)))
                } else {
                    Err(refused(global, &mut client, server, tool, code, &message).await)
                }
            }
            Err(fault) => Err(fault.into()),
        };
        gate.close().await;
        done
    })
}

/// The refusal, or the slip of the pen that it probably comes from.
async fn refused(
    global: &Global,
    client: &mut Client,
    server: &str,
    tool: &str,
    code: i64,
    message: &str,
) -> anyhow::Error {
    // The running gateway may serve another file than the one that is found here, so this is asked only now.
    if let Some(mistake) = load(global).ok().and_then(|loaded| known_server(&loaded, server).err())
    {
        return mistake.into();
    }
    let tools =
        client.list("tools/list", "tools").await.map(|(tools, _)| tools).unwrap_or_default();
    let names: Vec<String> = tools
        .iter()
        .filter_map(|tool| tool.json().get("name").and_then(Json::string))
        .map(|name| name.into_owned())
        .collect();
    match nearest(tool, names.iter().map(String::as_str)) {
        Some(near) if names.iter().all(|name| name != tool) => Mistake::new(
            format!("{server} has no tool `{tool}`"),
            format!("did you mean `{near}`?"),
        )
        .into(),
        _ => {
            let message = tame(message);
            eprintln!("error: {} (code {code})", gateway::leak::clean(message));
            if code == i64::from(Code::Upstream as i32) {
                tell_last_words(global, server).await;
            }
            Told::failure().into()
        }
    }
}

/// What a local server said last: it often says why it failed.
#[cfg(unix)]
async fn tell_last_words(global: &Global, server: &str) {
    let Ok(folder) = state::folder(global.state_dir.clone()) else { return };
    let request = gateway::Control::Logs(server.to_owned());
    let Some(Ok(answer)) = gateway::door::control(&folder, &request).await else { return };
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
    let said = answer["stderr"].as_str().unwrap_or_default();
    if let Some(last) = said.lines().rfind(|line| !line.trim().is_empty()) {
        eprintln!("  = its last words: {}", tame(last.trim()));
        eprintln!("  = help: bartizan logs {server}");
    }
}

#[cfg(not(unix))]
async fn tell_last_words(_: &Global, _: &str) {}

fn object(text: &str) -> Result<Json<'_>, Mistake> {
    let mend = "write a JSON object in single quotes, such as '{\"text\":\"hello\"}'";
    let json = Json::read(text.as_bytes(), &Limits::default())
        .map_err(|fault| Mistake::new(format!("the arguments are not JSON: {fault}"), mend))?;
    match json.kind() {
        Kind::Object => Ok(json),
        _ => Err(Mistake::new("the arguments are not a JSON object", mend)),
    }
}

fn show(output: Output, result: Json<'_>) -> anyhow::Result<()> {
    match output {
        Output::Json => print::line(result.text())?,
        Output::Table => {
            let mut said = false;
            for content in result.get("content").into_iter().flat_map(Json::items) {
                print::line(&described(content))?;
                said = true;
            }
            if let Some(structured) = result.get("structuredContent").filter(|_| !said) {
                print::line(structured.text())?;
            }
        }
    }
    match result.get("isError").and_then(Json::boolean) {
        Some(true) => Err(Told::failure().into()),
        _ => Ok(()),
    }
}

/// Text as it is (tamed for a terminal), everything else by its kind.
fn described(content: Json<'_>) -> String {
    let string = |member: &str| content.get(member).and_then(Json::string);
    let resource = content.get("resource").unwrap_or(Json::EMPTY);
    let text = string("text").or_else(|| resource.get("text").and_then(Json::string));
    match text {
        Some(text) if io::stdout().is_terminal() => tame(&text),
        Some(text) => text.into_owned(),
        None => {
            let details = [
                string("type"),
                string("mimeType"),
                string("uri"),
                resource.get("uri").and_then(Json::string),
            ];
            let details: Vec<_> =
                details.into_iter().flatten().map(|detail| tame(&detail)).collect();
            format!("[{}; --output json shows it whole]", details.join(" "))
        }
    }
}

/// Whoever sits at the terminal.
struct Person<'a> {
    present: bool,
    server: &'a str,
}

impl Listener for Person<'_> {
    fn elicit(&mut self, params: Json<'_>) -> String {
        let message = params.get("message").and_then(Json::string).unwrap_or_default();
        if !self.present {
            eprintln!(
                "{} asks \"{}\"; declined, since there is no terminal to answer at",
                self.server,
                tame(&message)
            );
            return DECLINED.to_owned();
        }
        eprintln!("{} asks: {}  (Ctrl-D declines)", self.server, tame(&message));
        let properties = params
            .get("requestedSchema")
            .and_then(|schema| schema.get("properties"))
            .unwrap_or(Json::EMPTY);
        let mut content = Vec::new();
        for (name, schema) in properties.members() {
            match ask(&name, schema) {
                Some(Some(value)) => content.push(format!("{}:{value}", quote(&name))),
                Some(None) => {}
                None => return DECLINED.to_owned(),
            }
        }
        format!("{{\"action\":\"accept\",\"content\":{{{}}}}}", content.join(","))
    }

    fn hear(&mut self, method: &str, params: Json<'_>) {
        let string = |member: &str| params.get(member).and_then(Json::string);
        match method {
            "notifications/progress" if self.present => {
                let number = |member: &str| params.get(member).map(|value| value.text().to_owned());
                let of = number("total").map(|total| format!("/{total}")).unwrap_or_default();
                eprintln!(
                    "… {}{of} {}",
                    number("progress").unwrap_or_default(),
                    tame(&string("message").unwrap_or_default())
                );
            }
            "notifications/message" => {
                let data = string("data")
                    .unwrap_or_else(|| params.get("data").unwrap_or(Json::EMPTY).text().into());
                eprintln!(
                    "{} [{}]: {}",
                    self.server,
                    tame(&string("level").unwrap_or_default()),
                    tame(&data)
                );
            }
            _ => {}
        }
    }
}

/// One value: as JSON text, nothing for an empty line, `None` at the end of the input.
fn ask(name: &str, schema: Json<'_>) -> Option<Option<String>> {
    let string = |member: &str| schema.get(member).and_then(Json::string);
    let title = string("title").unwrap_or_else(|| name.into());
    let description =
        string("description").map(|text| format!(" ({})", tame(&text))).unwrap_or_default();
    let choices: Vec<String> = schema
        .get("enum")
        .into_iter()
        .flat_map(Json::items)
        .filter_map(Json::string)
        .map(|choice| tame(&choice))
        .collect();
    let choices =
        if choices.is_empty() { String::new() } else { format!(" [{}]", choices.join(", ")) };
    let kind = string("type").unwrap_or_default();
    loop {
        eprint!("  {}{description}{choices}: ", tame(&title));
        let _ = io::stderr().flush();
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line).ok()? == 0 {
            eprintln!();
            return None;
        }
        let line = line.trim();
        if line.is_empty() {
            return Some(None);
        }
        match typed(line, &kind) {
            Some(value) => return Some(Some(value)),
            None => eprintln!("  a {kind} is wanted"),
        }
    }
}

/// What was typed, as JSON of the wanted kind.
fn typed(line: &str, kind: &str) -> Option<String> {
    match kind {
        "boolean" => match line.to_ascii_lowercase().as_str() {
            "y" | "yes" | "true" => Some("true".to_owned()),
            "n" | "no" | "false" => Some("false".to_owned()),
            _ => None,
        },
        "integer" => line.parse::<i64>().ok().map(|number| number.to_string()),
        "number" => {
            let number = Json::read(line.as_bytes(), &Limits::default()).ok()?;
            (number.kind() == Kind::Number).then(|| line.to_owned())
        }
        "array" => Some(format!(
            "[{}]",
            line.split(',').map(|item| quote(item.trim())).collect::<Vec<_>>().join(",")
        )),
        _ => Some(quote(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::typed;

    #[test]
    fn what_is_typed_becomes_what_is_wanted() {
        for (line, kind, expected) in [
            ("yes", "boolean", Some("true")),
            ("maybe", "boolean", None),
            ("12", "integer", Some("12")),
            ("1.5", "integer", None),
            ("1.5", "number", Some("1.5")),
            ("NaN", "number", None),
            ("a \"b\"", "string", Some(r#""a \"b\"""#)),
            ("a, b", "array", Some(r#"["a","b"]"#)),
        ] {
            assert_eq!(typed(line, kind).as_deref(), expected, "{line} {kind}");
        }
    }
}
