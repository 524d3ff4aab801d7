-- postgres_fdw of a real PostgreSQL imports a schema and reads it; run by the superuser and rolled back at the end.
-- :host, :port, :user: the server that is imported
\pset pager off
BEGIN;
CREATE EXTENSION postgres_fdw;
CREATE SERVER twin FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host :'host', port :'port', dbname 'mesh', use_remote_estimate 'false');
CREATE USER MAPPING FOR CURRENT_USER SERVER twin OPTIONS (user :'user', password :'user');
CREATE SCHEMA imported;
SAVEPOINT ready;
\set ON_ERROR_ROLLBACK on
\echo == import foreign schema
IMPORT FOREIGN SCHEMA sales FROM SERVER twin INTO imported OPTIONS (import_default 'true', import_not_null 'true');
\d imported.*
\echo == import limited
CREATE SCHEMA few;
IMPORT FOREIGN SCHEMA sales LIMIT TO (clubs) FROM SERVER twin INTO few;
IMPORT FOREIGN SCHEMA nothing FROM SERVER twin INTO few;
\d few.*
\echo == rows
SELECT * FROM imported.orders ORDER BY id;
\echo == pushed-down filter
EXPLAIN (VERBOSE, COSTS OFF) SELECT id, note FROM imported.orders WHERE id > 20 AND amount > 0 AND note LIKE '%o%' ORDER BY id LIMIT 3;
SELECT id, note FROM imported.orders WHERE id > 10 AND amount > 0 AND note LIKE '%o%' ORDER BY id LIMIT 3;
\echo == pushed-down join
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;
SET LOCAL enable_nestloop = off;
EXPLAIN (VERBOSE, COSTS OFF) SELECT c.name, o.amount FROM imported.orders o JOIN imported.clubs c ON c.id = o.club_id WHERE o.day > '2026-01-03' ORDER BY o.id;
SELECT c.name, o.amount FROM imported.orders o JOIN imported.clubs c ON c.id = o.club_id WHERE o.day > '2026-01-03' ORDER BY o.id;
\echo == pushed-down aggregate
EXPLAIN (VERBOSE, COSTS OFF) SELECT club_id, count(*), sum(amount) FROM imported.orders GROUP BY 1 ORDER BY 1;
SELECT club_id, count(*), sum(amount) FROM imported.orders GROUP BY 1 ORDER BY 1;
\echo == joined with the importer's own
SELECT i.id, count(*) FROM sales.clubs s JOIN imported.clubs c USING (name) JOIN imported.orders i ON i.club_id = c.id GROUP BY i.id ORDER BY 1;
\echo == remote estimate
ALTER SERVER twin OPTIONS (SET use_remote_estimate 'true');
SELECT c.name, o.amount FROM imported.orders o JOIN imported.clubs c ON c.id = o.club_id WHERE o.id < 5 ORDER BY o.id;
\echo == portions
ALTER SERVER twin OPTIONS (ADD fetch_size '4');
SELECT id FROM imported.orders ORDER BY note, id;
\echo == analyze
ANALYZE imported.orders;
SELECT n_distinct FROM pg_stats WHERE schemaname = 'imported' AND attname = 'id';
\echo == lateral
SELECT c.name, o.id FROM imported.clubs c, LATERAL (SELECT id FROM imported.orders WHERE club_id = c.id ORDER BY id LIMIT 1) o ORDER BY 1;
\echo == write
INSERT INTO imported.clubs VALUES (9, 'x');
ROLLBACK;
