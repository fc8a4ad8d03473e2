//! A counter outside of Kubernetes of who is inside.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long everybody is kept inside.
const STAY: Duration = Duration::from_millis(10);

/// What it has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Who is inside.
    pub inside: usize,
    /// How many were inside at most.
    pub most: usize,
    /// How many have been in and have gone out.
    pub done: usize,
}

/// A counter that listens on loopback. A party connects, sends `i` and goes in, sends `o` and goes
/// out; each is counted before it is answered with the same byte. The first ones continue when it has
/// been full once, so that it is known to have been.
#[derive(Debug)]
pub struct Turnstile {
    address: SocketAddr,
    counted: watch::Sender<Counted>,
    serving: JoinHandle<()>,
}

impl Turnstile {
    /// Starts one that is full with so many.
    pub async fn start(full: usize) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let counted = watch::Sender::new(Counted::default());
        let counting = counted.clone();
        let serving = tokio::spawn(async move {
            while let Ok((party, _)) = listener.accept().await {
                tokio::spawn(attend(party, counting.clone(), full));
            }
        });
        Self {
            address,
            counted,
            serving,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has counted so far.
    pub fn counted(&self) -> Counted {
        *self.counted.borrow()
    }
}

impl Drop for Turnstile {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Whoever breaks off inside stays inside.
async fn attend(mut party: TcpStream, counting: watch::Sender<Counted>, full: usize) {
    while let Ok(byte) = party.read_u8().await {
        if byte == b'i' {
            counting.send_modify(|counted| {
                counted.inside += 1;
                counted.most = counted.most.max(counted.inside);
            });
            let was_full = |counted: &Counted| counted.most >= full;
            let _ = counting.subscribe().wait_for(was_full).await;
            tokio::time::sleep(STAY).await;
        } else {
            counting.send_modify(|counted| {
                counted.inside -= 1;
                counted.done += 1;
            });
        }
        if party.write_u8(byte).await.is_err() {
            return;
        }
    }
}

/// Goes in and out, as a party.
///
/// # Errors
/// If the counter does not answer.
pub async fn pass(address: SocketAddr) -> std::io::Result<()> {
    let mut counter = TcpStream::connect(address).await?;
    for byte in *b"io" {
        counter.write_u8(byte).await?;
        counter.read_u8().await?;
    }
    Ok(())
}
