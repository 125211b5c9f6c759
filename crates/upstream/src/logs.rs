//! Log levels: which `notifications/message` a call gets.

use mcp::Json;

use crate::LogWish;

const LEVELS: [&str; 8] =
    ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// The least level a call wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Threshold(u8);

impl Threshold {
    /// Place of a level among the eight of RFC 5424, `debug` = 0.
    pub fn rank(level: &str) -> Option<u8> {
        LEVELS.iter().position(|known| *known == level).and_then(|at| u8::try_from(at).ok())
    }

    pub fn of(wish: &LogWish) -> Threshold {
        match wish {
            LogWish::Default => Threshold(0),
            // An unknown level is treated as the wish for everything.
            LogWish::Level(level) => Threshold(Self::rank(level).unwrap_or(0)),
            LogWish::None => Threshold(u8::MAX),
        }
    }

    /// Whether a `notifications/message` with these params passes. A level nobody knows passes
    /// unless nothing is wanted.
    pub fn passes(self, params: Json<'_>) -> bool {
        let rank = params.get("level").and_then(Json::string).and_then(|l| Self::rank(&l));
        self.0 != u8::MAX && rank.is_none_or(|rank| rank >= self.0)
    }
}

/// Whether `logging/setLevel` must be sent before a call that wishes `rank`: when it is more than
/// the session gives now, or less and nobody else listens.
pub(crate) fn must_set(current: Option<u8>, rank: u8, alone: bool) -> bool {
    match current {
        None => true,
        Some(now) => rank < now || (rank > now && alone),
    }
}

/// The name of a rank.
pub(crate) fn name(rank: u8) -> &'static str {
    LEVELS.get(usize::from(rank)).copied().unwrap_or("info")
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcp::Limits;

    #[test]
    fn thresholds() {
        let passes = |wish: LogWish, params: &str| {
            Threshold::of(&wish).passes(Json::read(params.as_bytes(), &Limits::default()).unwrap())
        };
        let warning = || LogWish::Level("warning".into());
        assert!(passes(warning(), r#"{"level":"error"}"#));
        assert!(passes(warning(), r#"{"level":"warning"}"#));
        assert!(!passes(warning(), r#"{"level":"info"}"#));
        assert!(passes(warning(), r#"{"level":"odd"}"#));
        assert!(passes(LogWish::Default, r#"{"level":"debug"}"#));
        assert!(!passes(LogWish::None, r#"{"level":"emergency"}"#));
    }

    #[test]
    fn level_changes() {
        assert!(must_set(None, 7, false));
        assert!(must_set(Some(4), 1, false));
        assert!(!must_set(Some(1), 4, false));
        assert!(must_set(Some(1), 4, true));
        assert!(!must_set(Some(1), 1, true));
    }
}
