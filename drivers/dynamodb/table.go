package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-es/es/driver"
)

const (
	schemaVersion = 1
	indexName     = "dirty"

	attrSchema = "schema" // N, of the item meta
	attrRegion = "region" // S, likewise
)

var metaKey = keyOf("m", "meta")

// CreateTable returns what Open creates, for those who create it themselves: a table
// with one index, paid by request. More may be set in it, such as tags, encryption
// or provisioned throughput. Open with the right to write has to follow once, before
// ddl=check.
func (cfg Config) CreateTable() *dynamodb.CreateTableInput {
	keys := func(hash, sort string) []types.KeySchemaElement {
		return []types.KeySchemaElement{
			{AttributeName: aws.String(hash), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String(sort), KeyType: types.KeyTypeRange},
		}
	}
	var attributes []types.AttributeDefinition
	for _, name := range []string{pk, sk, attrShard, attrSince} {
		attributes = append(attributes, types.AttributeDefinition{AttributeName: aws.String(name), AttributeType: types.ScalarAttributeTypeS})
	}
	return &dynamodb.CreateTableInput{
		TableName:            aws.String(cfg.table()),
		BillingMode:          types.BillingModePayPerRequest,
		AttributeDefinitions: attributes,
		KeySchema:            keys(pk, sk),
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName:  aws.String(indexName),
			KeySchema:  keys(attrShard, attrSince),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeInclude, NonKeyAttributes: []string{attrLast, attrClosed}},
		}},
	}
}

// prepare creates what is missing, and fails where the table is not a store's or the
// store cannot keep its promises in it.
func (s *Store) prepare(ctx context.Context, region string) error {
	t, created, err := s.describe(ctx)
	if err != nil {
		return err
	}
	if err := s.checkTable(t); err != nil {
		return err
	}
	if err := s.checkTTL(ctx); err != nil {
		return err
	}
	meta, err := s.getMeta(ctx)
	if err != nil {
		return err
	}
	if meta == nil {
		if meta, err = s.makeMeta(ctx, region, created); err != nil {
			return err
		}
	}
	if err := checkMeta(meta, region); err != nil {
		return err
	}
	return s.checkServer(ctx)
}

// describe returns the table once it can be used. It creates it where it may.
func (s *Store) describe(ctx context.Context) (t *types.TableDescription, created bool, err error) {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		out, err := s.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: s.table})
		_, missing := errors.AsType[*types.ResourceNotFoundException](err)
		switch {
		case missing && s.cfg.CheckOnly:
			return nil, false, &driver.SchemaError{Known: schemaVersion}
		case missing:
			_, err := s.client.CreateTable(ctx, s.cfg.CreateTable())
			_, other := errors.AsType[*types.ResourceInUseException](err) // another process does it
			_, many := errors.AsType[*types.LimitExceededException](err)
			if err != nil && !other && !many {
				return nil, false, err
			}
			created = created || err == nil
		case err != nil:
			return nil, false, err
		case isActive(out.Table):
			return out.Table, created, nil
		}
		select {
		case <-ctx.Done():
			return nil, false, ctx.Err()
		case <-time.After(wait):
		}
	}
}

func isActive(t *types.TableDescription) bool {
	switch t.TableStatus {
	case types.TableStatusActive, types.TableStatusUpdating:
	case types.TableStatusCreating, types.TableStatusDeleting:
		return false
	}
	for _, i := range t.GlobalSecondaryIndexes {
		if aws.ToString(i.IndexName) == indexName && i.IndexStatus == types.IndexStatusCreating {
			return false
		}
	}
	return true
}

// notOurs is the error of a table that is another's. It is not touched.
func (s *Store) notOurs(format string, args ...any) error {
	return fmt.Errorf("es: dynamodb: table %q is not a store's: %s", *s.table, fmt.Sprintf(format, args...))
}

