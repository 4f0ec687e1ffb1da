package dynamodb

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/go-es/es/driver"
)

const pageSize = 1000 // of a listing, where the caller does not say

func limited(n int) int32 {
	if n == 0 {
		return pageSize
	}
	return int32(min(n, pageSize))
}

// ListStreams lists the registers of the feed, after a step of its sequencing: 16
// partitions side by side.
func (s *Store) ListStreams(ctx context.Context, q driver.ListQuery) (page driver.ListPage, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		if err := s.seq.Advance(ctx); err != nil {
			return err
		}
		page, err = s.listStreams(ctx, q)
		return err
	})
	if err != nil {
		return driver.ListPage{}, err
	}
	return page, nil
}

func (s *Store) listStreams(ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
	limit := limited(q.Limit)
	low := max(q.Prefix, following(q.After))
	high := q.Prefix + highest
	if low > high {
		return driver.ListPage{End: true}, nil
	}
	var found [shards][]driver.StreamInfo
	var cut [shards]bool
	err := parallel(shards, shards, func(i int) error {
		out, err := s.client.Query(ctx, &dynamodb.QueryInput{
			TableName: s.table, ConsistentRead: aws.Bool(true), Limit: aws.Int32(limit/shards + 8),
			KeyConditionExpression:    aws.String("pk = :p AND sk BETWEEN :low AND :high"),
			ExpressionAttributeValues: item{":p": str(fmt.Sprintf("n#%x", i)), ":low": str(low), ":high": str(high)},
		})
		if err != nil {
			return failRead(err)
		}
		for _, it := range out.Items {
			v, err := getNumber(it, attrVersion)
			if err != nil {
				return err
			}
			found[i] = append(found[i], driver.StreamInfo{Stream: getString(it, sk), Version: driver.Version(v), Closed: getBool(it, attrClosed)})
		}
		cut[i] = len(out.LastEvaluatedKey) > 0
		return nil
	})
	if err != nil {
		return driver.ListPage{}, err
	}
	// What lies beyond the end of a partition that was cut is not known.
	page := driver.ListPage{End: true}
	end := high
	for i := range found {
		page.Streams = append(page.Streams, found[i]...)
		if n := len(found[i]); cut[i] && n > 0 {
			page.End, end = false, min(end, found[i][n-1].Stream)
		}
	}
	slices.SortFunc(page.Streams, func(a, b driver.StreamInfo) int { return cmp.Compare(a.Stream, b.Stream) })
	n, _ := slices.BinarySearchFunc(page.Streams, end, func(a driver.StreamInfo, name string) int { return cmp.Compare(a.Stream, name) })
	if !page.End {
		page.Streams = page.Streams[:n+1]
	}
	if len(page.Streams) > int(limit) {
		page.Streams, page.End = page.Streams[:limit], false
	}
	if n := len(page.Streams); n > 0 {
		page.Next = page.Streams[n-1].Stream
	}
	return page, nil
}
