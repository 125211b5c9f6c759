//! The only name service that a server has: it knows the allowed names, and asks nobody. So nothing can
//! be carried out of the sandbox in the names that it looks up.

use std::sync::Arc;
use std::time::Duration;

use simple_dns::rdata::{A, AAAA, RData};
use simple_dns::{CLASS, OPCODE, PacketFlag, QCLASS, QTYPE, RCODE, ResourceRecord, TYPE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::Shared;
use super::event::{Reason, Subject};
use super::names::Names;
use super::rule::{Host, Rules};

/// A question is shorter than this, with room for extensions.
const QUERY_LIMIT: usize = 1024;
/// Seconds for which an answer may be kept. It does not change while the process lives.
const TTL: u32 = 300;
const TCP_IDLE: Duration = Duration::from_secs(10);

/// What to say to one question.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub reply: Vec<u8>,
    /// The name that was asked for and does not exist here.
    pub refused: Option<String>,
}

/// `None` for what is no question.
pub(super) fn answer(query: &[u8], rules: &Rules, names: &Names) -> Option<Answer> {
    let query = simple_dns::Packet::parse(query).ok()?;
    if query.has_flags(PacketFlag::RESPONSE) {
        return None;
    }
    let mut reply = simple_dns::Packet::new_reply(query.id());
    if query.has_flags(PacketFlag::RECURSION_DESIRED) {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
    let [question] = query.questions.as_slice() else {
        *reply.rcode_mut() = RCODE::FormatError;
        return finish(&reply, None);
    };
    reply.questions.push(question.clone());
    if query.opcode() != OPCODE::StandardQuery || question.qclass != QCLASS::CLASS(CLASS::IN) {
        *reply.rcode_mut() = RCODE::NotImplemented;
        return finish(&reply, None);
    }
    let asked = question.qname.to_string();
    let host = Host::parse(&asked).filter(|host| rules.knows(host));
    let Some(Host::Name(name)) = host else {
        *reply.rcode_mut() = RCODE::NameError;
        return finish(&reply, Some(asked));
    };
    let Some(address) = names.address(&name) else {
        *reply.rcode_mut() = RCODE::ServerFailure;
        return finish(&reply, Some(asked));
    };
    let record = match question.qtype {
        QTYPE::TYPE(TYPE::A) => Some(RData::A(A { address: address.v4().into() })),
        QTYPE::TYPE(TYPE::AAAA) => Some(RData::AAAA(AAAA { address: address.v6().into() })),
        // The name exists, and has nothing of that kind.
        _ => None,
    };
    reply.answers.extend(
        record.map(|data| ResourceRecord::new(question.qname.clone(), CLASS::IN, TTL, data)),
    );
    finish(&reply, None)
}

fn finish(reply: &simple_dns::Packet<'_>, refused: Option<String>) -> Option<Answer> {
    Some(Answer { reply: reply.build_bytes_vec_compressed().ok()?, refused })
}

impl Shared {
    async fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let Answer { reply, refused } = answer(query, &self.rules, &self.names)?;
        if let Some(name) = refused {
            self.tally.refused(Reason::Name, &Subject::lookup(&name)).await;
        }
        Some(reply)
    }
}

/// Answers until the gate ends.
pub(super) async fn serve_udp(gate: Arc<Shared>, socket: UdpSocket) {
    let mut buffer = [0; QUERY_LIMIT];
    loop {
        // An error here is about an earlier reply that did not arrive.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        if let Some(reply) = gate.answer(&buffer[..length]).await {
            let _ = socket.send_to(&reply, from).await;
        }
    }
}

