package es

import (
	"context"
	"maps"
)

// The metadata that [Record.Cause] sets.
const (
	// CorrelationID is the same for everything that came of one first cause.
	CorrelationID = "correlation_id"
	// CausationID is the id of the event that an event answers.
	CausationID = "causation_id"
)

type metadataKey struct{}

// WithMetadata returns a context with which all events are appended with this
// metadata, added to what the context has already: the new wins.
func WithMetadata(ctx context.Context, meta map[string]string) context.Context {
	return context.WithValue(ctx, metadataKey{}, merge(contextMetadata(ctx), meta))
}

// Metadata returns a copy of the metadata that the context carries.
func Metadata(ctx context.Context) map[string]string { return maps.Clone(contextMetadata(ctx)) }

func contextMetadata(ctx context.Context) map[string]string {
	m, _ := ctx.Value(metadataKey{}).(map[string]string)
	return m
}

// merge returns a with b added, and changes neither.
func merge(a, b map[string]string) map[string]string {
	switch {
	case len(b) == 0:
		return a
	case len(a) == 0:
		return maps.Clone(b)
	}
	m := maps.Clone(a)
	maps.Copy(m, b)
	return m
}
