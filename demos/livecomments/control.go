package livecomments

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"twohop"
)

var (
	errClosed  = &twohop.Error{Code: twohop.CodeUnavailable, Message: "the demo has ended", Hint: "start twohop demo again"}
	errNobody  = &twohop.Error{Code: twohop.CodeUnavailable, Message: "the show is not on, so there is nobody to drop", Hint: "open the page, which starts it"}
	errTooSoon = &twohop.Error{Code: twohop.CodeUnavailable, Message: "the viewers were dropped just now", Hint: "let them come back first"}
)

// maxRequest is the largest body that the page sends, and more.
const maxRequest = 1 << 10

// ServeHTTP answers the page's own requests, which are POSTs of watch, settings
// and drop: the path's value "do". Whoever mounts it keeps out other methods and
// other sites' pages.
func (d *Demo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Page  string `json:"page"`
		Leave bool   `json:"leave"`
		Settings
	}
	asked.Settings = d.current() // what is not named stays
	if err := read(w, r, &asked); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	switch r.PathValue("do") {
	case "watch":
		if asked.Page == "" || len(asked.Page) > maxSource {
			refuse(w, http.StatusBadRequest, &twohop.Error{Code: twohop.CodeInvalidRequest, Message: "page is missing or too long", Hint: "give each page an id of its own"})
			return
		}
		if asked.Leave {
			d.Leave(asked.Page)
		} else if err := d.Watch(r.Context(), asked.Page); err != nil {
			refuse(w, http.StatusServiceUnavailable, err)
			return
		}
		answer(w, http.StatusOK, map[string]any{"now": milliseconds(time.Now()), "settings": d.current()})
	case "settings":
		answer(w, http.StatusOK, map[string]any{"settings": d.Set(asked.Settings)})
	case "drop":
		id, cut, err := d.Drop()
		if err != nil {
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusServiceUnavailable, err)
			return
		}
		answer(w, http.StatusOK, map[string]any{"id": id, "cut": cut})
	default:
		refuse(w, http.StatusNotFound, &twohop.Error{Code: twohop.CodeNotFound, Message: "there is nothing at " + r.URL.Path, Hint: "use watch, settings or drop"})
	}
}

func read(w http.ResponseWriter, r *http.Request, into any) error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return &twohop.Error{Code: twohop.CodeInvalidContentType, Message: "the body is not JSON", Hint: "send Content-Type: application/json"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		return &twohop.Error{Code: twohop.CodeInvalidJSON, Message: "the body cannot be read: " + err.Error(), Hint: "send one small JSON object"}
	}
	return nil
}

// refuse answers an error in the form that all errors of the server have.
func refuse(w http.ResponseWriter, status int, err error) {
	e, ok := errors.AsType[*twohop.Error](err)
	if !ok {
		e = &twohop.Error{Code: twohop.CodeInternal, Message: err.Error(), Hint: "see the server's log"}
	}
	answer(w, status, map[string]any{"code": e.Code, "message": e.Message, "hint": e.Hint})
}

func answer(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // fails only when the page is gone
}
