use std::sync::Arc;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD},
};
use proptest::{collection::vec, prelude::*, string::string_regex};

use super::*;

fn filter(values: &[&str]) -> Arc<Filter> {
    let known = Known::default();
    values.iter().for_each(|value| known.learn(&format!("env:{}", value.len()), value));
    known.filter()
}

fn masked(filter: &Filter, text: &str) -> String {
    String::from_utf8(filter.mask(text.as_bytes()).text.into_owned()).unwrap()
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// A text with a value in it, in one of the ways in which programs write it.
fn encoded(value: &str, before: &str, after: &str, how: usize) -> String {
    let whole = format!("{before}{value}{after}");
    match how {
        0 => whole,
        1 => BASE64_STANDARD.encode(whole),
        2 => BASE64_URL_SAFE_NO_PAD.encode(whole),
        3 => BASE64_URL_SAFE.encode(whole),
        4 => BASE64_STANDARD_NO_PAD.encode(whole),
        5 => hex(&whole),
        6 => hex(&whole).to_uppercase(),
        7 => url::form_urlencoded::byte_serialize(whole.as_bytes()).collect(),
        8 => serde_json::to_string(&whole).unwrap(),
        9 => serde_json::to_string(&serde_json::to_string(&whole).unwrap()).unwrap(),
        10 => serde_json::to_string(&whole).unwrap().replace('/', "\\/"),
        11 => whole
            .chars()
            .map(|c| match u8::try_from(c) {
                Ok(code) if c.is_ascii_graphic() => format!("\\u{code:04x}"),
                _ => c.to_string(),
            })
            .collect(),
        12 => url::Url::parse("https://x.example/")
            .map(|mut url| {
                url.query_pairs_mut().append_pair("key", &whole);
                url.to_string()
            })
            .unwrap(),
        _ => whole.bytes().map(|byte| format!("%{byte:02X}")).collect(),
    }
}

const WAYS: usize = 14;

/// What comes out of a stream, and what was found in it.
fn streamed<'p>(
    filter: &Arc<Filter>,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> (String, std::collections::BTreeSet<Arc<str>>) {
    let (mut stream, mut out) = (Stream::new(filter.clone()), Vec::new());
    pieces.into_iter().for_each(|piece| stream.push(piece, &mut out));
    stream.finish(&mut out);
    (String::from_utf8_lossy(&out).into_owned(), stream.found().clone())
}

/// Whether enough of the value is left in a text to be of use: any eight bytes of it in a row.
fn remains(value: &str, text: &str) -> bool {
    value.as_bytes().windows(8).any(|part| text.as_bytes().windows(8).any(|window| window == part))
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => string_regex("[A-Za-z0-9_-]{8,60}").unwrap(),
        2 => string_regex("[ -~]{8,40}").unwrap(),
        1 => string_regex("[a-z0-9/+=äß€😀\"\\\\<&]{8,20}").unwrap(),
    ]
}

