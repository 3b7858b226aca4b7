//! The shop's books in MySQL or MariaDB.

use adit_lab::Mysql;
use anyhow::{Context, Result};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Params, Transaction, TxOpts};

use super::{Books, DATABASE, Deal, STOCK_LOW};

/// Its tables, with what is there when adit comes.
const OPENING: [&str; 7] = [
    "create database shop character set utf8mb4",
    "create table shop.customers (
        id int auto_increment primary key,
        name varchar(100) not null,
        email varchar(200) not null,
        since timestamp not null default current_timestamp
    )",
    "create table shop.products (
        id int auto_increment primary key,
        name varchar(100) not null,
        price decimal(10, 2) not null,
        stock int not null
    )",
    "create table shop.orders (
        id bigint auto_increment primary key,
        customer_id int not null,
        status enum('cart', 'paid', 'packed', 'shipped') not null,
        placed_at timestamp(3) not null default current_timestamp(3),
        foreign key (customer_id) references customers (id)
    )",
    "create table shop.order_lines (
        order_id bigint,
        line int,
        product_id int not null,
        quantity int not null,
        price decimal(10, 2) not null,
        primary key (order_id, line),
        foreign key (order_id) references orders (id),
        foreign key (product_id) references products (id)
    )",
    "insert into shop.customers (name, email) values
        ('Ada Lovelace', 'ada@example.org'), ('Grace Hopper', 'grace@example.org'),
        ('Edgar Codd', 'edgar@example.org'), ('Barbara Liskov', 'barbara@example.org')",
    "insert into shop.products (name, price, stock) values
        ('lantern', 24.50, 40), ('rope, 20 m', 18.00, 60), ('pickaxe', 39.90, 25),
        ('helmet', 45.00, 30), ('canary, singing', 12.75, 9)",
];

/// A database with the tables.
pub(crate) struct MysqlBooks(Conn);

impl MysqlBooks {
    /// Builds the tables in a database of their own.
    ///
    /// # Errors
    /// The server is not there.
    pub(crate) async fn open(server: &Mysql) -> Result<Self> {
        let mut conn = server.client("").await?;
        for sql in OPENING {
            let opened = conn.query_drop(sql).await;
            opened.context("cannot open the shop")?;
        }
        conn.query_drop(format!("use {DATABASE}")).await?;
        Ok(Self(conn))
    }
}

impl Books for MysqlBooks {
    async fn enter(&mut self, deal: Deal) -> Result<u64> {
        let mut transaction = self.0.start_transaction(TxOpts::default()).await?;
        let tx = &mut transaction;
        let changed = match deal {
            Deal::Order { paid, lines } => order(tx, paid, lines).await?,
            Deal::MoveOn => {
                let sql = "update orders set status = if(status = 'paid', 'packed', 'shipped')
                           where status in ('paid', 'packed') order by id limit 1";
                change(tx, sql, ()).await?
            }
            Deal::ClearACart => clear_a_cart(tx).await?,
            Deal::Welcome(name) => {
                let sql = "insert into customers (name, email) values (?, concat(lower(?), '@example.org'))";
                change(tx, sql, (name, name)).await?
            }
            Deal::Restock => restock(tx).await?,
        };
        transaction.commit().await?;
        Ok(changed)
    }
}

/// Runs a statement; how many rows it changed.
async fn change(
    tx: &mut Transaction<'_>,
    sql: &str,
    values: impl Into<Params> + Send,
) -> Result<u64> {
    tx.exec_drop(sql, values.into()).await?;
    Ok(tx.affected_rows())
}

async fn order(tx: &mut Transaction<'_>, paid: bool, lines: i32) -> Result<u64> {
    let status = if paid { "paid" } else { "cart" };
    let sql = "insert into orders (customer_id, status)
               values ((select id from customers order by rand() limit 1), ?)";
    let mut changed = change(tx, sql, (status,)).await?;
    let order = tx.last_insert_id().context("an order without a number")?;
    for line in 1..=lines {
        let sql = "insert into order_lines select ?, ?, id, 1 + floor(rand() * 3), price
                   from products where stock > 3 order by rand() limit 1";
        changed += change(tx, sql, (order, line)).await?;
    }
    if paid {
        let sql = "update products join order_lines on product_id = products.id
                   set stock = stock - quantity where order_id = ?";
        changed += change(tx, sql, (order,)).await?;
    }
    Ok(changed)
}

async fn clear_a_cart(tx: &mut Transaction<'_>) -> Result<u64> {
    let sql = "select id from orders where status = 'cart' order by id limit 1";
    let Some(order) = tx.query_first::<i64, _>(sql).await? else {
        return Ok(0);
    };
    let lines = change(tx, "delete from order_lines where order_id = ?", (order,)).await?;
    let orders = change(tx, "delete from orders where id = ?", (order,)).await?;
    Ok(lines + orders)
}

async fn restock(tx: &mut Transaction<'_>) -> Result<u64> {
    let sql = "update products set stock = stock + 40 where stock < ?";
    let changed = change(tx, sql, (STOCK_LOW,)).await?;
    if changed > 0 {
        return Ok(changed);
    }
    let sql = "update products set price = round(price * (0.95 + rand() * 0.1), 2) order by rand() limit 1";
    change(tx, sql, ()).await
}
