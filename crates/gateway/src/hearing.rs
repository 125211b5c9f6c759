//! What a server tells while it answers.

use tokio::sync::mpsc;
use upstream::{Event, Events};

use crate::leak::Guard;

/// A look at a notification that holds no secret any more: what it becomes, or `None` when it is dropped.
pub(crate) type Look<'a> = &'a (dyn Fn(Event) -> Option<Event> + Sync);

/// What stands between a server's notifications and its client.
pub(crate) struct Pass<'a> {
    /// It cleans them.
    pub guard: &'a Guard,
    /// Whose call it is.
    pub principal: &'a str,
    /// Who looks at them then.
    pub look: Option<Look<'a>>,
}

impl Pass<'_> {
    async fn event(&self, event: Event) -> Option<Event> {
        let event = self.guard.event(self.principal, event).await?;
        match self.look {
            Some(look) => look(event),
            None => Some(event),
        }
    }
}

/// Lets through to `events` what `pass` makes of the events on `heard`, until `sending`, which fills that, has
/// ended.
pub(crate) async fn hear<T>(
    mut heard: mpsc::Receiver<Event>,
    events: &Events,
    mut sending: impl Future<Output = T> + Unpin,
    pass: Pass<'_>,
) -> T {
    loop {
        tokio::select! {
            biased;
            Some(event) = heard.recv() => tell(events, pass.event(event).await).await,
            done = &mut sending => {
                while let Ok(event) = heard.try_recv() {
                    tell(events, pass.event(event).await).await;
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
