//! A small shop whose tables keep changing.

use std::time::Duration;

use adit_lab::Postgres;
use anyhow::{Context, Result};
use rand::Rng as _;
use tokio::time::sleep;
use tokio_postgres::{Client, Transaction};
use tokio_util::sync::CancellationToken;

/// The shop's database.
pub(crate) const DATABASE: &str = "shop";

/// Its tables, with what is there when adit comes.
const OPENING: &str = "
create type order_status as enum ('cart', 'paid', 'packed', 'shipped');
create table customers (
    id int generated always as identity primary key,
    name text not null,
    email text not null,
    since date not null default current_date
);
create table products (
    id int generated always as identity primary key,
    name text not null,
    price numeric(10, 2) not null,
    stock int not null
);
create table orders (
    id bigint generated always as identity primary key,
    customer_id int not null references customers,
    status order_status not null,
    placed_at timestamptz(3) not null default now()
);
create table order_lines (
    order_id bigint references orders,
    line int,
    product_id int not null references products,
    quantity int not null,
    price numeric(10, 2) not null,
    primary key (order_id, line)
);
insert into customers (name, email) values
    ('Ada Lovelace', 'ada@example.org'), ('Grace Hopper', 'grace@example.org'),
    ('Edgar Codd', 'edgar@example.org'), ('Barbara Liskov', 'barbara@example.org');
insert into products (name, price, stock) values
    ('lantern', 24.50, 40), ('rope, 20 m', 18.00, 60), ('pickaxe', 39.90, 25),
    ('helmet', 45.00, 30), ('canary, singing', 12.75, 9);
";

/// Names that new customers get.
const NAMES: [&str; 8] = [
    "Tony", "Margaret", "Dennis", "Radia", "Leslie", "Frances", "Niklaus", "Karen",
];

/// Most lines of an order.
const LINES_MAX: i32 = 3;
/// A product of which fewer are left is ordered anew.
const STOCK_LOW: i32 = 5;
/// Pause between two transactions, in milliseconds: slow enough to read along.
const PAUSE_MS: std::ops::Range<u64> = 250..900;

/// The shop's side of the database.
pub(crate) struct Shop {
    client: Client,
    changes: u64,
}

impl Shop {
    /// Builds the tables in a database of their own.
    ///
    /// # Errors
    /// The server is not there.
    pub(crate) async fn open(server: &Postgres) -> Result<Self> {
        server.create_database(DATABASE).await?;
        let client = server.client(DATABASE).await?;
        client
            .batch_execute(OPENING)
            .await
            .context("cannot open the shop")?;
        Ok(Self { client, changes: 0 })
    }

    /// Does business until `stop`; how many rows that changed.
    ///
    /// # Errors
    /// The server is gone, or refuses a statement.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<u64> {
        while !stop.is_cancelled() {
            self.changes += self.deal().await.context("the shop cannot go on")?;
            let pause = Duration::from_millis(rand::rng().random_range(PAUSE_MS));
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(pause) => {}
            }
        }
        Ok(self.changes)
    }

    /// One transaction; how many rows it changed.
    async fn deal(&mut self) -> Result<u64> {
        let what = rand::rng().random_range(0..100);
        let transaction = self.client.transaction().await?;
        let changed = match what {
            0..45 => order(&transaction).await?,
            45..80 => move_on(&transaction).await?,
            80..88 => clear_a_cart(&transaction).await?,
            88..94 => welcome(&transaction).await?,
            _ => restock(&transaction).await?,
        };
        transaction.commit().await?;
        Ok(changed)
    }
}

/// A customer fills a cart, and mostly pays at once.
async fn order(tx: &Transaction<'_>) -> Result<u64> {
    let (paid, lines) = {
        let mut random = rand::rng();
        (random.random_bool(0.7), random.random_range(1..=LINES_MAX))
    };
    let status = if paid { "paid" } else { "cart" };
    let order: i64 = tx
        .query_one(
            "insert into orders (customer_id, status)
             values ((select id from customers order by random() limit 1), $1::text::order_status) returning id",
            &[&status],
        )
        .await?
        .try_get(0)?;
    let mut changed = 1;
    changed += tx
        .execute(
            "insert into order_lines
             select $1, row_number() over (), id, 1 + floor(random() * 3), price
             from (select id, price from products where stock > 3 order by random() limit $2::int) as chosen",
            &[&order, &lines],
        )
        .await?;
    if paid {
        changed += tx
            .execute(
                "update products set stock = stock - quantity
                 from order_lines where order_id = $1 and product_id = products.id",
                &[&order],
            )
            .await?;
    }
    Ok(changed)
}

/// An order is packed or shipped.
async fn move_on(tx: &Transaction<'_>) -> Result<u64> {
    let sql = "update orders set status = case status when 'paid' then 'packed'::order_status else 'shipped' end
               where id = (select id from orders where status in ('paid', 'packed') order by id limit 1)";
    Ok(tx.execute(sql, &[]).await?)
}

/// The oldest cart that nobody paid for is thrown away.
async fn clear_a_cart(tx: &Transaction<'_>) -> Result<u64> {
    let sql = "select id from orders where status = 'cart' order by id limit 1";
    let Some(row) = tx.query_opt(sql, &[]).await? else {
        return Ok(0);
    };
    let order: i64 = row.try_get(0)?;
    let lines = tx
        .execute("delete from order_lines where order_id = $1", &[&order])
        .await?;
    let orders = tx
        .execute("delete from orders where id = $1", &[&order])
        .await?;
    Ok(lines + orders)
}

/// Somebody new.
async fn welcome(tx: &Transaction<'_>) -> Result<u64> {
    let name = {
        let mut random = rand::rng();
        let at = random.random_range(0..NAMES.len());
        NAMES.get(at).copied().unwrap_or("Somebody")
    };
    let sql = "insert into customers (name, email) values ($1::text, lower($1) || '@example.org')";
    Ok(tx.execute(sql, &[&name]).await?)
}

/// What runs low is ordered anew; else a price changes.
async fn restock(tx: &Transaction<'_>) -> Result<u64> {
    let sql = "update products set stock = stock + 40 where stock < $1";
    let changed = tx.execute(sql, &[&STOCK_LOW]).await?;
    if changed > 0 {
        return Ok(changed);
    }
    let sql = "update products set price = round(price * (0.95 + random() * 0.1)::numeric, 2)
               where id = (select id from products order by random() limit 1)";
    Ok(tx.execute(sql, &[]).await?)
}
