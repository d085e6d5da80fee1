package wire

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"time"

	"twohop"
)

// Encoding is how records go into SSE data events (DS 5.8).
type Encoding uint8

// The encodings of SSE data events.
const (
	EncodeJSON   Encoding = iota // an array on one data line
	EncodeText                   // a data line for each line
	EncodeBase64                 // RFC 4648, on one data line
)

// EncodingOf chooses the encoding for a channel's media type.
func EncodingOf(contentType string) Encoding {
	switch {
	case twohop.IsJSON(contentType):
		return EncodeJSON
	case twohop.IsText(contentType):
		return EncodeText
	}
	return EncodeBase64
}

// SSEOpen is how every SSE response begins: a comment, which shows that nothing
// on the path buffers, and the pace for reconnects.
func SSEOpen(dst []byte, retry time.Duration) []byte {
	dst = append(dst, ": twohop\nretry: "...)
	dst = strconv.AppendInt(dst, retry.Milliseconds(), 10)
	return append(dst, "\n\n"...)
}

// SSEHeartbeat is the comment that keeps an idle response alive.
const SSEHeartbeat = ": \n\n"

// AppendChunk appends what fill appends as one chunk of a chunked response
// (RFC 9112 7.1).
func AppendChunk(dst []byte, fill func(dst []byte) []byte) []byte {
	const hex = "0123456789abcdef"
	at := len(dst)
	dst = fill(append(dst, "00000000\r\n"...))
	for i, n := at+7, len(dst)-at-10; n > 0; i, n = i-1, n>>4 {
		dst[i] = hex[n&15]
	}
	return append(dst, "\r\n"...)
}

// Control is what a control event says.
type Control struct {
	Next       twohop.Offset
	CacheToken uint64
	UpToDate   bool
	Closed     bool
}

// SSEData appends a data event with the records, whose id is the offset after
// them, and its control event. With no records it is the control event alone,
// with the id.
func SSEData(dst []byte, enc Encoding, data []byte, c Control) []byte {
	dst = append(dst, "id: "...)
	dst = c.Next.AppendTo(dst)
	if len(data) > 0 {
		dst = append(dst, "\nevent: data\n"...)
		switch enc {
		case EncodeJSON:
			dst = append(JSONArray(append(dst, "data:"...), data), '\n')
		case EncodeText:
			dst = appendText(dst, data)
		case EncodeBase64:
			dst = append(base64.StdEncoding.AppendEncode(append(dst, "data:"...), data), '\n')
		}
	}
	dst = append(dst, "\nevent: control\ndata:{\"streamNextOffset\":\""...)
	dst = c.Next.AppendTo(dst)
	dst = append(dst, '"')
	if c.Closed {
		return append(dst, ",\"upToDate\":true,\"streamClosed\":true}\n\n"...)
	}
	dst = append(dst, ",\"streamCursor\":\""...)
	dst = strconv.AppendUint(dst, c.CacheToken, 10)
	dst = append(dst, '"')
	if c.UpToDate {
		dst = append(dst, ",\"upToDate\":true"...)
	}
	return append(dst, "}\n\n"...)
}

// appendText writes text as data lines. A line break of any kind ends a line
// there, so that no text can end the event; readers see each as a line feed.
func appendText(dst, data []byte) []byte {
	for {
		dst = append(dst, "data:"...)
		i := bytes.IndexAny(data, "\r\n")
		line := data
		if i >= 0 {
			line = data[:i]
		}
		if len(line) > 0 && line[0] == ' ' {
			dst = append(dst, ' ') // readers drop one space after the colon
		}
		dst = append(append(dst, line...), '\n')
		if i < 0 {
			return dst
		}
		if data[i] == '\r' && i+1 < len(data) && data[i+1] == '\n' {
			i++
		}
		data = data[i+1:]
	}
}

// SSEReset appends a reset event; its id is the offset to go on from.
func SSEReset(dst []byte, r *twohop.Reset) []byte {
	if r.Reason != twohop.ResetDeleted {
		dst = append(dst, "id: "...)
		dst = r.Next().AppendTo(dst)
		dst = append(dst, '\n')
	}
	dst = append(dst, "event: reset\ndata:"...)
	return append(ResetFields(append(dst, '{'), r), "}\n\n"...)
}

// ResetFields appends a reset as members of a JSON object, without braces.
func ResetFields(dst []byte, r *twohop.Reset) []byte {
	dst = append(dst, `"reason":"`...)
	dst = append(dst, r.Reason...)
	if r.Reason != twohop.ResetDeleted {
		dst = append(dst, `","start":"`...)
		dst = r.Start.AppendTo(dst)
		dst = append(dst, `","tail":"`...)
		dst = r.Tail.AppendTo(dst)
	}
	dst = append(dst, `","missed":`...)
	return strconv.AppendUint(dst, r.Missed, 10)
}
