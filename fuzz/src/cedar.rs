//! Policies in Cedar as somebody wrote them: refused at a place in their file, or they decide, never more in a call than in a list,
//! and what is shown of them is a policy again.

use mcp::Json;
use policy::{
    Action, Arguments, CedarFile, Context, Kind, Offered, Policy, PolicyFault, PrincipalView,
};

/// A file in Cedar, and behind the first NUL the `inputSchema` of a tool.
pub fn target(data: &[u8]) {
    // Longer ones take long and say no more.
    let Ok(text) = std::str::from_utf8(data.get(..2048).unwrap_or(data)) else { return };
    let (text, schema) = text.split_once('\0').unwrap_or((text, "{}"));
    let file = |text: &str| CedarFile { name: "fuzz.cedar".into(), text: text.into() };
    let policy = match Policy::new(&[], &[file(text)]) {
        Ok(policy) => policy,
        Err(PolicyFault::Files(faults)) => {
            assert!(!faults.is_empty());
            for fault in faults {
                assert!(fault.span.is_none_or(|span| text.get(span).is_some()), "{text:?}");
            }
            return;
        }
        Err(fault) => panic!("{fault}"),
    };
    if let Err(fault) = Policy::new(&[], &[file(&policy.show())]) {
        panic!("{fault}\n{}", policy.show());
    }
    decides(&policy);
    let definition = format!(r#"{{"name":"t","inputSchema":{schema}}}"#);
    if let Ok(definition) = Json::read(definition.as_bytes(), &mcp::Limits::default()) {
        let action = Action::new("a", Kind::Tool, "t");
        for found in policy.misread(&[Offered { action, definition }]) {
            let (_, span) = found.place.unwrap_or_default();
            assert!(text.get(span).is_some(), "{text:?}");
            assert!(found.known.len() <= 100 && found.pointer.starts_with('/'));
        }
        let _ = Arguments::of(Kind::Tool, definition).at("/a/0/b");
    }
}

/// For a few callers and things.
pub fn decides(policy: &Policy) {
    let arguments = br#"{"a":"x","n":1,"f":true}"#;
    let arguments = Json::read(arguments, &mcp::Limits::default()).ok();
    let groups = ["g".to_owned()];
    for id in ["owner", "token:t", "user:t/u", "loopback"] {
        let caller = PrincipalView { id, groups: &groups, ..PrincipalView::default() };
        for (server, kind, name) in [
            ("a", Kind::Tool, "t"),
            ("b", Kind::Resource, "file:///x/../y"),
            ("a", Kind::Prompt, "p"),
        ] {
            let action = Action::new(server, kind, name);
            let context = Context { time: 86_400, arguments, ..Context::default() };
            let decided = policy.decide(&caller, &action, &context).is_possible();
            let foreseen = policy.foresee(&caller, &action, &context).is_possible();
            assert!(foreseen || !decided, "{id} may call {name} and not see it");
            assert!(!decided || policy.may_touch(&caller, server));
        }
    }
}
