//! Secrets that stand in the configuration as they are. Found to warn, never to print.

/// How the keys of well-known services begin, and how long they are at least.
const KEYS: [(&str, usize, &str); 26] = [
    ("-----BEGIN ", 20, "a private key"),
    ("AIza", 30, "a Google API key"),
    ("AKIA", 16, "an AWS access key"),
    ("ASIA", 16, "an AWS access key"),
    ("SG.", 30, "a SendGrid key"),
    ("dop_v1_", 30, "a DigitalOcean token"),
    ("eyJ", 40, "a JSON Web Token"),
    ("ghp_", 20, "a GitHub token"),
    ("gho_", 20, "a GitHub token"),
    ("ghs_", 20, "a GitHub token"),
    ("ghu_", 20, "a GitHub token"),
    ("github_pat_", 20, "a GitHub token"),
    ("glpat-", 20, "a GitLab token"),
    ("hf_", 20, "a Hugging Face token"),
    ("lin_api_", 20, "a Linear key"),
    ("npm_", 30, "an npm token"),
    ("ntn_", 20, "a Notion token"),
    ("pypi-", 30, "a PyPI token"),
    ("rk_live_", 20, "a Stripe key"),
    ("secret_", 20, "a secret key"),
    ("sk-", 20, "an API key"),
    ("sk_live_", 20, "a Stripe key"),
    ("sk_test_", 20, "a Stripe key"),
    ("xapp-", 20, "a Slack token"),
    ("xoxb-", 20, "a Slack token"),
    ("xoxp-", 20, "a Slack token"),
];

/// What kind of key stands in `text`, by its form alone.
pub fn known_key(text: &str) -> Option<&'static str> {
    let words =
        text.split(|c: char| c.is_whitespace() || matches!(c, '=' | '"' | '\'' | ',' | ';'));
    words.into_iter().chain([text]).find_map(|word| {
        KEYS.iter()
            .find(|(prefix, length, _)| word.len() >= *length && word.starts_with(prefix))
            .map(|(_, _, kind)| *kind)
    })
}

/// Whether a variable of this name usually holds a secret.
pub fn secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let parts: Vec<&str> = name.split(['_', '-']).collect();
    ["TOKEN", "SECRET", "PASSWORD", "PASSWD", "APIKEY", "CREDENTIALS", "PAT"]
        .iter()
        .any(|word| parts.contains(word))
        || parts
            .windows(2)
            .any(|pair| matches!(pair, ["API" | "ACCESS" | "PRIVATE" | "SECRET", "KEY"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_known_by_their_form() {
        let github = format!("ghp_{}", "a".repeat(36));
        assert_eq!(known_key(&github), Some("a GitHub token"));
        assert_eq!(known_key(&format!("Bearer {github}")), Some("a GitHub token"));
        assert_eq!(known_key(&format!("--token={github}")), Some("a GitHub token"));
        for harmless in [
            "",
            "sk-short",
            "https://mcp.example.com/mcp",
            "-y",
            "@modelcontextprotocol/server-filesystem",
            "Bearer ${env:GITHUB_TOKEN}",
        ] {
            assert_eq!(known_key(harmless), None, "{harmless}");
        }
    }

    #[test]
    fn names_of_secrets() {
        for name in ["GITHUB_TOKEN", "OPENAI_API_KEY", "db-password", "AWS_SECRET_ACCESS_KEY"] {
            assert!(secret_name(name), "{name}");
        }
        for name in ["PATH", "TOKENIZERS_PARALLELISM", "KEYBOARD", "LOG_LEVEL"] {
            assert!(!secret_name(name), "{name}");
        }
    }
}
