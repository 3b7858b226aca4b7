//! The shop's books in PostgreSQL.

use adit_lab::Postgres;
use anyhow::{Context, Result};
use tokio_postgres::{Client, Transaction};

use super::{Books, DATABASE, Deal, STOCK_LOW};

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

/// A database with the tables.
pub(crate) struct PostgresBooks(Client);

impl PostgresBooks {
    /// Builds the tables in a database of their own.
    ///
    /// # Errors
    /// The server is not there.
    pub(crate) async fn open(server: &Postgres) -> Result<Self> {
        server.create_database(DATABASE).await?;
        let client = server.client(DATABASE).await?;
        let opened = client.batch_execute(OPENING).await;
        opened.context("cannot open the shop")?;
        Ok(Self(client))
    }
}

impl Books for PostgresBooks {
    async fn enter(&mut self, deal: Deal) -> Result<u64> {
        let transaction = self.0.transaction().await?;
        let changed = match deal {
            Deal::Order { paid, lines } => order(&transaction, paid, lines).await?,
            Deal::MoveOn => move_on(&transaction).await?,
            Deal::ClearACart => clear_a_cart(&transaction).await?,
            Deal::Welcome(name) => welcome(&transaction, name).await?,
            Deal::Restock => restock(&transaction).await?,
        };
        transaction.commit().await?;
        Ok(changed)
    }
}

async fn order(tx: &Transaction<'_>, paid: bool, lines: i32) -> Result<u64> {
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

async fn move_on(tx: &Transaction<'_>) -> Result<u64> {
    let sql = "update orders set status = case status when 'paid' then 'packed'::order_status else 'shipped' end
               where id = (select id from orders where status in ('paid', 'packed') order by id limit 1)";
    Ok(tx.execute(sql, &[]).await?)
}

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

async fn welcome(tx: &Transaction<'_>, name: &str) -> Result<u64> {
    let sql = "insert into customers (name, email) values ($1::text, lower($1) || '@example.org')";
    Ok(tx.execute(sql, &[&name]).await?)
}

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
