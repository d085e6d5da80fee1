// Package livecomments is the demo of comments under a live show: the show, an
// audience that writes comments and reacts, and a crowd of viewers, all of which
// use the server through its public wire, as anybody would.
//
// Invariant: nothing runs while nobody watches. The first page that says it
// watches starts the show, the end of the last lease ends it, and when Close
// returns every goroutine has ended. What the page shows about the crowd is
// counted from the numbers in the records that the crowd was given, never from
// what was sent to it. Rate and number of viewers are bounded whatever is asked.
package livecomments
