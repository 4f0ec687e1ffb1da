//go:build linux

package serverstest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-es/es/internal/servers"
)

// bare clients write a number and read it again, in the server's own protocol.
var bare = map[string]struct {
	write func(t *testing.T, dsn string, v int32)
	read  func(t *testing.T, dsn string) int32
}{
	"dynamodb":  {writeDynamo, readDynamo},
	"cassandra": {writeCassandra, readCassandra},
	"mongo":     {writeMongo, readMongo},
}

// These servers are installed when the tests of a driver ask for them.
func TestRunBare(t *testing.T) {
	for name, client := range bare {
		t.Run(name, func(t *testing.T) {
			if !servers.Installed(name) {
				t.Skip("not installed")
			}
			s := servers.Run(t, name)
			client.write(t, s.DSN, 41)
			s.Kill()
			nobodyListens(t, s.Port)
			s.Start()
			if got := client.read(t, s.DSN); got != 41 {
				t.Errorf("after a crash: %d, want 41", got)
			}
			client.write(t, s.DSN, 42)
			s.Stop()
			nobodyListens(t, s.Port)
			s.Start()
			if got := client.read(t, s.DSN); got != 42 {
				t.Errorf("after a restart: %d, want 42", got)
			}
			pid := s.Pid()
			s.Stop()
			gone(t, pid)
			nobodyWorksIn(t, s.Dir)
		})
	}
}

// Of three nodes two are enough.
func TestThreeNodes(t *testing.T) {
	if testing.Short() || !servers.Installed("cassandra") {
		t.Skip("short, or not installed")
	}
	nodes := servers.RunThree(t, "cassandra")
	dsn := nodes[0].DSN
	if want := fmt.Sprintf("cassandra://127.0.0.1,127.0.0.2,127.0.0.3:%d", nodes[0].Port); dsn != want {
		t.Errorf("DSN %s, want %s", dsn, want)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		peers := cql(t, dsn, "select count(*) from system.peers")
		if n := binary.BigEndian.Uint64(peers[len(peers)-8:]); n == 2 {
			break
		} else if time.Now().After(end) {
			t.Fatalf("the first node knows %d others", n)
		}
	}
	writeCassandra(t, dsn, 41)
	nodes[2].Kill()
	writeCassandra(t, dsn, 42)
	if got := readCassandra(t, dsn); got != 42 {
		t.Errorf("with two nodes of three: %d, want 42", got)
	}
	nodes[2].Start()
}

func dynamo(t *testing.T, dsn, action, body string) []byte {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", u.Query().Get("endpoint"), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", "DynamoDB_20120810."+action)
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=a/20260101/local/dynamodb/aws4_request, SignedHeaders=host, Signature=a")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 && !bytes.Contains(answer, []byte("ResourceInUseException")) {
		t.Fatalf("%s: %v: %s %s", action, err, resp.Status, answer)
	}
	return answer
}

func writeDynamo(t *testing.T, dsn string, v int32) {
	t.Helper()
	dynamo(t, dsn, "CreateTable", `{"TableName": "kept", "BillingMode": "PAY_PER_REQUEST",
		"KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}], "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}]}`)
	dynamo(t, dsn, "PutItem", fmt.Sprintf(`{"TableName": "kept", "Item": {"k": {"S": "k"}, "v": {"N": "%d"}}}`, v))
}

func readDynamo(t *testing.T, dsn string) (v int32) {
	t.Helper()
	answer := dynamo(t, dsn, "GetItem", `{"TableName": "kept", "Key": {"k": {"S": "k"}}, "ConsistentRead": true}`)
	if _, rest, ok := bytes.Cut(answer, []byte(`"N":"`)); ok {
		fmt.Sscan(string(rest[:bytes.IndexByte(rest, '"')]), &v)
	}
	return v
}

// talk dials the first host of a DSN, for a minute at most.
func talk(t *testing.T, dsn string) net.Conn {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ := strings.Cut(u.Hostname(), ",")
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(host, u.Port()), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(time.Minute))
	t.Cleanup(func() { conn.Close() })
	return conn
}

// cql runs a statement with QUORUM and returns the answer. It tries again for a
// minute: nodes take a while to agree on a new schema, and that one of them is gone.
func cql(t *testing.T, dsn, statement string) []byte {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		answer, failed := tryCQL(t, dsn, statement)
		if !failed {
			return answer
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %q", statement, answer)
		}
	}
}

