package subscription

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"twohop"
)

// root is where DS has its own addresses.
const root = "/v1/stream/__ds/"

// url is the absolute address of something under root.
func (m *Manager) url(base, rest string) string {
	if m.opt.PublicURL != "" {
		base = m.opt.PublicURL
	}
	return base + root + rest
}

// base is the scheme and host by which a request reached this server.
func (m *Manager) base(r *http.Request) (string, error) {
	if m.opt.PublicURL != "" {
		return m.opt.PublicURL, nil
	}
	if r.Host == "" || strings.ContainsAny(r.Host, "/?#@ ") {
		return "", &apiError{status: http.StatusBadRequest, ds: "INVALID_REQUEST", err: twohop.Error{
			Code: twohop.CodeInvalidHeader, Message: "the request names no host to send workers to",
			Hint: "send a Host header, or set the server's public URL"}}
	}
	scheme := "http"
	if p := r.Header.Get("X-Forwarded-Proto"); r.TLS != nil || p == "https" {
		scheme = "https"
	}
	return scheme + "://" + r.Host, nil
}

// ServeHTTP answers requests under /v1/stream/__ds/.
func (m *Manager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	if r.ContentLength != 0 {
		// Also where nobody reads it: net/http then gets rid of it. Connections
		// without deadlines (tests' recorders) do without.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(m.opt.BodyTime))
	}
	if err := m.route(w, r); err != nil {
		m.answerError(w, r, err)
	}
}

func (m *Manager) route(w http.ResponseWriter, r *http.Request) error {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), root)
	if !ok {
		return errNoRoute
	}
	if rest == "jwks.json" {
		if err := allow(r, http.MethodGet, http.MethodHead); err != nil {
			return err
		}
		return m.serveJWKS(w, r)
	}
	rest, ok = strings.CutPrefix(rest, "subscriptions/")
	if !ok {
		return errNoRoute
	}
	escaped, action, deep := strings.Cut(rest, "/")
	id, err := url.PathUnescape(escaped)
	if err != nil {
		return errNoRoute
	}
	if err := checkID(id); err != nil {
		return err
	}
	if !deep {
		return m.serveOne(w, r, id)
	}
	if stream, ok := strings.CutPrefix(action, "streams/"); ok {
		return m.serveUnlink(w, r, id, stream)
	}
	serve, ok := map[string]func(http.ResponseWriter, *http.Request, string) error{
		"streams": m.serveLink, "claim": m.serveClaim, "ack": m.serveAck, "callback": m.serveCallback, "release": m.serveRelease,
	}[action]
	if !ok {
		return errNoRoute
	}
	if err := allow(r, http.MethodPost); err != nil {
		return err
	}
	return serve(w, r, id)
}

// allow refuses other methods.
func allow(r *http.Request, methods ...string) error {
	if slices.Contains(methods, r.Method) {
		return nil
	}
	return &apiError{status: http.StatusMethodNotAllowed, allow: strings.Join(methods, ", "), err: twohop.Error{
		Code: twohop.CodeMethod, Message: clip(r.Method) + " is not answered here", Hint: "use " + strings.Join(methods, " or ")}}
}

// find returns the subscription of a request. All changes of which this node
// has been told by now are handed over first.
func (m *Manager) find(id string) (*sub, error) {
	m.dispatch()
	return m.open(id, nil)
}

func (m *Manager) serveJWKS(w http.ResponseWriter, r *http.Request) error {
	k, err := m.keyring(r.Context())
	if err != nil {
		return err
	}
	b, err := k.jwks()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(b) // a client that went away
	return nil
}

