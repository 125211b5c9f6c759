//! What a server tells while it answers.

use tokio::sync::mpsc;
use upstream::{Event, Events};

/// Lets through to `events` what `pass` makes of the events on `heard`, until `sending`, which fills that, has
/// ended.
pub(crate) async fn hear<T, F: Future<Output = Option<Event>>>(
    mut heard: mpsc::Receiver<Event>,
    events: &Events,
    sending: impl Future<Output = T>,
    mut pass: impl FnMut(Event) -> F,
) -> T {
    let mut sending = std::pin::pin!(sending);
    loop {
        tokio::select! {
            biased;
            Some(event) = heard.recv() => tell(events, pass(event).await).await,
            done = &mut sending => {
                while let Ok(event) = heard.try_recv() {
                    tell(events, pass(event).await).await;
                }
                return done;
            }
        }
    }
}

async fn tell(events: &Events, event: Option<Event>) {
    if let Some(event) = event {
        // A client that is gone has dropped the call, or does not care.
        let _ = events.send(event).await;
    }
}
