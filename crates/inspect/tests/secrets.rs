//! Credentials of the formats that providers publish are found in the places where they leak; what only looks
//! like one is not.

use inspect::{Class, Scanner, Surface, rules};

/// A provider, and its format: letters as they are, `<alphabet:length>` for random ones.
const FORMATS: &[(&str, &str)] = &[
    ("AWS access key", "AKIA<B:16>"),
    ("AWS session key", "ASIA<B:16>"),
    ("GitHub personal", "ghp_<a:36>"),
    ("GitHub OAuth", "gho_<a:36>"),
    ("GitHub app", "ghs_<a:36>"),
    ("GitHub fine-grained", "github_pat_<a:22>_<a:59>"),
    ("GitLab personal", "glpat-<u:20>"),
    ("GitLab runner", "GR1348941<u:20>"),
    ("Slack bot", "xoxb-<d:12>-<d:12>-<a:24>"),
    ("Slack app", "xapp-1-<U:11>-<d:12>-<h:64>"),
    ("Slack webhook", "https://hooks.slack.com/services/T<U:8>/B<U:8>/<a:24>"),
    ("Discord webhook", "https://discord.com/api/webhooks/<d:18>/<u:68>"),
    (
        "Teams webhook",
        "https://acme.webhook.office.com/webhookb2/<h:8>-<h:4>-<h:4>-<h:4>-<h:12>@<h:8>-<h:4>-<h:4>-<h:4>-<h:12>/IncomingWebhook/<h:32>/<h:8>-<h:4>-<h:4>-<h:4>-<h:12>",
    ),
    ("Telegram bot", "<d:10>:AAF<u:32>"),
    ("Google API", "AIza<u:35>"),
    ("Google OAuth", "GOCSPX-<u:28>"),
    ("Stripe", "sk_live_<a:24>"),
    ("Stripe restricted", "rk_live_<a:24>"),
    ("OpenAI project", "sk-proj-<u:74>"),
    ("OpenAI", "sk-<a:20>T3BlbkFJ<a:20>"),
    ("Anthropic", "sk-ant-api03-<u:93>AA"),
    ("Hugging Face", "hf_<l:34>"),
    ("Groq", "gsk_<a:52>"),
    ("Perplexity", "pplx-<a:48>"),
    ("Replicate", "r8_<a:37>"),
    ("npm", "npm_<a:36>"),
    ("PyPI", "pypi-AgEIcHlwaS5vcmc<u:80>"),
    ("RubyGems", "rubygems_<h:48>"),
    ("NuGet", "oy2<b:43>"),
    ("Clojars", "CLOJARS_<s:60>"),
    ("Docker Hub", "dckr_pat_<u:27>"),
    ("DigitalOcean", "dop_v1_<h:64>"),
    ("Cloudflare origin CA", "v1.0-<h:24>-<h:146>"),
    ("Alibaba", "LTAI<a:20>"),
    ("Azure AD", "<a:3>8Q~<u:34>"),
    ("Heroku", "HRKU-AA<u:58>"),
    ("HashiCorp Vault", "hvs.<u:90>"),
    ("Terraform Cloud", "<a:14>.atlasv1.<u:64>"),
    ("Databricks", "dapi<h:32>"),
    ("Doppler", "dp.pt.<a:43>"),
    ("Pulumi", "pul-<h:40>"),
    ("PlanetScale", "pscale_tkn_<u:43>"),
    ("Fly.io", "fo1_<u:43>"),
    ("Tailscale", "tskey-auth-<a:12>-<a:32>"),
    ("1Password", "ops_eyJ<u:240>"),
    ("age", "AGE-SECRET-KEY-1<g:58>"),
    ("SendGrid", "SG.<u:22>.<u:43>"),
    ("Mailgun", "key-<h:32>"),
    ("Brevo", "xkeysib-<h:64>-<a:16>"),
    ("Shopify", "shpat_<h:32>"),
    ("Square", "sq0atp-<u:22>"),
    ("EasyPost", "EZAK<a:54>"),
    ("Shippo", "shippo_live_<h:40>"),
    ("New Relic", "NRAK-<U:27>"),
    ("Grafana", "glsa_<a:32>_<h:8>"),
    ("Sentry", "sntrys_<a:60>"),
    ("Dynatrace", "dt0c01.<U:24>.<U:64>"),
    ("Notion", "ntn_<a:46>"),
    ("Linear", "lin_api_<a:40>"),
    ("Atlassian", "ATATT3<u:186>"),
    ("Postman", "PMAK-<h:24>-<h:34>"),
    ("Figma", "figd_<u:40>"),
    ("Sourcegraph", "sgp_<h:40>"),
    ("SonarQube", "squ_<h:40>"),
    ("Typeform", "tfp_<a:59>"),
    ("Duffel", "duffel_live_<u:43>"),
];