func tryCQL(t *testing.T, dsn, statement string) (answer []byte, failed bool) {
	t.Helper()
	conn := talk(t, dsn)
	query := binary.BigEndian.AppendUint32(nil, uint32(len(statement)))
	query = append(append(query, statement...), 0, 4, 0)
	for _, frame := range []struct {
		opcode byte
		body   []byte
	}{{1, []byte("\x00\x01\x00\x0bCQL_VERSION\x00\x053.0.0")}, {7, query}} {
		head := binary.BigEndian.AppendUint32([]byte{4, 0, 0, 0, frame.opcode}, uint32(len(frame.body)))
		if _, err := conn.Write(append(head, frame.body...)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, head); err != nil {
			t.Fatal(err)
		}
		answer = make([]byte, binary.BigEndian.Uint32(head[5:]))
		if _, err := io.ReadFull(conn, answer); err != nil {
			t.Fatal(err)
		}
		if head[4] == 0 {
			return answer, true
		}
	}
	return answer, false
}

func writeCassandra(t *testing.T, dsn string, v int32) {
	t.Helper()
	factor := 1 + 2*min(1, strings.Count(dsn, ","))
	cql(t, dsn, fmt.Sprintf("create keyspace if not exists es with replication = {'class': 'SimpleStrategy', 'replication_factor': %d}", factor))
	cql(t, dsn, "create table if not exists es.kept (k int primary key, v int)")
	cql(t, dsn, fmt.Sprintf("insert into es.kept (k, v) values (1, %d)", v))
}

func readCassandra(t *testing.T, dsn string) int32 {
	t.Helper()
	answer := cql(t, dsn, "select v from es.kept where k = 1")
	return int32(binary.BigEndian.Uint32(answer[len(answer)-4:])) // the only value is the last
}

// A document's fields, encoded.
func document(fields ...[]byte) []byte {
	body := bytes.Join(fields, nil)
	return append(append(binary.LittleEndian.AppendUint32(nil, uint32(len(body)+5)), body...), 0)
}

func number(name string, v int32) []byte {
	return binary.LittleEndian.AppendUint32([]byte("\x10"+name+"\x00"), uint32(v))
}

func text(name, v string) []byte {
	b := binary.LittleEndian.AppendUint32([]byte("\x02"+name+"\x00"), uint32(len(v)+1))
	return append(append(b, v...), 0)
}

func nested(kind byte, name string, doc []byte) []byte {
	return append(append([]byte{kind}, name+"\x00"...), doc...)
}

// mongo runs a command and returns the answer.
func mongo(t *testing.T, dsn string, fields ...[]byte) []byte {
	t.Helper()
	conn := talk(t, dsn)
	doc := document(append(fields, text("$db", "es"))...)
	message := binary.LittleEndian.AppendUint32(nil, uint32(len(doc)+21))
	message = append(message, 1, 0, 0, 0, 0, 0, 0, 0, 0xdd, 7, 0, 0, 0, 0, 0, 0, 0)
	if _, err := conn.Write(append(message, doc...)); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(conn, head); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, binary.LittleEndian.Uint32(head)-4)
	if _, err := io.ReadFull(conn, answer); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(answer, []byte("\x01ok\x00\x00\x00\x00\x00\x00\x00\xf0\x3f")) || bytes.Contains(answer, []byte("writeErrors")) {
		t.Fatalf("%q is answered with %q", doc, answer)
	}
	return answer
}

func writeMongo(t *testing.T, dsn string, v int32) {
	t.Helper()
	mongo(t, dsn, text("insert", "kept"), nested(4, "documents", document(nested(3, "0", document(number("_id", v), number("v", v))))))
}

// readMongo returns the number that was written last, which is the greatest.
func readMongo(t *testing.T, dsn string) int32 {
	t.Helper()
	answer := mongo(t, dsn, text("find", "kept"), nested(3, "sort", document(number("_id", -1))), number("limit", 1))
	_, rest, ok := bytes.Cut(answer, []byte("\x10v\x00"))
	if !ok {
		return 0
	}
	return int32(binary.LittleEndian.Uint32(rest))
}
