//! What carries MQTT's bytes: [`Listener`]s accept, [`Layers`] open (TLS, WebSocket, the PROXY protocol), a [`Transport`] reads and
//! writes, a [`Pipe`] does both without a socket.
//!
//! It knows neither packets nor sessions nor modules: whoever accepts says what is to be done with a [`Transport`]. Kinds
//! of sockets are known here only, so another kind is one more variant, and nobody above sees it.
//!
//! ```
//! use mqtt_net::{Accepted, Address, Layers, Listener, Pool, Queues, Transport};
//! use tokio::io::AsyncWriteExt as _;
//! use tokio::sync::{mpsc, watch};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let queues = Queues { backlog: 16, receive_buffer: Some(256 << 10) };
//! let listener = Listener::bind("mqtt", &Address::Ip(([127, 0, 0, 1], 0).into()))?.listen(queues, Layers::default(), Pool::default())?;
//! let address = listener.address().ip().unwrap();
//! let (arrived, mut arrivals) = mpsc::unbounded_channel::<Transport>();
//! let (_stop, stopping) = watch::channel(false);
//! tokio::spawn(async move {
//!     let take = |accepted, _peer| match accepted {
//!         Accepted::Open(transport) => drop(arrived.send(transport)),
//!         // TLS and the like: to be opened by a task of its own.
//!         Accepted::Closed(_opening) => {}
//!     };
//!     listener.accept(take, || eprintln!("no files left"), stopping).await;
//! });
//! let mut client = tokio::net::TcpStream::connect(address).await?;
//! client.write_all(b"hello").await?;
//! let transport = arrivals.recv().await.unwrap();
//! let mut input = bytes::BytesMut::new();
//! transport.read(&mut input, 64).await?;
//! assert_eq!(&input[..], b"hello");
//! # Ok(())
//! # }
//! ```

mod address;
mod carrier;
#[doc(hidden)]
pub mod fuzz;
mod listener;
mod opener;
mod opening;
mod pipe;
mod proxy;
mod socket;
mod stream;
mod tcp;
mod tls;
mod transport;
mod unix;
mod web;

pub use address::Address;
pub use carrier::Carrier;
pub use listener::{Bound, Kind, Listener, Queues};
pub use opener::{ListenError, ListenerConfig, Opener, Prepared, Taken};
pub use opening::{Accepted, Identity, Layers, Naming, OpenError, Opened, Opening, Pool};
pub use pipe::Pipe;
pub use proxy::Proxies;
pub use socket::{FirstError, error_name};
pub use stream::{Greeting, TlsStream};
pub use tls::{
    Certificates, CertificatesSeen, Files, Named, PortCertificates, Refreshed, TicketKeys, Tls, TlsError, Verify,
    subject_of,
};
pub use transport::Transport;
pub use web::{Origins, Upgrade, Web};
