package wire

import (
	"fmt"
	"strconv"
	"time"

	"twohop"
)

// MaxBudget is the largest budget of a read.
const MaxBudget = 5 * time.Minute

const maxTailRecords = 1_000_000

// Follow is a channel that a client wants to follow, and from where on.
type Follow struct {
	Channel     string
	From        twohop.From // FromTail if nothing is said
	TailRecords *uint64
	Since       *time.Time
	Budget      time.Duration
	HasBudget   bool // the budget was given
	HasFrom     bool // From, TailRecords or Since was given
	Base64      bool // send text as base64
	Err         *twohop.Error
}

// follows appends the channels of a subscribe, up to so many: those of a list
// or, of a frame, also the members themselves. An element that names no channel
// is wrong by itself in a frame, and ends the reading of a request.
func (o *object) follows(to []Follow, most int, frame bool) ([]Follow, error) {
	list := o.v[mChannels]
	if frame && (list == nil) == (o.v[mChannel] == nil) {
		return to, badFrame("a frame needs either channel or channels", `send {"type":"subscribe","channels":[{"channel":"a","offset":"-1"}]}`)
	}
	if list == nil && frame {
		var f Follow
		err := f.read(o)
		return append(to, f), err
	}
	if list == nil {
		return to, badFrame("there is no channels", `send {"channels":[{"channel":"a","offset":"-1"}]}`)
	}
	err := elements(mChannels, list, func(v []byte) error {
		if v[0] != '{' {
			return noFrame("channels has to be an array of objects")
		}
		if len(to) == most {
			return TooManyChannels(most)
		}
		var in object
		if err := in.read(v); err != nil {
			return err
		}
		var f Follow
		if err := f.read(&in); err != nil {
			return err
		}
		if !frame && f.Err != nil && f.Err.Channel == "" {
			return f.Err
		}
		to = append(to, f)
		return nil
	})
	if err == nil && len(to) == 0 {
		err = badFrame("channels is empty", "name at least one channel")
	}
	return to, err
}

// read takes one channel's members. Members of a wrong type are an error; wrong
// values are the channel's.
func (f *Follow) read(o *object) (err error) {
	has := false
	if f.Channel, has, err = o.text(mChannel); err != nil {
		return err
	}
	if !has {
		f.Err = badFrame("an element of channels names no channel", `send {"channel":"a"}`)
	}
	return f.settings(o)
}

// settings takes the members beside the channel.
func (f *Follow) settings(o *object) (err error) {
	f.From.Kind = twohop.FromTail
	if err = f.position(o); err != nil {
		return err
	}
	if err = f.budget(o); err != nil {
		return err
	}
	encoding, has, err := o.text(mEncoding)
	if has && encoding != "base64" {
		f.bad(mEncoding, encoding, "base64")
	}
	f.Base64 = has
	return err
}

// bad notes a value that cannot be, unless there was one before.
func (f *Follow) bad(m member, value, want string) {
	if len(value) > 80 {
		value = value[:80] + "..."
	}
	f.fail(&twohop.Error{Code: twohop.CodeInvalidParameter, Message: fmt.Sprintf("%s %q is not %s", m, value, want),
		Hint: "PROTOCOL.md section 7 lists the members of a subscribe"})
}

func (f *Follow) fail(e *twohop.Error) {
	if f.Err == nil {
		e.Channel = f.Channel
		f.Err = e
	}
}

func (f *Follow) position(o *object) error {
	offset, hasOffset, err := o.text(mOffset)
	if err != nil {
		return err
	}
	last, hasLast, err := o.number(mTailRecords)
	if err != nil {
		return err
	}
	since, hasSince, err := o.since()
	if err != nil {
		return err
	}
	given := 0
	for _, has := range [...]bool{hasOffset, hasLast, hasSince} {
		if has {
			given++
		}
	}
	f.HasFrom = given > 0
	switch {
	case given > 1:
		f.fail(&twohop.Error{Code: twohop.CodeInvalidParameter, Message: "offset, tailRecords and since contradict each other", Hint: "give one of them"})
	case hasOffset:
		from, err := twohop.ParseFrom(offset)
		if err != nil {
			e, _ := err.(*twohop.Error) //nolint:errorlint // ParseFrom has no other
			f.fail(e)
			return nil
		}
		f.From = from
	case hasLast:
		if last < 0 || last > maxTailRecords {
			f.bad(mTailRecords, string(o.v[mTailRecords]), "a number from 0 to 1000000")
			return nil
		}
		n := uint64(last)
		f.TailRecords = &n
	case hasSince:
		at, err := ParseTime(since)
		if err != nil {
			f.bad(mSince, since, "a time as RFC 3339 or Unix milliseconds")
			return nil
		}
		f.Since = &at
	}
	return nil
}

// since is a time as text, or a number as its digits.
func (o *object) since() (s string, has bool, err error) {
	v := o.v[mSince]
	if v == nil || v[0] == '"' {
		return o.text(mSince)
	}
	if _, ok := integer(v); !ok {
		return "", false, wrongType(mSince, "a string or an integer")
	}
	return string(v), true, nil
}

func (f *Follow) budget(o *object) (err error) {
	f.Budget, f.HasBudget, err = o.budget()
	if e, ok := err.(*twohop.Error); ok && e.Code != CodeInvalidFrame { //nolint:errorlint // made right here
		f.fail(e)
		f.HasBudget, err = false, nil
	}
	return err
}

// budget is a duration as text, or a number of milliseconds.
func (o *object) budget() (d time.Duration, has bool, err error) {
	v := o.v[mBudget]
	if v == nil {
		return 0, false, nil
	}
	if v[0] == '"' {
		s := unquote(v)
		if d, err = ParseBudget(s); err == nil {
			return d, true, nil
		}
		return 0, true, badBudget(s)
	}
	n, ok := integer(v)
	if !ok {
		return 0, false, wrongType(mBudget, "a string or an integer of milliseconds")
	}
	if n < 0 || n > MaxBudget.Milliseconds() {
		return 0, true, badBudget(string(v))
	}
	return time.Duration(n) * time.Millisecond, true, nil
}

func badBudget(value string) error {
	if len(value) > 80 {
		value = value[:80] + "..."
	}
	return &twohop.Error{Code: twohop.CodeInvalidParameter, Message: fmt.Sprintf("budget %q is not a duration from 0s to 5m", value),
		Hint: `give one like "250ms", or a number of milliseconds`}
}

// ParseBudget reads a budget, for example 250ms.
func ParseBudget(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err == nil && (d < 0 || d > MaxBudget) {
		err = strconv.ErrRange
	}
	return d, err
}

// ParseTime reads a time as RFC 3339 or Unix milliseconds.
func ParseTime(s string) (time.Time, error) {
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.UnixMilli(ms), nil
	}
	return time.Parse(time.RFC3339Nano, s)
}
