use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use e2e::{Era, Gateway, binary, eventually, free_url, python, run, source};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::receiver::{
    Fault::{Broken, Busy, Large, Lost, Reset, Slow},
    Kind, Receiver,
};

/// The journal as it is: numbers and lines.
fn journal(gateway: &Gateway) -> Vec<(u64, String)> {
    let folder = gateway.folder().join("state/audit");
    let mut files: Vec<PathBuf> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let text: String = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    (1..).zip(text.lines().map(str::to_owned)).collect()
}

fn origin(gateway: &Gateway) -> String {
    let key = fs::read_to_string(gateway.folder().join("state/audit/audit.pub")).unwrap();
    key.split('+').next().unwrap().to_owned()
}

async fn calls(gateway: &Gateway, count: usize) {
    let client = gateway.client(Era::Stateless).await;
    for number in 0..count {
        let text = format!("{number} \"quoted\" | = \\ ü");
        assert_eq!(client.call_text("new__echo", json!({"text": text})).await, text);
    }
}

fn configuration(receivers: &[Receiver], more: &str) -> String {
    let command = binary("everything");
    let mut text = format!(
        "[trust]\non-first-use = \"approve\"\n[identity]\nloopback = \"open\"\n[servers.new]\ncommand = {command:?}\nargs = [\"stdio\"]\n{more}"
    );
    for (at, Receiver { url, kind, .. }) in receivers.iter().enumerate() {
        let (to, keys) = match kind {
            Kind::Azure => ("azure", "rule = \"dcr-0a1b\""),
            Kind::Elastic => ("elastic", "index = \"audit\""),
            Kind::Otlp => ("otlp", ""),
            Kind::OtlpProtobuf => ("otlp", "encoding = \"protobuf\""),
            Kind::Splunk => ("splunk", ""),
        };
        text.push_str(&format!(
            "[export.{to}-{at}]\nto = \"{to}\"\nurl = \"{url}\"\nallow-private = true\n{keys}\n\
             credential = {{ value = \"Secret of-the-receiver\" }}\n"
        ));
    }
    text
}

async fn kill(gateway: &Gateway) {
    run(Command::new("kill").args(["-9", &gateway.pid().to_string()])).await;
}

#[tokio::test]
async fn every_record_arrives_in_order_whatever_the_receiver_does_and_over_an_end_by_force() {
    let faults = [
        [Busy, Slow, Lost, Large, Reset, Broken],
        [Reset, Large, Lost, Broken, Slow, Busy],
        [Lost, Broken, Large, Busy, Lost, Slow],
        [Broken, Lost, Slow, Reset, Large, Lost],
        [Large, Busy, Broken, Reset, Slow, Lost],
    ];
    let kinds = [Kind::Azure, Kind::Elastic, Kind::Otlp, Kind::Splunk, Kind::OtlpProtobuf];
    let mut receivers = Vec::new();
    for (kind, faults) in kinds.into_iter().zip(faults) {
        receivers.push(Receiver::start(kind, &faults).await);
    }
    let files = "[export.file]\nto = \"file\"\npath = \"out/native.jsonl\"\n\
                 [export.ocsf]\nto = \"file\"\npath = \"out/ocsf.jsonl\"\nformat = \"ocsf\"\n\
                 [export.cef]\nto = \"file\"\npath = \"out/all.cef\"\nformat = \"cef\"\n";
    let mut gateway = Gateway::start_with(&configuration(&receivers, files), &[]).await;
    // The files' folder is not there yet: that is a failure like any other.
    fs::create_dir(gateway.folder().join("out")).unwrap();
    for count in [40, 60] {
        calls(&gateway, count).await;
        kill(&gateway).await;
        gateway = gateway.restart().await;
    }
    calls(&gateway, 50).await;
    eventually("all has gone wrong that should", async || receivers.iter().all(Receiver::is_done))
        .await;
    let all = |receiver: &Receiver| receiver.once().len() >= journal(&gateway).len();
    eventually("everything has arrived", async || receivers.iter().all(all)).await;
    gateway.stop().await;

    let journal = journal(&gateway);
    assert!(journal.len() > 300, "{}", journal.len());
    let origin = origin(&gateway);
    for receiver in &receivers {
        let once = receiver.once();
        let keys: Vec<String> = once.iter().map(|(key, _)| key.clone()).collect();
        let expected: Vec<String> =
            journal.iter().map(|(seq, _)| format!("{origin}#{seq}")).collect();
        assert_eq!(keys, expected, "{:?}", receiver.kind);
        for ((_, record), (_, line)) in once.iter().zip(&journal) {
            let written: Value = serde_json::from_str(line).unwrap();
            for (member, value) in written.as_object().unwrap() {
                assert_eq!(&record[member], value, "{:?}: {record}", receiver.kind);
            }
        }
    }
    let lines = |name: &str| {
        let text = fs::read_to_string(gateway.folder().join("out").join(name)).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    // In files each is exactly once.
    assert!(lines("native.jsonl").iter().eq(journal.iter().map(|(_, line)| line)));
    let ocsf = lines("ocsf.jsonl");
    let numbers: Vec<u64> = ocsf
        .iter()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["metadata"]["sequence"].as_u64().unwrap()
        })
        .collect();
    assert!(numbers.iter().copied().eq(1..=journal.len() as u64), "{numbers:?}");
    for (line, (seq, _)) in lines("all.cef").iter().zip(&journal) {
        assert!(line.contains(&format!(" externalId={origin}#{seq} ")), "{line}");
    }
    assert_eq!(lines("all.cef").len(), journal.len());
    decode(&receivers[2]).await;
    decode(&receivers[4]).await;
}

