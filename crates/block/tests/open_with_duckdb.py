"""Opens every section of a block with DuckDB, by the format's description alone, and prints sums."""

import json
import pathlib
import struct
import sys
import tempfile

import duckdb

data = pathlib.Path(sys.argv[1]).read_bytes()
sums, text, version, _ = struct.unpack("<IIII", data[-24:-8])
assert data[-8:] == b"CAIRNBLK" and version == 3
toc = json.loads(data[-24 - text : -24])

database = duckdb.connect()


def rows_of(query):
    return database.execute(query).fetchall()


with tempfile.TemporaryDirectory() as folder:
    for section in toc["sections"]:
        name, offset, size = section["name"], section["offset"], section["bytes"]
        path = pathlib.Path(folder, name + ".parquet")
        path.write_bytes(data[offset : offset + size])
        database.execute(f"create table {name} as select * from read_parquet('{path}')")
        ((rows,),) = rows_of(f"select count(*) from {name}")
        assert rows == section["rows"], (name, rows)
        columns = [f"{c[0]} {c[1]}" for c in rows_of(f"describe {name}")]
        print(f"{name}: {rows} rows: {', '.join(columns)}")

# A profile's samples are a range of rows, and their values times the scale are its total.
((wrong,),) = rows_of("""
    with numbered as (select row_number() over () - 1 as row, value from samples)
    select count(*) from profiles p
    where p.rows > 0 and p.total_value <> p.scale * (
        select sum(value) from numbered s where s.row >= p.first_row and s.row < p.first_row + p.rows)
""")
assert wrong == 0, wrong

((rows, values),) = rows_of("select count(*), sum(value)::hugeint from samples")
((totals,),) = rows_of("select sum(total_value)::hugeint from profiles")
print(f"rows {rows} values {values} totals {totals}")
