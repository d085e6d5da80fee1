package httpstream

import (
	"reflect"
	"testing"
)

// What the loops read of a query they read as the full HTTP server does, and
// what they do not read they leave to it.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{
		"offset=-1", "offset=now&live=sse", "offset=0000000000000001_0000000000000002&live=long-poll&cursor=12",
		"live=sse", "offset=now&offset=now", "offset=now&budget=250ms&live=sse", "offset=-1&encoding=base64&live=sse",
		"", "&", "offset", "offset=", "cursor=-1", "budget=11s", "tail_records=5", "x=y",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		for i := range len(raw) {
			if c := raw[i]; c == '%' || c == '+' || c == ';' || c <= ' ' || c >= 0x7f || c == '#' || c == '"' {
				return // the request parser lets none of them through
			}
		}
		var fast query
		if !fast.simple([]byte(raw)) {
			return
		}
		full, err := parseQuery(raw, "")
		if err != nil || !reflect.DeepEqual(fast, full) {
			t.Fatalf("%q: loops read %+v, the full server %+v, %v", raw, fast, full, err)
		}
	})
}
