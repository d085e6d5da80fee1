package wire

import (
	"fmt"

	"twohop"
)

// Codes that only frames have; PROTOCOL.md section 11 lists them with the others.
const (
	CodeInvalidFrame      twohop.Code = "invalid_frame"
	CodeAlreadySubscribed twohop.Code = "already_subscribed"
	CodeNotSubscribed     twohop.Code = "not_subscribed"
	CodeTooManyChannels   twohop.Code = "too_many_channels"
)

// FrameType is the type of a client's frame.
type FrameType uint8

// The types of clients' frames.
const (
	FrameNone FrameType = iota
	FrameSubscribe
	FrameUnsubscribe
	FramePublish
	FrameToken
	FramePing
	FramePong
)

var frameTypes = map[string]FrameType{
	"subscribe": FrameSubscribe, "unsubscribe": FrameUnsubscribe, "publish": FramePublish,
	"token": FrameToken, "ping": FramePing, "pong": FramePong,
}

// ClientFrame is a frame of a client. ID points into the message; all else is
// its own.
type ClientFrame struct {
	Type  FrameType
	ID    []byte   // as JSON, to be repeated as it came; nil if there is none
	Subs  []Follow // of subscribe
	Names []string // of unsubscribe
	Item  Item     // of publish
	Token string   // of token
}

// ParseClientFrame reads a message of a client into f, whose slices it uses
// again. Of a frame that names more than so many channels it reads no further:
// one of a megabyte has room for hundreds of thousands. An error of
// CodeInvalidFrame means that the message is no frame; with any other the frame is
// refused, and f has its type and id. What is wrong with one channel of a
// subscribe, or with the item of a publish, stands there.
//
// Members that are not known are ignored, and null is as if the member were not
// there. A member that is known and given twice makes the frame ambiguous, so
// that it is none.
func ParseClientFrame(b []byte, f *ClientFrame, channels int) error {
	clear(f.Subs)
	*f = ClientFrame{Subs: f.Subs[:0], Names: f.Names[:0]}
	var o object
	if err := o.read(b); err != nil {
		return asFrameError(err)
	}
	return asFrameError(f.read(&o, channels))
}

func (f *ClientFrame) read(o *object, channels int) error {
	if err := f.id(o.v[mID]); err != nil {
		return err
	}
	if err := f.typ(o.v[mType]); err != nil {
		return err
	}
	var err error
	switch f.Type {
	case FrameSubscribe:
		f.Subs, err = o.follows(f.Subs, channels, true)
	case FrameUnsubscribe:
		err = f.names(o, channels)
	case FramePublish:
		err = f.Item.read(o)
	case FrameToken:
		var has bool
		if f.Token, has, err = o.text(mToken); err == nil && !has {
			err = badFrame("the frame has no token", `send {"type":"token","token":"..."}`)
		}
	case FrameNone, FramePing, FramePong:
	}
	return err
}

func (f *ClientFrame) typ(v []byte) error {
	if v == nil {
		return noFrame("the frame has no type")
	}
	if v[0] != '"' {
		return wrongType(mType, "a string")
	}
	var known bool
	if f.Type, known = frameTypes[string(v[1:len(v)-1])]; known {
		return nil
	}
	name := unquote(v) // it may have escapes
	if f.Type, known = frameTypes[name]; known {
		return nil
	}
	if len(name) > 40 {
		name = name[:40] + "..."
	}
	return noFrame(fmt.Sprintf("%q is no type of frame", name))
}

const maxIDBytes = 64

// id takes an integer from 0 to 2^53-1 or a short string.
func (f *ClientFrame) id(v []byte) error {
	switch {
	case v == nil:
		return nil
	case v[0] == '"':
		if n := len(v) - 2; n > maxIDBytes && len(unquote(v)) > maxIDBytes {
			return noFrame(fmt.Sprintf("id has more than %d bytes", maxIDBytes))
		}
	default:
		if n, ok := integer(v); !ok || n < 0 || n > maxSafe {
			return noFrame("id has to be an integer from 0 to 2^53-1 or a string")
		}
	}
	f.ID = v
	return nil
}

// names reads the channels of an unsubscribe.
func (f *ClientFrame) names(o *object, most int) error {
	list := o.v[mChannels]
	name, has, err := o.text(mChannel)
	if err != nil {
		return err
	}
	if has == (list != nil) {
		return badFrame("a frame needs either channel or channels", `send {"type":"unsubscribe","channels":["a","b"]}`)
	}
	if has {
		f.Names = append(f.Names, name)
		return nil
	}
	err = elements(mChannels, list, func(v []byte) error {
		if v[0] != '"' {
			return noFrame("channels of an unsubscribe has to be an array of strings")
		}
		if len(f.Names) == most {
			return TooManyChannels(most)
		}
		f.Names = append(f.Names, unquote(v))
		return nil
	})
	if err == nil && len(f.Names) == 0 {
		err = badFrame("channels is empty", "name at least one channel")
	}
	return err
}

// TooManyChannels refuses what names, or would follow, more channels than one
// connection may.
func TooManyChannels(limit int) *twohop.Error {
	return &twohop.Error{Code: CodeTooManyChannels, Message: fmt.Sprintf("more than %d channels, which is as many as one connection may follow", limit),
		Hint: "follow them on several connections; limits.channels sets the limit"}
}

// noFrame is an error that ends a connection.
func noFrame(message string) *twohop.Error {
	return &twohop.Error{Code: CodeInvalidFrame, Message: message, Hint: "PROTOCOL.md section 7 lists the frames and their members"}
}

// badFrame is an error that refuses a frame.
func badFrame(message, hint string) *twohop.Error {
	return &twohop.Error{Code: twohop.CodeInvalidRequest, Message: message, Hint: hint}
}

// asFrameError makes faults of the JSON into faults of the frame.
func asFrameError(err error) error {
	if e, ok := err.(*twohop.Error); ok && e.Code == twohop.CodeInvalidJSON { //nolint:errorlint // made right here
		return noFrame("the message is not JSON: " + e.Message)
	}
	return err
}
