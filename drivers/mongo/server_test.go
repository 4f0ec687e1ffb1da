package mongo

import (
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/go-es/es/driver"
)

// What servers say of themselves, which no server of the tests would.
func TestCheckServer(t *testing.T) {
	member := func(more ...bson.E) bson.D {
		return append(bson.D{{Key: "isWritablePrimary", Value: true}, {Key: "maxWireVersion", Value: int32(13)}, {Key: "setName", Value: "rs0"}}, more...)
	}
	ferret := func(version string) bson.D {
		return bson.D{{Key: "ferretdb", Value: bson.D{{Key: "version", Value: version}}}}
	}
	for name, test := range map[string]struct {
		hello, build bson.D
		word         string // of the error; none if it is empty
		transient    bool
	}{
		"a primary":    {member(), nil, "", false},
		"a secondary":  {member()[1:], nil, "primary", true},
		"no longer":    {append(bson.D{{Key: "isWritablePrimary", Value: false}}, member()[1:]...), nil, "primary", true},
		"standalone":   {member()[:2], nil, "standalone", false},
		"too old":      {append(bson.D{{Key: "maxWireVersion", Value: int32(9)}}, member()[2]), bson.D{{Key: "version", Value: "4.4.29"}}, "4.4.29", false},
		"mongos":       {member(bson.E{Key: "msg", Value: "isdbgrid"}), nil, "mongos", false},
		"Amazon":       {member(bson.E{Key: "me", Value: "a.b.docdb.amazonaws.com:27017"}), nil, "Amazon DocumentDB", false},
		"Azure":        {member(bson.E{Key: "hosts", Value: bson.A{"x.mongo.cosmos.azure.com:10255"}}), nil, "Cosmos", false},
		"FerretDB":     {member()[:1], ferret("v2.7.0"), "", false},
		"FerretDB old": {member()[:1], ferret("v1.24.0"), "FerretDB v1.24.0", false},
	} {
		raw := func(d bson.D) bson.Raw {
			b, err := bson.Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		err := checkServer(raw(test.hello), raw(append(bson.D{}, test.build...)))
		if test.word == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.word) || driver.IsTransient(err) != test.transient {
			t.Errorf("%s: %v", name, err)
		}
	}
}
