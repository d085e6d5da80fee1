package websocket

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // RFC 6455 wants it
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws/wsflate"

	"twohop"
	"twohop/internal/wire"
)

// Protocol is the subprotocol that a handshake has to offer.
const Protocol = "twohop.v1"

// Offer is what a request says about WebSocket.
type Offer struct {
	Method                        []byte
	HTTP11                        bool // the version of HTTP
	Connection, Upgrade, Version  []byte
	Key, Subprotocols, Extensions []byte
}

// OfferOf takes the offer from a request of net/http.
func OfferOf(r *http.Request) (o Offer) {
	o.Method, o.HTTP11 = []byte(r.Method), r.ProtoMajor == 1 && r.ProtoMinor == 1
	for name, values := range r.Header {
		if to := o.field([]byte(name)); to != nil {
			for _, v := range values {
				add(to, []byte(v))
			}
		}
	}
	return o
}

// OfferIn takes the offer from a request of the strict parser, and holds as long
// as that.
func OfferIn(r *wire.Request) (o Offer) {
	o.Method, o.HTTP11 = r.Method, true
	for i := range r.Fields[:r.N] {
		f := &r.Fields[i]
		if to := o.field(f.Name); to != nil {
			add(to, f.Value)
		}
	}
	return o
}

// field is where the value of a header field goes, or nil.
func (o *Offer) field(name []byte) *[]byte {
	is := func(lower string, to *[]byte) *[]byte {
		if strings.EqualFold(string(name), lower) {
			return to
		}
		return nil
	}
	switch len(name) {
	case len("connection"):
		return is("connection", &o.Connection)
	case len("upgrade"):
		return is("upgrade", &o.Upgrade)
	case len("sec-websocket-version"):
		return is("sec-websocket-version", &o.Version)
	case len("sec-websocket-key"):
		return is("sec-websocket-key", &o.Key)
	case len("sec-websocket-protocol"):
		return is("sec-websocket-protocol", &o.Subprotocols)
	case len("sec-websocket-extensions"):
		return is("sec-websocket-extensions", &o.Extensions)
	}
	return nil
}

func add(to *[]byte, value []byte) {
	if len(*to) > 0 {
		value = slices.Concat(*to, []byte(", "), value) // no key and no version any more
	}
	*to = value
}

// Refusal is the answer to an offer that cannot be taken.
type Refusal struct {
	Status int
	Header [2]string // name and value of a field that the answer must have, or empty
	Err    *twohop.Error
}

// Agreement is an offer that was taken.
type Agreement struct {
	Deflate bool // permessage-deflate, without context takeover

	key    [keyBytes]byte
	window bool // the offer named the server's window: 15 bits
}

const keyBytes = 24 // 16 as base64

// Agree checks an offer. The agreement holds if there is no refusal.
func (o *Offer) Agree() (a Agreement, _ *Refusal) {
	refuse := func(status int, name, value, message, hint string) (Agreement, *Refusal) {
		code := twohop.CodeInvalidHeader
		if status == http.StatusMethodNotAllowed {
			code = twohop.CodeMethod
		}
		return Agreement{}, &Refusal{status, [2]string{name, value}, &twohop.Error{Code: code, Message: message, Hint: hint}}
	}
	const use = "open it with a WebSocket client (RFC 6455); PROTOCOL.md section 8 shows how"
	switch {
	case string(o.Method) != http.MethodGet:
		return refuse(http.StatusMethodNotAllowed, "Allow", http.MethodGet, "a WebSocket begins with a GET", use)
	case !o.HTTP11:
		return refuse(http.StatusBadRequest, "", "", "a WebSocket begins with a request of HTTP/1.1", use)
	case !hasToken(o.Upgrade, "websocket"):
		return refuse(http.StatusBadRequest, "", "", "Upgrade has to be websocket", use)
	case !hasToken(o.Connection, "upgrade"):
		return refuse(http.StatusBadRequest, "", "", "Connection has to name Upgrade", "a proxy on the way may have taken it off: make it pass Upgrade and Connection on")
	case string(o.Version) != "13":
		return refuse(http.StatusUpgradeRequired, "Sec-WebSocket-Version", "13", "Sec-WebSocket-Version has to be 13", "use version 13 (RFC 6455)")
	case !isKey(o.Key):
		return refuse(http.StatusBadRequest, "", "", "Sec-WebSocket-Key has to be 16 bytes as base64, once", use)
	case !hasProtocol(o.Subprotocols):
		return refuse(http.StatusBadRequest, "", "", "Sec-WebSocket-Protocol does not offer "+Protocol, `name the subprotocol: new WebSocket(url, "`+Protocol+`")`)
	}
	copy(a.key[:], o.Key)
	a.deflate(o.Extensions)
	return a, nil
}

// strict refuses bits that no encoder sets.
var strict = base64.StdEncoding.Strict()

// isKey reports whether a key is 16 bytes as base64.
func isKey(key []byte) bool {
	var b [keyBytes]byte
	if len(key) != keyBytes {
		return false
	}
	n, err := strict.Decode(b[:], key)
	return err == nil && n == 16
}

// hasToken looks for a word in a list, whatever its case.
func hasToken(list []byte, lower string) bool {
	for t := range bytes.SplitSeq(list, comma) {
		if strings.EqualFold(string(bytes.Trim(t, " \t")), lower) {
			return true
		}
	}
	return false
}

var comma = []byte(",")

// hasProtocol looks for the subprotocol, whose case counts.
func hasProtocol(list []byte) bool {
	for t := range bytes.SplitSeq(list, comma) {
		if string(bytes.Trim(t, " \t")) == Protocol {
			return true
		}
	}
	return false
}

// deflate takes the first offer of permessage-deflate that can be kept. One
// that wants a smaller window than 32 KiB of the server can not.
func (a *Agreement) deflate(extensions []byte) {
	if len(extensions) == 0 {
		return
	}
	offers, ok := httphead.ParseOptions(extensions, nil)
	if !ok {
		return // extensions are an offer: what cannot be understood is not taken
	}
	for _, offer := range offers {
		var p wsflate.Parameters
		if string(offer.Name) != wsflate.ExtensionName || p.Parse(offer) != nil {
			continue
		}
		if p.ServerMaxWindowBits.Defined() && p.ServerMaxWindowBits != 15 {
			continue
		}
		a.Deflate, a.window = true, p.ServerMaxWindowBits.Defined()
		return
	}
}

// Append appends the answer that opens the connection, with more header fields
// (each with its line end) if there are any.
func (a *Agreement) Append(dst []byte, fields string) []byte {
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	dst = appendAccept(dst, &a.key)
	dst = append(dst, "\r\nSec-WebSocket-Protocol: "+Protocol+"\r\n"...)
	if a.Deflate {
		dst = append(dst, "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover"...)
		if a.window {
			dst = append(dst, "; server_max_window_bits=15"...)
		}
		dst = append(dst, "\r\n"...)
	}
	return append(append(dst, fields...), "\r\n"...)
}

func appendAccept(dst []byte, key *[keyBytes]byte) []byte {
	const id = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	var text [keyBytes + len(id)]byte
	copy(text[copy(text[:], key[:]):], id)
	sum := sha1.Sum(text[:]) //nolint:gosec // RFC 6455 wants it
	return base64.StdEncoding.AppendEncode(dst, sum[:])
}
