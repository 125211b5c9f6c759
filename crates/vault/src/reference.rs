//! References: text with places that are filled with secrets from elsewhere.

use std::fmt;

use zeroize::Zeroizing;

use crate::{Secret, Source, VaultFault};

/// Such as `Bearer ${secret:github}` or `${file:/run/secrets/key}`; `$$` is a dollar sign.
#[derive(Clone, PartialEq, Eq)]
pub struct Reference(Vec<Part>);

#[derive(Clone, PartialEq, Eq)]
enum Part {
    Source(Source),
    Text(String),
}

impl Reference {
    /// Reads the text of a reference.
    pub fn parse(text: &str) -> Result<Reference, VaultFault> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('$') {
            plain.push_str(before);
            if let Some(behind) = behind.strip_prefix('$') {
                plain.push('$');
                rest = behind;
                continue;
            }
            let syntax = VaultFault::Syntax { at: text.len() - behind.len() - 1 };
            let inner = behind.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let Some((name, behind)) = inner else { return Err(syntax) };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Source(Source::parse(name)?.ok_or(syntax)?));
            rest = behind;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        if parts.is_empty() {
            Err(VaultFault::Empty("the value".into()))
        } else {
            Ok(Reference(parts))
        }
    }

    /// Whether it names nothing: then the configuration itself holds the value, and if that
    /// is a secret, in plain sight.
    pub fn is_literal(&self) -> bool {
        self.sources().next().is_none()
    }

    /// Whether all that it names is on this machine and needs no key.
    pub fn is_local(&self) -> bool {
        self.sources().all(Source::is_local)
    }

    /// What it names, in the order of the text.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.0.iter().filter_map(|part| match part {
            Part::Source(source) => Some(source),
            Part::Text(_) => None,
        })
    }

    /// The whole text, with these values for [`Reference::sources`]. One too few leaves its place empty.
    pub fn fill(&self, values: &[Secret]) -> Secret {
        let mut values = values.iter();
        let pieces: Vec<&str> = self
            .0
            .iter()
            .map(|part| match part {
                Part::Source(_) => values.next().map_or("", Secret::expose),
                Part::Text(text) => text,
            })
            .collect();
        // Made at its full length: text that grows in place leaves copies behind.
        let mut whole = Zeroizing::new(String::with_capacity(pieces.iter().map(|p| p.len()).sum()));
        pieces.iter().for_each(|piece| whole.push_str(piece));
        Secret::new(std::mem::take(&mut *whole).into_boxed_str())
    }

    /// Why a value that is on this machine can't be had. Those that are elsewhere are not asked for.
    pub fn local_fault(&self) -> Option<VaultFault> {
        self.sources().find_map(|source| source.read()?.err())
    }
}

impl fmt::Debug for Reference {
    /// The literal parts are hidden: people do write secrets into configurations.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Source(source) => write!(f, "${{{source}}}"),
            Part::Text(_) => f.write_str("[text]"),
        })
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<String, VaultFault> {
        let reference = Reference::parse(text)?;
        let values: Result<Vec<Secret>, VaultFault> =
            reference.sources().map(|source| source.read().unwrap()).collect();
        Ok(reference.fill(&values?).expose().to_owned())
    }

    /// A file of its own with this content and mode.
    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, String) {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let reference = format!("${{file:{}}}", path.display());
        (dir, reference)
    }

    #[test]
    fn text_environment_and_dollar_signs() {
        // Every process that cargo runs has this one.
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            resolve("Bearer ${env:CARGO_PKG_VERSION}!").unwrap(),
            format!("Bearer {version}!")
        );
        assert_eq!(
            resolve("${env:CARGO_PKG_VERSION}${env:CARGO_PKG_VERSION}").unwrap(),
            version.repeat(2)
        );
        assert_eq!(resolve("a$$b$$$$c").unwrap(), "a$b$$c");
        assert_eq!(resolve("$${env:X}").unwrap(), "${env:X}");
        assert!(Reference::parse("plain").unwrap().is_literal());
        assert!(!Reference::parse("x${env:X}").unwrap().is_literal());
    }

    #[test]
    fn texts_that_are_no_references() {
        let fault = |text| Reference::parse(text).unwrap_err().to_string();
        for (text, at) in [("a$b", 1), ("$", 0), ("ab${env:X", 2), ("${X}", 0), ("${cmd:ls}", 0)] {
            assert!(fault(text).starts_with(&format!("at byte {at}:")), "{text}: {}", fault(text));
        }
        assert_eq!(fault("${env:}"), "`` can't be the name of an environment variable");
        assert_eq!(fault("${env:1A}"), "`1A` can't be the name of an environment variable");
        assert_eq!(fault("${file:key}"), "`${file:key}`: the path must be absolute");
        assert_eq!(fault(""), "the value is empty");
    }

    #[test]
    fn a_missing_variable_is_a_fault() {
        let fault = resolve("${env:BARTIZAN_TEST_NOT_SET}").unwrap_err();
        assert_eq!(fault.to_string(), "environment variable BARTIZAN_TEST_NOT_SET is not set");
    }

    #[test]
    fn files_lose_one_line_end() {
        for (content, expected) in
            [("k\n", "k"), ("k\r\n", "k"), ("k", "k"), ("k\n\n", "k\n"), (" k ", " k ")]
        {
            let (_dir, reference) = file(content.as_bytes(), 0o600);
            assert_eq!(resolve(&reference).unwrap(), expected);
        }
    }

    #[test]
    fn files_that_can_not_be_secrets() {
        for mode in [0o644, 0o604, 0o602] {
            let (_dir, reference) = file(b"k", mode);
            assert!(
                matches!(resolve(&reference).unwrap_err(), VaultFault::FileMode { mode: found, .. } if found == mode)
            );
        }
        let (_dir, reference) = file(b"k", 0o640);
        assert_eq!(resolve(&reference).unwrap(), "k");
        let (_dir, reference) = file(b"\n", 0o600);
        assert!(matches!(resolve(&reference), Err(VaultFault::Empty(_))));
        let (_dir, reference) = file(b"\xff", 0o600);
        assert!(matches!(resolve(&reference), Err(VaultFault::NotUtf8(_))));
        let (_dir, reference) = file(&vec![b'k'; 64 << 10], 0o600);
        assert_eq!(resolve(&reference).unwrap().len(), 64 << 10);
        let (_dir, reference) = file(&vec![b'k'; (64 << 10) + 1], 0o600);
        assert!(matches!(resolve(&reference), Err(VaultFault::FileTooLong(_))));
        assert!(matches!(resolve("${file:/no/such/file}"), Err(VaultFault::File { .. })));
        assert!(matches!(resolve("${file:/dev/zero}"), Err(VaultFault::File { .. })));
    }

    #[test]
    fn debug_output_holds_no_text() {
        let reference = Reference::parse("ghp_123${env:X}${file:/k}").unwrap();
        assert_eq!(format!("{reference:?}"), "[text]${env:X}${file:/k}");
        assert_eq!(format!("{:?}", Reference::parse("hush").unwrap().fill(&[])), "[secret]");
    }
}
