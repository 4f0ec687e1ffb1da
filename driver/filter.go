package driver

import (
	"slices"
	"strings"
)

// IsZero reports whether the filter lets everything through.
func (f Filter) IsZero() bool { return len(f.Types) == 0 && len(f.Prefixes) == 0 }

// Match reports whether a record passes the filter.
func (f Filter) Match(r *Record) bool {
	if len(f.Types) > 0 && !slices.Contains(f.Types, r.Type) {
		return false
	}
	return len(f.Prefixes) == 0 || slices.ContainsFunc(f.Prefixes, func(p string) bool { return strings.HasPrefix(r.Stream, p) })
}

// CheckFilter returns an [*InvalidError] unless all of f's types and prefixes
// are names.
func CheckFilter(f Filter) error {
	for _, t := range f.Types {
		if err := CheckName("type of the filter", t); err != nil {
			return err
		}
	}
	for _, p := range f.Prefixes {
		if err := CheckName("prefix of the filter", p); err != nil {
			return err
		}
	}
	return nil
}
