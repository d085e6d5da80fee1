package hub

import (
	"context"

	"twohop"
)

// Append carries out an append and waits for its answer. When the context ends
// first the outcome is unknown: the append goes on.
func (h *Hub) Append(ctx context.Context, a *twohop.Append) (twohop.Ack, error) {
	type answer struct {
		ack twohop.Ack
		err error
	}
	done := make(chan answer, 1)
	h.eng.Append(ctx, a, func(ack twohop.Ack, err error) { done <- answer{ack, err} })
	select {
	case r := <-done:
		return r.ack, r.err
	case <-ctx.Done():
		return twohop.Ack{}, &twohop.Error{Code: twohop.CodeUnknownOutcome, Channel: a.Channel, Err: ctx.Err(),
			Message: "the request ended before the append was acknowledged; it may take effect",
			Hint:    "repeat it with the same producer triple or idempotency key"}
	}
}

// Create makes a channel, see engine.Engine.
func (h *Hub) Create(ctx context.Context, name string, spec *twohop.Spec) (twohop.Info, bool, error) {
	return h.eng.Create(ctx, name, spec)
}

// Info tells about a channel.
func (h *Hub) Info(ctx context.Context, name string) (twohop.Info, error) {
	return h.eng.Info(ctx, name)
}

// Read reads a channel without opening it.
func (h *Hub) Read(ctx context.Context, name string, from twohop.Offset, maxBytes int) (twohop.Batch, error) {
	return h.eng.Read(ctx, name, from, maxBytes)
}

// Last returns the offset before the last n records of a channel.
func (h *Hub) Last(ctx context.Context, name string, n uint64) (twohop.Offset, error) {
	return h.eng.Last(ctx, name, n)
}

// List returns names of channels, see engine.Engine.
func (h *Hub) List(ctx context.Context, glob, after string, n int) ([]string, error) {
	return h.eng.List(ctx, glob, after, n)
}

// Delete removes a channel.
func (h *Hub) Delete(ctx context.Context, name string) error { return h.eng.Delete(ctx, name) }