/// Where credentials leak.
const PLACES: [&str; 5] = [
    "TOKEN=<>\n",
    "{\"auth\": {\"token\": \"<>\"}, \"ok\": true}",
    "Please use <> until Friday.",
    "curl -H 'X-Token: <>' https://api.example.com/v1/items",
    "- key: <>\n- region: eu",
];

fn alphabet(name: u8) -> &'static [u8] {
    match name {
        b'a' => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
        b'b' => b"abcdefghijklmnopqrstuvwxyz234567",
        b'B' => b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
        b'd' => b"0123456789",
        b'g' => b"QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
        b'h' => b"0123456789abcdef",
        b'l' => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        b's' => b"abcdefghijklmnopqrstuvwxyz0123456789",
        b'u' => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_",
        _ => b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    }
}

/// Numbers that are the same in every run.
struct Random(u64);
impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn fill(&mut self, format: &str) -> String {
        let mut out = String::new();
        let mut rest = format;
        while let Some((head, tail)) = rest.split_once('<') {
            let (slot, behind) = tail.split_once('>').unwrap_or((tail, ""));
            let (name, length) = slot.split_once(':').unwrap_or((slot, "0"));
            out.push_str(head);
            let letters = alphabet(name.as_bytes()[0]);
            for _ in 0..length.parse().unwrap_or(0) {
                out.push(char::from(letters[self.next() as usize % letters.len()]));
            }
            rest = behind;
        }
        out + rest
    }
}

fn secrets(scanner: &Scanner, text: &str) -> Vec<String> {
    let found = scanner.scan(Surface::Result, text).into_iter();
    found
        .filter(|finding| finding.class == Class::Secret && finding.flagged())
        .map(|finding| finding.rule.to_string())
        .collect()
}

#[test]
fn credentials_of_known_formats_are_found_where_they_leak() {
    let scanner = Scanner::of(rules::bundled().unwrap(), None).unwrap();
    let mut random = Random(1);
    let (mut all, mut missed) = (0, Vec::new());
    for (provider, format) in FORMATS {
        for place in PLACES {
            for _ in 0..4 {
                let text = place.replace("<>", &random.fill(format));
                all += 1;
                if secrets(&scanner, &text).is_empty() {
                    missed.push(format!("{provider}: {text}"));
                }
            }
        }
    }
    let share = missed.len() as f64 / f64::from(all);
    println!("{} of {all} missed", missed.len());
    assert!(share < 0.01, "{} of {all} missed: {missed:#?}", missed.len());
}

#[test]
fn what_only_looks_random_is_no_credential() {
    let scanner = Scanner::of(rules::bundled().unwrap(), None).unwrap();
    let mut random = Random(2);
    let looks = [
        "commit <h:40>",
        "id: <h:8>-<h:4>-4<h:3>-a<h:3>-<h:12>",
        "sha256:<h:64>",
        "\"integrity\": \"sha512-<a:86>==\"",
        "data:image/png;base64,<a:120>",
        "etag: W/\"<h:32>\"",
        "https://cdn.example.com/assets/app.<h:20>.js",
        "order <U:12> shipped with <d:18>",
        "session <a:24> started",
        "trace_id=<h:32> span_id=<h:16>",
        "/usr/lib/<s:12>/<s:30>.so.<d:2>",
        "TOKEN=<your-token>",
        "api_key: YOUR_API_KEY_HERE",
        "password = getpass.getpass()",
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "AKIAIOSFODNN7EXAMPLE",
        "r8_weights, fw_version, pat-<d:4>, sk-learn, key-value, pul-request",
        "Bearer <token>",
        "npm_config_registry=https://registry.example.com",
        "hvs.example, glpat-example-token, SG.example",
    ];
    let mut wrong = Vec::new();
    for look in looks {
        for place in PLACES {
            for _ in 0..10 {
                let text = place.replace("<>", &random.fill(look));
                let found = secrets(&scanner, &text);
                if !found.is_empty() {
                    wrong.push(format!("{found:?}: {text}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
