package client

import (
	"bytes"
	"context"
	"time"
	"unicode/utf8"

	"twohop"
)

// Publish appends data as Client.Publish does, over the WebSocket where there is
// one, and else by a request of its own; errors are the same. Publishes to one channel take effect in
// the order of the calls, if each waits for the one before. Where the context
// ends before the data was sent, it is not, and the error is the context's alone.
func (c *Conn) Publish(ctx context.Context, channel string, data []byte, o PublishOptions) (Ack, error) {
	if err := twohop.CheckName(channel, maxName); err != nil {
		return Ack{}, err
	}
	if c.ctx.Err() != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		return Ack{}, c.end()
	}
	item, err := itemOf(channel, data, &o)
	if err != nil {
		return Ack{}, err
	}
	h := o.header()
	return c.c.trying(ctx, channel, o.IdempotencyKey != "", func(ctx context.Context) (Ack, error) {
		if p, ok := c.overWire(item); ok {
			return p.wait(ctx)
		}
		return c.c.append(ctx, channel, h, data)
	})
}

// overWire sends the item over the session, if that can.
func (c *Conn) overWire(item *publishItem) (p *publishing, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.published = time.Now(); !c.publishes {
		c.publishes = true
		c.advised()
	}
	if c.session == nil {
		notify(c.kick) // an idle Conn connects
	}
	if c.session == nil || item == nil {
		return nil, false
	}
	return c.session.publish(item)
}

// wait waits for the answer.
func (p *publishing) wait(ctx context.Context) (Ack, error) {
	limit := time.NewTimer(p.limit)
	defer limit.Stop()
	select {
	case <-p.done:
		return p.ack, p.err
	case <-limit.C:
		return p.giveUp(errSilent)
	case <-ctx.Done():
		return p.giveUp(ctx.Err())
	}
}

// giveUp ends the wait. What was not sent has not taken effect.
func (p *publishing) giveUp(why error) (Ack, error) {
	fail := disconnected(why)
	fail.unknown = !p.s.withdraw(p, fail)
	return Ack{}, fail
}

// itemOf is the publish as a frame has it, nil where frames cannot express it.
// It holds a copy of the data: the frame may still be written when the publish
// was given up.
func itemOf(channel string, data []byte, o *PublishOptions) (*publishItem, error) {
	if o.Lines {
		return nil, nil
	}
	i := &publishItem{
		Channel: channel, ContentType: o.ContentType, IdempotencyKey: o.IdempotencyKey, IfMatch: o.IfMatch, Close: o.Close,
	}
	if !twohop.IsJSON(o.ContentType) {
		switch {
		case len(data) == 0:
		case twohop.IsText(o.ContentType) && utf8.Valid(data):
			text := string(data)
			i.Text = &text
		default:
			i.Base64 = bytes.Clone(data)
		}
		if i.ContentType == "" {
			i.ContentType = defaultContentType
		}
		return i, nil
	}
	data = bytes.Trim(data, space)
	if err := checkJSON(channel, data); len(data) > 0 && err != nil {
		return nil, err
	}
	switch {
	case len(data) == 0:
	case data[0] == '[':
		i.Records = bytes.Clone(data)
	default:
		i.Records = bytes.Join([][]byte{{'['}, data, {']'}}, nil)
	}
	return i, nil
}
