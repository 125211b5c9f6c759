//! Digests of definitions against a second implementation: RFC 8785 is built on JavaScript's own serialisation.

use std::{collections::BTreeSet, fmt::Write as _, process::Stdio};

use e2e::node;
use mcp::{Json, quote};
use tokio::{io::AsyncWriteExt, process::Command};
use trust::{Definition, Kind};

/// RFC 8785 as its own appendix has it, a line in, the SHA-256 of its canonical form out.
const CANONICAL: &str = r"
const form = v => v === null || typeof v !== 'object' ? JSON.stringify(v)
  : Array.isArray(v) ? '[' + v.map(form).join(',') + ']'
  : '{' + Object.keys(v).sort().map(k => JSON.stringify(k) + ':' + form(v[k])).join(',') + '}';
const hash = text => require('crypto').createHash('sha256').update(text, 'utf8').digest('hex');
const lines = require('fs').readFileSync(0, 'utf8').trim().split('\n');
console.log(lines.map(line => hash(form(JSON.parse(line)))).join('\n'));";

/// Texts that look random and are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// A number that is exactly a double, in one of the ways to write it.
    fn number(&mut self) -> String {
        let sign = ["", "-"][self.below(2) as usize];
        let bound = [10, 1000, 100_000_000_000_000][self.below(3) as usize];
        let digits = self.below(bound);
        match self.below(4) {
            0 => format!("{sign}{}", self.below(1 << 53)),
            1 => format!("{sign}{digits}e{}", self.below(45) as i64 - 22),
            2 => format!("{sign}{digits}.0E+{}", self.below(21)),
            _ => {
                let text = digits.to_string();
                let (whole, fraction) = text.split_at(text.len() / 2);
                let whole = if whole.is_empty() { "0" } else { whole };
                format!("{sign}{whole}.{fraction}")
            }
        }
    }

    fn string(&mut self) -> String {
        const SIGNS: [char; 20] = [
            'a',
            'b',
            'Z',
            '0',
            '/',
            '"',
            '\\',
            '\n',
            '\u{0}',
            '\u{1f}',
            '\u{7f}',
            '\u{80}',
            'é',
            '\u{2028}',
            '\u{e000}',
            '\u{ffee}',
            '\u{ffff}',
            '\u{10000}',
            '𝄞',
            '\u{10ffff}',
        ];
        (0..self.below(6)).map(|_| SIGNS[self.below(20) as usize]).collect()
    }

    fn value(&mut self, depth: u32) -> String {
        match self.below(if depth > 4 { 4 } else { 6 }) {
            0 => self.number(),
            1 => quote(&self.string()),
            2 => ["true", "false", "null"][self.below(3) as usize].to_owned(),
            3 => self.number(),
            4 => {
                let items: Vec<String> =
                    (0..self.below(4)).map(|_| self.value(depth + 1)).collect();
                format!("[ {} ]", items.join(" ,"))
            }
            _ => self.object(depth, ""),
        }
    }

    fn object(&mut self, depth: u32, first: &str) -> String {
        let names: BTreeSet<String> = (0..self.below(6)).map(|_| self.string()).collect();
        let mut text = format!("{{{first}");
        for name in names.into_iter().rev() {
            let comma = if text == "{" { "" } else { ", " };
            let _ = write!(text, "{comma}{} : {}", quote(&name), self.value(depth + 1));
        }
        text + "}"
    }
}

#[tokio::test]
async fn digests_are_those_of_javascripts_serialisation() {
    let mut random = Random(0x5EED);
    let definitions: Vec<String> = (0..5000).map(|_| random.object(0, r#""name":"t""#)).collect();
    let mut node = Command::new(node())
        .args(["-e", CANONICAL])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = node.stdin.take().unwrap();
    stdin.write_all(definitions.join("\n").as_bytes()).await.unwrap();
    drop(stdin);
    let output = node.wait_with_output().await.unwrap();
    let theirs = String::from_utf8(output.stdout).unwrap();
    assert_eq!(theirs.lines().count(), definitions.len());
    for (definition, theirs) in definitions.iter().zip(theirs.lines()) {
        let json = Json::read(definition.as_bytes(), &mcp::Limits::default()).unwrap();
        let ours = Definition::read(Kind::Tool, json).unwrap().digest;
        assert_eq!(ours.to_string(), theirs, "{definition}");
    }
}
