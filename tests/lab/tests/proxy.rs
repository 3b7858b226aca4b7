//! Each fault of the proxy, with an echoing listener or a real server behind it.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use adit_lab::{Direction, Postgres, Proxy, pg, wait_for};
use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Long enough for anything that is going to happen on one machine.
const SOON: Duration = Duration::from_secs(10);
/// Long enough to see that nothing happens.
const A_WHILE: Duration = Duration::from_millis(150);

/// A listener that sends back what it gets, and ends a connection when its client has.
async fn echo() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut input, mut output) = stream.split();
                // Broken connections are what the tests are about.
                drop(tokio::io::copy(&mut input, &mut output).await);
            });
        }
    });
    Ok(addr)
}

/// A proxy in front of an echo, and a connection through it.
async fn connected() -> Result<(Proxy, TcpStream)> {
    let proxy = Proxy::start(echo().await?).await?;
    let stream = TcpStream::connect(proxy.addr()).await?;
    Ok((proxy, stream))
}

async fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).await?;
    assert_eq!(back, bytes);
    Ok(())
}

/// The error that a connection ends with.
async fn broken(stream: &mut TcpStream) -> Result<ErrorKind> {
    let mut rest = Vec::new();
    let end = timeout(SOON, stream.read_to_end(&mut rest)).await?;
    Ok(end.err().context("an orderly end")?.kind())
}

#[tokio::test]
async fn without_faults_every_byte_and_the_orderly_end_pass() -> Result<()> {
    let (proxy, mut stream) = connected().await?;
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let (mut input, mut output) = stream.split();
    let mut back = Vec::new();
    let (sent, received) = tokio::join!(
        async {
            output.write_all(&bytes).await?;
            output.shutdown().await
        },
        input.read_to_end(&mut back)
    );
    sent?;
    received?;
    assert!(back == bytes);
    assert_eq!(proxy.passed(Direction::ToServer), 3_000_000);
    assert_eq!(proxy.passed(Direction::ToClient), 3_000_000);
    Ok(())
}

#[tokio::test]
async fn cut_resets_open_connections_and_lets_new_ones_through() -> Result<()> {
    let (proxy, mut stream) = connected().await?;
    exchange(&mut stream, b"before").await?;
    proxy.cut();
    assert_eq!(broken(&mut stream).await?, ErrorKind::ConnectionReset);
    let mut next = TcpStream::connect(proxy.addr()).await?;
    exchange(&mut next, b"after").await?;
    Ok(())
}

#[tokio::test]
async fn refuse_keeps_open_connections_and_turns_new_ones_away_until_lifted() -> Result<()> {
    let (mut proxy, mut stream) = connected().await?;
    exchange(&mut stream, b"before").await?;
    proxy.refuse(true).await?;
    let refused = TcpStream::connect(proxy.addr()).await;
    assert_eq!(
        refused.err().context("connected")?.kind(),
        ErrorKind::ConnectionRefused
    );
    exchange(&mut stream, b"still").await?;
    proxy.refuse(false).await?;
    let mut next = TcpStream::connect(proxy.addr()).await?;
    exchange(&mut next, b"after").await?;
    Ok(())
}

#[tokio::test]
async fn pause_holds_every_byte_and_resume_loses_none() -> Result<()> {
    let (proxy, mut stream) = connected().await?;
    exchange(&mut stream, b"before").await?;
    proxy.pause();
    assert!(
        timeout(A_WHILE, exchange(&mut stream, b"held"))
            .await
            .is_err()
    );
    assert_eq!(proxy.passed(Direction::ToServer), 6);
    proxy.resume();
    let mut back = [0; 4];
    timeout(SOON, stream.read_exact(&mut back)).await??;
    assert_eq!(&back, b"held");
    Ok(())
}

#[tokio::test]
async fn a_stalled_direction_leaves_the_other_open() -> Result<()> {
    let (proxy, mut stream) = connected().await?;
    proxy.stall(Direction::ToClient);
    stream.write_all(b"hello").await?;
    wait_for("the server to get it", SOON, async || {
        Ok(proxy.passed(Direction::ToServer) == 5)
    })
    .await?;
    let mut back = [0; 5];
    assert!(timeout(A_WHILE, stream.read(&mut back)).await.is_err());
    proxy.resume();
    timeout(SOON, stream.read_exact(&mut back)).await??;
    Ok(())
}

