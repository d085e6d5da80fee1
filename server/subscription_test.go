package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Subscriptions are told of what comes and goes without an append.
func TestSubscriptionsFollowTheEngine(t *testing.T) {
	s := memoryServer(t, nil)
	const sub = "__ds/subscriptions/p"
	send := func(method, path, body string, status int, header ...string) map[string]any {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), method, "/v1/stream/"+path, strings.NewReader(body))
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != status {
			t.Fatalf("%s %s: %d, want %d: %s", method, path, w.Code, status, w.Body)
		}
		var out map[string]any
		if path != sub && !strings.HasPrefix(path, sub+"/") || w.Body.Len() == 0 {
			return nil
		}
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	send(http.MethodPut, sub, `{"type":"pull-wake","pattern":"events/*","wake_stream":"wake"}`, http.StatusCreated)
	send(http.MethodPut, "base", `[1]`, http.StatusCreated)
	send(http.MethodPut, "events/fork", "", http.StatusCreated, "Stream-Forked-From", "/v1/stream/base")
	lease := send(http.MethodPost, sub+"/claim", `{"worker":"w"}`, http.StatusOK)
	if l := lease["streams"].([]any); len(l) != 1 || l[0].(map[string]any)["has_pending"] != true {
		t.Errorf("claimed %v", l)
	}
	send(http.MethodDelete, "events/fork", "", http.StatusNoContent)
	if l := send(http.MethodGet, sub, "", http.StatusOK)["streams"].([]any); len(l) != 0 {
		t.Errorf("linked to what is gone: %v", l)
	}
}
