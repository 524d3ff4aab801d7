// lib/pq and pgx 4, by themselves and under database/sql. Each section is compared as one.
package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v4"
	_ "github.com/jackc/pgx/v4/stdlib"
	"github.com/lib/pq"
)

func section(name string, body func() error) {
	fmt.Println("== " + name)
	done := make(chan error, 1)
	go func() { done <- body() }()
	select {
	case err := <-done:
		if err != nil {
			fmt.Println("error", strings.ReplaceAll(err.Error(), "\n", " "))
		}
	case <-time.After(30 * time.Second):
		fmt.Println("not done after 30 s")
	}
}

func show(rows *sql.Rows, err error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	types, _ := rows.ColumnTypes()
	for _, t := range types {
		length, sized := t.Length()
		precision, scale, decimal := t.DecimalSize()
		fmt.Println("column", t.Name(), t.DatabaseTypeName(), t.ScanType(), length, sized, precision, scale, decimal)
	}
	for rows.Next() {
		values := make([]any, len(types))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			return err
		}
		fmt.Print("row")
		for _, v := range values {
			switch v := (*v.(*any)).(type) {
			case []byte:
				fmt.Printf(" %q", v)
			case string:
				fmt.Printf(" %q", v)
			case time.Time:
				fmt.Print(" ", v.UTC().Format(time.RFC3339Nano))
			default:
				fmt.Printf(" %v", v)
			}
		}
		fmt.Println()
	}
	return rows.Err()
}

func main() {
	dsn := fmt.Sprintf("postgres://%s:%s@%s:%s/%s?sslmode=disable", os.Getenv("PGUSER"), os.Getenv("PGPASSWORD"), os.Getenv("PGHOST"), os.Getenv("PGPORT"), os.Getenv("PGDATABASE"))
	for _, driver := range []string{"postgres", "pgx"} {
		db, err := sql.Open(driver, dsn)
		if err != nil {
			panic(err)
		}
		db.SetMaxOpenConns(2)
		section(driver+" ping", db.Ping)
		section(driver+" rows", func() error {
			return show(db.Query("SELECT id, day, amount, note, at, club_id, big, small, flag, ratio, score, blob, local_at FROM sales.orders ORDER BY id"))
		})
		section(driver+" parameters", func() error {
			return show(db.Query("SELECT id, note FROM sales.orders WHERE id > $1 AND day < $2 AND (note = $3 OR $4) ORDER BY id", 10, time.Date(2026, 1, 20, 0, 0, 0, 0, time.UTC), "plain", true))
		})
		section(driver+" prepared", func() error {
			statement, err := db.Prepare("SELECT amount FROM sales.orders WHERE id = $1")
			if err != nil {
				return err
			}
			for _, id := range []int{1, 7} {
				var amount sql.NullString
				if err := statement.QueryRow(id).Scan(&amount); err != nil {
					return err
				}
				fmt.Println(amount)
			}
			return nil
		})
		section(driver+" transaction", func() error {
			tx, err := db.BeginTx(context.Background(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
			if err != nil {
				return err
			}
			defer tx.Rollback()
			return show(tx.Query("SHOW transaction_isolation"))
		})
		section(driver+" cancel", func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			_, err := db.ExecContext(ctx, "SELECT pg_sleep(10)")
			fmt.Println(err != nil)
			return nil
		})
		section(driver+" error", func() error { return show(db.Query("SELECT * FROM nothing")) })
		db.Close()
	}
	section("lib/pq listen", func() error {
		listener := pq.NewListener(dsn, time.Second, time.Second, nil)
		defer listener.Close()
		if err := listener.Listen("twin"); err != nil {
			return err
		}
		db, _ := sql.Open("postgres", dsn)
		defer db.Close()
		if _, err := db.Exec("NOTIFY twin, 'hello'"); err != nil {
			return err
		}
		select {
		case got := <-listener.Notify:
			fmt.Println(got.Channel, got.Extra)
		case <-time.After(3 * time.Second):
			fmt.Println("nothing came")
		}
		return nil
	})
	section("lib/pq arrays", func() error {
		db, _ := sql.Open("postgres", dsn)
		defer db.Close()
		var tags []sql.NullString
		var count int
		if err := db.QueryRow("SELECT tags FROM sales.orders WHERE id = 3").Scan(pq.Array(&tags)); err != nil {
			return err
		}
		err := db.QueryRow("SELECT count(*) FROM sales.orders WHERE id = ANY($1)", pq.Array([]int{1, 2, 99})).Scan(&count)
		fmt.Println(tags, count)
		return err
	})
	viaPgx(dsn)
}

func viaPgx(dsn string) {
	ctx := context.Background()
	db, err := pgx.Connect(ctx, dsn)
	if err != nil {
		fmt.Println("error", err)
		return
	}
	defer db.Close(ctx)
	section("pgx rows", func() error {
		rows, err := db.Query(ctx, "SELECT * FROM sales.orders ORDER BY id")
		if err != nil {
			return err
		}
		defer rows.Close()
		for _, f := range rows.FieldDescriptions() {
			fmt.Println("column", string(f.Name), f.DataTypeOID, f.DataTypeSize, f.TypeModifier, f.Format)
		}
		for rows.Next() {
			values, err := rows.Values()
			if err != nil {
				return err
			}
			fmt.Printf("row %v %v %v %q\n", values[0], values[2], values[5], values[3])
		}
		return rows.Err()
	})
	section("pgx batch", func() error {
		batch := &pgx.Batch{}
		for n := 0; n < 3; n++ {
			batch.Queue("SELECT $1::int + count(*) FROM sales.clubs", n)
		}
		results := db.SendBatch(ctx, batch)
		defer results.Close()
		for n := 0; n < 3; n++ {
			var count int64
			if err := results.QueryRow().Scan(&count); err != nil {
				return err
			}
			fmt.Println(count)
		}
		return nil
	})
	section("pgx copy", func() error {
		var out bytes.Buffer
		tag, err := db.PgConn().CopyTo(ctx, &out, "COPY sales.clubs TO STDOUT CSV")
		fmt.Println(string(tag), out.String())
		return err
	})
	section("pgx description", func() error {
		told, err := db.Prepare(ctx, "twin", "SELECT id, at FROM sales.orders WHERE day > $1 AND amount > $2 AND note LIKE $3 LIMIT $4")
		if err == nil {
			fmt.Println(told.ParamOIDs, len(told.Fields))
		}
		return err
	})
}
