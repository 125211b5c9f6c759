//! Placeholders: what a process holds in a secret's place, and where it becomes the secret.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use memchr::memmem;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use zeroize::Zeroizing;

use super::event::Reason;
use super::head::other_methods;
use super::rule::{Host, HostPattern};

/// A secret that the process does not get.
#[derive(Clone)]
pub struct SecretRule {
    /// The environment variable that holds the placeholder.
    pub variable: String,
    /// The secret.
    pub value: Zeroizing<Box<str>>,
    /// The hosts that get it.
    pub hosts: Vec<HostPattern>,
    /// In which headers, as a part of the value or inside `Basic`.
    pub headers: Vec<HeaderName>,
    /// In which parameters of the query.
    pub query: Vec<String>,
    /// With which methods; all of them when empty.
    pub methods: Vec<Method>,
    /// What the placeholder looks like.
    pub shape: Shape,
}

/// What a placeholder looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// `bzn_placeholder_…`.
    #[default]
    Marked,
    /// The secret's own prefix and length, its letters and digits replaced: for programs that look at their key.
    Same,
}

/// Why a secret can't have a placeholder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceholderFault {
    /// No randomness.
    #[error("the system has no randomness to give")]
    Random,
    /// It is too short to be found again in an answer.
    #[error("the secret for {0} is shorter than 8 characters: it can't be told from other text")]
    Short(String),
    /// It holds what a header can't carry.
    #[error("the secret for {0} holds characters that a header can't carry")]
    Characters(String),
    /// A placeholder of that shape could be guessed.
    #[error(
        "a placeholder in the shape of the secret for {0} would have fewer than 16 random characters"
    )]
    Guessable(String),
}

const MARK: &str = "bzn_placeholder_";
const RANDOM: usize = 24;
const SHORTEST: usize = 8;
/// Up to here a placeholder is as long as its secret, so that a swap changes no lengths.
const SAME_LENGTH_LIMIT: usize = 1024;
/// What RFC 3986 calls unreserved stays.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// All secrets of one process, with their placeholders.
pub(super) struct Secrets(Vec<Held>);

struct Held {
    rule: SecretRule,
    placeholder: String,
}

/// A text that must not reach the sandbox, and what it gets instead.
#[derive(Clone)]
pub(super) struct Pair {
    pub real: Zeroizing<Vec<u8>>,
    pub instead: Vec<u8>,
}

impl Secrets {
    pub fn new(rules: Vec<SecretRule>) -> Result<Secrets, PlaceholderFault> {
        let hold = |rule: SecretRule| Ok(Held { placeholder: placeholder(&rule)?, rule });
        Ok(Secrets(rules.into_iter().map(hold).collect::<Result<_, _>>()?))
    }

    /// What the environment holds.
    pub fn environment(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.0.iter().map(|held| (held.rule.variable.clone(), held.placeholder.clone()))
    }

    /// The texts by which a host could give a secret away: as it is, and as URLs and JSON write it.
    pub fn pairs(&self, host: &Host) -> Vec<Pair> {
        let aimed = self.0.iter().filter(|held| held.is_for(host));
        aimed.flat_map(Held::pairs).collect()
    }

    /// Puts secrets into a request where they are meant to go. What comes back are pairs for this request
    /// alone: `Basic` credentials that the server may repeat.
    pub fn swap(
        &self,
        host: &Host,
        secure: bool,
        request: &mut Parts,
    ) -> Result<Vec<Pair>, Reason> {
        let mut methods = other_methods(&request.headers)?;
        methods.push(request.method.clone());
        let mut echoes = Vec::new();
        for held in &self.0 {
            let known = |method| held.rule.methods.contains(method);
            let place = Place {
                held,
                aimed: held.is_for(host)
                    && (held.rule.methods.is_empty() || methods.iter().all(known)),
                secure,
            };
            place.headers(&mut request.headers, &mut echoes)?;
            if let Some(uri) = place.uri(&request.uri)? {
                request.uri = uri;
            }
        }
        Ok(echoes)
    }
}

impl Held {
    fn is_for(&self, host: &Host) -> bool {
        self.rule.hosts.iter().any(|pattern| pattern.matches(host))
    }

