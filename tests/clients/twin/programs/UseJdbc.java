// pgjdbc's DatabaseMetaData, result sets, portals, savepoints, COPY, cancel. Each section is compared as one.
// Run as one file: java -cp postgresql.jar UseJdbc.java

import java.io.StringWriter;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.ParameterMetaData;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Properties;
import java.util.Timer;
import java.util.TimerTask;
import org.postgresql.PGConnection;
import org.postgresql.util.PSQLException;

public class UseJdbc {
    interface Body {
        void run() throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        try (Connection db = connect()) {
            metadata(db, db.getMetaData());
        }
        for (String mode : List.of("simple", "extended", "extendedForPrepared", "extendedCacheEverything")) {
            try (Connection db = connect("preferQueryMode", mode)) {
                section("rows " + mode, () -> show(db.createStatement().executeQuery("SELECT * FROM sales.orders ORDER BY id")));
            }
        }
        try (Connection db = connect("prepareThreshold", "-1")) {
            section("rows in binary", () -> {
                try (PreparedStatement statement = db.prepareStatement("SELECT * FROM sales.orders WHERE id > ? ORDER BY id")) {
                    statement.setInt(1, 0);
                    show(statement.executeQuery());
                }
            });
        }
        try (Connection db = connect()) {
            statements(db);
        }
    }

    static void metadata(Connection db, DatabaseMetaData meta) {
        section("product", () -> System.out.println(meta.getDatabaseProductName() + " " + meta.getDatabaseMajorVersion() + " " + meta.getUserName()
                + " " + meta.getDefaultTransactionIsolation() + " " + meta.getMaxConnections() / 1000 + " " + meta.getMaxColumnNameLength()
                + " " + meta.getMaxIndexLength() + " " + meta.isReadOnly()));
        section("catalogs", () -> show(meta.getCatalogs()));
        section("schemas", () -> show(meta.getSchemas()));
        section("table types", () -> show(meta.getTableTypes()));
        section("tables", () -> show(meta.getTables(null, "sales", "%", null)));
        section("tables and views", () -> show(meta.getTables(null, null, "%", new String[] {"TABLE", "VIEW", "FOREIGN TABLE"})));
        section("system tables", () -> show(meta.getTables(null, "pg_catalog", "pg_cl%", null)));
        section("columns", () -> show(meta.getColumns(null, "sales", "%", "%")));
        section("primary keys", () -> show(meta.getPrimaryKeys(null, "sales", "v")));
        section("imported keys", () -> show(meta.getImportedKeys(null, "sales", "orders")));
        section("exported keys", () -> show(meta.getExportedKeys(null, "sales", "clubs")));
        section("cross reference", () -> show(meta.getCrossReference(null, "sales", "clubs", null, "sales", "orders")));
        section("indexes", () -> show(meta.getIndexInfo(null, "sales", "clubs", false, true)));
        section("best row", () -> show(meta.getBestRowIdentifier(null, "sales", "orders", DatabaseMetaData.bestRowSession, false)));
        section("version columns", () -> show(meta.getVersionColumns(null, "sales", "orders")));
        section("table privileges", () -> show(meta.getTablePrivileges(null, "sales", "%")));
        section("column privileges", () -> show(meta.getColumnPrivileges(null, "sales", "clubs", "%")));
        // by the type's number in JDBC, which many share
        section("types", () -> show(meta.getTypeInfo(), true));
        section("functions", () -> show(meta.getFunctions(null, "pg_catalog", "date_%")));
        section("function columns", () -> show(meta.getFunctionColumns(null, "pg_catalog", "date_trunc", "%")));
        section("procedures", () -> show(meta.getProcedures(null, "pg_catalog", "now")));
        section("user-defined types", () -> show(meta.getUDTs(null, "sales", "%", null)));
        section("keywords", () -> System.out.println(meta.getSQLKeywords()));
        section("client information", () -> show(meta.getClientInfoProperties()));
        section("catalog and schema", () -> System.out.println(db.getCatalog() + " " + db.getSchema()));
    }

