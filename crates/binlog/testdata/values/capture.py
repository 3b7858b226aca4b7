#!/usr/bin/env python3
"""Captures how a server logs values, what its catalogue says of the tables, and what its text protocol returns.

    capture.py SOCKET DATADIR METADATA > NAME.values

needs PyMySQL, a server with binlog_format=ROW that runs on this machine, and root without a password. METADATA is
what binlog_row_metadata is set to, or - where the server has no such variable.

A line of the output is one of
    flavor mysql|mariadb
    table NAME
    column NAME <tab> COLUMN_TYPE <tab> CHARACTER_SET_NAME or - <tab> 1 if nullable <tab> 1 if json_valid
    key NAME ...
    versioned       the table has row_start and row_end, which the catalogue does not list
    map HEX         the table map, without header and checksum
    rows KIND HEX   the event with the rows, likewise
    steps           the rows behind are those that updates of the one row made, one after the other
    text HEX ...    a row in the text protocol, a cell after the other, - for NULL and = for an empty one
"""
import struct
import sys

import pymysql
from pymysql.connections import MySQLResult

SOCKET, DATADIR, METADATA = sys.argv[1:4]

# The cells stay bytes.
describe = MySQLResult._get_descriptions


def descriptions(self):
    describe(self)
    self.converters = [(None, None)] * len(self.converters)


MySQLResult._get_descriptions = descriptions


def connect():
    connection = pymysql.connect(unix_socket=SOCKET, user="root", charset="utf8mb4", autocommit=True)
    run(connection, "set sql_mode=''")
    run(connection, "set time_zone='+00:00'")
    return connection