    fn pairs(&self) -> Vec<Pair> {
        let pair = |real: String, instead: String| Pair {
            real: Zeroizing::new(real.into_bytes()),
            instead: instead.into_bytes(),
        };
        let forms: [fn(&str) -> String; 3] = [
            str::to_owned,
            |text| utf8_percent_encode(text, ENCODED).to_string(),
            |text| text.replace('\\', "\\\\").replace('"', "\\\"").replace('/', "\\/"),
        ];
        let mut pairs: Vec<Pair> = Vec::new();
        for form in forms {
            let made = pair(form(&self.rule.value), form(&self.placeholder));
            if pairs.iter().all(|known| known.real != made.real) {
                pairs.push(made);
            }
        }
        pairs
    }
}

/// One secret and one request.
struct Place<'a> {
    held: &'a Held,
    aimed: bool,
    secure: bool,
}

impl Place<'_> {
    fn needle(&self) -> &[u8] {
        self.held.placeholder.as_bytes()
    }

    /// Whether the placeholder found here becomes the secret.
    fn permit(&self, named: bool) -> Result<(), Reason> {
        match (self.aimed && named, self.secure) {
            (true, true) => Ok(()),
            (true, false) => Err(Reason::Plaintext(self.held.rule.variable.clone())),
            (false, _) => Err(Reason::Placeholder(self.held.rule.variable.clone())),
        }
    }

    fn headers(&self, headers: &mut HeaderMap, echoes: &mut Vec<Pair>) -> Result<(), Reason> {
        for (name, value) in headers.iter_mut() {
            let named = self.held.rule.headers.contains(name);
            if memmem::find(value.as_bytes(), self.needle()).is_some() {
                self.permit(named)?;
                *value = header(self.replace(value.as_bytes()))?;
            } else if let Some(inside) = basic(value)
                && memmem::find(&inside, self.needle()).is_some()
            {
                self.permit(named)?;
                let real = Zeroizing::new(BASE64_STANDARD.encode(self.replace(&inside).as_slice()));
                let before = value.as_bytes()[BASIC.len()..].trim_ascii().to_vec();
                let whole = Zeroizing::new([b"Basic ", real.as_bytes()].concat());
                *value = header(whole)?;
                echoes
                    .push(Pair { real: Zeroizing::new(real.as_bytes().to_vec()), instead: before });
            }
        }
        Ok(())
    }

    /// The URI with the secret, when it holds the placeholder.
    fn uri(&self, uri: &Uri) -> Result<Option<Uri>, Reason> {
        let found = |text: &str| {
            let decoded: Vec<u8> = percent_decode_str(text).collect();
            memmem::find(&decoded, self.needle()).is_some()
        };
        if found(uri.path()) {
            self.permit(false)?;
        }
        let Some(query) = uri.query().filter(|query| found(query)) else { return Ok(None) };
        let mut new =
            Zeroizing::new(String::with_capacity(query.len() + 3 * self.held.rule.value.len()));
        for (at, parameter) in query.split('&').enumerate() {
            if at > 0 {
                new.push('&');
            }
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if !found(parameter) {
                new.push_str(parameter);
                continue;
            }
            self.permit(!found(name) && self.held.rule.query.iter().any(|known| known == name))?;
            let decoded: Vec<u8> = percent_decode_str(value).collect();
            let real = self.replace(&decoded);
            let real = std::str::from_utf8(&real).map_err(|_| Reason::Malformed("a query"))?;
            new.push_str(name);
            new.push('=');
            utf8_percent_encode(real, ENCODED).for_each(|part| new.push_str(part));
        }
        let mut parts = uri.clone().into_parts();
        let path = format!("{}?{}", uri.path(), new.as_str());
        parts.path_and_query = Some(path.try_into().map_err(|_| Reason::Malformed("a query"))?);
        Uri::from_parts(parts).map(Some).map_err(|_| Reason::Malformed("a URI"))
    }

    fn replace(&self, text: &[u8]) -> Zeroizing<Vec<u8>> {
        let real = self.held.rule.value.as_bytes();
        let mut new = Zeroizing::new(Vec::with_capacity(text.len() + 4 * real.len()));
        let mut rest = text;
        while let Some(at) = memmem::find(rest, self.needle()) {
            new.extend_from_slice(&rest[..at]);
            new.extend_from_slice(real);
            rest = &rest[at + self.needle().len()..];
        }
        new.extend_from_slice(rest);
        new
    }
}

const BASIC: &str = "Basic ";

/// What stands inside `Basic` credentials.
fn basic(value: &HeaderValue) -> Option<Vec<u8>> {
    let (scheme, encoded) = value.as_bytes().split_at_checked(BASIC.len())?;
    if !scheme.eq_ignore_ascii_case(BASIC.as_bytes()) {
        return None;
    }
    BASE64_STANDARD.decode(encoded.trim_ascii()).ok()
}

