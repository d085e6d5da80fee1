package wire

import (
	"testing"
	"time"

	"twohop"
)

func TestParseClientFrame(t *testing.T) {
	var f ClientFrame
	if err := ParseClientFrame([]byte(`{"type":"subscribe","id":1,"channels":[{"channel":"chat/1","offset":"-1"},{"channel":"likes","budget":"500ms"}]}`), &f); err != nil {
		t.Fatal(err)
	}
	if f.Type != FrameSubscribe || string(f.ID) != "1" || len(f.Subs) != 2 || f.Subs[0].From.Kind != twohop.FromStart ||
		f.Subs[1].From.Kind != twohop.FromTail || f.Subs[1].Budget != 500*time.Millisecond || f.Subs[1].Channel != "likes" {
		t.Errorf("got %+v", f)
	}
	if err := ParseClientFrame([]byte(`{"type":"publish","id":"a","channel":"likes","records":[1, 2]}`), &f); err != nil {
		t.Fatal(err)
	}
	a, err := f.Item.Append(255)
	if err != nil || a.Channel != "likes" || string(a.Data) != "1,2," || a.ContentType != "application/json" {
		t.Errorf("got %+v, %v", a, err)
	}
}
