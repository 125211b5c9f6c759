//! A receiver by HTTP that misbehaves.

use std::{
    collections::VecDeque,
    io::{self, Read},
    sync::{Arc, Mutex},
    time::Duration,
};

use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 429, and to come back in a second.
    Busy,
    /// 500.
    Broken,
    /// Too many records at once: 413.
    Large,
    /// The records are taken, and the connection ends without an answer.
    Lost,
    /// The connection ends before anything is taken.
    Reset,
    /// The answer takes its time.
    Slow,
}

/// Whose interface it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Azure,
    Elastic,
    Otlp,
    OtlpProtobuf,
    Splunk,
}

/// What it was sent.
#[derive(Default)]
pub struct Taken {
    /// The records' keys and the records, as they came.
    pub records: Vec<(String, Value)>,
    /// Whole bodies, as they came.
    pub bodies: Vec<Vec<u8>>,
    faults: VecDeque<Fault>,
    requests: usize,
}

#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    pub kind: Kind,
    pub taken: Arc<Mutex<Taken>>,
}

impl Receiver {
    /// Does these to the first requests, in this order.
    pub async fn start(kind: Kind, faults: &[Fault]) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let taken = Taken { faults: faults.iter().copied().collect(), ..Taken::default() };
        let receiver = Receiver { url, kind, taken: Arc::new(Mutex::new(taken)) };
        let serving = receiver.clone();
        e2e::serve(listener, service_fn(move |request| serving.clone().answer(request)));
        receiver
    }

    /// Each record once, in the order in which they came first.
    pub fn once(&self) -> Vec<(String, Value)> {
        let mut seen = std::collections::BTreeSet::new();
        let taken = self.taken.lock().unwrap();
        taken.records.iter().filter(|(key, _)| seen.insert(key.clone())).cloned().collect()
    }

    /// Whether every fault of the script came to pass.
    pub fn is_done(&self) -> bool {
        self.taken.lock().unwrap().faults.is_empty()
    }

    async fn answer(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<bytes::Bytes>>, io::Error> {
        let fault = {
            let mut taken = self.taken.lock().unwrap();
            taken.requests += 1;
            taken.faults.pop_front()
        };
        let ended = || Err(io::Error::other("ended"));
        if fault == Some(Fault::Reset) {
            return ended();
        }
        let path = request.uri().to_string();
        assert_eq!(request.headers()["authorization"], "Secret of-the-receiver");
        assert_eq!(request.headers()["content-encoding"], "gzip");
        let kind = request.headers()["content-type"].to_str().unwrap().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let mut plain = Vec::new();
        GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
        let records = match self.kind {
            Kind::OtlpProtobuf => {
                assert_eq!((&*path, &*kind), ("/v1/logs", "application/x-protobuf"));
                in_protobuf(&plain)
            }
            _ => self.records(&path, std::str::from_utf8(&plain).unwrap()),
        };
        let reply = |status: u16, body: Value| {
            Ok(Response::builder()
                .status(status)
                .header("retry-after", "1")
                .body(Full::new(body.to_string().into()))
                .unwrap())
        };
        match fault {
            Some(Fault::Busy) => return reply(429, json!({"text": "busy"})),
            Some(Fault::Broken) => return reply(500, json!({"text": "broken"})),
            Some(Fault::Large) => return reply(413, json!({})),
            Some(Fault::Slow) => tokio::time::sleep(Duration::from_millis(700)).await,
            _ => {}
        }
        let before: Vec<String> =
            self.taken.lock().unwrap().records.iter().map(|(key, _)| key.clone()).collect();
        let items: Vec<Value> = records
            .iter()
            .map(|(key, _)| json!({"create": {"status": if before.contains(key) { 409 } else { 201 }}}))
            .collect();
        {
            let mut taken = self.taken.lock().unwrap();
            taken.bodies.push(plain);
            // What Elasticsearch has already it does not take again.
            let elastic = self.kind == Kind::Elastic;
            let new = records.into_iter().filter(|(key, _)| !elastic || !before.contains(key));
            taken.records.extend(new);
        }
        if fault == Some(Fault::Lost) {
            return ended();
        }
        match self.kind {
            Kind::Azure => reply(204, Value::Null),
            Kind::Elastic => reply(200, json!({"errors": false, "items": items})),
            Kind::Otlp => reply(200, json!({"partialSuccess": {}})),
            // An empty message says that all was taken.
            Kind::OtlpProtobuf => Ok(Response::new(Full::default())),
            Kind::Splunk => reply(200, json!({"text": "Success", "code": 0})),
        }
    }

    /// Keys and records of a body, as the receiver's interface has them.
    fn records(&self, path: &str, text: &str) -> Vec<(String, Value)> {
        let lines = || text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let key = |log: &Value, seq: &Value| format!("{}#{seq}", log.as_str().unwrap());
        match self.kind {
            Kind::Azure => {
                assert_eq!(
                    path,
                    "/dataCollectionRules/dcr-0a1b/streams/Custom-Bartizan_CL?api-version=2023-01-01"
                );
                let rows: Vec<Value> = serde_json::from_str(text).unwrap();
                assert!(rows.iter().all(|row| row["TimeGenerated"] == row["time"]));
                rows.into_iter().map(|row| (key(&row["log"], &row["seq"]), row)).collect()
            }
            Kind::Elastic => {
                assert_eq!(path, "/_bulk");
                let all: Vec<Value> = lines().collect();
                let (pairs, rest) = all.as_chunks::<2>();
                assert!(rest.is_empty());
                let pair = |[action, record]: &[Value; 2]| {
                    assert_eq!(action["create"]["_index"], "audit");
                    (action["create"]["_id"].as_str().unwrap().to_owned(), record.clone())
                };
                pairs.iter().map(pair).collect()
            }
            Kind::Otlp => {
                assert_eq!(path, "/v1/logs");
                let body: Value = serde_json::from_str(text).unwrap();
                let logs = &body["resourceLogs"][0]["scopeLogs"][0]["logRecords"];
                let log = |log: &Value| {
                    let record = serde_json::from_str(log["body"]["stringValue"].as_str().unwrap());
                    let uid = &log["attributes"][0];
                    assert_eq!(uid["key"], "log.record.uid");
                    (uid["value"]["stringValue"].as_str().unwrap().to_owned(), record.unwrap())
                };
                logs.as_array().unwrap().iter().map(log).collect()
            }
            Kind::OtlpProtobuf => unreachable!("it is no text"),
            Kind::Splunk => {
                assert_eq!(path, "/services/collector/event");
                let event = |event: Value| {
                    assert_eq!(event["sourcetype"], "bartizan:audit:native");
                    (event["fields"]["key"].as_str().unwrap().to_owned(), event["event"].clone())
                };
                lines().map(event).collect()
            }
        }
    }
}

