package hub

import (
	"fmt"
	"testing"
)

// A frame is encoded again only for whom none does that is there.
func TestFramesAreShared(t *testing.T) {
	v := &View{}
	encoded := 0
	f := func(key FrameKey, want string, again int) {
		t.Helper()
		encoded = 0
		b := v.Frame(1, key, 100, func(dst []byte) []byte {
			encoded++
			return fmt.Append(dst, key.Token, " ", key.Second, " ", key.Budget)
		})
		if string(b) != want || encoded != again {
			t.Errorf("%+v: %q, encoded %d times; want %q, %d", key, b, encoded, want, again)
		}
	}
	f(FrameKey{Token: 10, Second: 1}, "10 1 0", 1)
	f(FrameKey{Token: 10, Second: 1}, "10 1 0", 0)
	f(FrameKey{Token: 11, Second: 1}, "11 1 0", 1)
	f(FrameKey{Token: 10, Second: 1}, "10 1 0", 1) // a larger token would do only with room
	f(FrameKey{Token: 9, Second: 1, Room: 1}, "10 1 0", 0)
	f(FrameKey{Token: 8, Second: 1, Room: 1}, "8 1 0", 1)
	f(FrameKey{Token: 9, Second: 1, Room: 5}, "9 1 0", 1) // a smaller one never does
	f(FrameKey{Token: 9, Second: 2, Room: 5}, "9 2 0", 1)
	f(FrameKey{Token: 9, Second: 2, Budget: 3, Room: 5}, "9 2 3", 1)
}
