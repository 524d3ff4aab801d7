-- psql's own commands; each \echo begins what is compared as one
\pset pager off
\echo == session
SELECT current_user, current_database();
\echo == list databases
\l
\echo == schemas
\dn
\dn+
\echo == relations
\d
\echo == tables
\dt sales.*
\dt+ sales.*
\dt *.orders
\echo == describe tables
\d sales.orders
\d sales.clubs
\d sales.v
\d+ sales.orders
\d nothing
\echo == describe the catalog
\d pg_catalog.pg_class
\d information_schema.columns
\echo == indexes
\di sales.*
\di+ sales.*
\echo == views
\dv sales.*
\dv pg_catalog.pg_s*
\echo == sequences and others
\ds
\dm
\dE
\echo == functions
\df pg_catalog.date_trunc
\df+ pg_catalog.now
\da pg_catalog.string_agg
\echo == types
\dT pg_catalog.int*
\dT+ pg_catalog.bool
\echo == roles
\du sales_analyst
\echo == privileges
\dp sales.clubs
\z sales.clubs
\echo == operators
\do pg_catalog.||
\echo == casts
\dC json
\echo == collations
\dO pg_catalog.C
\echo == text search
\dF
\dFd
\dFp
\dFt
\echo == extensions and foreign
\dx
\dew
\des
\det
\deu
\echo == languages
\dL
\echo == tablespaces
\db
\echo == access methods
\dA
\dAc btree int*
\echo == comments
\dd
\echo == rarer things
\ddp
\drds
\dy
\dRp
\dX
\echo == configuration
\dconfig work_mem
\echo == sources
\sf pg_catalog.now
\sv pg_catalog.pg_tables
\echo == gdesc
SELECT * FROM sales.orders \gdesc
SELECT 1, 'x', 1.5, now(), NULL \gdesc
\echo == rows
SELECT * FROM sales.orders ORDER BY id;
\x on
SELECT * FROM sales.orders ORDER BY id LIMIT 2;
\x off
\echo == fetch count
\set FETCH_COUNT 7
SELECT id, note FROM sales.orders ORDER BY id;
\unset FETCH_COUNT
\echo == copy
\copy sales.clubs TO STDOUT CSV HEADER
\copy (SELECT id, tags FROM sales.orders ORDER BY id) TO STDOUT
\echo == crosstabview
SELECT day, shop, visitors FROM sales.v ORDER BY 1, 2 \crosstabview
\echo == gset and gexec
SELECT count(*) AS n FROM sales.orders \gset
\echo :n
SELECT 'SELECT ' || id FROM sales.clubs ORDER BY id \gexec
\echo == prepared
PREPARE p (int) AS SELECT note FROM sales.orders WHERE id = $1;
EXECUTE p(1);
EXECUTE p('x');
DEALLOCATE p;
EXECUTE p(1);
\echo == transactions
BEGIN;
SELECT 1/0;
SELECT 1;
ROLLBACK;
\set ON_ERROR_ROLLBACK on
BEGIN;
SELECT 1/0;
SELECT 2;
COMMIT;
\echo == errors
SELECT * FROM nothing;
SELECT nothing FROM sales.orders;
SELECT no_function(1);
SELEC 1;
SELECT 1 +;
SELECT 'x'::int;
SELECT 1/0;
\errverbose
SET nothing = 1;
SHOW nothing;
\echo == writes
INSERT INTO sales.clubs VALUES (9, 'x');
CREATE TABLE t (i int);
CREATE TEMP TABLE t (i int);
\echo == notifications
LISTEN twin;
NOTIFY twin, 'hello';
SELECT 1;
\echo == settings
SET DateStyle = 'German, DMY';
SET TimeZone = 'America/New_York';
SET IntervalStyle = 'iso_8601';
SET bytea_output = 'escape';
SET extra_float_digits = 0;
SELECT day, at, local_at, blob, ratio, score, interval '1 day 2 hours' FROM sales.orders ORDER BY id;
RESET ALL;
SHOW DateStyle;
\encoding LATIN1
SELECT name FROM sales.clubs ORDER BY id;
