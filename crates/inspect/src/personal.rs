//! Data about people, found by shape and proved by check digits.

use std::{ops::Range, sync::Arc};

use memchr::memchr_iter;

use crate::{Class, Finding, Severity, found::Found};

/// Looks for mail addresses, and around digits for cards, accounts, numbers of persons and phones.
pub(crate) fn find(text: &str, found: &mut Found) {
    let bytes = text.as_bytes();
    for at in memchr_iter(b'@', bytes) {
        if let Some(range) = mail(bytes, at) {
            push("personal.email", Severity::Low, "A mail address.", range, found);
        }
    }
    let mut at = 0;
    while let Some(start) = next_digits(bytes, at) {
        let number = Number::at(bytes, start);
        at = number.range.end.max(start + 1);
        if let Some((rule, severity, message)) = number.meaning(bytes) {
            push(rule, severity, message, number.with_letters(bytes, rule), found);
        }
    }
}

fn push(rule: &str, severity: Severity, message: &str, at: Range<usize>, found: &mut Found) {
    found.push(Finding {
        rule: Arc::from(rule),
        class: Class::Personal,
        severity,
        at,
        via: "plain".into(),
        message: Arc::from(message),
    });
}

fn mail(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let local = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'+' | b'-' | b'%')
    };
    let domain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let start = at - bytes[..at].iter().rev().take(64).take_while(|byte| local(byte)).count();
    let mut end = at + 1 + bytes[at + 1..].iter().take(253).take_while(|byte| domain(byte)).count();
    while end > at && matches!(bytes[end - 1], b'.' | b'-') {
        end -= 1;
    }
    let host = bytes.get(at + 1..end)?;
    let ending = host.rsplit(|byte| *byte == b'.').next()?;
    let good = start < at
        && host.contains(&b'.')
        && ending.len() >= 2
        && ending.iter().all(u8::is_ascii_alphabetic);
    good.then_some(start..end)
}

/// The next digit.
fn next_digits(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    for block in bytes.get(from..)?.chunks(32) {
        // A block without a digit is passed by a few vector instructions.
        if block.iter().fold(false, |any, byte| any | (byte.wrapping_sub(b'0') < 10)) {
            return block.iter().position(u8::is_ascii_digit).map(|inside| at + inside);
        }
        at += block.len();
    }
    None
}

/// Digits with single spaces, dashes or dots between them.
struct Number {
    range: Range<usize>,
    digits: [u8; 24],
    count: usize,
    separators: usize,
}

impl Number {
    fn at(bytes: &[u8], start: usize) -> Number {
        let mut number = Number { range: start..start, digits: [0; 24], count: 0, separators: 0 };
        let mut at = start;
        while let Some(&byte) = bytes.get(at) {
            if byte.is_ascii_digit() {
                if let Some(place) = number.digits.get_mut(number.count) {
                    *place = byte - b'0';
                }
                number.count += 1;
                number.range.end = at + 1;
            } else if matches!(byte, b' ' | b'-' | b'.')
                && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
            {
                number.separators += 1;
            } else {
                break;
            }
            at += 1;
        }
        number
    }

    fn digits(&self) -> &[u8] {
        self.digits.get(..self.count).unwrap_or_default()
    }