/// Answers questions on one connection, each with its length before it.
pub(super) async fn serve_tcp(gate: Arc<Shared>, mut stream: TcpStream) {
    let mut buffer = [0; QUERY_LIMIT];
    loop {
        let read = async {
            let length = usize::from(stream.read_u16().await.ok()?);
            let query = buffer.get_mut(..length)?;
            stream.read_exact(query).await.ok()?;
            Some(length)
        };
        let Ok(Some(length)) = timeout(TCP_IDLE, read).await else { return };
        let Some(reply) = gate.answer(&buffer[..length]).await else { return };
        let Ok(length) = u16::try_from(reply.len()) else { return };
        let sent = async {
            stream.write_u16(length).await?;
            stream.write_all(&reply).await
        };
        if !matches!(timeout(TCP_IDLE, sent).await, Ok(Ok(()))) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::{HostPattern, Rule, Tls};
    use super::*;
    use simple_dns::{Name, Packet, Question};

    fn rules() -> Rules {
        let rule = |host| Rule {
            host: HostPattern::parse(host).unwrap(),
            ports: vec![443],
            methods: vec![],
            paths: vec![],
            tls: Tls::Terminate,
            allow_private: false,
        };
        Rules {
            list: vec![rule("api.example"), rule("*.cdn.example"), rule("10.0.0.1")],
            learn: false,
        }
    }

    fn query(name: &str, kind: TYPE, class: CLASS) -> Vec<u8> {
        let mut packet = Packet::new_query(7);
        packet.questions.push(Question::new(
            Name::new_unchecked(name),
            QTYPE::TYPE(kind),
            QCLASS::CLASS(class),
            false,
        ));
        packet.build_bytes_vec().unwrap()
    }

    fn ask(names: &Names, name: &str, kind: TYPE) -> (RCODE, Vec<String>, Option<String>) {
        let Answer { reply, refused } =
            answer(&query(name, kind, CLASS::IN), &rules(), names).unwrap();
        let packet = Packet::parse(&reply).unwrap();
        assert_eq!(packet.id(), 7);
        let show = |record: &ResourceRecord<'_>| match &record.rdata {
            RData::A(A { address }) => std::net::Ipv4Addr::from(*address).to_string(),
            RData::AAAA(AAAA { address }) => std::net::Ipv6Addr::from(*address).to_string(),
            other => format!("{other:?}"),
        };
        (packet.rcode(), packet.answers.iter().map(show).collect(), refused)
    }

    #[test]
    fn allowed_names_have_addresses_and_nothing_else_exists() {
        let names = Names::default();
        let none = Vec::<String>::new();
        let yes = |address: &str| (RCODE::NoError, vec![address.to_owned()], None);
        let no = |name: &str| (RCODE::NameError, none.clone(), Some(name.to_owned()));
        assert_eq!(ask(&names, "API.example", TYPE::A), yes("198.18.0.1"));
        assert_eq!(ask(&names, "api.example", TYPE::AAAA), yes("fd62:7a6e:6761:7465::1"));
        assert_eq!(ask(&names, "a.b.cdn.example", TYPE::A), yes("198.18.0.2"));
        // What a tunnel would use.
        assert_eq!(ask(&names, "api.example", TYPE::TXT), (RCODE::NoError, none.clone(), None));
        assert_eq!(ask(&names, "c2VjcmV0.evil.example", TYPE::A), no("c2VjcmV0.evil.example"));
        assert_eq!(ask(&names, "c2VjcmV0.evil.example", TYPE::TXT), no("c2VjcmV0.evil.example"));
        assert_eq!(ask(&names, "x.api.example", TYPE::A), no("x.api.example"));
        assert_eq!(ask(&names, "cdn.example", TYPE::A), no("cdn.example"));
        assert_eq!(ask(&names, "1.0.0.10.in-addr.arpa", TYPE::PTR), no("1.0.0.10.in-addr.arpa"));
    }

    #[test]
    fn what_is_no_question_is_not_answered_or_refused() {
        let names = Names::default();
        let rcode = |query: &[u8]| {
            answer(query, &rules(), &names)
                .map(|answer| Packet::parse(&answer.reply).unwrap().rcode())
        };
        assert_eq!(rcode(b""), None);
        assert_eq!(rcode(&[0xff; 12]), None);
        assert_eq!(rcode(&Packet::new_reply(7).build_bytes_vec().unwrap()), None);
        assert_eq!(
            rcode(&Packet::new_query(7).build_bytes_vec().unwrap()),
            Some(RCODE::FormatError)
        );
        let chaos = query("api.example", TYPE::TXT, CLASS::CH);
        assert_eq!(rcode(&chaos), Some(RCODE::NotImplemented));
    }

    proptest::proptest! {
        /// Whatever a server sends: an answer can be read, is to its question, and an address is given for what
        /// is allowed alone.
        #[test]
        fn any_bytes(
            mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80),
            usual in 0..4usize,
            place in 0..40usize,
        ) {
            if let Some(name) = ["api.example", "x.cdn.example", "secret.evil.example"].get(usual) {
                let mut query = query(name, TYPE::A, CLASS::IN);
                for (old, new) in query.iter_mut().skip(place).zip(bytes.iter().take(3)) {
                    *old = *new;
                }
                bytes = query;
            }
            let (rules, names) = (rules(), Names::default());
            if let Some(Answer { reply, refused }) = answer(&bytes, &rules, &names) {
                let packet = Packet::parse(&reply).unwrap();
                proptest::prop_assert_eq!(&reply[..2], &bytes[..2]);
                proptest::prop_assert!(packet.answers.len() <= 1 && reply.len() < 2 * QUERY_LIMIT);
                for record in &packet.answers {
                    let host = Host::parse(&record.name.to_string()).unwrap();
                    proptest::prop_assert!(refused.is_none() && rules.knows(&host));
                }
            }
        }
    }
}
