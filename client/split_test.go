package client

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplitArray(t *testing.T) {
	f := func(in string, want ...string) {
		t.Helper()
		records, err := splitArray([]byte(in))
		if err != nil {
			t.Errorf("%q: %v", in, err)
		}
		var got []string
		for _, r := range records {
			got = append(got, string(r))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q:\n%s", in, d)
		}
	}
	f("")
	f("[]")
	f("[\n]")
	f(`[1.50,"a\u0041", {"b" : [1, 2]},[3],null]`, `1.50`, `"a\u0041"`, `{"b" : [1, 2]}`, `[3]`, `null`)

	for _, in := range []string{"{}", "1", "[", "[1", "[1,", "[1,]", "[1]2", "[1][2]", "[1 2]", "[}"} {
		if records, err := splitArray([]byte(in)); err == nil {
			t.Errorf("%q is taken for %q", in, records)
		}
	}
}

func FuzzSplitArray(f *testing.F) {
	for _, s := range []string{"[]", `[1,"x",{"a":[1,{}]}]`, "[1,]", " [ null ] ", "[1]]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var want []json.RawMessage
		wantErr := json.Unmarshal(in, &want)
		got, err := splitArray(in)
		if s := strings.TrimSpace(string(in)); s == "null" || s == "" {
			return // not arrays, to either in its own way
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v, and encoding/json says %v", in, err, wantErr)
		}
		for i := range got {
			if err == nil && string(got[i]) != string(want[i]) {
				t.Fatalf("%q: record %d is %q", in, i, got[i])
			}
		}
		if err == nil && len(got) != len(want) {
			t.Fatalf("%q: %d records", in, len(got))
		}
	})
}
