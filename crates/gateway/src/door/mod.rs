//! The doors: how clients come in, in each era, over HTTP and over standard input and output.

mod era;
mod exchange;
mod guard;
mod handshake;
mod http;
mod listener;
mod peer;
mod replay;
mod session;
mod sse_pair;
mod standalone;
mod stateless;
mod streamable;
mod tls;
#[cfg(unix)]
mod unix;

pub use listener::Running;
pub use session::Sessions;
pub(crate) use sse_pair::Pairs;
#[cfg(unix)]
pub use unix::connect;
