package dynamodbtest

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-es/es/conformance"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/dynamodb"
	"github.com/go-es/es/internal/servers"
)

var caps = driver.Caps{
	MaxEventBytes:    399 << 10,
	MaxAppendEvents:  1000,
	MaxAppendBytes:   399 << 10,
	MaxStreams:       100,
	MaxSnapshotBytes: 399 << 10,
	Gapless:          true,
	FilterFeed:       true,
	ListLag:          true,
}

func TestConformance(t *testing.T) {
	server := server(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "local") // for another region than local
	t.Setenv("AWS_SECRET_ACCESS_KEY", "local")
	conformance.Run(t, conformance.Config{
		Open:      open,
		DSN:       func(t conformance.TB) string { return data(t, server) },
		Caps:      caps,
		FeedBound: servers.Bound,
		Processes: true,
		Beside:    func(t conformance.TB, _ string) string { return data(t, server) },
		Restore:   restore,
		Malformed: []string{"", "nothing", "dynamodb:table", "mysql://local/table", "dynamodb://LOCAL/table", "dynamodb://local/a", "dynamodb://local/a/b",
			"dynamodb://local:80/table", "dynamodb://local/table#x", "dynamodb://local/" + strings.Repeat("a", 256),
			with(server, "ddl=no"), with(server, "settle=5"), with(server, "prefix=a"), with(server, "region=x"), with(server, "endpoint=twice"),
			"dynamodb://local/table?endpoint=127.0.0.1:8000", "dynamodb://local/table?endpoint=ftp://127.0.0.1"},
		Foreign: []func(conformance.TB) (string, func() error){
			foreign(server, func(in *sdk.CreateTableInput) {
				in.AttributeDefinitions = []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: "S"}}
				in.KeySchema = []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: "HASH"}}
				in.GlobalSecondaryIndexes = nil
			}),
			foreign(server, func(in *sdk.CreateTableInput) { in.AttributeDefinitions[1].AttributeType = "N" }),
			foreign(server, func(in *sdk.CreateTableInput) {
				in.GlobalSecondaryIndexes, in.AttributeDefinitions = nil, in.AttributeDefinitions[:2]
			}),
			foreign(server, func(in *sdk.CreateTableInput) {
				in.GlobalSecondaryIndexes[0].Projection = &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly}
			}),
			foreign(server, nil),
		},
		Newer: func(t conformance.TB, dsn string) func() {
			set := func(version int) {
				update(t, dsn, map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "m"}, "sk": &types.AttributeValueMemberS{Value: "meta"}},
					"SET #s = :v", map[string]string{"#s": "schema"}, &types.AttributeValueMemberN{Value: fmt.Sprint(version)})
			}
			set(2)
			return func() { set(1) }
		},
		Secrets: []conformance.Secret{
			{DSN: "dynamodb://AKIA:hunter2x@eu-west-1/table", Secret: "hunter2x"},
			{DSN: "dynamodb://AKIA:hunter2x@eu-west-1:port/table", Secret: "hunter2x"},
			{DSN: "dynamodb://[AKIA:hunter2x@eu-west-1/table", Secret: "hunter2x"},
			{DSN: "dynamodb://local/table?endpoint=" + "http://AKIA:hunter2x@127.0.0.1:1", Secret: "hunter2x"},
			{DSN: "dynamodb://local/table?secret=hunter2x", Secret: "hunter2x"},
			{DSN: "dynamodb://local/table?ddl=hunter2x", Secret: "hunter2x"},
		},
		Refused: []conformance.Refused{
			{DSN: refused(t, server, func(c *sdk.Client, table *string) error {
				_, err := c.UpdateTimeToLive(t.Context(), &sdk.UpdateTimeToLiveInput{TableName: table,
					TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("expires"), Enabled: aws.Bool(true)}})
				return err
			}), Word: "TimeToLive"},
			{DSN: strings.Replace(refused(t, server, nil), "//local/", "//eu-west-1/", 1), Word: "region"},
		},
		CheckOnly: func(dsn string) string { return with(dsn, "ddl=check") },
		Corrupt: []func(conformance.TB, string, string){
			damage("REMOVE ev", nil),
			damage("SET ev = :v", &types.AttributeValueMemberB{Value: []byte{1}}),
			damage("SET ids = :v", &types.AttributeValueMemberB{Value: []byte{1}}),
			damage("SET #to = :v", &types.AttributeValueMemberN{Value: "99"}),
			damage("SET #to = :v", &types.AttributeValueMemberN{Value: strconv.FormatInt(1<<60+1, 10)}),
		},
		Fault: fault,
		Crash: crash,
	})
}