def run(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def text(value):
    return None if value is None else value.decode()


work = connect()
version = text(run(work, "select version()")[0][0])
maria = "MariaDB" in version
number = tuple(int(part) for part in version.split("-")[0].split("."))


def table(name, columns, *rows, **options):
    return name, columns, rows, options


def tables():
    yield table(
        "integers",
        "id int primary key, t tinyint, tu tinyint unsigned, s smallint, su smallint unsigned, m mediumint,"
        " mu mediumint unsigned, i int, iu int unsigned, b bigint, bu bigint unsigned not null, z int(8) zerofill, bo bool,"
        " y year",
        "1,-128,255,-32768,65535,-8388608,16777215,-2147483648,4294967295,-9223372036854775808,18446744073709551615,42,true,2155",
        "2,127,0,32767,0,8388607,0,2147483647,0,9223372036854775807,0,0,false,0",
        "3,-1,128,-1,32768,-1,8388608,-1,2147483648,-1,9223372036854775808,1,null,1901",
        "4,null,null,null,null,null,null,null,null,null,1,null,null,null",
    )
    yield table(
        "floats",
        "f float, fu float unsigned, f2 float(7,4), d double, du double unsigned, d2 double(10,3)",
        "1.1,0,123.4567,1.1,1e100,1234567.891",
        "3.402823466e38,1.5,0,1.7976931348623157e308,2.2250738585072014e-308,0",
        "-1.401298464e-45,16777216,-0.0001,5e-324,123456789012345680,-0.001",
        "0,1e-7,1,-0.0,1e15,1",
        "1e10,100000000,1,1e14,0.1,1",
        "0.3333333333,3.3333e-5,1,0.3333333333333333,1e-5,1",
    )
    yield table(
        "decimals",
        "a decimal(65,30), b decimal(65,0), c decimal(30,30), d decimal(10,2) unsigned, e decimal(5,2) zerofill,"
        " f decimal(1,0), g decimal(9,9), h decimal(18,9), i decimal(20,1)",
        "'12345678901234567890123456789012345.123456789012345678901234567890',"
        "'99999999999999999999999999999999999999999999999999999999999999999','0.123456789012345678901234567890',"
        "12345678.90,1.5,9,0.000000001,123456789.987654321,-1234567890123456789.1",
        "'-99999999999999999999999999999999999.999999999999999999999999999999',"
        "'-1000000000000000000','-0.5',0,0,-9,-0.999999999,-0.000000001,0.1",
        "0,0,0,0,0,0,0,0,0",
        "null,null,null,null,null,null,null,null,null",
    )
    fractions = range(7)
    for name, sets in (("temporals", ()), ("temporals_old", ("set global mysql56_temporal_format=off",))):
        if sets and not maria:
            continue
        columns = ["d date"]
        columns += [f"t{p} time({p}), dt{p} datetime({p}) null, ts{p} timestamp({p}) null" for p in fractions]

        def row(day, time, moment, stamp):
            cells = [day]
            for _ in fractions:
                cells += [time, moment, stamp]
            return ",".join("null" if cell is None else f"'{cell}'" for cell in cells)

        yield table(
            name,
            ", ".join(columns),
            row("2026-11-23", "13:37:00.123456", "2026-11-23 13:37:00.123456", "2026-11-23 13:37:00.123456"),
            row("9999-12-31", "-838:59:59", "9999-12-31 23:59:59", "2038-01-19 03:14:07"),
            row("1000-01-01", "838:59:59", "1000-01-01 00:00:00.000001", "1970-01-01 00:00:01"),
            row("0000-00-00", "-00:00:00.999999", "0000-00-00 00:00:00", "0000-00-00 00:00:00"),
            row("2026-00-10", "-00:00:01.5", "2026-00-10 12:00:00.5", "2024-02-29 23:59:59.4"),
            row("0001-01-01", "00:00:00", "0001-02-03 04:05:06.7", "2000-03-01 00:00:00.000001"),
            row(None, None, None, None),
            set=sets,
            unset=("set global mysql56_temporal_format=on",) if sets else (),
        )
    yield table(
        "bytes",
        "a binary(1), b binary(255), c varbinary(10), d varbinary(300), e tinyblob, f blob, g mediumblob, h longblob,"
        " i binary(4) not null, j char(3) charset binary, k text charset binary",
        r"'a','b','c','d','e','f','g','h','ab\0\0','x','y'",
        r"'\0','\0\0x','\0',repeat('\0',300),'\0','\0','\0','\0','\0\0\0\0','\0','\0'",
        "'','','','','','','','','','',''",
        r"null,null,null,null,null,null,null,null,'  ',' ',' '",
    )
    yield table(
        "strings",
        "a char(10) charset latin1, b char(10) charset utf8mb4, c varchar(10) charset latin1, d varchar(300) charset latin1,"
        " e varchar(100) charset utf8mb4, f tinytext charset utf8mb4, g text charset latin1, h mediumtext charset utf16,"
        " i longtext charset utf8mb4, j char(200) charset utf8mb4, k varchar(10) charset ascii, l char(5) charset ucs2,"
        " m char(255) charset utf8mb4, n char(255) charset utf32, o varchar(20) charset utf8mb4 collate utf8mb4_bin",
        "'é€','é😀','é','é','😀','😀','é€','😀é','😀',repeat('😀',200),'abc','é€',repeat('é',255),'x','x'",
        "'  a  ',' ','','','','','','','','','','','','',''",
        r"'\0\n\t\"\\',' \0 ','\Z',' ',' ',' ',' ',' ',' ',' ',' ',' ',' ',' ',' '",
        "null,null,null,null,null,null,null,null,null,null,null,null,null,null,null",
    )
    for charset in text_charsets():
        yield table(
            f"charset_{charset}",
            f"a varchar(20) charset {charset}, b enum('aé€日한中я','b') charset {charset}, c set('é','я','日','한') charset {charset}",
            "'aé€日한中яß','aé€日한中я','é,日'",
            "'~\\\\ ',2,15",
        )
    yield table(
        "labels",
        r"a enum('one','two''s','th\\ree','fo\nur','fi\"ve','s,ix',''), b set('x','y''','z\\','ä'), c enum('ä','ö') charset latin1,"
        r" d set('ä','日') charset utf8mb4, e enum('a') not null, f set('a') not null, g enum('0','1')",
        "1,1,1,1,1,1,1",
        r"'two''s','x,y''','ö','ä,日','a','',2",
        r"'th\\ree','z\\,ä',2,2,'','a','0'",
        r"'fo\nur',15,0,0,'nonsense','','1'",
        r"""'fi\"ve','',null,null,'a','a','nonsense'""",
        "6,0,1,1,1,1,1",
        "7,0,1,1,1,1,1",
        "0,0,1,1,1,1,1",
    )
    many = ",".join(f"'{n}'" for n in range(300))
    set64 = ",".join(f"'{n}'" for n in range(64))
    sets = ", ".join(f"s{n} set({','.join(str(repr(str(k))) for k in range(n))})" for n in (8, 9, 16, 17, 24, 25, 32, 33))
    yield table(
        "labels_many",
        f"a enum({many}), b set({set64}), {sets}",
        "300,18446744073709551615,255,511,65535,131071,16777215,33554431,4294967295,8589934591",
        "1,9223372036854775808,128,256,32768,65536,8388608,16777216,2147483648,4294967296",
        "256,0,0,0,0,0,0,0,0,0",
    )
    yield table(
        "bits",
        "a bit(1), b bit(7), c bit(8), d bit(9), e bit(64), f bit",
        "1,b'1010101',b'10000001',b'100000001',18446744073709551615,0",
        "0,0,0,0,1,1",
        "null,null,null,null,null,null",
    )
    geometry = "geomfromtext" if number < (5, 7) or maria else "st_geomfromtext"
    yield table(
        "geometries",
        "a geometry, b point, c linestring, d polygon, e multipoint, f multilinestring, g multipolygon, h geometrycollection",
        ",".join(
            f"{geometry}('{shape}')"
            for shape in (
                "POINT(1 2)",
                "POINT(-1.5 1e10)",
                "LINESTRING(0 0,1 1)",
                "POLYGON((0 0,0 1,1 1,0 0))",
                "MULTIPOINT(1 1,2 2)",
                "MULTILINESTRING((0 0,1 1))",
                "MULTIPOLYGON(((0 0,0 1,1 1,0 0)))",
                "GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 1))",
            )
        ),
        f"{geometry}('POINT(10 20)', 4326),null,null,null,null,null,null,null",
    )
    yield table(
        "keyed",
        "a varchar(20), b int, c int not null, d int not null, primary key (d, b), unique key (c)",
        "'x',1,2,3",
    )
    yield table("unique_key", "a int, b int not null, c varchar(20) not null, unique key (a), unique key u (c, b)", "1,2,'x'")
    if maria or number >= (5, 7):
        yield table("generated", "a int primary key, b int as (a + 1) virtual, c int as (a * 2) stored", "1,default,default")
    if maria:
        yield from of_maria()
    elif number >= (5, 7):
        yield from of_mysql()


def text_charsets():
    names = sorted(text(row[0]) for row in run(work, "show character set"))
    return [name for name in names if name not in ("binary", "utf8")]


def of_maria():
    yield table("json", "a json, b json not null", r"""'{"a": 1}','[1.5, "x"]'""", r"""'{\n "b" : "é\\n" }',' 1 '""", "null,'{\"\t\":1}'")
    yield table(
        "compressed",
        "a varchar(100) compressed, b text compressed, c varbinary(300) compressed, d varchar(254) compressed charset latin1,"
        " e varchar(255) compressed charset latin1, f longblob compressed, g tinytext compressed",
        "'short','text','bytes','é','é','x','y'",
        "repeat('ä',100),repeat('long ',1000),repeat('b',300),repeat('é',254),repeat('e',255),repeat('x',10000),repeat('g',255)",
        "'','','','','','',''",
        "null,null,null,null,null,null,null",
    )
    yield table("invisible", "a int primary key, b int invisible default 5, c int", "1,2,3", names=("a", "b", "c"))
    yield table("versioned", "a int primary key, b int", "1,2", after=" with system versioning", names=("a", "b"))
    yield table(
        "versioned_visible",
        "a int primary key, s timestamp(6) as row start, e timestamp(6) as row end, period for system_time(s, e)",
        "1",
        after=" with system versioning",
        names=("a",),
    )
    yield table(
        "inet6",
        "a inet6",
        *(
            f"'{address}'"
            for address in (
                "::", "::1", "1::", "2001:db8::1", "::ffff:1.2.3.0", "::1.2.3.4", "::0:1", "::1:2", "2001:db8:0:0:1:0:0:1",
                "0:0:1::", "1:2:3:4:5:6:7:8", "1:0:2:0:3:0:4:0", "fe80::1:0:0:1", "::ffff:0:1.2.3.4", "1:2:3:4:5:6:7:0",
                "0:1:2:3:4:5:6:7", "64:ff9b::1.2.3.4", "::ffff", "::1:0", "::ffff:0.0.0.1", "1:0:0:2::", "ffff::",
            )
        ),
        "null",
    )
    if number >= (10, 10):
        yield table("inet4", "a inet4", "'0.0.0.0'", "'1.2.3.0'", "'255.255.255.255'", "'10.0.0.1'", "null")
    if number >= (10, 7):
        yield table(
            "uuid",
            "a uuid, b uuid not null",
            *(
                f"'{uuid}','{uuid.upper()}'"
                for uuid in (
                    "00000000-0000-0000-0000-000000000000",
                    "123e4567-e89b-12d3-a456-426614174000",
                    "123e4567-e89b-42d3-a456-426614174000",
                    "01890a5d-ac96-774b-bcce-b302099a8057",
                    "123e4567-e89b-62d3-a456-426614170000",
                    "ffffffff-ffff-ffff-ffff-ffffffffffff",
                )
            ),
            "null,'00000000-0000-0000-0000-000000000001'",
        )
    if number >= (11, 7):
        yield table(
            "vectors",
            "a vector(3) not null, b vector(1)",
            "vec_fromtext('[1,-2.5,3e10]'),vec_fromtext('[0.1]')",
            "vec_fromtext('[0,0,1e-7]'),null",
        )


def of_mysql():
    document = r"""{"z": [1, -1, 65536, -70000, 4294967296, -4294967297, 18446744073709551615, 1.5, 1e100, true, false, null],
        "": {}, "bb": [], "a": "é😀\n\"\\\u0001", "cc": {"deep": [[[[]]]]}, "long": "%s"}""" % ("x" * 200)
    yield table(
        "json",
        "a json, b json not null",
        f"'{document}','1'".replace("\\", "\\\\"),
        "null,'null'",
        "'true','\"x\"'",
        "json_array(cast('2015-01-15 23:24:25.12' as datetime(2)), cast('2015-01-15' as date), cast('-23:24:25.5' as time(1)),"
        " timestamp('2020-01-01 00:00:00'), 1.50, -0.05, 12345678901234567890.12345, cast(1 as decimal(65,30))),"
        " json_array(b'1010', x'ff00', repeat(_binary'x', 56), repeat(_binary'x', 57), repeat(_binary'x', 58), repeat(_binary'y', 200), '')",
        "json_array(1e14, 1e15, 1e-14, 1e-15, 1e-16, -0e0, 0e0, 123456789.125e0, 1.7976931348623157e308, 5e-324, 0.1e0, 2e-9),"
        " json_object('k', json_object('k', json_array()))",
        "json_array(cast('00:00:00' as time), cast('838:59:59' as time), cast('-838:59:59' as time)), '{}'",
    )
    yield table(
        "json_opaque",
        "a json, g geometry, y year, e enum('a','b'), s set('x','y'), f float, d date, t time(3), dt datetime, b blob, bi bit(5), bn binary(3)",
        "null, null, 2000, 'b', 'x,y', 1.1, '0000-00-00', '-00:00:01.5', '2026-00-10', 'bl', b'101', 'x'",
        update="update {} set a = json_array(y, e, s, f, d, t, dt, b, bi, bn)",
    )
    if number >= (8, 0):
        yield table(
            "json_partial",
            "id int primary key, a json, b json",
            r"""1, '{"a": {"b": [1, 2, {"c": "x"}]}, "k\\"q": 1, "long": "%s", "z": [], "": 0, "é": 1, "s.p": 1}', '[1, [2, 3]]'""" % ("x" * 300),
            set=("set session binlog_row_value_options=PARTIAL_JSON",),
            after_set=("set session binlog_row_value_options=''",),
            steps=(
                "a = json_set(a, '$.a.b[0]', 17)",
                "a = json_set(a, '$.a.b[2].c', 'longer than it was before')",
                "a = json_set(a, '$.a.b[3]', cast('[true]' as json))",
                "a = json_replace(a, '$.long', 'short')",
                "a = json_remove(a, '$.a.b[1]')",
                "a = json_set(a, '$.new', json_object('x', 1.5, 'y', null))",
                "a = json_set(a, '$.bb', 1, '$.a.aa', 2, '$.zzz', 3)",
                "a = json_remove(a, '$.long'), b = json_set(b, '$[1][0]', '2')",
                "b = json_remove(b, '$[1]')",
                r"""a = json_set(a, '$."k\\"q"', 2)""",
                r"""a = json_set(a, '$."s.p"', 2, '$."é"', 3, '$.""', 4)""",
                r"""a = json_set(a, '$."n l\\n"', 1, '$."\\u0001"', 2, '$."back\\\\slash"', 3, '$."tab\\t"', 5, '$."日本"', 6)""",
                r"""a = json_set(a, '$."n l\\n"', 2, '$."\\u0001"', 3, '$."back\\\\slash"', 4, '$."tab\\t"', 6, '$."日本"', 7)""",
                r"""a = json_remove(a, '$."n l\\n"', '$."\\u0001"', '$."back\\\\slash"')""",
                "a = json_array_append(a, '$.z', 1)",
                "a = json_array_insert(a, '$.z[0]', 'first')",
                "a = json_set(a, '$.z[9]', cast('2015-01-15 23:24:25.12' as datetime(2)))",
                "a = json_set(a, '$.z[2]', 18446744073709551615, '$.z[0]', -0.05)",
                "a = json_remove(a, '$.a')",
                "a = json_set(a, '$.a', cast('{\"b\": {}}' as json)), b = json_set(b, '$[0]', cast('{\"b\": {}}' as json))",
                "a = json_set(a, '$.z', 1), b = null",
                "b = '[1]'",
                "a = '{}'",
                "a = json_set(a, '$.a', 1)",
                "id = 2",
            ),
        )
    yield table("invisible", "a int primary key, b int invisible default 5, c int", "1,2,3", names=("a", "b", "c"))
    if number >= (9, 0):
        yield table(
            "vectors",
            "a vector(3) not null, b vector",
            "to_vector('[1,-2.5,3e10]'),to_vector('[0.1]')",
            "to_vector('[0,0,1e-7]'),null",
        )
    if number >= (8, 0, 30):
        yield table(
            "generated_key",
            "a int",
            "1",
            set=("set sql_generate_invisible_primary_key=on",),
            unset=("set sql_generate_invisible_primary_key=off",),
            names=("a",),
        )
        yield table("functional", "a int, b varchar(10), key ((a + 1)), key ((lower(b)))", "1,'x'", names=("a", "b"))


def lenenc(data, at):
    first = data[at]
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first)
    if size is None:
        return first, at + 1
    return int.from_bytes(data[at + 1 : at + 1 + size], "little"), at + 1 + size


