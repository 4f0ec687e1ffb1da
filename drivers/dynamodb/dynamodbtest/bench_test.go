package dynamodbtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-es/es"
	"github.com/go-es/es/conformance"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/benchtest"
)

// BenchmarkDriver measures the driver alone. What package es on it costs beside
// hand-written code is measured by BenchmarkES.
func BenchmarkDriver(b *testing.B) {
	server := server(b)
	conformance.Bench(b, conformance.Config{Open: open, DSN: func(t conformance.TB) string { return data(t, server) }})
}

// BenchmarkES puts package es on this driver beside hand-written code on the SDK.
func BenchmarkES(b *testing.B) { benchtest.Beside(b, beside(b)) }

// BenchmarkLate is how late events are delivered.
func BenchmarkLate(b *testing.B) { benchtest.Late(b, beside(b)) }

func beside(b *testing.B) benchtest.Config {
	server := server(b)
	return benchtest.Config{
		Server: func(b *testing.B) string {
			if strings.Contains(server, "endpoint=") {
				return "DynamoDB Local"
			}
			return "DynamoDB"
		},
		Data: func(b *testing.B) string { return data(b, server) },
		Raw:  func(b *testing.B, dsn string, create bool) benchtest.Raw { return openRaw(b, dsn, create) },
		Open: func(b *testing.B, dsn string) *es.Store {
			s, err := es.Open("dynamodb", dsn)
			must(b, err)
			b.Cleanup(func() { must(b, s.Close()) })
			return s
		},
	}
}

// raw is a store written by hand on the SDK: one item for each append, put if it is
// absent, with its events as JSON. It has no feed: it gets by key, in the order in
// which it is told.
type raw struct {
	client *sdk.Client
	table  *string
}

func openRaw(b *testing.B, dsn string, create bool) *raw {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 256, 256
	c, _ := client(dsn, transport)
	b.Cleanup(transport.CloseIdleConnections)
	r := &raw{client: c, table: table(dsn)}
	if create {
		_, err := c.CreateTable(b.Context(), &sdk.CreateTableInput{
			TableName: r.table, BillingMode: types.BillingModePayPerRequest,
			AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("s"), AttributeType: "S"}, {AttributeName: aws.String("v"), AttributeType: "N"}},
			KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("s"), KeyType: "HASH"}, {AttributeName: aws.String("v"), KeyType: "RANGE"}},
		})
		must(b, err)
	}
	return r
}

// rawEvent is how an event is stored.
type rawEvent struct {
	ID   []byte
	Type string
	Time time.Time
	Data benchtest.Deposited
}

func (r *raw) Append(ctx context.Context, stream string, base int, events ...benchtest.Deposited) error {
	all := make([]rawEvent, len(events))
	for i := range events {
		now := time.Now()
		id := driver.NewID(now)
		all[i] = rawEvent{id[:], events[i].EventType(), now, events[i]}
	}
	data, err := json.Marshal(all)
	if err != nil {
		return err
	}
	item := rawKey(stream, base+1)
	item["n"] = &types.AttributeValueMemberN{Value: strconv.Itoa(len(events))}
	item["data"] = &types.AttributeValueMemberB{Value: data}
	_, err = r.client.PutItem(ctx, &sdk.PutItemInput{TableName: r.table, ConditionExpression: aws.String("attribute_not_exists(s)"), Item: item})
	return err
}

func rawKey(stream string, version int) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		"s": &types.AttributeValueMemberS{Value: stream},
		"v": &types.AttributeValueMemberN{Value: strconv.Itoa(version)},
	}
}

func (r *raw) AppendAny(ctx context.Context, stream string, events ...benchtest.Deposited) error {
	for {
		out, err := r.query(ctx, stream, false, 1, nil)
		if err != nil {
			return err
		}
		last := 0
		if len(out.Items) > 0 {
			var n int
			fmt.Sscan(out.Items[0]["v"].(*types.AttributeValueMemberN).Value, &last)
			fmt.Sscan(out.Items[0]["n"].(*types.AttributeValueMemberN).Value, &n)
			last += n - 1
		}
		err = r.Append(ctx, stream, last, events...)
		if _, conflict := errors.AsType[*types.ConditionalCheckFailedException](err); !conflict {
			return err
		}
	}
}

func (r *raw) query(ctx context.Context, stream string, forward bool, limit int32, from map[string]types.AttributeValue) (*sdk.QueryOutput, error) {
	in := &sdk.QueryInput{
		TableName: r.table, ConsistentRead: aws.Bool(true), ScanIndexForward: aws.Bool(forward), ExclusiveStartKey: from,
		KeyConditionExpression:    aws.String("s = :s"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":s": &types.AttributeValueMemberS{Value: stream}},
	}
	if limit > 0 {
		in.Limit = aws.Int32(limit)
	}
	return r.client.Query(ctx, in)
}

func each(it map[string]types.AttributeValue, f func(*benchtest.Deposited)) error {
	var events []rawEvent
	if err := json.Unmarshal(it["data"].(*types.AttributeValueMemberB).Value, &events); err != nil {
		return err
	}
	for i := range events {
		f(&events[i].Data)
	}
	return nil
}

func (r *raw) ReadStream(ctx context.Context, stream string, f func(*benchtest.Deposited)) error {
	var from map[string]types.AttributeValue
	for {
		out, err := r.query(ctx, stream, true, 0, from)
		if err != nil {
			return err
		}
		for _, it := range out.Items {
			if err := each(it, f); err != nil {
				return err
			}
		}
		if from = out.LastEvaluatedKey; len(from) == 0 {
			return nil
		}
	}
}

func (r *raw) ReadAll(ctx context.Context, runs []benchtest.Run, f func(*benchtest.Deposited)) error {
	const most = 100 // keys of a request
	name := func(it map[string]types.AttributeValue) string {
		return it["s"].(*types.AttributeValueMemberS).Value + " " + it["v"].(*types.AttributeValueMemberN).Value
	}
	for some := range slices.Chunk(runs, most) {
		var keys []map[string]types.AttributeValue
		for _, run := range some {
			keys = append(keys, rawKey(run.Stream, run.From))
		}
		at := make(map[string]map[string]types.AttributeValue, most)
		for left := keys; len(left) > 0; {
			out, err := r.client.BatchGetItem(ctx, &sdk.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
				*r.table: {Keys: left, ConsistentRead: aws.Bool(true)},
			}})
			if err != nil {
				return err
			}
			for _, it := range out.Responses[*r.table] {
				at[name(it)] = it
			}
			left = out.UnprocessedKeys[*r.table].Keys
		}
		for _, k := range keys {
			if err := each(at[name(k)], f); err != nil {
				return err
			}
		}
	}
	return nil
}
