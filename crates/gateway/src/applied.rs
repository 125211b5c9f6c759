//! What runs beside the calls, begun anew when its part of the configuration changes.

use std::{pin::pin, sync::Arc};

use tokio::sync::watch;

use crate::{Config, Gateway};

/// Runs `serve` with its part of the configuration until the gateway stops. When that part changes, the
/// receiver says so; once `serve` has ended, it is begun anew with what holds now.
pub(crate) async fn while_configured<T: Clone + PartialEq, F: Future<Output = ()>>(
    gateway: Arc<Gateway>,
    mut stopping: watch::Receiver<bool>,
    part: impl Fn(&Config) -> T,
    serve: impl Fn(T, watch::Receiver<bool>) -> F,
) {
    let mut applied = gateway.applied.subscribe();
    loop {
        let own = part(&gateway.current().config);
        let (end, ending) = watch::channel(false);
        let mut serving = pin!(serve(own.clone(), ending));
        let mut ended = false;
        let stops = loop {
            tokio::select! {
                () = &mut serving, if !ended => ended = true,
                more = applied.changed() => {
                    if more.is_err() || part(&gateway.current().config) != own {
                        break more.is_err();
                    }
                }
                _ = stopping.changed() => break true,
            }
        };
        end.send_replace(true);
        if !ended {
            serving.await;
        }
        if stops {
            return;
        }
    }
}