/// Python's OpenTelemetry reads what was sent to the one receiver.
async fn decode(otlp: &Receiver) {
    let folder = tempfile::tempdir().unwrap();
    let bodies = std::mem::take(&mut otlp.taken.lock().unwrap().bodies);
    let count = otlp.taken.lock().unwrap().records.len();
    for (at, body) in bodies.iter().enumerate() {
        let form = if otlp.kind == Kind::Otlp { "json" } else { "pb" };
        fs::write(folder.path().join(format!("{at:06}.{form}")), body).unwrap();
    }
    let script = source("tests/export/otlp.py");
    let read = run(Command::new(python("python3")).arg(script).arg(folder.path())).await;
    assert_eq!(read.trim(), count.to_string());
}

/// rsyslog behind TLS, with a certificate of an authority of its own.
struct Rsyslog {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

impl Rsyslog {
    fn new() -> Rsyslog {
        let folder = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = rcgen::CertifiedIssuer::self_signed(params, key).unwrap();
        let own = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&own, &authority).unwrap();
        fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        fs::write(folder.path().join("cert.pem"), certificate.pem()).unwrap();
        fs::write(folder.path().join("key.pem"), own.serialize_pem()).unwrap();
        let port = free_url().rsplit(':').next().unwrap().parse().unwrap();
        Rsyslog { folder, port, child: None }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    async fn start(&mut self) {
        let configuration = format!(
            r#"
global(maxMessageSize="256k" workDirectory="{folder}" defaultNetstreamDriver="gtls"
    defaultNetstreamDriverCAFile="{ca}" defaultNetstreamDriverCertFile="{cert}" defaultNetstreamDriverKeyFile="{key}")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
template(name="whole" type="list") {{
    property(name="pri") constant(value=" ") property(name="app-name") constant(value=" ")
    property(name="msgid") constant(value=" ") property(name="structured-data") constant(value=" ")
    property(name="msg") constant(value="\n")
}}
ruleset(name="all") {{ action(type="omfile" file="{out}" template="whole") }}
input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="all")
"#,
            folder = self.folder.path().display(),
            ca = self.path("ca.pem"),
            cert = self.path("cert.pem"),
            key = self.path("key.pem"),
            out = self.path("out"),
            port = self.port,
        );
        fs::write(self.path("rsyslog.conf"), configuration).unwrap();
        let program = ["/usr/sbin/rsyslogd", "/sbin/rsyslogd"]
            .into_iter()
            .find(|path| Path::new(path).exists());
        let child = Command::new(program.expect("rsyslogd: ./test installs it"))
            .args(["-n", "-f", &self.path("rsyslog.conf"), "-i", &self.path("pid")])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.child = Some(child);
        eventually("rsyslog listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok()
        })
        .await;
    }

    /// Ends it by force.
    async fn kill(&mut self) {
        self.child.as_mut().unwrap().kill().await.unwrap();
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("out")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn rsyslog_gets_every_record_over_tls_also_when_it_comes_late_and_ends_by_force() {
    let mut rsyslog = Rsyslog::new();
    let export = format!(
        "[export.log]\nto = \"syslog\"\nurl = \"tls://localhost:{}\"\nca = {:?}\nallow-private = true\n",
        rsyslog.port,
        rsyslog.path("ca.pem"),
    );
    let mut gateway = Gateway::start_with(&configuration(&[], &export), &[]).await;
    calls(&gateway, 20).await;
    rsyslog.start().await;
    eventually("the first arrive", async || !rsyslog.lines().is_empty()).await;
    calls(&gateway, 20).await;
    rsyslog.kill().await;
    calls(&gateway, 20).await;
    kill(&gateway).await;
    rsyslog.start().await;
    gateway = gateway.restart().await;
    calls(&gateway, 20).await;
    let origin = origin(&gateway);
    let key = |seq: u64| format!("[bartizan@32473 key=\"{origin}#{seq}\"]");
    eventually("all has arrived", async || {
        let (count, lines) = (journal(&gateway).len() as u64, rsyslog.lines());
        lines.iter().any(|line| line.contains(&key(count)))
    })
    .await;
    gateway.stop().await;

    let journal = journal(&gateway);
    let mut lines = rsyslog.lines();
    // What came twice has the same key.
    let mut seen = std::collections::BTreeSet::new();
    lines.retain(|line| seen.insert(line.clone()));
    for (seq, written) in &journal {
        let line = lines.iter().find(|line| line.contains(&key(*seq)));
        let line = line.unwrap_or_else(|| panic!("record {seq} is missing"));
        assert!(line.trim_end().ends_with(written.as_str()), "{line}\n{written}");
        assert!(line.contains(" bartizan "), "{line}");
    }
    let numbers: Vec<u64> =
        lines.iter().map(|line| line.split(['#', '"']).nth(2).unwrap().parse().unwrap()).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
}
