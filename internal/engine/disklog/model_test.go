package disklog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"twohop"
)

// modelLog is what a channel has to be like.
type modelLog struct {
	spec    twohop.Spec
	records []string
	at      []time.Time     // of each record
	offsets []twohop.Offset // before the first record, and after each
	floor   int             // what a fork inherits begins here
	keys    map[string]modelKey
	seq     uint64 // of the producer's next append
	last    twohop.Offset
}

// modelKey is the append that an idempotency key is known from.
type modelKey struct {
	at     time.Time
	offset twohop.Offset
}

func newModelLog(spec twohop.Spec, tail twohop.Offset) *modelLog {
	return &modelLog{spec: spec, offsets: []twohop.Offset{tail}, keys: map[string]modelKey{}}
}

func (l *modelLog) fork(at int, spec twohop.Spec, floor int) *modelLog {
	return &modelLog{
		spec: spec, floor: floor, keys: map[string]modelKey{},
		records: slices.Clone(l.records[:at]), at: slices.Clone(l.at[:at]), offsets: slices.Clone(l.offsets[:at+1]),
	}
}

// Whatever is appended, forked, deleted, dropped by retention and restarted in
// whatever order, a channel holds what it has to, under the offsets that were
// given for it, and no other.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			m := &model{t: t, seed: seed, dice: rand.New(rand.NewPCG(seed, 7)), fs: vfs.NewMem(), logs: map[string]*modelLog{}} //nolint:gosec // a test's dice
			m.open()
			for m.step = range 150 {
				m.act()
				if t.Failed() {
					break
				}
			}
			m.check()
			shut(t, m.e)
		})
	}
}

type model struct {
	t    *testing.T
	seed uint64
	step int
	dice *rand.Rand
	fs   vfs.FS
	e    *Engine
	logs map[string]*modelLog
}

// open opens the engine with a cache of few channels, so that they are loaded
// again and again.
func (m *model) open() { m.e = openAt(m.t, m.fs, Options{CacheChannels: 2, LogBytes: 64 << 10}) }

func (m *model) fail(format string, args ...any) {
	m.t.Helper()
	m.t.Errorf("seed %d, step %d: %s", m.seed, m.step, fmt.Sprintf(format, args...))
}

func (m *model) name() string { return fmt.Sprint("c", m.dice.IntN(5)) }

func (m *model) newSpec() twohop.Spec {
	s := twohop.Spec{ContentType: "text/plain", Sync: twohop.SyncAlways}
	switch m.dice.IntN(5) {
	case 0, 1:
		s.Retention.Age = time.Duration(1+m.dice.IntN(100)) * time.Minute
	case 2:
		s.Retention.Records = uint64(1 + m.dice.IntN(150)) //nolint:gosec // small
	case 3:
		s.Retention.Bytes = uint64(1 + m.dice.IntN(100_000)) //nolint:gosec // small
	}
	return s
}

func (m *model) act() {
	name := m.name()
	l := m.logs[name]
	switch k := m.dice.IntN(20); {
	case k == 0:
		shut(m.t, m.e)
		m.open()
	case k == 1:
		m.e.guard.kill()
		_ = m.e.Close()
		m.open()
	case k < 5:
		<-time.After(time.Duration(m.dice.IntN(60)) * []time.Duration{time.Minute, 3 * time.Second}[m.dice.IntN(2)])
		synctest.Wait()
	case k == 5 && l != nil:
		if err := m.e.Delete(m.t.Context(), name); err != nil {
			m.fail("delete %s: %v", name, err)
		}
		delete(m.logs, name)
	case l == nil:
		m.create(name)
	case k < 16:
		m.append(name, l)
	default:
		m.look(name, l)
	}
}

func (m *model) create(name string) {
	spec := m.newSpec()
	if from := m.logs[m.name()]; from != nil && m.dice.IntN(2) == 0 {
		for source, l := range m.logs {
			if l != from {
				continue
			}
			floor := int(mustInfo(m.t, m.e, source).Start.Pos) //nolint:gosec // small
			at := floor + m.dice.IntN(len(l.records)-floor+1)
			spec.Fork = &twohop.Fork{Source: source, At: &l.offsets[at]}
			info, _, err := m.e.Create(m.t.Context(), name, &spec)
			if isCode(err, twohop.CodeExists) {
				return // a deleted one is still there, for its forks
			}
			if err != nil {
				m.fail("fork %s of %s at %d: %v", name, source, at, err)
			}
			m.logs[name] = l.fork(at, spec, floor)
			if at == 0 { // it inherits nothing, so this is of its own log
				m.logs[name].offsets[0] = info.Tail
			}
			return
		}
	}
	info, _, err := m.e.Create(m.t.Context(), name, &spec)
	if isCode(err, twohop.CodeExists) {
		return
	}
	if err != nil {
		m.fail("create %s: %v", name, err)
	}
	m.logs[name] = newModelLog(spec, info.Tail)
}

