//! How a key gives itself away besides its form: by where it stands, what it is called, or that only chance makes it.

use std::ops::Range;

use crate::config::secrets::secret_name;

/// Places in a text, and what is there.
pub(super) type Found = Vec<(Range<usize>, String)>;

/// Some rules look at a name and a value together: the value is the key.
pub(super) fn narrowed(rule: &str, text: &str, at: Range<usize>) -> Range<usize> {
    let Some(whole) = text.get(at.clone()) else { return at };
    match rule {
        "secret.url-credentials" => match userinfo(whole) {
            Some(password) => at.start + password.start..at.start + password.end,
            None => at,
        },
        "secret.assigned" | "secret.authorization" | "secret.aws-secret-key" => {
            let end = whole.trim_end_matches([' ', '"', '\'', '\\', ',', ';', '}', '\n']).len();
            let value = whole[..end].rfind([' ', ':', '"', '\'', '\n']).map_or(0, |at| at + 1);
            // A key may end with `=`, and none begins with it.
            let name = whole[value..end].trim_end_matches('=').rfind('=').map_or(0, |at| at + 1);
            at.start + value + name..at.start + end
        }
        _ => at,
    }
}

/// Adds a range, unless a known one says as much. A name says how far its value goes.
pub(super) fn keep(text: &str, range: Range<usize>, what: String, found: &mut Found) {
    let Some(value) = text.get(range.clone()) else { return };
    if value.is_empty() || is_placeholder(value) {
        return;
    }
    let meets = |known: &Range<usize>| known.start < range.end && range.start < known.end;
    match found.iter().position(|(known, _)| meets(known)) {
        None => found.push((range, what)),
        Some(at) if found[at].0.len() < range.len() => {
            let known = found[at].1.clone();
            found.retain(|(known, _)| !meets(known));
            found.push((range, known));
        }
        Some(_) => {}
    }
}

/// The password of an address, and values in its query that are named as keys.
pub(super) fn by_address(text: &str, found: &mut Found) {
    if let Some(password) = userinfo(text) {
        keep(text, password, "a password inside of an address".to_owned(), found);
    }
    let Some(query) = text.find("://").and_then(|scheme| Some(scheme + text[scheme..].find('?')?))
    else {
        return;
    };
    let mut at = query + 1;
    for pair in text[at..].split(['&', '#']) {
        if let Some((name, value)) = pair.split_once('=')
            && (secret_name(name) || is_query_key(name))
            && value.len() >= 8
        {
            let start = at + name.len() + 1;
            let what = format!("the query parameter {name}");
            keep(text, start..start + value.len(), what, found);
        }
        at += pair.len() + 1;
    }
}

fn is_query_key(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(&*name, "key" | "auth" | "sig" | "signature" | "code" | "apikey" | "accesstoken")
}

/// Where the password of `scheme://user:password@host` is.
fn userinfo(text: &str) -> Option<Range<usize>> {
    let start = text.find("://")? + 3;
    let end =
        text[start..].find(['/', '?', '#', ' ', '"', '\'']).map_or(text.len(), |at| start + at);
    let at = start + text[start..end].rfind('@')?;
    let colon = start + text[start..at].find(':')?;
    (colon + 1 < at).then_some(colon + 1..at)
}

/// `Server=…;Password=…`, as databases and queues have it.
pub(super) fn by_pairs(text: &str, found: &mut Found) {
    if !text.contains(';') {
        return;
    }
    let mut at = 0;
    for pair in text.split(';') {
        if let Some((name, value)) = pair.split_once('=') {
            let plain = name.trim().to_ascii_lowercase();
            let known = matches!(&*plain, "accountkey" | "pwd" | "sharedaccesskey");
            if (known || secret_name(name.trim())) && value.len() >= 4 {
                let start = at + name.len() + 1;
                keep(
                    text,
                    start..start + value.len(),
                    format!("the value of {}", name.trim()),
                    found,
                );
            }
        }
        at += pair.len() + 1;
    }
}

/// The whole value of what is named as a secret.
pub(super) fn by_name(name: &str, text: &str, found: &mut Found) {
    let scheme = ["bearer ", "basic ", "token ", "apikey "]
        .into_iter()
        .find(|scheme| {
            text.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme))
        })
        .map_or(0, str::len);
    let value = &text[scheme..];
    let start = scheme + value.len() - value.trim_start().len();
    let value = value.trim();
    let lower = name.to_ascii_lowercase();
    let named = secret_name(name)
        || matches!(&*lower, "authorization" | "proxy-authorization" | "cookie" | "x-auth");
    // Many names end with KEY, and not every key is secret.
    let keyed = lower.ends_with("key") && value.len() >= 16 && is_mixed(value);
    let plain = value.len() < 4
        || matches!(&*value.to_ascii_lowercase(), "true" | "false" | "none" | "null")
        || (value.len() < 6 && value.bytes().all(|byte| byte.is_ascii_digit()))
        || is_path(value)
        || value.contains("://");
    if (named || keyed) && !plain {
        keep(text, start..start + value.len(), format!("the value of {name}"), found);
    }
}

/// Letters of both cases and digits, changing all the time: nobody writes that by hand.
pub(super) fn by_randomness(text: &str, found: &mut Found) {
    const LEAST: usize = 20;
    let class = |byte: u8| match byte {
        b'a'..=b'z' => 1,
        b'A'..=b'Z' => 2,
        b'0'..=b'9' => 3,
        _ => 0,
    };
    let mut start = 0;
    for word in text.split(|c: char| !c.is_ascii_alphanumeric()) {
        let bytes = word.as_bytes();
        let changes = bytes.windows(2).filter(|pair| class(pair[0]) != class(pair[1])).count();
        let all = (1..=3).all(|kind| bytes.iter().any(|byte| class(*byte) == kind));
        if word.len() >= LEAST && all && changes * 5 >= word.len() * 2 {
            // The same characters go on behind `-`, `_` and `.` where keys have them.
            let joined = |byte: &u8| class(*byte) != 0 || matches!(byte, b'-' | b'_');
            let tail = text.as_bytes()[start..].iter().take_while(|byte| joined(byte)).count();
            let head =
                text.as_bytes()[..start].iter().rev().take_while(|byte| joined(byte)).count();
            keep(text, start - head..start + tail, "a random value".to_owned(), found);
        }
        start += word.len() + text[start + word.len()..].chars().next().map_or(0, char::len_utf8);
    }
}

pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn is_mixed(text: &str) -> bool {
    let of = |test: fn(&u8) -> bool| text.as_bytes().iter().any(test);
    of(u8::is_ascii_digit) && of(u8::is_ascii_alphabetic) && !text.contains(' ')
}

fn is_path(text: &str) -> bool {
    let starts = ["/", "~/", "./", "../", "C:\\", "c:\\"];
    starts.iter().any(|start| text.starts_with(start)) && !text.contains(['=', '+'])
}

/// What stands where a key is to be put, or leads to one that is elsewhere.
fn is_placeholder(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let whole = text.strip_prefix('$').is_some_and(|name| is_word(name.trim_matches(['{', '}'])));
    let enclosed = text.starts_with('<') && text.ends_with('>');
    let words = [
        "${",
        "{{",
        "xxxx",
        "****",
        "...",
        "…",
        "your-",
        "your_",
        "your ",
        "<your",
        "placeholder",
        "replace",
        "changeme",
        "insert-",
        "insert_",
        "example",
        "redacted",
    ];
    whole || enclosed || words.iter().any(|word| lower.contains(word))
}