def events(name):
    data = open(f"{DATADIR}/{name}", "rb").read()
    at = 4
    while at + 19 <= len(data):
        _, kind, _, length, _, _ = struct.unpack_from("<IBIIIH", data, at)
        yield kind, data[at + 19 : at + length - 4]
        at += length


def names_in_map(body):
    at = 8
    names = []
    for _ in range(2):
        length = body[at]
        names.append(body[at + 1 : at + 1 + length].decode())
        at += length + 2
    return names


def columns_of(name):
    checks = set()
    if maria and number >= (10, 2, 22):
        for (clause,) in run(
            work, f"select check_clause from information_schema.check_constraints where constraint_schema='captured' and table_name='{name}'"
        ):
            clause = text(clause)
            if clause.lower().startswith("json_valid(`"):
                checks.add(clause[12:-2])
    rows = run(
        work,
        "select column_name, column_type, character_set_name, is_nullable from information_schema.columns"
        f" where table_schema='captured' and table_name='{name}' order by ordinal_position",
    )
    for row in rows:
        column, kind, charset, nullable = (text(cell) for cell in row)
        yield column, kind, charset, nullable == "YES", column in checks


def is_versioned_implicitly(name):
    where = f"where table_schema='captured' and table_name='{name}'"
    (kind,) = run(work, f"select table_type from information_schema.tables {where}")[0]
    if text(kind) != "SYSTEM VERSIONED":
        return False
    return not run(work, f"select 1 from information_schema.columns {where} and generation_expression='ROW START'")