// crash makes data on a server of its own.
func crash(t conformance.TB) (dsn string, kill, revive func()) {
	tb, ok := t.(testing.TB)
	if !ok {
		t.Fatalf("%T is no testing.TB", t)
	}
	s := servers.Run(tb, "dynamodb")
	return in(s.DSN, "crashed"), s.Kill, s.Start
}

// A client of the caller's, whose own retries would hide what became of a write, and
// that keeps ten connections, as the client does by itself.
func TestConformanceClient(t *testing.T) {
	server := server(t)
	conformance.Run(t, conformance.Config{
		Open: func(ctx context.Context, dsn string) (driver.Store, error) {
			transport := http.DefaultTransport.(*http.Transport).Clone()
			transport.MaxIdleConnsPerHost = 10
			c, _ := client(dsn, transport)
			return openClient(ctx, dsn, c, func() error { transport.CloseIdleConnections(); return nil })
		},
		DSN:       func(t conformance.TB) string { return data(t, server) },
		Caps:      caps,
		FeedBound: servers.Bound,
	})
}

// restore copies the items, and back.
func restore(t conformance.TB, dsn string) func() {
	saved, err := items(t.Context(), dsn)
	must(t, err)
	return func() {
		now, err := items(t.Context(), dsn)
		must(t, err)
		c, end := client(dsn, nil)
		defer end()
		for _, it := range now {
			_, err := c.DeleteItem(t.Context(), &sdk.DeleteItemInput{TableName: table(dsn), Key: map[string]types.AttributeValue{"pk": it["pk"], "sk": it["sk"]}})
			must(t, err)
		}
		for _, it := range saved {
			_, err := c.PutItem(t.Context(), &sdk.PutItemInput{TableName: table(dsn), Item: it})
			must(t, err)
		}
	}
}

// foreign makes a table that is not a store's, with an item in it.
func foreign(server string, change func(*sdk.CreateTableInput)) func(conformance.TB) (string, func() error) {
	return func(t conformance.TB) (string, func() error) {
		dsn := data(t, server)
		c, end := client(dsn, nil)
		defer end()
		cfg, err := dynamodb.ParseDSN(dsn)
		must(t, err)
		in := cfg.CreateTable()
		if change != nil {
			change(in)
		}
		_, err = c.CreateTable(t.Context(), in)
		must(t, err)
		it := map[string]types.AttributeValue{}
		for _, k := range in.KeySchema {
			it[*k.AttributeName] = &types.AttributeValueMemberS{Value: "1"}
			for _, a := range in.AttributeDefinitions {
				if *a.AttributeName == *k.AttributeName && a.AttributeType == "N" {
					it[*k.AttributeName] = &types.AttributeValueMemberN{Value: "1"}
				}
			}
		}
		_, err = c.PutItem(t.Context(), &sdk.PutItemInput{TableName: in.TableName, Item: it})
		must(t, err)
		before, err := items(t.Context(), dsn)
		must(t, err)
		return dsn, func() error {
			after, err := items(context.Background(), dsn)
			if err == nil && !reflect.DeepEqual(after, before) {
				err = fmt.Errorf("the table was changed: %v, %v", before, after)
			}
			return err
		}
	}
}

// refused makes a store that something is done to.
func refused(t *testing.T, server string, do func(c *sdk.Client, table *string) error) string {
	dsn := data(t, server)
	s, err := open(t.Context(), dsn)
	must(t, err)
	must(t, s.Close())
	if do != nil {
		c, end := client(dsn, nil)
		defer end()
		must(t, do(c, table(dsn)))
	}
	return dsn
}

// damage changes the commit that has the second event of a stream.
func damage(expression string, value types.AttributeValue) func(conformance.TB, string, string) {
	return func(t conformance.TB, dsn, stream string) {
		all, err := items(t.Context(), dsn)
		must(t, err)
		first := 0
		for _, it := range all {
			if p, _ := it["pk"].(*types.AttributeValueMemberS); p.Value != "s#"+stream {
				continue
			}
			var n int
			fmt.Sscanf(it["sk"].(*types.AttributeValueMemberS).Value, "%x", &n)
			if n <= 2 {
				first = max(first, n)
			}
		}
		names := map[string]string(nil)
		if strings.Contains(expression, "#to") {
			names = map[string]string{"#to": "to"}
		}
		update(t, dsn, key(stream, first), expression, names, value)
	}
}

func update(t conformance.TB, dsn string, key map[string]types.AttributeValue, expression string, names map[string]string, value types.AttributeValue) {
	c, end := client(dsn, nil)
	defer end()
	in := &sdk.UpdateItemInput{TableName: table(dsn), Key: key, UpdateExpression: aws.String(expression), ExpressionAttributeNames: names}
	if value != nil {
		in.ExpressionAttributeValues = map[string]types.AttributeValue{":v": value}
	}
	_, err := c.UpdateItem(context.Background(), in)
	must(t, err)
}
