//! Asking a person for a secret, without showing it.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};

use zeroize::Zeroizing;

use crate::Secret;

/// Asks on the terminal, which shows nothing of the answer. Fails where there is no terminal.
#[cfg(unix)]
pub fn prompt(question: &str) -> io::Result<Secret> {
    use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    let before = tcgetattr(&terminal)?;
    let mut silent = before.clone();
    silent.local_flags.remove(LocalFlags::ECHO);
    silent.local_flags.insert(LocalFlags::ECHONL);
    tcsetattr(&terminal, SetArg::TCSAFLUSH, &silent)?;
    let answer = write!(terminal, "{question}: ").and_then(|()| line(&mut terminal));
    tcsetattr(&terminal, SetArg::TCSAFLUSH, &before)?;
    answer
}

/// Asks on the terminal; not on this system.
#[cfg(not(unix))]
pub fn prompt(_question: &str) -> io::Result<Secret> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "no prompt on this system; use standard input"))
}

/// One line, a byte at a time: what a buffer read ahead would be lost, and stay behind.
fn line(terminal: &mut impl Read) -> io::Result<Secret> {
    let mut text = Zeroizing::new(Vec::with_capacity(crate::VALUE_LIMIT));
    let mut byte = [0];
    while text.len() < crate::VALUE_LIMIT && terminal.read(&mut byte)? == 1 && byte[0] != b'\n' {
        text.push(byte[0]);
    }
    secret(&text)
}

/// All of `input`, without one line end at its end.
pub fn read_secret(input: &mut impl Read) -> io::Result<Secret> {
    // One more than is allowed, and its line end, so that too long a value is told from a long one.
    let limit = crate::VALUE_LIMIT + 3;
    let mut text = Zeroizing::new(Vec::with_capacity(limit));
    input.take(limit as u64).read_to_end(&mut text)?;
    let whole =
        text.strip_suffix(b"\n").map_or(&**text, |text| text.strip_suffix(b"\r").unwrap_or(text));
    secret(whole)
}

fn secret(bytes: &[u8]) -> io::Result<Secret> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the secret is not UTF-8"))?;
    Ok(Secret::new(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_loses_one_line_end() {
        for (given, kept) in
            [("k", "k"), ("k\n", "k"), ("k\r\n", "k"), ("k\n\n", "k\n"), ("a\nb\n", "a\nb")]
        {
            assert_eq!(read_secret(&mut given.as_bytes()).unwrap().expose(), kept);
        }
        assert!(read_secret(&mut [0xff].as_slice()).is_err());
        let mut lines = "first\nsecond\n".as_bytes();
        assert_eq!(line(&mut lines).unwrap().expose(), "first");
        assert_eq!(lines, b"second\n");
    }
}
