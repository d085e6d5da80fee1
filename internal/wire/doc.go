// Package wire turns requests' bodies into records in wire encoding, and
// records into what goes out: JSON arrays, SSE events, offsets in headers.
//
// Invariant: everything here is a pure function of its arguments. Decoders
// accept exactly their grammar, whatever the input, and say where it ends;
// encoders append to the slice they are given and keep nothing.
package wire
