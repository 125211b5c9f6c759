//! What must be refused, and with which fault: duplicate members, hidden duplicates, case variants, limits, and
//! headers that say something other than the body.

use mcp::{
    Fault, HeaderFault, HeaderParam, Json, JsonBuf, Limits, Message, MessageFault, NameFault,
    Separator, ServerName, ToolName, header_params,
};

#[track_caller]
fn json(text: &str) -> Json<'_> {
    match Json::read(text.as_bytes(), &Limits::default()) {
        Ok(json) => json,
        Err(fault) => panic!("{text}: {fault}"),
    }
}

#[track_caller]
fn refused(text: impl AsRef<[u8]>, fault: Fault) {
    assert_eq!(Json::read(text.as_ref(), &Limits::default()), Err(fault));
}

#[test]
fn duplicate_members() {
    for (text, at) in [
        (r#"{"a":1,"a":1}"#, 7),
        (r#"{"":1,"b":2,"":3}"#, 12),
        (r#"{"a":{"b":1,"b":2}}"#, 12),
        (r#"[[{"b":1,"b":2}]]"#, 9),
        (r#"{"method":"ping","id":1,"method":"tools/call"}"#, 24),
        // Longer than what is compared first, and equal in it.
        (r#"{"longer-name-1":1,"longer-name-2":2,"longer-name-1":3}"#, 37),
    ] {
        refused(text, Fault::DuplicateMember { at });
    }
}

#[test]
fn duplicate_members_behind_escapes() {
    for (text, at) in [
        (r#"{"method":1,"\u006dethod":2}"#, 12),
        (r#"{"\u006dethod":1,"method":2}"#, 17),
        (r#"{"\u006Dethod":1,"\u006dethod":2}"#, 17),
        (r#"{"a/b":1,"a\/b":2}"#, 9),
        (r#"{"😀":1,"\uD83D\ude00":2}"#, 10),
        (r#"{"a\nb":1,"a\u000ab":2}"#, 10),
    ] {
        refused(text, Fault::DuplicateMember { at });
    }
}

#[test]
fn members_that_only_look_like_duplicates() {
    for text in [
        r#"{"a":1,"A":1}"#,
        r#"{"a":{"a":{"a":1}},"b":{"a":1}}"#,
        r#"[{"a":1},{"a":1}]"#,
        "{\"é\":1,\"e\u{301}\":1}",
        r#"{"a":1,"a\u0000":1,"":1}"#,
        r#"{"\\u0061":1,"a":1}"#,
        // Chosen so that a quick comparison can't tell them apart.
        r#"{"abcdefg/34567890123456789012345678901234":1,"abcdefg":1}"#,
        r#"{"12345678":1,"123456789":1,"1234567":1,"12345678\u0000":1}"#,
    ] {
        json(text);
    }
}

#[test]
fn many_members_are_compared_too() {
    let members: Vec<String> =
        (0..50_000).map(|index| format!("\"name{index}\":{index}")).collect();
    let text = format!("{{{}}}", members.join(","));
    assert_eq!(json(&text).members().count(), 50_000);
    for again in ["name0", "name15", "name16", "name17", "name49999", "n\\u0061me7"] {
        let twice = format!("{},\"{again}\":0}}", &text[..text.len() - 1]);
        refused(twice, Fault::DuplicateMember { at: text.len() });
    }
}

#[test]
fn not_json() {
    for (text, at) in [
        ("", 0),
        ("\u{feff}{}", 0),
        ("{}{}", 2),
        ("[1,]", 3),
        ("[1 2]", 3),
        ("{\"a\":1,}", 7),
        ("{'a':1}", 1),
        ("{\"a\"}", 4),
        ("[", 1),
        ("\"a", 2),
        ("\"a\tb\"", 2),
        ("\"\\x41\"", 2),
        ("\"\\u12g4\"", 5),
        ("nul", 0),
        ("NaN", 0),
        ("-", 1),
        ("01", 1),
        ("1.", 2),
        (".5", 0),
        ("+1", 0),
        ("1e", 2),
        ("\u{a0}1", 0),
        ("[1]//", 3),
    ] {
        refused(text, Fault::Syntax { at });
    }
    refused(b"\"\xC3\x28\"", Fault::NotUtf8 { at: 1 });
    refused(b"\"\xED\xA0\x80\"", Fault::NotUtf8 { at: 1 });
    for text in [
        r#""\ud800""#,
        r#""\ude00\ud83d""#,
        r#""\ud83dx""#,
        r#""\ud83d\u0041""#,
        r#""\ud83d\ud83d""#,
        r#"{"\ud800":1}"#,
    ] {
        refused(text, Fault::LoneSurrogate { at: text.find('\\').unwrap_or_default() });
    }
    refused("[1e400]", Fault::NumberRange { at: 1 });
    refused(format!("-1{}", "0".repeat(400)), Fault::NumberRange { at: 0 });
}

#[test]
fn limits() {
    let deep = |levels: usize| [r#"[{"a":"#.repeat(levels / 2), "}]".repeat(levels / 2)].join("1");
    let limits = |depth| Limits { depth, ..Limits::default() };
    json(&deep(64));
    assert_eq!(
        Json::read(deep(66).as_bytes(), &Limits::default()),
        Err(Fault::TooDeep { limit: 64 })
    );
    // Siblings are not nested.
    json(&format!("[{}1]", "[[]],{\"a\":{}},".repeat(100)));
    // However much is allowed, the stack is not at risk.
    assert!(Json::read(deep(256).as_bytes(), &limits(usize::MAX)).is_ok());
    assert_eq!(
        Json::read("[".repeat(1 << 20).as_bytes(), &limits(usize::MAX)),
        Err(Fault::TooDeep { limit: 256 })
    );
    assert_eq!(Json::read(b"[]", &limits(0)), Err(Fault::TooDeep { limit: 0 }));
    assert!(Json::read(b"1", &limits(0)).is_ok());

    let values = |values| Limits { values, ..Limits::default() };
    assert!(Json::read(b"[1,{\"a\":2}]", &values(4)).is_ok());
    assert_eq!(Json::read(b"[1,{\"a\":2}]", &values(3)), Err(Fault::TooMany { limit: 3 }));

    let bytes = |bytes| Limits { bytes, ..Limits::default() };
    assert!(Json::read(b" 1 ", &bytes(3)).is_ok());
    assert_eq!(Json::read(b" 1 ", &bytes(2)), Err(Fault::TooLong { limit: 2 }));
}

#[test]
fn what_is_not_touched_is_kept() {
    let text =
        r#"{"big":123456789012345678901234567890,"money":1.10,"zero":-0,"e":1E+2,"s":"\u00e9\/"}"#;
    let object = json(text);
    assert_eq!(object.text(), text);
    let values: Vec<&str> = object.members().map(|(_, value)| value.text()).collect();
    assert_eq!(values, ["123456789012345678901234567890", "1.10", "-0", "1E+2", r#""\u00e9\/""#]);
    assert_eq!(object.get("s").and_then(Json::string).as_deref(), Some("é/"));
    let integers: Vec<Option<i64>> = object.members().map(|(_, value)| value.integer()).collect();
    assert_eq!(integers, [None, None, Some(0), None, None]);
}

#[test]
fn a_share_of_a_foreign_value_is_a_copy() {
    let own = JsonBuf::from(json("[1,2]"));
    assert_eq!(own.share(json("{\"a\":1}")).json().text(), "{\"a\":1}");
}

#[track_caller]
fn envelope(members: &str) -> Result<Message<'_>, MessageFault> {
    Message::of(json(members))
}

#[test]
fn case_variants_of_the_envelope() {
    for name in [
        "Jsonrpc",
        "ID",
        "Id",
        "METHOD",
        "mEthod",
        "Params",
        "RESULT",
        "Error",
        "re\\u0053ult",
        "param\u{17f}",
        "re\u{17f}ult",
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","{name}":{{}}}}"#);
        assert_eq!(envelope(&text).err(), Some(MessageFault::CaseVariant), "{name}");
    }
    for name in ["ids", "methods", "x", "İd", "ıd", "_meta", "jsonrpc2", "pаrams"] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","{name}":{{}}}}"#);
        assert!(matches!(envelope(&text), Ok(Message::Request(_))), "{name}");
    }
}

#[test]
fn envelopes() {
    for (text, fault) in [
        ("[]", MessageFault::Batch),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, MessageFault::Batch),
        (r#""ping""#, MessageFault::Shape),
        (r#"{"id":1,"method":"ping"}"#, MessageFault::JsonRpc),
        (r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#, MessageFault::JsonRpc),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, MessageFault::Id),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, MessageFault::Id),
        (r#"{"jsonrpc":"2.0","id":1e1,"method":"ping"}"#, MessageFault::Id),
        (r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#, MessageFault::Id),
        (r#"{"jsonrpc":"2.0","result":{}}"#, MessageFault::Id),
        (r#"{"jsonrpc":"2.0","id":null,"result":{}}"#, MessageFault::Id),
        (r#"{"jsonrpc":"2.0","id":true,"error":{}}"#, MessageFault::Id),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#, MessageFault::Params),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null}"#, MessageFault::Params),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, MessageFault::Shape),
        (r#"{"jsonrpc":"2.0","id":1}"#, MessageFault::Shape),
        (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, MessageFault::Shape),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#, MessageFault::Shape),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","error":{}}"#, MessageFault::Shape),
        (r#"{"jsonrpc":"2.0","id":1,"result":"text"}"#, MessageFault::Shape),
        (r#"{"jsonrpc":"2.0","id":1,"error":"text"}"#, MessageFault::Shape),
    ] {
        assert_eq!(envelope(text).err(), Some(fault), "{text}");
    }
    let text = r#"{"id":"7","jsonrpc":"2\u002e0","method":"tools\/call","x":1}"#;
    let Ok(Message::Request(request)) = envelope(text) else { panic!() };
    assert_eq!(
        (request.id.raw(), &*request.method, request.params.text()),
        (r#""7""#, "tools/call", "{}")
    );
    let Ok(Message::Response(response)) = envelope(r#"{"jsonrpc":"2.0","error":{"code":-32700}}"#)
    else {
        panic!()
    };
    assert_eq!((response.id, response.outcome.is_err()), (None, true));
}

fn param() -> HeaderParam {
    let schema = json(
        r#"{"properties":{"a":{"properties":{"b":{"type":"string","x-mcp-header":"Tenant"}}}}}"#,
    );
    header_params(schema).unwrap_or_default().remove(0)
}

#[test]
fn headers_against_the_body() {
    let param = param();
    assert_eq!(
        (param.header.as_str(), param.path.join(".")),
        ("mcp-param-tenant", "a.b".to_owned())
    );
    let mismatch = || Err(HeaderFault::Mismatch("mcp-param-tenant".to_owned()));
    let missing = || Err(HeaderFault::Missing("mcp-param-tenant".to_owned()));
    for (header, argument, expect) in [
        (Some("acme"), r#""acme""#, Ok(())),
        (Some("acme"), r#""\u0061cme""#, Ok(())),
        (Some(" acme\t"), r#""acme""#, Ok(())),
        (Some("=?base64?YWNtZQ==?="), r#""acme""#, Ok(())),
        (Some("=?base64?w6k=?="), r#""é""#, Ok(())),
        (Some("=?base64?IGE=?="), r#"" a""#, Ok(())),
        (Some(""), r#""""#, Ok(())),
        (Some("true"), "true", Ok(())),
        (Some("42"), "42", Ok(())),
        (Some("42.0"), "42", Ok(())),
        (Some("42"), "42.0", Ok(())),
        (Some("-7"), "-7", Ok(())),
        (Some("9007199254740991"), "9007199254740991", Ok(())),
        (None, "null", Ok(())),
        (Some("Acme"), r#""acme""#, mismatch()),
        (Some("a"), r#"" a""#, mismatch()),
        (Some("evil"), r#""acme""#, mismatch()),
        (Some("=?base64?YWNtZQ==?="), r#""=?base64?YWNtZQ==?=""#, mismatch()),
        (Some("True"), "true", mismatch()),
        (Some("1"), "true", mismatch()),
        (Some("43"), "42", mismatch()),
        (Some("+42"), "42", mismatch()),
        (Some("0x2a"), "42", mismatch()),
        (Some("\"42\""), "42", mismatch()),
        (Some("42"), r#""42.0""#, mismatch()),
        (Some("9007199254740993"), "9007199254740992", mismatch()),
        (Some("9007199254740993"), "9007199254740993", mismatch()),
        (Some("1.5"), "1.5", mismatch()),
        (Some("{}"), "{}", mismatch()),
        (Some("null"), "null", mismatch()),
        (None, r#""acme""#, missing()),
        (None, "{}", missing()),
        (Some("=?base64?????=?="), r#""acme""#, Err(HeaderFault::Base64)),
        (Some("é"), r#""é""#, Err(HeaderFault::Character)),
    ] {
        let arguments = format!(r#"{{"a":{{"b":{argument}}}}}"#);
        assert_eq!(
            param.verify(header.map(str::as_bytes), json(&arguments)),
            expect,
            "{header:?} {argument}"
        );
    }
    for absent in ["{}", r#"{"a":{}}"#, r#"{"a":null}"#, r#"{"a":"b"}"#, r#"{"b":"acme"}"#] {
        assert_eq!(param.verify(None, json(absent)), Ok(()));
        assert_eq!(param.verify(Some(b"acme"), json(absent)), mismatch());
        assert_eq!(param.value(json(absent)), None);
    }
    for (argument, value) in [
        (r#""a\nb""#, Some("a\nb")),
        ("42.0", Some("42")),
        ("false", Some("false")),
        ("null", None),
        ("1.5", None),
        ("9007199254740992", None),
        ("[1]", None),
    ] {
        let arguments = format!(r#"{{"a":{{"b":{argument}}}}}"#);
        assert_eq!(param.value(json(&arguments)).as_deref(), value);
    }
}

#[test]
fn annotations() {
    let property = r#"{"type":"string","x-mcp-header":"X"}"#;
    let refused = [
        property.to_owned(),
        r#"{"properties":{"a":{"type":"string","x-mcp-header":""}}}"#.to_owned(),
        r#"{"properties":{"a":{"type":"string","x-mcp-header":"A B"}}}"#.to_owned(),
        r#"{"properties":{"a":{"type":"string","x-mcp-header":"A\r\nB"}}}"#.to_owned(),
        r#"{"properties":{"a":{"type":"string","x-mcp-header":"é"}}}"#.to_owned(),
        r#"{"properties":{"a":{"type":"string","x-mcp-header":7}}}"#.to_owned(),
        r#"{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}"#.to_owned(),
        r#"{"properties":{"a":{"type":"object","x-mcp-header":"A"}}}"#.to_owned(),
        r#"{"properties":{"a":{"type":["string","null"],"x-mcp-header":"A"}}}"#.to_owned(),
        r##"{"properties":{"a":{"$ref":"#/$defs/x","x-mcp-header":"A"}}}"##.to_owned(),
        format!(
            r#"{{"properties":{{"a":{property},"b":{{"type":"integer","x-mcp-header":"x"}}}}}}"#
        ),
        format!(r#"{{"properties":{{"a":{{"type":"array","items":{property}}}}}}}"#),
        format!(r#"{{"properties":{{"a":{{"prefixItems":[{property}]}}}}}}"#),
        format!(r#"{{"properties":{{"a":{{"items":{{"properties":{{"b":{property}}}}}}}}}}}"#),
        format!(r#"{{"oneOf":[{{"properties":{{"a":{property}}}}}]}}"#),
        format!(r#"{{"allOf":[{{"anyOf":[{{"properties":{{"a":{property}}}}}]}}]}}"#),
        format!(r#"{{"if":{{"not":{{"properties":{{"a":{property}}}}}}}}}"#),
        format!(r#"{{"then":{{"properties":{{"a":{property}}}}},"else":{{}}}}"#),
        format!(r#"{{"$defs":{{"a":{property}}}}}"#),
        format!(r#"{{"patternProperties":{{".*":{property}}}}}"#),
        format!(r#"{{"properties":{{"a":{{"additionalProperties":{property}}}}}}}"#),
        format!(r#"{{"dependentSchemas":{{"a":{{"properties":{{"b":{property}}}}}}}}}"#),
    ];
    for schema in &refused {
        let found = header_params(json(schema));
        assert!(matches!(found, Err(HeaderFault::Annotation(_))), "{schema}: {found:?}");
    }
    for (schema, paths) in [
        (
            format!(
                r#"{{"properties":{{"a":{property},"b":{{"type":"integer","x-mcp-header":"B"}}}}}}"#
            ),
            vec!["a", "b"],
        ),
        (format!(r#"{{"properties":{{"a":{{"properties":{{"b":{property}}}}}}}}}"#), vec!["a/b"]),
        // A property may be called so, and data is not schema.
        (
            r#"{"properties":{"x-mcp-header":{"type":"string"},"properties":{"type":"object"}}}"#
                .to_owned(),
            vec![],
        ),
        (
            format!(
                r#"{{"default":{property},"examples":[{property}],"properties":{{"a":{{"const":{property}}}}}}}"#
            ),
            vec![],
        ),
        (r#"{"properties":{"a":true},"additionalProperties":false}"#.to_owned(), vec![]),
        ("true".to_owned(), vec![]),
    ] {
        let found = header_params(json(&schema));
        let found =
            found.map(|params| params.iter().map(|param| param.path.join("/")).collect::<Vec<_>>());
        assert_eq!(found, Ok(paths.into_iter().map(str::to_owned).collect()), "{schema}");
    }
}

#[test]
fn names() {
    for name in ["a", "git-hub", "a1-2b", &"a".repeat(32)] {
        assert!(ServerName::new(name).is_ok(), "{name}");
    }
    for name in
        ["", "1a", "-a", "a-", "a--b", "A", "a_b", "a.b", "a+b", "é", "a b", &"a".repeat(33)]
    {
        assert_eq!(ServerName::new(name), Err(NameFault::Server), "{name}");
    }
    for name in ["a", "admin.tools/list", "größe", " ", &"é".repeat(128)] {
        assert!(ToolName::new(name).is_ok(), "{name}");
    }
    for name in ["", "a\nb", "a\0", "\u{85}", &"é".repeat(129)] {
        assert_eq!(ToolName::new(name), Err(NameFault::Tool), "{name}");
    }
    for text in ["__", "_", ".", "--", "a_b", "X1", "a--", "---"] {
        assert!(Separator::new(text).is_ok(), "{text}");
    }
    for text in ["", "-", "a", "A", "7", "ab", "a-b", "-a", "_____", "/", "é", "_ "] {
        assert_eq!(Separator::new(text), Err(NameFault::Separator), "{text}");
    }
    let separator = Separator::default();
    assert_eq!(separator.split("git__a__b"), Some(("git", "a__b")));
    assert_eq!(separator.split("git___a"), Some(("git", "_a")));
    for text in ["git", "__a", "git__", "git_a"] {
        assert_eq!(separator.split(text), None, "{text}");
    }
}
