//! Properties over generated inputs that are mostly well formed; `corpus.rs` has those that mostly are not.

#[path = "../../../fuzz/src/lib.rs"]
mod fuzz;

use proptest::prelude::*;

/// White space between tokens.
fn space() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just(String::new()), 1 => "[ \t\r\n]{1,3}"]
}

/// A string literal's content: plain characters and every kind of escape, well formed.
fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-c]{1,3}",
        1 => "[ -!#-\\[\\]-~é世😀]{1,40}",
        1 => prop::sample::select(vec!["\\\"", "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t"]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["\\u0061", "\\u00e9", "\\u0000", "\\ud83d\\ude00", "\\uFFFF"]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "null",
            "true",
            "false",
            "-0",
            "1.10",
            "1e2",
            "1E-7",
            "18446744073709551616"
        ])
        .prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(|number| format!("{number:e}")),
        string().prop_map(|text| format!("\"{text}\"")),
    ]
}

/// An object's text. Names are short, so some repeat, some only once decoded.
fn object(value: impl Strategy<Value = String>, most: usize) -> impl Strategy<Value = String> {
    let member = (space(), string(), space(), space(), value, space())
        .prop_map(|(a, name, b, c, value, d)| format!("{a}\"{name}\"{b}:{c}{value}{d}"));
    (space(), prop::collection::vec(member, 0..most)).prop_map(|(inner, members)| {
        match members.is_empty() {
            true => format!("{{{inner}}}"),
            false => format!("{{{}}}", members.join(",")),
        }
    })
}

fn json() -> impl Strategy<Value = String> {
    scalar().prop_recursive(5, 40, 6, |inner| {
        let item = (space(), inner.clone(), space()).prop_map(|(a, value, b)| a + &value + &b);
        let array =
            prop::collection::vec(item, 1..5).prop_map(|items| format!("[{}]", items.join(",")));
        prop_oneof![array, object(inner, 6)]
    })
}

/// An envelope's text with members of the right and the wrong kinds.
fn envelope() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "id",
        "method",
        "params",
        "result",
        "error",
        "x",
        "Id",
        "re\\u0073ult",
        "param\u{17f}",
    ]);
    let value = prop::sample::select(vec![
        "1",
        "\"a\"",
        "null",
        "{}",
        "{\"code\":1,\"message\":\"m\"}",
        "[]",
        "1.0",
        "-7",
    ]);
    let members = prop::collection::vec((name, value), 0..4);
    (prop::sample::select(vec!["\"2.0\"", "\"2\\u002e0\"", "\"1.0\"", "2.0"]), members).prop_map(
        |(version, members)| {
            let rest: String =
                members.iter().map(|(name, value)| format!(",\"{name}\":{value}")).collect();
            format!("{{\"jsonrpc\":{version}{rest}}}")
        },
    )
}

/// A stream's bytes, of what means something in one.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let pieces = vec![
        "data",
        "event",
        "id",
        "retry",
        ":",
        ": ",
        " ",
        "\n",
        "\n\n",
        "\r",
        "\r\n",
        "12",
        "é",
        "\0",
        "x",
        "data: {}\n\n",
        "\u{feff}",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..40)
        .prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reading_agrees_with_serde_json(text in json()) {
        fuzz::json::target(text.as_bytes());
    }

    #[test]
    fn reading_agrees_with_serde_json_with_many_names(text in object(scalar(), 40)) {
        fuzz::json::target(text.as_bytes());
    }

    #[test]
    fn reading_agrees_with_serde_json_with_one_byte_wrong(text in json(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        fuzz::json::target(&bytes);
    }

    #[test]
    fn envelopes_are_told_apart(text in envelope()) {
        fuzz::message::target(text.as_bytes());
    }

    #[test]
    fn patching_is_editing_the_members(
        text in object(scalar(), 6),
        changes in prop::collection::vec(("[a-c\"\\\\]{0,2}", prop::option::of(scalar())), 0..6),
    ) {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
        let changes: Vec<String> =
            changes.iter().map(|(name, new)| format!(",{{{}:{}}}", mcp::quote(name), value(new))).collect();
        fuzz::patch::target(format!("[{text}{}]", changes.concat()).as_bytes());
    }

    #[test]
    fn a_stream_is_the_same_however_it_is_cut(seed: u8, stream in stream()) {
        fuzz::sse::target(&[vec![seed], stream].concat());
    }

    #[test]
    fn places_in_traces_come_back(
        text in "(00|cc|ff|0)-[0-9a-f]{31,33}-[0-9a-fA-F]{16}-[0-9a-f]{2}(-[a-z]{0,3})?|\\PC{0,60}",
    ) {
        fuzz::trace::target(text.as_bytes());
    }

    #[test]
    fn header_values_come_back(text in "\\PC{0,40}|[ -~\t]{0,40}|=\\?base64\\?[A-Za-z=?]{0,9}\\?=|(?s:.){0,20}") {
        fuzz::header::target(text.as_bytes());
    }

    #[test]
    fn names_and_uris_lead_back(
        separator in "[A-Za-z0-9_.-]{1,4}",
        server in "[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,5}){0,3}",
        tool in "[A-Za-z0-9_.-]{1,12}|\\PC{1,12}",
        uri in "(ui://|skill://|file:///|git\\+ssh://|[a-z+]{0,4}:)?[a-z/+{}?_]{0,12}",
    ) {
        prop_assert!(mcp::ServerName::new(&server).is_ok());
        fuzz::name_uri::target(format!("{separator}\n{server}\n{tool}\n{uri}").as_bytes());
    }
}
