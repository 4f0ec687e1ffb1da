package conformance

import (
	"context"

	"github.com/go-es/es/driver"
)

// Mutants: what the model finds as single checks do.
var modelMutants = []mutant{
	{name: "recognises nothing, at random", rules: "V4 A3", checks: "model/random", with: appended(recognisesNothing)},
	{name: "reads one too many backward", rules: "S2 S1", checks: "model/random", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		if q.Backward && q.From > 1 {
			q.From--
		}
		return s.ReadStream(ctx, q)
	})},
	{name: "does not look at what a delete expects, at random", rules: "E1 D1", checks: "model/random", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		req.Expected = driver.Any
		return s.Delete(ctx, req)
	})},
}