    fn meaning(&self, bytes: &[u8]) -> Option<(&'static str, Severity, &'static str)> {
        if let Some(meaning) = self.account(bytes) {
            return Some(meaning);
        }
        let before = self.range.start.checked_sub(1).and_then(|at| bytes.get(at));
        let after = bytes.get(self.range.end);
        // Part of a word, a fraction, an address or an identifier: no number of a person.
        if before.is_some_and(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'/' | b'.' | b'-' | b'=')
        }) || after
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'/'))
        {
            return None;
        }
        let digits = self.digits();
        match digits.len() {
            13..=19 if self.is_card() => Some((
                "personal.card",
                Severity::Low,
                "A number of a payment card, its check digit right.",
            )),
            9 if self.shape(bytes, &[3, 2, 4], b'-') && is_us_number(digits) => {
                Some(("personal.us-ssn", Severity::Low, "A US social security number."))
            }
            11 if self.shape(bytes, &[3, 3, 3, 2], b'.')
                || self.separators == 0
                    && is_cpf(digits)
                    && is_labelled(bytes, self.range.start, b"cpf") =>
            {
                is_cpf(digits).then_some((
                    "personal.br-cpf",
                    Severity::Low,
                    "A Brazilian CPF, its check digits right.",
                ))
            }
            13 | 15 if is_labelled(bytes, self.range.start, b"nir") && is_nir(digits) => Some((
                "personal.fr-nir",
                Severity::Low,
                "A French social security number, its key right.",
            )),
            11 if is_labelled(bytes, self.range.start, b"steuer") && is_steuer_id(digits) => {
                Some((
                    "personal.de-tax-id",
                    Severity::Low,
                    "A German tax number, its check digit right.",
                ))
            }
            8..=15 if before == Some(&b'+') => {
                Some(("personal.phone", Severity::Low, "A phone number."))
            }
            10 if self.separators > 0
                && (self.shape(bytes, &[3, 3, 4], b'-') || before == Some(&b'(')) =>
            {
                Some(("personal.phone", Severity::Low, "A phone number."))
            }
            _ => None,
        }
    }

    /// An IBAN begins with the letters of its country, before the digits that led here.
    fn account(&self, bytes: &[u8]) -> Option<(&'static str, Severity, &'static str)> {
        let country = bytes.get(self.range.start.checked_sub(2)?..self.range.start)?;
        let alone = self
            .range
            .start
            .checked_sub(3)
            .and_then(|at| bytes.get(at))
            .is_none_or(|byte| !byte.is_ascii_alphanumeric());
        if !country.iter().all(u8::is_ascii_uppercase) || !alone {
            return None;
        }
        let end = iban(bytes, self.range.start - 2)?;
        (end >= self.range.end).then_some((
            "personal.iban",
            Severity::Low,
            "An IBAN, its check digits right.",
        ))
    }

    fn with_letters(&self, bytes: &[u8], rule: &str) -> Range<usize> {
        match rule {
            "personal.iban" => {
                self.range.start - 2..iban(bytes, self.range.start - 2).unwrap_or(self.range.end)
            }
            _ => self.range.clone(),
        }
    }

    fn is_card(&self) -> bool {
        let digits = self.digits();
        let known = matches!(
            (digits, digits.len()),
            ([4, ..], 13 | 16 | 19)
                | ([5, 1..=5, ..], 16)
                | ([2, 2..=7, ..], 16)
                | ([3, 4 | 7, ..], 15)
                | ([6, 0 | 4 | 5, ..], 16)
                | ([3, 5, ..], 16)
                | ([3, 0 | 6 | 8, ..], 14)
        );
        let varied = digits.iter().any(|digit| Some(digit) != digits.get(1))
            && digits.iter().filter(|digit| **digit == 0).count() < 10;
        known
            && varied
            && (self.separators == 0 || (2..=4).contains(&self.separators))
            && luhn(digits)
    }

    /// Whether the digits stand in groups of these lengths.
    fn shape(&self, bytes: &[u8], groups: &[usize], separator: u8) -> bool {
        let text = &bytes[self.range.clone()];
        let mut parts = text.split(|byte| matches!(byte, b'-' | b'.' | b' '));
        groups.iter().all(|group| parts.next().is_some_and(|part| part.len() == *group))
            && parts.next().is_none()
            && text.contains(&separator)
    }
}

fn is_labelled(bytes: &[u8], at: usize, label: &[u8]) -> bool {
    let before = &bytes[at.saturating_sub(24)..at];
    before.windows(label.len()).any(|part| part.eq_ignore_ascii_case(label))
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit) * 2) {
            (0, twice) => twice / 2,
            (_, twice) => twice / 10 + twice % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

fn is_us_number(digits: &[u8]) -> bool {
    let part = |range: Range<usize>| {
        digits[range].iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(*digit))
    };
    let (area, group, serial) = (part(0..3), part(3..5), part(5..9));
    area != 0 && area != 666 && area < 900 && group != 0 && serial != 0
}

