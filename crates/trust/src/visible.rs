//! Making texts of strangers readable: what hides is shown, and what changed is marked by words.

use similar::{ChangeTag, TextDiff};

/// Characters that take no room, change the direction or have no look of their own.
pub fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\u{0}'..='\u{8}'
            | '\u{b}'..='\u{c}'
            | '\u{e}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
            | '\u{e000}'..='\u{f8ff}'
            | '\u{f0000}'..='\u{10ffff}'
    )
}

/// The text with each hidden character as `⟨U+200B⟩`, and tag characters also as what they spell.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{e0020}'..='\u{e007e}' => {
                let spelt = char::from_u32(u32::from(c) - 0xe0000).unwrap_or(c);
                out.push_str(&format!("⟨tag {spelt}⟩"));
            }
            c if is_hidden(c) => out.push_str(&format!("⟨U+{:04X}⟩", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// A stretch of text that is in both, in the old one or in the new one alone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Stretch {
    Added(String),
    Removed(String),
    Same(String),
}

/// Texts beyond this are not compared word by word, in bytes: the comparison takes time that grows
/// faster than they do.
const COMPARED: usize = 64 << 10;

/// What changed, by words, hidden characters shown.
pub fn words(before: &str, after: &str) -> Vec<Stretch> {
    let (before, after) = (visible(before), visible(after));
    if before.len() + after.len() > COMPARED {
        return vec![Stretch::Removed(before), Stretch::Added(after)];
    }
    let diff = TextDiff::from_words(&before, &after);
    let mut stretches: Vec<Stretch> = Vec::new();
    for change in diff.iter_all_changes() {
        let text = change.value();
        match (change.tag(), stretches.last_mut()) {
            (ChangeTag::Equal, Some(Stretch::Same(held)))
            | (ChangeTag::Delete, Some(Stretch::Removed(held)))
            | (ChangeTag::Insert, Some(Stretch::Added(held))) => held.push_str(text),
            (ChangeTag::Equal, _) => stretches.push(Stretch::Same(text.to_owned())),
            (ChangeTag::Delete, _) => stretches.push(Stretch::Removed(text.to_owned())),
            (ChangeTag::Insert, _) => stretches.push(Stretch::Added(text.to_owned())),
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_hides_is_shown_and_what_changed_is_marked() {
        assert_eq!(visible("a\u{200b}b\u{e0041}"), "a⟨U+200B⟩b⟨tag A⟩");
        let marked = words("Reads a file.", "Reads a\u{200b} secret file.");
        assert!(marked.contains(&Stretch::Removed("a".into())), "{marked:?}");
        let added: String = marked
            .iter()
            .filter_map(|s| if let Stretch::Added(text) = s { Some(text.as_str()) } else { None })
            .collect();
        assert!(added.contains("a⟨U+200B⟩") && added.contains("secret"), "{marked:?}");
    }

    proptest! {
        #[test]
        fn both_texts_can_be_put_together_again(before in "[a-c \u{200b}]{0,30}", after in "[a-c \u{202e}]{0,30}") {
            let (mut old, mut new) = (String::new(), String::new());
            for stretch in words(&before, &after) {
                match stretch {
                    Stretch::Same(text) => { old += &text; new += &text }
                    Stretch::Removed(text) => old += &text,
                    Stretch::Added(text) => new += &text,
                }
            }
            prop_assert_eq!(old, visible(&before));
            prop_assert_eq!(new, visible(&after));
        }
    }
}
