package wire

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"twohop"
)

// Subscribe is what a request to /v1/subscribe asks for (PROTOCOL.md section 9).
type Subscribe struct {
	Live   string // "", "long-poll" or "sse"
	Resume string // a token, "" if there is none
	Subs   []Follow
}

// ParseSubscribeBody reads the body of a POST, which may name so many channels;
// of one that names more, or an element that names none, it reads no further: a
// body has room for millions. What is wrong with all channels is
// wrong with the request; else each that it is wrong with has it as its Err.
func ParseSubscribeBody(b []byte, channels int) (*Subscribe, error) {
	var o object
	err := o.read(b)
	s := &Subscribe{}
	if err == nil {
		err = s.read(&o, channels)
	}
	if e, ok := errors.AsType[*twohop.Error](err); ok && e.Code == CodeInvalidFrame {
		e.Code = twohop.CodeInvalidRequest
		e.Message = strings.Replace(e.Message, "the message is no", "the body is no", 1)
		e.Hint = `send {"live":"sse","channels":[{"channel":"a","offset":"-1"}]}; PROTOCOL.md section 9 shows all members`
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Subscribe) read(o *object, channels int) (err error) {
	if s.Live, _, err = o.text(mLive); err != nil {
		return err
	}
	if s.Resume, _, err = o.text(mResume); err != nil {
		return err
	}
	var all Follow
	if err = all.settings(o); err != nil {
		return err
	}
	if o.v[mChannel] != nil {
		return badFrame("channel stands beside channels", `name the channels in channels: [{"channel":"a"}]`)
	}
	if s.Subs, err = o.follows(s.Subs, channels, false); err != nil {
		return err
	}
	return s.settle(&all)
}

// settle gives channels what is said for all, and looks for faults.
func (s *Subscribe) settle(all *Follow) error {
	if s.Live != "" && s.Live != "sse" && s.Live != "long-poll" {
		return &twohop.Error{Code: twohop.CodeInvalidParameter, Message: fmt.Sprintf("live=%q is neither long-poll nor sse", s.Live[:min(len(s.Live), 80)]),
			Hint: "leave it out for a poll"}
	}
	if all.Err != nil {
		return all.Err
	}
	good := 0
	for i := range s.Subs {
		f := &s.Subs[i]
		if f.Err == nil {
			good++
		}
		if !f.HasFrom {
			f.From, f.TailRecords, f.Since, f.HasFrom = all.From, all.TailRecords, all.Since, all.HasFrom
		}
		if !f.HasBudget {
			f.Budget, f.HasBudget = all.Budget, all.HasBudget
		}
		f.Base64 = f.Base64 || all.Base64
	}
	if good == 0 && len(s.Subs) > 0 {
		return s.Subs[0].Err
	}
	return nil
}

// ParseSubscribeQuery reads the parameters of a GET, whose order counts, and
// which may name so many channels.
func ParseSubscribeQuery(raw string, channels int) (*Subscribe, error) {
	s := &Subscribe{}
	var o object // of the channel that is read, or before the first one of all
	var all Follow
	flush := func(first bool) error {
		defer func() { o = object{} }()
		if first {
			return all.settings(&o)
		}
		if len(s.Subs) == channels {
			return TooManyChannels(channels)
		}
		s.Subs = append(s.Subs, Follow{})
		return s.Subs[len(s.Subs)-1].read(&o)
	}
	seen := map[string]bool{}
	first := true
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, err := parameter(pair)
		if err != nil {
			return nil, err
		}
		m, known := parameters[name]
		if !known {
			continue
		}
		if value == "" {
			return nil, &twohop.Error{Code: twohop.CodeInvalidParameter, Message: "the parameter " + name + " is empty", Hint: "give it a value or leave it out"}
		}
		if m == mChannel {
			if err := flush(first); err != nil {
				return nil, err
			}
			first = false
		}
		if twice := o.v[m] != nil; twice || seen[name] {
			return nil, &twohop.Error{Code: twohop.CodeInvalidParameter, Message: "the parameter " + name + " is given more than once",
				Hint: "give it once before the first channel, or once after each"}
		}
		switch m {
		case mLive:
			s.Live, seen[name] = value, true
		case mResume:
			s.Resume, seen[name] = value, true
		case mTailRecords:
			if _, ok := integer([]byte(value)); !ok {
				all.bad(m, value, "a number from 0 to 1000000")
				return nil, all.Err
			}
			o.v[m] = []byte(value)
		default:
			o.v[m] = appendQuoted(nil, value)
		}
	}
	if first {
		return nil, &twohop.Error{Code: twohop.CodeInvalidParameter, Message: "no channel is named", Hint: "add channel=..., once for each"}
	}
	if err := flush(false); err != nil {
		return nil, err
	}
	return s, s.settle(&all)
}

var parameters = map[string]member{"channel": mChannel, "offset": mOffset, "tail_records": mTailRecords, "since": mSince,
	"budget": mBudget, "encoding": mEncoding, "live": mLive, "resume": mResume}

func parameter(pair string) (name, value string, err error) {
	name, value, _ = strings.Cut(pair, "=")
	if name, err = url.QueryUnescape(name); err == nil {
		value, err = url.QueryUnescape(value)
	}
	if err == nil && !utf8.ValidString(value) {
		err = errors.New(name + " is not UTF-8")
	}
	if err != nil {
		err = &twohop.Error{Code: twohop.CodeInvalidParameter, Message: "the query string is malformed: " + err.Error(),
			Hint: "percent-encode names and values"}
	}
	return name, value, err
}
