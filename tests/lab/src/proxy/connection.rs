//! One connection through the proxy.
//!
//! ```text
//!   read ──(due, bytes)──▶ queue ──▶ wait until due ──▶ wait while stalled ──▶ count ──▶ write, at the lane's speed
//! ```
//!
//! The queue is what lets a delay leave the bandwidth alone: bytes that are on their way do not hold up those behind them.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Direction, Shared};

/// Most bytes in one read.
const CHUNK_LEN_MAX: usize = 16 * 1024;
/// Reads on their way in one direction: 4 MiB, what a connection of 100 ms at 40 MB/s holds. When full, the proxy reads no
/// more and the sender's window closes.
const CHUNKS_MAX: usize = 256;
/// A slowed lane writes this many times per second, so that its bytes trickle and do not come in lumps.
const WRITES_PER_SECOND: u32 = 50;

/// Carries a client's connection to the target until both sides have ended it, one has broken it, or `cut` is cancelled.
pub(super) async fn carry(shared: Arc<Shared>, mut client: TcpStream, cut: CancellationToken) {
    let connected = cut
        .run_until_cancelled(TcpStream::connect(shared.target()))
        .await;
    let Some(Ok(mut server)) = connected else {
        reset(&client);
        return;
    };
    // The proxy must not add Nagle's delays of its own.
    for stream in [&client, &server] {
        if stream.set_nodelay(true).is_err() {
            reset(&client);
            reset(&server);
            return;
        }
    }
    let both = async {
        let (client_in, client_out) = client.split();
        let (server_in, server_out) = server.split();
        tokio::try_join!(
            pump(&shared, Direction::ToServer, client_in, server_out),
            pump(&shared, Direction::ToClient, server_in, client_out),
        )
    };
    if !matches!(cut.run_until_cancelled(both).await, Some(Ok(_))) {
        reset(&client);
        reset(&server);
    }
}

/// Makes the close that follows send RST and discard what is not yet delivered.
fn reset(stream: &TcpStream) {
    // Fails only on a socket that is already dead, which needs no reset.
    stream.set_zero_linger().ok();
}

async fn pump(
    shared: &Shared,
    direction: Direction,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    tokio::try_join!(
        take_in(shared, input, sender),
        give_out(shared, direction, receiver, output)
    )?;
    Ok(())
}

async fn take_in(
    shared: &Shared,
    mut input: impl AsyncRead + Unpin,
    sender: mpsc::Sender<(Instant, Bytes)>,
) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    // Room in the queue first: bytes that cannot go on stay with the sender.
    while let Ok(place) = sender.reserve().await {
        buffer.reserve(CHUNK_LEN_MAX);
        if input.read_buf(&mut buffer).await? == 0 {
            break;
        }
        let due = Instant::now() + shared.faults.borrow().delay;
        place.send((due, buffer.split().freeze()));
    }
    Ok(())
}

async fn give_out(
    shared: &Shared,
    direction: Direction,
    mut receiver: mpsc::Receiver<(Instant, Bytes)>,
    mut output: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut faults = shared.faults.subscribe();
    while let Some((due, mut chunk)) = receiver.recv().await {
        // A timer rounds up to a millisecond, also when it is late already.
        if due > Instant::now() {
            sleep_until(due).await;
        }
        while !chunk.is_empty() {
            let speed = faults
                .wait_for(|faults| !faults.lane(direction).stalled)
                .await
                .map_err(|_| io::Error::from(ErrorKind::ConnectionReset))?
                .lane(direction)
                .bytes_per_second;
            let wanted = speed.map_or(chunk.len(), |speed| {
                chunk.len().min(1 + (speed / WRITES_PER_SECOND) as usize)
            });
            let (allowed, is_last) = shared.meter(direction).count(wanted);
            output.write_all(&chunk.split_to(allowed)).await?;
            if is_last {
                shared.cut();
                return Err(ErrorKind::ConnectionReset.into());
            }
            if let Some(speed) = speed {
                let seconds = allowed as f64 / f64::from(speed.max(1));
                sleep(Duration::from_secs_f64(seconds)).await;
            }
        }
    }
    output.shutdown().await
}