/// The records in a message of protobuf, found by what they begin with, and the key behind each. That the
/// message is one is looked at by OpenTelemetry's own reader.
fn in_protobuf(bytes: &[u8]) -> Vec<(String, Value)> {
    let find = |from: usize, what: &[u8]| {
        let found = bytes[from..].windows(what.len()).position(|part| part == what)?;
        Some(from + found)
    };
    let (mut records, mut from) = (Vec::new(), 0);
    while let Some(at) = find(from, b"{\"seq\":") {
        let mut values = serde_json::Deserializer::from_slice(&bytes[at..]).into_iter::<Value>();
        let record = values.next().unwrap().unwrap();
        from = at + values.byte_offset();
        let key = find(from, b"bartizan.dev/audit/").unwrap();
        let plain = |byte: &&u8| byte.is_ascii_alphanumeric() || b"./#".contains(byte);
        let key: Vec<u8> = bytes[key..].iter().take_while(plain).copied().collect();
        let seq = record["seq"].to_string();
        let key = String::from_utf8(key).unwrap();
        // What follows it may look like a part of it.
        let end = key.find('#').unwrap() + 1 + seq.len();
        assert!(key[..end].ends_with(&seq), "{key}");
        records.push((key[..end].to_owned(), record));
    }
    records
}
