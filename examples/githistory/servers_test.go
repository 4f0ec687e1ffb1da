package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/gocql/gocql"
	"github.com/jackc/pgx/v5"
	"go.mongodb.org/mongo-driver/v2/mongo"
	mongooptions "go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/go-es/es/drivers/cassandra"
	"github.com/go-es/es/internal/servers"
)

// TestServers imports the recorded history into each server that the driver has
// been given, twice, and proves it.
func TestServers(t *testing.T) {
	for _, row := range []struct {
		server, driver string
		empty          func(t *testing.T, dsn string) string // makes an empty store
	}{
		{"postgres", "postgres", ownSchema},
		{"mariadb", "mysql", ownDatabase},
		{"mysql", "mysql", ownDatabase},
		{"dynamodb", "dynamodb", ownTable},
		{"mongo", "mongo", ownMongo},
		{"cassandra", "cassandra", ownKeyspace},
	} {
		t.Run(row.server, func(t *testing.T) {
			store := row.driver + ":" + row.empty(t, servers.DSN(t, row.server))
			args := []string{"-store", store, "-log", recordedLog, "-tree", recordedTree}
			contains(t, runs(t, args...),
				"imported  1644 commits with 6817 changes",
				"stored    8461 events in 551 streams",
				"PROVED    all 208 files equal git's tree")
			contains(t, runs(t, "-store", store, "-log", recordedLog, "-tree", recordedTree800, "-at", "800"),
				"imported  0 commits with 0 changes",
				"PROVED    all 243 files equal git's tree")
		})
	}
}

func ownName() string { return fmt.Sprintf("githistory_%x", time.Now().UnixNano()) }

// ownSchema returns the name of a store in a schema that goes with the test.
func ownSchema(t *testing.T, dsn string) string {
	schema := ownName()
	t.Cleanup(func() {
		ctx := context.Background()
		conn, err := pgx.Connect(ctx, dsn)
		if err == nil {
			_, err = conn.Exec(ctx, "DROP SCHEMA IF EXISTS "+schema+" CASCADE")
			conn.Close(ctx)
		}
		if err != nil {
			t.Error(err)
		}
	})
	if strings.Contains(dsn, "?") {
		return dsn + "&schema=" + schema
	}
	return dsn + "?schema=" + schema
}

// ownDatabase returns the name of a store in a database that goes with the test.
func ownDatabase(t *testing.T, dsn string) string {
	at := strings.LastIndexByte(dsn, '/') + 1
	before, after := dsn[:at], dsn[at:]
	name := ownName()
	_, options, has := strings.Cut(after, "?")
	if has {
		options = "?" + options
	}
	db, err := sql.Open("mysql", before+options)
	if err == nil {
		_, err = db.Exec("CREATE DATABASE " + name)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.Exec("DROP DATABASE " + name); err != nil {
			t.Error(err)
		}
		db.Close()
	})
	return before + name + options
}

// ownTable returns the name of a store in a table that goes with the test.
func ownTable(t *testing.T, dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + ownName()
	t.Cleanup(func() {
		client := dynamodb.New(dynamodb.Options{
			Region: u.Host, BaseEndpoint: aws.String(u.Query().Get("endpoint")),
			Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
		})
		if _, err := client.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: aws.String(u.Path[1:])}); err != nil {
			t.Error(err)
		}
	})
	return u.String()
}

// ownMongo returns the name of a store in a database of MongoDB that goes with the
// test.
func ownMongo(t *testing.T, dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + ownName()
	t.Cleanup(func() {
		ctx := context.Background()
		client, err := mongo.Connect(mongooptions.Client().ApplyURI(dsn))
		if err == nil {
			err = client.Database(u.Path[1:]).Drop(ctx)
			client.Disconnect(ctx)
		}
		if err != nil {
			t.Error(err)
		}
	})
	return u.String()
}

// ownKeyspace returns the name of a store in a keyspace that goes with the test.
func ownKeyspace(t *testing.T, dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	name := ownName()
	u.Path = "/" + name
	cfg, err := cassandra.ParseDSN(u.String())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Cluster.Timeout = time.Minute // to drop tables takes long
	session, err := cfg.Cluster.CreateSession()
	if err != nil {
		t.Fatal(err)
	}
	do := func(text string) {
		if err := session.Query(text).Consistency(gocql.Quorum).Exec(); err != nil {
			t.Error(err)
		}
	}
	do("CREATE KEYSPACE " + name + " WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
	t.Cleanup(func() {
		do("DROP KEYSPACE " + name)
		session.Close()
	})
	return u.String()
}
