//! Text with `*` for any text, the empty one included.

/// Compiled: the text before the first star, the texts between stars, the text after the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Glob {
    Exact(Box<str>),
    Stars { before: Box<str>, between: Vec<Box<str>>, after: Box<str> },
}

impl Glob {
    pub(crate) fn new(text: &str) -> Glob {
        let Some((before, rest)) = text.split_once('*') else { return Glob::Exact(text.into()) };
        let (middle, after) = rest.rsplit_once('*').unwrap_or(("", rest));
        let between = middle.split('*').filter(|piece| !piece.is_empty()).map(Box::from).collect();
        Glob::Stars { before: before.into(), between, after: after.into() }
    }

    pub(crate) fn is_any(&self) -> bool {
        matches!(self, Glob::Stars { before, between, after } if before.is_empty() && between.is_empty() && after.is_empty())
    }

    /// Linear in practice and never exponential: taking each piece where it first occurs is
    /// enough, since what stands between two stars may be followed by anything.
    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Glob::Exact(own) => **own == *text,
            Glob::Stars { before, between, after } => {
                let inner =
                    text.strip_prefix(&**before).and_then(|rest| rest.strip_suffix(&**after));
                let Some(mut rest) = inner else { return false };
                between.iter().all(|piece| match rest.split_once(&**piece) {
                    Some((_, behind)) => {
                        rest = behind;
                        true
                    }
                    None => false,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Glob;

    /// The definition, by backtracking.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => {
                naive(rest, text) || (!text.is_empty() && naive(pattern, &text[1..]))
            }
            ([own, pattern @ ..], [first, text @ ..]) => own == first && naive(pattern, text),
            _ => false,
        }
    }

    #[test]
    fn prefix_and_suffix_may_not_overlap() {
        assert!(!Glob::new("aba*aba").matches("ababa"));
        assert!(Glob::new("aba*aba").matches("abaaba"));
        assert!(Glob::new("**").is_any());
        assert!(!Glob::new("a*").is_any());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn it_agrees_with_the_definition(pattern in "[ab*]{0,8}", text in "[abä]{0,10}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(Glob::new(&pattern).matches(&text), naive(&chars(&pattern), &chars(&text)));
        }
    }
}
