// Package opener makes a driver of how its data source names are parsed and its
// stores opened.
package opener

import (
	"context"

	"github.com/go-es/es/driver"
)

// Of returns a driver that parses a data source name and opens what it says. Where
// open fails its store is not returned: a nil pointer in an interface is not nil.
func Of[C any, S driver.Store](parse func(dsn string) (C, error), open func(context.Context, C) (S, error)) driver.Driver {
	return of[C, S]{parse, open}
}

type of[C any, S driver.Store] struct {
	parse func(dsn string) (C, error)
	open  func(context.Context, C) (S, error)
}

// Open opens a store.
func (o of[C, S]) Open(ctx context.Context, dsn string) (driver.Store, error) {
	cfg, err := o.parse(dsn)
	if err != nil {
		return nil, err
	}
	s, err := o.open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return s, nil
}
