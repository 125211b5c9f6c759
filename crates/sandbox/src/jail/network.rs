//! The jail's own network: nothing at all, or a loopback interface to which every address leads.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6,
    SockaddrLike, bind, listen, recv, send, setsockopt, socket, sockopt,
};

use crate::fault::InLayer as _;
use crate::spec::Answer;
use crate::{Layer, LayerFault, Network, PROXY_PORT, Request};

const PORTS: usize = 64;
const DNS_PORT: u16 = 53;

/// Sockets that were made inside and are handed out.
#[derive(Default)]
pub(super) struct Sockets {
    tcp: Vec<OwnedFd>,
    proxy: Option<OwnedFd>,
    dns: Option<(OwnedFd, OwnedFd)>,
}

impl Sockets {
    /// What the gateway is told, and the descriptors in that order. `watched`: by which the calls are watched.
    pub fn answer(&self, watched: Option<&OwnedFd>) -> (Answer, Vec<RawFd>) {
        let answer = Answer::Ready {
            tcp: self.tcp.len(),
            proxy: self.proxy.is_some(),
            dns: self.dns.is_some(),
            watched: watched.is_some(),
        };
        let dns = self.dns.iter().flat_map(|(udp, tcp)| [udp, tcp]);
        let all = self.tcp.iter().chain(&self.proxy).chain(dns).chain(watched);
        (answer, all.map(|fd| fd.as_raw_fd()).collect())
    }
}

/// Sets up the network namespace that this process is in.
pub(super) fn prepare(network: &Network) -> Result<Sockets, LayerFault> {
    let Network::Gate(request) = network else { return Ok(Sockets::default()) };
    if request.tcp.len() > PORTS {
        return Err("too many ports").layer(Layer::Network, "its sockets");
    }
    let index = loopback_up().layer(Layer::Network, "the loopback interface")?;
    local_route(libc::AF_INET, index).layer(Layer::Network, "a route for every address")?;
    let v6 = local_route(libc::AF_INET6, index).is_ok();
    sockets(request, v6).layer(Layer::Network, "its sockets")
}

fn sockets(request: &Request, v6: bool) -> io::Result<Sockets> {
    let mut made = Sockets::default();
    for port in &request.tcp {
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, *port);
        made.tcp.push(listener(AddressFamily::Inet, &SockaddrIn::from(any))?);
        if v6 {
            let any = SocketAddrV6::new(std::net::Ipv6Addr::UNSPECIFIED, *port, 0, 0);
            made.tcp.push(listener(AddressFamily::Inet6, &SockaddrIn6::from(any))?);
        }
    }
    let home = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if request.proxy {
        made.proxy = Some(TcpListener::bind(home(PROXY_PORT))?.into());
    }
    if request.dns {
        let udp = UdpSocket::bind(home(DNS_PORT))?;
        made.dns = Some((udp.into(), TcpListener::bind(home(DNS_PORT))?.into()));
    }
    Ok(made)
}

fn listener(family: AddressFamily, address: &dyn SockaddrLike) -> nix::Result<OwnedFd> {
    let made = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&made, sockopt::ReuseAddr, &true)?;
    if family == AddressFamily::Inet6 {
        setsockopt(&made, sockopt::Ipv6V6Only, &true)?;
    }
    bind(made.as_raw_fd(), address)?;
    listen(&made, Backlog::new(128)?)?;
    Ok(made)
}

/// Switches `lo` on; its index.
#[expect(unsafe_code, reason = "plain system calls, see the comment")]
fn loopback_up() -> io::Result<u32> {
    let any = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: an `ifreq` of zeroes is valid, and the calls read and write no more than that structure.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = from.cast_signed();
        }
        request.ifr_ifru.ifru_flags =
            i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or_default();
        if libc::ioctl(any.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) != 0
            || libc::ioctl(any.as_raw_fd(), libc::SIOCGIFINDEX, &raw mut request) != 0
        {
            return Err(io::Error::last_os_error());
        }
        Ok(request.ifr_ifru.ifru_ifindex.cast_unsigned())
    }
}

/// Makes every address of a family this machine's own: `ip route add local default dev lo`.
fn local_route(family: i32, index: u32) -> io::Result<()> {
    const ROUTE: SockProtocol = SockProtocol::NetlinkRoute;
    let link = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, ROUTE)?;
    let table_local = 255;
    // struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags.
    let mut body = vec![u8::try_from(family).unwrap_or_default(), 0, 0, 0, table_local];
    body.extend([libc::RTPROT_BOOT, libc::RT_SCOPE_HOST, libc::RTN_LOCAL]);
    body.extend(0u32.to_ne_bytes());
    // struct rtattr: length, type, the value.
    body.extend(8u16.to_ne_bytes());
    body.extend(libc::RTA_OIF.to_ne_bytes());
    body.extend(index.to_ne_bytes());
    let length = u32::try_from(16 + body.len()).unwrap_or_default();
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    // struct nlmsghdr: length, type, flags, sequence, port.
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(libc::RTM_NEWROUTE.to_ne_bytes());
    message.extend(u16::try_from(flags).unwrap_or_default().to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    let none = nix::sys::socket::MsgFlags::empty();
    send(link.as_raw_fd(), &message, none)?;
    let mut answer = [0u8; 256];
    let count = recv(link.as_raw_fd(), &mut answer, none)?;
    // struct nlmsgerr behind the header: a negative errno, or zero.
    let code = answer[..count].get(16..20).and_then(|bytes| bytes.try_into().ok());
    match code.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}
