package subscription

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"twohop"
)

// The types of subscriptions.
const (
	typeWebhook  = "webhook"
	typePullWake = "pull-wake"
)

// Limits of what a subscription may say.
const (
	maxIDBytes          = 128
	maxWorkerBytes      = 256
	maxDescriptionBytes = 4096
	minLease            = time.Second
	maxLease            = 10 * time.Minute
	defaultLease        = 30 * time.Second
)

// config is what a subscription was asked to be, normalized: names without
// outer slashes, streams sorted and each once, nothing of the other type.
type config struct {
	Type        string   `json:"type"`
	Pattern     string   `json:"pattern,omitempty"`
	Streams     []string `json:"streams,omitempty"`
	URL         string   `json:"url,omitempty"`
	WakeStream  string   `json:"wake_stream,omitempty"`
	LeaseMS     int64    `json:"lease_ttl_ms"`
	Description *string  `json:"description,omitempty"`
}

func (c *config) lease() time.Duration { return time.Duration(c.LeaseMS) * time.Millisecond }

// hash tells configurations apart.
func (c *config) hash() (string, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// createRequest is the body of a PUT.
type createRequest struct {
	Type        string   `json:"type"`
	Pattern     string   `json:"pattern"`
	Streams     []string `json:"streams"`
	WakeStream  string   `json:"wake_stream"`
	LeaseMS     *int64   `json:"lease_ttl_ms"`
	Description *string  `json:"description"`
	Webhook     *struct {
		URL string `json:"url"`
	} `json:"webhook"`
}

// config checks and normalizes the request.
func (r *createRequest) config(o *Options) (*config, error) {
	c := &config{Type: r.Type, Pattern: strings.Trim(r.Pattern, "/"), LeaseMS: defaultLease.Milliseconds(), Description: r.Description}
	if c.Type != typeWebhook && c.Type != typePullWake {
		return nil, badField("type", "must be %q or %q", typeWebhook, typePullWake)
	}
	if c.Pattern == "" && len(r.Streams) == 0 {
		return nil, badField("pattern", "or streams must be there")
	}
	if c.Pattern != "" {
		if err := checkStream("pattern", c.Pattern, o.NameBytes); err != nil {
			return nil, err
		}
	}
	var err error
	if c.Streams, err = streamNames(r.Streams, o); err != nil {
		return nil, err
	}
	if r.LeaseMS != nil {
		c.LeaseMS = *r.LeaseMS
	}
	if c.LeaseMS < minLease.Milliseconds() || c.LeaseMS > maxLease.Milliseconds() {
		return nil, badField("lease_ttl_ms", "must be between %d and %d", minLease.Milliseconds(), maxLease.Milliseconds())
	}
	if c.Description != nil && len(*c.Description) > maxDescriptionBytes {
		return nil, badField("description", "has more than %d bytes", maxDescriptionBytes)
	}
	if c.Type == typeWebhook {
		if r.Webhook == nil || r.Webhook.URL == "" {
			return nil, badField("webhook.url", "must be there")
		}
		c.URL = r.Webhook.URL
		return c, o.targets().checkURL(c.URL)
	}
	c.WakeStream = strings.Trim(r.WakeStream, "/")
	if c.WakeStream == "" {
		return nil, badField("wake_stream", "must be there")
	}
	if slices.Contains(c.Streams, c.WakeStream) {
		return nil, badField("streams", "must not hold the wake_stream: each wake would cause the next")
	}
	return c, checkStream("wake_stream", c.WakeStream, o.NameBytes)
}

// streamNames checks and normalizes a list of channels.
func streamNames(names []string, o *Options) ([]string, error) {
	if len(names) > o.MaxStreams {
		return nil, badField("streams", "has %d entries, %d are allowed", len(names), o.MaxStreams)
	}
	list := make([]string, 0, len(names))
	for _, n := range names {
		n = strings.Trim(n, "/")
		if err := checkStream("streams", n, o.NameBytes); err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

func checkStream(field, name string, limit int) error {
	if err := twohop.CheckName(name, limit); err != nil {
		if e, ok := err.(*twohop.Error); ok { //nolint:errorlint // the call above returns it as it is
			return badField(field, "%s", e.Message)
		}
		return err
	}
	if twohop.Reserved(name) {
		return badField(field, "names %q, which is the server's own", name)
	}
	return nil
}

func checkID(id string) error {
	bad := strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r == 0x7f || r == '/' })
	if id == "" || len(id) > maxIDBytes || bad || id == "." || id == ".." || !utf8.ValidString(id) {
		return &apiError{status: http.StatusBadRequest, ds: "INVALID_REQUEST", err: twohop.Error{
			Code:    twohop.CodeInvalidName,
			Message: fmt.Sprintf("the subscription's id must be 1 to %d bytes of UTF-8 without slashes and control characters", maxIDBytes),
			Hint:    "choose an id like order-mailer-1"}}
	}
	return nil
}

func badField(field, format string, a ...any) error {
	return &apiError{status: http.StatusBadRequest, ds: "INVALID_REQUEST", err: twohop.Error{
		Code: twohop.CodeInvalidRequest, Message: field + " " + fmt.Sprintf(format, a...),
		Hint: "see Durable Streams, section 6.2, for the fields and their values"}}
}
