package httpstream

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"twohop"
)

// create answers a PUT.
func (h *Handler) create(w http.ResponseWriter, r *http.Request, name string) error {
	spec, err := h.spec(r.Header)
	if err != nil {
		return err
	}
	rule := h.opts.Rules.For(name)
	given := spec.ContentType
	if spec.Fork == nil {
		rule.Apply(spec)
		if given != "" {
			spec.ContentType = given
		}
	} else {
		spec.Sync, spec.Retention = rule.Sync, rule.Retention
	}
	body, err := h.body(w, r)
	if err != nil {
		return err
	}
	contentType := spec.ContentType
	if contentType == "" && len(body) > 0 { // a fork's first records, in its source's type
		info, err := h.hub.Info(r.Context(), spec.Fork.Source)
		if err != nil {
			return err
		}
		contentType = info.ContentType
	}
	recs, err := records(body, contentType, r.Header)
	if err != nil {
		return err
	}
	spec.Data, spec.Ends = recs.Data, recs.Ends
	info, created, err := h.hub.Create(r.Context(), name, spec)
	if err != nil {
		return err
	}
	hd := w.Header()
	hd.Set("Content-Type", info.ContentType)
	hd.Set("Stream-Next-Offset", info.Tail.String())
	hd.Set("Stream-Durability", info.Level.String())
	if info.Closed {
		hd.Set("Stream-Closed", "true")
	}
	if !created {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	hd.Set("Location", scheme+"://"+r.Host+r.URL.EscapedPath())
	w.WriteHeader(http.StatusCreated)
	return nil
}

// spec reads the headers of a PUT.
func (h *Handler) spec(hd http.Header) (*twohop.Spec, error) {
	s := &twohop.Spec{ContentType: hd.Get("Content-Type"), Closed: isTrue(hd.Get("Stream-Closed"))}
	if s.ContentType != "" {
		if err := twohop.CheckContentType(s.ContentType); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"Content-Type", "Stream-Ttl", "Stream-Expires-At", "Stream-Forked-From", "Stream-Fork-Offset", "Stream-Fork-Sub-Offset"} {
		if _, err := only(hd, name); err != nil {
			return nil, err
		}
	}
	ttl, hasTTL := hd["Stream-Ttl"]
	expires, hasExpires := hd["Stream-Expires-At"]
	if hasTTL && hasExpires {
		return nil, &twohop.Error{Code: twohop.CodeInvalidHeader, Message: "Stream-TTL and Stream-Expires-At contradict each other",
			Hint: "send one of them"}
	}
	if hasTTL {
		n, ok := plainNumber(ttl[0])
		if !ok || len(ttl[0]) > 1 && ttl[0][0] == '0' || n > maxTTL {
			return nil, badHeader("Stream-TTL", ttl[0], "a whole number of seconds, at most 100 years")
		}
		s.TTL = time.Duration(n) * time.Second //nolint:gosec // bounded above
		if n == 0 {
			s.TTL = time.Nanosecond // expires at once
		}
	}
	if hasExpires {
		t, err := time.Parse(time.RFC3339Nano, expires[0])
		if err != nil {
			return nil, badHeader("Stream-Expires-At", expires[0], "a time as RFC 3339")
		}
		s.ExpiresAt = t
	}
	var err error
	s.Fork, err = h.fork(hd)
	return s, err
}

const maxTTL = 100 * 365 * 24 * 60 * 60

// fork reads the headers that make a PUT create a fork (DS 4.2).
func (h *Handler) fork(hd http.Header) (*twohop.Fork, error) {
	source := hd.Get("Stream-Forked-From")
	at, hasAt := hd["Stream-Fork-Offset"]
	sub, hasSub := hd["Stream-Fork-Sub-Offset"]
	if source == "" {
		if _, has := hd["Stream-Forked-From"]; has {
			return nil, badHeader("Stream-Forked-From", "", "the path of a channel")
		}
		if hasAt || hasSub {
			return nil, &twohop.Error{Code: twohop.CodeInvalidHeader, Message: "a fork offset without Stream-Forked-From",
				Hint: "name the source: Stream-Forked-From: /v1/stream/{channel}"}
		}
		return nil, nil
	}
	f := &twohop.Fork{}
	if u, err := url.Parse(source); err == nil && strings.HasPrefix(u.EscapedPath(), streamPrefix) {
		source = u.EscapedPath()[len(streamPrefix):]
	}
	var err error
	if f.Source, err = h.name(source); err != nil {
		return nil, err
	}
	if twohop.Reserved(f.Source) {
		return nil, &twohop.Error{Code: twohop.CodeReserved, Channel: f.Source, Message: "the server's own channels cannot be forked",
			Hint: "fork a channel of your own"}
	}
	if hasAt {
		o, err := twohop.ParseOffset(at[0])
		if err != nil {
			return nil, err
		}
		f.At = &o
	}
	if hasSub {
		var ok bool
		if f.Sub, ok = plainNumber(sub[0]); !ok {
			return nil, badHeader("Stream-Fork-Sub-Offset", sub[0], "a whole number")
		}
		if f.Sub > 0 && !hasAt {
			return nil, &twohop.Error{Code: twohop.CodeForkOffset, Message: "Stream-Fork-Sub-Offset without Stream-Fork-Offset",
				Hint: "say which offset it counts from"}
		}
	}
	return f, nil
}