func (m *Manager) serveOne(w http.ResponseWriter, r *http.Request, id string) error {
	if err := allow(r, http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete); err != nil {
		return err
	}
	if r.Method == http.MethodPut {
		return m.servePut(w, r, id)
	}
	s, err := m.find(id)
	if err != nil {
		return err
	}
	if r.Method == http.MethodDelete {
		// Deleting what is not there leaves what was asked for.
		if err := s.remove(r.Context()); err != nil && !noSubscription(err) {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	v, err := s.get(r.Context())
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, v)
}

func (m *Manager) servePut(w http.ResponseWriter, r *http.Request, id string) error {
	var req createRequest
	if err := m.body(w, r, &req); err != nil {
		return err
	}
	c, err := req.config(&m.opt)
	if err != nil {
		return err
	}
	hash, err := c.hash()
	if err != nil {
		return err
	}
	base, err := m.base(r)
	if err != nil {
		return err
	}
	for range 8 { // each time another request made or deleted it just then
		s, err := m.find(id)
		if err != nil {
			return err
		}
		v, err := s.confirm(r.Context(), hash, base)
		if err == nil {
			return answer(w, http.StatusOK, v)
		}
		if !noSubscription(err) {
			return err
		}
		if err := m.checkWakeStream(r.Context(), c); err != nil {
			return err
		}
		if s, err = m.create(r.Context(), id, c, hash, base); err != nil {
			return err
		}
		if s == nil {
			continue
		}
		if v, err = s.get(r.Context()); err == nil {
			return answer(w, http.StatusCreated, v)
		}
		if !noSubscription(err) {
			return err
		}
	}
	return &twohop.Error{Code: twohop.CodeUnavailable, Message: "the subscription is being made and deleted all the time", Hint: "try again"}
}

// checkWakeStream refuses a wake channel that cannot hold wake events. It need
// not exist yet.
func (m *Manager) checkWakeStream(ctx context.Context, c *config) error {
	if c.WakeStream == "" {
		return nil
	}
	info, err := m.store.Info(ctx, c.WakeStream)
	switch {
	case absent(err):
		return nil
	case err != nil:
		return err
	case !info.JSON():
		return badField("wake_stream", "keeps %s, and wake events are JSON", info.ContentType)
	}
	return nil
}

func (m *Manager) serveLink(w http.ResponseWriter, r *http.Request, id string) error {
	var req struct {
		Streams []string `json:"streams"`
	}
	if err := m.body(w, r, &req); err != nil {
		return err
	}
	if len(req.Streams) == 0 {
		return badField("streams", "must be an array of at least one stream path")
	}
	names, err := streamNames(req.Streams, &m.opt)
	if err != nil {
		return err
	}
	s, err := m.find(id)
	if err != nil {
		return err
	}
	if err := s.link(r.Context(), names); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (m *Manager) serveUnlink(w http.ResponseWriter, r *http.Request, id, escaped string) error {
	if err := allow(r, http.MethodDelete); err != nil {
		return err
	}
	name, err := url.PathUnescape(escaped)
	if err != nil {
		return errNoRoute
	}
	name = strings.Trim(name, "/")
	if err := checkStream("the path", name, m.opt.NameBytes); err != nil {
		return err
	}
	s, err := m.find(id)
	if err != nil {
		return err
	}
	if err := s.unlink(r.Context(), name); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (m *Manager) serveClaim(w http.ResponseWriter, r *http.Request, id string) error {
	var req struct {
		Worker string `json:"worker"`
	}
	if err := m.body(w, r, &req); err != nil {
		return err
	}
	if req.Worker == "" || len(req.Worker) > maxWorkerBytes {
		return badField("worker", "must be a name of 1 to %d bytes", maxWorkerBytes)
	}
	s, err := m.find(id)
	if err != nil {
		return err
	}
	c, err := s.claim(r.Context(), req.Worker)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, c)
}

func (m *Manager) serveAck(w http.ResponseWriter, r *http.Request, id string) error {
	return m.serveWorked(w, r, id, typePullWake)
}

func (m *Manager) serveCallback(w http.ResponseWriter, r *http.Request, id string) error {
	return m.serveWorked(w, r, id, typeWebhook)
}

func (m *Manager) serveWorked(w http.ResponseWriter, r *http.Request, id, kind string) error {
	token, body, err := m.worker(w, r)
	if err != nil {
		return err
	}
	s, err := m.find(id)
	if err != nil {
		return err
	}
	next, err := s.worked(r.Context(), kind, token, body)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, struct {
		OK       bool `json:"ok"`
		NextWake bool `json:"next_wake"`
	}{true, next})
}

func (m *Manager) serveRelease(w http.ResponseWriter, r *http.Request, id string) error {
	token, body, err := m.worker(w, r)
	if err != nil {
		return err
	}
	s, err := m.find(id)
	if err != nil {
		return err
	}
	if err := s.release(r.Context(), token, body); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// worker reads what a worker sends: its token, and its body, which is judged
// only after the token.
func (m *Manager) worker(w http.ResponseWriter, r *http.Request) (string, func() (*workerRequest, error), error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", nil, tokenError("the request brings none")
	}
	raw, err := m.read(w, r)
	if err != nil {
		return "", nil, err
	}
	return token, func() (*workerRequest, error) { return parseWorker(raw) }, nil
}

func parseWorker(raw []byte) (*workerRequest, error) {
	var req struct {
		workerRequest

		WakeID     *string `json:"wake_id"`
		Generation *uint64 `json:"generation"`
	}
	if err := decode(raw, &req); err != nil {
		return nil, err
	}
	if req.WakeID == nil || req.Generation == nil {
		return nil, badField("wake_id", "and generation must be there, as the wake or the claim gave them")
	}
	req.workerRequest.WakeID, req.workerRequest.Generation = *req.WakeID, *req.Generation
	return &req.workerRequest, nil
}

func (m *Manager) body(w http.ResponseWriter, r *http.Request, into any) error {
	raw, err := m.read(w, r)
	if err != nil {
		return err
	}
	return decode(raw, into)
}

func (m *Manager) read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, m.opt.BodyBytes))
	_, large := errors.AsType[*http.MaxBytesError](err)
	switch {
	case err == nil:
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // as above
		return raw, nil
	case large:
		return nil, &apiError{status: http.StatusRequestEntityTooLarge, ds: "INVALID_REQUEST", err: twohop.Error{
			Code: twohop.CodeTooLarge, Message: fmt.Sprintf("the body has more than %d bytes", m.opt.BodyBytes),
			Hint: "send fewer streams or acks at a time; limits.body_bytes sets the limit"}}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &apiError{status: http.StatusRequestTimeout, ds: "INVALID_REQUEST", err: twohop.Error{
			Code: twohop.CodeTimeout, Message: fmt.Sprintf("the body did not arrive within %v", m.opt.BodyTime),
			Hint: "send it faster; limits.body_time sets the time"}}
	}
	return nil, &apiError{status: http.StatusBadRequest, ds: "INVALID_REQUEST", err: twohop.Error{
		Code: twohop.CodeBodyCut, Message: "the body ended too early", Hint: "send it again", Err: err}}
}

// decode reads a JSON object; fields that are not known are ignored.
func decode(raw []byte, into any) error {
	trimmed := strings.TrimLeft(string(raw), " \t\r\n")
	if !utf8.Valid(raw) || !strings.HasPrefix(trimmed, "{") {
		return badJSON("the body is not a JSON object in UTF-8")
	}
	err := json.Unmarshal(raw, into)
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return badField(strings.TrimPrefix(t.Field, "workerRequest."), "must not be a JSON %s", t.Value)
	}
	if err != nil {
		return badJSON("the body is not JSON: " + err.Error())
	}
	return nil
}