#[tokio::test]
async fn delay_adds_to_the_round_trip_and_leaves_the_bandwidth_alone() -> Result<()> {
    let (proxy, mut stream) = connected().await?;
    proxy.delay(Duration::from_millis(100));
    let begun = Instant::now();
    exchange(&mut stream, b"x").await?;
    assert!(begun.elapsed() >= Duration::from_millis(200));

    // 64 chunks, one after the other, would take 6 s if each waited for the one before.
    let begun = Instant::now();
    for chunk in [[7; 1000]; 64] {
        stream.write_all(&chunk).await?;
        tokio::task::yield_now().await;
    }
    let mut back = vec![0; 64_000];
    stream.read_exact(&mut back).await?;
    assert!(begun.elapsed() < Duration::from_secs(3));
    Ok(())
}

#[tokio::test]
async fn throttle_holds_the_speed_until_lifted() -> Result<()> {
    let (proxy, mut stream) = connected().await?;
    proxy.throttle(Some(50_000));
    let begun = Instant::now();
    exchange(&mut stream, &[1; 25_000]).await?;
    assert!(begun.elapsed() >= Duration::from_millis(450));
    proxy.throttle(None);
    let begun = Instant::now();
    exchange(&mut stream, &[1; 25_000]).await?;
    assert!(begun.elapsed() < Duration::from_millis(450));
    Ok(())
}

#[tokio::test]
async fn drop_after_cuts_when_exactly_that_many_bytes_have_passed() -> Result<()> {
    let (proxy, mut stream) = connected().await?;
    exchange(&mut stream, b"before").await?;
    proxy.drop_after(Direction::ToClient, 1_000);
    stream.write_all(&[9; 2_000]).await?;
    let mut back = [0; 1_000];
    timeout(SOON, stream.read_exact(&mut back)).await??;
    assert_eq!(broken(&mut stream).await?, ErrorKind::ConnectionReset);
    assert_eq!(proxy.passed(Direction::ToClient), 1_006);

    let mut next = TcpStream::connect(proxy.addr()).await?;
    exchange(&mut next, &[9; 2_000]).await?;
    Ok(())
}

#[tokio::test]
async fn a_target_that_is_down_resets_the_connection() -> Result<()> {
    let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let addr = gone.local_addr()?;
    drop(gone);
    let proxy = Proxy::start(addr).await?;
    let mut stream = TcpStream::connect(proxy.addr()).await?;
    assert_eq!(broken(&mut stream).await?, ErrorKind::ConnectionReset);
    Ok(())
}

#[tokio::test]
async fn dropping_the_proxy_resets_connections_and_closes_the_port() -> Result<()> {
    let (proxy, mut stream) = connected().await?;
    exchange(&mut stream, b"before").await?;
    let addr = proxy.addr();
    drop(proxy);
    assert_eq!(broken(&mut stream).await?, ErrorKind::ConnectionReset);
    wait_for("the port to close", SOON, async || {
        Ok(TcpStream::connect(addr).await.is_err())
    })
    .await
}

#[tokio::test]
async fn a_query_through_the_proxy_fails_when_it_is_cut_and_works_on_a_new_connection() -> Result<()>
{
    let server = Postgres::start(pg::Version::V17).await?;
    let proxy = Proxy::start(server.addr()).await?;
    let url = format!("postgres://postgres@{}/postgres", proxy.addr());
    let connect = async || -> Result<tokio_postgres::Client> {
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    };
    let client = connect().await?;
    client.simple_query("select 1").await?;
    let query = client.simple_query("select pg_sleep(60)");
    let (answer, ()) = tokio::join!(query, async {
        wait_for("the query to run", SOON, async || {
            let watcher = server.client("postgres").await?;
            let active =
                "select 1 from pg_stat_activity where query like '%sleep(60)' and state = 'active'";
            Ok(!watcher.query(active, &[]).await?.is_empty())
        })
        .await
        .unwrap();
        proxy.cut();
    });
    assert!(answer.is_err());
    connect().await?.simple_query("select 1").await?;
    Ok(())
}