fn is_cpf(digits: &[u8]) -> bool {
    let check = |count: usize| {
        let sum: usize = digits[..count]
            .iter()
            .enumerate()
            .map(|(at, digit)| usize::from(*digit) * (count + 1 - at))
            .sum();
        (sum * 10 % 11 % 10) as u8 == digits[count]
    };
    digits.iter().any(|digit| *digit != digits[0]) && check(9) && check(10)
}

fn is_nir(digits: &[u8]) -> bool {
    let number =
        |digits: &[u8]| digits.iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(*digit));
    digits.len() == 15
        && matches!(digits[0], 1 | 2)
        && 97 - number(&digits[..13]) % 97 == number(&digits[13..])
}

fn is_steuer_id(digits: &[u8]) -> bool {
    let product = digits[..10].iter().fold(10_u32, |product, digit| {
        let sum = (u32::from(*digit) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    digits[0] != 0 && (11 - product) % 10 == u32::from(digits[10])
}

/// The end of the IBAN that begins at `start`, if its check digits are right.
fn iban(bytes: &[u8], start: usize) -> Option<usize> {
    let mut letters = Vec::with_capacity(34);
    let mut end = start;
    let mut right = None;
    while let Some(&byte) = bytes.get(end) {
        if byte.is_ascii_digit() || byte.is_ascii_uppercase() {
            letters.push(byte);
        } else if byte != b' '
            || letters.len() % 4 != 0
            || !bytes.get(end + 1).is_some_and(u8::is_ascii_alphanumeric)
        {
            break;
        }
        end += 1;
        if letters.len() > 34 {
            return None;
        }
        if letters.len() >= 15 && byte != b' ' && mod97(&letters) == 1 {
            right = Some(end);
        }
    }
    // The whole run must be the account, not a piece of a longer identifier.
    right.filter(|right| bytes.get(*right).is_none_or(|byte| !byte.is_ascii_alphanumeric()))
}

fn mod97(letters: &[u8]) -> u32 {
    letters[4..].iter().chain(&letters[..4]).fold(0, |rest, letter| match letter {
        b'0'..=b'9' => (rest * 10 + u32::from(letter - b'0')) % 97,
        _ => (rest * 100 + u32::from(letter - b'A') + 10) % 97,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<String> {
        let mut found = Found::default();
        find(text, &mut found);
        let found = found.into_findings();
        found.into_iter().map(|finding| format!("{} {}", finding.rule, &text[finding.at])).collect()
    }

    #[test]
    fn numbers_with_right_check_digits_are_found() {
        for (text, expected) in [
            ("pay with 4539 1488 0343 6467 now", "personal.card 4539 1488 0343 6467"),
            ("\"card\":\"371449635398431\"", "personal.card 371449635398431"),
            ("to DE89 3704 0044 0532 0130 00.", "personal.iban DE89 3704 0044 0532 0130 00"),
            ("GB33BUKB20201555555555", "personal.iban GB33BUKB20201555555555"),
            ("call +49 30 901820", "personal.phone +49 30 901820"),
            ("ssn 219-09-9999", "personal.us-ssn 219-09-9999"),
            ("CPF 529.982.247-25", "personal.br-cpf 529.982.247-25"),
            ("write to lena.k@example.co.uk.", "personal.email lena.k@example.co.uk"),
        ] {
            let expected = expected.replace("phone +", "phone ");
            assert_eq!(rules(text), [expected], "{text}");
        }
    }

    #[test]
    fn other_numbers_are_not() {
        for text in [
            "4539148803436468",
            "2026-11-26T14:21:08.123456789Z",
            "DE88370400440532013000",
            "commit 4539148803436467abcdef",
            "id=4539148803436467",
            "0000 0000 0000 0000",
            "version 1.2.3.4",
            "npm i @scope/name",
            "000-12-3456",
        ] {
            assert_eq!(rules(text), Vec::<String>::new(), "{text}");
        }
    }
}