    static void statements(Connection db) throws SQLException {
        section("metadata of a result", () -> {
            try (ResultSet rows = db.createStatement().executeQuery("SELECT o.*, 1 AS one FROM sales.orders o WHERE false")) {
                ResultSetMetaData meta = rows.getMetaData();
                for (int c = 1; c <= meta.getColumnCount(); c++) {
                    System.out.println(meta.getColumnName(c) + " " + meta.getColumnTypeName(c) + " " + meta.getColumnClassName(c) + " " + meta.getPrecision(c)
                            + " " + meta.getScale(c) + " " + meta.isNullable(c) + " " + meta.getTableName(c) + " " + meta.getSchemaName(c) + " "
                            + meta.isAutoIncrement(c) + " " + meta.isSigned(c) + " " + meta.getColumnDisplaySize(c));
                }
            }
        });
        section("metadata of parameters", () -> {
            try (PreparedStatement statement = db.prepareStatement("SELECT * FROM sales.orders WHERE id = ? AND day > ? AND note LIKE ? AND amount > ?")) {
                ParameterMetaData meta = statement.getParameterMetaData();
                for (int p = 1; p <= meta.getParameterCount(); p++) {
                    System.out.println(meta.getParameterTypeName(p) + " " + meta.getParameterClassName(p));
                }
            }
        });
        section("prepared", () -> {
            try (PreparedStatement statement = db.prepareStatement("SELECT id, amount FROM sales.orders WHERE id > ? AND day < ? AND (note = ? OR ?) ORDER BY id")) {
                for (int attempt = 0; attempt < 7; attempt++) {
                    statement.setInt(1, 10 + attempt);
                    statement.setDate(2, java.sql.Date.valueOf("2026-01-20"));
                    statement.setString(3, "plain");
                    statement.setBoolean(4, attempt % 2 == 0);
                    show(statement.executeQuery());
                }
            }
            try (PreparedStatement statement = db.prepareStatement("SELECT count(*) FROM sales.orders WHERE id = ANY (?)")) {
                statement.setArray(1, db.createArrayOf("int4", new Integer[] {1, 2, 99}));
                show(statement.executeQuery());
            }
        });
        section("portions", () -> {
            db.setAutoCommit(false);
            try (Statement statement = db.createStatement()) {
                statement.setFetchSize(7);
                show(statement.executeQuery("SELECT id FROM sales.orders ORDER BY id"));
            }
            db.commit();
        });
        section("savepoints", () -> {
            Savepoint point = db.setSavepoint();
            try {
                db.createStatement().executeQuery("SELECT 1/0");
            } catch (SQLException error) {
                System.out.println(error.getSQLState());
            }
            db.rollback(point);
            show(db.createStatement().executeQuery("SELECT 1"));
            db.rollback();
        });
        db.setAutoCommit(true);
        section("isolation", () -> {
            for (int level : new int[] {Connection.TRANSACTION_READ_UNCOMMITTED, Connection.TRANSACTION_REPEATABLE_READ, Connection.TRANSACTION_SERIALIZABLE}) {
                db.setTransactionIsolation(level);
                System.out.println(db.getTransactionIsolation());
            }
            db.setReadOnly(true);
            show(db.createStatement().executeQuery("SHOW transaction_read_only"));
            db.setReadOnly(false);
            db.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
        });
        section("schema", () -> {
            db.setSchema("sales");
            System.out.println(db.getSchema());
            show(db.createStatement().executeQuery("SELECT name FROM clubs ORDER BY id"));
        });
        section("copy", () -> {
            StringWriter out = new StringWriter();
            System.out.println(db.unwrap(PGConnection.class).getCopyAPI().copyOut("COPY sales.clubs TO STDOUT CSV HEADER", out));
            System.out.println(out);
        });
        section("many statements", () -> {
            Statement statement = db.createStatement();
            boolean rows = statement.execute("SELECT 1; SET DateStyle = 'ISO'; SELECT 2");
            for (int count = 0; count < 3; count++) {
                System.out.println(rows + " " + statement.getUpdateCount());
                rows = statement.getMoreResults();
            }
        });
        section("timeout", () -> {
            Statement statement = db.createStatement();
            statement.setQueryTimeout(1);
            statement.executeQuery("SELECT pg_sleep(10)");
        });
        section("cancel", () -> {
            Statement statement = db.createStatement();
            Timer timer = new Timer(true);
            timer.schedule(new TimerTask() {
                @Override
                public void run() {
                    try {
                        statement.cancel();
                    } catch (SQLException error) {
                        System.out.println(error);
                    }
                }
            }, 300);
            statement.executeQuery("SELECT pg_sleep(10)");
        });
        section("notifications", () -> {
            db.createStatement().execute("LISTEN twin");
            try (Connection other = connect()) {
                other.createStatement().execute("NOTIFY twin, 'hello'");
            }
            var got = db.unwrap(PGConnection.class).getNotifications(3000);
            System.out.println(got == null ? "nothing came" : got[0].getName() + " " + got[0].getParameter());
        });
        section("valid", () -> System.out.println(db.isValid(2)));
        for (String sql : List.of("SELECT * FROM nothing", "SELECT 1/0", "SELEC", "SELECT nothing FROM sales.orders", "DELETE FROM sales.clubs")) {
            section("error " + sql, () -> db.createStatement().execute(sql));
        }
    }

    static Connection connect(String... more) throws SQLException {
        Properties options = new Properties();
        options.setProperty("user", System.getenv("PGUSER"));
        options.setProperty("password", System.getenv("PGPASSWORD"));
        for (int at = 0; at < more.length; at += 2) {
            options.setProperty(more[at], more[at + 1]);
        }
        return DriverManager.getConnection(
                "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE"), options);
    }

    static void section(String name, Body body) {
        System.out.println("== " + name);
        try {
            body.run();
        } catch (PSQLException error) {
            var told = error.getServerErrorMessage();
            System.out.println("error " + error.getSQLState() + " " + (told == null ? error.getMessage() : told.getMessage() + " " + told.getPosition()));
        } catch (Exception error) {
            System.out.println("error " + error);
        }
    }


    static void show(ResultSet result) throws SQLException {
        show(result, false);
    }

    static void show(ResultSet result, boolean sorted) throws SQLException {
        ResultSetMetaData meta = result.getMetaData();
        for (int c = 1; c <= meta.getColumnCount(); c++) {
            System.out.println("column " + meta.getColumnLabel(c) + " " + meta.getColumnTypeName(c));
        }
        List<String> rows = new ArrayList<>();
        while (result.next()) {
            List<String> cells = new ArrayList<>();
            for (int c = 1; c <= meta.getColumnCount(); c++) {
                // a byte array has no text of its own
                boolean bytes = "bytea".equals(meta.getColumnTypeName(c));
                cells.add(bytes ? Arrays.toString(result.getBytes(c)) : String.valueOf(result.getString(c)));
            }
            rows.add("row " + String.join(" | ", cells));
        }
        if (sorted) {
            Collections.sort(rows);
        }
        for (String row : rows) {
            System.out.println(row.replace("\n", "\\n"));
        }
        result.close();
    }
}
