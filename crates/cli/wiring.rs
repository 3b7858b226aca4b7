//! Puts the parts together: the only place that names which source, sink and store there are.

mod standby;
mod tail;

use std::sync::Arc;
use std::time::Duration;

use adit_event::{Connector as Kind, SourceMeta};
use adit_pipeline::{Finding, RunError, RunOptions, Source, Verdict, chain, retry, start_point};
use adit_sink_nats::{Acquired, Lease, Nats, NatsCheckpoints, NatsShapes, NatsSink, delete_stream};
use adit_source_mysql::MysqlSource;
use adit_source_postgres::PostgresSource;
use anyhow::{Context, bail};
use tokio::runtime;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::{Connector, SourceConfig};

pub(crate) use self::tail::tail;

use self::standby::{Holder, Turn};

/// A supervisor gives ten seconds between the signal and the kill.
const STOP_MAX: Duration = Duration::from_millis(9_500);

/// Runs all connectors until `stop`.
///
/// # Errors
/// The first connector that cannot go on; the others are stopped cleanly before this returns.
pub(crate) async fn run(
    connectors: Vec<Connector>,
    accept_truncated: bool,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let alone = connectors.len() == 1;
    let holder = Holder::new();
    let mut running = JoinSet::new();
    for connector in connectors {
        let (holder, stop) = (holder.clone(), stop.clone());
        // A thread for each connector, with all its tasks and connections: what one of them wakes runs next
        // on the same thread, which costs less than to wake another, and connectors do not share a core.
        running.spawn_blocking(move || {
            let name = format!("connector {:?}", connector.name);
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.with_context(|| {
                format!("{name}: starting it (are there enough file descriptors, ulimit -n?)")
            })?;
            let run = Box::pin(supervise(&connector, accept_truncated, &holder, &stop));
            let result = runtime.block_on(run).context(name);
            // Not by dropping it, which would wait for a look-up or a read that hangs.
            runtime.shutdown_background();
            result
        });
    }
    let mut first = Ok(());
    loop {
        let ended = tokio::select! {
            ended = running.join_next() => ended,
            () = overdue(&stop) => {
                warn!("the stop took too long; what was not confirmed is published at the next start");
                break;
            }
        };
        let Some(ended) = ended else { break };
        let result = ended
            .context("running a connector")
            .and_then(|result| result);
        if let Err(error) = result {
            if !alone {
                error!(
                    error = chain(error.as_ref()),
                    "a connector cannot go on; the others are stopped"
                );
            }
            first = first.and(Err(error));
            stop.cancel();
        }
    }
    if first.is_ok() {
        info!("stopped");
    }
    first
}

/// When a stop that was asked for should long have ended.
async fn overdue(stop: &CancellationToken) {
    stop.cancelled().await;
    sleep(STOP_MAX).await;
}

/// Runs one connector whenever it is our turn.
async fn supervise(
    connector: &Connector,
    accept_truncated: bool,
    holder: &Holder,
    stop: &CancellationToken,
) -> Result<(), RunError> {
    let name = &connector.name;
    let connect = async || Nats::connect(&connector.nats).await;
    let Some(nats) = retry(name, "connecting to nats", stop, connect).await? else {
        return Ok(());
    };
    loop {
        let Some(mut turn) = standby::wait(connector, &nats, holder, stop).await? else {
            return Ok(());
        };
        let work = work(
            connector,
            accept_truncated,
            &nats,
            holder,
            &mut turn,
            stop.child_token(),
        );
        let result = Box::pin(work).await;
        // What looks like an error of the stream or of the store may be the other's work.
        let taken = turn.is_lost()
            || result.is_err() && turn.is_taken(connector, &nats, holder, stop).await;
        if !taken {
            turn.end(name).await;
            return result;
        }
        let error = result.as_ref().err().map(|error| chain(error));
        warn!(connector = %name, error, "another process has taken the lease: stopped here");
    }
}

/// Runs one connector until `stop`, or until somebody else has the lease.
async fn work(
    connector: &Connector,
    accept_truncated: bool,
    nats: &Nats,
    holder: &Holder,
    turn: &mut Turn,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let name = &connector.name;
    let meta = meta(connector);
    let open = async || NatsCheckpoints::open(nats, &meta, connector.nats.replicas).await;
    let Some(store) = retry(name, "opening the key-value buckets", &stop, open).await? else {
        return Ok(());
    };
    let sink = async || {
        let (nats, config) = (nats.clone(), connector.nats.clone());
        NatsSink::new(nats, config, &meta, connector.values, holder.instance())
    };
    let Some(sink) = retry(name, "preparing the sink", &stop, sink).await? else {
        return Ok(());
    };
    let options = RunOptions {
        name: name.clone(),
        confirm_lag: connector.confirm_lag,
        accept_truncated,
    };
    let parts = Parts {
        sink,
        store,
        options,
    };
    match connector.source.clone() {
        SourceConfig::Postgres(options) => {
            Box::pin(pump(PostgresSource::new(options), parts, turn, stop)).await
        }
        SourceConfig::Mysql(options) => {
            let shapes = NatsShapes::new(nats, name, connector.nats.replicas);
            let source = MysqlSource::new(options, Some(Arc::new(shapes)));
            Box::pin(pump(source, parts, turn, stop)).await
        }
    }
}

