package twohop

import (
	"fmt"
	"mime"
	"strings"
	"time"
	"unicode/utf8"
)

// Spec is what a channel is created with.
type Spec struct {
	ContentType string        // media type, lower case, without parameters where they say nothing
	TTL         time.Duration // sliding: counted from the last read or write; 0 is none
	ExpiresAt   time.Time     // absolute; zero is none
	Closed      bool          // created closed
	Fork        *Fork         // created as a fork
	Data        []byte        // initial records, as in Batch
	Ends        []uint32
	Sync        Sync
	Retention   Retention
}

// Fork says where a fork leaves its source.
type Fork struct {
	Source string
	At     *Offset // nil is the source's tail
	Sub    uint64  // records (JSON) or bytes (others) past At that are inherited too
}

// Sync says when an append on a durable engine is synced.
type Sync uint8

// The sync policies.
const (
	SyncAlways   Sync = iota // before the acknowledgement: level disk
	SyncInterval             // within the engine's interval: acknowledged at level memory
	SyncNever                // when the operating system likes: level memory
)

var syncNames = [...]string{"always", "interval", "never"}

func (s Sync) String() string { return syncNames[s] }

// MarshalText implements encoding.TextMarshaler.
func (s Sync) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Sync) UnmarshalText(b []byte) error {
	for i, n := range syncNames {
		if n == string(b) {
			*s = Sync(i) //nolint:gosec // an index of a three-element array
			return nil
		}
	}
	return fmt.Errorf("%q is not a sync policy: use always, interval or never", b)
}

// Retention says when old records may be dropped. A zero field sets no limit.
// What is dropped is whole appends, so at least the limit is kept.
type Retention struct {
	Age     time.Duration `yaml:"age"`
	Records uint64        `yaml:"records"`
	Bytes   uint64        `yaml:"bytes"`
}

// Info is what is known of a channel at one moment.
type Info struct {
	Name        string
	ContentType string
	TTL         time.Duration
	ExpiresAt   time.Time
	Created     time.Time
	Start, Tail Offset // Tail is the high-watermark: all up to it may be read
	Closed      bool
	Level       Level // of the channel's acknowledgements
}

// JSON reports whether the channel keeps JSON values, each a record.
func (i *Info) JSON() bool { return IsJSON(i.ContentType) }

// IsJSON reports whether a media type makes a channel of JSON values.
func IsJSON(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(t), "application/json")
}

// IsText reports whether records of a media type can go into SSE as they are.
func IsText(contentType string) bool {
	return IsJSON(contentType) || len(contentType) >= 5 && strings.EqualFold(contentType[:5], "text/")
}

// SameContentType compares media types without their parameters and case.
func SameContentType(a, b string) bool {
	a, _, _ = strings.Cut(a, ";")
	b, _, _ = strings.Cut(b, ";")
	return strings.EqualFold(strings.TrimSpace(a), strings.TrimSpace(b))
}

// maxContentType is in bytes: it is kept with the channel, and sent with every
// answer.
const maxContentType = 255

// CheckContentType says whether s is a media type, of 255 bytes at most.
func CheckContentType(s string) error {
	if len(s) > maxContentType {
		return &Error{
			Code:    CodeInvalidContentType,
			Message: fmt.Sprintf("the content type has %d bytes, %d are allowed", len(s), maxContentType),
			Hint:    "leave out parameters that readers need not know",
		}
	}
	t, _, err := mime.ParseMediaType(s) // which passes over line breaks
	if err == nil && strings.Contains(t, "/") && !strings.ContainsFunc(strings.ReplaceAll(s, "\t", " "), isControl) {
		return nil
	}
	return &Error{
		Code:    CodeInvalidContentType,
		Message: fmt.Sprintf("%q is not a media type", s),
		Hint:    "send for example Content-Type: application/json or text/plain",
	}
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// CheckName says whether s can name a channel: at most limit bytes of UTF-8,
// segments between slashes that are neither empty nor "." nor "..", no control
// characters.
func CheckName(s string, limit int) error {
	bad := ""
	switch {
	case s == "":
		bad = "the channel's name is empty"
	case len(s) > limit:
		bad = fmt.Sprintf("the channel's name has %d bytes, %d are allowed", len(s), limit)
	case !utf8.ValidString(s):
		bad = "the channel's name is not UTF-8"
	case strings.ContainsFunc(s, isControl):
		bad = "the channel's name holds a control character"
	}
	for seg := range strings.SplitSeq(s, "/") {
		if bad == "" && (seg == "" || seg == "." || seg == "..") {
			bad = fmt.Sprintf("the channel's name has the segment %q", seg)
		}
	}
	if bad == "" {
		return nil
	}
	return &Error{
		Code:    CodeInvalidName,
		Message: bad,
		Hint:    "name channels like logs/app: segments joined by single slashes, none of them empty, . or ..",
	}
}

// Reserved reports whether a channel is the server's own: clients do not write
// to those.
func Reserved(name string) bool {
	return strings.HasPrefix(name, "$") || name == "__ds" || strings.HasPrefix(name, "__ds/")
}
