// node's pg with cursors and type information, and postgres.js. Each section is compared as one.
"use strict";
const { Client, Pool } = require("pg");
const Cursor = require("pg-cursor");
const postgres = require("postgres");

const target = {
  host: process.env.PGHOST, port: Number(process.env.PGPORT), database: process.env.PGDATABASE,
  user: process.env.PGUSER, password: process.env.PGPASSWORD,
};

async function section(name, body) {
  console.log(`== ${name}`);
  try {
    await body();
  } catch (error) {
    console.log("error", error.name, error.code, error.message, error.position);
  }
}

function show(result) {
  for (const f of result.fields || []) console.log("column", f.name, f.dataTypeID, f.dataTypeSize, f.dataTypeModifier, f.format);
  for (const row of result.rows || result) console.log("row", JSON.stringify(row));
  if (result.command) console.log(result.command, result.rowCount);
}

async function viaPg() {
  const db = new Client({ ...target, application_name: "twin" });
  const said = {};
  db.connection.on("parameterStatus", (message) => (said[message.parameterName] = message.parameterValue));
  await db.connect();
  await section("pg session", async () => {
    for (const name of ["client_encoding", "DateStyle", "TimeZone", "application_name", "integer_datetimes"]) console.log(name, said[name]);
  });
  await section("pg rows", async () => show(await db.query("SELECT * FROM sales.orders ORDER BY id")));
  await section("pg parameters", async () => {
    show(await db.query("SELECT id, amount FROM sales.orders WHERE id = ANY($1) AND day > $2 ORDER BY id", [[1, 2, 3], new Date(Date.UTC(2026, 0, 1))]));
    show(await db.query({ text: "SELECT $1::int AS n, $2::text AS t, $3::bytea AS b", values: [1, null, Buffer.from("x")], rowMode: "array" }));
    for (const id of [1, 2]) show(await db.query({ name: "named", text: "SELECT note FROM sales.orders WHERE id = $1", values: [id] }));
  });
  await section("pg binary", async () => show(await db.query({ text: "SELECT id, flag, ratio, big FROM sales.orders ORDER BY id LIMIT 3", binary: true })));
  await section("pg cursor", async () => {
    const cursor = db.query(new Cursor("SELECT id FROM sales.orders WHERE id > $1 ORDER BY id", [10]));
    console.log(JSON.stringify(await cursor.read(4)), JSON.stringify(await cursor.read(3)));
    await cursor.close();
  });
  await section("pg several statements", async () => {
    for (const result of await db.query("SELECT 1 AS a; SELECT 2 AS b, 3; BEGIN; COMMIT")) show(result);
  });
  for (const sql of ["SELECT * FROM nothing", "SELECT 1/0", "SELEC", "SELECT nothing FROM sales.orders"]) {
    await section(`pg ${sql}`, () => db.query(sql));
  }
  await section("pg notifications", async () => {
    const got = new Promise((resolve) => db.once("notification", (message) => resolve([message.channel, message.payload])));
    await db.query("LISTEN twin");
    const other = new Client(target);
    await other.connect();
    await other.query("NOTIFY twin, 'hello'");
    await other.end();
    const late = new Promise((resolve) => setTimeout(() => resolve("nothing came"), 3000).unref());
    console.log(await Promise.race([got, late]));
  });
  await db.end();
  await section("pg pool", async () => {
    const pool = new Pool({ ...target, max: 3 });
    const found = await Promise.all([1, 2, 3, 4, 5].map((n) => pool.query("SELECT $1::int + count(*) AS n FROM sales.clubs", [n])));
    console.log(JSON.stringify(found.map((result) => result.rows[0].n)));
    await pool.end();
  });
}

async function viaPostgres() {
  const sql = postgres({ ...target, max: 2, connection: { application_name: "twin" } });
  await section("postgres rows", async () => {
    const rows = await sql`SELECT * FROM sales.orders ORDER BY id`;
    for (const c of rows.columns) console.log("column", c.name, c.type);
    show(rows);
    console.log(rows.command, rows.count);
  });
  await section("postgres parameters", async () => {
    show(await sql`SELECT id, amount FROM sales.orders WHERE id IN ${sql([1, 2, 3])} AND note IS NOT NULL ORDER BY id`);
    show(await sql`SELECT ${"x"}::text AS t, ${[1, 2]}::int[] AS a, ${null}::int AS n, ${sql.json({ a: 1 })}::jsonb AS j`);
    show(await sql`SELECT ${sql("name")} FROM ${sql("sales.clubs")} ORDER BY id`);
  });
  await section("postgres cursor", async () => {
    for await (const rows of sql`SELECT id FROM sales.orders ORDER BY id`.cursor(10)) console.log(JSON.stringify(rows));
  });
  await section("postgres describe", async () => {
    const described = await sql`SELECT id, amount FROM sales.orders WHERE id > ${1}`.describe();
    console.log(JSON.stringify(described.types), JSON.stringify(described.columns.map((c) => [c.name, c.type])));
  });
  await section("postgres transaction", async () => {
    console.log(JSON.stringify(await sql.begin("read only", async (t) => [await t`SELECT 1 AS a`, await t.savepoint((s) => s`SELECT 2 AS b`)])));
  });
  await section("postgres copy", async () => {
    const stream = await sql`COPY (SELECT id, note FROM sales.orders ORDER BY id) TO STDOUT`.readable();
    let text = "";
    for await (const part of stream) text += part;
    console.log(JSON.stringify(text));
  });
  await section("postgres simple", async () => console.log(JSON.stringify(await sql.unsafe("SELECT 1 AS a; SELECT 2 AS b"))));
  await section("postgres listen", async () => {
    const got = new Promise((resolve) => sql.listen("twin", resolve).then(() => sql.notify("twin", "hello")));
    console.log(await Promise.race([got, new Promise((resolve) => setTimeout(() => resolve("nothing came"), 3000).unref())]));
  });
  await section("postgres error", () => sql`SELECT * FROM nothing`);
  await section("postgres cancel", async () => {
    const query = sql`SELECT pg_sleep(10)`;
    setTimeout(() => query.cancel(), 300);
    await query;
  });
  await sql.end({ timeout: 2 });
}

viaPg().then(viaPostgres).catch((error) => {
  console.log("error", error.stack);
  process.exit(1);
});
