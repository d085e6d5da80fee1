// Package websocket is the server's side of RFC 6455 and of permessage-deflate
// (RFC 7692) as bytes: what clients send, however it is cut, becomes messages,
// and messages become frames. It is a package of its own because it needs
// libraries, which users of the Go client should not link.
//
// Invariant: a Reader keeps only what is incomplete, never more than twice what
// came of it and never more than the limit; what is wrong is refused at the
// first byte that shows it, with the close code of PROTOCOL.md section 8.
// Nothing here does I/O, waits or starts a goroutine.
package websocket
