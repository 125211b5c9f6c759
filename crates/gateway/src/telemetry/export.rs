//! Sending traces and metrics to a collector: in the background, with bounds, and without anybody waiting.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::Full;
use serde_json::Value;
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};
use upstream::Fetch;

use super::{
    Encoding, exposition, otlp,
    span::{Span, Tracer},
};
use crate::{Gateway, applied::while_configured, secrets::Injection};

/// Where it is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Otlp {
    /// The collector's base, to which `/v1/traces` and `/v1/metrics` are added.
    pub endpoint: Uri,
    /// How it is told.
    pub encoding: Encoding,
    /// The named loosening: its address need not be public.
    pub allow_private: bool,
    /// What it wants to see: a key, for instance.
    pub credential: Option<vault::Credential>,
    /// Whether calls are told as spans.
    pub traces: bool,
    /// Which share of the traces that begin here is kept, from 0 to 1.
    pub kept: f64,
    /// How often metrics are told; never when absent.
    pub metrics_every: Option<Duration>,
}

/// Spans in one request.
const BATCH: usize = 512;
/// How long a span waits for others.
const LINGER: Duration = Duration::from_secs(2);
/// Further tries, each after twice the pause.
const RETRIES: u32 = 3;

/// Tells the collector that the configuration names, until the gateway stops.
pub(crate) async fn run(gateway: Arc<Gateway>, stopping: watch::Receiver<bool>) {
    let serve = |otlp: Option<Otlp>, ending| {
        let traces = otlp.as_ref().filter(|otlp| otlp.traces);
        let (tracer, spans) = traces.map(|otlp| Tracer::new(otlp.kept)).unzip();
        gateway.tracer.store(tracer.map(Arc::new));
        let gateway = gateway.clone();
        async move {
            if let Some(otlp) = otlp {
                tell(gateway, otlp, spans, ending).await;
            }
        }
    };
    while_configured(gateway.clone(), stopping, |config| config.telemetry.otlp.clone(), serve)
        .await;
}

/// Tells the collector until it is to end, and then what is left.
async fn tell(
    gateway: Arc<Gateway>,
    otlp: Otlp,
    spans: Option<mpsc::Receiver<Span>>,
    mut ending: watch::Receiver<bool>,
) {
    let began = SystemTime::now();
    let resource = otlp::resource(gateway.boot());
    let credentials = match vault::Credentials::new(otlp.credential.iter().cloned().collect()) {
        Ok(credentials) => credentials,
        Err(fault) => return tracing::error!(%fault, "no telemetry is sent"),
    };
    let credentials = Injection::new(credentials, gateway.secrets.clone());
    let collector = Collector { gateway, otlp, credentials };
    // Without traces nothing ever comes; the other end is kept, so that it does not end either.
    let (_none, never) = mpsc::channel(1);
    let mut spans = spans.unwrap_or(never);
    let mut lingering = interval(LINGER);
    lingering.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let every = collector.otlp.metrics_every;
    // A day, where nobody asked: its ticks are passed over.
    let mut rounds = interval(every.unwrap_or(Duration::from_secs(86_400)));
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    rounds.tick().await;
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let (mut due, room) = (false, BATCH - batch.len());
        tokio::select! {
            came = spans.recv_many(&mut batch, room) => {
                if came == 0 { return }
                due = batch.len() == BATCH;
            }
            _ = lingering.tick() => due = true,
            _ = rounds.tick() => if every.is_some() {
                collector.tell_metrics(&resource, began).await;
            },
            _ = ending.changed() => break,
        }
        if due && !batch.is_empty() {
            collector.tell_traces(&resource, &batch).await;
            batch.clear();
        }
    }
    while let Ok(span) = spans.try_recv() {
        batch.push(span);
    }
    if !batch.is_empty() {
        collector.tell_traces(&resource, &batch).await;
    }
    if every.is_some() {
        collector.tell_metrics(&resource, began).await;
    }
}

struct Collector {
    gateway: Arc<Gateway>,
    otlp: Otlp,
    credentials: Injection,
}

impl Collector {
    async fn tell_metrics(&self, resource: &Value, began: SystemTime) {
        let metrics = exposition::parse(&self.gateway.exposition().await);
        let message = otlp::metrics(resource, &metrics, began);
        self.tell("metrics", self.otlp.encoding.write(&message)).await;
    }

    async fn tell_traces(&self, resource: &Value, spans: &[Span]) {
        let message = otlp::traces(resource, spans);
        let message = match self.otlp.encoding {
            Encoding::Json => Ok(message.into_bytes()),
            Encoding::Protobuf => serde_json::from_str(&message)
                .map_err(|fault| fault.to_string())
                .and_then(|message| Encoding::Protobuf.write(&message)),
        };
        self.tell("traces", message).await;
    }

    /// Sends one message. What can't be sent after some tries is lost, and counted.
    async fn tell(&self, signal: &'static str, message: Result<Vec<u8>, String>) {
        let body = match message {
            Ok(message) => Bytes::from(message),
            Err(fault) => {
                tracing::error!(signal, fault, "telemetry can't be written");
                return self.gateway.metrics.exported(signal, false);
            }
        };
        let mut pause = Duration::from_millis(500);
        for again in (0..=RETRIES).rev() {
            match self.send(signal, body.clone()).await {
                Ok(()) => return self.gateway.metrics.exported(signal, true),
                Err(Refused { detail, retry }) if again == 0 || !retry => {
                    tracing::warn!(signal, detail, "the collector does not take telemetry");
                    return self.gateway.metrics.exported(signal, false);
                }
                Err(_) => {}
            }
            let mut ending = self.gateway.ending.subscribe();
            tokio::select! {
                () = tokio::time::sleep(pause) => pause *= 2,
                _ = ending.wait_for(|ending| *ending) => {}
            }
        }
    }

    async fn send(&self, signal: &str, body: Bytes) -> Result<(), Refused> {
        let fault = |detail: String| Refused { detail, retry: false };
        let base = self.otlp.endpoint.to_string();
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/v1/{signal}", base.trim_end_matches('/')))
            .header(header::CONTENT_TYPE, self.otlp.encoding.media());
        let credential = self.credentials.fetch().await.map_err(|f| fault(f.to_string()))?;
        if let Some(headers) = request.headers_mut() {
            credential.inject(headers);
        }
        let request = request.body(Full::new(body)).map_err(|f| fault(f.to_string()))?;
        let rules = Fetch {
            bytes: 64 << 10,
            deadline: otlp::DEADLINE,
            allow_private: self.otlp.allow_private,
        };
        match self.gateway.client.fetch(request, rules).await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => {
                let status = answer.status();
                let retry = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
                Err(Refused { detail: status.to_string(), retry })
            }
            Err(fault) => Err(Refused { detail: fault.to_string(), retry: true }),
        }
    }
}

struct Refused {
    detail: String,
    /// Whether the same may be taken later.
    retry: bool,
}