fn header(value: Zeroizing<Vec<u8>>) -> Result<HeaderValue, Reason> {
    let made = HeaderValue::from_maybe_shared(Bytes::from_owner(Zeroed(value)));
    let mut made = made.map_err(|_| Reason::Malformed("a header"))?;
    // HTTP/2 keeps it out of its table.
    made.set_sensitive(true);
    Ok(made)
}

/// Lets a header value use memory that is zeroed when the last share goes.
struct Zeroed(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Zeroed {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn placeholder(rule: &SecretRule) -> Result<String, PlaceholderFault> {
    let (variable, value) = (&rule.variable, rule.value.as_ref());
    if value.len() < SHORTEST {
        return Err(PlaceholderFault::Short(variable.clone()));
    }
    if !value.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
        return Err(PlaceholderFault::Characters(variable.clone()));
    }
    match rule.shape {
        Shape::Marked => {
            let shortest = MARK.len() + RANDOM;
            let length = if value.len() <= SAME_LENGTH_LIMIT { value.len() } else { shortest };
            let mut text = MARK.to_owned();
            let alphabet = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
            for _ in MARK.len()..length.max(shortest) {
                text.push(pick(alphabet)?);
            }
            Ok(text)
        }
        Shape::Same => same_shape(variable, value),
    }
}

fn same_shape(variable: &str, value: &str) -> Result<String, PlaceholderFault> {
    let kept = public_prefix(value);
    let rest = &value[kept..];
    let hex = |alphabet: &[u8]| {
        rest.bytes().all(|byte| byte.is_ascii_digit() || alphabet.contains(&byte))
    };
    let lower: &[u8] = if hex(b"abcdef") { b"abcdef" } else { b"abcdefghijklmnopqrstuvwxyz" };
    let upper: &[u8] = if hex(b"ABCDEF") { b"ABCDEF" } else { b"ABCDEFGHIJKLMNOPQRSTUVWXYZ" };
    let mut text = value[..kept].to_owned();
    let mut random = 0;
    for character in rest.chars() {
        let alphabet = match character {
            'a'..='z' => lower,
            'A'..='Z' => upper,
            '0'..='9' => b"0123456789",
            other => {
                text.push(other);
                continue;
            }
        };
        random += 1;
        text.push(pick(alphabet)?);
    }
    if random < 16 { Err(PlaceholderFault::Guessable(variable.into())) } else { Ok(text) }
}

/// How much of a key says what kind of key it is: short words with a letter first, each with `_` or `-`
/// behind it (`ghp_`, `sk-proj-`).
fn public_prefix(value: &str) -> usize {
    let mut kept = 0;
    while let Some(end) = value[kept..].find(['_', '-']) {
        let word = &value[kept..kept + end];
        let known = (1..=6).contains(&word.len())
            && word.starts_with(|first: char| first.is_ascii_alphabetic())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !known || kept + end > 16 {
            break;
        }
        kept += end + 1;
    }
    kept
}

fn pick(alphabet: &[u8]) -> Result<char, PlaceholderFault> {
    let mut byte = [0];
    loop {
        aws_lc_rs::rand::fill(&mut byte).map_err(|_| PlaceholderFault::Random)?;
        // Numbers above the last whole multiple would make the first letters more likely.
        let (number, count) = (usize::from(byte[0]), alphabet.len());
        if number < 256 / count * count {
            return Ok(char::from(alphabet[number % count]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REAL: &str = "ghp_0123456789abcdefABCDEF0123456789abcd";

    fn rule(value: &str, shape: Shape) -> SecretRule {
        SecretRule {
            variable: "TOKEN".into(),
            value: Zeroizing::new(value.into()),
            hosts: vec![HostPattern::parse("api.example").unwrap()],
            headers: vec![http::header::AUTHORIZATION],
            query: vec!["key".into()],
            methods: vec![Method::GET, Method::POST],
            shape,
        }
    }

    fn secrets() -> (Secrets, String) {
        let secrets = Secrets::new(vec![rule(REAL, Shape::Marked)]).unwrap();
        let placeholder = secrets.environment().next().unwrap().1;
        (secrets, placeholder)
    }

    fn swap(
        secrets: &Secrets,
        host: &str,
        request: http::request::Builder,
    ) -> Result<(Parts, Vec<Pair>), Reason> {
        let mut parts = request.body(()).unwrap().into_parts().0;
        let echoes = secrets.swap(&Host::parse(host).unwrap(), true, &mut parts)?;
        Ok((parts, echoes))
    }

    #[test]
    fn shapes() {
        let make = |value, shape| placeholder(&rule(value, shape));
        let marked = make(REAL, Shape::Marked).unwrap();
        assert!(marked.starts_with(MARK) && marked.len() == REAL.len());
        assert_ne!(marked, make(REAL, Shape::Marked).unwrap());
        assert_eq!(make("12345678", Shape::Marked).unwrap().len(), 40);
        let same = make(REAL, Shape::Same).unwrap();
        assert!(same.starts_with("ghp_") && same.len() == REAL.len() && same != REAL);
        let class = |text: &str| -> Vec<u8> {
            let class = |byte: u8| match byte {
                b'0'..=b'9' => b'0',
                b'a'..=b'z' => b'a',
                b'A'..=b'Z' => b'A',
                other => other,
            };
            text.bytes().map(class).collect()
        };
        assert_eq!(class(&same), class(REAL));
        assert_eq!(public_prefix("sk-proj-AbC"), 8);
        assert_eq!(public_prefix("xoxb-123-456-abc"), 5);
        assert_eq!(public_prefix("0123-x"), 0);
        assert!(
            make("f00dfacef00dfacef00d", Shape::Same)
                .unwrap()
                .bytes()
                .all(|b| b.is_ascii_hexdigit())
        );
        assert_eq!(make("short", Shape::Marked), Err(PlaceholderFault::Short("TOKEN".into())));
        assert_eq!(
            make("ghp_123456", Shape::Same),
            Err(PlaceholderFault::Guessable("TOKEN".into()))
        );
        assert_eq!(
            make("two words", Shape::Marked),
            Err(PlaceholderFault::Characters("TOKEN".into()))
        );
    }

    #[test]
    fn only_where_it_is_meant_to_go() {
        let (secrets, placeholder) = secrets();
        let get = || http::Request::get("/x");
        let bearer = format!("Bearer {placeholder}");
        let (parts, _) =
            swap(&secrets, "api.example", get().header("authorization", &bearer)).unwrap();
        assert_eq!(parts.headers["authorization"], format!("Bearer {REAL}"));
        assert!(parts.headers["authorization"].is_sensitive());

        let elsewhere = Err(Reason::Placeholder("TOKEN".into()));
        let fault = |host, request| swap(&secrets, host, request).map(|_| ());
        assert_eq!(fault("evil.example", get().header("authorization", &bearer)), elsewhere);
        assert_eq!(fault("api.example", get().header("x-other", &bearer)), elsewhere);
        assert_eq!(
            fault("api.example", http::Request::delete("/").header("authorization", &bearer)),
            elsewhere
        );
        assert_eq!(fault("api.example", http::Request::get(format!("/{placeholder}"))), elsewhere);
        assert_eq!(
            fault("api.example", http::Request::get(format!("/?q={placeholder}"))),
            elsewhere
        );
        let mut parts = get().header("authorization", &bearer).body(()).unwrap().into_parts().0;
        let host = Host::parse("api.example").unwrap();
        let plain = secrets.swap(&host, false, &mut parts).map(|_| ());
        assert_eq!(plain, Err(Reason::Plaintext("TOKEN".into())));
        assert_eq!(fault("evil.example", get()), Ok(()));
    }

    #[test]
    fn queries_and_basic_credentials() {
        let (secrets, placeholder) = secrets();
        let encoded = placeholder.replace('_', "%5F");
        for text in [&placeholder, &encoded] {
            let request = http::Request::get(format!("/a?x=1&key={text}&y"));
            let (parts, _) = swap(&secrets, "api.example", request).unwrap();
            assert_eq!(parts.uri, format!("/a?x=1&key={REAL}&y").as_str());
        }
        let sent = BASE64_STANDARD.encode(format!("user:{placeholder}"));
        let request = http::Request::get("/").header("authorization", format!("basic {sent}"));
        let (parts, echoes) = swap(&secrets, "api.example", request).unwrap();
        let real = BASE64_STANDARD.encode(format!("user:{REAL}"));
        assert_eq!(parts.headers["authorization"], format!("Basic {real}"));
        assert_eq!(echoes[0].real.as_slice(), real.as_bytes());
        assert_eq!(echoes[0].instead, sent.as_bytes());
    }
}
