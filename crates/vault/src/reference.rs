//! References: text with places that are filled from the environment or from files.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::{Secret, VaultFault};

/// The longest file that is read.
const FILE_LIMIT: usize = 64 << 10;

/// Such as `Bearer ${env:GITHUB_TOKEN}` or `${file:/run/secrets/key}`; `$$` is a dollar sign.
#[derive(Clone, PartialEq, Eq)]
pub struct Reference(Vec<Part>);

#[derive(Clone, PartialEq, Eq)]
enum Part {
    Env(String),
    File(PathBuf),
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
            parts.push(match name.split_once(':') {
                Some(("env", name)) => Part::Env(env_name(name)?.into()),
                Some(("file", path)) if Path::new(path).is_absolute() => Part::File(path.into()),
                Some(("file", path)) => return Err(VaultFault::PathRelative(path.into())),
                _ => return Err(syntax),
            });
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
        self.0.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// Reads the environment and files that it names. Blocks for as long as that takes.
    pub fn resolve(&self) -> Result<Secret, VaultFault> {
        let values: Vec<Zeroizing<String>> =
            self.0.iter().map(Part::resolve).collect::<Result<_, _>>()?;
        // Made at its full length: text that grows in place leaves copies behind.
        let mut whole = String::with_capacity(values.iter().map(|value| value.len()).sum());
        values.iter().for_each(|value| whole.push_str(value));
        Ok(Secret::new(whole.into_boxed_str()))
    }
}

impl Part {
    fn resolve(&self) -> Result<Zeroizing<String>, VaultFault> {
        match self {
            Part::Env(name) => {
                let value =
                    std::env::var_os(name).ok_or_else(|| VaultFault::EnvMissing(name.clone()))?;
                let what = || format!("environment variable {name}");
                let value = value
                    .into_string()
                    .map(Zeroizing::new)
                    .map_err(|_| VaultFault::NotUtf8(what()))?;
                if value.is_empty() { Err(VaultFault::Empty(what())) } else { Ok(value) }
            }
            Part::File(path) => {
                let bytes = read(path)?;
                let what = || path.display().to_string();
                let text = std::str::from_utf8(&bytes).map_err(|_| VaultFault::NotUtf8(what()))?;
                let text = text
                    .strip_suffix('\n')
                    .map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
                if text.is_empty() {
                    Err(VaultFault::Empty(what()))
                } else {
                    Ok(Zeroizing::new(text.to_owned()))
                }
            }
            Part::Text(text) => Ok(Zeroizing::new(text.clone())),
        }
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, VaultFault> {
    let fault = |source| VaultFault::File { path: path.into(), source };
    // Looked at before it is opened, since opening a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(fault)?.is_file() {
        return Err(fault(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            "not a regular file",
        )));
    }
    let file = std::fs::File::open(path).map_err(fault)?;
    private(path, &file.metadata().map_err(fault)?)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_LIMIT + 1));
    let mut taken = 0;
    bytes.resize(FILE_LIMIT + 1, 0);
    let mut file = file;
    loop {
        match file.read(&mut bytes[taken..]) {
            Ok(0) => break,
            Ok(more) => taken += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(fault(error)),
        }
    }
    if taken > FILE_LIMIT {
        return Err(VaultFault::FileTooLong(path.into()));
    }
    bytes.truncate(taken);
    Ok(bytes)
}

/// Refuses a file that every user of the machine can read.
#[cfg(unix)]
fn private(path: &Path, metadata: &std::fs::Metadata) -> Result<(), VaultFault> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 == 0 { Ok(()) } else { Err(VaultFault::FileMode { path: path.into(), mode }) }
}

#[cfg(not(unix))]
fn private(_path: &Path, _metadata: &std::fs::Metadata) -> Result<(), VaultFault> {
    Ok(())
}

/// `A-Z a-z 0-9 _`, no digit first.
pub(crate) fn env_name(name: &str) -> Result<&str, VaultFault> {
    let digit_first = name.bytes().next().is_none_or(|byte| byte.is_ascii_digit());
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if digit_first || !plain { Err(VaultFault::EnvName(name.into())) } else { Ok(name) }
}

impl fmt::Debug for Reference {
    /// The literal parts are hidden: people do write secrets into configurations.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Env(name) => write!(f, "${{env:{name}}}"),
            Part::File(path) => write!(f, "${{file:{}}}", path.display()),
            Part::Text(_) => f.write_str("[text]"),
        })
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<String, VaultFault> {
        Ok(Reference::parse(text)?.resolve()?.expose().to_owned())
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
        let (_dir, reference) = file(&vec![b'k'; FILE_LIMIT], 0o600);
        assert_eq!(resolve(&reference).unwrap().len(), FILE_LIMIT);
        let (_dir, reference) = file(&vec![b'k'; FILE_LIMIT + 1], 0o600);
        assert!(matches!(resolve(&reference), Err(VaultFault::FileTooLong(_))));
        assert!(matches!(resolve("${file:/no/such/file}"), Err(VaultFault::File { .. })));
        assert!(matches!(resolve("${file:/dev/zero}"), Err(VaultFault::File { .. })));
    }

    #[test]
    fn debug_output_holds_no_text() {
        let reference = Reference::parse("ghp_123${env:X}${file:/k}").unwrap();
        assert_eq!(format!("{reference:?}"), "[text]${env:X}${file:/k}");
        assert_eq!(
            format!("{:?}", Reference::parse("hush").unwrap().resolve().unwrap()),
            "[secret]"
        );
    }
}
