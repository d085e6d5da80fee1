package websocket

// Close codes of RFC 6455 and of twohop, as PROTOCOL.md section 8 lists them.
const (
	CodeNormal      = 1000 // the client closed
	CodeProtocol    = 1002 // RFC 6455 was broken
	CodeUnsupported = 1003 // a binary message
	CodeNone        = 1005 // never sent: the close frame had no code
	CodeData        = 1007 // not UTF-8, or compressed data that is none
	CodeTooLarge    = 1009 // a message over the limit
	CodeRestart     = 1012 // the node leaves
	CodeNoFrame     = 4000 // a message that is no frame of twohop
	CodeToken       = 4001 // the token has run out
	CodeIdle        = 4008 // no answer to a ping, or nothing done for too long
)

// Error says why a connection has to be closed.
type Error struct {
	Code   uint16 // for the close frame
	Reason string // for the close frame, too: at most 123 bytes
}

func (e *Error) Error() string { return e.Reason }

var (
	errLength   = &Error{CodeProtocol, "a length that is not written as short as it can be, or beyond 2^63-1"}
	errBinary   = &Error{CodeUnsupported, "a binary message: frames are text"}
	errTooLarge = &Error{CodeTooLarge, "a message of more bytes than maxMessage"}
	errUTF8     = &Error{CodeData, "a message that is not UTF-8"}
	errReason   = &Error{CodeData, "a close reason that is not UTF-8"}
	errClose    = &Error{CodeProtocol, "a close code that may not be sent"}
	errDeflate  = &Error{CodeData, "compressed data that is none"}
)
