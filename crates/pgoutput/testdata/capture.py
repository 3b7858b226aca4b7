#!/usr/bin/env python3
"""Captures pgoutput messages from a running PostgreSQL into the .hex files beside this script.

    capture.py HOST PORT

Needs a throw-away server that trusts the user `postgres`, with wal_level = logical,
logical_decoding_work_mem = 64kB and max_prepared_transactions > 0. Standard library only.
It makes a database `capture` and drops it. Line by line, a .hex file holds the messages in the
order in which a walsender sent them; `#` lines say which statements came before.
"""
import pathlib
import socket
import struct
import sys

HOST, PORT = sys.argv[1], int(sys.argv[2])
HERE = pathlib.Path(__file__).parent


class Session:
    """One connection speaking the simple query protocol."""

    def __init__(self, **startup):
        self.socket = socket.create_connection((HOST, PORT), timeout=30)
        self.buffer = b""
        pairs = {"user": "postgres", "database": "capture", "client_encoding": "UTF8", **startup}
        body = b"".join(f"{k}\0{v}\0".encode() for k, v in pairs.items()) + b"\0"
        self.socket.sendall(struct.pack("!ii", len(body) + 8, 196608) + body)
        self.until(b"Z")

    def receive(self):
        while len(self.buffer) < 5 or len(self.buffer) < 1 + struct.unpack("!i", self.buffer[1:5])[0]:
            piece = self.socket.recv(1 << 16)
            if not piece:
                raise EOFError("the server hung up")
            self.buffer += piece
        end = 1 + struct.unpack("!i", self.buffer[1:5])[0]
        tag, body, self.buffer = self.buffer[:1], self.buffer[5:end], self.buffer[end:]
        if tag == b"E":
            raise RuntimeError(body.replace(b"\0", b" ").decode())
        return tag, body

    def until(self, wanted):
        rows = []
        while True:
            tag, body = self.receive()
            if tag == b"D":
                length = struct.unpack("!i", body[2:6])[0]
                rows.append(body[6 : 6 + length].decode())
            if tag == wanted:
                return rows

    def send(self, tag, body):
        self.socket.sendall(tag + struct.pack("!i", len(body) + 4) + body)

    def sql(self, statement):
        self.send(b"Q", statement.encode() + b"\0")
        return self.until(b"Z")


def lsn(text):
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


class Capture:
    """A slot being streamed into a .hex file, and the sessions whose work it shows."""

    def __init__(self, name, prepares=False, frames=False, **options):
        self.name, self.frames, self.lines, self.sessions = name, frames, [], {}
        slot = ", false, true" if prepares else ""
        self["tick"].sql(f"select pg_create_logical_replication_slot('capture', 'pgoutput'{slot})")
        options = {"publication_names": "capture", **options}
        listed = ", ".join(f"{key} '{value}'" for key, value in options.items())
        self.lines.append(f"# START_REPLICATION ({listed})")
        self.walsender = Session(replication="database")
        self.walsender.send(
            b"Q", f"START_REPLICATION SLOT capture LOGICAL 0/0 ({listed})\0".encode()
        )
        self.walsender.until(b"W")

    def __getitem__(self, session):
        if session not in self.sessions:
            self.sessions[session] = Session()
        return self.sessions[session]

    def run(self, session, *statements):
        for statement in statements:
            statement = " ".join(statement.split())
            self.lines.append(f"# {session}: {statement}")
            self[session].sql(statement)
        self.pump()

    def pump(self):
        """Reads what the walsender has to say about everything done so far."""
        self["tick"].sql("insert into tick default values")
        target = lsn(self["tick"].sql("select pg_current_wal_flush_lsn()")[0])
        while True:
            self.walsender.send(b"d", b"r" + struct.pack("!QQQqB", 0, 0, 0, 0, 1))
            while True:
                tag, body = self.walsender.receive()
                assert tag == b"d", tag
                if self.frames:
                    self.lines.append(body.hex())
                if body[:1] == b"k":
                    break
                if not self.frames:
                    self.lines.append(body[25:].hex())
            if struct.unpack("!Q", body[1:9])[0] >= target:
                return

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        if failure[0] is None:
            (HERE / f"{self.name}.hex").write_text("\n".join(self.lines) + "\n")
        self.walsender.socket.close()
        while self["tick"].sql("select 1 from pg_replication_slots where active"):
            pass
        self["tick"].sql("select pg_drop_replication_slot('capture')")
        for session in self.sessions.values():
            session.socket.close()


SCHEMA = """
    create type mood as enum ('sad', 'so so', 'happy');
    create domain email as text check (value like '%@%');
    create table account (id int primary key, name varchar(40), mood mood, email email,
        balance numeric(12, 2));
    create table line (account int references account, n serial, big text,
        primary key (account, n));
    alter table line alter big set storage external;
    create table fully (a int, b text);
    alter table fully replica identity full;
    create table indexed (a int not null, b text, c text);
    create unique index indexed_a on indexed (a);
    alter table indexed replica identity using index indexed_a;
    create table without_identity (a int);
    alter table without_identity replica identity nothing;
    create table without_columns ();
    create schema "Od.d ""ß";
    create table "Od.d ""ß"."Ta.b""le é" ("Co.l ü" int primary key);
    create table tick (t timestamptz default clock_timestamp());
    create publication capture for table account, line, fully, indexed, without_columns,
        "Od.d ""ß"."Ta.b""le é";
    create publication capture_insert for table without_identity with (publish = 'insert');
"""

# `filler` is decoded, so that few rows fill the server's memory, but not published.
STREAM_SCHEMA = """
    create table wide (id int primary key, mood mood, filler text);
    alter table wide alter filler set storage plain;
    create publication capture_wide for table wide (id, mood);
"""


