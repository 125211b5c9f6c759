//! How many tokens a call took, by what the model's server says of it in `usage`.

use serde::Deserialize;

/// Bytes of text that are about one token, where nobody says.
const BYTES_PER_TOKEN: u64 = 4;

/// Tokens of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub input: u64,
    pub output: u64,
    /// Whether the server said so, or it is a guess.
    pub said: bool,
}

impl Usage {
    pub fn total(self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// Of an answer that is no stream.
    pub fn of(answer: &[u8], bytes_in: u64) -> Usage {
        let mut usage = Usage::default();
        usage.take(answer);
        usage.or_guess(bytes_in, answer.len() as u64 / BYTES_PER_TOKEN)
    }

    /// What an answer or an event says; of several words the largest counts, as they come in the course of a
    /// stream.
    fn take(&mut self, json: &[u8]) {
        #[derive(Deserialize)]
        struct Said {
            usage: Option<Counts>,
            message: Option<Within>,
            response: Option<Within>,
        }
        #[derive(Deserialize)]
        struct Within {
            usage: Option<Counts>,
        }
        let Ok(said) = serde_json::from_slice::<Said>(json) else { return };
        let within = [said.message, said.response].into_iter().flatten();
        let all = said.usage.into_iter().chain(within.filter_map(|within| within.usage));
        for counts in all {
            self.said = true;
            self.input = self.input.max(counts.input());
            self.output = self.output.max(counts.output());
        }
    }

    fn or_guess(self, bytes_in: u64, output: u64) -> Usage {
        if self.said {
            return self;
        }
        Usage { input: bytes_in / BYTES_PER_TOKEN, output, said: false }
    }
}

/// OpenAI's names, and Anthropic's, which are also those of OpenAI's responses.
#[derive(Deserialize)]
struct Counts {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    // Anthropic does not count these among the input.
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
}

impl Counts {
    fn input(&self) -> u64 {
        let counts = [
            self.prompt_tokens.or(self.input_tokens),
            self.cache_creation_input_tokens,
            self.cache_read_input_tokens,
        ];
        counts.into_iter().flatten().fold(0, u64::saturating_add)
    }

    fn output(&self) -> u64 {
        self.completion_tokens.or(self.output_tokens).unwrap_or_default()
    }
}

/// Counts along with a stream of events.
#[derive(Default)]
pub(super) struct Meter {
    usage: Usage,
    events: u64,
}

impl Meter {
    /// The data of the next event.
    pub fn event(&mut self, data: &[u8]) {
        self.events += 1;
        if data.windows(7).any(|window| window == b"\"usage\"") {
            self.usage.take(data);
        }
    }

    /// What it took. A stream that was cut off has said less than it took: each event is about one token.
    pub fn usage(&self, bytes_in: u64, ended: bool) -> Usage {
        let usage = self.usage.or_guess(bytes_in, self.events);
        if ended { usage } else { Usage { output: usage.output.max(self.events), ..usage } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(json: &str) -> (u64, u64, bool) {
        let usage = Usage::of(json.as_bytes(), 40);
        (usage.input, usage.output, usage.said)
    }

    #[test]
    fn each_protocols_words() {
        assert_eq!(
            counts(r#"{"usage":{"prompt_tokens":12,"completion_tokens":30,"total_tokens":42}}"#),
            (12, 30, true)
        );
        assert_eq!(
            counts(
                r#"{"type":"message","usage":{"input_tokens":3,"cache_creation_input_tokens":4,"cache_read_input_tokens":5,"output_tokens":6}}"#
            ),
            (12, 6, true)
        );
        assert_eq!(counts(r#"{"usage":{"prompt_tokens":8}}"#), (8, 0, true), "embeddings");
        let silent = r#"{"data":[1,2,3],"usage":null}"#;
        assert_eq!(counts(silent), (10, silent.len() as u64 / 4, false));
    }

    #[test]
    fn a_streams_events_say_it_at_any_time() {
        let openai = [
            r#"{"choices":[{}],"usage":null}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}"#,
            "[DONE]",
        ];
        let anthropic = [
            r#"{"type":"message_start","message":{"usage":{"input_tokens":5,"output_tokens":1}}}"#,
            r#"{"type":"message_delta","usage":{"output_tokens":7}}"#,
            r#"{"type":"message_stop"}"#,
        ];
        let responses = [
            r#"{"type":"response.created"}"#,
            r#"{"type":"response.completed","response":{"usage":{"input_tokens":5,"output_tokens":7}}}"#,
            "",
        ];
        for stream in [openai, anthropic, responses] {
            let mut meter = Meter::default();
            stream.iter().for_each(|event| meter.event(event.as_bytes()));
            let usage = meter.usage(0, true);
            assert_eq!((usage.input, usage.output, usage.said), (5, 7, true), "{stream:?}");
        }
    }

    #[test]
    fn a_stream_that_is_cut_off_is_not_free() {
        let mut meter = Meter::default();
        meter.event(br#"{"message":{"usage":{"input_tokens":5,"output_tokens":1}}}"#);
        for _ in 0..20 {
            meter.event(br#"{"delta":"x"}"#);
        }
        assert_eq!(meter.usage(400, false), Usage { input: 5, output: 21, said: true });
        let mut silent = Meter::default();
        silent.event(b"{}");
        silent.event(b"{}");
        assert_eq!(silent.usage(400, true), Usage { input: 100, output: 2, said: false });
    }
}