proptest! {
    #[test]
    fn every_encoding_is_found(
        value in value(),
        before in "[a-z ]{0,5}",
        after in "[a-z ]{0,5}",
        how in 0..WAYS,
    ) {
        let filter = filter(&[&value]);
        let text = encoded(&value, &before, &after, how);
        let out = filter.mask(text.as_bytes());
        prop_assert_eq!(out.found.len(), 1, "{} {}", how, text);
        let out = String::from_utf8_lossy(&out.text).into_owned();
        prop_assert!(out.contains(MASK) && !remains(&value, &out), "{} {}", text, out);
    }

    #[test]
    fn any_chunking_gives_the_same(
        values in vec(value(), 1..5),
        texts in vec(("[ -~\n]{0,30}", 0..WAYS, 0..5usize), 0..6),
        cuts in vec(1..9usize, 1..20),
    ) {
        let refs: Vec<&str> = values.iter().map(String::as_str).collect();
        let filter = filter(&refs);
        let text: String = texts.iter().map(|(plain, how, which)| {
            encoded(&values[which % values.len()], plain, "", *how)
        }).collect();
        let (whole, found) = streamed(&filter, [text.as_bytes()]);
        let (mut pieces, mut rest, mut cut) = (Vec::new(), text.as_bytes(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, next) = rest.split_at((*cut.next().unwrap()).min(rest.len()));
            pieces.push(piece);
            rest = next;
        }
        let (pieces, found_in_pieces) = streamed(&filter, pieces);
        prop_assert_eq!(found_in_pieces, found);
        prop_assert_eq!(&pieces, &whole);
        let at_once = filter.mask(text.as_bytes()).text;
        prop_assert_eq!(whole, String::from_utf8_lossy(&at_once));
    }

    #[test]
    fn a_stream_waits_only_for_what_may_become_a_value(
        value in "[a-m]{8,40}",
        // Letters that begin none of its forms.
        text in "[ :!\n]{1,80}",
        cut in 1..8usize,
    ) {
        let filter = filter(&[&value]);
        let mut stream = Stream::new(filter);
        let mut out = Vec::new();
        stream.push(text.as_bytes(), &mut out);
        prop_assert_eq!(String::from_utf8_lossy(&out), text.as_str());
        stream.push(&value.as_bytes()[..cut], &mut out);
        prop_assert_eq!(String::from_utf8_lossy(&out), text.as_str());
        stream.push(b"\n", &mut out);
        prop_assert_eq!(String::from_utf8_lossy(&out), format!("{text}{}\n", &value[..cut]));
    }

    #[test]
    fn near_misses_are_left_alone(value in "[A-Za-z0-9]{12,40}", at in 0..12usize, rest in "[ -~]{0,20}") {
        // One letter is another one, in the middle of it.
        let at = at.min(value.len() - 1);
        let mut near = value.clone().into_bytes();
        near[at] = if near[at] == b'x' { b'y' } else { b'x' };
        let near = format!("{rest}{}{rest}", String::from_utf8(near).unwrap());
        prop_assume!(!near.contains(&value));
        let filter = filter(&[&value]);
        prop_assert_eq!(masked(&filter, &near), near);
    }

    #[test]
    fn jumps_find_what_reading_every_byte_finds(
        strings in vec("[ab]{8,12}", 1..8),
        text in "[ab]{0,200}",
    ) {
        let search = search::Search::new(
            strings.iter().map(|string| Arc::new(zeroize::Zeroizing::new(string.clone().into_bytes()))).collect(),
        );
        let slow = (0..text.len()).find_map(|at| {
            let longest = strings.iter().filter(|string| text[at..].starts_with(*string));
            longest.map(String::len).max().map(|length| at..at + length)
        });
        let quick = search.find(text.as_bytes(), 0..text.len()).map(|(hit, _)| hit);
        prop_assert_eq!(quick, slow);
    }
}

#[test]
fn names_and_places() {
    let known = Known::default();
    known.learn("env:A", "correct-horse");
    known.learn("secret:b", "battery-staple");
    known.learn("short", "hunter2");
    known.learn_header("header of c", "Basic dXNlcjpzdGFwbGUtYmF0dGVyeQ==");
    let filter = known.filter();
    let out = filter.mask(b"a correct-horse, battery-staple and hunter2; staple-battery");
    assert_eq!(&*out.text, b"a [secret], [secret] and hunter2; [secret]");
    let names: Vec<&str> = out.found.iter().map(|name| &**name).collect();
    assert_eq!(names, ["env:A", "header of c", "secret:b"]);
    assert!(masked(&filter, "dXNlcjpzdGFwbGUtYmF0dGVyeQ==").starts_with(MASK));
}

#[test]
fn a_private_key_is_found_by_its_lines() {
    let lines = ["MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", "BKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"];
    let key =
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    let filter = filter(&[&key]);
    assert_eq!(masked(&filter, &format!("key: {key}")), "key: [secret]");
    let logged = format!("12:00 {}\n12:00 {}", lines[0], lines[1]);
    assert_eq!(masked(&filter, &logged), "12:00 [secret]\n12:00 [secret]");
}

#[test]
fn long_values_are_found_whole() {
    let value: String =
        (0..20_000).map(|at| char::from((b'a' + (at * 7 % 26) as u8) ^ (at % 3) as u8)).collect();
    let filter = filter(&[&value]);
    let out = masked(&filter, &format!("<{value}>"));
    assert!(out.len() < 60 && out.starts_with('<') && out.ends_with('>'), "{out}");
}

#[test]
fn the_oldest_of_too_many_is_forgotten() {
    let known = Known::with_room(3);
    let value = |at: usize| format!("value-number-{at:06}");
    (0..4).for_each(|at| known.learn("x", &value(at)));
    let filter = known.filter();
    let out: Vec<String> = (0..4).map(|at| masked(&filter, &value(at))).collect();
    assert_eq!(out, [value(0).as_str(), MASK, MASK, MASK]);
}
