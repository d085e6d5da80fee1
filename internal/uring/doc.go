// Package uring gives the kernel several operations with one system call, by
// io_uring, as far as this server needs it: sends of many connections, and
// writes of a log that nobody has to block for. Only Linux has it, and it is
// often forbidden (seccomp, kernel.io_uring_disabled), so whoever uses it has
// another way, too.
//
// Invariant: of each entry that Submit handed over, Next tells exactly once
// what became of it. Until then its memory and its descriptor are the kernel's:
// the caller keeps both as they are. A Ring is used by one goroutine at a time,
// on any thread. The words are those of <linux/io_uring.h>.
package uring
