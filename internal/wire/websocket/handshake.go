package websocket

import (
	"crypto/sha1" //nolint:gosec // RFC 6455 wants it
	"encoding/base64"
	"net/http"
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
	Method                        string
	HTTP11                        bool // the version of HTTP
	Connection, Upgrade, Version  string
	Key, Subprotocols, Extensions string
}

// OfferOf takes the offer from a request of net/http.
func OfferOf(r *http.Request) *Offer {
	o := &Offer{Method: r.Method, HTTP11: r.ProtoMajor == 1 && r.ProtoMinor == 1}
	for _, name := range [...]string{"Connection", "Upgrade", "Sec-Websocket-Version", "Sec-Websocket-Key", "Sec-Websocket-Protocol", "Sec-Websocket-Extensions"} {
		for _, value := range r.Header[name] {
			o.add(strings.ToLower(name), value)
		}
	}
	return o
}

// OfferIn takes the offer from a request of the strict parser.
func OfferIn(r *wire.Request) *Offer {
	o := &Offer{Method: string(r.Method), HTTP11: true}
	for i := range r.Fields[:r.N] {
		f := &r.Fields[i]
		for _, name := range [...]string{"connection", "upgrade", "sec-websocket-version", "sec-websocket-key", "sec-websocket-protocol", "sec-websocket-extensions"} {
			if f.Is(name) {
				o.add(name, string(f.Value))
				break
			}
		}
	}
	return o
}

func (o *Offer) add(name, value string) {
	var to *string
	switch name {
	case "connection":
		to = &o.Connection
	case "upgrade":
		to = &o.Upgrade
	case "sec-websocket-version":
		to = &o.Version
	case "sec-websocket-key":
		to = &o.Key
	case "sec-websocket-protocol":
		to = &o.Subprotocols
	case "sec-websocket-extensions":
		to = &o.Extensions
	}
	if *to != "" {
		value = *to + ", " + value // no key and no version any more
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

	key    string
	window bool // the offer named the server's window: 15 bits
}

// Agree checks an offer. One of its results is nil.
func (o *Offer) Agree() (*Agreement, *Refusal) {
	refuse := func(status int, name, value, message, hint string) (*Agreement, *Refusal) {
		code := twohop.CodeInvalidHeader
		if status == http.StatusMethodNotAllowed {
			code = twohop.CodeMethod
		}
		return nil, &Refusal{status, [2]string{name, value}, &twohop.Error{Code: code, Message: message, Hint: hint}}
	}
	const use = "open it with a WebSocket client (RFC 6455); PROTOCOL.md section 8 shows how"
	key, err := base64.StdEncoding.Strict().DecodeString(o.Key)
	switch {
	case o.Method != http.MethodGet:
		return refuse(http.StatusMethodNotAllowed, "Allow", http.MethodGet, "a WebSocket begins with a GET", use)
	case !o.HTTP11:
		return refuse(http.StatusBadRequest, "", "", "a WebSocket begins with a request of HTTP/1.1", use)
	case !hasToken(o.Upgrade, "websocket"):
		return refuse(http.StatusBadRequest, "", "", "Upgrade has to be websocket", use)
	case !hasToken(o.Connection, "upgrade"):
		return refuse(http.StatusBadRequest, "", "", "Connection has to name Upgrade", "a proxy on the way may have taken it off: make it pass Upgrade and Connection on")
	case o.Version != "13":
		return refuse(http.StatusUpgradeRequired, "Sec-WebSocket-Version", "13", "Sec-WebSocket-Version has to be 13", "use version 13 (RFC 6455)")
	case err != nil || len(key) != 16 || len(o.Key) != 24:
		return refuse(http.StatusBadRequest, "", "", "Sec-WebSocket-Key has to be 16 bytes as base64, once", use)
	case !hasProtocol(o.Subprotocols):
		return refuse(http.StatusBadRequest, "", "", "Sec-WebSocket-Protocol does not offer "+Protocol, `name the subprotocol: new WebSocket(url, "`+Protocol+`")`)
	}
	a := &Agreement{key: o.Key}
	a.deflate(o.Extensions)
	return a, nil
}

// hasToken looks for a word in a list, whatever its case.
func hasToken(list, lower string) bool {
	for t := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.Trim(t, " \t"), lower) {
			return true
		}
	}
	return false
}

// hasProtocol looks for the subprotocol, whose case counts.
func hasProtocol(list string) bool {
	for t := range strings.SplitSeq(list, ",") {
		if strings.Trim(t, " \t") == Protocol {
			return true
		}
	}
	return false
}

// deflate takes the first offer of permessage-deflate that can be kept. One
// that wants a smaller window than 32 KiB of the server can not.
func (a *Agreement) deflate(extensions string) {
	if extensions == "" {
		return
	}
	offers, ok := httphead.ParseOptions([]byte(extensions), nil)
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
	dst = appendAccept(dst, a.key)
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

func appendAccept(dst []byte, key string) []byte {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // RFC 6455 wants it
	return base64.StdEncoding.AppendEncode(dst, sum[:])
}
