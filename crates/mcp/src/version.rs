//! Protocol revisions and the two eras they fall into.

/// How a peer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Era {
    /// `initialize`, sessions, requests from server to client (up to 2025-11-25).
    Handshake,
    /// Everything in `_meta`, no session, multi round-trip requests (2026-07-28).
    Stateless,
}

/// A revision of the protocol that Bartizan speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the revisions' own")]
pub enum Version {
    V2024_11_05,
    V2025_03_26,
    V2025_06_18,
    V2025_11_25,
    V2026_07_28,
}

impl Version {
    /// All, oldest first.
    pub const ALL: [Version; 5] = [
        Version::V2024_11_05,
        Version::V2025_03_26,
        Version::V2025_06_18,
        Version::V2025_11_25,
        Version::V2026_07_28,
    ];
    /// The newest of the handshake era.
    pub const LAST_HANDSHAKE: Version = Version::V2025_11_25;
    /// The newest of the stateless era.
    pub const LAST_STATELESS: Version = Version::V2026_07_28;

    /// `2025-11-25` and so on.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// Reads a revision's date.
    pub fn parse(text: &str) -> Option<Version> {
        Self::ALL.into_iter().find(|version| version.as_str() == text)
    }

    /// The era it belongs to.
    pub fn era(self) -> Era {
        if self >= Self::V2026_07_28 { Era::Stateless } else { Era::Handshake }
    }
}