def key_of(name):
    rows = run(
        work,
        "select index_name, column_name, nullable from information_schema.statistics"
        f" where table_schema='captured' and table_name='{name}' and non_unique=0 order by index_name, seq_in_index",
    )
    keys = {}
    for row in rows:
        index, column, nullable = (text(cell) for cell in row)
        keys.setdefault(index, []).append((column, nullable))
    if "PRIMARY" in keys:
        return [column for column, _ in keys["PRIMARY"]]
    for columns in keys.values():
        if all(nullable == "" for _, nullable in columns):
            return [column for column, _ in columns]
    return []


def selected(column, kind):
    if kind.startswith(("float", "double")):
        return f"`{column}` + 0e0"
    return f"`{column}`"


def cell(value):
    if value is None:
        return "-"
    return value.hex() or "="


def show(line):
    print(line)


def capture(name, columns, rows, options):
    for statement in options.get("set", ()):
        run(work, statement)
    try:
        run(work, f"create table captured.{name} ({columns}) engine=innodb charset=utf8mb4 {options.get('after', '')}")
    except pymysql.err.Error as error:
        print(f"# {name}: {error}", file=sys.stderr)
        return
    finally:
        for statement in options.get("unset", ()):
            run(work, statement)
    listed = f"({','.join(options['names'])})" if "names" in options else ""
    for row in rows:
        try:
            run(work, f"insert into captured.{name} {listed} values ({row})")
        except pymysql.err.Error as error:
            print(f"# {name}: {error}", file=sys.stderr)
    if "update" in options:
        run(work, options["update"].format(f"captured.{name}"))
    described = list(columns_of(name))
    show(f"table {name}")
    for column, kind, charset, nullable, json in described:
        kind = kind.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
        show(f"column {column}\t{kind}\t{charset or '-'}\t{int(nullable)}\t{int(json)}")
    show(" ".join(["key", *key_of(name)]))
    if is_versioned_implicitly(name):
        show("versioned")
        described += [("row_start", ""), ("row_end", "")]
    wanted = ", ".join(selected(column, kind) for column, kind, *_ in described)
    show_rows(f"select {wanted} from captured.{name}")
    if "steps" in options:
        show("steps")
    for step in options.get("steps", ()):
        run(work, f"update captured.{name} set {step}")
        show_rows(f"select {wanted} from captured.{name}")
    for statement in options.get("after_set", ()):
        run(work, statement)


def show_rows(query):
    reader = connect()
    run(reader, "set character_set_results = NULL")
    for row in run(reader, query):
        show(" ".join(["text", *map(cell, row)]))
    reader.close()


def main():
    print(f"# {version}, binlog_row_metadata={METADATA}")
    print("flavor mariadb" if maria else "flavor mysql")
    if METADATA != "-":
        run(work, f"set global binlog_row_metadata={METADATA}")
    run(work, "drop database if exists captured")
    run(work, "create database captured charset utf8mb4")
    if not maria and number >= (8, 0):
        run(work, "set session binlog_transaction_compression=off")
    run(work, "flush binary logs")
    for each in tables():
        capture(*each)
    status = "show binary log status" if number >= (8, 4) and not maria else "show master status"
    log = text(run(work, status)[0][0])
    wanted = False
    for kind, body in events(log):
        if kind == 19:
            schema, name = names_in_map(body)
            wanted = schema == "captured"
            if wanted:
                print(f"map {body.hex()}")
        elif wanted and kind in (23, 24, 25, 30, 31, 32, 39):
            print(f"rows {kind} {body.hex()}")
    run(work, "drop database captured")


main()
