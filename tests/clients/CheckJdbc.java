// Asks the server in PGHOST, PGPORT what checks.conf says, through pgjdbc. Prints `ok NAME …`, exits 1 on a difference.
// Run as one file: java -cp postgresql.jar CheckJdbc.java CHECKS.CONF

import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import org.postgresql.util.PSQLException;

public class CheckJdbc {
    static final Properties CHECKS = new Properties();

    public static void main(String[] args) throws Exception {
        try (Reader reader = Files.newBufferedReader(Path.of(args[0]))) {
            CHECKS.load(reader);
        }
        discovery();
        orders();
        join();
        refusals();
    }

    static void discovery() throws SQLException {
        List<String> seen = new ArrayList<>();
        for (String user : CHECKS.getProperty("discovery.users").split(",")) {
            String text;
            try (Connection connection = connect(user, "simple")) {
                text = String.join("\n", rows(connection, CHECKS.getProperty("discovery.sql")));
            }
            try (Connection connection = connect(user, "extended")) {
                String extended = String.join("\n", rows(connection, CHECKS.getProperty("discovery.sql")));
                check("discovery " + user + " simple=extended", !text.isEmpty() && text.equals(extended), text.lines().count() + " rows");
            }
            seen.add(text);
        }
        check("discovery differs", !seen.get(0).equals(seen.get(1)), "between users");
    }

    static void orders() throws SQLException {
        try (Connection connection = connect(CHECKS.getProperty("count.user"), "extended")) {
            long count = Long.parseLong(rows(connection, CHECKS.getProperty("count.sql")).get(0));
            check("count", count > 0, count + " orders");
            List<String> all = rows(connection, CHECKS.getProperty("rows.sql"));
            check("rows", all.size() == count, all.size() + " rows, first " + all.get(0));
            long low = Long.parseLong(all.get(0).split("\\|")[0]);
            prepared(connection, low);
            portal(connection, all);
        }
    }

    // The sixth run uses a statement with a name, and results in binary.
    static void prepared(Connection connection, long low) throws SQLException {
        List<String> first = null;
        try (PreparedStatement statement = connection.prepareStatement(CHECKS.getProperty("prepared.sql.question"))) {
            for (int attempt = 0; attempt < 8; attempt++) {
                statement.setLong(1, low);
                statement.setLong(2, low + 10);
                List<String> found = read(statement.executeQuery());
                first = first == null ? found : first;
                check("prepared " + attempt, !found.isEmpty() && found.equals(first), found.size() + " rows");
            }
        }
    }

    // A fetch size inside a transaction makes pgjdbc execute a portal in portions.
    static void portal(Connection connection, List<String> all) throws SQLException {
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            statement.setFetchSize(500);
            List<String> found = read(statement.executeQuery(CHECKS.getProperty("rows.sql")));
            check("portal", found.equals(all), found.size() + " rows in portions");
        }
        try (Statement statement = connection.createStatement()) {
            statement.setFetchSize(3);
            try (ResultSet some = statement.executeQuery(CHECKS.getProperty("rows.sql"))) {
                check("portal closed early", some.next() && some.next(), "2 rows");
            }
        }
        connection.commit();
        connection.setAutoCommit(true);
    }

    static void join() throws SQLException {
        try (Connection connection = connect(CHECKS.getProperty("join.user"), "extended")) {
            List<String> found = rows(connection, CHECKS.getProperty("join.sql"));
            check("join", !found.isEmpty(), found.size() + " rows");
        }
    }

    static void refusals() throws SQLException {
        for (String name : List.of("refused", "missing")) {
            try (Connection connection = connect(CHECKS.getProperty(name + ".user"), "extended")) {
                rows(connection, CHECKS.getProperty(name + ".sql"));
                check(name, false, "it was answered");
            } catch (PSQLException error) {
                String hint = error.getServerErrorMessage() == null ? null : error.getServerErrorMessage().getHint();
                String expected = CHECKS.getProperty(name + ".hint");
                boolean hinted = expected == null ? hint == null : hint != null && hint.contains(expected);
                boolean same = CHECKS.getProperty(name + ".sqlstate").equals(error.getSQLState());
                check(name, same && hinted, error.getSQLState() + " " + error.getMessage().replace('\n', ' '));
            }
        }
    }

    static Connection connect(String user, String queryMode) throws SQLException {
        Properties options = new Properties();
        options.setProperty("user", user);
        options.setProperty("password", user);
        options.setProperty("preferQueryMode", queryMode);
        return DriverManager.getConnection(
                "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/mesh", options);
    }

    static List<String> rows(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            return read(statement.executeQuery(sql));
        }
    }

    static List<String> read(ResultSet result) throws SQLException {
        List<String> rows = new ArrayList<>();
        int columns = result.getMetaData().getColumnCount();
        while (result.next()) {
            List<String> cells = new ArrayList<>();
            for (int column = 1; column <= columns; column++) {
                cells.add(result.getString(column));
            }
            rows.add(String.join("|", cells.stream().map(String::valueOf).toList()));
        }
        result.close();
        return rows;
    }

    static void check(String name, boolean condition, String fact) {
        if (!condition) {
            System.out.println("DIFFERENT " + name + ": " + fact);
            System.exit(1);
        }
        System.out.println("ok " + name + " " + fact);
    }
}
