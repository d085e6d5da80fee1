package subscription

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"twohop"
)

// Store is where channels are kept. The methods do as those of the same names
// in the engine's contract. Errors are *twohop.Error.
type Store interface {
	Create(ctx context.Context, name string, spec *twohop.Spec) (twohop.Info, bool, error)
	Append(ctx context.Context, a *twohop.Append) (twohop.Ack, error)
	Info(ctx context.Context, name string) (twohop.Info, error)
	Read(ctx context.Context, name string, from twohop.Offset, maxBytes int) (twohop.Batch, error)
	Last(ctx context.Context, name string, n uint64) (twohop.Offset, error)
	List(ctx context.Context, glob, after string, n int) ([]string, error)
	Delete(ctx context.Context, name string) error
}

// The server's own channels.
const (
	stateChannels = "$sys/subscription/"
	keysChannel   = "$sys/keys"
)

const jsonType = "application/json"

// listPage is how many names are asked for at a time.
const listPage = 1000

// codeOf is the code of an error, "" where it has none.
func codeOf(err error) twohop.Code {
	if e, ok := errors.AsType[*twohop.Error](err); ok {
		return e.Code
	}
	return ""
}

// absent reports whether an error says that a channel is not there.
func absent(err error) bool {
	c := codeOf(err)
	return c == twohop.CodeNotFound || c == twohop.CodeGone
}

// record is a JSON value as the one record of an append.
func record(v any) (data []byte, ends []uint32, err error) {
	data, err = json.Marshal(v)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding a record: %w", err)
	}
	data = append(data, ',')
	return data, []uint32{uint32(len(data))}, nil //nolint:gosec // limits keep a state far below 4 GiB
}

// found makes a channel of the server's own, of which the last record counts,
// with a first record. It reports whether this call made it.
func found(ctx context.Context, store Store, name string, first any) (twohop.Offset, bool, error) {
	data, ends, err := record(first)
	if err != nil {
		return twohop.Offset{}, false, err
	}
	info, made, err := store.Create(ctx, name, &twohop.Spec{
		ContentType: jsonType, Data: data, Ends: ends,
		Sync: twohop.SyncAlways, Retention: twohop.Retention{Records: 1},
	})
	if codeOf(err) == twohop.CodeExists {
		return twohop.Offset{}, false, nil
	}
	return info.Tail, made, err
}

// last decodes the last record of a channel and returns the offset after it.
func last(ctx context.Context, store Store, name string, into any) (twohop.Offset, error) {
	for try := 0; ; try++ {
		at, err := store.Last(ctx, name, 1)
		if err != nil {
			return twohop.Offset{}, err
		}
		b, err := store.Read(ctx, name, at, 1)
		if codeOf(err) == twohop.CodeReset && try < 8 {
			continue // a newer record came, and retention dropped this one
		}
		if err != nil {
			return twohop.Offset{}, err
		}
		n := b.Len()
		if n == 0 {
			return twohop.Offset{}, fmt.Errorf("%s: no record", name)
		}
		if err := json.Unmarshal([]byte(strings.TrimSuffix(string(b.Record(n-1)), ",")), into); err != nil {
			return twohop.Offset{}, fmt.Errorf("%s: decoding its last record: %w", name, err)
		}
		return b.Next, nil
	}
}