func (s *Store) checkTable(t *types.TableDescription) error {
	if !hasKeys(t.KeySchema, pk, sk) {
		return s.notOurs("its keys are not %s and %s", pk, sk)
	}
	for _, a := range t.AttributeDefinitions {
		if n := aws.ToString(a.AttributeName); (n == pk || n == sk) && a.AttributeType != types.ScalarAttributeTypeS {
			return s.notOurs("its key %s is no string", n)
		}
	}
	for _, i := range t.GlobalSecondaryIndexes {
		if aws.ToString(i.IndexName) != indexName {
			continue
		}
		has := map[string]bool{}
		if i.Projection != nil {
			for _, a := range i.Projection.NonKeyAttributes {
				has[a] = true
			}
		}
		all := i.Projection != nil && i.Projection.ProjectionType == types.ProjectionTypeAll
		if !hasKeys(i.KeySchema, attrShard, attrSince) || !all && (!has[attrLast] || !has[attrClosed]) {
			return s.notOurs("its index %q is another than Config.CreateTable makes", indexName)
		}
		return nil
	}
	return fmt.Errorf("%w: table %q has no index %q, without which the feed stands still: was it restored without its indexes? Create the index as in Config.CreateTable", driver.ErrSchema, *s.table, indexName)
}

func hasKeys(schema []types.KeySchemaElement, hash, sort string) bool {
	if len(schema) != 2 {
		return false
	}
	for _, k := range schema {
		want := hash
		if k.KeyType == types.KeyTypeRange {
			want = sort
		}
		if aws.ToString(k.AttributeName) != want {
			return false
		}
	}
	return true
}

// checkTTL refuses a table from which DynamoDB deletes items by itself.
func (s *Store) checkTTL(ctx context.Context) error {
	out, err := s.client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: s.table})
	if err != nil {
		return err
	}
	if d := out.TimeToLiveDescription; d != nil {
		switch d.TimeToLiveStatus {
		case types.TimeToLiveStatusEnabled, types.TimeToLiveStatusEnabling:
			return fmt.Errorf("es: dynamodb: table %q has TimeToLive enabled (attribute %q), by which DynamoDB deletes items: disable it", *s.table, aws.ToString(d.AttributeName))
		}
	}
	return nil
}

// getMeta returns the item meta, nil if it is not there.
func (s *Store) getMeta(ctx context.Context) (item, error) {
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: s.table, Key: metaKey, ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, failRead(err)
	}
	if len(out.Item) == 0 {
		return nil, nil
	}
	return out.Item, nil
}

// makeMeta puts the item meta into a table that has nothing else.
func (s *Store) makeMeta(ctx context.Context, region string, created bool) (item, error) {
	if !created {
		out, err := s.client.Scan(ctx, &dynamodb.ScanInput{TableName: s.table, ConsistentRead: aws.Bool(true), Limit: aws.Int32(1)})
		if err != nil {
			return nil, err
		}
		if len(out.Items) > 0 {
			meta, err := s.getMeta(ctx) // of another process, by now
			if err == nil && meta == nil {
				err = s.notOurs("it has items, and none that says so")
			}
			return meta, err
		}
	}
	if s.cfg.CheckOnly {
		return nil, &driver.SchemaError{Known: schemaVersion}
	}
	meta := keyOf("m", "meta")
	meta[attrSchema], meta[attrRegion] = num(schemaVersion), str(region)
	_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: s.table, Item: meta, ConditionExpression: aws.String("attribute_not_exists(pk)")})
	if _, there := errors.AsType[*types.ConditionalCheckFailedException](err); err != nil && !there {
		return nil, err
	}
	return s.getMeta(ctx)
}

func checkMeta(meta item, region string) error {
	version, err := getNumber(meta, attrSchema)
	if err != nil || version == 0 {
		return corrupt("the item meta has no version of the schema")
	}
	if version > schemaVersion {
		return &driver.SchemaError{Found: int(version), Known: schemaVersion}
	}
	if r := getString(meta, attrRegion); r != region {
		return fmt.Errorf("es: dynamodb: the region of the store is %q, and this is %q: a global table has one region in which a store is written and read", r, region)
	}
	return nil
}

// checkServer refuses what is not DynamoDB: it has to know transactions, and to show
// the item that stood in the way of a condition.
func (s *Store) checkServer(ctx context.Context) error {
	_, err := s.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{{
		ConditionCheck: &types.ConditionCheck{
			TableName: s.table, Key: metaKey, ConditionExpression: aws.String("attribute_not_exists(pk)"),
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		},
	}}})
	switch r, refused := refusal(err).(*refusedError); {
	case refused && len(r.items) == 1 && len(r.items[0]) > 0:
		return nil
	case refused:
		return errors.New("es: dynamodb: the server does not return the item that a condition failed on (ReturnValuesOnConditionCheckFailure): it is not DynamoDB, or too old")
	case err == nil:
		return errors.New("es: dynamodb: the server carries out a transaction whose condition does not hold: it is not DynamoDB")
	}
	return err
}