def wide(first, last):
    return f"""insert into wide select i, 'sad', repeat('x', 7000)
        from generate_series({first}, {last}) i"""


def basic(prefix, **options):
    with Capture(prefix, publication_names="capture,capture_insert", **options) as c:
        c.run("a", "insert into account values (1, 'Ada', 'happy', 'ada@example.org', 12.50)")
        c.run("a", "insert into account values (2, null, null, null, null)")
        c.run("a", "update account set name = 'Ada L.' where id = 1")
        c.run("a", "update account set id = 3 where id = 2")
        c.run("a", "delete from account where id = 3")
        c.run("a", "insert into line values (1, 1, repeat('y', 2100))")
        c.run("a", "update line set n = 2")
        c.run(
            "a",
            """begin; insert into fully values (1, 'one'); update fully set b = null;
               delete from fully; commit""",
        )
        c.run(
            "a",
            """begin; insert into indexed values (1, 'one', 'c'); update indexed set b = 'uno';
               update indexed set a = 2; delete from indexed; commit""",
        )
        c.run("a", "insert into without_identity values (1)")
        c.run("a", "insert into without_columns default values")
        c.run("a", 'insert into "Od.d ""ß"."Ta.b""le é" values (-1)')
        c.run("a", "truncate fully")
        c.run("a", "truncate account restart identity cascade")
        c.run("a", "alter table fully add c date", "insert into fully values (1, '', '2000-01-01')")


def frames(prefix):
    with Capture(prefix, frames=True, proto_version=1) as c:
        c.run("a", "insert into fully values (1, 'one')")


def origin(prefix):
    with Capture(prefix, proto_version=1) as c:
        c.run(
            "a",
            "select pg_replication_origin_create('somewhere else')",
            "select pg_replication_origin_session_setup('somewhere else')",
            """begin; select pg_replication_origin_xact_setup('AB/CDEF0123', '2001-02-03Z');
               insert into fully values (7, 'from elsewhere'); commit""",
            "select pg_replication_origin_session_reset()",
            "select pg_replication_origin_drop('somewhere else')",
        )


def messages(prefix):
    with Capture(prefix, proto_version=1, messages="true") as c:
        c.run("a", "select pg_logical_emit_message(true, 'outbox', 'transactional')")
        c.run(
            "a",
            """begin; select pg_logical_emit_message(false, 'now', '\\x00ff'::bytea);
               select pg_logical_emit_message(true, '', ''); rollback""",
        )


def stream(prefix, streaming, proto_version):
    options = {"proto_version": proto_version, "streaming": streaming, "messages": "true"}
    with Capture(prefix, publication_names="capture,capture_wide", **options) as c:
        c.run("a", "begin", wide(1, 10))
        c.run("b", "begin", "insert into fully values (0)", "savepoint s", wide(101, 110))
        c.run("b", "rollback to s", "insert into fully values (1, 'kept')")
        c.run(
            "a",
            "update wide set mood = 'happy' where id = 1",
            "update wide set id = 0 where id = 1",
            "delete from wide where id = 2",
            "select pg_logical_emit_message(true, 'outbox', 'streamed')",
            "truncate line",
            wide(11, 20),
        )
        c.run("a", "commit")
        c.run("b", wide(111, 120))
        c.run("b", "commit")
        c.run("a", "begin", wide(201, 210))
        c.run("a", "rollback")
        c.run("a", "select pg_replication_origin_create('somewhere else')")
        c.run("a", "select pg_replication_origin_session_setup('somewhere else')")
        c.run("a", "begin", wide(301, 310))
        c.run("a", "commit")
        c.run("a", "select pg_replication_origin_session_reset()")
        c.run("a", "select pg_replication_origin_drop('somewhere else')")


def two_phase(prefix):
    options = {"proto_version": 3, "streaming": "on", "two_phase": "true"}
    with Capture(prefix, prepares=True, publication_names="capture,capture_wide", **options) as c:
        for n, end in enumerate(["commit", "rollback"]):
            c.run("a", f"begin; insert into fully values ({n}); prepare transaction 'small {n}'")
            c.run("a", f"{end} prepared 'small {n}'")
            c.run("a", "begin", wide(10 * n, 10 * n + 9))
            c.run("a", f"prepare transaction 'large {n}'")
            c.run("a", f"{end} prepared 'large {n}'")


def fresh(*schemas):
    admin = Session(database="postgres")
    admin.sql("drop database if exists capture")
    admin.sql("create database capture template template0 encoding 'UTF8'")
    major = int(admin.sql("show server_version_num")[0]) // 10000
    admin.socket.close()
    session = Session()
    for schema in schemas:
        session.sql(schema)
    session.socket.close()
    return major


def main():
    major = fresh(SCHEMA)
    basic(f"pg{major}-basic", proto_version=1)
    fresh(SCHEMA)
    origin(f"pg{major}-origin")
    frames(f"pg{major}-frames")
    if major >= 14:
        messages(f"pg{major}-messages")
        fresh(SCHEMA)
        basic(f"pg{major}-binary", proto_version=1, binary="true")
    if major >= 15:
        fresh(SCHEMA, STREAM_SCHEMA)
        stream(f"pg{major}-stream", "on", 2)
        fresh(SCHEMA, STREAM_SCHEMA)
        two_phase(f"pg{major}-two-phase")
    if major >= 16:
        fresh(SCHEMA, STREAM_SCHEMA)
        stream(f"pg{major}-stream-parallel", "parallel", 4)
    admin = Session(database="postgres")
    admin.sql("drop database capture")


main()
