// Asks the server in PGHOST, PGPORT what checks.conf says, through node's `pg` and `pg-cursor`.
// Prints `ok NAME …`, exits 1 on a difference.
"use strict";
const fs = require("fs");
const path = require("path");
const { Client } = require("pg");
const Cursor = require("pg-cursor");

const checks = {};
for (const line of fs.readFileSync(path.join(__dirname, "checks.conf"), "utf8").split("\n")) {
  const at = line.indexOf("=");
  if (at > 0 && !line.startsWith("#")) checks[line.slice(0, at)] = line.slice(at + 1);
}

async function connect(user) {
  const client = new Client({
    host: process.env.PGHOST, port: Number(process.env.PGPORT), database: "mesh", user, password: user,
  });
  await client.connect();
  return client;
}

function check(name, condition, fact) {
  if (!condition) {
    console.log(`DIFFERENT ${name}: ${fact}`);
    process.exit(1);
  }
  console.log(`ok ${name} ${fact}`);
}

async function refusal(user, sql) {
  const client = await connect(user);
  try {
    await client.query(sql);
    return null;
  } catch (error) {
    return error;
  } finally {
    await client.end();
  }
}

async function main() {
  const seen = [];
  for (const user of checks["discovery.users"].split(",")) {
    const client = await connect(user);
    const { rows } = await client.query(checks["discovery.sql"]);
    const scores = rows.map((row) => row.quality_score);
    const falls = scores.every((score, at) => at === 0 || scores[at - 1] >= score);
    check(`discovery ${user}`, rows.length > 0 && falls, `${rows.length} rows, scores ${scores.slice(0, 3)}`);
    seen.push(JSON.stringify(rows));
    await client.end();
  }
  check("discovery differs", seen[0] !== seen[1], "between users");

  const client = await connect(checks["count.user"]);
  const count = Number((await client.query(checks["count.sql"])).rows[0].count);
  check("count", count > 0, `${count} orders`);
  const { rows } = await client.query(checks["rows.sql"]);
  check("rows", rows.length === count, `${rows.length} rows, first ${rows[0].order_id} ${rows[0].amount}`);

  const low = Number(rows[0].order_id);
  const expected = rows
    .filter((row) => Number(row.order_id) >= low && Number(row.order_id) < low + 10)
    .map((row) => [String(row.order_id), String(row.amount)]);
  for (const attempt of [0, 1]) {
    const some = await client.query({
      name: "some orders", text: checks["prepared.sql.dollar"], values: [low, low + 10], rowMode: "array",
    });
    const found = some.rows.map((row) => row.map(String));
    check(`prepared ${attempt}`, JSON.stringify(found) === JSON.stringify(expected), `${found.length} rows`);
  }

  const cursor = client.query(new Cursor(checks["rows.sql"]));
  const portions = [];
  for (let portion = await cursor.read(7); portion.length > 0; portion = await cursor.read(500)) {
    portions.push(...portion);
  }
  await cursor.close();
  check("cursor", JSON.stringify(portions) === JSON.stringify(rows), `${portions.length} rows in portions`);
  const early = client.query(new Cursor(checks["rows.sql"]));
  await early.read(3);
  await early.close();
  check("cursor closed early", Number((await client.query(checks["count.sql"])).rows[0].count) === count, "session goes on");
  await client.end();

  // pg itself asks for binary only with `binary: true`; what it cannot parse in binary stays out of the comparison.
  const binary = await connect(checks["count.user"]);
  const some = await binary.query({ text: "select $1::int as n, true as b", values: [42], binary: true });
  check("binary", some.rows[0].n === 42 && some.rows[0].b === true, JSON.stringify(some.rows[0]));
  await binary.end();

  const scientist = await connect(checks["join.user"]);
  const join = (await scientist.query(checks["join.sql"])).rows;
  const falls = join.every((row, at) => at === 0 || Number(join[at - 1].revenue) >= Number(row.revenue));
  check("join", join.length > 0 && falls, `${join.length} rows`);
  await scientist.end();

  let error = await refusal(checks["refused.user"], checks["refused.sql"]);
  const hinted = error && (error.hint || "").includes(checks["refused.hint"]);
  check("refused", hinted && error.code === checks["refused.sqlstate"], error && `${error.code} ${error.hint}`);
  error = await refusal(checks["missing.user"], checks["missing.sql"]);
  check("missing", error && error.code === checks["missing.sqlstate"] && !error.hint, error && `${error.code} ${error.message}`);
}

main().catch((error) => {
  console.log(`DIFFERENT: ${error.stack}`);
  process.exit(1);
});
