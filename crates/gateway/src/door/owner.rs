//! Whose a connection from this machine is: any user's programs reach the loopback.

use std::net::SocketAddr;

/// Whether the other end of a connection from the loopback belongs to the user that this gateway runs as.
#[cfg(target_os = "linux")]
pub fn is_own(peer: SocketAddr) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(own) = std::fs::metadata("/proc/self").map(|process| process.uid()) else {
        return false;
    };
    let address = end(peer);
    let mut known = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| owners(&table, &address))
        .peekable();
    // One that nobody owns is closed already.
    known.peek().is_some() && known.all(|uid| uid == own)
}

/// Elsewhere nobody says: the loosening is what it says it is.
#[cfg(not(target_os = "linux"))]
pub fn is_own(_peer: SocketAddr) -> bool {
    true
}

/// The users that own sockets with this local address in a table of the kernel's (proc_net_tcp).
#[cfg(target_os = "linux")]
fn owners(table: &str, address: &str) -> Vec<u32> {
    let row = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let local = fields.next()?;
        let uid = fields.nth(5)?.parse().ok()?;
        (local == address).then_some(uid)
    };
    table.lines().skip(1).filter_map(row).collect()
}

/// An address as the kernel writes it: words of 32 bits in the machine's own order.
#[cfg(target_os = "linux")]
fn end(peer: SocketAddr) -> String {
    let words = |bytes: &[u8]| -> String {
        let word = |four: &[u8]| {
            let four: [u8; 4] = four.try_into().unwrap_or_default();
            format!("{:08X}", u32::from_ne_bytes(four))
        };
        bytes.chunks(4).map(word).collect()
    };
    let ip = match peer.ip().to_canonical() {
        std::net::IpAddr::V4(ip) => words(&ip.octets()),
        std::net::IpAddr::V6(ip) => words(&ip.octets()),
    };
    format!("{ip}:{:04X}", peer.port())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_connection_of_our_own_is_ours_and_one_that_is_not_there_is_nobodys() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_accepted, peer) = listener.accept().unwrap();
        assert!(is_own(peer));
        drop(stream);
        assert!(!is_own("127.0.0.9:9".parse().unwrap()));
    }

    #[test]
    fn a_row_of_the_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:20E4 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 1 1 0 20 4 30 10 -1\n";
        assert_eq!(owners(table, "0100007F:20E4"), [1000]);
        assert!(owners(table, "0100007F:20E5").is_empty());
    }
}
