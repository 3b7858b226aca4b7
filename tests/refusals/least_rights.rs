//! The least that adit needs.

use adit_lab::{Nats, nats};
use anyhow::Result;
use async_nats::jetstream;

use crate::support::{Adit, SECRET, create_database, shared_postgres};

/// A role that owns nothing, a publication that the DBA made, and a NATS user that may create nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_and_a_user_with_no_more_than_needed_are_enough() -> Result<()> {
    let postgres = shared_postgres().await?;
    create_database(postgres, "least").await?;
    postgres
        .exec_in(
            "least",
            "create role cdc login replication connection limit 6; revoke all on database least from public; \
             grant connect on database least to cdc; revoke all on schema public from public; \
             grant usage on schema public to cdc; grant select on t to cdc; create publication adit_least for table t",
        )
        .await?;
    let broker = Nats::builder(nats::Version::V2_15)
        .conf(&format!(
            "authorization {{ users: [ {{ user: admin, password: admin }}, {{ user: adit, password: {SECRET}, permissions: {{\n\
             publish: [\"cdc.least.>\", \"$JS.API.STREAM.INFO.CDC_LEAST\", \"$JS.API.STREAM.MSG.GET.CDC_LEAST\",\n\
               \"$JS.API.STREAM.INFO.KV_adit_leases\", \"$JS.API.STREAM.MSG.GET.KV_adit_leases\", \"$KV.adit_leases.least\",\n\
               \"$JS.API.STREAM.INFO.KV_adit_checkpoints\", \"$JS.API.STREAM.MSG.GET.KV_adit_checkpoints\", \"$KV.adit_checkpoints.least\",\n\
               \"$JS.API.STREAM.INFO.KV_adit_schemas\", \"$JS.API.STREAM.MSG.GET.KV_adit_schemas\", \"$KV.adit_schemas.least.>\"],\n\
             subscribe: \"_INBOX.>\" }} }} ] }}"
        ))
        .start()
        .await?;
    let admin = async_nats::ConnectOptions::with_user_and_password("admin".into(), "admin".into())
        .connect(broker.url())
        .await?;
    let jetstream = jetstream::new(admin.clone());
    for bucket in ["adit_leases", "adit_checkpoints", "adit_schemas"] {
        let config = jetstream::kv::Config {
            bucket: bucket.to_owned(),
            ..Default::default()
        };
        jetstream.create_key_value(config).await?;
    }
    let config = jetstream::stream::Config {
        name: "CDC_LEAST".to_owned(),
        subjects: vec!["cdc.least.>".to_owned()],
        ..Default::default()
    };
    jetstream.create_stream(config).await?;

    let mut adit = Adit::new("least", postgres.addr(), broker.addr())?;
    adit.source = format!("postgres://cdc@{}/least", postgres.addr());
    adit.nats = format!("nats://adit:{SECRET}@{}", broker.addr());
    let check = adit.check().await?;
    check.with(0, &[])?;
    check.finding("warn", &["connection limit", "CONNECTION LIMIT 7"])?;
    adit.start()?;
    adit.says(&["replication started"]).await?;
    adit.insert(postgres, "delivered").await?;
    adit.arrives_at("delivered", &admin).await?;
    adit.stop().await?;
    adit.start()?;
    adit.insert(postgres, "again").await?;
    adit.arrives_at("again", &admin).await
}
