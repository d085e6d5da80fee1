package disklog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// storeFormat is the version of the keyspace, and of the journal.
const (
	storeFormat = 2
	formatPlain = 1 // the journal's checksums have no secret
)

// errFatal is what Pebble would have ended the process for.
type errFatal string

func (e errFatal) Error() string { return string(e) }

// openDB opens the store and brings it up to date. If that breaks down it is left
// behind.
func (e *Engine) openDB(o *pebble.Options) error {
	done := make(chan error, 1)
	go func() { done <- e.tryOpenDB(o) }()
	select {
	case err := <-done:
		return err
	case <-e.guard.broken:
		return e.guard.trouble()
	}
}

func (e *Engine) tryOpenDB(o *pebble.Options) (err error) {
	if e.db, err = pebble.Open(e.dir, o); err != nil {
		return err
	}
	runs, err := e.checkFormat() // before anything is touched
	if err == nil {
		err = e.learnSecret(runs)
	}
	if err == nil {
		err = e.recoverJournal()
	}
	if err == nil {
		err = e.startRun()
	}
	if err = errors.Join(err, e.guard.trouble()); err != nil {
		_ = errors.Join(e.closeJournal(), e.db.Close()) // the first error tells more
	}
	return err
}

// checkFormat refuses a store that another program made in a way that this one does
// not know. runs is true if the store's tables tell of runs.
func (e *Engine) checkFormat() (runs bool, err error) {
	value, closer, err := e.db.Get(runKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	d := decoder{b: value}
	return true, errors.Join(known(d.uint()), d.err(), closer.Close())
}

func known(format uint64) error {
	if format != storeFormat && format != formatPlain {
		return fmt.Errorf("disklog: the store has format %d, this program knows %d", format, storeFormat)
	}
	return nil
}

// startRun counts the runs of the engine and finds out how the last one ended.
func (e *Engine) startRun() error {
	value, closer, err := e.db.Get(runKey)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
	case err != nil:
		return err
	default:
		d := decoder{b: value}
		format, run, clean, unclean, until := d.uint(), d.uint(), d.bool(), d.uint(), d.int()
		if len(d.b) > 0 {
			e.lastLost = d.uint()
		}
		if err := errors.Join(d.err(), closer.Close()); err != nil {
			return err
		}
		if err := known(format); err != nil {
			return err
		}
		e.runID, e.lastUnclean, e.uncleanUntil = run, unclean, until
		if !clean {
			e.lastUnclean, e.uncleanUntil = run, time.Now().UnixMicro()
			e.opts.Logger.Warn("the store was not closed in good order; what was not synced may be lost", slog.Uint64("run", run))
		}
	}
	if e.opts.Restored {
		e.lastLost, e.uncleanUntil = e.runID, time.Now().UnixMicro()
	}
	e.runID++
	value, closer, err = e.db.Get(epochKey)
	if err == nil {
		e.lastEpoch, _ = binary.Uvarint(value)
		err = closer.Close()
	}
	if err != nil && !errors.Is(err, pebble.ErrNotFound) {
		return err
	}
	value, closer, err = e.db.Get(agesKey)
	if err == nil {
		e.agesKnown = bytes.Equal(value, e.agesValue(e.runID-1))
		err = closer.Close()
	}
	if err != nil && !errors.Is(err, pebble.ErrNotFound) {
		return err
	}
	return e.saveRun(false)
}

// endRun notes that all was synced and closed in good order.
func (e *Engine) endRun() error {
	if err := e.guard.trouble(); err != nil {
		return err
	}
	return e.saveRun(true)
}

func (e *Engine) saveRun(clean bool) error {
	batch := e.db.NewBatch()
	err := batch.Set(runKey, e.run(clean), nil)
	if e.agesKnown {
		err = errors.Join(err, batch.Set(agesKey, e.agesValue(e.runID), nil))
	} else {
		err = errors.Join(err, batch.Delete(agesKey, nil))
	}
	if err != nil {
		return errors.Join(err, batch.Close())
	}
	return errors.Join(e.write(batch, true), batch.Close())
}

// agesValue is what is stored of a run in which all channels were known to have the
// ages of a retention version, or nil. The run after it trusts no other one: in
// between another program may have changed them.
func (e *Engine) agesValue(run uint64) []byte {
	if e.opts.RetentionVersion == "" {
		return nil
	}
	return append(binary.AppendUvarint(nil, run), e.opts.RetentionVersion...)
}

// run is what is stored of the runs so far.
func (e *Engine) run(clean bool) []byte {
	v := make(encoder, 0, 24)
	if e.journal.secret == 0 {
		v.uint(formatPlain)
	} else {
		v.uint(storeFormat)
	}
	v.uint(e.runID)
	v.bool(clean)
	v.uint(e.lastUnclean)
	v.int(e.uncleanUntil)
	if e.lastLost > 0 {
		v.uint(e.lastLost)
	}
	return v
}

// storeLogger passes Pebble's log on.
type storeLogger struct{ e *Engine }

func (l storeLogger) Infof(format string, args ...any) {
	l.e.opts.Logger.Debug("store", slog.String("says", fmt.Sprintf(format, args...)))
}

func (l storeLogger) Errorf(format string, args ...any) {
	l.e.opts.Logger.Error("store", slog.String("says", fmt.Sprintf(format, args...)))
}

// Fatalf must not return. The guard keeps failures of the disk away, so this is
// a fault in the store's own logic or files: the engine can only stop writing.
func (l storeLogger) Fatalf(format string, args ...any) {
	err := errFatal(fmt.Sprintf(format, args...))
	l.e.opts.Logger.Error("the store broke down", slog.Any("error", err))
	l.e.guard.breakDown(err)
	select {} // whoever came here holds locks of the store
}

func (e *Engine) listener() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			e.opts.Logger.Error("the store's background work failed", slog.Any("error", err))
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			e.opts.Logger.Error("the store is corrupt", slog.String("says", info.String()))
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			e.opts.Logger.Warn("writes wait for compaction", slog.String("reason", info.Reason))
		},
	}
}