/// What a connector is made of besides its source.
struct Parts {
    sink: NatsSink,
    store: NatsCheckpoints,
    options: RunOptions,
}

/// From the source into the stream, until `stop`, or until somebody else has the lease.
async fn pump(
    source: impl Source,
    parts: Parts,
    turn: &mut Turn,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let Parts {
        sink,
        store,
        options,
    } = parts;
    let name = options.name.clone();
    let run = adit_pipeline::run(source, sink, store, options, stop.clone());
    tokio::pin!(run);
    tokio::select! {
        result = &mut run => return result,
        () = turn.lost(&name) => stop.cancel(),
    }
    run.await
}

/// Looks at everything that `run` needs.
pub(crate) async fn check(connector: Connector) -> Vec<Finding> {
    let sink = adit_sink_nats::check(&connector.nats, &meta(&connector)).await;
    let mut from_here = None;
    let mut refusal = None;
    if let Some(tail) = &sink.tail {
        match start_point(tail, sink.checkpoint.as_ref(), false) {
            Ok(start) => from_here = Some(start),
            Err(error) => {
                refusal = Some(Finding {
                    verdict: Verdict::Fail,
                    ..Finding::ok("end of the stream", error.to_string())
                });
            }
        }
    }
    let (stored, last) = from_here.map_or((None, None), |start| (start.stored, start.last));
    let mut findings = match &connector.source {
        SourceConfig::Postgres(options) => {
            adit_source_postgres::check(options, stored.as_ref(), last).await
        }
        SourceConfig::Mysql(options) => {
            adit_source_mysql::check(options, stored.as_ref(), last).await
        }
    };
    findings.extend(sink.findings);
    findings.extend(refusal);
    findings
}

/// Removes what adit created for a connector; says what that was.
///
/// # Errors
/// When the connector is running, or a server does not let us.
pub(crate) async fn remove(connector: &Connector, stream: bool) -> anyhow::Result<Vec<String>> {
    let name = &connector.name;
    let holder = Holder::new();
    let nats = Nats::connect(&connector.nats)
        .await
        .with_context(|| format!("connector {name:?}: connecting to nats"))?;
    let lease = Lease::acquire(&nats, name, holder.instance(), connector.nats.replicas)
        .await
        .with_context(|| format!("connector {name:?}: taking the lease"))?;
    let lease = match lease {
        Acquired::Ours(lease) => lease,
        Acquired::HeldBy(other) => bail!(
            "connector {name:?} is running (its lease is held by {other}): stop it first; a lease ends {} s after a crash",
            adit_sink_nats::LEASE_TTL.as_secs()
        ),
    };
    let mut turn = Turn::new(lease);
    let result = remove_all(connector, &nats, stream).await;
    turn.end(name).await;
    result.with_context(|| format!("connector {name:?}"))
}

async fn remove_all(
    connector: &Connector,
    nats: &Nats,
    stream: bool,
) -> anyhow::Result<Vec<String>> {
    let mut removed = match &connector.source {
        SourceConfig::Postgres(options) => adit_source_postgres::remove(options)
            .await
            .context("removing slot and publication")?,
        // A reader of the binary log leaves nothing behind on the server.
        SourceConfig::Mysql(_) => {
            let shapes = NatsShapes::new(nats, &connector.name, connector.nats.replicas);
            let removed = shapes.remove().await;
            removed.context("removing what tables were like")?;
            Vec::new()
        }
    };
    let store = NatsCheckpoints::open(nats, &meta(connector), connector.nats.replicas)
        .await
        .context("opening the key-value buckets")?;
    store.remove().await.context("removing the checkpoint")?;
    removed.push(format!("checkpoint and schemas of {:?}", connector.name));
    if stream {
        let stream = &connector.nats.stream;
        delete_stream(nats, stream)
            .await
            .context("deleting the stream")?;
        removed.push(format!("stream {stream:?}"));
    }
    Ok(removed)
}

fn meta(connector: &Connector) -> SourceMeta {
    SourceMeta {
        connector: connector.name.clone(),
        kind: match &connector.source {
            SourceConfig::Postgres(_) => Kind::Postgres,
            SourceConfig::Mysql(options) => options.connector(),
        },
        database: connector.source.database().to_owned(),
    }
}
