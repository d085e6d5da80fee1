package twohop

// Batch is a run of consecutive records in wire encoding. Batches are
// immutable and shared: whoever holds one may keep its slices for as long as it
// likes and must not write to them.
//
// In a JSON channel each record in Data is followed by a comma and holds no raw
// line break, so that '[' + Data without its last byte + ']' is the array of
// all of them. In every other channel Data is the records' bytes back to back.
type Batch struct {
	From, Next Offset   // where the run begins, and where to read on
	Data       []byte   // the records, back to back
	Ends       []uint32 // where in Data each record ends; len(Ends) is the number of records
}

// Len is the number of records.
func (b *Batch) Len() int { return len(b.Ends) }

// Record is the i-th record as stored in Data, in a JSON channel with its comma.
func (b *Batch) Record(i int) []byte {
	from := uint32(0)
	if i > 0 {
		from = b.Ends[i-1]
	}
	return b.Data[from:b.Ends[i]]
}

// Producer is the triple of an idempotent producer (Durable Streams 5.2.1).
type Producer struct {
	ID         string
	Epoch, Seq uint64
}

// Append asks for records to be added at a channel's tail. All conditions are
// judged, and the records added, in one step. Data and Ends are as in Batch and
// belong to the engine from the call on.
type Append struct {
	Channel     string
	Data        []byte
	Ends        []uint32
	ContentType string    // must be the channel's; not looked at when empty
	Producer    *Producer // deduplicates
	Seq         string    // Stream-Seq: must be larger than the last; "" is none
	Key         string    // Idempotency-Key: deduplicates within the channel's window; "" is none
	If          *Offset   // the tail must be here
	Close       bool      // close the channel after the records
	Create      *Spec     // create the channel so if it does not exist
}

// Level says what an acknowledgement is worth.
type Level uint8

// The levels. What was acknowledged at a level survives the fault of that level.
const (
	LevelMemory     Level = iota // survives nothing but the wish to read it
	LevelDisk                    // synced: survives kill -9 and a power cut
	LevelReplicated              // survives the loss of a node
)

func (l Level) String() string {
	switch l {
	case LevelDisk:
		return "disk"
	case LevelReplicated:
		return "replicated"
	case LevelMemory:
	}
	return "memory"
}

// Ack answers an Append. For a duplicate it is the answer of the first time, as
// far as it is still known.
type Ack struct {
	Offset    Offset // after the last record of this append, not the channel's tail
	Level     Level
	Duplicate bool
	Closed    bool   // the channel is closed now
	Created   bool   // the append created the channel
	Seq       uint64 // the highest sequence number accepted from this producer
}