func isCode(err error, code twohop.Code) bool {
	e, ok := errors.AsType[*twohop.Error](err)
	return ok && e.Code == code
}

func (m *model) append(name string, l *modelLog) {
	recs := make([]string, 1+m.dice.IntN(5))
	if m.dice.IntN(4) == 0 {
		recs = make([]string, 1+m.dice.IntN(200))
	}
	for i := range recs {
		recs[i] = fmt.Sprintf("%s/%d/%d %s", name, m.step, i, strings.Repeat("x", m.dice.IntN(300)))
	}
	a, first, again := twohop.Append{Channel: name}, twohop.Offset{}, false
	switch m.dice.IntN(4) {
	case 0:
		a.Key = fmt.Sprint("k", m.dice.IntN(3))
		k, known := l.keys[a.Key]
		first, again = k.offset, known && time.Since(k.at) < 5*time.Minute
	case 1:
		a.Producer = &twohop.Producer{ID: "p", Seq: l.seq}
		if again = l.seq > 0 && m.dice.IntN(3) == 0; again {
			a.Producer.Seq, first = l.seq-1, l.last
		}
	}
	ack, err := tryAppend(m.e, a, recs...)
	if err != nil || ack.Duplicate != again {
		m.fail("append to %s: %+v, %v; it is a repetition: %v", name, ack, err, again)
		return
	}
	if again {
		if ack.Offset != first {
			m.fail("a repetition ends at %v in %s, the first one did at %v", ack.Offset, name, first)
		}
		return
	}
	if a.Key != "" {
		l.keys[a.Key] = modelKey{time.Now(), ack.Offset}
	}
	if a.Producer != nil {
		l.seq, l.last = l.seq+1, ack.Offset
	}
	l.add(m, name, ack.Offset, recs)
}

// add notes what was appended.
func (l *modelLog) add(m *model, name string, end twohop.Offset, recs []string) {
	first := end.Pos - uint64(len(recs))
	if first != uint64(len(l.records)) {
		m.fail("%s has %d records, the next ones are at %d", name, len(l.records), first)
		return
	}
	for i, r := range recs {
		l.records, l.at = append(l.records, r), append(l.at, time.Now())
		l.offsets = append(l.offsets, twohop.Offset{Epoch: end.Epoch, Pos: first + uint64(i) + 1}) //nolint:gosec // small
	}
}

func (m *model) check() {
	synctest.Wait()
	for name, l := range m.logs {
		m.look(name, l)
	}
}

// look compares a channel with the model.
func (m *model) look(name string, l *modelLog) {
	synctest.Wait()
	info := mustInfo(m.t, m.e, name)
	if info.Tail != l.offsets[len(l.records)] {
		m.fail("the tail of %s is %v, not %v", name, info.Tail, l.offsets[len(l.records)])
		return
	}
	start := int(info.Start.Pos) //nolint:gosec // small
	if got := readAll(m.t, m.e, name, info.Start, 1+m.dice.IntN(5000)); !slices.Equal(got, l.records[start:]) {
		m.fail("%s has %d records from %d on, not %d", name, len(got), start, len(l.records)-start)
	}
	m.bounds(name, l, start)
	at := m.dice.IntN(len(l.records) + 1)
	b, err := m.e.Read(m.t.Context(), name, l.offsets[at], 1)
	switch {
	case at < start && !isReset(err, twohop.ResetTrimmed):
		m.fail("%s at %d, before its start at %d: %v", name, at, start, err)
	case at < start:
	case err != nil:
		m.fail("%s at %d: %v", name, at, err)
	case at < len(l.records) && (b.Len() == 0 || string(b.Data[:b.Ends[0]]) != l.records[at]):
		m.fail("%s at %d: another record", name, at)
	}
}

// bounds checks that retention dropped enough, and not more than whole appends.
func (m *model) bounds(name string, l *modelLog, start int) {
	r := l.spec.Retention
	left := len(l.records) - start
	switch {
	case r.Age > 0:
		want := 0
		for want < len(l.at) && !l.at[want].Add(r.Age).After(time.Now()) {
			want++
		}
		if start < want {
			m.fail("%s begins at %d: of its %d records %d are older than %v", name, start, len(l.records), want, r.Age)
		}
		if start > max(want, l.floor) {
			m.fail("%s begins at %d: those from %d on are not older than %v", name, start, want, r.Age)
		}
	case r.Records > 0 && uint64(left) < min(r.Records, uint64(len(l.records)-l.floor)): //nolint:gosec // small
		m.fail("%s has %d records left of %d, %d are to be kept", name, left, len(l.records), r.Records)
	case r.Bytes > 0 && start > l.floor && uint64(len(strings.Join(l.records[start:], ""))) < r.Bytes:
		m.fail("%s has fewer than %d bytes left", name, r.Bytes)
	case r == (twohop.Retention{}) && l.spec.Fork == nil && start > 0:
		m.fail("%s begins at %d, and has no retention", name, start)
	}
}
