package memlog

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const pageSize = 4096

// populate has the kernel provide the memory that b lies in: once for all of it
// is cheaper than a fault for each page.
func populate(b []byte) {
	at := int(uintptr(unsafe.Pointer(unsafe.SliceData(b))) % pageSize)
	if skip := (pageSize - at) % pageSize; skip < len(b) {
		_ = unix.Madvise(b[skip:], unix.MADV_POPULATE_WRITE) // without it is only slower
	}
}
